"""From raw input to a model's input: the contract. A preprocessing is saved beside the checkpoints as plain JSON."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from rnnjax.data import given
from rnnjax.data.reading import Input
from rnnjax.data.spec import Shape, Spec, nested
from rnnjax.errors import DataError, RnnjaxError, UsageError
from rnnjax.files import read_json, write_text


@dataclass(frozen=True)
class Preprocess:
    """Arrays as they are. Another preprocessing overrides what it does otherwise.

    Attributes:
      kind: what a saved one is called.
      wanted: what ``predict`` takes, in words.
      option: of the command line that takes an :meth:`example`.
      rows: what an example is called where they are counted.
      never: ids of tokens that a language model is not to answer with.
      read_as: dtype in which inputs are stored that are read from files; None: as the model's arguments are.
    """

    kind: ClassVar[str] = "arrays"
    wanted: ClassVar[str] = "arrays, by rnnjax.load(folder)(arrays)"
    option: ClassVar[str] = "--text"
    rows: ClassVar[str] = "examples"
    never: ClassVar[tuple[int, ...]] = ()
    read_as: ClassVar[str | None] = None

    @property
    def spec(self) -> Spec:
        """What goes into a model and is to come out; a data set may say it in its place."""
        raise UsageError(f"{type(self).__name__} does not tell a model's inputs; give the data set a Spec")

    def stored(self, spec: Spec) -> dict[str, Shape]:
        """What :meth:`encode` gives for each input of a specification, as a batch of one example."""
        return {name: Shape(like.shape, np.dtype(self.read_as or like.dtype)) for name, like in spec.inputs.items()}

    def encode(self, raw: Any) -> dict[str, np.ndarray]:
        """Raw inputs as they are stored, ``[N, ...]`` by name, ``lengths`` among them where rows differ in length.

        Raises:
          DataError: if they are not of this kind.
        """
        lengths = raw.get("lengths") if isinstance(raw, Mapping) else None
        inputs = {name: part for name, part in raw.items() if name != "lengths"} if isinstance(raw, Mapping) else raw
        arrays, lengths, _ = given.stacked(inputs, lengths)
        return arrays if lengths is None else {**arrays, "lengths": lengths}

    def on_device(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Stored arrays of a batch as a model takes them, inside or outside a compiled step."""
        return dict(batch)

    def __call__(self, raw: Any) -> dict[str, Any]:
        """A model's arguments for raw inputs."""
        return nested(self.on_device(self.encode(raw)))

    def read(self, paths: Sequence[str], texts: Sequence[str], stdin: Any) -> Iterable[Input]:
        """The inputs that a command line names: files and folders, and documents.

        Raises:
          UsageError: if it names what this kind of model does not read.
        """
        raise UsageError(f"predict reads no files of this kind of data; give {self.wanted}")

    @property
    def padded_lengths(self) -> tuple[int, ...]:
        """Rising lengths to which rows with ``lengths`` may be cut where all of a batch are so short; none: to none."""
        return ()

    def unknown(self, stored: Mapping[str, Any]) -> np.ndarray | None:
        """Of texts, as they are stored, the share of each one's tokens that no training text had, ``[N]``.

        NaN where there is no token; None where the inputs are no texts.
        """
        del stored
        return None

    def by_lines(self) -> Self:
        """The same, for which a text file has an input a line.

        Raises:
          UsageError: if texts are not what this reads.
        """
        raise UsageError(f"--lines is for models of texts; give {self.wanted}")

    def labelled(self, path: str | Path) -> Any:
        """The labelled examples of a file or folder, an :class:`rnnjax.data.Examples`, as training stores them.

        Raises:
          DataError: if it cannot be read, or does not fit what the model was trained on.
          UsageError: if files of this kind of data are not read.
        """
        raise UsageError(f"{path}: there are no labelled files of this kind of data")

    def answered(self, raw: Any, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """A row of an answer with what its input, as it was read, tells of it."""
        del raw
        return row

    def example(self) -> str:
        """What a command line may give ``predict`` beside sample files."""
        return ""

    def prompt(self, text: str) -> np.ndarray:
        """The token ids ``[T]`` of a text that a language model is to go on with.

        Raises:
          UsageError: if texts are not what this reads.
        """
        raise UsageError("this model's preprocessing knows no texts: hand over token ids [B, T], in Python")

    def text(self, ids: Any) -> str:
        """The text of token ids ``[T]``, where :meth:`prompt` reads texts."""
        raise UsageError("this model's preprocessing knows no texts: it cannot show token ids as one")

    def joiner(self) -> Callable[..., str]:
        """From the ids of a text, given part by part, to what each part adds; ``final=True`` with the last."""
        return lambda ids, final=False: self.text(ids)

    def save_samples(self, dataset: Any, texts: Sequence[str], folder: Path) -> None:
        """Leaves a few inputs to try prediction on; ``texts`` are documents of the experiment's own."""

    def reads_alike(self, other: "Preprocess") -> bool:
        """Whether another data set's inputs are of the same kind, so that :meth:`adopted` gives what a model reads."""
        return self == other

    def adopted(self, dataset: Any) -> Any:
        """A data set that reads alike as this preprocessing would have stored it, such as by its own statistics."""
        return replace(dataset, preprocess=self)

    def to_json(self) -> dict[str, Any]:
        """As JSON values, ``kind`` among them."""
        return {"kind": self.kind}

    def identity(self) -> dict[str, Any]:
        """As JSON values, see :func:`identity_of`; it tells runs apart."""
        return identity_of(self.to_json())

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`; raises ValueError, KeyError or TypeError at what is none."""
        del values
        return cls()


def identity_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON values of a preprocessing but for ``reading``: how files are read changes nothing of what is in them."""
    return {name: value for name, value in values.items() if name != "reading"}


def save(preprocess: Preprocess, path: Path) -> None:
    """Writes a preprocessing as JSON."""
    write_text(path, json.dumps(preprocess.to_json(), ensure_ascii=False) + "\n")


def load(path: Path, kinds: Sequence[type[Preprocess]] = ()) -> Preprocess:
    """Reads what :func:`save` wrote.

    Args:
      path: of the file.
      kinds: preprocessings that are not of this package.

    Raises:
      DataError: if the file is missing or is not one of these.
    """
    try:
        return restored(read_json(path, "a preprocessing"), kinds)
    except (RnnjaxError, ValueError, KeyError, TypeError, OverflowError) as error:
        said = f"{error} is missing" if isinstance(error, KeyError) else error
        raise DataError(f"{path}: not a readable preprocessing ({said})") from error


def restored(data: Mapping[str, Any], kinds: Sequence[type[Preprocess]] = ()) -> Preprocess:
    """The preprocessing that :meth:`Preprocess.to_json` described.

    Raises:
      ValueError, KeyError, TypeError, OverflowError or an error of this package: at what is none.
    """
    kind = next((kind for kind in (*kinds, *_kinds()) if kind.kind == data["kind"]), None)
    if kind is None:
        raise ValueError(f"it is of kind {data['kind']!r}, which is not of this package; hand over its experiment")
    return kind.from_json(data)


def _kinds() -> tuple[type[Preprocess], ...]:
    from rnnjax.data.forecast_preprocess import ForecastPreprocess
    from rnnjax.data.group_words import GroupWordsPreprocess
    from rnnjax.data.image_preprocess import ImagePreprocess
    from rnnjax.data.pair_preprocess import PairPreprocess
    from rnnjax.data.sequence_preprocess import SequencePreprocess
    from rnnjax.data.string_preprocess import StringPreprocess
    from rnnjax.data.text_preprocess import TextPreprocess
    from rnnjax.data.window_preprocess import WindowPreprocess

    texts = TextPreprocess, GroupWordsPreprocess, PairPreprocess, WindowPreprocess
    images = ImagePreprocess, StringPreprocess
    return ForecastPreprocess, *images, SequencePreprocess, *texts, Preprocess


def strings(data: Mapping[str, Any], name: str, least: int) -> tuple[str, ...]:
    """A field of a saved preprocessing that is a list of at least so many strings."""
    values = data[name]
    ok = isinstance(values, list) and len(values) >= least and all(isinstance(value, str) for value in values)
    require(ok, name, values)
    return tuple(values)


def require(ok: bool, name: str, value: Any) -> None:
    """Raises ValueError where a field of a saved preprocessing cannot be what it is."""
    if not ok:
        raise ValueError(f"{name} cannot be {str(value)[:60]}")


def one_where_constant(std: np.ndarray, mean: np.ndarray, count: int) -> np.ndarray:
    """Standard deviations to divide by: 1 in place of one that is 0, or nothing but the rounding of a constant.

    As scikit-learn's StandardScaler does it, by the error of a variance that is computed in two passes (Chan, Golub &
    LeVeque 1983, "Algorithms for computing the sample variance"): ``count * eps * var + (count * eps * mean)^2``.

    Args:
      std, mean: one value a channel, computed in float64.
      count: how many values each was computed from.
    """
    error = count * np.finfo(np.float64).eps
    return np.where(std**2 <= error * std**2 + (error * mean) ** 2, 1.0, std)
