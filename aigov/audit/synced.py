"""How far a log is durable: one sync at a time, which counts for every writer of the log.

    sync.lock     held by whoever syncs; in it a mark: how far the syncs came that ended well
    append.lock   held by whoever appends; in it a mark: how far whole batches were written

How a writer makes what it wrote durable, without holding `append.lock`, so that others write meanwhile:
 1. look      somebody else's sync may cover it already
 2. lock      `sync.lock`; while one waits, look again
 3. mark      that a sync is under way
 4. sync      one's own handle on the segment: it covers every batch written before it began, whoever wrote it
 5. mark      how far that was, for those who wait

Invariants:
* A mark never goes past what a sync that ended well covers; nobody is told of anything beyond it.
* A failed sync is never repeated. The mark says that it failed and stays where it was, so every process whose
  records lie behind it learns of it; what is behind it is abandoned (`store.py`).
* Who dies in the middle of a sync may be the only one that the system had told of its failure (Linux reports one
  once to each handle), so what such a sync was to cover is written once more, the same bytes, before it is synced.
* A mark of an earlier start of the machine, or one that the segment does not reach, is not believed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import struct
import time
import zlib
from pathlib import Path
from typing import NamedTuple

from aigov.audit.disk import Busy, Disk, locked, open_regular, release, try_lock
from aigov.audit.reader import extents, segment_path

LOCK = "sync.lock"
SHORTEST_PAUSE_S, LONGEST_PAUSE_S, PAUSES = 0.00005, 0.001, 8
SURE, UNDER_WAY, FAILED = 1, 2, 3
_BODY = struct.Struct(">16sQQHH")
_WHOLE = struct.Struct(">16sQQHHI")


class SyncFailed(OSError):
    """The system could not put a batch on stable storage; this writer takes no more."""


class Broken(Exception):
    """A sync that was to cover one's records failed, in this process or another. `errno`: how."""

    def __init__(self, error: int) -> None:
        self.errno = error or errno.EIO
        super().__init__(self.errno)


class Mark(NamedTuple):
    """A place in a log, and what is known of it. `boot`: 16 bytes for the start of the machine; `error`: errno."""

    boot: bytes
    segment: int
    offset: int
    state: int = SURE
    error: int = 0


def put_mark(handle: int, mark: Mark) -> None:
    """Write a mark into a lock's file: for other processes, not for the next start. Raises OSError."""
    body = _BODY.pack(*mark)
    os.pwrite(handle, body + zlib.crc32(body).to_bytes(4), 0)


def get_mark(handle: int) -> Mark | None:
    """The mark in a lock's file; None where there is none, or somebody is writing it just now. Raises OSError."""
    content = os.pread(handle, _WHOLE.size, 0)
    if len(content) < _WHOLE.size:
        return None
    *fields, total = _WHOLE.unpack(content)
    return Mark(*fields) if total == zlib.crc32(content[:-4]) else None


