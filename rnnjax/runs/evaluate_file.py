"""A trained model on new data of the same kind, labelled or a text, no split of those that it was trained on."""

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from rnnjax import terminal
from rnnjax.config.language import Search
from rnnjax.data import Dataset, Examples, cache
from rnnjax.data.spec import nested
from rnnjax.errors import DataError
from rnnjax.experiment import Experiment
from rnnjax.layers.precision import at_precision
from rnnjax.runs import batches
from rnnjax.runs.evaluate_text import evaluated_text
from rnnjax.runs.finish import Reported, judged, save_report
from rnnjax.runs.predict import Predictor, load
from rnnjax.runs.workdir import WorkDir
from rnnjax.training import parallel


@dataclass(frozen=True)
class Beside(WorkDir):
    """A work folder with files about other data than its run's, none of which is taken for one of a split."""

    def report(self, split: str) -> Path:
        """``evaluate-NAME.json``."""
        return self.root / f"evaluate-{split}.json"

    def figure(self, name: str, split: str) -> Path:
        """``evaluate-NAME-confusion.png``, for example."""
        return self.root / f"evaluate-{split}-{name}.png"

    def mistakes(self, split: str) -> Path:
        """``evaluate-NAME-mistakes.csv``."""
        return self.root / f"evaluate-{split}-mistakes.csv"


def evaluate_file(
    experiment: Experiment, root: Path, path: str, *, cpu_devices: int | None = None, search: Search | None = None
) -> dict[str, Any]:
    """Evaluates the best checkpoint of a work folder on labelled data or a text, and writes what it shows there.

    Args:
      experiment: whose command line was asked; parts of one's own are taken from it where the folder holds its run.
      root: the work folder.
      path: of a file or folder, read as the training's was: by the same columns, in any order.
      cpu_devices: to split the CPU into; None: as in training.
      search: of a model that writes sequences, how it searches for them; None: greedily.

    Returns:
      JSON values: what was evaluated, the metrics, the report's figures, and ``intervals`` of 95 %.

    Raises:
      UsageError, DataError, RunError: if the folder holds no usable run, or the data cannot be read, have no labels or
        ones that were never seen in training.
    """
    run = WorkDir(root, experiment.kinds).read_run()
    parallel.start(cpu_devices=cpu_devices, batch_size=max(run.config.data.batch_size, 128))
    parallel.keep_compiled(cache.folder(None) / "xla" if run.config.train.compilation_cache else None)
    trained = load(root, experiment if experiment.name == run.experiment else None)
    search = None if search == Search() else search
    trained = trained if search is None else trained.searching(search)
    if not Path(path).expanduser().exists():
        raise DataError(f"{path}: no such file or folder")
    examples = trained.preprocess.labelled(Path(path).expanduser())
    _say_missing(trained, examples, path)
    if _trained_on(run.config.data, path):
        terminal.note(
            f"{path} is what the model was trained on, so that it may know the answers; evaluate --split test without "
            "a path has the examples that were held out"
        )
    for note in getattr(examples, "notes", ()):
        terminal.note(note)
    name = re.sub(r"[^\w.-]+", "_", Path(path).resolve().name)
    places = None if examples.places is None else lambda: {name: examples.places}
    dataset = Dataset(name, examples, examples, None, trained.preprocess, trained.spec, places=places)  # pyright: ignore
    if trained.task.generates or trained.task.begins_others:  # what is carried on from window to window
        made, counted = evaluated_text(experiment, run, trained, dataset)
    else:
        made, counted = _of_examples(trained, examples, path), {"examples": len(examples)}
    try:
        written = save_report(made.report, Beside(root), name, dataset, search)
        if written:
            terminal.tell(f"report: {', '.join(written)}")
    except OSError as error:  # such as a folder that may only be read; the answer is given all the same
        terminal.note(f"no report was written: {error}")
    said = {"experiment": run.experiment, "seed": run.seed, "data": path, **counted}
    said |= {"signatures": dict(made.report.signatures)} if made.report.signatures else {}
    said |= {} if search is None else dataclasses.asdict(search)
    intervals = (made.report.page or {}).get("intervals", {})
    return said | made.metrics | dict(made.report.values) | ({"intervals": intervals} if intervals else {})


