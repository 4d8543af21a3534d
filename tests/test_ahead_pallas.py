"""The kernels compiled for a TPU that is not there: how many there are, what is copied, and the memory they take."""

import math
import re

import pytest

from rnnjax.ahead.program import Instruction, parse
from rnnjax.ahead.text import collectives
from rnnjax.layers.pallas.calls import ROOM
from tests.ahead_programs import DEVICES, compiled_for
from tests.pallas_programs import BATCH, FEATURES, STEPS

pytestmark = [pytest.mark.optimized, pytest.mark.slow]

NAMES = ["lstm_gradient", "lstm_loss", "gru_gradient", "gru_loss", "largest_gradient", "spread_gradient"]
CELLS = {"lstm": "lstm", "gru": "gru", "largest": "lstm", "spread": "gru"}


@pytest.fixture(scope="module")
def texts(tmp_path_factory) -> dict[str, str]:
    made = compiled_for("tpu", tmp_path_factory.mktemp("tpu"), "tests.pallas_programs")
    assert set(made) == set(NAMES)
    return made


def instructions(text: str) -> list[Instruction]:
    return [each for computation in parse(text).computations.values() for each in computation]


def kernels(text: str) -> dict[str, int]:
    """Of each kernel, by its direction and name, the bytes of vector memory that it takes."""
    found = {}
    for each in instructions(text):
        if each.target == "tpu_custom_call":
            named = re.search(r"(forward|backward)/cell.*/(\w+)/pallas_call$", each.op_name)
            taken = re.search(
                r'"used_scoped_memory_configs":\[\{"memory_space":"1","offset":"\d+","size":"(\d+)"', each.rest
            )
            assert named and taken and named.groups() not in found
            assert ("transpose(" in each.op_name) == named.group(2).endswith("_backward")
            found[named.groups()] = int(taken.group(1))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_layer_is_one_kernel_forward_and_one_backward_of_each_direction(texts, name):
    what, kind = name.split("_")
    found = kernels(texts[name])
    passes = ("forward", "backward") if kind == "gradient" else ("forward",)
    assert set(found) == {(way, f"{CELLS[what]}_{each}") for way in ("forward", "backward") for each in passes}
    print(name, {key: f"{size / 2**20:.1f} MiB" for key, size in found.items()})
    assert max(found.values()) <= ROOM


@pytest.mark.parametrize("name", NAMES)
def test_no_whole_sequence_is_copied(texts, name):
    """What is begun with copy-start and brought into the vector memory ahead of its use is no copy."""
    least = STEPS * BATCH * FEATURES
    moved = [
        (each.name, str(each.shape))
        for each in instructions(texts[name])
        if each.opcode in ("copy", "transpose", "reverse", "gather")
        and any(math.prod(leaf.dims) >= least for leaf in each.shape.leaves())
    ]
    assert moved == []


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("gradient")])
def test_gates_take_the_place_of_projected_inputs_and_gradients_that_of_gates(texts, name):
    aliases = [
        each.attributes["output_to_operand_aliasing"].count("(")
        for each in instructions(texts[name])
        if each.target == "tpu_custom_call"
    ]
    assert sorted(aliases) == ([1, 1, 1, 1] if CELLS[name.split("_")[0]] == "lstm" else [1, 1, 2, 2])


def test_on_several_chips_gradients_are_summed_once(texts):
    found = collectives(texts["spread_gradient"])
    assert {(each.kind, each.group, each.runs) for each in found} == {("all-reduce", DEVICES, 1)}
