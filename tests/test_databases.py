"""A SQLite file appears whole or not at all, whoever makes it at the same moment."""

from __future__ import annotations

import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

import pytest

from aigov.databases import make_database

SCHEMA = ("CREATE TABLE one (value TEXT NOT NULL) STRICT",)
THREADS = 16
ROUNDS = 20


def rows(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as base:
        return [value for (value,) in base.execute("SELECT value FROM one ORDER BY value")]


def test_many_at_once_share_one_file(tmp_path: Path) -> None:
    for number in range(ROUNDS):
        path, start, faults = tmp_path / f"{number}.sqlite", threading.Barrier(THREADS), []

        def make_and_use(value: str, path: Path = path, start: threading.Barrier = start) -> None:
            start.wait()
            try:
                make_database(path, SCHEMA, 1)
                with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as base:
                    base.execute("INSERT INTO one VALUES (?)", (value,))
            except Exception as fault:  # noqa: BLE001 - whatever it is, the test has to name it
                faults.append(fault)  # noqa: B023 - read once all threads of this round are done

        threads = [threading.Thread(target=make_and_use, args=(f"{each:02}",)) for each in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert faults == []
        assert rows(path) == [f"{each:02}" for each in range(THREADS)]
    assert {path.suffix for path in tmp_path.iterdir()} == {".sqlite"}


def test_it_is_for_the_owner_alone_of_its_version_and_in_wal_mode(tmp_path: Path) -> None:
    path = tmp_path / "one.sqlite"
    make_database(path, SCHEMA, 7)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with closing(sqlite3.connect(path)) as base:
        assert base.execute("PRAGMA user_version").fetchone() == (7,)
        assert base.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_what_is_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "one.sqlite"
    path.write_bytes(b"something else")
    make_database(path, SCHEMA, 1)
    assert path.read_bytes() == b"something else"
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.Error):
        make_database(tmp_path / "one.sqlite", ("CREATE TABLE",), 1)
    with pytest.raises(FileNotFoundError):
        make_database(tmp_path / "missing" / "one.sqlite", SCHEMA, 1)
    assert list(tmp_path.iterdir()) == []
