"""Files that can be made again: kept in the user's cache folder, and believed only when whole.

Invariants:
* A file is read only if it is a plain one, of this user, that nobody else may write, and as it was written:
  the SHA-256 of its name and content stands at its beginning. Otherwise it is as if there were none.
* A file appears whole or not at all, with mode 0600 in a folder of mode 0700; several writers disturb nobody.
* That nothing can be kept is no error: what would have been read is made anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from pathlib import Path

MOST_FILES = 32
MOST_BYTES = 256 * 1024 * 1024


def user_folder() -> Path | None:
    """`$XDG_CACHE_HOME/aigov`, else `~/.cache/aigov`; None where there is no home."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(given):  # what the XDG specification says of a relative one: ignore it
        return Path(given, "aigov")
    try:
        return Path.home() / ".cache" / "aigov"
    except RuntimeError:
        return None


def read(folder: Path, name: str) -> bytes | None:
    """The content kept under this name, or None where there is none that can be believed."""
    try:
        with open(os.open(folder / name, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)), "rb") as file:
            if not _trusted(os.fstat(file.fileno())):
                return None
            whole = file.read(MOST_BYTES)
    except OSError:
        return None
    digest, content = whole[:32], whole[32:]
    return content if digest == _digest(name, content) else None


def write(folder: Path, name: str, content: bytes) -> bool:
    """Keep the content under this name; False where it cannot be kept."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder)  # made with mode 0600
        try:
            with open(handle, "wb") as file:
                file.write(_digest(name, content) + content)
            os.replace(temporary, folder / name)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            return False
        _thin(folder, Path(name).suffix)
    except OSError:
        return False
    return True


def _trusted(status: os.stat_result) -> bool:
    """Whether only this user (or root) can have written it. Where there are no such owners, the digest must do."""
    own = not hasattr(os, "geteuid") or status.st_uid in (os.geteuid(), 0)
    private = os.name != "posix" or not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISREG(status.st_mode) and own and private and status.st_size < MOST_BYTES


def _thin(folder: Path, suffix: str) -> None:
    """Drop the oldest files of a kind beyond the most that are kept."""
    found = [(entry.stat(follow_symlinks=False).st_mtime, entry.path) for entry in os.scandir(folder)
             if entry.name.endswith(suffix) and not entry.name.startswith(".")]  # fmt: skip
    for _, path in sorted(found)[:-MOST_FILES]:
        with contextlib.suppress(OSError):
            os.unlink(path)


def _digest(name: str, content: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\0" + content).digest()
