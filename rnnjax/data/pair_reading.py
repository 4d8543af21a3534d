"""How files of pairs are read: which side is which, and in what encoding."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True)
class PairReading:
    """How a file of pairs is read.

    Attributes:
      source, target: the columns of a table, or what the names of two parallel files end in.
      encoding: of text; None: UTF-8, or UTF-16 where the first bytes say so.
    """

    source: str = "source"
    target: str = "target"
    encoding: str | None = None

    @classmethod
    def of(cls, config: Any) -> Self:
        """As a section of the configuration says; one that reads no files has the usual names."""
        usual = cls()
        names = ("source", "target", "encoding")
        return cls(*(getattr(config, name, getattr(usual, name)) for name in names))

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`; raises ValueError or TypeError at what is none."""
        made = cls(**values)
        sides = isinstance(made.source, str) and isinstance(made.target, str)
        if not sides or not (made.encoding is None or isinstance(made.encoding, str)):
            raise ValueError(f"no way to read pairs: {values!r:.60}")
        return made
