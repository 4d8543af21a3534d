"""Dynamic evaluation: the loss of a model that learns from each window once it has predicted it."""

import dataclasses
import hashlib
import json
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import language_extras, tables
from experiments.digits_rows import EXPERIMENT as DIGITS
from experiments.shakespeare_chars import EXPERIMENT as SHAKESPEARE
from rnnjax import (
    RNN,
    DataConfig,
    Examples,
    Experiment,
    GRUCell,
    LanguageModel,
    NextToken,
    Shape,
    Spec,
    Streams,
    UsageError,
    cli,
)
from rnnjax.config.language import Dynamic
from rnnjax.data import Dataset, Plan
from rnnjax.data.notes import notes
from rnnjax.data.tokens import Vocabulary
from rnnjax.data.window_preprocess import WindowPreprocess
from rnnjax.data.windows import windows
from rnnjax.training.dynamic import DynamicEvaluation
from rnnjax.training.runner import Runner
from tests.language_run import trained
from tests.marks import often
from tests.strangers import language_model
from tests.toy import assert_close

WINDOW = 6
WORDS = WindowPreprocess(Vocabulary(("<pad>", "<unk>", *"abcdef")), WINDOW)
MODEL = LanguageModel(features=(16,), embedding_features=8, dropout=0.5).build(WORDS.spec, WORDS.spec.outputs)


def dataset_of(ids):
    examples = windows(np.asarray(ids, np.int32), WINDOW)
    return Dataset("made_up", examples, examples, examples, WORDS, plan=Streams())


def test_windows_of_a_text_that_repeats_are_not_counted_as_repeated_examples():
    """They are cut at any token, so that a count would be of those that happen to begin alike."""
    text = np.tile(np.arange(2, 8), 20)
    rows = dataclasses.replace(dataset_of(text), plan=Plan())
    assert any("occur more than once" in note for note in notes(rows)) and not notes(dataset_of(text))


def evaluation_of(ids, streams):
    return DynamicEvaluation(MODEL, NextToken(), dataset_of(ids), streams)


def fresh():
    return {"params": jax.tree.map(np.asarray, MODEL.init(jax.random.key(0), **WORDS.spec.zeros())["params"])}


