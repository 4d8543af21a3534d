"""The rows of implementations: the order in which "auto" asks them, and one of a stranger's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnjax
from rnnjax.errors import UsageError
from rnnjax.layers.cells import GRUCell, LSTMCell, MinGRUCell, ProjectedLSTMCell
from rnnjax.layers.implementations import IMPLEMENTATIONS
from rnnjax.layers.recurrence import RNN, Bidirectional
from rnnjax.layers.rules import Implementation
from tests.cell_cases import BATCH, INPUTS, STEPS, close, drawn_inputs

LENGTHS = np.array([STEPS, 2, 0])


def python_loop(cell, carry, steps, rules):
    """Knows masks and directions, as nn.scan would run them."""
    projected, outputs = cell.project(steps.inputs), []
    for at in reversed(range(STEPS)) if rules.reverse else range(STEPS):
        new, output = cell.step(carry, projected[at], rules.noise)
        carry = jax.tree.map(lambda new, old, at=at: jnp.where(steps.real[at], new, old), new, carry)
        outputs.append(output)
    return carry, jnp.stack(outputs[::-1] if rules.reverse else outputs)


def no_resets(cell, steps, rules):
    del cell, rules
    return None if steps.starts is None else "it has resets"


OWN = Implementation("python", lambda backend: True, no_resets, python_loop)


def test_a_row_of_ones_own_runs_where_it_is_handed_over():
    def both(implementation):
        ways = [RNN(GRUCell(4), reverse=reverse, implementation=implementation) for reverse in (False, True)]
        return Bidirectional(*ways)

    variables = both("scan").init(jax.random.key(0), drawn_inputs())
    with rnnjax.reporting() as ran:
        ours = jax.jit(both(OWN).apply)(variables, drawn_inputs(), lengths=LENGTHS)
    assert ran == {"forward": "python", "backward": "python"}
    close(ours, jax.jit(both("scan").apply)(variables, drawn_inputs(), lengths=LENGTHS))


def test_its_obstacle_is_told_as_those_of_the_library():
    layer, inputs = RNN(GRUCell(4), implementation=OWN), jnp.zeros((BATCH, STEPS, INPUTS))
    with pytest.raises(UsageError, match="implementation='python' cannot run GRUCell here: it has resets; use"):
        layer.init(jax.random.key(0), inputs, resets=jnp.zeros((BATCH, STEPS), bool))


@pytest.mark.parametrize(
    ("cell", "backend", "taken"),
    [
        (MinGRUCell, "cpu", "scan"),
        (MinGRUCell, "gpu", "associative"),
        (LSTMCell, "cpu", "fused"),
        (LSTMCell, "tpu", "fused"),
        (ProjectedLSTMCell, "gpu", "scan"),
    ],
)
def test_auto_asks_in_the_order_of_the_rows(monkeypatch, cell, backend, taken):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    options = {"projection": 2} if cell is ProjectedLSTMCell else {}
    with rnnjax.reporting() as ran:
        jax.eval_shape(RNN(cell(4, **options)).init, jax.random.key(0), jnp.zeros((BATCH, STEPS, INPUTS)))
    assert ran == {"": taken}


def test_a_linear_cell_with_a_step_of_its_own_runs_that_step():
    class Doubled(MinGRUCell):
        def step(self, carry, projected, noise=None):
            state, output = super().step(carry, projected)
            return 2 * state, output

    inputs = drawn_inputs()
    variables = RNN(Doubled(4)).init(jax.random.key(0), inputs)
    ours = RNN(Doubled(4)).apply(variables, inputs)[1]
    carry = jnp.zeros((BATCH, 4))
    for at in range(STEPS):
        carry, output = Doubled(4).apply({"params": variables["params"]["cell"]}, carry, inputs[:, at])
        np.testing.assert_allclose(ours[:, at], output, atol=1e-6)
    for implementation in ("associative", "chunked"):
        with pytest.raises(UsageError, match="its step is its own"):
            RNN(Doubled(4), implementation=implementation).init(jax.random.key(0), inputs)


def test_names_are_told_apart_and_one_always_runs():
    names = [row.name for row in IMPLEMENTATIONS]
    assert len(set(names)) == len(names)
    assert IMPLEMENTATIONS[-1].name == "scan", "which every cell and option has"
    with pytest.raises(
        UsageError, match="must be auto, associative, chunked, fused, cudnn, pallas, scan or an Implementation"
    ):
        RNN(GRUCell(4), implementation="fast")
