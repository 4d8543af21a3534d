"""Arrays of a user's own: what is taken, and what is refused by one sentence before anything compiles."""

import re
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnjax
from rnnjax import data
from rnnjax.errors import DataError
from rnnjax.runs.announce import print_start
from rnnjax.training.runner import Runner

N = 40
RNG = np.random.default_rng(0)
X, Y, CLASSES = RNG.normal(size=(N, 5, 2)), RNG.normal(size=N), np.arange(N) % 2
RAGGED = [row[: 2 + number % 4] for number, row in enumerate(X)]
REGRESSION = rnnjax.Regression()


class Net(nn.Module):
    """``[B, T, D]`` to ``[B, outputs]``, or ``[B]`` where it has none."""

    outputs: int = 1

    @nn.compact
    def __call__(self, inputs, *, lengths=None, train=False):
        carry, _ = rnnjax.RNN(rnnjax.SimpleRNNCell(3))(inputs, lengths=lengths)
        return nn.Dense(self.outputs)(carry) if self.outputs else nn.Dense(1)(carry)[:, 0]


class EachStep(Net):
    @nn.compact
    def __call__(self, inputs, *, lengths=None, train=False):
        return nn.Dense(self.outputs)(inputs)


class Several(nn.Module):
    """Of an argument that is a tree, and another one."""

    @nn.compact
    def __call__(self, inputs, other, *, train=False):
        (left, right) = inputs
        return nn.Dense(1)(jnp.concatenate([left[:, 0], right["a"], other], -1))


class WithoutTrain(nn.Module):
    @nn.compact
    def __call__(self, inputs):
        return nn.Dense(1)(inputs[:, 0])


class Frame:
    """What pandas' tables are to us: no array, but made one by NumPy."""

    def __init__(self, values: Any):
        self._values = values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self._values, dtype)


def program(x: Any = X, y: Any = Y, *, model: Any = None, task: Any = REGRESSION, **options: Any) -> Runner:
    section = rnnjax.Arrays(x, y, **{"batch_size": 8, "validation_fraction": 0.2} | options)
    experiment = rnnjax.Experiment(data=section, model=model or Net(), task=task, train=rnnjax.TrainConfig(epochs=1))
    return Runner(experiment, data.load(section), jax.devices()[:1])


SINGLE = program()


@pytest.mark.parametrize(
    "given",
    [
        {"x": X.tolist(), "y": Y.tolist()},
        {"x": list(X), "y": list(Y)},
        {"x": X.astype(np.float32), "y": Y.astype(np.float32)},
        {"x": Frame(X), "y": Frame(Y)},
        {"x": jnp.asarray(X), "y": jnp.asarray(Y)},
        {"x": {"inputs": X}},
    ],
    ids=["nested lists", "lists of arrays", "float32", "frames", "JAX arrays", "dictionary"],
)
def test_the_same_numbers_in_another_dress_are_the_same_data(given):
    assert program(**given).dataset.fingerprint == SINGLE.dataset.fingerprint


def test_rows_of_different_lengths_are_padded_arrays_with_lengths():
    lengths = [len(row) for row in RAGGED]
    padded = np.where(np.arange(5)[:, None] < np.array(lengths)[:, None, None], X, 0)
    ours, theirs = program(RAGGED), program(padded, lengths=lengths)
    assert ours.dataset.fingerprint == theirs.dataset.fingerprint
    assert ours.dataset.train.timed == ("inputs",)


def test_a_tree_of_inputs_arrives_as_it_was_given():
    tree = {"inputs": (X, {"a": Y[:, None]}), "other": X[:, 0]}
    assert list(program(tree, model=Several()).dataset.spec.inputs) == ["inputs/0", "inputs/1/a", "other"]


@pytest.mark.parametrize(
    "y", [np.arange(N), -np.arange(N) - 1, np.arange(N) * 50_000_000, np.arange(N) % 2 == 0, np.ones(N)]
)
def test_integers_booleans_and_a_constant_can_be_regressed(y):
    made = program(y=y)
    assert len(made.dataset.spec.names) <= N
    totals = {
        "mean": 0.0,
    }
    del totals
    task: Any = made.task
    mean, scale = task.mean[0], task.scale[0]
    trained = np.concatenate([part for part in made.dataset.train.arrays.values() if part.ndim == 1]).astype(float)
    np.testing.assert_allclose((mean, scale), (trained.mean(), trained.std() or 1))


def test_booleans_are_two_classes():
    spec = program(y=CLASSES == 1, task=rnnjax.Classification(), model=Net(2)).dataset.spec
    assert spec.names == ("0", "1")


def test_test_targets_are_of_the_kind_of_trainings_and_its_rows_weigh_alike():
    made = program(weights=np.arange(N), test=(X, np.arange(N)))
    assert made.dataset.test is not None and made.dataset.test["targets"].dtype == np.float32
    np.testing.assert_array_equal(made.dataset.test["weights"], np.ones(N))


