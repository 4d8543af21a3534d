"""The recurrence as ``nn.scan`` under ordinary differentiation, for every cell and option.

Axes: T time (first here), B batch (any number of axes), D input features, H hidden features.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.layers import variables
from rnnjax.layers.cells import Carry, Noise, RecurrentCell
from rnnjax.layers.cells.base import keep_dtypes
from rnnjax.layers.cells.noise import dropout_mask, zoneout, zoneout_mask
from rnnjax.layers.masks import of_rows
from rnnjax.layers.rules import Rules, Steps

Array = jax.Array


def run(cell: RecurrentCell, carry: Carry, steps: Steps, rules: Rules) -> tuple[Carry, Any]:
    """The projection of all steps at once, then the cell's step in a loop."""
    projected = steps._replace(inputs=cell.project(steps.inputs))

    def body(cell, carry, inputs):  # no partial: Linen's capture_intermediates asks for its name
        return _step(cell, carry, inputs, rules)

    with variables.appending(cell), variables.as_initialised(cell, body, carry, projected, rules):
        return over_time(body, cell, rules)(cell, carry, projected)


def over_time(step: Callable, cell: RecurrentCell, rules: Rules) -> Callable:
    """``nn.scan`` over ``step(cell, carry, inputs) -> (carry, outputs)``."""
    return nn.scan(step, reverse=rules.reverse, unroll=rules.unroll, **variables.lifted(cell))


def drawn(cell: RecurrentCell, carry: Carry, steps: Steps, rules: Rules) -> tuple[Array | None, Any]:
    """The hidden state's dropout mask, and zoneout's: those of all steps, drawn as :func:`run` draws them."""
    if not _draws(rules):
        return rules.noise.hidden, rules.zoneout

    def draw(cell, _, step):
        _, keys = step
        noise = _step_noise(cell, carry, keys, rules).hidden if rules.step_dropout else None
        return None, (noise, _step_stay(cell, carry, keys, rules))

    noise, stay = over_time(draw, cell, rules)(cell, None, (jnp.arange(steps.inputs.shape[0]), steps.keys))[1]
    return noise if rules.step_dropout else rules.noise.hidden, stay


def step_keys(cell: RecurrentCell, steps: Steps, rules: Rules) -> Any:
    """The keys with which :func:`run` draws at each step, for steps in chunks; None if it draws nothing."""
    if not _draws(rules):
        return None

    def draw(cell, _, step):
        del step
        hidden = cell.make_rng("dropout") if rules.step_dropout else None
        return None, (hidden, cell.make_rng("dropout") if rules.zoneout is not None else None)

    return over_time(draw, cell, rules)(cell, None, jnp.arange(steps.inputs.shape[0]))[1]


def _draws(rules: Rules) -> bool:
    return bool(rules.step_dropout) or (rules.zoneout is not None and rules.train)


def _step(cell: RecurrentCell, carry: Carry, step: Steps, rules: Rules) -> tuple[Carry, Any]:
    projected, real, start, keys = step
    if start is not None:
        carry = jax.tree.map(lambda first, old: of_rows(start, first, old), rules.reset_carry, carry)
    before = variables.of_steps(cell)
    new_carry, output = cell.step(carry, projected, _step_noise(cell, carry, keys, rules)._replace(real=real))
    new_carry = keep_dtypes(new_carry, carry)
    if rules.zoneout is not None:
        new_carry = zoneout(_step_stay(cell, carry, keys, rules), carry, new_carry)
        output = cell.readout(new_carry, projected)
    if real is not None:
        new_carry = jax.tree.map(lambda new, old: of_rows(real, new, old), new_carry, carry)
    variables.settle(cell, before, real)
    return new_carry, (output, new_carry) if rules.carries else output


def _step_noise(cell: RecurrentCell, carry: Carry, keys: Any, rules: Rules) -> Noise:
    """The noise of one step, with what is drawn at every step."""
    if not rules.step_dropout:
        return rules.noise
    shape = (*jax.tree.leaves(carry)[0].shape[:-1], (cell.recurrent_shape or (0, 0))[0])
    return rules.noise._replace(
        hidden=dropout_mask(cell.make_rng("dropout") if keys is None else keys[0], shape, rules.step_dropout)
    )


def _step_stay(cell: RecurrentCell, carry: Carry, keys: Any, rules: Rules) -> Any:
    """Which units of the carry zoneout keeps in one step; without ``train`` its rates, None without zoneout."""
    if rules.zoneout is None or not rules.train:
        return rules.zoneout
    return zoneout_mask(cell.make_rng("dropout") if keys is None else keys[1], carry, rules.zoneout)
