"""The command line that every experiment has: train, evaluate, predict, plan, export."""

import dataclasses
import difflib
import functools
import os
import signal
import sys
import threading
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from rnnjax import terminal
from rnnjax.config.language import Dynamic, Sampling, Search
from rnnjax.errors import Interrupted, RnnjaxError, SaveError, UsageError
from rnnjax.experiment import Experiment, otherwise_tested
from rnnjax.runs import commands, environment
from rnnjax.runs.settings import with_settings
from rnnjax.training import hosts

SplitName = Literal["train", "validation", "test"]

COMMANDS = ("train", "evaluate", "predict", "plan", "export")

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
    if own and not experiment.program:
        experiment = dataclasses.replace(experiment, program=environment.program())

    return run(lambda given: parse(experiment, given, own=own), arguments)


def parse(experiment: Experiment, arguments: list[str], *, own: bool) -> Callable[[], int]:
    """From the arguments of an experiment's command line to what runs them.

    Args:
      experiment: whose command line it is.
      arguments: without the name of the program.
      own: whether they are all that this process is for.

    Raises:
      UsageError: at what is wrong in them.
    """
    variant, rest = taken(arguments, "--variant")
    if variant == "":
        raise UsageError(f"--variant needs a name: {', '.join(experiment.variants) or 'but there is none here'}")
    experiment = experiment if variant is None else experiment.variant(variant)
    rest = with_command(rest)
    if rest[0] in ("train", "plan"):
        if rest[0] == "train" and any(argument.partition("=")[0] == "--workdir" for argument in rest):
            raise UsageError("train makes its work folders itself, as RUNS/EXPERIMENT/seed-N: say --runs-dir RUNS")
        path, rest = taken(rest, "--config")
        if path == "":
            raise UsageError("--config needs a file: a run's config.json or result.json")
        experiment = experiment if path is None else with_settings(experiment, Path(path), rest)
    return _parse(experiment, rest, own)


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


def _variants(experiment: Experiment) -> str:
    """What ``--help`` says of them: a line each, or where there are many, how one is asked for."""
    if len(experiment.variants) > 2:
        return f"--variant NAME, of {', '.join(experiment.variants)}: the same in another way\n\n"
    return "".join(f"--variant {name}: {variant.summary}\n\n" for name, variant in experiment.variants.items())


def with_command(arguments: list[str], commands: Sequence[str] = COMMANDS) -> list[str]:
    """The arguments with their command, ``train`` by default; raises UsageError at an unknown one."""
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help")):
        return ["train", *arguments]
    if arguments[0] not in (*commands, "-h", "--help"):
        near = difflib.get_close_matches(arguments[0], commands, n=1)
        hint = f"did you mean {near[0]}?" if near else f"commands are {', '.join(commands)}"
        raise UsageError(f"unknown command {arguments[0]!r}; {hint}")
    return arguments


def with_plain_help(arguments: Sequence[str]) -> list[str]:
    """The arguments with ``--help`` where they ask for ``--help-all``."""
    return ["--help" if argument == "--help-all" else argument for argument in arguments]


def taken(arguments: list[str], option: str) -> tuple[str | None, list[str]]:
    """Takes an option out of the arguments that decides what the defaults of others are.

    Returns:
      Its value, empty where it has none; None where it is not given. The other arguments.
    """
    for place, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name == option:
            values = [value] if equals else arguments[place + 1 : place + 2]
            return "".join(values), arguments[:place] + arguments[place + (1 if equals else 2) :]
    return None, arguments


def _exported(experiment: Experiment, *options: Any, own: bool) -> int:
    from rnnjax.export import command  # what only this command needs, and others do not wait for

    return command.export(experiment, *options, own=own)


def _endable(command: Callable[[], int], own: bool) -> int:
    """Runs a command that saves nothing: Ctrl-C ends the process, though a compiler would be waited for."""
    if not own or threading.current_thread() is not threading.main_thread():
        return command()
    before = signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    try:
        return command()
    finally:
        signal.signal(signal.SIGINT, before)


