"""Files of pairs that are not quite what they say, and many sources at once: read as in training, or told."""

import dataclasses
import gzip
import json
import types

import numpy as np
import pytest

import rnnjax
from rnnjax import PairData, cli
from rnnjax.__main__ import main
from rnnjax.config.language import Search
from rnnjax.data.pair_files import new_pairs
from rnnjax.data.pair_preprocess import PairPreprocess
from rnnjax.data.pair_reading import PairReading
from rnnjax.data.text_lines import lines
from rnnjax.data.token_sets import TokenSet
from rnnjax.errors import DataError, UsageError
from rnnjax.runs import answers
from rnnjax.runs.answering import predict
from rnnjax.runs.evaluate import evaluate
from rnnjax.tasks import SequenceToSequence
from tests.test_odd_pairs import said
from tests.translation_run import experiment, pairs, parts, trained, written


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("odd-files"))


@pytest.mark.parametrize("count", [65, 600])
def test_more_sources_than_a_device_takes_at_once_are_all_answered(count, run, tmp_path, capsys):
    sources = pairs(count, 7)[0]
    alone = [said(run, capsys, "--text", source)[1][0] for source in sources[:2]]
    (tmp_path / "many.txt").write_text("\n".join(sources))
    code, out, _ = said(run, capsys, tmp_path / "many.txt")
    assert (code, len(out), out[:2]) == (0, count, alone)
    assert rnnjax.load(run[1])(sources) == out


def test_a_table_is_answered_by_the_column_that_sources_were_in(run, tmp_path, capsys):
    wanted = said(run, capsys, "--text", "one two", "three")[1]
    rows = "id,en,de,comment\n1,one two,Zwei Eins,hello there\n2,three,Drei,so what\n"
    (tmp_path / "new.csv").write_text(rows)
    assert said(run, capsys, tmp_path / "new.csv")[:2] == (0, wanted)
    (tmp_path / "new.csv").write_text(rows.replace("id,en", "id,English"))
    code, out, err = said(run, capsys, tmp_path / "new.csv")
    assert (code, out) == (1, []) and "'en'" in err


def test_files_of_a_folder_have_a_source_a_line(run, tmp_path, capsys):
    wanted = said(run, capsys, "--text", "one two", "three")[1]
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "lines.txt").write_text("one two\nthree\n")
    assert said(run, capsys, tmp_path / "new")[:2] == (0, wanted)


@pytest.mark.parametrize(
    ("encoding", "ends"), [("utf-8", "\r\n"), ("utf-8", "\r\r\n"), ("utf-8", "\r"), ("utf-16", "\r\n")]
)
def test_lines_of_any_encoding_that_names_itself_and_any_ends_are_sources(encoding, ends, run, tmp_path, capsys):
    wanted = said(run, capsys, "--text", "one two", "three")[1]
    (tmp_path / "new.txt").write_bytes(ends.join(["one two", "three", ""]).encode(encoding))
    assert said(run, capsys, tmp_path / "new.txt")[:2] == (0, wanted)


def test_a_blank_cell_of_any_table_is_named_and_leaves_an_empty_line(tmp_path):
    words, task, path = TokenSet.fit(["one two"], "words", 10), SequenceToSequence(), tmp_path / "new.json"
    sources = PairPreprocess(words, words, 4, 4)

    def outputs(stored):
        rows = len(stored["inputs"])
        return {"tokens": np.tile(np.int32([[3, 2]]), (rows, 1)), "score": np.zeros(rows)}

    parts = {"preprocess": sources, "spec": sources.spec, "stored": sources.encode, "outputs": outputs}
    path.write_text(json.dumps([{"source": source} for source in ("one", " ", "two")]))
    found = list(predict(types.SimpleNamespace(task=task, chunk=4, **parts), sources.read([str(path)], [], None)))
    assert list(answers.lines(found, task, "plain")) == ["one", "", "one"]
    assert found[1].error == f"{path}, row 2: the source is blank: there is nothing to answer"


def test_sources_are_read_in_the_encoding_of_the_training(run, tmp_path, capsys):
    reading = dataclasses.replace(rnnjax.load(run[1]).preprocess, reading=PairReading("en", "de", "cp1252"))
    (tmp_path / "new.txt").write_bytes("fünf\n".encode("cp1252"))
    assert [read() for _, read in reading.read([str(tmp_path / "new.txt")], [], None)] == ["fünf"]
    code, out, err = said(run, capsys, tmp_path / "new.txt")
    assert (code, out) == (1, [""]) and "save the file as UTF-8" in err


def test_a_file_of_carriage_returns_with_one_line_feed_behind_them_has_lines(tmp_path):
    (tmp_path / "old.txt").write_bytes(b"one\rtwo\rthree\n")
    assert [line.strip() for line in lines(tmp_path / "old.txt")] == ["one", "two", "three"]
    (tmp_path / "other.txt").write_bytes(b"one\rtwo\nthree\n")
    assert [line.rstrip("\n") for line in lines(tmp_path / "other.txt")] == ["one\rtwo", "three"]


def test_of_a_file_that_is_there_twice_the_one_that_is_named_is_read(tmp_path):
    written(tmp_path, "new", ["one"], ["Eins"])
    for side, text in (("en", b"two\n"), ("de", b"Zwei\n")):
        (tmp_path / f"new.{side}.gz").write_bytes(gzip.compress(text))
    reading = PairReading("en", "de")
    for name, source in (("new.en.gz", "two"), ("new.de", "one")):
        assert new_pairs(tmp_path / name, reading).sources == [source]
    with pytest.raises(DataError, match=r"there are both new.en and new.en.gz in it; take one of them away"):
        new_pairs(tmp_path, reading)


