"""Odd tables from a seed: what people's files look like on a bad day, and what no file of theirs ever looked like."""

import csv
import datetime
import gzip
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np

Rows = list[list[str]]
"""The header first."""

_JUNK = """? nan NaN inf -1e400 1e308 1e-320 0 1 -2.5 1,5 1_0 a a|b | : ' ٣ 2024-05-01 2024-05-01T10:00+02:00 (1,2) é
True null @data #N/A 00 +1 --"""
_HEADERS = "id time label x y class group text date target 0 value sentiment labels v1"
_WORDS = """the film was great awful it a I not 10 <br/> don't ... ! été супер 好看 太差了 映画 😀 שלום \u00ad x\u0301
supercalifragilistic http://a.b/c @me #tag"""
JUNK = [*_JUNK.split(), "", " ", "\t", '"', "a\nb", "9" * 400, "\ufeff", "\u202eabc", "👍"]
HEADERS = [*_HEADERS.split(), "", "ID", "a b"]
WORDS = _WORDS.split()
LABELS = [
    ["ham", "spam"],
    ["0", "1"],
    ["a", "A", " a"],
    ["1", "1.0", "2"],
    ["nan", "none", "yes"],
    ["好", "坏"],
    ["only"],
    [f"class {n}" for n in range(40)],
    [str(n / 7) for n in range(60)],
    ["a,b", "a;b", 'a"b'],
    ["x" * 300, "y"],
    ["<script>", "$x_1$", "%s {0}"],
]


def any_of(rng: np.random.Generator, values: Any) -> Any:
    """One of some values."""
    return values[int(rng.integers(len(values)))]


def text(rng: np.random.Generator) -> str:
    """A document of no words, of some, or of very many."""
    count = any_of(rng, [0, 1, 1, 3, 8, 8, 8, 30, 30, 2500])
    joined = any_of(rng, [" ", " ", " ", " ", "", "\n", "  ", ", "])
    return joined.join(any_of(rng, WORDS) for _ in range(count))


def documents(rng: np.random.Generator) -> Rows:
    """A text and a label a row, and now and then more."""
    labels, count = any_of(rng, LABELS), any_of(rng, [1, 4, 8, 12, 30, 60, 120])
    uneven = any_of(rng, [1.0, 1.0, 6.0])
    header = any_of(rng, [["text", "label"], ["v2", "v1"], ["review", "sentiment"], ["Text ", "Label"], ["a", "b"]])
    rows = [[text(rng), labels[int(len(labels) * rng.random() ** uneven)]] for _ in range(count)]
    if rng.random() < 0.3:  # copies, of which some have another label
        rows += [[any_of(rng, rows)[0], any_of(rng, labels)] for _ in range(count)]
    if rng.random() < 0.2:
        header, rows = [*header, "group"], [[*row, f"g{rng.integers(5)}"] for row in rows]
    return [header, *rows]


def numbers(rng: np.random.Generator, count: int) -> list[str]:
    """Numbers that are usual, constant, huge, tiny, whole, of two values, or missing now and then."""
    kind = int(rng.integers(16))  # ordinary from 10 on
    made = rng.normal(size=count)
    scale = {1: 1e30, 2: 1e-30, 3: 1e300, 4: 1e-310}.get(kind, 1.0)
    made = {5: np.zeros(count), 6: np.full(count, 7.25), 7: np.round(made * 3), 8: np.sign(made)}.get(
        kind, made * scale
    )
    if kind == 9:  # an outlier
        made[rng.integers(count)] = any_of(rng, [1e38, -1e12, 3e38, 1e200])
    missing = any_of(rng, [0, 0, 0, 0, 0, 0, 0, 0.1, 0.1, 0.9, 1])
    return [any_of(rng, ["", "", "nan", "?"]) if rng.random() < missing else repr(float(value)) for value in made]


