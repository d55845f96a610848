"""Pieces: their offsets are those of the text as given, whatever stands in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, normalizers

from aigov.encoder.pieces import Tokeniser
from tests.encoder.small import SIGNS, cutter, tokeniser

CUTTER = cutter()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("José met Jane", ["José", "met", "Jane"]),
        ("Jose\u0301 met Jane", ["Jose", "met", "Jane"]),
        ("☕️👩‍👩‍👧 Jane\r\nLyon", ["☕️👩‍👩‍👧", "Jane", "Lyon"]),
        ("🇫🇷Jane, (Lyon)", ["🇫🇷Jane", ",", "(", "Lyon", ")"]),
        ("İ Jane\u200b x", ["İ", "Jane", "x"]),
    ],
)
def test_offsets_are_code_points_of_the_text_as_given(text: str, words: list[str]) -> None:
    assert [text[start:end].rstrip("\u0301\u200b") for start, end in CUTTER.cut(text).offsets] == words


@given(st.text(alphabet="aJ é😀\r\n\u0301\u200b.,'-\ud800日", max_size=60))
def test_pieces_come_in_order_and_hold_all_that_is_no_space(text: str) -> None:
    pieces = CUTTER.cut(text)
    end = 0
    for start, stop in pieces.offsets:
        assert end <= start < stop <= len(text)
        end = stop
    assert len(pieces.ids) == len(pieces.words) == len(pieces.cases)
    held = {at for start, stop in pieces.offsets for at in range(start, stop)}
    assert all(at in held or not char.isalnum() for at, char in enumerate(text))


@given(st.text(alphabet="ade yemi\n.jane", max_size=40), st.text(alphabet="ade yemi\n.jane", max_size=40))
def test_pieces_of_a_word_do_not_depend_on_what_stands_around(one: str, other: str) -> None:
    together = CUTTER.cut(f"{one} {other}")
    assert together.ids == CUTTER.cut(one).ids + CUTTER.cut(other).ids


def test_the_end_of_a_sequence_written_in_a_text_is_no_end() -> None:
    pieces = CUTTER.cut("jane [SEP] [PAD] jane")
    assert not {0, 2, 3} & set(pieces.ids)
    assert (CUTTER.prefix, CUTTER.suffix) == ((2,), (3,))


def test_truncation_and_padding_of_the_file_are_undone() -> None:
    made = tokeniser()
    made.enable_truncation(4)
    made.enable_padding(length=16)
    cut = Tokeniser(made.to_str().encode()).cut(f"jane {SIGNS}")
    assert len(cut) == 1 + len(SIGNS)


def test_one_that_cuts_nothing_is_refused() -> None:
    """It would not tell what a sequence begins with, and whatever is written would be read as nothing."""
    made = tokeniser()
    made.normalizer = normalizers.Replace(Regex("[a-z]"), "")
    with pytest.raises(ValueError, match="not a tokeniser"):
        Tokeniser(made.to_str().encode())


@pytest.mark.parametrize("data", [b"", b"{}", b"no json", b"\xff\xfe"])
def test_what_is_no_tokeniser_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a tokeniser"):
        Tokeniser(data)
