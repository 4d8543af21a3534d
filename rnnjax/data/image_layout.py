"""How a user's images lie: which are of which class and split, by folders, a table, or the names of the files."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rnnjax.data import image_files, image_lists, image_names, image_questions, tables
from rnnjax.data.image_lists import Labelled, Listed, Reading
from rnnjax.data.image_tree import Entry, Tree
from rnnjax.data.usual_names import FILE_COLUMNS, SPLITS
from rnnjax.errors import DataError

_LABEL_TABLES = ("labels", "label", "annotations", "metadata", "classes", "train_labels")
"""What a table of labels is called where there are several tables."""

_KINDS = (
    "one sub-folder of images a class, or train and test (and val) of such, a table of labels beside the images "
    "(labels.csv with the columns file and label), or files whose names begin with their class (cat.0.jpg)"
)

Refuse = Callable[[str], None]


@dataclass(frozen=True)
class Part:
    """The images of a split.

    Attributes:
      root: the folder that they lie in, as it is called in errors.
      images: in the order in which they are read.
      by_folder: whether a class is a folder directly in ``root``.
    """

    root: Path
    images: tuple[Labelled, ...]
    by_folder: bool = False


@dataclass(frozen=True)
class Layout:
    """How the images of a tree lie.

    Attributes:
      splits: by name, ``train`` among them; what is not here is to be cut from it.
      understood: what was found out, a line each.
      notes: what was left out, and why, a sentence each.
    """

    splits: Mapping[str, Part]
    understood: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass
class _Finding:
    """What is asked for, and what is said on the way."""

    reading: Reading
    refuse: Refuse
    understood: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find(tree: Tree, reading: Reading, refuse: Refuse, known: Sequence[str] = ()) -> Layout:
    """Finds out how the images of a tree lie.

    Args:
      tree: a folder or a zip; where nothing but one folder lies in it, that one counts.
      reading: what the user said of it.
      refuse: called with a sentence on each file or row that cannot be used.
      known: names of classes, where they are known.

    Raises:
      DataError: if there are no images or no classes, or they can be understood in more than one way.
    """
    found = _Finding(reading, refuse)
    tree = _unwrapped(tree, found, known)
    if not any(image_files.is_image(entry.parts[-1]) for entry in tree.files) and not tree.top():
        raise DataError(f"{tree.root}: 0 sub-folder(s); a classifier needs two or more, one a class")
    images = image_files.images(tree)
    several = len({entry.parts[0] for entry in images if len(entry.parts) > 1}) > 1
    needed = _has_table(tree) and not several and not image_names.plain(images)
    parts = _listed(tree, found, needed=needed) or _split_folders(tree, found) or {"train": _part(tree, found)}
    return Layout(parts, tuple(found.understood), tuple(found.notes))


def _unwrapped(tree: Tree, found: _Finding, known: Sequence[str]) -> Tree:
    """The tree within folders that hold nothing but one folder, as many archives are packed."""
    while not any(len(entry.parts) == 1 for entry in tree.files) and len(tree.top()) == 1:
        inner = tree.below(tree.top()[0])
        parted = inner.top() or _has_table(inner) or image_names.plain(image_files.images(inner))
        if inner.root.name in known or not parted:
            break  # a class
        tree = inner
        found.understood.append(f"what counts lies in {tree.root}")
    return tree


def _has_table(tree: Tree) -> bool:
    return any(len(entry.parts) == 1 and tables.is_table(Path(entry.parts[0])) for entry in tree.files)


# Tables


def _listed(tree: Tree, found: _Finding, *, needed: bool) -> dict[str, Part] | None:
    """The splits that tables directly in the tree tell, or None if there are no such tables.

    Raises:
      DataError: if there is none although one is ``needed``.
    """
    if found.reading.classes_from not in ("auto", "table"):
        return None
    read = _by_table(tree, found)
    if "train" not in read:
        if needed or (found.reading.classes_from == "table" and not _is_split(tree)):
            raise DataError(
                f"{tree.root}: no table in it says the classes; a table has a column of files ("
                f"{', '.join(FILE_COLUMNS)}) and one of classes ({', '.join(image_lists.LABEL_COLUMNS)}), "
                "or --data.file-column and --data.label-column name them"
            )
        return None
    if found.reading.classes_from == "auto":
        image_questions.if_folders_differ(tree, read["train"])
    for listed in read.values():
        found.understood += listed.understood
    with_row = {image.entry for listed in read.values() for image in listed.images}
    without = [entry for entry in image_files.images(tree) if entry not in with_row]
    if without:
        shown = ", ".join(str(entry.source) for entry in without[:3]) + ", ..." * (len(without) > 3)
        found.notes.append(f"{tree.root}: {len(without):,} image(s) without a row were left out: {shown}")
    if set(read) == {"train"}:
        return _by_split(tree, read["train"])
    return {split: Part(tree.root, listed.images) for split, listed in read.items() if listed.images}


def _is_split(tree: Tree) -> bool:
    return any(name.lower() in SPLITS for name in tree.top())


def _by_table(tree: Tree, found: _Finding) -> dict[str, Listed]:
    """What each split's table says; of one table, ``train`` alone."""
    candidates = [entry for entry in tree.files if len(entry.parts) == 1 and tables.is_table(Path(entry.parts[0]))]
    named = {split: entry for entry in candidates if (split := SPLITS.get(_stem(entry)))}
    if "train" not in named:
        likely = candidates if len(candidates) == 1 else [e for e in candidates if _stem(e) in _LABEL_TABLES]
        if len(likely) > 1:
            listed = ", ".join(entry.parts[0] for entry in likely)
            raise DataError(f"{tree.root}: there are several tables of labels, {listed}; leave one")
        named = {"train": likely[0]} if likely else {}
    read = {split: _read_table(tree, entry, found) for split, entry in named.items()}
    other = [named[split].source for split in read if read[split] is None and split != "train"]
    found.notes += [f"{source}: left out, no table of labels of these images" for source in other]
    return {split: listed for split, listed in read.items() if listed is not None}


