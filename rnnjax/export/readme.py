"""The README of an exported model: what lies in its folder, and a loader of a few lines without this package."""

import re
from collections.abc import Mapping
from typing import Any

_STABLEHLO = """\
import json
from pathlib import Path

import numpy as np
from jax import export

names = json.loads(Path("export.json").read_text(encoding="utf-8"))["inputs"]
sample = np.load("sample.npz")
program = export.deserialize(bytearray(Path("model.stablehlo").read_bytes()))
outputs = program.call(**{name: sample[name] for name in names})
print(np.abs(outputs - sample["output_0"]).max())
"""

_STABLEHLO_STEP = """\
import numpy as np
from jax import export

sample, first = np.load("sample.npz"), np.load("carry.npz")
step = export.deserialize(bytearray(open("step.stablehlo", "rb").read()))
carry = {name: np.repeat(first[name], len(sample["inputs"]), axis=0) for name in first}
for place in range(sample["step_outputs"].shape[1]):
    output, carry = step.call(carry, inputs=sample["inputs"][:, place])
print(np.abs(output - sample["step_outputs"][:, -1]).max())
"""

_ONNX = """\
import json
from pathlib import Path

import numpy as np
import onnxruntime

names = json.loads(Path("export.json").read_text(encoding="utf-8"))["inputs"]
sample = np.load("sample.npz")
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
(outputs,) = session.run(None, {name: sample[name] for name in names})
print(np.abs(outputs - sample["output_0"]).max())
"""

_ONNX_STEP = """\
import numpy as np
import onnxruntime

sample, first = np.load("sample.npz"), np.load("carry.npz")
step = onnxruntime.InferenceSession("step.onnx", providers=["CPUExecutionProvider"])
carry = {name: np.repeat(first[name], len(sample["inputs"]), axis=0) for name in first}
for place in range(sample["step_outputs"].shape[1]):
    output, *after = step.run(None, {"inputs": sample["inputs"][:, place], **carry})
    carry = dict(zip(carry, after))
print(np.abs(output - sample["step_outputs"][:, -1]).max())
"""

_SAFETENSORS = """\
from safetensors.numpy import load_file

for name, array in load_file("model.safetensors").items():
    print(name, array.dtype, array.shape)
"""

_LOADERS = {"stablehlo": _STABLEHLO, "onnx": _ONNX, "safetensors": _SAFETENSORS}
_STEPS = {"stablehlo": _STABLEHLO_STEP, "onnx": _ONNX_STEP}

_ABOUT = {
    "stablehlo": "a program for CPUs, NVIDIA GPUs and TPUs, "
    "with the weights in it; it needs jax, numpy and flatbuffers",
    "onnx": "a graph with the weights in it; it needs onnxruntime, or another runtime that reads ONNX, and numpy",
    "safetensors": "the weights by name, and what rebuilds the model with rnnjax: "
    '`rnnjax.load_safetensors("model.safetensors").predictor`',
}

_WRITTEN = {
    "score": "the log probability of what is written, of a beam over the length penalty,",
    "tokens": "its token ids, which `labels` of `export.json` lists in their order (2 is the end, 0 stands behind it)",
    "weights": "the attention at each of them",
}

_PREPROCESSING = {
    "image": "Images are `uint8`, 0 to 255, of the size above: they are normalised within.",
    "text": "Documents are token ids: `preprocess.json` has the tokens in the order of their ids (0 is padding, 1 any "
    "token that is not there), the name of the tokenizer, and how many tokens of a document are kept.",
    "group_words": "Words are token ids: `preprocess.json` has the elements in the order of their ids (0 is padding, 1 "
    "stands for none of them).",
    "windows": "Texts are token ids: `preprocess.json` has the tokens in the order of their ids (0 is padding, 1 any "
    "token that is not there) and the name of the tokenizer.",
}


def text(said: Mapping[str, Any]) -> str:
    """The page for what ``export.json`` says."""
    lines = [
        f"# {said['name']}: a {said['model']}, exported to {said['format']}",
        "",
        f"`{said['file']}` is {_ABOUT[said['format']]}. Made by rnnjax {said['versions']['rnnjax']} on "
        f"{said['created']}; `export.json` says all of this for programs.",
        "",
        "It is given:",
        "",
        *(f"- `{name}`: {_shape(like)}" for name, like in said["inputs"].items()),
        "",
        f"and answers with {' and '.join(_shape(like) for like in said['outputs'])}: {_meaning(said)}",
    ]
    if free := [size for size in ("batch", "time") if any(size in shape for shape, _ in said["inputs"].values())]:
        lines += ["", f"{' and '.join(f'`{size}`' for size in free)} may be any number from 1."]
    if "lengths" in said["inputs"]:
        lines += [
            "",
            "`lengths` says how many steps of each row are real, from 0 to all.",
        ]
    if said["preprocess"] in _PREPROCESSING:
        lines += ["", _PREPROCESSING[said["preprocess"]]]
    lines += ["", "In this folder, its answer to the sample in it, less the answer when it was exported:", ""]
    loader = _LOADERS[said["format"]].rstrip()
    if len(said["outputs"]) > 1 and said["format"] != "safetensors":
        loader = loader.rpartition("\n")[0] + "\nprint(outputs)"
    if said["format"] == "safetensors":
        lines[-2] = "In this folder, its arrays:"
    lines += ["```python", loader, "```", ""]
    lines += ["With rnnjax, `python -m rnnjax.export FOLDER` compares the two.", "", *_streaming(said)]
    return "\n".join(lines)


def _streaming(said: Mapping[str, Any]) -> list[str]:
    step = said.get("step")
    if step is None:
        return []
    if "missing" in step:
        return ["## Streams", "", f"There is no program for one step: {step['missing']}.", ""]
    given = {**step["inputs"], **step["carry"]}
    return [
        "## Streams",
        "",
        f"`{step['file']}` is one step: a carry goes in, and one comes out. `carry.npz` has the first, of one row. It "
        "is given:",
        "",
        *(f"- `{name}`: {_shape(like)}" for name, like in given.items()),
        "",
        "```python",
        _STEPS[said["format"]].rstrip(),
        "```",
        "",
    ]


def _shape(like: Any) -> str:
    shape, dtype = like
    return f"{dtype} [{', '.join(map(str, shape))}]"


def _code(text: str) -> str:
    """Text as Markdown shows it letter by letter, backticks too (https://spec.commonmark.org/0.31.2/#code-spans)."""
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    around = " " if "`" in text else ""
    return f"{fence}{around}{' '.join(text.split())}{around}{fence}"


def _meaning(said: Mapping[str, Any]) -> str:
    if "written" in said:
        meant = " and ".join(_WRITTEN.get(name, f"`{name}`") for name in said["written"])
        return f"{meant}; `targets` has no column, since nobody knows them."
    if said["task"] == "classification" and said["outputs"][0][0][-1] == 1 and len(said["labels"]) == 2:
        return f"a logit, above 0 for {_code(said['labels'][1])} and below for {_code(said['labels'][0])}."
    if said["labels"]:
        listed = ", ".join(map(_code, said["labels"][:20]))
        more = ", ... (all are in `export.json`)" if len(said["labels"]) > 20 else ""
        return f"values for {listed}{more}, in this order; of classes, logits."
    return f"the outputs of the task {said['task']}."
