"""Fused recurrences against the scanned cells under autodiff, finite differences, and the compiled program."""

import functools
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from rnnjax.errors import UsageError
from rnnjax.layers.cells import GRUCell, LSTMCell, SimpleRNNCell
from rnnjax.layers.fused import gru_sequence, lstm_sequence, project, simple_rnn_sequence
from rnnjax.layers.recurrence import RNN
from tests.marks import LONG

CELLS = {
    "lstm": LSTMCell,
    "gru": GRUCell,
    "tanh": SimpleRNNCell,
    "relu": functools.partial(SimpleRNNCell, activation=nn.relu),
}
GATES = {"lstm": 4, "gru": 3, "tanh": 1, "relu": 1}
every_cell = pytest.mark.parametrize("name", CELLS)


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def fused(name, parameters, inputs, mask, carry, **options):
    """The fused recurrence as RNN calls it: ``inputs [B, T, D]``, and the scanned cell's parameters."""
    projected = project(jnp.swapaxes(inputs, 0, 1), parameters["input_kernel"].astype(inputs.dtype))
    mask = None if mask is None else mask.T
    carry, outputs = sequence(name)(projected, parameters, carry, mask, bias=parameters["bias"], **options)
    return carry, jnp.swapaxes(outputs, 0, 1)


def sequence(name):
    """``call(projected, parameters, carry, mask, **options)`` for every cell alike."""
    if name == "gru":
        return lambda projected, p, *rest, **options: gru_sequence(
            projected, p["recurrent_kernel"], p["recurrent_bias"], *rest, **options
        )
    if name == "lstm":
        return lambda projected, p, *rest, **options: lstm_sequence(projected, p["recurrent_kernel"], *rest, **options)
    activation = {"tanh": jnp.tanh, "relu": nn.relu}[name]
    return lambda projected, p, *rest, **options: simple_rnn_sequence(
        projected, p["recurrent_kernel"], *rest, activation=activation, **options
    )


def scanned(name, features, **options):
    """The same recurrence by RNN under autodiff, with the signature of :func:`fused`."""

    def run(parameters, inputs, mask, carry):
        layer = RNN(CELLS[name](features, param_dtype=inputs.dtype), **options)
        return layer.apply({"params": {"cell": parameters}}, inputs, mask=mask, initial_carry=carry)

    return run


def problem(name, batch=3, steps=6, width=2, features=4, dtype="float64", seed=0):
    """Random parameters (biases too), inputs, carry and weights of a scalar loss over all results."""
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return jnp.asarray(rng.standard_normal(shape) * 0.7, dtype)

    gates = GATES[name]
    parameters = {
        "input_kernel": draw(width, gates * features),
        "recurrent_kernel": draw(features, gates * features),
        "bias": draw(gates * features),
    }
    if name == "gru":
        parameters["recurrent_bias"] = draw(features)
    carry = draw(batch, features)
    if name == "lstm":
        carry = (carry, draw(batch, features))
    weights = (jax.tree.map(lambda leaf: draw(*leaf.shape), carry), draw(batch, steps, features))
    return parameters, draw(batch, steps, width), carry, weights


def loss(run, weights):
    """A scalar in which every result counts, of (parameters, inputs, carry)."""

    def scalar(parameters, inputs, carry, mask):
        results = run(parameters, inputs, mask, carry)
        return sum(jax.tree.leaves(jax.tree.map(lambda x, w: (x * w).sum(), results, weights)))

    return scalar


def assert_close(ours, theirs, scaled):
    """Every leaf within ``scaled`` times (1 + its largest entry)."""
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=scaled * (1 + np.abs(np.asarray(b)).max(initial=0))),
        ours,
        theirs,
    )


MASKS = {
    "none": None,
    "lengths": np.arange(6) < np.array([6, 0, 4])[:, None],
    "holes": np.array([[1, 0, 1, 1, 0, 1], [0, 0, 1, 0, 1, 0], [0, 1, 1, 1, 1, 1]], bool),
}


@every_cell
@pytest.mark.parametrize(("kind", "reverse", "unroll"), [("none", False, 2), ("lengths", True, 1), ("holes", False, 1)])
def test_results_and_gradients_are_those_of_the_scanned_cell(x64, name, kind, reverse, unroll):
    *arguments, weights = problem(name)
    mask = MASKS[kind] if MASKS[kind] is None else jnp.asarray(MASKS[kind])
    ours = loss(functools.partial(fused, name, reverse=reverse, unroll=unroll), weights)
    theirs = loss(scanned(name, 4, reverse=reverse), weights)
    value, gradients = jax.jit(jax.value_and_grad(theirs, (0, 1, 2)))(*arguments, mask)
    # Without and with a gradient, the forward pass is another one.
    assert_close(jax.jit(ours)(*arguments, mask), value, 1e-12)
    assert_close(jax.jit(jax.value_and_grad(ours, (0, 1, 2)))(*arguments, mask), (value, gradients), 1e-12)


