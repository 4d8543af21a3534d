"""Rates of dropout, and numbers of steps, that layers are given."""

from typing import Any

from rnnjax.errors import UsageError


def checked_rate(where: str, name: str, given: Any) -> None:
    """That a rate lies in [0, 1).

    Raises:
      UsageError: if it does not, or is no number.
    """
    try:
        fits = bool(0 <= given < 1)
    except (TypeError, ValueError):  # text, None, several
        raise UsageError(f"{where}: {name} must lie in [0, 1), got {given!r}; 0 is none") from None
    if not fits:
        raise UsageError(f"{where}: {name} must lie in [0, 1), got {given}")


def is_count(given: Any) -> bool:
    """Whether it is a positive integer; True, as of Keras' ``unroll=True``, is none."""
    return isinstance(given, int) and not isinstance(given, bool) and given > 0
