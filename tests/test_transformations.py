"""Every implementation under every transformation of JAX and Flax, and on meshes: the numbers stay what they were.

What is right is told by ``flax.linen.RNN`` for the LSTM and the GRU, and by the plain call for the other cells.

Axes: B batch, T time, D input features, H hidden features.
"""

import functools
import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import checkify
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from rnnjax import RNN, GRUCell, LearnedCarry, LSTMCell, Outputs, StackedRNN, UsageError
from rnnjax.layers.cells import CELLS, SILENT
from rnnjax.layers.convert import to_flax
from rnnjax.layers.implementations import IMPLEMENTATIONS
from tests.marks import often

BATCH, STEPS, WIDTH, FEATURES = 4, 4, 3, 4
LENGTHS = np.array([4, 1, 0, 3])


class Case(NamedTuple):
    """A layer with its variables and inputs, what it gives, and the gradients of :func:`loss`."""

    layer: RNN
    variables: Any
    inputs: jax.Array
    carry: Any
    outputs: jax.Array
    gradients: tuple[Any, jax.Array]


def loss(layer: nn.Module, variables: Any, inputs: jax.Array, **options: Any) -> jax.Array:
    return (layer.apply(variables, inputs, **options)[1] ** 2).sum()


def close(ours: Any, theirs: Any, tolerance: float = 2e-6) -> None:
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=tolerance, rtol=1e-5), ours, theirs)


@functools.cache
def case(name: str, implementation: str) -> Case:
    layer = RNN(CELLS[name](FEATURES), implementation=implementation)
    inputs = jax.random.normal(jax.random.key(1), (BATCH, STEPS, WIDTH))
    variables = jax.jit(layer.init)(jax.random.key(0), inputs)
    (carry, outputs), pull = jax.vjp(lambda v, x: layer.apply(v, x), variables, inputs)
    gradients = pull((jax.tree.map(jnp.zeros_like, carry), 2 * outputs))
    if name in ("lstm", "gru"):
        cell = (nn.OptimizedLSTMCell if name == "lstm" else nn.GRUCell)(FEATURES)
        params = {"params": {"cell": to_flax(variables["params"], name)}}
        run = lambda x: nn.RNN(cell, return_carry=True).apply(params, x)  # noqa: E731
        theirs, d_inputs = run(inputs), jax.grad(lambda x: (run(x)[1] ** 2).sum())(inputs)
        close((carry, outputs, gradients[1]), (*theirs, d_inputs))
    return Case(layer, variables, inputs, carry, outputs, gradients)


def mesh(kind: AxisType, *sizes: int) -> Mesh:
    return jax.make_mesh(sizes, ("data", "model")[: len(sizes)], (kind,) * len(sizes))


def gradients_inside_shard_map(c: Case) -> None:
    """With its default check_vma: those of replicated weights are summed over the mesh."""

    def local(variables: Any, inputs: jax.Array) -> Any:
        total = lambda v, x: jax.lax.psum(loss(c.layer, v, x), "data")  # noqa: E731
        return jax.grad(total, (0, 1))(variables, inputs)

    spread = jax.shard_map(local, mesh=mesh(AxisType.Auto, 4), in_specs=(P(), P("data")), out_specs=(P(), P("data")))
    close(jax.jit(spread)(c.variables, c.inputs), c.gradients)


def gradients_on_explicit_axes(c: Case) -> None:
    axes = mesh(AxisType.Explicit, 4)
    placed = (
        jax.device_put(c.variables, NamedSharding(axes, P())),
        jax.device_put(c.inputs, NamedSharding(axes, P("data"))),
    )
    close(jax.jit(jax.grad(functools.partial(loss, c.layer), (0, 1)))(*placed), c.gradients)


def gradients_inside_set_mesh(c: Case) -> None:
    with jax.set_mesh(mesh(AxisType.Explicit, 4)):
        inputs = jax.device_put(c.inputs, P("data"))
        close(jax.jit(c.layer.init)(jax.random.key(0), inputs), c.variables)
        placed = jax.device_put(c.variables, P()), inputs
        close(jax.jit(jax.grad(functools.partial(loss, c.layer), (0, 1)))(*placed), c.gradients)


