"""The kernels for TPUs, by interpretation: against the scan in float64, under transformations, and what they refuse."""

import contextlib
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas import tpu as pltpu
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import rnnjax
from rnnjax import RNN, Bidirectional, GRUCell, LSTMCell, StackedRNN, UsageError
from rnnjax.layers import fused, measured, pallas, target
from rnnjax.layers.cells import CoupledLSTMCell
from rnnjax.layers.pallas import calls
from rnnjax.testing import interpreted
from tests.marks import LONG
from tests.test_cudnn_transformed import INSIDE
from tests.test_fused import CELLS, assert_close, problem

LENGTHS = np.array([6, 0, 4])
MASKS = {
    "none": None,
    "lengths": np.arange(6) < LENGTHS[:, None],
    "holes": np.array([[1, 0, 1, 1, 0, 1], [0, 0, 1, 0, 1, 0], [0, 1, 1, 1, 1, 1]], bool),
}
RESETS = np.array([[0, 0, 1, 1, 0, 0], [1, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0]], bool)
both_cells = pytest.mark.parametrize("name", ["lstm", "gru"])


def results(name, implementation, arguments, weights, dtype, mask=None, resets=None, gradients=True, **options):
    """Outputs and last carry of a layer, and all gradients of the weighted sum of these."""
    cast = functools.partial(jax.tree.map, lambda leaf: leaf.astype(dtype))
    layer = RNN(CELLS[name](4, param_dtype=jnp.dtype(dtype)), implementation=implementation, **options)
    flags = {"mask": mask, "resets": resets}

    def run(parameters, inputs, carry, reset):
        given = {"initial_carry": carry} | ({} if resets is None else {"reset_carry": reset})
        made = layer.apply({"params": {"cell": parameters}}, inputs, **flags, **given)
        return sum(jax.tree.leaves(jax.tree.map(lambda x, w: (x * w).sum(), made, cast(weights)))), made

    arguments, places = cast(arguments), (0, 1, 2) if resets is None else (0, 1, 2, 3)
    if not gradients:
        return jax.jit(run)(*arguments)[1]
    (_, made), found = jax.jit(jax.value_and_grad(run, places, has_aux=True))(*arguments)
    return made, found


def drawn(name, **options):
    parameters, inputs, carry, weights = problem(name, dtype="float32", **options)
    other = jax.tree.map(lambda leaf: jnp.cos(3 * leaf), carry)
    return (parameters, inputs, carry, other), weights


def agree(name, scaled=1e-5, dtype="float32", how=True, sizes=None, **options):
    """The kernels' numbers, in their dtype, and those of the scan in float64, of the same drawn numbers."""
    arguments, weights = drawn(name, **(sizes or {}))
    rounded = jax.tree.map(lambda leaf: leaf.astype(dtype).astype("float32"), (arguments, weights))
    with jax.default_matmul_precision("highest"), interpreted(how):
        ours = results(name, "pallas", *rounded, dtype, **options)
    with jax.enable_x64(True):
        theirs = results(name, "scan", *rounded, "float64", **options)
    assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(ours))
    wide = lambda tree: jax.tree.map(lambda leaf: np.asarray(leaf, "float64"), tree)  # noqa: E731
    assert_close(wide(ours), wide(theirs), scaled)


@both_cells
@pytest.mark.parametrize(
    ("kind", "resets", "reverse"),
    [
        ("holes", RESETS, False),
        pytest.param("lengths", RESETS, True, marks=pytest.mark.slow),
        pytest.param("none", None, False, marks=LONG),
        pytest.param("none", RESETS, True, marks=LONG),
        pytest.param("holes", None, True, marks=LONG),
    ],
)
def test_results_and_gradients_are_those_of_the_scan_in_float64(name, kind, resets, reverse):
    agree(name, mask=MASKS[kind], resets=resets, reverse=reverse)


@pytest.mark.slow
@both_cells
@pytest.mark.parametrize("reverse", [False, pytest.param(True, marks=LONG)])
def test_in_bfloat16_they_are_so_but_for_rounding(name, reverse):
    agree(name, 0.03, "bfloat16", mask=MASKS["holes"], resets=RESETS, reverse=reverse)


