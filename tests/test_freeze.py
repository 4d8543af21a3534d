"""Frozen groups: nothing of them moves by a bit, and a frozen batch norm is PyTorch's in eval mode."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from rnnjax.config import OptimConfig
from rnnjax.training.freeze import frozen
from tests.toy import one_by_one, plain_images, plan, trained, with_holes

VARIABLES = {
    "params": {
        "conv": {"Conv_0": {"kernel": 0, "bias": 0}, "BatchNorm_0": {"scale": 0, "bias": 0}},
        "head": {"kernel": 0},
    },
    "batch_stats": {
        "conv": {"BatchNorm_0": {"mean": 0, "var": 0}, "plain": {"mean": 0}},  # plain: no scale, no bias
        "other": {"mean": 0},
    },
}
CONV = {"conv/Conv_0/kernel", "conv/Conv_0/bias"}
NORM = {"conv/BatchNorm_0/scale", "conv/BatchNorm_0/bias"}
STATISTICS = {"conv/BatchNorm_0/mean", "conv/BatchNorm_0/var"}


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ((), set()),
        (("conv=0.5",), set()),
        (("conv=0",), CONV | NORM | STATISTICS | {"conv/plain/mean"}),
        (("conv/.*kernel=0",), {"conv/Conv_0/kernel"}),
        (("BatchNorm_0/(scale|bias)=0",), NORM | STATISTICS),
        (("scale=1", "conv=0"), CONV | {"conv/BatchNorm_0/bias", "conv/plain/mean"}),  # the scale still learns
        (("BatchNorm=0.1", "conv=0"), CONV | {"conv/plain/mean"}),
        (("mean=0",), {"conv/plain/mean", "other/mean"}),  # beside the others lie parameters, and these learn
    ],
)
def test_statistics_follow_the_parameters_beside_them(groups, expected):
    still = jax.tree_util.tree_leaves_with_path(frozen(groups, VARIABLES))
    names = [jax.tree_util.keystr(path[1:], simple=True, separator="/") for path, value in still if value]
    assert sorted(names) == sorted(expected)


def bits(tree, part):
    """The bytes of the leaves with that word in their path, by path."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): np.asarray(leaf).tobytes() for path, leaf in leaves if part in str(path)}


@pytest.mark.parametrize(
    ("optimizer", "devices", "adversarial"),
    [
        *(pytest.param(*case, marks=pytest.mark.slow) for case in [("sgd", 1, 0.0), ("adam", 2, 0.0)]),
        ("adamw", 2, 0.0),
        pytest.param("adamw", 1, 0.5, marks=pytest.mark.slow),
    ],
)
def test_what_is_frozen_keeps_every_bit(optimizer, devices, adversarial):
    optim = OptimConfig(
        optimizer=optimizer,
        learning_rate=0.05,
        schedule="constant",
        weight_decay=0.1,
        ema_decay=0.9,
        clip_norm=0.5,
        adversarial=adversarial,
        groups=("conv=0",),
    )
    program = plain_images(optim, devices)
    start = program.create_state(1)
    rng = np.random.default_rng(0)
    # Numbers that a mean of two equal ones, or the addition of a zero, would not leave as they are.
    start.params["conv"]["Conv_0"]["kernel"].flat[0] = -0.0
    disturbed = [(start.model_state["batch_stats"]["conv"], 0.1), (start.averaged["params"]["conv"], 1e-3)]
    for tree, size in disturbed:
        for leaf in jax.tree.leaves(tree):
            leaf += size * rng.random(leaf.shape).astype(leaf.dtype)
    before = jax.tree.map(np.array, start)
    after, _ = trained(program, start, with_holes(plan(program)))
    assert int(after.step) > 3
    for name in ("params", "model_state", "averaged"):
        ours, theirs = (bits(getattr(state, name), "conv") for state in (after, before))
        assert ours, name
        assert ours == theirs, name
    assert len(bits(after.averaged, "mean")) == len(bits(after.averaged, "var")) == 1
    moments = bits(after.opt_state, "conv")
    assert moments
    assert all(set(value) == {0} for value in moments.values()), moments
    moved, still = bits(after.params, "head"), bits(before.params, "head")
    assert all(moved[path] != still[path] for path in moved)


