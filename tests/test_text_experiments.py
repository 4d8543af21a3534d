"""The experiments on texts, as their users run them, on data that the tests make."""

import json

import numpy as np
import pytest

from experiments import bag_of_words
from experiments.linear import Linear, scores, terms
from experiments.text_table import EXPERIMENT as TEXT_TABLE
from rnnjax import cli
from rnnjax.data import sources
from rnnjax.data.tokens import words
from tests.test_table import many, written

SMALL = ["--model.features", "8", "--model.embedding-features", "8", "--train.epochs", "12", "--data.batch-size", "16"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "tokenizer",
    # With a vocabulary of the data and without; the others differ in the tokenizer alone, which has tests of its own.
    ["words", "bytes", *(pytest.param(name, marks=pytest.mark.long) for name in ("plain-words", "characters"))],
)
def test_text_table_trains_and_predicts_in_one_command_each(tmp_path, monkeypatch, capsys, tokenizer):
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "mine.csv", [*many(120), (" ", "a")])
    options = ["--data.path", "mine.csv", "--data.tokenizer", tokenizer, "--optim.learning-rate", "3e-2"]
    assert cli.main(TEXT_TABLE, [*options, *SMALL]) == 0
    shown = capsys.readouterr().out
    assert "mine.csv: 86 training, 10 validation, 25 test examples, 3 classes" in shown
    assert "note: 1 document without text, first mine.csv:122; kept, with length 0" in shown
    assert "compiled length" in shown
    assert "target" not in shown
    root = tmp_path / "runs" / "text_table" / "seed-0"
    result = json.loads((root / "result.json").read_text())
    assert result["target"] is None
    assert result["metrics"]["test"]["accuracy"] > 0.8, "a word, or the last character, tells the class"
    assert len(list((root / "samples").glob("*.txt"))) == 5

    (tmp_path / "new.txt").write_text("shared word c\nnever seen סרט\n", encoding="utf-8")
    assert cli.main(TEXT_TABLE, ["predict", "new.txt", "--lines", "--text", "shared word b", "", "--json-lines"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["input"] for answer in answers] == ["shared word b", "", "shared word c", "never seen סרט"]
    assert {answer["label"] for answer in answers} <= {"a", "b", "c"}
    assert answers[0]["label"] == "b"
    assert answers[2]["label"] == "c"
    assert cli.main(TEXT_TABLE, ["evaluate"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] > 0.8


def test_text_table_needs_a_path(capsys):
    assert cli.main(TEXT_TABLE, []) == 2
    assert "--data.path FILE.csv" in capsys.readouterr().err


def splits(labels):
    rows = {"train": many(90, labels), "validation": many(30, labels), "test": many(33, labels)}
    numbers = {name: i for i, name in enumerate(sorted(labels))}
    return {
        split: ([text for text, _ in pairs], np.array([numbers[label] for _, label in pairs], np.int32))
        for split, pairs in rows.items()
    }


@pytest.mark.parametrize("max_ngram", [1, 2])
@pytest.mark.parametrize("labels", ["ab", "abc"])
def test_the_linear_model_is_scikit_learns(tmp_path, labels, max_ngram):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    made = splits(tuple(labels))
    config = bag_of_words.BagOfWords(max_ngram=max_ngram, c=(2.0,))
    model, chosen, tried = bag_of_words.fit(config, made, sorted(labels))
    assert chosen == 2.0
    assert tried[0]["validation_accuracy"] == scores(model, *made["validation"])["accuracy"] == 1
    model.save(tmp_path)
    loaded = Linear.load(tmp_path)
    # scikit-learn's own n-grams, joined as ours are.
    vectorizer = TfidfVectorizer(
        tokenizer=words, token_pattern=None, lowercase=False, ngram_range=(1, max_ngram), min_df=2, sublinear_tf=True
    )
    reference = LogisticRegression(C=2.0, max_iter=1000).fit(
        vectorizer.fit_transform(made["train"][0]), made["train"][1]
    )
    documents = [*made["test"][0], "", "nothing known", "shared shared shared word3 a b"]
    expected = reference.decision_function(vectorizer.transform(documents)).reshape(len(documents), -1)
    np.testing.assert_allclose(loaded.logits(documents), expected, rtol=1e-4, atol=1e-5)
    assert sorted(loaded.index) == vectorizer.get_feature_names_out().tolist()


@pytest.mark.parametrize("labels", ["ab", "abc"])
def test_the_naive_bayes_variant_is_scikit_learns_linear_model_of_the_papers_features(tmp_path, labels):
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    made = splits(tuple(labels))
    config = bag_of_words.BagOfWords(weighting="naive-bayes", max_ngram=3, c=(0.5,))
    model, _, tried = bag_of_words.fit(config, made, sorted(labels))
    assert tried[0]["validation_accuracy"] == scores(model, *made["validation"])["accuracy"] == 1
    model.save(tmp_path)
    loaded = Linear.load(tmp_path)
    assert loaded.idf is None
    vectorizer = CountVectorizer(
        tokenizer=words, token_pattern=None, lowercase=False, ngram_range=(1, 3), min_df=2, binary=True
    )
    counts = vectorizer.fit_transform(made["train"][0]).toarray()
    documents = [*made["test"][0], "", "nothing known", "shared shared shared word3 a b"]
    asked = vectorizer.transform(documents).toarray()
    expected = []
    for number in range(len(labels)) if len(labels) > 2 else [1]:
        of_class = made["train"][1] == number
        p, q = 1 + counts[of_class].sum(0), 1 + counts[~of_class].sum(0)
        ratios = np.log(p / p.sum() / (q / q.sum()))
        reference = LogisticRegression(C=0.5, max_iter=1000).fit(counts * ratios, of_class)
        expected.append(reference.decision_function(asked * ratios))
    np.testing.assert_allclose(loaded.logits(documents), np.stack(expected, 1), rtol=0.02, atol=0.02)
    assert sorted(loaded.index) == vectorizer.get_feature_names_out().tolist()


def test_terms_are_runs_of_words():
    assert list(terms(["a", "b", "c"], 2)) == ["a", "b", "c", "a b", "b c"]
    assert list(terms([], 2)) == []


def test_bag_of_words_from_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sources, "documents", lambda config: ("made_up", ("a", "b"), splits(("a", "b"))))
    run = lambda *arguments: cli.run(bag_of_words._parse, list(arguments))  # noqa: E731
    folder = ["--workdir", str(tmp_path / "run")]
    assert run("predict", "--text", "x", *folder) == 2
    assert "holds no trained model" in capsys.readouterr().err
    assert run("--c", "-1", *folder) == 2
    assert run(*folder) == 0
    assert "target 89.00%: reached" in capsys.readouterr().out
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["data"] == {"name": "made_up", "train": 90, "validation": 30, "test": 33}
    assert len(result["tried"]) == 4
    assert result["config"] == bag_of_words.BagOfWords().to_json()
    assert result["versions"]["scikit-learn"]
    assert run(*folder) == 0
    assert "finished already" in capsys.readouterr().out
    del result["config"]["validation_by"], result["config"]["weighting"]  # as an earlier version wrote it
    (tmp_path / "run" / "result.json").write_text(json.dumps(result))
    assert run(*folder) == 0
    assert "finished already" in capsys.readouterr().out
    assert run("--max-ngram", "2", *folder) == 2
    assert "other options" in capsys.readouterr().err
    assert run("evaluate", "--split", "test", *folder) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["accuracy"] == result["metrics"]["test"]["accuracy"]
    assert "looked at the test split" in shown.err
    assert run("predict", str(tmp_path / "gone.txt"), "--text", "shared b", "shared a", *folder) == 1
    shown = capsys.readouterr()
    assert [line.split("\t")[0] for line in shown.out.splitlines()] == ["b", "a"]
    assert "gone.txt" in shown.err


def test_the_variant_has_a_name_a_target_and_a_folder_of_its_own(tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(sources, "documents", lambda config: asked.append(config) or ("made", "ab", splits("ab")))
    monkeypatch.chdir(tmp_path)
    run = lambda *arguments: cli.run(bag_of_words._parse, list(arguments))  # noqa: E731
    assert run("--variant", "nbb") == 2
    assert "did you mean nb?" in capsys.readouterr().err
    assert run("train", "--variant", "nb", "--c", "1") == 0
    assert "bag_of_words-nb: log-count ratios" in capsys.readouterr().out
    result = json.loads((tmp_path / "runs" / "bag_of_words-nb" / "seed-0" / "result.json").read_text())
    assert (result["experiment"], result["target"]["accuracy"]) == ("bag_of_words-nb", 0.915)
    assert result["config"]["weighting"] == "naive-bayes"
    assert asked[0].validation_by == result["config"]["validation_by"] == "names"
    assert run("predict", "--variant", "nb", "--text", "shared b") == 0
    assert capsys.readouterr().out.startswith("b\t")
    assert run("evaluate", "--variant", "nb") == 0
    assert json.loads(capsys.readouterr().out)["experiment"] == "bag_of_words-nb"


@pytest.mark.slow
def test_bag_of_words_reads_the_splits_of_the_recurrent_models(tfds_dir):
    """The same documents in the same order, so that the bar and what it measures are compared on the same examples."""
    from rnnjax import data
    from rnnjax.config import TextData

    config = TextData(name="imdb_reviews", data_dir=str(tfds_dir), vocabulary_size=1000, bucket_lengths=(8,))
    dataset = data.load(config)
    _, names, found = sources.documents(config)
    assert names == dataset.spec.names
    for split in ("train", "validation", "test"):
        documents, labels = found[split]
        examples = getattr(dataset, split)
        np.testing.assert_array_equal(labels, examples["labels"])
        np.testing.assert_array_equal(dataset.preprocess(documents[:50])["inputs"], examples["inputs"][:50])
