"""Whether the end of a run on data of one's own tells to train longer, and how."""

import pytest

from rnnjax.own import FORECASTS, TEXTS
from rnnjax.runs import announce


def ended(metric, value, best, epochs, **others):
    return {"metrics": {"validation": {metric: value}}, "best_epoch": best, "epochs": epochs, **others}


def test_a_run_that_was_best_in_its_last_epoch_is_told_how_to_go_on():
    (line,) = announce._longer_line(FORECASTS, ended("mse", 0.6, 20, 20), "python -m rnnjax forecast a.csv")
    assert line.startswith("  python -m rnnjax forecast a.csv --train.epochs 60 --fresh   # validation was best in the")
    (line,) = announce._longer_line(FORECASTS, ended("mse", 0.6, 4, 4), "rnnjax --train.epochs 4 --data.horizon 2")
    assert line.startswith("  rnnjax --data.horizon 2 --train.epochs 12 --fresh   #")


@pytest.mark.parametrize(
    ("experiment", "result"),
    [
        (FORECASTS, ended("mse", 0.6, 19, 20)),
        (TEXTS, ended("accuracy", 1.0, 3, 3)),
        (TEXTS, ended("accuracy", 0.9, 3, 3, until={"reached": True})),
    ],
)
def test_a_run_that_would_gain_nothing_is_not(experiment, result):
    assert announce._longer_line(experiment, result, "again") == []
