"""What a run keeps on the host."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rnnjax.errors import RunError


@dataclass
class Progress:
    """The run's state on the host; it lies in every checkpoint beside the state on the devices.

    Attributes:
      epoch: epochs done. chunk: chunks done of the epoch after them. step: steps done.
      sums: the task's sums over those chunks.
      best: the task's metrics, ``epoch`` and ``step`` of the best validation so far.
      train, validation: metrics of the epoch so far, where the checkpoint is of its end or of an evaluation within it;
        else empty.
      validated_epoch: epochs done at the last evaluation, a fraction where that was within one.
      stale_epochs: evaluations since the best one; one an epoch, or more by ``--train.evaluate-every``.
      plateau_epochs: evaluations since then, or since the plateau schedule's last reduction if that is less.
      learning_rate_scale: the product of its reductions.
      reached: ``epoch``, ``examples``, ``seconds`` (without compiling) and ``compile_seconds`` when validation
        first reached ``--train.until``; empty before.
      written: bytes of ``metrics.jsonl`` that belong to the epochs done.
      seconds: wall time of all sessions; compile_seconds, first_step_seconds: within it.
      steady_examples, steady_seconds: of training, first calls excluded; steady_input_seconds: of them, waiting for
        data.
      peak_memory_mib, peak_memory_of: the most memory of all sessions, see :func:`rnnjax.training.memory.peak_memory`.
      sessions: how often the run was started or resumed.
      compilation_cache: ``hits`` and ``misses`` of all sessions that used it.
      environments: command, commit and versions of the sessions, in turn, without repetitions.
    """

    epoch: int = 0
    chunk: int = 0
    step: int = 0
    sums: dict[str, Any] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)
    train: dict[str, float] = field(default_factory=dict)
    validation: dict[str, float] = field(default_factory=dict)
    validated_epoch: float = 0
    stale_epochs: int = 0
    plateau_epochs: int = 0
    learning_rate_scale: float = 1.0
    reached: dict[str, float] = field(default_factory=dict)
    written: int = 0
    seconds: float = 0.0
    compile_seconds: float = 0.0
    first_step_seconds: float = 0.0
    steady_examples: int = 0
    steady_seconds: float = 0.0
    steady_input_seconds: float = 0.0
    peak_memory_mib: float = 0.0
    peak_memory_of: str = ""
    sessions: int = 0
    compilation_cache: dict[str, int] = field(default_factory=dict)
    environments: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, saved: Mapping[str, Any]) -> "Progress":
        """The progress that a checkpoint holds; raises RunError if a later version of this package wrote it."""
        unknown = set(saved) - {known.name for known in dataclasses.fields(cls)}
        if unknown:
            raise RunError(f"its progress has {sorted(unknown)[0]!r}, which this version of rnnjax does not know")
        progress = cls(**saved)
        if "count" in progress.sums:  # an earlier name
            progress.sums["weight"] = progress.sums.pop("count")
        return progress
