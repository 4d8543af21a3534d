"""Whatever images and trees of them people have, what comes out of the reader is a data set or an error of ours."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from PIL import Image

from rnnjax.errors import DataError, RnnjaxError
from tests.pictures import loaded

RNG = np.random.default_rng(0)


def noise(*shape: int, most: int = 255, dtype=np.uint8) -> Image.Image:
    return Image.fromarray(RNG.integers(0, most, shape).astype(dtype))


def saved(image: Image.Image, form: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


PLAIN = saved(noise(7, 9, 3))
WHOLE = {
    "plain": PLAIN,
    "one pixel": saved(noise(1, 1, 3)),
    "3000 pixels wide": saved(noise(1, 3000, 3)),
    "3000 pixels high": saved(noise(3000, 1)),
    "16 bits": saved(noise(5, 5, most=65535, dtype=np.uint16)),
    "32 bits": saved(noise(5, 5, most=65535, dtype=np.int32), "TIFF"),
    "palette": saved(noise(6, 6, 3).convert("P")),
    "transparent palette": saved(noise(6, 6, 3).convert("P"), transparency=3),
    "transparent": saved(noise(6, 6, 4)),
    "gray and transparent": saved(noise(6, 6, 4).convert("LA")),
    "one bit": saved(noise(6, 6).convert("1")),
    "CMYK": saved(noise(6, 6, 3).convert("CMYK"), "JPEG"),
    "animated": saved(noise(6, 6, 3), "GIF", save_all=True, append_images=[noise(6, 6, 3), noise(6, 6, 3)]),
    "bitmap": saved(noise(6, 6, 3), "BMP"),
}
BROKEN = {
    "empty": b"",
    "cut in its pixels": PLAIN[:-30],
    "cut in its header": PLAIN[:20],
    "no pixel's bytes": PLAIN[:33] + bytes(40),
    "text": b"file,label\n1.png,cat\n",
    "said to be vast": PLAIN[:16] + b"\x7f\xff\xff\xff" * 2 + PLAIN[24:],
}
CONTENT = WHOLE | BROKEN
FOLDERS = ["cat", "dog", "train", "test", "val", "a b", "Äpfel", "好", "2023", "x\u0301", "👍", "__MACOSX", ".hidden"]
FILES = ["1.png", "2.PNG", "a b.png", "é.jpg", "cat.1.png", "3.gif", "4.jpeg", "5.tif", "6.txt", "7", ".png", "好.bmp"]
PATHS = st.builds(
    lambda folders, file: "/".join([*folders, file]),
    st.lists(st.sampled_from(FOLDERS), max_size=3),
    st.sampled_from(FILES),
)
SPREAD = st.dictionaries(PATHS, st.sampled_from([*CONTENT, *["plain"] * 10]), max_size=30)
CLASSES = st.builds(
    lambda names, contents, more: {f"{name}/{n}.png": c for name in names for n, c in enumerate(contents)} | more,
    st.lists(st.sampled_from(FOLDERS[:2] + FOLDERS[5:11]), min_size=2, max_size=3, unique=True),
    st.lists(st.sampled_from([*CONTENT, *["plain"] * 40]), min_size=4, max_size=9),
    SPREAD | st.just({}),
)
TABLES = st.lists(
    st.tuples(
        st.sampled_from([*FILES, "../1.png", "/1.png", "cat/1.png", ""]), st.sampled_from(["cat", "dog", "", "好"])
    ),
    max_size=12,
).map(lambda rows: "file,label\n" + "".join(f"{file},{label}\n" for file, label in rows))


def laid(root: Path, files: dict[str, str], table: str | None, packed: bool) -> Path:
    """The files as a folder or as a zip; a path that is a folder's already is left out."""
    folder = root / "odd"
    for name, kind in files.items():
        path = folder / name
        if any(parent.is_file() for parent in path.parents) or path.is_dir():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        # Copies of one image would stay in one split.
        path.write_bytes(saved(noise(7, 9, 3)) if kind == "plain" else CONTENT[kind])
    folder.mkdir(exist_ok=True)
    if table is not None:
        (folder / "labels.csv").write_text(table, encoding="utf-8")
    if not packed:
        return folder
    with zipfile.ZipFile(root / "odd.zip", "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return root / "odd.zip"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    files=CLASSES | SPREAD,
    table=st.none() | st.none() | TABLES,
    packed=st.booleans(),
    skip=st.sampled_from(["skip", "skip", "refuse"]),
    color=st.sampled_from(["rgb", "grey"]),
    classes_from=st.sampled_from(["auto", "auto", "auto", "top", "parent", "table", "name"]),
)
def test_of_an_odd_tree_comes_a_data_set_or_our_own_error(
    tmp_path_factory, files, table, packed, skip, color, classes_from
):
    root = tmp_path_factory.mktemp("tree")
    path = laid(root, files, table, packed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RNNJAX_CACHE_DIR", str(root / "cache"))
        try:
            dataset = loaded(path, on_bad_file=skip, color=color, classes_from=classes_from)
        except RnnjaxError as error:
            event("refused")
            assert path.name in str(error) or "examples" in str(error)
            return
    event("read")
    assert len(dataset.spec.names) > 1
    for split, examples in dataset.splits().items():
        assert examples.arrays["inputs"].shape[1:] == (7, 9, 3 if color == "rgb" else 1), split
        assert len(examples) and set(examples.arrays["labels"].tolist()) <= set(range(len(dataset.spec.names)))
    for _, function in dataset.preprocess.read([str(path)], [], None):
        try:
            function()
        except DataError as error:
            assert path.name in str(error)


def test_whole_images_of_every_kind_are_read_and_broken_ones_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("RNNJAX_CACHE_DIR", str(tmp_path / "cache"))
    files = {f"{name}/{n} of é.png": kind for name in ("a b", "好") for n, kind in enumerate([*WHOLE, *["plain"] * 6])}
    folder = laid(tmp_path, files, None, packed=False)
    dataset = loaded(folder)
    assert sum(map(len, dataset.splits().values())) == len(files)
    for kind, content in BROKEN.items():
        (folder / "好" / "odd one.png").write_bytes(content)
        with pytest.raises(DataError, match=r"好/odd one\.png"):
            loaded(folder)
        dataset = loaded(folder, on_bad_file="skip")
        assert sum(map(len, dataset.splits().values())) == len(files), kind
        assert any("odd one.png" in note for note in dataset.notes), kind
