"""Spans of tags such as B-PER, I-PER and O, found and counted as the CoNLL shared tasks' conlleval does.

A class is called ``O`` (outside), or a prefix and a type, ``B-PER``: B begins a span, I goes on with it, E ends it, and
S is one by itself (E and S are also written L and U). Tags that do not follow their scheme are read as conlleval reads
them (Tjong Kim Sang and Buchholz 2000, "Introduction to the CoNLL-2000 Shared Task: Chunking"), and as seqeval does,
which knows S too, unless it is strict: an I or E without a beginning, or of another type than the span before it,
begins a span. A predicted span is correct where both its ends and its type are those of a true one. BIO of both kinds
(IOB1, IOB2) and BIOES are read by these rules alike.

Axes: B batch, T steps, C classes, K types.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Array = jax.Array

CONVENTION = "conlleval: exact spans and types; an I- or E- without a beginning begins a span"

_TAG = re.compile(r"O|([BIESLU])(?:-(.+))?")
_OUTSIDE, _INSIDE, _BEGIN, _END, _SINGLE = range(5)
_ROLES = {"B": _BEGIN, "I": _INSIDE, "E": _END, "S": _SINGLE, "L": _END, "U": _SINGLE}


def are_tags(names: Sequence[str]) -> bool:
    """Whether all classes' names are tags, and one of them begins or goes on with a span."""
    return all(map(_TAG.fullmatch, names)) and any(name != "O" for name in names)


def types_of(tags: Sequence[str]) -> tuple[str, ...]:
    """The types of tags, in the order of their names; one without a name is called ``_``, as seqeval does."""
    return tuple(sorted({_parsed(tag)[1] for tag in tags if tag != "O"}))


def _parsed(tag: str) -> tuple[int, str]:
    if tag == "O":
        return _OUTSIDE, ""
    found = _TAG.fullmatch(tag)
    assert found is not None, f"{tag!r} is no tag"
    return _ROLES[found[1]], found[2] or "_"


class Spans(NamedTuple):
    """Where spans lie in rows of steps, ``[B, T]`` each.

    Attributes:
      ends: whether a span's last step is here.
      start: the step at which the span that is here began.
      kind: the type of the step; of a step outside, -1.
    """

    ends: Array
    start: Array
    kind: Array


def counts(predicted: Array, labels: Array, tags: Sequence[str], weights: Array) -> dict[str, Array]:
    """Spans by type, ``[K]`` each: ``spans_correct``, ``spans_predicted`` and ``spans_gold``.

    Args:
      predicted: ``[B, T]`` class numbers.
      labels: ``[B, T]`` class numbers, negative at steps that do not count: what is left of a row is its sequence.
      tags: the classes' names, ``C`` of them.
      weights: ``[B]``, how much the spans of each row count; integers make integers.
    """
    order = jnp.argsort(labels < 0, axis=1, stable=True)  # steps that count come first, and stay in their order
    predicted, labels = (jnp.take_along_axis(array, order, 1) for array in (predicted, labels))
    counted = labels >= 0
    found, gold = (_spans(jnp.where(counted, array, 0), counted, tags) for array in (predicted, labels))
    same = (found.start == gold.start) & (found.kind == gold.kind)
    kinds = jnp.arange(len(types_of(tags)))

    def by_type(ends: Array, kind: Array) -> Array:
        # Sums of comparisons, since scattered additions of floats have no order on a GPU.
        of_type = ends[..., None] & (kind[..., None] == kinds)
        return (of_type.sum(1) * weights[:, None]).sum(0)

    return {
        "spans_correct": by_type(found.ends & gold.ends & same, gold.kind),
        "spans_predicted": by_type(found.ends, found.kind),
        "spans_gold": by_type(gold.ends, gold.kind),
    }


def _spans(classes: Array, counted: Array, tags: Sequence[str]) -> Spans:
    """The spans of rows whose steps that count come first."""
    parsed, types = [_parsed(tag) for tag in tags], types_of(tags)
    roles = np.array([role for role, _ in parsed])
    kinds = np.array([types.index(kind) if role else -1 for role, kind in parsed])
    role = jnp.where(counted, jnp.asarray(roles)[classes], _OUTSIDE)
    kind = jnp.where(counted, jnp.asarray(kinds)[classes], -1)
    inside = role != _OUTSIDE
    before_role, before_kind = (_shifted(array, fill) for array, fill in ((role, _OUTSIDE), (kind, -1)))
    # Between a step and the one before it, a span does not go on.
    apart = _is(role, _BEGIN, _SINGLE) | _is(before_role, _OUTSIDE, _END, _SINGLE) | (kind != before_kind)
    begins = inside & apart
    ends = inside & jnp.concatenate([(apart | ~inside)[:, 1:], jnp.ones_like(inside[:, :1])], 1)
    start = lax.cummax(jnp.where(begins, jnp.arange(role.shape[1]), -1), axis=1)
    return Spans(ends, start, kind)


def _shifted(array: Array, fill: int) -> Array:
    """What stands a step earlier."""
    return jnp.concatenate([jnp.full_like(array[:, :1], fill), array[:, :-1]], 1)


def _is(role: Array, *any_of: int) -> Array:
    return jnp.isin(role, jnp.array(any_of))


def scores(correct: Any, predicted: Any, gold: Any) -> tuple[float, float, float]:
    """Precision, recall and F1 of sums over all types; what is 0 / 0 is 0."""
    correct, predicted, gold = (float(np.sum(part)) for part in (correct, predicted, gold))
    precision = correct / predicted if predicted else 0.0
    recall = correct / gold if gold else 0.0
    return precision, recall, 2 * correct / (predicted + gold) if predicted + gold else 0.0


def page(correct: Any, predicted: Any, gold: Any, tags: Sequence[str]) -> dict[str, Any]:
    """What a report says of spans: precision, recall and F1 of all and of each type, as JSON values."""
    names = ("precision", "recall", "f1")
    rows = zip(types_of(tags), correct, predicted, gold, strict=True)
    return {
        "convention": CONVENTION,
        **dict(zip(names, scores(correct, predicted, gold), strict=True)),
        "types": [
            {"name": name, **dict(zip(names, scores(*row), strict=True)), "support": float(row[2])}
            for name, *row in rows
        ],
    }
