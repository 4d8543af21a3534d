"""What is read from compiled programs: of CPU, compiled here, and of TPU and GPU, committed or compiled for them."""

import re
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from rnnjax.ahead.program import parse
from rnnjax.ahead.shapes import parse_shape
from rnnjax.ahead.text import collectives, loops
from rnnjax.errors import DataError
from tests.ahead_programs import DEVICES, FEATURES, STEPS, WIDTH, compiled_for, gradient, swapping
from tests.test_fused import compiled, copies_in_loops

PROGRAMS = Path(__file__).parent / "programs"  # compiled for v5e:2x2 and four H200, names shortened, metadata cut
GRADIENT_BYTES = 4 * (1 + 4 * FEATURES + WIDTH * 4 * FEATURES + FEATURES * 4 * FEATURES)


def committed(name: str) -> str:
    return (PROGRAMS / f"{name}.hlo").read_text(encoding="utf-8")


def text_of(function, *arguments) -> str:
    text = jax.jit(function).lower(*arguments).compile().as_text()
    assert text
    return text


# Shapes and the parser.


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("f32[8,128]{1,0:T(8,128)S(1)}", 4096),
        ("pred[3]", 3),
        ("s4[5]{0}", 3),
        ("u4[4]{0:E(4)}", 2),
        ("bf16[2,3]{1,0:T(8,128)(2,1)}", 12),
        ("f8e4m3fn[7]{0}", 7),
        ("f8e5m2[7]", 7),
        ("c64[2]", 16),
        ("f32[]", 4),
        ("f32[0,4]{1,0}", 0),
        ("s32[<=6]{0}", 24),
        ("token[]", 0),
        ("()", 0),
        ("(s32[], /*index=1*/(f32[2]{0:T(128)}, pred[3]{0}), bf16[2]{0})", 4 + 8 + 3 + 4),
    ],
)
def test_bytes_of_a_shape(text, size):
    assert parse_shape(text).bytes == size


def test_an_unknown_dtype_is_an_error():
    with pytest.raises(DataError, match="'q7' in the program's text is no dtype"):
        parse_shape("q7[3]").bytes  # noqa: B018


SYNTAX = """HloModule jit_f, is_scheduled=true, replica_count=2, num_partitions=4

FileNames
1 "model.py"

FileLocations
3 {file_name_id=1 function_name_id=1 line=20 end_line=20 column=13 end_column=40}

StackFrames
7 {file_location_id=3 parent_frame_id=1}

%add (x: f32[], y: f32[]) -> f32[] {
  %x = f32[] parameter(0)
  %y = f32[] parameter(1)
  ROOT %s = f32[] add(f32[] %x, f32[] %y)
}

ENTRY %main.5_spmd (p: f32[2,3], /*index=1*/q: (s32[], pred[2])) -> f32[2,3] {
  %p = f32[2,3]{1,0:T(8,128)} parameter(0)
  %q = (s32[], /*index=1*/pred[2]{0}) parameter(1)
  %c = s32[2]{0} constant({1, 2}), metadata={op_name="jit(f)/a(b,\\"c\\")={d}" stack_frame_id=7}
  %k = f32[2,3]{1,0} custom-call(%p, %c, /*index=2*/%p), custom_call_target="__cublas$gemm", backend_config={"a":"}{","b":[1,{"c":"calls=%no"}]}
  ROOT %r = f32[2,3]{1,0} all-reduce(f32[2,3]{1,0} %k), replica_groups={}, to_apply=%add, metadata={op_name="jit(f)/psum" source_file="here.py" source_line=3}
}
"""  # noqa: E501


