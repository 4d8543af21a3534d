"""Checkpoints: the only module that names Orbax.

Each checkpoint has two parts: the training state, and the run's progress on the host as JSON. The
newest and the best are kept. Saving copies the state at once and writes it in the background.
"""

import logging
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from rnnjax.errors import RunError

logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax reports every file it touches


class Checkpoints:
    """The checkpoints of one work folder; use it as a context manager, which waits for writes to end."""

    def __init__(self, folder: Path):
        best = policies.BestN(get_metric_fn=_value, n=1, keep_checkpoints_without_metrics=False)
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policies.AnyPreservationPolicy([policies.LatestN(1), best]),
            best_fn=_value,  # without it Orbax does not write the values down, and a resumed run forgets the best
            step_name_format=ocp.path.step.standard_name_format(step_prefix="step", step_format_fixed_length=8),
        )
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *exception: object) -> None:
        self._manager.wait_until_finished()
        self._manager.close()

    def save(self, step: int, state: Any, progress: dict[str, Any], best: float | None = None) -> None:
        """Starts writing a checkpoint.

        Args:
          step: number of training steps taken; it names the checkpoint.
          state: tree of NumPy arrays that nothing else writes to.
          progress: JSON values.
          best: the validation value, if this is the best checkpoint so far. Of those saved with a
            value the highest is kept, whatever its age.
        """
        if step in self._manager.all_steps():
            return
        parts = ocp.args.Composite(state=ocp.args.StandardSave(state), progress=ocp.args.JsonSave(progress))
        value = None if best is None else {"validation": best}
        try:
            self._manager.save(step, args=parts, metrics=value, force=True)
        except (OSError, ValueError) as error:
            raise RunError(f"a checkpoint cannot be written to {self._manager.directory}: {error}") from error

    def wait(self) -> None:
        """Returns when everything that was saved is on disk."""
        try:
            self._manager.wait_until_finished()
        except (OSError, ValueError) as error:
            raise RunError(f"a checkpoint cannot be written to {self._manager.directory}: {error}") from error

    def latest_step(self) -> int | None:
        """The step of the newest checkpoint, or None."""
        return self._manager.latest_step()

    def restore(self, like: Any, step: int | None = None) -> tuple[Any, dict[str, Any]] | None:
        """The state and the progress of a checkpoint, the newest by default, or None if there is none.

        Args:
          like: tree of NumPy arrays or shapes with the structure of what was saved.
          step: which checkpoint.

        Raises:
          RunError: if it cannot be read, or is not a checkpoint of such a state.
        """
        step = self.latest_step() if step is None else step
        if step is None:
            return None
        target = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), like)
        parts = ocp.args.Composite(state=ocp.args.StandardRestore(target), progress=ocp.args.JsonRestore())
        try:
            restored = self._manager.restore(step, args=parts)
        except (ValueError, OSError, KeyError, TypeError) as error:
            raise RunError(
                f"the checkpoint of step {step} in {self._manager.directory} cannot be read: {error}"
            ) from error
        return restored["state"], restored["progress"]


def _value(metrics: Any) -> float:
    return float(metrics["validation"])
