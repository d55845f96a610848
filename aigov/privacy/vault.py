"""The vault: values of named sessions, sealed on disk, so that their tokens can be restored after a restart.

One SQLite file. Each subject (a principal in a tenant) has a key of their own, drawn at random and sealed under
the policy's; each entry is sealed under its subject's key (AES-256-GCM). Without its key an entry is noise, so
to forget a subject is to destroy one key.

Invariants:
* Nothing stands in the file in the clear: subjects, tenants, sessions and codes are keyed digests, values are
  sealed and padded, so that not even their length shows.
* What was kept is on the disk (WAL, synchronous=FULL) before `keep` returns, and keeping comes before the call.
* Several processes share the file; a connection lives for one operation and none is kept over a fork.
* What is past its time is not given out, and is deleted at the next write.
* Whatever SQLite or the disk raises becomes GuardFault `pii.vault`, with nothing of an entry in it.
"""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from aigov.crypto import KEY_BYTES, Unsealable, keyed_digest, seal, unseal
from aigov.databases import make_database
from aigov.errors import GuardFault

T = TypeVar("T")

UNUSABLE: Final = "pii.vault"
VERSION: Final = 1
BUSY_S: Final = 5.0
PAD: Final = 64  # bytes; a sealed entry tells its length in steps of these
DIGITS: Final = 32
SCHEMA: Final = (
    "CREATE TABLE subject (ref TEXT PRIMARY KEY NOT NULL, person TEXT NOT NULL, tenant TEXT NOT NULL, "
    "sealed BLOB NOT NULL) STRICT",
    "CREATE TABLE entry (number INTEGER PRIMARY KEY AUTOINCREMENT, subject TEXT NOT NULL, session TEXT NOT NULL, "
    "code TEXT NOT NULL, sealed BLOB NOT NULL, expires_us INTEGER NOT NULL, UNIQUE (subject, session, code)) STRICT",
    "CREATE INDEX entry_due ON entry (expires_us)",
)


class Entry(NamedTuple):
    """A value that a session took out, and the code of the token that stands for it."""

    code: str
    entity: str
    value: str
    form: str = ""

    def __repr__(self) -> str:
        return "Entry()"


class Kept(NamedTuple):
    """What a drawer holds that its session may not know yet.

    `lost`: what was known is no longer all there, forgotten or expired; `entries` are then the whole.
    """

    entries: tuple[Entry, ...]
    lost: bool

    def __repr__(self) -> str:
        return f"Kept(entries={len(self.entries)})"


class Known(NamedTuple):
    """How far a drawer was read: up to the row of this number, and how many rows that were."""

    last: int = 0
    rows: int = 0


