"""The option ``--prepare FOLDER``: data to take along, in files that :mod:`.prepared` reads."""

import dataclasses
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import experiments
from experiments.accelerator import made_up, prepared
from rnnjax import data
from rnnjax.data.examples import hold_out
from rnnjax.errors import DataError, UsageError

MOST_MIB = 45.0
"""Of all files together, unless more was asked for by ``--with``."""
SETS = ("mnist_rows", "imdb_bilstm")
"""Experiments whose data are written by default; other experiments read these too."""
EXTRAS = {"cifar10": "cifar10_cnn_rnn"}
"""What ``--with`` adds."""
WHEELS = (
    "Beside rnnjax and what JAX, Flax, Optax, Orbax and NumPy bring along, nothing is needed. Where it is wanted:",
    "  pip download --no-deps pillow          # 7 MiB: the JPEGs of CIFAR-10",
    "  pip download --no-deps scikit-learn joblib threadpoolctl narwhals  # 10 MiB: the class reports of runs",
)
"""What the command imports beside what it must have: measured with everything else blocked."""


def prepare(folder: Path, extras: Sequence[str]) -> int:
    """Writes the files and says how large they are; returns the exit code, 1 if a set could not be read.

    Raises:
      UsageError: at an unknown extra.
      DataError: if the files are larger than :data:`MOST_MIB` together and none was asked for by ``--with``, or no set
        could be read.
    """
    for extra in extras:
        if extra not in EXTRAS:
            raise UsageError(f"--with takes {', '.join(EXTRAS)}, got {extra!r}")
    folder.mkdir(parents=True, exist_ok=True)
    failed, sizes = [], {}
    with tempfile.TemporaryDirectory(dir=folder, prefix=".prepared-") as aside:
        for name in (*SETS, *(EXTRAS[extra] for extra in dict.fromkeys(extras))):
            try:
                path = _write(Path(aside), experiments.load(name))
            except (DataError, ModuleNotFoundError) as error:
                failed.append(name)
                print(f"{name}: not written: {error}")
                continue
            sizes[path] = path.stat().st_size / 2**20
            print(f"{path.name}: {sizes[path]:.2f} MiB")
        if not sizes:
            raise DataError("no data set could be read, so none is written")
        _check_sum(sum(sizes.values()), extras)
        for path in sizes:
            shutil.move(path, folder / path.name)
    print(f"together: {sum(sizes.values()):.2f} MiB in {folder}")
    print("\n".join(WHEELS))
    return int(bool(failed))


def check(folder: Path) -> None:
    """Reads what :func:`prepare` wrote as it will be read there, and says of each set whether it is here.

    Raises:
      DataError: if a file is damaged, or of another version.
    """
    for name in (*SETS, *EXTRAS.values()):
        section = made_up.loaded(name, dry=False).data
        path = prepared.file_of(folder, section)
        try:
            there = path.is_file()
            dataset = prepared.read(path, section)[0] if there else None
        except ModuleNotFoundError as error:
            print(f"{path}: not checked: it needs the package {error.name}")
            continue
        sizes = [len(examples["labels"]) for examples in dataset.splits().values()] if dataset else []
        print(f"{path}: " + (f"whole, {sum(sizes):,} examples" if there else f"not there; {name} will be left out"))


def _check_sum(mib: float, extras: Sequence[str]) -> None:
    if mib > MOST_MIB and not extras:
        raise DataError(f"the files take {mib:.2f} MiB, and at most {MOST_MIB:g} are written without --with")


def _write(folder: Path, experiment: Any) -> Path:
    """One set, by the data section of an experiment that reads it."""
    section = experiment.data
    path = prepared.file_of(folder, section)
    if section.name == "cifar10":
        prepared.write(path, *_with_files(section))
    else:
        prepared.write(path, section, data.load(section))
    return path


def _with_files(section: Any) -> tuple[Any, data.Dataset, dict[str, list[bytes]]]:
    """CIFAR-10 or its copy in JPEG, with the files of its images as they are stored."""
    from rnnjax.data import tfds

    section, found = _found(section)
    dataset, files = data.load(section), {}
    for stored in ("train", section.test_split):
        fetch, labels = tfds.encoded(found, stored, "image"), tfds.labels(found, stored)
        kept = {"test": np.arange(len(labels))}
        if stored == "train":
            kept = dict(zip(("train", "validation"), hold_out(labels, section.validation_fraction), strict=True))
        for split, numbers in kept.items():
            if not np.array_equal(labels[numbers], dataset.split(split)["labels"]):
                raise DataError(f"{dataset.name}: its records are not in the order of its decoded images")
            files[split] = fetch(numbers.tolist())
    return section, dataset, files


def _found(section: Any) -> tuple[Any, Any]:
    """The section of the copy that is the smaller one, where that is prepared, else of the set itself."""
    from rnnjax.data import tfds

    for name in (*(copy for copy, of in prepared.COPIES.items() if of == section.name), section.name):
        try:
            return dataclasses.replace(section, name=name), tfds.builder(name, section.data_dir)
        except DataError:
            if name == section.name:
                raise
    raise AssertionError("the last name is the section's own")
