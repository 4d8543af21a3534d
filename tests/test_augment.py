"""Augmentation: what each operation does to an image, and on what that depends."""

import dataclasses

import jax
import numpy as np
import pytest
from scipy import ndimage

from rnnjax import data
from rnnjax.config import ImageData
from rnnjax.data.augment import (
    augmented,
    example_keys,
    image_augmentation,
    random_cutout,
    random_flip,
    random_shift,
    random_warp,
    smooth_noise,
    warp,
)
from rnnjax.errors import UsageError
from tests.small import CONFIG, small_program

MOST = 2
IMAGES = np.random.default_rng(0).integers(1, 256, (40, 6, 5, 2), np.uint8)  # no zeros: those are what moves in
IDS = np.arange(40, dtype=np.int32)


@jax.jit
def shift(epoch, ids, images, run=3):
    return random_shift(MOST)(example_keys(jax.random.key(run), epoch, ids), images)


def moved(image, down, right):
    """A NumPy shift with zeros moving in."""
    height, width, _ = image.shape
    result = np.zeros_like(image)
    result[max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = image[
        max(-down, 0) : height + min(-down, 0), max(-right, 0) : width + min(-right, 0)
    ]
    return result


def offsets(shifted):
    """Which NumPy shift each image underwent; an error if it is none."""
    found = []
    for image, result in zip(IMAGES, shifted, strict=True):
        every = [(y, x) for y in range(-MOST, MOST + 1) for x in range(-MOST, MOST + 1)]
        (match,) = [yx for yx in every if np.array_equal(moved(image, *yx), result)]
        found.append(match)
    return np.array(found)


def test_each_image_is_shifted_as_a_whole_and_zeros_move_in():
    shifted = np.asarray(shift(0, IDS, IMAGES))
    assert shifted.dtype == np.uint8
    seen = np.concatenate([offsets(np.asarray(shift(epoch, IDS, IMAGES))) for epoch in range(5)])
    for axis in (0, 1):  # every offset, in about equal parts: 200 draws of five values
        counts = np.bincount(seen[:, axis] + MOST, minlength=2 * MOST + 1)
        assert counts.min() > 20, counts
    assert abs(np.corrcoef(seen.T)[0, 1]) < 0.25


def test_the_shift_depends_on_the_example_and_the_epoch_alone():
    epoch = 4
    together = np.asarray(shift(epoch, IDS, IMAGES))
    order = np.random.default_rng(1).permutation(len(IDS))
    np.testing.assert_array_equal(shift(epoch, IDS[order], IMAGES[order]), together[order])
    np.testing.assert_array_equal(shift(epoch, IDS[7:10], IMAGES[7:10]), together[7:10])
    by_epoch = [offsets(np.asarray(shift(e, IDS, IMAGES))) for e in (epoch, epoch + 1)]
    assert (by_epoch[0] != by_epoch[1]).any(1).mean() > 0.5
    same_image = np.asarray(shift(epoch, IDS, np.repeat(IMAGES[:1], len(IDS), 0)))
    assert len({image.tobytes() for image in same_image}) > 10


def test_another_run_shifts_otherwise():
    assert (np.asarray(shift(0, IDS, IMAGES, 4)) != np.asarray(shift(0, IDS, IMAGES, 3))).any()


def keys(count=40, run=3, epoch=0):
    return example_keys(jax.random.key(run), epoch, np.arange(count, dtype=np.int32))


def test_reflection_moves_in_as_numpy_pads():
    shifted = np.asarray(jax.jit(random_shift(MOST, "reflect"))(keys(), IMAGES))
    seen = set()
    for image, result in zip(IMAGES, shifted, strict=True):
        padded = np.pad(image, ((MOST, MOST), (MOST, MOST), (0, 0)), "reflect")
        every = {(y, x): padded[y : y + 6, x : x + 5] for y in range(2 * MOST + 1) for x in range(2 * MOST + 1)}
        seen |= {yx for yx, crop in every.items() if np.array_equal(crop, result)}
    assert shifted.min() > 0, "nothing but the image moves in"
    assert len(seen) > 10


def test_an_image_that_is_too_small_to_be_reflected_is_refused():
    with pytest.raises(UsageError, match="6 x 5 pixels cannot be reflected by 5"):
        random_shift(5, "reflect")(keys(), IMAGES)


def test_about_half_of_the_images_are_mirrored_and_the_others_left():
    images = np.random.default_rng(1).integers(0, 256, (400, 3, 4, 2), np.uint8)
    flipped = np.asarray(jax.jit(random_flip())(keys(400), images))
    assert flipped.dtype == np.uint8
    mirrored = (flipped == images[:, :, ::-1]).all((1, 2, 3))
    left = (flipped == images).all((1, 2, 3))
    assert (mirrored ^ left).all()
    assert 160 < mirrored.sum() < 240  # four standard deviations


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_cutout_sets_a_square_around_any_pixel_to_the_training_mean(size):
    images = np.full((600, 6, 5, 2), 255, np.uint8)
    mean = (0.25, 0.5)
    cut = np.asarray(jax.jit(random_cutout(size, mean))(keys(600), images))
    assert cut.dtype == np.uint8
    centres = np.zeros((6, 5), int)
    for image in cut:
        changed = (image != 255).any(-1)
        np.testing.assert_array_equal(image[changed], np.broadcast_to([64, 128], (changed.sum(), 2)))
        matches = []
        for y, x in np.ndindex(6, 5):
            square = np.zeros((6, 5), bool)
            top, left = y - size // 2, x - size // 2
            square[max(top, 0) : top + size, max(left, 0) : left + size] = True
            if np.array_equal(square, changed):
                matches.append((y, x))
        assert len(matches) == 1
        centres[matches[0]] += 1
    assert centres.min() > 2, "every pixel is a centre: 20 times each on average"
    assert centres.max() < 50


def test_cutout_of_floats_fills_with_the_mean_itself():
    cut = np.asarray(random_cutout(6, (0.3,))(keys(2), np.ones((2, 4, 4, 1), np.float32)))
    assert cut.dtype == np.float32
    assert set(np.unique(cut)) <= {np.float32(0.3), np.float32(1)}


@pytest.mark.parametrize(("padding", "mode"), [("zeros", "grid-constant"), ("reflect", "mirror")])
@pytest.mark.parametrize(("degrees", "zoom"), [(0, 1), (90, 1), (20, 1.25), (-33, 0.7)])
@pytest.mark.parametrize("displaced", [False, True])
def test_a_warp_is_scipys(degrees, zoom, displaced, padding, mode):
    random = np.random.default_rng(0)
    image = random.normal(size=(7, 6, 2)).astype(np.float32)
    displacement = random.normal(size=(2, 7, 6)) * displaced
    angle = np.deg2rad(degrees)
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) / zoom
    centre = np.array([3, 2.5])[:, None, None]
    came_from = np.einsum("ab,byx->ayx", matrix, np.mgrid[:7, :6] - centre) + centre + displacement
    expected = [
        ndimage.map_coordinates(channel, came_from, order=1, mode=mode) for channel in np.moveaxis(image, -1, 0)
    ]
    warped = warp(image, angle=angle, zoom=zoom, displacement=displacement, padding=padding)
    np.testing.assert_allclose(warped, np.moveaxis(expected, 0, -1), atol=1e-4)


