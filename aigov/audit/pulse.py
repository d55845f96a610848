"""Whether the log's own signs of life add up: clocks that do not go back unsaid, and writers that were never silent.

A writer at work records something at least each minute (`heartbeat`). More than two minutes without any record are
explained where nobody was at work, or where each writer that was says how it began again (`writer.start`), or is
found dead by another. Time is taken from the monotonic clock, so a machine that slept was not silent; and no writer
outlives the boot that its clock counts from.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aigov.audit.records import ClockStep, LogSealed, WriterStart, WriterStop

SILENCE_US = 120_000_000
START, STOP, SEALED, STEP = (kind.kind() for kind in (WriterStart, WriterStop, LogSealed, ClockStep))
BACK = "the clock goes back, and no record says so"
SILENT = "a writer was at work, and for more than two minutes nothing was recorded"


class Pulse:
    """Follows the records of a log in order."""

    def __init__(self) -> None:
        self._ts, self._mono_us, self._boot = "", 0, ""
        self._at_work: set[str] = set()
        self._owing: set[str] = set()

    def see(self, entry: Any, kind: str) -> Iterator[str]:
        """What does not add up at this record: `BACK`, `SILENT`."""
        if entry.ts < self._ts and kind != STEP:
            yield BACK
        starts = kind == START
        if starts:
            self._at_work.difference_update(entry.dead)
            self._owing.difference_update(entry.dead)
        if entry.boot != self._boot or entry.mono_us - self._mono_us > SILENCE_US:
            self._owing |= self._at_work
        if self._owing and entry.writer.id in self._owing:
            self._owing.discard(entry.writer.id)
            if not starts:
                yield SILENT
        if kind == SEALED:
            self._at_work.clear()
        elif kind == STOP:
            self._at_work.discard(entry.writer.id)
        elif starts:
            self._at_work.add(entry.writer.id)
        self._ts, self._mono_us, self._boot = entry.ts, entry.mono_us, entry.boot
