"""The benchmark of one step: what it multiplies, reads of a compiled program, compares and writes; its page."""

import itertools
import json
import os
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmarks import __main__ as command
from experiments.benchmarks import (
    harness,
    markdown,
    record,
    step,
    step_children,
    step_products,
    step_show,
    step_streams,
    step_threads,
)
from experiments.benchmarks.task import Shape
from rnnjax.ahead import text
from tests.test_benchmarks import CIRCUMSTANCES

PRODUCT = Shape(16, 5, 8, 8)

# Products.


def test_xla_is_told_to_multiply_by_eigen():
    """By whose name a fusion of products is called is all that the compiled text says of it."""
    given = step_products.problem(128, 128, "forward")
    lowered = jax.jit(step_products.chain("forward", 30)).lower(*given)
    assert "ynn" not in (lowered.compile(step_products.OPTIONS[step_products.EIGEN]).as_text() or "")
    assert set(step_products.PEERS) == set(step_show.WAYS)


@pytest.mark.parametrize("direction", step_products.DIRECTIONS)
def test_a_chain_of_products_is_that_of_numpy_and_keeps_its_size(direction):
    given = step_products.problem(6, 8, direction)
    state, weights = (np.asarray(array, np.float64) for array in given)
    for _ in range(30):
        if direction == "forward":
            state = sum(np.split(state @ weights, 4, axis=1))
        else:
            state = np.concatenate([factor * state for factor in step_products.SIGNS], axis=1) @ weights
    found = jax.jit(step_products.chain(direction, 30))(*given)
    np.testing.assert_allclose(found, state, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), np.linalg.norm(given.state, axis=1), rtol=1e-3)


@pytest.mark.optimized
@pytest.mark.parametrize(("direction", "shape"), [("forward", "f32[16,32]"), ("backward", "f32[16,8]")])
def test_every_product_of_a_chain_is_in_its_compiled_loop(direction, shape):
    given = step_products.problem(16, 8, direction)
    (loop,) = text.loops(jax.jit(step_products.chain(direction, 30)).lower(*given).compile().as_text() or "")
    assert loop.trips == 30
    assert [kernel.shape for kernel in loop.kernels if "product" in kernel.kind] == [shape]


def test_pytorch_has_the_same_products():
    pytest.importorskip("torch")
    for entry in step_products.entries(PRODUCT, 20):
        harness.measure([entry], samples=1, seconds=1.0)
        assert entry.error is None and len(entry.samples) == 1 and entry.row["apart"] < 1e-4


@pytest.mark.parametrize("wrong", [np.full((2, 2), np.nan), np.zeros((2, 2))])
def test_an_answer_that_is_another_is_refused(wrong):
    answers = []
    assert step_products.agreeing(np.ones((2, 2)), answers, 1e-3) == 0.0
    with pytest.raises(ValueError, match="it computes something else than the first"):
        step_products.agreeing(wrong, answers, 1e-3)


def test_values_that_vanish_are_refused(monkeypatch):
    monkeypatch.setattr(step_products, "_call", lambda *_: lambda: np.full((2, 2), 1e-39, np.float32))
    entries = step_products.entries(PRODUCT, 20)
    harness.measure(entries, samples=2, seconds=1.0, sleep=lambda _: None)
    assert all("grown or vanished" in (entry.error or "") and not entry.samples for entry in entries)


# Threads.


needs_threads = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="XLA divides nothing on one core")


@pytest.fixture(scope="module")
def lstm():
    """By direction, the operations of the loops of an LSTM's gradient; tests that use it are marked ``optimized``."""
    found = step_threads.of_layer("lstm", Shape(128, 4, 28, 128))
    return {loop["loop"]: loop["operations"] for loop in found}


@needs_threads
@pytest.mark.optimized
def test_the_gates_of_a_forward_step_are_divided_among_threads(lstm):
    """Stored by the same operation, they would be computed on one thread: it would write in place."""
    (gates,) = [each for each in lstm["forward"] if each["shape"] == "f32[128,512]" and "tanh" in each["name"]]
    assert gates["partitions"] >= 2 and gates["why"] is None
    stored = [each for each in lstm["forward"] if each["why"] == step_threads.IN_PLACE]
    assert len(stored) == 3 and all(each["partitions"] == 1 for each in stored)
    moved = sum(each["bytes"] for each in stored)  # each read and written once, beside the place where it goes
    assert moved == pytest.approx(2 * 4 * 128 * (128 + 128 + 512), rel=1e-3)


