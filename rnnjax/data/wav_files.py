"""Recordings: WAV files as 16-bit samples of one channel, read by the standard library."""

import io
import wave

import numpy as np

from rnnjax.errors import DataError

_HINT = "convert it, as by ffmpeg -i IN -c:a pcm_s16le OUT.wav"


def read(data: bytes, place: str) -> tuple[np.ndarray, int]:
    """The samples of a recording, ``[samples]`` int16, and their rate in Hz; of several channels, their mean.

    Raises:
      DataError: if it is no WAV file of whole numbers, or is cut off, or holds nothing.
    """
    try:
        with wave.open(io.BytesIO(data)) as file:
            channels, width, rate, frames = file.getparams()[:4]
            raw = file.readframes(frames)
    except (wave.Error, EOFError, ValueError, RuntimeError, OverflowError, MemoryError) as error:
        said = "it ends within its header" if isinstance(error, EOFError) else error
        raise DataError(f"{place}: not a WAV file that can be read ({said}); {_HINT}") from error
    if not (0 < channels <= 64 and width in (1, 2, 3, 4) and rate > 0):
        raise DataError(f"{place}: {channels} channels of {8 * width} bits at {rate} Hz are not read; {_HINT}")
    if len(raw) != frames * channels * width:
        have = len(raw) // (channels * width)
        raise DataError(f"{place}: cut off, {have:,} of {frames:,} samples are there; copy it again, or leave it out")
    if not frames:
        raise DataError(f"{place}: a recording without a sample; leave it out")
    samples = _samples(raw, width).reshape(frames, channels)
    if channels == 1:
        return samples[:, 0].astype(np.int16), rate
    return np.round(samples.mean(1)).astype(np.int16), rate


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
