"""From pairs of texts to a data set of ids, sources and targets padded to lengths of their own.

Axes: N pairs, S steps of a source, T tokens of a target.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnjax.data.examples import Dataset, Examples
from rnnjax.data.pair_config import PairConfig
from rnnjax.data.pair_plan import PairPlan, pair_buckets
from rnnjax.data.pair_preprocess import PairPreprocess, padded
from rnnjax.data.pair_reading import PairReading
from rnnjax.data.token_sets import TokenSet, normal
from rnnjax.data.tokens import END, UNKNOWN
from rnnjax.errors import DataError

SPLITS = ("train", "validation", "test")
_MUCH = 2**26
"""Tokens of a side in memory, at four bytes each, of which a user should know what they are for."""


@dataclass
class Pairs:
    """Sources with their targets.

    Attributes:
      sources, targets: a text each.
      accepted: all targets that are right answers to each source; None: its own alone.
      groups: of each pair, 0, or the number from 1 on of one of ``names``: such pairs are reported by themselves and
        count in no metric; None: all count.
      names: what those groups are called.
      places: where each stands, such as its file and line; None: nobody knows.
    """

    sources: list[str] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    accepted: list[tuple[str, ...]] | None = None
    groups: list[int] | None = None
    names: tuple[str, ...] = ()
    places: list[str] | None = None

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def answers(self) -> list[tuple[str, ...]]:
        """What is right for each."""
        return [(target,) for target in self.targets] if self.accepted is None else self.accepted


@dataclass(frozen=True)
class PairDataset(Dataset):
    """Pairs of texts as ids.

    Attributes:
      references: the texts that are right answers, a tuple for each number in the splits' ``reference``.
      groups: names of the groups from 1 on in the splits' ``group``.
    """

    references: Sequence[tuple[str, ...]] = field(default=(), repr=False)
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class PairExamples(Examples):
    """New pairs, which are no split of those that were trained on.

    Attributes:
      references: the texts that are right answers, a tuple for each number in ``reference``.
      notes: what a user should know of them, a sentence each.
    """

    references: Sequence[tuple[str, ...]] = field(default=(), compare=False, repr=False)
    notes: tuple[str, ...] = field(default=(), compare=False, repr=False)


def new_examples(name: str, pairs: Pairs, preprocess: PairPreprocess) -> PairExamples:
    """New pairs as a trained model reads them; their targets stay whole, however long its own were.

    Raises:
      DataError: if a text is blank.
    """
    ids = {name: (preprocess.source.ids(pairs.sources), preprocess.target.ids(pairs.targets))}
    _check_texts(name, ids)
    longest = max(map(len, ids[name][1]))
    made = _examples(ids[name], pairs, (preprocess.source_length, longest + 1), 0)
    notes = _notes(ids, (preprocess.source_length, longest + 1))
    if late := sum(len(row) >= preprocess.target_length for row in ids[name][1]):
        room = preprocess.target_length - 1
        notes.append(f"{late:,} targets have more than the {room:,} tokens that are written at most: none can be right")
    return PairExamples(made.arrays, made.lengths, made.timed, pairs.places, tuple(pairs.answers), tuple(notes))


def dataset(name: str, config: PairConfig, splits: Mapping[str, Pairs]) -> PairDataset:
    """Pairs as ids; the vocabularies come from the training pairs alone.

    Raises:
      DataError: if a split has no pair, or a text is blank.
      UsageError: if byte pairs are wanted, and the package for them is not installed.
    """
    for split in SPLITS:
        if not len(splits[split]):
            raise DataError(f"{name}: there is no pair in the {split} split")
    train = splits["train"]
    source = TokenSet.fit(train.sources, config.source_splitter, config.source_vocabulary, lowercase=config.lowercase)
    target = TokenSet.fit(train.targets, config.target_splitter, config.target_vocabulary, lowercase=config.lowercase)
    ids = {split: (source.ids(pairs.sources), target.ids(pairs.targets)) for split, pairs in splits.items()}
    _check_texts(name, ids)
    longest = [max(map(len, rows)) for rows in ids["train"]]
    limits = config.source_length or longest[0], config.target_length or longest[1] + 1
    preprocess = PairPreprocess(source, target, *limits, PairReading.of(config))
    names, references, made = splits["test"].names, [], {}
    for split in SPLITS:
        made[split] = _examples(ids[split], splits[split], limits, len(references))
        references += splits[split].answers
    buckets = pair_buckets(made["train"], limits)
    return PairDataset(
        name,
        made["train"],
        made["validation"],
        made["test"],
        preprocess,
        plan=PairPlan(buckets),
        notes=(*_notes(ids, limits), *_known(splits, config.lowercase)),
        sample_texts=tuple(splits["validation"].sources[:3]),
        understood=_understood(ids),
        references=tuple(references),
        groups=names,
    )


def _check_texts(name: str, ids: Mapping[str, Any]) -> None:
    """Raises DataError where a text has no token."""
    for split, pairs in ids.items():
        for side, rows in zip(("source", "target"), pairs, strict=True):
            if empty := next((number for number, row in enumerate(rows, 1) if not row), None):
                where = f"{name}: {side} {empty}" + (f" of the {split} split" if split in SPLITS else "")
                raise DataError(f"{where} is empty; take its pair out")


def _examples(ids: Any, pairs: Pairs, limits: tuple[int, int], first: int) -> Examples:
    """A split as arrays, ``-1`` behind a target's end; its references are numbered from ``first`` on."""
    sources, targets = ids
    inputs, lengths = padded(sources, limits[0])
    cut = [[*row[: limits[1] - 1], END] for row in targets]
    written, written_lengths = padded(cut, limits[1], -1)
    groups = np.zeros(len(pairs), np.int32) if pairs.groups is None else np.array(pairs.groups, np.int32)
    arrays = {
        "inputs": inputs,
        "targets": written,
        "targets_lengths": written_lengths,
        "reference": np.arange(first, first + len(pairs), dtype=np.int32),
        "group": groups,
    }
    return Examples(arrays, lengths, ("inputs", "targets"))


