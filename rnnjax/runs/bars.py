"""A finished network beside plain bars: on the same examples, with intervals and a paired test."""

import math
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rnnjax import terminal
from rnnjax.bars import BARS, Asked, Bar
from rnnjax.data import Dataset
from rnnjax.tasks import Metric, Task, compare
from rnnjax.tasks.base import figure

NETWORK = "network"
_LEVEL = 0.05
"""A p below it is no accident."""

_FEW = 100
"""Examples below which a share is also told in numbers."""


_MOST_SECONDS = 120.0


def seconds_for(training: float, *, own: bool) -> float:
    """How long all bars together may take, after a training of so many seconds; of a result to be cited, the most."""
    return min(_MOST_SECONDS, max(10.0, training / 5)) if own else _MOST_SECONDS


def beside(task: Task, dataset: Dataset, split: str, network: Bar, seconds: float) -> dict[str, Any]:
    """All bars that fit data and task, and the network among them, as JSON values for the result.

    Args:
      task: as it was prepared.
      dataset: what was trained on.
      split: which one the network was judged on.
      network: its metrics and outcomes there.
      seconds: that the bars may take, roughly.

    Returns:
      ``split``, ``examples``, ``counted`` (these in words), ``metric`` (the one that is compared), ``headline``,
      ``rows`` (of each bar and the network: ``name``, ``shown``, ``value``, ``interval``, ``right`` where the value is
      their share, ``metrics`` and ``note``), ``against`` (the name of the best bar), ``test``, ``p``, ``beats``,
      ``said`` (a sentence), ``counts`` (examples by split and, where there are classes, by class) and ``seconds``.
    """
    metric = task.compared
    bars, seconds = _fitted(task, dataset, split, seconds)
    # Those that count: of pairs of texts, further test sets stand beside the split in it.
    examples = len(dataset.split(split)) if network.outcomes is None else len(network.outcomes)
    said = {
        "split": split,
        "examples": examples,
        "counted": task.counted(len(dataset.split(split)), examples, split),
        "metric": metric.name,
        "headline": task.headline.name,
        "rows": [_row(task, bar, examples) for bar in (*bars, network)],
        "counts": counts(dataset),
        "seconds": round(seconds, 2),
    }
    return said | (_against(task, max(bars, key=lambda bar: _score(metric, bar)), network, said) if bars else {})


class _Fit(NamedTuple):
    """Bars that were fitted, and to what."""

    dataset: Callable[[], Any]
    task: Task
    split: str
    bars: list[Bar]
    seconds: float


_LATEST: list[_Fit] = []
"""At most one: the next seed of a command has the same data, on which no bar would be another."""


def _fitted(task: Task, dataset: Dataset, split: str, seconds: float) -> tuple[list[Bar], float]:
    """The bars within so many seconds, and how long they took; those of the same data are fitted once."""
    for fit in _LATEST:
        if fit.dataset() is dataset and fit.task is task and fit.split == split:
            return fit.bars, fit.seconds
    terminal.say(f"training plain models to compare with, for up to {seconds:.0f} s ...")
    start, bars = time.monotonic(), []
    for make in BARS:
        left = max(seconds - (time.monotonic() - start), 1.0)
        try:
            bar = make(Asked(dataset, task, split, left))
        except Exception as error:  # scikit-learn and JAX raise their own; a bar is worth no run
            terminal.note(f"a bar could not be made: {make.__module__}: {type(error).__name__}: {error}")
            continue
        if bar is not None and task.compared.name in bar.metrics:
            bars.append(bar)
    took = time.monotonic() - start
    _LATEST[:] = [_Fit(weakref.ref(dataset), task, split, bars, took)]
    return bars, took


def counts(dataset: Dataset) -> dict[str, Any]:
    """Examples by split, and of classes by class."""
    names, found = dataset.spec.names, {}
    for split, examples in dataset.splits().items():
        labels = examples.arrays.get("labels")
        if names and labels is not None and np.ndim(labels) == 1:
            number = np.bincount(labels, minlength=len(names)).tolist()
            found[split] = dict(zip(names, number, strict=False))
        else:
            found[split] = len(examples)
    return found


