"""The sections of an experiment as options of the command line: which there are, which are shown, and their help."""

import ast
import contextlib
import dataclasses
import difflib
import functools
import inspect
import itertools
import textwrap
import types
import typing
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import tyro
from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructFieldSpec, StructTypeInfo

from rnnjax.config.run import SECTIONS, is_section, json_name
from rnnjax.errors import UsageError
from rnnjax.experiment import Experiment
from rnnjax.misspelt import flag


class Options:
    """What an experiment's sections offer.

    Args:
      experiment: its sections give the options, and their values the defaults.
      everything: whether tyro speaks of the rare options too, in help and where a typo is near one.

    Attributes:
      sections: by name; parts that were handed over are none.
      type: a dataclass with a field for each section, as tyro reads it.
    """

    def __init__(self, experiment: Experiment, *, everything: bool = False):
        parts = {name: getattr(experiment, name) for name in SECTIONS}
        self.sections = {name: part for name, part in parts.items() if is_section(part)}
        self._task, self._everything = experiment.task, everything
        fields: list[Any] = []
        for name, part in self.sections.items():
            heading = tyro.conf.arg(help=self._heading(type(part)))
            fields.append((name, Annotated[type(part), heading], dataclasses.field(default=part)))
        self.type: Any = dataclasses.make_dataclass("Options", fields, frozen=True, kw_only=True)

    def chosen(self, options: Any) -> dict[str, Any]:
        """The sections as they were asked for, of an instance of ``type``."""
        return {name: getattr(options, name) for name in self.sections}

    @property
    def rare(self) -> int:
        """How many options only ``--help-all`` shows."""
        return sum(bool(entry.metadata.get("rare")) for part in self.sections.values() for entry in self._offered(part))

    @contextlib.contextmanager
    def read(self) -> Iterator[None]:
        """Within it, tyro reads sections as they are described here."""
        registry = ConstructorRegistry()
        registry.struct_rule(self._described)
        with registry, warnings.catch_warnings():
            # A section of one's own may have a default that its annotation does not tell of; it is the default still.
            warnings.filterwarnings("ignore", "(?s).*does not match default", UserWarning)
            yield

    def check_choices(self, arguments: Sequence[str], more: Mapping[str, Sequence[str]]) -> None:
        """Refuses a value that is nearly one of an option's choices; tyro would list them all.

        Args:
          arguments: of the command line.
          more: choices of options that are not of a section, by ``--name``.

        Raises:
          UsageError: naming the nearest choice.
        """
        known = {**more, **self._choices()}
        option = ""
        for argument in arguments:
            given, equals, value = argument.partition("=") if argument.startswith("--") else (option, "", argument)
            option = given.replace("_", "-")
            values = [value] if equals or not argument.startswith("--") else []
            for wrong in set(values) - set(known.get(option, values)):
                if near := difflib.get_close_matches(wrong, known[option], n=1):
                    raise UsageError(f"{option}: there is no {wrong!r}; did you mean {near[0]}?")

    def flags(self) -> list[str]:
        """All options of the sections as they are written on the command line, rare ones and other names among them."""
        found: list[str] = []
        for name, part in self.sections.items():
            for entry in self._offered(part):
                value = getattr(part, entry.name)
                found.append(flag(f"{name}.{entry.name}", value))
                if (other := json_name(entry)) != entry.name:
                    found += [flag(f"{name}.{other}", value), flag(other, value)]
        return found

    def _choices(self) -> dict[str, Sequence[str]]:
        found = {}
        for name, part in self.sections.items():
            hints = typing.get_type_hints(type(part))
            for entry in self._offered(part):
                if choices := _choices_of(hints[entry.name]):
                    found[f"--{name}.{entry.name}".replace("_", "-")] = choices
        return found

    def _heading(self, cls: type) -> str:
        """What stands above a section's options: what its class says, where there is room for it."""
        return inspect.cleandoc(cls.__doc__ or "") if self._everything else ""

    def _offered(self, part: Any) -> list[dataclasses.Field]:
        withheld = getattr(part, "withheld", ())
        return [entry for entry in dataclasses.fields(part) if entry.name not in withheld and self._applies(entry)]

    def _applies(self, entry: dataclasses.Field) -> bool:
        known = entry.metadata
        if known.get("content") or known.get("not_offered") or not entry.init:
            return False
        return not known.get("of_task") or hasattr(self._task, entry.name)

    def _described(self, info: StructTypeInfo) -> StructConstructorSpec | None:
        """Tyro's rule: a section's options, each with the value that the experiment gives it."""
        cls, section = info.type, info.default
        if not is_section(section) or cls is not type(section):
            return None
        hints, said = typing.get_type_hints(cls, include_extras=True), field_comments(cls)
        named = {
            entry.name: value
            for entry in dataclasses.fields(section)
            if isinstance(value := getattr(section, entry.name), type)
        }

        def made(**values: Any) -> Any:
            # A class of one's own goes by its name here.
            given = {n: named[n] if n in named and v == named[n].__name__ else v for n, v in values.items()}
            return dataclasses.replace(section, **given)

        fields = tuple(
            self._field(cls.section, entry, getattr(section, entry.name), hints[entry.name], said.get(entry.name, ""))
            for entry in self._offered(section)
        )
        return StructConstructorSpec(made, fields)

    def _field(self, section: str, entry: dataclasses.Field, default: Any, hint: Any, said: str) -> StructFieldSpec:
        extra: dict[str, Any] = {"metavar": _metavar(hint)}
        markers: list[Any] = []
        if isinstance(default, type):
            choices, default = _choices_of(hint), default.__name__
            hint = Literal[(*choices, default)] if choices else str
            markers += [] if choices else [tyro.conf.Fixed]
        elif isinstance(default, bool) and hint is bool:
            said = entry.metadata.get("off") or f"Turn this off: {said}" if default else said
            extra["help_behavior_hint"] = ""
        elif default is None or default in ((), ""):
            extra["help_behavior_hint"] = ""
        if (name := json_name(entry)) != entry.name:  # what committed commands call it
            extra["aliases"] = tuple(f"--{prefix}{name}".replace("_", "-") for prefix in ("", f"{section}."))
        if entry.metadata.get("rare") and not self._everything:
            markers.append(tyro.conf.Suppress)
        annotated: Any = Annotated[(hint, tyro.conf.arg(help=said, **extra), *markers)]
        return StructFieldSpec(entry.name, annotated, default)


