"""Plain bars beside a network: what the same data give without one, on the same splits."""

from rnnjax.bars import forecast, majority, nearest, ngrams, random_convolutions, small_images, tokens
from rnnjax.bars.base import Asked, Bar, Maker

BARS: tuple[Maker, ...] = (
    majority.bar,
    ngrams.bar,
    random_convolutions.bar,
    small_images.bar,
    tokens.bar,
    nearest.bar,
    forecast.last_value,
    forecast.seasonal_naive,
    forecast.seasonal_mean,
    forecast.nlinear,
    forecast.dlinear,
)
"""In the order in which they are shown; each makes nothing where data or task are not of its kind."""

__all__ = ["BARS", "Asked", "Bar", "Maker"]
