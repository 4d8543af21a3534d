"""Several labels an example: metrics that are scikit-learn's, and a loss that is PyTorch's formula."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit
from sklearn import metrics

from rnnjax.config import OptimConfig
from rnnjax.data import Preprocess, Spec
from rnnjax.data.examples import Dataset, Examples
from rnnjax.data.spec import Shape
from rnnjax.errors import DataError, UsageError
from rnnjax.tasks import MultiLabel

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(23, 4)).astype(np.float32)
THERE = (RNG.random((23, 4)) < [0.5, 0.2, 0.8, 0.0]).astype(np.float32)
WEIGHTS = RNG.uniform(0, 3, 23).astype(np.float32)
SPEC = Spec({"inputs": Shape((1, 4), np.dtype(np.float32))}, outputs=4, names=("a", "b", "c", "never there"))
TASK = MultiLabel()


def totals(task=TASK, train=False, **arrays):
    batch = {"targets": THERE, "mask": np.ones(len(LOGITS), bool), **arrays}
    return {k: np.asarray(v, np.float64) for k, v in task.sums(jnp.array(LOGITS), batch, train=train).items()}


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["alike", "weighed"])
def test_the_metrics_of_labels_are_scikit_learns(weights):
    made = totals() if weights is None else totals(weights=weights)
    found, said = TASK.finish(made), LOGITS > 0
    ours: dict = {"sample_weight": weights, "zero_division": 0.0}
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(THERE, said, average="macro", **ours), rel=1e-5)
    assert found["micro_f1"] == pytest.approx(metrics.f1_score(THERE, said, average="micro", **ours), rel=1e-5)
    exact = metrics.accuracy_score(THERE, said, sample_weight=weights)
    assert found["exact_match"] == pytest.approx(exact, rel=1e-5)
    page = TASK.report(made, {"targets": THERE}, SPEC).page
    rows = metrics.precision_recall_fscore_support(THERE, said, **ours)
    for name, theirs in zip(("precision", "recall", "f1"), rows, strict=False):
        np.testing.assert_allclose([label[name] for label in page["labels"]], theirs, rtol=1e-5)
    assert [label["name"] for label in page["labels"]] == list(SPEC.names)


def test_a_label_that_is_neither_there_nor_predicted_counts_in_no_mean():
    batch = {"targets": THERE[:, :2] * [1, 0], "mask": np.ones(23, bool)}
    made = {
        k: np.asarray(v) for k, v in TASK.sums(jnp.array(LOGITS[:, :2]).at[:, 1].set(-1), batch, train=False).items()
    }
    alone = metrics.f1_score(THERE[:, 0], LOGITS[:, 0] > 0)
    assert TASK.finish(made)["macro_f1"] == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_the_cross_entropy_of_each_label_by_itself(smoothing):
    smoothed = THERE * (1 - smoothing) + smoothing / 2
    probability = expit(LOGITS.astype(np.float64))
    loss = -(smoothed * np.log(probability) + (1 - smoothed) * np.log1p(-probability)).mean(-1)
    made = totals(MultiLabel(label_smoothing=smoothing), train=True)
    assert made["loss"] == pytest.approx(loss.sum(), rel=1e-5)
    assert totals(MultiLabel(label_smoothing=smoothing))["loss"] == pytest.approx(totals()["loss"])


def test_answers_say_all_labels_of_a_row_and_a_line_what_a_table_would():
    row = TASK.rows(np.array([[2.0, -1.0, 0.5, -9.0]]), SPEC)[0]
    assert row["labels"] == ["a", "c"]
    np.testing.assert_allclose(list(row["probabilities"].values()), expit([2.0, -1.0, 0.5, -9.0]))
    assert TASK.line(row) == "a|c"
    assert TASK.line(TASK.rows(-np.ones((1, 4)), SPEC)[0]) == "-"
    np.testing.assert_array_equal(TASK.answers(LOGITS, SPEC), LOGITS > 0)


def test_outcomes_of_rows_make_the_figure_again_for_any_rows_that_are_drawn():
    rows = TASK.outcomes({"targets": THERE, "logits": LOGITS}, SPEC)
    draws = RNG.integers(0, len(LOGITS), (5, len(LOGITS)))
    counts = np.stack([np.bincount(draw, minlength=len(LOGITS)) for draw in draws])
    for draw, found in zip(draws, TASK.statistic(rows, counts), strict=True):
        there, said = THERE[draw], LOGITS[draw] > 0
        occurring = np.flatnonzero(there.any(0) | said.any(0))
        theirs = metrics.f1_score(there, said, average="macro", labels=occurring, zero_division=0.0)
        assert found == pytest.approx(theirs)
    examples = Examples({"inputs": LOGITS, "targets": THERE})
    np.testing.assert_array_equal(TASK.regressed(examples, SPEC) > 0, THERE > 0)


def test_the_best_constant_answer_has_the_labels_of_most_training_examples():
    examples = Examples({"inputs": LOGITS, "targets": THERE})
    made = TASK.constant(examples, examples.take(np.arange(3)), SPEC)
    assert made.outputs.shape == (3, 4)
    np.testing.assert_array_equal(made.outputs[0] > 0, THERE.mean(0) > 0.5)
    np.testing.assert_allclose(expit(made.outputs[0, :3]), THERE.mean(0)[:3], rtol=1e-5)
    assert made.note == "always " + "|".join(np.array(SPEC.names)[THERE.mean(0) > 0.5])


def test_weights_of_classes_are_not_of_labels():
    with pytest.raises(UsageError, match="of several labels each counts alike"):
        TASK.prepared(None, OptimConfig(class_weights="balanced"))


def test_what_are_no_labels_is_refused():
    with pytest.raises(UsageError, match=r"logits \[23, 4\] and targets \[23, 3\] do not fit"):
        TASK.check(LOGITS, {"targets": THERE[:, :3]})
    wrong = Examples({"inputs": LOGITS, "targets": 2 * THERE})
    with pytest.raises(DataError, match="targets must be 0 and 1, those of example 0 in train"):
        TASK.check_data(Dataset("made", wrong, wrong, None, Preprocess(), given=SPEC))
    classes = Examples({"inputs": LOGITS, "labels": np.zeros(23, np.int32)})
    with pytest.raises(DataError, match=r"targets \[N, labels\]; train has inputs, labels"):
        TASK.check_data(Dataset("made", classes, classes, None, Preprocess(), given=SPEC))
