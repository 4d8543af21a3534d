"""Tagging from a user's own arrays: what labels of steps may be, and the whole road to answers."""

import json
import re
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import pytest
from sklearn import metrics

import rnnjax
from rnnjax import data
from rnnjax.data import Preprocess, Spec
from rnnjax.data.examples import Dataset, Examples
from rnnjax.data.spec import Shape
from rnnjax.training.runner import Runner
from tests.test_spans import BIO, plain_spans

RNG = np.random.default_rng(0)
SPEC = Spec({"inputs": Shape((1, 5), np.dtype(np.int32))}, outputs=5, names=BIO)
N = 40
SIZES = [2 + number % 4 for number in range(N)]
X = [RNG.integers(1, 9, size).astype(np.int32) for size in SIZES]
Y = [(row % 3).astype(np.int64) for row in X]
PADDED = np.zeros((N, 5), np.int32)
for place, row in zip(PADDED, X, strict=True):
    place[: len(row)] = row


class Tagger(nn.Module):
    """``[B, T]`` ids to ``[B, T, outputs]``."""

    outputs: int = 3
    pooled: bool = False

    @nn.compact
    def __call__(self, inputs, *, lengths=None, train=False):
        _, outputs = rnnjax.RNN(rnnjax.GRUCell(4))(nn.Embed(9, 4)(inputs), lengths=lengths)
        return nn.Dense(self.outputs)(outputs[:, 0] if self.pooled else outputs)


def experiment(x: Any = X, y: Any = Y, *, model: Any = None, task: Any = None, **options: Any) -> rnnjax.Experiment:
    section = rnnjax.Arrays(x, y, **{"batch_size": 8, "validation_fraction": 0.2} | options)
    task = rnnjax.PerStep() if task is None else task
    return rnnjax.Experiment(data=section, model=model or Tagger(), task=task, train=rnnjax.TrainConfig(epochs=2))


def program(*given: Any, **options: Any) -> Runner:
    made = experiment(*given, **options)
    return Runner(made, data.load(made.data), jax.devices()[:1])


def padded_labels(fill: int) -> np.ndarray:
    return np.where(np.arange(5) < np.array(SIZES)[:, None], PADDED % 3, fill)


@pytest.mark.parametrize(
    "given",
    [
        {"y": [row.tolist() for row in Y]},
        {"y": padded_labels(-1), "x": PADDED, "lengths": SIZES},
        {"y": padded_labels(0), "x": PADDED, "lengths": SIZES},
        {"y": padded_labels(-100), "x": PADDED, "lengths": SIZES},
        {"x": PADDED, "lengths": SIZES},
    ],
    ids=["lists", "padded with -1", "padded with 0", "padded with -100", "padded inputs"],
)
def test_the_same_labels_in_another_dress_are_the_same_data(given):
    made = data.load(experiment(**given).data)
    assert made.fingerprint == data.load(experiment().data).fingerprint
    assert made.train.timed == ("inputs", "labels")
    assert made.spec.names == ("0", "1", "2")
    stored = made.train
    assert stored.lengths is not None
    np.testing.assert_array_equal(stored["labels"] == -1, np.arange(5) >= stored.lengths[:, None])


def test_rows_of_one_length_have_labels_without_lengths():
    made = data.load(experiment(PADDED, PADDED % 3).data)
    assert made.train.lengths is None and made.train["labels"].shape == (32, 5)
    deep = data.load(experiment(np.ones((N, 5, 2)), list(PADDED % 3), test=(np.ones((4, 5, 2)), PADDED[:4] % 3)).data)
    assert deep.test is not None and deep.test["labels"].dtype == np.int32


