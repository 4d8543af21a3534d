"""First carries: their forms, one for all rows, learned ones, and those of each step; a step's own options."""

import collections

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnjax
from rnnjax import RNN, Bidirectional, GRUCell, LearnedCarry, LRUCell, LSTMCell, MinGRUCell, SimpleRNNCell, StackedRNN
from rnnjax import UsageError as Refused
from tests.cell_cases import BATCH, FEATURES, INPUTS, STEPS, close, drawn_inputs
from tests.marks import often

KEY = jax.random.key(0)
MASK = np.array([[1, 1, 0, 1, 1, 1], [1, 0, 0, 0, 0, 0], [0] * 6], bool)
RESETS = np.zeros((BATCH, STEPS), bool)
RESETS[0, 3] = RESETS[1, 0] = RESETS[2, 2] = True
C, H = np.random.default_rng(3).normal(size=(2, BATCH, FEATURES)).astype(np.float32)
State = collections.namedtuple("State", ["hidden", "cell"])
Named = collections.namedtuple("Named", ["h", "c"])


def drawn(layer, seed=0):
    """Parameters with every entry drawn at random."""
    shapes = jax.eval_shape(layer.init, KEY, drawn_inputs())
    random = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: random.normal(size=leaf.shape).astype(leaf.dtype) * 0.6, shapes)


# The forms of a carry.


@pytest.mark.parametrize(
    "given",
    [[C, H], (C, H), {"c": C, "h": H}, {"0": C, "1": H}, State(H, C), Named(H, C)],
    ids=["list", "tuple", "names", "state dict", "other names", "named tuple"],
)
def test_a_carry_in_another_container_is_taken_for_what_it_means(given):
    layer, inputs = RNN(LSTMCell(FEATURES)), drawn_inputs()
    params = drawn(layer)
    close(layer.apply(params, inputs, initial_carry=given), layer.apply(params, inputs, initial_carry=(C, H)), 0)
    options = {"resets": RESETS}
    close(
        layer.apply(params, inputs, reset_carry=given, **options),
        layer.apply(params, inputs, reset_carry=(C, H), **options),
        0,
    )


def test_the_carry_of_a_stack_may_be_its_state_dict():
    layer, inputs = StackedRNN([RNN(LSTMCell(FEATURES)), RNN(GRUCell(3))]), drawn_inputs()
    params = drawn(layer)
    carry, _ = layer.apply(params, inputs)
    given = flax.serialization.to_state_dict(carry)
    close(layer.apply(params, inputs, initial_carry=given), layer.apply(params, inputs, initial_carry=carry), 0)


@pytest.mark.parametrize("rows", [(1,), ()])
def test_one_row_of_a_carry_stands_for_all(rows):
    layer, inputs = RNN(LSTMCell(FEATURES)), drawn_inputs()
    params = drawn(layer)
    one = tuple(part[0].reshape(*rows, FEATURES) for part in (C, H))
    whole = tuple(np.broadcast_to(part[:1], part.shape) for part in (C, H))

    def loss(one, params):
        carry, outputs = layer.apply(params, inputs, initial_carry=one, mask=MASK)
        return jnp.sin(outputs).sum() + sum(leaf.sum() for leaf in carry)

    close(layer.apply(params, inputs, initial_carry=one), layer.apply(params, inputs, initial_carry=whole), 0)
    ours, theirs = jax.grad(loss)(one, params), jax.grad(loss)(whole, params)
    close(ours, jax.tree.map(lambda leaf: leaf.sum(0).reshape(*rows, FEATURES), theirs))


@pytest.mark.parametrize(
    ("cell", "given", "message"),
    [
        (LSTMCell, H, r"must be built as \(c \[3, 4\], h \[3, 4\]\), got one array \[3, 4\]"),
        (LSTMCell, (C, H, H), r"\(c \[3, 4\], h \[3, 4\]\), got a tuple of 3"),
        (LSTMCell, {"c": C, "x": H}, "got a dictionary of c, x"),
        (LSTMCell, collections.namedtuple("Other", "a b")(C, H), "got a named tuple of a, b"),
        (GRUCell, (H,), r"must be built as h \[3, 4\], got a tuple of 1"),
        (GRUCell, H[None], r"needs float32 \(3, 4\), got float32 \(1, 3, 4\)"),
        (GRUCell, H[:, :1], r"needs float32 \(3, 4\), got float32 \(3, 1\)"),
    ],
)
def test_what_is_no_carry_is_told_the_parts(cell, given, message):
    with pytest.raises(Refused, match=message):
        RNN(cell(FEATURES)).init(KEY, drawn_inputs(), initial_carry=given)


