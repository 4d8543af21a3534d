"""Schedules by their shape, and optimizers against PyTorch's."""

import jax
import numpy as np
import optax
import pytest

from rnnjax.config import OptimConfig
from rnnjax.errors import UsageError
from rnnjax.training.optim import check_groups, decayed, factors, make_optimizer, make_schedule, reduce_on_plateau


def rates(total, **config):
    schedule = make_schedule(OptimConfig(learning_rate=0.5, **config), total)
    return np.array([float(schedule(step)) for step in range(total)])


@pytest.mark.parametrize("name", ["constant", "plateau"])
def test_constant(name):
    """The plateau schedule's reductions come from outside: they follow validation, not the step."""
    np.testing.assert_allclose(rates(7, schedule=name), 0.5)


def test_cosine_falls_along_a_half_cosine_to_zero():
    expected = 0.25 * (1 + np.cos(np.pi * np.arange(40) / 40))
    np.testing.assert_allclose(rates(40, schedule="cosine"), expected, atol=1e-6)
    assert float(make_schedule(OptimConfig(schedule="cosine"), 40)(40)) == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("name", ["constant", "cosine", "plateau"])
@pytest.mark.parametrize("warmup", [1, 2, 8])
def test_warm_up_rises_linearly_to_the_peak_and_wastes_no_step(name, warmup):
    values = rates(40, schedule=name, warmup_fraction=warmup / 40)
    np.testing.assert_allclose(values[:warmup], 0.5 * np.arange(1, warmup + 1) / warmup, rtol=1e-6)
    after = rates(40 - warmup, schedule=name)
    np.testing.assert_allclose(values[warmup:], after, rtol=1e-6, atol=1e-7)


def test_one_cycle_rises_for_three_tenths_and_falls_almost_to_zero():
    values = rates(100, schedule="one-cycle")
    assert values.argmax() == 30
    assert values[30] == pytest.approx(0.5)
    assert values[0] == pytest.approx(0.5 / 25)
    assert (np.diff(values[:31]) > 0).all()
    assert (np.diff(values[30:]) < 0).all()
    assert values[-1] < 0.5 / 100


@pytest.mark.parametrize("name", ["constant", "cosine", "one-cycle"])
@pytest.mark.parametrize("total", [1, 2, 3, 4])
def test_very_short_trainings_learn_at_every_step(name, total):
    for warmup in (0.0, 0.5):
        values = rates(total, schedule=name, warmup_fraction=warmup)
        assert np.isfinite(values).all()
        assert ((values > 0) & (values <= 0.5 + 1e-7)).all(), values


PARAMS = {
    "dense": {"kernel": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4), "bias": np.ones(4, np.float32)},
    "norm": {"scale": np.ones(4, np.float32), "bias": np.ones(4, np.float32)},
}


def run(config, gradients, params=PARAMS):
    """The parameters after one update per gradient."""
    optimizer = make_optimizer(config, len(gradients))
    state = optimizer.init(params)
    update = jax.jit(optimizer.update)
    for gradient in gradients:
        updates, state = update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params


def random_gradients(count):
    rng = np.random.default_rng(1)
    return [jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), PARAMS) for _ in range(count)]


def test_weight_decay_skips_biases_and_norms():
    assert decayed(PARAMS) == {"dense": {"kernel": True, "bias": False}, "norm": {"scale": False, "bias": False}}
    still = [jax.tree.map(np.zeros_like, PARAMS)] * 2
    for name in ("sgd", "adam", "adamw"):
        moved = run(OptimConfig(optimizer=name, schedule="constant", learning_rate=0.1, weight_decay=0.1), still)
        assert np.abs(moved["dense"]["kernel"]).sum() < np.abs(PARAMS["dense"]["kernel"]).sum() - 1e-3, name
        moved["dense"]["kernel"] = PARAMS["dense"]["kernel"]
        jax.tree.map(np.testing.assert_array_equal, moved, PARAMS)


