"""Whole models as StableHLO and as ONNX, and one step of them, answer as here."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import export

import rnnjax
from rnnjax import RNN, StackedRNN, cells
from rnnjax.data.tokens import Vocabulary
from rnnjax.data.window_preprocess import WindowPreprocess
from rnnjax.errors import UsageError
from rnnjax.export import arguments, onnx_models, stablehlo, streaming
from rnnjax.layers import measured
from rnnjax.layers.conv import SequenceConvStack
from rnnjax.layers.fast_conv import FastConvStack
from rnnjax.layers.implementations import reporting
from rnnjax.models.config import LanguageModel
from rnnjax.models.sequence import SequenceNet
from rnnjax.runs.predict import Predictor
from rnnjax.tasks import Classification, NextToken
from tests import toy
from tests.marks import often
from tests.test_export_onnx import session

WORDS = WindowPreprocess(Vocabulary(("<pad>", "<unk>", *"abcdefg")), 6, "characters")
MODELS = {
    "rows": (toy.IMAGES, {"cell": "lstm"}),
    "pixels": (toy.IMAGES, {"read_by": "pixels", "cell": "gru", "bidirectional": True, "pooling": ("last", "max")}),
    "convolutions": (
        toy.IMAGES,
        {"conv": (2,), "batch_norm": True, "conv_after": (2,), "pooling": ("mean",), "mirror": True},
    ),
    "no recurrence": (toy.IMAGES, {"features": (), "conv": (2, 3), "pooling": ("max",), "pool_early": True}),
    "text": (toy.TEXTS, {"bidirectional": True, "dense": (5,), "pooling": ("mean", "max", "last")}),
    "text forwards": (toy.TEXTS, {"features": (3, 4), "pooling": ("last",)}),
    "attention": (toy.TEXTS, {"bidirectional": True, "pooling": ("attention", "last")}),
    "attention over pixels": (toy.IMAGES, {"conv": (2,), "conv_after": (2,), "pooling": ("attention",)}),
    "backwards": (toy.TEXTS, {"bidirectional": True, "pooling": ("last",)}),
    "text convolutions": (toy.TEXTS, {"conv": (3, 4), "conv_kernel": 4, "conv_pool": 2, "cell": "reset_before_gru"}),
    "linear": (toy.TEXTS, {"cell": "lru", "pooling": ("last",)}),
    "language": (None, {"cell": "lstm", "features": (4, 5), "embedding_features": 3, "tied": True}),
    "untied": (None, {"cell": "gru", "features": (4,), "embedding_features": 3}),
}

OFTEN = ("pixels", "attention", "linear", "language")


@functools.cache
def predictor(name):
    """A model with weights, means and variances that are no starting values."""
    config, changes = MODELS[name]
    preprocess = WORDS if config is None else toy.DATASETS[config].preprocess
    section = LanguageModel(**changes) if config is None else type(config.model)(**vars(config.model) | changes)
    task = NextToken() if config is None else Classification()
    module, draw = section.build(preprocess.spec, task.width(preprocess.spec)), np.random.default_rng(0)
    variables = jax.eval_shape(module.init, jax.random.key(0), **preprocess.spec.zeros())
    variables.pop("carry", None)
    variables = jax.tree.map(lambda leaf: draw.uniform(0.1, 0.7, leaf.shape).astype(leaf.dtype), variables)
    return Predictor(module, variables, preprocess, task, preprocess.spec)


def stored_for(name, rows, seed=0, steps=0):
    """Arrays as the model is given them, of some number of steps."""
    draw, spec = np.random.default_rng(seed), predictor(name).spec
    if MODELS[name][0] is toy.IMAGES:
        return {"inputs": draw.integers(0, 256, (rows, *spec.inputs["inputs"].shape[1:])).astype(np.uint8)}
    steps = steps or int(draw.integers(1, 12))
    stored = {"inputs": draw.integers(0, 9, (rows, steps)).astype(np.int32)}
    return stored | (
        {"lengths": draw.integers(0, steps + 1, rows).astype(np.int32)} if "lengths" in spec.inputs else {}
    )


@functools.cache
def direct(name):
    """The model itself, compiled as a user would."""
    held = predictor(name)

    def call(variables, stored):
        return held.model.apply(variables, **held.preprocess.on_device(stored))

    return jax.jit(call)


def likes(name, stored=None):
    """Arguments of any size, or of that of some arrays."""
    free = arguments.arguments(predictor(name), None, None)
    return {n: arguments.Like(stored[n].shape, like.dtype) for n, like in free.items()} if stored else free


@functools.cache
def program(name):
    return export.deserialize(bytearray(stablehlo.answers(predictor(name), likes(name))))


@functools.cache
def runtime(name):
    held = predictor(name)
    outputs = ("batch", "time", 9) if held.task.generates else ("batch", held.spec.outputs)
    outputs = (*outputs[:-1], held.task.width(held.spec))
    return session(onnx_models.answers(held.model, held.variables, held.preprocess, likes(name), outputs))


@pytest.mark.optimized
@pytest.mark.parametrize("name", often(MODELS, OFTEN))
def test_a_program_of_fixed_sizes_is_the_model_to_the_bit(name):
    stored, held = stored_for(name, 5), predictor(name)
    made = export.deserialize(bytearray(stablehlo.answers(held, likes(name, stored))))
    assert made.platforms == ("cpu", "cuda", "tpu")
    np.testing.assert_array_equal(made.call(**stored), direct(name)(held.variables, stored))


def test_a_call_into_cudnn_is_not_exported_where_it_is_the_fastest(monkeypatch):
    monkeypatch.setattr(measured, "order", lambda platform, cell, shape: ("cudnn",) if platform == "gpu" else ())
    stored = stored_for("rows", 7)
    made = export.deserialize(bytearray(stablehlo.answers(predictor("rows"), likes("rows", stored))))
    assert "stablehlo.while" in made.mlir_module() and "custom_call @cudnn" not in made.mlir_module()
    with pytest.raises(UsageError, match="cannot run LSTMCell here"), rnnjax.implementation("cudnn"):
        direct("rows")(predictor("rows").variables, stored)


@pytest.mark.optimized
@pytest.mark.parametrize("name", often(MODELS, OFTEN))
def test_a_program_of_any_size_is_the_scan_to_the_bit_and_the_model_to_a_millionth(name):
    held = predictor(name)
    assert program(name).platforms == ("cpu", "cuda", "tpu")
    for rows in (1, 4):
        stored = stored_for(name, rows, seed=rows)
        got = program(name).call(**stored)
        with rnnjax.implementation("scan"):
            np.testing.assert_array_equal(got, direct(name)(held.variables, stored))
        np.testing.assert_allclose(got, direct(name)(held.variables, stored), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "linear"])
@settings(max_examples=20, deadline=None)
@given(rows=st.integers(1, 4), steps=st.integers(1, 11), seed=st.integers(0, 1000))
def test_a_model_answers_in_onnxruntime_as_here(name, rows, steps, seed):
    """Here at one size, which compiles once; there without the rows and steps that are not asked for."""
    stored, held = stored_for(name, 4, seed, steps=11), predictor(name)
    if "lengths" in stored:
        stored["lengths"] = np.minimum(stored["lengths"], steps)
    wanted = np.asarray(direct(name)(held.variables, stored))[:rows]
    cut = {name: array[:rows] for name, array in stored.items()}
    if MODELS[name][0] is not toy.IMAGES:
        cut["inputs"] = cut["inputs"][:, :steps]
    wanted = wanted[:, :steps] if held.task.generates else wanted
    (got,) = runtime(name).run(None, cut)
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["rows", "text forwards", "linear", "language", "untied"])
def test_steps_answer_as_the_whole_sequence(name):
    """Those of rows that have all steps: a step knows no lengths."""
    held, stored = predictor(name), stored_for(name, 3, seed=2)
    stream = streaming.stream(held, likes(name))
    sequence = stored["inputs"]
    if "lengths" in stored:
        stored["lengths"] = np.full(3, sequence.shape[1], np.int32)
    wanted = np.asarray(held.model.apply(held.variables, **held.preprocess.on_device(stored)))
    step = export.deserialize(bytearray(stablehlo.steps(stream)))
    first = {name: np.repeat(array, 3, axis=0) for name, array in stream.first.items()}
    there = _onnx_step(held, stream) if name != "linear" else None
    carry = after = first
    for place in range(sequence.shape[1]):
        output, carry = step.call(carry, inputs=sequence[:, place])
        outputs = [output]
        if there is not None:
            given, *rest = there.run(None, {"inputs": sequence[:, place], **after})
            after = dict(zip(first, rest, strict=True))
            outputs.append(given)
        if held.task.generates or place == sequence.shape[1] - 1:
            of_place = wanted[:, place] if held.task.generates else wanted
            for got in outputs:
                np.testing.assert_allclose(got, of_place, rtol=1e-5, atol=1e-5)


def _onnx_step(held, stream):
    width = held.task.width(held.spec)
    carry = (stream.carry, stream.structure, ("batch", width))
    return session(onnx_models.steps(stream.model, stream.variables, held.preprocess, stream.inputs, *carry))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pixels", "pixel by pixel"),
        ("convolutions", "MirroredImageClassifier"),
        ("backwards", "it reads backwards too"),
        ("text", "the mean and max and last over all steps"),
        ("text convolutions", "its convolutions see several steps"),
    ],
)
def test_why_there_is_no_step_is_said(name, said):
    with pytest.raises(UsageError, match=said):
        streaming.stream(predictor(name), likes(name))


def test_onnx_refuses_by_name_what_a_model_has_that_it_cannot_say():
    held = predictor("linear")
    with pytest.raises(UsageError, match="ONNX cannot say LRUCell"):
        onnx_models.answers(held.model, held.variables, held.preprocess, likes("linear"), ("batch", 1))


@pytest.mark.parametrize("place", ["conv", "conv_after"])
def test_onnx_refuses_convolutions_that_it_does_not_know(place):
    held = predictor("rows")
    model = held.model.clone(**{place: FastConvStack((4,))})
    with pytest.raises(UsageError, match="ONNX cannot say a FastConvStack"):
        onnx_models.answers(model, held.variables, held.preprocess, likes("rows"), ("batch", 1))


def test_batch_norm_over_time_answers_in_onnxruntime_as_here():
    held, stored = predictor("text convolutions"), stored_for("text convolutions", 4, steps=11)
    model = held.model.clone(conv=SequenceConvStack((3, 4), 4, 2, batch_norm=True))
    like = jax.eval_shape(model.init, jax.random.key(0), **held.preprocess.spec.zeros())
    draw = np.random.default_rng(0)
    variables = jax.tree.map(lambda leaf: draw.uniform(0.1, 0.7, leaf.shape).astype(leaf.dtype), like)
    wanted = model.apply(variables, **held.preprocess.on_device(stored))
    outputs = ("batch", held.task.width(held.spec))
    made = onnx_models.answers(model, variables, held.preprocess, likes("text convolutions"), outputs)
    (got,) = session(made).run(None, stored)
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


def test_onnx_refuses_a_model_that_normalises_each_sequence_by_itself():
    held = predictor("text")
    model = SequenceNet(held.model.recurrent, held.model.head, instance_norm=True)
    with pytest.raises(UsageError, match="ONNX cannot say a model that normalises each sequence by itself"):
        onnx_models.answers(model, held.variables, held.preprocess, likes("text"), ("batch", 1))


def test_the_switch_reaches_into_built_models_and_what_was_compiled_before():
    model = StackedRNN([RNN(cells.LSTMCell(3)), RNN(cells.LSTMCell(3), implementation="fused")])
    inputs = jnp.ones((2, 4, 3))
    variables = model.init(jax.random.key(0), inputs)
    call = jax.jit(model.apply)
    with reporting() as ran:
        call(variables, inputs)
    assert set(ran.values()) == {"fused"}
    with rnnjax.implementation("scan"), reporting() as ran:
        call(variables, inputs)
    assert set(ran.values()) == {"scan"}
    with rnnjax.implementation("associative", "scan"), reporting() as ran:
        call(variables, inputs)
    assert set(ran.values()) == {"scan"}
    with pytest.raises(UsageError, match=r"give some of .*scan, got 'scna'"):
        rnnjax.implementation("scna")


def test_a_sample_is_of_the_sizes_that_are_asked_for():
    held = predictor("text")
    fixed = arguments.arguments(held, 4, 5)
    stored, names = arguments.sample(held, fixed, Path("nowhere"))
    assert stored["inputs"].shape == (4, 5) and stored["lengths"].shape == (4,) and not names
    assert stored["lengths"].max() <= 5
    with pytest.raises(UsageError, match="--batch must be positive, got 0"):
        arguments.arguments(held, 0, None)
    with pytest.raises(UsageError, match="--length is of models that read sequences of any length"):
        arguments.arguments(predictor("rows"), None, 4)