def _read_table(tree: Tree, entry: Entry, found: _Finding) -> Listed | None:
    """A table's labels; one that may be something else is let be where it cannot be read."""
    try:
        return image_lists.read(tree, entry, found.reading, found.refuse)
    except DataError:
        if not tree.top() or found.reading.classes_from == "table" or _stem(entry) in (*_LABEL_TABLES, *SPLITS):
            raise
        return None


def _stem(entry: Entry) -> str:
    return Path(entry.parts[-1].lower().removesuffix(".gz")).stem


def _by_split(tree: Tree, listed: Listed) -> dict[str, Part]:
    """The images of one table, each in the split whose folder it lies in, if they are in folders of splits."""
    splits: dict[str, list[Labelled]] = defaultdict(list)
    for image in listed.images:
        splits[SPLITS.get(image.entry.parts[0].lower(), "") if len(image.entry.parts) > 1 else ""].append(image)
    if "" in splits or "train" not in splits:
        return {"train": Part(tree.root, listed.images)}
    return {split: Part(tree.root, tuple(images)) for split, images in splits.items()}


# Folders


def _split_folders(tree: Tree, found: _Finding) -> dict[str, Part] | None:
    """The parts of a tree whose folders are splits, or None if they are classes."""
    names = tree.top()
    if found.reading.classes_from == "top" and not all(name.lower() in SPLITS for name in names):
        return None
    named = [name for name in names if name.lower() in SPLITS]
    splits = Counter(SPLITS[name.lower()] for name in named)
    if len(named) < 2:
        if found.reading.classes_from == "auto":
            image_questions.if_like_splits(tree)
        return None
    if "train" not in splits:
        raise DataError(
            f"{tree.root}: {' and '.join(named)} are called as splits are, but there is no train; "
            "name the folder to train on train, or rename these if they are classes"
        )
    if beside := [name for name in names if name not in named]:
        raise DataError(
            f"{tree.root}: beside {' and '.join(named)} there is {beside[0]}, which is neither; move it away, or "
            "give --data.classes-from top if each of these folders is a class"
        )
    if twice := [split for split, count in splits.items() if count > 1]:
        several = [name for name in named if SPLITS[name.lower()] == twice[0]]
        raise DataError(f"{tree.root}: {' and '.join(several)} are both {twice[0]}; leave one of them")
    parts = {SPLITS[name.lower()]: _part(tree.below(name), found) for name in named}
    found.understood.append(f"splits by the folders {', '.join(named)}")
    outside = [entry for entry in tree.files if len(entry.parts) == 1]
    _left_out(tree.root, outside, found)
    return {split: parts[split] for split in ("train", "validation", "test") if split in parts}


def _part(tree: Tree, found: _Finding) -> Part:
    """The images of one split."""
    source = found.reading.classes_from
    images = image_files.images(tree)
    if listed := _listed(tree, found, needed=source == "table"):
        return listed["train"]
    if source == "name" or (source == "auto" and not tree.top()):
        return _part_by_names(tree, images, found)
    if source == "auto":
        image_questions.if_parents_recur(tree)
    kept = [entry for entry in images if len(entry.parts) > 1]
    labelled = tuple(Labelled(entry, entry.parts[-2 if source == "parent" else 0]) for entry in kept)
    inside = {entry.parts for entry in kept}
    _left_out(tree.root, [entry for entry in tree.files if entry.parts not in inside], found)
    if source == "parent":
        found.understood.append(f"a class is the folder that an image lies in, below {tree.root}")
        return Part(tree.root, tuple(sorted(labelled, key=lambda image: (image.label, image.entry.parts))))
    empty = set(tree.top()) - {image.label for image in labelled}
    if empty:
        raise DataError(f"{tree.root / min(empty)}: there is no image in this class")
    if any(len(entry.parts) > 2 for entry in kept):
        found.understood.append(f"a class is a folder directly in {tree.root}, with all the folders in it")
    return Part(tree.root, labelled, by_folder=True)


def _part_by_names(tree: Tree, images: Sequence[Entry], found: _Finding) -> Part:
    names = image_names.plain(images)
    if not names:
        raise DataError(f"{tree.root}: 0 sub-folder(s); a classifier needs two or more, one a class; it reads {_KINDS}")
    example = images[0].parts[-1]
    found.understood.append(f"classes by the names of the files, such as {names[0]!r} of {example!r}")
    taken = {entry.parts for entry in images}
    _left_out(tree.root, [entry for entry in tree.files if entry.parts not in taken], found)
    labelled = [Labelled(entry, name) for entry, name in zip(images, names, strict=True)]
    return Part(tree.root, tuple(sorted(labelled, key=lambda image: (image.label, image.entry.parts))))


def _left_out(root: Path, entries: Sequence[Entry], found: _Finding) -> None:
    if entries:
        names = ", ".join("/".join(entry.parts) for entry in entries[:3]) + ", ..." * (len(entries) > 3)
        found.notes.append(
            f"{root}: {len(entries):,} file(s) were left out, which are no images by their suffix or lie in no class: "
            f"{names}"
        )
