"""Uneven classes: weights of the loss against scikit-learn and PyTorch, and checkpoints chosen by what fits."""

import dataclasses
from types import SimpleNamespace

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.utils.class_weight import compute_class_weight

from rnnjax import Arrays, Classification, Experiment, OptimConfig, PerStep, Regression, TrainConfig
from rnnjax.errors import UsageError
from rnnjax.tasks.balance import balanced
from rnnjax.training.runner import Runner

RNG = np.random.default_rng(3)
LABELS = RNG.choice(3, 90, p=[0.8, 0.15, 0.05])
LOGITS = RNG.normal(size=(90, 3)).astype(np.float32)
MASK = np.arange(90) < 80
BALANCED = SimpleNamespace(class_weights="balanced")


def sums(task, train):
    batch = {"labels": jnp.asarray(LABELS), "mask": jnp.asarray(MASK)}
    return task.sums(jnp.asarray(LOGITS), batch, train=train)


def test_balanced_weights_are_scikit_learns_and_one_in_the_mean():
    ours = balanced(LABELS, 3)
    np.testing.assert_allclose(ours, compute_class_weight("balanced", classes=np.arange(3), y=LABELS))
    assert np.mean(np.array(ours)[LABELS]) == pytest.approx(1)
    assert balanced(np.array([0, 0, 2]), 3) == (0.75, 1.0, 1.5)


def test_the_weighed_loss_is_pytorchs_and_of_training_alone():
    torch = pytest.importorskip("torch")
    weights = balanced(LABELS, 3)
    loss = torch.nn.CrossEntropyLoss(weight=torch.tensor(weights, dtype=torch.float32), reduction="sum")
    expected = float(loss(torch.tensor(LOGITS[MASK]), torch.tensor(LABELS[MASK])))
    ours, plain = sums(Classification(class_weights=weights), True), sums(Classification(), True)
    assert float(ours["loss"]) == pytest.approx(expected, rel=1e-5)
    assert (ours["correct"], ours["weight"]) == (plain["correct"], plain["weight"])
    assert sums(Classification(class_weights=weights), False)["loss"] == sums(Classification(), False)["loss"]
    steps = {"labels": jnp.asarray(LABELS[None]), "mask": jnp.ones(1, bool)}
    per_step = PerStep(class_weights=weights).sums(jnp.asarray(LOGITS[None]), steps, train=True)
    whole = float(loss(torch.tensor(LOGITS), torch.tensor(LABELS)))
    assert float(per_step["loss"]) == pytest.approx(whole, rel=1e-5)


def test_macro_f1_is_made_of_sums():
    totals = {name: np.asarray(value) for name, value in sums(Classification(best="macro_f1"), False).items()}
    expected = sk.f1_score(LABELS[MASK], LOGITS[MASK].argmax(-1), average="macro")
    assert Classification(best="macro_f1").finish(totals)["macro_f1"] == pytest.approx(expected)
    assert set(sums(Classification(), True)) == {"loss", "correct", "weight"}  # what is compiled stays as it was


class Net(nn.Module):
    outputs: int

    @nn.compact
    def __call__(self, inputs, train=False):
        return nn.Dense(self.outputs)(inputs)


def experiment(y, best="", task=None, optim=None):
    data = Arrays(RNG.normal(size=(len(y), 4)).astype(np.float32), y, batch_size=16)
    parts = {"task": task} if task else {}
    optim = optim or OptimConfig()
    return Experiment(data=data, model=Net(3), train=TrainConfig(epochs=2, best=best), own=True, optim=optim, **parts)


def runner(*arguments, **options):
    made = experiment(*arguments, **options)
    return Runner(made, made.data.load())


def test_uneven_data_choose_by_macro_f1_and_even_ones_by_accuracy():
    uneven = runner(np.repeat([0, 1, 2], [80, 10, 10]))
    assert uneven.task.chooser.name == "macro_f1"
    assert uneven.fitting == "80% of the training examples are '0'"
    even = runner(np.repeat([0, 1, 2], [40, 30, 30]))
    assert (even.task.chooser.name, even.fitting) == ("accuracy", "")
    asked = runner(np.repeat([0, 1, 2], [80, 10, 10]), "accuracy")
    assert (asked.task.chooser.name, asked.fitting) == ("accuracy", "")
    not_own = dataclasses.replace(experiment(np.repeat([0, 1, 2], [80, 10, 10])), own=False)
    assert Runner(not_own, not_own.data.load()).task.chooser.name == "accuracy"


def test_auc_is_measured_where_it_chooses():
    program = runner(np.repeat([0, 1, 2], [40, 30, 30]), "auc")
    variables = program.create_state(0).variables()
    values, _, kept = program.evaluate_keeping(variables, "validation")
    assert program.evaluate(variables, "validation") == values
    exp = np.exp(kept["logits"].astype(float))
    expected = sk.roc_auc_score(kept["labels"], exp / exp.sum(-1, keepdims=True), multi_class="ovr")
    assert values["auc"] == pytest.approx(expected, abs=1e-6)


def test_what_chooses_orders_epochs_and_an_epoch_without_it_is_last():
    task = Classification(best="macro_f1")
    assert task.rank({"macro_f1": 0.6, "accuracy": 0.7}) > task.rank({"macro_f1": 0.5, "accuracy": 0.9})
    assert task.rank({"macro_f1": 0.1, "accuracy": 0.1}) > task.rank({"accuracy": 0.9})
    loss = Classification(best="loss")
    assert loss.rank({"loss": 0.3, "accuracy": 0.1}) > loss.rank({"loss": 0.4, "accuracy": 0.9})
    assert loss.compared.name == "accuracy"


def test_what_cannot_be_chosen_by_or_weighed_is_refused():
    with pytest.raises(UsageError, match="one of accuracy, macro_f1, auc, loss, not 'f1'"):
        experiment(np.repeat([0, 1], 9), "f1")
    with pytest.raises(UsageError, match="Regression chooses its best checkpoint by rmse, not 'auc'"):
        experiment(np.arange(9.0), "auc", Regression())
    with pytest.raises(UsageError, match=r"--optim\.class-weights are of classes; Regression has none"):
        runner(np.linspace(0, 1, 40), task=Regression(), optim=OptimConfig(class_weights="balanced"))
    task = runner(np.repeat([0, 1, 2], [60, 30, 10]), optim=OptimConfig(class_weights="balanced")).task
    assert task.class_weights == pytest.approx((1 / 1.8, 1 / 0.9, 1 / 0.3), rel=0.05)
