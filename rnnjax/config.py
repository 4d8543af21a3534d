"""The configuration of a run: frozen dataclasses, checked when they are built, JSON in and out.

Every field's comment is its help text on the command line. A field (or a whole section) marked
``runtime`` may differ when a run is resumed; all others are the run's identity.
"""

import dataclasses
import itertools
import re
import types
import typing
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal, TypeVar

from rnnjax.errors import UsageError

_RUNTIME = {"runtime": True}


def _runtime(default: Any) -> Any:
    return field(default=default, metadata=_RUNTIME)


def _check(ok: bool, config: Any, name: str, wanted: str) -> None:
    if not ok:
        option = f"{config.section}.{name}".replace("_", "-")
        raise UsageError(f"--{option} must be {wanted}, got {getattr(config, name)!r}")


def _positive(config: Any, name: str) -> None:
    _check(getattr(config, name) > 0, config, name, "positive")


def _rate(config: Any, name: str) -> None:
    _check(0 <= getattr(config, name) < 1, config, name, "at least 0 and below 1")


def _choice(config: Any, name: str, choices: Any) -> None:
    allowed = typing.get_args(choices)
    _check(getattr(config, name) in allowed, config, name, f"one of {', '.join(allowed)}")


def _check_group(config: Any, group: str) -> None:
    pattern, _, factor = group.rpartition("=")
    try:
        re.compile(pattern)
        ok = bool(pattern) and 0 <= float(factor) < float("inf")
    except (re.error, ValueError):
        ok = False
    _check(ok, config, "groups", "REGULAR-EXPRESSION=FACTOR with a factor of 0 or more each")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where examples come from and how they are batched."""

    section: ClassVar[str] = "data"
    name: str
    """Data set: digits (embedded) or a TFDS name such as mnist or imdb_reviews."""
    batch_size: int = 128
    """Examples in one step, over all devices together."""
    validation_fraction: float = 0.1
    """Share of the training split that is held out, stratified by class, to choose the best checkpoint."""
    data_dir: str | None = _runtime(None)
    """TFDS data directory; unset: TFDS_DATA_DIR, or else ~/tensorflow_datasets."""
    cache_dir: str | None = _runtime(None)
    """Folder for decoded data; unset: RNNJAX_CACHE_DIR, or else ~/.cache/rnnjax."""
    workers: int = _runtime(0)
    """Threads that decode image files, and images which are streamed; 0: one for each core, at most 16."""
    device_budget_mib: int = _runtime(2048)
    """A split of at most this many MiB lives on the devices; a larger one is streamed from the host."""

    def __post_init__(self):
        _positive(self, "batch_size")
        _check(0 < self.validation_fraction < 1, self, "validation_fraction", "between 0 and 1")
        _check(self.workers >= 0, self, "workers", "0 or more threads")
        _check(self.device_budget_mib >= 0, self, "device_budget_mib", "0 or more MiB")


Padding = Literal["zeros", "reflect"]
WordDropout = Literal["tokens", "types"]
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
        _check(self.max_shift >= 0, self, "max_shift", "0 or more pixels")
        _check(0 <= self.max_rotation <= 180, self, "max_rotation", "from 0 to 180 degrees")
        _check(0 <= self.max_zoom < 1, self, "max_zoom", "0 or more and below 1")
        _check(self.cutout >= 0, self, "cutout", "0 or more pixels")
        _choice(self, "shift_padding", Padding)
        _check(self.crop_size >= 0, self, "crop_size", "0 or more pixels")
        _check(0 < self.crop_least_area <= 1, self, "crop_least_area", "above 0 and at most 1")
        _check(self.test_split != "train", self, "test_split", "another split than train")


@dataclass(frozen=True, kw_only=True)
class ImageFolderData(ImageData):
    """A folder of image files of any sizes, with one sub-folder a class."""

    kind: ClassVar[str] = "image_folder"
    name: str = "image_folder"
    """Name of the data set in results."""
    data_dir: str | None = _runtime(None)
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
        _positive(self, "height")
        _positive(self, "width")
        _check(0 < self.test_fraction < 1, self, "test_fraction", "between 0 and 1")
        _choice(self, "color", Color)
        _choice(self, "on_bad_file", OnBadFile)


Tokenizer = Literal["words", "characters", "bytes"]


@dataclass(frozen=True, kw_only=True)
class TextData(DataConfig):
    """Documents with one label each."""

    kind: ClassVar[str] = "text"
    tokenizer: Tokenizer = "words"
    """What a token is: a word in lower case (! ? . too), a character, or a byte of UTF-8."""
    vocabulary_size: int = 20_000
    """Tokens in the vocabulary, the most frequent of the training documents, padding and unknown included.
    Bytes always have 258."""
    bucket_lengths: tuple[int, ...] = (200, 400)
    """Padded lengths, in tokens. The last is the longest document kept: of a longer one, the first quarter
    and the last three quarters of that many tokens. None given: chosen by the documents' lengths, at most 400
    words or 1,600 characters or bytes."""

    def __post_init__(self):
        super().__post_init__()
        _choice(self, "tokenizer", Tokenizer)
        _check(self.vocabulary_size >= 3, self, "vocabulary_size", "3 or more")
        lengths = self.bucket_lengths
        rising = all(a < b for a, b in itertools.pairwise(lengths))
        _check(all(n > 0 for n in lengths) and rising, self, "bucket_lengths", "positive and rising")


@dataclass(frozen=True, kw_only=True)
class TextTable(TextData):
    """A user's own labelled documents."""

    kind: ClassVar[str] = "text_table"
    name: str = "text_table"
    """Not used: the data set is called by its file."""
    path: str = ""
    """Your documents: .csv, .tsv or .jsonl, in UTF-8, or a folder with one sub-folder of .txt files a class."""
    test_path: str | None = None
    """Likewise, to test on; unset: a part of --data.path, stratified by class, always the same."""
    test_fraction: float = 0.2
    """That part."""
    text_column: str | None = None
    """Column of the documents; unset: text, review, sentence, document, content, comment or message."""
    label_column: str | None = None
    """Column of the labels; unset: label, class, category, sentiment or target."""
    bucket_lengths: tuple[int, ...] = ()
    """Padded lengths, in tokens, as for other texts; none given: chosen by the documents' lengths."""

    def __post_init__(self):
        super().__post_init__()
        _check(0 < self.test_fraction < 1, self, "test_fraction", "between 0 and 1")


