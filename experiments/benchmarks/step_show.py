"""Goals and tables of the part ``step``, on the terminal and on the page; of result files alone, without JAX."""

from collections.abc import Iterable, Sequence
from typing import Any

from experiments.benchmarks import terminal
from experiments.benchmarks.long_show import Table
from experiments.benchmarks.timings import geometric_mean, quartiles

Row = dict[str, Any]
Result = dict[str, Any]

GOAL = 1.0
OURS, PEER = "rnnjax", "torch"
WAYS = {"xla": "XLA", "xla, Eigen": "XLA by Eigen", PEER: "PyTorch"}
"""Who multiplies; XLA as it does by itself is the first."""
RATIOS = [f"{name} / {WAYS[PEER]}" for peer, name in WAYS.items() if peer != PEER]
WHATS = {"stream": "streaming", "generation": "generation"}


def on_terminal(table: Table, left: int = 2) -> Any:
    title, columns, lines = table
    return terminal.make(title, columns, lines, left=left)


def evaluate(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The goals of streams and generation at batch 1: geometric means over the widths of ratios of medians."""
    goals = []
    for what, cell in dict.fromkeys((row["what"], row["cell"]) for row in rows):
        at = [row for row in rows if (row["what"], row["cell"]) == (what, cell)]
        found = [_ratio(at, H) for H in dict.fromkeys(row["features"] for row in at)]
        ratios = [ratio for ratio in found if ratio is not None]
        mean = geometric_mean(ratios)
        said = f"{cell.upper()} {WHATS[what]}, batch 1: time / {PEER}'s"
        reached = None if mean is None else mean <= GOAL
        goals.append({"what": said, "goal": GOAL, "measured": mean, "shapes": len(ratios), "reached": reached})
    return goals


def _ratio(rows: Sequence[Row], H: int) -> float | None:
    ours, theirs = (
        _median(row for row in rows if (row["features"], row["peer"]) == (H, name)) for name in (OURS, PEER)
    )
    return None if ours is None or theirs is None else ours / theirs


def _median(rows: Iterable[Row]) -> float | None:
    return next((quartiles(row["samples"])[1] for row in rows if row["samples"]), None)


def tables(result: Result) -> list[Table]:
    """Products, their sums, what is divided, steps at batch 1 and thresholds: those of them that there are."""
    made = []
    if result.get("products"):
        made += [products(result["products"]), sums(result["products"])]
    if result.get("loops"):
        made.append(divided(result["loops"]))
    if result.get("rows"):
        made.append(streams(result["rows"]))
    if result.get("thresholds"):
        made.append(thresholds(result["thresholds"]))
    return made


def products(rows: Sequence[Row]) -> Table:
    """A line for each width, batch and direction."""
    lines = []
    for shape, direction in dict.fromkeys((tuple(row["shape"]), row["direction"]) for row in rows):
        at = {row["peer"]: row for row in rows if (tuple(row["shape"]), row["direction"]) == (shape, direction)}
        taken = {peer: _median([at[peer]]) if peer in at else None for peer in WAYS}
        spreads = [_microseconds(at[peer], "products") if peer in at else "" for peer in WAYS]
        lines.append([f"{shape[0]}, {shape[3]}", direction, *spreads, *_to_pytorch(taken)])
    columns = ["B, H", "product", *WAYS.values(), *RATIOS]
    return "The product of one step, microseconds: median (quartiles)", columns, lines


def sums(rows: Sequence[Row]) -> Table:
    """T times a forward and a backward product, at each shape of the layers."""
    lines = []
    for shape in dict.fromkeys(tuple(row["shape"]) for row in rows):
        at = [row for row in rows if tuple(row["shape"]) == shape]
        taken = {peer: _sum(at, peer) for peer in WAYS}
        shown = ["" if value is None else terminal.milliseconds(value) for value in taken.values()]
        lines.append(["B{} T{} D{} H{}".format(*shape), *shown, *_to_pytorch(taken)])
    title = "The products of an LSTM's steps alone, forward and backward, in a training step, milliseconds"
    return title, ["shape", *WAYS.values(), *RATIOS], lines


def _to_pytorch(taken: dict[str, float | None]) -> list[str]:
    theirs = taken[PEER]
    ratios = [None if not (ours and theirs) else ours / theirs for peer, ours in taken.items() if peer != PEER]
    return [terminal.times(ratio) for ratio in ratios]


def _sum(rows: Sequence[Row], peer: str) -> float | None:
    mine = [row for row in rows if row["peer"] == peer and row["samples"]]
    if {row["direction"] for row in mine} != {"forward", "backward"}:
        return None
    return sum(row["shape"][1] * quartiles(row["samples"])[1] / row["products"] for row in mine)


def divided(loops: Sequence[Row]) -> Table:
    """How many operations of a step, and how many KiB of them, are divided among threads; a line for each loop."""
    lines = []
    for loop in loops:
        whole = [each for each in loop["operations"] if each["partitions"] == 1]
        parts = [[each for each in loop["operations"] if each["partitions"] > 1], whole]
        parts += [[each for each in whole if each["why"] == why] for why in ("in place", "small", "kind")]
        name = f"{loop['cell'].upper()} B{loop['shape'][0]} H{loop['shape'][3]}"
        lines.append([name, loop["loop"], *map(_counted, parts)])
    columns = ["layer", "loop", "divided", "on one thread", "in place", "small", "copies and others"]
    return "What is not a product in one step: operations, KiB that they read and write", columns, lines


def _counted(operations: Sequence[Row]) -> str:
    size = sum(each["bytes"] for each in operations) / 2**10
    return f"{len(operations)}, {size:,.0f}" if operations else "0"


def evidence(result: Result) -> str:
    """Threads, the border between divided and undivided, the largest differences and what was not measured."""
    said, loops = [], result["loops"]
    if loops:
        every = [each for loop in loops for each in loop["operations"]]
        most = max((each["bytes"] for each in every if each["why"] == "small"), default=0)
        least = min((each["bytes"] for each in every if each["partitions"] > 1), default=0)
        said.append(
            f"XLA saw {loops[0]['threads']} threads. The least that it divided moves {least / 2**10:,.0f} KiB, the "
            f"most that it left on one thread as too small {most / 2**10:,.0f} KiB."
        )
    timed = result["products"] + result["rows"]
    apart = [row["apart"] for row in timed if row["apart"] is not None]
    if apart:
        said.append(f"Largest difference of a result from the first peer's: {max(apart):.0e} of its largest value.")
    failed = sorted({f"{row['peer']}: {row['error']}" for row in timed if row["error"]})
    failed += sorted({f"threshold {row['threshold']}: {row['error']}" for row in result["thresholds"] if row["error"]})
    return " ".join(said + [f"Not measured: {'; '.join(failed)}."] * bool(failed))


def streams(rows: Sequence[Row]) -> Table:
    """Microseconds of a step at batch 1 by each peer."""
    peers, lines = list(dict.fromkeys(row["peer"] for row in rows)), []
    for what, cell, H in dict.fromkeys((row["what"], row["cell"], row["features"]) for row in rows):
        at = [row for row in rows if (row["what"], row["cell"], row["features"]) == (what, cell, H)]
        of = {row["peer"]: _microseconds(row, "steps") for row in at}
        spreads = [of.get(peer, "") for peer in peers]
        lines.append([f"{cell.upper()} {H}", WHATS[what], *spreads, terminal.times(_ratio(at, H))])
    columns = ["cell, H", "what", *peers, f"{OURS} / {PEER}"]
    return "Batch 1, D = H, microseconds a step: median (quartiles)", columns, lines


def thresholds(rows: Sequence[Row]) -> Table:
    """Microseconds of a generated step by the threshold of small loops; a star where XLA computed the loop whole."""
    names, lines = list(dict.fromkeys(row["threshold"] for row in rows)), []
    names = sorted(names, key=lambda name: name or 0)
    for cell, H in dict.fromkeys((row["cell"], row["features"]) for row in rows):
        at = {row["threshold"]: row for row in rows if (row["cell"], row["features"]) == (cell, H)}
        shown = [_starred(at[name]) if name in at else "" for name in names]
        lines.append([f"{cell.upper()} {H}", *shown])
    columns = ["cell, H", *("as by default" if name is None else f"{name:,} bytes" for name in names)]
    title = "Generation where XLA computes loops below a size whole (*: it did), microseconds a step"
    return title, columns, lines


def _starred(row: Row) -> str:
    return _microseconds(row, "steps") + " *" * bool(row["one_call"])


def _microseconds(row: Row, count: str) -> str:
    if not row["samples"]:
        return ""
    low, middle, high = (_three(1e6 * seconds / row[count]) for seconds in quartiles(row["samples"]))
    return f"{middle} ({low}-{high})"


def _three(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
