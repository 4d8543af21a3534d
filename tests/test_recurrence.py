"""Bidirectional and stacked layers, streaming, carries, errors, and one trace a shape."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnjax
from rnnjax.errors import UsageError
from rnnjax.layers.cells import GRUCell, LSTMCell, MinGRUCell, ProjectedLSTMCell, SimpleRNNCell
from rnnjax.layers.recurrence import RNN, Bidirectional, StackedRNN
from tests.cell_cases import BATCH, FEATURES, INPUTS, STEPS, close, drawn_inputs

LENGTHS = np.array([STEPS, 2, 0])
RESETS = np.zeros((BATCH, STEPS), bool)
RESETS[0, 4] = RESETS[1, 1] = True


def lstm(reverse=False, **options):
    return RNN(LSTMCell(FEATURES), reverse=reverse, **options)


def initialised(model, inputs=None, seed=0):
    """Parameters with every entry drawn at random (the biases of fresh ones are zero)."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), drawn_inputs() if inputs is None else inputs)
    random = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: random.normal(size=leaf.shape).astype(leaf.dtype) * 0.6, shapes)


@pytest.mark.parametrize(
    ("merge", "combine"),
    [
        ("concat", lambda a, b: np.concatenate([a, b], -1)),
        ("sum", np.add),
        ("mean", lambda a, b: (a + b) / 2),
        ("mul", np.multiply),
    ],
)
def test_bidirectional_merges_both_directions(merge, combine):
    model = Bidirectional(lstm(), lstm(True), merge)
    variables, inputs = initialised(model), drawn_inputs()
    options = {"lengths": LENGTHS, "resets": RESETS}
    (forward, backward), outputs = jax.jit(lambda v: model.apply(v, inputs, **options))(variables)
    each = {}
    for name in ("forward", "backward"):
        layer, params = lstm(name == "backward"), {"params": variables["params"][name]}
        each[name] = jax.jit(lambda p, layer=layer: layer.apply(p, inputs, **options))(params)
    close((forward, backward), (each["forward"][0], each["backward"][0]), 1e-6)
    close(outputs, combine(np.asarray(each["forward"][1]), np.asarray(each["backward"][1])), 1e-6)
    assert not outputs[1, 2:].any() and not outputs[2].any()


@pytest.mark.slow
def test_stack_is_one_layer_after_the_other():
    model = StackedRNN([lstm(), Bidirectional(lstm(), lstm(True), "sum")], residual=True, pre_norm=True)
    variables, inputs = initialised(model), drawn_inputs()
    mask = np.arange(STEPS) < LENGTHS[:, None]
    garbage = np.where(mask[..., None], inputs, np.float32(np.nan))
    run = jax.jit(lambda v, x: model.apply(v, x, lengths=LENGTHS, resets=RESETS))
    carries, outputs = run(variables, garbage)

    def norm(x, depth):
        p = variables["params"][f"norm_{depth}"]
        x = np.asarray(x)
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * p["scale"] + p["bias"]

    params = variables["params"]
    options = {"lengths": LENGTHS, "resets": RESETS}
    first, hidden = lstm().apply({"params": params["layers_0"]}, norm(inputs, 0), **options)
    second, above = model.layers[1].clone().apply({"params": params["layers_1"]}, norm(hidden, 1), **options)
    # The first layer changes the width from 2 to 4, so that it has no residual.
    close((carries, outputs), ((first, second), above + hidden), 1e-5)
    assert np.isfinite(
        jax.jit(jax.grad(lambda v: run(v, garbage)[1].sum()))(variables)["params"]["norm_0"]["scale"]
    ).all()


def test_residual_adds_to_a_first_layer_of_the_same_width():
    inputs = np.random.default_rng(0).normal(size=(BATCH, STEPS, FEATURES)).astype(np.float32)
    model = StackedRNN([lstm()], residual=True)
    variables = initialised(model, inputs)
    plain = lstm().apply({"params": variables["params"]["layers_0"]}, inputs, lengths=LENGTHS)[1]
    mask = np.arange(STEPS) < LENGTHS[:, None]
    close(model.apply(variables, inputs, lengths=LENGTHS)[1], plain + inputs * mask[..., None], 1e-6)


def test_carries_go_in_as_they_come_out():
    """Stateful use: the second half, from the first half's carry, is the second half of the whole."""
    model = StackedRNN([lstm(), RNN(GRUCell(3))])
    variables, inputs = initialised(model), drawn_inputs()
    run = jax.jit(lambda x, carry=None: model.apply(variables, x, initial_carry=carry))
    last, outputs = run(inputs)
    carry, first = run(inputs[:, :2])
    carry, second = run(inputs[:, 2:], carry)
    close((carry, np.concatenate([first, second], 1)), (last, outputs), 1e-6)


