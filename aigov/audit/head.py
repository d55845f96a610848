"""What is known of a log outside of its lines: how long it is and how it ends.

Lines alone cannot show that the last ones are missing; the head can. It is a small file, replaced whole.

Invariants:
* It never says more than what is durable: it is written after the lines it covers were synced.
* `sum` covers everything in it, so any change of the file shows; `mac` is keyed, so only who holds the
  log's key can write a head that passes.
"""

from __future__ import annotations

import hmac
import os
from pathlib import Path

import msgspec

from aigov.audit.disk import Disk, open_regular
from aigov.audit.records import Count, Value
from aigov.crypto import digest, keyed_digest
from aigov.errors import AigovError

HEAD = "head.json"
HEAD_SCHEMA = "aigov.audit.head/1"
HEAD_MAX_BYTES = 4096

_ENCODER = msgspec.json.Encoder(order="sorted")


class HeadAltered(AigovError):
    """A head that is not what a writer wrote, or not by a holder of the log's key."""

    code = "audit.head_altered"


class Head(Value, frozen=True, kw_only=True):
    """The state of a log: records and bytes over all segments, link of the last line, sealed or not.

    `bytes` counts newlines; with no record yet, `last` is the link of the origin line.
    """

    origin: str
    records: Count
    bytes: Count
    last: str
    sealed: bool
    ts: str
    v: str = HEAD_SCHEMA


class _File(Value, frozen=True, kw_only=True):
    head: Head
    mac: str
    sum: str


def write(disk: Disk, folder: Path, head: Head, key: bytes) -> None:
    """Put the head into the log's folder, durably. Raises OSError."""
    content = _ENCODER.encode(head)
    mac = keyed_digest(key, content.decode())
    disk.put(folder / HEAD, _file(head, mac))


def read(folder: Path, key: bytes | None = None) -> Head | None:
    """The head of a log, None where there is no such file. Without a key the `mac` is not checked.

    Raises HeadAltered where the file is not as it was written, OSError where it cannot be read.
    """
    try:
        with os.fdopen(open_regular(folder / HEAD), "rb") as file:
            content = file.read(HEAD_MAX_BYTES)
    except FileNotFoundError:
        return None
    found = _parse(content)
    if found is None or _file(found.head, found.mac) != content:
        raise HeadAltered("audit.head_altered: the head is not as a writer wrote it")
    if key is not None and not _authentic(found, key):
        raise HeadAltered("audit.head_altered: the head was not written with this key")
    return found.head


def _file(head: Head, mac: str) -> bytes:
    total = digest(_ENCODER.encode(head) + mac.encode())
    return _ENCODER.encode(_File(head=head, mac=mac, sum=total)) + b"\n"


def _parse(content: bytes) -> _File | None:
    try:
        return msgspec.json.decode(content, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _authentic(found: _File, key: bytes) -> bool:
    return hmac.compare_digest(keyed_digest(key, _ENCODER.encode(found.head).decode()), found.mac)
