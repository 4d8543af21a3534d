"""The bar for recurrent text classifiers: TF-IDF and logistic regression, on the same data and the same splits.

scikit-learn counts the words of our tokenizer; C is chosen on the validation split. Order plays no part but within
--max-ngram words.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from experiments.linear import Linear, scores
from rnnjax import cli
from rnnjax.bars.linear import by_validation
from rnnjax.bars.ngrams import analyzer
from rnnjax.config import TextData
from rnnjax.data import sources
from rnnjax.errors import DataError, UsageError
from rnnjax.experiment import Listed, Target
from rnnjax.files import write_text
from rnnjax.runs import environment as environments

EXPERIMENT = Listed(
    name="bag_of_words",
    summary="TF-IDF and logistic regression (scikit-learn) on IMDB: the bar",
    target=Target(value=0.89, source="a bag-of-words MLP: 89.0 %"),
    cost="one fit for each value of C on one CPU core; its time is in its result files",
)


@dataclass(frozen=True, kw_only=True)
class BagOfWords:
    """What decides the result."""

    data: str = "imdb_reviews"
    """TFDS name."""
    validation_fraction: float = 0.1
    """Share of the training split that is held out, as for the recurrent models."""
    max_ngram: int = 1
    """Longest run of words that is counted."""
    min_documents: int = 2
    """Training documents that a word must occur in."""
    c: tuple[float, ...] = (0.3, 1.0, 3.0, 10.0)
    """Inverse strengths of the L2 penalty that are tried."""

    def __post_init__(self):
        if not self.c or min(self.c) <= 0:
            raise UsageError(f"--c needs positive values, at least one, got {self.c}")
        if self.max_ngram < 1 or self.min_documents < 1:
            raise UsageError("--max-ngram and --min-documents must be 1 or more")


def fit(
    config: BagOfWords, splits: dict[str, Any], class_names: Sequence[str]
) -> tuple[Linear, float, list[dict[str, float]]]:
    """The model of the best C by validation accuracy, that C, and the accuracy of each."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    documents, labels = splits["train"]
    vectorizer = TfidfVectorizer(
        analyzer=analyzer("words", config.max_ngram),
        min_df=config.min_documents,
        sublinear_tf=True,
    )
    train, validation = vectorizer.fit_transform(documents), vectorizer.transform(splits["validation"][0])

    def fitted(c: float) -> Any:
        return LogisticRegression(C=c, max_iter=1000).fit(train, labels)

    def accuracy(model: Any) -> float:
        found = float(model.score(validation, splits["validation"][1]))
        print(f"C {model.C:g}: validation accuracy {found:.2%}", flush=True)
        return found

    c, model, every = by_validation(config.c, fitted, accuracy)
    tried = [{"c": c, "validation_accuracy": value} for c, value in every]
    index = {term: i for i, term in enumerate(vectorizer.get_feature_names_out().tolist())}
    made = Linear(index, vectorizer.idf_, model.coef_.T, model.intercept_, tuple(class_names), config.max_ngram)
    return made, c, tried


def train(config: BagOfWords, root: Path, data_dir: str | None, fresh: bool) -> int:
    if (root / "result.json").is_file() and not fresh:
        result = json.loads((root / "result.json").read_text(encoding="utf-8"))
        if result["config"] != to_json(config):
            raise UsageError(f"{root} holds a result of other options; --fresh replaces it, or name another --workdir")
        print(f"finished already in {root}; --fresh trains it again")
        return 0
    environment, start = environments.environment(), time.perf_counter()
    name, class_names, splits = sources.documents(_data(config, data_dir))
    model, c, tried = fit(config, splits, class_names)
    metrics = {split: scores(model, *splits[split]) for split in ("test", "validation", "train")}
    root.mkdir(parents=True, exist_ok=True)
    model.save(root)
    accuracy, target = metrics["test"]["accuracy"], EXPERIMENT.target
    assert target is not None
    wall = time.perf_counter() - start
    result = {
        "experiment": EXPERIMENT.name,
        "seed": 0,
        "metrics": metrics,
        "target": {"accuracy": target.value, "source": target.source, "reached": accuracy >= target.value},
        "chosen": {"c": c},
        "tried": tried,
        "parameters": model.kernel.size + model.bias.size,
        "data": {"name": name} | {split: len(labels) for split, (_, labels) in splits.items()},
        "device": _cpu(),
        "seconds": {"wall": wall, "compile": 0.0},
        "config": to_json(config),
        **environment,
        "finished": environments.now(),
    }
    write_text(root / "result.json", json.dumps(result, indent=2) + "\n")
    verdict = "reached" if result["target"]["reached"] else "MISSED"
    print(
        f"\n{EXPERIMENT.name}: {EXPERIMENT.summary}\n"
        f"  test accuracy {accuracy:.2%}, validation {metrics['validation']['accuracy']:.2%} with C {c:g}, "
        f"{wall:.0f} s; target {target.value:.2%}: {verdict}\n"
        f"result {root / 'result.json'}\n"
        f"next:\n  python -m experiments.{EXPERIMENT.name} predict --text 'A wonderful film.' --workdir {root}"
    )
    return 0


