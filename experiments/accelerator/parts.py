"""The parts, in the order of their worth."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from experiments.accelerator.context import Context
from rnnjax.errors import UsageError


@dataclass(frozen=True)
class Part:
    """One file of results.

    Attributes:
      number, name: what it is called by; its file is ``NAME.json``.
      summary: a line.
      run: ``MODULE.FUNCTION`` of this package, from a :class:`Context`, whose result it fills.
      first: seconds that it is taken to need on an accelerator where none was measured.
      most: seconds after which it begins nothing more.
    """

    number: int
    name: str
    summary: str
    run: str
    first: float
    most: float

    def function(self) -> Callable[[Context], None]:
        """What it does; imported here, so that ``--help`` waits for nothing."""
        module, _, name = self.run.partition(".")
        return getattr(import_module(f"experiments.accelerator.{module}"), name)


PARTS = (
    Part(1, "numbers", "LSTM and GRU against float64: outputs, carries, gradients", "numbers.run", 50, 60),
    Part(2, "lstm_layers", "LSTM, forward + backward: fused, scan, cuDNN, Flax, PyTorch", "layers.lstm", 120, 150),
    Part(3, "trainings", "mnist_rows to 99 %, then cifar10_cnn_rnn or mnist_cnn_rnn", "trainings.two", 150, 210),
    Part(4, "gru_layers", "the same layers of a GRU", "layers.gru", 90, 120),
    Part(5, "precisions", "bfloat16, TF32, float32 at its highest precision", "layers.precisions", 100, 150),
    Part(6, "more_shapes", "two more shapes of both cells", "layers.more_shapes", 90, 120),
    Part(7, "profile", "a fused step: its kernels, and the gaps between them", "profiling.run", 40, 60),
    Part(8, "more_runs", "more seeds of mnist_rows, and other heads", "trainings.more", 180, 400),
    Part(9, "imdb", "imdb_bilstm, one seed", "trainings.imdb", 90, 240),
    Part(10, "language", "tokens a second of the language model", "trainings.language", 45, 60),
)


def chosen(text: str | None) -> tuple[Part, ...]:
    """The parts that ``--parts 2,5`` names, in their order; all of them by default.

    Raises:
      UsageError: at what is no number of a part.
    """
    if text is None:
        return PARTS
    known = {str(part.number) for part in PARTS}
    wanted = {one.strip() for one in text.split(",")}
    if unknown := sorted(wanted - known):
        raise UsageError(f"--parts takes numbers from 1 to {len(PARTS)} with commas, such as 2,5; got {unknown[0]!r}")
    return tuple(part for part in PARTS if str(part.number) in wanted)


def listed() -> str:
    """The parts as ``--help`` shows them, with first estimates in seconds."""
    lines = [f"  {part.number:2d}  {part.name:12s} {part.first:4.0f} s  {part.summary}" for part in PARTS]
    return "\n".join(["parts, with the seconds that they are taken to need where none was measured:", *lines])
