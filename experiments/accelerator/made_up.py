"""What a rehearsal is made of: small made-up data under the names of the real ones, and small models."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

import experiments
from experiments.accelerator import prepared
from rnnjax.data import Dataset, ImagePreprocess, Plan, TextPreprocess, labelled
from rnnjax.data.tokens import Vocabulary
from rnnjax.experiment import Experiment

CHARACTERS = 1_115_394
"""As many as the text of ``shakespeare_chars`` has, of 65 different ones."""
TOY_CHARACTERS = 3_000
EXAMPLES = {"train": 96, "validation": 24, "test": 24}
SIDE, BUCKETS = 8, (9,)
WIDTH = 4
"""Features of every layer in a rehearsal."""


def loaded(name: str, *, dry: bool) -> Experiment:
    """The experiment of that name; for a rehearsal as :func:`smaller` makes it."""
    experiment = experiments.load(name)
    assert isinstance(experiment, Experiment)
    return smaller(experiment, dry=dry)


def smaller(experiment: Experiment, *, dry: bool) -> Experiment:
    """The experiment with a small model, small batches and two epochs, for a rehearsal; else as it is."""
    if not dry:
        return experiment
    model, section = experiment.model, experiment.data
    widths = {name: tuple(WIDTH for _ in getattr(model, name, ())) for name in ("features", "conv", "conv_after")}
    fields: dict[str, Any] = {name: value for name, value in widths.items() if value}
    if hasattr(model, "embedding_features"):
        fields["embedding_features"] = WIDTH
    small: dict[str, Any] = {"batch_size": 8}
    small |= {"bucket_lengths": BUCKETS} if hasattr(section, "bucket_lengths") else {}
    small |= {"window": 8} if hasattr(section, "window") else {}
    return dataclasses.replace(
        experiment,
        model=dataclasses.replace(model, **fields),
        data=dataclasses.replace(section, **small),
        train=dataclasses.replace(experiment.train, epochs=min(2, experiment.train.epochs), steps_per_call=4),
    )


def write(folder: Path) -> None:
    """Writes the data of a rehearsal as :mod:`.prepared` does those of a real call; CIFAR-10 is not among them."""
    for name, made in (("mnist_rows", _images()), ("imdb_bilstm", _documents())):
        section = loaded(name, dry=True).data
        prepared.write(prepared.file_of(folder, section), section, made)


def text(path: Path, *, dry: bool) -> Path:
    """Writes a text of characters drawn at random; its path."""
    letters = np.frombuffer(bytes(range(48, 48 + 65)), np.uint8)
    drawn = np.random.default_rng(0).choice(letters, TOY_CHARACTERS if dry else CHARACTERS)
    path.write_bytes(drawn.tobytes())
    return path


def _images() -> Dataset:
    """Images in three classes that differ in brightness."""
    rng = np.random.default_rng(0)

    def split(count: int) -> Any:
        labels = (np.arange(count) % 3).astype(np.int32)
        noise = rng.integers(0, 60, (count, SIDE, SIDE, 1))
        return labelled((noise + 90 * labels[:, None, None, None]).astype(np.uint8), labels)

    splits = {name: split(count) for name, count in EXAMPLES.items()}
    return Dataset("made-up images", **splits, preprocess=ImagePreprocess.fit(splits["train"]["inputs"], "abc"))


def _documents() -> Dataset:
    """Documents of up to nine words, in two classes that differ in their words."""
    rng = np.random.default_rng(0)

    def split(count: int) -> Any:
        lengths = rng.integers(1, BUCKETS[-1] + 1, count).astype(np.int32)
        labels = (np.arange(count) % 2).astype(np.int32)
        ids = rng.integers(2, 6, (count, BUCKETS[-1])) + 4 * labels[:, None]
        real = np.arange(BUCKETS[-1]) < lengths[:, None]
        return labelled((ids * real).astype(np.int32), labels, lengths)

    preprocess = TextPreprocess(Vocabulary(("<pad>", "<unk>", *"abcdefgh")), BUCKETS[-1], ("neg", "pos"))
    splits = {name: split(count) for name, count in EXAMPLES.items()}
    return Dataset("made-up documents", **splits, preprocess=preprocess, plan=Plan(BUCKETS))
