"""Augmentation of sequences and recordings: what each operation does, on what it depends, and where it is not."""

import dataclasses

import jax
import numpy as np
import pytest

from rnnjax.config import Config, TrainConfig
from rnnjax.data import own_sequences
from rnnjax.data.augment import example_keys
from rnnjax.data.sequence_augment import random_band_warp, with_noise
from rnnjax.data.sequence_table import SequenceTable
from rnnjax.errors import UsageError
from rnnjax.experiment import Experiment, SequenceModel
from rnnjax.training.runner import Runner
from tests.sequences_made import ts_file, wav_zip

ROWS, STEPS, CHANNELS = 300, 12, 5
VALUES = np.random.default_rng(0).uniform(1, 2, (ROWS, STEPS, CHANNELS)).astype(np.float32)
LENGTHS = np.random.default_rng(1).integers(1, STEPS + 1, ROWS).astype(np.int32)
REAL = np.arange(STEPS) < LENGTHS[:, None]
IDS = np.arange(ROWS, dtype=np.int32)
EVERYTHING = {"scaling": 0.3, "warp_time": 0.2, "jitter": 0.2, "mask_time": 0.5, "mask_channels": 0.6}


@dataclasses.dataclass
class Plain:
    """What is asked of a preprocessing of sequences without recordings."""

    missing: tuple[int, ...] = ()
    channels: tuple[str, ...] = tuple("abcde")
    mel: None = None


def augmented(epoch=0, rows=IDS, *, stored=VALUES, missing=(), **options):
    """A batch of some rows after augmentation in an epoch."""
    augment = SequenceTable(**options).augment(Dataset(Plain(missing)))
    keys = example_keys(jax.random.key(3), np.asarray(epoch), rows)
    return np.asarray(jax.jit(augment)(keys, {"inputs": stored[rows], "lengths": LENGTHS[rows]})["inputs"])


@dataclasses.dataclass
class Dataset:
    preprocess: Plain


def test_without_an_option_there_is_no_augmentation():
    assert SequenceTable().augment(Dataset(Plain())) is None


@pytest.mark.parametrize("name", EVERYTHING)
def test_a_draw_depends_on_the_example_and_the_epoch_alone_and_padding_is_left(name):
    options = {name: EVERYTHING[name]}
    first = augmented(**options)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(augmented(rows=IDS[40:10:-3], **options), first[40:10:-3])
    assert (augmented(1, **options) != first).any((1, 2)).mean() > 0.6
    np.testing.assert_array_equal(first[~REAL], VALUES[~REAL])
    assert (first != VALUES).any((1, 2)).mean() > 0.6


def test_operations_draw_the_same_with_or_without_the_others():
    step = VALUES
    for name, much in EVERYTHING.items():
        step = augmented(stored=step, **{name: much})
    np.testing.assert_allclose(augmented(**EVERYTHING), step, rtol=1e-6)


def test_a_factor_is_one_for_a_sequence_and_drawn_from_the_whole_range():
    factors = (augmented(scaling=0.3) / VALUES)[REAL]
    of_row = np.array([row[0, 0] for row in augmented(scaling=0.3) / VALUES])
    np.testing.assert_allclose(factors, np.repeat(of_row, LENGTHS)[:, None] * np.ones(CHANNELS), rtol=1e-5)
    assert 0.7 <= of_row.min() < 0.72 and 1.28 < of_row.max() < 1.3


def test_jitter_has_its_standard_deviation_and_is_independent():
    noise = (augmented(jitter=0.2) - VALUES)[REAL]
    np.testing.assert_allclose(noise.std(0), 0.2, rtol=0.1)
    assert abs(np.corrcoef(noise.T) - np.eye(CHANNELS)).max() < 0.1


def test_a_warp_in_time_keeps_the_ends_and_the_order_and_moves_no_step_further_than_its_share():
    ramp = np.broadcast_to(np.arange(STEPS, dtype=np.float32)[None, :, None], VALUES.shape)
    made = augmented(stored=ramp, warp_time=0.2)
    last = LENGTHS - 1
    np.testing.assert_array_equal(made[:, 0], 0)
    np.testing.assert_allclose(made[np.arange(ROWS), last], ramp[np.arange(ROWS), last], atol=1e-5)
    moved = np.where(REAL, made[..., 0] - ramp[..., 0], 0)
    assert (np.diff(made[..., 0], axis=1)[REAL[:, 1:]] >= 0).all()
    # A step moves by less than the place in the middle does, in the sequence that is made; 4 is the steepest slope.
    assert (np.abs(moved) <= 4 * 0.2 * last[:, None] + 1e-5).all()
    assert (moved[:, 1:-1] > 0.3).any() and (moved[:, 1:-1] < -0.3).any()


