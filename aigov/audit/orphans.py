"""What dead writers leave: their names, and calls that were begun and never ended.

Invariants:
* A call counts as ended by any later outcome, whoever wrote it: a review may be resumed in another process.
* Only writers that are known to be dead are asked about; a living one may still end its calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from aigov.audit.canonical import NotARecord, decode
from aigov.audit.reader import Lines, extents
from aigov.audit.records import (
    MAX_ENTRIES,
    CallIntent,
    CallOrphaned,
    CallOutcome,
    CallWithdrawn,
    StreamOpened,
    WriterStart,
)

DEAD_IN_ONE = MAX_ENTRIES["dead"]
OPENING = frozenset({CallIntent.kind(), StreamOpened.kind()})
CLOSING = frozenset({CallOutcome.kind(), CallOrphaned.kind(), CallWithdrawn.kind()})


def orphans(folder: Path, writers: frozenset[str], first: int = 0) -> list[CallOrphaned]:
    """A record for each call that one of `writers` left open in segment `first` or later. Raises OSError."""
    opened: dict[str, str] = {}
    for entry in _entries(folder, first, [writer.encode() for writer in writers]):
        if entry.writer.id in writers and kind_of(entry) in OPENING:
            opened.setdefault(entry.call, entry.writer.id)
    for entry in _entries(folder, first, [kind.encode() for kind in CLOSING]) if opened else ():
        if closes(entry):
            opened.pop(entry.call, None)
    return [CallOrphaned(call=call, left_by=writer, why="crashed") for call, writer in opened.items()]


def starts(torn: WriterStart, dead: Iterable[str]) -> list[WriterStart]:
    """What a start has to say, in as many records as the names of the dead need; `torn` is the first of them."""
    names = sorted(dead)
    first, *more = (tuple(names[at : at + DEAD_IN_ONE]) for at in range(0, max(1, len(names)), DEAD_IN_ONE))
    told = msgspec.structs.replace(torn, crashed=len(first), dead=first)
    return [told, *(WriterStart(crashed=len(part), dead=part) for part in more)]


def closes(entry: Any) -> bool:
    """Whether a decoded line ends its call. One that withdraws an opening or an outcome leaves it as it was."""
    kind = kind_of(entry)
    return kind in CLOSING and (kind != CallWithdrawn.kind() or entry.of == CallIntent.kind())


def kind_of(entry: Any) -> str:
    """The kind of a decoded line."""
    return str(entry.kind)


def _entries(folder: Path, first: int, needles: Iterable[bytes]) -> Iterator[Any]:
    """The decoded lines that contain one of `needles`. What is no record is for `verify` to name."""
    wanted = tuple(needles)
    for path, end in extents(folder, first):
        for line in Lines(path, 0, end):
            if any(needle in line for needle in wanted):
                try:
                    yield decode(line)
                except NotARecord:
                    continue
