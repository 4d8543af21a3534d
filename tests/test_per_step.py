"""A class at each step: losses are PyTorch's, scores scikit-learn's, spans those of a plain reading of conlleval."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics

import rnnjax
from rnnjax.tasks import losses

RNG = np.random.default_rng(0)
B, T = 6, 9
BIO = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
LOGITS = (2 * RNG.normal(size=(B, T, 5))).astype(np.float32)
LABELS = RNG.integers(-1, 5, (B, T)).astype(np.int32)
LENGTHS = np.array([9, 4, 7, 1, 0, 9], np.int32)
MASK = np.array([1, 1, 1, 1, 1, 0], bool)
WEIGHTS = RNG.uniform(0, 3, B).astype(np.float32)
COUNTED = MASK[:, None] & (np.arange(T) < LENGTHS[:, None]) & (LABELS >= 0)
BATCH = {"labels": LABELS, "lengths": LENGTHS, "mask": MASK}


def totals(task: Any, outputs: Any, batch: Any, train: bool = False) -> dict[str, np.ndarray]:
    sums = jax.jit(functools.partial(task.sums, train=train))(outputs, dict(batch))
    return {name: np.asarray(value, np.float64) for name, value in sums.items()}


# Losses.


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_of_steps_and_its_gradient_are_torchs_which_ignores_the_same(smoothing):
    torch = pytest.importorskip("torch")
    logits = torch.tensor(LOGITS.reshape(-1, 5), requires_grad=True)
    labels = torch.tensor(LABELS.reshape(-1).astype(np.int64))
    theirs = torch.nn.functional.cross_entropy(
        logits, labels, ignore_index=-1, reduction="none", label_smoothing=smoothing
    )
    theirs.sum().backward()
    ours = losses.per_step_cross_entropy(jnp.array(LOGITS), jnp.array(LABELS), smoothing)
    np.testing.assert_allclose(ours.reshape(-1), theirs.detach().numpy(), rtol=1e-5, atol=1e-6)
    gradient = jax.grad(lambda x: losses.per_step_cross_entropy(x, jnp.array(LABELS), smoothing).sum())(
        jnp.array(LOGITS)
    )
    assert logits.grad is not None
    np.testing.assert_allclose(gradient.reshape(-1, 5), logits.grad.numpy(), rtol=1e-4, atol=1e-6)


def test_the_loss_of_half_precision_is_computed_in_float32():
    half = losses.per_step_cross_entropy(jnp.array(LOGITS, jnp.bfloat16), jnp.array(LABELS))
    assert half.dtype == jnp.float32
    np.testing.assert_allclose(half, losses.per_step_cross_entropy(jnp.array(LOGITS), jnp.array(LABELS)), atol=0.1)


def test_the_loss_is_a_mean_over_the_steps_that_count_in_nats():
    found = rnnjax.PerStep().finish(totals(rnnjax.PerStep(), LOGITS, BATCH))
    probabilities = np.exp(LOGITS[COUNTED]) / np.exp(LOGITS[COUNTED]).sum(-1, keepdims=True)
    assert found["loss"] == pytest.approx(metrics.log_loss(LABELS[COUNTED], probabilities, labels=range(5)), rel=1e-5)


def test_labels_are_smoothed_in_training_alone():
    task = rnnjax.PerStep(label_smoothing=0.2)
    smooth, plain = totals(task, LOGITS, BATCH, train=True), totals(task, LOGITS, BATCH)
    assert smooth["loss"] != pytest.approx(plain["loss"])
    assert totals(rnnjax.PerStep(), LOGITS, BATCH, train=True)["loss"] == plain["loss"]


# Scores.


@pytest.mark.parametrize("weighed", [False, True])
def test_accuracy_and_macro_f1_are_scikit_learns_over_the_steps_that_count(weighed):
    batch = BATCH | ({"weights": WEIGHTS} if weighed else {})
    found = rnnjax.PerStep().finish(totals(rnnjax.PerStep(), LOGITS, batch))
    labels, predicted = LABELS[COUNTED], LOGITS.argmax(-1)[COUNTED]
    weights = np.broadcast_to(WEIGHTS[:, None], COUNTED.shape)[COUNTED] if weighed else None
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(labels, predicted, sample_weight=weights))
    f1 = metrics.f1_score(labels, predicted, average="macro", sample_weight=weights)
    assert found["macro_f1"] == pytest.approx(f1, rel=1e-5)


def test_a_class_that_never_occurs_has_no_part_in_macro_f1():
    labels, predicted = np.array([[0, 0, 3]]), np.array([[0, 3, 3]])
    batch = {"labels": labels, "mask": np.array([True])}
    found = rnnjax.PerStep().finish(totals(rnnjax.PerStep(), np.eye(5)[predicted], batch))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(labels[0], predicted[0], average="macro"))


def test_counts_are_integers_of_32_bits_and_weighed_ones_floats():
    task = rnnjax.PerStep(tags=BIO)
    for batch, dtype in ((BATCH, np.int32), (BATCH | {"weights": WEIGHTS}, np.float32)):
        sums = task.sums(jnp.array(LOGITS), {name: jnp.array(part) for name, part in batch.items()}, train=False)
        assert {value.dtype for name, value in sums.items() if name != "loss"} == {np.dtype(dtype)}


def test_sums_of_parts_add_up_to_those_of_the_whole():
    task, batch = rnnjax.PerStep(tags=BIO), BATCH | {"weights": WEIGHTS}
    whole = totals(task, LOGITS, batch)
    parts = [
        totals(task, LOGITS[rows], {name: part[rows] for name, part in batch.items()})
        for rows in (slice(2), slice(2, None))
    ]
    for name, total in whole.items():
        np.testing.assert_allclose(parts[0][name] + parts[1][name], total, rtol=1e-5)


def test_what_stands_in_padding_reaches_neither_sums_nor_gradients():
    task = rnnjax.PerStep(tags=BIO)
    spoilt = np.where(COUNTED[..., None], LOGITS, np.nan).astype(np.float32)
    junk = BATCH | {"labels": np.where(COUNTED | (LABELS < 0), LABELS, 3)}
    for train in (False, True):
        clean, ours = totals(task, LOGITS, BATCH, train), totals(task, spoilt, junk, train)
        longer = {"labels": np.pad(LABELS, ((0, 0), (0, 4)))}
        padded = totals(task, np.pad(LOGITS, ((0, 0), (0, 4), (0, 0))), BATCH | longer, train)
        for name in clean:
            np.testing.assert_allclose(ours[name], clean[name], rtol=1e-6)
            np.testing.assert_allclose(padded[name], clean[name], rtol=1e-6)
    gradient = jax.grad(lambda x: task.sums(x, {n: jnp.array(p) for n, p in junk.items()}, train=True)["loss"])(
        jnp.array(spoilt)
    )
    assert np.isfinite(gradient).all()
    assert (np.asarray(gradient)[~COUNTED] == 0).all()
    assert (np.asarray(gradient)[COUNTED] != 0).any(-1).all()


def test_nothing_is_a_score_of_no_steps():
    nothing = BATCH | {"mask": np.zeros(B, bool)}
    assert set(rnnjax.PerStep(tags=BIO).finish(totals(rnnjax.PerStep(tags=BIO), LOGITS, nothing)).values()) == {0.0}


def test_a_score_that_is_none_is_refused():
    with pytest.raises(rnnjax.UsageError, match="score must be one of accuracy, macro-f1, span-f1, got 'f1'"):
        rnnjax.PerStep(score="f1")  # pyright: ignore[reportArgumentType]
