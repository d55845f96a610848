"""Calls that went unrecorded, where the organisation's policy opens that fault (`on_failure: fail_open`).

Invariants:
* Nothing is unrecorded silently: each is counted, and the first record that can be written again is a `gap`
  with their number and time span.
* What stands for a receipt says that nothing is durable: it has no id and no digest.
"""

from __future__ import annotations

import threading
import time

from aigov.audit.canonical import timestamp
from aigov.audit.records import Gap, Record
from aigov.audit.store import Receipt

OPEN = "fail_open"


class Lapse:
    """Counts what could not be recorded. For any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._first = self._last = self._error = ""

    def missed(self, record: Record, why: str) -> Receipt:
        """Count a record that is lost, and stand in for its receipt."""
        now = timestamp(time.time_ns())
        with self._lock:
            self._count += 1
            self._first, self._last, self._error = self._first or now, now, why
        return Receipt(id="", kind=record.kind(), call=getattr(record, "call", None) or "", seq=0, digest="")

    def take(self) -> Gap | None:
        """What is to be recorded before anything else, None where nothing is missing."""
        with self._lock:
            if not self._count:
                return None
            gap = Gap(count=self._count, first_ts=self._first, last_ts=self._last, error=self._error)
            self._count, self._first, self._last, self._error = 0, "", "", ""
            return gap

    def put_back(self, gap: Gap) -> None:
        """Count again what could not be said either."""
        with self._lock:
            self._count += gap.count
            self._first, self._last = gap.first_ts, self._last or gap.last_ts
            self._error = self._error or gap.error
