"""Whether the model in an exported folder answers the sample in it as it did when it was exported."""

import argparse
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import jax
import numpy as np

from rnnjax import digests
from rnnjax.errors import DataError, RnnjaxError, UsageError
from rnnjax.export import onnx_graph, stablehlo
from rnnjax.files import read_json
from rnnjax.layers import target
from rnnjax.weights import load_safetensors

VERSION = 1
"""Of ``export.json``."""

STEPS = 8
"""Steps of a sample that a step's program is run for."""


def tolerance(*, half: bool = False) -> float:
    """By what share of the largest output answers may differ; accelerators' products have fewer digits.

    Args:
      half: whether the model computes with 16 bits.
    """
    return 1e-5 if target.platform() == "cpu" and not half else 2e-2


def described(folder: Path) -> dict[str, Any]:
    """What ``export.json`` says, where it and the files that answer are as they were written.

    Raises:
      UsageError: if the folder holds no export.
      DataError: if one of them is missing, damaged, or another's.
    """
    path = folder / "export.json"
    if not path.is_file():
        raise UsageError(f"{folder} holds no exported model (there is no export.json in it)")
    said = read_json(path, "the description of an exported model")
    if not digests.is_whole(said):
        raise _damaged(folder, "export.json is not as it was written")
    if said["version"] != VERSION:
        raise DataError(f"{path}: of version {said['version']}, which this version of rnnjax does not read")
    for name, digest in said["files"].items():
        if not (folder / name).is_file():
            raise _damaged(folder, f"{name} is missing")
        if of_file(folder / name) != digest:
            raise _damaged(folder, f"{name} is not as it was written")
    return said


def of_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as ``sha256sum`` prints it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _damaged(folder: Path, what: str) -> DataError:
    return DataError(f"{folder}: an exported model that is damaged, or not whole: {what}")


def difference(folder: Path) -> float:
    """The largest difference of an output, and of one after a step, as a share of the largest output.

    Args:
      folder: what :func:`rnnjax.export.folder.write` wrote.

    Raises:
      UsageError: if it holds no export, or a package is missing.
      DataError: if a file in it is missing or damaged.
    """
    said = described(folder)
    try:
        with np.load(folder / "sample.npz") as stored:
            sample = dict(stored)
        ours = [sample[name] for name in sorted(name for name in sample if name.startswith("output_"))]
        theirs = _RUNS[said["format"]](folder / said["file"], {name: sample[name] for name in said["inputs"]})
        found = [_share(*pair) for pair in zip(ours, theirs, strict=True)]
        if "step_outputs" in sample:
            found.append(_share(sample["step_outputs"], _stepped(folder, said, sample)))
    except RnnjaxError:
        raise
    except Exception as error:  # a damaged file is met by whichever library reads it, each with errors of its own
        said_line = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise _damaged(folder, said_line) from error
    return max(found)


def _share(ours: np.ndarray, theirs: Any) -> float:
    theirs = np.asarray(theirs)
    if ours.shape != theirs.shape:
        raise DataError(f"the outputs should be {list(ours.shape)}, and are {list(theirs.shape)}")
    if not ours.size:
        return 0.0
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))  # infinities too
    wide = np.complex128 if np.iscomplexobj(ours) else np.float64
    with np.errstate(invalid="ignore"):
        apart = np.where(same, 0, np.abs(ours.astype(wide) - theirs.astype(wide)))
    largest = float(np.max(np.abs(ours), where=np.isfinite(ours), initial=1.0))
    return float(np.max(apart) / largest) if not np.isnan(apart).any() else np.inf


def _stepped(folder: Path, said: Mapping[str, Any], sample: Mapping[str, np.ndarray]) -> np.ndarray:
    """The outputs after each of the first steps, ``[B, T, ...]``."""
    with np.load(folder / "carry.npz") as stored:
        first = dict(stored)
    step, steps = said["step"], sample["step_outputs"].shape[1]
    arrays = {name: sample[name] for name in step["inputs"]}
    carry = {name: np.repeat(first[name], sample["step_outputs"].shape[0], axis=0) for name in step["carry"]}
    call, outputs = _STEPS[said["format"]](folder / step["file"]), []
    for place in range(steps):
        output, carry = call(carry, {name: array[:, place] for name, array in arrays.items()})
        outputs.append(np.asarray(output))
    return np.stack(outputs, axis=1)


def _stablehlo(path: Path, inputs: Mapping[str, np.ndarray]) -> list[Any]:
    return jax.tree.leaves(_program(path).call(**inputs))


def _stablehlo_step(path: Path) -> Callable[..., Any]:
    program = _program(path)
    return lambda carry, inputs: program.call(carry, **inputs)


def _program(path: Path) -> Any:
    from jax import export

    stablehlo.package()
    return export.deserialize(bytearray(path.read_bytes()))


def _session(path: Path) -> Any:
    _, runtime = onnx_graph.packages()
    return runtime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])


def _onnx(path: Path, inputs: Mapping[str, np.ndarray]) -> list[Any]:
    return _session(path).run(None, dict(inputs))


def _onnx_step(path: Path) -> Callable[..., Any]:
    session = _session(path)

    def call(carry: Mapping[str, np.ndarray], inputs: Mapping[str, np.ndarray]) -> Any:
        output, *after = session.run(None, {**carry, **inputs})
        return output, dict(zip(carry, after, strict=True))

    return call


def _safetensors(path: Path, inputs: Mapping[str, np.ndarray]) -> list[Any]:
    predictor = load_safetensors(path).predictor
    if predictor is None:
        raise DataError(f"{path} holds weights and no model")
    return jax.tree.leaves(predictor.outputs(inputs))


_RUNS = {"stablehlo": _stablehlo, "onnx": _onnx, "safetensors": _safetensors}
_STEPS = {"stablehlo": _stablehlo_step, "onnx": _onnx_step}


class _Arguments(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; {self.format_usage().strip()}")


def main(arguments: list[str]) -> tuple[int, str]:
    """``FOLDER [--tolerance SHARE]``: the exit code and what to say."""
    parser = _Arguments("python -m rnnjax.export", description="Has an exported model answer the sample in its folder.")
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="what the command export wrote")
    parser.add_argument(
        "--tolerance",
        metavar="SHARE",
        type=float,
        help="by what share of the largest output the answers may differ; by default as the folder says",
    )
    chosen = parser.parse_args(arguments)
    folder, fine = chosen.folder, chosen.tolerance
    if fine is not None and not 0 <= fine < np.inf:
        raise UsageError(f"--tolerance must be a share of the largest output, 0 or more, got {fine:g}")
    said = described(folder)
    found = difference(folder)
    wanted = max(said["tolerance"], tolerance()) if fine is None else fine
    how = "as when it was exported" if found <= wanted else "otherwise than when it was exported"
    line = f"{folder}: {said['file']} answers its sample {how} (largest difference {found:.2g} of the largest output)"
    return (0 if found <= wanted else 1), line
