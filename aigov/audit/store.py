"""The log's folder, as one writer holds it: the lines, their order, and what a crash left behind.

    head.json             how long the log is and how it ends (`head.py`)
    seg/00000000.jsonl    the records, a line each
    append.lock           held by whoever appends
    writers/              a file for each living writer (`living.py`)
    quarantine/           bytes that were found after the last whole line, kept as they were

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
* A failed sync is never repeated: the system may have dropped the data. The store stays shut.
* A log that is shorter than its head, that ends otherwise or that was exchanged is not continued.
* Bytes of others are never deleted: a torn tail is copied to `quarantine/` first, and the log says so.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from aigov.audit import head as heads
from aigov.audit.canonical import Envelope, NotARecord, Writer, decode, encode, link, origin_link, timestamp
from aigov.audit.disk import Disk, locked, make_folder, open_regular
from aigov.audit.head import Head
from aigov.audit.living import WRITERS, Living
from aigov.audit.orphans import orphans
from aigov.audit.reader import SEGMENTS, Lines
from aigov.audit.records import MAX_BYTES, SCHEMA, LogGenesis, LogSealed, Record, WriterStart, new_id
from aigov.crypto import digest
from aigov.errors import AigovError

SEGMENT = "00000000.jsonl"
LOCK = "append.lock"
QUARANTINE = "quarantine"
HEAD_SECONDS = 1.0
LOOK_BACK = 64 * 1024
OWN_RECORDS = 256
TORN_MAX_BYTES = 64 * 1024 * 1024


class Damaged(AigovError):
    """A log that must not be continued, because it is not what its writers left."""

    code = "audit.damaged"

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"{self.code}: {why}")


class SyncFailed(OSError):
    """The system could not put a batch on stable storage; this store takes no more."""


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """Proof that a record is durable. `digest`: the link of its line; `call`: "" where it is about none."""

    id: str
    kind: str
    call: str
    seq: int
    digest: str


class End(msgspec.Struct, frozen=True):
    """Where a log ends: how many records, at which byte of the segment, and the link of the last line."""

    records: int
    bytes: int
    last: str


class Store:
    """One writer's hold on a log's folder. Not for several threads at once: `Log` gives it one."""

    def __init__(self, folder: Path, *, key: bytes, disk: Disk, patience: float) -> None:
        self.id = new_id()
        self.origin = ""
        self._folder = folder
        self._segment = folder / SEGMENTS / SEGMENT
        self._key = key
        self._disk = disk
        self._patience = patience
        self._living = Living(folder, self.id)
        self._handles: tuple[int, ...] = ()
        self._end = End(0, 0, "")
        self._wseq = 0
        self._boot = _boot()
        self._version = _version()
        self._covered = 0
        self._head_at = 0.0

    def open(self) -> None:
        """Open the log, making one where none is; again after a fault, where it must be the same log.

        Looks at everything since the head, moves a torn tail aside, says so, and records the calls that
        dead writers left open. Raises OSError, Damaged, HeadAltered.
        """
        self._close_handles()
        if not self.origin:
            self._make_folders()
        lock = open_regular(self._folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
        self._handles = (lock,)
        with locked(lock, self._patience):
            head = self._read_head()
            segment = open_regular(self._segment, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | _create(head))
            self._handles = (lock, segment)
            self._disk.sync_folder(self._segment.parent)
            self._unseal(head)
            torn = self._walk(head)
            self._living.join()
            dead = self._living.dead()
            self._commit([*self._genesis(), msgspec.structs.replace(torn, crashed=len(dead))])
            self._put_head(sealed=False)
        self._see_to_the_dead()

    def write(self, records: Sequence[Record]) -> list[Receipt | NotARecord]:
        """Append records durably. A record that has no canonical form is left out and named in the result.

        Raises OSError (SyncFailed: for good), Damaged.
        """
        with locked(self._handles[0], self._patience):
            found = self._catch_up()
            return self._commit([*found, *records])[len(found) :]

    @property
    def head_due(self) -> bool:
        """Whether the head has fallen behind for long enough."""
        return self.uncovered and time.monotonic() - self._head_at >= HEAD_SECONDS

    @property
    def uncovered(self) -> bool:
        """Whether there are records that the head does not cover yet."""
        return self._end.records > self._covered

    def cover(self) -> None:
        """Bring the head up to date. Raises OSError, Damaged."""
        with locked(self._handles[0], self._patience):
            self._commit(self._catch_up())
            self._put_head(sealed=False)

    def seal(self, left: Sequence[Record]) -> bool:
        """Write `left` and stop; the last living writer seals the log. Returns whether it did.

        Raises OSError, Damaged.
        """
        self._write_own(left)
        self._see_to_the_dead()
        with locked(self._handles[0], self._patience):
            found = self._catch_up()
            self._living.leave()
            last = self._living.alone()
            if last:
                found.append(LogSealed(records=self._end.records + len(found)))
            self._commit(found)
            self._put_head(sealed=last)
        return last

    def drop(self) -> None:
        """Let go of every handle and touch no file. Also what a forked child does first."""
        self._close_handles()
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
        if head is None and self._segment.exists() and self._segment.stat().st_size:
            raise Damaged("there are records but no head")
        if head is None:
            origin = new_id()
            head = self._head(End(0, 0, origin_link(origin)), origin, sealed=False)
            heads.write(self._disk, self._folder, head, self._key)
        if self.origin not in ("", head.origin):
            raise Damaged("another log stands in its place")
        self.origin = head.origin
        return head

    def _unseal(self, head: Head) -> None:
        """Say that the log goes on before a line is added: lines after a sealed head are forgeries."""
        if head.sealed:
            heads.write(self._disk, self._folder, msgspec.structs.replace(head, sealed=False), self._key)

    def _walk(self, head: Head) -> WriterStart:
        """Follow the lines from the head to the end of the log, and move aside what a crash tore."""
        size = self._size()
        if size < head.bytes or (head.records and self._line_before(head.bytes) != head.last):
            raise Damaged("the log does not end as its head says; run `aigov audit verify`")
        self._end = End(head.records, head.bytes, head.last)
        lines = Lines(self._segment, head.bytes, size)
        for line in lines:
            if not self._follows(line):
                break
        return self._set_aside(size) if size > self._end.bytes else WriterStart()

    def _follows(self, line: bytes) -> bool:
        """Move the end past a line, if it is the next record."""
        try:
            entry = decode(line)
        except NotARecord:
            return False
        if (entry.seq, entry.prev) != (self._end.records, self._end.last):
            return False
        self._end = End(entry.seq + 1, self._end.bytes + len(line) + 1, link(line))
        if entry.writer.id == self.id:
            self._wseq = entry.writer.wseq + 1
        return True

    def _set_aside(self, size: int) -> WriterStart:
        """Move the bytes after the last record to quarantine.

        A killed writer leaves part of a line; a page that a power loss took reads as zeros. A whole line
        that is no record is neither: somebody wrote it, and the log is not continued.
        """
        torn = os.pread(self._handles[1], min(size - self._end.bytes, TORN_MAX_BYTES + 1), self._end.bytes)
        if len(torn) > TORN_MAX_BYTES or (b"\n" in torn and b"\0" not in torn):
            raise Damaged("a line after the head is not the record that belongs there; run `aigov audit verify`")
        name = f"{self._end.bytes:012d}-{digest(torn)[:16]}.torn"
        make_folder(self._disk, self._folder / QUARANTINE)
        self._disk.put(self._folder / QUARANTINE / name, torn)
        self._disk.truncate(self._handles[1], self._end.bytes)
        return WriterStart(torn_bytes=len(torn), quarantine=name)

    def _genesis(self) -> list[Record]:
        return [] if self._end.records else [LogGenesis(origin=self.origin)]

    def _see_to_the_dead(self) -> None:
        """Record the calls that dead writers left open. Their lines are final, so no lock is needed to look."""
        dead: frozenset[str] = frozenset()
        with locked(self._handles[0], self._patience):
            dead = self._living.dead()
        if dead:
            self._write_own(orphans(self._folder, dead))
            self._living.forget(dead)

    def _write_own(self, records: Sequence[Record]) -> None:
        """Append what the log itself has to say; that it cannot be written is a fault, not the caller's."""
        for start in range(0, len(records), OWN_RECORDS):
            for result in self.write(records[start : start + OWN_RECORDS]):
                if isinstance(result, NotARecord):
                    raise result

    # -- appending -------------------------------------------------------------------------------

    def _catch_up(self) -> list[Record]:
        """Take note of what other processes appended. Returns what the log has to be told about it."""
        self._check_in_place()
        size = self._size()
        if size == self._end.bytes:
            return []
        if size < self._end.bytes:
            raise Damaged("the log was shortened while it was open")
        start = max(self._end.bytes, size - LOOK_BACK)
        block = os.pread(self._handles[1], size - start, start)
        whole, newline, torn = block.rpartition(b"\n")
        if newline:
            self._end = self._end_after(whole.rpartition(b"\n")[2], size - len(torn))
        elif start > self._end.bytes:
            raise Damaged("a line over the limit")
        return [self._set_aside(size)] if torn else []

    def _end_after(self, line: bytes, size: int) -> End:
        entry: Any = None
        with suppress(NotARecord):
            entry = decode(line)
        if entry is None or entry.seq < self._end.records:
            raise Damaged("the last line is not the record that belongs there; run `aigov audit verify`")
        return End(entry.seq + 1, size, link(line))

    def _check_in_place(self) -> None:
        """The files we hold must be those in the folder: writing to a deleted file succeeds, into nothing."""
        for handle, path in zip(self._handles, (self._folder / LOCK, self._segment), strict=True):
            ours, there = os.fstat(handle), os.stat(path)
            if (ours.st_ino, ours.st_dev) != (there.st_ino, there.st_dev):
                raise Damaged("a file of the log was exchanged while it was open")

    def _commit(self, records: Sequence[Record]) -> list[Receipt | NotARecord]:
        """Steps 3 to 5: on return the records are durable."""
        results, lines, end, wseq = self._compose(records)
        if lines:
            self._append(b"".join(lines))
            self._end, self._wseq = end, wseq
        return results

    def _compose(self, records: Sequence[Record]) -> tuple[list[Receipt | NotARecord], list[bytes], End, int]:
        results: list[Receipt | NotARecord] = []
        lines: list[bytes] = []
        end, wseq = self._end, self._wseq
        for record in records:
            envelope = self._envelope(end, wseq)
            try:
                line = encode(record, envelope)
            except NotARecord as fault:
                results.append(fault.with_traceback(None))
                continue
            end, wseq = End(end.records + 1, end.bytes + len(line) + 1, link(line)), wseq + 1
            lines += (line, b"\n")
            results.append(_receipt(record, envelope, end.last))
        return results, lines, end, wseq

    def _envelope(self, end: End, wseq: int) -> Envelope:
        return Envelope(
            v=SCHEMA,
            seq=end.records,
            prev=end.last,
            id=new_id(),
            ts=timestamp(time.time_ns()),
            mono_us=time.monotonic_ns() // 1000,
            boot=self._boot,
            writer=Writer(id=self.id, pid=os.getpid(), wseq=wseq, ver=self._version),
        )

    def _append(self, data: bytes) -> None:
        segment, failed = self._handles[1], 0
        try:
            self._disk.write_all(segment, data)
        except OSError:
            self._take_back()
            raise
        try:
            self._disk.sync(segment)
        except OSError as error:
            failed = error.errno or 0
        if failed:
            self._take_back()
            raise SyncFailed(failed, "the data may not be on the disk")

    def _take_back(self) -> None:
        """Cut off lines that nobody was told about. Where even that fails the next opening finds them."""
        with suppress(OSError):
            self._disk.truncate(self._handles[1], self._end.bytes)

    # -- the head --------------------------------------------------------------------------------

    def _put_head(self, *, sealed: bool) -> None:
        heads.write(self._disk, self._folder, self._head(self._end, self.origin, sealed=sealed), self._key)
        self._covered, self._head_at = self._end.records, time.monotonic()

    @staticmethod
    def _head(end: End, origin: str, *, sealed: bool) -> Head:
        now = timestamp(time.time_ns())
        return Head(origin=origin, records=end.records, bytes=end.bytes, last=end.last, sealed=sealed, ts=now)

    # -- small things ----------------------------------------------------------------------------

    def _size(self) -> int:
        return os.fstat(self._handles[1]).st_size

    def _line_before(self, position: int) -> str:
        """The link of the line that ends, newline included, at `position`."""
        start = max(0, position - MAX_BYTES - 2)
        block = os.pread(self._handles[1], position - start, start)
        return link(block[:-1].rpartition(b"\n")[2]) if block.endswith(b"\n") else ""

    def _close_handles(self) -> None:
        handles, self._handles = self._handles, ()
        for handle in handles:
            os.close(handle)


def _receipt(record: Record, envelope: Envelope, last: str) -> Receipt:
    call: str = getattr(record, "call", None) or ""
    return Receipt(id=envelope.id, kind=record.kind(), call=call, seq=envelope.seq, digest=last)


def _create(head: Head) -> int:
    """Only a log without records may lack its segment; a lost one is not replaced by an empty one."""
    return 0 if head.records else os.O_CREAT


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
