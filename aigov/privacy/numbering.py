"""Whether digits are a telephone number of a region, as `phonenumbers` decides, with its tables read once.

`phonenumbers` parses a text, finds the region, walks every kind of number and the rules of writing, and looks up its
tables and compiles their expressions on the way: 25 to 60 µs for each candidate and region. Of a candidate that is
digits and signs alone all of this depends on the digits, and on whether a plus stands before them. Here the tables
of a country are prepared once; an answer is then a few matches of prepared expressions.

Invariants:
* The answers are those of a `PhoneNumberMatcher` at leniency 1 on a text that is these digits and nothing else.
* Nothing is remembered of a number but which regions its first three digits and its length leave open, and how each
  of them is asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

FEWEST, MOST = 2, 17  # digits of a number within its country
_LONGEST_CODE = 3
_HEAD = 3
_TYPES = (
    "premium_rate", "toll_free", "shared_cost", "voip", "personal_number", "pager", "uan", "voicemail", "fixed_line",
)  # fmt: skip
Match = Callable[[str], Any]
Test = Callable[[str], bool]


class Unplanned(Exception):
    """Tables in which something stands that is not read here."""


class Rules:
    """One region's tables: what is taken off the front of its numbers, how long they are, how they are written."""

    __slots__ = (
        "_bound", "_described", "_formats", "_lengths", "_local", "_longest", "_prefix", "_transform", "begun", "idd",
    )  # fmt: skip

    def __init__(self, metadata: Any) -> None:
        """`metadata`: `phonenumbers.PhoneMetadata` of a region or of a code of no country."""
        import regex

        general = metadata.general_desc
        if general is None or not general.possible_length or not general.national_number_pattern:
            raise Unplanned
        self._described: Match = re.compile(general.national_number_pattern).fullmatch
        self._lengths, self._local = frozenset(general.possible_length), frozenset(general.possible_length_local_only)
        self._longest = max(self._lengths)
        prefix = metadata.national_prefix_for_parsing
        self._prefix = re.compile(prefix) if prefix else None
        self._transform = metadata.national_prefix_transform_rule or None
        if self._transform and (self._prefix is None or not self._prefix.groups):
            raise Unplanned
        self.idd = re.compile(metadata.international_prefix) if metadata.international_prefix else None
        self._formats = [_format(one) for one in metadata.number_format]
        self.begun = regex.compile(prefix or "(?!)")
        self._bound = [
            regex.compile(one.leading_digits_pattern[-1] if one.leading_digits_pattern else "")
            for one, (_, _, free) in zip(metadata.number_format, self._formats, strict=True)
            if not free
        ]

    def free(self, head: str) -> bool:
        """Whether all numbers that begin with these digits may be written without a prefix."""
        return not any(one.match(head, partial=True) for one in self._bound)

    @property
    def transforms(self) -> bool:
        """Whether something is put in the place of what is taken off."""
        return self._transform is not None

    def described(self, digits: str) -> bool:
        """Whether the region's general description holds for them, whatever their number."""
        return self._described(digits) is not None

    def too_long(self, digits: str) -> bool:
        """Whether they are more than any number of the region has."""
        return len(digits) not in self._local and len(digits) > self._longest

    def without_prefix(self, digits: str) -> tuple[str, bool]:
        """The digits without what is dialled before a number within the country, and whether there was any."""
        found = self._prefix.match(digits) if self._prefix and digits else None
        if found is None:
            return digits, False
        if self._transform is None or found.group(found.re.groups) is None:
            rest = digits[found.end() :]
        else:
            rest = found.re.sub(self._transform, digits, count=1)
        if self.described(digits) and not self.described(rest):
            return digits, False
        return rest, True

    def significant(self, digits: str) -> str:
        """What is left of a number without its country's code when its prefix is taken off, where that may be."""
        rest = self.without_prefix(digits)[0]
        size = len(rest)
        possible = size not in self._local and (size in self._lengths or size > self._longest)
        return rest if possible else digits

    def may_be_written(self, number: str, digits: str) -> bool:
        """Whether `number` may be written as `digits`: with its prefix, where numbers of its kind usually have it."""
        for starts, fits, free in self._formats:
            if (starts is None or starts(number)) and fits(number):
                return free or self.without_prefix(digits)[1]
        return True


def _format(one: Any) -> tuple[Match | None, Match, bool]:
    """How numbers are written: those that begin so, those that it fits, and whether they may lack the prefix."""
    from phonenumbers.phonenumberutil import _formatting_rule_has_first_group_only

    leading, rule = one.leading_digits_pattern, one.national_prefix_formatting_rule
    free = not rule or bool(one.national_prefix_optional_when_formatting) or _formatting_rule_has_first_group_only(rule)
    return re.compile(leading[-1]).match if leading else None, re.compile(one.pattern).fullmatch, free


