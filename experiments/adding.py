"""The adding problem over 1,000 steps: where the first weights decide whether an LSTM learns to remember.

The same LSTM(128) from biases drawn for memories of up to so many steps (chrono, Tallec and Ollivier 2018,
arXiv:1804.11188), from a forget gate that is open by a bias of 1 (Jozefowicz et al. 2015) or by none, and with the
chrono biases but recurrent weights by Glorot in place of orthogonal ones (Saxe et al. 2014, arXiv:1312.6120). On one
seed the biases decide: with those of 1 or of none it stays at the answer of the mean, and orthogonal or Glorot weights
make little difference.
"""

import sys
from typing import Any

import flax.linen as nn

from rnnjax import RNN, Experiment, LSTMCell, OptimConfig, Regression, Target, TrainConfig, Variant, main
from rnnjax.config.training import ParallelConfig
from rnnjax.data.adding import AddingData
from rnnjax.models.head import PooledHead
from rnnjax.models.sequence import SequenceNet

STEPS = 1000
AIM = Target(value=0.05, source="always answering 1: 0.408")
BESIDE = {"target": AIM.compared}


def reader(**cell: Any) -> SequenceNet:
    """An LSTM that answers when it has read all."""
    return SequenceNet(RNN(LSTMCell(128, **cell)), PooledHead(1, ("last",)))


EXPERIMENT = Experiment(
    name="adding",
    summary="an LSTM(128) with chrono biases adds two marked numbers among 1,000",
    target=AIM,
    bars=True,
    cost="5 epochs of 18,000 sequences of 1,000 steps",
    data=AddingData(steps=STEPS, batch_size=50),
    model=reader(chrono_steps=STEPS),
    task=Regression(),
    optim=OptimConfig(learning_rate=2e-3, schedule="constant", clip_norm=1.0),
    train=TrainConfig(epochs=5, steps_per_call=8),
    parallel=ParallelConfig(cpu_devices=2),
    variants={
        "unit_bias": Variant("the same with a forget bias of 1", replace={"model": reader(), **BESIDE}),
        "no_bias": Variant("the same without a forget bias", replace={"model": reader(forget_bias=0.0), **BESIDE}),
        "glorot": Variant(
            "chrono biases, but recurrent weights by Glorot",
            replace={"model": reader(chrono_steps=STEPS, recurrent_init=nn.initializers.glorot_uniform()), **BESIDE},
        ),
    },
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
