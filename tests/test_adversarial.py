"""Adversarial training against NumPy, where the move has a closed form, and against PyTorch through an LSTM."""

import dataclasses

import flax.linen as nn
import jax
import numpy as np
import pytest

from rnnjax import Regression
from rnnjax.config import Config, OptimConfig, TextModel
from rnnjax.errors import UsageError
from rnnjax.layers.movable import movable
from rnnjax.tasks import losses
from rnnjax.training import adversarial
from rnnjax.training.adversarial import towards
from tests.toy import IMAGES, TEXTS, assert_close, built, digits_like, plan, program_of, reviews_like, with_holes

SIZE = 1.2  # of the last step; the first of six moves by a sixth
# One such step shows the gradient: what is left of the parameters is what they were minus it.
PLAIN = OptimConfig(optimizer="sgd", momentum=0.0, learning_rate=1.0, schedule="constant", clip_norm=0.0)
OPTIM = dataclasses.replace(PLAIN, adversarial=SIZE)
VIRTUAL = dataclasses.replace(OPTIM, adversarial_by="answers")


class Linear(nn.Module):
    """Logits linear in the pixels; the gradient with respect to an image is then known."""

    moves: bool = True

    @nn.compact
    def __call__(self, inputs, *, train=False):
        del train
        inputs = movable(self, "images", inputs) if self.moves else inputs
        return nn.Dense(3, use_bias=False)(inputs.reshape(len(inputs), -1))


def one_step(config: Config, dataset, model: nn.Module, devices: int = 1, holes: bool = False):
    """The parameters before the first of six steps, the state after it, its chunk, and its sums."""
    program = program_of(config, dataset, jax.devices()[:devices], model=model)
    assert program.total_steps == 6
    state = program.create_state(seed=1)
    before = jax.tree.map(np.array, program.parallel.to_host(state).params)
    chunk = (with_holes(plan(program)) if holes else plan(program))[0]
    chunk = dataclasses.replace(chunk, rows=chunk.rows[:1], mask=chunk.mask[:1])
    (fed,) = program.feed_training([chunk], 0)
    state, sums = program.train(program.parallel.replicate(program.parallel.to_host(state)), fed)
    return before, program.parallel.to_host(state), chunk, sums


def images(optim: OptimConfig) -> Config:
    return dataclasses.replace(IMAGES, optim=optim, data=dataclasses.replace(IMAGES.data, max_shift=0))


def softmax_gradients(kernel, x, labels):
    """Of the cross-entropy of each row's logits ``x @ kernel``: with respect to the logits, and to x."""
    by_logits = softmax(x @ kernel) - np.eye(3)[labels]
    return by_logits, by_logits @ kernel.T


def test_a_linear_model_moves_along_its_gradient_by_a_share_of_the_images_norm():
    dataset = digits_like()
    before, after, chunk, sums = one_step(images(OPTIM), dataset, Linear())
    rows = chunk.rows[0][chunk.mask[0]]
    labels = dataset.train["labels"][rows]
    x = (
        np.asarray(dataset.preprocess.normalize(dataset.train["inputs"][rows]))
        .reshape(len(rows), -1)
        .astype(np.float64)
    )
    kernel = before["Dense_0"]["kernel"].astype(np.float64)
    by_logits, by_x = softmax_gradients(kernel, x, labels)
    lengths = SIZE / 6 * np.linalg.norm(x, axis=1, keepdims=True)
    moved = x + lengths * by_x / np.linalg.norm(by_x, axis=1, keepdims=True)
    by_logits_moved, _ = softmax_gradients(kernel, moved, labels)
    gradient = (x.T @ by_logits + moved.T @ by_logits_moved) / 2 / len(rows)
    np.testing.assert_allclose(after.params["Dense_0"]["kernel"], kernel - gradient, rtol=1e-5, atol=1e-6)
    logits = x @ kernel
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(len(rows)), labels]
    np.testing.assert_allclose(sums["loss"][0], losses.sum(), rtol=1e-5)  # told is the loss of the images as they are


def softmax(logits):
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    return exponentials / exponentials.sum(1, keepdims=True)


