"""Reading a log: its segments, its lines, and the records that somebody looks for.

Nothing here writes, takes a lock or needs a key, so it works on a copy and beside running writers.

Invariants:
* Memory is bounded: a file is read in blocks, and a line beyond the limit is cut off, not collected.
* Bytes after the last newline are not a record yet and are never yielded as one.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

from aigov.audit.canonical import NotARecord, plain
from aigov.audit.disk import open_regular
from aigov.audit.records import MAX_BYTES

SEGMENTS = "seg"
SEGMENT_NAME = re.compile(r"[0-9]{8}\.jsonl")
BLOCK = 1 << 20
_ABANDONED = re.compile(rb'"bytes":(\d{1,16}),.*"kind":"segment\.abandoned",.*"segment":(\d{1,16}),')
OVERLONG = b""  # stands for a line over the limit; like an empty line it is no record


class Lines:
    """The lines of a file from `start` to `end` (byte offsets), without newlines.

    `offset`: where the line yielded last begins. `whole`: the offset after the last newline read;
    `torn`: how many bytes follow it. `zeros`: whether a line over the limit had a zero byte in it.
    """

    def __init__(self, path: Path, start: int = 0, end: int | None = None) -> None:
        self._path = path
        self._start = start
        self._end = end
        self.offset = self.whole = start
        self.torn = 0
        self.zeros = False

    def __iter__(self) -> Iterator[bytes]:
        with os.fdopen(open_regular(self._path), "rb", buffering=0) as file:
            file.seek(self._start)
            yield from self._split(self._blocks(file))

    def _blocks(self, file: FileIO) -> Iterator[bytes]:
        left = sys.maxsize if self._end is None else self._end - self._start
        while left > 0 and (block := file.read(min(BLOCK, left))):
            left -= len(block)
            yield block

    def _split(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        rest, skipped = b"", 0
        for block in blocks:
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                self.offset, self.whole = self.whole, self.whole + skipped + len(line) + 1
                yield OVERLONG if skipped else line
                skipped = 0
            if len(rest) > MAX_BYTES:
                self.zeros = self.zeros or b"\0" in rest
                rest, skipped = b"", skipped + len(rest)
            self.torn = skipped + len(rest)


def segments(folder: Path) -> list[Path]:
    """The segment files of a log in order. Raises OSError where the folder cannot be read."""
    inside = folder / SEGMENTS
    if not folder.is_dir():
        raise FileNotFoundError(2, "no such folder")
    if not inside.is_dir():
        return []
    return sorted(path for path in inside.iterdir() if SEGMENT_NAME.fullmatch(path.name))


def segment_path(folder: Path, number: int) -> Path:
    """Where the segment `number` of a log is, or would be."""
    return folder / SEGMENTS / f"{number:08d}.jsonl"


def extents(folder: Path, first: int = 0) -> list[tuple[Path, int]]:
    """The segments from number `first` on, each with the byte after its last record. Raises OSError.

    That is its size, unless a sync failed there: then the next segment's first record says where it ends.
    """
    paths = [path for path in segments(folder) if int(path.stem) >= first]
    return [(path, _extent(path, after)) for path, after in zip(paths, [*paths[1:], None], strict=False)]


def abandoned(after: Path, number: int) -> int | None:
    """The byte at which the segment `number` ends, where the one after it begins by saying that a sync failed."""
    left = _ABANDONED.search(next(iter(Lines(after, 0, MAX_BYTES + 1)), b""))
    return int(left[1]) if left and int(left[2]) == number else None


def _extent(path: Path, after: Path | None) -> int:
    size = path.stat().st_size
    left = abandoned(after, int(path.stem)) if after is not None else None
    return size if left is None else min(size, left)


def records(folder: Path, progress: Callable[[int, int], None] | None = None) -> Iterator[Mapping[str, Any]]:
    """Every record of a log as a plain mapping, oldest first. Raises NotARecord, OSError.

    `progress(done, total)` is told bytes, about once a mebibyte.
    """
    found = extents(folder)
    done, told, total = 0, 0, sum(end for _, end in found)
    for path, end in found:
        for number, line in enumerate(Lines(path, 0, end), 1):
            yield _read(line, path, f"line {number}")
            done += len(line) + 1
            if progress is not None and done - told >= BLOCK:
                told = done
                progress(done, total)


def find(folder: Path, wanted: str) -> list[Mapping[str, Any]]:
    """The records whose `id`, `call`, `ticket` or `parent` is `wanted`, oldest first.

    Raises NotARecord, OSError.
    """
    needle, found = wanted.encode("utf-8", "replace"), []
    for path, end in extents(folder):
        for number, line in enumerate(Lines(path, 0, end), 1):
            if needle in line:
                record = _read(line, path, f"line {number}")
                if wanted in (record["id"], record.get("call"), record.get("ticket"), record.get("parent")):
                    found.append(record)
    return found


def tail(folder: Path, count: int) -> list[Mapping[str, Any]]:
    """The last `count` records, oldest first. Reads no more than they can take up. Raises NotARecord, OSError."""
    found: list[Mapping[str, Any]] = []
    for path, end in reversed(extents(folder)):
        if len(found) >= count:
            break
        found[:0] = _last(path, end, count - len(found))
    return found


def follow(
    folder: Path, *, stop: Callable[[], bool] = lambda: False, pause: float = 0.2, since: int | None = None
) -> Iterator[Mapping[str, Any]]:
    """Records as they are written, from `seq` `since` on (None: those after this moment).

    Looks again every `pause` seconds until `stop()` is true. Raises NotARecord, OSError.
    """
    number, position = (_holding(folder, since), 0) if since is not None else _end(folder)
    while True:
        paths = extents(folder, number)
        for path, end in paths:
            position = position if int(path.stem) == number else 0
            lines = Lines(path, position, max(position, end))
            for line in lines:
                record = _read(line, path, f"byte {lines.offset}")
                if since is None or record["seq"] >= since:
                    yield record
            # Writers move on to a new segment only when the one before is complete.
            number, position = (int(path.stem), lines.whole) if path == paths[-1][0] else (int(path.stem) + 1, 0)
        if stop():
            return
        time.sleep(pause)


def _holding(folder: Path, seq: int) -> int:
    """The number of the segment that has the record `seq`, or will have it; 0 where none can be before it."""
    for path in reversed(segments(folder)):
        first = next(iter(Lines(path, 0, MAX_BYTES + 1)), b"")
        with suppress(NotARecord):
            if plain(first)["seq"] <= seq:
                return int(path.stem)
    return 0


def _last(path: Path, end: int, count: int) -> list[Mapping[str, Any]]:
    """The last records of one segment. Its last `count` lines lie within `count` times the longest line."""
    start = max(0, end - (count + 1) * (MAX_BYTES + 1))
    lines = Lines(path, start, end)
    last: deque[tuple[int, bytes]] = deque(maxlen=count)
    for number, line in enumerate(lines):
        if number or not start:  # else it may begin in the middle
            last.append((lines.offset, line))
    return [_read(line, path, f"byte {offset}") for offset, line in last]


def _end(folder: Path) -> tuple[int, int]:
    """Where a log ends now: number of its last segment, and the offset after its last newline."""
    paths = segments(folder)
    if not paths:
        return 0, 0
    lines = Lines(paths[-1])
    deque(lines, maxlen=0)
    return int(paths[-1].stem), lines.whole


def _read(line: bytes, path: Path, where: str) -> Mapping[str, Any]:
    record, why = None, ""
    try:
        record = plain(line)
    except NotARecord as fault:
        why = fault.why
    if record is None:
        raise NotARecord(f"{path.name}, {where}: {why}; run `aigov audit verify`")
    return record
