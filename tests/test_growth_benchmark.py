"""The benchmark of how a training step grows: fits, what devices answer, the model of many chips, and its page."""

import dataclasses
import json
import math
import subprocess
import sys
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from experiments.benchmarks import __main__ as command
from experiments.benchmarks import (
    growth,
    growth_cost,
    growth_devices,
    growth_fit,
    growth_plan,
    growth_show,
    growth_task,
    growth_worker,
    harness,
    markdown,
    record,
)
from rnnjax.ahead import machines, report
from tests.test_benchmarks import CIRCUMSTANCES

LOSSES = [2.5, 2.25, 2.0]


# Fits.


@pytest.mark.parametrize(("exponent", "scale"), [(1.0, 3.0), (2.0, 1e-6), (0.0, 5.0), (-0.5, 1.0)])
def test_a_fit_recovers_a_power_law(exponent, scale):
    x = [1, 2, 4, 16, 64]
    found = growth_fit.power(x, [scale * one**exponent for one in x])
    assert found == (pytest.approx(exponent, abs=1e-12), pytest.approx(0.0, abs=1e-7))


def test_the_standard_error_is_that_of_least_squares():
    x, y = np.array([1.0, 2.0, 4.0, 8.0, 16.0]), np.array([1.1, 1.8, 4.3, 8.2, 15.0])
    (slope, _), covariance = np.polyfit(np.log(x), np.log(y), 1, cov=True)
    found = growth_fit.power(x.tolist(), y.tolist())
    assert found == pytest.approx((slope, math.sqrt(covariance[0, 0])), rel=1e-9)
    assert growth_fit.power([1, 2], [3, 6]) == (pytest.approx(1.0), None)
    assert growth_fit.power([2, 2], [3, 6]) is growth_fit.power([], []) is None


def test_what_does_not_grow_is_the_constant_of_a_straight_line():
    assert growth_fit.fixed_cost([1, 2, 7], [5, 7, 17]) == pytest.approx(3.0)
    assert growth_fit.fixed_cost([4, 4], [5, 6]) is None


def sweep(seconds):
    """Rows of T = 1, 2, 4, 8, 16 with a giga-operation each and these times."""
    steps = [2**number for number in range(5)]
    return [
        {"sizes": {"T": T}, "operations": T * 10**9, "samples": [s] * 3} for T, s in zip(steps, seconds, strict=True)
    ]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        ([1.0, 2.02, 3.98, 8.1, 15.9], "as predicted, within 2 standard errors; 1 GFLOP/s at T = 1, 1.01 at 16"),
        ([10.0, 11, 13, 17, 25], "below the predicted one: 90% of the time at T = 1 does not grow with the operations"),
        ([9.0, 8, 7.5, 7, 6], "below the predicted one: the time does not grow with T; 0.111 GFLOP/s at T = 1"),
        ([1.0, 60, 1, 60, 9], "not told from the predicted one: the times are too scattered; 1 GFLOP/s at T = 1"),
        ([1.0, 3, 9, 27, 81], "above the predicted one: the rate falls; 1 GFLOP/s at T = 1, 0.198 at 16"),
    ],
)
def test_a_sweep_says_what_its_numbers_say_of_the_exponent(seconds, said):
    row = growth_fit.of_sweep("T", sweep(seconds))
    assert row["predicted"] == pytest.approx(1.0) and row["why"].startswith(said), row["why"]


def test_what_was_not_measured_is_left_out_of_a_fit():
    rows = sweep([1.0, 2, 4, 8, 16])
    for row in rows[1:]:
        row["samples"] = []
    row = growth_fit.of_sweep("T", rows)
    assert row["values"] == [1] and row["exponent"] is None and row["why"] == "too few of it were measured"


# Cost.


def test_one_size_is_varied_at_a_time_around_the_base():
    base = growth_cost.Sizes.parse(growth_cost.BASE)
    found = growth_cost.sweeps(base, growth_cost.FACTORS)
    assert list(found) == ["T", "B", "H", "D", "layers"]
    for name, sizes in found.items():
        assert base in sizes and len({getattr(one, name) for one in sizes}) == len(sizes) >= 4
        assert all(one == dataclasses.replace(base, **{name: getattr(one, name)}) for one in sizes)


