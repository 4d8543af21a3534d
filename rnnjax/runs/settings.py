"""The settings of a run, from its ``config.json`` or ``result.json`` back into an experiment: ``--config FILE``.

It names no module that imports JAX: help waits for nothing.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rnnjax import digests, terminal
from rnnjax.config import from_json
from rnnjax.config.run import SECTIONS, HandedOver, holds_data, is_section
from rnnjax.errors import RnnjaxError, UsageError
from rnnjax.experiment import Experiment
from rnnjax.files import read_json


def with_settings(experiment: Experiment, path: Path, options: Sequence[str] = ()) -> Experiment:
    """The experiment with all settings, and the seed, of a run of it.

    Parts that were handed over are the experiment's own, and so is what is of a machine: where decoded data are kept,
    and who joins whom. A result holds the last names alone of the folders that its data lay in; they are not taken, and
    where the data are called otherwise here, a note says so.

    Args:
      experiment: whose command line it is; of a run of one of its variants, that variant is taken.
      path: a run's ``config.json`` or ``result.json``; of one that was edited, ``experiment``, ``seed`` and ``config``.
      options: those that stand beside it on the command line; of a path that they give, nothing is noted.

    Raises:
      UsageError: if it is none, was changed or damaged, or is of another experiment.
    """
    try:
        values = read_json(path, "a run's config.json or result.json")
        experiment = _checked(experiment, values)
        config = from_json(values["config"], experiment.kinds)
        given = [name for name in SECTIONS if name in values["config"]]
        parts = {name: _part(name, getattr(config, name), getattr(experiment, name)) for name in given}
    except RnnjaxError as error:
        said = str(error).removeprefix(f"{path}: ")
        raise UsageError(f"--config {path}: {said}") from error
    if "metrics" in values and is_section(parts["data"]):
        places = getattr(parts["data"], "places", ())
        mine = {name: getattr(experiment.data, name, None) for name in places}
        _note_other_places(path, parts["data"], mine, options)
        parts["data"] = dataclasses.replace(parts["data"], **mine)
    if values.get("init_from"):
        terminal.note(f"--config {path}: that run began from weights of another run; only --init-from takes them again")
    seed = values.get("seed")
    return experiment.with_parts(**parts, **({} if seed is None else {"seeds": (seed,)}))


def _note_other_places(path: Path, theirs: Any, mine: Mapping[str, Any], options: Sequence[str]) -> None:
    """Says which data of a result are called otherwise than those that are read here, and how to name them."""
    given = {option.partition("=")[0].replace("_", "-") for option in options}
    for field, here in mine.items():
        option, there = f"--data.{field.replace('_', '-')}", getattr(theirs, field, None)
        if not there or option in given or Path(there).name == Path(here or "").name:
            continue
        read = f"data are read from {here}" if here else "no path is given here"
        terminal.note(f"--config {path}: the result names {Path(there).name!r}, and {read}; give {option}")


def _checked(experiment: Experiment, values: Mapping[str, Any]) -> Experiment:
    """The experiment or the variant of it that a file is of; raises UsageError where it is of none, or damaged."""
    if not isinstance(values.get("config"), dict):
        raise UsageError("no run's config.json or result.json, since it holds no configuration")
    if "digest" in values and not digests.is_whole(values):
        raise UsageError(
            "not as it was written, since its digest differs; of one that you edited, leave experiment, seed and config"
        )
    seed, name = values.get("seed"), values.get("experiment", experiment.name)
    if seed is not None and type(seed) is not int:
        raise UsageError(f"seed: {seed!r} is no integer")
    if name == experiment.name:
        return experiment
    for variant in experiment.variants:
        if name == f"{experiment.name}-{variant}":
            return experiment.variant(variant)
    raise UsageError(f"of the experiment {name!r}, and this is the command line of {experiment.name!r}")


def _part(name: str, read: Any, mine: Any) -> Any:
    """A section as the file says, with what no file holds from the experiment's own."""
    if isinstance(read, HandedOver):
        if is_section(mine) or type(mine).__name__ != read.name:
            raise UsageError(f"its {name} was a {read.name} handed over, and here it is a {type(mine).__name__}")
        return mine
    if holds_data(read) and type(mine) is not type(read):
        raise UsageError(f"its {name} was a {type(read).__name__}, and here it is a {type(mine).__name__}")
    kept = [e.name for e in dataclasses.fields(read) if e.metadata.get("content") or e.metadata.get("local")]
    return dataclasses.replace(read, **{field: getattr(mine, field) for field in kept if hasattr(mine, field)})
