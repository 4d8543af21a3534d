"""What was measured on a platform decides what "auto" asks first there, and nothing else does."""

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
from rnnjax.layers.cells import GRUCell, LayerNormLSTMCell, LRUCell, LSTMCell, MinGRUCell
from rnnjax.layers.implementations import IMPLEMENTATIONS
from rnnjax.layers.recurrence import RNN

A, B = "accelerator/a", "accelerator/b"
"""Folders of two devices."""


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
    rows = [row for cells in table.values() for row in cells.values()]
    for row in rows:  # of accelerators by an order, of long sequences by what was ahead at a size
        sizes = {size["ahead"] for size in row.get("sizes", [])} - {None}
        assert {*row.get("order", []), *sizes} <= names and (sizes or row["order"])


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


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"gpu": 3}',
        '{"gpu": {"lstm": {"order": "scan"}}}',
        '{"gpu": {"lru": {"sizes": [{"steps": 3}]}}}',
        "\x00",
    ],
)
def test_a_file_that_is_no_table_counts_as_none(monkeypatch, tmp_path, text):
    (tmp_path / "measured.json").write_text(text)
    monkeypatch.setattr(measured.resources, "files", lambda package: tmp_path)
    measured.table.cache_clear()
    assert measured.table() == {}
    measured.table.cache_clear()


def test_an_order_is_that_of_the_geometric_means_over_all_shapes_and_devices(tmp_path):
    wide = (8, 5, 3, 9)
    rows = [row("fused", [1.0, 9.0, 2.0]), row("scan", [1.0]), row("cudnn", [0.1])]
    written(tmp_path / A / "layers.json", [*rows, row("fused", [2.0], wide), row("scan", [5.0], wide)])
    written(
        tmp_path / B / "layers.json",
        [row("fused", [3.0]), row("scan", [1.0]), row("fused", [1.0], cell="gru")],
    )
    found = results.table(tmp_path)["gpu"]
    # fused: (2 * 2 * 3) ** (1 / 3) = 2.29; scan: (1 * 5 * 1) ** (1 / 3) = 1.71; cuDNN was not measured at all shapes.
    assert found["lstm"] == {
        "order": ["scan", "fused"],
        "of": [f"{A}/layers.json", f"{B}/layers.json"],
    }
    assert found["gru"] == {"order": ["fused"], "of": [f"{B}/layers.json"]}
    assert measured.checked(json.loads(results.text(tmp_path)))


def test_other_precisions_other_libraries_and_failures_make_no_order(tmp_path):
    rows = [row("fused", [1.0], dtype="bfloat16"), row("fused", [1.0], precision="highest")]
    rows += [row(None, [1.0]), row("fused", []), row("scan", [1.0], error="failed: out of memory")]
    written(tmp_path / A / "layers.json", rows)
    assert results.table(tmp_path) == {}
    assert results.text(tmp_path) == "{}\n"


def test_a_part_that_was_broken_off_makes_no_order(tmp_path):
    """What had no turn before it was stopped is not slower than what had one."""
    written(tmp_path / A / "layers.json", [row("scan", [1.0]), row("fused", [])], complete=False)
    assert results.table(tmp_path) == {}
    written(tmp_path / A / "more.json", [row("fused", [1.0]), row("scan", [2.0])])
    assert results.table(tmp_path)["gpu"]["lstm"] == {"order": ["fused", "scan"], "of": [f"{A}/more.json"]}


@pytest.mark.parametrize("distance", [0.1, float("nan")])
def test_what_computes_something_else_is_not_fast(tmp_path, distance):
    wrong = row("cudnn", [0.1], apart={"from": "rnnjax scan", "first_loss": 0.0, "kernel_gradient_norm": distance})
    right = row("fused", [1.0], apart={"from": "rnnjax scan", "first_loss": 0.0, "kernel_gradient_norm": 0.01})
    written(tmp_path / A / "layers.json", [wrong, right])
    assert results.table(tmp_path)["gpu"]["lstm"]["order"] == ["fused"]


def test_a_rehearsal_and_a_changed_file_are_no_results(tmp_path):
    path = tmp_path / "accelerator" / "cpu" / "layers.json"
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


# By numbers of steps and batch sizes.

SIZES = [{"steps": T, "batch": B, "ahead": "chunked" if T >= 256 else None} for T in (64, 256, 1024) for B in (1, 16)]


@pytest.mark.parametrize(
    ("steps", "batch", "name"),
    [
        (256, (1,), "chunked"),
        (300, (4, 2), "chunked"),
        (1024, (), "chunked"),
        (100, (1,), "scan"),  # between a size where it was ahead and one where nothing was
        (64, (16,), "scan"),
        (2000, (1,), "scan"),  # beyond what was measured
        (256, (17,), "scan"),
        (256, (0,), "scan"),
        (0, (1,), "scan"),
    ],
)
def test_auto_takes_what_was_ahead_at_all_measured_sizes_around(monkeypatch, steps, batch, name):
    monkeypatch.setattr(measured, "table", lambda: {"cpu": {"lru": {"sizes": SIZES, "order": ["scan"]}}})
    with rnnjax.reporting() as ran:
        jax.eval_shape(RNN(LRUCell(4)).init, jax.random.key(0), jnp.zeros((*batch, steps, 3)))
    assert ran[""] == name


