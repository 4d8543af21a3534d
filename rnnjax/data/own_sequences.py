"""A data set of a user's own numeric sequences: targets, splits, normalisation, and what was understood."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rnnjax.data import sequence_reading, sequence_splits, sequence_targets
from rnnjax.data.examples import Dataset, Examples
from rnnjax.data.lengths import bucket_lengths
from rnnjax.data.log_mel import LogMel
from rnnjax.data.plan import Plan
from rnnjax.data.preprocess import one_where_constant
from rnnjax.data.sequence_preprocess import SequencePreprocess
from rnnjax.data.sequence_table import SequenceTable
from rnnjax.data.sequences import Found, Reading, Series, check_values, count
from rnnjax.errors import DataError, UsageError

_ROWS = 64
"""Recordings whose features are computed at once."""


def load(config: SequenceTable) -> Dataset:
    """Reads the sequences that a configuration names.

    Raises:
      UsageError: if it names none.
      DataError: if they cannot be read, or are too few to train and test on.
    """
    if not config.path:
        raise UsageError("say where your sequences are: --data.path FILE (a table, .ts, a folder or a zip)")
    return dataset(read(config), config)


def dataset(found: Found, config: SequenceTable) -> Dataset:
    """A data set of sequences that were read.

    Raises:
      UsageError: if what is asked for is of recordings, and they are none.
      DataError: if they are too few to train and test on.
    """
    tested = set(found.test)
    trained = [number for number in range(len(found.series)) if number not in tested]
    targets, said = sequence_targets.choose(found, config.target, trained)
    sequence_targets.check_names(targets, found)
    splits = sequence_splits.cut(
        found,
        targets,
        test_fraction=config.test_fraction,
        validation_fraction=config.validation_fraction,
        hold_out=config.hold_out,
    )
    parts = {name: [found.series[number] for number in getattr(splits, name)] for name in ("train", "validation")}
    parts["test"] = [found.series[number] for number in splits.test]
    mel = None
    if found.reading.rate:
        mel = LogMel.of(found.reading.rate, config.frame_ms, config.hop_ms, config.mels, config.decibels)
    elif config.decibels is not None:
        raise UsageError(
            f"--data.decibels is of recordings, and the sequences of {found.path} are numbers; leave it out"
        )
    lengths = _lengths(parts, mel, config.max_length)
    longest = max(int(lengths[name].max()) for name in parts)
    buckets = config.buckets or bucket_lengths(lengths["train"], longest)
    if buckets[-1] < longest:
        raise DataError(
            f"{found.path}: a sequence has {longest:,} steps, more than the last of --data.buckets; give a longer one, "
            f"or cut sequences by --data.max-length {buckets[-1]}"
        )
    _room(found, len(found.channels) or config.mels, buckets[-1])
    preprocess, lines = _fitted(found, parts["train"], targets, buckets, config, mel)
    examples = {name: preprocess.examples(series, buckets[-1]) for name, series in parts.items()}
    if mel is not None:
        preprocess = _of_recordings(preprocess, examples["train"])
    understood = (*found.understood, *said, *lines, *_lengths_said(lengths, parts, mel, config), *splits.understood)
    understood += (*_missing_said(preprocess, parts), *_silence_said(found))
    return Dataset(
        Path(config.path).expanduser().resolve().name,
        examples["train"],
        examples["validation"],
        examples["test"],
        preprocess,
        plan=Plan(buckets),
        places=lambda: {name: [one.place for one in series] for name, series in parts.items()},
        target=targets.kind,
        understood=understood,
    )


def read(config: SequenceTable) -> Found:
    """The sequences that a configuration names; raises DataError where they cannot be read."""
    path = Path(config.path).expanduser()
    reading = Reading(
        layout=config.layout,
        id_column=config.id_column,
        time_column=config.time_column,
        time_format=config.time_format,
        group_column=config.group_column,
        label_columns=config.label_column,
        value_columns=config.value_columns,
        name_pattern=config.name_pattern,
        delimiter=config.delimiter,
        encoding=config.encoding,
        header=config.header,
    )
    found = sequence_reading.read(path, reading, training=True)
    _alike(found.series)
    if not config.test_path:
        return found
    test = sequence_reading.read(Path(config.test_path).expanduser(), found.reading, training=True)
    _alike([found.series[0], *test.series])
    if found.test:
        raise UsageError(f"--data.test-path: {path} has test data of its own; name its training part alone")
    numbers = range(len(found.series), len(found.series) + len(test.series))
    lines = [*found.understood, f"test split: {test.path}"]
    return dataclasses.replace(found, series=[*found.series, *test.series], test=numbers, understood=lines)


def _alike(series: Sequence[Series]) -> None:
    """Raises DataError unless all sequences have a step, and as many channels as the first."""
    for one in series:
        if not len(one.steps):
            raise DataError(f"{one.place}: a sequence without a step; leave it out")
        check_values(one.steps, one.place)
        if one.steps.shape[1:] != series[0].steps.shape[1:]:
            got, wanted = (count(int(np.prod(part.steps.shape[1:])), "channel") for part in (one, series[0]))
            raise DataError(f"{one.place}: {got}, where {series[0].place} has {wanted}; all need the same")


def _lengths(parts: dict[str, list[Series]], mel: LogMel | None, most: int | None) -> dict[str, np.ndarray]:
    hop = 1 if mel is None else mel.hop
    made = {name: np.array([-(-len(one.steps) // hop) for one in series]) for name, series in parts.items()}
    return {name: lengths if most is None else np.minimum(lengths, most) for name, lengths in made.items()}


def _room(found: Found, channels: int, longest: int) -> None:
    """Refuses what cannot be held, before memory is taken for it."""
    need = 4 * len(found.series) * longest * channels
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if need > memory:
        raise DataError(
            f"{found.path}: {len(found.series):,} sequences padded to {longest:,} steps of {channels} channels take "
            f"{need / 2**30:,.1f} GiB, and this machine has {memory / 2**30:,.1f} GiB of memory; cut them by "
            "--data.max-length"
        )


def _fitted(
    found: Found,
    train: Sequence[Series],
    targets: sequence_targets.Targets,
    buckets: tuple[int, ...],
    config: SequenceTable,
    mel: LogMel | None,
) -> tuple[SequencePreprocess, list[str]]:
    """The preprocessing with the statistics of the training sequences' real steps, and lines of their channels."""
    if mel is not None:
        names = tuple(f"mel {band}" for band in range(1, mel.bands + 1))
        nothing = ((0.0,) * mel.bands, (1.0,) * mel.bands, ())
        line = f"{mel.bands} log-mel bands of frames of {config.frame_ms:g} ms, one every {config.hop_ms:g} ms"
        line += f", {mel.decibels:g} dB below its loudest" if mel.decibels else ""
        made = SequencePreprocess(names, *nothing, buckets, config.max_length, targets, found.reading, mel)
        return made, [line]
    steps = np.concatenate([one.steps[: config.max_length] for one in train])
    there = ~np.isnan(steps)
    counts = np.maximum(there.sum(0), 1)
    mean = np.where(there, steps, 0).sum(0) / counts
    std = np.sqrt((np.where(there, steps - mean, 0) ** 2).sum(0) / counts)
    scale = np.array([one_where_constant(std[c], mean[c], int(counts[c])) for c in range(len(mean))])
    same = np.nanmax(np.where(there, steps, -np.inf), 0) - np.nanmin(np.where(there, steps, np.inf), 0) <= 0
    scale = np.where(same, 1.0, scale)
    missing = tuple(np.flatnonzero(~there.all(0)).tolist())
    lines = []
    if constant := [found.channels[c] for c in np.flatnonzero(same)]:
        lines.append(f"{count(len(constant), 'channel')} without a change in training: {', '.join(constant[:10])}")
    for channel in missing[:10]:
        share = 1 - there[:, channel].mean()
        lines.append(
            f"{found.channels[channel]!r}: {share:.2%} of the training steps have no value; the mean stands there, "
            "and an input more says so"
        )
    if len(missing) > 10:
        lines.append(f"and {len(missing) - 10} more channels with missing values")
    made = SequencePreprocess(
        found.channels,
        tuple(mean.tolist()),
        tuple(scale.tolist()),
        missing,
        buckets,
        config.max_length,
        targets,
        found.reading,
    )
    return made, lines


