"""Spans of tags: those of a plain reading of conlleval and seqeval, whatever the tags, and where steps are left out."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rnnjax
from rnnjax.tasks import spans

BIO = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
BIOES = ("I-a", "E-b", "O", "S-a", "B-b", "I-b", "E-a", "B-a", "S-b")
BARE = ("B", "I", "O")
BILOU = ("O", "B-x", "I-x", "L-x", "U-x", "B-y-z", "L-y-z")
SCHEMES = {"BIO": BIO, "BIOES": BIOES, "bare": BARE, "BILOU": BILOU}

# The pairs of tags between which a span begins or ends, as conlleval lists them, and seqeval with S besides.


def _starts(before: str, tag: str, kind_before: str, kind: str) -> bool:
    pairs = {("B", "B"), ("I", "B"), ("O", "B"), ("E", "B"), ("S", "B")}
    pairs |= {("B", "S"), ("I", "S"), ("O", "S"), ("E", "S"), ("S", "S")}
    pairs |= {("O", "I"), ("E", "E"), ("E", "I"), ("O", "E"), ("S", "E"), ("S", "I")}
    return (before, tag) in pairs or (tag != "O" and kind != kind_before)


def _ends(before: str, tag: str, kind_before: str, kind: str) -> bool:
    pairs = {("B", "B"), ("B", "O"), ("I", "B"), ("I", "O"), ("B", "S"), ("I", "S")}
    pairs |= {(left, right) for left in "ES" for right in "BIOES"}
    return (before, tag) in pairs or (before != "O" and kind != kind_before)


def plain_spans(names: list[str]) -> set[tuple[str, int, int]]:
    """Type, first and last step of each span of a row."""
    found, begun, before, kind_before = set(), 0, "O", ""
    for place, name in enumerate([*names, "O"]):
        prefix, _, kind = name.partition("-")
        tag = {"L": "E", "U": "S"}.get(prefix, prefix)
        kind = "" if tag == "O" else kind or "_"
        if _ends(before, tag, kind_before, kind):
            found.add((kind_before, begun, place - 1))
        if _starts(before, tag, kind_before, kind):
            begun = place
        before, kind_before = tag, kind
    return found


@functools.cache
def compiled(scheme: str) -> Any:
    return jax.jit(functools.partial(spans.counts, tags=SCHEMES[scheme]))


@pytest.mark.parametrize("scheme", SCHEMES)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_spans_are_those_of_a_plain_reading(scheme, data):
    """Of any tags whatever, whether they follow the scheme or not, and with steps between them that do not count."""
    tags = SCHEMES[scheme]
    number = st.integers(0, len(tags) - 1)
    labels = np.array(data.draw(st.lists(st.one_of(number, number, st.just(-1)), min_size=3 * 8, max_size=3 * 8)))
    changed = np.array(data.draw(st.lists(st.one_of(st.none(), st.none(), number), min_size=3 * 8, max_size=3 * 8)))
    labels = labels.reshape(3, 8).astype(np.int32)
    predicted = np.where(changed == None, np.maximum(labels.ravel(), 0), changed).astype(np.int32).reshape(3, 8)  # noqa: E711
    ours = compiled(scheme)(jnp.array(predicted), jnp.array(labels), weights=jnp.array([1, 2, 3]))
    kinds = spans.types_of(tags)
    expected = {name: np.zeros(len(kinds), int) for name in ours}
    for row in range(3):
        counted = labels[row] >= 0
        gold, found = (plain_spans([tags[n] for n in part[row][counted]]) for part in (labels, predicted))
        for name, of in (("gold", gold), ("predicted", found), ("correct", gold & found)):
            for kind, _, _ in of:
                expected[f"spans_{name}"][kinds.index(kind)] += row + 1
    for name, value in ours.items():
        np.testing.assert_array_equal(value, expected[name], err_msg=f"{name} of {labels} and {predicted}")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("B-PER I-PER O B-LOC", {("PER", 0, 1), ("LOC", 3, 3)}),
        ("I-PER I-PER O I-LOC I-PER", {("PER", 0, 1), ("LOC", 3, 3), ("PER", 4, 4)}),
        ("B-PER B-PER I-PER", {("PER", 0, 0), ("PER", 1, 2)}),
        ("B-a I-a E-a S-a I-a O E-a", {("a", 0, 2), ("a", 3, 3), ("a", 4, 4), ("a", 6, 6)}),
        ("O O", set()),
    ],
)
def test_the_plain_reading_is_that_of_the_examples(row, expected):
    assert plain_spans(row.split()) == expected


def test_scores_of_spans_are_those_of_seqevals_example():
    """``f1_score`` of its README: 0.50, of two true spans and two predicted ones."""
    names = ("O", "B-MISC", "I-MISC", "B-PER", "I-PER")
    true = ["O O O B-MISC I-MISC I-MISC O", "B-PER I-PER O"]
    predicted = ["O O B-MISC I-MISC I-MISC I-MISC O", "B-PER I-PER O"]
    labels, found = (np.full((2, 7), -1), np.zeros((2, 7), int))
    for row in range(2):
        for place, (gold, guess) in enumerate(zip(true[row].split(), predicted[row].split(), strict=True)):
            labels[row, place], found[row, place] = names.index(gold), names.index(guess)
    task = rnnjax.PerStep(score="span-f1", tags=names)
    values = task.finish(task.sums(jnp.eye(5)[found], {"labels": labels, "mask": np.ones(2, bool)}, train=False))
    assert (values["span_f1"], values["span_precision"], values["span_recall"]) == (0.5, 0.5, 0.5)
    assert task.headline.name == "span_f1"


def test_names_are_tags_or_not():
    assert all(map(spans.are_tags, SCHEMES.values()))
    assert spans.types_of(BILOU) == ("x", "y-z")
    for names in ((), ("O",), ("O", "PER"), ("a", "b"), ("O", "B-"), ("O", "Z-PER")):
        assert not spans.are_tags(names)
