"""A layer's weights are its own and stand under its name, wherever it and its cells were made."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.config import TextModel
from rnnjax.layers.cells import GRUCell, LSTMCell
from rnnjax.layers.convert import from_torch, to_torch
from rnnjax.layers.recurrence import RNN, Bidirectional, StackedRNN
from tests.cell_cases import close
from tests.small import made_up_texts
from tests.toy import built

INPUTS = np.random.default_rng(0).normal(size=(2, 3, 5)).astype(np.float32)


def parameters(model):
    return jax.tree.map(jnp.shape, jax.eval_shape(model.init, jax.random.key(0), INPUTS))["params"]


def lstm(width, features=4):
    weights = {"input_kernel": (width, 4 * features), "recurrent_kernel": (features, 4 * features)}
    return {"cell": weights | {"bias": (4 * features,)}}


def test_one_cell_in_two_places_makes_two_sets_of_weights():
    cell = quick(4)
    both = Bidirectional(RNN(cell), RNN(cell, reverse=True))
    assert parameters(both) == {"forward": lstm(5), "backward": lstm(5)}
    # Layers of unequal width, which one set would not fit.
    assert parameters(StackedRNN([RNN(cell)] * 2)) == {"layers_0": lstm(5), "layers_1": lstm(4)}
    assert parameters(StackedRNN([both] * 2)) == {
        "layers_0": {"forward": lstm(5), "backward": lstm(5)},
        "layers_1": {"forward": lstm(8), "backward": lstm(8)},
    }
    params = both.init(jax.random.key(0), INPUTS)["params"]
    assert (params["forward"]["cell"]["input_kernel"] != params["backward"]["cell"]["input_kernel"]).any()
    close(from_torch(to_torch(params, "lstm"), "lstm"), {"layers_0": jax.tree.map(np.asarray, params)}, 0)


def quick(features):
    """A cell whose first weights take less time to compile than orthogonal ones."""
    return LSTMCell(features, recurrent_init=nn.initializers.normal())


class Compact(nn.Module):
    @nn.compact
    def __call__(self, inputs):
        cell = quick(4)
        outputs = RNN(cell, name="first")(inputs)[1]
        outputs = StackedRNN([RNN(cell)] * 2, name="stack")(outputs)[1]
        return Bidirectional(RNN(quick(3)), RNN(quick(3), reverse=True), name="both")(outputs)[1]


class Setup(nn.Module):
    def setup(self):
        cell = quick(4)
        self.first = RNN(cell)
        self.stack = StackedRNN([RNN(cell), RNN(cell)])
        self.both = Bidirectional(RNN(quick(3)), RNN(quick(3), reverse=True))

    def __call__(self, inputs):
        return self.both(self.stack(self.first(inputs)[1])[1])[1]


class Fields(nn.Module):
    first: nn.Module
    stack: nn.Module
    both: nn.Module

    def __call__(self, inputs):
        return self.both(self.stack(self.first(inputs)[1])[1])[1]


class Rematerialised(nn.Module):
    """By Linen's own transforms: of the class, and of a function that the layer is handed to."""

    @nn.compact
    def __call__(self, inputs):
        outputs = nn.remat(RNN)(quick(4), name="first")(inputs)[1]
        outputs = nn.remat(StackedRNN)([RNN(quick(4))] * 2, name="stack")(outputs)[1]
        both = Bidirectional(RNN(quick(3)), RNN(quick(3), reverse=True), name="both")
        return nn.remat(lambda layer, inputs: layer(inputs)[1])(both, outputs)


def fields():
    cell, other = quick(4), quick(3)
    both = Bidirectional(RNN(other), RNN(other, reverse=True))
    return Fields(RNN(cell), StackedRNN([RNN(cell), RNN(cell)]), both)


def test_the_tree_is_the_same_wherever_a_layer_is_made():
    """Names, first weights, outputs and gradients, from one key."""
    key = jax.random.key(1)
    variables = fields().init(key, INPUTS)
    assert jax.tree.map(jnp.shape, variables["params"]) == {
        "first": lstm(5),
        "stack": {"layers_0": lstm(4), "layers_1": lstm(4)},
        "both": {"forward": lstm(4, 3), "backward": lstm(4, 3)},
    }

    def results(model):
        loss = lambda v: (model.apply(v, INPUTS) ** 2).sum()  # noqa: E731
        return jax.jit(jax.value_and_grad(loss))(variables)

    expected = results(fields())
    for model in (Compact(), Setup(), Rematerialised()):
        close(model.init(key, INPUTS), variables, 0)
        close(results(model), expected, 1e-6)


def test_a_layer_at_the_top_is_the_layer_inside_another():
    weights = parameters(Compact())
    assert weights["stack"] == parameters(StackedRNN([RNN(quick(4))] * 2)) | {"layers_0": lstm(4)}
    assert weights["first"] == parameters(RNN(quick(4)))


def test_a_layer_called_twice_has_one_set_of_weights():
    class Twice(nn.Module):
        @nn.compact
        def __call__(self, inputs):
            layer = RNN(GRUCell(5), name="layer")
            return layer(layer(inputs)[1])[1]

    class Decoder(nn.Module):
        """Reads with the layer, and goes on with its cell."""

        def setup(self):
            self.layer = RNN(GRUCell(5))

        def __call__(self, inputs):
            carry, _ = self.layer(inputs)
            return self.layer.cell(carry, inputs[:, 0])[1]

    once = parameters(RNN(GRUCell(5)))
    assert parameters(Twice()) == {"layer": once} and parameters(Decoder()) == {"layer": once}


@pytest.mark.parametrize("wrap", [lambda layer: layer, lambda layer: StackedRNN([layer])], ids=["rnn", "stack"])
def test_copies_are_equal_and_hash_alike(wrap):
    """As a static argument of ``jax.jit``, and in ``vmap`` of the class for an ensemble."""
    first, second = (wrap(RNN(LSTMCell(4))) for _ in range(2))
    assert first == second and hash(first) == hash(second) and first == first.clone() == first.copy()
    assert first != wrap(RNN(LSTMCell(3)))
    many = nn.vmap(RNN, variable_axes={"params": 0}, split_rngs={"params": True})(LSTMCell(4))
    shapes = jax.tree.map(jnp.shape, jax.eval_shape(many.init, jax.random.key(0), np.stack([INPUTS] * 3)))
    assert shapes["params"]["cell"]["bias"] == (3, 16)


def test_a_scan_over_depth_gives_each_depth_its_own_weights():
    class Layer(nn.Module):
        cell: nn.Module

        @nn.compact
        def __call__(self, outputs, _):
            return RNN(self.cell, name="rnn")(outputs)[1], None

    class Deep(nn.Module):
        @nn.compact
        def __call__(self, inputs):
            scan = nn.scan(Layer, variable_axes={"params": 0}, split_rngs={"params": True}, length=3)
            return scan(LSTMCell(5), name="layers")(inputs, None)[0]

    assert parameters(Deep())["layers"]["rnn"]["cell"]["bias"] == (3, 20)


def test_the_layers_of_built_models_keep_their_names():
    config = TextModel(features=(4, 3), bidirectional=True, embedding_features=5)
    model = built(config, made_up_texts().preprocess)
    shapes = jax.eval_shape(lambda k: model.init(k, np.ones((2, 3), int), lengths=np.array([3, 1])), jax.random.key(0))
    assert jax.tree.map(jnp.shape, shapes["params"]["recurrent"]) == {
        "layers_0": {"forward": lstm(5, 4), "backward": lstm(5, 4)},
        "layers_1": {"forward": lstm(8, 3), "backward": lstm(8, 3)},
    }
