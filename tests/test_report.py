"""The tables of the pages are the ones that the committed result files make, and nothing else is in them."""

import copy
import json
import re
from pathlib import Path

import pytest

import experiments
from experiments import __main__ as index
from experiments import ladder, report, tables, trials
from experiments.benchmarks import markdown
from experiments.blend import Blended
from experiments.word_counts import WordCounts
from rnnjax.errors import DataError
from rnnjax.experiment import Experiment

RESULTS = tables.read_results()
TRIED = trials.read(report.TRIALS)


@pytest.mark.parametrize("page", report.PAGES, ids=lambda page: page.parent.name)
def test_a_page_agrees_with_the_result_files(page):
    text = page.read_text(encoding="utf-8")
    assert report.made_anew(text, report.sections(RESULTS, TRIED)[page]) == text, "run python -m experiments.report"


def test_check_names_every_page_that_differs_and_changes_none(monkeypatch, capsys):
    assert report.main(check=True) == 0
    results = copy.deepcopy(RESULTS)
    results["digits_rows"][0]["metrics"]["test"]["accuracy"] -= 0.5
    monkeypatch.setattr(tables, "read_results", lambda *_: results)
    before = [page.read_text(encoding="utf-8") for page in report.PAGES]
    assert report.main(check=True) == 1
    said = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in said] == ["README.md", "experiments/README.md"]
    assert [page.read_text(encoding="utf-8") for page in report.PAGES] == before


@pytest.mark.parametrize("text", ["", "{begin}", "{end} {begin}", "{begin} {end} {begin} {end}"])
def test_marks_that_are_not_there_once_are_named(text):
    marks = {"begin": "<!-- results: made by python -m experiments.report -->", "end": "<!-- end of results -->"}
    with pytest.raises(DataError, match="needs one line <!-- results"):
        report.made_anew(text.format(**marks), {"results": "made"})


def test_what_stands_around_the_marks_is_kept():
    begin, end = "<!-- results: made by python -m experiments.report -->", "<!-- end of results -->"
    made = report.made_anew(f"before {begin}\nold\n{end} after", {"results": "new"})
    assert made == f"before {begin}\nnew\n{end} after"


def test_the_sentence_of_ratios_has_those_that_missed_their_goal():
    said = markdown.short(page=report.README)
    layers = json.loads((report.RESULTS / "benchmarks" / "layers-cpu.json").read_text(encoding="utf-8"))
    training = json.loads((report.RESULTS / "benchmarks" / "training-cpu.json").read_text(encoding="utf-8"))
    ratios = {goal["what"]: f"{goal['measured']:.2f}" for goal in layers["goals"] + training["goals"]}
    for peer, title in (("flax", "Flax"), ("keras", "Keras"), ("torch", "PyTorch")):
        ratio = ratios[f"LSTM, 1 device: time / {peer}'s"]
        assert f"{ratio} × {title}'s" in said
    for goal in layers["goals"]:
        if goal["goal"] is not None and "peer" in goal["what"]:
            assert f"{goal['what'].partition(':')[0]}: {ratios[goal['what']]} × the fastest peer's" in said
    for peer, title in (("keras", "Keras"), ("torch", "PyTorch")):
        assert f"{ratios[f'geometric mean of 3 tasks: examples/s, rnnjax / {peer}']} × {title}" in said
    assert "(experiments/results/benchmarks/training-cpu.png)" in said


def _rows(table):
    return [[cell.replace("](experiments/", "](") for cell in line.split(" | ")] for line in table.splitlines()[2:]]


def test_the_short_table_has_rows_of_the_full_one_without_variants_and_beginnings():
    short, full = _rows(tables.short(RESULTS)), {row[0]: row for row in _rows(tables.full(RESULTS))}
    assert len(short) > 8
    for ours in short:
        theirs = full[ours[0]]
        assert ours[:3] == theirs[:3] and "not yet measured" not in ours[3]
        copied = "CIFAR-10 (JPEG re-encoding)" in theirs
        assert ours[3] == theirs[3].partition(";")[0] + " on CIFAR-10 (JPEG re-encoding)" * copied
        assert "-" not in ours[0].partition("](")[0] and "imdb_regions" not in ours[0]


