"""A table of measurements that puts cuDNN first: what JAX cannot transform of it runs fused, and nothing fails.

In cuDNN's place stand two operations that have no rule but to be compiled, as those of ``jax.experimental.rnn``.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import Primitive
from jax.interpreters import mlir
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import rnnjax
from rnnjax import RNN, LSTMCell
from rnnjax.layers import cudnn, measured
from tests.test_cudnn import reference

SHAPE = (3, 4, 1, 0.0, False)
INPUTS = jax.random.normal(jax.random.key(1), (4, 5, 3))
LENGTHS = jnp.array([5, 0, 2, 4])


def without_rules(name, function):
    """An operation that computes the function, and is told to ``compiled`` when it is compiled."""
    primitive = Primitive(name)
    primitive.multiple_results = True

    def computed(*arrays):
        compiled.append(name)
        return jax.tree.leaves(function(*arrays))

    primitive.def_impl(computed)
    # As theirs: arrays of these shapes, whatever mesh they are on.
    primitive.def_abstract_eval(
        lambda *avals: [
            jax.core.ShapedArray(leaf.shape, leaf.dtype)
            for leaf in jax.tree.leaves(
                jax.eval_shape(function, *(jax.ShapeDtypeStruct(a.shape, a.dtype) for a in avals))
            )
        ]
    )
    mlir.register_lowering(primitive, mlir.lower_fun(computed, multiple_results=True))
    return primitive


compiled = []
plain = lambda x, h, c, w, lengths: reference(x, h, c, w, lengths, *SHAPE)  # noqa: E731
pulled = lambda lengths, dots, *floats: jax.vjp(lambda *each: plain(*each, lengths), *floats)[1](dots)  # noqa: E731
FORWARD = without_rules("rnn_fwd", plain)
BACKWARD = without_rules("rnn_bwd", lambda y, h, c, lengths, *floats: pulled(lengths, (y, h, c), *floats))


@functools.partial(jax.custom_vjp, nondiff_argnums=(5, 6, 7, 8, 9))
def stand_in(x, h, c, w, lengths, *shape):
    assert shape == SHAPE
    return tuple(FORWARD.bind(x, h, c, w, lengths))


stand_in.defvjp(
    lambda x, h, c, w, lengths, *shape: (stand_in(x, h, c, w, lengths, *shape), (lengths, x, h, c, w)),
    lambda *given: (*BACKWARD.bind(*given[-1], *given[-2]), None),
)


@pytest.fixture(autouse=True)
def cudnn_first(monkeypatch):
    compiled.clear()
    monkeypatch.setattr(cudnn, "obstacle", lambda: None)
    monkeypatch.setattr(cudnn, "lstm_sequence", functools.partial(cudnn.lstm_sequence, lstm=stand_in))
    monkeypatch.setattr(measured, "table", lambda: {"cpu": {"lstm": {"order": ["cudnn", "fused", "scan"]}}})


OURS, THEIRS = RNN(LSTMCell(4)), RNN(LSTMCell(4), implementation="scan")
VARIABLES = jax.jit(THEIRS.init)(jax.random.key(0), INPUTS)


def loss(layer, variables, inputs, lengths=LENGTHS):
    return (layer.apply(variables, inputs, lengths=lengths)[1] ** 2).sum()


def both(transformed):
    """The same of what "auto" takes, which is cuDNN, and of the scan."""
    with rnnjax.reporting() as ran:
        ours = transformed(OURS)
    assert ran == {"": "cudnn"}
    theirs = transformed(THEIRS)
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5, rtol=1e-4), ours, theirs)


def test_untransformed_it_is_cudnn_that_runs():
    both(lambda layer: jax.jit(functools.partial(loss, layer))(VARIABLES, INPUTS))
    assert set(compiled) == {"rnn_fwd"}


@pytest.mark.parametrize("reverse", [False, True])
def test_so_it_is_for_gradients(reverse):
    both(lambda layer: jax.jit(jax.grad(lambda v, x: loss(layer, v, x), (0, 1)))(VARIABLES, INPUTS))
    both(lambda layer: jax.grad(lambda v: loss(layer.clone(reverse=reverse), v, INPUTS, None))(VARIABLES))
    assert set(compiled) == {"rnn_fwd", "rnn_bwd"}


EACH = INPUTS[:, None], LENGTHS[:, None]  # examples by themselves
TWICE = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), VARIABLES)
INSIDE = {
    "vmap": lambda f: jax.vmap(f, (None, 0, 0))(VARIABLES, *EACH),
    "vmap of what is compiled": lambda f: jax.vmap(jax.jit(f), (None, 1, 1))(VARIABLES, INPUTS[:, None], EACH[1]),
    "vmap over weights": lambda f: jax.vmap(f, (0, None))(TWICE, INPUTS),
    "gradients of each example": lambda f: jax.vmap(jax.grad(f), (None, 0, 0))(VARIABLES, *EACH),
    "gradient of vmap": lambda f: jax.grad(lambda v: jax.vmap(f, (None, 0, 0))(v, *EACH).sum())(VARIABLES),
    "jvp": lambda f: jax.jvp(f, (VARIABLES, INPUTS), jax.tree.map(jnp.cos, (VARIABLES, INPUTS))),
    "jacfwd": lambda f: jax.jacfwd(f, 1)(VARIABLES, INPUTS),
    "jacrev": lambda f: jax.jacrev(lambda v: jnp.stack([f(v, INPUTS), f(v, 2 * INPUTS)]))(VARIABLES),
    "linearize": lambda f: jax.linearize(f, VARIABLES, INPUTS)[1](VARIABLES, INPUTS),
    "gradient of a gradient": lambda f: jax.grad(lambda x: (jax.grad(f, 1)(VARIABLES, x) ** 2).sum())(INPUTS),
    "product with the Hessian": lambda f: jax.jvp(lambda v: jax.grad(f)(v, INPUTS), (VARIABLES,), (VARIABLES,))[1],
    "checkpoint": lambda f: jax.grad(jax.checkpoint(f), (0, 1))(VARIABLES, INPUTS),
    "a loop": lambda f: jax.lax.map(lambda x: jax.grad(f)(VARIABLES, x), INPUTS[None].repeat(2, 0)),
}
"""What each makes of ``f(variables, inputs, lengths)``."""


@pytest.mark.parametrize("name", INSIDE)
def test_it_runs_under_every_transformation(name):
    both(lambda layer: jax.jit(lambda: INSIDE[name](functools.partial(loss, layer)))())


@pytest.mark.parametrize("outside", [True, False])
def test_it_runs_on_a_mesh(outside):
    """With gradients inside ``jax.shard_map`` and around it, under the default check."""
    mesh = jax.make_mesh((4,), ("data",), (AxisType.Auto,))

    def gradient(layer):
        total = lambda v, x, n: jax.lax.psum(loss(layer, v, x, n), "data")  # noqa: E731
        specs = {"mesh": mesh, "in_specs": (P(), P("data"), P("data"))}
        if outside:
            return jax.grad(jax.shard_map(total, out_specs=P(), **specs), (0, 1))
        return jax.shard_map(jax.grad(total, (0, 1)), out_specs=(P(), P("data")), **specs)

    both(lambda layer: jax.jit(gradient(layer))(VARIABLES, INPUTS, LENGTHS))
    assert set(compiled) == {"rnn_fwd", "rnn_bwd"}


@pytest.mark.parametrize("lift", ["vmap", "remat", "jit"])
def test_it_runs_under_flax_own(lift):
    class Model(nn.Module):
        layer: RNN

        @nn.compact
        def __call__(self, inputs):
            if lift == "vmap":
                shared = {"variable_axes": {"params": None}, "split_rngs": {"params": False}}
                run = nn.vmap(lambda layer, x: layer(x), **shared)
            else:
                run = {"remat": nn.remat, "jit": nn.jit}[lift](lambda layer, x: layer(x))
            return run(self.layer, inputs)

    variables = {"params": {"layer": VARIABLES["params"]}}
    inputs = INPUTS[:, None] if lift == "vmap" else INPUTS

    def gradient(layer):
        return jax.grad(lambda v: (Model(layer).apply(v, inputs)[1] ** 2).sum())(variables)

    with rnnjax.reporting() as ran:
        ours = gradient(OURS)
    assert ran == {"layer": "cudnn"}
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), ours, gradient(THEIRS))
