"""Telephone numbers of several regions in one search, as `phonenumbers` finds them for each region in turn.

A `PhoneNumberMatcher` looks for candidates in a text, which takes no region, and asks of each whether it is a
number for its region, which is slow. Here candidates are looked for once. What is asked of a candidate is
first asked of its digits alone: whether they could be a number of the region at all, by lengths, prefixes and
the patterns of every type. Only where they could is `phonenumbers` asked, which then decides.

Why it is enough that one region says yes to a whole candidate: what the others find in it lies within it, and
of two results of one type and score, one within the other, Presidio keeps the outer. A plain candidate (ASCII
digits, at most 20, spaces, dots, hyphens, slashes, brackets, perhaps a plus before) ends where any candidate
that begins within it ends, so that all regions go on from the same place. Of other candidates, and of plain
ones where some region may find a number inside, each region's own matcher is asked, up to a place that no
candidate crosses.

Invariants:
* The spans are those of a matcher for each region, without those that lie within another.
* Values are kept for the text at hand alone. Time is linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from aigov.text.outline import outline

MOST_TRIES = 65_535  # after as many wrong candidates a matcher gives a text up
_MOST_DIGITS = 20
_LEAD = 10  # characters that a candidate may have before its first digit
_PLAIN = re.compile(r"[+ ()\[]*[0-9][0-9 ().\[\]/-]*")
_NOT_DIGITS = dict.fromkeys(map(ord, "+ ().[]/-"))
_TYPES = (
    "premium_rate", "toll_free", "shared_cost", "voip", "personal_number", "pager", "uan", "voicemail", "fixed_line",
    "mobile",
)  # fmt: skip
_DIGIT = re.compile(r"\d")


class TooMany(Exception):
    """So many wrong candidates that a matcher may give the text up: its own count must be asked."""


class Plan:
    """What a region's numbers look like in digits alone: a test that no number of the region fails."""

    __slots__ = ("_code", "_first", "_foreign", "_formats", "_lengths", "_prefix", "_rule", "_transforms", "_valid")

    def __init__(self, region: str) -> None:
        """Raises KeyError for a region that `phonenumbers` does not know."""
        from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata, phonenumberutil

        self._rule = phonenumberutil._choose_formatting_pattern_for_number
        self._first = phonenumberutil._formatting_rule_has_first_group_only
        own = PhoneMetadata.metadata_for_region(region, None)
        if own is None:
            raise KeyError(region)
        self._code = str(own.country_code)
        self._foreign = re.compile(own.international_prefix or "(?!)")
        self._prefix = re.compile(own.national_prefix_for_parsing or "(?!)")
        self._transforms = bool(own.national_prefix_transform_rule)
        regions = COUNTRY_CODE_TO_REGION_CODE[own.country_code or 0]
        same = [PhoneMetadata.metadata_for_region(one, None) for one in regions]
        main = same[0]  # what is stripped of a number with its country's code is the main region's prefix
        if main is None or main.national_prefix_for_parsing != own.national_prefix_for_parsing:
            raise KeyError(region)
        self._formats = main.number_format
        types = [getattr(one, name) for one in same if one is not None for name in _TYPES]
        patterns = {one.national_number_pattern for one in types if one is not None and one.national_number_pattern}
        self._valid = re.compile("|".join(f"(?:{pattern})" for pattern in sorted(patterns)))
        self._lengths = frozenset(
            size for one in same if one and one.general_desc for size in one.general_desc.possible_length
        )

    def could_hold(self, digits: str) -> bool:
        """Whether these digits, written without a plus, could be a valid number for the region."""
        if self._foreign.match(digits):
            return True
        forms = {digits}
        if digits.startswith(self._code):
            forms.add(digits[len(self._code) :])
        for _ in range(2):  # the prefix is taken off once with the country's code, and once more
            for form in tuple(forms):
                found = self._prefix.match(form)
                if found and self._transforms and found.lastindex:
                    return True
                if found:
                    forms.add(form[found.end() :])
        held = [form for form in forms if len(form) in self._lengths and self._valid.fullmatch(form)]
        return held not in ([], [digits]) or (bool(held) and (self._bare(digits) or bool(self._prefix.match(digits))))

    def _bare(self, digits: str) -> bool:
        """Whether a number may stand without the prefix that is dialled within its country."""
        rule: Any = self._rule(self._formats, digits)
        written = rule.national_prefix_formatting_rule if rule is not None else None
        return not written or bool(rule.national_prefix_optional_when_formatting) or self._first(written)


class Phones:
    """Finds numbers of several regions at the leniency of `phonenumbers` (1 and above: valid numbers)."""

    __slots__ = ("_leniency", "_outside", "_plans", "_regions")

    def __init__(self, regions: Iterable[str], leniency: int) -> None:
        """Raises KeyError where the regions or the leniency are such that each matcher must be asked in turn."""
        if leniency < 1:
            raise KeyError(leniency)
        self._regions = tuple(dict.fromkeys(regions))
        self._leniency = leniency
        self._plans = {region: Plan(region) for region in self._regions}
        self._outside = _outside()

    def spans(self, text: str, check: Callable[[], object] = lambda: None) -> list[tuple[int, int]]:
        """Start and end of every number of any of the regions, of spans within one another the outer.

        `check` is called now and then and may raise. Raises TooMany.
        """
        return _Search(text, self._regions, self._leniency, self._plans, self._outside, check).spans()

    def __repr__(self) -> str:
        return f"Phones(regions={len(self._regions)})"


