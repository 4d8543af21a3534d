"""All sections together, and as JSON."""

import dataclasses
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from rnnjax.config.checks import RUNTIME
from rnnjax.config.data import DataConfig, ImageData, ImageFolderData, TextData, TextTable
from rnnjax.config.model import ImageModel, RecurrentModel, TextModel
from rnnjax.config.training import OptimConfig, ParallelConfig, TrainConfig
from rnnjax.errors import UsageError

DataT = TypeVar("DataT", bound=DataConfig)
ModelT = TypeVar("ModelT", bound=RecurrentModel)


@dataclass(frozen=True, kw_only=True)
class Config(Generic[DataT, ModelT]):
    """All that decides what a run computes."""

    data: DataT
    model: ModelT
    optim: OptimConfig = field(default=OptimConfig())
    train: TrainConfig = field(default=TrainConfig())
    parallel: ParallelConfig = field(default=ParallelConfig(), metadata=RUNTIME)


_SECTIONS: dict[str, tuple[type, ...]] = {
    "data": (ImageData, ImageFolderData, TextData, TextTable),
    "model": (ImageModel, TextModel),
    "optim": (OptimConfig,),
    "train": (TrainConfig,),
    "parallel": (ParallelConfig,),
}


def to_json(config: Config) -> dict[str, Any]:
    """The configuration as plain JSON values; ``data`` and ``model`` say their ``kind``."""
    out: dict[str, Any] = {}
    for name in _SECTIONS:
        section = getattr(config, name)
        kind = {"kind": section.kind} if hasattr(section, "kind") else {}
        out[name] = kind | {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(section).items()}
    return out


def from_json(data: dict[str, Any]) -> Config:
    """The inverse of :func:`to_json`.

    Raises:
      UsageError: at a section or field that is missing or does not exist, or a value that is not allowed.
    """
    unknown = set(data) - set(_SECTIONS)
    if unknown:
        raise UsageError(f"unknown section {sorted(unknown)[0]!r} in the configuration")
    for name in ("data", "model"):
        if name not in data:
            raise UsageError(f"section {name!r} is missing in the configuration")
    return Config(**{name: _section(name, data[name]) for name in _SECTIONS if name in data})


def _section(name: str, given: Any) -> Any:
    if not isinstance(given, dict):
        raise UsageError(f"{name}: {given!r} is not a valid value")
    values = dict(given)
    kind = values.pop("kind", None)
    classes = [c for c in _SECTIONS[name] if getattr(c, "kind", None) == kind]
    if not classes:
        raise UsageError(f"{name}.kind: {kind!r} is not known here")
    hints = typing.get_type_hints(classes[0])
    fields = dataclasses.fields(classes[0])
    for key, value in values.items():
        if key not in {f.name for f in fields}:
            raise UsageError(f"{name}.{key}: no such field")
        if isinstance(value, list):
            values[key] = tuple(value)
        if not _fits(values[key], hints[key]):
            raise UsageError(f"{name}.{key}: {value!r} is not a valid value")
    for needed in fields:
        if needed.default is dataclasses.MISSING and needed.name not in values:
            raise UsageError(f"{name}.{needed.name} is missing")
    return classes[0](**values)


def _fits(value: Any, hint: Any) -> bool:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
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
    kept = {}
    for section_field in dataclasses.fields(Config):
        if not section_field.metadata.get("runtime"):
            section = getattr(config, section_field.name)
            runtime = {f.name for f in dataclasses.fields(section) if f.metadata.get("runtime")}
            values = to_json(config)[section_field.name]
            kept[section_field.name] = {name: value for name, value in values.items() if name not in runtime}
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
