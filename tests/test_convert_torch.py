"""PyTorch's weights as people have them: whole models, cells, bfloat16, parameters in training, layers beside them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnjax.errors import UsageError
from rnnjax.layers.cells import GRUCell, LSTMCell, ProjectedLSTMCell, SimpleRNNCell
from rnnjax.layers.convert import (
    carry_from_torch,
    carry_to_torch,
    cell_from_torch,
    cell_to_torch,
    dense_from_torch,
    dense_to_torch,
    embedding_from_torch,
    embedding_to_torch,
    fitted,
    from_torch,
    to_torch,
)
from rnnjax.layers.recurrence import RNN, Bidirectional, StackedRNN
from tests.test_convert import same

torch = pytest.importorskip("torch", reason="PyTorch (extra bench) is not installed")

CELLS = {"rnn": SimpleRNNCell, "lstm": LSTMCell, "gru": GRUCell}
INPUTS = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32)


def both_ways(cell):
    return Bidirectional(RNN(cell), RNN(cell, reverse=True))


def close(ours, theirs, tolerance=1e-5):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b.detach() if hasattr(b, "detach") else b, atol=tolerance),
        ours,
        theirs,
    )


def as_torch(state):
    return {name: torch.as_tensor(value) for name, value in state.items()}


def trained(module, steps=3):
    """A module after a few steps, so that its two biases and all weights are no longer what they began with."""
    optim = torch.optim.Adam(module.parameters(), 0.05)
    for _ in range(steps):
        optim.zero_grad()
        sum((part**2).sum() for part in module.parameters()).backward()
        optim.step()
    return module


class Whole(torch.nn.Module):
    """Tokens to logits, with two recurrent parts."""

    def __init__(self, kind="lstm", **options):
        super().__init__()
        self.embed = torch.nn.Embedding(9, 4)
        self.encoder = torch.nn.Module()
        layer = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[kind]
        self.encoder.rnn = layer(4, 5, batch_first=True, **options)
        self.cell = {"rnn": torch.nn.RNNCell, "lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell}[kind](4, 5)
        self.head = torch.nn.Linear(5, 2)


@pytest.mark.parametrize("wrap", ["", "module.", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("kind", CELLS)
def test_a_whole_model_answers_alike_with_its_parts_converted(kind, wrap):
    theirs = trained(Whole(kind))
    state = {wrap + name: value for name, value in theirs.named_parameters()}  # they require gradients
    tokens = np.random.default_rng(0).integers(9, size=(3, 5))
    outputs, last = theirs.encoder.rnn(theirs.embed(torch.tensor(tokens)))
    expected = theirs.head(outputs)

    layer = RNN(CELLS[kind](5))
    params = fitted(from_torch(state, kind, prefix="encoder.rnn"), layer)
    same(params, fitted(from_torch(state, kind, prefix=f"{wrap}encoder.rnn."), layer))
    dense, embedding = dense_from_torch(state, "head"), embedding_from_torch(state, "embed")
    carry, ours = layer.apply({"params": params}, embedding["embedding"][tokens])
    close(ours @ dense["kernel"] + dense["bias"], expected)
    close(carry, carry_from_torch(last, kind)[0])
    close(carry_to_torch([carry], kind), last)

    back = as_torch(to_torch(params, kind, prefix="encoder.rnn"))
    back |= as_torch(dense_to_torch(dense, "head") | embedding_to_torch(embedding, "embed"))
    back |= as_torch(cell_to_torch(cell_from_torch(state, kind, "cell"), kind, "cell"))
    again = Whole(kind)
    again.load_state_dict(back)
    close(again.head(again.encoder.rnn(again.embed(torch.tensor(tokens)))[0]).detach().numpy(), expected)
    for name in ("embed.weight", "head.weight", "head.bias", "encoder.rnn.weight_ih_l0", "cell.weight_hh"):
        assert torch.equal(again.state_dict()[name], theirs.state_dict()[name]), name


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", CELLS)
def test_cells_step_alike_and_come_back(kind, bias):
    theirs = trained(
        {"rnn": torch.nn.RNNCell, "lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell}[kind](4, 5, bias=bias)
    )
    params = cell_from_torch(theirs.state_dict(), kind)
    same(params, from_torch(theirs.state_dict(), kind))
    h, c = (np.random.default_rng(1).normal(size=(2, 3, 5)).astype(np.float32)) / 2
    last = theirs(torch.tensor(INPUTS[:, 0]), (torch.tensor(h), torch.tensor(c)) if kind == "lstm" else torch.tensor(h))
    cell = CELLS[kind](5)
    carry, output = cell.apply({"params": params["cell"]}, (c, h) if kind == "lstm" else h, INPUTS[:, 0])
    close(output, last[0] if kind == "lstm" else last)
    close(carry, (last[1], last[0]) if kind == "lstm" else last)
    state = cell_to_torch(params, kind, bias=bias)
    theirs.load_state_dict(as_torch(state))
    same(cell_from_torch(theirs.state_dict(), kind), params)


@settings(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from(sorted(CELLS)),
    layers=st.integers(1, 3),
    two=st.booleans(),
    bias=st.booleans(),
    projection=st.sampled_from([0, 0, 2]),
    sizes=st.tuples(st.integers(1, 4), st.integers(3, 5)),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]),
)
def test_every_form_of_a_module_is_taken_and_comes_back(kind, layers, two, bias, projection, sizes, dtype):
    width, features = sizes
    options = {"proj_size": projection} if kind == "lstm" and projection else {}
    module = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[kind]
    theirs = module(width, features, layers, bias=bias, bidirectional=two, **options).to(dtype)
    cell = ProjectedLSTMCell(features, projection=projection) if options else CELLS[kind](features)
    one = both_ways(cell) if two else RNN(cell)
    tree = from_torch(theirs.state_dict(), kind)
    same(fitted(tree, StackedRNN([one] * layers)), tree)
    if layers == 1:
        same(fitted(tree, one), tree["layers_0"])
    state = to_torch(tree, kind, bias=bias)
    assert list(state) == [name for name in theirs.state_dict() if name in state] or options
    assert set(state) == set(theirs.state_dict())
    before = {name: value.clone() for name, value in theirs.state_dict().items()}
    theirs.load_state_dict(as_torch(state))
    for name, value in theirs.state_dict().items():
        assert name.startswith("bias") or torch.equal(value, before[name]), name  # biases come back as their sum
    if dtype != torch.bfloat16:  # whose sums of biases are rounded once more on the way back
        same(from_torch(theirs.state_dict(), kind), tree)


def test_bfloat16_is_what_it_is_as_float32_and_comes_back():
    theirs = torch.nn.LSTM(4, 5, num_layers=2, bidirectional=True).to(torch.bfloat16)
    tree = from_torch(theirs.state_dict(), "lstm")
    same(tree, from_torch({name: value.float() for name, value in theirs.state_dict().items()}, "lstm"))
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), tree)
    state = to_torch(half, "lstm")
    theirs.load_state_dict(as_torch(state))
    same(from_torch(theirs.state_dict(), "lstm"), jax.tree.map(lambda leaf: leaf.astype(np.float32), half))


def test_negative_zeros_of_biases_are_kept():
    params = {
        "cell": {"input_kernel": np.ones((2, 12)), "recurrent_kernel": np.ones((3, 12)), "bias": np.full(12, -0.0)}
    }
    back = from_torch(to_torch(params, "lstm"), "lstm")["layers_0"]
    assert np.signbit(back["cell"]["bias"]).all()


def test_two_directions_of_one_layer_answer_alike():
    theirs = trained(torch.nn.GRU(4, 5, bidirectional=True, batch_first=True))
    layer = both_ways(GRUCell(5))
    params = fitted(from_torch(theirs.state_dict(), "gru"), layer)
    outputs, last = theirs(torch.tensor(INPUTS))
    carry, ours = layer.apply({"params": params}, INPUTS)
    close(ours, outputs)
    close(carry, carry_from_torch(last, "gru", bidirectional=True)[0])


def state():
    return Whole().state_dict()


def gru(layers=1, without="-", **options):
    """The state dict of a GRU of 3 features over 2, without the names that contain a word."""
    state = torch.nn.GRU(2, 3, layers, **options).state_dict()
    return {name: value for name, value in state.items() if without not in name}


def normalised():
    return torch.nn.utils.parametrizations.weight_norm(torch.nn.LSTM(2, 3), "weight_hh_l0").state_dict()


BOTH = {"bidirectional": True}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: from_torch(state(), "lstm"), r"recurrent modules in it are 'cell', 'encoder.rnn'"),
        (lambda: from_torch(state(), "lstm", prefix="decoder"), r"begins with 'decoder.'; recurrent modules in it are"),
        (lambda: from_torch(state(), "lstm", prefix="head"), r"'weight' is no parameter of torch.nn.LSTM"),
        (lambda: from_torch([1], "lstm"), "expected a state dict, arrays by name, got list"),
        (lambda: from_torch(normalised(), "lstm"), "weights are parametrised"),
        (lambda: from_torch(gru(without="bias_ih"), "gru"), "'bias_ih_l0' is missing"),
        (lambda: from_torch(gru(without="ih_l0_reverse", **BOTH), "gru"), "'weight_ih_l0_reverse' is missing"),
        (lambda: from_torch(gru(2, without="l0"), "gru"), "'weight_ih_l0' is missing"),
        (lambda: cell_from_torch(gru(), "gru"), "is no parameter of torch.nn.GRUCell"),
        (lambda: cell_to_torch(from_torch(gru(**BOTH), "gru")["layers_0"], "gru"), "one direction"),
        (lambda: to_torch(from_torch(gru(), "gru"), "gru", bias=False), "biases are not zero"),
        (lambda: to_torch({"params": {}}, "gru"), r"give variables\['params'\]"),
        (lambda: carry_from_torch(torch.zeros(3), "gru"), "a carry of PyTorch is"),
        (lambda: dense_from_torch(state()), "is no parameter of a Linear; name the module"),
        (lambda: embedding_from_torch(state(), "head"), "'bias' is no parameter of an Embedding 'head'"),
        (lambda: carry_from_torch(torch.zeros(1, 2, 3), "lstm"), r"a pair \(h, c\)"),
        (lambda: carry_from_torch(torch.zeros(1, 2, 3), "gru", True), "is .layers . directions, B, H., got"),
        (lambda: fitted(from_torch(gru(2), "gru"), RNN(GRUCell(3))), "do not fit this RNN: it has 'cell/bias'"),
        (lambda: fitted(from_torch(gru(), "gru"), RNN(GRUCell(4))), "'cell/bias' has shape .9,., not .12,."),
        (lambda: fitted(from_torch(gru(**BOTH), "gru"), RNN(GRUCell(3))), "do not fit this RNN"),
        (lambda: fitted({"kernel": np.ones(2)}, RNN(GRUCell(3))), "expected the parameters of recurrent layers"),
    ],
)
def test_errors_name_what_is_there(call, message):
    with pytest.raises(UsageError, match=message):
        call()
