"""An earlier name of :mod:`rnnjax.layers.cells`."""

from rnnjax.layers.cells import *  # noqa: F403
