"""A run's curves as a PNG."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rnnjax.tasks import Metric


def save_curves(rows: Sequence[dict[str, Any]], path: Path, title: str, headline: Metric) -> None:
    """Draws the loss and the headline metric by epoch, training beside validation, from rows of ``metrics.jsonl``."""
    from matplotlib.figure import Figure  # half a second of import that a run needs at its end only

    names = [
        name for name in dict.fromkeys(("loss", headline.name)) if any(f"validation_{name}" in row for row in rows)
    ]
    figure = Figure(figsize=(4.5 * max(len(names), 1), 3.6), layout="constrained")
    epochs = [row["epoch"] for row in rows]
    for axes, name in zip(figure.subplots(1, max(len(names), 1), squeeze=False)[0], names, strict=False):
        for split in ("train", "validation"):
            axes.plot(epochs, [row.get(f"{split}_{name}", math.nan) for row in rows], marker=".", label=split)
        axes.set(xlabel="epoch", ylabel=name, title=name)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
