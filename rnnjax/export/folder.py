"""A folder with an exported model and all that is needed to use it, written whole or not at all."""

import datetime
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax
import jax
import numpy as np

import rnnjax
from rnnjax import digests
from rnnjax.data import preprocess as preprocessing
from rnnjax.data.spec import nested
from rnnjax.errors import RunError, UsageError
from rnnjax.export import arguments, check, onnx_graph, onnx_models, readme, stablehlo, streaming
from rnnjax.export.arguments import Like
from rnnjax.export.aside import folder_for
from rnnjax.files import write_file, write_text
from rnnjax.runs.predict import Predictor
from rnnjax.weights import save_safetensors

FORMATS = ("stablehlo", "onnx", "safetensors")

_LARGEST = {"stablehlo": 2**31, "onnx": 2**31}
"""Bytes of a file of FlatBuffers or Protocol Buffers, in which places are numbers of 32 bits with a sign."""


def write(
    predictor: Predictor,
    folder: str | Path,
    to: str = "stablehlo",
    *,
    batch: int | None = None,
    length: int | None = None,
    samples: str | Path | None = None,
    name: str = "model",
) -> dict[str, Any]:
    """Exports a trained model into a new folder, and has it answer a sample there before it is in its place.

    The folder holds the model (``model.stablehlo``, ``model.onnx`` or ``model.safetensors``), one step of it where it
    reads forwards (``step.stablehlo`` or ``step.onnx``, and ``carry.npz``), ``preprocess.json``, ``sample.npz`` with
    inputs and the answer to them, ``export.json``, which says all of this, and ``README.md`` with a loader.

    Args:
      predictor: what :func:`rnnjax.load` gave.
      folder: which is made; there must be none.
      to: ``"stablehlo"``, ``"onnx"`` or ``"safetensors"``.
      batch: rows of a call; None: any number.
      length: steps of a call, of a model that reads sequences of any length; None: any number.
      samples: a folder of inputs that a run left; where there is none, the sample is drawn at random.
      name: what the model is called.

    Returns:
      What ``export.json`` says.

    Raises:
      UsageError: if there is such a folder, no such format, a package is missing, or the format cannot say the model
        or has no place for its weights.
      RunError: if what was written does not answer as the model, or cannot be written.
    """
    check_target(folder, to)
    _check_size(predictor, to)
    folder, samples = Path(folder), Path(samples) if samples is not None else Path(os.devnull)
    likes = arguments.arguments(predictor, batch, length)
    stored, names = arguments.sample(predictor, likes, samples)
    said: dict[str, Any] = _said(predictor, to, likes, name)
    with folder_for(folder) as aside:
        _fill(aside, said, predictor, likes, stored, names)
        difference = check.difference(aside)
        if not difference <= said["tolerance"]:
            raise RunError(
                f"the {to} that was made answers otherwise than the model, by {difference:.3g} of its largest output; "
                "nothing was written"
            )
    return said


def check_target(folder: str | Path, to: str) -> None:
    """Raises UsageError where a folder cannot be made, or for a format that there is not, before a model is read."""
    if to not in FORMATS:
        raise UsageError(f"unknown format {to!r}; --to is one of {', '.join(FORMATS)}")
    if os.path.lexists(folder):
        raise UsageError(f"{folder} exists; name another folder by --out")
    if to == "onnx":
        onnx_graph.packages()
    if to == "stablehlo":
        stablehlo.package()


def _check_size(predictor: Predictor, to: str) -> None:
    """Raises UsageError where the weights alone are more than a file of the format holds, or it holds no search."""
    if predictor.task.writes and to != "safetensors":  # which rebuilds the model, and so its search
        raise UsageError(
            f"a model that writes sequences searches for them step by step, which {to} does not hold; "
            "--to safetensors holds its weights, and what rebuilds it"
        )
    weights, largest = sum(leaf.nbytes for leaf in jax.tree.leaves(predictor.variables)), _LARGEST.get(to)
    if largest is not None and weights >= largest:
        raise UsageError(
            f"a file of {to} holds less than {largest:,} bytes, and the model has {weights:,} bytes of weights; "
            "--to safetensors holds any number"
        )


def _said(predictor: Predictor, to: str, likes: Mapping[str, Like], name: str) -> dict[str, Any]:
    task = predictor.task
    versions = {"rnnjax": rnnjax.__version__, "jax": jax.__version__, "flax": flax.__version__}
    if to == "onnx":
        versions |= {package.__name__: package.__version__ for package in onnx_graph.packages()}
    return {
        "version": check.VERSION,
        "format": to,
        "name": name,
        "file": f"model.{to}",
        "model": type(predictor.model).__name__,
        "task": getattr(task, "kind", type(task).__name__),
        "labels": list(predictor.spec.names),
        "inputs": {name: like.to_json() for name, like in likes.items()},
        "preprocess": predictor.preprocess.kind,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": versions,
    }


