"""Which tests every run of the tests has, and which wait for ``.ci/all``."""

from collections.abc import Collection, Iterable
from typing import Any

import pytest

LONG = [pytest.mark.slow, pytest.mark.long]
"""Marks of what waits: cases that differ from one of the others by little."""


def often(cases: Iterable[Any], some: Collection[Any]) -> list[Any]:
    """All cases, of which every run has some and the others wait; a tuple is one case of several arguments."""
    return [
        case if case in some else pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=LONG)
        for case in cases
    ]
