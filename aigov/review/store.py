"""The rows of the ticket store, in SQLite: durable, shared by threads and processes, and authenticated.

Invariants:
* Every row carries a keyed digest of its id, state, times, card and judgement. A row that anything
  else than this room changed is `review.tampered`, whichever column it was; so are triggers and views.
* A row changes by compare-and-swap on that digest: of two writers who read the same row, one wins.
* A change is on the disk (WAL, synchronous=FULL) before the call that made it returns.
* The file is made once, when the store is set up, with mode 0600. A file or folder that vanishes later
  is `review.unavailable`; an empty store never takes its place in silence.
* Whatever SQLite or the disk raises becomes `review.unavailable`, with nothing of a row in it.

A connection lives for one operation: none is shared by threads or kept over a fork, and the last to
close folds the write-ahead log back, so that wiped content does not linger there.
"""

from __future__ import annotations

import hmac
import os
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

import msgspec

from aigov.crypto import digest, keyed_digest
from aigov.databases import make_database
from aigov.errors import ReviewError
from aigov.review.codes import TAMPERED, UNAVAILABLE

T = TypeVar("T")

VERSION: Final = 1
TABLE: Final = (
    "CREATE TABLE ticket (id TEXT PRIMARY KEY NOT NULL, state TEXT NOT NULL, opened_us INTEGER NOT NULL, "
    "expires_us INTEGER NOT NULL, changed_us INTEGER NOT NULL, card BLOB NOT NULL, judgement BLOB, "
    "mac TEXT NOT NULL, shown BLOB, content BLOB) STRICT"
)
DUE: Final = "CREATE INDEX ticket_due ON ticket (expires_us) WHERE content IS NOT NULL"
COLUMNS: Final = "id, state, opened_us, expires_us, changed_us, card, judgement, mac"
SAME: Final = "id = ? AND state = ? AND mac = ?"
KINDS: Final[tuple[Any, ...]] = (str, str, int, int, int, bytes, (bytes, type(None)), str)
BUSY_S: Final = 5.0
WORDS: Final = MappingProxyType(
    {
        sqlite3.SQLITE_BUSY: "it is locked by another process",
        sqlite3.SQLITE_LOCKED: "it is locked by another process",
        sqlite3.SQLITE_FULL: "the disk is full",
        sqlite3.SQLITE_READONLY: "it cannot be written to",
        sqlite3.SQLITE_CANTOPEN: "it is not there any more, or cannot be opened",
        sqlite3.SQLITE_CORRUPT: "its file is damaged; put back a copy",
        sqlite3.SQLITE_NOTADB: "its file is not a ticket store",
        sqlite3.SQLITE_IOERR: "the disk does not answer",
    }
)


class Row(msgspec.Struct, frozen=True):
    """One ticket as it is stored. `card` and `judgement` are sealed; times are UTC microseconds."""

    ticket: str
    state: str
    opened_us: int
    expires_us: int
    changed_us: int
    card: bytes
    judgement: bytes | None = None
    mac: str = ""

    def __repr__(self) -> str:
        return f"Row({self.state})"