def test_the_parser_reads_every_form_of_a_line():
    program = parse(SYNTAX)
    add, main = program.computations["add"], program.entry
    assert add.root.operands == ["x", "y"] and list(add.parameters) == [0, 1]
    assert main.name == "main.5_spmd" and main.instructions["k"].operands == ["p", "c", "p"]
    assert main.instructions["c"].operands == ["{1, 2}"]
    assert main.instructions["c"].op_name == r"jit(f)/a(b,\"c\")={d}"
    assert program.source(main.instructions["c"]) == "model.py:20"
    assert program.source(main.root) == "here.py:3"
    assert program.source(main.instructions["k"]) == ""
    assert main.instructions["k"].called() == []
    assert main.instructions["k"].attributes["backend_config"] == '{"a":"}{","b":[1,{"c":"calls=%no"}]}'
    assert [shape.dtype for shape in main.instructions["q"].shape.leaves()] == ["s32", "pred"]
    assert program.devices == 8


def test_a_collective_without_groups_is_of_all_devices():
    (found,) = collectives(SYNTAX)
    assert (found.kind, found.group, found.bytes, found.runs, found.op_name) == ("all-reduce", 8, 24, 1, "jit(f)/psum")


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("no program", "begins with 'HloModule'"),
        (SYNTAX[: SYNTAX.index(", to_apply")].replace(", replica_groups={}", ", replica_groups={"), "ends within"),
        (SYNTAX[:-3], "ends within one"),
        (SYNTAX[: SYNTAX.index("%k), replica")], "never closed"),
        (SYNTAX.replace("ENTRY ", ""), "no ENTRY computation"),
        (SYNTAX.replace("f32[] %x,", "f32[] %z,"), None),
    ],
)
def test_a_text_that_is_cut_is_an_error(broken, message):
    if message is None:
        program = parse(broken)
        with pytest.raises(DataError, match="'z' of computation add is used and nowhere"):
            program.computations["add"].operands(program.computations["add"].root)
        return
    with pytest.raises(DataError, match=message):
        parse(broken)


def test_a_text_of_megabytes_is_read():
    """Not timed, but with a parser that is quadratic in the text it would not end."""
    head, tail = SYNTAX.split("ENTRY")
    more = "".join(head[head.index("%add") :].replace("%add", f"%add{n}") for n in range(20_000))
    start = time.process_time()
    assert len(parse(head + more + "ENTRY" + tail).computations) == 20_002
    print(f"{len(more) / 1e6:.1f} MB in {time.process_time() - start:.1f} s")


# Trip counts, against what the program does.


def counting(first, condition, step):
    """Such a loop in JAX, and how often it runs in Python."""
    trips, value = 0, first
    while condition(value):
        trips, value = trips + 1, step(value)

    def run(x):
        return lax.while_loop(lambda c: condition(c[0]), lambda c: (step(c[0]), jnp.sin(c[1])), (first, x))

    return run, trips


COUNTERS = {
    "up": (0, lambda i: i < 17, lambda i: i + 1),
    "by three": (2, lambda i: i < 17, lambda i: i + 3),
    "at most": (2, lambda i: i <= 17, lambda i: i + 5),
    "down": (9, lambda i: i > 2, lambda i: i - 2),
    "down to": (9, lambda i: i >= 3, lambda i: i - 2),
    "turned": (0, lambda i: 12 > i, lambda i: 5 + i),
    "not": (0, lambda i: i != 12, lambda i: i + 4),
    "never": (5, lambda i: i < 5, lambda i: i + 1),
}


@pytest.mark.parametrize("name", COUNTERS)
@pytest.mark.optimized
def test_trips_are_those_that_python_counts(name):
    run, trips = counting(*COUNTERS[name])
    text = text_of(run, jnp.ones((3,)))
    for said in (text, re.sub(r'"known_trip_count":\{[^}]*\},?', "", text)):
        found = loops(said)
        assert [loop.trips for loop in found] == [trips] or (trips <= 1 and not found)


@pytest.mark.optimized
def test_trips_that_depend_on_data_are_unknown():
    (loop,) = loops(text_of(lambda x: lax.while_loop(lambda c: c.sum() < 9, lambda c: c * 2, x), jnp.ones((3,))))
    assert loop.trips is None and loop.runs is None


