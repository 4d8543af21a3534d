"""Carries of PyTorch's and Keras' layers: both have ``(h, c)`` for the LSTM, and we have ``(c, h)``."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnjax.errors import UsageError
from rnnjax.layers.convert.arrays import as_array, known, own_arrays


@own_arrays
def carry_from_torch(carry: Any, kind: str, bidirectional: bool = False) -> tuple[Any, ...]:
    """The carry of a ``StackedRNN`` from PyTorch's ``h [L, B, H]``, or ``(h, c)`` for the LSTM.

    L counts layers times directions. The first of the tuple is that of an ``RNN`` or ``Bidirectional``.

    Raises:
      UsageError: if it is not of this form.
    """
    if known(kind) == "lstm" and not (isinstance(carry, Sequence) and len(carry) == 2):
        raise UsageError("the carry of torch.nn.LSTM is a pair (h, c)")
    parts = tuple(as_array(part) for part in carry) if kind == "lstm" else (as_array(carry),)
    ranked = all(part.ndim >= 2 for part in parts)
    if not ranked or len({len(part) for part in parts}) > 1 or (bidirectional and len(parts[0]) % 2):
        raise UsageError(
            f"a carry of PyTorch is [layers * directions, B, H], got {', '.join(str(p.shape) for p in parts)}"
        )
    # PyTorch has (h, c), we have (c, h).
    cells = [part if kind == "lstm" else part[0] for part in zip(*reversed(parts), strict=True)]
    if not bidirectional:
        return tuple(cells)
    return tuple(zip(cells[::2], cells[1::2], strict=True))


@own_arrays
def carry_to_torch(carry: Sequence[Any], kind: str, bidirectional: bool = False) -> Any:
    """The inverse of :func:`carry_from_torch`."""
    known(kind)
    cells = [cell for layer in carry for cell in layer] if bidirectional else list(carry)
    if kind != "lstm":
        return np.stack([as_array(cell) for cell in cells])
    return tuple(np.stack([as_array(cell[part]) for cell in cells]) for part in (1, 0))


@own_arrays
def carry_from_keras(states: Any, kind: str, bidirectional: bool = False) -> Any:
    """The carry of an ``RNN`` or ``Bidirectional`` from the states of a Keras layer.

    Args:
      states: what ``return_state=True`` gives after the outputs, or ``initial_state=`` takes: ``[h, c]`` of an LSTM,
        ``[h]`` or ``h`` of the others, ``[B, H]`` each; of ``Bidirectional`` those of the forward layer, and then
        those of the backward one.
      kind: ``"rnn"``, ``"lstm"`` or ``"gru"``.
      bidirectional: whether the layer is ``keras.layers.Bidirectional``.

    Returns:
      ``(c, h)`` of an LSTM, else ``h``; of ``Bidirectional`` a pair of them. That of a ``StackedRNN`` is a tuple with
      one of these a layer.

    Raises:
      UsageError: if the number of arrays does not fit.
    """
    parts = list(states) if isinstance(states, list | tuple) else [states]
    each = 2 if known(kind) == "lstm" else 1
    if len(parts) != each * (2 if bidirectional else 1):
        raise UsageError(
            f"a Keras {kind} of {2 if bidirectional else 1} direction(s) has "
            f"{each * (2 if bidirectional else 1)} states, got {len(parts)}"
        )
    arrays = [as_array(part) for part in parts]
    cells = [arrays[at : at + each] for at in range(0, len(arrays), each)]
    carries = tuple((cell[1], cell[0]) if each == 2 else cell[0] for cell in cells)
    return carries if bidirectional else carries[0]


@own_arrays
def carry_to_keras(carry: Any, kind: str, bidirectional: bool = False) -> list[np.ndarray]:
    """The inverse of :func:`carry_from_keras`: a list for ``initial_state=``.

    Raises:
      UsageError: if the carry is not one of an ``RNN``, or of a ``Bidirectional``.
    """
    cells = carry if bidirectional else (carry,)
    pair = known(kind) == "lstm"
    if len(cells) != (2 if bidirectional else 1) or (pair and any(len(cell) != 2 for cell in cells)):
        raise UsageError(f"expected the carry of {'a Bidirectional' if bidirectional else 'an RNN'} over a {kind} cell")
    return [as_array(part) for cell in cells for part in ((cell[1], cell[0]) if pair else (cell,))]
