"""Sums of numbers digit by digit: an encoder, and a decoder with attention, as of ``addition``."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from experiments import addition
from experiments.benchmarks.training_tasks.part import Part, constant
from rnnjax.config import TrainConfig
from rnnjax.data.tokens import UNKNOWN
from rnnjax.experiment import Experiment
from rnnjax.models.encoder_decoder_config import EncoderDecoderModel
from rnnjax.tasks import SequenceToSequence


@dataclass(frozen=True)
class Sums(Part):
    """What is written of a source, its characters one by one."""

    differences: ClassVar[tuple[str, ...]] = (
        "A decoder with attention is no stock layer: of plain layers, it is one in Keras that scans over its steps, "
        "and in PyTorch a loop over an LSTMCell. PyTorch reads sums packed or padded, as texts.",
    )

    def outputs(self, made: Any) -> Any:
        """The logits of each token after the right ones before it; what is written freely is left out."""
        return made["logits"]

    def sums(self, task: Any, outputs: np.ndarray, batch: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """The answers that greedy decoding would write.

        It writes the right one exactly where each token is the most probable after the right ones before it, of the
        tokens that are written at all: no padding, and nothing unknown.
        """
        targets, real = batch["targets"], batch["mask"]
        most = outputs[..., UNKNOWN + 1 :].argmax(-1) + UNKNOWN + 1
        right = ((most == targets) | (targets < 0)).all(1)
        return {"right": (right & real).sum(), "weight": real.sum()}

    def finish(self, task: Any, totals: Mapping[str, Any]) -> float:
        """The share of answers that are right."""
        return float(totals["right"] / totals["weight"])


def additions(quick: bool, folder: str) -> Sums:
    """Sums of numbers of up to three digits."""
    given = addition.EXPERIMENT
    model = EncoderDecoderModel(
        encoder_features=given.model.encoder_features,
        features=given.model.features,
        embedding_features=given.model.embedding_features,
    )
    experiment = Experiment(
        name=given.name,
        data=given.data,
        model=model,
        task=SequenceToSequence(),
        optim=constant(given.optim, given.optim.learning_rate),
        train=TrainConfig(epochs=20, steps_per_call=16),
    )
    if not quick:
        return Sums(experiment, goal=0.90, interval=12_800, segment=32)
    model = replace(model, encoder_features=(4,), features=(8,), embedding_features=4)
    data = replace(given.data, training_pairs=512, test_pairs=64, batch_size=32)
    train = TrainConfig(epochs=1, steps_per_call=4)
    return Sums(replace(experiment, data=data, model=model, train=train), goal=0.0, interval=128, segment=4)
