"""The peers that are JAX functions: rnnjax, ``flax.linen.RNN``, ``flax.nnx.RNN``, Equinox' cells in a ``lax.scan``.

A layer is a pair ``(params, apply)`` with ``apply(params, inputs [B, T, D], lengths [B] or None)``
giving all outputs ``[B, T, directions * H]``; head, loss and step are the same for all of them.
"""

import importlib
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from experiments.benchmarks.task import LEARNING_RATE, Task
from rnnjax.layers.cells import GRUCell, LSTMCell, SimpleRNNCell
from rnnjax.layers.convert import to_flax, to_torch
from rnnjax.layers.recurrence import RNN, Bidirectional
from rnnjax.training.parallel import DataParallel

Layer = tuple[Any, Callable[..., Any]]


def rnnjax_layer(task: Task, *, implementation: str, unroll: int = 1, remat: str | None = None) -> Layer:
    """``RNN`` or ``Bidirectional``, with lengths; what is ``mask`` or ``resets`` may be given by these names."""
    cell = {"lstm": LSTMCell, "gru": GRUCell, "rnn": SimpleRNNCell}[task.cell]

    def direction(reverse: bool) -> RNN:
        options: dict[str, Any] = {"implementation": implementation, "unroll": unroll, "remat": remat}
        return RNN(cell(task.shape.H, dtype=_dtype(task)), reverse=reverse, **options)

    module = Bidirectional(direction(False), direction(True)) if task.directions == 2 else direction(False)

    def apply(params, inputs, lengths, **marks):
        return module.apply({"params": params}, inputs, lengths=lengths, **marks)[1]

    return task.weights["recurrent"], apply


def flax_layer(task: Task, *, unroll: int = 1) -> Layer:
    """``nn.RNN`` over the cell that Flax recommends, or ``nn.Bidirectional``, with ``seq_lengths``."""
    cells = {"lstm": nn.OptimizedLSTMCell, "gru": nn.GRUCell, "rnn": nn.SimpleCell}

    def direction() -> nn.RNN:
        return nn.RNN(cells[task.cell](task.shape.H, dtype=_dtype(task)), unroll=unroll)

    recurrent = task.weights["recurrent"]
    if task.directions == 2:
        module = nn.Bidirectional(direction(), direction())
        params = {f"{side}_rnn": {"cell": to_flax(recurrent[side], task.cell)} for side in ("forward", "backward")}
    else:
        module, params = direction(), {"cell": to_flax(recurrent, task.cell)}

    def apply(params, inputs, lengths):
        return module.apply({"params": params}, inputs, seq_lengths=lengths)

    return params, apply


def nnx_layer(task: Task) -> Layer:
    """``nnx.RNN`` over nnx's optimized cell, or ``nnx.Bidirectional``, with ``seq_lengths``, merged inside of the step.

    Its parameters are ours, put where nnx has them. Its GRU cell lacks the candidate's recurrent bias, and is given it.
    """
    nnx: Any = importlib.import_module("flax.nnx")
    cells = {"lstm": nnx.OptimizedLSTMCell, "gru": nnx.GRUCell, "rnn": nnx.SimpleCell}

    def direction(rngs: Any) -> Any:
        cell = cells[task.cell](task.shape.D, task.shape.H, dtype=_dtype(task), rngs=rngs)
        if task.cell == "gru":
            cell.dense_h = nnx.Linear(task.shape.H, 3 * task.shape.H, dtype=_dtype(task), rngs=rngs)
        return nnx.RNN(cell)

    def made() -> Any:
        rngs = nnx.Rngs(0)
        return nnx.Bidirectional(direction(rngs), direction(rngs)) if task.directions == 2 else direction(rngs)

    graph, state, rest = nnx.split(made(), nnx.Param, ...)

    def apply(params, inputs, lengths):
        # Copies are of the trace in which the layer changes them: it counts its calls.
        mine, others = (jax.tree.map(lambda leaf: leaf, part) for part in (state, rest))
        nnx.replace_by_pure_dict(mine, _nnx_params(params, task.cell))
        return nnx.merge(graph, mine, others)(inputs, seq_lengths=lengths)

    return task.weights["recurrent"], apply