@pytest.mark.optimized
def test_a_loop_in_a_loop_runs_as_often_as_both_say():
    def step(carry, _):
        return lax.scan(lambda c, x: (jnp.tanh(c @ c), c.sum()), carry, None, length=3)

    text = text_of(lambda x: lax.scan(step, x, None, length=7), jnp.ones((4, 4)))
    outer, inner = loops(text)
    assert (outer.depth, outer.parent, outer.trips, outer.runs) == (0, None, 7, 7)
    assert (inner.depth, inner.parent, inner.trips, inner.runs) == (1, outer.name, 3, 21)
    assert inner.counts.get("product", 0) + inner.counts.get("fused product", 0) == 1
    assert not {"product", "fused product"} & set(outer.counts)
    assert [loop.trips for loop in loops(re.sub(r'"known_trip_count":\{[^}]*\},?', "", text))] == [7, 3]


# Whole sequences that a loop copies.


@pytest.mark.parametrize("name", ["lstm", "gru"])
@pytest.mark.optimized
def test_the_fused_layers_copy_no_sequence(name):
    found = loops(compiled(name, 8).as_text())
    assert [(loop.trips, loop.backward, loop.copies) for loop in found] == [(200, False, ()), (200, True, ())]


def old_and_new(buffer, index):
    return buffer.at[index].set(buffer[::-1].sum(0)), buffer[-1] - buffer[0]


def all_again(buffer, index):
    """A window that moves: the whole of it is written at each step."""
    return jnp.concatenate([buffer[1:], buffer[index][None]]), None


@pytest.mark.parametrize(("step", "how"), [(old_and_new, "copy"), (swapping, "copy"), (all_again, "rewrite")])
@pytest.mark.optimized
def test_a_loop_that_copies_a_sequence_is_noticed(step, how):
    buffer = jnp.ones((200, 8, 4))
    program = jax.jit(lambda carry: lax.scan(step, carry, jnp.arange(200)))
    program = program.lower((buffer, buffer) if step is swapping else buffer).compile()
    (loop,) = loops(program.as_text())
    assert how in {copy.how for copy in loop.copies}
    assert {(copy.shape, copy.bytes) for copy in loop.copies} == {("f32[200,8,4]", 200 * 8 * 4 * 4)}
    # All that another reading of the text finds; that one takes every copy instruction in a loop.
    copied = [copy for copy in loop.copies if copy.name.startswith("copy")]
    assert len(copied) == copies_in_loops(program).count((200, 8, 4))


@pytest.mark.optimized
def test_an_accumulator_as_large_as_the_sequence_is_no_copy_of_it():
    """A gradient that every step adds to has, by chance, the sequence's shape."""

    def step(total, x):
        return total + x[:, None] * x[None, :], None

    text = text_of(lambda xs: lax.scan(step, jnp.zeros((64, 64)), xs), jnp.ones((64, 64)))
    assert [loop.copies for loop in loops(text)] == [()]


@pytest.mark.optimized
def test_what_is_computed_of_a_sequence_is_no_copy_of_it():
    """A loop over training steps: the data are sliced by the step, and one of its arrays by a loop over time."""

    def train(total, row):
        hidden, outputs = lax.scan(lambda c, x: (jnp.tanh(c + x), c), row[0], jnp.sin(row + total))
        return total + outputs.sum() + hidden.sum(), outputs.mean()

    outer, inner = loops(text_of(lambda data: lax.scan(train, 0.0, data), jnp.ones((2, 64, 8))))
    assert (outer.trips, inner.trips, outer.copies, inner.copies) == (2, 64, (), ())


