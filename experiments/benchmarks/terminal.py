"""What the benchmarks show on the terminal."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from experiments.benchmarks import goals
from experiments.benchmarks.timings import Timings, geometric_mean, quartiles

WIDTH = 118
SHORT = 20
"""Signs of a cell that is not broken: a median with its quartiles."""
AGAINST = ("flax", "torch")
"""Over whose times the ratios are that stand in the tables."""


def console() -> Console:
    """A terminal, or a file of fixed width."""
    screen = Console()
    return screen if screen.is_terminal else Console(width=WIDTH)


def make(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> Table:
    """A table; the first ``left`` columns are words, the others numbers.

    All is shown as it is: what errors say in brackets would be a style to Rich, or an error of its own. Where there is
    not enough room, titles and what is long are broken between words; what is short is not, and no column vanishes.
    """
    table, rows = Table(title=escape(title), title_justify="left"), [list(row) for row in rows]
    for place, column in enumerate(columns):
        cells = [row[place] for row in rows]
        whole = max((len(cell) for cell in cells if len(cell) <= SHORT), default=0)
        words = (len(word) for text in (column, *cells) for word in text.split())
        least = max(whole, min(max(words, default=0), SHORT))
        table.add_column(escape(column), justify="left" if place < left else "right", min_width=least)
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def peer_name(row: dict[str, Any]) -> str:
    return row["peer"] if row["devices"] == 1 else f"{row['peer']}, {row['devices']} devices"


def milliseconds(seconds: float) -> str:
    """Milliseconds with three digits."""
    value = 1e3 * seconds
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def reference(timings: Timings, row: dict[str, Any], peer: str) -> float | None:
    """The row's median over that of ``peer`` in the same task, on as many devices if it ran on them."""
    ratio = timings.ratio(row, row | {"peer": peer})
    return ratio if ratio is not None else timings.ratio(row, row | {"peer": peer, "devices": 1})


def of_group(title: str, rows: Sequence[dict[str, Any]], against: Sequence[str] = AGAINST) -> Table:
    """Medians, quartiles and ratios to other peers of the rows of one cell and shape."""
    timings, lines = Timings(rows), []
    for row in rows:
        words = [row["form"], row["mode"], peer_name(row)]
        if not row["samples"]:
            lines.append([*words, row["error"] or "not measured", "", "", *([""] * len(against)), ""])
            continue
        q1, median, q3 = quartiles(row["samples"])
        ratios = [times(reference(timings, row, peer)) for peer in against]
        first = row["first_call_seconds"]
        lines.append(
            [
                *words,
                milliseconds(median),
                f"{milliseconds(q1)}-{milliseconds(q3)}",
                str(len(row["samples"])),
                *ratios,
                "" if first is None else f"{first:.1f}",
            ]
        )
    columns = ["form", "mode", "peer", "ms", "quartiles", "samples", *(f"× {peer}" for peer in against), "first call s"]
    return make(title, columns, lines, left=3)


def of_means(rows: Sequence[dict[str, Any]], against: Sequence[str] = AGAINST) -> Table:
    """Geometric means of the ratios to other peers over the shapes with B >= 16."""
    timings, lines = Timings(rows), []
    large = [row for row in rows if row["shape"][0] >= goals.SMALLEST_BATCH]
    for cell, form, mode, peer, devices in dict.fromkeys(
        (row["cell"], row["form"], row["mode"], row["peer"], row["devices"]) for row in large
    ):
        mine = [
            row
            for row in large
            if (row["cell"], row["form"], row["mode"], row["peer"], row["devices"]) == (cell, form, mode, peer, devices)
        ]
        cells = []
        for other in against:
            ratios = [ratio for row in mine if (ratio := reference(timings, row, other)) is not None]
            cells += [times(geometric_mean(ratios)), str(len(ratios))]
        lines.append([cell, form, mode, peer_name({"peer": peer, "devices": devices}), *cells])
    columns = ["cell", "form", "mode", "peer"]
    for other in against:
        columns += [f"× {other}", "shapes"]
    return make("geometric means over shapes with B >= 16", columns, lines, left=4)


def of_goals(found: Sequence[goals.Goal], title: str) -> Table:
    """The goals with what was measured."""
    lines = [
        [
            goal["what"],
            "" if goal["goal"] is None else f"{'>=' if goals.upwards(goal) else '<='} {goal['goal']:g}",
            "" if goal["measured"] is None else f"{goal['measured']:.3f}",
            str(goal["shapes"]),
            goals.verdict(goal),
        ]
        for goal in found
    ]
    return make(title, ["what", "goal", "measured", "shapes", ""], lines)
