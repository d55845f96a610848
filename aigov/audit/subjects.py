"""Who stands behind a pseudonym: a table outside of the log, so that a person can be forgotten.

    subjects.sqlite     a row a person: random pseudonyms, a random key, holds; sealed under the policy's key
    erased              one byte for each erasure: what other processes look at before they use what they remember

The log holds pseudonyms alone. They are random, not made from the id, so that whoever deletes a row breaks the link
for good, the holder of every key included. A person gets a new pseudonym every 90 days.

Invariants:
* Nobody's id is in the table: a row is found by a keyed digest of id and tenant, and opens under the key alone.
* A table that cannot be read, was altered, or vanished while in use, is AuditUnavailable: no pseudonym is made up
  for a call, and no call is made. An id that is remembered is checked against the files as well.
* What is erased is gone from the files (SQLite's secure_delete, the write-ahead log cut to nothing) and durable before
  anybody is told.
* Two processes never give one person two pseudonyms, and never erase one person twice.
* A hold that came first wins over an erasure; one that comes after finds nobody.

A connection lives for one operation: none is shared by threads or used over a fork. One more is kept open and never
asked anything, because whoever closes the last one has to fold the write-ahead log back, which costs three syncs.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from aigov.audit import disk
from aigov.audit.disk import FILE_MODE, Disk, make_folder
from aigov.audit.records import new_id
from aigov.crypto import KEY_BYTES, KeyRing, Unsealable, keyed_digest, seal, unseal
from aigov.databases import make_database
from aigov.errors import AigovError, AuditUnavailable

VERSION: Final = 1
SUFFIX: Final = ".subjects"
TABLE: Final = "subjects.sqlite"
ERASED: Final = "erased"
SCHEMA: Final = (
    "CREATE TABLE subject (who TEXT NOT NULL, place TEXT NOT NULL, sealed BLOB NOT NULL, "
    "PRIMARY KEY (who, place)) STRICT",
    "CREATE TABLE erasure (id TEXT PRIMARY KEY NOT NULL, sealed BLOB NOT NULL) STRICT",
)
REF_BYTES: Final = 16
ROTATE_S: Final = 90 * 86_400
REMEMBER_S: Final = 60.0
MAX_REMEMBERED: Final = 20_000
BUSY_S: Final = 5.0
MICRO: Final = 1_000_000
TAMPERED: Final = "the subject table was changed by something that does not hold its key"

T = TypeVar("T")


class Held(AigovError):
    """A person of whom nothing may be erased now. `reasons`: the codes of the holds."""

    code = "audit.held"

    def __init__(self, reasons: Sequence[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__(f"{self.code}: {', '.join(self.reasons)}")


class Subject(msgspec.Struct, frozen=True):
    """A person as one call needs them: the pseudonym in force, the key, and the folder of their kept content.

    `relation`: a key made from theirs, for digests that have to die with it.
    """

    ref: str
    key: bytes
    shelf: str
    relation: bytes

    def __repr__(self) -> str:
        return f"Subject({self.ref})"


class Hold(msgspec.Struct, frozen=True):
    """A reason not to erase: a code, who ordered it (a ref), and when, in microseconds since 1970 UTC."""

    reason: str
    by: str
    since_us: int


class Row(msgspec.Struct, frozen=True):
    """What the table keeps of a person. `refs`: pseudonyms, oldest first, each with when it began (microseconds)."""

    key: bytes
    shelf: str
    refs: tuple[tuple[str, int], ...]
    holds: tuple[Hold, ...] = ()

    def __repr__(self) -> str:
        return "Row()"


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """One person's erasure that was begun: the key and the link are gone already, the rest is still to be done.

    `blobs`, `bytes`: the content that was there when it began.
    """

    id: str
    pseudonym: str
    pseudonyms: int
    shelf: str
    basis: str
    by: str
    blobs: int = 0
    bytes: int = 0


class Place(NamedTuple):
    """Where a person's row is: keyed digests of id and tenant."""

    who: str
    place: str

    @property
    def context(self) -> bytes:
        """What the sealed row is bound to."""
        return f"aigov subject {self.who} {self.place}".encode()


class _Remembered(NamedTuple):
    erased: int
    until: float
    subject: Subject


def beside(folder: Path) -> Path:
    """Where the people of the log in `folder` are kept: beside it, never inside."""
    return disk.beside(folder, SUFFIX)


