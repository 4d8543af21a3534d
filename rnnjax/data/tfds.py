"""Reading TFDS data sets that were prepared in array_record format; no TensorFlow is imported.

TFDS itself would download and prepare what is missing, in a format of its choosing, and fail far
from the cause where it cannot. Here a set is either there and readable, or one sentence says what
is missing, where it was looked for, and the one command that mends it.
"""

import contextlib
import difflib
import logging
import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rnnjax.errors import DataError, MissingDataError

_READ_AT_ONCE = 1000


def builder(name: str, data_dir: str | None) -> Any:
    """The TFDS builder of a prepared data set.

    Args:
      name: a TFDS name, with config and version if wanted: ``mnist``, ``imdb_reviews/plain_text:1.0.0``.
      data_dir: the TFDS data directory; None for ``TFDS_DATA_DIR`` or TFDS's default.

    Raises:
      MissingDataError: if TFDS has no such set, or it is not prepared there.
      DataError: if it is prepared otherwise than as array_record.
    """
    where = Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    tfds = _import()
    try:
        with _quiet():
            found = tfds.builder(name, data_dir=str(where), file_format=None)
            prepared = found.is_prepared()
            if prepared:
                _read_description(found)
    except tfds.core.registered.DatasetNotFoundError as error:
        near = difflib.get_close_matches(
            name.split("/")[0].split(":")[0], tfds.list_builders(with_community_datasets=False), n=1
        )
        hint = f"; did you mean {near[0]}?" if near else ""
        raise MissingDataError(f"TFDS has no data set named {name!r}, and none is prepared in {where}{hint}") from error
    except Exception as error:  # what TFDS and protobuf raise at damaged descriptions has no common name
        raise DataError(f"TFDS cannot read {name!r} in {where}: {_reason(error)}") from error
    if not prepared:
        raise MissingDataError(f"the data set {name} is not prepared in {where}; {_how_to_prepare(name, where)}")
    if found.info.file_format is None or found.info.file_format.value != "array_record":
        # TFDS keeps one format in a folder and refuses to add another.
        beside = where / "array_record"
        stored = getattr(found.info.file_format, "value", "another format")
        raise DataError(
            f"the data set {name} in {where} is prepared as {stored}, "
            f"which only TensorFlow can read; {_how_to_prepare(name, beside)}\n"
            f"and read it from there with --data.data-dir {shlex.quote(str(beside))}"
        )
    return found


def columns(found: Any, split: str, names: tuple[str, ...]) -> dict[str, list[Any]]:
    """All values of some features of a split, in the order in which they are stored.

    Raises:
      DataError: if its files are missing or cannot be read.
    """
    values: dict[str, list[Any]] = {name: [] for name in names}
    with _quiet(), readable(found, split):
        for example in _examples(found.as_data_source(split=split)):
            for name in names:
                values[name].append(example[name])
    return values


def texts(found: Any, split: str, *names: str) -> Iterator[tuple[Any, ...]]:
    """The feature ``text`` of each example as a string, followed by the other features that are named.

    Bytes that are no UTF-8 become U+FFFD. Raises DataError as :func:`columns` does.
    """
    read = columns(found, split, ("text", *names))
    for text, *others in zip(*(read[name] for name in ("text", *names)), strict=True):
        yield (text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text), *others)


def encoded(found: Any, split: str, name: str) -> Callable[[list[int]], list[bytes]]:
    """A function from record numbers to an image feature's bytes as they are stored; threads may share it.

    Raises:
      DataError: if the split's files are missing; so does the function where a record cannot be read.
    """
    with _quiet(), readable(found, split):
        source = found.as_data_source(split=split, decoders={name: _import().decode.SkipDecoding()})

    def fetch(numbers: list[int]) -> list[bytes]:
        with readable(found, split):
            return [example[name] for example in source.__getitems__(numbers)]

    return fetch


def labels(found: Any, split: str) -> np.ndarray:
    """The feature ``label`` of a whole split, ``[N]`` int32; its images are not decoded.

    Raises:
      DataError: if its files are missing or cannot be read.
    """
    with _quiet(), readable(found, split):
        source = found.as_data_source(split=split, decoders={"image": _import().decode.SkipDecoding()})
        return np.array([example["label"] for example in _examples(source)], np.int32)


def class_names(found: Any) -> tuple[str, ...]:
    """Names of the classes of the feature ``label``."""
    label = found.info.features["label"]
    if not hasattr(label, "num_classes"):
        raise DataError(f"{found.info.full_name}: its label is no class label but {label}")
    return tuple(getattr(label, "names", None) or map(str, range(label.num_classes)))


@contextlib.contextmanager
def readable(found: Any, split: str) -> Iterator[None]:
    """Whatever goes wrong within while a split's files are read becomes a DataError that names the split."""
    try:
        yield
    except (RuntimeError, OSError, ValueError, LookupError, TypeError, SyntaxError, DataError) as error:
        raise DataError(f"the split {split} of {found.info.full_name} cannot be read: {_reason(error)}") from error


def _read_description(found: Any) -> None:
    """What TFDS reads of a set's description only when it is asked for, so that it fails here if it does."""
    dict(found.info.features)
    for split in found.info.splits.values():
        list(split.shard_lengths)
        list(split.filepaths)


def _examples(source: Any) -> Iterator[dict[str, np.ndarray]]:
    for start in range(0, len(source), _READ_AT_ONCE):  # reading many at once is several times faster
        yield from source.__getitems__(list(range(start, min(start + _READ_AT_ONCE, len(source)))))


def _how_to_prepare(name: str, where: Path) -> str:
    return (
        "prepare it once, with TensorFlow (pip install 'tensorflow-cpu>=2.21'), by\n"
        f"  python -m rnnjax.data.prepare {name} --data-dir {shlex.quote(str(where))}"
    )


def _reason(error: Exception) -> str:
    """The first line of TFDS's message, without the arguments that it repeats."""
    first = (str(error) or type(error).__name__).splitlines()[0]
    return first.rpartition('}": ')[2].strip()


def _import() -> Any:
    with _quiet():
        import tensorflow_datasets as tfds
    return tfds


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps to itself what is no news to a user, such as TFDS's regret that there is no OpenCV."""
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
