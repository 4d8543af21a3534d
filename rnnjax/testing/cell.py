"""What must hold for every cell, whatever its equations are.

The promises are those of :class:`rnnjax.layers.rnn.RNN` and :class:`rnnjax.layers.cells.base.RecurrentCell`:
masks, resets, streaming, devices and other implementations work for a cell because its step and its projection depend
on nothing but what they are handed.
"""

import functools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.errors import UsageError
from rnnjax.layers.cells import RecurrentCell
from rnnjax.layers.recurrence import RNN
from rnnjax.testing.compare import rows_of
from rnnjax.testing.numerics import half, slopes
from rnnjax.testing.one_step import check_one_step, check_readout
from rnnjax.testing.trial import PLAIN, Trial, ran_by
from rnnjax.training.parallel import DataParallel

Names = Iterator[str]


def check_cell(
    cell: RecurrentCell, *, features_in: int = 3, steps: int = 6, rows: int = 4, seed: int = 0
) -> tuple[str, ...]:
    """Checks that a cell keeps what is promised of cells; it takes a few seconds, most of them for compiling.

    It is run on drawn inputs, with noise on its initial parameters and carries that it has reached itself. Checked are
    one step (trees, shapes and dtypes of carry and parameters, ``readout``), and of whole sequences, by values and by
    gradients:

    * steps one after the other, not compiled, are the compiled scan;
    * what stands in padded steps, NaN included, changes nothing, and a row is what its real steps alone are;
    * a sequence in two chunks, with the carry handed over, is the whole one;
    * resets are separate sequences;
    * no row depends on another: by themselves under ``jax.vmap`` they are the same, and so they are on several devices
      and with more batch axes;
    * all implementations that have no obstacle for the cell agree, in both directions;
    * gradients are the slopes of central differences, in float64 where the cell can, else in float32 with less
      precision;
    * with ``dtype=jnp.bfloat16`` it is roughly the same.

    A cell that changes variables whatever it is told (they are one for all rows, see ``carried``) is not asked what
    rows, resets and packing would be. Dropout is off, and products have their highest precision.

    Args:
      cell: as for ``RNN(cell)``.
      features_in: features of an input, D.
      steps: of a sequence, T; at least 4.
      rows: of a batch, B; at least 3.
      seed: of all that is drawn.

    Returns:
      The names of what was checked. What does not apply is not among them: an implementation with an obstacle, several
      devices where there is one, bfloat16 that the cell refuses.

    Raises:
      AssertionError: if a promise is broken; it says which, for what input, where, and by how much.
      UsageError: if the arguments are none of the above.
    """
    if not isinstance(cell, RecurrentCell):
        raise UsageError(f"check_cell needs an instance of a RecurrentCell, got {cell!r}")
    if features_in < 1 or steps < 4 or rows < 3:
        raise UsageError(
            f"check_cell needs features_in >= 1, steps >= 4 and rows >= 3, got {features_in}, {steps} and {rows}"
        )
    with jax.default_matmul_precision("highest"):
        check_one_step(cell, features_in, rows, seed)
        trial = Trial(cell, (rows, steps, features_in), seed)
        return ("one step", *(name for check in CHECKS for name in check(trial)))


def _step_by_step(trial: Trial) -> Names:
    carry, variables, outputs = trial.given.carry, trial.variables, []
    check_readout(trial.cell, trial.of_cell(variables), carry, jnp.asarray(trial.given.inputs[:, 0]), trial.shown())
    for at in range(trial.size[1]):
        given = trial.of_cell(variables), carry, jnp.asarray(trial.given.inputs[:, at])
        (carry, output), changed = trial.cell.apply(*given, mutable=trial.changing)
        variables = {**variables, **{name: {"cell": tree} for name, tree in changed.items()}}
        outputs.append(output)
    alone, whole = {"carry": carry, "outputs": np.stack(outputs, 1)}, trial.run(trial.given).values
    trial.require_same(alone, whole, "steps one after the other, not compiled, differ from the scan")
    yield "step by step"


