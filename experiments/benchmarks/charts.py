"""Plots of the benchmarks' results, beside their files."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from experiments.benchmarks.timings import Timings, quartiles

COLOURS = {
    "rnnjax fused": "#1b6ca8",
    "rnnjax fused, 2 devices": "#0b3c5d",
    "rnnjax scan": "#8ec1e6",
    "rnnjax sqrt": "#59a98c",
    "rnnjax cudnn": "#134e4a",
    "flax": "#f2a541",
    "flax, 2 devices": "#b86e00",
    "nnx": "#d9c65d",
    "nnx, 2 devices": "#8f7f1e",
    "keras": "#c44536",
    "torch": "#7a4fa3",
    "torch padded": "#b79bd0",
    "equinox": "#8a8a8a",
}


def layers(result: dict[str, Any], path: Path) -> list[Path]:
    """One figure a cell: times of training over Flax's on one device, by form and shape, with quartiles."""
    rows = [row for row in result["rows"] if row["mode"] == "train" and row["samples"]]
    written = []
    for cell in dict.fromkeys(row["cell"] for row in rows):
        mine = [row for row in rows if row["cell"] == cell]
        forms = list(dict.fromkeys(row["form"] for row in mine))
        figure, panels = _figure(len(forms), 10, 2.9)
        for axes, form in zip(panels, forms, strict=True):
            _bars(axes, Timings(row for row in mine if row["form"] == form))
            axes.set_title(f"{cell.upper()} {form}: forward + backward + Adam, time / Flax's on one device", fontsize=9)
        written.append(_save(figure, path.with_name(f"{path.stem}-{cell}.png")))
    return written


def _bars(axes: Any, timings: Timings) -> None:
    shapes = timings.shapes()
    names = list(dict.fromkeys(_name(row) for row in timings.rows))
    width = 0.85 / len(names)
    for place, name in enumerate(names):
        at, middle, low, high = [], [], [], []
        for row in timings.rows:
            base = timings.median(**row | {"peer": "flax", "devices": 1})
            if _name(row) != name or base is None:
                continue
            q1, median, q3 = quartiles(row["samples"])
            at.append(shapes.index(tuple(row["shape"])) + (place - (len(names) - 1) / 2) * width)
            middle.append(median / base)
            low.append((median - q1) / base)
            high.append((q3 - median) / base)
        heights = [value - 1 for value in middle]  # bars stand on Flax's line
        axes.bar(at, heights, width, bottom=1, color=COLOURS.get(name), label=name)
        axes.errorbar(at, middle, [low, high], fmt="none", ecolor="black", elinewidth=0.7)
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.axhline(1, color="black", linewidth=0.7)
    axes.set_xticks(range(len(shapes)), ["B{} T{}\nD{} H{}".format(*shape) for shape in shapes], fontsize=7)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize=7, ncols=4)


def _name(row: dict[str, Any]) -> str:
    return row["peer"] if row["devices"] == 1 else f"{row['peer']}, {row['devices']} devices"


def over_steps(rows: Iterable[dict[str, Any]], path: Path, panels: Sequence[str], unit: str) -> list[Path]:
    """One figure of lines over T: a panel each of ``panels``; rows have ``panel``, ``line``, ``T`` and ``value``.

    Without panels, as of what was interrupted at once, there is none.
    """
    if not panels:
        return []
    rows = [row for row in rows if row["value"] is not None]
    figure, axes_of = _figure(1, 3.6 * len(panels), 3.0, columns=len(panels))
    for axes, panel in zip(axes_of, panels, strict=True):
        mine = [row for row in rows if row["panel"] == panel]
        for line in dict.fromkeys(row["line"] for row in mine):
            points = [(row["T"], row["value"]) for row in mine if row["line"] == line]
            axes.plot(*zip(*points, strict=True), marker=".", color=COLOURS.get(line), label=line)
        axes.set(xscale="log", yscale="log", xlabel="T", ylabel=unit, title=panel)
        axes.set_xticks(sorted({row["T"] for row in mine}), sorted({row["T"] for row in mine}), fontsize=7)
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        if mine:
            axes.legend(fontsize=7)
    return [_save(figure, path.with_suffix(".png"))]


def _figure(rows: int, width: float, height: float, columns: int = 1) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height * max(rows, 1)), layout="constrained")
    return figure, list(figure.subplots(max(rows, 1), columns, squeeze=False).flat)


def _save(figure: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
    return path
