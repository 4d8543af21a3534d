"""Plain bars against formulas written out step by step, and what a run of own data says at its end."""

import dataclasses
import json
import math

import numpy as np
import pytest
from sklearn.linear_model import RidgeCV

from rnnjax import Arrays, Classification, PerStep, Regression, data
from rnnjax.bars import BARS, Asked, Bar, linear, majority, ngrams, random_convolutions, small_images
from rnnjax.runs import bars
from rnnjax.runs.running import run
from tests.small import CONFIG, TEXT_CONFIG, made_up_texts, small_program, subset

RNG = np.random.default_rng(4)


def asked(dataset, task=None, split="test", seconds=60.0):
    return Asked(dataset, (task or Classification()).prepared(dataset, None), split, seconds)


def arrays(x, y, tested=20, **options):
    every = {name: (value[:-tested], value[-tested:]) for name, value in options.items()}
    more = {name: value[0] for name, value in every.items()}
    return Arrays(
        x[:-tested], y[:-tested], test=(x[-tested:], y[-tested:], *(v[1] for v in every.values())), **more
    ).load()


# The majority


def test_the_majority_of_classes_is_the_most_frequent_of_training():
    y = np.r_[np.repeat([0, 1, 2], [30, 60, 10]), np.repeat([0, 1], [15, 5])]
    bar = majority.bar(asked(arrays(np.zeros((120, 2), np.float32), y)))
    assert (bar.name, bar.note) == ("majority class", "always '1'")
    assert bar.metrics["accuracy"] == 0.25
    shares = np.array([15, 5]) @ -np.log([0.3, 0.6]) / 20
    assert bar.metrics["loss"] == pytest.approx(shares, abs=0.02)  # a part of training is validation


def test_the_majority_of_numbers_is_the_mean_of_training():
    y = RNG.normal(size=120) * 3 + 7
    dataset = arrays(np.zeros((120, 2), np.float32), y)
    bar = majority.bar(asked(dataset, Regression()))
    mean = dataset.train["targets"].mean()
    assert bar.metrics["rmse"] == pytest.approx(np.sqrt(((y[-20:] - mean) ** 2).mean()), rel=1e-5)
    assert bar.name == "mean"


def test_the_majority_of_steps_counts_real_labelled_steps_alone():
    y = np.tile([1, 1, 0, -1, 2, 2, 2, 2], (60, 1))
    lengths = np.full(60, 4)
    dataset = Arrays(
        np.zeros((60, 8, 1), np.float32),
        y,
        lengths=lengths,
        names=("a", "b", "c"),
        test=(np.zeros((5, 8, 1), np.float32), y[:5], lengths[:5]),
        per_step=True,
    ).load()
    bar = majority.bar(asked(dataset, PerStep()))
    assert bar.metrics["accuracy"] == pytest.approx(2 / 3)
    assert bar.note == "always 'b'"


# Texts


def test_ratios_are_those_of_the_paper():
    features = np.array([[1, 0, 1], [1, 1, 0], [0, 1, 1], [0, 0, 1]], float)
    column = np.array([1, 1, -1, -1])
    p, q = np.array([3, 2, 2]), np.array([1, 2, 3])
    from scipy.sparse import csr_matrix

    np.testing.assert_allclose(ngrams.ratios(csr_matrix(features), column), np.log((p / 7) / (q / 6)))


def with_documents(sizes=(128, 40, 40)):
    """The made-up texts, whose words are letters: a document is of class 1 where ``b`` is in it."""
    dataset = made_up_texts()
    words = dataset.preprocess.vocabulary.words

    def documents():
        return {
            split: [" ".join(words[i] for i in row[:n]) for row, n in zip(part["inputs"], part.lengths, strict=True)]
            for split, part in dataset.splits().items()
        }

    return dataclasses.replace(dataset, documents=documents)


def test_ngrams_learn_which_words_matter():
    bar = ngrams.bar(asked(with_documents()))
    assert bar.name == "n-grams"
    assert bar.metrics["accuracy"] > 0.9
    assert set(bar.metrics) >= {"macro_f1", "auc", "loss"}
    assert ngrams.bar(asked(made_up_texts())) is None


def test_what_takes_too_long_learns_from_a_sample_and_says_so():
    rows = linear.sample(5000, 2000.4)
    assert len(rows) == 2000
    assert (np.diff(rows) > 0).all()
    assert linear.sampled(rows, 5000) == "trained on 2,000 of 5,000 examples, to stay within its time"
    assert linear.sample(5000, 5000.0) is None
    assert len(linear.sample(5000, 0.1)) == 1000
    assert linear.sample(900, 0.1) is None


