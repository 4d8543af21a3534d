"""What is learned of sequences: a class, several labels, a number, or a class a step, chosen by how labels look."""

import difflib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from rnnjax.data import sequence_cells as cells
from rnnjax.data.sequences import LARGEST, Found, Series, count
from rnnjax.data.step_labels import UNLABELLED
from rnnjax.errors import DataError

_FEW = 20
"""So many different whole numbers, or fewer, are classes, whatever the number of sequences."""
_SHOWN = 20
_SEPARATOR = "|"
_ON_OFF = {"1": 1, "true": 1, "yes": 1, "0": 0, "false": 0, "no": 0}


@dataclass(frozen=True)
class Targets:
    """What is learned.

    Attributes:
      kind: ``class``, ``labels``, ``number`` or ``steps``.
      names: of the classes or labels; of numbers, none.
      columns: of the labels, as they are called.
      outputs: how many values the targets have: classes, labels or numbers.
    """

    kind: str
    names: tuple[str, ...]
    columns: tuple[str, ...]
    outputs: int

    @property
    def per_step(self) -> bool:
        """Whether there is a target at each step."""
        return self.kind == "steps"

    def encode(self, series: Sequence[Series], steps: int) -> dict[str, np.ndarray]:
        """The targets of sequences by the name of their array, a row each; classes of steps are ``[N, steps]``.

        Raises:
          DataError: at a label that is none, or does not occur in training, or is missing.
        """
        if self.kind == "number":
            made = np.array([self._numbers(one) for one in series], np.float32)
            return {"targets": made[:, 0] if made.shape[1] == 1 else made}
        if self.kind == "labels":
            return {"targets": np.stack([self._several(one) for one in series])}
        number = {name: place for place, name in enumerate(self.names)}
        if self.kind == "class":
            return {
                "labels": np.array(
                    [self._class(number, one.place, _one(one, self.columns)) for one in series], np.int32
                )
            }
        rows = np.full((len(series), steps), UNLABELLED, np.int32)
        for row, one in zip(rows, series, strict=True):
            for step, label in enumerate(_of_steps(one)[:steps]):
                row[step] = UNLABELLED if label is None else self._class(number, f"{one.place}, step {step + 1}", label)
        return {"labels": rows}

    def _class(self, number: dict[str, int], place: str, label: str) -> int:
        if label not in number:
            near = difflib.get_close_matches(label, self.names, n=1)
            known = ", ".join(map(repr, self.names[:10]))
            hint = f"did you mean {near[0]!r}?" if near else f"the labels are {known}"
            raise DataError(f"{place}: the label {label!r} does not occur in training; {hint}")
        return number[label]

    def _several(self, one: Series) -> np.ndarray:
        row = np.zeros(len(self.names), np.float32)
        if len(self.columns) > 1:
            _need(one, self.columns)
            for place, (column, text) in enumerate(zip(self.columns, one.labels, strict=True)):
                if text.lower() not in _ON_OFF:
                    raise DataError(f"{one.place}: {column!r} must be 0 or 1, got {text[:40]!r}")
                row[place] = _ON_OFF[text.lower()]
            return row
        number = {name: place for place, name in enumerate(self.names)}
        for label in _parts(one):
            row[self._class(number, one.place, label)] = 1
        return row

    def _numbers(self, one: Series) -> list[float]:
        _need(one, self.columns)
        made = []
        for column, text in zip(self.columns, one.labels, strict=True):
            value = cells.number(text)
            if value is None or np.isnan(value):
                raise DataError(
                    f"{one.place}: the target in {column!r} must be a number, got {text[:40]!r}; for classes give "
                    "--data.target class"
                )
            if abs(value) > LARGEST:
                raise DataError(f"{one.place}: the target in {column!r}, {value:g}, is too large to be a measurement")
            made.append(value)
        return made


def choose(found: Found, wanted: str, trained: Sequence[int]) -> tuple[Targets, list[str]]:
    """What is learned, and lines that say it.

    Args:
      found: all sequences.
      wanted: as ``--data.target`` says it.
      trained: numbers of the sequences that may be trained on, whose labels are the known ones.

    Raises:
      DataError: where there are no labels, or they are none of what is wanted.
    """
    series = [found.series[number] for number in trained]
    by_step = any(one.by_step for one in found.series)
    if not by_step and any(not one.labels for one in found.series):
        without = next(one for one in found.series if not one.labels)
        raise DataError(
            f"{without.place}: there is no label; name its column by --data.label-column, or where a file's name holds "
            "it by --data.name-pattern, such as '{label}_{group}_{number}', or have a folder a class"
        )
    if by_step and wanted not in ("auto", "steps"):
        raise DataError(f"{found.path}: labels differ from step to step, which is --data.target steps, not {wanted}")
    if wanted == "steps" and not by_step:
        raise DataError(f"{found.path}: --data.target steps needs a label a step, and here each sequence has one")
    kind = wanted if wanted != "auto" else "steps" if by_step else found.target or _looks(series, found.label_names)
    if len(found.label_names) > 1 and kind == "class":
        names = " and ".join(map(repr, found.label_names[:3]))
        raise DataError(f"{found.path}: a class is in one column; {names} are several: name one by --data.label-column")
    if kind != "steps" and (kind != "labels" or len(found.label_names) > 1):
        for one in found.series:
            _need(one, found.label_names)
    names = _names(kind, series, found.label_names)
    outputs = len(found.label_names) if kind == "number" else len(names)
    targets = Targets(kind, names, found.label_names, outputs)
    return targets, _said(targets, series, asked=wanted != "auto")


