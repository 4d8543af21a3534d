"""The bar of language models stands beside the network on the same tokens."""

import numpy as np

import rnnjax
from rnnjax import data
from rnnjax.bars import Asked, kneser_ney, tokens
from rnnjax.data.windows import windows
from rnnjax.tasks import NextToken

WORDS = [f"w{number}" for number in range(30)]


def chain(path, count=6000):
    """A text in which each word is followed by one of two."""
    rng, at, text = np.random.default_rng(0), 0, []
    for _ in range(count):
        at = (3 * at + 1 + int(rng.integers(2))) % 30
        text.append(WORDS[at])
    path.write_text(" ".join(text))
    return rnnjax.CorpusData(path=str(path), tokenizer="words", window=8, batch_size=8)


def test_a_text_is_put_together_from_its_windows():
    ids = np.random.default_rng(0).integers(2, 9, 45).astype(np.int32)
    np.testing.assert_array_equal(tokens.ids_of(windows(ids, 8)), ids)


def test_the_bar_is_the_trigrams_loss_of_every_target(tmp_path):
    dataset = data.load(chain(tmp_path / "text.txt"))
    bar = tokens.bar(Asked(dataset, NextToken(), "test", 60.0))
    assert bar is not None and bar.outcomes is not None and not bar.note
    model = kneser_ney.fit(tokens.ids_of(dataset.train), len(dataset.preprocess.vocabulary), 3)
    losses = -model.log_probabilities(tokens.ids_of(dataset.split("test")))
    assert bar.metrics["loss"] < np.log(2) + 0.1
    np.testing.assert_allclose(bar.metrics["loss"], losses.mean())
    assert bar.outcomes[:, 1].sum() == len(losses) == 599
    np.testing.assert_allclose((bar.outcomes[:, 0] * bar.outcomes[:, 1]).sum(), losses.sum())


def test_a_language_models_last_line_says_whether_it_beats_the_trigrams(tmp_path, capsys):
    experiment = rnnjax.Experiment(
        bars=True,
        data=chain(tmp_path / "text.txt"),
        model=rnnjax.LanguageModel(features=(8,), embedding_features=8),
        task=NextToken(),
        optim=rnnjax.OptimConfig(learning_rate=3e-3),
        train=rnnjax.TrainConfig(epochs=1, steps_per_call=16),
    )
    result = rnnjax.fit(experiment)
    bars = result.record["bars"]
    assert bars["against"] == "Kneser-Ney 3-grams" and bars["test"] == "bootstrap"
    network = next(row for row in bars["rows"] if row["name"] == "network")
    assert network["value"] == result.metrics["test"]["loss"]
    assert network["interval"][0] < network["value"] < network["interval"][1]
    assert bars["beats"] is False and bars["said"].startswith("the network is worse than Kneser-Ney 3-grams: loss ")
