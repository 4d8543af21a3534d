"""What a run says before it starts and when it is done."""

import shlex
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rnnjax import results
from rnnjax.data import TextPreprocess, preprocess, samples
from rnnjax.experiment import Experiment
from rnnjax.logs import duration
from rnnjax.program import Program
from rnnjax.workdir import WorkDir


def print_start(program: Program, seed: int, root: Path) -> None:
    """Says what is about to be trained, on what."""
    dataset, device = program.dataset, program.parallel.describe()
    print(
        f"{dataset.name}: {len(dataset.train):,} training, {len(dataset.validation):,} validation, "
        f"{len(dataset.test):,} test examples, {len(dataset.class_names)} classes\n"
        f"{device['count']} x {device['platform']} ({device['kind']}); {program.total_steps:,} steps of "
        f"{program.config.data.batch_size} examples; seed {seed} in {root}",
        flush=True,
    )


def print_summary(experiment: Experiment, finished: Sequence[tuple[Path, dict[str, Any]]]) -> None:
    """Shows the results beside the target, where everything lies, and what to do next."""
    accuracies = [result["metrics"]["test"]["accuracy"] for _, result in finished]
    print(f"\n{experiment.name}: {experiment.summary}")
    for root, result in finished:
        seconds = result["seconds"]
        print(
            f"  seed {result['seed']}: test accuracy {result['metrics']['test']['accuracy']:.2%}, "
            f"validation {result['metrics']['validation']['accuracy']:.2%} (best epoch {result['best_epoch']} of "
            f"{result['epochs']}), {duration(seconds['wall'])} of which {seconds['compile']:.1f} s compiling, in {root}"
        )
        print(f"  {_start_line(result)}")
    mean = statistics.fmean(accuracies)
    verdict = "reached" if mean >= experiment.target.accuracy else "MISSED"
    spread = f" ± {statistics.stdev(accuracies):.2%}" if len(accuracies) > 1 else ""
    print(
        f"  test accuracy {mean:.2%}{spread} over {len(accuracies)} seed(s); "
        f"target {experiment.target.accuracy:.2%}: {verdict}"
    )
    _print_next(experiment, finished[0][0])


def _start_line(result: dict[str, Any]) -> str:
    """Where the time before the steady training went."""
    seconds, cache = result["seconds"], result.get("compilation_cache", "off")
    parts = [
        f"{name} {seconds[name]:.1f} s" for name in ("imports", "data", "initialize", "compile") if name in seconds
    ]
    if isinstance(cache, dict):
        cache = f"{cache['hits']} hits, {cache['misses']} misses"
    return f"start: {', '.join(parts)}; compilation cache: {cache}"


def _print_next(experiment: Experiment, root: Path) -> None:
    workdir = WorkDir(root)
    command, folder = f"python -m experiments.{experiment.name}", shlex.quote(str(root))
    shown = " ".join(shlex.quote(str(path)) for path in samples.listed(workdir.samples)[:3])
    text = isinstance(preprocess.load(workdir.preprocess), TextPreprocess)
    again = " ".join(word for word in results.command().split() if word != "--fresh")
    line = " --text 'A wonderful film.'" if text else ""
    print(
        f"checkpoints {workdir.checkpoints}, result {workdir.result}, curves {workdir.curves}\n"
        "next:\n"
        f"  {command} evaluate --workdir {folder}\n"
        f"  {command} predict {shown} --workdir {folder}{line}\n"
        f"  {again}   # resumes what is unfinished; with --fresh it trains again\n"
        f"  tensorboard --logdir {shlex.quote(str(root.parent))}   # pip install tensorboard"
    )
