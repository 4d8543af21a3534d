"""The benchmarks: their statistics and goals, how they time, and that all peers compute the same."""

import dataclasses
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from experiments import measured
from experiments.benchmarks import __main__ as command
from experiments.benchmarks import (
    compiling,
    goals,
    harness,
    layers,
    markdown,
    memory,
    memory_limit,
    peers,
    peers_jax,
    record,
    terminal,
)
from experiments.benchmarks.task import FORMS, GATES, Shape, Task
from experiments.benchmarks.timings import Timings, geometric_mean, quartiles
from rnnjax.errors import DataError, UsageError
from rnnjax.runs import environment
from tests.marks import often

ROOT = Path(__file__).parents[1]
os.environ.setdefault("KERAS_BACKEND", "jax")  # read when Keras is imported


def row(peer, samples, cell="lstm", form="plain", shape=(16, 2, 3, 4), devices=1, mode="train", error=None):
    what = {"cell": cell, "form": form, "mode": mode, "shape": list(shape), "peer": peer, "devices": devices}
    return what | {"samples": list(samples), "first_call_seconds": 0.5, "first_loss": 2.3, "error": error}


# Statistics and goals.


@pytest.mark.parametrize("samples", [[3.0], [1.0, 2.0], [5.0, 1.0, 4.0], [0.3, 9.0, 2.0, 7.0, 7.5, 1.0]])
def test_quartiles_are_numpys(samples):
    np.testing.assert_allclose(quartiles(samples), np.percentile(samples, [25, 50, 75]), rtol=1e-12)


def test_the_geometric_mean_is_that_of_the_ratios():
    assert geometric_mean([0.5, 2.0]) == pytest.approx(1.0)
    assert geometric_mean([1.0, 2.0, 4.0]) == pytest.approx(2.0)
    assert geometric_mean([]) is None


def found(rows):
    return {goal["what"]: goal for goal in goals.evaluate(rows)}


def test_goals_are_geometric_means_of_ratios_of_medians_over_large_batches():
    large, other, small = (16, 2, 3, 4), (64, 2, 3, 4), (1, 2, 3, 4)
    rows = [
        row("rnnjax fused", [1.0, 2.0, 30.0], shape=large),  # median 2
        row("flax", [4.0, 4.0, 4.0], shape=large),
        row("rnnjax fused", [2.0], shape=other),
        row("flax", [1.0], shape=other),
        row("rnnjax fused", [7.0], shape=small),
        row("flax", [1.0], shape=small),
    ]
    to_flax = found(rows)["LSTM, 1 device: time / flax's"]
    assert to_flax == {
        "what": "LSTM, 1 device: time / flax's",
        "goal": 0.88,
        "measured": pytest.approx(1.0),  # of 1/2 and 2
        "shapes": 2,
        "reached": False,
    }
    apart = found(rows)["LSTM, 1 device, B < 16: time / flax's"]
    assert apart["measured"] == pytest.approx(7.0)
    assert apart["goal"] is None and apart["reached"] is None
    missing = found(rows)["LSTM, 1 device: time / torch's"]
    assert missing["measured"] is None and missing["reached"] is None
    assert goals.verdict(missing) == "not measured"
    assert goals.verdict(to_flax) == "missed"


def test_the_shape_at_which_torch_is_most_ahead_has_a_goal_of_its_own():
    large, other, small = (16, 2, 3, 4), (64, 2, 3, 4), (1, 2, 3, 4)
    ours = [row("rnnjax fused", [time], shape=shape) for time, shape in ((1.0, large), (3.0, other), (9.0, small))]
    largest = found(ours + [row("torch", [2.0], shape=shape) for shape in (large, other, small)])
    what = "LSTM, 1 device: largest time / torch's of a shape"
    assert largest[what] == {"what": what, "goal": 1.15, "measured": 1.5, "shapes": 2, "reached": False}
    assert found(ours)[what]["measured"] is None and found(ours)[what]["reached"] is None


def test_two_devices_are_compared_with_torch_on_all_threads_and_flax_on_two():
    rows = [
        row("rnnjax fused", [1.0], devices=2),
        row("flax", [2.0], devices=1),
        row("flax", [1.25], devices=2),
        row("torch", [4.0]),
    ]
    assert found(rows)["LSTM, 2 devices: time / torch's"]["measured"] == pytest.approx(0.25)
    assert found(rows)["LSTM, 2 devices: time / flax's on 2 devices"]["measured"] == pytest.approx(0.8)
    assert found(rows)["LSTM, 2 devices: time / flax's on 2 devices"]["reached"]


