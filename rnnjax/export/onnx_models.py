"""The models of this package as graphs of ONNX's operators."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
from flax.core import meta

from rnnjax.data import ImagePreprocess, Preprocess
from rnnjax.data.sequence_preprocess import SequencePreprocess
from rnnjax.export import onnx_layers as layers
from rnnjax.export.arguments import Like
from rnnjax.export.onnx_graph import Graph, refuse
from rnnjax.export.onnx_recurrence import operator_of, recurrence, zero_beyond
from rnnjax.layers.carried import Carried
from rnnjax.layers.conv import ConvStack
from rnnjax.layers.recurrence import RNN, Bidirectional, StackedRNN
from rnnjax.models.head import StepHead, backward_features
from rnnjax.models.image import ImageClassifier, MirroredImageClassifier
from rnnjax.models.language import RecurrentLM
from rnnjax.models.sequence import SequenceNet
from rnnjax.models.text import TextClassifier


class _Call(NamedTuple):
    """A model's call as it is put into a graph.

    Attributes:
      params, stats: of the model.
      inputs: the name of its first argument.
      lengths: that of its lengths, or None.
      carry: the names of the carry's arrays that it starts from, or None.
    """

    params: Mapping[str, Any]
    stats: Mapping[str, Any]
    inputs: str
    lengths: str | None
    carry: Any


def answers(
    model: nn.Module, variables: Any, preprocess: Preprocess, inputs: Mapping[str, Like], outputs: Sequence[Any]
) -> bytes:
    """A file that answers as ``model.apply(variables, **preprocess.on_device(stored))``.

    Args:
      model: a classifier or a language model of this package.
      variables: of the model.
      preprocess: its normalisation is a part of the graph.
      inputs: the stored arrays.
      outputs: the shape of the output.

    Raises:
      UsageError: if ONNX cannot say a part of it, by name.
    """
    graph = Graph()
    _, made = _answered(graph, model, variables, preprocess, {name: name for name in inputs}, None)
    return graph.model(inputs, {"output": (made, outputs)})


def steps(
    model: nn.Module,
    variables: Any,
    preprocess: Preprocess,
    inputs: Mapping[str, Like],
    carry: Mapping[str, Like],
    structure: Any,
    outputs: Sequence[Any],
) -> bytes:
    """A file of one step: inputs ``[B, ...]`` without an axis of time, and a carry that goes in and comes out.

    Args:
      model: whose recurrence is :class:`rnnjax.layers.carried.Carried`.
      variables, preprocess: as :func:`answers` has them.
      inputs: of one step.
      carry: its arrays, which are called so where they go in; where they come out, ``next_`` stands before it.
      structure: from those to the layer's carry, a tree's definition.
      outputs: the shape of the output.
    """
    graph = Graph()
    taken = {name: graph.add("Unsqueeze", name, graph.integers(1)) for name in inputs}
    first = jax.tree.unflatten(structure, list(carry))
    after, made = _answered(graph, model, variables, preprocess, taken, first)
    if not isinstance(model, ImageClassifier | TextClassifier):
        made = graph.add("Squeeze", made, graph.integers(1))
    named = dict(zip(carry, jax.tree.leaves(after), strict=True))
    left = {f"next_{name}": (named[name], like.shape) for name, like in carry.items()}
    return graph.model({**inputs, **carry}, {"output": (made, outputs), **left})


def layer(module: nn.Module, variables: Any, *, lengths: bool = True, initial_carry: bool = False) -> bytes:
    """An ONNX file of a recurrent layer by itself.

    Its inputs are ``inputs [batch, time, D]``, ``lengths [batch]`` int32 and ``carry_0``, ``carry_1``, ... ``[batch,
    H]``, its outputs ``outputs [batch, time, H]`` and ``next_carry_0``, ...; carries are the leaves of the layer's
    carry, in the order of ``jax.tree.leaves``.

    Args:
      module: an RNN, Bidirectional or StackedRNN of the cells that ONNX has.
      variables: its variables.
      lengths: whether rows differ in length; else all steps are real.
      initial_carry: whether it starts from a carry that is given; else from zeros.

    Raises:
      UsageError: if ONNX cannot say a part of it, by name, or the packages are missing.
    """
    if type(module) not in (RNN, Bidirectional, StackedRNN):
        refuse(f"a layer of class {type(module).__name__} by itself")
    graph, free = Graph(), ("batch", "time")
    params = meta.unbox(dict(variables))["params"]
    width = _read(module, params)
    inputs = {"inputs": Like((*free, width), np.dtype(np.float32))}
    inputs |= {"lengths": Like(("batch",), np.dtype(np.int32))} if lengths else {}
    probe = jax.eval_shape(
        lambda: module.apply(variables, np.zeros((1, 1, width), np.float32)),
    )
    leaves, structure = jax.tree.flatten(probe[0])
    carry = {f"carry_{n}": Like(("batch", *leaf.shape[1:]), leaf.dtype) for n, leaf in enumerate(leaves)}
    first = jax.tree.unflatten(structure, list(carry)) if initial_carry else None
    named = "lengths" if lengths else None
    after, made = recurrence(graph, module, params, zero_beyond(graph, "inputs", named), named, first)
    outputs: dict[str, Any] = {"outputs": (made, (*free, probe[1].shape[-1]))}
    for name, leaf in zip(carry, jax.tree.leaves(after), strict=True):
        outputs[f"next_{name}"] = (leaf, carry[name].shape)
    return graph.model({**inputs, **(carry if initial_carry else {})}, outputs)


def _read(module: Any, params: Any) -> int:
    """How many features a layer reads."""
    if isinstance(module, StackedRNN):
        return _read(module.layers[0], params["layers_0"])
    if isinstance(module, Bidirectional):
        return _read(module.forward, params["forward"])
    if not isinstance(module, RNN):
        refuse(f"a recurrent layer of class {type(module).__name__}")
    operator_of(module)
    return params["cell"]["input_kernel"].shape[0]


def _answered(
    graph: Graph, model: nn.Module, variables: Any, preprocess: Preprocess, names: Mapping[str, str], carry: Any
) -> tuple[Any, str]:
    """The carry after the inputs, and the model's output."""
    makers: dict[type, Callable[..., tuple[Any, str]]] = {
        ImageClassifier: _image,
        MirroredImageClassifier: _mirrored,
        TextClassifier: _text,
        RecurrentLM: _language,
        SequenceNet: _sequence,
    }
    makers |= dict.fromkeys((RNN, Bidirectional, StackedRNN, Carried), _recurrent)
    if type(model) not in makers:
        refuse(f"a model of class {type(model).__name__}, which is not written as ONNX here")
    if set(names) - {"inputs", "lengths"}:
        refuse(f"a model of the inputs {', '.join(names)}")
    variables = meta.unbox(dict(variables))
    inputs = _normalised(graph, preprocess, names["inputs"])
    stats = variables.get("batch_stats", {})
    call = _Call(variables.get("params", {}), stats, inputs, names.get("lengths"), carry)
    return makers[type(model)](graph, model, call)


