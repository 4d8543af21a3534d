"""The benchmark of ragged batches: what is compared, timed, refused and written, and the tables made of it."""

import dataclasses
import json

import numpy as np
import pytest

from experiments.benchmarks import __main__ as command
from experiments.benchmarks import harness, markdown, ragged, ragged_show, record
from experiments.benchmarks.ragged_task import KINDS, Peer, Ragged, distance
from experiments.benchmarks.task import Shape
from tests.test_benchmarks import CIRCUMSTANCES

TINY = Shape(5, 9, 3, 4)


# Comparing and timing.


def test_rows_that_do_not_divide_over_the_devices_are_refused():
    entry = ragged._entry(Ragged("episodes", "lstm", TINY), "rnnjax resets", 2, [])
    assert entry.build is None and entry.error == "5 rows do not divide over 2 devices"


def pretended(peer, loss=1.0, gradient=2.0):
    if peer == "rnnjax.pack":
        return Peer(lambda: np.zeros((2, 3)), 6, lambda: None, None)
    return Peer(lambda: np.float32(loss), 6, lambda: "fused", lambda: {"bias": np.array([1.0, gradient])})


@pytest.fixture
def quickly(monkeypatch):
    """Peers that compute nothing; PyTorch is not there."""

    def make(task, peer, devices):
        if peer == "torch packed":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
        if peer == "torch padded":
            raise ValueError("no such kernel\nand a long story")
        return pretended(peer, **answers.get(peer, {}))

    answers: dict[str, dict[str, float]] = {}
    monkeypatch.setattr(ragged, "make", make)
    monkeypatch.setattr(record, "start", lambda devices: 0.25)  # this process has its devices
    monkeypatch.setattr(harness, "PAUSE", 0.0)
    return answers


OPTIONS = ["ragged", "--kinds", "uniform", "--shapes", "4,6,3,5", "--samples", "2"]


def run(tmp_path, *more):
    code = command.main([*OPTIONS, *more, "--out", str(tmp_path / "ragged-cpu.json")])
    result = json.loads((tmp_path / "ragged-cpu.json").read_text(encoding="utf-8"))
    return code, result, {(row["peer"], row["devices"]): row for row in result["rows"]}


@pytest.mark.parametrize("wrong", [{"loss": 1.0001}, {"gradient": 2.01}, {"loss": float("nan")}])
def test_what_computes_something_else_is_not_timed(quickly, wrong, tmp_path, capsys):
    quickly["rnnjax packed"] = wrong
    code, _, rows = run(tmp_path)
    assert code == 0
    error = "failed: ValueError: it computes something else than flax padded: loss"
    assert rows["rnnjax packed", 1]["error"].startswith(error)
    assert rows["rnnjax packed", 1]["samples"] == []
    assert len(rows["rnnjax padded", 1]["samples"]) == len(rows["rnnjax.pack", 1]["samples"]) == 2
    assert rows["rnnjax padded", 1]["apart"] == {"from": "flax padded", "loss": 0.0, "gradient": 0.0}
    assert "computes something else" in " ".join(capsys.readouterr().out.split())


def test_the_distance_is_that_of_the_farthest_parameter():
    ours, theirs = ({"a": np.array([3.0, far]), "b": np.ones(2)} for far in (4.5, 4.0))
    assert distance(ours, theirs) == pytest.approx(0.1)
    assert distance(ours, {"a": theirs["a"]}) == distance(ours, theirs | {"b": np.ones(3)}) == float("inf")
    assert np.isnan(distance(ours | {"b": np.full(2, np.nan)}, theirs))


def test_a_gradient_that_is_zero_is_not_apart_from_itself():
    """As that of a recurrent kernel is over sequences of one step, from zeros."""
    ours = {"a": np.array([3.0, 4.0]), "b": np.zeros(2)}
    assert distance(ours, ours) == 0.0
    assert distance(ours | {"b": np.full(2, 1e-9)}, ours) == float("inf")
    assert not distance(ours | {"b": np.full(2, np.nan)}, ours) < float("inf")


def test_a_peer_that_is_missing_or_fails_is_shown_so_and_the_others_go_on(quickly, tmp_path):
    _, result, rows = run(tmp_path)
    assert rows["torch packed", 1]["error"] == "not installed (torch)"
    assert rows["torch padded", 1]["error"] == "failed: ValueError: no such kernel"
    assert rows["flax padded", 1]["samples"] and rows["flax padded", 2]["samples"]
    assert result["load_at_start"] == 0.25 and result["partial"] is False
    section = markdown.section(tmp_path, tmp_path / "README.md")
    assert "Not measured: torch packed: not installed (torch); torch padded: failed: ValueError" in section


def test_an_interruption_writes_what_was_measured(quickly, tmp_path, monkeypatch):
    def interrupted(entries, **_):
        entries[0].samples.append(0.5)
        raise KeyboardInterrupt

    monkeypatch.setattr(harness, "measure", interrupted)
    code, result, rows = run(tmp_path)
    assert code == 130 and result["partial"] is True
    assert rows["flax padded", 1]["samples"] == [0.5]
    assert "Stopped before its end." in markdown.section(tmp_path, tmp_path / "README.md")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--shapes", "1,2,3"], "a shape is B,T,D,H"),
        (["--shapes", "100000,100000,100,100"], "GiB are free"),
        (["--shapes", "5000,1000,100,100", "--kinds", "episodes"], "GiB are free"),
        (["--samples", "0"], "must be positive"),
    ],
)
def test_wrong_options_are_usage_errors(options, message, capsys, monkeypatch):
    monkeypatch.setattr(record, "start", lambda devices: 0.0)
    assert command.main(["ragged", *options]) == 2
    assert message in capsys.readouterr().err


