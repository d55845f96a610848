"""Texts that hold JSON, and how a part of one is replaced so that it stays JSON.

A document, or lines that are a document each (JSON lines; what else stands among them is text). A string that holds
JSON itself, as the arguments of tool calls do, is looked into, four levels deep; so nothing else of the text changes:
order, numbers, space and escapes stay as they were written.

Invariants:
* A fitted edit lies inside of one string, cutting no escape, or covers a whole number; what it covered of
  brackets, commas and quotation marks is let go.
* What is written in its place is escaped as often as the string is; in the place of a number it becomes a string.
* `meant` of the characters of an edit is what a program reads there; a text without backslashes means itself.
* Time is linear in the text: each level is read once.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

import msgspec

from aigov.text.normal import Normal
from aigov.types import Edit

LEVELS = 4
_LEXEME = re.compile(r'"((?:[^"\\]|\\.)*+)"|(-?[0-9][0-9.eE+-]*)|([\[\]{},:])', re.DOTALL)
_ESCAPE = re.compile(r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)", re.DOTALL)
_OPENS, _CLOSES = "{[", "}]"
_BLANK = "\ufeff \t\r\n"  # a file may begin with the byte order mark


Escapes = tuple[tuple[int, ...], tuple[int, ...]]


class Step(NamedTuple):
    """A member or item, and what it is in: a literal a thousand levels deep costs no more than any other."""

    outer: Step | None
    name: str | int

    @property
    def pointer(self) -> str:
        """From the text's root to here."""
        names: list[str | int] = []
        at: Step | None = self
        while at is not None:
            names.append(at.name)
            at = at.outer
        return "".join(f"/{name}" for name in reversed(names))


class Literal(NamedTuple):
    """A string (without its quotation marks) or number of a JSON text, where it stands, and how deep.

    `level` 1 is the text's own; 2 is inside of a string that holds JSON; 0 is text between lines that are JSON. `key`:
    it is the name of a member. `holds`: the string holds JSON itself, whose literals follow.
    """

    start: int
    end: int
    level: int
    number: bool
    step: Step | None
    key: bool = False
    holds: bool = False

    @property
    def pointer(self) -> str:
        """What leads to it from the text's root; that of a key ends in `#`."""
        return (self.step.pointer if self.step else "") + ("#" if self.key else "")


class Shape:
    """How a text is built: its literals in order, or none where it is no JSON."""

    __slots__ = ("_starts", "leaves", "text")

    def __init__(self, text: str, literals: Iterable[Literal]) -> None:
        self.text = text
        self.leaves = tuple(one for one in literals if not one.holds)
        self._starts = [one.start for one in self.leaves]

    @property
    def plain(self) -> bool:
        """Whether the text is read as it stands: no JSON, or none with a string or number."""
        return not self.leaves

    def at(self, position: int) -> Literal | None:
        """The literal that holds this character."""
        index = bisect_right(self._starts, position) - 1
        found = self.leaves[index] if index >= 0 else None
        return found if found is not None and position < found.end else None

    def fit(self, edits: Iterable[Edit]) -> list[Edit]:
        """Disjoint edits of this text, by start, as edits that leave it JSON. Numbers are covered once, whole."""
        if self.plain:
            return list(edits)
        fitted: list[Edit] = []
        escapes: dict[int, Escapes] = {}
        for edit in edits:
            index = max(0, bisect_right(self._starts, edit.start) - 1)
            while index < len(self.leaves) and self.leaves[index].start < edit.end:
                if index not in escapes:
                    escapes[index] = self._escapes(self.leaves[index])
                start, end = self._within(self.leaves[index], edit, escapes[index])
                start = max(start, fitted[-1].end if fitted else 0)
                if start < end:
                    fitted.append(_moved(edit, start, end, self.leaves[index]))
                index += 1
        return fitted

    def _within(self, literal: Literal, edit: Edit, escapes: Escapes) -> tuple[int, int]:
        """What an edit covers of a literal, widened to whole escapes, or to all of a number."""
        start, end = max(edit.start, literal.start), min(edit.end, literal.end)
        if start >= end:
            return start, start
        if literal.number:
            return literal.start, literal.end
        return _cut(escapes, start)[0], _cut(escapes, end)[1]

    def _escapes(self, literal: Literal) -> Escapes:
        """Where the escapes of a string begin and where they end."""
        if literal.number or "\\" not in self.text[literal.start : literal.end]:
            return (), ()
        spans = [(first, last) for _, first, last in _meant(self.text, literal) if last - first > 1]
        return tuple(first for first, _ in spans), tuple(last for _, last in spans)

    def read(self) -> Normal:
        """The text with the escapes of its strings undone, mapped back."""
        pieces, moved, done, made = [], [], 0, 0
        for literal in self.leaves:
            if literal.number or "\\" not in self.text[literal.start : literal.end]:
                continue
            for char, start, end in _meant(self.text, literal):
                if end - start > 1:
                    pieces += [self.text[done:start], char]
                    made += start - done
                    moved.append((made, made + len(char), start, end))
                    made += len(char)
                    done = end
        return Normal("".join([*pieces, self.text[done:]]), len(self.text), tuple(moved))


