"""Whole training runs of rnnjax, Keras on JAX and PyTorch: ``python -m experiments.benchmarks.training``.

Two measurements of the same recipes on the same data. *Speed*: the peers train short segments in
turn, in an order that is shuffled every round, with one untimed chunk after each switch; medians
and quartiles of examples a second. *Time to accuracy*: every peer trains from scratch, validated at
fixed numbers of examples; the time of validations is left out for all, and so is compilation,
which is the first call of every shape less a second one.
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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import jax
import tyro

from experiments.benchmarks import record
from experiments.benchmarks.training_recipes import DIFFERENCES, TASKS, Course, Peer, recipe
from experiments.benchmarks.training_show import save_curves, show
from rnnjax.data.plan import Chunk
from rnnjax.errors import DataError, RnnjaxError, UsageError
from rnnjax.runs import environment as results
from rnnjax.training import parallel

PEERS = ("rnnjax", "keras", "torch")
DEFAULTS = (TASKS, PEERS, 5, 0, True, (0,), False)
"""The options of :func:`run` whose result is the committed one."""
GOALS = {"keras": 1.3, "torch": 1.0}
"""How many times a peer's examples a second rnnjax should reach."""

TaskName = Literal["digits_rows", "mnist_rows", "imdb_bilstm"]
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
    """Adds a sample of examples a second to every runner, round by round."""
    segments = course.segments(steps)

    def sample(runner: Runner, segment: list[Chunk]) -> None:
        assert runner.peer is not None
        runner.peer.train(segment[:1])
        runner.samples.append(sum(chunk.examples for chunk in segment) / _seconds(runner.peer, segment))
        _say(f"  {runner.name} on {runner.devices}: {runner.samples[-1]:,.0f} examples/s")

    for _ in range(rounds):
        segment, turn = next(segments), list(runners)
        order.shuffle(turn)
        for runner in turn:
            runner.attempt(lambda runner=runner, segment=segment: sample(runner, segment))


def train_to_accuracy(peer: Peer, course: Course, seed: int) -> dict[str, Any]:
    """Trains from scratch until a validation reaches the recipe's accuracy, or its epochs are over.

    Returns:
      ``seed``, ``reached``, and of the last validation ``seconds`` of training, ``examples`` and
      ``accuracy``; ``curve`` has these three of all validations.
    """
    recipe = course.recipe
    peer.reset(seed)
    peer.accuracy()  # compiles
    seconds, examples, curve = 0.0, 0, []
    piece: list[Chunk] = []
    for epoch in range(recipe.config.train.epochs):
        for chunk in course.plan(seed, epoch):
            piece.append(chunk)
            if sum(chunk.examples for chunk in piece) < recipe.interval:
                continue
            seconds += _seconds(peer, piece)
            examples += sum(chunk.examples for chunk in piece)
            piece, accuracy = [], peer.accuracy()
            curve.append({"seconds": seconds, "examples": examples, "accuracy": accuracy})
            if accuracy >= recipe.accuracy:
                return {"seed": seed, "reached": True, **curve[-1], "curve": curve}
    return {"seed": seed, "reached": False, **(curve or [{}])[-1], "curve": curve}


def measure_task(
    name: str, peers: Sequence[str], rounds: int, segment: int, seeds: Sequence[int], quick: bool, order: random.Random
) -> list[Row]:
    """The rows of one task, one a peer and number of devices."""
    chosen = recipe(name, quick)
    try:
        course = Course(chosen)
    except DataError as error:
        return [{"task": name, "peer": None, "not_prepared": str(error)}]
    runners = _runners(peers)
    segment = segment or chosen.segment
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
            _say(f"{name}: {runner.name} to {chosen.accuracy:.0%}, seed {seed}")
            runner.attempt(
                lambda r=runner, s=seed: r.runs.append(train_to_accuracy(r.peer, course, s))  # pyright: ignore
            )
    steps = sum(chunk.steps for chunk in first)
    return [_row(name, chosen.accuracy, steps, runner) for runner in runners]


def _runners(peers: Sequence[str]) -> list[Runner]:
    count = min(2, jax.local_device_count()) if jax.default_backend() == "cpu" else jax.local_device_count()
    counts = {"rnnjax": dict.fromkeys((count, 1))}
    return [Runner(name, devices) for name in peers for devices in counts.get(name, [1])]


def _row(task: str, goal: float, steps: int, runner: Runner) -> Row:
    reached = [run for run in runner.runs if run["reached"]]
    whole = len(reached) == len(runner.runs) > 0

    def middle(name: str) -> float | None:
        return statistics.median(run[name] for run in reached) if whole else None

    return {
        "task": task,
        "peer": runner.name,
        "devices": runner.devices,
        "failed": runner.failed,
        "examples_per_second": _quartiles(runner.samples),
        "samples": runner.samples,
        "steps_per_segment": steps,
        "ways": runner.ways,
        "compile_seconds": runner.compile_seconds,
        "accuracy_goal": goal,
        "accuracy": statistics.median(run["accuracy"] for run in runner.runs) if runner.runs else None,
        "seconds_to_accuracy": middle("seconds"),
        "examples_to_accuracy": middle("examples"),
        "to_accuracy": runner.runs,
    }


