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


def _literal(token: str) -> str:
    """A token that no formula is made of, at most 14 letters."""
    return token[:14].replace("$", r"\$")
