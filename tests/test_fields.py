"""The tables of fields: every result has its place, beside the bar of its own runs or of an experiment."""

import pytest

import experiments
from experiments import fields, tables
from experiments.fields import FIELDS, Beside

BARS_AND_BEGINNINGS = {"digits_rows", "bag_of_words", "imdb_regions", "imdb_large"}
"""The first page's job, what others stand beside, what others begin with, and an accelerator's rung."""


def test_every_experiment_on_public_data_has_its_place():
    shown = {name.partition("-")[0] for rows in FIELDS.values() for name in rows}
    there = {name for name in experiments.NAMES if experiments.load(name).target is not None}
    assert shown == there - BARS_AND_BEGINNINGS
    for rows in FIELDS.values():
        for beside in rows.values():
            assert not beside.bar or experiments.load(beside.bar)
            assert (beside.published is None) == (not beside.source)


def result(value, *bars):
    rows = [{"name": name, "value": bar, "note": note} for name, bar, note in bars]
    return {"metrics": {"test": {"sequence_error_rate": value}}, "bars": {"rows": [*rows, _network(value)]}}


def _network(value):
    return {"name": "network", "value": value, "note": ""}


def test_the_bar_is_the_best_of_the_runs_own_that_saw_all_examples():
    known = {
        "pronunciation": [
            result(0.2, ("nearest pair", 0.9, ""), ("other", 0.8, ""), ("third", 0.1, "trained on 5 of 9 examples")),
            result(0.4, ("nearest pair", 0.7, ""), ("other", 0.9, "")),
        ]
    }
    made = fields._standing(experiments.load("pronunciation"), Beside(published=0.31, source="x"), known)
    assert made[1:] == (0.8, "nearest pair", 0.30000000000000004, 0.31, "x")
    bar = fields._standing(experiments.load("imdb_lstm"), Beside("bag_of_words"), tables.read_results())
    assert bar.bar == tables.read_results()["bag_of_words"][0]["metrics"]["test"]["accuracy"] > bar.ours > 0.87


def test_a_bar_is_one_that_all_runs_have_and_says_where_it_saw_a_part_of_their_examples():
    part = "673 of 10,000 kernels, to stay within its time; trained on 5 of 9 examples, to stay within its time"
    known = {
        "pronunciation": [
            result(0.2, ("whole", 0.8, "673 of 10,000 kernels, to stay within its time"), ("part", 0.6, part)),
            result(0.4, ("whole", 0.9, ""), ("part", 0.7, ""), ("of one run", 0.1, "")),
        ]
    }
    made = fields._standing(experiments.load("pronunciation"), Beside(), known)
    assert (made.bar, made.bar_name) == (pytest.approx(0.65), "part, of a part of the examples")
    del known["pronunciation"][0]["bars"]["rows"][1]
    made = fields._standing(experiments.load("pronunciation"), Beside(), known)
    assert (made.bar, made.bar_name) == (pytest.approx(0.85), "whole")


def test_a_row_says_what_is_not_measured_and_what_was_missed():
    made = fields.page(tables.read_results())
    assert [line for line in made.splitlines() if line.startswith("###")] == [f"### {field}" for field in FIELDS]
    assert all(line.count("|") == 7 for line in made.splitlines() if line.startswith("|"))
    assert "(missed)" in made and "| not yet measured |" in fields.page({})
