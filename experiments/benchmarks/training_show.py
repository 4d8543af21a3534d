"""The training benchmark's table on the terminal and its plot."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from experiments.benchmarks import goals as targets
from experiments.benchmarks import training_rows
from experiments.benchmarks.training_rows import Row


def show(result: dict[str, Any]) -> None:
    """Prints a result as tables."""
    console, rows = Console(), [training_rows.read(row) for row in result["rows"]]
    table = Table(title="whole training runs", title_justify="left")
    table.add_column("task", no_wrap=True)
    table.add_column("peer", no_wrap=True)
    for name in ("a second (quartiles)", "compile", "seconds to", "the goal", "in"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*_cells(row))
    console.print(table)
    for row in rows:
        if row.get("not_prepared") or row.get("failed"):
            console.print(f"{row['task']}: {row.get('not_prepared') or row['failed']}", markup=False, soft_wrap=True)
    goals = Table(title="goals", title_justify="left")
    goals.add_column("what")
    for name in ("goal", "measured", ""):
        goals.add_column(name, justify="right")
    for goal in result["goals"]:
        measured = "not measured" if goal["measured"] is None else f"{goal['measured']:.2f}"
        became = "" if goal["measured"] is None else targets.verdict(goal)
        goals.add_row(goal["what"], f"≥ {goal['goal']:.1f}", measured, became)
    console.print(goals)
    others = result["cores_of_others"]
    if others is not None and others > 0.1:
        console.print(f"other processes kept {others:.1f} cores busy meanwhile: measure again without them")


def label(row: Row) -> str:
    """``rnnjax × 2`` on two devices; other peers by their name."""
    return row["peer"] + (f" × {row['devices']}" if row["peer"] == "rnnjax" else "")


def _cells(row: Row) -> list[str]:
    if row.get("not_prepared"):
        return [row["task"], "", "not prepared", "", "", "", ""]
    speed = training_rows.speed(row)
    cells = [row["task"], label(row), f"{speed} {row['unit']}" if speed else "", f"{row['compile_seconds']:.1f} s"]
    if row["failed"]:
        return [*cells, "failed", "", ""]
    goal = f"{row['metric']['name']} {training_rows.quality(row, row['goal'])}"
    if row["seconds_to_goal"] is not None:
        return [*cells, training_rows.seconds(row), goal, f"{row['units_to_goal']:,.0f} {row['unit']}"]
    missed = "" if row["quality"] is None else f"{training_rows.quality(row, row['quality'])} of"
    return [*cells, missed, goal if missed else "", ""]


def save_curves(rows: Sequence[Row], path: Path) -> None:
    """Draws each validation over seconds of training, one panel a task; nothing where no run was made."""
    from matplotlib.figure import Figure

    rows = [read for row in rows if (read := training_rows.read(row)).get("runs")]
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    if not tasks:
        return
    across = min(3, len(tasks))
    down = -(-len(tasks) // across)
    figure = Figure(figsize=(4.2 * across, 3.4 * down), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).flat
    for axes, task in zip(panels, tasks, strict=False):
        _draw(axes, task, [row for row in rows if row["task"] == task])
    for axes in list(panels):
        axes.set_axis_off()
    figure.savefig(path, dpi=90)


def _draw(axes: Any, task: str, rows: Sequence[Row]) -> None:
    for number, row in enumerate(rows):
        for run in row["runs"]:
            points = [(point["seconds"], point["quality"]) for point in run["curve"]]
            axes.plot(*zip(*points, strict=True), marker=".", color=f"C{number}")
        axes.plot([], [], marker=".", color=f"C{number}", label=label(row))
    axes.axhline(rows[0]["goal"], color="grey", linestyle=":")
    name = rows[0]["metric"]["name"].replace("_", " ")
    axes.set(title=task, xlabel="seconds of training (compilation apart)", ylabel=f"validation {name}")
    axes.grid(alpha=0.3)
    axes.legend()
