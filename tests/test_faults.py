"""What a run survives, and what it says of what it does not: in one process, on a run of seconds."""

import concurrent.futures
import dataclasses
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.digits_rows import EXPERIMENT as DIGITS
from rnnjax import terminal
from rnnjax.cli import main
from rnnjax.data import Examples
from rnnjax.data.tokens import Vocabulary
from rnnjax.errors import AuditError, DataError, Interrupted, RunError, UsageError
from rnnjax.models.image import MirroredImageClassifier
from rnnjax.runs.fitting import run as fit
from rnnjax.runs.log import read_metrics
from rnnjax.runs.predict import load
from rnnjax.runs.workdir import WorkDir, locked
from rnnjax.training.runner import Runner
from tests import damage
from tests.small import CONFIG, TEXT_CONFIG, made_up_texts, small_program


@pytest.fixture(scope="module")
def program():
    config = dataclasses.replace(CONFIG, train=dataclasses.replace(CONFIG.train, epochs=3))
    return small_program(config, devices=jax.devices()[:2])


@pytest.fixture(scope="module")
def unbroken(program, tmp_path_factory):
    """The work folder of a run that nothing happened to."""
    root = tmp_path_factory.mktemp("unbroken") / "run"
    fit(program, 0, root)
    return root


@pytest.fixture
def finished(unbroken, tmp_path):
    return Path(shutil.copytree(unbroken, tmp_path / "finished"))


@pytest.fixture
def stopped(program, tmp_path):
    """A run that was stopped in its third epoch: checkpoints of two epochs and of that moment."""
    root = tmp_path / "run"
    with pytest.raises(Interrupted):
        fit(program, 0, root, on_chunk=functools.partial(stop_at, 2 * program.steps_per_epoch + 4))
    return root


def stop_at(wanted, step, number=signal.SIGTERM):
    if step == wanted:
        os.kill(os.getpid(), number)


def newest(root):
    return sorted((root / "checkpoints").iterdir())[-1]


