"""The paired tests between classifiers of the same test documents, as a table: what ``imdb_together`` wrote of them."""

from collections.abc import Mapping

from experiments import trials

EXPERIMENT = "imdb_together"


def table(measured: Mapping[str, list[trials.Result]], tried: Mapping[str, list[trials.Result]]) -> str:
    """In Markdown: a row a pair, in the order of the runs; a pair of two runs that is in several files stands once."""
    lines = [
        "| | | difference of test accuracies, points | 95 % (paired bootstrap) | p (McNemar) |",
        "|---|---|---|---|---|",
    ]
    for result in (*measured.get(EXPERIMENT, []), *tried.get(EXPERIMENT, [])):
        members = " and ".join(f"{one['experiment']}, seed {one['seed']}" for one in result["members"])
        for pair in result["compared"]:
            one = f"{members} together" if pair["one"] == "together" else pair["one"]
            low, high = (f"{100 * end:+.2f}" for end in pair["interval"])
            p = "< 0.001" if pair["p"] < 0.001 else f"{pair['p']:.2g}"
            line = f"| {one} | against {pair['other']} | {100 * pair['difference']:+.2f} | {low} to {high} | {p} |"
            if line not in lines:
                lines.append(line)
    return "\n".join(lines) if len(lines) > 2 else "Not yet measured."