def export_with_free_sizes(c: Case) -> None:
    for sizes in ("b, 4, 3", "4, t, 3", "b, t, 3"):
        shape = jax.ShapeDtypeStruct(jax.export.symbolic_shape(sizes), jnp.float32)
        exported = jax.export.export(jax.jit(functools.partial(c.layer.apply, c.variables)))(shape)
        close(exported.call(c.inputs), (c.carry, c.outputs))


def export_of_remat_and_lengths(c: Case) -> None:
    b, t = jax.export.symbolic_shape("b, t")
    shapes = jax.ShapeDtypeStruct((b, t, WIDTH), jnp.float32), jax.ShapeDtypeStruct((b,), jnp.int32)
    layer = c.layer.clone(remat="sqrt")
    run = jax.jit(lambda x, lengths: layer.apply(c.variables, x, lengths=lengths))
    lengths = jnp.asarray(LENGTHS, jnp.int32)
    close(
        jax.export.export(run)(*shapes).call(c.inputs, lengths), c.layer.apply(c.variables, c.inputs, lengths=lengths)
    )


def ranks_that_are_not_promoted(c: Case) -> None:
    with jax.numpy_rank_promotion("raise"):
        close(jax.jit(jax.grad(functools.partial(loss, c.layer), (0, 1)))(c.variables, c.inputs), c.gradients)
        resets = jnp.asarray(np.arange(STEPS) == 2)[None].repeat(BATCH, 0)
        for layer in (c.layer, c.layer.clone(reverse=True)):
            jax.eval_shape(lambda x, la=layer: la.apply(c.variables, x, lengths=LENGTHS, resets=resets), c.inputs)


def checkify_of_gradients(c: Case) -> None:
    for rows in (BATCH, 1):  # of one row, some loops are others
        run = jax.jit(jax.grad(functools.partial(loss, c.layer), 1))
        checked = checkify.checkify(run, errors=checkify.index_checks | checkify.float_checks)
        error, d_inputs = checked(c.variables, c.inputs[:rows])
        error.throw()
        close(d_inputs, c.gradients[1][:rows])


def a_donated_carry(c: Case) -> None:
    step = jax.jit(lambda carry, x: c.layer.apply(c.variables, x, initial_carry=carry), donate_argnums=0)
    carry, first = step(jax.tree.map(lambda leaf: jnp.zeros_like(leaf), c.carry), c.inputs[:, :2])
    carry, second = step(carry, c.inputs[:, 2:])
    close((carry, jnp.concatenate([first, second], 1)), (c.carry, c.outputs))


def a_model_cast_to_bfloat16(c: Case) -> None:
    """Its carry goes through chunks and steps in loops, and they end where the whole ends."""
    if jax.tree.leaves(c.carry)[0].dtype == jnp.complex64:
        return  # float32 is its only precision
    variables, inputs = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), (c.variables, c.inputs))
    first, _ = c.layer.apply(variables, inputs[:, :1])
    whole, _ = c.layer.apply(variables, inputs)
    assert [leaf.dtype for leaf in jax.tree.leaves(first)] == [leaf.dtype for leaf in jax.tree.leaves(c.carry)]
    ahead = lambda carry, x: (c.layer.apply(variables, x[:, None], initial_carry=carry)[0], None)  # noqa: E731
    last, _ = jax.lax.scan(ahead, first, jnp.moveaxis(inputs[:, 1:], 1, 0))
    close(last, whole, 0.02)


def a_table_with_flops(c: Case) -> None:
    table = c.layer.tabulate(jax.random.key(0), c.inputs, compute_flops=True, console_kwargs={"width": 240})
    assert "flops" in table and "input_kernel" in table and "dtype)" not in table


def captured_intermediates(c: Case) -> None:
    _, state = c.layer.apply(c.variables, c.inputs, capture_intermediates=True)
    close(state["intermediates"]["__call__"][0], (c.carry, c.outputs))


