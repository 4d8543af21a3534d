"""From tokens back to a text, part by part as they come: the inverse of the tokenizers."""

import codecs
from collections.abc import Callable, Sequence
from typing import Protocol

from rnnjax.data.tokens import UNKNOWN_TOKEN


class Joiner(Protocol):
    """Remembers what a part needs to know of those before."""

    def __call__(self, tokens: Sequence[str], *, final: bool = False) -> str:
        """The text that tokens add; with the last ones, ``final`` gives what was held back."""
        ...


def joiner(tokenizer: str) -> Joiner:
    """A joiner of the tokens of one text, for the tokenizer of that name in :data:`rnnjax.data.tokens.TOKENIZERS`."""
    return _JOINERS.get(tokenizer, _words)()


def _characters() -> Joiner:
    def join(tokens: Sequence[str], *, final: bool = False) -> str:
        del final
        return "".join("\ufffd" if token == UNKNOWN_TOKEN else token for token in tokens)

    return join


def _bytes() -> Joiner:
    """Bytes as the characters of their numbers; those of a character that is not whole yet are held back."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    return lambda tokens, final=False: decoder.decode("".join(tokens).encode("latin-1", "replace"), final)


def _words() -> Joiner:
    begun = False

    def join(tokens: Sequence[str], *, final: bool = False) -> str:
        nonlocal begun
        del final
        text = " ".join(tokens)
        added, begun = f" {text}" if begun and tokens else text, begun or bool(tokens)
        return added

    return join


_JOINERS: dict[str, Callable[[], Joiner]] = {"characters": _characters, "bytes": _bytes}
"""By tokenizer; those of words have one for all."""
