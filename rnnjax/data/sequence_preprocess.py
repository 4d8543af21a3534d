"""Numeric sequences of any length, normalised; missing values are the mean, and said in channels of their own."""

import functools
import math
import wave
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from rnnjax.data import sequence_reading as reading_of
from rnnjax.data.examples import Examples
from rnnjax.data.log_mel import LogMel
from rnnjax.data.preprocess import Preprocess, require
from rnnjax.data.reading import Input
from rnnjax.data.sequence_targets import Targets
from rnnjax.data.sequences import Reading, Series, check_values, count
from rnnjax.data.spec import Shape, Spec
from rnnjax.errors import DataError, UsageError
from rnnjax.files import write_file

_SAMPLES = 3


@dataclass(frozen=True)
class SequencePreprocess(Preprocess):
    """Sequences as ``[N, T, inputs]`` with lengths; recordings as blocks of samples, features on the device.

    Attributes:
      channels: their names; of recordings, the bands of the mel scale.
      mean, std: one value a channel, of the real steps of the training split; a channel that is constant has std 1.
      missing: numbers of the channels that lack values in training: each has an input more, 1 where there is none.
      lengths: padded lengths, rising; the last is that of the longest sequence.
      most: steps of a sequence that are read; None: all.
      targets: what is learned.
      reading: how files are read.
      mel: how recordings become features; None of other sequences.
    """

    kind: ClassVar[str] = "sequences"
    wanted: ClassVar[str] = "tables, .ts, .npy, .wav, or folders or zips of them"
    rows: ClassVar[str] = "sequences"
    channels: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    missing: tuple[int, ...]
    lengths: tuple[int, ...]
    most: int | None
    targets: Targets
    reading: Reading
    mel: LogMel | None = None

    @property
    def spec(self) -> Spec:
        """Normalised steps ``[1, T, inputs]`` and lengths ``[1]``."""
        width = len(self.channels) + len(self.missing)
        inputs = {"inputs": Shape((1, self.lengths[-1], width), np.dtype(np.float32))}
        inputs["lengths"] = Shape((1,), np.dtype(np.int32))
        return Spec(inputs, self.targets.outputs, names=self.targets.names, per_step=self.targets.per_step)

    def stored(self, spec: Spec) -> dict[str, Shape]:
        """Of recordings, blocks of samples ``[1, T, hop]``; of others, what the model sees."""
        if self.mel is None:
            return super().stored(spec)
        blocks = Shape((1, spec.inputs["inputs"].shape[1], self.mel.hop), np.dtype(np.int16))
        return {"inputs": blocks, "lengths": spec.inputs["lengths"]}

    @property
    def padded_lengths(self) -> tuple[int, ...]:
        """Those of training."""
        return self.lengths

    def normalize(self, features: Any) -> Any:
        """Features ``[..., bands]`` of recordings as the model sees them, inside or outside a compiled step."""
        return (features - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)

    def on_device(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """The batch; of recordings, with normalised features in place of samples, unless augmentation made them."""
        if self.mel is None or batch["inputs"].dtype == np.float32:
            return dict(batch)
        return {**batch, "inputs": self.normalize(self.mel(batch["inputs"]))}

    def encode(self, raw: Any) -> dict[str, np.ndarray]:
        """Steps ``[T, channels]`` or ``[T]``, a list or an array of them, NaN where a value is missing; of recordings,
        samples ``[n]`` int16. Padded to one of the lengths of training where that is long enough.
        """
        rows = [self.row(self.check(np.asarray(one), f"sequence {number}")) for number, one in enumerate(raw)]
        longest = max((len(row) for row in rows), default=0)
        steps = next((length for length in self.lengths if length >= longest), None)
        if steps is None:  # few different sizes, each of which compiles
            steps = self.lengths[-1] * 2 ** math.ceil(math.log2(longest / self.lengths[-1]))
        return padded(rows, steps, self.stored(self.spec)["inputs"])

    def check(self, steps: np.ndarray, place: str) -> np.ndarray:
        """The steps of a sequence, if the model reads such; raises DataError, naming the place, where not."""
        if self.mel is not None:
            if steps.dtype != np.int16 or steps.ndim != 1 or not len(steps):
                got, hint = f"{steps.dtype} {list(steps.shape)}", ""
                if steps.dtype.kind == "f" and steps.ndim == 1:
                    hint = "; of floats in -1..1 they are (32767 * samples).astype(np.int16)"
                raise DataError(f"{place}: a recording is a .wav file, or samples [n] int16, got {got}{hint}")
            return steps
        if steps.ndim == 1:
            steps = steps[:, None]
        if steps.ndim != 2 or steps.dtype.kind not in "biuf" or steps.shape[1] != len(self.channels):
            got = f"{steps.dtype} {list(steps.shape)}"
            raise DataError(
                f"{place}: a sequence is numbers [T, {len(self.channels)}], {count(len(self.channels), 'channel')} as "
                f"in training, got {got}; several are given as a list, and so is one: [steps]"
            )
        if not len(steps):
            raise DataError(f"{place}: a sequence without a step")
        check_values(steps, place)
        return steps

    def row(self, steps: np.ndarray) -> np.ndarray:
        """A sequence as it is stored, ``[T, inputs]``."""
        if self.mel is not None:
            return self.mel.blocks(steps)[: self.most]
        steps = np.asarray(steps[: self.most], np.float64)
        absent = np.isnan(steps)
        made = np.where(absent, 0.0, (steps - np.asarray(self.mean)) / np.asarray(self.std))
        return np.concatenate([made, absent[:, list(self.missing)]], 1).astype(np.float32)

    def examples(self, series: Sequence[Series], longest: int | None = None) -> Examples:
        """Sequences with their targets, padded to ``longest`` steps, or as :meth:`encode` does.

        Raises:
          DataError: at a sequence or a label that is none of training's kind.
        """
        rows = [self.row(self.check(one.steps, one.place)) for one in series]
        if longest is None:
            longest = max([self.lengths[-1], *map(len, rows)])
        stored = padded(rows, longest, self.stored(self.spec)["inputs"])
        targets = self.targets.encode(series, longest)
        timed = ("inputs", "labels") if self.targets.per_step else ("inputs",)
        if self.targets.per_step and self.most is not None:
            targets["labels"][np.arange(longest) >= stored["lengths"][:, None]] = -1
        return Examples({"inputs": stored["inputs"], **targets}, stored["lengths"], timed)

    def read(self, paths: Sequence[str], texts: Sequence[str], stdin: Any) -> list[Input]:
        """Sequences in tables, ``.ts`` files, ``.npy`` and ``.wav``, and in folders or zips of them."""
        del stdin
        if texts:
            raise UsageError("--text: this model reads numeric sequences; give files of them")
        if "-" in paths:
            raise UsageError("-: numeric sequences are not read from the standard input; give files of them")
        return [one for path in paths for one in reading_of.inputs(Path(path), self.reading, self.check)]

    def labelled(self, path: str | Path) -> Examples:
        """New labelled sequences of the same kind; raises DataError where they are none."""
        # Groups say what stays in one split, and here is nothing to split.
        found = reading_of.read_new(Path(path), replace(self.reading, group_column=None))
        return replace(self.examples(found.series), places=[one.place for one in found.series])

    def save_samples(self, dataset: Any, texts: Sequence[str], folder: Path) -> None:
        """A few sequences of the test split, as ``.npy`` or ``.wav``."""
        split = dataset.test or dataset.validation
        for number in range(min(_SAMPLES, len(split))):
            steps = split["inputs"][number, : split.lengths[number]]
            if self.mel is None:
                values = np.asarray(steps[:, : len(self.channels)], np.float64) * self.std + self.mean
                for place, channel in enumerate(self.missing, len(self.channels)):
                    values[steps[:, place] > 0, channel] = np.nan
                write_file(folder / f"test-{number}.npy", functools.partial(_save_array, values))
            else:
                write_file(folder / f"test-{number}.wav", functools.partial(_save_wave, steps, self.mel.rate))

    def reads_alike(self, other: Preprocess) -> bool:
        """Whether another data set's sequences have the same channels and targets; its statistics do not count."""
        wanted = ("channels", "missing", "targets", "mel", "most")
        return all(getattr(other, name, None) == getattr(self, name) for name in wanted)

    def adopted(self, dataset: Any) -> Any:
        """A data set that reads alike, normalised by the mean and deviation here in place of its own."""
        theirs = dataset.preprocess
        if self.mel is None and (theirs.mean, theirs.std) != (self.mean, self.std):
            made = {name: self._normalised_anew(examples, theirs) for name, examples in dataset.splits().items()}
            dataset = replace(dataset, **made)
        return super().adopted(dataset)

    def _normalised_anew(self, examples: Examples, theirs: Any) -> Examples:
        """Examples that another preprocessing normalised; padding and missing values stay 0."""
        stored, width = np.array(examples["inputs"]), len(self.channels)
        there = np.arange(stored.shape[1]) < np.asarray(examples.lengths)[:, None]
        there = np.repeat(there[..., None], width, -1)
        for place, channel in enumerate(self.missing, width):
            there[..., channel] &= stored[..., place] == 0
        values = stored[..., :width].astype(np.float64) * theirs.std + theirs.mean
        stored[..., :width] = np.where(there, (values - self.mean) / self.std, 0)
        return replace(examples, arrays={**examples.arrays, "inputs": stored})

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "kind": self.kind}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`."""
        channels = tuple(values["channels"])
        mean, std = (tuple(map(float, values[name])) for name in ("mean", "std"))
        for name, given in (("mean", mean), ("std", std)):
            require(len(given) == len(channels) > 0 and all(map(math.isfinite, given)), name, given)
        require(min(std) > 0, "std", std)
        missing, lengths = (tuple(map(int, values[name])) for name in ("missing", "lengths"))
        require(all(0 <= number < len(channels) for number in missing), "missing", missing)
        require(bool(lengths) and min(lengths) > 0 and sorted(set(lengths)) == list(lengths), "lengths", lengths)
        said = values["targets"]
        targets = Targets(said["kind"], tuple(said["names"]), tuple(said["columns"]), int(said["outputs"]))
        mel = None if values["mel"] is None else LogMel.from_json(values["mel"])
        reading = Reading.from_json(values["reading"])
        return cls(channels, mean, std, missing, lengths, values["most"], targets, reading, mel)


def padded(rows: Sequence[np.ndarray], steps: int, like: Shape) -> dict[str, np.ndarray]:
    """Rows of different lengths as ``inputs [N, steps, ...]``, zeros after their ends, and ``lengths [N]``."""
    out = np.zeros((len(rows), steps, *like.shape[2:]), like.dtype)
    for place, row in zip(out, rows, strict=True):
        place[: len(row)] = row
    return {"inputs": out, "lengths": np.array([len(row) for row in rows], np.int32)}


def _save_array(values: np.ndarray, path: Any) -> None:
    with open(path, "wb") as file:
        np.save(file, values)


def _save_wave(blocks: np.ndarray, rate: int, path: Any) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(np.asarray(blocks, "<i2").tobytes())
