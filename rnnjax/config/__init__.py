"""The configuration of a run: frozen dataclasses, checked when they are built, JSON in and out.

Every field's comment is its help text on the command line. A field (or a whole section) marked
``runtime`` may differ when a run is resumed; all others are the run's identity.
"""

from importlib import import_module
from typing import Any

from rnnjax.config.data import DataConfig
from rnnjax.config.run import Config, from_json, identity, identity_differences, to_json
from rnnjax.config.training import OptimConfig, ParallelConfig, TrainConfig

__all__ = [
    "Config",
    "DataConfig",
    "OptimConfig",
    "ParallelConfig",
    "TrainConfig",
    "from_json",
    "identity",
    "identity_differences",
    "to_json",
]

# Sections live beside what they make; these are found under this name too.
_MADE_ELSEWHERE = {
    "Dtype": "models.config",
    "Precision": "models.config",
    "ImageData": "data.images",
    "ImageFolderData": "data.images",
    "TextData": "data.documents",
    "TextTable": "data.documents",
    "ImageModel": "models.config",
    "RecurrentModel": "models.config",
    "TextModel": "models.config",
}


def __getattr__(name: str) -> Any:
    if name not in _MADE_ELSEWHERE:
        raise AttributeError(f"module 'rnnjax.config' has no attribute {name!r}")
    return getattr(import_module(f"rnnjax.{_MADE_ELSEWHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MADE_ELSEWHERE})  # names that nobody has used yet are no globals
