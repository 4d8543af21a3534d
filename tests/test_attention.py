"""Attention against its formulas, against PyTorch's, and with padding, NaN and nothing to look at."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.errors import UsageError
from rnnjax.layers.attention import ATTENTIONS, AdditiveAttention, MultiplicativeAttention, attention_weights

B, S, F, Q = 3, 5, 4, 6
rng = np.random.default_rng(0)
QUERY, VALUES = (rng.normal(size=shape).astype(np.float32) for shape in ((B, Q), (B, S, F)))
LENGTHS = np.array([5, 2, 0])
MASK = np.arange(S) < LENGTHS[:, None]


def made(kind: str):
    module = ATTENTIONS[kind](Q)

    def run(variables, query, values, mask):
        return module.apply(variables, query, values, mask, method=both)

    def both(module, query, values, mask):
        return module(query, module.memory(values, mask))

    return module.init(jax.random.key(0), QUERY, VALUES, MASK, method=both), run


@pytest.fixture(params=sorted(ATTENTIONS))
def attention(request):
    return made(request.param)


def test_additive_attention_is_bahdanaus_formula():
    variables, run = made("additive")
    params = jax.tree.map(np.float64, variables["params"])
    hidden = QUERY @ params["query"]["kernel"] + params["query"]["bias"]
    hidden = np.tanh(hidden[:, None] + VALUES @ params["key"]["kernel"])
    scores = np.exp((hidden @ params["score"]["kernel"])[..., 0])
    weights = scores / scores.sum(1, keepdims=True)
    context, ours = run(variables, QUERY, VALUES, None)
    np.testing.assert_allclose(ours, weights, rtol=1e-5)
    np.testing.assert_allclose(context, (weights[..., None] * VALUES).sum(1), rtol=1e-4, atol=1e-6)


def test_multiplicative_attention_is_what_pytorch_computes():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    variables, run = made("multiplicative")
    keys = VALUES @ np.asarray(variables["params"]["key"]["kernel"])
    query, keys, values = (torch.from_numpy(np.ascontiguousarray(part)) for part in (QUERY[:, None], keys, VALUES))
    mask = torch.from_numpy(MASK[:2, None])
    theirs = torch.nn.functional.scaled_dot_product_attention(
        query[:2], keys[:2], values[:2], attn_mask=mask, scale=1.0
    )
    context, _ = run(variables, QUERY, VALUES, MASK)
    np.testing.assert_allclose(context[:2], theirs[:, 0], rtol=1e-4, atol=1e-5)


def test_masked_steps_are_as_if_they_were_not_there(attention):
    variables, run = attention
    context, weights = run(variables, QUERY, VALUES, MASK)
    alone, _ = run(variables, QUERY[1:2], VALUES[1:2, :2], None)
    np.testing.assert_allclose(context[1:2], alone, rtol=1e-5)
    np.testing.assert_array_equal(weights[1, 2:], 0)
    np.testing.assert_allclose(weights[:2].sum(1), 1, rtol=1e-6)


def test_a_source_without_steps_gives_zeros(attention):
    context, weights = attention[1](attention[0], QUERY, VALUES, MASK)
    np.testing.assert_array_equal(context[2], 0)
    np.testing.assert_array_equal(weights[2], 0)


def test_nan_in_padding_reaches_neither_results_nor_gradients(attention):
    variables, run = attention
    odd = np.where(MASK[..., None], VALUES, np.nan).astype(np.float32)

    def loss(variables, query, values):
        return (run(variables, query, values, MASK)[0] ** 2).sum()

    for plain, other in zip(
        jax.tree.leaves(jax.value_and_grad(loss, (0, 1))(variables, QUERY, VALUES)),
        jax.tree.leaves(jax.value_and_grad(loss, (0, 1))(variables, QUERY, odd)),
        strict=True,
    ):
        np.testing.assert_array_equal(plain, other)
        assert np.isfinite(other).all()


def test_weights_of_half_precision_are_float32():
    weights = attention_weights(jnp.ones((2, 3), jnp.bfloat16), None)
    assert weights.dtype == jnp.float32
    np.testing.assert_allclose(weights, 1 / 3, rtol=1e-6)


def test_features_that_cannot_be_are_refused():
    with pytest.raises(UsageError, match="features must be positive, got 0"):
        AdditiveAttention(0)
    module = MultiplicativeAttention(4)
    with pytest.raises(UsageError, match="queries of 6 features, but features=4"):
        module.init(jax.random.key(0), QUERY, VALUES, method=lambda m, q, v: m(q, m.memory(v)))
