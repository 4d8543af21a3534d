"""Tables of the part ``growth``, on the terminal and on the page; of result files alone, without JAX."""

from collections.abc import Sequence
from typing import Any

from experiments.benchmarks import terminal
from experiments.benchmarks.long_show import Table, spread

_NUMBERS = {"processes": "process", "devices": "device"}

Row = dict[str, Any]
Result = dict[str, Any]


def tables(result: Result) -> list[Table]:
    """Exponents, times, devices and the planned machine, those of them that there are."""
    made = []
    if result["fits"]:
        made.append(fits(result["fits"]))
    if result["rows"]:
        made.append(costs(result["rows"]))
    if result["devices"]:
        made.append(devices(result["devices"]))
    if result["planned"]:
        made.append(planned(result["planned"]))
    return made


def fits(rows: Sequence[Row]) -> Table:
    """A line for each size that was varied."""
    lines = []
    for row in rows:
        error = "" if row["error"] is None else f" ± {row['error']:.3f}"
        exponent = "" if row["exponent"] is None else f"{row['exponent']:.3f}{error}"
        predicted = "" if row["predicted"] is None else f"{row['predicted']:.3f}"
        lines.append([row["size"], ", ".join(map(str, row["values"])), exponent, predicted, row["why"]])
    columns = ["varied", "values", "exponent", "of the operations", "which is"]
    return "Exponents of a step's time over one size, ± their standard errors", columns, lines


def costs(rows: Sequence[Row]) -> Table:
    """The times that the exponents are of."""
    lines = []
    for row in rows:
        sizes = [str(row["sizes"][name]) for name in ("B", "T", "D", "H", "layers")]
        shown = spread(row) or row["error"] or "not measured"
        lines.append([*sizes, row["ran"] or "", f"{row['operations'] / 1e9:.3g}", shown])
    columns = ["B", "T", "D", "H", "layers", "ran", "GFLOP", "ms (quartiles)"]
    return "Loss and gradient of LSTM layers, milliseconds: median (quartiles)", columns, lines


def devices(rows: Sequence[Row]) -> Table:
    """A line for each number of devices and processes."""
    lines = []
    for row in rows:
        exchanged = row["exchanged"] or {}
        shown = [spread({"samples": row["seconds"][name]}) for name in ("step", "exchange")]
        lines.append(
            [
                str(row["processes"]),
                str(row["devices"]),
                f"{exchanged['bytes']:,}" if exchanged else "",
                ", ".join(exchanged.get("kinds", {})),
                shown[0] or row["error"] or "not measured",
                shown[1],
                "" if row["share"] is None else f"{row['share']:.0%}",
                "" if not row["losses"] else " ".join(f"{loss:.5f}" for loss in row["losses"]),
                "" if row.get("apart") is None else f"{row['apart']:.0e}",
            ]
        )
    columns = ["processes", "devices of each", "bytes exchanged", "by", "step, ms", "exchange alone, ms", "share"]
    title = "A step of the same batch over simulated devices and processes of one machine"
    return title, [*columns, "losses", "apart"], lines


def planned(rows: Sequence[Row]) -> Table:
    """A line for each number of rows and of chips."""
    lines = [
        [
            str(row["rows"]),
            str(row["chips"]),
            f"{row['exchanged']:,}",
            *(f"{1e6 * row[name]:.3g}" for name in ("arithmetic", "memory", "exchange")),
            *(f"{row[name]:.1%}" for name in ("efficiency", "efficiency_with_hops")),
        ]
        for row in rows
    ]
    columns = ["rows a chip", "chips", "bytes exchanged", "floor of arithmetic, us", "floor of memory, us"]
    columns += ["ring, us", "efficiency", "with hops"]
    return "Weak scaling on TPU v5e by public rates: a model, nothing measured", columns, lines


def on_terminal(table: Table) -> Any:
    """A table for the terminal, in which long cells take several lines."""
    title, columns, lines = table
    return terminal.make(title, columns, lines, left=len(columns))


def evidence(result: Result) -> str:
    """What was compared, and what was not measured."""
    apart = [row["apart"] for row in result["devices"] if row.get("apart") is not None]
    said = [f"The losses of all numbers of devices are within {max(apart):.0e} of one device's."] if apart else []
    failed = [f"{_spread(row)}: {row['error']}" for row in result["devices"] if row["error"]]
    failed += [f"{_sizes(row)}: {row['error']}" for row in result["rows"] if row["error"]]
    return " ".join([*said, *(["Not measured: " + "; ".join(failed) + "."] * bool(failed))])


def _spread(row: Row) -> str:
    return " of ".join(f"{row[name]} {name if row[name] > 1 else one}" for name, one in _NUMBERS.items())


def _sizes(row: Row) -> str:
    return " ".join(f"{name} {value}" for name, value in row["sizes"].items())
