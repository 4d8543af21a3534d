"""From pairs of texts to a data set of ids, sources and targets padded to lengths of their own.

Axes: N pairs, S steps of a source, T tokens of a target.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnjax.data.examples import Dataset, Examples
from rnnjax.data.pair_config import PairConfig
from rnnjax.data.pair_plan import PairPlan, pair_buckets
from rnnjax.data.pair_preprocess import PairPreprocess, padded
from rnnjax.data.token_sets import TokenSet
from rnnjax.data.tokens import END, UNKNOWN
from rnnjax.errors import DataError

SPLITS = ("train", "validation", "test")


@dataclass
class Pairs:
    """Sources with their targets.

    Attributes:
      sources, targets: a text each.
      accepted: all targets that are right answers to each source; None: its own alone.
      groups: of each pair, 0, or the number from 1 on of one of ``names``: such pairs are reported by themselves and
        count in no metric; None: all count.
      names: what those groups are called.
    """

    sources: list[str] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    accepted: list[tuple[str, ...]] | None = None
    groups: list[int] | None = None
    names: tuple[str, ...] = ()

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
    for split, pairs in zip(ids, ids.values(), strict=True):
        for side, rows in zip(("source", "target"), pairs, strict=True):
            if empty := next((number for number, row in enumerate(rows, 1) if not row), None):
                raise DataError(f"{name}: {side} {empty} of the {split} split is empty; take its pair out")
    longest = [max(map(len, rows)) for rows in ids["train"]]
    limits = config.source_length or longest[0], config.target_length or longest[1] + 1
    preprocess = PairPreprocess(source, target, *limits)
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
        notes=tuple(_notes(ids, limits)),
        sample_texts=tuple(splits["validation"].sources[:3]),
        understood=_understood(ids),
        references=tuple(references),
        groups=names,
    )


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
        unknown = {split: sum(row.count(UNKNOWN) for row in each) for split, each in rows.items()}
        if listed := [f"{count:,} of {split}" for split, count in unknown.items() if count]:
            notes.append(f"{', '.join(listed)} {side} tokens are outside the vocabulary and count as one, the unknown")
    return notes


def _understood(ids: Mapping[str, Any]) -> tuple[str, ...]:
    said = []
    for side, rows in zip(("sources", "targets"), ids["train"], strict=True):
        lengths = [len(row) for row in rows]
        said.append(f"{side} of median {int(np.median(lengths)):,} tokens, longest {max(lengths):,}")
    return (f"lengths: {'; '.join(said)}",)
