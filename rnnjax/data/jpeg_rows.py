"""The upper rows of a JPEG alone: what lies below a crop need not be decoded."""

import io
import struct
from typing import Any

_BASELINE = (0xC0, 0xC1)
_SCAN = 0xDA
_OTHERS = (0xC4, 0xCC, 0xDB, 0xDD, *range(0xE0, 0xF0), 0xFE)
"""Markers that may stand before the frame's and the scan's: tables, and what programs write for themselves."""
_END = b"\xff\xd9"
_BLOCK = 16
"""Rows that are decoded together at most; the colors of the last ones are smoothed with those below."""


def upper(image: Any, rows: int) -> Any:
    """An image whose first ``rows`` are those of ``image``, and which may end soon below them.

    Args:
      image: a PIL image. One that is no JPEG, is not read from bytes, or is coded in several scans (of rising
        precision, or one a color) is returned as it is; so is one that does not end as it should, since only its last
        rows say that it is cut off.
      rows: that are looked at.

    Returns:
      A PIL image; its pixels are not decoded yet.
    """
    from PIL import Image

    asked = -(-rows // _BLOCK) * _BLOCK + _BLOCK
    file = getattr(image, "fp", None)
    if image.format != "JPEG" or not isinstance(file, io.BytesIO) or asked >= image.size[1]:
        return image
    data = file.getvalue()
    place = _height(data) if data.endswith(_END) else None
    if place is None:
        return image
    return Image.open(io.BytesIO(data[:place] + struct.pack(">H", asked) + data[place + 2 :]), formats=("JPEG",))


def _height(data: bytes) -> int | None:
    """Where a baseline JPEG of one scan says its height; None if it is another one or not as it should be."""
    place, frame = 2, None
    while place + 10 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == _SCAN:
            # A scan of some colors alone is followed by others, which begin where the whole height's data end.
            return frame + 5 if frame is not None and data[place + 4] == data[frame + 9] else None
        if marker == 0xFF:  # a byte that fills up
            place += 1
            continue
        if marker in _BASELINE:
            frame = place
        elif marker not in _OTHERS:
            return None
        place += 2 + struct.unpack_from(">H", data, place + 2)[0]
    return None
