"""Whether an experiment's parts fit each other, by shapes alone and before anything compiles."""

import inspect
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.data import Dataset
from rnnjax.errors import UsageError
from rnnjax.tasks import TASKS, Task


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
    name, rng = type(task).__name__, np.random.default_rng(0)
    made = jax.tree.map(lambda leaf: rng.normal(size=(2, *leaf.shape[1:])).astype(leaf.dtype), outputs)
    stored = {key: _rows(array, [0, min(1, len(array) - 1)]) for key, array in dataset.train.stored().items()}

    def sums(rows: list[int], mask: list[bool]) -> dict[str, np.ndarray]:
        batch = {key: array[rows] for key, array in stored.items()} | {"mask": np.array(mask)}
        answered = task.sums(
            *jax.tree.map(jnp.asarray, (jax.tree.map(lambda leaf: leaf[rows], made), batch)), train=False
        )
        return {key: np.asarray(value, np.float64) for key, value in answered.items()}

    first, second, both, padded = (
        sums([0], [True]),
        sums([1], [True]),
        sums([0, 1], [True] * 2),
        sums([0, 1], [True, False]),
    )
    for key, total in both.items():
        if not np.allclose(total, first[key] + second[key], rtol=1e-3, atol=1e-4, equal_nan=True):
            raise UsageError(
                f"{name}.sums: {key} of two examples together is {_shown(total)}, but {_shown(first[key])} and "
                f"{_shown(second[key])} of each by itself; it must add up over rows (do [B, 1] and [B] broadcast?)"
            )
        if not np.allclose(padded[key], first[key], rtol=1e-3, atol=1e-4, equal_nan=True):
            raise UsageError(
                f'{name}.sums: {key} counts rows that are padding; leave out those where batch["mask"] is False'
            )
    _check_metrics(task, task.finish(both))


def _check_metrics(task: Task, metrics: dict[str, Any]) -> None:
    name = type(task).__name__
    if task.headline.name not in metrics:
        raise UsageError(f"{name}.headline is {task.headline.name}, but finish gives {', '.join(sorted(metrics))}")
    for key, value in metrics.items():
        if not isinstance(value, float | int):  # np.float64 is a float
            raise UsageError(
                f"{name}.finish: {key} must be a float, got a {type(value).__name__}; float(...) makes one"
            )
        if key in ("epoch", "step"):
            raise UsageError(f"{name}.finish: {key} is taken; call it otherwise")


def _rows(array: Any, rows: list[int]) -> np.ndarray:
    """Rows of a stored array; zeros in place of images that are still encoded."""
    return array[rows] if isinstance(array, np.ndarray) else np.zeros((len(rows), *array.shape[1:]), array.dtype)


def _shown(value: np.ndarray) -> str:
    return f"{value:.6g}" if value.ndim == 0 else f"{value.ravel()[:3].tolist()}"


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
        sums = jax.eval_shape(lambda outputs, batch: task.sums(outputs, batch, train=True), outputs, batch)
    except UsageError as error:
        raise UsageError(f"{answers}: {error}") from error
    except (TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
        said = f"no array {error} in a batch" if isinstance(error, KeyError) else str(error).splitlines()[0]
        raise UsageError(f"{answers}: {said}") from error
    _check_sums(task, sums)


def _one_example(dataset: Dataset) -> dict[str, Any]:
    """Shapes of a batch of one example, as the compiled step has it."""
    stored = {
        name: jax.ShapeDtypeStruct((1, *array.shape[1:]), np.dtype(array.dtype))
        for name, array in dataset.train.stored().items()
    }
    return {**stored, "mask": jax.ShapeDtypeStruct((1,), np.dtype(bool))}


def _check_sums(task: Task, sums: Any) -> None:
    name = type(task).__name__
    if not isinstance(sums, dict) or not {"loss", "weight"} <= set(sums):
        got = sorted(sums) if isinstance(sums, dict) else type(sums).__name__
        raise UsageError(f"{name}.sums must give a dictionary with loss and weight, got {got}")
    for key, value in sums.items():
        if not hasattr(value, "dtype"):
            raise UsageError(f"{name}.sums: {key} must be an array, got a {type(value).__name__}")
        if np.dtype(value.dtype).itemsize < 4:  # half precision counts to 2048 at most, and int8 to 127
            raise UsageError(f"{name}.sums: {key} must have 32 bits, since it is added up, got {value.dtype}")
    for key in ("loss", "weight"):
        if sums[key].shape != ():
            raise UsageError(f"{name}.sums: {key} must be a sum over the batch, a scalar, got {list(sums[key].shape)}")
    if not jnp.issubdtype(sums["loss"].dtype, jnp.floating):
        raise UsageError(f"{name}.sums: loss must be a float, got {sums['loss'].dtype}")
    if "grad_norm" in sums:
        raise UsageError(f"{name}.sums: grad_norm is taken; call it otherwise")
