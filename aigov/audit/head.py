"""What the writers of a log keep for themselves: the last checkpoint that they signed, and where it ends.

Auditors hold a log against its checkpoints; the head is what a writer starts from, and what keeps it from
ever signing two checkpoints that contradict each other. It is a small file, replaced whole.

Invariants:
* It is durable before the checkpoint that it describes is published, and after the lines that are covered.
* `sum` covers everything in it, so any change of the file shows; `mac` is keyed, so only who holds the
  log's key can write a head that passes.
"""

from __future__ import annotations

import hmac
import os
from pathlib import Path

import msgspec

from aigov.audit.disk import Disk, open_regular
from aigov.audit.merkle import EMPTY_ROOT
from aigov.audit.records import Count, Value
from aigov.crypto import digest, keyed_digest
from aigov.errors import AigovError

HEAD = "head.json"
HEAD_SCHEMA = "aigov.audit.head/3"
HEAD_MAX_BYTES = 16 * 1024
_EARLIER = (b'"aigov.audit.head/1"', b'"aigov.audit.head/2"')

_ENCODER = msgspec.json.Encoder(order="sorted")


class HeadAltered(AigovError):
    """A head that is not what a writer wrote, or not by a holder of the log's key."""

    code = "audit.head_altered"


class Head(Value, frozen=True, kw_only=True):
    """The last signed state of a log.

    `records`, `root` (hex), `peaks` (hex, largest first): the tree; `last`: the leaf hash of the last record.
    `segment`, `offset`: where the next record goes, when this was written; `bytes`: over all segments.
    `key`: the log's verifier key; `epoch_key`: the one that signs beside it for now;
    `next_key`: the one from the next checkpoint on, "" for the same. `epoch` counts from 0, and `key_ts` says when
    this one began. `cosigner`: the ML-DSA-44 key that signs as well, "" for none. `checkpoints`: how many are signed,
    this one included. `tiled`: up to here full tiles are durable. `sealed`: the last writer closed.
    """

    origin: str
    key: str
    epoch_key: str
    records: Count = 0
    root: str = EMPTY_ROOT.hex()
    peaks: tuple[str, ...] = ()
    last: str = ""
    segment: Count = 0
    offset: Count = 0
    bytes: Count = 0
    next_key: str = ""
    cosigner: str = ""
    epoch: Count = 0
    key_ts: str = ""
    checkpoints: Count = 0
    tiled: Count = 0
    sealed: bool = False
    ts: str = ""
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
    if any(schema in content for schema in _EARLIER):
        raise HeadAltered("audit.head_altered: a log in an earlier format; begin a new folder")
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