def assert_as_unbroken(root, unbroken):
    """The same result and parameters, bit for bit."""
    ours, theirs = (WorkDir(folder).finished(tested=True)["metrics"] for folder in (root, unbroken))
    assert ours == theirs
    for a, b in zip(*(jax.tree.leaves(load(folder).variables) for folder in (root, unbroken)), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
@pytest.mark.long
def test_twenty_damages_and_none_is_silent(tmp_path, monkeypatch):
    monkeypatch.setenv("RNNJAX_CACHE_DIR", str(tmp_path / "user-cache"))
    sandbox = damage.make(tmp_path)
    silent = [done for done, unseen in damage.damages(sandbox, 20, seed=1) if unseen]
    assert not silent


@pytest.mark.slow
def test_a_damaged_newest_checkpoint_is_set_aside_and_the_run_ends_as_the_unbroken_one(
    program, stopped, unbroken, capsys
):
    name = newest(stopped).name
    damaged = newest(stopped) / "state" / "manifest.ocdbt"
    damaged.write_bytes(damaged.read_bytes()[:20])
    fit(program, 0, stopped)
    said = capsys.readouterr().err
    assert f"note: the checkpoint of step {int(name.removeprefix('step_'))} is set aside" in said
    assert (stopped / "damaged" / name).is_dir()
    assert_as_unbroken(stopped, unbroken)


def test_a_folder_that_is_no_checkpoint_is_set_aside(program, stopped, unbroken, capsys):
    (stopped / "checkpoints" / "step_99999999").mkdir()
    fit(program, 0, stopped)
    assert "it is not whole" in capsys.readouterr().err
    assert_as_unbroken(stopped, unbroken)


def test_checkpoints_of_another_run_are_set_aside(program, stopped, unbroken, tmp_path, capsys):
    other = tmp_path / "other"
    fit(program, 1, other)
    for step in (other / "checkpoints").iterdir():
        shutil.copytree(step, stopped / "checkpoints" / f"step_{10_000 + int(step.name[5:]):08d}")
    shutil.copytree(newest(other), stopped / "checkpoints" / newest(other).name)
    fit(program, 0, stopped)
    said = capsys.readouterr().err
    assert "it is in truth that of step" in said
    assert "it is of another run: its seed differs" in said
    assert_as_unbroken(stopped, unbroken)


def test_a_lost_best_checkpoint_is_said_and_the_next_best_is_used(program, stopped, capsys):
    best = int(json.loads((newest(stopped) / "progress" / "metadata").read_text())["best"]["step"])
    shutil.rmtree(stopped / "checkpoints" / f"step_{best:08d}")
    fit(program, 0, stopped)
    assert f"the checkpoint of step {best}, the best, cannot be used: it is gone" in capsys.readouterr().err
    load(stopped)


def test_checkpoints_that_are_gone_are_not_begun_anew_without_a_word(program, stopped):
    kept = (stopped / "metrics.jsonl").read_bytes()
    shutil.rmtree(stopped / "checkpoints")
    with pytest.raises(RunError, match=r"was trained before, but .* has no checkpoint; put it back, or use --fresh"):
        fit(program, 0, stopped)
    assert (stopped / "metrics.jsonl").read_bytes() == kept
    (stopped / "metrics.jsonl").unlink()
    with pytest.raises(RunError, match="was trained before"):
        fit(program, 0, stopped)
    assert fit(program, 0, stopped, fresh=True)["epochs"] == 3


def test_a_run_that_was_killed_before_its_first_save_begins_again(program, stopped, unbroken):
    """Killed between the first row of the log and the first whole checkpoint."""
    for step in (stopped / "checkpoints").iterdir():
        shutil.rmtree(step)
    (stopped / ".saved").unlink()
    (stopped / "metrics.jsonl").write_text((stopped / "metrics.jsonl").read_text().splitlines()[0] + "\n")
    fit(program, 0, stopped)
    assert_as_unbroken(stopped, unbroken)
    assert len(read_metrics(stopped / "metrics.jsonl")) == 3


def test_a_damaged_record_or_preprocessing_is_refused_by_load_and_mended_by_the_same_command(
    program, stopped, unbroken, capsys
):
    config = json.loads((stopped / "config.json").read_text())
    config["config"]["model"]["mirror"] = True
    (stopped / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match="its digest differs"):
        load(stopped)
    preprocess = json.loads((stopped / "preprocess.json").read_text())
    preprocess["class_names"].reverse()
    (stopped / "preprocess.json").write_text(json.dumps(preprocess))
    fit(program, 0, stopped)
    said = capsys.readouterr().err
    assert "its checkpoints are of this run, so it is written anew" in said
    assert "preprocess.json is not as it was written; it is written anew" in said
    assert_as_unbroken(stopped, unbroken)
    (stopped / "preprocess.json").write_text(json.dumps(preprocess))
    with pytest.raises(RunError, match="is not as it was written"):
        load(stopped)


@pytest.mark.parametrize(
    "text",
    ["{", '{"metrics": 1, "seconds": 2}', "[" * 100_000]
    + [pytest.param(text, marks=pytest.mark.slow) for text in ("{}", "[]", "null", "", '{"metrics": {}}')],
)
def test_a_result_that_is_none_is_made_again_from_what_was_trained(text, program, finished, unbroken):
    (finished / "result.json").write_text(text)
    fit(program, 0, finished, on_chunk=lambda step: pytest.fail("it trained again"))
    assert_as_unbroken(finished, unbroken)


@pytest.mark.parametrize(
    "damaged",
    [
        b"garbage\n\xff\xfe\n",
        *(pytest.param(damaged, marks=pytest.mark.slow) for damaged in (b"\0" * 20, b"{{{{{", b"[]\n{}\n1\n")),
    ],
)
def test_a_log_with_damaged_lines_is_a_log_with_damaged_lines(damaged, program, stopped, capsys):
    path = stopped / "metrics.jsonl"
    data = path.read_bytes()
    path.write_bytes(data[:1] + damaged + data[1 + len(damaged) :])
    result = fit(program, 0, stopped)
    assert (stopped / "result.json").is_file()
    assert result["metrics"]["train"]["accuracy"] is not None
    assert "damaged line" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name",
    [
        "curves.png",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("confusion-test.png", "report-test.json")),
    ],
)
def test_a_picture_that_cannot_be_written_costs_no_result(name, program, tmp_path, capsys):
    root = tmp_path / "run"

    def block(step):
        (root / name).mkdir(exist_ok=True)

    fit(program, 0, root, on_chunk=block)
    assert WorkDir(root).finished(tested=True)
    assert "could not be written" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["tensorboard", "metrics.jsonl"])
def test_a_log_that_cannot_be_written_costs_a_note(name, program, stopped, unbroken, capsys):
    path = stopped / name
    shutil.rmtree(path, ignore_errors=True)
    path.unlink(missing_ok=True)
    if name == "tensorboard":
        path.write_text("a file")
    else:
        path.mkdir()
    fit(program, 0, stopped)
    assert "the training goes on without it" in capsys.readouterr().err
    assert_as_unbroken(stopped, unbroken)


