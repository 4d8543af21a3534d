"""--config FILE: a run's own settings as the defaults of all options."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flax.linen as nn
import numpy as np
import optax
import pytest

import rnnjax
from experiments.digits_rows import EXPERIMENT as DIGITS
from experiments.text_table import EXPERIMENT as TABLE
from rnnjax.cli import main
from rnnjax.config import DataConfig
from rnnjax.errors import UsageError
from rnnjax.experiment import Variant
from rnnjax.runs.environment import without_folders
from rnnjax.runs.record import Run
from rnnjax.runs.settings import with_settings
from rnnjax.runs.workdir import WorkDir

SMALL = ["--model.features", "6", "--train.epochs", "1", "--seeds", "3", "--train.no-test"]


def record(root: Path, experiment: Any = DIGITS) -> Run:
    return WorkDir(root, experiment.kinds).read_run()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The work folder of a run with settings of its own."""
    runs = tmp_path_factory.mktemp("runs")
    assert main(DIGITS, [*SMALL, "--data.max-rotation", "3", "--runs-dir", str(runs)]) == 0
    return runs / "digits_rows" / "seed-3"


@pytest.mark.parametrize("name", ["config.json", "result.json"])
def test_a_run_from_the_settings_of_another_is_the_same_run(name, run, tmp_path):
    assert main(DIGITS, ["--config", str(run / name), "--runs-dir", str(tmp_path)]) == 0
    ours, theirs = record(tmp_path / "digits_rows" / "seed-3"), record(run)
    assert ours.differences(theirs) == [] == ours.other_data(theirs)
    assert ours.mark() | {"id": ""} == theirs.mark() | {"id": ""}
    results = [
        json.loads((root / "digits_rows" / "seed-3" / "result.json").read_text()) for root in (tmp_path, run.parents[1])
    ]
    assert results[0]["metrics"] == results[1]["metrics"]


def test_an_option_beside_it_overrides(run, monkeypatch):
    started = []
    monkeypatch.setattr("rnnjax.runs.commands.train", lambda *arguments: started.append(arguments) or 0)
    file = f"--config={run / 'config.json'}"
    assert main(DIGITS, ["train", "--train.epochs", "7", file, "--seeds", "5"]) == 0
    experiment, seeds, *_ = started[0]
    expected = with_settings(DIGITS, run / "config.json")
    assert expected.seeds == (3,) and seeds == (5,)
    assert expected.model.features == (6,) and expected.data.max_rotation == 3 and not expected.train.test
    assert experiment == dataclasses.replace(expected, train=dataclasses.replace(expected.train, epochs=7), program="")


def edited(run: Path, tmp_path: Path, **changes: Any) -> Path:
    """A file with the settings of a run, as a user would edit it."""
    values = json.loads((run / "config.json").read_text())
    kept = {name: values[name] for name in ("experiment", "seed", "config")}
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(kept | changes))
    return path


def test_an_edited_file_is_taken_without_its_digest(run, tmp_path):
    values = json.loads((run / "config.json").read_text())
    values["config"]["train"]["epochs"] = 9
    assert with_settings(DIGITS, edited(run, tmp_path, config=values["config"])).train.epochs == 9
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(UsageError, match="not as it was written"):
        with_settings(DIGITS, tmp_path / "config.json")


