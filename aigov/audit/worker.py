"""The one thread of a process that writes, and the queue before it.

Whatever is queued while the disk is busy goes into the next batch: a sync is shared by all who wait for it. Those
who were told together often come back together; an eighth of the time that the disk took is spent on waiting for
as many as there were last time, because a sync for each few of them would cost more.

Invariants:
* Every future that was handed out is settled: a receipt once its record is durable, else AuditUnavailable.
* Whatever goes wrong in the thread becomes a refusal; the thread itself goes on until it is stopped.
* After a failed sync nothing is written any more. After any other fault the next record opens the log
  anew, which moves a torn line aside and says so.
* Signing goes on beside writing, in a thread for each checkpoint; no two of them at once, and none while the
  log is opened or sealed. What goes wrong there stops the writing too.
"""

from __future__ import annotations

import errno
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from aigov.audit.canonical import NotARecord
from aigov.audit.disk import Busy, Disk, reason
from aigov.audit.end import Damaged
from aigov.audit.head import HeadAltered
from aigov.audit.keys import KeyUnusable
from aigov.audit.merkle import ProofError
from aigov.audit.note import NoteError
from aigov.audit.orphans import CLOSING, OPENING
from aigov.audit.publish import SECONDS
from aigov.audit.records import CallIntent, CallOutcome, CallWithdrawn, Record, SinkRecovered
from aigov.audit.settings import AuditSettings
from aigov.audit.store import BEAT_SECONDS, SLOW_SECONDS, Doubted, Receipt, Store, SyncFailed, Unsure
from aigov.crypto import Unsupported
from aigov.errors import AuditUnavailable

QUEUE_RECORDS = 8_192
BATCH_RECORDS = QUEUE_RECORDS
RETRY_SECONDS = 0.5
OVERSLEPT_SECONDS = 1.5 * BEAT_SECONDS
ENDING = CLOSING - {CallWithdrawn.kind()}
WITHDRAWN = OPENING | {CallOutcome.kind()}
LINGER_SHARE = 1 / 8
LINGER_SECONDS = 0.001
FAULTS = (Damaged, HeadAltered, KeyUnusable, NoteError, ProofError, Unsupported)
FULL_DISK = frozenset({"ENOSPC", "EDQUOT"})

Result = Receipt | NotARecord
T = TypeVar("T")


class Pending(NamedTuple):
    """Records that wait for the disk together; without any, somebody who waits for the log to be open.

    `many`: the future gets the list of their receipts, else the one.
    """

    records: Sequence[Record]
    future: Future[Any]
    many: bool = False


