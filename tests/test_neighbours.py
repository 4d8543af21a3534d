"""Our cells in Flax's layers, Flax's and a stranger's cells in ours, and layers that are no recurrences in a stack."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnjax
from rnnjax import RNN, Bidirectional, GRUCell, LSTMCell, StackedRNN, UsageError
from tests.cell_cases import CELLS, PLAIN_RUN_FIRST, close, drawn_inputs, name_of

BATCH, STEPS, INPUTS, FEATURES = 3, 6, 2, 4
LENGTHS = np.array([STEPS, 2, 3])
REAL = np.arange(STEPS) < LENGTHS[:, None]
RESETS = np.zeros((BATCH, STEPS), bool)
RESETS[0, 4] = RESETS[2, 1] = True
KEY = jax.random.key(0)
THEIRS = {"lstm": nn.OptimizedLSTMCell, "slow lstm": nn.LSTMCell, "gru": nn.GRUCell, "simple": nn.SimpleCell}
THEIRS |= {"mgu": nn.MGUCell}


class Leaky(nn.RNNCellBase):
    """A stranger's: a leaky integrator whose carry is a dictionary, and which does not say its width."""

    @nn.compact
    def __call__(self, carry, inputs):
        level = 0.5 * carry["level"] + nn.Dense(FEATURES)(inputs)
        return {"level": level}, nn.tanh(level)

    @nn.nowrap
    def initialize_carry(self, rng, input_shape):
        return {"level": jnp.ones((*input_shape[:-1], FEATURES))}

    @property
    def num_feature_axes(self):
        return 1


# Ours in theirs.


@pytest.mark.parametrize("case", PLAIN_RUN_FIRST, ids=name_of)
def test_a_cell_of_ours_runs_in_flax_with_the_same_parameters_and_numbers(case):
    assert isinstance(case.make(), nn.RNNCellBase)
    params, inputs = case.params(), drawn_inputs()
    theirs = nn.RNN(case.make(), return_carry=True)
    shapes = jax.eval_shape(theirs.init, KEY, inputs)
    assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(jnp.shape, params)
    carry, outputs = jax.jit(lambda p: theirs.apply(p, inputs, seq_lengths=jnp.asarray(LENGTHS)))(params)
    ours = jax.jit(lambda p: case.rnn().apply(p, inputs, lengths=LENGTHS))(params)
    close(ours, (carry, np.where(REAL[..., None], outputs, 0)))


def test_cells_of_ours_run_in_both_directions_of_flax():
    inputs, ways = drawn_inputs(), (nn.RNN(LSTMCell(FEATURES)), nn.RNN(GRUCell(3)))
    theirs = nn.Bidirectional(*ways, return_carry=True)
    params = jax.jit(theirs.init)(KEY, inputs)["params"]
    carry, outputs = jax.jit(lambda p: theirs.apply({"params": p}, inputs, seq_lengths=jnp.asarray(LENGTHS)))(params)
    ours = Bidirectional(RNN(LSTMCell(FEATURES)), RNN(GRUCell(3), reverse=True))
    renamed = {name: params[f"{name}_rnn"] for name in ("forward", "backward")}
    close(
        jax.jit(lambda p: ours.apply({"params": p}, inputs, lengths=LENGTHS))(renamed),
        (carry, np.where(REAL[..., None], outputs, 0)),
    )


# Theirs in ours.


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", THEIRS)
def test_a_cell_of_flax_runs_here_as_there(name, reverse):
    inputs = drawn_inputs()
    theirs = nn.RNN(THEIRS[name](FEATURES), return_carry=True, reverse=reverse, keep_order=True)
    params = theirs.init(KEY, inputs)
    ours = RNN(THEIRS[name](FEATURES), reverse=reverse)
    with rnnjax.reporting() as ran:
        assert jax.tree.map(jnp.shape, jax.eval_shape(ours.init, KEY, inputs)) == jax.tree.map(jnp.shape, params)
    assert ran == {"": "scan"} and ours.features == FEATURES

    def loss(params, layer, **lengths):
        carry, outputs = layer.apply(params, inputs, **lengths)
        outputs = jnp.where(REAL[..., None], outputs, 0)
        return sum(jnp.sin(leaf).sum() for leaf in jax.tree.leaves((carry, outputs))), (carry, outputs)

    run = jax.jit(jax.grad(loss, has_aux=True), static_argnums=1)
    close(run(params, ours, lengths=LENGTHS), run(params, theirs, seq_lengths=jnp.asarray(LENGTHS)))


