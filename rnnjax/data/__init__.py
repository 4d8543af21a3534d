"""Data: sources, their cache on disk, preprocessing, and the plan that orders examples into steps."""

from rnnjax.data.examples import Dataset, Examples
from rnnjax.data.preprocess import ImagePreprocess, Preprocess, TextPreprocess
from rnnjax.data.sources import load

__all__ = ["Dataset", "Examples", "ImagePreprocess", "Preprocess", "TextPreprocess", "load"]
