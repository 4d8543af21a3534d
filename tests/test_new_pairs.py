"""New pairs, and another text, evaluated by a trained model: read as in training, judged as a split is."""

import gzip
import json

import pytest

from rnnjax import cli
from tests.translation_run import WORDS, pairs, trained, written


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    pytest.importorskip("sacrebleu", reason="sacrebleu is not installed")
    return trained(tmp_path_factory.mktemp("pairs"), score="bleu")


def said(run, capsys, *arguments, command="evaluate"):
    experiment, root = run
    code = cli.main(experiment, [command, *map(str, arguments), "--workdir", str(root)])
    out = capsys.readouterr()
    return code, out.out, out.err


def evaluated(run, capsys, *arguments):
    code, out, err = said(run, capsys, *arguments)
    assert code == 0, err
    return json.loads(out), err


def table(path, sources, targets, columns=("en", "de", "fr")):
    rows = [columns, *((a, b, "x") for a, b in zip(sources, targets, strict=True))]
    path.write_text("".join("\t".join(row[: len(columns)]) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.slow
def test_pairs_are_judged_alike_as_a_split_as_files_and_as_a_table_of_three_columns(run, tmp_path, capsys):
    split, _ = evaluated(run, capsys, "--split", "test")
    sources, targets = pairs(13, 2)
    written(tmp_path, "new", sources, targets, newline="\r\n")
    packed = tmp_path / "packed"
    packed.mkdir()
    for side, lines in (("en", sources), ("de", targets)):
        with gzip.open(packed / f"x.y.{side}.gz", "wt", encoding="utf-8-sig") as file:
            file.write("".join(f"{line}\n" for line in lines))
    places = [tmp_path / "new.en", tmp_path / "new.de", packed, packed / "x.y.de.gz"]
    places += [table(tmp_path / "three.tsv", sources, targets)]
    names = ("loss", "perplexity", "token_accuracy", "exact_match", "sequence_error_rate", "token_error_rate", "bleu")
    for place in places:
        found, err = evaluated(run, capsys, place)
        assert {name: found[name] for name in names} == pytest.approx({name: split[name] for name in names}, rel=1e-5)
        assert found["examples"] == 13 and found["signatures"] == split["signatures"]
        assert "outside the vocabulary" not in err
    page = json.loads((run[1] / "evaluate-three.tsv.json").read_text())
    assert page["signatures"] == split["signatures"] and len(page["examples"]) == 4
    lines = (run[1] / "evaluate-three.tsv-mistakes.csv").read_text().splitlines()
    assert lines[0] == "place,source,answer,right,edits" and "three.tsv:" in lines[1]
    assert "test.en" not in lines[1]


def test_a_beam_is_said_and_is_that_of_the_split(run, tmp_path, capsys):
    written(tmp_path, "new", *pairs(13, 2))
    found, _ = evaluated(run, capsys, tmp_path / "new.en", "--beam", "3")
    split, _ = evaluated(run, capsys, "--split", "test", "--beam", "3")
    assert found["beam"] == split["beam"] == 3 and found["bleu"] == pytest.approx(split["bleu"])


def test_what_is_longer_or_unknown_is_counted_and_never_right(run, tmp_path, capsys):
    long = " ".join(["one"] * 9), " ".join([WORDS["one"]] * 9)
    table(tmp_path / "new.tsv", ["one", long[0], "five six"], ["Eins", long[1], "Fünf Sechs"])
    found, err = evaluated(run, capsys, tmp_path / "new.tsv")
    assert "of 1 of 3" in err and "sources only the first 4 tokens are kept" in err
    assert "1 targets have more than the 4 tokens that are written at most: none can be right" in err
    assert "2 of" in err and "source tokens are outside the vocabulary" in err
    assert found["exact_match"] <= 1 / 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: written(path, "new", ["one", "two"], ["Eins"]), "they must be as many, line by line a pair"),
        (lambda path: written(path, "new", ["one", " "], ["Eins", "Zwei"]), "new.en:2: a blank line; take it out"),
        (lambda path: written(path, "new", [], []), "new.en: there is no line in it"),
        (lambda path: written(path, "new", ["one"], ["Fünf"], encoding="cp1252"), "new.de:1: not UTF-8"),
        (lambda path: (path / "new.en").write_text("one\n"), "there is neither new.de nor new.de.gz in it"),
        (lambda path: None, "new.en: no such file or folder"),
    ],
)
def test_files_that_are_no_pairs_are_one_sentence(make, message, run, tmp_path, capsys):
    make(tmp_path)
    code, out, err = said(run, capsys, tmp_path / "new.en")
    assert (code, out) == (1, "") and message in err and len(err.splitlines()) == 1


def test_tables_and_folders_that_hold_no_pairs_are_one_sentence(run, tmp_path, capsys):
    table(tmp_path / "two.tsv", ["one"], ["Eins"], ("english", "german"))
    written(tmp_path, "a", ["one"], ["Eins"])
    written(tmp_path, "b", ["one"], ["Eins"])
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("one\n")
    for place, message in {
        tmp_path / "two.tsv": "no column 'en'; its columns are english, german: two of them must be called as",
        tmp_path: "there are several parts in it; evaluate one of them, by its source: ",
        tmp_path / "empty": "there are no two files NAME.en and NAME.de in it",
        tmp_path / "text.txt": "these are no pairs that can be read; give a table with the columns en and de",
    }.items():
        code, out, err = said(run, capsys, place)
        assert (code, out) == (1, "") and message in err and len(err.splitlines()) == 1


def test_a_model_that_reads_no_files_has_the_usual_names(run, tmp_path):
    from rnnjax.data.addition import AdditionData

    made = AdditionData(digits=2, training_pairs=50, test_pairs=10).load().preprocess
    table(tmp_path / "sums.csv", ["1+2", "10+1"], ["3", "11"], ("source", "target"))
    examples = made.labelled(tmp_path / "sums.csv")
    assert examples.references == (("3",), ("11",))
    assert made.labelled(tmp_path / "sums.csv").places[1].endswith("sums.csv:3")


def test_answers_that_have_not_ended_are_not_right():
    """An answer of as many words as are written at most may be the beginning of a longer one."""
    import numpy as np

    from rnnjax.tasks import SequenceToSequence
    from rnnjax.tasks.written import texts
    from tests.test_written import SPEC, kept

    cut = kept(written=np.array([[3, 4, 2, 0], [5, 5, 5, 5], [3, 2, 0, 0]], np.int32), reference=np.arange(3))
    task = SequenceToSequence(references=(("a b",), ("c c c c",), ("a",)))
    assert [pair.exact for pair in texts(task, cut, SPEC)] == [True, False, True]


def test_options_of_the_runs_own_data_are_refused_beside_a_file(run, tmp_path, capsys):
    written(tmp_path, "new", ["one"], ["Eins"])
    code, _, err = said(run, capsys, tmp_path / "new.en", "--other-data")
    assert code == 2 and "leave out the options that are of the run's own data" in err


def test_a_file_that_was_trained_on_is_said(run, capsys):
    experiment, _ = run
    for part, known in {"train": True, "val": True, "test": False}.items():
        code, _, err = said(run, capsys, f"{experiment.data.path}/{part}.de")
        assert code == 0 and ("is what the model was trained on" in err) == known