def _normalised(graph: Graph, preprocess: Preprocess, inputs: str) -> str:
    if type(preprocess) is ImagePreprocess:
        scaled = graph.add("Mul", graph.float(inputs), graph.constant(1 / 255))
        centred = graph.add("Sub", scaled, graph.constant(preprocess.mean))
        images = graph.add("Div", centred, graph.constant(preprocess.std))
        if not preprocess.order:
            return images
        height, width, channels = preprocess.shape
        pixels = graph.reshape(images, 0, -1, channels)
        ordered = graph.add("Gather", pixels, graph.integers(*preprocess.order), axis=1)
        return graph.reshape(ordered, 0, height, width, channels)
    if type(preprocess) is SequencePreprocess and preprocess.mel is None:
        return inputs
    if type(preprocess).on_device is not Preprocess.on_device:
        refuse(f"the preprocessing {type(preprocess).__name__}, which computes something of its own")
    return inputs


def _recurrent(graph: Graph, model: Any, call: _Call) -> tuple[Any, str]:
    inputs = zero_beyond(graph, call.inputs, call.lengths)
    return recurrence(graph, model, call.params, inputs, call.lengths, call.carry)


def _text(graph: Graph, model: TextClassifier, call: _Call) -> tuple[Any, str]:
    words, lengths = _embedded(graph, call), call.lengths
    if model.conv is not None:
        assert lengths is not None, "a model with convolutions has no step"
        params, stats = call.params["conv"], call.stats.get("conv", {})
        words, lengths = layers.convolutions_over_time(graph, model.conv, params, stats, words, lengths)
    words = zero_beyond(graph, words, lengths)
    carry, outputs = recurrence(graph, model.recurrent, call.params["recurrent"], words, lengths, call.carry)
    return carry, _logits(graph, model, call.params["head"], outputs, lengths)


