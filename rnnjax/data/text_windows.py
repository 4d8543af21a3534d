"""Windows of a stream of tokens, and the text of a file that is one stream."""

from pathlib import Path
from typing import Any

import numpy as np

from rnnjax.data import files
from rnnjax.data.examples import Examples
from rnnjax.data.tokens import PADDING
from rnnjax.errors import DataError

MOST_BYTES = 2**31
"""Of a text file: it is read at once."""

_ONE = "; a language model reads one UTF-8 text file: put several together, as by cat"


def text_of(path: Path) -> str:
    """The text of a UTF-8 file, a byte order mark left out, with line feeds alone at its lines' ends.

    Raises:
      DataError: if it cannot be read, or is no such file.
    """
    return decoded(str(path), files.read_bytes(path, MOST_BYTES, hint=_ONE))


def decoded(name: str, data: Any) -> str:
    """Bytes as text, see :func:`text_of`; what is text already as it is."""
    if isinstance(data, str):
        return data
    try:
        if b"\0" in data:
            raise UnicodeError("it holds NUL bytes")
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
        return text if "\n" in text[:-1] else text.replace("\r", "\n")  # as old Macs wrote them
    except UnicodeError as error:
        raise DataError(f"{name}: not a UTF-8 text file ({error}); save it as UTF-8") from error


def cut(ids: np.ndarray, window: int) -> Examples:
    """Windows of a stream of token ids ``[M]`` with M of 2 or more, in its order.

    Returns:
      ``inputs`` and ``targets [N, window]``, where the targets are the inputs one step on. Behind the stream's end the
      last row has padding, and -1 as targets.
    """
    rows = -(-(len(ids) - 1) // window)
    inputs, targets = np.full(rows * window, PADDING, np.int32), np.full(rows * window, -1, np.int32)
    inputs[: len(ids) - 1], targets[: len(ids) - 1] = ids[:-1], ids[1:]
    return Examples({"inputs": inputs.reshape(rows, window), "targets": targets.reshape(rows, window)})
