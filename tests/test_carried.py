"""A recurrence whose carry goes on from batch to batch: the layer, the plan of streams, and the road around them."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnjax import RNN, Bidirectional, Carried, GRUCell, LRUCell, LSTMCell, SimpleRNNCell, StackedRNN, UsageError, data
from rnnjax.data.plan import Streams, steps_per_epoch
from rnnjax.runs.evaluate import evaluate
from rnnjax.runs.running import run
from rnnjax.training import audit
from rnnjax.training.checkpoint import Checkpoints
from rnnjax.training.runner import Runner
from tests.strangers import language_model
from tests.toy import assert_close

STACKS = {
    "an LSTM": lambda: RNN(LSTMCell(5)),
    "a stack": lambda: StackedRNN([RNN(LSTMCell(5)), RNN(GRUCell(4)), RNN(SimpleRNNCell(3))]),
    "a scan": lambda: RNN(GRUCell(5), implementation="scan"),
    "an associative scan": lambda: RNN(LRUCell(5), implementation="associative"),
    "chunks": lambda: RNN(LRUCell(5), implementation="chunked"),
}
INPUTS = np.random.default_rng(0).normal(size=(3, 12, 2)).astype(np.float32)
EXPERIMENT = language_model.EXPERIMENT


def in_parts(layer, variables, inputs, cuts, **options):
    """The outputs of one call after the other, and the last carry."""
    kept, outputs, last = {name: tree for name, tree in variables.items() if name != "carry"}, [], None
    apply = jax.jit(lambda kept, part: layer.apply(kept, part, mutable=["carry"], **options))
    for part in np.split(inputs, cuts, axis=1):
        (last, made), changed = apply(kept, part)
        kept, outputs = kept | changed, [*outputs, made]
    return last, jnp.concatenate(outputs, 1)


@pytest.mark.parametrize("kind", STACKS)
def test_call_after_call_is_one_call_over_all(kind):
    plain, layer = STACKS[kind](), Carried(STACKS[kind]())
    variables = jax.jit(layer.init)(jax.random.key(0), INPUTS)
    assert jax.tree.map(jnp.shape, variables["params"]) == jax.tree.map(
        jnp.shape, jax.eval_shape(plain.init, jax.random.key(0), INPUTS)["params"]
    )
    carry, outputs = jax.jit(plain.apply)({"params": variables["params"]}, INPUTS)
    ours, theirs = in_parts(layer, variables, INPUTS, [1, 6])
    assert_close((ours, theirs), (carry, outputs), 1e-6)


def test_init_leaves_the_carry_of_a_beginning():
    layer = Carried(RNN(LSTMCell(5)))
    variables = layer.init(jax.random.key(0), INPUTS)
    assert all(not leaf.any() for leaf in jax.tree.leaves(variables["carry"]))
    fresh = layer.apply({"params": variables["params"]}, INPUTS)
    assert_close(fresh, layer.apply(variables, INPUTS, mutable=["carry"])[0], 0)
    assert_close(fresh, layer.apply(variables, INPUTS), 0)


def test_resets_and_padding_are_those_of_the_layer():
    layer, plain = Carried(RNN(GRUCell(5))), RNN(GRUCell(5))
    variables = layer.init(jax.random.key(0), INPUTS)
    resets = np.zeros((3, 12), bool)
    resets[1, 6] = resets[2, 9] = True
    lengths = np.array([4, 6, 3])
    _, state = layer.apply(variables, INPUTS[:, :6], lengths=lengths, mutable=["carry"])
    ours, _ = layer.apply(variables | state, INPUTS[:, 6:], resets=resets[:, 6:], mutable=["carry"])
    mask = np.concatenate([np.arange(6) < lengths[:, None], np.ones((3, 6), bool)], 1)
    carry, outputs = plain.apply({"params": variables["params"]}, INPUTS, mask=mask, resets=resets)
    assert_close(ours, (carry, outputs[:, 6:]), 1e-6)


def test_a_backward_recurrence_is_refused_wherever_it_stands():
    backward, forward = RNN(LSTMCell(3), reverse=True), RNN(LSTMCell(3))
    both, merged = Bidirectional(forward, backward), Bidirectional(forward, backward, merge="sum")
    stacks = [StackedRNN([below, forward]) for below in (backward, both, StackedRNN([backward, forward]))]
    for layer in (backward, both, merged, *stacks):
        with pytest.raises(UsageError, match="a backward recurrence has no carry"):
            Carried(layer).init(jax.random.key(0), INPUTS)


def test_truncated_backpropagation_through_time_is_that_of_pytorch():
    torch = pytest.importorskip("torch")
    size, hidden, rate, rng = 6, 7, 0.5, np.random.default_rng(1)
    stream = rng.integers(0, size, (4, 41))
    module = torch.nn.LSTM(size, hidden, batch_first=True)
    head = torch.nn.Linear(hidden, size)

    class Model(nn.Module):
        @nn.compact
        def __call__(self, ids):
            _, outputs = Carried(RNN(LSTMCell(hidden)))(jax.nn.one_hot(ids, size))
            return nn.Dense(size)(outputs)

    model = Model()
    params = jax.tree.map(np.asarray, jax.jit(model.init)(jax.random.key(0), stream[:, :10])["params"])
    cell = {name: torch.tensor(np.array(leaf)) for name, leaf in params["RNN_0"]["cell"].items()}
    with torch.no_grad():  # gates are i, f, g, o in both
        module.weight_ih_l0.copy_(cell["input_kernel"].T)
        module.weight_hh_l0.copy_(cell["recurrent_kernel"].T)
        module.bias_ih_l0.copy_(cell["bias"])
        module.bias_hh_l0.zero_()
        head.weight.copy_(torch.tensor(np.array(params["Dense_0"]["kernel"])).T)
        head.bias.copy_(torch.tensor(np.array(params["Dense_0"]["bias"])))
    module.bias_hh_l0.requires_grad_(False)
    learnt = [p for p in [*module.parameters(), *head.parameters()] if p.requires_grad]
    optimizer, state, theirs = torch.optim.SGD(learnt, rate), None, []
    for start in range(0, 40, 10):
        ids, targets = (torch.tensor(stream[:, start + d : start + d + 10]) for d in (0, 1))
        outputs, state = module(torch.nn.functional.one_hot(ids, size).float(), state)
        state = tuple(part.detach() for part in state)
        loss = torch.nn.functional.cross_entropy(head(outputs).flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        theirs.append(loss.item())

    rows = Streams().train(np.zeros(16), seed=0, epoch=0, batch_size=4, steps_per_call=4)[0].rows  # pyright: ignore
    inputs, targets = (stream[:, d : d + 40].reshape(16, 10).astype(np.int32) for d in (0, 1))

    @functools.partial(jax.value_and_grad, has_aux=True)
    def objective(params, kept, inputs, targets):
        logits, changed = model.apply({"params": params, **kept}, inputs, mutable=["carry"])
        return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean(), changed

    value_and_gradients, kept, losses = jax.jit(objective), {}, []
    for batch in rows:
        (loss, kept), gradients = value_and_gradients(params, kept, inputs[batch], targets[batch])
        params = jax.tree.map(lambda leaf, gradient: leaf - rate * gradient, params, gradients)
        losses.append(float(loss))
    np.testing.assert_allclose(losses, theirs, rtol=1e-5)


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 5), st.integers(0, 99))
def test_streams_go_on_from_step_to_step(count, batch, most, epoch):
    plan, rows = Streams(), np.zeros(count)
    sizes = {"batch_size": batch, "steps_per_call": most}
    chunks = plan.train(rows, seed=1, epoch=epoch, **sizes)  # pyright: ignore[reportArgumentType]
    steps = np.concatenate([np.zeros((0, batch), int), *(chunk.rows[chunk.mask.any(1)] for chunk in chunks)])
    assert len(steps) == count // batch == steps_per_epoch(chunks)
    assert (np.diff(steps, axis=0) == 1).all()
    assert len(np.unique(steps)) == steps.size
    assert steps.size == 0 or 0 <= steps.min() <= steps.max() < count
    every = plan.evaluate(rows, **sizes)  # pyright: ignore[reportArgumentType]
    assert sorted(np.concatenate([chunk.rows[chunk.mask] for chunk in every])) == list(range(count))
    steps, mask = (np.concatenate([getattr(chunk, name) for chunk in every]) for name in ("rows", "mask"))
    assert (np.diff(steps, axis=0)[mask[1:]] == 1).all(), "what is real goes on from what is above it"
    assert (mask[:-1] | ~mask[1:]).all()


def made(devices, experiment=EXPERIMENT):
    return Runner(experiment, data.load(experiment.data), jax.devices()[:devices])


def trained(program, chunks=3):
    state, sums = program.place(program.create_state(1)), []
    for fed in program.feed_training(program.train_plan(seed=0, epoch=0)[:chunks], 0):
        state, last = program.train(state, fed)
        sums.append(program.parallel.to_host(last))
    return program.on_host(state), sums


def test_a_carry_is_whole_on_the_host_and_split_by_streams_on_the_devices():
    one, two = trained(made(1)), trained(made(2))
    assert_close(two, one)
    carry = jax.tree.leaves(two[0].carry)
    assert {leaf.shape for leaf in carry} == {(16, 24)}
    assert all(np.abs(leaf).max() > 0.01 for leaf in carry)
    program = made(2)
    again = program.on_host(program.place(two[0]))
    for ours, theirs in zip(jax.tree.leaves(again), jax.tree.leaves(two[0]), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_carry_of_a_step_is_what_the_next_one_starts_from():
    program = made(2)
    state, _ = trained(program, 1)
    chunk, inputs = program.train_plan(seed=0, epoch=0)[0], program.dataset.train["inputs"]
    # With a learning rate of 0 the parameters are those of the start throughout.
    placed = program.place(program.create_state(1))
    for fed in program.feed_training([chunk], 0):
        placed, _ = program.train(placed, fed, learning_rate_scale=0.0)
    read = inputs[chunk.rows[chunk.mask.any(1)]]  # [K, B, T]
    _, kept = program.model.apply(
        {"params": program.create_state(1).params}, np.concatenate(list(read), 1), mutable=["carry"]
    )
    assert_close(program.on_host(placed).carry, kept["carry"], 1e-5)
    assert state.step == len(read)


def test_evaluation_reads_each_stream_as_one_sequence():
    program = made(2)
    variables = program.create_state(1).variables()
    ids, targets = (np.asarray(program.dataset.split("test")[name]) for name in ("inputs", "targets"))
    steps, total = -(-len(ids) // 16), 0.0
    for first in range(0, len(ids), steps):  # a run of windows each
        rows = slice(first, first + steps)
        logits = jax.jit(program.model.apply)(variables, ids[rows].reshape(1, -1))
        total += optax.softmax_cross_entropy_with_integer_labels(logits, targets[rows].reshape(1, -1)).sum()
    assert program.evaluate(variables, "test")["loss"] == pytest.approx(float(total) / targets.size, rel=1e-5)


def test_an_audit_reads_the_carry_too():
    program = made(2)
    (fed, *_) = program.feed_training(program.train_plan(seed=0, epoch=0)[:1], 0)
    state, _ = audit.twice(lambda s: program.train(s, fed), program.parallel, program.place(program.create_state(1)))
    assert_close(program.on_host(state), trained(program, 1)[0], 0)


def test_a_batch_of_streams_that_does_not_divide_over_the_devices_is_refused():
    odd = dataclasses.replace(EXPERIMENT, data=dataclasses.replace(EXPERIMENT.data, batch_size=15))
    with pytest.raises(UsageError, match="a batch of 15 does not divide over 2 devices"):
        made(2, odd)


def test_a_carry_through_shuffled_rows_is_refused():
    """Each row would begin with the carry of a row that has nothing to do with it."""
    dataset = dataclasses.replace(data.load(EXPERIMENT.data), plan=data.Plan())
    with pytest.raises(UsageError, match=r"CharModel keeps a carry .* rows of text_file are shuffled.*Streams"):
        Runner(EXPERIMENT, dataset, jax.devices()[:1])


def test_what_is_carried_without_rows_is_refused():
    class Counter(nn.Module):
        @nn.compact
        def __call__(self, inputs, *, train=False):
            self.variable("carry", "count", lambda: jnp.zeros(()))
            return nn.Dense(9)(jax.nn.one_hot(inputs, 9))

    with pytest.raises(UsageError, match="count of one example is"):
        made(1, dataclasses.replace(EXPERIMENT, model=Counter()))


def test_a_state_saved_on_one_device_goes_on_on_two(tmp_path):
    one, two = made(1), made(2)
    saved, _ = trained(one, 2)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        checkpoints.save(int(saved.step), saved, {})
    again, problems = Checkpoints(tmp_path / "checkpoints").newest(two.create_state(0))
    assert again is not None and not problems
    ends = []
    for program, state in ((one, saved), (two, again.state)):
        placed = program.place(state)
        for fed in program.feed_training(program.train_plan(seed=0, epoch=0)[2:4], 0):
            placed, _ = program.train(placed, fed)
        ends.append(program.on_host(placed))
    assert_close(ends[1], ends[0])


def test_another_number_of_devices_evaluates_the_same_streams(tmp_path):
    """15 streams do not divide over the devices of the tests; 16 of them would have another loss."""
    section = dataclasses.replace(EXPERIMENT.data, batch_size=15)
    train = dataclasses.replace(EXPERIMENT.train, epochs=1, log=())
    experiment = dataclasses.replace(EXPERIMENT, data=section, train=train)
    trained = run(made(1, experiment), 0, tmp_path / "run")["metrics"]
    for split in ("validation", "test"):
        found = evaluate(experiment, tmp_path / "run", split)
        assert found["loss"] == pytest.approx(trained[split]["loss"], rel=1e-6)