def test_truncated_gradients_stop_at_the_cut():
    """With the carry cut by stop_gradient, the first part's inputs get no gradient from the second part."""
    model, inputs = lstm(), drawn_inputs()
    variables = initialised(model)

    def loss(inputs, cut):
        carry, _ = model.apply(variables, inputs[:, :3])
        carry = jax.lax.stop_gradient(carry) if cut else carry
        return model.apply(variables, inputs[:, 3:], initial_carry=carry)[1].sum()

    whole = jax.jit(jax.grad(lambda x: model.apply(variables, x)[1][:, 3:].sum()))(inputs)
    close(jax.jit(jax.grad(lambda x: loss(x, False)))(inputs), whole, 1e-6)
    truncated = jax.jit(jax.grad(lambda x: loss(x, True)))(inputs)
    assert not truncated[:, :3].any() and whole[:, :3].any()


def test_a_norm_before_a_layer_sees_what_features_far_from_zero_differ_by():
    """Layer norm leaves out what all features have in common; a difference of squares would leave its rounding."""
    model, inputs = StackedRNN([RNN(GRUCell(FEATURES))], pre_norm=True), drawn_inputs()
    params = model.init(jax.random.key(0), inputs)
    close(model.apply(params, inputs + 1000), model.apply(params, inputs), 1e-3)


@pytest.mark.parametrize("model", [lstm(), StackedRNN([lstm(), RNN(GRUCell(3))])], ids=["rnn", "stack"])
def test_streaming_equals_the_scan(model):
    variables, inputs = initialised(model), drawn_inputs()
    step = jax.jit(lambda carry, x: model.apply(variables, carry, x, method="step"))
    carry, outputs = None, []
    for at in range(STEPS):
        carry, output = step(carry, inputs[:, at])
        outputs.append(output)
    close((carry, np.stack(outputs, 1)), jax.jit(model.apply)(variables, inputs), 1e-6)


@pytest.mark.parametrize("implementation", ["scan", "fused"])
@pytest.mark.optimized
def test_a_step_compiles_without_a_loop(implementation):
    model = lstm(implementation=implementation)
    variables, carry = initialised(model), (np.zeros((1, FEATURES), np.float32),) * 2
    step = jax.jit(lambda variables, carry, x: model.apply(variables, carry, x, method="step"))
    assert " while(" not in step.lower(variables, carry, drawn_inputs()[:1, 0]).compile().as_text()


def test_unroll_and_no_steps():
    variables, inputs = initialised(lstm()), drawn_inputs()
    close(jax.jit(lstm(unroll=4).apply)(variables, inputs), jax.jit(lstm().apply)(variables, inputs), 1e-6)
    carry = (np.ones((BATCH, FEATURES), np.float32),) * 2
    last, outputs = lstm().apply(variables, inputs[:, :0], initial_carry=carry)
    close(last, carry, 0)
    assert outputs.shape == (BATCH, 0, FEATURES)


def test_new_lengths_do_not_trace_again():
    traces = []
    model = Bidirectional(lstm(), lstm(True))
    variables = initialised(model)

    @jax.jit
    def run(inputs, lengths, mask, resets):
        traces.append(inputs.shape)
        model.apply(variables, inputs, mask=mask, resets=resets)
        return model.apply(variables, inputs, lengths=lengths, resets=resets)

    for seed in range(3):
        random = np.random.default_rng(seed)
        bits = random.integers(0, 2, size=(2, BATCH, STEPS)).astype(bool)
        run(drawn_inputs(seed=seed), random.integers(0, STEPS + 1, size=BATCH), *bits)
    assert len(traces) == 1


def test_what_runs_is_reported():
    def ran(model, **options):
        with rnnjax.reporting() as implementations:
            apply(model, **options)
        return implementations

    model = StackedRNN([Bidirectional(lstm(), lstm(True, implementation="scan")), RNN(MinGRUCell(3), remat=2)])
    assert ran(model) == {
        "layers_0/forward": "fused",
        "layers_0/backward": "scan",
        "layers_1": "scan" if jax.default_backend() == "cpu" else "associative",
    }
    assert ran(RNN(ProjectedLSTMCell(4, projection=2))) == {"": "scan"}
    assert ran(lstm(zoneout=0.1, weight_dropout=0.1, recurrent_dropout=0.1), resets=RESETS) == {"": "fused"}


def apply(model=None, inputs=None, **options):
    model = lstm() if model is None else model
    inputs = drawn_inputs() if inputs is None else inputs
    return jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), inputs, **options))


