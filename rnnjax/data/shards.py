"""The files of a prepared TFDS data set: that they are there and hold what is described, and what identifies them."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rnnjax.data.files import regular, sample_digest
from rnnjax.data.tfds import readable
from rnnjax.errors import DataError


def require(found: Any, name: str, features: Sequence[str], splits: Sequence[str]) -> None:
    """Raises DataError unless a prepared set has these features and splits, the latter whole."""
    for kind, wanted, present in (("feature", features, found.info.features), ("split", splits, found.info.splits)):
        missing = [w for w in wanted if w not in present]
        if missing:
            raise DataError(f"{name} has no {kind} {missing[0]!r}; it has {', '.join(sorted(present))}")
    require_whole(found, splits)


def require_whole(found: Any, splits: Sequence[str]) -> None:
    """Looks at the files of some splits before any of their records is decoded.

    Raises:
      DataError: if one is missing or no regular file, or holds another number of records than its description says.
    """
    for split in splits:
        with readable(found, split):
            for path, _ in _shards(found, split):
                regular(path)
    for split in splits:
        with readable(found, split):
            for path, records in _shards(found, split):
                if (held := _records(path)) != records:
                    raise DataError(
                        f"{path} holds {held:,} records where dataset_info.json says {records:,}; prepare it again"
                    )


def require_shape(found: Any, split: str, name: str, values: Sequence[np.ndarray]) -> None:
    """Compares the arrays of a feature, in the order in which they are stored, with its description.

    Raises:
      DataError: if one has another shape; it names the file.
    """
    wanted = tuple(found.info.features[name].shape)
    for number, value in enumerate(values):
        if value.shape != wanted:
            path, record = _place(found, split, number)
            raise DataError(
                f"{path}: the {name} of record {record} has shape {list(value.shape)} where features.json says "
                f"{list(wanted)}; prepare it again"
            )


def fingerprint(found: Any, splits: Sequence[str]) -> dict[str, Any]:
    """What identifies the contents of some splits of a prepared set, wherever and whenever it was copied.

    It is the set's full name, its description of the features, and of each split the names, numbers of records, sizes
    and a sample of the bytes of its files, but no time.

    Raises:
      DataError: if a file is missing or cannot be read.
    """
    described = Path(found.data_path) / "features.json"
    features = hashlib.sha256(described.read_bytes()).hexdigest() if described.is_file() else None
    digests = {}
    for split in splits:
        with readable(found, split):
            files = [[path.name, records, sample_digest(path)] for path, records in _shards(found, split)]
        digests[split] = hashlib.sha256(json.dumps(files).encode()).hexdigest()
    return {"tfds": found.info.full_name, "features": features, "splits": digests}


def _shards(found: Any, split: str) -> list[tuple[Path, int]]:
    """The files of a split with the numbers of records that its description gives them."""
    described = found.info.splits[split]
    lengths = map(int, described.shard_lengths)
    return [(Path(path), length) for path, length in zip(described.filepaths, lengths, strict=True)]


def _records(path: Path) -> int:
    from array_record.python.array_record_module import ArrayRecordReader

    reader = ArrayRecordReader(str(path))
    try:
        return reader.num_records()
    finally:
        reader.close()


def _place(found: Any, split: str, number: int) -> tuple[Path, int]:
    shards = _shards(found, split)
    ends = np.cumsum([records for _, records in shards])
    shard = int(np.searchsorted(ends, number, side="right"))
    path, records = shards[shard]
    return path, number - int(ends[shard]) + records
