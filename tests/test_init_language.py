"""What a reader out of two language models begins from: models that read as its modules do, of texts like its own."""

import dataclasses

import pytest

from rnnjax.errors import UsageError
from rnnjax.runs.init_from import asked, check_places
from rnnjax.runs.init_language import check_layers, check_reads_alike, check_widths
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


@pytest.mark.parametrize(("name", "side"), [("fresh", "here and not there"), ("unused", "there and not here")])
def test_a_layer_that_one_of_both_has_not_is_refused(name, side):
    head = Transfer(unused=("params/forwards/head/kernel",), fresh=("params/forwards/head_bias",))
    check_layers("forwards=a", head)
    path = "params/forwards/recurrent/layers_1/cell/kernel"
    with pytest.raises(UsageError, match=f"layers_1/cell/kernel is {side}; give the model the cell and the layers"):
        check_layers("forwards=a", dataclasses.replace(Transfer(), **{name: (path,)}))


def test_a_module_that_no_run_is_named_for_is_refused_before_data_are_read(tmp_path):
    begins = ("forwards", "backwards")
    (tmp_path / "a").mkdir()
    check_places(asked(f"{tmp_path / 'a'}"), begins, [], fresh=False)  # the whole model
    check_places(asked([f"{side}={tmp_path / 'a'}" for side in begins]), begins, [], fresh=False)
    with pytest.raises(UsageError, match="names runs for forwards alone, and backwards would begin fresh; give backw"):
        check_places(asked(f"forwards={tmp_path / 'a'}"), begins, [], fresh=False)
    with pytest.raises(UsageError, match="none does not exist; give the work folder of a run"):
        check_places(asked(f"{tmp_path / 'none'}"), (), [tmp_path / "run"], fresh=False)
