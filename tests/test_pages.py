"""The Markdown pages: what they name is there, their snippets run, and their commands are commands."""

import ast
import dataclasses
import importlib
import re
import runpy
import shlex
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnjax
from experiments import report
from experiments.accelerator import __main__ as accelerator
from experiments.benchmarks.__main__ import PARTS
from experiments.digits_rows import EXPERIMENT
from rnnjax import cli
from rnnjax.config.run import OURS
from rnnjax.data import prepare
from rnnjax.experiment import KINDS

ROOT = report.ROOT
EXTENDING, COMING_FROM = ROOT / "rnnjax" / "EXTENDING.md", ROOT / "rnnjax" / "COMING_FROM.md"
PAGES = (*report.PAGES, EXTENDING, COMING_FROM)
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to the headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_is_short():
    assert len(report.README.read_text(encoding="utf-8").splitlines()) <= 150


@each_page
def test_every_link_and_picture_is_there(page):
    links = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    for link in links:
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{page}: {link} is not there"
        assert not anchor or anchor in anchors(target), f"{page}: no heading for {link}"
    assert links or page == COMING_FROM


# Snippets.

without_fit = pytest.mark.skipif(not hasattr(rnnjax, "fit"), reason="rnnjax.fit is not there yet")

SNIPPETS = [
    # The README's, which a user meets first, always; the others are as true, and start a process each.
    pytest.param(
        code,
        id=f"{page.stem}-{number}",
        marks=([without_fit] if "rnnjax.fit(" in code else []) + ([pytest.mark.slow] if page == EXTENDING else []),
    )
    for page in (report.README, EXTENDING)
    for number, code in enumerate(blocks(page, "python"))
]


@pytest.mark.always
@pytest.mark.parametrize("code", SNIPPETS)
def test_a_snippet_runs_by_itself_in_an_empty_folder(code, tmp_path):
    path = tmp_path / "snippet.py"
    # Under another name than __main__: an experiment's file is read, its command line is not run.
    path.write_text(code, encoding="utf-8")
    run = f"import runpy; runpy.run_path({str(path)!r}, run_name='snippet')"
    done = subprocess.run([sys.executable, "-c", run], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_a_trained_model_is_loaded_as_the_page_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = ["--model.features", "8", "--train.epochs", "1", "--seeds", "0", "--train.no-test"]
    assert cli.main(EXPERIMENT, small) == 0
    (code,) = blocks(report.EXPERIMENTS, "python")
    names = {"images": np.zeros((3, 8, 8, 1), np.uint8)}
    exec(compile(code, "experiments/README.md", "exec"), names)
    assert names["logits"].shape == (3, 10)


# Commands.


def commands(page: Path) -> list[list[str]]:
    """The words of every command in the page's bash blocks."""
    found = []
    for line in "".join(blocks(page, "bash")).splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        found.append([])
        for word in lexer:
            if word in ("&&", "|", ";"):
                found.append([])
            else:
                found[-1].append(word)
    return [command for command in found if command]


COMMANDS = sorted({tuple(command) for page in PAGES for command in commands(page)})


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_of_the_pages_is_understood(command, monkeypatch, capsys):
    if command[0] == "timeout":  # of the words after its own, the same
        command = ("python", *(word for word in command[command.index("python3") + 1 :] if word != "-u"))
    if command[0] != "python":
        assert command[0] in {".", "echo", "export", "pip", "python3", "tar"}, "say here how this command is checked"
        return
    flag, module, *arguments = command[1:]
    assert flag == "-m"
    if module == "pytest":
        assert not arguments
    elif module == "experiments.benchmarks":
        part, *options = arguments
        assert part in PARTS
        if options:
            with pytest.raises(SystemExit):
                importlib.import_module(PARTS[part]).main(["--help"])
            there = set(re.findall(r"--[\w-]+", capsys.readouterr().out))
            assert {option for option in options if option.startswith("--")} <= there
    elif module == "experiments.accelerator":
        assert accelerator.parser().parse_args(arguments)
    elif module == "rnnjax.data.prepare":
        monkeypatch.setattr(prepare.importlib.util, "find_spec", lambda name: None)
        assert prepare.main(arguments) == 1  # understood, and then it asks for TensorFlow
        assert "needs TensorFlow" in capsys.readouterr().err
    else:
        _parsed_only(module, arguments, monkeypatch)


def _parsed_only(module: str, arguments: list[str], monkeypatch) -> None:
    """Runs a module's command line up to where it would do something; wrong usage ends it with another code than 0."""
    monkeypatch.setattr(cli, "run", lambda parse, given=None: parse(sys.argv[1:] if given is None else given) and 0)
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of runpy: the module has been imported before
        try:
            runpy.run_module(module, run_name="__main__")
        except SystemExit as ended:
            assert not ended.code, f"python -m {module} {shlex.join(arguments)} is wrong usage"


@pytest.mark.parametrize("arguments", [["--optim.learning-rat", "1"], ["tran"], ["predict", "--seeds", "1"]])
def test_a_command_that_is_wrong_would_be_found(arguments, monkeypatch):
    with pytest.raises((AssertionError, rnnjax.UsageError)):
        _parsed_only("experiments.mnist_rows", arguments, monkeypatch)


@each_page
def test_every_option_of_a_section_is_a_field_of_it(page):
    kinds: list[Any] = [kind for kinds in [*KINDS.values(), *OURS.values()] for kind in kinds]
    fields = {f"{kind.section}.{field.name}" for kind in kinds for field in dataclasses.fields(kind)}
    text = page.read_text(encoding="utf-8")
    # Options of a section are written as --section.field, and switched off by --section.no-field.
    for section, option in re.findall(r"--(data|model|optim|train|parallel)\.(?:no-)?([a-z-]+)", text):
        assert f"{section}.{option.replace('-', '_')}" in fields, f"{page}: no option --{section}.{option}"


def test_every_test_that_keeps_a_promise_is_there():
    promised = re.findall(r"`(test_\w+\.py)(?: -k \"?([\w ]+)\"?)?", EXTENDING.read_text(encoding="utf-8"))
    assert len(promised) >= 12
    for name, words in promised:
        tree = ast.parse((ROOT / "tests" / name).read_text(encoding="utf-8"))
        tests = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        for word in words.split(" or ") if words else []:
            assert any(word in test for test in tests if test.startswith("test_")), f"{name}: no test of {word!r}"
