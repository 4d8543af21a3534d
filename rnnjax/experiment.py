"""What an experiment is: data, a model, a task and how it is trained, with a target."""

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from rnnjax.config import Config, OptimConfig, ParallelConfig, TrainConfig
from rnnjax.config.checks import check
from rnnjax.config.run import Kinds, classes_within, is_section
from rnnjax.data.adding import AddingData as AddingData
from rnnjax.data.addition import AdditionData as AdditionData
from rnnjax.data.aeon_sets import AeonData as AeonData
from rnnjax.data.arrays import Arrays as Arrays
from rnnjax.data.corpus import CorpusData as CorpusData
from rnnjax.data.corpus import DocumentsCorpus as DocumentsCorpus
from rnnjax.data.digit_strings import DigitStringsData as DigitStringsData
from rnnjax.data.documents import SelfTrainingText as SelfTrainingText
from rnnjax.data.documents import TextData as TextData
from rnnjax.data.documents import TextTable as TextTable
from rnnjax.data.ett import EttData as EttData
from rnnjax.data.forecast_table import ForecastTable as ForecastTable
from rnnjax.data.images import ImageData as ImageData
from rnnjax.data.images import ImageFolderData as ImageFolderData
from rnnjax.data.pair_config import PairData as PairData
from rnnjax.data.pronunciations import PronunciationData as PronunciationData
from rnnjax.data.sequence_table import SequenceTable as SequenceTable
from rnnjax.data.spoken_digits import SpokenDigits as SpokenDigits
from rnnjax.data.state_tracking import StateTrackingData as StateTrackingData
from rnnjax.errors import UsageError
from rnnjax.models.config import ImageModel as ImageModel
from rnnjax.models.config import LanguageModel as LanguageModel
from rnnjax.models.config import PretrainedTextModel as PretrainedTextModel
from rnnjax.models.config import SequenceModel as SequenceModel
from rnnjax.models.config import TextModel as TextModel
from rnnjax.models.encoder_decoder_config import EncoderDecoderModel as EncoderDecoderModel
from rnnjax.models.forecast_config import ForecastModel as ForecastModel
from rnnjax.models.side_inputs_config import SideInputTextModel as SideInputTextModel
from rnnjax.tasks import TASKS, Classification, Task

_SECTIONS = [part for part in list(globals().values()) if isinstance(part, type) and "kind" in vars(part)]
KINDS: Kinds = {
    name: tuple(cls for cls in _SECTIONS if getattr(cls, "section", "") == name) for name in ("data", "model")
}
"""The sections that are imported above and have a ``kind``: those of this package, which a work folder can name."""


@dataclass(frozen=True)
class Target:
    """What an experiment should reach on the test split, in the mean over its seeds.

    Attributes:
      value: of the task's headline metric, such as accuracy in 0..1.
      source: where the figure comes from.
    """

    value: float
    source: str
    judged: ClassVar[bool] = True
    """Whether a result is said to have reached or missed it."""

    def shown(self, task: Task) -> str:
        """The value as the task's headline is written, with as many digits as it has."""
        percent = task.headline.shown.endswith("%}")
        return f"{100 * self.value:.4g}%" if percent else f"{self.value:.4g}"

    @property
    def compared(self) -> "Compared":
        """The same, of what a model is compared with."""
        return Compared(self.value, self.source)


@dataclass(frozen=True)
class Compared(Target):
    """The target of what a model is compared with: that is trained to be shown beside it, and need not reach it."""

    judged: ClassVar[bool] = False

    def shown(self, task: Task) -> str:
        """The value, said to be another's."""
        return f"beside {super().shown(task)}"


