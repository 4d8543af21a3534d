"""What a decoder looks at while it writes, as a PNG."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np


def save_attention(examples: Sequence[tuple[Sequence[str], Sequence[str], np.ndarray]], path: Path, title: str) -> None:
    """Draws weights ``[tokens written, tokens read]`` of a few examples, the tokens at the edges.

    Args:
      examples: of each the tokens that were read, those that were written, and the weights.
      path: of the PNG.
      title: above it.
    """
    from matplotlib.figure import Figure

    widest = max((max(len(read), len(written)) for read, written, _ in examples), default=1)
    side = min(3 + 0.18 * widest, 8)
    figure = Figure(figsize=(2 * side, side * -(-len(examples) // 2)), layout="constrained")
    axes = figure.subplots(max(-(-len(examples) // 2), 1), 2, squeeze=False).ravel()
    for axis, (read, written, weights) in zip(axes, examples, strict=False):
        axis.imshow(weights, vmin=0, vmax=1, cmap="Blues", interpolation="nearest", aspect="auto")
        axis.set_xticks(range(len(read)), [_literal(token) for token in read], rotation=90, fontsize=8)
        axis.set_yticks(range(len(written)), [_literal(token) for token in written], fontsize=8)
        axis.set_xlabel("read")
        axis.set_ylabel("written")
    for axis in axes[len(examples) :]:
        axis.axis("off")
    figure.suptitle(title)
    figure.savefig(path, dpi=110)


def save_attention_over_images(
    examples: Sequence[tuple[np.ndarray, Sequence[str], np.ndarray]], path: Path, title: str
) -> None:
    """Draws weights ``[tokens written, columns]`` of a few examples below the image that was read.

    Args:
      examples: of each the columns of pixels ``[S, height]``, the tokens that were written, and the weights.
      path: of the PNG.
      title: above it.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 2.4 * len(examples)), layout="constrained")
    axes = figure.subplots(2 * len(examples), 1, squeeze=False)[:, 0]
    for (columns, written, weights), image, below in zip(examples, axes[::2], axes[1::2], strict=True):
        image.imshow(columns.T, cmap="gray", aspect="auto", interpolation="nearest")
        image.axis("off")
        below.imshow(weights, vmin=0, vmax=1, cmap="Blues", interpolation="nearest", aspect="auto")
        below.set_xticks([])
        below.set_yticks(range(len(written)), [_literal(token) for token in written], fontsize=8)
        below.set_ylabel("written")
    figure.suptitle(title)
    figure.savefig(path, dpi=110)


def _literal(token: str) -> str:
    """A token that no formula is made of, at most 14 letters."""
    return token[:14].replace("$", r"\$")
