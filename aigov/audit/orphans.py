"""What writers leave: the names of the dead, and calls that were begun and never ended.

Invariants:
* A call counts as ended by any later outcome, whoever wrote it: a review may be resumed in another process.
* Only writers that are known to be dead, or that close, are asked about; a living one may still end its calls.
* Finding open calls takes no lock; who records them asks once more what was written meanwhile, under the append lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from aigov.audit.canonical import NotARecord, decode
from aigov.audit.end import End
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


def orphans(
    folder: Path, writers: frozenset[str], first: int = 0, why: Literal["crashed", "closed"] = "crashed"
) -> list[CallOrphaned]:
    """A record for each call that one of `writers` left open in segment `first` or later. Raises OSError."""
    opened: dict[str, str] = {}
    for entry in _entries(folder, (first, 0), [writer.encode() for writer in writers]):
        if entry.writer.id in writers and kind_of(entry) in OPENING:
            opened.setdefault(entry.call, entry.writer.id)
    for call in _ended(folder, (first, 0)) if opened else ():
        opened.pop(call, None)
    return [CallOrphaned(call=call, left_by=writer, why=why) for call, writer in opened.items()]


def unended(folder: Path, found: Sequence[CallOrphaned], since: End) -> list[CallOrphaned]:
    """Those of `found` whose call nobody ended after the log ended at `since`. Raises OSError."""
    ended = set(_ended(folder, (since.segment, since.offset)))
    return [one for one in found if one.call not in ended]


def starts(torn: Sequence[WriterStart], dead: Iterable[str]) -> list[WriterStart]:
    """What a start has to say: what was `torn`, and the names of the dead, in as many records as these need."""
    names = sorted(dead)
    first, *more = (tuple(names[at : at + DEAD_IN_ONE]) for at in range(0, max(1, len(names)), DEAD_IN_ONE))
    told = msgspec.structs.replace(next(iter(torn), WriterStart()), crashed=len(first), dead=first)
    return [told, *torn[1:], *(WriterStart(crashed=len(part), dead=part) for part in more)]


def closes(entry: Any) -> bool:
    """Whether a decoded line ends its call. One that withdraws an opening or an outcome leaves it as it was."""
    kind = kind_of(entry)
    return kind in CLOSING and (kind != CallWithdrawn.kind() or entry.of == CallIntent.kind())


def kind_of(entry: Any) -> str:
    """The kind of a decoded line."""
    return str(entry.kind)


def _ended(folder: Path, since: tuple[int, int]) -> Iterator[str]:
    """The calls that lines after a place (segment, byte) end."""
    for entry in _entries(folder, since, [kind.encode() for kind in CLOSING]):
        if closes(entry):
            yield entry.call


def _entries(folder: Path, since: tuple[int, int], needles: Iterable[bytes]) -> Iterator[Any]:
    """The decoded lines after a place that contain one of `needles`. What is no record is for `verify` to name."""
    wanted, (first, offset) = tuple(needles), since
    for path, end in extents(folder, first):
        for line in Lines(path, offset if int(path.stem) == first else 0, end):
            if any(needle in line for needle in wanted):
                try:
                    yield decode(line)
                except NotARecord:
                    continue
