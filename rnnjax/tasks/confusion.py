"""Confusion matrices as PNGs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

_MOST_ANNOTATED = 120
"""With more classes a confusion matrix is drawn without numbers and names: they could not be read."""

_FEW = 25
"""Classes up to which a cell is half an inch wide."""

_LONGEST = 20
"""Letters of a name that are drawn."""


def save_confusion(counts: np.ndarray, class_names: Sequence[str], path: Path, title: str) -> None:
    """Draws a confusion matrix ``[C, C]`` of counts; a cell's colour is its share of its row, the true class.

    Names are drawn in any font that has their letters. What no font here has is spelled as Python spells it; where that
    is too long to be read, the class's number stands in its place, ``#3``.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    classes = len(class_names)
    annotated = classes <= _MOST_ANNOTATED
    few = classes <= _FEW
    side = max(2.0 + (0.5 if few else 0.25) * classes, 4.0) if annotated else 9.0
    large = 10 if few or not annotated else 18
    names, families = _shown(class_names) if annotated else ([], [])
    with rc_context({"font.family": families} if families else {}):
        figure = Figure(figsize=(side + 1.4, side), layout="constrained")
        axes = figure.subplots()
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1e-12)
        image = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues", interpolation="nearest")
        bar = figure.colorbar(image, ax=axes, shrink=0.8, aspect=2 * large)
        bar.set_label("share of the true class", fontsize=large)
        axes.set_xlabel("predicted", fontsize=large)
        axes.set_ylabel("true", fontsize=large)
        figure.suptitle(title, fontsize=large)
        if annotated:
            short = all(len(name) <= 3 for name in names)
            axes.set_xticks(range(classes), names, rotation=0 if short else 90)
            axes.set_yticks(range(classes), names)
            axes.tick_params(labelsize=9)
            for row, column in np.argwhere(counts):  # a zero says nothing that the white cell does not
                color = "white" if shares[row, column] > 0.5 else "black"
                count = f"{counts[row, column]:g}"
                axes.text(column, row, count, ha="center", va="center", color=color, fontsize=7)
        figure.savefig(path, dpi=120)


def _shown(class_names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Classes' names as they can be drawn, and the families of fonts that have their letters, the usual one first."""
    from matplotlib import rcParams
    from matplotlib.font_manager import FontProperties, findfont, get_font

    usual = get_font(findfont(FontProperties()))
    known = set(map(chr, usual.get_charmap()))
    wanted = {letter for name in class_names for letter in name if letter.isprintable()} - known
    families, found = _families(wanted) if wanted else ([], set())
    names = [_spelled(name, known | found, f"#{number}") for number, name in enumerate(class_names)]
    return names, [*rcParams["font.family"], *families] if families else []


def _families(wanted: set[str]) -> tuple[list[str], set[str]]:
    """Families of fonts of this machine that have some of the letters, as few as it takes, and what they have."""
    from matplotlib.font_manager import fontManager, get_font

    families, found = [], set()
    for entry in fontManager.ttflist:
        if entry.style != "normal" or entry.name.startswith("Last Resort"):  # which has a box for every letter
            continue
        try:
            here = wanted & set(map(chr, get_font(entry.fname).get_charmap()))
        except (OSError, RuntimeError, ValueError):  # a file that is gone, or no font
            continue
        if here - found:
            families.append(entry.name)
            found |= here
        if found == wanted:
            break
    return families, found


def _spelled(name: str, drawable: set[str], number: str) -> str:
    """A name as it can be drawn."""
    made = "".join(
        letter if letter in drawable and letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in name
    )
    return _plain(name) if made == name else _plain(made) if len(made) <= _LONGEST else number


def _plain(name: str) -> str:
    """A class's name as the figure can show it: cut in the middle, and no formula wherever it has dollar signs."""
    half = _LONGEST // 2  # names of one kind begin alike, and differ at their end
    return (name if len(name) <= _LONGEST else f"{name[: half - 1]}…{name[-half:]}").replace("$", r"\$")
