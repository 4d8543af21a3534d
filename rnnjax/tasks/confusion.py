"""Confusion matrices as PNGs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

_MOST_ANNOTATED = 25
"""With more classes a confusion matrix is drawn without numbers and names: they could not be read."""


def save_confusion(counts: np.ndarray, class_names: Sequence[str], path: Path, title: str) -> None:
    """Draws a confusion matrix ``[C, C]`` of counts; a cell's colour is its share of its row, the true class.

    A class whose name the figure's font has no glyphs for, such as Chinese, is called by its number: ``#3``.
    """
    from matplotlib.figure import Figure

    classes = len(class_names)
    annotated = classes <= _MOST_ANNOTATED
    side = 2.5 + 0.5 * classes if annotated else 9.0
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues", interpolation="nearest")
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    if annotated:
        names = _shown(class_names)
        axes.set_xticks(range(classes), names, rotation=90)
        axes.set_yticks(range(classes), names)
        for (row, column), count in np.ndenumerate(counts):
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{count:g}", ha="center", va="center", color=color, fontsize=7)
    figure.savefig(path, dpi=120)


def _shown(class_names: Sequence[str]) -> list[str]:
    """Classes' names as the figure can show them; the number of one that it cannot."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties()))
    return [
        _plain(name) if all(map(font.get_char_index, map(ord, name))) else f"#{number}"
        for number, name in enumerate(class_names)
    ]


def _plain(name: str) -> str:
    """A class's name as the figure can show it: short, and no formula wherever it has dollar signs."""
    return (name if len(name) <= 20 else f"{name[:19]}…").replace("$", r"\$")
