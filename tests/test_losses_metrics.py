"""Losses and metrics against PyTorch, scikit-learn and the formulas."""

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss

from rnnjax.errors import UsageError
from rnnjax.tasks import Classification, losses, metrics

RNG = np.random.default_rng(0)
LOGITS = (3 * RNG.normal(size=(9, 5))).astype(np.float32)
LABELS = RNG.integers(0, 5, 9).astype(np.int32)
ONE_LOGIT, TWO_CLASSES = LOGITS[:, :1], (LABELS % 2).astype(np.int32)
MASK = np.array([1, 1, 0, 1, 0, 0, 1, 1, 1], bool)


def softmax(logits):
    exp = np.exp(np.asarray(logits, np.float64))
    return exp / exp.sum(-1, keepdims=True)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_sparse_cross_entropy_is_torchs(smoothing):
    torch = pytest.importorskip("torch")
    expected = torch.nn.functional.cross_entropy(
        torch.tensor(LOGITS), torch.tensor(LABELS.astype(np.int64)), reduction="none", label_smoothing=smoothing
    )
    actual = losses.sparse_cross_entropy(jnp.array(LOGITS), jnp.array(LABELS), smoothing)
    np.testing.assert_allclose(actual, expected.numpy(), rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_binary_cross_entropy_is_torchs(smoothing):
    torch = pytest.importorskip("torch")
    targets = torch.tensor(TWO_CLASSES * (1 - smoothing) + smoothing / 2, dtype=torch.float32)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.tensor(ONE_LOGIT[:, 0]), targets, reduction="none"
    )
    actual = losses.binary_cross_entropy(jnp.array(ONE_LOGIT), jnp.array(TWO_CLASSES), smoothing)
    np.testing.assert_allclose(actual, expected.numpy(), rtol=1e-5, atol=1e-7)


def test_mean_losses_are_scikit_learns():
    sparse = losses.sparse_cross_entropy(jnp.array(LOGITS), jnp.array(LABELS))
    np.testing.assert_allclose(sparse.mean(), log_loss(LABELS, softmax(LOGITS), labels=range(5)), rtol=1e-5)
    binary = losses.binary_cross_entropy(jnp.array(ONE_LOGIT), jnp.array(TWO_CLASSES))
    probability = 1 / (1 + np.exp(-ONE_LOGIT[:, 0].astype(np.float64)))
    np.testing.assert_allclose(binary.mean(), log_loss(TWO_CLASSES, probability), rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_one_logit_and_two_logits_say_the_same(smoothing):
    """A logit z is the difference of two, and smoothing spreads its mass over both classes alike."""
    one = losses.binary_cross_entropy(jnp.array(ONE_LOGIT), jnp.array(TWO_CLASSES), smoothing)
    two_logits = jnp.concatenate([jnp.zeros_like(ONE_LOGIT), ONE_LOGIT], axis=-1)
    two = losses.sparse_cross_entropy(two_logits, jnp.array(TWO_CLASSES), smoothing)
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


def test_large_logits_stay_finite():
    extreme = jnp.array([[1e4, -1e4], [-1e4, 1e4]])
    np.testing.assert_allclose(losses.sparse_cross_entropy(extreme, jnp.array([0, 0])), [0, 2e4])
    np.testing.assert_allclose(losses.binary_cross_entropy(extreme[:, :1], jnp.array([1, 1])), [0, 1e4])
    np.testing.assert_allclose(metrics.class_probabilities(np.array(extreme)), [[1, 0], [0, 1]])


def test_the_loss_follows_the_number_of_logits():
    assert losses.for_outputs(1) is losses.binary_cross_entropy
    assert losses.for_outputs(2) is losses.sparse_cross_entropy


@pytest.mark.parametrize(("logits", "labels"), [(LOGITS, LABELS), (ONE_LOGIT, TWO_CLASSES)], ids=["sparse", "binary"])
def test_sums_count_real_rows_only(logits, labels):
    row_losses = losses.for_outputs(logits.shape[-1])(jnp.array(logits), jnp.array(labels), 0.0)
    # What stands in masked rows, NaN included, must not matter.
    noisy, wrong = np.array(row_losses), np.where(MASK[:, None], logits, np.nan)
    noisy[~MASK] = np.nan
    total = metrics.sums(jnp.array(wrong), jnp.array(labels), jnp.array(noisy), jnp.array(MASK))
    assert int(total["weight"]) == MASK.sum()
    np.testing.assert_allclose(total["loss"], np.array(row_losses)[MASK].sum(), rtol=1e-6)
    predicted = logits.argmax(-1) if logits.shape[-1] > 1 else (logits[:, 0] > 0).astype(int)
    expected = accuracy_score(labels[MASK], predicted[MASK])
    assert 0 < expected < 1
    np.testing.assert_allclose(Classification().finish(total)["accuracy"], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (LOGITS, LABELS[:, None]),
        (LOGITS, LABELS[:1]),
        (LOGITS[:1], LABELS),
        (LOGITS[:, 0], LABELS),
        (LOGITS[None], LABELS),
    ],
)
def test_shapes_that_would_broadcast_are_refused(logits, labels):
    logits, labels = jnp.array(logits), jnp.array(labels)
    fitting = jnp.zeros(labels.shape), jnp.ones(labels.shape, bool)
    calls = [
        lambda: losses.sparse_cross_entropy(logits, labels),
        lambda: losses.binary_cross_entropy(logits[..., :1], labels),
        lambda: metrics.sums(logits, labels, *fitting),
    ]
    for call in calls:
        with pytest.raises(UsageError, match="must be"):
            call()


def test_losses_and_a_mask_of_other_rows_are_refused():
    logits, labels, each, mask = (jnp.array(a) for a in (LOGITS, LABELS, LOGITS[:, 0], MASK))
    for arguments in ((each[:, None], mask), (each, mask[:1])):
        with pytest.raises(UsageError, match=r"must be \[9\]"):
            metrics.sums(logits, labels, *arguments)
    with pytest.raises(UsageError, match=r"one logit a row, got logits \[9, 5\]"):
        losses.binary_cross_entropy(logits, labels)


def test_no_rows_give_zero():
    assert Classification().finish({"loss": 0.0, "correct": 0, "weight": 0}) == {"loss": 0.0, "accuracy": 0.0}


def test_class_probabilities():
    np.testing.assert_allclose(metrics.class_probabilities(LOGITS), softmax(LOGITS), rtol=1e-12)
    binary = metrics.class_probabilities(ONE_LOGIT)
    positive = 1 / (1 + np.exp(-ONE_LOGIT[:, 0].astype(np.float64)))
    np.testing.assert_allclose(binary, np.stack([1 - positive, positive], -1), rtol=1e-12)
    for logits in (LOGITS, ONE_LOGIT):
        np.testing.assert_array_equal(
            metrics.class_probabilities(logits).argmax(-1), metrics.predicted_class(jnp.array(logits))
        )
