"""The kit for cells and tasks of one's own: what is right passes it, and what breaks one promise is told which."""

import jax
import numpy as np
import pytest

from rnnjax.data import Preprocess, Spec
from rnnjax.data.examples import Dataset, Examples
from rnnjax.data.spec import Shape
from rnnjax.errors import UsageError
from rnnjax.layers.cells import LSTMCell
from rnnjax.tasks import Classification, NextRegion, NextToken, PerStep, Regression
from rnnjax.testing import check_cell, check_task
from tests import broken_cells, broken_tasks
from tests.broken_tasks import BATCH, OUTPUTS, SPEC
from tests.cell_cases import CELLS, LINEAR, name_of
from tests.marks import LONG, often
from tests.strangers.own_cell import DeepCell
from tests.strangers.own_metric import Alarms
from tests.test_cell_submodules import CountingCell, DenseCell, Fixed
from tests.test_tasks import CASES
from tests.test_tasks import SPEC as OF_COLUMNS

# Seconds each: .ci/run checks the kit on some of each kind, .ci/all on all.

FAST_CELLS = (broken_cells.LeaksRows, broken_cells.WrongSlope, broken_cells.OtherCarry, broken_cells.OutputAlone)
"""Which broken cells every run of the tests looks at: one of rows, one of gradients, one of a step's shapes."""


@pytest.mark.parametrize("case", often(CELLS, [case for case in CELLS if case.name in ("lstm", "lru")]), ids=name_of)
def test_every_cell_keeps_what_is_promised_of_cells(case):
    checked = check_cell(case.make())
    others = ("associative", "chunked") if case in LINEAR else ()
    others = ("fused",) if case.make().fused_obstacle() is None else others
    for other in ("fused", "associative", "chunked"):
        assert (f"{other} = scan" in checked) == (other in others)
    assert f"finite differences (float{32 if case.float32_only else 64})" in checked
    assert ("bfloat16" in checked) == (not case.float32_only)
    assert {"step by step", "chunks (scan)", "padding (scan)", "resets (scan)", "rows (scan)", "rows (vmap)"} <= {
        *checked
    }
    assert "4 devices" in checked


@pytest.mark.parametrize(
    ("cell", "seen"),
    [
        pytest.param(DenseCell(4), "rows (vmap)", marks=LONG),
        pytest.param(DeepCell(4), "resets (scan)", marks=LONG),
        pytest.param(Fixed(4), "resets (scan)", marks=LONG),
        pytest.param(CountingCell(4, normed=True), "chunks (scan)", marks=LONG),
        pytest.param(LSTMCell(4, dtype="bfloat16"), "fused = scan", marks=LONG),
        pytest.param(LSTMCell(4, dtype="bfloat16", carry_dtype="float32"), "bfloat16", marks=LONG),
        (broken_cells.GOOD["own fused"](5), "fused, reverse = scan"),
    ],
    ids=repr,
)
def test_cells_of_ones_own_that_are_right_pass(cell, seen):
    assert seen in check_cell(cell)


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        pytest.param(cell, said, id=cell.__name__, marks=[] if cell in FAST_CELLS else LONG)
        for cell, said in broken_cells.BROKEN.items()
    ],
)
def test_a_cell_that_breaks_a_promise_is_told_which(cell, said):
    with pytest.raises(AssertionError, match=said):
        check_cell(cell(5))


def test_what_is_no_cell_or_too_small_to_tell_is_refused():
    with pytest.raises(UsageError, match="needs an instance of a RecurrentCell, got"):
        check_cell(LSTMCell)
    with pytest.raises(UsageError, match="needs features_in >= 1, steps >= 4 and rows >= 3, got 3, 2 and 4"):
        check_cell(LSTMCell(4), steps=2)


ROWS = 9
RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, ROWS).astype(np.int32)
TWO = (LABELS % 2).astype(np.int32)


