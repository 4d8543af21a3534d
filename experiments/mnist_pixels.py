"""MNIST pixel by pixel (T = 784, D = 1): what is read first must be remembered for hundreds of steps.

The LSTM's forget gates begin open for memories of up to 784 steps (chrono, Tallec and Ollivier 2018, arXiv:1804.11188).
``--variant lru`` reads by recurrences that are linear in their state, which begins as a slow one, in pre-norm residual
blocks with a gate, and is pooled over all steps (Orvieto et al. 2023, arXiv:2303.06349). ``--variant large`` is for an
accelerator: ``plan --for v5e:2x2`` compiles its step for one that is not there.
"""

import math
import sys
from typing import Any

from rnnjax import Experiment, ImageData, ImageModel, OptimConfig, ParallelConfig, Target, TrainConfig, Variant, main
from rnnjax.layers.cells import LRUCell, LSTMCell


class RememberingLSTM(LSTMCell):
    """An LSTM whose forget gates begin open for as long as an image is."""

    chrono_steps: int | None = 28 * 28


class SlowLRU(LRUCell):
    """A linear recurrent unit whose states begin with memories of 10 to 1,000 steps, and turn around in 10 or more."""

    min_radius: float = 0.9
    max_radius: float = 0.999
    max_phase: float = math.pi / 5


def variants(target: Target, large: Target, **changed: Any) -> dict[str, Variant]:
    """Blocks with a third more parameters than the LSTM has, and those of an accelerator."""
    model = {"cell": SlowLRU, "features": (64,) * 3, "blocks": True, "pooling": ("mean",), **changed}
    chosen = {"model": model, "optim": {"learning_rate": 3e-3}, "replace": {"target": target}}
    of_large = {"model": {**model, "features": (256,) * 6, "dropout": 0.1}, "train": {"epochs": 100}}
    aim = {"target": large, "cost": "an accelerator, for hours"}
    return {
        "lru": Variant(f"{len(model['features'])} residual blocks of LRU(64) read the same", **chosen),
        "large": Variant("six residual blocks of LRU(256) read the same, for an accelerator", **of_large, replace=aim),
    }


EXPERIMENT = Experiment(
    name="mnist_pixels",
    summary="an LSTM(128) reads MNIST pixel by pixel",
    target=Target(value=0.983, source="LSTM 98.3, LEM 99.5 %"),
    cost="8 epochs of 54,000 images of 784 steps",
    data=ImageData(name="mnist", batch_size=64, max_shift=1),
    model=ImageModel(cell=RememberingLSTM, features=(128,), read_by="pixels"),  # pyright: ignore[reportArgumentType]
    optim=OptimConfig(learning_rate=2e-3, schedule="cosine", weight_decay=1e-2, clip_norm=1.0, ema_decay=0.998),
    train=TrainConfig(epochs=8, steps_per_call=8),
    parallel=ParallelConfig(cpu_devices=2),
    variants=variants(
        Target(value=0.99, source="LSTM 98.3, LEM 99.5 %; aim 99.4 %"), Target(value=0.995, source="LEM 99.5 %")
    ),
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
