"""Answers in files: all of them, in order, with their places, and readable by who knows nothing of this package."""

import csv
import io
import json
import zipfile

import numpy as np
import pytest

import rnnjax
from rnnjax import UsageError
from rnnjax.__main__ import main
from rnnjax.data.spec import Spec
from rnnjax.runs import batches
from rnnjax.runs.answering import Asked, Prediction, predict
from rnnjax.runs.answers import lines
from rnnjax.tasks import Classification, PerStep, Regression

SMALL = ["--train.epochs", "2", "--model.features", "4", "--model.embedding-features", "4", "--data.batch-size", "16"]
ODD = ['quoted "a", b', "two\nlines", "cr\rhere", "tab\there", "naïve 差评 \u2028", "  ", "zzz qqq xxx", "a" * 5000]


def written(path, rows, header=("id", "text", "label")):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return str(path)


def made(count, seed=0):
    """Rows of 1 to 40 words, and their labels."""
    rng, words = np.random.default_rng(seed), [f"w{n}" for n in range(50)]
    rows = []
    for number in range(count):
        label = "ham" if number % 2 else "spam, or so"
        text = " ".join([*rng.choice(words, rng.integers(1, 40)), "good" if number % 2 else "bad"])
        rows.append((number, text, label))
    return rows


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The work folder of a small model of texts."""
    folder = tmp_path_factory.mktemp("run")
    written(folder / "train.csv", made(120))
    assert main(["text", str(folder / "train.csv"), *SMALL, "--runs-dir", str(folder / "runs")]) == 0
    return folder / "runs" / "text_table" / "seed-0"


def asked(run, *arguments):
    return main(["text", "predict", *map(str, arguments), "--workdir", str(run)])


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_row_is_answered_in_order_with_place_and_probabilities(run, tmp_path, capsys):
    texts = [text for _, text, _ in made(150, seed=1)] + ODD
    path = written(tmp_path / "new.csv", [(text,) for text in texts], header=("text",))
    assert asked(run, path, "--to", tmp_path / "out.csv") == 0
    assert f"answers: {len(texts)} in {tmp_path / 'out.csv'}" in capsys.readouterr().err
    rows, predictor = read_csv(tmp_path / "out.csv"), rnnjax.load(run)
    assert list(rows[0]) == ["place", "label", "probability", "p(ham)", "p(spam, or so)", "unknown", "error"]
    places = [int(row["place"].removeprefix(f"{path}:")) for row in rows]
    assert places[:3] == [2, 3, 4] and places == sorted(places) and len(set(places)) == len(texts)
    expected = predictor.probabilities(texts)
    np.testing.assert_allclose([[float(r["p(ham)"]), float(r["p(spam, or so)"])] for r in rows], expected, atol=1e-6)
    alone = np.concatenate([predictor.probabilities([text]) for text in texts[-12:]])
    np.testing.assert_allclose(expected[-12:], alone, atol=1e-6)
    assert [row["label"] for row in rows] == list(predictor(texts))
    by_file = list(predictor.predict_file(path))
    assert [row["input"] for row in by_file] == [row["place"] for row in rows]
    assert by_file[0]["probabilities"]["ham"] == pytest.approx(expected[0, 0], abs=1e-6)
    shares = dict(zip(texts, (row["unknown"] for row in rows), strict=True))
    assert shares["zzz qqq xxx"] == "1" and shares["  "] == "" and float(shares[texts[0]]) == 0


def test_chunks_and_batches_change_no_answer(run, monkeypatch):
    predictor, texts = rnnjax.load(run), [text for _, text, _ in made(200, seed=2)]
    inputs = [(text, lambda text=text: text) for text in texts]
    whole = [answer.row["probability"] for answer in predict(predictor, inputs)]
    object.__setattr__(predictor, "chunk", 70)
    read = []
    source = ((text, lambda text=text: read.append(text) or text) for text in texts)
    answers = predict(predictor, source)
    first = next(answers)
    assert len(read) == 140, "no more than two chunks are read for the first answer"
    np.testing.assert_allclose([a.row["probability"] for a in (first, *answers)], whole, atol=1e-6)


def test_batches_hold_each_row_once_and_no_row_is_cut():
    lengths = np.random.default_rng(0).integers(0, 90, 3000)
    plan = batches.planned(len(lengths), lengths, (8, 16, 32, 64, 90), 2)
    rows = np.concatenate([batch.rows[: batch.real] for batch in plan])
    np.testing.assert_array_equal(np.sort(rows), np.arange(3000))
    assert all(lengths[batch.rows].max() <= batch.steps and len(batch.rows) % 2 == 0 for batch in plan)
    assert sum(len(batch.rows) for batch in plan) < 3300


def test_blank_lines_and_what_cannot_be_read_have_rows_too(run, tmp_path, capsys, monkeypatch):
    lined = tmp_path / "lines.txt"
    lined.write_bytes(b"a good one\n\nsch\xf6n\nbad")
    (tmp_path / "empty.txt").write_text("")
    with zipfile.ZipFile(tmp_path / "docs.zip", "w") as archive:
        archive.writestr("1.txt", "good\nbad")
    given = (lined, tmp_path / "docs.zip", tmp_path / "empty.txt", tmp_path / "gone.csv")
    assert asked(run, *given, "--lines", "--csv") == 1
    captured = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(captured.out)))
    assert [row["error"] == "" for row in rows[:4]] == [True, False, False, True]
    assert [row["place"] for row in rows[:4]] == [f"{lined}:{line}" for line in (1, 2, 3, 4)]
    assert "a blank line" in rows[1]["error"] and "not UTF-8" in rows[2]["error"]
    assert captured.err.count("error: ") == len([row for row in rows if row["error"]])
    assert asked(run, *given[1:], "--json-lines") == 1
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["input"].rsplit("/", 1)[1] for row in said] == ["1.txt", "empty.txt", "gone.csv"]
    assert ["error" in row for row in said] == [False, True, True]
    assert "there is no text in it" in said[1]["error"] and "no such file" in said[2]["error"]


def test_unknown_tokens_are_noted_once(run, capsys):
    assert asked(run, "--text", "zzz yyy", "xxx", "good") == 0
    assert "of 2 of 3 texts the model knows less than half of the tokens, first --text:1" in capsys.readouterr().err


def test_rows_without_a_text_are_noted_since_their_answer_is_of_nothing(run, tmp_path, capsys):
    (tmp_path / "new.jsonl").write_text('{"text": "fine"}\n{"txt": "a key that is misspelt"}\n{"text": null}\n')
    assert asked(run, tmp_path / "new.jsonl", "--json-lines") == 0
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 3
    assert "2 of 3 texts hold no word, first " in shown.err


def test_top_and_threshold(run, capsys):
    predictor = rnnjax.load(run)
    best = predictor.rows(["w1 w2"])[0]
    assert asked(run, "--text", "w1 w2", "--json-lines", "--top", "1", "--threshold", "0.9999999") == 0
    row = json.loads(capsys.readouterr().out)
    assert row["label"] == "unsure" and row["top"] == [best] and "probabilities" not in row
    for bound, label in (("1e-9", "spam, or so"), ("0.9999999", "ham")):
        assert asked(run, "--text", "w1 w2", "--json-lines", "--threshold", f"spam, or so={bound}") == 0
        row = json.loads(capsys.readouterr().out)
        assert row["label"] == label and row["probability"] == pytest.approx(row["probabilities"][label])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--top", "3"], "--top must be 1 to 2, the number of classes, got 3"),
        (["--threshold", "2"], "--threshold 2: give a probability between 0 and 1"),
        (["--threshold", "eggs=0.5"], "there is no class 'eggs'; the classes are ham, spam, or so"),
        (["--csv", "--json-lines"], "two forms of the answers; give one"),
        (["--to", "out.txt"], "answers are written as .csv or .jsonl"),
        (["--to", "none/out.csv"], "there is no folder none"),
        (["--to", "out.csv", "--json-lines"], "its name says the form"),
        (["--to", "new.csv"], "is what is to be read"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_read(options, said, run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path / "new.csv", made(2))
    assert asked(run, path, *options) == 2
    captured = capsys.readouterr()
    assert said in captured.err and not captured.out
    assert [one.name for one in tmp_path.iterdir()] == ["new.csv"]


def test_new_labelled_data_are_evaluated_as_they_stand(run, tmp_path, capsys):
    rows = made(90, seed=3)
    path = written(tmp_path / "june.csv", [(label, text) for _, text, label in rows], header=("label", "text"))
    before = {one.name: one.read_bytes() for one in run.iterdir() if one.is_file()}
    assert main(["text", "evaluate", path, "--workdir", str(run)]) == 0
    captured = capsys.readouterr()
    said, predictor = json.loads(captured.out), rnnjax.load(run)
    right = predictor([text for _, text, _ in rows]) == np.array([label for _, _, label in rows])
    assert (said["examples"], said["accuracy"]) == (90, pytest.approx(right.mean()))
    low, high = said["intervals"]["accuracy"]
    assert low < said["accuracy"] < high and f"{path}: 90 examples: ham 45, spam, or so 45" in captured.err
    page = json.loads((run / "evaluate-june.csv.json").read_text())
    assert np.sum(page["confusion"]) == 90 and (run / "evaluate-june.csv-confusion.png").is_file()
    wrong = read_csv(run / "evaluate-june.csv-mistakes.csv")
    places = [f"{path}:{line}" for line, hit in enumerate(right, 2) if not hit]
    assert {row["place"] for row in wrong} == set(places)
    assert {name: (run / name).read_bytes() for name in before} == before, "nothing of the run itself has changed"
    part = written(tmp_path / "one.csv", [row for row in rows if row[2] == "ham"])
    assert main(["text", "evaluate", part, "--workdir", str(run)]) == 0
    assert "has no example of 'spam, or so'" in capsys.readouterr().err


def test_figures_of_what_was_trained_on_are_said_to_be_of_that(run, capsys):
    assert main(["text", "evaluate", str(run.parents[2] / "train.csv"), "--workdir", str(run)]) == 0
    assert "train.csv is what the model was trained on, so that it may know the answers" in capsys.readouterr().err


def test_other_data_in_the_same_folder_are_refused_by_their_path(run, tmp_path, capsys):
    path = written(tmp_path / "other.csv", [(f"{label}s", text) for _, text, label in made(60)], ("label", "text"))
    assert main(["text", path, *SMALL, "--runs-dir", str(run.parents[1])]) != 0
    said = capsys.readouterr().err
    assert "holds a run of another" in said or "was trained on other data" in said
    assert f"data.path: {path}, not {run.parents[2] / 'train.csv'}" in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("text,label\ngood,hma\n", "new.csv:2: the label 'hma' is none of the classes that the model knows; did you"),
        ("said,label\ngood,ham\n", "no column 'text'; the columns are 'said', 'label'"),
        ("text\ngood\n", "no column 'label'"),
        ("", "new.csv:1: "),
        (None, "new.csv: no such file or folder"),
    ],
)
def test_data_that_cannot_be_evaluated_are_named(content, said, run, tmp_path, capsys):
    if content is not None:
        (tmp_path / "new.csv").write_text(content)
    assert main(["text", "evaluate", str(tmp_path / "new.csv"), "--workdir", str(run)]) == 1
    captured = capsys.readouterr()
    assert said in captured.err and not captured.out
    assert main(["text", "evaluate", "a", "b", "--workdir", str(run)]) == 2
    assert "one file or folder" in capsys.readouterr().err


def test_answers_of_every_task_come_back_from_csv():
    """Read by the standard library, with places that no table likes."""
    places = ['a "b", c', "line\nbreak", "cr\rin it", "\0nul", "差评"]
    given = [Prediction(place, {"label": "x", "probability": 0.25}, place=place) for place in places]
    given.insert(0, Prediction("bad", error='no "file"\n', place="bad"))
    text = "\n".join(lines(given, Classification(), "csv")) + "\n"
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["place"] for row in rows] == ["bad", *places]
    assert rows[0]["error"] == 'no "file"\n' and {row["label"] for row in rows[1:]} == {"x"}
    logits, spec = [np.float32([[2, 0], [0, 3]]), np.float32([[1, 0]])], Spec({}, 2, names=("A", "B"))
    told = PerStep().detailed(logits, spec)
    steps = [Prediction(str(number), row, place=str(number)) for number, row in enumerate(told)]
    rows = list(csv.DictReader(io.StringIO("\n".join(lines(steps, PerStep(), "csv")))))
    assert [(r["place"], r["step"], r["label"]) for r in rows] == [("0", "1", "A"), ("0", "2", "B"), ("1", "1", "A")]
    np.testing.assert_allclose(PerStep().probabilities(logits, spec)[1], [[np.e / (1 + np.e), 1 / (1 + np.e)]])
    several = Prediction("x", Regression().detailed(np.float32([[1, 2]]), spec)[0], place="x")
    assert list(lines([several], Regression(), "csv")) == ["place,prediction 1,prediction 2,error", "x,1,2,"]
    assert list(lines([Prediction("x", error="no", place="x")], Regression(), "csv")) == ["place,error", "x,no"]
    with pytest.raises(UsageError, match="--top is for one class of several an example; Regression"):
        Regression().check_asked(spec, top=1, threshold=None)


def test_one_that_cannot_be_encoded_costs_the_others_nothing(run):
    given = [("a", lambda: "good"), ("b", lambda: 5), ("c", lambda: "bad")]
    found = list(predict(rnnjax.load(run), given, Asked()))
    assert [answer.row is None for answer in found] == [False, True, False]
    assert "documents must be a list of strings" in str(found[1].error)
