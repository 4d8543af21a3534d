"""What a run says before it starts and when it is done."""

import math
import shlex
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from rnnjax import terminal
from rnnjax.data import preprocess
from rnnjax.data.plan import Plan, padding_share
from rnnjax.experiment import Experiment
from rnnjax.runs import bars, environment, seeds
from rnnjax.runs.display import duration, until_line
from rnnjax.runs.workdir import WorkDir
from rnnjax.tasks import Metric
from rnnjax.tasks.base import figure
from rnnjax.training.optim import members
from rnnjax.training.runner import Runner


def print_start(program: Runner, seed: int, root: Path, *, again: bool = False) -> None:
    """Says what is about to be trained, on what; ``again``: all but the seed was said of an earlier one."""
    if again:
        terminal.say(f"seed {seed} in {root}")
        return
    dataset, device = program.dataset, program.parallel.describe()
    splits = ", ".join(
        f"{len(examples):,} {'training' if split == 'train' else split}" for split, examples in dataset.splits().items()
    )
    named = "tokens to write" if "targets" in dataset.spec.inputs else "classes"
    classes = f", {len(dataset.spec.names)} {named}" if dataset.spec.names else ""
    rows = dataset.preprocess.rows
    ran = ", ".join(sorted(set(program.implementations.values())))
    terminal.say(
        f"{dataset.name}: {splits} {rows}{classes}\n"
        f"{device['count']} x {device['platform']} ({device['kind']}); {program.total_steps:,} steps of "
        f"{program.experiment.data.batch_size} {rows}; recurrence: {ran or 'none'}; seed {seed} in {root}"
        f"{_padding(program, seed)}",
        *dataset.understood,
        *_groups(program),
        *(f"note: {note}" for note in (*dataset.notes, *_late(program), *_left_over(program), *_chosen(program))),
    )


def _groups(program: Runner) -> list[str]:
    """What each group of ``--optim.groups`` does to how much: a pattern that finds too much, or nothing, shows here."""
    lines = []
    params = program.variables["params"]
    every = len(jax.tree.leaves(params))
    for group, paths in members(program.optimizer.section.groups, params):
        does = f"learning rate times {group.factor:g}" if group.factor else "frozen"
        does += f" from epoch {group.epoch} on, frozen before" if group.epoch > 1 else ""
        modules = ", ".join(sorted({path.rpartition("/")[0] or path for path in paths})) or "earlier patterns have all"
        lines.append(f"{group.pattern}: {does} ({len(paths)} of {every} arrays: {modules})")
    return lines


def _chosen(program: Runner) -> list[str]:
    """That the data choose the best checkpoint by another metric than the headline."""
    if not program.fitting:
        return []
    task = program.task
    return [
        f"{program.fitting}: the best checkpoint is chosen by {task.chooser.name} (or by {task.headline.name}, with "
        f"--train.best {task.headline.name}); --optim.class-weights balanced makes rare classes count in the loss"
    ]


def _late(program: Runner) -> list[str]:
    """That validation within an epoch is due less often than it was asked for, since a compiled call is longer."""
    train = program.experiment.train
    if not 0 < train.evaluate_every < train.steps_per_call:
        return []
    return [
        f"a compiled call takes up to {train.steps_per_call} steps, and validation waits for its end; for one every "
        f"{train.evaluate_every} steps give --train.steps-per-call {train.evaluate_every}"
    ]


def _left_over(program: Runner) -> list[str]:
    """That many examples are not in an epoch, of few data in large batches: all batches of training are full."""
    dataset, batch = program.dataset, program.experiment.data.batch_size
    examples = len(dataset.train)
    left = examples - program.steps_per_epoch * batch
    if type(dataset.plan) is not Plan or 10 * left < examples:
        return []
    return [
        f"an epoch sees {examples - left:,} of the {examples:,} training {dataset.preprocess.rows}, others each time, "
        f"since batches are full; a smaller --data.batch-size leaves fewer than {left:,} out"
    ]


def print_summary(experiment: Experiment, finished: Sequence[tuple[Path, dict[str, Any]]]) -> None:
    """Shows the records of runs beside the target, where everything lies, and what to do next."""
    terminal.say(f"\n{experiment.name}: {experiment.summary}")
    headline = experiment.task.headline
    several = len(finished) > 1
    if several:
        terminal.say(*(f"  {line}" for line in seeds.table(experiment, [result for _, result in finished])))
    for root, result in () if several else finished:
        seconds = result["seconds"]
        also = "".join(f", {figure(name, value)}" for name, value in result.get("report", {}).items())
        metrics = result["metrics"]
        tested = "not tested" if metrics["test"] is None else f"test {_shown(headline, metrics['test'])}"
        for metric in experiment.task.also if metrics["test"] is not None else ():
            tested += f", {_shown(metric, metrics['test'])}"
        terminal.say(
            f"  seed {result['seed']}: {tested}{also}, "
            f"validation {_value(headline, metrics['validation'])} (best epoch {result['best_epoch']} of "
            f"{result['epochs']}), {duration(seconds['wall'])} of which {seconds['compile']:.1f} s compiling, in {root}"
        )
    for _, result in finished:
        until = result.get("until")
        if until is not None:
            never = f"{headline.show(until['value'])} never reached"
            spent = until_line(headline, until["value"], until) if until["reached"] else never
            of_seed = f", seed {result['seed']}" if several else ""
            terminal.say(f"    validation{of_seed}: {spent}")
    terminal.say(f"  {_outcome(experiment, [result['metrics'] for _, result in finished])}")
    beside = [result["bars"] for _, result in finished if result.get("bars")]
    for made in beside[:1]:  # the bars of other seeds are the same, and each network is in a sentence below
        of_seed = f"seed {finished[0][1]['seed']} " if several else ""
        first, *rows = bars.table(made)
        terminal.say(f"  {of_seed}{first}", *(f"  {line}" for line in rows))
    _print_next(experiment, *finished[0])
    for _, result in finished:
        if said := (result.get("bars") or {}).get("said"):
            terminal.say(f"seed {result['seed']}: {said}" if several else said)


