"""The review guard: an answer that is unsure of itself goes to a person before it is released.

Invariants:
* A stated confidence that is no number from 0 to 1 counts as too low: what cannot be read cannot vouch.
* An answer that states no confidence is none of this guard's business; neither is a call on its way in.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from aigov.errors import PolicyError
from aigov.hookspecs import Context, hookimpl
from aigov.review.codes import CODES, LOW_CONFIDENCE
from aigov.review.settings import Settings
from aigov.types import Facts, Reason, Ruling, Section, Verdict


class ReviewPlugin:
    """What registers under the policy key `review`."""

    @hookimpl
    def aigov_settings(self) -> type[msgspec.Struct]:
        """The settings of the policy key `review`."""
        return Settings

    @hookimpl
    def aigov_start(self, settings: Section, context: Context) -> Guard:
        """A guard for one loaded policy. Raises PolicyError that names the entry at fault."""
        faults = settings.value.faults()
        if faults:
            raise PolicyError(settings.problem(key, what=what, fix=fix) for key, (what, fix) in faults.items())
        return Guard(settings.value.min_confidence, settings.layer)

    @hookimpl
    def aigov_reasons(self) -> Iterable[str]:
        """Every code of this room: the guard's own, and those that a resumed call is refused with."""
        return tuple(CODES)


class Guard:
    """Judges answers by the confidence that they state. `least` 0 is off."""

    def __init__(self, least: float, layer: str) -> None:
        self._least = least
        self._ruling = Ruling(
            verdict=Verdict.REVIEW, reason=Reason(code=LOW_CONFIDENCE, rule="min_confidence", layer=layer)
        )

    @hookimpl
    def aigov_judge(self, facts: Facts) -> Iterable[Ruling]:
        """REVIEW for an answer whose stated confidence is under the least, or is no number from 0 to 1."""
        if not self._least or facts.direction != "output" or facts.confidence is None:
            return ()
        return () if _assured(facts.confidence, self._least) else (self._ruling,)


def _assured(stated: object, least: float) -> bool:
    """Whether it is a real number from `least` to 1; True and "0.9" are none, and NaN compares to nothing."""
    if isinstance(stated, bool) or not isinstance(stated, int | float):
        return False
    return least <= stated <= 1


plugin = ReviewPlugin()
