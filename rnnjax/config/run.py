"""All sections together, and as JSON.

A section is one of this package, one of a user's own (a subclass of :class:`DataConfig` or
:class:`rnnjax.models.config.ModelConfig`), or a part itself: a Linen module in place of a model's section, a
transformation of optax in place of the optimizer's. JSON names a section by its ``kind``; a part that was handed over
is named only, since what it is stands in nobody's file.
"""

import dataclasses
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rnnjax.config.checks import RUNTIME
from rnnjax.config.training import OptimConfig, ParallelConfig, TrainConfig
from rnnjax.errors import UsageError

Kinds = Mapping[str, Sequence[type]]
"""The classes that a section may be of, by the section's name; under ``within``, those that its fields may hold."""

OURS: Kinds = {"optim": (OptimConfig,), "train": (TrainConfig,), "parallel": (ParallelConfig,)}


class UnknownPart(UsageError):
    """A configuration may be in order, and names a class that its reader does not know: of a user's own, as a rule."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """All that decides what a run computes, but for its task."""

    data: Any
    model: Any
    optim: Any = field(default=OptimConfig())
    train: TrainConfig = field(default=TrainConfig())
    parallel: ParallelConfig = field(default=ParallelConfig(), metadata=RUNTIME)


_HAND_OVER = "hand over its experiment: rnnjax.load(folder, experiment=...), or the command line of that experiment"

SECTIONS = tuple(section.name for section in dataclasses.fields(Config))


@dataclass(frozen=True)
class HandedOver:
    """Stands where a part of a user's own stood when the configuration was written.

    Attributes:
      section: ``data``, ``model`` or ``optim``.
      name: of its class.
    """

    section: str
    name: str


def kind(section: Any) -> str | None:
    """What JSON calls a section's class; None of sections that have one class only."""
    return _kind_of(type(section))


def _kind_of(cls: type) -> str | None:
    own = cls.__dict__.get("kind")
    ours = cls in OURS.get(getattr(cls, "section", ""), ())
    return own if own is not None or ours else _qualified(cls)


def is_section(part: Any) -> bool:
    """Whether it is a section of a configuration, and no part handed over."""
    return dataclasses.is_dataclass(part) and hasattr(type(part), "section")


def holds_data(section: Any) -> bool:
    """Whether a section holds the data themselves, which no file does."""
    return is_section(section) and any(entry.metadata.get("content") for entry in dataclasses.fields(section))


def _qualified(cls: type) -> str:
    """Module and name; of a script, by the name that others import it by."""
    module = cls.__module__
    if module == "__main__":
        main = sys.modules["__main__"]
        spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        module = spec.name if spec is not None else Path(file).stem if file else module
    return f"{module}.{cls.__qualname__}"


def classes_within(section: Any) -> dict[str, type]:
    """The classes that a section's fields hold, such as a cell of one's own, by the names that JSON gives them."""
    values = [getattr(section, entry.name) for entry in dataclasses.fields(section)] if is_section(section) else []
    return {_qualified(value): value for value in values if isinstance(value, type)}


def to_json(config: Config) -> dict[str, Any]:
    """The configuration as plain JSON values; ``data`` and ``model`` say their ``kind``."""
    return {name: section_to_json(getattr(config, name)) for name in SECTIONS}


def section_to_json(section: Any) -> dict[str, Any]:
    """A section as plain JSON values, without the data themselves."""
    if isinstance(section, HandedOver):
        return {"handed_over": section.name}
    if not is_section(section):
        return {"handed_over": type(section).__name__}
    name = kind(section)
    values = {} if name is None else {"kind": name}
    for entry in dataclasses.fields(section):
        if entry.metadata.get("content"):
            continue
        values[json_name(entry)] = _plain(getattr(section, entry.name))
    return values


def json_name(entry: dataclasses.Field) -> str:
    """What JSON calls a field; a field keeps the name that committed results know it by."""
    return entry.metadata.get("json", entry.name)


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, type):
        return _qualified(value)
    return value


