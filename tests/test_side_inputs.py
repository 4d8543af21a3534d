"""A reader beside frozen encoders: they read as their language models do, and nothing of them moves or is derived."""

import dataclasses
import functools
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnjax
from experiments import load
from experiments.benchmarks.prepared_tfds import write_texts
from rnnjax import OptimConfig, SideInputTextModel, TrainConfig
from rnnjax.errors import UsageError
from rnnjax.models.side_inputs import SideInputReader, outputs_of
from rnnjax.training.runner import Runner
from tests.marks import LONG
from tests.test_pretrained import language_model, reader, texts

FROZEN = ("^(forwards|backwards)=0",)
MODEL = SideInputTextModel(
    encoder_features=(7,), features=(3,), embedding_features=5, dropout=0.1, embedding_dropout=0.2, word_dropout=0.1
)


def region_model(home, direction):
    return dataclasses.replace(
        language_model(home, direction),
        name=f"regions-{direction}",
        model=rnnjax.LanguageModel(features=(7,), embedding_features=7, tied=True),
        task=rnnjax.NextRegion(ahead=3, without_most_frequent=1),
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with prepared texts."""
    home = tmp_path_factory.mktemp("regions")
    write_texts(home / "tfds", "notes", 2, {"train": texts(80, 0), "unsupervised": texts(60, 1), "test": texts(40, 2)})
    return home


def beside(home, model=MODEL, **optim):
    return dataclasses.replace(
        reader(home),
        model=model,
        task=rnnjax.Classification(),
        optim=OptimConfig(**{"learning_rate": 3e-2, "groups": FROZEN} | optim),
        train=TrainConfig(epochs=2, steps_per_call=8),
        begins={direction: region_model(home, direction) for direction in ("forwards", "backwards")},
    )


@pytest.mark.slow
def test_a_reader_begins_with_both_models_and_they_keep_every_bit(home, tmp_path, capsys):
    experiment = beside(home, weight_decay=0.1, ema_decay=0.9, adversarial=0.1)
    places = {}
    for module, first in experiment.begins.items():
        places[module] = tmp_path / module
        rnnjax.fit(first, workdir=places[module])
    given = [f"{module}={place}" for module, place in places.items()]
    result = rnnjax.fit(experiment, workdir=tmp_path / "run", init_from=given)
    said = capsys.readouterr().out
    for module, place in places.items():
        assert f"{module} begins from the best checkpoint of regions-{module}" in said
        theirs, ours = rnnjax.load(place).variables["params"], result.predictor.variables["params"][module]
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    assert result.metrics["test"]["accuracy"] > 0.8, "the word that tells the class is in each text"

    swapped = [f"{module}={place}" for module, place in zip(places, reversed(places.values()), strict=True)]
    with pytest.raises(UsageError, match="reads texts from their end, and the module from their beginning"):
        rnnjax.fit(experiment, workdir=tmp_path / "swapped", init_from=swapped)
    wide = beside(home, dataclasses.replace(MODEL, encoder_features=(9,)))
    with pytest.raises(UsageError, match=r"is \(\d+, 7\) there and \(\d+, 9\) here"):
        rnnjax.fit(wide, workdir=tmp_path / "wide", init_from=given)


@functools.cache
def built(words=50, **fields):
    """A reader of documents, and variables with biases of no zeros."""
    spec = rnnjax.Spec(
        {name: rnnjax.Shape(shape, np.dtype(np.int32)) for name, shape in (("inputs", (1, 9)), ("lengths", (1,)))},
        outputs=2,
        names=("no", "yes"),
        vocabulary=words,
    )
    module = dataclasses.replace(MODEL, **fields).build(spec, 1)
    made = module.init(jax.random.key(0), **spec.zeros())
    rng = np.random.default_rng(0)
    return module, jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), jnp.float32) / 2, made)


IDS = np.random.default_rng(1).integers(1, 50, (3, 9)).astype(np.int32)
LENGTHS = np.array([9, 4, 1], np.int32)


@pytest.mark.slow
@pytest.mark.parametrize("features", [pytest.param((7,), marks=LONG), (6, 4)])
def test_encoders_read_as_their_language_models_do(features):
    """All that the model makes of its outputs, the logits, is the same made of the encoder's."""
    reader, variables = built(encoder_features=features)
    layers = [rnnjax.RNN(rnnjax.LSTMCell(each)) for each in features]
    model = rnnjax.RecurrentLM(50, features[-1], rnnjax.Carried(rnnjax.StackedRNN(layers)), tied=True)

    class Outputs(nn.Module):
        reader: SideInputReader

        def __call__(self, inputs, lengths):
            return outputs_of(self.reader.forwards, inputs, lengths), outputs_of(self.reader.backwards, inputs, lengths)

    found = Outputs(reader).apply({"params": {"reader": variables["params"]}}, IDS, LENGTHS)
    for module, outputs in zip(("forwards", "backwards"), found, strict=True):
        params = variables["params"][module]
        logits = outputs @ params["Embed_0"]["embedding"].T + params["head_bias"]
        for row, length in enumerate(LENGTHS):
            turn = slice(None) if module == "forwards" else slice(None, None, -1)
            wanted, _ = model.apply({"params": params}, IDS[row : row + 1, :length][:, turn], mutable=["carry"])
            np.testing.assert_allclose(logits[row, :length][turn], wanted[0], rtol=1e-4, atol=1e-5)


def test_padding_changes_nothing():
    module, variables = built(pooling=("max", "mean", "last"))
    real = np.arange(9) < LENGTHS[:, None]
    logits = module.apply(variables, IDS, lengths=LENGTHS)
    others = np.pad(np.where(real, IDS, 49 - IDS), ((0, 0), (0, 4)), constant_values=3)
    np.testing.assert_allclose(module.apply(variables, others, lengths=LENGTHS), logits, rtol=1e-5, atol=1e-6)
    assert np.abs(np.diff(logits, axis=0)).min() > 1e-3, "documents differ"


def test_both_the_words_and_what_the_encoders_made_of_them_are_read():
    module, variables = built()
    logits = module.apply(variables, IDS, lengths=LENGTHS)
    for part in ("Embed_0", "forwards", "backwards"):
        without = jax.tree.map(jnp.zeros_like, variables["params"][part])
        others = module.apply({"params": variables["params"] | {part: without}}, IDS, lengths=LENGTHS)
        assert np.abs(others - logits).min() > 1e-4, part


def test_dropped_words_are_dropped_from_the_embedding_alone():
    module, variables = built(word_dropout=0.5, dropout=0.0, embedding_dropout=0.0)
    alike = {"Embed_0": {"embedding": jnp.ones((50, 5))}}  # no word differs from another, the unknown one among them
    same = {"params": variables["params"] | alike}
    asked = {"lengths": LENGTHS, "train": True, "rngs": {"dropout": jax.random.key(0)}}
    evaluated = functools.partial(module.apply, lengths=LENGTHS)
    np.testing.assert_allclose(module.apply(same, IDS, **asked), evaluated(same, IDS), rtol=1e-5, atol=1e-6)
    assert np.abs(module.apply(variables, IDS, **asked) - evaluated(variables, IDS)).max() > 1e-3


def paths(tree):
    return [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in _leaves(tree)]


def _leaves(tree):
    return jax.tree_util.tree_leaves_with_path(tree)


def test_a_gradient_has_no_backward_pass_of_the_encoders():
    """Their gradients are zeros that are written down; those of all others are computed."""
    module, variables = built()

    def loss(params):
        rngs = {"dropout": jax.random.key(0)}
        return module.apply({"params": params}, IDS, lengths=LENGTHS, train=True, rngs=rngs).sum()

    program = jax.make_jaxpr(jax.grad(loss))(variables["params"]).jaxpr
    made = {var for one in program.eqns if one.primitive.name != "broadcast_in_dim" for var in one.outvars}
    every = paths(variables["params"])
    computed = {path for path, var in zip(every, program.outvars, strict=True) if var in made}
    assert computed == {path for path in every if not path.startswith(("forwards", "backwards"))}


def products(experiment, *shape):
    """How many matrix products of the compiled train step have this shape."""
    program = Runner(experiment, rnnjax.data.load(experiment.data), jax.devices()[:1])
    function, arguments = program.training_program(program.train_plan(seed=0, epoch=0)[0])
    text = function.lower(*arguments).compile().as_text()
    return [len(re.findall(rf"= f32\[{rows},{columns}\]\S* dot\(", text)) for rows, columns in shape]


@pytest.mark.slow
def test_a_compiled_step_has_no_backward_pass_of_the_encoders(home):
    """A backward pass ends in the gradients of two kernels, products as large as they, for each encoder."""
    trained = reader(home)
    trained = dataclasses.replace(trained, model=dataclasses.replace(trained.model, features=(7,)))
    assert products(trained, (7, 28)) == [4], "what is searched for is there where encoders are trained"
    assert products(beside(home), (7, 28), (3, 12)) == [0, 2], "of the encoders none, of the reader one a direction"


@pytest.mark.parametrize("groups", [(), ("^forwards=0",), ("^(forwards|backwards)=1@2",), ("^(forwards|back)=0.1",)])
def test_encoders_that_are_not_frozen_for_the_whole_training_are_refused(home, groups):
    """No gradient would move them, but weight decay would."""
    experiment = beside(home, groups=groups)
    with pytest.raises(
        UsageError, match=r"no gradient reaches .*backwards of SideInputReader: freeze them .*--optim.groups"
    ):
        Runner(experiment, rnnjax.data.load(experiment.data), jax.devices()[:1])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"encoder_features": ()}, "--model.encoder-features must be positive, at least one layer"),
        ({"encoder_features": (4, 0)}, "--model.encoder-features must be positive"),
        ({"embedding_features": 0}, "--model.embedding-features must be"),
        ({"pooling": ("first",)}, "--model.pooling must be at least one of"),
    ],
)
def test_a_model_that_is_none_is_refused_in_a_sentence(fields, message):
    with pytest.raises(UsageError, match=message):
        SideInputTextModel(**fields)


