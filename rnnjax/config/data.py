"""The section ``data``: where examples come from, and what is done to them in training."""

import dataclasses
import itertools
import os
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from rnnjax.config.checks import check, choice, positive, runtime


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where examples come from and how they are batched."""

    section: ClassVar[str] = "data"
    places: ClassVar[tuple[str, ...]] = ("data_dir",)
    """Fields that name a file or folder of data."""
    name: str
    """Data set: digits (embedded) or a TFDS name such as mnist or imdb_reviews."""
    batch_size: int = 128
    """Examples in one step, over all devices together."""
    validation_fraction: float = 0.1
    """Share of the training split that is held out, stratified by class, to choose the best checkpoint."""
    data_dir: str | None = runtime(None)
    """TFDS data directory; unset: TFDS_DATA_DIR, or else ~/tensorflow_datasets."""
    cache_dir: str | None = runtime(None)
    """Folder for decoded data; unset: RNNJAX_CACHE_DIR, or else ~/.cache/rnnjax."""
    workers: int = runtime(0)
    """Threads that decode image files, and images which are streamed; 0: one for each core, at most 16."""
    device_budget_mib: int = runtime(2048)
    """A split of at most this many MiB lives on the devices; a larger one is streamed from the host."""

    def __post_init__(self):
        positive(self, "batch_size")
        check(0 < self.validation_fraction < 1, self, "validation_fraction", "between 0 and 1")
        check(self.workers >= 0, self, "workers", "0 or more threads")
        check(self.device_budget_mib >= 0, self, "device_budget_mib", "0 or more MiB")

    def located(self) -> Self:
        """The same with absolute paths, which mean the same wherever they are read again."""
        given = {name: getattr(self, name) for name in self.places if getattr(self, name)}
        return dataclasses.replace(
            self, **{name: os.path.abspath(os.path.expanduser(path)) for name, path in given.items()}
        )


Padding = Literal["zeros", "reflect"]
Color = Literal["rgb", "grey"]
OnBadFile = Literal["refuse", "skip"]


@dataclass(frozen=True, kw_only=True)
class ImageData(DataConfig):
    """Images with one label each."""

    kind: ClassVar[str] = "image"
    max_shift: int = 0
    """Training images are shifted by up to this many pixels in each direction."""
    shift_padding: Padding = "zeros"
    """What moves in at the border: zeros, or the image reflected there."""
    max_rotation: float = 0.0
    """Training images are turned about their centre by up to this many degrees either way."""
    max_zoom: float = 0.0
    """Training images are scaled about their centre to between 1 - this and 1 + this times their size."""
    elastic: float = 0.0
    """Training images are distorted like rubber: standard deviation in pixels of how far each moves down and right."""
    elastic_sigma: float = 4.0
    """Smoothness of that distortion: standard deviation in pixels of the Gaussian over the displacements."""
    flip: bool = False
    """Every other training image, at random, is mirrored left to right."""
    cutout: int = 0
    """Side in pixels of a square, at a random place of each training image, that is set to the training mean."""
    crop_size: int = 0
    """Stream images of any size and bring them to this many pixels square: in training a random part of the
    image, flipped half the time; otherwise the center. 0: all images have one size."""
    crop_least_area: float = 0.08
    """Smallest share of an image's area that such a training crop shows."""
    test_split: str = "test"
    """The data set's split to test on, such as validation where the labels of test are not public."""

    def __post_init__(self):
        super().__post_init__()
        check(self.max_shift >= 0, self, "max_shift", "0 or more pixels")
        check(0 <= self.max_rotation <= 180, self, "max_rotation", "from 0 to 180 degrees")
        check(0 <= self.max_zoom < 1, self, "max_zoom", "0 or more and below 1")
        check(0 <= self.elastic < float("inf"), self, "elastic", "0 or more pixels, and finite")
        check(0 < self.elastic_sigma <= 100, self, "elastic_sigma", "above 0 and at most 100 pixels")
        check(self.cutout >= 0, self, "cutout", "0 or more pixels")
        choice(self, "shift_padding", Padding)
        check(self.crop_size >= 0, self, "crop_size", "0 or more pixels")
        check(0 < self.crop_least_area <= 1, self, "crop_least_area", "above 0 and at most 1")
        check(self.test_split != "train", self, "test_split", "another split than train")


