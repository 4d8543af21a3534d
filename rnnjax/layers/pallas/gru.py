"""The GRU's recurrence as one kernel forward and one backward."""

import functools
from typing import Any

import jax.numpy as jnp

from rnnjax.errors import UsageError
from rnnjax.layers.either import either
from rnnjax.layers.fused import gru as fused
from rnnjax.layers.fused.derivatives import by_hand
from rnnjax.layers.fused.loops import PLAIN, Array, Extras, bias_gradient, keep, kernel_gradient
from rnnjax.layers.pallas.calls import Loop, Program, Refs, begin, call, each_step, end, product
from rnnjax.layers.pallas.operands import as_fused, checked, flags_of, program_of


def gru_sequence(
    projected: Array,
    recurrent_kernel: Array,
    recurrent_bias: Array,
    carry: Array,
    mask: Array | None = None,
    extras: Extras = PLAIN,
    *,
    bias: Array | None = None,
    reverse: bool = False,
    unroll: int = 1,
) -> tuple[Array, Array]:
    """As :func:`rnnjax.layers.fused.gru_sequence`, with a float32 carry between the steps.

    Args:
      projected, recurrent_kernel, recurrent_bias, carry, mask, bias, reverse: as there.
      extras, unroll: as in :func:`rnnjax.layers.pallas.lstm_sequence`.

    Returns:
      As there.

    Raises:
      UsageError: as there, and if these kernels cannot run here or of these arrays.
    """
    given = checked("gru_sequence", 3, projected, recurrent_kernel, bias, carry, mask, extras)
    if recurrent_bias.shape != carry.shape[-1:]:
        raise UsageError(f"gru_sequence: recurrent_bias must have shape {carry.shape[-1:]}, got {recurrent_bias.shape}")
    return _gru(program_of(reverse, unroll), recurrent_bias.astype(projected.dtype), *given)


@by_hand(static=1)
def _gru(program: Program, *operands: Any) -> Any:
    """``(h, outputs)``: ``recurrent_bias, projected, recurrent_kernel, bias, carry, mask, starts, initial``."""
    return either(functools.partial(_run, program, False), functools.partial(_plain, program), *operands)


def _forward(program: Program, *operands: Any) -> Any:
    made, saved = either(functools.partial(_run, program, True), functools.partial(_plain_saving, program), *operands)
    _, _, recurrent_kernel, bias, _, mask, starts, initial = operands
    return made, (recurrent_kernel, bias, mask, starts, initial, *saved)


def _backward(program: Program, residuals: Any, cotangents: Any) -> tuple[Any, ...]:
    ways = functools.partial(_back, program), functools.partial(_plain_back, program)
    d_projected, d_inner, d_carry, d_initial = either(*ways, residuals, cotangents)
    _, bias, *_, before, _, _ = residuals
    gates = 2 * before.shape[-1]
    d_kernel = [kernel_gradient(before, d) for d in (d_projected[..., :gates], d_inner)]
    d_bias = bias_gradient(bias, d_projected)
    d_kernel = jnp.concatenate(d_kernel, axis=-1)
    return d_inner.sum((0, 1)), d_projected, d_kernel, d_bias, d_carry, None, None, d_initial


_gru.defvjp(_forward, _backward)


def _run(
    program: Program, saving: bool, recurrent_bias, projected, recurrent_kernel, bias, carry, mask, starts, initial
) -> Any:
    """The forward kernel; ``saving``: with what the backward pass needs.

    That is the hidden state before each step, the gates r, z and n, and what r multiplies within n.
    """
    features, dtype = recurrent_kernel.shape[0], projected.dtype
    whole = {"kernel": recurrent_kernel, "recurrent_bias": recurrent_bias[None]}
    saved = {"gates": (3 * features, dtype), "inner": (features, dtype), "before": (features, dtype)}
    made = call(
        "gru_forward",
        functools.partial(_forward_kernel, program, mask is not None, starts is not None),
        program,
        down=program.reverse,
        each={"projected": projected},
        rows={"first": carry} | ({} if starts is None else {"initial": initial}),
        whole=whole | ({} if bias is None else {"bias": bias[None]}),
        flags=flags_of(mask, starts),
        makes={"outputs": (features, dtype)} | (saved if saving else {}),
        ends={"h": (features, dtype)},
        replaces={"gates": "projected"} if saving else {},
    )
    results = made["h"], made["outputs"]
    return (results, tuple(made[name] for name in ("before", "gates", "inner"))) if saving else results


def _forward_kernel(
    program: Program, masked: bool, resetting: bool, loop: Loop, given: Refs, made: Refs, state: Refs
) -> None:
    features = state["h"].shape[-1]
    begin(given, state, {"h": "first"})

    def step(place: int, flags: list[Array]) -> None:
        hidden = state["h"][...]
        if resetting:
            hidden = jnp.where(flags[-1], given["initial"][...].astype(hidden.dtype), hidden)
        rows = given["projected"][place].astype(jnp.float32)
        if "bias" in given:
            rows += given["bias"][...].astype(jnp.float32)
        products = product(hidden, given["kernel"][...], program.precision)
        r, z = (_sigmoid(_part(rows, at, features) + _part(products, at, features)) for at in range(2))
        inner = _part(products, 2, features) + given["recurrent_bias"][...].astype(jnp.float32)
        n = jnp.tanh(_part(rows, 2, features) + r * inner)
        new = n + z * (hidden - n)
        kept = lambda new, old: jnp.where(flags[0], new, old) if masked else new  # noqa: E731
        made["outputs"][place] = kept(new, 0.0).astype(made["outputs"].dtype)
        if "gates" in made:
            for at, gate in enumerate((r, z, n)):
                part = kept(gate, 0.0).astype(made["gates"].dtype)
                made["gates"][place, :, at * features : (at + 1) * features] = part
            made["inner"][place] = inner.astype(made["inner"].dtype)
            made["before"][place] = hidden.astype(made["before"].dtype)
        state["h"][...] = kept(new, hidden)

    each_step(loop, given, features, step)
    end(loop, made, state)


