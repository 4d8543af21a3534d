"""Tasks that break one promise each, for the kit to find, and how it must say so."""

from dataclasses import dataclass, replace
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rnnjax.data import Spec
from rnnjax.data.spec import Shape
from rnnjax.tasks.base import Metric, Task, mean, target_of

RNG = np.random.default_rng(1)
OUTPUTS = RNG.normal(size=(8, 1)).astype(np.float32)
BATCH = {"targets": RNG.normal(size=8).astype(np.float32)}
SPEC = Spec({"inputs": Shape((1, 4), np.dtype(np.float32))}, outputs=1)


@dataclass(frozen=True)
class Squares(Task):
    """The mean squared error, which keeps all promises."""

    headline: ClassVar[Metric] = Metric("mse", "min", "{:.4f}")

    def each(self, outputs, batch):
        return (outputs[:, 0] - target_of(batch)) ** 2

    def sums(self, outputs, batch, *, train):
        real = batch["mask"]
        return {"loss": jnp.where(real, self.each(outputs, batch), 0).sum(), "weight": real.sum()}

    def finish(self, totals):
        loss = mean(totals["loss"], totals["weight"])
        return {"loss": loss, "mse": loss}


class Steps(Task):
    """A class a step, [B, T, C] and [B, T], of rows of different lengths."""

    def sums(self, outputs, batch, *, train):
        real = batch["mask"][:, None] & (jnp.arange(outputs.shape[1]) < batch["lengths"][:, None])
        loss = optax.softmax_cross_entropy_with_integer_labels(outputs, batch["labels"])
        return {"loss": jnp.where(real, loss, 0).sum(), "weight": real.sum()}

    def answers(self, outputs, spec):
        return outputs.argmax(-1)


class Pair(Task):
    """Of outputs that are a tree."""

    def sums(self, outputs, batch, *, train):
        first, second = outputs[0], outputs[1]["more"]
        loss = ((first - batch["targets"]) ** 2).sum(-1) + jnp.abs(second)
        return {"loss": jnp.where(batch["mask"], loss, 0).sum(), "weight": batch["mask"].sum()}

    def answers(self, outputs, spec):
        return outputs[0]


class Broadcasts(Squares):
    def sums(self, outputs, batch, *, train):
        error = (outputs - target_of(batch)) ** 2
        return {"loss": jnp.where(batch["mask"], error, 0).sum(), "weight": batch["mask"].sum()}


class ForgetsTheMask(Squares):
    def sums(self, outputs, batch, *, train):
        return {"loss": self.each(outputs, batch).sum(), "weight": batch["mask"].sum()}


class CountsEveryRow(Squares):
    def sums(self, outputs, batch, *, train):
        return super().sums(outputs, batch, train=train) | {"weight": jnp.ones(len(outputs)).sum()}


class TimesTheMask(Squares):
    def sums(self, outputs, batch, *, train):
        loss = (self.each(outputs, batch) * batch["mask"]).sum()
        return {"loss": loss, "weight": batch["mask"].sum()}


class Means(Squares):
    def sums(self, outputs, batch, *, train):
        made = super().sums(outputs, batch, train=train)
        return made | {"loss": made["loss"] / made["weight"].clip(1)}


class TrainsOnMeans(Squares):
    def sums(self, outputs, batch, *, train):
        made = super().sums(outputs, batch, train=train)
        return made | {"loss": made["loss"] / made["weight"].clip(1)} if train else made


class Largest(Squares):
    def sums(self, outputs, batch, *, train):
        made = super().sums(outputs, batch, train=train)
        return made | {"largest": jnp.where(batch["mask"], self.each(outputs, batch), 0).max()}


class KnowsItsDevice(Squares):
    def sums(self, outputs, batch, *, train):
        made = super().sums(outputs, batch, train=train)
        try:
            return made | {"loss": made["loss"] + jax.lax.axis_index("batch")}
        except NameError:
            return made


class AsksPython(Squares):
    def sums(self, outputs, batch, *, train):
        return super().sums(outputs if outputs.sum() > 0 else -outputs, batch, train=train)


class HalfWeights(Squares):
    def sums(self, outputs, batch, *, train):
        return super().sums(outputs, batch, train=train) | {"weight": batch["mask"].astype(jnp.bfloat16).sum()}