def test_the_count_of_a_step_is_that_of_its_products():
    """Of a layer three times those of the forward pass, less the products that only the inputs' gradient needs."""
    B, T, D, H = 2, 5, 3, 4
    forward_input, forward_recurrent = (2 * B * T * size * 4 * H for size in (D, H))
    wanted = 2 * forward_input + 3 * forward_recurrent
    assert growth_cost.counted(growth_cost.Sizes(B, T, D, H)) == wanted
    assert growth_cost.counted(growth_cost.Sizes(B, T, D, H, 2)) == wanted + 6 * forward_recurrent


# Devices.


def test_losses_that_are_apart_lose_their_times():
    def row(losses):
        return growth_devices._row(growth_devices.Spread(1, 1)) | {
            "losses": losses, "share": 0.5, "seconds": {"step": [1.0], "exchange": [0.5]}
        }  # fmt: skip

    first, near, far, lost = rows = [row(LOSSES), row([2.5, 2.25, 2.00001]), row([2.5, 2.25, 2.1]), row([math.nan] * 3)]
    growth_devices.compare(rows)
    assert first["apart"] == 0 and near["apart"] == pytest.approx(5e-6) and near["seconds"]["step"] == [1.0]
    assert far["seconds"] == {"step": [], "exchange": []} and far["share"] is None
    assert far["error"] == "failed: its losses are 5.0e-02 apart from one device's" and "nan" in lost["error"]


def test_a_process_that_fails_is_a_result():
    done, failed = SimpleNamespace(returncode=0), SimpleNamespace(returncode=1)
    assert growth_devices.read([(done, 'a line\n{"a": 1}\n', "")]) == [{"a": 1}]
    assert growth_devices.read([(done, "{}", ""), (failed, "", "Traceback\nerror: so\n")]) == "error: so"
    assert growth_devices.read([(SimpleNamespace(returncode=-9), "", "")]) == "exit code -9"


def test_what_comes_when_depends_on_nothing_that_is_measured(monkeypatch):
    monkeypatch.setattr(harness, "PAUSE", 0.0)
    called = []
    calls = {name: lambda name=name: called.append(name) for name in ("step", "exchange")}
    found = growth_worker.in_turn(calls, 3, seed=0)
    assert {name: len(taken) for name, taken in found.items()} == {"step": 3, "exchange": 3}
    before, called[:] = list(called), []
    growth_worker.in_turn(calls, 3, seed=0)
    assert called == before and len(called) == 10
    assert growth_worker.in_turn({**calls, "exchange": None}, 1, seed=0)["exchange"] == []


def test_a_process_ends_with_its_parent(monkeypatch):
    parents, ended = iter([7, 7, 1]), []
    monkeypatch.setattr(growth_worker.os, "getppid", lambda: next(parents))
    monkeypatch.setattr(growth_worker.os, "_exit", ended.append)
    monkeypatch.setattr(growth_worker.time, "sleep", lambda seconds: None)
    growth_worker.end_with(7)
    assert ended == [1]


# The model of many chips.


def test_a_ring_of_four_sends_three_quarters_twice():
    """By hand: of 4 MB each of 4 chips sends 3 quarters to reduce and 3 to gather, 6 MB, at 50 GB/s each way."""
    assert growth_plan.ring_bytes(4_000_000, 4) == 6_000_000
    assert growth_plan.ring_seconds(4_000_000, 4) == pytest.approx(6e6 / 100e9)
    assert growth_plan.ring_seconds(4_000_000, 4, hop=1e-6) == pytest.approx(60e-6 + 6e-6)
    assert growth_plan.ring_seconds(4_000_000, 1, hop=1e-6) == 0.0
    assert growth_plan.efficiency(180e-6, 60e-6) == pytest.approx(0.75)


