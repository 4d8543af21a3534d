"""The benchmarks' tables and pictures in Markdown, made from their committed result files."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.benchmarks import goals as targets
from experiments.benchmarks import (
    growth_show,
    input_show,
    long_show,
    ragged_show,
    record,
    step_show,
    terminal,
    training_rows,
)
from experiments.benchmarks.timings import Timings, quartiles

PAGE = Path(__file__).with_name("README.md")
NOTHING = "Not yet measured."

Result = dict[str, Any]


def section(folder: Path = record.COMMITTED, page: Path = PAGE) -> str:
    """All that was measured.

    Args:
      folder: of the result files, their plots, and ``causes.json``: a reason for each missed goal's ``what``.
      page: the Markdown file that the links to the plots are for.

    Raises:
      DataError: at a result file that is damaged.
    """
    results = _read(folder)
    file = folder / "causes.json"
    causes = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    parts = []
    shows = {"layers": _layers, "ragged": _ragged, "training": _training, "memory": _memory, "compile": _compile}
    shows |= {"long": _long, "input": _input, "growth": _growth, "step": _step}
    for part, show in shows.items():
        for path, result in results.items():
            if result["part"] == part:
                parts.append(_heading(result))
                if result.get("goals"):
                    parts.append(_goals(result["goals"], causes))
                # Under another allocator than the default one, the goals say enough.
                parts += [*show(result), *_plots(path, page)] if _malloc(result) == "default" else []
    return "\n\n".join(parts) if parts else NOTHING


def short(folder: Path = record.COMMITTED, page: Path = PAGE) -> str:
    """A sentence of ratios to other libraries and the picture of whole training runs; arguments as of `section`."""
    sentences, plots = [], []
    for path, result in _read(folder).items():
        if _malloc(result) == "default" and result["part"] in ("layers", "training"):
            sentences.append((_step_ratios if result["part"] == "layers" else _training_ratios)(result))
            plots += _plots(path, page) if result["part"] == "training" else []
    return "\n\n".join([" ".join(sentences), *plots]) if sentences else NOTHING


def _read(folder: Path) -> dict[Path, Result]:
    return {path: record.read(path) for path in sorted(folder.glob("*-*.json"))}


def _step_ratios(result: Result) -> str:
    """Every ratio to another library that was a goal, reached or missed."""
    ratios: dict[str, list[str]] = {}
    for goal in result["goals"]:
        of, _, peer = goal["what"].partition(": time / ")
        if goal["goal"] is not None and goal["measured"] is not None and peer and "plain" not in peer:
            ratios.setdefault(of, []).append(f"{goal['measured']:.2f} × {_titled(peer)}")
    said = "; ".join(f"{of}: {', '.join(found)}" for of, found in ratios.items())
    return (
        f"Time of a training step over a peer's on {_machine(result)} (geometric means; below 1 is faster; one device "
        f"where none is named). {said}."
    )


def _training_ratios(result: Result) -> str:
    """Of whole training runs: the mean over the tasks, or the one task's."""
    found = [goal for goal in result["goals"] if goal["measured"] is not None]
    means = [goal for goal in found if goal["what"].startswith("geometric mean")] or found
    said = []
    for goal in means:
        tasks, _, what = goal["what"].partition(": ")
        said.append(f"{goal['measured']:.2f} × {_titled(what.partition('rnnjax / ')[2])} ({tasks})")
    devices = max(row["devices"] for row in result["rows"] if row.get("peer") == "rnnjax")
    units = dict.fromkeys(training_rows.read(row)["unit"] for row in result["rows"] if row.get("peer"))
    counted = ", ".join(units).capitalize()
    return (
        f"{counted} a second in whole training runs on {_machine(result)}, rnnjax on {devices} devices: "
        f"{', '.join(said)}."
    )


def _titled(peer: str) -> str:
    """``torch's`` as ``PyTorch's``."""
    for name, title in (("torch", "PyTorch"), ("keras", "Keras"), ("flax", "Flax"), ("fastest", "the fastest")):
        if peer.startswith(name):
            return title + peer.removeprefix(name)
    return peer


