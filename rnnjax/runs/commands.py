"""What the verbs of the command line do: train, evaluate, predict, plan.

Each imports what it needs when it runs: help and a typo do not wait for JAX.
"""

import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnjax import terminal
from rnnjax.config.language import Dynamic, Sampling, Search
from rnnjax.errors import MissingDataError, UsageError
from rnnjax.experiment import Experiment

if TYPE_CHECKING:
    from rnnjax.runs.predict import Predictor


def train(
    experiment: Experiment,
    seeds: Sequence[int],
    runs_dir: Path,
    fresh: bool,
    init_from: Sequence[str] = (),
    init_parts: Sequence[str] = (),
    chain: bool = False,
) -> int:
    """Trains the seeds one after the other, each in its folder below ``runs_dir``; returns the exit code."""
    if not seeds or not 0 <= min(seeds) <= max(seeds) < 2**64 or len(set(seeds)) < len(seeds):
        raise UsageError(
            "--seeds needs at least one seed, none negative, none of more than 64 bits and none twice, "
            f"got {list(seeds)}"
        )
    began = time.perf_counter()
    from rnnjax.runs.announce import print_summary
    from rnnjax.runs.chain import begins_from
    from rnnjax.runs.fitting import Started
    from rnnjax.runs.init_from import asked, check_places
    from rnnjax.runs.seeds import parts

    init = asked(begins_from(experiment, runs_dir, init_from, chain), init_parts)
    roots = [runs_dir / experiment.name / f"seed-{seed}" for seed in seeds]
    check_places(init, experiment.begins, roots, fresh=fresh)
    started = Started(experiment, began)
    finished = []
    for place, (seed, root) in enumerate(zip(seeds, roots, strict=True)):
        shown: Any = {"parts": parts(len(seeds), place), "again": place > 0}
        finished.append((root, started.fit(seed, root, fresh=fresh, init=init, **shown).record))
    if started.program.parallel.is_primary:
        print_summary(started.experiment, finished)
    return 0


def evaluate(
    experiment: Experiment,
    root: Path,
    split: str,
    data_dir: str | None,
    path: str | None,
    other_data: bool,
    cpu_devices: int | None,
    dynamic: Dynamic | None = None,
    file: str | None = None,
    search: Search | None = None,
) -> int:
    """Prints the metrics of a split, or of new labelled data, as a line of JSON.

    See :func:`rnnjax.runs.evaluate.evaluate` and :func:`rnnjax.runs.evaluate_file.evaluate_file`.
    """
    if cpu_devices is not None and cpu_devices < 1:
        raise UsageError(f"--cpu-devices must be positive, got {cpu_devices}")
    if file is not None:
        of_data = data_dir is not None or path is not None or other_data
        if of_data or (dynamic is not None and dynamic.dynamic):
            raise UsageError(f"{file} is evaluated as it stands; leave out the options that are of the run's own data")
        from rnnjax.runs.evaluate_file import evaluate_file

        terminal.answer(json.dumps(evaluate_file(experiment, root, file, cpu_devices=cpu_devices, search=search)))
        return 0
    from rnnjax.runs import evaluate as evaluating

    said = evaluating.evaluate(
        experiment,
        root,
        split,
        data_dir=data_dir,
        path=path,
        other_data=other_data,
        cpu_devices=cpu_devices,
        dynamic=dynamic,
        search=search,
    )
    terminal.answer(json.dumps(said))
    return 0


def plan(experiment: Experiment, name: str | None, find_batch: bool, file: Path | None) -> int:
    """Prints what is known of the steps of an experiment on a machine that is not here; returns the exit code."""
    from rnnjax.ahead import machines
    from rnnjax.ahead.quiet import quietly

    if name is None:
        raise UsageError(f"plan needs a machine, --for MACHINE; known machines are {machines.EXAMPLES}")
    machine = machines.machine(name)
    if file is not None and not file.parent.is_dir():
        raise UsageError(f"--json {file}: there is no folder {file.parent}")
    if file is not None and file.is_dir():
        raise UsageError(f"--json {file} is a folder; name a file in it")
    machines.prepare()
    with quietly():  # a plug-in for GPUs that are not here says so when JAX is imported
        from rnnjax import data
        from rnnjax.ahead import batches, report, show
        from rnnjax.runs import small
    machine.devices()  # what is missing is said before the data are read
    try:
        dataset = data.load(experiment.data)
    except MissingDataError:
        if (dataset := experiment.data.outline()) is None:
            raise
        terminal.say(f"{experiment.data.name} is not on this machine: planned by its published sizes")
    experiment, dataset = small.fitted(experiment.settled(dataset), dataset, len(machine.devices()))
    found = []
    if find_batch:
        terminal.say(f"the training step at batches of up to {len(dataset.train)}, to 3 %, on {machine.shown}:")
        found = batches.search(experiment, dataset, machine, lambda tried: terminal.say(show.tried(tried)))
        if (largest := batches.best(found)) is None:
            raise UsageError(f"no batch fits into {machine.shown}, not even {found[-1].batch_size}")
        experiment = batches.with_batch(experiment, largest)
    said = report.plan(experiment, dataset, machine)
    if find_batch:
        said["tried"] = [tried._asdict() for tried in found]
    for line in show.lines(said):
        terminal.answer(line)
    if file is not None:
        file.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    return 0 if said["fits"] else 1