def _sequence(graph: Graph, model: SequenceNet, call: _Call) -> tuple[Any, str]:
    if model.instance_norm:
        refuse("a model that normalises each sequence by itself")
    inputs, lengths = call.inputs, call.lengths
    if model.conv is not None:
        assert lengths is not None, "a model with convolutions has no step"
        params, stats = call.params["conv"], call.stats.get("conv", {})
        inputs, lengths = layers.convolutions_over_time(graph, model.conv, params, stats, inputs, lengths)
    inputs = zero_beyond(graph, inputs, lengths)
    carry, outputs = recurrence(graph, model.recurrent, call.params["recurrent"], inputs, lengths, call.carry)
    return carry, _logits(graph, model, call.params["head"], outputs, lengths)


def _logits(graph: Graph, model: TextClassifier | SequenceNet, params: Any, outputs: str, lengths: str | None) -> str:
    if isinstance(model.head, StepHead):
        return layers.dense_layers(graph, len(model.head.dense), params, outputs)
    return layers.head(graph, model.head, params, outputs, lengths, backward_features(model.head, model.recurrent))


def _language(graph: Graph, model: RecurrentLM, call: _Call) -> tuple[Any, str]:
    words = _embedded(graph, call)
    carry, outputs = recurrence(graph, model.recurrent, call.params["recurrent"], words, None, call.carry)
    if not model.tied:
        return carry, layers.dense(graph, call.params["head"], outputs)
    if "to_embedding" in call.params:
        outputs = layers.dense(graph, call.params["to_embedding"], outputs)
    turned = np.asarray(call.params["Embed_0"]["embedding"]).T
    return carry, layers.dense(graph, {"kernel": turned, "bias": call.params["head_bias"]}, outputs)


def _embedded(graph: Graph, call: _Call) -> str:
    return graph.add("Gather", graph.constant(call.params["Embed_0"]["embedding"]), call.inputs, axis=0)


def _image(graph: Graph, model: ImageClassifier, call: _Call) -> tuple[Any, str]:
    inputs, params = call.inputs, call.params
    for stack in (model.conv, model.conv_after):
        if stack is not None and type(stack) is not ConvStack:
            refuse(f"a {type(stack).__name__}")
    if model.conv is not None:
        inputs = layers.convolutions(graph, model.conv, params["conv"], call.stats.get("conv", {}), inputs)  # pyright: ignore
    if model.recurrent is None:
        return None, layers.head(graph, model.head, params["head"], _pixels(graph, inputs), None, 0)
    sequence = graph.reshape(inputs, 0, 0, -1) if model.read_by == "rows" else _pixels(graph, inputs)
    carry, outputs = recurrence(graph, model.recurrent, params["recurrent"], sequence, None, call.carry)
    if model.conv_after is None:
        backward = backward_features(model.head, model.recurrent)
        return carry, layers.head(graph, model.head, params["head"], outputs, None, backward)
    # As images of the same height and width again: with the channels that the recurrence made.
    sides = [graph.add("Slice", graph.add("Shape", inputs), graph.integers(0), graph.integers(3))]
    shape = graph.add("Concat", *sides, graph.integers(-1), axis=0)
    maps = graph.add("Reshape", outputs, shape)
    stats = call.stats.get("conv_after", {})
    maps = layers.convolutions(graph, model.conv_after, params["conv_after"], stats, maps)  # pyright: ignore
    return carry, layers.head(graph, model.head, params["head"], _pixels(graph, maps), None, 0)


def _mirrored(graph: Graph, model: MirroredImageClassifier, call: _Call) -> tuple[Any, str]:
    width = graph.integers(2)
    turned = graph.add(
        "Slice", call.inputs, graph.integers(-1), graph.integers(np.iinfo(np.int64).min), width, graph.integers(-1)
    )
    _, straight = _image(graph, model, call)
    _, other = _image(graph, model, call._replace(inputs=turned))
    return None, graph.add("Mul", graph.add("Add", straight, other), graph.constant(0.5))


def _pixels(graph: Graph, maps: str) -> str:
    """``[B, height, width, C]`` to ``[B, height * width, C]``."""
    channels = graph.add("Slice", graph.add("Shape", maps), graph.integers(3), graph.integers(4))
    shape = graph.add("Concat", graph.integers(0, -1), channels, axis=0)
    return graph.add("Reshape", maps, shape)
