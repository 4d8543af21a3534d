"""A stranger's layer in a file: it is compared with ours, timed and listed, and each misuse of it is one sentence."""

import json
import re
import sys

import pytest

from experiments.benchmarks import __main__ as command
from experiments.benchmarks import harness, layers, record, stranger
from experiments.benchmarks.markdown import PAGE
from experiments.benchmarks.task import Shape, Task
from rnnjax.errors import UsageError

SHAPE = Shape(2, 4, 3, 5)
RNN = """\
import jax
import jax.numpy as jnp


def rnn(params, inputs):
    def step(h, x):
        h = jnp.tanh(x + h @ params["recurrent_kernel"])
        return h, h

    steps = (inputs @ params["input_kernel"] + params["bias"]).swapaxes(0, 1)
    h = jnp.zeros_like(inputs, shape=(len(inputs), len(params["recurrent_kernel"])))
    return jax.lax.scan(step, h, steps)[1].swapaxes(0, 1)
"""
CALLED = "from other import work\n\n\ndef rnn(params, inputs{options}):\n    return {returned}\n"
TURNED = "work(params, inputs[:, ::-1])[:, ::-1] if reverse else work(params, inputs)"


@pytest.fixture
def loaded(tmp_path, monkeypatch):
    """Writes a file, which may import RNN's from beside it, and loads the layer in it."""
    monkeypatch.setattr(sys, "path", [*sys.path])

    def load(text, name="mine.py"):
        (tmp_path / "other.py").write_text(RNN.replace("def rnn", "def work"))
        (tmp_path / name).write_text(text)
        return stranger.load(tmp_path / name)

    yield load
    for name in ("other", "peer_mine"):
        sys.modules.pop(name, None)


def compared(layer, form="plain", **options):
    return stranger.compare(layer, [Task(layer.cell, form, mode, SHAPE, **options) for mode in ("forward", "train")])


@pytest.mark.parametrize("form", ["plain", "masked"])
def test_the_pages_example_is_compared_with_ours(form, loaded):
    example = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert example
    layer = loaded(example[1])
    assert (layer.name, layer.cell, layer.takes) == ("mine.py", "lstm", frozenset())
    assert compared(layer, form) < 2e-6


@pytest.mark.parametrize(
    ("options", "before"),
    [
        ("", "work(params, inputs)"),  # what it reads backwards is flipped for it
        (
            ", *, lengths=None, reverse=False",
            "work(params, inputs[:, ::-1])[:, ::-1] if reverse else work(params, inputs)",
        ),
    ],
)
def test_both_directions_are_asked_for_or_flipped(options, before, loaded):
    layer = loaded(CALLED.format(options=options, returned=before))
    assert len(layer.takes) == (2 if options else 0)
    assert compared(layer, "bidirectional") < 2e-6


def test_lengths_are_handed_over_and_what_is_behind_them_does_not_matter(loaded):
    returned = "jnp.where(jnp.arange(4)[None, :, None] < lengths[:, None, None], work(params, inputs), 7.0)"
    layer = loaded("import jax.numpy as jnp\n" + CALLED.format(options=", lengths", returned=returned))
    assert compared(layer, "masked") < 2e-6


def test_of_one_step_the_recurrent_kernels_gradient_is_zero_and_no_difference(loaded):
    layer, task = loaded(RNN), Task("rnn", "plain", "train", Shape(2, 1, 3, 5))
    assert stranger.compare(layer, [task]) < 2e-6
    added = "work(params, inputs) + moved(params['recurrent_kernel'].sum())"
    moved = "import jax\n\n\ndef moved(number):\n    return number - jax.lax.stop_gradient(number)\n\n\n"
    layer = loaded(moved + CALLED.format(options="", returned=added))
    with pytest.raises(UsageError, match="its gradient of recurrent_kernel differs by inf"):
        stranger.compare(layer, [task])


def test_bfloat16_is_compared_too_but_less_closely(loaded):
    layer = loaded(CALLED.format(options="", returned="work(params, inputs)"))
    assert 1e-4 < compared(layer, dtype="bfloat16") < 5e-2


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (
            "work(params, inputs) * 1.01",
            r"rnnjax, and nothing was timed: its output differs by 1\.0e-02 of the largest",
        ),
        (
            "work(params | {'bias': jax.lax.stop_gradient(params['bias'])}, inputs)",
            r": its gradient of bias differs by 1\.0e\+00 of the largest value of ours, where 0\.001 is allowed; at",
        ),
        ("work(params, jax.lax.stop_gradient(inputs))", r": its gradient of inputs differs by 1\.0e\+00 of"),
        ("jnp.sqrt(work(params, inputs))", "mine.py: its output has values that are not finite; at rnn plain, B2 T4"),
        ("work(params, inputs) + 0 * jnp.sqrt(0 * inputs[..., :1])", "its gradient of inputs has values that are not"),
    ],
)
def test_what_differs_or_is_not_finite_is_refused(returned, message, loaded):
    layer = loaded("import jax\nimport jax.numpy as jnp\n" + CALLED.format(options="", returned=returned))
    with pytest.raises(UsageError, match=message):
        compared(layer)


