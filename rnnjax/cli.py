"""The command line that every experiment has: train, evaluate, predict."""

import dataclasses
import difflib
import functools
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from rnnjax import terminal
from rnnjax.config import Config
from rnnjax.errors import DataError, Interrupted, RnnjaxError, SaveError, UsageError
from rnnjax.experiment import Experiment
from rnnjax.runs.workdir import WorkDir
from rnnjax.training import hosts

if TYPE_CHECKING:
    from rnnjax.data import Dataset
    from rnnjax.runs.predict import Prediction
    from rnnjax.runs.record import Run

# Each command imports what it needs when it runs: --help and a typo do not wait for JAX.

SplitName = Literal["train", "validation", "test"]

COMMANDS = ("train", "evaluate", "predict")

EXIT_CODES = (
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the machine computes wrong (--train.audit), "
    "128 + n stopped by signal n (130 Ctrl-C, 143 SIGTERM) after saving."
)


def main(experiment: Experiment, arguments: Sequence[str] | None = None) -> int:
    """Runs an experiment's command line.

    Args:
      experiment: what to train, evaluate or predict with.
      arguments: command-line arguments; the process's own by default.

    Returns:
      The exit code: 0 done, 1 failed, 2 wrong usage, 128 + the signal if stopped by one.
    """
    own = arguments is None or list(arguments) == sys.argv[1:]

    def parse(given: list[str]) -> Callable[[], int]:
        chosen, rest = _variant(experiment, given)
        return _parse(chosen, with_command(rest), own)

    return run(parse, arguments)


