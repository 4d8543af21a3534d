"""Shakespeare's plays character by character, by two LSTM layers whose state goes on from window to window.

The text has 1,115,394 characters. Settings were chosen with characters 85 to 90 % held out, by
``--data.no-refit --train.no-test``; the experiment itself trains on the first 90 %, and the last 10 % is the test.
Published validation losses on the last 10 % are 1.548 nats of a minGRU and 1.547 of a Transformer (Feng et al. 2024,
arXiv:2410.01201).
"""

import sys

from rnnjax import CorpusData, Experiment, LanguageModel, NextToken, OptimConfig, Target, TrainConfig, main

EXPERIMENT = Experiment(
    name="shakespeare_chars",
    summary="two LSTM(512) with carried state model Shakespeare by characters",
    target=Target(value=1.50, source="minGRU 1.548, Transformer 1.547 nats a character"),
    bars=True,
    cost="its time is in its result file",
    data=CorpusData(name="tiny_shakespeare", batch_size=32, window=64, refit=True),
    model=LanguageModel(
        features=(512, 512), embedding_features=128, dropout=0.4, embedding_dropout=0.1, weight_dropout=0.3
    ),
    task=NextToken(),
    optim=OptimConfig(learning_rate=2e-3, schedule="cosine", weight_decay=0.01, ema_decay=0.99),
    train=TrainConfig(epochs=18, steps_per_call=8),
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
