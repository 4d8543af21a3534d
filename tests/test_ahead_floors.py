"""What a step moves at least, what is said where a step is too large, and that a closed stderr is no matter."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from rnnjax.ahead import floors, report, show
from rnnjax.ahead.memory import Memory
from rnnjax.ahead.quiet import quietly


def kept(arguments: int, temporaries: int) -> Memory:
    return Memory(arguments=arguments, outputs=0, temporaries=temporaries, program=0, available=10**9)


def step(count: int, name: str = "train") -> Any:
    return SimpleNamespace(count=count, name=name, state_bytes=1000, batch_bytes=10)


@pytest.mark.parametrize(
    ("count", "arguments", "temporaries", "within"),
    [
        (1, 5000, 700, 700),
        (5, 5000, 4700, 940),  # they may be a copy of the data, made before the loop over the steps
        (5, 5000, 25_000, 20_000),  # more than that is of a step
    ],
)
def test_what_a_call_may_copy_once_is_not_moved_at_each_of_its_steps(count, arguments, temporaries, within):
    memory = kept(arguments, temporaries)
    assert floors.moved(step(count), memory) == 2 * 1000 + 10 + 2 * within
    assert floors.moved(step(count, "evaluate"), memory) == 1000 + 10 + 2 * within


@pytest.mark.parametrize(("name", "parts", "loops"), [("train", 1, 1), ("train", 4, 2), ("evaluate", 4, 1)])
def test_the_loop_over_a_batchs_parts_is_none_over_time(name, parts, loops):
    program: Any = SimpleNamespace(experiment=SimpleNamespace(train=SimpleNamespace(accumulate=parts)))
    assert report._around_a_pass(step(3, name), program) == loops


@pytest.mark.parametrize(
    ("needed", "said"),
    [(2**34, "16 GiB are needed, 8 GiB are there: does not fit"), (None, "more is needed, 8 GiB are there")],
)
def test_what_does_not_fit_says_what_is_needed(needed, said):
    memory = {"needed": needed, "available": 2**33}
    one = {"batches_a_call": 1, "length": None, "compile_seconds": 1, "fits": False, "memory": memory}
    first, second = show._step("train", one)
    assert "1 batch a call;" in first and said in second


def test_stderr_may_be_closed(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    with quietly():
        pass