def _heading(result: Result) -> str:
    """What was measured, on what, and by which command."""
    packages = ("jax", "flax", "keras", "torch", "equinox")
    versions = [f"{name} {result['versions'][name]}" for name in packages if result["versions"].get(name)]
    others = result.get("cores_of_others")
    beside = "" if others is None else f"other processes kept {others:.2f} cores busy; "
    return (
        f"**{result['part']}** on {_machine(result)}; {', '.join(versions)}; malloc: {_malloc(result)}; {beside}"
        f"{_numbers(result)}commit {(result['commit'] or 'unknown')[:8]}; `{result['command']}`."
        + " Stopped before its end."
        * bool(result.get("partial"))
    )


def _machine(result: Result) -> str:
    device = result["device"]
    cores = f", {device['cores']} cores" if "cores" in device and device["platform"] == "cpu" else ""
    return device["kind"] + cores


def _malloc(result: Result) -> str:
    malloc = result.get("malloc") or "default"
    return malloc if isinstance(malloc, str) else " ".join(f"`{name}={value}`" for name, value in malloc.items())


def _numbers(result: Result) -> str:
    """Dtype and precision, where they are not the usual ones."""
    dtype, precision = result.get("dtype", "float32"), result.get("precision", "default")
    dtype = "" if dtype == "float32" else f"layers in {dtype}; "
    return dtype + ("" if precision == "default" else f"float32 products at precision {precision}; ")


def _goals(goals: Sequence[targets.Goal], causes: dict[str, str]) -> str:
    asked = [goal for goal in goals if goal["goal"] is not None or goal["measured"] is not None]
    why = {goal["what"]: causes.get(goal["what"], "") for goal in asked if goal["reached"] is False}
    lines = []
    for goal in asked:
        sign = "≥" if targets.upwards(goal) else "≤"
        cells = [goal["what"], "" if goal["goal"] is None else f"{sign} {goal['goal']:g}"]
        cells += [_number(goal["measured"], 3), str(goal.get("shapes", "")), targets.verdict(goal)]
        lines.append([*cells, why.get(goal["what"], "")] if any(why.values()) else cells)
    return _table(["", "goal", "measured", "shapes", "", "cause"][: 5 + any(why.values())], lines)


def _layers(result: Result) -> list[str]:
    """The plain forms, training and forward, shape by shape in milliseconds."""
    parts = [
        "A dense head on the last real output; goals: geometric means (the largest where it says so) over the shapes "
        "with B ≥ 16 of median ratios. " + " ".join(result["choice"] or [])
    ]
    for mode, title in (("train", "forward + backward + Adam"), ("forward", "forward")):
        timings = Timings(row for row in result["rows"] if (row["form"], row["mode"]) == ("plain", mode))
        names = list(dict.fromkeys((row["peer"], row["devices"]) for row in timings.rows))
        for cell in dict.fromkeys(row["cell"] for row in timings.rows):
            lines = []
            for shape in timings.shapes():
                at = {"cell": cell, "form": "plain", "mode": mode, "shape": shape}
                found = [timings.samples(**at, peer=peer, devices=devices) for peer, devices in names]
                lines.append(["B{} T{} D{} H{}".format(*shape), *map(_spread, found)])
            columns = [terminal.peer_name({"peer": peer, "devices": devices}) for peer, devices in names]
            heading = f"{cell.upper()}, {title}, milliseconds: median (quartiles)"
            parts.append(f"{heading}\n\n" + _table(["shape", *columns], lines))
    failed = {f"{row['peer']}: {row['error']}" for row in result["rows"] if row["error"] and row["form"] == "plain"}
    return parts + ["Not measured: " + "; ".join(sorted(failed)) + "."] * bool(failed)


def _ragged(result: Result) -> list[str]:
    rows = result["rows"]
    made = [f"{title}\n\n" + _table(columns, lines) for title, columns, lines in ragged_show.tables(rows)]
    return [result["how"], ragged_show.evidence(rows), *made]


def _long(result: Result) -> list[str]:
    rows, made = result["rows"], long_show.tables(result["rows"], result["training"])
    made = [f"{title}\n\n" + _table(columns, lines) for title, columns, lines in made]
    return [result["how"], long_show.evidence(rows), *made]


