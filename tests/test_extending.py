"""The cell, task and data source of EXTENDING.md, added to a copy of the package: a file each, and a line elsewhere."""

import os
import re
import shutil
import subprocess
import sys
import typing

import pytest

from rnnjax.layers.cells import CELLS
from rnnjax.models.config import Cell
from tests.test_pages import EXTENDING, ROOT, blocks

NAMED = {
    "layers/cell_names.py": ("CELL_CLASSES = {", '    "update_gate": "update_gate.UpdateGateCell",'),
    "tasks/__init__.py": ("from rnnjax.tasks.regression", "from rnnjax.tasks.ordinal import Ordinal as Ordinal"),
    "experiment.py": ("from rnnjax.data.arrays", "from rnnjax.data.waves import WaveData as WaveData"),
}
"""A line that is there, and the one line that is written below it."""

USES = """
import json
from pathlib import Path
import flax.linen as nn
import numpy as np
import rnnjax
from rnnjax import main
from rnnjax.runs.workdir import WorkDir
from rnnjax.tasks.ordinal import Ordinal
from rnnjax.data.waves import WaveData

assert rnnjax.__file__.startswith({root!r}), rnnjax.__file__
train = rnnjax.TrainConfig(epochs=1)
cell = rnnjax.Experiment(name="cell", data=rnnjax.ImageData(name="digits"), model=rnnjax.ImageModel(features=(4,)))
assert main(cell, ["--model.cell", "update_gate", "--train.epochs", "1"]) == 0
shape = rnnjax.load("runs/cell/seed-0").variables["params"]["recurrent"]["layers_0"]["cell"]["recurrent_kernel"].shape
assert shape == (4, 8), shape

images = np.random.default_rng(0).normal(size=(200, 4, 4, 1))
grades = np.digitize(images.mean((1, 2, 3)), [-0.2, 0.0, 0.2])
data = rnnjax.Arrays(images, grades, validation_fraction=0.2, batch_size=32)
task = rnnjax.Experiment(data=data, model=rnnjax.ImageModel(features=(4,)), task=Ordinal(), train=train)
result = rnnjax.fit(task, workdir="runs/task")
loaded = rnnjax.load("runs/task")
assert isinstance(loaded.task, Ordinal) and (loaded(images[:9]) == result.predictor(images[:9])).all()


class Waves(nn.Module):
    @nn.compact
    def __call__(self, inputs, *, train=False):
        return nn.Dense(2)(rnnjax.RNN(rnnjax.GRUCell(4))(inputs)[0])


waves = rnnjax.Experiment(name="waves", data=WaveData(), model=Waves(), train=train)
assert main(waves, ["--data.steps", "12"]) == 0
assert json.load(open("runs/waves/seed-0/config.json"))["config"]["data"]["kind"] == "waves"
assert WorkDir(Path("runs/waves/seed-0")).read_run().config.data == WaveData(steps=12)
print("all three")
"""


def test_every_name_of_a_cell_is_an_option_and_the_other_way_round():
    assert set(typing.get_args(Cell)) == set(CELLS)


@pytest.mark.slow
def test_a_cell_a_task_and_a_source_are_a_file_and_a_line_each(tmp_path):
    package = tmp_path / "copy" / "rnnjax"
    shutil.copytree(ROOT / "rnnjax", package, ignore=shutil.ignore_patterns("__pycache__"))
    code = {name: block for block in blocks(EXTENDING, "python") for name in re.findall(r"^class (\w+)\(", block, re.M)}
    files = {
        "layers/cells/update_gate.py": code["UpdateGateCell"].split("\nlayer =")[0],
        "tasks/ordinal.py": code["Ordinal"],
        "data/waves.py": code["WaveData"].split("\ndataset =")[0],
    }
    for name, text in files.items():
        assert not (package / name).exists()
        (package / name).write_text(text.replace("from rnnjax import RNN, ImageModel\n", ""), encoding="utf-8")
    for name, (there, new) in NAMED.items():
        text = (package / name).read_text(encoding="utf-8").splitlines()
        (place,) = [number for number, line in enumerate(text) if line.startswith(there)]
        text.insert(place + 1, new)
        (package / name).write_text("\n".join(text) + "\n", encoding="utf-8")
    (tmp_path / "use.py").write_text(USES.format(root=str(package.parent)), encoding="utf-8")
    run = f"import sys, runpy; sys.path.insert(0, {str(package.parent)!r}); runpy.run_path('use.py', run_name='use')"
    done = subprocess.run(
        [sys.executable, "-c", run],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(package.parent)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0 and "all three" in done.stdout, done.stdout[-2000:] + done.stderr
