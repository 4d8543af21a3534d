"""The training benchmark compares the same thing, and says what it measured."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest

from experiments.benchmarks import training
from experiments.benchmarks.training_recipes import Course, Peer, recipe
from experiments.benchmarks.training_rnnjax import RnnjaxPeer
from rnnjax.data import Dataset, Examples, Plan, TextPreprocess, labelled
from rnnjax.data.plan import Chunk
from rnnjax.data.tokens import Vocabulary

os.environ.setdefault("KERAS_BACKEND", "jax")  # read when Keras is imported


def text_course() -> Course:
    """IMDB's recipe over made-up words, small and without dropout, so that all peers compute the same."""
    chosen = recipe("imdb_bilstm")
    config = replace(
        chosen.config,
        data=replace(chosen.config.data, batch_size=16, bucket_lengths=(6, 12)),
        model=replace(chosen.config.model, features=(6,), embedding_features=5, embedding_dropout=0.0, dropout=0.0),
    )
    rng = np.random.default_rng(0)

    def split(size: int) -> Examples:
        lengths = rng.integers(1, 13, size).astype(np.int32)
        ids = rng.integers(1, 12, (size, 12)) * (np.arange(12) < lengths[:, None])
        return labelled(ids.astype(np.int32), (ids == 3).any(1).astype(np.int32), lengths)

    words = TextPreprocess(Vocabulary(("<pad>", "<unk>", *"abcdefghij")), 12, ("without", "with"))
    dataset = Dataset("made_up", split(160), split(40), split(40), words, plan=Plan(config.data.bucket_lengths))
    return Course(replace(chosen, config=config), dataset)


def image_course() -> Course:
    """The digits' recipe, small and without dropout."""
    chosen = recipe("digits_rows")
    model = replace(chosen.config.model, features=(8, 8), dropout=0.0)
    return Course(replace(chosen, config=replace(chosen.config, model=model)))


COURSES = {"images": image_course, "texts": text_course}


@pytest.fixture(scope="module", params=COURSES)
def course(request) -> Course:
    return COURSES[request.param]()


@pytest.fixture(scope="module")
def ours(course) -> RnnjaxPeer:
    return RnnjaxPeer(course, jax.local_devices()[:1])


@pytest.fixture(scope="module", params=("keras", "torch"))
def peer(request, course) -> Peer:
    pytest.importorskip(request.param, reason=f"{request.param} (extra bench) is not installed")
    return training.make_peer(request.param, course, 1)


