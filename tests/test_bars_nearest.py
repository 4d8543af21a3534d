"""The bars of written answers and of regions, against plain loops and the packages that define their figures."""

import dataclasses
import itertools
import json

import numpy as np
import pytest

import rnnjax
from rnnjax import Shape, Spec
from rnnjax.bars import Asked, majority, nearest
from rnnjax.runs import bars
from rnnjax.tasks import NextRegion, SequenceToSequence, compare, written
from tests.test_written import kept
from tests.translation_run import experiment, parts

NAMES = ("<pad>", "<unk>", "<end>", *"abcdefgh")
SPEC = Spec({"inputs": Shape((1, 3), np.dtype(np.int32))}, len(NAMES), 9, NAMES)


def asked(dataset, task, seconds=60.0):
    return Asked(dataset, task.prepared(dataset, None), "test", seconds)


def alike(ours, theirs):
    """The cosine of two bags of words and pairs of words, each a set with weights."""
    return sum(ours.get(term, 0) * weight for term, weight in theirs.items()) / np.sqrt(
        sum(w * w for w in ours.values()) * sum(w * w for w in theirs.values())
    )


def test_the_nearest_pair_is_that_of_the_highest_cosine_of_tf_idf(tmp_path):
    dataset = experiment(parts(tmp_path)).data.load()

    def terms(row):
        words = [*row]
        return [*((word,) for word in words), *itertools.pairwise(words)]

    train, test = (nearest._rows(split) for split in (dataset.train, dataset.test))
    found = {}
    for row in train:
        for term in set(terms(row)):
            found[term] = found.get(term, 0) + 1

    def bag(row):
        counts = {term: terms(row).count(term) for term in terms(row) if term in found}
        return {
            term: (1 + np.log(count)) * (1 + np.log((1 + len(train)) / (1 + found[term])))
            for term, count in counts.items()
        }

    places, note = nearest._nearest(dataset.train, dataset.test, (1, 2), np.inf)
    assert not note
    for row, place in zip(test, places, strict=True):
        each = [alike(bag(row), bag(other)) for other in train]
        assert each[place] == pytest.approx(max(each), rel=1e-5)
    bar = nearest.bar(asked(dataset, SequenceToSequence()))
    assert bar is not None and bar.outcomes is not None
    right = [
        np.array_equal(dataset.test["targets"][number], dataset.train["targets"][place])
        for number, place in enumerate(places)
    ]
    assert bar.metrics["exact_match"] == pytest.approx(np.mean(right))
    np.testing.assert_array_equal(bar.outcomes[:, 0], np.array(right, float))


def test_the_nearest_pair_of_too_many_is_of_as_many_as_there_is_time_for(tmp_path):
    dataset = experiment(parts(tmp_path)).data.load()
    places, note = nearest._nearest(dataset.train, dataset.test, (1, 2), -np.inf)
    assert (places == 0).all()
    assert note == "of 1 of 64 training pairs"


def test_no_bar_is_made_of_what_is_not_written(tmp_path):
    dataset = rnnjax.Arrays(
        np.zeros((30, 3), np.float32), np.arange(30) % 2, test=(np.zeros((4, 3), np.float32), np.arange(4) % 2)
    ).load()
    assert nearest.bar(asked(dataset, rnnjax.Classification())) is None


@pytest.mark.parametrize("score", ["bleu", "token_error_rate", "exact_match", "sequence_error_rate"])
def test_the_outcomes_of_all_answers_are_the_figure_itself(score):
    if score == "bleu":
        pytest.importorskip("sacrebleu")
    task, rng = SequenceToSequence(score=score), np.random.default_rng(3)
    right = rng.integers(3, len(NAMES), (40, 7)).astype(np.int32)
    wrong = np.where(rng.random(right.shape) < 0.15, 3, right)
    end = np.full((40, 1), 2, np.int32)
    there = {"written": np.c_[wrong, end], "targets": np.c_[right, end], "weights": np.zeros((40, 8, 0), np.uint8)}
    rows = task.outcomes(there, SPEC)
    assert rows is not None and len(rows) == 40
    whole = float(task.statistic(rows, np.ones((1, 40)))[0])
    assert whole == pytest.approx(task.finish_kept(there, SPEC)[score], rel=1e-6)
    low, high = task.intervals(there, SPEC)[score]
    assert low < whole < high
    hits = task.hits(rows)
    assert (hits is not None) == (score in ("exact_match", "sequence_error_rate"))
    assert compare.paired(task.statistic, rows, rows) == 1


def test_a_loss_is_compared_with_no_bar():
    assert SequenceToSequence(score="loss").outcomes(kept(), SPEC) is None
    assert written.outcomes(SequenceToSequence(score="token_error_rate"), []).shape == (0, 2)


def test_the_bar_of_regions_is_the_loss_of_a_model_that_answers_with_frequencies(tmp_path):
    rng = np.random.default_rng(1)
    words = [f"w{min(int(number), 19)}" for number in rng.exponential(5, 3000)]
    (tmp_path / "text.txt").write_text(" ".join(words))
    section = rnnjax.CorpusData(path=str(tmp_path / "text.txt"), tokenizer="words", window=12, batch_size=8)
    dataset = section.load()
    task = NextRegion(ahead=4, without_most_frequent=2)
    bar = majority.bar(asked(dataset, task))
    assert bar is not None and bar.outcomes is not None
    train = dataset.train["targets"]
    counts = np.array([(train == number).sum() + 1 for number in range(dataset.spec.outputs)], float)
    counts[: task._least] = 0
    with np.errstate(divide="ignore"):
        logits = np.log(counts / counts.sum())
    logits[: task._least] = -50
    targets = dataset.test["targets"]
    answers = np.broadcast_to(logits.astype(np.float32), (*targets.shape, len(logits)))
    sums = task.sums(answers, {"targets": targets, "mask": np.ones(len(targets), bool)}, train=False)
    assert bar.metrics["loss"] == pytest.approx(float(sums["loss"]) / int(sums["weight"]), rel=1e-5)
    assert bar.outcomes[:, 1].sum() == int(sums["weight"])


@pytest.mark.slow
def test_a_translation_says_whether_it_beats_the_nearest_pair(tmp_path, capsys):
    made = dataclasses.replace(experiment(parts(tmp_path / "data")), bars=True)
    made = dataclasses.replace(made, train=dataclasses.replace(made.train, epochs=1))
    rnnjax.fit(made, workdir=tmp_path / "run")
    found = json.loads((tmp_path / "run" / "result.json").read_text())["bars"]
    assert [row["name"] for row in found["rows"]] == ["nearest pair", bars.NETWORK]
    assert (found["against"], found["test"]) == ("nearest pair", "McNemar")
    assert "the nearest pair" in found["said"]
