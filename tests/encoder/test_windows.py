"""Windows: they share out the pieces, cut where it disturbs least, and far text moves no cut."""

from __future__ import annotations

import random
import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigov.encoder.pieces import Pieces
from aigov.encoder.windows import BLANK, CONTEXT, REACH, SENTENCE, Window, _kind, windows

MOST = 174
SENTENCES = (
    "The parcel came late.", "Nobody had told us, so we waited; then it rained.", "Dr. Rose Will met J. April at noon!",
    "ok", "Rue des Lilas 14, 69003 Lyon", "And the box was open? Yes it was, all of it, on three sides.",
    "{\"a\": [1, 2, 3]}", "Please write to us again when the other one has come back from the shop in the old town.",
)  # fmt: skip
JOINTS = (" ", "\n", "\n\n", " ")


def cut(text: str) -> Pieces:
    """One piece a word or sign; long words in pieces of four letters."""
    ids, offsets, words = [], [], []
    for number, match in enumerate(re.finditer(r"\w+|[^\w\s]", text)):
        for start in range(match.start(), match.end(), 4):
            end = min(start + 4, match.end())
            ids.append(hash_of(text[start:end]))
            offsets.append((start, end))
            words.append(number)
    return Pieces(ids, offsets, words, [0] * len(ids))


def hash_of(text: str) -> int:
    return sum(ord(char) * (31, 7, 131, 17)[at % 4] for at, char in enumerate(text))


def joined(drawn: list[tuple[int, int, int]]) -> str:
    """Sentences with a number in each, so that no stretch of a text repeats another."""
    return "".join(f"{SENTENCES[one]} {number}{JOINTS[joint]}" for one, number, joint in drawn)


parts = st.lists(
    st.tuples(st.integers(0, len(SENTENCES) - 1), st.integers(0, 10**9), st.integers(0, len(JOINTS) - 1)), max_size=60
)


def read(text: str) -> list[tuple[str, str]]:
    """What each window owns and sees of a text."""
    pieces = cut(text)
    return [
        (
            text[pieces.offsets[one.first][0] : pieces.offsets[one.last - 1][1]],
            text[pieces.offsets[one.left][0] : pieces.offsets[one.right - 1][1]],
        )
        for one in windows(text, pieces, MOST)
    ]


@settings(max_examples=60)
@given(parts, st.integers(20, 200))
def test_windows_share_out_the_pieces_in_order(drawn: list[tuple[int, int, int]], most: int) -> None:
    text = joined(drawn)
    pieces = cut(text)
    found = windows(text, pieces, most)
    assert [one.first for one in found] == [0, *(one.last for one in found)][: len(found)]
    assert not found or found[-1].last == len(pieces)
    for one in found:
        assert one.left <= one.first < one.last <= one.right
        assert one.right - one.left <= most
        assert one.first - one.left <= CONTEXT
        assert one.right - one.last <= CONTEXT


def long(seed: int) -> str:
    """So many sentences that there are windows far away from both ends."""
    draw = random.Random(seed)
    return joined([(draw.randrange(len(SENTENCES)), draw.randrange(10**9), draw.randrange(4)) for _ in range(200)])


@settings(max_examples=60)
@given(parts, st.integers(0, 2**32 - 1), parts)
def test_far_text_moves_no_cut(before: list, seed: int, after: list) -> None:  # type: ignore[type-arg]
    """What stands before or after changes only the windows within a window and a reach of it."""
    text = long(seed)
    margin = 2 * (MOST + REACH)
    pieces = cut(text)
    first, last = pieces.offsets[margin][0], pieces.offsets[len(pieces) - margin][1]
    shift = len(joined(before))
    inside = {one for one in spanned(text) if first <= one[0] and one[1] <= last}
    assert len(inside) > 3
    between = spanned(joined(before) + text + joined(after))
    assert inside <= {(start - shift, end - shift, *rest) for start, end, *rest in between}


def spanned(text: str) -> set[tuple[int, int, str]]:
    """What each window owns, by place, and what it sees, as text."""
    pieces = cut(text)
    return {
        (pieces.offsets[one.first][0], pieces.offsets[one.last - 1][1],
         text[pieces.offsets[one.left][0] : pieces.offsets[one.right - 1][1]])
        for one in windows(text, pieces, MOST)
    }  # fmt: skip


def test_most_windows_are_the_same_whatever_stands_before() -> None:
    text = joined([(number % len(SENTENCES), number * 7919, number % 4) for number in range(200)])
    assert len(windows(text, cut(text), MOST)) > 10
    longer = "Something else came first. " * 40 + text
    shared = {seen for _, seen in read(longer)} & {seen for _, seen in read(text)}
    assert len(shared) >= len(read(text)) - 4


def test_a_text_that_fits_is_read_whole() -> None:
    text = "word " * MOST
    assert windows(text, cut(text), MOST) == [Window(0, 0, MOST, MOST)]
    assert windows("", cut(""), MOST) == []


def test_cuts_fall_on_blank_lines_where_there_are_some() -> None:
    paragraph = "The shop wrote again, and again nobody answered. " * 6
    text = "\n\n".join(f"{number} {paragraph}" for number in range(12))
    assert all(re.match(r"\d+ The shop", own) for own, _ in read(text))


@pytest.mark.parametrize("text", ["aaaa " * 5_000, "a," * 5_000, "x" * 20_000, "日本" * 3_000, "ab\n" * 5_000])
def test_a_text_that_repeats_itself_is_cut_all_the_same(text: str) -> None:
    pieces = cut(text)
    found = windows(text, pieces, MOST)
    assert all(one.right - one.left <= MOST for one in found)
    assert sum(one.last - one.first for one in found) == len(pieces)
    assert len(found) < len(pieces) / REACH * 2


def test_words_are_not_cut() -> None:
    text = " ".join(f"word{number:012d}" for number in range(600))
    pieces = cut(text)
    for one, other in pairwise(windows(text, pieces, MOST)):
        assert pieces.words[one.last - 1] != pieces.words[other.first]
        assert pieces.words[one.right - 1] != pieces.words[min(one.right, len(pieces) - 1)]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Came. Then", SENTENCE), ("Came.\" Then", SENTENCE), ("Really?! Then", SENTENCE), ("Came.\r\n\r\nThen", BLANK),
        ("我。你", SENTENCE),
    ],
)  # fmt: skip
def test_sentences_and_blank_lines_are_seen(text: str, kind: int) -> None:
    end = re.search(r"\s|(?<=。)", text).start()  # type: ignore[union-attr]
    start = re.compile(r"\S").search(text, end).start()  # type: ignore[union-attr]
    assert _kind(text, end, start) == kind


@pytest.mark.parametrize("text", ["Dr. Rose", "J. Public", "No. 14", "Acme Inc. said"])
def test_abbreviations_and_initials_end_no_sentence(text: str) -> None:
    end = text.index(".") + 1
    assert _kind(text, end, end + 1) < SENTENCE
