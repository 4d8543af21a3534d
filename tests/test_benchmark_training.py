"""The training benchmark compares the same thing, and says what it measured."""

import json
import os
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest

from experiments.benchmarks import markdown, training, training_rows
from experiments.benchmarks.training_course import Course, Peer, seconds_of
from experiments.benchmarks.training_rnnjax import RnnjaxPeer
from experiments.benchmarks.training_tasks import TASKS, make
from rnnjax.data import Dataset, Examples, Plan, TextPreprocess, labelled
from rnnjax.data.plan import Chunk
from rnnjax.data.tokens import Vocabulary
from rnnjax.errors import DataError

os.environ.setdefault("KERAS_BACKEND", "jax")  # read when Keras is imported


def course_of(name: str, dataset: Dataset | None = None, data: dict | None = None, **model: Any) -> Course:
    """A task with a tiny model and without dropout, so that all peers compute the same."""
    part = make(name, quick=True)
    experiment, still = part.experiment, {"dropout": 0.0, "embedding_dropout": 0.0} | model
    still = {field: value for field, value in still.items() if hasattr(experiment.model, field)}
    data_section = replace(experiment.data, **(data or {}))
    experiment = replace(experiment, data=data_section, model=replace(experiment.model, **still))
    return Course(replace(part, experiment=experiment), dataset)


def text_course() -> Course:
    """IMDB's recipe over made-up words."""
    buckets, rng = (6, 12), np.random.default_rng(0)

    def split(size: int) -> Examples:
        lengths = rng.integers(1, 13, size).astype(np.int32)
        ids = rng.integers(1, 12, (size, 12)) * (np.arange(12) < lengths[:, None])
        return labelled(ids.astype(np.int32), (ids == 3).any(1).astype(np.int32), lengths)

    words = TextPreprocess(Vocabulary(("<pad>", "<unk>", *"abcdefghij")), 12, ("without", "with"))
    dataset = Dataset("made_up", split(160), split(40), split(40), words, plan=Plan(buckets))
    data = {"batch_size": 16, "bucket_lengths": buckets}
    return course_of("imdb_bilstm", dataset, data, features=(6,), embedding_features=5)


COURSES = {
    "images": lambda: course_of("digits_rows"),
    "texts": text_course,
    "characters": lambda: course_of("shakespeare_chars"),
    "sums": lambda: course_of("addition"),
    "forecast": lambda: course_of("ett_forecast"),
}


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


def test_peers_have_the_same_outputs_and_quality(peer, ours, course):
    peer.reset(3)
    ours.reset(3)
    plan = course.validation_plan()
    made = zip(peer.outputs("validation", plan), ours.outputs("validation", plan), plan, strict=True)
    for got, want, chunk in made:
        real = chunk.mask.reshape(-1)
        assert np.ptp(want) > 1e-3
        np.testing.assert_allclose(got[real], want[real], rtol=1e-4, atol=1e-5)
    assert peer.quality() == pytest.approx(ours.quality(), rel=1e-5)


def first_batch(course: Course) -> tuple[np.ndarray, Any]:
    """Rows and padded length of the first step."""
    chunk = course.plan(seed=0, epoch=0)[0]
    return chunk.rows[0], chunk.length


@pytest.fixture(scope="module")
def first(course) -> tuple[float, Any]:
    """The first loss of rnnjax, and its gradient as a tree."""
    rows, length = first_batch(course)
    batch = course.dataset.preprocess.on_device(course.cut(course.dataset.train.stored(), rows, length))
    inputs = {name: batch[name] for name in course.dataset.spec.inputs}

    def loss(params: Any) -> Any:
        outputs = course.model.apply({"params": params}, **inputs, train=True)
        sums = course.task.sums(outputs, batch | {"mask": np.ones(len(rows), bool)}, train=True)
        return sums["loss"] / sums["weight"]

    value, gradient = jax.jit(jax.value_and_grad(loss))(course.parameters(3))
    return float(value), jax.tree.map(np.asarray, gradient)


