"""Documents read in both directions: a bidirectional LSTM under a mean over words, as of ``imdb_bilstm``."""

from dataclasses import dataclass, replace
from typing import ClassVar

from experiments import imdb_bilstm
from experiments.benchmarks.training_tasks.part import Part, constant
from rnnjax.config import TextModel, TrainConfig
from rnnjax.experiment import Experiment


@dataclass(frozen=True)
class Documents(Part):
    """Classes of documents of different lengths."""

    differences: ClassVar[tuple[str, ...]] = (
        "Of IMDB one bidirectional layer is trained, whose outputs are pooled by their mean alone; no word dropout, "
        "nothing adversarial. PyTorch reads texts packed or padded, whichever a trial finds faster (the row's ways, in "
        "seconds).",
    )


def imdb(quick: bool, folder: str) -> Documents:
    """Film reviews, of one of two opinions."""
    given = imdb_bilstm.EXPERIMENT
    model = TextModel(
        features=given.model.features[:1],
        bidirectional=True,
        pooling=("mean",),
        dropout=given.model.dropout,
        embedding_features=given.model.embedding_features,
        embedding_dropout=given.model.embedding_dropout,
    )
    train = TrainConfig(epochs=3, steps_per_call=2)
    experiment = Experiment(
        name=given.name, data=given.data, model=model, optim=constant(given.optim, 2e-3), train=train
    )
    if quick:
        experiment = replace(experiment, model=replace(model, features=(8,)), train=replace(train, epochs=1))
        return Documents(experiment, goal=0.05, interval=5_632, segment=4)
    return Documents(experiment, goal=0.80, interval=5_632, segment=4)
