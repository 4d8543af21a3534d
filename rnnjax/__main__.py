"""Data of one's own, from wherever rnnjax is installed: ``python -m rnnjax KIND PATH [options]``."""

import dataclasses
import difflib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rnnjax import cli, terminal
from rnnjax.errors import UsageError
from rnnjax.own import KINDS, Kind


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs ``python -m rnnjax`` with these arguments, or the process's own; returns the exit code."""
    return cli.run(lambda given: _parse(given, own=arguments is None), arguments)


def _parse(given: list[str], *, own: bool) -> Callable[[], int]:
    if not given or given[0] in ("-h", "--help", "--help-all"):
        return _list
    name, *rest = given
    if name not in KINDS:
        near = difflib.get_close_matches(name, KINDS, n=1)
        raise UsageError(f"there is no kind {name!r}; " + (f"did you mean {near[0]}?" if near else f"use {_names()}"))
    experiment = dataclasses.replace(KINDS[name].experiment, program=f"python -m rnnjax {name}")
    return cli.parse(experiment, _with_path(KINDS[name].path, rest), own=own)


def _with_path(option: str, arguments: list[str]) -> list[str]:
    """The arguments with the path, which comes first and needs no option here, as the experiment knows it."""
    verb, rest = (arguments[0], arguments[1:]) if arguments[:1] in (["train"], ["plan"]) else ("", arguments)
    if not rest or rest[0].startswith("-") or rest[0] in cli.COMMANDS:
        return arguments
    near = difflib.get_close_matches(rest[0], cli.COMMANDS, n=1)
    if near and not verb and not Path(rest[0]).exists():
        raise UsageError(f"{rest[0]}: no such file or folder; did you mean {near[0]}?")
    return [verb or "train", option, *rest]


def _list() -> int:
    """Says which kinds of data there are."""
    lines = [
        "usage: python -m rnnjax KIND PATH [options]",
        "",
        "Trains on data of your own. PATH is, by KIND:",
    ]
    for name, kind in KINDS.items():
        command = f"python -m rnnjax {name}"
        lines += [
            f"  {name:<10}{kind.what}",
            f"            {command} {kind.example}",
            f"            {command} evaluate; {command} predict FILES; {command} train --help",
            f"            {command} export --to {_format(kind)}: for programs without this package",
            f"            {command} plan PATH --for MACHINE: what training needs there",
        ]
    terminal.answer("\n".join([*lines, "", cli.EXIT_CODES]))
    return 0


def _format(kind: Kind) -> str:
    """What models of this kind are exported to: ONNX, but for those that search for what they write."""
    return "safetensors" if kind.experiment.task.writes else "onnx"


def _names() -> str:
    return " or ".join(KINDS)


if __name__ == "__main__":
    sys.exit(main())
