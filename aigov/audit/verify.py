"""Is a log whole? Every line is read strictly, followed from the first to the last, and held against what was signed.

Steps:
 1. freeze     the checkpoints and the segments' sizes, under the append lock where it can be taken
 2. folder     only segments, numbered without gaps, and no other `.jsonl`
 3. lines      canonical form, `seq` without gaps, `prev` the hash of the line before, each writer's own count
 4. signed     each checkpoint: signature, root, order; tiles; the checkpoint accepted last time (`vouched.py`)
 5. end        the latest checkpoint covers everything, and is the one that is published
 6. meaning    every intent has an outcome or is recorded as an orphan; clocks and signs of life add up (`pulse.py`);
                the last writer sealed the log

Invariants:
* There is no "warning but fine": whatever is not explained makes the status other than WHOLE.
* It writes nothing and works on a copy. Without a key from outside it takes the folder's own, and says so.
* A report holds positions and counts, nothing of what the records say.

What it cannot see: with the folder's own key, a log rewritten from end to end under a new key; and, without
a checkpoint from earlier, a log rolled back to an older state that was sealed.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import msgspec

from aigov.audit import checkpoints
from aigov.audit import head as heads
from aigov.audit.canonical import NotARecord, decode, link, origin_link
from aigov.audit.checkpoints import Notes
from aigov.audit.cosigning import CosignerKey, is_cosigned
from aigov.audit.disk import locked, open_regular, reason
from aigov.audit.head import Head, HeadAltered
from aigov.audit.note import Checkpoint, NoteError, VerifierKey, split
from aigov.audit.orphans import CLOSING, OPENING, closes, kind_of
from aigov.audit.pulse import BACK, Pulse
from aigov.audit.reader import OVERLONG, SEGMENTS, Lines, extents
from aigov.audit.records import CallOrphaned, KeyRotated, LogGenesis, LogSealed
from aigov.audit.store import LOCK
from aigov.audit.vouched import Vouched
from aigov.crypto import Unsupported

MAX_PROBLEMS = 100
LOCK_SECONDS = 2.0
PROGRESS_BYTES = 1 << 20
CLAIMING = frozenset({KeyRotated.kind(), LogSealed.kind()})  # they say how many checkpoints came before

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

    `vkey`: the key that the log was held against; `pinned`: it came from outside of the folder. `keyed`: the
    writers' own state was checked with their key. `covered`: records under a good checkpoint, `checkpoints`:
    how many there are. `open_calls`: intents without outcome that nobody recorded as orphans. `first_ts`,
    `last_ts`: RFC 3339. `root` and `latest`: the tree of the last good checkpoint, and its note.
    """

    status: Status
    problems: tuple[Fault, ...] = ()
    more: int = 0
    records: int = 0
    covered: int = 0
    checkpoints: int = 0
    segments: int = 0
    bytes: int = 0
    sealed: bool = False
    keyed: bool = False
    vkey: str = ""
    pinned: bool = False
    open_calls: int = 0
    orphaned_calls: int = 0
    writers: int = 0
    origin: str = ""
    first_ts: str = ""
    last_ts: str = ""
    last: str = ""
    latest: str = ""


class _Frozen(msgspec.Struct, frozen=True):
    """A log at one moment: what the check is held against, however long it takes."""

    head: Head | None
    sealed: bool
    latest: bytes | None
    notes: int
    files: tuple[tuple[Path, int, int], ...]


def verify(
    folder: Path,
    key: bytes | None = None,
    progress: Progress | None = None,
    *,
    vkey: VerifierKey | None = None,
    cosigner: CosignerKey | None = None,
    known: bytes | None = None,
) -> Report:
    """Check a log's folder. `progress(done, total)` is told bytes about once a mebibyte. Raises nothing of its own.

    `vkey`: the public key that the log must be signed with, from a source other than the folder. `cosigner`: the
    key that its last good checkpoint must be cosigned with. `known`: a checkpoint that was accepted before. `key`:
    the writers' secret, which checks their state too.
    """
    check = _Check(Path(folder), key, progress, vkey, cosigner, known)
    try:
        check.run()
    except OSError as error:
        check.cannot(f"cannot read the log: {reason(error)}")
    return check.report()


