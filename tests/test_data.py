"""From raw input to checked, cached examples, and what a user is told when that fails."""

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from sklearn.preprocessing import StandardScaler

from rnnjax import data
from rnnjax.config import DataConfig, ImageData, TextData
from rnnjax.data import Dataset, ImagePreprocess, TextPreprocess, cache, labelled, preprocess, tfds
from rnnjax.data.examples import hold_out
from rnnjax.data.tokens import Vocabulary
from rnnjax.errors import DataError, UsageError
from rnnjax.tasks import Classification

LABELS = np.array([0, 1, 0, 1], np.int32)
PREPROCESS = ImagePreprocess((2, 3, 1), (0.25,), (0.5,), ("no", "yes"))


def images(count, dtype=np.uint8):
    return np.arange(count * 6).reshape(count, 2, 3, 1).astype(dtype)


# Examples and data sets


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"inputs": images(0), "labels": LABELS[:0]}, "empty"),
        ({"inputs": images(3), "labels": LABELS}, "3 inputs but 4 labels"),
        ({"inputs": images(4), "labels": LABELS, "lengths": LABELS[:2]}, "2 lengths but 4 inputs"),
        ({"inputs": images(4), "labels": LABELS.astype(float)}, "labels must be integers, got float64"),
        ({"inputs": images(4), "labels": LABELS[:, None]}, r"labels must be one .*\[N\], got \[4, 1\]; .*\[:, 0\]"),
        ({"inputs": images(4), "labels": np.eye(3, dtype=int)[LABELS]}, r"\[N\], got \[4, 3\]; take labels.argmax"),
        ({"inputs": images(4), "labels": np.zeros((4, 2, 2), int)}, r"\[N\], got \[4, 2, 2\]$"),
        ({"inputs": images(4), "labels": np.int32(1)}, r"labels must be one integer an example, \[N\], got \[\]"),
        ({"inputs": images(4), "labels": [0, 1, 0, 1]}, r"labels must be an array \[N\] of integers, got a list"),
        ({"inputs": np.float32(1), "labels": LABELS}, r"inputs must be an array with a row an example, .*got float32"),
        ({"inputs": np.zeros(4), "labels": LABELS}, r"with two axes or more, got \[4\]"),
        ({"inputs": [[0, 1]] * 4, "labels": LABELS}, "with two axes or more, got list"),
        ({"inputs": np.zeros((4, 2), complex), "labels": LABELS}, "must be integers or floats, got complex128"),
        ({"inputs": np.full((4, 2), "a"), "labels": LABELS}, "must be integers or floats, got <U1"),
        ({"inputs": np.full((4, 2), "a", object), "labels": LABELS}, "must be integers or floats, got object"),
        ({"inputs": np.zeros((4, 5)), "labels": LABELS, "lengths": LABELS[:, None]}, r"lengths .*, got \[4, 1\]"),
        (
            {"inputs": np.zeros((4, 5)), "labels": LABELS, "lengths": LABELS + 0.5},
            "lengths must be integers, got float",
        ),
        ({"inputs": np.zeros((4, 5), np.int32), "labels": LABELS, "lengths": LABELS + 5}, "0..5, example 1 got 6"),
        ({"inputs": np.zeros((4, 5), np.int32), "labels": LABELS, "lengths": LABELS - 1}, "0..5, example 0 got -1"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(arrays, message):
    with pytest.raises(DataError, match=message):
        labelled(**arrays)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, jnp.bfloat16])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_float_that_is_not_finite_is_found(bad, dtype):
    inputs = images(4, dtype)
    inputs[2, 1, 0, 0] = bad
    with pytest.raises(DataError, match="NaN or infinity, first in example 2"):
        labelled(inputs, LABELS)


def test_labels_outside_the_classes_are_found():
    good = labelled(images(4), LABELS)
    for label in (2, -1):
        labels = LABELS.copy()
        labels[3] = label
        with pytest.raises(DataError, match=f"toy: label {label} of example 3 in test lies outside the 2 classes 0..1"):
            Classification().check_data(Dataset("toy", good, good, labelled(images(4), labels), PREPROCESS))


