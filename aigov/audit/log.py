"""The log as a process uses it: from any thread or task, durable before anybody is told.

Invariants:
* `append` returns when the record is durable, or raises AuditUnavailable, in bounded time.
* No other exception leaves this module, and none holds anything of a record.
* A record that was taken is written even if nobody waits for it any more.
* A forked child inherits nothing: it drops the parent's handles and queue and opens the log for itself.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from aigov.audit.disk import Disk, reason
from aigov.audit.places import unsafe
from aigov.audit.records import Record
from aigov.audit.settings import AuditSettings
from aigov.audit.store import SLOW_SECONDS, Receipt
from aigov.audit.worker import Worker
from aigov.errors import AuditUnavailable
from aigov.forks import watch_forks

__all__ = ["Log", "Receipt"]

T = TypeVar("T")

QUEUE_SECONDS = 0.25
PART_RECORDS = 4_096
TOO_SLOW = "the disk did not answer in time"
FULL = "the queue is full"


class Log:
    """The record of a process's calls, in one folder that several processes may share. Made by `Log.open`."""

    def __init__(
        self, folder: Path, *, key: bytes, settings: AuditSettings | None = None, disk: Disk | None = None
    ) -> None:
        self.folder = Path(folder).absolute()
        self._key = key
        self._disk = disk or Disk()
        self._settings = settings or AuditSettings()
        self._closed = False
        self._begin()
        watch_forks(self)  # whole, and before it holds anything: another thread may fork while it is opened

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        key: bytes,
        settings: AuditSettings | None = None,
        disk: Disk | None = None,
        after: Log | None = None,
    ) -> Log:
        """Open a log, making it where there is none (folder 0700, files 0600). Raises AuditUnavailable.

        `key`: 32 bytes that authenticate the head of the log. `disk`: a simulator, for tests. `after`: one that failed,
        to be closed once this one is open: its open calls are no orphans until they are ended here or this is closed.
        """
        where = unsafe(Path(folder)) if settings is not None and settings.require_disk else ""
        if where:
            raise AuditUnavailable(f"the folder is {where}, and the policy requires a disk")
        log, why = cls(folder, key=key, settings=settings, disk=disk), ""
        try:
            if after is not None:
                log._worker.follow(after._worker)
            log._wait(log._put(), 2 * log._slowly)
        except AuditUnavailable as fault:
            why = fault.why
        except OSError as fault:
            why = reason(fault)
            log._worker.drop()
        if why:
            with suppress(AuditUnavailable):
                log.close()
            raise AuditUnavailable(why)
        return log

    def obey(self, settings: AuditSettings) -> None:
        """Go by another policy from now on: how long a call waits, and what becomes of one that cannot be recorded."""
        if settings is not self._settings:
            self._settings = settings
            self._worker.withdraws = settings.on_failure == "deny"

    @property
    def _patience(self) -> float:
        return self._settings.patience_ms / 1000

    @property
    def _slowly(self) -> float:
        """How long what is no call may wait: opening reads what was written since the last checkpoint, and signs."""
        return max(self._patience, SLOW_SECONDS)

    @property
    def failed(self) -> bool:
        """Whether this log takes no more records, ever: it was closed, or a sync failed. Open it anew."""
        return self._closed or self._worker.shut

    def append(self, record: Record) -> Receipt:
        """Write a record; it is durable on return.

        Raises AuditUnavailable, after `patience_ms` at the latest. The record may then still become durable;
        one of a call that does is recorded as `call.withdrawn`.
        """
        deadline = time.monotonic() + self._patience
        return self._wait(self._put(record), deadline - time.monotonic())

    def append_all(self, records: Sequence[Record]) -> list[Receipt]:
        """Write many records, in order, with as few syncs as there can be; all are durable on return.

        Raises AuditUnavailable, where each 4,096 of them take more than five seconds; some may then be durable.
        """
        waiting = [self._put_all(records[at : at + PART_RECORDS]) for at in range(0, len(records), PART_RECORDS)]
        return [receipt for future in waiting for receipt in self._wait(future, self._slowly)]

    async def aappend(self, record: Record) -> Receipt:
        """`append` for a task; the event loop runs on meanwhile. A cancelled wait does not undo the record."""
        deadline = time.monotonic() + self._patience
        future = await self._aput(record)
        waiting = asyncio.wrap_future(future)
        try:
            await asyncio.wait((waiting,), timeout=max(0.0, deadline - time.monotonic()))
            if waiting.done():
                return waiting.result()
            if not self._worker.give_up(future):
                return future.result()
        finally:
            waiting.cancel()
        raise AuditUnavailable(TOO_SLOW)

    def submit(self, record: Record) -> Future[Receipt]:
        """Queue a record. The future gets its receipt once it is durable, or AuditUnavailable.

        It cannot be cancelled. Raises AuditUnavailable where the log is closed or its queue stayed full
        for 250 ms.
        """
        return self._put(record)

    def close(self) -> None:
        """Write what is queued and, where no other writer lives, seal the log. Idempotent.

        Calls of this log that have no outcome are recorded as `call.orphaned`. Waits for as long as the log grows.
        Raises AuditUnavailable where the log could not be sealed; it is closed all the same.
        """
        self._closed = True
        why = self._worker.stop()
        self._finalizer.detach()
        if why:
            raise AuditUnavailable(why)

    def __enter__(self) -> Log:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with suppress(*(() if kind is None else (AuditUnavailable,))):
            self.close()

    def __repr__(self) -> str:
        return f"Log(closed={self._closed})"

    def _begin(self) -> None:
        self._worker = Worker(self.folder, key=self._key, disk=self._disk, settings=self._settings)
        # Closes the log at the end of the process, or when nobody holds it any more.
        self._finalizer = weakref.finalize(self, self._worker.stop)

    def begin_anew(self) -> None:
        """Drop what a forked child inherited, and open the log when it is needed."""
        self._finalizer.detach()
        self._worker.drop()
        self._begin()
        if self._closed:
            self._worker.stop()

    def _put(self, *records: Record) -> Future[Receipt]:
        future = self._worker.put(records, min(QUEUE_SECONDS, self._patience))
        if future is None:
            raise AuditUnavailable(FULL)
        return future

    def _put_all(self, records: Sequence[Record]) -> Future[list[Receipt]]:
        """Records that were made beforehand may wait for those before them as long as one may for the disk."""
        future = self._worker.put(records, self._slowly, many=True)
        if future is None:
            raise AuditUnavailable(FULL)
        return future

    async def _aput(self, record: Record) -> Future[Receipt]:
        deadline = time.monotonic() + min(QUEUE_SECONDS, self._patience)
        while (future := self._worker.put((record,), 0)) is None:
            if time.monotonic() > deadline:
                raise AuditUnavailable(FULL)
            await asyncio.sleep(QUEUE_SECONDS / 50)
        return future

    def _wait(self, future: Future[T], seconds: float) -> T:
        with suppress(TimeoutError):
            return future.result(max(0.0, seconds))
        if not self._worker.give_up(future):
            return future.result()
        raise AuditUnavailable(TOO_SLOW)
