"""Tables of the part ``ragged``, on the terminal and on the page; of result files alone, without JAX."""

from collections.abc import Sequence
from typing import Any

from experiments.benchmarks import terminal
from experiments.benchmarks.timings import geometric_mean, quartiles

Row = dict[str, Any]
Table = tuple[str, list[str], list[list[str]]]
"""Title, columns and lines."""

TITLES = {
    "lognormal": "log-normal lengths, as IMDB's",
    "uniform": "uniform lengths",
    "episodes": "resets inside of rows",
}
OURS = {"lognormal": "rnnjax, packing included", "uniform": "rnnjax, packing included", "episodes": "rnnjax resets"}
OTHERS = ("rnnjax padded", "flax padded", "torch packed", "torch padded")
HOST = "rnnjax.pack"
"""What runs on the host alone and computes no loss; milliseconds are shown of it."""


def of_task(rows: Sequence[Row]) -> Any:
    """The rows of one task, for the terminal."""
    first, lines = rows[0], []
    for row in rows:
        apart = row.get("apart") or {}
        words = [terminal.peer_name(row), row.get("implementation") or ""]
        spread = terminal.milliseconds(quartiles(row["samples"])[1]) if row["samples"] else ""
        speed = "" if row["peer"] == HOST else rate(row)
        measures = [f"{apart[name]:.0e}" if name in apart else "" for name in ("loss", "gradient")]
        lines.append([*words, spread, speed or row["error"] or "", str(len(row["samples"])), *measures])
    title = f"{first['cell'].upper()} {_shape(first)}, {TITLES[first['kind']]}: {_contents(first)}"
    columns = ["peer", "ran", "ms", "sequences/s (quartiles)", "samples", "loss apart", "gradient apart"]
    return terminal.make(title, columns, lines, left=2)


def tables(rows: Sequence[Row]) -> list[Table]:
    """For each cell and kind of sequences their speeds shape by shape, and before them the ratios of all."""
    made = []
    for cell in dict.fromkeys(row["cell"] for row in rows):
        mine = [row for row in rows if row["cell"] == cell]
        made.append(_ratios(cell, mine))
        kinds = dict.fromkeys(row["kind"] for row in mine)
        made += [_speeds(cell, kind, [row for row in mine if row["kind"] == kind]) for kind in kinds]
    return made


def rate(row: Row) -> str:
    """Sequences a second: the median, and the quartiles."""
    if not row["samples"]:
        return ""
    low, middle, high = (row["sequences"] / seconds for seconds in reversed(quartiles(row["samples"])))
    return f"{middle:,.0f} ({low:,.0f}-{high:,.0f})"


def evidence(rows: Sequence[Row]) -> str:
    """Which implementations ran, how far the answers were apart, and what was not measured."""
    ran: dict[str, set[str]] = {}
    for row in rows:
        if row.get("implementation"):
            ran.setdefault(row["peer"], set()).add(row["implementation"])
    said = "; ".join(f"{peer} by {', '.join(sorted(names))}" for peer, names in ran.items())
    apart = [row["apart"] for row in rows if row.get("apart")]
    far = {name: max((each[name] for each in apart), default=0.0) for name in ("loss", "gradient")}
    failed = sorted({f"{terminal.peer_name(row)}: {row['error']}" for row in rows if row["error"]})
    return (
        f"Seen to run: {said}. Largest relative differences: of the loss {far['loss']:.0e}, of a parameter's gradient "
        f"{far['gradient']:.0e}." + f" Not measured: {'; '.join(failed)}." * bool(failed)
    )


def _speeds(cell: str, kind: str, rows: Sequence[Row]) -> Table:
    names = list(dict.fromkeys((row["peer"], row["devices"]) for row in rows))
    lines = []
    for shape in dict.fromkeys(_shape(row) for row in rows):
        found = {(row["peer"], row["devices"]): row for row in rows if _shape(row) == shape}
        first = next(iter(found.values()))
        lines.append([shape, _contents(first), *(_cell(found[name]) if name in found else "" for name in names)])
    columns = [terminal.peer_name({"peer": peer, "devices": devices}) for peer, devices in names]
    columns = [f"{column}, ms" if column == HOST else column for column in columns]
    title = f"{cell.upper()}, {TITLES[kind]}, sequences a second: median (quartiles)"
    return title, ["shape", "sequences", *columns], lines


def _ratios(cell: str, rows: Sequence[Row]) -> Table:
    """Time of ours over each other's; on several devices over JAX' peers on as many, and PyTorch on all threads."""
    medians = {
        (row["kind"], _shape(row), row["peer"], row["devices"]): quartiles(row["samples"])[1]
        for row in rows
        if row["samples"]
    }
    lines = []
    for kind, devices in dict.fromkeys((row["kind"], row["devices"]) for row in rows):
        line = [f"{TITLES[kind]}: {OURS[kind]}", str(devices)]
        for peer in OTHERS:
            ratios = []
            for shape in dict.fromkeys(_shape(row) for row in rows if row["kind"] == kind):
                ours = medians.get((kind, shape, OURS[kind], devices))
                theirs = medians.get((kind, shape, peer, 1 if peer.startswith("torch") else devices))
                ratios += [ours / theirs] if ours and theirs else []
            line.append(terminal.times(geometric_mean(ratios)))
        lines.append(line)
    title = f"{cell.upper()}, time over a peer's: geometric means over the shapes of ratios of medians"
    return title, ["", "devices", *(f"/ {peer}" for peer in OTHERS)], lines


def _cell(row: Row) -> str:
    if row["peer"] != HOST or not row["samples"]:
        return rate(row)
    low, middle, high = map(terminal.milliseconds, quartiles(row["samples"]))
    return f"{middle} ({low}-{high})"


def _shape(row: Row) -> str:
    return "B{} T{} D{} H{}".format(*row["shape"])


def _contents(row: Row) -> str:
    """How many sequences there are, and how much of the padded ones is no padding."""
    return f"{row['sequences']}, {row['steps'] / (row['sequences'] * row['longest']):.0%} real"