@needs_threads
@pytest.mark.optimized
def test_the_large_operations_of_a_backward_step_are_divided_among_threads(lstm):
    free = [each for each in lstm["backward"] if each["opcode"] == "fusion" and each["why"] != step_threads.IN_PLACE]
    large = [each for each in free if each["bytes"] >= 2**19]
    assert len(large) >= 5 and all(each["partitions"] >= 2 for each in large)
    assert sum(each["bytes"] for each in large) > 0.8 * sum(each["bytes"] for each in free)


def test_what_an_operation_moves_is_what_it_slices_and_writes():
    program = """HloModule made
%fused (a: f32[9,4], b: f32[9,4], i: s32[]) -> f32[9,4] {
  %a = f32[9,4]{1,0} parameter(0)
  %b = f32[9,4]{1,0} parameter(1)
  %i = s32[] parameter(2)
  %zero = s32[] constant(0)
  %c = f32[9,4]{1,0} bitcast(%b)
  %part = f32[1,4]{1,0} dynamic-slice(%c, %i, %zero), dynamic_slice_sizes={1,4}
  ROOT %put = f32[9,4]{1,0} dynamic-update-slice(%a, %part, %i, %zero)
}
%body (s: (s32[], f32[9,4], f32[9,4])) -> (s32[], f32[9,4], f32[9,4]) {
  %s = (s32[], f32[9,4]{1,0}, f32[9,4]{1,0}) parameter(0)
  %n = s32[] get-tuple-element(%s), index=0
  %x = f32[9,4]{1,0} get-tuple-element(%s), index=1
  %y = f32[9,4]{1,0} get-tuple-element(%s), index=2
  %one = s32[] constant(1)
  %more = s32[] add(%n, %one)
  %stored = f32[9,4]{1,0} fusion(%x, %y, %n), kind=kLoop, calls=%fused
  %whole = f32[9,4]{1,0} copy(%y)
  %half = f32[18,4]{1,0} concatenate(%y, %whole), backend_config={"outer_dimension_partitions":["3","2"]}
  %few = f32[9,4]{1,0} slice(%half), slice={[0:9], [0:4]}
  ROOT %r = (s32[], f32[9,4]{1,0}, f32[9,4]{1,0}) tuple(%more, %stored, %few)
}
%more_than (t: (s32[], f32[9,4], f32[9,4])) -> pred[] {
  %t = (s32[], f32[9,4]{1,0}, f32[9,4]{1,0}) parameter(0)
  %m = s32[] get-tuple-element(%t), index=0
  %last = s32[] constant(9)
  ROOT %less = pred[] compare(%m, %last), direction=LT
}
ENTRY %main (p: (s32[], f32[9,4], f32[9,4])) -> (s32[], f32[9,4], f32[9,4]) {
  %p = (s32[], f32[9,4]{1,0}, f32[9,4]{1,0}) parameter(0)
  ROOT %w = (s32[], f32[9,4]{1,0}, f32[9,4]{1,0}) while(%p), condition=%more_than, body=%body
}
"""
    (loop,) = step_threads.divisions(program)
    found = {each["name"]: (each["bytes"], each["partitions"], each["why"]) for each in loop["operations"]}
    assert found == {
        "stored": (16 + 16 + 4, 1, step_threads.IN_PLACE),
        "whole": (288, 1, step_threads.KIND),
        "half": (576, 6, None),
        "few": (288 + 144, 1, step_threads.SMALL),
    }


# Batches of one.


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("peer", ["torch", "keras", step_streams.KEPT])
def test_streams_are_the_same(cell, peer):
    if peer in ("torch", "keras"):
        pytest.importorskip(peer)
    answers = []
    for name in (step_streams.OURS, peer):
        entry = step_streams._entry("stream", cell, 5, name, answers)
        harness.measure([entry], samples=1, seconds=1.0)
        assert entry.error is None and len(entry.samples) == 1 and entry.row["apart"] < 1e-5
    assert answers[0].shape == (64, 1, 5)


def test_the_carry_of_a_stream_goes_on_from_call_to_call_and_every_output_is_waited_for():
    waited = []
    call = step_streams.streaming(lambda carry, x: (carry + x, 10 * carry), 0, [1, 2], lambda y: waited.append(y) or y)
    assert (call(), call()) == ([0, 10], [30, 40]) and waited == [0, 10, 30, 40]


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_generation_feeds_outputs_back(cell):
    answers = []
    harness.measure([step_streams.generation(cell, 5, step_streams.OURS, answers)], samples=1, seconds=1.0)
    step, carry = step_streams._ours(cell, 5, donate=False)
    x = jnp.array(step_streams.inputs(5, 1)[0])
    for expected in answers[0]:
        carry, x = step(carry, x)
        np.testing.assert_allclose(x, expected, atol=1e-6)
    pytest.importorskip("torch")
    entry = step_streams.generation(cell, 5, "torch", answers)
    harness.measure([entry], samples=1, seconds=1.0)
    assert entry.error is None and entry.row["apart"] < 1e-5