class Worker:
    """A queue, a thread and the store that the thread alone touches."""

    def __init__(self, folder: Path, *, key: bytes, disk: Disk, settings: AuditSettings) -> None:
        patience = settings.patience_ms / 1000
        cosign = settings.cosign != "none"
        self._store = Store(
            folder, key=key, disk=disk, patience=patience, key_seconds=settings.key_seconds, cosign=cosign
        )
        self._slowly = max(patience, SLOW_SECONDS)
        # Reentrant: a forgotten log is closed by the garbage collector, which may run in the thread itself.
        self._lock = threading.RLock()
        self._filled = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)
        self._queue: deque[Pending] = deque()
        self._queued = 0
        self._wanted = 1
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._given_up: set[Future[Any]] = set()
        self.withdraws = settings.on_failure == "deny"  # else a call goes on though its record comes late
        # What follows belongs to the thread.
        self._began = self._opened = False
        self._last_count, self._linger = 0, 0.0
        self._shut = ""
        self._fault = ""
        self._retry_at = 0.0
        self._calls: dict[str, int] = {}
        self._inherited: frozenset[str] = frozenset()  # those that a log began which failed before
        self._perhaps: dict[str, int] = {}  # calls with an end that may be lost yet, and the segment it stands in
        self._doubted: int | None = None  # the segment from which on lines may stand that were refused
        self._refused = 0
        self._late: list[CallWithdrawn] = []
        self._signing: threading.Thread | None = None
        self._unsigned: Exception | None = None

    def follow(self, failed: Worker) -> None:
        """Take over the open calls of a log that failed. To be called before anything is put. Raises OSError."""
        self._calls, self._inherited = dict(failed._calls), frozenset(failed._calls)
        self._store.keep(failed._store)

    def put(self, records: Sequence[Record], seconds: float, *, many: bool = False) -> Future[Any] | None:
        """Queue records; None where the queue stayed full for `seconds`. Raises AuditUnavailable where stopped."""
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()  # from here on nobody can take it back
        with self._lock:
            if not self._has_room() and seconds:
                self._room.wait_for(self._has_room, seconds)
            if not self._has_room():
                return None
            started = not self._stopping and self._start()
            if started:
                self._queue.append(Pending(records, future, many))
                self._queued += len(records)
                if self._queued >= self._wanted or not records:
                    self._filled.notify()
        if not started:
            raise AuditUnavailable("the log is closed")
        return future

    def give_up(self, future: Future[Any]) -> bool:
        """Whoever waited has been refused: should the records become durable yet, the log says what that was worth.

        False where they are already, or were refused.
        """
        with self._lock:
            if future.done():
                return False
            self._given_up.add(future)
            return True

    def stop(self) -> str:
        """Write what is queued, seal, and end the thread. Returns why that failed, or "".

        Waits for as long as the log grows.
        """
        with self._lock:
            first, self._stopping = not self._stopping, True
            self._filled.notify_all()
            self._room.notify_all()
            thread = self._thread
        if thread is None or not first or thread is threading.current_thread():
            return ""
        before = -1
        while thread.is_alive() and before != self._store.records:
            before = self._store.records
            thread.join(2 * self._slowly)
        return "the disk did not answer in time" if thread.is_alive() else self._fault

    @property
    def shut(self) -> bool:
        """Whether a sync failed, so that nothing is written any more."""
        return bool(self._shut)

    def drop(self) -> None:
        """Let go of what a fork copied. The thread is not there any more."""
        self._store.drop()

    # -- under the lock --------------------------------------------------------------------------

    def _has_room(self) -> bool:
        return self._stopping or (self._queued < QUEUE_RECORDS and len(self._queue) < QUEUE_RECORDS)

    def _start(self) -> bool:
        """Start the thread unless it runs. False where the interpreter is ending and allows no more threads."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="aigov-audit", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return False
            self._thread = thread
        return True

    # -- in the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        while self._turn():
            pass
        self._finish()

    def _turn(self) -> bool:
        """Serve what is queued; False when all is done. Nothing of it is held while the thread waits for more: what
        was refused holds who waited for it, and with it a log that would close once nobody holds it."""
        batch = self._take()
        if batch is None:
            return False
        if batch:
            self._serve(batch)
        elif self._began and not self._opened:
            self._attempt(self._open)  # silence is on the record too, when nobody has anything to record
        if self._late:
            self._attempt(lambda: self._write([]))
        self._sign()
        return True

    def _take(self) -> list[Pending] | None:
        """What is queued, at most a batch; empty when only a checkpoint is due; None when all is done."""
        with self._lock:
            while not self._queue and not self._stopping:
                if not self._filled.wait(self._pause()):
                    return []
            self._wait_for_more()
            batch, count = [], 0
            while self._queue and count < BATCH_RECORDS:
                batch.append(self._queue.popleft())
                count += len(batch[-1].records)
            self._queued -= count
            self._room.notify_all()
            self._last_count = count
            return batch or None

    def _wait_for_more(self) -> None:
        """Give as many as were told last time a moment to come back."""
        if self._queued < self._last_count and self._linger:
            self._wanted = self._last_count
            self._filled.wait_for(lambda: self._queued >= self._wanted or self._stopping, self._linger)
            self._wanted = 1

    def _pause(self) -> float | None:
        """How long to wait for records: no longer than until the next checkpoint or sign of life."""
        if not self._opened:
            return SECONDS if self._began and not self._shut else None
        return SECONDS if self._store.uncovered else max(SECONDS, BEAT_SECONDS - self._store.idle)

    def _serve(self, batch: Sequence[Pending]) -> None:
        records = [record for pending in batch for record in pending.records]
        opened, began = self._opened, time.monotonic()
        results = self._attempt(lambda: self._write(records))
        self._linger = min((time.monotonic() - began) * LINGER_SHARE, LINGER_SECONDS)
        if results is None:
            self._refused += len(records)
            if self._doubted is None and self._began:
                self._doubted = self._store.segment
            if opened:
                self._say_why()
            for pending in batch:
                pending.future.set_exception(AuditUnavailable(self._shut or self._fault))
            self._forget(batch)
            return
        self._note_calls(results)
        start = 0
        for pending in batch:
            end = start + len(pending.records)
            _settle(pending, results[start:end])
            start = end
        self._note_late(batch, results)

    def _forget(self, batch: Sequence[Pending]) -> set[Future[Any]]:
        """Those of a batch, settled by now, whose caller gave up before."""
        with self._lock:
            late = {pending.future for pending in batch} & self._given_up
            self._given_up -= late
        return late

    def _note_late(self, batch: Sequence[Pending], results: Sequence[Result]) -> None:
        """What became durable when its caller had been refused already."""
        late, start = self._forget(batch), 0
        for pending in batch:
            end = start + len(pending.records)
            if pending.future in late:
                self._withdraw(results[start:end])
            start = end

    def _withdraw(self, results: Sequence[Result]) -> None:
        for result in results:
            if self.withdraws and isinstance(result, Receipt) and result.kind in WITHDRAWN:
                self._late.append(CallWithdrawn(call=result.call, record=result.id, of=result.kind))  # type: ignore[arg-type]

    def _write(self, records: Sequence[Record]) -> list[Result]:
        self._open()
        late = tuple(self._late)
        back: list[Record] = [SinkRecovered(refused=self._refused)] if self._refused and records else []
        back += late
        if not back and not records:
            return []
        try:
            results = self._store.write([*back, *records])
        except Unsure as fault:
            self._note_unsure(fault.results)
            del self._late[: len(late)]
            self._withdraw(fault.results[len(back) :])
            raise
        except Doubted as fault:
            self._withdraw(fault.results)
            raise
        del self._late[: len(late)]
        for one in late:
            if one.of == CallIntent.kind():
                self._calls.pop(one.call, None)
        if len(back) > len(late):
            self._refused = 0
            with suppress(OSError):
                self._store.keep_reserve()
        return results[len(back) :]

    def _say_why(self) -> None:
        """Where the disk is full, use the room that was kept for saying so. It may fail: calls are refused anyway."""
        fault = self._fault
        if fault in FULL_DISK and not self._shut:
            with suppress(OSError, *FAULTS):
                self._wait_for_signing()
                self._store.last_words(fault)

    def _open(self) -> None:
        """Open the log; anew where this process slept or a disk hung: so it says why there was no sign of life."""
        if self._opened and self._store.idle > OVERSLEPT_SECONDS:
            self._opened = False
        if not self._opened:
            self._retry_at = time.monotonic() + RETRY_SECONDS
            self._wait_for_signing()
            self._unsigned = None
            self._store.open()
            self._opened = self._began = True
            with suppress(OSError):  # a disk that is nearly full takes records all the same
                self._store.keep_reserve()

    def _sign(self) -> None:
        """Begin a checkpoint where one is due, and see what became of the last one."""
        if self._signing is not None and self._signing.is_alive():
            return
        self._attempt(self._look)
        if not self._opened or not self._store.due:
            return
        work = self._attempt(self._prepare)
        if work is None:
            return
        self._signing = threading.Thread(target=self._signs, args=(work,), name="aigov-checkpoint", daemon=True)
        try:
            self._signing.start()
        except RuntimeError:  # the interpreter is ending
            self._signing = None
            self._signs(work)

    def _prepare(self) -> Callable[[], None]:
        self._open()
        if self._inherited.isdisjoint(self._calls):
            self._store.let_go()
        self._store.mark(min(self._calls.values(), default=self._store.segment))
        return self._store.prepare()

    def _signs(self, work: Callable[[], None]) -> None:
        """The thread of one checkpoint."""
        try:
            work()
        except Exception as fault:  # noqa: BLE001 - raised again in the writing thread, which then refuses what comes
            self._unsigned = fault

    def _look(self) -> None:
        """Raise what the last checkpoint met with."""
        fault, self._unsigned = self._unsigned, None
        if fault is not None:
            raise fault

    def _wait_for_signing(self) -> None:
        """Raises Busy where a checkpoint does not come to an end."""
        if self._signing is not None and self._signing.is_alive():
            self._signing.join(self._slowly)
            if self._signing.is_alive():
                raise Busy(errno.EBUSY, "a checkpoint is still being made")

    def _note_calls(self, results: Sequence[Result]) -> None:
        """Keep count of the calls that this process has to end. What stood before in a segment is durable as well."""
        segment = self._store.segment
        self._note_begun(results, segment)
        durable = [call for call, there in self._perhaps.items() if there == segment]
        self._perhaps.clear()
        for call in (*durable, *_of(results, ENDING)):
            self._calls.pop(call, None)

    def _note_begun(self, results: Sequence[Result], segment: int) -> None:
        for call in _of(results, OPENING):
            self._calls.setdefault(call, segment)

    def _note_unsure(self, results: Sequence[Result]) -> None:
        """The same where all of it may be lost yet: a call is kept in mind until its end cannot be."""
        segment = self._store.segment
        self._note_begun(results, segment)
        self._perhaps.update((call, segment) for call in _of(results, ENDING))

    def _attempt(self, work: Callable[[], T]) -> T | None:
        """Do something with the store; None where it failed, and `_fault` says why."""
        if self._shut or (not self._opened and time.monotonic() < self._retry_at):
            return None
        shut = again = False
        try:
            done = work()
        except Busy:
            self._fault = "another process holds the log"
        except SyncFailed as error:
            self._fault, shut = f"{reason(error)} on sync; open the log anew", True
        except OSError as error:
            self._fault, again = reason(error), True
        except FAULTS as error:
            self._fault, again = str(error), True
        except Exception:  # noqa: BLE001 - whatever broke, the call that waits has to be refused, not left waiting
            self._fault, again = "a fault of the log itself", True
        else:
            self._fault = ""
            return done
        self._shut = self._fault if shut else ""
        self._opened = self._opened and not (shut or again)
        return None

    def _finish(self) -> None:
        """Close the calls that nobody will end any more, seal, and let go."""
        if self._began:
            self._attempt(self._wait_for_signing)
            self._attempt(self._look)
            self._retry_at = 0.0
            self._attempt(self._seal)
        if self._signing is None or not self._signing.is_alive():  # else its files stay open with it
            self._store.drop()

    def _seal(self) -> None:
        self._wait_for_signing()
        self._open()
        begun = set(self._calls.values())
        if self._doubted is not None:  # a fault may come after the line was written, and the line stays
            begun.add(self._doubted)
        self._store.seal(self._late, min(begun, default=None))


def _of(results: Sequence[Result], kinds: frozenset[str]) -> Iterator[str]:
    """The calls that records of some kinds are about, in order."""
    return (result.call for result in results if isinstance(result, Receipt) and result.kind in kinds)


def _settle(pending: Pending, results: Sequence[Result]) -> None:
    """Tell those who wait what became of their records."""
    faults = [result.why for result in results if isinstance(result, NotARecord)]
    if faults:
        pending.future.set_exception(AuditUnavailable(faults[0]))
    elif pending.many:
        pending.future.set_result(list(results))
    else:
        pending.future.set_result(results[0] if results else None)
