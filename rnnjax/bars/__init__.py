"""Plain bars beside a network: what the same data give without one, on the same splits."""

from rnnjax.bars.base import Asked, Bar, Maker
from rnnjax.bars.majority import majority
from rnnjax.bars.ngrams import ngrams
from rnnjax.bars.random_convolutions import random_convolutions
from rnnjax.bars.small_images import small_images

BARS: tuple[Maker, ...] = (majority, ngrams, random_convolutions, small_images)
"""In the order in which they are shown; each makes nothing where data or task are not of its kind."""

__all__ = ["BARS", "Asked", "Bar", "Maker"]
