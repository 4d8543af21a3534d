"""Our layers against PyTorch's and Keras': outputs, final carry, and all gradients, with converted weights."""

import functools
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.layers.cells import GRUCell, LSTMCell, ProjectedLSTMCell, ResetBeforeGRUCell, SimpleRNNCell
from rnnjax.layers.convert import carry_from_torch, carry_to_torch, from_keras, from_torch, to_keras, to_torch
from rnnjax.layers.recurrence import RNN, Bidirectional, StackedRNN
from tests.parity_cases import LIVE_KERAS, LIVE_TORCH, STORED_KERAS, STORED_TORCH, Case, keras_case, torch_case

VECTORS = Path(__file__).parent / "vectors"
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-10}


def make_cell(case: Case):
    if case.kind == "rnn":
        return SimpleRNNCell(case.features, activation=nn.relu if case.relu else jnp.tanh)
    if case.kind == "lstm":
        return (
            ProjectedLSTMCell(case.features, projection=case.projection) if case.projection else LSTMCell(case.features)
        )
    return GRUCell(case.features) if case.reset_after else ResetBeforeGRUCell(case.features)


def make_layer(case: Case):
    forward = RNN(make_cell(case))
    return Bidirectional(forward, RNN(make_cell(case), reverse=True), case.merge) if case.bidirectional else forward


@functools.cache
def stored(framework: str) -> dict[str, dict[str, np.ndarray]]:
    cases: dict[str, dict[str, np.ndarray]] = {}
    with np.load(VECTORS / f"{framework}.npz") as file:
        for key in file:
            case, name = key.split("/")
            cases.setdefault(case, {})[name] = file[key]
    return cases


def close(ours, theirs, tolerance: float, what: str) -> None:
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape, what
    error = np.abs(ours - theirs).max(initial=0)
    assert error <= tolerance * max(1, np.abs(theirs).max(initial=0)), f"{what}: differs by {error:.3g}"


def compare(case: Case, arrays: dict[str, np.ndarray], framework: str, dtype: type) -> None:
    """Runs our layer on the case's weights and batch and compares everything."""
    arrays = {name: value.astype(dtype) for name, value in arrays.items()}
    by_torch = framework == "torch"
    weights = {name[7:]: value for name, value in arrays.items() if name.startswith("weight.")}
    if by_torch:
        model, params = StackedRNN([make_layer(case) for _ in range(case.layers)]), from_torch(weights, case.kind)
    else:
        listed = [weights[str(place)] for place in range(len(weights))]
        model = make_layer(case)
        params = from_keras(listed, case.kind, case.bidirectional, reset_after=case.reset_after)

    def carry(prefix):
        parts = (arrays[f"{prefix}h"], arrays[f"{prefix}c"]) if case.kind == "lstm" else arrays[f"{prefix}h"]
        layers = carry_from_torch(parts, case.kind, case.bidirectional)
        return layers if by_torch else layers[0]

    lengths = None if case.lengths is None else jnp.array(case.lengths)

    @jax.jit
    def run(params, inputs, initial):
        def loss(params, inputs, initial):
            last, outputs = model.apply({"params": params}, inputs, lengths=lengths, initial_carry=initial)
            weighted = jax.tree.map(lambda value, weight: (value * weight).sum(), last, carry("d_"))
            return (outputs * arrays["d_outputs"]).sum() + sum(jax.tree.leaves(weighted)), (outputs, last)

        return jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)(params, inputs, initial)

    (_, (outputs, last)), (grad_params, grad_inputs, grad_carry) = run(params, arrays["inputs"], carry(""))
    assert outputs.dtype == dtype
    tolerance = TOLERANCE[dtype]
    close(outputs, arrays["outputs"], tolerance, "outputs")
    close(grad_inputs, arrays["grad_inputs"], tolerance, "gradient of inputs")
    for ours, theirs in zip(jax.tree.leaves(last), jax.tree.leaves(carry("last_")), strict=True):
        close(ours, theirs, tolerance, "final carry")
    for ours, theirs in zip(jax.tree.leaves(grad_carry), jax.tree.leaves(carry("grad_")), strict=True):
        close(ours, theirs, tolerance, "gradient of initial carry")
    if by_torch:
        ours = to_torch(grad_params, case.kind)
        shared = {name: name.startswith("bias_hh") for name in ours}
    else:
        ours = {str(place): value for place, value in enumerate(to_keras(grad_params, case.kind))}
        shared = dict.fromkeys(ours, False)
    if not case.bias:
        return compare_without_bias(case, grad_params, arrays, by_torch, tolerance)
    for name, value in ours.items():
        theirs = arrays[f"grad_weight.{name}"]
        if shared[name]:  # the second bias: ours has its own only for the GRU's candidate
            value, theirs = (value[-case.features :], theirs[-case.features :]) if case.kind == "gru" else (0, 0)
        elif not by_torch and case.kind == "gru" and int(name) % 3 == 2 and case.reset_after:
            # Keras' biases [2, 3H]: the recurrent ones of z and r are folded into the others.
            theirs = np.concatenate([theirs[0], theirs[1, 2 * case.features :]])
            value = np.concatenate([value[0], value[1, 2 * case.features :]])
        close(value, theirs, tolerance, f"gradient of {name}")


