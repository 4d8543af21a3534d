"""Exports of models that are of one's own or compute otherwise, and folders that are not as they were written."""

import json
import re
import sys
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

import rnnjax
from rnnjax import RNN, Shape, Spec, cells, digests
from rnnjax.data.preprocess import Preprocess
from rnnjax.errors import DataError, UsageError
from rnnjax.export import __main__ as checking
from rnnjax.export import check, folder, readme, stablehlo, streaming
from rnnjax.runs.predict import Predictor
from rnnjax.tasks import Regression
from tests import test_export_programs as programs
from tests import toy

pytest.importorskip("flatbuffers")

SEQUENCES = {"inputs": Shape((1, 6, 3), np.dtype("f4")), "lengths": Shape((1,), np.dtype("i4"))}


class Own(nn.Module):
    """A GRU and a product, both of one dtype."""

    dtype: object = jnp.float32

    @nn.compact
    def __call__(self, inputs, *, lengths, train=False):
        carry, _ = RNN(cells.GRUCell(4, dtype=self.dtype))(inputs, lengths=lengths)
        return nn.Dense(1, dtype=self.dtype)(carry)


class Counting(nn.Module):
    """A loop over as many steps as there are, which JAX cannot trace for any number of them."""

    @nn.compact
    def __call__(self, inputs, *, lengths, train=False):
        return nn.Dense(1)(sum(inputs[:, place] for place in range(inputs.shape[1])))


class Calling(nn.Module):
    """A part that is computed by Python."""

    @nn.compact
    def __call__(self, inputs, *, lengths, train=False):
        values = nn.Dense(1)(inputs[:, 0])
        return jax.pure_callback(np.asarray, jax.ShapeDtypeStruct(values.shape, values.dtype), values)


class Broken(nn.Module):
    """A model that answers with no number to some."""

    @nn.compact
    def __call__(self, inputs, *, lengths, train=False):
        return jnp.log(nn.Dense(1)(inputs[:, 0]))