def test_one_class_is_not_enough():
    good = labelled(images(4), LABELS)
    dataset = Dataset("toy", labelled(images(4), np.ones(4, np.int32)), good, good, PREPROCESS)
    with pytest.raises(DataError, match="one class only"):
        Classification().check_data(dataset)


def test_take_keeps_rows_together():
    lengths = np.array([1, 2, 3, 4], np.int32)
    taken = labelled(np.arange(16).reshape(4, 4), LABELS, lengths).take(np.array([3, 0]))
    np.testing.assert_array_equal(taken["inputs"][:, 0], [12, 0])
    np.testing.assert_array_equal(taken["labels"], [1, 0])
    np.testing.assert_array_equal(taken.lengths, [4, 1])


# The validation split


def test_hold_out_is_stratified_and_always_the_same():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [100, 60, 20]))
    kept, held = hold_out(labels, 0.25)
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, held])), np.arange(180))
    np.testing.assert_array_equal(np.bincount(labels[held]), [25, 15, 5])
    assert (np.diff(kept) > 0).all()
    assert (np.diff(held) > 0).all()
    for again, first in zip(hold_out(labels, 0.25), (kept, held), strict=True):
        np.testing.assert_array_equal(again, first)


@pytest.mark.parametrize(("labels", "fraction"), [([0, 0, 0, 1], 0.5), ([0, 1] * 10, 0.01), ([0, 1] * 10, 0.99)])
def test_a_class_that_cannot_be_in_both_parts_is_an_error(labels, fraction):
    with pytest.raises(DataError, match=f"cannot hold out {fraction} of {len(labels)} examples by class"):
        hold_out(np.array(labels), fraction)


# The cache


def test_the_cache_makes_each_content_once(tmp_path):
    calls = []

    def make(value):
        calls.append(value)
        return {"inputs": np.full((2, 3), value, np.uint8), "labels": np.array([value])}

    def get(content, value):
        return cache.arrays(tmp_path, content, lambda: make(value))

    get({"name": "a", "size": 1}, 1)
    again = get({"size": 1, "name": "a"}, 2)  # the order of keys is no content
    assert calls == [1]
    np.testing.assert_array_equal(again["inputs"], np.full((2, 3), 1))
    assert set(again) == {"inputs", "labels"}
    assert not again["inputs"].flags.writeable
    assert get({"name": "a", "size": 2}, 3)["labels"] == [3]
    assert calls == [1, 3]


def test_the_cache_is_readable_by_numpy_alone(tmp_path):
    cache.arrays(tmp_path, {"name": "a"}, lambda: {"inputs": np.arange(3)})
    (folder,) = tmp_path.iterdir()
    np.testing.assert_array_equal(np.load(folder / "inputs.npy"), np.arange(3))
    assert json.loads((folder / "content.json").read_text())["name"] == "a"


def test_a_half_written_folder_is_never_read(tmp_path, monkeypatch):
    content = {"name": "a"}
    save = np.save

    def fail_at_labels(path, array):
        if "labels" in str(path):
            raise OSError(28, "No space left on device")
        save(path, array)

    def make():
        return {"inputs": np.arange(3), "labels": np.arange(3)}

    monkeypatch.setattr(np, "save", fail_at_labels)
    with pytest.raises(DataError, match="No space left on device"):
        cache.arrays(tmp_path, content, make)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(np, "save", save)
    cache.arrays(tmp_path, content, make)
    (complete,) = tmp_path.iterdir()

    # What a killed process leaves behind has another name than what is read.
    abandoned = tmp_path / f"{complete.name}.abcd"
    complete.rename(abandoned)
    (abandoned / "labels.npy").unlink()
    assert set(cache.arrays(tmp_path, content, make)) == {"inputs", "labels"}


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def exchange(folder):
    (folder / "inputs.npy").rename(folder / "aside")
    (folder / "labels.npy").rename(folder / "inputs.npy")
    (folder / "aside").rename(folder / "labels.npy")


