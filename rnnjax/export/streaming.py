"""A model that reads forwards, one step at a time: a carry goes in, and one comes out."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.data.spec import nested
from rnnjax.errors import UsageError
from rnnjax.export.arguments import Like, plain
from rnnjax.layers.carried import CARRY, Carried
from rnnjax.layers.recurrence import RNN, Bidirectional, StackedRNN
from rnnjax.models.image import ImageClassifier
from rnnjax.models.language import RecurrentLM
from rnnjax.models.text import TextClassifier
from rnnjax.runs.predict import Predictor

Array = jax.Array


class Stream(NamedTuple):
    """One step of a model.

    Attributes:
      model: whose recurrence is :class:`rnnjax.layers.carried.Carried`; its parameters lie where the model's do.
      variables: of it, without a carry.
      predictor: that it is a step of.
      inputs: the stored arrays of one step, without an axis of time.
      first: the arrays of the carry before the first step, of one row, in dtypes that NumPy's files hold.
      dtypes: that the layer has them in.
      structure: from those to the layer's carry.
    """

    model: nn.Module
    variables: Mapping[str, Any]
    predictor: Predictor
    inputs: Mapping[str, Like]
    first: Mapping[str, np.ndarray]
    dtypes: Sequence[Any]
    structure: Any

    @property
    def carry(self) -> dict[str, Like]:
        """The carry's arrays, for as many rows as the inputs have."""
        rows = next(iter(self.inputs.values())).shape[0]
        return {name: Like((rows, *array.shape[1:]), array.dtype) for name, array in self.first.items()}

    def step(self, variables: Any, carry: Mapping[str, Array], stored: Mapping[str, Array]) -> tuple[Any, Any]:
        """The output ``[B, ...]`` after a step, and the carry for the next."""
        before = [carry[name].astype(dtype) for name, dtype in zip(self.first, self.dtypes, strict=True)]
        state = jax.tree.unflatten(self.structure, before)
        given = self.predictor.preprocess.on_device({name: array[:, None] for name, array in stored.items()})
        given = {name: given[name] for name in stored}
        if "lengths" in self.predictor.spec.inputs:
            given["lengths"] = jnp.ones(next(iter(given.values())).shape[0], jnp.int32)
        outputs, changed = self.model.apply(
            {**variables, CARRY: {**_around(self.model, state)}}, mutable=[CARRY], **nested(given)
        )
        outputs = outputs[1] if isinstance(outputs, tuple) else outputs
        leaves = map(_plain, jax.tree.leaves(changed[CARRY]))
        outputs = outputs if isinstance(self.model, ImageClassifier | TextClassifier) else outputs[:, 0]
        return _plain(outputs), dict(zip(self.first, leaves, strict=True))

    def over(self, stored: Mapping[str, np.ndarray]) -> Any:
        """The output after every step of sequences ``[B, T, ...]`` of one length, ``[B, T, ...]``."""
        rows, steps = next(iter(stored.values())).shape[:2]
        carry: Any = {name: np.repeat(array, rows, axis=0) for name, array in self.first.items()}
        call, outputs = jax.jit(self.step), []
        for place in range(steps):
            output, carry = call(self.variables, carry, {name: array[:, place] for name, array in stored.items()})
            outputs.append(np.asarray(output))
        return np.stack(outputs, axis=1)


def stream(predictor: Predictor, likes: Mapping[str, Like]) -> Stream:
    """A model's step.

    Args:
      predictor: the model.
      likes: the arguments of the whole sequence's program.

    Raises:
      UsageError: if it has none, with the reason.
    """
    model = _carried(predictor.model)
    variables = {name: tree for name, tree in predictor.variables.items() if name != CARRY}
    inputs = {name: Like(like.shape[:1] + like.shape[2:], like.dtype) for name, like in likes.items()}
    inputs.pop("lengths", None)
    if set(inputs) != {"inputs"}:
        raise UsageError(f"it reads {', '.join(inputs)}, and a step is of one sequence")
    shape = predictor.spec.inputs["inputs"].shape
    width = model.embedding_features if isinstance(model, TextClassifier | RecurrentLM) else int(shape[-1])
    if isinstance(model, ImageClassifier):
        width = int(np.prod(shape[2:]))
    first = jax.jit(nn.apply(_first, model), static_argnums=1)(variables, width)
    leaves, structure = jax.tree.flatten(first)
    names = {f"carry_{number}": np.asarray(_plain(leaf)) for number, leaf in enumerate(leaves)}
    return Stream(model, variables, predictor, inputs, names, [leaf.dtype for leaf in leaves], structure)


def _plain(leaf: Array) -> Array:
    return leaf.astype(plain(leaf.dtype))


def _first(model: Any, width: int) -> Any:
    """The carry from which a row starts: the layer's own, which a step that is not real leaves as it is."""
    layer = model if isinstance(model, Carried) else model.recurrent
    return layer.first(jnp.zeros((1, 1, width), jnp.float32))


def _around(model: nn.Module, state: Any) -> dict[str, Any]:
    """The collection of the carry."""
    return {"state": state} if isinstance(model, Carried) else {"recurrent": {"state": state}}


def _carried(model: nn.Module) -> Any:
    """The model with a recurrence that goes on from call to call; raises UsageError where a step is not enough."""
    if type(model) in (RNN, StackedRNN, Carried):
        carried = model if isinstance(model, Carried) else Carried(model)
    elif type(model) is RecurrentLM:
        carried = _with_carry(model)
    elif type(model) in (ImageClassifier, TextClassifier):
        if (whole := _needs_all(model)) is not None:
            raise UsageError(whole)
        carried = _with_carry(model)
    else:
        raise UsageError(f"no step is known here of a model of class {type(model).__name__}")
    layer = carried.layer if isinstance(carried, Carried) else carried.recurrent.layer
    if (reason := _no_stream(layer)) is not None:
        raise UsageError(reason)
    return carried


def _with_carry(model: Any) -> Any:
    inner = model.recurrent
    return model if isinstance(inner, Carried) else model.clone(recurrent=Carried(inner))


def _no_stream(layer: Any) -> str | None:
    """Why a layer cannot go on from a carry, or None where it can."""
    if isinstance(layer, StackedRNN):
        return next(filter(None, map(_no_stream, layer.layers)), None)
    if isinstance(layer, Bidirectional) or getattr(layer, "reverse", False):
        return "it reads backwards too, from a sequence's end"
    return None if isinstance(layer, RNN) else f"nothing is known here of streams through a {type(layer).__name__}"


def _needs_all(model: Any) -> str | None:
    """Why a classifier cannot answer to what it has read so far."""
    if model.conv is not None or getattr(model, "conv_after", None) is not None:
        return "its convolutions see several steps at once"
    if model.recurrent is None:
        return "it has no recurrence"
    if getattr(model, "read_by", "rows") != "rows":
        return "it reads an image pixel by pixel, and its input is a row of them"
    if set(model.head.pooling) != {"last"}:
        return f"its classifier sees the {' and '.join(model.head.pooling)} over all steps"
    return None