def test_a_quarter_turn_is_counter_clockwise_and_integers_are_rounded():
    image = np.random.default_rng(0).integers(0, 256, (5, 5, 1), np.uint8)
    turned = np.asarray(warp(image, angle=np.pi / 2, zoom=1.0, displacement=0.0))
    assert turned.dtype == np.uint8
    np.testing.assert_array_equal(turned, np.rot90(image))


@pytest.mark.parametrize("sigma", [1.0, 2.5])
def test_smooth_noise_has_variance_1_everywhere_and_the_correlations_of_a_smoothed_noise(sigma):
    noise = np.asarray(jax.jit(jax.vmap(lambda key: smooth_noise(key, (7, 9), sigma)))(keys(4000)))
    assert noise.shape == (4000, 2, 7, 9)
    np.testing.assert_allclose(noise.var(0), 1, atol=0.15)  # the standard error is 0.022
    np.testing.assert_allclose(noise.mean(0), 0, atol=0.08)
    for down, right in [(1, 0), (0, 2), (3, 4), (6, 8)]:
        pairs = noise[:, :, 0, 0], noise[:, :, down, right]
        expected = np.exp(-(down**2 + right**2) / (4 * sigma**2))
        np.testing.assert_allclose((pairs[0] * pairs[1]).mean(), expected, atol=0.05)
    assert abs((noise[:, 0] * noise[:, 1]).mean()) < 0.03, "down and right are independent"