class Store:
    """The ticket store at `path`; made with its folder (0700) where it is missing.

    `key` authenticates rows. `busy_s`: how long another process may hold the file, in seconds.
    Raises ReviewError `review.unavailable` or `review.tampered`, from every method, and nothing else.
    """

    def __init__(self, path: Path, *, key: bytes, busy_s: float = BUSY_S) -> None:
        self._key = key
        self._busy_s = busy_s
        self._path = path.absolute()
        self._guarded(self._set_up)

    def __repr__(self) -> str:
        return "Store()"

    def insert(self, row: Row, *, content: bytes, shown: bytes) -> None:
        """Add a new ticket, durably."""
        values = (*msgspec.structs.astuple(self._signed(row)), shown, content)
        marks = ", ".join("?" * len(values))
        self._run(lambda base: base.execute(f"INSERT INTO ticket ({COLUMNS}, shown, content) VALUES ({marks})", values))

    def fetch(self, ticket: str) -> Row | None:
        """The row of a ticket, proved to be as this room left it; None where there is none."""
        found = self._run(lambda base: base.execute(f"SELECT {COLUMNS} FROM ticket WHERE id = ?", (ticket,)).fetchone())
        return None if found is None else self._proved(found)

    def fetch_whole(self, ticket: str) -> tuple[Row, bytes | None, bytes | None] | None:
        """The proved row of a ticket with its sealed content and shown texts, read at one moment."""
        query = f"SELECT {COLUMNS}, content, shown FROM ticket WHERE id = ?"
        found = self._run(lambda base: base.execute(query, (ticket,)).fetchone())
        if found is None:
            return None
        *values, content, shown = found
        if not all(isinstance(blob, bytes | None) for blob in (content, shown)):
            raise _tampered()
        return self._proved(tuple(values)), content, shown

    def rows(self) -> list[Row | str]:
        """Every row, oldest first; one that was tampered with as its id alone, to be judged by the caller."""
        query = f"SELECT {COLUMNS} FROM ticket ORDER BY opened_us, id"
        found = self._run(lambda base: base.execute(query).fetchall())
        return [self._proved_or_id(values) for values in found]

    def due(self, now_us: int) -> list[Row | str]:
        """The rows past their time that still hold content."""
        query = f"SELECT {COLUMNS} FROM ticket WHERE expires_us <= ? AND content IS NOT NULL"
        found = self._run(lambda base: base.execute(query, (now_us,)).fetchall())
        return [self._proved_or_id(values) for values in found]

    def swap(
        self,
        old: Row,
        new: Row,
        *,
        content: bytes | None = None,
        wipe: bool = False,
        first: Callable[[], None] | None = None,
    ) -> bool:
        """Put `new` in the place of `old`; False where `old` is no longer what is stored.

        `content` replaces the sealed content; `wipe` drops it, and the shown texts with it. `first` is called
        once it is certain that nobody else changes the ticket; where it raises, nothing is changed.
        """
        row = self._signed(new)
        query, values = "UPDATE ticket SET state = ?, changed_us = ?, judgement = ?, mac = ?", [
            row.state, row.changed_us, row.judgement, row.mac,
        ]  # fmt: skip
        if wipe:
            query += ", content = NULL, shown = NULL"
        elif content is not None:
            query += ", content = ?"
            values.append(content)
        here = [old.ticket, old.state, old.mac]

        def work(base: sqlite3.Connection) -> bool:
            base.execute("BEGIN IMMEDIATE")
            if base.execute(f"SELECT 1 FROM ticket WHERE {SAME}", here).fetchone() is None:
                return False  # closing the connection ends the transaction
            if first is not None:
                first()
            base.execute(f"{query} WHERE {SAME}", [*values, *here])
            base.execute("COMMIT")
            return True

        return self._run(work)

    def _signed(self, row: Row) -> Row:
        return msgspec.structs.replace(row, mac=self._mac(row))

    def _mac(self, row: Row) -> str:
        judgement = "" if row.judgement is None else digest(row.judgement)
        told = [
            "aigov review row", VERSION, row.ticket, row.state, row.opened_us, row.expires_us, row.changed_us,
            digest(row.card), judgement,
        ]  # fmt: skip
        return keyed_digest(self._key, msgspec.json.encode(told).decode())

    def _proved(self, values: tuple[object, ...]) -> Row:
        """The row, where its types and its digest are right. Raises ReviewError `review.tampered`."""
        if all(isinstance(value, kind) for value, kind in zip(values, KINDS, strict=True)):
            row = Row(*values)  # type: ignore[arg-type]
            if hmac.compare_digest(self._mac(row).encode(), row.mac.encode()):
                return row
        raise _tampered()

    def _proved_or_id(self, values: tuple[object, ...]) -> Row | str:
        try:
            return self._proved(values)
        except ReviewError:
            return str(values[0])

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return self._guarded(lambda: self._connected(work))

    def _connected(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do one thing on a connection of its own."""
        # mode=rw: a file that is gone is an error, never a new and empty store
        base = sqlite3.connect(f"{self._path.as_uri()}?mode=rw", uri=True, timeout=self._busy_s, isolation_level=None)
        try:
            base.text_factory = lambda raw: raw.decode("utf-8", "replace")  # a row with bad text is told by its digest
            for pragma in ("synchronous = FULL", "secure_delete = ON", "trusted_schema = OFF"):
                base.execute(f"PRAGMA {pragma}")
            _check_schema(base)
            return work(base)
        finally:
            base.close()

    def _set_up(self) -> None:
        """Make the folder, the file and the table where they are missing; close the file to others."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._path.exists():
            make_database(self._path, (TABLE, DUE), VERSION)
        if os.name == "posix" and self._path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            self._path.chmod(0o600)
        self._connected(lambda base: None)

    def _guarded(self, work: Callable[[], T]) -> T:
        """What `work` answers; a fault of SQLite or the disk as `review.unavailable`, with no context."""
        try:
            return work()
        except sqlite3.Error as fault:
            why = WORDS.get(getattr(fault, "sqlite_errorcode", 0) & 0xFF, "it cannot be used")
        except (OSError, ValueError):  # ValueError: a path with a null character
            why = "its file or folder cannot be used"
        raise ReviewError(UNAVAILABLE, f"the ticket store did not answer: {why}")


def _check_schema(base: sqlite3.Connection) -> None:
    """Refuse a store whose table differs, or in which a trigger could undo what is written."""
    schema = base.execute("SELECT type, name, sql FROM sqlite_schema").fetchall()
    if not schema or base.execute("PRAGMA user_version").fetchone()[0] != VERSION:
        raise ReviewError(
            UNAVAILABLE, "the ticket store did not answer: its file is not a ticket store of this version"
        )
    if ("table", "ticket", TABLE) not in schema or any(kind in ("trigger", "view") for kind, _, _ in schema):
        raise _tampered()


def _tampered() -> ReviewError:
    return ReviewError(TAMPERED, "the ticket store was changed by something that does not hold its key")
