"""The table of what validation promised and test kept has a row for each way in which the same settings were cut."""

import copy

import pytest

from experiments import gaps, tables

RESULTS = tables.read_results()


def made(name, validation, test, **config):
    result = copy.deepcopy(RESULTS[name][0])
    (
        result["config"]["data"] if "data" in result["config"] and "model" in result["config"] else result["config"]
    ).update(config)
    result["metrics"]["validation"]["accuracy"] = validation
    result["metrics"]["test"] = {"accuracy": test}
    return result


@pytest.mark.parametrize("name", ["bag_of_words", "imdb_lstm"])
def test_an_older_result_that_was_cut_by_rows_is_paired_with_one_by_names(name):
    by_rows = [made(name, 0.91, 0.88), made(name, 0.93, 0.90, validation_by="rows")]
    by_names = made(name, 0.9, 0.895, validation_by="names")
    lines = gaps.table({name: by_rows}, {name: [by_names]}).splitlines()[2:]
    assert lines == [
        f"| `{name}` | none | rows | 92.00% | 89.00% | +3.00 | 2 |",
        f"| `{name}` | none | names | 90.00% | 89.50% | +0.50 | 1 |",
    ]


def test_what_was_cut_in_one_way_or_not_tested_has_no_row():
    untested = made("imdb_lstm", 0.9, 0.9, validation_by="names") | {"metrics": {"validation": {}, "test": None}}
    other = made("imdb_lstm", 0.9, 0.9, validation_by="names", vocabulary_size=5)
    assert len(gaps.table(RESULTS, {"imdb_lstm": [untested, other]}).splitlines()) == 2
    assert gaps.cut(RESULTS["mnist_rows"][0]) is None
