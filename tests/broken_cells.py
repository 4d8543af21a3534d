"""Cells that break one promise each, for the kit to find, and how it must say so."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.layers.cells import SILENT, RecurrentCell


class Plain(RecurrentCell):
    """``h' = tanh(W x + b + u * h)``, which keeps all promises and compiles fast."""

    def step(self, carry, projected, noise=SILENT):
        del noise
        hidden = self.activate(projected + self._parameter("u", nn.initializers.ones, self.features) * carry)
        return hidden, hidden

    def activate(self, x):
        return jnp.tanh(x)


class LeaksRows(Plain):
    def activate(self, x):
        return jnp.tanh(x - 0.01 * x.mean(0))


class MixesTime(Plain):
    def project(self, inputs):
        return super().project(inputs - (inputs.mean(0) if inputs.ndim == 3 else 0))


class Remembers(Plain):
    """Counts in Python how often it is called."""

    calls = []  # noqa: RUF012

    def activate(self, x):
        self.calls.append(x)
        return jnp.tanh(x + 0.1 * len(self.calls))


class CountsItsAxes(Plain):
    def activate(self, x):
        return jnp.tanh(x if x.ndim > 1 else 1.1 * x)


class KnowsItsDevice(Plain):
    def activate(self, x):
        try:
            return jnp.tanh(x + jax.lax.axis_index("batch"))
        except NameError:
            return jnp.tanh(x)


@jax.custom_vjp
def _wrong(x):
    return jnp.tanh(x)


_wrong.defvjp(lambda x: (jnp.tanh(x), x), lambda x, g: (1.1 * g * (1 - jnp.tanh(x) ** 2),))


class WrongSlope(Plain):
    def activate(self, x):
        return _wrong(x)


class OneDtype(Plain):
    def step(self, carry, projected, noise=SILENT):
        hidden = jax.lax.tanh(jax.lax.add(carry, projected.astype(jnp.float32)))
        return hidden, hidden


class HalfIsOther(Plain):
    def activate(self, x):
        return jnp.tanh(x) if x.dtype != jnp.bfloat16 else -jnp.tanh(x)

    def step(self, carry, projected, noise=SILENT):
        hidden = self.activate(projected)
        return hidden, hidden


class OtherCarry(Plain):
    def step(self, carry, projected, noise=SILENT):
        hidden, _ = super().step(carry, projected)
        return (hidden, hidden), hidden


class OutputAlone(Plain):
    def step(self, carry, projected, noise=SILENT):
        return super().step(carry, projected, noise)[1]


class LosesComplex(Plain):
    def initialize_carry(self, rng, input_shape, dtype=None):
        return super().initialize_carry(rng, input_shape, dtype).astype(jnp.complex64)

    def step(self, carry, projected, noise=SILENT):
        return super().step(carry.real, projected)


class CarryWithoutRows(Plain):
    def initialize_carry(self, rng, input_shape, dtype=None):
        return jnp.zeros(self.features, dtype)


class NoReadout(Plain):
    def step(self, carry, projected, noise=SILENT):
        hidden, _ = super().step(carry, projected)
        return hidden, 2 * hidden


class WiderOutput(Plain):
    def step(self, carry, projected, noise=SILENT):
        hidden, _ = super().step(carry, projected)
        return hidden, jnp.concatenate([hidden, hidden], -1)


class ParametersOfRows(Plain):
    def project(self, inputs):
        return super().project(inputs) + self._parameter("each", nn.initializers.ones, inputs.shape[-2], 1)


class ParametersOfApply(Plain):
    def project(self, inputs):
        projected = super().project(inputs)
        return projected if self.is_initializing() else projected * self._parameter("late", nn.initializers.ones, 1)


class Fused(Plain):
    """With a fused recurrence, which is a plain loop."""

    broken = ""

    def fused_obstacle(self):
        return None

    def fused_sequence(self, inputs, carry, mask, extras, noise, **options):
        projected = self.project(inputs)
        kernel, activate = self._parameter("u", nn.initializers.ones, self.features), self.activate
        if self.broken == "gradients":
            activate = _wrong

        def body(carry, step):
            x, real, start = step
            first = carry
            if start is not None and self.broken != "resets":
                first = jnp.where(start[:, None], extras.initial, carry)
            hidden = activate(x + kernel * first)
            return (hidden if self.broken == "mask" else jnp.where(real[:, None], hidden, first)), hidden

        reverse = options["reverse"] and self.broken != "reverse"
        mask = jnp.ones(inputs.shape[:2], bool) if mask is None else mask
        return jax.lax.scan(body, carry, (projected, mask, extras.starts), reverse=reverse)


def fused(what: str) -> type[Fused]:
    return type(f"Fused_{what}", (Fused,), {"broken": what})


BROKEN = {
    LeaksRows: "LeaksRows: a row depends on another: with other inputs in row 0, a row after it moves .*off by",
    MixesTime: "MixesTime: steps one after the other, not compiled, differ from the scan",
    Remembers: "Remembers: steps one after the other, not compiled, differ from the scan",
    CountsItsAxes: "CountsItsAxes: rows under jax.vmap differ from those of a batch",
    KnowsItsDevice: "KnowsItsDevice: on 4 devices, with two batch axes, it differs from one batch",
    WrongSlope: "WrongSlope: its gradient is not the slope of its values .*random direction of .*the gradient says",
    OneDtype: "OneDtype: with bfloat16 inputs and products it does not run",
    HalfIsOther: "HalfIsOther: with bfloat16 inputs and products it is far from what it is in float32",
    OtherCarry: r"OtherCarry: a step makes a carry PyTreeDef\(\(\*, \*\)\) of one that is PyTreeDef\(\*\)",
    OutputAlone: r"OutputAlone cannot make one step .*and returns \(carry, output\): too many values to unpack",
    LosesComplex: r"LosesComplex: a step makes a carry of float32 \[4, 5\] of one of complex64",
    CarryWithoutRows: r"CarryWithoutRows.initialize_carry must give arrays with the inputs' leading axes",
    NoReadout: r"NoReadout.readout\(carry, projected\) is not the output that the step gives",
    WiderOutput: r"WiderOutput: the output of a step is float32 \[4, 10\] and must be \[4, 5\]",
    ParametersOfRows: "ParametersOfRows: its parameters depend on the numbers of rows and steps",
    ParametersOfApply: "ParametersOfApply: init makes the parameters .* and apply uses .*late",
    fused("mask"): "Fused_mask: a row of length 0 does not end with its first carry .*implementation=fused",
    fused("resets"): "Fused_resets: sequences of 3 and 3 steps with resets are not .*implementation=fused",
    fused("gradients"): "Fused_gradients: implementation='fused' differs from 'scan' .*1/.*off by",
    fused("reverse"): "Fused_reverse: implementation='fused' with reverse=True differs from 'scan'",
}
"""Each class, and the regular expression that the error must match."""

GOOD = {"plain": Plain, "own fused": functools.partial(fused("nothing"))}
