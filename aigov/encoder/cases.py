"""How the letters of each word piece are written in the text, which an uncased tokeniser forgets.

Training and running give the model these classes as token types, made by this one function of text and offsets.

Invariants:
* The classes depend on the text and the offsets alone, in code points of the text as it was given.
* Letters without case (Chinese, Arabic) are no letters here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence

NAMES = ("none", "lower", "title", "upper", "initial", "mixed", "lower_rest", "other_rest")
NONE, LOWER, TITLE, UPPER, INITIAL, MIXED, LOWER_REST, OTHER_REST = range(len(NAMES))
_WORD = re.compile(r"[^\W_][^\W_\u0300-\u036f]*(?:[\u0300-\u036f]+[^\W_\u0300-\u036f]*)*")  # letters may carry marks
_BEYOND = sys.maxsize


def classes(text: str, offsets: Sequence[tuple[int, int]]) -> list[int]:
    """The class of each piece by its span of `text`, spans in order, empty ones (special tokens) anywhere.

    A piece that begins a word is classed by the letters of the whole word, a later one by its own.
    """
    words = _WORD.finditer(text)
    word, start, end = "", -1, -1
    found: list[int] = []
    for first, last in offsets:
        if first == last:
            found.append(NONE)
            continue
        while end <= first:
            match = next(words, None)
            word, (start, end) = (match[0], match.span()) if match else ("", (_BEYOND, _BEYOND))
        if last <= start:
            found.append(NONE)
        elif first > start:
            found.append(LOWER_REST if text[first:last].islower() else OTHER_REST)
        else:
            found.append(_written(word))
    return found


def _written(word: str) -> int:
    """The class of a whole word."""
    if word.islower():
        return LOWER
    letters = "".join(_cased(word))
    if not letters:
        return NONE
    if letters.isupper():
        return UPPER if len(letters) > 1 else INITIAL
    return TITLE if letters.istitle() else MIXED


def _cased(word: str) -> Iterable[str]:
    return (char for char in word if char.isupper() or char.islower() or char.istitle())
