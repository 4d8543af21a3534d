"""Recurrent networks in JAX and Flax for image and text classification."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnjax.cells import CoupledLSTMCell as CoupledLSTMCell
    from rnnjax.cells import GRUCell as GRUCell
    from rnnjax.cells import LayerNormGRUCell as LayerNormGRUCell
    from rnnjax.cells import LayerNormLSTMCell as LayerNormLSTMCell
    from rnnjax.cells import LinearCell as LinearCell
    from rnnjax.cells import LRUCell as LRUCell
    from rnnjax.cells import LSTMCell as LSTMCell
    from rnnjax.cells import MinGRUCell as MinGRUCell
    from rnnjax.cells import PeepholeLSTMCell as PeepholeLSTMCell
    from rnnjax.cells import ProjectedLSTMCell as ProjectedLSTMCell
    from rnnjax.cells import RecurrentCell as RecurrentCell
    from rnnjax.cells import ResetBeforeGRUCell as ResetBeforeGRUCell
    from rnnjax.cells import SimpleRNNCell as SimpleRNNCell
    from rnnjax.cells import chrono as chrono
    from rnnjax.cells import identity as identity
    from rnnjax.conv import ConvStack as ConvStack
    from rnnjax.errors import DataError as DataError
    from rnnjax.errors import RnnjaxError as RnnjaxError
    from rnnjax.errors import RunError as RunError
    from rnnjax.errors import UsageError as UsageError
    from rnnjax.masks import sequence_mask as sequence_mask
    from rnnjax.models import ImageClassifier as ImageClassifier
    from rnnjax.models import PooledHead as PooledHead
    from rnnjax.models import TextClassifier as TextClassifier
    from rnnjax.pooling import AttentionPool as AttentionPool
    from rnnjax.pooling import pool as pool
    from rnnjax.predict import load as load
    from rnnjax.recurrence import RNN as RNN
    from rnnjax.recurrence import Bidirectional as Bidirectional
    from rnnjax.recurrence import StackedRNN as StackedRNN
    from rnnjax.scans import reporting as reporting

# Where each public name lives. They are imported when first used: someone who imports a layer
# does not wait for Orbax, and the command line can set the number of devices first.
_HOMES = {
    "CoupledLSTMCell": "cells",
    "GRUCell": "cells",
    "LRUCell": "cells",
    "LSTMCell": "cells",
    "LayerNormGRUCell": "cells",
    "LayerNormLSTMCell": "cells",
    "LinearCell": "cells",
    "MinGRUCell": "cells",
    "PeepholeLSTMCell": "cells",
    "ProjectedLSTMCell": "cells",
    "RecurrentCell": "cells",
    "ResetBeforeGRUCell": "cells",
    "SimpleRNNCell": "cells",
    "chrono": "cells",
    "identity": "cells",
    "ConvStack": "conv",
    "DataError": "errors",
    "RnnjaxError": "errors",
    "RunError": "errors",
    "UsageError": "errors",
    "sequence_mask": "masks",
    "ImageClassifier": "models",
    "PooledHead": "models",
    "TextClassifier": "models",
    "AttentionPool": "pooling",
    "pool": "pooling",
    "load": "predict",
    "Bidirectional": "recurrence",
    "RNN": "recurrence",
    "StackedRNN": "recurrence",
    "reporting": "scans",
}

__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'rnnjax' has no attribute {name!r}")
    return getattr(import_module(f"rnnjax.{_HOMES[name]}"), name)
