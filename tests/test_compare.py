"""Intervals and paired tests against scipy, scikit-learn, formulas written out, and draws made one by one."""

import math

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from rnnjax.tasks import Classification, PerStep, Regression, compare
from rnnjax.tasks.compare import auc_of, interval, mcnemar, paired, weighted_mean, wilson

RNG = np.random.default_rng(1)


@pytest.mark.parametrize(("hits", "examples"), [(3, 4), (0, 7), (7, 7), (891, 1000), (1, 2)])
def test_wilsons_interval_is_scipys(hits, examples):
    theirs = stats.binomtest(hits, examples).proportion_ci(0.95, method="wilson")
    assert wilson(hits, examples) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_three_of_four_lie_anywhere_from_30_to_95_percent():
    assert [round(100 * end) for end in wilson(3, 4)] == [30, 95]


@pytest.mark.parametrize(("one", "other"), [(0, 0), (5, 0), (9, 2), (40, 41), (2, 12)])
def test_mcnemars_exact_p_is_the_binomial_tests(one, other):
    ours = np.array([True] * one + [False] * other + [True, False] * 10)
    theirs = np.array([False] * one + [True] * other + [True, False] * 10)
    expected = stats.binomtest(one, one + other, 0.5).pvalue if one + other else 1.0
    assert mcnemar(ours, theirs) == pytest.approx(expected)
    assert mcnemar(theirs, ours) == pytest.approx(expected)


@pytest.mark.parametrize("examples", [40, 4000])
def test_a_bootstrap_of_a_share_is_the_binomial_distributions(examples):
    """Of 40 rows, alike ones are drawn together by a multinomial; of different ones, each by itself."""
    right = np.arange(examples) < 0.8 * examples
    expected = stats.binom.ppf([0.025, 0.975], examples, 0.8) / examples
    few = interval(weighted_mean, right[:, None])
    assert few == pytest.approx(expected, abs=2 / examples)
    each = interval(lambda rows, counts: counts @ rows[:, 0] / examples, np.stack([right, np.arange(examples)], 1))
    assert each == pytest.approx(expected, abs=max(2 / examples, 0.004))


def test_a_bootstrap_interval_is_that_of_draws_made_one_by_one():
    errors = RNG.exponential(size=200)
    ours = interval(weighted_mean, errors[:, None])
    theirs = stats.bootstrap((errors,), np.mean, method="percentile", n_resamples=4000, rng=RNG).confidence_interval
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.02)
    assert interval(weighted_mean, errors[:, None]) == ours  # the seed is always the same


def test_examples_that_are_all_right_have_no_bootstrap_interval():
    assert all(map(math.isnan, interval(weighted_mean, np.ones((9, 1)))))


def test_a_paired_test_finds_what_two_intervals_do_not():
    base = RNG.exponential(size=300) * 10
    better = np.stack([base - 0.2 + RNG.normal(size=300) * 0.5, np.ones(300)], 1)
    theirs = np.stack([base, np.ones(300)], 1)
    low, high = interval(weighted_mean, theirs)
    assert low < better[:, 0].mean() < high
    assert paired(weighted_mean, better, theirs) < 0.01
    assert paired(weighted_mean, theirs, better) < 0.01
    shuffled = np.stack([base + RNG.normal(size=300), np.ones(300)], 1)
    shuffled[:, 0] += base.mean() - shuffled[:, 0].mean()
    assert paired(weighted_mean, shuffled, theirs) > 0.5


def one_by_one(statistic, rows, counts):
    """The rows written out as often as they occur."""
    return [statistic(np.repeat(rows, number.astype(int), axis=0)) for number in counts]


CELLS = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 2], [2, 0, 1], [2, 2, 3], [1, 2, 1]], float)
COUNTS = RNG.multinomial(30, np.full(6, 1 / 6), 8).astype(float)


