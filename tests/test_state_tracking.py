"""Words of groups against their definition, models that answer at each token, and the attention beside them."""

import dataclasses
import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnjax
from experiments import attention_reader
from experiments.state_tracking import EXPERIMENT
from rnnjax.data.spec import Shape, Spec
from rnnjax.data.state_tracking import StateTrackingData, states, table
from rnnjax.errors import DataError, UsageError
from rnnjax.export import arguments, onnx_models
from rnnjax.runs.evaluate import evaluate

SMALL = StateTrackingData(training_words=200, longest=12, validation_length=20, test_length=40, batch_size=40)


@pytest.mark.parametrize(("group", "order"), [("parity", 2), ("mod5", 5), ("a5", 60)])
def test_the_tables_are_those_of_groups(group, order):
    products = table(group)
    every = range(order)
    assert products.shape == (order, order)
    np.testing.assert_array_equal(products[0], every)
    np.testing.assert_array_equal(products[:, 0], every)
    for rows in (products, products.T):  # each element once in every row and column
        np.testing.assert_array_equal(np.sort(rows, 1), np.broadcast_to(every, (order, order)))
    for one in every:
        np.testing.assert_array_equal(products[products[one]], products[one][products])


def test_a5_has_no_commutative_part_and_the_orders_of_its_elements():
    products = table("a5")
    orders = []
    for element in range(60):
        power, count = element, 1
        while power:
            power, count = products[element, power], count + 1
        orders.append(count)
    assert [orders.count(order) for order in (1, 2, 3, 5)] == [1, 15, 20, 24]


def test_states_are_products_of_all_elements_so_far():
    rng = np.random.default_rng(0)
    bits, digits = rng.integers(2, size=(5, 30)), rng.integers(5, size=(5, 30))
    np.testing.assert_array_equal(states(bits, "parity"), bits.cumsum(1) % 2)
    np.testing.assert_array_equal(states(digits, "mod5"), digits.cumsum(1) % 5)
    even = [p for p in itertools.permutations(range(5)) if round(np.linalg.det(np.eye(5)[list(p)])) == 1]
    words = rng.integers(60, size=(3, 8))
    for row, found in zip(words, states(words, "a5"), strict=True):
        matrix = np.eye(5)
        for element, state in zip(row, found, strict=True):
            matrix = np.eye(5)[:, list(even[element])] @ matrix  # column j has its one at row p(j)
            np.testing.assert_array_equal(matrix, np.eye(5)[:, list(even[state])])


def test_training_words_are_mixed_in_length_and_the_others_longer():
    made = SMALL.load()
    lengths = made.train.lengths
    assert made.train.arrays["inputs"].shape == (200, 12)
    assert set(lengths) == set(range(2, 13))
    behind = np.arange(12) >= lengths[:, None]
    assert (made.train.arrays["inputs"][behind] == 0).all()
    assert (made.train.arrays["labels"][behind] == -1).all()
    assert (made.train.arrays["inputs"][~behind] >= 2).all()
    assert [made.validation.arrays["labels"].shape, made.test.arrays["labels"].shape] == [(256, 20), (64, 40)]
    again = SMALL.load()
    np.testing.assert_array_equal(made.test.arrays["inputs"], again.test.arrays["inputs"])
    with pytest.raises(UsageError, match="longest"):
        StateTrackingData(longest=1)
    with pytest.raises(UsageError, match="group"):
        StateTrackingData(group="s3")  # pyright: ignore[reportArgumentType]


def test_a_text_model_answers_at_each_token_and_says_how_far_it_is_right(tmp_path):
    made = dataclasses.replace(
        EXPERIMENT,
        data=dataclasses.replace(SMALL, training_words=2000),
        model=dataclasses.replace(EXPERIMENT.model, features=(16,), embedding_features=8),
        task=rnnjax.PerStep(within=(5, 40, 100)),
        optim=rnnjax.OptimConfig(learning_rate=2e-2),
        train=rnnjax.TrainConfig(epochs=6, steps_per_call=16, log=()),
    )
    rnnjax.fit(made, workdir=tmp_path)
    result = json.loads((tmp_path / "result.json").read_text())
    test, validation = (result["metrics"][split] for split in ("test", "validation"))
    accuracy = test["accuracy"]
    assert test["accuracy_within_5"] == 1 and validation["accuracy_within_5"] == 1
    assert test["accuracy_within_40"] == test["accuracy_within_100"] == pytest.approx(accuracy)
    loaded = rnnjax.load(tmp_path)
    assert loaded(["1 0 1 1", "0 1"]) == [[1, 1, 0, 1], [0, 1]]
    assert evaluate(made, tmp_path, "test")["accuracy"] == pytest.approx(accuracy)
    in_onnx_it_answers_at_each_token_too(loaded)
    for word, said in (("1 2", "'2' is none of the elements 0 to 1"), ("0 " * 41, "41 elements is longer than .* 40")):
        with pytest.raises(DataError, match=said):  # not taken for one that it knows, and not cut
            loaded([word])


