"""Reading a text line by line, whatever it is: any size, any encoding, from a file or from stdin.

Invariants:
* One line is in memory at a time (or one JSON document), and never more than `MAX_BYTES` of it.
* A line that cannot be read as text is reported, not guessed at: `why` says what is wrong with it.
"""

from __future__ import annotations

import io
import json
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple, Protocol

import msgspec

from aigov.cli.exits import cannot
from aigov.text.shapes import is_json

MAX_BYTES = 1_000_000
PIECE_BYTES = 65_536
STDIN = "-"


class Lined(Protocol):
    """What is read by the line."""

    def readline(self, size: int, /) -> bytes: ...


class Line(NamedTuple):
    """One line. `number` counts from 1; `end` is its line end as it stood; `size` in bytes, end included.

    `why` is empty, or the reason code for which there is no text: `input.too_large`, `input.not_utf8`.
    """

    number: int
    text: str
    end: str
    size: int
    why: str = ""


class Source(NamedTuple):
    """An opened text and its size in bytes, None where that is not known (a pipe)."""

    stream: BinaryIO
    size: int | None


@contextmanager
def opened(name: str) -> Iterator[Source]:
    """Open the file `name`, or stdin for `-`. Raises Stop where it cannot be read."""
    if name == STDIN:
        if sys.stdin is None:  # started with its input closed (`<&-`)
            raise cannot("there is nothing to read: stdin is closed")
        yield Source(sys.stdin.buffer, _size(sys.stdin.buffer))
        return
    stream = _open(name)
    with stream:
        yield Source(stream, _size(stream))


def read(stream: Lined, limit: int = MAX_BYTES) -> Iterator[Line]:
    """The lines of `stream`, each at most `limit` bytes; what is longer is skipped and reported."""
    number = 0
    while data := stream.readline(limit + 2):
        number += 1
        if len(data) == limit + 2 and not data.endswith(b"\n"):
            yield _skipped(number, data, stream)
            continue
        body, end = _split(data)
        if len(body) > limit:
            yield Line(number, "", end, len(data), "input.too_large")
        else:
            yield _decoded(number, body, end, len(data))


def texts(stream: BinaryIO, limit: int = MAX_BYTES) -> Iterator[Line]:
    """The lines of `stream`; or all of it, where it is a JSON document on several lines, of `limit` bytes at most.

    Line by line it would not be JSON any more. What begins like one is read ahead, nothing else is.
    """
    head = stream.readline(limit + 2)
    if not _begins_json(head):
        yield from read(_Joined(head, stream), limit)
        return
    head += stream.read(max(0, limit + 1 - len(head)))
    body, end = _split(head)
    whole = _decoded(1, body, end, len(head))
    if len(head) > limit or whole.why or not is_json(whole.text):
        yield from read(_Joined(head, stream), limit)
    else:
        yield whole


def _begins_json(line: bytes) -> bool:
    """Whether a line that is no JSON itself could be the first of a JSON document: it ends before anything is wrong."""
    text = line.decode("utf-8", "replace").strip("\ufeff \t\r\n")
    if text[:1] not in ("{", "["):
        return False
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return error.pos >= len(text)
    except (RecursionError, ValueError):
        pass
    return False


class _Joined:
    """A stream of which the beginning was read already."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head, self._rest = io.BytesIO(head), rest

    def readline(self, size: int) -> bytes:
        line = self._head.readline(size)
        if line.endswith(b"\n") or len(line) == size:
            return line
        return line + self._rest.readline(size - len(line))


def _open(name: str) -> BinaryIO:
    try:
        return open(name, "rb")
    except OSError as error:
        why = error.strerror or "unknown fault"
    raise cannot(f"cannot read `{name}`: {why}")


def _size(stream: BinaryIO) -> int | None:
    try:
        found = os.fstat(stream.fileno())
    except OSError:  # not a real file, as in a test
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _decoded(number: int, body: bytes, end: str, size: int) -> Line:
    try:
        return Line(number, body.decode("utf-8"), end, size)
    except UnicodeDecodeError:
        return Line(number, "", end, size, "input.not_utf8")


def _split(data: bytes) -> tuple[bytes, str]:
    """A line's body and its end: `\\n`, `\\r\\n` or nothing."""
    if data.endswith(b"\r\n"):
        return data[:-2], "\r\n"
    return (data[:-1], "\n") if data.endswith(b"\n") else (data, "")


def _skipped(number: int, data: bytes, stream: Lined) -> Line:
    """Pass over the rest of a line that is too large, without keeping it."""
    size = len(data)
    while not data.endswith(b"\n") and (more := stream.readline(PIECE_BYTES)):
        size += len(more)
        data = data[-1:] + more
    return Line(number, "", _split(data)[1], size, "input.too_large")


def member(line: Line, name: str) -> Line:
    """The text member `name` of a line that is a JSON object, or why there is none."""
    if line.why:
        return line
    try:
        value = msgspec.json.decode(line.text)
    except (msgspec.DecodeError, RecursionError):
        return line._replace(text="", why="input.not_json")
    text = value.get(name) if isinstance(value, dict) else None
    if not isinstance(text, str):
        return line._replace(text="", why="input.no_member")
    return line._replace(text=text)