def _outside() -> Any:
    """Finds the next character that no candidate holds."""
    from phonenumbers.phonenumbermatcher import _PATTERN

    seen = outline(_PATTERN.pattern, re.I)
    if seen is None:
        raise KeyError("pattern")
    within = "".join(re.escape(chr(code)) for code in sorted(seen.alphabet) if code < 128)
    return re.compile(f"(?!\\d)[\\x00-\\x7f](?<![{within}])")


class _Search:
    """One text, searched once for all regions."""

    def __init__(
        self, text: str, regions: Sequence[str], leniency: int, plans: dict[str, Plan], outside: Any,
        check: Callable[[], object],
    ) -> None:  # fmt: skip
        from phonenumbers.phonenumbermatcher import (
            _PATTERN,
            _SLASH_SEPARATED_DATES,
            _TIME_STAMPS,
            _TIME_STAMPS_SUFFIX,
        )  # fmt: skip

        self._text, self._regions, self._leniency = text, regions, leniency
        self._plans, self._outside, self._check = plans, outside, check
        self._next, self._dates = _PATTERN.search, _SLASH_SEPARATED_DATES.search
        self._stamp, self._stamp_goes_on = _TIME_STAMPS.search, _TIME_STAMPS_SUFFIX.match
        self._matchers: dict[str, Any] = {}
        self._could: dict[tuple[str, str], bool] = {}
        self._tries = 0

    def spans(self) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        at = 0
        while True:
            candidate = self._candidate(at)
            if candidate is None:
                return found
            self._check()
            start, end, value = candidate
            if self._plain(value, end):
                found += self._in_plain(start, end, value)
            else:
                end = self._barrier(end)
                for region in self._regions:
                    found += self._walk(region, start, end)
            at = end

    def _candidate(self, at: int) -> tuple[int, int, str] | None:
        """The next candidate from `at` on; what comes before a digit cannot be longer than the lead."""
        digit = _DIGIT.search(self._text, at)
        match = digit and self._next(self._text, max(at, digit.start() - _LEAD))
        return (match.start(), match.end(), match.group()) if match else None

    def _plain(self, value: str, end: int) -> bool:
        """Whether every candidate that begins within this one ends where it ends."""
        if not _PLAIN.fullmatch(value) or not value[-1].isdigit():
            return False
        return len(value.translate(_NOT_DIGITS)) <= _MOST_DIGITS

    def _barrier(self, end: int) -> int:
        """A place from `end` on that no candidate crosses."""
        found = self._outside.search(self._text, end)
        return found.start() if found else len(self._text)

    def _in_plain(self, start: int, end: int, value: str) -> list[tuple[int, int]]:
        """What the regions find in a plain candidate."""
        self._count(7 + 6 * (len(value) - len(value.translate(_NOT_DIGITS))))
        if self._dates(value) or (self._stamp(value) and self._stamp_goes_on(self._text, end)):
            # no matcher takes a date or a time for a number, nor looks inside of it
            return []
        foreign = "+" in value
        for region in self._regions[:1] if foreign else self._could_hold(value):  # after a plus all regions read alike
            if self._is_number(region, value, start):
                return [(start, end)]
        inside = {region for part in _parts(value) for region in self._could_hold(part)}
        regions = [region for region in self._regions if foreign or region in inside]
        return [span for region in regions for span in self._walk(region, start, end)]

    def _is_number(self, region: str, value: str, start: int) -> bool:
        """Whether the whole candidate, no date and no time, is a number for the region, by its own matcher."""
        return self._matcher(region)._parse_and_verify(value, start) is not None

    def _could_hold(self, value: str) -> Iterator[str]:
        """The regions of which these digits could be a number."""
        digits = value.translate(_NOT_DIGITS)
        for region, plan in self._plans.items():
            known = self._could.get((digits, region))
            if known is None:
                known = self._could[digits, region] = plan.could_hold(digits)
            if known:
                yield region

    def _walk(self, region: str, at: int, stop: int) -> Iterator[tuple[int, int]]:
        """What the region's own matcher finds among the candidates that begin before `stop`."""
        from phonenumbers.phonenumberutil import _SECOND_NUMBER_START_PATTERN

        matcher = self._matcher(region)
        while True:
            match = self._next(self._text, at)
            if match is None or match.start() >= stop:
                return
            value = matcher._trim_after_first_match(_SECOND_NUMBER_START_PATTERN, match.group())
            self._count(7 + 6 * len(value))
            number = matcher._extract_match(value, match.start())
            if number is not None:
                yield number.start, number.end
            at = number.end if number is not None else match.start() + len(value)

    def _matcher(self, region: str) -> Any:
        from phonenumbers import PhoneNumberMatcher

        if region not in self._matchers:
            self._matchers[region] = PhoneNumberMatcher(self._text, region, leniency=self._leniency)
        return self._matchers[region]

    def _count(self, tries: int) -> None:
        """Count the most tries that a matcher may have used up: with none left it finds nothing more."""
        self._tries += tries
        if self._tries >= MOST_TRIES:
            raise TooMany


def _parts(value: str) -> Iterator[str]:
    """The parts of a candidate in which a matcher looks when the whole is no number."""
    from phonenumbers.phonenumbermatcher import _INNER_MATCHES

    for breaking in _INNER_MATCHES:
        found = breaking.search(value)
        if found:
            yield value[: found.start()]
        while found:
            yield found.group(1)
            found = breaking.search(value, found.start() + 1)
