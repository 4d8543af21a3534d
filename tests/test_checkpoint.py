"""Checkpoints: what is kept, that state comes back as it was, and that what does not is seen."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.errors import RunError, SaveError
from rnnjax.tasks import Classification
from rnnjax.training.checkpoint import Checkpoints, check_folder


def state(value: float):
    return {"step": np.int32(value), "params": {"kernel": np.full((3, 2), value, np.float32), "half": _bf16(value)}}


def _bf16(value: float) -> np.ndarray:
    return np.asarray(jnp.full((2,), value, jnp.bfloat16))


def save(checkpoints, step, best=None):
    progress = {"step": step, "epoch": step, "best": {} if best is None else {"step": best}}
    checkpoints.save(step, state(step), progress, best)


def steps(folder) -> set[int]:
    return {int(path.name.removeprefix("step_")) for path in folder.iterdir()}


def test_the_two_newest_and_the_best_are_kept(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        for step, best in [(1, 1), (2, 2), (3, 2), (4, 2), (5, 2)]:
            save(checkpoints, step, best)
    assert steps(tmp_path) == {2, 4, 5}


def test_the_best_that_the_newest_but_one_knows_of_is_kept(tmp_path):
    """The newest may turn out to be damaged; then the run goes on from the one before, with its best."""
    with Checkpoints(tmp_path) as checkpoints:
        for step, best in [(1, 1), (2, 1), (3, 1), (4, 4)]:
            save(checkpoints, step, best)
    assert steps(tmp_path) == {1, 3, 4}


def test_an_older_best_outlives_a_restart(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        save(checkpoints, 1, 1)
        save(checkpoints, 2, 1)
    with Checkpoints(tmp_path) as checkpoints:
        save(checkpoints, 3, 1)
        save(checkpoints, 4, 1)
        checkpoints.wait()
        saved = checkpoints.read(1, state(0))
    assert saved.progress["step"] == 1
    assert (saved.state["params"]["kernel"] == 1).all()
    assert steps(tmp_path) == {1, 3, 4}


def test_state_and_progress_come_back_bit_for_bit(tmp_path):
    progress = {"sums": {"loss": 0.1 + 0.2}, "best": {}, "written": 12}
    assert Checkpoints(tmp_path / "none").newest(state(0)) == (None, {})
    assert not (tmp_path / "none").exists(), "reading makes no folder"
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(7, state(7), progress)
    saved, problems = Checkpoints(tmp_path).newest(state(0))
    assert not problems
    assert saved.progress == progress
    for ours, theirs in zip(jax.tree.leaves(state(7)), jax.tree.leaves(saved.state), strict=True):
        assert theirs.dtype == ours.dtype
        np.testing.assert_array_equal(ours, theirs)


def test_what_is_saved_is_what_was_there_at_the_call(tmp_path):
    saved = state(1)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, saved, {})
        checkpoints.wait()
        saved["params"]["kernel"][:] = -1
        assert (checkpoints.read(1, state(0)).state["params"]["kernel"] == 1).all()


@pytest.fixture
def three(tmp_path):
    """Checkpoints of steps 1 (the best), 2 and 3 of one run."""
    with Checkpoints(tmp_path / "three", {"id": "ours"}) as checkpoints:
        for step in (1, 2, 3):
            save(checkpoints, step, 1)
    return tmp_path / "three"


def read(folder, mark=None, like=None):
    return Checkpoints(folder, mark or {"id": "ours"}).newest(like or state(0))


def edit(path, change):
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda newest: shutil.rmtree(newest / "state"), "it is not whole: its state is missing"),
        (lambda newest: shutil.rmtree(newest / "progress"), "it is not whole: its progress is missing"),
        (lambda newest: shutil.rmtree(newest / "manifest"), "it is not whole: its manifest is missing"),
        (lambda newest: (newest / "progress" / "metadata").write_bytes(b"{"), "its progress cannot be read"),
        (lambda newest: (newest / "progress" / "metadata").write_text("[" * 100_000), "its progress cannot be read"),
        (lambda newest: (newest / "progress" / "metadata").write_text("[]"), "it is no JSON object"),
        (lambda newest: edit(newest / "progress" / "metadata", lambda p: p.update(epoch=2)), "the digests differ"),
        (lambda newest: edit(newest / "manifest" / "metadata", lambda m: m.update(step=2)), "the digests differ"),
        (lambda newest: (newest / "state" / "manifest.ocdbt").write_bytes(b""), "its state cannot be read"),
    ],
)
def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_is_read(three, damage, said):
    damage(three / "step_00000003")
    saved, problems = read(three)
    assert saved.step == 2
    assert list(problems) == [3]
    assert said in problems[3]


def test_a_checkpoint_of_another_step_or_another_run_is_no_checkpoint(three, tmp_path):
    shutil.copytree(three / "step_00000001", three / "step_00000007")
    (three / "step_99999999").mkdir()
    saved, problems = read(three)
    assert saved.step == 3
    assert problems[7] == "it is in truth that of step 1"
    assert "not whole" in problems[99999999]
    saved, problems = read(three, {"id": "another", "seed": 0})
    assert saved is None
    assert problems[3] == "it is of another run: its id differs"


def test_leaves_that_changed_their_places_are_seen(tmp_path):
    """One file of arrays under the manifest of another: shapes and dtypes fit, and nothing in Orbax tells."""
    for name, value in (("ours", 1.0), ("theirs", 2.0)):
        with Checkpoints(tmp_path / name) as checkpoints:
            checkpoints.save(1, {"a": np.full(4, value), "b": np.full(4, -value)}, {})
    shutil.rmtree(tmp_path / "ours" / "step_00000001" / "state")
    shutil.copytree(tmp_path / "theirs" / "step_00000001" / "state", tmp_path / "ours" / "step_00000001" / "state")
    saved, problems = Checkpoints(tmp_path / "ours").newest({"a": np.zeros(4), "b": np.zeros(4)})
    assert saved is None
    assert problems[1] == "its array a is not as it was saved: the digests differ"


@pytest.mark.parametrize(
    ("like", "said"),
    [
        (state(0) | {"more": np.zeros(2)}, "its array more is missing where the model has float64 (2,)"),
        ({"step": np.int32(0)}, "its array params/half is bfloat16 (2,) where the model has none"),
        (
            {"step": np.int32(0), "params": {"kernel": np.zeros((3, 3), np.float32), "half": _bf16(0)}},
            "its array params/kernel is float32 (3, 2) where the model has float32 (3, 3)",
        ),
        (state(0) | {"step": np.int64(0)}, "its array step is int32 () where the model has int64 ()"),
    ],
)
def test_a_state_of_another_form_is_refused_by_its_first_leaf(three, like, said):
    saved, problems = read(three, like=like)
    assert saved is None
    assert problems[3] == said


def test_the_best_that_is_whole_is_found(three):
    saved, problems = Checkpoints(three, {"id": "ours"}).best(state(0), Classification().rank)
    assert (saved.step, problems) == (1, {})
    shutil.rmtree(three / "step_00000003" / "state")  # its progress still tells which is the best
    saved, problems = Checkpoints(three, {"id": "ours"}).best(state(0), Classification().rank)
    assert (saved.step, problems) == (1, {})
    (three / "step_00000001" / "progress" / "metadata").write_bytes(b"{")
    saved, problems = Checkpoints(three, {"id": "ours"}).best(state(0), Classification().rank)
    assert saved.step == 2
    assert list(problems) == [1, 3]


def test_checkpoints_from_before_there_were_digests_are_read(three):
    for step in (1, 2, 3):
        shutil.rmtree(three / f"step_{step:08d}" / "manifest")
    assert read(three)[0] is None
    saved, problems = Checkpoints(three, {"id": "ours"}, digested=False).newest(state(0))
    assert (saved.step, problems) == (3, {})


@pytest.mark.parametrize("name", ["a b", "%#?&:*{}'\";$", "é"])
def test_other_paths_hold(name, tmp_path):
    with Checkpoints(tmp_path / name) as checkpoints:
        save(checkpoints, 1)
    assert Checkpoints(tmp_path / name).newest(state(0))[0].step == 1


def test_a_folder_that_cannot_be_made_is_an_error_before_anything_is_trained(tmp_path):
    (tmp_path / "checkpoints").write_text("a file")
    with pytest.raises(SaveError, match="cannot be written"):
        check_folder(tmp_path / "checkpoints")


def test_a_checkpoint_of_a_later_version_is_refused():
    from rnnjax.training.progress import Progress

    with pytest.raises(RunError, match="'novelty', which this version of rnnjax does not know"):
        Progress.of({"step": 1, "novelty": 2})


def test_a_folder_that_cannot_be_made_is_said_in_a_sentence(tmp_path):
    (tmp_path / "state").write_text("a file where the folder should be")
    checkpoints = Checkpoints(tmp_path / "state" / "below")
    with pytest.raises(SaveError, match="cannot be written"):
        save(checkpoints, 1)
