"""A text character by character: LSTM layers whose state goes on from window to window, as of ``shakespeare_chars``."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from experiments import shakespeare_chars
from experiments.benchmarks.training_tasks.part import Part, constant
from rnnjax.config import TrainConfig
from rnnjax.data import Dataset
from rnnjax.data.corpus import CorpusData
from rnnjax.errors import DataError
from rnnjax.experiment import Experiment
from rnnjax.models.config import LanguageModel
from rnnjax.tasks import NextToken

FILE = "tinyshakespeare.txt"


@dataclass(frozen=True)
class Characters(Part):
    """The character after each, in streams that are read side by side."""

    unit: ClassVar[str] = "tokens"
    differences: ClassVar[tuple[str, ...]] = (
        "Of Shakespeare two layers of 256, not 512, are trained, with less dropout and none of weights, on the first "
        "85 % of the text; the 5 % after them are validation. Each row of a batch goes on where that row of the batch "
        "before ended: in Keras by a layer that keeps an LSTM's states, since a stateful one loses them in fit on JAX, "
        "in PyTorch by a state that is handed over without its gradient.",
    )

    def load(self) -> Dataset:
        """The windows of the text."""
        try:
            return super().load()
        except DataError as error:
            raise DataError(
                f"{self.experiment.name}: there is no text: name the folder of {FILE} by --folder, or leave the task "
                f"out by --tasks ({error})"
            ) from error

    @property
    def units_per_example(self) -> int:
        """The tokens of a window."""
        return self.experiment.data.window


def shakespeare(quick: bool, folder: str) -> Characters:
    """Shakespeare's plays; quickly, words that are made up."""
    given = shakespeare_chars.EXPERIMENT
    file = Path(folder).expanduser() / FILE
    model = LanguageModel(
        features=(256, 256), embedding_features=given.model.embedding_features, dropout=0.2, embedding_dropout=0.1
    )
    experiment = Experiment(
        name=given.name,
        data=replace(given.data, refit=False, path=str(file) if folder and file.exists() else None),
        model=model,
        task=NextToken(),
        optim=constant(given.optim, 2e-3),
        train=TrainConfig(epochs=6, steps_per_call=4),
    )
    if not quick:
        return Characters(experiment, goal=1.70, interval=3_840, segment=8)
    model = replace(model, features=(8, 8), embedding_features=4)
    data, train = MadeUpText(batch_size=8, window=16), TrainConfig(epochs=1, steps_per_call=4)
    return Characters(replace(experiment, data=data, model=model, train=train), goal=4.0, interval=64, segment=4)


@dataclass(frozen=True, kw_only=True)
class MadeUpText(CorpusData):
    """A text of words that are drawn, so that no file is needed."""

    words: int = 1_500
    """How many."""

    def load(self) -> Any:
        """The windows of the text."""
        from rnnjax.data import windows
        from rnnjax.data.plan import Streams
        from rnnjax.data.tokens import Vocabulary
        from rnnjax.data.window_preprocess import WindowPreprocess

        drawn = np.random.default_rng(0).choice(["to", "be", "or", "not", "that", "is", "the", "question"], self.words)
        text = " ".join(drawn)
        preprocess = WindowPreprocess(Vocabulary.fit([list(text)], self.vocabulary_size), self.window)
        ids = preprocess.ids(text)
        parts = np.split(ids, windows.bounds(len(ids), self.validation_fraction, self.test_fraction))
        train, validation, test = (windows.windows(part, self.window) for part in parts)
        return Dataset("made up", train, validation, test, preprocess, plan=Streams())
