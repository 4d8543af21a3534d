"""Reading the row of the next step, which after the last step is any row.

``lax.dynamic_index_in_dim`` reads within bounds whatever the index, and what a loop reads after its last step it does
not use. ``jax.experimental.checkify`` takes it for a mistake all the same. So it is an operation of its own here, which
compiles to that one.

Axes: T time.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

Array = jax.Array


def next_row(rows: Array, index: Array, row: Array) -> Array:
    """Of ``rows [T, ...]`` the one at ``index``, or any where there is none; ``row`` is of the same type."""
    return _next_row.bind(rows, index, row)


def _read(rows: Any, index: Any, _: Any) -> Array:
    return lax.dynamic_index_in_dim(rows, index, 0, keepdims=False)


def _jvp(primals: Any, tangents: Any) -> Any:
    (rows, index, row), dots = primals, tangents[0]
    return next_row(rows, index, row), dots if isinstance(dots, ad.Zero) else next_row(dots, index, row)


def _transpose(cotangent: Any, rows: Any, index: Any, row: Any) -> list[Any]:
    if isinstance(cotangent, ad.Zero):
        return [None, None, None]
    zeros = ad.instantiate_zeros(ad.Zero(rows.aval))
    return [lax.dynamic_update_index_in_dim(zeros, cotangent, index, 0), None, None]


def _batch(arrays: Any, axes: Any) -> tuple[Array, int]:
    rows, index, _ = arrays
    if axes[1] is not None:
        raise NotImplementedError("loops over time count their steps once for all rows of a batch")
    if axes[0] is None:
        return next_row(rows, index, rows[0]), None  # pyright: ignore[reportReturnType]
    rows = jnp.moveaxis(rows, axes[0], 1)
    return next_row(rows, index, rows[0]), 0


_next_row = Primitive("next_row")
_next_row.def_impl(_read)
_next_row.def_abstract_eval(lambda rows, index, row: row)
mlir.register_lowering(_next_row, mlir.lower_fun(_read, multiple_results=False))
ad.primitive_jvps[_next_row] = _jvp
ad.primitive_transposes[_next_row] = _transpose
batching.primitive_batchers[_next_row] = _batch
