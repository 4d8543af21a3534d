"""Recordings: WAV files as 16-bit samples of one channel, read by the standard library."""

import io
import wave

import numpy as np

from rnnjax.data.sequences import count
from rnnjax.errors import DataError

_HINT = "convert it, as by ffmpeg -i IN -c:a pcm_s16le OUT.wav"
_EXTENSIBLE = b"\xfe\xff"
_WHOLE_NUMBERS = bytes.fromhex("0100000000001000800000aa00389b71")
"""The kind of samples that an extensible header names: Microsoft's KSDATAFORMAT_SUBTYPE_PCM."""
_HEADER = 1024
"""Bytes that a header may have beside the samples: what is longer than that holds some."""


def read(data: bytes, place: str) -> tuple[np.ndarray, int]:
    """The samples of a recording, ``[samples]`` int16, and their rate in Hz; of several channels, their mean.

    Raises:
      DataError: if it is no WAV file of whole numbers, or is cut off, or holds nothing, or its header says two things.
    """
    try:
        with wave.open(io.BytesIO(_plain(data))) as file:
            channels, width, rate, frames = file.getparams()[:4]
            raw = file.readframes(frames)
    except (wave.Error, EOFError, ValueError, RuntimeError, OverflowError, MemoryError) as error:
        said = "it ends within its header" if isinstance(error, EOFError) else str(error) or "its parts do not fit"
        raise DataError(f"{place}: not a WAV file that can be read ({said}); {_HINT}") from error
    if not (0 < channels <= 64 and width in (1, 2, 3, 4) and rate > 0):
        raise DataError(f"{place}: {channels} channels of {8 * width} bits at {rate} Hz are not read; {_HINT}")
    if (told := _frame_bytes(data)) != channels * width:
        raise DataError(
            f"{place}: its header says {count(channels, 'channel')} of {count(width, 'byte')} and "
            f"{count(told, 'byte')} for all of them; one of these is wrong; {_HINT}"
        )
    if len(raw) != frames * channels * width:
        have = len(raw) // (channels * width)
        raise DataError(f"{place}: cut off, {have:,} of {frames:,} samples are there; copy it again, or leave it out")
    if not frames and len(data) > _HEADER + channels * width:
        raise DataError(f"{place}: its header says that no sample follows, as where recording broke off; {_HINT}")
    if not frames:
        raise DataError(f"{place}: a recording without a sample; leave it out")
    samples = _samples(raw, width).reshape(frames, channels)
    if channels == 1:
        return samples[:, 0].astype(np.int16), rate
    return np.round(samples.mean(1)).astype(np.int16), rate


def _plain(data: bytes) -> bytes:
    """The same file; where a header of the extensible kind says that its samples are whole numbers, as a plain one
    says it: Python reads such files from 3.12 on only.
    """
    at = _format(data)
    extensible = data[at : at + 2] == _EXTENSIBLE and data[at + 24 : at + 40] == _WHOLE_NUMBERS
    return data[:at] + _WHOLE_NUMBERS[:2] + data[at + 2 :] if extensible else data


def _frame_bytes(data: bytes) -> int:
    """The bytes of all channels' sample by the header's own account, which the standard library does not look at."""
    at = _format(data)
    return int.from_bytes(data[at + 12 : at + 14], "little")


def _format(data: bytes) -> int:
    """Where the header says the format, or the end."""
    at = 12
    while at < len(data) and data[at : at + 4] != b"fmt ":
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + size + size % 2
    return at + 8


def _samples(raw: bytes, width: int) -> np.ndarray:
    """Samples in the range of 16 bits: those of 8 are without a sign, and of more bits the upper 16 are kept."""
    if width == 1:
        return (np.frombuffer(raw, np.uint8).astype(np.int32) - 128) << 8
    if width == 2:
        return np.frombuffer(raw, "<i2")
    if width == 4:
        return np.frombuffer(raw, "<i4") >> 16
    parts = np.frombuffer(raw, np.uint8).reshape(-1, 3)
    return np.ascontiguousarray(parts[:, 1:]).view("<i2")[:, 0]
