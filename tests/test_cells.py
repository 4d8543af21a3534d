"""Every cell against its equations in NumPy; initialisers and dtypes. What holds for all cells: test_testing.py."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.errors import UsageError
from rnnjax.layers.cells import CELLS as NAMED
from rnnjax.layers.cells import LRUCell, LSTMCell, ProjectedLSTMCell, RecurrentCell, SimpleRNNCell, chrono, identity
from rnnjax.layers.recurrence import RNN, Bidirectional
from tests.cell_cases import (
    BATCH,
    CELLS,
    FEATURES,
    INPUTS,
    LINEAR,
    STEPS,
    close,
    drawn_carry,
    drawn_inputs,
    name_of,
    numpy_loop,
    run_case,
)
from tests.marks import often

each_cell = pytest.mark.parametrize("case", CELLS, ids=name_of)
MASK = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0], [0, 1, 0, 1, 1, 0]], bool)


@each_cell
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_its_equations_in_numpy(case, dtype):
    if dtype == np.float64 and case.float32_only:
        pytest.skip("the cell has float32 only")
    with jax.enable_x64(dtype == np.float64):
        params, inputs, carry = case.params(dtype), drawn_inputs(dtype), drawn_carry(case, dtype)
        last, outputs = jax.jit(lambda p, x, c: case.rnn().apply(p, x, initial_carry=c))(params, inputs, carry)
        assert outputs.dtype == dtype
        close((last, outputs), numpy_loop(case, params, inputs, carry), 1e-5 if dtype == np.float32 else 1e-10)


@pytest.mark.parametrize("case", LINEAR, ids=name_of)
def test_an_associative_scan_has_no_loop(case):
    run = jax.jit(lambda params, x: case.rnn(implementation="associative").apply(params, x))
    assert "while" not in run.lower(case.params(), drawn_inputs()).as_text()


@each_cell
def test_dtypes(case):
    """Products in bfloat16 with float32 parameters, a carry of a chosen dtype, and initialisers in all."""
    inputs = drawn_inputs()
    if case.float32_only:
        for options in ({"dtype": jnp.bfloat16}, {"param_dtype": jnp.float64}, {"carry_dtype": jnp.float32}):
            with pytest.raises(UsageError, match="float32"):
                case.make(**options)
        with pytest.raises(UsageError, match="inputs are complex64"):
            jax.eval_shape(case.rnn().init, jax.random.key(0), jnp.zeros((1, 2, 3), jnp.complex64))
        (_, outputs), _ = jax.eval_shape(
            lambda: case.rnn().init_with_output(jax.random.key(0), jnp.zeros((1, 2, 3), jnp.bfloat16))
        )
        assert outputs.dtype == jnp.float32
        return
    params = case.params()
    for carry_dtype in (None, jnp.float32):
        layer = RNN(case.make(dtype=jnp.bfloat16, carry_dtype=carry_dtype))
        last, outputs = jax.eval_shape(layer.apply, params, inputs)
        assert outputs.dtype == jnp.bfloat16
        assert {leaf.dtype for leaf in jax.tree.leaves(last)} == {jnp.dtype(carry_dtype or jnp.bfloat16)}
        # A returned carry can be given back.
        again, _ = jax.eval_shape(lambda c, layer=layer: layer.apply(params, inputs, initial_carry=c), last)
        assert again == last
    exact = run_case(case, params, inputs)[1]
    error = jnp.abs(jax.jit(layer.apply)(params, inputs)[1] - exact).max() / jnp.maximum(1, jnp.abs(exact).max())
    assert 0 < error < 0.05
    for dtype in (jnp.bfloat16, jnp.float16):
        drawn = jax.eval_shape(RNN(case.make(param_dtype=dtype)).init, jax.random.key(0), inputs)
        assert {leaf.dtype for leaf in jax.tree.leaves(drawn)} == {jnp.dtype(dtype)}


@each_cell
def test_nothing_is_promoted_unasked(case):
    """Under strict promotion, with masks, resets, dropout of every kind and remat."""
    dtype = jnp.float32 if case.float32_only else jnp.bfloat16
    kinds = {"input_dropout": 0.1, "remat": 4}
    if case.make().recurrent_shape is not None:
        kinds |= {"recurrent_dropout": 0.1, "weight_dropout": 0.1, "zoneout": 0.1}
    layer = RNN(case.make() if case.float32_only else case.make(dtype=dtype), **kinds)
    inputs, rngs = jnp.zeros((BATCH, STEPS, INPUTS), dtype), {"dropout": jax.random.key(0)}
    with jax.numpy_dtype_promotion("strict"):
        run = functools.partial(layer.apply, mask=MASK, resets=MASK, train=True, rngs=rngs)
        _, outputs = jax.eval_shape(run, case.params(), inputs)
    assert outputs.dtype == dtype


def test_initial_parameters_in_bfloat16_are_those_of_float32_rounded():
    inputs = jnp.zeros((1, 2, INPUTS))
    half, single = (
        jax.jit(RNN(LSTMCell(FEATURES, param_dtype=dtype)).init)(jax.random.key(0), inputs)
        for dtype in (jnp.bfloat16, jnp.float32)
    )
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b.astype(jnp.bfloat16)), half, single)


def test_a_float32_carry_accumulates_what_a_bfloat16_carry_loses():
    """Adding 1/512 five hundred and twelve times: bfloat16 stops at 0.5, where its step is larger than that."""
    kept = {}
    for carry_dtype in (jnp.bfloat16, jnp.float32):
        cell = LSTMCell(1, dtype=jnp.bfloat16, carry_dtype=carry_dtype)
        # Gates wide open, candidate atanh(1/512): the cell state counts steps.
        bias = jnp.array([20.0, 20.0, np.arctanh(1 / 512), 20.0])
        params = {"input_kernel": jnp.zeros((1, 4)), "recurrent_kernel": jnp.zeros((1, 4)), "bias": bias}
        (c, _), _ = jax.jit(RNN(cell).apply)({"params": {"cell": params}}, jnp.zeros((1, 512, 1)))
        kept[carry_dtype] = float(c[0, 0])
    assert abs(kept[jnp.float32] - 1) < 0.01
    assert kept[jnp.bfloat16] < 0.6


def test_forget_bias_and_chrono_initialisation():
    def biases(**options):
        cell = LSTMCell(500, recurrent_init=nn.initializers.zeros, **options)
        params = jax.jit(cell.init)(jax.random.key(0), (jnp.zeros((1, 500)),) * 2, jnp.zeros((1, 2)))
        return np.split(np.asarray(params["params"]["bias"]), 4)

    i, f, g, o = biases(forget_bias=2.0)
    assert (f == 2).all() and not (i.any() or g.any() or o.any())
    i, f, g, o = biases(chrono_steps=100)
    assert np.array_equal(i, -f) and not (g.any() or o.any())
    # exp(f) is uniform on [1, 99].
    assert 1 <= np.exp(f).min() < 4 and 96 < np.exp(f).max() <= 99.001 and abs(np.exp(f).mean() - 50) < 4
    with pytest.raises(UsageError, match="at least 3 steps"):
        chrono(2)


def test_kernels_are_initialised_gate_by_gate():
    params = jax.jit(LSTMCell(8).init)(jax.random.key(0), (jnp.zeros((1, 8)),) * 2, jnp.zeros((1, 2)))["params"]
    for block in np.split(np.asarray(params["recurrent_kernel"]), 4, axis=1):
        np.testing.assert_allclose(block @ block.T, np.eye(8), atol=1e-5)
    bound = np.sqrt(6 / (2 + 8))  # Glorot's, of one gate
    assert 0.8 * bound < np.abs(params["input_kernel"]).max() <= bound
    irnn = jax.jit(SimpleRNNCell(8, recurrent_init=identity).init)(
        jax.random.key(0), jnp.zeros((1, 8)), jnp.zeros((1, 2))
    )
    np.testing.assert_array_equal(irnn["params"]["recurrent_kernel"], np.eye(8))


def test_lru_starts_on_the_ring_with_a_normalised_state():
    cell = LRUCell(2, states=400, min_radius=0.5, max_radius=0.9)
    p = jax.jit(cell.init)(jax.random.key(0), cell.initialize_carry(None, (1, 3)), jnp.zeros((1, 3)))["params"]
    radius = np.exp(-np.exp(p["nu_log"]))
    assert 0.5 <= radius.min() < 0.52 and 0.88 < radius.max() <= 0.9
    np.testing.assert_allclose(np.exp(p["gamma_log"]), np.sqrt(1 - radius**2), rtol=1e-4)
    assert 0 < np.exp(p["theta_log"]).min() and np.exp(p["theta_log"]).max() <= 2 * np.pi


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: LSTMCell(0), "features must be positive, got 0"),
        (lambda: SimpleRNNCell(-2), "features must be positive"),
        (lambda: ProjectedLSTMCell(4, projection=0), "projection must be positive"),
        (lambda: LRUCell(4, states=0), "states must be positive"),
        (lambda: LRUCell(4, min_radius=0.9, max_radius=0.5), "min_radius < max_radius"),
        (lambda: LRUCell(4, max_phase=-1.0), "max_phase must be a positive number of radians, got -1.0"),
        (lambda: LRUCell(4, max_phase=float("nan")), "max_phase must be a positive number"),
    ],
)
def test_errors_name_the_option(build, message):
    with pytest.raises(UsageError, match=message):
        build()


def test_every_exported_cell_is_in_the_list():
    import rnnjax.layers.cells

    exported = {getattr(rnnjax.layers.cells, name) for name in rnnjax.layers.cells.__all__ if name.endswith("Cell")}
    abstract = {rnnjax.layers.cells.LinearCell, RecurrentCell}
    assert exported - abstract == {case.cell for case in CELLS}
    assert all(case.make().features == FEATURES and INPUTS for case in CELLS)


def test_every_public_cell_has_a_name_for_configurations():
    import rnnjax.layers.cells as cells

    public = [value for name, value in vars(cells).items() if not name.startswith("_") and isinstance(value, type)]
    made = {value for value in public if issubclass(value, RecurrentCell)} - {RecurrentCell, cells.LinearCell}
    assert made == set(cells.CELLS.values()) and len(made) == len(cells.CELLS)
    assert {"simple_rnn", "lstm", "gru"} <= set(cells.CELLS)


@pytest.mark.parametrize("name", often(NAMED, ("simple_rnn", "gru", "projected_lstm", "lru")))
def test_cells_are_made_by_name_with_features_alone(name):
    lengths, inputs = np.array([STEPS, 2, 0]), drawn_inputs()
    make = functools.partial(NAMED[name], dtype=jnp.float32)
    one, both = RNN(make(5)), Bidirectional(RNN(make(5)), RNN(make(5), reverse=True))
    width = one.cell.output_features
    run = jax.jit(lambda inputs: both.init_with_output(jax.random.key(0), inputs, lengths=lengths)[0])
    outputs = run(inputs)[1]
    assert outputs.shape == (BATCH, STEPS, 2 * width)
    assert outputs[0].all() and np.isfinite(outputs).all()
    assert not outputs[np.arange(STEPS) >= lengths[:, None]].any()
    alone, params = jax.eval_shape(lambda: one.init_with_output(jax.random.key(0), inputs, lengths=lengths))
    assert alone[1].shape == (BATCH, STEPS, width) and jax.tree.leaves(params)
    jax.eval_shape(RNN(NAMED[name](1)).init, jax.random.key(0), inputs)


def test_a_projection_is_half_the_features_unless_said():
    assert [ProjectedLSTMCell(features).output_features for features in (1, 5, 8)] == [1, 2, 4]
    assert ProjectedLSTMCell(8, projection=3).output_features == 3
