"""Whether an experiment's parts fit each other, by shapes alone and before anything compiles."""

import functools
import inspect
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.data import Dataset, Plan, Preprocess
from rnnjax.data.series_windows import SeriesWindows
from rnnjax.errors import DataError, UsageError
from rnnjax.tasks import TASKS, Task, sums
from rnnjax.training.optim import Optimizer, factors


def check_call(model: nn.Module, dataset: Dataset) -> None:
    """Refuses a model that does not take what it is called with.

    Raises:
      UsageError: it says what the data give and what of it the model does not take.
    """
    arguments = {name.partition("/")[0]: None for name in dataset.spec.inputs}
    try:
        inspect.signature(type(model).__call__).bind(model, **arguments, train=False)
    except TypeError as error:
        called = ", ".join(f"{name}=" for name in (*arguments, "train"))
        raise UsageError(f"{type(model).__name__} is called with {called} on {dataset.name}: {error}") from error


def check_views(model: nn.Module, dataset: Dataset) -> None:
    """Refuses a model that answers to mirror images too where the pixels that it sees have another order.

    Raises:
      UsageError: since turning that order round mirrors nothing, and gives an image as none that was trained on.
    """
    if getattr(model, "mirrors", False) and getattr(dataset.preprocess, "order", ()):
        raise UsageError(
            f"{type(model).__name__} answers to an image and its mirror image, and the pixels of {dataset.name} are "
            "in another order, by --data.permutation-seed, which has none; leave out one of the two "
            "(--model.mirror, where there is that option)"
        )


def check_tokens(dataset: Dataset) -> None:
    """Refuses token ids that an embedding has no row for: it gives NaN, or, below 0, the row of another token.

    Raises:
      DataError: if an id of ``inputs``, as they are stored, lies outside the vocabulary of the specification.
    """
    size, prepared = dataset.spec.vocabulary, type(dataset.preprocess).on_device
    if not size or prepared is not Preprocess.on_device:
        return
    for split, examples in dataset.splits().items():
        ids = examples.arrays.get("inputs")
        if not isinstance(ids, np.ndarray) or ids.dtype.kind not in "iu" or not ids.size:
            continue
        if ids.min() < 0 or ids.max() >= size:
            row = int(((ids < 0) | (ids >= size)).reshape(len(ids), -1).any(1).argmax())
            raise DataError(
                f"{dataset.name}: token ids must lie in 0..{size - 1}, those of example {row} in {split} lie in "
                f"{ids[row].min()}..{ids[row].max()}"
            )


def check_order(model: nn.Module, dataset: Dataset) -> None:
    """Refuses to shuffle the rows that a carry goes on through: each would begin with what another row has left.

    Raises:
      UsageError: if the order is that of :class:`rnnjax.data.Plan`.
    """
    if getattr(type(dataset.plan), "train", None) is Plan.train:
        raise UsageError(
            f"{type(model).__name__} keeps a carry from batch to batch, but the rows of {dataset.name} are shuffled: "
            "none goes on where another ended; give the data set windows in their order and "
            "plan=rnnjax.Streams(), or leave out rnnjax.Carried"
        )


def check_sums(task: Task, dataset: Dataset, outputs: Any) -> None:
    """Refuses a task of one's own whose sums are none: those of a batch must be those of its rows, added up.

    Sums of ``[B]`` with ``[B, 1]`` and a mask that was forgotten give numbers that look like any other. Two rows of
    the training split under made-up outputs tell. What a task does in training alone may look at a batch as a whole.

    Args:
      task: whose sums are computed.
      dataset: of which the first rows are taken.
      outputs: shapes of what the model answers one example.

    Raises:
      UsageError: if the sums do not add up, padding rows count, or the headline is not among the metrics.
    """
    if type(task) in TASKS:
        return
    rng, rows = np.random.default_rng(0), [0, min(1, len(dataset.train) - 1)]
    made = jax.tree.map(lambda leaf: rng.normal(size=(2, *leaf.shape[1:])).astype(leaf.dtype), outputs)
    stored = {key: rows_of(array, rows) for key, array in dataset.train.stored().items()}
    run = functools.partial(task.sums, train=False)
    whole = sums.check_parts(task, run, made, stored, ([0], [1]))
    sums.check_padding(task, run, made, stored, np.array([True, False]))
    sums.check_metrics(task, task.finish(whole))


