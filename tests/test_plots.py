"""The pictures and the table of what was measured, made of result files."""

import json
import xml.etree.ElementTree as ET

import pytest

from experiments import label_counts, lengths, load, plots
from rnnjax.config import to_json


def result(experiment, documents=0, accuracy=0.9, seed=0, bar=None, **data):
    config = to_json(load(experiment).config)
    config["data"] |= {"train_documents": documents, **data}
    rows = [] if bar is None else [{"name": "n-grams", "value": bar[0], "note": bar[1]}]
    return {
        "experiment": experiment,
        "seed": seed,
        "config": config,
        "data": {"name": "imdb_reviews", "train": documents or 22_500},
        "metrics": {"test": None if accuracy is None else {"accuracy": accuracy}},
        "bars": {"rows": rows},
    }


READER = "imdb_pretrained-regions-tuned"
MEASURED = {READER: [result(READER, seed=seed, accuracy=0.9 + seed / 50) for seed in (0, 1)]}
TRIED = {
    READER: [
        result(READER, 100, 0.8, bar=(0.7, "")),
        result(READER, 1000, 0.85, bar=(0.75, "of a sample")),
        result(READER, 100, None),
        result(READER, 100, 0.1, vocabulary_size=5),
    ],
    "imdb_pretrained-scratch": [result("imdb_pretrained-scratch", 100, 0.6)],
}


def test_points_are_means_over_seeds_of_runs_that_differ_in_labels_alone():
    assert label_counts.points(MEASURED, TRIED) == [
        ("n-grams", 100, 0.7, 1),
        ("the same from fresh parameters", 100, 0.6, 1),
        ("pretrained reader", 100, 0.8, 1),
        ("pretrained reader", 1000, 0.85, 1),
        ("pretrained reader", 22_500, pytest.approx(0.91), 2),
    ]


def test_the_table_has_a_row_a_number_of_labels():
    assert label_counts.table(label_counts.points(MEASURED, TRIED)).splitlines() == [
        "| labels | n-grams | the same from fresh parameters | pretrained reader |",
        "|---|---|---|---|",
        "| 100 | 70.00% | 60.00% | 80.00% |",
        "| 1,000 |  |  | 85.00% |",
        "| 22,500 |  |  | 91.00% (2 seeds) |",
    ]
    assert label_counts.table([]) == "Not yet measured."


def test_pictures_are_drawn_of_what_was_measured_and_are_the_same_again(tmp_path):
    (tmp_path / "curves").mkdir()
    rows = [{"seconds": 60.0 * n, "validation_loss": 2 / n} for n in (1, 2, 3)]
    for name in ("gru", "lru"):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "curves" / f"shakespeare_chars-{name}-seed-0.jsonl").write_text(text, encoding="utf-8")
    made = plots.draw(tmp_path, MEASURED, TRIED)
    assert [path.name for path in made] == ["labels.svg", "recurrences.svg", "fields.svg"]
    before = [path.read_bytes() for path in made]
    texts = [[part.text for part in ET.fromstring(content).iter() if part.tag.endswith("text")] for content in before]
    assert {"n-grams", "pretrained reader", "the same from fresh parameters"} <= set(texts[0])
    assert {"gru", "lru"} <= set(texts[1])
    assert "lstm" not in texts[1], "it was not run"
    assert [path.read_bytes() for path in plots.draw(tmp_path, MEASURED, TRIED)] == before


def tracked(**accuracies):
    test = {f"accuracy_within_{steps}": value for steps, value in zip((64, 256), accuracies.values(), strict=False)}
    return {"config": {"data": {"test_length": 10_000}}, "metrics": {"test": test | {"accuracy": 0.25}}}


def test_accuracy_by_length_is_of_each_group_and_model_in_the_mean_over_seeds(tmp_path):
    measured = {
        "state_tracking": [tracked(a=1.0, b=1.0), tracked(a=0.5, b=0.9)],
        "state_tracking-a5": [tracked(a=0.9, b=0.8)],
        "state_tracking-a5-min_gru": [tracked(a=0.7, b=0.6)],
        "state_tracking-mod5-lru": [],
    }
    assert lengths.curves(measured) == {
        "parity": {"lstm": [(64, 0.75), (256, 0.95), (10_000, 0.25)]},
        "a5": {
            "lstm": [(64, 0.9), (256, 0.8), (10_000, 0.25)],
            "min_gru": [(64, 0.7), (256, 0.6), (10_000, 0.25)],
        },
    }
    (path,) = plots.draw(tmp_path, measured, {})
    texts = [part.text for part in ET.fromstring(path.read_bytes()).iter() if part.tag.endswith("text")]
    assert path.name == "lengths.svg" and {"parity", "a5", "lstm"} <= set(texts)


def test_without_results_there_is_no_picture(tmp_path):
    assert plots.draw(tmp_path, {}, {}) == []
    assert list(tmp_path.iterdir()) == []