def test_a_link_is_replaced_and_not_followed(finished, tmp_path, capsys):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (finished / "confusion-validation.png").symlink_to(victim)
    (finished / "report-validation.json").symlink_to(victim)
    assert main(DIGITS, ["evaluate", "--workdir", str(finished)]) == 0
    assert victim.read_text() == "precious"
    assert not (finished / "report-validation.json").is_symlink()
    del capsys


def changed_labels(examples: Examples) -> Examples:
    return dataclasses.replace(
        examples, arrays={**examples.arrays, "labels": np.where(examples["labels"] == 0, 1, examples["labels"])}
    )


CHANGES = {
    "labels": lambda data: dataclasses.replace(data, train=changed_labels(data.train)),
    "half": lambda data: dataclasses.replace(data, train=data.train.take(np.arange(len(data.train) // 2))),
    "order": lambda data: dataclasses.replace(data, train=data.train.take(np.arange(len(data.train))[::-1])),
    "twice": lambda data: dataclasses.replace(data, train=data.train.take(np.arange(2 * len(data.train)) // 2)),
    "test": lambda data: dataclasses.replace(data, test=changed_labels(data.test)),
    "a pixel": lambda data: dataclasses.replace(data, validation=brighter(data.validation)),
}


def brighter(examples: Examples) -> Examples:
    inputs = np.array(examples["inputs"])
    inputs[3, 2, 2, 0] ^= 1
    return dataclasses.replace(examples, arrays={**examples.arrays, "inputs": inputs})


@pytest.mark.parametrize(
    "change", [pytest.param(c, marks=[] if c in ("order", "a pixel") else pytest.mark.slow) for c in CHANGES]
)
def test_other_data_are_refused_where_a_run_is_taken_up(change, program, stopped):
    other = Runner(program.experiment, CHANGES[change](program.dataset), jax.devices()[:2])
    with pytest.raises(UsageError, match="was trained on other data than these are now"):
        fit(other, 0, stopped)


def test_a_finished_run_does_not_answer_for_other_data(program, finished):
    other = Runner(program.experiment, CHANGES["labels"](program.dataset), jax.devices()[:2])
    with pytest.raises(UsageError, match="its train differs"):
        fit(other, 0, finished)


def test_evaluate_says_on_what_and_refuses_other_data(finished, monkeypatch, capsys):
    from rnnjax import data

    read = data.load
    assert main(DIGITS, ["evaluate", "--workdir", str(finished)]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["data"], shown["examples"]) == ("digits", 144)
    monkeypatch.setattr(data, "load", lambda config: CHANGES["a pixel"](read(config)))
    assert main(DIGITS, ["evaluate", "--workdir", str(finished)]) == 1
    assert "is not the one that" in capsys.readouterr().err
    assert main(DIGITS, ["evaluate", "--workdir", str(finished), "--other-data"]) == 0
    assert "is not the one of the training" in capsys.readouterr().err
    assert main(DIGITS, ["evaluate", "--workdir", str(finished), "--split", "train"]) == 0, "that one is the same"


def test_a_strangers_folder_makes_us_write_nowhere(finished, tmp_path, capsys):
    """What a record says of a cache folder counts where it was written, and nowhere else."""
    record = WorkDir(finished).read_run()
    data = dataclasses.replace(record.config.data, cache_dir=str(tmp_path / "theirs"))
    forged = dataclasses.replace(record, config=dataclasses.replace(record.config, data=data))
    (finished / "config.json").write_text(json.dumps(forged.to_json()))
    assert main(DIGITS, ["evaluate", "--workdir", str(finished)]) == 0
    assert not (tmp_path / "theirs").exists()
    del capsys


def test_one_training_a_folder(program, tmp_path):
    root = tmp_path / "run"
    with locked(WorkDir(root)):
        with pytest.raises(RunError, match=rf"a training is at work there: process {os.getpid()} on .*, since 20"):
            fit(program, 0, root)
        with pytest.raises(RunError, match="a training is at work there"):
            fit(program, 0, root, fresh=True)
    assert fit(program, 0, root)["epochs"] == 3


def test_a_finished_folder_that_may_only_be_read_still_answers(program, finished):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    assert fit(program, 0, finished)["epochs"] == 3
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


def test_leavings_of_killed_sessions_are_cleared(program, stopped):
    left = stopped / "checkpoints" / "step_00000033.orbax-checkpoint-tmp"
    left.mkdir()
    (left / "part").write_bytes(b"x")
    (stopped / ".aside-abc.json").write_text("{")
    fit(program, 0, stopped)
    assert not left.exists()
    assert not (stopped / ".aside-abc.json").exists()


def test_an_audit_passes_on_a_machine_that_computes_right(program, unbroken, tmp_path, monkeypatch):
    audited = dataclasses.replace(program.experiment, train=dataclasses.replace(program.experiment.train, audit=1))
    monkeypatch.setattr(program, "experiment", audited)
    fit(program, 0, tmp_path / "run")
    assert_as_unbroken(tmp_path / "run", unbroken)


def test_an_audit_ends_the_run_where_a_bit_differs(program, tmp_path, monkeypatch):
    audited = dataclasses.replace(program.experiment, train=dataclasses.replace(program.experiment.train, audit=2))
    monkeypatch.setattr(program, "experiment", audited)
    train, calls = program.train, []

    def flipped(state, fed, scale):
        state, sums = train(state, fed, scale)
        calls.append(int(state.step))
        if len(calls) == 5:  # of a call that is made twice, the second time
            head = state.params["head"]["Dense_0"]
            head["bias"] = head["bias"].at[0].set(jax.numpy.nextafter(head["bias"][0], 1.0))
        return state, sums

    monkeypatch.setattr(program, "train", flipped)
    with pytest.raises(AuditError, match=r"audit: in the chunk after step \d+ computed twice .*Dense_0/bias") as ended:
        fit(program, 0, tmp_path / "run")
    assert ended.value.exit_code == 3
    assert not list((tmp_path / "run" / "checkpoints").iterdir()), "nothing was saved after it"


def test_replicas_that_differ_are_seen(program):
    sharding = program.parallel.replicate(np.zeros(3)).sharding
    parts = [jax.device_put(np.array([0.0, 0.0, x]), device) for x, device in zip((0, 1), jax.devices(), strict=False)]
    apart = jax.make_array_from_single_device_arrays((3,), sharding, parts)
    assert program.parallel.first_difference({"a": program.parallel.replicate(np.ones(2)), "b": apart}) == "b"
    assert program.parallel.first_difference({"a": program.parallel.replicate(np.ones(2))}) is None


def test_a_host_that_finds_a_difference_tells_the_others(program, monkeypatch):
    """Else they would wait for it at the next leaf."""
    from jax.experimental import multihost_utils

    here, told = {"a": program.parallel.replicate(np.ones(2)), "b": program.parallel.replicate(np.zeros(3))}, []

    def gather(said):
        other = said.copy()
        other[-1] = len(told) != 1  # at the second leaf the other host's devices differ
        told.append(said)
        return np.stack([said, other])

    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(multihost_utils, "process_allgather", gather)
    assert program.parallel.first_difference(here) == "b"
    assert [said[-1] for said in told] == [1, 1]


def test_another_module_of_the_same_shapes_is_another_run(program, stopped):
    mirrored = MirroredImageClassifier(**vars_of(program.model))
    experiment = dataclasses.replace(program.experiment, model=mirrored)
    other = Runner(experiment, program.dataset, jax.devices()[:2])
    with pytest.raises(UsageError, match=r"model\.kind: None, not 'image'"):
        fit(other, 0, stopped)
    with pytest.raises(UsageError, match="trained with another module"):
        load(stopped, experiment)
    load(stopped, program.experiment)


def vars_of(module):
    return {f.name: getattr(module, f.name) for f in dataclasses.fields(module) if f.name not in ("parent", "name")}


@pytest.mark.slow
def test_a_run_from_before_a_change_of_meaning_says_so(tmp_path, capsys):
    """Version 1 took the backward half of 'last' at the last real step."""
    program = small_program(TEXT_CONFIG, made_up_texts())
    fit(program, 0, tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({name: record[name] for name in ("experiment", "seed", "config")}))
    for step in (tmp_path / "run" / "checkpoints").iterdir():
        shutil.rmtree(step / "manifest")
    capsys.readouterr()
    load(tmp_path / "run")
    assert "trained before a change of meaning, and answers otherwise" in capsys.readouterr().err
    with pytest.raises(UsageError, match="was trained before a change of meaning: pooling 'last'"):
        fit(program, 0, tmp_path / "run")


def test_a_run_from_before_there_were_digests_is_taken_up(program, stopped, unbroken):
    record = json.loads((stopped / "config.json").read_text())
    old = {name: record[name] for name in ("experiment", "seed", "config")}
    del old["config"]["train"]["audit"]
    (stopped / "config.json").write_text(json.dumps(old))
    for step in (stopped / "checkpoints").iterdir():
        shutil.rmtree(step / "manifest")
    fit(program, 0, stopped)
    assert_as_unbroken(stopped, unbroken)


@pytest.mark.parametrize(
    "features",
    [
        [8],
        [10**30, 8],
        *(pytest.param(features, marks=pytest.mark.slow) for features in ([8, 8, 8], [9, 8], [10**9, 8])),
    ],
)
def test_a_record_that_does_not_fit_its_checkpoints_is_one_sentence(features, stopped):
    record = json.loads((stopped / "config.json").read_text())
    old = {name: record[name] for name in ("experiment", "seed", "config")}
    old["config"]["model"]["features"] = features
    (stopped / "config.json").write_text(json.dumps(old))
    with pytest.raises((RunError, UsageError)) as refused:
        load(stopped)
    assert len(str(refused.value)) < 1500


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        *(pytest.param(number, marks=pytest.mark.slow) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)),
    ],
)
def test_every_signal_saves_also_when_it_comes_twice(number, program, unbroken, tmp_path):
    root, seen = tmp_path / "run", []

    def stop(step):
        seen.append(step)
        if len(seen) == 2:
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)

    with pytest.raises(Interrupted) as stopped:
        fit(program, 0, root, on_chunk=stop)
    assert stopped.value.exit_code == 128 + number
    fit(program, 0, root)
    assert_as_unbroken(root, unbroken)


def test_a_third_interrupt_ends_it_and_what_was_ignored_stays_ignored():
    from rnnjax.training.interrupt import on_signals

    with on_signals() as request:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
        assert request.signal_number == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with on_signals() as request:
            os.kill(os.getpid(), signal.SIGHUP)
        assert request.signal_number is None
    finally:
        signal.signal(signal.SIGHUP, before)


class Broken:
    """An output whose reader has gone."""

    encoding = "ascii"

    def __init__(self):
        self.tried = 0

    def write(self, text):
        self.tried += 1
        raise BrokenPipeError(32, "Broken pipe")

    def flush(self):
        pass

    def isatty(self):
        return False

    closed = False


@pytest.mark.parametrize("stream", [Broken, lambda: None])
def test_an_output_without_a_reader_never_ends_a_training(stream, program, unbroken, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(terminal, "_lost", set())
    monkeypatch.setattr(sys, "stdout", stream())
    fit(program, 0, tmp_path / "run")
    monkeypatch.undo()
    assert_as_unbroken(tmp_path / "run", unbroken)
    if stream is Broken:
        assert "the run goes on without a word" in capsys.readouterr().err


@pytest.mark.slow
def test_a_terminal_that_cannot_show_a_letter_shows_its_number():
    said = subprocess.run(
        [sys.executable, "-c", "from rnnjax import terminal; terminal.say('caf\\u00e9 \\u65e5')"],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    assert said.stdout == b"caf\\xe9 \\u65e5\n"


def test_a_result_of_another_run_or_an_edited_one_is_none(program, finished, unbroken, tmp_path, capsys):
    other = tmp_path / "other"
    fit(program, 0, other)
    edited = json.loads((finished / "result.json").read_text())
    edited["metrics"]["test"]["accuracy"] = 0.99
    for text in ((other / "result.json").read_text(), json.dumps(edited)):
        (finished / "result.json").write_text(text)
        fit(program, 0, finished, on_chunk=lambda step: pytest.fail("it trained again"))
        assert "is no whole result of this run; it is made again" in capsys.readouterr().err
        assert_as_unbroken(finished, unbroken)


def test_a_damaged_preprocessing_of_a_finished_run_is_mended_by_the_same_command(program, finished):
    (finished / "preprocess.json").write_text("garbage")
    fit(program, 0, finished, on_chunk=lambda step: pytest.fail("it trained again"))
    load(finished)


def test_a_record_without_its_seal_is_no_record_of_an_older_version(finished):
    record = json.loads((finished / "config.json").read_text())
    (finished / "config.json").write_text(
        json.dumps({k: v for k, v in record.items() if k not in ("digest", "version")})
    )
    with pytest.raises(UsageError, match="its digest differs"):
        load(finished)


def test_a_log_that_was_cut_says_so_and_loses_no_new_row(program, stopped, capsys):
    path = stopped / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-40])
    fit(program, 0, stopped)
    assert "epochs are missing in it" in capsys.readouterr().err
    assert [row["epoch"] for row in read_metrics(path)] == [1, 3]


@pytest.mark.parametrize(
    "name",
    [
        "metrics.jsonl",
        "damaged",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("samples", "tensorboard")),
    ],
)
def test_no_link_leads_out_of_a_work_folder(name, program, stopped, unbroken, tmp_path):
    outside = tmp_path / "outside"
    if name == "metrics.jsonl":
        outside.write_text("precious\n" * 1000)
    else:
        outside.mkdir()
    shutil.rmtree(stopped / name, ignore_errors=True)
    (stopped / name).unlink(missing_ok=True)
    (stopped / name).symlink_to(outside)
    (stopped / "checkpoints" / "step_99999999").mkdir()
    fit(program, 0, stopped)
    assert_as_unbroken(stopped, unbroken)
    assert outside.read_text() == "precious\n" * 1000 if outside.is_file() else not list(outside.iterdir())


