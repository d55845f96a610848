"""Making lines of records: what a writer says of itself in each, and the receipt of each.

Invariants:
* Every line that one writer makes carries its id and the next number of its own count; a gap in it is tampering.
* A record that has no canonical form is left out of the lines, and stands in the results as what it is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import msgspec

from aigov.audit.canonical import Envelope, NotARecord, Writer, encode, timestamp
from aigov.audit.end import End
from aigov.audit.records import SCHEMA, Record, new_id


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
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
        results: list[Result] = []
        lines: list[bytes] = []
        wseq = self.wseq
        now, mono_us = timestamp(time.time_ns()), time.monotonic_ns() // 1000  # of the batch: it is one write
        for record in records:
            envelope = self._envelope(end, wseq, now, mono_us)
            try:
                line = encode(record, envelope)
            except NotARecord as fault:
                results.append(fault.with_traceback(None))
                continue
            end, wseq = end.after(line), wseq + 1
            lines += (line, b"\n")
            results.append(_receipt(record, envelope, end.last))
        return Composed(results, b"".join(lines), end, wseq)

    def _envelope(self, end: End, wseq: int, now: str, mono_us: int) -> Envelope:
        return Envelope(
            v=SCHEMA,
            seq=end.records,
            prev=end.last,
            id=new_id(),
            ts=now,
            mono_us=mono_us,
            boot=self.boot,
            writer=Writer(id=self.id, pid=self._pid, wseq=wseq, ver=self._version),
        )


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