def test_the_short_table_has_the_best_of_each_data_set_by_each_metric():
    names = [row[0].partition("`](")[0].rpartition("`")[2] for row in _rows(tables.short(RESULTS))]
    assert {"digits_rows", "imdb_together", "imdb_language_model", "shakespeare_chars", "addition"} <= set(names)
    mnist = {name: tables.mean(experiments.load(name), RESULTS[name]) for name in RESULTS if name.startswith("mnist_")
             and "-" not in name and RESULTS[name][0]["data"]["name"].startswith("mnist/")}  # fmt: skip
    assert [name for name in names if name in mnist] == [max(mnist, key=mnist.__getitem__)]
    shuffled = dict(sorted(RESULTS.items(), reverse=True))
    assert tables.short(shuffled) == tables.short(RESULTS)


def test_bag_of_words_with_other_settings_is_a_trial():
    (own,) = RESULTS["bag_of_words"]
    other = {**own, "config": {**own["config"], "max_ngram": 2}}
    assert trials.differences(own) == []
    assert trials.differences(other) == [f"max_ngram: 2, not {own['config']['max_ngram']}"]
    assert trials.file_name(own) != trials.file_name(other)


def test_where_the_data_lay_and_whether_it_was_tested_makes_no_other_trial():
    own = RESULTS["digits_rows"][0]
    elsewhere = copy.deepcopy(own)
    elsewhere["config"]["data"]["data_dir"] = "tfds"
    elsewhere["config"]["train"]["test"] = False
    longer = copy.deepcopy(own)
    longer["config"]["train"]["epochs"] += 1
    assert trials.file_name(elsewhere) == trials.file_name(own) != trials.file_name(longer)


def test_a_run_from_other_weights_is_in_no_table(tmp_path, capsys):
    (tmp_path / "result.json").write_text(json.dumps({**RESULTS["digits_rows"][0], "init_from": {}}))
    assert report.main((tmp_path,)) == 2
    assert "began from the weights of another run" in capsys.readouterr().err


def test_private_data_and_checks_that_would_write_are_refused(tmp_path, capsys):
    own = {**RESULTS["digits_rows"][0], "experiment": "text_table"}
    (tmp_path / "result.json").write_text(json.dumps(own))
    before = report.README.read_text(encoding="utf-8")
    assert report.main((tmp_path,)) == 2
    assert "data of your own" in capsys.readouterr().err
    assert report.main((tmp_path,), check=True) == 2
    assert "takes no work folders" in capsys.readouterr().err
    assert report.README.read_text(encoding="utf-8") == before
    assert not list(report.TRIALS.glob("text_table*"))


def test_what_is_no_result_of_an_experiment_here_is_refused_in_a_sentence(tmp_path, capsys):
    for content, said in (
        ('{"experiment": "films", "seed": 0}', "is a run of 'films', which is no experiment here; add its file"),
        ("{", "result.json"),
        ('{"experiment": "digits_rows"}', "not a result: seed is missing; train it again"),
    ):
        (tmp_path / "result.json").write_text(content)
        assert report.main((tmp_path,)) in (1, 2)
        assert said in capsys.readouterr().err


def test_a_run_of_an_experiment_on_another_text_is_not_taken_for_one_on_its_own(tmp_path, capsys):
    other = copy.deepcopy(RESULTS["shakespeare_chars"][0])
    other["config"]["data"]["path"], other["data"]["name"] = "novel.txt", "novel.txt"
    other["data"]["test"] -= 1
    assert not trials.is_trial(other)  # a path is no setting
    (tmp_path / "result.json").write_text(json.dumps(other))
    before = (report.RESULTS / "shakespeare_chars-seed-0.json").read_bytes()
    assert report.main((tmp_path,)) == 2
    assert "examples of novel.txt; the tables of shakespeare_chars are of" in capsys.readouterr().err
    assert (report.RESULTS / "shakespeare_chars-seed-0.json").read_bytes() == before


def test_a_changed_result_changes_the_table():
    results = tables.read_results()
    assert results, "no result file is committed"
    results["digits_rows"][0]["metrics"]["test"]["accuracy"] -= 0.5
    for make in (tables.short, tables.full):
        assert make(results) != make(RESULTS)


