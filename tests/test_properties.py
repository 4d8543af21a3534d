"""What must hold for every cell, in both directions, whatever the numbers are."""

import functools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cell_cases import (
    BATCH,
    CELLS,
    INPUTS,
    OTHERS_LONG,
    STEPS,
    close,
    compiled_gradients,
    drawn_carry,
    drawn_inputs,
    name_of,
    run_case,
)

each_cell = pytest.mark.parametrize("case", CELLS, ids=name_of)
each_direction = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
few = settings(max_examples=5, derandomize=True, deadline=None)
seeds = st.integers(0, 2**16)
masks = st.lists(st.booleans(), min_size=BATCH * STEPS, max_size=BATCH * STEPS).map(
    lambda bits: np.array(bits).reshape(BATCH, STEPS)
)


def window(start: int, stop: int) -> np.ndarray:
    """A mask ``[BATCH, STEPS]`` that is true from ``start`` until ``stop``."""
    steps = np.arange(STEPS)
    return np.broadcast_to((start <= steps) & (steps < stop), (BATCH, STEPS))


@each_cell
@each_direction
def test_padding_changes_nothing(case, reverse):
    @few
    @given(seeds, masks)
    def check(seed, mask):
        params, inputs, carry = case.params(), drawn_inputs(seed=seed), drawn_carry(case, seed=seed)
        run = functools.partial(run_case, case, params, mask=mask, carry=carry, reverse=reverse)
        last, outputs = run(inputs)
        for filling in (np.nan, np.inf, 1e30):
            close(run(np.where(mask[..., None], inputs, np.float32(filling))), (last, outputs), 0)
        assert not np.asarray(outputs)[~mask].any()
        # The masked row is the row of its real steps alone, moved to the front.
        order = np.argsort(~mask, axis=1, kind="stable")
        front = np.arange(STEPS) < mask.sum(1)[:, None]
        packed = np.take_along_axis(inputs, order[..., None], axis=1)
        packed_last, packed_outputs = run(packed, mask=front)
        close(packed_last, last, 1e-6)
        close(packed_outputs[front], np.asarray(outputs)[mask], 1e-6)
        # A row without real steps ends where it began.
        empty = mask.any(1) == 0
        jax.tree.map(lambda new, old: np.testing.assert_array_equal(new[empty], old[empty]), last, carry)

    check()


@each_cell
def test_zero_length_gives_the_initial_carry(case):
    params, carry = case.params(), drawn_carry(case)
    for reverse in (False, True):
        last, outputs = run_case(case, params, drawn_inputs(), mask=window(0, 0), carry=carry, reverse=reverse)
        close(last, carry, 0)
        assert not outputs.any()


@each_cell
@each_direction
def test_rows_are_independent(case, reverse):
    @few
    @given(seeds, masks, st.permutations(range(BATCH)))
    def check(seed, mask, order):
        params, inputs, carry = case.params(), drawn_inputs(seed=seed), drawn_carry(case, seed=seed)
        order = np.array(order)
        permuted = run_case(
            case,
            params,
            inputs[order],
            mask=mask[order],
            carry=jax.tree.map(lambda a: a[order], carry),
            reverse=reverse,
        )
        whole = run_case(case, params, inputs, mask=mask, carry=carry, reverse=reverse)
        close(permuted, jax.tree.map(lambda a: a[order], whole), 1e-6)

    check()


@each_cell
def test_reverse_of_the_reversed_is_forward(case):
    @few
    @given(seeds, st.lists(st.integers(0, STEPS), min_size=BATCH, max_size=BATCH))
    def check(seed, lengths):
        params, inputs, carry = case.params(), drawn_inputs(seed=seed), drawn_carry(case, seed=seed)
        lengths = np.array(lengths)[:, None]
        steps = np.arange(STEPS)
        mask = steps < lengths
        flip = np.where(mask, lengths - 1 - steps, steps)[..., None]  # real steps reversed, padding left in place
        last, outputs = run_case(
            case, params, np.take_along_axis(inputs, flip, 1), mask=mask, carry=carry, reverse=True
        )
        flipped = np.take_along_axis(np.asarray(outputs), flip, 1)
        close((last, flipped), run_case(case, params, inputs, mask=mask, carry=carry), 1e-6)

    check()


