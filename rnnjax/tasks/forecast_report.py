"""What a split's forecasts show: errors by step ahead and by column, and pictures."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnjax.tasks.base import Report

if TYPE_CHECKING:
    from rnnjax.tasks.forecast import Forecast


def report(task: "Forecast", totals: Mapping[str, Any]) -> Report:
    """The report of sums as :meth:`rnnjax.tasks.Forecast.sums` gives them."""
    windows = float(totals["weight"])
    squared, absolute = (np.asarray(totals[name]) / max(windows, 1) for name in ("squared", "absolute"))  # [H, C]
    scale = np.asarray(task.scale)
    rmse, mae = (squared * scale**2).mean(0) ** 0.5, (absolute * scale).mean(0)
    by_column = [
        {"column": name, "mse": float(s), "mae": float(a), "rmse_in_units": float(r), "mae_in_units": float(m)}
        for name, s, a, r, m in zip(task.columns, squared.mean(0), absolute.mean(0), rmse, mae, strict=True)
    ]
    page: dict[str, Any] = {
        "windows": windows,
        "units": "mse and mae are in standard deviations of the training rows, those in_units in the data's own",
        "columns": by_column,
        "by_step_ahead": {"mse": squared.mean(1).tolist(), "mae": absolute.mean(1).tolist()},
    }
    if "covered" in totals:
        covered = np.asarray(totals["covered"]) / max(windows, 1)
        page["interval"] = [task.quantiles[0], task.quantiles[-1]]
        page["by_step_ahead"]["coverage"] = covered.mean(1).tolist()
    values = {"rmse_in_units": float(rmse[0]), "mae_in_units": float(mae[0])} if len(scale) == 1 else {}
    figures = {"horizon": lambda path, title: save_errors(squared.mean(1), absolute.mean(1), path, title)}
    if "drawn_count" in totals:
        figures["forecasts"] = lambda path, title: save_forecasts(task, totals, path, title)
    return Report(values, page, figures)


def save_errors(squared: np.ndarray, absolute: np.ndarray, path: Path, title: str) -> None:
    """Draws the errors by step ahead, ``[H]`` each."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes, ahead = figure.subplots(), np.arange(1, len(squared) + 1)
    marker = "o" if len(ahead) < 32 else None
    axes.plot(ahead, squared, label="mean squared error", marker=marker, markersize=3)
    axes.plot(ahead, absolute, label="mean absolute error", marker=marker, markersize=3)
    axes.set(xlabel="steps ahead", ylabel="error (standardised)", title=f"{title}: errors", ylim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


def save_forecasts(task: "Forecast", totals: Mapping[str, Any], path: Path, title: str) -> None:
    """Draws a few windows with what followed and what was forecast, the columns in turn, in the data's units."""
    from matplotlib.figure import Figure

    count = int(np.count_nonzero(totals["drawn_count"]))
    figure = Figure(figsize=(11, 2.8 * max(1, -(-count // 2))), layout="constrained")
    figure.suptitle(f"{title}: forecasts")
    grid = figure.subplots(max(1, -(-count // 2)), 2, squeeze=False)
    for place, axes in enumerate(grid.flat):
        if place >= count:
            axes.set_axis_off()
            continue
        column = place % len(task.columns)
        _one(task, totals, place, column, axes)
        if place == 0:
            figure.legend(*axes.get_legend_handles_labels(), loc="outside upper right", ncols=4, fontsize=8)
    figure.savefig(path, dpi=120)


def _one(task: "Forecast", totals: Mapping[str, Any], place: int, column: int, axes: Any) -> None:
    """One window of one column."""
    parts = (np.asarray(totals[f"drawn_{name}"])[place, :, column] for name in ("inputs", "targets", "outputs"))
    before, after, made = (task.mean[column] + task.scale[column] * part for part in parts)
    before = before[-3 * len(after) :]  # of a long look-back, its end
    ahead = np.arange(1, len(after) + 1)
    past = np.arange(1 - len(before), 1)
    mark = "." if len(after) < 3 else None
    axes.plot(past, before, color="0.6", linewidth=1, label="before")
    axes.plot(
        np.append(0, ahead),
        np.append(before[-1], after),
        color="black",
        linewidth=1,
        label="what followed",
        marker=mark,
    )
    middle = made[:, task._middle]
    axes.plot(ahead, middle, color="C3", linewidth=1.5, label="forecast", marker=mark)
    if made.shape[1] > 1:
        span = f"{task.quantiles[0]:g} to {task.quantiles[-1]:g}"
        axes.fill_between(ahead, made[:, 0], made[:, -1], color="C3", alpha=0.2, linewidth=0, label=span)
    axes.set(xlabel="steps ahead", ylabel=_name(task.columns[column], column))


def _name(column: str, number: int) -> str:
    """A column's name as a figure can show it: short, no formula; its number where the font has no glyphs for it."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties()))
    shown = column if len(column) <= 30 else f"{column[:29]}…"
    known = all(map(font.get_char_index, map(ord, shown)))
    return shown.replace("$", r"\$") if known else f"column {number + 1}"
