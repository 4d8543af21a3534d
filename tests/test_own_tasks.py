"""Tasks of one's own that would answer wrong without a word: they are refused before anything compiles."""

from dataclasses import dataclass
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest

import rnnjax
from rnnjax.errors import UsageError
from rnnjax.tasks.base import Metric, Task, mean, target_of

X = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")


class Net(nn.Module):
    @nn.compact
    def __call__(self, inputs, *, train=False):
        return nn.Dense(1)(inputs)


@dataclass(frozen=True)
class Squares(Task):
    headline: ClassVar[Metric] = Metric("mse", "min", "{:.4f}")
    more: Any = None
    metric: Any = ("other", float)

    def sums(self, outputs, batch, *, train):
        real = batch["mask"]
        loss = jnp.where(real, (outputs[:, 0] - target_of(batch)) ** 2, 0).sum()
        made = {"loss": loss, "weight": real.sum()}
        return made if self.more is None else made | {"more": self.more(real)}

    def finish(self, totals):
        loss = mean(totals["loss"], totals["weight"])
        name, kind = self.metric
        return {"loss": loss, "mse": loss, name: kind(loss)}


class Negated(Squares):
    def answers(self, outputs, spec):
        return -outputs


def experiment(task):
    data = rnnjax.Arrays(X, X.sum(1), validation_fraction=0.25, batch_size=8)
    return rnnjax.Experiment(data=data, model=Net(), task=task, train=rnnjax.TrainConfig(epochs=1))


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (Squares(lambda real: real.astype("bfloat16").sum()), "sums: more must have 32 bits"),
        (Squares(lambda real: real.sum(dtype="int8")), "sums: more must have 32 bits"),
        (Squares(lambda real: {"of": real.sum()}), "sums: more must be an array, got a dict"),
        (Squares(metric=("step", float)), "finish: step is taken"),
        (Squares(metric=("other", np.ones_like)), "finish: other must be a float, got a ndarray"),
        (Squares(metric=("other", lambda loss: jnp.float32(loss))), "finish: other must be a float"),
    ],
)
def test_sums_that_overflow_and_metrics_that_cannot_be_kept_are_refused(task, said):
    with pytest.raises(UsageError, match=said):
        rnnjax.fit(experiment(task))


@pytest.mark.parametrize("other", [Negated(), rnnjax.Regression()])
def test_a_run_answers_by_the_task_that_it_was_trained_on_and_by_no_other(other, tmp_path):
    result = rnnjax.fit(experiment(Squares()), workdir=tmp_path / "run")
    again = rnnjax.load(tmp_path / "run", experiment=experiment(Squares()))
    assert np.array_equal(again(X[:5]), result.predictor(X[:5]))
    with pytest.raises(UsageError, match=r"was trained on another task, .*Squares, than the"):
        rnnjax.load(tmp_path / "run", experiment=experiment(other))