def drawn(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def of_classes(*names):
    return Spec({"inputs": Shape((1, 4), np.dtype(np.float32))}, outputs=len(names), names=names)


RIGHT = {
    **{name: (*case, OF_COLUMNS) for name, case in CASES.items()},
    "one logit": (Classification(label_smoothing=0.1), drawn(ROWS, 1), {"labels": TWO}, of_classes("no", "yes")),
    "two logits": (Classification(), drawn(ROWS, 2), {"labels": TWO}, of_classes("no", "yes")),
    "a number": (Regression(mean=(3.0,), scale=(2.0,)), drawn(ROWS, 1), {"targets": drawn(ROWS)}, SPEC),
    "a stranger's": (Alarms(), drawn(ROWS, 1), {"labels": TWO}, of_classes("no", "yes")),
    "a step each": (
        broken_tasks.Steps(),
        drawn(ROWS, 5, 3),
        {"labels": RNG.integers(0, 3, (ROWS, 5)).astype(np.int32), "lengths": np.arange(ROWS) % 6},
        of_classes(*"abc"),
    ),
    "a token each": (
        NextToken(label_smoothing=0.1),
        drawn(ROWS, 5, 3),
        {"targets": RNG.integers(-1, 3, (ROWS, 5)).astype(np.int32)},
        Spec({}, outputs=3, vocabulary=3),
    ),
    "a region each": (
        NextRegion(ahead=2, without_most_frequent=0),
        drawn(ROWS, 5, 3),
        {"targets": RNG.integers(-1, 3, (ROWS, 5)).astype(np.int32)},
        Spec({}, outputs=3, vocabulary=3),
    ),
    "tags": (
        PerStep(label_smoothing=0.1),
        drawn(ROWS, 5, 3),
        {"labels": RNG.integers(-1, 3, (ROWS, 5)).astype(np.int32), "lengths": np.arange(ROWS) % 6},
        of_classes("O", "B-X", "I-X"),
    ),
    "a tree": (broken_tasks.Pair(), (drawn(ROWS, 2), {"more": drawn(ROWS)}), {"targets": drawn(ROWS, 2)}, SPEC),
}
FAST_TASKS = ("a step each",)


MARKS = {name: [] if name in FAST_TASKS else LONG for name in RIGHT}


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks) for name, marks in MARKS.items()])
def test_tasks_that_are_right_pass(name):
    task, outputs, batch, spec = RIGHT[name]
    checked = check_task(task, outputs, batch, spec=spec)
    assert {"sums of parts in training", "padding", "gradients", "order of the headline", "answers", "JSON"} <= {
        *checked
    }
    assert f"{jax.local_device_count()} devices" in checked
    exact = not isinstance(task, Regression)  # its loss is float32 whatever the outputs are
    assert f"finite differences (float{64 if exact else 32})" in checked


def dataset(spec=SPEC, **targets):
    every = Examples({"inputs": np.zeros((ROWS, 4), np.float32), **targets})
    return Dataset("made up", every, every, None, Preprocess(), spec)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "data"),
    [
        (Regression(), dataset(targets=100 + drawn(ROWS))),
        (Classification(), dataset(of_classes(*"abc"), labels=LABELS)),
    ],
    ids=["regression", "classification"],
)
def test_a_data_set_prepares_the_task_and_gives_a_batch(task, data):
    assert {"answers", "JSON"} <= {*check_task(task, None, data)}


@pytest.mark.parametrize(("task", "said"), broken_tasks.BROKEN.items(), ids=lambda part: getattr(part, "__name__", ""))
def test_a_task_that_breaks_a_promise_is_told_which(task, said):
    with pytest.raises(AssertionError, match=said):
        check_task(task(), OUTPUTS, BATCH, spec=SPEC)


def test_a_task_that_forgets_what_its_data_told_it_is_told_so():
    with pytest.raises(AssertionError, match="Forgets: restored from its JSON, it has other sums; to_json must say"):
        check_task(broken_tasks.Forgets(), OUTPUTS, dataset(targets=100 + drawn(ROWS)))


def test_outputs_that_are_said_to_be_perfect_must_be_better():
    perfect, worst = BATCH["targets"][:, None], BATCH["targets"][:, None] + 5
    assert "order of the headline" in check_task(broken_tasks.Squares(), OUTPUTS, BATCH, perfect=perfect, worst=worst)
    with pytest.raises(AssertionError, match="Squares: perfect outputs have mse 25, and others 0, of which"):
        check_task(broken_tasks.Squares(), OUTPUTS, BATCH, perfect=worst, worst=perfect)


def test_a_loss_of_whole_batches_passes_where_it_is_said_to_be_one():
    assert "sums of parts in training" not in check_task(broken_tasks.TrainsOnMeans(), OUTPUTS, BATCH, batchwise=True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((Regression, OUTPUTS, BATCH), "needs an instance of a Task"),
        ((Regression(), OUTPUTS, {**BATCH, "mask": np.ones(8, bool)}), "without a mask"),
        ((Regression(), None, BATCH), "draws outputs by a specification"),
        ((Regression(), OUTPUTS[:2], BATCH), "of one number of rows, at least 3, got"),
        ((Regression(), OUTPUTS.astype(np.int32), BATCH), "needs outputs of floats"),
    ],
)
def test_what_cannot_be_checked_is_refused(given, said):
    with pytest.raises(UsageError, match=said):
        check_task(*given)
