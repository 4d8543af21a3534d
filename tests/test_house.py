"""The house: no kind is asked for outside its file, metrics belong to tasks, and an experiment is a short file."""

import ast
from pathlib import Path

import pytest

import experiments
from rnnjax.experiment import KINDS
from rnnjax.tasks import TASKS
from tests.test_imports import TREES

ROOT = Path(__file__).parents[1]

KIND_NAMES = {kind.__name__ for kinds in KINDS.values() for kind in kinds} | {task.__name__ for task in TASKS}
KIND_NAMES |= {"ImagePreprocess", "TextPreprocess", "DataConfig", "RecurrentModel", "LinearCell", "LSTMCell", "GRUCell"}


def names_in(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


@pytest.mark.parametrize("name", sorted(TREES))
def test_no_kind_is_asked_for_outside_its_file(name):
    defined = {node.name for node in ast.walk(TREES[name]) if isinstance(node, ast.ClassDef)}
    for node in ast.walk(TREES[name]):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("isinstance", "issubclass")
        ):
            asked = names_in(node.args[1]) & KIND_NAMES
            assert asked <= defined, f"{name}, line {node.lineno}: {asked}"


def docstrings(tree: ast.AST) -> set[int]:
    """The constants that are docstrings or comments of fields."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


@pytest.mark.parametrize("name", [name for name in sorted(TREES) if not name.startswith("rnnjax.tasks")])
def test_nothing_outside_tasks_names_a_metric(name):
    """But for the name that JSON knows an option by, since committed results do."""
    comments, known = docstrings(TREES[name]), {"until_accuracy"}
    for node in ast.walk(TREES[name]):
        said = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
        said = getattr(node, "id", "") or getattr(node, "attr", "") or getattr(node, "arg", "") or said
        if id(node) in comments or said in known:
            continue
        assert "accuracy" not in str(said), f"{name}, line {getattr(node, 'lineno', 0)}: {said!r}"
        assert "rmse" not in str(said), f"{name}, line {getattr(node, 'lineno', 0)}: {said!r}"


@pytest.mark.parametrize("name", [name for name in experiments.NAMES if name != "bag_of_words"])
def test_an_experiment_is_a_short_file(name):
    path = ROOT / "experiments" / f"{name}.py"
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 60
