"""Your own texts: a bidirectional LSTM on a CSV, TSV or JSON lines, or on a folder with one sub-folder of .txt a class.

    python -m experiments.text_table --data.path reviews.csv
    python -m experiments.text_table predict new.txt

The first line of a table names its columns; that of the documents is `text` and that of the labels `label`, or as
--data.text-column and --data.label-column say. Two classes or many; they are what the labels are called.
"""

import sys

from rnnjax import Experiment, OptimConfig, TextModel, TextTable, TrainConfig, main

EXPERIMENT = Experiment(
    name="text_table",
    summary="a bidirectional LSTM learns your own texts: --data.path FILE",
    target=None,
    cost="ten passes over your texts",
    data=TextTable(batch_size=32),
    model=TextModel(
        features=(64,),
        bidirectional=True,
        pooling=("mean", "max", "last"),
        embedding_features=64,
        embedding_dropout=0.3,
        word_dropout=0.1,
        dropout=0.2,
    ),
    optim=OptimConfig(learning_rate=3e-3, weight_decay=1e-2, ema_decay=0.99),
    train=TrainConfig(epochs=10, steps_per_call=8),
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
