"""What a program refuses before anything compiles, and the states that seeds start from."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.errors import UsageError
from rnnjax.training.state import check_seed, seed_key
from tests.toy import IMAGES, TEXTS, digits_like, program_for, program_of, reviews_like


class Answers(nn.Module):
    """A model of images or texts that answers with whatever ``answer`` makes of its features ``[B, F]``."""

    outputs: int
    answer: object = None

    @nn.compact
    def __call__(self, inputs, *, lengths=None, train=False):
        del train, lengths
        logits = nn.Dense(self.outputs)(inputs.reshape(len(inputs), -1).astype(jnp.float32))
        return logits if self.answer is None else self.answer(logits)


class Fixed(nn.Module):
    """A model without a parameter."""

    def __call__(self, inputs, *, train=False):
        del train
        return inputs.reshape(len(inputs), -1)[:, :3]


def program(config, model):
    return program_of(config, digits_like() if config is IMAGES else reviews_like(), model=model)


@pytest.mark.parametrize(
    ("config", "model", "message"),
    [
        (
            IMAGES,
            Answers(3, lambda y: y[:, None]),
            r"float32 \[1, 1, 3\]; Classification on toy: logits \[1, 1, 3\]",
        ),
        (IMAGES, Answers(3, lambda y: y[:, 0]), r"Answers answers one example with float32 \[1\]; .* must be \[B, C\]"),
        (IMAGES, Answers(3, lambda y: y[0]), r"with float32 \[3\]; "),
        (IMAGES, Answers(3, lambda y: y.sum()), r"with float32 \[\]; "),
        (IMAGES, Answers(4), r"with float32 \[1, 4\]; Classification on toy: needs 3 outputs"),
        (IMAGES, Answers(1), r"with float32 \[1, 1\]; .* needs 3 outputs"),
        (IMAGES, Answers(3, lambda y: y.argmax(-1, keepdims=True)), r"with int32 \[1, 1\]; "),
        (IMAGES, Answers(3, lambda y: y.astype(int)), r"with int32 \[1, 3\]; .* needs floats"),
        (IMAGES, Answers(3, lambda y: y.astype(complex)), r"with complex64 \[1, 3\]; "),
        (IMAGES, Answers(3, lambda y: (y, y)), r"with float32 \[1, 3\] and float32 \[1, 3\]; .* one array"),
        (TEXTS, Answers(3), r"with float32 \[1, 3\]; .* needs 1 or 2 outputs"),
        (IMAGES, Fixed(), "Fixed has no parameters"),
    ],
)
def test_a_model_that_no_loss_fits_is_refused(config, model, message):
    with pytest.raises(UsageError, match=message):
        program(config, model)


@pytest.mark.parametrize(("config", "model"), [(IMAGES, Answers(3)), (TEXTS, Answers(1)), (TEXTS, Answers(2))])
def test_a_model_that_fits_is_taken(config, model):
    assert program(config, model).model is model
    assert program(config, dataclasses.replace(model, answer=lambda y: y.astype(jnp.bfloat16)))


def data(key):
    return np.asarray(jax.random.key_data(key)).tolist()


@pytest.mark.parametrize("seed", [0, 1, 7, 2**31 - 1, 2**31, 2**32 - 1])
def test_seeds_of_32_bits_have_jaxs_keys(seed):
    assert data(seed_key(seed)) == data(jax.random.key(seed)) == [0, seed]
    assert data(seed_key(np.uint32(seed))) == [0, seed]


@pytest.mark.parametrize("seed", [2**32, 2**32 + 7, 2**63 - 1, 2**63, 2**64 - 1])
def test_seeds_of_64_bits_have_the_keys_that_jax_gives_them_in_64_bits(seed):
    with jax.enable_x64(True):
        expected = data(jax.random.key(np.uint64(seed)))
    assert data(seed_key(seed)) == expected == [seed >> 32, seed % 2**32]
    assert seed_key(seed).dtype == jax.random.key(0).dtype


@pytest.mark.parametrize("seed", [-1, 2**64, 2**70, 1.0, "3", None])
def test_other_seeds_are_refused(seed):
    for call in (check_seed, seed_key, program_for(IMAGES).create_state):
        with pytest.raises(UsageError, match=r"a seed must be an integer from 0 to 2\*\*64 - 1, got"):
            call(seed)


def test_large_seeds_start_from_other_states_and_orders_of_the_data():
    made = program_for(IMAGES)
    seeds = (7, 2**32 + 7, 2**33 + 7, 2**63 + 7, 2**64 - 1)
    states = [made.create_state(seed) for seed in seeds]
    leaves = [state.params["recurrent"]["layers_0"]["cell"]["input_kernel"] for state in states]
    keys = {tuple(state.key.tolist()) for state in states}
    orders = {tuple(made.train_plan(seed=seed, epoch=0)[0].rows.flat) for seed in seeds}
    assert len({leaf.tobytes() for leaf in leaves}) == len(keys) == len(orders) == len(seeds)
    assert {leaf.dtype for state in states for leaf in jax.tree.leaves(state.params)} == {np.dtype(np.float32)}
