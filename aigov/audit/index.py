"""An index beside a log, so that a million records answer in milliseconds. It may be deleted at any time.

    audit.index     SQLite: for each word, in blocks of 2,048 records, which of them carry it, as bits

How a question is answered:
 1. check      the log begins with the line, and has at its end the line, that the index knows; else it is rebuilt
 2. catch up   lines written since are added
 3. combine    the bits of the words asked for, newest block first
 4. read       each hit is read from the log, strictly, and matched again (`search.py`)

Invariants:
* It is never trusted: what is shown is read from the log, and an index that does not fit the log, is
  damaged, or is of another version is made anew. What it could hide, `search --scan` finds without it.
* It holds what records hold, positions and nothing else; mode 0600.
* Only a file that is named as an index, and lies outside of the log, is ever deleted as a damaged one.
* Any number of processes ask while one of them brings it up to date, and while the log is written.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from aigov.audit import disk
from aigov.audit.bits import BLOCK, Places, Stale, checked, packed, summed, unpacked
from aigov.audit.canonical import NotARecord, link, plain
from aigov.audit.disk import FILE_MODE, locked, open_regular
from aigov.audit.reader import Lines, extents, segments
from aigov.audit.records import MAX_BYTES
from aigov.audit.terms import OPENING, Calls, glimpse, idents, instant, is_text
from aigov.crypto import digest
from aigov.databases import make_database

VERSION: Final = 1
SUFFIX: Final = ".index"
COMMIT_BLOCKS: Final = 64
SHIFT: Final = 40  # a position is the segment's number and, in the lower 40 bits, the offset in it
BUSY_S: Final = 30.0
LOCK_S: Final = 600.0
SCHEMA: Final = (
    "CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 1), segment INTEGER, offset INTEGER, records INTEGER, "
    "first TEXT, last TEXT, sum INTEGER) STRICT",
    "CREATE TABLE term (id INTEGER PRIMARY KEY, field TEXT NOT NULL, value TEXT NOT NULL, "
    "UNIQUE (field, value)) STRICT",
    "CREATE TABLE posting (term INTEGER, block INTEGER, bits BLOB NOT NULL, "
    "PRIMARY KEY (term, block)) STRICT, WITHOUT ROWID",
    "CREATE TABLE block (block INTEGER PRIMARY KEY, records INTEGER, low INTEGER, high INTEGER, "
    "at BLOB, ts BLOB) STRICT",
    "CREATE TABLE ident (key INTEGER, place INTEGER, PRIMARY KEY (key, place)) STRICT, WITHOUT ROWID",
)
# Faults that a new index would have as well: locked, full, read-only, no file, a disk that does not answer.
OUTSIDE: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_PERM,
    }
)
ATTEMPTS: Final = 3

T = TypeVar("T")
Progress = Callable[[int, int], None]


class State(msgspec.Struct, frozen=True):
    """How far an index has come: the position after the last line it knows, and the digests that prove it.

    `first`, `last`: digests of the log's first and last known line, "" while there is none.
    """

    segment: int = 0
    offset: int = 0
    records: int = 0
    first: str = ""
    last: str = ""


def beside(folder: Path) -> Path:
    """Where the index of the log in `folder` lies: beside it, never inside."""
    return disk.beside(folder, SUFFIX)


def misplaced(folder: Path, path: Path) -> str:
    """Why the index of the log in `folder` may not lie at `path`; "" where it may."""
    if not path.name.endswith(SUFFIX):
        return f"the name of an index ends in `{SUFFIX}`"
    if path.resolve().is_relative_to(Path(folder).resolve()):
        return "an index lies outside of the record"
    return ""


class Index:
    """The index at `path` of the log in `folder`. For one thread; use it as a context manager.

    Raises ValueError for a path where none may lie, OSError where log or index cannot be read or written.
    """

    def __init__(self, folder: Path, path: Path | None = None) -> None:
        if path is not None and (why := misplaced(folder, path)):
            raise ValueError(why)
        self.folder = Path(folder)
        self.path = path or beside(folder)
        self._base: sqlite3.Connection | None = None

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def __repr__(self) -> str:
        return "Index()"

    def refresh(self, progress: Progress | None = None) -> State:
        """Bring the index up to date with the log, from its beginning where need be. `progress`: bytes."""
        segments(self.folder)  # a folder that is not there is the caller's mistake, not a reason for an index
        return self._healed(lambda: self._refresh(progress), progress)

    def places(self, clauses: Iterable[tuple[str, Iterable[str]]], low: int | None, high: int | None) -> Places:
        """Which records carry, for each (field, values), one of the values, and were written in [low, high).

        A value that ends in `*` stands for all that begin so. Times are microseconds since 1970.
        """
        return self._healed(lambda: self._places(clauses, low, high))

    def named(self, name: str) -> list[int]:
        """The positions of records that this id, call or ticket may single out, oldest first."""
        return self._healed(lambda: self._named(name))

    def read(self, positions: Iterable[int]) -> Iterator[Mapping[str, Any]]:
        """The records at positions, read strictly from the log itself. Raises NotARecord."""
        paths = {int(path.stem): path for path in segments(self.folder)}
        for position in positions:
            path = paths.get(position >> SHIFT)
            line = b"" if path is None else _line_at(path, position & ((1 << SHIFT) - 1))
            yield plain(line)

    def opened(self, call: str) -> Mapping[str, Any] | None:
        """The record that opened a call, if the log has it."""
        return self._healed(lambda: self.opening(call))

    def values(self, field: str, within: Places | None = None) -> dict[str, int]:
        """How many records carry each value of a field, most first; only those `within`, where it is given."""
        return self._healed(lambda: self._values(field, within))

    def opening(self, call: str) -> Mapping[str, Any] | None:
        """The same for whoever is building the index: what is damaged is raised, not mended."""
        for position in self._named(call):
            with suppress(NotARecord):
                for record in self.read([position]):
                    if record.get("call") == call and record["kind"] in OPENING:
                        return record
        return None

    def distinct(self, field: str) -> int:
        """How many values of a field the whole log has."""
        query = "SELECT count(*) FROM term WHERE field = ?"
        return self._healed(lambda: int(self._connected().execute(query, (field,)).fetchone()[0]))

    # -- asking ----------------------------------------------------------------------------------

    def _named(self, name: str) -> list[int]:
        query = "SELECT place FROM ident WHERE key = ? ORDER BY place"
        return [place for (place,) in self._connected().execute(query, (_key(name),))]

    def _places(self, clauses: Iterable[tuple[str, Iterable[str]]], low: int | None, high: int | None) -> Places:
        base = self._connected()
        bits: dict[int, int] = {}
        for block, count, first, last in base.execute("SELECT block, records, low, high FROM block"):
            if (low is None or last >= low) and (high is None or first < high):
                bits[block] = (1 << count) - 1
                if (low is not None and first < low) or (high is not None and last >= high):
                    bits[block] = self._within(block, low, high)
        for field, values in clauses:
            union: dict[int, int] = {}
            for term in self._terms(field, values):
                for block, blob in base.execute("SELECT block, bits FROM posting WHERE term = ?", (term,)):
                    union[block] = union.get(block, 0) | unpacked(blob, block)
            bits = {block: both for block, one in bits.items() if (both := one & union.get(block, 0))}
        return Places({block: one for block, one in bits.items() if one}, self._positions)

    def _within(self, block: int, low: int | None, high: int | None) -> int:
        times = array("q", self._column("ts", block))
        inside = (1 << at for at, ts in enumerate(times) if (low is None or ts >= low) and (high is None or ts < high))
        return sum(inside)

    def _positions(self, block: int) -> array[int]:
        return array("q", self._healed(lambda: self._column("at", block)))

    def _column(self, name: str, block: int) -> bytes:
        found = self._connected().execute(f"SELECT {name} FROM block WHERE block = ?", (block,)).fetchone()
        if found is None:
            raise Stale
        return checked(found[0], block)

    def _terms(self, field: str, values: Iterable[str]) -> list[int]:
        base, found = self._connected(), []
        for value in values:
            if not is_text(value):
                continue  # which SQLite does not take, and no record holds
            if value.endswith("*"):
                start = value[:-1]
                query = "SELECT id FROM term WHERE field = ? AND value >= ? AND value < ?"
                rows = base.execute(query, (field, start, start + chr(0x10FFFF)))
            else:
                rows = base.execute("SELECT id FROM term WHERE field = ? AND value = ?", (field, value))
            found += [term for (term,) in rows]
        return found

    def _values(self, field: str, within: Places | None) -> dict[str, int]:
        query = "SELECT value, block, bits FROM term JOIN posting ON posting.term = term.id WHERE field = ?"
        counts: dict[str, int] = {}
        for value, block, blob in self._connected().execute(query, (field,)):
            bits = unpacked(blob, block)
            bits = bits if within is None else bits & within.bits.get(block, 0)
            if bits:
                counts[value] = counts.get(value, 0) + bits.bit_count()
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def _healed(self, ask: Callable[[], T], progress: Progress | None = None) -> T:
        """An answer; an index that turns out damaged is made anew, and asked again. Raises OSError."""
        for attempt in range(ATTEMPTS):
            outside = False
            try:
                if attempt:
                    self._make_anew(progress)
                return ask()
            except Stale:
                pass
            except sqlite3.Error as fault:
                outside = getattr(fault, "sqlite_errorcode", 0) & 0xFF in OUTSIDE
            self._close()
            if outside:
                break
        raise OSError(errno.EIO, "the index cannot be read or written")

    def _make_anew(self, progress: Progress | None) -> None:
        with self._alone():
            self._forget()
            self._catch_up(progress)

    # -- keeping up ------------------------------------------------------------------------------

    def _refresh(self, progress: Progress | None) -> State:
        state = self._state()
        self._check(state)
        if not self._behind(state):
            return state
        with self._alone():
            return self._catch_up(progress)

    def _check(self, state: State) -> None:
        """Step 1. Raises Stale unless the log has the lines that the index ends and begins with."""
        if not state.records:
            return
        paths = {int(path.stem): (path, end) for path, end in extents(self.folder, state.segment)}
        first = next(iter(segments(self.folder)), None)
        last, end = paths.get(state.segment, (None, 0))
        if first is None or last is None or end < state.offset:  # gone, cut off, or given up after a failed sync
            raise Stale
        if link(_line_at(first, 0)) != state.first or link(_line_before(last, state.offset)) != state.last:
            raise Stale

    def _behind(self, state: State) -> bool:
        paths = segments(self.folder)
        return bool(paths) and (int(paths[-1].stem), paths[-1].stat().st_size) != (state.segment, state.offset)

    def _catch_up(self, progress: Progress | None) -> State:
        """Step 2, alone: block by block from the beginning of the last, unfinished one."""
        state = self._state()
        self._check(state)
        total = sum(end for _, end in extents(self.folder))
        building = _Building(self._connected(), self, state)
        base = self._connected()
        base.execute("BEGIN IMMEDIATE")
        with ExitStack() as undo:
            undo.callback(self._close)  # which takes back what was not committed
            for number, done in enumerate(building.blocks()):
                if number % COMMIT_BLOCKS == COMMIT_BLOCKS - 1:
                    base.execute("COMMIT")
                    base.execute("BEGIN IMMEDIATE")
                if progress is not None:
                    progress(done, total)
            base.execute("COMMIT")
            undo.pop_all()
        return self._state()

    def _state(self) -> State:
        row = self._connected().execute("SELECT segment, offset, records, first, last, sum FROM state").fetchone()
        if row is None:
            return State()
        if _state_sum(row[:5]) != row[5]:
            raise Stale
        return State(*row[:5])

    # -- the file --------------------------------------------------------------------------------

    def _connected(self) -> sqlite3.Connection:
        if self._base is None:
            self._base = self._opened()
        return self._base

    def _opened(self) -> sqlite3.Connection:
        if not self.path.exists():
            make_database(self.path, SCHEMA, VERSION)
        if not stat.S_ISREG(self.path.lstat().st_mode):
            raise OSError(errno.EINVAL, "not an ordinary file")
        base = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)
        with ExitStack() as undo:
            undo.callback(base.close)
            for pragma in ("synchronous = OFF", "temp_store = MEMORY", "trusted_schema = OFF"):
                base.execute(f"PRAGMA {pragma}")
            if base.execute("PRAGMA user_version").fetchone()[0] != VERSION:
                raise Stale
            undo.pop_all()
        return base

    def _forget(self) -> None:
        """Remove the file; the one that SQLite keeps beside it goes first, lest it be applied to the next."""
        for ending in ("-wal", "-shm", ""):
            self.path.with_name(self.path.name + ending).unlink(missing_ok=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time brings an index up to date or makes it anew. Raises Busy."""
        name = self.path.with_name(self.path.name + ".lock")
        handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
        try:
            with locked(handle, LOCK_S):
                yield
        finally:
            os.close(handle)

    def _close(self) -> None:
        base, self._base = self._base, None
        if base is not None:
            base.close()