def describe(folder, **changes):
    path = folder / "content.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def replace_by(folder, name, make):
    (folder / name).unlink()
    make(folder / name)


DAMAGE = {
    "cut": lambda f: (f / "inputs.npy").write_bytes((f / "inputs.npy").read_bytes()[:1000]),
    "gone": lambda f: (f / "labels.npy").unlink(),
    "a bit of the data": lambda f: flip(f / "inputs.npy", 1500),
    "a bit of the header": lambda f: flip(f / "inputs.npy", 30),
    "a bit of the magic": lambda f: flip(f / "inputs.npy", 0),
    "zeros": lambda f: (f / "inputs.npy").write_bytes(bytes((f / "inputs.npy").stat().st_size)),
    "exchanged": exchange,
    "undescribed": lambda f: (f / "content.json").unlink(),
    "a bit of the description": lambda f: flip(f / "content.json", 30),
    "no JSON": lambda f: (f / "content.json").write_text("{"),
    "deep JSON": lambda f: (f / "content.json").write_text("[" * 100_000),
    "another kind of JSON": lambda f: (f / "content.json").write_text("null"),
    "another content": lambda f: describe(f, name="b"),
    "fewer files": lambda f: describe(f, files_written={}),
    "a pipe": lambda f: replace_by(f, "inputs.npy", os.mkfifo),
    "a piped description": lambda f: replace_by(f, "content.json", os.mkfifo),
    "a folder": lambda f: replace_by(f, "inputs.npy", os.mkdir),
    "a file in its place": lambda f: (shutil.rmtree(f), f.write_text("")),
    "a link in its place": lambda f: (shutil.rmtree(f), f.symlink_to(f.parent)),
}


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """Gets two arrays from the cache, as a process does that has not seen it before."""

    def get():
        monkeypatch.setattr(cache, "_verified", set())
        return cache.arrays(tmp_path, {"name": "a"}, lambda: {"inputs": np.arange(300), "labels": np.arange(3)})

    return get


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_folder_is_made_again_with_one_note(tmp_path, cached, damage, capsys):
    cached()
    (folder,) = tmp_path.iterdir()
    assert capsys.readouterr().err == ""
    DAMAGE[damage](folder)
    for _ in range(2):
        found = cached()
        assert set(found) == {"inputs", "labels"}
        np.testing.assert_array_equal(found["inputs"], np.arange(300))
        np.testing.assert_array_equal(found["labels"], np.arange(3))
    assert capsys.readouterr().err == f"note: the data cache {folder} is damaged and is made again\n"
    assert list(tmp_path.iterdir()) == [folder]


def test_a_cache_without_digests_is_made_again_without_a_word(tmp_path, cached, capsys):
    cached()
    (folder,) = tmp_path.iterdir()
    described = json.loads((folder / "content.json").read_text())
    del described["files_written"], described["digest"]
    sizes = {path.name: path.stat().st_size for path in folder.glob("*.npy")}
    (folder / "content.json").write_text(json.dumps({**described, "file_bytes": sizes}))
    cached()
    assert "digest" in json.loads((folder / "content.json").read_text())
    assert capsys.readouterr().err == ""


def test_the_digests_are_those_of_sha256sum(tmp_path, cached):
    cached()
    (folder,) = tmp_path.iterdir()
    described = json.loads((folder / "content.json").read_text())
    for name, digest in described["files_written"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_a_stray_array_is_not_read_and_bytes_are_checked_once(tmp_path, cached, monkeypatch):
    cached()
    (folder,) = tmp_path.iterdir()
    np.save(folder / "more.npy", np.arange(3))
    assert set(cached()) == {"inputs", "labels"}

    def never(path):
        raise AssertionError(f"{path} is read again")

    monkeypatch.setattr(cache, "digest", never)
    assert set(cache.arrays(tmp_path, {"name": "a"}, lambda: never(folder))) == {"inputs", "labels"}


def test_two_processes_may_finish_the_same_folder(tmp_path):
    def make():
        inner = cache.arrays(tmp_path, {"name": "a"}, lambda: {"inputs": np.arange(3)})
        return {name: np.array(array) for name, array in inner.items()}

    np.testing.assert_array_equal(cache.arrays(tmp_path, {"name": "a"}, make)["inputs"], np.arange(3))
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["file/below", "n" * 300])
def test_a_cache_that_cannot_be_written_is_named(tmp_path, name):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DataError, match=r"cannot write the data cache .*--data\.cache-dir"):
        cache.arrays(tmp_path / name, {"name": "a"}, lambda: {"inputs": np.arange(3)})