class Vault:
    """The vault at `path`, made with its folder (0700) and file (0600) when it is first written.

    `key`: 32 bytes that seal the subjects' keys. `expires_s`: for how long an entry is kept, in seconds.
    """

    __slots__ = ("_expires_us", "_key", "_now_us", "_path")

    def __init__(
        self, path: Path, *, key: bytes, expires_s: int, now_us: Callable[[], int] = lambda: time.time_ns() // 1000
    ) -> None:
        self._path = path.absolute()
        self._key = key
        self._expires_us = expires_s * 1_000_000
        self._now_us = now_us

    def drawer(self, id: str, tenant: str, session: str) -> Drawer:
        """The drawer of one subject in one session; nothing is read or written yet."""
        return Drawer(self, self._subject(id, tenant), self._ref("session", session), (id, tenant))

    def drawers(self, session: str, tenant: str | None = None) -> list[Drawer]:
        """Every drawer that holds something of this session, of one tenant or of all. Raises GuardFault."""
        ref = self._ref("session", session)
        query = "SELECT DISTINCT subject FROM entry JOIN subject ON subject = ref WHERE session = ? AND expires_us > ?"
        values: list[Any] = [ref, self._now_us()]
        if tenant is not None:
            query += " AND tenant = ?"
            values.append(self._ref("tenant", tenant))
        found: list[tuple[str]] = self._run(
            lambda base: base.execute(f"{query} ORDER BY subject", values).fetchall(), []
        )
        return [Drawer(self, subject, ref, None) for (subject,) in found]

    def forget(self, id: str, tenant: str | None = None) -> int:
        """Destroy the keys of a subject, in one tenant or in all, and their entries. How many keys that were.

        Raises GuardFault where it could not be done.
        """
        query, values = "SELECT ref FROM subject WHERE person = ?", [self._ref("person", id)]
        if tenant is not None:
            query += " AND tenant = ?"
            values.append(self._ref("tenant", tenant))

        def work(base: sqlite3.Connection) -> int:
            with _transaction(base):
                refs = base.execute(query, values).fetchall()
                base.executemany("DELETE FROM subject WHERE ref = ?", refs)
                base.executemany("DELETE FROM entry WHERE subject = ?", refs)
            base.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # or the write-ahead log would hold the old pages
            return len(refs)

        return self._run(work, 0)

    def counts(self) -> tuple[int, int]:
        """How many subjects and how many entries there are. Raises GuardFault."""
        query = "SELECT (SELECT count(*) FROM subject), (SELECT count(*) FROM entry WHERE expires_us > ?)"
        found = self._run(lambda base: base.execute(query, (self._now_us(),)).fetchone(), (0, 0))
        return int(found[0]), int(found[1])

    def load(self, subject: str, session: str, known: Known) -> tuple[Kept, Known]:
        """What `subject` keeps in `session` beyond what is known, or all of it where some of that is gone."""

        def work(base: sqlite3.Connection) -> tuple[Kept, Known]:
            with _transaction(base, "DEFERRED"):
                return self._read(base, self._key_of(base, subject), (subject, session), known)

        return self._run(work, (Kept((), known.rows > 0), Known(0, 0)))

    def keep(
        self, subject: str, session: str, whose: tuple[str, str], entries: Sequence[Entry], known: Known
    ) -> tuple[Kept, Known]:
        """Add entries, durably, and say what else there is. A code that is there already has to stand for the same."""
        self._guarded(self._set_up)

        def work(base: sqlite3.Connection) -> tuple[Kept, Known]:
            with _transaction(base):
                base.execute("DELETE FROM entry WHERE expires_us <= ?", (self._now_us(),))
                key = self._key_of(base, subject)
                lost = known.rows > 0 and key is None
                key = key or self._new_key(base, subject, whose)
                for entry in entries:
                    self._insert(base, key, (subject, session), entry)
                kept, now_known = self._read(base, key, (subject, session), known)
                return Kept(kept.entries, kept.lost or lost), now_known

        return self._guarded(lambda: self._connected(work))  # what is not there now is no vault to keep anything in

    def _read(
        self, base: sqlite3.Connection, key: bytes | None, whose: tuple[str, str], known: Known
    ) -> tuple[Kept, Known]:
        now = self._now_us()
        where = "FROM entry WHERE subject = ? AND session = ? AND expires_us > ?"
        count = f"SELECT count(*) {where} AND number <= ?"
        left = base.execute(count, (*whose, now, known.last)).fetchone()[0] if key is not None else 0
        lost = left != known.rows
        query = f"SELECT number, code, sealed {where} AND number > ? ORDER BY number"
        rows = base.execute(query, (*whose, now, 0 if lost else known.last)).fetchall() if key is not None else []
        entries = tuple(self._opened(key, *whose, row) for row in rows) if key is not None else ()
        last = rows[-1][0] if rows else (0 if lost else known.last)
        return Kept(entries, lost), Known(last, len(rows) + (0 if lost else known.rows))

    def _insert(self, base: sqlite3.Connection, key: bytes, whose: tuple[str, str], entry: Entry) -> None:
        """One entry; of two processes that drew the same code for two values, the second is refused."""
        ref = self._ref("code", entry.code)
        query = "SELECT number, code, sealed FROM entry WHERE subject = ? AND session = ? AND code = ?"
        found = base.execute(query, (*whose, ref)).fetchone()
        if found is None:
            row = *whose, ref, self._sealed(key, *whose, ref, entry), self._now_us() + self._expires_us
            base.execute("INSERT INTO entry (subject, session, code, sealed, expires_us) VALUES (?, ?, ?, ?, ?)", row)
        elif self._opened(key, *whose, found) != entry:
            raise GuardFault("privacy", UNUSABLE)

    def _key_of(self, base: sqlite3.Connection, subject: str) -> bytes | None:
        found = base.execute("SELECT sealed FROM subject WHERE ref = ?", (subject,)).fetchone()
        return None if found is None else unseal(self._key, found[0], f"vault subject\0{subject}".encode())

    def _new_key(self, base: sqlite3.Connection, subject: str, whose: tuple[str, str]) -> bytes:
        key = secrets.token_bytes(KEY_BYTES)
        sealed = seal(self._key, key, f"vault subject\0{subject}".encode())
        refs = self._ref("person", whose[0]), self._ref("tenant", whose[1])
        base.execute("INSERT INTO subject (ref, person, tenant, sealed) VALUES (?, ?, ?, ?)", (subject, *refs, sealed))
        return key

    def _sealed(self, key: bytes, subject: str, session: str, ref: str, entry: Entry) -> bytes:
        value = entry.value.encode("utf-8", "surrogatepass").hex()
        plain = msgspec.json.encode([entry.code, entry.entity, value, entry.form])
        return seal(key, plain.ljust(-(-len(plain) // PAD) * PAD), _context(subject, session, ref))

    def _opened(self, key: bytes, subject: str, session: str, row: tuple[Any, ...]) -> Entry:
        """The entry of a row, where it was sealed for this place. Raises Unsealable."""
        _, ref, sealed = row
        code, entity, value, form = msgspec.json.decode(
            unseal(key, sealed, _context(subject, session, ref)), type=list[str]
        )
        return Entry(code, entity, bytes.fromhex(value).decode("utf-8", "surrogatepass"), form)

    def _subject(self, id: str, tenant: str) -> str:
        return self._ref("subject", f"{len(id)}\0{id}\0{tenant}")

    def _ref(self, kind: str, name: str) -> str:
        return keyed_digest(self._key, f"vault {kind}\0{name}")[:DIGITS]

    def _run(self, work: Callable[[sqlite3.Connection], T], nothing: T) -> T:
        """What `work` answers on a connection of its own; `nothing` where the vault was never written."""
        return self._guarded(lambda: self._connected(work) if self._path.exists() else nothing)

    def _connected(self, work: Callable[[sqlite3.Connection], T]) -> T:
        base = sqlite3.connect(f"{self._path.as_uri()}?mode=rw", uri=True, timeout=BUSY_S, isolation_level=None)
        try:
            for pragma in ("synchronous = FULL", "secure_delete = ON", "trusted_schema = OFF"):
                base.execute(f"PRAGMA {pragma}")
            _check_schema(base)
            return work(base)
        finally:
            base.close()

    def _set_up(self) -> None:
        if self._path.exists():
            return
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_database(self._path, SCHEMA, VERSION)

    def _guarded(self, work: Callable[[], T]) -> T:
        with contextlib.suppress(sqlite3.Error, OSError, ValueError, msgspec.DecodeError, Unsealable):
            return work()
        raise GuardFault("privacy", UNUSABLE)

    def __repr__(self) -> str:
        return "Vault()"


class Drawer:
    """What one subject keeps in one session. `whose` is None for one that was found on the disk: it is read only."""

    __slots__ = ("_known", "_session", "_subject", "_vault", "_whose")

    def __init__(self, vault: Vault, subject: str, session: str, whose: tuple[str, str] | None) -> None:
        self._vault, self._subject, self._session, self._whose = vault, subject, session, whose
        self._known = Known()

    def news(self) -> Kept:
        """What is there and was not told before. Raises GuardFault."""
        kept, self._known = self._vault.load(self._subject, self._session, self._known)
        return kept

    def keep(self, entries: Iterable[Entry]) -> Kept:
        """Keep these, durably; what is there and was not told before, these among it. Raises GuardFault."""
        if self._whose is None:
            raise GuardFault("privacy", UNUSABLE)
        kept, self._known = self._vault.keep(self._subject, self._session, self._whose, tuple(entries), self._known)
        return kept

    def __repr__(self) -> str:
        return "Drawer()"


@contextlib.contextmanager
def _transaction(base: sqlite3.Connection, kind: str = "IMMEDIATE") -> Any:
    base.execute(f"BEGIN {kind}")
    ending = "ROLLBACK"
    try:
        yield
        ending = "COMMIT"
    finally:
        base.execute(ending)


def _context(subject: str, session: str, ref: str) -> bytes:
    return f"vault entry\0{subject}\0{session}\0{ref}".encode()


def _check_schema(base: sqlite3.Connection) -> None:
    """Refuse a file that is no vault of this version, or in which a trigger could copy what is written."""
    found = base.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'").fetchall()
    if base.execute("PRAGMA user_version").fetchone()[0] != VERSION or {sql for (sql,) in found} != {*SCHEMA}:
        raise ValueError("not a vault")