def test_a_backward_direction_is_named(loaded):
    held = "params = {name: jax.lax.stop_gradient(part) if reverse else part for name, part in params.items()}\n    "
    text = CALLED.format(options=", reverse", returned=TURNED).replace("return", held + "return")
    with pytest.raises(UsageError, match=r"its gradient of backward bias differs by .*, its gradient of backward "):
        compared(loaded("import jax\n" + text), "bidirectional")


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (
            "work(params)",
            r"mine.py, line 5: TypeError: work\(\) missing 1 required positional argument: 'inputs'; at",
        ),
        ("inputs @ params['kernel']", "mine.py, line 5: KeyError: 'kernel'; at rnn plain, B2 T4 D3 H5"),
        ("float(inputs[0, 0, 0])", "mine.py, line 5: ConcretizationTypeError: Abstract tracer value encountered"),
        ("(inputs, inputs)", r"mine.py: rnn returns outputs \[B, T, H\] alone, got tuple"),
        ("None", "alone, got NoneType"),
        ("work(params, inputs)[:, -1]", r"returns float32 \[B, T, H\] = \[2, 4, 5\] here, got float32 \[2, 5\]"),
        ("work(params, inputs).swapaxes(0, 1)", r"got float32 \[4, 2, 5\]"),
        ("work(params, inputs).astype('bfloat16')", r"got bfloat16 \[2, 4, 5\]"),
    ],
)
def test_what_goes_wrong_in_it_is_one_sentence(returned, message, loaded):
    layer = loaded(CALLED.format(options="", returned=returned))
    with pytest.raises(UsageError, match=message) as caught:
        compared(layer)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", r"--peer: .*mine.py defines no function lstm, gru or rnn"),
        (
            "def lstm(params, inputs): ...\ndef gru(params, inputs): ...",
            "defines lstm and gru, of which a file",
        ),
        ("lstm = 3", "mine.py: lstm is no function but int"),
        (
            "def lstm(inputs): ...",
            r"lstm\(inputs\), which is to be lstm\(params, inputs\), .*: too many positional",
        ),
        ("def lstm(params, inputs, state): ...", r"which is to be .*: missing a required argument: 'state'"),
        ("def lstm(lengths, inputs): ...", "multiple values for argument 'lengths'"),
        ("def lstm(params, inputs:\n    ...", "^mine.py, line 1: SyntaxError: "),
        ("import json\n\n1 / 0", "^mine.py, line 3: ZeroDivisionError: division by zero$"),
        ("import no_such_library", "^mine.py, line 1: ModuleNotFoundError: No module named 'no_such_library'$"),
        ("import sys\nsys.exit('bye')", "^mine.py, line 2: SystemExit: bye$"),
    ],
)
def test_a_file_without_such_a_function_is_refused(text, message, loaded):
    with pytest.raises(UsageError, match=message) as caught:
        loaded(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["absent.py", "mine.txt", ""])
def test_what_is_no_such_file_is_refused(name, tmp_path):
    (tmp_path / "mine.txt").write_text(RNN)
    with pytest.raises(UsageError, match=r"FILE\.py, with one function lstm, gru or rnn; there is none at"):
        stranger.load(tmp_path / name)


def ran(*options):
    few = ["--shapes", "2,4,3,5", "--modes", "forward", "--forms", "plain", "--devices", "1", "--samples", "2"]
    return command.main(["layers", *few, "--peers", "rnnjax fused", *options])


@pytest.fixture
def here(tmp_path, monkeypatch):
    """This process has its devices, and what has no --out is written to an empty folder."""
    monkeypatch.setattr(record, "start", lambda devices: 0.0)
    monkeypatch.setattr(layers.charts, "layers", lambda result, path: [])
    monkeypatch.chdir(tmp_path)


def test_it_is_listed_by_its_files_name_and_no_committed_result(here, loaded, tmp_path, capsys):
    loaded(RNN)
    assert ran("--peer", "mine.py") == 0
    shown = capsys.readouterr().out
    assert "mine.py: outputs and gradients as ours, to " in shown and "× mine.py" in shown
    (file,) = tmp_path.glob("runs/benchmarks/layers-*.json")
    result = json.loads(file.read_text(encoding="utf-8"))
    assert result["stranger"]["file"] == "mine.py" and result["choice"] is None
    rows = {row["peer"]: row for row in result["rows"]}
    assert set(rows) == {"rnnjax fused", "mine.py"} and {row["cell"] for row in result["rows"]} == {"rnn"}
    assert all(len(row["samples"]) == 2 and not row["error"] for row in rows.values())


def test_nothing_is_timed_of_what_is_refused(here, loaded, monkeypatch, capsys):
    monkeypatch.setattr(harness, "measure", lambda *_, **__: pytest.fail("it is timed"))
    loaded(RNN.replace("jnp.tanh", "jnp.sin"))
    assert ran("--peer", "mine.py") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: mine.py computes something else than rnnjax") and error.count("\n") == 1
    assert ran("--peer", "mine.py", "--cells", "gru") == 2
    assert "--cells: mine.py has the cell rnn, got gru" in capsys.readouterr().err
    assert ran("--peer", "mine.py", "--out", str(record.COMMITTED / "layers-cpu.json")) == 2
    assert "--out: among the committed results are none with a --peer" in capsys.readouterr().err


def test_with_it_the_default_choice_is_not_the_committed_one(loaded):
    layer = loaded(RNN)
    options = layers.Options(peer=layer.path)
    assert not layers._is_default(options) and layers._is_default(layers.Options())
    groups = layers._groups(layers._with_peer(options)[0], layer)
    chosen = {(task.cell, task.form, devices) for group in groups for task, peer, devices in group if peer == "mine.py"}
    assert chosen == {("rnn", form, devices) for form, devices in (("plain", 1), ("plain", 2), ("masked", 1),
                                                                   ("bidirectional", 1))}  # fmt: skip
