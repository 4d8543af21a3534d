"""What runs where nothing is differentiated: a chunk of steps at a time, against the scanned cells."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnjax import RNN, GRUCell, LSTMCell, SimpleRNNCell
from rnnjax.layers.fused import projection
from tests.marks import LONG

CELLS = {"lstm": LSTMCell, "gru": GRUCell, "simple": functools.partial(SimpleRNNCell, activation=nn.relu)}
every_cell = pytest.mark.parametrize("name", CELLS)


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(projection, "ROWS", 12)
    jax.clear_caches()


def layer(name, **options):
    return RNN(CELLS[name](4, bias_init=nn.initializers.normal(0.5)), **options)


def draw(batch, steps, seed=0):
    rng = np.random.default_rng(seed)
    inputs = jnp.asarray(rng.standard_normal((batch, steps, 3)), jnp.float32)
    return inputs, jnp.asarray(rng.random((batch, steps)) < 0.7), jnp.asarray(rng.random((batch, steps)) < 0.3)


def both(name, inputs, **given):
    """(fused, scan) results of one layer with the same parameters."""
    options = {key: given.pop(key) for key in ("reverse", "zoneout") if key in given}
    variables = layer(name, **options).init(jax.random.key(1), inputs)
    return [
        jax.jit(lambda v, x, way=way: layer(name, implementation=way, **options).apply(v, x, **given))(
            variables, inputs
        )
        for way in ("fused", "scan")
    ]


def close(got, want):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6), got, want)


@pytest.mark.filterwarnings("error::DeprecationWarning")
def test_nothing_deprecated_is_called(small_chunks):
    close(*both("lstm", draw(3, 12)[0]))


FAST = [("lstm", 13, False), ("gru", 29, True), ("simple", 13, False)]  # the rest of a chunk, each way
CHUNKED = [(name, steps, reverse) for name in CELLS for steps in (8, 12, 13, 29) for reverse in (False, True)]


@pytest.mark.parametrize(
    ("name", "steps", "reverse"),
    [
        # All lengths and directions of one cell in .ci/run: how steps are cut into chunks knows no cell.
        pytest.param(*case, marks=[] if case in FAST else LONG)
        for case in CHUNKED
    ],
)
def test_chunks_give_what_the_scan_gives(small_chunks, name, reverse, steps):
    inputs, mask, resets = draw(3, steps)
    close(*both(name, inputs, reverse=reverse))
    close(*both(name, inputs, reverse=reverse, mask=mask))
    close(*both(name, inputs, reverse=reverse, mask=mask, resets=resets))
    close(*both(name, inputs, reverse=reverse, zoneout=0.3))


@given(batch=st.integers(1, 5), steps=st.integers(0, 40), rows=st.integers(1, 24), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
@pytest.mark.slow
@pytest.mark.long
def test_any_size_of_chunk_gives_the_same(batch, steps, rows, seed):
    before = projection.ROWS
    inputs, mask, _ = draw(batch, steps, seed)
    try:
        projection.ROWS = rows
        jax.clear_caches()
        close(*both("lstm", inputs, mask=mask))
    finally:
        projection.ROWS = before


@every_cell
def test_gradients_do_not_depend_on_chunks(name, monkeypatch):
    inputs, mask, _ = draw(3, 17)
    variables = layer(name).init(jax.random.key(1), inputs)

    def gradient(rows):
        monkeypatch.setattr(projection, "ROWS", rows)
        loss = lambda v, x: (layer(name).apply(v, x, mask=mask)[1] ** 2).sum()  # noqa: E731
        return jax.jit(jax.grad(loss, argnums=(0, 1)))(variables, inputs)

    jax.tree.map(np.testing.assert_array_equal, gradient(12), gradient(10**9))


@pytest.mark.parametrize("name", ["lstm", *(pytest.param(name, marks=pytest.mark.slow) for name in ("gru", "simple"))])
@pytest.mark.optimized
def test_projected_inputs_are_never_there_at_once(name):
    """Flax projects within its loop; chunks need no more than that, where one product needs several times as much."""
    inputs = jnp.ones((32, 256, 64))
    ours, theirs = RNN(CELLS[name](64)), nn.RNN(nn.OptimizedLSTMCell(64))

    def temporaries(module, last):
        variables = module.init(jax.random.key(0), inputs)
        run = jax.jit(lambda v, x: last(module.apply(v, x)))
        return run.lower(variables, inputs).compile().memory_analysis().temp_size_in_bytes

    chunked = temporaries(ours, lambda result: result[0])
    assert chunked < temporaries(theirs, lambda outputs: outputs[:, -1])
    rows = 4 * projection.ROWS * 64 * (1 + CELLS[name](64).gates)  # of inputs and of what is projected
    assert chunked < 4 * inputs.size + 2 * rows  # the inputs once, with time first


def test_under_vmap_and_beyond_a_cpu(small_chunks, monkeypatch):
    inputs, _, _ = draw(3, 24)
    variables = layer("lstm").init(jax.random.key(1), inputs)
    run = lambda x: layer("lstm").apply(variables, x)[1]  # noqa: E731
    close(jax.vmap(run)(inputs[None])[0], run(inputs))
    chunked = str(jax.make_jaxpr(run)(inputs))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    whole = str(jax.make_jaxpr(lambda x: run(x))(inputs))
    assert chunked.count("scan") == 2 * whole.count("scan")
