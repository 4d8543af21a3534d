"""A sequence of tokens as the answer: translation, pronunciation, arithmetic."""

import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from rnnjax.errors import DataError, RunError, UsageError
from rnnjax.tasks import token_sums
from rnnjax.tasks.base import Batch, Metric, Report, Task, mean

if TYPE_CHECKING:
    from rnnjax.data import Dataset, Examples
    from rnnjax.data.spec import Spec

Score = Literal["exact_match", "sequence_error_rate", "token_error_rate", "bleu", "loss"]

_HEADLINES = {
    "exact_match": Metric("exact_match"),
    "sequence_error_rate": Metric("sequence_error_rate", "min"),
    "token_error_rate": Metric("token_error_rate", "min"),
    "bleu": Metric("bleu", "max", "{:.2f}"),
    "loss": Metric("loss", "min", "{:.4f}"),
}
_SHARES = ("exact_match", "sequence_error_rate")
_WRITTEN = "the tokens to write"
_MOST_PIXELS = 2**14
_TAUGHT = Metric("token_accuracy", "max", "{:.2%} (teacher-forced)")


@dataclass(frozen=True)
class SequenceToSequence(Task):
    """Cross-entropy of logits ``[B, T, V]`` with ``targets [B, T]``, and what is written compared with what is right.

    A target below 0 does not count. The loss, perplexity and ``token_accuracy`` are of a model that is told every token
    before (teacher forcing); all else is of what it writes by itself, see :mod:`rnnjax.tasks.written`. Examples with a
    ``group [B]`` above 0 count in nothing, and are reported by themselves.

    Attributes:
      score: what chooses the best checkpoint and is compared with the target; BLEU needs the package sacrebleu.
      label_smoothing: of the training loss, see ``--optim.label-smoothing``, which it is taken from.
      splitter: what joins tokens to a text; taken from the data.
      lowercase: whether texts are compared in lower case; taken from the data.
      names: of the source's tokens, for pictures; taken from the data.
      references: texts that are right, by the number in a batch's ``reference``; none: the targets are.
      groups: names of the groups from 1 on; taken from the data.
      sizes: the longest source and target; taken from the data.
    """

    kind: ClassVar[str] = "sequence_to_sequence"
    writes: ClassVar[bool] = True
    score: Score = "exact_match"
    label_smoothing: float = 0.0
    splitter: str = "words"
    lowercase: bool = False
    names: tuple[str, ...] = field(default=(), repr=False, compare=False)
    references: Sequence[tuple[str, ...]] = field(default=(), repr=False, compare=False)
    groups: tuple[str, ...] = ()
    sizes: tuple[int, int] = (0, 0)

    def __post_init__(self):
        if self.score not in _HEADLINES:
            known = ", ".join(typing.get_args(Score))
            raise UsageError(f"SequenceToSequence: score must be one of {known}, got {self.score!r}")

    @property
    def headline(self) -> Metric:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What ``score`` names."""
        return _HEADLINES[self.score]

    @property
    def also(self) -> tuple[Metric, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Exact answers and errors of what is written, and accuracy under teacher forcing."""
        shown = (_HEADLINES["exact_match"], _HEADLINES["token_error_rate"], _TAUGHT)
        return tuple(metric for metric in shown if metric != self.headline)

    def sums(self, outputs: Any, batch: Batch, *, train: bool) -> dict[str, Any]:
        """``loss`` in nats, ``correct`` and ``weight``, the number of tokens, over all that count."""
        import jax.numpy as jnp

        logits = outputs if train else outputs["logits"]
        counted = batch["mask"] if "group" not in batch else batch["mask"] & (batch["group"] == 0)
        targets = token_sums.targets_of(batch, _WRITTEN)[:, : logits.shape[1]]
        targets = jnp.where(counted[:, None], targets, -1)
        return token_sums.sums(logits, targets, self.label_smoothing if train else 0.0)

    def finish(self, totals: Mapping[str, Any]) -> dict[str, float]:
        """Loss, perplexity and accuracy of tokens, each after the right ones."""
        return token_sums.figures(totals) | {"token_accuracy": mean(totals["correct"], totals["weight"])}

    @property
    def looks_at_rows(self) -> bool:
        """All that is written is looked at."""
        return True

    def keep(self, outputs: Any, batch: Batch) -> Any:
        """What was written, what should have been, the source and the attention, each padded to the longest."""
        import jax.numpy as jnp

        most, longest = self.sizes[0], self.sizes[1]
        # A byte a weight: they are drawn, and of a large split they would fill the memory.
        looked = jnp.round(255 * outputs["weights"]).astype(jnp.uint8)
        kept = {"written": outputs["tokens"], "targets": _widened(token_sums.targets_of(batch, _WRITTEN), longest, -1)}
        kept["weights"] = jnp.pad(looked, ((0, 0), (0, 0), (0, max(most - looked.shape[2], 0))))
        inputs: Any = batch.get("inputs")
        if getattr(inputs, "ndim", 0) == 2:
            kept["inputs"] = _widened(inputs, most, 0)
        elif _drawn(inputs) and looked.shape[2]:  # an encoder may pool columns: each has the weight of its pool
            wide = jnp.repeat(looked, inputs.shape[1] // looked.shape[2], 2)
            kept["weights"] = jnp.pad(wide, ((0, 0), (0, 0), (0, most - wide.shape[2])))
            kept["columns"] = jnp.pad(_grey(inputs), ((0, 0), (0, most - inputs.shape[1]), (0, 0)))
        return kept | {name: batch[name] for name in ("lengths", "reference", "group") if name in batch}

    def finish_kept(self, kept: Any, spec: "Spec") -> dict[str, float]:
        """Exact answers, errors and BLEU of what was written; see :mod:`rnnjax.tasks.written`."""
        from rnnjax.tasks import written

        return written.metrics(self, written.texts(self, kept, spec, group=0))

    def report(self, totals: Mapping[str, Any], kept: Any, spec: "Spec") -> Report:
        """BLEU's signature, each group by itself, exact answers by length, examples, and the attention drawn."""
        from rnnjax.tasks import written

        return written.report(self, kept, spec)

    def mistakes(self, kept: Any, spec: "Spec", most: int) -> list[dict[str, Any]]:
        """The answers that are furthest from what is right."""
        from rnnjax.tasks import written

        return written.mistakes(self, kept, spec, most)

    def outcomes(self, kept: Any, spec: "Spec") -> np.ndarray | None:
        """What each answer adds: whether it is right or wrong, its edits beside its tokens, or its counts for BLEU."""
        if self.score == "loss":
            return None
        from rnnjax.tasks import written

        return written.outcomes(self, written.texts(self, kept, spec, group=0))

    def statistic(self, rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """The compared figure by draw; of BLEU, as the counts of all answers give it, not the mean over answers."""
        from rnnjax.tasks import written

        return written.bleu_of(counts @ rows) if self.score == "bleu" else super().statistic(rows, counts)

    def hits(self, rows: np.ndarray) -> np.ndarray | None:
        """Which answers count in the share that is compared, where it is a share of answers."""
        return rows[:, 0] > 0.5 if self.score in _SHARES else None

    def check(self, outputs: Any, batch: Batch) -> None:
        """Logits must be ``[B, T, V]`` floats, targets ``[B, T]``: others would broadcast to a wrong number."""
        token_sums.check(outputs, token_sums.targets_of(batch, _WRITTEN))

    def check_data(self, dataset: "Dataset") -> None:
        """Raises DataError unless there are ``targets [N, T]`` of ids, each with its end and nothing behind it."""
        from rnnjax.data.tokens import END

        for split, examples in dataset.splits().items():
            name, targets = f"{dataset.name}: {split}", examples.arrays.get("targets")
            if targets is None or targets.ndim != 2 or targets.dtype.kind != "i":
                got = "none" if targets is None else f"{targets.dtype} {list(targets.shape)}"
                raise DataError(f"{name} needs integer targets [N, T], the tokens that are to be written, got {got}")
            if int(targets.max()) >= dataset.spec.outputs:
                raise DataError(
                    f"{name}: a target is {int(targets.max())}, but there are {dataset.spec.outputs} tokens"
                )
            lengths = (targets >= 0).sum(1)
            last = np.take_along_axis(targets, np.maximum(lengths - 1, 0)[:, None], 1)[:, 0]
            wrong = (lengths == 0) | (last != END) | ((targets == END).sum(1) != 1)
            if wrong.any():
                raise DataError(
                    f"{name}: target {int(wrong.argmax())} must be ids with {END}, the end, as the last, then -1"
                )

    def prepared(self, dataset: "Dataset", optim: Any) -> Self:
        """With the label smoothing of the optimizer's section, and what the data tell of their texts."""
        return replace(
            self._of_texts(dataset.preprocess, list(dataset.splits().values())),
            label_smoothing=getattr(optim, "label_smoothing", 0.0) or self.label_smoothing,
            references=getattr(dataset, "references", ()),
            groups=getattr(dataset, "groups", ()),
        )

    def judging(self, examples: "Examples", preprocess: Any) -> Self:
        """With the texts that are right of new pairs."""
        task = self._of_texts(preprocess, [examples])
        return replace(task, references=getattr(examples, "references", ()), groups=())

    def _of_texts(self, preprocess: Any, splits: "Sequence[Examples]") -> Self:
        """With what texts are compared by, and the sizes of all that is kept of some splits."""
        from rnnjax.tasks import written

        if self.score == "bleu":
            written.sacrebleu()  # what is missing is said before the training, not after it
        source, target = (getattr(preprocess, name, None) for name in ("source", "target"))
        inputs = [np.shape(examples.arrays["inputs"]) for examples in splits if "inputs" in examples.arrays]
        return replace(
            self,
            splitter=getattr(target, "splitter", self.splitter),
            lowercase=getattr(target, "lowercase", self.lowercase),
            names=() if source is None else source.vocabulary.words,
            sizes=(
                max((shape[1] for shape in inputs if len(shape) in (2, 3)), default=0),
                max(examples["targets"].shape[1] for examples in splits),
            ),
        )

    def widths(self, spec: "Spec") -> tuple[int, ...]:
        """A logit a token."""
        return (spec.outputs,)

    def answers(self, outputs: Any, spec: "Spec") -> list[str]:
        """The texts that were written."""
        from rnnjax.tasks import written

        if not np.isfinite(outputs["score"]).all():
            raise RunError("the model's logits are no numbers: its training has diverged, or they overflow")
        return [written.text(self, row, spec) for row in outputs["tokens"]]

    def rows(self, outputs: Any, spec: "Spec") -> list[dict[str, Any]]:
        """``text``, and its ``score``: the log probability, of a beam over the length penalty."""
        texts = self.answers(outputs, spec)
        return [{"text": text, "score": float(score)} for text, score in zip(texts, outputs["score"], strict=True)]

    def line(self, row: Mapping[str, Any]) -> str:
        """The text."""
        return row["text"]

    def shown(self, row: Mapping[str, Any], source: str) -> str:
        """The text alone, a line for each source."""
        del source
        return row["text"]

    def to_json(self) -> dict[str, Any]:
        """What a run was chosen and trained by, and how its tokens are joined."""
        names = ("score", "label_smoothing", "splitter", "lowercase")
        return {name: getattr(self, name) for name in names}


def _drawn(inputs: Any) -> bool:
    """Whether inputs are images by columns ``[B, S, height]``, small enough that those of a split may be kept."""
    return getattr(inputs, "ndim", 0) == 3 and inputs.shape[1] * inputs.shape[2] <= _MOST_PIXELS


def _grey(inputs: Any) -> Any:
    """Values ``[B, S, height]`` as uint8, the least of each example black and the largest white."""
    import jax.numpy as jnp

    inputs = inputs.astype(jnp.float32)  # as stored they are bytes, whose products are bytes too
    least, most = (part(inputs, (1, 2), keepdims=True) for part in (jnp.min, jnp.max))
    return jnp.round(255 * (inputs - least) / jnp.maximum(most - least, 1e-6)).astype(jnp.uint8)


def _widened(ids: Any, width: int, fill: int) -> Any:
    """Ids ``[B, T]`` followed by ``fill`` up to the width: batches are padded to several lengths."""
    import jax.numpy as jnp

    return jnp.pad(ids, ((0, 0), (0, max(width - ids.shape[1], 0))), constant_values=fill)
