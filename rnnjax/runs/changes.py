"""Changes of meaning: where the same words compute something else than they did, and for which runs that counts."""

from collections.abc import Callable

from rnnjax.config import Config

VERSION = 2
"""Of what a configuration means; a run's record holds that of its training. Raise it with every entry below."""


def _last_of_two_directions(config: Config) -> bool:
    model = config.model
    return bool(getattr(model, "bidirectional", False)) and "last" in getattr(model, "pooling", ())


_CHANGES: tuple[tuple[int, Callable[[Config], bool], str], ...] = (
    (
        2,
        _last_of_two_directions,
        "pooling 'last' then took the backward half of a bidirectional recurrence at the last real step, where it has "
        "read one step, and now takes it at the first, where it has read all",
    ),
)
"""Since which version, whom it concerns, and what changed."""


def since(version: int, config: Config) -> list[str]:
    """What has changed, a sentence each, for a run of that configuration that was trained under ``version``."""
    return [what for changed, concerns, what in _CHANGES if version < changed and concerns(config)]
