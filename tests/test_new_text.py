"""A language model on another text: loss and perplexity as of a split, the unknown counted, what cannot be said."""

import json
import math

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import rnnjax
from experiments.benchmarks.prepared_tfds import write_texts
from experiments.shakespeare_chars import EXPERIMENT
from rnnjax import cli
from rnnjax.data.corpus import DocumentsCorpus
from rnnjax.data.tokens import END_TOKEN, UNKNOWN
from rnnjax.data.windows import bounds
from tests.language_run import TEXT, trained


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("new-text"))[0]


def said(run, capsys, *arguments):
    code = cli.main(EXPERIMENT, ["evaluate", *map(str, arguments), "--workdir", str(run)])
    out = capsys.readouterr()
    return code, out.out, out.err


def evaluated(run, capsys, *arguments):
    code, out, err = said(run, capsys, *arguments)
    assert code == 0, err
    return json.loads(out), err


@pytest.mark.slow
def test_the_text_of_a_split_has_the_metrics_of_the_split(run, tmp_path, capsys):
    held, tested = bounds(len(TEXT), 0.05, 0.1)
    train, _ = evaluated(run, capsys, "--split", "train")
    for name, encoding in (("a.txt", "utf-8"), ("b.txt", "utf-8-sig")):
        newline = "\r\n" if name == "b.txt" else "\n"
        (tmp_path / name).write_text(TEXT[:held], encoding=encoding, newline=newline)
        found, err = evaluated(run, capsys, tmp_path / name)
        names = ("loss", "perplexity", "bits", "accuracy")
        assert {name: found[name] for name in names} == pytest.approx({name: train[name] for name in names}, rel=1e-6)
        assert (found["tokens"], found["streams"], found["unknown"]) == (held - 1, 8, 0) and "outside" not in err
    assert found["perplexity"] == pytest.approx(math.exp(found["loss"]))
    assert tested > held


def test_a_short_text_is_one_stream_and_its_loss_is_optaxs(run, tmp_path, capsys):
    (tmp_path / "short.txt").write_text("The cat Zat.\n", encoding="utf-8")
    found, err = evaluated(run, capsys, tmp_path / "short.txt")
    model = rnnjax.load(run)
    ids = model.preprocess.encode(["The cat Zat.\n"])["inputs"][0]
    logits, _ = model.model.apply(model.variables, jnp.asarray(ids)[None, :-1], mutable=["carry"])
    wanted = optax.softmax_cross_entropy_with_integer_labels(logits[0], jnp.asarray(ids[1:])).mean()
    assert found["loss"] == pytest.approx(float(wanted), rel=1e-5)
    assert (found["tokens"], found["streams"]) == (12, 1)
    assert found["unknown"] == pytest.approx(np.mean(ids[1:] == UNKNOWN)) == pytest.approx(1 / 12)
    assert "1 of 12 tokens of short.txt are outside the vocabulary (8.3%) and count as one, the unknown" in err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "there is no text in it"),
        (b"a", "has one token; a language model predicts those that follow: give a longer text"),
        ("Stra\u00dfe".encode("cp1252"), "not a UTF-8 text file"),
        (b"a\0b", "it holds NUL bytes"),
        (None, "no such file or folder"),
    ],
)
def test_what_is_no_text_is_one_sentence(content, message, run, tmp_path, capsys):
    if content is not None:
        (tmp_path / "odd.txt").write_bytes(content)
    code, out, err = said(run, capsys, tmp_path / "odd.txt")
    assert (code, out) == (1, "") and message in err and "odd.txt" in err and len(err.splitlines()) == 1


def test_a_folder_and_what_is_of_the_runs_own_data_are_refused(run, tmp_path, capsys):
    code, _, err = said(run, capsys, tmp_path)
    assert code == 1 and "is a folder; a language model is evaluated on one text file" in err
    (tmp_path / "a.txt").write_text("The cat")
    code, _, err = said(run, capsys, tmp_path / "a.txt", "--dynamic", "0.1")
    assert code == 2 and "leave out the options that are of the run's own data" in err
    code, _, err = said(run, capsys, tmp_path / "a.txt", "--beam", "2")
    assert code == 2 and "--beam is for models that write sequences" in err


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["forwards", "backwards"])
def test_of_documents_a_text_is_one_with_an_end_before_and_behind(direction, tmp_path):
    write_texts(
        tmp_path / "tfds",
        "notes",
        2,
        {"train": [(f"A cat saw {n}.", 0) for n in range(30)], "test": [("A cat saw 3.", 1)] * 4},
    )
    section = DocumentsCorpus(
        name="notes", data_dir=str(tmp_path / "tfds"), cache_dir=str(tmp_path / "cache"), train_splits=("train",),
        batch_size=2, window=4, validation_fraction=0.2, direction=direction,
    )  # fmt: skip
    preprocess = section.load().preprocess
    (tmp_path / "one.txt").write_text("A cat saw dogs.")
    examples = preprocess.labelled(tmp_path / "one.txt")
    read = [examples["inputs"][0, 0], *examples["targets"][examples["targets"] >= 0]]
    words = ["a", "cat", "saw", "<unk>", "."]
    wanted = [END_TOKEN, *(words if direction == "forwards" else words[::-1]), END_TOKEN]
    assert [preprocess.vocabulary.words[number] for number in read] == wanted


def test_ids_of_ones_own_are_no_text(run, tmp_path, capsys):
    """A folder whose preprocessing knows no texts says so."""
    from rnnjax.data import Preprocess
    from rnnjax.errors import UsageError

    with pytest.raises(UsageError, match="there are no labelled files of this kind of data"):
        Preprocess().labelled(tmp_path / "a.txt")
