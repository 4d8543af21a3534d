"""Your own texts: a bidirectional LSTM on a table (CSV, TSV, JSON, Parquet) or on a folder with a sub-folder a class.

    python -m experiments.text_table --data.path reviews.csv
    python -m experiments.text_table predict new.csv

It is ``python -m rnnjax text reviews.csv`` of an installed package, and defined in :mod:`rnnjax.own`.

The documents are in the column `text` and the labels in `label`, or as --data.text-column and --data.label-column say.
Two classes or many; they are what the labels are called. What was understood of the data is said before training.
"""

import sys

from rnnjax import main
from rnnjax.own import TEXTS as EXPERIMENT

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
