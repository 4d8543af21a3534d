"""Recurrences as ONNX's operators answer in onnxruntime as the layers do."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnjax import RNN, Bidirectional, LearnedCarry, StackedRNN, cells
from rnnjax.errors import UsageError
from rnnjax.export import onnx_models
from tests.marks import often

runtime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

ROWS, STEPS, READ, WIDE = 4, 6, 3, 4
SAID = {
    "lstm": cells.LSTMCell(WIDE),
    "peephole": cells.PeepholeLSTMCell(WIDE),
    "gru": cells.GRUCell(WIDE),
    "reset before": cells.ResetBeforeGRUCell(WIDE),
    "tanh": cells.SimpleRNNCell(WIDE),
    "relu": cells.SimpleRNNCell(WIDE, activation=nn.relu),
}


def both(forward, backward, merge="concat"):
    return Bidirectional(RNN(forward), RNN(backward, reverse=True), merge)


LAYERS = {
    **{name: RNN(cell) for name, cell in SAID.items()},
    **{f"{name} from the end": RNN(SAID[name], reverse=True) for name in ("lstm", "gru", "tanh")},
    "learned": RNN(SAID["lstm"], first_carry=LearnedCarry()),
    "both": both(SAID["gru"], SAID["gru"]),
    "two kinds": both(SAID["lstm"], cells.GRUCell(2)),
    **{merge: both(SAID["lstm"], SAID["tanh"], merge) for merge in ("sum", "mean", "mul")},
    "stack": StackedRNN([RNN(SAID["lstm"]), both(SAID["gru"], SAID["gru"]), RNN(SAID["tanh"])]),
    "residual": StackedRNN([RNN(cells.GRUCell(READ)), RNN(cells.LSTMCell(READ))], residual=True, pre_norm=True),
    "wider": StackedRNN([RNN(SAID["gru"]), RNN(SAID["gru"])], residual=True),
}

OFTEN = ("lstm", "gru from the end", "learned", "two kinds", "mul", "stack", "residual")


@functools.cache
def made(name):
    """The layer, variables that are zero nowhere, and what runs it here and there."""
    layer, draw = LAYERS[name], np.random.default_rng(0)
    variables = jax.eval_shape(layer.init, jax.random.key(0), jnp.zeros((1, 1, READ)))
    variables = jax.tree.map(lambda leaf: draw.normal(0, 0.5, leaf.shape).astype(leaf.dtype), variables)

    @jax.jit
    def here(inputs, lengths, carry):
        return layer.apply(variables, inputs, lengths=lengths, initial_carry=carry)

    @functools.cache
    def there(lengths, carry):
        return session(onnx_models.layer(layer, variables, lengths=lengths, initial_carry=carry))

    return here, there


def session(content):
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def close(ours, theirs):
    np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-5)


def drawn_carry(here, inputs, lengths):
    """A carry of random numbers, as the layer has it."""
    draw = np.random.default_rng(1)
    like = jax.eval_shape(here, inputs, lengths, None)[0]
    return jax.tree.map(lambda leaf: draw.normal(size=leaf.shape).astype(leaf.dtype), like)


@pytest.mark.parametrize("name", often(LAYERS, OFTEN))
@settings(max_examples=12, deadline=None)
@given(lengths=st.lists(st.integers(0, STEPS), min_size=ROWS, max_size=ROWS), seed=st.integers(0, 100))
def test_a_layer_answers_in_onnxruntime_as_here(name, lengths, seed):
    here, there = made(name)
    inputs = np.random.default_rng(seed).normal(size=(ROWS, STEPS, READ)).astype(np.float32)
    lengths = np.array(lengths, np.int32)
    beyond = np.where((np.arange(STEPS) < lengths[:, None])[..., None], inputs, np.nan)
    for carry in (None, drawn_carry(here, inputs, lengths)):
        last, outputs = here(inputs, lengths, carry)
        given = {f"carry_{number}": leaf for number, leaf in enumerate(jax.tree.leaves(carry))}
        got, *after = there(True, carry is not None).run(None, {"inputs": beyond, "lengths": lengths, **given})
        close(outputs, got)
        for ours, theirs in zip(jax.tree.leaves(last), after, strict=True):
            close(ours, theirs)


@pytest.mark.parametrize("name", ["lstm", "gru from the end", "stack"])
def test_without_lengths_all_steps_are_real_of_any_number_of_rows_and_steps(name):
    here, there = made(name)
    for rows, steps in ((ROWS, STEPS), (1, 9)):
        inputs = np.random.default_rng(0).normal(size=(rows, steps, READ)).astype(np.float32)
        last, outputs = here(inputs, None, None)
        got, *after = there(False, False).run(None, {"inputs": inputs})
        close(outputs, got)
        for ours, theirs in zip(jax.tree.leaves(last), after, strict=True):
            close(ours, theirs)


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (RNN(cells.LayerNormLSTMCell(4)), "LayerNormLSTMCell"),
        (RNN(cells.LRUCell(4)), "LRUCell"),
        (RNN(cells.MinGRUCell(4)), "MinGRUCell"),
        (RNN(cells.ProjectedLSTMCell(4)), "ProjectedLSTMCell"),
        (RNN(cells.LSTMCell(4), zoneout=0.1), "zoneout"),
        (RNN(cells.LSTMCell(4, dtype=jnp.bfloat16)), "a LSTMCell of bfloat16"),
        (RNN(cells.SimpleRNNCell(4, activation=nn.gelu)), "the activation gelu of SimpleRNNCell"),
        (StackedRNN([RNN(cells.GRUCell(4)), RNN(cells.CoupledLSTMCell(4))]), "CoupledLSTMCell"),
        (StackedRNN([RNN(cells.GRUCell(4)), nn.Dense(4)]), "a recurrent layer of class Dense"),
        (StackedRNN([nn.Dense(4), RNN(cells.GRUCell(4))]), "a recurrent layer of class Dense"),
        (RNN(nn.GRUCell(4)), "GRUCell"),
        (nn.Dense(3), "a layer of class Dense"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_onnx_cannot_say_is_refused_by_name(layer, said):
    variables = layer.init(jax.random.key(0), jnp.zeros((1, 2, 3)))
    with pytest.raises(UsageError, match=f"ONNX cannot say {said}"):
        onnx_models.layer(layer, variables)


def test_a_subclass_is_refused_since_its_step_may_be_another():
    class Own(cells.LSTMCell):
        pass

    layer = RNN(Own(4))
    with pytest.raises(UsageError, match="ONNX cannot say Own"):
        onnx_models.layer(layer, layer.init(jax.random.key(0), jnp.zeros((1, 2, 3))))
