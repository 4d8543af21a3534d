"""Devices that are not there: programs are compiled for them, and what would lie on them stays a shape."""

from typing import Any

import jax
import numpy as np

from rnnjax.training.parallel import DataParallel


class Absent(DataParallel):
    """As :class:`rnnjax.training.parallel.DataParallel`, of compile-only devices."""

    def replicate(self, tree: Any) -> Any:
        """The shapes of the leaves."""
        return jax.tree.map(_shape, tree)

    def scattered(self, array: np.ndarray) -> Any:
        """The shape of the rows of all devices."""
        return _shape(array)


def _shape(leaf: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype)
