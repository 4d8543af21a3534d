"""Tasks: metrics that are scikit-learn's, and shapes that do not fit. What holds for all tasks: test_testing.py."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics

from rnnjax.data import Preprocess, Spec
from rnnjax.data.examples import Dataset, Examples
from rnnjax.data.spec import Shape
from rnnjax.errors import DataError, UsageError
from rnnjax.tasks import Classification, Metric, MultiLabel, Regression, Task

RNG = np.random.default_rng(0)
ROWS = 23
LOGITS = RNG.normal(size=(ROWS, 3)).astype(np.float32)
LABELS = RNG.integers(0, 3, ROWS).astype(np.int32)
OUTPUTS = RNG.normal(size=(ROWS, 2)).astype(np.float32)
TARGETS = (1e4 + 50 * RNG.normal(size=(ROWS, 2))).astype(np.float32)
WEIGHTS = RNG.uniform(0, 3, ROWS).astype(np.float32)
SPEC = Spec({"inputs": Shape((1, 4), np.dtype(np.float32))}, outputs=3, names=("a", "b", "c"))
SCALED = Regression(mean=(1e4, 9.9e3), scale=(40.0, 60.0))
CASES = {
    "classes": (Classification(), LOGITS, {"labels": LABELS}),
    "weighed classes": (Classification(), LOGITS, {"labels": LABELS, "weights": WEIGHTS}),
    "several labels": (MultiLabel(), LOGITS, {"targets": (LOGITS > 0.3).astype(np.float32)}),
    "columns": (SCALED, OUTPUTS, {"targets": TARGETS}),
    "weighed columns": (SCALED, OUTPUTS, {"targets": TARGETS, "weights": WEIGHTS}),
}


def totals(task, outputs, arrays, mask=None, train=False):
    batch = {**arrays, "mask": np.ones(len(outputs), bool) if mask is None else mask}
    return {k: np.asarray(v, np.float64) for k, v in task.sums(jnp.array(outputs), batch, train=train).items()}


def test_the_metrics_of_numbers_are_scikit_learns():
    predicted = SCALED.answers(OUTPUTS, SPEC)
    np.testing.assert_allclose(predicted, np.array([1e4, 9.9e3]) + np.array([40.0, 60.0]) * OUTPUTS, rtol=1e-6)
    for weights in (None, WEIGHTS):
        arrays = {"targets": TARGETS} | ({} if weights is None else {"weights": weights})
        found = SCALED.finish(totals(SCALED, OUTPUTS, arrays))
        squared = metrics.mean_squared_error(TARGETS, predicted, sample_weight=weights)
        assert found["rmse"] == pytest.approx(squared**0.5, rel=1e-4)
        absolute = metrics.mean_absolute_error(TARGETS, predicted, sample_weight=weights)
        assert found["mae"] == pytest.approx(absolute, rel=1e-4)
    one = Regression()
    kept = {"outputs": OUTPUTS[:, :1], "targets": TARGETS[:, 0], "weights": WEIGHTS}
    weighed = metrics.r2_score(TARGETS[:, 0], OUTPUTS[:, 0], sample_weight=WEIGHTS)
    assert one.report({}, kept, SPEC).values["r2"] == pytest.approx(weighed, rel=1e-5)
    report = one.report({}, {"outputs": OUTPUTS[:, :1], "targets": TARGETS[:, 0]}, SPEC)
    assert report.values["r2"] == pytest.approx(metrics.r2_score(TARGETS[:, 0], OUTPUTS[:, 0]), rel=1e-5)
    assert not one.report({}, {"outputs": OUTPUTS[:, :1], "targets": np.ones(ROWS)}, SPEC).values


def test_the_accuracy_of_weighed_rows_is_scikit_learns():
    found = Classification().finish(totals(Classification(), LOGITS, {"labels": LABELS, "weights": WEIGHTS}))
    predicted = LOGITS.argmax(-1)
    assert found["accuracy"] == pytest.approx(
        metrics.accuracy_score(LABELS, predicted, sample_weight=WEIGHTS), rel=1e-5
    )
    page = Classification().report({}, {"logits": LOGITS, "labels": LABELS, "weights": WEIGHTS}, SPEC).page
    assert page["accuracy"] == pytest.approx(found["accuracy"], rel=1e-5)
    f1 = metrics.f1_score(LABELS, predicted, average="macro", sample_weight=WEIGHTS)
    assert page["macro_f1"] == pytest.approx(f1, rel=1e-5)
    probabilities = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    assert found["loss"] == pytest.approx(metrics.log_loss(LABELS, probabilities, sample_weight=WEIGHTS), rel=1e-5)


def dataset(targets):
    every = Examples({"inputs": np.zeros((len(targets), 4), np.float32), "targets": targets})
    return Dataset("made up", every, every, None, Preprocess(), SPEC)


def test_numbers_are_learnt_in_units_of_the_training_targets():
    task = Regression().prepared(dataset(TARGETS), None)
    np.testing.assert_allclose(task.mean, TARGETS.astype(np.float64).mean(0))
    np.testing.assert_allclose(task.scale, TARGETS.astype(np.float64).std(0))
    assert Regression().prepared(dataset(np.full(9, 7.0, np.float32)), None).scale == (1.0,)
    assert Regression(standardize=False).prepared(dataset(TARGETS), None) == Regression(standardize=False)
    trained = task.settled().prepared(dataset(3 * TARGETS - 70), None)  # other data, which it is to be judged on
    assert (trained.mean, trained.scale) == (task.mean, task.scale)
    assert Regression().restored(task.to_json()) == task


@pytest.mark.parametrize("unit", [1e25, 1e-25])
def test_errors_in_very_large_and_very_small_units_are_scikit_learns(unit):
    targets = (TARGETS[:, :1] * unit).astype(np.float32)
    task = Regression().prepared(dataset(targets), None)
    found = task.finish(totals(task, OUTPUTS[:, :1], {"targets": targets}))
    predicted = task.answers(OUTPUTS[:, :1], SPEC)
    wide = targets.astype(np.float64)[:, 0]
    assert found["rmse"] == pytest.approx(metrics.mean_squared_error(wide, predicted) ** 0.5, rel=1e-4)
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(wide, predicted), rel=1e-4)


def test_a_target_that_is_too_far_from_those_of_training_is_refused_with_its_place():
    near, far = dataset(TARGETS), dataset(np.where(TARGETS == TARGETS[3, 1], 1e30, TARGETS).astype(np.float32))
    mixed = dataclasses.replace(near, test=far.train)
    with pytest.raises(DataError, match=r"made up, test row 4: the target 1e\+30 is .* standard deviations"):
        Regression().prepared(mixed, None)
    placed = dataclasses.replace(mixed, places=lambda: {"test": [f"t.csv:{n}" for n in range(ROWS)]})
    with pytest.raises(DataError, match=r"^t\.csv:3: the target"):
        Regression().prepared(placed, None)


def test_nothing_is_a_mean_of_no_rows():
    for task, outputs, arrays in CASES.values():
        found = task.finish(totals(task, outputs, arrays, np.zeros(ROWS, bool)))
        assert set(found.values()) == {0.0}


@pytest.mark.parametrize(
    ("task", "outputs", "batch", "message"),
    [
        (Regression(), (4, 1), {"targets": (4, 2)}, r"outputs \[4, 1\] and targets \[4, 2\] do not fit"),
        (Regression(), (4, 3, 1), {"targets": (4,)}, r"outputs \[4, 3, 1\] and targets \[4\] do not fit"),
        (Regression(), (4, 1), {"targets": (4,), "weights": (4, 1)}, r"weights \[4, 1\] must be one an example, \[4\]"),
        (Regression(), (4, 1), {"other": (4,)}, "neither labels nor targets, but other"),
        (Classification(), (4, 3), {"labels": (4, 1)}, r"logits \[4, 3\] and labels \[4, 1\] do not fit"),
    ],
)
def test_shapes_that_do_not_belong_together_are_named(task, outputs, batch, message):
    arrays = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in batch.items()}
    with pytest.raises(UsageError, match=message):
        task.check(jax.ShapeDtypeStruct(outputs, jnp.float32), arrays)


def test_data_without_targets_of_the_task_are_refused():
    with pytest.raises(DataError, match=r"labels must be one integer an example, \[N\], got \[23, 2\]"):
        Classification().check_data(dataset(TARGETS))
    with pytest.raises(DataError, match=r"targets must be numbers \[N\] or \[N, columns\], got float32 \[23, 2, 1\]"):
        Regression().check_data(dataset(TARGETS[..., None]))


def test_label_smoothing_is_of_classes():
    from rnnjax.config import OptimConfig

    smoothing = OptimConfig(label_smoothing=0.1)
    assert Classification().prepared(dataset(TARGETS), smoothing).label_smoothing == 0.1
    with pytest.raises(UsageError, match=r"--optim\.label-smoothing is of classes; Regression has none"):
        Regression().prepared(dataset(TARGETS), smoothing)


def test_a_metric_knows_which_way_is_better():
    more, less = Metric("accuracy"), Metric("rmse", "min", "{:.3f}")
    assert more.reaches(0.9, 0.8)
    assert less.reaches(0.8, 0.9)
    assert not less.reaches(float("nan"), 0.9)
    assert not more.reaches(float("nan"), 0.0)
    assert (more.show(0.98765), less.show(0.98765)) == ("98.77%", "0.988")


def test_a_task_that_says_nothing_is_told_what_it_must_say():
    with pytest.raises(UsageError, match=r"Task must say by sums\(outputs, batch, \*, train\)"):
        Task().sums(LOGITS, {}, train=True)
