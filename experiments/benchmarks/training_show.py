"""The training benchmark's table on the terminal and its plot."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

Row = dict[str, Any]


def show(result: dict[str, Any]) -> None:
    """Prints a result as tables."""
    console = Console()
    table = Table(title="whole training runs", title_justify="left")
    table.add_column("task", no_wrap=True)
    table.add_column("peer", no_wrap=True)
    for name in ("examples/s", "quartiles", "compile", "to accuracy", "examples"):
        table.add_column(name, justify="right")
    for row in result["rows"]:
        table.add_row(*_cells(row))
    console.print(table)
    for row in result["rows"]:
        if row.get("not_prepared") or row.get("failed"):
            console.print(f"{row['task']}: {row.get('not_prepared') or row['failed']}", markup=False, soft_wrap=True)
    goals = Table(title="goals", title_justify="left")
    goals.add_column("what")
    for name in ("goal", "measured", ""):
        goals.add_column(name, justify="right")
    for goal in result["goals"]:
        measured = "not measured" if goal["measured"] is None else f"{goal['measured']:.2f}"
        goals.add_row(goal["what"], f"≥ {goal['goal']:.1f}", measured, "reached" if goal["reached"] else "missed")
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
    speed = row["examples_per_second"]
    cells = [row["task"], label(row)]
    cells += [f"{speed['median']:,.0f}", f"{speed['q1']:,.0f}-{speed['q3']:,.0f}"] if speed else ["", ""]
    cells.append(f"{row['compile_seconds']:.1f} s")
    if row["failed"]:
        return [*cells, "failed", ""]
    if row["seconds_to_accuracy"] is not None:
        return [*cells, f"{row['seconds_to_accuracy']:.0f} s to {row['accuracy_goal']:.0%}",
                f"{row['examples_to_accuracy']:,.0f}"]  # fmt: skip
    missed = "" if row["accuracy"] is None else f"{row['accuracy']:.1%} of {row['accuracy_goal']:.0%}"
    return [*cells, missed, ""]


def save_curves(rows: Sequence[Row], path: Path) -> None:
    """Draws validation accuracy over seconds of training, one panel a task; nothing where no run was made."""
    from matplotlib.figure import Figure

    rows = [row for row in rows if row.get("to_accuracy")]
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    if not tasks:
        return
    figure = Figure(figsize=(4.2 * len(tasks), 3.4), layout="constrained")
    for axes, task in zip(figure.subplots(1, len(tasks), squeeze=False)[0], tasks, strict=True):
        for number, row in enumerate(row for row in rows if row["task"] == task):
            for run in row["to_accuracy"]:
                points = [(point["seconds"], point["accuracy"]) for point in run["curve"]]
                axes.plot(*zip(*points, strict=True), marker=".", color=f"C{number}")
            axes.plot([], [], marker=".", color=f"C{number}", label=label(row))
        axes.axhline(rows[[row["task"] for row in rows].index(task)]["accuracy_goal"], color="grey", linestyle=":")
        axes.set(title=task, xlabel="seconds of training (compilation apart)", ylabel="validation accuracy")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=90)