def test_settings_are_chosen_by_the_score_and_no_more_are_tried_when_time_is_over():
    chosen = linear.by_validation((1, 2, 3), lambda n: n * 10, lambda model: -abs(model - 20))
    assert (chosen.setting, chosen.model) == (2, 20)
    assert chosen.tried == [(1, -10), (2, 0), (3, -10)]
    assert linear.by_validation((1, 2), lambda n: n, lambda model: model, until=-math.inf).setting == 1


@pytest.mark.parametrize("classes", [2, 4])
def test_a_logistic_model_has_a_logit_for_each_class_though_one_never_occurs(classes):
    labels = RNG.integers(0, classes, 60)
    labels[labels == classes - 1] = 0
    features = np.eye(classes)[labels] + 0.1 * RNG.normal(size=(60, classes))
    logits = linear.logistic(features, 2 * np.eye(classes)[labels] - 1, 10.0)(features)
    assert logits.shape == (60, classes)
    assert (logits.argmax(-1) == labels).mean() > 0.9
    several = np.where(RNG.random((60, 3)) > 0.5, 1.0, -1.0)
    several[:, 2] = -1.0
    found = linear.logistic(several, several, 100.0)(several)
    np.testing.assert_array_equal(found > 0, several > 0)


# Sequences


def by_hand(x, length, kernel, number):
    """A kernel's maximum and share over one sequence ``[T, D]``, by the published code's loops."""
    half, dilation = int(kernel.half[number]), kernel.dilation
    padding = half * dilation if kernel.padded[number] else 0
    values = []
    for middle in range(half * dilation - padding, length - half * dilation + padding):
        total = float(kernel.bias[number])
        for tap in range(-half, half + 1):
            at = middle + tap * dilation
            if 0 <= at < length:
                total += float(kernel.weights[tap + 5, :, number] @ x[at])
        values.append(total)
    return (max(values), np.mean(np.array(values) > 0)) if values else (0.0, 0.0)


def test_features_of_ragged_sequences_are_those_of_loops():
    x = RNG.normal(size=(3, 24, 2)).astype(np.float32)
    lengths = np.array([24, 13, 3], np.int32)
    groups = random_convolutions.kernels(np.random.default_rng(0), 40, 20, 2)
    assert sum(len(group.bias) for group in groups) == 40
    assert len({group.dilation for group in groups}) > 1
    for group in groups:
        count = len(group.bias)
        found = random_convolutions.transform(x, lengths, group)
        expected = np.array(
            [[by_hand(row, n, group, k) for k in range(count)] for row, n in zip(x, lengths, strict=True)]
        )
        np.testing.assert_allclose(found[:, :count], expected[..., 0], atol=1e-5)
        np.testing.assert_allclose(found[:, count:], expected[..., 1], atol=1e-6)


def test_kernels_are_drawn_by_the_published_rule():
    groups = random_convolutions.kernels(np.random.default_rng(0), 3000, 100, 6)
    half = np.concatenate([group.half for group in groups])
    assert set(half) == {3, 4, 5}
    for group in groups:
        assert (group.dilation * 2 * group.half <= 99).all()
        taps = np.abs(np.arange(-5, 6))[:, None] <= group.half
        assert not group.weights[~np.broadcast_to(taps[:, None], group.weights.shape)].any()
        np.testing.assert_allclose(group.weights.sum(0), 0, atol=1e-5)
        seen = (group.weights != 0).any(0).sum(0)
        assert ((seen >= 1) & (seen <= 6)).all()
    assert 0.45 < np.concatenate([group.padded for group in groups]).mean() < 0.55
    # log2 of the dilation is uniform up to where the kernel just fits
    exponents = np.concatenate([np.full(len(g.bias), np.log2(g.dilation)) for g in groups])
    assert (exponents == 0).mean() == pytest.approx(np.mean([1 / np.log2(99 / n) for n in (6, 8, 10)]), abs=0.03)