Cell = Literal["simple_rnn", "lstm", "gru"]
Dtype = Literal["float32", "bfloat16"]
Precision = Literal["default", "highest", "tensorfloat32", "bfloat16"]
Pooling = Literal["last", "mean", "max"]
Optimizer = Literal["sgd", "adam", "adamw"]
Schedule = Literal["constant", "cosine", "one-cycle", "plateau"]


@dataclass(frozen=True, kw_only=True)
class RecurrentModel:
    """What image and text classifiers share: a stack of recurrent layers and a pooled head."""

    section: ClassVar[str] = "model"
    least_layers: ClassVar[int] = 1
    cell: Cell = "lstm"
    """Recurrent cell."""
    features: tuple[int, ...] = (128,)
    """Hidden features of each layer (of each direction, if bidirectional), lowest layer first."""
    bidirectional: bool = False
    """Read each sequence in both directions and concatenate."""
    dropout: float = 0.0
    """Dropout rate between layers and before the classifier."""
    pooling: tuple[Pooling, ...] = ("last",)
    """What the classifier sees of the outputs over real steps; several are concatenated."""
    dtype: Dtype = "float32"
    """Dtype of the layers' computation; parameters, logits and loss are float32 in any case. bfloat16 is for
    accelerators: a CPU is slower with it."""
    precision: Precision = "default"
    """Precision of float32 products of matrices and convolutions on accelerators, in training and in all uses of
    the trained model: highest is float32; tensorfloat32 is TF32 on NVIDIA GPUs and three passes of bfloat16 on TPUs;
    bfloat16 is the fastest, TF32 on NVIDIA GPUs and one pass of bfloat16 on TPUs. default is JAX's own, which is the
    fastest too unless JAX_DEFAULT_MATMUL_PRECISION names another. A CPU computes in float32 in any case."""
    dense: tuple[int, ...] = ()
    """Features of hidden layers between the pooled outputs and the logits, each followed by ReLU."""

    def __post_init__(self):
        enough = len(self.features) >= self.least_layers and min(self.features, default=1) > 0
        _check(enough, self, "features", "positive, at least one layer")
        _rate(self, "dropout")
        _choice(self, "cell", Cell)
        _choice(self, "dtype", Dtype)
        _choice(self, "precision", Precision)
        kinds = typing.get_args(Pooling)
        known = bool(self.pooling) and set(self.pooling) <= set(kinds)
        _check(known, self, "pooling", f"at least one of {', '.join(kinds)}")
        _check(all(features > 0 for features in self.dense), self, "dense", "positive numbers of features")


