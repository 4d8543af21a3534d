"""``implementation="chunked"``: linear recurrences in about √T chunks, against the loop over the steps."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.extend import core

from rnnjax.layers import linear_scan
from rnnjax.layers.cells import LRUCell, MinGRUCell
from rnnjax.layers.recurrence import RNN
from tests.cell_cases import close
from tests.marks import often

few = settings(max_examples=4, derandomize=True, deadline=None)  # each is compiled
BORDERS = st.sampled_from((1, 2, 3, 4, 5, 8, 9, 10, 15, 16, 17, 24, 25, 26, 31))
"""Numbers of steps around squares, of which chunks come out even, and primes, of which they do not."""


def one_by_one(a, b, reverse):
    """The states in NumPy, and in the precision of what is given."""
    state, states = np.zeros_like(b[0]), np.zeros_like(b)
    for at in reversed(range(len(b))) if reverse else range(len(b)):
        states[at] = state = a[at] * state + b[at]
    return states


@functools.partial(jax.jit, static_argnames="reverse")
def states_and_gradients(a, b, d_states, reverse):
    states, pull = jax.vjp(lambda a, b: linear_scan._solved(a, b, reverse), a, b)
    return states, *pull(d_states)


@given(BORDERS, st.booleans(), st.booleans(), st.integers(0, 2**16))
@few
def test_states_are_those_of_the_loop(steps, compound, reverse, seed):
    random = np.random.default_rng(seed)
    a, b = random.uniform(-1, 1, (steps, 3)), random.normal(size=(steps, 3))
    if compound:
        a, b = a * np.exp(1j * random.uniform(0, 7, a.shape)), b + 1j * random.normal(size=b.shape)
    with jax.enable_x64(True):
        d_states = random.normal(size=b.shape).astype(b.dtype)
        states, d_a, d_b = map(np.asarray, states_and_gradients(a, b, d_states, reverse=reverse))
    expected = one_by_one(a, b, reverse)
    np.testing.assert_allclose(states, expected, rtol=1e-12, atol=1e-12)
    # The gradient is such a recurrence from the end, with the factor of the step after.
    first = np.zeros_like(a[:1])
    later = np.concatenate([first, a[:-1]] if reverse else [a[1:], first])
    before = np.concatenate([expected[1:], first] if reverse else [first, expected[:-1]])
    np.testing.assert_allclose(d_b, one_by_one(later, d_states, not reverse), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(d_a, d_b * before, rtol=1e-12, atol=1e-12)


CASES = [(10, (3,), False, False), (17, (), True, True), (9, (2, 1), True, False), (1, (1, 2), False, True)]
"""Steps, batch axes, reverse, return_carries."""


@pytest.mark.parametrize(("steps", "batch", "reverse", "carries"), often(CASES, CASES[:2]))
def test_a_layer_is_that_of_the_loop_with_lengths_resets_and_carries(steps, batch, reverse, carries):
    """Values and gradients in float64, of the parameters, the inputs and both carries."""
    random = np.random.default_rng(steps)
    inputs, initial, reset = (random.normal(size=(*batch, *of)) for of in ((steps, 2), (4,), (4,)))
    lengths, resets = random.integers(0, steps + 1, batch), random.random((*batch, steps)) < 0.2
    params = {"input_kernel": random.normal(size=(2, 8)), "bias": random.normal(size=8)}
    options = {"lengths": np.asarray(lengths), "resets": resets, "return_carries": carries}
    layer = RNN(MinGRUCell(4), reverse=reverse)

    def loss(implementation, params, inputs, initial, reset):
        run: Any = layer.clone(implementation=implementation).apply
        made = run({"params": {"cell": params}}, inputs, initial_carry=initial, reset_carry=reset, **options)
        return sum(jnp.sin(part).sum() for part in made), made

    with jax.enable_x64(True):
        gradient = jax.jit(jax.value_and_grad(loss, (1, 2, 3, 4), has_aux=True), static_argnums=0)
        ours, theirs = (gradient(name, params, inputs, initial, reset) for name in ("chunked", "scan"))
    close(ours, theirs, 1e-12)


@pytest.mark.parametrize(("steps", "cell"), [(0, MinGRUCell(3)), (1, LRUCell(3))], ids=["none", "one"])
def test_sequences_of_no_step_and_of_one(steps, cell):
    inputs, carry = jnp.ones((2, steps, 3)), cell.initialize_carry(None, (2, 3)) + 1
    run = lambda name: RNN(cell, implementation=name).init_with_output  # noqa: E731
    ours, theirs = (
        jax.jit(run(name))(jax.random.key(0), inputs, initial_carry=carry)[0] for name in ("chunked", "scan")
    )
    close(ours, theirs, 1e-6)


def test_rows_mapped_and_chunks_recomputed_are_the_whole():
    layer, inputs = RNN(LRUCell(3), implementation="chunked"), jax.random.normal(jax.random.key(1), (2, 3, 10, 2))
    variables = jax.jit(layer.init)(jax.random.key(0), inputs)

    @jax.jit
    def run(variables, inputs):
        mapped = jax.vmap(jax.vmap(functools.partial(layer.apply, variables)))(inputs)
        return layer.apply(variables, inputs), mapped, layer.clone(remat=4).apply(variables, inputs)

    whole, *others = run(variables, inputs)
    for other in others:
        close(other, whole, 1e-6)


def test_a_product_that_underflows_is_zero_and_so_is_its_gradient():
    """Over 400 steps ``a`` of 1e-3 is far below what float32 holds: what was before is forgotten, in the loop too."""
    factors = jnp.array([0.0, 1e-30, 1e-3, 0.999999, 1.0])
    a, b = jnp.tile(factors, (400, 1)), jnp.cos(jnp.arange(2000.0)).reshape(400, 5)

    def states(run, a, b):
        made = run(a, b.at[0].add(3.0))
        return jnp.sin(made).sum(), made

    def loop(a, b):
        return jax.lax.scan(linear_scan._step, jnp.zeros(5), (a, b, None))[1]

    gradient = lambda run: jax.jit(jax.value_and_grad(functools.partial(states, run), (0, 1), has_aux=True))(a, b)  # noqa: E731
    ours, theirs = gradient(lambda a, b: linear_scan._solved(a, b, False)), gradient(loop)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(ours))
    jax.tree.map(lambda ours, theirs: np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-3), ours, theirs)


def test_chunks_are_few_short_and_hardly_padded():
    for steps in (*range(1, 400), 1009, 4096, 65536, 65537):
        length = linear_scan.chunk_length(steps)
        count = -(-steps // length)
        assert length + count <= 2.5 * math.sqrt(steps) + 2
        assert 0 <= length * count - steps <= min(length - 1, -steps % math.isqrt(steps))
    assert [linear_scan.chunk_length(steps) for steps in (64, 4096, 65536)] == [8, 64, 256]


def loops(jaxpr):
    """Lengths of all scans within."""
    found = []
    for equation in jaxpr.eqns:
        found += [equation.params["length"]] if equation.primitive.name == "scan" else []
        for part in core.jaxprs_in_params(equation.params):
            found += loops(part)
    return found


def test_its_loops_are_of_a_chunks_steps_and_of_the_chunks():
    layer, inputs = RNN(MinGRUCell(3), implementation="chunked"), jnp.ones((2, 144, 3))
    variables = jax.eval_shape(layer.init, jax.random.key(0), inputs)
    traced = jax.make_jaxpr(lambda v, x: layer.apply(v, x))(variables, inputs)
    assert set(loops(traced.jaxpr)) == {12}


def squares(outputs: Any):
    return jnp.square(outputs).sum()


@pytest.mark.parametrize("cell", often([LRUCell(8), MinGRUCell(8)], [MinGRUCell(8)]), ids=["lru", "min_gru"])
def test_its_gradient_needs_no_more_memory_than_the_associative_scans(cell):
    def temporaries(implementation):
        layer, inputs = RNN(cell, implementation=implementation), jnp.ones((4, 70, 8))
        variables = jax.eval_shape(layer.init, jax.random.key(0), inputs)
        gradient = jax.jit(jax.grad(lambda v, x: squares(layer.apply(v, x)[1]), (0, 1)))
        analysis = gradient.lower(variables, inputs).compile().memory_analysis()
        assert analysis is not None
        return analysis.temp_size_in_bytes

    assert temporaries("chunked") <= temporaries("associative")
