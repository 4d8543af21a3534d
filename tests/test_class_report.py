"""Reports by class against scikit-learn and the definitions, and the logits that they are made of."""

import json

import jax
import numpy as np
import pytest
from sklearn import metrics as sk

from rnnjax.runs.finish import save_report
from rnnjax.runs.fitting import run as fit
from rnnjax.runs.workdir import WorkDir
from rnnjax.tasks import class_report as report
from rnnjax.tasks.confusion import save_confusion
from rnnjax.training.feed import Feed
from tests.toy import IMAGES, TEXTS, both_kinds, program_for, start_of

RNG = np.random.default_rng(0)
NAMES = ("cat", "dog", "$\\frac{", "ünï", "never there")
LABELS = RNG.integers(0, 4, 60)
LOGITS = (RNG.normal(size=(60, 5)) + 2 * np.eye(5)[LABELS] - 9 * np.eye(5)[4]).astype(np.float32)


def test_a_report_is_scikit_learns():
    ours, predicted = report.class_report(LOGITS, LABELS, NAMES), LOGITS.argmax(-1)
    assert 0.3 < ours["accuracy"] < 0.95
    theirs = sk.classification_report(LABELS, predicted, labels=range(4), target_names=NAMES[:4], output_dict=True)
    for row in ours["classes"][:4]:
        expected = theirs[row["name"]] | {"name": row["name"], "f1": theirs[row["name"]]["f1-score"]}
        assert row == {name: expected[name] for name in row}
    assert ours["classes"][4] == {"name": "never there", "precision": 0, "recall": 0, "f1": 0, "support": 0}
    assert ours["macro_f1"] == pytest.approx(sk.f1_score(LABELS, predicted, average="macro"))
    assert ours["weighted_f1"] == pytest.approx(sk.f1_score(LABELS, predicted, average="weighted"))
    assert ours["accuracy"] == sk.accuracy_score(LABELS, predicted)
    assert ours["examples"] == 60
    assert ours["auc"] is None


def test_confusion_has_a_row_for_each_true_class():
    ours = np.array(report.class_report(LOGITS, LABELS, NAMES)["confusion"])
    expected = np.zeros((5, 5), int)
    np.add.at(expected, (LABELS, LOGITS.argmax(-1)), 1)
    assert (expected != expected.T).any()
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("logits", [1, 2])
def test_auc_is_the_share_of_pairs_in_the_right_order(logits):
    scores = np.round(RNG.normal(size=40), 1)  # rounded, so that there are ties, which count half
    labels = (scores + RNG.normal(size=40) > 0).astype(int)
    both = np.stack([np.full(40, 7.0), scores + 7.0], -1)
    ours = report.class_report(scores[:, None] if logits == 1 else both, labels, ("no", "yes"))
    pairs = scores[labels == 1][:, None] - scores[labels == 0]
    assert ours["auc"] == pytest.approx(((pairs > 0) + 0.5 * (np.abs(pairs) < 1e-9)).mean())


def test_auc_ranks_logits_whose_probabilities_are_all_one():
    ours = report.class_report(np.array([[800.0], [900.0], [1000.0]]), np.array([0, 1, 1]), ("no", "yes"))
    assert ours["auc"] == 1.0


def test_auc_of_one_class_alone_is_not_defined():
    ours = report.class_report(np.array([[1.0], [-1.0]]), np.array([1, 1]), ("no", "yes"))
    assert ours["auc"] is None
    assert set(report.report(np.array([[1.0], [-1.0]]), np.array([1, 1]), ("no", "yes")).values) == {
        "macro_f1",
        "weighted_f1",
    }


def test_files_of_a_report(tmp_path):
    ours = report.class_report(LOGITS, LABELS, NAMES)
    save_report(report.report(LOGITS, LABELS, NAMES), WorkDir(tmp_path), "test")
    assert json.loads((tmp_path / "report-test.json").read_text(encoding="utf-8")) == {"split": "test", **ours}
    assert (tmp_path / "confusion-test.png").read_bytes().startswith(b"\x89PNG")