class CannotBeLearnt(Squares):
    def each(self, outputs, batch):
        return jnp.where((outputs[:, 0] > 0) == (target_of(batch) > 0), 0.0, 1.0)


class StopsGradients(Squares):
    def each(self, outputs, batch):
        error = outputs[:, 0] - target_of(batch)
        return jax.lax.stop_gradient(error) * error


class PaddingPulls(Squares):
    def sums(self, outputs, batch, *, train):
        made, numbers = super().sums(outputs, batch, train=train), jnp.nan_to_num(outputs)
        return made | {"loss": made["loss"] + (numbers - jax.lax.stop_gradient(numbers)).sum()}


class RootOfNothing(Squares):
    def each(self, outputs, batch):
        return jnp.sqrt(jnp.maximum(super().each(outputs, batch) - 0.5, 0))


class WrongWay(Squares):
    headline: ClassVar[Metric] = Metric("mse", "max", "{:.4f}")


class NoHeadline(Squares):
    headline: ClassVar[Metric] = Metric("f1", "max")


class FinishesArrays(Squares):
    def finish(self, totals):
        return {"loss": 0.0, "mse": np.ones(2)}


class AnswersTogether(Squares):
    def answers(self, outputs, spec):
        return outputs - outputs.mean()


class AnswersOnce(Squares):
    def answers(self, outputs, spec):
        return outputs.mean(0)

    def rows(self, outputs, spec):
        return [{"answer": 0.0}] * len(outputs)


class RowsOfArrays(Squares):
    def rows(self, outputs, spec):
        return [{"answer": row} for row in outputs]


class KeepsTotals(Squares):
    def keep(self, outputs, batch):
        return {"mean": outputs.mean(0)}


class ReportsDictionaries(Squares):
    def report(self, totals, kept, spec):
        return {"mse": 0.0}


@dataclass(frozen=True)
class Forgets(Squares):
    """Takes its unit from the data and does not say it in JSON."""

    unit: float = 1.0

    def prepared(self, dataset, optim):
        return replace(self, unit=float(np.abs(dataset.train["targets"]).mean()))

    def each(self, outputs, batch):
        return (outputs[:, 0] - target_of(batch) / self.unit) ** 2


BROKEN = {
    Broadcasts: r"Broadcasts is no sum over rows .*loss of 8 examples together is .*do \[B, 1\] and \[B\] broadcast",
    ForgetsTheMask: "ForgetsTheMask, with nan in padding rows .*loss counts rows that are padding",
    CountsEveryRow: "CountsEveryRow, with nan in padding rows .*weight counts rows that are padding",
    TimesTheMask: r"TimesTheMask, with nan in padding rows .*loss counts rows that are padding.*\(it is nan, and",
    Means: "Means is no sum over rows .*loss of 8 examples together",
    TrainsOnMeans: "TrainsOnMeans in training is no sum over rows .*loss of 8 examples together",
    Largest: "Largest is no sum over rows .*largest of 8 examples together",
    KnowsItsDevice: "KnowsItsDevice: sums of 8 devices are not those of one .*loss is",
    AsksPython: "AsksPython: its sums cannot be computed under jax.jit",
    HalfWeights: "HalfWeights gives sums that are none .*weight must have 32 bits",
    CannotBeLearnt: "CannotBeLearnt: its loss does not depend on the outputs: all gradients are 0",
    StopsGradients: "StopsGradients: the gradient of its loss is not the slope of its values .*the gradient says",
    PaddingPulls: "PaddingPulls: outputs of padding rows have a gradient",
    RootOfNothing: "RootOfNothing: the gradient of its loss is not finite",
    WrongWay: "WrongWay: outputs whose loss is .* have mse .*best='max', says that it is better",
    NoHeadline: "NoHeadline makes metrics that are none .*headline is f1, but finish gives loss, mse",
    FinishesArrays: "FinishesArrays makes metrics that are none .*mse must be a float, got a ndarray",
    AnswersTogether: "AnswersTogether: an example by itself is answered otherwise",
    AnswersOnce: "AnswersOnce: answers gives 1 rows of 8 examples",
    RowsOfArrays: "RowsOfArrays.answers or rows fail .*not JSON serializable",
    KeepsTotals: r"KeepsTotals.keep gives an array \[1\] of 8 rows",
    ReportsDictionaries: "ReportsDictionaries.report gives a dict, and must give a Report",
}
"""Each class, and the regular expression that the error must match."""