def test_a_virtual_move_goes_where_the_answers_change_most_and_asks_for_no_label(monkeypatch):
    dataset, drawn = digits_like(), np.random.default_rng(4)
    draws: list[np.ndarray] = []

    def random_like(key, tree):
        del key
        (leaf,) = jax.tree.leaves(tree)
        draws.append(drawn.normal(size=leaf.shape).astype(np.float32))
        return jax.tree.map(lambda _: draws[-1], tree)

    monkeypatch.setattr(adversarial, "random_like", random_like)
    before, after, chunk, sums = one_step(images(VIRTUAL), dataset, Linear(), holes=True)
    mask = chunk.mask[0]
    assert 0 < mask.sum() < len(mask)
    rows = chunk.rows[0]
    labels = dataset.train["labels"][rows]
    x = np.asarray(dataset.preprocess.normalize(dataset.train["inputs"][rows])).reshape(len(rows), -1)
    x, kernel = x.astype(np.float64), before["Dense_0"]["kernel"].astype(np.float64)
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    probe = draws[-1].reshape(len(rows), -1).astype(np.float64)
    probed = x + SIZE * norms * probe / np.linalg.norm(probe, axis=1, keepdims=True)
    # Of the divergence of softmax(z) from fixed probabilities p, the gradient with respect to z is softmax(z) - p.
    uphill = (softmax(probed @ kernel) - softmax(x @ kernel)) @ kernel.T
    moved = x + SIZE / 6 * norms * uphill / np.linalg.norm(uphill, axis=1, keepdims=True)
    by_logits, _ = softmax_gradients(kernel, x, labels)
    apart = softmax(moved @ kernel) - softmax(x @ kernel)
    gradient = (x[mask].T @ by_logits[mask] + moved[mask].T @ apart[mask]) / mask.sum()
    np.testing.assert_allclose(after.params["Dense_0"]["kernel"], kernel - gradient, rtol=1e-5, atol=2e-6)
    losses = np.log(np.exp(x @ kernel).sum(1)) - (x @ kernel)[np.arange(len(rows)), labels]
    np.testing.assert_allclose(sums["loss"][0], losses[mask].sum(), rtol=1e-5)


@pytest.mark.parametrize("by", ["loss", "answers"])
def test_rows_without_a_label_teach_by_their_answers_alone(by):
    def weighing(examples, weight):
        arrays = {**examples.arrays, "weights": np.full(len(examples), weight, np.float32)}
        return dataclasses.replace(examples, arrays=arrays)

    dataset = digits_like()
    splits = {name: weighing(examples, float(name != "train")) for name, examples in dataset.splits().items()}
    dataset = dataclasses.replace(dataset, **splits)
    before, after, *_ = one_step(images(dataclasses.replace(OPTIM, adversarial_by=by)), dataset, Linear())
    moved = np.abs(after.params["Dense_0"]["kernel"] - before["Dense_0"]["kernel"]).max()
    assert (moved > 1e-6) == (by == "answers")


@pytest.mark.parametrize("classes", [1, 2, 5])
def test_the_divergence_against_scipy(classes):
    special = pytest.importorskip("scipy.special")
    ours, theirs = np.random.default_rng(0).normal(size=(2, 7, classes)).astype(np.float32) * 5
    both = [np.concatenate([0 * one, one], 1) if classes == 1 else one for one in (ours, theirs)]
    expected = special.rel_entr(*(special.softmax(one.astype(np.float64), -1) for one in both)).sum(-1)
    np.testing.assert_allclose(losses.divergence(ours, theirs), expected, rtol=1e-4, atol=1e-6)


def test_what_virtual_adversarial_training_cannot_do_is_refused():
    config = images(VIRTUAL)
    accumulating = dataclasses.replace(config, train=dataclasses.replace(config.train, accumulate=2))
    with pytest.raises(UsageError, match=r"leave out --train\.accumulate"):
        one_step(accumulating, digits_like(), Linear())
    with pytest.raises(UsageError, match="Regression has none"):
        Regression().apart(np.zeros((2, 1)), np.zeros((2, 1)))