def _fill(
    folder: Path,
    said: dict[str, Any],
    predictor: Predictor,
    likes: Mapping[str, Like],
    stored: dict[str, np.ndarray],
    names: list[str],
) -> None:
    outputs = predictor.outputs(stored)
    leaves = [np.asarray(leaf, arguments.plain(leaf.dtype)) for leaf in jax.tree.leaves(outputs)]
    per_step = predictor.task.generates or predictor.task.per_step
    said["outputs"] = [Like(_sizes(likes, leaf, per_step), leaf.dtype).to_json() for leaf in leaves]
    if predictor.task.writes:
        said["outputs"] = _written(likes, outputs, stored)
        said["written"] = sorted(outputs)
    half = _half(predictor, stored)
    said["tolerance"] = check.tolerance(half=half)
    sample = {**stored, **{f"output_{number}": leaf for number, leaf in enumerate(leaves)}}
    said["sample"] = {"from": names, "answers": _answers(predictor, outputs, stored)}
    _MAKERS[said["format"]](folder / said["file"], predictor, likes, leaves)
    if half and said["format"] == "onnx":
        onnx_graph.refuse("a model that computes with 16 bits; here it is written in float32")
    sample |= _step(folder, said, predictor, likes, stored)
    write_file(folder / "sample.npz", lambda path: np.savez(path, allow_pickle=False, **sample))
    preprocessing.save(predictor.preprocess, folder / "preprocess.json")
    answering = sorted(path for path in folder.iterdir() if path.name != "sample.npz")  # which checks itself
    said["files"] = {path.name: check.of_file(path) for path in answering}
    said |= digests.sealed(said)
    write_text(folder / "export.json", json.dumps(said, indent=1, ensure_ascii=False) + "\n")
    write_text(folder / "README.md", readme.text(said))


def _half(predictor: Predictor, stored: Mapping[str, np.ndarray]) -> bool:
    """Whether a part of the model computes with 16 bits, which round otherwise in each implementation."""
    given = nested(predictor.preprocess.on_device(stored))
    return "f16[" in str(
        jax.make_jaxpr(lambda variables: predictor.model.apply(variables, **given))(predictor.variables)
    )


def _answers(predictor: Predictor, outputs: Any, stored: Mapping[str, np.ndarray]) -> Any:
    if predictor.task.generates:
        return None
    rows = predictor.task.rows(predictor.task.unpadded(outputs, stored.get("lengths")), predictor.spec)
    return json.loads(json.dumps(rows), parse_constant=lambda name: None)  # JSON has no NaN


def _stablehlo(path: Path, predictor: Predictor, likes: Mapping[str, Like], leaves: list[np.ndarray]) -> None:
    path.write_bytes(stablehlo.answers(predictor, likes))


def _onnx(path: Path, predictor: Predictor, likes: Mapping[str, Like], leaves: list[np.ndarray]) -> None:
    if len(leaves) > 1:
        onnx_graph.refuse("a model of several outputs")
    shape = _sizes(likes, leaves[0], predictor.task.generates)
    made = onnx_models.answers(predictor.model, predictor.variables, predictor.preprocess, likes, shape)
    path.write_bytes(made)


def _safetensors(path: Path, predictor: Predictor, likes: Mapping[str, Like], leaves: list[np.ndarray]) -> None:
    del likes, leaves
    save_safetensors(path, predictor)


_MAKERS = {"stablehlo": _stablehlo, "onnx": _onnx, "safetensors": _safetensors}


def _sizes(likes: Mapping[str, Like], output: np.ndarray, per_token: bool) -> tuple[Any, ...]:
    """The shape of an output: with the inputs' batch, and their time where there is an output a step."""
    first = next(iter(likes.values())).shape
    return (*first[:2], *output.shape[2:]) if per_token else (first[0], *output.shape[1:])


def _written(likes: Mapping[str, Like], outputs: Mapping[str, Any], stored: Mapping[str, np.ndarray]) -> list[Any]:
    """Shapes and dtypes of what a search gives, in the order of its names; attention has a column a source's step."""
    name, like = next(iter(likes.items()))
    found = []
    for _, array in sorted(outputs.items()):
        shape = list(_sizes(likes, array, False))
        if array.ndim == 3 and array.shape[2] == stored[name].shape[1]:
            shape[2] = like.shape[1]
        found.append(Like(tuple(shape), np.dtype(array.dtype)).to_json())
    return found


def _step(
    folder: Path,
    said: dict[str, Any],
    predictor: Predictor,
    likes: Mapping[str, Like],
    stored: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """Writes one step of the model, or says why there is none; gives what the sample's steps answer."""
    to = said["format"]
    if to == "safetensors":
        return {}
    try:
        stream = streaming.stream(predictor, likes)
    except UsageError as error:
        said["step"] = {"missing": str(error)}
        return {}
    sequence = {name: stored[name][:, : check.STEPS] for name in stream.inputs}
    outputs = stream.over(sequence)
    path = folder / f"step.{to}"
    if to == "onnx":
        shape = (next(iter(likes.values())).shape[0], *outputs.shape[2:])
        given = (stream.inputs, stream.carry, stream.structure, shape)
        path.write_bytes(onnx_models.steps(stream.model, stream.variables, predictor.preprocess, *given))
    else:
        path.write_bytes(stablehlo.steps(stream))
    write_file(folder / "carry.npz", lambda path: np.savez(path, allow_pickle=False, **stream.first))
    said["step"] = {
        "file": path.name,
        "inputs": {name: like.to_json() for name, like in stream.inputs.items()},
        "carry": {name: like.to_json() for name, like in stream.carry.items()},
    }
    return {"step_outputs": outputs}