@both_cells
def test_without_a_gradient_the_forward_pass_is_another_one(name):
    agree(name, mask=MASKS["holes"], resets=RESETS, gradients=False, reverse=name == "gru")


@both_cells
@pytest.mark.parametrize(
    ("batch", "unroll"),
    [(21, 1), pytest.param(21, 4, marks=pytest.mark.slow), pytest.param(32, 4, marks=LONG)],
)
def test_batches_and_steps_that_do_not_divide_into_tiles(monkeypatch, name, batch, unroll):
    """Tiles of 16 rows, the second with 5; and 6 steps, four in an iteration."""
    monkeypatch.setattr(calls, "MOST_ROWS", 16)
    random = np.random.default_rng(1)
    mask, resets = (random.random((batch, 6)) < share for share in (0.7, 0.3))
    sizes = {"batch": batch}
    agree(name, sizes=sizes, mask=mask, resets=resets & mask, unroll=unroll, reverse=unroll > 1)


@pytest.mark.slow
@both_cells
@pytest.mark.parametrize("reverse", [False, pytest.param(True, marks=LONG)])
def test_a_tpus_memories_hold_no_race_and_nothing_that_was_not_written(monkeypatch, name, reverse):
    """The interpreter imitates them, with NaN in what nobody wrote: two tiles, without a call compiled as a whole."""
    from jax._src.pallas.mosaic.interpret import interpret_pallas_call

    monkeypatch.setattr(calls, "MOST_ROWS", 16)
    monkeypatch.setattr(jax, "jit", lambda function: function)
    how = pltpu.InterpretParams(detect_races=True, uninitialized_memory="nan")
    random = np.random.default_rng(1)
    mask, resets = (random.random((32, 3)) < share for share in (0.7, 0.3))
    sizes = {"batch": 32, "steps": 3}
    agree(name, how=how, sizes=sizes, mask=mask, resets=resets & mask, reverse=reverse)
    assert interpret_pallas_call.races is not None and not interpret_pallas_call.races.races_found


@pytest.mark.slow
@both_cells
@pytest.mark.parametrize("options", [{}, pytest.param({"remat": 3}, marks=LONG)], ids=str)
def test_a_model_of_two_directions_gives_the_numbers_of_the_scan(name, options):
    """Two bidirectional layers, two batch axes, a row without steps, NaN in the padding and weight dropout."""

    def model(implementation):
        layer = functools.partial(RNN, implementation=implementation, weight_dropout=0.3, **options)
        both = [Bidirectional(layer(CELLS[name](4)), layer(CELLS[name](4), reverse=True)) for _ in range(2)]
        return StackedRNN(both)

    lengths = np.array([[5, 0], [2, 3]])
    inputs = np.random.default_rng(0).normal(size=(2, 2, 5, 3)).astype(np.float32)
    inputs[np.arange(5) >= lengths[..., None]] = np.nan
    variables = jax.jit(model("scan").init)(jax.random.key(0), inputs)
    with interpreted():
        own = jax.eval_shape(model("pallas").init, jax.random.key(0), inputs)
    assert jax.tree.map(jnp.shape, own) == jax.tree.map(jnp.shape, variables)

    def gradient(implementation):
        def run(variables):
            rngs = {"dropout": jax.random.key(1)}
            made = model(implementation).apply(variables, inputs, lengths=lengths, train=True, rngs=rngs)
            return sum(jnp.sin(leaf).sum() for leaf in jax.tree.leaves(made))

        return jax.jit(jax.value_and_grad(run))(variables)

    with jax.default_matmul_precision("highest"):
        with interpreted(), rnnjax.reporting() as ran:
            ours = gradient("pallas")
        assert set(ran.values()) == {"pallas"}
        assert_close(ours, gradient("scan"), 1e-5)


