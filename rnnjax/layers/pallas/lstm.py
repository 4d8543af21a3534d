"""The LSTM's recurrence as one kernel forward and one backward."""

import functools
from typing import Any

import jax.numpy as jnp

from rnnjax.layers.either import either
from rnnjax.layers.fused import lstm as fused
from rnnjax.layers.fused.derivatives import by_hand
from rnnjax.layers.fused.loops import PLAIN, Array, Extras, bias_gradient, kernel_gradient
from rnnjax.layers.pallas.calls import Loop, Program, Refs, begin, call, each_step, end, product
from rnnjax.layers.pallas.operands import as_fused, checked, flags_of, program_of


def lstm_sequence(
    projected: Array,
    recurrent_kernel: Array,
    carry: tuple[Array, Array],
    mask: Array | None = None,
    extras: Extras = PLAIN,
    *,
    bias: Array | None = None,
    reverse: bool = False,
    unroll: int = 1,
) -> tuple[tuple[Array, Array], Array]:
    """As :func:`rnnjax.layers.fused.lstm_sequence`, with float32 carries between the steps.

    Args:
      projected, recurrent_kernel, carry, mask, bias, reverse: as there.
      extras: resets; no dropout and no zoneout.
      unroll: steps of one iteration of the kernels.

    Returns:
      As there.

    Raises:
      UsageError: as there, and if these kernels cannot run here or of these arrays.
    """
    given = checked("lstm_sequence", 4, projected, recurrent_kernel, bias, tuple(carry), mask, extras)
    return _lstm(program_of(reverse, unroll), *given)


@by_hand(static=1)
def _lstm(program: Program, *operands: Any) -> Any:
    """``((c, h), outputs)`` of ``projected, recurrent_kernel, bias, carry, mask, starts, initial``."""
    return either(functools.partial(_run, program, False), functools.partial(_plain, program), *operands)


def _forward(program: Program, *operands: Any) -> Any:
    made, saved = either(functools.partial(_run, program, True), functools.partial(_plain_saving, program), *operands)
    _, recurrent_kernel, bias, _, mask, starts, initial = operands
    return made, (recurrent_kernel, bias, mask, starts, initial, *saved)


def _backward(program: Program, residuals: Any, cotangents: Any) -> tuple[Any, ...]:
    ways = functools.partial(_back, program), functools.partial(_plain_back, program)
    d_projected, d_carry, d_initial = either(*ways, residuals, cotangents)
    _, bias, *_, before, _ = residuals
    d_kernel = kernel_gradient(before, d_projected)
    return d_projected, d_kernel, bias_gradient(bias, d_projected), d_carry, None, None, d_initial


_lstm.defvjp(_forward, _backward)


def _run(program: Program, saving: bool, projected, recurrent_kernel, bias, carry, mask, starts, initial) -> Any:
    """The forward kernel; ``saving``: with what the backward pass needs, as the fused one saves it."""
    features, dtype = recurrent_kernel.shape[0], projected.dtype
    rows = {"first_c": carry[0], "first_h": carry[1]}
    rows |= {} if starts is None else {"initial_c": initial[0], "initial_h": initial[1]}
    whole = {"kernel": recurrent_kernel} | ({} if bias is None else {"bias": bias[None]})
    saved = {"gates": (4 * features, dtype), "cells": (features, dtype), "before": (features, dtype)}
    made = call(
        "lstm_forward",
        functools.partial(_forward_kernel, program, mask is not None, starts is not None),
        program,
        down=program.reverse,
        each={"projected": projected},
        rows=rows,
        whole=whole,
        flags=flags_of(mask, starts),
        makes={"outputs": (features, dtype)} | (saved if saving else {}),
        ends={"c": (features, dtype), "h": (features, dtype)},
        replaces={"gates": "projected"} if saving else {},
    )
    results = (made["c"], made["h"]), made["outputs"]
    return (results, tuple(made[name] for name in ("cells", "before", "gates"))) if saving else results


def _forward_kernel(
    program: Program, masked: bool, resetting: bool, loop: Loop, given: Refs, made: Refs, state: Refs
) -> None:
    features = state["c"].shape[-1]
    begin(given, state, {"c": "first_c", "h": "first_h"})

    def step(place: int, flags: list[Array]) -> None:
        cell, hidden = state["c"][...], state["h"][...]
        if resetting:
            cell = jnp.where(flags[-1], given["initial_c"][...].astype(cell.dtype), cell)
            hidden = jnp.where(flags[-1], given["initial_h"][...].astype(cell.dtype), hidden)
        sums = given["projected"][place].astype(jnp.float32)
        sums += product(hidden, given["kernel"][...], program.precision)
        if "bias" in given:
            sums += given["bias"][...].astype(jnp.float32)
        tanh = [jnp.tanh(sums[:, at * features : (at + 1) * features] * _INNER[at]) for at in range(4)]
        i, f, g, o = _gates(tanh)
        new_cell = f * cell + i * g
        new_hidden = o * jnp.tanh(new_cell)
        kept = lambda new, old: jnp.where(flags[0], new, old) if masked else new  # noqa: E731
        made["outputs"][place] = kept(new_hidden, 0.0).astype(made["outputs"].dtype)
        if "gates" in made:
            for at, each in enumerate(tanh):
                part = kept(each, 0.0).astype(made["gates"].dtype)
                made["gates"][place, :, at * features : (at + 1) * features] = part
            made["cells"][place] = cell.astype(made["cells"].dtype)
            made["before"][place] = hidden.astype(made["before"].dtype)
        state["c"][...], state["h"][...] = kept(new_cell, cell), kept(new_hidden, hidden)

    each_step(loop, given, features, step)
    end(loop, made, state)