@each_cell
@each_direction
def test_a_sequence_may_be_split_anywhere(case, reverse):
    @few
    @given(seeds, st.integers(0, STEPS))
    def check(seed, cut):
        params, inputs, carry = case.params(), drawn_inputs(seed=seed), drawn_carry(case, seed=seed)
        run = functools.partial(run_case, case, params, inputs, reverse=reverse)
        whole = run(carry=carry)
        parts = [window(0, cut), window(cut, STEPS)]
        first, first_outputs = run(mask=parts.pop(-1 if reverse else 0), carry=carry)
        last, last_outputs = run(mask=parts.pop(), carry=first)
        close((last, first_outputs + last_outputs), whole, 1e-6)

    check()


@each_cell
@each_direction
def test_resets_equal_separate_sequences(case, reverse):
    @few
    @given(seeds, st.integers(1, STEPS - 1), st.integers(0, 2))
    def check(seed, cut, gap):
        params, inputs, carry = case.params(), drawn_inputs(seed=seed), drawn_carry(case, seed=seed)
        reset_carry = drawn_carry(case, seed=seed + 1)
        alone = functools.partial(run_case, case, params, inputs, reverse=reverse)
        run = functools.partial(alone, carry=carry, reset_carry=reset_carry)
        first, second = window(0, cut), window(min(cut + gap, STEPS - 1), STEPS)  # with padding between them
        resets = np.zeros((BATCH, STEPS), bool)
        resets[:, 0] = resets[:, np.argmax(second[0])] = True
        # A scan from the end takes the second sequence first; no reset stands before it.
        each = [alone(mask=first, carry=reset_carry), alone(mask=second, carry=carry if reverse else reset_carry)]
        last, outputs = run(mask=first | second, resets=resets)
        close((last, outputs), (each[0 if reverse else 1][0], each[0][1] + each[1][1]), 1e-6)
        # A reset at a masked step counts for nothing.
        stray = np.ones((BATCH, STEPS), bool) & ~(first | second)
        close(run(mask=first | second, resets=resets | stray), (last, outputs), 0)

    check()


@each_cell
def test_a_stream_in_chunks_starts_again_at_its_resets(case):
    """The chunk before hands its carry on, and a reset does not see it: the numbers of one call over the whole."""

    @few
    @given(seeds, masks, st.integers(1, STEPS - 1))
    def check(seed, resets, cut):
        run = functools.partial(run_case, case, case.params(), drawn_inputs(seed=seed), resets=resets)
        carry, first = run(mask=window(0, cut))
        last, second = run(mask=window(cut, STEPS), carry=carry)
        close((last, first + second), run(), 1e-6)

    check()


def test_shard_map_with_its_check_of_varying_axes():
    case = CELLS[2]
    params, devices = case.params(), jax.local_device_count()
    inputs = np.random.default_rng(3).normal(size=(devices, STEPS, INPUTS)).astype(np.float32)
    mesh = jax.make_mesh((devices,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec("batch")
    run = jax.shard_map(case.rnn().apply, mesh=mesh, in_specs=(jax.sharding.PartitionSpec(), spec), out_specs=spec)
    close(jax.jit(run)(params, inputs), case.rnn().apply(params, inputs), 1e-6)


@pytest.mark.parametrize("case", OTHERS_LONG, ids=name_of)
def test_padding_changes_no_gradient(case):
    params, inputs, carry = case.params(), drawn_inputs(), drawn_carry(case)
    mask = np.arange(STEPS) < np.array([STEPS, 3, 0])[:, None]
    resets = np.arange(STEPS) == np.array([2, 1, 0])[:, None]

    def gradients(filling):
        filled = np.where(mask[..., None], inputs, np.float32(filling))
        return compiled_gradients(case.name)(params, filled, carry, mask, resets)

    clean = gradients(0)
    close(gradients(np.nan), clean, 0)
    by_inputs = np.asarray(clean[0][1])
    assert not by_inputs[~mask].any() and by_inputs[mask].any()
