"""The command line: ``python -m experiments.accelerator``.

Nothing here imports JAX before it is known what is to be done.
"""

import argparse
import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.accelerator import parts
from rnnjax.errors import Interrupted, RnnjaxError, UsageError

BEGAN = time.monotonic()
ABOUT = """\
What is measured and trained on whatever accelerator is here, part by part, within --minutes: numbers against float64,
times of layers beside other libraries', runs of experiments. A part is begun if it fits into what is left by its
estimate, and its file is written as it ends. --prepare FOLDER writes the data to take along; there, --data names them.
"""


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(
        prog="python -m experiments.accelerator",
        description=ABOUT,
        epilog=parts.listed(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--minutes", type=float, default=9.0, help="about how long it may take (default: 9)")
    made.add_argument("--parts", metavar="2,5", help="only these parts, by their numbers")
    made.add_argument("--skip-done", type=Path, metavar="FOLDER", help="leave out parts that have their files there")
    made.add_argument(
        "--data", type=Path, metavar="FOLDER", help="what --prepare wrote (--dry: is it whole?); unset: TFDS"
    )
    made.add_argument("--out", type=Path, metavar="FOLDER", help="results; a folder a device is made in it")
    made.add_argument(
        "--dry", action="store_true", help="a rehearsal on the CPU at toy size, whose files are no results"
    )
    made.add_argument(
        "--prepare", type=Path, metavar="FOLDER", help="write the data into that folder, and nothing else"
    )
    made.add_argument(
        "--with", dest="extras", action="append", default=[], metavar="cifar10", help="with --prepare: also CIFAR-10"
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code: 0, 1 if a part failed, 2 for wrong usage, 130 after Ctrl-C."""
    options = parser().parse_args(arguments)
    try:
        if options.prepare is not None:
            from experiments.accelerator.prepare import prepare

            return prepare(options.prepare, options.extras)
        if options.extras:
            raise UsageError("--with is of --prepare FOLDER, which is not given")
        return _measure(options)
    except (Interrupted, KeyboardInterrupt, Stopped) as stopped:
        print("stopped; what was measured is in the files of the parts", file=sys.stderr)
        return getattr(stopped, "exit_code", 130)
    except RnnjaxError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:  # a full disk, a folder that may not be written
        print(f"error: {error}", file=sys.stderr)
        return 1


def _measure(options: Any) -> int:
    wanted = parts.chosen(options.parts)
    with contextlib.ExitStack() as held:
        call = _call(options, held)
        failed, later = call.run(wanted)
        if failed:
            call.say(f"not done: {', '.join(failed)}")
        if later:
            call.say(f"left: {', '.join(part.name for part in later)}; go on by\n  {call.how_to_go_on(later)}")
        call.say(f"{60 * call.minutes - call.left():.0f} s; files in {call.folder}")
    return int(bool(failed))


class Stopped(BaseException):
    """SIGTERM came. No KeyboardInterrupt: of one that comes during an import, Python dies at its end, though caught."""


def _stop(number: int, frame: Any) -> None:
    """As by Ctrl-C: the file of the part at work is written."""
    raise Stopped


def _again(unraisable: Any) -> None:
    """Stops a moment later what was to stop inside a callback, such as JAX's of the garbage collector: Python goes on
    after an error there.
    """
    if issubclass(unraisable.exc_type, Stopped):
        signal.setitimer(signal.ITIMER_REAL, 0.05)
    else:
        sys.__unraisablehook__(unraisable)


def _check_accelerator() -> None:
    """Raises UsageError where JAX finds none; before anything else is said."""
    import jax

    try:
        platform = jax.default_backend()
    except RuntimeError as error:
        raise UsageError(f"JAX finds no device: {str(error).splitlines()[0]}") from error
    if platform == "cpu":
        raise UsageError(
            "JAX finds no accelerator here; run it where there is one, or --dry for a rehearsal on the CPU"
        )


def _call(options: Any, held: contextlib.ExitStack) -> Any:
    """What is asked for, on the device that is here.

    Raises:
      UsageError: where there is no accelerator and no rehearsal is asked for, or an option cannot be right.
    """
    import jax

    if options.dry:
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_disable_most_optimizations", True)  # its times mean nothing, and compiling takes most
    from experiments.accelerator import made_up, plan, prepare, written
    from experiments.benchmarks import record

    if not options.dry:
        _check_accelerator()
    load = record.start(1)
    if options.data is not None and not options.data.is_dir():
        raise UsageError(f"--data {options.data}: no such folder; write it by --prepare FOLDER")
    data = options.data
    if options.dry:
        if options.data is not None:
            prepare.check(options.data)
        data = Path(held.enter_context(tempfile.TemporaryDirectory()))
        made_up.write(data)
    return plan.Call(
        minutes=options.minutes,
        device=record.device_name(),
        out=options.out or (written.REHEARSED if options.dry else written.COMMITTED),
        done=options.skip_done,
        data=data,
        dry=options.dry,
        circumstances=lambda: record.circumstances() | {"source": written.source(), "load_at_start": load},
        began=BEGAN,
    )


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)  # so a lent machine is taken back
    signal.signal(signal.SIGALRM, _stop)
    sys.unraisablehook = _again
    sys.exit(main())