def test_padding_is_no_part_of_a_sequence():
    x = RNG.normal(size=(4, 30, 2)).astype(np.float32) * 5 + 3
    lengths = np.array([30, 20, 9, 1], np.int32)
    longer = np.concatenate([x, np.full((4, 11, 2), 1e4, np.float32)], 1)
    for n, row in zip(lengths, x, strict=True):
        row[n:] = -1e4
    (ours, extra), (theirs, same) = (random_convolutions.normalised(part, lengths) for part in (x, longer))
    np.testing.assert_allclose(ours, theirs[:, :30], atol=1e-6)
    np.testing.assert_allclose(extra, same, rtol=1e-6)
    group = random_convolutions.kernels(np.random.default_rng(1), 8, 20, 2)[0]
    np.testing.assert_allclose(
        random_convolutions.transform(ours, lengths, group),
        random_convolutions.transform(theirs, lengths, group),
        atol=1e-5,
    )


def test_ridge_chooses_its_penalty_by_leaving_one_out():
    x, y = RNG.normal(size=(40, 60)), RNG.normal(size=(40, 2))
    errors = {}
    scaled = (x - x.mean(0)) / x.std(0)
    for alpha in np.logspace(-3, 3, 10):
        centred = scaled - scaled.mean(0)
        hat = centred @ np.linalg.solve(centred.T @ centred + alpha * np.eye(60), centred.T) + 1 / 40
        errors[alpha] = ((((y - hat @ y).T) / (1 - np.diag(hat))) ** 2).mean()
    best = min(errors, key=errors.get)
    expected = RidgeCV(alphas=[best]).fit(scaled, y).predict(scaled)
    np.testing.assert_allclose(random_convolutions.ridge(x, y)(x), expected, rtol=1e-6, atol=1e-6)


def waves(count=120, ragged=True):
    """Sequences in which a fast or a slow wave stands somewhere."""
    y, x = RNG.integers(0, 2, count), RNG.normal(size=(count, 40, 1)).astype(np.float32)
    lengths = RNG.integers(25, 41, count) if ragged else np.full(count, 40)
    for row, label in enumerate(y):
        start = RNG.integers(0, lengths[row] - 20)
        x[row, start : start + 20, 0] += 3 * np.sin(np.arange(20) * (0.6 + 0.9 * label))
    return x, y, lengths


def test_random_convolutions_tell_waves_apart_wherever_they_stand(monkeypatch):
    monkeypatch.setattr(random_convolutions, "KERNELS", 256)
    x, y, lengths = waves()
    bar = random_convolutions.bar(asked(arrays(x, y, lengths=lengths)))
    assert bar.metrics["accuracy"] > 0.8
    assert "loss" not in bar.metrics
    assert bar.note == ""
    numbers = random_convolutions.bar(asked(arrays(x, y + 0.5, lengths=lengths), Regression()))
    assert numbers.metrics["rmse"] < 0.4
    assert random_convolutions.bar(asked(made_up_texts())) is None


# Images


def test_small_images_are_means_of_parts_and_shares_of_colours():
    images = RNG.integers(0, 256, (2, 32, 8, 3)).astype(np.uint8)
    dataset = arrays(np.repeat(images, 20, 0), np.tile([0, 1], 20))
    found = small_images.features(dataset.test)
    pixels = dataset.test["inputs"].astype(float) / 255
    expected = pixels.reshape(len(pixels), 16, 2, 8, 3).mean(2).reshape(len(pixels), -1)
    np.testing.assert_allclose(found[:, : 16 * 8 * 3], expected, atol=1e-6)
    levels = dataset.test["inputs"][0].reshape(-1, 3) // 64
    shares = np.zeros((4, 4, 4))
    np.add.at(shares, tuple(levels.T), 1 / len(levels))
    np.testing.assert_allclose(found[0, 16 * 8 * 3 :], shares.ravel(), atol=1e-6)


def test_small_images_read_the_digits():
    dataset = subset(data.load(CONFIG.data), 500, 100)
    bar = small_images.bar(asked(dataset))
    assert bar.metrics["accuracy"] > 0.9
    assert small_images.bar(asked(made_up_texts())) is None


# Beside a network


