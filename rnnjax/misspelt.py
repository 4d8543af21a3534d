"""Options that a command does not have, found before tyro reads the line: what was probably meant."""

import dataclasses
import difflib
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import tyro

from rnnjax.errors import UsageError

_NEAR = 0.75
"""Likeness of two names, by difflib, from which on one may be the other."""


def flags_of(verb: Callable, of_sections: Sequence[str], options_type: type) -> list[str]:
    """All options that the function of a verb reads from the command line.

    Args:
      verb: a function that tyro turns into a command.
      of_sections: the options of the experiment's sections.
      options_type: the type of a parameter that stands for those.
    """
    found: list[str] = []
    for parameter in inspect.signature(verb).parameters.values():
        hint, markers = parameter.annotation, ()
        if typing.get_origin(hint) is Annotated:
            hint, *markers = typing.get_args(hint)
        name = next((said for marker in markers if (said := getattr(marker, "name", None)) is not None), parameter.name)
        if hint is options_type:
            found += of_sections
        elif tyro.conf.Positional in markers or tyro.conf.Suppress in markers:
            continue
        elif dataclasses.is_dataclass(hint):
            found += [flag(field.name, field.default) for field in dataclasses.fields(hint)]
        else:
            found.append(flag(name, parameter.default))
    return found


def flag(name: str, default: Any) -> str:
    """``--name``, or ``--section.no-name`` of what is on by default, as it is written on the command line."""
    before, dot, last = name.rpartition(".")
    return f"--{before}{dot}{'no-' if default is True else ''}{last}".replace("_", "-")


def check(arguments: Sequence[str], known: Mapping[str, Sequence[str]], command: str) -> None:
    """Refuses the first option that the verb does not have.

    Args:
      arguments: the verb, and what follows it.
      known: options by verb.
      command: how the program is called.

    Raises:
      UsageError: naming the nearest options, or the verb that has this one, and where all are listed.
    """
    verb, *rest = arguments
    for argument in rest if verb in known else ():
        given = argument.partition("=")[0].replace("_", "-")
        if not given.startswith("--") or len(given.split()) > 1 or given in ("--", "--help", "--help-all"):
            continue
        if given not in known[verb]:
            said = _meant(given, verb, known)
            said += "" if said.endswith("?") else ";"
            raise UsageError(f"{verb} has no option {given}{said} {command} {verb} --help-all lists all")


def _meant(given: str, verb: str, known: Mapping[str, Sequence[str]]) -> str:
    before, dot, last = given.removeprefix("--").rpartition(".")
    on, off = (f"--{before}{dot}{last.removeprefix('no-')}", f"--{before}{dot}no-{last}")
    if off in known[verb]:
        return f": it is on already, and {off} turns it off"
    if on in known[verb] and last.startswith("no-"):
        return f": it is off already, and {on} turns it on"
    if near := nearest(given, known[verb]):
        return f"; did you mean {' or '.join(near)}?"
    others = [other for other, options in known.items() if given in options]
    return f", which is of {' and '.join(others)}" if others else ""


def nearest(given: str, options: Sequence[str]) -> list[str]:
    """The options that one may have meant, the likeliest first: at most three, and alone what is sure.

    The part behind the dot counts, whatever the section: ``--epochs`` and ``--trian.epochs`` are ``--train.epochs``.
    Initials do too: ``--optim.lr`` is ``--optim.learning-rate``.
    """
    section, last = _section(given), _last(given)
    same = [option for option in options if _last(option).replace("-", "") == last.replace("-", "")]
    short = [option for option in options if _initials(option) == last and len(last) > 1]
    sure = [option for option in (*same, *short) if not section or _section(option) == section] or same or short
    if sure:
        return sure[:3]
    likeness = {option: _likeness(given, option) for option in options}
    best = sorted((option for option in options if likeness[option] >= _NEAR), key=lambda option: -likeness[option])
    return best[:1] if best and likeness[best[0]] > 0.9 else best[:3]


def _likeness(given: str, option: str) -> float:
    """Of the names alone where the section is right or left out, or all is compared."""
    if _section(given) in ("", _section(option)):
        return _like(_last(given), _last(option))
    return _like(given, option)


def _like(a: str, b: str) -> float:
    return difflib.SequenceMatcher(None, a, b).ratio()


def _last(option: str) -> str:
    return option.removeprefix("--").rpartition(".")[2]


def _section(option: str) -> str:
    return option.removeprefix("--").rpartition(".")[0]


def _initials(option: str) -> str:
    return "".join(word[0] for word in _last(option).split("-") if word)
