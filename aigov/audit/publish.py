"""Signing what the log says: a checkpoint over everything that is durable, and never one that contradicts another.

How a checkpoint is made, under `publish.lock`:
 1. begin     at the head: the last signed state, which only a holder of the log's key can write
 2. read      every line since then again from the disk, and hash it
 3. compare   with the hashes that were handed out when the lines were appended; each line names the one before
 4. compute   the root in two ways: extending the signed tree, and from the tiles
 5. keep      the new tiles, then the head, both durably
 6. sign      and append to `checkpoints.log`, then replace `checkpoint`

Invariants:
* Nothing is signed that differs from what was acknowledged, or that the last signed tree is no beginning of.
* The state is kept before the signature leaves: after a crash the same checkpoint is signed again, no other.
* A difference raises Damaged, and the log takes no more records until somebody has looked.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import msgspec

from aigov.audit import checkpoints, keys
from aigov.audit import head as heads
from aigov.audit.canonical import NotARecord, decode, link, micros, timestamp
from aigov.audit.cosigning import CosignerKey, cosign
from aigov.audit.disk import Disk, locked, open_regular
from aigov.audit.end import Damaged, End
from aigov.audit.head import Head
from aigov.audit.merkle import CompactRange, ProofError
from aigov.audit.note import Checkpoint, VerifierKey, sign
from aigov.audit.reader import Lines, extents
from aigov.audit.records import KeyRotated
from aigov.audit.tiles import Edge, Tiles

LOCK = "publish.lock"
SECONDS = 1.0
RECORDS = 1_000
_ROTATED = f'"kind":"{KeyRotated.kind()}"'.encode()


class _Read(NamedTuple):
    """What was read since the head: leaf hashes in order, and the announced key, "" for none."""

    leaves: list[bytes]
    next_key: str


class Publisher:
    """One process's way to sign checkpoints. Not for several threads at once."""

    def __init__(self, folder: Path, *, key: bytes, disk: Disk, patience: float) -> None:
        self._folder = folder
        self._key = key
        self._disk = disk
        self._patience = patience
        self._tiles = Tiles(folder, disk)
        self._lock: int | None = None
        self._edge = Edge()
        self._private: dict[str, bytes] = {}
        self.at = 0.0
        self.covered = 0

    def drop(self) -> None:
        """Let go of the lock's handle; what a forked child does first."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def due(self, end: End) -> bool:
        """Whether a checkpoint is due for a log that ends there."""
        waiting = end.records - self.covered
        return waiting >= RECORDS or (waiting > 0 and time.monotonic() - self.at >= SECONDS)

    def publish(self, end: End, own: Mapping[int, str], *, force: bool = False, sealed: bool = False) -> None:
        """Sign the log up to `end`, which is durable. `own`: the hashes this process acknowledged, by number.

        Unless `force`, nothing is done where another process has just signed. Raises OSError, Damaged,
        KeyUnusable, HeadAltered.
        """
        with self._held():
            head = self.head()
            self._forget(head)
            self._announce(head)
            self.covered, self.at = head.records, time.monotonic()
            waiting = end.records - head.records
            if waiting > 0 and (force or waiting >= RECORDS or _age(head) >= SECONDS):
                self._sign(head, end, own, sealed)
                self.covered = end.records

    def unseal(self, *, cosign: bool = False) -> None:
        """Say that the log goes on before a line is added: lines after a sealed state are forgeries.

        `cosign`: from here on checkpoints have an ML-DSA-44 signature too, for good. Raises Unsupported.
        """
        with self._held():
            head = self.head()
            if head.sealed or (cosign and not head.cosigner):
                cosigner = head.cosigner or (self._cosigner() if cosign else "")
                state = msgspec.structs.replace(head, sealed=False, cosigner=cosigner)
                heads.write(self._disk, self._folder, state, self._key)

    def _cosigner(self) -> str:
        """A new key that cosigns, published before anything is signed with it."""
        made = keys.make_cosigner(self._disk, self._folder, self.head().origin, self._key)
        checkpoints.put_cosigner(self._disk, self._folder, made)
        return str(made)

    def _held(self) -> AbstractContextManager[None]:
        if self._lock is None:
            self._lock = open_regular(self._folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
        return locked(self._lock, self._patience)

    def head(self) -> Head:
        """The last signed state. Raises Damaged where there is none, HeadAltered, OSError."""
        head = heads.read(self._folder, self._key)
        if head is None:
            raise Damaged("the log has vanished")
        return head

    def published(self, head: Head) -> int:
        """How many checkpoints up to a signed state anybody can read; its own may be missing for now."""
        latest = checkpoints.latest(self._folder) or b""
        return max(0, head.checkpoints - (not latest.startswith(_text(head).encode())))

    def _sign(self, head: Head, end: End, own: Mapping[int, str], sealed: bool) -> None:
        found = self._read(head, end, own)  # 2 and 3
        tree, edge = CompactRange(head.records, map(bytes.fromhex, head.peaks)), self._edge_at(head)
        tree.extend(found.leaves)  # 4
        full = edge.extend(found.leaves)
        root = tree.root()
        if edge.root() != root:
            raise Damaged("two ways to compute the root disagree; run `aigov audit verify`")
        self._tiles.keep(full, edge)  # 5
        self._edge = edge
        settles = sealed or end.records - head.records < RECORDS  # not where many records are waiting to be signed
        if settles:
            self._settle(head, end.records)
        now = timestamp(time.time_ns())
        rotated = bool(head.next_key)
        state = Head(
            origin=head.origin, key=head.key, epoch_key=head.next_key or head.epoch_key, next_key=found.next_key,
            records=end.records,
            root=root.hex(), peaks=tuple(peak.hex() for peak in tree.peaks), last=end.last, segment=end.segment,
            offset=end.offset, bytes=end.bytes, cosigner=head.cosigner,
            epoch=head.epoch + rotated, key_ts=now if rotated else head.key_ts,
            checkpoints=head.checkpoints + 1, sealed=sealed, ts=now,
            tiled=end.records if settles else head.tiled,
        )  # fmt: skip
        heads.write(self._disk, self._folder, state, self._key)
        self._announce(state)  # 6
        if rotated:
            self._end_epoch(head)

    def _announce(self, head: Head) -> None:
        """Publish the checkpoint of a signed state, unless that was done."""
        if self.published(head) == head.checkpoints:
            return
        text = _text(head)
        note = checkpoints.written(self._folder, text)  # after a power loss its epoch's key may be gone
        if note is None:
            signers = (head.key, head.epoch_key)
            note = sign(text, [(key, self._private_of(key)) for key in map(VerifierKey.parse, signers)])
            if head.cosigner:
                key = CosignerKey.parse(head.cosigner)
                note = cosign(note, key, self._private_of(key), int(time.time()))
        checkpoints.publish(self._disk, self._folder, note)
        if head.next_key:
            self._end_epoch(head)

    def _forget(self, head: Head) -> None:
        """Keep no key in memory whose epoch another process ended: it would sign what was signed with it anew."""
        serving = {head.key, head.epoch_key, head.cosigner}
        self._private = {vkey: private for vkey, private in self._private.items() if vkey in serving}

    def _end_epoch(self, head: Head) -> None:
        """Destroy the key of an epoch whose last checkpoint is published."""
        self._private.pop(head.epoch_key, None)
        keys.destroy(self._disk, self._folder, VerifierKey.parse(head.epoch_key))

    def _private_of(self, key: VerifierKey) -> bytes:
        vkey = str(key)
        if vkey not in self._private:
            self._private[vkey] = keys.load(self._folder, key, self._key)
        return self._private[vkey]

    def _edge_at(self, head: Head) -> Edge:
        """The tree's edge at the head: as this process knows it, from the tiles, or from the records."""
        if self._edge.size == head.records and self._edge.root().hex() == head.root:
            return self._edge
        edge: Edge | None = None
        try:
            edge = self._tiles.edge(head.records)
        except ProofError:
            edge = None
        if edge is None or edge.root().hex() != head.root:
            edge = self._rebuilt(head)
        return edge

    def heal(self) -> None:
        """Make tiles again that a crash may have taken. Raises Damaged, HeadAltered, OSError."""
        with self._held():
            head = self.head()
            if head.tiled < head.records:
                self._edge = self._rebuilt(head)

    def _settle(self, head: Head, records: int) -> None:
        """Make durable what no signed state says is: others may have kept those tiles, and been killed."""
        paths = self._tiles.full(head.tiled, records)
        if not all(map(Path.exists, paths)):
            self._rebuilt(head)
        self._tiles.settle(paths)

    def _rebuilt(self, head: Head) -> Edge:
        """The edge from the records themselves; tiles that were lost are written again."""
        edge, made = Edge(), list[Path]()
        for line in _lines(self._folder, (0, 0), End(head.records, head.segment, head.offset, "", 0)):
            for tile in edge.extend([bytes.fromhex(link(line))]):
                if self._tiles.stored(tile.level, tile.at) != tile.data:
                    made += self._tiles.keep([tile], Edge())
        if edge.size != head.records or edge.root().hex() != head.root:
            raise Damaged("the records are not those that were signed; run `aigov audit verify`")
        self._tiles.settle(made)
        return edge

    def _read(self, head: Head, end: End, own: Mapping[int, str]) -> _Read:
        """The lines from the head to `end`, hashed from the disk and compared with what is known of them."""
        leaves: list[bytes] = []
        last, seq, next_key = head.last, head.records, ""
        for line in _lines(self._folder, (head.segment, head.offset), end):
            leaf = link(line)
            if own.get(seq, leaf) != leaf or f'"prev":"{last}"'.encode() not in line:
                raise Damaged("a record on the disk is not the one that was written; run `aigov audit verify`")
            if seq not in own or _ROTATED in line:
                next_key = _checked(line, seq) or next_key
            leaves.append(bytes.fromhex(leaf))
            last, seq = leaf, seq + 1
        if (seq, last) != (end.records, end.last):
            raise Damaged("the log does not end where it was written to; run `aigov audit verify`")
        return _Read(leaves, next_key)


def _checked(line: bytes, seq: int) -> str:
    """A line of another process has to be a record too. Returns the key that it announces, or ""."""
    entry = None
    try:
        entry = decode(line)
    except NotARecord:
        entry = None
    if entry is None or entry.seq != seq:
        raise Damaged("a line is not the record that belongs there; run `aigov audit verify`")
    return entry.next if entry.kind == KeyRotated.kind() else ""


def _text(head: Head) -> str:
    """What the checkpoint of a signed state says."""
    return Checkpoint(head.origin, head.records, bytes.fromhex(head.root)).text()


def _lines(folder: Path, start: tuple[int, int], end: End) -> Iterator[bytes]:
    """The lines from a place (segment, byte) up to an end."""
    for path, size in extents(folder, start[0]):
        number = int(path.stem)
        if start[0] <= number <= end.segment:
            first = start[1] if number == start[0] else 0
            yield from Lines(path, first, end.offset if number == end.segment else size)


def _age(head: Head) -> float:
    """Seconds since a head was signed, by the wall clock; a clock that went back makes it old."""
    age = (time.time_ns() // 1000 - micros(head.ts)) / 1_000_000
    return age if age >= 0 else SECONDS
