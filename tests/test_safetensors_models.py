"""A trained model in one file: it answers as the run's own does, after a few steps of training."""

import dataclasses
import json

import flax.linen as nn
import jax
import numpy as np
import pytest

import experiments
import rnnjax
from rnnjax import RNN, GRUCell
from rnnjax.config import TextModel
from rnnjax.data import own_sequences
from rnnjax.errors import UsageError
from rnnjax.layers.conv import SequenceConvStack
from rnnjax.models.head import PooledHead
from rnnjax.models.sequence import SequenceNet
from rnnjax.tasks import Classification, Regression, Task
from rnnjax.weights import modules
from tests.marks import often
from tests.sequences_made import NAMES, SERIES, long_table
from tests.small import made_up_texts
from tests.strangers.own_cell import ASK, TEST, X, Y
from tests.test_generate import PREDICTOR
from tests.test_safetensors import identical

pytest.importorskip("safetensors", reason="safetensors (extra export) is not installed")
DOCUMENTS = ["a b c", "b b", "j i h g"]


def predictor_of(config, preprocess, task):
    """An untrained model with its parts."""
    model = config.build(preprocess.spec, task.width(preprocess.spec))
    variables = jax.jit(lambda: model.init(jax.random.key(0), **preprocess.spec.zeros()))()
    return rnnjax.Predictor(model, variables, preprocess, task, preprocess.spec)


@pytest.fixture(scope="module")
def images():
    experiment = rnnjax.Experiment(
        name="small",
        data=rnnjax.Arrays(X, Y, test=TEST, validation_fraction=0.2, batch_size=16),
        model=rnnjax.ImageModel(
            features=(4,), conv=(3,), batch_norm=True, bidirectional=True, pooling=("mean", "last")
        ),
        train=rnnjax.TrainConfig(epochs=1),
    )
    devices = jax.local_devices()[:1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax, "local_devices", lambda *_, **__: devices)
        return rnnjax.fit(experiment).predictor


@pytest.fixture(scope="module")
def texts():
    config = TextModel(features=(4, 4), bidirectional=True, embedding_features=5, conv=(4,), cell="gru", dropout=0.1)
    return predictor_of(config, made_up_texts().preprocess, Classification())


@pytest.mark.parametrize("layout", ["rnnjax", "torch"])
def test_batch_norm_over_time_is_there_again(layout, tmp_path):
    model = SequenceNet(RNN(GRUCell(3)), PooledHead(2, ("mean",)), conv=SequenceConvStack((4,), 3, 2, batch_norm=True))
    inputs = np.random.default_rng(0).normal(size=(2, 6, 5)).astype(np.float32)
    variables = jax.tree.map(lambda leaf: leaf + 0.5, model.init(jax.random.key(0), inputs))
    rnnjax.save_safetensors(tmp_path / "m.safetensors", variables, model=model, layout=layout)
    again, kept = rnnjax.load_safetensors(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(again.apply(kept, inputs), model.apply(variables, inputs))
    identical(kept, jax.tree.map(np.asarray, variables))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "layout"),
    often(
        [(name, layout) for name in ("images", "texts") for layout in ("rnnjax", "torch")],
        [("images", "rnnjax"), ("images", "torch"), ("texts", "torch")],
    ),
)
def test_a_classifier_answers_from_its_file_as_before(name, layout, request, tmp_path):
    ours, raw = request.getfixturevalue(name), {"images": ASK, "texts": DOCUMENTS}[name]
    rnnjax.save_safetensors(tmp_path / "m.safetensors", ours, layout=layout)
    loaded = rnnjax.load_safetensors(tmp_path / "m.safetensors")
    identical(loaded.variables, jax.tree.map(np.asarray, ours.variables))
    assert loaded.predictor is not None
    np.testing.assert_array_equal(loaded.predictor.logits(raw), ours.logits(raw))
    assert loaded.predictor.rows(raw) == ours.rows(raw) and loaded.predictor.spec == ours.spec
    model, variables = loaded
    arguments = ours.preprocess(raw)
    np.testing.assert_array_equal(model.apply(variables, **arguments), ours.apply(ours.variables, **arguments))


@pytest.mark.parametrize("each_step", [False, True])
def test_a_model_of_sequences_answers_from_its_file_as_before(each_step, tmp_path):
    table = long_table(tmp_path / "s.csv", target=lambda n, t: NAMES[(t if each_step else n) % 2])
    preprocess = own_sequences.load(rnnjax.SequenceTable(path=str(table))).preprocess
    config = rnnjax.SequenceModel(features=(4,), pooling=("attention", "max"))
    ours = predictor_of(config, preprocess, Classification())
    rnnjax.save_safetensors(tmp_path / "m.safetensors", ours)
    loaded = rnnjax.load_safetensors(tmp_path / "m.safetensors").predictor
    assert loaded is not None
    np.testing.assert_array_equal(loaded.logits(SERIES[:2]), ours.logits(SERIES[:2]))


def test_a_language_model_goes_on_from_its_file_as_before(tmp_path):
    rnnjax.save_safetensors(tmp_path / "m.safetensors", PREDICTOR)
    loaded = rnnjax.load_safetensors(tmp_path / "m.safetensors").predictor
    assert loaded is not None and loaded.generate("ab", 20) == PREDICTOR.generate("ab", 20)


def test_a_task_comes_back_as_it_was_prepared(texts, tmp_path):
    spec = texts.spec._replace(outputs=1, names=("stars",))
    task = dataclasses.replace(Regression(), mean=(3.0,), scale=(0.5,))
    ours = rnnjax.Predictor(texts.model, texts.variables, texts.preprocess, task, spec)
    rnnjax.save_safetensors(tmp_path / "m.safetensors", ours)
    loaded = rnnjax.load_safetensors(tmp_path / "m.safetensors").predictor
    assert loaded is not None and loaded.task == task and loaded.spec == spec


class OwnTask(Task):
    pass


def test_a_task_of_ones_own_is_refused_by_name(texts, tmp_path):
    ours = rnnjax.Predictor(texts.model, texts.variables, texts.preprocess, OwnTask(), texts.spec)
    with pytest.raises(UsageError, match=r"task of one's own, .*OwnTask; save predictor.variables with model="):
        rnnjax.save_safetensors(tmp_path / "m.safetensors", ours)


def models_of_experiments():
    """Those that experiments build by themselves, of modules of this package alone."""
    for name in ("cifar10_cnn_rnn", "mnist_renet", "mnist_strings", "adding"):
        experiment = experiments.load(name)
        made = {name: experiment.model}
        made |= {f"{name}-{key}": variant.replace.get("model") for key, variant in experiment.variants.items()}
        own = ("mnist_strings-per_column",)
        yield from ((key, model) for key, model in made.items() if isinstance(model, nn.Module) and key not in own)


@pytest.mark.parametrize(("name", "model"), list(models_of_experiments()))
def test_the_models_that_experiments_build_come_back_from_their_description(name, model):
    described = json.loads(json.dumps(modules.to_json(model)))
    assert modules.to_json(modules.from_json(described)) == described and type(modules.from_json(described)) is type(
        model
    )
