"""What stands around recurrences in the models of this package, as ONNX's operators."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import numpy as np

from rnnjax.export.onnx_graph import Graph
from rnnjax.export.onnx_recurrence import mask
from rnnjax.layers.conv import ConvStack, SequenceConvStack
from rnnjax.models.head import PooledHead

Params = Mapping[str, Any]

_LOWEST = float(np.finfo(np.float32).min)


def dense(graph: Graph, params: Params, inputs: str) -> str:
    """A product with a kernel, and a bias: ``[..., D]`` to ``[..., H]``."""
    product = graph.add("MatMul", inputs, graph.constant(params["kernel"]))
    return graph.add("Add", product, graph.constant(params["bias"])) if "bias" in params else product


def head(graph: Graph, module: PooledHead, params: Params, outputs: str, lengths: str | None, backward: int) -> str:
    """``[B, T, H]`` to logits ``[B, outputs]``; ``backward`` as in :func:`rnnjax.layers.pooling.pool`."""
    real = None if lengths is None else mask(graph, outputs, lengths)
    kinds = {
        "last": lambda: _last(graph, outputs, lengths, backward),
        "mean": lambda: _mean(graph, outputs, lengths, real),
        "max": lambda: _max(graph, outputs, lengths, real),
        "attention": lambda: _attention(graph, params["attention"], outputs, real),
    }
    pooled = [kinds[kind]() for kind in module.pooling]
    values = pooled[0] if len(pooled) == 1 else graph.add("Concat", *pooled, axis=-1)
    return dense_layers(graph, len(module.dense), params, values)


def dense_layers(graph: Graph, hidden: int, params: Params, values: str) -> str:
    """So many dense layers with ReLU, and one without."""
    for number in range(hidden):
        values = graph.add("Relu", dense(graph, params[f"Dense_{number}"], values))
    return dense(graph, params[f"Dense_{hidden}"], values)


def _column(graph: Graph, name: str) -> str:
    return graph.add("Unsqueeze", name, graph.integers(-1))


def _mean(graph: Graph, outputs: str, lengths: str | None, real: str | None) -> str:
    if lengths is None or real is None:
        return graph.add("ReduceMean", outputs, axes=[1], keepdims=0)
    total = graph.add("ReduceSum", graph.where(_column(graph, real), outputs), graph.integers(1), keepdims=0)
    count = graph.add("Max", graph.float(lengths), graph.constant(1))
    return graph.add("Div", total, _column(graph, count))


def _max(graph: Graph, outputs: str, lengths: str | None, real: str | None) -> str:
    if lengths is None or real is None:
        return graph.add("ReduceMax", outputs, axes=[1], keepdims=0)
    shown = graph.add("Where", _column(graph, real), outputs, graph.constant(_LOWEST))
    return graph.where(_some(graph, lengths), graph.add("ReduceMax", shown, axes=[1], keepdims=0))


def _attention(graph: Graph, params: Params, outputs: str, real: str | None) -> str:
    """As :class:`rnnjax.AttentionPool`; a row without a real step has weights, but of zeros."""
    outputs = outputs if real is None else graph.where(_column(graph, real), outputs)
    scores = dense(graph, params["query"], graph.add("Tanh", dense(graph, params["hidden"], outputs)))
    if real is not None:
        scores = graph.add("Where", _column(graph, real), scores, graph.constant(_LOWEST))
    weights = graph.add("Softmax", scores, axis=1)
    return graph.add("ReduceSum", graph.add("Mul", weights, outputs), graph.integers(1), keepdims=0)


def _some(graph: Graph, lengths: str) -> str:
    """Which rows have a real step, ``[B, 1]``."""
    return _column(graph, graph.add("Greater", lengths, graph.constant(0, np.int32)))


def _last(graph: Graph, outputs: str, lengths: str | None, backward: int) -> str:
    """What the forward features hold at a row's last real step, and the backward ones at its first."""
    if lengths is None:
        last = graph.add("Gather", outputs, graph.constant(-1, np.int64), axis=1)
    else:
        place = graph.add("Max", graph.add("Sub", lengths, graph.constant(1, np.int32)), graph.constant(0, np.int32))
        last = graph.add("GatherND", outputs, _column(graph, graph.int64(place)), batch_dims=1)
    if backward:
        first = graph.add("Gather", outputs, graph.constant(0, np.int64), axis=1)
        ahead = graph.add("Slice", last, graph.integers(0), graph.integers(-backward), graph.integers(-1))
        end = graph.integers(np.iinfo(np.int64).max)
        behind = graph.add("Slice", first, graph.integers(-backward), end, graph.integers(-1))
        last = graph.add("Concat", ahead, behind, axis=-1)
    return last if lengths is None else graph.where(_some(graph, lengths), last)