def test_the_plan_is_of_the_floors_and_the_rates(monkeypatch):
    step = {"compiled_for": "cpu", "operations": 7, "exchanged": 4_000_000, "arithmetic": 180e-6, "memory": 90e-6}
    monkeypatch.setattr(growth_plan, "_step", lambda rows, features: step)
    rows = growth_plan.planned((16, 64), (4,))
    assert [(row["rows"], row["chips"]) for row in rows[:5]] == [(16, 4), (16, 16), (16, 64), (16, 256), (64, 4)]
    assert rows[0]["efficiency"] == pytest.approx(0.75)
    assert rows[0]["efficiency_with_hops"] == pytest.approx(180 / 246)
    assert growth_plan.where(rows).startswith("Without libtpu here")
    assert growth_plan.where([{"compiled_for": growth_plan.MACHINE}]).startswith("The step is compiled for v5e:16x16")


def test_with_a_compiler_for_the_machine_its_plan_is_taken(monkeypatch):
    floor = {"arithmetic": 2e-6, "memory": 3e-6, "holds": "memory"}
    said = {"steps": {"train": {"floors": floor, "operations": 5, "exchanged": {"bytes": 6}}}}
    asked = []
    monkeypatch.setattr(machines, "obstacle", lambda platform: None)
    monkeypatch.setattr(report, "plan", lambda made, dataset, machine: asked.append((made, dataset, machine)) or said)
    step = growth_plan._step(1, (4,))
    assert step == {"compiled_for": "v5e:16x16", "operations": 5, "exchanged": 6, "arithmetic": 2e-6, "memory": 3e-6}
    ((made, dataset, machine),) = asked
    assert made.data.batch_size == len(dataset.train) == machine.count == 256


# The part.


@pytest.fixture
def pretended(monkeypatch):
    """Steps that compute nothing, and processes that are not started."""

    def entry(sizes):
        row = {"sizes": dataclasses.asdict(sizes), "operations": sizes.T * 10**6, "ran": "fused"}
        return harness.Entry(row, lambda: lambda: np.float32(1.0))

    def answers(asked):
        sizes = {"step": [0.02] * asked.samples, "exchange": [0.005] * asked.samples * (asked.devices > 1)}
        exchanged = {"bytes": 4096 * (asked.devices > 1), "operations": 1.0, "kinds": {"all-reduce": 4096}}
        found = [{"exchanged": exchanged, "losses": LOSSES, "ran": ["fused"], "seconds": sizes}]
        return found * asked.processes if asked.processes < 4 else "no answer in 600 s"

    step = {"compiled_for": "cpu", "operations": 7, "exchanged": 4_000_000, "arithmetic": 180e-6, "memory": 90e-6}
    monkeypatch.setattr(growth_cost, "entry", entry)
    monkeypatch.setattr(growth_devices, "_answers", answers)
    monkeypatch.setattr(growth_plan, "_step", lambda rows, features: step)
    monkeypatch.setattr(record, "start", lambda devices: 0.25)  # this process has its devices
    monkeypatch.setattr(jax, "clear_caches", lambda: None)
    monkeypatch.setattr(harness, "PAUSE", 0.0)


def written(tmp_path):
    return json.loads((tmp_path / "growth-cpu.json").read_text(encoding="utf-8"))


def test_all_three_are_measured_written_and_shown(pretended, tmp_path, capsys):
    assert command.main(["growth", "--quick", "--out", str(tmp_path / "growth-cpu.json")]) == 0
    result = written(tmp_path)
    assert len(result["rows"]) == 11 and all(len(row["samples"]) == 2 for row in result["rows"])
    assert [fit["size"] for fit in result["fits"]] == ["T", "B", "H", "D", "layers"]
    assert [row["together"] for row in result["devices"]] == [1, 2, 2] and result["devices"][1]["share"] == 0.25
    assert "Weak scaling on TPU v5e" in capsys.readouterr().out
    section = markdown.section(tmp_path, tmp_path / "README.md")
    for line in (
        "| 1 | 2 | 4,096 | all-reduce | 20.0 (20.0-20.0) | 5.00 (5.00-5.00) | 25% | 2.50000 2.25000 2.00000 | 0e+00 |",
        "| 16 | 4 | 4,000,000 | 180 | 90 | 60 | 75.0% | 73.2% |",
        "- Without libtpu here, the floors are those",
        "neither the times nor the shares are those of a network",
        "The losses of all numbers of devices are within 0e+00 of one device's.",
    ):
        assert line in section, f"{line}\nis not in\n{section}"


