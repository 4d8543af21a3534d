"""A reader out of two language models: what it takes of them, and that it reads as they do."""

import dataclasses
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import rnnjax
from experiments.benchmarks.prepared_tfds import write_texts
from rnnjax import ClassificationWithLanguageLoss, OptimConfig, PretrainedTextModel, TrainConfig
from rnnjax.data.corpus import DocumentsCorpus
from rnnjax.data.documents import TextData
from rnnjax.errors import UsageError
from rnnjax.models.build import pretrained_reader
from rnnjax.runs.chain import begins_from
from rnnjax.runs.init_from import asked

SHARED = ("train", "unsupervised")


def texts(count, first):
    """Notes of which those with good in them are of class 1."""
    rng = np.random.default_rng(first)
    words = rng.choice(["sun", "moon", "star", "sky", "sea"], (count, 5))
    return [(" ".join([*row, ("good", "bad")[i % 2], row[0]]), 1 - i % 2) for i, row in enumerate(words)]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with prepared texts, and two language models of them, one of each direction."""
    home = tmp_path_factory.mktemp("pretrained")
    write_texts(home / "tfds", "notes", 2, {"train": texts(80, 0), "unsupervised": texts(60, 1), "test": texts(40, 2)})
    for module, first in begins(home).items():
        rnnjax.fit(first, workdir=home / "runs" / first.name / "seed-0")
        assert module in ("forwards", "backwards")
    return home


def language_model(home, direction: Any = "forwards"):
    return rnnjax.Experiment(
        name=f"notes-{direction}",
        data=DocumentsCorpus(
            name="notes", data_dir=str(home / "tfds"), cache_dir=str(home / "cache"), batch_size=8, window=4,
            direction=direction,
        ),
        model=rnnjax.LanguageModel(features=(6,), embedding_features=6, tied=True),
        task=rnnjax.NextToken(),
        optim=OptimConfig(learning_rate=1e-2, sampled_tokens=4),
        train=TrainConfig(epochs=1, steps_per_call=8),
    )  # fmt: skip


def begins(home):
    return {direction: language_model(home, direction) for direction in ("forwards", "backwards")}


def reader(home, **optim):
    return rnnjax.Experiment(
        name="reader",
        data=TextData(
            name="notes", data_dir=str(home / "tfds"), cache_dir=str(home / "cache"), batch_size=8,
            bucket_lengths=(8,), vocabulary_splits=SHARED,
        ),
        model=PretrainedTextModel(features=(6,), dropout=0.1, word_dropout=0.1),
        task=ClassificationWithLanguageLoss(),
        optim=OptimConfig(learning_rate=1e-2, **optim),
        train=TrainConfig(epochs=2, steps_per_call=8),
        begins=begins(home),
    )  # fmt: skip


def places(home):
    return [f"{module}={home / 'runs' / first.name / 'seed-0'}" for module, first in begins(home).items()]


@pytest.mark.slow
def test_a_reader_begins_with_both_models_and_learns(home, tmp_path, capsys):
    frozen = reader(home, groups=("^(forwards|backwards)=0",), language_weight=0.2, sampled_tokens=4)
    result = rnnjax.fit(frozen, workdir=tmp_path / "run", init_from=places(home))
    said = capsys.readouterr().out
    assert "forwards begins from the best checkpoint of notes-forwards" in said
    assert "backwards begins from the best checkpoint of notes-backwards" in said
    for module, place in (given.split("=", 1) for given in places(home)):
        theirs, ours = rnnjax.load(place).variables["params"], result.predictor.variables["params"][module]
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    record = json.loads((tmp_path / "run" / "result.json").read_text())["init_from"]
    assert [one["module"] for one in (record, *record["also"])] == ["forwards", "backwards"]
    assert [one["experiment"] for one in (record, *record["also"])] == ["notes-forwards", "notes-backwards"]
    assert not record["foreign"] and not record["unfit"] and not record["fresh"]
    with pytest.raises(UsageError, match=r"init_from: weights \w{12} .* for backwards.* not weights"):
        rnnjax.fit(frozen, workdir=tmp_path / "run", init_from=[f"{place}:latest" for place in reversed(places(home))])


@pytest.mark.slow
def test_directions_that_are_swapped_are_refused_and_nothing_saved_is_lost(home, tmp_path):
    """Silently wrong else: the weights fit by name and shape, and each would read what it never learned to."""
    experiment, (ahead, back) = reader(home), [given.split("=", 1)[1] for given in places(home)]
    rnnjax.fit(experiment, workdir=tmp_path / "run", init_from=places(home))
    saved = {path: path.read_bytes() for path in (tmp_path / "run").glob("*.json*")}
    for given, said in {
        (f"forwards={back}", f"backwards={ahead}"): "reads texts from their end, and the module from their beginning",
        (f"forwards={ahead}", f"backwards={ahead}"): "reads texts from their beginning, and the module from their end",
        (f"forwards={tmp_path / 'run'}", f"backwards={back}"): "holds no language model, its task is classification_",
    }.items():
        for folder in ("new",) if f"={tmp_path}" in given[0] else ("run", "new"):
            with pytest.raises(UsageError, match=said):
                rnnjax.fit(experiment, workdir=tmp_path / folder, init_from=list(given))
    assert {path: path.read_bytes() for path in (tmp_path / "run").glob("*.json*")} == saved
    wide = dataclasses.replace(experiment, model=dataclasses.replace(experiment.model, features=(7,)))
    with pytest.raises(UsageError, match=r"forwards/Embed_0/embedding is \(\d+, 6\) there and \(\d+, 7\) here"):
        rnnjax.fit(wide, workdir=tmp_path / "wide", init_from=places(home))


@pytest.mark.slow
def test_the_command_trains_first_what_is_not_there(home, tmp_path, capsys):
    runs, experiment = tmp_path / "runs", reader(home)
    with pytest.raises(UsageError, match=r"reader begins from other runs: give --chain.* --init-from forwards="):
        begins_from(experiment, runs, (), False)
    chained = begins_from(experiment, runs, (), True)
    assert chained == [f"{module}={runs / f'notes-{module}' / 'seed-0'}" for module in begins(home)]
    losses = [
        json.loads((runs / f"notes-{module}/seed-0/result.json").read_text())["metrics"] for module in begins(home)
    ]
    for module, found in zip(begins(home), losses, strict=True):
        theirs = json.loads((home / "runs" / f"notes-{module}" / "seed-0" / "result.json").read_text())["metrics"]
        assert found == theirs, "from nothing, the same to the bit"
    capsys.readouterr()
    assert begins_from(experiment, runs, (), True) == chained
    assert "step" not in capsys.readouterr().out, "what is finished is not trained again"


@pytest.mark.slow
def test_what_a_run_begins_from_is_said_or_refused(home, tmp_path):
    experiment = reader(home)
    assert begins_from(experiment, tmp_path, ("a=b",), False) == ("a=b",)
    assert begins_from(dataclasses.replace(experiment, begins={}), tmp_path, (), False) == ()
    with pytest.raises(UsageError, match="--init-from names what it begins from; leave it out"):
        begins_from(experiment, tmp_path, ("a=b",), True)
    with pytest.raises(UsageError, match=r"reader begins from no other run; leave it out"):
        begins_from(dataclasses.replace(experiment, begins={}), tmp_path, (), True)
    with pytest.raises(UsageError, match="init_from=\\['forwards=FOLDER', 'backwards=FOLDER'\\]"):
        rnnjax.fit(experiment)
    with pytest.raises(UsageError, match="has no module sideways; its modules are backwards, forwards, head"):
        rnnjax.fit(experiment, init_from=places(home)[0].replace("forwards=", "sideways="))


@pytest.mark.parametrize("given", [["a", "b"], ["x=a", "x=b"], ["x=a", "b"]])
def test_several_runs_that_fill_no_module_of_their_own_are_refused(given):
    with pytest.raises(UsageError, match="each fills a module of its own"):
        asked(given)


def test_one_place_is_read_as_before_and_a_folder_may_have_a_sign_in_its_name(tmp_path):
    (tmp_path / "a=b").mkdir()
    one = asked(f"{tmp_path / 'a=b'}:latest")
    assert one is not None and one.places[0][1:] == ("latest", "") and one.places[0].folder == tmp_path / "a=b"
    named = asked("forwards=runs/x:latest")
    assert named is not None and (str(named.places[0].folder), *named.places[0][1:]) == ("runs/x", "latest", "forwards")
    assert asked(None) is None is asked(())


def language_losses(encoder, params, ids, sampled):
    """The losses ``[300, 4]`` of 300 draws."""

    def one(key):
        asked = {"train": True, "sampled": sampled, "rngs": {"dropout": key}}
        return encoder.apply({"params": params}, ids, ids, jnp.full(4, 7), **asked)[1]

    return jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), 300))


@pytest.mark.slow
def test_each_direction_reads_as_its_language_model_does(home):
    """Its loss of a document, with so large a sample that it is nearly all, is Optax's cross-entropy of the model."""
    experiment = reader(home)
    dataset = rnnjax.data.load(experiment.data)
    module = pretrained_reader(dataclasses.replace(experiment.model, dropout=0.0, word_dropout=0.0), dataset.spec, 1)
    ids = np.asarray(dataset.train["inputs"])[:4, :7]
    for direction, place in (given.split("=", 1) for given in places(home)):
        params = rnnjax.load(place).variables["params"]
        model = rnnjax.RecurrentLM(
            dataset.spec.vocabulary, 6, rnnjax.Carried(rnnjax.StackedRNN([rnnjax.RNN(rnnjax.LSTMCell(6))])), tied=True
        )
        read = ids if direction == "forwards" else ids[:, ::-1]
        logits, _ = model.apply({"params": params}, jnp.asarray(read), mutable=["carry"])
        wanted = optax.softmax_cross_entropy_with_integer_labels(logits[:, :-1], read[:, 1:]).mean(1)
        encoder = getattr(module, direction)
        padded = np.pad(ids, ((0, 0), (0, 5)), constant_values=3)  # what stands in the padding changes nothing
        losses = language_losses(encoder, params, padded, dataset.spec.vocabulary - 2)
        # The model's own sum has padding's logit too.
        every = np.log(np.exp(logits[:, :-1]).sum(-1)) - np.log(np.exp(logits[:, :-1, 1:]).sum(-1))
        np.testing.assert_allclose(losses.mean(0), wanted - every.mean(1), atol=0.02)


@pytest.mark.slow
def test_a_document_of_one_word_or_none_has_no_language_models_loss(home):
    experiment = reader(home)
    dataset = rnnjax.data.load(experiment.data)
    module = experiment.model.build(dataset.spec, 1)
    ids, lengths = jnp.full((3, 8), 3), jnp.array([0, 1, 2])
    variables = module.init(jax.random.key(0), ids, lengths=lengths)
    logits, losses = module.apply(
        variables, ids, lengths=lengths, train=True, sampled=4, rngs={"dropout": jax.random.key(1)}
    )
    assert np.isfinite(logits).all() and losses[0] == losses[1] == 0 < losses[2]
