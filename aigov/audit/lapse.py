"""Calls that went unrecorded, where the organisation's policy opens that fault (`on_failure: fail_open`).

    audit.unrecorded    beside the log's folder: how many since when, until a `gap` record says so

Invariants:
* Nothing is unrecorded silently: each is counted, and the first record that can be written again is a `gap`
  with their number and time span.
* The count is in a file, so it outlives the process that counted. It is taken from there only when the `gap` is
  durable: a crash in between tells of a hole twice, never of none.
* No more are let go in a minute than the policy says.
* What stands for a receipt says that nothing is durable: it has no id and no digest.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from aigov.audit.canonical import timestamp
from aigov.audit.composing import Receipt
from aigov.audit.disk import beside, locked, open_regular, release, try_lock
from aigov.audit.records import Gap, Record
from aigov.forks import watch_forks

OPEN: Final = "fail_open"
SUFFIX: Final = ".unrecorded"
FILE_BYTES: Final = 512
LOCK_SECONDS: Final = 0.05
MINUTE: Final = 60.0
UNREADABLE: Final = Gap(count=1, error="unreadable")

_DECODER: Final = msgspec.json.Decoder(Gap)


class Lapse:
    """Counts what could not be recorded. For any number of threads, and of processes on one log."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = beside(folder, SUFFIX)
        self._clock = clock
        self._lock = threading.Lock()
        self._let_go: deque[float] = deque()
        self._unkept: Gap | None = None  # what the file could not take
        self._taken: Gap | None = None
        self._suspected = True  # there may be something in the file
        self._saying: int | None = None
        watch_forks(self)

    def missed(self, record: Record, why: str, per_minute: int) -> Receipt | None:
        """Count a record that is lost, and stand in for its receipt; None where too many were lost already."""
        now = timestamp(time.time_ns())
        with self._lock:
            if not self._may_go(per_minute):
                return None
            gap = Gap(count=1, first_ts=now, last_ts=now, error=why)
            self._suspected = True
            if not self._add(gap):
                self._unkept = joined(self._unkept, gap)
        return Receipt(id="", kind=record.kind(), call=getattr(record, "call", None) or "", seq=0, digest="")

    def take(self) -> Gap | None:
        """What is to be recorded before anything else; None where nothing is missing or somebody is saying it.

        To be followed by `said` or `put_back`.
        """
        if not self._suspected:
            return None
        with self._lock:
            if self._saying is not None or self._taken is not None:
                return None
            kept = self._hold()
            self._taken, self._unkept = self._unkept, None
            gap = kept if self._taken is None else joined(kept, self._taken)
            if gap is None:
                self._suspected = False
                self._let_loose()
            return gap

    def said(self) -> None:
        """The gap that was taken is on the record."""
        with self._lock:
            self._taken, self._suspected = None, self._unkept is not None
            if self._saying is not None:
                with suppress(OSError):
                    os.pwrite(self._saying, b" " * FILE_BYTES, 0)
            self._let_loose()

    def put_back(self, gap: Gap | None) -> None:
        """The gap that was taken could not be said either; it stays counted. Nothing is done without one."""
        if gap is not None:
            with self._lock:
                if self._taken is not None:
                    self._unkept = self._taken if self._unkept is None else joined(self._taken, self._unkept)
                self._taken = None
                self._let_loose()

    def begin_anew(self) -> None:
        """What a forked child inherited is the parent's to say; the count in the file is anybody's."""
        handle, self._saying = self._saying, None
        if handle is not None:
            os.close(handle)  # not released: the lock is the parent's
        self._lock = threading.Lock()
        self._unkept = self._taken = None
        self._suspected = True

    # -- under the lock --------------------------------------------------------------------------

    def _may_go(self, per_minute: int) -> bool:
        now = self._clock()
        while self._let_go and now - self._let_go[0] >= MINUTE:
            self._let_go.popleft()
        if len(self._let_go) >= per_minute:
            return False
        self._let_go.append(now)
        return True

    def _add(self, gap: Gap) -> bool:
        """Count one more in the file. Nothing is synced: this has to work when no sync comes back."""
        if self._saying is not None:
            return False
        with suppress(OSError):
            handle = open_regular(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
            try:
                with locked(handle, LOCK_SECONDS):
                    _write(handle, joined(_read(handle), gap))
                return True
            finally:
                os.close(handle)
        return False

    def _hold(self) -> Gap | None:
        """What the file says; it stays locked, so that nobody else says it too."""
        with suppress(OSError):
            handle = open_regular(self._path, os.O_RDWR | os.O_NOFOLLOW)
            if not try_lock(handle):
                os.close(handle)
                return None
            self._saying = handle
            return _read(handle)
        return None

    def _let_loose(self) -> None:
        handle, self._saying = self._saying, None
        if handle is not None:
            release(handle)
            os.close(handle)


def joined(before: Gap | None, after: Gap) -> Gap:
    """Two gaps as one."""
    if before is None:
        return after
    first = before.first_ts or after.first_ts
    return Gap(count=before.count + after.count, first_ts=first, last_ts=after.last_ts, error=after.error)


def _read(handle: int) -> Gap | None:
    """What is counted in the file. A count that cannot be read is one at least."""
    content = os.pread(handle, FILE_BYTES, 0).rstrip(b" \n\0")
    if not content:
        return None
    with suppress(msgspec.DecodeError, UnicodeDecodeError):
        return _DECODER.decode(content)
    return UNREADABLE


def _write(handle: int, gap: Gap) -> None:
    """Over what was there, in a length that never changes: on a full disk that takes no room."""
    os.pwrite(handle, msgspec.json.encode(gap).ljust(FILE_BYTES), 0)