def convolutions(graph: Graph, module: ConvStack, variables: Params, stats: Params, images: str) -> str:
    """``[B, height, width, C]`` to ``[B, height / pool^n, width / pool^n, features[-1]]`` for n poolings."""
    place = 0 if module.pool_early else module.convs_per_pool - 1
    images = graph.add("Transpose", images, perm=[0, 3, 1, 2])
    for number in range(len(module.features)):
        pools = module.pool > 1 and number % module.convs_per_pool == place
        images = _convolution(graph, variables[f"Conv_{number}"], images)
        if pools and module.pool_early:
            images = _max_pool(graph, images, module.pool)
        if module.batch_norm:
            images = _batch_norm(graph, variables, stats, f"BatchNorm_{number}", images)
        images = graph.add("Relu", images)
        if pools and not module.pool_early:
            images = _max_pool(graph, images, module.pool)
    return graph.add("Transpose", images, perm=[0, 2, 3, 1])


def _batch_norm(graph: Graph, variables: Params, stats: Params, name: str, inputs: str) -> str:
    """By the running averages: ``[B, C, *size]``."""
    norm = {**variables[name], **stats[name]}
    parts = [graph.constant(norm[part]) for part in ("scale", "bias", "mean", "var")]
    return graph.add("BatchNormalization", inputs, *parts, epsilon=nn.BatchNorm.epsilon)


def _convolution(graph: Graph, params: Params, inputs: str) -> str:
    """Stride 1 and zeros around, to the same size: ``[B, C, *size]`` to ``[B, D, *size]``."""
    kernel = np.asarray(params["kernel"])
    window = kernel.shape[:-2]
    turned = graph.constant(np.moveaxis(kernel, (-1, -2), (0, 1)))
    bias = [graph.constant(params["bias"])] if "bias" in params else []
    pads = [(size - 1) // 2 for size in window] + [size // 2 for size in window]
    return graph.add("Conv", inputs, turned, *bias, kernel_shape=list(window), pads=pads)


def _max_pool(graph: Graph, images: str, window: int) -> str:
    return graph.add("MaxPool", images, kernel_shape=[window] * 2, strides=[window] * 2)


def convolutions_over_time(
    graph: Graph, module: SequenceConvStack, params: Params, stats: Params, inputs: str, lengths: str
) -> tuple[str, str]:
    """``[B, T, D]`` and ``lengths [B]`` to ``[B, T', features[-1]]`` and its lengths."""
    for number in range(len(module.features)):
        inputs = graph.where(_column(graph, mask(graph, inputs, lengths)), inputs)
        inputs = graph.add("Transpose", inputs, perm=[0, 2, 1])
        inputs = _convolution(graph, params[f"Conv_{number}"], inputs)
        if module.batch_norm:
            inputs = _batch_norm(graph, params, stats, f"MaskedBatchNorm_{number}", inputs)
        inputs = graph.add("Relu", inputs)
        inputs = graph.add("Transpose", inputs, perm=[0, 2, 1])
        inputs = graph.where(_column(graph, mask(graph, inputs, lengths)), inputs)
        if module.pool > 1:
            inputs, lengths = _windows(graph, inputs, lengths, module.pool)
    return inputs, lengths


def _windows(graph: Graph, inputs: str, lengths: str, size: int) -> tuple[str, str]:
    """The maximum over windows of steps, the last of which may be shorter, and how many windows are real."""
    inputs = graph.add("Transpose", inputs, perm=[0, 2, 1])
    missing = graph.add("Mod", graph.add("Neg", graph.size(inputs, 2)), graph.constant(size, np.int64))
    widths = graph.add(
        "Concat", graph.integers(0, 0, 0, 0, 0), graph.add("Reshape", missing, graph.integers(1)), axis=0
    )
    # Filled up with the least that ReLU gives: runtimes differ in what a window beyond the end is.
    inputs = graph.add("MaxPool", graph.add("Pad", inputs, widths), kernel_shape=[size], strides=[size])
    more = graph.add("Add", lengths, graph.constant(size - 1, np.int32))
    return graph.add("Transpose", inputs, perm=[0, 2, 1]), graph.add("Div", more, graph.constant(size, np.int32))
