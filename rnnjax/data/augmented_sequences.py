"""The part of a configuration's section that says how numeric sequences are augmented."""

from dataclasses import dataclass
from typing import Any

from rnnjax.config.checks import check, option, rate
from rnnjax.config.data import DataConfig


@dataclass(frozen=True, kw_only=True)
class AugmentedSequences(DataConfig):
    """Numeric sequences that training sees otherwise in each epoch."""

    scaling: float = option(0.0, rare=True)
    """Augment: make a sequence larger or smaller by up to this share, a recording louder or softer."""
    warp_time: float = option(0.0, rare=True)
    """Augment: move a step in the middle by up to this share of the sequence."""
    jitter: float = option(0.0, rare=True)
    """Augment: add noise of so many standard deviations of each channel."""
    mask_time: float = option(0.0, rare=True)
    """Augment: blank a span of up to this share of a sequence's steps."""
    mask_channels: float = option(0.0, rare=True)
    """Augment: blank a band of up to this share of the channels, or of a recording's bands."""

    def augment(self, dataset: Any) -> Any:
        """What they undergo, see :func:`rnnjax.data.sequence_augment.sequence_augmentation`."""
        from rnnjax.data.sequence_augment import sequence_augmentation

        return sequence_augmentation(self, dataset.preprocess)

    def __post_init__(self):
        super().__post_init__()
        check(0 <= self.jitter < float("inf"), self, "jitter", "0 or more standard deviations, and finite")
        for name in ("scaling", "warp_time", "mask_time", "mask_channels"):
            rate(self, name)
