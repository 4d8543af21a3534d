"""Shakespeare's plays character by character, by two LSTM layers whose state goes on from window to window.

The text has 1,115,394 characters. Settings were chosen with characters 85 to 90 % held out, by
``--data.no-refit --train.no-test``; the experiment itself trains on the first 90 %, and the last 10 % is the test.
Published validation losses on the last 10 % are 1.548 nats of a minGRU and 1.547 of a Transformer (Feng et al. 2024,
arXiv:2410.01201). The variants are not trained on what validates them.
"""

import sys
from typing import Any

from rnnjax import CorpusData, Experiment, LanguageModel, NextToken, OptimConfig, Target, TrainConfig, Variant, main


def recurrence(cell: str, epochs: int, **model: Any) -> Variant:
    """One of several recurrences of equally many parameters, to be plotted against time."""
    given = {"cell": cell, "weight_dropout": 0.0, "dropout": 0.3, **model}
    summary = f"the same by {cell} with as many parameters, for a quarter of an hour on two cores"
    return Variant(summary, data={"refit": False}, model=given, train={"epochs": epochs})


EXPERIMENT = Experiment(
    name="shakespeare_chars",
    summary="two LSTM(512) with carried state model Shakespeare by characters",
    target=Target(value=1.50, source="minGRU 1.548, Transformer 1.547 nats a character"),
    bars=True,
    cost="18 epochs of a million characters (8 of a variant, 3 of the LRU's)",
    data=CorpusData(name="tiny_shakespeare", batch_size=32, window=64, refit=True),
    model=LanguageModel(
        features=(512, 512), embedding_features=128, dropout=0.4, embedding_dropout=0.1, weight_dropout=0.3
    ),
    task=NextToken(),
    optim=OptimConfig(learning_rate=2e-3, schedule="cosine", weight_decay=0.01, ema_decay=0.99),
    train=TrainConfig(epochs=18, steps_per_call=8),
    variants={
        "lstm": recurrence("lstm", 8),
        "gru": recurrence("gru", 8, features=(593, 593)),
        "min_gru": recurrence("min_gru", 8, features=(570,) * 3, blocks=True),
        "lru": recurrence("lru", 3, features=(424,) * 3, blocks=True),
    },
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
