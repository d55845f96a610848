"""Proofs that stand alone: that a record is in the log, and that a log only grew (C2SP tlog-proof).

    c2sp.org/tlog-proof@v1            a record's proof: its number, the hashes from its leaf up to the root,
    index 73894                       and the signed checkpoint that they lead to
    gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=

    old 20852163                      a proof of consistency, as logs send it to their witnesses
    gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=       (tlog-witness, add-checkpoint)

Either ends with an empty line and a checkpoint.

Invariants:
* A proof is tried before it leaves: tiles that are wrong make no proof, and no wrong proof.
* Checking needs the record's line, the proof and the log's verifier key; no log, no tiles, no network.
* The hash of the line is what is proven: another spelling of the same record is another record.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from aigov.audit import checkpoints, merkle, tiles
from aigov.audit.merkle import CompactRange, ProofError, Subtree
from aigov.audit.note import Checkpoint, NoteError, VerifierKey, bytes64, number, open_checkpoint, split
from aigov.audit.reader import Lines, extents
from aigov.audit.tiles import Tiles

HEADER = "c2sp.org/tlog-proof@v1"
MAX_BYTES = 128 * 1024
MAX_HASHES = 64
SUFFIX = ".tlog-proof"


class Proof(msgspec.Struct, frozen=True):
    """A parsed proof. `at`: the record's number, or the size of the older log; `note`: the checkpoint, not verified."""

    at: int
    hashes: tuple[bytes, ...]
    note: bytes


class Prover:
    """Gives proofs from one log's folder, or a copy, under its latest checkpoint."""

    def __init__(self, folder: Path) -> None:
        note = checkpoints.latest(folder)
        if note is None:
            raise ProofError("the log has no checkpoint yet")
        self._note = note
        self.checkpoint = Checkpoint.parse(split(note)[0])
        self._subtree = subtrees(folder, self.checkpoint.size)

    def prove(self, seq: int) -> bytes:
        """The proof of record number `seq`, as a `.tlog-proof` file has it. Raises ProofError."""
        size, root = self.checkpoint.size, self.checkpoint.root
        if seq >= size:
            raise ProofError("no checkpoint covers the record yet; it will within a second")
        hashes = merkle.inclusion_proof(seq, size, self._subtree)
        if merkle.root_from_inclusion(seq, size, self._subtree(0, seq), hashes) != root:
            raise ProofError("the hashes do not lead to what was signed; run `aigov audit verify`")
        return _written([HEADER, f"index {seq}"], hashes, self._note)

    def prove_since(self, old: Checkpoint) -> bytes:
        """The proof that the log of checkpoint `old` only grew. Raises ProofError."""
        new = self.checkpoint
        if old.origin != new.origin:
            raise ProofError("the checkpoint is about another log")
        if old.size > new.size:
            raise ProofError("the log is shorter than it was: it went back")
        hashes = merkle.consistency_proof(old.size, new.size, self._subtree)
        merkle.check_consistency(old.size, new.size, old.root, new.root, hashes)
        return _written([f"old {old.size}"], hashes, self._note)


def prover(folder: Path) -> Callable[[Mapping[str, Any]], str | None]:
    """A function from a record to its proof as text; None for a record that no checkpoint covers."""
    giving = Prover(folder)

    def prove(record: Mapping[str, Any]) -> str | None:
        seq = int(record["seq"])
        return giving.prove(seq).decode() if seq < giving.checkpoint.size else None

    return prove


def check(proof: bytes, line: bytes, key: VerifierKey) -> Checkpoint:
    """The checkpoint of `key` that the record `line` (without newline) is under. Raises ProofError, NoteError."""
    found = parse(proof)
    checkpoint = open_checkpoint(found.note, key)
    merkle.check_inclusion(found.at, checkpoint.size, merkle.leaf_hash(line), found.hashes, checkpoint.root)
    return checkpoint


def check_since(proof: bytes, old: bytes, key: VerifierKey) -> Checkpoint:
    """The checkpoint of `key` that the log of the note `old` has grown to. Raises ProofError, NoteError."""
    found, before = parse(proof, since=True), open_checkpoint(old, key)
    now = open_checkpoint(found.note, key)
    if found.at != before.size:
        raise ProofError("the proof begins at another checkpoint")
    merkle.check_consistency(before.size, now.size, before.root, now.root, found.hashes)
    return now


def parse(proof: bytes, *, since: bool = False) -> Proof:
    """The parts of a proof; nothing is verified. Raises ProofError."""
    why, parts = "", None
    try:
        parts = _parts(proof, since)
    except (NoteError, UnicodeDecodeError):
        why = "not a proof"
    if parts is None:
        raise ProofError(why)
    return parts


def subtrees(folder: Path, size: int) -> Subtree:
    """The tree of a log's first `size` records: from its tiles, or where a copy has none from the records."""
    if (folder / tiles.FOLDER).is_dir():
        return Tiles(folder).subtree(size)
    leaves: list[bytes] = []
    for path, end in extents(folder):
        leaves.extend(merkle.leaf_hash(line) for line in Lines(path, 0, end))
        if len(leaves) >= size:
            break
    if len(leaves) < size:
        raise ProofError("the log is shorter than its checkpoint; run `aigov audit verify`")
    del leaves[size:]
    return lambda level, index: merkle.perfect_root(leaves[index << level : (index + 1) << level])


def root_at(folder: Path, size: int) -> bytes:
    """The root of a log's first `size` records. Raises ProofError."""
    subtree, peaks, start = subtrees(folder, size), [], 0
    for level in range(size.bit_length() - 1, -1, -1):
        if size >> level & 1:
            peaks.append(subtree(level, start >> level))
            start += 1 << level
    return CompactRange(size, peaks).root()


def _parts(proof: bytes, since: bool) -> Proof:
    if len(proof) > MAX_BYTES:
        raise ProofError("too long for a proof")
    head, found, note = proof.decode("utf-8").partition("\n\n")
    lines = head.split("\n")
    if not since and (lines.pop(0) != HEADER or not lines):
        raise ProofError("not a proof")
    if not since and lines[0].startswith("extra "):
        bytes64(lines.pop(0).removeprefix("extra "))  # nobody vouches for it, so nobody reads it
    word, space, place = (lines.pop(0) if lines else "").partition(" ")
    if not found or word != ("old" if since else "index") or not space or len(lines) > MAX_HASHES:
        raise ProofError("not a proof")
    return Proof(number(place), tuple(map(bytes64, lines)), note.encode())


def _written(head: Iterable[str], hashes: Sequence[bytes], note: bytes) -> bytes:
    lines = [*head, *(base64.b64encode(one).decode("ascii") for one in hashes)]
    return "\n".join(lines).encode() + b"\n\n" + note
