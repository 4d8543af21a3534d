"""The README's table is the one that the committed result files make, and nothing else is in it."""

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
    if isinstance(experiment, Experiment):
        assert not identity_differences(from_json(result["config"]), experiment.config)
    else:
        assert result["config"] == bag_of_words.to_json(bag_of_words.BagOfWords())
    assert result["commit"] is not None
    assert "+changes" not in result["commit"], "a result must come from a commit"


@pytest.mark.parametrize("name", experiments.NAMES)
def test_every_experiment_says_what_it_is(name):
    experiment = experiments.load(name)
    assert isinstance(experiment, Experiment) or name == "bag_of_words"
    assert experiment.name == name
    assert experiment.summary
    assert experiment.cost
    if name == "text_table":
        assert experiment.target is None, "it is for data that only its user knows"
    else:
        assert 0 < experiment.target.accuracy < 1


def test_the_index_lists_every_experiment(capsys):
    assert index.main([]) == 0
    shown = capsys.readouterr().out
    for name in experiments.NAMES:
        assert f"python -m experiments.{name}" in shown


def test_collect_refuses_a_folder_without_a_result(tmp_path, capsys):
    assert report.main((tmp_path,)) == 1
    assert "no finished run" in capsys.readouterr().err