def test_a_weight_of_two_is_an_example_twice():
    """In the metrics of a split, against a sum by hand."""
    weights = RNG.integers(0, 3, N)
    made = program(weights=weights, test=None)
    variables = made.create_state(0).variables()
    found, split = made.evaluate(variables, "validation"), made.dataset.validation
    outputs = np.asarray(made.model.apply(variables, split["inputs"]))[:, 0]
    task: Any = made.task
    error = np.repeat(task.mean[0] + task.scale[0] * outputs - split["targets"], split["weights"].astype(int))
    assert found["rmse"] == pytest.approx(np.sqrt((error**2).mean()), rel=1e-5)
    assert found["mae"] == pytest.approx(np.abs(error).mean(), rel=1e-5)


CLASSIFIED: dict[str, Any] = {"task": rnnjax.Classification(), "model": Net(2)}
NAN = np.where(np.arange(N) == 3, np.nan, Y)
WRONG = [
    ({"model": Net(2)}, "outputs [1, 2] and targets [1] do not fit"),
    ({"y": np.stack([Y, Y], 1)}, "outputs [1, 1] and targets [1, 2] do not fit"),
    ({"model": EachStep()}, "outputs [1, 5, 1] and targets [1] do not fit"),
    ({"model": EachStep(2), "y": CLASSES, "task": rnnjax.Classification()}, "logits [1, 5, 2] and labels [1]"),
    ({**CLASSIFIED, "y": CLASSES, "model": Net(3)}, "needs 1 or 2 outputs a row"),
    ({"y": Y[:, None, None]}, "targets must be numbers [N] or [N, columns], got float32 [32, 1, 1]"),
    (CLASSIFIED, "labels must be integers, got float32"),
    ({**CLASSIFIED, "y": np.eye(2)[CLASSES]}, "take labels.argmax(-1)"),
    ({**CLASSIFIED, "y": np.eye(2, dtype=int)[CLASSES]}, "take labels.argmax(-1)"),
    ({**CLASSIFIED, "y": np.stack([CLASSES, CLASSES], 1)}, "a class at each step is for task=rnnjax.PerStep()"),
    ({**CLASSIFIED, "y": CLASSES[:, None]}, "take labels[:, 0]"),
    ({**CLASSIFIED, "y": 2 * CLASSES - 1}, "classes from 0 up, got -1..1"),
    ({**CLASSIFIED, "y": 0 * CLASSES}, "one class only"),
    ({"y": ["ham", "spam"] * 20}, "np.unique(y, return_inverse=True)"),
    ({"y": None}, "y must be an array with a target an example"),
    ({"y": 3.0}, "y must be an array with a target an example"),
    ({"y": [[1.0], [2.0, 3.0]]}, "a class at each step, are for task=rnnjax.PerStep()"),
    ({**CLASSIFIED, "y": CLASSES, "names": ("a", "a")}, "--data.names must be different names"),
    ({"y": 1.6e9 + Y}, "subtract its mean first"),
    ({"y": NAN}, "targets hold NaN or infinity, first in example 3"),
    ({"x": X + NAN[:, None, None]}, "inputs hold NaN or infinity, first in example 3"),
    ({"x": X * 1e300}, "inputs hold NaN or infinity"),
    ({"x": X[:0], "y": Y[:0]}, "there is no example in it"),
    ({"y": Y[:-1]}, "inputs has 40 rows, but y has 39"),
    ({"x": {"inputs": X, "b": X[:3]}}, "b has 3 rows, but y has 40"),
    ({"x": tuple(X)}, "a tuple is several inputs, the rows of one are a list or an array"),
    ({"x": {"a": X}}, "Net is called with a=, train= on arrays: missing a required argument: 'inputs'"),
    ({"model": WithoutTrain()}, "unexpected keyword argument 'train'"),
    ({"x": {"labels": X}}, "an input cannot be called 'labels'"),
    ({"x": np.array(["a", "b"] * 20)}, "inputs must hold numbers"),
    ({"x": X[:2], "y": Y[:2]}, "give more examples"),
    ({"lengths": np.full(N, 6)}, "lengths must lie in 0..5, example 0 got 6"),
    ({"lengths": np.full(N, 3.0)}, "lengths must be integers"),
    ({"lengths": np.full(N - 1, 3)}, "39 lengths but 40 inputs"),
    ({"weights": np.ones(3)}, "40 inputs but 3 weights"),
    ({"weights": np.ones((N, 1))}, "weights must be one number an example"),
    ({"weights": np.zeros(N)}, "weights are all 0"),
    ({"test": [X, Y]}, "test must be a tuple (x, y) or (x, y, lengths), got list"),
    ({"test": (X,)}, "got a tuple of 1"),
    ({"test": (X[:, :, :1], Y)}, "where one of train is"),
    ({"test": (X, Y), "lengths": [3] * N}, "test needs lengths as well"),
    ({"test": (X, Y, [3] * N)}, "test has lengths, but the training data have none"),
    ({"batch_size": 100}, "a batch of 100 is larger than the training split of 32 examples"),
    ({"model": rnnjax.ImageModel()}, "reads images [B, height, width, channels]; these data have inputs [1, 5, 2]"),
    ({"model": rnnjax.TextModel()}, "reads token ids"),
    ({"model": Net}, "model must be"),
    ({"task": rnnjax.Regression}, "task must be"),
]


