"""Spans of a text: overlapping edits resolved once for all guards, and replacements put in.

Invariants:
* Every character that some edit covers is covered by exactly one edit of the result.
* Of edits that overlap, the higher score wins, then the longer, then the one that starts earlier, then
  type, action and guard by name: the order in which guards answered never matters.
* A loser wholly inside winners disappears; what sticks out of them stays as an edit of its own.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Sequence

from aigov.types import Edit

Replacement = tuple[int, int, str]


def resolve(edits: Iterable[Edit]) -> tuple[Edit, ...]:
    """Disjoint edits, sorted by part and start, that cover what `edits` cover. Empty ones are dropped.

    Raises ValueError for a span that is reversed, negative or not finite in score.
    """
    by_part: dict[int, list[Edit]] = {}
    for edit in edits:
        if not 0 <= edit.start <= edit.end or edit.score != edit.score:
            raise ValueError("an edit has a reversed or negative span, or no score")
        if edit.start < edit.end:
            by_part.setdefault(edit.part, []).append(edit)
    return tuple(piece for part in sorted(by_part) for piece in _resolve_part(by_part[part]))


def splice(text: str, replacements: Iterable[Replacement]) -> str:
    """`text` with each `(start, end, replacement)` put in; offsets are those of `text`.

    Raises ValueError where spans overlap or lie outside of the text.
    """
    pieces: list[str] = []
    done = 0
    for start, end, replacement in checked(replacements, len(text)):
        pieces += (text[done:start], replacement)
        done = end
    return "".join((*pieces, text[done:]))


def checked(replacements: Iterable[Replacement], length: int) -> Sequence[Replacement]:
    """The replacements by position. Raises ValueError where spans overlap or lie outside of `length` characters."""
    ordered = sorted(replacements, key=lambda replacement: replacement[:2])
    done = 0
    for start, end, _ in ordered:
        if not done <= start <= end <= length:
            raise ValueError("replacements overlap or lie outside of the text")
        done = end
    return ordered


def _rank(edit: Edit) -> tuple[object, ...]:
    return (-edit.score, edit.start - edit.end, edit.start, edit.type, edit.action, edit.guard)


def _resolve_part(edits: list[Edit]) -> list[Edit]:
    """Sweep over the ends of all spans; between two neighbours the best edit that is open owns the text."""
    ranked = sorted(set(edits), key=_rank)
    opening = sorted(range(len(ranked)), key=lambda index: ranked[index].start, reverse=True)
    bounds = sorted({bound for edit in ranked for bound in (edit.start, edit.end)})
    open_now: list[int] = []
    owned: list[tuple[int, int, int]] = []
    for here, there in itertools.pairwise(bounds):
        while opening and ranked[opening[-1]].start <= here:
            heapq.heappush(open_now, opening.pop())
        while open_now and ranked[open_now[0]].end <= here:
            heapq.heappop(open_now)
        if not open_now:
            continue
        if owned and owned[-1][0] == open_now[0] and owned[-1][2] == here:
            owned[-1] = (open_now[0], owned[-1][1], there)
        else:
            owned.append((open_now[0], here, there))
    return [_piece(ranked[index], start, end) for index, start, end in owned]


def _piece(edit: Edit, start: int, end: int) -> Edit:
    if (edit.start, edit.end) == (start, end):
        return edit
    return Edit(
        part=edit.part, start=start, end=end, type=edit.type, action=edit.action, guard=edit.guard, score=edit.score
    )
