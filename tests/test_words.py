"""Words of other libraries are answered by ours, and inputs that are none in a sentence."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax import RNN, Bidirectional, GRUCell, LRUCell, LSTMCell, StackedRNN, UsageError
from rnnjax.layers import words
from tests.cell_cases import BATCH, STEPS, drawn_inputs

KEY = jax.random.key(0)
INPUTS = drawn_inputs()
LAYER = RNN(LSTMCell(4))
VARIABLES = jax.eval_shape(LAYER.init, KEY, INPUTS)
VARIABLES = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), VARIABLES)


def call(layer=LAYER, *args, **options):
    return layer.apply(VARIABLES, *(args or (INPUTS,)), **options)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            lambda: call(LAYER, INPUTS, jnp.ones(BATCH, int)),
            "RNN takes inputs without a name; name what else .* lengths=",
        ),
        (lambda: call(seq_lengths=np.ones(BATCH, int)), "RNN: seq_lengths is no option here; give the call lengths="),
        (lambda: call(deterministic=True), "give the call train=, which is its opposite"),
        (lambda: call(training=True), "give the call train="),
        (lambda: call(return_carry=True), "always returns the pair: carry, outputs"),
        (lambda: call(time_major=True), r"always \[..., T, D\], batch first"),
        (lambda: call(attention_mask=np.ones((BATCH, STEPS))), "give the call mask="),
        (lambda: call(initial_state=None), r"give the call initial_carry=; an LSTM's is \(c, h\)"),
        (lambda: call(init_key=KEY), "none is needed"),
        (lambda: call(reverse=True), r"it is an option of the layer: RNN\(cell, reverse=...\)"),
        (lambda: call(lenghts=np.ones(BATCH, int)), "lenghts is no option here; it has inputs, lengths, mask"),
        (lambda: call(LAYER, None, INPUTS[:, 0], method="step", done=np.ones(BATCH)), "RNN.step: done .* resets="),
        (lambda: call(LAYER, None, INPUTS[:, 0], method="step", lengths=1), "RNN.step: lengths is no option here"),
        (lambda: RNN(LSTMCell(4), return_sequences=True), "take the carry, or rnnjax.pool"),
        (lambda: RNN(LSTMCell(4), batch_first=True), "batch first"),
        (lambda: RNN(LSTMCell(4), go_backwards=True), r"RNN\(cell, reverse=True\)"),
        (lambda: RNN(LSTMCell(4), dropout=0.1), "input_dropout= and recurrent_dropout="),
        (lambda: RNN(LSTMCell(4), lengths=3), "it is an option of the call"),
        (lambda: RNN(LSTMCell(4), bidirectional=True), "Bidirectional"),
        (lambda: RNN(hidden_size=64), r"the cell has the width, as in RNN\(LSTMCell\(64\)\)"),
        (lambda: RNN(64), r"RNN runs a cell, such as RNN\(LSTMCell\(64\)\) for 64 features, got 64"),
        (lambda: RNN(LSTMCell), r"and not its class: RNN\(LSTMCell\(64\)\)"),
        (lambda: RNN(RNN(LSTMCell(4))), "a cell, and RNN is none"),
        (lambda: RNN(nn.Dense(4)), "a cell, and Dense is none"),
        (lambda: StackedRNN(LAYER), r"give the layers as a list, lowest first"),
        (lambda: StackedRNN([LAYER], num_layers=2), r"StackedRNN\(\[RNN\(LSTMCell\(64\)\) for _ in range\(2\)\]\)"),
        (
            lambda: Bidirectional(LAYER),
            r"both directions: Bidirectional\(RNN\(cell\), RNN\(cell, reverse=True\)\)",
        ),
        (lambda: Bidirectional(LSTMCell(4), LSTMCell(4)), "forward must be a layer of this package"),
        (lambda: Bidirectional(nn.RNN(nn.GRUCell(4)), LAYER), "forward must be a layer of this package"),
        (lambda: Bidirectional(LAYER, RNN(GRUCell(4), reverse=True), merge_mode="sum"), "merge='concat'"),
    ],
)
def test_a_word_of_another_library_is_answered_by_ours(said, message):
    with pytest.raises(UsageError, match=message):
        said()


@pytest.mark.parametrize("word", ["parent", "name"])
def test_the_words_of_linen_are_no_words_of_others(word):
    RNN(LSTMCell(4), **{word: None})
    assert word not in words.OURS


def test_every_answer_to_a_word_names_an_option_or_layer_that_is_there():
    options = {*RNN.__dataclass_fields__, *words._parameters(RNN.__call__), *StackedRNN.__dataclass_fields__}
    options |= {*Bidirectional.__dataclass_fields__, *LSTMCell.__dataclass_fields__, "activation", "projection"}
    for word, answer in words.OURS.items():
        for name in map(str.strip, answer.replace("(", " ").replace("`", " ").split()):
            if name.endswith("=") and name != "=":
                assert name[:-1] in options, (word, name)
        given = set(words._parameters(RNN.__call__)) | set(RNN.__dataclass_fields__)
        assert word not in given, f"{word} is an option of ours"


def test_a_generator_of_layers_is_a_list_of_them():
    layer = StackedRNN(RNN(LSTMCell(4)) for _ in range(2))
    assert set(layer.init(KEY, INPUTS)["params"]) == {"layers_0", "layers_1"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda: call(LAYER, INPUTS[..., :1]), "LSTMCell: the inputs have D = 1 features, .* made for D = 2"),
        (lambda: call(LAYER, np.zeros((BATCH, STEPS), np.int32)), "the inputs have D = 6 features"),
        (lambda: LAYER.init(KEY, INPUTS[..., :0]), "the inputs have no features, D = 0"),
        (lambda: RNN(LRUCell(4)).init(KEY, INPUTS[..., :0]), "the inputs have no features, D = 0"),
        (lambda: call(LAYER, INPUTS.tolist()), r"inputs must be a JAX or NumPy array \[..., T, D\], got a list"),
        (lambda: call(LAYER, None), "got a NoneType"),
        (lambda: call(StackedRNN([LAYER]), INPUTS.tolist()), "got a list"),
    ],
)
def test_inputs_that_do_not_fit_are_told_d(given, message):
    with pytest.raises(UsageError, match=message):
        given()


def test_a_tensor_of_pytorch_is_told_what_it_is():
    torch = pytest.importorskip("torch")
    with pytest.raises(UsageError, match=r"got a torch\.Tensor; jnp\.asarray"):
        call(LAYER, torch.tensor(INPUTS))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.int32])
def test_narrower_inputs_of_an_lru_are_cast(dtype):
    layer, inputs = RNN(LRUCell(4)), jnp.asarray(2 * INPUTS).astype(dtype)
    variables = layer.init(KEY, inputs)
    outputs = layer.apply(variables, inputs)[1]
    assert outputs.dtype == jnp.float32
    np.testing.assert_allclose(outputs, layer.apply(variables, inputs.astype(jnp.float32))[1], atol=1e-6)
