"""Curves of a run as a PNG."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def save_curves(rows: Sequence[dict[str, Any]], path: Path, title: str) -> None:
    """Draws loss and accuracy by epoch, training beside validation, from the rows of ``metrics.jsonl``."""
    from matplotlib.figure import Figure  # half a second of import that a run needs at its end only

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    epochs = [row["epoch"] for row in rows]
    for axes, name, unit in zip(figure.subplots(1, 2), ("loss", "accuracy"), (" (nats)", ""), strict=True):
        for split in ("train", "validation"):
            axes.plot(epochs, [row[f"{split}_{name}"] for row in rows], marker=".", label=split)
        axes.set(xlabel="epoch", ylabel=f"{name}{unit}", title=name)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
