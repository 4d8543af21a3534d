"""What three tiny trainings compute stays what it was; see tests/golden.py."""

import copy
import functools
import json
import operator

import pytest

from tests.golden import PROGRAMS, STORED, computed, differences

GOLDEN = json.loads(STORED.read_text(encoding="utf-8"))
CONFIGURATIONS = pytest.mark.parametrize("name", PROGRAMS)


@pytest.fixture(scope="session")
def now():
    return computed()


def assert_same(now, name, *, exact):
    lines = differences(GOLDEN["programs"][name], now["programs"][name], exact=exact)
    assert not lines, "\n".join(lines)


@CONFIGURATIONS
def test_a_training_computes_the_same_bits(now, name):
    if now["made_with"] != GOLDEN["made_with"]:
        pytest.skip(f"tests/golden.json was made with {GOLDEN['made_with']}; here are {now['made_with']}")
    assert_same(now, name, exact=True)


@CONFIGURATIONS
def test_a_training_computes_about_the_same_on_every_machine(now, name):
    assert_same(now, name, exact=False)


@pytest.mark.parametrize(
    "path", [("steps", "5", "loss"), ("validation", "loss"), ("leaves", "params/head/Dense_0/kernel", "norm")]
)
def test_about_the_same_is_within_the_tolerance(path):
    def with_error(relative):
        changed = copy.deepcopy(GOLDEN["programs"]["rows"])
        place = functools.reduce(operator.getitem, path[:-1], changed)
        place[path[-1]] = (float.fromhex(place[path[-1]]) * (1 + relative)).hex()
        return changed

    compared = functools.partial(differences, GOLDEN["programs"]["rows"])
    assert not compared(with_error(5e-5), exact=False)
    assert len(compared(with_error(2e-4), exact=False)) == len(compared(with_error(1e-9), exact=True)) == 1
