"""Your own pairs of texts: an encoder and decoder with attention write the one for the other.

    python -m experiments.text_pairs --data.path pairs.csv --data.source english --data.target german
    python -m experiments.text_pairs predict new.csv --to answers.csv
    python -m experiments.text_pairs predict - < lines.txt > answers.txt      # a line each

It is ``python -m rnnjax pair pairs.csv`` of an installed package, and defined in :mod:`rnnjax.own`.

A path is a table with a column of each side, or a folder of parallel files such as train.en and train.de. Tokens are
words, or --data.source-splitter and --data.target-splitter characters or byte-pairs; --data.score bleu chooses the best
epoch by BLEU. All pairs of one source are in one split.
"""

import sys

from rnnjax import main
from rnnjax.own import PAIRS as EXPERIMENT

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
