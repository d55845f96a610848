"""What a recogniser says of a text, and which of what all of them say counts.

Invariants:
* A result names a declared type, a span of the text and a score: anything else could hold content, and is nonsense.
* Of the hits of one type those stay that Presidio keeps, in its order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

CEILING = 1.0


class Hit(NamedTuple):
    """One result: what, from where to where, how sure, and by which of the recognisers (its index)."""

    type: str
    start: int
    end: int
    score: float
    by: int
    named: str = ""
    settled: bool = False


class Nonsense(Exception):
    """A recogniser's answer that is no result. Holds nothing of it."""


def outermost(hits: list[Hit]) -> list[Hit]:
    """Presidio's rule: of equal hits one, none of score 0, none within another of its type that is as sure.

    Surest first, then in order of place, the longer first.
    """
    kinds: dict[str, list[Hit]] = {}
    for hit in hits:
        if hit.score:
            kinds.setdefault(hit.type, []).append(hit)
    kept = [hit for kind in sorted(kinds) for hit in _outer(kinds[kind])]
    kept.sort(key=lambda hit: (-hit.score, hit.start, hit.start - hit.end))
    return kept


def _outer(hits: list[Hit]) -> list[Hit]:
    """Of hits of one type those that lie in no other that is as sure, in order of place."""
    if len(hits) < 2:
        return hits
    kept: list[Hit] = []
    active: list[Hit] = []
    reach = 0
    for hit in sorted(hits, key=lambda hit: (hit.start, -hit.end, -hit.score)):
        if hit.end <= reach:  # only then may one that is kept hold it
            active = [one for one in active if one.end >= hit.start]
            if any(one.end >= hit.end and one.score >= hit.score for one in active):
                continue
        reach = max(reach, hit.end)
        kept.append(hit)
        active.append(hit)
    return kept


def apart(spans: Sequence[tuple[int, int]]) -> bool:
    """Whether each begins where the one before it ends, or later: then none lies within another."""
    return all(spans[index][0] >= spans[index - 1][1] for index in range(1, len(spans)))


def sound(result: Any, known: frozenset[str], length: int) -> bool:
    """Whether a result names a declared type, a span of the text and a score: a type could hold content."""
    start, end, score = result.start, result.end, result.score
    span = type(start) is int and type(end) is int and 0 <= start < end <= length
    return result.entity_type in known and span and isinstance(score, (int, float)) and 0 <= score <= CEILING
