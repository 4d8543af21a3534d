"""The sequences of the benchmark of ragged batches, and that all peers compute the same of them."""

import functools

import numpy as np
import pytest

from experiments.benchmarks import ragged, ragged_jax
from experiments.benchmarks.ragged_task import KINDS, Ragged
from experiments.benchmarks.task import Shape
from rnnjax.layers.convert import to_torch

TINY = Shape(5, 9, 3, 4)


# The sequences.


def test_lengths_lie_between_a_fortieth_and_all_of_the_steps():
    shape = Shape(4000, 400, 1, 1)
    uniform, lognormal = (Ragged(kind, "lstm", shape).lengths for kind in ("uniform", "lognormal"))
    assert (uniform.min(), uniform.max(), lognormal.max()) == (10, 400, 400) and lognormal.min() >= 10
    np.testing.assert_allclose(np.percentile(uniform, [25, 50, 75]), [107, 205, 302], atol=12)
    # The quartiles of a log-normal distribution are exp(mean ± 0.6745 deviations) of the logarithms.
    expected = 190 * np.exp(0.6745 * 0.65 * np.array([-1, 0, 1]))
    np.testing.assert_allclose(np.percentile(lognormal, [25, 50, 75]), expected, rtol=0.06)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_sequences_are_drawn_again(kind):
    one, two = (Ragged(kind, "lstm", Shape(6, 20, 2, 3)) for _ in range(2))
    for name in ("lengths", "inputs", "labels"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert not one.inputs[~one.real].any() and one.inputs[one.real].all()
    assert one.real.shape[1] == one.lengths.max() and one.steps == one.real.sum()


def test_episodes_fill_their_rows_in_order():
    task = Ragged("episodes", "lstm", Shape(6, 20, 2, 3))
    rows, N = task.in_rows(task.inputs), len(task.lengths)
    assert rows.shape == (6, 20, 2) and N == task.starts.sum() > 6 and task.steps == 6 * 20
    at = [(row, step) for row in range(6) for step in range(20) if task.starts[row, step]]
    assert {row for row, step in at if step == 0} == set(range(6)), "every row begins with an episode"
    for (row, step), episode, length in zip(at, task.inputs, task.lengths, strict=True):
        np.testing.assert_array_equal(rows[row, step : step + length], episode[:length])
    assert 4 <= Ragged("episodes", "lstm", Shape(1000, 128, 1, 1)).starts.sum() / 1000 <= 6


# The same computation.


@functools.cache
def alone(task):
    """Loss and gradient by PyTorch in float64, over one sequence after the other, without padding."""
    torch = pytest.importorskip("torch")
    kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[task.cell]
    weights, layer = task.layer.weights, kind(task.shape.D, task.shape.H, batch_first=True).double()
    state = to_torch(weights["recurrent"], task.cell)
    layer.load_state_dict({name: torch.tensor(array).double() for name, array in state.items()})
    kernel, bias = (torch.tensor(weights[name]).double().requires_grad_() for name in ("kernel", "bias"))
    loss = torch.zeros((), dtype=torch.float64)
    for inputs, labels, length in zip(task.inputs, task.labels, task.lengths, strict=True):
        outputs, _ = layer(torch.tensor(inputs[None, :length]).double())
        scores, wanted = outputs[0] @ kernel + bias, torch.tensor(labels[:length]).long()
        loss = loss + torch.nn.functional.cross_entropy(scores, wanted, reduction="sum")
    (loss / int(task.lengths.sum())).backward()
    gradient = {
        "input_kernel": layer.weight_ih_l0.grad.T,
        "recurrent_kernel": layer.weight_hh_l0.grad.T,
        "bias": layer.bias_ih_l0.grad,
        "head kernel": kernel.grad,
        "head bias": bias.grad,
    }
    if task.cell == "gru":  # b_hn alone stands inside of the product with r
        gradient["recurrent_bias"] = layer.bias_hh_l0.grad[2 * task.shape.H :]
    return float(loss.detach()) / int(task.lengths.sum()), {name: array.numpy() for name, array in gradient.items()}


LSTMS = [Ragged(kind, "lstm", TINY) for kind in ("lognormal", "episodes")]
CASES = [(task, peer, 1) for task in LSTMS for peer in ragged.PEERS[task.kind] if peer != "rnnjax.pack"]
CASES += [(LSTMS[0], "rnnjax, packing included", 2)]
SLOW = [(LSTMS[0], peer, 2) for peer in ("rnnjax packed", "rnnjax padded")]
SLOW += [(Ragged("episodes", "lstm", Shape(4, 9, 3, 4)), peer, 2) for peer in ("rnnjax resets", "flax padded")]
SLOW += [(Ragged("uniform", "gru", TINY), peer, 1) for peer in ("rnnjax packed", "flax padded", "torch packed")]
CASES += [pytest.param(*case, marks=pytest.mark.slow) for case in SLOW]


@pytest.mark.parametrize(("task", "peer", "devices"), CASES, ids=lambda part: getattr(part, "kind", part))
def test_peers_compute_the_loss_and_gradient_of_each_sequence_alone(task, peer, devices):
    loss, gradient = alone(task)
    made = ragged.make(task, peer, devices)
    for _ in range(2):
        np.testing.assert_allclose(float(made.call()), loss, rtol=1e-6)
        found = made.gradient()
        assert set(found) == set(gradient)
        for name, array in gradient.items():
            np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-6, err_msg=name)


def test_it_is_seen_what_ran_and_over_how_many_steps():
    pytest.importorskip("torch")
    task = Ragged("lognormal", "lstm", TINY)
    names = ("rnnjax packed", "rnnjax padded", "torch packed", "torch padded")
    found = {name: ragged.make(task, name) for name in names}
    for peer in found.values():
        peer.call()
    assert [peer.ran() for peer in found.values()] == ["fused", "fused", "ATen", "oneDNN"]
    padded, longest = len(task.lengths) * task.lengths.max(), task.lengths.max()
    assert found["rnnjax padded"].computed_steps == found["torch padded"].computed_steps == padded
    assert found["torch packed"].computed_steps == task.steps
    packed = found["rnnjax packed"].computed_steps
    assert task.steps <= packed <= padded and packed % longest == 0
    assert ragged.make(task, "rnnjax.pack").computed_steps == packed


@pytest.mark.parametrize("devices", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_packing_anew_compiles_nothing_anew(devices, monkeypatch):
    traced, loss = [], ragged_jax._loss

    def noted(*arguments):
        traced.append(len(traced))
        return loss(*arguments)

    monkeypatch.setattr(ragged_jax, "_loss", noted)
    peer = ragged.make(LSTMS[0], "rnnjax, packing included", devices)
    peer.call()
    after_one = len(traced)
    peer.call()
    peer.call()
    assert len(traced) == after_one > 0
