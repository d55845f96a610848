"""Which pieces of a long text are read together, so that it matters little where it was cut.

A text that one window can hold is read whole. A longer one is cut where a cut disturbs least: a blank line, a line
break, the end of a sentence, a comma, a space, in this order; of two places alike, by a hash of the pieces that follow.
A place is a cut if it is the best one within `REACH` pieces on both sides, which depends on the text near it
alone: what stands farther away moves no cut. Each window sees `CONTEXT` pieces of its neighbours too.

Invariants:
* Windows share out the pieces: each is `own` in exactly one of them, in order, and no window is longer than asked for.
* Words are cut only where a single one is longer than a window.
* Where nothing is the best place within reach, as in text that repeats itself, a window is cut after its best
  place from `REACH` on: such cuts depend on where the stretch begins, and on nothing after it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from aigov.encoder.pieces import Pieces

READ = 176  # pieces that a model is given at most, those around a sequence too: as many as the shipped one learnt on
REACH = 64
CONTEXT = 8
LOOKAHEAD = 6  # pieces that decide between places of one kind
_ABBREVIATED = frozenset(
    {
        "mr", "mrs", "ms", "mme", "mlle", "dr", "prof", "st", "sr", "jr", "sra", "srta", "herr", "fr", "hr", "no", "nr",
        "inc", "ltd", "co", "corp", "vs", "etc", "ca", "bzw", "str", "ave", "blvd", "rd", "gen", "col", "sgt", "lt",
        "capt", "rev", "hon", "dept", "fig", "al", "approx", "tel", "ext", "pp", "vol", "jan", "feb", "mar", "apr",
        "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec",
    }
)  # fmt: skip
_CLOSERS = "\"'”’»)]}*_"
_ENDS = ".!?…"
_WIDE_ENDS = "。！？｡"
_LINES = re.compile(r"\r\n|[\n\r\x0b\x0c\x85\u2028\u2029]")
NOWHERE, JOINED, SPACE, CLAUSE, SENTENCE, LINE, BLANK = range(-1, 6)


class Window(NamedTuple):
    """Pieces `left` to `right` are read, of which `first` to `last` are this window's own."""

    left: int
    first: int
    last: int
    right: int


def windows(text: str, pieces: Pieces, most: int) -> list[Window]:
    """The windows of a text. `most`: pieces that one may read."""
    count = len(pieces)
    if count <= most:
        return [Window(0, 0, count, count)] if count else []
    context = min(CONTEXT, most // 4)
    own = most - 2 * context
    places = _places(text, pieces)
    bounds = [0, *_bounded(_best(places, count), places, count, own)]
    return [_seeing(first, last, pieces, context) for first, last in pairwise(bounds)]


class _Place(NamedTuple):
    """A piece before which a text may be cut, and how well: the kind of place, then a hash."""

    at: int
    rank: tuple[int, int]


def _places(text: str, pieces: Pieces) -> list[_Place]:
    offsets, words, hashes = pieces.offsets, pieces.words, _hashes(pieces.ids)
    return [
        _Place(at, (_kind(text, offsets[at - 1][1], offsets[at][0]), hashes[at]))
        for at in range(1, len(words))
        if words[at] != words[at - 1]
    ]


def _kind(text: str, end: int, start: int) -> int:
    """What kind of place lies between two words: the end of the first and the start of the second."""
    gap, last = text[end:start], text[end - 1 : end]
    if gap == " " and last.isalnum():
        return SPACE
    if not gap or not any(map(str.isspace, gap)):
        return SENTENCE if last in _WIDE_ENDS else JOINED
    lines = len(_LINES.findall(gap))
    if lines:
        return BLANK if lines > 1 else LINE
    if _ends_sentence(text, end):
        return SENTENCE
    return CLAUSE if last in ",;:)–—" else SPACE


def _ends_sentence(text: str, end: int) -> bool:
    """Whether a sentence ends at `end`: a sign that ends one, closing signs aside, and no abbreviation or initial."""
    at = end
    while at > 0 and end - at < 4 and text[at - 1] in _CLOSERS:
        at -= 1
    if at == 0 or text[at - 1] not in _ENDS:
        return False
    if text[at - 1] != "." or at < end:
        return True
    word = ""
    while len(word) < 6 and at - 2 - len(word) >= 0 and text[at - 2 - len(word)].isalpha():
        word = text[at - 2 - len(word)] + word
    return len(word) != 1 and word.lower() not in _ABBREVIATED


def _hashes(ids: Sequence[int]) -> list[int]:
    """For each piece a number that depends on it and the next ones alone, the same everywhere."""
    import numpy

    row = numpy.array([*ids, *[0] * LOOKAHEAD], numpy.uint32)
    mixed = numpy.zeros(len(ids), numpy.uint32)
    for ahead in range(LOOKAHEAD):
        mixed = mixed * numpy.uint32(0x9E3779B1) + row[ahead : ahead + len(ids)] * numpy.uint32(0x85EBCA6B)
        mixed ^= mixed >> numpy.uint32(15)
    found: list[int] = mixed.tolist()
    return found


def _best(places: Sequence[_Place], count: int) -> list[int]:
    """The places that none within `REACH` outranks; of equal ones the first alone, and none near either end."""
    kept = []
    left = _nearest(places, -1)
    right = _nearest(places[::-1], count + REACH)[::-1]
    for place, before, after in zip(places, left, right, strict=True):
        inside = REACH <= place.at <= count - REACH
        if inside and (before < 0 or place.at - before >= REACH) and after - place.at >= REACH:
            kept.append(place.at)
    return kept


def _nearest(places: Sequence[_Place], none: int) -> list[int]:
    """For each place, in this order, the one before it that outranks it; of equal ones whichever is further left."""
    found: list[int] = []
    open_: list[_Place] = []
    for place in places:
        while open_ and not _outranks(open_[-1], place):
            open_.pop()
        found.append(open_[-1].at if open_ else none)
        open_.append(place)
    return found


def _outranks(one: _Place, other: _Place) -> bool:
    return one.rank > other.rank or (one.rank == other.rank and one.at < other.at)


def _bounded(cuts: Sequence[int], places: Sequence[_Place], count: int, own: int) -> list[int]:
    """The cuts, with more of them where two are further apart than a window's own pieces; the end is the last."""
    bounds: list[int] = []
    start = at = 0
    for cut in (*cuts, count):
        while cut - start > own:
            while at < len(places) and places[at].at <= start:
                at += 1
            start, at = _further(places, at, start, own, cut)
            bounds.append(start)
        bounds.append(cut)
        start = cut
    return bounds


def _further(places: Sequence[_Place], at: int, start: int, own: int, cut: int) -> tuple[int, int]:
    """The best place from which the rest of a stretch is a window of its own, and where to look on from."""
    end, best, least = at, -1, min(REACH, own // 2)
    while end < len(places) and places[end].at - start <= own and places[end].at < cut:
        far = places[end].at - start >= least
        if far and (best < 0 or places[end].rank >= places[best].rank):
            best = end
        end += 1
    return (places[best].at, best + 1) if best >= 0 else (start + own, end)


def _seeing(first: int, last: int, pieces: Pieces, context: int) -> Window:
    """A window with what it sees of its neighbours: whole words of them."""
    left, right = max(0, first - context), min(len(pieces), last + context)
    words = pieces.words
    while 0 < left < first and words[left] == words[left - 1]:
        left += 1
    while last < right < len(pieces) and words[right] == words[right - 1]:
        right -= 1
    return Window(left, first, last, right)
