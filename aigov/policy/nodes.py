"""YAML text into plain nodes that know where they stand: file, line and column.

Invariants:
* Nothing is constructed from a tag, an anchor or an alias; they are refused, and so are merge keys,
  directives and a second document.
* A node's text is the author's own: `NO`, `08` and `1e3` stay text until a decoder asks for a type.
* Nesting and size are bounded before anything recurses, so that a hostile file cannot exhaust the stack.

Parsed by PyYAML's pure parser: its positions and messages are the same on every platform, and a
policy of 10 KB takes it 25 ms at load.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec
import yaml
from yaml import events

from aigov.errors import Location, PolicyError, Problem
from aigov.types import Step

MAX_CHARS = 1_000_000
MAX_DEPTH = 32
MAX_NODES = 200_000
MAX_PROBLEMS = 50

# A tab reads as indentation to people and as an error or as nothing to parsers. Characters that change
# direction or show nothing let a reviewer read another policy than the one in force (CVE-2021-42574).
_UNWELCOME = re.compile(
    "[^\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
    "|[\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e007f]"
    "|\r(?!\n)"
)


class Scalar(msgspec.Struct, frozen=True):
    """A text as written. `style` is "" for plain, else one of `'`, `"`, `|`, `>`; `raw` is the source of it."""

    where: Location
    text: str
    style: str = ""
    raw: str = ""

    def inside(self, line: int, column: int) -> Location:
        """Where the text's own `line` and `column` (from 1) stand in the file; the scalar's start if unsure."""
        if self.style == "|":
            return self._inside_block(line, column)
        if line != 1 or "\n" in self.raw:
            return self.where
        if self.style == '"':
            return self._shifted(column) if "\\" not in self.raw else self.where
        if self.style == "'":
            doubled = self.text[: column - 1].count("'")
            return self._shifted(column + doubled)
        return self._shifted(column - 1)

    def _shifted(self, by: int) -> Location:
        return self.where._replace(column=self.where.column + by)

    def _inside_block(self, line: int, column: int) -> Location:
        header, *lines = self.raw.split("\n")
        if not 1 <= line <= len(lines) or header.partition("#")[0].strip("|+- \r"):
            return self.where
        indent = next((len(row) - len(row.lstrip(" ")) for row in lines if row.strip()), 0)
        return Location(self.where.file, self.where.line + line, indent + column)


class Items(msgspec.Struct, frozen=True):
    """A list."""

    where: Location
    items: tuple[Node, ...] = ()


class Entries(msgspec.Struct, frozen=True):
    """A map: its keys and values in file order, every key once."""

    where: Location
    pairs: tuple[tuple[Scalar, Node], ...] = ()

    def get(self, key: str) -> Node | None:
        """The value under `key`, or None."""
        return next((value for name, value in self.pairs if name.text == key), None)

    def key(self, key: str) -> Scalar | None:
        """The key itself, for its place, or None."""
        return next((name for name, _ in self.pairs if name.text == key), None)


Node = Scalar | Items | Entries


def shown(text: str, limit: int = 60) -> str:
    """A user's name or value for an error: in backticks, on one line, at most `limit` characters."""
    safe = "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text[:limit])
    return f"`{safe}…`" if len(text) > limit else f"`{safe}`"


