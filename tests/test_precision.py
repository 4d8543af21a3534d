"""The precision of float32 products: in force in training, evaluation and prediction, and part of what a run is."""

import dataclasses
import re

import jax
import numpy as np
import pytest

from experiments.digits_rows import EXPERIMENT as DIGITS
from rnnjax import data
from rnnjax.cli import main
from rnnjax.config import ImageModel, TextModel, from_json, identity_differences, to_json
from rnnjax.errors import UsageError
from rnnjax.experiment import KINDS
from rnnjax.runs.fitting import run as fit
from rnnjax.runs.predict import load
from rnnjax.runs.record import Run
from rnnjax.runs.workdir import WorkDir, locked, open_run
from tests.small import CONFIG, TEXT_CONFIG, made_up_texts, small_program, subset

# JAX's three levels by its documentation of jax.lax.Precision and jax.default_matmul_precision.
LEVELS = {"default": "DEFAULT", "bfloat16": "DEFAULT", "tensorfloat32": "HIGH", "highest": "HIGHEST"}
PRODUCT = re.compile(r"dot_general|stablehlo\.convolution")


def with_precision(config, precision, **model):
    return dataclasses.replace(config, model=dataclasses.replace(config.model, precision=precision, **model))


def levels(text):
    """The precisions of all products in a lowered program."""
    products = [line for line in text.splitlines() if PRODUCT.search(line)]
    assert products
    found = [re.search(r"precision(?:_config)? = \[([^\]]*)\]", line) for line in products]
    return {name.split()[-1].rstrip(">") for match in found for name in (match[1].split(",") if match else ["none"])}


def small(config):
    dataset = made_up_texts() if config is TEXT_CONFIG or config.data.name == "made_up" else None
    return small_program(config, dataset or subset(data.load(config.data), 64, 64), devices=jax.devices()[:1])


class _Lowered(Exception):
    """Ends a call where its program would be compiled."""


def lowered(program):
    """The programs that training, evaluation and the logits of a report run, by kind."""
    texts = {}

    def lower(key, function, *arguments):
        texts[key[0]] = function.lower(*arguments).as_text()
        raise _Lowered

    program._call = lower
    state = program.parallel.replicate(program.create_state(0))
    fed = next(program.feed_training(program.train_plan(seed=0, epoch=0)[:1], 0))
    for run in (
        lambda: program.train(state, fed),
        lambda: program.evaluate(state.variables(), "validation"),
        lambda: program.evaluate_keeping(state.variables(), "validation"),
    ):
        with pytest.raises(_Lowered):
            run()
    return texts


@pytest.mark.parametrize(
    "precision", ["highest", *(pytest.param(p, marks=pytest.mark.slow) for p in ("default", "tensorfloat32"))]
)
def test_all_products_of_all_programs_have_the_precision(precision):
    texts = lowered(small(with_precision(CONFIG, precision, conv=(2,))))
    assert {"train", "eval"} <= set(texts)
    assert {kind: levels(text) for kind, text in texts.items()} == {kind: {LEVELS[precision]} for kind in texts}
    assert all("stablehlo.convolution" in text for text in texts.values())


def test_the_products_of_a_text_model_too():
    texts = lowered(small(with_precision(TEXT_CONFIG, "highest")))
    assert {kind: levels(text) for kind, text in texts.items()} == {kind: {"HIGHEST"} for kind in texts}


def test_bfloat16_goes_before_what_is_in_force_outside_and_default_does_not():
    program = small(with_precision(CONFIG, "bfloat16"))
    with jax.default_matmul_precision("highest"):
        assert levels(lowered(program)["train"]) == {"DEFAULT"}
        assert levels(lowered(small(CONFIG))["train"]) == {"HIGHEST"}


def test_a_loaded_model_predicts_with_the_precision_of_its_training(tmp_path):
    program = small(with_precision(CONFIG, "highest"))
    result = fit(program, 0, tmp_path)
    assert result["config"]["model"]["precision"] == "highest"
    model, variables, preprocess = load(tmp_path)
    inputs = preprocess(np.asarray(program.dataset.test["inputs"][:2]))
    apply = jax.jit(lambda variables, inputs: model.apply(variables, **inputs))
    assert levels(apply.lower(variables, inputs).as_text()) == {"HIGHEST"}


def test_it_is_part_of_the_run_and_older_files_have_the_default(tmp_path):
    older = to_json(CONFIG)
    del older["model"]["precision"]
    assert from_json(older, KINDS) == CONFIG
    highest = with_precision(CONFIG, "highest")
    assert identity_differences(highest, from_json(older, KINDS)) == ["model.precision: 'highest', not 'default'"]
    workdir = WorkDir(tmp_path / "run")
    with locked(workdir):
        open_run(workdir, Run("small", 0, CONFIG))
        with pytest.raises(UsageError, match=r"model.precision: 'highest', not 'default'"):
            open_run(workdir, Run("small", 0, highest))


@pytest.mark.parametrize("kind", [ImageModel, TextModel])
def test_a_bad_value_is_refused_in_one_sentence(kind):
    allowed = "one of default, highest, tensorfloat32, bfloat16, got 'tf32'"
    with pytest.raises(UsageError, match=f"^--model.precision must be {allowed}$"):
        kind(precision="tf32")


@pytest.mark.slow
def test_the_command_line_passes_it_on(tmp_path, capsys):
    options = ["--model.features", "4", "--train.epochs", "1", "--seeds", "0", "--runs-dir", str(tmp_path)]
    assert main(DIGITS, [*options, "--model.precision", "highest"]) == 0
    root = tmp_path / "digits_rows" / "seed-0"
    assert WorkDir(root).read_config()[2].model.precision == "highest"
    with pytest.raises(SystemExit) as refused:
        main(DIGITS, [*options, "--model.precision", "tf32"])
    assert refused.value.code == 2
    assert "tensorfloat32" in capsys.readouterr().err
