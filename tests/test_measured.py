"""What was measured on an accelerator decides what "auto" asks first there, and nothing else does."""

import json

import jax
import jax.numpy as jnp
import pytest

import rnnjax
from experiments import measured as results
from experiments import report
from rnnjax import digests
from rnnjax.errors import DataError
from rnnjax.layers import measured
from rnnjax.layers.cells import GRUCell, LayerNormLSTMCell, LSTMCell, MinGRUCell
from rnnjax.layers.implementations import IMPLEMENTATIONS
from rnnjax.layers.recurrence import RNN


def taken(cell, **options):
    """What "auto" takes for a cell."""
    with rnnjax.reporting() as ran:
        jax.eval_shape(RNN(cell, **options).init, jax.random.key(0), jnp.zeros((2, 3, 4)))
    return ran[""]


def row(implementation, seconds, shape=(8, 5, 3, 4), cell="lstm", **changes):
    made = {"cell": cell, "shape": list(shape), "implementation": implementation, "samples": seconds}
    return made | {"dtype": "float32", "precision": "default"} | changes


def written(path, rows, platform="gpu", **changes):
    path.parent.mkdir(parents=True, exist_ok=True)
    result = digests.sealed({"dry": False, "complete": True, "device": {"platform": platform}, "rows": rows} | changes)
    path.write_text(json.dumps(result))


def test_the_committed_table_is_one_and_is_what_the_results_make():
    text = results.TABLE.read_text(encoding="utf-8")
    table = measured.checked(json.loads(text))
    assert text == results.text(), "run python -m experiments.report"
    names = {one.name for one in IMPLEMENTATIONS}
    assert all(set(row["order"]) <= names for cells in table.values() for row in cells.values())


@pytest.fixture
def scan_first(monkeypatch):
    monkeypatch.setattr(measured, "table", lambda: {"cpu": {"lstm": {"order": ["cudnn", "scan", "fused"]}}})


@pytest.mark.usefixtures("scan_first")
def test_auto_takes_what_was_fastest_and_can_run():
    assert taken(LSTMCell(4)) == "scan", "cuDNN comes first and cannot run on a CPU"


def test_what_was_not_measured_is_as_before(monkeypatch):
    class Own(LSTMCell):
        """Which says by itself that it can be fused."""

        def fused_obstacle(self):
            return None

    cells = (GRUCell(4), LayerNormLSTMCell(4), Own(4), MinGRUCell(4))
    before = [taken(cell) for cell in cells]
    assert before[0] == before[2] == "fused"
    monkeypatch.setattr(measured, "table", lambda: {"cpu": {"lstm": {"order": ["scan"]}}, "gpu": {}})
    assert [taken(cell) for cell in cells] == before


@pytest.mark.usefixtures("scan_first")
def test_what_is_asked_for_by_name_runs():
    assert taken(LSTMCell(4), implementation="fused") == "fused"


@pytest.mark.parametrize("text", ["", "[]", '{"gpu": 3}', '{"gpu": {"lstm": {"order": "scan"}}}', "\x00"])
def test_a_file_that_is_no_table_counts_as_none(monkeypatch, tmp_path, text):
    (tmp_path / "measured.json").write_text(text)
    monkeypatch.setattr(measured.resources, "files", lambda package: tmp_path)
    measured.table.cache_clear()
    assert measured.table() == {}
    measured.table.cache_clear()


def test_an_order_is_that_of_the_geometric_means_over_all_shapes_and_devices(tmp_path):
    wide = (8, 5, 3, 9)
    rows = [row("fused", [1.0, 9.0, 2.0]), row("scan", [1.0]), row("cudnn", [0.1])]
    written(tmp_path / "a" / "layers.json", [*rows, row("fused", [2.0], wide), row("scan", [5.0], wide)])
    written(tmp_path / "b" / "layers.json", [row("fused", [3.0]), row("scan", [1.0]), row("fused", [1.0], cell="gru")])
    found = results.table(tmp_path)["gpu"]
    # fused: (2 * 2 * 3) ** (1 / 3) = 2.29; scan: (1 * 5 * 1) ** (1 / 3) = 1.71; cuDNN was not measured at all shapes.
    assert found["lstm"] == {"order": ["scan", "fused"], "of": ["a/layers.json", "b/layers.json"]}
    assert found["gru"] == {"order": ["fused"], "of": ["b/layers.json"]}
    assert measured.checked(json.loads(results.text(tmp_path)))


def test_other_precisions_other_libraries_and_failures_make_no_order(tmp_path):
    rows = [row("fused", [1.0], dtype="bfloat16"), row("fused", [1.0], precision="highest")]
    rows += [row(None, [1.0]), row("fused", []), row("scan", [1.0], error="failed: out of memory")]
    written(tmp_path / "a" / "layers.json", rows)
    assert results.table(tmp_path) == {}
    assert results.text(tmp_path) == "{}\n"


def test_a_part_that_was_broken_off_makes_no_order(tmp_path):
    """What had no turn before it was stopped is not slower than what had one."""
    written(tmp_path / "a" / "layers.json", [row("scan", [1.0]), row("fused", [])], complete=False)
    assert results.table(tmp_path) == {}
    written(tmp_path / "a" / "more.json", [row("fused", [1.0]), row("scan", [2.0])])
    assert results.table(tmp_path)["gpu"]["lstm"] == {"order": ["fused", "scan"], "of": ["a/more.json"]}


@pytest.mark.parametrize("distance", [0.1, float("nan")])
def test_what_computes_something_else_is_not_fast(tmp_path, distance):
    wrong = row("cudnn", [0.1], apart={"from": "rnnjax scan", "first_loss": 0.0, "kernel_gradient_norm": distance})
    right = row("fused", [1.0], apart={"from": "rnnjax scan", "first_loss": 0.0, "kernel_gradient_norm": 0.01})
    written(tmp_path / "a" / "layers.json", [wrong, right])
    assert results.table(tmp_path)["gpu"]["lstm"]["order"] == ["fused"]


def test_a_rehearsal_and_a_changed_file_are_no_results(tmp_path):
    path = tmp_path / "cpu" / "layers.json"
    written(path, [row("fused", [1.0])], dry=True)
    with pytest.raises(DataError, match="of a rehearsal"):
        results.table(tmp_path)
    written(path, [row("fused", [1.0])])
    path.write_text(path.read_text().replace("1.0", "0.5"))
    with pytest.raises(DataError, match="not as it was written"):
        results.table(tmp_path)
    path.write_text("{")
    with pytest.raises(DataError, match="not a readable result"):
        results.table(tmp_path)


def test_the_report_checks_the_table(monkeypatch, tmp_path, capsys):
    written(tmp_path / "a" / "layers.json", [row("fused", [1.0])])
    text = results.text(tmp_path)
    monkeypatch.setattr(results, "text", lambda: text)
    assert report.main(check=True) == 1
    assert "rnnjax/layers/measured.json is not what experiments/results make" in capsys.readouterr().err
    assert results.TABLE.read_text(encoding="utf-8") != text