def _of_examples(trained: Predictor, examples: Examples, path: str) -> Reported:
    """What a model does on labelled examples; raises DataError where a figure of theirs is no number."""
    task = trained.task.judging(examples, trained.preprocess)
    trained = dataclasses.replace(trained, task=task)
    metrics, totals, kept = computed(trained, examples)
    if infinite := [name for name, value in metrics.items() if math.isinf(value)]:
        raise DataError(
            f"{path}: {infinite[0]} is too large to be a number: its targets are far from those of the training; are "
            "they in the same unit?"
        )
    return judged(task, trained.spec, metrics, totals, kept)


def _trained_on(data: Any, path: str) -> bool:
    """Whether a path is where the training's examples lay, or a part of it that was trained on."""
    if hasattr(data, "trained_on") and data.trained_on(Path(path).expanduser()):
        return True
    lay = [getattr(data, name, None) for name in ("data_dir", "path")]
    return any(Path(given).resolve() == Path(path).expanduser().resolve() for given in lay if isinstance(given, str))


def computed(trained: Predictor, examples: Examples) -> tuple[dict[str, float], dict[str, Any], Any]:
    """The metrics of examples, the sums that they are of, and what the task keeps of each, ``[N, ...]``."""
    task, names = trained.task, tuple(trained.spec.inputs)

    def one(variables: Any, batch: Mapping[str, Any]) -> tuple[Any, Any]:
        arrays = trained.preprocess.on_device({name: array for name, array in batch.items() if name != "mask"})
        outputs = trained.model.apply(variables, **nested({name: arrays[name] for name in names}))
        return task.sums(outputs, batch, train=False), task.keep(outputs, batch)

    stored, count = examples.stored(), len(examples)
    # What a task keeps of steps has one size for all batches, so that nothing is cut then.
    timed = () if task.per_step else examples.timed
    over = batches.Spread(at_precision(getattr(trained.model, "precision", "default"), one), trained.variables)
    totals: dict[str, Any] = {}
    parts = []

    def absorb(batch: batches.Batch, made: Any) -> None:
        sums, kept = jax.tree.map(np.asarray, made)
        for name, value in sums.items():
            totals[name] = totals.get(name, 0.0) + np.asarray(value, np.float64).sum(0)
        parts.append((batch, batches.flat(kept)))

    pending = None
    for batch in over.planned(count, examples.lengths, trained.padded_lengths if timed else ()):
        mask = np.arange(len(batch.rows)) < batch.real
        made = over.begun({**batches.taken(stored, batch, timed), "mask": mask})
        if pending is not None:  # fetched one call late, so that the devices have work meanwhile
            absorb(*pending)
        pending = batch, made
    if pending is not None:
        absorb(*pending)
    kept = batches.in_order(parts, count)
    return {**task.finish(totals), **task.finish_kept(kept, trained.spec)}, totals, kept


def _say_missing(trained: Predictor, examples: Examples, path: str) -> None:
    """Says how many examples there are of each class, and which classes have none."""
    labels, names = examples.arrays.get("labels"), trained.spec.names
    if labels is None or not names:
        return
    numbers = Counter(np.asarray(labels).reshape(-1).tolist())
    found = {name: numbers[number] for number, name in enumerate(names) if numbers[number]}
    missing = [name for name in names if name not in found]
    shown = ", ".join(f"{name} {number:,}" for name, number in list(found.items())[:20])
    terminal.tell(f"{path}: {len(examples):,} examples: {shown}{', ...' * (len(found) > 20)}")
    if missing:
        listed = ", ".join(map(repr, missing[:10])) + ", ..." * (len(missing) > 10)
        terminal.note(f"{path} has no example of {listed}: what is said of them is of wrong answers alone")
