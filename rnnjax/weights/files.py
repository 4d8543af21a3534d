"""Variables to and from a safetensors file (https://huggingface.co/docs/safetensors), exact to the bit.

The format holds arrays by name and a few lines of text. The text named ``rnnjax`` is JSON, sealed by a digest of itself
and with one of the arrays, since the format has none: what comes back is what was written, or the file is refused.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from flax.core import meta

from rnnjax import digests
from rnnjax.data import Spec
from rnnjax.data import preprocess as preprocessing
from rnnjax.errors import DataError, RnnjaxError, RunError, UsageError
from rnnjax.experiment import known_task
from rnnjax.files import write_file
from rnnjax.runs.predict import Predictor
from rnnjax.runs.record import described_task
from rnnjax.weights import modules, torch_names, trees

_KEY = "rnnjax"
_VERSIONS = (1, 2)
_LAYOUTS = ("rnnjax", "torch")
_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "C64": "complex64",
    "BOOL": "bool",
    **{f"{kind[0].upper()}{bits}": f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)},
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
}
"""The format's names, and NumPy's or those of ml_dtypes."""


@dataclass(frozen=True, eq=False)
class Weights:
    """What a file holds; ``model, variables = rnnjax.load_safetensors(path)``.

    Attributes:
      model: the module; None where the file was written without one.
      variables: all collections by name, NumPy arrays.
      predictor: a :class:`rnnjax.Predictor` with these, where the file was written of one; else None.
      metadata: other lines of text.
    """

    model: nn.Module | None
    variables: dict[str, Any] = field(repr=False)
    predictor: Predictor | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Any]:
        return iter((self.model, self.variables))


def save_safetensors(
    path: str | Path,
    variables: Any,
    *,
    model: nn.Module | None = None,
    layout: str = "rnnjax",
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes variables to a safetensors file, whole or not at all.

    Args:
      path: the file, which is replaced where there is one.
      variables: ``{"params": ..., ...}``, as a module's ``init`` makes them; or a :class:`rnnjax.Predictor`, whose
        model, preprocessing and task are written too.
      model: the module that they are of; one of this package, or made of its parts. The file then rebuilds it.
      layout: ``"rnnjax"``: our names, joined by slashes, ``params/cell/bias``. ``"torch"``: PyTorch's names and shapes,
        for ``load_state_dict(safetensors.torch.load_file(path))`` of a module whose parts are called as here; biases
        stand in ``bias_ih``, as :func:`rnnjax.convert.to_torch` has it. Both come back alike.
      metadata: lines of text by name.

    Raises:
      UsageError: if these are no variables, a module cannot be rebuilt, PyTorch has no place for a part, or the
        package ``safetensors`` is missing.
      RunError: if the file cannot be written.
    """
    package, path = _package(), Path(path)
    if layout not in _LAYOUTS:
        raise UsageError(f"layout must be one of {', '.join(_LAYOUTS)}, got {layout!r}")
    if metadata is not None and not all(isinstance(text, str) for text in (*metadata, *metadata.values())):
        raise UsageError("metadata must be lines of text by name; a safetensors file holds no others")
    if metadata is not None and _KEY in metadata:
        raise UsageError(f"metadata: the name {_KEY!r} is taken")
    said: dict[str, Any] = {"version": _VERSIONS[0], "layout": layout}
    if isinstance(variables, Predictor):
        model = variables.model if model is None else model
        said |= _of_predictor(variables)
        variables = variables.variables
    if model is not None:
        said["model"] = modules.to_json(model)
    arrays, more = _named(_checked(variables), layout)
    said |= {**more, "arrays": _digest(arrays)}
    if "sequences" in said:
        said["version"] = 2  # one that read dictionaries alone would take a carry (c, h) for one of these
    text = {**(metadata or {}), _KEY: json.dumps(digests.sealed(said))}
    specs = {name: _spec(package, array) for name, array in arrays.items()}
    try:
        write_file(path, lambda aside: package.serialize_file(specs, str(aside), metadata=text))
    except (OSError, package.SafetensorError) as error:
        raise RunError(f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}") from error


