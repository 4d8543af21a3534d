"""The state of a training: all that a step reads and writes."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

Array = jax.Array


class TrainState(flax.struct.PyTreeNode):
    """Everything that a resumed run needs to be the run that was not interrupted.

    Attributes:
      step: number of steps taken, int32.
      params: the model's parameters.
      model_state: the model's other variable collections, such as ``batch_stats``.
      opt_state: the optimizer's state.
      averaged: exponential moving average of ``{"params": params, **model_state}``, or None: batch
        norm's statistics are averaged like the parameters that they belong to.
      key: data of the run's random key, uint32; every step's keys are folded from it.
    """

    step: Array
    params: Any
    model_state: Any
    opt_state: Any
    averaged: Any
    key: Array

    def variables(self) -> dict[str, Any]:
        """The variables to evaluate and predict with: the averages where there are any."""
        return {"params": self.params, **self.model_state} if self.averaged is None else self.averaged


def initializer(
    model: nn.Module, optimizer: optax.GradientTransformation, inputs: dict[str, Any], *, averaged: bool
) -> Callable[[Array], TrainState]:
    """The function from a random key to a fresh state, to be compiled or evaluated for its shapes.

    Args:
      model: called as ``model(**inputs)``.
      optimizer: the optimizer.
      inputs: arguments of the model for a batch of any size; only shapes and dtypes matter.
      averaged: whether to keep a moving average of the parameters and the model's state.

    Returns:
      A function of the key of the parameters and of everything random in the training.
    """

    def make(key: Array) -> TrainState:
        variables = dict(model.init({"params": key}, **inputs))
        params = variables.pop("params")
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            model_state=variables,
            opt_state=optimizer.init(params),
            averaged={"params": params, **variables} if averaged else None,
            key=jax.random.key_data(jax.random.fold_in(key, 1)),
        )

    return make


def count_parameters(params: Any) -> int:
    """The number of trained scalars."""
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params))
