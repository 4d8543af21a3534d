"""Several finished classifiers of the same documents as one: their log probabilities, weighed on validation."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from experiments import finished, same_data
from experiments.linear import Linear
from experiments.word_counts import BagOfWords, WordCounts
from rnnjax import data, digests, load, terminal
from rnnjax.data.documents import TextData, TextTable
from rnnjax.data.tokenized import Documents
from rnnjax.errors import UsageError
from rnnjax.experiment import KINDS, Listed
from rnnjax.runs.workdir import WorkDir
from rnnjax.tasks import compare
from rnnjax.tasks.metrics import class_probabilities

_LEAST = 1e-12
"""In place of a probability below it, so that its logarithm is a number."""

Scorer = Callable[[Sequence[str]], np.ndarray]
"""From documents to the logarithms of their classes' probabilities, ``[N, C]``."""

Digests = Callable[[Mapping[str, Documents], str | None], Mapping[str, str]]
"""From the splits and the TFDS data directory to a digest of each split, as a member's training kept it."""


@dataclass(frozen=True)
class Blend:
    """What decides the result: which experiments are members, a name for each, in the order of their weights."""

    members: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"kind": "blend", "members": list(self.members)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Blend":
        """The inverse of :meth:`to_json`."""
        return cls(tuple(stored["members"]))


@dataclass(frozen=True, kw_only=True)
class Blended(Listed):
    """Finished classifiers together, in the lists and tables of experiments; what decides it is ``config``."""

    config: Blend = field(default_factory=Blend)


class Member(NamedTuple):
    """One of several classifiers.

    Attributes:
      experiment, seed: of its run.
      section: how its documents were loaded and cut.
      class_names: of its classes.
      log_probabilities: what it makes of documents.
      root: its folder.
      identity: what tells it from the same run trained anew: the run's id, where it has one, and a digest of its
        weights and of what they read.
      trained_on: a digest by split of the data of its training; None: its version kept none.
      now: gives those of the data that are there.
    """

    experiment: str
    seed: int
    section: TextData
    class_names: tuple[str, ...]
    log_probabilities: Scorer
    root: Path = Path()
    identity: Mapping[str, str] = MappingProxyType({})
    trained_on: Mapping[str, str] | None = None
    now: Digests = lambda splits, _: same_data.fingerprint(splits)

    @property
    def shown(self) -> str:
        """What it is called."""
        return f"{self.experiment}, seed {self.seed}"

    def check_data(self, splits: Mapping[str, Documents], data_dir: str | None) -> None:
        """Raises DataError if the documents to weigh and to test it on are others than those of its training."""
        held = ("validation", "test")
        now = {} if self.trained_on is None else self.now({split: splits[split] for split in held}, data_dir)
        same_data.check(self.root, self.trained_on, now, held, other_data=None)


def member(root: Path) -> Member:
    """The classifier of a finished run.

    Raises:
      UsageError: if the folder holds none.
      RunError: if it is damaged.
    """
    result = finished.result(root)
    kind = finished.experiment(result, root / finished.RESULT)
    if isinstance(kind, WordCounts):
        return _of_word_counts(root, result)
    if isinstance(kind, Blended):
        raise UsageError(
            f"{root / finished.RESULT} is a result of {kind.name}: models together are no member of others; name "
            "theirs, or train again what the result was written over"
        )
    return _of_network(root, result)


def _of_word_counts(root: Path, result: Mapping[str, Any]) -> Member:
    section = BagOfWords.of_result(result, root / finished.RESULT).documents(None)
    model = Linear.load(root)
    return Member(
        result["experiment"],
        result["seed"],
        section,
        model.class_names,
        _logarithms(model.logits),
        root,
        {"weights": model.digest},
        result.get(same_data.FIELD),
    )


def _of_network(root: Path, result: Mapping[str, Any]) -> Member:
    name, run = result["experiment"], WorkDir(root, KINDS).read_run()
    if run.experiment != name:
        raise UsageError(
            f"{root / finished.RESULT} is of {name}, and the run there of {run.experiment}; train it again"
        )
    section = run.config.data
    if not isinstance(section, TextData) or isinstance(section, TextTable):
        raise UsageError(
            f"{root} is a run of {name}, which classifies no documents by TFDS: such runs alone are weighed"
        )
    predictor = load(root)

    def logits(documents: Sequence[str]) -> np.ndarray:
        return predictor.logits(list(documents))

    read, weights = predictor.preprocess.identity(), digests.of_tree(predictor.variables)
    return Member(
        name,
        result["seed"],
        section,
        predictor.spec.names,
        _logarithms(logits),
        root,
        {**({"run": run.id} if run.id else {}), "weights": digests.of_json([read, weights])},
        run.data or None,
        lambda _, data_dir: data.load(_elsewhere(section, data_dir)).fingerprint,
    )


def _elsewhere(section: TextData, data_dir: str | None) -> TextData:
    """The section with its data where they are now; what models labelled is in no split that is asked for."""
    places = {"data_dir": data_dir, "cache_dir": None}
    own = {"labels_path": "", "without_labels": True} if hasattr(section, "labels_path") else {}
    return dataclasses.replace(section, **places, **own)


def _logarithms(logits: Scorer) -> Scorer:
    def scorer(documents: Sequence[str]) -> np.ndarray:
        return np.log(np.maximum(class_probabilities(logits(documents)), _LEAST))

    return scorer


