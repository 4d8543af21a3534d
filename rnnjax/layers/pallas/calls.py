"""What the kernels share: how a loop over time becomes a grid, how arrays come into it, and its products.

A grid has the tiles of the batch outside and time inside. Of an array ``[T, B, W]`` a kernel sees the steps of one
iteration and the rows of one tile, brought while the iteration before runs; of ``[B, W]`` the rows of the tile; and of
any other all, which is brought once. Where the last tile or the last iteration is not full, a kernel reads what is
undefined in the rows and steps that are missing, and what it writes there goes nowhere. No array is padded for it.

Axes: T time, B batch (exactly one axis), W any features, H hidden features.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

Array = jax.Array
Refs = dict[str, Any]

MOST_ROWS = 256
"""Of a tile. It was chosen, not measured."""
ENOUGH_ROWS = 128
"""As many as the rows of a matrix unit: fewer for the sake of several steps in one iteration would leave it idle."""
ROOM = 14 * 2**20
"""Bytes that a kernel's blocks may take, of the 16 MiB that one may use by default and that every chip has.

So none asks for more. What is computed in between takes little: of an LSTM with 512 features in float32, the compiler
for a v5e allots 9.0 MiB, among them the 4 MiB of the recurrent kernel.
"""


class Program(NamedTuple):
    """What is the same for all operands of a recurrence, forward and backward.

    Attributes:
      reverse: whether it runs from the last step to the first.
      unroll: steps of one iteration of the grid.
      precision: of float32 products.
      interpret: how kernels are interpreted; False: they are compiled.
    """

    reverse: bool
    unroll: int
    precision: lax.Precision
    interpret: Any


class Loop(NamedTuple):
    """A grid over T steps and B rows; ``down``: from the last step to the first."""

    steps: int
    batch: int
    rows: int
    unroll: int
    down: bool

    @property
    def grid(self) -> tuple[int, int]:
        """Tiles of the batch, and iterations of each."""
        return pl.cdiv(self.batch, self.rows), pl.cdiv(self.steps, self.unroll)

    def at(self, iteration: Any) -> Any:
        """The place in time of an iteration's block."""
        return self.grid[1] - 1 - iteration if self.down else iteration


def call(
    name: str,
    kernel: Callable[..., None],
    program: Program,
    *,
    down: bool,
    each: dict[str, Array],
    rows: dict[str, Array],
    whole: dict[str, Array],
    flags: list[Array],
    makes: dict[str, tuple[int, Any]],
    ends: dict[str, tuple[int, Any]],
    replaces: dict[str, str],
) -> dict[str, Array]:
    """Runs a kernel over all steps.

    Args:
      name: under which it stands in a profile.
      kernel: ``(loop, given, made, state)``, the last three references by their names.
      program: the recurrence's.
      down: from the last step to the first.
      each: arrays ``[T, B, W]``, of which there is at least one.
      rows: arrays ``[B, W]``.
      whole: arrays of any shape.
      flags: ``[T, B]`` booleans; see :func:`each_step`.
      makes: width and dtype of the results ``[T, B, W]``.
      ends: width and dtype of the results ``[B, W]``. The state is what they are made of: float32, of these names.
      replaces: which of the results takes the place of which array.
    """
    loop = _loop(program, down, each, rows, whole, makes, ends)
    of_steps = lambda width: pl.BlockSpec((loop.unroll, loop.rows, width), lambda b, t: (loop.at(t), b, 0))  # noqa: E731
    of_rows = lambda width: pl.BlockSpec((loop.rows, width), lambda b, t: (b, 0))  # noqa: E731
    given, specs = each | rows | whole, {name: of_steps(leaf.shape[-1]) for name, leaf in each.items()}
    specs |= {name: of_rows(leaf.shape[-1]) for name, leaf in rows.items()}
    specs |= {name: _whole(leaf.shape) for name, leaf in whole.items()}
    if flags:
        given["flags"] = _tiled(flags, loop)
        block = (None, loop.unroll, len(flags), loop.rows)
        specs["flags"] = pl.BlockSpec(block, lambda b, t: (b, loop.at(t), 0, 0))
    # As its operands, a result varies over no axis of a mesh: see rnnjax.layers.either.
    alike = {"manual_axis_type": jax.typeof(next(iter(each.values()))).manual_axis_type}
    sizes = {name: (loop.steps, loop.batch, width) for name, (width, _) in makes.items()}
    sizes |= {name: (loop.batch, width) for name, (width, _) in ends.items()}
    shapes = {name: jax.ShapeDtypeStruct(sizes[name], dtype, **alike) for name, (_, dtype) in (makes | ends).items()}
    run = pl.pallas_call(
        functools.partial(kernel, loop),
        shapes,
        grid=loop.grid,
        in_specs=(specs,),
        out_specs={name: (of_steps if name in makes else of_rows)(like.shape[-1]) for name, like in shapes.items()},
        scratch_shapes=({name: pltpu.VMEM((loop.rows, width), jnp.float32) for name, (width, _) in ends.items()},),
        # By their places among the leaves of both dictionaries, which JAX sorts.
        input_output_aliases={sorted(given).index(old): sorted(shapes).index(new) for new, old in replaces.items()},
        compiler_params=pltpu.CompilerParams(dimension_semantics=("parallel", "arbitrary")),
        interpret=program.interpret,
        name=name,
    )
    return run(given)


