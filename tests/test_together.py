"""Finished classifiers together, what they write of unlabelled documents, and training on that."""

import csv
import dataclasses
import json
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import rnnjax
from experiments import bag_of_words, blend, pairs, trials
from experiments.benchmarks.prepared_tfds import write_texts
from experiments.blend_commands import parse
from experiments.imdb_together import EXPERIMENT
from experiments.word_counts import BagOfWords
from rnnjax import OptimConfig, TextModel, TrainConfig, cli, data
from rnnjax.data.documents import SelfTrainingText, TextData
from rnnjax.data.labelled_by_models import read_labels
from rnnjax.errors import DataError, UsageError
from tests.test_pretrained import texts

RNG = np.random.default_rng(8)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Prepared texts, a bag of words and a network that were trained on them."""
    home = tmp_path_factory.mktemp("together")
    splits = {"train": texts(80, 0), "unsupervised": texts(60, 1), "test": texts(40, 2)}
    write_texts(home / "tfds", "notes", 2, splits)
    config = BagOfWords(data="notes", c=(1.0,))
    bag_of_words.train(bag_of_words.EXPERIMENT, config, home / "bag", str(home / "tfds"), fresh=False)
    rnnjax.fit(network(home), workdir=home / "network")
    return home


def section(home, kind=TextData, **more):
    places = {"data_dir": str(home / "tfds"), "cache_dir": str(home / "cache")}
    return kind(name="notes", batch_size=8, bucket_lengths=(8,), **places, **more)


def network(home, **parts):
    return rnnjax.Experiment(
        name="imdb_lstm",
        model=TextModel(features=(4,), embedding_features=4),
        optim=OptimConfig(learning_rate=1e-2),
        train=TrainConfig(epochs=1, steps_per_call=8),
        **{"data": section(home), **parts},
    )


def labels_file(folder, rows):
    lines = [",".join(map(str, row)) for row in [("row", "label", "weight"), *rows]]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "labels.csv"


def test_the_weights_have_the_least_cross_entropy():
    labels = RNG.integers(0, 2, 400)
    margins = np.stack([RNG.normal(2 * labels - 1, spread) for spread in (1.0, 2.0)])
    scores = np.log(blend.softmax(np.stack([-margins / 2, margins / 2], -1)))
    found = blend.Scored(scores, labels).weights()
    theirs = LogisticRegression(C=1e9, fit_intercept=False, tol=1e-9).fit(margins.T, labels).coef_[0]
    np.testing.assert_allclose(found, theirs, rtol=1e-3)


def test_a_member_that_misleads_has_no_weight():
    labels = RNG.integers(0, 3, 300)
    sure = np.log(blend.softmax(RNG.normal(size=(300, 3)) + 3 * np.eye(3)[labels]))
    wrong = np.log(blend.softmax(-3 * np.eye(3)[labels] + 0.1 * RNG.normal(size=(300, 3))))
    found = blend.Scored(np.stack([sure, wrong]), labels).weights()
    assert found[1] == 0
    assert found[0] > 0


def test_a_difference_is_told_with_its_interval_and_test():
    ours, theirs = (
        np.repeat([True, True, False, False], [70, 20, 5, 5]),
        np.repeat([True, False, True, False], [70, 20, 5, 5]),
    )
    said = blend.difference("a", ours, "b", theirs)
    assert (said["one"], said["other"], said["difference"]) == ("a", "b", pytest.approx(0.15))
    assert said["interval"][0] < 0.15 < said["interval"][1]
    assert said["p"] == pytest.approx(2 * 68406 / 2**25)  # 25 differ; 5 and fewer of them: a sum of binomials


def test_several_seeds_are_compared_as_their_mean_and_by_the_bootstrap():
    labels = RNG.integers(0, 2, 400)
    section, scorer = TextData(name="imdb_reviews"), cast("blend.Scorer", None)
    members = [
        blend.Member(name, seed, section, ("no", "yes"), scorer)
        for name, seed in (("bag", 0), ("network", 0), ("network", 1))
    ]
    rights = RNG.random((3, 400)) < np.array([[0.6], [0.8], [0.9]])
    scores = np.where(np.eye(2, dtype=bool)[labels] == rights[..., None], -0.1, -3.0)
    seen = blend.Scored(scores, labels)
    found = {(of["one"], of["other"]): of for of in blend.described(members, np.ones(3), seen, seen)["compared"]}
    assert list(found) == [
        ("network, seed 0", "bag, seed 0"),
        ("network, seed 1", "bag, seed 0"),
        ("together", "bag, seed 0"),
        ("network, mean of 2 seeds", "bag, seed 0"),
        ("together", "network, seed 0"),
        ("together", "network, seed 1"),
    ]
    mean = found["network, mean of 2 seeds", "bag, seed 0"]
    differences = rights[1:].mean(0) - rights[0]
    assert mean["difference"] == pytest.approx(differences.mean())
    half = 1.96 * differences.std() / 20
    assert mean["interval"] == pytest.approx([differences.mean() - half, differences.mean() + half], abs=0.01)
    assert mean["p"] < 0.01


@pytest.mark.slow
def test_finished_runs_are_weighed_label_what_has_no_labels_and_are_learnt_from(home, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TFDS_DATA_DIR", str(home / "tfds"))
    root = tmp_path / "both"
    members = [str(home / "bag"), str(home / "network")]
    assert cli.run(partial(parse, EXPERIMENT), ["train", *members, "--workdir", str(root)]) == 0
    shown, result = capsys.readouterr().out, json.loads((root / "result.json").read_text())
    alone = {name: json.loads((home / name / "result.json").read_text())["metrics"] for name in ("bag", "network")}
    for member, name in zip(result["members"], alone, strict=True):
        for split in ("validation", "test"):
            assert member[split]["accuracy"] == pytest.approx(alone[name][split]["accuracy"], abs=1e-6)
            assert member[split]["loss"] == pytest.approx(alone[name][split]["loss"], rel=1e-3)
    assert result["metrics"]["validation"]["loss"] <= min(of["validation"]["loss"] for of in result["members"])
    assert [len(result["compared"]), result["experiment"], result["seed"]] == [3, "imdb_together", 0]
    assert "together against bag_of_words, seed 0" in shown
    assert cli.run(partial(parse, EXPERIMENT), ["evaluate", "--workdir", str(root)]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["accuracy"] == pytest.approx(result["metrics"]["validation"]["accuracy"])
    document = texts(40, 2)[0][0]
    (tmp_path / "broken.txt").write_bytes(b"\xff\xfe\xff")
    asked = ["predict", str(tmp_path / "broken.txt"), "--workdir", str(root), "--json-lines", "--text", document]
    assert cli.run(partial(parse, EXPERIMENT), asked) == 1, "one could not be read"
    answered, unread = map(json.loads, capsys.readouterr().out.splitlines())
    scores = np.stack([blend.member(Path(folder)).log_probabilities([document])[0] for folder in members])
    together = blend.softmax(np.tensordot([of["weight"] for of in result["members"]], scores, 1))
    assert answered["label"] == str(together.argmax())
    assert answered["probability"] == pytest.approx(together.max(), rel=1e-5)
    assert "error" in unread
    assert trials.differences(result) == [
        "members: bag_of_words and imdb_lstm, not bag_of_words-nb and imdb_pretrained-regions-tuned"
    ]

    nowhere = ["label", "--workdir", str(root), "--to", str(tmp_path / "none" / "labels.csv")]
    assert cli.run(partial(parse, EXPERIMENT), nowhere) == 2
    assert "there is no folder" in capsys.readouterr().err
    assert cli.run(partial(parse, EXPERIMENT), ["label", "--workdir", str(root)]) == 0
    with (root / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    true = [label for _, label in texts(60, 1)]
    assert [int(row["row"]) for row in rows] == list(range(60))
    right = np.mean([int(row["label"]) == label for row, label in zip(rows, true, strict=True)])
    assert right > 0.9, "a word tells the class"
    assert all(0 <= float(row["weight"]) <= 1 for row in rows)

    section_of = section(home, SelfTrainingText, labels_path=str(root / "labels.csv"))
    learnt = rnnjax.fit(network(home, data=section_of, bars=True), workdir=tmp_path / "student")
    said = json.loads((tmp_path / "student" / "result.json").read_text())
    assert said["data"]["train"] == 72 + sum(float(row["weight"]) > 0 for row in rows)
    assert {row["name"] for row in said["bars"]["rows"]} == {"majority class", "n-grams", "network"}
    assert learnt.metrics["test"] is not None


def test_what_models_labelled_weighs_as_they_say_and_is_in_training_alone(home, tmp_path):
    path = labels_file(tmp_path, [(3, "1", 0.25), (0, "0", 1), (7, "1", 0)])
    plain, made = data.load(section(home)), data.load(section(home, SelfTrainingText, labels_path=str(path)))
    count = len(plain.train)
    assert len(made.train) == count + 2, "a weight of 0 is left out"
    np.testing.assert_array_equal(made.train["weights"], [*[1] * count, 0.25, 1])
    np.testing.assert_array_equal(made.train["labels"][count:], [1, 0])
    preprocess = plain.preprocess
    theirs = preprocess.encode([texts(60, 1)[row][0] for row in (3, 0)])
    np.testing.assert_array_equal(made.train["inputs"][count:], theirs["inputs"])
    np.testing.assert_array_equal(made.train.lengths[count:], theirs["lengths"])
    for split in ("validation", "test"):
        np.testing.assert_array_equal(made.split(split)["inputs"], plain.split(split)["inputs"])
        np.testing.assert_array_equal(made.split(split)["weights"], 1)
    assert "2 of 3 documents of unsupervised" in made.understood[-1]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([(0, "2", 1)], "'2' is no class; they are 0, 1"),
        ([(60, "1", 1)], "labels row 60 of unsupervised, which has 60 documents"),
        ([(0, "1", 1), (0, "0", 1)], "different whole numbers"),
        ([(0.5, "1", 1)], "different whole numbers"),
        ([(0, "1", 1.5)], "from 0 to 1"),
        ([(0, "1", 0)], "not all 0"),
        ([(0, "1", "much")], "'much' in the column weight is no number"),
        ([], "no"),
    ],
)
def test_labels_that_fit_nothing_are_refused_in_one_sentence(home, tmp_path, rows, said):
    path = labels_file(tmp_path, rows)
    with pytest.raises(DataError, match=said) as raised:
        data.load(section(home, SelfTrainingText, labels_path=str(path)))
    assert "\n" not in str(raised.value)


def test_documents_without_labels_count_as_nothing(home):
    plain, made = data.load(section(home)), data.load(section(home, SelfTrainingText, without_labels=True))
    assert len(made.train) == len(plain.train) + 60
    np.testing.assert_array_equal(made.train["weights"], [*[1] * len(plain.train), *[0] * 60])
    assert "60 documents of unsupervised have no label" in made.understood[-1]


@pytest.mark.slow
def test_documents_without_labels_teach_by_the_answers_to_them(home, tmp_path):
    """Finite losses, and another classifier than without them."""
    optim = OptimConfig(adversarial=0.02, adversarial_by="answers")
    beside = section(home, SelfTrainingText, without_labels=True)
    ours, without = (
        rnnjax.fit(dataclasses.replace(network(home, data=data), optim=optim), workdir=tmp_path / name)
        for name, data in (("beside", beside), ("without", section(home)))
    )
    losses = [made.metrics["validation"]["loss"] for made in (ours, without)]
    assert np.isfinite(losses).all()
    assert losses[0] != losses[1]


def test_a_file_of_labels_is_needed_and_needs_its_columns(home, tmp_path):
    with pytest.raises(UsageError, match=r"--data\.labels-path"):
        data.load(section(home, SelfTrainingText))
    with pytest.raises(UsageError, match="either --data"):
        data.load(section(home, SelfTrainingText, labels_path="some.csv", without_labels=True))
    (tmp_path / "other.csv").write_text("row,class,weight\n0,1,1\n", encoding="utf-8")
    with pytest.raises(DataError, match="no column 'label'"):
        read_labels(tmp_path / "other.csv", ("0", "1"))


def test_members_must_have_been_validated_on_the_same_documents(home):
    one = blend.member(home / "bag")
    other = one._replace(section=dataclasses.replace(one.section, validation_by="names"))
    with pytest.raises(UsageError, match="validation_by is 'rows' and 'names'"):
        blend.shared([one, other])
    with pytest.raises(UsageError, match="holds no finished run"):
        blend.member(home)


def test_the_table_of_pairs_has_each_once():
    def result(weight, *pairs):
        members = [{"experiment": name, "seed": 0, "weight": weight} for name in ("a", "b")]
        return {"members": members, "compared": list(pairs)}

    def pair(one, other, points, p):
        return {"one": one, "other": other, "difference": points / 100, "interval": [0.001, 0.01], "p": p}

    first = result(1.0, pair("b, seed 0", "a, seed 0", 0.5, 0.04), pair("together", "a, seed 0", 1, 1e-5))
    again = result(0.5, pair("b, seed 0", "a, seed 0", 0.5, 0.04))
    assert pairs.table({"imdb_together": [first]}, {"imdb_together": [again]}).splitlines()[2:] == [
        "| b, seed 0 | against a, seed 0 | +0.50 | +0.10 to +1.00 | 0.04 |",
        "| a, seed 0 and b, seed 0 together | against a, seed 0 | +1.00 | +0.10 to +1.00 | < 0.001 |",
    ]
    assert pairs.table({}, {}) == "Not yet measured."
