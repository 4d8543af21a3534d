"""What a model has written beside what is right: exact answers, errors, BLEU, and pictures of its attention.

Errors are edits (insertions, deletions, substitutions) of tokens: of characters where those are the tokens, else of
words. Where several texts are right the nearest counts.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rnnjax.data.token_sets import joined, normal, units
from rnnjax.data.tokens import END, PADDING
from rnnjax.errors import UsageError
from rnnjax.tasks.base import Report

if TYPE_CHECKING:
    from rnnjax.data.spec import Spec
    from rnnjax.tasks.sequence_to_sequence import SequenceToSequence

_DRAWN = 4
"""Examples whose attention is drawn, and that are shown beside it."""


class Written(NamedTuple):
    """An answer and what is right.

    Attributes:
      row: its number in the split.
      text: the answer.
      accepted: the right texts, as the data have them.
      edits: from the nearest right text.
      size: how many tokens that text has.
      exact: whether it is one of them, and has ended: what was cut is right by chance.
    """

    row: int
    text: str
    accepted: tuple[str, ...]
    edits: int
    size: int
    exact: bool


def text(task: "SequenceToSequence", ids: Any, spec: "Spec") -> str:
    """The text of token ids ``[T]`` up to their end; numbers where the tokens have no names."""
    kept = [int(number) for number in ids if number not in (PADDING, END) and number >= 0]
    if not spec.names:
        return " ".join(map(str, kept))
    return joined([spec.names[number] for number in kept], task.splitter)


def texts(task: "SequenceToSequence", kept: Any, spec: "Spec", group: int | None = None) -> list[Written]:
    """The answers that were kept; with ``group``, those of that one."""
    rows = np.arange(len(kept["written"]))
    if group is not None and "group" in kept:
        rows = rows[kept["group"] == group]
    made = []
    for row in rows:
        answer = text(task, kept["written"][row], spec)
        accepted = (text(task, kept["targets"][row], spec),)
        if "reference" in kept and task.references:
            accepted = tuple(task.references[kept["reference"][row]])
        right = [normal(one, task.lowercase) for one in accepted]
        parts = [units(one, task.splitter) for one in right]
        edits = [edit_distance(units(answer, task.splitter), one) for one in parts]
        nearest = int(np.argmin(edits))
        exact = answer in right and END in kept["written"][row]
        made.append(Written(int(row), answer, accepted, edits[nearest], len(parts[nearest]), exact))
    return made


def edit_distance(ours: Sequence[str], theirs: Sequence[str]) -> int:
    """The fewest insertions, deletions and substitutions between two sequences (Levenshtein 1966)."""
    if list(ours) == list(theirs):
        return 0
    before = list(range(len(theirs) + 1))
    for number, token in enumerate(ours, 1):
        row = [number]
        for place, other in enumerate(theirs, 1):
            row.append(min(row[-1] + 1, before[place] + 1, before[place - 1] + (token != other)))
        before = row
    return before[-1]


def metrics(task: "SequenceToSequence", pairs: Sequence[Written]) -> dict[str, float]:
    """Shares of exact answers and of others, errors over right tokens, and, where it is the score, BLEU."""
    exact = float(np.mean([pair.exact for pair in pairs])) if pairs else 0.0
    made = {
        "exact_match": exact,
        "sequence_error_rate": 1 - exact,
        "token_error_rate": sum(pair.edits for pair in pairs) / max(sum(pair.size for pair in pairs), 1),
    }
    return made | ({"bleu": bleu(task, pairs)[0]} if task.score == "bleu" else {})


def bleu(task: "SequenceToSequence", pairs: Sequence[Written]) -> tuple[float, str]:
    """BLEU of sacrebleu (Post 2018) with tokenisation 13a, on texts as the data have them, and its signature."""
    counter = sacrebleu().BLEU(lowercase=task.lowercase)
    score = counter.corpus_score([pair.text for pair in pairs], [[pair.accepted[0] for pair in pairs]])
    return float(score.score), str(counter.get_signature())


def outcomes(task: "SequenceToSequence", pairs: Sequence[Written]) -> np.ndarray:
    """What each answer adds to the figure that is compared, ``[N, K]``.

    Of a share, 1 where it counts; of the token error rate, the edits a right token and how many tokens those are; of
    BLEU, the n-grams that are right (of 1 to 4 words), those that were written, and the lengths of both texts.
    """
    if task.score == "token_error_rate":
        return np.array([(pair.edits / max(pair.size, 1), pair.size) for pair in pairs], np.float64).reshape(-1, 2)
    if task.score != "bleu":
        wanted = task.score == "exact_match"
        return np.array([[pair.exact == wanted] for pair in pairs], np.float64).reshape(-1, 1)
    counter = sacrebleu().BLEU(lowercase=task.lowercase, effective_order=True)  # which is of no counts
    scores = [counter.sentence_score(pair.text, [pair.accepted[0]]) for pair in pairs]
    rows = [[*score.counts, *score.totals, score.sys_len, score.ref_len] for score in scores]
    return np.array(rows, np.float64).reshape(-1, 10)


def bleu_of(sums: np.ndarray) -> np.ndarray:
    """BLEU ``[D]`` of added up rows of :func:`outcomes`, ``[D, 10]``."""
    counter = sacrebleu().BLEU

    def score(row: np.ndarray) -> float:
        *counts, written, right = (int(value) for value in row)
        return counter.compute_bleu(counts[:4], counts[4:], written, right, smooth_method="exp").score

    return np.array([score(row) for row in sums])


def sacrebleu() -> Any:
    """The package; raises UsageError where it is not installed."""
    try:
        from sacrebleu import metrics as package  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UsageError("BLEU needs the package sacrebleu: pip install 'rnnjax[translation]'") from error
    return package


def report(task: "SequenceToSequence", kept: Any, spec: "Spec") -> Report:
    """What a split shows beside its metrics."""
    pairs, values = texts(task, kept, spec, group=0), {}
    page: dict[str, Any] = {**metrics(task, pairs), "by_length": _by_length(kept, pairs)}
    signatures = {"bleu": bleu(task, pairs)[1]} if task.score == "bleu" else {}
    page |= {"signatures": signatures} if signatures else {}
    for number, name in enumerate(task.groups, 1):
        if others := texts(task, kept, spec, group=number):
            found = metrics(task, others)
            page.setdefault("groups", {})[name] = {"examples": len(others), **found}
            shown = task.score if task.score in found else "exact_match"  # a loss is of no texts
            values |= {f"{name} {shown}": found[shown]}
    page["examples"] = [_shown(task, kept, pair) for pair in pairs[:_DRAWN]]
    seen = "columns" in kept or (task.names and "inputs" in kept)
    drawn = {"attention": _drawing(task, kept, spec, pairs[:_DRAWN])} if seen and kept["weights"].any() else {}
    return Report(values, page, drawn, signatures=signatures)


def mistakes(task: "SequenceToSequence", kept: Any, spec: "Spec", most: int) -> list[dict[str, Any]]:
    """The answers with the most edits, beside what is right."""
    wrong = [pair for pair in texts(task, kept, spec, group=0) if not pair.exact]
    worst = sorted(wrong, key=lambda pair: -pair.edits)[:most]
    return [
        {"row": pair.row, **_shown(task, kept, pair), "right": pair.accepted[0], "edits": pair.edits} for pair in worst
    ]


def _by_length(kept: Any, pairs: Sequence[Written]) -> list[dict[str, Any]]:
    """Exact answers by the number of tokens of the source, where sources have lengths."""
    if "lengths" not in kept:
        return []
    counts = Counter(int(kept["lengths"][pair.row]) for pair in pairs)
    hits = Counter(int(kept["lengths"][pair.row]) for pair in pairs if pair.exact)
    return [
        {"length": length, "examples": count, "exact_match": hits[length] / count}
        for length, count in sorted(counts.items())
    ]


def _shown(task: "SequenceToSequence", kept: Any, pair: Written) -> dict[str, Any]:
    source = {"source": " ".join(_source(task, kept, pair.row))} if task.names and "inputs" in kept else {}
    return source | {"answer": pair.text, "right": list(pair.accepted)}


def _source(task: "SequenceToSequence", kept: Any, row: int) -> list[str]:
    ids = kept["inputs"][row][: kept["lengths"][row] if "lengths" in kept else None]
    return [_plain(task.names[number]) for number in ids]


def _columns(kept: Any, row: int) -> np.ndarray:
    """The real columns of an image, ``[S, height]``."""
    return kept["columns"][row][: kept["lengths"][row] if "lengths" in kept else None]


def _plain(token: str) -> str:
    """A token of byte pairs in letters: bytes have letters of their own there, a blank ``Ġ``."""
    return token.replace("Ġ", "_")


def _drawing(task: "SequenceToSequence", kept: Any, spec: "Spec", pairs: Sequence[Written]) -> Any:
    """What draws the attention of a few answers."""

    def draw(path: Path, split: str) -> None:
        from rnnjax.tasks.attention_figure import save_attention, save_attention_over_images

        images = "columns" in kept
        shown = []
        for pair in pairs:
            source = _columns(kept, pair.row) if images else _source(task, kept, pair.row)
            ids = [int(number) for number in kept["written"][pair.row] if number != PADDING]
            weights = kept["weights"][pair.row][: len(ids), : len(source)] / 255
            names = [_plain(spec.names[number]) if spec.names else str(number) for number in ids]
            shown.append((source, names, weights))
        (save_attention_over_images if images else save_attention)(shown, path, f"attention, {split}")

    return draw
