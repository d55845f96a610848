"""Encodings undone, each reading mapped back to the whole of what was encoded."""

from __future__ import annotations

import base64
import urllib.parse
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigov.text import encoded
from aigov.text.encoded import readings
from aigov.text.normal import normalise

CANARY = "jane@example.com"
BEFORE, AFTER = "hello ", " and so on"

WAYS: dict[str, Callable[[str], str]] = {
    "per cent": lambda text: urllib.parse.quote(text, safe=""),
    "per cent, all": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "per cent, twice": lambda text: urllib.parse.quote(urllib.parse.quote(text, safe=""), safe=""),
    "entities": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "entities, hexadecimal": lambda text: text.replace("@", "&#x40;"),
    "entities by name": lambda text: text.replace("@", "&commat;"),
    "entities of entities": lambda text: text.replace("@", "&amp;#64;"),
    "quoted-printable": lambda text: text.replace("@", "=40"),
    "quoted-printable, wrapped": lambda text: text.replace("@", "@=\n"),
    "u escapes": lambda text: "".join(f"\\u{ord(char):04x}" for char in text),
    "x escapes": lambda text: "".join(f"\\x{byte:02x}" for byte in text.encode()),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64, no padding": lambda text: base64.b64encode(text.encode()).decode().rstrip("="),
    "base64, for URLs": lambda text: base64.urlsafe_b64encode(f"{text}??>>".encode()).decode(),
    "base64, of a sentence": lambda text: base64.b64encode(f"write to {text} today, é".encode()).decode(),
    "base64, wrapped": lambda text: base64.encodebytes(f"{text} is what we noted, in short".encode()).decode().strip(),
    "base64, twice": lambda text: base64.b64encode(base64.b64encode(text.encode())).decode(),
    "base64, per cent padding": lambda text: urllib.parse.quote(base64.b64encode(f"{text}!".encode()), safe=""),
    "hexadecimal": lambda text: text.encode().hex(),
    "hexadecimal, capitals": lambda text: text.encode().hex().upper(),
    "entities, no semicolon": lambda text: text.replace("@", "&#64"),
    "entities, zeros before": lambda text: text.replace("@", "&#0000000064;").replace("m", "&#x0000006D;"),
    "quoted-printable, all": lambda text: "".join(f"={byte:02X}" for byte in text.encode()),
    "u escapes in braces": lambda text: "".join(f"\\u{{{ord(char):x}}}" for char in text),
    "long u escapes": lambda text: "".join(f"\\U{ord(char):08x}" for char in text),
    "hexadecimal, 0x": lambda text: "0x" + text.encode().hex(),
    "hexadecimal, in pairs": lambda text: text.encode().hex(" "),
    "hexadecimal, with colons": lambda text: text.encode().hex(":").upper(),
    "base64, UTF-16": lambda text: base64.b64encode(text.encode("utf-16-le")).decode(),
    "base64, Latin-1": lambda text: base64.b64encode(f"José <{text}>".encode("latin-1", "replace")).decode(),
    "encoded word": lambda text: f"=?utf-8?Q?to_{text.replace('@', '=40')}_now?=",
    "encoded words, folded": lambda text: f"=?utf-8?q?{text[:4]}=40?=\r\n =?utf-8?q?{text[5:]}_now?=",
    "encoded word, base64": lambda text: f"=?ISO-8859-1?B?{base64.b64encode(text.encode('l1', 'replace')).decode()}?=",
    "encoded words, base64, folded": lambda text: " ".join(
        f"=?utf-8?B?{base64.b64encode(part.encode()).decode()}?=" for part in (text[:8], text[8:])
    ),
    "Cyrillic letters": lambda text: text.replace("a", "а").replace("e", "е"),
    "ideographic full stop": lambda text: text.replace(".", "。"),
    "Greek letters": lambda text: text.replace("o", "ο"),
    "Cyrillic, per cent": lambda text: urllib.parse.quote(text.replace("a", "а"), safe=""),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_a_value_is_read_in_its_encoding_and_covers_all_of_it(way: str) -> None:
    written = WAYS[way](CANARY)
    text = BEFORE + written + AFTER
    spans = []
    for reading in readings(text):
        at = reading.text.find(CANARY)
        span = reading.original(at, at + len(CANARY)) if at >= 0 else None
        if span is not None:
            spans.append(text[slice(*span)])
    assert written in spans


@pytest.mark.parametrize(
    "way", ["base64", "base64, no padding", "hexadecimal", "hexadecimal, capitals", "base64, of a sentence"]
)
@pytest.mark.parametrize("around", ["https://x.example/u/{}/edit", "/u/{}", "token_{}", "to-{}", "/a_b/token_{}"])
def test_a_run_that_is_part_of_a_path_or_a_name_is_read(way: str, around: str) -> None:
    written = WAYS[way](CANARY)
    text = around.format(written)
    found = [
        text[slice(*span)]
        for reading in readings(text)
        if (at := reading.text.find(CANARY)) >= 0 and (span := reading.original(at, at + len(CANARY)))
    ]
    assert any(span in written and len(span) >= len(written.rstrip("=")) for span in found)


DISGUISES: dict[str, Callable[[str], str]] = {
    "full-width": lambda text: "".join(chr(ord(char) + 0xFEE0) for char in text),
    "zero-width": "\u200b".join,
    "soft hyphens": lambda text: text.replace("m", "\u00adm"),
}


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize(
    "way",
    [
        way
        for way in WAYS
        if not way.startswith(("Cyrillic", "Greek", "ideographic", "base64, Latin-1", "base64, UTF-16", "encoded"))
    ],
)
def test_what_is_disguised_and_then_encoded_is_read_too(way: str, disguise: str) -> None:
    hidden = DISGUISES[disguise](CANARY)
    written = WAYS[way](hidden)
    if "entities" in way or "printable" in way or way == "u escapes":  # of what is no ASCII
        written = "".join(char if char.isascii() else f"&#{ord(char)};" for char in written)
    text = BEFORE + written + AFTER
    found = [
        text[slice(*span)]
        for reading in readings(text)
        if (at := reading.text.find(CANARY)) >= 0 and (span := reading.original(at, at + len(CANARY)))
    ]
    assert written in found


@given(st.lists(st.one_of(st.sampled_from(sorted(WAYS)), st.text(max_size=5)), max_size=5), st.text(max_size=20))
def test_a_reading_is_in_normal_form(ways: list[str], text: str) -> None:
    written = "".join(WAYS[way](text) if way in WAYS and text.isprintable() else way for way in ways)
    for reading in readings(normalise(written).text):
        assert normalise(reading.text).same


@pytest.mark.parametrize(
    "text",
    [
        "",
        CANARY,
        "a=42 b=17",
        "&#99999999; &#0;",
        "=?utf-8?Q??= =?x?B?@@@?= =?no-such?Q?a=40?=",
        "\\U00110000 \\u{d800}",
        "12 34 56 78 90 12 34 56 78 90",
        "/".join(["ab"] * 20),
        "100% of it",
        "AT&T & co;",
        "responsibilities",
        "a" * 64,
        "0" * 40,
        "привет мир",
        "=\r",
    ],
)
def test_what_is_not_encoded_has_no_reading_that_says_something_else(text: str) -> None:
    for reading in readings(text):
        assert all(
            reading.original(at, at + 1) is not None or reading.text[at] in text for at in range(len(reading.text))
        )


pieces = st.sampled_from(
    [
        "%41",
        "%",
        "%e2%82%ac",
        "&amp;",
        "&",
        "&#64;",
        "=40",
        "=\n",
        "\\u0041",
        "\\x41",
        "a",
        "а",
        " ",
        "QUFBQUFBQUFBQUFB",
    ]
)


def test_a_dash_between_digits_leaves_a_text_of_another_alphabet_as_it_is() -> None:
    [reading] = readings("работа 2010–2015, и так далее")
    assert reading.text == "работа 2010-2015, и так далее"
    assert reading.original(11, 12) == (11, 12)
    assert reading.original(0, 6) is None
    assert list(readings("a – b, 5– 6, –7")) == []


signs = st.text("?QB %&=\\\\xXuU{}#;0aAfF4\r\n", max_size=24)


@settings(max_examples=400)
@given(signs | st.lists(st.one_of(pieces, signs), max_size=6).map("".join))
def test_the_quick_look_misses_no_escape(text: str) -> None:
    meant = [encoded._meant(one) for one in encoded._ESCAPE.finditer(text)]
    assert (encoded.unescaped(text) is None) == all(one is None for one in meant)


@given(st.lists(st.one_of(pieces, st.text(max_size=4)), max_size=12).map("".join))
def test_every_span_of_a_reading_leads_to_a_span_of_the_text(text: str) -> None:
    for reading in readings(text):
        for start in range(len(reading.text)):
            span = reading.original(start, start + 1)
            assert span is None or 0 <= span[0] < span[1] <= len(text)


@given(st.text(max_size=60), st.sampled_from(sorted(WAYS)))
def test_readings_are_bounded(text: str, way: str) -> None:
    given_text = WAYS[way](text) if "per cent" in way or way.startswith("base64") else text
    every = list(readings(given_text))
    assert sum(len(reading.text) for reading in every) <= 12 * len(given_text) + 12
