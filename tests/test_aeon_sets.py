"""Classic sets of series, on made files of their sizes: ragged ones too, and files that are of another set."""

import dataclasses
import importlib.util
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from experiments import arrow_head, basic_motions, japanese_vowels, osu_leaf, pickup_gesture
from rnnjax.data.aeon_sets import SETS, AeonData
from rnnjax.errors import DataError, UsageError

EXPERIMENTS = [part.EXPERIMENT for part in (japanese_vowels, basic_motions, pickup_gesture, arrow_head, osu_leaf)]
STEP = 0.25
"""What a channel grows by from step to step."""


def written(folder, name, sizes=None, splits=("TRAIN", "TEST")):
    """A set whose values begin at the number of the class, with the shortest and the longest sequence in its test."""
    sizes = sizes or SETS[name]
    rng = np.random.default_rng(0)
    folder.mkdir(exist_ok=True, parents=True)
    for split, rows in zip(("TRAIN", "TEST"), (sizes.train, sizes.test), strict=True):
        lengths = rng.integers(sizes.shortest, sizes.longest + 1, rows)
        lengths[:2] = sizes.shortest, sizes.longest
        labels = " ".join(map(str, range(sizes.classes)))
        lines = ["# made", f"@problemName {name}", f"@classLabel true {labels}", "@data"]
        for row, length in enumerate(lengths.tolist()):
            label = row % sizes.classes
            values = label + STEP * np.arange(length) + rng.normal(0, 0.01, (sizes.channels, length))
            lines.append(":".join([*(",".join(f"{value:.3f}" for value in one) for one in values), str(label)]))
        if split in splits:
            (folder / f"{name}_{split}.ts").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize("within", [True, False])
def test_a_ragged_set_is_read_in_its_own_split(within, tmp_path):
    folder = written(tmp_path / "PickupGestureWiimoteZ", "PickupGestureWiimoteZ")
    dataset = AeonData(name="PickupGestureWiimoteZ", path=str(tmp_path if within else folder)).load()
    assert dataset.name == "PickupGestureWiimoteZ"
    assert [len(examples) for examples in dataset.splits().values()] == [40, 10, 50]
    assert np.bincount(dataset.validation["labels"]).tolist() == [1] * 10
    assert dataset.test.lengths[:2].tolist() == [29, 361]
    assert f"lengths: {int(np.median(lengths(dataset)))} in the median, 29 to 361 steps" in dataset.understood
    assert any("test split: PickupGestureWiimoteZ_TEST.ts" in line for line in dataset.understood)


def lengths(dataset):
    return np.concatenate([examples.lengths for examples in dataset.splits().values()])


def test_sequences_that_are_cut_are_still_those_of_the_set(tmp_path):
    written(tmp_path, "PickupGestureWiimoteZ")
    dataset = AeonData(name="PickupGestureWiimoteZ", path=str(tmp_path), max_length=20).load()
    assert set(lengths(dataset).tolist()) == {20}
    with pytest.raises(UsageError, match="max-length must be positive"):
        AeonData(max_length=0)


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        (
            SETS["BasicMotions"]._replace(train=44),
            "are 44 training and 40 test .* and BasicMotions has 40 training",
        ),
        (SETS["BasicMotions"]._replace(channels=1), "steps, 1 channel, 4 classes, and BasicMotions .* 6 channels"),
        (SETS["BasicMotions"]._replace(shortest=90), "of 90 to 100 steps, .* of 100 steps"),
        (SETS["BasicMotions"]._replace(classes=5), "5 classes, and BasicMotions has .* 4 classes"),
    ],
)
def test_files_of_another_set_are_refused(sizes, said, tmp_path):
    written(tmp_path, "BasicMotions", sizes)
    with pytest.raises(DataError, match=f"BasicMotions_TRAIN.ts: .*{said}"):
        AeonData(name="BasicMotions", path=str(tmp_path)).load()


@pytest.mark.parametrize("splits", [(), ("TRAIN",), ("TEST",)])
def test_a_folder_without_the_set_is_refused(splits, tmp_path):
    written(tmp_path, "ArrowHead", splits=splits)
    with pytest.raises(DataError, match=r"ArrowHead/ArrowHead_TRAIN.ts and ArrowHead_TEST.ts are not both in it"):
        AeonData(name="ArrowHead", path=str(tmp_path)).load()


def test_without_a_folder_it_is_that_of_the_installed_package_which_is_not_imported(tmp_path, monkeypatch):
    written(tmp_path / "datasets" / "data" / "ArrowHead", "ArrowHead")
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec if name == "aeon" else None)
    assert len(AeonData(name="ArrowHead").load().test) == 175
    assert "aeon" not in sys.modules
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"ArrowHead comes .* pip install --no-deps aeon, or .* --data.path FOLDER"):
        AeonData(name="ArrowHead").load()


def test_each_set_has_an_experiment_with_five_seeds_and_a_bar():
    assert [experiment.data.name for experiment in EXPERIMENTS] == list(SETS)
    assert all(experiment.bars and len(experiment.seeds) == 5 for experiment in EXPERIMENTS)
    other = EXPERIMENTS[0].with_parts(data=dataclasses.replace(EXPERIMENTS[0].data, name="OSULeaf"))
    assert other.target is None
    with pytest.raises(UsageError, match="name must be one of JapaneseVowels, BasicMotions"):
        AeonData(name="japanese_vowels")
