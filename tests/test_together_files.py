"""What models together and word counts leave in their folders: nobody else's is written over, and all is checked."""

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnjax
from experiments import bag_of_words, blend
from experiments.benchmarks.prepared_tfds import write_texts
from experiments.blend_commands import parse
from experiments.imdb_together import EXPERIMENT
from experiments.linear import Linear
from experiments.word_counts import BagOfWords
from rnnjax import OptimConfig, TextModel, TrainConfig, cli, data
from rnnjax.data import sources
from rnnjax.data.documents import SelfTrainingText, TextData, TextTable
from rnnjax.errors import DataError, UsageError
from tests.test_pretrained import texts


def bag(home, name, where="tfds", **options):
    config = BagOfWords(data="notes", **{"c": (1.0,), **options})
    bag_of_words.train(bag_of_words.EXPERIMENT, config, home / name, str(home / where), fresh=True)


def section(home, kind=TextData, where="tfds", **more):
    places = {"data_dir": str(home / where), "cache_dir": str(home / "cache")}
    return kind(name="notes", batch_size=8, bucket_lengths=(8,), **places, **more)


def network(home, seed=0, data=None, **options):
    experiment = rnnjax.Experiment(
        name="imdb_lstm",
        data=data or section(home),
        model=TextModel(features=(4,), embedding_features=4),
        optim=OptimConfig(learning_rate=1e-2),
        train=TrainConfig(epochs=1, steps_per_call=8),
    )
    rnnjax.fit(experiment, seed=seed, **options)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two prepared sets of the same name, three finished runs on the first, and those of word counts together."""
    home = tmp_path_factory.mktemp("files")
    for where, first in (("tfds", 0), ("other", 10)):
        splits: Any = {"train": texts(80, first), "unsupervised": texts(60, first + 1), "test": texts(40, first + 2)}
        write_texts(home / where, "notes", 2, splits)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", str(home / "tfds"))
        bag(home, "bag")
        bag(home, "pairs", max_ngram=2)
        network(home, workdir=home / "network")
        assert together("train", home / "bag", home / "pairs", "--workdir", home / "both") == 0
    return home


@pytest.fixture
def home(made, tmp_path, monkeypatch):
    """A copy of all that, whose members are the copies."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(made / "tfds"))
    shutil.copytree(made, tmp_path / "home")
    rewrite(tmp_path / "home" / "both" / "members.json", str(made), str(tmp_path / "home"))
    return tmp_path / "home"


def rewrite(path, old, new):
    """Replaces words in a file, and seals it again where it was sealed."""
    values = json.loads(path.read_text().replace(old, new))
    if "digest" in values:
        values.pop("digest")
        values = rnnjax.digests.sealed(values)
    path.write_text(json.dumps(values))


def together(*arguments):
    return cli.run(partial(parse, EXPERIMENT), list(map(str, arguments)))


def words(*arguments):
    return cli.run(bag_of_words._parse, list(map(str, arguments)))


def strictly(path):
    """JSON as its standard has it: NaN is none."""
    return json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} in {path}"))


def said(capsys, *wanted):
    """The one line of stderr that is an error, which has these words."""
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    for word in wanted:
        assert str(word) in line
    return line


def kept(root):
    return {path.name: path.read_bytes() for path in root.iterdir() if path.is_file()}


# Differences.


def test_two_that_have_the_same_documents_right_differ_by_nothing():
    right = np.array([True, False, True])
    for ours in (right, right.astype(float)):
        of = blend.difference("a", ours, "b", ours)
        assert (of["difference"], of["interval"], of["p"]) == (0, [0, 0], 1)


def test_a_difference_that_is_everywhere_alike_is_its_own_interval():
    of = blend.difference("a", np.ones(3, bool), "b", np.zeros(3, bool))
    assert (of["difference"], of["interval"]) == (1, [1, 1])


def test_results_are_json_and_screens_hold_numbers(home, capsys):
    bag(home, "again")  # word for word the first
    assert together("train", home / "bag", home / "again", "--workdir", home / "alike") == 0
    assert "nan" not in capsys.readouterr().out
    assert [pair["interval"] for pair in strictly(home / "alike" / "result.json")["compared"]] == [[0, 0]] * 2


# Whose folder it is.


