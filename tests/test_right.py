"""Which examples a result has right, and the paired tests of two such results."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from experiments import digits_rows, fields, variants_in_pairs
from rnnjax import TrainConfig, fit
from rnnjax.errors import DataError
from rnnjax.runs import right


@given(st.lists(st.booleans(), max_size=200))
def test_packed_answers_are_read_as_they_were(hits: list[bool]) -> None:
    stored = {"examples": len(hits), "bits": right.packed(np.array(hits, bool))}
    assert right.unpacked(json.loads(json.dumps(stored))).tolist() == hits


@pytest.mark.parametrize(
    "damage", [{"bits": "AAAA"}, {"bits": "?"}, {"bits": None}, {"examples": 100}, {"examples": None}, {"bits": "é"}]
)
def test_damaged_answers_are_said_to_be(damage: dict[str, Any]) -> None:
    stored = {"examples": 9, "bits": right.packed(np.ones(9, bool))} | damage
    with pytest.raises(DataError, match="cannot be read"):
        right.unpacked(stored)


def _result(name: str, seed: int, hits: np.ndarray, data: str | None = "d") -> dict[str, Any]:
    kept = {"split": "test", "data": data, "examples": len(hits), "bits": right.packed(hits)}
    return {"experiment": name, "seed": seed, "right": kept}


def _line(monkeypatch: pytest.MonkeyPatch, ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> str:
    monkeypatch.setattr(fields, "FIELDS", {"Images": {"ours": fields.Beside("theirs"), "alone": fields.Beside()}})
    return variants_in_pairs.table({"ours": ours, "theirs": theirs}).splitlines()[-1]


def test_one_seed_is_tested_as_scipy_tests_the_examples_that_one_alone_has_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = np.ones(1000, bool), np.ones(1000, bool)
    ours[:8], theirs[8:30] = False, False
    line = _line(monkeypatch, [_result("ours", 0, ours)], [_result("theirs", 0, theirs), _result("theirs", 1, theirs)])
    assert line.startswith("| `ours` | `theirs` | 0 | +1.40 | ")
    assert f"{binomtest(8, 30).pvalue:.2g} (McNemar)" in line


def test_several_seeds_count_by_their_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    ours = [_result("ours", seed, rng.random(4000) < 0.95) for seed in (0, 1)]
    theirs = [_result("theirs", seed, rng.random(4000) < 0.90) for seed in (0, 1)]
    cells = _line(monkeypatch, ours, theirs).split(" | ")
    means = [np.mean([right.unpacked(one["right"]).mean() for one in side]) for side in (ours, theirs)]
    assert cells[2:4] == ["0 1", f"{100 * (means[0] - means[1]):+.2f}"]
    low, high = map(float, cells[4].split(" to "))
    assert 3.5 < low < 5 < high < 6.5  # 5 points, each with a standard error of 0.4
    assert cells[5].startswith("0.002 (paired bootstrap)") or cells[5].startswith("< 0.001")


@pytest.mark.parametrize("other", [None, "another"])
def test_results_on_other_examples_are_not_compared(monkeypatch: pytest.MonkeyPatch, other: str | None) -> None:
    hits = np.ones(10, bool)
    assert _line(monkeypatch, [_result("ours", 0, hits)], [_result("theirs", 0, hits, other)]) == "Not yet measured."
    assert _line(monkeypatch, [_result("ours", 0, hits)], [{"experiment": "theirs", "seed": 0}]) == "Not yet measured."


def test_a_finished_run_says_which_test_examples_it_has_right(tmp_path: Path) -> None:
    fitted = fit(replace(digits_rows.EXPERIMENT, train=TrainConfig(epochs=1)), workdir=tmp_path / "run")
    result = json.loads((tmp_path / "run" / "result.json").read_text(encoding="utf-8"))
    hits = right.unpacked(result["right"])
    assert result["right"]["split"] == "test" and fitted.metrics["test"] == result["metrics"]["test"]
    assert hits.mean() == pytest.approx(result["metrics"]["test"]["accuracy"], abs=1e-6)
    numbers = {
        int(line.split(",")[0]) for line in (tmp_path / "run" / "mistakes-test.csv").read_text().splitlines()[1:]
    }
    assert set(np.flatnonzero(~hits)) >= numbers and len(numbers) == min(100, int((~hits).sum()))
