"""Fixed distortions of held-out images, by which settings are told apart where nearly all images are classified."""

import jax
import numpy as np

from rnnjax.data.augment import random_shift, random_warp

_AT_ONCE = 1000


def distorted(images: np.ndarray) -> np.ndarray:
    """Copies of images ``[N, height, width, C]`` that are turned, zoomed, bent like rubber and shifted.

    An image is turned by up to 20 degrees, zoomed by up to 20 %, bent (Simard et al. 2003) and shifted by up to a
    fourteenth of its side; of 28 pixels, displacements are 1.5 with a smoothness of 4, and shifts 2. What happens to an
    image depends on its place alone.
    """
    side = images.shape[1] / 28
    warp = random_warp(max_rotation=20.0, max_zoom=0.2, elastic=1.5 * side, elastic_sigma=4 * side)
    shift = random_shift(round(2 * side))

    @jax.jit
    def changed(keys: jax.Array, part: jax.Array) -> jax.Array:
        return shift(jax.vmap(jax.random.fold_in, (0, None))(keys, 1), warp(keys, part))

    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(0), np.arange(len(images)))
    parts = [slice(start, start + _AT_ONCE) for start in range(0, len(images), _AT_ONCE)]
    return np.concatenate([images[:0], *(np.asarray(changed(keys[part], images[part])) for part in parts)])
