"""One table a field: each result beside its plain bar and the best that others have published.

A bar is what runs train beside themselves, on the same examples, or else the result of the experiment that is named
here. Published figures are of the same test data where nothing else is said.
"""

import statistics
from collections.abc import Mapping
from typing import Any, NamedTuple

from experiments import load, plain_models, tables, trials
from rnnjax.experiment import Listed
from rnnjax.runs.display import duration


class Beside(NamedTuple):
    """What a result stands beside.

    Attributes:
      bar: the experiment that is its plain bar, where its runs train none.
      published: of the same metric; None: nothing comparable is known.
      source: of what, and where.
    """

    bar: str = ""
    published: float | None = None
    source: str = ""


class Standing(NamedTuple):
    """An experiment's result and what it stands beside, in units of its headline metric; None: not measured."""

    experiment: Listed
    bar: float | None
    bar_name: str
    ours: float | None
    published: float | None
    source: str


FIELDS: dict[str, dict[str, Beside]] = {
    "Images": {
        "mnist_rows": Beside(published=0.989, source="LSTM(256), Adam"),
        "mnist_rows_rnn": Beside(published=0.98, source="SimpleRNN(256), Adam"),
        "mnist_cnn_rnn": Beside("mnist_cnn_rnn-cnn", 0.9955, "ReNet, arXiv:1505.00393"),
        "mnist_cnn_rnn-deep_lstm": Beside("mnist_cnn_rnn-deep_cnn", 0.9955, "ReNet"),
        "mnist_renet": Beside(published=0.9955, source="ReNet, arXiv:1505.00393"),
        "mnist_strings": Beside("mnist_strings-per_column"),
        "cifar10_cnn_rnn": Beside("cifar10_cnn_rnn-pooled", 0.8765, "ReNet, arXiv:1505.00393, on CIFAR-10 itself"),
        "cifar10_cnn_rnn-fast_lstm": Beside(
            "cifar10_cnn_rnn-fast_pooled", 0.94, "a CNN on CIFAR-10 itself, arXiv:2404.00498"
        ),
        "imagenet_cnn_rnn": Beside(published=0.834, source="Sequencer2D-L, arXiv:2205.01972"),
    },
    "Text": {
        "imdb_lstm": Beside("bag_of_words"),
        "imdb_cnn_lstm": Beside("bag_of_words", 0.8498, "Keras's example"),
        "imdb_bilstm": Beside("bag_of_words-nb", 0.8428, "Keras's example of two BiLSTM(64)"),
        "imdb_pretrained": Beside("bag_of_words-nb", 0.957, "BiLSTM(512), mixed objective, Sachan et al. 2019"),
        "imdb_self_trained": Beside("bag_of_words-nb"),
        "imdb_together": Beside("bag_of_words-nb", 0.937, "document vectors and naive-Bayes n-grams"),
        "imdb_language_model": Beside(),
        "shakespeare_chars": Beside(published=1.547, source="Transformer, arXiv:2410.01201; minGRU 1.548"),
        "multi30k_translation": Beside(published=38.0, source="text alone; 33 to 38 by tokenisation"),
        "pronunciation": Beside(published=0.31, source="Transformer, another split"),
    },
    "Sequences": {
        "addition": Beside(published=0.99, source="Keras's example, addition_rnn"),
        "adding": Beside(),
        "mnist_pixels": Beside(published=0.983, source="LSTM; LEM 99.5 %"),
        "mnist_pixels-lru": Beside("mnist_pixels", 0.995, "LEM, arXiv:2110.04744"),
        "mnist_pixels-large": Beside("mnist_pixels", 0.995, "LEM"),
        "mnist_permuted": Beside(published=0.951, source="LSTM; HiPPO 98.3 %"),
        "mnist_permuted-lru": Beside("mnist_permuted", 0.983, "HiPPO, arXiv:2008.07669"),
        "mnist_permuted-large": Beside("mnist_permuted", 0.983, "HiPPO"),
        "state_tracking": Beside("state_tracking-parity-attention"),
        "state_tracking-mod5": Beside("state_tracking-mod5-attention"),
        "state_tracking-a5": Beside("state_tracking-a5-attention"),
    },
    "Speech": {
        "spoken_digits": Beside(),
        "spoken_digits-official": Beside(),
    },
    "Series": {
        "japanese_vowels": Beside(published=0.989, source="11 LSTMs together; MiniRocket 98.4%"),
        "basic_motions": Beside(published=1.0, source="MiniRocket, sktime's own test"),
        "pickup_gesture": Beside(published=0.83, source="ROCKET, results_ucr.csv of angus924/rocket"),
        "arrow_head": Beside(published=0.814, source="ROCKET"),
        "osu_leaf": Beside(published=0.941, source="ROCKET"),
        "ett_forecast": Beside(published=0.368, source="SegRNN, arXiv:2308.11200"),
        "ett_forecast-etth1_192": Beside(published=0.408, source="SegRNN"),
        "ett_forecast-etth1_336": Beside(published=0.444, source="SegRNN"),
        "ett_forecast-etth1_720": Beside(published=0.446, source="SegRNN"),
        "ett_forecast-etth2_96": Beside(published=0.297, source="iTransformer, arXiv:2310.06625"),
        "ett_forecast-etth2_192": Beside(published=0.380, source="iTransformer"),
        "ett_forecast-etth2_336": Beside(published=0.428, source="iTransformer"),
        "ett_forecast-etth2_720": Beside(published=0.427, source="iTransformer"),
    },
}
"""What is compared, by field, in the order in which it is shown."""


