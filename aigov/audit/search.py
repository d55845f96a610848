"""Finding records: what is asked, through the index or without it, and what a log as a whole shows.

Invariants:
* Whatever is shown was read from the log itself, strictly, and matched again; the index only says where to look.
* Without an index (`scan`, or a folder beside which none can be written) the answer is the same, later.
* A record that is singled out and cannot be read is counted (`Answer.missed`), never called unknown.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from aigov.audit import reader
from aigov.audit.canonical import NotARecord
from aigov.audit.index import Index, Progress
from aigov.audit.reader import segments
from aigov.audit.terms import FIELDS, OPENING, Calls, Words, glimpsed, idents, instant

COUNTED: Final = ("kind", "verdict", "outcome", "reason", "entity", "action", "role", "tenant", "policy", "plugin")
MOST: Final = 10


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for; everything that is given has to hold.

    `where`: a field (one of `terms.FIELDS`) and values of which one has to occur; a value that ends in `*`
    stands for all that begin so. `about`: an id, call or ticket. `since` and `until`: microseconds since 1970
    UTC, the second exclusive. Raises ValueError for a field that there is not.
    """

    where: tuple[tuple[str, tuple[str, ...]], ...] = ()
    about: str = ""
    since: int | None = None
    until: int | None = None

    def __post_init__(self) -> None:
        unknown = [field for field, _ in self.where if field not in FIELDS]
        if unknown:
            raise ValueError(f"there is no field `{unknown[0]}`; fields are {', '.join(FIELDS)}")

    def matches(self, record: Mapping[str, Any], calls: Calls) -> bool:
        """Whether a record is looked for; `calls` knows the words that it takes over."""
        seen = glimpsed(record)
        own = calls.words(seen)
        if self.about and self.about not in idents(seen):
            return False
        when = instant(seen.ts)
        if (self.since is not None and when < self.since) or (self.until is not None and when >= self.until):
            return False
        return all(any(_carries(own, field, value) for value in values) for field, values in self.where)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What was found: `records`, oldest first, and how many there are in all.

    `indexed`: whether an index was used. `missed`: hits of the index that the log does not bear out, as no record is
    there that can be read.
    """

    records: tuple[Mapping[str, Any], ...]
    total: int
    indexed: bool = True
    missed: int = 0


def search(
    folder: Path,
    query: Query,
    *,
    limit: int = 100,
    index: Path | None = None,
    scan: bool = False,
    progress: Progress | None = None,
) -> Answer:
    """The newest `limit` records that `query` asks for. Raises NotARecord (a line that is none), OSError.

    `index`: where the index lies, if not beside the folder. `scan`: read the log instead of asking the index.
    """
    with _index(folder, index, scan=scan, progress=progress) as opened:
        if opened is not None:
            return _indexed(opened, query, limit)
    kept: deque[Mapping[str, Any]] = deque(maxlen=limit)
    total = 0
    for record in scanned(folder, query, progress):
        kept.append(record)
        total += 1
    return Answer(records=tuple(kept), total=total, indexed=False)


def each(folder: Path, query: Query, *, index: Path | None = None) -> Iterator[Mapping[str, Any]]:
    """Every record that `query` asks for, oldest first, without holding them all. Raises as `search`."""
    with _index(folder, index) as opened:
        if opened is None:
            yield from scanned(folder, query)
            return
        calls = Calls(opened.opened)
        hits = iter(opened.named(query.about)) if query.about else _places(opened, query).oldest()
        for position in hits:
            for record in opened.read([position]):
                if query.matches(record, calls):
                    yield record


def scanned(
    folder: Path, query: Query, progress: Progress | None = None, calls: Calls | None = None
) -> Iterator[Mapping[str, Any]]:
    """Every record that `query` asks for, oldest first, read from the log alone. `calls` learns of them."""
    calls = calls or _calls(folder)
    for record in reader.records(folder, progress):
        if query.matches(record, calls):
            yield record


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """A log, or the part of it that was asked for, in numbers.

    `counts`: for each field its values with the number of records, most first, at most ten; `others`: how many
    values more a field has; `people`: how many pseudonyms occur.
    """

    records: int
    people: int
    counts: Mapping[str, Mapping[str, int]]
    others: Mapping[str, int]
    segments: int
    bytes: int
    first_ts: str = ""
    last_ts: str = ""


def stats(
    folder: Path, query: Query | None = None, *, index: Path | None = None, progress: Progress | None = None
) -> Stats:
    """How many records there are, of what. Raises NotARecord, OSError."""
    with _index(folder, index, progress=progress) as opened:
        if opened is None:
            tally = _read(folder, query or Query(), progress)
        else:
            tally = _looked_up(opened, query)
    paths = segments(folder)
    return Stats(
        records=tally.records,
        people=tally.people,
        counts={field: dict(list(values.items())[:MOST]) for field, values in tally.counts.items() if values},
        others={field: len(values) - MOST for field, values in tally.counts.items() if len(values) > MOST},
        segments=len(paths),
        bytes=sum(path.stat().st_size for path in paths),
        first_ts=tally.first_ts,
        last_ts=tally.last_ts,
    )


class _Tally(NamedTuple):
    """What of `Stats` depends on the records. `counts`: all values of a field, most first."""

    records: int
    people: int
    counts: Mapping[str, Mapping[str, int]]
    first_ts: str
    last_ts: str


def _looked_up(opened: Index, query: Query | None) -> _Tally:
    found = _places(opened, query or Query())
    first, last = (next(opened.read([at]), {}) for at in _ends(found)) if found.bits else ({}, {})
    people = opened.distinct("person") if query is None else len(opened.values("person", found))
    counts = {field: opened.values(field, found) for field in COUNTED}
    return _Tally(len(found), people, counts, str(first.get("ts", "")), str(last.get("ts", "")))


def _read(folder: Path, query: Query, progress: Progress | None) -> _Tally:
    calls, seen, first, last = _calls(folder), Counter[tuple[str, str]](), "", ""
    records = 0
    for record in scanned(folder, query, progress, calls):
        records, first, last = records + 1, first or str(record["ts"]), str(record["ts"])
        seen.update(calls.words(glimpsed(record)))
    most = sorted(seen.items(), key=lambda item: (-item[1], item[0]))
    counts = {field: {value: count for (name, value), count in most if name == field} for field in COUNTED}
    return _Tally(records, sum(name == "person" for name, _ in seen), counts, first, last)


def _calls(folder: Path) -> Calls:
    """What a reading from the first record on remembers of calls; what it forgot is looked for in the log."""

    def opening(call: str) -> Mapping[str, Any] | None:
        found = reader.find(folder, call)
        return next((one for one in found if one.get("call") == call and one["kind"] in OPENING), None)

    return Calls(opening, complete=True)


@contextmanager
def _index(
    folder: Path, path: Path | None, *, scan: bool = False, progress: Progress | None = None
) -> Iterator[Index | None]:
    """The index, up to date; None where none is wanted, or none can be used beside the folder. Raises OSError."""
    with Index(folder, path) as opened:
        usable: Index | None = None if scan else opened
        try:
            if not scan:
                opened.refresh(progress)
        except OSError:  # if it is the log that cannot be read, whoever reads it says so
            if path is not None:
                raise
            usable = None
        yield usable


def _indexed(opened: Index, query: Query, limit: int) -> Answer:
    calls = Calls(opened.opened)
    if query.about:
        hits = list(_readable(opened, iter(opened.named(query.about))))
        found = [record for record in hits if record is not None and query.matches(record, calls)]
        return Answer(records=tuple(found[-limit:] if limit else ()), total=len(found), missed=hits.count(None))
    places = _places(opened, query)
    found, missed = [], 0
    for record in _readable(opened, places.newest()):
        if len(found) >= limit:
            break
        if record is None or not query.matches(record, calls):
            missed += 1
        else:
            found.append(record)
    return Answer(records=tuple(reversed(found)), total=len(places) - missed, missed=missed)


def _readable(opened: Index, positions: Iterator[int]) -> Iterator[Mapping[str, Any] | None]:
    """The records at positions; None for a line that is no record, which `verify` names."""
    for position in positions:
        record: Mapping[str, Any] | None = None
        with suppress(NotARecord):
            (record,) = opened.read([position])
        yield record


def _places(opened: Index, query: Query) -> Any:
    return opened.places(query.where, query.since, query.until)


def _ends(found: Any) -> tuple[int, int]:
    return next(found.oldest()), next(found.newest())


def _carries(own: Words, field: str, wanted: str) -> bool:
    if not wanted.endswith("*"):
        return (field, wanted) in own
    return any(name == field and value.startswith(wanted[:-1]) for name, value in own)
