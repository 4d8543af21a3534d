"""The benchmark of linear cells over many steps: what is compared, timed, refused and written, and its tables."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.benchmarks import __main__ as command
from experiments.benchmarks import harness, long, long_memory, long_show, markdown, record
from experiments.benchmarks.task import Shape
from tests.test_benchmarks import CIRCUMSTANCES

TINY = Shape(2, 7, 3, 4)


@pytest.fixture
def pretended(monkeypatch):
    """Programs that compute nothing, and children that train nothing."""

    def compiled_layer(cell, shape, implementation):
        loss, needed, ran = answers.get(implementation, (2.0, 2**20, implementation))
        gradient = {"cell": {"bias": np.array([1.0, loss])}}
        return long_memory.Compiled(lambda *_: (np.float32(loss), gradient), dict, ran, 2**10, needed)

    answers = {}
    monkeypatch.setattr(long_memory, "compiled_layer", compiled_layer)
    monkeypatch.setattr(long_memory, "in_a_child", lambda *asked: trained(*asked[:3]))
    monkeypatch.setattr(record, "start", lambda devices: 0.25)  # this process has its devices
    monkeypatch.setattr(harness, "PAUSE", 0.0)
    return answers


def trained(cell, peer, reads, peak=512.0, error=None):
    row = long_memory._row(cell, peer, reads, Shape(16, 65536, 1, 256))
    if peer == "flax":
        peak, error = None, "not run: as compiled it needs 12.0 GiB, more than 3.0"
    return row | {"temporaries": 2**25, "ran": None if peer == "flax" else "fused", "peak_mib": peak, "error": error}


def run(tmp_path, *more):
    path = tmp_path / "long-cpu.json"
    assert command.main(["long", "--quick", *more, "--out", str(path)]) == 0
    result = json.loads(path.read_text(encoding="utf-8"))
    return result, {(row["cell"], row["implementation"]): row for row in result["rows"]}


def test_the_three_ways_are_timed_against_one_another(pretended, tmp_path, capsys):
    result, rows = run(tmp_path)
    assert set(rows) == {(cell, name) for cell in ("lru", "min_gru") for name in ("scan", "associative", "chunked")}
    assert all(len(row["samples"]) == 2 and row["ran"] == row["implementation"] for row in rows.values())
    assert all(row["apart"] == {"from": "scan", "loss": 0.0, "gradient": 0.0} for row in rows.values())
    assert [goal["reached"] for goal in result["goals"]] == [True] * 4 and result["partial"] is False
    assert "A training step with Adam" in capsys.readouterr().out
    section = markdown.section(tmp_path, tmp_path / "README.md")
    assert "Seen to run: associative by associative; chunked by chunked; scan by scan." in section
    assert "| LSTM | flax | carry |  | B16 T65536 D1 H256 | 32.0 | not run: as compiled it needs 12.0 GiB" in section
    assert "| LSTM by its carry, T = 65536: GiB of a training step | ≤ 2 | 0.500 | 1 | reached |" in section


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((2.1, 1, "chunked"), "failed: ValueError: it computes something else than scan: loss 5.0e-02"),
        ((float("nan"), 1, "chunked"), "failed: ValueError: it computes something else than scan: loss nan"),
        ((2.0, 2**33, "chunked"), "failed: MemoryError: it needs 8.0 GiB, more than --memory"),
        ((2.0, 1, "scan"), "failed: ValueError: scan ran in its place"),
    ],
)
def test_what_is_wrong_too_large_or_another_is_not_timed(pretended, tmp_path, answer, error):
    pretended["chunked"] = answer
    _, rows = run(tmp_path, "--cells", "lru")
    assert rows["lru", "chunked"]["error"].startswith(error) and rows["lru", "chunked"]["samples"] == []
    assert len(rows["lru", "associative"]["samples"]) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--shapes", "1,2,3"], "a shape is B,T,D,H"),
        (["--train", "1,2,3"], "a shape is B,T,D,H"),
        (["--samples", "0"], "must be positive"),
        (["--memory", "0"], "must be positive"),
        (["--memory", "nan"], "must be positive"),
    ],
)
def test_wrong_options_are_usage_errors(options, message, capsys, pretended):
    assert command.main(["long", *options]) == 2
    assert message in capsys.readouterr().err


def test_a_whole_run_of_the_defaults_alone_is_for_the_committed_file(tmp_path, monkeypatch, pretended):
    monkeypatch.setattr(record, "COMMITTED", tmp_path / "committed")
    monkeypatch.setattr(record, "UNCOMMITTED", tmp_path / "others")
    monkeypatch.setattr(long, "_tasks", lambda options: [("lru", TINY)])
    assert long.main([]) == 0
    (path,) = tmp_path.rglob("*.json")
    assert path.parent == tmp_path / "committed" and path.name.startswith("long")
    assert long.main(["--samples", "3"]) == 0
    assert [path.parent.name for path in tmp_path.rglob("*.json")].count("others") == 1


def test_an_interruption_writes_what_was_measured(pretended, tmp_path, monkeypatch):
    def interrupted(entries, **_):
        entries[0].samples.append(0.5)
        raise KeyboardInterrupt

    monkeypatch.setattr(harness, "measure", interrupted)
    assert command.main(["long", "--quick", "--out", str(tmp_path / "long-cpu.json")]) == 130
    result = json.loads((tmp_path / "long-cpu.json").read_text(encoding="utf-8"))
    assert result["partial"] is True and result["rows"][0]["samples"] == [0.5]
    assert "Stopped before its end." in markdown.section(tmp_path, tmp_path / "README.md")


def test_the_default_shapes_are_all_of_the_grid_and_the_dearest_come_last():
    tasks = long._tasks(long.Options())
    assert len(tasks) == len(set(tasks)) == 60
    assert tasks[-1][1] == Shape(128, 16384, 256, 256)


def test_a_layer_is_compiled_with_its_gradient_and_says_what_ran():
    made = long_memory.compiled_layer("min_gru", TINY, "chunked")
    loss, gradient = made.step(made.params(), long_memory.inputs(TINY))
    assert made.ran == "chunked" and loss > 0 and np.abs(gradient["cell"]["input_kernel"]).max() > 0
    assert made.needed > made.temporaries > 0


@pytest.mark.parametrize(("cell", "peer", "reads"), [("lstm", "flax", "carry"), ("lru", "rnnjax sqrt", "outputs")])
def test_a_training_step_is_run_only_where_it_fits(cell, peer, reads):
    row = long_memory.measure(cell, peer, reads, TINY, 0.0)
    assert row["error"].startswith("not run: as compiled it needs 0.0 GiB, more than 0.0") and row["loss"] is None
    row = long_memory.measure(cell, peer, reads, TINY, 1.0)
    assert row["error"] is None and row["loss"] > 0 and row["peak_mib"] >= row["before_mib"] > 0


def test_a_child_that_is_killed_is_marked_so(monkeypatch):
    done = SimpleNamespace(returncode=-9, stdout="", stderr="")
    monkeypatch.setattr(long_memory.subprocess, "run", lambda command, **_: done)
    row = long_memory.in_a_child("lstm", "flax", "carry", TINY, 1.0)
    assert row["error"] == "failed: exit code -9" and row["peak_mib"] is None
    done = SimpleNamespace(returncode=0, stdout='a warning\n{"loss": 1.0}\n', stderr="")
    monkeypatch.setattr(long_memory.subprocess, "run", lambda command, **_: done)
    assert long_memory.in_a_child("lstm", "flax", "carry", TINY, 1.0) == {"loss": 1.0}


@pytest.mark.slow
def test_quick_from_end_to_end(tmp_path):
    done = long_memory.subprocess.run(
        [sys.executable, "-m", "experiments.benchmarks", "long", "--quick", "--out", str(tmp_path / "long-cpu.json")],
        capture_output=True, text=True, timeout=500, cwd=record.COMMITTED.parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "long-cpu.json").read_text(encoding="utf-8"))
    assert all(row["error"] is None for row in result["rows"] + result["training"])


# The page.


def row(implementation, samples, T, B=1, cell="lru", H=4):
    made = {"cell": cell, "shape": [B, T, H, H], "implementation": implementation, "ran": implementation}
    return made | {"temporaries": 2**21, "needed": 2**22, "samples": samples, "error": None}


def test_one_crosses_over_where_it_is_ahead_from_there_on():
    def at(T, chunked, loop=(2.0, 2.1)):
        return [row("chunked", list(chunked), T), row("scan", list(loop), T)]

    behind, ahead, over = (2.5, 2.6), (1.0, 1.1), (1.0, 2.5)
    assert long_show.crossover(at(64, behind) + at(256, ahead) + at(1024, ahead), "chunked") == 256
    assert long_show.crossover(at(64, ahead) + at(256, behind) + at(1024, ahead), "chunked") == 1024
    assert long_show.crossover(at(64, ahead) + at(256, over), "chunked") is None, "its quartiles are not apart"
    assert long_show.crossover(at(64, ahead) + at(256, ()), "chunked") == 64, "what was not measured is passed over"
    assert long_show.crossover([], "chunked") is None


def test_the_section_is_made_of_the_file(tmp_path):
    rows = [row("scan", [0.002, 0.003, 0.004], 64), row("associative", [0.005], 64), row("chunked", [0.001], 64)]
    rows += [row("scan", [], 256, B=2) | {"error": "failed: MemoryError: it needs 8.0 GiB, more than --memory"}]
    content = {"how": "So.", "samples": 3, "goals": [], "rows": rows, "training": []}
    record.write({"part": "long", **CIRCUMSTANCES, **content}, tmp_path / "long-cpu.json")
    section = markdown.section(tmp_path, tmp_path / "README.md")
    for line in (
        "| LRU | 4 | chunked | 64 |  |",
        "| LRU | 4 | associative | never |  |",
        "| 1 | 64 | 3.00 (2.50-3.50) | 5.00 (5.00-5.00) | 1.00 (1.00-1.00) | 2.0 | 2.0 | 2.0 |",
        "Not measured: LRU B2 T256 D4 H4 scan: failed: MemoryError",
    ):
        assert line in section, f"{line}\nis not in\n{section}"