def test_ends_of_names_may_have_dots(tmp_path):
    for part in ("train", "val", "test"):
        (tmp_path / f"{part}.en.txt").write_text("one\ntwo\n")
        (tmp_path / f"{part}.de.txt").write_text("Eins\nZwei\n")
    section = PairData(path=str(tmp_path), source="en.txt", target="de.txt")
    reading = PairReading.of(section)
    assert new_pairs(tmp_path / "test.en.txt", reading).targets == ["Eins", "Zwei"]
    assert section.trained_on(tmp_path / "train.de.txt")
    assert not section.trained_on(tmp_path / "test.de.txt")


def test_the_report_of_a_beam_takes_no_others_place(run):
    made, root = run
    before = (root / "report-test.json").read_bytes()
    evaluate(made, root, "test", search=Search(beam=3))
    assert (root / "report-test.json").read_bytes() == before
    page = json.loads((root / "report-test-beam-3-1.json").read_text())
    assert (page["beam"], page["length_penalty"]) == (3, 1.0)


def test_what_a_beam_cannot_be_asked_is_refused(run, capsys):
    for penalty in ("1e30", "10.5"):
        code, out, err = said(run, capsys, "--beam", "2", "--length-penalty", penalty, "--text", "one")
        assert (code, out) == (2, []) and "--length-penalty must be 0 to 10" in err
    with pytest.raises(UsageError, match="target-length must be 0, or 2 or more"):
        PairData(target_length=1)


def test_a_text_of_many_times_the_usual_length_is_said_where_it_costs_much(tmp_path, monkeypatch):
    monkeypatch.setattr("rnnjax.data.pairs._MUCH", 1000)
    folder = parts(tmp_path)
    notes = experiment(folder).data.load().notes
    assert not any("has room in memory" in note for note in notes)
    sources, targets = pairs(300, 0)
    written(folder, "train", [*sources, "one " * 100], [*targets, "Eins"])
    notes = experiment(folder).data.load().notes
    assert any("the longest 100, for which every row has room in memory; --data.source-length" in n for n in notes)


@pytest.mark.slow
def test_weights_of_another_vocabulary_are_taken_by_the_tokens_of_each_side(run, tmp_path, capsys):
    """The same pairs, of which the words have other names there: no row of an embedding means the same here."""
    made, root = run
    folder = parts(tmp_path / "data")
    for path in folder.iterdir():
        path.write_text("".join(f"{line[::-1]}\n" for line in path.read_text().splitlines()))
    other = dataclasses.replace(made, data=dataclasses.replace(made.data, path=str(folder)))
    assert cli.main(other, ["--init-from", str(root), "--runs-dir", str(tmp_path), "--train.epochs", "1"]) == 0
    shown = capsys.readouterr().out
    assert "as many classes there" not in shown
    record = json.loads((tmp_path / "tiny/seed-0/config.json").read_text())["init_from"]
    embeddings = ["params/encoder/Embed_0/embedding", "params/decoder/embedding/embedding"]
    assert [record["rows"][path][0] for path in embeddings] == [3, 3], "of padding, the unknown token and the end"
    assert "params/decoder/head_bias" not in record["taken"]
    assert any("recurrent" in path for path in record["taken"])


def test_all_pairs_of_a_source_of_a_table_are_in_one_split(tmp_path):
    rows = "".join(f"source {n % 40}\ttarget {n}\n" for n in range(120))
    (tmp_path / "pairs.tsv").write_text(f"source\ttarget\n{rows}")
    splits = PairData(path=str(tmp_path / "pairs.tsv"), batch_size=4).splits()
    sources = [set(part.sources) for part in splits.values()]
    assert sum(map(len, sources)) == len(set().union(*sources)) == 40
    assert sum(len(part) for part in splits.values()) == 120
    assert [len(part) for part in splits.values()] == [96, 12, 12]


@pytest.mark.slow
def test_pairs_of_ones_own_are_trained_on_with_a_bar_and_the_score_that_is_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    sources, targets = pairs(120, 0)
    rows = "".join(f"{a},{b}\n" for a, b in zip(sources, targets, strict=True))
    (tmp_path / "mine.csv").write_text(f"english,german\n{rows}")
    small = ["--model.features", "8", "--model.encoder-features", "8", "--train.epochs", "1", "--data.batch-size", "8"]
    sides = ["--data.source", "english", "--data.target", "german", "--data.score", "exact_match"]
    assert main(["pair", "mine.csv", *small, *sides]) == 0
    shown = capsys.readouterr().out
    assert "the nearest pair" in shown and "exact match" in shown
    worst = (tmp_path / "runs/text_pairs/seed-0/mistakes-test.csv").read_text().splitlines()
    assert worst[0] == "number,source,answer,right,edits"
    assert main(["pair", "predict", "--text", "one two"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_model_of_pairs_answers_to_ids_that_have_no_targets_yet(run):
    loaded = rnnjax.load(run[1])
    arrays = loaded.preprocess.encode(["one two", "three"])
    wanted = loaded.outputs(arrays)["tokens"]
    plain = dataclasses.replace(loaded, preprocess=rnnjax.Preprocess())
    found = plain.outputs(plain.stored({name: arrays[name] for name in ("inputs", "lengths")}))["tokens"]
    np.testing.assert_array_equal(found, wanted)