def lifted_by_flax(c: Case) -> None:
    for lift in (nn.remat, nn.jit):

        class Lifted(nn.Module):
            @nn.compact
            def __call__(self, inputs, lift=lift):
                return lift(RNN)(c.layer.cell, implementation=c.layer.implementation, train=True, name="it")(inputs)

        params = {"params": {"it": c.variables["params"]}}
        close(jax.grad(functools.partial(loss, Lifted()), 1)(params, c.inputs), c.gradients[1])


def training_by_call_and_by_attribute(c: Case) -> None:
    """The stream of keys has a name: others change nothing."""
    layer = c.layer.clone(input_dropout=0.5)
    rngs = {"dropout": jax.random.key(3), "other": jax.random.key(4)}
    by_call = jax.jit(layer.apply, static_argnames="train")(c.variables, c.inputs, rngs=rngs, train=True)
    by_attribute = jax.jit(layer.clone(train=True).apply)(c.variables, c.inputs, rngs=rngs | {"other": rngs["dropout"]})
    close(by_call, by_attribute)
    assert np.abs(by_call[1] - c.outputs).max() > 1e-3
    close(layer.clone(train=True).apply(c.variables, c.inputs, train=False)[1], c.outputs)


def pickled_and_hashed(c: Case) -> None:
    stack = StackedRNN([c.layer])
    again = pickle.loads(pickle.dumps(stack))
    assert again == stack and hash(again) == hash(stack)
    leaves = len(jax.tree.leaves(c.carry))
    assert hash(c.layer.clone(zoneout=[0.1] * leaves)) == hash(c.layer.clone(zoneout=(0.1,) * leaves))


def in_a_sequential(c: Case) -> None:
    model = nn.Sequential([nn.tanh, Outputs(c.layer), jnp.square])
    params = {"params": {"layers_1": c.variables["params"]}}
    close(model.apply(params, jnp.arctanh(c.inputs / 8)), c.layer.apply(c.variables, c.inputs / 8)[1] ** 2, 1e-5)


def forward_mode(c: Case) -> None:
    """The derivative along a direction is the gradient's component; so for a Gauss-Newton product."""
    dots = jax.tree.map(jnp.cos, (c.variables, c.inputs))
    _, along = jax.jvp(functools.partial(loss, c.layer), (c.variables, c.inputs), dots)
    parts = jax.tree.map(jnp.vdot, c.gradients, dots)
    np.testing.assert_allclose(along, sum(jax.tree.leaves(parts)), rtol=1e-4, atol=1e-4)
    close(jax.jacfwd(functools.partial(loss, c.layer), 1)(c.variables, c.inputs), c.gradients[1], 1e-5)
    run = lambda v: c.layer.apply(v, c.inputs)[1]  # noqa: E731
    outputs, push = jax.linearize(run, c.variables)
    product = jax.vjp(run, c.variables)[1](push(c.variables))[0]
    np.testing.assert_allclose(
        sum(jax.tree.leaves(jax.tree.map(jnp.vdot, product, c.variables))),
        (push(c.variables) ** 2).sum(),
        rtol=1e-4,
    )
    close(outputs, c.outputs)


def no_rows_and_remat(c: Case) -> None:
    carry, outputs = c.layer.clone(remat="sqrt").apply(c.variables, c.inputs[:0])
    assert outputs.shape == (0, *c.outputs.shape[1:]) and jax.tree.leaves(carry)[0].shape[0] == 0


