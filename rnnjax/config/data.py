"""The section ``data``: where examples come from, and what is done to them in training."""

import dataclasses
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from rnnjax.config.checks import check, positive, runtime
from rnnjax.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where examples come from and how they are batched. A source of one's own overrides :meth:`load`.

    What loads imports JAX and the like inside its methods, so that ``--help`` waits for nothing.
    """

    section: ClassVar[str] = "data"
    places: ClassVar[tuple[str, ...]] = ("data_dir",)
    """Fields that name a file or folder of data."""
    withheld: ClassVar[tuple[str, ...]] = ()
    """Inherited fields that are no options of this section, since it settles or does not read them."""
    name: str = "data"
    """Name of the data set in results."""
    batch_size: int = 128
    """Examples in one step, over all devices together."""
    validation_fraction: float = 0.1
    """Share of train, of each class, to choose the best by."""
    data_dir: str | None = runtime(None)
    """TFDS data; unset: TFDS_DATA_DIR or ~/tensorflow_datasets."""
    cache_dir: str | None = runtime(None, rare=True, local=True)
    """Folder for decoded data; unset: RNNJAX_CACHE_DIR, or else ~/.cache/rnnjax."""
    workers: int = runtime(0, rare=True)
    """Threads that decode image files, and images which are streamed; 0: one for each core, at most 16."""
    device_budget_mib: int = runtime(2048, rare=True)
    """A split of at most this many MiB lives on the devices; a larger one is streamed from the host."""

    def __post_init__(self):
        positive(self, "batch_size")
        check(0 < self.validation_fraction < 1, self, "validation_fraction", "between 0 and 1")
        check(self.workers >= 0, self, "workers", "0 or more threads")
        check(self.device_budget_mib >= 0, self, "device_budget_mib", "0 or more MiB")

    def load(self) -> Any:
        """The data set: an :class:`rnnjax.data.Dataset`."""
        raise UsageError(f"{type(self).__name__} must say by load() how its data are read")

    def outline(self) -> Any:
        """The data set by what is published of it, without its content, where it is not there; None: nothing is."""
        return None

    def for_task(self, task: Any) -> Self:
        """The section as it serves a task, which an experiment asks for when it is made."""
        del task
        return self

    def fitting(self, examples: int, multiple: int) -> Self:
        """The section for as few training examples as there are: one of a user's own data makes its batch smaller.

        Args:
          examples: of the training split.
          multiple: of which a batch must be one.
        """
        del examples, multiple
        return self

    def with_smaller_batch(self, examples: int, multiple: int) -> Self:
        """The section with a batch of a quarter of the examples, a multiple of that number where there are so many.

        An epoch of one step would learn next to nothing in the epochs that larger data need.
        """
        batch = min(self.batch_size, max(examples // 4, 4, multiple), examples) // multiple * multiple
        return dataclasses.replace(self, batch_size=batch) if batch else self

    def task_of(self, given: Any) -> Any:
        """An experiment's task as options of this section ask for it."""
        return given

    def augment(self, dataset: Any) -> "Callable[[Any, Any], Any] | None":
        """What training examples undergo in the step, see :data:`rnnjax.data.augment.Augment`; None: nothing."""
        del dataset
        return None

    def preprocesses(self) -> tuple[type, ...]:
        """The classes of preprocessings that this source gives its data sets, where they are not of this package."""
        return ()

    def located(self) -> Self:
        """The same with absolute paths, which mean the same wherever they are read again."""
        given = {name: getattr(self, name) for name in self.places if getattr(self, name)}
        return dataclasses.replace(
            self, **{name: os.path.abspath(os.path.expanduser(path)) for name, path in given.items()}
        )
