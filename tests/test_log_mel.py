"""Log-mel features: those of the formula in NumPy and SciPy, frame by frame."""

import json

import jax
import numpy as np
import pytest
from scipy import signal

from rnnjax.data.log_mel import LogMel
from rnnjax.errors import UsageError

RNG = np.random.default_rng(0)


def by_hand(samples: np.ndarray, mel: LogMel) -> np.ndarray:
    """Frame by frame and band by band, in float64."""
    window = signal.get_window("hann", mel.frame)
    frequencies = np.fft.rfftfreq(mel.fft, 1 / mel.rate)
    edges = 2595 * np.log10(1 + mel.rate / 2 / 700) * np.arange(mel.bands + 2) / (mel.bands + 1)
    edges = 700 * (10 ** (edges / 2595) - 1)
    padded = np.concatenate([samples / 2**15, np.zeros(mel.frame + mel.hop)])
    rows = []
    for start in range(0, len(samples), mel.hop):
        energy = np.abs(np.fft.rfft(padded[start : start + mel.frame] * window, mel.fft)) ** 2
        bands = [
            (np.interp(frequencies, edges[b : b + 3], [0, 1, 0], left=0, right=0) * energy).sum()
            for b in range(mel.bands)
        ]
        rows.append(np.log(np.array(bands) + 1e-6))
    return np.array(rows)


@pytest.mark.parametrize(
    ("rate", "frame", "hop", "bands"), [(8000, 25, 10, 40), (16000, 25, 10, 40), (8000, 32, 32, 8)]
)
def test_features_are_those_of_the_formula(rate, frame, hop, bands):
    mel = LogMel.of(rate, frame, hop, bands)
    tone = 8000 * np.sin(2 * np.pi * 440 * np.arange(rate // 5) / rate) + 300 * RNG.normal(size=rate // 5)
    samples = tone.astype(np.int16)
    blocks = mel.blocks(samples)
    assert len(blocks) == -(-len(samples) // mel.hop)
    np.testing.assert_allclose(jax.jit(mel.__call__)(blocks), by_hand(samples, mel), atol=2e-3)


def test_padding_and_a_batch_change_no_frame():
    mel = LogMel.of(8000, 25, 10, 20)
    blocks = mel.blocks(RNG.normal(0, 1000, 1000).astype(np.int16))
    longer = np.concatenate([blocks, np.zeros((7, mel.hop), np.int16)])
    both = np.asarray(mel(np.stack([longer, longer[::-1]])))
    np.testing.assert_allclose(both[0, : len(blocks)], mel(blocks), atol=1e-4)
    np.testing.assert_allclose(both[0, len(blocks) + 3 :], np.log(1e-6), atol=1e-5)


def test_every_band_has_a_frequency_and_json_brings_it_back():
    for mel in (LogMel.of(8000, 25, 10, 80), LogMel.of(44100, 10, 5, 40)):
        assert (mel.filters().sum(0) > 0).all()
        assert LogMel.from_json(json.loads(json.dumps(mel.to_json()))) == mel


@pytest.mark.parametrize(("frame", "hop"), [(5, 10), (25, 0.01)])
def test_a_hop_without_samples_or_longer_than_a_frame_is_refused(frame, hop):
    with pytest.raises(UsageError, match=r"--data\.hop-ms"):
        LogMel.of(8000, frame, hop, 40)


def test_relative_to_its_loudest_a_recording_is_the_same_however_loud_and_silence_is_finite():
    mel = LogMel.of(8000, 25, 10, 20, 40.0)
    tone = 800 * np.sin(2 * np.pi * 440 * np.arange(1000) / 8000) + 30 * RNG.normal(size=1000)
    quiet, loud = (np.asarray(mel(mel.blocks((factor * tone).astype(np.int16)))) for factor in (1, 30))
    np.testing.assert_allclose(quiet, loud, atol=0.05)
    energy = np.exp(by_hand((30 * tone).astype(np.int16), LogMel.of(8000, 25, 10, 20))) - 1e-6
    np.testing.assert_allclose(loud, np.log(energy / energy.max() + 1e-4), atol=2e-3)
    assert quiet.min() >= np.log(1e-4) - 1e-4 and quiet.max() == pytest.approx(np.log(1 + 1e-4), abs=1e-5)
    silence = np.asarray(mel(np.zeros((5, mel.hop), np.int16)))
    np.testing.assert_allclose(silence, np.log(1e-4), atol=1e-4)
    assert LogMel.from_json(json.loads(json.dumps(mel.to_json()))) == mel


def test_of_an_older_run_the_loudness_counts_and_decibels_must_be_positive():
    values = LogMel.of(8000, 25, 10, 20).to_json()
    del values["decibels"]
    assert LogMel.from_json(values).decibels is None
    for wrong in (0, -3.0, "40", True, float("nan")):
        with pytest.raises(ValueError, match="decibels"):
            LogMel.from_json({**values, "decibels": wrong})
