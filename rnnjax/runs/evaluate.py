"""A trained model on a whole split: metrics and report of its best checkpoint."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rnnjax import data, terminal
from rnnjax.config.language import Dynamic, Search
from rnnjax.config.run import SECTIONS, holds_data, is_section
from rnnjax.data import Dataset, cache
from rnnjax.data.plan import Streams
from rnnjax.errors import DataError, UsageError
from rnnjax.experiment import Experiment
from rnnjax.runs.finish import reported, save_report
from rnnjax.runs.predict import Predictor, load
from rnnjax.runs.record import Run
from rnnjax.runs.workdir import WorkDir
from rnnjax.training import parallel
from rnnjax.training.dynamic import DynamicEvaluation
from rnnjax.training.runner import Runner


def evaluate(
    experiment: Experiment,
    root: Path,
    split: str,
    *,
    data_dir: str | None = None,
    path: str | None = None,
    other_data: bool = False,
    cpu_devices: int | None = None,
    dynamic: Dynamic | None = None,
    search: Search | None = None,
) -> dict[str, Any]:
    """Evaluates the best checkpoint of a work folder, and writes the split's report there.

    Args:
      experiment: whose command line was asked; parts of one's own are taken from it where the folder holds its run.
      root: the work folder.
      split: ``train``, ``validation`` or ``test``.
      data_dir, path: where the data are now; None: as the run was told.
      other_data: evaluate also on other data than those of the training, of the same kind and classes.
      cpu_devices: to split the CPU into; None: as in training.
      dynamic: of a language model, how to evaluate it as it adapts, beside the metrics without.
      search: of a model that writes sequences, how it searches for them; None: greedily.

    Returns:
      JSON values: what was evaluated, the metrics, and the figures of the report; with learning rates in ``dynamic``,
      a list under that name, of :func:`adapting`.

    Raises:
      UsageError, DataError, RunError: if the folder holds no usable run, or the data are others.
    """
    workdir = WorkDir(root, experiment.kinds)
    run = workdir.read_run()
    parallel.start(cpu_devices=cpu_devices, batch_size=run.config.data.batch_size)
    parallel.keep_compiled(cache.folder(None) / "xla" if run.config.train.compilation_cache else None)
    experiment = of_folder(experiment, run)
    trained = load(root, experiment if experiment.name == run.experiment else None)
    if dynamic is not None and dynamic.dynamic and not trained.task.generates:
        raise UsageError(f"--dynamic is for language models, and {root} holds none")
    search = None if search == Search() else search
    trained = trained if search is None else trained.searching(search)
    section = _elsewhere(experiment.data, data_dir, path)
    dataset = _loaded(section, trained, run, root, split, other_data)
    devices, section = divided(section, dataset)
    train = dataclasses.replace(experiment.train, accumulate=1)  # nothing is trained, and the batch may be another
    parts = {"data": section, "model": trained.model, "task": trained.task.settled(), "train": train}
    experiment = dataclasses.replace(experiment, **parts)
    program = Runner(experiment, dataset, devices)
    metrics, report, _ = reported(program, trained.variables, split)
    _note_of_split(split, section)
    try:
        written = save_report(report, workdir, split, program.dataset, search)
        if written:
            terminal.tell(f"report: {', '.join(written)}")
    except OSError as error:  # such as a folder that may only be read; the answer is given all the same
        terminal.note(f"no report was written: {error}")
    said = {"experiment": run.experiment, "seed": run.seed, "split": split, "data": dataset.name}
    said |= {"examples": len(dataset.split(split)), **metrics, **report.values}
    said |= {"signatures": dict(report.signatures)} if report.signatures else {}
    said |= {} if search is None else dataclasses.asdict(search)
    if dynamic is None or not dynamic.dynamic:
        return said
    return said | {"dynamic": adapting(program, trained.variables, split, dynamic)}


def _note_of_split(split: str, section: Any) -> None:
    """Says where a split is none to judge by."""
    if split == "test":
        terminal.note("this looked at the test split; choose models by validation")
    if split == "validation" and getattr(section, "refit", False):
        terminal.note(
            "this split was trained on (--data.refit), so that its figures say nothing of new data; "
            "choose by a run with --data.no-refit"
        )


def divided(section: Any, dataset: Dataset) -> tuple[list[Any], Any]:
    """The devices to evaluate on and the section with a batch that divides over them, whatever those of the training.

    Where a batch's rows are streams, another number of them has other metrics: then devices are left out.
    """
    devices, batch = parallel.DataParallel().devices, section.batch_size
    if isinstance(dataset.plan, Streams):
        return devices[: next(n for n in range(len(devices), 0, -1) if batch % n == 0)], section
    return devices, dataclasses.replace(section, batch_size=-(-batch // len(devices)) * len(devices))


def adapting(program: Runner, variables: Mapping[str, Any], split: str, how: Dynamic) -> list[dict[str, Any]]:
    """The metrics of a split as the model adapts to it, a row of JSON values for each learning rate.

    A number of streams of its own adds the rate of 0 in front: the model that does not adapt, on those streams.
    """
    streams = program.experiment.data.batch_size if how.streams is None else how.streams
    rates = how.dynamic if how.streams is None else (0.0, *how.dynamic)
    if streams >= len(program.dataset.split(split)):
        terminal.note(
            f"--dynamic: each of {streams:,} streams has one window at most, so that nothing is adapted to before the "
            "stream ends; give fewer --streams"
        )
    evaluation, rows = DynamicEvaluation(program.model, program.task, program.dataset, streams), []
    for rate in dict.fromkeys(rates):
        metrics = evaluation(variables, split, rate, how.dynamic_decay)
        if not all(map(math.isfinite, metrics.values())):
            terminal.note(f"at --dynamic {rate:g} the model diverges: null stands where there is no number")
        finite = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        rows.append({"rate": rate, "decay": how.dynamic_decay, "streams": streams, **finite})
    return rows


def of_folder(experiment: Experiment, run: Run) -> Experiment:
    """The experiment as it was run: its own parts, and the sections that the folder's record holds."""
    sections = {name: getattr(run.config, name) for name in SECTIONS}
    if experiment.name == run.experiment:
        mine = [name for name, part in sections.items() if not is_section(part) or holds_data(part)]
        sections |= {name: getattr(experiment, name) for name in mine}
    return dataclasses.replace(experiment, **sections, name=run.experiment, target=None, variants={})


