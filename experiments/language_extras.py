"""What a trained language model does besides its test loss: ``python -m experiments.language_extras WORKDIR``.

Writes ``results/language/EXPERIMENT-seed-N.json``, which the tables read: dynamic evaluation, its learning rate chosen
by validation, and how many tokens a second are sampled.
"""

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

import experiments
from experiments.tables import LANGUAGE
from rnnjax import load, terminal
from rnnjax.config.language import Dynamic, Sampling
from rnnjax.errors import RnnjaxError, UsageError
from rnnjax.experiment import Experiment
from rnnjax.files import write_text
from rnnjax.runs import environment
from rnnjax.runs.evaluate import evaluate
from rnnjax.runs.workdir import WorkDir
from rnnjax.training.parallel import DataParallel

RATES = (0.1, 0.3, 1.0, 3.0, 10.0)
BATCHES = (1, 64)


def extras(
    workdir: Path, chosen_by: Path | None, rates: tuple[float, ...], streams: int | None, path: str | None, tokens: int
) -> dict[str, Any]:
    """What is written, as JSON values; see :func:`main`.

    Raises:
      UsageError: if the folder holds no finished run of a language model that was tested.
    """
    result = WorkDir(workdir).finished(tested=True)
    if result is None:
        raise UsageError(f"{workdir} holds no finished run with a test result")
    experiment = experiments.load(result["experiment"])
    if not isinstance(experiment, Experiment) or not experiment.task.generates:
        raise UsageError(f"{workdir} is a run of {experiment.name}, which is no language model")
    name = experiment.task.headline.name

    def of(root: Path, split: str, tried: tuple[float, ...]) -> dict[str, Any]:
        said = evaluate(experiment, root, split, path=path, dynamic=Dynamic(dynamic=tried, streams=streams))
        return {"static": said[name], "dynamic": said["dynamic"]}

    chooser = workdir if chosen_by is None else chosen_by
    validation = of(chooser, "validation", rates)
    # What diverges has no figure, and a model that stands still is a choice too, which the evaluation says.
    tried = [row for row in validation["dynamic"] if row["rate"] in rates and row[name] is not None]
    if not tried:
        raise UsageError(f"no rate of {', '.join(map(str, rates))} leaves a model with a loss: give lower --rates")
    chosen = max(tried, key=lambda row: experiment.task.headline.score(row[name]))["rate"]
    tested = of(workdir, "test", (chosen,))
    return {
        "experiment": result["experiment"],
        "seed": result["seed"],
        "run": result["run"],
        "validation": validation | {"seen_in_training": WorkDir(chooser).read_run().config.data.refit},
        "rate": chosen,
        "test": {"static": tested["static"], "dynamic": tested["dynamic"][-1]},
        "sampling": sampling_speed(workdir, tokens),
        "device": DataParallel().describe(),
        **environment.environment(),
        "finished": environment.now(),
    }


def sampling_speed(workdir: Path, tokens: int, repeats: int = 5) -> list[dict[str, Any]]:
    """Tokens a second of sampling side by side, the numbers of rows in turn; the median of some repeats, and all."""
    predictor = load(workdir)
    prompts = {rows: np.full((rows, 1), 2, np.int32) for rows in BATCHES}

    def seconds(prompt: np.ndarray, seed: int) -> float:
        began = time.perf_counter()
        for _ in predictor.generator.stream(prompt, Sampling(length=tokens, seed=seed)):
            pass
        return time.perf_counter() - began

    for prompt in prompts.values():  # compiles
        seconds(prompt, 0)
    took: dict[int, list[float]] = {rows: [] for rows in BATCHES}
    for repeat in range(repeats):
        for rows, prompt in prompts.items():
            took[rows].append(seconds(prompt, repeat))
    rates = {rows: [rows * tokens / each for each in of_rows] for rows, of_rows in took.items()}
    return [
        {"rows": rows, "tokens": tokens, "tokens_per_second": statistics.median(of_rows), "samples": of_rows}
        for rows, of_rows in rates.items()
    ]


def main(
    workdir: Annotated[Path, tyro.conf.Positional],
    rates: tuple[float, ...] = RATES,
    chosen_by: Path | None = None,
    streams: int | None = None,
    path: str | None = None,
    tokens: int = 400,
) -> int:
    """Evaluate a finished language model as it adapts, time its sampling, and write what the tables show of it.

    Args:
      workdir: Work folder of the run.
      rates: Learning rates of dynamic evaluation, of which validation chooses one.
      chosen_by: Work folder whose validation chooses: of a run with --data.no-refit, where this one trained on it.
      streams: Streams that adapt together; unset: as many as a batch of the training.
      path: The text, where it has moved; unset: as the run was told.
      tokens: Tokens that are sampled in each timing.
    """
    try:
        made = extras(workdir, chosen_by, rates, streams, path, tokens)
    except RnnjaxError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    if made["validation"]["seen_in_training"]:
        terminal.note("the model has been trained on what chose the rate: give --chosen-by a run with --data.no-refit")
    LANGUAGE.mkdir(exist_ok=True)
    target = LANGUAGE / f"{made['experiment']}-seed-{made['seed']}.json"
    write_text(target, json.dumps(made, indent=2) + "\n")
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(tyro.cli(main, prog="python -m experiments.language_extras", config=(tyro.conf.FlagCreatePairsOff,)))
