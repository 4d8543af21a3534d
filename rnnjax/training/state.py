"""The state of a training: all that a step reads and writes."""

import functools
import operator
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from rnnjax.errors import UsageError
from rnnjax.layers.carried import CARRY
from rnnjax.layers.cells.initializers import single_or_wider

Array = jax.Array


class TrainState(flax.struct.PyTreeNode):
    """Everything that a resumed run needs to be the run that was not interrupted.

    Attributes:
      step: number of steps taken, int32.
      params: the model's parameters.
      model_state: the model's other variable collections, such as ``batch_stats``.
      opt_state: the optimizer's state.
      averaged: exponential moving average of ``{"params": params, **model_state}``, or None: batch
        norm's statistics are averaged like the parameters that they belong to. It is kept in float32 or
        wider: in half precision, what a step adds to it is rounded away.
      key: data of the run's random key, uint32; every step's keys are folded from it.
    """

    step: Array
    params: Any
    model_state: Any
    opt_state: Any
    averaged: Any
    key: Array
    carry = None  # no field: what has none is saved as it always was

    def variables(self) -> dict[str, Any]:
        """The variables to evaluate and predict with: the averages where there are any."""
        return variables_of({"params": self.params, "model_state": self.model_state, "averaged": self.averaged})


class StreamState(TrainState):
    """The state of a model whose recurrence goes on from batch to batch (:class:`rnnjax.Carried`).

    Attributes:
      carry: the collection of that name, a row a stream.
    """

    carry: Any = None


def with_carry(state: TrainState, carry: Any) -> TrainState:
    """The state with another carry, where it has one at all."""
    return state.replace(carry=carry) if isinstance(state, StreamState) else state


def variables_of(parts: Mapping[str, Any]) -> dict[str, Any]:
    """The variables to predict with, of the parts of a state by name; see :meth:`TrainState.variables`."""
    own = {"params": parts["params"], **parts["model_state"]}
    if parts.get("averaged") is None:
        return own
    return jax.tree.map(lambda mean, like: mean.astype(like.dtype, copy=False), parts["averaged"], own)


def shapes_of(model: nn.Module, inputs: Mapping[str, Any], *, averaged: bool) -> dict[str, Any]:
    """Shapes of the parts of a state that prediction needs, for :func:`variables_of`; nothing is computed."""
    variables = dict(jax.eval_shape(lambda: model.init({"params": jax.random.key(0)}, **inputs)))
    variables.pop(CARRY, None)
    params = variables.pop("params")
    parts = {"params": params, "model_state": variables}
    if averaged:
        parts["averaged"] = jax.eval_shape(lambda tree: jax.tree.map(_wide, tree), {"params": params, **variables})
    return parts


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
        carry = variables.pop(CARRY, None)
        params = variables.pop("params")
        kind = TrainState if carry is None else functools.partial(StreamState, carry=carry)
        return kind(
            step=jnp.zeros((), jnp.int32),
            params=params,
            model_state=variables,
            opt_state=optimizer.init(params),
            averaged=jax.tree.map(_wide, {"params": params, **variables}) if averaged else None,
            key=jax.random.key_data(jax.random.fold_in(key, 1)),
        )

    return make


def _wide(leaf: Array) -> Array:
    return leaf.astype(single_or_wider(leaf.dtype)) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf


def check_seed(seed: Any) -> int:
    """The seed of a run as a plain integer.

    Raises:
      UsageError: if it is no integer, negative, or has more than 64 bits.
    """
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if not 0 <= number < 2**64:
        raise UsageError(f"a seed must be an integer from 0 to 2**64 - 1, got {seed!r}; give another --seeds")
    return number


def seed_key(seed: int) -> Array:
    """The random key of a run's seed; the keys of no two seeds are the same.

    ``jax.random.key`` keeps 32 bits of a seed unless 64-bit numbers are turned on (jax-ml/jax#4745), so
    it is called with them for seeds that need them.

    Raises:
      UsageError: as :func:`check_seed`.
    """
    seed = check_seed(seed)
    if seed < 2**32:
        return jax.random.key(seed)
    with jax.enable_x64(True):
        return jax.random.key(np.uint64(seed))


def count_parameters(params: Any) -> int:
    """The number of trained scalars."""
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params))
