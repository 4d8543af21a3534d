"""One process of the part ``growth``: trains a few steps on its share of the devices and times them.

Started by growth_devices.py with one argument, :class:`Asked` as JSON; the last line that it prints is the answer.
"""

import dataclasses
import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from experiments.benchmarks import harness, record


@dataclasses.dataclass(frozen=True)
class Asked:
    """What one process does.

    Attributes:
      devices: simulated CPU devices of this process.
      processes, process: how many processes share the step, and which one this is.
      coordinator: ``HOST:PORT`` of process 0; empty for one process.
      batch: of all devices together.
      features: of the layers.
      losses: how many steps' losses are answered.
      samples: timed steps, and timed exchanges.
      seed: of the order of both.
    """

    devices: int
    processes: int
    process: int
    coordinator: str
    batch: int
    features: tuple[int, ...]
    losses: int
    samples: int
    seed: int


def answer(asked: Asked, devices: Sequence[Any] | None = None) -> dict[str, Any]:
    """Losses of the first steps, bytes exchanged in one as compiled, and seconds of steps and of exchanges alone.

    Args:
      asked: what to do.
      devices: JAX devices; None: all of this process, as many as were asked for.
    """
    from experiments.benchmarks import growth_task
    from rnnjax.training.runner import Runner

    made = growth_task.experiment(asked.batch, asked.features)
    program = Runner(made, growth_task.dataset(asked.batch * asked.losses), devices)
    chunks = program.train_plan(seed=0, epoch=0)
    state, fed = program.place(program.create_state(0)), list(program.feed_training(chunks, epoch=0))
    exchanged = _exchanged(program, state, fed[0])
    step, losses = _stepping(program, state, fed)
    calls = {"step": step, "exchange": _exchange(program.parallel, exchanged["bytes"])}
    found = {"exchanged": exchanged, "losses": losses, "ran": sorted(set(program.implementations.values()))}
    return found | {"seconds": in_turn(calls, asked.samples, asked.seed)}


def _exchanged(program: Any, state: Any, fed: Any) -> dict[str, Any]:
    """What the devices exchange in a step, as it is compiled; one device's sums over itself are nothing.

    It is lowered with the arrays themselves: of several processes, pmap takes no shapes in their place.
    """
    import numpy as np

    from rnnjax.ahead import report

    if program.parallel.device_count == 1:
        return {"bytes": 0, "operations": 0.0, "kinds": {}}
    function, _ = program.training_program(fed.chunk)
    arguments = {**fed.arguments, "learning_rate_scale": np.float32(1.0)}
    return report.exchanged(function.lower(state, fed.data, arguments).compile().as_text() or "", 1)


def _stepping(program: Any, state: Any, fed: list[Any]) -> tuple[Callable[[], Any], list[float]]:
    """A call that trains the last of what was fed again and again, after all were trained once; their mean losses."""
    import jax

    losses = []
    for each in fed:
        state, sums = program.train(state, each)
        losses.append(float(program.parallel.to_host(sums)["loss"].sum()) / each.chunk.examples)
    held = [state]

    def call() -> Any:
        held[0], sums = program.train(held[0], fed[-1])
        return jax.block_until_ready(sums)

    return call, losses


def _exchange(parallel: Any, size: int) -> Callable[[], Any] | None:
    """A call that sums as many bytes over the devices as a step does, and nothing else; None where it sums none."""
    import jax
    import numpy as np

    if not size:
        return None
    devices = len(parallel.devices)
    summed = parallel.spread(lambda part: jax.lax.psum(part, parallel.axis_name), (0,), 0)
    part = parallel.spread(lambda part: part * 1, (0,), 0)(np.ones((devices, max(1, size // 4)), np.float32))
    return lambda: jax.block_until_ready(summed(part))


def in_turn(calls: Mapping[str, Callable[[], Any] | None], samples: int, seed: int) -> dict[str, list[float]]:
    """Seconds of each call, by turns as :func:`experiments.benchmarks.harness.measure` has them.

    What comes when depends on nothing that was measured: all processes of a step must make the same calls.
    """
    found: dict[str, list[float]] = {name: [] for name in calls}
    order, rounds = random.Random(seed), -(-samples // harness.TIMED)
    names = [name for name, call in calls.items() if call is not None]
    for number in range(rounds):
        order.shuffle(names)
        for name in names:
            call: Any = calls[name]
            time.sleep(harness.PAUSE)
            call()
            for _ in range(min(harness.TIMED, samples - number * harness.TIMED)):
                start = time.perf_counter()
                call()
                found[name].append(time.perf_counter() - start)
    return found


def end_with(parent: int) -> None:
    """Ends this process once its parent is gone: the processes of a step may wait for each other without end."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def main(argument: str) -> int:
    """Starts JAX as asked for and prints the answer; returns the exit code."""
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    import jax

    from rnnjax.training import parallel

    given = json.loads(argument)
    asked = Asked(**given | {"features": tuple(given["features"])})
    if asked.processes > 1:
        jax.config.update("jax_enable_compilation_cache", False)
        joined = {"coordinator": asked.coordinator, "processes": asked.processes, "process_id": asked.process}
        parallel.start(cpu_devices=asked.devices, **joined)
    else:
        record.start(asked.devices)
    print(json.dumps(answer(asked)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
