"""Your own numeric sequences or recordings: a bidirectional GRU learns a class, several labels, a number, or steps.

    python -m experiments.sequence_table --data.path series.csv
    python -m experiments.sequence_table --data.path recordings.zip --data.name-pattern '{label}_{group}_{number}'
    python -m experiments.sequence_table predict new.csv

It is ``python -m rnnjax sequence series.csv`` of an installed package, and defined in :mod:`rnnjax.own`.

A table has a row a step, with the columns `id`, `time`, `label` and the values, or a row a sequence; a folder has a
.csv, .npy or .wav a sequence, in a sub-folder a class. What is learned is chosen from the data, shown, and can be said
by --data.target.
"""

import sys

from rnnjax import main
from rnnjax.own import SEQUENCES as EXPERIMENT

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
