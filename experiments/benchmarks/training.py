"""Whole training runs of rnnjax, Keras on JAX and PyTorch: ``python -m experiments.benchmarks.training``.

Two measurements of the same recipes on the same data. *Speed*: the peers train short segments in
turn, in an order that is shuffled every round, with one untimed chunk after each switch; medians
and quartiles of examples, tokens or windows a second. *Time to a quality*: every peer trains from
scratch, validated at fixed numbers of examples and at an epoch's end; the time of validations is
left out for all, and so is compilation, which is the first call of every shape less a second one.
"""

import contextlib
import importlib
import importlib.metadata
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import jax
import tyro

from experiments.benchmarks import record, training_rows
from experiments.benchmarks.neighbours import Neighbours
from experiments.benchmarks.training_course import Course, Peer
from experiments.benchmarks.training_show import save_curves, show
from experiments.benchmarks.training_tasks import TASKS, make
from experiments.benchmarks.training_tasks.part import Part
from rnnjax.data.plan import Chunk
from rnnjax.errors import DataError, RnnjaxError, UsageError
from rnnjax.runs import environment as results
from rnnjax.training import parallel

PEERS = ("rnnjax", "keras", "torch")
QUICK = ("digits_rows", "shakespeare_chars", "addition", "ett_forecast")
"""The tasks that need no file where they are made small."""
DEFAULTS = (tuple(TASKS), PEERS, 5, 0, True, (0, 1, 2), False)
"""The options of :func:`run` whose result is the committed one."""
GOALS = {"keras": 1.6, "torch": 1.3}
"""How many times a peer's speed rnnjax should reach."""
DIFFERENCES = (
    "All peers start from the same weights (rnnjax's, converted) and see the same batches in the same order; what "
    "dropout drops differs.",
    "From the experiments: a constant learning rate and no average of the parameters.",
    "rnnjax gathers and pads its batches on the device, inside the compiled step; Keras and PyTorch get them from "
    "arrays in memory.",
    "Keras trains by model.fit over the rows of consecutive batches of one length, PyTorch by the ordinary loop with "
    "fused AdamW.",
    "PyTorch's LSTM and GRU and Keras's GRU have two biases that add up, and each takes the step that the others' one "
    "bias takes.",
    "rnnjax sums up training metrics and the gradient's norm too; Keras and PyTorch the loss alone.",
)
"""In what all runs differ from the experiments and from one another; a task's own are :attr:`Part.differences`."""

TaskName = Literal["digits_rows", "mnist_rows", "imdb_bilstm", "shakespeare_chars", "addition", "ett_forecast"]
PeerName = Literal["rnnjax", "keras", "torch"]
Row = dict[str, Any]


@dataclass
class Runner:
    """A peer on a number of devices, and what was measured of it."""

    name: str
    devices: int
    peer: Peer | None = None
    failed: str | None = None
    compile_seconds: float = 0.0
    ways: dict[str, float] = field(default_factory=dict)
    samples: list[float] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)

    def attempt(self, do: Callable[[], Any]) -> None:
        """Does it; what fails is kept as this peer's failure, and the others go on."""
        if self.failed is not None:
            return
        try:
            do()
        except Exception as error:
            first = (str(error).splitlines() or [""])[0]
            self.failed, self.peer = f"{type(error).__name__}: {first}", None


def make_peer(name: str, course: Course, devices: int) -> Peer:
    """A peer for a course; the frameworks are imported only here."""
    module = importlib.import_module(f"experiments.benchmarks.training_{name}")
    if name == "keras":
        return module.KerasPeer(course)
    if name == "torch":
        return module.TorchPeer(course)
    every = jax.local_devices()
    return module.RnnjaxPeer(course, None if devices == len(every) else every[:devices])


def warm_up(runner: Runner, segment: Sequence[Chunk]) -> None:
    """Compiles: trains a chunk of every padded length twice; the difference is the time of compilation."""
    assert runner.peer is not None
    longest = max(segment, key=lambda chunk: chunk.length or 0)
    runner.ways = runner.peer.settle([replace(longest, rows=longest.rows[:1], mask=longest.mask[:1])])
    for chunk in {chunk.length: chunk for chunk in segment}.values():
        first, second = (_seconds(runner.peer, [chunk]) for _ in range(2))
        runner.compile_seconds += max(0.0, first - second)
        _say(f"  {runner.name} on {runner.devices}: {first:.1f} s, then {second:.1f} s for {chunk.examples} examples")


def measure_speed(runners: Sequence[Runner], course: Course, rounds: int, steps: int, order: random.Random) -> None:
    """Adds a sample of units a second to every runner, round by round."""
    segments, part = course.segments(steps), course.part

    def sample(runner: Runner, segment: list[Chunk]) -> None:
        assert runner.peer is not None
        runner.peer.train(segment[:1])
        units = part.units_per_example * sum(chunk.examples for chunk in segment)
        runner.samples.append(units / _seconds(runner.peer, segment))
        _say(f"  {runner.name} on {runner.devices}: {runner.samples[-1]:,.0f} {part.unit}/s")

    for _ in range(rounds):
        segment, turn = next(segments), list(runners)
        order.shuffle(turn)
        for runner in turn:
            runner.attempt(lambda runner=runner, segment=segment: sample(runner, segment))


