"""The layers beside recurrent ones in a PyTorch model: ``Linear`` and ``Embedding``.

Keras keeps both as Flax does: ``{"kernel": w, "bias": b}`` of ``Dense.get_weights()`` is that of ``nn.Dense``, and
``{"embedding": w}`` of ``Embedding.get_weights()`` that of ``nn.Embed``.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnjax.errors import UsageError
from rnnjax.layers.convert.arrays import Tree, as_array, own_arrays, take
from rnnjax.layers.convert.torch import below, for_torch


@own_arrays
def dense_from_torch(state: Mapping[str, Any], prefix: str = "") -> Tree:
    """The parameters of ``flax.linen.Dense`` from those of ``torch.nn.Linear``.

    Args:
      state: a state dict with ``weight [out, in]`` and maybe ``bias [out]``.
      prefix: of a whole model's, the name of the module, such as ``"head"``.

    Returns:
      ``kernel [in, out]`` and, where there is one, ``bias``; without, it is for ``nn.Dense(use_bias=False)``.

    Raises:
      UsageError: if the names or shapes are others.
    """
    arrays = _only(below(state, prefix), {"weight", "bias"}, "a Linear", prefix)
    weight = take(arrays, "weight", None, None)
    made = {"kernel": weight.T}
    return made | ({"bias": take(arrays, "bias", len(weight))} if "bias" in arrays else {})


@own_arrays
def dense_to_torch(params: Mapping[str, Any], prefix: str = "") -> dict[str, np.ndarray]:
    """The inverse of :func:`dense_from_torch`: ``weight`` and maybe ``bias``, with ``prefix`` before their names."""
    arrays = _only({name: as_array(leaf) for name, leaf in params.items()}, {"kernel", "bias"}, "a Linear", "")
    kernel = take(arrays, "kernel", None, None)
    made = {"weight": kernel.T} | ({"bias": take(arrays, "bias", kernel.shape[1])} if "bias" in arrays else {})
    return _prefixed(made, prefix)


@own_arrays
def embedding_from_torch(state: Mapping[str, Any], prefix: str = "") -> Tree:
    """The parameters of ``flax.linen.Embed`` from those of ``torch.nn.Embedding``; as :func:`dense_from_torch`.

    ``padding_idx`` makes its row zero at first and keeps gradients from it; here it is a row like others, and padding
    is what ``lengths`` or ``mask`` say.
    """
    return {"embedding": take(_only(below(state, prefix), {"weight"}, "an Embedding", prefix), "weight", None, None)}


@own_arrays
def embedding_to_torch(params: Mapping[str, Any], prefix: str = "") -> dict[str, np.ndarray]:
    """The inverse of :func:`embedding_from_torch`."""
    arrays = _only({name: as_array(leaf) for name, leaf in params.items()}, {"embedding"}, "an Embedding", "")
    return _prefixed({"weight": take(arrays, "embedding", None, None)}, prefix)


def _only(arrays: dict[str, np.ndarray], names: set[str], what: str, prefix: str) -> dict[str, np.ndarray]:
    if unknown := sorted(set(arrays) - names):
        where = f" {prefix!r}" if prefix else ""
        raise UsageError(f"{unknown[0]!r} is no parameter of {what}{where}; name the module by prefix=")
    return arrays


def _prefixed(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    prefix = f"{prefix.rstrip('.')}." if prefix else ""
    return {f"{prefix}{name}": for_torch(array) for name, array in arrays.items()}