@pytest.mark.parametrize("name", ["bag", "network", "others"])
def test_models_together_write_into_no_folder_of_another(home, capsys, name):
    if name == "others":  # of an experiment that leaves nothing else
        (home / name).mkdir()
        (home / name / "result.json").write_text(json.dumps({"experiment": "mnist_rows", "seed": 0}))
    before = kept(home / name)
    for fresh in ((), ("--fresh",)):
        assert together("train", home / "bag", home / "pairs", "--workdir", home / name, *fresh) == 2
        said(capsys, home / name, "another --workdir")
    assert kept(home / name) == before


@pytest.mark.parametrize("name", ["both", "network", "others"])
def test_word_counts_write_into_no_folder_of_another(home, capsys, name):
    if name == "others":
        (home / name).mkdir()
        (home / name / "result.json").write_text(json.dumps({"experiment": "imdb_together", "seed": 0, "config": {}}))
    before = kept(home / name)
    for fresh in ((), ("--fresh",)):
        assert words("train", "--data", "notes", "--workdir", home / name, *fresh) == 2
        said(capsys, home / name, "another --workdir")
    assert kept(home / name) == before


def test_a_file_is_no_work_folder(home, capsys):
    (home / "file").write_text("mine")
    assert together("train", home / "bag", home / "pairs", "--workdir", home / "file") == 2
    assert words("train", "--data", "notes", "--workdir", home / "file") == 2
    assert (home / "file").read_text() == "mine"


def test_models_that_are_weighed_are_weighed_again_only_where_that_is_asked(home, capsys):
    before, both = kept(home / "both"), ("--workdir", home / "both")
    assert together("train", home / "bag", home / "pairs", *both) == 0
    assert "finished already" in capsys.readouterr().out
    assert together("train", home / "bag", home / "network", *both) == 2
    said(capsys, "other members", "--fresh")
    bag(home, "pairs", max_ngram=2, c=(0.1,))
    assert together("train", home / "bag", home / "pairs", *both) == 2
    said(capsys, home / "pairs", "--fresh")
    assert kept(home / "both") == before
    assert together("train", home / "bag", home / "network", "--fresh", *both) == 0
    assert strictly(home / "both" / "result.json")["members"][1]["experiment"] == "imdb_lstm"
    assert together("evaluate", *both) == 0


def test_a_member_is_named_once(home, capsys):
    (home / "link").symlink_to(home / "bag")
    for other in (home / "bag", home / "bag" / ".." / "bag", home / "link"):
        assert together("train", home / "bag", other, "--workdir", home / "twice") == 2
        said(capsys, home / "bag", "twice")
    assert not (home / "twice").exists()


# Whether members and documents are what they were.


def answers(home):
    """The commands that ask models together."""
    where = ("--workdir", home / "both")
    return [("evaluate", *where), ("predict", "--text", "good sun", *where), ("label", *where)]


def test_members_that_were_trained_anew_are_refused(home, capsys, monkeypatch):
    together("train", home / "bag", home / "network", "--fresh", "--workdir", home / "both")
    capsys.readouterr()
    network(home, seed=1, workdir=home / "retrained")
    shutil.rmtree(home / "network")
    shutil.move(home / "retrained", home / "network")
    monkeypatch.setattr(sources, "documents", lambda config: pytest.fail("documents were read before the check"))
    for command in answers(home):
        assert together(*command) == 2
        said(capsys, home / "network", "trained anew", "--fresh")


def test_word_counts_that_were_trained_anew_are_refused(home, capsys):
    bag(home, "bag", c=(0.1,))
    for command in answers(home):
        assert together(*command) == 2
        said(capsys, home / "bag", "trained anew", "--fresh")


def test_a_run_on_a_table_of_ones_own_is_refused_by_its_folder(home, monkeypatch):
    run = blend.WorkDir(home / "network", blend.KINDS).read_run()
    table = replace(run, config=replace(run.config, data=TextTable(path="mine.csv")))
    monkeypatch.setattr(blend.WorkDir, "read_run", lambda self: table)
    with pytest.raises(UsageError, match=r"network is a run of .* classifies no documents by TFDS: such runs alone"):
        blend.member(home / "network")