def _input(result: Result) -> list[str]:
    made = [f"{title}\n\n" + _table(columns, lines) for title, columns, lines in input_show.tables(result)]
    return [result["how"], *([input_show.evidence(result)] if result["images"] else []), *made]


def _growth(result: Result) -> list[str]:
    made = [f"{title}\n\n" + _table(columns, lines) for title, columns, lines in growth_show.tables(result)]
    assumed = "\n".join(f"- {line}" for line in result["assumptions"])
    said = [
        *result["how"],
        growth_show.evidence(result),
        f"The model of weak scaling assumes:\n\n{assumed}" if assumed else "",
    ]
    return [*filter(None, said), *made]


def _step(result: Result) -> list[str]:
    made = [f"{title}\n\n" + _table(columns, lines) for title, columns, lines in step_show.tables(result)]
    return [*filter(None, [*result["how"], step_show.evidence(result)]), *made]


def _training(result: Result) -> list[str]:
    """A table for each unit that is counted and metric that is to be reached."""
    tables: dict[tuple[str, str], list[list[str]]] = {}
    for row in (training_rows.read(row) for row in result["rows"] if row.get("peer") is not None):
        tables.setdefault((row["unit"], row["metric"]["name"].replace("_", " ")), []).append(
            [
                row["task"],
                terminal.peer_name(row),
                "; ".join(filter(None, [training_rows.speed(row), row.get("failed")])),
                training_rows.seconds(row),
                training_rows.quality(row, row.get("quality")),
                _number(row.get("compile_seconds"), 1),
            ]
        )
    made = [
        _table(["task", "peer", f"{unit}/s (quartiles)", f"seconds to the {metric}", metric, "compile s"], lines)
        for (unit, metric), lines in tables.items()
    ]
    return [*filter(None, [" ".join(result.get("differences", []))]), *made]


def _memory(result: Result) -> list[str]:
    rows, steps = result["rows"], sorted({row["T"] for row in result["rows"]})
    lines = []
    for cell, peer in dict.fromkeys((row["cell"], row["peer"]) for row in rows):
        sizes = {row["T"]: row["bytes"] for row in rows if (row["cell"], row["peer"]) == (cell, peer)}
        lines.append([cell, peer, *("" if sizes.get(T) is None else f"{sizes[T] / 2**20:.1f}" for T in steps)])
    first = rows[0]
    return [
        f"Temporaries of the compiled gradient in MiB, B = {first['B']}, D = {first['D']}, H = {first['H']}; "
        '`rnnjax sqrt` is `remat="sqrt"`.\n\n' + _table(["cell", "peer", *(f"T = {T}" for T in steps)], lines)
    ]


def _compile(result: Result) -> list[str]:
    rows, steps = result["rows"], sorted({row["T"] for row in result["rows"]})
    lines = []
    for peer, unroll in dict.fromkeys((row["peer"], row["unroll"]) for row in rows):
        found = {row["T"]: row for row in rows if (row["peer"], row["unroll"]) == (peer, unroll)}
        cells = []
        for T in steps:
            medians = [
                quartiles(found[T][name])[1] if T in found and found[T][name] else None
                for name in ("lower_and_compile_seconds", "first_step_seconds")
            ]
            cells.append(" / ".join(_number(value) or "-" for value in medians))
        lines.append([peer, str(unroll), *cells])
    return [
        "LSTM, medians of seconds: lowering and compilation / from the model's construction to the end of step one."
        "\n\n" + _table(["peer", "unroll", *(f"T = {T}" for T in steps)], lines)
    ]


def _plots(path: Path, page: Path) -> list[str]:
    names = sorted(plot for kind in ("png", "svg") for plot in path.parent.glob(f"{path.stem}*.{kind}"))
    return [f"![{plot.stem}]({Path(os.path.relpath(plot, page.parent)).as_posix()})" for plot in names]


def _spread(samples: list[float] | None) -> str:
    if not samples:
        return ""
    q1, median, q3 = map(terminal.milliseconds, quartiles(samples))
    return f"{median} ({q1}-{q3})"


def _number(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _table(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    head = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    rows = ([cell.replace("|", "\\|") for cell in cells] for cells in lines)  # a cell may say an error
    return "\n".join(head + [f"| {' | '.join(cells)} |" for cells in rows])
