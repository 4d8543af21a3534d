"""A word language model of 75,000 film reviews, labels aside: what ``imdb_pretrained`` begins from.

The reviews are TFDS's splits train and unsupervised, of which one in a hundred is held out to validate; the test
perplexity is of 5,000 reviews of the test split, drawn once, over the whole vocabulary. In training the softmax is over
the target and 1,024 other words that stand for all (``--optim.sampled-tokens``).
"""

import dataclasses
import sys

from rnnjax import (
    DocumentsCorpus,
    Experiment,
    LanguageModel,
    NextToken,
    OptimConfig,
    Target,
    TrainConfig,
    Variant,
    main,
)

LARGE = Variant(
    "an LSTM(1024) for ten epochs, for an accelerator",
    data={"batch_size": 256},
    model={"features": (1024,), "embedding_features": 1024},
    optim={"learning_rate": 2e-3},
    train={"epochs": 10},
)

EXPERIMENT = Experiment(
    name="imdb_language_model",
    summary="an LSTM(256) with carried state models film reviews word by word",
    bars=True,
    target=Target(value=5.044, source="interpolated Kneser-Ney trigrams of the same words"),
    cost="five epochs of 74,000 reviews (ten of the large ones)",
    data=DocumentsCorpus(batch_size=64, window=64),
    model=LanguageModel(
        features=(256,), embedding_features=256, dropout=0.1, embedding_dropout=0.1, weight_dropout=0.1, tied=True
    ),
    task=NextToken(),
    optim=OptimConfig(learning_rate=5e-3, schedule="cosine", warmup_fraction=0.02, sampled_tokens=1024),
    train=TrainConfig(epochs=5, steps_per_call=16),
    variants={
        "backward": Variant("the same, each review read from its end", data={"direction": "backwards"}),
        "large": LARGE,
        "large-backward": dataclasses.replace(LARGE, data={"batch_size": 256, "direction": "backwards"}),
    },
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
