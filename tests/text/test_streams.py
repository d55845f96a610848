"""Chunks as one text, and back."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigov.errors import Malformed
from aigov.text.parts import Limits
from aigov.text.spans import splice
from aigov.text.streams import gather

LIMITS = Limits()


def cut(text: str, places: list[int]) -> list[str]:
    bounds = [0, *sorted(place for place in places if place <= len(text)), len(text)]
    return [text[start:end] for start, end in pairwise(bounds)]


@st.composite
def edited(draw: st.DrawFn) -> tuple[str, list[str], list[tuple[int, int, str]]]:
    text = draw(st.text("abc é😀", max_size=40))
    chunks = cut(text, draw(st.lists(st.integers(0, 40), max_size=10)))
    bounds = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    spans = list(zip(bounds[::2], bounds[1::2], strict=False))
    return text, chunks, [(start, end, draw(st.text("XY", max_size=4))) for start, end in spans]


@given(edited())
def test_however_it_is_cut_the_chunks_joined_are_the_whole_text_edited(
    case: tuple[str, list[str], list[tuple[int, int, str]]],
) -> None:
    text, chunks, edits = case
    stream = gather(chunks, LIMITS)
    rebuilt = stream.rebuild({0: edits})
    assert "".join(rebuilt) == splice(text, edits)
    assert len(rebuilt) == len(chunks)


@given(edited())
def test_the_same_law_holds_inside_objects(case: tuple[str, list[str], list[tuple[int, int, str]]]) -> None:
    text, chunks, edits = case
    stream = gather([{"n": 1, "delta": {"content": chunk}} for chunk in chunks], LIMITS)
    index = [part.path for part in stream.parts].index("/delta/content")
    assert stream.parts[index].text == text
    rebuilt = stream.rebuild({index: edits})
    assert "".join(chunk["delta"]["content"] for chunk in rebuilt) == splice(text, edits)


@given(st.lists(st.none() | st.integers() | st.text(max_size=5) | st.lists(st.text(max_size=3), max_size=3)))
def test_unedited_chunks_come_back_equal(chunks: list[Any]) -> None:
    assert gather(chunks, LIMITS).rebuild({}) == chunks


def test_a_replacement_stands_where_its_span_starts() -> None:
    stream = gather(["call +1 55", None, "5 12", "34 now"], LIMITS)
    assert stream.parts[0].text == "call +1 555 1234 now"
    assert stream.rebuild({0: [(5, 16, "[PHONE]")]}) == ["call [PHONE]", None, "", " now"]


def test_no_chunks_are_no_parts() -> None:
    stream = gather([], LIMITS)
    assert (stream.parts, stream.rebuild({}), stream.plain) == ((), [], [])


def test_a_key_is_one_part_and_is_edited_in_every_chunk() -> None:
    stream = gather([{"jane": "a"}, {"jane": "b"}], LIMITS)
    assert [(part.path, part.text) for part in stream.parts] == [("/jane#", "jane"), ("/jane", "ab")]
    assert stream.rebuild({0: [(0, 4, "[NAME]")]}) == [{"[NAME]": "a"}, {"[NAME]": "b"}]


def test_interleaved_choices_are_joined_by_their_own_index() -> None:
    chunks = [{"choices": [{"index": number, "delta": text}]} for number, text in [(0, "ja"), (1, "x"), (0, "ne")]]
    stream = gather(chunks, LIMITS)
    assert "jane" in [part.text for part in stream.parts]
    both = gather([*chunks, {"choices": [{"index": 1, "delta": "y"}, {"index": 0, "delta": "!"}]}], LIMITS)
    assert {"jane!", "xy"} <= {part.text for part in both.parts}


def test_events_that_name_their_index_are_joined_by_it() -> None:
    events = [{"index": number, "delta": text} for number, text in [(0, "ja"), (1, "x"), (0, "ne")]]
    assert "jane" in [part.text for part in gather(events, LIMITS).parts]


def test_items_with_the_same_index_are_told_apart_by_position() -> None:
    stream = gather([[{"index": 0, "t": "a"}, {"index": 0, "t": "b"}]], LIMITS)
    assert [part.path for part in stream.parts if part.path.endswith("/t")] == ["/0/t", "/1/t"]


def test_the_role_of_the_first_chunk_holds_for_all() -> None:
    stream = gather([{"role": "assistant", "content": ""}, {"content": "hi"}], LIMITS)
    assert {part.path: part.role for part in stream.parts}["/content"] == "assistant"


def test_the_limits_hold_over_all_chunks() -> None:
    with pytest.raises(Malformed, match="too_large"):
        gather(["a" * 60, "b" * 60], Limits(max_chars=100))
    with pytest.raises(Malformed, match="too_large"):
        gather(iter(lambda: 1, 2), Limits(max_nodes=50))


def test_chunks_are_copied() -> None:
    chunk = {"content": ["hi"]}
    stream = gather([chunk], LIMITS)
    chunk["content"][0] = "changed"
    assert stream.rebuild({}) == [{"content": ["hi"]}]


def test_edits_outside_of_a_part_are_refused() -> None:
    with pytest.raises(ValueError, match="outside"):
        gather(["abc"], LIMITS).rebuild({0: [(1, 9, "")]})


def test_edits_of_a_part_that_is_not_there_are_refused() -> None:
    with pytest.raises(ValueError, match="part"):
        gather(["abc"], LIMITS).rebuild({1: [(0, 1, "")]})


def test_repr_shows_no_text() -> None:
    assert "canary" not in repr(gather(["canary"], LIMITS))
