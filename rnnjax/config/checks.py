"""What the sections of a configuration have in common: checks of their fields, and fields that are no identity."""

import typing
from dataclasses import field
from typing import Any

from rnnjax.errors import UsageError

RUNTIME = {"runtime": True}
"""Metadata of a field that may differ when a run is resumed."""

CONTENT = {"content": True}
"""Metadata of a field that holds the data themselves: it is written to no file, and the data's fingerprint tells it."""


def option(
    default: Any,
    *,
    rare: bool = False,
    runtime: bool = False,
    off: str = "",
    of_task: bool = False,
    local: bool = False,
    offered: bool = True,
    of_target: bool = False,
) -> Any:
    """A field with what the command line should know of it.

    Args:
      default: of the field.
      rare: ``--help`` leaves the option to ``--help-all``; it is accepted all the same.
      runtime: the field may differ when a run is resumed.
      off: of a field that is true or false, what happens without it: the help text of the option ``--no-NAME``.
      of_task: the option is offered where the task has a field of that name.
      local: the field says something of this machine, which ``--config`` takes from no other run.
      offered: False: there is no such option, since nothing here reads the field.
      of_target: what is tested depends on it, so that an experiment's target holds for its own value alone.
    """
    known = {
        "rare": rare,
        "runtime": runtime,
        "off": off,
        "of_task": of_task,
        "local": local,
        "not_offered": not offered,
        "of_target": of_target,
    }
    return field(default=default, metadata={name: value for name, value in known.items() if value})


def runtime(default: Any, **known: Any) -> Any:
    """An :func:`option` that may differ when a run is resumed."""
    return option(default, runtime=True, **known)


def check(ok: bool, config: Any, name: str, wanted: str) -> None:
    if not ok:
        option = f"{config.section}.{name}".replace("_", "-")
        raise UsageError(f"--{option} must be {wanted}, got {getattr(config, name)!r}")


def positive(config: Any, name: str) -> None:
    check(getattr(config, name) > 0, config, name, "positive")


def rate(config: Any, name: str) -> None:
    check(0 <= getattr(config, name) < 1, config, name, "at least 0 and below 1")


def choice(config: Any, name: str, choices: Any) -> None:
    allowed = typing.get_args(choices)
    check(getattr(config, name) in allowed, config, name, f"one of {', '.join(allowed)}")
