"""What the sections of a configuration have in common: checks of their fields, and fields that are no identity."""

import typing
from dataclasses import field
from typing import Any

from rnnjax.errors import UsageError

RUNTIME = {"runtime": True}
"""Metadata of a field that may differ when a run is resumed."""

CONTENT = {"content": True}
"""Metadata of a field that holds the data themselves: it is written to no file, and the data's fingerprint tells it."""


def runtime(default: Any) -> Any:
    return field(default=default, metadata=RUNTIME)


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