def run(parse: Callable[[list[str]], Callable[[], int]], arguments: Sequence[str] | None = None) -> int:
    """Runs a command line; errors become one sentence and an exit code.

    Args:
      parse: from the arguments to what runs them.
      arguments: command-line arguments; the process's own by default.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if arguments is None:
        terminal.open_closed_streams()
    try:
        return parse(given)()
    except Interrupted as stopped:
        terminal.tell(str(stopped))
        if arguments is None:  # everything is saved: one more Ctrl-C could only spoil the end
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        return stopped.exit_code
    except SaveError as error:
        terminal.tell(f"error: {error}")
        if arguments is None:  # the threads that failed to write would keep this process for five minutes
            os._exit(error.exit_code)
        return error.exit_code
    except RnnjaxError as error:
        terminal.tell(f"error: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        terminal.tell("stopped by Ctrl-C; what was saved is kept")
        return 130
    except BrokenPipeError as error:
        terminal.lose("stdout", error)  # the reader of our output has gone
        return 1
    except OSError as error:  # a full disk, a folder that may not be entered
        terminal.tell(f"error: {error}")
        return 1


def with_command(arguments: list[str]) -> list[str]:
    """The arguments with their command, ``train`` by default; raises UsageError at an unknown one."""
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help")):
        return ["train", *arguments]
    if arguments[0] not in (*COMMANDS, "-h", "--help"):
        near = difflib.get_close_matches(arguments[0], COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"commands are {', '.join(COMMANDS)}"
        raise UsageError(f"unknown command {arguments[0]!r}; {hint}")
    return arguments


def _variant(experiment: Experiment, arguments: list[str]) -> tuple[Experiment, list[str]]:
    """Takes ``--variant NAME`` out of the arguments: it decides what the defaults of all others are."""
    rest = [
        a for argument in arguments for a in (argument.split("=", 1) if argument[:10] == "--variant=" else [argument])
    ]
    if "--variant" not in rest:
        return experiment, rest
    place = rest.index("--variant")
    if place + 1 == len(rest):
        raise UsageError(f"--variant needs a name: {', '.join(experiment.variants) or 'but there is none here'}")
    return experiment.variant(rest[place + 1]), rest[:place] + rest[place + 2 :]


def _parse(experiment: Experiment, arguments: list[str], own: bool) -> Callable[[], int]:
    # The sections' own types, so that --help shows what this experiment has and nothing else.
    config_type: Any = Config[type(experiment.config.data), type(experiment.config.model)]  # pyright: ignore
    default_run = Path("runs") / experiment.name / f"seed-{experiment.seeds[0]}"

    def train(
        config: Annotated[config_type, tyro.conf.arg(name="")] = experiment.config,  # pyright: ignore
        seeds: tuple[int, ...] = experiment.seeds,
        runs_dir: Path = Path("runs"),
        until_accuracy: float | None = None,
        fresh: bool = False,
    ) -> Callable[[], int]:
        """Train, or resume what was interrupted, then evaluate on the test split.

        Args:
          config: What is trained.
          seeds: Seeds to train, one after the other.
          runs_dir: Work folders are made below this one, as EXPERIMENT/seed-N.
          until_accuracy: The same as --train.until-accuracy.
          fresh: Delete what is in the work folders and start over.
        """
        if until_accuracy is not None:
            config = dataclasses.replace(config, train=dataclasses.replace(config.train, until_accuracy=until_accuracy))
        command = functools.partial(_train, experiment, config, seeds, runs_dir, fresh)
        if not config.parallel.several_hosts:
            return command
        return lambda: hosts.watched(command, join_timeout=config.parallel.join_timeout, own=own)

    variants = "".join(f"--variant {name}: {variant.summary}\n\n" for name, variant in experiment.variants.items())
    train.__doc__ = (train.__doc__ or "").replace("Args:", f"{variants}Args:", 1)

    def evaluate(
        workdir: Path = default_run,
        split: SplitName = "validation",
        data_dir: str | None = None,
        path: Annotated[str | None, tyro.conf.arg(name="data.path")] = None,
        other_data: bool = False,
        cpu_devices: int | None = None,
    ) -> Callable[[], int]:
        """Evaluate the best checkpoint of a work folder on a whole split.

        Args:
          workdir: Work folder of a run.
          split: Split to evaluate on. Choose models by validation; test is for the end.
          data_dir: TFDS data directory or folder of images; unset: as the run was told, or TFDS_DATA_DIR.
          path: Your documents, where they have moved; unset: as the run was told.
          other_data: Evaluate also on other data than those of the training, of the same kind and classes.
          cpu_devices: Devices to split the CPU into when there is no accelerator; unset: as in training.
        """
        return lambda: _evaluate(workdir, split, data_dir, path, other_data, cpu_devices)

    def predict(
        inputs: Annotated[tuple[str, ...], tyro.conf.Positional] = (),
        workdir: Path = default_run,
        text: tuple[str, ...] = (),
        json_lines: bool = False,
    ) -> Callable[[], int]:
        """Predict with the best checkpoint of a work folder.

        Args:
          inputs: Image files, folders of images, text files with a document a line, or - for lines of stdin.
          workdir: Work folder of a run.
          text: Documents given on the command line.
          json_lines: Print one JSON object an input.
        """
        return lambda: _predict(workdir, inputs, text, json_lines)

    return tyro.extras.subcommand_cli_from_dict(
        {"train": train, "evaluate": evaluate, "predict": predict},
        prog=experiment.command,
        description=f"{experiment.summary}\n\n"
        f"Target: {experiment.aim}. Cost: {experiment.cost}.\n\n"
        + f"{variants}Without a command it trains: its options are shown by train --help. {EXIT_CODES}",
        args=arguments,
        config=(tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff),
    )


def _train(experiment: Experiment, config: Config, seeds: Sequence[int], runs_dir: Path, fresh: bool) -> int:
    if not seeds or not 0 <= min(seeds) <= max(seeds) < 2**64 or len(set(seeds)) < len(seeds):
        raise UsageError(
            "--seeds needs at least one seed, none negative, none of more than 64 bits and none twice, "
            f"got {list(seeds)}"
        )
    began = time.perf_counter()
    from rnnjax import data
    from rnnjax.models.build import build_model
    from rnnjax.runs.loop import fit
    from rnnjax.runs.summary import print_start, print_summary
    from rnnjax.training import parallel
    from rnnjax.training.program import Program

    imported = time.perf_counter()
    parallel.start(batch_size=config.data.batch_size, **dataclasses.asdict(config.parallel))
    _keep_compiled(config)
    dataset = data.load(config.data)
    before = {"imports": imported - began, "data": time.perf_counter() - imported}
    program = Program(config, dataset, build_model(config.model, dataset.preprocess))
    finished = []
    for seed in seeds:
        root = runs_dir / experiment.name / f"seed-{seed}"
        done = not fresh and WorkDir(root).finished(tested=config.train.test) is not None
        if program.parallel.is_primary and not done:
            print_start(program, seed, root)
        finished.append((root, fit(experiment, program, seed, root, fresh=fresh, before=before)))
        if program.parallel.is_primary and done:
            terminal.say(f"seed {seed} is finished already in {root}; --fresh trains it again")
    if program.parallel.is_primary:
        print_summary(experiment, finished)
    return 0


def _evaluate(
    root: Path, split: str, data_dir: str | None, path: str | None, other_data: bool, cpu_devices: int | None
) -> int:
    from rnnjax import data
    from rnnjax.runs import class_report as report
    from rnnjax.runs.predict import load
    from rnnjax.training import parallel
    from rnnjax.training.program import Program

    if cpu_devices is not None and cpu_devices < 1:
        raise UsageError(f"--cpu-devices must be positive, got {cpu_devices}")
    run = WorkDir(root).read_run()
    parallel.start(cpu_devices=cpu_devices, batch_size=run.config.data.batch_size)
    _keep_compiled(run.config)
    # A batch that divides over the devices that are here now, whatever those of the training were.
    devices = parallel.DataParallel().device_count
    config = _elsewhere(run.config, data_dir, path)
    config = _with_data(config, batch_size=-(-config.data.batch_size // devices) * devices)
    loaded = load(root)
    try:
        dataset = data.load(config.data)
    except DataError as error:
        raise DataError(f"{error}; data that have moved are named by --data-dir, documents by --data.path") from error
    if dataset.preprocess != loaded.preprocess and not (other_data and _reads_alike(dataset, loaded.preprocess)):
        raise DataError(
            f"{root} was trained on other data than {dataset.name} is now: its preprocessing differs (of texts, their "
            "vocabulary); name its own by --data-dir or --data.path, or predict these"
        )
    _check_split(root, run, dataset, split, other_data)
    program = Program(config, dataclasses.replace(dataset, preprocess=loaded.preprocess), loaded.model)
    values, logits = program.evaluate_logits(loaded.variables, split)
    by_class = report.class_report(logits, getattr(dataset, split).labels, dataset.class_names)
    if split == "test":
        terminal.note("this looked at the test split; choose models by validation")
    said = {"experiment": run.experiment, "seed": run.seed, "split": split, "data": dataset.name}
    said |= {"examples": by_class["examples"], **values, **report.headline(by_class)}
    terminal.answer(json.dumps(said))
    workdir = WorkDir(root)
    try:
        report.save(by_class, workdir, split)
        terminal.tell(f"by class: {workdir.report(split)} and {workdir.confusion(split)}")
    except OSError as error:  # such as a folder that may only be read; the answer is given all the same
        terminal.note(f"no report by class was written: {error}")
    return 0


def _elsewhere(config: Config, data_dir: str | None, path: str | None) -> Config:
    """The configuration of a run with its data where they are here; what it says of a cache folder counts not here."""
    if path is not None and not hasattr(config.data, "path"):
        raise UsageError("--data.path: this experiment reads no file of documents; use --data-dir")
    moved = data_dir if path is None and hasattr(config.data, "path") else path
    changes = {"cache_dir": None} | ({"data_dir": data_dir} if data_dir else {}) | ({"path": moved} if moved else {})
    return _with_data(config, **changes)


def _with_data(config: Config, **changes: Any) -> Config:
    return dataclasses.replace(config, data=dataclasses.replace(config.data, **changes))


def _reads_alike(dataset: "Dataset", preprocess: Any) -> bool:
    """Whether stored images of another data set mean the same to a model. Word ids are of a vocabulary of their own."""
    return dataset.class_names == preprocess.class_names and getattr(dataset.preprocess, "shape", None) == getattr(
        preprocess, "shape", ()
    )


def _check_split(root: Path, run: "Run", dataset: "Dataset", split: str, other_data: bool) -> None:
    """Whether a split is what the run was trained and chosen with."""
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


def _predict(root: Path, paths: Sequence[str], texts: Sequence[str], json_lines: bool) -> int:
    from rnnjax.data import TextPreprocess
    from rnnjax.runs.predict import image_inputs, load, predict, text_inputs

    _keep_compiled(WorkDir(root).read_config()[2])
    loaded = load(root)
    if isinstance(loaded.preprocess, TextPreprocess):
        inputs = text_inputs(texts, paths, sys.stdin)
    elif texts:
        raise UsageError(f"--text: {root} holds an image classifier; give image files")
    else:
        inputs = image_inputs(loaded.preprocess, paths)
    if not inputs:
        wanted = "--text LINE, text files or -" if isinstance(loaded.preprocess, TextPreprocess) else "image files"
        raise UsageError(f"nothing to predict: give {wanted}")
    return print_predictions(predict(loaded, inputs), json_lines)


def print_predictions(answers: "Iterable[Prediction]", json_lines: bool) -> int:
    """Prints answers as they come, and on stderr why others are missing; returns the exit code."""
    failed = False
    for answer in answers:
        if answer.error is not None:
            failed = True
            terminal.tell(f"error: {answer.error}")
        elif json_lines:
            terminal.answer(
                json.dumps({"input": answer.source, "label": answer.label, "probability": answer.probability})
            )
        else:
            terminal.answer(f"{answer.label}\t{answer.probability:.1%}\t{answer.source}")
    return 1 if failed else 0


def _keep_compiled(config: Config) -> None:
    from rnnjax.data import cache
    from rnnjax.training import parallel

    parallel.keep_compiled(cache.folder(None) / "xla" if config.train.compilation_cache else None)
