"""An earlier name of :mod:`rnnjax.layers.pooling`."""

from rnnjax.layers.pooling import *  # noqa: F403