def in_onnx_it_answers_at_each_token_too(loaded):
    pytest.importorskip("onnxruntime")
    from tests.test_export_onnx import session

    sizes = arguments.arguments(loaded, None, None)
    running = session(
        onnx_models.answers(loaded.model, loaded.variables, loaded.preprocess, sizes, ("batch", "time", 2))
    )
    stored = {"inputs": np.array([[2, 3, 3, 2], [3, 2, 0, 0]], np.int32), "lengths": np.array([4, 2], np.int32)}
    (got,) = running.run(None, stored)
    wanted = loaded.model.apply(loaded.variables, **stored)
    for row, length in enumerate(stored["lengths"]):
        np.testing.assert_allclose(got[row, :length], wanted[row, :length], rtol=1e-5, atol=1e-5)


def test_a_text_model_of_steps_may_not_pool_them_away():
    spec = SMALL.load().spec
    with pytest.raises(UsageError, match="an answer at each step needs all steps"):
        rnnjax.TextModel(conv=(4,)).build(spec, 2)


def test_blocks_of_a_linear_recurrence_are_those_of_the_language_model():
    made = rnnjax.TextModel(cell="min_gru", features=(6, 6), embedding_features=6, blocks=True)
    spec = SMALL.load().spec
    params = made.build(spec, 2).init(jax.random.key(0), **spec.zeros())["params"]
    language = rnnjax.LanguageModel(cell="min_gru", features=(6, 6), embedding_features=6, blocks=True)
    window = spec._replace(inputs={"inputs": spec.inputs["inputs"]})
    other = language.build(window, spec.vocabulary).init(jax.random.key(0), **window.zeros())["params"]
    shapes = [jax.tree.map(jnp.shape, tree["recurrent"]) for tree in (params, other)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("made", [rnnjax.ImageModel(read_by="pixels"), rnnjax.SequenceModel()])
def test_blocks_over_numbers_see_the_numbers(made, channels):
    """Of one channel alone a layer norm would make zeros."""
    made = dataclasses.replace(made, cell="lru", features=(6, 6), blocks=True, dense=())
    image = isinstance(made, rnnjax.ImageModel)
    shape = (1, 4, 4, channels) if image else (1, 9, channels)
    like = {"inputs": Shape(shape, np.dtype(np.float32))}
    like |= {} if image else {"lengths": Shape((1,), np.dtype(np.int32))}
    spec = Spec(like, outputs=2, names=("a", "b"))
    model, more = made.build(spec, 2), {} if image else {"lengths": np.array([9])}
    inputs = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    variables = model.init(jax.random.key(0), inputs, **more)
    one, other = (model.apply(variables, scale * inputs, **more) for scale in (1, 2))
    assert np.abs(one - other).max() > 1e-2


# Attention


def reader(**more):
    model = attention_reader.AttentionReader(5, 3, features=8, heads=2, **more)
    ids = jax.random.randint(jax.random.key(1), (2, 23), 0, 5)
    lengths = jnp.full(2, 23)
    return model, model.init(jax.random.key(0), ids, lengths=lengths), ids, lengths


@pytest.mark.parametrize("rotary", [False, True])
def test_attention_looks_at_no_later_step(rotary):
    model, params, ids, lengths = reader(rotary=rotary)
    whole = model.apply(params, ids, lengths=lengths)
    np.testing.assert_allclose(model.apply(params, ids[:, :9], lengths=lengths), whole[:, :9], atol=1e-5)
    assert np.abs(np.diff(whole, axis=1)).max() > 1e-3


@pytest.mark.parametrize("block", [5, 23, 11])
def test_attention_in_blocks_is_attention(block, monkeypatch):
    model, params, ids, lengths = reader()
    whole = model.apply(params, ids, lengths=lengths)
    monkeypatch.setattr(attention_reader, "_BLOCK", block)
    np.testing.assert_allclose(model.apply(params, ids, lengths=lengths), whole, atol=1e-5)


def test_rotations_tell_how_far_apart_two_steps_are_and_nothing_else():
    one, other = jax.random.normal(jax.random.key(0), (2, 1, 1, 1, 8))
    turned = [attention_reader._rotated(jnp.tile(part, (1, 30, 1, 1)))[0, :, 0] for part in (one, other)]
    products = turned[0] @ turned[1].T
    for apart in range(-20, 21, 4):
        along = jnp.diagonal(products, apart)
        np.testing.assert_allclose(along, along[0], atol=1e-4)
    np.testing.assert_allclose(jnp.linalg.norm(turned[0], axis=-1), jnp.linalg.norm(one), rtol=1e-5)
