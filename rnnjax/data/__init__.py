"""Data: sources, their cache on disk, preprocessing, and the plan that orders examples into steps."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnjax.data.examples import Dataset as Dataset
    from rnnjax.data.examples import Examples as Examples
    from rnnjax.data.examples import labelled as labelled
    from rnnjax.data.image_preprocess import ImagePreprocess as ImagePreprocess
    from rnnjax.data.plan import Plan as Plan
    from rnnjax.data.preprocess import Preprocess as Preprocess
    from rnnjax.data.spec import Spec as Spec
    from rnnjax.data.text_preprocess import TextPreprocess as TextPreprocess

# Imported when first used: a section of a configuration lives here too, and --help does not wait for JAX.
_HOMES = {
    "Dataset": "examples",
    "Examples": "examples",
    "ImagePreprocess": "image_preprocess",
    "Plan": "plan",
    "Preprocess": "preprocess",
    "Spec": "spec",
    "TextPreprocess": "text_preprocess",
    "labelled": "examples",
}

__all__ = sorted([*_HOMES, "load"])  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'rnnjax.data' has no attribute {name!r}")
    return getattr(import_module(f"rnnjax.data.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})  # names that nobody has used yet are no globals


def load(section: Any) -> "Dataset":
    """The data set that a section of the configuration loads, with notes of what a user should know of any.

    Raises:
      DataError: if it is missing, unreadable, or not of the kind that the section says.
    """
    from rnnjax.data.notes import with_notes

    return with_notes(section)