class Synced:
    """One writer's way to make things durable. Not for several threads at once."""

    def __init__(self, folder: Path, *, disk: Disk, boot: str) -> None:
        self._folder = folder
        self._disk = disk
        self.boot = hashlib.sha256(boot.encode()).digest()[:16]
        self._handle: int | None = None
        self._pause = SHORTEST_PAUSE_S

    @property
    def handle(self) -> int:
        """The handle on `sync.lock`. Raises OSError."""
        if self._handle is None:
            self._handle = open_regular(self._folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
        return self._handle

    def drop(self) -> None:
        """Let go of the handle and touch no file."""
        if self._handle is not None:
            os.close(self._handle)
        self._handle = None

    def failed(self, segment: int | None = None) -> Mark | None:
        """Where `segment`, or any, has to be abandoned; None where none has. Raises OSError."""
        mark = self._mark()
        if mark is None or mark.state != FAILED or segment not in (None, mark.segment):
            return None
        return mark

    def begin(self, segment: int, handle: int, since: int, end: int, patience: float) -> None:
        """Find out how far a log is durable that was just opened, under `append.lock`; it ends at byte `end`.

        `since`: a byte up to which it was signed, and so durable. After a start of the machine what was read came from
        the disk. Where nothing is known it is written again from there, and synced. Raises OSError, SyncFailed.
        """
        with locked(self.handle, patience):
            mark = get_mark(self.handle)
            known = mark is not None and mark.boot == self.boot
            if mark is not None and known and (mark.segment, mark.offset) <= (segment, end):
                return
            if (mark is None or known) and since < end:
                try:
                    self._write_again(segment, handle, since, end)
                    self._disk.sync(handle)
                except OSError as error:
                    raise SyncFailed(error.errno or errno.EIO, "the data may not be on the disk") from None
            put_mark(self.handle, Mark(self.boot, segment, end))

    def begin_anew(self, segment: int, patience: float = 5.0) -> None:
        """Let a segment that was emptied be as good as new. Raises OSError."""
        with locked(self.handle, patience):
            put_mark(self.handle, Mark(self.boot, segment, 0))

    def reach(self, segment: int, handle: int, end: int, written: int, patience: float) -> None:
        """Return when everything up to byte `end` of a segment is durable.

        `written`: a handle on `append.lock`. Raises Broken where a sync failed, Busy where there is no more patience.
        """
        began = time.monotonic()
        while not try_lock(self.handle):
            if self._covers(self._mark(), segment, end):
                return
            if time.monotonic() - began > patience:
                raise Busy(errno.EBUSY, "another process is busy with a sync")
            time.sleep(self._pause)  # an eighth of what it took last time
        try:
            mark = self._mark()
            if not self._covers(mark, segment, end):
                self._sync(mark, segment, handle, end, written)
        finally:
            release(self.handle)
        self._pause = min(max((time.monotonic() - began) / PAUSES, SHORTEST_PAUSE_S), LONGEST_PAUSE_S)

    def _covers(self, mark: Mark | None, segment: int, end: int) -> bool:
        """Whether a sync that ended well covers byte `end` of a segment. Raises Broken where it never will."""
        if mark is None or mark.segment < segment:
            return False
        if mark.segment > segment:  # writers go on in a new segment once the one before is durable, or was abandoned
            there = dict(extents(self._folder, segment)).get(segment_path(self._folder, segment), 0)
        elif mark.state == FAILED:
            there = mark.offset
        else:
            return end <= mark.offset
        if end > there:
            raise Broken(mark.error)
        return True

    def _mark(self) -> Mark | None:
        mark = get_mark(self.handle)
        return mark if mark is not None and mark.boot == self.boot else None

    def _sync(self, mark: Mark | None, segment: int, handle: int, end: int, written: int) -> None:
        """Steps 3 to 5, under the lock. A mark of another segment says nothing of this one, which is young."""
        here = mark if mark is not None and mark.segment == segment else Mark(self.boot, segment, 0)
        batches = get_mark(written)
        if batches is not None and (batches.boot, batches.segment) == (self.boot, segment):
            end = max(end, batches.offset)
        put_mark(self.handle, here._replace(state=UNDER_WAY))
        error = 0
        try:
            if here.state == UNDER_WAY:
                self._write_again(segment, handle, here.offset, end)
            self._disk.sync(handle)
        except OSError as fault:
            error = fault.errno or errno.EIO
        if error:
            put_mark(self.handle, here._replace(state=FAILED, error=error))
            raise Broken(error)
        put_mark(self.handle, Mark(self.boot, segment, end))

    def _write_again(self, segment: int, handle: int, start: int, end: int) -> None:
        """Write bytes over themselves, so that the system holds them for unwritten."""
        if start >= end:
            return
        plain = open_regular(segment_path(self._folder, segment), os.O_WRONLY | os.O_NOFOLLOW)
        try:
            os.lseek(plain, start, os.SEEK_SET)
            self._disk.write_all(plain, os.pread(handle, end - start, start))
        finally:
            os.close(plain)
