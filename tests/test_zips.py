"""Zips of texts and of sequences: read where they lie, refused where hostile. Of images: test_image_zips.py."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rnnjax import data
from rnnjax.data import archives, sequence_reading
from rnnjax.data.sequence_table import SequenceTable
from rnnjax.data.sequences import Reading
from rnnjax.data.text_inputs import text_inputs
from rnnjax.errors import DataError
from tests import sequences_made as made


def texts(path: Path) -> list[str | DataError]:
    """What predict reads of a zip of documents."""
    return [_answer(function) for _, function in text_inputs([], [str(path)], None)]


def sequences(path: Path) -> list[np.ndarray | DataError]:
    """What predict reads of a zip of recordings."""
    found = sequence_reading.inputs(path, Reading(layout="files", rate=8000), lambda steps, place: steps)
    return [_answer(function) for _, function in found]


def _answer(function):
    try:
        return function()
    except DataError as error:
        return error


READERS = {"1.txt": (texts, b"one"), "1.wav": (sequences, made.wav_bytes(np.ones((3, 1))))}


def packed(path: Path, name: str, content: bytes, flags: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    changed = bytearray(path.read_bytes())
    changed[changed.index(b"PK\x01\x02") + 8] |= flags
    path.write_bytes(changed)
    return path


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("folder", ["/etc/", "../", "a/../../", "C:/", "a\\..\\..\\"])
def test_names_that_lead_out_of_a_zip_are_refused(tmp_path, name, folder):
    read, content = READERS[name]
    (error,) = read(packed(tmp_path / "slip.zip", folder + name, content))
    assert isinstance(error, DataError) and "leads out of the archive" in str(error)


@pytest.mark.parametrize("name", READERS)
def test_encrypted_and_swollen_and_large_zips_are_refused(tmp_path, name, monkeypatch):
    read, content = READERS[name]
    (error,) = read(packed(tmp_path / "closed.zip", name, content, flags=1))
    assert f"{name} is encrypted; unpack it with its password" in str(error)
    monkeypatch.setattr(archives, "MOST_BYTES", 2**10)
    (error,) = read(packed(tmp_path / "large.zip", name, bytes(2**11)))
    assert f"large.zip/{name}: more than" in str(error)
    monkeypatch.setattr(archives, "_BOMB_LEAST", 2**20)
    (error,) = read(packed(tmp_path / "bomb.zip", name, bytes(2**22)))
    assert "may be a decompression bomb" in str(error)


@pytest.mark.parametrize("name", READERS)
def test_a_zip_that_is_cut_off_is_refused_and_a_damaged_file_in_it_costs_the_others_nothing(tmp_path, name):
    read, content = READERS[name]
    path = packed(tmp_path / "whole.zip", name, content)
    (whole,) = read(path)
    assert not isinstance(whole, DataError)
    (tmp_path / "cut.zip").write_bytes(path.read_bytes()[:-30])
    (error,) = read(tmp_path / "cut.zip")
    assert "cut.zip: not a zip that can be read" in str(error)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"2-{name}", content)
    damaged = bytearray(path.read_bytes())
    damaged[30 + len(f"2-{name}")] ^= 0xFF  # in the first file's bytes
    path.write_bytes(damaged)
    error, other = read(path)
    assert f"whole.zip/{name}: cannot be unpacked" in str(error)
    np.testing.assert_array_equal(other, whole)


@pytest.mark.parametrize("flags", [0, 1])
def test_a_hostile_zip_of_recordings_is_not_trained_on(tmp_path, flags):
    name = "calm_1.wav" if flags else "../calm_1.wav"
    path = packed(tmp_path / "r.zip", name, READERS["1.wav"][1], flags)
    with pytest.raises(DataError, match=r"r\.zip: .*(encrypted|leads out)"):
        data.load(SequenceTable(path=str(path), name_pattern="{label}_{number}"))


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 2000), byte=st.integers(0, 255), length=st.integers(0, 300))
def test_of_a_damaged_zip_only_our_own_errors_come(tmp_path, name, place, byte, length):
    read, content = READERS[name]
    changed = bytearray(packed(tmp_path / "broken.zip", name, content).read_bytes())
    changed[-1 - place % len(changed)] = byte
    (tmp_path / "broken.zip").write_bytes(changed[: len(changed) - length * (byte % 2)])
    assert all("broken.zip" in str(one) for one in read(tmp_path / "broken.zip") if isinstance(one, DataError))