def test_a_test_split_may_have_longer_rows_and_weighs_alike():
    test = ([np.ones(8, np.int32), np.ones(3, np.int32)], [[0] * 8, [1, -1, 2]])
    made = program(test=test, weights=np.arange(N))
    assert made.dataset.test is not None and made.dataset.test["labels"].shape == (2, 8)
    np.testing.assert_array_equal(made.dataset.test["weights"], np.ones(2))
    task: Any = made.task
    assert task.steps == 8
    _, _, kept = made.evaluate_keeping(made.create_state(0).variables(), "test")
    np.testing.assert_array_equal(kept["labels"], made.dataset.test["labels"])


def test_integers_of_columns_stay_what_they_are_to_other_tasks():
    """As many columns as steps: the task says what they are, and the data of a regression are those they were."""
    columns = PADDED * 7
    made = rnnjax.Arrays(np.ones((N, 5, 2)), columns, lengths=SIZES, validation_fraction=0.2)
    regression = rnnjax.Experiment(data=made, model=Tagger(), task=rnnjax.Regression())
    assert regression.data is made
    loaded = made.load()
    assert loaded.train.timed == ("inputs",) and loaded.train["targets"].shape == (32, 5)
    assert loaded.spec.outputs == 5 and loaded.spec.names == ()


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"y": [*Y[:3], Y[3][:-1], *Y[4:]]}, "y[3] has 4 labels, but row 3 of inputs has 5 steps"),
    ({"y": [*Y[:1], np.r_[Y[1], 0, 0], *Y[2:]]}, "y[1] has 5 labels, but row 1 of inputs has 3 steps"),
    ({"y": Y[:-1]}, "inputs has 40 rows, but y has 39"),
    ({"y": [row.astype(float) for row in Y]}, "y[0] must hold integers, the number of a class at each step"),
    ({"y": [["a"] * len(row) for row in Y]}, "number = {name: n for n, name in enumerate(names)}"),
    ({"y": [row[:, None] for row in Y]}, "y[0] must be a row of labels, an integer a step, got [2, 1]"),
    ({"y": PADDED[:, 0]}, "y must be labels [N, T], an integer a step, got [40]"),
    ({"y": None}, "y must be labels [N, T], an integer a step, got []"),
    ({"x": PADDED, "y": PADDED[:, :4] % 3}, "y[0] has 4 labels, but row 0 of inputs has 5 steps"),
    ({"x": PADDED[:, 0], "y": PADDED % 3}, "labels of steps need inputs [N, T, ...]"),
    ({"x": PADDED, "y": PADDED % 3, "lengths": [4] * N}, "has labels after its 4 steps; padding holds one value"),
    ({"x": PADDED, "y": PADDED % 3, "lengths": [4.0] * N}, "lengths must be integers"),
    ({"names": ("a", "b")}, "classes 0..1, and -1 for a step without a label"),
    ({"y": [Y[0] - 5, *Y[1:]]}, "label -"),
    ({"y": [0 * row for row in Y]}, "one class only; a tagger needs two"),
    ({"y": [0 * row - 1 for row in Y]}, "no step of train has a label"),
    ({"test": (X[:2], [0 * row - 1 for row in Y[:2]])}, "no step of test has a label"),
    ({"test": (X[:3], [Y[0], Y[2], Y[2]])}, "y[1] has 4 labels, but row 1 of inputs has 3 steps"),
    ({"task": rnnjax.PerStep(score="span-f1")}, "names are tags, such as O, B-PER and I-PER; they are 0, 1, 2"),
    (
        {"model": Tagger(pooled=True)},
        "logits [1, 3] and labels [1, 5] do not fit; they must be [B, T, C]",
    ),
    ({"model": Tagger(4)}, "needs 3 outputs a row"),
]


@pytest.mark.parametrize(("given", "said"), WRONG, ids=[said for _, said in WRONG])
def test_what_does_not_belong_together_is_refused_by_a_sentence(given, said, monkeypatch):
    monkeypatch.setattr(jax, "pmap", lambda *_, **__: pytest.fail("compiled"))
    with pytest.raises((rnnjax.UsageError, rnnjax.DataError), match=re.escape(said)) as refused:
        program(**given)
    assert "\n" not in str(refused.value)


