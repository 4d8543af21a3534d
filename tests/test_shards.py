"""TFDS files that are damaged, exchanged or not as described, and what a user is told of the examples in them."""

import json
import os
import random
import shutil
import time

import numpy as np
import pytest

from experiments.benchmarks.prepared_tfds import jpeg, write
from rnnjax import data
from rnnjax.config import ImageData
from rnnjax.data import shards, tfds
from rnnjax.errors import DataError

SPLITS = {"train": 40, "test": 8}


def pictures(seed, count):
    rng = np.random.default_rng(seed)
    return [(jpeg(rng.integers(0, 256, (16, 16, 3), np.uint8)), n % 2) for n in range(count)]


@pytest.fixture
def home(tmp_path):
    """A prepared set ``toy`` with two files a split."""
    splits = {split: pictures(seed, count) for seed, (split, count) in enumerate(SPLITS.items())}
    return write(tmp_path, "toy", 2, splits, side=16)


def load(home, **options):
    root = home.parents[1]
    return data.load(ImageData(name="toy", data_dir=str(root), cache_dir=str(root / "cache"), **options))


def refused(home):
    with pytest.raises(DataError) as error:
        load(home)
    return str(error.value)


def shard(home, split, number):
    return home / f"toy-{split}.array_record-{number:05d}-of-00002"


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_set_that_fits_its_description_needs_no_word(home):
    dataset = load(home)
    assert [len(split) for split in (dataset.train, dataset.validation, dataset.test)] == [36, 4, 8]
    assert dataset.notes == ()


# What does not fit the description


@pytest.mark.parametrize(("old", "new"), [(20, 10), (20, 30)])
def test_another_number_of_records_is_refused(home, old, new):
    edit(home / "dataset_info.json", f'"{old}", "{old}"', f'"{old}", "{new}"')
    path = shard(home, "train", 1)
    message = f"{path} holds {old} records where dataset_info.json says {new}; prepare it again"
    assert refused(home) == f"the split train of toy/1.0.0 cannot be read: {message}"


@pytest.mark.parametrize("shape", ["8, 8, 3", "16, 16, 1"])
def test_images_of_another_shape_than_described_are_refused(home, shape):
    dimensions = ", ".join(f'"{size}"' for size in shape.split(", "))
    edit(home / "features.json", '"16", "16", "3"', dimensions)
    message = refused(home)
    if shape.endswith("3"):
        expected = f"the image of record 0 has shape [16, 16, 3] where features.json says [{shape}]; prepare it again"
        assert message == f"{shard(home, 'train', 0)}: {expected}"


def test_the_file_of_an_image_of_another_shape_is_named(home):
    found = tfds.builder("toy", str(home.parents[1]))
    images = [np.zeros((16, 16, 3))] * 40
    shards.require_shape(found, "train", "image", images)
    for number, (file, record) in {0: (0, 0), 19: (0, 19), 20: (1, 0), 39: (1, 19)}.items():
        odd = [*images[:number], np.zeros((16, 15, 3)), *images[number + 1 :]]
        with pytest.raises(DataError, match=f"{shard(home, 'train', file)}: the image of record {record} has shape"):
            shards.require_shape(found, "train", "image", odd)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("how", ["gone", "pipe", "folder", "empty"])
def test_a_file_that_is_none_is_found_before_anything_is_decoded(home, split, how, monkeypatch):
    path = shard(home, split, 1)
    path.unlink()
    {"gone": lambda path: None, "pipe": os.mkfifo, "folder": os.mkdir, "empty": lambda p: p.touch()}[how](path)

    def never(*_):
        raise AssertionError("decoded")

    monkeypatch.setattr(tfds, "columns", never)
    message = refused(home)
    assert message.startswith(f"the split {split} of toy/1.0.0 cannot be read: ")
    assert how == "empty" or f"{path}: {'no such' if how == 'gone' else 'not a regular'} file" in message


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json"])
def test_a_damaged_description_is_one_sentence(home, name):
    """Whatever is in it: emptied, cut anywhere, bits flipped, nested a hundred thousand deep."""
    whole, rng = (home / name).read_bytes(), random.Random(0)
    contents = [b"", b"{}", b"null", b"[1]", b"\xff\xfe", b"[" * 100_000, b'{"featuresDict":' * 100_000]
    contents += [whole[:length] for length in range(1, len(whole) - 1, 97)]
    for _ in range(12):
        flipped = bytearray(whole)
        for _ in range(8):
            flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        contents.append(bytes(flipped))
    for content in contents:
        (home / name).write_bytes(content)
        try:
            load(home)  # a flipped bit may lie in what decides nothing
        except DataError as error:
            assert "\n" not in str(error).split("; prepare it once")[0]
    (home / name).write_bytes(b"")
    assert "toy" in refused(home)


# The key of the cache


def test_exchanged_files_are_read_anew(home):
    """Other images in as many records, as a set that was prepared again; names and numbers are as they were."""
    before = load(home)
    shutil.rmtree(home)
    write(home.parents[1], "toy", 2, {split: pictures(9, count) for split, count in SPLITS.items()}, side=16)
    after = load(home)
    assert not np.array_equal(before.train["inputs"], after.train["inputs"])
    shard(home, "test", 0).unlink()
    assert "no such file" in refused(home), "and it is not answered from the cache"


@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_a_changed_byte_is_another_key_and_a_copy_is_the_same(home, tmp_path, place):
    def key(root):
        return shards.fingerprint(tfds.builder("toy", str(root)), ("train", "test"))

    first = key(tmp_path)
    shutil.copytree(home, tmp_path / "copy" / "toy" / "1.0.0")
    for path in (tmp_path / "copy").rglob("*"):
        os.utime(path, (time.time() + 1000,) * 2)
    assert key(tmp_path / "copy") == first
    path = shard(tmp_path / "copy" / "toy" / "1.0.0", "train", 1)
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] ^= 1
    path.write_bytes(content)
    changed = key(tmp_path / "copy")
    assert changed["splits"]["train"] != first["splits"]["train"]
    assert changed["splits"]["test"] == first["splits"]["test"]
    assert json.loads(json.dumps(changed)) == changed


def test_streamed_images_are_keyed_alike(home):
    before = load(home, crop_size=8)
    shutil.rmtree(home)
    write(home.parents[1], "toy", 2, {split: pictures(9, count) for split, count in SPLITS.items()}, side=16)
    after = load(home, crop_size=8)
    assert before.preprocess != after.preprocess, "other means"


# What a user is told


def test_a_copied_file_is_told(home):
    shutil.copy(shard(home, "train", 0), shard(home, "train", 1))
    (note,) = load(home).notes
    assert "training examples occur more than once" in note


def test_test_examples_that_are_trained_on_are_told(home):
    shutil.rmtree(home)
    trained = pictures(0, 40)
    write(home.parents[1], "toy", 3, {"train": trained, "test": [*trained[:6], *pictures(1, 2)]}, side=16)
    dataset = load(home, validation_fraction=0.1)
    # A test image may be of those that are held out to validate.
    rows = {image.tobytes() for image in np.asarray(dataset.train["inputs"])}
    count = sum(image.tobytes() in rows for image in np.asarray(dataset.test["inputs"]))
    assert count > 0
    assert dataset.notes == (
        "1 of 3 classes have no training example: '2'",
        f"{count} of 8 test examples are also training examples",
    )