@pytest.mark.parametrize(
    ("steps", "remat", "name"),
    [
        (1024, None, "chunked"),
        (1024, 64, "scan"),  # by chunks of 64 steps, at which nothing was ahead
        (1024, "sqrt", "scan"),
        (1024, 300, "chunked"),
        (2**16, "sqrt", "chunked"),  # 256 chunks of 256 steps
        (300, 400, "chunked"),
        (0, "sqrt", "scan"),
    ],
)
def test_with_remat_the_steps_of_a_chunk_decide(monkeypatch, steps, remat, name):
    monkeypatch.setattr(measured, "table", lambda: {"cpu": {"lru": {"sizes": SIZES}}})
    with rnnjax.reporting() as ran:
        jax.eval_shape(RNN(LRUCell(4), remat=remat).init, jax.random.key(0), jnp.zeros((1, steps, 3)))
    assert ran[""] == name


def test_what_is_traced_for_any_size_or_cannot_run_is_not_taken(monkeypatch):
    monkeypatch.setattr(measured, "table", lambda: {"cpu": {"min_gru": {"sizes": SIZES}}})
    b = jax.export.symbolic_shape("b")[0]
    assert measured.order("cpu", MinGRUCell, (256, b)) == ()
    assert measured.order("cpu", MinGRUCell, (256, 16)) == ("chunked",)
    assert measured.order("gpu", MinGRUCell, (256, 16)) == measured.order("cpu", LRUCell, (256, 16)) == ()
    with rnnjax.reporting() as ran:
        jax.eval_shape(RNN(MinGRUCell(4), zoneout=0.5).init, jax.random.key(0), jnp.zeros((1, 256, 3)))
    assert ran == {"": "scan"}


def timed(implementation, samples, steps, features=4, **changes):
    made = {"cell": "lru", "shape": [16, steps, features, features], "implementation": implementation}
    return made | {"ran": implementation, "samples": samples, "error": None} | changes


def written_long(folder, rows, name="long-cpu", **changes):
    path = folder / "benchmarks" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"part": "long", "partial": False, "malloc": "default", "device": {"platform": "cpu"}, "rows": rows}
    path.write_text(json.dumps(content | changes))


def test_sizes_have_what_was_ahead_at_all_widths(tmp_path):
    rows = []
    for steps, wide in ((64, [1.0, 3.0]), (256, [1.0, 1.2]), (1024, []), (4096, [0.5])):
        other = {"error": "failed: it computes something else"} if steps == 4096 else {}
        rows += [timed("chunked", [1.0, 1.1], steps), timed("scan", [2.0, 2.1], steps)]
        rows += [timed("chunked", wide, steps, 8, **other), timed("scan", [2.0, 2.1], steps, 8)]
    written_long(tmp_path, rows)
    names = {64: None, 256: "chunked", 1024: None, 4096: None}
    sizes = [{"steps": steps, "batch": 16, "ahead": name} for steps, name in names.items()]
    assert results.table(tmp_path) == {"cpu": {"lru": {"of": ["benchmarks/long-cpu.json"], "sizes": sizes}}}
    assert measured.checked(json.loads(results.text(tmp_path)))
    # Another kind of device of this platform, on which the loop is ahead.
    written_long(tmp_path, [timed("chunked", [2.0], 256), timed("scan", [1.0], 256)], "long-other")
    assert results.table(tmp_path) == {}


@pytest.mark.parametrize("changes", [{"partial": True}, {"malloc": {"MALLOC_ARENA_MAX": "1"}}])
def test_what_was_stopped_or_had_another_allocator_makes_no_sizes(tmp_path, changes):
    rows = [timed("chunked", [1.0], 64), timed("scan", [2.0], 64)]
    written_long(tmp_path, rows, **changes)
    assert results.text(tmp_path) == "{}\n"
    written_long(tmp_path, rows)
    assert results.table(tmp_path)["cpu"]["lru"]["sizes"] == [{"steps": 64, "batch": 16, "ahead": "chunked"}]


def test_the_report_checks_the_table(monkeypatch, tmp_path, capsys):
    written(tmp_path / A / "layers.json", [row("fused", [1.0])])
    text = results.text(tmp_path)
    monkeypatch.setattr(results, "text", lambda: text)
    assert report.main(check=True) == 1
    assert "rnnjax/layers/measured.json is not what experiments/results make" in capsys.readouterr().err
    assert results.TABLE.read_text(encoding="utf-8") != text
