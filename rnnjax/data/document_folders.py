"""Folders of documents: one sub-folder of .txt files a class, as it is or for each split by itself."""

from collections.abc import Iterator
from pathlib import Path

from rnnjax.data import tables
from rnnjax.data.files import hidden
from rnnjax.data.text_lines import lines, plain_suffix
from rnnjax.data.usual_names import SPLITS
from rnnjax.errors import DataError


def split_paths(path: Path) -> dict[str, Path]:
    """Where each split lies: ``train`` alone for a table or a folder of classes.

    A folder may hold ``train``, ``test`` and ``val`` (or validation, valid, dev), each with a sub-folder a class, or
    tables of these names.

    Raises:
      DataError: if sub-folders have such names but hold no classes, or lie beside others.
    """
    if not path.is_dir():
        return {"train": path}
    entries = sorted(entry for entry in path.iterdir() if not hidden(entry.name))
    folders = [entry for entry in entries if entry.is_dir()]
    tabled = [entry for entry in entries if entry.is_file() and tables.is_table(entry) and _split(entry)]
    if not folders and any(_split(entry) == "train" for entry in tabled):
        return _by_split(tabled)
    named = [folder for folder in folders if folder.name.lower() in SPLITS]
    if not any(_split(folder) == "train" for folder in named) or len(named) < 2:
        return {"train": path}
    inner = [any(entry.is_dir() for entry in folder.iterdir() if not hidden(entry.name)) for folder in named]
    if not any(inner):
        if len(named) < len(folders):
            return {"train": path}  # classes among which one is called train
        raise DataError(
            f"{path}: {named[0].name} and {named[1].name} are called as splits are, but no sub-folder of a class is "
            "in them; put the .txt files of each class into one, or rename them if they are classes"
        )
    if beside := [folder.name for folder in folders if folder not in named]:
        raise DataError(
            f"{path}: beside {', '.join(folder.name for folder in named)} there is {beside[0]}, which is no split; "
            "move it away, or rename the others if all are classes"
        )
    return _by_split(named)


def documents(path: Path, encoding: str | None, notes: list[str]) -> Iterator[tuple[str, str, str]]:
    """Where each document lies, its text, and its label, the sub-folder's name; what is left aside is noted.

    Raises:
      DataError: if there is no class, a class has no .txt file, or one cannot be read.
    """
    entries = sorted(entry for entry in path.iterdir() if not hidden(entry.name))
    classes = [entry for entry in entries if entry.is_dir()]
    if not classes:
        raise DataError(f"{path}: no sub-folder in it; a folder of documents has a sub-folder of .txt files a class")
    left = len(entries) - len(classes)
    for folder in classes:
        inside = sorted(entry for entry in folder.iterdir() if not hidden(entry.name))
        files = [entry for entry in inside if entry.suffix.lower() == ".txt" and entry.is_file()]
        if not files:
            raise DataError(f"{folder}: no .txt file in this class's folder; add some, or take the folder away")
        left += len(inside) - len(files)
        for file in files:
            yield str(file), "".join(lines(file, encoding)), folder.name
    if left:
        entry = "entry" if left == 1 else "entries"
        notes.append(f"{left:,} {entry} in {path} left aside: no .txt file in a class's folder")


def _split(path: Path) -> str | None:
    name = path.name.lower()
    return SPLITS.get(name if path.is_dir() else name.removesuffix(".gz").removesuffix(plain_suffix(path)))


def _by_split(entries: list[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for entry in entries:
        split = str(_split(entry))
        if split in found:
            raise DataError(f"{entry.parent}: {found[split].name} and {entry.name} are the same split; move one away")
        found[split] = entry
    return found
