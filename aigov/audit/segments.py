"""The files that a log's lines are in, as one writer holds them: `seg/00000000.jsonl` and what follows.

Invariants:
* The segment that is held is the one in the folder: writing to a deleted file succeeds, into nothing.
* Bytes of others are never deleted: what a crash tore is copied to `quarantine/` first.
* Nobody writes to a segment that is not the last one; it is read-only then.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from aigov.audit.canonical import NotARecord, decode, micros
from aigov.audit.disk import FILE_MODE, Disk, make_folder, open_regular
from aigov.audit.end import Damaged
from aigov.audit.reader import extents, segment_path
from aigov.audit.records import MAX_BYTES, WriterStart
from aigov.crypto import digest

QUARANTINE = "quarantine"
TORN_MAX_BYTES = 64 * 1024 * 1024
SEALED_MODE = 0o400


class Segments:
    """One writer's hold on the segment that is written to. Not for several threads at once."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._folder = folder
        self._disk = disk
        self._open: int | None = None
        self._path = ""
        self._next = ""
        self.number = 0
        self.since = 0.0

    @property
    def handle(self) -> int:
        """The handle on the segment. Raises Damaged where none is held."""
        if self._open is None:
            raise Damaged("no segment is open")
        return self._open

    def hold(self, number: int, create: int = 0) -> None:
        """Hold the segment `number`; `create`: flags with which to make it. Raises OSError."""
        path = segment_path(self._folder, number)
        handle = _opened(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | create)
        self.drop()
        self._open, self.number = handle, number
        self._path, self._next = str(path), str(segment_path(self._folder, number + 1))
        if create:
            self._disk.sync_folder(path.parent)
        line = os.pread(handle, MAX_BYTES + 1, 0).partition(b"\n")[0]
        self.since = time.time()
        with suppress(NotARecord):
            self.since = micros(decode(line).ts) / 1e6 if line else self.since

    def drop(self) -> None:
        """Let go of the handle and touch no file."""
        handle, self._open = self._open, None
        if handle is not None:
            os.close(handle)

    def size(self) -> int:
        """How many bytes the segment has."""
        return os.fstat(self.handle).st_size

    def has_next(self) -> bool:
        """Whether there is a segment after this one."""
        return os.path.exists(self._next)

    def next(self) -> None:
        """Hold the segment after this one, which is made unless a crash left it without a line. Raises OSError."""
        complete = segment_path(self._folder, self.number)
        self.hold(self.number + 1, os.O_CREAT if self.has_next() else os.O_CREAT | os.O_EXCL)
        complete.chmod(SEALED_MODE)  # last: the segment that is written to is never read-only, whoever is killed

    def check_in_place(self) -> None:
        """Raises Damaged where another file stands in the place of the segment, OSError where none does."""
        check_in_place(self.handle, self._path)

    def line_before(self, offset: int) -> bytes:
        """The line that ends at a byte of the segment, without newline. Raises Damaged where none does."""
        start = max(0, offset - MAX_BYTES - 2)
        block = os.pread(self.handle, offset - start, start)
        if not block.endswith(b"\n"):
            raise Damaged("no line ends where one should; run `aigov audit verify`")
        return block[:-1].rpartition(b"\n")[2]

    def cut(self, offset: int) -> None:
        """Cut off what follows a byte. Where that fails the next opening finds it."""
        with suppress(OSError):
            self._disk.truncate(self.handle, offset)

    def empty(self) -> None:
        """Cut off everything, durable or not: nobody was told of any of it. Raises OSError."""
        self._disk.truncate(self.handle, 0)

    def set_aside(self, offset: int) -> WriterStart:
        """Move the bytes after the last record to quarantine, and say so.

        A killed writer leaves part of a line; a page that a power loss took reads as zeros. A whole line
        that is no record is neither: somebody wrote it, and the log is not continued.
        """
        torn = os.pread(self.handle, min(self.size() - offset, TORN_MAX_BYTES + 1), offset)
        if len(torn) > TORN_MAX_BYTES or (b"\n" in torn and b"\0" not in torn):
            raise Damaged(
                "a line after the last signed one is not the record that belongs there; run `aigov audit verify`"
            )
        name = f"{self.number:08d}-{offset:012d}-{digest(torn)[:16]}.torn"
        make_folder(self._disk, self._folder / QUARANTINE)
        self._disk.put(self._folder / QUARANTINE / name, torn)
        self._disk.truncate(self.handle, offset)
        return WriterStart(torn_bytes=len(torn), quarantine=name)

    def cut_leftovers(self) -> None:
        """Cut off what a disk brought back after the end of an abandoned segment. Raises OSError."""
        for path, size in extents(self._folder):
            if path.stat().st_size > size:
                handle = _opened(path, os.O_RDWR | os.O_NOFOLLOW)
                try:
                    self._disk.truncate(handle, size)
                finally:
                    os.close(handle)


def _opened(path: Path, flags: int) -> int:
    """A handle to write with, on a complete segment too: a crash may have left something there to be cut off."""
    try:
        return open_regular(path, flags)
    except PermissionError:
        path.chmod(FILE_MODE)
    try:
        return open_regular(path, flags)
    finally:
        path.chmod(SEALED_MODE)


def check_in_place(handle: int, path: str) -> None:
    """Raises Damaged where the file at `path` is not the one that is held, OSError where there is none."""
    ours, there = os.fstat(handle), os.stat(path)
    if (ours.st_ino, ours.st_dev) != (there.st_ino, there.st_dev):
        raise Damaged("a file of the log was exchanged while it was open")
