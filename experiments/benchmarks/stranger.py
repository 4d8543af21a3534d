"""A stranger's layer beside ours: one function in a file, compared with ours before anything is timed."""

import dataclasses
import hashlib
import inspect
import sys
import textwrap
import traceback
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.task import GATES, Task
from rnnjax.errors import UsageError
from rnnjax.layers.precision import matmul_precision

OPTIONAL = ("lengths", "reverse")
"""What the function may take by these names beside ``params`` and ``inputs``."""
FARTHEST = {"float32": 1e-3, "bfloat16": 0.2}
"""How far each of its outputs and gradients may be from ours in float32, as a share of the largest of ours.

The roundings of a right LSTM in bfloat16 come to 0.08 over 784 steps, and in float32 to 2e-6."""


@dataclasses.dataclass(frozen=True)
class Stranger:
    """A function ``(params, inputs [B, T, D]) -> outputs [B, T, H]`` from zero carries, that JAX can trace.

    Attributes:
      path: its file, by whose name it is listed.
      cell: what it computes, the function's name: ``"lstm"``, ``"gru"`` or ``"rnn"``.
      function: ``params`` are a dictionary: those of our cell of that name.
      takes: those of :data:`OPTIONAL` that it takes: ``lengths [B]`` or None, behind which outputs do not matter, and
        ``reverse``, whether it reads from the last step to the first; without it, its inputs and outputs are flipped.
    """

    path: Path
    cell: str
    function: Callable[..., Any]
    takes: frozenset[str]

    @property
    def name(self) -> str:
        return self.path.name

    def layer(self, task: Task) -> tuple[Any, Callable[..., Any]]:
        """Parameters and function as those of every peer in JAX; both are handed over in the task's dtype."""
        dtype = jnp.dtype(task.dtype)

        def apply(params, inputs, lengths):
            params, inputs = jax.tree.map(lambda array: array.astype(dtype), (params, inputs))
            if task.directions == 1:
                return self._one(params["cell"], inputs, lengths, False)
            sides = (("forward", False), ("backward", True))
            return jnp.concatenate(
                [self._one(params[side]["cell"], inputs, lengths, to) for side, to in sides], axis=-1
            )

        return task.weights["recurrent"], apply

    def make_call(self, task: Task, devices: int = 1) -> Callable[[], Any]:
        """One call of the task, as of the other peers."""
        from experiments.benchmarks import peers_jax

        return peers_jax.make_call(task, self.layer(task), devices)

    def described(self) -> dict[str, Any]:
        """What a result file says of it."""
        return {"file": self.name, "sha256": hashlib.sha256(self.path.read_bytes()).hexdigest()}

    def _one(self, params: Any, inputs: jax.Array, lengths: jax.Array | None, reverse: bool) -> Any:
        """One direction; the function's outputs are looked at whenever it is traced."""
        flips = reverse and "reverse" not in self.takes
        given = {name: value for name, value in (("lengths", lengths), ("reverse", reverse)) if name in self.takes}
        outputs = self.function(params, inputs[:, ::-1] if flips else inputs, **given)
        if not isinstance(outputs, jax.Array | np.ndarray):
            raise UsageError(f"{self.name}: {self.cell} returns outputs [B, T, H] alone, got {type(outputs).__name__}")
        shape = (*inputs.shape[:2], len(params["recurrent_kernel"]))
        if (outputs.shape, outputs.dtype) != (shape, inputs.dtype):
            wanted, got = (f"{inputs.dtype} [B, T, H] = {list(shape)}", f"{outputs.dtype} {list(outputs.shape)}")
            raise UsageError(f"{self.name}: {self.cell} returns {wanted} here, got {got}")
        return outputs[:, ::-1] if flips else outputs