@dataclass(frozen=True, kw_only=True)
class ImageModel(RecurrentModel):
    """An image, or the feature maps that convolutions make of it, read row by row.

    Without layers (``features=()``) nothing recurs: the classifier sees the feature maps pooled over all pixels.
    """

    kind: ClassVar[str] = "image"
    least_layers: ClassVar[int] = 0
    conv: tuple[int, ...] = ()
    """Channels of the 3x3 convolutions before the recurrence, each followed by ReLU."""
    conv_after: tuple[int, ...] = ()
    """Channels of 3x3 convolutions after it. They see the outputs at a row as that row of feature maps again, so
    that the recurrent features must be a multiple of its width; the classifier pools over all pixels."""
    convs_per_pool: int = 1
    """There is a 2x2 max pooling after every this many convolutions; 0 pools nothing."""
    pool_early: bool = False
    """Pool after the first of so many convolutions, before batch norm and ReLU, instead of after the last: the others
    then cost a fourth."""
    batch_norm: bool = False
    """Normalise each convolution's outputs over the batch before ReLU."""

    def __post_init__(self):
        super().__post_init__()
        for name in ("conv", "conv_after"):
            _check(all(c > 0 for c in getattr(self, name)), self, name, "positive numbers of channels")
        _check(self.convs_per_pool >= 0, self, "convs_per_pool", "0 or more")
        _check(bool(self.features or self.conv), self, "features", "positive, at least one layer")
        if not self.features:
            _check(not self.conv_after, self, "conv_after", "empty where there is no recurrent layer")
        if self.conv_after or not self.features:
            known = "last" not in self.pooling
            _check(known, self, "pooling", "of mean and max over pixels: there is no last pixel")