@pytest.mark.parametrize("marks", [MASK.astype(np.int32), MASK.astype(np.uint8), MASK[..., None]])
def test_a_mask_of_zeros_and_ones_is_one_of_booleans(marks):
    layer, inputs = RNN(LSTMCell(FEATURES)), drawn_inputs()
    params = drawn(layer)
    expected = layer.apply(params, inputs, mask=MASK, resets=RESETS)
    close(layer.apply(params, inputs, mask=marks, resets=RESETS.astype(int)), expected, 0)
    close(jax.jit(lambda marks: layer.apply(params, inputs, mask=marks, resets=RESETS))(marks), expected, 1e-6)


@pytest.mark.parametrize("shape", [(STEPS,), (1, STEPS)])
def test_one_mask_stands_for_all_rows(shape):
    layer, inputs = StackedRNN([RNN(LSTMCell(FEATURES)), RNN(GRUCell(3))]), drawn_inputs()
    params, mask = drawn(layer), np.broadcast_to(MASK[0], MASK.shape)
    close(layer.apply(params, inputs, mask=MASK[0].reshape(shape)), layer.apply(params, inputs, mask=mask), 0)


# The carry of each step.

EACH = {
    "fused lstm": lambda **o: RNN(LSTMCell(FEATURES), implementation="fused", **o),
    "fused gru": lambda **o: RNN(GRUCell(FEATURES), implementation="fused", **o),
    "fused simple": lambda **o: RNN(SimpleRNNCell(FEATURES), implementation="fused", **o),
    "scan": lambda **o: RNN(LSTMCell(FEATURES), implementation="scan", **o),
    "linear scan": lambda **o: RNN(MinGRUCell(FEATURES), implementation="scan", **o),
    "associative": lambda **o: RNN(MinGRUCell(FEATURES), implementation="associative", **o),
    "chunked": lambda **o: RNN(MinGRUCell(FEATURES), implementation="chunked", **o),
    "chunked complex": lambda **o: RNN(LRUCell(FEATURES), implementation="chunked", **o),
    "complex": lambda **o: RNN(LRUCell(FEATURES), implementation="associative", **o),
}
WAYS = {"forward": {}, "reverse": {"reverse": True}, "chunks": {"remat": 4}}


def by_prefixes(layer, params, inputs, mask, resets, carry):
    """The carry after each step, as the last one of a sequence that ends there (or, in reverse, begins there)."""
    each = []
    for at in range(STEPS):
        part = slice(at, None) if layer.reverse else slice(0, at + 1)
        given = {"mask": mask[:, part], "resets": resets[:, part], "initial_carry": carry}
        each.append(layer.apply(params, inputs[:, part], **given)[0])
    return jax.tree.map(lambda *leaves: jnp.stack(leaves, 1), *each)


@pytest.mark.parametrize(
    ("name", "way", "marks"),
    often(
        [
            *((name, "forward", True) for name in EACH),
            *((name, "reverse", False) for name in EACH),
            ("fused lstm", "reverse", True),
            ("fused gru", "reverse", True),
            ("fused lstm", "chunks", True),
            ("scan", "chunks", False),
        ],
        [
            ("fused lstm", "forward", True),
            ("fused gru", "reverse", True),
            ("associative", "forward", True),
        ],
    ),
)
def test_the_carry_of_each_step_is_the_last_one_of_what_ends_there(name, way, marks):
    """Values and gradients, with masks, with and without resets."""
    layer, inputs = EACH[name](**WAYS[way]), drawn_inputs()
    params = drawn(layer)
    resets = RESETS if marks else np.zeros_like(RESETS)
    given = {"mask": MASK, "resets": RESETS} if marks else {"mask": MASK}
    carry = jax.tree.map(lambda leaf: leaf + 0.3, layer.initialize_carry(KEY, (BATCH, INPUTS)))

    def all_at_once(params, inputs, carry):
        return layer.apply(params, inputs, initial_carry=carry, return_carries=True, **given)

    def one_by_one(params, inputs, carry):
        outputs = layer.apply(params, inputs, initial_carry=carry, **given)[1]
        return by_prefixes(layer, params, inputs, MASK, resets, carry), outputs

    def gradients(run):
        def loss(*arguments):
            carries, outputs = run(*arguments)
            weights = jnp.cos(jnp.arange(carries_size(carries)))
            flat = jnp.concatenate([jnp.abs(leaf + 2).ravel() for leaf in jax.tree.leaves(carries)])
            return (jnp.sin(flat) * weights).sum() + jnp.sin(outputs).sum(), (carries, outputs)

        return jax.jit(jax.grad(loss, (0, 1, 2), has_aux=True))(params, inputs, carry)

    with rnnjax.reporting() as ran:
        ours = gradients(all_at_once)
    assert ran == {"": layer.implementation}
    close(ours, gradients(one_by_one), 2e-5)
    close(all_at_once(params, inputs, carry)[0], ours[1][0], 1e-6)