def test_the_sentence_says_who_is_better_and_how_sure_that_is():
    dataset = arrays(np.zeros((300, 1), np.float32), np.r_[np.tile([0, 0, 1, 0], 50), np.ones(100, int)], tested=100)
    task = Classification().prepared(dataset, None)

    def network(right):
        predicted = np.where(np.arange(100) < right, 1, 0)
        rows = np.stack([np.ones(100), predicted, np.ones(100)], 1)
        return Bar("network", {"accuracy": right / 100, "macro_f1": 0.5}, rows)

    made = bars.beside(task, dataset, "test", network(60), 10.0)
    expected = "the network beats the majority class: accuracy 60.00% against 0.00% (p < 0.001, 100 test examples"
    assert made["said"].startswith(expected)
    assert (made["beats"], made["test"], made["against"]) == (True, "McNemar", "majority class")
    assert made["rows"][-1]["shown"] == "60.00% (95 %: 50.2-69.1 %)"
    assert made["counts"]["test"] == {"0": 0, "1": 100}
    few = bars.beside(task, dataset, "test", network(3), 10.0)
    assert few["p"] == pytest.approx(0.25)
    assert "does not beat the majority class beyond chance: accuracy 3.00% against 0.00%" in few["said"]
    assert json.loads(json.dumps(made)) == made
    line = bars.table(made)[-1]
    assert line.startswith("  network  ")
    assert line.endswith("  accuracy 60.00% (95 %: 50.2-69.1 %), macro f1 50.00%")


def test_a_bar_that_fails_costs_a_note_and_no_run(monkeypatch, capsys):
    def broken(asked):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(bars, "BARS", (broken,))
    dataset = arrays(np.zeros((60, 1), np.float32), np.tile([0, 1], 30))
    network = Bar("network", {"accuracy": 0.5}, None)
    made = bars.beside(Classification(), dataset, "test", network, 10.0)
    assert [row["name"] for row in made["rows"]] == ["network"]
    assert "said" not in made
    assert "a bar could not be made: tests.test_bars: ZeroDivisionError" in capsys.readouterr().err


def test_bars_are_fitted_once_for_all_seeds_of_the_same_data(monkeypatch):
    fitted = []

    def plain(asked):
        fitted.append(asked.split)
        return Bar("plain", {"accuracy": 0.5}, None)

    monkeypatch.setattr(bars, "BARS", (plain,))
    dataset, other = (arrays(np.zeros((60, 1), np.float32), np.tile([0, 1], 30)) for _ in range(2))
    task = Classification().prepared(dataset, None)
    for held, split, times in (
        (dataset, "test", 1),
        (dataset, "test", 1),
        (dataset, "validation", 2),
        (other, "test", 3),
    ):
        made = bars.beside(task, held, split, Bar("network", {"accuracy": 0.6}, None), 10.0)
        assert [row["name"] for row in made["rows"]] == ["plain", "network"]
        assert len(fitted) == times
    bars.beside(dataclasses.replace(task), other, "test", Bar("network", {"accuracy": 0.6}, None), 10.0)
    assert len(fitted) == 4


def test_bars_take_a_fifth_of_the_training_and_at_most_two_minutes():
    assert [bars.seconds_for(training, own=True) for training in (1, 100, 3600)] == [10, 20, 120]
    assert bars.seconds_for(1, own=False) == 120, "a result that others compare with has a bar that is itself"


@pytest.mark.slow
@pytest.mark.long
def test_a_run_of_own_data_ends_beside_bars_and_another_does_not(tmp_path):
    program = small_program(TEXT_CONFIG, with_documents())
    assert "bars" not in run(program, 0, tmp_path / "plain")
    program.experiment = dataclasses.replace(program.experiment, own=True)
    result = run(program, 0, tmp_path / "own")
    names = [row["name"] for row in result["bars"]["rows"]]
    assert names == ["majority class", "n-grams", "network"]
    assert result["bars"]["against"] == "n-grams"
    network = result["bars"]["rows"][-1]
    assert network["value"] == pytest.approx(result["metrics"]["test"]["accuracy"])
    assert network["right"] == round(40 * network["value"])
    page = json.loads((tmp_path / "own" / "report-test.json").read_text(encoding="utf-8"))
    assert page["intervals"]["accuracy"] == network["interval"]
    wrong = (tmp_path / "own" / "mistakes-test.csv").read_text(encoding="utf-8").splitlines()
    assert wrong[0] == "number,true,predicted,probability,text"
    assert len(wrong) == 1 + 40 - network["right"]
    assert json.loads((tmp_path / "own" / "result.json").read_text(encoding="utf-8"))["bars"] == result["bars"]
    assert (tmp_path / "own" / "reliability-test.png").is_file()


def test_every_bar_says_of_every_data_set_whether_it_fits():
    for dataset in (with_documents(), subset(data.load(CONFIG.data), 200, 50)):
        made = [make(asked(dataset, split="validation", seconds=20.0)) for make in BARS]
        assert sum(bar is not None for bar in made) == 2
