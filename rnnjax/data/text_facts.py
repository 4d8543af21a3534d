"""What a user should see of labelled documents before training: a line for each fact, a note for what looks wrong."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from rnnjax.data.document_files import Texts
from rnnjax.errors import DataError

_SHOWN = 10
_SAMPLE = 1000
_NONE = {"nan", "null", "none", "na", "n/a", "?", "-", "<na>", "unknown", "undefined"}
_SPACELESS = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
"""Letters of Thai, Lao, Burmese, Khmer, Japanese and Chinese, which puts no spaces between words."""
_LETTERS_A_SPACE = 8
"""Of such letters, so many and more between two spaces are no single words."""
_MANY = 20
"""Different numbers among labels, from which on they look like measurements."""


def spaceless(documents: Sequence[str]) -> bool:
    """Whether most documents are of a script without spaces between words, and have none."""
    step = max(1, len(documents) // _SAMPLE)
    sample = [document for document in documents[::step] if document.strip()]
    return 2 * sum(map(_is_spaceless, sample)) > len(sample)


def _is_spaceless(document: str) -> bool:
    letters = sum(character.isalpha() for character in document)
    found = len(_SPACELESS.findall(document))
    return 2 * found > letters and found >= _LETTERS_A_SPACE * len(document.split()[1:])


def classes(names: Sequence[str], counts: Mapping[str, int]) -> str:
    """The classes and how many examples each has, the most frequent first."""
    ranked = sorted(names, key=lambda name: (-counts[name], name))
    shown = [f"{name!r} {counts[name]:,}" for name in ranked[:_SHOWN]]
    if len(ranked) > _SHOWN:
        shown.append(f"and {len(ranked) - _SHOWN:,} more, down to {ranked[-1]!r} {counts[ranked[-1]]:,}")
    return f"{len(names):,} classes: {', '.join(shown)}"


def notes(texts: Texts) -> list[str]:
    """What looks wrong in labels and documents, a sentence each."""
    counts = Counter(texts.labels)
    return [*_alike(counts), *_called_none(texts, counts), *_contradictions(texts), *_many_numbers(counts)]


def check_varied(texts: Texts) -> None:
    """Raises DataError where all documents are one: the column holds something else."""
    different = set(texts.keys)
    if len(texts.documents) > 1 and len(different) == 1 and None not in different:
        column = texts.reading.text_column
        rest = f" in {column!r}; name another column by --data.text-column" if column else ""
        raise DataError(f"{texts.path}: every text is the same, {str(different.pop())[:40]!r}{rest}")


def looks_measured(counts: Mapping[str, int]) -> bool:
    """Whether labels are numbers, and so many different ones that they are no classes."""
    numbers = [label for label in counts if _number(label) is not None]
    decimals = sum("." in label for label in numbers)
    return (
        len(numbers) > _MANY
        and len(numbers) > 0.9 * len(counts)
        and (2 * decimals > len(numbers) or 3 * len(numbers) > sum(counts.values()))
    )


def measured(counts: Mapping[str, int]) -> str:
    """What is said of such labels."""
    return (
        f"the labels look like numbers to predict, not classes: {len(counts):,} different ones in "
        f"{sum(counts.values()):,} rows, such as {next(iter(counts))}; write ranges such as low and high as labels, "
        "or name another column by --data.label-column"
    )


def _many_numbers(counts: Mapping[str, int]) -> Iterator[str]:
    if looks_measured(counts):
        yield measured(counts)


def _alike(counts: Mapping[str, int]) -> Iterator[str]:
    """Labels that differ by case, blanks or the way a number is written."""
    spelled = defaultdict(list)
    for label in sorted(counts, key=lambda label: (-counts[label], label)):
        spelled[_spelling(label)].append(label)
    several = [labels for labels in spelled.values() if len(labels) > 1]
    shown = ["; ".join(" and ".join(f"{label!r} {counts[label]:,}" for label in labels) for labels in several[:3])]
    if several:
        yield (
            "labels that differ by case, blanks or number format alone are classes of their own: "
            f"{shown[0]}{'; ...' * (len(several) > 3)}; write them alike if they are the same"
        )


def _spelling(label: str) -> str:
    if re.fullmatch(r"[+-]?[0-9]+", label):
        return str(int(label)) if len(label) < 100 else label  # ids may have more digits than a float keeps
    value = _number(label)
    if value is not None:
        return repr(value).removesuffix(".0")
    return re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFKC", label)).casefold()


def _number(label: str) -> float | None:
    try:
        value = float(label)
    except ValueError:
        return None
    return value if value == value and abs(value) != float("inf") else None


def _called_none(texts: Texts, counts: Mapping[str, int]) -> Iterator[str]:
    for label in sorted(counts):
        if label.lower() in _NONE:
            first = texts.places[texts.labels.index(label)]
            yield (
                f"{counts[label]:,} label{'s' * (counts[label] != 1)} {label!r}, first {first}: a class of that name "
                "is learned; take these rows out if it stands for no label"
            )


def _contradictions(texts: Texts) -> Iterator[str]:
    said: dict[str, tuple[str, str]] = {}
    found: dict[str, str] = {}
    for text, label, place in zip(texts.keys, texts.labels, texts.places, strict=True):
        if text is None:
            continue
        first, where = said.setdefault(text, (label, place))
        if first != label:
            found.setdefault(text, f"{where} {first!r} and {place} {label!r}")
    if found:
        yield (
            f"{len(found):,} text{'s have' if len(found) > 1 else ' has'} several labels, such as "
            f"{next(iter(found.values()))}; no more than one of them can be answered"
        )


def copies(texts: Texts) -> tuple[int, int]:
    """How many texts occur more than once, and in how many rows."""
    several = [count for text, count in Counter(texts.keys).items() if text is not None and count > 1]
    return len(several), sum(several)
