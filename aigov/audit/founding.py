"""How a log begins, and what tells it from every other: its folders, its name, its key and its first head."""

from __future__ import annotations

import os
import time
from pathlib import Path

from aigov.audit import checkpoints, keys
from aigov.audit import head as heads
from aigov.audit.canonical import origin_link, timestamp
from aigov.audit.disk import Disk, make_folder, open_regular
from aigov.audit.end import Damaged
from aigov.audit.head import Head
from aigov.audit.living import WRITERS
from aigov.audit.reader import SEGMENTS, extents

RESERVE = "reserve"
RESERVE_BYTES = 256 * 1024


def make_folders(disk: Disk, folder: Path) -> None:
    """The folders of a log, for their owner alone. Raises OSError."""
    for each in (folder, folder / SEGMENTS, folder / WRITERS):
        make_folder(disk, each)


def head_of(disk: Disk, folder: Path, key: bytes, origin: str) -> Head:
    """The head of the log `origin`, or of any where that is ""; then a new one is begun where there is none.

    It is written before the first line, so a log without one was robbed of it. Raises Damaged, HeadAltered, OSError.
    """
    head = heads.read(folder, key)
    if head is None and origin:
        raise Damaged("the log has vanished")
    if head is None and any(size for _, size in extents(folder)):
        raise Damaged("there are records but no head")
    if head is None:
        head = _begin(disk, folder, key)
    if origin not in ("", head.origin):
        raise Damaged("another log stands in its place")
    return head


def _begin(disk: Disk, folder: Path, key: bytes) -> Head:
    """A new log: its first epoch's key, which names it, and its own, published before anything is signed with it."""
    first, now = keys.make(disk, folder, "", key), timestamp(time.time_ns())
    origin = first.name
    made = keys.make(disk, folder, origin, key)
    checkpoints.put_vkey(disk, folder, made)
    head = Head(
        origin=origin, key=str(made), epoch_key=str(first), last=origin_link(origin), key_ts=now, ts=now
    )  # fmt: skip
    heads.write(disk, folder, head, key)
    return head


def keep_reserve(disk: Disk, folder: Path) -> None:
    """Take the room for last words, unless it is there. Raises OSError."""
    path = folder / RESERVE
    if path.exists():
        return
    handle = open_regular(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
    try:
        disk.reserve(handle, RESERVE_BYTES)
    finally:
        os.close(handle)
