"""Tiny data sets, programs on them, and what several tests of the compiled steps do with both."""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np
import pytest

from rnnjax.config import Config, ImageData, ImageModel, OptimConfig, TextData, TextModel, TrainConfig
from rnnjax.data import Dataset, ImagePreprocess, Plan, TextPreprocess, labelled
from rnnjax.data.plan import Chunk
from rnnjax.data.tokens import Vocabulary
from rnnjax.experiment import Experiment
from rnnjax.tasks import Classification
from rnnjax.training.runner import Runner

OPTIM = OptimConfig(learning_rate=0.02, schedule="constant", label_smoothing=0.1, weight_decay=0.01, ema_decay=0.9)
TRAIN = TrainConfig(epochs=1, steps_per_call=2)


def digits_like() -> Dataset:
    """Images of 4 x 4 pixels in three classes that differ in brightness."""
    rng = np.random.default_rng(0)

    def split(count):
        labels = (np.arange(count) % 3).astype(np.int32)
        noise = rng.integers(0, 100, (count, 4, 4, 1))
        return labelled((noise + 70 * labels[:, None, None, None]).astype(np.uint8), labels)

    train = split(53)
    return Dataset("toy", train, split(21), split(19), ImagePreprocess.fit(train["inputs"], ("a", "b", "c")))


def reviews_like() -> Dataset:
    """Documents of 0 to 9 words, in two classes that differ in their words."""
    rng = np.random.default_rng(0)

    def split(count):
        lengths = rng.integers(0, 10, count).astype(np.int32)
        lengths[:2] = 0, 9
        labels = (np.arange(count) % 2).astype(np.int32)
        ids = rng.integers(1, 5, (count, 9)) + 4 * labels[:, None] * (rng.random((count, 9)) < 0.7)
        return labelled((ids * (np.arange(9) < lengths[:, None])).astype(np.int32), labels, lengths)

    preprocess = TextPreprocess(Vocabulary(("<pad>", "<unk>", *"abcdefg")), 9, ("neg", "pos"))
    return Dataset("toy", split(53), split(21), split(19), preprocess, plan=Plan((4, 9)))


IMAGES = Config(
    data=ImageData(name="toy", batch_size=8, max_shift=1), model=ImageModel(features=(4,)), optim=OPTIM, train=TRAIN
)
TEXTS = Config(
    data=TextData(name="toy", batch_size=8, vocabulary_size=9, bucket_lengths=(4, 9)),
    model=TextModel(features=(3,), embedding_features=3, pooling=("mean", "max", "last")),
    optim=OPTIM,
    train=TRAIN,
)
DATASETS = {IMAGES: digits_like(), TEXTS: reviews_like()}
both_kinds = pytest.mark.parametrize("config", [IMAGES, TEXTS], ids=["images", "texts"])
_programs = {}


def built(section: Any, preprocess: Any) -> Any:
    """The classifier that a section of the configuration makes for what a preprocessing gives."""
    return section.build(preprocess.spec, Classification().width(preprocess.spec))


def program_of(config: Config, dataset: Dataset, devices: Any = None, **parts: Any) -> Runner:
    """A program of the sections of a configuration, with other parts in their place."""
    return Runner(Experiment(**vars(config) | parts), dataset, devices or jax.devices()[:1])


def program_for(config: Config, devices: int = 1, **changes) -> Runner:
    """A program on the first devices; ``changes`` are of the fields of data and model. Each is made once."""
    key = (config, devices, tuple(changes.items()))
    if key not in _programs:
        sections = {}
        for name in ("data", "model"):
            section = getattr(config, name)
            sections[name] = type(section)(**vars(section) | {k: v for k, v in changes.items() if hasattr(section, k)})
        changed = Config(**sections, optim=config.optim, train=config.train)
        _programs[key] = program_of(changed, DATASETS[config], jax.devices()[:devices])
    return _programs[key]


def plain_images(optim: OptimConfig, devices: int = 1, model: Any = None) -> Runner:
    """A program on images that are not augmented; its own model is a recurrence over convolutions with batch norm."""
    config = dataclasses.replace(
        IMAGES,
        data=dataclasses.replace(IMAGES.data, max_shift=0),
        model=dataclasses.replace(IMAGES.model, conv=(2,), batch_norm=True),
        optim=optim,
    )
    return program_of(config, DATASETS[IMAGES], jax.devices()[:devices], model=model or config.model)


def trained(program: Runner, state, chunks: list[Chunk]):
    """The state after the chunks, and the sums of each."""
    state, every = program.place(state), []
    for fed in program.feed_training(chunks, 0):
        state, sums = program.train(state, fed)
        every.append(program.parallel.to_host(sums))
    return program.on_host(state), every


@functools.cache
def start_of(config: Config):
    """The state that every training of this kind of model starts from; neither dropout nor devices change it."""
    return program_for(config).create_state(seed=1)


def plan(program: Runner, chunks: int = 3) -> list[Chunk]:
    return program.train_plan(seed=5, epoch=0)[:chunks]


def one_by_one(chunks: list[Chunk]) -> list[Chunk]:
    """The same batches, a chunk each."""
    return [
        Chunk(chunk.length, rows[None], mask[None])
        for chunk in chunks
        for rows, mask in zip(chunk.rows, chunk.mask, strict=True)
    ]


def with_holes(chunks: list[Chunk]) -> list[Chunk]:
    """Chunks whose batches miss rows unevenly: of the eight devices' rows some have none at all."""
    rng = np.random.default_rng(3)
    return [Chunk(c.length, c.rows, c.mask & (rng.random(c.mask.shape) < 0.6)) for c in chunks]


def assert_close(ours, theirs, tolerance=1e-5):
    """Equal up to ``tolerance`` of each leaf's largest value."""
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1.0, float(np.abs(b).max())))