def by_hand(variables, dataset, streams, rate, decay):
    """Window after window with one call of the model each, written out; the mean loss and the last parameters."""
    inputs, targets = (np.asarray(dataset.test[name]) for name in ("inputs", "targets"))
    steps = -(-len(inputs) // streams)
    params, kept, total, count = variables["params"], {}, 0.0, 0

    def losses(params, kept, rows):
        logits, kept = MODEL.apply(
            {"params": params, **kept}, inputs[np.minimum(rows, len(inputs) - 1)], mutable=["carry"]
        )
        right = targets[np.minimum(rows, len(inputs) - 1)]
        counted = (right >= 0) & (rows < len(inputs))[:, None]
        picked = jnp.take_along_axis(jax.nn.log_softmax(logits), np.maximum(right, 0)[..., None], -1)[..., 0]
        return -(picked * counted).sum() / counted.sum(), (kept, counted.sum())

    for step in range(steps):
        rows = step + steps * np.arange(streams)
        (loss, (kept, weight)), gradient = jax.value_and_grad(losses, has_aux=True)(params, kept, rows)
        total, count = total + float(loss) * int(weight), count + int(weight)
        params = jax.tree.map(lambda p, p0, g: p - rate * g + decay * (p0 - p), params, variables["params"], gradient)
    return total / count


@pytest.mark.parametrize(("rate", "decay", "streams"), often([(0.7, 0.0, 3), (0.5, 0.2, 2)], [(0.5, 0.2, 2)]))
def test_it_is_a_step_down_each_windows_gradient_after_its_loss(rate, decay, streams):
    ids = np.random.default_rng(0).integers(2, 8, 6 * WINDOW - 1)  # the last window has padding
    found = evaluation_of(ids, streams)(fresh(), "test", rate, decay)
    dataset = dataset_of(ids)
    assert found["loss"] == pytest.approx(by_hand(fresh(), dataset, streams, rate, decay), rel=1e-5)
    assert found["loss"] != pytest.approx(by_hand(fresh(), dataset, streams, 0.0, 0.0), rel=1e-3)
    assert found["perplexity"] == pytest.approx(math.exp(found["loss"]))
    assert found["bits"] == pytest.approx(found["loss"] / math.log(2))


@pytest.mark.slow
def test_a_rate_of_0_is_ordinary_evaluation_and_changes_nothing():
    experiment = language_model.EXPERIMENT
    program = Runner(experiment, experiment.data.load(), jax.devices()[:1])
    variables = program.create_state(0).variables()
    kept = jax.tree.map(np.array, variables)
    evaluation = DynamicEvaluation(program.model, program.task, program.dataset, experiment.data.batch_size)
    expected = program.evaluate(variables, "test")
    assert evaluation(variables, "test", 0.0) == pytest.approx(expected, rel=1e-5)
    assert evaluation(variables, "test", 0.1)["loss"] < expected["loss"]
    assert_close(variables, kept, 0)
    assert evaluation._chunk._cache_size() == 1


@pytest.mark.slow
def test_a_text_that_repeats_itself_is_learnt_and_fewer_streams_learn_more():
    ids = np.tile([2, 3, 5, 7, 4, 6, 2, 2], 60)
    static = evaluation_of(ids, 2)(fresh(), "test", 0.0)["loss"]
    two, eight = (evaluation_of(ids, streams)(fresh(), "test", 1.0)["loss"] for streams in (2, 8))
    assert two < eight < static
    # A decay of 1 goes all the way back before each step, so that only the last one counts.
    assert two < evaluation_of(ids, 2)(fresh(), "test", 1.0, 1.0)["loss"] < static


def test_more_streams_than_windows_have_nothing_to_adapt_to():
    evaluation = evaluation_of(np.full(4 * WINDOW, 2), 9)
    assert evaluation(fresh(), "test", 1.0) == evaluation(fresh(), "test", 0.0)


class Reader(nn.Module):
    """Reads rows as long as they are."""

    @nn.compact
    def __call__(self, inputs, *, lengths, train=False):
        return nn.Dense(8)(RNN(GRUCell(4))(jax.nn.one_hot(inputs, 8), lengths=lengths)[1])


def test_rows_of_different_lengths_are_read_as_in_ordinary_evaluation():
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 6, 24).astype(np.int32)
    ids = rng.integers(0, 8, (24, 6)).astype(np.int32)
    targets = np.where(np.arange(6) < lengths[:, None], np.roll(ids, -1, 1), -1)
    examples = Examples({"inputs": ids, "targets": targets}, lengths, ("inputs", "targets"))
    spec = Spec({"inputs": Shape.of(ids[:1]), "lengths": Shape.of(lengths[:1])}, outputs=8)
    dataset = Dataset("ragged", examples, examples, examples, given=spec, plan=Plan((3, 6)))
    experiment = Experiment(data=DataConfig(name="ragged", batch_size=4), model=Reader(), task=NextToken())
    program = Runner(experiment, dataset, jax.devices()[:1])
    variables = program.create_state(0).variables()
    evaluation = DynamicEvaluation(program.model, program.task, dataset, 4)
    expected = program.evaluate(variables, "test")
    assert evaluation(variables, "test", 0.0) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"dynamic": (-0.1,)}, "--dynamic must be learning rates"),
        ({"dynamic": (math.nan,)}, "--dynamic must be learning rates"),
        ({"dynamic": (1.0,), "dynamic_decay": 2.0}, "--dynamic-decay must be"),
        ({"dynamic": (1.0,), "streams": 0}, "--streams must be positive"),
        ({"streams": 2}, "of --dynamic RATE, which is not given"),
        ({"dynamic_decay": 0.1}, "of --dynamic RATE, which is not given"),
    ],
)
def test_a_setting_that_is_none_is_refused(asked, message):
    with pytest.raises(UsageError, match=message):
        Dynamic(**asked)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("language"))[0]


