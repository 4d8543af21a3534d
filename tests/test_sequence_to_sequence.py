"""Whole runs of sequence to sequence: stopped and resumed, on two devices, and asked from the command line."""

import ast
import dataclasses
import io
import json
import os
import signal
import sys
from dataclasses import dataclass
from typing import ClassVar

import jax
import numpy as np
import pytest

from rnnjax import (
    EncoderDecoderModel,
    Experiment,
    OptimConfig,
    SequenceToSequence,
    TrainConfig,
    cli,
    load,
    load_safetensors,
)
from rnnjax.data.pair_config import PairConfig
from rnnjax.errors import Interrupted, UsageError
from rnnjax.export import check
from rnnjax.export.folder import write
from rnnjax.runs.fitting import run as fit
from rnnjax.runs.log import read_metrics
from rnnjax.runs.workdir import WorkDir
from rnnjax.training.checkpoint import Checkpoints
from rnnjax.training.runner import Runner
from tests.toy import assert_close, trained


@dataclass(frozen=True, kw_only=True)
class Reversed(PairConfig):
    """Letters and their reverse, most of them short; beside the test, longer ones."""

    kind: ClassVar[str] = "reversed"

    def splits(self):
        from rnnjax.data.pairs import Pairs

        rng = np.random.default_rng(0)

        def drawn(count, *, longer=0):
            sizes = np.where(np.arange(count) % 10 == 9, 9, rng.integers(1, 4, count))
            texts = ["".join(rng.choice(list("abc"), size)) for size in sizes]
            groups = [int(number >= count - longer) for number in range(count)]
            return Pairs(texts, [text[::-1] for text in texts], groups=groups, names=("longer",) * bool(longer))

        return {"train": drawn(61), "validation": drawn(20), "test": drawn(20, longer=4)}


EXPERIMENT = Experiment(
    name="reversed",
    data=Reversed(name="reversed", batch_size=8, source_splitter="characters", target_splitter="characters"),
    model=EncoderDecoderModel(encoder_features=(3,), features=(5,), embedding_features=3, dropout=0.1),
    task=SequenceToSequence(),
    optim=OptimConfig(learning_rate=0.03, label_smoothing=0.1, ema_decay=0.9),
    train=TrainConfig(epochs=6, steps_per_call=2, log=()),
)


@pytest.fixture(scope="module")
def dataset():
    return EXPERIMENT.data.load()


@pytest.fixture(scope="module")
def program(dataset):
    return Runner(EXPERIMENT, dataset, jax.devices()[:2])


@pytest.fixture(scope="module")
def root(program, tmp_path_factory):
    root = tmp_path_factory.mktemp("runs") / "reversed" / "seed-0"
    fit(program, 0, root)
    return root


def outcome(program, root):
    """Everything of a finished run that must not depend on interruptions."""
    saved, _ = Checkpoints(WorkDir(root, EXPERIMENT.kinds).checkpoints).newest(program.create_state(0))
    assert saved is not None
    timings = ("examples_per_second", "seconds", "input_wait", "step_examples_per_second", "peak_memory_mib")
    rows = [{k: v for k, v in row.items() if k not in timings} for row in read_metrics(root / "metrics.jsonl")]
    return saved.state, rows, json.loads((root / "result.json").read_text())["metrics"]


@pytest.mark.always
def test_a_run_stopped_and_resumed_is_the_unbroken_run(program, root, tmp_path):
    stops = 0
    while True:
        seen = []

        def stop(step, seen=seen):
            seen.append(step)
            if len(seen) == 9:
                os.kill(os.getpid(), signal.SIGTERM)

        try:
            fit(program, 0, tmp_path / "stopped", on_chunk=stop)
            break
        except Interrupted:
            stops += 1
    assert stops >= 2
    ours, theirs = outcome(program, root), outcome(program, tmp_path / "stopped")
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.slow
@pytest.mark.long
def test_two_devices_train_and_write_as_one(dataset):
    plain = dataclasses.replace(EXPERIMENT, model=dataclasses.replace(EXPERIMENT.model, dropout=0.0))
    found = []
    for devices in (1, 2):
        program = Runner(plain, dataset, jax.devices()[:devices])
        chunks = program.train_plan(seed=3, epoch=0)[:2]
        state, _ = trained(program, program.create_state(1), chunks)
        metrics, _, kept = program.evaluate_keeping(state.variables(), "test")
        found.append((state.params, kept["written"], metrics))
    assert_close(found[1][0], found[0][0])
    np.testing.assert_array_equal(found[1][1], found[0][1])
    assert found[1][2] == pytest.approx(found[0][2], rel=1e-5)


def test_buckets_cut_sources_and_targets_to_lengths_of_their_own(dataset, program):
    buckets = dataset.plan.buckets
    assert len(buckets) == 2 and buckets[-1] == (9, 10)
    assert {chunk.length for chunk in program.train_plan(seed=0, epoch=0)} <= set(buckets)