def from_json(data: dict[str, Any], kinds: Kinds) -> Config:
    """The inverse of :func:`to_json`.

    Args:
      data: JSON values.
      kinds: the classes that ``data`` and ``model`` may be of.

    Raises:
      UnknownPart: at a class that is none of those.
      UsageError: at a section or field that is missing or does not exist, or a value that is not allowed.
    """
    unknown = set(data) - set(SECTIONS)
    if unknown:
        raise UsageError(f"unknown section {sorted(unknown)[0]!r} in the configuration")
    for name in ("data", "model"):
        if name not in data:
            raise UsageError(f"section {name!r} is missing in the configuration")
    within = {_qualified(cls): cls for cls in kinds.get("within", ())}
    classes = {name: (*kinds.get(name, ()), *OURS.get(name, ())) for name in SECTIONS}
    return Config(**{name: _section(name, data[name], classes[name], within) for name in SECTIONS if name in data})


def _section(name: str, given: Any, classes: Sequence[type], within: Mapping[str, type]) -> Any:
    if not isinstance(given, dict):
        raise UsageError(f"{name}: {given!r} is not a valid value")
    values = dict(given)
    if set(values) == {"handed_over"} and isinstance(values["handed_over"], str):
        return HandedOver(name, values["handed_over"])
    wanted = values.pop("kind", None)
    found = [cls for cls in classes if _kind_of(cls) == wanted]
    if not found:
        if isinstance(wanted, str):
            raise UnknownPart(f"{name}.kind: {wanted!r} is not known here; of a part of one's own, {_HAND_OVER}")
        raise UsageError(f"{name}.kind: {wanted!r} is not known here")
    hints = typing.get_type_hints(found[0])
    fields = {json_name(entry): entry for entry in dataclasses.fields(found[0])}
    arguments = {}
    for key, value in values.items():
        if key not in fields or fields[key].metadata.get("content"):
            raise UsageError(f"{name}.{key}: no such field")
        read = tuple(value) if isinstance(value, list) else value
        if isinstance(value, str) and value in within:
            arguments[fields[key].name] = within[value]
            continue
        if not _fits(read, hints[fields[key].name]):
            if isinstance(value, str) and "." in value:
                raise UnknownPart(f"{name}.{key}: {value!r} is not known here; of a class of one's own, {_HAND_OVER}")
            raise UsageError(f"{name}.{key}: {value!r} is not a valid value")
        arguments[fields[key].name] = read
    for needed in fields.values():
        if needed.default is dataclasses.MISSING and needed.name not in arguments:
            raise UsageError(f"{name}.{needed.name} is missing")
    return found[0](**arguments)


def _fits(value: Any, hint: Any) -> bool:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin is Literal:
        return value in args
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(v, args[0]) for v in value)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, a) for a in args)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def identity(config: Config) -> dict[str, dict[str, Any]]:
    """The identity fields, as :func:`to_json` gives them: without those that change nothing in what a run computes."""
    kept, every = {}, to_json(config)
    for entry in dataclasses.fields(Config):
        if not entry.metadata.get("runtime"):
            section = getattr(config, entry.name)
            fields = dataclasses.fields(section) if is_section(section) else ()
            runtime = {json_name(f) for f in fields if f.metadata.get("runtime")}
            kept[entry.name] = {name: value for name, value in every[entry.name].items() if name not in runtime}
    return kept


def identity_differences(ours: Config, theirs: Config) -> list[str]:
    """The identity fields in which two configurations differ, as ``section.field: ours, not theirs``."""
    differences = []
    a, b = identity(ours), identity(theirs)
    for name in a:
        for key in sorted(set(a[name]) | set(b[name])):
            left, right = a[name].get(key), b[name].get(key)
            if left != right:
                differences.append(f"{name}.{key}: {left!r}, not {right!r}")
    return differences
