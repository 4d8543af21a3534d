"""What the command lines of classifiers together do: weigh finished runs, and label what has no labels."""

import csv
import dataclasses
import io
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from experiments import blend, command_line, finished, members, same_data, text_answers
from experiments.blend import Blend, Blended
from rnnjax import terminal
from rnnjax.data import label_record, tfds
from rnnjax.data.labelled_by_models import COLUMNS
from rnnjax.data.tokenized import Documents
from rnnjax.errors import UsageError
from rnnjax.files import write_text
from rnnjax.runs import environment as environments
from rnnjax.training.parallel import DataParallel

UNLABELLED = "unsupervised"
"""Split of the data set whose labels nobody knows."""


def train(experiment: Blended, workdirs: Sequence[Path], root: Path, data_dir: str | None, fresh: bool = False) -> int:
    """Weighs the members on validation, tests them, and writes the result.

    Raises:
      UsageError: if a member is none or named twice, or the folder holds something else, which stays as it is.
      RunError: if a member or an earlier result is damaged, or another process writes there.
      DataError: if a member was trained on other data.
    """
    earlier = finished.own(root, experiment.name, members.FILE, fresh=fresh)
    members.check_once(workdirs)
    if earlier is not None and not fresh:
        members.check_finished(root, workdirs)
        print(f"finished already in {root}; --fresh weighs them again")
        return 0
    with finished.alone(root):
        return _weighed(experiment, workdirs, root, data_dir)


def _weighed(experiment: Blended, workdirs: Sequence[Path], root: Path, data_dir: str | None) -> int:
    environment, start = environments.environment(), time.perf_counter()
    asked = [blend.member(workdir) for workdir in workdirs]
    name, splits = _documents(asked, data_dir)
    for one in asked:
        one.check_data(splits, data_dir)
    held, tested = (
        blend.Scored(blend.scored(asked, documents, split), labels)
        for split, (documents, labels) in ((split, splits[split]) for split in ("validation", "test"))
    )
    weights = held.weights()
    result = {
        **_judged(experiment, asked, weights, held, tested),
        "data": {"name": name} | {split: len(labels) for split, (_, labels) in splits.items()},
        "device": DataParallel().describe(),
        "seconds": {"wall": time.perf_counter() - start, "compile": 0.0},
        "config": Blend(tuple(one.experiment for one in asked)).to_json(),
        **environment,
        "finished": environments.now(),
    }
    finished.begin(root)
    members.write(root, asked, weights, same_data.fingerprint(splits))
    write_text(root / finished.RESULT, json.dumps(result, indent=2) + "\n")
    _show(result, root)
    return 0


def _judged(
    experiment: Blended, asked: Sequence[blend.Member], weights: np.ndarray, held: blend.Scored, tested: blend.Scored
) -> dict[str, Any]:
    """What the result says of the models, as JSON values."""
    target, metrics = experiment.target, {"test": tested.metrics(weights), "validation": held.metrics(weights)}
    assert target is not None
    reached = metrics["test"]["accuracy"] >= target.value
    return {
        "experiment": experiment.name,
        "seed": max(one.seed for one in asked),
        "metrics": {**metrics, "train": {}},
        "target": {"accuracy": target.value, "source": target.source, "reached": reached},
        **blend.described(asked, weights, held, tested),
        "parameters": len(asked),
    }


def _show(result: dict[str, Any], root: Path) -> None:
    print()
    for one in result["members"]:
        values = " ".join(f"{split} {one[split]['accuracy']:.2%}" for split in ("validation", "test"))
        print(f"{one['experiment']}, seed {one['seed']}: weight {one['weight']:.2f}, {values}")
    for one in result["compared"]:
        low, high = (f"{100 * end:+.2f}" for end in one["interval"])
        points = f"{100 * one['difference']:+.2f} points (95 %: {low} to {high}; p {one['p']:.2g})"
        print(f"{one['one']} against {one['other']}: {points}")
    test, held = (result["metrics"][split]["accuracy"] for split in ("test", "validation"))
    target = result["target"]
    print(
        f"{result['experiment']}: test accuracy {test:.2%}, validation {held:.2%}; target {target['accuracy']:.2%}: "
        f"{'reached' if target['reached'] else 'MISSED'}\nresult {root / 'result.json'}"
    )


