"""Tables of the part ``long``, on the terminal and on the page; of result files alone, without JAX."""

from collections.abc import Sequence
from typing import Any

from experiments.benchmarks import terminal
from experiments.benchmarks.timings import quartiles

Row = dict[str, Any]
Table = tuple[str, list[str], list[list[str]]]
"""Title, columns and lines."""

TITLES = {"lru": "LRU", "min_gru": "minGRU", "lstm": "LSTM"}
LOOP = "scan"


def of_task(rows: Sequence[Row]) -> Any:
    """The rows of one cell and shape, for the terminal."""
    first, lines = rows[0], []
    for row in rows:
        apart = row.get("apart") or {}
        far = [f"{apart[name]:.0e}" if name in apart else "" for name in ("loss", "gradient")]
        shown = [spread(row) or row["error"] or "", str(len(row["samples"])), _mebibytes(row["temporaries"]), *far]
        lines.append([row["implementation"], row["ran"] or "", *shown])
    columns = ["implementation", "ran", "ms (quartiles)", "samples", "temporaries, MiB", "loss apart", "gradient apart"]
    return terminal.make(f"{TITLES[first['cell']]} {_shape(first)}", columns, lines, left=2)


def of_training(rows: Sequence[Row]) -> Any:
    """The training steps, for the terminal."""
    title, columns, lines = training(rows)
    return terminal.make(title, columns, lines, left=len(columns))


def tables(rows: Sequence[Row], trained: Sequence[Row]) -> list[Table]:
    """Where the others cross over the loop, times and temporaries by cell and width, and the training steps."""
    made = [crossovers(rows)] if rows else []
    for cell, H in dict.fromkeys((row["cell"], row["shape"][3]) for row in rows):
        mine = [row for row in rows if (row["cell"], row["shape"][3]) == (cell, H)]
        made.append(_times(f"{TITLES[cell]}, H = {H}", mine))
    return made + [training(trained)] * bool(trained)


def crossover(rows: Sequence[Row], implementation: str) -> int | None:
    """The first T from which on an implementation is ahead of the loop at every T of these rows, of which each has one.

    It is ahead where its third quartile lies below the loop's first one. A T at which one of both lacks samples is
    passed over.
    """
    found: int | None = None
    for T in sorted({row["shape"][1] for row in rows}, reverse=True):
        at = {row["implementation"]: row["samples"] for row in rows if row["shape"][1] == T}
        if not (at.get(LOOP) and at.get(implementation)):
            continue
        if quartiles(at[implementation])[2] >= quartiles(at[LOOP])[0]:
            break
        found = T
    return found


def crossovers(rows: Sequence[Row]) -> Table:
    """For each cell, width and batch, and each implementation but the loop; nothing where no T has samples of both."""
    names = [name for name in _names(rows) if name != LOOP]
    batches, lines = sorted({row["shape"][0] for row in rows}), []
    for cell, H in dict.fromkeys((row["cell"], row["shape"][3]) for row in rows):
        for name in names:
            line = [TITLES[cell], str(H), name]
            for B in batches:
                at = [row for row in rows if (row["cell"], row["shape"][3], row["shape"][0]) == (cell, H, B)]
                timed = {row["implementation"] for row in at if row["samples"]}
                line.append(str(crossover(at, name) or "never") if timed >= {LOOP, name} else "")
            lines.append(line)
    columns = ["cell", "H", "implementation", *(f"B = {B}" for B in batches)]
    return "The T from which on an implementation is ahead of the loop", columns, lines


def training(rows: Sequence[Row]) -> Table:
    """Compiled and measured memory of the training steps."""
    lines = []
    for row in rows:
        peak = "" if row["peak_mib"] is None else f"{row['peak_mib']:,.0f}"
        words = [TITLES[row["cell"]], row["peer"], row["reads"], row["ran"] or "", _shape(row)]
        lines.append([*words, _mebibytes(row["temporaries"]), peak or row["error"] or ""])
    columns = ["cell", "peer", "head reads", "ran", "shape", "temporaries, MiB", "most of the process, MiB"]
    return "A training step with Adam, in a process of its own", columns, lines


def evidence(rows: Sequence[Row]) -> str:
    """Which implementations ran, how far the answers were apart, and what was not measured."""
    ran = sorted({f"{row['implementation']} by {row['ran']}" for row in rows if row["ran"]})
    apart = [row["apart"] for row in rows if row.get("apart")]
    far = {name: max((each[name] for each in apart), default=0.0) for name in ("loss", "gradient")}
    failed = [
        f"{TITLES[row['cell']]} {_shape(row)} {row['implementation']}: {row['error']}" for row in rows if row["error"]
    ]
    return (
        f"Seen to run: {'; '.join(ran)}. Largest relative differences: of the loss {far['loss']:.0e}, of a parameter's "
        f"gradient {far['gradient']:.0e}." + f" Not measured: {'; '.join(failed)}." * bool(failed)
    )


def spread(row: Row) -> str:
    """Milliseconds: the median, and the quartiles."""
    if not row["samples"]:
        return ""
    low, middle, high = map(terminal.milliseconds, quartiles(row["samples"]))
    return f"{middle} ({low}-{high})"


def _times(title: str, rows: Sequence[Row]) -> Table:
    names, lines = _names(rows), []
    for shape in dict.fromkeys(tuple(row["shape"]) for row in sorted(rows, key=lambda row: row["shape"])):
        at = {row["implementation"]: row for row in rows if tuple(row["shape"]) == shape}
        spreads = [spread(at[name]) if name in at else "" for name in names]
        sizes = [_mebibytes(at[name]["temporaries"]) if name in at else "" for name in names]
        lines.append([str(shape[0]), str(shape[1]), *spreads, *sizes])
    columns = ["B", "T", *names, *(f"{name}, MiB" for name in names)]
    return f"{title}, milliseconds: median (quartiles); temporaries", columns, lines


def _names(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["implementation"] for row in rows))


def _shape(row: Row) -> str:
    return "B{} T{} D{} H{}".format(*row["shape"])


def _mebibytes(size: int | None) -> str:
    return "" if size is None else f"{size / 2**20:,.1f}"
