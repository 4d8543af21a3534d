"""Images that are decoded and cropped while they are trained on: ours by the feed of a run, and its memory."""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.benchmarks import input_files, record
from experiments.benchmarks.harness import first_line
from rnnjax.data import crops, tfds
from rnnjax.data.encoded import EncodedImages
from rnnjax.data.examples import Examples, labelled
from rnnjax.data.plan import Plan
from rnnjax.training.feed import Feed
from rnnjax.training.parallel import DataParallel

LEAST_AREA = 0.08
STEPS = 2
"""Batches that a call of the training step is fed with, as in ``experiments.imagenet_cnn_rnn``."""
AHEAD = 3
"""Calls whose decoded images are there at once: the one that is handed out, and two that are decoded meanwhile."""


def examples(data_dir: Path, size: int) -> Examples:
    """The training split as ``--data.crop-size`` streams it; nothing is decoded yet."""
    found = tfds.builder(input_files.NAME, str(data_dir))
    labels = tfds.labels(found, "train")
    fetch = tfds.encoded(found, "train", "image")
    numbers = np.arange(len(labels))
    return labelled(EncodedImages(input_files.NAME, fetch, numbers, size, least_area=LEAST_AREA), labels)


def stream(split: Examples, batch: int, workers: int) -> Callable[[], int]:
    """A function that feeds the next epoch of training, drops it, and returns how many images it was."""
    feed, numbers = Feed(split, DataParallel(jax.local_devices()[:1]), 0, workers), itertools.count()

    def epoch() -> int:
        number = next(numbers)
        chunks = Plan().train(split, seed=0, epoch=number, batch_size=batch, steps_per_call=STEPS)
        return sum(int(np.prod(fed.data["inputs"].shape[:2])) for fed in feed(chunks, number, seed=0))

    return epoch


def training_crop(split: Examples, row: int) -> tuple[np.ndarray, tuple[int, int, int, int], bool, bool]:
    """A training crop of an image as pixels; its box, and whether it is flipped; whether the JPEG was decoded small."""
    images: Any = split["inputs"]
    seed, image = (0, 0, row), crops.decode(images.fetch([row])[0], images.name)
    width, height = image.size
    made = crops.random_resized_crop(image, images.size, images.channels, np.random.default_rng(seed), LEAST_AREA)
    rng = np.random.default_rng(seed)
    box = crops.random_box(width, height, rng, LEAST_AREA)
    return made, box, bool(rng.random() < 0.5), image.size != (width, height)


# Memory


def measure(data_dir: Path, size: int, batch: int, workers: int, images: int) -> dict[str, Any]:
    """The row of a streamed epoch of so many images, done in this process: a shorter one before it fills the buffers.

    The bound is what the feed holds by design, which the allocator may or may not keep after it.
    """
    row = _row(size, batch, workers, images)
    try:
        split = examples(data_dir, size)
        warm, whole = (_repeated(split, count) for count in (max(images // 8, AHEAD * STEPS * batch), images))
        stream(warm, batch, workers)()
        epoch = stream(whole, batch, workers)
        row["start_mib"] = resident()
        row["streamed"] = epoch()
        row["end_mib"] = resident()
        return row | {"growth_mib": row["end_mib"] - row["start_mib"]}
    except Exception as error:  # what fails is a result
        return row | {"error": f"failed: {first_line(error)}"}


def in_a_child(data_dir: Path, size: int, batch: int, workers: int, images: int) -> dict[str, Any]:
    """As :func:`measure`, in a process of its own; one that is killed is marked so."""
    asked = json.dumps([str(data_dir), size, batch, workers, images])
    done = subprocess.run([sys.executable, "-m", __name__, asked], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return _row(size, batch, workers, images) | {"error": f"failed: {said}"}


def resident() -> float:
    """MiB of this process that are in memory now.

    Raises:
      OSError: where the system does not say so as Linux does.
    """
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def evaluate(row: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The goal: no more growth than the decoded images that are there at once."""
    if row is None:
        return []
    measured = row["growth_mib"]
    what = f"a streamed epoch of {row['images']:,} images: growth of the resident memory, MiB"
    reached = None if measured is None else measured <= row["bound_mib"]
    return [{"what": what, "goal": row["bound_mib"], "measured": measured, "shapes": 1, "reached": reached}]


def _row(size: int, batch: int, workers: int, images: int) -> dict[str, Any]:
    bound = AHEAD * STEPS * batch * size * size * 3 / 2**20
    row: dict[str, Any] = {"size": size, "batch": batch, "workers": workers, "images": images, "bound_mib": bound}
    return row | dict.fromkeys(("streamed", "start_mib", "end_mib", "growth_mib", "error"))


def _repeated(split: Examples, count: int) -> Examples:
    """A split of so many images: its own, again and again."""
    return split.take(np.arange(count) % len(split))


if __name__ == "__main__":
    record.start(1)
    asked = json.loads(sys.argv[1])
    print(json.dumps(measure(Path(asked[0]), *asked[1:])))
