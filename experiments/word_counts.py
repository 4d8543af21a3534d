"""Linear models of word counts by scikit-learn: what decides them, and how they are fitted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from experiments.linear import Linear
from rnnjax.bars import ngrams
from rnnjax.bars.linear import by_validation
from rnnjax.config import TextData
from rnnjax.data.documents import ValidationBy
from rnnjax.errors import RunError, UsageError
from rnnjax.experiment import Listed
from rnnjax.tasks.metrics import class_probabilities

Weighting = Literal["tf-idf", "naive-bayes"]


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
    weighting: Weighting = "tf-idf"
    """What a count becomes: its logarithm times the inverse document frequency, or the log-count ratio of naive Bayes
    where the word occurs at all."""
    validation_by: ValidationBy = "rows"
    """What is held out: rows, or whole groups of documents that share rare names."""

    def __post_init__(self):
        if not self.c or min(self.c) <= 0:
            raise UsageError(f"--c needs positive values, at least one, got {self.c}")
        if self.max_ngram < 1 or self.min_documents < 1:
            raise UsageError("--max-ngram and --min-documents must be 1 or more")

    def documents(self, data_dir: str | None) -> TextData:
        """The section that loads the documents and cuts them as for the recurrent models."""
        return TextData(
            name=self.data,
            validation_fraction=self.validation_fraction,
            validation_by=self.validation_by,
            data_dir=data_dir,
        )

    def to_json(self) -> dict[str, Any]:
        """The options as plain JSON values."""
        return {"kind": "bag_of_words", **asdict(self), "c": list(self.c)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "BagOfWords":
        """The inverse of :meth:`to_json`; an option that an earlier version did not have is at its default."""
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()
        }
        return cls(**{name: value for name, value in given.items() if name != "kind"})

    @classmethod
    def of_result(cls, result: Mapping[str, Any], path: Path) -> "BagOfWords":
        """What decided the result in a file; raises RunError if that does not say it."""
        try:
            return cls.from_json(result["config"])
        except (KeyError, TypeError, AttributeError, ValueError, UsageError) as error:
            said = "there is none" if isinstance(error, KeyError) else error
            said = f"{path}: its config is none of word counts ({said})"
            raise RunError(f"{said}; train it again, with --fresh") from error


@dataclass(frozen=True, kw_only=True)
class WordCounts(Listed):
    """A model of word counts in the lists and tables of experiments; what decides it is ``config``."""

    config: BagOfWords = BagOfWords()


def fit(
    config: BagOfWords, splits: Mapping[str, Any], class_names: Sequence[str]
) -> tuple[Linear, float, list[dict[str, float]]]:
    """The model of the best C by validation accuracy, that C, and the accuracy of each."""
    documents, labels = splits["train"]
    vectorizer = (_tf_idf if config.weighting == "tf-idf" else _occurrence)(config)
    train, validation = vectorizer.fit_transform(documents), vectorizer.transform(splits["validation"][0])
    fitter = _logistic if config.weighting == "tf-idf" else _naive_bayes
    fitted = fitter(train, labels, len(class_names))

    def accuracy(model: ngrams.Weighed) -> float:
        probabilities = class_probabilities(validation @ model.kernel + model.bias)
        found = float((probabilities.argmax(-1) == splits["validation"][1]).mean())
        print(f"validation accuracy {found:.2%}", flush=True)
        return found

    def announced(c: float) -> ngrams.Weighed:
        print(f"C {c:g}: ", end="", flush=True)
        return fitted(c)

    c, model, every = by_validation(config.c, announced, accuracy)
    tried = [{"c": c, "validation_accuracy": value} for c, value in every]
    index = {term: i for i, term in enumerate(vectorizer.get_feature_names_out().tolist())}
    idf = getattr(vectorizer, "idf_", None)
    return Linear(index, idf, model.kernel, model.bias, tuple(class_names), config.max_ngram), c, tried


def _tf_idf(config: BagOfWords) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        analyzer=ngrams.analyzer("words", config.max_ngram), min_df=config.min_documents, sublinear_tf=True
    )


def _occurrence(config: BagOfWords) -> Any:
    from sklearn.feature_extraction.text import CountVectorizer

    wide: Any = np.float64
    counted = ngrams.analyzer("words", config.max_ngram)
    return CountVectorizer(analyzer=counted, binary=True, min_df=config.min_documents, dtype=wide)


def _logistic(features: Any, labels: np.ndarray, classes: int) -> Callable[[float], ngrams.Weighed]:
    from sklearn.linear_model import LogisticRegression

    del classes

    def fitted(c: float) -> ngrams.Weighed:
        model = LogisticRegression(C=c, max_iter=1000).fit(features, labels)
        return ngrams.Weighed(model.coef_.T, model.intercept_)

    return fitted


def _naive_bayes(features: Any, labels: np.ndarray, classes: int) -> Callable[[float], ngrams.Weighed]:
    columns = 2 * np.eye(classes)[labels] - 1
    return lambda c: ngrams.fitted(features, columns, c)
