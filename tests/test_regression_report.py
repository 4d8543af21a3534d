"""What is told of predicted numbers, against scikit-learn's metrics, and that it is drawn whatever they are."""

import numpy as np
import pytest
from sklearn import metrics

from rnnjax.tasks import Regression, regression_report
from tests.test_tasks import SPEC

RNG = np.random.default_rng(4)
TRUE = RNG.normal(50, 20, (80, 2))
PREDICTED = TRUE + RNG.normal(3, 5, (80, 2))
WEIGHTS = RNG.uniform(0, 2, 80)


def test_errors_of_each_column_are_scikit_learns():
    made = regression_report.report(TRUE, PREDICTED, WEIGHTS)
    raw = {"multioutput": "raw_values", "sample_weight": WEIGHTS}
    expected = {
        "rmse": metrics.root_mean_squared_error(TRUE, PREDICTED, **raw),
        "mae": metrics.mean_absolute_error(TRUE, PREDICTED, **raw),
        "r2": metrics.r2_score(TRUE, PREDICTED, **raw),
    }
    assert made.page is not None
    for name, values in expected.items():
        np.testing.assert_allclose([column[name] for column in made.page["columns"]], values)
    weighted = metrics.r2_score(TRUE, PREDICTED, sample_weight=WEIGHTS, multioutput="variance_weighted")
    assert made.values["r2"] == pytest.approx(weighted)
    assert [column["bias"] for column in made.page["columns"]] == pytest.approx([3, 3], abs=2)


@pytest.mark.parametrize("predicted", [PREDICTED, PREDICTED[:1], np.full((2, 1), np.nan), np.full((3, 9), 5.0)])
def test_predictions_are_drawn_whatever_they_are(predicted, tmp_path):
    true = np.ones_like(predicted)
    report = regression_report.report(true, predicted, np.ones(len(true)))
    report.figures["predictions"](tmp_path / "p.png", "test")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    assert "r2" not in report.values  # the targets do not vary


def test_where_nothing_counts_there_is_nothing_to_tell():
    kept = {"outputs": np.ones((4, 1)), "targets": np.ones(4), "weights": np.zeros(4)}
    report = Regression().report({}, kept, SPEC)
    assert not report.values and report.page is None and not report.figures