def predict(
    experiment: Experiment,
    root: Path,
    paths: Sequence[str],
    texts: Sequence[str],
    *,
    top: int = 0,
    threshold: str | None = None,
    to: Path | None = None,
    as_csv: bool = False,
    json_lines: bool = False,
    by_line: bool = False,
    search: Search | None = None,
) -> int:
    """Writes the answers to files, documents, or lines of the standard input; returns the exit code."""
    from rnnjax.runs import answering, answers

    form = answers.form_of(to, as_csv=as_csv, as_json=json_lines)
    predictor = _answering(experiment, root)
    if predictor.task.generates:
        raise UsageError(f"{root} holds a language model, which goes on with a text: give --prompt TEXT")
    if not paths and not texts:
        raise UsageError(f"nothing to predict: give {predictor.preprocess.wanted}")
    if to is not None and to.exists() and any(os.path.exists(path) and to.samefile(path) for path in paths):
        raise UsageError(f"--to {to} is what is to be read; name another file")
    predictor.task.check_asked(predictor.spec, top=top, threshold=threshold)
    predictor = predictor if search in (None, Search()) else predictor.searching(search)
    reader = predictor.preprocess.by_lines() if by_line else predictor.preprocess
    made = answering.predict(predictor, reader.read(paths, texts, sys.stdin), answering.Asked(top, threshold))
    return answers.write(made, predictor.task, form, to)


def generate(
    experiment: Experiment, root: Path, prompt: str, sampling: Sampling, *, number: int, json_lines: bool
) -> int:
    """Prints how a language model goes on with a prompt, as it is drawn where that is one text; the exit code."""
    if number < 1:
        raise UsageError(f"--number must be positive, got {number}")
    predictor = _answering(experiment, root)
    if not predictor.task.generates:
        raise UsageError(f"--prompt is for language models, and {root} holds none; give {predictor.preprocess.wanted}")
    from rnnjax.runs.generate import going_on

    parts = going_on(predictor.generator, predictor.preprocess, [prompt] * number, sampling)
    if json_lines:
        for row in zip(*parts, strict=True):
            terminal.answer(json.dumps({"prompt": prompt, "text": "".join(row)}))
    elif number > 1:
        texts = [prompt + "".join(row) for row in zip(*parts, strict=True)]
        terminal.answer("\n\n".join(texts))
    else:
        return _print_live(prompt, parts)
    return 0


def _print_live(prompt: str, parts: Iterable[Sequence[str]]) -> int:
    """Prints a text as it comes; Ctrl-C ends it, and what was printed ends with a line break."""
    begun = False
    try:
        for (part,) in parts:
            terminal.answer(part if begun else prompt + part, end="")
            begun = True
    except KeyboardInterrupt:
        terminal.answer("", end="\n" if begun else "")
        return 130
    terminal.answer("")
    return 0


def _answering(experiment: Experiment, root: Path) -> "Predictor":
    """The model of a work folder; raises UsageError if it has no answers of its own."""
    predictor = _loaded(experiment, root)
    if predictor.task.begins_others:
        raise UsageError(f"the model of {root} has no answers of its own; others begin with it (--init-from)")
    return predictor


def _loaded(experiment: Experiment, root: Path) -> "Predictor":
    """The model of a work folder; what it compiles is kept, where the run kept it."""
    from rnnjax.data import cache
    from rnnjax.runs import predict
    from rnnjax.runs.workdir import WorkDir
    from rnnjax.training import parallel

    run = WorkDir(root, experiment.kinds).read_run()
    parallel.keep_compiled(cache.folder(None) / "xla" if run.config.train.compilation_cache else None)
    return predict.load(root, experiment if experiment.name == run.experiment else None)
