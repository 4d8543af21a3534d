"""Your own texts: a bidirectional LSTM on a CSV, TSV or JSON lines, or on a folder with one sub-folder of .txt a class.

    python -m experiments.text_table --data.path reviews.csv
    python -m experiments.text_table predict new.txt

It is ``python -m rnnjax text reviews.csv`` of an installed package, and defined in :mod:`rnnjax.own`.

The first line of a table names its columns; that of the documents is `text` and that of the labels `label`, or as
--data.text-column and --data.label-column say. Two classes or many; they are what the labels are called.
"""

import sys

from rnnjax import main
from rnnjax.own import TEXTS as EXPERIMENT

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
