"""Weights in safetensors files: exact to the bit, with the model that they are of, or refused."""

import json
import os
import stat

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rnnjax
from rnnjax.errors import DataError, RunError, UsageError
from rnnjax.layers.cells import CELLS, GRUCell, LSTMCell, MinGRUCell, ProjectedLSTMCell, SimpleRNNCell
from rnnjax.layers.convert import from_torch
from rnnjax.layers.recurrence import RNN, Bidirectional, StackedRNN
from rnnjax.weights import modules

safetensors = pytest.importorskip("safetensors", reason="safetensors (extra export) is not installed")
save, load = rnnjax.save_safetensors, rnnjax.load_safetensors

INPUTS = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)


def drawn(model, *inputs, dtype=np.float32, **options):
    """Variables with no zeros, so that what gets lost is noticed; negative zeros among them."""
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), *(inputs or (INPUTS,)), **options))
    random = np.random.default_rng(0)

    def draw(leaf):
        values = random.normal(size=leaf.shape)
        return np.where(values > 1.5, -0.0, values).astype(dtype)

    return jax.tree.map(draw, shapes)


def identical(a, b):
    """To the bit, dtypes and structure included."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        x, y = np.asarray(x), np.asarray(y)
        assert (x.dtype, x.shape) == (y.dtype, y.shape) and x.tobytes() == y.tobytes()


def both_ways(cell):
    return Bidirectional(RNN(cell), RNN(cell, reverse=True))


MODELS = {
    "one layer": RNN(LSTMCell(4)),
    "two directions": both_ways(GRUCell(4)),
    "projected": StackedRNN([both_ways(ProjectedLSTMCell(4, projection=2)) for _ in range(2)]),
    "relu": StackedRNN([RNN(SimpleRNNCell(4, activation=nn.relu), zoneout=0.1), RNN(SimpleRNNCell(4))], dropout=0.2),
    "unequal layers": StackedRNN([RNN(LSTMCell(4)), RNN(LSTMCell(3))]),
    "normed": StackedRNN([RNN(GRUCell(3)), RNN(GRUCell(3))], pre_norm=True, residual=True),
}


@pytest.mark.parametrize("layout", ["rnnjax", "torch"])
@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16, np.float16, np.float64], ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_layers_come_back_to_the_bit_with_their_module(name, dtype, layout, tmp_path):
    variables = drawn(MODELS[name], dtype=dtype)
    save(tmp_path / "w.safetensors", variables, model=MODELS[name], layout=layout, metadata={"by": "a test"})
    loaded = load(tmp_path / "w.safetensors")
    model, back = loaded
    identical(back, variables)
    assert model == MODELS[name] and loaded.predictor is None and loaded.metadata == {"by": "a test"}
    assert all(leaf.flags.writeable and leaf.flags.c_contiguous for leaf in jax.tree.leaves(back))


@pytest.mark.parametrize("cell", CELLS.values(), ids=list(CELLS))
def test_every_cell_is_rebuilt(cell, tmp_path):
    model = RNN(cell(4), input_dropout=0.1, implementation="scan")
    save(tmp_path / "w.safetensors", drawn(model), model=model)
    rebuilt, variables = load(tmp_path / "w.safetensors")
    assert rebuilt == model
    identical(variables, drawn(model))


def test_fields_come_back_with_their_dtypes_and_functions():
    model = both_ways(LSTMCell(4, dtype=jnp.bfloat16, carry_dtype=jnp.float32, forget_bias=0.5))
    back = modules.from_json(json.loads(json.dumps(modules.to_json(model))))
    assert back == model and back.forward.cell.dtype == jnp.bfloat16
    names = [name for name in rnnjax.__all__ if name.endswith("Cell") and name not in ("RecurrentCell", "LinearCell")]
    assert {type(cell(4)).__name__ for cell in CELLS.values()} == set(names)


trees = st.recursive(
    st.tuples(
        st.sampled_from(["float32", "bfloat16", "float16", "int32", "bool", "complex64", "uint8", "float64"]),
        st.lists(st.integers(0, 3), max_size=3),
    ),
    lambda children: st.dictionaries(st.text("ab.é ", min_size=1, max_size=4), children, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(tree=trees.filter(lambda tree: isinstance(tree, dict)), seed=st.integers(0, 9))
def test_any_tree_comes_back_to_the_bit(tree, seed, tmp_path_factory):
    random = np.random.default_rng(seed)

    def arrays(node):
        if isinstance(node, dict):
            return {name: arrays(part) for name, part in node.items()}
        dtype, shape = jnp.dtype(node[0]), tuple(node[1])
        if dtype.kind == "b":
            return random.random(shape) > 0.5
        content = random.bytes(int(np.prod(shape, dtype=int)) * dtype.itemsize)  # NaNs with payloads and all
        return np.frombuffer(content, dtype).reshape(shape)

    path = tmp_path_factory.mktemp("trees") / "w.safetensors"
    variables = {"params": arrays(tree)}
    save(path, variables)
    identical(load(path).variables, variables)


def test_arrays_of_any_layout_in_memory_are_written_by_their_values(tmp_path):
    """The writer of safetensors takes an array's buffer, whatever its strides say."""
    kernel = np.arange(12, dtype=np.float32).reshape(3, 4)
    tree = {"params": {"turned": kernel.T, "every": kernel[:, ::2], "big": kernel.astype(">f4"), "jax": jnp.ones(3)}}
    save(tmp_path / "w.safetensors", tree)
    back = load(tmp_path / "w.safetensors").variables["params"]
    for name, leaf in tree["params"].items():
        assert np.array_equal(back[name], leaf), name


