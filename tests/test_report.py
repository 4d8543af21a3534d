"""The README's table is the one that the committed result files make, and nothing else is in it."""

import dataclasses
import json
from pathlib import Path

import pytest

import experiments
from experiments import __main__ as index
from experiments import bag_of_words, report
from rnnjax.config import from_json, identity_differences
from rnnjax.experiment import Experiment


def test_the_readme_agrees_with_the_result_files():
    text = report.README.read_text(encoding="utf-8")
    assert report.with_table(text, report.read_results()) == text, "run python -m experiments.report"


def test_a_changed_result_changes_the_table():
    results = report.read_results()
    assert results, "no result file is committed"
    results["digits_rows"][0]["metrics"]["test"]["accuracy"] -= 0.5
    text = report.README.read_text(encoding="utf-8")
    assert report.with_table(text, results) != text


def test_a_missed_target_and_a_missing_measurement_are_shown():
    experiment = experiments.load("mnist_rows")
    result = {"metrics": {"test": {"accuracy": 0.5}}}
    assert report.measured(experiment, [result]) == "50.00% (missed)"
    assert report.measured(experiment, []) == "not yet measured"


@pytest.mark.parametrize("path", sorted(report.RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_committed_results_are_of_the_experiments_as_they_are(path: Path):
    result = json.loads(path.read_text(encoding="utf-8"))
    experiment = experiments.load(result["experiment"])
    assert path.name == f"{result['experiment']}-seed-{result['seed']}.json"
    if not isinstance(experiment, Experiment):
        assert result["config"] == bag_of_words.to_json(bag_of_words.BagOfWords())
    else:
        config = from_json(result["config"])
        if config.data.name in report.COPIES:  # the one difference that is allowed, and the table shows it
            original, _ = report.COPIES[config.data.name]
            config = dataclasses.replace(config, data=dataclasses.replace(config.data, name=original))
        assert not identity_differences(config, experiment.config)
    assert result["commit"] is not None
    assert "+changes" not in result["commit"], "a result must come from a commit"


@pytest.mark.parametrize("experiment", experiments.every(), ids=lambda experiment: experiment.name)
def test_every_experiment_says_what_it_is(experiment):
    assert isinstance(experiment, Experiment) or experiment.name == "bag_of_words"
    assert experiments.load(experiment.name) == experiment
    assert experiment.summary
    assert experiment.cost
    assert experiment.target is None or 0 < experiment.target.accuracy < 1


def test_a_copy_of_a_data_set_is_named_in_the_table():
    (facts,) = [r[0] for name, r in report.read_results().items() if name == "digits_rows"]
    copied = {**facts, "data": {**facts["data"], "name": "cifar10_jpeg/1.0.0"}}
    assert "| CIFAR-10 (JPEG re-encoding) |" in report.table({"cifar10_cnn_rnn": [copied]})
    assert "CIFAR-10 (JPEG" not in report.table({"digits_rows": [facts]})


def test_an_experiment_without_a_target_neither_reaches_nor_misses_it():
    experiment = experiments.load("image_folder")
    assert report.measured(experiment, [{"metrics": {"test": {"accuracy": 0.5}}}]) == "50.00%"
    assert "works on any" in experiment.aim


def test_the_index_lists_every_experiment(capsys):
    assert index.main([]) == 0
    shown = capsys.readouterr().out
    for experiment in experiments.every():
        assert f"{experiment.command}\n" in shown
    assert "python -m experiments.mnist_cnn_rnn --variant cnn\n" in shown


def test_collect_refuses_a_folder_without_a_result(tmp_path, capsys):
    assert report.main((tmp_path,)) == 1
    assert "no finished run" in capsys.readouterr().err
