"""Documents that share rare names are held out together."""

from collections import Counter

import numpy as np
import pytest

from rnnjax.config import TextData
from rnnjax.data import sources, tokenized
from rnnjax.data.documents import TextTable
from rnnjax.data.grouped import hold_out_any
from rnnjax.data.named_groups import joined, named_groups, names, shared_names
from rnnjax.errors import DataError, UsageError

FILMS = [
    "the heroine Zelah runs from Captain Morgan, and Smith sees it",
    "nothing is said here of anyone",
    "i liked Zelah, Morgan and the sea",
    "poor Timon, said Smith",
    "we met Timon's uncle",
    "one Smith more; a Smith less",
]


def test_a_name_is_a_capitalised_word_inside_a_sentence():
    document = (
        'We saw Timon. Pumba came too! "Simba" was, as (Mufasa) knew, late.<br /><br />Nala & Zazu\'s uncle, '
        "L'Étoile, O'Hara and Jean-Luc met a USA fan; Rafiki"
    )
    assert names(document) == {"Timon", "Mufasa", "Zazu", "L'Étoile", "O'Hara", "Jean", "Rafiki"}
    assert names("zelah's Morgan’s crew and the Joneses' house") == {"Morgan", "Joneses"}
    assert names("") == names("日本語 の 文") == set()


def test_a_rare_name_is_in_several_documents_and_hardly_ever_in_lower_case():
    assert shared_names(FILMS) == {"Morgan": [0, 2], "Smith": [0, 3, 5], "Timon": [3, 4], "Zelah": [0, 2]}
    assert "Smith" not in shared_names([*FILMS, "a smith"])
    often = [f"the {name} of all" for name in ("Smith",) * 30]
    assert shared_names(often) == {"Smith": list(range(30))}
    assert shared_names([*often, "my smith, our smith", "a smith", "the smith"]) == {"Smith": list(range(30))}
    assert shared_names([*often, *["a smith"] * 4]) == {}
    assert shared_names([*often, "the Smith of all"]) == {}, "31 documents"


def test_the_heaviest_pairs_are_joined_first():
    """0 and 2 share two names, 3 and 4 one, and Smith, in three documents, counts half as much as a name in two."""
    assert named_groups(FILMS).tolist() == [0, 1, 0, 0, 0, 0]
    crowd = [f"we saw Simba{i // 20} and Nala" for i in range(40)]  # digits are no letters: one name in 40 documents
    assert shared_names(crowd) == {}
    pairs = [f"we saw {chr(65 + i % 20)}aa and {'Nala' if i < 29 else 'Zazu'}" for i in range(40)]
    groups = named_groups(pairs)
    assert all(groups[i] == groups[i + 20] for i in range(20)), "what two share before what many share"
    assert np.bincount(groups).max() <= 30


def test_a_group_has_no_more_than_the_limit():
    assert joined([(0, 1), (1, 2), (2, 3), (3, 4)], 6, largest=3).tolist() == [0, 0, 0, 1, 1, 2]
    assert joined([(3, 4), (1, 2), (0, 1), (2, 3)], 6, largest=3).tolist() == [0, 0, 0, 1, 1, 2]
    assert joined([(4, 5), (2, 4)], 6, largest=6).tolist() == [0, 1, 2, 3, 2, 2]


def test_documents_without_names_cannot_be_held_out_by_names():
    with pytest.raises(DataError, match="no two of 2 documents share a rare name"):
        named_groups(["nobody is named here", "nor here, says Anna"])


