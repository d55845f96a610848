"""Making lines of records: what a writer says of itself in each, and the receipt of each.

Invariants:
* Every line that one writer makes carries its id and the next number of its own count; a gap in it is tampering.
* Times never go back from one line to the next, unless the line between them says that the clock was set.
* A writer that gave no sign of life for a while says so before anything else, by the clock as it was before it was set.
* A record that has no canonical form is left out of the lines, and stands in the results as what it is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from aigov.audit.canonical import Envelope, NotARecord, Writer, encode, link, micros, timestamp
from aigov.audit.end import End, Moment
from aigov.audit.records import SCHEMA, ClockStep, Record, SegmentAbandoned, WriterStart
from aigov.audit.values import new_ids

STEP_US = 1_000_000
ASLEEP_US = 90_000_000  # there is a sign of life each minute, and two minutes without one are silence (`pulse.py`)
APART_NS = 50_000_000


class Receipt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Proof that a record is durable. `digest`: the link of its line; `call`: "" where it is about none."""

    id: str
    kind: str
    call: str
    seq: int
    digest: str


Result = Receipt | NotARecord


class Composed(NamedTuple):
    """Lines that are ready to be appended: the bytes, where the log ends after them, and the count after them."""

    results: list[Result]
    data: bytes
    end: End
    wseq: int


class Composer:
    """One writer's name in its lines, and its count of them."""

    def __init__(self, writer: str) -> None:
        self.wseq = 0
        self.boot = _boot()
        self.id = writer
        self._pid = os.getpid()  # a forked child gets a composer of its own
        self._version = _version()

    def now(self) -> Moment:
        """Now, by both clocks."""
        return moment(self.boot)

    def compose(self, records: Sequence[Record], end: End, *, slept: bool = False) -> Composed:
        """The lines of `records` after `end`, each bound to the one before. Changes nothing.

        `slept`: this writer gave no sign of life for a while, and did not say so yet.
        """
        now = self.now()  # of the batch: it is one write
        step = stepped(end.at, now) if records else None
        slept = bool(records and end.records) and (slept or silence_us(end.at, now) > ASLEEP_US)
        if step is None and not slept:
            return self._lines(records, end, now, self.wseq)
        return self._said_first(records, end, now, step, slept)

    def _said_first(
        self, records: Sequence[Record], end: End, now: Moment, step: ClockStep | None, slept: bool
    ) -> Composed:
        """The lines of `records` after what has to be said of the time before them."""
        # A segment has to begin by saying that the one before was abandoned; that line takes the time before it.
        first = int(isinstance(records[0], SegmentAbandoned))
        starts = first + int(slept and isinstance(next(iter(records[first:]), None), WriterStart))
        before, unset = _before(end.at, now), now if step is None else _unset(end.at, now)
        own: list[Record] = [WriterStart()] if slept and starts == first else []
        parts = [self._lines(records[:first], end, before, self.wseq)]
        for more, at in (
            (records[first:starts], unset),
            (own, unset),
            ([step] if step is not None else [], now),
            (records[starts:], now),
        ):
            parts.append(self._lines(more, parts[-1].end, at, parts[-1].wseq))
        results = [result for part in (parts[0], parts[1], parts[4]) for result in part.results]
        return Composed(results, b"".join(part.data for part in parts), parts[4].end, parts[4].wseq)

    def _lines(self, records: Sequence[Record], end: End, now: Moment, wseq: int) -> Composed:
        results: list[Result] = []
        lines: list[bytes] = []
        ts, seq, last = timestamp(now.wall_us * 1000), end.records, end.last
        for record, identity in zip(records, new_ids(len(records)), strict=True):
            envelope = self._envelope(seq, last, wseq, identity, ts, now.mono_us)
            try:
                line = encode(record, envelope)
            except NotARecord as fault:
                results.append(fault.with_traceback(None))
                continue
            seq, last, wseq = seq + 1, link(line), wseq + 1
            lines += (line, b"\n")
            results.append(_receipt(record, envelope, last))
        data = b"".join(lines)
        at_last = now if lines else end.at
        end = End(seq, end.segment, end.offset + len(data), last, end.bytes + len(data), at_last)
        return Composed(results, data, end, wseq)

    def _envelope(self, seq: int, prev: str, wseq: int, identity: str, ts: str, mono_us: int) -> Envelope:
        return Envelope(
            v=SCHEMA,
            seq=seq,
            prev=prev,
            id=identity,
            ts=ts,
            mono_us=mono_us,
            boot=self.boot,
            writer=Writer(id=self.id, pid=self._pid, wseq=wseq, ver=self._version),
        )


def moment(boot: str) -> Moment:
    """Now, by both clocks. They are read again where something came between them, which would look like a step."""
    while True:
        before, wall, after = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        if after - before < APART_NS:
            return Moment(wall // 1000, after // 1000, boot)


def stepped(before: Moment | None, now: Moment) -> ClockStep | None:
    """What has to be said where the wall clock was set between two moments."""
    if before is None:
        return None
    step_us = now.wall_us - before.wall_us
    goes_back = step_us < 0
    if before.boot == now.boot and now.mono_us >= before.mono_us:
        step_us -= now.mono_us - before.mono_us
    elif not goes_back:
        return None
    return ClockStep(step_us=abs(step_us), back=step_us < 0) if goes_back or abs(step_us) >= STEP_US else None


def _before(last: Moment | None, now: Moment) -> Moment:
    """The moment of the last line, as far as this start of the machine knows it."""
    if last is None:
        return now
    return last if last.boot == now.boot else now._replace(wall_us=last.wall_us)


def _unset(last: Moment | None, now: Moment) -> Moment:
    """Now, by the wall clock as it was before it was set."""
    return now if last is None else now._replace(wall_us=last.wall_us + silence_us(last, now))


def silence_us(before: Moment | None, now: Moment) -> int:
    """How long ago a moment of the same start of the machine was, by the monotonic clock; 0 for any other."""
    return max(0, now.mono_us - before.mono_us) if before is not None and before.boot == now.boot else 0


def moment_of(entry: Any) -> Moment:
    """When a line was made, by what it says."""
    return Moment(micros(entry.ts), entry.mono_us, entry.boot)


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
    except (metadata.PackageNotFoundError, OSError):
        return ""
