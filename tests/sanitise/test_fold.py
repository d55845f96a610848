"""Letters folded for searching."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigov.sanitise.fold import fold


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("plain text, 1 < 2", b"plain text, 1 < 2"),
        ("précédentes ÄÖÜ ß ñ", b"precedentes AOU s n"),
        ("іgnоrе", b"ignore"),
        ("ιgνοrε", b"igvore"),
        ("ɪɢɴᴏʀᴇ", b"ignore"),
        ("🅸🅶🅽🅾🆁🅴 🅘🅖 🇮🇬", b"ignore ig ig"),
        ("i\u0335g\u0336n\u0337", b"ign"),
        ("漢字", b"??"),
        ("it’s “so”", b'it\'s "so"'),
        ("say i g n o r e now", b"say ignore now"),
        ("i.g.n.o.r.e", b"ignore"),
        ("a b c", b"a b c"),
        ("", b""),
    ],
)
def test_examples(text: str, folded: bytes) -> None:
    assert fold(text).data == folded


@given(st.text(st.sampled_from("ab é\u0301іж漢 .-ﬁ😀\u0336\n") | st.characters(exclude_categories=["Cs"])))
def test_every_byte_knows_its_character(text: str) -> None:
    folded = fold(text)
    spans = [folded.span(place, place + 1) for place in range(len(folded.data))]
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert spans == sorted(spans)
    for byte, (start, _) in zip(folded.data, spans, strict=True):
        if text[start].isascii():
            assert chr(byte) == text[start]


@given(st.text(st.characters(max_codepoint=127), max_size=60).filter(lambda text: " " not in text))
def test_ascii_words_stay_as_they_are(text: str) -> None:
    folded = fold(text)
    assert folded.data == text.encode() or folded.at is not None


def test_a_span_of_nothing_is_nothing() -> None:
    assert fold("i g n o r e!").span(2, 2) == (2, 2)
