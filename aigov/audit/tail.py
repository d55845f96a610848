"""The end of a log as one writer knows it: found when the log is opened, and followed while others write too.

Invariants:
* Lines are followed from the last signed state on; what does not follow from it is not continued.
* A log that became shorter is not continued, unless the next segment says that a sync failed; and never shorter than
  what this writer was told is durable.
* A writer's own count goes back with its lines: a number that is missing would be tampering.
"""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

from aigov.audit.canonical import NotARecord, decode, link
from aigov.audit.composing import ASLEEP_US, Composed, Composer, moment_of, silence_us
from aigov.audit.disk import reason
from aigov.audit.end import Damaged, End, Moment
from aigov.audit.head import Head
from aigov.audit.reader import Lines, abandoned, extents, segment_path
from aigov.audit.records import MAX_BYTES, Record, SegmentAbandoned, WriterStart
from aigov.audit.segments import Segments
from aigov.audit.synced import Mark, Synced

LOOK_BACK = 64 * 1024


class Tail:
    """Where the next line goes. Everything here happens under the log's append lock."""

    def __init__(self, folder: Path, segments: Segments, synced: Synced, composer: Composer) -> None:
        self._folder = folder
        self._segments = segments
        self._synced = synced
        self._composer = composer
        self._base: End | None = None
        self._unsure: list[tuple[int, int, int]] = []
        self._sure = (0, 0)
        self._grew_at = composer.now()
        self.end = End(0, 0, 0, "", 0)
        self.slept = False  # nobody gave a sign of life that this writer saw, and it did not say so yet

    @property
    def idle_us(self) -> int:
        """Microseconds since the last record that is known was made."""
        return silence_us(self._grew_at, self._composer.now())

    # -- opening ---------------------------------------------------------------------------------

    def walk(self, head: Head) -> list[WriterStart]:
        """Follow the lines from the head to the end of the log, and move aside what a crash tore.

        Behind a torn segment there may be one without a line, whose first sync failed as well. Raises Damaged, OSError.
        """
        found = extents(self._folder, head.segment)
        if not found and not head.records:
            self._segments.hold(0, os.O_CREAT)
            found = extents(self._folder, 0)
        if [int(path.stem) for path, _ in found] != list(range(head.segment, head.segment + len(found))) or not found:
            raise Damaged("a segment is missing; run `aigov audit verify`")
        failed = self._synced.failed()
        if failed is not None and not begun(self._folder, failed.segment + 1):
            found = [(path, size) for path, size in found if int(path.stem) <= failed.segment]
        self._segments.hold(head.segment)
        self._count_back(self._taken_back())
        self.end = End(head.records, head.segment, head.offset, head.last, head.bytes, self._signed_at(head))
        self._base = None if head.offset else self.end
        self._sure = max(self._sure, (head.segment, head.offset))
        if found[0][1] < head.offset or (head.records and head.offset and not self._ends_as(head)):
            raise Damaged("the log does not end as it was signed; run `aigov audit verify`")
        torn: list[WriterStart] = []
        left = [path for path, _ in found if begun(self._folder, int(path.stem))]
        for path, size in found:
            left = [other for other in left if other > path]
            if int(path.stem) != self.end.segment:
                self._move(int(path.stem))
            self._follow(path, size)
            if self.end.offset < size and left:
                raise Damaged("a line is not the record that belongs there; run `aigov audit verify`")
            if self._segments.size() > self.end.offset and not left:
                torn.append(self._segments.set_aside(self.end.offset))
        return torn

    def _signed_at(self, head: Head) -> Moment | None:
        """When the last record before the head's place was made."""
        with suppress(Damaged, FileNotFoundError, LookupError, ValueError):  # then a step of the clock goes unseen
            if head.offset:
                return moment_of(_entry(self._segments.line_before(head.offset)))
            if head.records:
                (before, size), *_ = extents(self._folder, head.segment - 1)
                return moment_of(_entry(deque(Lines(before, max(0, size - LOOK_BACK), size), maxlen=1)[0]))
        return None

    def _ends_as(self, head: Head) -> bool:
        """Whether the line that ends at the head's place is the one that was signed last."""
        with suppress(Damaged):
            return link(self._segments.line_before(head.offset)) == head.last
        return False

    def _follow(self, path: Path, size: int) -> None:
        for line in Lines(path, self.end.offset, size):
            if not self._follows(line):
                break

    def _follows(self, line: bytes) -> bool:
        """Move the end past a line, if it is the next record."""
        try:
            entry = decode(line)
        except NotARecord:
            return False
        if (entry.seq, entry.prev) != (self.end.records, self.end.last):
            return False
        self.end = self.end.after(line, moment_of(entry))
        if entry.writer.id == self._composer.id:
            self._composer.wseq = entry.writer.wseq + 1
        return True

    def _move(self, number: int, create: bool = False) -> None:
        """Go on in the next segment."""
        if create:
            self._segments.next()
        else:
            self._segments.hold(number)
        self.end = self._base = self.end.begun(number)

    # -- while others write ----------------------------------------------------------------------

    def catch_up(self) -> list[Record]:
        """Take note of what other processes appended. Returns what the log has to be told about it."""
        self._segments.check_in_place()
        self.slept = self.slept or self.idle_us > ASLEEP_US
        failed = self._synced.failed(self.end.segment)
        while self._segments.has_next() and (failed is None or begun(self._folder, self.end.segment + 1)):
            self._pass_on()
            failed = self._synced.failed(self.end.segment)
        if failed is not None:
            return self._abandon(failed)
        return self.set_aside_torn()

    def set_aside_torn(self) -> list[Record]:
        """Take note of what follows in this segment, and move aside what is torn."""
        return [self._segments.set_aside(self.end.offset)] if self._take_note(self._segments.size()) else []

    def _pass_on(self) -> None:
        """Take note of the rest of this segment, which is complete or abandoned, and go on in the next."""
        number = self.end.segment
        left = abandoned(segment_path(self._folder, number + 1), number)
        self._settle(self._segments.size() if left is None else left, abandoned=left is not None)
        self._move(number + 1)

    def _settle(self, offset: int, *, abandoned: bool) -> None:
        """Let this segment end at a byte, before or after the one that is known."""
        if abandoned:
            self._go_back(offset)
        if self._take_note(offset):
            raise Damaged("a torn line in the middle of the log; run `aigov audit verify`")

    def _abandon(self, failed: Mark) -> list[Record]:
        """Leave a segment in which a sync failed, at what is durable of it. What was never there at all begins anew."""
        self._settle(failed.offset, abandoned=True)
        if not self.end.records:
            self._segments.empty()
            self._synced.begin_anew(failed.segment)
            return []
        self._segments.cut(failed.offset)
        self._move(failed.segment + 1, create=True)
        left = SegmentAbandoned(segment=failed.segment, bytes=failed.offset, error=reason(OSError(failed.error, "")))
        return [left, *self.set_aside_torn()]

    def _take_note(self, size: int) -> int:
        """Move the end past what was appended up to byte `size`; returns how many bytes are torn."""
        if size == self.end.offset:
            return 0
        if size < self.end.offset:
            raise Damaged("the log was shortened while it was open")
        start = max(self.end.offset, size - LOOK_BACK)
        block = os.pread(self._segments.handle, size - start, start)
        whole, newline, torn = block.rpartition(b"\n")
        if newline:
            self.end = self._end_after(whole.rpartition(b"\n")[2], size - len(torn))
            self._grew()
        elif start > self.end.offset:
            raise Damaged("a line over the limit")
        return len(torn)

    def _end_after(self, line: bytes, size: int) -> End:
        entry: Any = None
        with suppress(NotARecord):
            entry = decode(line)
        if entry is None or entry.seq < self.end.records:
            raise Damaged("the last line is not the record that belongs there; run `aigov audit verify`")
        end = self.end
        at = moment_of(entry)
        return End(entry.seq + 1, end.segment, size, link(line), end.bytes + size - end.offset, at)

    # -- what this writer wrote ------------------------------------------------------------------

    def wrote(self, batch: Composed) -> None:
        """Lines of this writer stand in the file. They may still be lost."""
        self._unsure.append((batch.end.segment, batch.end.offset, self._composer.wseq))
        self.end, self._composer.wseq = batch.end, batch.wseq
        self._grew()

    def left(self, batch: Composed) -> None:
        """Count lines of a batch that could be neither written to the end nor cut off again: they stand in the file."""
        there = batch.data[: max(0, self._segments.size() - self.end.offset)]
        count = there.count(b"\n")
        if count:
            whole = self.end.offset + there.rindex(b"\n") + 1
            self._unsure.append((self.end.segment, whole, self._composer.wseq))
            self._composer.wseq += count

    def _grew(self) -> None:
        """The last record is as old as it says, not as old as it is known."""
        at = self.end.at
        self._grew_at = at if at is not None and at.boot == self._composer.boot else self._composer.now()

    def durable(self, segment: int, offset: int) -> None:
        """Everything up to there is durable."""
        self._sure = max(self._sure, (segment, offset))
        left = [batch for batch in self._unsure if batch[:2] > (segment, offset)]
        self.slept = self.slept and len(left) == len(self._unsure)  # what was written began by saying so
        self._unsure = left

    def rotate(self) -> None:
        """Go on in a new segment; everything in this one is durable. Raises OSError."""
        self._move(self.end.segment + 1, create=True)

    def _go_back(self, offset: int) -> None:
        """Let the log end at an earlier byte of this segment: what followed was never durable, and nobody was told."""
        here = (self.end.segment, offset)
        if here < self._sure:
            raise Damaged("records that are durable are said not to be; run `aigov audit verify`")
        self._count_back([batch for batch in self._unsure if batch[:2] > here])
        if offset >= self.end.offset:
            return
        if offset:
            line, behind = self._segments.line_before(offset), self.end.bytes - self.end.offset
            entry = _entry(line)
            at = moment_of(entry)
            self.end = End(entry.seq + 1, self.end.segment, offset, link(line), behind + offset, at)
        elif self._base is not None:
            self.end = self._base
        else:
            raise Damaged("records that are durable are said not to be; run `aigov audit verify`")

    def _taken_back(self) -> list[tuple[int, int, int]]:
        """What this writer wrote and others took back while it did not look."""
        first = min((segment for segment, _, _ in self._unsure), default=None)
        ends = {} if first is None else {int(path.stem): end for path, end in extents(self._folder, first)}
        return [batch for batch in self._unsure if batch[1] > ends.get(batch[0], 0)]

    def _count_back(self, lost: list[tuple[int, int, int]]) -> None:
        """Let this writer's own count go on from the first of its batches that were lost."""
        self._composer.wseq = min([self._composer.wseq, *(count for _, _, count in lost)])
        self._unsure = [batch for batch in self._unsure if batch not in lost]


def begun(folder: Path, number: int) -> bool:
    """Whether a segment is there and has a whole line: a crash may leave it with none, a power loss with zeros."""
    path = segment_path(folder, number)
    return path.exists() and b"\0" not in next(iter(Lines(path, 0, MAX_BYTES + 1)), b"\0")


def _entry(line: bytes) -> Any:
    """The record of a line. Raises Damaged where it is none."""
    with suppress(NotARecord):
        return decode(line)
    raise Damaged("a line is not the record that belongs there; run `aigov audit verify`")