def _notes(ids: Mapping[str, Any], limits: tuple[int, int]) -> list[str]:
    """What was cut, and what the vocabularies lack, a sentence each."""
    notes = []
    for side, place, room in (("source", 0, limits[0]), ("target", 1, limits[1] - 1)):
        rows = {split: pairs[place] for split, pairs in ids.items()}
        cut = {split: sum(len(row) > room for row in each) for split, each in rows.items()}
        if listed := [f"{count:,} of {len(rows[split]):,} {split}" for split, count in cut.items() if count]:
            kept = f"the first {room:,} tokens{' and the end' * place}"
            notes.append(f"of {', '.join(listed)} {side}s only {kept} are kept (--data.{side}-length)")
        notes += _outlier(side, rows["train"], room) if "train" in rows else []
        unknown = {split: sum(row.count(UNKNOWN) for row in each) for split, each in rows.items()}
        if listed := [f"{count:,} of {split}" for split, count in unknown.items() if count]:
            notes.append(f"{', '.join(listed)} {side} tokens are outside the vocabulary and count as one, the unknown")
    return notes


def _outlier(side: str, rows: Sequence[Sequence[int]], room: int) -> list[str]:
    """That a few long texts make room for as many tokens in all rows, a sentence where that is much."""
    lengths = np.minimum([len(row) for row in rows], room)
    usual, longest = int(np.quantile(lengths, 0.99)), int(lengths.max())
    if longest < 10 * usual or longest * len(rows) < _MUCH:
        return []
    return [
        f"99 % of the {side}s have up to {usual:,} tokens and the longest {longest:,}, for which every row has room in "
        f"memory; --data.{side}-length cuts it"
    ]


def _known(splits: Mapping[str, Pairs], lowercase: bool) -> list[str]:
    """How many pairs of validation and test are trained on too, a sentence if there are any."""
    read = {split: [(normal(a, lowercase), normal(b, lowercase)) for a, b in _each(splits[split])] for split in SPLITS}
    trained = set(read["train"])
    counts = {split: sum(pair in trained for pair in read[split]) for split in ("validation", "test")}
    listed = [f"{count:,} of {len(splits[split]):,} {split}" for split, count in counts.items() if count]
    return [f"{' and '.join(listed)} pairs are trained on too, so that their answers may be known"] if listed else []


def _each(pairs: Pairs) -> Iterable[tuple[str, str]]:
    return zip(pairs.sources, pairs.targets, strict=True)


def _understood(ids: Mapping[str, Any]) -> tuple[str, ...]:
    said = []
    for side, rows in zip(("sources", "targets"), ids["train"], strict=True):
        lengths = [len(row) for row in rows]
        said.append(f"{side} of median {int(np.median(lengths)):,} tokens, longest {max(lengths):,}")
    return (f"lengths: {'; '.join(said)}",)
