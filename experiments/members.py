"""Which models were weighed together: the record in their folder, read with care, and whether they are the same."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments import blend
from experiments.blend import Member
from rnnjax import digests, terminal
from rnnjax.errors import RunError, UsageError
from rnnjax.files import read_json, write_text

FILE = "members.json"

_AGAIN = "train them together again, with --fresh"


class Weighed(NamedTuple):
    """Members that were weighed.

    Attributes:
      members: as they are now, which is as they were then.
      weights: of their log probabilities, ``[M]``.
      data: digests of the splits that they were weighed and tested on; None in older records.
    """

    members: list[Member]
    weights: np.ndarray
    data: Mapping[str, str] | None


def write(root: Path, members: Sequence[Member], weights: np.ndarray, data: Mapping[str, str]) -> None:
    """Writes the record, sealed with its own digest."""
    known = {
        "members": [str(one.root.resolve()) for one in members],
        "weights": weights.tolist(),
        "identities": [_identity(one) for one in members],
        "data": dict(data),
    }
    write_text(root / FILE, json.dumps(digests.sealed(known), indent=1) + "\n")


def recorded(root: Path) -> dict[str, Any]:
    """The record in a folder: of as many members, weights and, but in older ones, identities.

    Raises:
      UsageError: if there is none.
      RunError: if it is damaged.
    """
    path = root / FILE
    if not path.exists():
        raise UsageError(f"{root} holds no models together (no {FILE}); train them first")
    try:
        known = read_json(path, "a record of members")
    except RunError as error:
        raise RunError(f"{error}; {_AGAIN}") from error
    if wrong := _wrong(known):
        raise RunError(f"{path}: not a record of members: {wrong}; {_AGAIN}")
    return known


def read(root: Path) -> Weighed:
    """The members that were weighed; of an older record, which does not say whether they are the same, with a note.

    Raises:
      UsageError: if the folder holds none, or one was trained anew since then.
      RunError: if the record or a member is damaged.
    """
    known = recorded(root)
    members = [blend.member(Path(folder)) for folder in known["members"]]
    for one, then in zip(members, known.get("identities", []), strict=False):
        if digests.first_difference(_identity(one), then) is not None:
            raise UsageError(f"{one.root} was trained anew since it was weighed in {root}; {_AGAIN}")
    blend.shared(members)
    if "identities" not in known:
        terminal.note(f"{root / FILE} is of a version that kept no identities: whether a member is another is unknown")
    return Weighed(members, np.asarray(known["weights"], np.float64), known.get("data"))


def check_finished(root: Path, folders: Sequence[Path]) -> None:
    """Whether a folder holds these members, weighed as they are now.

    Raises:
      UsageError: if they are others, or trained anew since.
      RunError: if the record or a member is damaged.
    """
    if [Path(folder) for folder in recorded(root)["members"]] != [folder.resolve() for folder in folders]:
        raise UsageError(f"{root} holds a result of other members; --fresh replaces it, or name another --workdir")
    read(root)


def check_once(folders: Sequence[Path]) -> None:
    """Raises UsageError where two paths lead to one folder: it would be weighed twice and compared with itself."""
    seen: set[Path] = set()
    for folder in folders:
        if folder.resolve() in seen:
            raise UsageError(f"{folder} is named twice, as a path to {folder.resolve()}; name each member once")
        seen.add(folder.resolve())


def _identity(one: Member) -> dict[str, Any]:
    return {"experiment": one.experiment, "seed": one.seed, **one.identity}


def _wrong(known: Mapping[str, Any]) -> str:
    """What is wrong with a record, in words; nothing where nothing is."""
    folders, weights = known.get("members"), known.get("weights")
    if not isinstance(folders, list) or not folders or not all(isinstance(one, str) and one for one in folders):
        return "its members are no folders"
    if not isinstance(weights, list) or not all(map(_is_weight, weights)):
        return "its weights are no numbers of 0 or more"
    if len(weights) != len(folders):
        return f"it has {len(weights)} weights for {len(folders)} members"
    identities = known.get("identities")
    if identities is not None and (not isinstance(identities, list) or len(identities) != len(folders)):
        return f"it does not identify its {len(folders)} members"
    if "digest" in known and not digests.is_whole(known):
        return "it is not as it was written"
    return ""


def _is_weight(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and value >= 0