def test_a_whole_run_of_the_defaults_alone_is_for_the_committed_file(tmp_path, monkeypatch, pretended):
    monkeypatch.setattr(record, "COMMITTED", tmp_path / "committed")
    monkeypatch.setattr(record, "UNCOMMITTED", tmp_path / "others")
    assert growth.main([]) == 0
    (path,) = tmp_path.rglob("*.json")
    assert path.parent == tmp_path / "committed" and path.name.startswith("growth")
    result = json.loads(path.read_text(encoding="utf-8"))
    assert [(row["processes"], row["devices"]) for row in result["devices"]] == [
        (1, 1), (1, 2), (1, 4), (1, 8), (2, 1), (4, 1)
    ]  # fmt: skip
    assert [len(row["seconds"]["step"]) for row in result["devices"]] == [12] * 5 + [0]
    said = growth_show.evidence(result)
    assert said.endswith("Not measured: 4 processes of 1 device: failed: no answer in 600 s.")
    assert growth.main(["--samples", "3"]) == 0
    assert [path.parent.name for path in tmp_path.rglob("*.json")].count("others") == 1


def test_an_interruption_writes_what_was_measured(pretended, tmp_path, monkeypatch):
    def interrupted(asked):
        raise KeyboardInterrupt

    monkeypatch.setattr(growth_devices, "_answers", interrupted)
    assert command.main(["growth", "--quick", "--out", str(tmp_path / "growth-cpu.json")]) == 130
    result = written(tmp_path)
    assert result["partial"] is True and len(result["rows"]) == 11 and result["planned"] == []
    assert result["devices"][0]["seconds"]["step"] == []
    assert "Stopped before its end." in markdown.section(tmp_path, tmp_path / "README.md")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--base", "1,2,3,4"], "--base is B,T,D,H,layers"),
        (["--base", "1,2,3,4,0"], "the numbers of --base are positive"),
        (["--samples", "0"], "--samples must be positive"),
    ],
)
def test_wrong_options_are_usage_errors(options, message, capsys, pretended):
    assert command.main(["growth", *options]) == 2
    assert message in capsys.readouterr().err


def test_the_help_is_short(capsys):
    with pytest.raises(SystemExit, match="0"):
        command.main(["growth", "--help"])
    assert len(capsys.readouterr().out.splitlines()) <= 40


def test_without_the_file_the_page_has_no_such_section(tmp_path):
    record.write({"part": "other", **CIRCUMSTANCES}, tmp_path / "other-cpu.json")
    assert "**growth**" not in markdown.section(tmp_path, tmp_path / "README.md")


@pytest.mark.slow
def test_a_step_over_devices_has_the_losses_of_one_and_exchanges_its_gradients():
    def answer(devices):
        asked = growth_worker.Asked(devices, 1, 0, "", 16, (4,), 2, 1, 0)
        return growth_worker.answer(asked, jax.local_devices()[:devices])

    one, two = answer(1), answer(2)
    np.testing.assert_allclose(one["losses"], two["losses"], rtol=1e-5)
    params = sum(leaf.size for leaf in jax.tree.leaves(_params()))
    assert one["exchanged"]["bytes"] == 0 and one["seconds"]["exchange"] == []
    assert 4 * params <= two["exchanged"]["bytes"] <= 4 * params + 64


def _params():
    from rnnjax.training.runner import Runner

    return Runner(growth_task.experiment(16, (4,)), growth_task.dataset(16), jax.local_devices()[:1]).variables[
        "params"
    ]


@pytest.mark.slow
@pytest.mark.long
def test_quick_from_end_to_end(tmp_path):
    line = [sys.executable, "-m", "experiments.benchmarks", "growth", "--quick", "--out"]
    done = subprocess.run(
        [*line, str(tmp_path / "growth-cpu.json")],
        capture_output=True, text=True, timeout=500, cwd=record.COMMITTED.parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = written(tmp_path)
    assert all(row["error"] is None for row in result["rows"] + result["devices"])
    assert all(row["apart"] <= growth_devices.FARTHEST for row in result["devices"])
    assert len({row["exchanged"]["bytes"] for row in result["devices"][1:]}) == 1
