"""Proofs: given for every record and every earlier state, checked without the log, and refused when changed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigov.audit import checkpoints, merkle, proof
from aigov.audit.disk import Disk
from aigov.audit.merkle import ProofError
from aigov.audit.note import Checkpoint, NoteError, VerifierKey, split
from aigov.audit.reader import Lines
from aigov.audit.records import PluginFault
from aigov.audit.store import Store
from aigov.audit.tiles import Edge, Tiles

KEY = b"k" * 32
RECORDS = 700
SEGMENT = "seg/00000000.jsonl"


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of over two tiles, signed several times and a key epoch later. Not to be changed."""
    folder = tmp_path_factory.mktemp("long") / "audit"
    held = Store(folder, key=KEY, disk=Disk(), patience=5)
    held.open()
    for count in (3, 250, 5, RECORDS - 258):
        held.write([PluginFault(plugin="p")] * count)
        held.rotate_key()
    held.seal([])
    held.drop()
    return folder


def own_key(folder: Path) -> VerifierKey:
    key = checkpoints.vkey(folder)
    assert key is not None
    return key


def test_every_record_has_a_proof_that_checks_with_its_line_alone(long: Path) -> None:
    giving, key = proof.Prover(long), own_key(long)
    for seq, line in enumerate(Lines(long / SEGMENT)):
        assert proof.check(giving.prove(seq), line, key).size == giving.checkpoint.size
    with pytest.raises(ProofError):
        giving.prove(seq + 1)


def test_a_copy_without_tiles_gives_the_same_proofs(long: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(long, tmp_path / "copy", ignore=shutil.ignore_patterns("tile")))
    for seq in (0, 255, 256, 511, 700):
        assert proof.Prover(copy).prove(seq) == proof.Prover(long).prove(seq)


def test_every_earlier_checkpoint_is_proven_to_be_a_beginning(long: Path) -> None:
    giving, key = proof.Prover(long), own_key(long)
    notes = list(checkpoints.Notes(long / "checkpoints.log"))
    assert len(notes) > 4
    for old in notes:
        given_proof = giving.prove_since(Checkpoint.parse(split(old)[0]))
        assert proof.check_since(given_proof, old, key) == giving.checkpoint
        for other in notes:
            if other != old:
                with pytest.raises(ProofError):
                    proof.check_since(given_proof, other, key)


def test_a_proof_of_another_line_or_key_does_not_check(long: Path) -> None:
    giving, key = proof.Prover(long), own_key(long)
    first, second, *_ = Lines(long / SEGMENT)
    given_proof = giving.prove(0)
    with pytest.raises(ProofError):
        proof.check(given_proof, second, key)
    with pytest.raises(ProofError):
        proof.check(given_proof, first + b"\n", key)
    with pytest.raises(NoteError):
        proof.check(given_proof, first, VerifierKey(key.name, bytes(32)))


@given(st.data())
@settings(max_examples=300)
def test_any_changed_byte_of_a_proof_is_refused(long: Path, data: st.DataObject) -> None:
    line, given_proof = next(iter(Lines(long / SEGMENT))), bytearray(proof.Prover(long).prove(0))
    # The signature of the epoch's key is for who holds the whole log; this check is with the log's own.
    end = given_proof.rindex("\u2014".encode())
    position = data.draw(st.integers(0, end - 1))
    given_proof[position] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises((ProofError, NoteError)):
        proof.check(bytes(given_proof), line, own_key(long))


@given(st.binary(max_size=200) | st.text().map(str.encode))
def test_any_bytes_are_refused_with_our_own_error(garbage: bytes) -> None:
    for since in (True, False):
        with pytest.raises(ProofError):
            proof.parse(garbage, since=since)


def test_extra_data_is_passed_over_and_not_vouched_for(long: Path) -> None:
    line, given_proof = next(iter(Lines(long / SEGMENT))), proof.Prover(long).prove(0)
    head, _, rest = given_proof.partition(b"\n")
    assert proof.check(head + b"\nextra YWdl\n" + rest, line, own_key(long))
    with pytest.raises(ProofError):
        proof.parse(head + b"\nextra YWd\n" + rest)


def test_a_wrong_tile_makes_no_proof(long: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(long, tmp_path / "copy"))
    tile = copy / "tile/0/000"
    tile.write_bytes(bytes(32) + tile.read_bytes()[32:])
    for seq in (0, 1, 255):
        with pytest.raises(ProofError, match="audit verify"):
            proof.Prover(copy).prove(seq)
    tile.unlink()
    with pytest.raises(ProofError, match="missing"):
        proof.Prover(copy).prove(0)


def test_a_log_without_a_checkpoint_proves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ProofError, match="no checkpoint"):
        proof.Prover(tmp_path)


def test_a_root_at_any_size_is_that_of_the_checkpoint(long: Path) -> None:
    for note in checkpoints.Notes(long / "checkpoints.log"):
        checkpoint = Checkpoint.parse(split(note)[0])
        assert proof.root_at(long, checkpoint.size) == checkpoint.root


@given(st.lists(st.integers(0, 600), max_size=6))
def test_the_edge_of_the_tree_is_the_same_however_it_grew(parts: list[int]) -> None:
    leaves = [bytes([at % 256]) * 32 for at in range(sum(parts))]
    grown, start = Edge(), 0
    for part in parts:
        grown.extend(leaves[start : start + part])
        start += part
    whole = Edge()
    whole.extend(leaves)
    assert (grown.size, grown.root(), grown.open_tiles()) == (whole.size, whole.root(), whole.open_tiles())


def test_tiles_lie_where_tlog_tiles_says(tmp_path: Path) -> None:
    tiles = Tiles(tmp_path)
    paths = [(0, 0, "tile/0/000"), (1, 67, "tile/1/067"), (0, 1234067, "tile/0/x001/x234/067")]
    assert [tiles.path(level, at).relative_to(tmp_path).as_posix() for level, at, _ in paths] == [
        name for _, _, name in paths
    ]
    edge = Edge()
    tiles.keep(edge.extend([bytes(32)] * 70_000), edge)
    found = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert len([name for name in found if name.startswith("tile/0/") and ".p/" not in name]) == 273
    assert {"tile/0/273.p/112", "tile/1/000", "tile/1/001.p/17", "tile/2/000.p/1"} <= set(found)
    assert len(found) == 273 + 1 + 3
    assert (tiles.edge(70_000).root(), edge.size) == (edge.root(), 70_000)


def test_tiles_are_written_anew_before_they_are_synced_again(tmp_path: Path, kit: Any) -> None:
    device, edge = kit.FaultyDisk(), Edge()
    tiles = Tiles(tmp_path, device)
    paths = tiles.keep(edge.extend([merkle.leaf_hash(b"%d" % at) for at in range(256)]), edge)
    device.fail["sync"] = [5]
    with pytest.raises(OSError, match="Errno 5"):
        tiles.settle(paths)
    device.calls.clear()
    tiles.settle(paths)
    tiles.settle(paths)
    assert device.calls == ["write", "sync", "sync"]  # the third time nothing was in doubt
    assert tiles.stored(0, 0) == b"".join(merkle.leaf_hash(b"%d" % at) for at in range(256))
