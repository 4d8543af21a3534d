"""What an experiment is: a configuration with a target."""

from dataclasses import dataclass

from rnnjax.config import Config


@dataclass(frozen=True)
class Target:
    """What an experiment should reach on the test split, in the mean over its seeds.

    Attributes:
      accuracy: at least this, 0..1.
      source: where the figure comes from.
    """

    accuracy: float
    source: str


@dataclass(frozen=True)
class Listed:
    """What the lists and tables of experiments show of one.

    Attributes:
      name: of its module in ``experiments/`` and of its folder in the runs' folder.
      summary: one line: what it shows.
      target: what it should reach; None where that depends on a user's own data.
      cost: one line: what it takes on which machine.
    """

    name: str
    summary: str
    target: Target | None
    cost: str


@dataclass(frozen=True)
class Experiment(Listed):
    """A result that one command reproduces.

    Attributes:
      config: the configuration that reaches it.
      seeds: the seeds that the command trains by default.
      sample_texts: documents to try a text classifier on.
    """

    config: Config
    seeds: tuple[int, ...] = (0,)
    sample_texts: tuple[str, ...] = ()