def test_a_missed_target_and_a_missing_measurement_are_shown():
    experiment = experiments.load("mnist_rows")
    result = {"metrics": {"test": {"accuracy": 0.5}}}
    assert tables.measured(experiment, [result]) == "50.00% (missed)"
    assert tables.measured(experiment, []) == "not yet measured"


def test_what_is_trained_to_be_compared_reaches_and_misses_nothing():
    """It would be called a failure of its own otherwise, where it shows what another model is good for."""
    pooled = experiments.load("cifar10_cnn_rnn-fast_pooled")
    result = {"metrics": {"test": {"accuracy": 0.5}}}
    assert tables.measured(pooled, [result]) == "50.00%"
    assert pooled.reached(0.5) is pooled.reached(1.0) is None
    assert pooled.aim.startswith("beside 91.5% test accuracy")
    assert pooled.target != experiments.load("cifar10_cnn_rnn-fast_lstm").target, "the best variant is no comparison"


def test_without_a_result_of_its_own_an_experiment_shows_its_best_variant_by_name():
    def of(value):
        return [{"metrics": {"test": {"accuracy": value}}}]

    reader = experiments.load("imdb_pretrained")
    found = {"imdb_pretrained-regions": of(0.91), "imdb_pretrained-regions-tuned": of(0.92)}
    assert tables.standing(reader, found) == ("92.00% (variant regions-tuned)", of(0.92))
    assert tables.standing(reader, found | {"imdb_pretrained": of(0.9)}) == ("90.00% (missed)", of(0.9))
    assert tables.standing(reader, {}) == ("not yet measured", [])
    # A variant that aims at something else stands for itself.
    assert tables.standing(experiments.load("bag_of_words"), {"bag_of_words-nb": of(0.92)})[0] == "not yet measured"


