"""Fine-tuning: what a run takes of another's weights, what it leaves, what it says, and whose run it is then."""

import dataclasses
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import rnnjax
from rnnjax import data, digests
from rnnjax.errors import Interrupted
from rnnjax.runs.source import read_source
from rnnjax.training.checkpoint import Checkpoints
from tests.strangers import finetuned
from tests.test_fit import assert_same_run, assert_same_training, stopping_at

MODEL = rnnjax.ImageModel(features=(8,), conv=(2,), batch_norm=True)


def reader(name: str, classes: list[int], *, epochs: int = 2, model=MODEL, **optim) -> rnnjax.Experiment:
    """Digits of some classes, read row by row; as few as a test needs."""
    rows = np.isin(finetuned.DIGITS, classes).nonzero()[0][:160]
    x, y = finetuned.IMAGES[rows][..., None], np.searchsorted(classes, finetuned.DIGITS[rows])
    return rnnjax.Experiment(
        name=name,
        data=rnnjax.Arrays(x, y, validation_fraction=0.2, batch_size=32),
        model=model,
        optim=rnnjax.OptimConfig(learning_rate=1e-2, **optim),
        train=rnnjax.TrainConfig(epochs=epochs, steps_per_call=1),
    )


SOURCE = reader("source", [0, 1, 2, 3, 4], ema_decay=0.9)
TARGET = reader("target", [5, 6, 7], ema_decay=0.5, groups=("conv=0", "recurrent=0.1@2"))


@pytest.fixture(autouse=True)
def _one_device(monkeypatch):
    devices = jax.local_devices()[:1]
    monkeypatch.setattr(jax, "local_devices", lambda *_, **__: devices)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("source") / "run"
    with pytest.MonkeyPatch.context() as patch:
        devices = jax.local_devices()[:1]
        patch.setattr(jax, "local_devices", lambda *_, **__: devices)
        rnnjax.fit(SOURCE, workdir=folder)
    return folder


@pytest.fixture(scope="module")
def tuned(source, tmp_path_factory) -> Path:
    """The folder of a run that began from that one."""
    folder = tmp_path_factory.mktemp("tuned") / "target" / "seed-0"
    with pytest.MonkeyPatch.context() as patch:
        devices = jax.local_devices()[:1]
        patch.setattr(jax, "local_devices", lambda *_, **__: devices)
        rnnjax.fit(TARGET, workdir=folder, init_from=source)
    return folder


def averages(folder: Path) -> dict[str, np.ndarray]:
    """What a folder's best checkpoint answers with, by path, read by the public way."""
    return digests.leaves(rnnjax.load(folder).variables)


def first_state(experiment: rnnjax.Experiment, folder: Path, **options):
    """The state after the first call of a run, and the record of what it began from."""
    with pytest.raises(Interrupted):
        rnnjax.fit(experiment, workdir=folder, on_chunk=stopping_at(1), **options)
    checkpoints = Checkpoints(folder / "checkpoints")
    shapes = {}
    for path, (shape, dtype) in checkpoints.shapes(checkpoints.steps()[0]).items():
        if path.startswith(("params/", "model_state/", "averaged/")):
            at = shapes
            for part in path.split("/")[:-1]:
                at = at.setdefault(part, {})
            at[path.split("/")[-1]] = jax.ShapeDtypeStruct(shape, dtype)
    state = digests.leaves(checkpoints.read(checkpoints.steps()[0], shapes, partly=True).state)
    return state, json.loads((folder / "config.json").read_text()).get("init_from")


@pytest.mark.slow
def test_what_is_frozen_is_to_the_end_the_sources_averages_bit_for_bit(source, tuned):
    theirs, ours = averages(source), averages(tuned)
    kept = [path for path in ours if "conv" in path]
    assert {path.partition("/")[0] for path in kept} == {"params", "batch_stats"} and len(kept) == 5
    for path in kept:
        assert np.asarray(ours[path]).tobytes() == np.asarray(theirs[path]).tobytes(), path
    assert all((np.asarray(ours[path]) != np.asarray(theirs[path])).any() for path in ours if "recurrent" in path)


def test_everything_that_fits_is_taken_and_a_head_of_another_width_is_fresh(source, tmp_path):
    """Frozen in the first epoch: what was taken is still there after the first call."""
    frozen = dataclasses.replace(TARGET, optim=dataclasses.replace(TARGET.optim, groups=("conv=0", "recurrent=0")))
    state, record = first_state(frozen, tmp_path / "run", init_from=source)
    theirs = averages(source)
    taken = [path for path in theirs if "head" not in path]
    assert sorted(record["taken"]) == sorted(taken)
    for path in taken:
        at = path if path.startswith("params") else f"model_state/{path}"
        assert state[at].tobytes() == np.asarray(theirs[path]).tobytes(), path
        assert state[f"averaged/{path}"].tobytes() == np.asarray(theirs[path]).tobytes(), path
    assert record["unfit"] == {
        "params/head/Dense_0/bias": {"there": [5], "here": [3]},
        "params/head/Dense_0/kernel": {"there": [8, 5], "here": [8, 3]},
    }
    assert record["averaged"] and record["experiment"] == "source" and record["rows"] == {}


