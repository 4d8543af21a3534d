"""All peers by name, each imported when it is built, so that one that is not installed fails alone."""

from collections.abc import Callable
from typing import Any

import jax

from experiments.benchmarks.task import Task

RNNJAX = {"rnnjax fused": "fused", "rnnjax scan": "scan", "rnnjax cudnn": "cudnn"}
"""Implementations of ``rnnjax.RNN``."""
OTHERS = ("flax", "nnx", "keras", "torch", "torch padded", "equinox")
"""flax is Linen's layer, nnx that of ``flax.nnx``. PyTorch's packed sequences skip the padding; padded, it computes
that too and the last real output is picked."""
MAPPED = ("rnnjax fused", "flax", "nnx")
"""Peers that also run on several devices, under pmap."""


def names() -> list[str]:
    """The peers of this machine; cuDNN is one where JAX runs on a GPU."""
    ours = [name for name in RNNJAX if name != "rnnjax cudnn" or jax.default_backend() == "gpu"]
    return [*ours, *OTHERS]


def offers(peer: str, form: str, devices: int) -> bool:
    """Whether the peer has this form on that many devices."""
    return (devices == 1 or peer in MAPPED) and (peer != "torch padded" or form == "masked")


def make_call(peer: str, task: Task, devices: int = 1) -> Callable[[], Any]:
    """One call of the task by that peer: it blocks, and returns the loss (train) or the logits.

    Raises:
      ModuleNotFoundError: if the peer is not installed.
    """
    if peer == "keras":
        from experiments.benchmarks import peers_keras

        return peers_keras.make_call(task)
    if peer in ("torch", "torch padded"):
        from experiments.benchmarks import peers_torch

        return peers_torch.make_call(task, packed=peer == "torch")
    from experiments.benchmarks import peers_jax

    if peer in RNNJAX:
        layer = peers_jax.rnnjax_layer(task, implementation=RNNJAX[peer])
    else:
        layers = {"flax": peers_jax.flax_layer, "nnx": peers_jax.nnx_layer, "equinox": peers_jax.equinox_layer}
        layer = layers[peer](task)
    return peers_jax.make_call(task, layer, devices)