def carries_and_marks_step_by_step(c: Case) -> None:
    """A mask of integers, resets to one row for all and a learned first carry: at once, and in a stream."""
    layer = c.layer.clone(first_carry=LearnedCarry(nn.initializers.ones))
    variables = jax.jit(layer.init)(jax.random.key(0), c.inputs)
    mask = (np.arange(STEPS) < LENGTHS[:, None]).astype(np.int32)
    marks = {"mask": mask, "resets": np.arange(STEPS)[None].repeat(BATCH, 0) == 2}
    fresh = jax.tree.map(lambda leaf: jnp.full_like(leaf[:1], 2), c.carry)
    whole, outputs = layer.apply(variables, c.inputs, reset_carry=fresh, return_carries=True, **marks)
    step = jax.jit(functools.partial(layer.apply, method="step"))
    carry = layer.apply(variables, None, (BATCH, WIDTH), method="initialize_carry")
    for at in range(STEPS):
        here = {name: mark[:, at] for name, mark in marks.items()}
        carry, output = step(variables, carry, c.inputs[:, at], reset_carry=fresh, **here)
        close((carry, output), jax.tree.map(lambda leaf, at=at: leaf[:, at], (whole, outputs)))


TRANSFORMATIONS: tuple[Callable[[Case], None], ...] = (
    gradients_inside_shard_map,
    gradients_on_explicit_axes,
    gradients_inside_set_mesh,
    export_with_free_sizes,
    export_of_remat_and_lengths,
    ranks_that_are_not_promoted,
    checkify_of_gradients,
    a_donated_carry,
    a_model_cast_to_bfloat16,
    a_table_with_flops,
    captured_intermediates,
    lifted_by_flax,
    training_by_call_and_by_attribute,
    pickled_and_hashed,
    in_a_sequential,
    forward_mode,
    no_rows_and_remat,
    carries_and_marks_step_by_step,
)
OF_THE_SCAN = (
    gradients_inside_shard_map,
    gradients_inside_set_mesh,
    export_of_remat_and_lengths,
    ranks_that_are_not_promoted,
    a_model_cast_to_bfloat16,
    forward_mode,
)
"""In which a cell's own step matters."""
WAYS = [(name, way) for name in ("lstm", "gru") for way in ("fused", "scan")]
OTHERS = [("min_gru", "associative"), ("min_gru", "chunked"), ("simple_rnn", "fused")]
OTHERS += [(name, "scan") for name in CELLS if name not in ("lstm", "gru")]
TABLE = [(*way, each) for way in WAYS for each in TRANSFORMATIONS]
# The associative scan's depth and the chunks depend on the number of steps, which must then be known: "auto" takes
# another.
TABLE += [
    (name, way, each)
    for name, way in OTHERS
    for each in OF_THE_SCAN
    if way not in ("associative", "chunked") or each is not export_of_remat_and_lengths
]
OFTEN = [case for case in TABLE if case[:2] in (("lstm", "fused"), ("min_gru", "associative"), ("min_gru", "chunked"))]


@pytest.mark.parametrize(
    ("name", "implementation", "transformation"),
    often(TABLE, OFTEN),
    ids=lambda part: getattr(part, "__name__", part),
)
def test_a_transformation_changes_no_number(name, implementation, transformation):
    transformation(case(name, implementation))


def test_every_implementation_is_taken_through_them():
    """But cuDNN, which needs its GPU, and Pallas, which needs its TPU."""
    names = {row.name for row in IMPLEMENTATIONS}
    assert {way for _, way in WAYS + OTHERS} == names - {"cudnn", "pallas"}


@pytest.mark.parametrize("implementation", ["associative", "chunked"])
def test_a_parallel_scan_of_a_free_number_of_steps_is_refused(implementation):
    c, shape = case("min_gru", implementation), jax.export.symbolic_shape("4, t, 3")
    with pytest.raises(UsageError, match="its number of steps is free"):
        jax.export.export(jax.jit(functools.partial(c.layer.apply, c.variables)))(
            jax.ShapeDtypeStruct(shape, "float32")
        )