def long_sequences(rng: np.random.Generator) -> Rows:
    """A row a step."""
    count, channels = any_of(rng, [1, 4, 8, 20, 40]), any_of(rng, [1, 1, 2, 3, 40])
    longest, target = any_of(rng, [1, 2, 5, 12, 12, 400]), any_of(rng, ["class", "class", "number", "labels", "steps"])
    lengths = np.minimum(rng.integers(1, longest + 1, count), max(1, 3000 // (channels * count)))
    classes, total = any_of(rng, LABELS), int(lengths.sum())
    columns = [numbers(rng, total) for _ in range(channels)]
    rows, at = [], 0
    for n, length in enumerate(lengths):
        whole = {
            "class": any_of(rng, classes),
            "number": repr(float(rng.normal() * any_of(rng, [1, 1, 1e6, 1e20]))),
            "labels": "|".join(["p", *(name for name in ("q", "r") if rng.random() < 0.5)]),
        }.get(target)
        for step in range(length):
            label = any_of(rng, classes) if whole is None else whole
            rows.append([f"s{n}", str(step), *(column[at] for column in columns), label])
            at += 1
    names = any_of(rng, [["id", "time"], ["id", "time"], ["patient_id", "t"], ["ID", "date"]])
    return [[*names, *(f"x{c}" for c in range(channels)), "labels" if target == "labels" else "label"], *rows]


def wide_sequences(rng: np.random.Generator) -> Rows:
    """A row a sequence, a column a step."""
    count, steps = any_of(rng, [2, 6, 12, 30, 60]), any_of(rng, [1, 2, 8, 8, 60])
    names, columns = any_of(rng, LABELS), [numbers(rng, count) for _ in range(steps)]
    rows = [[any_of(rng, names), *(column[n] for column in columns)] for n in range(count)]
    return [["label", *(f"t{step}" for step in range(steps))], *rows]


def series(rng: np.random.Generator) -> Rows:
    """A row a step of one series."""
    count, columns = any_of(rng, [1, 3, 8, 20, 60, 200]), any_of(rng, [1, 1, 2, 3, 12])
    begin = datetime.datetime(2024, 3, 30, 12) if rng.random() < 0.8 else datetime.datetime(1, 1, 1)
    step = any_of(rng, [datetime.timedelta(days=1), datetime.timedelta(hours=1), datetime.timedelta(seconds=0.25)])
    form = any_of(rng, ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%d.%m.%Y %H:%M:%S", "number", "year"])
    times = [begin + n * step for n in range(count)]
    written = [str(n * 3) if form == "number" else str(1900 + n) for n in range(count)]
    if form not in ("number", "year"):
        written = [time.strftime(form) for time in times]
    values = [numbers(rng, count) for _ in range(columns)]
    rows = [[written[n], *(column[n] for column in values)] for n in range(count)]
    if rng.random() < 0.2:  # rows that are missing, or in another order
        rows = [row for row in rows if rng.random() < 0.9] if rng.random() < 0.7 else rows[::-1]
    return [["date", *(f"y{c}" for c in range(columns))], *rows]


def junk(rng: np.random.Generator) -> Rows:
    """Cells that have nothing to do with each other."""
    width = int(rng.integers(1, 6))
    rows = [[any_of(rng, JUNK) for _ in range(width)] for _ in range(int(rng.integers(0, 20)))]
    return [[any_of(rng, HEADERS) for _ in range(width)], *rows]


MAKERS: tuple[Callable[[np.random.Generator], Rows], ...] = (documents, long_sequences, wide_sequences, series, junk)


def spoiled(rng: np.random.Generator, rows: Rows) -> Rows:
    """The rows with one thing wrong."""
    rows, at = [list(row) for row in rows], int(rng.integers(len(rows)))
    kind, column = int(rng.integers(6)), int(rng.integers(max(1, len(rows[at]))))
    if kind == 0:
        rows[at][column : column + 1] = [any_of(rng, JUNK)]
    elif kind == 1:
        rows[at][column : column + 1] = []
    elif kind == 2:
        rows.append(list(rows[at]))
    elif kind == 3:
        for row in rows:
            row[column : column + 1] = [any_of(rng, JUNK)]
    elif kind == 4:
        rows = rows[1:] or rows
    else:
        rows[0] = [any_of(rng, HEADERS) for _ in rows[0]]
    return rows


def table(seed: int) -> tuple[str, bytes]:
    """The name and the content of a file; the same for each seed."""
    rng = np.random.default_rng(seed)
    rows = MAKERS[seed % len(MAKERS)](rng)
    for _ in range(any_of(rng, [0, 0, 0, 0, 0, 1, 1, 3])):
        rows = spoiled(rng, rows)
    kind = any_of(rng, ["csv"] * 6 + ["tsv", "semicolons.csv", "jsonl", "json", "csv.gz", "ndjson"])
    if "json" in kind:
        dicts = [dict(zip(rows[0], map(_json, row), strict=False)) for row in rows[1:]]
        lines = [json.dumps(one, ensure_ascii=rng.random() < 0.5) for one in dicts]
        content = "\n".join(lines) if kind != "json" else f"[{','.join(lines)}]"
    else:
        out = io.StringIO()
        csv.writer(out, delimiter={"tsv": "\t", "semicolons.csv": ";"}.get(kind, ",")).writerows(rows)
        content = out.getvalue()
    made = content.encode(any_of(rng, ["utf-8"] * 8 + ["utf-8-sig", "utf-16"]), "replace")
    if rng.random() < 0.05:
        made = made[: int(rng.integers(len(made) + 1))]
    return f"odd.{kind}", gzip.compress(made) if kind.endswith("gz") else made


def _json(cell: str) -> Any:
    """A cell as JSON has it: a number where it is one."""
    try:
        return float(cell)
    except ValueError:
        return cell or None