def test_data_that_are_no_documents_are_refused():
    spec = rnnjax.Spec({"inputs": rnnjax.Shape((1, 4, 2), np.dtype(np.float32))}, outputs=2)
    with pytest.raises(UsageError, match="SideInputTextModel reads documents of token ids with lengths; these"):
        MODEL.build(spec, 1)


@pytest.mark.parametrize("begins", [{}, {"encoder_features": (256,)}], ids=["regions", "language models"])
def test_the_encoders_of_the_experiment_take_all_that_its_language_models_have(begins):
    experiment = load("imdb_pretrained-regions")
    first = load("imdb_language_model" if begins else "imdb_regions")
    assert [each.name for each in experiment.begins.values()] == ["imdb_regions", "imdb_regions-backward"]
    ids, lengths = rnnjax.Shape((1, 9), np.dtype(np.int32)), rnnjax.Shape((1,), np.dtype(np.int32))
    documents = rnnjax.Spec({"inputs": ids, "lengths": lengths}, outputs=2, names=("no", "yes"), vocabulary=300)
    windows = rnnjax.Spec({"inputs": ids}, outputs=300, vocabulary=300)

    def shapes(model, spec, width):
        made = jax.eval_shape(lambda: model.build(spec, width).init(jax.random.key(0), **spec.zeros()))
        return jax.tree.map(jnp.shape, made["params"])

    ours = shapes(dataclasses.replace(experiment.model, **begins), documents, 1)
    theirs = shapes(first.model, windows, 300)
    assert ours["forwards"] == theirs == ours["backwards"]