def test_peers_have_the_same_logits(peer, ours, course):
    peer.reset(3)
    ours.reset(3)
    for chunk in course.validation_plan():
        want = ours.logits("validation", chunk)
        got, real = peer.logits("validation", chunk), chunk.mask.reshape(-1)
        assert np.ptp(want) > 1e-3
        np.testing.assert_allclose(got[real], want[real], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_both_ways_of_pytorch_compute_the_same():
    torch = pytest.importorskip("torch", reason="torch (extra bench) is not installed")
    course = text_course()
    peer: Any = training.make_peer("torch", course, 1)
    chunk = course.plan(seed=0, epoch=0)[0]
    losses, gradients = [], []
    for packed in (True, False):
        peer.reset(0)
        peer.model.packed = packed
        losses.append(peer.train([chunk]))
        gradients.append([p.grad.clone() for p in peer.model.parameters()])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for packed, padded in zip(*gradients, strict=True):
        torch.testing.assert_close(packed, padded, rtol=1e-3, atol=1e-6)
    assert set(peer.settle([chunk])) == {"packed", "padded"}


@pytest.mark.slow
def test_peers_take_the_same_steps(peer, ours, course):
    """Loss, clipping, weight decay, AdamW and the order of the data: after some steps the losses still agree."""
    if hasattr(peer, "model"):  # PyTorch's second bias would make its biases' steps twice as large
        for name, parameter in peer.model.named_parameters():
            parameter.requires_grad_("bias_hh" not in name)
    peer.reset(1)
    ours.reset(1)
    chunks = course.plan(seed=0, epoch=0)[:4]
    losses = [ours.train([chunk]) for chunk in chunks]
    assert len(set(losses)) == len(losses), "the weights never moved"
    taken = [peer.train([chunk]) for chunk in chunks]
    assert taken == pytest.approx(losses, rel=1e-4)
    assert peer.accuracy() == pytest.approx(ours.accuracy(), abs=0.026)  # one row of forty may lie at the boundary
    peer.reset(1)
    assert peer.train(chunks[:1]) == pytest.approx(taken[0], rel=1e-5)


def test_the_loss_of_several_calls_is_the_mean_over_their_steps(ours, course):
    chunks = course.plan(seed=0, epoch=0)[:3]
    ours.reset(0)
    losses = [ours.train([chunk]) for chunk in chunks]
    want = np.average(losses, weights=[chunk.examples for chunk in chunks])
    ours.reset(0)
    assert ours.train(chunks) == pytest.approx(want, rel=1e-5)


def test_segments_hold_as_many_steps_of_every_length():
    course = text_course()
    segments = course.segments(4)
    for _ in range(5):  # over more than an epoch
        segment: list[Chunk] = next(segments)
        steps = {length: sum(c.steps for c in segment if c.length == length) for length in (6, 12)}
        assert all(4 <= taken < 4 + course.recipe.config.train.steps_per_call for taken in steps.values())


def row(task: str, peer: str, speed: float | None, devices: int = 1) -> dict:
    return {"task": task, "peer": peer, "devices": devices, "examples_per_second": speed and {"median": speed}}


def test_goals():
    rows = [
        *(row("digits_rows", peer, speed) for peer, speed in (("keras", 100.0), ("torch", 200.0))),
        row("digits_rows", "rnnjax", 50.0, devices=1),
        row("digits_rows", "rnnjax", 200.0, devices=2),
        *(row("mnist_rows", peer, speed) for peer, speed in (("keras", 100.0), ("torch", 100.0), ("rnnjax", 50.0))),
    ]
    found = {goal["what"]: goal for goal in training.goals(rows)}
    keras = found["digits_rows: examples/s, rnnjax / keras"]
    assert (keras["goal"], keras["measured"], keras["reached"]) == (1.3, 2.0, True)
    torch = found["digits_rows: examples/s, rnnjax / torch"]
    assert (torch["goal"], torch["measured"], torch["reached"]) == (1.0, 1.0, True)
    assert found["mnist_rows: examples/s, rnnjax / keras"]["reached"] is False
    mean = found["geometric mean of 2 tasks: examples/s, rnnjax / keras"]
    assert mean["measured"] == pytest.approx(1.0)
    assert mean["reached"] is False


def test_a_goal_without_its_peer_is_not_reached():
    rows = [row("digits_rows", "rnnjax", 50.0), row("digits_rows", "torch", None)]
    for goal in training.goals(rows):
        assert goal["measured"] is None
        assert goal["reached"] is False


def test_what_fails_is_shown_as_failed(monkeypatch, tmp_path, capsys):
    def broken(name, course, devices):
        raise RuntimeError(f"{name} is broken\nsecond line")

    monkeypatch.setattr(training, "make_peer", broken)
    out = tmp_path / "result.json"
    assert training.main(["--quick", "--peers", "torch", "--out", str(out)]) == 1
    result = json.loads(out.read_text())
    assert [r["failed"] for r in result["rows"]] == ["RuntimeError: torch is broken"]
    assert "failed" in capsys.readouterr().out


def test_a_data_set_that_is_not_prepared_is_named_with_the_command(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    out = tmp_path / "result.json"
    assert training.main(["--quick", "--tasks", "mnist_rows", "--out", str(out)]) == 1
    result = json.loads(out.read_text())
    assert result["rows"][0]["not_prepared"]
    shown = capsys.readouterr().out
    assert "not prepared" in shown
    assert "rnnjax.data.prepare mnist" in " ".join(shown.split())


@pytest.mark.parametrize(
    ("arguments", "failed", "folder"),
    [([], None, "whole"), (["--quick"], None, "other"), (["--seeds", "1"], None, "other"), ([], "no torch", "other")],
)
def test_a_whole_run_alone_takes_the_committed_files_place(monkeypatch, tmp_path, arguments, failed, folder):
    monkeypatch.setattr(training.record, "COMMITTED", tmp_path / "whole")
    monkeypatch.setattr(training.record, "UNCOMMITTED", tmp_path / "other")
    monkeypatch.setattr(training.record, "allocator", dict)
    rows = [row("digits_rows", "rnnjax", 50.0) | {"failed": failed}]
    monkeypatch.setattr(training, "measure_task", lambda *_: rows)
    monkeypatch.setattr(training, "save_curves", lambda *_: None)
    monkeypatch.setattr(training, "show", lambda *_: None)
    assert training.main(arguments) == bool(failed)
    assert [path.parent.name for path in tmp_path.rglob("*.json")] == [folder]


def test_wrong_options_are_usage_errors(capsys):
    assert training.main(["--rounds", "0"]) == 2
    assert "rounds" in capsys.readouterr().err


def test_what_other_processes_take_is_seen(monkeypatch):
    counters = iter([(10.0, 1.0), (16.0, 4.0)])  # busy seconds of all, and ours
    monkeypatch.setattr(training.Neighbours, "_counters", staticmethod(lambda: next(counters)))
    assert training.Neighbours().cores(2.0) == pytest.approx(1.5)


@pytest.mark.slow
def test_what_other_processes_take_is_measured():
    neighbours, start = training.Neighbours(), time.perf_counter()
    code = "import time; end = time.perf_counter() + 1.5\nwhile time.perf_counter() < end: pass"
    if neighbours.cores(1.0) is None:
        pytest.skip("no /proc/stat on this system")
    subprocess.run([sys.executable, "-c", code], check=True)
    cores = neighbours.cores(time.perf_counter() - start)
    assert cores is not None
    assert cores > 0.3


@pytest.mark.slow
def test_quick_run_from_start_to_end(tmp_path, capsys):
    for name in ("keras", "torch"):
        pytest.importorskip(name, reason=f"{name} (extra bench) is not installed")
    out = tmp_path / "result.json"
    assert training.main(["--quick", "--rounds", "2", "--out", str(out)]) == 0
    result = json.loads(out.read_text())
    assert result["part"] == "training"
    assert [(r["peer"], r["devices"]) for r in result["rows"]] == [
        ("rnnjax", 2), ("rnnjax", 1), ("keras", 1), ("torch", 1),
    ]  # fmt: skip
    for r in result["rows"]:
        assert len(r["samples"]) == 2
        assert r["examples_per_second"]["q1"] <= r["examples_per_second"]["median"] <= r["examples_per_second"]["q3"]
    for r in (r for r in result["rows"] if r["to_accuracy"]):
        assert r["seconds_to_accuracy"] > 0
        assert r["accuracy"] >= r["accuracy_goal"]
    assert result["versions"]["torch"]
    assert out.with_suffix(".png").stat().st_size < 150_000
    assert "rnnjax / keras" in " ".join(capsys.readouterr().out.split())
