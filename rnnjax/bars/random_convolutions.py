"""The bar for sequences: thousands of random convolutions, two numbers of each, and ridge regression.

ROCKET's published rule (Dempster, Petitjean and Webb 2020, arXiv:1910.13051): a kernel has 7, 9 or 11 weights, drawn
from the normal distribution and centred; a bias from -1 to 1; a dilation ``2^x``, x from 0 to where the kernel just
fits into a sequence; padding, or none; and of several channels it sees some. Of its outputs over time, their maximum
and the share of them that is positive are features. Series are normalised one by one, as there; since that hides how
large they are, the mean and the deviation of each channel are features too.

A sequence's padding is no part of it: outputs whose kernel would reach beyond what is real (of padded kernels, whose
middle would) do not count. All kernels are of 11 taps, shorter ones with zeros at their ends, and those of one dilation
are one product of shifted copies of the sequence with their weights: the dilation is an argument of one compiled
program, whatever it is.
"""

import functools
import time
from typing import Any, NamedTuple

import numpy as np

from rnnjax.bars import linear
from rnnjax.bars.base import Asked, Bar, judged
from rnnjax.data import Dataset, Examples

KERNELS = 10_000
_TAPS = 11
_GROUP = 64
"""Kernels of one dilation that are one product."""
_ROWS = 128
"""Sequences at once."""
_MOST_FEATURES = 10**8
"""Numbers of the training split's features that are in memory."""
_ALPHAS = np.logspace(-3, 3, 10)
_PROBE = 400
"""Rows of a matrix whose eigenvectors tell how fast this machine is now."""


class Kernels(NamedTuple):
    """Kernels of one dilation.

    Attributes:
      dilation: steps between two weights.
      weights: ``[11, channels, K]``, zeros where a kernel is shorter, or does not see a channel.
      bias: ``[K]``.
      half: ``[K]``, how many weights lie on each side of the middle one: 3, 4 or 5.
      padded: ``[K]``, whether outputs count whose kernel reaches beyond the sequence.
    """

    dilation: int
    weights: np.ndarray
    bias: np.ndarray
    half: np.ndarray
    padded: np.ndarray


def kernels(rng: np.random.Generator, count: int, steps: int, channels: int) -> list[Kernels]:
    """Random kernels, those of one dilation together, up to 64 at once; the groups in random order.

    Args:
      rng: draws them.
      count: how many.
      steps: of a sequence, into which they fit.
      channels: of a sequence.
    """
    lengths = rng.choice([size for size in (7, 9, 11) if size <= steps] or [7], count)
    exponents = np.log2(np.maximum((steps - 1) / (lengths - 1), 1.0)) * rng.random(count)
    dilations, half = (2.0**exponents).astype(int), lengths // 2
    near = np.abs(np.arange(_TAPS) - _TAPS // 2)[:, None] <= half
    seen = _channels(rng, count, channels, lengths)
    weights = rng.normal(size=(_TAPS, channels, count)) * near[:, None] * seen
    there = near[:, None] & (seen > 0)
    # Centred channel by channel, as the authors' code for several channels does.
    weights = np.where(there, weights - weights.sum(0) / near.sum(0), 0.0).astype(np.float32)
    bias, padded = rng.uniform(-1, 1, count).astype(np.float32), rng.random(count) < 0.5
    found = []
    for dilation in np.unique(dilations):
        every = np.flatnonzero(dilations == dilation)
        for chosen in (every[start : start + _GROUP] for start in range(0, len(every), _GROUP)):
            parts = [part[..., chosen] for part in (weights, bias, half, padded)]
            found.append(Kernels(int(dilation), *parts))
    return [found[number] for number in rng.permutation(len(found))]


def _channels(rng: np.random.Generator, count: int, channels: int, lengths: np.ndarray) -> np.ndarray:
    """Which channels each kernel sees, ``[channels, K]``: ``2^x`` of them, x from 0 to log2 of what it has weights."""
    most = np.log2(np.minimum(channels, lengths) + 1)
    number = (2.0 ** (most * rng.random(count))).astype(int)
    ranks = rng.random((channels, count)).argsort(0).argsort(0)
    return ranks < number


def transform(sequences: np.ndarray, lengths: np.ndarray, group: Kernels) -> np.ndarray:
    """The features of normalised sequences: ``[N, 2 * K]``, all maxima first.

    Args:
      sequences: ``[N, T, channels]``.
      lengths: ``[N]``, how many steps of each are real.
      group: the kernels.
    """
    parts = [slice(start, start + _ROWS) for start in range(0, len(sequences), _ROWS)]
    made = [_features(sequences[rows], lengths[rows], group) for rows in parts]
    biggest, shares = (np.concatenate(values)[:, : len(group.bias)] for values in zip(*made, strict=True))
    return np.concatenate([biggest, shares], 1)


def _features(sequences: np.ndarray, lengths: np.ndarray, part: Kernels) -> tuple[np.ndarray, np.ndarray]:
    """Maxima and shares of a part's kernels; rows and kernels are filled up, so that one program serves all."""
    rows, missing = len(sequences), _GROUP - len(part.bias)
    filled = [np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, missing)]) for array in part[1:]]
    sequences = np.pad(sequences, ((0, _ROWS - rows), (0, 0), (0, 0)))
    lengths = np.pad(lengths, (0, _ROWS - rows))
    made = _program()(sequences, lengths, np.int32(part.dilation), *filled)
    return np.asarray(made[0])[:rows], np.asarray(made[1])[:rows]


