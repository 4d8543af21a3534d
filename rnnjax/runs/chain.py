"""Runs that another run begins from, found or trained first (``--chain``)."""

from collections.abc import Sequence
from pathlib import Path

from rnnjax import terminal
from rnnjax.errors import UsageError
from rnnjax.experiment import Experiment


def begins_from(experiment: Experiment, runs_dir: Path, init_from: Sequence[str], chain: bool) -> Sequence[str]:
    """What ``--init-from`` is of an experiment that begins from others' weights; of any other, what was given.

    Args:
      experiment: that is to be trained.
      runs_dir: where work folders are.
      init_from: as it was given.
      chain: whether the others are trained first; those that are finished are taken as they are.

    Raises:
      UsageError: if neither is given where one is needed, or both, or ``chain`` where there is nothing to train first.
    """
    begins = experiment.begins
    if chain and (not begins or init_from):
        why = "--init-from names what it begins from" if begins else f"{experiment.name} begins from no other run"
        raise UsageError(f"--chain trains first what a run begins from, but {why}; leave it out")
    if not begins or init_from:
        return init_from
    places = {module: runs_dir / first.name / f"seed-{first.seeds[0]}" for module, first in begins.items()}
    if not chain:
        named = " ".join(f"{module}={place}" for module, place in places.items())
        raise UsageError(
            f"{experiment.name} begins from other runs: give --chain, which trains them first where they are not "
            f"finished, or their folders: --init-from {named}"
        )
    for number, (module, place) in enumerate(places.items(), 1):
        terminal.note(f"{number} of {len(places)} runs that {experiment.name} begins from: {place}")
        _trained(begins[module], place)
    return [f"{module}={place}" for module, place in places.items()]


def _trained(first: Experiment, place: Path) -> None:
    from rnnjax.runs.fitting import Started

    Started(first).fit(first.seeds[0], place)
