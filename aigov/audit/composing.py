"""Making lines of records: what a writer says of itself in each, and the receipt of each.

Invariants:
* Every line that one writer makes carries its id and the next number of its own count; a gap in it is tampering.
* Times never go back from one line to the next, unless the line between them says that the clock was set.
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
from aigov.audit.records import SCHEMA, ClockStep, Record, SegmentAbandoned
from aigov.audit.values import new_ids

STEP_US = 1_000_000
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

    def compose(self, records: Sequence[Record], end: End) -> Composed:
        """The lines of `records` after `end`, each bound to the one before. Changes nothing."""
        now = moment(self.boot)  # of the batch: it is one write
        step = stepped(end.at, now) if records else None
        if step is None:
            return self._lines(records, end, now, self.wseq)
        # A segment has to begin by saying that the one before was abandoned; that line takes the time before it.
        first = int(isinstance(records[0], SegmentAbandoned))
        before = now._replace(wall_us=end.at.wall_us) if end.at is not None else now
        parts = [self._lines(records[:first], end, before, self.wseq)]
        for more in ([step], records[first:]):
            parts.append(self._lines(more, parts[-1].end, now, parts[-1].wseq))
        results = [*parts[0].results, *parts[2].results]
        return Composed(results, b"".join(part.data for part in parts), parts[2].end, parts[2].wseq)

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