def own(labels: Any, lengths: Any, timed: Any = ("inputs", "labels")) -> Dataset:
    split = Examples({"inputs": PADDED[: len(labels)], "labels": labels}, lengths, timed)
    return Dataset("mine", split, split, None, Preprocess(), SPEC)


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        (own(PADDED % 3, np.full(N, 4)), "mine: example 0 in train has a label at step 4, but 4 steps"),
        (own(PADDED % 3, np.full(N, 5), ("inputs",)), "must be among the timed arrays of train"),
        (own(np.zeros((N, 7), int), np.full(N, 5)), "inputs of train has 5 steps, but labels 7"),
        (own(np.zeros(N, int), None, ()), "labels of steps must be integers [N, T], got int64 [40]"),
        (own(PADDED / 3, None, ()), "labels of steps must be integers [N, T], got float64 [40, 5]"),
    ],
)
def test_a_source_of_ones_own_is_told_what_its_labels_must_be(dataset, said):
    with pytest.raises(rnnjax.DataError, match=re.escape(said)):
        rnnjax.PerStep().check_data(dataset)


# The whole road.


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Of two padded lengths, on all devices, by F1 of spans."""
    made = experiment(
        names=("O", "B-x", "I-x"), buckets=(3, 5), task=rnnjax.PerStep(score="span-f1"), test=(X, Y), weights=np.ones(N)
    )
    return made, rnnjax.fit(made, workdir=tmp_path_factory.mktemp("tags") / "run")


def test_metrics_and_report_of_a_run_are_those_of_its_own_answers(trained):
    made, result = trained
    answers = result.predictor(X)
    assert [len(row) for row in answers] == SIZES
    names = made.data.names
    gold = [[names[label] for label in row] for row in Y]
    found = result.metrics["test"]
    flat = [[tag for row in rows for tag in row] for rows in (gold, answers)]
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(*flat))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(*flat, average="macro"))
    true, guessed = (
        {(n, *span) for n, row in enumerate(rows) for span in plain_spans(row)} for rows in (gold, answers)
    )
    assert result.headline == found["span_f1"] == pytest.approx(2 * len(true & guessed) / (len(true) + len(guessed)))
    page = json.loads((result.workdir / "report-test.json").read_text())
    assert page["steps"] == sum(SIZES)
    np.testing.assert_array_equal(page["confusion"], metrics.confusion_matrix(*flat, labels=names))
    assert page["spans"]["types"][0]["support"] == len(true)


def test_a_row_is_answered_alike_in_any_company(trained):
    _, result = trained
    answers = result.predictor(X[:4])
    padded = np.where(np.arange(5) < np.array(SIZES[:4])[:, None], PADDED[:4], 8)
    assert result.predictor(padded, lengths=SIZES[:4]) == answers
    assert [result.predictor([row])[0] for row in X[:4]] == answers
    assert result.predictor([X[0], X[0][:0]])[1] == []
    rows = result.predictor.rows(X[:4])
    assert [row["labels"] for row in rows] == answers
    assert result.predictor.task.line(rows[0]) == " ".join(answers[0])
    assert all(1 / 3 <= p <= 1 for row in rows for p in row["probabilities"])


def test_it_is_loaded_with_what_it_was_chosen_by_and_another_score_is_another_run(trained):
    made, result = trained
    loaded = rnnjax.load(result.workdir, experiment=made)
    assert loaded(X) == result.predictor(X)
    task: Any = loaded.task
    assert (task.headline.name, task.tags) == ("span_f1", ("O", "B-x", "I-x"))
    other = experiment(
        names=("O", "B-x", "I-x"), buckets=(3, 5), task=rnnjax.PerStep(), test=(X, Y), weights=np.ones(N)
    )
    with pytest.raises(rnnjax.UsageError, match=r"score.*accuracy.*span-f1"):
        rnnjax.fit(other, workdir=result.workdir)