def test_the_list_and_the_first_page_show_the_same(capsys):
    wanted, found = tables.standing(experiments.load("imdb_pretrained"), RESULTS)
    assert "(variant " in wanted and found
    assert index.main([]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  imdb_pretrained ")]
    assert wanted in line
    worse = {name: of for name, of in RESULTS.items() if name not in ("imdb_together", "imdb_self_trained")}
    (row,) = [line for line in tables.short(worse).splitlines() if "`imdb_pretrained`" in line]
    assert row.endswith(f"| {wanted} | {len(found)} |")


def test_what_was_measured_says_its_time_and_the_rest_what_it_costs(capsys):
    assert index.main(["digits_rows", "addition"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"  cost      \d:\d\d min on 1 × cpu \(.*\), the fastest of 3 seeds\n", out)
    assert f"  cost      {experiments.load('addition').cost}\n" in out
    assert not any("time is" in experiment.cost for experiment in experiments.every())


def test_the_ladder_has_the_rungs_of_its_section_in_their_order():
    section = report.EXPERIMENTS.read_text(encoding="utf-8").partition("## The ladder on film reviews")[2]
    places = []
    for name in ladder.RUNGS:
        module, _, variant = name.partition("-")
        command = f"python -m experiments.{module}" + (f" --variant {variant}" if variant else "")
        places.append(section.index(command + " " if not variant else command))
    assert places == sorted(places)
    made = ladder.table(RESULTS).splitlines()[2:]
    assert [line.split("`")[1] for line in made] == list(ladder.RUNGS)
    assert [line.split("`")[1] for line in made if line.startswith("| **")] == ["imdb_together"]
    assert all(
        ("not yet measured" in line) == (name not in RESULTS) for name, line in zip(ladder.RUNGS, made, strict=True)
    )


@pytest.mark.parametrize("path", sorted(report.RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_committed_results_are_of_the_experiments_as_they_are(path: Path):
    result = json.loads(path.read_text(encoding="utf-8"))
    assert path.name == f"{result['experiment']}-seed-{result['seed']}.json"
    assert not trials.is_trial(result)
    assert "+changes" not in result["commit"], "a result must come from a commit"


@pytest.mark.parametrize("path", sorted(report.TRIALS.glob("*.json")), ids=lambda path: path.stem)
def test_committed_trials_are_of_other_settings(path: Path):
    result = json.loads(path.read_text(encoding="utf-8"))
    assert trials.is_trial(result)
    assert path.name == trials.file_name(result)
    assert "+changes" not in result["commit"], "a result must come from a commit"


def test_a_run_of_other_settings_is_collected_as_a_trial(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(report, "RESULTS", tmp_path / "committed")
    monkeypatch.setattr(report, "TRIALS", tmp_path / "committed" / "trials")
    monkeypatch.setattr(report, "ROOT", tmp_path)
    (tmp_path / "committed").mkdir()
    own = next(r[0] for name, r in RESULTS.items() if name == "digits_rows")
    other = copy.deepcopy(own)
    other["config"]["train"]["epochs"] += 1
    untested = copy.deepcopy(own)
    untested["metrics"]["test"] = None
    for number, result in enumerate((own, other, untested)):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "result.json").write_text(json.dumps(result))
        report.collect((tmp_path / str(number),))
    assert [path.name for path in (tmp_path / "committed").glob("*.json")] == ["digits_rows-seed-0.json"]
    tried = trials.read(tmp_path / "committed" / "trials")
    assert len(tried["digits_rows"]) == 2
    shown = trials.table(tried, {"digits_rows": [own]}).splitlines()[2:]
    assert len(shown) == 3
    epochs = own["config"]["train"]["epochs"]
    assert sum(f"| train.epochs: {epochs + 1}, not {epochs} |" in line for line in shown) == 1
    assert sum("| none |" in line for line in shown) == 2
    assert capsys.readouterr().out.count("->") == 3


def test_seeds_of_the_same_settings_are_one_row_with_their_mean_and_spread():
    own = RESULTS["digits_rows"][0]
    tried = []
    for seed, epochs, validation in ((1, 7, 0.98), (0, 7, 0.96), (0, 9, 0.95), (2, 7, 0.97)):
        result = copy.deepcopy(own)
        result["config"]["train"]["epochs"] += epochs
        result |= {"seed": seed, "best_epoch": 10 + seed, "epochs": 40}
        result["metrics"] = {"validation": {"accuracy": validation}, "test": None}
        tried.append(result)
    one, three, now = trials.table({"digits_rows": tried}, {"digits_rows": [own]}).splitlines()[2:]
    assert "| 95.00% | not looked at | 0 | 10 of 40 |" in one
    assert "| 97.00% ± 1.00% | not looked at | 0, 1, 2 | 10, 11, 12 of 40 |" in three
    assert "| none |" in now


@pytest.mark.parametrize("experiment", experiments.every(), ids=lambda experiment: experiment.name)
def test_every_experiment_says_what_it_is(experiment):
    assert isinstance(experiment, Experiment | WordCounts | Blended)
    assert experiments.load(experiment.name) == experiment
    assert experiment.summary
    assert experiment.cost
    assert experiment.target is None or experiment.target.value > 0
    if experiment.target is not None and experiment.task.headline.shown.endswith("%}"):
        assert experiment.target.value < 1


def test_a_copy_of_a_data_set_is_named_in_the_table():
    (facts,) = [r[0] for name, r in tables.read_results().items() if name == "digits_rows"]
    copied = {**facts, "data": {**facts["data"], "name": "cifar10_jpeg/1.0.0"}}
    assert "| CIFAR-10 (JPEG re-encoding) |" in tables.full({"cifar10_cnn_rnn": [copied]})
    assert "CIFAR-10 (JPEG" not in tables.full({"digits_rows": [facts]})


def test_an_experiment_without_a_target_neither_reaches_nor_misses_it():
    experiment = experiments.load("image_folder")
    assert tables.measured(experiment, [{"metrics": {"test": {"accuracy": 0.5}}}]) == "50.00%"
    assert "works on any" in experiment.aim


def test_the_index_shows_every_experiment_by_its_name(capsys):
    assert index.main(list(experiments.NAMES)) == 0
    shown = capsys.readouterr().out
    for experiment in experiments.every():
        assert f"{experiment.command}\n" in shown
    assert "python -m experiments.mnist_cnn_rnn --variant cnn\n" in shown


def test_collect_refuses_a_folder_without_a_result(tmp_path, capsys):
    assert report.main((tmp_path,)) == 1
    assert "no finished run" in capsys.readouterr().err
