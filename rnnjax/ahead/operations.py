"""Floating-point operations of a function's matrix products and convolutions, counted before it is compiled.

XLA's own count (``compiled.cost_analysis()["flops"]``) is of no use for recurrences: a TPU's counts a loop's body
once however often it runs, a GPU's is empty, and a hand-written kernel counts nothing. Here the traced function is
read: what runs in a scan counts as often as the scan is long.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core
from jax.interpreters import partial_eval

# Primitives that hold products of which the traced function does not say how many.
_OPAQUE = frozenset({
    "rnn_fwd", "rnn_bwd", "dot_product_attention_fwd", "dot_product_attention_bwd", "ffi_call", "custom_linear_solve",
    "cholesky", "lu", "qr", "householder_product", "triangular_solve", "svd", "eig", "eigh", "schur",
    "ragged_dot_general", "scaled_dot", "scaled_matmul", "scaled_matmul_wrapper", "bcoo_dot_general",
    "wgmma", "wgmma_ref", "tcgen05_mma", "matmul_push_rhs", "matmul_acc_lhs", "matmul_pop",
})  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Product:
    """One matrix product or convolution of a traced function.

    Attributes:
      primitive: ``dot_general`` or ``conv_general_dilated``.
      shapes: of its arguments and its result: ``float32[16,128] float32[128,512] -> float32[16,512]``.
      operations: floating-point operations of one execution, two for a multiplication with its addition.
      bytes: of its arguments and its result, which one execution reads and writes at least if none stays in a cache.
      dtype: of its arguments, of two the wider.
      precision: that was asked for: ``default``, ``high`` or ``highest``.
      loops: how often each loop around it runs, the outermost first: the length of a scan, the steps of a Pallas
        kernel's grid, None for a ``while_loop``, whose trips nothing says.
      op_name: the modules and transformations that it was traced in; "transpose(" in it tells a backward pass.
    """

    primitive: str
    shapes: str
    operations: int
    bytes: int
    dtype: str
    precision: str
    loops: tuple[int | None, ...]
    op_name: str

    @property
    def runs(self) -> int:
        """Executions in one call of the function; a loop of unknown trips counts once."""
        return math.prod(1 if trips is None else trips for trips in self.loops)


@dataclasses.dataclass(frozen=True)
class Operations:
    """The products of one call of a function, on one device where it is spread over several.

    Attributes:
      products: each of them.
      uncounted: names of primitives in it that hold products which could not be counted, such as cuDNN's LSTM.
    """

    products: tuple[Product, ...]
    uncounted: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """Floating-point operations of all products; a loop of unknown trips counts once."""
        return sum(product.operations * product.runs for product in self.products)

    @property
    def in_loops(self) -> int:
        """Those of the products within a loop: one after another over time, of small matrices."""
        return self.deeper(0)

    @property
    def by_kind(self) -> dict[tuple[str, str], int]:
        """The total by dtype and precision."""
        found: dict[tuple[str, str], int] = {}
        for product in self.products:
            kind = product.dtype, product.precision
            found[kind] = found.get(kind, 0) + product.operations * product.runs
        return found

    @property
    def outside(self) -> int:
        """Those of the products outside of all loops: whole sequences and batches at once."""
        return self.total - self.in_loops

    def deeper(self, loops: int) -> int:
        """Those of the products within more than so many loops.

        Where a scan goes over training steps, all of a step is in one loop, and the loops over time are the deeper
        ones: ``deeper(1)``.
        """
        return sum(product.operations * product.runs for product in self.products if len(product.loops) > loops)

    @property
    def bytes(self) -> int:
        """Bytes that all products read and write if none stays in a cache between two of them."""
        return sum(product.bytes * product.runs for product in self.products)

    @property
    def unknown_trips(self) -> bool:
        """Whether a product stands in a loop of unknown trips, so that the counts are lower bounds."""
        return any(None in product.loops for product in self.products)


def operations(function: Callable[..., Any], *shapes: Any, platform: str | None = None) -> Operations:
    """The floating-point operations of a function's products and convolutions in one call.

    A product of ``[m, k]`` and ``[k, n]`` has 2·m·k·n, for each pair that it is batched over. A convolution
    counts as XLA counts it: two for each element of a kernel that meets an element of the input; what meets
    padding, or a zero between the elements of a dilated input, does not count. What is element-wise, a sum or a
    gather counts nothing. What a ``jax.checkpoint`` computes again counts again; what nothing needs does not count.

    Of a ``lax.cond`` the branch with most operations counts, of a ``lax.platform_dependent`` that of ``platform``; a
    ``while_loop`` counts once, its condition too, and ``unknown_trips`` says that it did. In ``shard_map`` and ``pmap``
    the shapes are those of one device, so that its operations count; what stands outside of them counts whole. A
    Pallas kernel's products count once for each step of its grid.

    Args:
      function: what ``jax.jit`` could trace; compiled or mapped functions too.
      shapes: its arguments: trees of arrays or of ``jax.ShapeDtypeStruct``.
      platform: ``cpu``, ``gpu`` or ``tpu``, for which it will be compiled; None: unknown, and the branch with most
        operations counts here too.
    """
    traced = jax.make_jaxpr(function)(*shapes).jaxpr
    # A hand-written backward pass computes every argument's gradient, wanted or not; XLA drops what nothing reads.
    needed, _ = partial_eval.dce_jaxpr(traced, [True] * len(traced.outvars))
    found, opaque = _jaxpr(needed, (), "", platform)
    return Operations(tuple(found), tuple(sorted(opaque)))


def _jaxpr(
    jaxpr: core.Jaxpr, loops: tuple[int | None, ...], around: str, platform: str | None
) -> tuple[list[Product], set[str]]:
    """The products in a jaxpr that stands in ``loops`` under the names ``around``, and the names of what is opaque."""
    found: list[Product] = []
    opaque: set[str] = set()
    for equation in jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        op_name = f"{around}/{equation.source_info.name_stack}".strip("/")
        if name in _COUNTS:
            found.append(_product(equation, loops, op_name))
            continue
        if name in _OPAQUE:
            opaque.add(name)
            continue
        within = (*loops, *_around(name, params))
        inner = _of_platform(params, platform) if name == "cond" else core.jaxprs_in_params(params)
        inside = [_jaxpr(each, within, op_name, platform) for each in inner]
        if name == "cond":
            inside = [max(inside, key=lambda branch: Operations(tuple(branch[0])).total)]
        for products, unknown in inside:
            found += products
            opaque |= unknown
    return found, opaque


def _of_platform(params: dict[str, Any], platform: str | None) -> list[core.Jaxpr]:
    """The branches of a ``cond`` that may run: of one that decides by the platform, that platform's alone."""
    branches = [branch.jaxpr for branch in params["branches"]]
    platforms = params.get("branches_platforms")
    if platforms is None or platform is None:
        return branches
    names = {"gpu", "cuda"} if platform == "gpu" else {platform}
    return [next(b for b, of in zip(branches, platforms, strict=True) if of is None or names.intersection(of))]


