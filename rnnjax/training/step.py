"""The train and eval steps: pure functions of a state and a chunk of batches, for one device of several.

Both work through a chunk with ``lax.scan`` and gather their batches from a split's arrays, which
lie on the device. Sums over devices are ``psum``-ed and divided once: a mean of per-device masked
means would weigh padding rows differently on every device.

Axes: K steps of a chunk, B rows of a batch on this device.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax

from rnnjax.data.augment import Augment, example_keys
from rnnjax.tasks import metrics
from rnnjax.tasks.losses import Loss
from rnnjax.training import adversarial
from rnnjax.training.freeze import frozen, frozen_norms, held
from rnnjax.training.optim import global_norm
from rnnjax.training.state import TrainState

Array = jax.Array
Arrays = dict[str, Array]


@dataclass(frozen=True)
class Task:
    """What a step does, apart from data and state.

    Attributes:
      model: ``model(inputs, lengths=..., train=...) -> logits [B, C]``.
      loss: per-row loss of logits and labels.
      normalize: stored inputs to the model's inputs, on the device.
      augment: training's augmentation of stored inputs, or None.
      optimizer: the optimizer.
      label_smoothing: for the training loss.
      ema_decay: of the averaged parameters; used where the state has them.
      groups: as ``--optim.groups``; the optimizer knows them, and what they freeze, the step holds still.
      adversarial: from the step's number to the size of adversarial training's move; None: there is none.
      axis_name: name of the mapped axis of devices.
    """

    model: nn.Module
    loss: Loss
    normalize: Callable[[Array], Array]
    augment: Augment | None
    optimizer: optax.GradientTransformation
    label_smoothing: float = 0.0
    ema_decay: float = 0.0
    groups: tuple[str, ...] = ()
    adversarial: Callable[[Any], Any] | None = None
    axis_name: str = "batch"


def train_chunk(task: Task, length: int | None, state: TrainState, data: Arrays, chunk: Arrays):
    """K training steps.

    Args:
      task: what to do.
      length: padded length of the chunk's sequences, or None.
      state: replicated.
      data: arrays of a split, or of this chunk's rows when the split is streamed.
      chunk: ``rows [K, B]`` (where a batch's rows lie in ``data``), ``ids [K, B]`` (the examples'
        numbers in the split), ``mask [K, B]``, ``valid [K]`` (False: no step, the state stays as it
        is) and the scalars ``epoch`` and ``learning_rate_scale``.

    Returns:
      The new state and, summed over devices, ``loss``, ``correct``, ``count``, ``grad_norm``, each ``[K]``.
    """
    every = {name: chunk[name] for name in ("epoch", "learning_rate_scale")}
    steps = {name: chunk[name] for name in ("rows", "ids", "mask", "valid")}
    return lax.scan(lambda s, step: _train_step(task, length, s, data, step | every), state, steps)


def _train_step(task: Task, length: int | None, state: TrainState, data: Arrays, step: Arrays):
    key = jax.random.wrap_key_data(state.key)
    inputs, batch = _gather(data, step["rows"], length)
    if task.augment is not None:
        inputs = task.augment(example_keys(key, step["epoch"], step["ids"]), inputs)
    dropout = jax.random.fold_in(jax.random.fold_in(key, state.step), lax.axis_index(task.axis_name))
    count = lax.psum(step["mask"].sum(), task.axis_name)
    before = {"params": state.params, **state.model_state}
    still = frozen(task.groups, before)

    def apply(params, moved, mutable=()):
        with frozen_norms(still):
            applied = task.model.apply(
                {"params": params, **state.model_state, **moved},
                task.normalize(inputs),
                train=True,
                rngs={"dropout": dropout},
                mutable=[*state.model_state, *mutable],
                **batch["lengths"],
            )
        return cast("tuple[Array, Any]", applied)  # a pair, since `mutable` is a list

    def objective(params, moved):
        logits, model_state = apply(params, moved)
        losses = task.loss(logits, batch["labels"], task.label_smoothing)
        sums = metrics.sums(logits, batch["labels"], losses, step["mask"])
        return sums["loss"] / jnp.maximum(count, 1), (sums, model_state)

    if task.adversarial is not None:
        unmoved = adversarial.none_yet(functools.partial(apply, state.params, {}))
        size = task.adversarial(state.step)
        gradients, (sums, model_state) = _adversarial_gradients(objective, state.params, unmoved, size)
    else:
        gradients, (sums, model_state) = jax.grad(objective, has_aux=True)(state.params, {})
    gradients, sums = lax.psum((gradients, sums), task.axis_name)
    gradients = held(still["params"], jax.tree.map(jnp.zeros_like, gradients), gradients)
    updates, opt_state = task.optimizer.update(gradients, state.opt_state, state.params)
    updates = jax.tree.map(lambda update: step["learning_rate_scale"] * update, updates)
    after = held(still, before, {"params": optax.apply_updates(state.params, updates), **model_state})
    averaged = None
    if state.averaged is not None:
        averaged = held(still, state.averaged, _average(task.ema_decay, state.step, state.averaged, after))
    params = after.pop("params")
    new = state.replace(step=state.step + 1, params=params, model_state=after, opt_state=opt_state, averaged=averaged)
    new = jax.tree.map(lambda a, b: jnp.where(step["valid"], a, b), new, state)
    return new, sums | {"grad_norm": global_norm(gradients)}


def _adversarial_gradients(objective: Callable, params: Any, unmoved: Any, size: Array) -> tuple[Any, Any]:
    """The mean of the gradients of the inputs as they are and of the inputs moved; metrics are of the former."""
    (gradients, uphill), aux = jax.grad(objective, argnums=(0, 1), has_aux=True)(params, unmoved)
    moved = lax.stop_gradient(adversarial.towards(uphill, size))
    others, _ = jax.grad(objective, has_aux=True)(params, moved)
    return jax.tree.map(lambda a, b: (a + b) / 2, gradients, others), aux


def eval_chunk(task: Task, length: int | None, variables: Any, data: Arrays, chunk: Arrays) -> Arrays:
    """Sums of the metrics over a chunk's real rows and all devices: ``loss``, ``correct``, ``count``."""

    def one(total: Arrays, step: Arrays):
        return jax.tree.map(jnp.add, total, _eval_step(task, length, variables, data, step)[0]), None

    total, _ = lax.scan(one, _nothing(), {name: chunk[name] for name in ("rows", "mask")})
    return lax.psum(total, task.axis_name)


