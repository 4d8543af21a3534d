"""The paired tests between classifiers of the same test documents, as a table: what ``imdb_together`` wrote of them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from experiments import trials

EXPERIMENT = "imdb_together"


def table(measured: Mapping[str, list[trials.Result]], tried: Mapping[str, list[trials.Result]]) -> str:
    """In Markdown: a row a pair, in the order of the runs; a pair of two runs that is in several files stands once."""
    lines = [
        "| | | difference of test accuracies, points | 95 % (paired bootstrap) | p (McNemar) |",
        "|---|---|---|---|---|",
    ]
    for result in (*measured.get(EXPERIMENT, []), *tried.get(EXPERIMENT, [])):
        members = " and ".join(_by_experiment(result["members"]))
        for pair in result["compared"]:
            one = f"{members} together" if pair["one"] == "together" else pair["one"]
            line = f"| {one} | against {pair['other']} | {' | '.join(figures(pair))} |"
            if line not in lines:
                lines.append(line)
    return "\n".join(lines) if len(lines) > 2 else "Not yet measured."


def figures(pair: Mapping[str, Any]) -> tuple[str, str, str]:
    """A difference of accuracies in points, its interval, and p, of what :func:`experiments.blend.difference` found."""
    low, high = (f"{100 * end:+.2f}" for end in pair["interval"])
    p = "< 0.001" if pair["p"] < 0.001 else f"{pair['p']:.2g}"
    return f"{100 * pair['difference']:+.2f}", f"{low} to {high}", p


def _by_experiment(members: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """What the members of one experiment are called."""
    seeds = defaultdict[str, list[int]](list)
    for one in members:
        seeds[one["experiment"]].append(one["seed"])
    for name, mine in seeds.items():
        yield f"{name}, seed{'s' * (len(mine) > 1)} {', '.join(map(str, mine))}"