@pytest.mark.optimized
def test_a_copy_in_an_inner_loop_is_said_of_the_inner_loop():
    def step(carry, index):
        return lax.scan(swapping, carry, jnp.arange(200))[0], index

    buffer = jnp.ones((200, 8, 4))
    outer, inner = loops(text_of(lambda carry: lax.scan(step, carry, jnp.arange(5)), (buffer, buffer)))
    assert inner.copies
    assert not {copy.name for copy in outer.copies} & {copy.name for copy in inner.copies}


@pytest.mark.parametrize("platform", ["tpu", "gpu"])
def test_swapped_buffers_are_copied_on_an_accelerator(platform):
    """Three copies of 25,600 bytes, counted in the text by hand; those of the counter and of small arrays are none."""
    (loop,) = loops(committed(f"{platform}_swap"))
    assert loop.trips == 200
    assert [(copy.how, copy.shape, copy.elements) for copy in loop.copies] == [("copy", "f32[200,8,4]", (1, 2))] * 3


# Collectives. Both programs hold the same, on a mesh of 2 x 2: counted in the function that they were compiled from.

X = 4 * 8 * 256  # bytes of the array that each device has
OUTSIDE = [
    ("all-gather", 2 * X, 2, 1, False),
    ("all-to-all", X, 4, 1, False),
    ("collective-permute", X, 2, 1, False),
    ("all-reduce", X, 2, 1, False),
    ("all-reduce", 512, 2, 1, False),
    ("all-reduce", 1024, 2, 1, False),
]
INSIDE = [
    ("all-reduce", 256, 2, 7, False),  # in a scan of 7
    ("collective-permute", X, 2, 21, False),  # in a scan of 3 within it
    ("all-reduce", 4, 2, None, False),  # in a while_loop
    ("all-reduce", X, 2, 1, True),  # in a branch of a cond
]
# The TPU's compiler makes an all-reduce of a reduce-scatter, of which each device then takes its slice.
SCATTER = {"tpu": ("all-reduce", X // 2, 4, 1, False), "gpu": ("reduce-scatter", X // 8, 4, 1, False)}


@pytest.mark.parametrize("platform", ["tpu", "gpu"])
def test_collectives_of_an_accelerator(platform):
    """Asynchronous ones count once: on the TPU an all-gather runs while the loop's products do, in five fusions."""
    found = collectives(committed(f"{platform}_collectives"))
    read = [(each.kind, each.bytes, each.group, each.runs, each.conditional) for each in found]
    assert sorted(map(str, read)) == sorted(map(str, [*OUTSIDE, *INSIDE, SCATTER[platform]]))
    assert {each.total_bytes for each in found if each.runs == 21} == {21 * X}


@pytest.mark.parametrize(
    ("platform", "expected"),
    [
        ("gpu", {7: {"fused product": 2, "collective": 1, "copy": 3, "fusion": 3}, 21: {"collective": 1, "fusion": 2},
                 None: {"collective": 1, "fusion": 1}}),
        ("tpu", {7: {"fused product": 2, "collective": 1, "copy": 3, "other": 2, "scalar": 1},
                 21: {"collective": 1, "fusion": 1, "scalar": 1}, None: {"collective": 1, "fusion": 1}}),
    ],
)  # fmt: skip
def test_kernels_of_a_loop_on_an_accelerator(platform, expected):
    """Counted in the text by hand."""
    found = loops(committed(f"{platform}_collectives"))
    assert {loop.runs: loop.counts for loop in found} == expected
    assert all(loop.launches == sum(loop.counts.values()) - loop.counts.get("scalar", 0) for loop in found)


@pytest.mark.optimized
def test_the_sum_of_gradients_is_one_collective_of_their_bytes():
    run, shapes = gradient("fused", jax.local_devices()[:DEVICES])
    found = collectives(run.lower(*shapes).compile().as_text())
    assert {each.kind for each in found} == {"all-reduce"} and {each.group for each in found} == {DEVICES}
    assert sum(each.total_bytes or 0 for each in found) == GRADIENT_BYTES
    assert {each.runs for each in found} == {1}


LINES = {
    "all-reduce(%p), replica_groups=[2,4]<=[8], to_apply=%add": ("all-reduce", 4),
    "all-reduce(%p), replica_groups=[4,2]<=[2,4]T(1,0), to_apply=%add": ("all-reduce", 2),
    "all-reduce(%p), replica_groups={{0,1,2},{3}}, to_apply=%add": ("all-reduce", 3),
    "collective-permute(%p), source_target_pairs={{0,1},{1,2},{2,0},{4,5}}": ("collective-permute", 3),
    "collective-broadcast(%p), replica_groups={{0,1}}": ("collective-broadcast", 2),
}


@pytest.mark.parametrize("line", LINES)
def test_groups_of_every_spelling(line):
    text = re.sub(r"all-reduce\(f32.*", line, SYNTAX)
    (found,) = collectives(text)
    assert (found.kind, found.group) == LINES[line]
    assert found.bytes == 24


TARGETS = {
    "__cublas$gemm": "product",
    "__cublas$lt$matmul$f8": "product",
    "__cudnn$convForward": "product",
    "tpu_custom_call": "hand-written",
    "mosaic_gpu_v2": "hand-written",
    "__gpu$xla.gpu.triton": "hand-written",
    "lapack_sgetrf": "other",
    "AllocateBuffer": None,
}


@pytest.mark.parametrize("target", TARGETS)
def test_custom_calls_are_told_apart(target):
    text = committed("gpu_swap").replace(
        "copy(%", f'custom-call(), custom_call_target="{target}", backend_config={{"no":"%'
    )
    text = "\n".join(line + '"}' if "custom-call()" in line else line for line in text.splitlines())
    (loop,) = loops(text)
    assert loop.counts.get(TARGETS[target] or "", 0) == (3 if TARGETS[target] else 0)
    assert "copy" not in loop.counts
    # What a kernel writes anew at each step, and what becomes the carried buffer, is a rewrite of it.
    assert {copy.how for copy in loop.copies} == ({"rewrite"} if TARGETS[target] else set())


# Compiled for the accelerators, where the packages for it are installed.


@pytest.fixture(scope="module", params=["tpu", "gpu"])
def accelerator(request, tmp_path_factory):
    return request.param, compiled_for(request.param, tmp_path_factory.mktemp(request.param))


# Fusions of a step, forward and backward: by hand, in the texts of jax 0.10.2 with libtpu 0.0.52 and for CUDA 12.
FUSIONS = {"tpu": (5, 7), "gpu": (7, 7)}


def test_the_fused_lstm_on_an_accelerator(accelerator):
    platform, texts = accelerator
    forward, backward = loops(texts["lstm_fused"])
    for loop, fusions, is_backward in zip((forward, backward), FUSIONS[platform], (False, True), strict=True):
        assert (loop.trips, loop.runs, loop.depth, loop.backward) == (STEPS, STEPS, 0, is_backward)
        assert loop.counts["fused product"] == 1 and loop.counts["fused product"] + loop.counts["fusion"] == fusions
        assert loop.copies == ()
        assert "jvp(RNN)" in loop.op_name and re.search(r"\.py:\d+$", loop.source)


@pytest.mark.parametrize("implementation", ["fused", "scan"])
def test_gradients_are_summed_once_on_an_accelerator(accelerator, implementation):
    found = collectives(accelerator[1][f"lstm_{implementation}"])
    assert {(each.kind, each.group, each.runs) for each in found} == {("all-reduce", DEVICES, 1)}
    assert sum(each.bytes for each in found) == GRADIENT_BYTES
    assert all(each.op_name.endswith("psum") for each in found)  # also where XLA made one of several


def test_a_copying_loop_is_noticed_on_an_accelerator(accelerator):
    (loop,) = loops(accelerator[1]["swap"])
    assert loop.trips == 200 and {copy.shape for copy in loop.copies} == {"f32[200,8,4]"}