def standings(results: Mapping[str, tables.Results]) -> dict[str, list[Standing]]:
    """Each result beside its bar, by field."""
    return {
        field: [_standing(load(name), beside, dict(results)) for name, beside in rows.items()]
        for field, rows in FIELDS.items()
    }


def _standing(experiment: Listed, beside: Beside, results: dict[str, tables.Results]) -> Standing:
    _, found = tables.standing(experiment, results)
    ours = tables.mean(experiment, found) if found else None
    if beside.bar:
        of_bar = load(beside.bar)
        bar = tables.mean(of_bar, results[beside.bar]) if results.get(beside.bar) else None
        return Standing(experiment, bar, of_bar.name, ours, beside.published, beside.source)
    bar, name = _own_bar(experiment, found)
    return Standing(experiment, bar, name, ours, beside.published, beside.source)


def _own_bar(experiment: Listed, found: tables.Results) -> tuple[float | None, str]:
    """The best of the bars that all runs trained, in the mean; it is said where one saw a part of their examples."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for result in found:
        for row in result.get("bars", {}).get("rows", []):
            if row["name"] != plain_models.OURS:
                by_name.setdefault(row["name"], []).append(row)
    of_all = {name: rows for name, rows in by_name.items() if len(rows) == len(found)}
    means = {
        name: statistics.fmean(tables.by_fold(found, [row["value"] for row in rows])) for name, rows in of_all.items()
    }
    if not means:
        return None, ""
    best = max(means, key=lambda name: experiment.task.headline.score(means[name]))
    return means[best], best + ", of a part of the examples" * any(map(plain_models.sample, of_all[best]))


def table(rows: list[Standing], results: Mapping[str, tables.Results]) -> str:
    """A field in Markdown."""
    lines = ["| experiment | metric | plain bar | ours | best published | cost |", "|---|---|---|---|---|---|"]
    for row in rows:
        experiment = row.experiment
        show = experiment.task.headline.show
        measured, found = tables.standing(experiment, dict(results))
        bar = "" if row.bar is None else f"{show(row.bar)} ({row.bar_name})"
        published = "" if row.published is None else f"{show(row.published)} ({row.source})"
        cost = f"{duration(tables.fastest(found)['seconds']['wall'])}, {trials.device(found[0])}" if found else ""
        link = f"[`{experiment.name}`]({experiment.name.partition('-')[0]}.py)"
        cells = [link, experiment.task.headline.name, bar, measured, published, cost]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def page(results: Mapping[str, tables.Results]) -> str:
    """All fields, a heading each."""
    made = standings(results)
    return "\n\n".join(f"### {field}\n\n{table(rows, results)}" for field, rows in made.items())
