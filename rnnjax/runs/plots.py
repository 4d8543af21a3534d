"""A run's curves as a PNG."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rnnjax.tasks import Metric


class Marks(NamedTuple):
    """What is marked beside the curves.

    Attributes:
      best_epoch: whose checkpoint was kept; None: it is not marked.
      bars: of each plain bar, its metrics.
      split: on which these are.
      in_training: what makes the training loss another than validation's, such as dropout.
    """

    best_epoch: float | None = None
    bars: Mapping[str, Mapping[str, float]] = {}
    split: str = ""
    in_training: Sequence[str] = ()


_STYLES = (":", "-.", (0, (5, 1)), (0, (1, 1)))


def save_curves(
    rows: Sequence[dict[str, Any]], path: Path, title: str, metrics: Sequence[Metric], marks: Marks | None = None
) -> None:
    """Draws the loss and other metrics by epoch, training beside validation.

    Args:
      rows: of ``metrics.jsonl``.
      path: of the PNG.
      title: of the whole picture.
      metrics: those beside the loss, such as the headline.
      marks: the best epoch, and the levels of plain bars.
    """
    from matplotlib.figure import Figure  # half a second of import that a run needs at its end only
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    marks = marks or Marks()
    wanted = dict.fromkeys(("loss", *(metric.name for metric in metrics)))
    percent = {metric.name for metric in metrics if metric.shown.endswith("%}")}
    names = [name for name in wanted if any(f"validation_{name}" in row for row in rows)]
    figure = Figure(figsize=(4.8 * max(len(names), 1), 4.2), layout="constrained")
    epochs = [row["epoch"] for row in rows]
    for axes, name in zip(figure.subplots(1, max(len(names), 1), squeeze=False)[0], names, strict=False):
        for split in ("train", "validation"):
            label = _training_label(name, marks.in_training) if split == "train" else split
            axes.plot(epochs, [_number(row.get(f"{split}_{name}")) for row in rows], marker=".", label=label)
        if marks.best_epoch is not None:
            axes.axvline(marks.best_epoch, color="0.5", linestyle="--", label=f"best epoch: {marks.best_epoch:g}")
        for number, (bar, values) in enumerate(marks.bars.items()):
            if values.get(name) is not None and name != "loss":
                style = _STYLES[number % len(_STYLES)]
                axes.axhline(values[name], color=f"C{2 + number}", linestyle=style, label=f"{bar}, {marks.split}")
        axes.set(xlabel="epoch", ylabel=name.replace("_", " "))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if name in percent:
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.suptitle(title)
    figure.savefig(path, dpi=120)


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _training_label(name: str, in_training: Sequence[str]) -> str:
    """``train (with dropout, label smoothing)``: why a training loss may lie above that of validation."""
    ours = [what for what in in_training if name == "loss" or what in ("dropout", "augmentation")]
    return f"train (with {', '.join(ours)})" if ours else "train"