HALF = jnp.zeros((BATCH, FEATURES), jnp.bfloat16)
WIDE = jnp.zeros((BATCH, FEATURES + 1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: apply(inputs=np.zeros(3, np.float32)), r"inputs must have shape \[..., T, D\]"),
        (lambda: apply(lengths=[7, 0, 0]), r"lengths must lie in 0..6 .* got 7"),
        (lambda: apply(lengths=[1, -1, 0]), "lengths must lie in 0..6 .* got -1"),
        (lambda: apply(lengths=[1, 2]), r"lengths must be integers with shape \(3,\)"),
        (lambda: apply(lengths=np.ones(3)), "lengths must be integers"),
        (lambda: apply(mask=np.ones((BATCH, STEPS))), "mask must be boolean"),
        (lambda: apply(mask=np.ones((STEPS, BATCH), bool)), "mask must be boolean with shape"),
        (lambda: apply(mask=np.ones((BATCH, STEPS), bool), lengths=[1, 2, 3]), "not both"),
        (lambda: apply(resets=np.ones((BATCH, STEPS))), "resets must be boolean"),
        (
            lambda: apply(resets=np.full((BATCH, STEPS), 2)),
            "resets must be boolean, or integers that are 0 or 1, got 2",
        ),
        (lambda: apply(initial_carry=WIDE), "the initial carry of LSTMCell must be built as"),
        (lambda: apply(initial_carry=(WIDE, WIDE)), r"needs float32 \(3, 4\), got float32 \(3, 5\)"),
        (lambda: apply(initial_carry=(HALF, HALF)), "needs float32 .* got bfloat16"),
        (lambda: apply(reset_carry=WIDE), "the reset carry of LSTMCell must be built as"),
        (
            lambda: apply(reset_carry=(WIDE, WIDE)),
            r"reset carry of LSTMCell needs float32 \(3, 4\), got",
        ),
        (lambda: apply(reset_carry=(HALF, HALF)), "reset carry of LSTMCell needs float32 .* got bfloat16"),
        (lambda: apply(Bidirectional(lstm(), lstm(True)), reset_carry=(None,)), "2 layers or directions, but 1 reset"),
        (lambda: apply(StackedRNN([lstm()]), reset_carry=WIDE), "but no tuple of reset carries"),
        (lambda: apply(RNN(SimpleRNNCell(2), zoneout=(0.1, 0.2))), "2 zoneout rates, but the carry of SimpleRNNCell"),
        (
            lambda: apply(RNN(LSTMCell(2), implementation="associative")),
            "'associative' cannot run LSTMCell here: its recurrence is not linear; use implementation='auto'",
        ),
        (
            lambda: apply(RNN(MinGRUCell(2), implementation="associative", zoneout=0.1)),
            "'associative' cannot run MinGRUCell here: it has zoneout",
        ),
        (
            lambda: apply(RNN(LSTMCell(2), implementation="chunked")),
            "'chunked' cannot run LSTMCell here: its recurrence is not linear; use implementation='auto'",
        ),
        (
            lambda: apply(RNN(MinGRUCell(2), implementation="chunked", zoneout=0.1)),
            "'chunked' cannot run MinGRUCell here: it has zoneout",
        ),
        (
            lambda: apply(RNN(ProjectedLSTMCell(4, projection=2), implementation="fused")),
            "'fused' cannot run ProjectedLSTMCell here: only SimpleRNNCell, LSTMCell and GRUCell themselves",
        ),
        (
            lambda: apply(RNN(SimpleRNNCell(4, activation=jnp.sin), implementation="fused")),
            "its activation is neither jnp.tanh nor nn.relu",
        ),
        (
            lambda: apply(RNN(LSTMCell(2, dtype=jnp.bfloat16, carry_dtype=jnp.float32), implementation="fused")),
            "its carry is float32 and its products are bfloat16",
        ),
        (lambda: lstm(recurrent_dropout=1.0), r"recurrent_dropout must lie in \[0, 1\)"),
        (lambda: lstm(zoneout=(0.1, -0.2)), "zoneout 1 must lie"),
        (lambda: lstm(remat=0), "remat must be a positive number"),
        (lambda: lstm(implementation="fast"), "implementation must be"),
        (lambda: Bidirectional(lstm(), lstm()), "backward RNN needs reverse=True"),
        (lambda: Bidirectional(lstm(True), lstm(True)), "forward RNN needs reverse=False"),
        (lambda: Bidirectional(lstm(), lstm(True), "max"), "merge must be one of"),
        (lambda: apply(Bidirectional(lstm(), RNN(GRUCell(3), True), "sum")), "cannot sum outputs"),
        (lambda: apply(Bidirectional(lstm(), lstm(True)), initial_carry=(None,)), "2 layers or directions, but 1"),
        (lambda: apply(StackedRNN([lstm()]), initial_carry=WIDE), "1 layers or directions, but no tuple of"),
        (lambda: StackedRNN([lstm()], dropout=-0.1), "dropout must lie"),
        (lambda: apply(StackedRNN([lstm(), RNN(GRUCell(3))], residual=True)), "layer 1 makes 3 features of 4"),
        (lambda: lstm(True).apply({}, None, np.zeros((1, INPUTS)), method="step"), "cannot stream"),
        (
            lambda: StackedRNN([lstm(True)]).apply({}, None, np.zeros((1, INPUTS)), method="step"),
            "every layer must be a forward RNN",
        ),
        (
            lambda: apply(RNN(ProjectedLSTMCell(4, projection=2)), initial_carry=(jnp.zeros((3, 4)),) * 2),
            r"needs float32 \(3, 2\), got float32 \(3, 4\)",
        ),
    ],
)
def test_errors_say_what_was_wrong(call, message):
    with pytest.raises(UsageError, match=message):
        call()


def test_lengths_under_jit_are_checked_where_they_are_concrete():
    variables, inputs, lengths = initialised(lstm()), drawn_inputs(), jnp.array([9, 0, 0])
    with pytest.raises(UsageError, match="got 9"):
        jax.jit(lambda x: lstm().apply(variables, x, lengths=lengths))(inputs)