def goals(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """What the table asks for, task by task and as a geometric mean over the tasks; None where nothing was measured.

    Of rnnjax, the row with most devices counts: that is what a user gets.
    """
    speeds: dict[str, dict[str, float | None]] = {}
    for row in sorted((row for row in rows if row["peer"]), key=lambda row: row["devices"]):
        found = row["examples_per_second"]
        speeds.setdefault(row["task"], {})[row["peer"]] = found["median"] if found else None
    out = []
    for peer, goal in GOALS.items():
        ratios = []
        for task, by_peer in speeds.items():
            ours, theirs = by_peer.get("rnnjax"), by_peer.get(peer)
            if "rnnjax" in by_peer and peer in by_peer:
                ratios.append(ours / theirs if ours and theirs else None)
                out.append(_goal(f"{task}: examples/s, rnnjax / {peer}", goal, ratios[-1]))
        if len(ratios) > 1:
            mean = None if None in ratios else statistics.geometric_mean([ratio for ratio in ratios if ratio])
            out.append(_goal(f"geometric mean of {len(ratios)} tasks: examples/s, rnnjax / {peer}", goal, mean))
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


class Neighbours:
    """What other processes take of the CPU, from Linux' counters; a benchmark beside others misleads.

    Threads that wait for one another by spinning, as PyTorch's do, lose far more than that share.
    """

    def __init__(self):
        self._before = self._counters()

    @staticmethod
    def _counters() -> tuple[float, float] | None:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            user, nice, system = Path("/proc/stat").read_text(encoding="ascii").split()[1:4]
            ours = os.times()
            return (int(user) + int(nice) + int(system)) / os.sysconf("SC_CLK_TCK"), ours.user + ours.system
        return None

    def cores(self, seconds: float) -> float | None:
        """Cores that others kept busy on average over the ``seconds`` since this was made; None if unknown."""
        after = self._counters()
        if after is None or self._before is None or seconds <= 0:
            return None
        every, ours = (now - before for now, before in zip(after, self._before, strict=True))
        return max(0.0, every - ours) / seconds


def _environment() -> dict[str, Any]:
    found = results.environment()
    packages = {name: _version(name) for name in ("keras", "torch")}
    return found | {
        "versions": found["versions"] | packages,
        "device": parallel.DataParallel().describe(),
        "threads": os.cpu_count(),
        "malloc": record.allocator(),
        "finished": results.now(),
    }


def _version(package: str) -> str | None:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    return None


def run(
    tasks: tuple[TaskName, ...] = TASKS,
    peers: tuple[PeerName, ...] = PEERS,
    rounds: int = 5,
    segment: int = 0,
    time_to_accuracy: bool = True,
    seeds: tuple[int, ...] = (0,),
    quick: bool = False,
    out: Path | None = None,
) -> int:
    """Compare whole training runs of rnnjax, Keras on JAX and PyTorch.

    Args:
      tasks: What is trained.
      peers: Who trains.
      rounds: Samples of each peer's speed.
      segment: Steps in a sample, of every padded length; 0 takes each task's own.
      time_to_accuracy: Train every peer from scratch to each task's accuracy.
      seeds: Seeds of the runs to an accuracy.
      quick: A tiny model on the digits, to see that everything works.
      out: Result file; the plot lies beside it. By default a whole run of these defaults is written to
        experiments/results/benchmarks, and any other to runs/benchmarks.
    """
    options = (tasks, peers, rounds, segment, time_to_accuracy, seeds, quick)
    if rounds < 1 or segment < 0:
        raise UsageError(f"--rounds must be positive and --segment 0 or more, got {rounds} and {segment}")
    jax.config.update("jax_enable_compilation_cache", False)  # compile time is measured
    if quick and tasks == TASKS:
        tasks = ("digits_rows",)
    order = random.Random(0)
    rows: list[Row] = []
    neighbours, start = Neighbours(), time.perf_counter()
    for task in tasks:
        rows += measure_task(task, peers, rounds, segment, seeds if time_to_accuracy else (), quick, order)
    result = {"part": "training", "quick": quick, "rows": rows, "goals": goals(rows), "differences": DIFFERENCES}
    result |= _environment() | {"cores_of_others": neighbours.cores(time.perf_counter() - start)}
    failed = any(row.get("failed") or row.get("not_prepared") for row in rows)
    out = record.out_path("training", out, whole=options == DEFAULTS and not failed)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    save_curves(rows, out.with_suffix(".png"))
    show(result)
    print(f"all samples: {out}")
    return int(failed)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns 0, 1 if a peer failed or data are missing, 2 for wrong usage."""
    try:
        parallel.start(cpu_devices=2)  # one a core: what the experiments take
        return tyro.cli(run, args=arguments, prog="python -m experiments.benchmarks training")
    except RnnjaxError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