# sigmoid(z) = tanh(z / 2) / 2 + 1/2 for i, f and o.
_INNER = (0.5, 0.5, 1.0, 0.5)


def _gates(tanh: list[Array]) -> list[Array]:
    """The gates i, f, g and o."""
    return [each if inner == 1 else 0.5 * each + 0.5 for each, inner in zip(tanh, _INNER, strict=True)]


def _back(program: Program, residuals: Any, cotangents: Any) -> Any:
    """The backward kernel: the cotangents of the projected inputs, of the carry and, with resets, of ``initial``."""
    recurrent_kernel, _, mask, starts, _, cells, _, gates = residuals
    (d_cell, d_hidden), d_outputs = cotangents
    features, dtype = recurrent_kernel.shape[0], gates.dtype
    ends = ["c", "h"] + ([] if starts is None else ["initial_c", "initial_h"])
    made = call(
        "lstm_backward",
        functools.partial(_backward_kernel, program, mask is not None, starts is not None),
        program,
        down=not program.reverse,
        each={"gates": gates, "cells": cells, "d_outputs": d_outputs},
        rows={"d_c": d_cell, "d_h": d_hidden},
        whole={"kernel": recurrent_kernel},
        flags=flags_of(mask, starts),
        makes={"d_projected": (4 * features, dtype)},
        ends=dict.fromkeys(ends, (features, dtype)),
        replaces={"d_projected": "gates"},
    )
    d_initial = None if starts is None else (made["initial_c"], made["initial_h"])
    return made["d_projected"], (made["c"], made["h"]), d_initial


def _backward_kernel(
    program: Program, masked: bool, resetting: bool, loop: Loop, given: Refs, made: Refs, state: Refs
) -> None:
    features = state["c"].shape[-1]
    begin(given, state, {"c": "d_c", "h": "d_h"} | dict.fromkeys(set(state) - {"c", "h"}))

    def step(place: int, flags: list[Array]) -> None:
        kept = lambda new, other: jnp.where(flags[0], new, other) if masked else new  # noqa: E731
        tanh = [given["gates"][place, :, at * features : (at + 1) * features].astype(jnp.float32) for at in range(4)]
        i, f, g, o = _gates(tanh)
        old_cell = given["cells"][place].astype(jnp.float32)
        tanh_cell = jnp.tanh(f * old_cell + i * g)
        after_cell, after_hidden = state["c"][...], state["h"][...]
        d_hidden = after_hidden + given["d_outputs"][place].astype(jnp.float32)
        d_cell = after_cell + d_hidden * o * (1 - tanh_cell * tanh_cell)
        d_gates = [d_cell * g, d_cell * old_cell, d_cell * i, d_hidden * tanh_cell]
        slopes = [(1 - each * each) * (inner * inner) for each, inner in zip(tanh, _INNER, strict=True)]
        d_sums = jnp.concatenate(
            [kept(d * slope, 0.0) for d, slope in zip(d_gates, slopes, strict=True)], axis=-1
        ).astype(made["d_projected"].dtype)
        made["d_projected"][place] = d_sums
        d_hidden = product(d_sums, given["kernel"][...], program.precision, transposed=True)
        d_hidden = d_hidden + jnp.where(flags[0], 0.0, after_hidden) if masked else d_hidden
        d_cell = kept(d_cell * f, after_cell)
        if resetting:
            for name, d in (("c", d_cell), ("h", d_hidden)):
                state[f"initial_{name}"][...] += jnp.where(flags[-1], d, 0.0)
            d_cell, d_hidden = (jnp.where(flags[-1], 0.0, d) for d in (d_cell, d_hidden))
        state["c"][...], state["h"][...] = d_cell, d_hidden

    each_step(loop, given, features, step)
    end(loop, made, state)


def _plain(program: Program, *operands: Any) -> Any:
    return fused._lstm(program.reverse, program.unroll, False, *as_fused(operands))


def _plain_saving(program: Program, *operands: Any) -> Any:
    made, residuals = fused._forward(program.reverse, program.unroll, False, *as_fused(operands))
    return made, residuals[-3:]


def _plain_back(program: Program, residuals: Any, cotangents: Any) -> Any:
    recurrent_kernel, bias, mask, starts, initial, *saved = residuals
    residuals = recurrent_kernel, bias, *as_fused((mask, starts, initial)), *saved
    found = fused._backward(program.reverse, program.unroll, False, residuals, cotangents)
    d_projected, _, _, d_carry, _, d_extras = found
    return d_projected, d_carry, d_extras.initial
