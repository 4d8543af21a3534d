"""The count of products' operations, against XLA's own of unrolled programs."""

import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from rnnjax.ahead.operations import operations
from rnnjax.layers.cells import GRUCell, LSTMCell
from rnnjax.layers.conv import ConvStack
from rnnjax.layers.recurrence import RNN

CELLS = {"lstm": LSTMCell, "gru": GRUCell}


def shape(*sizes, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(sizes, dtype)


def xla(function, *shapes) -> float:
    """XLA's count of all floating-point operations, the element-wise ones too."""
    return jax.jit(function).lower(*shapes).compile().cost_analysis().get("flops", 0)


def parameters(layer, *inputs):
    return jax.eval_shape(layer.init, jax.random.key(0), *inputs)


def loss(layer, variables, *inputs, **options):
    outputs = layer.apply(variables, *inputs, **options)
    return sum((leaf**2).sum() for leaf in jax.tree.leaves(outputs))


# Products alone: exactly as XLA counts.

DOTS = {
    "ij,jk->ik": ((3, 4), (4, 5)),
    "bij,bjk->bik": ((2, 3, 4), (2, 4, 5)),
    "bhij,bhkj->bhik": ((2, 3, 4, 5), (2, 3, 6, 5)),
    "abc,cbd->ad": ((2, 3, 4), (4, 3, 5)),
    "abc,dbc->dba": ((2, 3, 4), (5, 3, 4)),
    "i,i->": ((7,), (7,)),
    "i,j->ij": ((7,), (8,)),
}


@pytest.mark.parametrize("spelled", DOTS)
def test_a_product_has_two_operations_for_each_pair_of_numbers(spelled):
    sizes = dict(zip("".join(spelled.split("->")[0].split(",")), sum(DOTS[spelled], ()), strict=True))
    left, right = (shape(*each) for each in DOTS[spelled])
    found = operations(functools.partial(jnp.einsum, spelled), left, right)
    assert found.total == 2 * math.prod(sizes.values())
    assert found.total == found.outside and not found.uncounted
    (product,) = found.products
    assert product.bytes == 4 * (left.size + right.size + math.prod(sizes[axis] for axis in spelled.split("->")[1]))


@pytest.mark.parametrize("spelled", [each for each in DOTS if "i," not in each])
def test_a_product_counts_as_xla_counts_it(spelled):
    """But for those of two vectors, which its CPU compiler writes as multiplications and a sum."""
    shapes = [shape(*each) for each in DOTS[spelled]]
    product = functools.partial(jnp.einsum, spelled)
    assert operations(product, *shapes).total == xla(product, *shapes)


def random_convolutions(count):
    """Shapes and options of convolutions, without batch groups, which XLA's CPU compiler writes in another way."""
    draw = np.random.default_rng(0)
    for _ in range(count):
        groups = int(draw.choice([1, 1, 2, 4]))
        channels, features = groups * int(draw.integers(1, 3)), groups * int(draw.integers(1, 3))
        kernel = [int(size) for size in draw.integers(1, 5, 2)]
        yield (
            (2, 9, 8, channels),
            (*kernel, channels // groups, features),
            {
                "window_strides": tuple(map(int, draw.integers(1, 4, 2))),
                "padding": [tuple(map(int, draw.integers(0, 4, 2))) for _ in range(2)],
                "lhs_dilation": tuple(map(int, draw.integers(1, 4, 2))),
                "rhs_dilation": tuple(map(int, draw.integers(1, 3, 2))),
                "feature_group_count": groups,
            },
        )


def test_a_convolution_counts_as_xla_counts_it():
    """With strides, padding, both dilations and groups of features."""
    for inputs, kernel, options in random_convolutions(25):
        run = functools.partial(lax.conv_general_dilated, dimension_numbers=("NHWC", "HWIO", "NHWC"), **options)
        shapes = shape(*inputs), shape(*kernel)
        assert operations(run, *shapes).total == xla(run, *shapes), (inputs, kernel, options)


def test_a_convolution_of_batch_groups_has_the_operations_of_its_groups():
    """Each of the groups by itself, which XLA counts."""
    whole = functools.partial(lax.conv_general_dilated, window_strides=(2, 1), padding="SAME")
    grouped = functools.partial(whole, batch_group_count=3)
    one = xla(whole, shape(2, 4, 9, 8), shape(5, 4, 3, 3))
    assert operations(grouped, shape(6, 4, 9, 8), shape(15, 4, 3, 3)).total == 3 * one


def test_an_unpadded_convolution_has_what_the_formula_says():
    run = functools.partial(lax.conv_general_dilated, window_strides=(2, 2), padding="VALID")
    assert operations(run, shape(4, 3, 9, 11), shape(8, 3, 3, 3)).total == 2 * (4 * 8 * 4 * 5) * (3 * 3 * 3)


# Layers: the products are nearly all of what XLA counts.


def close(ours, theirs):
    assert 0.9 * theirs <= ours <= theirs


STEPS, ROWS, WIDTH, FEATURES = 4, 16, 96, 128


@functools.cache
def recurrent(cell, implementation, gradient):
    """The layer's loss or all its derivatives, and its shapes: those of what it starts from too, or XLA drops zeros."""
    layer = RNN(CELLS[cell](FEATURES), implementation=implementation, unroll=STEPS)
    inputs = shape(ROWS, STEPS, WIDTH)
    hidden = shape(ROWS, FEATURES)
    carry = (hidden, hidden) if cell == "lstm" else hidden

    def run(variables, inputs, carry):
        return loss(layer, variables, inputs, initial_carry=carry)

    return (jax.grad(run, (0, 1, 2)) if gradient else run), (parameters(layer, inputs), inputs, carry)


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("implementation", ["scan", "fused"])
@pytest.mark.parametrize("cell", CELLS)
def test_recurrent_layers_count_as_xla_counts_them_unrolled(cell, implementation, gradient):
    run, shapes = recurrent(cell, implementation, gradient)
    found = operations(run, *shapes)
    close(found.total, xla(run, *shapes))
    rows, gates = STEPS * ROWS, {"lstm": 4, "gru": 3}[cell] * FEATURES
    projection, recurrence = 2 * rows * WIDTH * gates, 2 * rows * FEATURES * gates
    if not gradient:
        assert (found.outside, found.in_loops) == (projection, recurrence)
        return
    extra = 2 * rows * FEATURES * FEATURES if (cell, implementation) == ("gru", "fused") else 0
    # Twice as much for the derivatives; of the fused layers the kernel's is one product after the loop. The
    # fused GRU takes that of the product under the reset gate apart from the projection's, a fourth gate.
    after = recurrence + extra if implementation == "fused" else 0
    assert (found.outside, found.in_loops) == (3 * projection + after, 3 * recurrence + extra - after)


@pytest.mark.parametrize("gradient", [False, True])
def test_a_stack_of_convolutions_counts_as_xla_counts_it(gradient):
    class Strided(nn.Module):
        @nn.compact
        def __call__(self, images):
            images = ConvStack([16, 32], pool=2)(images)
            return nn.Conv(64, (5, 5), (2, 2))(images)

    layer, images = Strided(), shape(4, 24, 24, 8)
    run = functools.partial(loss, layer)
    run = jax.grad(run) if gradient else run
    found = operations(run, parameters(layer, images), images)
    close(found.total, xla(run, parameters(layer, images), images))
    assert found.in_loops == 0


@pytest.mark.parametrize("gradient", [False, True])
def test_an_embedding_and_a_dense_layer_count_as_xla_counts_them(gradient):
    class Tokens(nn.Module):
        @nn.compact
        def __call__(self, tokens):
            return nn.Dense(256)(nn.Embed(500, 128)(tokens))

    layer, tokens = Tokens(), shape(8, 32, dtype=jnp.int32)
    run = functools.partial(loss, layer)
    run = jax.grad(run) if gradient else run
    found = operations(run, parameters(layer, tokens), tokens)
    close(found.total, xla(run, parameters(layer, tokens), tokens))
    assert found.total == (3 if gradient else 1) * 2 * 8 * 32 * 128 * 256


def test_what_nothing_reads_does_not_count():
    """The hand-written backward pass has the inputs' gradient; where nobody asks for it, XLA drops it."""
    layer, inputs = RNN(LSTMCell(FEATURES), implementation="fused"), shape(ROWS, STEPS, WIDTH)
    run, variables = functools.partial(loss, layer), parameters(layer, inputs)
    projection = 2 * ROWS * STEPS * WIDTH * 4 * FEATURES
    both = operations(jax.grad(run, (0, 1)), variables, inputs).total
    assert operations(jax.grad(run), variables, inputs).total == both - projection


# Loops and the rest of what holds other functions.


def matrix(size=8):
    return shape(size, size)


ONE = 2 * 8**3


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_a_scan_has_exactly_what_the_steps_have_one_by_one(cell, gradient):
    steps, made = 7, CELLS[cell](FEATURES)
    hidden = shape(ROWS, FEATURES)
    carry = (hidden, hidden) if cell == "lstm" else hidden
    inputs = shape(steps, ROWS, WIDTH)
    variables = parameters(made, carry, shape(ROWS, WIDTH))

    def step(variables, carry, x):
        return made.apply(variables, carry, x)

    def scanned(variables, carry, inputs):
        carry, outputs = lax.scan(functools.partial(step, variables), carry, inputs)
        return outputs.sum() + jax.tree.leaves(carry)[0].sum()

    def unrolled(variables, carry, inputs):
        total = 0.0
        for index in range(steps):
            carry, outputs = step(variables, carry, inputs[index])
            total += outputs.sum()
        return total + jax.tree.leaves(carry)[0].sum()

    if gradient:
        scanned, unrolled = jax.grad(scanned, (0, 1, 2)), jax.grad(unrolled, (0, 1, 2))
    loop, apart = operations(scanned, variables, carry, inputs), operations(unrolled, variables, carry, inputs)
    assert loop.total == apart.total == loop.in_loops == apart.outside > 0
    assert loop.bytes == apart.bytes
    assert {product.loops for product in loop.products} == {(steps,)}
    close(loop.total, xla(unrolled, variables, carry, inputs))


def test_a_scan_in_a_scan_multiplies():
    def inner(carry, _):
        return lax.scan(lambda c, _: (c @ c, None), carry, None, length=3)[0], None

    found = operations(lambda x: lax.scan(inner, x @ x, None, length=5)[0], matrix())
    assert (found.total, found.in_loops, found.outside) == (16 * ONE, 15 * ONE, ONE)
    assert [product.loops for product in found.products] == [(), (5, 3)]
    assert [found.deeper(loops) for loops in range(3)] == [15 * ONE, 15 * ONE, 0]


def test_a_while_loop_counts_once_and_says_so():
    def run(x):
        return lax.while_loop(lambda c: (c @ c).sum() < 9, lambda c: c @ c @ c, x)

    found = operations(run, matrix())
    assert found.total == 3 * ONE and found.unknown_trips
    assert not operations(lambda x: lax.fori_loop(0, 4, lambda _, c: c @ c, x), matrix()).unknown_trips
    assert operations(lambda x: lax.fori_loop(0, 4, lambda _, c: c @ c, x), matrix()).total == 4 * ONE


def test_the_dearest_branch_counts():
    branches = [lambda x: x, lambda x: x @ x @ x, lambda x: x @ x]
    found = operations(lambda x: lax.switch(jnp.int32(x[0, 0]), branches, x), matrix())
    assert found.total == 2 * ONE


@pytest.mark.parametrize(("platform", "products"), [("cpu", 3), ("gpu", 2), ("tpu", 1), (None, 3)])
def test_of_what_depends_on_the_platform_its_own_branch_counts(platform, products):
    def function(x):
        return lax.platform_dependent(x, cpu=lambda x: x @ x @ x @ x, cuda=lambda x: x @ x @ x, default=lambda x: x @ x)

    assert operations(function, matrix(), platform=platform).total == products * ONE


@jax.custom_vjp
def squared(x):
    return x @ x


squared.defvjp(lambda x: (x @ x, x), lambda x, g: (g @ x.T + x.T @ g,))


@jax.custom_jvp
def cubed(x):
    return x @ x @ x


cubed.defjvp(lambda x, t: (cubed(*x), t[0] * x[0]))


@pytest.mark.parametrize(
    ("function", "times"),
    [
        (jax.jit(lambda x: x @ x), 1),
        (jax.jit(jax.jit(lambda x: x @ x)), 1),
        (squared, 1),
        (jax.grad(lambda x: squared(x).sum()), 2),
        (jax.grad(lambda x: jnp.sin(squared(x)).sum()), 3),
        (cubed, 2),
        (jax.checkpoint(lambda x: x @ x), 1),
        (jax.grad(lambda x: jax.checkpoint(lambda x: jnp.sin(x @ x))(x).sum()), 3),
        (jax.vmap(lambda x: x @ x, in_axes=None, axis_size=3), 1),
    ],
)
def test_what_holds_a_function_is_looked_into(function, times):
    assert operations(function, matrix()).total == times * ONE


def test_a_checkpoint_that_is_computed_again_counts_again():
    def run(x):
        return jax.checkpoint(lambda x: jnp.sin(jnp.sin(x @ x) @ x))(x).sum()

    plain = jax.value_and_grad(lambda x: jnp.sin(jnp.sin(x @ x) @ x).sum())
    assert operations(plain, matrix()).total == 6 * ONE
    assert operations(jax.value_and_grad(run), matrix()).total == 8 * ONE


def test_under_a_mesh_one_device_counts():
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:4]), ("batch",))

    def run(x):
        return lax.psum(x.T @ x, "batch")

    spread = jax.shard_map(run, mesh=mesh, in_specs=jax.P("batch"), out_specs=jax.P())
    assert operations(jax.jit(spread), shape(32, 8)).total == 2 * 8 * 8 * 8
    mapped = jax.pmap(run, "batch", devices=jax.devices()[:4])
    assert operations(mapped, shape(4, 8, 8)).total == 2 * 8 * 8 * 8