def carries_size(carries):
    return sum(leaf.size for leaf in jax.tree.leaves(carries))


def test_cells_of_each_step_are_those_of_pytorch():
    torch = pytest.importorskip("torch")
    from rnnjax.convert import from_torch

    theirs, inputs = torch.nn.LSTM(INPUTS, FEATURES, batch_first=True), drawn_inputs()
    params = {"params": from_torch(theirs.state_dict(), "lstm")["layers_0"]}
    (c, h), outputs = RNN(LSTMCell(FEATURES)).apply(params, inputs, return_carries=True)
    state = None
    for at in range(STEPS):
        expected, state = theirs(torch.tensor(inputs[:, at : at + 1]), state)
        np.testing.assert_allclose(outputs[:, at], expected.detach()[:, 0], atol=1e-6)
        np.testing.assert_allclose(h[:, at], state[0][0].detach(), atol=1e-6)
        np.testing.assert_allclose(c[:, at], state[1][0].detach(), atol=1e-6)


def test_two_directions_and_stacks_give_the_carries_of_all_their_parts():
    both = Bidirectional(RNN(LSTMCell(FEATURES)), RNN(GRUCell(3), reverse=True))
    layer, inputs = StackedRNN([both, nn.Dense(3), RNN(LSTMCell(FEATURES))]), drawn_inputs()
    params = drawn(layer)
    ((ahead, behind), none, above), outputs = layer.apply(params, inputs, mask=MASK, return_carries=True)
    last, expected = layer.apply(params, inputs, mask=MASK)
    assert none is None
    close(outputs, expected, 1e-6)
    ends = (jax.tree.map(lambda leaf: leaf[:, -1], ahead), behind[:, 0]), jax.tree.map(lambda leaf: leaf[:, -1], above)
    close(ends, ((last[0][0], last[0][1]), last[2]), 1e-6)


def test_cudnn_and_a_strangers_implementation_say_that_they_have_none():
    with pytest.raises(Refused, match="'cudnn' cannot run LSTMCell here: it gives the last carry alone"):
        RNN(LSTMCell(4), implementation="cudnn").init(KEY, drawn_inputs(), return_carries=True)


# A learned first carry.


def learned(cell=None, **options):
    return RNN(cell or LSTMCell(FEATURES), first_carry=LearnedCarry(**options))


def test_a_learned_carry_is_where_sequences_start_and_resets_return():
    layer, plain, inputs = learned(), RNN(LSTMCell(FEATURES)), drawn_inputs()
    variables = drawn(layer)
    start = variables["params"]["first_carry"]
    assert jax.tree.map(jnp.shape, start) == {"c": (FEATURES,), "h": (FEATURES,)}

    def theirs(params, **options):
        carry = tuple(jnp.broadcast_to(params["first_carry"][name], (BATCH, FEATURES)) for name in "ch")
        given = {"initial_carry": carry, "reset_carry": carry} | options
        return plain.apply({"params": {"cell": params["cell"]}}, inputs, mask=MASK, resets=RESETS, **given)

    def ours(params, **options):
        return layer.apply({"params": params}, inputs, mask=MASK, resets=RESETS, **options)

    for options in ({}, {"initial_carry": (C, H)}, {"reset_carry": (C, H)}):
        loss = lambda run: lambda p: jnp.sin(run(p, **options)[1]).sum()  # noqa: B023, E731
        close(ours(variables["params"], **options), theirs(variables["params"], **options), 1e-6)
        gradients = jax.grad(loss(ours))(variables["params"])
        close(gradients, jax.grad(loss(theirs))(variables["params"]))
        assert all(leaf.any() for leaf in gradients["first_carry"].values())


@pytest.mark.parametrize("cell", [LRUCell, GRUCell])
def test_a_learned_carry_has_the_form_of_the_cells(cell):
    layer, inputs = learned(cell(FEATURES), init=nn.initializers.ones), drawn_inputs()
    variables = layer.init(KEY, inputs)
    carry, _ = layer.apply(variables, inputs, lengths=np.zeros(BATCH, int))
    expected = 1 + 1j if cell is LRUCell else 1
    assert (np.asarray(carry) == expected).all()


