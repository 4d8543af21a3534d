"""Tables of the part ``input``, on the terminal and on the page; of result files alone, without JAX."""

from collections.abc import Sequence
from typing import Any

from experiments.benchmarks import terminal
from experiments.benchmarks.timings import quartiles

Row = dict[str, Any]
Table = tuple[str, list[str], list[list[str]]]
"""Title, columns and lines."""

OURS, TORCH, DRAFT = "rnnjax", "torch", "torch, draft"
FASTER = 1.2
"""How many times PyTorch's images a second ours should be."""


def on_terminal(table: Table) -> Any:
    """A table of those below."""
    title, columns, lines = table
    return terminal.make(title, columns, lines, left=len(columns))


def tables(result: dict[str, Any]) -> list[Table]:
    """The streams, the waits and the memory, as far as they were measured."""
    memory = result["memory"]
    made = [streams(result["rows"])] * bool(result["rows"]) + [waits(result["waits"])] * bool(result["waits"])
    return made + ([_memory(memory)] if memory else [])


def streams(rows: Sequence[Row]) -> Table:
    """Images a second, and how many times PyTorch's they are with as many workers."""
    lines = []
    for row in rows:
        ratio = None if row["peer"] == TORCH else over(rows, row["peer"], TORCH, (row["sides"], row["workers"]))
        line = [row["sides"], row["peer"], str(row["workers"]), rate(row), terminal.times(ratio)]
        line.append(str(len(row["samples"])))
        lines.append([*line, "" if row["apart"] is None else f"{row['apart']:g} of 255"])
    columns = ["pixels", "peer", "threads or processes", "images/s (quartiles)", "× torch", "samples", "pixels apart"]
    return "JPEGs decoded and cropped at random", columns, lines


def waits(rows: Sequence[Row]) -> Table:
    """The share of time that the steps of real trainings wait for data."""
    lines = []
    for row in rows:
        by_epoch = ", ".join(map(_share, row["by_epoch"] or []))
        speed = "" if row["examples_per_second"] is None else f"{row['examples_per_second']:,.0f}"
        lines.append([row["experiment"], _share(row["input_wait"]) or row["error"] or "", by_epoch, speed])
    return "Steps that wait for data", ["experiment", "share of the time", "epoch by epoch", "examples/s"], lines


def evidence(result: dict[str, Any]) -> str:
    """Of what the images are, and how they were decoded."""
    size = result["size"]
    said = [
        f"{of['images']:,} made up images of {of['width']:.0f} x {of['height']:.0f} pixels and {of['kib']:.0f} KiB on "
        f"average (JPEG: {of['jpeg']}), of which rnnjax decodes {of['small']} of {of['crops']} crops small."
        for of in result["images"]
    ]
    said.append(
        f"They are cropped to {size} x {size} in batches of {result['batch']}. rnnjax decodes a JPEG at 1/2, 1/4 or "
        "1/8 of its size where the crop needs no more, and else no rows that lie wholly below the crop."
    )
    failed = [
        f"{row['sides']}, {row['peer']}, {row['workers']}: {row['error']}" for row in result["rows"] if row["error"]
    ]
    return " ".join(said) + f" Not measured: {'; '.join(failed)}." * bool(failed)


def over(rows: Sequence[Row], ours: str, theirs: str, of: tuple[str, int]) -> float | None:
    """How many times another's images a second one's are, by medians, of these sides and so many workers.

    None where one was not measured.
    """
    found = {row["peer"]: row["samples"] for row in rows if (row["sides"], row["workers"]) == of}
    if not (found.get(ours) and found.get(theirs)):
        return None
    return quartiles(found[theirs])[1] / quartiles(found[ours])[1]


def evaluate(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The goals of the streams, with what was measured."""
    goals = []
    for sides, workers in dict.fromkeys((row["sides"], row["workers"]) for row in rows):
        for theirs, goal in ((TORCH, FASTER), (DRAFT, None)):
            measured = over(rows, OURS, theirs, (sides, workers))
            of = f"streamed images of {sides}, {workers} worker{'s' * (workers > 1)}"
            what = f"{of}: examples/s, rnnjax / {theirs}"
            reached = None if measured is None or goal is None else measured >= goal
            goals.append({"what": what, "goal": goal, "measured": measured, "shapes": 1, "reached": reached})
    return goals


def rate(row: Row) -> str:
    """Images a second: the median, and the quartiles; or why there are none."""
    if not row["samples"]:
        return row["error"] or "not measured"
    low, middle, high = (row["images"] / seconds for seconds in reversed(quartiles(row["samples"])))
    return f"{middle:,.0f} ({low:,.0f}-{high:,.0f})"


def _memory(row: Row) -> Table:
    sizes = [row[name] for name in ("start_mib", "end_mib", "growth_mib")]
    shown = [row["error"] or ""] * 3 if row["error"] else [f"{size:,.1f}" for size in sizes]
    columns = ["images", "at the start", "at the end", "growth", "at most"]
    line = [f"{row['images']:,}", *shown, f"{row['bound_mib']:,.0f}"]
    return "Resident memory of a streamed epoch, in a process of its own, MiB", columns, [line]


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.2%}"