def table(made: Mapping[str, Any]) -> list[str]:
    """The rows of ``made`` as lines for a terminal."""
    wide, metric = max(len(row["name"]) for row in made["rows"]), made["metric"]
    known = any(row["interval"] for row in made["rows"])
    counted = made.get("counted", f"{made['examples']:,} {made['split']} examples")  # a run of before has none
    lines = [f"on the {counted}{', with intervals of 95 %' * known}:"]
    for row in made["rows"]:
        also = [
            figure(name, row["metrics"][name])
            for name in dict.fromkeys((made["headline"], "macro_f1", "auc", "mae"))
            if row["metrics"].get(name) is not None and name != metric
        ]
        note = [row["note"]] if row["note"] else []
        parts = ", ".join([*also, *note])
        shown = f"{row['name']:<{wide}}  {metric.replace('_', ' ')} {row['shown']}"
        lines.append(f"  {shown}{', ' * bool(parts)}{parts}")
    return lines


def _shown(metric: Metric, value: float, interval: Sequence[float] | None, right: int | None, examples: int) -> str:
    """``89.20% (95 %: 87.1-91.0 %)``, or of few examples ``75.00%, 3 of 4 (95 %: 30-95 %)``."""
    if interval is None:
        return metric.show(value)
    percent, few = metric.shown.endswith("%}"), examples < _FEW
    digits = 0 if few else 1
    ends = [f"{100 * end:.{digits}f}" if percent else metric.show(end) for end in interval]
    told = f", {right:,} of {examples:,}" if few and right is not None else ""
    return f"{metric.show(value)}{told} (95 %: {'-'.join(ends)}{' %' * percent})"


def _row(task: Task, bar: Bar, examples: int) -> dict[str, Any]:
    rows, interval, right = _outcomes(bar), None, None
    if rows is not None:
        hits = task.hits(rows)
        if hits is not None:
            right = int(hits.sum())
            interval = compare.wilson(right, len(hits))
        else:
            interval = compare.interval(task.statistic, rows)
    metrics = {name: value if math.isfinite(value) else None for name, value in bar.metrics.items()}
    shown = None if interval is None or not all(map(math.isfinite, interval)) else list(interval)
    value = bar.metrics[task.compared.name]
    return {
        "name": bar.name,
        "shown": _shown(task.compared, value, shown, right, examples),
        "value": value,
        "interval": shown,
        "right": right,
        "metrics": metrics,
        "note": bar.note,
    }


def _outcomes(bar: Bar) -> np.ndarray | None:
    if bar.outcomes is None:
        return None
    rows = np.asarray(bar.outcomes, np.float64)
    return rows[:, None] if rows.ndim == 1 else rows


def _score(metric: Metric, bar: Bar) -> float:
    return metric.score(bar.metrics[metric.name])


def _against(task: Task, bar: Bar, network: Bar, said: Mapping[str, Any]) -> dict[str, Any]:
    """The paired test between the network and the best bar, and a sentence."""
    metric, name = task.compared, ""
    ours, theirs, p = _outcomes(network), _outcomes(bar), None
    if ours is not None and theirs is not None and ours.shape == theirs.shape:
        right, also = task.hits(ours), task.hits(theirs)
        if right is None or also is None:
            name, p = "bootstrap", compare.paired(task.statistic, ours, theirs)
        else:
            name, p = "McNemar", compare.mcnemar(right, also)
        p = p if math.isfinite(p) else None
    better, surely = _score(metric, network) - _score(metric, bar), ""
    sure = p is not None and p < _LEVEL
    does = "beats" if better > 0 and sure else "is worse than" if better < 0 and sure else "does not beat"
    if p is None and better > 0:  # such as of too few examples
        does = "cannot be told from"
    elif better > 0 and not sure:  # the figures alone would say that it does
        does, surely = "does not beat", " beyond chance"
    values = [metric.show(of.metrics[metric.name]) for of in (network, bar)]
    chance = "no paired test" if p is None else "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
    named = bar.name if bar.name[0].isupper() else f"the {bar.name}"  # NLinear, or the n-grams
    line = f"the network {does} {named}{surely}: {metric.name.replace('_', ' ')} {values[0]} against {values[1]}"
    return {
        "against": bar.name,
        "test": name,
        "p": p,
        "beats": does == "beats",
        "said": f"{line} ({chance}, {said['counted']}{'; ' * bool(bar.note)}{bar.note})",
    }


def levels(made: Mapping[str, Any] | None) -> dict[str, float]:
    """The values of the bars by name, for lines in a picture."""
    rows: Sequence[Mapping[str, Any]] = made["rows"] if made else ()
    return {row["name"]: row["value"] for row in rows if row["name"] != NETWORK}