def _cut(escapes: Escapes, place: int) -> tuple[int, int]:
    """The escape that holds this place between two characters of its own, or the place itself."""
    firsts, lasts = escapes
    index = bisect_left(firsts, place) - 1
    return (firsts[index], lasts[index]) if index >= 0 and lasts[index] > place else (place, place)


def shape(text: str) -> Shape:
    """How `text` is built. What is no JSON costs a look at its first and last character."""
    return Shape(text, _literals(text) if text.lstrip(_BLANK)[:1] in ("{", "[") else ())


def meant(raw: str, form: str) -> str:
    """What the characters of a fitted edit mean: `form` is the edit's."""
    for _ in range(int(form[1:]) if form[:1] == "s" else 0):
        if "\\" not in raw:
            break
        raw = json.loads(f'"{raw}"')
    return raw


def written(text: str, form: str) -> str:
    """`text` as it has to stand in the place of an edit of this form."""
    if not form:
        return text
    level = int(form[1:])
    if form[0] == "n":
        return quoted(json.dumps(text, ensure_ascii=False), level - 1)
    return quoted(text, level)


def quoted(text: str, level: int) -> str:
    """`text` escaped as inside of that many strings."""
    for _ in range(level):
        text = json.dumps(text, ensure_ascii=False)[1:-1]
    return text


def _moved(edit: Edit, start: int, end: int, literal: Literal) -> Edit:
    form = f"{'n' if literal.number else 's'}{literal.level}" if literal.level else ""
    return Edit(
        part=edit.part, start=start, end=end, type=edit.type, action=edit.action, guard=edit.guard, score=edit.score,
        form=form,
    )  # fmt: skip


def _literals(text: str) -> Iterator[Literal]:
    if is_json(text):
        yield from _lexed(text, None, 1, None)
    elif "\n" in text:
        yield from _of_lines(text)


def _of_lines(text: str) -> Iterator[Literal]:
    """The literals of lines that are JSON, with what stands between them, such as a line that was cut off, as text."""
    lines = [(start, end, is_json(text[start:end])) for start, end in _lines(text)]
    if not any(read for _, _, read in lines):
        return
    number = 0
    for read, group in groupby(lines, lambda line: line[2]):
        some = list(group)
        if not read:
            yield Literal(some[0][0], some[-1][1], 0, False, Step(None, number))
        for at, (start, end, _) in enumerate(some if read else (), number):
            for one in _lexed(text[start:end], None, 1, Step(None, at)):
                yield one._replace(start=one.start + start, end=one.end + start)
        number += len(some)


def _lines(text: str) -> Iterator[tuple[int, int]]:
    """The lines that are not blank."""
    start = 0
    for line in text.split("\n"):
        if line.strip():
            yield start, start + len(line)
        start += len(line) + 1