def test_elastic_moves_pixels_by_its_standard_deviation():
    """On a ramp, the value that a pixel takes is the place that it came from."""
    ramp = np.broadcast_to(np.arange(61, dtype=np.float32)[:, None, None], (200, 61, 61, 1))
    moved = np.asarray(jax.jit(random_warp(elastic=1.5, elastic_sigma=3.0))(keys(200), ramp))
    displacement = (moved - ramp)[:, 10:-10, 10:-10, 0]
    assert 1.4 < displacement.std() < 1.6
    assert np.abs(np.diff(displacement, axis=1)).max() < 3, "neighbours move alike"
    assert np.abs(displacement[0] - displacement[1]).max() > 0.5, "each image moves its own way"
    left = np.asarray(random_warp(elastic=0.0, max_zoom=1e-9)(keys(200), ramp))
    np.testing.assert_allclose(left, ramp, atol=1e-4)


def test_rotations_and_zooms_are_drawn_from_the_whole_range():
    """A point right of the centre shows the angle and the scale, which are drawn independently of each other."""
    images = np.zeros((300, 41, 41, 1), np.float32)
    images[:, 20, 35] = 1
    turned = np.asarray(jax.jit(random_warp(max_rotation=30, max_zoom=0.2))(keys(300), images))[..., 0]
    down, right = np.moveaxis((np.mgrid[:41, :41] - 20)[None] * turned[:, None], 0, -1).sum((1, 2)) / turned.sum((1, 2))
    angles, scales = np.rad2deg(np.arctan2(-down, right)), np.hypot(down, right) / 15
    assert -31 < angles.min() < -25
    assert 25 < angles.max() < 31
    assert 0.78 < scales.min() < 0.84
    assert 1.16 < scales.max() < 1.22
    assert abs(angles.mean()) < 4
    assert abs(np.corrcoef(angles, scales)[0, 1]) < 0.2


EVERYTHING = {
    "max_shift": 2,
    "shift_padding": "reflect",
    "max_rotation": 20.0,
    "max_zoom": 0.3,
    "elastic": 1.0,
    "flip": True,
    "cutout": 3,
    "mean": (0.1, 0.2),
}
PARTS = (
    {"flip": True},
    {"max_rotation": 20.0, "max_zoom": 0.3, "elastic": 1.0, "shift_padding": "reflect"},
    {"max_shift": 2, "shift_padding": "reflect"},
    {"cutout": 3, "mean": (0.1, 0.2)},
)


def augmentation(mean=(0.1, 0.2), **options):
    """Of images alone: keys and images to images."""
    augment = image_augmentation(ImageData(name="made up", **options), mean)
    return lambda keys, images: augment(keys, {"inputs": images})["inputs"]


