"""An earlier name of :mod:`rnnjax.layers.recurrence`."""

from rnnjax.layers.recurrence import *  # noqa: F403
