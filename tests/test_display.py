"""What a training shows while it runs: compiling is named, no time left is guessed, several seeds fit on a screen."""

import json

import numpy as np
import pytest

from experiments.digits_rows import EXPERIMENT as DIGITS
from rnnjax.runs import seeds
from rnnjax.runs.display import display
from rnnjax.tasks import Classification
from rnnjax.tasks.base import figure
from rnnjax.training.estimate import Estimate

METRICS = {"loss": 0.5, "accuracy": 0.9}


class Time:
    """A clock that stands still until it is set."""

    now = 0.0

    def __call__(self):
        return self.now


def row(epoch):
    values = {f"{split}_{name}": value for split in ("train", "validation") for name, value in METRICS.items()}
    return {"epoch": epoch, **values, "examples_per_second": 100.0}


def test_the_time_left_is_that_of_the_steps_behind_compiling_and_then_of_whole_epochs():
    time = Time()
    estimate = Estimate(time)
    assert estimate.left(10) is None, "nothing is known"
    time.now = 3.0
    estimate.took(4, timed=False)
    assert estimate.left(10) is None, "the first call says nothing of those that follow"
    time.now = 5.0
    estimate.took(4, timed=True)
    assert estimate.left(10) == pytest.approx(5.0), "4 steps took 2 s"
    time.now = 9.0  # validated
    estimate.epoch_done()
    assert estimate.left(4) == pytest.approx(9.0), "all 9 s of the first epoch are of the 4 steps that were timed"
    for now in (10.0, 11.0):
        time.now = now
        estimate.took(4, timed=True)
    time.now = 12.0
    estimate.epoch_done()
    assert estimate.left(16) == pytest.approx(6.0), "an epoch of 8 steps in which nothing was compiled took 3 s"


def test_what_is_no_step_is_not_counted_as_one():
    time = Time()
    estimate = Estimate(time)
    time.now = 100.0
    estimate.skip()
    time.now = 101.0
    estimate.took(1, timed=True)
    assert estimate.left(5) == pytest.approx(5.0)


def test_a_log_names_compiling_once_and_leaves_out_what_is_not_known(capsys, monkeypatch):
    monkeypatch.setattr("rnnjax.runs.display._LINE_SECONDS", -1.0)
    shown = display(2, 4, Classification.headline, may_end_early=True)
    shown.compiling("the training step")
    shown.compiling("the training step for length 12")
    shown.update(1, METRICS, None, None)
    shown.update(2, METRICS, 123.4, 61.0)
    shown.epoch(row(1), 5.0)
    shown.epoch(row(2), 0.0)
    assert capsys.readouterr().out.splitlines() == [
        "compiling the training step ...",
        "step 1/8  train loss 0.5000 accuracy 90.00%",
        "step 2/8  train loss 0.5000 accuracy 90.00%  123 examples/s  left at most 1:01",
        "epoch 1/2  train loss 0.5000 accuracy 90.00%  validation loss 0.5000 accuracy 90.00%  100 examples/s"
        "  left at most 0:05",
        "epoch 2/2  train loss 0.5000 accuracy 90.00%  validation loss 0.5000 accuracy 90.00%  100 examples/s",
    ]


def test_of_several_seeds_a_line_is_shown_in_each_part_of_the_training(capsys):
    for place, expected in ((0, [3, 6, 9, 12, 15, 18, 21, 24, 27, 30]), (2, [6, 12, 18, 24, 30])):
        shown = display(30, 4, Classification.headline, parts=seeds.parts(3, place))
        for epoch in range(1, 31):
            shown.epoch(row(epoch), 1.0)
        assert [int(line.split("/")[0].split()[1]) for line in capsys.readouterr().out.splitlines()] == expected
    shown = display(4, 4, Classification.headline, parts=10)  # more parts than epochs, and validation within an epoch
    for epoch in (0.05, 1, 2, 3, 4):
        shown.epoch(row(epoch), 1.0)
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert seeds.parts(1, 0) == 0


def result(seed, test):
    return {
        "seed": seed,
        "metrics": {"test": test and {"accuracy": test}, "validation": {"accuracy": 0.9 + seed / 100}},
        "best_epoch": 20 + seed,
        "epochs": 30,
        "seconds": {"wall": 60.0 * (1 + seed)},
    }


def test_the_table_of_seeds_ends_with_mean_and_standard_error():
    tests = [0.90, 0.92, 0.97]
    lines = seeds.table(DIGITS, [result(seed, test) for seed, test in enumerate(tests)])
    error = np.std(tests, ddof=1) / np.sqrt(3)
    assert [line.split() for line in lines] == [
        ["seed", "best", "epoch", "validation", "accuracy", "test", "accuracy", "time"],
        ["0", "20", "of", "30", "90.00%", "90.00%", "1:00"],
        ["1", "21", "of", "30", "91.00%", "92.00%", "2:00"],
        ["2", "22", "of", "30", "92.00%", "97.00%", "3:00"],
        ["mean", "91.00%", "93.00%", "2:00"],
        ["±", "standard", "error", "0.58%", f"{error:.2%}"],
    ]
    untested = seeds.table(DIGITS, [result(0, None), result(1, 0.9)])
    assert "test" not in untested[0]


def test_shares_are_written_as_accuracies_are():
    assert [figure("macro_f1", 0.6422), figure("auc", 0.9876)] == ["macro f1 64.22%", "auc 0.9876"]


@pytest.mark.slow
def test_three_seeds_of_thirty_epochs_fit_on_a_screen_and_their_logs_are_whole(tmp_path, capsys):
    from rnnjax.cli import main

    given = "--seeds 0 1 2 --model.features 4 --data.batch-size 512 --train.epochs 30 --train.no-compilation-cache"
    assert main(DIGITS, [*given.split(), "--runs-dir", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines[: lines.index("next:")]) <= 40
    logs = list(tmp_path.rglob("metrics.jsonl"))
    assert [len(log.read_text().splitlines()) for log in logs] == [30, 30, 30]
    assert all(json.loads(log.read_text().splitlines()[-1])["epoch"] == 30 for log in logs)