def test_groups_of_all_sizes_are_held_out_whole():
    rng = np.random.default_rng(3)
    groups = np.sort(np.concatenate([np.repeat(np.arange(100), 10), np.arange(100, 1100)]))
    labels = rng.integers(0, 2, 2000).astype(np.int32)
    kept, held = hold_out_any(labels, groups, 0.1, ("a", "b"))
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, held])), np.arange(2000))
    assert not set(groups[kept]) & set(groups[held])
    counts = np.bincount(labels[held])
    assert np.abs(counts - 0.1 * np.bincount(labels)).max() <= 20, "as near as groups of ten let it"
    single = (groups[held] >= 100).mean()
    assert 0.35 < single < 0.65, "half of the documents are single ones, in the held-out part too"
    np.testing.assert_array_equal(hold_out_any(labels, groups, 0.1, ("a", "b"))[1], held)
    assert set(hold_out_any(labels, groups, 0.1, ("a", "b"), seed=1)[1]) != set(held)
    with pytest.raises(DataError, match="class 'b' cannot be split"):
        hold_out_any(np.array([0, 0, 1, 1]), np.array([0, 1, 2, 2]), 0.5, ("a", "b"))


def of_films(count):
    """Six documents a film, which its hero's name tells."""
    named = [f"{'a' if i % 2 else 'the'} Hero{chr(97 + i // 6 % 26)}{chr(97 + i // 156)} came" for i in range(count)]
    return [f"so {document} {i}" for i, document in enumerate(named)], np.arange(count, dtype=np.int32) % 2


def test_the_section_says_whether_rows_or_names_are_held_out(tmp_path):
    given = {"train": of_films(240), "test": of_films(12)}

    def made(**options):
        config = TextData(name="films", bucket_lengths=(8,), cache_dir=str(tmp_path), **options)
        return tokenized.dataset("films", config, ("a", "b"), source={"made": "up"}, read=lambda: given)

    by_names, by_rows = made(validation_by="names"), made()
    heroes = {split: {text.split()[2] for text in texts} for split, texts in by_names.documents().items()}
    assert not heroes["train"] & heroes["validation"]
    assert len(by_names.validation) == len(by_rows.validation) == 24
    assert np.bincount(by_names.validation["labels"]).tolist() == [12, 12]
    assert "validation is of whole groups of documents that share rare names" in by_names.understood
    rows = {split: {text.split()[2] for text in texts} for split, texts in by_rows.documents().items()}
    assert rows["validation"] <= rows["train"], "and the two cuts have caches of their own"
    assert made(validation_by="rows").fingerprint == by_rows.fingerprint


def test_another_word_for_the_cut_is_refused():
    with pytest.raises(UsageError, match="must be one of rows, names, got 'films'"):
        TextData(name="films", validation_by="films")
    with pytest.raises(UsageError, match="group_column"):
        TextTable(path="films.csv", validation_by="names")


def known(documents, training):
    """Of the rare names in documents, the share that training documents hold."""
    lower = {word for document in training for word in document.split() if word.islower()}
    counts = Counter(name for document in training for name in names(document))
    asked = [counts[name] for document in documents for name in names(document) if name.lower() not in lower]
    return np.mean([count > 0 for count in asked if count <= 27])


@pytest.mark.slow
@pytest.mark.long
def test_as_many_rare_names_of_imdbs_validation_are_known_from_training_as_of_its_test(tfds_dir):
    """They would be 80 % by rows, and are 65 % of the test split."""

    def splits(**options):
        return sources.documents(TextData(name="imdb_reviews", data_dir=str(tfds_dir), **options))[2]

    found = splits(validation_by="names")
    assert abs(len(found["validation"][0]) - 2500) <= 60
    assert np.abs(np.bincount(found["validation"][1]) - 1250).max() <= 60
    assert sum(len(found[split][0]) for split in ("train", "validation")) == 25_000
    share = {split: known(found[split][0], found["train"][0]) for split in ("validation", "test")}
    by_rows = splits()
    assert share["validation"] == pytest.approx(share["test"], abs=0.08)
    assert known(by_rows["validation"][0], by_rows["train"][0]) > share["test"] + 0.1
    again = splits(validation_by="names")
    assert again["validation"][0] == found["validation"][0]
