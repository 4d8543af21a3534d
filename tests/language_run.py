"""A small run of a language model on a text of its own, made by the command line."""

import contextlib
import io
from pathlib import Path

from experiments.shakespeare_chars import EXPERIMENT
from rnnjax import cli

TEXT = "The red cat sat.\nKING: the é\n" * 120


def trained(root: Path, *more: str, refit: bool = False) -> tuple[Path, str]:
    """The work folder, below ``root``, and what the command said; with more options, and on validation too."""
    (root / "text.txt").write_text(TEXT, encoding="utf-8")
    options = ["--model.features", "16", "--model.embedding-features", "8", "--data.batch-size", "8"]
    options += ["--data.window", "8", "--train.epochs", "2", "--data.path", str(root / "text.txt")]
    options += [*more, *([] if refit else ["--data.no-refit"])]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert cli.main(EXPERIMENT, [*options, "--runs-dir", str(root)]) == 0
    return root / "shakespeare_chars" / "seed-0", said.getvalue()
