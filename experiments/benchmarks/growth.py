"""The part ``growth``: what a training step costs as sizes, devices and processes grow, beside what is predicted."""

import dataclasses
import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from experiments.benchmarks import (
    growth_cost,
    growth_devices,
    growth_fit,
    growth_plan,
    growth_show,
    growth_task,
    harness,
    record,
    terminal,
)
from rnnjax.errors import UsageError

BATCH, QUICK_BATCH, QUICK_FEATURES = 256, 16, (4,)
ROUNDS = 3
"""How often the processes of each number of devices are started."""
HOW = (
    "Cost: loss and gradient by all parameters of stacked LSTM layers, the mean square of the last one's outputs; no "
    "optimizer. All steps run in turn, in an order shuffled every round. An exponent is the slope of a straight line "
    "through the logarithms of the medians, by least squares, with the standard error of its residuals; that of the "
    "operations is the slope of the same line through their exact counts of products over the same values, which is "
    "below 2 for H where a product with D inputs is in it.",
    "Devices: the training step of mnist_rows with its optimizer, on random images, without dropout, on the same batch "
    "however many devices share it. Devices of one process are simulated ones of the CPU; processes have one each and "
    "join by rnnjax's own coordinator. They all share the cores and the memory of one machine: neither the times nor "
    "the shares are those of a network. Every number is measured in processes of its own, in an order shuffled every "
    "round; times are process 0's. Bytes are those of the results of all collective operations of the compiled step. "
    "The share of the exchange is the median of a sum over the devices of one array of as many bytes, alone and in "
    "turn with the steps, over a step's: without the wait for slower devices, and with nothing computed meanwhile. "
    f"Losses are the means of the first {growth_devices.LOSSES} steps; where one is farther than "
    f"{growth_devices.FARTHEST:g} of it from one device's, its times are dropped.",
)


@dataclasses.dataclass(frozen=True)
class Options:
    """Measures how a training step grows: over T, B, H, D and layers, over devices, and by public rates on 256 chips.

    It fits a power law to the times over each size, runs the same step on simulated devices and several processes,
    and computes the weak scaling of a planned v5e:16x16. By default all of it runs and is written to
    experiments/results/benchmarks; with any other option than --out the result is written to runs/benchmarks.
    """

    base: str | None = None
    """Sizes around which one at a time is varied, as B,T,D,H,layers."""
    samples: int = 12
    """Samples of each; what is too slow for the time gets fewer."""
    minutes: float = 20.0
    """About how long the timing over sizes may take, compilation included."""
    out: Path | None = None
    """Result file."""
    quick: bool = False
    """Tiny sizes, few devices and few samples, to see that everything runs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return run(record.parse("growth", Options, arguments))


def run(options: Options) -> int:
    """Measures, computes, shows and writes; returns the exit code, 130 after Ctrl-C.

    Raises:
      UsageError: for malformed sizes, or a number of samples that is not positive.
    """
    base = growth_cost.Sizes.parse(options.base or (growth_cost.QUICK_BASE if options.quick else growth_cost.BASE))
    if options.samples < 1:
        raise UsageError(f"--samples must be positive, got {options.samples}")
    began, load = time.monotonic(), record.start(1)
    result: dict[str, Any] = {"part": "growth", "partial": False, "how": HOW, "samples": options.samples}
    found: dict[str, Any] = {"rows": [], "fits": [], "devices": [], "assumptions": [], "planned": []}
    console = terminal.console()
    try:
        for measured in (_costs, _devices, _planned):
            for table in measured(base, options, found):
                console.print(growth_show.on_terminal(table))
    except KeyboardInterrupt:
        result["partial"] = True
        console.print("interrupted: what follows is partial")
    result |= {"load_at_start": load, "seconds": time.monotonic() - began, **record.circumstances(), **found}
    whole = dataclasses.replace(options, out=None) == Options() and not result["partial"]
    path = record.out_path("growth", options.out, whole=whole)
    record.write(result, path)
    console.print(f"{result['seconds']:.0f} s; written: {path}", soft_wrap=True)
    return 130 if result["partial"] else 0


def _costs(base: growth_cost.Sizes, options: Options, found: dict[str, Any]) -> list[growth_show.Table]:
    """Times the steps of all sweeps against one another, and fits each."""
    sweeps = growth_cost.sweeps(base, growth_cost.QUICK_FACTORS if options.quick else growth_cost.FACTORS)
    entries = [growth_cost.entry(sizes) for sizes in dict.fromkeys(itertools.chain(*sweeps.values()))]
    samples = min(options.samples, 2) if options.quick else options.samples
    try:
        harness.measure(entries, samples=samples, seconds=60 * options.minutes)
    finally:
        found["rows"] += [entry.result() for entry in entries]
        for name, sizes in sweeps.items():
            found["fits"].append(growth_fit.of_sweep(name, growth_cost.among(found["rows"], sizes)))
    jax.clear_caches()  # what has been timed is not needed any more
    return [growth_show.costs(found["rows"]), growth_show.fits(found["fits"])]


def _devices(base: growth_cost.Sizes, options: Options, found: dict[str, Any]) -> list[growth_show.Table]:
    """Runs the step of the experiment on all numbers of devices and processes."""
    del base
    quick = growth_devices.spreads(growth_devices.QUICK_DEVICES, growth_devices.QUICK_PROCESSES)
    wanted = growth_devices.spreads(growth_devices.DEVICES, growth_devices.PROCESSES)
    growth_devices.measure(
        quick if options.quick else wanted,
        batch=QUICK_BATCH if options.quick else BATCH,
        features=QUICK_FEATURES if options.quick else growth_task.FEATURES,
        samples=min(options.samples, 2) if options.quick else options.samples,
        rounds=1 if options.quick else ROUNDS,
        rows=found["devices"],
    )
    return [growth_show.devices(found["devices"])]


def _planned(base: growth_cost.Sizes, options: Options, found: dict[str, Any]) -> list[growth_show.Table]:
    """Computes the weak scaling on the chips that are not here."""
    del base
    rows, features = (growth_plan.ROWS, growth_task.FEATURES)
    if options.quick:
        rows, features = (QUICK_BATCH,), QUICK_FEATURES
    found["planned"] += growth_plan.planned(rows, features)
    found["assumptions"] += [growth_plan.where(found["planned"]), *growth_plan.ASSUMPTIONS]
    return [growth_show.planned(found["planned"])]