def test_a_pallas_kernel_counts_for_each_step_of_its_grid():
    from jax.experimental import pallas as pl

    def kernel(left, right, out):
        out[...] = left[...] @ right[...]

    call = pl.pallas_call(
        kernel,
        out_shape=shape(32, 16),
        grid=(4, 2),
        in_specs=[pl.BlockSpec((8, 64), lambda i, j: (i, 0)), pl.BlockSpec((64, 8), lambda i, j: (0, j))],
        out_specs=pl.BlockSpec((8, 8), lambda i, j: (i, j)),
        interpret=True,
    )
    found = operations(call, shape(32, 64), shape(64, 16))
    assert found.total == 2 * 32 * 64 * 16 and found.products[0].loops == (8,)


def test_what_cannot_be_counted_is_named():
    found = operations(lambda x: jnp.linalg.cholesky(x) @ x, matrix())
    assert found.uncounted == ("cholesky",) and found.total == ONE


def test_the_layer_and_the_direction_are_in_the_name():
    layer, inputs = RNN(LSTMCell(8), implementation="scan"), shape(2, 3, 4)
    found = operations(jax.grad(functools.partial(loss, layer)), parameters(layer, inputs), inputs)
    backward = [product for product in found.products if "transpose(" in product.op_name]
    assert 0 < len(backward) < len(found.products)
    assert all("RNN" in product.op_name for product in found.products)


def test_a_bfloat16_product_has_half_the_bytes():
    wide, narrow = (operations(jnp.dot, *[shape(8, 8, dtype=dtype)] * 2) for dtype in (jnp.float32, jnp.bfloat16))
    assert wide.total == narrow.total and wide.bytes == 2 * narrow.bytes
