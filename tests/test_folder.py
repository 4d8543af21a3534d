"""A folder of images of one's own: what is read of it, and what is said of what cannot be."""

import dataclasses
import itertools
import json
import os
import shutil
import threading
import time
import warnings

import numpy as np
import pytest
from PIL import Image

from experiments.image_folder import EXPERIMENT
from rnnjax import data
from rnnjax.cli import main
from rnnjax.config import ImageFolderData
from rnnjax.data import cache, image_files
from rnnjax.errors import DataError, UsageError
from rnnjax.runs.predict import load

RNG = np.random.default_rng(0)


def picture(path, color=(200, 30, 30), size=(9, 7), mode="RGB"):
    """An image of about one color."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.clip(RNG.normal(color, 8, (size[1], size[0], 3)), 0, 255).astype(np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


def make(root, count=10):
    """Red and blue images of many sizes, formats and modes."""
    for number in range(count):
        size = (5 + 3 * number, 40 - 2 * number)
        suffix = (".png", ".jpg", ".PNG", ".bmp", ".webp")[number % 5]
        mode = "RGBA" if suffix == ".png" else "RGB"
        picture(root / "red" / f"{number:02}{suffix}", (200, 30, 30), size, mode)
        picture(root / "blue" / "deeper" / f"{number:02}{suffix}", (30, 30, 200), size, mode)
    return root


def config(root, **options):
    options = {"height": 6, "width": 8, "validation_fraction": 0.25, **options}
    return ImageFolderData(data_dir=str(root), batch_size=4, **options)


def refused(root, **options):
    with pytest.raises(DataError) as error:
        data.load(config(root, **options))
    return str(error.value)


# What is read


def test_one_tree_is_split_by_class_always_alike(tmp_path):
    dataset = data.load(config(make(tmp_path)))
    assert dataset.spec.names == ("blue", "red")
    splits = (dataset.train, dataset.validation, dataset.test)
    assert [len(split) for split in splits] == [12, 4, 4]
    for split in splits:
        assert split["inputs"].shape[1:] == (6, 8, 3)
        assert split["inputs"].dtype == np.uint8
        assert abs(np.mean(split["labels"]) - 0.5) < 1e-6
        red, blue = split["inputs"][..., 0].mean((1, 2)), split["inputs"][..., 2].mean((1, 2))
        np.testing.assert_array_equal(red > blue, split["labels"] == 1)
    again = data.load(config(tmp_path))
    np.testing.assert_array_equal(again.test["inputs"], dataset.test["inputs"])
    assert again.preprocess == dataset.preprocess
    assert dataset.notes == ()


def test_a_folder_with_train_and_test_is_taken_as_it_is_split(tmp_path):
    make(tmp_path / "train")
    picture(tmp_path / "test" / "red" / "a.png")
    dataset = data.load(config(tmp_path))
    assert [len(split) for split in (dataset.train, dataset.validation, dataset.test)] == [15, 5, 1]
    np.testing.assert_array_equal(dataset.test["labels"], [1])
    assert dataset.notes == (f"{tmp_path / 'test'}: no image of blue",)


@pytest.mark.parametrize(("color", "channels"), [("rgb", 3), ("grey", 1)])
def test_grey_and_color_images_become_what_is_asked_for(tmp_path, color, channels):
    make(tmp_path)
    picture(tmp_path / "red" / "grey.png", (90, 90, 90), mode="L")
    picture(tmp_path / "red" / "palette.gif", mode="P")
    dataset = data.load(config(tmp_path, color=color))
    assert dataset.train["inputs"].shape[1:] == (6, 8, channels)
    assert dataset.preprocess.shape == (6, 8, channels)
    assert len(dataset.preprocess.mean) == len(dataset.preprocess.std) == channels
    statistics = dataset.train["inputs"].reshape(-1, channels) / 255
    np.testing.assert_allclose(dataset.preprocess.mean, statistics.mean(0), rtol=1e-6)
    np.testing.assert_allclose(dataset.preprocess.std, statistics.std(0), rtol=1e-6)


def test_hidden_files_are_none_of_it_and_other_files_are_counted(tmp_path):
    make(tmp_path)
    for name in (
        ".hidden.png",
        "red/.DS_Store",
        "red/._00.png",
        "__MACOSX/red/00.png",
        ".git/config",
        "red/Thumbs.db",
        "notes.txt",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text("no image")
    dataset = data.load(config(tmp_path))
    assert dataset.spec.names == ("blue", "red")
    assert len(dataset.train) == 12
    (note,) = dataset.notes
    assert "2 file(s) were left out" in note


def test_sixteen_bits_become_eight_and_nothing_is_cut_off(tmp_path):
    values = np.array([[0, 257, 32768, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(image_files.read(tmp_path / "deep.png", (1, 4, 1))[0, :, 0], [0, 1, 127, 255])
    Image.fromarray(values.astype(np.int32)).save(tmp_path / "deep.tif")
    np.testing.assert_array_equal(image_files.read(tmp_path / "deep.tif", (1, 4, 3))[0, :, 2], [0, 1, 127, 255])


@pytest.mark.parametrize(
    ("pixels", "message"),
    [(np.array([[0, 70000]], np.int32), "more than 16 bits"), (np.array([[0.5, 1]], np.float32), "floating-point")],
)
def test_pixels_of_an_unknown_range_are_refused(tmp_path, pixels, message):
    Image.fromarray(pixels).save(tmp_path / "odd.tif")
    with pytest.raises(DataError, match=rf"odd\.tif: not a readable image .*{message}"):
        image_files.read(tmp_path / "odd.tif", (1, 2, 1))


def test_transparent_pixels_are_laid_over_white(tmp_path):
    pixels = np.array([[[10, 20, 30, 255], [10, 20, 30, 0]]], np.uint8)
    Image.fromarray(pixels).save(tmp_path / "clear.png")
    np.testing.assert_array_equal(image_files.read(tmp_path / "clear.png", (1, 2, 3))[0], [[10, 20, 30], [255] * 3])
    Image.fromarray(pixels[..., [0, 3]], "LA").save(tmp_path / "grey.png")
    np.testing.assert_array_equal(image_files.read(tmp_path / "grey.png", (1, 2, 1))[0, :, 0], [10, 255])


def test_a_photo_is_turned_as_its_camera_says(tmp_path):
    image = Image.fromarray(np.array([[0, 255]], np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    image.save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(image_files.read(tmp_path / "turned.png", (2, 1, 1))[:, 0, 0], [0, 255])


# The threads


@pytest.mark.parametrize("workers", [1, 5])
def test_threads_change_neither_order_nor_content(tmp_path, workers):
    make(tmp_path)
    for name in ("broken.png", "cut.png"):
        (tmp_path / "red" / name).write_text("no image")
    dataset = data.load(config(tmp_path, on_bad_file="skip", workers=workers, cache_dir=str(tmp_path / "cache")))
    paths = sorted((tmp_path / "blue" / "deeper").iterdir()) + sorted((tmp_path / "red").iterdir())
    expected = [image_files.read(path, (6, 8, 3)) for path in paths if path.name not in ("broken.png", "cut.png")]
    found = list(
        image_files.read_all([p for p in paths if p.name not in ("broken.png", "cut.png")], (6, 8, 3), workers)
    )
    np.testing.assert_array_equal([of.pixels for of in found], expected)
    splits = [np.asarray(split["inputs"]) for split in (dataset.train, dataset.validation, dataset.test)]
    key = lambda image: image.tobytes()  # noqa: E731
    assert sorted(map(key, np.concatenate(splits))) == sorted(map(key, expected))
    (note,) = dataset.notes
    assert note.index("broken.png") < note.index("cut.png")


def test_as_many_files_are_decoded_at_once_as_there_are_threads(tmp_path, monkeypatch):
    make(tmp_path)
    together, decoded = threading.Barrier(5, timeout=20), image_files._decoded

    def waiting(*args, **options):
        together.wait()
        return decoded(*args, **options)

    monkeypatch.setattr(image_files, "_decoded", waiting)
    assert len(data.load(config(tmp_path, workers=5)).train) == 12


def test_the_first_bad_file_is_named_whichever_thread_is_first_and_the_rest_is_left(tmp_path, monkeypatch):
    make(tmp_path, 20)
    for name in ("00.bad.png", "01.bad.png"):
        (tmp_path / "blue" / "deeper" / name).write_text("no image")
    second, decoded, count = threading.Event(), image_files._decoded, itertools.count(1)

    def slow(path, *args, **options):
        next(count)
        if path.name == "00.bad.png":
            assert second.wait(20)
        elif path.name != "01.bad.png":
            time.sleep(0.02)
        try:
            return decoded(path, *args, **options)
        finally:
            if path.name == "01.bad.png":
                second.set()

    filters = list(warnings.filters)
    monkeypatch.setattr(image_files, "_decoded", slow)
    assert "00.bad.png" in refused(tmp_path, workers=2)
    assert next(count) < 16
    assert warnings.filters == filters


# The cache


def test_files_are_decoded_once_and_again_when_one_changes(tmp_path, monkeypatch):
    make(tmp_path / "images")
    (tmp_path / "images" / "red" / "broken.png").write_text("no image")
    options = {"on_bad_file": "skip", "cache_dir": str(tmp_path / "cache")}
    first = data.load(config(tmp_path / "images", **options))
    assert "skipped 1" in first.notes[0]

    def never(*_, **__):
        raise AssertionError("decoded again")

    with monkeypatch.context() as patched:
        patched.setattr(image_files, "read_all", never)
        second = data.load(config(tmp_path / "images", **options))
        for change in ({"height": 7}, {"color": "grey"}):
            with pytest.raises(AssertionError, match="decoded again"):
                data.load(config(tmp_path / "images", **{**options, **change}))
    np.testing.assert_array_equal(first.train["inputs"], second.train["inputs"])
    assert second.notes == first.notes
    picture(tmp_path / "images" / "red" / "broken.png", (0, 255, 0))
    third = data.load(config(tmp_path / "images", **options))
    assert third.notes == ()
    assert len(third.train) + len(third.validation) + len(third.test) == 21


def test_bytes_decide_what_is_decoded_anew_and_times_do_not(tmp_path, monkeypatch):
    make(tmp_path / "images")
    options = {"cache_dir": str(tmp_path / "cache")}
    changed = tmp_path / "images" / "red" / "03.bmp"
    before, facts = data.load(config(tmp_path / "images", **options)), changed.stat()
    shutil.copytree(
        tmp_path / "images", tmp_path / "copy", copy_function=shutil.copy
    )  # the times of the copies are new
    with monkeypatch.context() as patched:
        patched.setattr(image_files, "read_all", None)
        again = data.load(config(tmp_path / "copy", **options))
    np.testing.assert_array_equal(again.train["inputs"], before.train["inputs"])
    content = changed.read_bytes()
    changed.write_bytes(content[:54] + bytes(len(content) - 54))  # black, of the same size
    os.utime(changed, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    after = data.load(config(tmp_path / "images", **options))
    assert sum(not split["inputs"].any((1, 2, 3)).all() for split in (after.train, after.validation, after.test)) == 1


# What cannot be read


def test_the_folder_must_be_named_and_be_one(tmp_path):
    with pytest.raises(UsageError, match=r"give a folder with one sub-folder of images a class: --data\.data-dir"):
        data.load(ImageFolderData())
    assert refused(tmp_path / "gone").endswith("gone: no such folder")
    file = picture(tmp_path / "a.png")
    assert "a.png: not a folder" in refused(file)
    assert "0 sub-folder(s); a classifier needs two or more" in refused(tmp_path)


def test_images_that_no_memory_holds_are_refused_before_one_is_decoded(tmp_path, monkeypatch):
    make(tmp_path)
    monkeypatch.setattr(image_files, "read_all", None)
    message = refused(tmp_path, height=1_000_000, width=1_000_000)
    assert message.startswith(f"{tmp_path}: 20 images of 1,000,000 x 1,000,000 x 3 pixels take 55,879.4 GiB, and this")
    assert message.endswith("lower --data.height and --data.width")


def test_an_empty_class_is_named(tmp_path):
    make(tmp_path)
    (tmp_path / "green").mkdir()
    (tmp_path / "green" / "notes.txt").write_text("none yet")
    assert refused(tmp_path) == f"{tmp_path / 'green'}: there is no image in this class"


def test_a_class_with_too_few_images_is_named(tmp_path):
    make(tmp_path)
    for name in "ab":
        picture(tmp_path / "green" / f"{name}.png")
    assert "green: 2 readable image(s); a class needs 3 or more" in refused(tmp_path)


def test_a_class_of_test_that_train_lacks_is_named(tmp_path):
    make(tmp_path / "train")
    picture(tmp_path / "test" / "red" / "a.png")
    picture(tmp_path / "test" / "green" / "a.png")
    assert "the class 'green' is in test and not in train" in refused(tmp_path)


def test_a_third_folder_beside_train_and_test_is_named(tmp_path):
    make(tmp_path / "train")
    make(tmp_path / "test")
    make(tmp_path / "more")
    assert "beside test and train there is more" in refused(tmp_path)


def bomb(path):
    """A picture file of a few hundred bytes that says it has 20,000 x 20,000 pixels."""
    picture(path)
    content = bytearray(path.read_bytes())
    content[16:24] = (20_000).to_bytes(4, "big") * 2
    import zlib

    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    path.write_bytes(content)


def cut(path):
    picture(path, size=(60, 60))
    path.write_bytes(path.read_bytes()[:900])


def loop(path):
    path.symlink_to(path.parent, target_is_directory=True)


BAD = {
    "text.png": (lambda path: path.write_text("no image"), "its format is not known"),
    "empty.jpg": (lambda path: path.write_bytes(b""), "its format is not known"),
    "cut.png": (cut, "truncated"),
    "cut.jpg": (cut, "truncated"),
    "bomb.png": (bomb, "decompression bomb"),
    "around": (loop, "a symbolic link to a folder that it lies in"),
    "self.png": (lambda path: path.symlink_to(path), "symbolic links"),
    "gone.png": (lambda path: path.symlink_to(path.parent / "nowhere.png"), "no such file"),
    "pipe.png": (os.mkfifo, "not a regular file"),
    "zero.png": (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
    "\udcff.png": (lambda path: path.write_text("a name that is no UTF-8"), "its format is not known"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_named_and_refused_or_skipped(tmp_path, name):
    make(tmp_path)
    BAD[name][0](tmp_path / "red" / name)
    message = refused(tmp_path)
    assert message.startswith(f"{tmp_path / 'red' / name}: ")
    assert BAD[name][1] in message
    assert "--data.on-bad-file skip" in message
    dataset = data.load(config(tmp_path, on_bad_file="skip"))
    (note,) = dataset.notes
    assert "skipped 1: " in note
    assert f"{tmp_path / 'red' / name}: " in note
    assert BAD[name][1] in note
    without = data.load(config(make(tmp_path / "clean", 10)))
    assert len(dataset.train) == len(without.train)


def test_a_class_of_bad_files_alone_is_an_error_although_they_are_skipped(tmp_path):
    make(tmp_path)
    for number in range(4):
        (tmp_path / "green").mkdir(exist_ok=True)
        (tmp_path / "green" / f"{number}.png").write_text("no image")
    assert "green: 0 readable image(s)" in refused(tmp_path, on_bad_file="skip")
    for number in range(4):
        (tmp_path / "other" / "ab"[number % 2]).mkdir(exist_ok=True, parents=True)
        (tmp_path / "other" / "ab"[number % 2] / f"{number}.png").write_text("no image")
    assert "none of its 4 images can be read; the first: " in refused(tmp_path / "other", on_bad_file="skip")


@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_may_not_be_read_is_named(tmp_path, what, monkeypatch):
    make(tmp_path)
    closed = tmp_path / "red" if what == "folder" else picture(tmp_path / "red" / "closed.png")
    closed.chmod(0)
    if os.access(closed, os.R_OK):  # the superuser may read everything: have the system calls refuse
        scandir, opened = os.scandir, Image.open

        def refuse(function, path):
            if os.fspath(path) == str(closed):
                raise PermissionError(13, "Permission denied")
            return function(path)

        monkeypatch.setattr(os, "scandir", lambda path: refuse(scandir, path))
        monkeypatch.setattr(Image, "open", lambda path: refuse(opened, path))
    try:
        message = refused(tmp_path)
    finally:
        closed.chmod(0o755)
    assert message.startswith(f"{closed}: ")
    assert "Permission denied" in message


# From the folder to answers, by the command line


@pytest.mark.slow
def test_a_folder_trains_and_predicts_in_one_command_each(tmp_path, capsys):
    make(tmp_path / "photos", 20)
    (tmp_path / "photos" / "red" / "broken.png").write_text("no image")
    small = ["--model.conv", "4", "8", "--model.features", "8", "--train.epochs", "12", "--data.height", "12"]
    small += ["--data.width", "8", "--optim.learning-rate", "0.01", "--optim.ema-decay", "0.8"]
    command = [*small, "--data.data-dir", str(tmp_path / "photos"), "--runs-dir", str(tmp_path / "runs")]
    assert main(EXPERIMENT, command) == 1
    assert "broken.png: not a readable image" in capsys.readouterr().err
    assert main(EXPERIMENT, [*command, "--data.on-bad-file", "skip"]) == 0
    shown = capsys.readouterr().out
    assert "note: " in shown
    assert "broken.png" in shown
    assert "target" not in shown
    run = tmp_path / "runs" / "image_folder" / "seed-0"
    result = json.loads((run / "result.json").read_text())
    assert result["target"] is None
    assert result["metrics"]["test"]["accuracy"] == 1.0, "red and blue are easily told apart"
    picture(tmp_path / "new" / "1.jpg", (190, 40, 40), (300, 200))
    picture(tmp_path / "new" / "2.png", (40, 40, 190), (3, 90), "RGBA")
    assert main(EXPERIMENT, ["predict", str(tmp_path / "new"), "--workdir", str(run), "--json-lines"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["label"] for answer in answers] == ["red", "blue"]
    assert main(EXPERIMENT, ["evaluate", "--workdir", str(run), "--split", "test"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == 1.0
    assert load(run).preprocess.shape == (12, 8, 3)


def test_without_a_folder_the_command_says_what_to_give(capsys):
    assert main(EXPERIMENT, []) == 2
    assert "give a folder with one sub-folder of images a class: --data.data-dir FOLDER" in capsys.readouterr().err


def test_the_folder_may_move_and_the_run_is_still_the_same():
    here, there = (dataclasses.replace(EXPERIMENT.config.data, data_dir=d) for d in ("/a", "/b"))
    runtime = {f.name for f in dataclasses.fields(here) if f.metadata.get("runtime")}
    assert {k for k, v in dataclasses.asdict(here).items() if v != getattr(there, k)} <= runtime


def test_a_cached_folder_holds_no_path_of_the_images(tmp_path):
    data.load(config(make(tmp_path / "images"), cache_dir=str(tmp_path / "cache")))
    (folder,) = (tmp_path / "cache").iterdir()
    assert str(tmp_path) not in (folder / "content.json").read_text()
    assert cache.folder(str(tmp_path / "cache")) == tmp_path / "cache"