def _around(name: str, params: dict[str, Any]) -> tuple[int | None, ...]:
    """How often a primitive runs what is in it, where it is a loop."""
    if name == "scan":
        return (params["length"],)
    if name == "while":
        return (None,)
    if name == "pallas_call":
        grid = params["grid_mapping"].grid
        return (math.prod(grid) if all(isinstance(size, int) for size in grid) else None,) if grid else ()
    return ()


def _product(equation: core.JaxprEqn, loops: tuple[int | None, ...], op_name: str) -> Product:
    arguments, results = _arrays(equation.invars), _arrays(equation.outvars)
    return Product(
        primitive=equation.primitive.name,
        shapes=f"{' '.join(map(_written, arguments))} -> {' '.join(map(_written, results))}",
        operations=_COUNTS[equation.primitive.name](equation),
        bytes=sum(aval.size * aval.dtype.itemsize for aval in (*arguments, *results)),
        dtype=str(jnp.result_type(*(aval.dtype for aval in arguments))),
        precision=_precision(equation.params.get("precision")),
        loops=loops,
        op_name=op_name,
    )


def _precision(asked: Any) -> str:
    """The higher one of two arguments' precisions, as JAX names it; of an algorithm of its own, ``default``."""
    both = asked if isinstance(asked, tuple) else (asked,)
    return max(
        (one for one in both if isinstance(one, lax.Precision)),
        default=lax.Precision.DEFAULT,
        key=lambda one: one.value,
    ).name.lower()


def _arrays(variables: Sequence[Any]) -> list[Any]:
    return [variable.aval for variable in variables]


def _written(aval: Any) -> str:
    return f"{aval.dtype}[{','.join(map(str, aval.shape))}]"


def _dot(equation: core.JaxprEqn) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left, _ = _arrays(equation.invars)
    (result,) = _arrays(equation.outvars)
    return 2 * result.size * math.prod(left.shape[axis] for axis in contracted)


def _convolution(equation: core.JaxprEqn) -> int:
    """As XLA's HloCostAnalysis::HandleConvolution."""
    params, dims = equation.params, equation.params["dimension_numbers"]
    inputs, kernel, outputs = (aval.shape for aval in _arrays((*equation.invars, *equation.outvars)))
    met = math.prod(
        _meetings(inputs[i], kernel[k], outputs[o], *window)
        for i, k, o, *window in zip(
            dims.lhs_spec[2:], dims.rhs_spec[2:], dims.out_spec[2:], params["window_strides"], params["padding"],
            params["lhs_dilation"], params["rhs_dilation"], strict=True,
        )
    )  # fmt: skip
    batch, channels = (inputs[axis] for axis in dims.lhs_spec[:2])
    features = kernel[dims.rhs_spec[0]]
    return 2 * met * features * (batch // params["batch_group_count"]) * (channels // params["feature_group_count"])


def _meetings(inputs, kernel, outputs, stride, padding, input_dilation, kernel_dilation) -> int:
    """Along one axis, how many pairs of an output and an element of the kernel meet an element of the input."""
    starts = np.arange(outputs) * stride - padding[0]
    count = 0
    for element in range(kernel):
        places = starts + element * kernel_dilation
        inside = (places >= 0) & (places <= (inputs - 1) * input_dilation)
        count += int(np.count_nonzero(inside & (places % input_dilation == 0)))
    return count


_COUNTS: dict[str, Callable[[core.JaxprEqn], int]] = {"dot_general": _dot, "conv_general_dilated": _convolution}