@dataclass(frozen=True, kw_only=True)
class TextModel(RecurrentModel):
    """A document read token by token, after an optional stack of convolutions."""

    kind: ClassVar[str] = "text"
    embedding_features: int = 128
    """Features of a token's embedding."""
    embedding_dropout: float = 0.0
    """Dropout rate on embedding features, one mask for all tokens of a document."""
    word_dropout: float = 0.0
    """Share of tokens that are replaced by the unknown one in training."""
    word_dropout_of: WordDropout = "tokens"
    """tokens: each token is drawn for itself; types: a document loses all occurrences of a token or none, so that a
    name which it repeats cannot be learned by heart from the others."""
    conv: tuple[int, ...] = ()
    """Channels of the convolutions over time before the recurrence, each followed by ReLU and max pooling."""
    conv_kernel: int = 5
    """Tokens that a kernel of these convolutions sees."""
    conv_pool: int = 4
    """Window and stride of the max pooling after each of them, in steps; 1 pools nothing."""

    def __post_init__(self):
        super().__post_init__()
        for name in ("embedding_features", "conv_kernel", "conv_pool"):
            _positive(self, name)
        _check(all(c > 0 for c in self.conv), self, "conv", "positive numbers of channels")
        _rate(self, "embedding_dropout")
        _rate(self, "word_dropout")
        _choice(self, "word_dropout_of", WordDropout)


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """Loss and optimizer."""

    section: ClassVar[str] = "optim"
    optimizer: Optimizer = "adamw"
    """Optimizer; sgd uses Nesterov momentum."""
    learning_rate: float = 1e-3
    """Peak learning rate."""
    schedule: Schedule = "one-cycle"
    """How the learning rate falls: not at all, along a cosine to 0, as one cycle (up for 30 % of the
    steps, then down along a cosine; Smith and Topin 2017), or whenever validation gets no better."""
    warmup_fraction: float = 0.0
    """Share of all steps over which the constant, cosine and plateau schedules rise linearly from 0."""
    plateau_factor: float = 0.1
    """The plateau schedule multiplies the learning rate by this."""
    plateau_patience: int = 5
    """The plateau schedule does so after this many epochs without a better validation, by accuracy and
    among equals by loss, and again after as many more."""
    plateau_least: float = 1e-3
    """Share of the learning rate below which the plateau schedule does not go."""
    momentum: float = 0.9
    """Momentum of sgd."""
    groups: tuple[str, ...] = ()
    """Parameters that learn faster or slower, as PATTERN=FACTOR: a regular expression, searched in a parameter's
    path such as recurrent/layers_0/cell/input_kernel, and what its learning rate is multiplied with; the first
    pattern that is found counts, and 0 freezes."""
    weight_decay: float = 0.0
    """Decoupled weight decay of adamw (L2 penalty's gradient for sgd and adam); biases and norms are exempt."""
    clip_norm: float = 1.0
    """Global norm to which gradients are clipped; 0 turns it off."""
    label_smoothing: float = 0.0
    """Probability mass spread evenly over all classes in the training loss."""
    ema_decay: float = 0.0
    """Decay a step of the exponential moving average of the parameters that is evaluated and saved for
    prediction; 0 turns it off."""

    def __post_init__(self):
        _choice(self, "optimizer", Optimizer)
        _choice(self, "schedule", Schedule)
        _check(0 < self.learning_rate < float("inf"), self, "learning_rate", "positive and finite")
        for name in ("warmup_fraction", "momentum", "label_smoothing", "ema_decay"):
            _rate(self, name)
        _check(0 < self.plateau_factor < 1, self, "plateau_factor", "between 0 and 1")
        _positive(self, "plateau_patience")
        _check(0 <= self.plateau_least <= 1, self, "plateau_least", "between 0 and 1")
        for group in self.groups:
            _check_group(self, group)
        _check(self.weight_decay >= 0, self, "weight_decay", "0 or more")
        _check(self.clip_norm >= 0, self, "clip_norm", "0 or more")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Length of the training and what it leaves behind."""

    section: ClassVar[str] = "train"
    epochs: int = 10
    """Passes over the training split."""
    patience: int = 0
    """Stop after this many epochs without a better validation, by accuracy and among equals by loss; 0 never
    stops early."""
    steps_per_call: int = 16
    """Most steps in one compiled call. Progress, Ctrl-C and checkpoints happen between calls, so fewer answer sooner;
    more save what a call itself costs, which counts where a step is very short."""
    until_accuracy: float | None = None
    """Stop as soon as validation accuracy, 0..1, reaches this, and say after how many seconds and examples."""
    test: bool = _runtime(True)
    """Evaluate the best checkpoint on the test split at the end. Without it a run leaves that split alone, as a search
    must that chooses by validation; the same command with it tests the finished run."""
    save_minutes: float = _runtime(10.0)
    """Minutes between checkpoints within an epoch; every epoch's end saves one in any case."""
    compilation_cache: bool = _runtime(True)
    """Keep compiled programs for later runs, in the folder xla of RNNJAX_CACHE_DIR, or else of ~/.cache/rnnjax;
    it may be deleted at any time."""

    def __post_init__(self):
        _positive(self, "epochs")
        _positive(self, "steps_per_call")
        _check(self.patience >= 0, self, "patience", "0 or more epochs")
        reachable = self.until_accuracy is None or 0 < self.until_accuracy <= 1
        _check(reachable, self, "until_accuracy", "above 0 and at most 1")
        _check(self.save_minutes > 0, self, "save_minutes", "positive")


