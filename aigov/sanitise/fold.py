"""Letters folded to plain ASCII bytes, so that one pattern finds all spellings of a word.

Accents, look-alike letters of other alphabets, marks set on top of letters and letters spaced out are undone.
The folded form is for searching only; it is never shown or sent.

Invariant: every folded byte knows the character that it stands for.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import re2

# Letters that look like Latin ones, as the confusables of Unicode Technical Standard 39 have them, and small
# capitals. Written as pairs of strings, one letter over its double.
_DOUBLES = (
    ("аеорсухіјѕһԁԛԝвкмнтгзАВЕЗКМНОРСТУХІЈЅҮԌ", "aeopcyxijshdqwbkmhtr3ABE3KMHOPCTYXIJSYG"),
    ("αβγδεικνορτυχωηΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "abydeikvoptuxwnABEZHIKMNOPTYX"),
    ("ıłøđħŧɑɡɩœæŁØĐĦŦ", "ilodhtagioaLODHT"),
    ("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", "abcdefghijklmnoprstuvwyz"),
)
_ALPHABETS = (0x1F150, 0x1F170, 0x1F1E6)  # letters in filled circles, in filled squares, of flags
_MARKS = re.compile("[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]")
_BEYOND = re.compile("[^\x00-\xff]+")
_SPACED = re2.compile(rb"(?:^|[^0-9A-Za-z])(?:[A-Za-z][ .*_|/+-]){5,}[A-Za-z](?:[^0-9A-Za-z]|$)")
_RUN = re.compile(rb"(?<![0-9A-Za-z])(?:[A-Za-z][ .*_|/+-]){1,}[A-Za-z](?![0-9A-Za-z])")


class Folded(NamedTuple):
    """Folded text as bytes. `at[i]` is the index of the character that byte i stands for; None where it is i."""

    data: bytes
    at: Sequence[int] | None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The characters behind the bytes from `start` to `end`."""
        if self.at is None or start == end:
            return start, end
        return self.at[start], self.at[end - 1] + 1


def fold(text: str) -> Folded:
    """`text` as ASCII where it can be; whatever is no Latin letter at all becomes `?`."""
    at: Sequence[int] | None = None
    if not text.isascii():
        if _MARKS.search(text):
            at = [place for place, letter in enumerate(text) if not _MARKS.match(letter)]
            text = "".join([text[place] for place in at])
        data = _latin(text)
    else:
        data = text.encode()
    return _joined(data, at) if _SPACED.search(data) else Folded(data, at)


def _latin(text: str) -> bytes:
    try:
        data = text.encode("latin-1")
    except UnicodeEncodeError:
        data = _BEYOND.sub(lambda run: run[0].translate(_doubles()), text).encode("latin-1", "replace")
    return data.translate(_accents())


def _joined(data: bytes, at: Sequence[int] | None) -> Folded:
    """Letters that were spaced out, drawn together again: `i g n o r e` is read as `ignore`."""
    dropped: set[int] = set()
    for run in _RUN.finditer(data):
        dropped.update(range(run.start() + 1, run.end(), 2))
    kept = [place for place in range(len(data)) if place not in dropped]
    return Folded(bytes([data[place] for place in kept]), kept if at is None else [at[place] for place in kept])


@cache
def _doubles() -> dict[int, str]:
    table = {ord(odd): plain for odds, plains in _DOUBLES for odd, plain in zip(odds, plains, strict=True)}
    for start in _ALPHABETS:
        table |= {start + place: chr(ord("a") + place) for place in range(26)}
    for code in (*range(0x100, 0x250), *range(0x1E00, 0x1F00)):
        base = unicodedata.normalize("NFD", chr(code))[0]
        if base.isascii():
            table.setdefault(code, base)
    table |= {0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"', 0x2010: "-", 0x2011: "-", 0x2013: "-", 0x2014: "-"}
    return table


@cache
def _accents() -> bytes:
    """Latin-1 to ASCII, byte for byte."""
    table = bytearray(range(256))
    for code in range(0x80, 0x100):
        base = unicodedata.normalize("NFD", chr(code))[0]
        table[code] = ord(base) if base.isascii() else ord("?")
    for odd, plain in zip("ßøØæÆðÐþ", "soOaAdDt", strict=True):
        table[ord(odd)] = ord(plain)
    return bytes(table)