def test_labels_of_steps_go_with_their_steps():
    """Steps that hold their own number, and a label for each: what is interpolated has the label of the nearest."""
    ramp = np.broadcast_to(np.arange(STEPS, dtype=np.float32)[None, :, None], VALUES.shape)
    labels = np.where(REAL, np.arange(STEPS) + 3, -1).astype(np.int32)
    augment = SequenceTable(warp_time=0.3, jitter=0.0).augment(Dataset(Plain()))
    keys = example_keys(jax.random.key(3), np.asarray(0), IDS)
    made = jax.jit(augment)(keys, {"inputs": ramp, "lengths": LENGTHS, "labels": labels})
    source, moved = np.asarray(made["inputs"])[..., 0], np.asarray(made["labels"])
    assert moved.dtype == np.int32 and (moved != labels).any(1).mean() > 0.5
    np.testing.assert_array_equal(moved[~REAL], -1)
    assert (np.abs(moved - 3 - source)[REAL] <= 0.5 + 1e-4).all()
    whole = {"inputs": ramp, "lengths": LENGTHS, "labels": IDS}  # of whole sequences
    np.testing.assert_array_equal(jax.jit(augment)(keys, whole)["labels"], IDS)


def test_a_warp_of_bands_stretches_them_by_one_factor_and_repeats_the_highest():
    bands = np.broadcast_to(np.arange(10, dtype=np.float32), (ROWS, STEPS, 10))
    keys = example_keys(jax.random.key(3), np.asarray(0), IDS)
    made = np.asarray(random_band_warp(0.3)(keys, bands, LENGTHS))
    factors = made[:, 0, 1]
    np.testing.assert_allclose(made, np.minimum(factors[:, None, None] * bands, 9), rtol=1e-5)
    assert 0.7 <= factors.min() < 0.72 and 1.28 < factors.max() < 1.3


@pytest.mark.parametrize("name", ["warp_bands", "noise"])
def test_what_is_of_recordings_is_refused_for_numbers(name):
    with pytest.raises(UsageError, match=rf"--data\.{name.replace('_', '-')} is of recordings"):
        augmented(**{name: 0.1})


def test_decibels_are_refused_for_numbers(tmp_path):
    path = str(ts_file(tmp_path / "a.ts"))
    with pytest.raises(UsageError, match=r"--data\.decibels is of recordings, .*a\.ts are numbers"):
        own_sequences.load(SequenceTable(path=path, decibels=40.0))


def test_noise_is_as_loud_as_a_share_of_each_recording_and_padding_stays_silent():
    samples = np.random.default_rng(0).integers(-900, 900, (ROWS, STEPS, 80)).astype(np.int16)
    samples[~REAL] = 0
    made = np.asarray(with_noise(example_keys(jax.random.key(3), np.asarray(0), IDS), samples, LENGTHS, 0.5))
    np.testing.assert_array_equal(made[~REAL], 0)
    rows = zip(made - samples, samples.astype(np.float64), LENGTHS, strict=True)
    shares = np.array([added[:length].std() / heard[:length].std() for added, heard, length in rows])
    assert 0.0004 < shares.min() < 0.002 and 0.4 < shares.max() < 0.55
    assert 0.01 < np.median(shares) < 0.025  # of three powers of ten below a half


def spans(blank):
    """First place and width of what is blank in each row, which must be one piece."""
    found = []
    for row in blank:
        places = np.flatnonzero(row)
        assert len(places) == 0 or places[-1] - places[0] + 1 == len(places)
        found.append((places[0] if len(places) else 0, len(places)))
    return np.array(found)


def test_a_span_of_time_is_within_the_sequence_and_never_all_of_it():
    for most in (0.5, 0.999):
        made = augmented(mask_time=most)
        blank = (made == 0).all(-1)
        np.testing.assert_array_equal(made[~blank], VALUES[~blank])
        first, width = spans(blank).T
        widest = np.minimum(np.floor(most * LENGTHS), LENGTHS - 1)
        assert (width <= widest).all() and (width[widest > 3] == widest[widest > 3]).any()
        assert (first + width <= LENGTHS).all()
        assert width.min() == 0 and len(set(width)) > 5 and len(set(first)) > 5


