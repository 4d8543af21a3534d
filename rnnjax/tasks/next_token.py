"""The next token of each step: language models."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from rnnjax.errors import DataError, UsageError
from rnnjax.tasks import token_sums
from rnnjax.tasks.base import Batch, Metric, Task, mean

if TYPE_CHECKING:
    from rnnjax.data import Dataset
    from rnnjax.data.spec import Spec

_FOLLOWING = "the tokens that follow"


@dataclass(frozen=True)
class NextToken(Task):
    """Cross-entropy of logits ``[B, T, V]`` with ``targets [B, T]``, the ids of the tokens that follow.

    A target below 0 does not count. The loss is in nats a token; perplexity is its exponential, and bits are its
    units of ln 2, a character or byte where those are the tokens.

    Attributes:
      label_smoothing: of the training loss, see ``--optim.label-smoothing``, which it is taken from.
      sampled_tokens: of the training loss, see ``--optim.sampled-tokens``, which it is taken from. The model must then
        take ``targets`` and ``sampled`` as :class:`rnnjax.RecurrentLM` does.
    """

    kind: ClassVar[str] = "next_token"
    headline: ClassVar[Metric] = Metric("loss", "min", "{:.4f}")
    also: ClassVar[tuple[Metric, ...]] = (Metric("perplexity", "min", "{:.2f}"), Metric("bits", "min", "{:.3f}"))
    generates: ClassVar[bool] = True
    label_smoothing: float = 0.0
    sampled_tokens: int = 0

    def objective(self, apply: Callable[..., Any], batch: Batch) -> dict[str, Any]:
        """:meth:`sums` in training; of a sample of tokens, an estimate of the loss without what is right among all."""
        if not self.sampled_tokens:
            return super().objective(apply, batch)
        import jax.numpy as jnp

        from rnnjax.tasks import losses

        targets = counted_targets(batch)
        logits = apply(batch, targets=jnp.maximum(targets, 0), sampled=self.sampled_tokens)
        loss = losses.per_step_cross_entropy(logits, jnp.minimum(targets, 0))
        return {"loss": loss.sum(), "weight": (targets >= 0).sum(dtype=jnp.int32)}

    def sums(self, outputs: Any, batch: Batch, *, train: bool) -> dict[str, Any]:
        """``loss`` in nats, ``correct`` and ``weight``, the number of tokens, over all that count."""
        return token_sums.sums(outputs, counted_targets(batch), self.label_smoothing if train else 0.0)

    def finish(self, totals: Mapping[str, Any]) -> dict[str, float]:
        """Loss, perplexity, bits and accuracy."""
        figures = token_sums.figures(totals)
        figures["bits"] = figures["loss"] / math.log(2)
        return figures | ({"accuracy": mean(totals["correct"], totals["weight"])} if "correct" in totals else {})

    def keep(self, outputs: Any, batch: Batch) -> Any:
        """The summed loss of each row and the number of its tokens, both ``[B]``."""
        from rnnjax.tasks import losses

        targets = counted_targets(batch)
        loss = losses.per_step_cross_entropy(outputs, targets)
        return {"loss": loss.sum(1), "weight": (targets >= 0).sum(1)}

    def outcomes(self, kept: Any, spec: "Spec") -> np.ndarray | None:
        """The mean loss of each row, weighed by its tokens, ``[N, 2]``."""
        del spec
        weight = np.asarray(kept["weight"], np.float64)
        return np.stack([np.asarray(kept["loss"], np.float64) / np.maximum(weight, 1), weight], 1)

    def check(self, outputs: Any, batch: Batch) -> None:
        """Logits must be ``[B, T, V]`` floats, targets ``[B, T]``: others would broadcast to a wrong number."""
        token_sums.check(outputs, token_sums.targets_of(batch, _FOLLOWING))

    def check_data(self, dataset: "Dataset") -> None:
        """Raises DataError unless there are ``targets [N, T]`` of integers, all of them ids of real steps."""
        for split, examples in dataset.splits().items():
            targets = examples.arrays.get("targets")
            if targets is None or targets.ndim != 2 or targets.dtype.kind != "i":
                got = "none" if targets is None else f"{targets.dtype} {list(targets.shape)}"
                raise DataError(f"{dataset.name}: {split} needs integer targets [N, T] of the next tokens, got {got}")
            most, outputs = int(targets.max()), dataset.spec.outputs
            if most < 0:
                raise DataError(f"{dataset.name}: no token of {split} is to be predicted")
            if most >= outputs:
                raise DataError(f"{dataset.name}: a target of {split} is {most}, but there are {outputs} tokens")
            if examples.lengths is not None:
                _check_padding(f"{dataset.name}: {split}", targets, examples.lengths)

    def prepared(self, dataset: "Dataset", optim: Any) -> Self:
        """With the label smoothing and the sample of the optimizer's section."""
        smoothing = getattr(optim, "label_smoothing", 0.0) or self.label_smoothing
        sampled = getattr(optim, "sampled_tokens", 0) or self.sampled_tokens
        if smoothing and sampled:
            raise UsageError("--optim.label-smoothing is over all tokens: leave it out, or --optim.sampled-tokens")
        if sampled and not 2 <= sampled < dataset.spec.outputs - 1:
            raise UsageError(
                f"--optim.sampled-tokens must be at least 2 and fewer than the {dataset.spec.outputs - 1:,} tokens of "
                f"{dataset.name}, got {sampled}"
            )
        return replace(self, label_smoothing=smoothing, sampled_tokens=sampled)

    def widths(self, spec: "Spec") -> tuple[int, ...]:
        """A logit a token."""
        return (spec.outputs,)


def counted_targets(batch: Batch) -> Any:
    """The targets ``[B, T]``, -1 in rows that do not count."""
    import jax.numpy as jnp

    return jnp.where(batch["mask"][:, None], token_sums.targets_of(batch, _FOLLOWING), -1)


def _check_padding(name: str, targets: Any, lengths: Any) -> None:
    import numpy as np

    late = (targets >= 0) & (np.arange(targets.shape[1]) >= lengths[:, None])
    if late.any():
        row = int(late.any(1).argmax())
        raise DataError(
            f"{name} has a target after the {int(lengths[row])} steps of example {row}, which would count; "
            "write -1 after a row's end"
        )
