"""The durable side of a governor: the log and the review desk, each opened when first needed.

Invariants:
* A log that cannot be opened, or no longer takes records, answers with AuditUnavailable: never silence.
* It is tried again at the next record, so a disk that comes back is used again without a restart.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aigov.audit.erasure import Append, Eraser
from aigov.audit.lapse import OPEN, Lapse
from aigov.audit.log import Log, Receipt
from aigov.audit.payloads import Origin, Payloads
from aigov.audit.subjects import Subjects, beside
from aigov.crypto import KeyRing
from aigov.errors import AuditUnavailable, ReviewError
from aigov.forks import watch_forks
from aigov.review.desk import Case, Desk

LOG_LABEL = "audit"
PEOPLE_LABEL = "subjects"


class Stores:
    """Where records and tickets go. `log_key` and `desk_key` are 32 bytes each."""

    def __init__(self, audit: Path, review: Path, *, log_key: bytes, desk_key: bytes) -> None:
        self._audit = audit
        self._review = review
        self._log_key = log_key
        self._desk_key = desk_key
        self._log: Log | None = None
        self._desk: tuple[int, Desk] | None = None
        self._lock = threading.RLock()  # reentrant: a collector that runs in the middle may close a stream
        self._closed = False
        self._lapse = Lapse(audit)
        watch_forks(self)

    @classmethod
    def of(cls, keys: KeyRing, audit: Path, review: Path) -> Stores:
        """The stores of a policy with these keys."""
        return cls(audit, review, log_key=keys.derive(LOG_LABEL), desk_key=keys.derive("review"))

    def begin_anew(self) -> None:
        """In a forked child no thread is opening the log, whoever was in the parent."""
        self._lock = threading.RLock()

    def people(self, key: bytes) -> Subjects:
        """Who stands behind the pseudonyms of this log. `key`: 32 bytes."""
        return Subjects(beside(self._audit), key=key)

    def payloads(self, people: Subjects) -> Payloads:
        """The content that is kept of calls in this log."""
        return Payloads(people.folder, Origin(self._audit))

    def eraser(
        self, people: Subjects, payloads: Payloads, append: Append, times: Callable[[str], tuple[int, int]]
    ) -> Eraser:
        """What deletes content whose time is over."""
        return Eraser(self._audit, people, payloads, append, times=times)

    def append(self, record: Any, settings: Any) -> Receipt:
        """The receipt of a record made durable. Raises AuditUnavailable, unless the policy opens that fault."""
        gap, why = self._lapse.take(), ""
        try:
            log = self._opened(settings)
            if gap is not None:
                log.append(gap)
                self._lapse.said()
                gap = None
            return log.append(record)
        except AuditUnavailable as fault:
            why = fault.why
        finally:
            self._lapse.put_back(gap)
        return self._lapsed(record, settings, why)

    async def aappend(self, record: Any, settings: Any) -> Receipt:
        """The same from a task: the event loop runs on meanwhile."""
        gap, why = self._lapse.take(), ""
        try:
            log = self._log
            if log is None or log.failed:  # opening it waits for the disk many times
                log = await asyncio.to_thread(self._opened, settings)
            log.obey(settings)
            if gap is not None:
                await log.aappend(gap)
                self._lapse.said()
                gap = None
            return await log.aappend(record)
        except AuditUnavailable as fault:
            why = fault.why
        finally:
            self._lapse.put_back(gap)
        return self._lapsed(record, settings, why)

    def _lapsed(self, record: Any, settings: Any, why: str) -> Receipt:
        """What becomes of a record that could not be written: a refusal, or a counted lapse by the policy's leave."""
        if settings.on_failure == OPEN and not self._closed:
            receipt = self._lapse.missed(record, why, settings.open_per_minute)
            if receipt is not None:
                return receipt
        raise AuditUnavailable(why)

    def desk(self, expires_s: int) -> Desk:
        """The review desk, under the expiry that the policy in force sets."""
        with self._lock:
            if self._desk is None or self._desk[0] != expires_s:
                self._desk = expires_s, Desk(self._review, key=self._desk_key, expires_s=expires_s)
            return self._desk[1]

    def open_ticket(self, case: Case, expires_s: int) -> str | None:
        """The ticket of a case that was kept; None where it could not be."""
        try:
            return self.desk(expires_s).open(case)
        except ReviewError:
            return None

    def close(self) -> None:
        """Seal the log. Records that come later are refused.

        A log that cannot be sealed stays as it is, and verification says so.
        """
        with self._lock:
            log, self._log, self._closed = self._log, None, True
        gap = self._lapse.take() if log is not None else None
        if log is not None and gap is not None:
            with contextlib.suppress(AuditUnavailable):
                log.append(gap)
                self._lapse.said()
                gap = None
            self._lapse.put_back(gap)
        if log is not None:
            with contextlib.suppress(AuditUnavailable):
                log.close()

    def _opened(self, settings: Any) -> Log:
        """The open log; one that failed is opened anew."""
        with self._lock:
            if self._closed:
                raise AuditUnavailable("closed")
            if self._log is None or self._log.failed:
                failed = self._log
                self._log = Log.open(self._audit, key=self._log_key, settings=settings, after=failed)
                if failed is not None:  # only now: until then its open calls are no orphans, the new log may end them
                    with contextlib.suppress(AuditUnavailable):
                        failed.close()
            self._log.obey(settings)
            return self._log