def _shown(headline: Metric, metrics: Mapping[str, float]) -> str:
    return f"{headline.name} {_value(headline, metrics)}"


def _value(headline: Metric, metrics: Mapping[str, float]) -> str:
    return headline.show(metrics[headline.name])


def _outcome(experiment: Experiment, metrics: Sequence[dict[str, Any]]) -> str:
    """Mean of the headline metric over the seeds, and of the test split what it is beside the target."""
    headline = experiment.task.headline
    split = "validation" if any(of_seed["test"] is None for of_seed in metrics) else "test"
    values = [of_seed[split][headline.name] for of_seed in metrics]
    mean = statistics.fmean(values)
    verdict = {True: ": reached", False: ": MISSED", None: ""}[experiment.reached_alone(mean)]
    shown = experiment.target and experiment.target.shown(experiment.task)
    aim = f"; target {shown}{verdict}" if experiment.target and split == "test" else ""
    if len(values) == 1:
        return f"{split} {headline.name} {headline.show(mean)}{aim}"
    spread = f"± {headline.show(statistics.stdev(values))} (standard deviation over {len(values)} seeds)"
    return f"{split} {headline.name} {headline.show(mean)} {spread}{aim}"


def _padding(program: Runner, seed: int) -> str:
    """What the buckets by length cost, as a line; nothing where inputs have one size."""
    train = program.dataset.train
    lengths = train.lengths
    if lengths is None:
        return ""
    plan = program.train_plan(seed=seed, epoch=0)
    compiled = sorted({chunk.length for chunk in plan if chunk.length is not None})
    if not compiled:  # a plan of one's own, or streams: rows are as long as they are stored
        return ""
    listed = ", ".join(map(str, compiled))
    if isinstance(compiled[0], tuple):  # each timed array has lengths of its own
        lengths = np.stack([train.arrays.get(f"{name}_lengths", lengths) for name in train.timed], 1)
    share = f"{padding_share(plan, lengths):.0%} of the steps are padding"
    return f"\n{len(compiled)} compiled length{'s' * (len(compiled) > 1)} ({listed}), {share}"


def _print_next(experiment: Experiment, root: Path, result: dict[str, Any]) -> None:
    workdir, split = WorkDir(root, experiment.kinds), "validation" if result["metrics"]["test"] is None else "test"
    command, folder = experiment.command, shlex.quote(str(root))
    listed = sorted(workdir.samples.glob("*")) if workdir.samples.is_dir() else []
    shown = " ".join(shlex.quote(str(path)) for path in listed[:3])
    again = " ".join(word for word in environment.command().split() if word not in ("--fresh", "--train.no-test"))
    does = "resumes what is unfinished" if split == "test" else "evaluates it on the test split"
    report = f", report {workdir.report(split)}" if workdir.report(split).is_file() else ""
    events = workdir.tensorboard.is_dir()
    lines = [
        f"checkpoints {workdir.checkpoints}, result {workdir.result}, curves {workdir.curves}{report}",
        "next:",
        f"  {command} evaluate --workdir {folder}",
        *_predict_line(experiment, workdir, command, shown, folder),
        f"  {again}   # {does}; with --fresh it trains again",
        *_longer_line(experiment, result, again),
        *([f"  tensorboard --logdir {shlex.quote(str(root.parent))}   # pip install tensorboard"] * events),
    ]
    terminal.say("\n".join(lines))


def _longer_line(experiment: Experiment, result: Mapping[str, Any], again: str) -> list[str]:
    """How to train data of one's own longer, where validation was getting better to the end."""
    best = result["metrics"]["validation"].get(experiment.task.chooser.name)
    perfect = experiment.task.chooser.shown.endswith("%}") and best is not None and best >= 1
    stopped = (result.get("until") or {}).get("reached")
    if not experiment.own or perfect or stopped or result["best_epoch"] != result["epochs"]:
        return []
    words = again.split()
    if "--train.epochs" in words:
        place = words.index("--train.epochs")
        words[place : place + 2] = []
    words += ["--train.epochs", str(3 * math.ceil(result["epochs"])), "--fresh"]
    return [f"  {' '.join(words)}   # validation was best in the last epoch: longer may be better"]


def _predict_line(experiment: Experiment, workdir: WorkDir, command: str, shown: str, folder: str) -> list[str]:
    """How to predict from the command line, where that reads such data."""
    if experiment.task.begins_others:
        return []
    reads = preprocess.load(workdir.preprocess, experiment.data.preprocesses())
    example = experiment.sample_texts[-1] if experiment.sample_texts and reads.example() else reads.example()
    line = f" {reads.option} {shlex.quote(example)}" if example else ""
    inputs = f" {shown}" if shown else ""
    return [f"  {command} predict{inputs} --workdir {folder}{line}"] if shown or line else []