def train_to_goal(peer: Peer, course: Course, seed: int) -> dict[str, Any]:
    """Trains from scratch until a validation reaches the part's goal, or its epochs are over.

    Returns:
      ``seed``, ``reached``, and of the last validation ``seconds`` of training, ``units`` and ``quality``; ``curve``
      has these three of all validations.
    """
    part, seconds, units, curve = course.part, 0.0, 0, []
    peer.reset(seed)
    peer.quality()  # compiles
    for epoch in range(part.experiment.train.epochs):
        peer.begin()
        for piece in pieces(course.plan(seed, epoch), part.interval):
            seconds += _seconds(peer, piece)
            units += part.units_per_example * sum(chunk.examples for chunk in piece)
            quality = peer.quality()
            curve.append({"seconds": seconds, "units": units, "quality": quality})
            if part.metric.reaches(quality, part.goal):
                return {"seed": seed, "reached": True, **curve[-1], "curve": curve}
    return {"seed": seed, "reached": False, **(curve or [{}])[-1], "curve": curve}


def pieces(chunks: Sequence[Chunk], interval: int) -> Iterator[list[Chunk]]:
    """An epoch's chunks in pieces of so many examples or just above; what is left at its end is the last."""
    piece: list[Chunk] = []
    for chunk in chunks:
        piece.append(chunk)
        if sum(chunk.examples for chunk in piece) >= interval:
            yield piece
            piece = []
    if piece:
        yield piece


def measure_task(
    name: str,
    peers: Sequence[str],
    rounds: int,
    segment: int,
    seeds: Sequence[int],
    quick: bool,
    folder: str,
    order: random.Random,
) -> list[Row]:
    """The rows of one task, one a peer and number of devices."""
    try:
        course = Course(make(name, quick, folder))
    except DataError as error:
        return [{"task": name, "peer": None, "not_prepared": str(error)}]
    runners, part = _runners(peers), course.part
    segment = segment or part.segment
    first = next(course.segments(segment))
    for runner in runners:
        _say(f"{name}: {runner.name} on {runner.devices} device(s) compiles")
        runner.attempt(lambda r=runner: setattr(r, "peer", make_peer(r.name, course, r.devices)))
        runner.attempt(lambda r=runner: warm_up(r, first))
    _say(f"{name}: speed, {rounds} rounds")
    measure_speed(runners, course, rounds, segment, order)
    # Of rnnjax, what a user gets: all devices.
    racing = [runner for runner in runners if runner is runners[0] or runner.name != runners[0].name]
    for seed in seeds:
        order.shuffle(racing)
        for runner in racing:
            _say(f"{name}: {runner.name} to {part.metric.name} {part.metric.show(part.goal)}, seed {seed}")
            runner.attempt(
                lambda r=runner, s=seed: r.runs.append(train_to_goal(r.peer, course, s))  # pyright: ignore
            )
    steps = sum(chunk.steps for chunk in first)
    return [_row(course.part, steps, runner) for runner in runners]


def _runners(peers: Sequence[str]) -> list[Runner]:
    count = min(2, jax.local_device_count()) if jax.default_backend() == "cpu" else jax.local_device_count()
    counts = {"rnnjax": dict.fromkeys((count, 1))}
    return [Runner(name, devices) for name in peers for devices in counts.get(name, [1])]


def _row(part: Part, steps: int, runner: Runner) -> Row:
    reached = [run for run in runner.runs if run["reached"]]
    whole = len(reached) == len(runner.runs) > 0

    def middle(name: str) -> float | None:
        return statistics.median(run[name] for run in reached) if whole else None

    return {
        "task": part.experiment.name,
        "peer": runner.name,
        "devices": runner.devices,
        "failed": runner.failed,
        "unit": part.unit,
        "speed": _quartiles(runner.samples),
        "samples": runner.samples,
        "steps_per_segment": steps,
        "ways": runner.ways,
        "compile_seconds": runner.compile_seconds,
        "metric": part.metric._asdict(),
        "goal": part.goal,
        "quality": statistics.median(run["quality"] for run in runner.runs) if runner.runs else None,
        "seconds_to_goal": middle("seconds"),
        "units_to_goal": middle("units"),
        "runs": runner.runs,
    }


