"""Pooling heads over real steps only, against NumPy row by row."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax import RNN, Bidirectional, GRUCell, LSTMCell, PooledHead, ProjectedLSTMCell, StackedRNN, TextClassifier
from rnnjax.errors import UsageError
from rnnjax.layers.pooling import AttentionPool, pool
from rnnjax.models.sequence import SequenceNet

RANDOM = np.random.default_rng(0)
OUTPUTS = RANDOM.normal(size=(2, 3, 5, 4)).astype(np.float32) - 3  # below zero, so that padding would win a maximum
MASK = RANDOM.integers(0, 2, size=(2, 3, 5)).astype(bool)
MASK[0, 0], MASK[1, 1] = True, False


def by_row(function, mask):
    result = np.zeros((2, 3, 4), np.float32)
    for row in np.ndindex(2, 3):
        if mask[row].any():
            result[row] = function(OUTPUTS[row][mask[row]])
    return result


@pytest.mark.parametrize(
    ("kind", "function"), [("last", lambda y: y[-1]), ("mean", lambda y: y.mean(0)), ("max", lambda y: y.max(0))]
)
def test_pooling(kind, function):
    np.testing.assert_allclose(pool(OUTPUTS, MASK, kind), by_row(function, MASK), rtol=1e-5)
    everything = np.ones_like(MASK)
    np.testing.assert_allclose(pool(OUTPUTS, None, kind), by_row(function, everything), rtol=1e-5)
    with pytest.raises(UsageError, match="pooling must be one of"):
        pool(OUTPUTS, MASK, "median")


@pytest.mark.parametrize("kind", ["last", "mean", "max"])
def test_a_sequence_without_steps_gives_zeros(kind):
    pooled = pool(OUTPUTS[:, :, :0], MASK[:, :, :0], kind, backward=2)
    np.testing.assert_array_equal(pooled, np.zeros((2, 3, 4), np.float32))
    assert pooled.dtype == np.float32 and not pool(OUTPUTS[:, :, :0], None, kind).any()


def two_ways(make, **options):
    return Bidirectional(RNN(make()), RNN(make(), reverse=True), **options)


LAYERS = {
    "forward": lambda: RNN(LSTMCell(3)),
    "backward": lambda: RNN(LSTMCell(3), reverse=True),
    "bidirectional": lambda: two_ways(lambda: LSTMCell(3)),
    "uneven": lambda: Bidirectional(RNN(GRUCell(2)), RNN(LSTMCell(5), reverse=True)),
    "projected": lambda: two_ways(lambda: ProjectedLSTMCell(5, projection=2)),
    "stacked": lambda: StackedRNN([two_ways(lambda: GRUCell(4)), two_ways(lambda: GRUCell(3))]),
}


# Each of these three has all that the slow ones have: both directions, of sizes of their own, over each other.
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if n in ("backward", "uneven", "stacked") else pytest.mark.slow) for n in LAYERS],
)
def test_last_is_what_each_direction_has_read_last(name):
    layer = LAYERS[name]()
    params = jax.jit(layer.init)(jax.random.key(1), OUTPUTS)
    for mask in (MASK, None, np.arange(5) < np.array([[5, 1, 3], [0, 2, 4]])[..., None]):
        carry, outputs = layer.apply(params, OUTPUTS, mask=mask)
        if name == "stacked":
            want = np.concatenate(carry[-1], -1)
        elif name in ("bidirectional", "projected"):
            want = np.concatenate([carry[0][1], carry[1][1]], -1)
        elif name == "uneven":
            want = np.concatenate([carry[0], carry[1][1]], -1)
        else:
            want = carry[1]
        np.testing.assert_array_equal(pool(outputs, mask, "last", backward=layer.backward_features), want)


def test_last_of_directions_that_were_added_is_refused():
    with pytest.raises(UsageError, match="no step of the outputs holds"):
        _ = two_ways(lambda: LSTMCell(3), merge="sum").backward_features
    with pytest.raises(UsageError, match=r"backward must lie in 0\.\.4"):
        pool(OUTPUTS, MASK, "last", backward=5)


def test_a_classifier_reads_the_last_word_of_both_directions():
    """Through the backward half every word of a review has a gradient, not its last one alone."""
    model = TextClassifier(5, 3, two_ways(lambda: LSTMCell(4)), PooledHead(1))
    ids, lengths = np.array([[1, 2, 3, 4, 1, 2, 0, 0]]), np.array([6])
    variables = model.init(jax.random.key(0), ids, lengths=lengths)
    head = variables["params"]["head"]["Dense_0"]["kernel"]
    variables["params"]["head"]["Dense_0"]["kernel"] = head.at[:4].set(0)  # the backward half alone is left
    _, kept = model.apply(variables, ids, lengths=lengths, capture_intermediates=True, mutable=["intermediates"])
    ((_, backward), _) = kept["intermediates"]["recurrent"]["__call__"][0]
    logits = kept["intermediates"]["__call__"][0]
    np.testing.assert_allclose(logits, backward[1] @ variables["params"]["head"]["Dense_0"]["kernel"][4:], rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_pooling_in_half_precision_neither_overflows_nor_drifts(dtype):
    outputs = jnp.full((1, 4000, 2), 100, dtype)  # the sum, 400,000, is no float16; 4,000 ones are no bfloat16 count
    np.testing.assert_array_equal(pool(outputs, None, "mean"), jnp.full((1, 2), 100, dtype))
    head = AttentionPool(3, dtype=dtype)
    params = head.init(jax.random.key(0), outputs)
    np.testing.assert_allclose(np.asarray(head.apply(params, outputs), np.float32), 100, rtol=0.01)


def test_attention():
    head = AttentionPool(7)
    params = jax.jit(head.init)(jax.random.key(0), OUTPUTS)
    p = params["params"]

    def attend(rows):
        scores = np.tanh(rows @ p["hidden"]["kernel"] + p["hidden"]["bias"]) @ p["query"]["kernel"][:, 0]
        weights = np.exp(scores) / np.exp(scores).sum()
        return weights @ rows

    run = jax.jit(head.apply)
    np.testing.assert_allclose(run(params, OUTPUTS, MASK), by_row(attend, MASK), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(run(params, OUTPUTS), by_row(attend, np.ones_like(MASK)), rtol=1e-4, atol=1e-5)
    # Padding, NaN included, changes neither value nor gradient; a row of padding alone has no NaN in it.
    dirty = np.where(MASK[..., None], OUTPUTS, np.nan)
    np.testing.assert_array_equal(run(params, dirty, MASK), run(params, OUTPUTS, MASK))
    gradient = jax.jit(jax.grad(lambda p, y: jnp.sin(head.apply(p, y, MASK)).sum(), argnums=(0, 1)))
    for ours, clean in zip(
        jax.tree.leaves(gradient(params, dirty)), jax.tree.leaves(gradient(params, OUTPUTS)), strict=True
    ):
        assert np.isfinite(ours).all()
        np.testing.assert_array_equal(ours, clean)
    with pytest.raises(UsageError, match="features must be positive"):
        AttentionPool(0)


def test_a_head_that_attends_weighs_the_real_steps_alone():
    """Against NumPy row by row, beside another pooling; of half precision in float32."""
    outputs, mask = OUTPUTS[:, 0], np.array([[True, True, False, True, False], [False] * 5])
    head = PooledHead(3, ("attention", "max"))
    params = jax.tree.map(lambda leaf: leaf + 0.1, head.init(jax.random.key(0), outputs, mask, train=False))
    p = params["params"]
    real = outputs[0][mask[0]].astype(np.float64)
    scores = np.tanh(real @ p["attention"]["hidden"]["kernel"] + p["attention"]["hidden"]["bias"])
    scores = scores @ p["attention"]["query"]["kernel"][:, 0]
    pooled = np.concatenate([np.exp(scores) / np.exp(scores).sum() @ real, real.max(0)])
    wanted = np.stack([pooled, np.zeros(8)]) @ p["Dense_0"]["kernel"] + p["Dense_0"]["bias"]
    run = jax.jit(lambda params, outputs: head.apply(params, outputs, mask, train=False))
    np.testing.assert_allclose(run(params, outputs), wanted, rtol=1e-5, atol=1e-5)
    longer = np.concatenate([outputs, np.full((2, 3, 4), 99, np.float32)], 1)
    wider = np.concatenate([mask, np.zeros((2, 3), bool)], 1)
    np.testing.assert_allclose(head.apply(params, longer, wider, train=False), wanted, rtol=1e-5, atol=1e-5)
    half = jnp.asarray(outputs, jnp.bfloat16)
    assert run(params, half).dtype == jnp.float32
    np.testing.assert_allclose(run(params, half), run(params, half.astype(jnp.float32)), rtol=1e-6)
    gradients = jax.grad(lambda params, outputs: jnp.sin(run(params, outputs)).sum(), argnums=(0, 1))(params, outputs)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    assert not np.asarray(gradients[1])[~mask].any()


def test_a_sequence_of_instance_norm_is_normalised_by_itself_and_padding_counts_for_nothing():
    values = np.random.default_rng(0).normal(2, 3, (3, 7, 2)).astype(np.float32)
    lengths = np.array([7, 4, 0])
    plain, normed = (
        SequenceNet(RNN(GRUCell(4)), PooledHead(3, ("mean", "last")), instance_norm=flag) for flag in (False, True)
    )
    variables = plain.init(jax.random.key(0), values)
    by_hand = np.zeros_like(values)
    for row, length in enumerate(lengths[:2]):
        real = values[row, :length].astype(np.float64)
        by_hand[row, :length] = (real - real.mean(0)) / np.sqrt(real.var(0) + 1e-3)
    wanted = plain.apply(variables, by_hand, lengths=lengths)
    np.testing.assert_allclose(normed.apply(variables, values, lengths=lengths), wanted, rtol=1e-4, atol=1e-5)
    assert not np.allclose(wanted[0], plain.apply(variables, values, lengths=lengths)[0])
