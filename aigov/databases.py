"""SQLite files that appear whole or not at all, for whatever keeps rows: tickets, vault, subjects, the log's index."""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path


def make_database(path: Path, schema: Sequence[str], version: int) -> None:
    """A database at `path` with these tables, in WAL mode, mode 0600; where there is one, that one stays as it is.

    It gets its name once it is whole. Two that made it in place would meet: SQLite waits for nobody when it
    changes to WAL mode, and closing a file drops the locks that other threads hold on it. Raises OSError,
    sqlite3.Error.
    """
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600))
    try:
        with closing(sqlite3.connect(draft, isolation_level=None)) as base:
            for statement in (*schema, f"PRAGMA user_version = {version:d}", "PRAGMA journal_mode = WAL"):
                base.execute(statement)
        with suppress(FileExistsError):  # another thread or process was first
            os.link(draft, path)
    finally:
        draft.unlink()
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a new file's name durable."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