@pytest.mark.parametrize("name", [".lock", "config.json", "preprocess.json", "result.json"])
def test_what_stands_in_the_way_of_a_file_is_named_before_training(name, program, stopped):
    (stopped / name).unlink(missing_ok=True)
    (stopped / name).mkdir()
    with pytest.raises((RunError, UsageError), match=name.replace(".", r"\.")):
        fit(program, 0, stopped, on_chunk=lambda step: pytest.fail("it trained"))


def test_a_work_folder_that_is_moved_meanwhile_stops_the_run(program, tmp_path, unbroken):
    root, moved = tmp_path / "run", tmp_path / "moved"

    def move(step):
        if step == program.steps_per_epoch + 4:
            root.rename(moved)

    with pytest.raises(RunError, match="was moved or deleted while it was trained in"):
        fit(program, 0, root, on_chunk=move)
    fit(program, 0, moved)
    assert_as_unbroken(moved, unbroken)


def test_two_trainings_in_two_threads_save_in_turn(program, unbroken, tmp_path):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda name: fit(program, 0, tmp_path / name), ("a", "b")))
    for name in ("a", "b"):
        assert_as_unbroken(tmp_path / name, unbroken)


@pytest.mark.slow
def test_other_data_are_named_before_what_follows_from_them(tmp_path):
    """A vocabulary of another size makes another model; what the user changed is the data."""
    one, two = made_up_texts(), made_up_texts()
    fit(small_program(TEXT_CONFIG, one), 0, tmp_path / "run")
    words = Vocabulary((*two.preprocess.vocabulary.words, "more"))
    two = dataclasses.replace(two, preprocess=dataclasses.replace(two.preprocess, vocabulary=words))
    with pytest.raises(UsageError, match="was trained on other data than these are now: its preprocessing differs"):
        fit(small_program(TEXT_CONFIG, two), 0, tmp_path / "run")