def test_masked_and_bidirectional_are_compared_with_plain_and_with_the_fastest_peer():
    rows = [
        row("rnnjax fused", [1.0]),
        row("rnnjax fused", [1.05], form="masked"),
        row("flax", [2.0], form="masked"),
        row("keras", [1.5], form="masked"),
        row("torch", [9.0], form="masked"),
        row("rnnjax fused", [2.4], form="bidirectional"),
        row("rnnjax scan", [0.1], form="bidirectional"),  # ours is no peer
        row("torch", [2.4], form="bidirectional"),
    ]
    measured = {what: goal["measured"] for what, goal in found(rows).items()}
    assert measured["LSTM masked: time / plain's"] == pytest.approx(1.05)
    assert measured["LSTM masked: time / fastest peer's"] == pytest.approx(0.7)
    assert measured["LSTM bidirectional: time / (2 × plain's)"] == pytest.approx(1.2)
    assert measured["LSTM bidirectional: time / fastest peer's"] == pytest.approx(1.0)


def test_a_shape_is_slower_only_if_its_quartiles_lie_above():
    what = "LSTM, 1 device: shapes slower than flax beyond overlapping quartiles"
    overlapping = [row("rnnjax fused", [3.0, 4.0, 5.0]), row("flax", [2.0, 3.0, 4.0])]
    assert found(overlapping)[what]["reached"]
    apart = [row("rnnjax fused", [5.0, 6.0, 7.0]), row("flax", [2.0, 3.0, 4.0])]
    assert found(apart)[what]["measured"] == 1
    assert found(apart)[what]["reached"] is False


def test_what_failed_has_no_median():
    timings = Timings([row("flax", [], error="failed: x")])
    assert timings.median(cell="lstm", form="plain", mode="train", shape=(16, 2, 3, 4), peer="flax", devices=1) is None


# The harness.


class Bench:
    """Calls that take given times on a clock of their own, and the order in which they came."""

    def __init__(self, **seconds):
        self.now, self.seconds, self.calls = 0.0, seconds, []
        self.entries = [harness.Entry({"peer": name}, lambda name=name: self._build(name)) for name in seconds]

    def _build(self, name):
        def call():
            self.calls.append(name)
            self.now += self.seconds[name]
            return 2.3

        return call

    def measure(self, samples=5, seconds=1e9):
        harness.measure(self.entries, samples=samples, seconds=seconds, clock=lambda: self.now, sleep=lambda s: None)


def test_two_samples_follow_one_untimed_call_of_the_same():
    bench = Bench(a=1.0, b=2.0)
    bench.measure(samples=6)
    assert [entry.samples for entry in bench.entries] == [[1.0] * 6, [2.0] * 6]
    assert [entry.first_seconds for entry in bench.entries] == [1.0, 2.0]
    turns = bench.calls[2:]  # after the first calls
    turns = [turns[at : at + 3] for at in range(0, len(turns), 3)]
    assert len(turns) == 6
    assert all(len(set(turn)) == 1 for turn in turns)


def test_what_follows_a_switch_is_not_timed():
    bench, seconds = Bench(), iter([9.0, *[1.9, 1.0, 1.1] * 3])  # the first call, then three turns

    def call():
        bench.now += next(seconds)
        return 2.3

    bench.entries = [harness.Entry({"peer": "a"}, lambda: call)]
    bench.measure(samples=6)
    np.testing.assert_allclose(bench.entries[0].samples, [1.0, 1.1] * 3)
    assert bench.entries[0].first_seconds == 9.0


def test_the_order_is_shuffled_and_every_round_has_all():
    bench = Bench(**dict.fromkeys("abcd", 1.0))
    bench.measure(samples=24)
    turns = bench.calls[4::3]
    orders = [tuple(turns[at : at + 4]) for at in range(0, len(turns), 4)]
    assert len(orders) == 12
    assert all(sorted(order) == list("abcd") for order in orders)
    assert len(set(orders)) > 4
    again = Bench(**dict.fromkeys("abcd", 1.0))
    again.measure(samples=24)
    assert again.calls == bench.calls, "a run's order is its seed's"


