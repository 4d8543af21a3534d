"""The pictures of experiments/README.md, drawn from the committed result files: ``experiments.report --plot``."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from experiments import fields, label_counts, lengths, load, trials
from rnnjax.files import write_file

Results = Mapping[str, list[trials.Result]]

CURVES = "curves"
"""Folder below the results: the rows of ``metrics.jsonl`` of runs that are plotted against time."""

AGAINST_TIME = "shakespeare_chars"
"""The experiment whose variants are so many recurrences."""


def pictures(folder: Path, measured: Results, tried: Results) -> dict[str, Callable[[Path], None]]:
    """What draws each picture, by its file name; those without results are left out.

    Args:
      folder: of the results.
      measured, tried: the results and the trials by experiment.
    """
    found = label_counts.points(measured, tried)
    races = against_time(folder)
    curves = lengths.curves(measured)
    drawn: dict[str, Callable[[Path], None]] = {}
    if found:
        drawn["labels.svg"] = lambda path: _draw_labels(found, path)
    if races:
        drawn["recurrences.svg"] = lambda path: _draw_races(races, path)
    if any(beside := [row for rows in fields.standings(dict(measured)).values() for row in rows if _comparable(row)]):
        drawn["fields.svg"] = lambda path: _draw_fields(beside, path)
    if curves:
        drawn["lengths.svg"] = lambda path: _draw_lengths(curves, path)
    return drawn


def against_time(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of each variant that was plotted against time, by its name."""
    found = {}
    for variant in load(AGAINST_TIME).variants:
        path = folder / CURVES / f"{AGAINST_TIME}-{variant}-seed-0.jsonl"
        if path.is_file():
            found[variant] = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return found


def draw(folder: Path, measured: Results, tried: Results) -> list[Path]:
    """Writes all pictures below the results; returns their paths."""
    made = []
    for name, drawing in pictures(folder, measured, tried).items():
        path = folder / "plots" / name
        path.parent.mkdir(exist_ok=True)
        write_file(path, drawing)
        made.append(path)
    return made


def _draw_labels(found: list[label_counts.Point], path: Path) -> None:
    figure, (axes,) = _figure()
    for name in dict.fromkeys(point.name for point in found):
        mine = [point for point in found if point.name == name]
        labels, values = [point.labels for point in mine], [100 * point.accuracy for point in mine]
        style = "--" if name == label_counts.BAR else "-"
        axes.plot(labels, values, style, marker="o", label=name)
    axes.set_xscale("log")
    axes.set_xlabel("reviews with a label")
    axes.set_ylabel("test accuracy in %")
    _finished(figure, path)


def _draw_races(races: Mapping[str, list[dict[str, Any]]], path: Path) -> None:
    figure, (axes,) = _figure()
    for name, rows in races.items():
        minutes, losses = [row["seconds"] / 60 for row in rows], [row["validation_loss"] for row in rows]
        axes.plot(minutes, losses, marker=".", label=name)
    axes.set_xlabel("minutes of training, compilation left out")
    axes.set_ylabel("validation loss, nats a character")
    _finished(figure, path)


def _draw_lengths(curves: lengths.Curves, path: Path) -> None:
    figure, panels = _figure(len(curves))
    every = list(dict.fromkeys(model for models in curves.values() for model in models))
    for axes, (group, models) in zip(panels, curves.items(), strict=True):
        for model, points in models.items():  # a model has one color in all panels
            steps, accuracies = zip(*points, strict=True)
            axes.plot(steps, [100 * each for each in accuracies], f"C{every.index(model)}", marker="o", label=model)
        axes.set_title(group)
        axes.set_xscale("log")
        axes.set_xlabel("steps; 64 were trained on")
    panels[0].set_ylabel("steps that are right on test, in %")
    _finished(figure, path)


def _comparable(row: fields.Standing) -> bool:
    return row.ours is not None and (row.bar is not None or row.published is not None)


def _draw_fields(rows: list[fields.Standing], path: Path) -> None:
    """A line for each result, with a scale of its own, to the right what is better."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 0.62 * len(rows) + 0.8), layout="constrained")
    for row, axes in zip(rows, figure.subplots(len(rows), 1, squeeze=False)[:, 0], strict=True):
        for name, mark, color in _MARKS:
            if (value := getattr(row, name)) is not None:
                axes.plot([value], [0], mark, markersize=8, color=color, label=name, linestyle="none")
        axes.set_yticks([0], [row.experiment.name], fontsize=8)
        axes.tick_params(axis="x", labelsize=7)
        axes.margins(x=0.15)
        if row.experiment.task.headline.best == "min":
            axes.invert_xaxis()
        for side in ("top", "left", "right"):
            axes.spines[side].set_visible(False)
    labelled = {str(line.get_label()): line for axes in figure.axes for line in axes.lines}
    figure.legend(labelled.values(), labelled, loc="outside upper center", ncols=3, fontsize=8)
    _saved(figure, path)


_MARKS = (("bar", "|", "C7"), ("published", "d", "C1"), ("ours", "o", "C0"))


def _figure(panels: int = 1) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0 if panels == 1 else 3.6 * panels, 4.0), layout="constrained")
    return figure, list(figure.subplots(1, panels, squeeze=False, sharey=True)[0])


def _finished(figure: Any, path: Path) -> None:
    for axes in figure.axes:
        axes.grid(visible=True, alpha=0.3)
    figure.axes[0].legend()
    _saved(figure, path)


def _saved(figure: Any, path: Path) -> None:
    """Saves a picture that is the same for the same results."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": path.name.partition(".")[0], "svg.fonttype": "none"}):
        figure.savefig(path, format="svg", metadata={"Date": None})
