"""Which encoding bytes look like that are no UTF-8: a hint for an error's sentence, and no more than that."""

import unicodedata
from collections.abc import Callable

_FEW = 0.25
"""Of a western text, at most this share of the letters lies outside ASCII."""


def hint(data: bytes, failed: str = "") -> str | None:
    """The name of an encoding in which bytes look like text, or None.

    UTF-16 is known by its zero bytes, UTF-8 by its form; others by what they decode to: kana, Hangul, Han, Cyrillic, or
    a few accented letters and typographic marks among many of ASCII.

    Args:
      data: the beginning of a file, or a line of it.
      failed: an encoding that it is known not to be in.
    """
    if utf16 := _utf16(data):
        return utf16
    if not any(byte >= 0x80 for byte in data):
        return None
    if failed != "utf-8" and not _decoded(data, "utf-8").isascii():
        return "utf-8"
    return next((name for name, looks in _LOOKS if name != failed and looks(_decoded(data, name))), None)


def _utf16(data: bytes) -> str | None:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    half = len(data) // 2
    if half and data[1::2].count(0) > 0.4 * half:
        return "utf-16-le"
    return "utf-16-be" if half and data[::2].count(0) > 0.4 * half else None


def _decoded(data: bytes, encoding: str) -> str:
    """The text, if it is one in this encoding but for a character that is cut at the end; else nothing."""
    for end in range(4):
        try:
            return data[: len(data) - end].decode(encoding)
        except UnicodeDecodeError:
            continue
    return ""


def _share(text: str, first: str, last: str) -> float:
    """Of the characters outside ASCII, how many lie in this range."""
    beyond = [character for character in text if not character.isascii()]
    return sum(first <= character <= last for character in beyond) / max(len(beyond), 1)


def _cyrillic(text: str) -> bool:
    """Mostly small letters: in the other encodings of Cyrillic, capitals and small letters change places."""
    letters = [character for character in text if "Ѐ" <= character <= "ӿ"]
    small = sum(character.islower() for character in letters)
    return _share(text, "Ѐ", "ӿ") > 0.9 and small > 0.7 * len(letters)


def _western(text: str) -> bool:
    beyond = [character for character in text if not character.isascii()]
    letters = sum(character.isalpha() for character in text)
    kinds = {unicodedata.category(character) for character in beyond}
    return 0 < len(beyond) <= max(1, _FEW * letters) and "Cc" not in kinds


_LOOKS: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("cp1252", _western),
    ("shift_jis", lambda text: _share(text, "぀", "ヿ") > 0.2),
    ("euc_jp", lambda text: _share(text, "぀", "ヿ") > 0.2),
    ("cp949", lambda text: _share(text, "가", "힣") > 0.8),
    ("gb18030", lambda text: _share(text, "一", "鿿") > 0.7),
    ("cp1251", _cyrillic),
    ("koi8_r", _cyrillic),
    ("latin-1", _western),
)
