"""A tree of parameters in the form of the layer that is to take it."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.errors import UsageError
from rnnjax.layers.convert.arrays import Tree


def fitted(tree: Mapping[str, Any], layer: nn.Module) -> Tree:
    """A converted tree in the form of a layer, every name and shape of which is checked.

    Args:
      tree: of ``from_torch``, ``from_keras`` or ``from_flax``.
      layer: an ``RNN``, ``Bidirectional`` or ``StackedRNN``. One layer's tree is taken by a ``StackedRNN`` of one
        layer, and that of a stack of one by an ``RNN`` or ``Bidirectional``.

    Returns:
      The parameters of ``layer``: ``layer.apply({"params": fitted(tree, layer)}, inputs)``.

    Raises:
      UsageError: if it is a tree of other layers, directions, cells or sizes; the first difference is named.
    """
    kernel = next((leaf for path, leaf in _leaves(tree).items() if path.endswith("input_kernel")), None)
    if kernel is None:
        raise UsageError(f"expected the parameters of recurrent layers, got a tree of {sorted(tree)}")
    inputs = jax.ShapeDtypeStruct((1, 1, np.shape(kernel)[0]), jnp.float32)
    made = jax.eval_shape(layer.init, jax.random.key(0), inputs)["params"]
    own = dict(tree)
    if "layers_0" in made and "layers_0" not in own:
        own = {"layers_0": own}
    elif "layers_0" not in made and set(own) == {"layers_0"}:
        own = dict(own["layers_0"])
    wanted = _leaves(made)
    got, name = _leaves(own), type(layer).__name__
    if missing := sorted(set(wanted) - set(got)):
        raise UsageError(f"the parameters do not fit this {name}: it has {missing[0]!r}, they have {_listed(got)}")
    if more := sorted(set(got) - set(wanted)):
        raise UsageError(f"the parameters do not fit this {name}: {more[0]!r} is none of its {_listed(wanted)}")
    for path, like in wanted.items():
        if np.shape(got[path]) != like.shape:
            raise UsageError(
                f"the parameters do not fit this {name}: {path!r} has shape {np.shape(got[path])}, not {like.shape}"
            )
    return own


def _leaves(tree: Any) -> dict[str, Any]:
    found = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in found}


def _listed(leaves: Mapping[str, Any]) -> str:
    return f"{', '.join(sorted(leaves)[:4])}{' and others' if len(leaves) > 4 else ''}"
