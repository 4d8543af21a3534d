"""The table of plain models shows wins and losses by the paired tests of the runs, and the means of their figures."""

import copy

import pytest

from experiments import plain_models, tables

RESULTS = tables.read_results()


def made(name, *values, p=0.01, note=""):
    """A result of an experiment whose bar and network have these values of its headline."""
    result = copy.deepcopy(RESULTS["japanese_vowels"][0]) | {"experiment": name}
    metric = "mse" if name.startswith("ett") else "accuracy"
    rows = [
        {"name": of, "value": value, "metrics": {metric: value, "mae": value / 2}, "note": note if of == "bar" else ""}
        for of, value in zip(("bar", "network"), values, strict=True)
    ]
    better = values[1] < values[0] if metric == "mse" else values[1] > values[0]
    result["bars"] = {"split": "test", "rows": rows, "against": "bar", "p": p, "beats": better and p < 0.05}
    return result


@pytest.mark.parametrize("name", ["osu_leaf", "ett_forecast"])
def test_a_seed_is_ahead_or_behind_beyond_chance_alone(name):
    more, less = (0.9, 0.5) if name == "osu_leaf" else (0.5, 0.9)
    found = [
        made(name, less, more),
        made(name, more, less),
        made(name, more, less, p=0.2),
        made(name, less, more, p=0.6),
    ]
    *_, row = plain_models.table({name: found}).splitlines()
    assert row.endswith("| 1 | 1 | 2 |")


def test_figures_are_means_and_say_which_models_saw_a_part():
    found = [made("osu_leaf", 0.5, 0.9, note="trained on 7 of 9 examples"), made("osu_leaf", 0.7, 0.7)]
    *_, row = plain_models.table({"osu_leaf": found}).splitlines()
    assert "| bar 60.00% (in 1 of 2 seeds trained on 7 of 9 examples) | 80.00% |" in row
    notes = "673 of 10,000 kernels", "trained on 7 of 9 examples, to stay within its time"
    *_, row = plain_models.table({"osu_leaf": [made("osu_leaf", 0.5, 0.9, note="; ".join(notes))]}).splitlines()
    assert f"| bar 50.00% ({notes[1]}) | 90.00% |" in row
    note = "of 2,000 of 8,425 training windows"
    *_, row = plain_models.table({"ett_forecast": [made("ett_forecast", 0.5, 0.4, note=note)]}).splitlines()
    assert f"| bar 0.5000 (0.250) ({note}) | 0.4000 (0.200) |" in row
    seasons = made("ett_forecast", 0.5, 0.4, note="of 4 seasons of 24 rows")
    assert "| bar 0.5000 (0.250) | 0.4000" in plain_models.table({"ett_forecast": [seasons]})
    *_, row = plain_models.table({"ett_forecast": [made("ett_forecast", 0.5, 0.4)]}).splitlines()
    assert "| mse; mae in brackets | bar 0.5000 (0.250) | 0.4000 (0.200) | 1 | 0 | 0 |" in row


def test_what_was_compared_on_validation_has_no_row():
    result = made("osu_leaf", 0.5, 0.9)
    result["bars"]["split"] = "validation"
    assert len(plain_models.table({"osu_leaf": [result]}).splitlines()) == 2