def test_the_head_is_that_of_a_fresh_run_of_the_seed(source, tmp_path):
    still = dataclasses.replace(TARGET, optim=rnnjax.OptimConfig(groups=("head=0",)))
    ours, _ = first_state(still, tmp_path / "ours", init_from=source)
    theirs, _ = first_state(still, tmp_path / "fresh")
    same = {path for path in ours if path.startswith("params") and (ours[path] == theirs[path]).all()}
    assert same == {"params/head/Dense_0/kernel", "params/head/Dense_0/bias"}


@pytest.mark.slow
def test_parts_are_searched_in_paths_and_the_newest_is_asked_for_by_name(source, tmp_path):
    _, record = first_state(TARGET, tmp_path / "run", init_from=f"{source}:latest", init_parts=["recurrent", "Batch"])
    assert record["checkpoint"] == "latest" and record["step"] == 8 and record["parts"] == ["recurrent", "Batch"]
    bare = [path.partition("/")[2] for path in record["taken"]]
    assert bare and all(path.startswith(("recurrent", "conv/BatchNorm_0")) for path in bare)
    assert {"params/conv/Conv_0/kernel", "params/head/Dense_0/kernel"} <= set(record["fresh"])


def test_it_is_said_by_module_and_stored_in_the_result(source, tuned, tmp_path, capsys):
    with pytest.raises(Interrupted):
        rnnjax.fit(TARGET, workdir=tmp_path / "run", init_from=source, on_chunk=stopping_at(1))
    out = capsys.readouterr().out
    assert "beginning from the best checkpoint of source (step 8, averages)" in out
    assert "  taken: recurrent/layers_0/cell (3 arrays, " in out
    assert "  taken: batch_stats/conv/BatchNorm_0 (2 arrays, 4 numbers)" in out
    assert "  fresh: head/Dense_0/kernel, (8, 5) there and (8, 3) here" in out
    with pytest.raises(Interrupted):
        rnnjax.fit(TARGET, workdir=tmp_path / "run", init_from=source, on_chunk=stopping_at(1))
    assert "beginning from" not in capsys.readouterr().out, "it goes on from its own checkpoint"
    record = json.loads((tuned / "result.json").read_text())["init_from"]
    assert record == json.loads((tuned / "config.json").read_text())["init_from"]
    assert str(source) not in json.dumps(record), "not where it lay, but what was loaded"


@pytest.mark.slow
def test_as_many_classes_of_other_names_are_pointed_out(source, tmp_path, capsys):
    x, y = finetuned.IMAGES[:64, ..., None], np.arange(64) % 5
    data = rnnjax.Arrays(x, y, names=tuple("abcde"), validation_fraction=0.2, batch_size=16)
    named = dataclasses.replace(TARGET, data=data)
    _, record = first_state(named, tmp_path / "run", init_from=source)
    assert "params/head/Dense_0/kernel" in record["taken"]
    assert "as many classes there, and others (0, 1, 2, 3, 4)" in capsys.readouterr().out


def test_resumed_without_the_source_it_is_the_unbroken_run(source, tuned, tmp_path, capsys):
    gone = tmp_path / "gone"
    shutil.copytree(source, gone)
    with pytest.raises(Interrupted):
        rnnjax.fit(TARGET, workdir=tmp_path / "run", init_from=gone, on_chunk=stopping_at(1))
    shutil.rmtree(gone)
    result = rnnjax.fit(TARGET, workdir=tmp_path / "run", init_from=gone)
    assert "does not exist" in (said := capsys.readouterr().err) and "goes on without it" in said
    assert_same_training(tmp_path / "run", tuned)
    assert result.record["init_from"] == json.loads((tuned / "result.json").read_text())["init_from"]


def test_the_command_line_and_fit_make_one_run(source, tuned, tmp_path):
    assert rnnjax.main(TARGET, ["--runs-dir", str(tmp_path), "--init-from", str(source)]) == 0
    assert_same_run(tmp_path / "target" / "seed-0", tuned)
    assert (
        rnnjax.main(TARGET, ["--runs-dir", str(tmp_path), "--init-from", f"{source}:best", "--init-parts", "conv"]) == 2
    )


