"""Texts with their tagged spans, and what may be learnt from each.

A public set does not tag everything: where a label is outside `known`, a word without a tag says nothing about it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

PERSON, LOCATION, ORGANIZATION = "PERSON", "LOCATION", "ORGANIZATION"
NRP, DATE_TIME, USERNAME, TITLE = "NRP", "DATE_TIME", "USERNAME", "TITLE"
TYPES = (PERSON, LOCATION, ORGANIZATION, NRP, DATE_TIME, USERNAME, TITLE)
#: The token head's labels, in the order of its outputs.
LABELS = ("O", *(f"{edge}-{name}" for name in TYPES for edge in "BI"))

Span = tuple[int, int, str]


@dataclass(frozen=True)
class Tagged:
    """A text, its spans in code points, and whether it is hostile: 1.0, 0.0 or None where nobody knows.

    `known` are the types that were tagged throughout (empty: nothing is learnt about entities), `weight` is how far the
    hostility label is trusted.
    """

    text: str
    spans: tuple[Span, ...] = ()
    known: frozenset[str] = frozenset(TYPES)
    hostile: float | None = None
    weight: float = 1.0
    source: str = ""
    tags: tuple[str, ...] = field(default=())


def held_back(key: str, share: float) -> bool:
    """Whether what has this key is kept from training: always the same answer for the same key."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") < share * 2**32


def shifted(spans: Sequence[Span], by: int) -> tuple[Span, ...]:
    """The same spans, `by` code points further on."""
    return tuple((start + by, end + by, name) for start, end, name in spans)
