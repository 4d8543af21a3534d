"""A tiny translation, word by word and reversed, of parallel files, trained as a stranger trains one."""

from pathlib import Path
from typing import Any

import numpy as np

from rnnjax import EncoderDecoderModel, Experiment, OptimConfig, PairData, SequenceToSequence, TrainConfig
from rnnjax.runs.fitting import Started

WORDS = {"one": "Eins", "two": "Zwei", "three": "Drei", "four": "Vier"}


def pairs(count: int, seed: int) -> tuple[list[str], list[str]]:
    """Sources of 1 to 4 words, and their targets."""
    rng = np.random.default_rng(seed)
    drawn = [rng.choice(list(WORDS), rng.integers(1, 5)) for _ in range(count)]
    return [" ".join(row) for row in drawn], [" ".join(WORDS[word] for word in row[::-1]) for row in drawn]


def written(folder: Path, part: str, sources: list[str], targets: list[str], **how: Any) -> None:
    """Two parallel files."""
    how = {"encoding": "utf-8", "newline": "\n"} | how
    for side, lines in (("en", sources), ("de", targets)):
        (folder / f"{part}.{side}").write_text("".join(f"{line}\n" for line in lines), **how)


def parts(folder: Path) -> Path:
    """A folder with all parts."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (part, count) in enumerate({"train": 64, "val": 11, "test": 13}.items()):
        written(folder, part, *pairs(count, seed))
    return folder


def experiment(folder: Path, score: Any = "exact_match", **data: Any) -> Experiment:
    """What is trained."""
    return Experiment(
        name="tiny",
        data=PairData(path=str(folder), source="en", target="de", lowercase=True, batch_size=8, **data),
        model=EncoderDecoderModel(encoder_features=(8,), features=(12,), embedding_features=8, tied=True),
        task=SequenceToSequence(score=score),
        optim=OptimConfig(learning_rate=0.03),
        train=TrainConfig(epochs=3, steps_per_call=4, log=()),
    )


def trained(root: Path, **options: Any) -> tuple[Experiment, Path]:
    """The experiment and its work folder, below ``root``."""
    made = experiment(parts(root / "data"), **options)
    Started(made).fit(0, root / "run")
    return made, root / "run"