@dataclass(frozen=True, kw_only=True)
class ParallelConfig:
    """Devices."""

    section: ClassVar[str] = "parallel"
    cpu_devices: int | None = None
    """Devices to split the CPU into when there is no accelerator; unset: at most one a core, as many as the batch
    gives enough work to."""
    distributed: bool = False
    """Join the other hosts of this run by jax.distributed.initialize() before anything else."""

    def __post_init__(self):
        if self.cpu_devices is not None:
            _positive(self, "cpu_devices")


DataT = TypeVar("DataT", bound=DataConfig)
ModelT = TypeVar("ModelT", bound=RecurrentModel)


@dataclass(frozen=True, kw_only=True)
class Config(Generic[DataT, ModelT]):
    """All that decides what a run computes."""

    data: DataT
    model: ModelT
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()
    parallel: ParallelConfig = field(default=ParallelConfig(), metadata=_RUNTIME)


_SECTIONS: dict[str, tuple[type, ...]] = {
    "data": (ImageData, ImageFolderData, TextData, TextTable),
    "model": (ImageModel, TextModel),
    "optim": (OptimConfig,),
    "train": (TrainConfig,),
    "parallel": (ParallelConfig,),
}


def to_json(config: Config) -> dict[str, Any]:
    """The configuration as plain JSON values; ``data`` and ``model`` say their ``kind``."""
    out: dict[str, Any] = {}
    for name in _SECTIONS:
        section = getattr(config, name)
        kind = {"kind": section.kind} if hasattr(section, "kind") else {}
        out[name] = kind | {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(section).items()}
    return out


def from_json(data: dict[str, Any]) -> Config:
    """The inverse of :func:`to_json`.

    Raises:
      UsageError: at a section or field that is missing or does not exist, or a value that is not allowed.
    """
    unknown = set(data) - set(_SECTIONS)
    if unknown:
        raise UsageError(f"unknown section {sorted(unknown)[0]!r} in the configuration")
    for name in ("data", "model"):
        if name not in data:
            raise UsageError(f"section {name!r} is missing in the configuration")
    return Config(**{name: _section(name, data[name]) for name in _SECTIONS if name in data})


def _section(name: str, given: Any) -> Any:
    if not isinstance(given, dict):
        raise UsageError(f"{name}: {given!r} is not a valid value")
    values = dict(given)
    kind = values.pop("kind", None)
    classes = [c for c in _SECTIONS[name] if getattr(c, "kind", None) == kind]
    if not classes:
        raise UsageError(f"{name}.kind: {kind!r} is not known here")
    hints = typing.get_type_hints(classes[0])
    fields = dataclasses.fields(classes[0])
    for key, value in values.items():
        if key not in {f.name for f in fields}:
            raise UsageError(f"{name}.{key}: no such field")
        if isinstance(value, list):
            values[key] = tuple(value)
        if not _fits(values[key], hints[key]):
            raise UsageError(f"{name}.{key}: {value!r} is not a valid value")
    for needed in fields:
        if needed.default is dataclasses.MISSING and needed.name not in values:
            raise UsageError(f"{name}.{needed.name} is missing")
    return classes[0](**values)


def _fits(value: Any, hint: Any) -> bool:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return value in args
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(v, args[0]) for v in value)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, a) for a in args)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def identity_differences(ours: Config, theirs: Config) -> list[str]:
    """The identity fields in which two configurations differ, as ``section.field: ours, not theirs``."""
    differences = []
    a, b = to_json(ours), to_json(theirs)
    for section_field in dataclasses.fields(Config):
        name = section_field.name
        if section_field.metadata.get("runtime"):
            continue
        runtime = {f.name for f in dataclasses.fields(getattr(ours, name)) if f.metadata.get("runtime")}
        for key in sorted((set(a[name]) | set(b[name])) - runtime):
            left, right = a[name].get(key), b[name].get(key)
            if left != right:
                differences.append(f"{name}.{key}: {left!r}, not {right!r}")
    return differences
