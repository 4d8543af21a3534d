"""Log-mel features of recordings, on the device: a short-time spectrum's energy in bands of the mel scale.

The scale is 2595 log10(1 + f / 700) (O'Shaughnessy 1987, "Speech communication"), its bands are triangles from 0 to
half the rate whose corners are evenly spaced on it, as in HTK (Young et al., "The HTK book", section 5.4).
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.data.preprocess import require
from rnnjax.errors import UsageError

Array = jax.Array

_FULL_SCALE = 2.0**15
_FLOOR = 1e-6
"""Added to the energy of a band: that of silence in 16 bits is about as large."""


@dataclass(frozen=True)
class LogMel:
    """How recordings become features.

    Attributes:
      rate: samples a second.
      frame, hop: samples that a frame sees, and from one frame to the next.
      bands: of the mel scale.
      decibels: how far below a recording's loudest band of any frame energies are told apart. They are then relative to
        that band, so that a recording is the same however loud it is. None: they are as they are.
    """

    rate: int
    frame: int
    hop: int
    bands: int
    decibels: float | None = None

    @classmethod
    def of(cls, rate: int, frame_ms: float, hop_ms: float, bands: int, decibels: float | None = None) -> Self:
        """Of frames in milliseconds; raises UsageError where a frame or hop has no sample, or a hop is longer."""
        frame, hop = (round(rate * ms / 1000) for ms in (frame_ms, hop_ms))
        if not 0 < hop <= frame:
            raise UsageError(
                f"--data.hop-ms {hop_ms:g} and --data.frame-ms {frame_ms:g} are {hop} and {frame} samples at {rate:,} "
                "Hz; a hop needs one, and a frame may not be shorter"
            )
        return cls(rate, frame, hop, bands, decibels)

    @property
    def fft(self) -> int:
        """Points of the Fourier transform: a power of two that gives every band a frequency of its own."""
        size = 1 << (self.frame - 1).bit_length()
        while size < 2**16 and not (self._filters(size) > 0).any(0).all():
            size *= 2
        return size

    def filters(self) -> np.ndarray:
        """The bands' weights by frequency, ``[fft // 2 + 1, bands]``."""
        return self._filters(self.fft)

    def _filters(self, fft: int) -> np.ndarray:
        hertz = np.linspace(0, self.rate / 2, fft // 2 + 1)
        top = 2595 * math.log10(1 + self.rate / 2 / 700)
        corners = 700 * (10 ** (np.linspace(0, top, self.bands + 2) / 2595) - 1)
        low, middle, high = corners[:-2], corners[1:-1], corners[2:]
        rising, falling = (hertz[:, None] - low) / (middle - low), (high - hertz[:, None]) / (high - middle)
        return np.maximum(0, np.minimum(rising, falling))

    def blocks(self, samples: np.ndarray) -> np.ndarray:
        """Samples ``[n]`` as blocks of a hop, ``[T, hop]``, the last filled up with zeros: a step a frame."""
        padded = np.zeros(-(-len(samples) // self.hop) * self.hop, np.int16)
        padded[: len(samples)] = samples
        return padded.reshape(-1, self.hop)

    def __call__(self, blocks: Any) -> Array:
        """Features ``[..., T, bands]`` of blocks ``[..., T, hop]`` int16: frame t begins with block t.

        What a frame sees after the last block is silence, as the padding of a batch is.
        """
        steps, ahead = blocks.shape[-2], -(-self.frame // self.hop) - 1
        samples = jnp.asarray(blocks).astype(jnp.float32) / _FULL_SCALE
        padded = jnp.pad(samples, [(0, 0)] * (samples.ndim - 2) + [(0, ahead), (0, 0)])
        frames = jnp.concatenate([padded[..., k : k + steps, :] for k in range(ahead + 1)], -1)[..., : self.frame]
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.frame) / self.frame)
        spectrum = jnp.fft.rfft(frames * jnp.asarray(window, jnp.float32), self.fft)
        energy = jnp.real(spectrum) ** 2 + jnp.imag(spectrum) ** 2
        # Energies differ by powers of ten: products in half precision would lose the quiet bands.
        bands = jnp.matmul(energy, jnp.asarray(self.filters(), jnp.float32), precision=jax.lax.Precision.HIGHEST)
        if self.decibels is None:
            return jnp.log(bands + _FLOOR)
        loudest = bands.max((-2, -1), keepdims=True) + _FLOOR
        return jnp.log(bands / loudest + 10 ** (-self.decibels / 10))

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`; raises ValueError or TypeError at what is none."""
        made = cls(**values)
        for name, value in made.to_json().items():
            if name == "decibels":
                require(value is None or (type(value) in (int, float) and 0 < value < math.inf), name, value)
            else:
                require(type(value) is int and value > 0, name, value)
        require(made.hop <= made.frame, "hop", made.hop)
        return made
