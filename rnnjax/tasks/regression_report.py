"""What a split's predicted numbers show: errors by column, and a picture of what was predicted over what is true."""

from pathlib import Path
from typing import Any

import numpy as np

from rnnjax.tasks.base import Report

_MOST_COLUMNS = 6
"""Columns that are drawn, the first ones."""
_MOST_POINTS = 5000
"""Points that are drawn of a column, evenly taken."""


def report(targets: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> Report:
    """The report of numbers in their own units.

    Args:
      targets, predicted: ``[N, columns]``.
      weights: ``[N]``, how much each example counts.

    Returns:
      ``r2`` among the values, the share of the targets' variance that is explained, unless they do not vary. The page
      has ``examples`` and of each of the ``columns`` its ``rmse``, ``mae``, ``bias`` (the mean of predicted less true)
      and ``r2``, and the ``mean`` and ``deviation`` of its targets; there is none where nothing counts.
    """
    if not weights.any():
        return Report()
    error = predicted - targets
    means = {
        "rmse": np.average(error**2, axis=0, weights=weights) ** 0.5,
        "mae": np.average(np.abs(error), axis=0, weights=weights),
        "bias": np.average(error, axis=0, weights=weights),
        "mean": np.average(targets, axis=0, weights=weights),
    }
    means["deviation"] = np.average((targets - means["mean"]) ** 2, axis=0, weights=weights) ** 0.5
    left, spread = (means["rmse"] ** 2).sum(), (means["deviation"] ** 2).sum()
    columns = [
        {name: float(value[column]) for name, value in means.items()} | _explained(means, column)
        for column in range(targets.shape[1])
    ]
    page: dict[str, Any] = {"examples": len(targets), "columns": columns}
    figures = {"predictions": lambda path, title: save_predictions(targets, predicted, columns, path, title)}
    return Report({"r2": float(1 - left / spread)} if spread > 0 else {}, page, figures)


def _explained(means: dict[str, np.ndarray], column: int) -> dict[str, float]:
    deviation = means["deviation"][column]
    return {"r2": float(1 - (means["rmse"][column] / deviation) ** 2)} if deviation > 0 else {}


def save_predictions(
    targets: np.ndarray, predicted: np.ndarray, columns: list[dict[str, float]], path: Path, title: str
) -> None:
    """Draws what was predicted over what is true, ``[N, columns]`` each; on the diagonal, they agree."""
    from matplotlib.figure import Figure

    count = min(targets.shape[1], _MOST_COLUMNS)
    figure = Figure(figsize=(4.6 * count, 4.6), layout="constrained")
    rows = np.linspace(0, len(targets) - 1, min(len(targets), _MOST_POINTS)).astype(int)
    for column, axes in enumerate(figure.subplots(1, count, squeeze=False)[0]):
        true, answer = targets[rows, column], predicted[rows, column]
        finite = np.concatenate([true, answer])[np.isfinite(np.concatenate([true, answer]))]
        ends = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
        axes.plot(ends, ends, color="0.6", linestyle="--", linewidth=1, label="as it should be")
        axes.scatter(true, answer, s=14, alpha=0.3 if len(rows) > 300 else 0.7, linewidths=0)
        of = f"column {column + 1}: " if targets.shape[1] > 1 else ""
        shown = f"{of}RMSE {columns[column]['rmse']:.4g}, MAE {columns[column]['mae']:.4g}"
        axes.set(xlabel="true", ylabel="predicted", title=shown)
        axes.set_aspect("equal", adjustable="datalim")
        axes.grid(alpha=0.3)
        axes.legend(loc="upper left", fontsize=8)
    figure.suptitle(f"{title}: {len(targets):,} examples")
    figure.savefig(path, dpi=120)