def test_where_nothing_is_differentiated_nothing_is_saved(monkeypatch):
    made = []
    monkeypatch.setattr(calls, "_loop", lambda *given, of=calls._loop: made.append(set(given[5])) or of(*given))
    arguments, _ = drawn("lstm")
    layer = RNN(LSTMCell(4), implementation="pallas")
    with interpreted():
        run = lambda parameters: layer.apply({"params": {"cell": parameters}}, arguments[1])[1].sum()  # noqa: E731
        jax.jit(run).lower(arguments[0])
        jax.jit(jax.grad(run)).lower(arguments[0])
    assert made == [{"outputs"}, {"outputs", "gates", "cells", "before"}, {"d_projected"}]


# What JAX makes of them.

X = jax.random.normal(jax.random.key(1), (4, 5, 3))
COUNTS = jnp.array([5, 0, 2, 4])
FEW = ("vmap", "gradients of each example")


def transformed(name, transformation):
    """The same of the kernels and of the fused recurrence."""
    cell = CELLS[name](4)
    layers = [RNN(cell, implementation=implementation) for implementation in ("pallas", "fused")]
    variables = jax.jit(layers[1].init)(jax.random.key(0), X)
    loss = lambda layer, v, x, n=COUNTS: (layer.apply(v, x, lengths=n)[1] ** 2).sum()  # noqa: E731
    with interpreted():
        ours, theirs = (transformation(functools.partial(loss, layer), variables) for layer in layers)
    assert_close(ours, theirs, 1e-5)


@pytest.mark.parametrize(
    ("name", "way"),
    [
        pytest.param(name, way, marks=() if name == "gru" and way in FEW else LONG)
        for name in ("lstm", "gru")
        for way in INSIDE
    ],
)
def test_a_transformation_changes_no_number(monkeypatch, name, way):
    from tests import test_cudnn_transformed as other

    def run(f, variables):
        twice = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), variables)
        for known, value in {"VARIABLES": variables, "TWICE": twice}.items():
            monkeypatch.setattr(other, known, value)
        return jax.jit(lambda: INSIDE[way](f))()

    transformed(name, run)


@pytest.mark.slow
@both_cells
def test_gradients_inside_shard_map_are_summed_as_others(name):
    def run(f, variables):
        mesh = jax.make_mesh((4,), ("data",), (AxisType.Auto,))
        total = lambda v, x, n: jax.lax.psum(f(v, x, n), "data")  # noqa: E731
        specs = {"mesh": mesh, "in_specs": (P(), P("data"), P("data"))}
        return jax.jit(jax.shard_map(jax.grad(total, (0, 1)), out_specs=(P(), P("data")), **specs))(
            variables, X, COUNTS
        )

    transformed(name, run)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [(None, "DEFAULT"), ("highest", "HIGHEST"), ("tensorfloat32", "HIGHEST"), ("float32", "HIGHEST")],
)
def test_float32_products_have_the_precision_that_is_asked_for(monkeypatch, wanted, found):
    seen = set()

    def product(*given, of=jax.lax.dot_general, **options):
        seen.add((options["precision"], options["preferred_element_type"]))
        return of(*given, **options)

    (parameters, inputs, *_), _ = drawn("gru")
    layer = RNN(GRUCell(4), implementation="pallas")
    loss = lambda p: layer.apply({"params": {"cell": p}}, inputs)[1].sum()  # noqa: E731
    monkeypatch.setattr(calls.lax, "dot_general", product)
    with interpreted(), jax.default_matmul_precision(wanted) if wanted else contextlib.nullcontext():
        jax.jit(jax.grad(loss)).lower(parameters)
    exact = jax.lax.Precision[found]
    assert ((exact, exact), jnp.float32) in seen


# What they refuse, and who takes them.


