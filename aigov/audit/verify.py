"""Is a log whole? Every line is read strictly, followed from the first to the last, and held against the head.

Steps:
 1. freeze     the head and the segments' sizes, under the append lock where it can be taken
 2. folder     only segments, numbered without gaps, and no other `.jsonl`
 3. lines      canonical form, `seq` without gaps, `prev` the link of the line before, each writer's own count
 4. head       the log is as long and ends as the head says; after a sealed head nothing follows
 5. meaning    every intent has an outcome or is recorded as an orphan; the last writer sealed the log

Invariants:
* There is no "warning but fine": whatever is not explained makes the status other than WHOLE.
* It writes nothing, needs no key and works on a copy; with the key it also checks who wrote the head.
* A report holds positions and counts, nothing of what the records say.

What it cannot see: a log rolled back together with its head to an older state, and, without the key, a
log rewritten from end to end. Copies of `head.json` kept elsewhere show both.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import msgspec

from aigov.audit import head as heads
from aigov.audit.canonical import NotARecord, decode, link, origin_link
from aigov.audit.disk import locked, open_regular, reason
from aigov.audit.head import Head, HeadAltered
from aigov.audit.orphans import CLOSING, OPENING, kind_of
from aigov.audit.reader import SEGMENTS, Lines, segments
from aigov.audit.records import CallOrphaned, LogGenesis, LogSealed
from aigov.audit.store import LOCK

MAX_PROBLEMS = 100
LOCK_SECONDS = 2.0
PROGRESS_BYTES = 1 << 20

Progress = Callable[[int, int], None]


class Status(enum.IntEnum):
    """What `aigov audit verify` exits with."""

    WHOLE = 0
    TAMPERED = 1
    INCOMPLETE = 2
    UNCHECKABLE = 3


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One thing wrong. `file` is relative to the log's folder; `line` counts from 1, 0 is the file as a
    whole; `seq` is the number of the record that should stand there, None where that cannot be said."""

    status: Status
    file: str
    line: int = 0
    seq: int | None = None
    what: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What verification found. `problems` holds the first 100, `more` counts the others.

    `keyed`: the head was checked with the key. `open_calls`: intents without outcome that nobody
    recorded as orphans. `covered`: records that the head vouches for. `first_ts`, `last_ts`: RFC 3339.
    """

    status: Status
    problems: tuple[Fault, ...] = ()
    more: int = 0
    records: int = 0
    covered: int = 0
    segments: int = 0
    bytes: int = 0
    sealed: bool = False
    keyed: bool = False
    open_calls: int = 0
    orphaned_calls: int = 0
    writers: int = 0
    origin: str = ""
    first_ts: str = ""
    last_ts: str = ""
    last: str = ""


class _Frozen(msgspec.Struct, frozen=True):
    """A log at one moment: what the check is held against, however long it takes."""

    head: Head | None
    files: tuple[tuple[Path, int], ...]


def verify(folder: Path, key: bytes | None = None, progress: Progress | None = None) -> Report:
    """Check a log's folder. `progress(done, total)` is told bytes about once a mebibyte. Raises nothing of its own."""
    check = _Check(Path(folder), key, progress)
    try:
        check.run()
    except OSError as error:
        check.cannot(f"cannot read the log: {reason(error)}")
    return check.report()


