"""Hours of electricity transformers ahead: a GRU over segments, as of ``ett_forecast``."""

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np

from experiments import ett_forecast
from experiments.benchmarks.training_tasks.part import Part, constant
from rnnjax.config import TrainConfig
from rnnjax.data import Dataset
from rnnjax.data.forecast_table import ForecastTable
from rnnjax.errors import DataError
from rnnjax.experiment import Experiment
from rnnjax.models.forecast_config import ForecastModel
from rnnjax.tasks import Forecast


@dataclass(frozen=True)
class Ahead(Part):
    """The rows of a series after a window, each column by itself."""

    unit: ClassVar[str] = "windows"
    differences: ClassVar[tuple[str, ...]] = (
        "Windows of a series are cut beforehand for Keras and PyTorch; rnnjax cuts them inside its compiled step.",
    )

    def load(self) -> Dataset:
        """The windows of the series."""
        data = self.experiment.data
        if not data.path:
            raise DataError(
                f"{self.experiment.name}: name the folder of {data.name}.csv by --folder, or leave the task out by "
                "--tasks"
            )
        return super().load()


def ett(quick: bool, folder: str) -> Ahead:
    """ETTh1's seven columns for 96 hours from the 96 before; quickly, waves that are made up."""
    given = ett_forecast.EXPERIMENT
    model = ForecastModel(
        cell="gru", features=given.model.features, segment=given.model.segment, dropout=given.model.dropout
    )
    experiment = Experiment(
        name=given.name,
        data=replace(given.data, path=folder),
        model=model,
        task=Forecast(loss="absolute", score="mse"),
        optim=constant(given.optim, 1e-3),
        train=TrainConfig(epochs=6, steps_per_call=4),
    )
    if not quick:
        return Ahead(experiment, goal=0.68, interval=2_048, segment=12)
    model, train = replace(model, features=8, segment=6), TrainConfig(epochs=1, steps_per_call=4)
    data = MadeUpSeries(path="made up", look_back=12, horizon=12, batch_size=16)
    return Ahead(replace(experiment, data=data, model=model, train=train), goal=10.0, interval=64, segment=4)


@dataclass(frozen=True, kw_only=True)
class MadeUpSeries(ForecastTable):
    """Waves of two columns with noise, so that no file is needed."""

    steps: int = 400
    """Rows."""

    def load(self) -> Any:
        """The windows of the waves."""
        time, rng = np.arange(self.steps), np.random.default_rng(0)
        waves = np.stack([np.sin(time / 3), np.cos(time / 5)], 1) + rng.normal(0, 0.1, (self.steps, 2))
        with TemporaryDirectory() as folder:
            file = Path(folder) / "waves.csv"
            np.savetxt(file, waves, delimiter=",", header="sine,cosine", comments="", fmt="%.4f")
            return ForecastTable(path=str(file), look_back=self.look_back, horizon=self.horizon).load()
