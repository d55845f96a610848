"""Characters that nobody sees."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigov.sanitise.unseen import reveal, unseen
from aigov.text.characters import REMOVED
from aigov.text.spans import splice

FLAG = "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
HOSTILE = (
    "aé 1#\t\n\x00\x1b\x7f\x85\u200b\u200c\u200d\u200e\u200f\u00ad\u202e\u2066\ufe0f\ufeff\U000e0041\U000e0101"
    "❤👩💻مक्שไ漢\u115f\u1160"
)
TEXTS = st.text(HOSTILE, max_size=30) | st.text(max_size=30)


def stripped(text: str) -> str:
    return splice(text, [(run.start, run.end, "") for run in unseen(text)])


@pytest.mark.parametrize(
    "text",
    [
        "plain text\twith tab\r\nand line\n",
        "form\x0cfeed, vertical\x0btab, next\x85line, line\u2028separator",
        "emoji ❤️ 👩‍💻 👨‍👩‍👧‍👦 1️⃣ #️⃣ 🏳️‍🌈 ✊🏽 🇩🇪 ☺︎",
        FLAG,
        "Persian: می‌خواهم",
        "Hindi: क्‍ष and क्‌ष",
        "Malayalam: അവന്‍ വന്നു",
        "Sinhala: ශ්‍රී ලංකා",
        "Bengali: র‍্যাব",
        "Khmer: ភាសា\u200bខ្មែរ",
        "Thai: ภาษา\u200bไทย",
        "Hebrew: שלום \u200f123\u200e!",
        "Arabic: مرحبا \u061c5",
        "Mongolian: ᠮᠣᠩᠭᠤᠯ\u180eᠠ",
        "Japanese names: 葛\U000e0100飾区 辻\U000e0101",
        "Old Korean: \u115f\u1163 \u1100\u1160",
        "Arabic number sign \u0600123",
        "",
    ],
)
def test_what_a_script_or_an_emoji_needs_is_no_finding(text: str) -> None:
    assert unseen(text) == []


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a\u200bb", [("INVISIBLE_CHARACTER", 1, 2)]),
        ("a\u200b\u200c\u2060\u00adb\ufeff", [("INVISIBLE_CHARACTER", 1, 5), ("INVISIBLE_CHARACTER", 6, 7)]),
        ("zwj\u200dhere", [("INVISIBLE_CHARACTER", 3, 4)]),
        ("می\u200c\u200cخواهم", [("INVISIBLE_CHARACTER", 2, 4)]),
        ("hello\u200e world", [("INVISIBLE_CHARACTER", 5, 6)]),
        ("שלום\u200f\u200e\u200f!", [("INVISIBLE_CHARACTER", 4, 7)]),
        ("a\u202eb\u202c", [("BIDI_CONTROL", 1, 2), ("BIDI_CONTROL", 3, 4)]),
        ("\u2066a\u2069", [("BIDI_CONTROL", 0, 1), ("BIDI_CONTROL", 2, 3)]),
        ("a\x00\x1bb\x9b", [("CONTROL_CHARACTER", 1, 3), ("CONTROL_CHARACTER", 4, 5)]),
        ("x\U000e0068\U000e0069", [("TAG_CHARACTER", 1, 3)]),
        ("🏴\U000e0068\U000e0069", [("TAG_CHARACTER", 1, 3)]),
        ("❤\ufe0f\ufe0f\U000e0150", [("INVISIBLE_CHARACTER", 2, 4)]),
        ("a\ufe0f", [("INVISIBLE_CHARACTER", 1, 2)]),
        ("漢\U000e0100\U000e0101", [("INVISIBLE_CHARACTER", 1, 3)]),
        ("\u3164\uffa0", [("INVISIBLE_CHARACTER", 0, 2)]),
    ],
)
def test_what_nobody_needs_is_found(text: str, wanted: list[tuple[str, int, int]]) -> None:
    assert [tuple(run) for run in unseen(text)] == wanted


@given(TEXTS)
def test_only_unseen_characters_are_found(text: str) -> None:
    for _, start, end in unseen(text):
        assert start < end
        assert not REMOVED.sub("", text[start:end])


@given(TEXTS)
def test_stripping_takes_no_visible_character_away(text: str) -> None:
    assert REMOVED.sub("", stripped(text)) == REMOVED.sub("", text)


@given(TEXTS)
def test_findings_are_disjoint_and_in_order(text: str) -> None:
    runs = unseen(text)
    assert all(left.end <= right.start for left, right in pairwise(runs))
    assert all((a.type, a.end) != (b.type, b.start) for a, b in pairwise(runs))


@given(st.text(st.characters(max_codepoint=126, min_codepoint=32)), st.integers(0, 50))
def test_every_hidden_ascii_letter_is_found_and_read(text: str, place: int) -> None:
    hidden = "".join(chr(0xE0000 + ord(letter)) for letter in "secret order")
    whole = text[:place] + hidden + text[place:]
    start = min(place, len(text))
    assert unseen(whole) == [("TAG_CHARACTER", start, start + len(hidden))]
    assert reveal(whole) == text[:place] + "secret order" + text[place:]


@given(TEXTS)
def test_revealing_keeps_every_place(text: str) -> None:
    assert len(reveal(text)) == len(text)


def test_bytes_in_selectors_are_read() -> None:
    carried = "".join(chr(0xE0100 + byte - 16) for byte in b"carried off")
    assert reveal("😀" + carried) == "😀carried off"
