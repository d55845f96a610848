"""Tokens: a form that is told apart, checked, and that no recogniser takes for personal data."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigov.privacy import tokens
from aigov.privacy.guard import PrivacyGuard
from aigov.types import Part

numbers = st.integers(0, tokens.SPACE - 1)
entities = st.from_regex(r"\A[A-Z][A-Z0-9_]{0,20}\Z")
CODE = tokens.code(123_456_789)


@given(numbers)
def test_a_code_checks(number: int) -> None:
    assert tokens.checks(tokens.code(number))


@given(numbers, numbers)
def test_different_numbers_have_different_codes(one: int, other: int) -> None:
    assert (tokens.code(one) == tokens.code(other)) == (one == other)


@given(numbers, st.integers(0, 7), st.sampled_from(tokens.ALPHABET))
def test_one_wrong_letter_is_noticed(number: int, at: int, letter: str) -> None:
    code = tokens.code(number)
    wrong = code[:at] + letter + code[at + 1 :]
    assert tokens.checks(wrong) == (wrong == code)


@given(numbers, st.integers(0, 6))
def test_two_neighbours_swapped_are_noticed(number: int, at: int) -> None:
    code = tokens.code(number)
    swapped = code[:at] + code[at + 1] + code[at] + code[at + 2 :]
    assert tokens.checks(swapped) == (swapped == code)


@pytest.mark.parametrize("wrong", ["", CODE[:7], CODE + "B", CODE[:7] + "A", CODE[:7] + "é", "12345678"])
def test_what_is_no_code_does_not_check(wrong: str) -> None:
    assert not tokens.checks(wrong)


@given(entities, numbers, st.text(), st.text())
def test_a_token_is_found_between_any_neighbours(entity: str, number: int, before: str, after: str) -> None:
    token = tokens.spell(entity, tokens.code(number))
    found = [(one.start, one.end) for one in tokens.look_alikes(before + token + after)]
    assert (len(before), len(before) + len(token)) in found


@given(st.lists(st.sampled_from(["[", "]", "_", "[EMAIL_ADDRESS_", CODE, CODE.lower(), "a", "]["]), max_size=40))
def test_look_alikes_never_overlap_and_hold_no_bracket_within(pieces: list[str]) -> None:
    text = "".join(pieces)
    at = 0
    for one in tokens.look_alikes(text):
        assert one.start >= at
        assert not re.search(r"[\[\]]", text[one.start + 1 : one.end - 1])
        at = one.end


def test_letters_of_other_alphabets_are_not_folded_into_a_token() -> None:
    text = f"[TASK_{CODE}]"
    assert list(tokens.look_alikes(text))
    assert not list(tokens.look_alikes(text.replace("K", "\u212a").replace("S", "\u017f")))


@given(st.text(alphabet="ab [];", max_size=30), st.data())
def test_blanking_keeps_every_other_character_at_its_place(text: str, data: st.DataObject) -> None:
    ends = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    spans = list(zip(ends[::2], ends[1::2], strict=False))
    inside = {at for start, end in spans for at in range(start, end)}
    expected = "".join(tokens.BLANK if at in inside else char for at, char in enumerate(text))
    assert tokens.blank(text, spans) == expected


@pytest.fixture(scope="module")
def every_recognizer(start):  # type: ignore[no-untyped-def]
    """A guard with every English recogniser that Presidio has, also those that are off by default."""
    from presidio_analyzer import PatternRecognizer, predefined_recognizers

    classes = [one for one in vars(predefined_recognizers).values() if isinstance(one, type)]
    extra = []
    for one in classes:
        if issubclass(one, PatternRecognizer) and one is not PatternRecognizer:
            made = one()
            if made.supported_language == "en":
                extra.append(made)
    assert len(extra) > 25
    return start({}, recognizers=tuple(extra))


def test_no_recogniser_finds_anything_in_a_token(every_recognizer: PrivacyGuard) -> None:
    names = ["EMAIL_ADDRESS", "PHONE_NUMBER", "US_BANK_NUMBER", "IP_ADDRESS", "DATE_TIME", "ORDER_ID", "TOKEN"]
    spelt = [tokens.spell(name, tokens.code(7919 * index**5 % tokens.SPACE)) for index in range(60) for name in names]
    for sentence in ("call {} now", "passport number: {}, {}", "{}", "account {}@{} {}.{}"):
        text = "\n".join(sentence.format(*spelt[at : at + 4]) for at in range(0, len(spelt) - 4, 4))
        spans = [(one.start, one.end) for one in tokens.look_alikes(text)]
        found = every_recognizer.aigov_detect(Part(path="", text=text), "output")
        touched = [one for one in found if any(one.start < end and start < one.end for start, end in spans)]
        assert touched == []