def refusal(cell=LSTMCell, features=128, shape=(3, 6, 2), platform="tpu", carries=False, flags=None, **options):
    layer = RNN(cell(features), implementation="pallas", **options)
    call = functools.partial(layer.init_with_output, train=True, return_carries=carries, **(flags or {}))
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    with target.tracing_for(platform), pytest.raises(UsageError) as error:
        jax.eval_shape(lambda: call(keys, jnp.zeros(shape)))
    said = str(error.value)
    assert said.startswith("RNN: implementation='pallas' cannot run ")
    assert said.endswith("; use implementation='auto' or 'scan'")
    return said


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"cell": rnnjax.SimpleRNNCell}, "LSTMCell and GRUCell themselves alone have kernels for a TPU"),
        ({"cell": CoupledLSTMCell}, "LSTMCell and GRUCell themselves alone have kernels for a TPU"),
        ({"zoneout": 0.1, "recurrent_dropout": 0.1}, "it has zoneout, recurrent_dropout, which its kernels have not;"),
        ({"recurrent_dropout": 0.1, "variational": False}, "it has recurrent_dropout, which its kernels have not;"),
        ({"carries": True}, "it gives the last carry alone"),
        ({"features": 640}, "it has 640 features, and the recurrent kernel fits a TPU's memory up to 512;"),
        ({"features": 100}, "it has 100 features, and on a TPU they must be a multiple of 128;"),
        ({"shape": (3, 0, 2)}, "it has a sequence without steps;"),
        ({"shape": (0, 6, 2)}, "it has a batch without rows;"),
        ({"platform": "cpu"}, "its kernels are for a TPU, and JAX runs on cpu;"),
        ({"platform": "gpu", "cell": GRUCell}, "its kernels are for a TPU, and JAX runs on gpu;"),
        (
            {"cell": functools.partial(LSTMCell, dtype=jnp.float16)},
            "its products are float16, and the kernels know float32 and bfloat16;",
        ),
        (
            {"cell": functools.partial(LSTMCell, dtype=jnp.bfloat16, carry_dtype=jnp.float32)},
            "its carry is float32 and its products are bfloat16, but both must be of one dtype;",
        ),
    ],
)
def test_what_the_kernels_cannot_is_refused_by_name(options, reason):
    assert reason in refusal(**options)


def test_a_cell_with_a_step_of_its_own_has_no_kernel():
    class Doubled(GRUCell):
        def step(self, carry, projected, noise=None):
            return super().step(2 * carry, projected)

    assert "themselves alone have kernels for a TPU" in refusal(Doubled)


def test_the_functions_say_so_as_well():
    given = jnp.zeros((2, 3, 16)), jnp.zeros((4, 16)), (jnp.zeros((3, 4)), jnp.zeros((3, 4)))
    with pytest.raises(UsageError, match=r"lstm_sequence: the Pallas kernels cannot run here: .* JAX runs on cpu"):
        pallas.lstm_sequence(*given)
    with pytest.raises(UsageError, match="resets alone of the extras, no noise and no stay"), interpreted():
        pallas.lstm_sequence(*given, extras=fused.Extras(noise=jnp.ones((3, 4))))


def test_a_dtype_may_be_a_word():
    with target.tracing_for("tpu"):
        layer = RNN(GRUCell(128, dtype="bfloat16"), implementation="pallas")
        made = jax.eval_shape(layer.init_with_output, jax.random.key(0), jnp.zeros((3, 6, 2)))
    assert made[0][1].dtype == jnp.bfloat16


def test_free_sizes_are_refused():
    shape = jax.ShapeDtypeStruct(jax.export.symbolic_shape("b, t, 2"), jnp.float32)
    layer = RNN(LSTMCell(128), implementation="pallas")
    with target.tracing_for("tpu"), pytest.raises(UsageError, match="its number of steps or of rows is free"):
        jax.eval_shape(layer.init, jax.random.key(0), shape)


@both_cells
def test_auto_takes_them_where_they_were_measured_alone(monkeypatch, name):
    def taken(features=128):
        with rnnjax.reporting() as ran, target.tracing_for("tpu"):
            jax.eval_shape(RNN(CELLS[name](features)).init, jax.random.key(0), jnp.zeros((3, 6, 2)))
        return ran[""]

    assert taken() == "fused"
    monkeypatch.setattr(measured, "table", lambda: {"tpu": {name: {"order": ["pallas", "fused"]}}})
    assert (taken(), taken(100)) == ("pallas", "fused")
