"""Work folders: what lies where in the folder of one run, and who may write to it."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnjax.config import Config, from_json, identity_differences, to_json
from rnnjax.errors import RunError, UsageError


@dataclass(frozen=True)
class WorkDir:
    """Paths of one run."""

    root: Path

    @property
    def config(self) -> Path:
        """Experiment, seed and configuration."""
        return self.root / "config.json"

    @property
    def preprocess(self) -> Path:
        """From raw input to the model's."""
        return self.root / "preprocess.json"

    @property
    def checkpoints(self) -> Path:
        """Newest and best checkpoint."""
        return self.root / "checkpoints"

    @property
    def metrics(self) -> Path:
        """One JSON object an epoch."""
        return self.root / "metrics.jsonl"

    @property
    def tensorboard(self) -> Path:
        """Event files."""
        return self.root / "tensorboard"

    @property
    def curves(self) -> Path:
        """Loss and accuracy by epoch."""
        return self.root / "curves.png"

    @property
    def result(self) -> Path:
        """There once the run is finished."""
        return self.root / "result.json"

    def report(self, split: str) -> Path:
        """Each class by itself, and the confusion matrix, of the best checkpoint."""
        return self.root / f"report-{split}.json"

    def confusion(self, split: str) -> Path:
        """The confusion matrix as an image."""
        return self.root / f"confusion-{split}.png"

    @property
    def samples(self) -> Path:
        """Inputs to try prediction on."""
        return self.root / "samples"

    def finished(self, *, tested: bool = False) -> dict[str, Any] | None:
        """The result, if the run is finished, and where that is asked for, on the test split too."""
        if not self.result.is_file():
            return None
        try:
            result = json.loads(self.result.read_text(encoding="utf-8"))
        except ValueError as error:
            raise RunError(
                f"{self.result}: not a readable result ({error}); delete it to have it made again"
            ) from error
        return None if tested and result["metrics"]["test"] is None else result

    def read_config(self) -> tuple[str, int, Config]:
        """The experiment's name, the seed and the configuration of the run in this folder.

        Raises:
          UsageError: if there is no run in it, or its configuration cannot be read.
        """
        if not self.config.is_file():
            raise UsageError(f"{self.root} holds no run (there is no {self.config.name} in it); train one first")
        try:
            data = json.loads(self.config.read_text(encoding="utf-8"))
            return data["experiment"], data["seed"], from_json(data["config"])
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise UsageError(f"{self.config}: not a readable configuration ({error})") from error


def open_workdir(root: Path, experiment: str, seed: int, config: Config, *, fresh: bool = False) -> WorkDir:
    """The folder of a run: made, or taken up again if it holds the same run.

    Args:
      root: the folder.
      experiment, seed, config: what is to run in it.
      fresh: delete the run that is in it.

    Raises:
      UsageError: if it holds another run, or something that is no run.
      RunError: if it cannot be written.
    """
    workdir = WorkDir(root)
    try:
        if root.exists() and not root.is_dir():
            raise UsageError(f"{root} is a file; a run needs a folder")
        if root.is_dir() and any(root.iterdir()):
            if not workdir.config.is_file():
                raise UsageError(f"{root} holds files but no run (no {workdir.config.name}); name another folder")
            workdir.read_config()  # a folder with another program's config.json is never touched
            if fresh:
                shutil.rmtree(root)
            else:
                _refuse_another(workdir, experiment, seed, config)
        root.mkdir(parents=True, exist_ok=True)
        data = {"experiment": experiment, "seed": seed, "config": to_json(config)}
        write_text(workdir.config, json.dumps(data, indent=2) + "\n")
    except OSError as error:
        raise RunError(f"the work folder {root} cannot be written: {error.strerror or error}") from error
    return workdir


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)


def _refuse_another(workdir: WorkDir, experiment: str, seed: int, config: Config) -> None:
    name, old_seed, old = workdir.read_config()
    differences = [] if name == experiment else [f"experiment: {experiment!r}, not {name!r}"]
    differences += [] if old_seed == seed else [f"seed: {seed}, not {old_seed}"]
    differences += identity_differences(config, old)
    if differences:
        listed = "".join(f"\n  {line}" for line in differences)
        raise UsageError(
            f"{workdir.root} holds a run of another configuration:{listed}\n"
            "use the same configuration to resume it, --fresh to delete it, or another --runs-dir"
        )