def test_a_finished_run_leaves_its_report_and_a_picture_of_its_attention(root):
    page = json.loads((root / "report-test.json").read_text())
    assert page["groups"]["longer"]["examples"] == 4 and len(page["examples"]) == 4
    assert sum(row["examples"] for row in page["by_length"]) == 16
    assert (root / "attention-test.png").stat().st_size > 5000
    result = json.loads((root / "result.json").read_text())
    assert "longer exact_match" in result["report"]
    assert {"exact_match", "token_accuracy", "token_error_rate", "perplexity"} <= set(result["metrics"]["test"])


def said(capsys, *arguments):
    code = cli.main(EXPERIMENT, [*arguments])
    out = capsys.readouterr()
    return code, out.out.splitlines(), out.err


def test_predict_answers_a_line_a_file_and_stdin_with_any_beam(root, tmp_path, capsys, monkeypatch):
    model, folder = load(root, EXPERIMENT), f"--workdir={root}"
    lines = ["abc", "ab?", "c" * 30]
    alone = model(lines)
    assert len(alone) == 3 and all(isinstance(text, str) for text in alone)
    assert any(alone), "answers without a letter prove nothing"
    assert said(capsys, "predict", folder, "--text", *lines)[:2] == (0, alone)
    (tmp_path / "lines.txt").write_text("\n".join(lines) + "\n")
    assert said(capsys, "predict", folder, str(tmp_path / "lines.txt"))[:2] == (0, alone)
    stdin = io.TextIOWrapper(io.BytesIO(b"abc\n\nab?\n"))
    monkeypatch.setattr(sys, "stdin", stdin)
    code, out, err = said(capsys, "predict", folder, "-")
    assert (code, out) == (1, [alone[0], "", alone[1]]) and "standard input:2: a blank line" in err
    code, out, _ = said(capsys, "predict", folder, "--beam", "3", "--json-lines", "--text", "abc")
    assert code == 0 and set(json.loads(out[0])) >= {"input", "text", "score"}
    code, _, err = said(capsys, "predict", folder, "--beam", "0", "--text", "abc")
    assert code == 2 and "--beam must be 1 to 1000, got 0" in err


def test_no_program_of_export_holds_a_search(root, capsys, tmp_path):
    pytest.importorskip("flatbuffers")
    code, _, err = said(capsys, "export", f"--workdir={root}", "--to", "stablehlo", "--out", str(tmp_path / "out"))
    assert code == 2 and "searches for them step by step, which stablehlo does not hold; --to safetensors" in err


def test_weights_need_no_search_and_answer_as_the_model(root, capsys, tmp_path):
    pytest.importorskip("safetensors")
    out = tmp_path / "out"
    assert said(capsys, "export", f"--workdir={root}", "--to", "safetensors", "--out", str(out))[0] == 0
    assert check.main([str(out)])[0] == 0
    model, sources = load(root, EXPERIMENT), ["abc", "cb", "aacb"]
    loaded = load_safetensors(out / "model.safetensors").predictor
    assert loaded is not None and any(model(sources))
    assert loaded.rows(sources) == model.rows(sources)
    assert loaded.searching(3).rows(sources) == model.searching(3).rows(sources)
    shapes = [shape for shape, _ in json.loads((out / "export.json").read_text())["outputs"]]
    assert shapes == [["batch"], ["batch", 10], ["batch", 10, "time"]]
    page = (out / "README.md").read_text(encoding="utf-8")
    assert "its token ids" in page and "`targets` has no column" in page
    ast.parse(page.partition("```python\n")[2].partition("```")[0])
    write(model.searching(3), tmp_path / "beam", "safetensors")  # drawn samples, and its search
    beam = load_safetensors(tmp_path / "beam" / "model.safetensors").predictor
    assert beam is not None and beam.rows(sources) == model.searching(3).rows(sources)


def test_evaluation_by_a_beam_says_so(root, capsys):
    code, out, err = said(capsys, "evaluate", f"--workdir={root}", "--beam", "2", "--cpu-devices", "8")
    assert code == 0, err
    assert json.loads(out[-1])["beam"] == 2


def test_a_beam_is_of_models_that_write(root):
    model = load(root, EXPERIMENT)
    other = dataclasses.replace(model, task=dataclasses.replace(EXPERIMENT.task))
    assert other.task.writes
    from rnnjax import Search
    from rnnjax.tasks import Regression

    alone, penalised = model.searching(3), model.searching(Search(beam=3, length_penalty=0.5))
    assert (alone.model.beam, alone.model.length_penalty) == (3, Search().length_penalty)
    assert (penalised.model.beam, penalised.model.length_penalty) == (3, 0.5)
    with pytest.raises(UsageError, match="--beam must be 1 to 1000, got 0"):
        model.searching(0)
    with pytest.raises(UsageError, match="--beam is for models that write sequences; this one is of Regression"):
        dataclasses.replace(model, task=Regression()).searching(Search(beam=2))


def test_a_model_of_other_data_is_refused():
    from experiments.imdb_lstm import EXPERIMENT as IMDB
    from tests.small import made_up_texts

    experiment = dataclasses.replace(IMDB, model=EXPERIMENT.model, task=EXPERIMENT.task)
    with pytest.raises(Exception, match="needs integer targets"):
        Runner(experiment, made_up_texts(), jax.devices()[:1])
    with pytest.raises(UsageError, match="reads token ids with lengths and the targets"):
        EXPERIMENT.model.build(made_up_texts().spec, 9)