def _nnx_params(params: Any, kind: str) -> Any:
    """Ours, which may be traced, where nnx's layer has them."""
    if "cell" not in params:
        return {f"{side}_rnn": _nnx_params(direction, kind) for side, direction in params.items()}
    cell = params["cell"]
    tree = {"dense_i": {"kernel": cell["input_kernel"]}, "dense_h": {"kernel": cell["recurrent_kernel"]}}
    tree["dense_h" if kind == "lstm" else "dense_i"]["bias"] = cell["bias"]
    if kind == "gru":
        bias = cell["recurrent_bias"]
        tree["dense_h"]["bias"] = jnp.concatenate([jnp.zeros_like(bias, shape=2 * bias.size), bias])
    return {"cell": tree}


def _dtype(task: Task) -> Any:
    return None if task.dtype == "float32" else jnp.dtype(task.dtype)


def equinox_layer(task: Task, *, unroll: int = 1) -> Layer:
    """An Equinox cell in a ``lax.scan`` over one sequence, under ``vmap`` over the batch, as Equinox' examples do."""
    equinox: Any = importlib.import_module("equinox")
    directions = task.weights["recurrent"]
    directions = [directions["forward"], directions["backward"]] if task.directions == 2 else [directions]
    cells = [_equinox_cell(equinox, task, direction) for direction in directions]

    def one(cell: Any, inputs: jax.Array, length: jax.Array | None, reverse: bool) -> jax.Array:
        def step(carry, xs):
            x, time = xs
            new = cell(x, carry)
            if length is not None:
                new = jax.tree.map(lambda new, old: jnp.where(time < length, new, old), new, carry)
            return new, new[0] if task.cell == "lstm" else new

        zero = jnp.zeros(task.shape.H, task.dtype)
        initial = (zero, zero) if task.cell == "lstm" else zero
        times = jnp.arange(task.shape.T)
        return jax.lax.scan(step, initial, (inputs, times), reverse=reverse, unroll=unroll)[1]

    def apply(cells, inputs, lengths):
        # Equinox computes in the dtype of what it is given.
        cells, inputs = jax.tree.map(lambda array: array.astype(task.dtype), (cells, inputs))
        parts = [
            jax.vmap(lambda x, length, cell=cell, reverse=bool(place): one(cell, x, length, reverse))(inputs, lengths)
            for place, cell in enumerate(cells)
        ]
        return jnp.concatenate(parts, axis=-1)

    return cells, apply


def _equinox_cell(equinox: Any, task: Task, direction: Any) -> Any:
    """The cell with the task's weights; Equinox lays them out as PyTorch does, with the biases folded as ours."""
    if task.cell == "rnn":
        raise ValueError("Equinox has no cell without gates")
    kind = equinox.nn.LSTMCell if task.cell == "lstm" else equinox.nn.GRUCell
    cell = equinox.filter_eval_shape(kind, task.shape.D, task.shape.H, key=jax.random.key(0))
    arrays = to_torch(direction, task.cell)
    new = [arrays["weight_ih_l0"], arrays["weight_hh_l0"], arrays["bias_ih_l0"]]
    fields = ["weight_ih", "weight_hh", "bias"]
    if task.cell == "gru":
        fields.append("bias_n")
        new.append(direction["cell"]["recurrent_bias"])
    return equinox.tree_at(lambda cell: [getattr(cell, field) for field in fields], cell, [jnp.array(a) for a in new])