def logits_chunk(task: Task, length: int | None, variables: Any, data: Arrays, chunk: Arrays) -> tuple[Arrays, Array]:
    """The sums of :func:`eval_chunk`, and the logits that they are of.

    The logits are those of every row, padding rows included: ``[devices of all hosts, K, B, C]`` on each device.
    """

    def one(total: Arrays, step: Arrays):
        sums, logits = _eval_step(task, length, variables, data, step)
        return jax.tree.map(jnp.add, total, sums), logits.astype(jnp.float32)

    total, logits = lax.scan(one, _nothing(), {name: chunk[name] for name in ("rows", "mask")})
    return lax.psum(total, task.axis_name), lax.all_gather(logits, task.axis_name)


def _eval_step(task: Task, length: int | None, variables: Any, data: Arrays, step: Arrays) -> tuple[Arrays, Array]:
    inputs, batch = _gather(data, step["rows"], length)
    applied = task.model.apply(variables, task.normalize(inputs), train=False, **batch["lengths"])
    logits = cast("Array", applied)
    losses = task.loss(logits, batch["labels"], 0.0)
    return metrics.sums(logits, batch["labels"], losses, step["mask"]), logits


def _nothing() -> Arrays:
    return {"loss": jnp.zeros(()), "correct": jnp.zeros((), jnp.int32), "count": jnp.zeros((), jnp.int32)}


def _gather(data: Arrays, rows: Array, length: int | None) -> tuple[Array, dict[str, Any]]:
    """A batch's stored inputs, and its labels and lengths."""
    inputs = data["inputs"][rows]
    if length is not None:
        inputs = inputs[:, :length]
    lengths = {"lengths": data["lengths"][rows]} if "lengths" in data else {}
    return inputs, {"labels": data["labels"][rows], "lengths": lengths}


def _average(decay: float, step: Array, averaged: Any, variables: Any) -> Any:
    # The average follows closely at first, so that it is not held back by the initial parameters.
    steps = step.astype(jnp.float32)
    kept = jnp.minimum(decay, (1 + steps) / (10 + steps))

    def mean(old: Array, new: Array) -> Array:
        # A count has no mean that is a count.
        return kept * old + (1 - kept) * new if jnp.issubdtype(new.dtype, jnp.inexact) else new

    return jax.tree.map(mean, averaged, variables)