class _Building:
    """The lines of a log as rows of its index, from where a state left off."""

    def __init__(self, base: sqlite3.Connection, index: Index, state: State) -> None:
        self._base = base
        self._folder = index.folder
        self._state = state
        self._calls = Calls(index.opening)
        self._term_ids: dict[tuple[str, str], int] = {}
        self._reset()

    def _reset(self) -> None:
        self._bits: dict[tuple[str, str], int] = {}
        self._at, self._ts = array("q"), array("q")
        self._idents: list[tuple[int, int]] = []

    def blocks(self) -> Iterator[int]:
        """Write block after block; yields the bytes read. The last one may be unfinished and is done again later."""
        number, first = self._state.records // BLOCK, self._state.first
        segment, offset = self._start(number)
        read = 0
        for path, end in extents(self._folder):
            here, last = int(path.stem), b""
            if here < segment:
                read += end
                continue
            lines = Lines(path, offset if here == segment else 0, end)
            for last in lines:
                first = first or link(last)
                self._add(last, here, lines.offset)
                if len(self._at) == BLOCK:
                    self._write(number, State(here, lines.whole, (number + 1) * BLOCK, first, link(last)))
                    number += 1
                    yield read + lines.whole
            if self._at and last:
                records = number * BLOCK + len(self._at)
                self._write(number, State(here, lines.whole, records, first, link(last)), keep=True)
            read += lines.whole
        yield read

    def _start(self, number: int) -> tuple[int, int]:
        """Segment and offset where block `number` begins, or where the log was left."""
        done = self._base.execute("SELECT at FROM block WHERE block = ?", (number,)).fetchone()
        if done is None:
            return self._state.segment, self._state.offset
        first = array("q", checked(done[0], number))[0]
        return first >> SHIFT, first & ((1 << SHIFT) - 1)

    def _add(self, line: bytes, segment: int, offset: int) -> None:
        here, bit = segment << SHIFT | offset, 1 << len(self._at)
        record = glimpse(line)  # what is no record has a place and no words: `verify` names it
        bits = self._bits
        for word in self._calls.words(record):
            bits[word] = bits.get(word, 0) | bit
        self._idents += [(_key(name), here) for name in idents(record)]
        self._at.append(here)
        self._ts.append(instant(record.ts))

    def _write(self, number: int, state: State, *, keep: bool = False) -> None:
        """Put a block's rows in place. `keep`: it is unfinished, and more of it follows in the next segment."""
        known = [time for time in self._ts if time] or [0]
        rows = [(self._term(word), number, packed(bits, number)) for word, bits in self._bits.items()]
        self._base.executemany("INSERT OR REPLACE INTO posting VALUES (?, ?, ?)", rows)
        self._base.executemany("INSERT OR IGNORE INTO ident VALUES (?, ?)", self._idents)
        at, ts = summed(self._at.tobytes(), number), summed(self._ts.tobytes(), number)
        row = (number, len(self._at), min(known), max(known), at, ts)
        self._base.execute("INSERT OR REPLACE INTO block VALUES (?, ?, ?, ?, ?, ?)", row)
        values = msgspec.structs.astuple(state)
        self._base.execute("INSERT OR REPLACE INTO state VALUES (1, ?, ?, ?, ?, ?, ?)", (*values, _state_sum(values)))
        if not keep:
            self._reset()

    def _term(self, word: tuple[str, str]) -> int:
        known = self._term_ids.get(word)
        if known is None:
            self._base.execute("INSERT OR IGNORE INTO term (field, value) VALUES (?, ?)", word)
            (known,) = self._base.execute("SELECT id FROM term WHERE field = ? AND value = ?", word).fetchone()
            if len(self._term_ids) < 1_000_000:
                self._term_ids[word] = known
        return int(known)


