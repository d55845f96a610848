"""Telephone numbers of several regions in one search, as `phonenumbers` finds them for each region in turn.

Each candidate (`candidates`) is asked of all regions at once; which of them say yes is a mask, a bit a region. Regions
go on from where each of them found something, so they may look at different candidates for a while; those at the
same place go on together. Of a plain candidate `numbering` knows the answer by its digits; about any other
`phonenumbers` itself is asked.

Why it is enough that one region says yes to a plain candidate of at most 20 digits: what the others find in it lies
within it, and of two results of one type and score, one within the other, Presidio keeps the outer. Such a
candidate ends where any candidate that begins within it ends, so all regions go on from its end.

Invariants:
* The spans are those of a matcher for each region, without those that lie within another.
* Values are kept for the text at hand alone. Time is linear in the text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from aigov.privacy.candidates import Candidate, Candidates, Piece, Signs
from aigov.privacy.numbering import Plans, Unplanned

MOST_TRIES = 65_535  # after as many wrong candidates a matcher gives a text up
_MOST_CUTS = 7  # parts before the first of each kind of cut, and the whole; each sign makes two more at most
_ALONE = 1  # the leniency at which a number need only be valid


class TooMany(Exception):
    """So many wrong candidates that a matcher may give the text up: its own count must be asked."""


class Phones:
    """Finds numbers of several regions at the leniency of `phonenumbers` (1 and above: valid numbers)."""

    __slots__ = ("_leniency", "_plans", "_signs")

    def __init__(self, regions: Iterable[str], leniency: int) -> None:
        """Raises KeyError where the regions or the leniency are such that each matcher must be asked in turn."""
        if leniency < _ALONE:
            raise KeyError(leniency)
        self._leniency = leniency
        self._signs = Signs()
        try:
            self._plans = Plans(tuple(dict.fromkeys(regions)))
        except Unplanned:
            raise KeyError("tables") from None

    def candidates(self, text: str) -> Candidates:
        """What `spans` looks at, of a text in which several look."""
        return Candidates(text, self._signs)

    def spans(
        self, text: str, check: Callable[[], object] = lambda: None, candidates: Candidates | None = None
    ) -> list[tuple[int, int]]:  # fmt: skip
        """Start and end of every number of any of the regions, of spans within one another the outer.

        `check` is called now and then and may raise. Raises TooMany.
        """
        return _Search(candidates or self.candidates(text), self._plans, self._leniency, check).spans()

    def __repr__(self) -> str:
        return f"Phones(regions={len(self._plans.regions)})"


class _Search:
    """One text, searched once for all regions."""

    def __init__(
        self, candidates: Candidates, plans: Plans, leniency: int, check: Callable[[], object]
    ) -> None:  # fmt: skip
        self._candidates, self._plans, self._leniency, self._check = candidates, plans, leniency, check
        self._matchers: dict[str, Any] = {}
        self._holding: dict[tuple[str, bool], int] = {}
        self._found: list[tuple[int, int]] = []
        self._waiting: dict[int, int] = {0: plans.every}
        self._tries = 0

    def spans(self) -> list[tuple[int, int]]:
        waiting = self._waiting
        while waiting:
            at = min(waiting)
            regions = waiting.pop(at)
            candidate = self._candidates.at(at)
            if candidate is not None:
                self._check()
                self._count(candidate.passed)
                self._look(candidate, regions)
        return self._found

    def _look(self, one: Candidate, regions: int) -> None:
        """Note what these regions find in a candidate, and from where each goes on."""
        whole = one.whole
        contained = one.self_contained(len(whole.digits))
        saying = self._saying(whole, regions, one.plain, enough=contained and regions == self._plans.every)
        if saying and contained:
            self._found.append((one.start, one.end))
            self._count(_MOST_CUTS + 2 * (len(one.value) - len(whole.digits)))
            self._go_on(one.end, regions)
            return
        rest = self._note(whole, saying, regions) if saying else regions
        tries = 2
        for piece in one.parts if rest else ():
            tries += 1
            saying = self._saying(piece, rest, one.plain)
            if saying:
                rest = self._note(piece, saying, rest)
                if not rest:
                    break
        self._count(tries)
        if rest:
            self._go_on(one.end, rest)

    def _note(self, piece: Piece, saying: int, regions: int) -> int:
        """The regions that go on looking in the candidate, when these have found a piece."""
        end = piece.start + len(piece.value)
        self._found.append((piece.start, end))
        self._go_on(end, saying)
        return regions & ~saying

    def _go_on(self, place: int, regions: int) -> None:
        self._waiting[place] = self._waiting.get(place, 0) | regions

    def _count(self, tries: int) -> None:
        """Count the most tries that a matcher may have used up: with none left it finds nothing more."""
        self._tries += tries
        if self._tries >= MOST_TRIES:
            raise TooMany

    def _saying(self, piece: Piece, regions: int, plain: bool, enough: bool = False) -> int:
        """Which of these regions say that a piece is a number of theirs, where it stands. `enough`: one of them is."""
        if not plain:
            return self._asked(piece, regions)
        _, _, digits, plus = piece
        if not plus and not self._plans.tests(digits):
            return 0
        known = self._holding.get(key := (digits, plus))
        if known is None:
            enough = enough and self._leniency == _ALONE
            known = self._plans.holding(digits, plus, enough)
            if not enough:
                self._holding[key] = known
        saying = known & regions
        if not saying or not self._candidates.stands(piece):
            return 0
        return saying if self._leniency == _ALONE else self._asked(piece, saying)

    def _asked(self, piece: Piece, regions: int) -> int:
        """What each region's own matcher says of a piece."""
        every = self._plans.regions
        return sum(
            bit for bit, region, _ in every
            if bit & regions and self._matcher(region)._parse_and_verify(piece.value, piece.start) is not None
        )  # fmt: skip

    def _matcher(self, region: str) -> Any:
        from phonenumbers import PhoneNumberMatcher

        if region not in self._matchers:
            self._matchers[region] = PhoneNumberMatcher(self._candidates.text, region, leniency=self._leniency)
        return self._matchers[region]
