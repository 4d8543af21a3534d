"""Gradual unfreezing: PATTERN=FACTOR@EPOCH is frozen bit for bit before that epoch, and begins there as in PyTorch."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnjax
from rnnjax.config import OptimConfig
from rnnjax.config.groups import Group, in_epoch, stages
from rnnjax.errors import Interrupted
from rnnjax.training.optim import check_groups, make_optimizer, members
from tests.test_fit import assert_same_training, stopping_at
from tests.test_freeze import bits
from tests.toy import plain_images, plan

GROUPS = ("recurrent=0.5@2", "conv=0.1@3", "scale=1")


def test_a_group_is_read_from_the_end():
    assert Group.of("a=b@c=0.5@3") == ("a=b@c", 0.5, 3)
    assert Group.of("a@2=0") == ("a@2", 0.0, 1)


def test_each_epoch_has_its_groups():
    assert stages(GROUPS) == (1, 2, 3) and stages(("a=0", "b=2")) == stages(()) == (1,)
    assert in_epoch(GROUPS, 1) == ("recurrent=0", "conv=0", "scale=1")
    assert in_epoch(GROUPS, 2) == ("recurrent=0.5", "conv=0", "scale=1")
    assert in_epoch(GROUPS, 7) == ("recurrent=0.5", "conv=0.1", "scale=1")


def test_the_start_says_what_is_whose():
    params = {"conv": {"kernel": 0, "bias": 0}, "recurrent": {"kernel": 0}, "head": {"kernel": 0}}
    found = members(("recurrent=0.5@2", "kernel=0", "conv/k=3"), params)
    assert [paths for _, paths in found] == [["recurrent/kernel"], ["conv/kernel", "head/kernel"], []]


@pytest.mark.slow
def test_the_start_lists_what_is_frozen_and_until_when(capsys):
    experiment = rnnjax.Experiment(
        data=rnnjax.ImageData(name="digits"),
        model=rnnjax.ImageModel(features=(4,), conv=(2,)),
        optim=OptimConfig(groups=("conv=0", "recurrent=0.1@2")),
        train=rnnjax.TrainConfig(epochs=2),
    )
    rnnjax.fit(experiment)
    said = capsys.readouterr().out
    assert "conv: frozen (2 of 7 arrays: conv/" in said
    assert (
        "recurrent: learning rate times 0.1 from epoch 2 on, frozen before (3 of 7 arrays: recurrent/layers_0/cell"
        in said
    )


@pytest.mark.parametrize("group", ["conv=1@0", "conv=1@", "conv=1@-2", "conv=1@1.5", "conv=0@2", "conv=@2", "=1@2"])
def test_what_is_no_group_is_refused(group):
    with pytest.raises(rnnjax.UsageError, match=r"--optim\.groups must be .*=FACTOR@EPOCH"):
        OptimConfig(groups=(group,))


def test_no_epoch_is_left_with_nothing_to_train_and_none_unfreezes_after_the_end():
    params = {"conv": {"kernel": 0}, "head": {"kernel": 0}}
    check_groups(("conv=1@3",), params)
    with pytest.raises(rnnjax.UsageError, match=r"nothing is left to train in epoch 1.*\n  conv/kernel"):
        check_groups(("conv=1@3", "head=1@2"), params)
    with pytest.raises(rnnjax.UsageError, match=r"'conv=1@2' is unfrozen in epoch 2, and there are 1"):
        plain_images(OptimConfig(groups=("conv=1@2",)))


class OwnBuild(OptimConfig):
    """An optimizer of one's own with the fields of ours."""

    def build(self, steps, epoch=1):
        return super().build(steps)


def test_an_optimizer_of_ones_own_does_not_ignore_it():
    with pytest.raises(rnnjax.UsageError, match=r"OwnBuild has its own build"):
        plain_images(OwnBuild(groups=("conv=1@1", "head=1@2")))


