"""The train and eval steps: pure functions of a state and a chunk of batches, for one device of several.

Both work through a chunk with ``lax.scan`` and gather their batches from a split's arrays, which
lie on the device. Sums over devices are ``psum``-ed and divided once: a mean of per-device masked
means would weigh padding rows differently on every device.

Axes: K steps of a chunk, B rows of a batch on this device.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax

from rnnjax.data.augment import Augment, augmented
from rnnjax.data.spec import nested
from rnnjax.layers.carried import CARRY
from rnnjax.tasks import Task
from rnnjax.training.accumulate import accumulated
from rnnjax.training.adversarial import Gradients, OfBatch, plain_gradients
from rnnjax.training.freeze import frozen, frozen_norms, held
from rnnjax.training.optim import global_norm
from rnnjax.training.state import TrainState, with_carry

Array = jax.Array
Arrays = dict[str, Array]


@dataclass(frozen=True)
class Recipe:
    """What a step does, apart from data and state.

    Attributes:
      model: ``model(**arguments, train=...) -> outputs``.
      task: what its outputs mean.
      arguments: names of the arrays that the model is given; the others are the task's.
      timed: names of the stored arrays that are cut to a chunk's padded length.
      on_device: a batch's stored arrays to those of the model and the task.
      augment: training's augmentation of stored arrays, or None.
      optimizer: the optimizer.
      ema_decay: of the averaged parameters; used where the state has them.
      groups: as ``--optim.groups``; the optimizer knows them, and what they freeze, the step holds still.
      gradients: from what a batch asks to its gradients, see :data:`rnnjax.training.adversarial.Gradients`.
      accumulate: parts in which a batch is worked through, see :mod:`rnnjax.training.accumulate`.
      axis_name: name of the mapped axis of devices.
    """

    model: nn.Module
    task: Task
    arguments: tuple[str, ...]
    timed: tuple[str, ...]
    on_device: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    augment: Augment | None
    optimizer: optax.GradientTransformation
    ema_decay: float = 0.0
    groups: tuple[str, ...] = ()
    gradients: Gradients = plain_gradients
    accumulate: int = 1
    axis_name: str = "batch"

    def model_arguments(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """A model's arguments among a batch's stored arrays."""
        arrays = self.on_device(batch)
        return nested({name: arrays[name] for name in self.arguments})


def train_chunk(recipe: Recipe, length: Any, state: TrainState, data: Arrays, chunk: Arrays):
    """K training steps.

    Args:
      recipe: what to do.
      length: padded length of the chunk's sequences, or one for each timed array; or None.
      state: replicated, but for this device's rows of the carry.
      data: arrays of a split, or of this chunk's rows when the split is streamed.
      chunk: ``rows [K, B]`` (where a batch's rows lie in ``data``), ``ids [K, B]`` (the examples'
        numbers in the split), ``mask [K, B]``, ``valid [K]`` (False: no step, the state stays as it
        is) and the scalars ``epoch`` and ``learning_rate_scale``.

    Returns:
      The new state and, summed over devices, the task's sums and ``grad_norm``, each ``[K, ...]``.
    """
    every = {name: chunk[name] for name in ("epoch", "learning_rate_scale")}
    steps = {name: chunk[name] for name in ("rows", "ids", "mask", "valid")}
    return lax.scan(lambda s, step: _train_step(recipe, length, s, data, step | every), state, steps)


def _train_step(recipe: Recipe, length: Any, state: TrainState, data: Arrays, step: Arrays):
    key = jax.random.wrap_key_data(state.key)
    dropout = jax.random.fold_in(jax.random.fold_in(key, state.step), lax.axis_index(recipe.axis_name))
    before = {"params": state.params, **state.model_state}
    still = frozen(recipe.groups, before)
    rows = {name: step[name] for name in ("rows", "ids", "mask")}, state.carry

    def part(number: Array | None, given: tuple[Arrays, Any], model_state: Any) -> tuple[Any, Any, Any]:
        rows, carry = given
        batch = _gather(recipe, data, rows, length)
        if recipe.augment is not None:
            batch = augmented(recipe.augment, key, step["epoch"], rows["ids"], batch)
        own = dropout if number is None else jax.random.fold_in(dropout, number)
        divisor = (lambda weight: 1) if number is not None else functools.partial(_whole_weight, recipe)
        gradients, (sums, after) = _gradients(
            recipe, state, still, batch, model_state | _collection(carry), own, divisor
        )
        carry = after.pop(CARRY, None)
        return (gradients, sums), after, carry

    if recipe.accumulate == 1:
        added, model_state, carry = part(None, rows, state.model_state)
        gradients, sums = lax.psum(added, recipe.axis_name)
    else:
        added, model_state, carry = accumulated(recipe.accumulate, part, rows, state.model_state)
        gradients, sums = lax.psum(added, recipe.axis_name)
        weight = _divisor(sums["weight"])
        gradients = jax.tree.map(lambda leaf: (leaf / weight).astype(leaf.dtype), gradients)
    gradients = held(still["params"], jax.tree.map(jnp.zeros_like, gradients), gradients)
    updates, opt_state = recipe.optimizer.update(gradients, state.opt_state, state.params)
    updates = jax.tree.map(lambda update: step["learning_rate_scale"] * update, updates)
    after = held(still, before, {"params": optax.apply_updates(state.params, updates), **model_state})
    averaged = None
    if state.averaged is not None:
        averaged = held(still, state.averaged, _average(recipe.ema_decay, state.step, state.averaged, after))
    params = after.pop("params")
    new = state.replace(step=state.step + 1, params=params, model_state=after, opt_state=opt_state, averaged=averaged)
    new = with_carry(new, carry)
    new = jax.tree.map(lambda a, b: jnp.where(step["valid"], a, b), new, state)
    return new, sums | {"grad_norm": global_norm(gradients)}


def _gradients(
    recipe: Recipe,
    state: TrainState,
    still: Any,
    batch: Mapping[str, Any],
    model_state: Mapping[str, Any],
    dropout: Array,
    divisor: Callable[[Array], Any],
) -> tuple[Any, tuple[Arrays, Any]]:
    """Of this device's rows, a batch or a part of one: the gradients, the task's sums, and the model's state after it.

    Args:
      recipe, state: of the step.
      still: what is frozen.
      batch: the arrays.
      model_state: the model's other collections before it, the carry of these rows among them.
      dropout: the key.
      divisor: from the rows' weight to what their summed loss is divided by.
    """

    def apply(
        params: Any, moved: Any, batch: Mapping[str, Any], mutable: tuple[str, ...] = (), **asked: Any
    ) -> tuple[Any, Any]:
        with frozen_norms(still):
            applied = recipe.model.apply(
                {"params": params, **model_state, **moved},
                train=True,
                rngs={"dropout": dropout},
                mutable=[*model_state, *mutable],
                **recipe.model_arguments(batch),
                **asked,
            )
        return cast("tuple[Any, Any]", applied)  # a pair, since `mutable` is a list

    def objective(params: Any, moved: Any) -> tuple[Array, tuple[Arrays, Any]]:
        after = dict(model_state)

        def outputs(batch: Mapping[str, Any], **asked: Any) -> Any:
            made, changed = apply(params, moved, batch, **asked)
            after.update(changed)
            return made

        sums = recipe.task.objective(outputs, batch)
        return sums["loss"] / divisor(sums["weight"]), (sums, after)

    def apart(answers: Any, others: Any) -> Array:
        counted = jnp.where(batch["mask"], recipe.task.apart(answers, others), 0)
        return counted.sum() / divisor(batch["mask"].sum())

    asked = OfBatch(
        objective=objective,
        answers=lambda params, moved: apply(params, moved, batch)[0],
        apart=apart,
        call=functools.partial(apply, state.params, {}, batch),
        step=state.step,
        key=dropout,
    )
    return recipe.gradients(asked, state.params)


def _whole_weight(recipe: Recipe, weight: Array) -> Array:
    """What the loss of a batch is divided by, of the weight of its rows on this device."""
    return _divisor(lax.psum(lax.stop_gradient(weight), recipe.axis_name))


def _divisor(weight: Array) -> Array:
    """A weight to divide by; of nothing, 1."""
    if jnp.issubdtype(weight.dtype, jnp.integer):
        return jnp.maximum(weight, 1)
    return jnp.where(weight > 0, weight, 1)


def eval_chunk(recipe: Recipe, length: Any, keep: bool, variables: Any, carry: Any, data: Arrays, chunk: Arrays):
    """A chunk without training.

    Args:
      recipe: what to do.
      length: padded length of the chunk's sequences, or None.
      keep: whether what the task keeps of each row is wanted too.
      variables: of the model, replicated.
      carry: as in a state, this device's rows of it.
      data, chunk: as for :func:`train_chunk`; of the chunk, ``rows`` and ``mask``.

    Returns:
      The task's sums over the chunk's real rows and all devices, and what it keeps, padding rows included: a tree of
      ``[devices of all hosts, K, B, ...]`` on each device; without ``keep``, None. And the carry after the chunk.
    """

    def one(carry: Any, step: Arrays) -> tuple[Any, Arrays, Any]:
        batch = _gather(recipe, data, step, length)
        outputs, carry = _evaluated(recipe.model, variables, carry, recipe.model_arguments(batch))
        sums = recipe.task.sums(outputs, batch, train=False)
        return carry, sums, recipe.task.keep(outputs, batch) if keep else None

    def add(so_far: tuple[Arrays, Any], step: Arrays) -> tuple[Any, Any]:
        total, carry = so_far
        carry, sums, kept = one(carry, step)
        return (jax.tree.map(jnp.add, total, sums), carry), kept

    steps = {name: chunk[name] for name in ("rows", "mask")}
    shapes = jax.eval_shape(lambda: one(carry, jax.tree.map(lambda array: array[0], steps))[1])
    nothing = jax.tree.map(lambda like: jnp.zeros(like.shape, like.dtype), shapes)
    (total, carry), kept = lax.scan(add, (nothing, carry), steps)
    return lax.psum(total, recipe.axis_name), lax.all_gather(kept, recipe.axis_name), carry


def _evaluated(model: nn.Module, variables: Any, carry: Any, arguments: Mapping[str, Any]) -> tuple[Any, Any]:
    """A model's outputs, and the carry after them."""
    if carry is None:
        return model.apply(variables, train=False, **arguments), None
    outputs, changed = model.apply({**variables, CARRY: carry}, train=False, mutable=[CARRY], **arguments)
    return outputs, changed[CARRY]


def _collection(carry: Any) -> dict[str, Any]:
    return {} if carry is None else {CARRY: carry}


def _gather(recipe: Recipe, data: Arrays, step: Arrays, length: int | None) -> dict[str, Array]:
    """A batch's stored arrays and its mask."""
    batch = {name: array[step["rows"]] for name, array in data.items()}
    if length is not None:
        each = length if isinstance(length, tuple) else (length,) * len(recipe.timed)
        batch |= {name: batch[name][:, :steps] for name, steps in zip(recipe.timed, each, strict=True)}
    return {**batch, "mask": step["mask"]}


def _average(decay: float, step: Array, averaged: Any, variables: Any) -> Any:
    # The average follows closely at first, so that it is not held back by the initial parameters.
    steps = step.astype(jnp.float32)
    kept = jnp.minimum(decay, (1 + steps) / (10 + steps))

    def mean(old: Array, new: Array) -> Array:
        # A count has no mean that is a count.
        return kept * old + (1 - kept) * new if jnp.issubdtype(new.dtype, jnp.inexact) else new

    return jax.tree.map(mean, averaged, variables)
