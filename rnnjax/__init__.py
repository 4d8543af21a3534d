"""Recurrent networks in JAX and Flax for image and text classification."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnjax.errors import DataError as DataError
    from rnnjax.errors import RnnjaxError as RnnjaxError
    from rnnjax.errors import RunError as RunError
    from rnnjax.errors import UsageError as UsageError
    from rnnjax.layers.cells import CoupledLSTMCell as CoupledLSTMCell
    from rnnjax.layers.cells import GRUCell as GRUCell
    from rnnjax.layers.cells import LayerNormGRUCell as LayerNormGRUCell
    from rnnjax.layers.cells import LayerNormLSTMCell as LayerNormLSTMCell
    from rnnjax.layers.cells import LinearCell as LinearCell
    from rnnjax.layers.cells import LRUCell as LRUCell
    from rnnjax.layers.cells import LSTMCell as LSTMCell
    from rnnjax.layers.cells import MinGRUCell as MinGRUCell
    from rnnjax.layers.cells import PeepholeLSTMCell as PeepholeLSTMCell
    from rnnjax.layers.cells import ProjectedLSTMCell as ProjectedLSTMCell
    from rnnjax.layers.cells import RecurrentCell as RecurrentCell
    from rnnjax.layers.cells import ResetBeforeGRUCell as ResetBeforeGRUCell
    from rnnjax.layers.cells import SimpleRNNCell as SimpleRNNCell
    from rnnjax.layers.cells import chrono as chrono
    from rnnjax.layers.cells import identity as identity
    from rnnjax.layers.conv import ConvStack as ConvStack
    from rnnjax.layers.implementations import reporting as reporting
    from rnnjax.layers.masks import sequence_mask as sequence_mask
    from rnnjax.layers.pooling import AttentionPool as AttentionPool
    from rnnjax.layers.pooling import pool as pool
    from rnnjax.layers.recurrence import RNN as RNN
    from rnnjax.layers.recurrence import Bidirectional as Bidirectional
    from rnnjax.layers.recurrence import StackedRNN as StackedRNN
    from rnnjax.models.head import PooledHead as PooledHead
    from rnnjax.models.image import ImageClassifier as ImageClassifier
    from rnnjax.models.text import TextClassifier as TextClassifier
    from rnnjax.runs.predict import load as load

# Where each public name lives. They are imported when first used: someone who imports a layer
# does not wait for Orbax, and the command line can set the number of devices first.
_HOMES = {
    "CoupledLSTMCell": "layers.cells",
    "GRUCell": "layers.cells",
    "LRUCell": "layers.cells",
    "LSTMCell": "layers.cells",
    "LayerNormGRUCell": "layers.cells",
    "LayerNormLSTMCell": "layers.cells",
    "LinearCell": "layers.cells",
    "MinGRUCell": "layers.cells",
    "PeepholeLSTMCell": "layers.cells",
    "ProjectedLSTMCell": "layers.cells",
    "RecurrentCell": "layers.cells",
    "ResetBeforeGRUCell": "layers.cells",
    "SimpleRNNCell": "layers.cells",
    "chrono": "layers.cells",
    "identity": "layers.cells",
    "ConvStack": "layers.conv",
    "DataError": "errors",
    "RnnjaxError": "errors",
    "RunError": "errors",
    "UsageError": "errors",
    "sequence_mask": "layers.masks",
    "ImageClassifier": "models.image",
    "PooledHead": "models.head",
    "TextClassifier": "models.text",
    "AttentionPool": "layers.pooling",
    "pool": "layers.pooling",
    "load": "runs.predict",
    "Bidirectional": "layers.recurrence",
    "RNN": "layers.recurrence",
    "StackedRNN": "layers.recurrence",
    "reporting": "layers.implementations",
}

__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'rnnjax' has no attribute {name!r}")
    return getattr(import_module(f"rnnjax.{_HOMES[name]}"), name)
