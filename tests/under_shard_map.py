"""The compiled steps under ``jax.shard_map`` in place of ``jax.pmap``, to show that they depend on neither.

``RNNJAX_TEST_SPREAD=shard_map python -m pytest`` runs any test so; see ``tests/conftest.py``. The axes mean the same:
where one is 0, the leading axis is that of the devices, and is split over the mesh; where it is None, all devices have
the same.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from rnnjax.training.parallel import DataParallel

PMAP = DataParallel.spread
"""The package's own."""


def spread(
    self: DataParallel, function: Callable, in_axes: Any, out_axes: Any, donate: tuple[int, ...] = ()
) -> Callable:
    """As :meth:`rnnjax.training.parallel.DataParallel.spread`."""

    def one(*arguments: Any) -> Any:
        # pmap takes the devices' axis away; a part of one device's arrays has it still, of size 1.
        inside = [_map(_first, axes, argument) for axes, argument in zip(in_axes, arguments, strict=True)]
        return _map_all(_with_axis, out_axes, function(*inside))

    # Without check_vma: the steps sum over devices themselves. With it, gradients of what is replicated are summed
    # once more, and a carry of zeros is refused, since it does not vary over the mesh.
    mapped = jax.shard_map(
        one,
        mesh=Mesh(np.array(self.devices), (self.axis_name,)),
        in_specs=tuple(_specs(axes, self.axis_name) for axes in in_axes),
        out_specs=_specs(out_axes, self.axis_name),
        check_vma=False,
    )
    return jax.jit(mapped, donate_argnums=donate)


def _specs(axes: Any, name: str) -> Any:
    if isinstance(axes, dict):
        return {key: _specs(axis, name) for key, axis in axes.items()}
    if isinstance(axes, tuple):
        return tuple(_specs(axis, name) for axis in axes)
    return P() if axes is None else P(name)


def _map(change: Callable, axes: Any, tree: Any) -> Any:
    """Changes the leaves that are split; axes of a dictionary are those of its entries."""
    if isinstance(axes, dict):
        return {key: _map(change, axes[key], part) for key, part in tree.items()}
    return tree if axes is None else jax.tree.map(change, tree)


def _map_all(change: Callable, axes: Any, trees: Any) -> Any:
    return tuple(_map(change, axis, tree) for axis, tree in zip(axes, trees, strict=True))


def _first(leaf: Any) -> Any:
    return leaf[0]


def _with_axis(leaf: Any) -> Any:
    return leaf[None]
