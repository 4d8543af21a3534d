"""An embedding is taken by token: rows of another vocabulary are never taken for one's own, though shapes agree."""

import csv
import json

import jax
import numpy as np
import pytest

import rnnjax
from rnnjax import data
from rnnjax.runs.init_record import shown
from rnnjax.training.runner import Runner
from rnnjax.training.transfer import Tokens, Transfer, transfer


def tokens(words: str, tokenizer: str = "words") -> Tokens:
    return Tokens(len(words.split()), tuple(words.split()), tokenizer)


ABC, CBA = tokens("<pad> <unk> a b c"), tokens("<pad> <unk> c b a")
EMBED, RNN, HEAD = "params/Embed_0/embedding", "params/recurrent/layers_0/cell/kernel", "params/head/Dense_0/kernel"


def chosen(theirs: Tokens, ours: Tokens, rows: tuple[int, int] = (5, 5), more=()) -> Transfer:
    there = {EMBED: (rows[0], 4), RNN: (4, 8), **dict(more)}
    here = {EMBED: (rows[1], 4), RNN: (4, 8), **dict(more)}
    return transfer(there, here, (), (theirs, ours))


def test_of_one_vocabulary_all_is_taken():
    assert chosen(ABC, ABC).taken == (EMBED, RNN)
    assert chosen(ABC, tokens(" ".join(ABC.words), "plain-words")).taken == (EMBED, RNN)
    assert chosen(Tokens(5), Tokens(5)).taken == (EMBED, RNN), "where neither is known, ids are all there is"


def test_of_another_vocabulary_rows_are_taken_by_token():
    assert chosen(ABC, CBA) == Transfer(taken=(RNN,), rows={EMBED: (5, 5)})
    assert list(CBA.rows_of(ABC)) == [0, 1, 4, 3, 2]
    assert chosen(ABC, tokens("<pad> <unk> c d e")).rows == {EMBED: (3, 5)}
    assert chosen(ABC, tokens("<pad> <unk> c d e f g"), (5, 7)).rows == {EMBED: (3, 7)}


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (ABC, tokens("v w x y z")),  # no token in common
        (ABC, tokens(" ".join(ABC.words), "characters")),  # the word a is not the character a
        (ABC, Tokens(5)),  # not known whether the ids are the same
        (Tokens(5), ABC),
    ],
)
def test_rows_of_which_no_token_is_the_same_are_fresh(theirs, ours):
    assert chosen(theirs, ours) == Transfer(taken=(RNN,), foreign=(EMBED,))


def test_whatever_may_belong_to_tokens_is_fresh_where_the_vocabulary_is_another():
    """Columns of a language model's output, and a table of another name."""
    more = {HEAD: (8, 5), "params/head/Dense_0/bias": (5,), "params/table": (5, 3), "params/other": (4, 3)}
    found = chosen(ABC, CBA, more=more)
    assert set(found.foreign) == {HEAD, "params/head/Dense_0/bias", "params/table"}
    assert set(found.taken) == {RNN, "params/other"} and found.rows == {EMBED: (5, 5)}
    assert set(chosen(ABC, ABC, more=more).taken) == {EMBED, RNN, *more}
    assert set(chosen(ABC, Tokens(), more=more).taken) == {EMBED, RNN, *more}, "what reads no tokens has none"


def language_model(path) -> rnnjax.Experiment:
    """A language model of sun, moon, star and sky."""
    path.write_text(" ".join(np.random.default_rng(0).choice(["sun", "moon", "star", "sky"], 400)))
    return rnnjax.Experiment(
        data=rnnjax.CorpusData(path=str(path), tokenizer="words", window=4, batch_size=8),
        model=rnnjax.LanguageModel(features=(4,), embedding_features=3),
        task=rnnjax.NextToken(),
        train=rnnjax.TrainConfig(epochs=1, steps_per_call=16),
    )


def classifier(path) -> rnnjax.Experiment:
    """Of documents of sky, sea, sun and sand: whether there is sky in them."""
    rng = np.random.default_rng(0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label"))
        for _ in range(120):
            words = rng.choice(["sky", "sea", "sun", "sand"], 4)
            writer.writerow((" ".join(words), "with" if "sky" in words else "without"))
    return rnnjax.Experiment(
        data=rnnjax.TextTable(path=str(path), batch_size=16, bucket_lengths=(8,)),
        model=rnnjax.TextModel(features=(4,), embedding_features=3),
        optim=rnnjax.OptimConfig(learning_rate=1e-2, groups=("Embed_0=0", "recurrent=0")),
        train=rnnjax.TrainConfig(epochs=1, steps_per_call=8),
    )


def test_a_reader_begins_with_a_language_models_recurrence_and_the_rows_of_the_words_it_knows(
    tmp_path, monkeypatch, capsys
):
    devices = jax.local_devices()[:1]
    monkeypatch.setattr(jax, "local_devices", lambda *_, **__: devices)
    first = rnnjax.fit(language_model(tmp_path / "corpus.txt"), workdir=tmp_path / "first")
    reader = classifier(tmp_path / "table.csv")
    tuned = rnnjax.fit(reader, workdir=tmp_path / "second", init_from=tmp_path / "first")
    said = capsys.readouterr().out
    assert "taken by token: Embed_0/embedding (4 of 6 rows; the others are fresh)" in said
    assert "taken: recurrent/layers_0/cell (3 arrays, " in said and "fresh: head/Dense_0 (2 arrays, " in said
    assert "only there: head" in said
    assert {path.rpartition("/")[0] for path in tuned.record["init_from"]["taken"]} == {
        "params/recurrent/layers_0/cell"
    }
    assert tuned.record["init_from"]["rows"] == {"params/Embed_0/embedding": [4, 6]}

    pages = [(tmp_path / name / "preprocess.json").read_text() for name in ("first", "second")]
    words = [json.loads(page)["vocabulary"] for page in pages]
    assert len(words[0]) == len(words[1]) == 6 and words[0] != words[1], "their shapes are the same"
    theirs, ours = (result.predictor.variables["params"] for result in (first, tuned))
    untouched = Runner(reader, data.load(reader.data), devices).create_state(0).params["Embed_0"]["embedding"]
    for row, word in enumerate(words[1]):
        known = theirs["Embed_0"]["embedding"]
        expected = known[words[0].index(word)] if word in words[0] else untouched[row]
        np.testing.assert_array_equal(ours["Embed_0"]["embedding"][row], expected, err_msg=word)
    jax.tree.map(np.testing.assert_array_equal, ours["recurrent"], theirs["recurrent"])


@pytest.mark.parametrize(("known", "said"), [(4, "(4 of 6 rows; the others are fresh)"), (6, "(6 of 6 rows)")])
def test_the_listing_speaks_of_other_rows_where_there_are_some(known, said):
    record = {"averaged": False, "checkpoint": "best", "experiment": "first", "step": 1}
    record |= {"taken": [], "fresh": [], "foreign": [], "unfit": {}, "unused": []}
    record["rows"] = {"params/Embed_0/embedding": [known, 6]}
    assert shown(record, {})[-1].endswith(said)
