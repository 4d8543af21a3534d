"""How a step would grow over the chips of a machine that is not here: a model of public rates, and no forecast."""

from collections.abc import Sequence
from typing import Any

from experiments.benchmarks import growth_task
from rnnjax.ahead import floors, machines, memory, report, steps
from rnnjax.ahead.operations import operations
from rnnjax.training.runner import Runner

MACHINE = "v5e:16x16"
CHIPS = (4, 16, 64, 256)
ROWS = (16, 64, 256)
"""Rows of a batch on each chip."""
ICI, PORTS = 400e9, 4
"""Bytes/s between a chip and its neighbours, both directions of all its ports together."""
SOURCE = "https://docs.cloud.google.com/tpu/docs/v5e (400 GB/s both ways for each chip, four ports)"
HOP = 1e-6
"""Seconds of a hop between neighbours beside what the bytes take: a round number of ours."""
ASSUMPTIONS = (
    "Every chip has as many rows however many chips there are, so that without an exchange a step takes as long on "
    "all of them as on one.",
    "One chip's time is the higher one of the floors that `plan` computes, of its products at the chip's peak rate and "
    "of its memory traffic at full bandwidth. No step reaches it, least of all one of many short steps over time; "
    "of a longer step the exchange is a smaller part.",
    "The exchange sums the bytes that the compiled step exchanges in one ring of all chips: each sends 2 (n - 1) / n "
    "of them, half of it each way round, by two of its four ports at once.",
    f"Each port carries {ICI / PORTS / 2 / 1e9:g} GB/s each way: {SOURCE}.",
    "Nothing of the exchange is done while a chip computes, and all chips begin it at the same time.",
    f"The last column adds {1e6 * HOP:g} us for each of the ring's 2 (n - 1) hops, a round number that is not "
    "published; rings along both sides of the grid have fewer hops.",
)


def ring_bytes(size: int, chips: int) -> float:
    """What each chip sends when an array of ``size`` bytes is summed in a ring: reduce-scatter, then all-gather."""
    return 2 * (chips - 1) / chips * size


def ring_seconds(size: int, chips: int, hop: float = 0.0) -> float:
    """Seconds of such a sum, half of it each way round, with ``hop`` seconds beside for each of its hops."""
    each_way = ICI / PORTS / 2
    return ring_bytes(size, chips) / (2 * each_way) + 2 * (chips - 1) * hop


def efficiency(floor: float, exchange: float) -> float:
    """A step's time on one chip over that on many, where the exchange follows the work."""
    return floor / (floor + exchange)


def planned(rows: Sequence[int], features: tuple[int, ...]) -> list[dict[str, Any]]:
    """A row for each number of rows on a chip and of chips."""
    found = []
    for number in rows:
        step = _step(number, features)
        floor = max(step["arithmetic"], step["memory"])
        for chips in CHIPS:
            size = step["exchanged"]
            seconds, slower = ring_seconds(size, chips), ring_seconds(size, chips, HOP)
            by = {"exchange": seconds, "efficiency": efficiency(floor, seconds)}
            by |= {"efficiency_with_hops": efficiency(floor, slower)}
            found.append({"rows": number, "chips": chips, "floor": floor, **step, **by})
    return found


def _step(rows: int, features: tuple[int, ...]) -> dict[str, Any]:
    """The floors of a step with so many rows on each chip, and what the chips exchange in one."""
    machine = machines.machine(MACHINE)
    if machines.obstacle(machine.chip["platform"]) is None:
        return _compiled_for(machine, rows, features)
    return _compiled_here(machine, rows, features)


def _compiled_for(machine: machines.Machine, rows: int, features: tuple[int, ...]) -> dict[str, Any]:
    """As ``plan`` says it."""
    made = growth_task.experiment(rows * machine.count, features)
    step = report.plan(made, growth_task.dataset(rows * machine.count), machine)["steps"]["train"]
    found = {name: step["floors"][name] for name in ("arithmetic", "memory")}
    return {
        "compiled_for": machine.name,
        "operations": step["operations"],
        "exchanged": step["exchanged"]["bytes"],
        **found,
    }


def _compiled_here(machine: machines.Machine, rows: int, features: tuple[int, ...]) -> dict[str, Any]:
    """The same floors of a step that is compiled for one device of this machine; it exchanges its gradients."""
    import jax

    made = growth_task.experiment(rows, features)
    program = Runner(made, growth_task.dataset(rows), jax.local_devices()[:1])
    (step,) = steps.compiled(program, ("train",))
    counted, kept = (
        operations(step.function, *step.shapes, platform=machine.chip["platform"]),
        memory.of(step, machine.chip),
    )
    assert kept is not None
    lowest = floors.of(step, counted, kept, machine.chip)
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(program.variables["params"]))
    found = {"operations": lowest.operations, "exchanged": size}
    return {"compiled_for": jax.default_backend(), **found, "arithmetic": lowest.arithmetic, "memory": lowest.memory}


def where(rows: Sequence[dict[str, Any]]) -> str:
    """For what the steps were compiled, in a sentence."""
    here = [row["compiled_for"] for row in rows if row["compiled_for"] != MACHINE]
    if here:
        return (
            f"Without libtpu here, the floors are those of the step as it is compiled for one {here[0]} device of this "
            f"machine, at the rates of a chip of {MACHINE}; the bytes exchanged are those of all parameters' gradients."
        )
    return (
        f"The step is compiled for {MACHINE}; its floors and the bytes exchanged are what `plan --for {MACHINE}` says."
    )
