"""A text as one byte a code point, for a scanner that reads bytes.

ASCII stands for itself. Every other character is written as the byte of its kind, so that offsets stay
those of the text, a lone surrogate is no trouble, and word characters stay word characters.

Invariants:
* One byte a code point, in order.
* A byte of a word character is one in ASCII as well, and the others are not: `\\b` means the same.
* The kinds are those of the `regex` module, whatever its version of Unicode.
"""

from __future__ import annotations

from collections.abc import Iterable

ASCII = frozenset(range(128))
# Kinds of characters outside ASCII; those of FOLDS equal an ASCII letter where case is ignored.
LETTER, DIGIT, SPACE, OTHER = range(256, 260)
FOLDS = {"s": 260, "k": 261, "i": 262}
ALL = ASCII | {LETTER, DIGIT, SPACE, OTHER, *FOLDS.values()}

_BYTES = {LETTER: ord("_"), DIGIT: ord("0"), SPACE: 0x80, OTHER: 0x81, **{kind: ord(to) for to, kind in FOLDS.items()}}
_FOLDING = {"\u017f": "s", "\u212a": "k", "\u0130": "i", "\u0131": "i"}
_MOST_KEPT = 8192  # of a text in many scripts the kinds are looked up again: no text fills the memory


def written(members: Iterable[int]) -> frozenset[int]:
    """The bytes in which characters of these codes below 128 and these kinds are written."""
    return frozenset(one if one < 128 else _BYTES[one] for one in members)


class Signs(dict[int, str]):
    """Writes texts as bytes; remembers the kinds of characters that it has met."""

    def __init__(self) -> None:
        import regex

        super().__init__()
        self._kinds = tuple(
            (regex.compile(expression), chr(code)) for expression, code in ((r"\s", 0x80), (r"\d", 0x30), (r"\w", 0x5F))
        )

    def write(self, text: str) -> bytes:
        """The text, one byte a code point."""
        return text.encode("ascii") if text.isascii() else text.translate(self).encode("latin-1")

    def __missing__(self, code: int) -> str:
        sign = self._sign(chr(code))
        if len(self) < _MOST_KEPT:
            self[code] = sign
        return sign

    def _sign(self, char: str) -> str:
        if char.isascii():
            return char
        if char in _FOLDING:
            return _FOLDING[char]
        return next((sign for kind, sign in self._kinds if kind.match(char)), "\x81")

    def __repr__(self) -> str:
        return f"Signs({len(self)})"