def _whole(shape: tuple[int, ...]) -> pl.BlockSpec:
    return pl.BlockSpec(shape, lambda b, t: (0,) * len(shape), pipeline_mode=pl.Buffered(1))


def _loop(program: Program, down: bool, each, rows, whole, makes, ends) -> Loop:
    """With as many steps in one iteration as asked for, and rows in a tile, as have room."""
    given = lambda arrays: sum(leaf.shape[-1] * leaf.dtype.itemsize for leaf in arrays.values())  # noqa: E731
    made = lambda results: sum(width * jnp.dtype(dtype).itemsize for width, dtype in results.values())  # noqa: E731
    steps, batch, _ = next(iter(each.values())).shape
    room = ROOM - sum(leaf.size * leaf.dtype.itemsize for leaf in whole.values())
    # Of each block there are two, one of which is on its way; and the state.
    of_step, of_row = 2 * (given(each) + made(makes)), 2 * (given(rows) + made(ends))
    of_row += sum(4 * width for width, _ in ends.values())
    unroll = max(1, min(program.unroll, steps, (room // min(batch, ENOUGH_ROWS) - of_row) // of_step))
    most = min(MOST_ROWS, max(16, room // (unroll * of_step + of_row)))
    tiles = pl.cdiv(batch, most)
    # Of several tiles, all have rows that fill the registers of 16 bits as well.
    tile = batch if tiles == 1 else pl.cdiv(pl.cdiv(batch, tiles), 16) * 16
    return Loop(steps, batch, tile, unroll, down)


def _tiled(flags: list[Array], loop: Loop) -> Array:
    """Flags ``[T, B]`` as float32 ``[tiles, T, flags, rows of a tile]``, with the batch in the lanes.

    As ``[T, B, 1]`` a TPU would keep 128 numbers for each.
    """
    tiles, rows = loop.grid[0], loop.rows
    array = jnp.stack([flag.astype(jnp.float32) for flag in flags], axis=1)
    array = jnp.pad(array, ((0, 0), (0, 0), (0, tiles * rows - loop.batch)))
    return jnp.moveaxis(array.reshape(loop.steps, len(flags), tiles, rows), 2, 0)


def each_step(loop: Loop, given: Refs, width: int, step: Callable[..., None]) -> None:
    """Calls ``step(place, flags)`` for the steps of this iteration, in the order of the loop.

    Args:
      loop: the kernel's.
      given: the kernel's; the flags are among them if there are any.
      width: of the flags that ``step`` gets, booleans ``[rows, width]`` in a list.
      step: runs the step at ``place`` in the blocks.
    """
    start = loop.at(pl.program_id(1)) * loop.unroll
    for place in reversed(range(loop.unroll)) if loop.down else range(loop.unroll):

        def run(place: int = place) -> None:
            rows = given["flags"].shape[-2] if "flags" in given else 0
            step(place, [_column(given["flags"][place, row : row + 1, :], width) for row in range(rows)])

        if loop.steps % loop.unroll:
            pl.when(start + place < loop.steps)(run)
        else:
            run()


def _column(row: Array, width: int) -> Array:
    """Flags ``[1, rows]``, laid along the lanes, as booleans ``[rows, width]``."""
    count = row.shape[-1]
    places = [lax.broadcasted_iota(jnp.int32, (count, count), axis) for axis in (0, 1)]
    diagonal = jnp.where(places[0] == places[1], jnp.broadcast_to(row, (count, count)), 0.0)
    return jnp.broadcast_to(diagonal.sum(axis=1, keepdims=True), (count, width)) > 0.5


def begin(given: Refs, state: Refs, names: dict[str, str | None]) -> None:
    """In the first iteration of a tile: the state of each name is what is given of the other, or zero."""

    @pl.when(pl.program_id(1) == 0)
    def _() -> None:
        for name, source in names.items():
            value = jnp.zeros(state[name].shape, jnp.float32) if source is None else given[source][...]
            state[name][...] = value.astype(jnp.float32)


def end(loop: Loop, made: Refs, state: Refs) -> None:
    """In the last iteration of a tile: the state is put out."""

    @pl.when(pl.program_id(1) == loop.grid[1] - 1)
    def _() -> None:
        for name, value in state.items():
            made[name][...] = value[...].astype(made[name].dtype)


def product(rows: Array, kernel: Array, precision: lax.Precision, *, transposed: bool = False) -> Array:
    """``rows @ kernel``, or with the transposed kernel, in float32, of operands in the kernel's dtype."""
    dims = (((1,), (1 if transposed else 0,)), ((), ()))
    exact = precision if kernel.dtype == jnp.float32 else lax.Precision.DEFAULT
    return lax.dot_general(
        rows.astype(kernel.dtype), kernel, dims, precision=(exact, exact), preferred_element_type=jnp.float32
    )
