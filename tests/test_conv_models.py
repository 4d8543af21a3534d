"""Convolutions, the pooled head and classifiers."""

import ast
import dataclasses
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import experiments
import rnnjax
from rnnjax import data
from rnnjax.config import ImageModel, TextModel
from rnnjax.data import ImagePreprocess, TextPreprocess
from rnnjax.data.tokens import Vocabulary
from rnnjax.errors import UsageError
from rnnjax.layers.cells import LSTMCell
from rnnjax.layers.conv import (
    ConvStack,
    SequenceConvStack,
    pixels_as_sequence,
    rows_as_sequence,
    same_convolution,
    sequence_as_rows,
)
from rnnjax.layers.recurrence import RNN, Bidirectional
from rnnjax.models.head import PooledHead
from rnnjax.models.image import MirroredImageClassifier
from rnnjax.models.text import TextClassifier, dropped_words
from rnnjax.runs.fitting import run as fit
from rnnjax.runs.predict import load
from rnnjax.tasks import losses
from tests.small import CONFIG, small_program, subset
from tests.toy import built

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


# Convolutions


@pytest.mark.parametrize(("kernel_size", "window", "size"), [((3, 3), 2, (9, 6)), ((5, 3), 1, (4, 7))])
def test_conv_stack_is_torchs(kernel_size, window, size):
    """Odd kernels with SAME padding are torch's padding=k//2; pooling drops what does not fill a window in both."""
    torch = pytest.importorskip("torch")
    stack = ConvStack((4, 3), kernel_size=kernel_size, pool=window)
    images = normal(2, *size, 2)
    variables = stack.init(jax.random.key(0), images)
    variables = jax.tree.map(lambda leaf: leaf if leaf.ndim > 1 else normal(*leaf.shape), variables)  # biases too
    maps = torch.tensor(images.transpose(0, 3, 1, 2))
    for name in ("Conv_0", "Conv_1"):
        kernel, bias = (np.array(variables["params"][name][part]) for part in ("kernel", "bias"))
        maps = torch.nn.functional.conv2d(
            maps, torch.tensor(kernel.transpose(3, 2, 0, 1)), torch.tensor(bias), padding="same"
        ).relu()
        if window > 1:
            maps = torch.nn.functional.max_pool2d(maps, window)
    np.testing.assert_allclose(stack.apply(variables, images), maps.numpy().transpose(0, 2, 3, 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("size", "window"), [((7, 5), (3, 3)), ((6, 4), (2, 5)), ((1, 1), (3, 3)), ((9,), (4,))])
def test_gradients_of_convolutions_are_xlas(size, window):
    """Also of even windows, whose padding is not symmetric, and of windows larger than the image."""
    inputs, kernel = normal(3, *size, 4), normal(*window, 4, 5)
    weights = normal(3, *size, 5)
    axes = "HW"[: len(size)]
    layout = (f"N{axes}C", f"{axes}IO", f"N{axes}C")

    def xlas(inputs, kernel):
        return jax.lax.conv_general_dilated(inputs, kernel, (1,) * len(size), "SAME", dimension_numbers=layout)

    np.testing.assert_allclose(same_convolution(inputs, kernel), xlas(inputs, kernel), rtol=1e-5, atol=1e-5)
    expected, actual = (
        jax.jit(jax.grad(lambda i, k, f=function: (f(i, k) * weights).sum(), (0, 1)))(inputs, kernel)
        for function in (xlas, same_convolution)
    )
    for ours, theirs in zip(actual, expected, strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.optimized
def test_a_loop_over_steps_of_convolutions_is_not_slow_on_cpu():
    """In the layout that XLA's own gradient leaves in a loop, this loop took 50 times as long as without it."""
    if jax.default_backend() != "cpu":
        pytest.skip("the layout matters on CPU alone")
    stack, images = ConvStack((16, 16), pool=1), normal(16, 16, 16, 16)
    params = stack.init(jax.random.key(0), images)

    def step(params, _):
        gradient = jax.grad(lambda p: (stack.apply(p, images) ** 2).mean())(params)
        return jax.tree.map(lambda p, g: p - 1e-3 * g, params, gradient), None

    compiled = jax.jit(lambda p: jax.lax.scan(step, p, length=3)).lower(params).compile()
    convolutions = re.findall(r" convolution\(.*dim_labels=(\S+?)[,\s]", compiled.as_text())
    # The inputs' gradient of the first layer is not needed.
    assert len(convolutions) >= 3
    assert set(convolutions) == {"b01f_01io->b01f"}, "what the CPU's fast routine can take"


@pytest.mark.parametrize(("every", "size"), [(1, 1), (2, 4), (3, 4), (4, 8)])
def test_pooling_follows_every_so_many_convolutions(every, size):
    stack = ConvStack((2, 2, 2), convs_per_pool=every)
    maps, _ = stack.init_with_output(jax.random.key(0), normal(2, 8, 8, 1))
    assert maps.shape == (2, size, size, 2)


@pytest.mark.parametrize(("every", "size"), [(1, 1), (2, 2), (3, 4), (4, 4)])
def test_early_pooling_follows_the_first_of_so_many_convolutions(every, size):
    stack = ConvStack((2, 2, 2), convs_per_pool=every, pool_early=True)
    maps, _ = stack.init_with_output(jax.random.key(0), normal(2, 8, 8, 1))
    assert maps.shape == (2, size, size, 2)


def test_early_pooling_comes_before_batch_norm_and_relu_as_in_torch():
    torch = pytest.importorskip("torch")
    stack, images = ConvStack((3, 2), convs_per_pool=2, pool_early=True, batch_norm=True), normal(4, 6, 6, 2)
    variables = stack.init(jax.random.key(0), images)
    maps = torch.tensor(images.transpose(0, 3, 1, 2))
    for number in range(2):
        kernel = np.array(variables["params"][f"Conv_{number}"]["kernel"]).transpose(3, 2, 0, 1)
        maps = torch.nn.functional.conv2d(maps, torch.tensor(kernel), padding="same")
        if number == 0:
            maps = torch.nn.functional.max_pool2d(maps, 2)
        maps = torch.nn.functional.batch_norm(maps, None, None, training=True).relu()
    outputs, _ = stack.apply(variables, images, train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(outputs, maps.numpy().transpose(0, 2, 3, 1), rtol=1e-3, atol=1e-4)


def test_batch_norm_over_devices_is_batch_norm_of_the_whole_batch():
    devices = jax.devices()[:4]
    images = normal(8, 4, 4, 1)
    images[::2] += 3  # parts of the batch that differ, so that per-device statistics would show
    weights = normal(8, 2, 2, 3)
    one = ConvStack((3,), batch_norm=True)
    many = ConvStack((3,), batch_norm=True, axis_name="batch")
    variables = one.init(jax.random.key(0), images)
    assert jax.tree.structure(variables) == jax.tree.structure(many.init(jax.random.key(0), images))

    def summed(stack, params, images, weights):
        maps, new = stack.apply({**variables, "params": params}, images, train=True, mutable=["batch_stats"])
        return (maps * weights).sum(), (maps, new["batch_stats"])

    def gradients(stack, images, weights):
        return jax.grad(lambda p: summed(stack, p, images, weights), has_aux=True)(variables["params"])

    def on_device(images, weights):
        gradient, aux = gradients(many, images, weights)
        return jax.lax.psum(gradient, "batch"), aux

    expected, (maps, statistics) = gradients(one, images, weights)
    split = [array.reshape(4, 2, *array.shape[1:]) for array in (images, weights)]
    actual, (split_maps, split_statistics) = jax.pmap(on_device, axis_name="batch", devices=devices)(*split)
    np.testing.assert_allclose(split_maps.reshape(maps.shape), maps, atol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, np.broadcast_to(b, a.shape), atol=1e-5), split_statistics, statistics
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[0], b, rtol=1e-4, atol=1e-4), actual, expected)


@pytest.mark.parametrize(
    ("shape", "message"),
    [((2, 8, 8), r"\[B, height, width, channels\]"), ((2, 8, 3, 1), "8 x 3 pixels .* by 2 2 times")],
)
def test_images_that_cannot_be_pooled_are_refused(shape, message):
    with pytest.raises(UsageError, match=message):
        ConvStack((4, 4)).init(jax.random.key(0), jnp.zeros(shape))


def test_a_sequence_becomes_the_rows_that_it_was():
    maps = np.arange(48).reshape(2, 2, 3, 4)
    np.testing.assert_array_equal(sequence_as_rows(rows_as_sequence(maps), 3), maps)
    np.testing.assert_array_equal(pixels_as_sequence(maps)[1, 4], maps[1, 1, 1])
    with pytest.raises(UsageError, match="10 recurrent features do not divide into a row of 3 pixels"):
        sequence_as_rows(jnp.zeros((1, 2, 10)), 3)


def test_rows_keep_their_order():
    maps = np.arange(24).reshape(1, 2, 3, 4)
    np.testing.assert_array_equal(rows_as_sequence(maps)[0], [np.arange(12), np.arange(12, 24)])


# Convolutions over time


def test_sequence_conv_stack_is_torchs():
    """Without padding; what torch's pooling drops at the end is kept here, as it does with ceil_mode."""
    torch = pytest.importorskip("torch")
    stack = SequenceConvStack((4, 3), kernel_size=3, pool=2)
    inputs, real = normal(2, 11, 5), np.ones((2, 11), bool)
    variables = stack.init(jax.random.key(0), inputs, real)
    variables = jax.tree.map(lambda leaf: leaf if leaf.ndim > 1 else normal(*leaf.shape), variables)  # biases too
    steps = torch.tensor(inputs.transpose(0, 2, 1))
    for name in ("Conv_0", "Conv_1"):
        kernel, bias = (np.array(variables["params"][name][part]) for part in ("kernel", "bias"))
        steps = torch.nn.functional.conv1d(
            steps, torch.tensor(kernel.transpose(2, 1, 0)), torch.tensor(bias), padding="same"
        ).relu()
        steps = torch.nn.functional.max_pool1d(steps, 2, ceil_mode=True)
    outputs, mask = stack.apply(variables, inputs, real)
    assert mask.all()
    np.testing.assert_allclose(outputs, steps.numpy().transpose(0, 2, 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("kernel_size", "window"),
    [(3, 4), *(pytest.param(*case, marks=pytest.mark.slow) for case in [(4, 3), (5, 1)])],
)
def test_a_sequence_in_a_padded_batch_is_the_sequence_alone(kernel_size, window):
    stack = SequenceConvStack((4, 3), kernel_size, window)
    inputs, lengths = normal(5, 18, 2), np.array([18, 11, 5, 1, 0])
    real = np.arange(18) < lengths[:, None]
    dirty = np.where(real[..., None], inputs, np.nan)
    variables = stack.init(jax.random.key(0), inputs, real)
    variables = jax.tree.map(lambda leaf: leaf if leaf.ndim > 1 else normal(*leaf.shape), variables)  # biases too
    outputs, mask = stack.apply(variables, dirty, real)
    for row, length in enumerate(lengths):
        steps = int(np.ceil(np.ceil(length / window) / window))
        np.testing.assert_array_equal(mask[row], np.arange(mask.shape[1]) < steps)
        if length:
            alone, _ = stack.apply(variables, inputs[row : row + 1, :length], np.ones((1, length), bool))
            assert alone.shape[1] == steps
            np.testing.assert_allclose(outputs[row, :steps], alone[0], rtol=1e-5, atol=1e-6)


# Classifiers


def test_the_head_concatenates_in_the_order_asked_for():
    outputs, mask = normal(2, 4, 3), np.array([[1, 1, 0, 0], [1, 1, 1, 1]], bool)
    head = PooledHead(5, ("max", "last"))
    variables = head.init(jax.random.key(0), outputs, mask, train=False)
    kernel = np.array(variables["params"]["Dense_0"]["kernel"])
    assert kernel.shape == (6, 5)
    pooled = np.concatenate([[outputs[0, :2].max(0), outputs[1].max(0)], [outputs[0, 1], outputs[1, 3]]], -1)
    np.testing.assert_allclose(head.apply(variables, outputs, mask, train=False), pooled @ kernel, rtol=1e-5, atol=1e-6)


def test_the_head_has_hidden_layers_with_relu():
    outputs = normal(2, 4, 3)
    head = PooledHead(1, ("mean",), dense=(7, 5))
    variables = head.init(jax.random.key(0), outputs, None, train=False)
    hidden = outputs.mean(1)
    layers = [variables["params"][f"Dense_{i}"] for i in range(3)]
    assert [layer["kernel"].shape for layer in layers] == [(3, 7), (7, 5), (5, 1)]
    for layer in layers[:2]:
        hidden = np.maximum(hidden @ np.array(layer["kernel"]) + np.array(layer["bias"]), 0)
    expected = hidden @ np.array(layers[2]["kernel"])
    np.testing.assert_allclose(head.apply(variables, outputs, None, train=False), expected, rtol=1e-5, atol=1e-6)


def text_classifier(**options):
    return TextClassifier(
        vocabulary_size=11,
        embedding_features=4,
        recurrent=Bidirectional(RNN(LSTMCell(3)), RNN(LSTMCell(3), reverse=True)),
        head=PooledHead(1, ("mean", "max", "last")),
        **options,
    )


@pytest.mark.parametrize(
    "conv", [pytest.param(None, marks=pytest.mark.slow), SequenceConvStack((3,), 3, 2)], ids=["plain", "conv"]
)
def test_a_document_is_read_without_its_padding(conv):
    """Neither what stands behind its length nor the padded length changes logits or gradients."""
    model = text_classifier(conv=conv)
    lengths = np.array([5, 3, 1, 0], np.int32)
    rng = np.random.default_rng(1)  # of words that a convolution makes nothing of, two logits would be alike
    ids = rng.integers(1, 11, (4, 5)).astype(np.int32)
    real = np.arange(5) < lengths[:, None]
    variables = model.init(jax.random.key(0), ids, lengths=lengths)

    @jax.jit
    def run(ids):
        def loss(variables):
            logits = model.apply(variables, ids, lengths=lengths)
            return losses.binary_cross_entropy(logits, jnp.array([0, 1, 1, 0])).sum(), logits

        return jax.grad(loss, has_aux=True)(variables)

    gradients, logits = run(np.where(real, ids, 0))
    assert len(np.unique(np.round(np.asarray(logits), 6))) == 4
    other_gradients, other_logits = run(np.where(real, ids, rng.integers(1, 11, ids.shape)).astype(np.int32))
    np.testing.assert_array_equal(other_logits, logits)
    jax.tree.map(np.testing.assert_array_equal, other_gradients, gradients)
    longer_gradients, longer_logits = run(np.pad(np.where(real, ids, 0), ((0, 0), (0, 6))))
    np.testing.assert_allclose(longer_logits, logits, rtol=1e-5, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), longer_gradients, gradients)


def test_word_dropout_replaces_words_in_training_only():
    ids, lengths = np.full((64, 3), 5, np.int32), np.full(64, 3, np.int32)
    model = text_classifier(word_dropout=0.5)
    variables = model.init(jax.random.key(0), ids, lengths=lengths)
    plain = model.apply(variables, ids, lengths=lengths)
    assert len(np.unique(np.asarray(plain))) == 1
    dropped = model.apply(variables, ids, lengths=lengths, train=True, rngs={"dropout": jax.random.key(1)})
    # Each of the three words is dropped or not, and nothing else happens: eight documents.
    unknown = np.array([[1 if n & bit else 5 for bit in (1, 2, 4)] for n in range(8)], np.int32)
    every = model.apply(variables, unknown, lengths=np.full(8, 3, np.int32))
    distances = np.abs(np.asarray(dropped) - np.asarray(every)[:, 0])
    assert distances.min(-1).max() < 1e-5
    assert len(np.unique(distances.argmin(-1))) == 8


def test_dropping_types_replaces_every_occurrence_of_a_word_or_none():
    rng = np.random.default_rng(0)
    ids = rng.integers(2, 30, (300, 40)).astype(np.int32)
    dropped = np.asarray(jax.jit(lambda key: dropped_words(key, ids, 0.3, "types"))(jax.random.key(0)))
    fates = np.full((300, 30), np.nan)
    for row, (words, gone) in enumerate(zip(ids, dropped, strict=True)):
        for word in np.unique(words):
            (fates[row, word],) = np.unique(gone[words == word])
    assert abs(np.nanmean(fates) - 0.3) < 0.02  # about 6,300 draws: three and a half standard deviations
    # A document's fate of a word says nothing about another document's, nor a word's about another's.
    assert (np.abs(np.nanmean(fates[:, 2:], 0) - 0.3) < 0.13).all()
    assert (np.abs(np.nanmean(fates, 1) - 0.3) < 0.45).all()
    tokens = np.asarray(dropped_words(jax.random.key(0), ids, 0.3, "tokens"))
    assert any(len(np.unique(gone[words == words[0]])) == 2 for words, gone in zip(ids, tokens, strict=True))


def test_a_model_drops_types_where_it_is_told_to():
    ids, lengths = np.full((64, 3), 5, np.int32), np.full(64, 3, np.int32)
    model = text_classifier(word_dropout=0.5, word_dropout_of="types")
    variables = model.init(jax.random.key(0), ids, lengths=lengths)
    logits = model.apply(variables, ids, lengths=lengths, train=True, rngs={"dropout": jax.random.key(1)})
    all_or_none = model.apply(variables, np.array([[5, 5, 5], [1, 1, 1]], np.int32), lengths=lengths[:2])
    distances = np.abs(np.asarray(logits) - np.asarray(all_or_none)[:, 0])
    assert distances.min(-1).max() < 1e-5
    assert len(np.unique(distances.argmin(-1))) == 2


IMAGE = ImagePreprocess((8, 8, 1), (0.5,), (0.5,), ("a", "b", "c"))
TEXT = TextPreprocess(Vocabulary(("<pad>", "<unk>", "good", "bad")), 6, ("neg", "pos"))


@pytest.mark.parametrize("cell", ["lstm", "gru", pytest.param("simple_rnn", marks=pytest.mark.slow)])
def test_build_image_model(cell):
    config = ImageModel(cell=cell, features=(4, 3), conv=(2,), bidirectional=cell == "gru", pooling=("mean", "last"))
    model = built(config, IMAGE)
    inputs = IMAGE(RNG.integers(0, 256, (2, 8, 8, 1), np.uint8))
    logits, variables = model.init_with_output(jax.random.key(0), **inputs)
    assert logits.shape == (2, 3)
    assert variables["params"]["conv"]["Conv_0"]["kernel"].shape == (3, 3, 1, 2)
    head = variables["params"]["head"]["Dense_0"]["kernel"]
    assert head.shape == (2 * 3 * (2 if cell == "gru" else 1), 3)


def test_an_lstm_between_convolutions_is_its_parts_one_after_the_other():
    config = ImageModel(features=(8,), conv=(2,), conv_after=(3,), pooling=("mean", "max"))
    model = built(config, IMAGE)
    inputs = IMAGE(RNG.integers(0, 256, (2, 8, 8, 1), np.uint8))["inputs"]
    logits, variables = model.init_with_output(jax.random.key(0), inputs)
    params = variables["params"]
    maps = ConvStack((2,)).apply({"params": params["conv"]}, inputs)
    _, outputs = RNN(LSTMCell(8)).apply({"params": params["recurrent"]["layers_0"]}, maps.reshape(2, 4, 8))
    maps = ConvStack((3,)).apply({"params": params["conv_after"]}, outputs.reshape(2, 4, 4, 2))
    assert maps.shape == (2, 2, 2, 3)
    pooled = np.concatenate([np.mean(maps, (1, 2)), np.max(maps, (1, 2))], -1)
    dense = params["head"]["Dense_0"]
    np.testing.assert_allclose(logits, pooled @ dense["kernel"] + dense["bias"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("after", [(), (3,)])
def test_pixels_are_read_one_after_the_other_row_by_row(after):
    config = ImageModel(features=(5,), conv=(2,), conv_after=after, read_by="pixels", pooling=("mean", "max"))
    model = built(config, IMAGE)
    inputs = IMAGE(RNG.integers(0, 256, (2, 8, 8, 1), np.uint8))["inputs"]
    logits, variables = model.init_with_output(jax.random.key(0), inputs)
    params = variables["params"]
    maps = np.asarray(ConvStack((2,)).apply({"params": params["conv"]}, inputs))
    pixels = np.stack([maps[:, row, column] for row in range(4) for column in range(4)], 1)
    _, outputs = RNN(LSTMCell(5)).apply({"params": params["recurrent"]["layers_0"]}, pixels)
    if after:
        again = np.zeros((2, 4, 4, 5), np.float32)
        for step, (row, column) in enumerate(np.ndindex(4, 4)):
            again[:, row, column] = outputs[:, step]
        outputs = np.asarray(ConvStack((3,)).apply({"params": params["conv_after"]}, again)).reshape(2, 4, 3)
    pooled = np.concatenate([np.mean(outputs, 1), np.max(outputs, 1)], -1)
    dense = params["head"]["Dense_0"]
    np.testing.assert_allclose(logits, pooled @ dense["kernel"] + dense["bias"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("features", [(5,), ()], ids=["recurrent", "pooled"])
def test_a_mirrored_model_answers_with_the_mean_over_both_images_except_in_training(features):
    config = ImageModel(features=features, conv=(2,), batch_norm=True, pooling=("mean", "max"), read_by="pixels")
    plain = built(config, IMAGE)
    plain = plain.clone(conv=plain.conv.clone(axis_name=None))
    mirrored = built(dataclasses.replace(config, mirror=True), IMAGE)
    assert isinstance(mirrored, MirroredImageClassifier)
    mirrored = mirrored.clone(conv=plain.conv)
    inputs = IMAGE(RNG.integers(0, 256, (3, 8, 8, 1), np.uint8))["inputs"]
    turned = np.flip(inputs, 2)
    variables = mirrored.init(jax.random.key(0), inputs)
    both = [plain.apply(variables, images) for images in (inputs, turned)]
    np.testing.assert_allclose(mirrored.apply(variables, inputs), np.mean(both, 0), rtol=1e-5, atol=1e-6)
    assert np.abs(both[0] - both[1]).max() > 1e-3
    trained = [model.apply(variables, inputs, train=True, mutable=["batch_stats"]) for model in (plain, mirrored)]
    jax.tree.map(np.testing.assert_array_equal, *trained)


def test_without_layers_the_head_pools_over_pixels():
    config = ImageModel(features=(), conv=(2, 3), convs_per_pool=0, batch_norm=True, pooling=("mean",))
    model = built(config, IMAGE)
    inputs = IMAGE(RNG.integers(0, 256, (2, 8, 8, 1), np.uint8))["inputs"]
    logits, variables = model.init_with_output(jax.random.key(0), inputs)
    assert set(variables["params"]) == {"conv", "head"}
    stack = ConvStack((2, 3), pool=1, batch_norm=True)
    parts = {"params": variables["params"]["conv"], "batch_stats": variables["batch_stats"]["conv"]}
    maps = np.asarray(stack.apply(parts, inputs))
    dense = variables["params"]["head"]["Dense_0"]
    np.testing.assert_allclose(logits, maps.mean((1, 2)) @ dense["kernel"] + dense["bias"], rtol=1e-4, atol=1e-5)


def norm_config(**optim):
    return dataclasses.replace(
        CONFIG,
        model=ImageModel(features=(4,), conv=(4, 4), batch_norm=True),
        optim=dataclasses.replace(CONFIG.optim, **optim),
    )


@pytest.fixture(scope="module")
def digits():
    return subset(data.load(CONFIG.data), 256, 64)


def first_epoch(config, digits, devices):
    program = small_program(config, digits, devices=jax.devices()[:devices])
    state = program.parallel.replicate(program.create_state(0))
    for fed in program.feed_training(program.train_plan(seed=0, epoch=0), 0):
        state, _ = program.train(state, fed)
    return jax.tree.map(np.asarray, state)


@pytest.mark.slow
def test_a_batch_normed_model_trains_alike_on_one_device_and_on_four(digits):
    """By SGD, whose update is as exact as its gradient: Adam divides by what may be nearly 0."""
    config = norm_config(optimizer="sgd", learning_rate=0.05, momentum=0.9)
    one, four = (first_epoch(config, digits, devices) for devices in (1, 4))
    for part in ("params", "model_state", "averaged"):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), getattr(one, part), getattr(four, part)
        )
    for name in ("mean", "var"):
        moved = np.asarray(one.model_state["batch_stats"]["conv"]["BatchNorm_0"][name]) - (name == "var")
        assert np.abs(moved).max() > 0.01
    fresh = small_program(config, digits, devices=jax.devices()[:1]).create_state(0).params
    steps = jax.tree.map(lambda a, b: np.abs(a - b).max(), one.params, fresh)
    assert min(jax.tree.leaves(steps["conv"]["BatchNorm_0"])) > 1e-3, "nothing was learned"


def test_statistics_are_averaged_with_the_parameters(digits):
    """One step of the average, by hand: at step 0 it keeps min(decay, 1/10) of what was there."""
    config = dataclasses.replace(norm_config(ema_decay=0.9), data=dataclasses.replace(CONFIG.data, batch_size=256))
    program = small_program(config, digits, devices=jax.devices()[:1])
    fresh = program.create_state(0)
    (fed,) = program.feed_training(program.train_plan(seed=0, epoch=0), 0)
    state, _ = program.train(program.parallel.replicate(fresh), fed)
    expected = jax.tree.map(
        lambda old, new: 0.1 * old + 0.9 * np.asarray(new), fresh.model_state, dict(state.model_state)
    )
    actual = {"batch_stats": state.averaged["batch_stats"]}
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), actual, expected)
    # What is evaluated are these averages, in the dtypes of the model, which for a float32 model are theirs.
    jax.tree.map(np.testing.assert_array_equal, state.variables(), state.averaged)
    assert jax.tree.map(lambda leaf: leaf.dtype, state.variables()) == jax.tree.map(
        lambda leaf: leaf.dtype, state.averaged
    )


@pytest.mark.slow
@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_the_work_folder_carries_the_statistics(ema_decay, digits, tmp_path):
    program = small_program(norm_config(ema_decay=ema_decay), digits, devices=jax.devices()[:2])
    result = fit(program, 0, tmp_path / "run")
    model, variables, preprocess = load(tmp_path / "run")
    assert set(variables) == {"params", "batch_stats"}
    assert np.abs(variables["batch_stats"]["conv"]["BatchNorm_1"]["mean"]).max() > 0.01
    logits = np.asarray(model.apply(variables, **preprocess(digits.test["inputs"])))
    assert (logits.argmax(-1) == digits.test["labels"]).mean() == pytest.approx(result["metrics"]["test"]["accuracy"])
    reset = variables | {
        "batch_stats": model.init(jax.random.key(0), **preprocess(digits.test["inputs"]))["batch_stats"]
    }
    assert np.abs(np.asarray(model.apply(reset, **preprocess(digits.test["inputs"]))) - logits).max() > 0.01


def test_build_text_model_with_convolutions_and_hidden_layers():
    config = TextModel(features=(3,), embedding_features=4, conv=(5,), conv_kernel=3, conv_pool=2, dense=(6,))
    _, variables = built(config, TEXT).init_with_output(jax.random.key(0), **TEXT(["good good", "bad"]))
    assert variables["params"]["conv"]["Conv_0"]["kernel"].shape == (3, 4, 5)
    assert variables["params"]["head"]["Dense_0"]["kernel"].shape == (3, 6)
    assert variables["params"]["head"]["Dense_1"]["kernel"].shape == (6, 1)


@pytest.mark.parametrize(("classes", "outputs"), [(("neg", "pos"), 1), (("a", "b", "c"), 3)])
def test_two_classes_of_text_get_one_logit(classes, outputs):
    preprocess = TextPreprocess(TEXT.vocabulary, 6, classes)
    model = built(TextModel(features=(3,), embedding_features=4), preprocess)
    logits, _ = model.init_with_output(jax.random.key(0), **preprocess(["good good", "bad"]))
    assert logits.shape == (2, outputs)


def test_a_model_for_another_kind_of_input_is_refused():
    with pytest.raises(UsageError, match="TextModel reads token ids; these data have inputs"):
        built(TextModel(), IMAGE)
    with pytest.raises(UsageError, match="ImageModel reads images"):
        built(ImageModel(), TEXT)


def _convolutions():
    """Each call of ``nn.Conv`` in the package and the experiments, by where it is."""
    for folder in (Path(rnnjax.__file__).parent, Path(experiments.__file__).parent):
        for path in sorted(folder.rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func) in ("nn.Conv", "flax.linen.Conv", "Conv"):
                    yield f"{path.name}:{node.lineno}", {keyword.arg for keyword in node.keywords}


def test_every_convolution_has_the_gradient_that_is_fast_inside_of_loops():
    found = dict(_convolutions())
    assert len(found) >= 4
    assert not [place for place, options in found.items() if "conv_general_dilated" not in options], (
        "XLA's own gradient is twenty times slower inside a compiled call of several steps: conv_general_dilated="
        "rnnjax.layers.conv.convolution"
    )
