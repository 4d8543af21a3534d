"""Augmentation of numeric sequences and recordings on the device, inside the compiled step.

Keys are those of :mod:`rnnjax.data.augment`: by example and epoch. Padding and missing values stay what they are, and
labels of steps go where a warp in time puts their steps.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from rnnjax.data.augment import Augment
from rnnjax.errors import UsageError

if TYPE_CHECKING:
    from rnnjax.data.augmented_sequences import AugmentedSequences

Array = jax.Array
Operation = Callable[[Array, Array, Array], Array]
"""Keys ``[B]``, values ``[B, T, C]`` of mean 0 and their lengths ``[B]`` to values of the same shape."""


def sequence_augmentation(config: "AugmentedSequences", preprocess: Any) -> Augment | None:
    """What training sequences undergo, in this order: noise, scaling, warps in time and of bands, jitter, and masks.

    It is None where that is nothing.

    All are of normalised values, and of a recording of its normalised features; its scaling is of its samples.

    Args:
      config: says how much of each.
      preprocess: a :class:`rnnjax.data.sequence_preprocess.SequencePreprocess`.

    Raises:
      UsageError: if numbers are to undergo what is of recordings: noise, or a warp of bands, for which no channel of
        theirs is near another one.
    """
    # What recordings alone undergo: other sequences may have no such option.
    warp_bands, noise = (getattr(config, name, 0.0) for name in ("warp_bands", "noise"))
    for option, much in (("--data.warp-bands", warp_bands), ("--data.noise", noise)):
        if much and preprocess.mel is None:
            raise UsageError(f"{option} is of recordings, and these sequences are numbers; leave it out")
    # By the number of its key, so that no operation's place here changes what another draws.
    operations = {
        4: random_time_warp(config.warp_time) if config.warp_time else None,
        5: random_band_warp(warp_bands) if warp_bands else None,
        1: random_jitter(config.jitter) if config.jitter else None,
        2: random_time_mask(config.mask_time) if config.mask_time else None,
        3: random_channel_mask(config.mask_channels) if config.mask_channels else None,
    }
    chosen = {number: operation for number, operation in operations.items() if operation is not None}
    if not (chosen or config.scaling or noise):
        return None

    def augment(keys: Array, batch: Mapping[str, Array]) -> dict[str, Array]:
        factors = random_factors(_numbered(keys, 0), config.scaling)[:, None, None] if config.scaling else 1
        stored, lengths, mel = batch["inputs"], batch["lengths"], preprocess.mel
        heard = with_noise(_numbered(keys, 6), stored, lengths, noise) if noise else stored
        values = stored * factors if mel is None else preprocess.normalize(mel(heard * factors))
        values = values[..., : len(preprocess.channels)]
        for number, operation in chosen.items():
            values = operation(_numbered(keys, number), values, lengths)
        real = jnp.arange(stored.shape[1]) < lengths[:, None]
        if config.warp_time and batch.get("labels", lengths).ndim > 1:
            moved = random_time_warp(config.warp_time, nearest=True)(_numbered(keys, 4), batch["labels"], lengths)
            batch = {**batch, "labels": jnp.where(real, moved, batch["labels"])}
        if mel is not None:
            return {**batch, "inputs": jnp.where(real[..., None], values, 0)}
        return {**batch, "inputs": _put(stored, values, real, preprocess.missing)}

    return augment


def _numbered(keys: Array, number: int) -> Array:
    return jax.vmap(jax.random.fold_in, (0, None))(keys, number)


def _put(stored: Array, values: Array, real: Array, missing: tuple[int, ...]) -> Array:
    """Values in place of the stored ones at real steps, but where one is missing, as the channels behind them say."""
    channels = values.shape[-1]
    there = jnp.broadcast_to(real[..., None], values.shape)
    for place, channel in enumerate(missing, channels):
        there = there.at[..., channel].set(real & (stored[..., place] == 0))
    return stored.at[..., :channels].set(jnp.where(there, values, stored[..., :channels]))


def random_factors(keys: Array, most: float) -> Array:
    """A factor for each key, uniform between ``1 - most`` and ``1 + most`` (after Um et al. 2017, arXiv:1706.00527)."""
    return 1 + most * jax.vmap(lambda key: jax.random.uniform(key, minval=-1.0))(keys)


def with_noise(keys: Array, blocks: Array, lengths: Array, most: float) -> Array:
    """Adds white noise to recordings ``[B, T, hop]``, as loud as up to a share ``most`` of each.

    Loudness is the root of the mean square over a recording; the share is uniform in its logarithm over three powers of
    ten, since what a room and a microphone add differs as much.
    """

    def add(key: Array, samples: Array, length: Array) -> Array:
        of_share, of_noise = jax.random.split(key)
        real = (jnp.arange(samples.shape[0]) < length)[:, None]
        heard = samples.astype(jnp.float32)
        loudness = jnp.sqrt(jnp.where(real, heard**2, 0).sum() / jnp.maximum(length * samples.shape[1], 1))
        share = most * 10.0 ** -jax.random.uniform(of_share, maxval=3.0)
        return heard + jnp.where(real, share * loudness * jax.random.normal(of_noise, samples.shape), 0)

    return jax.vmap(add)(keys, blocks, lengths)


def random_jitter(std: float) -> Operation:
    """Adds Gaussian noise, independent at each step and channel (Um et al. 2017)."""

    def jitter_one(key: Array, values: Array, length: Array) -> Array:
        del length
        return values + std * jax.random.normal(key, values.shape, values.dtype)

    return jax.vmap(jitter_one)


def random_time_warp(most: float, *, nearest: bool = False) -> Operation:
    """Plays a sequence's beginning faster and its end slower, or the other way round (Park et al. 2019, SpecAugment).

    A place drawn between its first and last step moves by up to ``most`` of the sequence, and what is on either side is
    stretched with it; the length stays. What falls between two steps is interpolated, or of the ``nearest`` one: so
    labels ``[B, T]`` go with their steps.
    """

    def warp_one(key: Array, values: Array, length: Array) -> Array:
        of_place, of_shift = jax.random.split(key)
        last = jnp.maximum(length - 1, 1).astype(jnp.float32)
        place = last * jax.random.uniform(of_place, minval=0.2, maxval=0.8)
        moved = jnp.clip(place + most * last * jax.random.uniform(of_shift, minval=-1.0), 0.05 * last, 0.95 * last)
        steps = jnp.arange(values.shape[0], dtype=jnp.float32)
        slope = (last - place) / (last - moved)
        source = jnp.where(steps < moved, steps * place / moved, place + (steps - moved) * slope)
        source = jnp.clip(source, 0, length - 1)
        return values[jnp.round(source).astype(jnp.int32)] if nearest else _at(values, source)

    return jax.vmap(warp_one)


def random_band_warp(most: float) -> Operation:
    """Moves each band of a recording to another pitch: a voice from a longer or shorter vocal tract.

    Band b is taken from b times a factor of ``1 - most`` to ``1 + most``, interpolated; above the highest band it is
    repeated. It is done on the mel scale (after Jaitly and Hinton 2013, "Vocal tract length perturbation improves
    speech recognition", whose warp is of hertz).
    """

    def warp_one(key: Array, values: Array, length: Array) -> Array:
        del length
        bands = values.shape[1]
        factor = 1 + most * jax.random.uniform(key, minval=-1.0)
        source = jnp.clip(factor * jnp.arange(bands, dtype=jnp.float32), 0, bands - 1)
        return _at(values.T, source).T

    return jax.vmap(warp_one)


def _at(values: Array, places: Array) -> Array:
    """Rows of ``values [n, ...]`` at places that may lie between two of them, by linear interpolation."""
    before = jnp.floor(places).astype(jnp.int32)
    after = jnp.minimum(before + 1, values.shape[0] - 1)
    share = (places - before)[:, None]
    return values[before] * (1 - share) + values[after] * share


def random_time_mask(most: float) -> Operation:
    """Sets a span of up to ``most`` of a sequence's real steps to the mean, never all (Park et al. 2019, SpecAugment).

    Its number of steps is uniform from 0 to that share, and its place among those that it fits in (arXiv:1904.08779,
    section 2).
    """

    def mask_one(key: Array, values: Array, length: Array) -> Array:
        longest = jnp.clip(jnp.floor(most * length).astype(jnp.int32), 0, jnp.maximum(length - 1, 0))
        return jnp.where(_span(key, values.shape[0], length, longest)[:, None], 0, values)

    return jax.vmap(mask_one)


def random_channel_mask(most: float) -> Operation:
    """Sets a band of up to ``most`` of the channels, never all, to the mean at all steps; see the mask in time."""

    def mask_one(key: Array, values: Array, length: Array) -> Array:
        del length
        channels = values.shape[1]
        inside = _span(key, channels, jnp.asarray(channels), jnp.asarray(min(int(most * channels), channels - 1)))
        return jnp.where(inside, 0, values)

    return jax.vmap(mask_one)


def _span(key: Array, size: int, length: Array, longest: Array) -> Array:
    """Places ``[size]`` of a span of 0 to ``longest`` places within the first ``length``."""
    of_width, of_first = jax.random.split(key)
    width = jax.random.randint(of_width, (), 0, longest + 1)
    first = jax.random.randint(of_first, (), 0, length - width + 1)
    places = jnp.arange(size)
    return (places >= first) & (places < first + width)
