"""The log's folder, as one writer holds it: the lines, their order, and what a crash left behind.

    seg/00000000.jsonl    the records, a line each; a new file every 64 MiB or 24 hours (`segments.py`, `tail.py`)
    log.vkey, checkpoint, checkpoints.log, tile/    what auditors check it with (`checkpoints.py`, `tiles.py`)
    head.json             the last signed state, for writers alone (`head.py`)
    keys/                 the sealed signing key (`keys.py`)
    append.lock           held by whoever appends
    sync.lock             held by whoever syncs (`synced.py`); taken after `append.lock`, or without it
    publish.lock          held by whoever signs (`publish.py`); taken after `append.lock`, never before it
    writers/              a file for each living writer (`living.py`)
    quarantine/           bytes that were found after the last whole line, kept as they were
    reserve               room that is given up when the disk is full, for a last record and checkpoint

How a batch is appended:
 1. lock        `append.lock`; wait no longer than there is patience
 2. catch up    the end of the log may have moved: other processes write too
 3. compose     number the records and bind each to the line before it
 4. write       all lines at once
 5. unlock      others write now, and bind their lines to these
 6. sync        one's own, or that of another writer which began later than 4; only now are they records

Invariants:
* What `write` returned is durable, in order, exactly once, and so is every line before it.
* A batch is appended whole or taken back: a write that failed is cut off before the lock is given up.
* A failed sync is never repeated: the system may have dropped the data. The segment ends where the last good sync
  came to; everybody who waits writes once more, into a new one. A second failure keeps the store shut.
* A log that is shorter than what was signed, that ends otherwise or that was exchanged is not continued.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

from aigov.audit import keys
from aigov.audit.canonical import NotARecord, micros
from aigov.audit.composing import Composer, Receipt, Result
from aigov.audit.disk import Busy, Disk, locked, open_regular
from aigov.audit.end import Damaged
from aigov.audit.founding import RESERVE, head_of, keep_reserve, make_folders
from aigov.audit.head import Head
from aigov.audit.living import Living
from aigov.audit.orphans import orphans, starts, unended
from aigov.audit.publish import Publisher
from aigov.audit.records import (
    CallOrphaned,
    Heartbeat,
    KeyRotated,
    LogGenesis,
    LogSealed,
    Record,
    SinkDegraded,
    WriterStop,
    new_id,
)
from aigov.audit.segments import Segments, check_in_place
from aigov.audit.synced import Broken, Mark, Synced, SyncFailed, put_mark
from aigov.audit.tail import Tail

LOCK = "append.lock"
OWN_RECORDS = 256
REMEMBERED = 100_000
SEGMENT_BYTES = 64 * 1024 * 1024
SEGMENT_SECONDS = 24 * 3600
BEAT_SECONDS = 60.0
KEY_SECONDS = 15 * 60.0
YOUNG_KEY_SECONDS = 60.0
AGAIN_SECONDS = 0.25
SLOW_SECONDS = 5.0  # opening and sealing take some ten syncs, and nobody's call waits for them

__all__ = ["Doubted", "Receipt", "Store", "SyncFailed", "Unsure"]


class Doubted(OSError):
    """A fault came after records were written: they may stay. `results`: what they are then."""

    def __init__(self, results: Sequence[Result], fault: OSError) -> None:
        self.results = results
        super().__init__(fault.errno or errno.EIO, "the records may stand in the log")


class Unsure(Busy):
    """Records were written, and nobody can say yet whether they are durable. `results`: what they will be then."""

    def __init__(self, results: Sequence[Result]) -> None:
        self.results = results
        super().__init__(errno.EBUSY, "another process is busy with a sync")


class Store:
    """One writer's hold on a log's folder. Not for several threads at once: `Log` gives it one."""

    def __init__(
        self,
        folder: Path,
        *,
        key: bytes,
        disk: Disk,
        patience: float,
        key_seconds: float = KEY_SECONDS,
        cosign: bool = False,
    ) -> None:
        self.id = new_id()
        self.origin = ""
        self._folder = folder
        self._key = key
        self._disk = disk
        self._patience = patience
        self._slowly = max(patience, SLOW_SECONDS)
        self._key_seconds = key_seconds
        self._cosign = cosign
        self._composer = Composer(self.id)
        self._living = Living(folder, self.id, disk)
        self._publisher = Publisher(folder, key=key, disk=disk, patience=self._slowly)
        self._segments = Segments(folder, disk)
        self._synced = Synced(folder, disk=disk, boot=self._composer.boot)
        self._tail = Tail(folder, self._segments, self._synced, self._composer)
        self._lock: int | None = None
        self._lock_path = str(folder / LOCK)
        self._own: dict[int, str] = {}
        self._abandoned = False
        self._told_dead: set[str] = set()
        self._restarted = False

    def open(self) -> None:
        """Open the log, making one where none is; again after a fault, where it must be the same log.

        Looks at everything since the last signed state, moves a torn tail aside, says so, and records the
        calls that dead writers left open. Raises OSError, Damaged, HeadAltered, KeyUnusable.
        """
        self._close_handles()
        if not self.origin:
            make_folders(self._disk, self._folder)
        self._lock = open_regular(Path(self._lock_path), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
        with locked(self._lock, self._slowly):
            head = head_of(self._disk, self._folder, self._key, self.origin)
            self.origin = head.origin
            self._publisher.unseal(cosign=self._cosign)
            self._segments.cut_leftovers()
            torn = self._tail.walk(head)
            end = self._tail.end
            signed = head.offset if head.segment == end.segment else 0
            self._synced.begin(end.segment, self._segments.handle, signed, end.offset, self._slowly)
            self._say_written()
            found = self._tail.catch_up()
            self._living.join(self._tail.end.segment)
            dead = self._living.dead()
            self._restarted = self._restarted or self._living.alone()
            self._told_dead.update(dead)
            start = [*self._genesis(head), *starts(torn, dead)]
            self._commit(found, lambda before: start)
        if dead:
            self._publisher.heal()
        self._publish(force=True)
        self._see_to_the_dead()

    def write(self, records: Sequence[Record]) -> list[Result]:
        """Append records durably. A record that has no canonical form is left out and named in the result.

        Raises OSError (SyncFailed: for good; Unsure, Doubted: they stand in the log, and may become durable), Damaged.
        """
        return self._append(lambda: records, rotate=True)

    @property
    def due(self) -> bool:
        """Whether a checkpoint or a heartbeat is due."""
        return self._publisher.due(self._tail.end) or self.idle >= BEAT_SECONDS

    @property
    def uncovered(self) -> bool:
        """Whether there are records that no checkpoint covers yet."""
        return self._tail.end.records > self._publisher.covered

    @property
    def records(self) -> int:
        """How many records the log is known to have."""
        return self._tail.end.records

    @property
    def idle(self) -> float:
        """Seconds since the last record that is known was made."""
        return self._tail.idle_us / 1e6

    def cover(self) -> None:
        """Sign what is not signed yet. Raises OSError, Damaged, HeadAltered, KeyUnusable."""
        self.prepare()()

    def prepare(self) -> Callable[[], None]:
        """What signs everything up to now; it may be called in another thread, one at a time.

        Gives a sign of life first where nothing was recorded for a minute, and announces a new key where the old
        one has served its time. Raises OSError, Damaged, HeadAltered, KeyUnusable, and so does what is returned.
        """
        said: list[Record] = []

        def say() -> list[Record]:
            if self.idle >= BEAT_SECONDS:
                said.append(Heartbeat())
            head = self._publisher.head()
            if not head.next_key and self._served(head):
                said.append(self._next_key(head))
                self._restarted = False
            return said

        self._append(say)
        rotated = any(isinstance(record, KeyRotated) for record in said)
        end, own, self._own = self._tail.end, self._own, {}
        return lambda: self._publisher.publish(end, own, force=rotated)

    def keep_reserve(self) -> None:
        """Take the room for last words, unless it is there. Raises OSError."""
        keep_reserve(self._disk, self._folder)

    def last_words(self, error: str) -> None:
        """Give up the reserve, say that the log takes nothing now, and sign it. Raises OSError, Damaged."""
        (self._folder / RESERVE).unlink()  # once: whoever finds it gone has nothing left to say it with
        self._append(lambda: [SinkDegraded(error=error)])
        self._publish(force=True)

    @property
    def segment(self) -> int:
        """The number of the segment that was written to last."""
        return self._tail.end.segment

    def mark(self, segment: int) -> None:
        """Note in which segment this writer's oldest open call begins, for whoever sees to it should it die."""
        self._living.mark(segment)

    def keep(self, failed: Store) -> None:
        """Let nobody record the open calls of a writer that failed before `let_go`. Raises OSError."""
        self._living.keep(failed._living)

    def let_go(self) -> None:
        """Nobody ends the calls of writers that failed any more."""
        self._living.let_go()

    def rotate_key(self) -> str:
        """End the signing key's epoch now. Returns the next key's `vkey`. Raises as `cover`."""
        said: list[KeyRotated] = []

        def say() -> list[KeyRotated]:
            said.append(self._next_key(self._publisher.head()))
            return said

        self._append(say)
        self._publish(force=True)
        return said[0].next

    def seal(self, left: Sequence[Record] = (), since: int | None = None) -> bool:
        """Write `left` and stop; the last living writer seals the log. Returns whether it did.

        `since`: the first segment in which this writer may have left calls open, which are recorded then.
        Raises OSError, Damaged, HeadAltered, KeyUnusable.
        """
        self._write_own(left)
        if since is not None:
            self._record_orphans(frozenset({self.id}), since, "closed")
        self.let_go()
        self._see_to_the_dead()
        with self._appending(self._slowly) as found:
            self._living.leave()
            last = self._living.alone()
            self._commit(found, self._sealing if last else lambda before: [WriterStop()])
            if last:  # under the append lock: a writer that comes now must not find itself after a seal
                self._publish(force=True, sealed=True)
        if not last:
            self._publish(force=True)
        return last

    def _sealing(self, before: int) -> list[Record]:
        signed = self._publisher.published(self._publisher.head())
        return [LogSealed(records=self._tail.end.records + before, checkpoints=signed)]

    def drop(self) -> None:
        """Let go of every handle and touch no file. Also what a forked child does first."""
        self._close_handles()
        self._publisher.drop()
        self._living.drop()

    # -- opening ---------------------------------------------------------------------------------

    def _genesis(self, head: Head) -> list[Record]:
        if self._tail.end.records:
            return []
        return [LogGenesis(origin=self.origin, key=head.key, epoch_key=head.epoch_key)]

    def _see_to_the_dead(self) -> None:
        """Record who died, and the calls that they left open."""
        dead: frozenset[str] = frozenset()
        with locked(self._append_lock, self._slowly):
            dead = self._living.dead()
        if dead:
            untold = dead - self._told_dead
            self._write_own(starts((), untold) if untold else ())
            self._record_orphans(dead, self._living.since(), "crashed")
            self._living.forget(dead)
            self._told_dead -= dead

    def _record_orphans(self, writers: frozenset[str], first: int, why: Literal["crashed", "closed"]) -> None:
        """Record the calls that `writers` left open: those that nobody ends before it is written.

        An end that another writer wrote counts once it is durable: where its sync failed, it is looked for once more.
        """
        while True:
            segment = self.segment
            self._record_found(orphans(self._folder, writers, first, why))
            with self._appending(self._slowly) as found:
                self._commit(found, lambda before: [])
            if self.segment == segment:
                return
            time.sleep(AGAIN_SECONDS)  # who lost an end writes it again, unless they cannot

    def _record_found(self, left: list[CallOrphaned]) -> None:
        known = self._tail.end

        def say() -> list[CallOrphaned]:
            nonlocal known, left
            known, left = self._tail.end, unended(self._folder, left, known)
            return left[:OWN_RECORDS]

        while left:
            self._say_own(say)
            left = left[OWN_RECORDS:]

    def _write_own(self, records: Sequence[Record]) -> None:
        """Append what the log itself has to say, in batches of some size."""
        for start in range(0, len(records), OWN_RECORDS):
            self._say_own(partial(list, records[start : start + OWN_RECORDS]))

    def _say_own(self, say: Callable[[], Sequence[Record]]) -> None:
        """Append what the log itself has to say; that it cannot be written is a fault, not the caller's."""
        for result in self._append(say, rotate=True):
            if isinstance(result, NotARecord):
                raise result

    # -- appending -------------------------------------------------------------------------------

    @property
    def _append_lock(self) -> int:
        if self._lock is None:
            raise Damaged("the log is not open")
        return self._lock

    @contextmanager
    def _appending(self, patience: float | None = None) -> Iterator[list[Record]]:
        """Steps 1 and 2. Gives what the log has to be told first."""
        with locked(self._append_lock, self._patience if patience is None else patience):
            check_in_place(self._append_lock, self._lock_path)
            yield self._tail.catch_up()

    def _append(self, say: Callable[[], Sequence[Record]], *, rotate: bool = False) -> list[Result]:
        """All the steps, for what there is to say once the log's end is known."""
        failed: Broken | None = None
        with self._appending() as found:
            found[:0] = self._rotate_if_due() if rotate else ()  # what a new segment begins with
            records = say()
            results = self._put([*found, *records])
        try:
            self._reach(self._patience)
        except Busy:
            raise Unsure(results[len(found) :]) from None
        except OSError as fault:
            raise Doubted(results, fault) from None
        except Broken as fault:
            failed = fault
        if failed is not None:
            self._once(failed)
            with self._appending() as more:
                found = [*more, *found]
                results = self._elsewhere([*found, *records])
        self._remember(results)
        return results[len(found) :]

    def _commit(self, found: Sequence[Record], say: Callable[[int], Sequence[Record]]) -> None:
        """Steps 3 to 6 under the append lock: on return it is durable. `say` is told how many records come first."""
        failed: Broken | None = None
        results = self._put([*found, *say(len(found))])
        try:
            self._reach(self._slowly)
        except Broken as fault:
            failed = fault
        if failed is not None:
            self._once(failed)
            found = [*self._tail.catch_up(), *found]
            results = self._elsewhere([*found, *say(len(found))])
        self._remember(results)

    def _put(self, records: Sequence[Record]) -> list[Result]:
        """Steps 3 and 4. Raises OSError, and then nothing was written; Doubted, and then it was."""
        batch = self._composer.compose(records, self._tail.end, slept=self._tail.slept)
        if batch.data:
            try:
                self._disk.write_all(self._segments.handle, batch.data)
            except OSError:
                self._segments.cut(self._tail.end.offset)
                self._tail.left(batch)
                raise
            self._tail.wrote(batch)
            try:
                self._say_written()
            except OSError as fault:
                raise Doubted(batch.results, fault) from None
        return batch.results

    def _say_written(self) -> None:
        """Tell the others how far whole batches go: what a sync that begins now may count as covered."""
        put_mark(self._append_lock, Mark(self._synced.boot, self.segment, self._tail.end.offset))

    def _reach(self, patience: float) -> None:
        """Step 6, for everything that this writer knows of."""
        segment, offset = self.segment, self._tail.end.offset
        self._synced.reach(segment, self._segments.handle, offset, self._append_lock, patience)
        self._tail.durable(segment, offset)

    def _once(self, failed: Broken) -> None:
        """Raises SyncFailed where this is not the first sync that failed."""
        if self._abandoned:
            raise SyncFailed(failed.errno, "the data may not be on the disk")
        self._abandoned = True

    def _elsewhere(self, records: Sequence[Record]) -> list[Result]:
        """Write what waited for a failed sync into the new segment. Raises SyncFailed."""
        results, failed = self._put(records), None
        try:
            self._reach(self._slowly)
        except Broken as fault:
            failed = fault
        if failed is not None:
            self._once(failed)
        return results

    def _rotate_if_due(self) -> list[Record]:
        """Go on in a new segment where this one is full or old. Nobody writes to the old one any more."""
        end, old = self._tail.end, time.time() - self._segments.since >= SEGMENT_SECONDS
        if end.offset < SEGMENT_BYTES and not (end.offset and old):
            return []
        try:
            self._reach(self._slowly)
        except Broken:
            return self._tail.catch_up()
        self._tail.rotate()
        return []

    def _remember(self, results: Sequence[Result]) -> None:
        """Keep the hashes that were handed out, to hold the disk against them before they are signed."""
        if len(self._own) > REMEMBERED:
            self._own.clear()
        self._own.update((result.seq, result.digest) for result in results if isinstance(result, Receipt))

    # -- signing ---------------------------------------------------------------------------------

    def _publish(self, *, force: bool, sealed: bool = False) -> None:
        self._publisher.publish(self._tail.end, self._own, force=force, sealed=sealed)
        if self._publisher.covered >= self._tail.end.records:
            self._own.clear()

    def _served(self, head: Head) -> bool:
        """Whether the epoch's key has served its time: since the log was started again nearly any has."""
        age = time.time() - micros(head.key_ts) / 1e6
        return not 0 <= age < (min(YOUNG_KEY_SECONDS, self._key_seconds) if self._restarted else self._key_seconds)

    def _next_key(self, head: Head) -> KeyRotated:
        """The announcement of a key that is there already."""
        key = keys.make(self._disk, self._folder, self.origin, self._key)
        return KeyRotated(epoch=head.epoch + 1, next=str(key), checkpoints=self._publisher.published(head))

    def _close_handles(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)
        self._segments.drop()
        self._synced.drop()
