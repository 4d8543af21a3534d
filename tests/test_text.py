"""Tokenizer and vocabulary."""

import html
import tracemalloc
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnjax.data.tokens import _IGNORABLE, PADDING, TOKENIZERS, UNKNOWN, Vocabulary, characters, utf8_bytes, words
from tests.marks import often


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("", []),
        (" \n\t ", []),
        ("--- *** ///", []),
        ("A Fine film.", ["a", "fine", "film", "."]),
        ("Really?! No...", ["really", "?", "!", "no", ".", ".", "."]),
        ("one<br />two<BR>three<br/>four", ["one", "two", "three", "four"]),
        ("don't 'quoted' it\u2019s rock'n'roll", ["don't", "quoted", "it's", "rock'n'roll"]),
        ("10/10, 3-D snake_case", ["10", "10", "3", "d", "snake", "case"]),
        ("Ça été ÉCRIT à Zürich", ["ça", "été", "écrit", "à", "zürich"]),
        # Right to left: words come in reading order, whatever way a screen draws them.
        ("סרט טוב מאוד!", ["סרט", "טוב", "מאוד", "!"]),
        ("فيلم رائع.", ["فيلم", "رائع", "."]),
        ("good סרט film", ["good", "סרט", "film"]),
        ("one\0two\0", ["one", "two"]),
        ("\ufefffirst", ["first"]),
        # Marks belong to their word: Hindi's vowels and viramas, Hebrew's points, an accent that stands by itself.
        ("बहुत अच्छी फ़िल्म!", ["बहुत", "अच्छी", "फ\u093cिल्म", "!"]),
        ("סֶרֶט טוֹב", ["סֶרֶט", "טוֹב"]),
        ("cafe\u0301 CAFÉ", ["caf\u00e9", "caf\u00e9"]),
        ("x\u0331y\u0331 \u0331z", ["x\u0331y\u0331", "z"]),
        # A zero-width non-joiner is within a word, and not at its end.
        ("نمی\u200cدانم\u200c", ["نمی\u200cدانم"]),
    ],
)
def test_words(document, expected):
    assert words(document) == expected


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.text(st.characters(max_codepoint=127), max_size=60))
def test_ascii_takes_a_short_cut_to_the_same_words(document):
    assert words(document + " é")[:-1] == words(document)


def plain_words(document):
    return list(TOKENIZERS["plain-words"](document))


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("A Fine film, don't you think?!", ["a", "fine", "film", "don't", "you", "think", "?", "!"]),
        ("co\u00adoperate", ["cooperate"]),
        ("\ufb01nd", ["find"]),
        ("\uff47\uff4f\uff4f\uff44\uff01", ["good", "!"]),
        ("don\uff07t don\u2019t don\u02bct don\u2018t don&#39;t don&rsquo;t", ["don't"] * 6),
        ("good\ufe0f go\u200bod \ufeffgood go\u2060od go&shy;od", ["good"] * 5),
        ("&quot;good&quot;&nbsp;film &amp; b&#252;hne caf&eacute;", ["good", "film", "bühne", "café"]),
        ("<b>good</b> un<i>believ</i>able", ["good", "unbelievable"]),
        ("one<br />two<BR>three<p class='x'>four</p><!-- a note -->five", ["one", "two", "three", "four", "five"]),
        ('<a href="x.html" title="y">good</a><img src=z>film', ["good", "film"]),
        ("I <3 it, 1 < 2 > 0, <sigh>, a<b", ["i", "3", "it", "1", "2", "0", "sigh", "a", "b"]),
        ("Straße STRASSE \u1e9e \u03a3\u03a3\u03c2", ["strasse", "strasse", "ss", "σσσ"]),
        ("cafe\u0301 ﬀ ½ m² …", ["café", "ff", "1", "2", "m2", ".", ".", "."]),
        ("बहुत अच्छी", ["बहुत", "अच्छी"]),
        ("half \ud83d", ["half"]),
    ],
)
def test_plain_words(document, expected):
    assert plain_words(document) == expected


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.text(max_size=60))
def test_plain_words_of_what_looks_alike_are_the_same(document):
    """Of Unicode's compatibility forms, of other case, and of any number of soft hyphens and selectors."""
    found = plain_words(document)
    assert plain_words(unicodedata.normalize("NFKC", document)) == found
    assert plain_words(unicodedata.normalize("NFKD", document)) == found
    for word in found:
        assert plain_words(word) == [word]
        assert word == unicodedata.normalize("NFKC", word.casefold())


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.text(st.characters(categories=["L", "N", "Zs"]), max_size=40))
def test_plain_words_do_not_see_markup(document):
    found = plain_words(document)
    assert plain_words(html.escape(document)) == found
    assert plain_words("".join(f"<b>{character}</b>\u00ad\ufe0f" for character in document)) == found


