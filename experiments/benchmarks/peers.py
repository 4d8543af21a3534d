"""All peers by name, each imported when it is built, so that one that is not installed fails alone."""

from collections.abc import Callable
from typing import Any

import jax

from experiments.benchmarks.task import Task

RNNJAX = {"rnnjax fused": "fused", "rnnjax scan": "scan", "rnnjax cudnn": "cudnn"}
"""Implementations of ``rnnjax.RNN``."""
OTHERS = ("flax", "keras", "torch", "equinox")
MAPPED = ("rnnjax fused", "flax")
"""Peers that also run on several devices, under pmap."""


def names() -> list[str]:
    """The peers of this machine; cuDNN is one where JAX runs on a GPU."""
    ours = [name for name in RNNJAX if name != "rnnjax cudnn" or jax.default_backend() == "gpu"]
    return [*ours, *OTHERS]


def make_call(peer: str, task: Task, devices: int = 1) -> Callable[[], Any]:
    """One call of the task by that peer: it blocks, and returns the loss (train) or the logits.

    Raises:
      ModuleNotFoundError: if the peer is not installed.
    """
    if peer in ("keras", "torch"):
        if peer == "keras":
            from experiments.benchmarks import peers_keras as module
        else:
            from experiments.benchmarks import peers_torch as module
        return module.make_call(task)
    from experiments.benchmarks import peers_jax

    if peer in RNNJAX:
        layer = peers_jax.rnnjax_layer(task, implementation=RNNJAX[peer])
    else:
        layer = {"flax": peers_jax.flax_layer, "equinox": peers_jax.equinox_layer}[peer](task)
    return peers_jax.make_call(task, layer, devices)
