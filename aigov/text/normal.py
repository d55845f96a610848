"""The normal form that every guard sees, and the way back to the text as it was given.

Invariants:
* The normal form is NFKC without invisible and control characters; emoji sequences stay whole.
* It is its own normal form, and it is made in linear time, combining marks by the thousand included.
* A span of the normal form maps to whole clusters of the given text (a base and its marks, an emoji), and to
  the invisible characters between them; a span never splits what one character was made from.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache
from itertools import groupby

from aigov.text.characters import CONTROL, EMOJI, INVISIBLE, REMOVED, RUN, all_seen, extends

#: CPython sorts the marks of one base by insertion, which is quadratic: longer clusters are sorted here first.
_LONG = 64

Segment = tuple[int, int, str]
Token = tuple[str | None, int, str]


class Normal:
    """A normal form. `text` is what guards see; `original` leads back."""

    __slots__ = ("_given", "_map", "_starts", "text")

    def __init__(self, text: str, given: int, moved: tuple[tuple[int, int, int, int], ...] = ()) -> None:
        """`moved`: normal start and end, given start and end of each cluster that is not the same in both."""
        self.text = text
        self._given = given
        self._map = moved
        self._starts = [entry[0] for entry in moved]

    @property
    def same(self) -> bool:
        """Whether the normal form is the given text itself."""
        return not self._map

    def original(self, start: int, end: int) -> tuple[int, int]:
        """The span of the given text that the normal span came from; an empty span gives an empty one.

        Raises ValueError for a span that is reversed or outside of the normal form.
        """
        if not 0 <= start <= end <= len(self.text):
            raise ValueError("the span lies outside of the text")
        if not self._map:
            return start, end
        first = self._place(start)[0]
        return first, (self._place(end - 1)[1] if start < end else first)

    def touched(self, start: int, end: int) -> bool:
        """Whether the normal span holds something that stands otherwise in the given text."""
        index = bisect_right(self._starts, start) - 1
        within = index >= 0 and self._map[index][1] > start
        return within or bisect_right(self._starts, end - 1) - 1 > index

    def _place(self, position: int) -> tuple[int, int]:
        """Where the character at `position` came from: start and end in the given text."""
        index = bisect_right(self._starts, position) - 1
        if index < 0:
            return position, position + 1
        _, end, given_start, given_end = self._map[index]
        if position < end:
            return given_start, given_end
        there = given_end + position - end
        return there, there + 1

    def __repr__(self) -> str:
        return f"Normal(chars={len(self.text)}, given={self._given}, moved={len(self._map)})"


class Traced:
    """A text that came from the given one in steps: `text` is the last step's, `original` leads back through all."""

    __slots__ = ("_steps", "text")

    def __init__(self, *steps: Normal) -> None:
        """`steps`: the last first; one at least."""
        self.text = steps[0].text
        self._steps = steps

    def original(self, start: int, end: int) -> tuple[int, int]:
        """The span of the given text that a span of this one came from. Raises ValueError as `Normal.original`."""
        for step in self._steps:
            start, end = step.original(start, end)
        return start, end

    def touched(self, start: int, end: int, steps: int) -> bool:
        """Whether the span holds something that one of the last `steps` steps changed."""
        for step in self._steps[:steps]:
            if step.touched(start, end):
                return True
            start, end = step.original(start, end)
        return False

    def then(self, *steps: Normal) -> Traced:
        """The same with further steps, the last first."""
        return Traced(*steps, *self._steps)

    def __repr__(self) -> str:
        return f"Traced(chars={len(self.text)}, steps={len(self._steps)})"


def normalise(text: str) -> Normal:
    """The normal form of `text`. Plain ASCII and text that is normal already cost microseconds.

    Source: Unicode Standard Annex 15 (NFKC), Annex 44 (Default_Ignorable_Code_Point), Technical Standard 51 (emoji).
    """
    if (text.isascii() or unicodedata.is_normalized("NFKC", text)) and all_seen(text):
        return Normal(text, len(text))
    return _mapped(text)


def _mapped(text: str) -> Normal:
    pieces: list[str] = []
    moved: list[tuple[int, int, int, int]] = []
    done = made = 0
    for start, end, form in _segments(text):
        pieces += (text[done:start], form)
        made += start - done
        moved.append((made, made + len(form), start, end))
        made += len(form)
        done = end
    pieces.append(text[done:])
    return Normal("".join(pieces), len(text), tuple(moved))


def _segments(text: str) -> Iterator[Segment]:
    """The stretches of `text` that have another normal form, with that form."""
    extending: dict[str, bool] = {}
    for run in RUN.finditer(text):
        found = run.group()
        if unicodedata.is_normalized("NFKC", found) and not REMOVED.search(found):
            continue
        for start, end, form in _clusters(found, extending):
            if end - start != 1 or found[start] != form:
                yield run.start() + start, run.start() + end, form


def _clusters(run: str, extending: dict[str, bool]) -> Iterator[Segment]:
    """Cut `run` into clusters, each with its normal form, and stretches of unseen characters, which have none.

    A cluster holds a base, the characters that extend it, and what is hidden between these.
    """
    base = end = -1
    letters = ""
    hidden = -1
    for kind, start, found in _tokens(run):
        if kind == "unseen":
            hidden = start
            continue
        if kind is None and letters:
            if found not in extending:
                extending[found] = extends(found)
            if extending[found]:
                letters += found
                end, hidden = start + 1, -1
                continue
        if letters:
            yield base, end, _nfkc(letters)
        if hidden >= 0:
            yield hidden, start, ""
        hidden = -1
        if kind == "emoji":
            letters = ""
            yield start, start + len(found), found
        else:
            base, end, letters = start, start + 1, found
    if letters:
        yield base, end, _nfkc(letters)
    if hidden >= 0:
        yield hidden, len(run), ""


def _tokens(run: str) -> Iterator[Token]:
    """The run as emoji sequences, stretches of unseen characters and single characters, with their places."""
    done = 0
    if REMOVED.search(run):  # every emoji sequence holds a character that would be unseen by itself
        for special in _special().finditer(run):
            for start in range(done, special.start()):
                yield None, start, run[start]
            yield special.lastgroup, special.start(), special.group()
            done = special.end()
    for start in range(done, len(run)):
        yield None, start, run[start]


@cache
def _special() -> re.Pattern[str]:
    return re.compile(f"(?P<emoji>{EMOJI})|(?P<unseen>[{CONTROL}{INVISIBLE}]+)")


def _nfkc(cluster: str) -> str:
    if len(cluster) <= _LONG:
        return unicodedata.normalize("NFKC", cluster)
    letters = "".join(unicodedata.normalize("NFKD", letter) for letter in cluster)
    ordered: list[str] = []
    for marks, group in groupby(letters, lambda letter: unicodedata.combining(letter) != 0):
        stretch = list(group)
        ordered += sorted(stretch, key=unicodedata.combining) if marks else stretch
    return unicodedata.normalize("NFKC", "".join(ordered))