@pytest.mark.parametrize(
    ("best", "theirs"),
    [
        ("accuracy", sk.accuracy_score),
        ("macro_f1", lambda y, p, sample_weight: sk.f1_score(y, p, average="macro", sample_weight=sample_weight)),
    ],
)
def test_figures_of_counted_rows_are_scikit_learns_of_rows_written_out(best, theirs):
    ours = Classification(best=best).statistic(CELLS, COUNTS)
    expected = one_by_one(lambda rows: theirs(rows[:, 0], rows[:, 1], sample_weight=rows[:, 2]), CELLS, COUNTS)
    np.testing.assert_allclose(ours, expected)


def test_balanced_accuracy_of_counted_rows_is_scikit_learns():
    hits, _, gold = compare.by_class(CELLS, COUNTS, 3)
    expected = one_by_one(
        lambda rows: sk.recall_score(
            rows[:, 0], rows[:, 1], labels=np.unique(rows[:, 0]), average="macro", sample_weight=rows[:, 2]
        ),
        CELLS,
        COUNTS,
    )
    np.testing.assert_allclose(compare.recall_of(hits, gold), expected)


def test_auc_of_counted_rows_is_scikit_learns_ties_and_weights_included():
    scores = np.round(RNG.normal(size=25), 1)
    rows = np.stack([RNG.integers(0, 2, 25), scores, RNG.choice([0.5, 1, 2], 25)], 1).astype(float)
    counts = RNG.multinomial(25, np.full(25, 1 / 25), 6).astype(float)
    expected = one_by_one(
        lambda drawn: sk.roc_auc_score(drawn[:, 0], drawn[:, 1], sample_weight=drawn[:, 2]), rows, counts
    )
    np.testing.assert_allclose(auc_of(rows, counts), expected)
    assert np.isnan(auc_of(rows[rows[:, 0] == 1], np.ones((1, int((rows[:, 0] == 1).sum())))))


def test_rmse_of_counted_rows_is_that_of_rows_written_out():
    rows = np.stack([RNG.exponential(size=9), np.ones(9)], 1)
    counts = RNG.multinomial(9, np.full(9, 1 / 9), 5).astype(float)
    np.testing.assert_allclose(
        Regression().statistic(rows, counts), one_by_one(lambda r: np.sqrt(r[:, 0].mean()), rows, counts)
    )


@pytest.mark.parametrize("score", ["accuracy", "macro-f1"])
def test_a_sequences_steps_are_drawn_together(score):
    labels, predicted = RNG.integers(-1, 3, (12, 5)), RNG.integers(0, 3, (12, 5))
    task, spec = PerStep(score=score), _Spec(("a", "b", "c"))
    rows = task.outcomes({"labels": labels, "predicted": predicted}, spec)
    counts = RNG.multinomial(12, np.full(12, 1 / 12), 5).astype(float)

    def theirs(number):
        chosen = np.repeat(np.arange(12), number.astype(int))
        y, p = labels[chosen], predicted[chosen]
        real = y >= 0
        return (
            sk.accuracy_score(y[real], p[real])
            if score == "accuracy"
            else sk.f1_score(y[real], p[real], average="macro")
        )

    np.testing.assert_allclose(task.statistic(rows, counts), [theirs(number) for number in counts])


class _Spec:
    def __init__(self, names):
        self.names, self.outputs = names, len(names)


def test_intervals_of_a_task_name_its_figures():
    labels = RNG.integers(0, 2, 60)
    logits = (RNG.normal(size=(60, 2)) + 2 * np.eye(2)[labels]).astype(np.float32)
    kept = {"logits": logits, "labels": labels}
    found = Classification().intervals(kept, _Spec(("no", "yes")))
    right = int((logits.argmax(-1) == labels).sum())
    assert found["accuracy"] == wilson(right, 60)
    values = {
        "macro_f1": sk.f1_score(labels, logits.argmax(-1), average="macro"),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, logits.argmax(-1)),
        "auc": sk.roc_auc_score(labels, logits[:, 1] - logits[:, 0]),
    }
    for name, value in values.items():
        low, high = found[name]
        assert 0 <= low < value < high <= 1