def test_a_text_model_against_pytorch():
    torch = pytest.importorskip("torch")
    model = TextModel(features=(3,), embedding_features=4, pooling=("mean", "max"))
    config, dataset = dataclasses.replace(TEXTS, model=model, optim=OPTIM), reviews_like()
    before, state, chunk, _ = one_step(config, dataset, built(model, dataset.preprocess))
    after = state.params
    rows = chunk.rows[0][chunk.mask[0]]
    examples, cell = dataset.train.take(rows), before["recurrent"]["layers_0"]["cell"]
    ids = torch.tensor(examples["inputs"][:, : chunk.length].astype(np.int64))
    mask = (torch.arange(chunk.length) < torch.tensor(examples.lengths)[:, None])[..., None]
    labels = torch.tensor(examples["labels"]).float()

    def parameter(array):
        return torch.nn.Parameter(torch.tensor(array))

    table = parameter(before["Embed_0"]["embedding"])
    lstm = torch.nn.LSTM(4, 3, batch_first=True)
    lstm.weight_ih_l0, lstm.weight_hh_l0 = parameter(cell["input_kernel"].T), parameter(cell["recurrent_kernel"].T)
    lstm.bias_ih_l0, lstm.bias_hh_l0 = parameter(cell["bias"]), parameter(np.zeros(12, np.float32))
    kernel, bias = (parameter(before["head"]["Dense_0"][name]) for name in ("kernel", "bias"))

    def loss(words):
        outputs = lstm(words)[0]  # what follows a document changes none of its own outputs
        mean = (outputs * mask).sum(1) / mask.sum(1).clamp(min=1)
        most = torch.where(mask, outputs, -torch.inf).amax(1)
        most = torch.where(mask.any(1), most, 0.0)
        logits = (torch.cat([mean, most], -1) @ kernel + bias)[:, 0]
        return torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)

    words = table[ids]
    (uphill,) = torch.autograd.grad(loss(words), words, retain_graph=True)
    uphill = uphill * mask
    norms = [torch.linalg.vector_norm(a.detach(), dim=(1, 2), keepdim=True) for a in (words * mask, uphill)]
    moved = words + SIZE / 6 * norms[0] * uphill / norms[1].clamp(min=1e-30)
    ((loss(words) + loss(moved)) / 2).backward()

    theirs = {
        "embedding": (table, after["Embed_0"]["embedding"]),
        "input kernel": (lstm.weight_ih_l0, after["recurrent"]["layers_0"]["cell"]["input_kernel"].T),
        "recurrent kernel": (lstm.weight_hh_l0, after["recurrent"]["layers_0"]["cell"]["recurrent_kernel"].T),
        "bias": (lstm.bias_ih_l0, after["recurrent"]["layers_0"]["cell"]["bias"]),
        "kernel": (kernel, after["head"]["Dense_0"]["kernel"]),
    }
    for name, (parameter, ours) in theirs.items():
        np.testing.assert_allclose(ours, (parameter - parameter.grad).detach(), atol=2e-6, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    "config",
    [images(OPTIM), pytest.param(dataclasses.replace(TEXTS, optim=OPTIM), marks=pytest.mark.slow)],
    ids=["images", "texts"],
)
def test_four_devices_take_the_step_of_one_with_uneven_rows_and_dropout_off(config):
    dataset = digits_like() if config.data == images(OPTIM).data else reviews_like()
    model = built(config.model, dataset.preprocess)
    one, four = (one_step(config, dataset, model, devices, holes=True) for devices in (1, 4))
    assert_close(four[1].params, one[1].params)
    plain = one_step(dataclasses.replace(config, optim=PLAIN), dataset, model, holes=True)
    differences = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), plain[1].params, one[1].params)
    assert max(jax.tree.leaves(differences)) > 1e-3


def test_batch_norms_statistics_are_those_of_the_images_as_they_are():
    model = dataclasses.replace(IMAGES.model, conv=(4,), batch_norm=True)
    dataset = digits_like()
    plain, moved = (
        one_step(dataclasses.replace(images(optim), model=model), dataset, built(model, dataset.preprocess))[1]
        for optim in (PLAIN, OPTIM)
    )
    assert jax.tree.leaves(plain.model_state)
    assert_close(moved.model_state, plain.model_state, 1e-6)


@pytest.mark.parametrize("magnitude", [1e-30, 1e-20, 1.0, 1e20])
def test_a_move_has_its_size_however_small_or_large_the_gradient_is(magnitude):
    gradients = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    gradients[1] = 0
    moved = np.asarray(towards({"words": (magnitude * gradients).astype(np.float32)}, SIZE)["words"], np.float64)
    norms = np.linalg.norm(gradients.reshape(3, -1), axis=1)
    expected = SIZE * gradients / np.where(norms, norms, 1)[:, None, None]
    np.testing.assert_allclose(moved, expected, rtol=1e-5, atol=1e-6)


def test_a_model_with_nothing_movable_is_refused():
    with pytest.raises(UsageError, match="movable"):
        one_step(images(OPTIM), digits_like(), Linear(moves=False))


def test_the_perturbations_are_no_variables_of_the_model():
    dataset = reviews_like()
    model = built(TEXTS.model, dataset.preprocess)
    inputs, lengths = dataset.train["inputs"][:2], np.array([9, 4])
    assert set(model.init(jax.random.key(0), inputs, lengths=lengths)) == {"params"}