def test_a_run_from_other_weights_is_another_run(source, tuned, tmp_path):
    other = tmp_path / "other"
    with pytest.raises(Interrupted):
        rnnjax.fit(SOURCE, seed=1, workdir=other, on_chunk=stopping_at(1))
    for options, said in (
        ({}, r"init_from: fresh parameters, not weights \w{12} \(step 8 of source\)"),
        ({"init_from": other}, r"init_from: weights \w{12} \(step 2 of source\), not weights"),
        ({"init_from": source, "init_parts": ["conv"]}, r"parts conv\), not weights"),
    ):
        with pytest.raises(rnnjax.UsageError, match=said):
            rnnjax.fit(TARGET, workdir=tuned, **options)
    rnnjax.fit(TARGET, workdir=tuned, init_from=source)
    shutil.copytree(tuned, tmp_path / "damaged")
    (tmp_path / "damaged" / "config.json").write_text("{")
    (tmp_path / "damaged" / "result.json").unlink()
    with pytest.raises(rnnjax.UsageError, match="not a readable configuration"):
        rnnjax.fit(TARGET, workdir=tmp_path / "damaged", init_from=other)
    assert rnnjax.fit(TARGET, workdir=tmp_path / "damaged", init_from=source).record["init_from"]["step"] == 8


def test_a_run_that_began_fresh_is_none_that_began_from_weights(source, tmp_path):
    with pytest.raises(Interrupted):
        rnnjax.fit(TARGET, workdir=tmp_path / "run", on_chunk=stopping_at(1))
    assert "init_from" not in json.loads((tmp_path / "run" / "config.json").read_text())
    with pytest.raises(rnnjax.UsageError, match=r"init_from: weights \w{12} .*, not fresh parameters"):
        rnnjax.fit(TARGET, workdir=tmp_path / "run", init_from=source)


@pytest.mark.slow
def test_a_run_that_was_killed_before_its_first_checkpoint_needs_the_source_again(source, tuned, tmp_path):
    shutil.copytree(
        tuned, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints", "*.jsonl", "result*", ".saved")
    )
    with pytest.raises(rnnjax.UsageError, match="does not exist"):
        rnnjax.fit(TARGET, workdir=tmp_path / "run", init_from=tmp_path / "gone")
    rnnjax.fit(TARGET, workdir=tmp_path / "run", init_from=source)
    assert_same_training(tmp_path / "run", tuned)


# What is refused.


def _no_run(source, folder):
    folder.mkdir()


def _unfinished_before_a_checkpoint(source, folder):
    shutil.copytree(source, folder)
    shutil.rmtree(folder / "checkpoints")


def _damaged_record(source, folder):
    shutil.copytree(source, folder)
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace('"seed": 0', '"seed": 3'))


def _damaged_arrays(source, folder):
    shutil.copytree(source, folder)
    for path in (folder / "checkpoints").glob("*/state/manifest.ocdbt"):
        path.write_bytes(b"")


def _another_runs_checkpoints(source, folder):
    shutil.copytree(source, folder)
    record = json.loads((folder / "config.json").read_text())
    record.pop("digest")
    (folder / "config.json").write_text(json.dumps(digests.sealed({**record, "run": "another"})))


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda source, folder: None, rnnjax.UsageError, "does not exist"),
        (_no_run, rnnjax.UsageError, "holds no run"),
        (_unfinished_before_a_checkpoint, rnnjax.UsageError, "holds no checkpoint yet"),
        (_damaged_record, rnnjax.RunError, "is not as it was written"),
        (_damaged_arrays, rnnjax.RunError, "no checkpoint in .* can be used: step 4: .*step 8: its"),
        (_another_runs_checkpoints, rnnjax.RunError, "it is of another run"),
    ],
)
def test_a_folder_without_whole_weights_is_refused_in_one_sentence(make, error, said, source, tmp_path):
    make(source, tmp_path / "there")
    with pytest.raises(error, match=said) as refused:
        rnnjax.fit(TARGET, workdir=tmp_path / "run", init_from=tmp_path / "there")
    assert len(str(refused.value).splitlines()) == 1
    assert not (tmp_path / "run").exists(), "nothing was begun"


@pytest.mark.slow
def test_the_best_that_is_whole_takes_the_place_of_a_damaged_one_and_that_is_said(source, tmp_path, capsys):
    shutil.copytree(source, tmp_path / "there")
    (newest,) = (tmp_path / "there" / "checkpoints").glob("*8")
    shutil.rmtree(newest / "state")
    _, record = first_state(TARGET, tmp_path / "run", init_from=tmp_path / "there")
    assert record["step"] == 4
    assert "step 4 is the best checkpoint" in (said := capsys.readouterr().err) and "step 8: " in said


