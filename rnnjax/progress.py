"""What a run keeps on the host."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Progress:
    """The run's state on the host; it lies in every checkpoint beside the state on the devices.

    Attributes:
      epoch: epochs done. chunk: chunks done of the epoch after them. step: steps done.
      sums: metrics summed over those chunks.
      best: ``accuracy``, ``loss``, ``epoch`` and ``step`` of the best validation so far.
      stale_epochs: epochs since then.
      plateau_epochs: epochs since then, or since the plateau schedule's last reduction if that is less.
      learning_rate_scale: the product of its reductions.
      reached: ``epoch``, ``examples``, ``seconds`` (without compiling) and ``compile_seconds`` when validation
        first reached ``until_accuracy``; empty before.
      written: bytes of ``metrics.jsonl`` that belong to the epochs done.
      seconds: wall time of all sessions; compile_seconds, first_step_seconds: within it.
      steady_examples, steady_seconds: of training, first calls excluded.
      sessions: how often the run was started or resumed.
      compilation_cache: ``hits`` and ``misses`` of all sessions that used it.
      environments: command, commit and versions of the sessions, in turn, without repetitions.
    """

    epoch: int = 0
    chunk: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)
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
    sessions: int = 0
    compilation_cache: dict[str, int] = field(default_factory=dict)
    environments: list[dict[str, Any]] = field(default_factory=list)