@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"remat": 4}, {"unroll": 2}], ids=str)
def test_masks_and_resets_of_a_strangers_cell_are_those_of_a_loop(options):
    inputs, mask = drawn_inputs(), np.array([[1, 1, 0, 1, 1, 1], [1, 0, 0, 0, 0, 0], [0] * 6], bool)
    layer, starts = RNN(Leaky(), **options), RESETS & mask
    params = layer.init(KEY, inputs)
    dense = params["params"]["cell"]["Dense_0"]
    garbage = np.where(mask[..., None], inputs, np.nan).astype(np.float32)
    carry, outputs = jax.jit(lambda p: layer.apply(p, garbage, mask=mask, resets=RESETS))(params)
    reverse = options.get("reverse", False)
    for row in range(BATCH):
        level, before = np.ones(FEATURES), False
        for at in range(STEPS)[:: -1 if reverse else 1]:
            if not mask[row, at]:
                assert not outputs[row, at].any()
                continue
            level = np.ones(FEATURES) if (before if reverse else starts[row, at]) else level
            level = 0.5 * level + inputs[row, at] @ dense["kernel"] + dense["bias"]
            before = starts[row, at]
            np.testing.assert_allclose(outputs[row, at], np.tanh(level), atol=1e-6)
        np.testing.assert_allclose(carry["level"][row], level, atol=1e-6)


class FastWeights(nn.RNNCellBase):
    """A stranger's: its carry is a matrix a row, as many rows as there are in the batch, and a number a row."""

    features: int = BATCH

    @nn.compact
    def __call__(self, carry, inputs):
        matrix, count = carry
        key = nn.Dense(self.features)(inputs)
        matrix, count = 0.5 * matrix + key[..., :, None] * key[..., None, :], count + 1
        return (matrix, count), matrix.sum(-1) + count[..., None]

    @nn.nowrap
    def initialize_carry(self, rng, input_shape):
        return jnp.zeros((*input_shape[:-1], self.features, self.features)), jnp.zeros(input_shape[:-1])

    @property
    def num_feature_axes(self):
        return 1


@pytest.mark.parametrize("options", [{}, {"reverse": True, "remat": 4}], ids=str)
def test_rows_of_a_carry_with_other_axes_are_kept_and_reset_by_themselves(options):
    """The matrices of a row are kept by the mask of that row, and not by that of as many rows as they have."""
    inputs, layer = drawn_inputs(), RNN(FastWeights(), **options)
    params, reverse = layer.init(KEY, inputs), options.get("reverse", False)
    dense = params["params"]["cell"]["Dense_0"]
    carry, outputs = layer.apply(params, inputs, lengths=LENGTHS, resets=RESETS)
    every, _ = layer.apply(params, inputs, lengths=LENGTHS, resets=RESETS, return_carries=True)
    for row in range(BATCH):
        matrix, count, before = np.zeros((BATCH, BATCH)), 0, False
        for at in range(STEPS)[:: -1 if reverse else 1]:
            if REAL[row, at]:
                if before if reverse else RESETS[row, at]:
                    matrix, count = np.zeros((BATCH, BATCH)), 0
                key = inputs[row, at] @ dense["kernel"] + dense["bias"]
                matrix, count, before = 0.5 * matrix + np.outer(key, key), count + 1, RESETS[row, at]
                np.testing.assert_allclose(outputs[row, at], matrix.sum(-1) + count, rtol=1e-5)
            np.testing.assert_allclose(every[0][row, at], matrix, rtol=1e-5, atol=1e-6)
            assert every[1][row, at] == count
        np.testing.assert_allclose(carry[0][row], matrix, rtol=1e-5, atol=1e-6)
        assert carry[1][row] == count