@pytest.mark.parametrize("cell", [LSTMCell, GRUCell])
@pytest.mark.parametrize("boxed", [nn.with_partitioning, nn.with_logical_partitioning])
def test_every_parameter_takes_named_axes(cell, boxed):
    """For 4H and for H alike; the values are those without names."""
    named = {
        "input_init": boxed(nn.initializers.glorot_uniform(), ("data", "model")),
        "recurrent_init": boxed(nn.initializers.orthogonal(), ("data", "model")),
        "bias_init": boxed(nn.initializers.zeros, ("model",)),
    }
    layer, inputs = StackedRNN([RNN(cell(FEATURES, **named))] * 2), jnp.ones((BATCH, STEPS, WIDTH))
    variables = layer.init(jax.random.key(0), inputs)
    for path, spec in jax.tree.leaves_with_path(
        nn.get_partition_spec(variables), is_leaf=lambda leaf: isinstance(leaf, P)
    ):
        assert spec == (P("model") if "bias" in jax.tree_util.keystr(path) else P("data", "model"))
    plain = StackedRNN([RNN(cell(FEATURES))] * 2).init(jax.random.key(0), inputs)
    close(nn.unbox(variables), plain)
    close(layer.apply(variables, inputs), layer.apply(plain, inputs))


SPREAD = [
    (kind, cell, axes, way)
    for kind in (AxisType.Auto, AxisType.Explicit)
    for cell in (LSTMCell, GRUCell)
    for axes in (("data", "model"), (None, "model"), ("data", None))
    for way in ("fused", "scan")
    if kind == AxisType.Auto or "model" in axes[1:]  # by features, which JAX would have to derive
]


@pytest.mark.parametrize(("kind", "cell", "axes", "implementation"), often(SPREAD, SPREAD[::3]))
def test_sharded_training_on_a_mesh_equals_one_device(kind, cell, axes, implementation):
    """Of a stack, its parameters by their named axes, on 2 x 2 devices."""
    named = {
        "input_init": nn.with_partitioning(nn.initializers.glorot_uniform(), axes),
        "recurrent_init": nn.with_partitioning(nn.initializers.orthogonal(), axes),
        "bias_init": nn.with_partitioning(nn.initializers.zeros, axes[1:]),
    }
    layer = StackedRNN([RNN(cell(8, **named), implementation=implementation)] * 2)
    inputs, devices = jax.random.normal(jax.random.key(1), (BATCH, STEPS, 6)), mesh(kind, 2, 2)
    boxed = jax.jit(layer.init)(jax.random.key(0), inputs)
    alone = nn.unbox(boxed)

    def step(variables: Any, inputs: jax.Array) -> Any:
        gradients = jax.grad(functools.partial(loss, layer))(variables, inputs)
        return jax.tree.map(lambda leaf, d: leaf - 0.1 * d, variables, gradients)

    shardings = nn.get_sharding(boxed, devices)
    train = jax.jit(step, in_shardings=(shardings, NamedSharding(devices, P("data"))), out_shardings=shardings)
    spread, placed = jax.device_put(alone, shardings), jax.device_put(inputs, NamedSharding(devices, P("data")))
    for _ in range(3):
        alone, spread = jax.jit(step)(alone, inputs), train(spread, placed)
    close(spread, alone, 1e-5)
    kernel = spread["params"]["layers_0"]["cell"]["recurrent_kernel"]
    assert kernel.sharding.spec == P(*axes)


@pytest.mark.parametrize("way", [nn.remat, nn.jit])
def test_a_traced_train_is_refused_in_a_sentence(way):
    class Lifted(nn.Module):
        @nn.compact
        def __call__(self, inputs):
            return way(RNN)(LSTMCell(FEATURES))(inputs, train=True)

    with pytest.raises(UsageError, match=r"RNN: train is traced.*RNN\(..., train=True\)"):
        Lifted().init(jax.random.key(0), jnp.ones((BATCH, STEPS, WIDTH)))


def test_a_step_of_ones_own_may_sow():
    class Sowing(LSTMCell):
        def step(self, carry, projected, noise=SILENT):
            carry, output = super().step(carry, projected, noise)
            self.sow("intermediates", "h", output)
            return carry, output

    inputs = jnp.ones((BATCH, STEPS, WIDTH))
    variables = RNN(Sowing(FEATURES)).init(jax.random.key(0), inputs)
    (_, outputs), state = RNN(Sowing(FEATURES)).apply(variables, inputs, mutable=["intermediates"])
    close(state["intermediates"]["cell"]["h"][0], jnp.moveaxis(outputs, 1, 0))
