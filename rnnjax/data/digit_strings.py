"""Strings of digits side by side, as images, and what stands in them."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from rnnjax.config.checks import check, option, positive
from rnnjax.data.images import ImageData

_SEEDS = {"train": 0, "validation": 1, "test": 2}


@dataclass(frozen=True, kw_only=True)
class DigitStringsData(ImageData):
    """Images of several of a data set's images side by side, drawn by a seed that is no run's.

    A split's strings are of that split's images alone: no image of validation or test is trained on. By
    --data.max-shift each image of a training string is shifted by itself, when the strings are made; by --data.elastic
    a string is distorted as a whole, in every epoch anew.
    """

    kind: ClassVar[str] = "digit_strings"
    withheld: ClassVar[tuple[str, ...]] = (
        *("shift_padding", "max_rotation", "max_zoom", "flip", "alternate_flip", "cutout"),
        *("crop_size", "crop_least_area", "permutation_seed", "distorted_validation"),
    )
    fewest: int = option(3, of_target=True)
    """Digits of the shortest string."""
    most: int = option(6, of_target=True)
    """Digits of the longest string."""
    training_strings: int = 40_000
    """Strings to train on."""
    test_strings: int = 5_000
    """Strings to test on; half as many are the validation split."""

    def load(self) -> Any:
        """The strings as columns of pixels, their classes' names as tokens."""
        return dataset(self)

    def augment(self, dataset: Any) -> Any:
        """Elastic distortion of strings ``[B, S, height]`` as wholes, see :func:`rnnjax.data.augment.random_warp`.

        Nothing else: turned, a string's ends would leave the image, and mirrored it would say something else.
        """
        from rnnjax.data.augment import random_warp

        del dataset
        if not self.elastic:
            return None
        warp = random_warp(elastic=self.elastic, elastic_sigma=self.elastic_sigma)

        def distorted(keys: Any, batch: Any) -> dict[str, Any]:
            # Columns by height are an image on its side, and either way a displacement is as likely as the other.
            return {**batch, "inputs": warp(keys, batch["inputs"][..., None])[..., 0]}

        return distorted

    def __post_init__(self):
        super().__post_init__()
        for name in ("fewest", "training_strings", "test_strings"):
            positive(self, name)
        check(self.most >= self.fewest, self, "most", f"at least --data.fewest, {self.fewest}")


def dataset(config: DigitStringsData) -> Any:
    """The splits, as :class:`rnnjax.data.Dataset`."""
    from rnnjax.data import sources
    from rnnjax.data.examples import Dataset
    from rnnjax.data.pair_plan import PairPlan
    from rnnjax.data.string_preprocess import StringPreprocess
    from rnnjax.data.token_sets import SPECIAL, TokenSet
    from rnnjax.data.tokens import Vocabulary

    found = sources.images(config)
    preprocess: Any = found.preprocess
    height, width, channels = preprocess.shape
    check(channels == 1, config, "name", f"a data set of grey images; those of {found.name} have {channels} channels")
    names = preprocess.class_names
    splitter = "characters" if max(map(len, names)) == 1 else "words"
    counts = {
        "train": config.training_strings,
        "validation": -(-config.test_strings // 2),
        "test": config.test_strings,
    }
    made = {split: _strings(found.splits()[split], split, count, config) for split, count in counts.items()}
    lengths = range(config.fewest, config.most + 1)
    return Dataset(
        f"strings of {config.fewest} to {config.most} of {found.name}",
        **made,
        preprocess=StringPreprocess(
            height,
            config.most * width,
            TokenSet(splitter, Vocabulary((*SPECIAL, *names))),
            config.most + 1,
            *(*preprocess.mean, *preprocess.std),
        ),
        plan=PairPlan(tuple((each * width, each + 1) for each in lengths)),
        understood=(f"strings of {config.fewest} to {config.most} images of {height} x {width} pixels side by side",),
    )


def _strings(images: Any, split: str, count: int, config: DigitStringsData) -> Any:
    """As many strings of each length."""
    from rnnjax.data.examples import Examples
    from rnnjax.data.token_sets import SPECIAL
    from rnnjax.data.tokens import END

    rng = np.random.default_rng((_SEEDS[split], config.fewest, config.most))
    pixels, labels = np.asarray(images["inputs"])[..., 0], np.asarray(images["labels"])
    if pixels.dtype != np.uint8:
        pixels = np.round(255 * np.clip(pixels, 0, 1)).astype(np.uint8)
    height, width = pixels.shape[1:]
    drawn = rng.integers(len(pixels), size=(count, config.most))
    digits = config.fewest + np.arange(count) % (config.most + 1 - config.fewest)
    real = np.arange(config.most) < digits[:, None]
    # Column by column: [N, digits, height, width] to [N, digits * width, height], nothing behind the last one.
    chosen = _shifted(pixels[drawn], config.max_shift if split == "train" else 0, rng)
    columns = np.where(real[..., None, None], chosen, 0).swapaxes(2, 3).reshape(count, -1, height)
    targets = np.where(real, labels[drawn] + len(SPECIAL), -1).astype(np.int32)
    targets = np.pad(targets, ((0, 0), (0, 1)), constant_values=-1)
    targets[np.arange(count), digits] = END
    arrays = {"inputs": columns, "targets": targets, "targets_lengths": (digits + 1).astype(np.int32)}
    return Examples(arrays, (digits * width).astype(np.int32), ("inputs", "targets"))


def _shifted(images: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Images ``[..., height, width]``, each shifted by up to so many pixels along both sides, zeros moving in."""
    if not most:
        return images
    flat = images.reshape(-1, *images.shape[-2:])
    down, right = rng.integers(2 * most + 1, size=(2, len(flat)))
    padded = np.pad(flat, ((0, 0), (most, most), (most, most)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, flat.shape[1:], axis=(1, 2))
    return windows[np.arange(len(flat)), down, right].reshape(images.shape)
