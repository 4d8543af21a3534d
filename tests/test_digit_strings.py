"""Strings of digits as images: what they are made of, that padding tells nothing, and that a run reads them."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from PIL import Image

import rnnjax
from experiments.mnist_strings import EXPERIMENT
from experiments.per_column import PerColumn
from rnnjax import RNN, Bidirectional, GRUCell
from rnnjax.data.augment import augmented
from rnnjax.data.digit_strings import DigitStringsData
from rnnjax.data.images import ImageData
from rnnjax.data.preprocess import restored
from rnnjax.data.tokens import END
from rnnjax.errors import DataError, UsageError
from rnnjax.models.columns import ColumnEncoder
from rnnjax.models.decoder import Decoder
from rnnjax.models.encoder_decoder import EncoderDecoder
from rnnjax.tasks import attention_figure

DATA = DigitStringsData(name="digits", fewest=1, most=3, training_strings=90, test_strings=12, batch_size=8)
HEIGHT = WIDTH = 8


def encoder(recurrent=True):
    return ColumnEncoder((4,), Bidirectional(RNN(GRUCell(5)), RNN(GRUCell(5), reverse=True)) if recurrent else None)


def small(recurrent=True):
    model = EncoderDecoder(encoder(), Decoder(13, 4, GRUCell, (8,)), limit=4)
    return model if recurrent else PerColumn(encoder(recurrent=False), 13, columns=4, limit=4)


def experiment(**changes):
    train = rnnjax.TrainConfig(epochs=1, log=())
    return dataclasses.replace(EXPERIMENT, **({"data": DATA, "model": small(), "train": train} | changes))


def images_of(examples):
    return [row[:length].T for row, length in zip(examples["inputs"], examples.lengths, strict=True)]


def test_a_string_is_its_splits_images_side_by_side_and_their_labels():
    made, single = DATA.load(), ImageData(name="digits").load()
    for split, examples in made.splits().items():
        known = {}
        for image, label in zip(
            single.splits()[split]["inputs"][..., 0], single.splits()[split]["labels"], strict=True
        ):
            known.setdefault(image.tobytes(), set()).add(int(label))
        for image, target in zip(images_of(examples), examples["targets"], strict=True):
            digits = [np.ascontiguousarray(part) for part in np.split(image, image.shape[1] // WIDTH, axis=1)]
            written = [number for number in target if number >= 0]
            assert written[-1] == END and len(written) == len(digits) + 1
            assert all(number - 3 in known[digit.tobytes()] for digit, number in zip(digits, written, strict=False))
    assert sorted({*(made.train.lengths // WIDTH).tolist()}) == [1, 2, 3]
    assert [len(examples) for examples in made.splits().values()] == [90, 6, 12]
    np.testing.assert_array_equal(DATA.load().test["inputs"], made.test["inputs"])
    assert restored(json.loads(json.dumps(made.preprocess.to_json()))) == made.preprocess


def test_images_of_training_strings_are_shifted_each_by_itself_and_those_of_others_are_not():
    plain, shifted = DATA.load(), dataclasses.replace(DATA, max_shift=1).load()
    np.testing.assert_array_equal(shifted.test["inputs"], plain.test["inputs"])
    np.testing.assert_array_equal(shifted.train["targets"], plain.train["targets"])
    moves = set()
    for before, after in zip(images_of(plain.train), images_of(shifted.train), strict=True):
        digits = (np.split(image, image.shape[1] // WIDTH, axis=1) for image in (before, after))
        for one, other in zip(*digits, strict=True):
            padded = np.pad(one, 1)
            found = {
                (down, right)
                for down in range(3)
                for right in range(3)
                if np.array_equal(padded[down : down + HEIGHT, right : right + WIDTH], other)
            }
            assert found
            moves |= found if len(found) == 1 else set()
    assert moves == {(down, right) for down in range(3) for right in range(3)}


def test_a_training_string_is_distorted_as_a_whole_and_in_every_epoch_anew():
    data = dataclasses.replace(DATA, elastic=0.5, elastic_sigma=2.0)
    made, plain = data.load(), DATA.load()
    np.testing.assert_array_equal(made.train["inputs"], plain.train["inputs"])
    assert DATA.augment(plain) is None
    augment = data.augment(made)
    width = made.plan.buckets[-1][0]
    rows = np.flatnonzero(made.train.lengths == width)
    stored = {name: np.asarray(made.train[name])[rows] for name in ("inputs", "targets")}
    epochs = [augmented(augment, jax.random.key(0), np.int32(epoch), rows, stored) for epoch in (0, 0, 1)]
    first, again, second = (np.asarray(batch["inputs"]) for batch in epochs)
    np.testing.assert_array_equal(first, again)
    assert first.shape == stored["inputs"].shape and first.dtype == np.uint8
    for distorted in (first, second):
        apart = np.abs(distorted.astype(float) - stored["inputs"]).mean((1, 2))
        assert (apart > 0).all()
        # It is still the same string: far nearer to it than to another.
        others = np.abs(distorted.astype(float) - np.roll(stored["inputs"], 1, 0)).mean((1, 2))
        assert apart.mean() < others.mean() / 1.5
    assert (first != second).any((1, 2)).all()
    np.testing.assert_array_equal(epochs[0]["targets"], stored["targets"])


def test_what_no_string_can_be_made_of_is_refused():
    with pytest.raises(UsageError, match=r"most must be at least --data\.fewest, 3"):
        DigitStringsData(name="digits", most=2)
    preprocess = DATA.load().preprocess
    for image, match in (
        (np.zeros((8, 25), np.uint8), "25 pixels wide; images in training had up to 24"),
        (np.zeros((7, 8), np.uint8), r"wanted uint8 pixels \[8, width\], got uint8 \[7, 8\]"),
        (np.zeros((8, 8)), "got float64"),
        (np.zeros((8, 0), np.uint8), r"got uint8 \[8, 0\]"),
    ):
        with pytest.raises(DataError, match=match):
            preprocess.encode([image])


@pytest.mark.parametrize("recurrent", [True, False])
def test_what_stands_behind_a_width_changes_nothing(recurrent):
    model = encoder(recurrent)
    inputs = np.random.default_rng(0).normal(size=(2, 12, 8)).astype(np.float32)
    lengths = np.array([7, 12])
    variables = model.init(jax.random.key(0), inputs, lengths=lengths)
    run = jax.jit(model.apply)
    whole = run(variables, np.where(np.arange(12)[:, None] < lengths[:, None, None], inputs, np.nan), lengths=lengths)
    alone = run(variables, inputs[:1, :7], lengths=lengths[:1])
    np.testing.assert_allclose(whole.memory[0, :3], alone.memory[0], atol=1e-5)
    np.testing.assert_array_equal(whole.mask, np.arange(6) < np.array([[3], [6]]))
    assert np.isfinite(whole.memory).all()


def test_each_image_by_itself_is_answered_with_as_many_tokens():
    made, model = DATA.load(), small(recurrent=False)
    batch = made.preprocess.on_device(made.preprocess.encode(images_of(made.test)))
    variables = model.init(jax.random.key(0), **{**batch, "targets": made.test["targets"]})
    found = model.apply(variables, **batch)
    for tokens, length in zip(found["tokens"], made.test.lengths, strict=True):
        digits = length // WIDTH
        assert tokens[digits] == END and (tokens[:digits] > END).all() and (tokens[digits + 1 :] == 0).all()
    logits = model.apply(variables, **{**batch, "targets": made.test["targets"]}, train=True)
    assert logits.shape == (12, 4, 13)
    with_targets = model.apply(variables, **{**batch, "targets": made.test["targets"]})
    np.testing.assert_allclose(with_targets["logits"][:, : logits.shape[1]], logits, atol=1e-5)


def test_each_image_by_itself_is_judged_where_all_of_a_batch_are_short():
    made, model = DATA.load(), small(recurrent=False)
    (width, written), *_ = made.plan.buckets
    rows = np.flatnonzero(made.test.lengths == width)
    batch = made.preprocess.on_device({"inputs": made.test["inputs"][rows, :width], "lengths": made.test.lengths[rows]})
    batch |= {"targets": made.test["targets"][rows, :written], "mask": np.ones(len(rows), bool)}
    arguments = {name: batch[name] for name in ("inputs", "lengths", "targets")}
    variables = model.init(jax.random.key(0), **arguments, train=True)
    found = model.apply(variables, **arguments)
    assert found["logits"].shape == (len(rows), written, 13) and found["tokens"].shape == (len(rows), 4)
    sums = rnnjax.SequenceToSequence().sums(found, batch, train=False)
    assert int(sums["weight"]) == 2 * len(rows) and np.isfinite(sums["loss"])


def test_a_run_writes_draws_and_reads_new_files(tmp_path):
    made = experiment()
    rnnjax.fit(made, workdir=tmp_path / "run")
    assert (tmp_path / "run" / "attention-test.png").stat().st_size > 5_000
    loaded = rnnjax.load(tmp_path / "run", experiment=made)
    images = images_of(DATA.load().test)
    answers = loaded(images[:3])
    assert all(set(answer) <= set("0123456789") for answer in answers)
    twice = Image.fromarray(images[0]).resize((2 * images[0].shape[1], 2 * HEIGHT), Image.Resampling.NEAREST)
    twice.save(tmp_path / "twice.png")
    Image.new("L", (400, 8)).save(tmp_path / "wide.png")
    assert loaded.preprocess.read_file(tmp_path / "twice.png").shape == images[0].shape
    with pytest.raises(DataError, match=r"400 x 8 pixels are 400 x 8 here; images in training were up to 24 wide"):
        loaded.preprocess.read_file(tmp_path / "wide.png")
    samples = sorted((tmp_path / "run" / "samples").glob("*.png"))
    assert len(samples) == 5
    np.testing.assert_array_equal(loaded.preprocess.read_file(samples[0]), images[0])


def test_the_attention_is_drawn_over_the_images_as_they_are(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(attention_figure, "save_attention_over_images", lambda shown, *_: drawn.extend(shown))
    rnnjax.fit(experiment(), workdir=tmp_path)
    images = [image.T.astype(float) for image in images_of(DATA.load().test)]
    assert drawn
    for columns, _, _ in drawn:
        stretched = [255 * (one - one.min()) / np.ptp(one) for one in images if one.shape == columns.shape]
        assert min(abs(one - columns).max() for one in stretched) <= 1


@pytest.mark.slow
@pytest.mark.long
def test_it_learns_strings_as_the_single_digits_are_learnt(tmp_path):
    data = dataclasses.replace(DATA, training_strings=3000, test_strings=300, batch_size=32)
    optim = rnnjax.OptimConfig(learning_rate=3e-3, clip_norm=1.0)
    train = rnnjax.TrainConfig(epochs=8, steps_per_call=8, log=())
    model = EncoderDecoder(
        ColumnEncoder((16,), Bidirectional(RNN(GRUCell(32)), RNN(GRUCell(32), reverse=True))),
        Decoder(13, 16, GRUCell, (64,)),
        limit=4,
    )
    result = rnnjax.fit(experiment(data=data, model=model, optim=optim, train=train), workdir=tmp_path)
    assert result.metrics["test"]["exact_match"] > 0.7