def _state_sum(values: tuple[Any, ...]) -> int:
    return zlib.crc32(repr(tuple(values)).encode())


def _key(name: str) -> int:
    """A number for an id. Ids that are UUIDs of version 7 sort by time, and neighbours are written fast.

    Two ids may share a number: whoever asks reads the record itself.
    """
    if len(name) == 36:
        try:
            return int(name[:8] + name[9:13] + name[14:18], 16) >> 1
        except ValueError:
            pass
    return int(digest(name.encode("utf-8", "replace"))[:15], 16)


def _line_at(path: Path, offset: int) -> bytes:
    """The line that begins at `offset`, without newline; "" where none does."""
    handle = open_regular(path)
    try:
        block = os.pread(handle, MAX_BYTES + 1, offset)
        begins = offset == 0 or os.pread(handle, 1, offset - 1) == b"\n"
    finally:
        os.close(handle)
    line, newline, _ = block.partition(b"\n")
    return line if newline and begins else b""


def _line_before(path: Path, offset: int) -> bytes:
    """The line that ends, newline included, at `offset`."""
    start = max(0, offset - MAX_BYTES - 2)
    handle = open_regular(path)
    try:
        block = os.pread(handle, offset - start, start)
    finally:
        os.close(handle)
    return block[:-1].rpartition(b"\n")[2] if block.endswith(b"\n") else b""
