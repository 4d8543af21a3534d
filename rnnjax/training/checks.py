"""Whether an experiment's parts fit each other, by shapes alone and before anything compiles."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.data import Dataset
from rnnjax.errors import UsageError
from rnnjax.tasks import Task


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


def _check_width(name: str, task: Task, dataset: Dataset, outputs: Any) -> None:
    widths = task.widths(dataset.spec)
    if widths and outputs.shape[-1] not in widths:
        raise UsageError(
            f"{name} answers one example with {outputs.dtype} {list(outputs.shape)}; {type(task).__name__} on "
            f"{dataset.name} needs {' or '.join(map(str, widths))} outputs a row"
        )


def _check_sums(task: Task, sums: Any) -> None:
    name = type(task).__name__
    if not isinstance(sums, dict) or not {"loss", "weight"} <= set(sums):
        got = sorted(sums) if isinstance(sums, dict) else type(sums).__name__
        raise UsageError(f"{name}.sums must give a dictionary with loss and weight, got {got}")
    for key in ("loss", "weight"):
        if sums[key].shape != ():
            raise UsageError(f"{name}.sums: {key} must be a sum over the batch, a scalar, got {list(sums[key].shape)}")
    if not jnp.issubdtype(sums["loss"].dtype, jnp.floating):
        raise UsageError(f"{name}.sums: loss must be a float, got {sums['loss'].dtype}")
    if "grad_norm" in sums:
        raise UsageError(f"{name}.sums: grad_norm is taken; call it otherwise")
