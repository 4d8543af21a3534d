"""Cells whose steps call submodules, change variables and sow, against Python loops over time."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.errors import UsageError
from rnnjax.layers.cells import SILENT, MinGRUCell, RecurrentCell
from rnnjax.layers.recurrence import RNN, Bidirectional, StackedRNN

BATCH, STEPS, INPUTS, FEATURES = 3, 7, 2, 4
LENGTHS = np.array([5, 2, 0])
BY_LENGTHS = np.arange(STEPS) < LENGTHS[:, None]
MASK = np.random.default_rng(1).integers(0, 2, size=(BATCH, STEPS)).astype(bool)
RESETS = np.zeros((BATCH, STEPS), bool)
RESETS[0, 3] = RESETS[1, 1] = True
INPUT = np.random.default_rng(0).normal(size=(BATCH, STEPS, INPUTS)).astype(np.float32)
WAYS = {"plain": {}, "reverse": {"reverse": True}, "remat": {"remat": 3}, "unroll": {"unroll": 2}}
each_way = pytest.mark.parametrize("options", WAYS.values(), ids=WAYS)


class DenseCell(RecurrentCell):
    """Two layers deep in time, sowing what is between them."""

    @nn.compact
    def step(self, carry, projected, noise=SILENT):
        del noise
        inner = nn.tanh(nn.Dense(5)(carry) + nn.Dense(5, name="enter")(projected))
        self.sow("intermediates", "inner", inner)
        hidden = nn.tanh(nn.Dense(self.features)(inner))
        return hidden, hidden


class SetupCell(RecurrentCell):
    """The same with what it calls made in setup, under the same names."""

    def setup(self):
        self.Dense_0, self.enter, self.Dense_1 = nn.Dense(5), nn.Dense(5), nn.Dense(self.features)

    def step(self, carry, projected, noise=SILENT):
        del noise
        hidden = nn.tanh(self.Dense_1(nn.tanh(self.Dense_0(carry) + self.enter(projected))))
        return hidden, hidden


class CountingCell(RecurrentCell):
    """Divides by the steps seen so far; counts them in a variable, and keeps running means of a batch norm."""

    carried = ("counts", "batch_stats")
    normed: bool = False

    @nn.compact
    def step(self, carry, projected, noise=SILENT):
        count = self.variable("counts", "steps", lambda: jnp.zeros((), jnp.int32))
        if not self.is_initializing():
            count.value += 1
        hidden = nn.tanh(projected + carry) / count.value.clip(1)
        if self.normed:
            average = not self.is_mutable_collection("batch_stats")
            hidden = nn.BatchNorm(use_running_average=average, momentum=0.5)(hidden, mask=noise.counted)
        return hidden, hidden


def by_hand(params: Any, inputs: Any, mask: Any = None, resets: Any = None, reverse: bool = False):
    """DenseCell over time in a Python loop: carry, outputs ``[B, T, H]`` and what lies between its layers."""
    p = params["cell"]
    dense = lambda name, x: x @ p[name]["kernel"] + p[name]["bias"]  # noqa: E731
    carry, outputs, between = jnp.zeros((BATCH, FEATURES)), [None] * STEPS, [None] * STEPS
    for at in reversed(range(STEPS)) if reverse else range(STEPS):
        carry = carry if resets is None else jnp.where(resets[:, at, None], 0, carry)
        projected = inputs[:, at] @ p["input_kernel"] + p["bias"]
        between[at] = jnp.tanh(dense("Dense_0", carry) + dense("enter", projected))
        hidden = jnp.tanh(dense("Dense_1", between[at]))
        real = True if mask is None else mask[:, at, None]
        carry, outputs[at] = jnp.where(real, hidden, carry), jnp.where(real, hidden, 0)
    return carry, jnp.stack(outputs, 1), jnp.stack(between)


def scalar(result: Any) -> Any:
    return sum(jnp.sin(leaf).sum() for leaf in jax.tree.leaves(result))


def close(ours: Any, theirs: Any) -> None:
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=2e-6, rtol=2e-5), ours, theirs)


def initialised(layer: nn.Module) -> Any:
    return jax.jit(layer.init)(jax.random.key(0), INPUT)


GIVEN = {"all": {}, "lengths": {"lengths": LENGTHS}, "mask": {"mask": MASK}, "resets": {"mask": MASK, "resets": RESETS}}


@pytest.mark.parametrize(
    ("way", "what"),
    [
        pytest.param("plain", "all", marks=pytest.mark.slow),
        ("plain", "lengths"),
        pytest.param("plain", "resets", marks=pytest.mark.slow),
        ("unroll", "resets"),
        ("remat", "resets"),
        ("reverse", "mask"),
    ],
)
def test_a_step_of_submodules_equals_a_python_loop(way, what):
    layer, given = RNN(DenseCell(FEATURES), **WAYS[way]), GIVEN[what]
    known = {"mask": BY_LENGTHS} if what == "lengths" else dict(given)
    if what == "resets":
        known["resets"] = RESETS & MASK  # a mark at a masked step counts for nothing
    params = initialised(layer)["params"]

    def ours(params, inputs):
        result = layer.apply({"params": params}, inputs, **given)
        return scalar(result), result

    def theirs(params, inputs):
        result = by_hand(params, inputs, reverse=way == "reverse", **known)[:2]
        return scalar(result), result

    close(*(jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))(params, INPUT) for loss in (ours, theirs)))


def test_submodules_have_their_own_names_wherever_the_layer_is():
    names = {"Dense_0": 4 * 5, "enter": 4 * 5, "Dense_1": 5 * 4}
    alone = initialised(RNN(DenseCell(FEATURES)))["params"]
    assert {name: alone["cell"][name]["kernel"].size for name in names} == names
    top = DenseCell(FEATURES).init(jax.random.key(0), jnp.zeros((BATCH, FEATURES)), INPUT[:, 0])["params"]
    in_setup = initialised(RNN(SetupCell(FEATURES)))["params"]["cell"]
    shapes = lambda tree: jax.tree.map(jnp.shape, tree)  # noqa: E731
    assert shapes(top) == shapes(alone["cell"]) == shapes(in_setup)

    class Compact(nn.Module):
        @nn.compact
        def __call__(self, inputs):
            return RNN(DenseCell(FEATURES), name="layer")(inputs)

    class Setup(nn.Module):
        def setup(self):
            self.layer = RNN(DenseCell(FEATURES))

        def __call__(self, inputs):
            return self.layer(inputs)

    for model in (Compact(), Setup()):
        assert shapes(initialised(model)["params"]["layer"]) == shapes(alone)
    close(
        RNN(SetupCell(FEATURES)).apply({"params": alone}, INPUT),
        RNN(DenseCell(FEATURES)).apply({"params": alone}, INPUT),
    )


@each_way
def test_what_a_step_sows_is_stacked_over_time(options):
    layer = RNN(DenseCell(FEATURES), **options)
    variables = initialised(layer)
    assert set(variables) == {"params"}
    run = jax.jit(functools.partial(layer.apply, lengths=LENGTHS, mutable=["intermediates"]))
    _, state = run(variables, INPUT)
    (sown,) = state["intermediates"]["cell"]["inner"]
    assert sown.shape == (STEPS, BATCH, 5)
    theirs = by_hand(
        variables["params"], np.where(BY_LENGTHS[..., None], INPUT, 0), BY_LENGTHS, reverse="reverse" in options
    )[2]
    np.testing.assert_allclose(sown, theirs, atol=2e-6)


@pytest.mark.parametrize("remat", [None, 3])
def test_a_second_call_sows_after_the_first_and_project_beside_the_step(remat):
    class Telling(DenseCell):
        def project(self, inputs):
            self.sow("intermediates", "seen", inputs)
            self.sow("intermediates", "size", jnp.abs(inputs).max())
            return super().project(inputs)

    class Twice(nn.Module):
        @nn.compact
        def __call__(self, inputs):
            layer = RNN(Telling(FEATURES), remat=remat, name="layer")
            layer(inputs[:, :2])
            return layer(inputs)

    model = Twice()
    state = model.apply(initialised(model), INPUT, mutable=["intermediates"])[1]
    sown = state["intermediates"]["layer"]["cell"]
    assert [part.shape for part in sown["inner"]] == [(2, BATCH, 5), (STEPS, BATCH, 5)]
    np.testing.assert_array_equal(sown["seen"][1], np.moveaxis(INPUT, 1, 0))
    assert np.max(sown["size"][1]) == np.abs(INPUT).max()


def test_linens_own_capture_sees_every_step():
    layer = RNN(DenseCell(FEATURES))
    options = {"capture_intermediates": True, "mutable": ["intermediates"]}
    state = layer.apply(initialised(layer), INPUT, **options)[1]["intermediates"]["cell"]
    assert state["enter"]["__call__"][0].shape == (STEPS, BATCH, 5)
    captured = layer.apply(initialised(layer), INPUT, capture_intermediates=lambda *_: True, mutable=["intermediates"])
    assert captured[1]["intermediates"]["cell"]["project"][0].shape == (STEPS, BATCH, FEATURES)


def test_gradients_of_a_perturbed_step_are_those_of_each_step():
    class Perturbed(RecurrentCell):
        def step(self, carry, projected, noise=SILENT):
            del noise
            hidden = self.perturb("hidden", nn.tanh(projected + carry))
            return hidden, hidden

    grads = {}
    for remat in (None, 3):
        layer = RNN(Perturbed(FEATURES), remat=remat)
        variables = initialised(layer)
        zeros = variables["perturbations"]
        assert zeros["cell"]["hidden"].shape == (STEPS, BATCH, FEATURES)

        def loss(moved, layer=layer, variables=variables):
            return layer.apply({**variables, "perturbations": moved}, INPUT)[1][:, -1].sum()

        grads[remat] = jax.jit(jax.grad(loss))(zeros)["cell"]["hidden"]
    np.testing.assert_allclose(grads[None], grads[3], atol=1e-6)
    np.testing.assert_allclose(grads[None][-1], np.ones((BATCH, FEATURES)))
    outputs = layer.apply(variables, INPUT)[1]
    np.testing.assert_allclose(grads[None][-2], 1 - np.square(outputs[:, -1]), atol=1e-6)


@each_way
def test_a_carried_variable_goes_on_from_step_to_step_and_from_call_to_call(options):
    layer = RNN(CountingCell(FEATURES), **options)
    variables = initialised(layer)
    assert variables["counts"]["cell"]["steps"] == 0
    run = jax.jit(functools.partial(layer.apply, mutable=["counts"]))
    params = variables["params"]["cell"]
    carry, count = jnp.zeros((BATCH, FEATURES)), 0
    for _ in range(2):
        (last, outputs), changed = run(variables, INPUT, initial_carry=carry)
        for at in reversed(range(STEPS)) if "reverse" in options else range(STEPS):
            count += 1
            carry = jnp.tanh(INPUT[:, at] @ params["input_kernel"] + params["bias"] + carry) / count
            np.testing.assert_allclose(outputs[:, at], carry, atol=2e-6)
        np.testing.assert_allclose(last, carry, atol=2e-6)
        variables |= changed
        assert variables["counts"]["cell"]["steps"] == count


@pytest.mark.parametrize("way", ["remat", *(pytest.param(way, marks=pytest.mark.slow) for way in ("plain", "reverse"))])
def test_padding_changes_no_carried_variable(way):
    """LENGTHS leave no row real in the last two steps, and remat adds steps of its own."""
    layer, given = RNN(CountingCell(FEATURES, normed=True), **WAYS[way]), {"mask": BY_LENGTHS, "resets": RESETS}
    variables = initialised(layer)
    changing = ["counts", "batch_stats"]

    def run(params, inputs, given):
        result, changed = layer.apply({**variables, "params": params}, inputs, mutable=changing, **given)
        return scalar(result), (result, changed)

    both = jax.jit(jax.grad(run, argnums=(0, 1), has_aux=True))
    gradients, ((last, outputs), changed) = both(variables["params"], INPUT, given)
    short = {name: value[:, :5] for name, value in given.items()}
    shorter, ((shorter_last, shorter_outputs), shorter_changed) = both(variables["params"], INPUT[:, :5], short)
    assert changed["counts"]["cell"]["steps"] == LENGTHS.max()
    close(changed, shorter_changed)
    close((last, outputs[:, :5], gradients[0]), (shorter_last, shorter_outputs, shorter[0]))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    # Statistics are those of the real rows: a padded row's inputs count for nothing.
    other = np.where(BY_LENGTHS[..., None], INPUT, np.nan)
    close(both(variables["params"], other, given)[1][1], changed)


def test_directions_and_layers_have_variables_of_their_own():
    cell = CountingCell(FEATURES, normed=True)
    layer = StackedRNN([Bidirectional(RNN(cell), RNN(cell, reverse=True)), RNN(cell, remat="sqrt")])
    variables = initialised(layer)
    _, changed = layer.apply(variables, INPUT, lengths=LENGTHS, mutable=["counts"])
    assert jax.tree.leaves(changed) == [5, 5, 5]
    assert len(jax.tree.leaves(variables["batch_stats"])) == 6


def test_streaming_carries_variables_on():
    layer = RNN(CountingCell(FEATURES))
    variables = initialised(layer)
    whole, _ = layer.apply(variables, INPUT, mutable=["counts"])
    carry, outputs = None, []
    for at in range(STEPS):
        (carry, output), changed = layer.apply(variables, carry, INPUT[:, at], method="step", mutable=["counts"])
        variables |= changed
        outputs.append(output)
    close((carry, jnp.stack(outputs, 1)), whole)


class Fixed(RecurrentCell):
    """A recurrent matrix that is drawn and not trained, as in an echo state network."""

    @nn.compact
    def step(self, carry, projected, noise=SILENT):
        del noise
        draw = lambda: nn.initializers.orthogonal()(self.make_rng("params"), (self.features, self.features))  # noqa: E731
        hidden = nn.tanh(projected + carry @ self.variable("reservoir", "kernel", draw).value)
        return hidden, hidden


def test_a_step_may_read_other_variables():
    layer = RNN(Fixed(FEATURES), remat=3)
    variables = initialised(layer)
    kernel = variables["reservoir"]["cell"]["kernel"]
    np.testing.assert_allclose(kernel @ kernel.T, np.eye(FEATURES), atol=1e-5)
    params, carry = variables["params"]["cell"], jnp.zeros((BATCH, FEATURES))
    for at in range(STEPS):
        carry = jnp.tanh(INPUT[:, at] @ params["input_kernel"] + params["bias"] + carry @ kernel)
    np.testing.assert_allclose(jax.jit(layer.apply)(variables, INPUT)[0], carry, atol=2e-6)


def test_a_changed_variable_that_is_not_carried_is_an_error():
    class Forgetful(CountingCell):
        carried = ()

    layer = RNN(Forgetful(FEATURES))
    variables = initialised(layer)
    with pytest.raises(UsageError, match=r"Forgetful changes variables of the collection 'counts'.* `carried`"):
        layer.apply(variables, INPUT, mutable=["counts"])


def test_a_linear_cell_that_carries_variables_runs_step_by_step():
    class Counting(MinGRUCell):
        carried = ("counts",)

        @nn.compact
        def coefficients(self, projected):
            count = self.variable("counts", "steps", lambda: jnp.zeros((), jnp.int32))
            if not self.is_initializing():
                count.value += 1
            return super().coefficients(projected)

    layer = RNN(Counting(FEATURES))
    assert layer.apply(initialised(layer), INPUT, mutable=["counts"])[1]["counts"]["cell"]["steps"] == STEPS
    for implementation in ("associative", "chunked"):
        with pytest.raises(UsageError, match="variables that go on from step to step"):
            RNN(Counting(FEATURES), implementation=implementation).init(jax.random.key(0), INPUT)


def test_two_compact_methods_are_refused_as_their_submodules_would_share_names():
    with pytest.raises(UsageError, match=r"project and step are both @nn.compact"):

        class Both(DenseCell):
            @nn.compact
            def project(self, inputs):
                return nn.Dense(5)(inputs)
