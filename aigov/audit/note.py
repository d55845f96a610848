"""Signed notes and checkpoints, byte for byte as C2SP publishes them (signed-note, tlog-checkpoint).

    aigov.audit/0198c2…                                      the note's text: the log's origin,
    1042                                                     how many records,
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=             the root of their tree
                                                             an empty line
    — aigov.audit/0198c2… Az3grlgtzPICa5OS8npVmf1Myq/5…      a signature: key name, key id ‖ Ed25519 signature

Invariants:
* A text counts only when a key that the caller trusts has signed it; signatures of other keys are ignored,
  and a bad signature under a trusted key's name and id spoils the note.
* One value has one spelling: base64 and decimal numbers in any other form are refused.
* A checkpoint of ours has no extension lines: what stands there could not be audited.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import ClassVar, Self

import msgspec

from aigov.crypto import sign_ed25519, verify_ed25519
from aigov.errors import AigovError

ED25519 = b"\x01"
ID_BYTES, KEY_BYTES, ROOT_BYTES = 4, 32, 32
SIGNATURE_BYTES = 64
MAX_NOTE_BYTES = 64 * 1024
MAX_SIGNATURES = 64
MAX_SIZE = 2**63 - 1
_DASH = "\u2014 "
_CONTROLS = frozenset(map(chr, range(ord(" ")))) - {"\n"}


class NoteError(AigovError):
    """Bytes that are no note, no checkpoint, no key, or not signed by a key that is trusted."""

    code = "audit.note"

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"{self.code}: {why}")


class VerifierKey(msgspec.Struct, frozen=True):
    """A public key and the name it signs under. `str()` of it is the `vkey` that auditors pin."""

    name: str
    public: bytes

    KIND: ClassVar[str] = "Ed25519"
    TYPE: ClassVar[bytes] = ED25519
    SIZE: ClassVar[int] = KEY_BYTES

    @classmethod
    def parse(cls, text: str) -> Self:
        """The key of a `vkey` line: name, key id in hex, base64 of type and key, joined by `+`. Raises NoteError."""
        name, _, rest = text.partition("+")
        identity, _, encoded = rest.partition("+")
        body = bytes64(encoded)
        if not _is_name(name) or len(body) != 1 + cls.SIZE or body[:1] != cls.TYPE:
            raise NoteError(f"not an {cls.KIND} verifier key")
        key = cls(name, body[1:])
        if identity != key.id.hex():
            raise NoteError("the key id does not belong to the key")
        return key

    @property
    def id(self) -> bytes:
        """The four bytes that name the key in a signature."""
        return hashlib.sha256(self.name.encode() + b"\n" + self.TYPE + self.public).digest()[:ID_BYTES]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{_text64(self.TYPE + self.public)}"


class Checkpoint(msgspec.Struct, frozen=True):
    """What a log says of itself: its origin, how many records it has, the root of their tree (32 bytes)."""

    origin: str
    size: int
    root: bytes

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """The checkpoint of a note's text. Raises NoteError."""
        lines = text.split("\n")
        if len(lines) != 4 or lines[3] or not lines[0]:
            raise NoteError("a checkpoint has an origin, a size and a root, and no more lines")
        origin, size, root = lines[0], number(lines[1]), bytes64(lines[2])
        if len(root) != ROOT_BYTES:
            raise NoteError("the root is not a hash")
        return cls(origin, size, root)

    def text(self) -> str:
        """The note text, final newline included."""
        return f"{self.origin}\n{self.size}\n{_text64(self.root)}\n"


def sign(text: str, signers: Sequence[tuple[VerifierKey, bytes]]) -> bytes:
    """A note: `text` (ending in a newline), signed by each key with the 32 private bytes that belong to it."""
    if not text.endswith("\n") or _has_controls(text):
        raise NoteError("not a text that can be signed")
    made = ((key, sign_ed25519(private, text.encode())) for key, private in signers)
    lines = "".join(signature_line(key, signature) for key, signature in made)
    return f"{text}\n{lines}".encode()


def signature_line(key: VerifierKey, signature: bytes) -> str:
    """The line that a signature is in a note."""
    return f"{_DASH}{key.name} {_text64(key.id + signature)}\n"


def open_note(note: bytes, keys: Sequence[VerifierKey]) -> str:
    """The text of a note that at least one of `keys` signed. Raises NoteError."""
    text, signatures = split(note)
    good = 0
    for name, identity, signature in signatures:
        for key in keys:
            if (name, identity) == (key.name, key.id):
                if not verify_ed25519(key.public, signature, text.encode()):
                    raise NoteError("the signature is not that of the key it names")
                good += 1
    if not good:
        raise NoteError("no trusted key signed it")
    return text


def open_checkpoint(note: bytes, key: VerifierKey, epoch_key: VerifierKey | None = None) -> Checkpoint:
    """The checkpoint that `key` signed for the log of its own name, and `epoch_key` too. Raises NoteError."""
    checkpoint = Checkpoint.parse(open_note(note, [key]))
    if checkpoint.origin != key.name:
        raise NoteError("the checkpoint is about another log")
    if epoch_key is not None:
        open_note(note, [epoch_key])
    return checkpoint


def split(note: bytes) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    """Text and signatures (key name, key id, signature) of a note; nothing is verified. Raises NoteError."""
    if len(note) > MAX_NOTE_BYTES:
        raise NoteError("too long for a note")
    whole = _decoded(note)
    body, found, tail = whole.rpartition("\n\n")
    if not found or not tail.endswith("\n") or _has_controls(whole):
        raise NoteError("not a note")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteError("too many signatures")
    return body + "\n", [_signature(line) for line in lines]


def _signature(line: str) -> tuple[str, bytes, bytes]:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space or not _is_name(name):
        raise NoteError("not a signature line")
    raw = bytes64(encoded)
    if len(raw) <= ID_BYTES:
        raise NoteError("a signature is too short")
    return name, raw[:ID_BYTES], raw[ID_BYTES:]


def _decoded(note: bytes) -> str:
    try:
        return note.decode("utf-8")
    except UnicodeDecodeError:
        pass
    raise NoteError("not UTF-8")


def _has_controls(text: str) -> bool:
    return not _CONTROLS.isdisjoint(text)


def _is_name(name: str) -> bool:
    return "+" not in name and name.split() == [name]


def number(text: str) -> int:
    """A decimal number in its one spelling."""
    if not (text.isascii() and text.isdigit()) or (text[0] == "0" and text != "0") or len(text) > len(str(MAX_SIZE)):
        raise NoteError("the size is not a number")
    number = int(text)
    if number > MAX_SIZE:
        raise NoteError("the size is not a number")
    return number


def _text64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def bytes64(text: str) -> bytes:
    """Bytes of base64 in its one spelling (RFC 4648, section 4)."""
    data = b""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError, ValueError):
        data = b""
    if not data or _text64(data) != text:
        raise NoteError("not base64")
    return data