def rows_of(array: Any, rows: list[int]) -> np.ndarray:
    """Rows of a stored array; zeros in place of images that are still encoded."""
    here = isinstance(array, np.ndarray | SeriesWindows)
    return np.asarray(array[rows]) if here else np.zeros((len(rows), *array.shape[1:]), array.dtype)


def check_options(task: Task, optim: Any) -> None:
    """Raises UsageError at an option of the optimizer's section that this task would not hear."""
    for name in ("sampled_tokens", "language_weight"):
        if getattr(optim, name) and not hasattr(task, name):
            raise UsageError(f"--optim.{name.replace('_', '-')}: {type(task).__name__} has no language model's loss")


def check_outputs(model: nn.Module, task: Task, dataset: Dataset, outputs: Any, variables: Any) -> None:
    """Refuses outputs that a task has no use for: broadcasting would make a wrong number of them.

    Args:
      model: whose outputs they are.
      task: what they mean.
      dataset: whose first example they answer.
      outputs: shapes of what the model answers.
      variables: shapes of its variables.

    Raises:
      UsageError: if the model has no parameters, or model, task and data do not fit.
    """
    name, kind = type(model).__name__, type(task).__name__
    if not jax.tree.leaves(variables.get("params", {})):
        raise UsageError(f"{name} has no parameters: there is nothing to train")
    leaves = jax.tree.leaves(outputs)
    shown = " and ".join(f"{leaf.dtype} {list(leaf.shape)}" for leaf in leaves) if leaves else "nothing"
    answers = f"{name} answers one example with {shown}; {kind} on {dataset.name}"
    if not leaves or any(not jnp.issubdtype(leaf.dtype, jnp.floating) or leaf.shape[:1] != (1,) for leaf in leaves):
        raise UsageError(f"{answers} needs floats, a row an example")
    batch = _one_example(dataset)
    try:
        task.check(outputs, batch)
        widths = task.widths(dataset.spec)
        if widths and outputs.shape[-1] not in widths:
            raise UsageError(f"needs {' or '.join(map(str, widths))} outputs a row")
        made = jax.eval_shape(functools.partial(task.sums, train=True), outputs, batch)
    except UsageError as error:
        raise UsageError(f"{answers}: {error}") from error
    except (TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
        said = f"no array {error} in a batch" if isinstance(error, KeyError) else str(error).splitlines()[0]
        raise UsageError(f"{answers}: {said}") from error
    sums.check_shapes(task, made)


def _one_example(dataset: Dataset) -> dict[str, Any]:
    """Shapes of a batch of one example, as the compiled step has it."""
    stored = {
        name: jax.ShapeDtypeStruct((1, *array.shape[1:]), np.dtype(array.dtype))
        for name, array in dataset.train.stored().items()
    }
    return {**stored, "mask": jax.ShapeDtypeStruct((1,), np.dtype(bool))}


def check_still(model: nn.Module, optimizer: Optimizer, params: Any) -> None:
    """Refuses to train modules that no gradient reaches: weight decay alone would move them.

    Args:
      model: which names such modules of its own as ``without_gradients``.
      optimizer: whose groups are to freeze them in all stages.
      params: shapes of the model's parameters.

    Raises:
      UsageError: if one is not frozen.
    """
    names = getattr(model, "without_gradients", ())
    for stage in optimizer.stages:
        tree = factors(optimizer.in_stage(stage)[0], params)
        if moved := [name for name in names if any(jax.tree.leaves(tree[name]))]:
            raise UsageError(
                f"no gradient reaches {' and '.join(moved)} of {type(model).__name__}: freeze them for the whole "
                f"training by --optim.groups '^({'|'.join(names)})=0'"
            )
