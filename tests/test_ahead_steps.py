"""Training and evaluation steps compiled for TPUs and GPUs that are not here: what they exchange, and their loops.

Data are made up, of the shapes of each experiment's. Everything is compiled by the package's own parallel module.
"""

import dataclasses
import functools
import math

import jax
import pytest

from rnnjax.ahead import machines, memory, report, steps, text
from rnnjax.training.optim import factors
from rnnjax.training.runner import Runner
from tests.lowered import EXPERIMENTS, made_up

pytestmark = [pytest.mark.optimized, pytest.mark.slow]

TARGETS = {"v5e:2x2": "tpu", "h200:4": "cuda"}
FEW = {("mnist_rows", "v5e:2x2")}
"""What `.ci/run` has the time for."""
CASES = [
    pytest.param(name, target, marks=() if (name, target) in FEW else pytest.mark.long)
    for name in EXPERIMENTS
    for target in TARGETS
]


def here(target: str) -> machines.Machine:
    """The machine, or a skip where what compiles for it is missing."""
    machine = machines.machine(target)
    if reason := machines.obstacle("tpu" if machine.chip["platform"] == "tpu" else "cuda"):
        pytest.skip(reason)
    return machine


@functools.cache
def compiled(name: str, target: str, batch_size: int | None = None) -> tuple[Runner, dict[str, steps.Step]]:
    experiment, machine = EXPERIMENTS[name], here(target)
    batch_size = batch_size or -(-experiment.data.batch_size // machine.count) * machine.count
    experiment = dataclasses.replace(experiment, data=dataclasses.replace(experiment.data, batch_size=batch_size))
    program = steps.runner(experiment, made_up(experiment.config), machine)
    return program, {step.name: step for step in steps.compiled(program)}


def trained(program: Runner) -> list[jax.ShapeDtypeStruct]:
    """The parameters that the compiled step changes: what is frozen has no gradients to exchange."""
    groups, _ = program.optimizer.in_stage(program.optimizer.stages[-1])
    params = program.variables["params"]
    factors_of_each = jax.tree.leaves(factors(groups, params))
    return [leaf for leaf, factor in zip(jax.tree.leaves(params), factors_of_each, strict=True) if factor]


def size(tree: object) -> int:
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def read(step: steps.Step) -> tuple[list[text.Loop], list[text.Collective]]:
    assert step.compiled is not None
    written = step.compiled.as_text()
    return text.loops(written), text.collectives(written)


@pytest.mark.parametrize(("name", "target"), CASES)
def test_training_exchanges_gradients_and_sums_alone(name, target):
    program, made = compiled(name, target)
    step = made["train"]
    _, found = read(step)
    assert {each.kind for each in found} == {"all-reduce"}
    assert {each.group for each in found} == {4}
    params, others = trained(program), {n: v for n, v in program.variables.items() if n != "params"}
    _, (_, sums) = step.chunk, jax.eval_shape(step.function, *step.shapes)
    each = {n: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype) for n, leaf in sums.items() if n != "grad_norm"}
    # Batch norm sums a mean and a variance forward, and for each of them one array of their size backward.
    wanted = size(params) + size(each) + 2 * size(others.get("batch_stats"))
    exchanged = sum(one.total_bytes for one in found) / step.count
    # The loss is divided by the weight of the whole batch, which stands among the sums too: known twice, or once.
    assert wanted <= exchanged <= wanted + size(each["weight"])


@pytest.mark.parametrize(("name", "target"), CASES)
def test_evaluation_gathers_what_the_task_keeps_alone(name, target):
    _, made = compiled(name, target)
    step = made["evaluate"]
    _, found = read(step)
    totals, kept, _ = jax.eval_shape(step.function, *step.shapes)
    by_kind = {kind: sum(one.total_bytes for one in found if one.kind == kind) for kind in {one.kind for one in found}}
    assert by_kind.pop("all-gather", 0) == size(kept)
    assert by_kind.pop("all-reduce") == size(totals)
    assert not by_kind


@pytest.mark.parametrize(("name", "target"), CASES)
def test_no_loop_copies_a_sequence(name, target):
    program, made = compiled(name, target)
    for step in made.values():
        loops, _ = read(step)
        over_time = [loop for loop in loops if report.layer(loop.op_name, list(program.implementations))]
        assert over_time or not program.implementations
        assert [(loop.op_name, copy) for loop in loops if loop.depth for copy in loop.copies] == []


@pytest.mark.parametrize(("name", "target"), CASES)
def test_it_fits_and_auto_takes_what_is_good_there(name, target):
    program, made = compiled(name, target)
    chip = machines.machine(target).chip
    assert all(memory.fits(step, chip) for step in made.values())
    assert set(program.implementations.values()) <= {"fused", "associative"}  # as on any accelerator, by today's rule


@pytest.mark.long
def test_a_pod_of_256_chips_has_room_for_a_batch_of_16384():
    program, made = compiled("cifar10_cnn_rnn", "v5e:16x16", 16384)
    assert program.parallel.device_count == 256
    kept = memory.of(made["train"], machines.machine("v5e:16x16").chip)
    assert kept is not None
    print(f"{kept.together / 2**20:.0f} MiB of {kept.available / 2**20:.0f} a device")
    assert kept.fits
    _, found = read(made["train"])
    assert {each.group for each in found} == {256}


@pytest.mark.long
@pytest.mark.parametrize("target", TARGETS)
def test_parts_of_a_batch_exchange_no_more_than_the_whole_of_it(target):
    """One exchange a step, after its last part."""
    machine, experiment = here(target), EXPERIMENTS["mnist_rows"]
    found = {}
    for parts in (1, 4):
        changed = dataclasses.replace(experiment, train=dataclasses.replace(experiment.train, accumulate=parts))
        (step,) = steps.compiled(steps.runner(changed, made_up(changed.config), machine), ("train",))
        collectives = read(step)[1]
        assert {each.kind for each in collectives} == {"all-reduce"}
        found[parts] = sum(each.total_bytes for each in collectives) / step.count
    assert found[4] == pytest.approx(
        found[1], abs=4
    )  # of a whole batch, its weight is known while it is differentiated
