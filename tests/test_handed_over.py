"""The command line of an experiment with parts of one's own: nothing is warned of, and help says what they are."""

import json

import flax.linen as nn
import numpy as np
import optax
import pytest

import rnnjax
from rnnjax.cli import main

X = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")


class MyCell(rnnjax.LSTMCell):
    """A cell of one's own."""


class Net(nn.Module):
    @nn.compact
    def __call__(self, inputs, *, train=False):
        return nn.Dense(2)(inputs)


OWN_CELL = rnnjax.Experiment(
    name="own_cell",
    data=rnnjax.ImageData(name="digits", batch_size=64),
    model=rnnjax.ImageModel(cell=MyCell, features=(3,)),
    train=rnnjax.TrainConfig(epochs=1),
)
PARTS = rnnjax.Experiment(
    name="parts",
    data=rnnjax.Arrays(X, (X[:, 0] > 0).astype(int), batch_size=8),
    model=Net(),
    optim=optax.sgd(0.1),
    train=rnnjax.TrainConfig(epochs=1),
)
both = pytest.mark.parametrize("experiment", [OWN_CELL, PARTS], ids=lambda experiment: experiment.name)


def helped(experiment, capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(experiment, list(arguments))
    assert ended.value.code == 0
    captured = capsys.readouterr()
    assert not captured.err
    return captured.out


@both
def test_it_trains_and_evaluates(experiment, tmp_path, capsys):
    assert main(experiment, ["--runs-dir", str(tmp_path)]) == 0
    root = tmp_path / experiment.name / "seed-0"
    capsys.readouterr()
    assert main(experiment, ["evaluate", "--workdir", str(root)]) == 0
    shown = json.loads(capsys.readouterr().out)
    result = json.loads((root / "result.json").read_text())
    assert shown["accuracy"] == result["metrics"]["validation"]["accuracy"]
    with pytest.raises(rnnjax.UsageError, match="hand over its experiment") as refused:
        rnnjax.load(root)
    assert "not a readable configuration" not in str(refused.value)


def test_help_shows_the_name_of_a_class_of_ones_own_and_another_may_be_chosen(capsys, monkeypatch):
    shown = " ".join(helped(OWN_CELL, capsys, "train", "--help").replace("│", "").split())
    assert "(default: MyCell)" in shown
    started = []
    monkeypatch.setattr("rnnjax.runs.commands.train", lambda *arguments: started.append(arguments[0]) or 0)
    for options, cell in (([], MyCell), (["--model.cell", "gru"], "gru"), (["--model.cell", "MyCell"], MyCell)):
        assert main(OWN_CELL, options) == 0
        assert started[-1].model.cell == cell


def test_parts_that_were_handed_over_have_no_options(capsys):
    assert "--model." not in (shown := helped(PARTS, capsys, "train", "--help-all"))
    assert "--optim." not in shown
    assert "--data.batch-size" in shown and "--train.epochs" in shown
    for content in ("--data.x", "--data.y", "--data.lengths", "--data.weights", "--data.test "):
        assert content not in shown
    assert "evaluate" in helped(PARTS, capsys, "--help")
