"""Runs of text models that are stopped and go on: bit for bit the unbroken run; and two devices are as one."""

import dataclasses
import json
import os
import signal
from typing import Any

import jax
import numpy as np
import optax
import pytest

import rnnjax
from experiments.benchmarks.prepared_tfds import write_texts
from rnnjax import ClassificationWithLanguageLoss, OptimConfig, PretrainedTextModel, TrainConfig, cli
from rnnjax.data.corpus import DocumentsCorpus
from rnnjax.data.documents import TextData
from rnnjax.errors import Interrupted, UsageError
from rnnjax.runs.fitting import run as fit
from rnnjax.runs.init_from import asked
from rnnjax.runs.log import read_metrics
from rnnjax.runs.workdir import WorkDir
from rnnjax.training.checkpoint import Checkpoints
from rnnjax.training.runner import Runner
from tests.test_pretrained import SHARED, texts
from tests.toy import DATASETS, TEXTS, assert_close, trained, with_holes
from tests.translation_run import experiment as translation
from tests.translation_run import parts

TIMINGS = ("examples_per_second", "seconds", "input_wait", "step_examples_per_second", "peak_memory_mib")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("broken")
    write_texts(home / "tfds", "notes", 2, {"train": texts(41, 0), "unsupervised": texts(30, 1), "test": texts(21, 2)})
    return home


def outcome(program, root):
    """Everything of a finished run that must not depend on interruptions."""
    saved, _ = Checkpoints(WorkDir(root, program.experiment.kinds).checkpoints).newest(program.create_state(0))
    assert saved is not None
    rows = [{k: v for k, v in row.items() if k not in TIMINGS} for row in read_metrics(root / "metrics.jsonl")]
    return saved.state, rows, json.loads((root / "result.json").read_text())["metrics"]


def check_broken_run(program, tmp_path, every, **how):
    """Trains twice: in one go, and stopped by SIGTERM after so many calls again and again."""
    fit(program, 0, tmp_path / "whole", **how)
    stops = 0
    while True:
        seen = []

        def stop(step, seen=seen):
            seen.append(step)
            if len(seen) == every:
                os.kill(os.getpid(), signal.SIGTERM)

        try:
            fit(program, 0, tmp_path / "stopped", on_chunk=stop, **how)
            break
        except Interrupted:
            stops += 1
    assert stops >= 2
    whole, stopped = (outcome(program, tmp_path / name) for name in ("whole", "stopped"))
    for ours, theirs in zip(jax.tree.leaves(whole), jax.tree.leaves(stopped), strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
    return tmp_path / "stopped"


def language_model(home, direction: Any):
    return rnnjax.Experiment(
        name=f"notes-{direction}",
        data=DocumentsCorpus(
            name="notes", data_dir=str(home / "tfds"), cache_dir=str(home / "cache"), batch_size=4, window=4,
            direction=direction, validation_fraction=0.1, test_documents=0,
        ),
        model=rnnjax.LanguageModel(features=(6,), embedding_features=6, tied=True, dropout=0.1, weight_dropout=0.1),
        task=rnnjax.NextToken(),
        optim=OptimConfig(learning_rate=1e-2, sampled_tokens=4, ema_decay=0.9),
        train=TrainConfig(epochs=3, steps_per_call=2, log=()),
    )  # fmt: skip


def reader(home):
    return rnnjax.Experiment(
        name="reader",
        data=TextData(
            name="notes", data_dir=str(home / "tfds"), cache_dir=str(home / "cache"), batch_size=8,
            bucket_lengths=(8,), vocabulary_splits=SHARED,
        ),
        model=PretrainedTextModel(features=(6,), dropout=0.1, word_dropout=0.1, embedding_dropout=0.1),
        task=ClassificationWithLanguageLoss(),
        optim=OptimConfig(
            learning_rate=1e-2, language_weight=0.3, sampled_tokens=4, ema_decay=0.9,
            groups=("^(forwards|backwards)=1@2",), label_smoothing=0.05,
        ),
        train=TrainConfig(epochs=3, steps_per_call=2, log=()),
    )  # fmt: skip


@pytest.mark.slow
def test_language_models_of_both_directions_and_a_reader_of_them_stopped_are_the_unbroken_runs(home, tmp_path, capsys):
    places = []
    for direction in ("forwards", "backwards"):
        experiment = language_model(home, direction)
        program = Runner(experiment, rnnjax.data.load(experiment.data), jax.devices()[:2])
        root = check_broken_run(program, tmp_path / direction, every=3)
        assert ("backwards" in json.loads((root / "preprocess.json").read_text())) == (direction == "backwards")
        places.append(f"{direction}={root}")
    experiment = reader(home)
    program = Runner(experiment, rnnjax.data.load(experiment.data), jax.devices()[:2])
    root = check_broken_run(program, tmp_path / "reader", every=2, init=asked(places))
    capsys.readouterr()
    assert cli.main(experiment, ["predict", f"--workdir={root}", "--text", "sun moon good", "never seen"]) == 0
    out = capsys.readouterr()
    assert [line.split("\t")[-1] for line in out.out.splitlines()] == ["sun moon good", "never seen"]
    assert "of 1 of 2 texts the model knows less than half of the tokens" in out.err


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"attention": "none", "cell": "gru"}, {"attention": "multiplicative"}])
def test_a_translation_stopped_is_the_unbroken_run(options, tmp_path):
    made = translation(parts(tmp_path / "data"))
    made = dataclasses.replace(
        made,
        model=dataclasses.replace(made.model, dropout=0.1, embedding_dropout=0.1, **options),
        optim=OptimConfig(learning_rate=0.03, label_smoothing=0.1, ema_decay=0.9, schedule="cosine"),
        train=TrainConfig(epochs=3, steps_per_call=2, log=()),
    )
    check_broken_run(Runner(made, made.data.load(), jax.devices()[:2]), tmp_path, every=5)


