"""What a run says before it starts and when it is done."""

import shlex
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rnnjax import terminal
from rnnjax.runs import environment as results
from rnnjax.data import TextPreprocess, preprocess, samples
from rnnjax.data.plan import padding_share
from rnnjax.experiment import Experiment
from rnnjax.runs.log import duration, until_accuracy_line
from rnnjax.training.program import Program
from rnnjax.runs.workdir import WorkDir


def print_start(program: Program, seed: int, root: Path) -> None:
    """Says what is about to be trained, on what."""
    dataset, device = program.dataset, program.parallel.describe()
    ran = ", ".join(sorted(set(program.implementations.values())))
    terminal.say(
        f"{dataset.name}: {len(dataset.train):,} training, {len(dataset.validation):,} validation, "
        f"{len(dataset.test):,} test examples, {len(dataset.class_names)} classes\n"
        f"{device['count']} x {device['platform']} ({device['kind']}); {program.total_steps:,} steps of "
        f"{program.config.data.batch_size} examples; recurrence: {ran or 'none'}; seed {seed} in {root}"
        f"{_padding(program, seed)}",
        *(f"note: {note}" for note in dataset.notes),
    )


def print_summary(experiment: Experiment, finished: Sequence[tuple[Path, dict[str, Any]]]) -> None:
    """Shows the results beside the target, where everything lies, and what to do next."""
    terminal.say(f"\n{experiment.name}: {experiment.summary}")
    for root, result in finished:
        seconds = result["seconds"]
        also = "".join(f", {name.replace('_', ' ')} {value:.4f}" for name, value in result.get("report", {}).items())
        test = result["metrics"]["test"]
        tested = "not tested" if test is None else f"test accuracy {test['accuracy']:.2%}"
        terminal.say(
            f"  seed {result['seed']}: {tested}{also}, "
            f"validation {result['metrics']['validation']['accuracy']:.2%} (best epoch {result['best_epoch']} of "
            f"{result['epochs']}), {duration(seconds['wall'])} of which {seconds['compile']:.1f} s compiling, in {root}"
        )
        terminal.say(f"  {_start_line(result)}")
        until = result.get("until_accuracy")
        if until is not None:
            never = f"{until['accuracy']:.2%} never reached"
            terminal.say(
                f"    validation: {until_accuracy_line(until['accuracy'], until) if until['reached'] else never}"
            )
    terminal.say(f"  {_outcome(experiment, [result['metrics'] for _, result in finished])}")
    _print_next(experiment, *finished[0])


def _outcome(experiment: Experiment, metrics: Sequence[dict[str, Any]]) -> str:
    """Mean accuracy over the seeds, and of the test split what it is beside the target."""
    split = "validation" if any(of_seed["test"] is None for of_seed in metrics) else "test"
    accuracies = [of_seed[split]["accuracy"] for of_seed in metrics]
    mean = statistics.fmean(accuracies)
    verdict = "reached" if experiment.reached(mean) else "MISSED"
    aim = f"; target {experiment.target.shown()}: {verdict}" if experiment.target and split == "test" else ""
    spread = f" ± {statistics.stdev(accuracies):.2%}" if len(accuracies) > 1 else ""
    return f"{split} accuracy {mean:.2%}{spread} over {len(accuracies)} seed(s){aim}"


def _start_line(result: dict[str, Any]) -> str:
    """Where the time before the steady training went."""
    seconds, cache = result["seconds"], result.get("compilation_cache", "off")
    parts = [
        f"{name} {seconds[name]:.1f} s" for name in ("imports", "data", "initialize", "compile") if name in seconds
    ]
    if isinstance(cache, dict):
        cache = f"{cache['hits']} hits, {cache['misses']} misses"
    return f"start: {', '.join(parts)}; compilation cache: {cache}"


def _padding(program: Program, seed: int) -> str:
    """What the buckets by length cost, as a line; nothing where inputs have one size."""
    lengths = program.dataset.train.lengths
    if lengths is None:
        return ""
    plan = program.train_plan(seed=seed, epoch=0)
    compiled = sorted({chunk.length for chunk in plan if chunk.length is not None})
    listed = ", ".join(map(str, compiled))
    share = f"{padding_share(plan, lengths):.0%} of the steps are padding"
    return f"\n{len(compiled)} compiled length{'s' * (len(compiled) > 1)} ({listed}), {share}"


def _print_next(experiment: Experiment, root: Path, result: dict[str, Any]) -> None:
    workdir, split = WorkDir(root), "validation" if result["metrics"]["test"] is None else "test"
    command, folder = experiment.command, shlex.quote(str(root))
    shown = " ".join(shlex.quote(str(path)) for path in samples.listed(workdir.samples)[:3])
    text = isinstance(preprocess.load(workdir.preprocess), TextPreprocess)
    again = " ".join(word for word in results.command().split() if word not in ("--fresh", "--train.no-test"))
    does = "resumes what is unfinished" if split == "test" else "evaluates it on the test split"
    example = experiment.sample_texts[-1] if experiment.sample_texts else "Your text."
    line = f" --text {shlex.quote(example)}" if text else ""
    terminal.say(
        f"checkpoints {workdir.checkpoints}, result {workdir.result}, curves {workdir.curves}, "
        f"by class {workdir.report(split)} and {workdir.confusion(split)}\n"
        "next:\n"
        f"  {command} evaluate --workdir {folder}\n"
        f"  {command} predict {shown} --workdir {folder}{line}\n"
        f"  {again}   # {does}; with --fresh it trains again\n"
        f"  tensorboard --logdir {shlex.quote(str(root.parent))}   # pip install tensorboard"
    )