@dataclass(frozen=True)
class Variant:
    """The same experiment with other settings.

    Attributes:
      summary: one line: what it shows.
      data, model, optim, train, parallel: fields of these sections that are not the experiment's, by name.
      replace: whole parts in place of the experiment's, by name, such as ``{"model": Net()}``.
    """

    summary: str
    data: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    optim: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    parallel: Mapping[str, Any] = field(default_factory=dict)
    replace: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Listed:
    """What the lists and tables of experiments show of one.

    Attributes:
      name: of its module in ``experiments/`` and of its folder in the runs' folder; ``NAME-VARIANT`` for a variant.
      summary: one line: what it shows.
      target: what it should reach; None where that depends on a user's own data.
      cost: one line: what it takes on which machine.
      task: what the model's outputs mean.
      program: how its command line is called; ``python -m experiments.NAME`` by default.
      variants: the same with other settings, by name.
      folds: those of them that test on other parts of the same data: tables show the mean over these and itself.
    """

    name: str = "experiment"
    summary: str = ""
    target: Target | None = None
    cost: str = ""
    task: Task = field(default_factory=Classification)
    program: str = ""
    variants: Mapping[str, Any] = field(default_factory=dict)
    folds: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """How it is run."""
        module, _, variant = self.name.partition("-")
        return (self.program or f"python -m experiments.{module}") + (f" --variant {variant}" if variant else "")

    @property
    def aim(self) -> str:
        """The target and its source, in words."""
        if self.target is None:
            return "works on any data of its kind"
        return f"{self.target.shown(self.task)} test {self.task.headline.name} ({self.target.source})"

    def reached(self, value: float) -> bool | None:
        """Whether a value of the headline metric on test reaches the target; None where there is none to reach."""
        if self.target is None or not self.target.judged:
            return None
        return self.task.headline.reaches(value, self.target.value)

    def reached_alone(self, value: float) -> bool | None:
        """The same of one run; None where the target is of the mean over several folds, of which it is one."""
        return None if self.folds else self.reached(value)

    def variant(self, name: str) -> Self:
        """The experiment with the settings of that variant.

        Raises:
          UsageError: if it has none of that name.
        """
        if name not in self.variants:
            near = difflib.get_close_matches(name, self.variants, n=1)
            known = f"its variants are {', '.join(self.variants)}" if self.variants else "it has none"
            hint = f"did you mean {near[0]}?" if near else known
            raise UsageError(f"{self.name} has no variant {name!r}; {hint}")
        return dataclasses.replace(self._varied(self.variants[name]), name=f"{self.name}-{name}", variants={}, folds=())

    def _varied(self, chosen: Any) -> Self:
        """The same with the settings of a variant: here, fields by name."""
        return dataclasses.replace(self, **chosen)