@dataclass(frozen=True, kw_only=True)
class ImageFolderData(ImageData):
    """A folder of image files of any sizes, with one sub-folder a class."""

    kind: ClassVar[str] = "image_folder"
    name: str = "image_folder"
    """Name of the data set in results."""
    data_dir: str | None = runtime(None)
    """Folder with one sub-folder a class, or with the two sub-folders train and test of such folders."""
    height: int = 32
    """Height in pixels to which every image is resized."""
    width: int = 32
    """Width in pixels to which every image is resized."""
    color: Color = "rgb"
    """Whether images are read in color or in grey."""
    test_fraction: float = 0.2
    """Share of each class that is the test split, where there are no train and test sub-folders."""
    on_bad_file: OnBadFile = "refuse"
    """What to do about a file that is no readable image: refuse the folder, or skip the file and say so."""

    def __post_init__(self):
        super().__post_init__()
        positive(self, "height")
        positive(self, "width")
        check(0 < self.test_fraction < 1, self, "test_fraction", "between 0 and 1")
        choice(self, "color", Color)
        choice(self, "on_bad_file", OnBadFile)


Tokenizer = Literal["words", "plain-words", "characters", "bytes"]


@dataclass(frozen=True, kw_only=True)
class TextData(DataConfig):
    """Documents with one label each."""

    kind: ClassVar[str] = "text"
    tokenizer: Tokenizer = "words"
    """What a token is: a word in lower case (! ? . too); the same of a text without HTML, soft hyphens and other
    spellings that look alike (plain-words); a character; or a byte of UTF-8."""
    vocabulary_size: int = 20_000
    """Tokens in the vocabulary, the most frequent of the training documents, padding and unknown included.
    Bytes always have 258."""
    bucket_lengths: tuple[int, ...] = (200, 400)
    """Padded lengths, in tokens. The last is the longest document kept: of a longer one, the first quarter
    and the last three quarters of that many tokens. None given: chosen by the documents' lengths, at most 400
    words or 1,600 characters or bytes."""

    def __post_init__(self):
        super().__post_init__()
        choice(self, "tokenizer", Tokenizer)
        check(self.vocabulary_size >= 3, self, "vocabulary_size", "3 or more")
        lengths = self.bucket_lengths
        rising = all(a < b for a, b in itertools.pairwise(lengths))
        check(all(n > 0 for n in lengths) and rising, self, "bucket_lengths", "positive and rising")


@dataclass(frozen=True, kw_only=True)
class TextTable(TextData):
    """A user's own labelled documents."""

    kind: ClassVar[str] = "text_table"
    places: ClassVar[tuple[str, ...]] = ("data_dir", "path", "test_path")
    name: str = "text_table"
    """Not used: the data set is called by its file."""
    path: str = runtime("")
    """Your documents: .csv, .tsv or .jsonl, in UTF-8, or a folder with one sub-folder of .txt files a class."""
    test_path: str | None = runtime(None)
    """Likewise, to test on; unset: a part of --data.path, stratified by class, always the same."""
    test_fraction: float = 0.2
    """That part."""
    text_column: str | None = None
    """Column of the documents; unset: text, review, sentence, document, content, comment or message."""
    label_column: str | None = None
    """Column of the labels; unset: label, class, category, sentiment or target."""
    tokenizer: Tokenizer = "plain-words"
    """As for other texts, where the default is words."""
    bucket_lengths: tuple[int, ...] = ()
    """Padded lengths, in tokens, as for other texts; none given: chosen by the documents' lengths."""

    def __post_init__(self):
        super().__post_init__()
        check(0 < self.test_fraction < 1, self, "test_fraction", "between 0 and 1")