def test_numbers_and_names_are_drawn_where_they_can_be_read(tmp_path, monkeypatch):
    from matplotlib.axes import Axes

    drawn, text = [], Axes.text
    monkeypatch.setattr(Axes, "text", lambda self, *args, **options: drawn.append(args) or text(self, *args, **options))
    save_confusion(np.arange(9).reshape(3, 3), ("a", "b", "c"), tmp_path / "few.png", "few")
    assert [args[2] for args in drawn] == [str(n) for n in range(1, 9)]  # a zero is left white
    drawn.clear()
    thousand = np.diag(np.arange(1000))
    save_confusion(thousand, [f"class {n}" for n in range(1000)], tmp_path / "many.png", "many")
    assert not drawn
    assert (tmp_path / "many.png").stat().st_size < 2**20


def test_a_name_without_glyphs_is_spelled_or_called_by_its_number(tmp_path, monkeypatch, recwarn):
    """Matplotlib would warn and draw empty boxes; half a surrogate pair, of a file's name, it could not draw at all."""
    from matplotlib.axes import Axes
    from matplotlib.font_manager import findfont, fontManager

    usual = findfont("DejaVu Sans")
    monkeypatch.setattr(fontManager, "ttflist", [entry for entry in fontManager.ttflist if entry.fname == usual])

    drawn, ticks = [], Axes.set_yticks
    monkeypatch.setattr(Axes, "set_yticks", lambda self, *args: drawn.extend(args[1]) or ticks(self, *args))
    names = ("good", "\u597d", "bühne", "\u0434\u0430", "ok \u6b63", "\udcff", "a\nb", "$5", "שלום", "\u597d\u6b63" * 3)
    save_confusion(np.eye(len(names), dtype=int), names, tmp_path / "a.png", "names")
    assert drawn == [
        *("good", r"\u597d", "bühne", "\u0434\u0430", r"ok \u6b63", r"\udcff", r"a\nb", r"\$5", "שלום", "#9")
    ]
    assert not recwarn.list


@both_kinds
@pytest.mark.parametrize("budget", [2048, 0], ids=["resident", "streamed"])
def test_logits_are_those_of_single_examples_on_one_device_and_on_eight(config, budget):
    """19 examples in batches of 8, texts in two buckets: in order, and no padding row is among them."""
    variables = start_of(config).variables()
    one, eight = (
        program_for(config, n, device_budget_mib=budget).evaluate_keeping(variables, "test")[2]["logits"]
        for n in (1, 8)
    )
    program = program_for(config)
    examples = program.dataset.test
    lengths = {} if examples.lengths is None else {"lengths": examples.lengths}
    inputs = program.dataset.preprocess.on_device({"inputs": examples["inputs"]})["inputs"]
    expected = np.asarray(jax.jit(program.model.apply)(variables, inputs, **lengths))
    assert np.ptp(expected, axis=0).min() > 1e-3
    for actual in (one, eight):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("config", "classes"), [(IMAGES, 3), (TEXTS, 2)], ids=["images", "texts"])
def test_the_reports_accuracy_is_the_evaluations(config, classes):
    program, variables = program_for(config, 8), start_of(config).variables()
    examples = program.dataset.test
    values, _, kept = program.evaluate_keeping(variables, "test")
    assert values == program.evaluate(variables, "test")
    ours = report.class_report(kept["logits"], examples["labels"], program.dataset.spec.names)
    assert ours["accuracy"] == pytest.approx(values["accuracy"], abs=1e-7)
    assert np.sum(ours["confusion"]) == len(examples)
    assert len(ours["classes"]) == classes


def test_the_end_of_a_run_passes_once_over_the_test_split(tmp_path, monkeypatch):
    program, passes, call = program_for(IMAGES, 1), [], Feed.__call__

    def counting(self, *args, **options):
        passes.append(self._examples)
        return call(self, *args, **options)

    monkeypatch.setattr(Feed, "__call__", counting)
    result = fit(program, 0, tmp_path)
    assert sum(examples is program.dataset.test for examples in passes) == 1
    written = json.loads((tmp_path / "report-test.json").read_text(encoding="utf-8"))
    assert written["accuracy"] == pytest.approx(result["metrics"]["test"]["accuracy"], abs=1e-7)