@pytest.mark.parametrize(
    ("name", "dtype", "scaled"),
    [("lstm", "float32", 1e-5), ("lstm", "bfloat16", 0.1), ("gru", "bfloat16", 0.1), ("tanh", "bfloat16", 0.1)],
)
def test_lower_precision(name, dtype, scaled):
    parameters, inputs, carry, weights = problem(name, dtype="float32")
    mask = jnp.asarray(MASKS["lengths"])
    cast = functools.partial(jax.tree.map, lambda leaf: leaf.astype(dtype))

    @functools.partial(jax.jit, static_argnums=0)
    def gradient(run, inputs, carry):
        return jax.grad(loss(run, weights), (0, 1, 2))(parameters, inputs, carry, mask)

    # Parameters stay float32, as a module's do: the sequence functions compute in the inputs' dtype.
    ours = gradient(functools.partial(fused, name), cast(inputs), cast(carry))
    assert ours[0]["recurrent_kernel"].dtype == jnp.float32 and ours[1].dtype == jnp.dtype(dtype)
    assert_close(cast(ours), cast(gradient(scanned(name, 4), inputs, carry)), scaled)
    results = jax.eval_shape(lambda: fused(name, parameters, cast(inputs), mask, cast(carry)))
    assert {leaf.dtype for leaf in jax.tree.leaves(results)} == {jnp.dtype(dtype)}


@every_cell
def test_gradients_agree_with_finite_differences(x64, name):
    parameters, inputs, carry, _ = problem(name, batch=2, steps=3, features=2)
    mask = jnp.array([[True, True, False], [True, False, True]])
    run = jax.jit(lambda parameters, inputs, carry: fused(name, parameters, inputs, mask, carry))
    check_grads(run, (parameters, inputs, carry), 1, ["rev"])


@pytest.mark.parametrize(("name", "batch"), [("lstm", 2), pytest.param("gru", 1, marks=pytest.mark.slow), ("tanh", 2)])
def test_gradients_of_gradients(x64, name, batch):
    *arguments, weights = problem(name, batch=batch, steps=3, features=2)

    @functools.partial(jax.jit, static_argnums=0)
    def sharpness(run):
        gradient = jax.grad(loss(run, weights), (0, 2))
        return jax.grad(lambda *args: sum((leaf**2).sum() for leaf in jax.tree.leaves(gradient(*args, None))))(
            *arguments
        )

    assert_close(sharpness(functools.partial(fused, name)), sharpness(scanned(name, 2)), 1e-12)


@pytest.mark.parametrize("name", ["lstm", "gru", "tanh"])
def test_vmap_and_checkpoint(x64, name):
    first, second = (problem(name, batch=2, seed=seed) for seed in range(2))
    run = loss(functools.partial(fused, name), first[3])
    gradient = jax.jit(lambda *args: jax.grad(run)(*args, None))
    stack = functools.partial(jax.tree.map, lambda *leaves: jnp.stack(leaves))
    each = [gradient(*first[:3]), gradient(*second[:3])]
    assert_close(jax.jit(jax.vmap(gradient))(*stack(first[:3], second[:3])), stack(*each), 1e-13)
    assert_close(jax.jit(jax.grad(jax.checkpoint(lambda *args: run(*args, None))))(*first[:3]), each[0], 1e-13)


@every_cell
def test_a_bias_already_projected_gives_the_same(x64, name):
    parameters, inputs, carry, _ = problem(name)
    projected = jnp.swapaxes(inputs, 0, 1) @ parameters["input_kernel"] + parameters["bias"]
    ours = jax.jit(lambda: sequence(name)(projected, parameters, carry, None))()
    theirs = jax.jit(lambda: fused(name, parameters, inputs, None, carry))()
    assert_close(ours, (theirs[0], jnp.swapaxes(theirs[1], 0, 1)), 1e-13)


