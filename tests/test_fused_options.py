"""The options of RNN on the fused recurrences: the numbers of the scanned cell, and the same random masks."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from rnnjax.errors import UsageError
from rnnjax.layers.fused import Extras, gru_sequence, loops, lstm_sequence, simple_rnn_sequence
from rnnjax.layers.recurrence import RNN
from tests.marks import LONG, often
from tests.test_fused import CELLS, MASKS, assert_close, copies_in_loops, problem

RESETS = np.array([[0, 0, 1, 0, 0, 1], [1, 0, 0, 0, 1, 0], [0, 1, 0, 1, 0, 0]], bool)
KEY = {"dropout": jax.random.key(3)}
ALL = {"weight_dropout": 0.3, "recurrent_dropout": 0.4, "zoneout": 0.25, "resets": True, "mask": "holes"}
OPTIONS = {
    "weight dropout": {"weight_dropout": 0.3},
    "variational dropout": {"recurrent_dropout": 0.4, "mask": "lengths"},
    "dropout at each step": {"recurrent_dropout": 0.4, "variational": False},
    "zoneout": {"zoneout": 0.25, "mask": "holes"},
    "zoneout at test time": {"zoneout": 0.25, "train": False, "mask": "holes"},
    "resets": {"resets": True, "mask": "holes"},
    "all": ALL,
    "all, backwards": ALL | {"variational": False, "reverse": True, "remat": 4},
}


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def scalar(name, weights, implementation, train=True, resets=False, mask="none", **options):
    """A scalar in which every result of an RNN counts, of (parameters, inputs, carry, reset_carry)."""
    layer = RNN(CELLS[name](4, param_dtype=jnp.float64), implementation=implementation, **options)

    def run(parameters, inputs, carry, reset_carry):
        results = layer.apply(
            {"params": {"cell": parameters}},
            inputs,
            mask=None if MASKS[mask] is None else jnp.asarray(MASKS[mask]),
            resets=jnp.asarray(RESETS) if resets else None,
            initial_carry=carry,
            reset_carry=reset_carry,
            train=train,
            rngs=KEY,
        )
        return sum(jax.tree.leaves(jax.tree.map(lambda x, w: (x * w).sum(), results, weights)))

    return run


# All options at once for every cell; alone, what "all" has not: other masks, another direction, no training. Every
# option by itself waits for .ci/all: one function applies them to all cells.
ALONE = {("lstm", option) for option in ("variational dropout", "zoneout at test time", "all, backwards")}


CASES = often([(name, option) for name in CELLS for option in OPTIONS], ALONE | {(name, "all") for name in CELLS})


@pytest.mark.parametrize(("name", "option"), CASES)
def test_results_and_gradients_are_those_of_the_scanned_cell(x64, name, option):
    options = dict(OPTIONS[option])
    if name == "lstm" and "zoneout" in options:
        options["zoneout"] = (0.25, 0.1)
    *arguments, weights = problem(name)
    arguments.append(jax.tree.map(lambda leaf: 0.3 - leaf, arguments[2]))
    ours, theirs = (scalar(name, weights, implementation, **options) for implementation in ("fused", "scan"))
    value, gradients = jax.jit(jax.value_and_grad(theirs, (0, 1, 2, 3)))(*arguments)
    assert_close(jax.jit(ours)(*arguments), value, 1e-12)
    assert_close(jax.jit(jax.value_and_grad(ours, (0, 1, 2, 3)))(*arguments), (value, gradients), 1e-12)
    plain = jax.jit(scalar(name, weights, "scan", mask=options.get("mask", "none")))(*arguments)
    assert abs(plain - value) > 1e-3  # the option is on


def everything(name, batch, steps, features, dtype, seed=0):
    """Every part of Extras, with masks that a real draw would make and a [B, H] noise."""
    random = np.random.default_rng(seed)
    flags = lambda *shape: jnp.asarray(random.random(shape) < 0.4)  # noqa: E731
    normal = lambda: jnp.asarray(random.normal(size=(batch, features)), dtype)  # noqa: E731
    stay, initial = flags(steps, batch, features), normal()
    if name == "lstm":
        stay, initial = (stay, jnp.asarray(0.3, dtype)), (initial, normal())
    return Extras(flags(steps, batch), initial, normal(), stay)


def sequence(name, parameters, projected, carry, extras):
    kernel, bias = parameters["recurrent_kernel"], parameters["bias"]
    if name == "lstm":
        return lstm_sequence(projected, kernel, carry, None, extras, bias=bias)
    if name == "gru":
        return gru_sequence(projected, kernel, parameters["recurrent_bias"], carry, None, extras, bias=bias)
    activation = {"tanh": jnp.tanh, "relu": jax.nn.relu}[name]
    return simple_rnn_sequence(projected, kernel, carry, None, extras, activation=activation, bias=bias)


def total(name, starts, stay):
    def run(parameters, inputs, carry, initial, noise):
        projected = jnp.swapaxes(inputs, 0, 1) @ parameters["input_kernel"]
        results = sequence(name, parameters, projected, carry, Extras(starts, initial, noise, stay))
        return sum(jnp.sin(leaf).sum() for leaf in jax.tree.leaves(results))

    return run


@pytest.mark.parametrize("name", ["lstm", "gru", "tanh"])
def test_gradients_agree_with_finite_differences(x64, name):
    """Also those of the initial carry and of the noise, which is no random mask here."""
    parameters, inputs, carry, _ = problem(name, batch=2, steps=3, features=2)
    extras = everything(name, 2, 3, 2, "float64")
    run = jax.jit(total(name, extras.starts, extras.stay))
    check_grads(run, (parameters, inputs, carry, extras.initial, extras.noise), 1, ["rev"])


@pytest.mark.parametrize("name", ["lstm", pytest.param("gru", marks=pytest.mark.slow)])
def test_gradients_of_gradients_vmap_and_checkpoint(x64, name):
    parameters, inputs, carry, _ = problem(name, batch=2, steps=3, features=2)
    extras = everything(name, 2, 3, 2, "float64")
    run = total(name, extras.starts, extras.stay)
    arguments = (parameters, inputs, carry, extras.initial, extras.noise)
    gradient = jax.grad(run, (0, 3, 4))
    once = jax.jit(gradient)(*arguments)
    assert_close(jax.jit(jax.grad(jax.checkpoint(run), (0, 3, 4)))(*arguments), once, 1e-13)
    twice = jax.jit(jax.vmap(gradient))(*jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), arguments))
    assert_close(jax.tree.map(lambda leaf: leaf[1], twice), once, 1e-13)

    def sharpness(inputs):
        leaves = jax.tree.leaves(gradient(parameters, inputs, *arguments[2:]))
        return sum((leaf**2).sum() for leaf in leaves)

    check_grads(jax.jit(sharpness), (inputs,), 1, ["rev"])


@pytest.mark.parametrize(
    ("name", "reverse"),
    [pytest.param(name, True, marks=[] if name == "lstm" else pytest.mark.slow) for name in CELLS]
    + [pytest.param(name, False, marks=[] if name == "gru" else LONG) for name in CELLS],
)
@pytest.mark.optimized
def test_no_loop_copies_a_whole_sequence(name, reverse):
    """With every option at once, at shapes that tell arrays apart."""
    layer = RNN(CELLS[name](32), reverse=reverse, zoneout=0.1, recurrent_dropout=0.2, implementation="fused")
    inputs = jax.ShapeDtypeStruct((8, 200, 16), jnp.float32)
    flags = jax.ShapeDtypeStruct((8, 200), jnp.bool_)
    variables = jax.eval_shape(layer.init, jax.random.key(0), inputs)

    def run(variables, inputs, mask, resets, key):
        rngs = {"dropout": key}
        return (layer.apply(variables, inputs, mask=mask, resets=resets, train=True, rngs=rngs)[1] ** 2).sum()

    key = jax.eval_shape(lambda: jax.random.key(0))
    program = jax.jit(jax.grad(run)).lower(variables, inputs, flags, flags, key).compile()
    # Splitting the key into 200 is a loop of its own, over vectors.
    assert not [shape for shape in copies_in_loops(program) if shape[:1] == (200,) and len(shape) > 1]


FORWARD = {
    "jvp": lambda run, x: jax.jvp(run, (x,), (x,)),
    "jacfwd": lambda run, x: jax.jacfwd(run)(x),
    "linearize": lambda run, x: jax.linearize(run, x)[1](x),
    "vmap of jvp": lambda run, x: jax.vmap(lambda x: jax.jvp(run, (x,), (x,)))(x[None]),
    "jvp of vmap": lambda run, x: jax.jvp(jax.vmap(run), (x[None],), (x[None],)),
    "jacfwd of jacfwd": lambda run, x: jax.jacfwd(jax.jacfwd(lambda x: run(x).sum()))(x),
    "jacrev of jacfwd": lambda run, x: jax.jacrev(jax.jacfwd(lambda x: run(x).sum()))(x),
    "jvp of checkpoint": lambda run, x: jax.jvp(jax.checkpoint(run), (x,), (x,)),
}


@pytest.mark.parametrize("way", FORWARD)
@pytest.mark.parametrize("jit", often(["inside", "outside"], ["outside"]))
def test_forward_mode_is_that_of_the_scan(way, jit):
    inputs, layer = jnp.asarray(np.random.default_rng(1).normal(size=(2, 3, 2)), "float32"), RNN(CELLS["gru"](4))
    variables = layer.init(jax.random.key(0), inputs)

    def forward(layer):
        run = lambda x: layer.apply(variables, x)[1]  # noqa: E731
        run = jax.jit(run) if jit == "inside" else run
        whole = lambda x: FORWARD[way](run, x)  # noqa: E731
        return (jax.jit(whole) if jit == "outside" else whole)(inputs)

    found = [jax.tree.leaves(forward(layer)) for layer in (layer, layer.clone(implementation="scan"))]
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
        assert np.asarray(ours).any()


@pytest.mark.parametrize("name", ["lstm", "gru", "tanh"])
@pytest.mark.parametrize("argument", [(0, "input_kernel"), (0, "recurrent_kernel"), (0, "bias"), (1,), (2,)])
def test_forward_mode_is_there_for_every_argument(name, argument):
    """Where one alone has a tangent."""
    layer, inputs = RNN(CELLS[name](4)), jnp.ones((2, 3, 2))
    carry = layer.cell.initialize_carry(None, (2, 2), jnp.float32)
    arguments = [layer.init(jax.random.key(0), inputs)["params"]["cell"], inputs, carry]

    def run(layer, value):
        given = list(arguments)
        given[argument[0]] = value if len(argument) == 1 else {**given[0], argument[1]: value}
        return layer.apply({"params": {"cell": given[0]}}, given[1], initial_carry=given[2])[1]

    value = arguments[argument[0]] if len(argument) == 1 else arguments[0][argument[1]]
    dots = jax.tree.map(lambda leaf: jnp.cos(leaf + 1), value)
    ours, theirs = (
        jax.jit(lambda value, layer=layer: jax.jvp(lambda v: run(layer, v), (value,), (dots,)))(value)
        for layer in (layer, layer.clone(implementation="scan"))
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), ours, theirs)
    assert np.asarray(jax.tree.leaves(ours)[-1]).any()


@pytest.mark.parametrize("jit", [pytest.param(False, marks=pytest.mark.slow), True])
def test_forward_over_reverse_is_there(x64, jit):
    """A Hessian's products take forward mode of the gradient, which consists of plain operations."""
    inputs, layer = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 2))), RNN(CELLS["lstm"](4))
    variables = layer.init(jax.random.key(0), inputs)

    def product(layer):
        gradient = jax.grad(lambda x: (layer.apply(variables, x)[1] ** 3).sum())
        whole = lambda x: jax.jvp(gradient, (x,), (jnp.cos(x),))[1]  # noqa: E731
        return (jax.jit(whole) if jit else whole)(inputs)

    np.testing.assert_allclose(product(layer), product(layer.clone(implementation="scan")), rtol=1e-10, atol=1e-14)


