"""Hours of electricity transformers (ETTh1, ETTh2) ahead of 96: a GRU over segments of two days.

The model is SegRNN (Lin et al. 2023, arXiv:2308.11200): one GRU(512), of whose window the last value is subtracted. It
is trained by the absolute error, and the epoch with the lowest squared error in validation is taken: this rule was
fixed before any test. Every test window counts; the look-back of the first reaches into validation. The gain over a
linear map of the window is thin.

ETTh1.csv and ETTh2.csv are in the repository zhouhaoyi/ETDataset on GitHub (CC BY-ND 4.0). Name their folder:

    python -m experiments.ett_forecast --data.path FOLDER
"""

import sys

from rnnjax import Experiment, Forecast, ForecastModel, OptimConfig, Target, TrainConfig, Variant, main
from rnnjax.data.ett import EttData

TARGETS = {
    ("ETTh1", 192): Target(value=0.415, source="SegRNN .408, iTransformer .441"),
    ("ETTh1", 336): Target(value=0.460, source="SegRNN .444, iTransformer .487"),
    ("ETTh1", 720): Target(value=0.465, source="SegRNN .446, iTransformer .503"),
    ("ETTh2", 96): Target(value=0.297, source="iTransformer .297"),
    ("ETTh2", 192): Target(value=0.380, source="iTransformer .380"),
    ("ETTh2", 336): Target(value=0.428, source="iTransformer .428"),
    ("ETTh2", 720): Target(value=0.427, source="iTransformer .427"),
}
"""Squared errors, by transformer and hours ahead; iTransformer's are of arXiv:2310.06625."""


def variant(name: str, horizon: int) -> Variant:
    """Of a transformer, so many hours ahead."""
    summary = f"the same of {name}, {horizon} hours ahead"
    return Variant(summary, {"name": name, "horizon": horizon}, replace={"target": TARGETS[name, horizon]})


EXPERIMENT = Experiment(
    name="ett_forecast",
    summary="a GRU(512) over segments forecasts 7 columns of ETTh1 for 96 hours from the 96 before",
    target=Target(value=0.370, source="SegRNN .368, iTransformer .386"),
    bars=True,
    cost="12 epochs of about 8,400 windows of 7 columns",
    data=EttData(batch_size=256),
    model=ForecastModel(features=512, segment=48, dropout=0.5),
    task=Forecast(loss="absolute", score="mse"),
    optim=OptimConfig(learning_rate=1e-3, schedule="cosine", ema_decay=0.99),
    train=TrainConfig(epochs=12, steps_per_call=8),
    variants={f"{name.lower()}_{horizon}": variant(name, horizon) for name, horizon in TARGETS},
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
