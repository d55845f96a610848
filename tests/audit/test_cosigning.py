"""Cosignatures: made as the specification writes them down, kept up for good, and asked for by who holds the key."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import mldsa

from aigov import crypto
from aigov.audit import checkpoints
from aigov.audit.cosigning import CosignerKey, cosign, is_cosigned
from aigov.audit.log import Log
from aigov.audit.note import Checkpoint, NoteError, VerifierKey, sign, split
from aigov.audit.settings import AuditSettings
from aigov.audit.verify import Status, verify
from aigov.crypto import public_ed25519, public_mldsa44
from aigov.errors import AuditUnavailable
from benchmarks.tampering.loggers import Aigov, Held

ON = AuditSettings(cosign="ml-dsa-44", patience_ms=5_000)
PLAIN = AuditSettings(patience_ms=5_000)
SEED = bytes(range(32))
KEY = CosignerKey("example.com/log", public_mldsa44(SEED))
ROOT = bytes(range(100, 132))
NOTE = sign(
    Checkpoint("example.com/log", 42, ROOT).text(),
    [(VerifierKey("example.com/log", public_ed25519(SEED)), SEED)],
)


def test_what_is_signed_is_the_specifications_message() -> None:
    _, (_, (name, identity, signature)) = split(cosign(NOTE, KEY, SEED, 1_700_000_000))
    label, who = b"subtree/v1\n\0", b"example.com/log"
    message = label + struct.pack(">B15sQB15sQQ", 15, who, 1_700_000_000, 15, who, 0, 42) + ROOT
    assert (name, identity) == ("example.com/log", KEY.id)
    assert signature[:8] == struct.pack(">Q", 1_700_000_000)
    assert len(signature) == 8 + 2_420
    mldsa.MLDSA44PublicKey.from_public_bytes(KEY.public).verify(signature[8:], message)


def test_a_key_has_one_spelling_and_is_no_other_kind() -> None:
    assert CosignerKey.parse(str(KEY)) == KEY
    with pytest.raises(NoteError, match="not an Ed25519"):
        VerifierKey.parse(str(KEY))
    with pytest.raises(NoteError, match="not an ML-DSA-44"):
        CosignerKey.parse(str(VerifierKey("example.com/log", public_ed25519(SEED))))


def changed(note: bytes) -> Iterator[bytes]:
    """The note with another size, root or time, and with parts of the signature changed."""
    yield note.replace(b"\n42\n", b"\n43\n")
    text = Checkpoint("example.com/log", 42, bytes(32)).text().encode()
    yield text + b"\n" + note.partition(b"\n\n")[2]
    yield cosign(NOTE, CosignerKey("example.com/log", public_mldsa44(bytes(32))), SEED, 1)
    yield cosign(NOTE, KEY, bytes(32), 1)
    yield cosign(NOTE, KEY, SEED, 0)
    yield cosign(cosign(NOTE, KEY, SEED, 1), KEY, bytes(32), 1)


def test_a_cosignature_is_right_or_there_is_none() -> None:
    note = cosign(NOTE, KEY, SEED, 1_700_000_000)
    assert is_cosigned(note, KEY)
    assert not is_cosigned(NOTE, KEY)
    assert [is_cosigned(other, KEY) for other in changed(note)] == [False] * 6


def cosigned(folder: Path, kit: Any, *settings: AuditSettings) -> CosignerKey:
    """A log that was opened and closed under each of these settings."""
    for each in settings:
        with Log.open(folder, key=kit.key, settings=each) as log:
            kit.fill(log, 1)
    return CosignerKey.parse((folder / checkpoints.COSIGNER).read_text().strip())


def test_a_log_is_cosigned_from_then_on(folder: Path, kit: Any) -> None:
    key = cosigned(folder, kit, PLAIN, ON, PLAIN)
    notes = list(checkpoints.Notes(folder / checkpoints.ALL))
    signed = [is_cosigned(note, key) for note in notes]
    assert signed == sorted(signed)
    assert signed[0] is False
    assert signed[-1] is True
    assert len([path for path in (folder / "keys").iterdir() if path.stem == key.id.hex()]) == 1
    assert verify(folder, kit.key, cosigner=key).status == Status.WHOLE
    assert set(Aigov().verdicts(folder, Held()).values()) == {0}


def test_whoever_holds_the_key_misses_the_cosignature(folder: Path, kit: Any) -> None:
    key = cosigned(folder, kit, ON)
    assert verify(folder, cosigner=KEY).status == Status.TAMPERED
    notes = [b"".join(note.splitlines(keepends=True)[:-1]) for note in checkpoints.Notes(folder / checkpoints.ALL)]
    (folder / checkpoints.ALL).write_bytes(b"".join(note + b"\n" for note in notes))
    (folder / checkpoints.LATEST).write_bytes(notes[-1])
    assert verify(folder).status == Status.WHOLE  # the log's own signatures are there
    assert verify(folder, cosigner=key).status == Status.TAMPERED


def test_without_such_keys_the_log_is_not_opened_and_not_called_whole(
    folder: Path, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = cosigned(folder, kit, ON)
    monkeypatch.setattr(crypto, "mldsa", None)
    with pytest.raises(AuditUnavailable, match="ML-DSA-44 needs"):
        Log.open(folder.with_name("new"), key=kit.key, settings=ON)
    with pytest.raises(AuditUnavailable, match="ML-DSA-44 needs"):
        Log.open(folder, key=kit.key, settings=PLAIN)
    assert verify(folder, cosigner=key).status == Status.UNCHECKABLE
    assert verify(folder).status != Status.TAMPERED
