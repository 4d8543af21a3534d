"""Zips and lists of images: read where they lie, refused where they are hostile."""

import io
import os
import sys
import types
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from rnnjax.data import archives, image_files
from rnnjax.errors import DataError, RnnjaxError
from tests.pictures import classes, loaded, picture, zipped


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("RNNJAX_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))


@pytest.mark.parametrize("inside", ["", "photos/"])
def test_a_zip_is_read_as_the_folder_that_it_was_made_of(tmp_path, inside):
    folder = classes(tmp_path / "folder", ("Äpfel", "pears"))
    packed = loaded(zipped(folder, tmp_path / "photos.zip", inside))
    plain = loaded(folder)
    assert packed.spec.names == plain.spec.names
    assert packed.fingerprint == plain.fingerprint
    assert packed.places()["train"][0].startswith(f"{tmp_path}/photos.zip/{inside}")
    assert packed.notes == ()
    assert sorted(os.listdir(tmp_path)) == ["folder", "photos.zip"], "nothing was unpacked"


def test_a_table_in_a_zip_names_itself_and_its_line(tmp_path):
    folder = classes(tmp_path / "folder", ("images",), count=6)
    (folder / "labels.csv").write_text("file,label\n" + "".join(f"{n}.png,{'ab'[n % 2]}\n" for n in range(6)))
    assert loaded(zipped(folder, tmp_path / "good.zip")).spec.names == ("a", "b")
    (folder / "labels.csv").write_text("file,label\n0.png,a\n9.png,b\n")
    with pytest.raises(DataError, match=r"bad\.zip/labels\.csv:3: there is no image '9\.png'"):
        loaded(zipped(folder, tmp_path / "bad.zip"))


def hostile(path, name="a/0.png", data=b"", flags=0, **options):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data, **options)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= flags
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", ["../evil.png", "/etc/evil.png", "a\\..\\..\\evil.png", "C:/evil.png"])
def test_names_that_lead_out_of_a_zip_are_refused(tmp_path, name):
    with pytest.raises(DataError, match="leads out of the archive"):
        loaded(hostile(tmp_path / "slip.zip", name))
    assert os.listdir(tmp_path) == ["slip.zip"]


def test_encrypted_and_swollen_and_broken_zips_are_refused(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"a/0\.png is encrypted; unpack it with its password"):
        loaded(hostile(tmp_path / "closed.zip", flags=1))
    monkeypatch.setattr(archives, "_BOMB_LEAST", 2**20)
    with pytest.raises(DataError, match="may be a decompression bomb"):
        loaded(hostile(tmp_path / "bomb.zip", data=bytes(2**22)))
    monkeypatch.setattr(archives, "MOST_BYTES", 2**10)
    (file,) = archives.contents(hostile(tmp_path / "large.zip", data=bytes(2**11)))[0]
    with pytest.raises(DataError, match=r"large\.zip/a/0\.png: more than"):
        file.read_bytes()
    (tmp_path / "no.zip").write_text("no zip")
    with pytest.raises(DataError, match=r"no\.zip: not a zip that can be read"):
        loaded(tmp_path / "no.zip")


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 2000), byte=st.integers(0, 255), length=st.integers(0, 2000))
def test_of_a_damaged_zip_only_our_own_errors_come(tmp_path, place, byte, length):
    if not (tmp_path / "whole.zip").exists():
        zipped(classes(tmp_path / "folder", count=3), tmp_path / "whole.zip")
    content = bytearray((tmp_path / "whole.zip").read_bytes())
    content[-1 - place % len(content)] = byte
    (tmp_path / "broken.zip").write_bytes(content[: len(content) - length * (byte % 2)])
    try:
        loaded(tmp_path / "broken.zip", on_bad_file="skip")
    except RnnjaxError as error:
        assert "broken.zip" in str(error)


