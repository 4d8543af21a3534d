"""Layers around layers, learned first carries and cells of Flax in a safetensors file: to the bit, or refused."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rnnjax import (
    RNN,
    Bidirectional,
    Carried,
    GRUCell,
    LearnedCarry,
    LRUCell,
    LSTMCell,
    Outputs,
    StackedRNN,
    UsageError,
    load_safetensors,
    save_safetensors,
)
from rnnjax.weights import modules
from tests.test_safetensors import INPUTS, drawn, identical

RESETS = np.arange(5) == 3
MODELS = {
    "a learned carry": RNN(LSTMCell(4), first_carry=LearnedCarry(nn.initializers.normal(1.0))),
    "a learned complex carry": RNN(LRUCell(4), first_carry=LearnedCarry(), reverse=True),
    "outputs": Outputs(StackedRNN([RNN(GRUCell(4)), RNN(LSTMCell(3))])),
    "outputs in a sequential": nn.Sequential([nn.Dense(3), Outputs(RNN(LSTMCell(4))), nn.Dense(2)]),
    "a carry that is kept": Carried(RNN(LSTMCell(4), first_carry=LearnedCarry())),
    "an LSTM of Flax": RNN(nn.LSTMCell(4, activation_fn=nn.relu)),
    "an optimized LSTM of Flax": RNN(nn.OptimizedLSTMCell(4, kernel_init=nn.initializers.normal())),
    "a GRU of Flax": Bidirectional(RNN(nn.GRUCell(4)), RNN(nn.GRUCell(4, gate_fn=jax.nn.silu), reverse=True)),
    "a minimal unit of Flax": RNN(nn.MGUCell(4, reset_gate=False)),
    "a simple cell of Flax": RNN(nn.SimpleCell(4, residual=True, dtype=jnp.bfloat16)),
    "a carry for a cell of Flax": RNN(nn.GRUCell(4), first_carry=LearnedCarry(param_dtype=jnp.float16)),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_answers_from_its_file_to_the_bit(name, tmp_path):
    model, variables = MODELS[name], {"params": drawn(MODELS[name])["params"]}
    save_safetensors(tmp_path / "w.safetensors", variables, model=model)
    rebuilt, back = load_safetensors(tmp_path / "w.safetensors")
    identical(back, variables)
    assert type(rebuilt) is type(model)
    options = {} if isinstance(model, nn.Sequential) else {"resets": RESETS}
    identical(rebuilt.apply(back, INPUTS, **options), model.apply(variables, INPUTS, **options))
    assert modules.to_json(rebuilt) == modules.to_json(model)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (RNN(nn.GRUCell(4, carry_init=nn.initializers.ones)), "carry_init: a file cannot rebuild ones"),
        (RNN(nn.GRUCell(4, gate_fn=jnp.sin)), "gate_fn: a file cannot rebuild sin"),
    ],
)
def test_what_makes_other_numbers_and_has_no_name_is_refused(model, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        save_safetensors(tmp_path / "w.safetensors", drawn(model), model=model)


KEPT = {
    "an LSTM": Carried(RNN(LSTMCell(4))),
    "a GRU": Carried(RNN(GRUCell(4))),
    "a complex recurrence": Carried(RNN(LRUCell(4))),
    "a stack with a layer that has no carry": Carried(StackedRNN([RNN(LSTMCell(4)), nn.Dense(3), RNN(LSTMCell(2))])),
}


@pytest.mark.parametrize("name", KEPT)
def test_a_stream_goes_on_from_a_file_where_it_was(name, tmp_path):
    model = KEPT[name]
    params = {"params": drawn(model)["params"]}
    _, kept = model.apply(params, INPUTS, mutable=["carry"])
    save_safetensors(tmp_path / "w.safetensors", params | kept, model=model)
    rebuilt, back = load_safetensors(tmp_path / "w.safetensors")
    assert jax.tree.structure(back) == jax.tree.structure(params | kept)  # tuples are tuples
    identical(back, params | kept)
    identical(rebuilt.apply(back, INPUTS, mutable=["carry"]), model.apply(params | kept, INPUTS, mutable=["carry"]))


def test_tuples_lists_and_what_is_empty_in_them_come_back_and_what_has_names_is_refused(tmp_path):
    tree = {"a": ((), [jnp.ones(2), (None, {})], []), "b": {"0": jnp.zeros(1), "c": {}}}
    save_safetensors(tmp_path / "w.safetensors", {"params": {}, "state": tree})
    _, back = load_safetensors(tmp_path / "w.safetensors")
    assert jax.tree.structure(back["state"]) == jax.tree.structure(tree)
    identical(back["state"], tree)
    state = optax.sgd(0.1, momentum=0.9).init({"w": jnp.ones(2)})
    with pytest.raises(UsageError, match="optimizer/0: a safetensors file holds arrays of numbers, no TraceState"):
        save_safetensors(tmp_path / "w.safetensors", {"params": {}, "optimizer": state})


def test_a_carry_has_no_place_beside_pytorch_names(tmp_path):
    model = KEPT["an LSTM"]
    with pytest.raises(UsageError, match="no place for the collection 'carry'; leave it out, or use layout='rnnjax'"):
        save_safetensors(tmp_path / "w.safetensors", model.init(jax.random.key(0), INPUTS), layout="torch")
