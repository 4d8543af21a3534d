"""Programs compiled ahead, in threads, so that nothing compiles while something is timed; and whether they fit."""

import concurrent.futures
import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax

from experiments.accelerator.context import Context
from experiments.benchmarks import memory_limit, record
from experiments.benchmarks.harness import first_line
from rnnjax.layers.implementations import reporting
from rnnjax.layers.precision import matmul_precision

SHARE = 0.6
"""Of a part's time, what its compiling may take: what has not begun by then is left out."""


@dataclasses.dataclass
class Program:
    """A function and what it is compiled for.

    Attributes:
      name: for what is shown.
      function: of arrays.
      arguments: arrays, or their shapes.
      precision: of float32 products, see :func:`rnnjax.layers.precision.matmul_precision`.
      executable: the compiled function.
      implementations: what each RNN in it runs, by :func:`rnnjax.reporting`.
      seconds: of tracing and compiling, beside the other threads.
      error: why there is no executable.
      params: parameters to call it with, for whoever made it.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    precision: str = "default"
    executable: Any = None
    implementations: dict[str, str] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    error: str | None = None
    params: Any = None

    def compile(self) -> None:
        """Traces and compiles; what fails is kept as its error."""
        start = time.perf_counter()
        try:
            with matmul_precision(self.precision), reporting() as ran:  # both hold within a thread
                lowered = jax.jit(self.function).lower(*self.arguments)
            self.implementations = dict(ran)
            self.executable = lowered.compile()
        except Exception as error:  # a peer that fails is a result
            self.error = f"failed: {first_line(error)}"
        self.seconds = time.perf_counter() - start

    def bytes_needed(self) -> int | None:
        """Memory of one call with its arguments and results, as the compiler planned it; None if it does not say."""
        found = self.executable and self.executable.memory_analysis()
        if not found:
            return None
        whole = found.argument_size_in_bytes + found.output_size_in_bytes + found.temp_size_in_bytes
        return whole + found.generated_code_size_in_bytes - found.alias_size_in_bytes

    def obstacle(self) -> str | None:
        """Why it cannot be called: its error, or too little memory; None where it can."""
        if self.error is not None or self.executable is None:
            return self.error or "not compiled"
        return too_large(self.bytes_needed(), memory())


def compile_all(programs: Sequence[Program], context: Context) -> None:
    """Compiles in as many threads as there are cores; those that do not begin in time are left out."""
    start = context.clock()
    pool = concurrent.futures.ThreadPoolExecutor(record.cores())
    waiting = {pool.submit(program.compile): program for program in programs}
    try:
        _, late = concurrent.futures.wait(waiting, timeout=SHARE * max(context.left(), 0))
        for future in late:
            if future.cancel():
                waiting[future].error = "skipped: the compiling of others took the time"
                context.result["partial"] = True
        concurrent.futures.wait(waiting)  # a program that is being compiled cannot be stopped, and would disturb
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        context.result["compile_seconds"] += context.clock() - start


def memory() -> int | None:
    """Bytes of memory of the device that JAX computes on; None if nobody says."""
    device = jax.local_devices()[0]
    limit = (device.memory_stats() or {}).get("bytes_limit") if device.platform != "cpu" else None
    return limit or memory_limit.available()


def too_large(needed: int | None, there: int | None) -> str | None:
    """Why something does not fit, with both figures; None where it does, or nobody knows."""
    if needed is None or there is None or needed <= there:
        return None
    return f"skipped: it needs {needed / 2**30:.2f} GiB and the device has {there / 2**30:.2f} GiB"