def evaluate(root: Path, split: str, data_dir: str | None, other_data: bool = False) -> int:
    """Prints loss and accuracy of a whole split as JSON.

    Raises:
      UsageError, RunError: if the folder holds no models together, one was trained anew, or what it holds is damaged.
      DataError: if the split is another than at the weighing, and ``other_data`` does not allow that.
    """
    known = members.read(root)
    result = finished.result(root, Blended)
    _, splits = _documents(known.members, data_dir)
    documents, labels = splits[split]
    now = same_data.fingerprint({split: splits[split]})
    same_data.check(root, known.data, now, (split,), other_data=other_data)
    if split == "test":
        terminal.note("this looked at the test split; choose models by validation")
    values = blend.Scored(blend.scored(known.members, documents, split), labels).metrics(known.weights)
    said = {"experiment": result["experiment"], "seed": result["seed"], "split": split, **values}
    terminal.answer(json.dumps(said))
    return 0


def predict(root: Path, paths: Sequence[str], given: Sequence[str], json_lines: bool) -> int:
    """Prints the class of each document."""
    known = members.read(root)

    def logits(documents: Sequence[str]) -> Any:
        return np.tensordot(known.weights, np.stack([one.log_probabilities(documents) for one in known.members]), 1)

    return text_answers.predict(logits, known.members[0].class_names, paths, given, json_lines)


def label(root: Path, to: Path, data_dir: str | None) -> int:
    """Writes a table of row, label and weight of all unlabelled documents, and beside it which they are.

    Raises:
      UsageError: if the folder holds no models together, or there is none for the table: before all are read.
    """
    if not to.parent.is_dir():
        raise UsageError(f"{to}: there is no folder {to.parent}")
    known = members.read(root)
    section = _section(known.members, data_dir)
    found = tfds.builder(section.name, section.data_dir)
    documents = [text for (text,) in tfds.texts(found, UNLABELLED)]
    scores = blend.scored(known.members, documents, UNLABELLED)
    probabilities = blend.softmax(np.tensordot(known.weights, scores, 1))
    chance = 1 / probabilities.shape[1]
    weights = (probabilities.max(-1) - chance) / (1 - chance)
    names = [known.members[0].class_names[best] for best in probabilities.argmax(-1)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(zip(range(len(names)), names, (f"{weight:.4f}" for weight in weights), strict=True))
    write_text(to, out.getvalue())
    label_record.write(to, found.info.full_name, UNLABELLED, documents)
    counts = ", ".join(f"{name} {count:,}" for name, count in sorted(Counter(names).items()))
    terminal.tell(f"{UNLABELLED}: {counts}; weights {weights.mean():.2f} in the mean")
    print(to)
    return 0


def _documents(asked: Sequence[blend.Member], data_dir: str | None) -> tuple[str, dict[str, Documents]]:
    return same_data.documents(_section(asked, data_dir), asked[0].class_names, asked[0].root)


def _section(asked: Sequence[blend.Member], data_dir: str | None) -> Any:
    return dataclasses.replace(blend.shared(asked), data_dir=data_dir)


def parse(experiment: Blended, arguments: list[str]) -> Callable[[], int]:
    """From the arguments of an experiment's command line to what runs them."""
    runs = Path("runs")
    folder = runs / experiment.name / "seed-0"
    defaults = tuple(runs / name / "seed-0" for name in experiment.config.members)

    def train_command(
        members: Annotated[tuple[Path, ...], tyro.conf.Positional] = defaults,
        workdir: Path = folder,
        data_dir: str | None = None,
        fresh: bool = False,
    ) -> Callable[[], int]:
        """Weigh finished runs by their log probabilities on validation, and evaluate them together on the test split.

        Args:
          members: Work folders of finished runs on the same data.
          workdir: Where result.json is written.
          data_dir: TFDS data directory; unset: TFDS_DATA_DIR.
          fresh: Replace what is there.
        """
        return lambda: train(experiment, members, workdir, data_dir, fresh)

    def label_command(to: Path | None = None, workdir: Path = folder, data_dir: str | None = None) -> Callable[[], int]:
        """Label the unlabelled documents: a table of row, label and weight (0 to 1) for --data.labels-path.

        Args:
          to: The table; unset: labels.csv in the work folder.
          workdir: Where the runs were weighed.
          data_dir: TFDS data directory; unset: TFDS_DATA_DIR.
        """
        return lambda: label(workdir, to or workdir / "labels.csv", data_dir)

    commands = {
        "train": train_command,
        **text_answers.commands(folder, evaluate, predict),
        "label": label_command,
    }
    return command_line.parse(f"python -m experiments.{experiment.name}", experiment.summary, commands, arguments)