class _Check:
    """One run over one log."""

    def __init__(self, folder: Path, key: bytes | None, progress: Progress | None) -> None:
        self._folder = folder
        self._key = key
        self._progress = progress
        self._faults: list[Fault] = []
        self._worst: set[Status] = set()
        self._more = 0
        self._head: Head | None = None
        self._file, self._line = "", 0
        self._seq, self._last, self._bytes, self._total = 0, "", 0, 0
        self._origin = self._first_ts = self._last_ts = self._last_kind = ""
        self._writers: dict[str, int] = {}
        self._open: set[str] = set()
        self._orphaned = 0
        self._segments = 0
        self._reached_head = False

    def run(self) -> None:
        """The steps in order. Raises OSError."""
        frozen = self._freeze()  # 1
        self._head = frozen.head
        self._total = sum(size for _, size in frozen.files)
        self._check_names(frozen)  # 2
        self._reach()
        for path, size in frozen.files:  # 3
            self._segment(path, size)
        self._check_head()  # 4
        self._check_meaning()  # 5

    def cannot(self, what: str) -> None:
        """Note that something cannot be checked."""
        self._note(Status.UNCHECKABLE, what, file=".")

    def report(self) -> Report:
        """What was found, in numbers. TAMPERED outweighs what cannot be checked, and that what is missing."""
        order = (Status.TAMPERED, Status.UNCHECKABLE, Status.INCOMPLETE)
        head = self._head
        return Report(
            status=next((status for status in order if status in self._worst), Status.WHOLE),
            problems=tuple(self._faults),
            more=self._more,
            records=self._seq,
            covered=head.records if head else 0,
            segments=self._segments,
            bytes=self._bytes,
            sealed=bool(head and head.sealed and self._last_kind == LogSealed.kind()),
            keyed=self._key is not None and head is not None,
            open_calls=len(self._open),
            orphaned_calls=self._orphaned,
            writers=len(self._writers),
            origin=self._origin,
            first_ts=self._first_ts,
            last_ts=self._last_ts,
            last=self._last,
        )

    # -- 1 and 2: the folder ---------------------------------------------------------------------

    def _freeze(self) -> _Frozen:
        with ExitStack() as stack:
            # A reader that may not take the lock, or a copy without one, sees a live log a little less sharply.
            with suppress(OSError):
                handle = open_regular(self._folder / LOCK)
                stack.callback(os.close, handle)
                stack.enter_context(locked(handle, LOCK_SECONDS))
            files = tuple((path, path.stat().st_size) for path in segments(self._folder))
            return _Frozen(self._read_head(), files)

    def _read_head(self) -> Head | None:
        head = None
        try:
            head = heads.read(self._folder, self._key)
        except HeadAltered as fault:
            self._note(Status.TAMPERED, str(fault).partition(": ")[2], file=heads.HEAD)
        else:
            if head is None:
                self._note(Status.UNCHECKABLE, "there is no head", file=heads.HEAD)
        return head

    def _check_names(self, frozen: _Frozen) -> None:
        self._segments = len(frozen.files)
        known = {path for path, _ in frozen.files}
        for number, (path, _) in enumerate(frozen.files):
            if int(path.stem) != number:
                self._note(Status.TAMPERED, "a segment is missing before this one", file=self._name(path))
                break
        for path in sorted(self._folder.rglob("*.jsonl")):
            if path not in known:
                self._note(Status.TAMPERED, "no writer made this file", file=self._name(path))

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()

    # -- 3: the lines ----------------------------------------------------------------------------

    def _segment(self, path: Path, size: int) -> None:
        self._file, self._line = self._name(path), 0
        lines, told = Lines(path, 0, size), 0
        for line in lines:
            self._line += 1
            self._one(line)
            self._bytes += len(line) + 1
            self._reach()
            if self._progress is not None and self._bytes - told >= PROGRESS_BYTES:
                told = self._bytes
                self._progress(self._bytes, self._total)
        if lines.whole + lines.torn < size:
            self._note(Status.TAMPERED, "the file became shorter while it was read")
        if lines.torn:
            self._line += 1
            self._torn()
        if self._progress is not None:
            self._progress(self._bytes, self._total)

    def _one(self, line: bytes) -> None:
        """One line: in form, in sequence, bound to the one before, and next of its writer."""
        try:
            entry = decode(line)
        except NotARecord as fault:
            self._note(Status.TAMPERED, f"not a record: {fault.why}")
            self._seq, self._last = self._seq + 1, link(line)
            return
        if not self._seq:
            self._begin(entry)
        if entry.seq != self._seq:
            self._note(Status.TAMPERED, f"record {entry.seq} stands where record {self._seq} belongs")
        elif entry.prev != self._last:
            self._note(Status.TAMPERED, "does not follow from the line before; one of the two was changed")
        self._count(entry)
        self._seq, self._last = entry.seq + 1, link(line)
        self._mean(entry)

    def _begin(self, entry: Any) -> None:
        """The first line says what log this is; the head has to agree."""
        self._origin = getattr(entry, "origin", "")
        self._last = origin_link(self._origin)
        self._first_ts = entry.ts
        if kind_of(entry) != LogGenesis.kind():
            self._note(Status.TAMPERED, "the log does not begin with its genesis")
        elif self._head is not None and self._head.origin != self._origin:
            self._note(Status.TAMPERED, "the head belongs to another log")

    def _count(self, entry: Any) -> None:
        writer = entry.writer
        expected = self._writers.get(writer.id, 0)
        if writer.wseq != expected:
            self._note(Status.TAMPERED, f"its writer's record {writer.wseq} stands where {expected} belongs")
        self._writers[writer.id] = writer.wseq + 1

    def _mean(self, entry: Any) -> None:
        kind = kind_of(entry)
        self._last_ts, self._last_kind = entry.ts, kind
        if kind in OPENING:
            self._open.add(entry.call)
        elif kind in CLOSING:
            self._open.discard(entry.call)
            self._orphaned += kind == CallOrphaned.kind()

    def _torn(self) -> None:
        """Bytes without a newline at the end: a writer was killed, unless the head knew them whole."""
        if self._head is not None and self._bytes < self._head.bytes:
            return  # the head says so itself, below
        sealed = self._head is not None and self._head.sealed
        status = Status.TAMPERED if sealed else Status.INCOMPLETE
        self._note(status, "the last line is torn; a writer moves it aside when it next opens the log")

    # -- 4 and 5: the end ------------------------------------------------------------------------

    def _reach(self) -> None:
        """Hold the log against the head at the very byte where the head was written."""
        head = self._head
        if head is not None and self._bytes == head.bytes and not self._reached_head:
            self._reached_head = True
            last = self._last or origin_link(head.origin)
            if (self._seq, last) != (head.records, head.last):
                self._note(Status.TAMPERED, "the line is not the one that the head ends with")

    def _check_head(self) -> None:
        head = self._head
        self._line = 0
        if head is None:
            return
        if not self._reached_head:
            missing = f"the head ends after record {head.records - 1}, and the lines do not end there"
            self._note(Status.TAMPERED, missing, file=heads.HEAD)
        elif head.sealed and self._bytes > head.bytes:
            self._note(Status.TAMPERED, "there are lines after the sealed end", file=heads.HEAD)
        elif not head.sealed:
            self._note(Status.INCOMPLETE, "the log is not sealed: a writer is at work or ended without closing")

    def _check_meaning(self) -> None:
        if self._head is not None and self._head.sealed and self._last_kind != LogSealed.kind():
            self._note(Status.TAMPERED, "the head is sealed, the last line is not a seal", file=heads.HEAD)
        if self._open:
            self._note(Status.INCOMPLETE, f"{len(self._open)} calls have an intent and no outcome", file=SEGMENTS)

    def _note(self, status: Status, what: str, *, file: str | None = None) -> None:
        self._worst.add(status)
        if len(self._faults) >= MAX_PROBLEMS:
            self._more += 1
            return
        here = file is None
        self._faults.append(
            Fault(
                status=status,
                file=self._file if file is None else file,
                line=self._line if here else 0,
                seq=self._seq if here and self._line else None,
                what=what,
            )
        )