def make_loss(task: Task, layer: Layer) -> tuple[Any, Callable[..., jax.Array], Callable[..., jax.Array]]:
    """Parameters, ``logits(params, inputs, lengths)`` and ``loss(params, inputs, lengths, labels)``."""
    recurrent, apply = layer
    params = {"recurrent": recurrent, "kernel": task.weights["kernel"], "bias": task.weights["bias"]}

    def logits(params, inputs, lengths):
        outputs = apply(params["recurrent"], inputs, lengths)
        return _last(outputs, lengths, task) @ params["kernel"] + params["bias"]

    def loss(params, inputs, lengths, labels):
        scores = logits(params, inputs, lengths)
        return optax.softmax_cross_entropy_with_integer_labels(scores, labels).mean()

    return params, logits, loss


def _last(outputs: jax.Array, lengths: jax.Array | None, task: Task) -> jax.Array:
    """The last real output, ``[B, directions * H]``."""
    if task.directions == 2:
        H = task.shape.H
        return jnp.concatenate([outputs[:, -1, :H], outputs[:, 0, H:]], axis=-1)
    if lengths is None:
        return outputs[:, -1]
    return jnp.take_along_axis(outputs, (lengths - 1)[:, None, None], axis=1)[:, 0]


def make_step(loss: Callable[..., jax.Array], axis_name: str | None = None) -> tuple[Any, Callable[..., Any]]:
    """The optimizer, and ``step(params, moments, inputs, lengths, labels) -> (params, moments, loss)``."""
    optimizer = optax.adam(LEARNING_RATE)

    def step(params, moments, *batch):
        value, gradient = jax.value_and_grad(loss)(params, *batch)
        if axis_name is not None:
            value, gradient = jax.lax.pmean((value, gradient), axis_name)
        updates, moments = optimizer.update(gradient, moments, params)
        return optax.apply_updates(params, updates), moments, value

    return optimizer, step


def make_call(task: Task, layer: Layer, devices: int = 1) -> Callable[[], jax.Array]:
    """One call of the task on that many devices: it blocks and returns the loss (train) or the logits.

    On one device the function is jitted; on more it is mapped by ``pmap``, the batch split over them.
    Data and parameters lie on the devices; a train step donates the state that it replaces.
    """
    params, logits, loss = make_loss(task, layer)
    if devices > 1:
        return _mapped_call(task, params, logits, loss, devices)
    batch = jax.tree.map(jnp.array, (task.inputs, task.lengths, task.labels))
    params = jax.tree.map(jnp.array, params)
    if task.mode == "forward":
        forward = jax.jit(logits)
        return lambda: forward(params, *batch[:2]).block_until_ready()
    optimizer, step = make_step(loss)
    return _stepping(jax.jit(step, donate_argnums=(0, 1)), [params, jax.jit(optimizer.init)(params)], batch)


def _mapped_call(task: Task, params: Any, logits: Any, loss: Any, devices: int) -> Callable[[], jax.Array]:
    parallel = DataParallel(jax.local_devices()[:devices])
    whole = (task.inputs, task.lengths, task.labels)
    split = jax.tree.map(lambda array: array.reshape(devices, -1, *array.shape[1:]), whole)
    axes = jax.tree.map(lambda _: 0, whole)
    # What pmap returns lies where pmap wants it.
    batch = parallel.spread(lambda *arrays: arrays, axes, axes)(*split)
    params = parallel.replicate(params)
    if task.mode == "forward":
        forward = parallel.spread(logits, (None, *axes[:2]), 0)
        return lambda: forward(params, *batch[:2]).block_until_ready()
    optimizer, step = make_step(loss, parallel.axis_name)
    mapped = parallel.spread(step, (None, None, *axes), (None, None, None), donate=(0, 1))
    return _stepping(mapped, [params, parallel.replicate(optimizer.init(params))], batch)


def _stepping(step: Callable[..., Any], state: list[Any], batch: Any) -> Callable[[], jax.Array]:
    def call() -> jax.Array:
        *state[:], loss = step(*state, *batch)
        return loss.block_until_ready()

    return call
