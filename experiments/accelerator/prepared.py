"""Data sets in one file each, for a machine that has neither TFDS nor a network: the same arrays, to the bit."""

import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from rnnjax import digests
from rnnjax.data import Dataset, Examples, ImagePreprocess, Plan, TextPreprocess
from rnnjax.data.crops import decode
from rnnjax.errors import DataError, RnnjaxError

FORMAT = 1
COPIES = {"cifar10_jpeg": "cifar10"}
"""A set that stands for another, by its name: see :data:`experiments.trials.COPIES`."""
DECIDING = (
    *("name", "validation_fraction", "validation_by", "test_split", "crop_size"),
    *("tokenizer", "vocabulary_size", "bucket_lengths", "vocabulary_splits", "train_documents"),
)
"""The fields of a section that decide its arrays; the others are of batches and augmentation."""
_BEFORE = {"validation_by": "rows", "vocabulary_splits": [], "train_documents": 0}
"""What a file means that was written before there were these."""
_PREPROCESSES = {kind.kind: kind for kind in (ImagePreprocess, TextPreprocess)}
_DAMAGED = (OSError, EOFError, zipfile.BadZipFile, zlib.error, ValueError, KeyError, TypeError, RnnjaxError)


def file_of(folder: Path, section: Any) -> Path:
    """Where the data of a section lie: ``mnist.npz``."""
    return folder / f"{COPIES.get(section.name, section.name)}.npz"


def write(path: Path, section: Any, dataset: Dataset, files: Mapping[str, Sequence[bytes]] | None = None) -> None:
    """Writes a data set.

    Args:
      path: of the file, which is deflated.
      section: what it was loaded by.
      dataset: what :func:`rnnjax.data.load` gave.
      files: of splits whose images are to be kept as the files that they were decoded from, these, in their order.
    """
    arrays, described = {}, {}
    for split, examples in dataset.splits().items():
        described[split] = {}
        for name, array in examples.stored().items():
            row = {"dtype": array.dtype.name, "sha256": digests.of_array(array)}
            if files and split in files and name == "inputs":
                arrays |= _as_files(f"{split}/{name}", files[split])
                row |= {"files": digests.of_array(arrays[f"{split}/{name}"]), "shape": list(array.shape[1:])}
            else:
                arrays[f"{split}/{name}"] = _narrow(np.asarray(array))
            described[split][name] = row
    values = {
        "format": FORMAT,
        "made_by": _deciding(section),
        "name": dataset.name,
        "preprocess": dataset.preprocess.to_json(),
        "spec": dataset.spec.to_json(),
        "buckets": list(getattr(dataset.plan, "buckets", ())),
        "timed": list(dataset.train.timed),
        "notes": list(dataset.notes),
        "sample_texts": list(dataset.sample_texts),
        "splits": described,
    }
    text = json.dumps(digests.sealed(values)).encode("ascii")
    np.savez_compressed(path, description=np.frombuffer(text, np.uint8), **arrays)


def read(path: Path, section: Any) -> tuple[Dataset, str]:
    """What :func:`write` wrote for a section, and the name of the set, which may be a copy of the section's.

    Raises:
      DataError: if the file is missing, damaged, or of a section that loads other arrays.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; write it by python -m experiments.accelerator --prepare FOLDER")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            values = json.loads(bytes(stored["description"]))
            if not digests.is_whole(values) or values["format"] != FORMAT:
                raise ValueError("its description is not as it was written")
            _check_section(path, values["made_by"], section)
            timed, notes = tuple(values["timed"]), list(values["notes"])
            splits = {split: _examples(stored, split, rows, timed, notes) for split, rows in values["splits"].items()}
        preprocess = _PREPROCESSES[values["preprocess"]["kind"]].from_json(values["preprocess"])
        dataset = Dataset(
            values["name"],
            splits["train"],
            splits["validation"],
            splits.get("test"),
            preprocess,
            plan=Plan(tuple(values["buckets"])),
            notes=tuple(notes),
            sample_texts=tuple(values["sample_texts"]),
        )
        if dataset.spec.to_json() != values["spec"]:
            raise ValueError("this version reads its preprocessing otherwise")
        return dataset, values["made_by"]["name"]
    except _Another:
        raise
    except _DAMAGED as error:
        said = f"{error} is missing" if isinstance(error, KeyError) else error
        raise DataError(f"{path} is damaged ({said}); write it again by --prepare") from error


class _Another(DataError):
    """The file is whole, and of other data than are wanted."""


def _deciding(section: Any) -> dict[str, Any]:
    found = {name: getattr(section, name) for name in DECIDING if hasattr(section, name)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def _check_section(path: Path, theirs: Mapping[str, Any], section: Any) -> None:
    ours, theirs = _deciding(section), _BEFORE | dict(theirs)
    theirs["name"] = COPIES.get(theirs["name"], theirs["name"])
    ours["name"] = COPIES.get(ours["name"], ours["name"])
    if (name := digests.first_difference(ours, theirs)) is not None:
        raise _Another(
            f"{path} was written for {name} {theirs[name]!r}, and the experiment has {ours[name]!r}; write it again by "
            "--prepare"
        )


def _examples(stored: Any, split: str, rows: Mapping[str, Any], timed: tuple[str, ...], notes: list[str]) -> Examples:
    arrays = {}
    for name, row in rows.items():
        array = stored[f"{split}/{name}"]
        if "files" in row:
            _check(array, row["files"], f"{split} {name}")
            array = _decoded(array, stored[f"{split}/{name}/sizes"], row["shape"], split)
            if digests.of_array(array) != row["sha256"]:
                notes.append(f"the images of {split} are decoded a little differently here: another version of Pillow")
        else:
            array = array.astype(row["dtype"])
            _check(array, row["sha256"], f"{split} {name}")
        arrays[name] = array
    return Examples(arrays, arrays.pop("lengths", None), timed)


def _check(array: np.ndarray, digest: str, what: str) -> None:
    if digests.of_array(array) != digest:
        raise ValueError(f"{what} are not what was written")


def _narrow(array: np.ndarray) -> np.ndarray:
    """Integers in the smallest dtype that holds them; deflated, they are smaller too."""
    if array.dtype.kind not in "iu" or not array.size or array.min() < 0:
        return array
    return array.astype(np.min_scalar_type(int(array.max())))


def _as_files(name: str, files: Sequence[bytes]) -> dict[str, np.ndarray]:
    sizes = np.array([len(data) for data in files], np.int64)
    return {name: np.frombuffer(b"".join(files), np.uint8), f"{name}/sizes": _narrow(sizes)}


def _decoded(data: np.ndarray, sizes: np.ndarray, shape: Sequence[int], split: str) -> np.ndarray:
    """The images ``[N, *shape]`` of files that lie behind each other, decoded in threads."""
    ends = np.cumsum(sizes.astype(np.int64))
    out = np.empty((len(ends), *shape), np.uint8)
    mode = "L" if shape[-1] == 1 else "RGB"

    def one(number: int) -> None:
        begin = int(ends[number - 1]) if number else 0
        image = decode(data[begin : int(ends[number])].tobytes(), f"{split}, image {number}")
        out[number] = np.asarray(image.convert(mode), np.uint8).reshape(shape)

    with ThreadPoolExecutor() as pool:
        list(pool.map(one, range(len(ends)), chunksize=64))
    return out
