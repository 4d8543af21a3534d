"""The rows that follow a window of a series: their values, or quantiles of them."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from rnnjax.errors import DataError, UsageError
from rnnjax.tasks.base import Batch, Metric, Report, Task, mean

if TYPE_CHECKING:
    from rnnjax.data import Dataset
    from rnnjax.data.spec import Spec

Loss = Literal["squared", "absolute", "pinball"]
Score = Literal["loss", "mse", "mae"]
_HEADLINES = {"squared": "mse", "absolute": "mae", "pinball": "pinball"}
_SUMS = {headline: loss for loss, headline in _HEADLINES.items()}
_FEWEST_RUNS = 6
"""All of so many runs on one side are a two-sided p of 2 / 2^6, the first below 0.05."""
_SHOWN = 4
"""Windows that are drawn."""


@dataclass(frozen=True)
class Forecast(Task):
    """Errors of the rows that follow, a mean over windows, steps ahead and columns, in standardised units.

    A model's outputs are ``[B, H, C]`` for H steps ahead of C columns, or ``[B, H, C, Q]`` for Q quantiles (of one
    alone also ``[B, H, C]``), in units of the training rows' standard deviation about their mean, as the targets are
    stored. Published errors are in these units; the report tells those in the data's own.

    Attributes:
      loss: what is differentiated: squared or absolute error, or the pinball loss (Koenker and Bassett 1978), a mean
        over the quantiles.
      score: the headline, which chooses the best checkpoint: the loss, or the mean squared or absolute error.
      quantiles: of the pinball loss, rising; the one nearest to 0.5 is the forecast that squared and absolute errors
        are of.
      columns: what is forecast, in the order of the outputs.
      mean, scale: one a column: a forecast is ``mean + scale * output``.
    """

    kind: ClassVar[str] = "forecast"
    forecasts: ClassVar[bool] = True
    loss: Loss = "squared"
    score: Score = "loss"
    quantiles: tuple[float, ...] = (0.1, 0.5, 0.9)
    columns: tuple[str, ...] = ()
    mean: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)

    def __post_init__(self):
        if self.loss not in _HEADLINES:
            raise UsageError(f"the loss of a forecast is one of {', '.join(_HEADLINES)}, got {self.loss!r}")
        if self.score not in ("loss", "mse", "mae"):
            raise UsageError(f"the score of a forecast is one of loss, mse, mae, got {self.score!r}")
        rising = all(a < b for a, b in itertools.pairwise(self.quantiles))
        if not (self.quantiles and rising and self.quantiles[0] > 0 and self.quantiles[-1] < 1):
            raise UsageError(f"quantiles must be rising, between 0 and 1, got {self.quantiles}")

    def said(self, loss: Loss, quantiles: tuple[float, ...]) -> Self:
        """The task with other quantiles, by pinball loss, or with a loss that is not the usual one; else as it is."""
        if quantiles:
            return replace(self, loss="pinball", quantiles=quantiles)
        return self if loss == "squared" else replace(self, loss=loss)

    @property
    def headline(self) -> Metric:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The metric that is the loss, or the error that is asked for."""
        return Metric(_HEADLINES[self.loss] if self.score == "loss" else self.score, "min", "{:.4f}")

    @property
    def also(self) -> tuple[Metric, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The other errors."""
        shown = [Metric(name, "min", "{:.4f}") for name in ("mse", "mae") if name != self.headline.name]
        return tuple(shown)

    @property
    def outputs(self) -> int:
        """How many numbers are forecast for a step of a column."""
        return len(self.quantiles) if self.loss == "pinball" else 1

    def sums(self, outputs: Any, batch: Batch, *, train: bool) -> dict[str, Any]:
        """``loss``, ``weight`` (the windows), and by step ahead and column ``[H, C]`` ``squared`` and ``absolute``.

        Of quantiles ``pinball``, and of several ``covered``, the targets between the first and the last. In evaluation
        also ``drawn_inputs``, ``drawn_targets`` and ``drawn_outputs`` of the few windows which the data say are shown:
        no two rows are the same one, so that their sums are what they are.
        """
        import jax.numpy as jnp

        mask, targets = batch["mask"], batch["targets"].astype(jnp.float32)
        outputs = outputs.astype(jnp.float32)
        quantiles = _by_quantile(outputs)
        if not train:
            quantiles = jnp.sort(quantiles, axis=-1)  # crossed ones set right lose nothing (Chernozhukov et al. 2010)
        quantiles = jnp.where(mask[:, None, None, None], quantiles, 0)  # what stands in padding may be NaN
        targets = jnp.where(mask[:, None, None], targets, 0)
        counted = mask.astype(jnp.float32)

        def total(values: Any) -> Any:
            return jnp.einsum("b,b...->...", counted, values)

        error = targets - quantiles[..., self._middle]
        made = {"weight": counted.sum(), "squared": total(error**2), "absolute": total(jnp.abs(error))}
        if self.loss == "pinball":
            made["pinball"] = total(_pinball(targets[..., None] - quantiles, self.quantiles).mean(-1))
        if self.outputs > 1:
            inside = (targets >= quantiles[..., 0]) & (targets <= quantiles[..., -1])
            made["covered"] = total(inside.astype(jnp.float32))
        made["loss"] = made["pinball" if self.loss == "pinball" else self.loss].mean()
        drawn = not train and {"shown", "inputs"} <= set(batch)
        return made | _drawn(batch, targets, quantiles) if drawn else made

    @property
    def _middle(self) -> int:
        """The place of the quantile that is the forecast."""
        return int(np.argmin(np.abs(np.subtract(self.quantiles, 0.5)))) if self.loss == "pinball" else 0

    def finish(self, totals: Mapping[str, Any]) -> dict[str, float]:
        """``loss``, ``mse`` and ``mae`` in standardised units, of quantiles ``pinball``, of several ``coverage``."""
        metrics = {"loss": mean(totals["loss"], totals["weight"])}
        names = {"mse": "squared", "mae": "absolute", "pinball": "pinball", "coverage": "covered"}
        for name, key in names.items():
            if key in totals:
                metrics[name] = mean(np.mean(totals[key]), totals["weight"])
        return metrics

    def check(self, outputs: Any, batch: Batch) -> None:
        """Outputs must be ``[B, H, C]`` as the targets, with the quantiles as a last axis where there are several."""
        targets = batch["targets"]
        wanted = (*targets.shape, len(self.quantiles)) if self.loss == "pinball" else tuple(targets.shape)
        fitting = {wanted} | ({tuple(targets.shape)} if self.outputs == 1 else set())
        if not hasattr(outputs, "shape") or tuple(outputs.shape) not in fitting:
            got = list(outputs.shape) if hasattr(outputs, "shape") else type(outputs).__name__
            axes = "rows, steps ahead, columns" + (", quantiles" if self.loss == "pinball" else "")
            raise UsageError(f"outputs must be {list(wanted)} ({axes}), got {got}")

    def check_data(self, dataset: "Dataset") -> None:
        """Raises DataError unless targets are numbers ``[N, H, C]``."""
        targets = dataset.train.arrays.get("targets")
        if targets is None or np.dtype(targets.dtype).kind != "f" or len(targets.shape) != 3:
            got = "none" if targets is None else f"{targets.dtype} {list(targets.shape)}"
            raise DataError(f"{dataset.name}: targets must be floats [N, steps ahead, columns], got {got}")

    def prepared(self, dataset: "Dataset", optim: Any) -> Self:
        """With the columns, and what standardised them."""
        task, reads = super().prepared(dataset, optim), dataset.preprocess
        if not all(hasattr(reads, name) for name in ("columns", "mean", "std")):
            names = tuple(str(number) for number in range(dataset.train["targets"].shape[2]))
            return replace(task, columns=names, mean=(0.0,) * len(names), scale=(1.0,) * len(names))
        return replace(task, columns=reads.columns, mean=reads.mean, scale=reads.std)  # pyright: ignore

    def width(self, spec: "Spec") -> int:
        """Numbers that a column is forecast: steps ahead times quantiles."""
        return spec.outputs * self.outputs

    def keep(self, outputs: Any, batch: Batch) -> Any:
        """The error of each window that the headline is the mean of, ``[B]``, in ``error``."""
        import jax
        import jax.numpy as jnp

        def one(output: Any, target: Any) -> Any:
            alone = {"targets": target[None], "mask": jnp.ones(1, bool)}
            return self.sums(output[None], alone, train=False)[_SUMS[self.headline.name]].mean()

        return {"error": jax.vmap(one)(outputs, batch["targets"])}

    def outcomes(self, kept: Any, spec: "Spec") -> np.ndarray | None:
        """The mean error of each run of as many windows as steps are forecast, and how many these are: ``[runs, 2]``.

        Windows that follow each other have most of their rows in common, so that a test which took each of them for an
        example of its own would be far too sure; runs are what a block bootstrap draws (Künsch 1989). Of fewer than six
        runs nothing can be said: None.
        """
        errors = np.asarray(kept["error"], np.float64)
        begins = np.arange(0, len(errors), spec.outputs)
        if len(begins) < _FEWEST_RUNS:
            return None
        counts = np.diff(np.append(begins, len(errors)))
        return np.stack([np.add.reduceat(errors, begins) / counts, counts], 1)

    def counted(self, examples: int, outcomes: int, split: str) -> str:
        """The windows, and the runs of them that stand for examples; see :meth:`outcomes`."""
        return f"{examples:,} {split} windows" + (f" in {outcomes:,} runs" if outcomes != examples else "")

    def mistakes(self, kept: Any, spec: "Spec", most: int) -> list[dict[str, Any]]:
        """The windows with the largest errors, in standardised units."""
        errors = np.asarray(kept["error"], np.float64)
        worst = np.argsort(-errors, kind="stable")[:most]
        return [{"row": int(row), self.headline.name: float(errors[row])} for row in worst]

    def report(self, totals: Mapping[str, Any], kept: Any, spec: "Spec") -> Report:
        """Errors by step ahead and by column, in both units, and pictures of them and of a few forecasts."""
        from rnnjax.tasks import forecast_report

        return forecast_report.report(self, totals)

    def answers(self, outputs: np.ndarray, spec: "Spec") -> Any:
        """Forecasts ``[N, H, C]`` in the data's units, or their quantiles ``[N, H, C, Q]``, rising; float64."""
        outputs = np.asarray(outputs, np.float64)
        quantiles = np.sort(_by_quantile(outputs), -1)
        made = np.asarray(self.mean)[:, None] + np.asarray(self.scale)[:, None] * quantiles
        return made if self.loss == "pinball" else made[..., 0]

    def rows(self, outputs: np.ndarray, spec: "Spec") -> list[dict[str, Any]]:
        """By column a list of the steps ahead; with quantiles by ``COLUMN QUANTILE``."""
        answers = self.answers(outputs, spec)
        answers = answers if self.loss == "pinball" else answers[..., None]
        names = [
            f"{column} {quantile:g}" if self.loss == "pinball" else column
            for column in self.columns
            for quantile in self.quantiles[: self.outputs]
        ]
        flat = answers.reshape(*answers.shape[:2], -1)
        return [{name: one[:, place].tolist() for place, name in enumerate(names)} for one in flat]

    def heading(self, row: Mapping[str, Any]) -> str:
        """The names of the columns, as the first line of a CSV."""
        return _csv([list(row)])

    def shown(self, row: Mapping[str, Any], source: str) -> str:
        """The forecast rows as lines of a CSV."""
        lists = [value for value in row.values() if isinstance(value, list)]
        columns = [value if isinstance(value, list) else [value] * len(lists[0]) for value in row.values()]
        return _csv(zip(*columns, strict=True))

    def to_json(self) -> dict[str, Any]:
        """The loss, and what the data told."""
        return {
            "loss": self.loss,
            **({} if self.score == "loss" else {"score": self.score}),
            "quantiles": list(self.quantiles),
            "columns": list(self.columns),
            "mean": list(self.mean),
            "scale": list(self.scale),
        }


def _by_quantile(outputs: Any) -> Any:
    """Outputs with quantiles, or the one number that there is, on an axis of their own: ``[B, H, C, Q]``."""
    return outputs if outputs.ndim == 4 else outputs[..., None]


def _pinball(error: Any, quantiles: tuple[float, ...]) -> Any:
    """Loss of targets minus quantiles ``[..., Q]``: ``max(q e, (q - 1) e)``."""
    import jax.numpy as jnp

    share = jnp.asarray(quantiles, jnp.float32)
    return jnp.maximum(share * error, (share - 1) * error)


def _drawn(batch: Batch, targets: Any, quantiles: Any) -> dict[str, Any]:
    """The windows that are shown, each in a place of its own."""
    import jax.numpy as jnp

    places = jnp.arange(1, _SHOWN + 1)
    chosen = ((batch["shown"][:, None] == places) & batch["mask"][:, None]).astype(jnp.float32)
    parts = {"inputs": batch["inputs"], "targets": targets, "outputs": quantiles}
    kept = jnp.where(batch["mask"][:, None, None], parts["inputs"].astype(jnp.float32), 0)
    parts["inputs"] = kept
    return {"drawn_count": chosen.sum(0)} | {
        f"drawn_{name}": jnp.einsum("bk,b...->k...", chosen, part, precision="highest") for name, part in parts.items()
    }


def _csv(rows: Any) -> str:
    import csv
    import io

    out = io.StringIO()
    written = ([f"{value:.10g}" if isinstance(value, float) else value for value in row] for row in rows)
    csv.writer(out, lineterminator="\n").writerows(written)
    return out.getvalue().removesuffix("\n")
