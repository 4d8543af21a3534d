"""The quarter of an hour on an accelerator, as far as a machine without one can tell."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.accelerator import __main__ as command_line
from experiments.accelerator import layers, numbers, parts, plan, profiling, programs, trainings, written
from experiments.accelerator.__main__ import main
from experiments.accelerator.context import Context
from experiments.benchmarks.task import Shape, Task
from rnnjax.ahead.operations import operations
from rnnjax.errors import UsageError

ROOT = Path(__file__).parents[1]
BLOCKED = ("tyro", "grain", "tensorboardX", "tensorflow_datasets")
"""Packages that the command does without; the last ones are those of which it says so."""
UNNEEDED = (
    *BLOCKED,
    "array_record",
    "importlib_resources",
    "sklearn",
    "matplotlib",
    "PIL",
    "torch",
    "keras",
    "equinox",
)


def context(seconds: float = 60.0, beside: Path = Path("unused")) -> Context:
    made = Context(True, None, beside, 0.0, say=lambda line: None)
    made.deadline = made.clock() + seconds
    return made


# The parts, and which of them are begun.


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def faked(name: str, first: float, do=lambda context: None, number: int = 1):
    """A part that does this."""

    class Faked(parts.Part):
        def function(self):
            return do

    return Faked(number, name, "for a test", "", first, 1000.0)


@pytest.fixture
def call(tmp_path):
    """One call of ten minutes whose clock stands still."""
    made = plan.Call(10, "toy-1", tmp_path, None, None, False, lambda: {"finished": "1"}, 0.0, Clock())
    made.said = []
    made.say = made.said.append
    return made


def took(call, seconds):
    return lambda context: setattr(call.clock, "now", call.clock.now + seconds)


def stored(call, name):
    return json.loads((call.folder / f"{name}.json").read_text())


def test_parts_that_do_not_fit_are_left_and_later_ones_that_do_are_begun(call):
    every = [faked("a", 100, took(call, 250)), faked("b", 400), faked("c", 300, took(call, 20)), faked("d", 350)]
    failed, later = call.run(every)
    assert failed == []
    assert [part.name for part in later] == ["b", "d"], "350 s are left after the first"
    assert {path.stem for path in call.folder.iterdir()} == {"a", "c"}
    assert "b: not begun: about 400 s, and 350 s are left" in "\n".join(call.said)


def test_a_file_says_how_long_the_next_call_should_reckon_with(call):
    part = faked("a", 100, took(call, 250))
    call.run([part])
    result = stored(call, "a")
    assert (result["seconds"], result["complete"]) == (250, True)
    assert call.estimate(part) == result["estimate_seconds"] == pytest.approx(275)


def test_the_newest_file_counts_and_those_of_rehearsals_and_damaged_ones_do_not(call, tmp_path):
    part = faked("a", 100)
    result = {"dry": False, "complete": True, "finished": "2026-01-01", "estimate_seconds": 7.0}
    written.write(call.folder, "a", result)
    call.done = tmp_path / "other"
    written.write(call.done / "toy-1", "a", result | {"finished": "2026-01-02", "estimate_seconds": 8.0})
    assert call.estimate(part) == 8
    written.write(call.done / "toy-1", "a", result | {"dry": True, "finished": "2026-01-03", "estimate_seconds": 9.0})
    assert call.estimate(part) == 7
    path = call.folder / "a.json"
    path.write_text(path.read_text().replace("7.0", "1.0"))
    assert call.estimate(part) == 100


def test_a_part_that_fails_is_written_with_its_reason_and_the_others_go_on(call):
    def fail(context):
        context.result["rows"] = ["a row"]
        raise ValueError("no such thing\nand more")

    failed, later = call.run([faked("a", 1, fail), faked("b", 1)])
    assert (failed, later) == (["a"], [])
    result = stored(call, "a")
    assert result["reason"] == "ValueError: no such thing"
    assert (result["complete"], result["rows"]) == (False, ["a row"])
    assert stored(call, "b")["complete"]


def test_a_part_that_lacked_time_is_left_for_a_later_call(call, tmp_path):
    def late(context):
        context.late("the rest")
        call.clock.now += 30

    part = faked("a", 100, late)
    assert call.run([part]) == ([], [part])
    result = stored(call, "a")
    assert (result["complete"], result["reason"], result["estimate_seconds"]) == (False, None, 100)
    assert result["left_out"] == [{"what": "the rest", "reason": "the part's time is over"}]
    call.done = tmp_path
    assert call.run([part]) == ([], [part]), "it is begun again"


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -1.0, None, "long"])
def test_a_file_whose_estimate_is_none_counts_for_nothing(call, wrong):
    result = {"dry": False, "complete": True, "finished": "2026", "estimate_seconds": wrong}
    written.write(call.folder, "a", result)
    assert call.estimate(faked("a", 100)) == 100
    (call.folder / "a.json").write_text("[" * 100_000)
    assert call.estimate(faked("a", 100)) == 100


def test_a_part_that_once_took_very_long_is_begun_again_some_day(call):
    written.write(call.folder, "a", {"dry": False, "complete": True, "finished": "1", "estimate_seconds": 1e9})
    assert call.estimate(faked("a", 100)) == 1500, "after 1000 s it begins nothing more"


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_measured(call, tmp_path):
    call.out = tmp_path / "file"
    call.out.write_text("")
    begun = []
    with pytest.raises(UsageError, match=r"toy-1 cannot be written .*--out FOLDER"):
        call.run([faked("a", 1, begun.append)])
    assert begun == []


def test_a_disk_that_is_full_by_the_end_of_a_part_does_not_stop_the_others(call, monkeypatch):
    write = written.write

    def full(folder, name, result):
        if name == "a":
            raise OSError(28, "No space left on device")
        return write(folder, name, result)

    monkeypatch.setattr(written, "write", full)
    failed, later = call.run([faked("a", 1), faked("b", 1)])
    assert (failed, later) == (["a"], [])
    assert stored(call, "b")["complete"]
    assert "not done: its file cannot be written: OSError: [Errno 28]" in "\n".join(call.said)


def test_the_source_is_told_by_a_digest_that_changes_with_it(monkeypatch, tmp_path):
    assert written.source() == written.source()
    for package, name in (("rnnjax", "a.py"), ("experiments/accelerator", "b.py")):
        (tmp_path / package).mkdir(parents=True)
        (tmp_path / package / name).write_text("1\n")
    monkeypatch.setattr(written, "COMMITTED", tmp_path / "experiments" / "results" / "accelerator")
    before = written.source()
    (tmp_path / "rnnjax" / "a.py").write_text("2\n")
    assert written.source() != before


def test_ctrl_c_writes_what_is_there(call):
    def interrupted(context):
        context.result["rows"] = [1]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        call.run([faked("a", 1, interrupted), faked("b", 1)])
    assert (stored(call, "a")["reason"], stored(call, "a")["rows"]) == ("interrupted", [1])
    assert not (call.folder / "b.json").exists()


def test_a_second_call_goes_on(call, tmp_path):
    def fail(context):
        raise ValueError

    call.run([faked("a", 1), faked("b", 1, fail)])
    begun = []
    again = plan.Call(10, "toy-1", tmp_path, tmp_path, None, False, lambda: {"finished": "2"}, 0.0, Clock())
    again.run([faked(name, 1, lambda context, name=name: begun.append(name)) for name in "abc"])
    assert begun == ["b", "c"]
    last = plan.Call(10, "toy-1", tmp_path, tmp_path / "toy-1", None, False, lambda: {"finished": "3"}, 0.0, Clock())
    last.run([faked(name, 1, lambda context: begun.append("again")) for name in "abc"])
    assert begun == ["b", "c"], "the device's own folder may be named as well"


def test_the_command_that_goes_on_is_understood(call):
    from experiments.accelerator.__main__ import parser

    call.data = Path("prepared")
    words = call.how_to_go_on(parts.PARTS[4:6]).split()
    options = parser().parse_args(words[3:])
    assert [part.number for part in parts.chosen(options.parts)] == [5, 6]
    assert (options.minutes, options.data) == (10, Path("prepared"))
    assert options.skip_done.resolve() == options.out.resolve() == call.out


@pytest.mark.parametrize("text", ["0", "11", "2;5", "", "two"])
def test_what_is_no_part_is_refused(text):
    with pytest.raises(UsageError, match="numbers from 1 to 10 with commas"):
        parts.chosen(text)


def test_every_part_has_its_function_and_its_own_number():
    assert [part.number for part in parts.PARTS] == list(range(1, 11))
    assert all(callable(part.function()) for part in parts.PARTS)
    assert all(part.first <= part.most for part in parts.PARTS)
    assert sum(part.first for part in parts.PARTS[:3]) <= 9 * 60, "what is worth most fits"


@pytest.mark.parametrize("minutes", [0, -1, float("nan"), float("inf")])
def test_minutes_are_positive(minutes, tmp_path):
    with pytest.raises(UsageError, match="--minutes must be positive"):
        plan.Call(minutes, "toy-1", tmp_path, None, None, False, dict, 0.0)


def test_without_an_accelerator_it_is_one_sentence(capsys):
    assert main([]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("warning:")]
    assert line.startswith("error: JAX finds no accelerator here; ")


@pytest.mark.parametrize(
    "arguments",
    [["--with", "cifar10"], ["--dry", "--skip-done", "not there"], ["--prepare", "x", "--with", "imagenet"]],
)
def test_wrong_usage_is_one_sentence(arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("experiments.accelerator.made_up.write", lambda folder: None)
    monkeypatch.setattr(jax.config, "update", lambda name, value: None)
    assert main(arguments) == 2
    assert "error: " in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# What is compiled, and whether it fits.


def test_a_program_that_needs_more_than_there_is_is_left_out_with_both_figures():
    assert programs.too_large(3 * 2**30, 2**31) == "skipped: it needs 3.00 GiB and the device has 2.00 GiB"
    assert programs.too_large(2**31, 2**31) is None
    assert programs.too_large(None, 1) is programs.too_large(1, None) is None


def test_the_need_of_a_program_has_its_arguments_and_results():
    program = programs.Program("sum", lambda x, y: x + y, (np.ones(1000, np.float32), np.ones(1000, np.float32)))
    program.compile()
    assert program.bytes_needed() >= 3 * 4000


def test_a_program_that_does_not_compile_has_its_reason_and_the_others_are_there():
    wrong = programs.Program("wrong", lambda x: x @ x, (np.ones(3), np.ones(3)))
    right = programs.Program("right", lambda x: x + 1, (np.ones(3, np.float32),))
    programs.compile_all([wrong, right], context())
    assert wrong.obstacle().startswith("failed: TypeError: ")
    assert right.obstacle() is None
    np.testing.assert_array_equal(right.executable(np.ones(3, np.float32)), 2)


def test_what_the_time_does_not_suffice_for_is_not_compiled(monkeypatch):
    monkeypatch.setattr(programs.record, "cores", lambda: 1)
    many = [programs.Program(str(n), lambda x: x + 1, (np.ones(3, np.float32),)) for n in range(20)]
    made = context(seconds=-1)
    programs.compile_all(many, made)
    assert many[-1].obstacle() == "skipped: the compiling of others took the time"
    assert made.result["partial"]


def test_little_memory_is_said_of_each_case(monkeypatch):
    monkeypatch.setattr(programs, "memory", lambda: 100)
    made = context()
    layers.gru(made)
    ours = [row for row in made.result["rows"] if row["peer"] != "torch"]
    assert len(ours) == 3
    assert all(row["error"].startswith("skipped: it needs ") and row["samples"] == [] for row in ours)


# What the parts compute.


def test_numbers_are_those_of_float32_and_an_error_above_the_bound_is_suspicious(monkeypatch):
    assert numbers.BOUNDS["highest"] == 1e-4
    monkeypatch.setattr(numbers, "PRECISIONS", ("highest",))
    monkeypatch.setattr(numbers, "BOUNDS", {"highest": 1e-9})
    made = context()
    numbers.run(made)
    errors = [row[kind]["relative"] for row in made.result["rows"] for kind in ("outputs", "carries", "gradients")]
    assert len(errors) == 12
    assert all(1e-9 < error < 1e-5 for error in errors), "the bound is far above them, and none is of float64"
    assert [row["ran"] for row in made.result["rows"]] == [["fused"], ["scan"]] * 2
    assert len(made.result["suspicious"]) == 4
    assert not made.result["partial"]


def test_a_wrong_value_in_a_small_array_is_seen_beside_a_large_one_and_so_is_one_that_is_no_number():
    exact = {"gradients": [np.full(3, 500.0), np.array([0.5, -0.5])]}
    found = numbers._errors({"gradients": [np.full(3, 500.0), np.array([0.5, -0.25])]}, exact)["gradients"]
    assert found == {"error": 0.25, "relative": 0.5}
    for wrong in ([np.full(3, 500.0), np.array([0.5, np.nan])], [np.full(3, np.nan), exact["gradients"][1]]):
        found = numbers._errors({"gradients": wrong}, exact)["gradients"]
        assert np.isnan([found["error"], found["relative"]]).all()


def test_an_implementation_that_fails_as_it_runs_leaves_the_others_their_numbers(monkeypatch):
    monkeypatch.setattr(numbers, "PRECISIONS", ("highest",))
    compile_all = numbers.compile_all

    def spoil(programs, context):
        compile_all(programs, context)

        def fail(*arguments):
            raise RuntimeError("no cuDNN of this version\nand more")

        programs[0].executable = fail

    monkeypatch.setattr(numbers, "compile_all", spoil)
    monkeypatch.setattr(numbers.Program, "bytes_needed", lambda program: None)
    made = context()
    numbers.run(made)
    first, *others = made.result["rows"]
    assert first["error"] == "failed: RuntimeError: no cuDNN of this version"
    assert len(others) == 3
    assert all(row["gradients"]["relative"] < 1e-5 for row in others)


def test_a_gradient_of_the_right_length_in_the_wrong_direction_is_apart():
    rows = [
        {"peer": peer, "first_loss": 1.0, "kernel_gradient_norm": 5.0}
        for peer in ("rnnjax fused", "rnnjax scan", "torch")
    ]
    right = [np.array([[3.0, 4.0]]), np.zeros(2)]
    layers._compare(rows, {"rnnjax fused": [-right[0], right[1]], "rnnjax scan": right, "torch": right[:1]})
    assert [row["apart"].get("gradient") for row in rows] == [2.0, 0.0, None]
    assert all(row["apart"]["kernel_gradient_norm"] == 0 for row in rows)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_products_are_those_of_a_program_that_computes_nothing_twice(cell):
    program = layers.program(task := Task(cell, "plain", "train", Shape(3, 7, 5, 8)), "rnnjax scan")
    head = 3 * 3 * 8 * 10
    assert operations(program.function, *program.arguments).total == 2 * (layers.products(task) + head)


def test_layers_agree_and_say_what_ran():
    pytest.importorskip("torch")
    made = context()
    layers.lstm(made)
    rows = {row["peer"]: row for row in made.result["rows"]}
    assert list(rows) == ["rnnjax fused", "rnnjax scan", "flax", "torch"]
    assert [row["implementation"] for row in rows.values()] == ["fused", "scan", None, None]
    for row in rows.values():
        assert row["error"] is None
        assert row["apart"]["first_loss"] < 1e-5
        assert row["apart"]["kernel_gradient_norm"] < 1e-4
        assert (
            row["products_per_second"]
            == layers.products(Task("lstm", "plain", "train", layers.TOY[0])) / (row["median_seconds"])
        )


def test_a_group_that_would_take_longer_than_what_is_left_is_left_out(monkeypatch):
    """Reckoned from the time that a product took before."""
    monkeypatch.setattr(layers, "TOY", (Shape(4, 6, 1, 4), Shape(4, 60_000_000, 1, 4), Shape(4, 6, 1, 4)))
    monkeypatch.setattr(layers, "compile_all", lambda programs, context: [one.compile() for one in programs[:4]])
    monkeypatch.setattr(layers, "_peers", lambda task: ["rnnjax scan"])
    monkeypatch.setattr(layers.Task, "inputs", property(lambda task: np.ones((4, min(task.shape.T, 6), 1), np.float32)))
    made = context(seconds=100)
    layers.lstm(made)
    assert [row["shape"][1] for row in made.result["rows"]] == [6, 6]
    (left_out,) = made.result["left_out"]
    assert left_out["what"].startswith("LSTM B4 T60000000 ")
    assert left_out["reason"].endswith(" s are left")


def test_pytorch_without_a_device_is_not_timed_on_the_cpu(monkeypatch):
    pytest.importorskip("torch")
    from experiments.accelerator import torch_layer

    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    with pytest.raises(UsageError, match="has no device here"):
        torch_layer.make_call(Task("lstm", "plain", "train", Shape(2, 3, 1, 4)))


def test_cudnn_is_a_peer_of_a_gpu_in_float32_alone(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    shape = Shape(2, 3, 1, 4)
    assert "rnnjax cudnn" in layers._peers(Task("lstm", "plain", "train", shape))
    assert "rnnjax cudnn" not in layers._peers(Task("gru", "plain", "train", shape))
    assert "rnnjax cudnn" not in layers._peers(Task("lstm", "plain", "train", shape, "bfloat16"))


# The profile.


def named(kind, pid, name, tid=0):
    return {"ph": "M", "pid": pid, "tid": tid, "name": f"{kind}_name", "args": {"name": name}}


def ran(name, begin, microseconds, tid, pid=1):
    return {"ph": "X", "pid": pid, "tid": tid, "name": name, "ts": begin, "dur": microseconds}


def test_a_profile_tells_kernels_and_gaps_of_the_streams_of_a_gpu():
    events = [
        *(named("process", 1, "/device:GPU:0"), named("process", 2, "/host:CPU")),
        *(named("thread", 1, "Stream #7(Compute)", 7), named("thread", 1, "XLA Ops", 8), named("thread", 2, "main", 7)),
        *(ran("gemm", 0, 4, 7), ran("fusion", 5, 2, 7), ran("gemm", 10, 6, 7)),
        *(ran("loop", 0, 16, 8), ran("python", 0, 99, 7, pid=2)),
    ]
    found = profiling.summary(events)
    assert [row["name"] for row in found["kernels"]] == ["gemm", "fusion"]
    assert found["kernels"][0] == {"name": "gemm", "count": 2, "total_us": 10, "mean_us": 5}
    (stream,) = found["streams"]
    assert stream["stream"] == "/device:GPU:0 Stream #7(Compute)"
    assert (stream["busy_us"], stream["span_us"], stream["gaps"]) == (12, 16, 2)
    assert stream["idle_share"] == 0.25
    assert (stream["median_gap_us"], stream["largest_gap_us"]) == (2, 3)


def test_elsewhere_it_is_the_line_of_operations_and_overlapping_events_count_once():
    events = [
        named("process", 3, "/device:TPU:0"),
        *(named("thread", 3, "XLA Modules", 1), named("thread", 3, "XLA Ops", 2)),
        *(ran("module", 0, 10, 1, pid=3), ran("while", 0, 10, 2, pid=3), ran("fusion", 2, 3, 2, pid=3)),
    ]
    (stream,) = profiling.summary(events)["streams"]
    assert (stream["busy_us"], stream["gaps"], stream["idle_share"]) == (10, 0, 0)


def test_a_trace_without_a_device_says_so():
    found = profiling.summary([named("process", 2, "/host:CPU"), ran("python", 0, 9, 1, pid=2)])
    assert (found["said"], found["kernels"], found["streams"]) == ("no device events in the trace", [], [])


# Trainings.


def test_a_run_whose_time_is_over_is_kept_with_what_it_has(tmp_path):
    from experiments.accelerator import made_up

    made_up.write(tmp_path)
    made = dataclasses.replace(context(), data=tmp_path, deadline=1.0, clock=Clock())
    made.clock.now = 0.5
    check = trainings._stopping(made, 24)
    check(4)
    made.clock.now = 1.5
    with pytest.raises(trainings.TooLate, match="over at step 8 of 24"):
        check(8)
    experiment = made_up.loaded("mnist_rows", dry=True)
    dataset, name = trainings._dataset(made, experiment.data)
    assert name == "mnist"
    row = trainings._train(made, experiment, dataset, 0)
    assert row["error"] == "the part's time was over at step 4 of 24"
    assert row["history"] == []
    assert made.result["partial"]


def test_a_run_that_is_stopped_leaves_what_it_had(tmp_path, monkeypatch):
    from experiments.accelerator import made_up
    from rnnjax.errors import Interrupted

    def stopped(program, seed, root, **options):
        root.mkdir()
        (root / "metrics.jsonl").write_text('{"epoch": 1}\n')
        raise Interrupted("stopped by SIGTERM", 15)

    monkeypatch.setattr(trainings, "run", stopped)
    monkeypatch.setattr(
        trainings, "Runner", lambda *arguments: dataclasses.make_dataclass("Program", ["total_steps"])(1)
    )
    made_up.write(tmp_path)
    made = dataclasses.replace(context(), data=tmp_path)
    with pytest.raises(Interrupted):
        trainings.two(made)
    (row,) = made.result["rows"]
    assert (row["experiment"], row["error"], row["history"]) == ("mnist_rows", "interrupted", [{"epoch": 1}])


def test_data_that_are_not_here_are_the_reason_and_no_folder_is_in_it(tmp_path):
    made = dataclasses.replace(context(), data=tmp_path)
    with pytest.raises(
        Exception, match=r"mnist_rows: there is no mnist\.npz among the prepared data; cifar10"
    ) as raised:
        trainings.two(made)
    (tmp_path / "imdb_reviews.npz").write_bytes(b"no zip file")
    with pytest.raises(Exception, match="imdb_bilstm: the prepared file does not give it") as damaged:
        trainings.imdb(made)
    assert str(tmp_path) not in f"{raised.value} {damaged.value}"


def test_too_little_memory_is_said_with_what_there_is(monkeypatch):
    monkeypatch.setattr(trainings, "memory", lambda: 12345)
    said = trainings._reason(RuntimeError("RESOURCE_EXHAUSTED: Out of memory\nand more"))
    assert said == "skipped: too little memory, of 12,345 bytes: RuntimeError: RESOURCE_EXHAUSTED: Out of memory"


# The whole command.


def blocked(folder: Path, packages: tuple[str, ...]) -> dict[str, str]:
    """An environment in which these packages cannot be imported, with this checkout alone on the path."""
    lines = (
        "import sys",
        "class Missing:",
        "    def find_spec(self, name, path=None, target=None):",
        f"        if name.split('.')[0] in {set(packages)!r}: raise ModuleNotFoundError('blocked ' + name, name=name)",
        "sys.meta_path.insert(0, Missing())",
    )
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("\n".join(lines) + "\n")
    return os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "RNNJAX_CACHE_DIR": str(folder / "cache")}


def test_all_of_it_is_imported_without_what_a_lent_machine_may_lack(tmp_path):
    names = sorted(path.stem for path in (ROOT / "experiments" / "accelerator").glob("[!_]*.py"))
    names.remove("torch_layer")
    program = "import experiments, importlib\n"
    program += f"for name in {names!r}: importlib.import_module('experiments.accelerator.' + name)\n"
    program += (
        "for name in ('mnist_rows', 'imdb_bilstm', 'cifar10_cnn_rnn', 'shakespeare_chars'): experiments.load(name)"
    )
    environment = blocked(tmp_path / "site", UNNEEDED)
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "packages",
    [
        pytest.param(BLOCKED, id="what it names"),
        pytest.param(UNNEEDED, id="all that it can do without", marks=pytest.mark.long),
    ],
)
def test_a_rehearsal_goes_through_all_parts(tmp_path, packages):
    out, environment = tmp_path / "out", blocked(tmp_path / "site", packages)

    def run(*options: str) -> str:
        command = [
            sys.executable,
            "-m",
            "experiments.accelerator",
            "--dry",
            "--out",
            str(out),
            "--minutes",
            "8",
            *options,
        ]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path, timeout=560)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run()
    for part in parts.PARTS:
        text = (out / "cpu" / f"{part.name}.json").read_text()
        result = json.loads(text)
        assert (result["dry"], result["complete"], result["reason"]) == (True, True, None), part.name
        assert result["estimate_seconds"] >= result["seconds"] > 0
        assert str(tmp_path) not in text and "/tmp" not in text
    trained = json.loads((out / "cpu" / "trainings.json").read_text())
    assert [row["experiment"] for row in trained["rows"]] == ["mnist_rows", "mnist_cnn_rnn"]
    assert [one["what"] for one in trained["left_out"]] == ["cifar10_cnn_rnn"]
    assert json.loads((out / "cpu" / "language.json").read_text())["tokens_per_second"] > 0
    record = json.loads((out / "cpu" / "trainings" / "mnist_rows-seed-0.json").read_text())
    assert record["until"]["value"] == trainings.TOY_GOAL
    said = run("--skip-done", str(out))
    assert said.count("done already") == len(parts.PARTS)
    shutil.rmtree(out / "cpu" / "trainings")
    (out / "cpu" / "profile.json").unlink()
    said = run("--skip-done", str(out), "--parts", "6,7", "--minutes", "0.001")
    assert "left: profile; go on by" in said


@pytest.mark.slow
def test_a_machine_that_is_taken_back_leaves_the_file_of_the_part_at_work(tmp_path):
    command = [sys.executable, "-m", "experiments.accelerator", "--dry", "--parts", "5", "--out", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("5 precisions")
        process.terminate()
        process.communicate(timeout=120)
    assert process.returncode == 130
    result = json.loads((tmp_path / "cpu" / "precisions.json").read_text())
    assert (result["complete"], result["reason"]) == (False, "interrupted")


def test_a_stop_that_a_callback_swallows_comes_again(monkeypatch):
    class Swallowing:
        def __del__(self):
            raise command_line.Stopped

    def goes_on():
        Swallowing()
        time.sleep(5)

    monkeypatch.setattr(sys, "unraisablehook", command_line._again)
    before = signal.signal(signal.SIGALRM, command_line._stop)
    try:
        with pytest.raises(command_line.Stopped):
            goes_on()
    finally:
        signal.signal(signal.SIGALRM, before)