def _chunks(trial: Trial) -> Names:
    steps, given = trial.size[1], trial.given
    for implementation in trial.implementations:
        whole = trial.run(given, implementation)
        for cut in sorted({1, steps // 2, steps - 1}):
            first = trial.run(given._replace(mask=trial.window(0, cut)), implementation)
            second = trial.run(
                given._replace(mask=trial.window(cut, steps), carry=first.carry),
                implementation,
                variables={**trial.variables, **first.variables},
            )
            both = {"carry": second.carry, "outputs": first.outputs + second.outputs}
            said = f"a sequence in chunks of {cut} and {steps - cut} steps is not the whole one"
            trial.require_same(both, whole.values, said, implementation=implementation)
        yield f"chunks ({implementation})"


def _padding(trial: Trial) -> Names:
    for implementation in trial.implementations:
        _check_padding(trial, implementation)
        yield f"padding ({implementation})"


def _check_padding(trial: Trial, implementation: str) -> None:
    same = functools.partial(trial.require_same, implementation=implementation)
    mask = trial.holes()
    given = trial.given._replace(mask=mask)
    run = lambda given: trial.run(given, implementation)  # noqa: E731
    clean = run(given._replace(inputs=np.where(mask[..., None], given.inputs, 0)))
    for junk in (np.nan, np.inf, 1e30):
        spoilt = run(given._replace(inputs=np.where(mask[..., None], given.inputs, np.float32(junk))))
        said = f"{junk:g} in padded steps changes results or gradients"
        same((spoilt.values, spoilt.gradients), (clean.values, clean.gradients), said)
    outputs, by_inputs = np.asarray(clean.outputs), np.asarray(clean.gradients["inputs"])
    same(outputs[~mask], np.zeros_like(outputs[~mask]), "outputs at padded steps are not zero")
    same(by_inputs[~mask], np.zeros_like(by_inputs[~mask]), "padded inputs have a gradient")
    same(rows_of(clean.carry, [-1]), rows_of(given.carry, [-1]), "a row of length 0 does not end with its first carry")
    if not trial.changing:
        order = np.argsort(~mask, axis=1, kind="stable")
        front = np.arange(trial.size[1]) < mask.sum(1)[:, None]
        packed = run(given._replace(inputs=np.take_along_axis(given.inputs, order[..., None], 1), mask=front))
        alone = {"carry": packed.carry, "outputs": np.asarray(packed.outputs)[front]}
        said = "a row with padding between its real steps is not the row of its real steps alone"
        same({**clean.values, "outputs": outputs[mask]}, alone, said)


def _resets(trial: Trial) -> Names:
    if trial.changing:
        return
    steps, given = trial.size[1], trial.given
    cut = steps // 2
    parts, resets = (trial.window(0, cut), trial.window(cut, steps)), np.zeros(trial.size[:2], bool)
    resets[:, [0, cut]] = True
    for implementation in trial.implementations:
        packed = trial.run(given._replace(resets=resets), implementation)
        each = [trial.run(given._replace(mask=part, carry=given.reset_carry), implementation) for part in parts]
        alone = {"carry": each[1].carry, "outputs": each[0].outputs + each[1].outputs}
        said = f"sequences of {cut} and {steps - cut} steps with resets are not what they are by themselves"
        trial.require_same(packed.values, alone, said, implementation=implementation)
        yield f"resets ({implementation})"


def _rows(trial: Trial) -> Names:
    if trial.changing:
        return
    given, others = trial.given._replace(mask=trial.holes()), np.arange(1, trial.size[0])
    moved = np.arange(trial.size[0])[:, None, None] == 0
    other = given._replace(inputs=np.where(moved, 3 * given.inputs + 1, given.inputs))
    for implementation in trial.implementations:
        before, after = (
            rows_of({**ran.values, "gradient of inputs": ran.gradients["inputs"]}, others)
            for ran in (trial.run(given, implementation), trial.run(other, implementation))
        )
        said = "a row depends on another: with other inputs in row 0, a row after it moves"
        trial.require_same(after, before, said, implementation=implementation)
        yield f"rows ({implementation})"
    alone = jax.jit(jax.vmap(lambda x, m, c: trial.forward(trial.variables, x, mask=m, initial_carry=c)))
    carry, outputs = alone(given.inputs, given.mask, given.carry)
    said = "rows under jax.vmap differ from those of a batch"
    trial.require_same({"carry": carry, "outputs": outputs}, trial.run(given).values, said)
    yield "rows (vmap)"


def _devices(trial: Trial) -> Names:
    """On each, rows with two batch axes, ``[1, rows / devices, T, D]``."""
    if trial.changing:
        return
    every = DataParallel().devices
    count = max(n for n in range(1, trial.size[0] + 1) if n <= len(every) and trial.size[0] % n == 0)
    parallel, run = DataParallel(every[:count]), ran_by(RNN(trial.cell, implementation=trial.implementations[-1]), [])

    def part(variables, given):
        ran = run(variables, *given)
        return ran.values, ran.gradients | {"params": jax.lax.psum(ran.gradients["params"], parallel.axis_name)}

    given = trial.given._replace(mask=trial.holes())
    split = jax.tree.map(lambda leaf: np.reshape(leaf, (count, 1, -1, *np.shape(leaf)[1:])), given)
    values, gradients = parallel.spread(part, (None, 0), (0, 0))(trial.variables, split)
    summed = jax.tree.map(lambda leaf: np.asarray(leaf)[0], gradients.pop("params"))
    values, gradients = jax.tree.map(lambda leaf: np.reshape(leaf, (-1, *leaf.shape[3:])), (values, gradients))
    one = trial.run(given)
    where = f"on {count} devices, with two batch axes" if count > 1 else "with two batch axes"
    said = f"{where}, it differs from one batch"
    trial.require_same((values, gradients | {"params": summed}), (one.values, one.gradients), said)
    yield "batch axes"
    if count > 1:
        yield f"{count} devices"


def _implementations(trial: Trial) -> Names:
    resets = np.zeros(trial.size[:2], bool)
    resets[:2, trial.size[1] // 2] = True
    given = trial.given._replace(mask=trial.holes(), resets=resets)
    # From the end, a sequence is entered at its last step: the mark is at the first step of the one after it.
    flipped = given._replace(
        inputs=np.flip(given.inputs, 1), mask=np.flip(given.mask, 1), resets=np.roll(np.flip(resets, 1), 1, axis=1)
    )
    plain = trial.run(given)
    for implementation in trial.implementations[1:]:
        other = trial.run(given, implementation)
        said = f"implementation={implementation!r} differs from {PLAIN!r}"
        trial.require_same((other.values, other.gradients), (plain.values, plain.gradients), said)
        yield f"{implementation} = {PLAIN}"
        back = trial.run(flipped, implementation, reverse=True)
        values = {"carry": back.carry, "outputs": np.flip(back.outputs, 1)}
        gradients = back.gradients | {"inputs": np.flip(back.gradients["inputs"], 1)}
        said = f"implementation={implementation!r} with reverse=True differs from {PLAIN!r} on reversed inputs"
        trial.require_same((values, gradients), (plain.values, plain.gradients), said)
        yield f"{implementation}, reverse = {PLAIN}"


CHECKS: tuple[Callable[[Trial], Names], ...] = (
    _step_by_step,
    _rows,
    _padding,
    _chunks,
    _resets,
    _implementations,
    slopes,
    _devices,
    half,
)
