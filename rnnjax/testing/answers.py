"""What a task makes of sums and outputs at the end of a run: metrics, reports, answers, and its own fields."""

import json
import tempfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.data.spec import Spec
from rnnjax.tasks import Report, sums
from rnnjax.testing.case import Case
from rnnjax.testing.compare import explained, require, require_same

RAISED = (TypeError, ValueError, KeyError, AttributeError, IndexError, ZeroDivisionError)
_MOVES, _MOVE = 40, 0.1
"""How often, and by how much, every output goes down or up the loss."""


def check_metrics(case: Case) -> None:
    """Raises AssertionError unless ``finish`` gives floats by which epochs can be ordered."""
    with explained(f"{case.name}.finish fails {case.said}", *RAISED):
        metrics = case.metrics(case.outputs)
    with explained(f"{case.name} makes metrics that are none {case.said}"):
        sums.check_metrics(case.task, metrics)
    with explained(f"{case.name} cannot order or show {metrics} {case.said}", *RAISED):
        case.task.rank(metrics)
        case.task.headline.show(metrics[case.task.headline.name])
    require(
        case.task.headline.best in ("max", "min"),
        f"{case.name}.headline.best must be 'max' or 'min', got {case.task.headline.best!r}",
    )


def check_order(case: Case, perfect: Any, worst: Any) -> bool:
    """Raises AssertionError if better outputs have a worse headline; answers whether it could be determined."""
    given = perfect is not None and worst is not None
    better, worse = (perfect, worst) if given else (_moved(case, -1), _moved(case, 1))
    metric = case.task.headline
    high, low = (case.metrics(outputs) for outputs in (better, worse))
    values = high[metric.name], low[metric.name]
    if given:
        told = "perfect outputs have"
    else:
        losses = [_loss(case, outputs) for outputs in (better, worse)]
        if not np.isfinite([*losses, *values]).all() or losses[0] >= losses[1] or values[0] == values[1]:
            return False
        told = f"outputs whose loss is {losses[0]:.4g}, not {losses[1]:.4g}, have"
    require(
        metric.score(values[0]) > metric.score(values[1]),
        f"{case.name}: {told} {metric.name} {values[0]:.6g}, and others {values[1]:.6g}, of which the headline, "
        f"best={metric.best!r}, says that it is better {case.said}",
    )
    return True


def _loss(case: Case, outputs: Any) -> float:
    return float(case.sums(False)(outputs, case.whole)["loss"])


def _moved(case: Case, sign: int) -> Any:
    """Outputs that have gone down (-1) or up (1) the loss: each by its gradient's sign, so that no scale matters."""
    slope = jax.grad(lambda outputs: case.sums(False)(outputs, case.whole)["loss"])

    def step(_: int, outputs: Any) -> Any:
        return jax.tree.map(lambda leaf, s: leaf + sign * _MOVE * jnp.sign(s), outputs, slope(outputs))

    start = jax.tree.map(lambda leaf: leaf.astype(np.float32), case.outputs)
    return jax.jit(lambda outputs: jax.lax.fori_loop(0, _MOVES, step, outputs))(start)


def check_answers(case: Case, spec: Spec) -> None:
    """Raises AssertionError unless reports and answers run, with a row an example that no other row changes."""
    with explained(f"{case.name}.keep fails {case.said}", *RAISED):
        kept = jax.tree.map(np.asarray, jax.jit(case.task.keep)(case.outputs, case.whole))
    for leaf in jax.tree.leaves(kept):
        require(
            leaf.shape[:1] == (case.rows,),
            f"{case.name}.keep gives an array {list(leaf.shape)} of {case.rows} rows; its first axis must be theirs",
        )
    with explained(f"{case.name}.report fails {case.said}", *RAISED):
        _check_report(case, case.task.report(case.totals(case.outputs), kept, spec))
    with explained(f"{case.name}.answers or rows fail {case.said}", *RAISED):
        answers, rows = np.asarray(case.task.answers(case.outputs, spec)), case.task.rows(case.outputs, spec)
        lines = [case.task.line(json.loads(json.dumps(row))) for row in rows]
        one = jax.tree.map(lambda leaf: leaf[1:2], case.outputs)
        alone = np.asarray(case.task.answers(one, spec))
    for name, count in (("answers", len(answers) if answers.ndim else 0), ("rows", len(rows))):
        require(count == case.rows, f"{case.name}: {name} gives {count} rows of {case.rows} examples {case.said}")
    require(all(isinstance(line, str) for line in lines), f"{case.name}.line must give a string {case.said}")
    _check_equal(alone, answers[1:2], f"{case.name}: an example by itself is answered otherwise {case.said}")


def _check_report(case: Case, report: Report) -> None:
    require(isinstance(report, Report), f"{case.name}.report gives a {type(report).__name__}, and must give a Report")
    for name, value in report.values.items():
        require(
            isinstance(value, float | int),
            f"{case.name}.report: {name} must be a float, got a {type(value).__name__}",
        )
    json.dumps(report.page)
    with tempfile.TemporaryDirectory() as folder:
        for name, draw in report.figures.items():
            path = Path(folder) / f"{name}.png"
            draw(path, "a split")
            require(path.is_file(), f"{case.name}.report: the figure {name} is not drawn")


def check_json(case: Case) -> None:
    """Raises AssertionError unless a task that is restored from what is in a work folder answers the same."""
    with explained(f"{case.name}.to_json or restored fail {case.said}", *RAISED):
        again = case.fresh.restored(json.loads(json.dumps(case.task.to_json())))
    require(type(again) is type(case.task), f"{case.name}.restored gives a {type(again).__name__}")
    given = jax.tree.map(jnp.asarray, (case.outputs, case.whole))
    ours = {key: np.asarray(value, np.float64) for key, value in again.sums(*given, train=False).items()}
    said = f"{case.name}: restored from its JSON, it has other"
    why = f"to_json must say what prepared has set {case.said}"
    require_same(ours, case.totals(case.outputs), 1e-5, f"{said} sums; {why}")
    if case.spec is not None:
        one, other = (np.asarray(part.answers(case.outputs, case.spec)) for part in (again, case.task))
        _check_equal(one, other, f"{said} answers; {why}")


def _check_equal(ours: np.ndarray, theirs: np.ndarray, sentence: str) -> None:
    if ours.dtype.kind in "fc" and theirs.dtype.kind in "fc":
        require_same(ours, theirs, 1e-5, sentence)
    else:
        same = ours.shape == theirs.shape and bool((ours == theirs).all())
        require(same, f"{sentence}: {ours.ravel()[:3].tolist()} and not {theirs.ravel()[:3].tolist()}")
