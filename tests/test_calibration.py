"""Calibration against its definition and scikit-learn, and reports of more classes, of no weight, and of mistakes."""

import csv
import dataclasses
import io

import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from rnnjax.runs.mistakes import as_csv
from rnnjax.tasks import Classification, Regression, calibration, class_report
from rnnjax.tasks.metrics import class_probabilities
from tests.toy import reviews_like

RNG = np.random.default_rng(2)
LABELS = RNG.integers(0, 3, 150)
LOGITS = (RNG.normal(size=(150, 3)) + 1.5 * np.eye(3)[LABELS]).astype(np.float32)
PROBABILITIES = class_probabilities(LOGITS)


def test_parts_of_equally_many_examples_are_scikit_learns_quantiles():
    sure, right = PROBABILITIES.max(-1), PROBABILITIES.argmax(-1) == LABELS
    shares, confidences = calibration_curve(right, sure, n_bins=calibration.BINS, strategy="quantile")
    ours = calibration.bins(PROBABILITIES, LABELS)
    np.testing.assert_allclose(ours.right, shares)
    np.testing.assert_allclose(ours.confidence, confidences)
    np.testing.assert_allclose(ours.weight, 1 / 15)
    assert calibration.error(PROBABILITIES, LABELS) == pytest.approx(np.abs(shares - confidences).mean())


def test_no_part_is_of_so_few_examples_that_its_share_is_chance():
    rng = np.random.default_rng(0)
    for count, parts in ((0, 0), (7, 1), (41, 4), (149, 14), (1000, 15)):
        found = calibration.bins(np.tile([[0.8, 0.2]], (count, 1)), np.zeros(count, int))
        assert len(found.weight) == parts
    answers = np.tile([[0.8, 0.2]], (40, 1))  # calibrated, since a fifth of them is wrong
    few = [calibration.error(answers, (rng.uniform(size=40) > 0.8).astype(int)) for _ in range(99)]
    assert np.mean(few) < 0.14  # it is 0.09; of 15 parts, two or three examples each, it would be 0.22


def test_briers_score_is_scikit_learns():
    expected = sk.brier_score_loss(LABELS, PROBABILITIES, labels=[0, 1, 2], scale_by_half=False)
    assert calibration.brier(PROBABILITIES, LABELS) == pytest.approx(expected)


def test_an_example_of_weight_two_counts_as_two():
    weights = RNG.integers(0, 3, 150)
    twice = np.repeat(np.arange(150), weights)
    ours = class_report.class_report(LOGITS, LABELS, "abc", weights)
    theirs = class_report.class_report(LOGITS[twice], LABELS[twice], "abc")
    for name in ("accuracy", "macro_f1", "balanced_accuracy", "macro_auc", "brier"):
        assert ours[name] == pytest.approx(theirs[name])


def test_the_area_of_many_classes_is_scikit_learns_one_against_the_rest():
    page = class_report.class_report(LOGITS, LABELS, ("a", "b", "c", "never there"))
    expected = sk.roc_auc_score(LABELS, PROBABILITIES, multi_class="ovr", average="macro")
    assert page["macro_auc"] == pytest.approx(expected)
    assert page["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(LABELS, LOGITS.argmax(-1)))


def test_a_split_in_which_nothing_counts_has_a_report():
    page = class_report.class_report(LOGITS, LABELS, "abc", np.zeros(150))
    assert page["accuracy"] == page["macro_f1"] == page["weighted_f1"] == page["ece"] == page["brier"] == 0
    assert page["macro_auc"] is None
    assert class_report.report(LOGITS, LABELS, "abc", np.zeros(150)).page == page


def test_reliability_is_drawn_of_one_part_and_of_none(tmp_path):
    for count in (0, 1, 150):
        found = calibration.bins(PROBABILITIES[:count], LABELS[:count])
        calibration.save_reliability(found, tmp_path / f"{count}.png", "test")
        assert (tmp_path / f"{count}.png").read_bytes().startswith(b"\x89PNG")


class _Spec:
    names = ("a", "b", "c")


def test_mistakes_are_the_most_confident_wrong_answers_with_what_is_known_of_them():
    found = Classification().mistakes({"logits": LOGITS, "labels": LABELS}, _Spec(), 5)
    sure = np.where(PROBABILITIES.argmax(-1) == LABELS, 0, PROBABILITIES.max(-1))
    assert [row["row"] for row in found] == np.argsort(-sure)[:5].tolist()
    assert [row["probability"] for row in found] == sorted(sure)[::-1][:5]
    texts = [f'text {n},\nsays "{"x" * 999}"' for n in range(150)]
    known = dataclasses.replace(
        reviews_like(),
        documents=lambda: {"test": texts},
        places=lambda: {"test": [f"a.csv:{n}" for n in range(150)]},
    )
    rows = list(csv.DictReader(io.StringIO(as_csv(found, known, "test"))))
    first, n = rows[0], found[0]["row"]
    assert first["place"] == f"a.csv:{n}"
    assert first["text"].startswith(f'text {n}, says "xxx')
    assert len(first["text"]) == 200
    assert (first["true"], first["predicted"]) == (_Spec.names[LABELS[n]], _Spec.names[LOGITS[n].argmax()])
    plain = as_csv(found, reviews_like(), "test").splitlines()
    assert plain[0] == "number,true,predicted,probability"
    assert plain[1].startswith(f"{n},")


def test_mistakes_of_numbers_are_the_largest_errors():
    kept = {"outputs": np.array([[1.0], [2.0], [3.0]]), "targets": np.array([1.5, 9.0, 3.0])}
    found = Regression().mistakes(kept, _Spec(), 2)
    assert found[0] == {"row": 1, "true": 9.0, "predicted": 2.0, "error": -7.0}
    assert found[1]["row"] == 0
