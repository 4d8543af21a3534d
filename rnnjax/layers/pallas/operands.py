"""What the kernels can run: where, of which arrays, and how they are handed over."""

import contextlib
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from rnnjax.errors import UsageError
from rnnjax.layers import target
from rnnjax.layers.fused.loops import Array, Extras, operands
from rnnjax.layers.pallas.calls import Program

LANES = 128
MOST_FEATURES = 512
"""Of a larger layer the recurrent kernel takes too much of the 16 MiB that every chip has."""
# JAX keeps what it traced under this value too: a function traced in a block below is not taken outside of it.
_INTERPRETED = jax.make_user_context(None)


def interpreted(how: Any = True) -> contextlib.AbstractContextManager[None]:
    """What is traced in the block, runs these kernels by interpretation, on any platform, and slowly.

    Args:
      how: True, or ``jax.experimental.pallas.tpu.InterpretParams``, which imitates a TPU's memories more closely.
    """
    return _INTERPRETED(how)


def obstacle(features: int, dtype: Any, sizes: tuple[Any, ...]) -> str | None:
    """Why the kernels cannot run here, or None where they can.

    Args:
      features: H.
      dtype: of the products.
      sizes: T and B.
    """
    platform = target.platform()
    if jnp.dtype(dtype) not in (jnp.float32, jnp.bfloat16):
        return f"its products are {jnp.dtype(dtype)}, and the kernels know float32 and bfloat16"
    if features > MOST_FEATURES:
        return f"it has {features} features, and the recurrent kernel fits a TPU's memory up to {MOST_FEATURES}"
    if not all(isinstance(size, int) for size in sizes):
        return "its number of steps or of rows is free, and the kernels are made for one"
    if 0 in sizes:
        return f"it has a {'batch without rows' if sizes[0] else 'sequence without steps'}"
    if _INTERPRETED.value:
        return None
    if platform != "tpu":
        return f"its kernels are for a TPU, and JAX runs on {platform}"
    if features % LANES:
        return f"it has {features} features, and on a TPU they must be a multiple of {LANES}"
    return None


def checked(name: str, gates: int, projected, recurrent_kernel, bias, carry, mask, extras: Extras) -> tuple[Any, ...]:
    """The arrays in ``projected``'s dtype, with flags ``[T, B]``: mask, starts and ``initial`` come last.

    Raises:
      UsageError: if shapes do not fit together, and if the kernels cannot run.
    """
    if extras.noise is not None or extras.stay is not None:
        raise UsageError(f"{name}: the Pallas kernels have resets alone of the extras, no noise and no stay")
    *arrays, _, extras = operands(name, gates, projected, recurrent_kernel, bias, carry, mask, extras)
    reason = obstacle(recurrent_kernel.shape[0], projected.dtype, projected.shape[:2])
    if reason is not None:
        raise UsageError(f"{name}: the Pallas kernels cannot run here: {reason}")
    return *arrays, mask, None if extras.starts is None else extras.starts[..., 0], extras.initial


def program_of(reverse: bool, unroll: int) -> Program:
    """The program of what is traced here."""
    return Program(reverse, unroll, _precision(), _INTERPRETED.value or False)


def flags_of(mask: Array | None, starts: Array | None) -> list[Array]:
    """Those that are there: the mask first and the starts last."""
    return [flags for flags in (mask, starts) if flags is not None]


def as_fused(operands: tuple[Any, ...]) -> tuple[Any, ...]:
    """Operands that end with mask, starts and ``initial``, as the fused recurrences have them inside."""
    *others, mask, starts, initial = operands
    column = lambda flags: None if flags is None else flags[..., None]  # noqa: E731
    return *others, column(mask), Extras(starts=column(starts), initial=initial)


def _precision() -> lax.Precision:
    """Of float32 products, by ``jax.default_matmul_precision``; Mosaic knows the lowest and the highest alone."""
    wanted = jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]
    low = wanted in (None, "default", "fastest", "bfloat16", "BF16_BF16_F32")
    return lax.Precision.DEFAULT if low else lax.Precision.HIGHEST