def predictor(model):
    spec = Spec(SEQUENCES, outputs=1)
    variables = jax.jit(model.init)(jax.random.key(0), **spec.zeros())
    return Predictor(model, variables, Preprocess(), Regression(), spec)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A folder with a model and a step."""
    out = tmp_path_factory.mktemp("exported") / "out"
    folder.write(programs.predictor("rows"), out, "stablehlo")
    return out


@pytest.fixture
def copied(exported, tmp_path):
    out = tmp_path / "copied"
    out.mkdir()
    for path in exported.iterdir():
        (out / path.name).write_bytes(path.read_bytes())
    return out


def told(capsys, *arguments):
    """The exit code and the one sentence that the check told."""
    code = checking.main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    assert not said.out and said.err.startswith("error: ") and said.err.count("\n") == 1
    return code, said.err


def test_no_file_names_a_path_of_this_machine(exported):
    assert {path.name for path in exported.iterdir()} >= {"model.stablehlo", "step.stablehlo", "carry.npz"}
    for path in exported.iterdir():
        assert not re.search(rb"\.py\b|/rnnjax/|site-packages", path.read_bytes()), path.name
    before = jax.config.jax_traceback_in_locations_limit
    assert before > 0, "what JAX says in errors and profiles is as it was"


def test_a_sample_is_named_by_its_file_alone(tmp_path):
    held, samples = programs.predictor("rows"), tmp_path / "samples"
    samples.mkdir()
    held.preprocess.save_samples(toy.DATASETS[toy.IMAGES], (), samples)
    _, names = folder.arguments.sample(held, programs.likes("rows"), samples)
    assert names == ["test-0.png", "test-1.png", "test-2.png"]


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_a_model_of_16_bits_answers_from_files_that_numpy_reads_alone(tmp_path, dtype):
    held = predictor(Own(dtype))
    said = folder.write(held, tmp_path / "out", "stablehlo")
    kind = "float16" if dtype == jnp.float16 else "float32"  # NumPy's files hold no bfloat16
    assert said["outputs"] == [[["batch", 1], kind]] and check.difference(tmp_path / "out") <= 2e-2
    with np.load(tmp_path / "out" / "sample.npz") as sample:
        assert sample["output_0"].dtype == kind
        wanted = held.outputs({name: sample[name] for name in SEQUENCES})
        np.testing.assert_array_equal(sample["output_0"], wanted.astype(kind))


def test_a_stream_of_bfloat16_carries_what_numpy_reads_alone():
    layer = RNN(cells.LSTMCell(4, dtype=jnp.bfloat16))
    spec = Spec({"inputs": SEQUENCES["inputs"]}, outputs=1)
    variables = layer.init(jax.random.key(0), **spec.zeros())
    held = Predictor(layer, variables, Preprocess(), Regression(), spec)
    likes = {"inputs": folder.Like(("batch", 6, 3), np.dtype("f4"))}
    stream = streaming.stream(held, likes)
    assert {array.dtype.name for array in stream.first.values()} == {"float32"}
    inputs = np.random.default_rng(0).normal(size=(2, 6, 3)).astype(np.float32)
    _, outputs = layer.apply(variables, inputs)
    steps = stream.over({"inputs": inputs})
    assert steps.dtype == np.float32
    np.testing.assert_allclose(steps, outputs.astype(np.float32), rtol=1e-2, atol=1e-2)


def test_a_step_is_made_where_jax_counts_in_64_bits_too():
    held, likes = programs.predictor("rows"), programs.likes("rows")
    with jax.enable_x64(True):
        stream = streaming.stream(held, likes)
        step = export.deserialize(bytearray(stablehlo.steps(stream)))
    assert {array.dtype.name for array in stream.first.values()} == {"float32"}
    inputs = programs.stored_for("rows", 1)["inputs"][:, 0]
    for got, wanted in zip(jax.tree.leaves(step.call(stream.first, inputs=inputs)), step.out_avals, strict=True):
        assert got.dtype == wanted.dtype == np.float32


def test_onnx_refuses_16_bits_also_where_nothing_recurs(tmp_path):
    pytest.importorskip("onnxruntime")
    held = programs.predictor("no recurrence")
    section = rnnjax.ImageModel(features=(), conv=(2, 3), pooling=("max",), dtype="bfloat16")
    model = section.build(held.spec, held.task.width(held.spec))
    with pytest.raises(UsageError, match="ONNX cannot say a model that computes with 16 bits"):
        folder.write(Predictor(model, held.variables, held.preprocess, held.task, held.spec), tmp_path / "out", "onnx")
    assert not list(tmp_path.iterdir())


def test_a_model_that_counts_its_steps_is_exported_for_sizes_that_are_fixed(tmp_path):
    held = predictor(Counting())
    with pytest.raises(
        UsageError, match=r"cannot be traced for any number of rows or steps .*; give --batch ROWS and "
    ):
        folder.write(held, tmp_path / "out", "stablehlo")
    folder.write(held, tmp_path / "out", "stablehlo", batch=2, length=6)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("sizes", [{}, {"batch": 2, "length": 6}], ids=["free", "fixed"])
def test_what_jax_cannot_export_is_one_sentence(tmp_path, sizes):
    with pytest.raises(UsageError, match=r"^jax.export cannot say a part of the model \(.*callback.*\)$"):
        folder.write(predictor(Calling()), tmp_path / "out", "stablehlo", **sizes)
    assert not list(tmp_path.iterdir())


def test_answers_that_are_no_numbers_are_null_in_json(tmp_path):
    folder.write(predictor(Broken()), tmp_path / "out", "stablehlo")

    def refuse(name):
        raise ValueError(name)

    said = json.loads((tmp_path / "out" / "export.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert {"prediction": None} in said["sample"]["answers"]
    assert check.difference(tmp_path / "out") <= 1e-5


@pytest.mark.parametrize("name", ["model.stablehlo", "step.stablehlo", "carry.npz", "preprocess.json"])
def test_each_file_is_missed_and_a_changed_bit_is_seen(copied, capsys, name):
    content = bytearray((copied / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copied / name).write_bytes(content)
    assert told(capsys, copied) == (
        1,
        f"error: {copied}: an exported model that is damaged, or not whole: {name} is not as it was written\n",
    )
    (copied / name).unlink()
    assert told(capsys, copied)[1].endswith(f"{name} is missing\n")


def test_a_description_that_was_changed_or_is_of_another_version_is_refused(copied, capsys):
    path = copied / "export.json"
    said = json.loads(path.read_text(encoding="utf-8"))
    for changed in ({**said, "tolerance": 1e9}, {name: said[name] for name in said if name != "tolerance"}, {}):
        path.write_text(json.dumps(changed), encoding="utf-8")
        assert told(capsys, copied)[1].endswith("not whole: export.json is not as it was written\n")
    newer = {name: value for name, value in said.items() if name != "digest"} | {"version": 99}
    path.write_text(json.dumps(digests.sealed(newer)), encoding="utf-8")
    assert "of version 99, which this version of rnnjax does not read" in told(capsys, copied)[1]
    path.write_text("[", encoding="utf-8")
    assert "not the description of an exported model" in told(capsys, copied)[1]
    (copied / "sample.npz").unlink()
    path.write_text(json.dumps(said), encoding="utf-8")
    assert "damaged, or not whole" in told(capsys, copied)[1]


def test_the_check_says_how_it_is_used(exported, capsys):
    with pytest.raises(SystemExit) as ended:
        checking.main(["--help"])
    assert not ended.value.code and "--tolerance SHARE" in capsys.readouterr().out
    for wrong, said in (
        (["--tolerance", "nan"], "a share of the largest output, 0 or more, got nan"),
        (["--tolerance=-1"], "0 or more, got -1"),
        (["--tolerance", "big"], "invalid float value"),
        (["more"], "unrecognized arguments: more"),
    ):
        code, line = told(capsys, exported, *wrong)
        assert code == 2 and said in line


def test_the_package_that_reads_and_writes_stablehlo_is_named_where_it_is_missing(exported, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "flatbuffers", None)
    named = r"StableHLO files need the package flatbuffers: pip install flatbuffers, or rnnjax\[export\]"
    with pytest.raises(UsageError, match=named):
        folder.check_target(tmp_path / "out", "stablehlo")
    with pytest.raises(UsageError, match=named):
        check.difference(exported)


def test_more_weights_than_a_file_holds_are_refused_before_it_is_made(tmp_path, monkeypatch):
    monkeypatch.setitem(folder._LARGEST, "stablehlo", 100)
    with pytest.raises(UsageError, match=r"holds less than 100 bytes, and the model has .* bytes of weights"):
        folder.write(predictor(Own()), tmp_path / "out", "stablehlo")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("label", "shown"), [("cat", "`cat`"), ("größ `x`", "`` größ `x` ``"), ("a\nb", "`a b`"), ("``", "``` `` ```")]
)
def test_the_page_shows_a_label_letter_by_letter(label, shown):
    said = {"task": "classification", "labels": [label, "b", "c"], "outputs": [[["batch", 3], "float32"]]}
    assert f"values for {shown}, `b`" in readme._meaning(said)


def test_a_folder_of_nothing_holds_no_export(tmp_path, capsys):
    assert told(capsys, tmp_path)[0] == told(capsys, Path("nowhere"))[0] == 2
    with pytest.raises(DataError, match="the outputs should be"):
        check._share(np.zeros(2), np.zeros(3))
