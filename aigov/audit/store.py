"""The log's folder, as one writer holds it: the lines, their order, and what a crash left behind.

    seg/00000000.jsonl    the records, a line each; a new file every 64 MiB or 24 hours
    log.vkey, checkpoint, checkpoints.log, tile/    what auditors check it with (`checkpoints.py`, `tiles.py`)
    head.json             the last signed state, for writers alone (`head.py`)
    keys/                 the sealed signing key (`keys.py`)
    append.lock           held by whoever appends
    publish.lock          held by whoever signs (`publish.py`); taken after `append.lock`, never before it
    writers/              a file for each living writer (`living.py`)
    quarantine/           bytes that were found after the last whole line, kept as they were
    reserve               room that is given up when the disk is full, for a last record and checkpoint

How a batch is appended:
 1. lock        `append.lock`; wait no longer than there is patience
 2. catch up    the end of the log may have moved: other processes write too
 3. compose     number the records and bind each to the line before it
 4. write       all lines at once
 5. sync        only now are they records; before that nobody is told
 6. unlock

Invariants:
* What `write` returned is durable, in order, exactly once.
* A batch is appended whole or taken back: lines that were not acknowledged are cut off again.
* A failed sync is never repeated: the system may have dropped the data. What waited for it is written once
  more, into a new segment; a second failure keeps the store shut.
* A log that is shorter than what was signed, that ends otherwise or that was exchanged is not continued.
* Bytes of others are never deleted: a torn tail is copied to `quarantine/` first, and the log says so.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from aigov.audit import checkpoints, keys
from aigov.audit import head as heads
from aigov.audit.canonical import Envelope, NotARecord, Writer, decode, encode, link, micros, origin_link, timestamp
from aigov.audit.disk import FILE_MODE, Disk, locked, make_folder, open_regular, reason
from aigov.audit.head import Head
from aigov.audit.living import WRITERS, Living
from aigov.audit.orphans import orphans
from aigov.audit.publish import Damaged, End, Publisher
from aigov.audit.reader import SEGMENTS, Lines, extents
from aigov.audit.records import (
    MAX_BYTES,
    SCHEMA,
    Heartbeat,
    KeyRotated,
    LogGenesis,
    LogSealed,
    Record,
    SegmentAbandoned,
    SinkDegraded,
    WriterStart,
    new_id,
)
from aigov.crypto import digest

LOCK = "append.lock"
QUARANTINE = "quarantine"
ORIGIN = "aigov.audit/"
LOOK_BACK = 64 * 1024
OWN_RECORDS = 256
REMEMBERED = 100_000
TORN_MAX_BYTES = 64 * 1024 * 1024
SEGMENT_BYTES = 64 * 1024 * 1024
SEGMENT_SECONDS = 24 * 3600
BEAT_SECONDS = 60.0
KEY_SECONDS = 15 * 60
RESERVE = "reserve"
RESERVE_BYTES = 256 * 1024
SEALED_MODE = 0o400


class SyncFailed(OSError):
    """The system could not put a batch on stable storage; this store takes no more."""


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """Proof that a record is durable. `digest`: the link of its line; `call`: "" where it is about none."""

    id: str
    kind: str
    call: str
    seq: int
    digest: str


class Store:
    """One writer's hold on a log's folder. Not for several threads at once: `Log` gives it one."""

    def __init__(self, folder: Path, *, key: bytes, disk: Disk, patience: float) -> None:
        self.id = new_id()
        self.origin = ""
        self._folder = folder
        self._key = key
        self._disk = disk
        self._patience = patience
        self._living = Living(folder, self.id)
        self._publisher = Publisher(folder, key=key, disk=disk, patience=patience)
        self._handles: tuple[int, ...] = ()
        self._end = End(0, 0, 0, "", 0)
        self._since = 0.0
        self._wseq = 0
        self._pid = os.getpid()  # a forked child gets a store of its own
        self._boot = _boot()
        self._version = _version()
        self._own: dict[int, str] = {}
        self._unsynced = False
        self._abandoned = False
        self._grew_at = time.monotonic()

    def open(self) -> None:
        """Open the log, making one where none is; again after a fault, where it must be the same log.

        Looks at everything since the last signed state, moves a torn tail aside, says so, and records the
        calls that dead writers left open. Raises OSError, Damaged, HeadAltered, KeyUnusable.
        """
        self._close_handles()
        if not self.origin:
            self._make_folders()
        lock = open_regular(self._folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
        self._handles = (lock,)
        with locked(lock, self._patience):
            head = self._read_head()
            self._publisher.unseal()
            self._cut_leftovers()
            torn = self._walk(head)
            self._living.join(self._end.segment)
            dead = self._living.dead()
            self._commit([*self._genesis(head), msgspec.structs.replace(torn, crashed=len(dead))])
        if dead:
            self._publisher.heal()
        self._publish(force=True)
        self._see_to_the_dead()

    def write(self, records: Sequence[Record]) -> list[Receipt | NotARecord]:
        """Append records durably. A record that has no canonical form is left out and named in the result.

        Raises OSError (SyncFailed: for good), Damaged.
        """
        with locked(self._handles[0], self._patience):
            found = self._catch_up()
            self._rotate_if_due()
            return self._commit([*found, *records])[len(found) :]

    @property
    def due(self) -> bool:
        """Whether a checkpoint or a heartbeat is due."""
        return self._publisher.due(self._end) or self.idle >= BEAT_SECONDS

    @property
    def uncovered(self) -> bool:
        """Whether there are records that no checkpoint covers yet."""
        return self._end.records > self._publisher.covered

    @property
    def idle(self) -> float:
        """Seconds since the log was last seen to grow."""
        return time.monotonic() - self._grew_at

    def cover(self) -> None:
        """Sign what is not signed yet. Raises OSError, Damaged, HeadAltered, KeyUnusable."""
        self.prepare()()

    def prepare(self) -> Callable[[], None]:
        """What signs everything up to now; it may be called in another thread, one at a time.

        Gives a sign of life first where nothing was recorded for a minute, and announces a new key where the old
        one has served its time. Raises OSError, Damaged, HeadAltered, KeyUnusable, and so does what is returned.
        """
        with locked(self._handles[0], self._patience):
            found = self._catch_up()
            if self.idle >= BEAT_SECONDS:
                found.append(Heartbeat())
            head = self._publisher.head()
            rotated = not head.next_key and time.time() - micros(head.key_ts) / 1e6 >= KEY_SECONDS
            if rotated:
                found.append(self._next_key(head))
            self._commit(found)
            self._settle()
        end, own, self._own = self._end, self._own, {}
        return lambda: self._publisher.publish(end, own, force=rotated)

    def keep_reserve(self) -> None:
        """Take the room for last words, unless it is there. Raises OSError."""
        path = self._folder / RESERVE
        if path.exists():
            return
        handle = open_regular(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
        try:
            self._disk.reserve(handle, RESERVE_BYTES)
        finally:
            os.close(handle)

    def last_words(self, error: str) -> None:
        """Give up the reserve, say that the log takes nothing now, and sign it. Raises OSError, Damaged."""
        (self._folder / RESERVE).unlink()  # once: whoever finds it gone has nothing left to say it with
        with locked(self._handles[0], self._patience):
            self._commit([*self._catch_up(), SinkDegraded(error=error)])
        self._publish(force=True)

    @property
    def segment(self) -> int:
        """The number of the segment that was written to last."""
        return self._end.segment

    def mark(self, segment: int) -> None:
        """Note in which segment this writer's oldest open call begins, for whoever sees to it should it die."""
        self._living.mark(segment)

    def rotate_key(self) -> str:
        """End the signing key's epoch now. Returns the next key's `vkey`. Raises as `cover`."""
        with locked(self._handles[0], self._patience):
            record = self._next_key(self._publisher.head())
            self._commit([*self._catch_up(), record])
        self._publish(force=True)
        return record.next

    def seal(self, left: Sequence[Record]) -> bool:
        """Write `left` and stop; the last living writer seals the log. Returns whether it did.

        Raises OSError, Damaged, HeadAltered, KeyUnusable.
        """
        self._write_own(left)
        self._see_to_the_dead()
        with locked(self._handles[0], self._patience):
            found = self._catch_up()
            self._living.leave()
            last = self._living.alone()
            if last:
                signed = self._publisher.head().checkpoints
                found.append(LogSealed(records=self._end.records + len(found), checkpoints=signed))
            self._commit(found)
            self._settle()
            # Under the append lock: a writer that comes now must not find itself after a seal.
            self._publish(force=True, sealed=last)
        return last

    def drop(self) -> None:
        """Let go of every handle and touch no file. Also what a forked child does first."""
        self._close_handles()
        self._publisher.drop()
        self._living.drop()

    # -- opening ---------------------------------------------------------------------------------

    def _make_folders(self) -> None:
        for folder in (self._folder, self._folder / SEGMENTS, self._folder / WRITERS):
            make_folder(self._disk, folder)

    def _read_head(self) -> Head:
        """The head; for a new log it is written before the first line, so a log without one was robbed of it."""
        head = heads.read(self._folder, self._key)
        if head is None and self.origin:
            raise Damaged("the log has vanished")
        if head is None and any(size for _, size in extents(self._folder)):
            raise Damaged("there are records but no head")
        if head is None:
            head = self._new_head()
        if self.origin not in ("", head.origin):
            raise Damaged("another log stands in its place")
        self.origin = head.origin
        return head

    def _new_head(self) -> Head:
        """A new log: its identity and its key, which is published before anything is signed with it."""
        origin, now = ORIGIN + new_id(), timestamp(time.time_ns())
        key = keys.make(self._disk, self._folder, origin, self._key)
        checkpoints.put_vkey(self._disk, self._folder, key)
        head = Head(origin=origin, key=str(key), last=origin_link(origin), key_ts=now, ts=now)
        heads.write(self._disk, self._folder, head, self._key)
        return head

    def _walk(self, head: Head) -> WriterStart:
        """Follow the lines from the head to the end of the log, and move aside what a crash tore."""
        found = extents(self._folder, head.segment)
        if not found and not head.records:
            self._open_segment(0, os.O_CREAT)
            found = extents(self._folder, 0)
        if [int(path.stem) for path, _ in found] != list(range(head.segment, head.segment + len(found))) or not found:
            raise Damaged("a segment is missing; run `aigov audit verify`")
        self._end = End(head.records, head.segment, head.offset, head.last, head.bytes)
        for path, size in found:
            number = int(path.stem)
            if number != self._end.segment:
                self._end = End(self._end.records, number, 0, self._end.last, self._end.bytes)
            self._open_segment(number, 0)
            if number == head.segment and (size < head.offset or (head.records and not self._ends_as(head))):
                raise Damaged("the log does not end as it was signed; run `aigov audit verify`")
            self._follow(path, size)
            if self._end.offset < size and path != found[-1][0]:
                raise Damaged("a line is not the record that belongs there; run `aigov audit verify`")
        return self._set_aside() if self._size() > self._end.offset else WriterStart()

    def _follow(self, path: Path, size: int) -> None:
        for line in Lines(path, self._end.offset, size):
            if not self._follows(line):
                break

    def _follows(self, line: bytes) -> bool:
        """Move the end past a line, if it is the next record."""
        try:
            entry = decode(line)
        except NotARecord:
            return False
        if (entry.seq, entry.prev) != (self._end.records, self._end.last):
            return False
        self._end = self._after(self._end, line)
        self._unsynced = True
        if entry.writer.id == self.id:
            self._wseq = entry.writer.wseq + 1
        return True

    @staticmethod
    def _after(end: End, line: bytes) -> End:
        size = len(line) + 1
        return End(end.records + 1, end.segment, end.offset + size, link(line), end.bytes + size)

    def _set_aside(self) -> WriterStart:
        """Move the bytes after the last record to quarantine.

        A killed writer leaves part of a line; a page that a power loss took reads as zeros. A whole line
        that is no record is neither: somebody wrote it, and the log is not continued.
        """
        size, offset = self._size(), self._end.offset
        torn = os.pread(self._handles[1], min(size - offset, TORN_MAX_BYTES + 1), offset)
        if len(torn) > TORN_MAX_BYTES or (b"\n" in torn and b"\0" not in torn):
            raise Damaged(
                "a line after the last signed one is not the record that belongs there; run `aigov audit verify`"
            )
        name = f"{self._end.segment:08d}-{offset:012d}-{digest(torn)[:16]}.torn"
        make_folder(self._disk, self._folder / QUARANTINE)
        self._disk.put(self._folder / QUARANTINE / name, torn)
        self._disk.truncate(self._handles[1], offset)
        return WriterStart(torn_bytes=len(torn), quarantine=name)

    def _genesis(self, head: Head) -> list[Record]:
        return [] if self._end.records else [LogGenesis(origin=self.origin, key=head.key)]

    def _see_to_the_dead(self) -> None:
        """Record the calls that dead writers left open. Their lines are final, so no lock is needed to look."""
        dead: frozenset[str] = frozenset()
        with locked(self._handles[0], self._patience):
            dead = self._living.dead()
        if dead:
            self._write_own(orphans(self._folder, dead, self._living.since()))
            self._living.forget(dead)

    def _write_own(self, records: Sequence[Record]) -> None:
        """Append what the log itself has to say; that it cannot be written is a fault, not the caller's."""
        for start in range(0, len(records), OWN_RECORDS):
            for result in self.write(records[start : start + OWN_RECORDS]):
                if isinstance(result, NotARecord):
                    raise result

    # -- segments --------------------------------------------------------------------------------

    def _segment_path(self, number: int) -> Path:
        return self._folder / SEGMENTS / f"{number:08d}.jsonl"

    def _open_segment(self, number: int, create: int) -> None:
        """Hold another segment. Raises OSError."""
        path = self._segment_path(number)
        segment = open_regular(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | create)
        self._close_handles(keep=1)
        self._handles = (self._handles[0], segment)
        if create:
            self._disk.sync_folder(path.parent)
        line = os.pread(segment, MAX_BYTES + 1, 0).partition(b"\n")[0]
        self._since = time.time()
        with suppress(NotARecord):
            self._since = micros(decode(line).ts) / 1e6 if line else self._since

    def _cut_leftovers(self) -> None:
        """Cut off what a disk brought back after the end of an abandoned segment. Raises OSError."""
        for path, size in extents(self._folder):
            if path.stat().st_size > size:
                path.chmod(FILE_MODE)
                handle = open_regular(path, os.O_RDWR | os.O_NOFOLLOW)
                try:
                    self._disk.truncate(handle, size)
                finally:
                    os.close(handle)
                path.chmod(SEALED_MODE)

    def _rotate_if_due(self) -> None:
        """Go on in a new segment where this one is full or old. Nobody writes to the old one any more."""
        if self._end.offset >= SEGMENT_BYTES or (self._end.offset and time.time() - self._since >= SEGMENT_SECONDS):
            self._settle()
            self._next_segment()

    def _next_segment(self) -> None:
        os.fchmod(self._handles[1], SEALED_MODE)
        number = self._end.segment + 1
        self._open_segment(number, os.O_CREAT | os.O_EXCL)
        self._end = self._end._replace(segment=number, offset=0)

    # -- appending -------------------------------------------------------------------------------

    def _catch_up(self) -> list[Record]:
        """Take note of what other processes appended. Returns what the log has to be told about it."""
        self._check_in_place()
        while self._segment_path(self._end.segment + 1).exists():
            (_, size), *_ = extents(self._folder, self._end.segment)
            if self._take_note(size):
                raise Damaged("a torn line in the middle of the log; run `aigov audit verify`")
            self._open_segment(self._end.segment + 1, 0)
            self._end = self._end._replace(segment=self._end.segment + 1, offset=0)
        return [self._set_aside()] if self._take_note(self._size()) else []

    def _take_note(self, size: int) -> int:
        """Move the end past what was appended up to byte `size`; returns how many bytes are torn."""
        if size == self._end.offset:
            return 0
        if size < self._end.offset:
            raise Damaged("the log was shortened while it was open")
        start = max(self._end.offset, size - LOOK_BACK)
        block = os.pread(self._handles[1], size - start, start)
        whole, newline, torn = block.rpartition(b"\n")
        if newline:
            self._end = self._end_after(whole.rpartition(b"\n")[2], size - len(torn))
            self._unsynced, self._grew_at = True, time.monotonic()
        elif start > self._end.offset:
            raise Damaged("a line over the limit")
        return len(torn)

    def _end_after(self, line: bytes, size: int) -> End:
        entry: Any = None
        with suppress(NotARecord):
            entry = decode(line)
        if entry is None or entry.seq < self._end.records:
            raise Damaged("the last line is not the record that belongs there; run `aigov audit verify`")
        end = self._end
        return End(entry.seq + 1, end.segment, size, link(line), end.bytes + size - end.offset)

    def _check_in_place(self) -> None:
        """The files we hold must be those in the folder: writing to a deleted file succeeds, into nothing."""
        places = (self._folder / LOCK, self._segment_path(self._end.segment))
        for handle, path in zip(self._handles, places, strict=True):
            ours, there = os.fstat(handle), os.stat(path)
            if (ours.st_ino, ours.st_dev) != (there.st_ino, there.st_dev):
                raise Damaged("a file of the log was exchanged while it was open")

    def _commit(self, records: Sequence[Record]) -> list[Receipt | NotARecord]:
        """Steps 3 to 5: on return the records are durable."""
        results, lines, end, wseq = self._compose(records)
        if not lines:
            return results
        failed = self._append(b"".join(lines))
        if failed:
            return self._elsewhere(failed, records)
        self._end, self._wseq = end, wseq
        self._unsynced, self._grew_at = False, time.monotonic()
        self._remember(results)
        return results

    def _remember(self, results: Sequence[Receipt | NotARecord]) -> None:
        """Keep the hashes that were handed out, to hold the disk against them before they are signed."""
        if len(self._own) > REMEMBERED:
            self._own.clear()
        self._own.update((result.seq, result.digest) for result in results if isinstance(result, Receipt))

    def _compose(self, records: Sequence[Record]) -> tuple[list[Receipt | NotARecord], list[bytes], End, int]:
        results: list[Receipt | NotARecord] = []
        lines: list[bytes] = []
        end, wseq = self._end, self._wseq
        now, mono_us = timestamp(time.time_ns()), time.monotonic_ns() // 1000  # of the batch: it is one write
        for record in records:
            envelope = self._envelope(end, wseq, now, mono_us)
            try:
                line = encode(record, envelope)
            except NotARecord as fault:
                results.append(fault.with_traceback(None))
                continue
            end, wseq = self._after(end, line), wseq + 1
            lines += (line, b"\n")
            results.append(_receipt(record, envelope, end.last))
        return results, lines, end, wseq

    def _envelope(self, end: End, wseq: int, now: str, mono_us: int) -> Envelope:
        return Envelope(
            v=SCHEMA,
            seq=end.records,
            prev=end.last,
            id=new_id(),
            ts=now,
            mono_us=mono_us,
            boot=self._boot,
            writer=Writer(id=self.id, pid=self._pid, wseq=wseq, ver=self._version),
        )

    def _append(self, data: bytes) -> OSError | None:
        """Write and sync. A fault of the sync is returned, once what it left is cut off. Raises OSError."""
        segment = self._handles[1]
        try:
            self._disk.write_all(segment, data)
        except OSError:
            self._take_back()
            raise
        try:
            self._disk.sync(segment)
        except OSError as error:
            self._take_back()
            return error
        return None

    def _elsewhere(self, failed: OSError, records: Sequence[Record]) -> list[Receipt | NotARecord]:
        """Write what waited for a failed sync into a new segment, once. Raises SyncFailed."""
        fault = SyncFailed(failed.errno or errno.EIO, "the data may not be on the disk")
        if self._abandoned or self._size() != self._end.offset or not self._end.records:
            raise fault
        self._abandoned = True
        left = SegmentAbandoned(segment=self._end.segment, bytes=self._end.offset, error=reason(failed))
        self._next_segment()
        return self._commit([left, *records])[1:]

    def _settle(self) -> None:
        """Sync what a writer that died may have left unsynced, before anybody relies on it."""
        if self._unsynced:
            failed = 0
            try:
                self._disk.sync(self._handles[1])
            except OSError as error:
                failed = error.errno or errno.EIO
            if failed:
                raise SyncFailed(failed, "the data may not be on the disk")
            self._unsynced = False

    def _take_back(self) -> None:
        """Cut off lines that nobody was told about. Where even that fails the next opening finds them."""
        with suppress(OSError):
            self._disk.truncate(self._handles[1], self._end.offset)

    # -- signing ---------------------------------------------------------------------------------

    def _publish(self, *, force: bool, sealed: bool = False) -> None:
        self._publisher.publish(self._end, self._own, force=force, sealed=sealed)
        if self._publisher.covered >= self._end.records:
            self._own.clear()

    def _next_key(self, head: Head) -> KeyRotated:
        """The announcement of a key that is there already."""
        key = keys.make(self._disk, self._folder, self.origin, self._key)
        return KeyRotated(epoch=head.epoch + 1, next=str(key), checkpoints=head.checkpoints)

    # -- small things ----------------------------------------------------------------------------

    def _size(self) -> int:
        return os.fstat(self._handles[1]).st_size

    def _ends_as(self, head: Head) -> bool:
        """Whether the line that ends at the head's place is the one that was signed last."""
        start = max(0, head.offset - MAX_BYTES - 2)
        block = os.pread(self._handles[1], head.offset - start, start)
        return block.endswith(b"\n") and link(block[:-1].rpartition(b"\n")[2]) == head.last

    def _close_handles(self, keep: int = 0) -> None:
        handles, self._handles = self._handles, self._handles[:keep]
        for handle in handles[keep:]:
            os.close(handle)


def _receipt(record: Record, envelope: Envelope, last: str) -> Receipt:
    call: str = getattr(record, "call", None) or ""
    return Receipt(id=envelope.id, kind=record.kind(), call=call, seq=envelope.seq, digest=last)


def _boot() -> str:
    """What tells one start of the machine from the next, so that monotonic times are comparable."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _version() -> str:
    try:
        return metadata.version("aigov-engine")
    except metadata.PackageNotFoundError:
        return ""
