"""The part ``input``: streamed images beside PyTorch's DataLoader, steps that wait for data, and memory."""

import dataclasses
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks import harness, input_files, input_runs, input_show, input_streams, record, terminal
from experiments.benchmarks.input_show import DRAFT, OURS, TORCH
from rnnjax.errors import UsageError

FARTHEST = 1
"""Levels of 255 by which a pixel of PyTorch's crop may differ from ours: Pillow rounds between the two directions in
which it resizes, and an image's size decides which is the first; of ours, rows below the crop are left out."""
LEAST_SIDE = 16
COMPARED = 64
"""Images whose crops are compared, and looked at for whether they were decoded small."""
HOW = (
    "An epoch of training images is decoded, cropped as random_resized_crop is and flipped half the time, as uint8; it "
    "is not trained on. rnnjax: TFDS's records by the feed of a run, with so many threads. torch: the same JPEGs as "
    "files by a DataLoader with so many processes, which stay from epoch to epoch, Pillow and torchvision's sampling; "
    "with draft, Pillow decodes a JPEG at 1/2, 1/4 or 1/8 of its size where the crop needs no more. They run in turn, "
    "in an order shuffled every round. Before PyTorch is timed, its crops at our boxes are compared with ours, where "
    "ours were decoded at full size. Waiting: what the run's result.json says of its time behind the first calls. "
    "Memory: resident before and after an epoch of these images again and again, behind a shorter one; it may grow by "
    "no more than the decoded images of the three calls that the feed holds at once, which the allocator may keep."
)


@dataclasses.dataclass(frozen=True)
class Options:
    """Times images that are decoded while they are trained on, beside PyTorch's DataLoader.

    It also trains two experiments for a short time, to see how long their steps wait for data, and measures by how much
    memory grows over a streamed epoch. By default the result is written to experiments/results/benchmarks; with any
    other option than --out it is written to runs/benchmarks.
    """

    sides: tuple[str, ...] = ("500,400", "1200,900")
    """Widths and heights of the JPEGs that are made, in pixels, by about which theirs vary. Memory is measured with
    those of the first."""
    images: int = 512
    """JPEGs that are made of each; whole pairs of batches."""
    size: int = 224
    """Height and width to which they are cropped."""
    batch: int = 32
    """Images in a batch."""
    samples: int = 10
    """Epochs that are timed of each; what is too slow for the time gets fewer."""
    minutes: float = 15.0
    """About how long the timing may take, for all sides together."""
    epochs: int = 2
    """Epochs of the trainings whose steps may wait."""
    memory_images: int = 4096
    """Images of the epoch over which memory may grow; whole pairs of batches."""
    out: Path | None = None
    """Result file."""
    quick: bool = False
    """Tiny images, few samples, and a training on embedded digits, to see that everything runs."""


QUICK = {"sides": ("50,40",), "images": 16, "size": 16, "batch": 4, "samples": 2, "epochs": 2, "memory_images": 64}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return run(record.parse("input", Options, arguments))


def run(options: Options) -> int:
    """Makes the images, times, trains, measures, shows and writes; returns the exit code, 130 after Ctrl-C.

    Raises:
      UsageError: for numbers that are not positive, or images that fill no whole calls.
    """
    chosen = dataclasses.replace(options, **QUICK) if options.quick else options
    _check(chosen)
    began, load = time.monotonic(), record.start(1)
    found: dict[str, Any] = {"images": [], "rows": [], "waits": [], "memory": None}
    partial, console = False, terminal.console()
    try:
        _measure(chosen, found, console)
    except KeyboardInterrupt:
        partial = True
        console.print("interrupted: what follows is partial")
    circumstances = {"load_at_start": load, "seconds": time.monotonic() - began, **record.circumstances()}
    asked = {name: getattr(chosen, name) for name in ("size", "batch", "samples")}
    goals = input_show.evaluate(found["rows"]) + input_runs.evaluate(found["waits"])
    goals += input_streams.evaluate(found["memory"])
    result = {"part": "input", "partial": partial, "how": HOW, **asked, **circumstances, "goals": goals, **found}
    console.print(terminal.of_goals(goals, "goals"))
    whole = dataclasses.replace(options, out=None) == Options() and not partial
    path = record.out_path("input", options.out, whole=whole)
    record.write(result, path)
    console.print(f"{result['seconds']:.0f} s; written: {path}", soft_wrap=True)
    return 130 if partial else 0


