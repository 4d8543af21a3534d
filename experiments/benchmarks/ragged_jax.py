"""The peers of the part ``ragged`` that are JAX functions: rnnjax padded, packed or with resets, and ``nn.RNN``."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import rnnjax
from experiments.benchmarks import peers_jax
from experiments.benchmarks.ragged_task import Gradient, Peer, Ragged
from rnnjax.layers.convert import from_flax
from rnnjax.layers.implementations import reporting
from rnnjax.layers.packing import Packing
from rnnjax.layers.precision import matmul_precision
from rnnjax.training.parallel import DataParallel

Batch = dict[str, Any]
Apply = Callable[..., jax.Array]


def make(task: Ragged, peer: str, devices: int) -> Peer:
    """A peer of this module on that many devices; where it takes rows of episodes, they must divide over these."""
    theirs, weights = peer.startswith("flax"), task.layer.weights
    recurrent, apply = (
        peers_jax.flax_layer(task.layer) if theirs else peers_jax.rnnjax_layer(task.layer, implementation="auto")
    )
    params = {"recurrent": recurrent, "kernel": weights["kernel"], "bias": weights["bias"]}
    batch = _batch(task, peer, devices)
    computed = batch["packing"].origins.size if "packing" in batch else batch["labels"].size
    step, params, batch = _placed(functools.partial(_loss, apply, task.steps), params, batch, devices)
    anew = _packs(task, devices) if peer.endswith("packing included") else None
    answer: list[Any] = []
    seen: set[str] = set()

    def call() -> jax.Array:
        data = batch if anew is None else batch | {"packing": anew()}
        with reporting() as ran:  # of a call that traces
            answer[:] = jax.block_until_ready(step(params, data))
        seen.update(ran.values())
        return answer[0]

    def gradient() -> Gradient:
        found = jax.device_get(answer[1])
        cell = from_flax(found["recurrent"], task.cell) if theirs else found["recurrent"]
        return cell["cell"] | {"head kernel": found["kernel"], "head bias": found["bias"]}

    return Peer(call, computed, lambda: ", ".join(sorted(seen)) or None, gradient)


def make_packing(task: Ragged) -> Peer:
    """The packing alone: what the host does for each batch before the step."""
    packs = _packs(task, 1)
    return Peer(lambda: packs().origins, packs().origins.size, lambda: None, None)


def _batch(task: Ragged, peer: str, devices: int) -> Batch:
    """What the loss is handed, in memory of the host; on several devices each array has their axis first."""
    if peer.endswith("resets"):
        arrays = {"inputs": task.in_rows(task.inputs), "labels": task.in_rows(task.labels), "resets": task.starts}
        return {name: _dealt(array, devices) for name, array in arrays.items()}
    batch: Batch = {"inputs": _dealt(task.inputs, devices), "labels": _dealt(task.labels, devices)}
    if peer.endswith("padded"):
        return batch | {"lengths": _dealt(task.lengths, devices)}
    return batch | {"packing": _packs(task, devices)()}


def _dealt(array: np.ndarray, devices: int) -> np.ndarray:
    """``[N, ...]`` as ``[devices, n, ...]``, with sequences without steps where N does not divide; as it is for one."""
    if devices == 1:
        return array
    filled = np.pad(array, [(0, -len(array) % devices)] + [(0, 0)] * (array.ndim - 1))
    return filled.reshape(devices, -1, *array.shape[1:])


def _packs(task: Ragged, devices: int) -> Callable[[], Packing]:
    """The function that packs the batch into rows as long as the longest sequence, as many on each device."""
    parts, size = _dealt(task.lengths, devices).reshape(devices, -1), int(task.lengths.max())
    rows = max(len(rnnjax.pack(part, size).origins) for part in parts)
    if devices == 1:
        return lambda: rnnjax.pack(task.lengths, size, rows)
    # Packings are stacked where they count their sequences alike.
    return lambda: jax.tree.map(
        lambda *leaves: np.stack(leaves), *(rnnjax.pack(part, size, rows, longest=size) for part in parts)
    )


def _loss(apply: Apply, count: int, params: Any, batch: Batch) -> jax.Array:
    """The sum of the cross-entropies of the batch's real steps, over ``count``, those of all devices."""
    inputs, labels = batch["inputs"], batch["labels"]
    if "packing" in batch:
        packing = batch["packing"]
        inputs, labels, real = packing.rows(inputs), packing.rows(labels), packing.mask
        outputs = apply(params["recurrent"], inputs, None, mask=real, resets=packing.resets)
    elif "resets" in batch:
        outputs, real = apply(params["recurrent"], inputs, None, resets=batch["resets"]), True
    else:
        outputs = apply(params["recurrent"], inputs, batch["lengths"])
        real = jnp.arange(inputs.shape[1]) < batch["lengths"][:, None]
    scores = outputs @ params["kernel"] + params["bias"]
    each = optax.softmax_cross_entropy_with_integer_labels(scores, labels)
    return jnp.where(real, each, 0).sum() / count


def _placed(loss: Callable[..., jax.Array], params: Any, batch: Batch, devices: int) -> tuple[Any, Any, Batch]:
    """``step(params, batch) -> (loss, gradient)`` of all devices together, with its arguments on them."""

    def step(params: Any, batch: Batch) -> Any:
        with matmul_precision("highest"):
            answer = jax.value_and_grad(loss)(params, batch)
        return jax.lax.psum(answer, "batch") if devices > 1 else answer

    if devices == 1:
        return jax.jit(step), jax.tree.map(jnp.array, params), jax.tree.map(jnp.array, batch)
    parallel = DataParallel(jax.local_devices()[:devices], "batch")
    # What pmap returns lies where pmap wants it.
    batch = parallel.spread(lambda batch: batch, (0,), 0)(batch)
    return parallel.spread(step, (None, 0), None), parallel.replicate(params), batch
