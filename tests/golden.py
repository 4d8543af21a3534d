"""Three tiny trainings, bit for bit: ``python -m tests.golden --write`` remakes ``tests/golden.json``.

The file is remade by a change that is meant to change what a training computes, and by no other. All floats in it are
hexadecimal, which keeps their bits. XLA's bits differ between kinds of CPU and versions of JAX, so the file says what
it was made with; elsewhere what it holds is compared with a tolerance alone.
"""

import hashlib
import importlib.metadata
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

from rnnjax.config import Config, ImageData, ImageModel, OptimConfig, TextData, TextModel, TrainConfig
from rnnjax.data import Dataset
from rnnjax.training.parallel import _cpu_fingerprint
from tests.toy import digits_like, program_of, reviews_like

STORED = Path(__file__).with_name("golden.json")
TOLERANCE = 1e-4


def train(config: Config, dataset: Dataset) -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, float]]:
    """Trains one epoch: the sums of each step, the final variables by collection, and the validation's metrics.

    What a restructuring changes of making and calling a program changes here, and nowhere else in this file.
    """
    program = program_of(config, dataset)
    state, steps = program.parallel.replicate(program.create_state(seed=1)), []
    for fed in program.feed_training(program.train_plan(seed=5, epoch=0), 0, seed=5):
        chunk, (state, sums) = fed.chunk, program.train(state, fed)
        sums = program.parallel.to_host(sums)
        sums["weight"] = sums.pop("weight")
        steps += [{name: values[k] for name, values in sums.items()} for k in np.flatnonzero(chunk.mask.any(1))]
    evaluation = program.evaluate(state.variables(), "validation")
    state = program.parallel.to_host(state)
    return steps, {"params": state.params, **state.model_state, "averaged": state.averaged}, evaluation


PROGRAMS = {
    "rows": (
        Config(
            data=ImageData(name="toy", batch_size=8, max_shift=1),
            model=ImageModel(features=(4, 3), dropout=0.2),
            optim=OptimConfig(learning_rate=0.02, weight_decay=0.01, label_smoothing=0.1, ema_decay=0.9),
            train=TrainConfig(epochs=1, steps_per_call=4),
        ),
        digits_like,
    ),
    "conv": (
        Config(
            data=ImageData(name="toy", batch_size=8, flip=True),
            model=ImageModel(cell="gru", conv=(3,), batch_norm=True, features=(4,), dense=(5,), pooling=("mean",)),
            optim=OptimConfig(
                optimizer="sgd", learning_rate=0.1, schedule="cosine", groups=("conv=0.5",), clip_norm=0.5
            ),
            train=TrainConfig(epochs=1, steps_per_call=2),
        ),
        digits_like,
    ),
    "texts": (
        Config(
            data=TextData(name="toy", batch_size=8, vocabulary_size=9, bucket_lengths=(4, 9)),
            model=TextModel(
                features=(3,),
                bidirectional=True,
                embedding_features=3,
                embedding_dropout=0.3,
                word_dropout=0.2,
                dropout=0.2,
                pooling=("mean", "max", "last"),
            ),
            optim=OptimConfig(optimizer="adam", learning_rate=0.02, schedule="constant", adversarial=0.1),
            train=TrainConfig(epochs=1, steps_per_call=2),
        ),
        reviews_like,
    ),
}
"""Configuration and data of each; an epoch of the data is six steps."""


def made_with() -> dict[str, str]:
    """What the bits depend on."""
    versions = {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "flax", "optax")}
    return {"cpu": _cpu_fingerprint(), **versions}


def compute() -> dict[str, Any]:
    """What the file holds, computed in this process."""
    programs = {name: _described(*train(config, data())) for name, (config, data) in PROGRAMS.items()}
    return {"made_with": made_with(), "programs": programs}


def computed() -> dict[str, Any]:
    """What the file holds, computed where it always is: on one CPU device, by one thread, with no option of JAX set."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "XLA_", "LIBTPU"))}
    environment |= {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
    command = [sys.executable, "-m", "tests.golden"]
    done = subprocess.run(
        command, env=environment, cwd=STORED.parents[1], capture_output=True, text=True, check=False, timeout=300
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


def differences(stored: Any, now: Any, *, exact: bool, path: str = "") -> list[str]:
    """Where two programs' descriptions differ, a line each; not exactly: by more than ``TOLERANCE``, relatively."""
    if isinstance(stored, dict):
        if stored.keys() != now.keys():
            return [f"{path}: {sorted(stored)} are now {sorted(now)}"]
        if not exact and "sha256" in stored:
            return _leaf_differences(stored, now, path)
        pairs = [differences(stored[name], now[name], exact=exact, path=f"{path}/{name}") for name in stored]
        return [line for lines in pairs for line in lines]
    if stored == now:
        return []
    if not exact and isinstance(stored, str):
        stored, now = float.fromhex(stored), float.fromhex(now)
        if math.isclose(stored, now, rel_tol=TOLERANCE):
            return []
    return [f"{path}: {stored} is now {now}"]


def _leaf_differences(stored: dict[str, Any], now: dict[str, Any], path: str) -> list[str]:
    kind, kind_now = [(leaf["dtype"], leaf["shape"]) for leaf in (stored, now)]
    if kind != kind_now:
        return [f"{path}: {kind} is now {kind_now}"]
    before, after = [{name: float.fromhex(leaf[name]) for name in ("sum", "norm")} for leaf in (stored, now)]
    # A sum may cancel; by how much two of them can differ, the norm says (Cauchy and Schwarz).
    most = {"norm": TOLERANCE * before["norm"]}
    most["sum"] = most["norm"] * math.sqrt(math.prod(stored["shape"]))
    close = all(abs(before[name] - after[name]) <= most[name] for name in most)
    return [] if close else [f"{path}: {before} is now {after}"]


def _described(steps: list[dict[str, Any]], variables: dict[str, Any], evaluation: dict[str, float]) -> dict[str, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(variables)
    return {
        "steps": {
            str(k): {name: _number(values[name]) for name in ("loss", "grad_norm", "correct")}
            for k, values in enumerate(steps)
        },
        "validation": {name: _number(value) for name, value in evaluation.items()},
        "leaves": {jax.tree_util.keystr(path, simple=True, separator="/"): _leaf(leaf) for path, leaf in leaves},
    }


def _number(value: Any) -> int | str:
    return int(value) if np.issubdtype(np.asarray(value).dtype, np.integer) else float(value).hex()


def _leaf(leaf: np.ndarray) -> dict[str, Any]:
    values = leaf.astype(np.float64).ravel()  # summed without rounding, in whatever order
    return {
        "dtype": str(leaf.dtype),
        "shape": list(leaf.shape),
        "sha256": hashlib.sha256(np.ascontiguousarray(leaf).tobytes()).hexdigest(),
        "sum": math.fsum(values).hex(),
        "norm": math.sqrt(math.fsum(values**2)).hex(),
    }


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        STORED.write_text(json.dumps(computed(), indent=1) + "\n", encoding="utf-8")
    else:
        json.dump(compute(), sys.stdout)