@pytest.mark.parametrize("factor", [0.1, 50.0])
def test_clipping_is_by_the_global_norm(factor):
    (gradient,) = random_gradients(1)
    gradient = jax.tree.map(lambda leaf: factor * leaf, gradient)
    norm = np.sqrt(sum((leaf.astype(np.float64) ** 2).sum() for leaf in jax.tree.leaves(gradient)))
    assert (norm > 2) == (factor == 50.0)
    shared = {"optimizer": "sgd", "schedule": "constant", "learning_rate": 1.0, "momentum": 0.0}
    clipped = run(OptimConfig(clip_norm=2.0, **shared), [gradient])
    by_hand = jax.tree.map(lambda p, g: p - g * min(1, 2 / norm), PARAMS, gradient)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), clipped, by_hand)
    free = run(OptimConfig(clip_norm=0, **shared), [gradient])
    jax.tree.map(lambda a, p, g: np.testing.assert_allclose(a, p - g, rtol=1e-6), free, PARAMS, gradient)


@pytest.mark.parametrize("clip", [0.0, 1.0])
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("name", ["sgd", "sgd without momentum", "adam", "adamw"])
def test_optimizers_are_torchs(name, decay, clip):
    torch = pytest.importorskip("torch")
    momentum = 0.0 if "without" in name else 0.9
    config = OptimConfig(
        optimizer=name.split()[0],
        schedule="constant",
        learning_rate=0.05,
        momentum=momentum,
        weight_decay=decay,
        clip_norm=clip,
    )
    gradients = random_gradients(4)
    actual = run(config, gradients)

    tensors = jax.tree.map(lambda leaf: torch.tensor(leaf, requires_grad=True), PARAMS)
    leaves = jax.tree.leaves(tensors)
    groups = [
        {"params": [t for t in leaves if t.ndim > 1], "weight_decay": decay},
        {"params": [t for t in leaves if t.ndim <= 1], "weight_decay": 0.0},
    ]
    if config.optimizer == "sgd":
        optimizer = torch.optim.SGD(groups, lr=0.05, momentum=momentum, nesterov=momentum > 0)
    else:
        optimizer = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name](groups, lr=0.05)
    for gradient in gradients:
        for tensor, leaf in zip(leaves, jax.tree.leaves(gradient), strict=True):
            tensor.grad = torch.tensor(leaf)
        if clip:
            torch.nn.utils.clip_grad_norm_(leaves, clip)
        optimizer.step()
    for ours, theirs in zip(jax.tree.leaves(actual), leaves, strict=True):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_the_learning_rate_follows_the_schedule():
    """With unit gradients and no momentum, each step's move is that step's learning rate."""
    config = OptimConfig(optimizer="sgd", schedule="cosine", learning_rate=0.5, momentum=0.0, clip_norm=0)
    gradients = [jax.tree.map(np.ones_like, PARAMS)] * 5
    params = run(config, gradients)
    moved = PARAMS["norm"]["bias"] - np.asarray(params["norm"]["bias"])
    np.testing.assert_allclose(moved, rates(5, schedule="cosine").sum(), rtol=1e-5)


def test_the_state_has_the_same_structure_for_any_number_of_steps():
    """What prediction restores a checkpoint with."""
    for schedule in ("constant", "cosine", "one-cycle"):
        config = OptimConfig(schedule=schedule, warmup_fraction=0.1)
        shapes = [jax.eval_shape(make_optimizer(config, total).init, PARAMS) for total in (2, 500)]
        assert jax.tree.structure(shapes[0]) == jax.tree.structure(shapes[1])
        assert jax.tree.leaves(shapes[0]) == jax.tree.leaves(shapes[1])


def scales(values, **config):
    """The scale after each epoch whose validation has that value."""
    config = OptimConfig(schedule="plateau", **config)
    best, scale, stale, out = -np.inf, 1.0, 0, []
    for value in values:
        scale, stale = reduce_on_plateau(config, scale, 0 if value > best else stale + 1)
        best = max(best, value)
        out.append(scale)
    return out


