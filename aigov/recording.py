"""Records made durable under the policy in force: who is in them gets a pseudonym, what the policy keeps is kept first.

Invariants:
* A record whose content could not be kept is not written: nothing says that more is there than is.
* A log that takes no record answers None and never raises: the path refuses. People are told why once, until a record
  is written again.
* Observers are told of durable records alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any, cast

import msgspec

from aigov.audit.log import Receipt
from aigov.crypto import KeyRing
from aigov.errors import AuditUnavailable
from aigov.passage import Content
from aigov.snapshot import Loaded
from aigov.stores import PEOPLE_LABEL, Stores
from aigov.types import Principal

EXPIRE_EVERY_S = 3_600.0


class Recorder:
    """The one way into the log of a governor. `in_force` says which policy is; safe to share between threads."""

    def __init__(self, stores: Stores, keys: KeyRing, in_force: Callable[[], Loaded]) -> None:
        self._stores = stores
        self._in_force = in_force
        self.people = stores.people(keys.derive(PEOPLE_LABEL))
        self._payloads = stores.payloads(self.people)
        self._eraser = stores.eraser(
            self.people, self._payloads, self.record, lambda name: cast("tuple[int, int]", self._keep.times(name))
        )
        self._expire_at = 0.0
        self._why = ""

    def record(self, record: Any, content: Content | None = None) -> Receipt | None:
        """The receipt of a record made durable, or None where the log did not take it, or content was not kept."""
        loaded = self._in_force()
        try:
            record = record if content is None else self._kept(record, content)
            receipt = self._stores.append(record, loaded.audit)
        except AuditUnavailable as fault:
            self.unrecorded(fault.why)
            return None
        self._written(record, receipt, loaded)
        return receipt

    async def arecord(self, record: Any, content: Content | None = None) -> Receipt | None:
        """The same from a task: the event loop runs on meanwhile."""
        loaded = self._in_force()
        try:
            record = record if content is None else await asyncio.to_thread(self._kept, record, content)
            receipt = await self._stores.aappend(record, loaded.audit)
        except AuditUnavailable as fault:
            self.unrecorded(fault.why)
            return None
        self._written(record, receipt, loaded)
        return receipt

    def meet(self, people: tuple[Principal, ...]) -> bool:
        """Whether everybody of these has a pseudonym now that is known by heart."""
        try:
            for one in people:
                self.people.subject(one.id, one.tenant)
        except AuditUnavailable as fault:
            self.unrecorded(fault.why)
            return False
        return True

    def unrecorded(self, why: str) -> None:
        """Tell people why, once for each cause until a record is written again: refused calls may be many."""
        if why != self._why:
            self._why = why
            self._in_force().unrecorded(why)

    def close(self) -> None:
        """Seal the log. What comes later is refused."""
        self._stores.close()
        self.people.close()

    def _written(self, record: Any, receipt: Receipt, loaded: Loaded) -> None:
        self._why = ""
        loaded.observe(record, receipt)

    @property
    def _keep(self) -> Any:
        """What the policy in force says of content."""
        return self._in_force().audit.keep

    def _kept(self, record: Any, content: Content) -> Any:
        """The record of a call whose texts the policy keeps, once they are durable. Raises AuditUnavailable.

        Of somebody who was erased since the call's intent was made nothing is kept: the record is as it was.
        """
        who = content.principal
        whose = self.people.behind(content.ref, who.id, who.tenant)
        if whose is None:
            return record
        if time.monotonic() >= self._expire_at:
            self._expire_at = time.monotonic() + EXPIRE_EVERY_S
            threading.Thread(target=self._expire, name="aigov-expire", daemon=True).start()
        return msgspec.structs.replace(
            record, payload=self._payloads.keep(whose, content.texts, self._keep.class_of(content.resource))
        )

    def _expire(self) -> None:
        """Delete kept content whose time is over. What goes wrong is tried again an hour later."""
        with contextlib.suppress(AuditUnavailable, OSError):
            self._eraser.expire()
