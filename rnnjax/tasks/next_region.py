"""The tokens that follow each step as a bag: region embeddings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from rnnjax.data.tokens import UNKNOWN
from rnnjax.errors import DataError, UsageError
from rnnjax.tasks import token_sums
from rnnjax.tasks.base import Batch, Metric
from rnnjax.tasks.next_token import NextToken, counted_targets

if TYPE_CHECKING:
    from rnnjax.data import Dataset, Examples
    from rnnjax.data.spec import Spec


@dataclass(frozen=True)
class NextRegion(NextToken):
    """Cross-entropy of logits ``[B, T, V]`` with the region that follows each step, its tokens in any order.

    A model learns by it what a text is about, of which it makes features of each step for another model to read
    (Johnson and Zhang 2016, arXiv:1602.02373, section 3; there the loss is a squared one of each word of a region).

    The loss of a step is the mean over its region, in nats: over those of the next ``ahead`` targets in its window that
    count. A step of an empty region does not count. Of a text in the order of its documents, a region goes on into the
    next one. Token ids must be in the order of frequency, as those of a vocabulary are.

    Attributes:
      ahead: targets of a region, at most.
      without_most_frequent: so many of the first ids, the unknown token's before them all, are in no region: those of
        function words, which are everywhere. Padding never is.
      sampled_tokens: as of :class:`rnnjax.NextToken`; the model must then take ``regions`` too.
    """

    kind: ClassVar[str] = "next_region"
    also: ClassVar[tuple[Metric, ...]] = (Metric("perplexity", "min", "{:.2f}"),)
    generates: ClassVar[bool] = False
    begins_others: ClassVar[bool] = True
    ahead: int = 20
    without_most_frequent: int = 50

    def __post_init__(self):
        if self.ahead < 1:
            raise UsageError(f"NextRegion: ahead must be 1 or more tokens, got {self.ahead}")
        if self.without_most_frequent < 0:
            raise UsageError(
                f"NextRegion: without_most_frequent must be 0 or more tokens, got {self.without_most_frequent}"
            )

    def objective(self, apply: Callable[..., Any], batch: Batch) -> dict[str, Any]:
        """:meth:`sums` in training; of a sample of tokens, an estimate of the loss."""
        if not self.sampled_tokens:
            return self.sums(apply(batch), batch, train=True)
        import jax.numpy as jnp

        targets = counted_targets(batch)
        regions = self._regions(targets)
        losses = apply(batch, targets=jnp.maximum(targets, 0), sampled=self.sampled_tokens, regions=regions)
        steps = regions.any(-1)
        return {"loss": jnp.where(steps, losses, 0).sum(), "weight": steps.sum(dtype=jnp.int32)}

    def sums(self, outputs: Any, batch: Batch, *, train: bool) -> dict[str, Any]:
        """``loss`` in nats and ``weight``, the number of steps, over all whose region is not empty."""
        import jax.numpy as jnp

        del train
        losses, steps = self._losses(outputs, batch)
        return {"loss": losses.sum(), "weight": steps.sum(dtype=jnp.int32)}

    def finish(self, totals: Mapping[str, Any]) -> dict[str, float]:
        """Loss and perplexity."""
        return token_sums.figures(totals)

    def keep(self, outputs: Any, batch: Batch) -> Any:
        """The summed loss of each row and the number of its steps, both ``[B]``."""
        losses, steps = self._losses(outputs, batch)
        return {"loss": losses.sum(1), "weight": steps.sum(1)}

    def by_frequencies(self, train: "Examples", examples: "Examples", spec: "Spec") -> dict[str, np.ndarray]:
        """The loss of the training text's frequencies, one more of each token, and the steps, of each row."""
        known = np.asarray(train.arrays["targets"])
        counts = np.bincount(known[known >= self._least], minlength=spec.outputs).astype(np.float64) + 1
        nats = np.log(counts[self._least :].sum()) - np.log(counts)
        targets = np.asarray(examples.arrays["targets"])
        inside = targets >= self._least
        sums = _ahead(np.where(inside, nats[np.maximum(targets, 0)], 0.0), self.ahead)
        sizes = np.round(_ahead(inside.astype(np.float64), self.ahead))  # differences of running sums
        losses = np.where(sizes > 0, sums / np.maximum(sizes, 1), 0.0)
        return {"loss": losses.sum(1), "weight": (sizes > 0).sum(1)}

    def check_data(self, dataset: "Dataset") -> None:
        """As of the next token; raises DataError too where no token of a split is in a region."""
        super().check_data(dataset)
        for split, examples in dataset.splits().items():
            if int(examples.arrays["targets"].max()) < self._least:
                raise DataError(
                    f"{dataset.name}: all targets of {split} are among the {self.without_most_frequent} most frequent "
                    "tokens, which are in no region; give NextRegion a smaller without_most_frequent"
                )

    def prepared(self, dataset: "Dataset", optim: Any) -> Self:
        """With the sample of the optimizer's section."""
        task = super().prepared(dataset, optim)
        if task.label_smoothing:
            raise UsageError(
                "--optim.label-smoothing is of one token a step; NextRegion predicts several, leave it out"
            )
        return task

    def to_json(self) -> dict[str, Any]:
        """What a region is."""
        return {"ahead": self.ahead, "without_most_frequent": self.without_most_frequent}

    @property
    def _least(self) -> int:
        """The least id that is in a region."""
        return UNKNOWN + self.without_most_frequent

    def _regions(self, targets: Any) -> Any:
        """``[B, T, T]``: which of the targets ``[B, T]`` are in the region of each step."""
        import jax.numpy as jnp

        steps = jnp.arange(targets.shape[1])
        later = steps - steps[:, None]  # from a step to what is the next token of another
        return (later >= 0) & (later < self.ahead) & (targets >= self._least)[:, None]

    def _losses(self, logits: Any, batch: Batch) -> tuple[Any, Any]:
        """The loss of each step, 0 where it does not count, and whether it does, both ``[B, T]``."""
        import jax.numpy as jnp
        from jax.nn import logsumexp

        from rnnjax.layers.cells.initializers import single_or_wider

        targets = counted_targets(batch)
        regions = self._regions(targets)
        steps = regions.any(-1)
        logits = logits.astype(single_or_wider(logits.dtype))
        own = jnp.take_along_axis(logits, jnp.maximum(targets, 0)[:, None], -1)  # [B, T, T]
        mean = jnp.where(regions, own, 0).sum(-1) / jnp.maximum(regions.sum(-1), 1)
        # NaN where nothing counts would reach the gradient of a zero.
        total = logsumexp(jnp.where(steps[..., None], logits, 0), -1)
        return jnp.where(steps, total - mean, 0), steps


def _ahead(values: np.ndarray, steps: int) -> np.ndarray:
    """The sum of each value of a row ``[N, T]`` and those behind it, so many ``steps`` together at most."""
    running = np.pad(values.cumsum(1), ((0, 0), (1, steps)), mode="edge")
    running[:, 0] = 0
    return running[:, steps : steps + values.shape[1]] - running[:, : values.shape[1]]