class Net(nn.Module):
    """All that the layout of PyTorch has a place for."""

    @nn.compact
    def __call__(self, tokens):
        x = nn.Embed(7, 6)(tokens)
        x = nn.Conv(5, (3,))(x)
        x = nn.BatchNorm(use_running_average=True)(x)
        x = StackedRNN([both_ways(LSTMCell(4)) for _ in range(2)], name="rnn")(x)[1]
        return nn.Dense(2, name="head")(nn.LayerNorm()(x))


def test_pytorch_reads_the_file_by_its_own_names(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch (extra bench) is not installed")
    from safetensors.torch import load_file

    class Theirs(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.Embed_0 = torch.nn.Embedding(7, 6)
            self.Conv_0 = torch.nn.Conv1d(6, 5, 3, padding="same")
            self.BatchNorm_0 = torch.nn.BatchNorm1d(5)
            self.rnn = torch.nn.LSTM(5, 4, num_layers=2, bidirectional=True, batch_first=True)
            self.LayerNorm_0 = torch.nn.LayerNorm(8, eps=1e-6)
            self.head = torch.nn.Linear(8, 2)

        def forward(self, tokens):
            x = self.BatchNorm_0(self.Conv_0(self.Embed_0(tokens).transpose(1, 2))).transpose(1, 2)
            return self.head(self.LayerNorm_0(self.rnn(x)[0]))

    tokens = np.random.default_rng(0).integers(7, size=(2, 5))
    variables = drawn(Net(), tokens)
    variables["batch_stats"] = jax.tree.map(np.abs, variables["batch_stats"])
    save(tmp_path / "w.safetensors", variables, layout="torch")
    theirs = Theirs().eval()
    theirs.load_state_dict(load_file(tmp_path / "w.safetensors"))
    expected = theirs(torch.tensor(tokens)).detach().numpy()
    np.testing.assert_allclose(jax.jit(Net().apply)(variables, tokens), expected, rtol=1e-4, atol=1e-5)
    identical(load(tmp_path / "w.safetensors").variables, variables)


def test_bfloat16_stays_what_it_is_for_pytorch(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch (extra bench) is not installed")
    from safetensors.torch import load_file

    variables = drawn(RNN(GRUCell(4)), dtype=jnp.bfloat16)
    save(tmp_path / "w.safetensors", variables, layout="torch")
    state = load_file(tmp_path / "w.safetensors")
    assert {value.dtype for value in state.values()} == {torch.bfloat16}
    torch.nn.GRU(3, 4).to(torch.bfloat16).load_state_dict(state)
    wide = jax.tree.map(lambda leaf: leaf.astype(np.float32), variables["params"])
    identical(from_torch(state, "gru")["layers_0"], wide)


def content(tmp_path):
    save(tmp_path / "w.safetensors", drawn(RNN(LSTMCell(4))), model=RNN(LSTMCell(4)))
    return (tmp_path / "w.safetensors").read_bytes()


@settings(max_examples=60, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_found_wherever_it_is(place, bit, tmp_path_factory):
    folder = tmp_path_factory.mktemp("flipped")
    data = bytearray(content(folder))
    data[int(place * len(data))] ^= 1 << bit
    (folder / "w.safetensors").write_bytes(data)
    try:
        back = load(folder / "w.safetensors")
    except DataError:
        return
    identical(back.variables, drawn(RNN(LSTMCell(4))))  # a space of the header's padding


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.999])
def test_a_file_that_was_cut_off_is_refused(share, tmp_path):
    data = content(tmp_path)
    (tmp_path / "w.safetensors").write_bytes(data[: int(share * len(data))])
    with pytest.raises(DataError, match=r"w.safetensors: a damaged file, or no safetensors file"):
        load(tmp_path / "w.safetensors")


def test_a_file_of_another_program_is_refused(tmp_path):
    import safetensors.numpy

    safetensors.numpy.save_file({"weight": np.ones((2, 3))}, tmp_path / "w.safetensors")
    with pytest.raises(DataError, match="written by another program"):
        load(tmp_path / "w.safetensors")
    said = {"rnnjax": json.dumps({"version": 1, "layout": "rnnjax"})}
    safetensors.numpy.save_file({"weight": np.ones((2, 3))}, tmp_path / "w.safetensors", metadata=said)
    with pytest.raises(DataError, match="damaged: what it says of itself"):
        load(tmp_path / "w.safetensors")


def test_a_file_names_no_class_outside_the_package(tmp_path):
    for values in ({"module": "os.system", "fields": {}}, {"module": "RNN", "fields": {"cells": 3}}, {"module": "RNN"}):
        with pytest.raises(DataError, match="describes no model of this version"):
            modules.from_json(values)
    with pytest.raises(DataError, match="describes no model"):
        modules.from_json(7)


class OwnCell(LSTMCell):
    pass


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: save(p, {"cell": {}}), "parameters alone are"),
        (lambda p: save(p, [1]), "expected variables"),
        (lambda p: save(p, {"params": {"a/b": np.ones(2)}}), "cannot name 'a/b'"),
        (lambda p: save(p, {"params": {"a": "text"}}), "params/a: a safetensors file holds arrays"),
        (lambda p: save(p, {"params": {"a": jax.random.key(0)}}), "params/a: a safetensors file holds arrays"),
        (lambda p: save(p, {"params": {"a": np.array([None])}}), "holds no object"),
        (lambda p: save(p, {"params": {}}, layout="keras"), "layout must be one of rnnjax, torch"),
        (lambda p: save(p, {"params": {}}, metadata={"a": 1}), "lines of text"),
        (lambda p: save(p, {"params": {}}, model=RNN(OwnCell(4))), r"RNN.cell: OwnCell is no module of rnnjax"),
        (lambda p: save(p, {"params": {}}, model=RNN(SimpleRNNCell(4, activation=jnp.sin))), r"RNN.cell.activation"),
        (lambda p: save(p, drawn(RNN(MinGRUCell(4))), layout="torch"), "PyTorch has no module for params/cell/"),
        (lambda p: save(p, {"params": {}, "carry": {}}, layout="torch"), "no place for the collection 'carry'"),
        (lambda p: load(p), "no such file"),
        (lambda p: load(p.parent), "a folder; name the .safetensors file in it"),
    ],
)
def test_what_cannot_be_written_is_refused_in_a_sentence(call, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        call(tmp_path / "w.safetensors")
    assert not any(tmp_path.iterdir())


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    with pytest.raises(RunError, match="cannot be written"):
        save(tmp_path / "missing" / "w.safetensors", {"params": {"a": np.ones(2)}})
    old = content(tmp_path)
    with pytest.raises(UsageError):
        save(tmp_path / "w.safetensors", {"params": {"a": "text"}})
    assert (tmp_path / "w.safetensors").read_bytes() == old
    assert os.listdir(tmp_path) == ["w.safetensors"]
    assert stat.S_IMODE((tmp_path / "w.safetensors").stat().st_mode) & 0o400
