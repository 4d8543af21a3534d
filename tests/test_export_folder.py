"""The command ``export``: its folder answers in processes without this package, and what is wrong is one sentence."""

import contextlib
import importlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rnnjax
from experiments import digits_rows, text_table
from rnnjax import cli
from rnnjax.errors import RunError, UsageError
from rnnjax.export import __main__ as checking
from rnnjax.export import check, folder, onnx_graph, onnx_layers
from tests import language_run
from tests.marks import often

pytest.importorskip("onnxruntime")
pytest.importorskip("safetensors")


def command(experiment, *arguments):
    """The exit code of an experiment's command, what it printed, and what it told."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as told:
        code = cli.main(experiment, [str(argument) for argument in arguments])
    return code, out.getvalue(), told.getvalue()


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """The work folder of a digits model that was trained for an epoch."""
    root = tmp_path_factory.mktemp("digits")
    options = ["--train.epochs", "1", "--model.features", "8", "--runs-dir", root]
    assert command(digits_rows.EXPERIMENT, *options)[0] == 0
    return root / "digits_rows" / "seed-0"


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """The work folder of a classifier of small documents, read in both directions."""
    root, draw = tmp_path_factory.mktemp("texts"), np.random.default_rng(0)
    words = np.array(["good", "bad", "film", "plot", "the", "a"])
    texts = [" ".join(draw.choice(words, draw.integers(1, 9))) for _ in range(60)]
    rows = [f"{text},{'pos' if 'good' in text else 'neg'}" for text in texts]
    (root / "texts.csv").write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    options = ["--data.path", root / "texts.csv", "--train.epochs", "1", "--model.features", "4"]
    options += ["--model.embedding-features", "4", "--data.batch-size", "8"]
    assert command(text_table.EXPERIMENT, *options, "--runs-dir", root)[0] == 0
    return root / "text_table" / "seed-0"


def without_the_package(page: Path) -> list[str]:
    """What the Python of a page prints in its folder, in processes that cannot import this package."""
    program = (
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in {'rnnjax', 'flax', 'experiments'}: raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Missing())\n"
    )
    printed = []
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        assert len([line for line in block.splitlines() if line.strip()]) <= 10
        environment = {**os.environ, "PYTHONPATH": ""}
        done = subprocess.run(
            [sys.executable, "-c", program + block],
            capture_output=True,
            text=True,
            cwd=page.parent,
            timeout=300,
            env=environment,
        )
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout)
    return printed


@pytest.mark.parametrize(
    ("which", "to"),
    often(
        [(which, to) for which in ("digits", "texts") for to in ("stablehlo", "onnx")],
        [("digits", "onnx"), ("texts", "onnx")],
    ),
)
def test_an_exported_model_answers_without_this_package_as_here(request, tmp_path, which, to):
    work, out = request.getfixturevalue(which), tmp_path / "out"
    code, said, told = command(digits_rows.EXPERIMENT, "export", "--workdir", work, "--to", to, "--out", out)
    assert code == 0 and f"model.{to}, which answers its sample" in said, told
    for printed in without_the_package(out / "README.md"):
        assert float(printed) < 1e-5
    described = json.loads((out / "export.json").read_text(encoding="utf-8"))
    predictor = rnnjax.load(work)
    assert described["labels"] == list(predictor.spec.names) and described["versions"]["rnnjax"] == rnnjax.__version__
    with np.load(out / "sample.npz") as sample:
        stored = {name: sample[name] for name in described["inputs"]}
        np.testing.assert_allclose(predictor.outputs(stored), sample["output_0"], rtol=1e-6, atol=1e-6)
    answers = predictor.task.rows(predictor.outputs(stored), predictor.spec)
    assert [row["label"] for row in described["sample"]["answers"]] == [row["label"] for row in answers]
    assert (out / "preprocess.json").read_bytes() == (work / "preprocess.json").read_bytes()
    assert ("file" in described["step"]) == (which == "digits")


def test_weights_alone_are_exported_with_what_rebuilds_the_model(digits, tmp_path):
    out = tmp_path / "out"
    assert command(digits_rows.EXPERIMENT, "export", "--workdir", digits, "--to", "safetensors", "--out", out)[0] == 0
    assert "params/" in without_the_package(out / "README.md")[0]
    held = rnnjax.load_safetensors(out / "model.safetensors").predictor
    with np.load(out / "sample.npz") as sample:
        np.testing.assert_array_equal(held.outputs({"inputs": sample["inputs"]}), sample["output_0"])


@pytest.mark.slow
def test_a_language_model_streams_from_its_folder(tmp_path):
    work, _ = language_run.trained(tmp_path)
    for to in ("stablehlo", "onnx"):
        described = folder.write(rnnjax.load(work), tmp_path / to, to)
        assert described["step"]["file"] == f"step.{to}"
        assert check.difference(tmp_path / to) < 1e-5


def test_fixed_sizes_are_asked_for(texts, tmp_path):
    described = folder.write(rnnjax.load(texts), tmp_path / "out", "onnx", batch=2, length=5)
    assert described["inputs"] == {"inputs": [[2, 5], "int32"], "lengths": [[2], "int32"]}


def test_the_folder_is_checked_again_and_damage_is_said(digits, tmp_path, capsys):
    out = tmp_path / "out"
    folder.write(rnnjax.load(digits), out, "onnx")
    assert checking.main([str(out)]) == 0
    assert "answers its sample as when it was exported" in capsys.readouterr().out
    with np.load(out / "sample.npz") as stored:
        sample = dict(stored)
    np.savez(out / "sample.npz", **{**sample, "output_0": sample["output_0"] + 1})
    assert checking.main([str(out)]) == 1
    assert "answers its sample otherwise" in capsys.readouterr().out
    (out / "model.onnx").write_bytes((out / "model.onnx").read_bytes()[:200])
    assert checking.main([str(out)]) == 1
    assert "damaged, or not whole" in capsys.readouterr().err
    assert checking.main([str(tmp_path)]) == 2
    assert "holds no exported model" in capsys.readouterr().err
    assert checking.main([]) == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("disk is full"), UsageError("no")])
def test_interrupted_writing_leaves_nothing(digits, tmp_path, monkeypatch, error):
    monkeypatch.setattr(folder.readme, "text", lambda said: (_ for _ in ()).throw(error))
    with pytest.raises((KeyboardInterrupt, RunError, UsageError)):
        folder.write(rnnjax.load(digits), tmp_path / "out", "stablehlo")
    assert not list(tmp_path.iterdir())


def test_a_model_that_answers_otherwise_is_not_left(digits, tmp_path, monkeypatch):
    def mean(graph, outputs, lengths, backward):
        return graph.add("ReduceMean", outputs, axes=[1], keepdims=0)

    monkeypatch.setattr(onnx_layers, "_last", mean)
    with pytest.raises(RunError, match="answers otherwise than the model"):
        folder.write(rnnjax.load(digits), tmp_path / "out", "onnx")
    assert not list(tmp_path.iterdir())


def test_what_is_wrong_is_one_sentence(digits, tmp_path, monkeypatch):
    def told(*arguments):
        code, said, error = command(digits_rows.EXPERIMENT, "export", *arguments)
        assert code == 2 and not said and error.count("\n") == 1 and error.startswith("error: ")
        return error

    with contextlib.chdir(digits):
        beside = digits.with_name(f"{digits.name}-onnx")
        beside.mkdir()
        assert f"{beside} exists" in told("--workdir", ".", "--to", "onnx")
        beside.rmdir()
    assert "--to FORMAT: one of stablehlo, onnx, safetensors" in told("--workdir", digits)
    assert "unknown format 'tflite'" in told("--workdir", digits, "--to", "tflite")
    assert "exists; name another folder" in told("--workdir", digits, "--to", "onnx", "--out", tmp_path)
    assert "holds no run" in told("--workdir", tmp_path, "--to", "onnx", "--out", tmp_path / "out")
    assert "--length is of models" in told("--workdir", digits, "--to", "stablehlo", "--length", "3")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UsageError, match="ONNX files need the package onnxruntime: pip install"):
        onnx_graph.packages()
    assert "need the package onnxruntime" in told("--workdir", digits, "--to", "onnx")
    (digits / "result.json").rename(digits / "kept.json")
    try:
        assert "holds a run that is not finished" in told("--workdir", digits, "--to", "stablehlo")
    finally:
        (digits / "kept.json").rename(digits / "result.json")


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.usefixtures("tfds_dir")
@pytest.mark.parametrize(("name", "options"), [("mnist_rows", ()), ("imdb_lstm", ("--data.vocabulary-size", "2000"))])
def test_models_of_real_data_answer_without_this_package(tmp_path, name, options):
    """After an epoch of a small model."""
    experiment = importlib.import_module(f"experiments.{name}").EXPERIMENT
    small = ["--train.epochs", "1", "--model.features", "8", *options, "--runs-dir", tmp_path]
    assert command(experiment, *small)[0] == 0
    for to in ("stablehlo", "onnx"):
        work, out = tmp_path / experiment.name / "seed-0", tmp_path / to
        code, _, told = command(experiment, "export", "--workdir", work, "--to", to, "--out", out)
        assert code == 0, told
        for printed in without_the_package(out / "README.md"):
            assert float(printed) < 1e-5
