"""The configuration of a run: frozen dataclasses, checked when they are built, JSON in and out.

Every field's comment is its help text on the command line. A field (or a whole section) marked
``runtime`` may differ when a run is resumed; all others are the run's identity.
"""

from rnnjax.config.data import DataConfig, ImageData, ImageFolderData, TextData, TextTable
from rnnjax.config.model import Dtype, ImageModel, Precision, RecurrentModel, TextModel
from rnnjax.config.run import Config, from_json, identity, identity_differences, to_json
from rnnjax.config.training import OptimConfig, ParallelConfig, TrainConfig

__all__ = [
    "Config",
    "DataConfig",
    "Dtype",
    "ImageData",
    "ImageFolderData",
    "ImageModel",
    "OptimConfig",
    "ParallelConfig",
    "Precision",
    "RecurrentModel",
    "TextData",
    "TextModel",
    "TextTable",
    "TrainConfig",
    "from_json",
    "identity",
    "identity_differences",
    "to_json",
]