@pytest.mark.parametrize("name", ["bag", "network"])
def test_members_of_other_data_are_not_weighed(home, capsys, name):
    bag(home, "theirs", "other")
    members = (home / "theirs", home / name)
    assert together("train", *members, "--workdir", home / "new", "--data-dir", home / "other") == 1
    assert "--other-data" not in said(capsys, home / name, "validation", "not the one")
    assert not (home / "new").exists()


def test_other_documents_are_evaluated_only_where_that_is_asked(home, capsys):
    for run, root in ((together, home / "both"), (words, home / "bag")):
        asked = ("evaluate", "--workdir", root, "--data-dir", home / "other")
        assert run(*asked) == 1
        said(capsys, root, "validation", "--other-data")
        assert run(*asked, "--other-data") == 0
        shown = capsys.readouterr()
        assert 0 <= json.loads(shown.out)["accuracy"] <= 1
        assert "note: the validation split is not the one" in shown.err


def test_folders_of_an_earlier_version_are_used_with_a_note(home, capsys):
    known = strictly(home / "both" / "members.json")
    (home / "both" / "members.json").write_text(json.dumps({name: known[name] for name in ("members", "weights")}))
    result, described = (home / "bag" / name for name in ("result.json", "vocabulary.json"))
    old = strictly(result)
    del old["fingerprint"]
    result.write_text(json.dumps(old))
    old = strictly(described)
    del old["digest"]
    described.write_text(json.dumps(old))
    for command in answers(home):
        assert together(*command) == 0
        assert "note: " in capsys.readouterr().err
    assert words("evaluate", "--workdir", home / "bag") == 0
    assert "note: " in capsys.readouterr().err
    assert together("train", home / "bag", home / "pairs", "--workdir", home / "new") == 0
    assert "note: " in capsys.readouterr().err
    assert together("evaluate", "--workdir", home / "new") == 0
    assert "note: " not in capsys.readouterr().err


def of_labels(dataset):
    return "".join(note for note in dataset.notes if "labels.csv" in note)


def test_a_table_of_labels_is_for_the_documents_that_it_was_made_of(home, capsys):
    assert together("label", "--workdir", home / "both") == 0
    table = home / "both" / "labels.csv"
    assert table.read_text().splitlines()[0] == "row,label,weight"
    ours = section(home, SelfTrainingText, labels_path=str(table))
    theirs = section(home, SelfTrainingText, "other", labels_path=str(table))
    assert not of_labels(data.load(ours))
    with pytest.raises(DataError, match=r"labels\.csv labels other documents than") as raised:
        data.load(theirs)
    assert "\n" not in str(raised.value)
    lines = table.read_text().splitlines()
    table.write_text("\n".join(lines[:20]) + "\n")
    assert "was changed since" in of_labels(data.load(ours))
    beside = table.with_name("labels.csv.json")
    beside.write_text(beside.read_text()[:30])
    with pytest.raises(DataError, match=r"labels\.csv\.json.*label the documents again"):
        data.load(ours)
    beside.unlink()
    assert "has no labels.csv.json" in of_labels(data.load(theirs))


def test_a_member_that_learnt_from_labels_by_models_is_weighed_without_them(home):
    assert together("label", "--workdir", home / "both") == 0
    table = home / "both" / "labels.csv"
    network(home, data=section(home, SelfTrainingText, labels_path=str(table)), workdir=home / "student")
    table.unlink()
    assert together("train", home / "bag", home / "student", "--workdir", home / "new") == 0
    assert together("evaluate", "--workdir", home / "new") == 0


def test_a_run_whose_result_was_written_again_is_the_same(home):
    """It is its weights that were weighed, and its result says when it ended."""
    assert together("train", home / "bag", home / "network", "--workdir", home / "new") == 0
    changed(finished="another day")(home / "network" / "result.json")
    assert together("evaluate", "--workdir", home / "new") == 0


# What is damaged.


