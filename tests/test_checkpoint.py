"""Checkpoints: what is kept, and that state comes back as it was."""

import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.checkpoint import Checkpoints


def state(value: float):
    return {"step": np.int32(value), "params": {"kernel": np.full((3, 2), value, np.float32), "half": _bf16(value)}}


def _bf16(value: float) -> np.ndarray:
    return np.asarray(jnp.full((2,), value, jnp.bfloat16))


def steps(folder) -> set[int]:
    return {int(path.name.removeprefix("step_")) for path in folder.iterdir()}


def test_the_newest_and_the_best_are_kept(tmp_path):
    # The validation value where a checkpoint was the best so far, as the loop saves them.
    with Checkpoints(tmp_path) as checkpoints:
        for step, best in [(1, 0.5), (2, 0.9), (3, None), (4, None)]:
            checkpoints.save(step, state(step), {"step": step}, best)
    assert steps(tmp_path) == {2, 4}


def test_an_older_best_outlives_a_restart(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state(1), {"step": 1}, 0.9)
        checkpoints.save(2, state(2), {"step": 2})
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(3, state(3), {"step": 3})
        checkpoints.save(4, state(4), {"step": 4})
        restored, progress = checkpoints.restore(state(0), 1)
    assert progress == {"step": 1}
    assert (restored["params"]["kernel"] == 1).all()
    assert steps(tmp_path) == {1, 4}


def test_among_equal_bests_the_later_one_is_kept(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        for step, best in [(1, 0.9), (2, 0.9), (3, None)]:
            checkpoints.save(step, state(step), {"step": step}, best)
    assert steps(tmp_path) == {2, 3}


def test_state_and_progress_come_back_bit_for_bit(tmp_path):
    progress = {"sums": {"loss": 0.1 + 0.2}, "best": {}, "written": 12}
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.restore(state(0)) is None
        checkpoints.save(7, state(7), progress)
    with Checkpoints(tmp_path) as checkpoints:
        restored, back = checkpoints.restore(state(0))
    assert back == progress
    for ours, theirs in zip(jax.tree.leaves(state(7)), jax.tree.leaves(restored), strict=True):
        assert theirs.dtype == ours.dtype
        np.testing.assert_array_equal(ours, theirs)


def test_what_is_saved_is_what_was_there_at_the_call(tmp_path):
    saved = state(1)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, saved, {})
        checkpoints.wait()
        saved["params"]["kernel"][:] = -1
        restored, _ = checkpoints.restore(state(0))
    assert (restored["params"]["kernel"] == 1).all()