def _looks(series: Sequence[Series], columns: Sequence[str]) -> str:
    if len(columns) > 1:
        on_off = all(text.lower() in _ON_OFF for one in series for text in one.labels)
        return "labels" if on_off else "number" if _are_numbers(series) else "class"
    if any(_SEPARATOR in one.labels[0] for one in series):
        return "labels"
    if not _are_numbers(series):
        return "class"
    values = np.array([cells.number(one.labels[0]) for one in series], np.float64)
    different = len(np.unique(values))
    if (values != np.round(values)).any():
        return "number" if different > min(_FEW, len(values) / 2) else "class"
    return "number" if different > max(_FEW, len(values) / 10) else "class"


def _are_numbers(series: Sequence[Series]) -> bool:
    made = (cells.number(text) for one in series for text in one.labels if text)
    return all(value is not None and not np.isnan(value) for value in made)


def _names(kind: str, series: Sequence[Series], columns: Sequence[str]) -> tuple[str, ...]:
    if kind == "number":
        return ()
    if kind == "labels" and len(columns) > 1:
        return tuple(columns)
    if kind == "labels":
        return _in_order(label for one in series for label in _parts(one))
    if kind == "steps":
        return _in_order(label for one in series for label in _of_steps(one) if label is not None)
    return _in_order(_one(one, columns) for one in series)


def _in_order(labels: Iterable[str]) -> tuple[str, ...]:
    """Different labels, by number where all are numbers, else by name."""
    different = set(labels)
    values = {label: cells.number(label) for label in different}
    numbered = all(value is not None and not np.isnan(value) for value in values.values())
    return tuple(sorted(different, key=lambda label: (values[label] if numbered else 0.0, label)))


def _said(targets: Targets, series: Sequence[Series], *, asked: bool) -> list[str]:
    of = ", ".join(map(repr, targets.columns[:3])) + (", ..." if len(targets.columns) > 3 else "")
    end = "" if asked else "; --data.target says it otherwise"
    if targets.kind == "number":
        values = np.array([targets._numbers(one) for one in series])
        spread = "; ".join(f"{low:g} to {high:g}" for low, high in zip(values.min(0), values.max(0), strict=True))
        return [f"target: number, {of}, {count(len(np.unique(values)), 'different number')} from {spread}{end}"]
    if targets.kind == "labels":
        counts = dict(zip(targets.names, np.stack([targets._several(one) for one in series]).sum(0), strict=True))
    elif targets.kind == "steps":
        counts = Counter(label for one in series for label in _of_steps(one) if label is not None)
    else:
        counts = Counter(_one(one, targets.columns) for one in series)
    listed = [f"{name} {int(counts[name]):,}" for name in targets.names[:_SHOWN]]
    listed += [f"and {len(targets.names) - _SHOWN:,} more"] * (len(targets.names) > _SHOWN)
    what = {"class": "class", "labels": "several labels", "steps": "a class a step"}[targets.kind]
    where = f", {of}" if targets.columns else ""
    lines = [f"target: {what}{where}, {count(len(targets.names), 'name')} ({', '.join(listed)}){end}"]
    if targets.kind == "labels" and (without := sum(not targets._several(one).any() for one in series)):
        lines.append(f"{count(without, 'sequence has', 'sequences have')} none of the labels")
    return lines + _alike(targets.names)


def _alike(names: Sequence[str]) -> list[str]:
    """Lines of names that may be meant as one, or as none."""
    folded = defaultdict(list)
    for name in names:
        value = cells.number(name)
        plain = value is None or np.isnan(value) or cells.rounded(name)  # ids may have more digits than a float keeps
        folded[name.casefold() if plain else value].append(name)
    same = [" and ".join(map(repr, group)) for group in folded.values() if len(group) > 1]
    nothing = [repr(name) for name in names if name.lower() in cells.MISSING]
    lines = [f"{', '.join(same[:5])} differ in case or number format alone, and are different labels here"] * bool(same)
    return lines + [f"{', '.join(nothing)} may mean that there is no label, and is a label here"] * bool(nothing)


def _need(one: Series, columns: Sequence[str], *, some: bool = True) -> None:
    """Refuses a sequence without a label for each column, and with an empty one where there must be some."""
    if one.by_step:
        raise DataError(f"{one.place}: its labels differ from step to step, and one of the whole sequence is needed")
    if not one.labels:
        raise DataError(
            f"{one.place}: there is no label; write one where training had it: in a column, in the file's name, in a "
            "table beside it, or as the name of its folder, of which two or more lie side by side"
        )
    if len(one.labels) != max(len(columns), 1):
        raise DataError(f"{one.place}: {count(max(len(columns), 1), 'label')} needed, {len(one.labels)} there")
    if some and "" in one.labels:
        where = f" in {columns[one.labels.index('')]!r}" if columns else ""
        raise DataError(f"{one.place}: the label{where} is empty; give one, or leave the sequence out")


def _one(one: Series, columns: Sequence[str]) -> str:
    _need(one, columns)
    return one.labels[0]


def _parts(one: Series) -> list[str]:
    """The labels that a cell lists: none in an empty one."""
    _need(one, (), some=False)
    return [part for text in one.labels[0].split(_SEPARATOR) if (part := text.strip())]


def _of_steps(one: Series) -> tuple[str | None, ...]:
    if one.step_labels is None:
        raise DataError(f"{one.place}: there is no label a step in it, as there is in training")
    return one.step_labels


def check_names(targets: Targets, found: Found) -> None:
    """Raises DataError where there is nothing to tell apart."""
    if targets.kind in ("class", "steps") and len(targets.names) < 2:
        only = f"one class only, {', '.join(map(repr, targets.names))}" if targets.names else "no step has a label"
        raise DataError(f"{found.path}: {only}; a classifier needs two classes")
    if targets.kind == "labels" and not targets.names:
        raise DataError(f"{found.path}: no sequence has a label")
