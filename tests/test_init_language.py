"""What a reader out of two language models begins from: models that read as its modules do, of texts like its own."""

import pytest

from rnnjax.errors import UsageError
from rnnjax.runs.init_language import check_reads_alike, check_widths
from rnnjax.runs.source import Source
from rnnjax.training.transfer import Tokens, Transfer

HERE = Tokens(6, ("<pad>", "<unk>", "sun", "moon", "star", "sky"), "words")


def source(words=HERE.words, tokenizer="words", task="next_token", backwards: bool | None = False):
    return Source({}, Tokens(len(words), words, tokenizer), (), {}, task, backwards)


def test_a_model_of_the_same_texts_and_direction_is_taken(capsys):
    check_reads_alike("forwards=a", False, source(), HERE)
    check_reads_alike("forwards=a", False, source(backwards=None, task=""), HERE)  # of a stranger: nothing is known
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (source(task="classification"), "forwards=a: that run holds no language model, its task is classification; "),
        (source(backwards=True), "reads texts from their end, and the module from their beginning; give one of the"),
        (source((*HERE.words[:2], "de", "het", "een", "zon")), "knows none of the 4 tokens here"),
        (source(tokenizer="characters"), "knows none of the 4 tokens here.* with the same --data.tokenizer"),
    ],
)
def test_another_is_refused_in_one_sentence(made, message):
    with pytest.raises(UsageError, match=message):
        check_reads_alike("forwards=a", False, made, HERE)


def test_a_vocabulary_of_which_little_is_known_is_a_note(capsys):
    check_reads_alike("forwards=a", False, source(("<pad>", "<unk>", "sun", "zon")), HERE)
    assert "knows 1 of the 4 tokens here; the others begin fresh" in capsys.readouterr().err


def test_widths_are_refused_and_another_number_of_tokens_is_not():
    tokens = (Tokens(9), Tokens(6))
    check_widths("forwards=a", Transfer(unfit={"params/forwards/head_bias": ((9,), (6,))}), tokens)
    for shapes in (((9, 8), (6, 7)), ((6, 8), (6, 7)), ((4, 24), (4, 28)), ((9,), (6, 7))):
        with pytest.raises(UsageError, match=r"forwards/Embed_0/embedding is \(.* there and \(.* here; give the model"):
            check_widths("forwards=a", Transfer(unfit={"params/forwards/Embed_0/embedding": shapes}), tokens)