def test_what_is_slow_gets_fewer_samples_spread_over_the_rounds():
    bench = Bench(quick=0.01, slow=1.5)
    bench.measure(samples=20, seconds=30.0)
    quick, slow = bench.entries
    assert len(quick.samples) == 20
    assert 6 <= len(slow.samples) <= 14
    assert "slow" in bench.calls[-20:]


def test_what_is_very_slow_is_still_timed_once():
    bench = Bench(quick=0.01, slow=100.0)
    bench.measure(samples=10, seconds=1.0)
    assert bench.entries[1].samples == [100.0]
    assert len(bench.entries[0].samples) >= 2


def test_shares_pass_on_what_is_left():
    turns = harness.shares({"a": 0.0, "b": 1.0}, rounds=10, seconds=18.3)
    assert turns == {"a": 10, "b": 5}  # (18.3 s - 10 pauses) / (3 calls and a pause), rounded down
    assert harness.shares({"a": 100.0}, rounds=10, seconds=1.0) == {"a": 0}
    assert harness.shares({"a": 1.0}, rounds=10, seconds=-1.0) == {"a": 0}


def test_a_failing_peer_is_shown_as_failed_and_the_others_go_on():
    bench = Bench(a=1.0)

    def broken():
        raise ValueError("no such kernel\nand a long story")

    def absent():
        raise ModuleNotFoundError("No module named 'keras'", name="keras")

    def breaks_later():
        count = itertools.count()

        def call():
            if next(count) == 5:
                raise RuntimeError("out of memory")
            return 2.3

        return call

    entries = [harness.Entry({"peer": name}, build) for name, build in
               (("broken", broken), ("absent", absent), ("later", breaks_later))]  # fmt: skip
    bench.entries += [*entries, harness.Entry({"peer": "odd"}, None, error="a batch of 1 does not divide")]
    bench.measure(samples=4)
    results = {entry.row["peer"]: entry.result() for entry in bench.entries}
    assert results["a"]["samples"] == [1.0] * 4
    assert results["broken"]["error"] == "failed: ValueError: no such kernel"
    assert results["absent"]["error"] == "not installed (keras)"
    assert results["later"]["error"] == "failed: RuntimeError: out of memory"
    assert len(results["later"]["samples"]) == 2
    assert results["odd"]["error"] == "a batch of 1 does not divide"


def test_an_error_with_brackets_and_bars_is_shown_as_it_is():
    """As PyTorch's are: to Rich they would be styles, and one that is closed and was never opened an error."""
    said = "failed: RuntimeError: [/pytorch/gloo/pair.cc:525] [enforce fail] a | b"
    screen = terminal.console()
    with screen.capture() as shown:
        screen.print(terminal.of_group("LSTM [B]", [row("torch", [], error=said)]))
    text = " ".join(re.sub(r"[^ -~]", " ", shown.get()).split())
    for part in ("LSTM [B]", "[/pytorch/gloo/pair.cc:525]", "[enforce fail]"):
        assert part in text
    assert markdown._table(["a"], [[said]]).endswith(r"[enforce fail] a \| b |")


def test_an_interruption_keeps_what_was_measured():
    bench = Bench(a=1.0)
    call, count = bench.entries[0].build(), itertools.count()

    def interrupted():
        if next(count) == 5:
            raise KeyboardInterrupt
        return call()

    bench.entries[0].build = lambda: interrupted
    with pytest.raises(KeyboardInterrupt):
        bench.measure(samples=10)
    assert bench.entries[0].samples == [1.0, 1.0]


# What is refused, and the choice.