@functools.cache
def _program() -> Any:
    import jax
    import jax.numpy as jnp

    @jax.jit
    def run(x: Any, lengths: Any, dilation: Any, weights: Any, bias: Any, half: Any, padded: Any) -> tuple[Any, Any]:
        steps = jnp.arange(x.shape[1])
        real = steps < lengths[:, None]
        x = jnp.where(real[..., None], x, 0)

        def add(total: Any, tap: Any) -> tuple[Any, None]:
            at = steps + (tap - _TAPS // 2) * dilation
            copy = jnp.where(((at >= 0) & (at < x.shape[1]))[:, None], jnp.take(x, at, axis=1, mode="clip"), 0)
            return total + jnp.einsum("btd,dk->btk", copy, weights[tap]), None

        nothing = jnp.zeros((*x.shape[:2], bias.shape[0]), x.dtype) + bias
        outputs, _ = jax.lax.scan(add, nothing, jnp.arange(_TAPS))
        reach = half * dilation
        within = (steps[:, None] >= reach) & (steps[:, None] + reach < lengths[:, None, None])
        counted = jnp.where(padded, real[..., None], within)
        number = counted.sum(1)
        biggest = jnp.where(counted, outputs, -jnp.inf).max(1)
        share = (counted & (outputs > 0)).sum(1) / jnp.maximum(number, 1)
        return jnp.where(number > 0, biggest, 0), share

    return run


def normalised(sequences: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each channel of each sequence with mean 0 and deviation 1 over its real steps, and those two, ``[N, 2 * D]``."""
    real = (np.arange(sequences.shape[1]) < lengths[:, None])[..., None]
    number = np.maximum(lengths, 1)[:, None]
    mean = np.where(real, sequences, 0).sum(1) / number
    centred = np.where(real, sequences - mean[:, None], 0)
    std = np.sqrt((centred**2).sum(1) / number)
    scaled = centred / np.where(std > 1e-6, std, 1.0)[:, None]
    return scaled.astype(np.float32), np.concatenate([mean, std], 1).astype(np.float32)


def bar(asked: Asked) -> Bar | None:
    """The bar of classes, labels or numbers of sequences ``[T]`` or ``[T, D]`` of floats; None of other data."""
    dataset, start = asked.dataset, time.monotonic()
    if not _are_sequences(dataset):
        return None
    targets = asked.task.regressed(dataset.train, dataset.spec)
    if targets is None:
        return None
    examples = len(dataset.train)
    rows = linear.sample(examples, _affordable(examples, 0.4 * asked.seconds))
    train = dataset.train if rows is None else dataset.train.take(rows)
    targets = targets if rows is None else targets[rows]
    given = {"train": _arguments(dataset, train), "judged": _arguments(dataset, asked.examples)}
    scaled = {split: normalised(*part) for split, part in given.items()}
    made = {split: [extra] for split, (_, extra) in scaled.items()}
    most = min(KERNELS, max(_MOST_FEATURES // (2 * len(train)), 2 * _GROUP))
    steps, channels = int(np.median(given["train"][1])), given["train"][0].shape[2]
    count = 0
    for group in kernels(np.random.default_rng(0), most, steps, channels):
        if count and time.monotonic() - start > 0.5 * asked.seconds:
            break
        for split, (sequences, _) in scaled.items():
            made[split].append(transform(sequences, given[split][1], group))
        count += len(group.bias)
    features = {split: np.concatenate(parts, 1) for split, parts in made.items()}
    outputs = ridge(features["train"], targets)(features["judged"])
    few = "" if count == KERNELS else f"{count:,} of {KERNELS:,} kernels, to stay within its time"
    note = "; ".join(filter(None, [few, linear.sampled(rows, examples)]))
    return judged("random convolutions", outputs.astype(np.float32), asked, note=note)


def ridge(features: np.ndarray, targets: np.ndarray) -> Any:
    """Ridge regression of standardised features, its penalty by the error of leaving one example out.

    Returns:
      From features ``[N, F]`` to predictions ``[N, columns]``.
    """
    from sklearn.linear_model import RidgeCV

    mean, std = features.mean(0), features.std(0)
    scale = np.where(std > 1e-8, std, 1.0)
    model = RidgeCV(alphas=_ALPHAS).fit((features - mean) / scale, targets)
    return lambda x: model.predict((x - mean) / scale).reshape(len(x), -1)


def _affordable(examples: int, seconds: float) -> int:
    """How many examples a ridge regression, with the most features that there can be, has time for."""
    start = time.monotonic()
    np.linalg.eigh(np.eye(_PROBE) + 1.0)
    seconds_each = (time.monotonic() - start) / (10 * _PROBE**3)
    while examples > 1 and _operations(examples) * seconds_each > seconds:
        examples = int(0.9 * examples)
    return examples


def _operations(examples: int) -> float:
    """About what a ridge regression takes: the eigenvectors of the smaller square, and the products to it and back."""
    wide = min(2 * KERNELS, _MOST_FEATURES // examples)
    least = min(examples, wide)
    return 10.0 * least**3 + 4.0 * examples * wide * least


def _arguments(dataset: Dataset, examples: Examples) -> tuple[np.ndarray, np.ndarray]:
    """A split as a model is given it: sequences ``[N, T, D]`` float32, and lengths ``[N]``."""
    found = []
    names = [name for name in examples.arrays if name not in ("labels", "targets", "weights")]
    for start in range(0, len(examples), 8 * _ROWS):
        part = {name: np.asarray(examples[name][start : start + 8 * _ROWS]) for name in names}
        if examples.lengths is not None:
            part["lengths"] = examples.lengths[start : start + 8 * _ROWS]
        made = dataset.preprocess.on_device(part)
        inputs = np.asarray(made["inputs"], np.float32)
        lengths = np.asarray(made["lengths"]) if "lengths" in made else np.full(len(inputs), inputs.shape[1])
        found.append((inputs, lengths))
    inputs, lengths = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return inputs.reshape(*inputs.shape[:2], -1), lengths.astype(np.int32)


def _are_sequences(dataset: Dataset) -> bool:
    """Whether a model is given one array of floats ``[B, T]`` or ``[B, T, D]``, with or without lengths."""
    inputs = dataset.spec.inputs
    if set(inputs) - {"lengths"} != {"inputs"} or dataset.spec.vocabulary or dataset.train.encoded:
        return False
    return inputs["inputs"].dtype.kind == "f" and len(inputs["inputs"].shape) in (2, 3)