def _parse(experiment: Experiment, arguments: list[str], own: bool) -> Callable[[], int]:
    import tyro  # an experiment's module imports this one, also where no command line is read

    from rnnjax import misspelt
    from rnnjax.options import Options

    brief = "--help" in arguments or "-h" in arguments
    offered = Options(experiment, everything=not brief)
    options_type: Any = offered.type
    defaults = options_type()
    default_run = Path("runs") / experiment.name / f"seed-{experiment.seeds[0]}"
    # What is of language models is shown where there is one, and accepted everywhere: the folder says what it holds.
    hidden: Any = tyro.conf.Suppress if brief else ()
    of_language, of_inputs = ((), hidden) if experiment.task.generates else (hidden, ())
    of_chains: Any = () if experiment.begins else tyro.conf.Suppress
    of_writing = () if experiment.task.writes else hidden

    def train(
        options: Annotated[options_type, tyro.conf.arg(name="")] = defaults,  # pyright: ignore
        seeds: tuple[int, ...] = experiment.seeds,
        runs_dir: Path = Path("runs"),
        fresh: Annotated[bool, tyro.conf.arg(help_behavior_hint="")] = False,
        config: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None,
        init_from: Annotated[tuple[str, ...], tyro.conf.arg(metavar="WORKDIR ...", help_behavior_hint="")] = (),
        init_parts: Annotated[tuple[str, ...], tyro.conf.arg(metavar="PATTERN ...", help_behavior_hint="")] = (),
        chain: Annotated[bool, of_chains, tyro.conf.arg(help_behavior_hint="")] = False,
    ) -> Callable[[], int]:
        """Train, or resume what was interrupted, then evaluate on the test split.

        Args:
          options: What is trained.
          seeds: Seeds to train, one after the other.
          runs_dir: Work folders are made in it, as EXPERIMENT/seed-N.
          fresh: Delete what is in the work folders and start over.
          config: A run's config.json or result.json: its settings are the defaults.
          init_from: Best weights of that run to start from; [MODULE=]WORKDIR[:latest].
          init_parts: Of those, only paths that have one of these regular expressions.
          chain: First train the runs that this one begins from, where they are not finished.
        """
        del config  # it was read before: the defaults above are its
        chosen = experiment.with_parts(**offered.chosen(options))
        if experiment.target and not chosen.target:
            aim = experiment.target.shown(experiment.task)
            terminal.note(f"the target, {aim}, is {otherwise_tested(experiment, chosen)}: it is left out here")
        command = functools.partial(commands.train, chosen, seeds, runs_dir, fresh, init_from, init_parts, chain)
        if not chosen.parallel.several_hosts:
            return command
        return lambda: hosts.watched(command, join_timeout=chosen.parallel.join_timeout, own=own)

    variants = _variants(experiment)
    train.__doc__ = (train.__doc__ or "").replace("Args:", f"{variants}Args:", 1)

    def evaluate(
        file: Annotated[tuple[str, ...], tyro.conf.Positional] = (),
        workdir: Path = default_run,
        split: SplitName = "validation",
        data_dir: str | None = None,
        path: Annotated[str | None, tyro.conf.arg(name="data.path")] = None,
        other_data: bool = False,
        cpu_devices: int | None = None,
        dynamic: Annotated[Dynamic, tyro.conf.arg(name="", help=""), of_language] = Dynamic(),  # noqa: B008
        search: Annotated[Search, tyro.conf.arg(name="", help=""), of_writing] = Search(),  # noqa: B008
    ) -> Callable[[], int]:
        """Evaluate the best checkpoint of a work folder on a whole split, or on new data.

        Args:
          file: New data as they are trained on, in place of a split: labelled, pairs, or a text.
          workdir: Work folder of a run.
          split: Split to evaluate on. Choose models by validation; test is for the end.
          data_dir: TFDS data directory or folder of images; unset: as the run was told, or TFDS_DATA_DIR.
          path: Your documents, where they have moved; unset: as the run was told.
          other_data: Evaluate also on other data than those of the training, of the same kind and classes.
          cpu_devices: Devices to split the CPU into when there is no accelerator; unset: as in training.
          dynamic: How a language model adapts to what it reads.
          search: How a model writes sequences.
        """
        if len(file) > 1:
            raise UsageError(f"evaluate takes one file or folder, got {len(file)}: {' '.join(file)}")
        options = (split, data_dir, path, other_data, cpu_devices, dynamic, file[0] if file else None, search)
        return lambda: commands.evaluate(experiment, workdir, *options)

    def predict(
        inputs: Annotated[tuple[str, ...], tyro.conf.Positional, of_inputs] = (),
        workdir: Path = default_run,
        text: Annotated[tuple[str, ...], of_inputs] = (),
        lines: Annotated[bool, of_inputs] = False,
        to: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint=""), of_inputs] = None,
        csv: Annotated[bool, of_inputs] = False,
        json_lines: bool = False,
        top: Annotated[int, tyro.conf.arg(metavar="K", help_behavior_hint=""), of_inputs] = 0,
        threshold: Annotated[str | None, tyro.conf.arg(metavar="P", help_behavior_hint=""), of_inputs] = None,
        search: Annotated[Search, tyro.conf.arg(name="", help=""), of_writing] = Search(),  # noqa: B008
        prompt: Annotated[str | None, tyro.conf.arg(metavar="TEXT", help_behavior_hint=""), of_language] = None,
        number: Annotated[int, of_language] = 1,
        sampling: Annotated[Sampling, tyro.conf.arg(name="", help=""), of_language] = Sampling(),  # noqa: B008
    ) -> Callable[[], int]:
        """Predict with the best checkpoint of a work folder.

        Args:
          inputs: Files as they are trained on (images, texts, tables), folders of them, or - for lines of stdin.
          workdir: Work folder of a run.
          text: Documents given on the command line.
          lines: A text file has a document a line, and is not one document.
          to: File to write the answers to, .csv or .jsonl, with all probabilities and where each input stands.
          csv: Print the same as CSV.
          json_lines: Print one JSON object an input.
          top: Only so many classes, the most probable ones; unset: all.
          threshold: Answer "unsure" below this probability; of two classes NAME=P: that one from P on, else the other.
          search: How a model writes sequences.
          prompt: A text that a language model goes on with.
          number: Texts to make of a prompt, side by side; more than one are printed when all are done.
          sampling: How a language model goes on.
        """
        if prompt is None:
            if number != 1 or sampling != Sampling():
                raise UsageError("--number, --length and how to sample are of --prompt TEXT, which is not given")
            form = {"to": to, "as_csv": csv, "json_lines": json_lines, "by_line": lines}
            asked: dict[str, Any] = {"top": top, "threshold": threshold, "search": search, **form}
            return lambda: commands.predict(experiment, workdir, inputs, text, **asked)
        if inputs or text or search != Search():
            raise UsageError("predict goes on with a --prompt, or answers inputs: give one of the two")
        return lambda: commands.generate(experiment, workdir, prompt, sampling, number=number, json_lines=json_lines)

    def plan(
        options: Annotated[options_type, tyro.conf.arg(name="")] = defaults,  # pyright: ignore
        machine: Annotated[str | None, tyro.conf.arg(name="for", metavar="MACHINE", help_behavior_hint="")] = None,
        find_batch: Annotated[bool, tyro.conf.arg(help_behavior_hint="")] = False,
        json_file: Annotated[Path | None, tyro.conf.arg(name="json", metavar="FILE", help_behavior_hint="")] = None,
        config: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None,
    ) -> Callable[[], int]:
        """Compile the training and evaluation steps for a TPU or GPU that is not here: memory, operations, loops.

        Args:
          options: What would be trained.
          machine: v5e:2x2, v5p:2x2x2 or v6e:2x2 (chips along each side), h100:8, h200:8 or h200:8x8 (hosts x GPUs).
          find_batch: Find the largest batch that fits, by at most ten compilations.
          json_file: Write what is printed there, as JSON.
          config: A run's config.json or result.json: its settings are the defaults.
        """
        del config
        chosen = experiment.with_parts(**offered.chosen(options))
        return lambda: _endable(functools.partial(commands.plan, chosen, machine, find_batch, json_file), own)

    def export(
        workdir: Path = default_run,
        to: Annotated[str | None, tyro.conf.arg(metavar="FORMAT", help_behavior_hint="")] = None,
        out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")] = None,
        batch: Annotated[int | None, tyro.conf.arg(help_behavior_hint="")] = None,
        length: Annotated[int | None, tyro.conf.arg(help_behavior_hint="")] = None,
    ) -> Callable[[], int]:
        """Write the best checkpoint of a work folder for programs without this package.

        Args:
          workdir: Work folder of a run that is finished.
          to: stablehlo (jax.export), onnx (ONNX's own recurrent operators) or safetensors (weights).
          out: Folder to make; unset: beside the work folder, as WORKDIR-FORMAT.
          batch: Rows of a call; unset: any number.
          length: Steps of a call, of a model that reads sequences of any length; unset: any number.
        """
        return lambda: _exported(experiment, workdir, to, out, batch, length, own=own)

    verbs = {"train": train, "evaluate": evaluate, "predict": predict, "plan": plan, "export": export}
    sections = offered.flags()
    known = {name: misspelt.flags_of(verb, sections, options_type) for name, verb in verbs.items()}
    misspelt.check(arguments, known, experiment.command)
    offered.check_choices(arguments, {"--split": typing.get_args(SplitName)})
    cost = f" Cost: {experiment.cost}." if experiment.cost else ""
    about = f"{experiment.summary}\n\nTarget: {experiment.aim}.{cost}\n\n{variants}"
    about += f"Without a command it trains: its options are shown by train --help. {EXIT_CODES}"
    try:
        with offered.read():
            return tyro.extras.subcommand_cli_from_dict(
                verbs,
                prog=experiment.command,
                description=about,
                args=with_plain_help(arguments),
                config=(tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff, tyro.conf.SuppressFixed),
            )
    except SystemExit as ended:
        if not ended.code and arguments[0] in ("train", "plan") and brief and offered.rare:
            try:
                terminal.answer(
                    f"{offered.rare} more options, which are rarely needed, are shown by {arguments[0]} --help-all."
                )
            except OSError:  # who read the help has seen enough
                terminal.discard(sys.stdout)
        raise