def shared(members: Sequence[Member]) -> TextData:
    """How the documents of all are loaded and cut; raises UsageError where they are not alike."""
    first, *others = members
    wanted = ("name", "validation_fraction", "validation_by")
    for other in others:
        if first.class_names != other.class_names:
            raise UsageError(f"{first.experiment} and {other.experiment} were not trained on the same classes")
        for name in wanted:
            ours, theirs = getattr(first.section, name), getattr(other.section, name)
            if ours != theirs:
                raise UsageError(
                    f"{first.experiment} and {other.experiment} were not validated on the same documents: "
                    f"{name} is {ours!r} and {theirs!r}"
                )
    return TextData(**{name: getattr(first.section, name) for name in wanted})


def scored(members: Sequence[Member], documents: Sequence[str], what: str) -> np.ndarray:
    """The members' log probabilities of documents, ``[M, N, C]``."""
    found = []
    for one in members:
        terminal.tell(f"{one.shown} reads {len(documents):,} documents of {what}")
        found.append(one.log_probabilities(documents))
    return np.stack(found)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities ``[..., C]`` of logits."""
    raised = np.exp(logits - logits.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


class Scored(NamedTuple):
    """A split as the members see it.

    Attributes:
      scores: their log probabilities, ``[M, N, C]``.
      labels: ``[N]``.
    """

    scores: np.ndarray
    labels: np.ndarray

    def together(self, weights: Any) -> np.ndarray:
        """The classes' probabilities ``[N, C]`` with weights ``[M]``."""
        return softmax(np.tensordot(weights, self.scores, 1))

    def right(self, weights: Any) -> np.ndarray:
        """Which documents are answered rightly, ``[N]``."""
        return self.together(weights).argmax(-1) == self.labels

    def metrics(self, weights: Any) -> dict[str, float]:
        """Mean cross-entropy in nats, and accuracy."""
        return {"loss": self._loss(weights), "accuracy": float(self.right(weights).mean())}

    def weights(self) -> np.ndarray:
        """Those with the least cross-entropy ``[M]``, 0 or more."""
        from scipy.optimize import minimize

        def slopes(weights: np.ndarray) -> np.ndarray:
            expected = (self.together(weights) * self.scores).sum(-1)
            return (expected - self.scores[:, np.arange(len(self.labels)), self.labels]).mean(1)

        members = len(self.scores)
        start = np.full(members, 1 / members)
        return minimize(self._loss, start, jac=slopes, method="L-BFGS-B", bounds=[(0, None)] * members).x

    def _loss(self, weights: Any) -> float:
        likely = self.together(weights)[np.arange(len(self.labels)), self.labels]
        return float(-np.log(np.maximum(likely, _LEAST)).mean())


def described(members: Sequence[Member], weights: np.ndarray, held: Scored, tested: Scored) -> dict[str, Any]:
    """The members as JSON values of the result, and the paired tests between each two, and with all together."""
    alone = np.eye(len(members))
    each = [
        {
            "experiment": one.experiment,
            "seed": one.seed,
            "weight": float(weight),
            "validation": held.metrics(only),
            "test": tested.metrics(only),
        }
        for one, weight, only in zip(members, weights, alone, strict=True)
    ]
    singles = [_Side(m.shown, m.experiment, tested.right(of)) for m, of in zip(members, alone, strict=True)]
    sides = [*singles, _Side("together", None, tested.right(weights)), *_means(singles)]
    return {"members": each, "compared": [_difference(*pair) for pair in _pairs(sides)]}


class _Side(NamedTuple):
    """One of two that are compared: its name, the experiment (none: all members together), and what it has right."""

    shown: str
    experiment: str | None
    right: np.ndarray


def _means(singles: Sequence[_Side]) -> Iterator[_Side]:
    """Of each experiment with several seeds: the share of them that has a document right."""
    for name in dict.fromkeys(one.experiment for one in singles):
        right = [one.right for one in singles if one.experiment == name]
        if len(right) > 1:
            yield _Side(f"{name}, mean of {len(right)} seeds", name, np.mean(right, 0))


def _pairs(sides: Sequence[_Side]) -> Iterator[tuple[_Side, _Side]]:
    """Each two of different experiments; the mean over seeds is not compared with all together, which has them too."""
    for other, one in itertools.combinations(sides, 2):
        within = other.experiment is None and one.right.dtype != bool
        if one.experiment != other.experiment and not within:
            yield one, other


def _difference(one: _Side, other: _Side) -> dict[str, Any]:
    return difference(one.shown, one.right, other.shown, other.right)


def difference(one: str, ours: np.ndarray, other: str, theirs: np.ndarray) -> dict[str, Any]:
    """How much more accurate one is than another, which documents each has right being ``[N]``.

    Booleans are of one run; other numbers are the share of several that have a document right.

    Returns:
      ``one`` and ``other``, the ``difference`` of the accuracies, its ``interval`` of 95 % by the paired bootstrap, and
      ``p`` of McNemar's exact test, or of the paired bootstrap where several runs are a mean.
    """
    rows = np.stack([ours.astype(np.float64) - theirs, np.ones(len(ours))], 1)
    mean = float(rows[:, 0].mean())
    ends = compare.interval(compare.weighted_mean, rows)
    if not all(map(math.isfinite, ends)):  # all draws are alike, and the difference of each is that of all
        ends = (mean, mean)
    if ours.dtype == theirs.dtype == bool:
        p = compare.mcnemar(ours, theirs)
    else:
        p = compare.paired(compare.weighted_mean, ours[:, None].astype(float), theirs[:, None].astype(float))
    return {"one": one, "other": other, "difference": mean, "interval": list(ends), "p": p}
