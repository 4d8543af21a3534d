"""cuDNN's LSTM: our parameters in its layout, by the reference in ``jax.experimental.rnn``, and what it refuses."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import rnn

from rnnjax.errors import UsageError
from rnnjax.layers import cudnn
from rnnjax.layers.cells import GRUCell, LSTMCell
from rnnjax.layers.recurrence import RNN, Bidirectional, StackedRNN
from tests.test_fused import assert_close, loss, problem, scanned

LENGTHS = np.array([6, 0, 4])
on_gpu = jax.default_backend() == "gpu"


def reference(inputs, hidden, cell, weights, lengths, *shape):
    """``jax.experimental.rnn.lstm`` in plain JAX, from the packed weights."""
    width, features, layers, _, bidirectional = shape
    parts = rnn.unpack_lstm_weights(weights, width, features, layers, bidirectional)
    assert weights.shape == (rnn.get_num_params_in_lstm(width, features, layers, bidirectional),)
    return rnn.lstm_ref(inputs, hidden, cell, *parts, lengths, *shape)


def packed(parameters, inputs, lengths, carry, reverse, lstm):
    names = ("input_kernel", "recurrent_kernel", "bias")
    given = [parameters[name] for name in names]
    return cudnn.lstm_sequence(inputs, *given, carry, lengths, reverse=reverse, lstm=lstm)


def test_packing_is_undone_by_unpacking():
    parameters, *_ = problem("lstm", dtype="float32")
    weights = cudnn.pack(parameters["input_kernel"], parameters["recurrent_kernel"], parameters["bias"])
    kernel, recurrent, bias, second = (part[0] for part in rnn.unpack_lstm_weights(weights, 2, 4, 1, False))
    ours = parameters["input_kernel"], parameters["recurrent_kernel"], parameters["bias"]
    assert_close((kernel.T, recurrent.T, bias + second), ours, 0)


@pytest.mark.parametrize(
    ("lengths", "reverse"),
    [
        (LENGTHS, False),
        (None, True),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in [(None, False), (LENGTHS, True)]),
    ],
)
def test_results_and_gradients_are_those_of_our_cell(lengths, reverse):
    *arguments, weights = problem("lstm", dtype="float32")
    counts = None if lengths is None else jnp.asarray(lengths)
    mask = None if lengths is None else jnp.arange(6) < counts[:, None]
    lstm = rnn.lstm if on_gpu else reference
    ours = loss(lambda p, x, n, c: packed(p, x, n, c, reverse, lstm), weights)
    theirs = loss(scanned("lstm", 4, reverse=reverse, implementation="scan"), weights)
    with jax.default_matmul_precision("highest"):
        value, gradients = jax.jit(jax.value_and_grad(theirs, (0, 1, 2)))(*arguments, mask)
        results = jax.jit(jax.value_and_grad(ours, (0, 1, 2)))(*arguments, counts)
    assert_close(results, (value, gradients), 1e-5)


@pytest.fixture
def simulated(monkeypatch):
    """Runs cuDNN where there is one, else the reference in its place."""
    if not on_gpu:
        monkeypatch.setattr(cudnn, "obstacle", lambda: None)
        monkeypatch.setattr(cudnn, "lstm_sequence", functools.partial(cudnn.lstm_sequence, lstm=reference))


def test_a_model_on_cudnn_gives_the_numbers_of_the_scan(simulated):
    """Two bidirectional layers, two batch axes, a row without steps, NaN in the padding and weight dropout."""

    def model(implementation):
        layer = functools.partial(RNN, implementation=implementation, weight_dropout=0.3)
        both = [Bidirectional(layer(LSTMCell(4)), layer(LSTMCell(4), reverse=True)) for _ in range(2)]
        return StackedRNN(both)

    lengths = np.array([[5, 0], [2, 3]])
    inputs = np.random.default_rng(0).normal(size=(2, 2, 5, 3)).astype(np.float32)
    inputs[np.arange(5) >= lengths[..., None]] = np.nan
    variables = jax.jit(model("scan").init)(jax.random.key(0), inputs)

    def gradient(implementation):
        def run(variables):
            rngs = {"dropout": jax.random.key(1)}
            results = model(implementation).apply(variables, inputs, lengths=lengths, train=True, rngs=rngs)
            return sum(jnp.sin(leaf).sum() for leaf in jax.tree.leaves(results))

        return jax.jit(jax.value_and_grad(run))

    with jax.default_matmul_precision("highest"):
        assert_close(gradient("cudnn")(variables), gradient("scan")(variables), 1e-5)


def refusal(cell=LSTMCell, lengths=None, mask=None, resets=None, dtype=jnp.float32, steps=6, rows=3, **options):
    layer = RNN(cell(4), implementation="cudnn", **options)
    call = functools.partial(layer.init_with_output, lengths=lengths, mask=mask, resets=resets, train=True)
    inputs = jnp.zeros((rows, steps, 2), dtype)
    with pytest.raises(UsageError, match=r"implementation='cudnn' cannot run .* use implementation='auto'") as error:
        jax.eval_shape(lambda: call({"params": jax.random.key(0), "dropout": jax.random.key(1)}, inputs))
    return str(error.value)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"cell": GRUCell}, "cuDNN has LSTMCell itself alone"),
        ({"mask": np.ones((3, 6), bool)}, "it has a mask, which cuDNN knows by lengths= alone;"),
        ({"resets": np.ones((3, 6), bool)}, "it has resets;"),
        ({"lengths": LENGTHS, "zoneout": 0.1, "remat": 2}, "it has zoneout, remat;"),
        ({"recurrent_dropout": 0.1}, "it has recurrent_dropout;"),
        ({"recurrent_dropout": 0.1, "variational": False}, "it has recurrent_dropout;"),
        ({"cell": functools.partial(LSTMCell, dtype=jnp.bfloat16)}, "it has another dtype than float32;"),
        ({"steps": 0}, "it has a sequence without steps;"),
        ({"rows": 0}, "it has a batch without rows;"),
    ],
)
def test_what_cudnn_cannot_is_refused_by_name(simulated, options, reason):
    assert reason in refusal(**options)


@pytest.mark.skipif(on_gpu, reason="there is a GPU")
def test_without_a_gpu_it_says_what_it_needs():
    assert "needs an NVIDIA GPU and JAX's CUDA wheels" in refusal(lengths=LENGTHS)
