"""A cell's numbers: gradients against the slopes of its values, and bfloat16 against float32."""

from collections.abc import Iterator

import flax.errors
import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.errors import RnnjaxError, UsageError
from rnnjax.layers.recurrence import RNN
from rnnjax.testing.compare import require, require_slope
from rnnjax.testing.trial import PLAIN, Trial, ran_by


def slopes(trial: Trial) -> Iterator[str]:
    resets = np.zeros(trial.size[:2], bool)
    resets[0, trial.size[1] // 2] = True
    given = trial.given._replace(mask=trial.holes(), resets=resets)
    for exact in (True, False):
        with jax.enable_x64(exact):
            wide = lambda leaf: np.asarray(leaf, wider(np.asarray(leaf).dtype) if exact else None)  # noqa: E731, B023
            variables, moved = jax.tree.map(wide, (trial.variables, given))
            run = jax.jit(ran_by(RNN(trial.cell), trial.changing))
            try:
                like = jax.eval_shape(run, variables, *moved)
            except (RnnjaxError, TypeError, ValueError, flax.errors.FlaxError) as error:
                require(exact, f"{trial.name} cannot be differentiated {trial.shown()}: {error}")
                continue
            made = [leaf.dtype for leaf in jax.tree.leaves((like.outputs, like.carry)) if leaf.dtype.kind in "fcV"]
            if any(dtype != (wider(dtype) if exact else np.promote_types(dtype, np.float32)) for dtype in made):
                continue

            def value(at, run=run, variables=variables, moved=moved):
                given = moved._replace(inputs=at["inputs"], carry=at["initial_carry"], reset_carry=at["reset_carry"])
                return run({**variables, "params": at["params"]}, *given).loss

            at = {"params": variables["params"], "inputs": moved.inputs}
            at |= {"initial_carry": moved.carry, "reset_carry": moved.reset_carry}
            said = f"{trial.name}: its gradient is not the slope of its values {trial.shown()}"
            require_slope(value, run(variables, *moved).gradients, at, exact, trial.rng, said)
            yield f"finite differences (float{64 if exact else 32})"
            return


def wider(dtype: np.dtype) -> np.dtype:
    """The dtype of 64 bits, or of 128 for complex numbers, that stands for one of floats; others stay."""
    return np.dtype({"f": np.float64, "c": np.complex128, "V": np.float64}.get(dtype.kind, dtype))


def half(trial: Trial) -> Iterator[str]:
    given, said = trial.given, f"{trial.name}: with bfloat16 inputs and products"
    inputs = jnp.asarray(given.inputs, jnp.bfloat16)
    try:
        layer = RNN(trial.cell.clone(dtype=jnp.bfloat16), implementation=PLAIN)
        run = jax.jit(lambda v, x: layer.apply(v, x, mask=given.mask, mutable=trial.changing)[0])
        last, outputs = run(trial.variables, inputs)
    except UsageError:  # refused in so many words
        return
    except (TypeError, ValueError) as error:
        raise AssertionError(f"{said} it does not run {trial.shown()}: {error}") from error
    require(outputs.dtype == jnp.bfloat16, f"{said} its outputs are {outputs.dtype} {trial.shown()}")
    exact = jax.jit(lambda v, x: trial.forward(v, x, mask=given.mask))(trial.variables, given.inputs)
    rough = {"outputs": outputs.astype(jnp.float32), "carry": jax.tree.map(_single, last)}
    single = {"outputs": exact[1].astype(jnp.float32), "carry": jax.tree.map(_single, exact[0])}
    trial.require_same(rough, single, "with bfloat16 inputs and products it is far from what it is in float32", 0.1)
    yield "bfloat16"


def _single(leaf: jax.Array) -> jax.Array:
    return leaf.astype(jnp.float32) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf
