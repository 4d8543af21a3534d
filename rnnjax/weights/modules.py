"""Modules of this package as JSON, and back: a file says what its weights belong to, and runs no code of its own."""

import dataclasses
import math
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.errors import DataError, UsageError
from rnnjax.layers.cell_names import CELL_CLASSES

_HOMES = {path.rpartition(".")[2]: f"rnnjax.layers.cells.{path.partition('.')[0]}" for path in CELL_CLASSES.values()}
_HOMES |= dict.fromkeys(("RNN", "Bidirectional", "StackedRNN"), "rnnjax.layers.recurrence")
_HOMES |= {"ForeignCell": "rnnjax.layers.cells.foreign", "LearnedCarry": "rnnjax.layers.carries"}
_HOMES |= dict.fromkeys(("ConvStack", "SequenceConvStack"), "rnnjax.layers.conv")
_HOMES |= dict.fromkeys(("ImageClassifier", "MirroredImageClassifier"), "rnnjax.models.image")
_HOMES |= {
    "AttentionPool": "rnnjax.layers.pooling",
    "Carried": "rnnjax.layers.carried",
    "ColumnEncoder": "rnnjax.models.columns",
    "Decoder": "rnnjax.models.decoder",
    "EncoderDecoder": "rnnjax.models.encoder_decoder",
    "FastConvStack": "rnnjax.layers.fast_conv",
    "Outputs": "rnnjax.layers.outputs",
    "PooledHead": "rnnjax.models.head",
    "RecurrentLM": "rnnjax.models.language",
    "SegmentForecaster": "rnnjax.models.forecast",
    "SequenceNet": "rnnjax.models.sequence",
    "StepHead": "rnnjax.models.head",
    "Sweep": "rnnjax.layers.sweeps",
    "SweepStack": "rnnjax.layers.sweeps",
    "TextClassifier": "rnnjax.models.text",
    "TokenEncoder": "rnnjax.models.encoder_decoder",
    "ViewedImageClassifier": "rnnjax.models.views",
}
_HOMES["MaskedBatchNorm"] = "rnnjax.layers.masked_norm"
_HOMES |= dict.fromkeys(("Dense", "Embed", "LayerNorm", "Dropout", "Conv", "BatchNorm", "Sequential"), "flax.linen")
# Cells of Flax, of which some are called as ours are.
_FLAX = ("flax.LSTMCell", "flax.OptimizedLSTMCell", "flax.GRUCell", "flax.MGUCell", "flax.SimpleCell")
_HOMES |= dict.fromkeys(_FLAX, "flax.linen")
"""Where each module that a file may name lives. A file names no place, so that it can import nothing else."""

_FUNCTIONS = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
    "elu": jax.nn.elu,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "soft_sign": jax.nn.soft_sign,
}


def to_json(model: nn.Module) -> dict[str, Any]:
    """A module's class and fields as JSON values.

    Fields as the class has them by default are left out, and so are initialisers (``init``, ``..._init``): they make
    the first weights, and a file has later ones. That of a carry, which a cell of Flax draws in every call, is not.

    Raises:
      UsageError: if a part is of another class than those of this package, or a field is no plain value.
    """
    return _module(model, type(model).__name__)


def from_json(values: Any) -> nn.Module:
    """The inverse of :func:`to_json`.

    Raises:
      DataError: if it describes no module of this version.
    """
    try:
        made = _value_of(values)
    except (KeyError, TypeError, ValueError, AttributeError, UsageError, RecursionError) as error:
        raise DataError(f"it describes no model of this version of rnnjax ({str(error)[:200]})") from error
    if not isinstance(made, nn.Module):
        raise DataError("it describes no model")
    return made


def _module(module: nn.Module, where: str) -> dict[str, Any]:
    name = _name_of(type(module), where)
    fields = {}
    for field in dataclasses.fields(module):
        value = getattr(module, field.name, None)
        if field.name == "parent" or _makes_weights(field.name) or _is_default(field, value):
            continue
        fields[field.name] = _json_of(value, f"{where}.{field.name}")
    return {"module": name, "fields": fields}


def _name_of(cls: type, where: str) -> str:
    kind = cls.__name__
    name = next((name for name in (kind, f"flax.{kind}") if name in _HOMES and _class(name) is cls), None)
    if name is None:
        raise UsageError(f"{where}: {kind} is no module of rnnjax, so that a file cannot rebuild it")
    return name


def _class(name: str) -> type[nn.Module]:
    return getattr(import_module(_HOMES[name]), name.rpartition(".")[2])


def _makes_weights(field: str) -> bool:
    return (field == "init" or field.endswith("_init")) and field != "carry_init"


def _is_default(field: dataclasses.Field, value: Any) -> bool:
    return value is field.default or (isinstance(value, bool | int | float | str) and value == field.default)


def _json_of(value: Any, where: str) -> Any:
    if value is None or isinstance(value, bool | str) or type(value) is int:
        return value
    if isinstance(value, float | int | np.number) and not isinstance(value, np.generic | bool):
        return value if math.isfinite(value) else _refused(value, where)
    if isinstance(value, np.integer | np.floating | np.bool_):
        return _json_of(value.item(), where)
    if isinstance(value, list | tuple):
        return [_json_of(part, f"{where}[{place}]") for place, part in enumerate(value)]
    if isinstance(value, nn.Module):
        return _module(value, where)
    if isinstance(value, type) and issubclass(value, nn.Module):  # of the cells that a decoder makes
        return {"class": _name_of(value, where)}
    if isinstance(value, np.dtype | type) or type(value).__name__ == "_ScalarMeta":
        return {"dtype": _dtype_name(value, where)}
    known = [name for name, function in _FUNCTIONS.items() if function is value]
    return {"function": known[0]} if known else _refused(value, where)


def _dtype_name(value: Any, where: str) -> str:
    try:
        return jnp.dtype(value).name
    except TypeError:
        return _refused(value, where)


def _refused(value: Any, where: str) -> Any:
    shown = getattr(value, "__name__", None) or repr(value)[:60]
    raise UsageError(f"{where}: a file cannot rebuild {shown}")


def _value_of(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_value_of(part) for part in value)
    if not isinstance(value, Mapping):
        return value
    if "dtype" in value:
        return jnp.dtype(value["dtype"]).type
    if "class" in value:
        return _class(value["class"])
    if "function" in value:
        return _FUNCTIONS[value["function"]]
    return _class(value["module"])(**{name: _value_of(part) for name, part in value["fields"].items()})