class Subjects:
    """The people of one log. `folder`: see `beside`; made (0700) at the first question.

    `key`: 32 bytes, the same in every process that shares the log. `clock`: UTC in seconds. Every fault is
    AuditUnavailable. Safe to use from many threads.
    """

    def __init__(self, folder: Path, *, key: bytes, clock: Callable[[], float] = time.time) -> None:
        keys = KeyRing(key)
        self.folder = Path(folder).absolute()
        self._find_key = keys.derive("subjects/find")
        self._seal_key = keys.derive("subjects/seal")
        self._table = self.folder / TABLE
        self._erased = self.folder / ERASED
        self._watch = str(self._table), str(self._erased)
        self._clock = clock
        self._known: dict[tuple[str, str], _Remembered] = {}
        self._ready = 0  # the process that made ready

    def __repr__(self) -> str:
        return "Subjects()"

    def close(self) -> None:
        """Fold the files back where nobody else uses them. A later question opens them again."""
        if self._ready == os.getpid():
            self._closing()
        self._ready = 0

    def refer(self, id: str, tenant: str = "") -> str:
        """The pseudonym in force of a person, as records show it; made where there is none. 32 hex digits."""
        return self.subject(id, tenant).ref

    def knows(self, id: str, tenant: str = "") -> bool:
        """Whether `subject` answers from memory, without reading the table."""
        if self._ready != os.getpid():
            return False
        with suppress(AuditUnavailable):
            return self._remembered(id, tenant, self._watched(), self._clock()) is not None
        return False

    def subject(self, id: str, tenant: str = "") -> Subject:
        """A person, made where they are not known. Raises AuditUnavailable."""
        erased, now = self._watched(), self._clock()
        known = self._remembered(id, tenant, erased, now)
        if known is not None:
            return known
        where = self._place(id, tenant)
        row = self._run(lambda base: self._made(base, where, round(now * MICRO)))
        subject, since_us = _subject(row), row.refs[-1][1]
        if len(self._known) >= MAX_REMEMBERED:
            self._known.clear()
        until = min(now + REMEMBER_S, since_us / MICRO + ROTATE_S)
        self._known[id, tenant] = _Remembered(erased, until, subject)
        return subject

    def behind(self, ref: str, id: str, tenant: str = "") -> Subject | None:
        """The person whom a call named by a pseudonym; None where it is not theirs, or they were erased since.

        Nobody is made, so that what comes of a call under way does not bring back who was erased.
        """
        known = self._remembered(id, tenant, self._watched(), self._clock())
        if known is not None and known.ref == ref:
            return known
        return next((_subject(row) for row in self.people(id, tenant) if ref in dict(row.refs)), None)

    def _remembered(self, id: str, tenant: str, erased: int, now: float) -> Subject | None:
        known = self._known.get((id, tenant))
        return known.subject if known is not None and known.erased == erased and now < known.until else None

    def relate(self, id: str, tenant: str, text: str) -> str:
        """What stands in a record for a text that may name a person, such as their conversation's id: the same for
        the same person and text, and nothing once they are erased. 32 hex digits."""
        return keyed_digest(self.subject(id, tenant).relation, text)[: 2 * REF_BYTES]

    def people(self, id: str, tenant: str | None = None) -> list[Row]:
        """The rows of a person, one for each tenant, or of the one tenant; none are made."""
        return self._run(lambda base: [row for _, row in self._rows(base, id, tenant)]) if self._table.exists() else []

    def refs(self, id: str, tenant: str | None = None) -> tuple[str, ...]:
        """Every pseudonym that a person has had and that was not erased, oldest first."""
        return tuple(ref for row in self.people(id, tenant) for ref, _ in row.refs)

    # -- holds -----------------------------------------------------------------------------------

    def hold(self, id: str, tenant: str | None, hold: Hold) -> list[Row]:
        """Keep a person from being erased; a tenant where they are not known yet is made for it.

        Returns the rows that are held now; none where no tenant is named and the person is not known anywhere.
        """

        def change(base: sqlite3.Connection) -> list[Row]:
            if tenant is not None:
                self._made(base, self._place(id, tenant), hold.since_us)
            self._changed(base, id, tenant, lambda holds: (*_without(holds, hold.reason), hold))
            return [row for _, row in self._rows(base, id, tenant)]

        return self._run(lambda base: _alone(base, change))

    def release(self, id: str, tenant: str | None, reason: str) -> list[Row]:
        """End the hold for `reason`; returns the rows that had it, as they are now."""

        def change(base: sqlite3.Connection) -> list[Row]:
            return self._changed(base, id, tenant, lambda holds: _without(holds, reason))

        return self._run(lambda base: _alone(base, change))

    def held(self) -> frozenset[str]:
        """The shelves of everybody who is held."""

        def read(base: sqlite3.Connection) -> frozenset[str]:
            rows = base.execute("SELECT who, place, sealed FROM subject").fetchall()
            opened = [self._open_row(Place(who, place), sealed) for who, place, sealed in rows]
            return frozenset(row.shelf for row in opened if row.holds)

        return self._run(read) if self._table.exists() else frozenset()

    def shelves(self) -> frozenset[str]:
        """The shelves of everybody who is known, or whose erasure is not finished."""

        def read(base: sqlite3.Connection) -> frozenset[str]:
            rows = base.execute("SELECT who, place, sealed FROM subject").fetchall()
            opened = [self._open_row(Place(who, place), sealed).shelf for who, place, sealed in rows]
            return frozenset((*opened, *(one.shelf for one in self._erasures(base))))

        return self._run(read) if self._table.exists() else frozenset()

    # -- erasure ---------------------------------------------------------------------------------

    def begin_erasure(
        self,
        id: str,
        tenant: str | None,
        *,
        basis: str,
        by: str,
        measure: Callable[[Row], tuple[int, int]] = lambda row: (0, 0),
    ) -> list[Erasure]:
        """Destroy key and pseudonyms of a person, durably and at once, and note what is left to be done.

        `measure(row)` gives the number and bytes of the content that goes, and raises where something forbids it.
        Raises Held; nothing is changed then. Returns one erasure for each tenant, none where nobody is known.
        """

        def change(base: sqlite3.Connection) -> list[Erasure]:
            begun = []
            for where, row in self._rows(base, id, tenant):
                if row.holds:
                    raise Held([hold.reason for hold in row.holds])
                blobs, size = measure(row)
                made = Erasure(
                    id=new_id(), pseudonym=row.refs[-1][0], pseudonyms=len(row.refs), shelf=row.shelf, basis=basis,
                    by=by, blobs=blobs, bytes=size,
                )  # fmt: skip
                sealed = seal(self._seal_key, msgspec.msgpack.encode(made), _job_context(made.id))
                base.execute("INSERT INTO erasure VALUES (?, ?)", (made.id, sealed))
                base.execute("DELETE FROM subject WHERE who = ? AND place = ?", where)
                begun.append(made)
            return begun

        if not self._table.exists():
            return []
        return self._run(lambda base: _alone(base, change))

    def announce(self) -> None:
        """Have every process forget what it remembers, and the files what they held before an erasure.

        To be called after an erasure has begun, and when it goes on.
        """
        self._run(_cut_off)

        def announce() -> None:
            handle = os.open(self._erased, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.write(handle, b".")
                os.fsync(handle)
            finally:
                os.close(handle)

        self._guarded(announce)
        self._known.clear()

    def erasures(self) -> list[Erasure]:
        """The erasures that were begun and not finished, oldest first."""
        return self._run(self._erasures) if self._table.exists() else []

    def finish_erasure(self, id: str) -> None:
        """Forget that there was something to be done."""
        self._run(lambda base: _alone(base, lambda base: base.execute("DELETE FROM erasure WHERE id = ?", (id,))))

    # -- rows ------------------------------------------------------------------------------------

    def _place(self, id: str, tenant: str) -> Place:
        return Place(keyed_digest(self._find_key, f"id\0{id}"), keyed_digest(self._find_key, f"tenant\0{tenant}"))

    def _rows(self, base: sqlite3.Connection, id: str, tenant: str | None) -> list[tuple[Place, Row]]:
        where = self._place(id, tenant or "")
        query, values = "SELECT who, place, sealed FROM subject WHERE who = ?", [where.who]
        if tenant is not None:
            query, values = f"{query} AND place = ?", [*where]
        found = base.execute(query + " ORDER BY place", values).fetchall()
        return [(Place(who, place), self._open_row(Place(who, place), sealed)) for who, place, sealed in found]

    def _made(self, base: sqlite3.Connection, where: Place, now_us: int) -> Row:
        """The row of a person with a pseudonym that is not too old; both made where there is need."""
        row = self._read(base, where)
        if row is not None and now_us < row.refs[-1][1] + ROTATE_S * MICRO:
            return row
        if not base.in_transaction:
            return _alone(base, lambda base: self._made(base, where, now_us))
        fresh = (secrets.token_hex(REF_BYTES), now_us)
        if row is None:
            row = Row(secrets.token_bytes(KEY_BYTES), secrets.token_hex(REF_BYTES), (fresh,))
        else:
            row = msgspec.structs.replace(row, refs=(*row.refs, fresh))
        self._write(base, where, row)
        return row

    def _changed(
        self,
        base: sqlite3.Connection,
        id: str,
        tenant: str | None,
        change: Callable[[tuple[Hold, ...]], tuple[Hold, ...]],
    ) -> list[Row]:
        """The rows of a person whose holds a change changes, as they are then."""
        rows = []
        for where, row in self._rows(base, id, tenant):
            changed = msgspec.structs.replace(row, holds=change(row.holds))
            if changed != row:
                self._write(base, where, changed)
                rows.append(changed)
        return rows

    def _read(self, base: sqlite3.Connection, where: Place) -> Row | None:
        found = base.execute("SELECT sealed FROM subject WHERE who = ? AND place = ?", where).fetchone()
        return None if found is None else self._open_row(where, found[0])

    def _write(self, base: sqlite3.Connection, where: Place, row: Row) -> None:
        sealed = seal(self._seal_key, msgspec.msgpack.encode(row), where.context)
        base.execute("INSERT OR REPLACE INTO subject VALUES (?, ?, ?)", (*where, sealed))

    def _open_row(self, where: Place, sealed: object) -> Row:
        row: Row | None = None
        with suppress(Unsealable, msgspec.DecodeError):
            row = msgspec.msgpack.decode(unseal(self._seal_key, _blob(sealed), where.context), type=Row)
        if row is None or not row.refs:
            raise AuditUnavailable(TAMPERED)
        return row

    def _erasures(self, base: sqlite3.Connection) -> list[Erasure]:
        found = base.execute("SELECT id, sealed FROM erasure ORDER BY id").fetchall()
        return [self._open_job(id, sealed) for id, sealed in found]

    def _open_job(self, id: str, sealed: object) -> Erasure:
        job: Erasure | None = None
        with suppress(Unsealable, msgspec.DecodeError):
            job = msgspec.msgpack.decode(unseal(self._seal_key, _blob(sealed), _job_context(id)), type=Erasure)
        if job is None:
            raise AuditUnavailable(TAMPERED)
        return job

    # -- the file --------------------------------------------------------------------------------

    def _watched(self) -> int:
        """How many erasures there were. Looked at for every call: two system calls, no lock, no reading."""
        self._make_ready()
        table, erased = self._watch
        with suppress(OSError):
            os.stat(table)
            return os.stat(erased).st_size
        raise AuditUnavailable("the subject table has vanished")

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self._make_ready()
        return self._guarded(lambda: self._connected(work))

    def _make_ready(self) -> None:
        """Once in each process, a forked one included. Two threads may both do so; a lock could be held over a fork."""
        if self._ready != os.getpid():
            self._guarded(self._set_up)
            self._ready = os.getpid()

    def _connected(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with closing(self._connection()) as base:
            for pragma in ("synchronous = FULL", "secure_delete = ON", "temp_store = MEMORY", "trusted_schema = OFF"):
                base.execute(f"PRAGMA {pragma}")
            if base.execute("PRAGMA user_version").fetchone()[0] != VERSION:
                raise AuditUnavailable("the subject table is of another version")
            if tuple(sql for (sql,) in base.execute("SELECT sql FROM sqlite_schema WHERE sql NOT NULL")) != SCHEMA:
                raise AuditUnavailable(TAMPERED)
            return work(base)

    def _connection(self) -> sqlite3.Connection:
        # mode=rw: a file that is gone is an error, never a new and empty table
        uri = f"{self._table.as_uri()}?mode=rw"
        return sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False)

    def _set_up(self) -> None:
        """Make folder, table and counter where they are missing. Two processes may do so at once."""
        files = Disk()
        make_folder(files, self.folder)
        if not self._table.exists():
            make_database(self._table, SCHEMA, VERSION)
        os.close(os.open(self._erased, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE))
        files.sync_folder(self.folder)
        kept = self._connection()
        kept.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # only now does it hold the file
        self._closing = weakref.finalize(self, kept.close)

    def _guarded(self, work: Callable[[], T]) -> T:
        """What `work` answers; a fault of SQLite or the disk as AuditUnavailable, with no context."""
        try:
            return work()
        except (sqlite3.Error, OSError, ValueError, UnicodeError):
            pass
        raise AuditUnavailable("the subject table cannot be used")


def _subject(row: Row) -> Subject:
    """A person as calls need them from now on."""
    return Subject(row.refs[-1][0], row.key, row.shelf, KeyRing(row.key).derive("relate"))


def _alone(base: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    """Do several things as one, while nobody else writes; all of them or none. Closing takes back what is not done."""
    base.execute("BEGIN IMMEDIATE")
    done = work(base)
    base.execute("COMMIT")
    return done


def _cut_off(base: sqlite3.Connection) -> None:
    """Fold the write-ahead log back and cut it to nothing: it holds rows as they were before they were deleted."""
    deadline = time.monotonic() + BUSY_S
    while base.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        if time.monotonic() > deadline:
            raise AuditUnavailable("the subject table is in use")
        time.sleep(0.01)


def _without(holds: Sequence[Hold], reason: str) -> tuple[Hold, ...]:
    return tuple(hold for hold in holds if hold.reason != reason)


def _job_context(id: str) -> bytes:
    return f"aigov erasure {id}".encode()


def _blob(value: Any) -> bytes:
    return value if isinstance(value, bytes) else b""