@every_cell
def test_nan_at_masked_steps_reaches_nothing(x64, name):
    parameters, _, carry, _ = problem(name)
    mask = jnp.asarray(MASKS["holes"]).T
    clean = jnp.asarray(np.random.default_rng(1).standard_normal((6, 3, 4 * GATES[name])))
    dirty = jnp.where(mask[..., None], clean, jnp.nan)

    def total(parameters, projected):
        carry_out, outputs = sequence(name)(projected, parameters, carry, mask, bias=parameters["bias"])
        return (outputs**2).sum() + sum(leaf.sum() for leaf in jax.tree.leaves(carry_out))

    gradient = jax.jit(jax.value_and_grad(total, (0, 1)))
    value, (d_parameters, d_projected) = gradient(parameters, dirty)
    assert_close((value, d_parameters), (gradient(parameters, clean)[0], gradient(parameters, clean)[1][0]), 1e-13)
    assert np.all(np.asarray(d_projected)[~np.asarray(mask)] == 0)
    assert np.all(np.asarray(d_projected)[np.asarray(mask)] != 0) or name == "relu"


@pytest.mark.parametrize("name", ["lstm", "gru", "tanh"])
@pytest.mark.parametrize(("batch", "steps"), [(3, 6), (3, 0)])
def test_rows_and_sequences_without_steps_keep_the_carry(name, batch, steps):
    parameters, inputs, carry, weights = problem(name, batch, steps, dtype="float32")
    mask = jnp.zeros((batch, steps), bool)
    last, outputs = fused(name, parameters, inputs, mask, carry)
    assert_close(last, carry, 0)
    assert outputs.shape == (batch, steps, 4) and not np.asarray(outputs).any()
    run = loss(functools.partial(fused, name), weights)
    d_parameters, d_carry = jax.jit(jax.grad(run, (0, 2)))(parameters, inputs, carry, mask)
    assert_close(d_carry, weights[0], 0)
    assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(d_parameters))


@every_cell
def test_forward_mode_is_the_transpose_of_the_backward_pass(name, x64):
    parameters, inputs, carry, _ = problem(name)
    mask = jnp.arange(6) < jnp.array([6, 2, 4])[:, None]
    run = lambda *given: fused(name, given[0], given[1], mask, given[2])  # noqa: E731
    given = parameters, inputs, carry
    moved = jax.tree.map(jnp.cos, given)
    results, tangents = jax.jvp(run, given, moved)
    assert_close(results, run(*given), 1e-12)
    assert_close(tangents, jax.jvp(lambda *g: scanned(name, 4)(g[0], g[1], mask, g[2]), given, moved)[1], 1e-12)
    pulled = jax.vjp(run, *given)[1](jax.tree.map(jnp.sin, results))
    inner = lambda a, b: sum(jnp.vdot(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))  # noqa: E731
    np.testing.assert_allclose(inner(pulled, moved), inner(jax.tree.map(jnp.sin, results), tangents), rtol=1e-10)


def test_inside_a_module_under_pmap():
    if jax.local_device_count() < 2:
        pytest.skip("needs two devices; tests/conftest.py simulates them")
    parameters, inputs, carry, weights = problem("lstm", batch=4, dtype="float32")

    class Layer(nn.Module):
        @nn.compact
        def __call__(self, inputs, carry):
            given = {key: self.param(key, lambda _, value=value: value) for key, value in parameters.items()}
            return fused("lstm", given, inputs, None, carry)

    layer = Layer()
    variables = layer.init(jax.random.key(0), inputs, carry)

    def gradient(variables, inputs, carry, weights):
        run = loss(lambda variables, inputs, _, carry: layer.apply(variables, inputs, carry), weights)
        return jax.grad(run)(variables, inputs, carry, None)

    halves = jax.tree.map(lambda leaf: leaf.reshape(2, 2, *leaf.shape[1:]), (inputs, carry, weights))
    spread = jax.pmap(
        lambda *args: jax.lax.psum(gradient(*args), "batch"), "batch", in_axes=(None, 0, 0, 0), out_axes=None,
        devices=jax.local_devices()[:2],
    )(variables, *halves)  # fmt: skip
    assert_close(spread, jax.jit(gradient)(variables, inputs, carry, weights), 1e-5)


# The compiled program. Shapes differ from each other so that an array can be told by its shape.


def compiled(name, batch, steps=200, width=16, features=32, masked=False, gradient=True):
    """The program of a loss on all outputs, or of its gradient, compiled and not run."""
    parameters, inputs, carry, _ = jax.eval_shape(lambda: problem(name, batch, steps, width, features, "float32"))
    mask = jax.ShapeDtypeStruct((batch, steps), bool) if masked else None

    def run(parameters, inputs, mask, carry):
        return (fused(name, parameters, inputs, mask, carry)[1] ** 2).sum()

    return jax.jit(jax.grad(run) if gradient else run).lower(parameters, inputs, mask, carry).compile()


