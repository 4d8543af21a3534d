"""The ``.ts`` files of sktime and aeon: a header of lines that begin with @, and then a line a case.

The channels of a case are separated by colons, their values by commas, and the last part is its label. Values with
time stamps in brackets are refused.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rnnjax.data import sequence_cells as cells
from rnnjax.data.files import read_bytes
from rnnjax.data.sequences import Found, Reading, Series
from rnnjax.errors import DataError

_MOST_BYTES = 2**31
_COMMENTS = (b"#", b"%")
_SWITCHES = ("timestamps", "univariate", "equallength", "missing", "targetlabel")
_NUMBERS = ("dimensions", "dimension", "serieslength")


def read(path: Path) -> Found:
    """The cases of a file.

    Raises:
      DataError: at anything that is not of the format, naming file and line.
    """
    header: dict[str, list[str]] = {}
    series: list[Series] = []
    begun = False
    for line, text in _lines(path):
        place = f"{path}:{line}"
        if begun:
            series.append(_case(place, text, header))
        elif text.lower() == "@data":
            begun = True
            _check(path, header)
        elif text.startswith("@"):
            name, *values = text[1:].split()
            header[name.lower()] = values
        else:
            raise DataError(f"{place}: before @data a line begins with @ or #, got {text[:40]!r}")
    if not begun:
        raise DataError(f"{path}: there is no line @data, after which the cases of a .ts file stand")
    widths = {one.steps.shape[1] for one in series}
    if len(widths) > 1:
        other = next(one for one in series if one.steps.shape[1] != series[0].steps.shape[1])
        raise DataError(
            f"{other.place}: {other.steps.shape[1]} channels, where the case in {series[0].place} has "
            f"{series[0].steps.shape[1]}; channels are separated by ':'"
        )
    channels = tuple(str(number) for number in range(1, max(widths, default=0) + 1))
    names = ("label",) if _labelled(header) else ()
    target = "number" if _is("targetlabel", header) else "class" if _is("classlabel", header) else ""
    problem = " ".join(header.get("problemname", [])) or path.stem
    lines = [f".ts file: {problem}, channels separated by ':', " + ("a label last" if names else "without labels")]
    return Found(path, series, Reading(layout="ts"), channels, names, target=target, understood=lines)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are neither blank nor comments, with their numbers."""
    data = read_bytes(path, _MOST_BYTES)
    for line, raw in enumerate(data.split(b"\n"), 1):
        if raw.lstrip().startswith(_COMMENTS):  # in whatever encoding
            continue
        try:
            text = raw.decode("utf-8-sig" if line == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            raise DataError(f"{path}:{line}: not UTF-8 (byte {error.start + 1} of the line)") from error
        if text:
            yield line, text


def _check(path: Path, header: dict[str, list[str]]) -> None:
    for name in _SWITCHES:
        given = header.get(name)
        if given is not None and [value.lower() for value in given] not in (["true"], ["false"]):
            raise DataError(f"{path}: @{name} must be true or false, got {' '.join(given)!r}")
    for name in _NUMBERS:
        given = header.get(name)
        if given is not None and not (len(given) == 1 and given[0].isdecimal()):
            raise DataError(f"{path}: @{name} must be a number, got {' '.join(given)!r}")
    if _is("timestamps", header):
        raise DataError(f"{path}: values with time stamps (@timeStamps true) are not read; save it without them")


def _is(name: str, header: dict[str, list[str]]) -> bool:
    return header.get(name, ["false"])[:1] in (["true"], ["True"], ["TRUE"])


def _labelled(header: dict[str, list[str]]) -> bool:
    return _is("classlabel", header) or _is("targetlabel", header)


def _case(place: str, text: str, header: dict[str, list[str]]) -> Series:
    parts = text.split(":")
    label = cells.label(parts.pop()) if _labelled(header) else None
    if _labelled(header) and label is None:
        raise DataError(f"{place}: the label, after the last ':', is empty")
    allowed = header.get("classlabel", [])[1:]
    if label is not None and _is("classlabel", header) and allowed and label not in allowed:
        raise DataError(f"{place}: the label {label!r} is none of those of @classLabel, {', '.join(allowed[:10])}")
    wanted = header.get("dimensions") or header.get("dimension") or (["1"] if _is("univariate", header) else None)
    if wanted is not None and len(parts) != int(wanted[0]):
        raise DataError(
            f"{place}: {len(parts)} channels before the label, where the header says {wanted[0]}; "
            "channels are separated by ':'"
        )
    channels = [_channel(place, number, part) for number, part in enumerate(parts, 1)]
    steps = np.full((max(map(len, channels), default=0), len(channels)), np.nan)
    for number, channel in enumerate(channels):  # shorter ones have no values at the end
        steps[: len(channel), number] = channel
    length = header.get("serieslength")
    if length is not None and len(steps) != int(length[0]):
        raise DataError(f"{place}: {len(steps)} steps, where the header says @seriesLength {length[0]}")
    return Series(place, place, steps, () if label is None else (label,))


def _channel(place: str, number: int, text: str) -> np.ndarray:
    if "(" in text:
        raise DataError(f"{place}: values with time stamps are not read; save it without them")
    if not text.strip():
        return np.zeros(0)
    values = text.split(",")
    made, wrong = cells.numbers(values)
    if len(wrong):
        raise cells.refused(place, f"channel {number}, step {int(wrong[0]) + 1}", values[int(wrong[0])])
    return made