def test_a_shape_that_would_not_fit_is_refused():
    task = Task("lstm", "bidirectional", "train", Shape(64, 400, 128, 128))
    needed = task.bytes_needed()
    memory_limit.check([task], None)
    memory_limit.check([task], 2 * needed)
    with pytest.raises(UsageError, match=r"B64 T400 D128 H128 .* needs up to 0\.\d GiB .* smaller shape"):
        memory_limit.check([task, dataclasses.replace(task, form="plain")], needed)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--shapes", "100000,100000,100,100"], "GiB are free"),
        (["--shapes", "1,2,3"], "a shape is B,T,D,H"),
        (["--shapes", "1,2,3,0"], "positive"),
        (["--peers", "tensorflow"], "is none of"),
        (["--devices", "0"], "must lie in 1..8"),
        (["--samples", "0"], "--samples must be positive"),
        (["--peers", "torch padded", "--forms", "plain"], "nothing to time: no peer of --peers has one of --forms"),
        (["--peers", "keras", "--devices", "2"], "nothing to time"),
        *(([f"--{name}"], f"--{name} must name at least one") for name in
          ("cells", "forms", "modes", "shapes", "peers", "devices")),
    ],
)  # fmt: skip
def test_wrong_options_are_usage_errors(options, message, capsys, monkeypatch):
    monkeypatch.setattr(record, "start", lambda devices: 0.0)  # this process has its devices
    monkeypatch.setattr(harness, "measure", lambda *_, **__: pytest.fail("nothing is timed"))
    assert command.main(["layers", *options]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("part", ["layers", "ragged", "memory", "compile", "long", "input", "growth", "step"])
def test_a_result_that_could_not_be_written_is_refused_at_once(part, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(record, "start", lambda devices: pytest.fail("it has begun"))
    (tmp_path / "file").write_text("")
    for out, message in (
        (tmp_path, "is a folder; name a file in it"),
        (tmp_path / "file" / "result.json", "cannot be written"),
        (tmp_path / "result.png", "end it in .json"),
    ):
        assert command.main([part, "--out", str(out)]) == 2
        assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_result_may_be_written_over_and_into_new_folders(tmp_path):
    (tmp_path / "old.json").write_text("{}")
    for out in (None, tmp_path / "old.json", tmp_path / "a" / "b" / "new.json", Path("new.json")):
        record.check_out(out)


def test_memory_that_is_interrupted_at_once_is_written_without_a_picture(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(record, "start", lambda devices: 0.0)
    monkeypatch.setattr(memory, "_row", interrupted)
    assert command.main(["memory", "--out", str(tmp_path / "memory-cpu.json")]) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["memory-cpu.json"]


def test_compilations_are_shuffled_and_every_repeat_has_all(tmp_path, monkeypatch):
    seen: list[tuple[Any, ...]] = []
    monkeypatch.setattr(record, "start", lambda devices: 0.0)
    monkeypatch.setattr(compiling, "_warm_up", lambda rows: None)
    monkeypatch.setattr(compiling, "_repeat", lambda row: seen.append((row["peer"], row["unroll"], row["T"])))
    monkeypatch.setattr(compiling.charts, "over_steps", lambda *_: [])
    assert command.main(["compile", "--repeats", "2", "--out", str(tmp_path / "compile-cpu.json")]) == 0
    first, second = seen[: len(seen) // 2], seen[len(seen) // 2 :]
    assert first != second and sorted(first) == sorted(second) == sorted(set(seen))


def test_the_command_line_lists_its_parts(capsys):
    assert command.main(["--help"]) == 0
    said = capsys.readouterr().out.replace(",", " ").split()
    assert {"layers", "memory", "compile", "training", "long", "input", "growth", "step"} <= set(said)
    assert command.main(["layer"]) == 2
    for part in ("layers", "memory", "compile", "long", "input", "growth", "step"):
        with pytest.raises(SystemExit, match="0"):
            command.main([part, "--help"])


def test_the_default_choice_serves_every_goal():
    """With every chosen combination measured, no goal is left without a figure."""
    rows = []
    for group in layers._groups(layers.Options()):
        for task, peer, devices in group:
            shape = dataclasses.astuple(task.shape)
            rows.append(row(peer, [1.0], task.cell, task.form, shape, devices, task.mode))
    assert all(goal["measured"] is not None for goal in goals.evaluate(rows))
    plain = [goal for goal in goals.evaluate(rows) if "device" in goal["what"] and goal["goal"] is not None]
    assert {goal["shapes"] for goal in plain} == {7}


def test_what_is_named_twice_is_timed_once():
    twice = {"peers": ("flax",) * 2, "forms": ("plain",) * 2, "modes": ("train", "forward", "train"), "devices": (1, 1)}
    (group,) = layers._groups(layers.Options(cells=("lstm",) * 2, shapes=("16,2,3,4",) * 2, **twice))
    assert [(task.mode, peer, devices) for task, peer, devices in group] == [
        ("forward", "flax", 1),
        ("train", "flax", 1),
    ]


def test_lengths_are_half_to_full():
    lengths = Task("lstm", "masked", "train", Shape(1000, 9, 1, 1)).lengths
    assert lengths is not None
    assert set(lengths.tolist()) == {5, 6, 7, 8, 9}


# From end to end.


def run(*arguments, folder):
    done = subprocess.run(
        [sys.executable, "-m", "experiments.benchmarks", *arguments, "--out", str(folder / "layers-cpu.json")],
        cwd=ROOT, capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads((folder / "layers-cpu.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_quick_layers_from_end_to_end(tmp_path):
    pytest.importorskip("equinox", reason="Equinox (extra bench) is not installed")
    shown, result = run("layers", "--quick", "--cells", "lstm", "--peers", "rnnjax fused", "flax", "equinox",
                        "--forms", "plain", "masked", "--modes", "train", folder=tmp_path)  # fmt: skip
    assert "LSTM B16 T5 D3 H4" in shown and "time / flax's" in shown
    assert result["versions"]["jax"] and result["device"]["cores"] and result["malloc"]
    assert result["command"].startswith("python -m experiments.benchmarks layers --quick")
    assert result["load_at_start"] >= 0
    assert result["compilation_cache"] is False and result["partial"] is False
    by_peer = {(row["peer"], row["devices"], row["form"]): row for row in result["rows"]}
    measured = [row for row in by_peer.values() if not row["error"]]
    assert all(len(row["samples"]) == 4 and row["first_call_seconds"] > 0 for row in measured)
    assert ("rnnjax fused", 2, "plain") in by_peer and not by_peer["flax", 2, "masked"]["error"]
    losses = {form: [row["first_loss"] for row in measured if row["form"] == form] for form in ("plain", "masked")}
    for values in losses.values():
        np.testing.assert_allclose(values, values[0], rtol=1e-5)
    assert (tmp_path / "layers-cpu-lstm.png").stat().st_size < 150_000
    assert result["goals"][0]["measured"] is not None
    assert "**layers** on" in markdown.section(tmp_path, tmp_path / "README.md")


# The same computation.


def peer_or_skip(peer):
    if peer.split()[0] in ("keras", "torch", "equinox"):
        pytest.importorskip(peer.split()[0])
    return peer


@pytest.mark.parametrize(
    ("cell", "form"), [("lstm", "plain"), ("lstm", "masked"), ("lstm", "bidirectional"), ("gru", "masked")]
)
@pytest.mark.parametrize("peer", ["rnnjax fused", "rnnjax scan", "equinox", "keras", "torch"])
def test_peers_compute_the_same_loss_and_step(peer, cell, form):
    """Against Flax: the loss, and the loss after one step of Adam, which is right only if the gradient is."""
    task = Task(cell, form, "train", Shape(4, 6, 3, 5))
    theirs = peers.make_call("flax", task)
    call = peers.make_call(peer_or_skip(peer), task)
    np.testing.assert_allclose(float(call()), float(theirs()), rtol=2e-6)
    if peer == "torch" or (peer, cell) == ("keras", "gru"):
        return  # their two biases are two parameters, and each takes a step
    np.testing.assert_allclose(float(call()), float(theirs()), rtol=5e-6)


@pytest.mark.parametrize(
    ("cell", "form"),
    often(itertools.product(GATES, FORMS), [("lstm", "masked"), ("gru", "bidirectional"), ("rnn", "plain")]),
)
def test_nnx_has_our_gradients(cell, form):
    """Of its parameters, which are handed over in our layout, and of the inputs."""
    task, found = Task(cell, form, "train", Shape(4, 6, 3, 5)), []
    for layer in (peers_jax.rnnjax_layer(task, implementation="scan"), peers_jax.nnx_layer(task)):
        params, _, loss = peers_jax.make_loss(task, layer)
        gradient = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
        found.append(gradient(params, task.inputs, task.lengths, task.labels))
    jax.tree.map(lambda ours, theirs: np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-7), *found)


@pytest.mark.parametrize("peer", ["rnnjax fused", "keras", "torch", "torch padded"])
def test_peers_compute_the_same_logits(peer):
    task = Task("lstm", "masked", "forward", Shape(4, 6, 3, 5))
    logits = np.asarray(peers.make_call(peer_or_skip(peer), task)())
    np.testing.assert_allclose(logits, peers.make_call("flax", task)(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("peer", ["rnnjax fused", "flax", "nnx", "equinox", "keras", "torch"])
@pytest.mark.parametrize("form", ["masked", "bidirectional"])
def test_peers_compute_in_bfloat16(peer, form):
    """Near the logits of float32, and not these: bfloat16 has 8 bits of mantissa."""
    task = Task("lstm", form, "forward", Shape(4, 6, 3, 5), dtype="bfloat16")
    narrow = np.asarray(peers.make_call(peer_or_skip(peer), task)())
    wide = np.asarray(peers.make_call(peer, dataclasses.replace(task, dtype="float32"))())
    assert narrow.dtype == np.float32
    np.testing.assert_allclose(narrow, wide, atol=0.02)
    assert np.abs(narrow - wide).max() > 1e-4


def test_pytorch_has_the_precision_that_jax_has(monkeypatch):
    """Recurrent layers by cuDNN use TF32 unless they are told not to, whatever the precision of products is."""
    torch = pytest.importorskip("torch")
    from experiments.benchmarks import peers_torch

    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", torch.backends.cudnn.allow_tf32)
    before, seen = torch.get_float32_matmul_precision(), {}
    for precision in ("default", "highest", "tensorfloat32", "bfloat16"):
        peers_torch.set_precision(precision)
        seen[precision] = (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32)
    torch.set_float32_matmul_precision(before)
    assert seen == {
        "default": ("highest", True),
        "highest": ("highest", False),
        "tensorfloat32": ("high", True),
        "bfloat16": ("medium", True),
    }


def test_layers_are_timed_with_the_asked_precision_and_dtype(tmp_path, monkeypatch, capsys):
    seen: list[str] = []
    config: Any = jax.config  # its attributes are made as JAX is imported, and no type checker sees them

    def measure(entries, **_):
        for entry in entries:
            entry.build()()
            seen.append(config.jax_default_matmul_precision)

    monkeypatch.setattr(record, "start", lambda devices: 0.0)
    monkeypatch.setattr(layers.harness, "measure", measure)
    monkeypatch.setattr(layers.charts, "layers", lambda result, path: [])
    out = tmp_path / "layers-cpu.json"
    options = [
        "--quick",
        "--cells",
        "lstm",
        "--forms",
        "plain",
        "--modes",
        "forward",
        "--peers",
        "flax",
        "--devices",
        "1",
    ]
    choice = ["--precision", "highest", "--dtype", "bfloat16", "--out", str(out)]
    assert command.main(["layers", *options, *choice]) == 0
    assert set(seen) == {"highest"} and config.jax_default_matmul_precision is None
    shown, result = capsys.readouterr().out, json.loads(out.read_text())
    assert "layers in bfloat16, float32 products at precision highest" in shown
    assert (result["dtype"], result["precision"]) == ("bfloat16", "highest")
    with pytest.raises(SystemExit):
        command.main(["layers", *options, "--precision", "tf32"])


@pytest.mark.parametrize(("peer", "mode"), [("rnnjax fused", "train"), ("rnnjax fused", "forward"), ("nnx", "train")])
def test_two_devices_compute_the_same(peer, mode):
    task = Task("lstm", "masked", mode, Shape(4, 6, 3, 5))
    one, two = (peers.make_call(peer, task, devices) for devices in (1, 2))
    for _ in range(2):
        np.testing.assert_allclose(np.asarray(two()).reshape(-1), np.asarray(one()).reshape(-1), rtol=1e-5, atol=1e-6)


# The page.

DEVICE = {"platform": "cpu", "kind": "A CPU", "count": 2, "hosts": 1, "cores": 2}
CIRCUMSTANCES = {
    "partial": False, "command": "python -m experiments.benchmarks PART", "commit": "0123456789abcdef",
    "versions": {"jax": "1.2.3", "torch": None}, "device": DEVICE, "malloc": "default",
}  # fmt: skip


def test_without_result_files_the_section_says_so(tmp_path):
    assert markdown.section(tmp_path) == "Not yet measured."


@pytest.mark.parametrize("text", ['{"part": "layers", "rows": [', "", "[]", '{"rows": []}'])
def test_a_damaged_result_is_named_with_what_to_do(text, tmp_path):
    path = tmp_path / "benchmarks" / "long-cpu.json"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    for read, folder in ((markdown.section, path.parent), (markdown.short, path.parent), (measured.table, tmp_path)):
        with pytest.raises(DataError, match=r"long-cpu\.json.* take it away, or write it again by python -m exper"):
            read(folder)


def test_the_section_is_made_of_the_files(tmp_path):
    rows = [row("rnnjax fused", [0.010, 0.012, 0.011]), row("flax", [0.010]), row("keras", [], error="not installed")]
    rows += [row("rnnjax fused", [0.004], mode="forward")]
    files = {
        "layers": {"choice": ["All of it."], "rows": rows, "goals": goals.evaluate(rows)},
        "memory": {"rows": [{"cell": "lstm", "peer": "flax", "B": 1, "T": 25, "D": 2, "H": 3, "bytes": 2**21}]},
        "compile": {"rows": [{"peer": "torch", "unroll": 1, "T": 25, "lower_and_compile_seconds": [],
                              "first_step_seconds": [0.5, 0.25, 1.0]}]},
        "training": {
            "rows": [
                {"task": "digits_rows", "peer": "rnnjax", "devices": 2, "seconds_to_accuracy": 12.5, "accuracy": 0.9501,
                 "examples_per_second": {"median": 1234.5, "q1": 1200.0, "q3": 1300.0}, "compile_seconds": 1.5},
                {"task": "digits_rows", "peer": "torch", "devices": 1, "seconds_to_accuracy": None, "accuracy": None,
                 "examples_per_second": None, "compile_seconds": None, "failed": "ImportError: torch"},
            ],
            "goals": [{"what": "digits: examples/s, rnnjax / torch", "goal": 1.0, "measured": 1.5, "reached": True}],
        },
    }  # fmt: skip
    for part, content in files.items():
        record.write({"part": part, **CIRCUMSTANCES, **content}, tmp_path / f"{part}-cpu.json")
    (tmp_path / "layers-cpu-lstm.png").touch()
    (tmp_path / "causes.json").write_text('{"LSTM, 1 device: time / flax\'s": "a slow product"}', encoding="utf-8")
    section = markdown.section(tmp_path, tmp_path / "README.md")
    for line in (
        "| B16 T2 D3 H4 | 11.0 (10.5-11.5) | 10.0 (10.0-10.0) |  |",
        "| LSTM, 1 device: time / flax's | ≤ 0.88 | 1.100 | 1 | missed | a slow product |",
        "LSTM, forward, milliseconds: median (quartiles)",
        "| B16 T2 D3 H4 | 4.00 (4.00-4.00) |",
        "Not measured: keras: not installed.",
        "![layers-cpu-lstm](layers-cpu-lstm.png)",
        "| lstm | flax | 2.0 |",
        "| torch | 1 | - / 0.50 |",
        "| digits_rows | rnnjax, 2 devices | 1,234 (1,200-1,300) | 12.5 | 95.01% | 1.5 |",
        "| digits: examples/s, rnnjax / torch | ≥ 1 | 1.500 |  | reached |",
        "commit 01234567",
    ):
        assert line in section, f"{line}\nis not in\n{section}"
    assert section.startswith("**layers** on A CPU, 2 cores")


def test_under_another_allocator_the_goals_stand_beside_the_others(tmp_path, monkeypatch):
    for name in ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES", "LD_PRELOAD"):
        monkeypatch.delenv(name, raising=False)
    usual = record.out_path("layers", None, whole=True)
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    tuned = record.out_path("layers", None, whole=True)
    assert tuned != usual and tuned.parent == usual.parent and not tuned.stem.startswith(usual.stem)
    rows = [row("rnnjax fused", [0.010]), row("flax", [0.010])]
    content = {"part": "layers", **CIRCUMSTANCES, "choice": ["All of it."], "rows": rows, "goals": goals.evaluate(rows)}
    record.write(content | {"malloc": environment.allocator()}, tmp_path / tuned.name)
    section = markdown.section(tmp_path, tmp_path / "README.md")
    assert (
        "malloc: `MALLOC_ARENA_MAX=1`; " in section and "| LSTM, 1 device: time / flax's | ≤ 0.88 | 1.000 |" in section
    )
    assert "All of it." not in section and "milliseconds" not in section


def test_committed_results_are_whole_and_of_a_commit():
    for path in record.COMMITTED.glob("*-*.json"):
        result = json.loads(path.read_text(encoding="utf-8"))
        assert not result.get("partial"), path
        assert "stranger" not in result and "--peer " not in result["command"], path
        assert result["commit"] and "+changes" not in result["commit"], f"{path} must come from a commit"
    for path in record.COMMITTED.glob("*.png"):
        assert path.stat().st_size < 150_000, path
