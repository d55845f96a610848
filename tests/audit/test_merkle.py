"""The tree: RFC 6962's own definition, its published roots, and every proof up to 128 records."""

from __future__ import annotations

import hashlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigov.audit import merkle
from aigov.audit.merkle import CompactRange, ProofError

MOST = int(os.environ.get("AIGOV_TREE_SIZE", "128"))  # 256 in the long form
# The inputs and roots that certificate-transparency implementations test themselves with.
INPUTS = [
    b"", b"\x00", b"\x10", b"\x20\x21", b"\x30\x31", b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57", b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
]  # fmt: skip
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def mth(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, as it stands there; over leaf hashes."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    middle = 1
    while middle * 2 < len(leaves):
        middle *= 2
    return hashlib.sha256(b"\x01" + mth(leaves[:middle]) + mth(leaves[middle:])).digest()


def path(at: int, leaves: list[bytes]) -> list[bytes]:
    """PATH of section 2.1.1."""
    if len(leaves) == 1:
        return []
    middle = 1
    while middle * 2 < len(leaves):
        middle *= 2
    if at < middle:
        return [*path(at, leaves[:middle]), mth(leaves[middle:])]
    return [*path(at - middle, leaves[middle:]), mth(leaves[:middle])]


def subproof(old: int, leaves: list[bytes], whole: bool) -> list[bytes]:
    """SUBPROOF of section 2.1.2."""
    if old == len(leaves):
        return [] if whole else [mth(leaves)]
    middle = 1
    while middle * 2 < len(leaves):
        middle *= 2
    if old <= middle:
        return [*subproof(old, leaves[:middle], whole), mth(leaves[middle:])]
    return [*subproof(old - middle, leaves[middle:], False), mth(leaves[:middle])]


LEAVES = [merkle.leaf_hash(b"%d" % at) for at in range(MOST + 1)]
TREES = [mth(LEAVES[:size]) for size in range(MOST + 1)]


def subtree(level: int, index: int) -> bytes:
    return merkle.perfect_root(LEAVES[index << level : (index + 1) << level])


def test_the_published_roots() -> None:
    tree, hashes = CompactRange(), [merkle.leaf_hash(data) for data in INPUTS]
    for size, root in enumerate(ROOTS):
        assert tree.root().hex() == merkle.root_of(hashes[:size]).hex() == root
        if size < len(hashes):
            tree.add(hashes[size])


def test_a_range_that_grows_has_the_root_of_each_size() -> None:
    tree = CompactRange()
    for size in range(MOST + 1):
        assert (tree.size, tree.root(), merkle.root_of(LEAVES[:size])) == (size, TREES[size], TREES[size])
        assert CompactRange(size, tree.peaks).root() == TREES[size]
        tree.add(LEAVES[size])


def test_every_inclusion_proof_up_to_128_is_the_defined_one_and_checks() -> None:
    for size in range(1, MOST + 1):
        for at in range(size):
            proof = merkle.inclusion_proof(at, size, subtree)
            assert proof == path(at, LEAVES[:size])
            merkle.check_inclusion(at, size, LEAVES[at], proof, TREES[size])


def test_every_consistency_proof_up_to_128_is_the_defined_one_and_checks() -> None:
    for new in range(MOST + 1):
        for old in range(new + 1):
            proof = merkle.consistency_proof(old, new, subtree)
            if old:
                assert proof == subproof(old, LEAVES[:new], True)
            merkle.check_consistency(old, new, TREES[old], TREES[new], proof)


@given(st.integers(1, MOST), st.data())
def test_an_inclusion_proof_holds_for_nothing_else(size: int, data: st.DataObject) -> None:
    at, other = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, MOST))
    proof = merkle.inclusion_proof(at, size, subtree)
    wrong = [
        (at, size, LEAVES[at], [*proof, LEAVES[0]]),
        (at, size, LEAVES[at], proof[:-1]) if proof else (at, size, LEAVES[-1], proof),
        (at, size, LEAVES[at + 1], proof),
        (other, size, LEAVES[at], proof) if other != at else (size, size, LEAVES[at], proof),
        (-1, size, LEAVES[at], proof),
        (at, size, LEAVES[at], [node[:-1] for node in proof]) if proof else (at, 0, LEAVES[at], proof),
        (at, size, LEAVES[at], proof[::-1]) if proof != proof[::-1] else (at, 2 * size + 1, LEAVES[at], proof),
    ]
    for case in wrong:
        with pytest.raises(ProofError):
            merkle.check_inclusion(*case, TREES[size])


@given(st.integers(0, MOST), st.data())
def test_a_consistency_proof_holds_for_nothing_else(new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(0, new))
    proof, other = merkle.consistency_proof(old, new, subtree), LEAVES[0][::-1]
    for case in [
        (old, new, TREES[old], TREES[new], [*proof, other]),
        (old, new, other, TREES[new], proof),
        (old, new, TREES[old], TREES[new], [other, *proof[1:]]),
        (new + 1, new, TREES[old], TREES[new], proof),
        (-1, new, TREES[old], TREES[new], proof),
    ]:
        with pytest.raises(ProofError):
            merkle.check_consistency(*case)
    if proof:
        for case in [
            (old, new, TREES[old], other, proof),
            (old, new, TREES[old], TREES[new], proof[:-1]),
            (old, new, TREES[old], TREES[new], []),
        ]:
            with pytest.raises(ProofError):
                merkle.check_consistency(*case)


def test_what_cannot_be_proven_is_refused() -> None:
    for at, size in [(0, 0), (3, 3), (-1, 3)]:
        with pytest.raises(ProofError):
            merkle.inclusion_proof(at, size, subtree)
    with pytest.raises(ProofError):
        merkle.consistency_proof(4, 3, subtree)
    with pytest.raises(ProofError):
        CompactRange(3, [LEAVES[0]])
