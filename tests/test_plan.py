"""The plan: properties that hold for every data set size, batch size and set of buckets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnjax.data.plan import Plan, calls_evenly, padding_share, steps_per_epoch
from rnnjax.errors import DataError

few = settings(derandomize=True, deadline=None, max_examples=60)


class Rows:
    """A split of which only the number of its examples and their lengths are known."""

    def __init__(self, examples, lengths):
        self.examples, self.lengths = examples, lengths

    def __len__(self):
        return self.examples


def train_plan(*, examples, lengths=None, buckets=(), **options):
    return Plan(tuple(buckets)).train(Rows(examples, lengths), **options)


def eval_plan(*, examples, lengths=None, buckets=(), **options):
    return Plan(tuple(buckets)).evaluate(Rows(examples, lengths), **options)


@st.composite
def splits(draw):
    """The arguments that both plans share: a split of images, or one of texts with one to four buckets."""
    examples = draw(st.integers(1, 90))
    arguments = {
        "examples": examples,
        "batch_size": draw(st.integers(1, 12)),
        "steps_per_call": draw(st.integers(1, 7)),
    }
    buckets = sorted(draw(st.sets(st.integers(1, 30), max_size=4)))
    if buckets:
        drawn = draw(st.lists(st.integers(0, buckets[-1]), min_size=examples, max_size=examples))
        arguments |= {"lengths": np.array(drawn, np.int32), "buckets": tuple(buckets)}
    return arguments


def rows_of(chunks):
    """All real row numbers of a plan, in order."""
    return np.concatenate([np.zeros(0, np.int32), *(chunk.rows[chunk.mask] for chunk in chunks)])


def check_chunks(chunks, arguments):
    """What holds for training and evaluation alike."""
    steps_by_length = {}
    for chunk in chunks:
        assert chunk.rows.shape == chunk.mask.shape
        assert chunk.rows.dtype == np.int32
        assert chunk.rows.shape[1] == arguments["batch_size"]
        assert 1 <= len(chunk.rows) <= arguments["steps_per_call"]
        assert ((chunk.rows >= 0) & (chunk.rows < arguments["examples"])).all()  # padding rows can be gathered too
        assert chunk.mask.any(), "a chunk without a step"
        steps_by_length.setdefault(chunk.length, set()).add(len(chunk.rows))
        if "lengths" in arguments:
            assert chunk.length in arguments["buckets"]
            assert (arguments["lengths"][chunk.rows[chunk.mask]] <= chunk.length).all()
        else:
            assert chunk.length is None
    assert all(len(sizes) == 1 for sizes in steps_by_length.values()), "one K, so one compilation, per bucket"


@few
@given(splits(), st.integers(0, 5), st.integers(0, 5))
def test_training_takes_each_example_at_most_once_in_full_batches(arguments, seed, epoch):
    chunks = train_plan(seed=seed, epoch=epoch, **arguments)
    check_chunks(chunks, arguments)
    rows = rows_of(chunks)
    assert len(set(rows)) == len(rows)
    assert arguments["examples"] - len(rows) < arguments["batch_size"]
    for chunk in chunks:
        whole, some = chunk.mask.all(1), chunk.mask.any(1)
        assert (whole == some).all(), "a batch is full or no step at all"


@few
@given(splits())
def test_evaluation_takes_each_example_exactly_once(arguments):
    chunks = eval_plan(**arguments)
    check_chunks(chunks, arguments)
    assert sorted(rows_of(chunks)) == list(range(arguments["examples"]))
    if "lengths" in arguments:
        # The smallest bucket that holds it: evaluation has no reason to pad further.
        for chunk in chunks:
            smaller = max([b for b in arguments["buckets"] if b < chunk.length], default=-1)
            assert (arguments["lengths"][chunk.rows[chunk.mask]] > smaller).all()


@few
@given(splits(), st.integers(0, 3))
def test_every_epoch_has_as_many_steps(arguments, seed):
    plans = [train_plan(seed=seed, epoch=epoch, **arguments) for epoch in range(3)]
    assert {steps_per_epoch(chunks) for chunks in plans} == {arguments["examples"] // arguments["batch_size"]}
    assert len({len(chunks) for chunks in plans}) == 1


def test_the_seed_and_the_epoch_alone_decide():
    lengths = np.arange(64, dtype=np.int32) % 11
    shared = {"examples": 64, "batch_size": 4, "steps_per_call": 3, "lengths": lengths, "buckets": (3, 6, 10)}

    def plan(seed, epoch):
        chunks = train_plan(seed=seed, epoch=epoch, **shared)
        return [(c.length, c.rows.tolist(), c.mask.tolist()) for c in chunks]

    assert plan(1, 2) == plan(1, 2)
    plans = [plan(seed, epoch) for seed in range(3) for epoch in range(3)]
    assert all(a != b for i, a in enumerate(plans) for b in plans[:i])  # (1, 2) is not (2, 1) either


def test_training_shuffles_and_mixes_buckets():
    lengths = np.repeat(np.array([2, 8], np.int32), 200)
    chunks = train_plan(seed=0, epoch=0, examples=400, batch_size=10, steps_per_call=2, lengths=lengths, buckets=(4, 8))
    order = [chunk.length for chunk in chunks]
    assert order != sorted(order)
    short = np.concatenate([c.rows.ravel() for c in chunks if c.length == 4])
    assert (np.diff(short) < 0).mean() > 0.3


def test_what_does_not_fill_a_batch_moves_to_the_next_bucket():
    lengths = np.array([1, 1, 1, 5, 5, 5], np.int32)
    chunks = train_plan(seed=0, epoch=0, examples=6, batch_size=2, steps_per_call=8, lengths=lengths, buckets=(2, 6))
    by_length = {chunk.length: np.sort(lengths[chunk.rows[chunk.mask]]).tolist() for chunk in chunks}
    assert by_length == {2: [1, 1], 6: [1, 5, 5, 5]}


def test_a_row_longer_than_every_bucket_is_refused():
    """It would otherwise be left out of training and evaluation in silence."""
    shared = {"examples": 3, "batch_size": 1, "steps_per_call": 1, "buckets": (2, 4)}
    lengths = np.array([1, 5, 4], np.int32)
    with pytest.raises(DataError, match="5 steps, longer than the largest bucket, 4"):
        eval_plan(lengths=lengths, **shared)
    with pytest.raises(DataError, match="5 steps, longer than the largest bucket, 4"):
        train_plan(seed=0, epoch=0, lengths=lengths, **shared)


@few
@given(st.integers(1, 200), st.integers(1, 40))
def test_calls_waste_as_little_as_any_size_could(steps, most):
    size = calls_evenly(steps, most)
    assert 1 <= size <= most
    allowed = [steps] if steps <= most else range(max(most // 2, 1), most + 1)
    assert -steps % size == min(-steps % k for k in allowed)


def test_padding_is_counted_over_real_rows():
    """Six sequences in buckets of 4 and 10: 4 * 4 + 2 * 10 steps, of which 1 + 2 + 3 + 4 + 5 + 10 are real."""
    lengths = np.array([1, 2, 3, 4, 5, 10], np.int32)
    chunks = eval_plan(examples=6, batch_size=4, steps_per_call=3, lengths=lengths, buckets=(4, 10))
    assert padding_share(chunks, lengths) == pytest.approx(1 - 25 / 36)
    assert padding_share(eval_plan(examples=6, batch_size=4, steps_per_call=3), lengths) == 0