def goals(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """What the table asks for, task by task and as a geometric mean over the tasks; None where nothing was measured.

    Of rnnjax, the row with most devices counts: that is what a user gets.
    """
    speeds: dict[tuple[str, str], dict[str, float | None]] = {}
    for row in sorted((training_rows.read(row) for row in rows if row["peer"]), key=lambda row: row["devices"]):
        found = row["speed"]
        speeds.setdefault((row["task"], row["unit"]), {})[row["peer"]] = found["median"] if found else None
    out = []
    for peer, goal in GOALS.items():
        ratios = []
        for (task, unit), by_peer in speeds.items():
            ours, theirs = by_peer.get("rnnjax"), by_peer.get(peer)
            if "rnnjax" in by_peer and peer in by_peer:
                ratios.append(ours / theirs if ours and theirs else None)
                out.append(_goal(f"{task}: {unit}/s, rnnjax / {peer}", goal, ratios[-1]))
        if len(ratios) > 1:
            mean = None if None in ratios else statistics.geometric_mean([ratio for ratio in ratios if ratio])
            out.append(_goal(f"geometric mean of {len(ratios)} tasks: speed, rnnjax / {peer}", goal, mean))
    return out


def _goal(what: str, goal: float, measured: float | None) -> dict[str, Any]:
    return {"what": what, "goal": goal, "measured": measured, "reached": measured is not None and measured >= goal}


def _quartiles(samples: Sequence[float]) -> dict[str, float] | None:
    if not samples:
        return None
    low, middle, high = statistics.quantiles(samples, method="inclusive") if len(samples) > 1 else [*samples] * 3
    return {"median": middle, "q1": low, "q3": high}


def _seconds(peer: Peer, chunks: list[Chunk]) -> float:
    start = time.perf_counter()
    peer.train(chunks)
    return time.perf_counter() - start


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def _environment() -> dict[str, Any]:
    found = results.environment()
    packages = {name: _version(name) for name in ("keras", "torch")}
    return found | {
        "versions": found["versions"] | packages,
        "device": parallel.DataParallel().describe(),
        "threads": os.cpu_count(),
        "finished": results.now(),
    }


def _version(package: str) -> str | None:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    return None


def run(
    tasks: tuple[TaskName, ...] = tuple(TASKS),  # pyright: ignore[reportArgumentType]
    peers: tuple[PeerName, ...] = PEERS,
    rounds: int = 5,
    segment: int = 0,
    time_to_goal: bool = True,
    seeds: tuple[int, ...] = (0, 1, 2),
    folder: str = "",
    quick: bool = False,
    out: Path | None = None,
) -> int:
    """Compare whole training runs of rnnjax, Keras on JAX and PyTorch.

    Args:
      tasks: What is trained.
      peers: Who trains.
      rounds: Samples of each peer's speed.
      segment: Steps in a sample, of every padded length; 0 takes each task's own.
      time_to_goal: Train every peer from scratch to each task's quality.
      seeds: Seeds of the runs to a quality.
      folder: Where tinyshakespeare.txt and ETTh1.csv lie; of the text TFDS's is taken where there is none.
      quick: Tiny models, and of the text and the series made-up ones; by default without the tasks that need TFDS.
      out: Result file; the plot lies beside it. By default a whole run of these defaults is written to
        experiments/results/benchmarks, and any other to runs/benchmarks.
    """
    options = (tasks, peers, rounds, segment, time_to_goal, seeds, quick)
    if rounds < 1 or segment < 0 or min(seeds, default=0) < 0:
        raise UsageError("--rounds must be positive, and --segment and --seeds 0 or more")
    if not (tasks and peers and seeds):
        raise UsageError("--tasks, --peers and --seeds must name at least one each")
    record.check_out(out)
    jax.config.update("jax_enable_compilation_cache", False)  # compile time is measured
    if quick and tasks == DEFAULTS[0]:
        tasks = QUICK
    order = random.Random(0)
    rows: list[Row] = []
    neighbours, partial = Neighbours(), False
    try:
        for task in tasks:
            rows += measure_task(task, peers, rounds, segment, seeds if time_to_goal else (), quick, folder, order)
    except KeyboardInterrupt:
        partial = True
        _say("interrupted: the tasks before this one are written")
    differences = [*DIFFERENCES, *dict.fromkeys(said for task in tasks for said in make(task, quick).differences)]
    result = {"part": "training", "partial": partial, "quick": quick, "rows": rows, "goals": goals(rows)}
    result |= {"differences": differences} | _environment()
    result |= {"cores_of_others": neighbours.cores()}
    failed = any(row.get("failed") or row.get("not_prepared") for row in rows)
    out = record.out_path("training", out, whole=options == DEFAULTS and not failed and not partial)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    save_curves(rows, out.with_suffix(".png"))
    show(result)
    print(f"all samples: {out}")
    return 130 if partial else int(failed)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns 0, 1 if a peer failed or data are missing, 2 for wrong usage, 130 after Ctrl-C."""
    try:
        parallel.start(cpu_devices=2)  # one a core: what the experiments take
        return tyro.cli(run, args=arguments, prog="python -m experiments.benchmarks training")
    except RnnjaxError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
