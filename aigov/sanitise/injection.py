"""The signatures of `signatures.yaml`, compiled once and searched in linear time.

Invariants:
* RE2 only: no pattern can be made slow by the text that it meets.
* A text that no signature matches is searched once, by all of them together. That search is one RE2, not an
  RE2 set: a set whose memory runs out answers "no match", which would pass an attack; one RE2 goes on, slower.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import re2
import yaml

from aigov.sanitise.fold import fold

SOURCE = Path(__file__).with_name("signatures.yaml")
BETWEEN = r"[\W_]{1,8}"
MAYBE = r"[\W_]{0,8}"
MEMORY = 32 << 20
_SHORT = re.compile(
    r"\\.|\[(?:\\.|[^\]\\])*\]|<(?P<word>[A-Z]+)>|~(?P<words>\d+) ?|(?P<space> )(?P<many>[?*+{])?", re.DOTALL
)
_NEGATED = re.compile(
    rb"(?:do not|don.?t|never|must not|should not|shall not|may not|can ?not|can.?t)\W{1,3}(?:please\W{1,3})?\Z",
    re.IGNORECASE,
)
_LOOKBACK = 32


class Signature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way in which text gives a model orders. `pattern` is written as the data file explains."""

    id: str
    type: str
    score: float
    pattern: str
    examples: tuple[str, ...]
    near_misses: tuple[str, ...]
    bare: bool = False
    unless_negated: bool = False


class Book(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The data file: lists of words that patterns share, and the signatures."""

    words: dict[str, str]
    signatures: tuple[Signature, ...]


class Hit(NamedTuple):
    """A match, in characters of the text that was searched."""

    start: int
    end: int
    signature: Signature


class Signatures:
    """All signatures, ready to search. With `loose`, words may run together, inside of the match and at its ends."""

    __slots__ = ("_any", "_each")

    def __init__(self, book: Book, *, loose: bool) -> None:
        sources = [expand(signature, book.words, loose=loose) for signature in book.signatures]
        self._each = [(one, _compiled(source)) for one, source in zip(book.signatures, sources, strict=True)]
        # Loose ones together have too many states for one pass; one by one they are as fast as any.
        self._any = None if loose else _compiled("|".join(f"(?:{source})" for source in sources))

    def find(self, text: str) -> list[Hit]:
        """Every match of every signature in `text`, which is a normal form."""
        folded = fold(text)
        if self._any and not self._any.search(folded.data):
            return []
        return [
            Hit(*folded.span(*span), signature)
            for signature, pattern in self._each
            for span in _spans(pattern, folded.data, signature)
        ]


@cache
def book() -> Book:
    """The data file, read once. Takes some tens of milliseconds."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    with SOURCE.open(encoding="utf-8") as file:
        return msgspec.convert(yaml.load(file, loader), Book)


@cache
def signatures(*, loose: bool = False) -> Signatures:
    """The compiled signatures, made once in a process and shared: they hold no state."""
    return Signatures(book(), loose=loose)


def expand(signature: Signature, words: dict[str, str], *, loose: bool = False) -> str:
    """The signature's pattern as RE2 reads it; loose, words may run together. Raises KeyError for unknown `words`."""
    between = MAYBE if loose else BETWEEN

    def meant(short: re.Match[str]) -> str:
        if short["word"]:
            return _SHORT.sub(meant, words[short["word"]])
        if short["words"]:
            return f"{between}(?:\\w+{BETWEEN}){{0,{short['words']}}}"
        if short["space"]:
            return f"(?:{between}){short['many']}" if short["many"] else between
        return "" if loose and short[0] == r"\b" else short[0]

    pattern = _SHORT.sub(meant, signature.pattern)
    return pattern if signature.bare or loose else rf"\b(?:{pattern})"


def _compiled(source: str) -> Any:
    options = re2.Options()
    options.case_sensitive = False
    options.never_capture = True
    options.log_errors = False
    options.max_mem = MEMORY
    options.encoding = re2.Options.Encoding.LATIN1
    return re2.compile(source.encode("ascii"), options)


def _spans(pattern: Any, data: bytes, signature: Signature) -> Iterator[tuple[int, int]]:
    for match in pattern.finditer(data):
        start, end = match.span()
        if not (signature.unless_negated and _NEGATED.search(data[max(0, start - _LOOKBACK) : start])):
            yield start, end