class Kinds:
    """The kinds of number that a region has, by length. `leading`: how all of them begin, where that decides."""

    __slots__ = ("_by_length", "leading", "patterns")

    def __init__(self, metadata: Any) -> None:
        general, mobile = metadata.general_desc, metadata.mobile
        kinds = [getattr(metadata, name) for name in _TYPES]
        kinds += [] if metadata.same_mobile_and_fixed_line_pattern else [mobile]
        held = [one for one in kinds if one is not None and one.national_number_pattern]
        self.leading = re.compile(metadata.leading_digits).match if metadata.leading_digits is not None else None
        self.patterns = {
            size: [
                one.national_number_pattern for one in held if not one.possible_length or size in one.possible_length
            ]
            for size in general.possible_length
        }
        self._by_length = {
            size: re.compile(rf"(?=(?:{general.national_number_pattern})\Z){_any(patterns)}").fullmatch
            for size, patterns in self.patterns.items()
            if patterns
        }

    def hold(self, number: str) -> bool:
        """Whether it is a number of one of the kinds."""
        known = self._by_length.get(len(number))
        return known is not None and known(number) is not None


def _any(patterns: Sequence[str]) -> str:
    return "(?:" + "|".join(f"(?:{one})" for one in dict.fromkeys(patterns)) + ")"


class Country:
    """Everything behind one country calling code."""

    __slots__ = ("_kinds", "_likely", "patterns", "rules")

    def __init__(self, code: int) -> None:
        from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata

        regions = COUNTRY_CODE_TO_REGION_CODE[code]
        every = [PhoneMetadata.metadata_for_region_or_calling_code(code, one) for one in regions]
        if every[0] is None or any(one is not None and one.country_code != code for one in every):
            raise Unplanned
        self.rules = Rules(every[0])  # of a number with a code, those of the code's main region
        self._kinds = [Kinds(one) for one in every if one is not None]
        self.patterns: dict[int, list[str]] = {}
        for one in self._kinds:
            for size, patterns in one.patterns.items():
                self.patterns.setdefault(size, []).extend(patterns)
        self._likely = {size: re.compile(_any(given)).fullmatch for size, given in self.patterns.items() if given}

    def valid(self, number: str) -> bool:
        """Whether these digits after the code are a number: of the region that they begin like, or else of any."""
        likely = self._likely.get(len(number))
        if likely is None or not likely(number) or not FEWEST <= len(number) <= MOST:
            return False
        if len(self._kinds) == 1:
            return self._kinds[0].hold(number)
        for kinds in self._kinds:
            if kinds.leading is None:
                if kinds.hold(number):
                    return True
            elif kinds.leading(number):
                return kinds.hold(number)
        return False

    def holds(self, digits: str) -> bool:
        """Whether these digits, which stood after the code, are a number of the country."""
        return len(digits) >= FEWEST and self.valid(self.rules.significant(digits))


class Numbering:
    """Country calling codes, each prepared when it is first met. Safe to share between threads."""

    __slots__ = ("_countries", "codes")

    def __init__(self) -> None:
        from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

        self.codes = frozenset(COUNTRY_CODE_TO_REGION_CODE)
        self._countries: dict[int, Country] = {}

    def country(self, code: int) -> Country:
        """What lies behind a code. Raises Unplanned."""
        known = self._countries.get(code)
        if known is None:
            known = self._countries[code] = Country(code)
        return known

    def coded(self, digits: str) -> bool | None:
        """Whether digits that begin with a country's code are a number of that country; None if they do not."""
        if digits[:1] == "0":
            return None
        for size in range(1, min(len(digits), _LONGEST_CODE) + 1):
            code = int(digits[:size])
            if code in self.codes:
                return self.country(code).holds(digits[size:])
        return None


