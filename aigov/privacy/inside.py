"""What a model sees inside of a value that a pattern is sure of is part of that value.

A name in an e-mail address, letters in an account number: what is done with the whole, or that it is on the allow
list, holds for them. What reaches out of the value stays a finding of its own.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate

from aigov.types import Finding

SURE = 0.85  # as sure as a form with a check, or one of the policy's own, is


def without_parts(findings: Iterable[Finding], models: frozenset[str]) -> tuple[Finding, ...]:
    """The findings without those of `models` (detectors by name) that lie inside of a sure one of a pattern."""
    every = tuple(findings)
    if not models:
        return every
    sure = sorted((one.start, one.end) for one in every if one.detector not in models and one.score >= SURE)
    if not sure:
        return every
    starts, reach = [start for start, _ in sure], list(accumulate((end for _, end in sure), max))

    def inside(one: Finding) -> bool:
        at = bisect_right(starts, one.start) - 1
        return at >= 0 and reach[at] >= one.end

    return tuple(one for one in every if one.detector not in models or not inside(one))