def keras_gradient(peer: Any, course: Course, gradient: Any) -> tuple[float, list]:
    """Keras's first loss, and pairs of its gradients with those that rnnjax's tree means."""
    model, batch = peer.model, course.cut(course.arrays("train"), *first_batch(course))
    network = model.network
    others = [variable.value for variable in network.non_trainable_variables]

    def loss(weights: Any) -> Any:
        outputs, _ = network.stateless_call(weights, others, model.inputs(batch), training=True)
        return model.loss(model.targets(batch), outputs)

    variables = network.trainable_variables
    value, made = jax.jit(jax.value_and_grad(loss))([variable.value for variable in variables])
    by_path = {variable.path: np.array(one) for variable, one in zip(variables, made, strict=True)}
    pairs = []
    for layer, wanted in model.weights(gradient):
        got = [by_path[variable.path] for variable in layer.trainable_weights]
        if layer.name == "gru":  # its second bias adds up with the first, but for the candidate's
            got[2][1, : -(got[2].shape[1] // 3)] = 0
        pairs += zip(got, wanted, strict=True)
    return float(value), pairs


def torch_gradient(peer: Any, course: Course, gradient: Any) -> tuple[float, list]:
    """As :func:`keras_gradient`, of PyTorch."""
    torch = pytest.importorskip("torch")
    rows, length = first_batch(course)
    batch = peer.batch("train", torch.as_tensor(rows), length)
    peer.model.train()
    peer.model.zero_grad()
    loss = peer.model.loss(peer.model(batch), batch)
    loss.backward()
    wanted, pairs = peer.model.state(gradient), []
    for name, parameter in peer.model.named_parameters():
        real = slice(None)
        if "bias_hh" in name:  # as above
            real = slice(-(len(parameter) // 3), None) if "gru" in name else slice(0)
        pairs.append((parameter.grad.numpy()[real], wanted[name][real]))
    return float(loss.detach()), pairs


def test_peers_have_the_same_first_loss_and_gradient(peer, first, course):
    peer.reset(3)
    loss, gradient = first
    of = keras_gradient if hasattr(peer.model, "network") else torch_gradient
    got, pairs = of(peer, course, gradient)
    assert got == pytest.approx(loss, rel=1e-5)
    assert max(np.abs(want).max() for _, want in pairs if want.size) > 1e-3
    for made, want in pairs:
        np.testing.assert_allclose(made, want, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["texts", "sums"])
def test_both_ways_of_pytorch_compute_the_same(name):
    torch = pytest.importorskip("torch", reason="torch (extra bench) is not installed")
    course = COURSES[name]()
    peer: Any = training.make_peer("torch", course, 1)
    chunk = course.plan(seed=0, epoch=0)[0]
    losses, gradients = [], []
    for way in peer.model.ways:
        peer.reset(0)
        peer.model.way = way
        losses.append(peer.train([chunk]))
        gradients.append([p.grad.clone() for p in peer.model.parameters()])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for packed, padded in zip(*gradients, strict=True):
        torch.testing.assert_close(packed, padded, rtol=1e-3, atol=1e-6)
    assert set(peer.settle([chunk])) == {"packed", "padded"}


def without_second_biases(peer: Any) -> None:
    """PyTorch's second bias, and that of Keras's GRU, would make their biases' steps twice as large."""
    if hasattr(peer.model, "network"):
        for layer in peer.model.network.layers:
            if layer.name == "gru":
                kept = np.ones(layer.cell.bias.shape, np.float32)
                kept[1, : -(kept.shape[1] // 3)] = 0
                layer.cell.bias.constraint = lambda value, kept=kept: value * kept
        return
    for name, parameter in peer.model.named_parameters():
        if "bias_hh" in name:
            gates = len(parameter) * 2 // 3 if "gru" in name else len(parameter)
            parameter.register_hook(lambda gradient, gates=gates: gradient.index_fill(0, arange(gates), 0.0))


def arange(count: int) -> Any:
    return pytest.importorskip("torch").arange(count)


@pytest.mark.slow
def test_peers_take_the_same_steps(peer, ours, course):
    """Loss, clipping, weight decay, AdamW, the order of the data and what is carried on: the losses go on agreeing."""
    without_second_biases(peer)
    chunks = course.plan(seed=0, epoch=0)[:4]

    def steps(who: Any) -> tuple[list[float], float]:
        who.reset(1)
        losses = [who.train([chunk]) for chunk in chunks[:2]]
        quality = who.quality()  # which leaves what is carried on as it is
        losses += [who.train([chunk]) for chunk in chunks[2:]]
        who.begin()
        return [*losses, who.train(chunks[:1])], quality

    losses, quality = steps(ours)
    assert len(set(losses)) == len(losses), "the weights never moved"
    taken, found = steps(peer)
    assert taken == pytest.approx(losses, rel=1e-4)
    share = course.part.metric.best == "max"  # of which one row of forty may lie at the boundary
    assert found == pytest.approx(quality, abs=0.026 if share else 1e-3)
    peer.reset(1)
    assert peer.train(chunks[:1]) == pytest.approx(taken[0], rel=1e-5)


def test_streams_go_on_from_call_to_call_and_begin_anew_with_an_epoch():
    course = course_of("shakespeare_chars")
    ours, chunks = RnnjaxPeer(course, jax.local_devices()[:1]), course.plan(seed=0, epoch=0)[:2]

    def second(between: Any) -> float:
        ours.reset(0)
        ours.train(chunks[:1])
        between()
        return ours.train(chunks[1:])

    on = second(lambda: None)
    assert second(ours.quality) == on
    assert second(ours.begin) != on


def test_of_several_ways_none_pays_for_the_start_of_the_library():
    now, costs = [0.0], {"packed": 1.0, "padded": 2.0}
    ran: list[str] = []

    def run(way):
        now[0] += costs[way] + (0.0 if way in ran else 3.0) + (0.0 if ran else 50.0)  # what only first calls take
        ran.append(way)

    assert seconds_of(list(costs), run, lambda: now[0]) == costs
    assert seconds_of([], run) == {}


def test_an_epoch_is_cut_into_pieces_between_validations():
    rows = np.zeros((2, 4), np.int32)
    chunks = [Chunk(None, rows, rows == 0)] * 5
    assert [len(piece) for piece in training.pieces(chunks, 9)] == [2, 2, 1]
    assert [len(piece) for piece in training.pieces(chunks, 8)] == [1] * 5


def test_the_answers_that_greedy_decoding_would_write_are_counted():
    part = make("addition", quick=True)
    targets = np.array([[3, 2, -1], [4, 2, -1], [3, 2, -1]])
    logits = np.zeros((3, 3, 5))
    for row, written in enumerate([(3, 2), (3, 2), (3, 2)]):
        for step, token in enumerate(written):
            logits[row, step, token] = 1.0
    logits[0, 0, :2] = 9.0  # padding and the unknown are never written
    totals = part.sums(None, logits, {"targets": targets, "mask": np.array([True, True, False])})
    assert part.finish(None, totals) == 0.5


@pytest.mark.parametrize("name", ["shakespeare_chars", "ett_forecast"])
def test_files_that_are_not_there_are_named_with_what_to_do(name, monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    for folder in {"shakespeare_chars": [str(tmp_path), ""], "ett_forecast": [""]}[name]:
        with pytest.raises(DataError, match=rf"{name}.*\.(txt|csv).*--folder.*--tasks"):
            make(name, folder=folder).load()


def test_every_task_is_named_as_its_experiment_and_can_be_chosen():
    assert [make(name).experiment.name for name in TASKS] == list(TASKS) == list(training.TaskName.__args__)


def test_the_loss_of_several_calls_is_the_mean_over_their_steps(ours, course):
    chunks = course.plan(seed=0, epoch=0)[:3]
    ours.reset(0)
    losses = [ours.train([chunk]) for chunk in chunks]
    want = np.average(losses, weights=[chunk.steps for chunk in chunks])
    ours.reset(0)
    assert ours.train(chunks) == pytest.approx(want, rel=1e-5)


def test_segments_hold_as_many_steps_of_every_length():
    course = text_course()
    segments = course.segments(4)
    for _ in range(5):  # over more than an epoch
        segment: list[Chunk] = next(segments)
        steps = {length: sum(c.steps for c in segment if c.length == length) for length in (6, 12)}
        assert all(4 <= taken < 4 + course.part.experiment.train.steps_per_call for taken in steps.values())


def row(task: str, peer: str, speed: float | None, devices: int = 1, unit: str = "examples") -> dict:
    return {
        "task": task, "peer": peer, "devices": devices, "failed": None, "unit": unit,
        "metric": {"name": "loss", "best": "min", "shown": "{:.4f}"}, "goal": 1.7, "quality": 1.69,
        "speed": speed and {"median": speed, "q1": speed, "q3": speed}, "compile_seconds": 1.0,
        "seconds_to_goal": 12.0, "units_to_goal": 640,
        "runs": [{"seed": seed, "reached": True, "seconds": seconds, "units": 640, "quality": 1.69,
                  "curve": [{"seconds": seconds, "units": 640, "quality": 1.69}]}
                 for seed, seconds in enumerate((13.0, 12.0, 11.0))],
    }  # fmt: skip


def test_goals():
    rows = [
        *(row("digits_rows", peer, speed) for peer, speed in (("keras", 100.0), ("torch", 100.0))),
        row("digits_rows", "rnnjax", 50.0, devices=1),
        row("digits_rows", "rnnjax", 160.0, devices=2),
        *(row("shakespeare_chars", peer, speed, unit="tokens") for peer, speed in
          (("keras", 100.0), ("torch", 100.0), ("rnnjax", 62.5))),
    ]  # fmt: skip
    found = {goal["what"]: goal for goal in training.goals(rows)}
    keras = found["digits_rows: examples/s, rnnjax / keras"]
    assert (keras["goal"], keras["measured"], keras["reached"]) == (1.6, 1.6, True)
    torch = found["digits_rows: examples/s, rnnjax / torch"]
    assert (torch["goal"], torch["measured"], torch["reached"]) == (1.3, 1.6, True)
    assert found["shakespeare_chars: tokens/s, rnnjax / keras"]["reached"] is False
    mean = found["geometric mean of 2 tasks: speed, rnnjax / keras"]
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
    assert [r["task"] for r in result["rows"]] == list(training.QUICK)
    assert [r["failed"] for r in result["rows"]] == ["RuntimeError: torch is broken"] * len(training.QUICK)
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
    [
        ([], None, "whole"),
        (["--folder", "texts"], None, "whole"),
        (["--quick"], None, "other"),
        (["--seeds", "1"], None, "other"),
        ([], "no torch", "other"),
    ],
)
def test_a_whole_run_alone_takes_the_committed_files_place(monkeypatch, tmp_path, arguments, failed, folder):
    monkeypatch.setattr(training.record, "COMMITTED", tmp_path / "whole")
    monkeypatch.setattr(training.record, "UNCOMMITTED", tmp_path / "other")
    monkeypatch.setattr(training.record.results, "allocator", dict)
    rows = [row("digits_rows", "rnnjax", 50.0) | {"failed": failed}]
    monkeypatch.setattr(training, "measure_task", lambda *_: rows)
    monkeypatch.setattr(training, "save_curves", lambda *_: None)
    monkeypatch.setattr(training, "show", lambda *_: None)
    assert training.main(arguments) == bool(failed)
    assert [path.parent.name for path in tmp_path.rglob("*.json")] == [folder]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rounds", "0"], "--rounds must be positive"),
        (["--seeds", "-1"], "--seeds 0 or more"),
        (["--tasks"], "--tasks, --peers and --seeds must name at least one"),
        (["--peers"], "--tasks, --peers and --seeds must name at least one"),
        (["--out", "."], "is a folder; name a file in it"),
    ],
)
def test_wrong_options_are_usage_errors(options, message, capsys, monkeypatch):
    monkeypatch.setattr(training, "measure_task", lambda *_: pytest.fail("nothing is measured"))
    assert training.main(options) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_an_interruption_writes_the_tasks_before_it(monkeypatch, tmp_path, capsys):
    def measured(task, *_):
        if task == "addition":
            raise KeyboardInterrupt
        return [row(task, "rnnjax", 9.0), row(task, "keras", None)]

    monkeypatch.setattr(training, "measure_task", measured)
    monkeypatch.setattr(training.record, "COMMITTED", tmp_path / "whole")
    monkeypatch.setattr(training.record, "UNCOMMITTED", tmp_path / "other")
    monkeypatch.setattr(training.record.results, "allocator", dict)
    assert training.main([]) == 130
    (file,) = tmp_path.rglob("*.json")
    result = json.loads(file.read_text(encoding="utf-8"))
    assert file.parent.name == "other" and result["partial"] is True
    before = list(TASKS)[: list(TASKS).index("addition")]
    assert list(dict.fromkeys(row["task"] for row in result["rows"])) == before
    shown = capsys.readouterr().out
    assert "not measured" in shown and "missed" not in shown
    assert "Stopped before its end." in markdown.section(file.parent, tmp_path / "README.md")


def test_the_page_says_of_a_peer_with_speeds_that_it_failed(tmp_path):
    rows = [row("addition", "torch", 9.0) | {"failed": "RuntimeError: no memory"}, row("addition", "rnnjax", 9.0)]
    circumstances = {"versions": {}, "device": {"platform": "cpu", "kind": "A CPU"}, "commit": None, "command": "it"}
    result = {"part": "training", "rows": rows, "goals": training.goals(rows), **circumstances}
    (tmp_path / "training-cpu.json").write_text(json.dumps(result), encoding="utf-8")
    section = markdown.section(tmp_path, tmp_path / "README.md")
    assert "| addition | torch | 9 (9-9); RuntimeError: no memory |" in section
    assert "in whole training runs on A CPU, rnnjax" in markdown.short(tmp_path)


def check_quick(out: Any, peers: list[tuple[str, int]]) -> None:
    result = json.loads(out.read_text())
    assert result["part"] == "training"
    assert [(r["task"], r["peer"], r["devices"]) for r in result["rows"]] == [
        (task, *peer) for task in training.QUICK for peer in peers
    ]
    for r in result["rows"]:
        assert len(r["samples"]) == 2
        assert r["speed"]["q1"] <= r["speed"]["median"] <= r["speed"]["q3"]
        for run in r["runs"]:
            assert run["reached"] and run["seconds"] > 0 and run["units"] > 0
    assert [len(r["runs"]) for r in result["rows"]] == [2 * (r["devices"] == 2 or r["peer"] != "rnnjax") for r in
                                                        result["rows"]]  # fmt: skip
    units = dict.fromkeys(r["unit"] for r in result["rows"])
    assert list(units) == ["examples", "tokens", "windows"]
    assert any("carried" in said or "goes on" in said for said in result["differences"])
    assert out.with_suffix(".png").stat().st_size < 150_000


@pytest.mark.slow
def test_a_quick_run_of_rnnjax_alone_needs_no_files(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    out = tmp_path / "result.json"
    options = ["--quick", "--peers", "rnnjax", "--rounds", "2", "--seeds", "0", "1", "--out", str(out)]
    assert training.main(options) == 0
    check_quick(out, [("rnnjax", 2), ("rnnjax", 1)])
    assert "tokens" in capsys.readouterr().out


@pytest.mark.slow
def test_quick_run_from_start_to_end(tmp_path, capsys):
    for name in ("keras", "torch"):
        pytest.importorskip(name, reason=f"{name} (extra bench) is not installed")
    out = tmp_path / "result.json"
    assert training.main(["--quick", "--rounds", "2", "--seeds", "0", "1", "--out", str(out)]) == 0
    check_quick(out, [("rnnjax", 2), ("rnnjax", 1), ("keras", 1), ("torch", 1)])
    assert json.loads(out.read_text())["versions"]["torch"]
    assert "rnnjax / keras" in " ".join(capsys.readouterr().out.split())


def test_committed_rows_are_read_by_the_names_of_today():
    result = json.loads((training.record.COMMITTED / "training-cpu.json").read_text(encoding="utf-8"))
    for before in (row for row in result["rows"] if row["peer"] and "metric" not in row):
        after = training_rows.read(before)
        assert (after["unit"], after["metric"]["name"]) == ("examples", "accuracy")
        assert after["speed"] == before["examples_per_second"] and after["goal"] == before["accuracy_goal"]
        for run, old in zip(after["runs"], before["to_accuracy"], strict=True):
            assert [point["quality"] for point in run["curve"]] == [point["accuracy"] for point in old["curve"]]


def test_tasks_that_count_the_same_share_a_table_with_the_spread_over_seeds(tmp_path):
    rows = [row("shakespeare_chars", "rnnjax", 1234.5, 2, "tokens"), row("ett_forecast", "torch", 9.0, 1, "windows")]
    rows.append({"task": "mnist_rows", "peer": None, "not_prepared": "no MNIST"})
    circumstances = {"versions": {}, "device": {"platform": "cpu", "kind": "A CPU"}, "commit": None, "command": "it"}
    result = {"part": "training", "rows": rows, "goals": training.goals(rows), **circumstances}
    (tmp_path / "training-cpu.json").write_text(json.dumps(result), encoding="utf-8")
    section = markdown.section(tmp_path, tmp_path / "README.md")
    for line in (
        "| task | peer | tokens/s (quartiles) | seconds to the loss | loss | compile s |",
        "| shakespeare_chars | rnnjax, 2 devices | 1,234 (1,234-1,234) | 12.0 (11.0-13.0) | 1.6900 | 1.0 |",
        "| task | peer | windows/s (quartiles) | seconds to the loss | loss | compile s |",
    ):
        assert line in section, f"{line}\nis not in\n{section}"
    assert "mnist" not in section


def test_every_task_has_a_panel(tmp_path, capsys):
    rows = [row(task, "rnnjax", 9.0) for task in TASKS]
    training.save_curves(rows, tmp_path / "curves.png")
    assert 0 < (tmp_path / "curves.png").stat().st_size < 150_000
    training.show({"rows": rows, "goals": training.goals(rows), "cores_of_others": None})
    assert "1.7000" in capsys.readouterr().out


def test_goals_of_the_page_are_upwards(tmp_path):
    rows = [row(task, peer, 9.0) for task in ("addition", "digits_rows") for peer in ("rnnjax", "keras")]
    circumstances = {"versions": {}, "device": {"platform": "cpu", "kind": "A CPU"}, "commit": None, "command": "it"}
    result = {"part": "training", "rows": rows, "goals": training.goals(rows), **circumstances}
    (tmp_path / "training-cpu.json").write_text(json.dumps(result), encoding="utf-8")
    assert "| geometric mean of 2 tasks: speed, rnnjax / keras | ≥ 1.6 | 1.000 |" in markdown.section(tmp_path)
    assert "1.00 × Keras (geometric mean of 2 tasks)" in markdown.short(tmp_path)
