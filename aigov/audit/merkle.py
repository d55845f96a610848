"""The tree over a log's lines: RFC 6962, section 2.1, with SHA-256.

A leaf is SHA-256(0x00 ‖ line), a node is SHA-256(0x01 ‖ left ‖ right), and the tree of n leaves splits at
the largest power of two below n. A proof is a list of hashes, the one nearest to the leaf first.

Invariants:
* Nothing here reads a file: a tree is asked through `subtree(level, index)`, the hash over the leaves from
  `index << level` to `(index + 1) << level`, which is perfect and never changes once they are there.
* `CompactRange` holds what every longer tree needs of a shorter one, at most one hash a level: extending
  it is what makes two roots consistent.
* A proof that does not lead to the root, is too long or too short, or is about no leaf, raises ProofError.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

from aigov.errors import AigovError

HASH_BYTES = 32
LEAF, NODE = b"\x00", b"\x01"
EMPTY_ROOT = hashlib.sha256(b"").digest()

Subtree = Callable[[int, int], bytes]


class ProofError(AigovError):
    """A proof that proves nothing, or that cannot be given."""

    code = "audit.proof"

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"{self.code}: {why}")


def leaf_hash(line: bytes) -> bytes:
    """The 32 bytes that stand for a line (without newline) in the tree and in the next line's `prev`."""
    return hashlib.sha256(LEAF + line).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash over two subtrees."""
    return hashlib.sha256(NODE + left + right).digest()


class CompactRange:
    """A tree of `size` leaves as the roots of its perfect subtrees, the largest first."""

    __slots__ = ("peaks", "size")

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        self.size = size
        self.peaks = list(peaks)
        if len(self.peaks) != size.bit_count():
            raise ProofError("a tree of this size has another number of peaks")

    def add(self, leaf: bytes) -> None:
        """Append one leaf hash."""
        peaks, size, node = self.peaks, self.size, leaf
        sha256 = hashlib.sha256
        while size & 1:
            node = sha256(NODE + peaks.pop() + node).digest()
            size >>= 1
        peaks.append(node)
        self.size += 1

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Append leaf hashes in order."""
        for leaf in leaves:
            self.add(leaf)

    def root(self) -> bytes:
        """The tree's root."""
        if not self.peaks:
            return EMPTY_ROOT
        node = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            node = node_hash(peak, node)
        return node

    def copy(self) -> CompactRange:
        """The same tree, to be extended apart."""
        return CompactRange(self.size, self.peaks)


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """The root over 2^n hashes of equal height, level by level."""
    level, sha256 = hashes, hashlib.sha256
    while len(level) > 1:
        pairs = iter(level)
        level = [sha256(NODE + left + right).digest() for left, right in zip(pairs, pairs, strict=True)]
    return level[0]


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf hashes, subtree by subtree: another way than `CompactRange` to the same hash."""
    subtree = _subtrees(leaves)
    return span(0, len(leaves), subtree) if leaves else EMPTY_ROOT


def span(start: int, end: int, subtree: Subtree) -> bytes:
    """The tree hash over leaves `start` to `end`. `start` is a multiple of the next power of two."""
    roots = []
    while end > start:
        level = (end - start).bit_length() - 1
        roots.append(subtree(level, start >> level))
        start += 1 << level
    node = roots.pop()
    while roots:
        node = node_hash(roots.pop(), node)
    return node


def inclusion_proof(index: int, size: int, subtree: Subtree) -> list[bytes]:
    """PATH(index, D[size]): that this leaf is in the tree of this size. Raises ProofError."""
    if not 0 <= index < size:
        raise ProofError("there is no such record in a tree of this size")
    start, end, siblings = 0, size, []
    while end - start > 1:
        middle = start + _split(end - start)
        siblings.append((middle, end) if index < middle else (start, middle))
        start, end = (start, middle) if index < middle else (middle, end)
    return [span(*sibling, subtree) for sibling in reversed(siblings)]


def consistency_proof(old: int, new: int, subtree: Subtree) -> list[bytes]:
    """PROOF(old, D[new]): that the tree of `new` leaves begins with that of `old`. Raises ProofError."""
    if not 0 <= old <= new:
        raise ProofError("a tree is consistent only with a later one")
    if old in (0, new):
        return []
    start, end, siblings, whole = 0, new, [], True
    while end != old:
        middle = start + _split(end - start)
        if old <= middle:
            siblings.append((middle, end))
            end = middle
        else:
            siblings.append((start, middle))
            start, whole = middle, False
    if not whole:
        siblings.append((start, end))
    return [span(*sibling, subtree) for sibling in reversed(siblings)]


def root_from_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes]) -> bytes:
    """The root that an inclusion proof leads to (RFC 9162, 2.1.3.2). Raises ProofError."""
    if not 0 <= index < size:
        raise ProofError("there is no such record in a tree of this size")
    at, last, node = index, size - 1, leaf
    for sibling in proof:
        if not last or len(sibling) != HASH_BYTES:
            raise ProofError("the proof is too long")
        if at & 1 or at == last:
            node = node_hash(sibling, node)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        at, last = at >> 1, last >> 1
    if last:
        raise ProofError("the proof is too short")
    return node


def check_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Raise ProofError unless the leaf is in the tree with this root."""
    if root_from_inclusion(index, size, leaf, proof) != root:
        raise ProofError("the record is not in the tree")


def check_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Raise ProofError unless the new tree begins with the old one (RFC 9162, 2.1.4.2)."""
    if not 0 <= old <= new:
        raise ProofError("a tree is consistent only with a later one")
    if old in (0, new):
        expected = EMPTY_ROOT if old == 0 else new_root
        if proof or old_root != expected:
            raise ProofError("the two trees differ")
        return
    if (_roots_from_consistency(old, new, old_root, proof)) != (old_root, new_root):
        raise ProofError("the later tree does not begin with the earlier one")


def _roots_from_consistency(old: int, new: int, old_root: bytes, proof: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Both roots that a consistency proof leads to, for 0 < old < new."""
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    if not path or any(len(node) != HASH_BYTES for node in path):
        raise ProofError("the proof is too short")
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    first = second = path[0]
    for sibling in path[1:]:
        if not last:
            raise ProofError("the proof is too long")
        if at & 1 or at == last:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            second = node_hash(second, sibling)
        at, last = at >> 1, last >> 1
    if last:
        raise ProofError("the proof is too short")
    return first, second


def _split(count: int) -> int:
    """The largest power of two below `count`."""
    return 1 << ((count - 1).bit_length() - 1)


def _subtrees(leaves: Sequence[bytes]) -> Subtree:
    def subtree(level: int, index: int) -> bytes:
        return perfect_root(leaves[index << level : (index + 1) << level])

    return subtree
