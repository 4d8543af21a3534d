"""Random shifts: what moves in, and on what the shift of an example depends."""

import jax
import numpy as np

from rnnjax.augment import example_keys, random_shift

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