def _elsewhere(section: Any, data_dir: str | None, path: str | None) -> Any:
    """A section with its data where they are here; what it says of a cache folder counts not here."""
    if path is not None and not hasattr(section, "path"):
        raise UsageError("--data.path: this experiment reads no file of documents; use --data-dir")
    moved = data_dir if path is None and hasattr(section, "path") else path
    changes = {"cache_dir": None} | ({"data_dir": data_dir} if data_dir else {}) | ({"path": moved} if moved else {})
    return dataclasses.replace(section, **changes)


def _loaded(section: Any, trained: Predictor, run: Run, root: Path, split: str, other_data: bool) -> Dataset:
    """The data set, where it is the one of the training or another was asked for."""
    try:
        dataset = data.load(section)
    except DataError as error:
        raise DataError(f"{error}; data that have moved are named by --data-dir, documents by --data.path") from error
    same = dataset.preprocess == trained.preprocess
    if not same and not (other_data and trained.preprocess.reads_alike(dataset.preprocess)):
        raise DataError(
            f"{root} was trained on other data than {dataset.name} is now: its preprocessing differs (of texts, their "
            "vocabulary); name its own by --data-dir or --data.path, or predict these"
        )
    _check_split(root, run, dataset, split, other_data)
    return trained.preprocess.adopted(dataset)


def _check_split(root: Path, run: Run, dataset: Dataset, split: str, other_data: bool) -> None:
    """Whether a split is what the run was trained and chosen with."""
    dataset.split(split)
    trained, now = run.data.get(split), dataset.fingerprint[split]
    if trained in (None, now):
        return
    if other_data:
        terminal.note(f"the {split} split is not the one of the training")
        return
    raise DataError(
        f"the {split} split of {dataset.name} is not the one that {root} was trained with; "
        "name its data by --data-dir or --data.path, or give --other-data to evaluate on these all the same"
    )
