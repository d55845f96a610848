"""Lockdown: a file in the policy folder, and everything is refused until it is gone.

Invariants:
* Only a file that is not there means open. One that cannot be looked at, is empty, broken or a dangling
  link means lockdown: whoever tampers with it can close, never open.
* It is in force from the moment when its name is there, and on disk before `declare` answers.
* It holds the time and a reason code, nothing of the person who declared it: the audit log has that.

The file is part of the folder: whoever replaces the whole folder carries it over, or lifts the lockdown.
"""

from __future__ import annotations

import datetime
import os
import re
from pathlib import Path

import msgspec

from aigov.errors import Location, PolicyError, Problem

FILE = "lockdown"
CODE = "lockdown"
UNREADABLE = "lockdown.unreadable"
MAX_BYTES = 4_096
_REASON = re.compile(r"[a-z0-9_.]{1,64}")


class Lockdown(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The state as declared: `since` is UTC in ISO 8601, `reason` a code; `lockdown.unreadable` if it is broken."""

    since: str = ""
    reason: str = CODE


def active(folder: str | Path) -> bool:
    """Whether everything is to be refused. One look at the disk; any trouble with it means yes."""
    try:
        os.lstat(os.path.join(folder, FILE))
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return True
    return True


def state(folder: str | Path) -> Lockdown | None:
    """What was declared, or None where there is no lockdown."""
    if not active(folder):
        return None
    try:
        with open(os.path.join(folder, FILE), "rb", opener=_unblocked) as file:
            told = msgspec.json.decode(file.read(MAX_BYTES), type=Lockdown)
    except (OSError, ValueError):
        return Lockdown(reason=UNREADABLE)
    return told if _REASON.fullmatch(told.reason) and len(told.since) <= 40 else Lockdown(reason=UNREADABLE)


def declare(folder: str | Path, reason: str = CODE, at: datetime.datetime | None = None) -> Lockdown:
    """Declare lockdown for `reason`, a code; what is already declared stays. Raises PolicyError, ValueError."""
    if not _REASON.fullmatch(reason):
        raise ValueError("a reason is 1 to 64 of a-z, 0-9, `_` and `.`")
    root = Path(folder)
    moment = (at or datetime.datetime.now(datetime.UTC)).astimezone(datetime.UTC)
    told = Lockdown(since=moment.isoformat(timespec="seconds"), reason=reason)
    try:
        _create(root / FILE, msgspec.json.encode(told) + b"\n")
        _sync(root)
    except FileExistsError:
        return state(root) or told
    except OSError as error:
        why = os.strerror(error.errno or 0).lower()
    else:
        return told
    what = f"lockdown is {'in force, but not safely on disk' if active(root) else 'not in force'} ({why})"
    raise PolicyError(Problem(Location(str(root / FILE)), what, "make the folder writable, or free space on its disk"))


def lift(folder: str | Path) -> bool:
    """End the lockdown; False where there was none. Raises PolicyError where its file cannot be removed."""
    path = Path(folder) / FILE
    try:
        path.unlink()
        _sync(path.parent)
    except FileNotFoundError:
        return False
    except OSError as error:
        why = os.strerror(error.errno or 0).lower()
    else:
        return True
    raise PolicyError(Problem(Location(str(path)), f"lockdown cannot be lifted ({why})", "remove it by hand"))


def _create(path: Path, content: bytes) -> None:
    """Create the file and write it. Cut off half way it is lockdown already, for `active` asks only if it is there."""
    with open(path, "xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _unblocked(path: str, flags: int) -> int:
    """Open without waiting: a named pipe in the file's place must not hold whoever looks."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _sync(folder: Path) -> None:
    """Make the folder's own entries durable, where the platform can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