def digests(root):
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.slow
def test_the_command_shows_it_beside_the_static_loss_and_leaves_the_folder_as_it_was(folder, capsys):
    before = digests(folder)

    def asked(*arguments):
        assert cli.main(SHAKESPEARE, ["evaluate", "--workdir", str(folder), *arguments]) == 0
        return json.loads(capsys.readouterr().out)

    static = asked()
    assert "dynamic" not in static
    said = asked("--dynamic", "0", "0.5")
    none, half = said.pop("dynamic")
    assert said == static
    assert {name: none[name] for name in ("rate", "decay", "streams")} == {"rate": 0.0, "decay": 0.0, "streams": 8}
    assert none["loss"] == pytest.approx(static["loss"], rel=1e-5)
    assert half["loss"] < static["loss"]
    one = asked("--dynamic", "0.5", "--streams", "1", "--dynamic-decay", "0.01")["dynamic"]
    assert [(row["rate"], row["streams"], row["decay"]) for row in one] == [(0.0, 1, 0.01), (0.5, 1, 0.01)]
    assert cli.main(SHAKESPEARE, ["evaluate", "--workdir", str(folder), "--dynamic", "0.5", "--streams", "500"]) == 0
    noted = capsys.readouterr()
    assert "each of 500 streams has one window at most" in noted.err
    still, adapted = json.loads(noted.out)["dynamic"]
    assert still["loss"] == adapted["loss"]
    assert digests(folder) == before


@pytest.mark.slow
def test_figures_of_a_split_that_was_trained_on_are_noted(folder, tmp_path, capsys):
    refitted = trained(tmp_path, "--train.epochs", "1", "--train.no-test", refit=True)[0]
    for root, split, noted in (
        (refitted, "validation", True),
        (refitted, "test", False),
        (folder, "validation", False),
    ):
        capsys.readouterr()
        assert cli.main(SHAKESPEARE, ["evaluate", "--workdir", str(root), "--split", split]) == 0
        assert ("this split was trained on (--data.refit)" in capsys.readouterr().err) == noted


@pytest.mark.slow
def test_what_the_tables_show_is_written_by_one_command(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(language_extras, "LANGUAGE", tmp_path / "language")
    assert language_extras.main(folder, rates=(0.1, 0.5, 1e30), tokens=20) == 0
    (path,) = (tmp_path / "language").iterdir()
    assert path.name == "shakespeare_chars-seed-0.json"
    made, result = json.loads(path.read_text()), json.loads((folder / "result.json").read_text())
    tried = {row["rate"]: row["loss"] for row in made["validation"]["dynamic"]}
    assert tried[made["rate"]] == min(loss for loss in tried.values() if loss is not None)
    assert made["validation"]["static"] == pytest.approx(result["metrics"]["validation"]["loss"], rel=1e-5)
    assert made["test"]["static"] == pytest.approx(result["metrics"]["test"]["loss"], rel=1e-5)
    assert made["test"]["dynamic"]["rate"] == made["rate"]
    assert not made["validation"]["seen_in_training"]
    assert [row["rows"] for row in made["sampling"]] == [1, 64]
    assert all(len(row["samples"]) == 5 for row in made["sampling"])
    assert "note: the model has been trained" not in capsys.readouterr().err

    shown = tables.beside(SHAKESPEARE, [result], tmp_path / "language")
    test, adapted = result["metrics"]["test"], made["test"]["dynamic"]["loss"]
    figures = f"; perplexity {test['perplexity']:.2f}; bits {test['bits']:.3f}"
    assert shown == f"{figures}; loss {adapted:.4f} by dynamic evaluation"
    assert tables.beside(SHAKESPEARE, [{**result, "run": "another"}], tmp_path / "language") == figures
    assert tables.beside(DIGITS, [], tmp_path / "language") == ""


@pytest.mark.slow
def test_it_is_of_language_models(tmp_path, capsys):
    assert (
        cli.main(DIGITS, ["--model.features", "8", "--train.epochs", "1", "--seeds", "0", "--runs-dir", str(tmp_path)])
        == 0
    )
    assert cli.main(DIGITS, ["evaluate", "--workdir", str(tmp_path / "digits_rows" / "seed-0"), "--dynamic", "1"]) == 2
    assert "--dynamic is for language models" in capsys.readouterr().err