def field_comments(cls: type) -> dict[str, str]:
    """The comments below the fields of a dataclass and of those that it inherits from, each on one line."""
    found: dict[str, str] = {}
    for parent in reversed(cls.__mro__):
        if dataclasses.is_dataclass(parent):
            found |= _own_comments(parent)
    return found


@functools.cache
def _own_comments(cls: type) -> dict[str, str]:
    try:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    except (OSError, TypeError, ValueError, SyntaxError):  # typed at a prompt
        return {}
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    found = {}
    for field, comment in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(comment, ast.Expr):
            value = comment.value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                found[field.target.id] = " ".join(value.value.split())
    return found


def _choices_of(hint: Any) -> Sequence[str]:
    """The choices of a field, or of each value of one that takes several; none where anything goes."""
    if typing.get_origin(hint) is Literal:
        return typing.get_args(hint)
    inner = typing.get_args(hint)[:1] if typing.get_origin(hint) is tuple else ()
    return _choices_of(inner[0]) if inner else ()


def _metavar(hint: Any) -> str | None:
    """What stands for the value of an option that may be left unset: that it may needs no saying."""
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return None
    (one, *others) = [arg for arg in typing.get_args(hint) if arg is not type(None)]
    return one.__name__.upper() if isinstance(one, type) and not others and one in (int, float, str) else None
