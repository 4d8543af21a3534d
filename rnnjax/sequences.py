"""An earlier name of :mod:`rnnjax.layers.sequences`."""

from rnnjax.layers.sequences import *  # noqa: F403