def test_a_sample_that_a_vocabulary_is_too_small_for_is_refused_before_a_run_begins():
    task = ClassificationWithLanguageLoss()
    with pytest.raises(UsageError, match=r"--optim.sampled-tokens must be at least 2 and fewer than the \d+ tokens of"):
        task.prepared(DATASETS[TEXTS], OptimConfig(language_weight=0.1))
    assert task.prepared(DATASETS[TEXTS], OptimConfig()).sampled_tokens == 1024  # of no loss


def exact_losses(key, outputs, table, bias, targets, count):
    """In place of the losses of a sample, those among all tokens: devices draw for themselves."""
    del key, count
    logits = outputs @ jax.numpy.asarray(table).T + bias
    return optax.softmax_cross_entropy_with_integer_labels(logits, targets)


@pytest.mark.slow
@pytest.mark.long
def test_two_devices_have_the_language_loss_of_one_also_where_batches_do_not_fill(monkeypatch):
    monkeypatch.setattr("rnnjax.models.pretrained.sampled_losses", exact_losses)
    parts = dict(vars(TEXTS))
    parts["model"] = PretrainedTextModel(features=(3,))
    parts["optim"] = OptimConfig(learning_rate=0.02, language_weight=0.5, sampled_tokens=4, ema_decay=0.9)
    experiment, found = rnnjax.Experiment(**parts, task=ClassificationWithLanguageLoss()), []
    for devices in (1, 2):
        program = Runner(experiment, DATASETS[TEXTS], jax.devices()[:devices])
        chunks = with_holes(program.train_plan(seed=5, epoch=0)[:4])
        state, sums = trained(program, program.create_state(1), chunks)
        metrics, totals, _ = program.evaluate_keeping(state.variables(), "test")
        assert totals["weight"] == 19, "rows that fill a batch up count in nothing"
        found.append((state.params, [s["loss"].sum(0) for s in sums], [s["weight"].sum(0) for s in sums], metrics))
    one, two = found
    assert_close(two[0], one[0])
    assert_close(two[1], one[1])
    jax.tree.map(np.testing.assert_array_equal, two[2], one[2])
    assert two[3] == pytest.approx(one[3], rel=1e-5)


@pytest.mark.slow
def test_two_devices_translate_as_one_where_batches_do_not_fill(tmp_path):
    # Plain descent: Adam's quotients make the rounding of a gradient near zero as large as the gradient itself.
    optim = OptimConfig(optimizer="sgd", learning_rate=0.3, clip_norm=0.0, label_smoothing=0.1, ema_decay=0.9)
    made, found = dataclasses.replace(translation(parts(tmp_path / "data")), optim=optim), []
    dataset = made.data.load()
    for devices in (1, 2):
        program = Runner(made, dataset, jax.devices()[:devices])
        state, sums = trained(program, program.create_state(1), with_holes(program.train_plan(seed=3, epoch=0)[:4]))
        metrics, totals, kept = program.evaluate_keeping(state.variables(), "test")
        assert totals["weight"] == int((np.asarray(dataset.test["targets"]) >= 0).sum())  # pyright: ignore
        counts = [{name: s[name].sum(0) for name in ("weight", "correct")} for s in sums]
        found.append((state.params, [s["loss"].sum(0) for s in sums], counts, kept["written"], metrics))
    one, two = found
    assert_close(two[:2], one[:2])
    jax.tree.map(np.testing.assert_array_equal, two[2:4], one[2:4])
    assert two[4] == pytest.approx(one[4], rel=1e-5)
