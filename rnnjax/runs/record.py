"""Which run a folder holds: the record in its ``config.json``."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rnnjax import digests
from rnnjax.config import Config, from_json, identity, identity_differences, to_json
from rnnjax.config.run import Kinds, is_section
from rnnjax.runs import changes, init_record, longer
from rnnjax.tasks import TASKS, Classification, Task
from rnnjax.training.identity import describe


def described_parts(task: Task, optim: Any) -> dict[str, Any]:
    """What tells a task, and an optimizer that is no section, from others, as JSON values."""
    parts: dict[str, Any] = {"task": described_task(task)}
    if not is_section(optim):
        parts["optim"] = describe(optim)
    return parts


def described_task(task: Task) -> dict[str, Any]:
    """A task by its kind, or by its class where it is not of this package."""
    if type(task) in TASKS:
        return {"kind": type(task).__dict__["kind"], "state": task.to_json()}
    return {"kind": None, **describe(task), "state": task.to_json()}


@dataclass(frozen=True)
class Run:
    """Which run a folder holds: the record in its ``config.json``, which the checkpoints name too.

    Attributes:
      experiment, seed, config: what is run.
      id: of this run, drawn when its folder was made.
      data: digest of each split.
      preprocess: digest of the preprocessing.
      model: what tells its module from others, see :func:`rnnjax.training.identity.module_identity`.
      parts: what tells its task, and an optimizer that was handed over, from others; older records are of
        classifications.
      spec: of its data, see :meth:`rnnjax.data.spec.Spec.to_json`; None in older records.
      version: of what the configuration meant in its training, see :mod:`rnnjax.runs.changes`. Version 1 has none of
        ``id``, ``data``, ``preprocess`` and ``model``, and its checkpoints have no digests.
      begun: the number of epochs with which it was begun, where it is trained longer now: its checkpoints name that one
        from the first to the last.
      init_from: which weights of another run it began with, see :mod:`rnnjax.runs.init_from`; None: with fresh ones.
    """

    experiment: str
    seed: int
    config: Config
    id: str = ""
    data: Mapping[str, str] = field(default_factory=dict)
    preprocess: str = ""
    model: Mapping[str, Any] | None = None
    parts: Mapping[str, Any] = field(default_factory=dict)
    spec: Mapping[str, Any] | None = None
    version: int = changes.VERSION
    begun: int | None = None
    init_from: Mapping[str, Any] | None = None

    @property
    def digested(self) -> bool:
        """Whether all its checkpoints hold digests, so that none is read unchecked."""
        return self.version > 1

    def mark(self) -> dict[str, Any]:
        """What a checkpoint says of the run that it is of, as JSON values."""
        config = identity(self.config)
        if self.begun is not None:
            config["train"]["epochs"] = self.begun
        return {
            "experiment": self.experiment,
            "seed": self.seed,
            "id": self.id,
            "config": config,
            "data": dict(self.data),
            "preprocess": self.preprocess,
            "model": self.model,
            **({"parts": dict(self.parts)} if self.parts else {}),
            **({} if self.init_from is None else {"init_from": dict(self.init_from)}),
        }

    def to_json(self) -> dict[str, Any]:
        """The record, sealed with its own digest; where its data lie is told by absolute paths."""
        data = self.config.data
        located = dataclasses.replace(self.config, data=data.located() if hasattr(data, "located") else data)
        return digests.sealed(
            {
                "experiment": self.experiment,
                "seed": self.seed,
                "config": to_json(located),
                "run": self.id,
                "data": dict(self.data),
                "preprocess": self.preprocess,
                "model": self.model,
                "parts": dict(self.parts),
                "spec": self.spec,
                "version": self.version,
                **({} if self.begun is None else {"begun": self.begun}),
                **({} if self.init_from is None else {"init_from": dict(self.init_from)}),
            }
        )

    @classmethod
    def from_json(cls, values: Mapping[str, Any], kinds: Kinds) -> "Run":
        """The inverse of :meth:`to_json`, with the classes that sections may be of.

        Raises:
          ValueError, KeyError, TypeError, UsageError: at what is none.
        """
        if not isinstance(values["experiment"], str) or type(values["seed"]) is not int:
            raise ValueError("experiment must be a name and seed an integer")
        if not set(values) <= {"experiment", "seed", "config"} and not digests.is_whole(values):
            raise ValueError("it is not as it was written: its digest differs")
        return cls(
            values["experiment"],
            values["seed"],
            from_json(values["config"], kinds),
            values.get("run", ""),
            values.get("data", {}),
            values.get("preprocess", ""),
            values.get("model"),
            values.get("parts", {"task": described_task(Classification())}),
            values.get("spec"),
            values.get("version", 1),
            values.get("begun"),
            values.get("init_from"),
        )

    def taken_up(self, theirs: "Run") -> "Run":
        """This run in the folder of that one, of which it is the same, or the same for longer.

        Checkpoints were written with the folder's own words for the model, which a later version may put otherwise.
        """
        begun = theirs.config.train.epochs if longer.is_longer(self.config, theirs.config) else None
        return dataclasses.replace(
            self,
            id=theirs.id,
            version=theirs.version,
            model=theirs.model or self.model,
            parts=theirs.parts,
            begun=theirs.begun or begun,
            init_from=theirs.init_from,
        )

    def marked(self, mark: Mapping[str, Any]) -> "Run":
        """This run as it is if a checkpoint with that mark is of it: with its ``id``, begun as it was."""
        try:
            epochs = int(mark["config"]["train"]["epochs"])
        except (KeyError, TypeError, ValueError):
            epochs = self.config.train.epochs
        is_begun = epochs < self.config.train.epochs and longer.obstacle(self.config.optim) is None
        begun = epochs if is_begun else None
        return dataclasses.replace(self, id=str(mark.get("id")), begun=begun, init_from=mark.get("init_from"))

    def differences(self, other: "Run") -> list[str]:
        """In what this run is not the other one, a line each; data, preprocessing and module apart.

        More epochs than the other's are no difference where nothing that was trained depends on their number.
        """
        lines = [f"experiment: {self.experiment!r}, not {other.experiment!r}"] * (other.experiment != self.experiment)
        lines += [f"seed: {self.seed}, not {other.seed}"] * (other.seed != self.seed)
        if self.parts and other.parts:
            ours, theirs = json.loads(json.dumps([self.parts, other.parts]))
            apart = digests.first_difference(ours, theirs, "parts")
            lines += [] if apart is None else [digests.shown_difference(ours, theirs, apart).removeprefix("parts.")]
        lines += init_record.difference(self.init_from, other.init_from)
        config = self.config
        if longer.is_longer(config, other.config):
            lines += filter(None, [longer.refusal(config, other.config)])
            train = dataclasses.replace(config.train, epochs=other.config.train.epochs)
            config = dataclasses.replace(config, train=train)
        return lines + identity_differences(config, other.config)

    def other_places(self, other: "Run") -> list[str]:
        """Where this run's data lie and the other's do not, a line each: no difference, but what explains others."""
        lines = []
        for name in getattr(self.config.data, "places", ()):
            ours, theirs = (getattr(run.config.data, name, None) for run in (self, other))
            if ours and theirs and Path(ours).expanduser().resolve() != Path(theirs).expanduser().resolve():
                lines.append(f"data.{name}: {ours}, not {theirs}")
        return lines

    def other_module(self, other: "Run") -> list[str]:
        """Where this run's module is not the other's, a line; none where either is not known.

        Of a module that a section makes, the section says all but the shapes of its variables.
        """
        if not (self.model and other.model):
            return []
        ours, theirs = self.model, other.model
        if is_section(self.config.model):
            ours, theirs = ({"variables": model["variables"]} for model in (ours, theirs))
        apart = digests.first_difference(ours, theirs, "model")
        return [] if apart is None else [digests.shown_difference(ours, theirs, apart)]

    def other_data(self, other: "Run") -> list[str]:
        """The splits, and the preprocessing, in which this run's data are not the other's."""
        names = [name for name, digest in other.data.items() if self.data.get(name) != digest]
        return names + (["preprocessing"] if other.preprocess and other.preprocess != self.preprocess else [])
