"""The operating system as the log's rooms see it: it fails on order, and remembers what is truly on the disk.

It stands in the place of `os` and `fcntl` in every module of the record, so that a fault may come at any of their
calls. What it holds for durable is counted apart from the log: the bytes of a file that were written before a sync
which ended well began, from the first one on without a hole, under a name that a sync of its folder has kept. What was
to be covered by a sync that failed is lost for good, as systems do that forget it and call the next one a success.
"""

from __future__ import annotations

import errno
import fcntl
import importlib
import os
import pkgutil
import stat
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import aigov.audit

SIGNING = "aigov-checkpoint"
SHORT, TORN, SLOW = -1, -2, -3
PATIENCE_S = 0.1
APART = frozenset({"index", "verify"})  # they read the log, and keep no record


class Fault:
    """The calls that fail from the `nth` on: with an errno, in part (SHORT; TORN: and then full), or late (SLOW).

    `lasting`: every later one fails as well. `struck`: when it did, by the monotonic clock; a fault that only a
    checkpoint met, for which no call waits, does not count.
    """

    def __init__(self, calls: frozenset[str], effect: int, nth: int, *, lasting: bool = False) -> None:
        self.calls = calls
        self.effect = effect
        self.nth = nth
        self.lasting = lasting
        self.met = 0
        self.struck: list[float] = []

    def strikes(self, call: str) -> bool:
        """Whether this call is to fail."""
        if call not in self.calls or threading.current_thread().name == SIGNING:
            return False
        self.met += 1
        hit = self.met == self.nth or (self.lasting and self.met > self.nth)
        if hit:
            self.struck.append(time.monotonic())
        return hit


class File:
    """What is durable of one file: `came`, when the part without a hole came to `ends`."""

    def __init__(self) -> None:
        self.waiting: list[tuple[int, int]] = []
        self.sure: list[tuple[int, int]] = []
        self.came: list[int] = []
        self.ends: list[int] = []

    def synced(self, parts: list[tuple[int, int]], now: int) -> None:
        """Parts of it are durable from now on."""
        self.sure = _joined([*self.sure, *parts])
        end = self.sure[0][1] if self.sure and self.sure[0][0] == 0 else 0
        if end > (self.ends[-1] if self.ends else 0):
            self.ends.append(end)
            self.came.append(now)

    def cut(self, size: int) -> None:
        """What followed is gone, durable or not."""
        self.waiting = [(start, min(end, size)) for start, end in self.waiting if start < size]
        self.sure = [(start, min(end, size)) for start, end in self.sure if start < size]
        keep = bisect_left(self.ends, size)
        came = self.came[keep : keep + 1] if size else []
        self.ends, self.came = self.ends[:keep] + [size] * len(came), self.came[:keep] + came

    def since(self, end: int) -> int | None:
        """When the bytes up to `end` came to be durable; None where they are not."""
        at = bisect_left(self.ends, end)
        return self.came[at] if at < len(self.ends) else None


class Door:
    """`os` with faults. `clock` counts syncs that ended well: what is durable at a moment is what came before it."""

    def __init__(self) -> None:
        self.clock = 0
        self.fault: Fault | None = None
        self._lock = threading.RLock()
        self._files: dict[int, File] = {}
        self._named: dict[int, int] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def since(self, inode: int, end: int) -> int | None:
        """When the first `end` bytes of a file, and its name, came to be durable; None where they are not."""
        named, came = self._named.get(inode), self._file(inode).since(end)
        return None if named is None or came is None else max(named, came)

    # -- what the log calls --------------------------------------------------------------------------

    def write(self, handle: int, data: bytes) -> int:
        part = self._meet("write")
        taken = os.write(handle, data[: len(data) // 2 + 1] if part else data)
        end = os.lseek(handle, 0, os.SEEK_CUR)
        with self._lock:
            self._file(os.fstat(handle).st_ino).waiting.append((end - taken, end))
        if part == TORN:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return taken

    def fdatasync(self, handle: int) -> None:
        file = self._file(os.fstat(handle).st_ino)
        with self._lock:
            covered, file.waiting = file.waiting, []
        self._meet("sync")  # where it fails, `covered` is lost
        os.fdatasync(handle)
        with self._lock:
            self.clock += 1
            file.synced(covered, self.clock)

    def fsync(self, handle: int) -> None:
        if not stat.S_ISDIR(os.fstat(handle).st_mode):
            self.fdatasync(handle)
            return
        names = [entry.inode() for entry in os.scandir(handle)]
        self._meet("sync_folder")
        os.fsync(handle)
        with self._lock:
            self.clock += 1
            for inode in names:
                self._named.setdefault(inode, self.clock)

    def ftruncate(self, handle: int, size: int) -> None:
        self._meet("truncate")
        os.ftruncate(handle, size)
        with self._lock:
            self._file(os.fstat(handle).st_ino).cut(size)

    def open(self, *given: Any, **more: Any) -> int:
        self._meet("open")
        return os.open(*given, **more)

    def replace(self, *given: Any) -> None:
        self._meet("rename")
        os.replace(*given)

    def fstat(self, handle: int) -> os.stat_result:
        self._meet("fstat")
        return os.fstat(handle)

    def stat(self, *given: Any, **more: Any) -> os.stat_result:
        self._meet("stat")
        return os.stat(*given, **more)

    def pwrite(self, *given: Any) -> int:
        self._meet("pwrite")
        return os.pwrite(*given)

    def pread(self, *given: Any) -> bytes:
        self._meet("pread")
        return os.pread(*given)

    def scandir(self, *given: Any) -> Any:
        self._meet("scandir")
        return os.scandir(*given)

    def posix_fallocate(self, *given: Any) -> None:
        self._meet("fallocate")
        os.posix_fallocate(*given)

    def flock(self, *given: Any) -> None:
        """In the place of `fcntl.flock`."""
        self._meet("flock")
        fcntl.flock(*given)

    def _meet(self, call: str) -> int:
        """Fail, or wait, where the fault is due; SHORT or TORN where the caller is to do a part."""
        with self._lock:
            due = self.fault
            if due is None or not due.strikes(call):
                return 0
        if due.effect == SLOW:
            time.sleep(1.3 * PATIENCE_S)
            return 0
        if due.effect in (SHORT, TORN) and call == "write":
            return due.effect
        code = due.effect if due.effect > 0 else errno.EIO
        raise OSError(code, os.strerror(code))

    def _file(self, inode: int) -> File:
        with self._lock:
            return self._files.setdefault(inode, File())


class _Locks:
    """`fcntl` with the door's flock."""

    def __init__(self, door: Door) -> None:
        self.flock = door.flock

    def __getattr__(self, name: str) -> Any:
        return getattr(fcntl, name)


@contextmanager
def standing(door: Door) -> Iterator[None]:
    """Have every room of the record go through the door."""
    with ExitStack() as stack:
        for found in pkgutil.iter_modules(aigov.audit.__path__):
            room = importlib.import_module(f"aigov.audit.{found.name}")
            if found.name not in APART and hasattr(room, "os"):
                stack.enter_context(mock.patch.object(room, "os", door))
            if hasattr(room, "fcntl"):
                stack.enter_context(mock.patch.object(room, "fcntl", _Locks(door)))
        yield


def _joined(parts: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same parts, those that touch as one."""
    made: list[tuple[int, int]] = []
    for start, end in sorted(parts):
        if made and start <= made[-1][1]:
            made[-1] = made[-1][0], max(end, made[-1][1])
        else:
            made.append((start, end))
    return made
