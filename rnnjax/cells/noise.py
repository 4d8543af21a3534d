"""Random masks of a recurrence: of its recurrent product, its recurrent kernel and its carry."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array


class Noise(NamedTuple):
    """Dropout masks of the recurrent product, already divided by the probability of keeping.

    Attributes:
      hidden: ``[..., H]``, multiplies the hidden state where it meets ``recurrent_kernel``.
      kernel: the shape of ``recurrent_kernel``, multiplies it (DropConnect).
    """

    hidden: Array | None = None
    kernel: Array | None = None


SILENT = Noise()


def dropout_mask(key: Array, shape: tuple[int, ...], rate: float) -> Array:
    """Zeros with probability ``rate``, and else what keeps the expectation: ``1 / (1 - rate)``."""
    return jnp.where(jax.random.bernoulli(key, 1 - rate, shape), 1 / (1 - rate), 0.0)


def zoneout(key: Array | None, old: Any, new: Any, rates: Any) -> Any:
    """Keeps each unit of the carry ``old`` with its array's probability in ``rates``, else takes ``new``.

    Without a key it gives the expectation of that (Krueger et al. 2017, arXiv:1606.01305).
    """
    leaves, tree = jax.tree.flatten(new)
    mixed = []
    for place, (before, after, rate) in enumerate(
        zip(jax.tree.leaves(old), leaves, jax.tree.leaves(rates), strict=True)
    ):
        if key is None:
            mixed.append((rate * before + (1 - rate) * after).astype(after.dtype))
        else:
            keep = jax.random.bernoulli(jax.random.fold_in(key, place), rate, after.shape)
            mixed.append(jnp.where(keep, before, after))
    return jax.tree.unflatten(tree, mixed)
