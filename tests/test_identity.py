"""What tells a module from others: the same in every process, and different where anything differs."""

import dataclasses
import enum
import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax import RNN, LSTMCell
from rnnjax.training.identity import module_identity
from tests.toy import IMAGES, digits_like, program_for, program_of


class Color(enum.Enum):
    RED = 1
    BLUE = 2


@dataclasses.dataclass
class Settings:
    name: str
    size: int = 1


class Plain:
    """An object whose repr is an address."""

    def __init__(self, value):
        self.value = value


class Slotted:
    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


class Net(nn.Module):
    features: int = 3
    field: Any = None
    axis_name: str | None = "batch"

    @nn.compact
    def __call__(self, inputs, *, train=False):
        del train
        return nn.Dense(self.features)(inputs.reshape(len(inputs), -1))


class Other(Net):
    pass


def scaled(scale):
    def act(x):
        return scale * x

    return act


def described(field):
    return module_identity(Net(field=field), {})


def a_circle(value):
    circle = [value]
    circle.append(circle)
    return circle


# Values that must differ from each other; functions make each anew, as another process would.
VALUES = {
    "none": lambda: None,
    "true": lambda: True,
    "one": lambda: 1,
    "float": lambda: 1.5,
    "nan": lambda: float("nan"),
    "infinity": lambda: float("inf"),
    "text": lambda: "1",
    "list": lambda: [1, 2],
    "longer list": lambda: [1, 2, [3]],
    "mapping": lambda: {"a": 1, "b": 2},
    "other mapping": lambda: {"a": 2, "b": 1},
    "mapping by numbers": lambda: {1: "a"},
    "set": lambda: {"a", "b", "c", "d"},
    "other set": lambda: {"a", "b", "c", "e"},
    "array": lambda: np.arange(3),
    "other array": lambda: np.arange(1, 4),
    "array of another shape": lambda: np.arange(3)[None],
    "array of another dtype": lambda: np.arange(3, dtype=np.int16),
    "jax array": lambda: jnp.ones(2),
    "key": lambda: jax.random.key(0),
    "other key": lambda: jax.random.key(1),
    "float32": lambda: jnp.float32,
    "bfloat16": lambda: jnp.bfloat16,
    "type": lambda: Plain,
    "enum": lambda: Color.RED,
    "other enum": lambda: Color.BLUE,
    "jax enum": lambda: jax.lax.Precision.HIGHEST,
    "dataclass": lambda: Settings("adam"),
    "other dataclass": lambda: Settings("sgd"),
    "object": lambda: Plain(1),
    "other object": lambda: Plain(2),
    "slots": lambda: Slotted(1),
    "other slots": lambda: Slotted(2),
    "circle": lambda: a_circle(1),
    "other circle": lambda: a_circle(2),
    "relu": lambda: nn.relu,
    "gelu": lambda: nn.gelu,
    "tanh": lambda: jnp.tanh,
    "ufunc": lambda: np.tanh,
    "jnp.add": lambda: jnp.add,
    "partial": lambda: functools.partial(nn.leaky_relu, negative_slope=0.1),
    "other partial": lambda: functools.partial(nn.leaky_relu, negative_slope=0.2),
    "method": lambda: Settings("a").__eq__,
    "closure": lambda: scaled(1.0),
    "other closure": lambda: scaled(2.0),
    "jitted": lambda: jax.jit(scaled(3.0)),
    "lambda": lambda: lambda x: x * 2.0,
    "lambda of another number": lambda: lambda x: x * 3.0,
    "lambda of another operation": lambda: lambda x: x + 2.0,
    "lambda of another function": lambda: lambda x: jnp.sin(x) * 2.0,
    "lambda within a lambda": lambda: lambda x: [y in {"a", "b", "c"} for y in x],
    "lambda with a default": lambda: lambda x, k=2: x * k,
    "lambda with another default": lambda: lambda x, k=3: x * k,
    "initialiser": lambda: nn.initializers.normal(0.1),
    "other initialiser": lambda: nn.initializers.normal(0.2),
    "module": lambda: RNN(LSTMCell(3)),
    "other module": lambda: RNN(LSTMCell(3), reverse=True),
    "module within": lambda: RNN(LSTMCell(4)),
    "modules": lambda: [nn.Dense(3), nn.relu],
    "other modules": lambda: [nn.Dense(4), nn.relu],
}