NAMES = ["train", "val", "test", "cat", "dog", "2023", "labels.csv", "a.png", "b.PNG", "cat.1.png", "1.heic", "x.txt"]


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.dictionaries(
        st.lists(
            st.sampled_from(NAMES) | st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=4),
            min_size=1,
            max_size=4,
        ).map("/".join),
        st.sampled_from([b"", b"file,label\na.png,cat\n1,dog\n", b"\xff\xfe", "image"]),
        max_size=20,
    ),
    classes_from=st.sampled_from(["auto", "auto", "top", "parent", "table", "name"]),
    skip=st.sampled_from(["skip", "refuse"]),
)
def test_of_an_odd_tree_only_our_own_errors_come(tmp_path, files, classes_from, skip):
    image = io.BytesIO()
    Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(image, "PNG")
    with zipfile.ZipFile(tmp_path / "odd.zip", "w") as archive:
        for name, content in files.items():
            data = image.getvalue() if content == "image" else content
            archive.writestr(name.encode("utf-8", "replace").decode(), data)
    try:
        dataset = loaded(tmp_path / "odd.zip", classes_from=classes_from, on_bad_file=skip)
    except RnnjaxError as error:
        assert "odd.zip" in str(error)
    else:
        assert len(dataset.spec.names) > 1


# HEIC


def test_a_heic_photo_names_the_plug_in_in_training_and_prediction(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(image_files, "reads_heif", lambda: False)
    (classes(tmp_path) / "cat" / "IMG_1.HEIC").write_bytes(b"photo")
    with pytest.raises(DataError, match=r"IMG_1\.HEIC: HEIC photos need a plug-in of Pillow: pip install pillow-heif"):
        loaded(tmp_path)
    dataset = loaded(tmp_path, on_bad_file="skip")
    assert "skipped 1: " in dataset.notes[0] and "pip install pillow-heif" in dataset.notes[0]
    inputs = dict(dataset.preprocess.read([str(tmp_path / "cat")], [], None))
    with pytest.raises(DataError, match="pip install pillow-heif"):
        inputs[str(tmp_path / "cat" / "IMG_1.HEIC")]()


def test_with_the_plug_in_heic_photos_are_read(tmp_path, monkeypatch):
    """One that reads no photo but gives a red image, in place of the real one."""

    def red(file, name):
        file.close()
        return Image.new("RGB", (9, 7), "red")

    def register():
        Image.register_open("HEIF", red, lambda start: start[4:12] == b"ftypheic")

    monkeypatch.setitem(sys.modules, "pillow_heif", types.SimpleNamespace(register_heif_opener=register))
    monkeypatch.setattr(Image, "OPEN", dict(Image.OPEN))
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    image_files._heif_plugin.cache_clear()
    try:
        for name in ("a.heic", "called-otherwise.jpg"):
            (tmp_path / name).write_bytes(b"\0\0\0\x18ftypheic and more")
            np.testing.assert_array_equal(image_files.read(tmp_path / name, (7, 9, 3))[3, 4], [255, 0, 0])
    finally:
        image_files._heif_plugin.cache_clear()


# What predict reads


def test_predict_reads_folders_zips_and_lists_and_says_what_it_left_out(tmp_path, capsys):
    preprocess = loaded(classes(tmp_path / "train")).preprocess
    one = picture(tmp_path / "new" / "deep" / "er" / "1.png")
    (tmp_path / "new" / "notes.txt").write_text("none")
    packed = zipped(tmp_path / "new", tmp_path / "new.zip")
    inputs = preprocess.read([str(tmp_path / "new"), str(packed)], [], None)
    assert [name for name, _ in inputs] == [str(one), f"{packed}/deep/er/1.png"]
    np.testing.assert_array_equal(inputs[0][1](), inputs[1][1]())
    error = capsys.readouterr().err
    assert f"note: {tmp_path / 'new'}: 1 file(s) were left out, which are no images by their suffix: notes.txt" in error
    stdin = types.SimpleNamespace(buffer=io.BytesIO(f"{one}\n{tmp_path / 'gone.png'}\n".encode()))
    named = preprocess.read(["-"], [], stdin)
    assert [name for name, _ in named] == [str(one), str(tmp_path / "gone.png")]
    for path, message in (
        ("https://example.com/a.jpg", "an address on the web"),
        (str(tmp_path / "no.zip"), "no such"),
    ):
        ((_, read),) = preprocess.read([path], [], None)
        with pytest.raises(DataError, match=message):
            read()
