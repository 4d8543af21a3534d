"""What must hold for every task, whatever its loss is.

The promises are those of :class:`rnnjax.tasks.base.Task`: batches of any size with any padding, on any number of
devices, give the same metrics because a task's sums add up over rows.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from rnnjax.data import Dataset
from rnnjax.data.spec import Spec
from rnnjax.errors import UsageError
from rnnjax.tasks import Task, sums
from rnnjax.testing.answers import check_answers, check_json, check_metrics, check_order
from rnnjax.testing.case import Case
from rnnjax.testing.compare import explained, require, require_same, require_slope, shown
from rnnjax.training.checks import rows_of
from rnnjax.training.parallel import DataParallel

Names = Iterator[str]
RAISED = (TypeError, ValueError, KeyError, AttributeError, IndexError)
RTOL = 1e-5
"""Of sums in float32 against sums of parts."""


def check_task(
    task: Task,
    outputs: Any,
    batch: Mapping[str, Any] | Dataset,
    *,
    spec: Spec | None = None,
    perfect: Any = None,
    worst: Any = None,
    batchwise: bool = False,
    seed: int = 0,
) -> tuple[str, ...]:
    """Checks that a task keeps what is promised of tasks; it takes a second or two.

    Checked are, for training and for evaluation:

    * shapes and dtypes of the sums, and :meth:`Task.check`;
    * the sums of all rows are those of their parts, for any parts, also on several devices;
    * rows that are padding change nothing, whatever stands in them, NaN included, and however many they are;
    * the loss has finite gradients, zero at padding rows, which are the slopes of central differences, in float64 if
      the loss is computed in what the outputs have, else in float32 with less precision;
    * ``finish`` gives floats, the headline among them, and a better headline for perfect outputs than for the worst;
    * with a specification, ``keep``, ``report``, ``answers``, ``rows`` and ``line`` run, a row an example, each by
      itself, and what is written is JSON;
    * what ``to_json`` gives, ``restored`` takes, and answers the same.

    :meth:`Task.objective` is not called: it needs a model.

    Args:
      task: what is checked; with a :class:`Dataset`, it is prepared with it first.
      outputs: what a model might answer, a tree of float arrays ``[B, ...]``; None: drawn as ``[B, task.width(spec)]``.
      batch: arrays by name, ``[B, ...]`` each, without a mask, such as ``{"labels": ...}``; B is at least 3. Or a data
        set, of whose training split the first rows, at most 8, are the batch.
      spec: of the data; a data set says it itself. Without one, what needs it is not checked.
      perfect, worst: outputs of which one must be better. Without them, they are what a descent and an ascent of the
        loss make of ``outputs``.
      batchwise: the loss of training looks at a batch as a whole, as a contrastive one does, so that it need not add
        up over rows there.
      seed: of all that is drawn.

    Returns:
      The names of what was checked. What does not apply is not among them: several devices where there is one, or
      answers without a specification.

    Raises:
      AssertionError: if a promise is broken; it says which, for what input, and by how much.
      UsageError: if the arguments are none of the above.
    """
    case = _case(task, outputs, batch, spec, batchwise, seed)
    return tuple(name for check in CHECKS for name in check(case, perfect, worst))


def _case(task: Any, outputs: Any, batch: Any, spec: Spec | None, batchwise: bool, seed: int) -> Case:
    if not isinstance(task, Task):
        raise UsageError(f"check_task needs an instance of a Task, got {task!r}")
    fresh, rng, name = task, np.random.default_rng(seed), type(task).__name__
    if isinstance(batch, Dataset):
        with explained(f"{name} cannot be prepared with {batch.name}", *RAISED):
            task.check_data(batch)
            task = task.prepared(batch, None)
        spec, rows = batch.spec, list(range(min(8, len(batch.train))))
        batch = {key: rows_of(array, rows) for key, array in batch.train.stored().items()}
    if not batch or "mask" in batch:
        raise UsageError("check_task needs a batch of arrays by name, without a mask: it makes masks itself")
    batch = {key: np.asarray(array) for key, array in batch.items()}
    count = len(next(iter(batch.values())))
    if outputs is None:
        if spec is None:
            raise UsageError("check_task draws outputs by a specification; give outputs, or spec=")
        outputs = rng.normal(size=(count, task.width(spec))).astype(np.float32)
    outputs = jax.tree.map(np.asarray, outputs)
    sizes = {np.shape(leaf)[:1] for leaf in jax.tree.leaves((outputs, batch))}
    if sizes != {(count,)} or count < 3:
        shapes = jax.tree.map(lambda leaf: list(np.shape(leaf)), (outputs, batch))
        raise UsageError(f"check_task needs outputs and arrays of one number of rows, at least 3, got {shapes}")
    if any(leaf.dtype.kind not in "fV" for leaf in jax.tree.leaves(outputs)):
        raise UsageError("check_task needs outputs of floats")
    said = shown({"rows": count, "seed": seed})
    return Case(task, fresh, outputs, batch, spec, batchwise, rng, name, said)


def _shapes(case: Case, *_: Any) -> Names:
    like = lambda tree: jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)  # noqa: E731
    outputs, batch = like(case.outputs), like(case.whole)
    with explained(f"{case.name}.check refuses the outputs and the batch {case.said}", *RAISED):
        case.task.check(outputs, batch)
    for train in (False, True):
        with explained(f"{case.name}: its sums cannot be computed under jax.jit {case.said}", *RAISED):
            made = jax.eval_shape(case.sums(train), outputs, batch)
        with explained(f"{case.name} gives sums that are none {case.said}"):
            sums.check_shapes(case.task, made)
    yield "shapes"


def _parts(case: Case, *_: Any) -> Names:
    order = case.rng.permutation(case.rows).tolist()
    splits = [[row] for row in order], [order[:2], order[2:]]
    for train in (False, True)[: 1 if case.batchwise else 2]:
        for parts in splits:
            with explained(f"{case.name}{_when(train)} is no sum over rows {case.said}", *RAISED):
                sums.check_parts(case.task, case.sums(train), case.outputs, case.batch, parts, RTOL)
        yield f"sums of parts{_when(train)}"


def _padding(case: Case, *_: Any) -> Names:
    for train in (False, True):
        # XLA may make a choice of a product with a mask. Operation by operation, 0 * NaN is NaN.
        plain = jax.disable_jit()(functools.partial(case.task.sums, train=train))
        trials = [(case.sums(train), mask, junk) for mask in case.masks() for junk in (np.nan, np.inf, 1e4)]
        for run, mask, junk in (*trials, (plain, case.masks()[0], np.nan)):
            outputs, batch = case.spoilt(mask, junk)
            with explained(f"{case.name}{_when(train)}, with {junk:g} in padding rows {case.said}", *RAISED):
                sums.check_padding(case.task, run, outputs, batch, mask, RTOL)
        none = sums.totals(case.sums(train), case.outputs, case.batch, range(case.rows), np.zeros(case.rows, bool))
        for key, value in none.items():
            require(not value.any(), f"{case.name}.sums: {key} is {value} of no real row, and must be 0 {case.said}")
        yield f"padding{_when(train)}"


def _gradients(case: Case, *_: Any) -> Names:
    mask = case.masks()[0]
    # Not NaN: where a mask chooses another value, the gradient at the one that it leaves out is 0 times what it was.
    outputs, batch = case.spoilt(mask, 1e4)
    loss = lambda outputs, batch: case.sums(True)(outputs, batch)["loss"]  # noqa: E731
    gradients = jax.tree.map(np.asarray, jax.jit(jax.grad(loss))(outputs, {**batch, "mask": mask}))
    for leaf in jax.tree.leaves(gradients):
        require(bool(np.isfinite(leaf[mask]).all()), f"{case.name}: the gradient of its loss is not finite {case.said}")
        zeros = np.zeros_like(leaf[~mask])
        require_same(leaf[~mask], zeros, 0, f"{case.name}: outputs of padding rows have a gradient {case.said}")
    moves = any(leaf.any() for leaf in jax.tree.leaves(gradients))
    require(moves, f"{case.name}: its loss does not depend on the outputs: all gradients are 0 {case.said}")
    yield "gradients"
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: leaf.astype(np.float64), case.outputs)
        exact = jax.eval_shape(loss, wide, case.masked(mask)).dtype == np.float64
    with jax.enable_x64(exact):
        at = wide if exact else jax.tree.map(lambda leaf: leaf.astype(np.float32), case.outputs)
        run = jax.jit(jax.value_and_grad(loss))
        value = lambda outputs: run(outputs, case.masked(mask))[0]  # noqa: E731
        said = f"{case.name}: the gradient of its loss is not the slope of its values {case.said}"
        require_slope(value, run(at, case.masked(mask))[1], at, exact, case.rng, said)
    yield f"finite differences (float{64 if exact else 32})"


def _devices(case: Case, *_: Any) -> Names:
    parallel = DataParallel()
    count = len(parallel.devices)
    if count == 1:
        return
    rows = np.arange(-(-case.rows // count) * count)  # to a multiple of the devices, as a last batch is filled up
    mask = rows < case.rows
    tree = jax.tree.map(lambda leaf: leaf[rows % case.rows], (case.outputs, case.batch))
    outputs, batch = jax.tree.map(lambda leaf: leaf.reshape(count, -1, *leaf.shape[1:]), tree)
    batch = {**batch, "mask": mask.reshape(count, -1)}
    for train in (False, True)[: 1 if case.batchwise else 2]:
        run: Callable[..., Any] = case.sums(train)
        shared = parallel.spread(lambda o, b, run=run: (jax.lax.psum(run(o, b), parallel.axis_name),), (0, 0), (None,))
        (total,) = shared(outputs, batch)
        alone = case.totals(case.outputs, train=train)
        said = f"{case.name}: sums of {count} devices{_when(train)} are not those of one {case.said}"
        require_same({key: np.asarray(value) for key, value in total.items()}, alone, 10 * RTOL, said)
    yield f"{count} devices"


def _finish(case: Case, perfect: Any, worst: Any) -> Names:
    check_metrics(case)
    yield "metrics"
    if check_order(case, perfect, worst):
        yield "order of the headline"


def _answers(case: Case, *_: Any) -> Names:
    if case.spec is not None:
        check_answers(case, case.spec)
        yield "answers"
    check_json(case)
    yield "JSON"


def _when(train: bool) -> str:
    return " in training" if train else ""


CHECKS: tuple[Callable[..., Names], ...] = (_shapes, _parts, _padding, _gradients, _devices, _finish, _answers)
