"""Where telephone numbers may stand in a text, and in which parts: what `phonenumbers` asks of no region.

A `PhoneNumberMatcher` looks for the next candidate, passes over dates and times, and cuts what is no number as a whole
into parts. A text's candidates are the same for every region, so they are looked for and cut once.

Invariants:
* From any place on, the next candidate and its parts are those of a `PhoneNumberMatcher`, in its order.
* Candidates are kept for the text at hand alone. Time is linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

_LEAD = 10  # characters that a candidate may have before its first digit
_MOST_CHARS = 250  # of what `phonenumbers` parses
_MOST_DIGITS = 20
_SIGNS = "+ ()[]./-"
_PLAIN = re.compile(r"[+ ()\[]*[0-9][0-9 ().\[\]/-]*").fullmatch
# What `phonenumbers` reads as a number of a plain piece: three digits with signs between them, or two alone.
_VIABLE = re.compile(r"[^+0-9]*(?:\++(?:[^+0-9]*[0-9]){3}[^+]*|[0-9](?:[^+0-9]*[0-9]){2}[^+]*|[0-9]{2})").fullmatch
_NOT_DIGITS = str.maketrans("", "", _SIGNS)
_BRACKET = re.compile(r"[()\[\]]").search
_DIGIT = re.compile(r"\d").search
_LEADS = ("+", "(", "[")
# Signs without which a plain candidate is not cut in this way; a wide hyphen is in none.
_CUTTING = tuple(re.compile(signs).search for signs in ("/", r"\(", " -|- ", "(?!)", r"\.", " "))


class Piece(NamedTuple):
    """A candidate or a part of one. `digits`: of a plain one, "" of any other; `plus`: whether it has one."""

    start: int
    value: str
    digits: str
    plus: bool


class Candidate:
    """What a matcher looks at next: the text from `start` to `end`.

    `plain`: made of ASCII digits and signs alone. `passed`: how many dates and times it passed over before.
    """

    __slots__ = ("_pieces", "_signs", "end", "passed", "plain", "start", "value")

    def __init__(self, start: int, value: str, plain: bool, passed: int, signs: Signs) -> None:
        self.start, self.end, self.value = start, start + len(value), value
        self.plain, self.passed, self._signs = plain, passed, signs
        self._pieces: list[Piece] = []

    @property
    def whole(self) -> Piece:
        """All of it."""
        return self._piece(self.start, self.value)

    @property
    def parts(self) -> list[Piece]:
        """The parts in which a matcher looks when the whole is no number, in its order."""
        if not self._pieces:
            self._pieces = [self._piece(start, self._trimmed(value)) for start, value in self._cut()]
        return self._pieces

    def self_contained(self, digits: int) -> bool:
        """Whether every candidate that begins within this one, of so many digits, ends where it ends."""
        return self.plain and digits <= _MOST_DIGITS and self.value[-1].isdigit()

    def _cut(self) -> Iterator[tuple[int, str]]:
        value = self.value
        if self.plain and value.isdigit():
            return
        for cutting, search in self._signs.cuts:
            if self.plain and not cutting(value):
                continue
            cut = search(value)
            if cut:
                yield self.start, value[: cut.start()]
            while cut:
                yield self.start + cut.start(1), cut.group(1)
                cut = search(value, cut.start() + 1)

    def _trimmed(self, value: str) -> str:
        if self.plain:
            return value.rstrip(_SIGNS)
        found = self._signs.unwanted(value)
        return value[: found.start()] if found else value

    def _piece(self, start: int, value: str) -> Piece:
        if not self.plain:
            return Piece(start, value, "", "+" in value)
        if value.isdigit():
            return Piece(start, value, value, False)
        return Piece(start, value, value.translate(_NOT_DIGITS), "+" in value)


class Candidates:
    """The candidates of one text, each looked for once."""

    __slots__ = ("_known", "_signs", "text")

    def __init__(self, text: str, signs: Signs) -> None:
        self.text = text
        self._signs = signs
        self._known: dict[int, Candidate | None] = {}

    def at(self, place: int) -> Candidate | None:
        """The next candidate from a place on."""
        if place not in self._known:
            self._known[place] = self._next(place)
        return self._known[place]

    def stands(self, piece: Piece) -> bool:
        """Whether a plain piece is written like a number and stands apart from letters."""
        start, value, text = piece.start, piece.value, self.text
        if len(value) > _MOST_CHARS or not _VIABLE(value):
            return False
        if _BRACKET(value) and (not self._signs.brackets(value) or self._signs.pages(value)):
            return False
        if start and not value.startswith(_LEADS) and self._at_edge(text[start - 1]):
            return False
        end = start + len(value)
        return end == len(text) or not self._at_edge(text[end])

    def _at_edge(self, char: str) -> bool:
        """Whether what stands beside a character like this is no number."""
        return (char.isalpha() or char in "%$") if char.isascii() else self._signs.edge(char)

    def _next(self, place: int) -> Candidate | None:
        """What comes before a digit cannot be longer than the lead. Dates and times are passed over."""
        passed = 0
        while True:
            digit = _DIGIT(self.text, place)
            match = digit and self._signs.next(self.text, max(place, digit.start() - _LEAD))
            if not match:
                return None
            value = match.group()
            plain = _PLAIN(value) is not None
            if not plain:
                second = self._signs.second(value)
                value = value[: second.start()] if second else value
            place = match.start() + len(value)
            if not self._dated(value, place, plain):
                return Candidate(match.start(), value, plain, passed, self._signs)
            passed += 1

    def _dated(self, value: str, end: int, plain: bool) -> bool:
        """Whether it looks like a date or a time: no matcher takes it for a number, nor looks inside of it."""
        signs = self._signs
        if ("/" in value or not plain) and signs.date(value):
            return True
        return bool((" " in value or not plain) and signs.stamp(value) and signs.stamp_goes_on(self.text, end))

    def __repr__(self) -> str:
        return f"Candidates(chars={len(self.text)})"


class Signs:
    """The expressions by which a `PhoneNumberMatcher` finds candidates and cuts them."""

    __slots__ = ("brackets", "cuts", "date", "edge", "next", "pages", "second", "stamp", "stamp_goes_on", "unwanted")

    def __init__(self) -> None:
        from phonenumbers import phonenumbermatcher as given
        from phonenumbers import phonenumberutil as parsing

        self.next, self.date = given._PATTERN.search, given._SLASH_SEPARATED_DATES.search
        self.stamp, self.stamp_goes_on = given._TIME_STAMPS.search, given._TIME_STAMPS_SUFFIX.match
        self.second = parsing._SECOND_NUMBER_START_PATTERN.search
        self.unwanted = parsing._UNWANTED_END_CHAR_PATTERN.search
        self.brackets, self.pages = given._MATCHING_BRACKETS.fullmatch, given._PUB_PAGES.search
        self.cuts = [(cutting, one.search) for cutting, one in zip(_CUTTING, given._INNER_MATCHES, strict=True)]
        matcher: Any = given.PhoneNumberMatcher

        def edge(char: str) -> bool:
            return bool(matcher._is_invalid_punctuation_symbol(char) or matcher._is_latin_letter(char))

        self.edge = edge
