"""Seeing personal data however it is written: in JSON, encoded, in letters of two alphabets, named by its key.

An e-mail address in the path or query of a URL (`/users/jane@example.com`) is looked at by itself: Presidio takes what
stands before it for a part of it, and then refuses the whole.

Invariants:
* What is found is told in offsets of the text that was given; what was found in an encoding covers all of it.
* A finding of an encoded reading counts only where it holds something that was encoded: the rest was seen already.
* What the policy exempts is told as kind `exempt`: left alone, and recorded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec

from aigov.text.encoded import readings
from aigov.text.readable import plain
from aigov.text.shapes import Shape, shape
from aigov.types import Finding, Part

EXEMPT = "exempt"
NAMED = 64  # characters of a value that is read together with its key
SURE = 0.5
_WORD = re.compile(r"[A-Za-z]{2,30}")
_IN_URL = re.compile(r"[/?#](?:[^\s@/?#]{0,500}[&=;:])?([\w.!$%'*+^`{|}~-]{1,64}@[\w.-]{0,254}\w)")

Find = Callable[[str, str], Iterable[Finding]]
Place = Callable[[int, int], tuple[int, int] | None]


class View(NamedTuple):
    """A text to look at. `place`: where a span of it stands in the given text, None where that was seen before.

    `part`: it is a part of the view before, which models have read.
    """

    text: str
    place: Place
    part: bool = False

    def __repr__(self) -> str:
        return f"View(chars={len(self.text)})"


def views(text: str, built: Shape | None = None) -> Iterator[View]:
    """All that there is to look at in a text, itself first. `built`: its shape, if known."""
    form = plain(text, built)
    yield from _with_addresses(form.text, form.original)
    for reading in readings(form.text):
        yield from _with_addresses(reading.text, behind(reading.original, form.original))


def behind(inner: Place, outer: Place) -> Place:
    """The place of a span by `inner`, and of that by `outer`."""

    def place(start: int, end: int) -> tuple[int, int] | None:
        span = inner(start, end)
        return outer(*span) if span is not None else None

    return place


def _with_addresses(text: str, place: Place) -> Iterator[View]:
    yield View(text, place)
    for one in _IN_URL.finditer(text) if "@" in text else ():
        yield View(one.group(1), behind(_from(one.start(1)), place), True)


def _from(first: int) -> Place:
    return lambda start, end: (first + start, first + end)


class Sight:
    """`find(text, path)` through all readings of a part. `exempt`: JSON pointers, `*` one step and `**` any.

    `named`: the same for a value behind the name of its place, which only context words have use for.
    """

    __slots__ = ("_exempt", "_find", "_named")

    def __init__(self, find: Find, exempt: Iterable[str] = (), named: Find | None = None) -> None:
        self._find, self._named = find, named or find
        patterns = "|".join(map(_pattern, exempt))
        self._exempt = re.compile(patterns) if patterns else None

    def findings(self, part: Part) -> tuple[Finding, ...]:
        """Every finding in a part's text, each once. Raises what `find` raises."""
        built = shape(part.text) if self._exempt is not None or "\\" in part.text else Shape(part.text, ())
        found: list[Finding] = []
        spans: set[tuple[int, int] | None] = {None}
        for number, view in enumerate(views(part.text, built)):
            if view.part and view.place(0, len(view.text)) in spans:
                continue
            for one in self._looked(view, part, first=number == 0):
                span = view.place(one.start, one.end)
                if span is not None:
                    found.append(self._placed(one, span))
                    spans.add(span)
        if any(one.score < SURE for one in found):
            found = self._without_chance(found, part.text, built)
        if self._exempt is not None:
            found = [self._judged(one, built, part.path) for one in found]
        return _once(found)

    def _looked(self, view: View, part: Part, first: bool) -> Iterable[Finding]:
        if first:
            return self._seen(view.text, part.path, part.number)
        return (self._named if view.part else self._find)(view.text, part.path)

    def _seen(self, text: str, path: str, number: bool) -> Iterable[Finding]:
        """What stands in a text. A short value is read again behind the name of its place, which may make it surer.

        A whole number counts where its name or its check digits speak for it: one number in four could be a phone.
        """
        alone = tuple(self._find(text, path))
        if not alone or len(text) > NAMED or all(one.score >= 1 for one in alone):
            return alone
        words = " ".join(_WORD.findall(path.rpartition("/")[2]))
        named = tuple(_behind(self._named(f"{words}\n{text}", path), len(words) + 1)) if words else ()
        if not number:
            return alone + named
        scores = {(one.type, one.start, one.end): one.score for one in alone}
        sure = (one for one in named if one.score > scores.get((one.type, one.start, one.end), 0.0))
        return (*(one for one in alone if one.score >= SURE), *sure)

    def _without_chance(self, found: list[Finding], text: str, built: Shape) -> list[Finding]:
        """Without what a number of a JSON text could be as well as any other: see `_seen`.

        A tool that is given text in the place of a time breaks.
        """
        built = shape(text) if built.plain else built
        if built.plain:
            return found
        alone: dict[str, dict[str, float]] = {}
        kept: list[Finding] = []
        for one in found:
            number = _number(one, text, built) if one.score < SURE else ""
            if number and number not in alone:
                by_score = sorted(self._named(number, one.path), key=lambda by: by.score)
                alone[number] = {by.type: by.score for by in by_score}
            if not number or one.score > alone[number].get(one.type, 0.0):
                kept.append(one)
        return kept

    @staticmethod
    def _placed(finding: Finding, span: tuple[int, int]) -> Finding:
        if span == (finding.start, finding.end):
            return finding
        return msgspec.structs.replace(finding, start=span[0], end=span[1])

    def _judged(self, finding: Finding, built: Shape, path: str) -> Finding:
        """The finding, or as exempt where the policy names its place."""
        literal = built.at(finding.start)
        inside = literal.pointer if literal is not None and literal is built.at(finding.end - 1) else ""
        assert self._exempt is not None
        if self._exempt.fullmatch(path + inside):
            return msgspec.structs.replace(finding, kind=EXEMPT)
        return finding

    def __repr__(self) -> str:
        return "Sight()"


def _number(finding: Finding, text: str, built: Shape) -> str:
    """The number of a JSON text that a finding lies in, the signs before it apart; "" where it is anything else."""
    literal = built.at(finding.end - 1)
    if literal is None or not literal.number or any(map(str.isalnum, text[finding.start : literal.start])):
        return ""
    return text[literal.start : literal.end]


def _once(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Each type at each place once, the surest of them."""
    best: dict[tuple[str, str, int, int], Finding] = {}
    for one in found:
        key = one.kind, one.type, one.start, one.end
        if key not in best or one.score > best[key].score:
            best[key] = one
    return tuple(best.values())


def _behind(found: Iterable[Finding], length: int) -> Iterator[Finding]:
    """What begins beyond the first `length` characters, counted from there; what reaches into them, from there on."""
    for one in found:
        if one.end > length:
            yield msgspec.structs.replace(one, start=max(0, one.start - length), end=one.end - length)


def _pattern(pointer: str) -> str:
    """A pointer with `*` and `**` as a regular expression that takes linear time."""
    steps = pointer.split("/")[1:]
    return "".join(
        "(?:/[^/]*+)*" if step == "**" else "/[^/]*+" if step == "*" else "/" + re.escape(step) for step in steps
    )