def test_a_carry_without_rows_is_refused_where_rows_are_told_apart():
    class Counting(FastWeights):
        @nn.nowrap
        def initialize_carry(self, rng, input_shape):
            return super().initialize_carry(rng, input_shape)[0], jnp.zeros(1)

    layer, inputs = RNN(Counting()), drawn_inputs()
    params = layer.init(KEY, inputs)
    with pytest.raises(UsageError, match=r"must begin with the batch's axes \[3\], got \[1\]"):
        layer.apply(params, inputs, lengths=LENGTHS)


def test_a_strangers_cell_streams_stacks_and_gives_all_its_carries():
    layer, inputs = StackedRNN([RNN(Leaky()), RNN(nn.GRUCell(3))]), drawn_inputs()
    params = layer.init(KEY, inputs)
    whole, outputs = layer.apply(params, inputs, return_carries=True)
    carry = layer.initialize_carry(KEY, (BATCH, INPUTS))
    for at in range(STEPS):
        carry, output = layer.apply(params, carry, inputs[:, at], method="step")
        close(output, outputs[:, at], 1e-6)
        close(carry, jax.tree.map(lambda leaf, at=at: leaf[:, at], whole), 1e-6)


def test_a_cell_inside_compact_is_the_layers_own():
    class Model(nn.Module):
        @nn.compact
        def __call__(self, inputs):
            return RNN(nn.GRUCell(FEATURES), name="layer")(inputs)[1]

    assert set(Model().init(KEY, drawn_inputs())["params"]) == {"layer"}


@pytest.mark.parametrize(
    ("layer", "options", "message"),
    [
        (lambda: RNN(nn.ConvLSTMCell(4, (3,))), {}, "ConvLSTMCell has 2 axes of features"),
        (lambda: RNN(nn.GRUCell(4), recurrent_dropout=0.1), {"train": True}, "GRUCell has no recurrent kernel"),
        (lambda: RNN(nn.GRUCell(4), zoneout=0.1), {}, "GRUCell does not say; make it a rnnjax.RecurrentCell"),
        (lambda: RNN(nn.GRUCell(4), implementation="fused"), {}, "cannot run GRUCell here"),
        (lambda: RNN(nn.GRUCell(4), implementation="cudnn"), {}, "cannot run GRUCell here"),
    ],
)
def test_what_a_foreign_cell_has_not_is_refused_by_its_name(layer, options, message):
    with pytest.raises(UsageError, match=message):
        layer().init({"params": KEY, "dropout": KEY}, drawn_inputs(), **options)


def test_a_width_that_a_cell_does_not_say_is_asked_for():
    with pytest.raises(UsageError, match="Leaky does not say how many features"):
        _ = RNN(Leaky()).features


# A stack of more than recurrences.


class Scaled(nn.Module):
    """A stranger's layer, which takes what it needs."""

    @nn.compact
    def __call__(self, inputs, *, mask=None, train=False):
        self.sow("intermediates", "taken", (mask is not None, train))
        return inputs * (2 if train else 1)


def mixed_stack():
    between = [nn.Dense(5), nn.LayerNorm(), nn.Conv(3, kernel_size=(3,)), nn.Dropout(0.5)]
    return StackedRNN([nn.Dense(3), RNN(LSTMCell(FEATURES)), *between, RNN(GRUCell(3), reverse=True)])


