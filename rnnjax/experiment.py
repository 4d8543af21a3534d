"""What an experiment is: a configuration with a target."""

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field

from rnnjax.config import Config
from rnnjax.errors import UsageError


@dataclass(frozen=True)
class Target:
    """What an experiment should reach on the test split, in the mean over its seeds.

    Attributes:
      accuracy: at least this, 0..1.
      source: where the figure comes from.
    """

    accuracy: float
    source: str

    def shown(self) -> str:
        """The accuracy in percent, with as many digits as it has."""
        return f"{100 * self.accuracy:.4g}%"


@dataclass(frozen=True)
class Variant:
    """Another model for the same experiment.

    Attributes:
      summary: one line: what it shows.
      config: its configuration.
    """

    summary: str
    config: Config


@dataclass(frozen=True)
class Listed:
    """What the lists and tables of experiments show of one.

    Attributes:
      name: of its module in ``experiments/`` and of its folder in the runs' folder; ``NAME-VARIANT`` for a variant.
      summary: one line: what it shows.
      target: what it should reach; None where that depends on a user's own data.
      cost: one line: what it takes on which machine.
    """

    name: str
    summary: str
    target: Target | None
    cost: str

    @property
    def command(self) -> str:
        """How it is run."""
        module, _, variant = self.name.partition("-")
        return f"python -m experiments.{module}" + (f" --variant {variant}" if variant else "")

    @property
    def aim(self) -> str:
        """The target and its source, in words."""
        if self.target is None:
            return "works on any data of its kind"
        return f"{self.target.shown()} test accuracy ({self.target.source})"

    def reached(self, accuracy: float) -> bool | None:
        """Whether an accuracy on test reaches the target; None where there is none."""
        return None if self.target is None else accuracy >= self.target.accuracy


@dataclass(frozen=True)
class Experiment(Listed):
    """A result that one command reproduces.

    Attributes:
      config: the configuration that reaches it.
      seeds: the seeds that the command trains by default.
      sample_texts: documents to try a text classifier on.
      variants: other models for it, by name.
    """

    config: Config
    seeds: tuple[int, ...] = (0,)
    sample_texts: tuple[str, ...] = ()
    variants: Mapping[str, Variant] = field(default_factory=dict)

    def variant(self, name: str) -> "Experiment":
        """The experiment with the model of that name.

        Raises:
          UsageError: if it has none of that name.
        """
        if name not in self.variants:
            near = difflib.get_close_matches(name, self.variants, n=1)
            known = f"its variants are {', '.join(self.variants)}" if self.variants else "it has none"
            hint = f"did you mean {near[0]}?" if near else known
            raise UsageError(f"{self.name} has no variant {name!r}; {hint}")
        chosen = self.variants[name]
        return dataclasses.replace(
            self, name=f"{self.name}-{name}", summary=chosen.summary, config=chosen.config, variants={}
        )
