"""From a text to windows of tokens, with the tokens that follow as targets."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rnnjax.data import cache, tfds, tokens
from rnnjax.data.corpus import CorpusData
from rnnjax.data.examples import Dataset, Examples
from rnnjax.data.plan import Streams
from rnnjax.data.text_windows import cut, decoded, text_of
from rnnjax.data.tokens import TOKENIZERS, UNKNOWN, Vocabulary
from rnnjax.data.window_preprocess import WindowPreprocess
from rnnjax.errors import DataError


def load(config: CorpusData) -> Dataset:
    """The windows of a text, in its order.

    Raises:
      DataError: if it cannot be read, or is too short to be cut into windows.
    """
    name, text = _text(config)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    content = {
        "kind": "corpus",
        "text": digest,
        "tokenizer": config.tokenizer,
        "tokenizer_version": tokens.VERSION,
        "vocabulary_size": config.vocabulary_size,
        "fractions": [config.validation_fraction, config.test_fraction],
        "refit": config.refit,
    }
    cached = cache.arrays(cache.folder(config.cache_dir), content, lambda: _encoded(text, config))
    vocabulary = Vocabulary(tuple(json.loads(bytes(cached["vocabulary"]))))
    ids = cached["ids"]
    held, tested = bounds(len(ids), config.validation_fraction, config.test_fraction)
    parts = {"train": ids[: tested if config.refit else held], "validation": ids[held:tested], "test": ids[tested:]}
    splits = {split: windows(part, config.window, f"{name}: {split}") for split, part in parts.items()}
    preprocess = WindowPreprocess(vocabulary, config.window, config.tokenizer)
    return Dataset(
        name,
        splits["train"],
        splits["validation"],
        splits["test"],
        preprocess,
        plan=Streams(),
        notes=tuple(notes(parts, refit=config.refit)),
    )


def bounds(count: int, validation: float, test: float) -> tuple[int, int]:
    """Where in so many tokens the validation part begins, and the test part."""
    tested = int(count * (1 - test))
    return round(count * (1 - test - validation)), tested


def windows(ids: np.ndarray, window: int, name: str = "the text") -> Examples:
    """Windows of a stream of token ids ``[M]`` to train on, see :func:`rnnjax.data.text_windows.cut`.

    Raises:
      DataError: if the stream is shorter than one window and the token that follows it.
    """
    if len(ids) <= window:
        raise DataError(
            f"{name} has {len(ids):,} tokens, and a window of {window} needs {window + 1}; "
            "give a longer text or a smaller --data.window"
        )
    return cut(ids, window)


def _text(config: CorpusData) -> tuple[str, str]:
    """The text and its name."""
    if config.path:
        path = Path(config.path).expanduser()
        return path.name, text_of(path)
    try:
        found = tfds.builder(config.name, config.data_dir)
    except DataError as error:
        raise DataError(f"{error}; or name a text file of your own by --data.path FILE.txt") from error
    if "text" not in found.info.features:
        raise DataError(f"{config.name} has no feature text; its features are {', '.join(found.info.features)}")
    parts = [part for part in ("train", "validation", "test") if part in found.info.splits]
    read = [document for part in parts for document in tfds.columns(found, part, ("text",))["text"]]
    return found.info.full_name, "".join(decoded(config.name, document) for document in read)


def _encoded(text: str, config: CorpusData) -> dict[str, np.ndarray]:
    """The ids of all tokens, and the vocabulary of the part that is trained on."""
    found = list(TOKENIZERS[config.tokenizer](text))
    held, tested = bounds(len(found), config.validation_fraction, config.test_fraction)
    trained = found[: tested if config.refit else held]
    if config.tokenizer == "bytes":
        vocabulary = Vocabulary.of_bytes()
    else:
        vocabulary = Vocabulary.fit([trained], config.vocabulary_size)
    index = {token: number for number, token in enumerate(vocabulary.words)}
    ids = np.fromiter((index.get(token, UNKNOWN) for token in found), np.int32, len(found))
    return {"ids": ids, "vocabulary": np.frombuffer(json.dumps(vocabulary.words).encode("ascii"), np.uint8)}


def notes(parts: dict[str, np.ndarray], *, refit: bool) -> Sequence[str]:
    """What a user should know of the ids ``[M]`` of each split, and of a validation part that is trained on too."""
    unknown = {split: int((part == UNKNOWN).sum()) for split, part in parts.items()}
    listed = [f"{count:,} of {len(parts[split]):,} {split}" for split, count in unknown.items() if count]
    said = [f"{', '.join(listed)} tokens are outside the vocabulary and count as one, the unknown"] if listed else []
    if (parts["train"] == parts["train"][0]).all():
        said.append("the training text is one token again and again: there is nothing to learn of it")
    return [*said, "the validation part is trained on too: validation tells nothing"] if refit else said