def test_a_child_has_the_flag_beside_those_that_are_set(monkeypatch):
    seen = []

    def started(command, *, env, **_):
        seen.append(env["XLA_FLAGS"])
        return SimpleNamespace(returncode=-9, stdout="", stderr="")

    monkeypatch.setenv("XLA_FLAGS", "--mine")
    monkeypatch.setattr(step_children.subprocess, "run", started)
    (row,) = step_children.in_a_child(7, ["lstm"], [4], 2)
    step_children.in_a_child(None, ["lstm"], [4], 2)
    assert row["error"] == "failed: exit code -9" and row["samples"] == []
    assert seen == [f"--mine {step_children.FLAG.format(7)}", "--mine"]


def test_what_a_flag_makes_wrong_is_dropped(monkeypatch):
    def child(threshold, cells, widths, samples):
        row = {"cell": "lstm", "features": 4, "steps": 64, "one_call": None, "samples": [1.0] * samples, "error": None}
        return [row | {"answer": 2.5 if threshold == 65536 else 2.0}]

    rows = []
    monkeypatch.setattr(step_children, "in_a_child", child)
    step_children.measure(["lstm"], [4], 3, 2, rows)
    found = {row["threshold"]: (len(row["samples"]), row["error"]) for row in rows}
    assert found.pop(65536) == (0, "failed: it answers 2.5, not 2 as without the flag")
    assert found == {None: (6, None), 1048576: (6, None)}


# The command.


@pytest.fixture
def pretended(monkeypatch):
    """Calls that compute nothing, loops of no program, and children that do not run."""
    numbers = itertools.count(1)

    def entries(*rows):
        return [harness.Entry(row | {"apart": 0.0}, lambda: lambda: float(next(numbers))) for row in rows]

    def products(shape, count):
        row = {"shape": [shape.B, shape.T, shape.D, shape.H], "direction": "forward", "products": count}
        return entries(*(row | {"peer": peer} for peer in step_products.PEERS))

    def streams(cell, H):
        row = {"cell": cell, "features": H, "steps": 64, "one_call": None}
        return entries(*(row | {"what": "stream", "peer": peer} for peer in ("rnnjax", "torch")))

    operation = {"name": "a", "opcode": "fusion", "shape": "f32[2,2]", "bytes": 2**19, "partitions": 2, "why": None}
    loop = {"shape": [16, 5, 3, 4], "threads": 2, "loop": "forward", "trips": 5, "operations": [operation]}
    monkeypatch.setattr(step_threads, "of_layer", lambda cell, shape: [{"cell": cell} | loop])
    monkeypatch.setattr(step_products, "entries", products)
    monkeypatch.setattr(step_streams, "entries", streams)
    monkeypatch.setattr(step_children, "measure", lambda *_: None)
    monkeypatch.setattr(record, "start", lambda devices: 0.25)  # this process has its devices
    monkeypatch.setattr(harness, "PAUSE", 0.0)


def run(tmp_path, *more, code=0):
    path = tmp_path / "step-cpu.json"
    assert command.main(["step", "--quick", *more, "--out", str(path)]) == code
    return json.loads(path.read_text(encoding="utf-8"))


def test_all_of_it_is_shown_and_written(pretended, tmp_path, capsys):
    result = run(tmp_path)
    assert len(result["products"]) == 3 and len(result["rows"]) == 4 and len(result["loops"]) == 2
    assert all(len(row["samples"]) == 2 for row in result["products"] + result["rows"])
    assert [goal["shapes"] for goal in result["goals"]] == [1, 1] and result["partial"] is False
    assert "What is not a product in one step" in capsys.readouterr().out
    section = markdown.section(tmp_path, tmp_path / "README.md")
    assert "| LSTM B16 H4 | forward | 1, 512 | 0 | 0 | 0 | 0 |" in section
    assert "XLA saw 2 threads. The least that it divided moves 512 KiB" in section


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--shapes", "1,2,3"], "a shape is B,T,D,H"),
        (["--samples", "0"], "must be positive"),
        (["--widths", "0"], "must be positive"),
    ],
)
def test_wrong_options_are_usage_errors(options, message, capsys, pretended):
    assert command.main(["step", *options]) == 2
    assert message in capsys.readouterr().err