def test_a_file_that_is_none_is_one_sentence(run, tmp_path, capsys):
    values = json.loads((run / "config.json").read_text())
    for content, message in (
        (None, "no such file"),
        ("{", "not a run's config.json or result.json"),
        ("[]", "no JSON object"),
        ("{}", "it holds no configuration"),
        (json.dumps({"config": {}}), "section 'data' is missing"),
        (json.dumps({"config": values["config"] | {"modle": {}}}), "unknown section 'modle'"),
        (json.dumps({"config": values["config"] | {"train": {"epochs": "two"}}}), "train.epochs: 'two' is not a valid"),
        (json.dumps({"config": values["config"], "seed": "0"}), "seed: '0' is no integer"),
        (json.dumps({"config": values["config"], "experiment": "imdb_lstm"}), "of the experiment 'imdb_lstm'"),
    ):
        path = tmp_path / "some.json"
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_text(content)
        assert main(DIGITS, ["--config", str(path)]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: --config {path}: ") and error.count("\n") == 1, error
        assert message in error
    assert main(DIGITS, ["--config"]) == 2
    assert "--config needs a file" in capsys.readouterr().err


def test_a_variant_is_found_by_its_name(run, tmp_path):
    experiment = dataclasses.replace(DIGITS, variants={"tiny": Variant("a tiny one", model={"features": (2,)})})
    found = with_settings(experiment, edited(run, tmp_path, experiment="digits_rows-tiny"))
    assert found.name == "digits_rows-tiny" and found.model.features == (6,) and not found.variants
    with pytest.raises(UsageError, match="of the experiment 'digits_rows-tiny'"):
        with_settings(DIGITS, tmp_path / "mine.json")


def test_nothing_of_another_machine_is_taken(run, tmp_path):
    values = json.loads((run / "config.json").read_text())["config"]
    values["data"]["cache_dir"] = "/elsewhere"
    values["parallel"] |= {"coordinator": "host:1", "processes": 2, "process_id": 0, "distributed": True}
    found = with_settings(DIGITS, edited(run, tmp_path, config=values))
    assert found.data.cache_dir is None
    assert found.parallel == DIGITS.parallel


def test_a_record_says_where_the_data_lie_and_a_result_does_not(tmp_path):
    ours = dataclasses.replace(TABLE, data=dataclasses.replace(TABLE.data, path=str(tmp_path / "mine.csv")))
    (tmp_path / "config.json").write_text(json.dumps(Run("text_table", 0, ours.config).to_json()))
    assert with_settings(TABLE, tmp_path / "config.json") == ours
    values = {
        "experiment": "text_table",
        "metrics": {},
        "config": Run("text_table", 0, ours.config).to_json()["config"],
    }
    (tmp_path / "result.json").write_text(json.dumps(values))
    assert with_settings(TABLE, tmp_path / "result.json") == TABLE


def test_a_result_of_data_that_are_called_otherwise_is_noted(tmp_path, capsys):
    ours = dataclasses.replace(TABLE, data=dataclasses.replace(TABLE.data, path=str(tmp_path / "small")))
    values = without_folders(Run("text_table", 0, ours.config).to_json()["config"])
    file = tmp_path / "result.json"
    file.write_text(json.dumps({"experiment": "text_table", "metrics": {}, "config": values}))
    with_settings(TABLE, file)
    assert "the result names 'small', and no path is given here; give --data.path" in capsys.readouterr().err
    other = dataclasses.replace(TABLE, data=dataclasses.replace(TABLE.data, path="rows/large"))
    with_settings(other, file)
    assert "names 'small', and data are read from rows/large; give --data.path" in capsys.readouterr().err
    with_settings(other, file, ["train", "--data.path=mine"])
    with_settings(dataclasses.replace(TABLE, data=dataclasses.replace(TABLE.data, path="moved/small")), file)
    assert "names 'small'" not in capsys.readouterr().err
    assert main(TABLE, ["plan", "--config", str(file), "--data.path", "there-is-none.csv"]) != 0
    assert "names 'small'" not in capsys.readouterr().err


class Net(nn.Module):
    @nn.compact
    def __call__(self, inputs, *, train=False):
        return nn.Dense(2)(inputs)


@dataclass(frozen=True, kw_only=True)
class Mine(DataConfig):
    """Data of one's own."""

    rows: int = 4
    """How many."""


def test_parts_of_ones_own_are_read_by_the_experiment_at_hand(tmp_path):
    own = rnnjax.Experiment(name="own", data=Mine(rows=8), model=Net(), optim=optax.sgd(0.1))
    (tmp_path / "config.json").write_text(json.dumps(Run("own", 1, own.config).to_json()))
    here = rnnjax.Experiment(name="own", data=Mine(), model=Net(), optim=optax.sgd(0.1))
    found = with_settings(here, tmp_path / "config.json")
    assert (
        found.data == Mine(rows=8) and found.model is here.model and found.optim is here.optim and found.seeds == (1,)
    )
    with pytest.raises(UsageError, match="its model was a Net handed over, and here it is a ImageModel"):
        with_settings(dataclasses.replace(here, model=rnnjax.ImageModel()), tmp_path / "config.json")
    x = np.zeros((4, 3))
    arrays = rnnjax.Experiment(name="own", data=rnnjax.Arrays(x, x[:, 0], batch_size=2), model=Net())
    (tmp_path / "config.json").write_text(json.dumps(Run("own", 1, arrays.config).to_json()))
    other = dataclasses.replace(arrays, data=rnnjax.Arrays(x + 1, x[:, 0], batch_size=4))
    found = with_settings(other, tmp_path / "config.json")
    assert found.data.batch_size == 2 and found.data.x is other.data.x
    with pytest.raises(UsageError, match=r"its data was a Arrays, and here it is a Mine"):
        with_settings(here, tmp_path / "config.json")


def test_every_committed_result_is_read_back():
    import experiments
    from rnnjax.experiment import Experiment

    for path in sorted((Path(experiments.__file__).parent / "results").glob("*.json")):
        base, _, _ = json.loads(path.read_text())["experiment"].partition("-")
        if isinstance(experiment := experiments.load(base), Experiment):
            assert with_settings(experiment, path).name == json.loads(path.read_text())["experiment"]
