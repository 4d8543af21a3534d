"""Trials: runs of an experiment with other settings than its own, and the table of what was tried."""

import dataclasses
import hashlib
import json
import statistics
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import experiments
from experiments.blend import Blend, Blended
from experiments.word_counts import BagOfWords, WordCounts
from rnnjax.config import Config, identity, identity_differences
from rnnjax.config.run import from_json
from rnnjax.experiment import Experiment
from rnnjax.tasks import Metric

COPIES = {"cifar10_jpeg": ("cifar10", "CIFAR-10 (JPEG re-encoding)")}
"""Data sets that results may be measured on in place of an experiment's own, and what the table calls them: the
images of CIFAR-10, each encoded again as JPEG, which loses a little."""

Result = dict[str, Any]


def differences(result: Result) -> list[str]:
    """In what the configuration of a result is not its experiment's, as ``section.field: value, not value``."""
    experiment = experiments.load(result["experiment"])
    if isinstance(experiment, WordCounts):
        ours, theirs = BagOfWords.from_json(result["config"]).to_json(), experiment.config.to_json()
        return [f"{name}: {ours[name]!r}, not {theirs[name]!r}" for name in theirs if ours[name] != theirs[name]]
    if isinstance(experiment, Blended):
        ours, theirs = Blend.from_json(result["config"]).members, experiment.config.members
        return [] if ours == theirs else [f"members: {' and '.join(ours)}, not {' and '.join(theirs)}"]
    assert isinstance(experiment, Experiment), "all others are of a network"
    config: Config = from_json(result["config"], experiment.kinds)
    if config.data.name in COPIES:  # the one difference that is allowed, and the table shows it
        original, _ = COPIES[config.data.name]
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, name=original))
    return identity_differences(config, experiment.config)


def is_trial(result: Result) -> bool:
    """Whether a result is of other settings than its experiment's, or was not tested."""
    return result["metrics"]["test"] is None or bool(differences(result))


def file_name(result: Result) -> str:
    """Of a trial: one for each configuration and seed, wherever its data lay and whether it was tested or not."""
    config = result["config"]
    experiment = experiments.load(result["experiment"])
    if isinstance(experiment, Experiment):
        # What the file holds, not what it would hold now: a new field must not rename old trials.
        kept = identity(from_json(config, experiment.kinds))
        config = {name: {k: v for k, v in config[name].items() if k in kept[name]} for name in kept}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:8]
    return f"{result['experiment']}-{digest}-seed-{result['seed']}.json"


def read(folder: Path) -> dict[str, list[Result]]:
    """The committed trials by experiment, best validation last."""
    found: dict[str, list[Result]] = defaultdict(list)
    for path in sorted(folder.glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        found[result["experiment"]].append(result)
    return {name: sorted(results, key=_validation) for name, results in found.items()}


def data(result: Result) -> str:
    """What a table calls the data of a result."""
    return copy(result) or result["data"]["name"]


def copy(result: Result) -> str | None:
    """What the tables call the copy of a data set that a result was measured on; None where it was the data set."""
    _, shown = COPIES.get(result["data"]["name"].partition("/")[0], ("", None))
    return shown


def device(result: Result) -> str:
    """What a table calls the devices of a result."""
    return "{count} × {platform} ({kind})".format(**result["device"])


def table(trials: dict[str, list[Result]], measured: dict[str, list[Result]]) -> str:
    """What was tried, in Markdown: a row a setting, best validation last, and below them what the experiment is now."""
    columns = ("experiment", "settings other than its own", "validation", "test", "seeds", "best epoch", "data",
               "device", "commit")  # fmt: skip
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    for name, results in trials.items():
        alike: dict[tuple[Any, ...], list[Result]] = defaultdict(list)
        for result in results:
            settings = "; ".join(differences(result)) or "none"
            alike[settings, data(result), device(result), result["metrics"]["test"] is None].append(result)
        groups = sorted(alike.items(), key=lambda group: statistics.fmean(map(_validation, group[1])))
        lines += [_row(name, group, settings) for (settings, *_), group in groups]
        lines += [_row(name, measured[name], "none")] if measured.get(name) else []
    return "\n".join(lines)


def _row(name: str, results: list[Result], settings: str) -> str:
    """Of one or several seeds, whose means are shown."""
    results = sorted(results, key=lambda result: result["seed"])
    metrics = [result["metrics"] for result in results]
    epochs = [str(result["best_epoch"]) for result in results if "epochs" in result]
    facts = (
        _shown(_headline(results[0]), [each["validation"] for each in metrics]),
        _shown(_headline(results[0]), [each["test"] for each in metrics]) if metrics[0]["test"] else "not looked at",
        ", ".join(str(result["seed"]) for result in results),
        f"{', '.join(epochs)} of {results[0]['epochs']}" if epochs else "",
        data(results[0]),
        device(results[0]),
        ", ".join(sorted({(result["commit"] or "unknown")[:8] for result in results})),
    )
    return f"| `{name}` | {settings} | {' | '.join(facts)} |"


def _shown(headline: Metric, metrics: list[Mapping[str, float]]) -> str:
    values = [each[headline.name] for each in metrics]
    spread = f" ± {headline.show(statistics.stdev(values))}" if len(values) > 1 else ""
    return headline.show(statistics.fmean(values)) + spread


def _headline(result: Result) -> Metric:
    return experiments.load(result["experiment"]).task.headline


def _validation(result: Result) -> float:
    headline = _headline(result)
    return headline.score(result["metrics"]["validation"][headline.name])