def test_operations_draw_independently_and_are_the_same_with_or_without_the_others():
    every = np.asarray(augmentation(**EVERYTHING)(keys(), IMAGES))
    assert every.shape == IMAGES.shape
    assert every.dtype == np.uint8
    step = IMAGES
    for part in PARTS:
        step = np.asarray(augmentation(**part)(keys(), step))
    np.testing.assert_array_equal(every, step)
    again = jax.jit(augmentation(**EVERYTHING))(keys(), IMAGES)
    np.testing.assert_array_equal(again, every)
    other = np.asarray(augmentation(**EVERYTHING)(keys(epoch=1), IMAGES))
    assert (other != every).any((1, 2, 3)).mean() > 0.9
    # Were the keys of the flip those of the shift, mirrored images would be shifted by few distances only.
    marked = np.zeros((400, 9, 9, 1), np.uint8)
    marked[:, 4, 4] = 255
    moved = np.asarray(augmentation(max_shift=2)(keys(400), marked)).reshape(400, -1).argmax(-1)
    sides = np.zeros((400, 1, 2, 1), np.uint8)
    sides[:, :, 0] = 255
    mirrored = np.asarray(augmentation(flip=True)(keys(400), sides))[:, 0, 1, 0] > 0
    assert abs(np.corrcoef(moved // 9, mirrored)[0, 1]) < 0.2
    assert abs(np.corrcoef(moved % 9, mirrored)[0, 1]) < 0.2


def test_nothing_asked_for_is_no_augmentation():
    assert image_augmentation(ImageData(name="x"), (0.5,)) is None


def test_training_is_augmented_and_evaluation_is_not():
    augmented = dataclasses.replace(
        CONFIG.data, max_shift=2, max_rotation=10.0, max_zoom=0.1, elastic=1.0, flip=True, cutout=4
    )
    plain = dataclasses.replace(CONFIG.data, max_shift=0)
    dataset = data.load(plain)
    programs = [small_program(dataclasses.replace(CONFIG, data=d), dataset) for d in (augmented, plain)]
    state = programs[0].create_state(0)
    for split in ("train", "test"):
        values = [program.evaluate(state.variables(), split) for program in programs]
        assert values[0] == values[1]
    losses = []
    for program in programs:
        chunks = program.train_plan(seed=0, epoch=0)[:1]
        (fed,) = program.feed_training(chunks, 0)
        losses.append(float(program.train(program.parallel.replicate(state), fed)[1]["loss"][0]))
    assert losses[0] != losses[1]


@pytest.mark.slow
def test_one_device_and_many_see_the_same_images():
    config = dataclasses.replace(
        CONFIG,
        data=dataclasses.replace(
            CONFIG.data, shift_padding="reflect", max_rotation=10.0, elastic=1.0, flip=True, cutout=4
        ),
        model=dataclasses.replace(CONFIG.model, dropout=0.0),
    )
    dataset, sums = data.load(config.data), []
    for count in (1, 4):
        program = small_program(config, dataset, devices=jax.devices()[:count])
        chunks = program.train_plan(seed=0, epoch=0)[:1]
        (fed,) = program.feed_training(chunks, 0)
        sums.append(program.train(program.parallel.replicate(program.create_state(0)), fed)[1])
    np.testing.assert_allclose(sums[0]["loss"], sums[1]["loss"], rtol=1e-4)
    np.testing.assert_allclose(sums[0]["grad_norm"], sums[1]["grad_norm"], rtol=1e-3)


def test_alternate_flips_show_both_sides_in_two_epochs_and_change_nothing_else():
    config = ImageData(name="made up", alternate_flip=True, max_shift=1)
    alternating, plain = image_augmentation(config, (0.1,)), augmentation(max_shift=1)
    key = jax.random.key(3)
    epochs = [
        np.asarray(augmented(alternating, key, np.uint32(epoch), IDS, {"inputs": IMAGES})["inputs"])
        for epoch in range(4)
    ]
    turned = []
    for epoch, made in enumerate(epochs):
        drawn = example_keys(key, np.uint32(epoch), IDS)
        straight, mirrored = (np.asarray(plain(drawn, images)) for images in (IMAGES, IMAGES[:, :, ::-1]))
        is_turned = (made == mirrored).all((1, 2, 3))
        assert ((made == straight).all((1, 2, 3)) ^ is_turned).all()
        turned.append(is_turned)
    assert 0.2 < turned[0].mean() < 0.8
    np.testing.assert_array_equal(turned[0], ~turned[1])
    np.testing.assert_array_equal(turned[:2], turned[2:])
    with pytest.raises(UsageError, match=r"alternate-flip must be left out beside --data\.flip"):
        ImageData(name="made up", flip=True, alternate_flip=True)


def test_alternate_flips_alone_are_an_augmentation():
    alone = image_augmentation(ImageData(name="made up", alternate_flip=True), (0.1,))
    made = np.asarray(augmented(alone, jax.random.key(0), np.uint32(0), IDS, {"inputs": IMAGES})["inputs"])
    assert (made == IMAGES).all((1, 2, 3)).any() and (made != IMAGES).any()