@pytest.mark.parametrize("optimizer", ["adamw", pytest.param("sgd", marks=pytest.mark.slow)])
def test_what_is_frozen_keeps_every_bit_until_its_epoch(optimizer, monkeypatch):
    monkeypatch.setattr("rnnjax.training.runner.check_epochs", lambda groups, epochs: None)
    optim = OptimConfig(
        optimizer=optimizer, learning_rate=0.05, weight_decay=0.1, ema_decay=0.9, clip_norm=0.5, groups=("conv=0.5@3",)
    )
    program = plain_images(optim)
    start = program.create_state(1)
    start.params["conv"]["Conv_0"]["kernel"].flat[0] = -0.0
    states = [jax.tree.map(np.array, start)]
    state = program.parallel.replicate(start)
    for epoch in range(4):
        for fed in program.feed_training(plan(program, 1), epoch):
            state, _ = program.train(state, fed)
        states.append(program.parallel.to_host(state))
    for name in ("params", "model_state", "averaged"):
        begun, *after = (bits(getattr(state, name), "conv") for state in states)
        assert begun and after[0] == after[1] == begun, name
        assert all(after[2][path] != begun[path] for path in begun), name
    for moments in (bits(state.opt_state, "conv") for state in states[:3]):
        assert moments and all(set(value) == {0} for value in moments.values())
    assert all(set(value) != {0} for value in bits(states[3].opt_state, "conv").values())
    assert bits(states[1].params, "head") != bits(states[0].params, "head")
    assert len({key[3] for key in program._called}) == 2, "a program for each stage, none for each epoch"


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
def test_it_is_torchs_with_gradients_that_come_later(optimizer):
    """PyTorch passes over a parameter without a gradient, and counts its steps from the first that it has."""
    torch = pytest.importorskip("torch")
    config = OptimConfig(
        optimizer=optimizer, learning_rate=0.1, schedule="constant", clip_norm=0.0, groups=("late=1@2",),
        weight_decay=0.01 if optimizer == "adamw" else 0.0,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    params = {name: rng.normal(size=(3, 2)).astype(np.float32) for name in ("early", "late")}
    theirs = {name: torch.nn.Parameter(torch.tensor(value)) for name, value in params.items()}
    made = {
        "adamw": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.01),
        "adam": lambda p: torch.optim.Adam(p, lr=0.1),
        "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    }[optimizer](theirs.values())
    state, ours = make_optimizer(config, 8).init(params), params
    for step in range(8):
        epoch = 1 if step < 5 else 2
        gradients = {name: rng.normal(size=(3, 2)).astype(np.float32) for name in params}
        updates, state = make_optimizer(config, 8, epoch).update(gradients, state, ours)
        ours = jax.tree.map(jnp.add, ours, updates)
        for name, parameter in theirs.items():
            parameter.grad = None if name == "late" and epoch == 1 else torch.tensor(gradients[name])
        made.step()
        for name in params:
            np.testing.assert_allclose(ours[name], theirs[name].detach(), rtol=1e-5, atol=1e-5, err_msg=f"{step}")


DIGITS = rnnjax.Experiment(
    name="digits",
    data=rnnjax.ImageData(name="digits", batch_size=256),
    model=rnnjax.ImageModel(features=(8, 8)),
    optim=OptimConfig(learning_rate=1e-2, ema_decay=0.9, groups=("layers_1=0.5@2", "layers_0=0.25@3")),
    train=rnnjax.TrainConfig(epochs=3, steps_per_call=3),
)


@pytest.mark.slow
def test_a_resumed_run_unfreezes_as_the_unbroken_one(tmp_path, monkeypatch):
    devices = jax.local_devices()[:1]
    monkeypatch.setattr(jax, "local_devices", lambda *_, **__: devices)
    whole = rnnjax.fit(DIGITS, workdir=tmp_path / "whole")
    assert len(whole.history) == 3
    for call in (1, 3):  # in the first epoch, and in the one that unfreezes
        with pytest.raises(Interrupted):
            rnnjax.fit(DIGITS, workdir=tmp_path / "run", on_chunk=stopping_at(call))
    rnnjax.fit(DIGITS, workdir=tmp_path / "run")
    assert_same_training(tmp_path / "run", tmp_path / "whole")
    other = dataclasses.replace(DIGITS, optim=dataclasses.replace(DIGITS.optim, groups=("layers_1=0.5@3",)))
    with pytest.raises(rnnjax.UsageError, match=r"optim\.groups"):
        rnnjax.fit(other, workdir=tmp_path / "run")
