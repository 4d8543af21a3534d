"""Shapes of a compiled program's arrays, with their bytes."""

import dataclasses
import math
import re
from collections.abc import Iterator

from rnnjax.errors import DataError

_ARRAY = re.compile(r"([a-z][a-z0-9]*)\[([^\]]*)\](\{[^}]*\})?")
_BITS = {"pred": 8, "token": 0, "opaque": 0}
_TOKEN = re.compile(r"/\*.*?\*/|[(),]|[a-z][a-z0-9]*\[[^\]]*\](?:\{[^}]*\})?")


@dataclasses.dataclass(frozen=True)
class Shape:
    """The shape of an array, or of a tuple of them.

    Attributes:
      dtype: as XLA spells it: ``f32``, ``bf16``, ``s4``, ``pred``, ``f8e4m3fn``; empty for a tuple.
      dims: sizes of the dimensions; a bounded dynamic size counts as its bound.
      layout: the text in braces behind it, with tiles and memory space.
      parts: of a tuple, the shapes in it; None for an array.
    """

    dtype: str = ""
    dims: tuple[int, ...] = ()
    layout: str = ""
    parts: tuple["Shape", ...] | None = None

    def leaves(self) -> Iterator["Shape"]:
        """The arrays, of a tuple those of all its parts."""
        if self.parts is None:
            yield self
        else:
            for part in self.parts:
                yield from part.leaves()

    @property
    def elements(self) -> int:
        """Number of elements of all arrays together."""
        return sum(math.prod(leaf.dims) for leaf in self.leaves())

    @property
    def bytes(self) -> int:
        """Bytes of all arrays together, without padding; elements of less than a byte are packed."""
        return sum(-(-math.prod(leaf.dims) * bits(leaf.dtype) // 8) for leaf in self.leaves())

    def __str__(self) -> str:
        if self.parts is not None:
            return f"({', '.join(map(str, self.parts))})"
        return f"{self.dtype}[{','.join(map(str, self.dims))}]"


def bits(dtype: str) -> int:
    """Bits of one element of ``dtype``; a token has none.

    Raises:
      DataError: if XLA has no such dtype.
    """
    if dtype in _BITS:
        return _BITS[dtype]
    found = re.fullmatch(r"(bf|f|s|u|c)(\d+)(e\d+m\d+\w*)?", dtype)
    if not found:
        raise DataError(f"{dtype!r} in the program's text is no dtype that is known here")
    return int(found[2])


def parse_shape(text: str) -> Shape:
    """The shape that ``text`` says, such as ``f32[8,128]{1,0:T(8,128)}`` or ``(s32[], (f32[2]{0}, pred[]))``.

    Raises:
      DataError: if it is no shape.
    """
    if not text.startswith("("):
        return _array(text)
    stack: list[list[Shape]] = [[]]
    for token in _TOKEN.findall(text):
        if token == "(":
            stack.append([])
        elif token == ")":
            done = Shape(parts=tuple(stack.pop()))
            stack[-1].append(done)
        elif token[0] not in ",/":
            stack[-1].append(_array(token))
    return stack[0][0]


def _array(text: str) -> Shape:
    found = _ARRAY.match(text)
    if not found:
        raise DataError(f"{text[:80]!r} in the program's text is no shape")
    dims = tuple(int(size.lstrip("<=")) for size in found[2].split(",") if size)
    return Shape(found[1], dims, found[3] or "")
