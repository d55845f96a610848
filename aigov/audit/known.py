"""The last checkpoint that a verifier accepted of each log, so that a log cannot go back.

Kept in `~/.aigov/known_logs/` unless another folder is named, a file for each verifier key: a log's name is
whatever it calls itself, its key is who it is.

Invariants:
* What is kept only grows: an older checkpoint never replaces a later one.
* A place that cannot be written to keeps nothing and stops nobody; one that cannot be read is said.
"""

from __future__ import annotations

import os
from pathlib import Path

from aigov.audit.disk import Disk, locked, make_folder, open_regular
from aigov.audit.note import MAX_NOTE_BYTES, Checkpoint, NoteError, VerifierKey, split
from aigov.crypto import digest

SUFFIX = ".checkpoint"
LOCK_SECONDS = 2.0


def place() -> Path:
    """Where checkpoints are kept unless another folder is named."""
    return Path.home() / ".aigov" / "known_logs"


def recall(folder: Path, key: VerifierKey) -> bytes | None:
    """The note that was accepted last of the log of `key`, None for none. Raises OSError."""
    try:
        with os.fdopen(open_regular(_path(folder, key)), "rb") as file:
            return file.read(MAX_NOTE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None


def keep(folder: Path, key: VerifierKey, note: bytes) -> bool:
    """Remember an accepted note; True where it is kept, or a later one is. Never raises for a disk's sake."""
    try:
        if _is_later(folder, key, note):
            make_folder(Disk(), folder)
            place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                with locked(place, LOCK_SECONDS):
                    if _is_later(folder, key, note):  # nobody kept a later one meanwhile
                        Disk().put(_path(folder, key), note)
            finally:
                os.close(place)
    except OSError:
        return False
    return True


def _is_later(folder: Path, key: VerifierKey, note: bytes) -> bool:
    """Whether a note is later than what is kept. Raises OSError."""
    old = recall(folder, key)
    return old is None or _size(old) < _size(note)


def _size(note: bytes) -> int:
    try:
        return Checkpoint.parse(split(note)[0]).size
    except NoteError:
        return -1


def _path(folder: Path, key: VerifierKey) -> Path:
    return folder / (digest(str(key).encode())[:32] + SUFFIX)
