"""The keys that sign a log's checkpoints: the log's own, for good, and one of each epoch, which ends with it.

Where the policy asks for it, one of another kind cosigns them (`cosigning.py`).

A log is named after the key of its first epoch, and whoever knows the log's own key knows its name. So the keys of
all epochs follow from what auditors hold: the name says the first, and what each has signed announces the next.

A private key lies in the log's own folder, `keys/<key id>.key`, sealed under a key that lies elsewhere: the
one that the log is opened with, which comes from the policy's root key. So whoever has the folder alone, a
backup of it or a copy, can verify and cannot sign; whoever has the root key alone cannot sign either; and
what an epoch's key has signed cannot be signed anew by anybody once that key is destroyed.

Invariants:
* A private key is in no repr, no error and no file in the clear.
* A sealed key opens only for the log and the public key that it was made for.
* Nobody finds another key that makes the same name, which holds 128 bits of the first one's SHA-256.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TypeVar

from aigov.audit.cosigning import CosignerKey
from aigov.audit.disk import Disk, make_folder, open_regular
from aigov.audit.note import VerifierKey
from aigov.crypto import (
    Unsealable,
    digest,
    keyed_digest,
    public_ed25519,
    public_mldsa44,
    seal,
    unseal,
)
from aigov.errors import AigovError

FOLDER = "keys"
ORIGIN = "aigov.audit/"
NAME_HEX = 32
SUFFIX = ".key"
KEY_BYTES = 32
MAX_BYTES = 256

Key = TypeVar("Key", bound=VerifierKey)


class KeyUnusable(AigovError):
    """A signing key that is not there, or does not open."""

    code = "audit.key"

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"{self.code}: {why}")


def origin_of(public: bytes) -> str:
    """The name of the log whose first epoch has this public key, 32 bytes."""
    return ORIGIN + digest(public)[:NAME_HEX]


def make(disk: Disk, folder: Path, origin: str, sealing: bytes) -> VerifierKey:
    """Make a signing key, and keep it, durably, for the log `origin`: "" for one named after it. Raises OSError."""
    private = secrets.token_bytes(KEY_BYTES)
    public = public_ed25519(private)
    return _kept(disk, folder, VerifierKey(origin or origin_of(public), public), private, sealing)


def make_cosigner(disk: Disk, folder: Path, origin: str, sealing: bytes) -> CosignerKey:
    """Make an ML-DSA-44 key for the log `origin`, and keep it, durably. Raises Unsupported, OSError."""
    private = secrets.token_bytes(KEY_BYTES)
    return _kept(disk, folder, CosignerKey(origin, public_mldsa44(private)), private, sealing)


def load(folder: Path, key: VerifierKey, sealing: bytes) -> bytes:
    """The private key of `key`, 32 bytes. Raises KeyUnusable, OSError."""
    why, private = "", b""
    try:
        with open(open_regular(_path(folder, key)), "rb") as file:
            private = unseal(_sealing(sealing), file.read(MAX_BYTES), str(key).encode())
    except FileNotFoundError:
        why = "the log's signing key is not there"
    except Unsealable:
        why = "the log's signing key does not open with this key"
    if why:
        raise KeyUnusable(why)
    return private


def destroy(disk: Disk, folder: Path, key: VerifierKey) -> None:
    """Remove a private key for good, as far as a file system lets go of what was in a file."""
    _path(folder, key).unlink(missing_ok=True)
    disk.sync_folder(folder / FOLDER)


def _kept(disk: Disk, folder: Path, key: Key, private: bytes, sealing: bytes) -> Key:
    make_folder(disk, folder / FOLDER)
    disk.put(_path(folder, key), seal(_sealing(sealing), private, str(key).encode()))
    return key


def _path(folder: Path, key: VerifierKey) -> Path:
    return folder / FOLDER / (key.id.hex() + SUFFIX)


def _sealing(key: bytes) -> bytes:
    """A key for this purpose alone: the log's own key also authenticates its head."""
    return bytes.fromhex(keyed_digest(key, "aigov.audit/1 signing keys"))