def test_a_stack_is_its_layers_one_after_the_other_and_sees_no_padding():
    layer, inputs = mixed_stack(), drawn_inputs()
    params = jax.jit(layer.init)(KEY, inputs)["params"]
    apply = jax.jit(lambda params, inputs: layer.apply({"params": params}, inputs, lengths=LENGTHS))
    carries, outputs = apply(params, np.where(REAL[..., None], inputs, np.nan))
    assert [carry is None for carry in carries] == [True, False, True, True, True, True, False]
    for row, length in enumerate(LENGTHS):
        hidden = inputs[row : row + 1, :length]
        for depth, part in enumerate(mixed_stack().layers):
            own = {"params": params.get(f"layers_{depth}", {})}
            options = {"deterministic": True} if isinstance(part, nn.Dropout) else {}
            hidden = jax.jit(functools.partial(part.apply, **options))(own, hidden)
            hidden = hidden[1] if isinstance(part, RNN) else hidden
        np.testing.assert_allclose(outputs[row, :length], hidden[0], atol=1e-6)
        assert not outputs[row, length:].any()


def test_each_layer_of_a_stack_is_handed_what_it_takes():
    layer, inputs = StackedRNN([nn.BatchNorm(momentum=0.0), nn.Dropout(0.5), Scaled()]), drawn_inputs()
    variables = layer.init(KEY, inputs)
    options = {"lengths": LENGTHS, "train": True, "mutable": ["batch_stats", "intermediates"]}
    (_, outputs), state = layer.apply(variables, inputs, rngs={"dropout": KEY}, **options)
    np.testing.assert_allclose(state["batch_stats"]["layers_0"]["mean"], inputs[REAL].mean(0), atol=1e-6)
    assert state["intermediates"]["layers_2"]["taken"] == ((True, True),)
    assert 0 < (np.asarray(outputs)[REAL] == 0).mean() < 1
    still = layer.apply(variables, inputs)[1]
    np.testing.assert_allclose(still, inputs / np.sqrt(1 + 1e-5), atol=1e-6)


def test_layers_of_single_steps_stream():
    layer = StackedRNN([nn.Dense(3), RNN(LSTMCell(FEATURES)), nn.LayerNorm(), RNN(GRUCell(3)), nn.Dense(2)])
    inputs = drawn_inputs()
    params = layer.init(KEY, inputs)
    _, outputs = layer.apply(params, inputs)
    assert layer.features == 2 and layer.backward_features == 0
    carry = layer.initialize_carry(KEY, (BATCH, INPUTS))
    body = lambda carry, x: layer.apply(params, carry, x, method="step")  # noqa: E731
    _, streamed = jax.lax.scan(body, carry, jnp.swapaxes(inputs, 0, 1))
    close(jnp.swapaxes(streamed, 0, 1), outputs, 1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: mixed_stack().init(KEY, x, resets=RESETS), "layer 4, Conv, may read over the resets"),
        (
            lambda x: StackedRNN([nn.Conv(3, (3,), 2)]).init(KEY, x, mask=REAL),
            r"Conv, makes \[3, 3, 3\] of \[3, 6, 2\]",
        ),
        (lambda x: StackedRNN([nn.RNN(nn.GRUCell(3))]).init(KEY, x), "layer 0 is flax.linen.RNN, which is called"),
        (lambda x: StackedRNN([GRUCell(3)]).init(KEY, x), r"layer 0 is a cell; RNN\(GRUCell"),
        (lambda x: StackedRNN([nn.Dense]).init(KEY, x), "layer 0 must be a layer"),
        (lambda x: mixed_stack().apply({}, None, x[:, 0], method="step"), "make a step of that step alone"),
        (
            lambda x: (
                StackedRNN(
                    [Bidirectional(RNN(GRUCell(2)), RNN(GRUCell(2), reverse=True)), nn.Dense(2)]
                ).backward_features
            ),
            "a layer that mixes what both directions have read last",
        ),
    ],
)
def test_what_a_stack_cannot_hold_is_refused(call, message):
    with pytest.raises(UsageError, match=message):
        call(drawn_inputs())


def test_every_cell_of_the_library_is_a_cell_of_flax():
    assert all(case.make().num_feature_axes == 1 for case in CELLS)