@dataclass(frozen=True, kw_only=True)
class Experiment(Listed):
    """A result that one command reproduces, or one call of :func:`rnnjax.fit`.

    Attributes:
      data: where examples come from: a section such as :class:`rnnjax.ImageData`, :class:`rnnjax.Arrays`, or one of
        your own.
      model: a section such as :class:`rnnjax.ImageModel`, or a Linen module.
      optim: :class:`rnnjax.OptimConfig`, an optax transformation, or anything with ``build(steps)``.
      train: how long.
      parallel: on what devices.
      own: whether the data are a user's own: bars are trained, and where classes are uneven the best checkpoint is
        chosen by what fits them.
      bars: whether plain bars are trained beside the network, which the last line compares it with.
      seeds: the seeds that the command trains by default.
      sample_texts: documents to try a text classifier on.
      begins: experiments whose weights a run begins with, by the name of the model's module that takes them.
    """

    data: Any
    model: Any
    optim: Any = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    parallel: ParallelConfig = field(default_factory=ParallelConfig)
    own: bool = False
    bars: bool = False
    seeds: tuple[int, ...] = (0,)
    sample_texts: tuple[str, ...] = ()
    begins: Mapping[str, "Experiment"] = field(default_factory=dict)

    def __post_init__(self):
        _check_parts(self)
        if hasattr(self.data, "for_task"):
            object.__setattr__(self, "data", self.data.for_task(self.task))
        if hasattr(self.data, "task_of"):
            object.__setattr__(self, "task", self.data.task_of(self.task))
        if self.train.best:
            object.__setattr__(self, "task", self.task.choosing(self.train.best))
        until, headline = self.train.until, self.task.headline
        if until is not None and headline.shown.endswith("%}"):
            check(0 < until <= 1, self.train, "until", f"above 0 and at most 1 ({headline.name} is a share)")

    @property
    def config(self) -> Config:
        """All sections together."""
        return Config(**{section.name: getattr(self, section.name) for section in dataclasses.fields(Config)})

    @property
    def kinds(self) -> Kinds:
        """The sections that a configuration of this experiment may name: its own first."""
        parts = {name: getattr(self, name) for name in ("data", "model", "optim")}
        own = {name: (type(part),) if is_section(part) else () for name, part in parts.items()}
        within = tuple(cls for part in parts.values() for cls in classes_within(part).values())
        return {name: (*own[name], *KINDS.get(name, ())) for name in own} | {"within": within}

    def replaced(self, config: Config) -> Self:
        """The experiment with other sections."""
        return self.with_parts(
            **{section.name: getattr(config, section.name) for section in dataclasses.fields(Config)}
        )

    def with_parts(self, **parts: Any) -> Self:
        """The experiment with other parts, and without its target where that is not of what these are tested on."""
        made = dataclasses.replace(self, **parts)
        return made if otherwise_tested(self, made) is None else dataclasses.replace(made, target=None)

    def settled(self, dataset: Any) -> Self:
        """The experiment with the task that its data ask for, where it leaves that to them."""
        task = self.task.chosen(dataset)
        return self if task is self.task else dataclasses.replace(self, task=task)

    def _varied(self, chosen: Variant) -> Self:
        changed = {
            section.name: dataclasses.replace(getattr(self, section.name), **getattr(chosen, section.name))
            for section in dataclasses.fields(Config)
            if getattr(chosen, section.name)
        }
        return dataclasses.replace(self, **changed | dict(chosen.replace), summary=chosen.summary)


def otherwise_tested(wanted: Experiment, made: Experiment) -> str | None:
    """What of an experiment differs by which something else is tested, as a sentence says it; None: nothing does."""
    if made.task.headline.name != wanted.task.headline.name:
        return f"of {wanted.task.headline.name}"
    if type(made.data) is not type(wanted.data):
        return "of other data"
    for entry in dataclasses.fields(wanted.data) if is_section(wanted.data) else ():
        if entry.name != "name" and not entry.metadata.get("of_target"):
            continue  # such as arrays, which are neither equal nor unequal as a whole
        value = getattr(wanted.data, entry.name)
        if getattr(made.data, entry.name) != value:
            option = f"--data.{entry.name}".replace("_", "-")
            said = " ".join(value) if isinstance(value, tuple) else value
            return f"of {option} {said}" if said not in (None, "") else f"of data without {option}"
    return None


def known_task(kind: str | None) -> Task | None:
    """The task of this package that is called so; None if it is none of them."""
    return next((task() for task in TASKS if kind is not None and task.__dict__.get("kind") == kind), None)


def _check_parts(experiment: Experiment) -> None:
    """Raises UsageError where a part is none, so that it is found before anything is read or compiled."""
    wanted = {
        "data": ("load", "a section with load(), such as rnnjax.Arrays(x, y)"),
        "model": ("build", "a section with build(spec, width), or a Linen module such as Net()"),
        "task": ("sums", "a task such as rnnjax.Regression()"),
        "optim": ("build", "rnnjax.OptimConfig(...), an optax transformation, or anything with build(steps)"),
    }
    for name, (method, what) in wanted.items():
        part = getattr(experiment, name)
        handed = {"model": "apply", "optim": "init"}.get(name, method)  # a dictionary has an update too
        if isinstance(part, type) or not (hasattr(part, method) or hasattr(part, handed)):
            shown = f"the class {part.__name__}" if isinstance(part, type) else " ".join(repr(part).split())[:80]
            raise UsageError(f"{name} must be {what}; got {shown}")
    for name, section in {"train": TrainConfig, "parallel": ParallelConfig}.items():
        if not isinstance(part := getattr(experiment, name), section):
            raise UsageError(f"{name} must be an rnnjax.{section.__name__}(...); got {part!r:.80}")