# Preprocessing


def test_images_are_normalised_by_the_statistics_of_training():
    train = np.random.default_rng(0).integers(0, 256, (50, 4, 5, 3), np.uint8)
    fitted = ImagePreprocess.fit(train, ["a", "b"])
    normal = np.asarray(fitted(train)["inputs"])
    assert normal.dtype == np.float32
    np.testing.assert_allclose(normal.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(normal.std((0, 1, 2)), 1, atol=1e-5)
    # Floats in 0..1 mean the same pixels.
    np.testing.assert_allclose(fitted((train / 255).astype(np.float32))["inputs"], normal, atol=1e-5)


CHANNELS = np.random.default_rng(1).integers(0, 256, (40, 6, 5), np.uint8)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("constant", [0, 1, 100, 255])
def test_a_constant_channel_is_divided_by_one_as_scikit_learn_does(constant, dtype):
    """A float's mean is rounded, and then a constant has a variance of about 1e-34."""
    train = np.stack([CHANNELS, np.full_like(CHANNELS, constant), CHANNELS], -1)
    new = np.stack([CHANNELS, np.full_like(CHANNELS, constant ^ 1), CHANNELS], -1)
    if dtype != np.uint8:
        train, new = (train / 255).astype(dtype), (new / 255).astype(dtype)
    fitted = ImagePreprocess.fit(train, ["a", "b"])
    scale = 1 / 255 if dtype == np.uint8 else 1.0
    peer = StandardScaler().fit(train.reshape(-1, 3).astype(np.float64) * scale)
    np.testing.assert_allclose(fitted.std, peer.scale_, rtol=1e-6)
    assert fitted.std[1] == 1
    expected = peer.transform(new.reshape(-1, 3).astype(np.float64) * scale).reshape(new.shape)
    np.testing.assert_allclose(fitted(new)["inputs"], expected, atol=2e-6)


@pytest.mark.parametrize("spread", [1e-9, 1e-6, 1e-3])
def test_a_channel_that_varies_little_is_no_constant(spread):
    train = 0.1 + spread * np.random.default_rng(0).normal(size=(20, 6, 5, 1))
    peer = StandardScaler().fit(train.reshape(-1, 1))
    np.testing.assert_allclose(ImagePreprocess.fit(train, ["a", "b"]).std, peer.scale_, rtol=1e-6)


def test_images_of_another_shape_are_refused():
    with pytest.raises(DataError, match=r"\[B, 2, 3, 1\], got \(4, 3, 2, 1\)"):
        PREPROCESS(np.zeros((4, 3, 2, 1), np.uint8))


TEXT = TextPreprocess(Vocabulary(("<pad>", "<unk>", "ünï", "don't", '"')), 4, ("neg", "pös"))


def test_documents_become_ids_with_lengths():
    inputs = TEXT(["Ünï, don't\0 go.", ""])
    np.testing.assert_array_equal(inputs["inputs"], [[2, 3, 1, 1], [0, 0, 0, 0]])
    np.testing.assert_array_equal(inputs["lengths"], [4, 0])


CHARACTERS = TextPreprocess(Vocabulary(("<pad>", "<unk>", "\n", "\0", "ü")), 4, ("neg", "pös"), "characters")
BYTES = TextPreprocess(Vocabulary.of_bytes(), 4, ("neg", "pös"), "bytes")


def test_characters_and_bytes_become_ids():
    np.testing.assert_array_equal(CHARACTERS(["ü\nx"])["inputs"], [[4, 2, 1, 0]])
    np.testing.assert_array_equal(BYTES(["aü"])["inputs"], [[0x61 + 2, 0xC3 + 2, 0xBC + 2, 0]])


CROPPED = dataclasses.replace(PREPROCESS, shape=(2, 2, 1), center_crop=True)


@pytest.mark.parametrize(
    "what", [PREPROCESS, CROPPED, TEXT, CHARACTERS, BYTES], ids=["image", "cropped", "words", "characters", "bytes"]
)
def test_preprocessing_there_and_back(tmp_path, what):
    preprocess.save(what, tmp_path / "p.json")
    assert preprocess.load(tmp_path / "p.json") == what


def test_a_preprocessing_without_a_tokenizer_is_of_words(tmp_path):
    content = {"kind": "text", "vocabulary": ["<pad>", "<unk>"], "max_length": 4, "class_names": ["a", "b"]}
    (tmp_path / "p.json").write_text(json.dumps(content))
    assert preprocess.load(tmp_path / "p.json").tokenizer == "words"


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        "{",
        "[]",
        "null",
        "[" * 100_000,
        '{"kind": "text"}',
        '{"kind": "text", "vocabulary": [], "max_length": 4, "class_names": [], "tokenizer": "syllables"}',
        '{"kind": "image", "class_names": [], "shape": [1]}',
    ],
)
def test_a_preprocessing_that_cannot_be_read_is_named(tmp_path, content):
    path = tmp_path / "p.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=r"p\.json: not a readable preprocessing"):
        preprocess.load(path)


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        *((PREPROCESS, {"shape": shape}) for shape in ([-1, 3, 1], ["2", 3, 1], [2, 3], [2, 3, 2], [2, 0, 1], 5, None)),
        *((PREPROCESS, {"mean": mean}) for mean in (["a"], [], [0.1, 0.2], [float("nan")], 1, None)),
        *((PREPROCESS, {"std": std}) for std in ([0.0], [-1], [float("inf")], ["1"], [1, 1])),
        *((TEXT, {"max_length": length}) for length in (0, -1, 1.5, "4", None, True)),
        *((TEXT, {"vocabulary": words}) for words in ([], [1, 2, 3], "words", {"a": 1}, None)),
        *((what, {"class_names": names}) for what in (PREPROCESS, TEXT) for names in ([], ["one"], [1, 2], "ab", None)),
        *((what, {"kind": "image" if what is TEXT else "text"}) for what in (PREPROCESS, TEXT)),
    ],
)
def test_a_preprocessing_with_a_value_that_cannot_be_is_named(tmp_path, what, changes):
    path = tmp_path / "p.json"
    preprocess.save(what, path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(DataError, match=r"p\.json: not a readable preprocessing"):
        preprocess.load(path)


def test_image_files_are_read_as_the_training_images_were(tmp_path):
    pixels = np.array([[0, 128, 255], [1, 2, 3]], np.uint8)
    Image.fromarray(pixels).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(PREPROCESS.read_file(tmp_path / "grey.png"), pixels[..., None])
    Image.fromarray(np.full((20, 30, 3), 77, np.uint8)).save(tmp_path / "large.png")
    np.testing.assert_array_equal(PREPROCESS.read_file(tmp_path / "large.png"), np.full((2, 3, 1), 77))
    in_color = ImagePreprocess((2, 3, 3), (0.0,) * 3, (1.0,) * 3, ("no", "yes"))
    np.testing.assert_array_equal(in_color.read_file(tmp_path / "grey.png"), np.repeat(pixels[..., None], 3, -1))


def test_image_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.png: no such file"):
        PREPROCESS.read_file(tmp_path / "none.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)).save(tmp_path / "cut.png")
    whole = (tmp_path / "cut.png").read_bytes()
    contents = {"text.png": b"no image", "empty.png": b"", "cut.png": whole[: len(whole) // 2], "head.png": whole[:20]}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=f"{name}: not a readable image"):
            PREPROCESS.read_file(tmp_path / name)
    with pytest.raises(DataError, match="not a readable image"):
        PREPROCESS.read_file(tmp_path)


def test_samples_are_what_prediction_reads(tmp_path):
    test = labelled(images(4), LABELS)
    PREPROCESS.save_samples(Dataset("toy", test, test, test, PREPROCESS), (), tmp_path)
    for path, image in zip(sorted(tmp_path.glob("*")), images(4), strict=True):
        np.testing.assert_array_equal(PREPROCESS.read_file(path), image)


# Sources


def test_digits():
    dataset = data.load(ImageData(name="digits", validation_fraction=0.1))
    splits = (dataset.train, dataset.validation, dataset.test)
    assert [len(split) for split in splits] == [1293, 144, 360]
    assert sum(len(split) for split in splits) == 1797
    for split in splits:
        assert split["inputs"].dtype == np.uint8
        assert split["inputs"].shape[1:] == (8, 8, 1)
        # Stratified: the classes of the whole set are near even.
        assert np.bincount(split["labels"], minlength=10).min() > 0.09 * len(split)
    assert dataset.train["inputs"].max() == 255
    smaller = data.load(ImageData(name="digits", validation_fraction=0.4))
    np.testing.assert_array_equal(smaller.test["inputs"], dataset.test["inputs"])


def test_a_kind_of_data_without_a_reader_is_refused():
    with pytest.raises(UsageError, match="DataConfig"):
        data.load(DataConfig(name="x"))


def fake_tfds(folder: Path, name: str, file_format: str, features: dict) -> None:
    """What TFDS leaves beside the records of a prepared set; there are no records."""
    home = folder / name / "1.0.0"
    home.mkdir(parents=True)
    split = {
        "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
        "numBytes": "9",
        "shardLengths": ["2"],
    }
    info = {"name": name, "version": "1.0.0", "fileFormat": file_format, "splits": [{"name": "train", **split}]}
    (home / "dataset_info.json").write_text(json.dumps(info))
    root = "tensorflow_datasets.core.features"
    known = {
        "image": {
            "image": {"dtype": "uint8", "shape": {"dimensions": ["28", "28", "1"]}},
            "pythonClassName": f"{root}.image_feature.Image",
        },
        "label": {"classLabel": {"numClasses": "10"}, "pythonClassName": f"{root}.class_label_feature.ClassLabel"},
    }
    described = {"featuresDict": {"features": {f: known[f] for f in features}}}
    (home / "features.json").write_text(
        json.dumps({**described, "pythonClassName": f"{root}.features_dict.FeaturesDict"})
    )


def message_of(name: str, folder: Path) -> str:
    with pytest.raises(DataError) as error:
        data.load(ImageData(name=name, data_dir=str(folder)))
    return str(error.value)


def test_an_unknown_tfds_name_is_answered_with_the_nearest(tmp_path):
    message = message_of("mnits", tmp_path)
    assert "no data set named 'mnits'" in message
    assert str(tmp_path) in message
    assert message.endswith("did you mean mnist?")


def test_a_set_that_is_not_prepared_is_answered_with_the_command(tmp_path):
    folder = tmp_path / "with space"
    message = message_of("mnist", folder)
    assert f"the data set mnist is not prepared in {folder}" in message
    assert f"\n  python -m rnnjax.data.prepare mnist --data-dir '{folder}'" in message
    assert not folder.exists()


def test_tfds_data_dir_is_where_it_looks(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(DataError, match=f"mnist is not prepared in {tmp_path};"):
        data.load(ImageData(name="mnist"))


@pytest.mark.parametrize("name", ["mnist:9.9.9", "imdb_reviews/none", "../mnist", "mnist/", ""])
def test_a_tfds_name_that_cannot_be_is_one_line(tmp_path, name):
    message = message_of(name, tmp_path)
    assert message.startswith(f"TFDS cannot read {name!r} in {tmp_path}: ")
    assert "\n" not in message


def test_a_set_prepared_as_tfrecord_is_answered_with_a_command_that_can_work(tmp_path):
    """TFDS refuses a second format in the same folder, so the command names another."""
    fake_tfds(tmp_path, "toy", "tfrecord", ("image", "label"))
    message = message_of("toy", tmp_path)
    assert "prepared as tfrecord, which only TensorFlow can read" in message
    assert f"\n  python -m rnnjax.data.prepare toy --data-dir {tmp_path}/array_record\n" in message
    assert message.endswith(f"--data.data-dir {tmp_path}/array_record")


def test_features_and_splits_that_are_missing_are_named(tmp_path):
    fake_tfds(tmp_path, "toy", "array_record", ("image",))
    assert message_of("toy", tmp_path) == "toy has no feature 'label'; it has image"
    fake_tfds(tmp_path, "half", "array_record", ("image", "label"))
    assert message_of("half", tmp_path) == "half has no split 'test'; it has train"
    with pytest.raises(DataError, match="toy has no feature 'text'; it has image"):
        data.load(TextData(name="toy", data_dir=str(tmp_path)))


def test_records_that_are_missing_are_named(tmp_path):
    fake_tfds(tmp_path, "half", "array_record", ("image", "label"))
    with pytest.raises(DataError, match=r"the split train of half/1\.0\.0 cannot be read: .*half-train\.array_record"):
        tfds.columns(tfds.builder("half", str(tmp_path)), "train", ("image",))


@pytest.mark.slow
def test_mnist_is_the_mnist_of_the_literature(tfds_dir):
    dataset = data.load(ImageData(name="mnist", data_dir=str(tfds_dir)))
    train = labelled(
        np.concatenate([dataset.train["inputs"], dataset.validation["inputs"]]),
        np.concatenate([dataset.train["labels"], dataset.validation["labels"]]),
    )
    assert train["inputs"].shape == (60_000, 28, 28, 1)
    assert dataset.test["inputs"].shape == (10_000, 28, 28, 1)
    # The figures that everyone normalises MNIST with; LeCun's page lists the classes' sizes.
    statistics = ImagePreprocess.fit(train["inputs"], dataset.spec.names)
    np.testing.assert_allclose([statistics.mean[0], statistics.std[0]], [0.1307, 0.3081], atol=5e-5)
    sizes = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    np.testing.assert_array_equal(np.bincount(train["labels"]), sizes)
    np.testing.assert_allclose(np.bincount(dataset.validation["labels"]), np.array(sizes) / 10, atol=1)


@pytest.mark.slow
@pytest.mark.long
def test_the_copy_of_cifar10_is_of_its_kind(tfds_dir):
    if not (tfds_dir / "cifar10_jpeg").is_dir():
        pytest.skip("cifar10_jpeg is not prepared in TFDS_DATA_DIR")
    dataset = data.load(ImageData(name="cifar10_jpeg", data_dir=str(tfds_dir)))
    assert [len(split) for split in (dataset.train, dataset.validation, dataset.test)] == [45_000, 5_000, 10_000]
    assert dataset.preprocess.shape == (32, 32, 3)
    assert tuple(dataset.spec.names)[:3] == ("airplane", "automobile", "bird")
    # The means of the original, which everyone normalises CIFAR-10 with; encoding them again hardly moves them.
    np.testing.assert_allclose(dataset.preprocess.mean, [0.4914, 0.4822, 0.4465], atol=2e-3)
    np.testing.assert_allclose(dataset.preprocess.std, [0.2470, 0.2435, 0.2616], atol=4e-3)


def test_reading_imports_no_tensorflow(tfds_dir, tmp_path):
    """In a process where a TensorFlow is found, and ends the process when it is imported."""
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text("raise SystemExit('TensorFlow was imported')\n")
    program = (
        "from rnnjax.data import tfds\n"
        "columns = tfds.columns(tfds.builder('mnist', None), 'test[:3]', ('image', 'label'))\n"
        "print([image.shape for image in columns['image']], len(columns['label']))\n"
    )
    root = Path(__file__).parents[1]
    environment = {**os.environ, "TFDS_DATA_DIR": str(tfds_dir), "PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=120)
    assert done.stderr == ""
    assert done.stdout == "[(28, 28, 1), (28, 28, 1), (28, 28, 1)] 3\n"