class Plan:
    """The numbers of one region. Raises KeyError for a region that `phonenumbers` does not know, and Unplanned."""

    __slots__ = ("_code", "_country", "_idd", "_numbering", "_patterns", "_rules", "_shortest", "longest")

    def __init__(self, region: str, numbering: Numbering) -> None:
        import regex
        from phonenumbers import PhoneMetadata

        own: Any = PhoneMetadata.metadata_for_region(region, None)
        if own is None:
            raise KeyError(region)
        self._numbering, self._code = numbering, str(own.country_code)
        self._rules, self._country = Rules(own), numbering.country(own.country_code)
        self._idd = regex.compile(own.international_prefix or "(?!)")
        self._shortest, self.longest = min(self._country.patterns), max(self._country.patterns)
        self._patterns = {size: regex.compile(_any(given)) for size, given in self._country.patterns.items() if given}

    def test(self, head: str, size: int) -> Test | None:
        """What says whether so many digits that begin with these are a number of the region; None if none of them are.

        Digits that can hold neither code nor prefix are one as they stand, or none.
        """
        if not self.open_to(head, size):
            return None
        whole = not (self._coded(head) or self._idd.match(head, partial=True) or self._prefixed(head))
        if not whole or size < FEWEST:
            return self.holds
        return self._country.valid if self._country.rules.free(head) else self._as_it_stands

    def _as_it_stands(self, digits: str) -> bool:
        country = self._country
        return country.valid(digits) and country.rules.may_be_written(digits, digits)

    def _prefixed(self, head: str) -> bool:
        """Whether digits that begin with these may have a prefix of the region, or of its code's main one."""
        return any(one.begun.match(head, partial=True) for one in (self._rules, self._country.rules))

    def _coded(self, head: str) -> bool:
        return head.startswith(self._code) or self._code.startswith(head)

    def open_to(self, head: str, size: int) -> bool:
        """Whether so many digits that begin with these could be a number of the region."""
        if size > FEWEST + 1 and self._idd.match(head, partial=True):  # it has a digit, and so has a code
            return True
        longer = size > self._shortest or self._rules.transforms or self._country.rules.transforms
        if longer and (self._coded(head) or self._rules.begun.match(head, partial=True)):
            return True
        return size in self._patterns and bool(self._patterns[size].fullmatch(head, partial=True))

    def holds(self, digits: str) -> bool:
        """Whether these digits, written without a plus, are a valid number for the region."""
        coded = self._with_code(digits)
        if coded is not None:
            return coded
        number = self._rules.significant(digits)
        if len(digits) < FEWEST or not self._country.valid(number):
            return False
        return self._country.rules.may_be_written(number, digits)

    def after_plus(self, digits: str) -> bool:
        """The same of digits after a plus where no country's code follows it."""
        return bool(self._with_code(digits))

    def _with_code(self, digits: str) -> bool | None:
        """Whether digits that hold a country's code are a number; None where there is no code."""
        found = self._rules.idd.match(digits) if self._rules.idd else None
        if found and digits[found.end() : found.end() + 1] != "0":
            rest = digits[found.end() :]
            return len(rest) > FEWEST and bool(self._numbering.coded(rest))
        if digits.startswith(self._code):
            rest = self._rules.without_prefix(digits[len(self._code) :])[0]
            better = self._rules.described(rest) and not self._rules.described(digits)
            if better or self._rules.too_long(digits):
                return self._country.holds(rest)
        return None


class Plans:
    """The plans of several regions, each a bit of a mask by its place. Raises what `Plan` raises."""

    __slots__ = ("_longest", "_numbering", "_tests", "every", "regions")

    def __init__(self, regions: Sequence[str]) -> None:
        self._numbering = Numbering()
        self.regions = tuple(
            (1 << index, region, Plan(region, self._numbering)) for index, region in enumerate(regions)
        )
        self.every = (1 << len(regions)) - 1
        self._longest = max((plan.longest for _, _, plan in self.regions), default=0) + 1
        self._tests: dict[tuple[str, int], tuple[tuple[int, Test], ...]] = {}

    def holding(self, digits: str, plus: bool, enough: bool = False) -> int:
        """The regions for which these digits are a valid number, written with a plus before them or without.

        `enough`: one of them is.
        """
        if plus:
            coded = len(digits) > FEWEST and self._numbering.coded(digits)
            if coded is not None:
                return self.every if coded else 0
            return sum(bit for bit, _, plan in self.regions if plan.after_plus(digits))
        holding = 0
        for bit, holds in self.tests(digits):
            if holds(digits):
                holding |= bit
                if enough:
                    break
        return holding

    def tests(self, digits: str) -> tuple[tuple[int, Test], ...]:
        """The regions that the first digits and the length leave open, and what says whether the rest is theirs."""
        size = len(digits)
        key = digits[:_HEAD], size if size < self._longest else self._longest  # beyond, all lengths are alike
        known = self._tests.get(key)
        if known is None:
            asked = ((bit, plan.test(*key)) for bit, _, plan in self.regions)
            known = self._tests[key] = tuple((bit, test) for bit, test in asked if test is not None)
        return known
