"""Parts 3, 8, 9 and 10: experiments trained as they are, on prepared data or by TFDS."""

import dataclasses
import importlib
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from experiments.accelerator import made_up, prepared
from experiments.accelerator.context import Context, TooLate
from experiments.accelerator.programs import memory
from experiments.benchmarks.harness import first_line
from rnnjax import data
from rnnjax.errors import DataError, Interrupted, RunError
from rnnjax.runs.log import read_metrics
from rnnjax.runs.running import run
from rnnjax.tasks import Classification, Report
from rnnjax.training.runner import Runner

GOAL, TOY_GOAL = 0.99, 0.5
"""Of mnist_rows on validation."""
LEAST = 15.0
"""Seconds of a part below which no further run is begun."""


class Missing(Exception):
    """Data that are not here, with the reason."""


def two(context: Context) -> None:
    """``mnist_rows`` to 99 % on validation, then CIFAR-10, or MNIST by convolutions where CIFAR-10 is not here."""
    _begin(context)
    _attempt(context, "mnist_rows", until=_goal(context))
    if not _attempt(context, "cifar10_cnn_rnn"):
        _attempt(context, "mnist_cnn_rnn")
    _end(context)


def more(context: Context) -> None:
    """More seeds of ``mnist_rows`` to 99 %, then other heads over the convolutions that part 3 trained."""
    _begin(context)
    for seed in (1,) if context.dry else (1, 2):
        _attempt(context, "mnist_rows", seed=seed, until=_goal(context))
    if not _attempt(context, "cifar10_cnn_rnn-bilstm"):
        for variant in ("cnn",) if context.dry else ("conv_conv_lstm", "cnn"):
            _attempt(context, f"mnist_cnn_rnn-{variant}")
    else:
        _attempt(context, "cifar10_cnn_rnn-pooled")
    _end(context)


def imdb(context: Context) -> None:
    """``imdb_bilstm``, one seed."""
    _begin(context)
    _attempt(context, "imdb_bilstm")
    _end(context)


def language(context: Context) -> None:
    """The language model on a made-up text: how fast it reads, not what it learns."""
    _begin(context)
    experiment = made_up.loaded("shakespeare_chars", dry=context.dry)
    with tempfile.TemporaryDirectory() as folder:
        path = made_up.text(Path(folder) / "made-up.txt", dry=context.dry)
        section = dataclasses.replace(experiment.data, path=str(path), cache_dir=str(Path(folder) / "cache"))
        train = dataclasses.replace(experiment.train, epochs=2, test=False)
        made = dataclasses.replace(experiment, data=section, train=train)
        row = _train(context, made, data.load(section), 0)
    context.result["rows"].append(row)
    if rate := row.get("examples_per_second"):
        context.result["tokens_per_second"] = rate * section.window
        context.say(f"  {rate * section.window:,.0f} tokens/s")
    _end(context)


def _begin(context: Context) -> None:
    context.result |= {"rows": [], "records": f"{context.beside.name}/EXPERIMENT-seed-SEED.json"}


def _end(context: Context) -> None:
    """Raises where nothing was trained, for other reasons than the time."""
    rows, left_out = context.result["rows"], context.result["left_out"]
    if not rows:
        raise DataError("; ".join(f"{one['what']}: {one['reason']}" for one in left_out))
    if all("error" in row for row in rows) and not context.result["partial"]:
        raise RunError("; ".join(f"{row['experiment']}: {row['error']}" for row in rows))


def _goal(context: Context) -> float:
    return TOY_GOAL if context.dry else GOAL


def _attempt(context: Context, name: str, *, seed: int = 0, until: float | None = None) -> bool:
    """One run, whose row is added; whether its data are here."""
    experiment = made_up.loaded(name, dry=context.dry)
    try:
        dataset, source = _dataset(context, experiment.data)
    except Missing as missing:
        context.leave_out(name, str(missing))
        return False
    if context.left() < (0 if context.dry else LEAST):
        context.late(f"{name}, seed {seed}")
        return True
    section, train = dataclasses.replace(experiment.data, name=source), experiment.train
    experiment = dataclasses.replace(experiment, data=section, train=dataclasses.replace(train, until=until))
    context.result["rows"].append(_train(context, experiment, dataset, seed))
    return True


