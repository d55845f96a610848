"""A further signature over checkpoints, which no quantum computer forges: ML-DSA-44, as C2SP's tlog-cosignature has it.

    — aigov.audit/0198c2… base64 of: key id ‖ seconds since 1970, 8 bytes ‖ ML-DSA-44 signature, 2,420 bytes

What is signed is not the note's text but its meaning, as bytes with their lengths: who signs, when, which log, and the
root over its records from 0 to the checkpoint's size. Who does not know the key passes the line over.

Invariants:
* A log that is cosigned once is cosigned from then on: its last checkpoint vouches for every record before it.
* The key lasts as long as the log; it lies in `keys/` like the others, and its public half in `log.mldsa44.vkey`.
"""

from __future__ import annotations

from typing import ClassVar

from aigov.audit.note import MAX_SIZE, Checkpoint, NoteError, VerifierKey, signature_line, split
from aigov.crypto import sign_mldsa44, verify_mldsa44

MLDSA44 = b"\x06"
PUBLIC_BYTES = 1_312
TIME_BYTES = 8
_LABEL = b"subtree/v1\n\0"


class CosignerKey(VerifierKey, frozen=True):
    """An ML-DSA-44 public key, 1,312 bytes, and the name it signs under."""

    KIND: ClassVar[str] = "ML-DSA-44"
    TYPE: ClassVar[bytes] = MLDSA44
    SIZE: ClassVar[int] = PUBLIC_BYTES


def cosign(note: bytes, key: CosignerKey, private: bytes, seconds: int) -> bytes:
    """A checkpoint's note with one more signature, made at `seconds` since 1970. Raises NoteError, Unsupported."""
    message = _message(Checkpoint.parse(split(note)[0]), key, seconds)
    signature = seconds.to_bytes(TIME_BYTES) + sign_mldsa44(private, message)
    return note + signature_line(key, signature).encode()


def is_cosigned(note: bytes, key: CosignerKey) -> bool:
    """Whether every signature that names the key is right, and there is one. Raises NoteError, Unsupported."""
    text, signatures = split(note)
    ours = [signature for name, identity, signature in signatures if (name, identity) == (key.name, key.id)]
    checkpoint = Checkpoint.parse(text)
    return bool(ours) and all(_is_right(checkpoint, key, signature) for signature in ours)


def _is_right(checkpoint: Checkpoint, key: CosignerKey, signature: bytes) -> bool:
    seconds = int.from_bytes(signature[:TIME_BYTES])
    if not 0 < seconds <= MAX_SIZE:
        return False
    return verify_mldsa44(key.public, signature[TIME_BYTES:], _message(checkpoint, key, seconds))


def _message(checkpoint: Checkpoint, key: CosignerKey, seconds: int) -> bytes:
    """The structure `cosigned_message` of the specification, in the encoding of RFC 8446, section 3."""
    if max(map(len, (key.name.encode(), checkpoint.origin.encode()))) > 255:
        raise NoteError("a name is too long to be cosigned")
    return b"".join([
        _LABEL, _counted(key.name), seconds.to_bytes(8), _counted(checkpoint.origin), (0).to_bytes(8),
        checkpoint.size.to_bytes(8), checkpoint.root,
    ])  # fmt: skip


def _counted(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(1) + data