@pytest.mark.parametrize("patience", [1, 2, 4])
@pytest.mark.parametrize("least", [0.0, 0.2])
def test_plateau_is_torchs(patience, least):
    """PyTorch waits for one epoch more than its patience; ours, like Keras', reduces in the epoch of that number."""
    torch = pytest.importorskip("torch")
    values = np.round(np.random.default_rng(2).normal(size=40) + np.minimum(np.arange(40), 12) / 6, 1)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="max", factor=0.5, patience=patience - 1, threshold=0, min_lr=least, eps=0
    )
    expected = []
    for value in values:
        scheduler.step(value)
        expected.append(optimizer.param_groups[0]["lr"])
    assert len(set(expected)) > 2
    np.testing.assert_allclose(
        scales(values, plateau_factor=0.5, plateau_patience=patience, plateau_least=least), expected
    )


def test_only_the_plateau_schedule_reduces():
    for name in ("constant", "cosine", "one-cycle"):
        assert reduce_on_plateau(OptimConfig(schedule=name), 1.0, 99) == (1.0, 99)


def test_the_first_pattern_that_is_found_counts():
    assert factors(("dense/bias=3", "bias=0.5", "^norm=0"), PARAMS) == {
        "dense": {"kernel": 1.0, "bias": 3.0},
        "norm": {"scale": 0.0, "bias": 0.5},
    }
    assert factors(("a=b=2",), {"a=b": 1, "c": 2}) == {"a=b": 2.0, "c": 1.0}


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_groups_are_torchs_parameter_groups(name):
    """The scale is frozen: neither it nor its part of the gradient's norm is there."""
    torch = pytest.importorskip("torch")
    config = OptimConfig(
        optimizer=name,
        schedule="constant",
        learning_rate=0.025,  # steps no longer than above: float32 rounds by their size
        weight_decay=0.1,
        clip_norm=1.0,
        groups=("dense/kernel=2.0", "dense=0.5", "scale=0"),
    )
    gradients = random_gradients(4)
    actual = run(config, gradients)
    tensors = jax.tree.map(lambda leaf: torch.tensor(leaf, requires_grad=True), PARAMS)
    dense, norm = tensors["dense"], tensors["norm"]
    groups = [
        {"params": [dense["kernel"]], "lr": 0.05, "weight_decay": 0.1},
        {"params": [dense["bias"]], "lr": 0.0125, "weight_decay": 0.0},
        {"params": [norm["bias"]], "lr": 0.025, "weight_decay": 0.0},
    ]
    if name == "sgd":
        optimizer = torch.optim.SGD(groups, lr=9.0, momentum=config.momentum, nesterov=True)
    else:
        optimizer = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name](groups, lr=9.0)
    trained = [group["params"][0] for group in groups]
    for gradient in gradients:
        for tensor, leaf in zip(jax.tree.leaves(tensors), jax.tree.leaves(gradient), strict=True):
            tensor.grad = torch.tensor(leaf)
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
    for ours, theirs in zip(jax.tree.leaves(actual), jax.tree.leaves(tensors), strict=True):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(actual["norm"]["scale"], PARAMS["norm"]["scale"])


def test_a_frozen_parameter_takes_no_harm_from_its_gradient():
    broken = jax.tree.map(np.ones_like, PARAMS)
    broken["norm"]["scale"] *= np.nan
    after = run(OptimConfig(groups=("scale=0",)), [broken] * 2)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(after))
    np.testing.assert_array_equal(after["norm"]["scale"], PARAMS["norm"]["scale"])


def test_a_pattern_that_is_found_nowhere_is_answered_with_all_paths():
    with pytest.raises(UsageError, match=r"'embedd' is found in no .*\n  dense/bias\n  dense/kernel\n  norm/bias"):
        check_groups(("dense=2", "embedd=0.5"), PARAMS)
    with pytest.raises(UsageError, match="nothing is left to train"):
        check_groups((".=0",), PARAMS)
    check_groups(("kernel$=0", "norm/.*=3"), PARAMS)