def parse(text: str, file: str) -> Node:
    """The one document in `text`. Raises PolicyError with every problem of form that could be found."""
    _check_characters(text, file)
    builder = _Builder(text, file)
    try:
        root = builder.document(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.YAMLError as error:
        builder.problems.append(_syntax_problem(error, text, file))
        root = None
    if builder.problems or root is None:
        raise PolicyError(builder.problems[:MAX_PROBLEMS])
    return root


def locate(root: Node, path: tuple[Step, ...]) -> Location:
    """Where the entry reached by `path` stands: a text's own place, and for a map or list its key's.

    A last step `key#` asks for the key. A step that leads nowhere gives the nearest enclosing entry.
    """
    node, where = root, root.where
    for step in path:
        child, place = _child(node, step)
        if place is None:
            return where
        if child is None:
            return place
        node, where = child, place
    return where


def at(root: Node, path: tuple[Step, ...]) -> Node | None:
    """The node reached by `path`, or None."""
    node: Node | None = root
    for step in path:
        node = None if node is None else _child(node, step)[0]
    return node


def _child(node: Node, step: Step) -> tuple[Node | None, Location | None]:
    if isinstance(node, Items):
        if isinstance(step, int) and 0 <= step < len(node.items):
            return node.items[step], node.items[step].where
        return None, None
    if isinstance(node, Scalar):
        return None, None
    name = str(step)
    key, value = node.key(name), node.get(name)
    if key is not None and value is not None:
        return value, value.where if isinstance(value, Scalar) else key.where
    marked = node.key(name[:-1]) if name.endswith("#") else None
    return None, marked.where if marked else None


class _Builder:
    """Builds nodes from parser events, collecting problems and bounding depth and number as it goes."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.problems: list[Problem] = []
        self.nodes = 0

    def document(self, stream: Iterator[events.Event]) -> Node | None:
        root: Node | None = None
        for event in stream:
            if isinstance(event, events.DocumentStartEvent):
                if event.version or event.tags:
                    self.report(event, "a YAML directive", "remove the line that begins with `%`")
                if root is not None:
                    self.report(event, "a second document", "keep one policy a file")
                    return None
            elif isinstance(event, events.NodeEvent):
                root = self.node(event, stream, 1)
        if root is None and not self.problems:
            self.problems.append(Problem(Location(self.file), "the file is empty", "begin it with `aigov: 1`"))
        return root

    def node(self, event: events.NodeEvent, stream: Iterator[events.Event], depth: int) -> Node:
        self.nodes += 1
        if depth > MAX_DEPTH:
            self.stop(event, f"nested over {MAX_DEPTH} levels deep")
        if self.nodes > MAX_NODES:
            self.stop(event, f"over {MAX_NODES} entries")
        if isinstance(event, events.AliasEvent):
            self.report(event, f"an alias {shown('*' + str(event.anchor))}", "write the value out")
            return Scalar(self.place(event), "")
        self.check_properties(event)
        if isinstance(event, events.SequenceStartEvent):
            return Items(self.place(event), tuple(self.items(stream, depth)))
        if isinstance(event, events.MappingStartEvent):
            return Entries(self.place(event), tuple(self.pairs(stream, depth)))
        return self.scalar(event)

    def scalar(self, event: events.NodeEvent) -> Scalar:
        assert isinstance(event, events.ScalarEvent)
        start, end = event.start_mark, event.end_mark
        raw = self.text[start.index : end.index] if start and end else ""
        return Scalar(self.place(event), event.value, event.style or "", raw)

    def items(self, stream: Iterator[events.Event], depth: int) -> Iterator[Node]:
        for event in stream:
            if isinstance(event, events.SequenceEndEvent):
                return
            assert isinstance(event, events.NodeEvent)
            yield self.node(event, stream, depth + 1)

    def pairs(self, stream: Iterator[events.Event], depth: int) -> Iterator[tuple[Scalar, Node]]:
        seen: dict[str, int] = {}
        for event in stream:
            if isinstance(event, events.MappingEndEvent):
                return
            assert isinstance(event, events.NodeEvent)
            key = self.node(event, stream, depth + 1)
            following = next(stream)
            assert isinstance(following, events.NodeEvent)
            value = self.node(following, stream, depth + 1)
            if self.usable(event, key, seen) and isinstance(key, Scalar):
                seen[key.text] = key.where.line
                yield key, value

    def usable(self, event: events.NodeEvent, key: Node, seen: dict[str, int]) -> bool:
        if not isinstance(key, Scalar) or isinstance(event, events.AliasEvent):
            self.report(event, "a key that is not text", "write a name before the colon")
        elif not key.text:
            self.report(event, "an empty key", "write a name before the colon")
        elif key.text == "<<" and not key.style:
            self.report(event, "a merge key `<<`", "write the values out")
        elif key.text in seen:
            self.report(event, f"the key {shown(key.text)} is here twice", f"it first stands in line {seen[key.text]}")
        else:
            return True
        return False

    def check_properties(self, event: events.NodeEvent) -> None:
        if event.anchor is not None:
            self.report(
                event, f"an anchor {shown('&' + str(event.anchor))}", "remove it; a policy says each thing once"
            )
        tag = getattr(event, "tag", None)
        if tag is not None:
            name = str(tag).replace("tag:yaml.org,2002:", "!!")
            self.report(event, f"a tag {shown(name)}", "remove it; values are plain text, numbers, lists and maps")

    def place(self, event: events.Event) -> Location:
        mark = event.start_mark
        return Location(self.file, mark.line + 1, mark.column + 1) if mark else Location(self.file)

    def report(self, event: events.Event, what: str, fix: str) -> None:
        self.problems.append(Problem(self.place(event), what, fix))

    def stop(self, event: events.Event, what: str) -> None:
        raise PolicyError([*self.problems[:MAX_PROBLEMS], Problem(self.place(event), what, "make it simpler")])


def _check_characters(text: str, file: str) -> None:
    if len(text) > MAX_CHARS:
        what = f"the file has {len(text)} characters; at most {MAX_CHARS} are read"
        raise PolicyError(Problem(Location(file), what, "move long lists into files of their own"))
    problems = []
    for match in _UNWELCOME.finditer(text):
        problems.append(Problem(place_of(text, match.start(), file), *_unwelcome_words(match.group()[0])))
        if len(problems) == MAX_PROBLEMS:
            break
    if problems:
        raise PolicyError(problems)


def _unwelcome_words(char: str) -> tuple[str, str]:
    if char == "\t":
        return "a tab", 'use spaces; inside text write "\\t" in double quotes'
    if char == "\r":
        return "a lone carriage return", "end lines with a line feed"
    return f"the invisible or control character U+{ord(char):04X}", f'write "\\u{ord(char):04x}" in double quotes'


def place_of(text: str, index: int, file: str) -> Location:
    """The line and column of the character at `index`."""
    before = text[:index]
    return Location(file, before.count("\n") + 1, index - (before.rfind("\n") + 1) + 1)


def _syntax_problem(error: yaml.YAMLError, text: str, file: str) -> Problem:
    """PyYAML's complaint at its place; where the file just ends, at the beginning of what is unfinished."""
    mark = getattr(error, "problem_mark", None)
    context = getattr(error, "context_mark", None)
    what = getattr(error, "problem", None) or "it cannot be read"
    if mark is None:
        return Problem(Location(file), "not YAML", "check quotes and brackets")
    if mark.index >= len(text.rstrip()):
        place = context or mark
        return Problem(
            Location(file, place.line + 1, place.column + 1),
            "the file ends before this is finished",
            "close it, or restore the file if it was cut off",
        )
    return Problem(Location(file, mark.line + 1, mark.column + 1), f"not YAML: {what}", "check quotes and indentation")