def test_values_that_differ_have_different_identities():
    texts = {name: json.dumps(described(make()), sort_keys=True, allow_nan=False) for name, make in VALUES.items()}
    same = [(a, b) for a in texts for b in texts if a < b and texts[a] == texts[b]]
    assert not same


@pytest.mark.parametrize("name", VALUES)
def test_it_is_json_and_holds_no_address(name):
    identity = described(VALUES[name]())
    assert json.loads(json.dumps(identity)) == identity == described(VALUES[name]())
    assert "0x" not in json.dumps(identity)


@pytest.mark.slow
def test_it_is_the_same_in_every_process():
    """Whatever the order of sets, and on whatever line a function stands."""
    script = (
        "import json, sys; sys.argv = ['x']; from tests.test_identity import VALUES, described;"
        "print(json.dumps({n: described(m()) for n, m in VALUES.items()}))"
    )
    root = Path(__file__).resolve().parent.parent
    answers = []
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(root), "JAX_PLATFORMS": "cpu"}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True, cwd=root
        )
        answers.append(json.loads(done.stdout))
    assert answers[0] == answers[1] == {name: described(make()) for name, make in VALUES.items()}


def test_a_lambda_may_move_to_another_line():
    spaces = {}
    for lines in ("", "\n\n\n# moved\n"):
        exec(compile(f"{lines}act = lambda x: (x, lambda y: y + 1)", "somewhere", "exec"), spaces)
        spaces.setdefault("all", []).append(described(spaces["act"]))
    assert spaces["all"][0] == spaces["all"][1]


def test_dtypes_have_one_name():
    assert described(jnp.float32) == described(np.float32) == described(np.dtype("float32"))


def test_class_field_and_variables_tell_modules_apart():
    images = np.zeros((1, 4, 4, 1), np.float32)

    def of(model, inputs=images):
        return module_identity(model, jax.eval_shape(model.init, jax.random.key(0), inputs))

    plain = of(Net())
    assert of(Net()) == plain
    assert plain["class"] == "tests.test_identity.Net"
    assert of(Other())["fields"] == plain["fields"]
    assert of(Other())["class"] != plain["class"]
    wider = of(Net(), np.zeros((1, 4, 5, 1), np.float32))
    assert {name for name in plain if wider[name] != plain[name]} == {"variables"}
    assert {name for name in plain if of(Net(4))[name] != plain[name]} == {"fields", "variables"}
    variables = Net().init(jax.random.key(0), images)
    assert module_identity(Net(), variables) == plain  # arrays do as well as their shapes
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.float16), variables)
    assert module_identity(Net(), half)["variables"] != plain["variables"]
    more = {**variables, "batch_stats": {"mean": np.zeros(3)}}
    assert module_identity(Net(), more)["variables"] != plain["variables"]


def test_a_program_says_it_whatever_its_devices():
    dataset = digits_like()
    one, two = (
        program_of(IMAGES, dataset, jax.devices()[:d], model=Net(axis_name=n)) for n, d in ((None, 1), ("batch", 2))
    )
    assert one.model_identity == two.model_identity
    assert one.model_identity == module_identity(Net(), one.model.init(jax.random.key(0), np.zeros((1, 4, 4, 1))))
    assert program_for(IMAGES).model_identity != one.model_identity
    assert json.loads(json.dumps(program_for(IMAGES).model_identity)) == program_for(IMAGES).model_identity