def evaluate(root: Path, split: str, data_dir: str | None) -> int:
    model, result = Linear.load(root), json.loads((root / "result.json").read_text(encoding="utf-8"))
    _, _, splits = sources.documents(_data(BagOfWords(**_options(result["config"])), data_dir))
    if split == "test":
        print("note: this looked at the test split; choose models by validation", file=sys.stderr)
    values = scores(model, *splits[split])
    print(json.dumps({"experiment": EXPERIMENT.name, "seed": 0, "split": split, **values}))
    return 0


def predict(root: Path, paths: Sequence[str], given: Sequence[str], json_lines: bool) -> int:
    from rnnjax.data.text_inputs import text_inputs
    from rnnjax.runs.answering import Prediction
    from rnnjax.runs.answers import write
    from rnnjax.tasks.metrics import class_probabilities

    inputs = text_inputs(given, paths, sys.stdin)
    if not given and not paths:
        raise UsageError("nothing to predict: give --text LINE, text files or -")
    model = Linear.load(root)

    def answers() -> Iterator[Prediction]:
        for name, read in inputs:
            try:
                probabilities = class_probabilities(model.logits([read()]))[0]
            except DataError as error:
                yield Prediction(name, error=str(error))
                continue
            best = int(probabilities.argmax())
            yield Prediction(name, {"label": model.class_names[best], "probability": float(probabilities[best])})

    return write(answers(), EXPERIMENT.task, "jsonl" if json_lines else "plain", None)


def to_json(config: BagOfWords) -> dict[str, Any]:
    """The options as plain JSON values."""
    return {"kind": EXPERIMENT.name, **asdict(config), "c": list(config.c)}


def _options(stored: dict[str, Any]) -> dict[str, Any]:
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in stored.items() if name != "kind"
    }


def _data(config: BagOfWords, data_dir: str | None) -> TextData:
    return TextData(name=config.data, validation_fraction=config.validation_fraction, data_dir=data_dir)


def _cpu() -> dict[str, Any]:
    import jax

    from rnnjax.training.parallel import DataParallel

    return DataParallel(jax.devices("cpu")[:1]).describe()


def _parse(arguments: list[str]) -> Callable[[], int]:
    folder = Path("runs") / EXPERIMENT.name / "seed-0"

    def train_command(
        config: Annotated[BagOfWords, tyro.conf.arg(name="")] = BagOfWords(),
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
        return lambda: train(config, workdir, data_dir, fresh)

    def evaluate_command(
        workdir: Path = folder, split: cli.SplitName = "validation", data_dir: str | None = None
    ) -> Callable[[], int]:
        """Evaluate on a whole split.

        Args:
          workdir: Folder of the trained model.
          split: Split to evaluate on.
          data_dir: TFDS data directory; unset: TFDS_DATA_DIR.
        """
        return lambda: evaluate(workdir, split, data_dir)

    def predict_command(
        inputs: Annotated[tuple[str, ...], tyro.conf.Positional] = (),
        workdir: Path = folder,
        text: tuple[str, ...] = (),
        json_lines: bool = False,
    ) -> Callable[[], int]:
        """Predict the class of documents.

        Args:
          inputs: Text files, tables and folders of them, or - for lines of stdin.
          workdir: Folder of the trained model.
          text: Documents given on the command line.
          json_lines: Print one JSON object an input.
        """
        return lambda: predict(workdir, inputs, text, json_lines)

    return tyro.extras.subcommand_cli_from_dict(
        {"train": train_command, "evaluate": evaluate_command, "predict": predict_command},
        prog=f"python -m experiments.{EXPERIMENT.name}",
        description=f"{EXPERIMENT.summary}\n\n{cli.EXIT_CODES}",
        args=cli.with_command(arguments),
        config=(tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff),
    )


if __name__ == "__main__":
    sys.exit(cli.run(_parse))
