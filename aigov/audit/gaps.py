"""What a log does not tell, or tells with a hole in it: calls without an end, silence, crashes, a clock set back.

Verification (`verify.py`) says whether the log is as it was written. This says what was not written, and
where; an honest log may have gaps. One reading of the log, oldest record first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from aigov.audit import reader
from aigov.audit.terms import instant

SILENCE_S: Final = 150  # two heartbeats and a half
OPENING: Final = frozenset({"call.intent", "stream.opened"})
CLOSING: Final = frozenset({"call.outcome", "call.orphaned"})


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """One hole. `what`: `number`, `writer`, `orphan`, `withdrawn`, `open`, `silence`, `clock`, `torn`, `crash`,
    `unrecorded` or `sink`; `seq` and `ts`: the record where it shows; `detail`: numbers and ids, nothing of what a call
    said."""

    what: str
    seq: int
    ts: str
    detail: str = ""


def gaps(
    folder: Path, *, silence_s: int = SILENCE_S, progress: Callable[[int, int], None] | None = None
) -> Iterator[Gap]:
    """Every gap of a log, in order; calls that are open at its end come last. Raises NotARecord, OSError.

    `silence_s`: seconds without a record after which a log that keeps heartbeats counts as silent.
    """
    watch = _Watch(silence_s)
    for record in reader.records(folder, progress):
        yield from watch.see(record)
    yield from watch.end()


class _Watch:
    """What the records so far lead one to expect of the next."""

    def __init__(self, silence_s: int) -> None:
        self._silence_us = silence_s * 1_000_000
        self._seq, self._at, self._kind = -1, 0, ""
        self._writers: dict[str, int] = {}
        self._open: dict[str, tuple[int, str]] = {}
        self._beats = False

    def see(self, record: Mapping[str, Any]) -> Iterator[Gap]:
        """The gaps that show at this record."""
        seq, ts, kind = int(record["seq"]), str(record["ts"]), str(record["kind"])
        at = instant(ts)
        found = (*self._numbers(record, seq), *self._times(kind, at), *_told(record))
        yield from (Gap(what=what, seq=seq, ts=ts, detail=detail) for what, detail in found)
        call = record.get("call")
        if kind in OPENING and call:
            self._open.setdefault(call, (seq, ts))
        elif call and (kind in CLOSING or (kind == "call.withdrawn" and record["of"] == "call.intent")):
            self._open.pop(call, None)
        self._beats = self._beats or kind == "heartbeat"
        self._seq, self._at, self._kind = seq, at, kind

    def end(self) -> Iterator[Gap]:
        """The calls that have no end yet, or never will."""
        for call, (seq, ts) in self._open.items():
            yield Gap(what="open", seq=seq, ts=ts, detail=f"call {call} has no outcome")

    def _numbers(self, record: Mapping[str, Any], seq: int) -> Iterable[tuple[str, str]]:
        writer = record["writer"]
        expected = self._writers.get(writer["id"], 0)
        self._writers[writer["id"]] = writer["wseq"] + 1
        if seq != self._seq + 1:
            yield "number", f"record {seq} follows record {self._seq}"
        if writer["wseq"] != expected:
            yield "writer", f"writer {writer['id']} went from {expected - 1} to {writer['wseq']}"

    def _times(self, kind: str, at: int) -> Iterable[tuple[str, str]]:
        passed = at - self._at
        if self._seq >= 0 and passed < 0 and kind != "clock.step":
            yield "clock", f"{-passed / 1e6:.1f} s before the record before it"
        if self._beats and self._kind != "log.sealed" and passed > self._silence_us:
            yield "silence", f"{passed / 1e6:.0f} s without a record"


def _told(record: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """The holes that the log itself tells of."""
    kind = record["kind"]
    if kind == "call.orphaned":
        yield "orphan", f"call {record['call']} was left by a writer that {record['why']}"
    elif kind == "call.withdrawn":
        yield "withdrawn", f"{record['of']} of call {record['call']} came too late for whoever waited"
    elif kind == "clock.step":
        yield "clock", f"set {'back' if record['back'] else 'forward'} by {record['step_us'] / 1e6:.1f} s"
    elif kind == "writer.start":
        if record["crashed"]:
            yield "crash", f"{record['crashed']} writers had ended without closing"
        if record["torn_bytes"]:
            yield "torn", f"{record['torn_bytes']} bytes were moved to quarantine/{record['quarantine']}"
    elif kind == "gap":
        yield "unrecorded", f"{record['count']} records are missing from {record['first_ts']} to {record['last_ts']}"
    elif kind in ("sink.degraded", "segment.abandoned"):
        yield "sink", f"{kind} {record.get('error', '')}".strip()