def _check(options: Options) -> None:
    if min(options.images, options.size, options.batch, options.samples, options.epochs, options.memory_images) < 1:
        raise UsageError("--images, --size, --batch, --samples, --epochs and --memory-images must be positive")
    call = input_streams.STEPS * options.batch
    for name in ("images", "memory_images"):
        if (given := getattr(options, name)) % call:
            option = "--" + name.replace("_", "-")
            raise UsageError(f"{option} must be a multiple of {call}, which are two batches, got {given}")
    if not options.sides:
        raise UsageError("--sides must name at least one width and height; leave it out for the default choice")
    for sides in options.sides:
        _width_and_height(sides)


def _width_and_height(sides: str) -> tuple[int, int]:
    try:
        width, height = map(int, sides.split(","))
    except ValueError:
        width = height = 0
    if min(width, height) < LEAST_SIDE:
        raise UsageError(f"--sides: WIDTH,HEIGHT in pixels, {LEAST_SIDE} at least, such as 500,400; got {sides!r}")
    return width, height


def _measure(options: Options, found: dict[str, Any], console: Any) -> None:
    """Adds all that is measured to ``found`` as it is there."""
    with tempfile.TemporaryDirectory(prefix="rnnjax-input-") as folder:
        places = {sides: Path(folder, str(number)) for number, sides in enumerate(options.sides)}
        for sides, place in places.items():
            _stream(options, place, sides, found)
        table = input_show.on_terminal(input_show.streams(found["rows"]))
        console.print(table, input_show.evidence(vars(options) | found), sep="\n")
        for experiment in input_runs.QUICK if options.quick else input_runs.EXPERIMENTS:
            found["waits"].append(input_runs.measure(experiment, options.epochs))
        console.print(input_show.on_terminal(input_show.waits(found["waits"])))
        asked = (options.size, options.batch, record.cores(), options.memory_images)
        found["memory"] = input_streams.in_a_child(input_files.data_dir(places[options.sides[0]]), *asked)
        console.print(input_show.on_terminal(input_show.tables(found)[-1]))


def _stream(options: Options, folder: Path, sides: str, found: dict[str, Any]) -> None:
    """Makes images of these sides and times ours and PyTorch's against one another, on one core and on all."""
    width, height = _width_and_height(sides)
    made = input_files.make(folder, options.images, height, width)
    split = input_streams.examples(made.data_dir, options.size)
    crops = [input_streams.training_crop(split, row) for row in range(min(COMPARED, options.images))]
    small = {"crops": len(crops), "small": sum(small for *_, small in crops)}
    found["images"].append({"sides": f"{width} x {height}", **made.facts, **small})
    entries = []
    for workers in dict.fromkeys((1, record.cores())):
        for peer in (OURS, TORCH, DRAFT):
            row = {"sides": f"{width} x {height}", "peer": peer, "workers": workers, "images": options.images}
            row["apart"], ours = None, peer == OURS
            build = _ours(row, options, split) if ours else _torch(row, options, made.files, crops)
            entries.append(harness.Entry(row, build))
    try:
        harness.measure(entries, samples=options.samples, seconds=60 * options.minutes / len(options.sides))
    finally:
        found["rows"] += [entry.row | {"samples": entry.samples, "error": entry.error} for entry in entries]


def _ours(row: dict[str, Any], options: Options, split: Any) -> harness.Build:
    def build() -> Callable[[], Any]:
        stream = input_streams.stream(split, options.batch, row["workers"])
        return lambda: _all(row, stream())

    return build


def _torch(row: dict[str, Any], options: Options, files: Sequence[str], crops: list[Any]) -> harness.Build:
    def build() -> Callable[[], Any]:
        from experiments.benchmarks import input_torch

        draft = row["peer"] == DRAFT
        row["apart"] = apart(files, options.size, crops)
        if row["apart"] > FARTHEST:
            raise ValueError(f"it decodes other pixels than rnnjax: {row['apart']:g} of 255 apart")
        data = input_torch.Crops(files, options.size, input_streams.LEAST_AREA, draft=draft)
        stream = input_torch.stream(data, options.batch, row["workers"])
        return lambda: _all(row, stream())

    return build


def apart(files: Sequence[str], size: int, crops: Sequence[Any]) -> float:
    """The largest difference between a pixel of our crops and of PyTorch's at the same boxes, in levels of 255.

    Crops of which the JPEG was decoded small are left out.
    """
    from PIL import Image

    from experiments.benchmarks import input_torch

    farthest = 0.0
    for file, (ours, box, flip, small) in zip(files, crops, strict=False):
        if small:
            continue
        with Image.open(file) as image:
            theirs = input_torch.cropped(image, box, size, flip=flip, draft=False)
        farthest = max(farthest, float(np.abs(ours.astype(int) - theirs).max()))
    return farthest


def _all(row: dict[str, Any], images: int) -> int:
    """The number of images that came; raises ValueError if it is another than asked for."""
    if images != row["images"]:
        raise ValueError(f"{images} images came instead of {row['images']}")
    return images