@pytest.mark.optimized
def test_nn_scan_compiles_to_the_program_of_lax_scan():
    """As the loops are ``nn.scan`` within rules of differentiation."""

    def step(carry, inputs):
        carry = jnp.tanh(carry @ inputs)
        return carry, carry.sum()

    def program(scan):
        run = jax.jit(lambda carry, steps: scan(step, carry, steps, reverse=True, unroll=1)[1])
        text = run.lower(jnp.ones((3, 4)), jnp.ones((5, 4, 4))).compile().as_text()
        text = text[re.search("^(%|ENTRY)", text, re.MULTILINE).start() :]  # without the names of source lines
        return re.sub(r", metadata=\{.*?\}", "", text)

    assert program(loops.scan) == program(jax.lax.scan)


def test_what_cannot_be_right_is_refused():
    carry = (jnp.zeros((3, 4)),) * 2
    run = lambda extras: lstm_sequence(jnp.zeros((6, 3, 16)), jnp.zeros((4, 16)), carry, None, extras)  # noqa: E731
    with pytest.raises(UsageError, match=r"starts must be boolean of shape \(6, 3\), got float32 \(3, 6\)"):
        run(Extras(starts=jnp.zeros((3, 6))))
    with pytest.raises(UsageError, match=r"noise must have shape \(3, 4\) or \(6, 3, 4\), got \(4,\)"):
        run(Extras(noise=jnp.zeros(4)))
    with pytest.raises(UsageError, match=r"stay must have shape \(\) or \(6, 3, 4\), got \(3, 4\)"):
        run(Extras(stay=(0.1, jnp.zeros((3, 4), bool))))
    with pytest.raises(UsageError, match=r"initial must have shape \(3, 4\), got \(1, 4\)"):
        run(Extras(jnp.zeros((6, 3), bool), (jnp.zeros((3, 4)), jnp.zeros((1, 4)))))