def load_safetensors(path: str | Path) -> Weights:
    """Reads what :func:`save_safetensors` wrote.

    Raises:
      UsageError: if there is no such file, or the package ``safetensors`` is missing.
      DataError: if the file is damaged, or was written by another program.
    """
    package, path = _package(), Path(path)
    if not path.is_file():
        what = "a folder; name the .safetensors file in it" if path.is_dir() else "no such file"
        raise UsageError(f"{path}: {what}")
    try:
        content = path.read_bytes()
        stored = package.deserialize(content)
        text = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")]).get("__metadata__") or {}
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (package.SafetensorError, ValueError) as error:
        raise DataError(f"{path}: a damaged file, or no safetensors file ({error})") from error
    said = _said(path, text)
    try:
        arrays = {name: _array(entry) for name, entry in stored}
        if _digest(arrays) != said["arrays"]:
            raise DataError("its arrays are not as they were written")
        return _weights(said, arrays, {name: line for name, line in text.items() if name != _KEY})
    except (RnnjaxError, LookupError, ValueError, TypeError, AttributeError, OverflowError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise DataError(f"{path}: not readable: {reason}") from error


def _package() -> Any:
    try:
        import safetensors
    except ImportError:
        raise UsageError(
            "safetensors files need the package safetensors: pip install safetensors, or rnnjax[export]"
        ) from None
    return safetensors


def _of_predictor(predictor: Predictor) -> dict[str, Any]:
    task, preprocess = described_task(predictor.task), predictor.preprocess.to_json()
    if task["kind"] is None:
        raise UsageError(
            f"a file cannot rebuild a task of one's own, {task['class']}; save predictor.variables with model="
        )
    try:
        preprocessing.restored(json.loads(json.dumps(preprocess)))
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise UsageError(
            f"a file cannot rebuild the preprocessing ({error}); save predictor.variables with model="
        ) from error
    return {"task": task, "preprocess": preprocess, "spec": predictor.spec.to_json()}


def _checked(variables: Any) -> dict[str, Any]:
    if not isinstance(variables, Mapping) or not variables:
        raise UsageError(f"expected variables, {{'params': ...}}, or a Predictor, got {type(variables).__name__}")
    if "params" not in variables:
        raise UsageError(
            f"expected variables, {{'params': ...}}, got a tree of {sorted(map(str, variables))[:6]}; parameters alone "
            "are {'params': params}"
        )
    return {name: trees.of_arrays(part, str(name), _DTYPES) for name, part in meta.unbox(dict(variables)).items()}


def _named(variables: dict[str, Any], layout: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays by their names in the file, and what tells how they become a tree again."""
    if layout == "torch":
        listed = torch_names.parts(variables)
        said = {"parts": [list(part) for part in listed]}
        return torch_names.to_state(variables, listed), said | trees.form(variables)
    return digests.leaves(variables), trees.form(variables)


def _spec(package: Any, array: np.ndarray) -> Any:
    return package.TensorSpec(
        dtype=array.dtype.name, shape=array.shape, data_ptr=array.ctypes.data, data_len=array.nbytes
    )


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    return digests.of_json({name: digests.of_array(array) for name, array in arrays.items()})


def _said(path: Path, text: Any) -> dict[str, Any]:
    """What the file says of itself."""
    if not isinstance(text, dict) or _KEY not in text:
        raise DataError(
            f"{path}: written by another program; safetensors.numpy.load_file reads its arrays, and rnnjax.convert "
            "converts PyTorch's, Keras' and Flax' weights"
        )
    try:
        said = json.loads(text[_KEY])
        whole = isinstance(said, dict) and digests.is_whole(said)
    except (ValueError, RecursionError):
        said, whole = {}, False
    if not whole:
        raise DataError(f"{path}: damaged: what it says of itself is not as it was written")
    if said.get("version") not in _VERSIONS:
        raise DataError(f"{path}: of version {said.get('version')}, which this version of rnnjax does not read")
    return said


def _array(entry: Mapping[str, Any]) -> np.ndarray:
    if entry["dtype"] not in _DTYPES:
        raise ValueError(f"arrays of dtype {entry['dtype']}")
    dtype = jnp.dtype(_DTYPES[entry["dtype"]])
    return np.frombuffer(entry["data"], dtype=dtype).reshape(entry["shape"]).copy()


def _weights(said: dict[str, Any], arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> Weights:
    if said["layout"] == "torch":
        listed = [torch_names.Part(rule, tuple(path), tuple(names)) for rule, path, names in said["parts"]]
        variables = torch_names.from_state(arrays, listed)
    else:
        variables = trees.grown(arrays)
    variables = trees.formed(variables, said)
    model = modules.from_json(said["model"]) if "model" in said else None
    if "preprocess" not in said or model is None:
        return Weights(model, variables, None, metadata)
    task = known_task(said["task"]["kind"])
    if task is None:
        raise ValueError(f"its task is none of this version, {said['task']['kind']!r}")
    preprocess = preprocessing.restored(said["preprocess"])
    task, spec = task.restored(said["task"].get("state")), Spec.from_json(said["spec"])
    return Weights(model, variables, Predictor(model, variables, preprocess, task, spec), metadata)