def test_a_whole_run_of_the_defaults_alone_is_for_the_committed_file(tmp_path, monkeypatch, quickly):
    monkeypatch.setattr(record, "COMMITTED", tmp_path / "committed")
    monkeypatch.setattr(record, "UNCOMMITTED", tmp_path / "others")
    monkeypatch.setattr(ragged, "_tasks", lambda options: [Ragged("uniform", "lstm", TINY)])
    assert ragged.main([]) == 0
    (path,) = tmp_path.rglob("*.json")
    assert path == tmp_path / "committed" / "ragged-cpu.json"
    assert ragged.main(["--samples", "3"]) == 0
    assert (tmp_path / "others" / "ragged-cpu.json").exists()


def test_every_kind_has_its_own_shapes_and_the_dearest_comes_last():
    tasks = ragged._tasks(ragged.Options(cells=("lstm", "gru")))
    assert len(tasks) == len(set(tasks)) == 12
    assert {(task.kind, task.shape.T) for task in tasks} == {("lognormal", 400), ("uniform", 400), ("episodes", 128)}
    assert {task.shape for task in tasks[-4:]} == {Shape(64, 400, 128, 128)}
    assert all(peers[0] == ragged.REFERENCE for peers in ragged.PEERS.values())


# The page.


def row(peer, samples, kind="lognormal", shape=(4, 10, 3, 5), devices=1, **more):
    what = {"kind": kind, "cell": "lstm", "shape": list(shape), "sequences": 4, "steps": 20, "longest": 10}
    what |= {"peer": peer, "devices": devices, "implementation": None, "computed_steps": 40}
    return what | {"samples": samples, "first_call_seconds": 0.5, "first_loss": 2.3, "error": None} | more


def test_the_section_is_made_of_the_file(tmp_path):
    apart = {"from": "flax padded", "loss": 2e-7, "gradient": 3e-5}
    other = {"shape": (8, 10, 3, 5)}
    rows = [
        row("rnnjax packed", [0.002], implementation="fused", apart=apart),
        row("rnnjax, packing included", [0.004, 0.005, 0.008], implementation="fused"),
        row("rnnjax, packing included", [0.001], **other),
        row("rnnjax.pack", [0.0001]),
        row("flax padded", [0.010]),
        row("flax padded", [0.008], **other),
        row("torch padded", [0.0025], implementation="oneDNN"),
        row("rnnjax, packing included", [0.002], devices=2),
        row("flax padded", [0.008], devices=2),
        row("rnnjax resets", [0.001], kind="episodes"),
        row("torch packed", [], kind="episodes", error="not installed (torch)"),
    ]
    record.write({"part": "ragged", **CIRCUMSTANCES, "how": "So it is.", "rows": rows}, tmp_path / "ragged-cpu.json")
    section = markdown.section(tmp_path, tmp_path / "README.md")
    for line in (
        "So it is.",
        "| shape | sequences | rnnjax packed | rnnjax, packing included | rnnjax.pack, ms | flax padded "
        "| torch padded | rnnjax, packing included, 2 devices | flax padded, 2 devices |",
        "| B4 T10 D3 H5 | 4, 50% real | 2,000 (2,000-2,000) | 800 (615-889) | 0.10 (0.10-0.10) | 400 (400-400) "
        "| 1,600 (1,600-1,600) | 2,000 (2,000-2,000) | 500 (500-500) |",
        # Of 5/10 and 1/8, and with PyTorch at the one shape where it is; on two devices with Flax on two.
        "| log-normal lengths, as IMDB's: rnnjax, packing included | 1 |  | 0.25 |  | 2.00 |",
        "| log-normal lengths, as IMDB's: rnnjax, packing included | 2 |  | 0.25 |  | 0.80 |",
        "Seen to run: rnnjax packed by fused; rnnjax, packing included by fused; torch padded by oneDNN.",
        "of the loss 2e-07, of a parameter's gradient 3e-05.",
        "Not measured: torch packed: not installed (torch).",
    ):
        assert line in section, f"{line}\nis not in\n{section}"


def test_rates_are_of_sequences_and_their_quartiles_stand_in_order():
    assert ragged_show.rate(row("flax padded", [0.01, 0.02, 0.04])) == "200 (133-267)"
    assert ragged_show.rate(row("flax padded", [])) == ""


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_peer_is_timed_from_end_to_end(kind, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(record, "start", lambda devices: 0.0)
    out = tmp_path / "ragged-cpu.json"
    assert command.main(["ragged", "--kinds", kind, "--shapes", "6,12,3,4", "--samples", "2", "--out", str(out)]) == 0
    rows = json.loads(out.read_text(encoding="utf-8"))["rows"]
    task = Ragged(kind, "lstm", Shape(6, 12, 3, 4))
    assert [(row["peer"], row["devices"]) for row in rows] == ragged._members(task)
    for row in rows:
        assert row["error"] is None and len(row["samples"]) == 2 and row["first_call_seconds"] > 0
        assert row["peer"] == "rnnjax.pack" or row["apart"]["gradient"] < 1e-5
    assert dataclasses.astuple(task.shape) == tuple(rows[0]["shape"])
