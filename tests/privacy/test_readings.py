"""Reading tokens back: every kind of rewriting that keeps the code, and no value in any other case."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigov.privacy import places, tokens
from aigov.privacy.session import Session

KEY = bytes(range(32))
CORPUS = runpy.run_path(str(Path(__file__).with_name("rewritings.py")))
REWRITINGS: dict[str, Callable[[str, str], str]] = CORPUS["REWRITINGS"]
UNTOUCHED: dict[str, Callable[[str, str, str], str]] = CORPUS["UNTOUCHED"]
SENTENCES: tuple[str, ...] = CORPUS["SENTENCES"]
VALUES = {
    "EMAIL_ADDRESS": "jane.canary@example.com", "US_SSN": "536-22-8726", "CREDIT_CARD": "4111 1111 1111 1111",
    "URL": "https://example.com/jane", "PHONE_NUMBER": "+1 212 555 0100", "ORDER_ID": "ORD-12345678",
}  # fmt: skip
entities = st.sampled_from(sorted(VALUES))


def filled() -> tuple[Session, dict[str, str]]:
    """A session that holds every value, and the code of each."""
    session = Session(None, KEY)
    return session, {name: session.token(name, value)[-9:-1] for name, value in VALUES.items()}


def test_the_corpus_is_as_wide_as_it_says() -> None:
    assert len(REWRITINGS) >= 100
    written = {make("EMAIL_ADDRESS", "BCDFGHJK") for make in REWRITINGS.values()}
    assert len(written) == len(REWRITINGS)


@pytest.mark.parametrize("name", REWRITINGS)
def test_a_rewritten_token_comes_back(name: str) -> None:
    for _ in range(4):
        session, codes = filled()
        for entity, code in codes.items():
            for sentence in SENTENCES:
                text = sentence.replace("{}", REWRITINGS[name](entity, code))
                restored = session.restore(text)
                assert restored.count(VALUES[entity]) == sentence.count("{}"), text
                assert not places.places(restored), text
                assert not any(other in restored for key, other in VALUES.items() if key != entity)


@pytest.mark.parametrize("name", UNTOUCHED)
def test_what_is_in_doubt_stays(name: str) -> None:
    for _ in range(4):
        session, codes = filled()
        for (entity, code), other in zip(codes.items(), reversed(codes.values()), strict=True):
            for sentence in SENTENCES:
                text = sentence.replace("{}", UNTOUCHED[name](entity, code, other))
                assert session.restore(text) == text


@pytest.mark.parametrize("name", REWRITINGS)
def test_another_session_reads_nothing(name: str) -> None:
    _, codes = filled()
    session, _ = filled()
    for entity, code in codes.items():
        text = REWRITINGS[name](entity, code)
        assert session.restore(text) == text


@given(
    st.sampled_from(sorted(REWRITINGS)), st.lists(entities, min_size=2, max_size=6), st.sampled_from([" ", "\n", ", "])
)
def test_rewritten_tokens_side_by_side_come_back_in_order(name: str, names: list[str], gap: str) -> None:
    session, codes = filled()
    restored = session.restore(gap.join(REWRITINGS[name](entity, codes[entity]) for entity in names))
    at = 0
    for entity in names:
        at = restored.index(VALUES[entity], at) + len(VALUES[entity])


@settings(max_examples=300)
@given(entities, entities, st.integers(1, 7), st.sampled_from(sorted(REWRITINGS)))
def test_halves_of_two_codes_are_neither(one: str, other: str, cut: int, name: str) -> None:
    session, codes = filled()
    mixed = codes[one][:cut] + codes[other][cut:]
    text = REWRITINGS[name](one, mixed)
    if mixed not in codes.values():
        assert session.restore(text) == text


@settings(max_examples=300)
@given(
    entities, st.sampled_from(sorted(REWRITINGS)), st.integers(0, 7), st.sampled_from(tokens.ALPHABET + "AEIOULY0158")
)
def test_a_wrong_letter_brings_nothing_back(entity: str, name: str, at: int, letter: str) -> None:
    session, codes = filled()
    code = codes[entity]
    wrong = code[:at] + letter + code[at + 1 :]
    text = REWRITINGS[name](entity, wrong)
    if wrong != code:
        assert session.restore(text) == text


@settings(max_examples=300)
@given(
    st.lists(st.one_of(entities, st.text(max_size=6), st.sampled_from(["[", "]", "_", "-", "\\", "%5B", "&#91;", "s"])))
)
def test_whatever_stands_around_a_value_is_that_of_its_own_token(pieces: list[str]) -> None:
    session, codes = filled()
    text = "".join(codes.get(piece, piece) for piece in pieces)
    for start, end, value in session.restore_spans(text):
        inside = [place.code for place in places.places(text[start:end])]
        assert inside == [next(codes[name] for name in VALUES if VALUES[name] == value)]


alphabet = st.sampled_from(
    [*"BCDFGkmn", " ", "-", "_", ">", "%20", "%0A", "&#8203;", "\u200b", "\uff22", "a", "[", "\\n", "%"]
)
cut_texts = st.lists(alphabet, max_size=60).map("".join)


@given(cut_texts, st.data())
def test_a_place_in_a_stretch_is_a_place_in_the_whole(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    whole = set(places.places(text))
    moved = {one._replace(start=one.start + start, end=one.end + start) for one in places.places(text[start:end])}
    assert moved <= whole


@given(cut_texts)
def test_the_quick_look_misses_no_place(text: str) -> None:
    slow: list[Any] = [
        place for run in places._RUN.finditer(text) for place in places._places_in(text, run.start(), run.end())
    ]
    assert places.places(text) == slow


@settings(max_examples=200)
@given(
    st.lists(st.one_of(entities, st.sampled_from(["jane@example.com", "BCDF", "GHJK", "_", " ", "[", "x", "%20"]))),
    st.data(),
)
def test_redaction_is_exact_whatever_was_live_before(pieces: list[str], data: st.DataObject) -> None:
    """A text that holds bare codes, parts of codes and rewritten tokens comes back as it was."""
    session, codes = filled()
    names = sorted(REWRITINGS)
    text = "".join(
        data.draw(
            st.sampled_from(
                [
                    codes[one],
                    codes[one][:4],
                    codes[one][4:],
                    REWRITINGS[data.draw(st.sampled_from(names))](one, codes[one]),
                ]
            )
        )
        if one in codes
        else one
        for one in pieces
    )
    literal = session.reserve(text)
    ends = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    free = [span for span in zip(ends[::2], ends[1::2], strict=False) if span[0] < span[1]]
    covered = sorted(_cut(free, literal) + [(start, end, tokens.LITERAL) for start, end in literal])
    sent, at = [], 0
    for start, end, entity in covered:
        sent += [text[at:start], session.token(entity, text[start:end])]
        at = end
    assert session.restore("".join(sent) + text[at:]) == text


def _cut(spans: list[tuple[int, int]], walls: list[tuple[int, int]]) -> list[tuple[int, int, str]]:
    """The spans that touch no wall and not one another."""
    out: list[tuple[int, int, str]] = []
    for start, end in spans:
        if not any(start < wall[1] and wall[0] < end for wall in walls):
            out.append((start, end, "EMAIL_ADDRESS"))
    return out
