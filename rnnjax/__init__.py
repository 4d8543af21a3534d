"""Recurrent networks in JAX and Flax for image and text classification."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnjax.cells import GRUCell as GRUCell
    from rnnjax.cells import LSTMCell as LSTMCell
    from rnnjax.cells import SimpleRNNCell as SimpleRNNCell
    from rnnjax.conv import ConvStack as ConvStack
    from rnnjax.errors import DataError as DataError
    from rnnjax.errors import RnnjaxError as RnnjaxError
    from rnnjax.errors import RunError as RunError
    from rnnjax.errors import UsageError as UsageError
    from rnnjax.models import ImageClassifier as ImageClassifier
    from rnnjax.models import PooledHead as PooledHead
    from rnnjax.models import TextClassifier as TextClassifier
    from rnnjax.predict import load as load
    from rnnjax.recurrence import RNN as RNN
    from rnnjax.recurrence import Bidirectional as Bidirectional
    from rnnjax.recurrence import StackedRNN as StackedRNN

# Where each public name lives. They are imported when first used: someone who imports a layer
# does not wait for Orbax, and the command line can set the number of devices first.
_HOMES = {
    "GRUCell": "cells",
    "LSTMCell": "cells",
    "SimpleRNNCell": "cells",
    "ConvStack": "conv",
    "DataError": "errors",
    "RnnjaxError": "errors",
    "RunError": "errors",
    "UsageError": "errors",
    "ImageClassifier": "models",
    "PooledHead": "models",
    "TextClassifier": "models",
    "load": "predict",
    "RNN": "recurrence",
    "Bidirectional": "recurrence",
    "StackedRNN": "recurrence",
}

__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'rnnjax' has no attribute {name!r}")
    return getattr(import_module(f"rnnjax.{_HOMES[name]}"), name)
