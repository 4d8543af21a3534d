"""An encoder and decoder: decoding is training step by step, rows are by themselves, and any encoder will do."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax import RNN, Bidirectional, GRUCell, LSTMCell
from rnnjax.data.tokens import END, PADDING
from rnnjax.errors import UsageError
from rnnjax.models.decoder import Decoder
from rnnjax.models.encoder_decoder import Encoded, EncoderDecoder, TokenEncoder
from tests.marks import often

V, LIMIT = 9, 6
SOURCES = jnp.array([[3, 4, 5, 6], [7, 8, 0, 0], [0, 0, 0, 0]])
LENGTHS = jnp.array([4, 2, 0])
TARGETS = jnp.array([[4, 5, 6, END], [5, END, -1, -1], [8, 8, END, -1]])
KINDS = ("additive", "multiplicative", "none")


def made(attention: str = "additive", cell=LSTMCell, *, tied: bool = False, seed: int = 0):
    recurrent = Bidirectional(RNN(cell(3)), RNN(cell(3), reverse=True))
    decoder = Decoder(V, 4, cell, (5, 7), attention, tied=tied)
    model = EncoderDecoder(TokenEncoder(V, 4, recurrent), decoder, limit=LIMIT)
    variables = model.init(jax.random.key(seed), SOURCES, targets=TARGETS, lengths=LENGTHS)
    return model, jax.tree.map(lambda leaf: 3 * leaf, variables)  # such that rows differ


def written(model, variables, sources, lengths):
    return jax.jit(lambda *given: model.apply(variables, given[0], lengths=given[1]))(sources, lengths)


@pytest.mark.always
@pytest.mark.parametrize("attention", often(KINDS, ("additive",)))
def test_steps_of_decoding_are_those_of_training(attention):
    model, variables = made(attention, GRUCell if attention == "none" else LSTMCell, tied=attention == "additive")
    logits = model.apply(variables, SOURCES, targets=TARGETS, lengths=LENGTHS, train=True)

    def step_by_step(model):
        source = model.encode(SOURCES, LENGTHS)
        carry, made = model.decoder.first_carry(source), []
        for before in (jnp.full(3, PADDING), *jnp.maximum(TARGETS, 0).T[:-1]):
            carry, out, _ = model.step(carry, before, source)
            made.append(out)
        return jnp.stack(made, 1)

    np.testing.assert_allclose(logits, nn.apply(step_by_step, model)(variables), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("beam", [1, 3])
def test_what_is_written_is_the_most_probable_by_the_logits_of_training(beam):
    model, variables = made()
    found = written(model.clone(beam=beam, length_penalty=0.0), variables, SOURCES, LENGTHS)
    targets = jnp.where(found["tokens"] == PADDING, -1, found["tokens"])
    logits = model.apply(variables, SOURCES, targets=targets, lengths=LENGTHS, train=True)
    kept = jax.nn.log_softmax(jnp.where(jnp.arange(V) < END, -jnp.inf, logits))
    if beam == 1:
        np.testing.assert_array_equal(jnp.where(targets >= 0, kept.argmax(-1), -1), targets)
    of_tokens = jnp.take_along_axis(kept, jnp.maximum(targets, 0)[..., None], -1)[..., 0]
    np.testing.assert_allclose(jnp.where(targets >= 0, of_tokens, 0).sum(1), found["score"], rtol=1e-4)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("attention", KINDS)
@pytest.mark.parametrize("beam", [1, 3])
def test_a_row_is_written_alike_beside_others_and_with_more_padding(attention, beam):
    model, variables = made(attention, seed=1)
    model = model.clone(beam=beam)
    together = written(model, variables, SOURCES, LENGTHS)
    wider = written(model, variables, jnp.pad(SOURCES, ((0, 0), (0, 3)), constant_values=5), LENGTHS)
    np.testing.assert_array_equal(together["tokens"], wider["tokens"])
    for row in range(3):
        alone = written(model, variables, SOURCES[row : row + 1], LENGTHS[row : row + 1])
        np.testing.assert_array_equal(alone["tokens"][0], together["tokens"][row])
        np.testing.assert_allclose(alone["score"][0], together["score"][row], rtol=1e-5)


@pytest.mark.parametrize("attention", often(KINDS, ("additive",)))
def test_an_empty_source_is_answered_and_trains(attention):
    model, variables = made(attention)
    found = written(model, variables, SOURCES, LENGTHS)
    assert np.isfinite(found["score"]).all() and np.isfinite(found["weights"]).all()

    def loss(variables):
        return model.apply(variables, SOURCES, targets=TARGETS, lengths=LENGTHS, train=True).sum()

    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.grad(loss)(variables)))


class Pixels(nn.Module):
    """An image read pixel by pixel, with what an encoder may give."""

    gives: str

    @nn.compact
    def __call__(self, images, *, train=False):
        memory = nn.Dense(6)(images.reshape(len(images), -1, images.shape[-1]))
        if self.gives == "memory":
            return memory
        lengths = jnp.full(len(images), memory.shape[1])
        mask = jnp.ones(memory.shape[:2], bool)
        return {"lengths": (memory, lengths), "mask": (memory, mask), "summary": Encoded(memory, mask, memory.mean(1))}[
            self.gives
        ]


def test_any_module_may_be_the_encoder():
    images, found = jax.random.normal(jax.random.key(0), (3, 4, 4, 2)), []
    for gives in ("memory", "lengths", "mask", "summary"):
        model = EncoderDecoder(Pixels(gives), Decoder(V, 4, GRUCell, (5,)), limit=LIMIT)
        variables = model.init(jax.random.key(0), images, targets=TARGETS)
        found.append(model.apply(variables, images, targets=TARGETS))
        assert found[-1]["weights"].shape == (3, LIMIT, 16)
    for other in found[1:]:
        np.testing.assert_allclose(other["logits"], found[0]["logits"], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(other["tokens"], found[0]["tokens"])


def test_what_cannot_be_read_or_taught_is_refused():
    model, variables = made()
    with pytest.raises(UsageError, match="training needs targets"):
        model.apply(variables, SOURCES, lengths=LENGTHS, train=True)

    with pytest.raises(UsageError, match="targets have up to 4 tokens with their end, and limit=3"):
        model.clone(limit=3).apply(variables, SOURCES, targets=TARGETS, lengths=LENGTHS, train=True)

    class Vector(nn.Module):
        @nn.compact
        def __call__(self, inputs, *, train=False):
            return inputs.mean(1)

    with pytest.raises(UsageError, match=r"must give a memory \[B, S, F\], got \[3, 2\]"):
        EncoderDecoder(Vector(), Decoder(V, 4, GRUCell, (5,)), limit=4).init(
            jax.random.key(0), jnp.ones((3, 4, 2)), targets=TARGETS
        )