@pytest.mark.parametrize(("given", "said"), WRONG, ids=[said for _, said in WRONG])
def test_what_does_not_belong_together_is_refused_by_a_sentence_before_compiling(given, said, monkeypatch):
    monkeypatch.setattr(jax, "pmap", lambda *_, **__: pytest.fail("compiled"))
    with pytest.raises((rnnjax.UsageError, rnnjax.DataError), match=re.escape(said)) as refused:
        program(**given)
    assert "\n" not in str(refused.value)


class Squares(rnnjax.Task):
    """A task as it should be; those below forget something."""

    def sums(self, outputs, batch, *, train):
        return self._of(outputs[:, 0], batch["targets"], batch["mask"])

    def _of(self, outputs, targets, mask):
        return {"loss": jnp.where(mask, (outputs - targets) ** 2, 0).sum(), "weight": mask.sum()}


class Broadcasting(Squares):
    def sums(self, outputs, batch, *, train):
        return self._of(outputs, batch["targets"], batch["mask"])


class Padded(Squares):
    def sums(self, outputs, batch, *, train):
        return self._of(outputs[:, 0], batch["targets"], jnp.ones_like(batch["mask"]))


class Mean(Squares):
    def sums(self, outputs, batch, *, train):
        sums = super().sums(outputs, batch, train=train)
        return sums | {"loss": sums["loss"] / sums["weight"]}


class Headless(Squares):
    headline = rnnjax.Metric("accuracy")


class Vector(Squares):
    def sums(self, outputs, batch, *, train):
        return {"loss": (outputs[:, 0] - batch["targets"]) ** 2, "weight": batch["mask"].sum()}


class Misspelt(Squares):
    def sums(self, outputs, batch, *, train):
        return {"loss": batch["target"].sum(), "weight": batch["mask"].sum()}


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (Broadcasting, "Broadcasting.sums: loss of two examples together is"),
        (Padded, "Padded.sums: loss counts rows that are padding"),
        (Mean, "Mean.sums: loss of two examples together is"),
        (Headless, "Headless.headline is accuracy, but finish gives loss"),
        (Vector, "Vector.sums: loss must be a sum over the batch, a scalar, got [1]"),
        (Misspelt, "no array 'target' in a batch"),
        (rnnjax.Task, "Task must say by sums"),
    ],
)
def test_a_task_whose_sums_are_none_is_refused(task, said):
    program(task=Squares())
    with pytest.raises(rnnjax.UsageError, match=re.escape(said)):
        program(task=task())


@pytest.mark.parametrize("part", ["train", "parallel", "optim", "data"])
def test_a_part_that_is_none_is_refused_by_its_name(part):
    given = {"data": rnnjax.Arrays(X, Y), "model": Net(), part: {"epochs": 1}}
    with pytest.raises(rnnjax.UsageError, match=f"^{part} must be .*; got"):
        rnnjax.Experiment(**given)


def test_features_are_not_cut_where_they_are_as_many_as_steps():
    rng = np.random.default_rng(0)
    lengths = np.r_[np.full(30, 5), 30, 28]
    x = {"sequence": rng.normal(size=(32, 30, 3)), "static": rng.normal(size=(32, 30))}
    data = rnnjax.Arrays(x, rng.normal(size=32), lengths=lengths, validation_fraction=0.25).load()
    assert data.train.timed == ("sequence",)
    ids = {"left": rng.integers(0, 9, (32, 30)), "right": rng.integers(0, 9, (32, 30))}
    assert rnnjax.Arrays(ids, rng.normal(size=32), lengths=lengths).load().train.timed == ("left", "right")
    assert rnnjax.Arrays(ids, rng.normal(size=32), lengths=lengths, timed=("left",)).load().train.timed == ("left",)
    with pytest.raises(DataError, match="timed names 'middle'; the inputs are left, right"):
        rnnjax.Arrays(ids, rng.normal(size=32), lengths=lengths, timed=("middle",)).load()


def test_a_test_split_of_another_dtype_is_refused():
    """Pixels of 0..255 and shares of them look alike to no model."""
    x = np.arange(160, dtype=np.uint8).reshape(40, 4)
    with pytest.raises(DataError, match=r"a row of test is .*float32"):
        rnnjax.Arrays(x, np.ones(40), test=(x / 255, np.ones(40))).load()


def test_counts_of_many_values_are_held_out_at_random():
    data = rnnjax.Arrays(np.ones((64, 2)), np.arange(64) // 2, validation_fraction=0.25).load()
    assert len(data.validation) == 16


@pytest.mark.parametrize(("batch", "seen"), [(32, None), (8, None), (20, "20 of the 32"), (16, None), (30, None)])
def test_examples_that_full_batches_leave_out_are_said(
    batch: int, seen: str | None, capsys: Any, tmp_path: Any
) -> None:
    print_start(program(batch_size=batch), 0, tmp_path)  # 32 training examples
    said = capsys.readouterr().out
    assert (f"an epoch sees {seen} training" in said) if seen else ("an epoch sees" not in said), said