def _of_recordings(preprocess: SequencePreprocess, train: Examples) -> SequencePreprocess:
    """The preprocessing with mean and standard deviation of the training recordings' features."""
    import jax

    mel, lengths = preprocess.mel, train.lengths
    assert mel is not None
    assert lengths is not None
    features = jax.jit(mel.__call__)
    frames, total, squares = 0, np.zeros(mel.bands), np.zeros(mel.bands)
    shift = np.zeros(mel.bands)
    for start in range(0, len(train), _ROWS):
        rows = np.arange(start, start + _ROWS) % len(train)  # one size, which compiles once
        real = (np.arange(train["inputs"].shape[1]) < lengths[rows][:, None])[: len(train) - start]
        made = np.asarray(features(train["inputs"][rows]), np.float64)[: len(train) - start][real]
        shift = shift if start else made.mean(0)  # so that the sum of squares loses nothing
        frames += len(made)
        total += (made - shift).sum(0)
        squares += ((made - shift) ** 2).sum(0)
    mean = total / frames + shift
    std = np.sqrt(np.maximum(squares / frames - (total / frames) ** 2, 0))
    scale = one_where_constant(std, mean, frames)
    return dataclasses.replace(preprocess, mean=tuple(mean.tolist()), std=tuple(scale.tolist()))


def _lengths_said(
    lengths: dict[str, np.ndarray], parts: dict[str, list[Series]], mel: LogMel | None, config: SequenceTable
) -> list[str]:
    whole = _lengths(parts, mel, None)
    every = np.concatenate([whole[name] for name in whole])
    spread = f"{int(np.median(every)):,} in the median, {every.min():,} to {every.max():,}"
    lines = [f"lengths: {spread} steps" if every.min() < every.max() else f"lengths: {every.min():,} steps each"]
    if config.max_length is not None:
        cut = int((every > config.max_length).sum())
        lines.append(f"{count(cut, 'sequence')} of {len(every):,} cut to their first {config.max_length:,} steps")
    return lines


def _missing_said(preprocess: SequencePreprocess, parts: dict[str, list[Series]]) -> tuple[str, ...]:
    """Channels that lack values outside of training alone, where no input says so."""
    if preprocess.mel is not None:
        return ()
    found = set()
    for name in ("validation", "test"):
        for one in parts[name]:
            found |= set(np.flatnonzero(np.isnan(one.steps).any(0)).tolist())
    new = [preprocess.channels[channel] for channel in sorted(found - set(preprocess.missing))]
    shown = ", ".join(map(repr, new[:10]))
    return (f"{shown}: values are missing outside of training alone; the mean stands there",) * bool(new)


def _silence_said(found: Found) -> list[str]:
    """Recordings in which nothing is to be heard: a file that was cut or muted learns and answers as any other does."""
    if not found.reading.rate:
        return []
    silent = [one.place for one in found.series if not (one.steps != one.steps[:1]).any()]
    shown = ", ".join(silent[:3]) + (", ..." if len(silent) > 3 else "")
    return [f"{len(silent):,} of {count(len(found.series), 'recording')} silent from end to end: {shown}"] * bool(
        silent
    )
