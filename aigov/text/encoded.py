"""What a text says once its encodings are undone, each reading mapped back to the text.

Two kinds of reading. An *unescaped* one is the whole text with its escapes undone: per cent and quoted-printable bytes,
HTML entities, `\\u` and `\\x` escapes, letters that look Latin. A *decoded* one is what a run of base64 or
hexadecimal digits holds, where that is text; what is found in it stands for the whole run.

Invariants:
* `original` leads to whole escapes or the whole run, never into the middle of one.
* A text without escapes and long runs costs a few microseconds for each 10,000 characters.
* Readings are bounded: escapes undone three times over, runs within runs twice, none longer than its text.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Iterator

from aigov.text.characters import CONTROL
from aigov.text.doubles import DOUBLE, LATIN, MIXED
from aigov.text.normal import Normal

ROUNDS = 3
DEPTH = 2
LEAST = 14  # characters of a run: ten bytes, the shortest that says something personal
_ESCAPE = re.compile(
    r"(?P<octets>(?:%[0-9A-Fa-f]{2})+|(?:\\x[0-9A-Fa-f]{2})+)|(?P<points>(?:\\u[0-9A-Fa-f]{4})+)"
    r"|(?P<entity>&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,24});)"
    r"|(?P<printable>(?:=[0-9A-F]{2}|=\r?\n)+)"
)
_RUN = re.compile(rf"[A-Za-z0-9+/_-]{{{LEAST},}}+(?:\r?\n[A-Za-z0-9+/_-]{{4,}}+)*={{0,2}}")
_HEX = re.compile(r"[0-9A-Fa-f]+")
_UNPRINTED = re.compile(f"[{CONTROL}]")
_IN_RUN = bytes(ord("a") if chr(code).isalnum() or chr(code) in "+/_-" else ord(".") for code in range(128)) + bytes(
    128
)


class Reading:
    """One reading: its `text`, and the way back."""

    __slots__ = ("_maps", "_whole", "text")

    def __init__(self, text: str, maps: tuple[Normal, ...], whole: tuple[int, int] | None = None) -> None:
        """`maps`: from this text outwards; `whole`: the span of the outermost for which all of this stands."""
        self.text = text
        self._maps = maps
        self._whole = whole

    def original(self, start: int, end: int) -> tuple[int, int] | None:
        """Where a span of this reading stands in the text; None where nothing of it was encoded."""
        if self._whole is not None:
            return self._whole
        if not self._maps[0].touched(start, end):
            return None
        for one in self._maps:
            start, end = one.original(start, end)
        return start, end

    def __repr__(self) -> str:
        return f"Reading(chars={len(self.text)})"


def readings(text: str, depth: int = DEPTH) -> Iterator[Reading]:
    """Every reading of `text` that differs from it."""
    maps: tuple[Normal, ...] = ()
    last = text
    for _ in range(ROUNDS):
        form = unescaped(last)
        if form is None:
            break
        maps, last = (form, *maps), form.text
        yield Reading(last, maps)
    if (form := in_latin(last)) is not None:
        yield Reading(form.text, (form, *maps))
    for number, source in enumerate((text, last) if maps else (text,)):
        yield from _decoded(source, maps if number else (), depth)


def unescaped(text: str) -> Normal | None:
    """The text with its escapes undone once, or None where it has none."""
    if not any(sign in text for sign in "%&=\\"):
        return None
    return _replaced(text, ((*one.span(), _meant(one)) for one in _ESCAPE.finditer(text)))


def in_latin(text: str) -> Normal | None:
    """The text with letters that look Latin as Latin ones, where words mix the two; None elsewhere."""
    if text.isascii() or MIXED.search(text) is None:
        return None
    return _replaced(text, ((*one.span(), LATIN[ord(one.group())]) for one in DOUBLE.finditer(text)))


def _replaced(text: str, changes: Iterator[tuple[int, int, str | None]]) -> Normal | None:
    pieces, moved, done, made = [], [], 0, 0
    for start, end, meant in changes:
        if meant is None:
            continue
        pieces += [text[done:start], meant]
        made += start - done
        moved.append((made, made + len(meant), start, end))
        made += len(meant)
        done = end
    return Normal("".join([*pieces, text[done:]]), len(text), tuple(moved)) if moved else None


def _meant(escape: re.Match[str]) -> str | None:
    """What an escape stands for; None for what only looks like one."""
    kind, given = escape.lastgroup, escape.group()
    if kind == "entity":
        char = html.unescape(given)
        return char if char != given else None
    if kind == "points":
        return _text(bytes.fromhex(given.replace("\\u", "")), "utf-16-be")
    if kind == "octets":
        return _text(bytes.fromhex(given.replace("%", "").replace("\\x", "")), "utf-8")
    octets = bytes.fromhex(re.sub(r"=\r?\n", "", given).replace("=", ""))
    if octets.isalnum():  # never escaped by a mail program: `a=42`
        return None
    return _text(octets, "utf-8")


def _text(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _decoded(text: str, maps: tuple[Normal, ...], depth: int) -> Iterator[Reading]:
    """What the runs of a text hold, and the readings of that."""
    if b"a" * LEAST not in text.encode("ascii", "replace").translate(_IN_RUN):
        return
    for run in _RUN.finditer(text):
        held = _held(run.group())
        if held is None:
            continue
        start, end = run.span()
        for one in maps:
            start, end = one.original(start, end)
        yield Reading(held, (), (start, end))
        if depth > 1:
            for inner in readings(held, depth - 1):
                yield Reading(inner.text, (), (start, end))


def _held(run: str) -> str | None:
    """The text in a run of hexadecimal digits or base64, if it is one."""
    joined = "".join(run.split())
    data = None
    if len(joined) % 2 == 0 and _HEX.fullmatch(joined):
        data = _printed(bytes.fromhex(joined))
    if data is not None:
        return data
    body = joined.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return _printed(base64.b64decode(body + "=" * (-len(body) % 4), validate=True))
    except (binascii.Error, ValueError):
        return None


def _printed(data: bytes) -> str | None:
    """The bytes as text, if that is what they are."""
    text = _text(data, "utf-8")
    return text if text and _UNPRINTED.search(text) is None else None
