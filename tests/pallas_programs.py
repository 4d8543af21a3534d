"""Compiles layers with the kernels for a TPU that is not there: ``python -m tests.pallas_programs tpu FOLDER``.

A process of its own, as in :mod:`tests.ahead_programs`.
"""

import functools
import sys
from pathlib import Path

from tests.ahead_programs import compile_only

STEPS, BATCH, WIDTH, FEATURES = 400, 128, 64, 256
CASES = [("lstm", "bfloat16"), ("gru", "float32")]


def loss(layer, variables, inputs, lengths):
    """Of all outputs and the last carry."""
    import jax
    import jax.numpy as jnp

    made = layer.apply(variables, inputs, lengths=lengths)
    return sum((leaf.astype(jnp.float32) ** 2).sum() for leaf in jax.tree.leaves(made))


def bidirectional(name: str, dtype: str, features: int = FEATURES):
    """Both directions of a cell."""
    from rnnjax.layers.cells import CELLS
    from rnnjax.layers.recurrence import RNN, Bidirectional

    cell = functools.partial(CELLS[name], features, dtype=dtype, param_dtype=dtype)
    return Bidirectional(*(RNN(cell(), reverse=reverse, implementation="pallas") for reverse in (False, True)))


def _main(platform: str, folder: Path) -> None:
    import jax
    import jax.numpy as jnp
    from jax.sharding import SingleDeviceSharding

    from rnnjax.layers.target import tracing_for

    devices = compile_only(platform)
    alone = SingleDeviceSharding(devices[0])

    def write(name, function, *shapes):
        with tracing_for("tpu"):
            text = function.lower(*shapes).compile().as_text()
        (folder / f"{name}.hlo").write_text(text, encoding="utf-8")

    def shapes(layer, dtype, *leading, **options):
        inputs = jax.ShapeDtypeStruct((*leading, BATCH, STEPS, WIDTH), dtype, **options)
        lengths = jax.ShapeDtypeStruct((*leading, BATCH), jnp.int32, **options)
        with tracing_for("tpu"):
            like = jax.eval_shape(layer.init, jax.random.key(0), jax.ShapeDtypeStruct(inputs.shape[-3:], dtype))
        like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, **options), like)
        return like, inputs, lengths

    for name, dtype in CASES:
        layer = bidirectional(name, dtype)
        of = functools.partial(loss, layer)
        write(f"{name}_gradient", jax.jit(jax.grad(of)), *shapes(layer, dtype, sharding=alone))
        write(f"{name}_loss", jax.jit(of), *shapes(layer, dtype, sharding=alone))
    layer = bidirectional("lstm", "float32", 512)
    of = functools.partial(loss, layer)
    write("largest_gradient", jax.jit(jax.grad(of)), *shapes(layer, "float32", sharding=alone))
    layer = bidirectional("gru", "bfloat16")
    of = lambda v, x, n: jax.lax.psum(jax.grad(functools.partial(loss, layer))(v, x, n), "batch")  # noqa: E731
    spread = jax.pmap(of, "batch", in_axes=(None, 0, 0), out_axes=None, devices=devices)
    write("spread_gradient", spread, *shapes(layer, "bfloat16", len(devices)))


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]))