def compare_without_bias(case, grad_params, arrays, by_torch, tolerance):
    """Gradients of the kernels alone, as the framework has no biases to compare with."""
    if by_torch:
        ours = {n: v for n, v in to_torch(grad_params, case.kind).items() if not n.startswith("bias")}
    else:
        kernels = [value for place, value in enumerate(to_keras(grad_params, case.kind)) if place % 3 < 2]
        ours = {str(place): value for place, value in enumerate(kernels)}
    assert len(ours) == sum(name.startswith("grad_weight.") for name in arrays)
    for name, value in ours.items():
        close(value, arrays[f"grad_weight.{name}"], tolerance, f"gradient of {name}")


def by_name(case: Case) -> str:
    return case.name


@pytest.mark.always
@pytest.mark.parametrize("case", STORED_TORCH, ids=by_name)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_stored_torch(case, dtype):
    with jax.enable_x64(dtype == np.float64):
        compare(case, stored("torch")[case.name], "torch", dtype)


@pytest.mark.parametrize("case", STORED_KERAS, ids=by_name)
def test_equals_stored_keras(case):
    compare(case, stored("keras")[case.name], "keras", np.float32)


@pytest.mark.parametrize("case", LIVE_TORCH, ids=by_name)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_live_torch(case, dtype):
    pytest.importorskip("torch", reason="PyTorch (extra bench) is not installed")
    with jax.enable_x64(dtype == np.float64):
        compare(case, torch_case(case), "torch", dtype)


@pytest.mark.parametrize("case", LIVE_KERAS, ids=by_name)
def test_equals_live_keras(case):
    pytest.importorskip("keras", reason="Keras (extra bench) is not installed")
    compare(case, keras_case(case), "keras", np.float32)


def test_the_stored_vectors_are_what_torch_says_today():
    pytest.importorskip("torch", reason="PyTorch (extra bench) is not installed")
    for case in STORED_TORCH:
        for name, value in torch_case(case).items():
            close(stored("torch")[case.name][name], value, 1e-10, f"{case.name} {name}")


def test_carries_travel_to_torch_and_back():
    random = np.random.default_rng(1)
    h, c = random.normal(size=(4, 3, 5)), random.normal(size=(4, 3, 6))
    for two_directions in (False, True):
        back = carry_to_torch(carry_from_torch((h, c), "lstm", two_directions), "lstm", two_directions)
        assert all(np.array_equal(a, b) for a, b in zip(back, (h, c), strict=True))
        assert np.array_equal(carry_to_torch(carry_from_torch(h, "gru", two_directions), "gru", two_directions), h)