def test_ignorable_characters_are_those_of_the_unicode_standard():
    """As many as DerivedCoreProperties.txt has, by the count at the end of its section, and as Perl names."""
    assert sum(_IGNORABLE.fullmatch(chr(code)) is not None for code in range(0x110000)) == 4174
    for character in "\u00ad\u034f\u180b\u200b\u200c\u200d\u200e\u2060\ufe0f\ufeff\U000e0101":
        assert plain_words(f"a{character}b") == ["ab"]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("", ""),
        ("A b\tc.\0", "A b\tc.\0"),
        ("one<br />two", "one\ntwo"),
        ("cafe\u0301", "caf\u00e9"),
        ("ש\U0001f600", "ש\U0001f600"),
        ("half \ud83d", "half \ufffd"),
    ],
)
def test_characters(document, expected):
    assert characters(document) == expected


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.text(max_size=40))
def test_bytes_are_those_of_utf8(document):
    ids, lengths = Vocabulary.of_bytes().encode([utf8_bytes(document)], 200)
    encoded = document.encode("utf-8")
    assert lengths == [len(encoded)]
    np.testing.assert_array_equal(ids[0, : len(encoded)] - 2, np.frombuffer(encoded, np.uint8))
    assert len(Vocabulary.of_bytes()) == 258


@pytest.mark.parametrize("name", TOKENIZERS)
def test_half_a_surrogate_pair_is_no_obstacle(name):
    """JSON can spell one, and so does a command line that is not UTF-8."""
    assert "".join(TOKENIZERS[name]("a \ud83d b")).encode("utf-8")


@pytest.mark.parametrize("name", often(TOKENIZERS, ("words",)))
def test_a_long_document_is_not_held_as_tokens(name):
    """Of four million tokens four are kept, and no list of them all is made: it would take 32 MB and more."""
    vocabulary = Vocabulary(("<pad>", "<unk>", "a", "b", " "))
    document = "a b " * 1_000_000
    tokens = TOKENIZERS[name](document)
    tracemalloc.start()
    ids, lengths = vocabulary.encode([tokens], 4)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(ids, [[2, 4, 3, 4] if name in ("characters", "bytes") else [2, 3, 2, 3]])
    assert lengths == [4]
    assert most < 2_000_000


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.text(max_size=80))
def test_any_text_gives_words_that_survive_the_cache(document):
    """No word is blank or breaks a line, and each is a word by itself."""
    for word in words(document):
        assert word == word.strip()
        assert word
        assert "\0" not in word
        assert "\n" not in word
        assert word.encode("utf-8").decode("utf-8") == word
        assert words(word) == [word]


def test_the_vocabulary_ranks_by_frequency_then_by_alphabet():
    documents = [["b", "a", "c", "c"], ["d", "b", "a"], ["c"]]
    assert Vocabulary.fit(documents, 100).words == ("<pad>", "<unk>", "c", "a", "b", "d")
    assert Vocabulary.fit(reversed(documents), 100).words == ("<pad>", "<unk>", "c", "a", "b", "d")


def test_the_size_counts_padding_and_unknown():
    vocabulary = Vocabulary.fit([["a", "a", "b", "c"]], 4)
    assert vocabulary.words == ("<pad>", "<unk>", "a", "b")
    assert len(vocabulary) == 4


def test_no_documents_leave_padding_and_unknown():
    assert Vocabulary.fit([], 10).words == ("<pad>", "<unk>")


def test_encode():
    vocabulary = Vocabulary(("<pad>", "<unk>", "a", "b"))
    ids, lengths = vocabulary.encode([["b", "a", "zzz"], [], ["?", "!"], ["a"] * 5], 5)
    np.testing.assert_array_equal(ids, [[3, 2, 1, 0, 0], [0, 0, 0, 0, 0], [1, 1, 0, 0, 0], [2, 2, 2, 2, 2]])
    np.testing.assert_array_equal(lengths, [3, 0, 2, 5])
    assert ids.dtype == lengths.dtype == np.int32


def test_encode_nothing():
    ids, lengths = Vocabulary(("<pad>", "<unk>")).encode([], 5)
    assert ids.shape == (0, 5)
    assert lengths.shape == (0,)


@pytest.mark.parametrize(
    ("max_length", "kept"),
    [(10, "0123456789"), (8, "01456789"), (9, "013456789"), (4, "0789"), (3, "789"), (1, "9")],
)
def test_a_long_document_keeps_its_head_and_its_tail(max_length, kept):
    """A quarter of the words, rounded down, from its head, the rest from its end."""
    digits = "0123456789"
    vocabulary = Vocabulary(("<pad>", "<unk>", *digits))
    ids, lengths = vocabulary.encode([list(digits)], max_length)
    assert "".join(vocabulary.words[i] for i in ids[0]) == kept
    assert lengths == [max_length]


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=12), max_size=6), st.integers(1, 9), st.integers(3, 9))
def test_padding_is_what_lies_behind_the_length(documents, max_length, size):
    vocabulary = Vocabulary.fit(documents, size)
    ids, lengths = vocabulary.encode(documents, max_length)
    assert len(vocabulary) <= size
    np.testing.assert_array_equal(lengths, [min(len(words), max_length) for words in documents])
    real = np.arange(max_length) < lengths[:, None]
    assert (ids[~real] == PADDING).all()
    assert ((ids[real] >= UNKNOWN) & (ids[real] < len(vocabulary))).all()
