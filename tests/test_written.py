"""What was written beside what is right: edits against their definition, BLEU by sacrebleu, groups by themselves."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnjax import Shape, Spec
from rnnjax.errors import DataError, RunError, UsageError
from rnnjax.tasks import SequenceToSequence
from rnnjax.tasks.written import edit_distance, metrics, texts

NAMES = ("<pad>", "<unk>", "<end>", *"abcd")
SPEC = Spec({"inputs": Shape((1, 3), np.dtype(np.int32))}, len(NAMES), 9, NAMES)


@settings(max_examples=60, deadline=None)
@given(st.text("ab", max_size=5), st.text("abc", max_size=5))
def test_edits_are_counted_by_their_definition(ours, theirs):
    @functools.cache
    def fewest(i, j):
        if not i or not j:
            return i + j
        same = ours[i - 1] == theirs[j - 1]
        return min(fewest(i - 1, j) + 1, fewest(i, j - 1) + 1, fewest(i - 1, j - 1) + (not same))

    assert edit_distance(ours, theirs) == fewest(len(ours), len(theirs))


def kept(**more):
    written = np.array([[3, 4, 2, 0], [5, 2, 0, 0], [3, 3, 3, 3]], np.int32)
    targets = np.array([[3, 4, 2], [6, 6, 2], [3, 2, -1]], np.int32)
    return {"written": written, "targets": targets, "weights": np.zeros((3, 4, 0), np.uint8)} | more


def test_exact_answers_and_errors_are_those_of_texts():
    found = texts(SequenceToSequence(), kept(), SPEC)
    assert [(pair.text, pair.edits, pair.size) for pair in found] == [("a b", 0, 2), ("c", 2, 2), ("a a a a", 3, 1)]
    assert metrics(SequenceToSequence(), found) == {
        "exact_match": pytest.approx(1 / 3),
        "sequence_error_rate": pytest.approx(2 / 3),
        "token_error_rate": pytest.approx(5 / 5),
    }


def test_any_text_that_is_right_is_accepted_and_the_nearest_counts():
    task = SequenceToSequence(references=(("x",), ("d d", "c"), ("A  A a", "b")), lowercase=True)
    found = texts(task, kept(reference=np.array([0, 1, 2])), SPEC)
    assert [pair.exact for pair in found] == [False, True, False]
    assert [pair.edits for pair in found] == [2, 0, 1]


def test_a_group_counts_in_no_metric_and_is_reported_by_itself():
    task = SequenceToSequence(groups=("longer",))
    whole = kept(group=np.array([0, 0, 1]))
    assert task.finish_kept(whole, SPEC)["exact_match"] == 0.5
    report = task.report({}, whole, SPEC)
    assert report.values == {"longer exact_match": 0.0}
    assert report.page is not None and report.page["groups"]["longer"]["examples"] == 1
    by_loss = dataclasses.replace(task, score="loss")
    assert by_loss.report({}, whole, SPEC).values == {"longer exact_match": 0.0}  # and no loss of 0
    batch = {"targets": whole["targets"], "group": whole["group"], "mask": np.ones(3, bool)}
    logits = np.random.default_rng(0).normal(size=(3, 3, 7)).astype(np.float32)
    sums = task.sums({"logits": logits}, batch, train=False)
    assert int(sums["weight"]) == 6


def test_bleu_is_sacrebleus_of_the_texts_as_the_data_have_them():
    sacrebleu = pytest.importorskip("sacrebleu", reason="sacrebleu is not installed")
    answers = ["a dog runs on the green grass .", "two men are in a red car"]
    right = ["A dog runs on the grass.", "Two men sit in a red car."]
    names = (*NAMES[:3], *dict.fromkeys(" ".join(answers).split()))
    ids = [[names.index(word) for word in answer.split()] + [2] for answer in answers]
    written = np.array([row + [0] * (9 - len(row)) for row in ids], np.int32)
    spec = Spec(SPEC.inputs, len(names), 9, names)
    task = SequenceToSequence(score="bleu", lowercase=True, references=tuple((text,) for text in right))
    whole = {"written": written, "targets": written, "weights": np.zeros((2, 9, 0)), "reference": np.arange(2)}
    wanted = sacrebleu.corpus_bleu(answers, [right], lowercase=True, tokenize="13a")
    assert task.finish_kept(whole, spec)["bleu"] == pytest.approx(wanted.score)
    assert task.report({}, whole, spec).signatures["bleu"].startswith("nrefs:1|case:lc|eff:no|tok:13a|smooth:exp")


def test_the_loss_is_pytorchs_cross_entropy():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    logits = np.random.default_rng(0).normal(size=(3, 3, 7)).astype(np.float32)
    batch = {"targets": kept()["targets"], "mask": np.array([True, True, False])}
    task = SequenceToSequence(label_smoothing=0.1)
    ours = jax.jit(functools.partial(task.sums, train=True))(logits, batch)
    targets = torch.from_numpy(np.where(batch["mask"][:, None], batch["targets"], -1)).long()
    theirs = torch.nn.functional.cross_entropy(
        torch.from_numpy(logits).reshape(-1, 7), targets.reshape(-1), ignore_index=-1, label_smoothing=0.1
    )
    assert float(ours["loss"]) / int(ours["weight"]) == pytest.approx(float(theirs), rel=1e-5)


def test_logits_that_are_no_numbers_are_no_answer():
    outputs = {"tokens": kept()["written"], "score": np.array([0.0, np.nan, 0.0])}
    with pytest.raises(RunError, match="logits are no numbers"):
        SequenceToSequence().rows(outputs, SPEC)


def test_a_score_that_is_none_and_targets_without_an_end_are_refused():
    with pytest.raises(UsageError, match="score must be one of exact_match"):
        SequenceToSequence(score="rouge")  # pyright: ignore[reportArgumentType]
    from rnnjax import Dataset, Examples

    inputs = np.full((2, 3), 3, np.int32)
    for targets in ([[3, 2], [3, 4]], [[3, 2], [2, 3]], [[3, 2], [-1, -1]]):
        examples = Examples({"inputs": inputs, "targets": np.array(targets, np.int32)})
        with pytest.raises(DataError, match="toy: train: target 1 must be ids with 2, the end, as the last"):
            SequenceToSequence().check_data(Dataset("toy", examples, examples, None, given=SPEC))