def _back(program: Program, residuals: Any, cotangents: Any) -> Any:
    """The backward kernel: the cotangents of projected inputs, ``inner`` and carry and, with resets, of ``initial``."""
    recurrent_kernel, _, mask, starts, _, before, gates, inner = residuals
    d_last, d_outputs = cotangents
    features, dtype = recurrent_kernel.shape[0], gates.dtype
    made = call(
        "gru_backward",
        functools.partial(_backward_kernel, program, mask is not None, starts is not None),
        program,
        down=not program.reverse,
        each={"gates": gates, "inner": inner, "before": before, "d_outputs": d_outputs},
        rows={"d_h": d_last},
        whole={"kernel": recurrent_kernel},
        flags=flags_of(mask, starts),
        makes={"d_projected": (3 * features, dtype), "d_inner": (features, dtype)},
        ends=dict.fromkeys(["h"] + ([] if starts is None else ["initial"]), (features, dtype)),
        replaces={"d_projected": "gates", "d_inner": "inner"},
    )
    return made["d_projected"], made["d_inner"], made["h"], made.get("initial")


def _backward_kernel(
    program: Program, masked: bool, resetting: bool, loop: Loop, given: Refs, made: Refs, state: Refs
) -> None:
    features = state["h"].shape[-1]
    begin(given, state, {"h": "d_h"} | dict.fromkeys(set(state) - {"h"}))

    def step(place: int, flags: list[Array]) -> None:
        kept = lambda new, other: jnp.where(flags[0], new, other) if masked else new  # noqa: E731
        gates, dtype = given["gates"][place].astype(jnp.float32), made["d_inner"].dtype
        r, z, n = (_part(gates, at, features) for at in range(3))
        after = state["h"][...]
        d_hidden = after + given["d_outputs"][place].astype(jnp.float32)
        d_n = d_hidden * (1 - z) * (1 - n * n)
        d_r = d_n * given["inner"][place].astype(jnp.float32) * r * (1 - r)
        d_z = d_hidden * (given["before"][place].astype(jnp.float32) - n) * z * (1 - z)
        d_r, d_z, d_n, d_inner = (kept(d, 0.0).astype(dtype) for d in (d_r, d_z, d_n, d_n * r))
        for at, d in enumerate((d_r, d_z, d_n)):
            made["d_projected"][place, :, at * features : (at + 1) * features] = d
        made["d_inner"][place] = d_inner
        d_products = jnp.concatenate([d_r, d_z, d_inner], axis=-1)
        d_old = product(d_products, given["kernel"][...], program.precision, transposed=True)
        d_old += kept(d_hidden * z, after)
        if resetting:
            state["initial"][...] += jnp.where(flags[-1], d_old, 0.0)
            d_old = jnp.where(flags[-1], 0.0, d_old)
        state["h"][...] = d_old

    each_step(loop, given, features, step)
    end(loop, made, state)


def _part(array: Array, at: int, features: int) -> Array:
    return array[:, at * features : (at + 1) * features]


def _sigmoid(array: Array) -> Array:
    """By a tanh, which the chip has."""
    return 0.5 * jnp.tanh(0.5 * array) + 0.5


def _plain(program: Program, *operands: Any) -> Any:
    return fused._gru(program.reverse, program.unroll, False, *as_fused(operands))


def _plain_saving(program: Program, *operands: Any) -> Any:
    made, residuals = fused._forward(program.reverse, program.unroll, False, *as_fused(operands))
    recurrent_bias, projected, recurrent_kernel, bias, _, mask, _, _ = operands
    before = residuals[4]
    # Where the states are known, no step waits for another.
    flat = lambda leaf: leaf.reshape(-1, leaf.shape[-1])  # noqa: E731
    products = flat(before) @ recurrent_kernel
    real = _column(mask)
    rows = keep(real, projected, 0)
    _, (*gates, inner) = fused._step(flat(rows), products, recurrent_bias, bias, flat(before))
    gates = keep(real, jnp.concatenate(gates, axis=-1).reshape(projected.shape), 0)
    return made, (before, gates, inner.reshape(before.shape))


def _plain_back(program: Program, residuals: Any, cotangents: Any) -> Any:
    recurrent_kernel, bias, mask, starts, initial, before, gates, inner = residuals
    r, z, n = jnp.split(gates, 3, axis=-1)
    candidate = (1 - z) * (1 - n * n)
    slopes = jnp.concatenate([candidate * inner * r * (1 - r), (before - n) * z * (1 - z), candidate], axis=-1)
    real = _column(mask)
    saved = before, keep(real, slopes, 0), keep(real, r, 0), keep(real, z, 1)
    residuals = recurrent_kernel, bias, *as_fused((mask, starts, initial)), *saved
    found = fused._backward(program.reverse, program.unroll, False, residuals, cotangents)
    _, d_projected, _, _, d_carry, _, d_extras = found
    return d_projected, d_projected[..., -before.shape[-1] :] * r, d_carry, d_extras.initial


def _column(mask: Array | None) -> Array | None:
    return None if mask is None else mask[..., None]
