"""Weights of one run as the start of another: which of them fit, by path and shape, and what is made of them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from rnnjax import digests
from rnnjax.data.tokens import alike
from rnnjax.errors import UsageError
from rnnjax.training.state import TrainState

Shapes = Mapping[str, tuple[int, ...]]
"""Shapes by the paths of variables, which begin with the name of their collection: ``params/head/Dense_0/kernel``."""


@dataclass(frozen=True)
class Tokens:
    """What the ids stand for that a model reads, and with them the rows of its embedding.

    Attributes:
      size: how many ids there are; 0 where inputs are no tokens.
      words: the tokens in the order of their ids; empty where they are not known.
      tokenizer: what splits a document into them.
      written: those that a module called ``decoder`` writes, where they are others; None: it reads and writes these.
    """

    size: int = 0
    words: tuple[str, ...] = ()
    tokenizer: str = ""
    written: "Tokens | None" = None

    def at(self, path: str) -> "Tokens":
        """Those of the module that a variable is of, by its path."""
        return self.written if self.written is not None and path.split("/")[1:2] == ["decoder"] else self

    def means_the_same(self, other: "Tokens") -> bool:
        """Whether an id stands for the same in both."""
        return self.words == other.words and alike(self.tokenizer, other.tokenizer)

    def rows_of(self, other: "Tokens") -> np.ndarray:
        """For each token here its id there, or -1; ``[len(words)]``."""
        if not alike(self.tokenizer, other.tokenizer):
            return np.full(len(self.words), -1)
        ids = {word: number for number, word in enumerate(other.words)}
        return np.array([ids.get(word, -1) for word in self.words], np.int64)


@dataclass(frozen=True)
class Transfer:
    """What a run takes from another's weights, by the paths of its own variables.

    Attributes:
      taken: whole arrays.
      rows: arrays of which the rows of tokens that both know are taken: how many of how many.
      unfit: arrays that have another shape there: both shapes, theirs first.
      foreign: arrays that may belong to the tokens of another vocabulary, and are left fresh for that.
      fresh: arrays that the other has not, or that were not asked for.
      unused: paths of the other's arrays that this run has not.
    """

    taken: tuple[str, ...] = ()
    rows: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    unfit: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)
    foreign: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "taken": list(self.taken),
            "rows": {path: list(counts) for path, counts in self.rows.items()},
            "unfit": {path: {"there": list(there), "here": list(here)} for path, (there, here) in self.unfit.items()},
            "foreign": list(self.foreign),
            "fresh": list(self.fresh),
            "unused": list(self.unused),
        }


def transfer(theirs: Shapes, ours: Shapes, parts: Sequence[str], tokens: tuple[Tokens, Tokens]) -> Transfer:
    """What of their variables fits ours.

    Args:
      theirs, ours: shapes by path.
      parts: regular expressions of which one must be found in a path without its collection; none: all is wanted.
      tokens: theirs and ours.

    Raises:
      UsageError: at a pattern that is none or is found nowhere, and if nothing fits.
    """
    _check_parts(parts, ours)
    found: dict[str, dict[str, Any]] = {name: {} for name in ("taken", "rows", "unfit", "foreign", "fresh")}
    for path, shape in ours.items():
        wanted = not parts or any(re.search(part, _bare(path)) for part in parts)
        kind, said = _fit(path, theirs.get(path), shape, tokens) if wanted else ("fresh", None)
        found[kind][path] = said
    if not (found["taken"] or found["rows"]):
        listed = ["".join(f"\n  {path} {shape}" for path, shape in shapes.items()) for shapes in (theirs, ours)]
        among = f" among those that --init-parts {' '.join(parts)} asks for" if parts else ""
        raise UsageError(
            f"--init-from: nothing fits by path and shape{among}; there are:{listed[0]}\nand here:{listed[1]}"
        )
    listed = {name: tuple(found[name]) for name in ("taken", "foreign", "fresh")}
    unused = tuple(path for path in theirs if path not in ours)
    return Transfer(rows=found["rows"], unfit=found["unfit"], unused=unused, **listed)


def _fit(path: str, there: tuple[int, ...] | None, here: tuple[int, ...], tokens: tuple[Tokens, Tokens]) -> Any:
    """How a variable of ours is met by theirs: the name of a field of :class:`Transfer`, and what it says."""
    theirs, ours = (each.at(path) for each in tokens)
    if there is None:
        return "fresh", None
    if theirs.size and ours.size and not theirs.means_the_same(ours):
        is_embedding = path.endswith("/embedding") and there == (theirs.size, *here[1:]) and here[:1] == (ours.size,)
        if is_embedding and (known := int((ours.rows_of(theirs) >= 0).sum())):
            return "rows", (known, ours.size)
        # Of any name, its first axis may be that of tokens, or its last, where they are predicted.
        if there == here and theirs.size == ours.size and ours.size in (*here[:1], *here[-1:]):
            return "foreign", None
    return ("taken", None) if there == here else ("unfit", (there, here))


def _check_parts(parts: Sequence[str], ours: Shapes) -> None:
    for part in parts:
        try:
            found = any(re.search(part, _bare(path)) for path in ours)
        except re.error as error:
            raise UsageError(f"--init-parts: {part!r} is no regular expression: {error}") from None
        if not found:
            listed = "".join(f"\n  {_bare(path)}" for path in ours)
            raise UsageError(f"--init-parts: {part!r} is found in no parameter's path; these are:{listed}")


def _bare(path: str) -> str:
    return path.partition("/")[2]


def shapes(variables: Any) -> dict[str, tuple[int, ...]]:
    """The shapes of variables, or of their shapes, by path."""
    return {path: tuple(leaf.shape) for path, leaf in digests.leaves(variables).items()}


def begun(
    fresh: TrainState, chosen: Transfer, variables: Any, tokens: tuple[Tokens, Tokens], optimizer: Any
) -> TrainState:
    """A fresh state with what was chosen of another run's variables, on the host.

    Its averages and the optimizer's state begin from the parameters that it has then.

    Args:
      fresh: on the host.
      chosen: by :func:`transfer`.
      variables: theirs, collections by name.
      tokens: theirs and ours.
      optimizer: ours.
    """
    leaves = digests.leaves(variables)

    def start(path: Any, leaf: np.ndarray) -> np.ndarray:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if name in chosen.taken:
            return np.array(leaves[name], leaf.dtype)
        made = np.array(leaf)
        if name in chosen.rows:
            theirs, ours = (each.at(name) for each in tokens)
            rows = ours.rows_of(theirs)
            made[rows >= 0] = leaves[name][rows[rows >= 0]]
        return made

    own = {"params": fresh.params, **fresh.model_state}
    new = jax.tree_util.tree_map_with_path(start, own)
    averaged = fresh.averaged
    if averaged is not None:
        averaged = jax.tree.map(lambda leaf, like: np.array(leaf, like.dtype), new, averaged)
    params = new.pop("params")
    opt_state = jax.tree.map(np.array, jax.jit(optimizer.init)(params))
    return fresh.replace(params=params, model_state=new, averaged=averaged, opt_state=opt_state)
