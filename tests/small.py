"""Small experiments that the tests of the road share."""

from typing import Any

import numpy as np

from rnnjax import data
from rnnjax.config import Config, ImageData, ImageModel, OptimConfig, TextData, TextModel, TrainConfig
from rnnjax.data import Dataset, Examples, Plan, TextPreprocess, labelled
from rnnjax.data.tokens import Vocabulary
from rnnjax.experiment import Experiment, Target
from rnnjax.training.runner import Runner

CONFIG = Config(
    data=ImageData(name="digits", batch_size=64, max_shift=1),
    model=ImageModel(features=(8, 8), dropout=0.2),
    optim=OptimConfig(learning_rate=1e-2, ema_decay=0.9),
    train=TrainConfig(epochs=2, steps_per_call=4),
)

EXPERIMENT = Experiment(name="small", summary="a small one", target=Target(0.5, "ours"), cost="seconds", **vars(CONFIG))

TEXT_CONFIG = Config(
    data=TextData(name="made_up", batch_size=16, bucket_lengths=(6, 12)),
    model=TextModel(
        features=(6,),
        bidirectional=True,
        embedding_features=5,
        embedding_dropout=0.3,
        word_dropout=0.1,
        dropout=0.2,
        pooling=("mean", "max", "last"),
    ),
    optim=OptimConfig(learning_rate=1e-2),
    train=TrainConfig(epochs=2, steps_per_call=2),
)


def small_program(config: Config = CONFIG, dataset: Dataset | None = None, **options: Any) -> Runner:
    """A program on the digits, or on another data set."""
    dataset = data.load(config.data) if dataset is None else dataset
    return Runner(EXPERIMENT.replaced(config), dataset, **options)


def subset(dataset: Dataset, train: int, rest: int) -> Dataset:
    """The first examples of every split."""
    return Dataset(
        dataset.name,
        dataset.train.take(np.arange(train)),
        dataset.validation.take(np.arange(rest)),
        dataset.test.take(np.arange(rest)),
        dataset.preprocess,
        plan=dataset.plan,
    )


def made_up_texts() -> Dataset:
    """Sequences of words whose class is whether word 3 is among them."""
    rng = np.random.default_rng(0)

    def split(size: int) -> Examples:
        lengths = rng.integers(1, 13, size).astype(np.int32)
        ids = rng.integers(2, 12, (size, 12)).astype(np.int32) * (np.arange(12) < lengths[:, None])
        return labelled(ids.astype(np.int32), (ids == 3).any(1).astype(np.int32), lengths)

    words = Vocabulary(("<pad>", "<unk>", *"abcdefghij"))
    return Dataset(
        "made_up", split(128), split(40), split(40), TextPreprocess(words, 12, ("without", "with")), plan=Plan((6, 12))
    )