def load(path: Path) -> Stranger:
    """The layer that a file defines.

    Raises:
      UsageError: if there is no such file, it cannot be run, or it does not define one such function.
    """
    if path.suffix != ".py" or not path.is_file():
        raise UsageError(
            f"--peer is a Python file, FILE.py, with one function lstm, gru or rnn; there is none at {path}"
        )
    sys.path.append(str(path.resolve().parent))  # for what it imports from beside it
    module = types.ModuleType(f"peer_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), vars(module))
    except (Exception, SystemExit) as error:
        raise UsageError(_said(path, error)) from error
    found = [name for name in GATES if hasattr(module, name)]
    if len(found) != 1:
        has = f"{' and '.join(found)}, of which a file is to have one" if found else "no function lstm, gru or rnn"
        raise UsageError(f"--peer: {path} defines {has}")
    function = getattr(module, found[0])
    return Stranger(path, found[0], function, _takes(path, found[0], function))


def compare(stranger: Stranger, tasks: Iterable[Task]) -> float:
    """How far its outputs and gradients are from ours at most.

    Args:
      stranger: what is compared.
      tasks: of its cell; those that differ in their mode alone are compared once.

    Raises:
      UsageError: if it fails, or if what it computes is not finite or farther from ours than :data:`FARTHEST`.
    """
    each = dict.fromkeys(dataclasses.replace(task, mode="train", precision="highest") for task in tasks)
    return max(_compare(stranger, task) for task in each)


def _takes(path: Path, name: str, function: Any) -> frozenset[str]:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        raise UsageError(f"{path.name}: {name} is no function but {type(function).__name__}") from None
    takes = frozenset(OPTIONAL) & set(signature.parameters)
    try:
        signature.bind("params", "inputs", **dict.fromkeys(takes))
    except TypeError as error:
        wanted = f"{name}(params, inputs), with lengths and reverse if it likes"
        raise UsageError(f"{path.name} defines {name}{signature}, which is to be {wanted}: {error}") from None
    return takes


def _compare(stranger: Stranger, task: Task) -> float:
    from experiments.benchmarks import peers_jax

    at, most = f"{task.cell} {task.form}, {task.shape}", FARTHEST[task.dtype]
    try:
        theirs = _answers(task, stranger.layer(task))
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"{_said(stranger.path, error)}; at {at}") from error
    for name, array in theirs.items():
        if not np.isfinite(array).all():
            raise UsageError(f"{stranger.name}: its {name} has values that are not finite; at {at}")
    wide = dataclasses.replace(task, dtype="float32")
    ours = _answers(task, peers_jax.rnnjax_layer(wide, implementation="fused"))
    far = {name: _apart(array, ours[name]) for name, array in theirs.items()}
    wrong = [name for name, value in far.items() if value > most]
    if "output" in wrong:
        wrong = ["output"]  # the gradients differ for its reason
    if wrong:
        said = ", ".join(f"its {name} differs by {far[name]:.1e}" for name in wrong)
        raise UsageError(
            f"{stranger.name} computes something else than rnnjax, and nothing was timed: {said} of the largest value "
            f"of ours, where {most:g} is allowed; at {at}"
        )
    return max(far.values())


def _apart(array: np.ndarray, reference: np.ndarray) -> float:
    """The largest difference as a share of the largest value; over one step a recurrent kernel's gradient is zero."""
    difference, largest = float(np.abs(array - reference).max()), float(np.abs(reference).max())
    if not largest:
        return 0.0 if not difference else float("inf")
    return difference / largest


def _answers(task: Task, layer: tuple[Any, Callable[..., Any]]) -> dict[str, np.ndarray]:
    """Real outputs of a layer with our parameters, and the gradients of their sum with random weights, by name."""
    params, apply = layer
    shape = task.shape
    lengths = np.full(shape.B, shape.T) if task.lengths is None else task.lengths
    real = (np.arange(shape.T) < lengths[:, None])[..., None]
    weights = np.random.default_rng(3).standard_normal((shape.B, shape.T, task.directions * shape.H), np.float32)

    def outputs(params, inputs, lengths):
        return jnp.where(real, apply(params, inputs, lengths).astype(jnp.float32), 0)

    @jax.jit
    def answers(params, inputs, lengths, weights):
        found, back = jax.vjp(lambda params, inputs: outputs(params, inputs, lengths), params, inputs)
        return found, *back(weights)

    with matmul_precision("highest"):
        found, by_params, by_inputs = jax.device_get(answers(params, task.inputs, task.lengths, weights))
    named = {"output": found, "gradient of inputs": by_inputs}
    for path, array in jax.tree.leaves_with_path(by_params):
        named["gradient of " + " ".join(part.key for part in path if part.key != "cell")] = array
    return named


def _said(path: Path, error: BaseException) -> str:
    """An error of the file in one sentence, with its line there."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    text = str(error)
    if isinstance(error, SyntaxError) and error.filename == str(path):
        lines, text = [error.lineno], error.msg
    at = f"{path.name}, line {lines[-1]}" if lines else path.name
    return textwrap.shorten(f"{at}: {type(error).__name__}: {text}", 300, placeholder=" ...")
