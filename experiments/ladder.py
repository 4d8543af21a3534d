"""The ladder on film reviews as a table: a row a rung, from the bar to the best that was measured."""

from collections.abc import Mapping

import experiments
from experiments import tables, trials
from experiments.tables import Results
from rnnjax.experiment import Listed
from rnnjax.runs.display import duration

RUNGS = (
    "bag_of_words-nb",
    "imdb_bilstm",
    "imdb_pretrained",
    "imdb_pretrained-regions-tuned",
    "imdb_together",
    "imdb_self_trained",
    "imdb_large",
)
"""The classifiers of the page's section, in its order; what they begin from is counted in their time."""


def table(results: Mapping[str, Results]) -> str:
    """In Markdown, the best rung in bold: test accuracy in the mean over seeds with its standard deviation, and time.

    Args:
      results: those that are committed, by experiment.
    """
    every = [(experiments.load(name), results.get(name, [])) for name in RUNGS]
    means = {one.name: tables.mean(one, found) for one, found in every if found}
    best = max(means, key=lambda name: means[name], default=None)
    lines = ["| rung | test accuracy | seeds | time of a seed | target |", "|---|---|---|---|---|"]
    for one, found in every:
        cells = [f"`{one.name}`", tables.measured(one, found), str(len(found) or ""), _time(one, found, results)]
        assert one.target is not None, "every rung has one"
        cells.append(one.target.shown(one.task))
        if one.name == best:
            cells[:2] = [f"**{cell}**" for cell in cells[:2]]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _time(experiment: Listed, found: Results, results: Mapping[str, Results]) -> str:
    """What the fastest seed took and where, and what one seed took of each run that it begins from."""
    if not found:
        return ""
    result = tables.fastest(found)
    before = [results.get(first.name, []) for first in getattr(experiment, "begins", {}).values()]
    took = f"{duration(result['seconds']['wall'])}, {trials.device(result)}"
    if not before or not all(before):
        return took
    spent = sum(tables.fastest(first)["seconds"]["wall"] for first in before)
    return f"{took}; before it {duration(spent)} for what it begins from"
