"""Part 7: a fused training step under ``jax.profiler``, and what its trace says of kernels and gaps."""

import gzip
import json
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax

from experiments.accelerator import layers
from experiments.accelerator.context import Context
from experiments.accelerator.programs import compile_all
from experiments.benchmarks.task import Shape, Task
from rnnjax.errors import RunError
from rnnjax.training.profile import Profile

SHAPE, TOY = Shape(256, 400, 128, 128), Shape(4, 6, 3, 4)
MOST_CALLS = 8
MOST_NAMES = 40
"""Kernels that are listed; the others are counted together."""
LETTERS = 100


def run(context: Context) -> None:
    """Fills ``kernels`` and ``streams`` from a trace of a few calls of the same program."""
    task = Task("lstm", "plain", "train", TOY if context.dry else SHAPE)
    program = layers.program(task, "rnnjax fused")
    compile_all([program], context)
    if obstacle := program.obstacle():
        raise RunError(obstacle)
    arguments = jax.device_put((program.params, task.inputs, task.labels))
    jax.block_until_ready(program.executable(*arguments))
    said: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        profile = Profile(Path(folder), said.append)
        for step in range(MOST_CALLS):
            profile.before(step, compiled=True)
            result = jax.block_until_ready(program.executable(*arguments))
            if profile.after(1, result):
                break
        profile.end()
        traces = sorted(Path(folder).glob("plugins/profile/*/*.trace.json.gz"))
        if not traces:
            raise RunError("; ".join(said) or "the profiler wrote no trace")
        events = json.loads(gzip.decompress(traces[-1].read_bytes()))["traceEvents"]
    context.result |= {"shape": str(task.shape), "calls": MOST_CALLS, **summary(events)}
    context.say(f"  {context.result['said']}")


def summary(events: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """What a trace says of the devices.

    Args:
      events: ``traceEvents`` of Chrome's trace format: times in microseconds, names of processes and threads as
        events of phase ``M``.

    Returns:
      ``streams``, one a stream of a device: how long it worked, what share of the time from its first event to its last
      it did not, and the gaps. ``kernels`` by name: how often, their total and their mean. ``said``, a line.
    """
    events = list(events)
    streams = _streams(events)
    by_stream, by_name = defaultdict(list), defaultdict(list)
    for event in events:
        stream = streams.get((event.get("pid"), event.get("tid")))
        if event.get("ph") == "X" and stream is not None:
            by_stream[stream].append((event["ts"], event["ts"] + event.get("dur", 0)))
            by_name[event["name"][:LETTERS]].append(event.get("dur", 0))
    rows = [{"name": name, **_of_times(times)} for name, times in by_name.items()]
    rows.sort(key=lambda row: -row["total_us"])
    described = [{"stream": stream, **gaps(spans)} for stream, spans in sorted(by_stream.items())]
    rest = rows[MOST_NAMES:]
    others = {"other_kernels": len(rest), "other_total_us": sum(row["total_us"] for row in rest)}
    said = "no device events in the trace" if not rows else f"{len(rows)} kernels, the longest {rows[0]['name']}"
    return {"said": said, "streams": described, "kernels": rows[:MOST_NAMES], **others}


def _streams(events: Iterable[dict[str, Any]]) -> dict[tuple[Any, Any], str]:
    """Names of the threads on which a device's own work lies, by process and thread.

    Of a GPU they are its streams; elsewhere the line of operations, since other lines show the same once more.
    """
    processes, threads = {}, {}
    for event in events:
        if event.get("ph") == "M" and event.get("name") == "process_name":
            processes[event["pid"]] = event["args"]["name"]
        elif event.get("ph") == "M" and event.get("name") == "thread_name":
            threads[event["pid"], event["tid"]] = event["args"]["name"]
    names = {
        key: f"{processes[key[0]]} {name}"
        for key, name in threads.items()
        if str(processes.get(key[0], "")).startswith("/device:")
    }
    own = {key: name for key, name in names.items() if threads[key].startswith("Stream")}
    return own or {key: name for key, name in names.items() if threads[key] == "XLA Ops"} or names


def gaps(spans: Iterable[tuple[float, float]]) -> dict[str, float]:
    """What lies between the events of a stream, given as begin and end in microseconds.

    Returns:
      ``busy_us`` and ``span_us``, ``idle_share``, and of the gaps their number, median and largest.
    """
    ordered, busy, found = sorted(spans), 0.0, []
    end = ordered[0][0]
    for begin, until in ordered:
        if begin > end:
            found.append(begin - end)
        busy += max(0.0, until - max(begin, end))
        end = max(end, until)
    span = end - ordered[0][0]
    return {
        "events": len(ordered),
        "busy_us": busy,
        "span_us": span,
        "idle_share": 1 - busy / span if span else 0.0,
        "gaps": len(found),
        "median_gap_us": statistics.median(found) if found else 0.0,
        "largest_gap_us": max(found, default=0.0),
    }


def _of_times(times: list[float]) -> dict[str, float]:
    return {"count": len(times), "total_us": sum(times), "mean_us": sum(times) / len(times)}
