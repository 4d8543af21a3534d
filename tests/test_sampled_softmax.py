"""A sample of the vocabulary stands for all of it: right values are those of the whole softmax."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnjax
from rnnjax.models.sampled import sample, sampled_logits, sampled_losses

VOCABULARY, FEATURES, COUNT, DRAWS = 300, 6, 40, 4000


def made(seed=0):
    """Outputs ``[2, 3, D]``, a table, a bias whose frequencies fall as Zipf's, and targets, one frequent, one rare."""
    rng = np.random.default_rng(seed)
    outputs = rng.normal(size=(2, 3, FEATURES)).astype(np.float32)
    table = rng.normal(size=(VOCABULARY, FEATURES)).astype(np.float32) * 0.5
    bias = -np.log(np.arange(VOCABULARY) + 1.0).astype(np.float32)
    targets = np.array([[1, 2, 25], [299, 40, 150]], np.int32)
    return tuple(map(jnp.asarray, (outputs, table, bias, targets)))


def exactly(outputs, table, bias, targets):
    """The sum over all tokens but padding, and the targets' logits, in float64."""
    every = np.asarray(outputs, np.float64) @ np.asarray(table, np.float64).T + np.asarray(bias, np.float64)
    own = np.take_along_axis(every, np.asarray(targets)[..., None], -1)[..., 0]
    return np.exp(every[..., 1:]).sum(-1), own


@pytest.mark.parametrize("count", [2, 3, COUNT, VOCABULARY - 2])
def test_a_sample_has_the_most_frequent_tokens_and_others_by_their_chance(count):
    ids, stands_for = jax.vmap(lambda key: sample(key, VOCABULARY, count))(jax.random.split(jax.random.key(0), DRAWS))
    ids, stands_for = np.asarray(ids), np.asarray(stands_for)
    first = count // 2
    assert (ids[:, :first] == np.arange(1, first + 1)).all() and (stands_for[:, :first] == 0).all()
    assert ids[:, first:].min() >= first + 1 and ids.max() <= VOCABULARY - 1
    # Each token stands for one, in the mean over draws: nearly all are drawn often enough to say so.
    each = np.bincount(ids.ravel(), np.exp(stands_for).ravel(), VOCABULARY)[1:] / DRAWS
    assert abs(each.mean() - 1) < 0.02
    drawn = (count - first) * DRAWS / VOCABULARY
    assert np.abs(each - 1).max() < 12 / np.sqrt(drawn)


def test_what_a_sample_gives_is_in_the_mean_the_sum_over_the_vocabulary():
    outputs, table, bias, targets = made()
    keys = jax.random.split(jax.random.key(1), DRAWS)
    logits = jax.vmap(lambda key: sampled_logits(key, outputs, table, bias, targets, COUNT))(keys)
    sums = np.exp(np.asarray(logits, np.float64)).sum(-1)
    exact, own = exactly(outputs, table, bias, targets)
    error = sums.std(0) / np.sqrt(DRAWS)
    assert (np.abs(sums.mean(0) - exact) < 5 * error).all()
    np.testing.assert_allclose(logits[0, ..., 0], own, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_losses_come_near_those_of_the_whole_softmax_and_are_not_above_them():
    outputs, table, bias, targets = made()
    keys = jax.random.split(jax.random.key(2), DRAWS)
    losses = np.asarray(jax.vmap(lambda key: sampled_losses(key, outputs, table, bias, targets, 100))(keys), np.float64)
    total, own = exactly(outputs, table, bias, targets)
    exact = np.log(total) - own
    error = losses.std(0) / np.sqrt(DRAWS)
    assert (losses.mean(0) < exact + 5 * error).all()
    np.testing.assert_allclose(losses.mean(0), exact, atol=0.02)


@pytest.mark.parametrize("tied", [True, False])
def test_a_model_gives_the_logits_of_what_it_is_asked_for(tied):
    model = rnnjax.RecurrentLM(30, 4, rnnjax.Carried(rnnjax.StackedRNN([rnnjax.RNN(rnnjax.LSTMCell(4))])), tied=tied)
    inputs = jnp.arange(12).reshape(2, 6) % 28 + 2
    targets = (inputs + 1) % 30
    variables = model.init(jax.random.key(0), inputs)
    every, _ = model.apply(variables, inputs, mutable=["carry"])
    some, _ = model.apply(
        variables, inputs, targets=targets, sampled=20, rngs={"dropout": jax.random.key(1)}, mutable=["carry"]
    )
    assert some.shape == (2, 6, 21)
    np.testing.assert_allclose(some[..., 0], np.take_along_axis(every, targets[..., None], -1)[..., 0], rtol=2e-5)
    hidden = np.asarray(targets)[..., None] == np.arange(1, 11)  # the ten most frequent, whose logits are as they are
    np.testing.assert_allclose(np.where(hidden, 0, some[..., 1:11]), np.where(hidden, 0, every[..., 1:11]), atol=1e-6)
    assert (np.asarray(some[..., 1:11])[hidden] < -1e8).all()


CHANCES = 1 / np.arange(1, 41) / (1 / np.arange(1, 41)).sum()


def corpus(path, **optim):
    """A text of forty words, each drawn for itself with chances by Zipf's law."""
    path.write_text(" ".join(f"w{word}" for word in np.random.default_rng(0).choice(40, 8000, p=CHANCES)))
    return rnnjax.Experiment(
        data=rnnjax.CorpusData(path=str(path), tokenizer="words", window=4, batch_size=8),
        model=rnnjax.LanguageModel(features=(4,), embedding_features=4, tied=True),
        task=rnnjax.NextToken(),
        optim=rnnjax.OptimConfig(learning_rate=1e-2, schedule="constant", **optim),
        train=rnnjax.TrainConfig(epochs=2, steps_per_call=16),
    )


@pytest.mark.slow
@pytest.mark.long
def test_training_with_a_sample_comes_to_the_loss_of_training_without(tmp_path):
    """No model is better than the entropy of the words, and one that knows nothing has ln 42."""
    result = rnnjax.fit(corpus(tmp_path / "text.txt", sampled_tokens=20))
    entropy = -(CHANCES * np.log(CHANCES)).sum()
    assert result.metrics["test"]["loss"] == pytest.approx(entropy, abs=0.08)
    assert "accuracy" in result.metrics["test"], "evaluation is over all tokens"


@pytest.mark.parametrize(
    ("optim", "message"),
    [
        ({"sampled_tokens": 41}, "at least 2 and fewer than the 41 tokens"),
        ({"sampled_tokens": 1}, "at least 2 and fewer than"),
        ({"sampled_tokens": 3, "label_smoothing": 0.1}, "label-smoothing is over all tokens"),
    ],
)
def test_a_sample_that_is_none_is_refused(optim, message, tmp_path):
    with pytest.raises(rnnjax.UsageError, match=message):
        rnnjax.fit(corpus(tmp_path / "text.txt", **optim))


@pytest.mark.parametrize("option", [{"sampled_tokens": 5}, {"language_weight": 0.5}])
def test_what_a_task_would_not_hear_is_refused(option):
    x, y = np.zeros((8, 3), np.float32), np.arange(8) % 2
    experiment = rnnjax.Experiment(
        data=rnnjax.Arrays(x[:, :, None], y, batch_size=4, validation_fraction=0.5),
        model=rnnjax.SequenceModel(features=(2,)),
        optim=rnnjax.OptimConfig(**option),
    )
    with pytest.raises(rnnjax.UsageError, match="Classification has no language model's loss"):
        rnnjax.fit(experiment)
