"""What the training benchmark trains: one recipe a task that every peer can follow, its data and its order."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import jax
import numpy as np

from experiments import load
from rnnjax import data
from rnnjax.config import Config, ImageData, ImageModel, OptimConfig, TextModel
from rnnjax.data import Dataset
from rnnjax.data.plan import Chunk
from rnnjax.tasks import Classification

TASKS = ("digits_rows", "mnist_rows", "imdb_bilstm")

DIFFERENCES = (
    "From the experiments: no augmentation, no word dropout, nothing adversarial, no average of the parameters, a "
    "constant learning rate, and of IMDB one bidirectional layer, whose outputs are pooled by their mean alone; Keras "
    "or PyTorch have no stock part for these, or users of each write them in another way.",
    "All peers start from the same weights (rnnjax's, converted) and see the same batches in the same order; "
    "what dropout drops differs.",
    "rnnjax gathers, pads and normalises its batches on the device, inside the compiled step; Keras and PyTorch get "
    "them from float32 arrays in memory that were normalised beforehand.",
    "Keras trains by model.fit over the rows of consecutive batches of one length, PyTorch by the ordinary loop with "
    "fused AdamW; texts it reads packed or padded, whichever a trial finds faster (the row's ways, in seconds).",
    "PyTorch's LSTM has two biases that add up, and each takes the step that the others' one bias takes.",
    "rnnjax sums up the training accuracy and the gradient's norm too; Keras and PyTorch the loss alone.",
)
"""In what the runs differ from the experiments and from one another; it stands in the result file."""


@dataclass(frozen=True)
class Recipe:
    """A task of the benchmark.

    Attributes:
      task: the experiment that it is made of.
      config: what is trained; its number of epochs is the most that a run to the accuracy takes.
      accuracy: of the validation split, to be reached.
      interval: training examples between two validations.
      segment: steps of every padded length in one timed segment.
    """

    task: str
    config: Config
    accuracy: float
    interval: int
    segment: int


def recipe(task: str, quick: bool = False) -> Recipe:
    """The recipe of a task; ``quick`` makes its model and its training tiny."""
    experiment: Any = load(task)
    config = experiment.config
    optim = OptimConfig(
        learning_rate={"digits_rows": 2e-3, "mnist_rows": 2e-3, "imdb_bilstm": 2e-3}[task],
        schedule="constant",
        weight_decay=config.optim.weight_decay,
        clip_norm=config.optim.clip_norm,
        label_smoothing=config.optim.label_smoothing,
    )
    accuracy, interval, segment, epochs = {
        "digits_rows": (0.95, 640, 200, 60),
        "mnist_rows": (0.98, 13_824, 9, 4),
        "imdb_bilstm": (0.80, 5_632, 4, 3),
    }[task]
    # Of the larger models, a chunk is what is left untimed after a switch: it may be short, their steps are long.
    calls = {"digits_rows": config.train.steps_per_call, "mnist_rows": 3, "imdb_bilstm": 2}[task]
    config = replace(config, optim=optim, train=replace(config.train, epochs=epochs, steps_per_call=calls))
    if isinstance(config.data, ImageData):
        config = replace(config, data=replace(config.data, max_shift=0, max_rotation=0.0, max_zoom=0.0, cutout=0))
    if isinstance(config.model, TextModel):
        model = replace(config.model, features=config.model.features[:1], pooling=("mean",), word_dropout=0.0)
        config = replace(config, model=model)
    if quick:
        config = replace(config, model=replace(config.model, features=(8,) * len(config.model.features)))
        config = replace(config, train=replace(config.train, epochs=1))
        accuracy, segment = 0.05, 4
    return Recipe(task, config, accuracy, interval, segment)


class Course:
    """A recipe with its data: what to train on, in which order, from which weights.

    Attributes:
      recipe: the recipe.
      dataset: its splits.
      model: rnnjax's module.
    """

    def __init__(self, recipe: Recipe, dataset: Dataset | None = None):
        self.recipe = recipe
        self.dataset = data.load(recipe.config.data) if dataset is None else dataset
        self.model = recipe.config.model.build(self.dataset.spec, self.outputs)
        self._initial = jax.jit(lambda key: self.model.init({"params": key}, **self.dataset.spec.zeros())["params"])

    def parameters(self, seed: int) -> Any:
        """The weights that every peer starts from: those of rnnjax's run with this seed."""
        return jax.tree.map(np.asarray, self._initial(jax.random.key(seed)))

    def arrays(self, split: str) -> dict[str, np.ndarray]:
        """A split as Keras and PyTorch hold it: normalised inputs ``[N, ...]``, labels, and lengths of texts."""
        examples = getattr(self.dataset, split)
        arrays = examples.stored()
        if examples.lengths is None:
            images = np.asarray(self.dataset.preprocess.on_device({"inputs": examples["inputs"]})["inputs"])
            arrays = arrays | {"inputs": images.reshape(*images.shape[:2], -1)}  # rows of pixels are the steps
        return arrays

    def plan(self, seed: int, epoch: int) -> list[Chunk]:
        """One epoch's chunks, as rnnjax trains them."""
        return self.dataset.plan.train(self.dataset.train, seed=seed, epoch=epoch, **self._sizes)

    def validation_plan(self) -> list[Chunk]:
        """The validation split in chunks; the last batch of a length is filled up with masked rows."""
        return self.dataset.plan.evaluate(self.dataset.validation, **self._sizes)

    def segments(self, steps: int) -> Iterator[list[Chunk]]:
        """Endless segments of the training, each with ``steps`` steps or just above of every padded length."""
        waiting: dict[int | None, list[Chunk]] = {chunk.length: [] for chunk in self.plan(0, 0)}
        for epoch in itertools.count():
            for chunk in self.plan(0, epoch):
                if _steps(waiting[chunk.length]) < steps:
                    waiting[chunk.length].append(chunk)
                if all(_steps(chunks) >= steps for chunks in waiting.values()):
                    yield [chunk for chunks in waiting.values() for chunk in chunks]
                    waiting = {length: [] for length in waiting}

    @property
    def _sizes(self) -> dict[str, int]:
        config = self.recipe.config
        return {"batch_size": config.data.batch_size, "steps_per_call": config.train.steps_per_call}

    @property
    def vocabulary_size(self) -> int:
        """Words of a text's vocabulary, 0 for images."""
        return self.dataset.spec.vocabulary

    @property
    def outputs(self) -> int:
        """Logits of the model: one for two classes of text."""
        return Classification().width(self.dataset.spec)

    def check_model(self) -> ImageModel | TextModel:
        """The model's configuration, which Keras and PyTorch follow only as far as the recipes need it."""
        model = self.recipe.config.model
        plain = model.cell == "lstm" and (
            not model.word_dropout and model.pooling == ("mean",) and model.bidirectional and len(model.features) == 1
            if isinstance(model, TextModel)
            else not model.conv and model.pooling == ("last",) and not model.bidirectional
        )
        if not plain:
            raise ValueError(f"the peers have no model for {dataclasses.asdict(model)}")
        return model

    def accuracy_of(self, logits: Mapping[int, np.ndarray]) -> float:
        """Accuracy on the validation split, given logits ``[K * B, C]`` for every chunk of its plan."""
        correct = total = 0
        for number, chunk in enumerate(self.validation_plan()):
            scores = logits[number]
            predicted = scores[:, 0] > 0 if scores.shape[1] == 1 else scores.argmax(1)
            real = chunk.mask.reshape(-1)
            correct += int((predicted == self.dataset.validation["labels"][chunk.rows.reshape(-1)])[real].sum())
            total += int(real.sum())
        return correct / total


class Peer(Protocol):
    """Who trains: a course in one framework."""

    def reset(self, seed: int) -> None:
        """Starts over from the course's weights of this seed."""

    def settle(self, chunks: list[Chunk]) -> dict[str, float]:
        """Where there are several ways to compute the same, tries and takes the fastest; the seconds of each."""
        ...

    def train(self, chunks: list[Chunk]) -> float:
        """Trains over chunks and waits for the end; the mean loss over their steps."""
        ...

    def logits(self, split: str, chunk: Chunk) -> np.ndarray:
        """Logits ``[K * B, C]`` of a chunk's rows of a split, without dropout."""
        ...

    def accuracy(self) -> float:
        """Accuracy on the validation split."""
        ...


def _steps(chunks: list[Chunk]) -> int:
    return sum(chunk.steps for chunk in chunks)
