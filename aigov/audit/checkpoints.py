"""Where a log's checkpoints are kept, and its public key.

    log.vkey          the log's verifier key, a line
    log.mldsa44.vkey  the key that cosigns, where there is one (`cosigning.py`)
    checkpoint        the latest checkpoint, a signed note
    checkpoints.log   every checkpoint in order, each followed by an empty line

Invariants:
* A checkpoint is in `checkpoints.log`, durably, before it becomes `checkpoint`.
* Half a checkpoint at the end of `checkpoints.log`, or one in which a power loss left zeros, is what a crash left; it
  is cut off before the next one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from aigov.audit.cosigning import CosignerKey
from aigov.audit.disk import Disk, open_regular
from aigov.audit.note import MAX_NOTE_BYTES, NoteError, VerifierKey

VKEY = "log.vkey"
COSIGNER = "log.mldsa44.vkey"
LATEST = "checkpoint"
ALL = "checkpoints.log"
END = b"\n\n"
BLOCK = 1 << 16
TAIL = 16 * 1024
MAX_VKEY_BYTES = 1024


def put_vkey(disk: Disk, folder: Path, key: VerifierKey) -> None:
    """Publish the log's first verifier key. Raises OSError."""
    disk.put(folder / VKEY, f"{key}\n".encode())


def put_cosigner(disk: Disk, folder: Path, key: CosignerKey) -> None:
    """Publish the key that cosigns. Raises OSError."""
    disk.put(folder / COSIGNER, f"{key}\n".encode())


def vkey(folder: Path) -> VerifierKey | None:
    """The verifier key that the folder names, None where it names none. Raises NoteError, OSError."""
    data = _content(folder / VKEY, MAX_VKEY_BYTES)
    if data is None:
        return None
    text = data.decode("utf-8", "replace")
    if not text.endswith("\n"):
        raise NoteError("not a verifier key")
    return VerifierKey.parse(text[:-1])


def latest(folder: Path) -> bytes | None:
    """The note in `checkpoint`, None where there is none. Raises OSError."""
    return _content(folder / LATEST, MAX_NOTE_BYTES + 1)


def written(folder: Path, text: str) -> bytes | None:
    """The note about `text` near the end of `checkpoints.log`, None where none is there whole. Raises OSError."""
    try:
        handle = open_regular(folder / ALL)
    except FileNotFoundError:
        return None
    try:
        size = os.fstat(handle).st_size
        tail = os.pread(handle, TAIL, max(0, size - TAIL)).partition(b"\0")[0]
    finally:
        os.close(handle)
    body, *rest = tail[tail.rfind(text.encode()) :].split(END)
    whole = tail.rfind(text.encode()) >= 0 and len(rest) > 1
    return body + END + rest[0] + b"\n" if whole else None


class Notes:
    """The whole notes of `checkpoints.log` in order. `torn`: bytes after the last whole one, once read."""

    def __init__(self, path: Path, end: int | None = None) -> None:
        self._path = path
        self._end = end
        self.torn = 0

    def __iter__(self) -> Iterator[bytes]:
        try:
            handle = open_regular(self._path)
        except FileNotFoundError:
            return
        with os.fdopen(handle, "rb") as file:
            left, rest = (1 << 62) if self._end is None else self._end, b""
            zero = b""
            while not zero and (block := file.read(min(BLOCK, left))):
                left -= len(block)
                block, zero, _ = block.partition(b"\0")  # a page that a power loss took; nothing follows it
                *parts, rest = (rest + block).split(END)
                if len(parts) % 2:
                    rest = parts.pop() + END + rest
                for text, signatures in zip(parts[::2], parts[1::2], strict=True):
                    yield text + END + signatures + b"\n"
                if len(rest) > 2 * MAX_NOTE_BYTES:
                    break
            self.torn = len(rest + zero)


def append(disk: Disk, folder: Path, note: bytes) -> None:
    """Add a note to `checkpoints.log`, durably, unless it is the last one there. Raises OSError."""
    handle = open_regular(folder / ALL, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW)
    try:
        size = os.fstat(handle).st_size
        entry, start = note + b"\n", max(0, size - TAIL)
        tail = os.pread(handle, size - start, start)
        if tail.endswith(entry):  # whoever wrote it died before its sync, or that failed, and none is repeated
            whole = size - len(entry)
            _write_again(disk, folder / ALL, whole, entry)
        else:
            whole = _whole(tail, start, size)
            if whole < size:
                disk.truncate(handle, whole)
            disk.write_all(handle, entry)
        disk.sync(handle)
        if not whole:  # nor may whoever made the file have come to making its name durable
            disk.sync_folder(folder)
    finally:
        os.close(handle)


def _write_again(disk: Disk, path: Path, offset: int, data: bytes) -> None:
    """Write bytes over themselves, so that the system holds them for unwritten."""
    handle = open_regular(path, os.O_WRONLY | os.O_NOFOLLOW)
    try:
        os.lseek(handle, offset, os.SEEK_SET)
        disk.write_all(handle, data)
    finally:
        os.close(handle)


def publish(disk: Disk, folder: Path, note: bytes) -> None:
    """Make a note the latest checkpoint. Raises OSError."""
    append(disk, folder, note)
    disk.put(folder / LATEST, note, name=False)  # `checkpoints.log` has it durably; a lost name is put back


def _whole(tail: bytes, start: int, size: int) -> int:
    """Where the last whole note ends. A note has one empty line inside, and one after it."""
    at = len(tail.partition(b"\0")[0])
    while (at := tail.rfind(END, 0, at)) >= 0:
        line = tail[tail.rfind(b"\n", 0, at) + 1 : at]
        if line.startswith("\u2014 ".encode()):
            return start + at + len(END)
    return start if not start else size


def _content(path: Path, limit: int) -> bytes | None:
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            return file.read(limit)
    except FileNotFoundError:
        return None