def test_a_learned_carry_streams_from_its_parameters():
    layer, inputs = StackedRNN([learned(), RNN(GRUCell(3))]), drawn_inputs()
    variables = drawn(layer)
    with pytest.raises(Refused, match="the first carry is made of parameters"):
        layer.initialize_carry(KEY, (BATCH, INPUTS))
    first = layer.apply(variables, KEY, (BATCH, INPUTS), method="initialize_carry")
    body = lambda carry, x: layer.apply(variables, carry, x, method="step")  # noqa: E731
    carry, outputs = jax.lax.scan(body, first, jnp.swapaxes(inputs, 0, 1))
    close((carry, jnp.swapaxes(outputs, 0, 1)), layer.apply(variables, inputs), 1e-6)


# One step.


@pytest.mark.parametrize(
    "layer", [RNN(LSTMCell(FEATURES)), StackedRNN([RNN(LSTMCell(FEATURES)), RNN(GRUCell(3))])], ids=["one", "stack"]
)
def test_a_step_has_the_mask_and_resets_of_the_whole(layer):
    inputs, variables = drawn_inputs(), drawn(layer)
    first = layer.initialize_carry(KEY, (BATCH, INPUTS))
    reset_carry = jax.tree.map(lambda leaf: leaf + 0.2, first)

    def body(carry, step):
        x, mask, resets = step
        options = {"mask": mask, "resets": resets, "reset_carry": reset_carry}
        return layer.apply(variables, carry, x, method="step", **options)

    carry, outputs = jax.lax.scan(body, first, (jnp.swapaxes(inputs, 0, 1), MASK.T, RESETS.T))
    expected = layer.apply(variables, inputs, mask=MASK, resets=RESETS, reset_carry=reset_carry)
    close((carry, jnp.swapaxes(outputs, 0, 1)), expected, 1e-6)


def test_one_key_for_all_steps_gives_the_masks_of_the_whole():
    layer = RNN(LSTMCell(FEATURES), recurrent_dropout=0.5, input_dropout=0.5, weight_dropout=0.3)
    inputs, variables, rngs = drawn_inputs(), drawn(layer), {"dropout": jax.random.key(7)}
    carry, outputs = None, []
    for at in range(STEPS):
        carry, output = layer.apply(variables, carry, inputs[:, at], train=True, rngs=rngs, method="step")
        outputs.append(output)
    close((carry, jnp.stack(outputs, 1)), layer.apply(variables, inputs, train=True, rngs=rngs), 1e-6)


def test_two_directions_say_why_they_cannot_stream():
    both = Bidirectional(RNN(LSTMCell(FEATURES)), RNN(GRUCell(3), reverse=True))
    with pytest.raises(Refused, match="the backward direction begins with the last step"):
        both.apply({}, None, drawn_inputs()[:, 0], method="step")
    assert both.features == FEATURES + 3
    assert Bidirectional(RNN(GRUCell(3)), RNN(GRUCell(3), reverse=True), "sum").features == 3
    shapes = jax.tree.map(jnp.shape, both.initialize_carry(KEY, (BATCH, INPUTS)))
    assert shapes == (((BATCH, FEATURES), (BATCH, FEATURES)), (BATCH, 3))


# Draws, and subclasses.


@pytest.mark.parametrize("implementation", ["scan", "fused"])
@pytest.mark.parametrize("key", [jax.random.key(5), jax.random.PRNGKey(5)], ids=["key", "raw"])
def test_remat_changes_no_draw(implementation, key):
    inputs, options = drawn_inputs(), {"recurrent_dropout": 0.3, "variational": False, "zoneout": 0.2}
    layers = [RNN(GRUCell(4), implementation=implementation, remat=remat, **options) for remat in (None, 4, "sqrt")]
    variables = drawn(layers[0])
    whole, *chunks = (x.apply(variables, inputs, mask=MASK, train=True, rngs={"dropout": key}) for x in layers)
    assert np.abs(whole[1] - layers[0].apply(variables, inputs, mask=MASK)[1]).max() > 0.01
    for chunk in chunks:
        close(chunk, whole, 1e-6)


def test_a_subclass_that_leaves_the_step_alone_stays_fused():
    class Renamed(LSTMCell):
        """Another start, and the same step."""

        forget_bias: float = 2.0

        def initialize_carry(self, rng, input_shape, dtype=None):
            return jax.tree.map(jnp.ones_like, super().initialize_carry(rng, input_shape, dtype))

    class Other(GRUCell):
        def project(self, inputs):
            return 2 * super().project(inputs)

    inputs, ran = drawn_inputs(), {}
    for cell in (Renamed, Other):
        with rnnjax.reporting() as report:
            results = [
                RNN(cell(FEATURES), implementation=implementation).init_with_output(KEY, inputs)
                for implementation in ("auto", "scan")
            ]
            RNN(cell(FEATURES)).init(KEY, inputs)
        ran[cell.__name__] = report[""]
        close(*results)
    assert ran == {"Renamed": "fused", "Other": "scan"}
