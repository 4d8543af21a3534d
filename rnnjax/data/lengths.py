"""Padded lengths for sequences of different lengths."""

import numpy as np


def bucket_lengths(lengths: np.ndarray, longest: int) -> tuple[int, ...]:
    """At most three padded lengths, multiples of 8 where that is not too long: for half of the sequences, for eight
    in ten, and for all.

    A length that is not a quarter shorter than the next saves less padding than its compilation costs, and is left out.

    Args:
      lengths: of the training sequences.
      longest: of all sequences, in steps.
    """
    chosen = [max(longest, 1)]
    for share in (0.8, 0.5):
        length = -(-int(np.quantile(lengths, share, method="higher")) // 8) * 8
        if 0 < length <= 0.75 * chosen[0]:
            chosen.insert(0, length)
    return tuple(chosen)