class NormThenLinear(nn.Module):
    """Logits linear in normalised pixels; ``told`` in the call or in the constructor how to normalise."""

    told: str = "constructor"

    @nn.compact
    def __call__(self, inputs, *, train=False):
        axis = None if self.is_initializing() else "batch"
        if self.told == "call":
            inputs = nn.BatchNorm(axis_name=axis)(inputs, use_running_average=not train)
        else:
            inputs = nn.BatchNorm(use_running_average=not train, axis_name=axis)(inputs)
        return nn.Dense(3)(inputs.reshape(len(inputs), -1))


@pytest.mark.parametrize("told", ["constructor", "call"])
def test_a_frozen_batch_norm_is_torchs_in_eval_mode(told):
    torch = pytest.importorskip("torch")
    shared = {"optimizer": "sgd", "momentum": 0.0, "learning_rate": 1.0, "schedule": "constant", "clip_norm": 0.0}
    program = plain_images(OptimConfig(groups=("BatchNorm=0",), **shared), 2, NormThenLinear(told))
    start = program.create_state(1)
    params, statistics = start.params, start.model_state["batch_stats"]["BatchNorm_0"]
    params["BatchNorm_0"]["scale"][:], params["BatchNorm_0"]["bias"][:] = 1.5, -0.25
    statistics["mean"][:], statistics["var"][:] = 0.5, 4.0
    before = jax.tree.map(np.array, start)
    chunk = one_by_one(plan(program))[0]
    after, (sums,) = trained(program, start, [chunk])

    rows = chunk.rows[0]
    images = np.array(program.dataset.preprocess.normalize(program.dataset.train["inputs"][rows]))
    labels = torch.tensor(program.dataset.train["labels"][rows].astype(np.int64))
    norm = torch.nn.BatchNorm2d(1, eps=1e-5).eval()
    norm.load_state_dict(
        {
            "weight": torch.tensor([1.5]),
            "bias": torch.tensor([-0.25]),
            "running_mean": torch.tensor([0.5]),
            "running_var": torch.tensor([4.0]),
            "num_batches_tracked": torch.tensor(0),
        }
    )
    head = {name: torch.tensor(leaf, requires_grad=True) for name, leaf in before.params["Dense_0"].items()}
    features = norm(torch.tensor(images).permute(0, 3, 1, 2)).detach().reshape(len(rows), -1)
    loss = torch.nn.functional.cross_entropy(features @ head["kernel"] + head["bias"], labels)
    loss.backward()
    np.testing.assert_allclose(sums["loss"][0] / len(rows), loss.item(), rtol=1e-5)
    for name, tensor in head.items():
        expected = (tensor - tensor.grad).detach()
        np.testing.assert_allclose(after.params["Dense_0"][name], expected, rtol=1e-5, atol=1e-6)
    norms = torch.linalg.vector_norm(torch.cat([tensor.grad.flatten() for tensor in head.values()]))
    np.testing.assert_allclose(sums["grad_norm"][0], norms, rtol=1e-5)  # what is frozen counts in no norm
    assert bits(after.model_state, "") == bits(before.model_state, "")
    # Evaluation goes through the same numbers.
    logits = program.model.apply({"params": before.params, **before.model_state}, images)
    np.testing.assert_allclose(logits, (features @ head["kernel"] + head["bias"]).detach(), rtol=1e-4, atol=1e-5)


def test_a_batch_norm_that_is_not_frozen_normalises_by_the_batch():
    program = plain_images(OptimConfig(groups=("Dense=0.5",)), 1, NormThenLinear())
    before = program.create_state(1)
    after, _ = trained(program, program.create_state(1), plan(program)[:1])
    ours, theirs = (bits(state.model_state, "BatchNorm") for state in (after, before))
    assert all(ours[path] != theirs[path] for path in theirs)