@pytest.mark.slow
def test_an_unfinished_run_is_a_source_too(source, tmp_path):
    with pytest.raises(Interrupted):
        rnnjax.fit(SOURCE, workdir=tmp_path / "half", on_chunk=stopping_at(1))
    assert first_state(TARGET, tmp_path / "run", init_from=tmp_path / "half")[1]["step"] == 2


def test_a_run_of_an_older_version_is_a_source_too(tmp_path):
    """Its checkpoints have no digests and its record no shapes: the tree is read of the arrays themselves."""
    with tarfile.open(Path(__file__).with_name("old_run.tar.xz")) as archive:
        archive.extractall(tmp_path, filter="data")
    source = read_source(tmp_path / "run", "best")
    theirs = digests.leaves(rnnjax.load(tmp_path / "run").variables)
    ours = digests.leaves(source.variables)
    assert set(ours) == set(theirs) and source.said["averaged"] and source.said["step"] == 20
    for path, leaf in theirs.items():
        np.testing.assert_array_equal(ours[path], leaf)


def test_other_wrong_usage(source, tuned, tmp_path):
    def refused(match, **options):
        with pytest.raises(rnnjax.UsageError, match=match) as error:
            rnnjax.fit(TARGET, **{"workdir": tmp_path / "run", **options})
        return str(error.value)

    refused("is the work folder of the run itself", workdir=tuned, init_from=f"{tuned}/../seed-0")
    refused("--init-parts says what is taken", init_parts=["conv"])
    refused("init_parts must be a list", init_from=source, init_parts="conv")
    refused("init_parts must be a list of patterns, got", init_from=source, init_parts=[3])
    refused("init_parts must be a list of patterns, got None", init_from=source, init_parts=None)
    assert "\n  head/Dense_0/bias" in refused("'nowhere' is found in no", init_from=source, init_parts=["nowhere"])
    refused("'[(]' is no regular expression", init_from=source, init_parts=["("])
    said = refused("nothing fits by path and shape among those", init_from=source, init_parts=["head"])
    assert "\n  params/head/Dense_0/kernel (8, 5)" in said and "\n  params/head/Dense_0/kernel (8, 3)" in said


def test_settings_of_such_a_run_say_that_its_weights_are_not_among_them(tuned, capsys):
    from rnnjax.runs.settings import with_settings

    assert with_settings(TARGET, tuned / "config.json").optim == TARGET.optim
    assert "only --init-from takes them again" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.long
def test_a_stranger_tunes_a_module_of_its_own(tmp_path):
    short = dataclasses.replace(finetuned.FIRST, train=rnnjax.TrainConfig(epochs=6, steps_per_call=8))
    rnnjax.fit(short, workdir=tmp_path / "first")
    result = finetuned.finetuned(tmp_path / "first")
    assert result.headline > rnnjax.fit(finetuned.EXPERIMENT).headline > finetuned.BAR
    assert {path.split("/")[1] for path in result.record["init_from"]["taken"]} == {"reader"}


@pytest.mark.slow
@pytest.mark.long
def test_a_new_head_on_a_reader_of_mnist_learns_faster_than_a_fresh_reader(tfds_dir, tmp_path):
    mnist = data.load(rnnjax.ImageData(name="mnist", data_dir=str(tfds_dir)))

    def reading(digits: list[int], rows: int, **optim: Any) -> rnnjax.Experiment:
        def of(split: Any) -> tuple[np.ndarray, np.ndarray]:
            chosen = np.flatnonzero(np.isin(split["labels"], digits))[:rows]
            return split["inputs"][chosen] / np.float32(255), np.searchsorted(digits, split["labels"][chosen])

        return rnnjax.Experiment(
            data=rnnjax.Arrays(*of(mnist.train), test=of(mnist.test), validation_fraction=0.2, batch_size=32),
            model=rnnjax.ImageModel(features=(32,)),
            optim=rnnjax.OptimConfig(learning_rate=5e-3, **optim),
            train=rnnjax.TrainConfig(epochs=2),
        )

    rnnjax.fit(reading([0, 1, 2, 3, 4, 5], 8000), workdir=tmp_path / "first")
    frozen = reading([6, 7, 8, 9], 400, groups=("recurrent=0",))
    tuned = rnnjax.fit(frozen, workdir=tmp_path / "tuned", init_from=tmp_path / "first")
    source, ours = rnnjax.load(tmp_path / "first"), rnnjax.load(tmp_path / "tuned")
    for theirs, mine in zip(
        *(jax.tree.leaves(p.variables["params"]["recurrent"]) for p in (source, ours)), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)
    assert tuned.headline > rnnjax.fit(frozen).headline + 0.1, "beside a fresh one, frozen alike"
