"""Which writers of a log are alive.

Each writer holds the lock of a file of its own in `writers/` for as long as it lives. The system frees
the lock when the process ends, however it ends; a file that can be locked belongs to a writer that died
without closing.

Invariants:
* Files are made and looked at under the log's append lock, so nobody sees one that is not locked yet.
* A writer's file is durable before its first record: after a power loss it is what says whose calls may be open.
* A dead writer's file goes only after its open calls are recorded; until then whoever saw to it holds it.
* A log that failed counts as alive while the one that follows it in its process may end its calls: that one keeps its
  lock, which is free once the last copy of its handle is closed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from aigov.audit.disk import Disk, open_regular, try_lock

WRITERS = "writers"
SUFFIX = ".lock"
_NAME = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.lock")


class Living:
    """One writer's place among the writers of a log."""

    def __init__(self, folder: Path, writer: str, disk: Disk | None = None) -> None:
        self._folder = folder / WRITERS
        self._own = self._folder / (writer + SUFFIX)
        self._disk = disk or Disk()
        self._handle: int | None = None
        self._dead: dict[str, int] = {}
        self._failed: list[int] = []
        self._marked = -1

    def join(self, segment: int = 0) -> None:
        """Be counted among the living, with the segment that one's records begin in. Raises OSError."""
        if self._handle is None:
            self._handle = open_regular(self._own, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
            try_lock(self._handle)
            self.mark(segment)
            self._disk.sync_folder(self._folder)

    def mark(self, segment: int) -> None:
        """Say in which segment one's oldest open call begins: whoever sees to the dead need not look before.

        It may be lost in a power failure, and an older one, which is as good, stays. Raises OSError.
        """
        if self._handle is not None and segment != self._marked:
            os.pwrite(self._handle, b"%08d" % segment, 0)
            self._marked = segment

    def since(self) -> int:
        """The first segment in which a dead writer may have left calls open."""
        marks = [os.pread(handle, 8, 0) for handle in self._dead.values()]
        return min((int(mark) if mark.isdigit() and len(mark) == 8 else 0 for mark in marks), default=0)

    def dead(self) -> frozenset[str]:
        """The ids of writers that ended without closing. Their files are held until `forget`."""
        for path in self._others():
            handle = self._lock_of_the_dead(path)
            if handle is not None:
                self._dead[path.name.removesuffix(SUFFIX)] = handle
        return frozenset(self._dead)

    def forget(self, writers: Iterable[str]) -> None:
        """Remove the files of dead writers whose open calls are recorded. Raises OSError."""
        for writer in writers:
            (self._folder / (writer + SUFFIX)).unlink(missing_ok=True)
            os.close(self._dead.pop(writer))

    def alone(self) -> bool:
        """Whether no other writer's file is there."""
        return not self._others()

    def keep(self, failed: Living) -> None:
        """Keep a writer that failed among the living, and those that it kept. Raises OSError."""
        for handle in (*failed._failed, failed._handle):
            if handle is not None:
                self._failed.append(os.dup(handle))

    def let_go(self) -> None:
        """Keep nobody any more: who failed is dead now."""
        failed, self._failed = self._failed, []
        for handle in failed:
            os.close(handle)

    def leave(self) -> None:
        """No longer be counted. Raises OSError."""
        if self._handle is not None:
            self._own.unlink(missing_ok=True)

    def drop(self) -> None:
        """Close every handle and touch no file: what a forked child does with what it inherited."""
        self.let_go()
        for handle in (self._handle, *self._dead.values()):
            if handle is not None:
                os.close(handle)
        self._handle, self._dead, self._marked = None, {}, -1

    def _others(self) -> list[Path]:
        held = {self._own.name, *(writer + SUFFIX for writer in self._dead)}
        names = (entry.name for entry in os.scandir(self._folder))
        return [self._folder / name for name in sorted(names) if _NAME.fullmatch(name) and name not in held]

    @staticmethod
    def _lock_of_the_dead(path: Path) -> int | None:
        try:
            handle = open_regular(path, os.O_RDWR | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        if try_lock(handle):
            return handle
        os.close(handle)
        return None