@pytest.mark.parametrize("name", ["[x]", "back\\slash", "a]", "\udcff"])
def test_a_path_that_could_not_be_read_back_is_refused(name, program, tmp_path):
    """Orbax takes these for patterns, or cannot take them: it would save there, and find nothing."""
    with pytest.raises(UsageError, match="could not be read again"):
        fit(program, 0, tmp_path / name / "run")
    assert not list(tmp_path.iterdir())


def test_raw_inputs_of_another_kind_are_refused_by_a_preprocessing(program):
    images = np.full((1, 8, 8, 1), 200)
    with pytest.raises(DataError, match="must be uint8"):
        program.dataset.preprocess(images)
    for documents in ("one document", [b"bytes"]):
        with pytest.raises(DataError, match="a list of strings"):
            made_up_texts().preprocess(documents)


def test_a_run_that_was_killed_while_its_record_was_written_begins(program, tmp_path, unbroken):
    root = tmp_path / "run"
    root.mkdir()
    (root / ".lock").write_text("")
    (root / ".aside-x.json").write_text("{")
    fit(program, 0, root)
    assert_as_unbroken(root, unbroken)


def test_a_run_that_was_killed_while_it_was_deleted_begins_anew(program, finished, unbroken):
    (finished / ".old-x").mkdir()
    (finished / "config.json").rename(finished / ".old-x" / "config.json")
    fit(program, 0, finished)
    assert not list(finished.glob(".old-*"))
    assert_as_unbroken(finished, unbroken)
