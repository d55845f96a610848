"""What the log asks of the operating system, in one place, so that a test can put a failing disk there.

Invariants:
* `sync` returns only when the bytes are on stable storage, as far as the system can say.
* Nothing here retries: after a failed sync the system may forget the data and call the next one a success.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER_MODE = 0o700
FILE_MODE = 0o600
_FULL_SYNC = getattr(fcntl, "F_FULLFSYNC", None)


class Busy(OSError):
    """Another process holds a lock for longer than there is patience."""


class Disk:
    """The calls that change a file. Stateless; a simulator overrides them one by one."""

    def write(self, handle: int, data: bytes) -> int:
        """Append some of `data`; returns how many bytes were taken."""
        return os.write(handle, data)

    def sync(self, handle: int) -> None:
        """Put a file's data on stable storage (macOS needs a call of its own for that)."""
        if _FULL_SYNC is not None:
            fcntl.fcntl(handle, _FULL_SYNC)
        else:
            os.fdatasync(handle)

    def truncate(self, handle: int, size: int) -> None:
        """Cut a file to `size` bytes."""
        os.ftruncate(handle, size)

    def replace(self, source: Path, target: Path) -> None:
        """Put a whole file in the place of another, at once."""
        os.replace(source, target)

    def reserve(self, handle: int, size: int) -> None:
        """Take room for `size` bytes of a file, where the system can."""
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(handle, 0, size)

    def write_all(self, handle: int, data: bytes) -> None:
        """Append all of `data`, in as few writes as the system needs. Raises OSError."""
        rest = memoryview(data)
        while rest:
            taken = self.write(handle, bytes(rest) if len(rest) < len(data) else data)
            if taken <= 0:
                raise OSError(errno.EIO, "nothing was written")
            rest = rest[taken:]

    def sync_folder(self, folder: Path) -> None:
        """Make the names in a folder durable: a new file may vanish with its name otherwise."""
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def put(self, path: Path, data: bytes, *, name: bool = True) -> None:
        """Write a whole file durably: either the old content or the new one is there, never a mixture.

        Without `name` a power loss may bring the old content back, whole.
        """
        draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, FILE_MODE)
        try:
            self.write_all(handle, data)
            self.sync(handle)
        finally:
            os.close(handle)
        self.replace(draft, path)
        if name:
            self.sync_folder(path.parent)


def make_folder(disk: Disk, folder: Path, *, durable: bool = True) -> None:
    """Make a folder for the owner alone, with those above it. Raises OSError."""
    if folder.is_dir():
        return
    make_folder(disk, folder.parent, durable=durable)
    folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
    if durable:
        disk.sync_folder(folder.parent)


def beside(folder: Path, suffix: str) -> Path:
    """What lies beside a log under the log's name, such as `audit.index`; never inside, where `folder` ends in `..`
    included."""
    place = Path(os.path.abspath(folder))
    return place.with_name(place.name + suffix)


def open_regular(path: Path, flags: int = os.O_RDONLY) -> int:
    """A handle on an ordinary file. Raises OSError for anything else: a pipe would hold us for ever."""
    handle = os.open(path, flags | os.O_NONBLOCK, FILE_MODE)
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    raise OSError(errno.EINVAL, "not an ordinary file")


def try_lock(handle: int) -> bool:
    """Take the file's lock if nobody has it. The system frees it when the holder ends, however it ends."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def release(handle: int) -> None:
    """Give a file's lock back. Raises OSError."""
    fcntl.flock(handle, fcntl.LOCK_UN)


@contextmanager
def locked(handle: int, patience: float) -> Iterator[None]:
    """Hold the file's lock. Raises Busy after `patience` seconds: a stopped process must not stop us all."""
    deadline, pause = time.monotonic() + patience, 0.0001
    while not try_lock(handle):
        if time.monotonic() > deadline:
            raise Busy(errno.EBUSY, "another process holds the lock")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.002)
    try:
        yield
    finally:
        release(handle)


def reason(error: OSError) -> str:
    """What went wrong, as the system's short name: `ENOSPC`, `EROFS`. No path and no text."""
    return errno.errorcode.get(error.errno or 0, "an unknown fault of the disk")
