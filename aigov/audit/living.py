"""Which writers of a log are alive.

Each writer holds the lock of a file of its own in `writers/` for as long as it lives. The system frees
the lock when the process ends, however it ends; a file that can be locked belongs to a writer that died
without closing.

Invariants:
* Files are made and looked at under the log's append lock, so nobody sees one that is not locked yet.
* A dead writer's file goes only after its open calls are recorded; until then whoever saw to it holds it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from aigov.audit.disk import open_regular, try_lock

WRITERS = "writers"
SUFFIX = ".lock"
_NAME = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.lock")


class Living:
    """One writer's place among the writers of a log."""

    def __init__(self, folder: Path, writer: str) -> None:
        self._folder = folder / WRITERS
        self._own = self._folder / (writer + SUFFIX)
        self._handle: int | None = None
        self._dead: dict[str, int] = {}

    def join(self) -> None:
        """Be counted among the living. Raises OSError."""
        if self._handle is None:
            self._handle = open_regular(self._own, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
            try_lock(self._handle)

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

    def leave(self) -> None:
        """No longer be counted. Raises OSError."""
        if self._handle is not None:
            self._own.unlink(missing_ok=True)

    def drop(self) -> None:
        """Close every handle and touch no file: what a forked child does with what it inherited."""
        for handle in (self._handle, *self._dead.values()):
            if handle is not None:
                os.close(handle)
        self._handle, self._dead = None, {}

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
