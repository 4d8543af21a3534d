"""What a reset starts from: a carry of its own, zeros by default, whatever the initial carry is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.layers.cells import GRUCell, LSTMCell, MinGRUCell
from rnnjax.layers.recurrence import RNN, Bidirectional, StackedRNN
from tests.cell_cases import BATCH, FEATURES, STEPS, close, drawn_inputs

CUTS = (0, 2, 5)
"""Where the sequences start that are packed into each row."""
RESETS = np.broadcast_to(np.isin(np.arange(STEPS), CUTS), (BATCH, STEPS))
LAYERS = {
    "scan": lambda **options: RNN(LSTMCell(FEATURES), implementation="scan", **options),
    "fused": lambda **options: RNN(LSTMCell(FEATURES), implementation="fused", **options),
    "associative": lambda **options: RNN(MinGRUCell(FEATURES), implementation="associative", **options),
    "chunked": lambda **options: RNN(MinGRUCell(FEATURES), implementation="chunked", **options),
    "scan of a linear cell": lambda **options: RNN(MinGRUCell(FEATURES), implementation="scan", **options),
    "fused, remat": lambda **options: RNN(GRUCell(FEATURES), implementation="fused", remat=4, **options),
    "scan, remat": lambda **options: RNN(LSTMCell(FEATURES), implementation="scan", remat="sqrt", **options),
}


FAST = [("scan", False), ("associative", True), ("chunked", True), ("fused, remat", True)]


def drawn(layer, seed=0):
    """Parameters and two carries of the layer, every entry drawn at random."""
    inputs, random = drawn_inputs(), np.random.default_rng(seed)
    (carry, _), params = jax.eval_shape(lambda: layer.init_with_output(jax.random.key(0), inputs))
    draw = lambda leaf: random.normal(size=leaf.shape).astype(leaf.dtype) * 0.6  # noqa: E731
    return jax.tree.map(draw, (params, carry, carry))


def one_by_one(layer, params, inputs, carry, reset_carry):
    """What ``layer`` gives for each packed sequence by itself, put together."""
    parts = [slice(start, stop) for start, stop in zip(CUTS, (*CUTS[1:], STEPS), strict=True)]
    first = [reset_carry] * len(parts)
    if layer.reverse:  # the last sequence is the one that is taken first, and no mark stands after it
        first[-1] = carry
    results = [
        layer.apply(params, inputs[:, part], initial_carry=start) for part, start in zip(parts, first, strict=True)
    ]
    return results[0 if layer.reverse else -1][0], jnp.concatenate([outputs for _, outputs in results], 1)


@pytest.mark.parametrize(
    ("name", "reverse"),
    [
        # Each implementation in one direction, and the fused one, which every other cell takes, in both.
        pytest.param(name, reverse, marks=[] if (name, reverse) in FAST or name == "fused" else pytest.mark.slow)
        for name in LAYERS
        for reverse in (False, True)
    ],
)
def test_each_packed_sequence_starts_from_the_reset_carry(name, reverse):
    """The numbers, and the gradients, of the sequences by themselves; both reach every carry that they should."""
    layer, inputs = LAYERS[name](reverse=reverse), drawn_inputs()

    def packed(params, inputs, carry, reset_carry):
        return layer.apply(params, inputs, resets=RESETS, initial_carry=carry, reset_carry=reset_carry)

    def gradients(run):
        def loss(*arguments):
            result = run(*arguments)
            return sum(jnp.sin(leaf).sum() for leaf in jax.tree.leaves(result)), result

        params, carry, reset_carry = drawn(layer)
        return jax.jit(jax.grad(loss, (0, 1, 2, 3), has_aux=True))(params, inputs, carry, reset_carry)

    ours, theirs = gradients(packed), gradients(lambda *arguments: one_by_one(layer, *arguments))
    close(ours, theirs)
    of_carry, of_reset = ours[0][2:]
    assert all(np.abs(leaf).min() > 0 for leaf in jax.tree.leaves(of_reset))
    assert all(leaf.any() == reverse for leaf in jax.tree.leaves(of_carry))


def two_ways(**options):
    return Bidirectional(RNN(LSTMCell(FEATURES), **options), RNN(GRUCell(3), reverse=True, **options))


@pytest.mark.parametrize("reverse", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "name", ["scan of a linear cell", "associative", "chunked", pytest.param("fused", marks=pytest.mark.slow)]
)
def test_a_nan_in_one_of_a_rows_sequences_reaches_no_other(name, reverse):
    """Neither their outputs, nor the gradients by their inputs, nor tangents."""
    layer, clean, wrong = LAYERS[name](reverse=reverse), drawn_inputs(), slice(CUTS[1], CUTS[2])
    params, _, reset_carry = drawn(layer)
    others = np.delete(np.arange(STEPS), wrong)
    spoilt = clean.copy()
    spoilt[0, wrong] = np.nan

    def outputs(inputs):
        return layer.apply(params, inputs, resets=RESETS, reset_carry=reset_carry)[1][:, others]

    @jax.jit
    def answers(inputs):
        made, pull = jax.vjp(outputs, inputs)
        moved = jnp.ones_like(inputs).at[:, wrong].set(0)
        return made, pull(jnp.cos(made))[0][:, others], jax.jvp(outputs, (inputs,), (moved,))[1]

    close(answers(spoilt), answers(clean), 1e-6)


@pytest.mark.slow
def test_each_direction_has_its_own_reset_carry():
    layer, inputs = two_ways(), drawn_inputs()
    params, carry, reset = drawn(layer)
    last, outputs = layer.apply(params, inputs, resets=RESETS, initial_carry=carry, reset_carry=reset)
    each = [
        one_by_one(part, {"params": params["params"][name]}, inputs, carry[at], reset[at])
        for at, (name, part) in enumerate({"forward": layer.forward, "backward": layer.backward}.items())
    ]
    close((last, outputs), ((each[0][0], each[1][0]), np.concatenate([each[0][1], each[1][1]], -1)), 1e-6)


def test_each_layer_of_a_stack_has_its_own_reset_carry():
    layer, inputs = StackedRNN([two_ways(), RNN(GRUCell(3))]), drawn_inputs()
    params, carry, reset = drawn(layer)
    last, outputs = layer.apply(params, inputs, resets=RESETS, initial_carry=carry, reset_carry=reset)
    carries = {"initial_carry": carry[0], "reset_carry": reset[0]}
    below, hidden = two_ways().apply({"params": params["params"]["layers_0"]}, inputs, resets=RESETS, **carries)
    above = one_by_one(RNN(GRUCell(3)), {"params": params["params"]["layers_1"]}, hidden, carry[1], reset[1])
    close((last, outputs), ((below, above[0]), above[1]), 1e-6)


@pytest.mark.parametrize("layer", [StackedRNN([two_ways(), two_ways(implementation="scan")])], ids=["stack"])
def test_by_default_a_reset_starts_from_zeros(layer):
    inputs = drawn_inputs()
    params, carry, _ = drawn(layer)
    run = jax.jit(lambda **carries: layer.apply(params, inputs, resets=RESETS, **carries))
    result = run(initial_carry=carry)
    close(result, run(initial_carry=carry, reset_carry=jax.tree.map(np.zeros_like, carry)), 0)
    # The first sequence of a row has a mark of its own, so that no forward direction sees the initial carry.
    close(result[0][0][0], run()[0][0][0], 0)


def test_without_resets_the_reset_carry_has_no_part():
    layer, inputs = LAYERS["fused"](), drawn_inputs()
    params, carry, reset = drawn(layer)
    close(
        layer.apply(params, inputs, initial_carry=carry, reset_carry=reset),
        layer.apply(params, inputs, initial_carry=carry),
        0,
    )
