"""Weights in one file that other programs read: safetensors, with what rebuilds the model beside them."""

from rnnjax.weights.files import Weights, load_safetensors, save_safetensors

__all__ = ["Weights", "load_safetensors", "save_safetensors"]
