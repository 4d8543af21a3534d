"""The variants of :mod:`experiments.cifar10_cnn_rnn` on a stack of convolutions that learns in few epochs.

Whitening, kernels that begin as the identity, flips in turn, Nesterov's momentum with larger rates for the biases of
batch norm, label smoothing, averaged weights, and mirrored and shifted views at test time are those of Jordan 2024
(arXiv:2404.00498). The heads read the nine pixels that are left.
"""

from typing import Any

from rnnjax import RNN, Bidirectional, LSTMCell, Target, Variant
from rnnjax.layers.fast_conv import FastConvStack
from rnnjax.models.build import AXIS
from rnnjax.models.head import PooledHead
from rnnjax.models.views import ViewedImageClassifier

TARGET = Target(value=0.915, source="aim 93 %; a CNN alone, airbench: 94 % in ten epochs")
DATA = {"batch_size": 256, "max_shift": 2, "flip": False, "alternate_flip": True, "cutout": 0}
OPTIM = {
    "optimizer": "sgd",
    "momentum": 0.85,
    "learning_rate": 0.4,
    "schedule": "cosine",
    "warmup_fraction": 0.2,
    "weight_decay": 2e-3,
    "label_smoothing": 0.2,
    "ema_decay": 0.99,
    "groups": (r"BatchNorm_\d+/bias=16",),
}


def reader(recurrent: Any = None) -> ViewedImageClassifier:
    """The stack under a recurrence over its pixels, or pooled."""
    head = PooledHead(10, ("mean", "max"))
    return ViewedImageClassifier(recurrent, head, conv=FastConvStack((64, 128, 256), axis_name=AXIS), read_by="pixels")


def variant(summary: str, recurrent: Any = None, epochs: int = 6) -> Variant:
    """One head on the fast stack."""
    target = TARGET if recurrent else TARGET.compared
    replaced = {"model": reader(recurrent), "target": target, "cost": f"{epochs} epochs of 45,000 images"}
    return Variant(summary, DATA, optim=OPTIM, train={"epochs": epochs}, replace=replaced)


def lstm(features: int = 256, *, reverse: bool = False) -> RNN:
    """An LSTM over the pixels."""
    return RNN(LSTMCell(features), reverse=reverse)


VARIANTS = {
    "fast_lstm": variant("the fast stack with an LSTM", lstm()),
    "fast_bilstm": variant("the fast stack with a bidirectional LSTM", Bidirectional(lstm(), lstm(reverse=True))),
    "fast_pooled": variant("the fast stack with a pooled head: no recurrence"),
    "fast_long": variant("the fast stack with an LSTM, for an hour", lstm(), epochs=14),
}