def test_a_band_of_channels_is_blank_at_all_real_steps_and_never_all_of_them():
    for most, widest in ((0.6, 3), (0.999, 4), (0.1, 0)):
        made = augmented(mask_channels=most)
        blank = np.stack([(row[:length] == 0).all(0) for row, length in zip(made, LENGTHS, strict=True)])
        np.testing.assert_array_equal(made, np.where(blank[:, None] & REAL[..., None], 0, VALUES))
        assert set(spans(blank)[:, 1]) == set(range(widest + 1))


def test_a_missing_value_stays_the_mean_and_what_says_so_stays():
    absent = np.random.default_rng(2).random((ROWS, STEPS)) < 0.3
    stored = np.concatenate([VALUES, absent[..., None]], -1).astype(np.float32)
    stored[..., 2][absent] = 0
    made = augmented(stored=stored, missing=(2,), jitter=0.2, scaling=0.3)
    np.testing.assert_array_equal(made[..., CHANNELS], absent)
    np.testing.assert_array_equal(made[..., 2][absent], 0)
    assert (made[..., :CHANNELS][REAL & ~absent] != VALUES[REAL & ~absent]).all()


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    path = wav_zip(tmp_path_factory.mktemp("wav") / "w.zip")
    return own_sequences.load(SequenceTable(path=str(path), name_pattern="{label}_{group}_{number}"))


def test_of_recordings_features_are_masked_and_samples_are_scaled(recordings):
    preprocess, rows = recordings.preprocess, np.arange(8)
    batch = {"inputs": recordings.train["inputs"][rows], "lengths": recordings.train.lengths[rows]}
    plain = np.asarray(preprocess.on_device(batch)["inputs"])
    keys = example_keys(jax.random.key(0), np.asarray(0), rows)
    real = np.arange(plain.shape[1]) < batch["lengths"][:, None]

    def features(**options):
        made = SequenceTable(**options).augment(recordings)(keys, batch)
        return np.asarray(preprocess.on_device(made)["inputs"])

    masked = features(mask_time=0.5, mask_channels=0.5)
    blank = masked == 0
    assert 0.05 < blank[real].mean() < 0.9
    np.testing.assert_allclose(masked[~blank], plain[~blank], atol=1e-5)
    scaled = (features(scaling=0.5) - plain) * np.asarray(preprocess.std, np.float32)
    loud = real[..., None] & (plain * preprocess.std + preprocess.mean > np.log(1e-2))  # the floor does not count there
    for row in rows:
        shift = scaled[row][loud[row]]
        assert shift.std() < 1e-3 and 2 * np.log(0.5) < shift.mean() < 2 * np.log(1.5) and abs(shift.mean()) > 1e-3


@pytest.mark.parametrize("kind", ["recordings", pytest.param("numbers", marks=pytest.mark.slow)])
def test_evaluation_is_untouched_and_training_is_not(kind, recordings, tmp_path):
    dataset = recordings
    if kind == "numbers":
        dataset = own_sequences.load(SequenceTable(path=str(ts_file(tmp_path / "a.ts"))))
    losses, evaluated = [], []
    for options in ({}, EVERYTHING):
        config = Config(
            data=SequenceTable(batch_size=4, **options),
            model=SequenceModel(features=(3,)),
            train=TrainConfig(steps_per_call=2),
        )
        program = Runner(Experiment(**vars(config)), dataset, devices=jax.devices()[:1])
        state = program.create_state(0)
        evaluated.append(program.evaluate(state.variables(), "train"))
        (fed,) = program.feed_training(program.train_plan(seed=0, epoch=0)[:1], 0)
        losses.append(np.asarray(program.train(program.parallel.replicate(state), fed)[1]["loss"]))
    assert evaluated[0] == evaluated[1]
    assert np.isfinite(losses).all() and (losses[0] != losses[1]).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"jitter": -1.0}, "jitter must be 0 or more standard deviations"),
        ({"jitter": float("nan")}, "jitter must be 0 or more standard deviations"),
        ({"scaling": 1.0}, "scaling must be at least 0 and below 1"),
        ({"noise": float("inf")}, "noise must be 0 or more, and finite"),
        ({"warp_time": 1.0}, "warp-time must be at least 0 and below 1"),
        ({"warp_bands": -0.1}, "warp-bands must be at least 0 and below 1"),
        ({"mask_time": 1.0}, "mask-time must be at least 0 and below 1"),
        ({"mask_channels": -0.1}, "mask-channels must be at least 0 and below 1"),
    ],
)
def test_what_is_no_share_is_refused(options, said):
    with pytest.raises(UsageError, match=said):
        SequenceTable(**options)
