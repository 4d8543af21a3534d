"""What the experiments' train steps are lowered to stays what it was; see tests/lowered.py."""

import json

import pytest

from tests.lowered import EXPERIMENTS, STORED, described, lowered, made_with

GOLDEN = json.loads(STORED.read_text(encoding="utf-8"))


def test_every_experiment_is_stored():
    assert list(GOLDEN["steps"]) == list(EXPERIMENTS)


@pytest.mark.always
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_train_step_is_lowered_to_what_it_was(name):
    if made_with() != GOLDEN["made_with"]:
        pytest.skip(f"tests/lowered.json was made with {GOLDEN['made_with']}; here are {made_with()}")
    stored, now = GOLDEN["steps"][name], described(lowered(EXPERIMENTS[name]))
    assert now["operations"] == stored["operations"]
    assert now["hash"] == stored["hash"], f"other shapes, dtypes or constants; see python -m tests.lowered {name}"
