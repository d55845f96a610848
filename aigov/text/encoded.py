"""What a text says once its encodings are undone, each reading mapped back to the text.

Two kinds of reading. An *unescaped* one is the whole text with its escapes undone: per cent and quoted-printable bytes,
encoded words of mail headers, HTML entities, `\\u` and `\\x` escapes, letters that look Latin. A *decoded* one is what
a run of base64 or hexadecimal digits holds, where that is text; what is found in it stands for the whole run.

Invariants:
* A reading is in normal form: what stood behind an escape may be a full-width digit, or what nobody sees.
* `original` leads to whole escapes or the whole run, never into the middle of one.
* A text without escapes and long runs costs a few microseconds for each 10,000 characters.
* Readings are bounded: escapes undone three times over, runs within runs twice, none longer than five times its text.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Iterator
from email.errors import HeaderParseError
from email.header import decode_header

from aigov.text.characters import CONTROL
from aigov.text.doubles import DASH, DOUBLE, LATIN, MIXED
from aigov.text.normal import Normal, Traced, normalise

ROUNDS = 3
DEPTH = 2
LEAST = 14  # characters of a run: ten bytes, the shortest that says something personal
# Encoded words of a header (RFC 2047), in character sets that mail is written in: Python has others that take long.
_SETS = (
    r"utf-8|us-ascii|iso-8859-\d{1,2}|windows-125\d|koi8-[ru]|gb2312|gbk|gb18030|big5|shift_jis|iso-2022-jp|euc-\w{2}"
)
_WORD = rf"=\?(?i:{_SETS})\?[QqBb]\?[^?\s]{{1,200}}\?="
_ESCAPE = re.compile(
    rf"(?P<words>{_WORD}(?:\s{{1,8}}{_WORD})*)"
    r"|(?P<octets>(?:%[0-9A-Fa-f]{2})+|(?:\\x[0-9A-Fa-f]{2})+)|(?P<points>(?:\\u[0-9A-Fa-f]{4})+)"
    r"|(?P<braced>\\[ux]\{[0-9A-Fa-f]{1,6}\}|\\U[0-9A-Fa-f]{8})"
    r"|(?P<entity>&(?:#0*[0-9]{1,7};?|#[xX]0*[0-9A-Fa-f]{1,6};?|[A-Za-z][A-Za-z0-9]{1,24};))"
    r"|(?P<printable>(?:=[0-9A-F]{2}|=\r?\n)+)"
)
# How each begins, by its sign: most texts that hold a sign hold no escape, and are searched for these at once.
_SIGNS = tuple(
    (sign, re.compile(re.escape(sign) + follows).search)
    for sign, follows in (
        ("%", "[0-9A-Fa-f]{2}"),
        ("&", "[#A-Za-z]"),
        ("=", r"(?:[0-9A-F]{2}|\r?\n|\?)"),
        ("\\", "[xuU]"),
    )
)
_FEW = 3  # octets that look like quoted-printable and are letters and digits: by chance, as in `a=42`
_RUN = re.compile(rf"[A-Za-z0-9+/_-]{{{LEAST},}}+(?:\r?\n[A-Za-z0-9+/_-]{{4,}}+)*={{0,2}}")
# A path or a name is a run as well: what stands between its signs may be one of its own.
_PIECES = tuple(re.compile(rf"[^{signs}]{{{LEAST},}}") for signs in ("/", "/_-"))
_PLAIN = bytes(range(32, 127))
_HEX = re.compile(r"(?:0[xX])?((?:[0-9A-Fa-f]{2})+)")
_PAIRS = re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{2}(?:[ :-][0-9A-Fa-f]{2}){9,}+")
_NO_SIGNS = str.maketrans("", "", " :-")
_UNPRINTED = re.compile(f"[{CONTROL}]")
_IN_RUN = bytes(ord("a") if chr(code).isalnum() or chr(code) in "+/_-" else ord(".") for code in range(128)) + bytes(
    128
)
_IN_PAIRS = bytes(
    ord("h" if chr(code) in "0123456789abcdefABCDEF" else "-" if chr(code) in " :-" else ".") for code in range(128)
) + bytes(128)


class Reading:
    """One reading: its `text`, and the way back."""

    __slots__ = ("_form", "_steps", "_whole", "text")

    def __init__(self, text: str, form: Traced | None, steps: int = 0, whole: tuple[int, int] = (0, 0)) -> None:
        """`form`: what the text came from, of which the last `steps` make this reading.

        `whole`: without a form, the span of the given text for which all of this stands.
        """
        self.text = text
        self._form, self._steps, self._whole = form, steps, whole

    def original(self, start: int, end: int) -> tuple[int, int] | None:
        """Where a span of this reading stands in the text; None where nothing of it was encoded."""
        if self._form is None:
            return self._whole
        return self._form.original(start, end) if self._form.touched(start, end, self._steps) else None

    def __repr__(self) -> str:
        return f"Reading(chars={len(self.text)})"


def readings(text: str, depth: int = DEPTH) -> Iterator[Reading]:
    """Every reading of `text` that differs from it."""
    form: Traced | None = None
    last = text
    for _ in range(ROUNDS):
        steps = _undone(last)
        if not steps:
            break
        form = form.then(*steps) if form else Traced(*steps)
        last = form.text
        yield Reading(last, form, len(steps))
    if (latin := in_latin(last)) is not None:
        yield Reading(latin.text, form.then(latin) if form else Traced(latin), 1)
    yield from _decoded(text, None, depth)
    if form is not None:
        yield from _decoded(last, form, depth)


def _undone(text: str) -> tuple[Normal, ...]:
    """The steps by which the escapes of a text are undone once, the last first; none where it has none."""
    form = unescaped(text)
    if form is None:
        return ()
    normal = normalise(form.text)
    return (form,) if normal.same else (normal, form)


def unescaped(text: str) -> Normal | None:
    """The text with its escapes undone once, or None where it has none."""
    if not any(sign in text and begun(text) for sign, begun in _SIGNS):
        return None
    return _replaced(text, ((*one.span(), _meant(one)) for one in _ESCAPE.finditer(text)))


def in_latin(text: str) -> Normal | None:
    """The text with letters that look Latin as Latin ones, where words mix the two, and hyphens between digits.

    None where neither such letters nor dashes stand.
    """
    if text.isascii():
        return None
    odd = DOUBLE if MIXED.search(text) else DASH
    return _replaced(text, ((*one.span(), LATIN[ord(one.group())]) for one in odd.finditer(text)))


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
    if kind == "words":
        return _words(given)
    if kind == "entity":
        char = html.unescape(given)
        return char if char not in (given, "\ufffd") else None
    if kind == "braced":
        code = int(given[2:].strip("{}"), 16)
        return chr(code) if code < 0xD800 or 0xDFFF < code < 0x110000 else None
    if kind == "points":
        return _text(bytes.fromhex(given.replace("\\u", "")), "utf-16-be")
    if kind == "octets":
        return _text(bytes.fromhex(given.replace("%", "").replace("\\x", "")), "utf-8")
    octets = bytes.fromhex(re.sub(r"=\r?\n", "", given).replace("=", ""))
    if octets.isalnum() and len(octets) <= _FEW:
        return None
    return _text(octets, "utf-8")


def _words(given: str) -> str | None:
    """What encoded words of a header say together."""
    try:
        return "".join(
            data if isinstance(data, str) else data.decode(charset or "ascii") for data, charset in decode_header(given)
        )
    except (HeaderParseError, LookupError, ValueError):
        return None


def _text(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _decoded(text: str, form: Traced | None, depth: int) -> Iterator[Reading]:
    """What the runs of a text hold, and the readings of that. `form`: the way back from the text, if there is one."""
    for start, end, held in _holding(text):
        span = form.original(start, end) if form else (start, end)
        yield Reading(held, None, whole=span)
        if depth > 1:
            for inner in readings(held, depth - 1):
                yield Reading(inner.text, None, whole=span)


def _holding(text: str) -> Iterator[tuple[int, int, str]]:
    """Every run that holds text, or else those of its pieces that do: where it stands, and what it holds."""
    data = text.encode("ascii", "replace")
    if b"a" * LEAST in data.translate(_IN_RUN):
        for run in _RUN.finditer(text):
            yield from _told(text, run)
    if b"hh-" * 9 in data.translate(_IN_PAIRS):
        for pairs in _PAIRS.finditer(text):
            held = _printed(bytes.fromhex(pairs.group().translate(_NO_SIGNS)))
            if held is not None:
                yield *pairs.span(), held


def _told(text: str, run: re.Match[str]) -> Iterator[tuple[int, int, str]]:
    tried = {run.span()}
    held = _held(run.group())
    if held is not None:
        yield *run.span(), held
        return
    for pieces in _PIECES:
        for piece in pieces.finditer(text, *run.span()):
            if piece.span() not in tried:
                tried.add(piece.span())
                held = _held(piece.group())
                if held is not None:
                    yield *piece.span(), held


def _held(run: str) -> str | None:
    """The text in a run of hexadecimal digits or base64, if it is one."""
    joined = "".join(run.split())
    digits = _HEX.fullmatch(joined)
    data = _printed(bytes.fromhex(digits.group(1))) if digits else None
    if data is not None:
        return data
    body = joined.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return _printed(base64.b64decode(body + "=" * (-len(body) % 4), validate=True))
    except (binascii.Error, ValueError):
        return None


def _printed(data: bytes) -> str | None:
    """The bytes as text in normal form, if text is what they are: UTF-8, UTF-16 as Windows writes it, or Latin-1."""
    text = _text(data, "utf-8")
    if text is None and len(data.translate(None, _PLAIN)) * 4 <= len(data):
        text = _text(data, "cp1252")
    elif data[1::2].count(0) * 4 >= len(data[1::2]) * 3:
        text = _text(data, "utf-16-le")
    return normalise(text).text if text and _UNPRINTED.search(text) is None else None