def test_a_whole_run_of_the_defaults_alone_is_for_the_committed_file(tmp_path, monkeypatch, pretended):
    monkeypatch.setattr(record, "COMMITTED", tmp_path / "committed")
    monkeypatch.setattr(record, "UNCOMMITTED", tmp_path / "others")
    assert step.main([]) == 0
    (path,) = tmp_path.rglob("*.json")
    assert path.parent == tmp_path / "committed" and path.name.startswith("step")
    assert step.main(["--samples", "3"]) == 0
    assert [path.parent.name for path in tmp_path.rglob("*.json")].count("others") == 1


def test_an_interruption_writes_what_was_measured(pretended, tmp_path, monkeypatch):
    def interrupted(entries, **_):
        entries[0].samples.append(0.5)
        raise KeyboardInterrupt

    monkeypatch.setattr(harness, "measure", interrupted)
    result = run(tmp_path, code=130)
    assert result["partial"] is True and result["products"][0]["samples"] == [0.5]
    assert "Stopped before its end." in markdown.section(tmp_path, tmp_path / "README.md")


def test_the_default_shapes_are_those_of_the_layers_with_large_batches():
    assert [(shape.B, shape.H) for shape in step._shapes(step.Options())] == [
        (128, 128), (64, 128), (128, 256), (100, 128), (32, 256), (256, 64), (16, 512),
    ]  # fmt: skip


# The page.


def stream(peer, samples, H=4, what="stream", error=None):
    row = {"what": what, "cell": "lstm", "features": H, "peer": peer, "steps": 64, "apart": 0.0, "one_call": None}
    return row | {"samples": samples, "error": error}


def test_goals_are_geometric_means_over_the_widths():
    rows = [stream("rnnjax", [1.0]), stream("torch", [2.0]), stream("rnnjax", [4.0], 8), stream("torch", [1.0], 8)]
    rows += [stream("rnnjax", [1.0], what="generation"), stream("torch", [], what="generation", error="not installed")]
    found = {goal["what"]: goal for goal in step_show.evaluate(rows)}
    streaming = found["LSTM streaming, batch 1: time / torch's"]
    assert streaming["measured"] == pytest.approx(2**0.5) and streaming["shapes"] == 2 and not streaming["reached"]
    assert found["LSTM generation, batch 1: time / torch's"]["reached"] is None


def test_the_section_is_made_of_the_file(tmp_path):
    product = {"shape": [16, 10, 3, 4], "products": 100, "apart": 1e-6, "error": None}
    products = [
        product | {"direction": direction, "peer": peer, "samples": [seconds]}
        for direction, peer, seconds in (
            ("forward", "xla", 0.002), ("forward", "torch", 0.001),
            ("backward", "xla", 0.006), ("backward", "torch", 0.003),
            ("forward", step_products.EIGEN, 0.0015),
        )
    ]  # fmt: skip
    threshold = {"cell": "lstm", "features": 4, "steps": 64, "samples": [64e-6], "error": None}
    thresholds = [
        threshold | {"threshold": 65536, "one_call": True},
        threshold | {"threshold": None, "one_call": False, "samples": [128e-6]},
    ]
    rows = [stream("rnnjax", [64e-6]), stream("torch", [], error="not installed (torch)")]
    content = {"how": ["So."], "goals": [], "products": products, "loops": [], "rows": rows, "thresholds": thresholds}
    record.write({"part": "step", **CIRCUMSTANCES, **content}, tmp_path / "step-cpu.json")
    section = markdown.section(tmp_path, tmp_path / "README.md")
    for line in (
        "| 16, 4 | forward | 20.0 (20.0-20.0) | 15.0 (15.0-15.0) | 10.0 (10.0-10.0) | 2.00 | 1.50 |",
        "| 16, 4 | backward | 60.0 (60.0-60.0) |  | 30.0 (30.0-30.0) | 2.00 |  |",
        "| B16 T10 D3 H4 | 0.80 |  | 0.40 | 2.00 |  |",
        "| LSTM 4 | streaming | 1.00 (1.00-1.00) |  |  |",
        "| LSTM 4 | 2.00 (2.00-2.00) | 1.00 (1.00-1.00) * |",
        "Not measured: torch: not installed (torch).",
    ):
        assert line in section, f"{line}\nis not in\n{section}"


@pytest.mark.slow
def test_quick_from_end_to_end(tmp_path):
    done = step_children.subprocess.run(
        [step_children.sys.executable, "-m", "experiments.benchmarks", "step", "--quick",
         "--out", str(tmp_path / "step-cpu.json")],
        capture_output=True, text=True, timeout=500, cwd=record.COMMITTED.parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "step-cpu.json").read_text(encoding="utf-8"))
    failed = [row for name in ("products", "rows", "thresholds") for row in result[name] if row["error"]]
    assert all(row["error"].startswith("not installed") for row in failed) and len(result["loops"]) == 4
