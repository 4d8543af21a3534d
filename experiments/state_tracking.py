"""The state of a group behind each of its elements, on words 150 times as long as those that were trained on.

Without a variant it is the parity of ones; ``--variant mod5`` are sums modulo 5, ``a5`` the even permutations of five
things. ``GROUP-MODEL`` has another model of as many parameters in the LSTM's place: ``simple_rnn``, ``min_gru`` or
``lru`` (both in blocks with a gate), or ``attention``. What recurs linearly cannot compose permutations at lengths that
it has not seen (Merrill et al. 2024, arXiv:2404.08819); an LSTM can.
"""

import dataclasses
import sys
from typing import Any

from experiments.attention_reader import AttentionReader
from rnnjax import Experiment, OptimConfig, PerStep, Target, TextModel, TrainConfig, Variant, main
from rnnjax.data.state_tracking import StateTrackingData

SMALL = {"lstm": (64,), "simple_rnn": (128,), "min_gru": (64, 64), "lru": (48, 48)}
LARGE = {"lstm": (256,), "simple_rnn": (512,), "min_gru": (254, 254), "lru": (194, 194)}  # as many parameters
TASK = PerStep(within=(64, 256, 1024))
AIM = Target(value=0.999, source="an LSTM can; a minGRU falls to chance")
COST = "four epochs of 100,000 words of 2 to 64 elements"
ELEMENTS = {"parity": 2, "mod5": 5, "a5": 60}


def variants(group: str) -> dict[str, Variant]:
    """Those of a group, by name; the LSTM's has the group's alone."""
    data: dict[str, Any] = {"group": group}
    aim: dict[str, Any] = {"target": AIM}
    if group == "a5":  # learnt for sequences as long as those that were seen, and by more of them
        data["training_words"] = 300_000
        aim |= {"cost": COST.replace("100", "300"), "task": dataclasses.replace(TASK, scored_within=64)}
        aim["target"] = Target(value=0.99, source="an LSTM can; a linear recurrence of few layers cannot")
    beside = {**aim, "target": aim["target"].compared}
    made = {}
    for cell, features in (LARGE if group == "a5" else SMALL).items():
        model = {"cell": cell, "features": features, "embedding_features": features[0], "blocks": len(features) > 1}
        made[f"{group}-{cell}"] = Variant(f"{group} by {cell} with as many parameters", data, model, replace=beside)
    made[group] = dataclasses.replace(made.pop(f"{group}-lstm"), replace=aim)
    width, heads = (152, 4) if group == "a5" else (36, 2)
    attention = AttentionReader(ELEMENTS[group] + 2, ELEMENTS[group], width, heads=heads)
    made[f"{group}-attention"] = Variant(f"{group} by causal attention", data, replace={"model": attention, **beside})
    return made


EXPERIMENT = Experiment(
    name="state_tracking",
    summary="an LSTM(64) tracks the parity of 10,000 bits and has seen 64",
    target=AIM,
    cost=COST,
    data=StateTrackingData(),
    model=TextModel(features=(64,), embedding_features=64),
    task=TASK,
    optim=OptimConfig(learning_rate=3e-3, schedule="cosine"),
    train=TrainConfig(epochs=4, steps_per_call=16),
    seeds=(0, 1, 2),
    variants={name: made for group in ELEMENTS for name, made in variants(group).items() if name != "parity"},
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