def is_json(text: str) -> bool:
    """Whether it is one JSON object or array, by its ends first."""
    body = text.strip(_BLANK)
    if len(body) < 2 or body[0] not in _OPENS or body[-1] not in _CLOSES:
        return False
    for decode in (msgspec.json.decode, json.loads):  # what Python writes may hold NaN, or half of a surrogate pair
        try:
            decode(body)
        except (msgspec.DecodeError, RecursionError, ValueError):
            continue
        return True
    return False


def _lexed(text: str, spans: list[tuple[str, int, int]] | None, level: int, outer: Step | None) -> Iterator[Literal]:
    """The literals of a JSON text. `spans`: where each character of `text` stands in the whole, if not at its place."""
    inside = _Inside(outer)
    for lexeme in _LEXEME.finditer(text):
        string, number, sign = lexeme.groups()
        if sign is not None:
            inside.follow(sign)
            continue
        at = lexeme.span(1 if string is not None else 2)
        key = inside.names_next and string is not None
        if key:
            inside.name(string)
        yield from _literal(text, spans, Literal(*at, level, number is not None, inside.step, key))


class _Inside:
    """Where in a JSON text one is: the containers that are open, and the member or item in each."""

    __slots__ = ("_open", "_outer", "names_next")

    def __init__(self, outer: Step | None) -> None:
        self._outer = outer
        self._open: list[tuple[Step | None, str | int]] = []
        self.names_next = False

    @property
    def step(self) -> Step | None:
        """The member or item that one is at."""
        return Step(*self._open[-1]) if self._open else self._outer

    def name(self, raw: str) -> None:
        """The member that is next has this name."""
        self._open[-1] = self._open[-1][0], _named(raw)

    def follow(self, sign: str) -> None:
        """Go on behind a bracket, a comma or a colon."""
        if sign in _OPENS:
            self._open.append((self.step, "" if sign == "{" else 0))
        elif sign in _CLOSES:
            self._open.pop()
        elif sign == ",":
            outer, top = self._open[-1]
            self._open[-1] = outer, top + 1 if isinstance(top, int) else ""
        self.names_next = sign in "{," and isinstance(self._open[-1][1], str)


def _named(raw: str) -> str:
    name = str(json.loads(f'"{raw}"', strict=False)) if "\\" in raw else raw
    return name.replace("~", "~0").replace("/", "~1").replace("#", "~2")


def _literal(text: str, spans: list[tuple[str, int, int]] | None, one: Literal) -> Iterator[Literal]:
    """A literal of `text` at its place in the whole, and those of the JSON that it holds."""
    first, last = one.start, one.end
    start = spans[first][1] if spans and first < len(spans) else first
    end = spans[last - 1][2] if spans and last > first else start + last - first
    raw = text[first:last]
    inner = None
    if not one.number and one.level < LEVELS and raw.lstrip(" ")[:1] in ("{", "[") and len(raw) > 1:
        inner = _undone([(char, *_place(spans, index)) for index, char in enumerate(raw, first)])
        content = "".join(char for char, _, _ in inner)
        inner = inner if len(content) == len(inner) and is_json(content) else None
    yield one._replace(start=start, end=end, holds=inner is not None)
    if inner is not None:
        yield from _lexed("".join(char for char, _, _ in inner), inner, one.level + 1, one.step)


def _place(spans: list[tuple[str, int, int]] | None, index: int) -> tuple[int, int]:
    return spans[index][1:] if spans else (index, index + 1)


def _meant(text: str, literal: Literal) -> list[tuple[str, int, int]]:
    """The characters that a string means, each with where it is written."""
    found = [(text[at], at, at + 1) for at in range(literal.start, literal.end)]
    for _ in range(literal.level):
        found = _undone(found)
    return found


def _undone(written: list[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """One level of escapes undone."""
    text = "".join(char for char, _, _ in written)
    if "\\" not in text or len(text) != len(written):
        return written
    out, done = [], 0
    for escape in _ESCAPE.finditer(text):
        out += written[done : escape.start()]
        done = escape.end()
        char = json.loads(f'"{escape.group()}"', strict=False)
        char = "\ufffd" if "\ud800" <= char <= "\udfff" else char
        out.append((char, written[escape.start()][1], written[done - 1][2]))
    return out + written[done:]
