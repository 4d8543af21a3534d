"""An earlier name of :mod:`rnnjax.layers.convert`."""

from rnnjax.layers.convert import *  # noqa: F403
