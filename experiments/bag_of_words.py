"""The bar for recurrent text classifiers: word counts and a linear model, on the same data and the same splits.

scikit-learn counts the words of our tokenizer; C is chosen on the validation split. Order plays no part but within
--max-ngram words. The plain model is TF-IDF and logistic regression; ``--variant nb`` weighs which runs of one to three
words occur by their log-count ratios (Wang and Manning 2012, see :mod:`rnnjax.bars.ngrams`).
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from experiments import command_line, finished, same_data, text_answers
from experiments.linear import VOCABULARY, Linear, scores
from experiments.word_counts import BagOfWords, WordCounts, fit
from rnnjax import cli
from rnnjax.data import sources
from rnnjax.errors import UsageError
from rnnjax.experiment import Target
from rnnjax.files import write_text
from rnnjax.runs import environment as environments

EXPERIMENT = WordCounts(
    name="bag_of_words",
    summary="TF-IDF and logistic regression (scikit-learn) on IMDB: the bar",
    target=Target(value=0.89, source="a bag-of-words MLP: 89.0 %"),
    cost="one fit for each value of C on one CPU core",
    variants={
        "nb": {
            "summary": "log-count ratios of 1- to 3-grams and logistic regression on IMDB: the bar that counts",
            "target": Target(value=0.915, source="Mesnil et al. 2015: 91.87 %"),
            "config": BagOfWords(
                weighting="naive-bayes", max_ngram=3, c=(0.01, 0.03, 0.1, 0.3, 1.0), validation_by="names"
            ),
        }
    },
)


def train(experiment: WordCounts, config: BagOfWords, root: Path, data_dir: str | None, fresh: bool) -> int:
    earlier = finished.own(root, experiment.name, VOCABULARY, fresh=fresh)
    if earlier is not None and not fresh:
        if BagOfWords.of_result(earlier, root / finished.RESULT) != config:
            raise UsageError(f"{root} holds a result of other options; --fresh replaces it, or name another --workdir")
        print(f"finished already in {root}; --fresh trains it again")
        return 0
    with finished.alone(root):
        return _fitted(experiment, config, root, data_dir)


def _fitted(experiment: WordCounts, config: BagOfWords, root: Path, data_dir: str | None) -> int:
    environment, start = environments.environment(), time.perf_counter()
    name, class_names, splits = sources.documents(config.documents(data_dir))
    model, c, tried = fit(config, splits, class_names)
    metrics = {split: scores(model, *splits[split]) for split in ("test", "validation", "train")}
    finished.begin(root)
    model.save(root)
    accuracy, target = metrics["test"]["accuracy"], experiment.target
    assert target is not None
    wall = time.perf_counter() - start
    result = {
        "experiment": experiment.name,
        "seed": 0,
        "metrics": metrics,
        "target": {"accuracy": target.value, "source": target.source, "reached": accuracy >= target.value},
        "chosen": {"c": c},
        "tried": tried,
        "parameters": model.kernel.size + model.bias.size,
        "data": {"name": name} | {split: len(labels) for split, (_, labels) in splits.items()},
        same_data.FIELD: same_data.fingerprint(splits),
        "device": _cpu(),
        "seconds": {"wall": wall, "compile": 0.0},
        "config": config.to_json(),
        **environment,
        "finished": environments.now(),
    }
    write_text(root / finished.RESULT, json.dumps(result, indent=2) + "\n")
    verdict = "reached" if result["target"]["reached"] else "MISSED"
    print(
        f"\n{experiment.name}: {experiment.summary}\n"
        f"  test accuracy {accuracy:.2%}, validation {metrics['validation']['accuracy']:.2%} with C {c:g}, "
        f"{wall:.0f} s; target {target.value:.2%}: {verdict}\n"
        f"result {root / 'result.json'}\n"
        f"next:\n  python -m experiments.{EXPERIMENT.name} predict --text 'A wonderful film.' --workdir {root}"
    )
    return 0


def evaluate(root: Path, split: str, data_dir: str | None, other_data: bool = False) -> int:
    model, result = Linear.load(root), finished.result(root, WordCounts)
    config = BagOfWords.of_result(result, root / finished.RESULT)
    _, splits = same_data.documents(config.documents(data_dir), model.class_names, root)
    now = same_data.fingerprint({split: splits[split]})
    same_data.check(root, result.get(same_data.FIELD), now, (split,), other_data=other_data)
    if split == "test":
        print("note: this looked at the test split; choose models by validation", file=sys.stderr)
    values = scores(model, *splits[split])
    print(json.dumps({"experiment": result["experiment"], "seed": 0, "split": split, **values}))
    return 0


def predict(root: Path, paths: Sequence[str], given: Sequence[str], json_lines: bool) -> int:
    model = Linear.load(root)
    return text_answers.predict(model.logits, model.class_names, paths, given, json_lines)


def _cpu() -> dict[str, Any]:
    import jax

    from rnnjax.training.parallel import DataParallel

    return DataParallel(jax.devices("cpu")[:1]).describe()


def _parse(arguments: list[str]) -> Callable[[], int]:
    variant, arguments = cli.taken(arguments, "--variant")
    experiment = EXPERIMENT if variant is None else EXPERIMENT.variant(variant)
    variants = "".join(f"--variant {name}: {EXPERIMENT.variant(name).summary}\n\n" for name in experiment.variants)
    folder = Path("runs") / experiment.name / "seed-0"

    def train_command(
        config: Annotated[BagOfWords, tyro.conf.arg(name="")] = experiment.config,
        workdir: Path = folder,
        data_dir: str | None = None,
        fresh: bool = False,
    ) -> Callable[[], int]:
        """Fit one model for each value of C, keep the best on validation, evaluate it on the test split.

        Args:
          config: What decides the result.
          workdir: Where the model and result.json are written.
          data_dir: TFDS data directory; unset: TFDS_DATA_DIR.
          fresh: Replace what is there.
        """
        return lambda: train(experiment, config, workdir, data_dir, fresh)

    verbs = {"train": train_command, **text_answers.commands(folder, evaluate, predict)}
    about = f"{experiment.summary}\n\n{variants}".rstrip()
    return command_line.parse(f"python -m experiments.{EXPERIMENT.name}", about, verbs, arguments)


if __name__ == "__main__":
    sys.exit(cli.run(_parse))