def copies_in_loops(program):
    """Shapes of all arrays that ``copy`` instructions make within the program's loops."""
    computations, name = {}, None
    for line in program.as_text().splitlines():
        if line.endswith("{") and not line.startswith(" "):
            name = re.match(r"(?:ENTRY )?%?([\w.\-]+)", line)[1]
        computations.setdefault(name, []).append(line)
    reached, todo = set(), re.findall(r"body=%?([\w.\-]+)", program.as_text())
    assert todo, "the program has no loop"
    while todo:
        name = todo.pop()
        if name not in reached:
            reached.add(name)
            todo += re.findall(r"(?:calls|body|to_apply)=%?([\w.\-]+)", "\n".join(computations[name]))
    lines = "\n".join(line for name in reached for line in computations[name])
    return [tuple(map(int, shape.split(","))) for shape in re.findall(r"= \w+\[([\d,]+)\]\S* copy\(", lines)]


@pytest.mark.parametrize(
    ("name", "batch", "masked"),
    [
        pytest.param(
            name,
            *case,
            marks=[] if name == "lstm" or (case[1] and name != "relu") else LONG,
        )
        for name in CELLS
        for case in [(8, False), (8, True), (1, False)]
    ],
)
@pytest.mark.optimized
def test_no_loop_copies_a_whole_sequence(name, batch, masked):
    copied = copies_in_loops(compiled(name, batch, masked=masked))
    assert not [shape for shape in copied if shape[:1] == (200,)]


@pytest.mark.optimized
def test_a_loop_that_copies_is_noticed():
    def step(buffer, index):
        return buffer.at[index].set(buffer[::-1].sum(0)), buffer[-1] - buffer[0]

    program = jax.jit(lambda buffer: jax.lax.scan(step, buffer, jnp.arange(200))).lower(jnp.ones((200, 8, 4))).compile()
    assert (200, 8, 4) in copies_in_loops(program)


@pytest.mark.parametrize(
    ("name", "flax_cell", "share"),
    [("lstm", nn.OptimizedLSTMCell, 0.65), ("gru", nn.GRUCell, 0.8), ("tanh", nn.SimpleCell, 0.75)],
)
@pytest.mark.optimized
def test_temporaries_against_flax(name, flax_cell, share):
    batch, steps, width, features = 64, 200, 128, 128
    layer = nn.RNN(flax_cell(features))
    inputs = jax.ShapeDtypeStruct((batch, steps, width), jnp.float32)
    variables = jax.eval_shape(layer.init, jax.random.key(0), inputs)
    gradient = jax.grad(lambda variables, inputs: (layer.apply(variables, inputs) ** 2).sum())
    theirs = jax.jit(gradient).lower(variables, inputs).compile().memory_analysis().temp_size_in_bytes
    ours = compiled(name, batch, steps, width, features).memory_analysis().temp_size_in_bytes
    assert ours <= share * theirs


@every_cell
@pytest.mark.optimized
def test_nothing_is_saved_without_a_gradient(name):
    gates = GATES[name]
    program = compiled(name, 8, gradient=False)
    # The projected inputs, the inputs time-major, the outputs; and less than half another array of outputs.
    assert program.memory_analysis().temp_size_in_bytes <= 4 * 200 * 8 * (32 * gates + 16 + 1.5 * 32)


def test_what_cannot_be_right_is_refused():
    parameters, _, carry, _ = problem("lstm", dtype="float32")
    kernel, projected = parameters["recurrent_kernel"], jnp.zeros((6, 3, 16))
    with pytest.raises(UsageError, match=r"projected must have shape \[T, B, 4 \* H\], got \(6, 16\)"):
        lstm_sequence(projected[:, 0], kernel, carry)
    with pytest.raises(UsageError, match=r"recurrent_kernel must have shape \(4, 16\), got \(16, 4\)"):
        lstm_sequence(projected, kernel.T, carry)
    with pytest.raises(UsageError, match=r"carry must have shape \(3, 4\), got \(4,\)"):
        lstm_sequence(projected, kernel, (carry[0], carry[1][0]))
    with pytest.raises(UsageError, match=r"bias must have shape \(16,\), got \(4,\)"):
        lstm_sequence(projected, kernel, carry, bias=jnp.zeros(4))
    with pytest.raises(UsageError, match=r"mask must be boolean of shape \(6, 3\), got float32 \(6, 3\)"):
        lstm_sequence(projected, kernel, carry, jnp.ones((6, 3)))
    with pytest.raises(UsageError, match=r"recurrent_bias must have shape \(4,\), got \(12,\)"):
        gru_sequence(projected[..., :12], kernel[:, :12], jnp.zeros(12), carry[0])
    with pytest.raises(UsageError, match=r"activation must be jnp.tanh or nn.relu"):
        simple_rnn_sequence(projected[..., :4], kernel[:, :4], carry[0], activation=nn.gelu)
