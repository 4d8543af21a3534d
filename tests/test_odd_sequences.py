"""Whatever a file of sequences holds, what comes out is a data set or an error of ours that names a place."""

import contextlib
import functools
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rnnjax import data
from rnnjax.data.sequence_table import SequenceTable
from rnnjax.errors import DataError, UsageError
from tests import sequences_made as made

WORDS = """? nan NaN inf -1e400 1e308 1e-320 0 1 2.5 1,5 1_0 a a|b | : " ٣ 2024-05-01 2024-05-01T10:00+02:00 - (1,2) é
True null @data"""
WORDS = """? nan NaN inf -1e400 1e308 1e-320 0 1 2.5 1,5 1_0 a a|b | : " ٣ 2024-05-01 2024-05-01T10:00+02:00 - (1,2) é
True null @data"""
CELLS = st.sampled_from([*WORDS.split(), "", " ", "\t", "\x00", "9" * 400])
HEADERS = st.sampled_from(["id", "time", "label", "x", "y", "class", "group", "", "ID", "target", "0", "date", "a b"])


@functools.cache
def originals() -> dict[str, bytes]:
    """The files that are spoiled, by their names."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        made.long_table(root / "long.csv")
        made.wide_table(root / "wide.csv")
        made.ts_file(root / "A.ts")
        made.wav_zip(root / "r.zip")
        np.save(root / "a.npy", made.SERIES[0])
        (root / "a.wav").write_bytes(made.wav_bytes(made.SERIES[0][:, 0]))
        return {path.name: path.read_bytes() for path in root.iterdir()}


def is_read_or_refused(path: Path, **options) -> None:
    with contextlib.suppress(DataError, UsageError):
        data.load(SequenceTable(path=str(path), batch_size=4, **options))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.lists(HEADERS, min_size=1, max_size=6), st.data())
def test_odd_tables_are_read_or_refused(header, draw):
    width = len(header)
    whole = st.lists(CELLS, min_size=width, max_size=width)
    row = whole | st.lists(CELLS, min_size=max(width - 1, 1), max_size=width + 1)
    rows = draw.draw(st.lists(row, max_size=12))
    delimiter = draw.draw(st.sampled_from([",", ";", "\t"]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "odd.csv"
        path.write_text("\n".join(delimiter.join(cells) for cells in [header, *rows]), encoding="utf-8")
        for target in ("auto", draw.draw(st.sampled_from(["class", "labels", "number", "steps"]))):
            is_read_or_refused(path, target=target, layout=draw.draw(st.sampled_from(["auto", "long", "wide"])))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.data())
def test_damaged_files_are_read_or_refused(draw):
    name = draw.draw(st.sampled_from(sorted(originals())))
    content = bytearray(originals()[name])
    for _ in range(draw.draw(st.integers(1, 4))):
        place = draw.draw(st.integers(0, len(content) - 1))
        kind = draw.draw(st.sampled_from(["flip", "cut", "insert", "remove"]))
        if kind == "flip":
            content[place] = draw.draw(st.integers(0, 255))
        elif kind == "cut":
            del content[place + 1 :]
        elif kind == "insert":
            content[place:place] = draw.draw(st.binary(min_size=1, max_size=5) | CELLS.map(str.encode))
        else:
            del content[place : place + draw.draw(st.integers(1, 20))]
        if not content:
            break
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        if name[0] == "a":  # a file a sequence: the damaged one among others
            made.class_folders(root, Path(name).suffix)
            (root / "calm" / f"00{Path(name).suffix}").write_bytes(content)
            is_read_or_refused(root)
        else:
            (root / name).write_bytes(content)
            is_read_or_refused(root / name, name_pattern="{label}_{group}_{number}" if name == "r.zip" else "")


@pytest.mark.parametrize("kind", ["folder", "nothing", "empty", "device"])
def test_paths_that_are_no_sequences_are_refused(kind, tmp_path):
    path = {"nothing": tmp_path / "no.ts", "device": Path("/dev/null"), "folder": tmp_path}.get(kind, tmp_path / "a.ts")
    if kind == "empty":
        path.write_bytes(b"")
    with pytest.raises(DataError):
        data.load(SequenceTable(path=str(path)))
