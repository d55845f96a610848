"""The case classes: of whole words, of pieces within them, whatever the script."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigov.encoder.cases import (
    INITIAL,
    LOWER,
    LOWER_REST,
    MIXED,
    NAMES,
    NONE,
    OTHER_REST,
    TITLE,
    UPPER,
    classes,
)


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("will", LOWER),
        ("Will", TITLE),
        ("NASA", UPPER),
        ("J", INITIAL),
        ("j", LOWER),
        ("McDonald", MIXED),
        ("iPhone", MIXED),
        ("3rd", LOWER),
        ("B2B", UPPER),
        ("A1", INITIAL),
        ("42", NONE),
        ("...", NONE),
        ("北京", NONE),
        ("Łukasz", TITLE),
        ("łukasz", LOWER),
        ("Zoe\u0308lle", TITLE),
        ("ǅordan", TITLE),
        ("straße", LOWER),
    ],
)
def test_a_whole_word_is_classed_by_its_letters(word: str, written: int) -> None:
    assert classes(f"a {word}!", [(2, 2 + len(word))]) == [written]


def test_a_later_piece_is_classed_by_its_own_letters() -> None:
    assert classes("Adeyemi", [(0, 2), (2, 5), (5, 7)]) == [TITLE, LOWER_REST, LOWER_REST]
    assert classes("McDONald", [(0, 2), (2, 5), (5, 8)]) == [MIXED, OTHER_REST, LOWER_REST]
    assert classes("ab12", [(0, 2), (2, 4)]) == [LOWER, OTHER_REST]


def test_hyphens_apostrophes_and_underscores_end_a_word() -> None:
    assert classes("O'Brien-lee_X", [(0, 1), (1, 2), (2, 7), (7, 8), (8, 11), (11, 12), (12, 13)]) == [
        INITIAL, NONE, TITLE, NONE, LOWER, NONE, INITIAL,
    ]  # fmt: skip


def test_special_tokens_have_no_class_wherever_they_stand() -> None:
    assert classes("Ann met", [(0, 0), (0, 3), (0, 0), (4, 7), (0, 0), (0, 0)]) == [
        NONE,
        TITLE,
        NONE,
        LOWER,
        NONE,
        NONE,
    ]


def test_a_mark_between_two_pieces_keeps_them_one_word() -> None:
    text = "Zoe\u0308lle"
    assert classes(text, [(0, 3), (4, 7)]) == [TITLE, LOWER_REST]


@given(st.text(alphabet="aA1 .é北ß\u0301\n", max_size=40))
def test_every_word_alone_is_classed_as_in_the_text(text: str) -> None:
    for match in re.finditer(r"\S+", text):
        word = match.group()
        assert classes(text, [match.span()]) == classes(word, [(0, len(word))])


@given(st.text(max_size=30), st.lists(st.integers(0, 30), max_size=12))
def test_any_ordered_spans_have_a_class_each(text: str, cuts: list[int]) -> None:
    bounds = sorted(min(cut, len(text)) for cut in cuts)
    spans = list(zip(bounds[::2], bounds[1::2], strict=False))
    found = classes(text, spans)
    assert len(found) == len(spans)
    assert all(0 <= one < len(NAMES) for one in found)
