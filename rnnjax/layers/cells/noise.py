"""Random masks of a recurrence: of its recurrent product, its recurrent kernel and its carry."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array


class Noise(NamedTuple):
    """Dropout masks of the recurrent product, already divided by the probability of keeping; and the sequence mask.

    Attributes:
      hidden: ``[..., H]``, multiplies the hidden state where it meets ``recurrent_kernel``.
      kernel: the shape of ``recurrent_kernel``, multiplies it (DropConnect).
      real: ``[..., 1]`` booleans, True for the rows whose step is real; None where all are. Most steps need none, since
        what they make of other rows is thrown away; one that takes statistics over rows needs :attr:`counted`.
    """

    hidden: Array | None = None
    kernel: Array | None = None
    real: Array | None = None

    @property
    def counted(self) -> Array | None:
        """:attr:`real`, but all True where no row is: a mean over no rows would be NaN, and so would its gradient."""
        return None if self.real is None else self.real | ~self.real.any()


SILENT = Noise()


def dropout_mask(key: Array, shape: tuple[int, ...], rate: float) -> Array:
    """Zeros with probability ``rate``, and else what keeps the expectation: ``1 / (1 - rate)``."""
    return jnp.where(jax.random.bernoulli(key, 1 - rate, shape), 1 / (1 - rate), 0.0)


def zoneout_mask(key: Array, carry: Any, rates: Any) -> Any:
    """For each unit of the carry, whether it keeps its old value, with its array's probability in ``rates``."""
    leaves, tree = jax.tree.flatten(carry)
    return jax.tree.unflatten(
        tree,
        [
            jax.random.bernoulli(jax.random.fold_in(key, place), rate, leaf.shape)
            for place, (leaf, rate) in enumerate(zip(leaves, jax.tree.leaves(rates), strict=True))
        ],
    )


def zoneout(stay: Any, old: Any, new: Any) -> Any:
    """``old`` where ``stay`` is True, else ``new``; with rates in place of booleans, the expectation.

    (Krueger et al. 2017, arXiv:1606.01305.)
    """

    def mix(stay, before, after):
        if jnp.result_type(stay) == jnp.bool_:
            return jnp.where(stay, before, after)
        return (stay * before + (1 - stay) * after).astype(after.dtype)

    return jax.tree.map(mix, stay, old, new)
