"""Classification by a model that stays a language model: the loss of both."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from rnnjax.data.tokens import UNKNOWN
from rnnjax.errors import UsageError
from rnnjax.tasks.base import Batch
from rnnjax.tasks.classification import Classification

if TYPE_CHECKING:
    from rnnjax.data import Dataset


@dataclass(frozen=True)
class ClassificationWithLanguageLoss(Classification):
    """:class:`rnnjax.Classification` whose training loss has a share of a language model's on the same documents.

    The model is called with ``sampled`` and gives logits and a loss a document, as
    :class:`rnnjax.models.pretrained.PretrainedReader` does.

    Attributes:
      language_weight: what the language model's loss, in nats a token, is multiplied by, see
        ``--optim.language-weight``, which it is taken from; 0: it is not computed.
      sampled_tokens: how many other tokens stand for all in it, see ``--optim.sampled-tokens``.
    """

    kind: ClassVar[str] = "classification_with_language_loss"
    language_weight: float = 0.0
    sampled_tokens: int = 1024

    def prepared(self, dataset: "Dataset", optim: Any) -> Self:
        """As classification is, with the weight and the sample of the optimizer's section; UsageError at one that the
        vocabulary is too small for.
        """
        task = super().prepared(dataset, optim)
        weight = getattr(optim, "language_weight", 0.0) or self.language_weight
        sampled = getattr(optim, "sampled_tokens", 0) or self.sampled_tokens
        others = dataset.spec.vocabulary - UNKNOWN  # all but padding
        if weight and dataset.spec.vocabulary and not 2 <= sampled < others:
            raise UsageError(
                f"--optim.sampled-tokens must be at least 2 and fewer than the {others:,} tokens of {dataset.name}, "
                f"got {sampled}; or leave out the language model's loss, --optim.language-weight 0"
            )
        return replace(task, language_weight=weight, sampled_tokens=sampled)

    def objective(self, apply: Callable[..., Any], batch: Batch) -> dict[str, Any]:
        """:meth:`sums` of the logits, and of the loss the language model's share."""
        if not self.language_weight:
            return super().objective(apply, batch)
        import jax.numpy as jnp

        logits, losses = apply(batch, sampled=self.sampled_tokens)
        sums = self.sums(logits, batch, train=True)
        language = jnp.where(batch["mask"], losses, 0).sum()
        return sums | {"loss": sums["loss"] + self.language_weight * language}