class _Check:
    """One run over one log."""

    def __init__(
        self,
        folder: Path,
        key: bytes | None,
        progress: Progress | None,
        vkey: VerifierKey | None,
        cosigner: CosignerKey | None,
        known: bytes | None,
    ) -> None:
        self._folder = folder
        self._key = key
        self._progress = progress
        self._vkey, self._pinned = vkey, vkey is not None
        self._cosigner = cosigner
        self._known = known
        self._faults: list[Fault] = []
        self._worst: set[Status] = set()
        self._more = 0
        self._head: Head | None = None
        self._ended = False
        self._vouched: Vouched | None = None
        self._file, self._line = "", 0
        self._seq, self._last, self._bytes, self._total = 0, "", 0, 0
        self._origin = self._first_ts = self._last_ts = self._last_kind = ""
        self._writers: dict[str, int] = {}
        self._open: set[str] = set()
        self._orphaned = 0
        self._pulse = Pulse()
        self._segments = 0

    def run(self) -> None:
        """The steps in order. Raises OSError."""
        there = sorted(self._folder.rglob("*.jsonl"))  # before the segments are listed: writers may begin new ones
        frozen = self._freeze()  # 1
        self._head, self._ended = frozen.head, frozen.sealed
        self._total = sum(size for _, size, _ in frozen.files)
        self._check_names(frozen, there)  # 2
        notes = Notes(self._folder / checkpoints.ALL, frozen.notes)
        self._vouched = self._begin_vouching(notes)
        for path, size, after in frozen.files:  # 3, and 4 on the way
            self._segment(path, size, after)
        self._check_end(self._vouched, notes, frozen.latest)  # 5
        self._check_meaning()  # 6

    def cannot(self, what: str) -> None:
        """Note that something cannot be checked."""
        self._note(Status.UNCHECKABLE, what, file=".")

    def report(self) -> Report:
        """What was found, in numbers. TAMPERED outweighs what cannot be checked, and that what is missing."""
        order = (Status.TAMPERED, Status.UNCHECKABLE, Status.INCOMPLETE)
        vouched = self._vouched
        return Report(
            status=next((status for status in order if status in self._worst), Status.WHOLE),
            problems=tuple(self._faults),
            more=self._more,
            records=self._seq,
            covered=vouched.covered if vouched else 0,
            checkpoints=vouched.checkpoints if vouched else 0,
            segments=self._segments,
            bytes=self._bytes,
            sealed=self._sealed(),
            keyed=self._key is not None and self._head is not None,
            vkey=str(self._vkey) if self._vkey else "",
            pinned=self._pinned,
            open_calls=len(self._open),
            orphaned_calls=self._orphaned,
            writers=len(self._writers),
            origin=self._origin,
            first_ts=self._first_ts,
            last_ts=self._last_ts,
            last=self._last,
            latest=vouched.latest.decode() if vouched else "",
        )

    # -- 1 and 2: the folder ---------------------------------------------------------------------

    def _freeze(self) -> _Frozen:
        with ExitStack() as stack:
            # A reader that may not take the lock, or a copy without one, sees a live log a little less sharply.
            with suppress(OSError):
                handle = open_regular(self._folder / LOCK)
                stack.callback(os.close, handle)
                stack.enter_context(locked(handle, LOCK_SECONDS))
            # What is published was durable before, so the lines are looked at last.
            head, latest = self._read_head(), checkpoints.latest(self._folder)
            notes = _size(self._folder / checkpoints.ALL)
            ends = dict(extents(self._folder))
            files = tuple((path, end, _size(path) - end) for path, end in ends.items())
            return _Frozen(head, self._stayed_sealed(head), latest, notes, files)

    def _stayed_sealed(self, head: Head | None) -> bool:
        """Whether a head says that the log ended, and still does now that its files were looked at."""
        with suppress(HeadAltered):
            return head is not None and head.sealed and heads.read(self._folder, self._key) == head
        return False

    def _read_head(self) -> Head | None:
        """The writers' own state, for who has their key."""
        if self._key is None:
            return None
        head = None
        try:
            head = heads.read(self._folder, self._key)
        except HeadAltered as fault:
            self._note(Status.TAMPERED, str(fault).partition(": ")[2], file=heads.HEAD)
        else:
            if head is None:
                self._note(Status.INCOMPLETE, "the writers' own state is not there", file=heads.HEAD)
        return head

    def _check_names(self, frozen: _Frozen, there: Sequence[Path]) -> None:
        self._segments = len(frozen.files)
        known = {path for path, _, _ in frozen.files}
        for number, (path, _, _) in enumerate(frozen.files):
            if int(path.stem) != number:
                self._note(Status.TAMPERED, "a segment is missing before this one", file=self._name(path))
                break
        for path in there:
            if path not in known:
                self._note(Status.TAMPERED, "no writer made this file", file=self._name(path))

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()

    def _begin_vouching(self, notes: Notes) -> Vouched | None:
        """What signs this log: the key from outside, else the folder's own."""
        try:
            self._vkey = self._vkey or checkpoints.vkey(self._folder)
        except NoteError as fault:
            self._note(Status.TAMPERED, fault.why, file=checkpoints.VKEY)
            return None
        if self._vkey is None:
            self._note(Status.UNCHECKABLE, "there is no key to check it with", file=checkpoints.VKEY)
            return None
        return Vouched(self._folder, self._vkey, iter(notes), self._marks(), self._tell)

    def _marks(self) -> dict[int, tuple[str, str]]:
        """States that the log must have gone through, apart from its checkpoints: size, root, and what to say."""
        marks: dict[int, tuple[str, str]] = {}
        if self._head is not None and self._head.records:
            marks[self._head.records] = self._head.root, "the log is not the one that its writers signed last"
        if self._known is not None:
            try:
                known = Checkpoint.parse(split(self._known)[0])
            except NoteError as fault:
                self._note(Status.UNCHECKABLE, f"the checkpoint kept from before: {fault.why}", file=".")
            else:
                marks[known.size] = known.root.hex(), "the log is not the one that was accepted before"
        return {size: mark for size, mark in marks.items() if size}

    def _tell(self, file: str, what: str) -> None:
        self._note(Status.TAMPERED, what, file=file or None)

    # -- 3: the lines ----------------------------------------------------------------------------

    def _segment(self, path: Path, size: int, after: int) -> None:
        self._file, self._line = self._name(path), 0
        lines, told, lost = Lines(path, 0, size), 0, False
        for line in lines:
            lost = b"\0" in line or (line == OVERLONG and lines.zeros)
            if lost:  # a page that a power loss took; what is signed beyond it will be missed
                break
            self._line += 1
            self._one(line)
            self._bytes += len(line) + 1
            if self._progress is not None and self._bytes - told >= PROGRESS_BYTES:
                told = self._bytes
                self._progress(self._bytes, self._total)
        if not lost and lines.whole + lines.torn < size:
            # Lines that never became durable are taken back; what is signed of them will be missed.
            self._note(Status.INCOMPLETE, "the file became shorter while it was read; verify it again")
        if lost or lines.torn:
            self._line += 1
            self._torn()
        elif after:
            self._note(Status.INCOMPLETE, "bytes after the end of an abandoned segment; a writer cuts them off")
        if self._progress is not None:
            self._progress(self._bytes, self._total)

    def _one(self, line: bytes) -> None:
        """One line: in form, in sequence, bound to the one before, and next of its writer."""
        leaf = link(line)
        entry = None
        try:
            entry = decode(line)
        except NotARecord as fault:
            self._note(Status.TAMPERED, f"not a record: {fault.why}")
        if entry is not None:
            if not self._seq:
                self._begin(entry)
            if entry.seq != self._seq:
                self._note(Status.TAMPERED, f"record {entry.seq} stands where record {self._seq} belongs")
            elif entry.prev != self._last:
                self._note(Status.TAMPERED, "does not follow from the line before; one of the two was changed")
            self._count(entry)
            self._mean(entry)
        self._seq, self._last = (self._seq if entry is None else entry.seq) + 1, leaf
        if self._vouched is not None:
            if entry is not None and self._last_kind in CLAIMING:
                self._vouched.claim(entry.checkpoints)
                self._vouched.announce(getattr(entry, "next", ""))
            self._vouched.add(bytes.fromhex(leaf))

    def _begin(self, entry: Any) -> None:
        """The first line says what log this is; the key has to be its own."""
        self._origin = getattr(entry, "origin", "")
        self._last = origin_link(self._origin)
        self._first_ts = entry.ts
        if kind_of(entry) != LogGenesis.kind():
            self._note(Status.TAMPERED, "the log does not begin with its genesis")
            return
        if self._vkey is not None and (self._origin, entry.key) != (self._vkey.name, str(self._vkey)):
            self._note(Status.TAMPERED, "the log belongs to another key")
        if self._vouched is not None:
            self._vouched.begin(entry.epoch_key)

    def _count(self, entry: Any) -> None:
        writer = entry.writer
        expected = self._writers.get(writer.id, 0)
        if writer.wseq != expected:
            self._note(Status.TAMPERED, f"its writer's record {writer.wseq} stands where {expected} belongs")
        self._writers[writer.id] = writer.wseq + 1

    def _mean(self, entry: Any) -> None:
        kind = kind_of(entry)
        self._last_ts, self._last_kind = entry.ts, kind
        for what in self._pulse.see(entry, kind):
            self._note(Status.TAMPERED if what == BACK else Status.INCOMPLETE, what)
        if kind in OPENING:
            self._open.add(entry.call)
        elif kind in CLOSING and closes(entry):
            self._open.discard(entry.call)
            self._orphaned += kind == CallOrphaned.kind()

    def _torn(self) -> None:
        """Bytes without a newline at the end: a writer was killed, or is writing."""
        status = Status.TAMPERED if self._ended else Status.INCOMPLETE
        self._note(status, "the last line is torn; a writer moves it aside when it next opens the log")

    # -- 5 and 6: the end ------------------------------------------------------------------------

    def _check_end(self, vouched: Vouched | None, notes: Notes, latest: bytes | None) -> None:
        self._line = 0
        if vouched is None:
            return
        self._file = SEGMENTS
        vouched.finish()
        for where, what in vouched.tiles:  # they are durable once the log is sealed, and made anew at its next start
            self._note(Status.TAMPERED if self._sealed() else Status.INCOMPLETE, what, file=where)
        if notes.torn:
            self._note(Status.INCOMPLETE, "the last checkpoint is torn", file=checkpoints.ALL)
        if not vouched.checkpoints and latest is None:
            self._note(Status.UNCHECKABLE, "there is no checkpoint: nothing here is signed", file=checkpoints.LATEST)
            return
        if latest != vouched.last:
            status = Status.INCOMPLETE if latest is None or latest in notes else Status.TAMPERED
            self._note(status, "it is not the last one of `checkpoints.log`", file=checkpoints.LATEST)
        if self._cosigner is not None and vouched.latest:
            self._check_cosigned(vouched.latest, self._cosigner)
        if vouched.count > vouched.latest_size:
            late = f"{vouched.count - vouched.latest_size} records are in no checkpoint yet"
            self._note(Status.INCOMPLETE, late, file=checkpoints.LATEST)
        if self._head is not None and self._ended and vouched.count > self._head.records:
            self._note(Status.TAMPERED, "there are lines after the sealed end", file=heads.HEAD)

    def _check_cosigned(self, note: bytes, key: CosignerKey) -> None:
        try:
            if not is_cosigned(note, key):
                self._note(
                    Status.TAMPERED, "the last good checkpoint is not cosigned with that key", file=checkpoints.ALL
                )
        except Unsupported as fault:
            self.cannot(str(fault).partition(": ")[2])

    def _sealed(self) -> bool:
        vouched = self._vouched
        return vouched is not None and vouched.covered == self._seq > 0 and self._last_kind == LogSealed.kind()

    def _check_meaning(self) -> None:
        if not self._sealed():
            what = "the log is not sealed: a writer is at work or ended without closing"
            self._note(Status.INCOMPLETE, what, file=SEGMENTS)
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


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
