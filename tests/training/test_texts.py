"""The texts that weights are trained on: as many, as varied and as well-formed as docs/encoder.md says."""

from __future__ import annotations

import math
import random
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training import hostile, noise, templates
from training.tagged import PERSON, Tagged, held_back

INNER = re.compile(r"<<((?:(?!<<|>>).)*)>>", re.DOTALL)


@pytest.fixture(scope="module")
def lines() -> list[templates.Template]:
    return templates.read()


@pytest.fixture(scope="module")
def patterns() -> list[hostile.Pattern]:
    return hostile.read()


def readings(pattern: hostile.Pattern) -> int:
    """How many texts a line stands for, choices within choices counted once."""
    return math.prod(found[1].count("|") + 1 for found in INNER.finditer(pattern.line))


def test_there_are_templates_enough(lines) -> None:  # type: ignore[no-untyped-def]
    assert len({one.line for one in lines}) >= 1500
    assert {one.language for one in lines} == {"en", "de", "fr", "es", "it", "pt", "nl"}


def test_some_templates_hold_no_name_but_tempt(lines) -> None:  # type: ignore[no-untyped-def]
    bare = sum(not templates.SLOT.search(one.line) for one in lines)
    assert len(lines) / 12 < bare < len(lines) / 2


def test_there_are_attacks_and_innocents_enough_in_many_families(patterns) -> None:  # type: ignore[no-untyped-def]
    found = Counter[bool]()
    for one in patterns:
        found[one.hostile] += readings(one)
    assert found[True] >= 3000
    assert found[False] >= 5000
    assert len({one.family for one in patterns}) >= 30


def test_every_choice_ends(patterns) -> None:  # type: ignore[no-untyped-def]
    for one in patterns:
        assert not INNER.search(hostile.choose(one, random.Random(1)))


def test_a_filled_template_has_its_spans_where_the_values_are(lines) -> None:  # type: ignore[no-untyped-def]
    rng = random.Random(1)
    for one in lines:
        made = templates.fill(one, lambda slot: f"«{slot}»", rng)
        for start, end, _ in made.spans:
            assert made.text[start:end].strip() == made.text[start:end] != ""


@pytest.mark.parametrize(
    ("line", "spans"),
    [
        ("Hi {first} {last}!", ["first last"]),
        ("{last}, {first}", ["last, first"]),
        ("{first}, {first} and {first}", ["first", "first", "first"]),
        ("{last}, {last}", ["last", "last"]),
        ("{street}, {postcode} {city}", ["street, postcode city"]),
        ("{city}, {country}", ["city", "country"]),
    ],
)
def test_what_makes_one_name_or_one_address_is_one_span(line: str, spans: list[str]) -> None:
    made = templates.fill(templates.Template(line, "en", "x"), lambda slot: slot, random.Random(1))
    assert [made.text[start:end] for start, end, _ in made.spans] == spans


@given(st.text(max_size=40), st.text("aB é1-", min_size=1, max_size=12), st.text(max_size=40), st.integers(0, 999))
def test_noise_keeps_spans_inside_and_in_order(before: str, name: str, after: str, seed: int) -> None:
    given_ = Tagged(before + name + after, ((len(before), len(before) + len(name), PERSON),))
    made = noise.noisy(given_, random.Random(seed), share=4.0)
    for start, end, _ in made.spans:
        assert 0 <= start < end <= len(made.text)


def test_capitals_leave_spans_as_they_were() -> None:
    given_ = Tagged("ask Jane ß", ((4, 8, PERSON),))
    made = noise.upper(given_, random.Random(1))
    assert made.text[slice(*made.spans[0][:2])] == "JANE"


def test_the_same_text_is_always_held_back_or_never() -> None:
    assert [held_back(str(one), 1 / 3) for one in range(300)] == [held_back(str(one), 1 / 3) for one in range(300)]
    assert 70 < sum(held_back(str(one), 1 / 3) for one in range(300)) < 130