def _dataset(context: Context, section: Any) -> tuple[data.Dataset, str]:
    """Prepared data, or with no folder of them what TFDS has; and the name of the set.

    Raises:
      Missing: where neither is there, or what is there is damaged; where it should be is shown, and in no file.
    """
    try:
        if context.data is None:
            return data.load(section), section.name
        path = prepared.file_of(context.data, section)
        if not path.is_file():
            raise Missing(f"there is no {path.name} among the prepared data")
        return prepared.read(path, section)
    except ImportError as error:
        raise Missing(f"it needs the package {error.name}, which is not installed") from error
    except DataError as error:
        context.say(f"  {first_line(error)}")
        what = "TFDS" if context.data is None else "the prepared file"
        raise Missing(f"{what} does not give it") from error


def _train(context: Context, experiment: Any, dataset: data.Dataset, seed: int) -> dict[str, Any]:
    """A run from its start to its end, or to where the part's time is over; its row, with an error where it failed."""
    row: dict[str, Any] = {"experiment": experiment.name, "seed": seed, "until": experiment.train.until}
    train = dataclasses.replace(experiment.train, log=(), compilation_cache=False)
    experiment, row = dataclasses.replace(experiment, train=train), row | {"data": dataset.name}
    if experiment.task.headline.name == Classification.headline.name and not _installed("sklearn"):
        experiment = dataclasses.replace(experiment, task=Unreported())
        row["report"] = "none: scikit-learn is not installed"
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "run"
        try:
            program = Runner(experiment, dataset)
            record = run(program, seed, root, on_chunk=_stopping(context, program.total_steps))
        except Interrupted:
            lost = {"seconds": time.perf_counter() - start, "error": "interrupted", "history": _history(root)}
            context.result["rows"].append(row | lost)
            raise
        except TooLate as late:
            context.late(f"{experiment.name}, seed {seed}", str(late))
            return row | {"seconds": time.perf_counter() - start, "error": str(late), "history": _history(root)}
        except Exception as error:  # a run that fails is a result, and the others go on
            return row | {"seconds": time.perf_counter() - start, "error": _reason(error)}
        finally:
            kept = context.beside / f"{experiment.name}-seed-{seed}.json"
            if (root / "result.json").is_file():
                kept.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(root / "result.json", kept)
    jax.clear_caches()  # what has been trained is not needed any more
    context.result["compile_seconds"] += record["seconds"]["compile"]
    names = ("until", "metrics", "epochs", "steps", "seconds", "examples_per_second", "implementations", "peak_memory")
    return row | {name: record[name] for name in names} | {"record": kept.name}


def _installed(package: str) -> bool:
    try:
        importlib.import_module(package)
    except ImportError:
        return False
    return True


def _history(root: Path) -> list[dict[str, Any]]:
    """What a run that did not end has of its validations."""
    path = root / "metrics.jsonl"
    return read_metrics(path) if path.is_file() else []


def _stopping(context: Context, steps: int) -> Callable[[int], None]:
    def check(step: int) -> None:
        if context.left() < 0:
            raise TooLate(f"the part's time was over at step {step} of {steps}")

    return check


def _reason(error: Exception) -> str:
    """Why a run failed; of too little memory, how much there is."""
    if "RESOURCE_EXHAUSTED" not in str(error):
        return f"failed: {first_line(error)}"
    there = memory()
    return f"skipped: too little memory, of {there or 0:,} bytes: {first_line(error)}"


class Unreported(Classification):
    """A classification whose split is evaluated, but not class by class."""

    def report(self, totals: Any, kept: Any, spec: Any) -> Report:
        """Nothing."""
        del totals, kept, spec
        return Report({})