def shorter(path):
    path.write_text(path.read_text()[: path.stat().st_size // 2])


def as_json(values):
    return lambda path: path.write_text(json.dumps(values))


def changed(**fields):
    def change(path):
        values = json.loads(path.read_text())
        path.write_text(json.dumps({**values, **fields}))

    return change


def older(**fields):
    """As an earlier version wrote it, without a digest, which would see all the rest."""

    def change(path):
        values = json.loads(path.read_text())
        values = {name: values[name] for name in ("members", "weights")} | fields
        path.write_text(json.dumps(values))

    return change


MEMBERS = {
    "cut short": shorter,
    "list": as_json([]),
    "empty": as_json({}),
    "nothing": lambda path: path.write_text(""),
    "fewer weights": older(weights=[1.0]),
    "more weights": older(weights=[1.0, 1.0, 1.0]),
    "no numbers": older(weights=["1", "2"]),
    "NaN": older(weights=[1.0, float("nan")]),
    "negative": older(weights=[1.0, -1.0]),
    "one number": older(weights=1.0),
    "no members": older(members=[], weights=[]),
    "numbers for members": older(members=[1, 2]),
    "one name": older(members="ab"),
    "other weights": changed(weights=[3.0, 4.0]),
    "identities of fewer": changed(identities=[]),
}


@pytest.mark.parametrize("damage", list(MEMBERS))
def test_a_damaged_record_of_members_is_told_in_a_sentence(home, capsys, monkeypatch, damage):
    MEMBERS[damage](home / "both" / "members.json")
    monkeypatch.setattr(sources, "documents", lambda config: pytest.fail("documents were read before the check"))
    for command in answers(home):
        assert together(*command) in (1, 2)
        said(capsys, home / "both" / "members.json", "again")


RESULTS = {
    "cut short": shorter,
    "list": as_json([]),
    "empty": as_json({}),
    "missing": Path.unlink,
    "unknown experiment": changed(experiment="nobody"),
    "unknown variant": changed(experiment="bag_of_words-nobody"),
    "experiment is a path": changed(experiment="../bag_of_words"),
    "experiment is a module": changed(experiment="blend"),
    "experiment is a number": changed(experiment=3),
    "seed is a word": changed(seed="zero"),
}


@pytest.mark.parametrize("damage", list(RESULTS))
def test_a_damaged_result_is_told_in_a_sentence(home, capsys, monkeypatch, damage):
    for name in ("bag", "both", "network"):
        RESULTS[damage](home / name / "result.json")
    monkeypatch.setattr(sources, "documents", lambda config: pytest.fail("documents were read before the check"))
    for run, root in ((words, home / "bag"), (together, home / "both")):
        assert run("evaluate", "--workdir", root) in (1, 2)
        assert "result.json" in said(capsys, root if run is words else home, "train")
    for name in ("bag", "network"):
        members = (home / name, home / "pairs")
        assert together("train", *members, "--workdir", home / "new") in (1, 2)
        said(capsys, home / name, "result.json", "train")


def test_a_result_of_another_kind_is_told_in_a_sentence(home, capsys):
    """As an earlier version left it, which wrote over results of others."""
    ours, theirs = (home / name / "result.json" for name in ("bag", "both"))
    first, second = ours.read_text(), theirs.read_text()
    ours.write_text(second)
    theirs.write_text(first)
    for run, root in ((words, home / "bag"), (together, home / "both")):
        assert run("evaluate", "--workdir", root) in (1, 2)
        said(capsys, home, "is a result of", "train")


@pytest.mark.parametrize("config", [None, {}, [], {"kind": "blend", "members": []}, {"c": 1}, {"max_ngram": "x"}])
def test_a_configuration_that_is_none_of_word_counts_is_told_in_a_sentence(home, capsys, config):
    changed(config=config)(home / "bag" / "result.json")
    if config != {}:  # an earlier version may have had no option at all
        assert words("evaluate", "--workdir", home / "bag") == 1
        said(capsys, home / "bag" / "result.json", "train it again")
    assert words("train", "--data", "notes", "--workdir", home / "bag") in (1, 2)
    said(capsys, home / "bag", "--fresh")


@pytest.mark.parametrize("damage", ["cut short", "list", "empty"])
def test_a_damaged_result_of_ones_own_is_replaced_where_that_is_asked(home, capsys, damage):
    for run, root, arguments in (
        (words, home / "bag", ("--data", "notes", "--c", "1")),
        (together, home / "both", (home / "bag", home / "pairs")),
    ):
        RESULTS[damage](root / "result.json")
        before = kept(root)
        assert run("train", *arguments, "--workdir", root) == 1
        said(capsys, root / "result.json", "--fresh")
        assert kept(root) == before
        assert run("train", *arguments, "--fresh", "--workdir", root) == 0
        assert run("evaluate", "--workdir", root) == 0


def fewer(terms):
    return terms[:-1]


def more(terms):
    return [*terms, "another"]


def swapped(terms):
    return [terms[1], terms[0], *terms[2:]]


def renamed(terms):
    return ["another", *terms[1:]]


def twice(terms):
    return [terms[1], *terms[1:]]


@pytest.mark.parametrize(
    ("change", "digested"),
    [(change, True) for change in (fewer, more, swapped, renamed, twice)]
    + [(change, False) for change in (fewer, more, twice)],
)
def test_another_vocabulary_is_refused(home, capsys, change, digested):
    path = home / "bag" / "vocabulary.json"
    values = strictly(path)
    values["terms"] = change(values["terms"])
    if not digested:
        del values["digest"]
    path.write_text(json.dumps(values))
    for run, root in ((words, home / "bag"), (together, home / "both")):
        for asked in (("evaluate",), ("predict", "--text", "good")):
            assert run(*asked, "--workdir", root) == 1
            said(capsys, path if digested is None else home / "bag", "vocabulary.json", "train it again")


VOCABULARIES = {
    "cut short": shorter,
    "list": as_json([]),
    "empty": as_json({}),
    "one class": changed(class_names=["0"]),
    "numbers": changed(terms=3),
    "no runs": changed(max_ngram=0),
}


@pytest.mark.parametrize("damage", list(VOCABULARIES))
def test_a_damaged_vocabulary_is_told_in_a_sentence(home, capsys, damage):
    path = home / "bag" / "vocabulary.json"
    values = strictly(path)
    values.pop("digest", None)  # as of an earlier version: all that is wrong is seen without it
    path.write_text(json.dumps(values))
    VOCABULARIES[damage](path)
    assert words("predict", "--text", "good", "--workdir", home / "bag") == 1
    said(capsys, home / "bag", "train it again")


def test_damaged_weights_are_told_in_a_sentence(home, capsys):
    path = home / "bag" / "model.npz"
    whole = path.read_bytes()
    with np.load(path) as stored:
        arrays: dict[str, Any] = dict(stored)
    for broken in (b"", b"no archive", whole[: len(whole) // 2], whole[:-30]):
        path.write_bytes(broken)
        assert words("predict", "--text", "good", "--workdir", home / "bag") == 1
        said(capsys, home / "bag", "train it again")
    described = strictly(home / "bag" / "vocabulary.json")
    described.pop("digest", None)
    (home / "bag" / "vocabulary.json").write_text(json.dumps(described))
    spoiled: dict[str, Any] = arrays | {"kernel": np.full_like(arrays["kernel"], np.nan)}
    values: dict[str, Any]
    for values in (spoiled, arrays | {"idf": arrays["idf"][1:]}, arrays | {"bias": np.zeros(3)}):
        np.savez(path, **values)
        assert words("predict", "--text", "good", "--workdir", home / "bag") == 1
        said(capsys, home / "bag", "train it again")
    np.savez(path, **arrays)
    assert words("predict", "--text", "good", "--workdir", home / "bag") == 0


def test_weights_of_another_training_do_not_go_with_a_vocabulary(home, capsys):
    """As where the machine fell between the two files."""
    model = Linear.load(home / "bag")
    arrays: dict[str, Any] = {"idf": model.idf, "kernel": 2 * model.kernel, "bias": model.bias}
    np.savez(home / "bag" / "model.npz", **arrays)
    assert words("predict", "--text", "good", "--workdir", home / "bag") == 1
    said(capsys, home / "bag", "train it again")


# Texts without a word.


@pytest.mark.parametrize(("run", "name"), [(together, "both"), (words, "bag")])
def test_texts_without_a_word_are_answered_with_a_note(home, capsys, run, name):
    root = ("--workdir", home / name)
    assert run("predict", "--text", "", "good sun", *root) == 0
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 2
    assert "note: 1 of 2 texts hold no word, first " in shown.err
    assert run("predict", "--text", "good sun", "--json-lines", *root) == 0
    shown = capsys.readouterr()
    assert set(json.loads(shown.out)) == {"input", "place", "label", "probability"}
    assert "note: " not in shown.err
