"""Telephone numbers: one search for all regions finds what each region's own matcher finds."""

from __future__ import annotations

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from presidio_analyzer.predefined_recognizers import PhoneRecognizer

from aigov.privacy.numbering import Plans
from aigov.privacy.phones import Phones, TooMany

REGIONS = PhoneRecognizer.DEFAULT_SUPPORTED_REGIONS
MORE = (*REGIONS, "ZA", "JP", "IT", "SG", "MX", "AU")
EXAMPLES = sorted(
    {
        phonenumbers.format_number(number, form)
        for region in (*MORE, "AR", "KR")
        for kind in range(11)
        for form in range(4)
        if (number := phonenumbers.example_number_for_type(region, kind)) is not None
    }
)
SIGNS = [
    " ", "-", ".", "/", "(", ")", " (", ") ", "  ", " - ", "+", "00", "0", "1", "x", "ext 5", " ext. 1234", "~", "\n",
    ",", "a", "é", "#", "[", "]", "\u2013", "٣", "３", "011", "+1", "44", "$", "%", ":30", "2012-01-02 08:00", "\ud800",
    "/ x", "))/.", "03/10/2011", "211-227 (2003)", "4111 1111 1111 1111", "192.168.10.1", "536-22-8726",
    "12345678901234567890",
]  # fmt: skip
pieces = st.sampled_from(EXAMPLES) | st.sampled_from(SIGNS) | st.text("0123456789", min_size=1, max_size=11)
texts = st.tuples(st.sampled_from(["", " "]), st.lists(pieces, max_size=14)).map(lambda two: two[0].join(two[1]))


def outer(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    once = sorted(set(spans))
    return [one for one in once if not any(o != one and o[0] <= one[0] and one[1] <= o[1] for o in once)]


def in_turn(text: str, regions: tuple[str, ...], leniency: int) -> list[tuple[int, int]]:
    found = PhoneRecognizer(supported_regions=regions, leniency=leniency).analyze(text, [])
    return sorted((one.start, one.end) for one in found)


@settings(max_examples=300, deadline=None)
@given(texts)
def test_the_regions_of_presidio(text: str) -> None:
    assert outer(Phones(REGIONS, 1).spans(text)) == in_turn(text, REGIONS, 1)


@settings(max_examples=100, deadline=None)
@given(texts, st.sampled_from([1, 2, 3]), st.lists(st.sampled_from(MORE), min_size=1, max_size=5))
def test_any_regions_at_any_leniency(text: str, leniency: int, regions: list[str]) -> None:
    assert outer(Phones(regions, leniency).spans(text)) == in_turn(text, tuple(regions), leniency)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(EXAMPLES), st.sampled_from(REGIONS), st.text("0123456789 -.()", max_size=3))
def test_digits_that_are_a_number_could_be_one(number: str, region: str, more: str) -> None:
    written = (number + more).strip()
    digits = "".join(filter(str.isdigit, written))
    try:
        valid = phonenumbers.is_valid_number(phonenumbers.parse(digits, region))
    except phonenumbers.NumberParseException:
        valid = False
    matched = bool(list(phonenumbers.PhoneNumberMatcher(digits, region)))
    assert matched <= valid
    assert matched == bool(Plans([region]).holding(digits, plus=False))


@pytest.mark.parametrize(("regions", "leniency"), [(("US", "XX"), 1), (("US",), 0)])
def test_what_cannot_be_planned_is_refused(regions: tuple[str, ...], leniency: int) -> None:
    with pytest.raises(KeyError):
        Phones(regions, leniency)


def test_a_text_that_may_use_a_matcher_up_is_said() -> None:
    with pytest.raises(TooMany):
        Phones(REGIONS, 1).spans("12-34-56-78, " * 70_000)


def test_nothing_is_asked_of_phonenumbers_about_digits_and_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = phonenumbers.PhoneNumberMatcher._parse_and_verify

    def counting(self: phonenumbers.PhoneNumberMatcher, value: str, at: int) -> object:
        asked.append(value)
        return real(self, value, at)

    monkeypatch.setattr(phonenumbers.PhoneNumberMatcher, "_parse_and_verify", counting)
    text = "call 212-555-0100 or +44 20 7946 0958; card 4111 1111 1111 1111; 01/13/2024; SSN 536-22-8726"
    assert len(Phones(REGIONS, 1).spans(text)) == 2
    assert asked == []
    Phones(REGIONS, 1).spans("call 212-555-0100 ext. 7")
    assert "212-555-0100 ext. 7" in asked
