"""Signing keys: sealed on the disk, a new one each epoch, and the old one gone."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aigov.audit import canonical, checkpoints, keys
from aigov.audit import head as heads
from aigov.audit.disk import Disk
from aigov.audit.log import Log
from aigov.audit.note import VerifierKey, split
from aigov.audit.records import PluginFault
from aigov.audit.store import Store
from aigov.audit.verify import Status, verify
from aigov.crypto import public_ed25519

Open = Callable[..., Log]


def rotated(folder: Path, key: bytes, epochs: int) -> list[str]:
    """A closed log of that many epochs; returns their announced keys."""
    held, announced = Store(folder, key=key, disk=Disk(), patience=5), []
    held.open()
    for _ in range(epochs):
        held.write([PluginFault(plugin="p")])
        announced.append(held.rotate_key())
        held.write([PluginFault(plugin="p")])
        held.cover()
    held.seal([])
    held.drop()
    return announced


def signers(note: bytes) -> list[bytes]:
    return [identity for _, identity, _ in split(note)[1]]


def test_a_private_key_is_on_no_disk_in_the_clear(folder: Path, kit: Any) -> None:
    key = keys.make(Disk(), folder, "origin", kit.key)
    private = keys.load(folder, key, kit.key)
    assert public_ed25519(private) == key.public
    (path,) = (folder / "keys").iterdir()
    assert private not in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_key_opens_for_its_log_and_under_its_lock_alone(folder: Path, kit: Any) -> None:
    key = keys.make(Disk(), folder, "origin", kit.key)
    with pytest.raises(keys.KeyUnusable, match="does not open"):
        keys.load(folder, key, b"x" * 32)
    other = keys.make(Disk(), folder, "origin", kit.key)
    (folder / "keys" / f"{key.id.hex()}.key").replace(folder / "keys" / f"{other.id.hex()}.key")
    with pytest.raises(keys.KeyUnusable, match="does not open"):
        keys.load(folder, other, kit.key)
    with pytest.raises(keys.KeyUnusable, match="not there"):
        keys.load(folder, key, kit.key)


def test_each_epoch_has_a_key_of_its_own_beside_the_logs(folder: Path, kit: Any) -> None:
    announced = [VerifierKey.parse(vkey) for vkey in rotated(folder, kit.key, 3)]
    own = checkpoints.vkey(folder)
    assert own is not None
    notes = list(checkpoints.Notes(folder / "checkpoints.log"))
    assert all(signers(note)[0] == own.id for note in notes)
    assert [signers(note)[1:] for note in notes][-1] == [announced[-1].id]
    first = VerifierKey.parse(canonical.decode(kit.lines(folder)[0]).epoch_key)
    assert signers(notes[0])[1:] == [first.id]
    assert own.name == first.name == keys.origin_of(first.public)
    report = verify(folder)
    assert (report.status, report.vkey) == (Status.WHOLE, str(own))


def test_the_keys_of_past_epochs_are_gone(folder: Path, kit: Any) -> None:
    announced = [VerifierKey.parse(vkey) for vkey in rotated(folder, kit.key, 3)]
    own = checkpoints.vkey(folder)
    assert own is not None
    kept = {path.stem for path in (folder / "keys").iterdir()}
    assert kept == {own.id.hex(), announced[-1].id.hex()}


def test_a_checkpoint_without_its_epochs_signature_does_not_pass(folder: Path, kit: Any) -> None:
    rotated(folder, kit.key, 2)
    notes = list(checkpoints.Notes(folder / "checkpoints.log"))
    for at, note in enumerate(notes):
        lines = note.splitlines(keepends=True)
        if len(lines) == 6:
            stripped = b"".join(lines[:-1])
            content = [stripped if to == at else other for to, other in enumerate(notes)]
            (folder / "checkpoints.log").write_bytes(b"".join(one + b"\n" for one in content))
            (folder / "checkpoint").write_bytes(content[-1])
            assert verify(folder).status == Status.TAMPERED, at


def test_no_checkpoint_can_be_left_out(folder: Path, kit: Any) -> None:
    """The records of later epochs, and the seal, count them."""
    rotated(folder, kit.key, 2)
    notes = list(checkpoints.Notes(folder / "checkpoints.log"))
    for at in range(len(notes)):
        left = notes[:at] + notes[at + 1 :]
        (folder / "checkpoints.log").write_bytes(b"".join(one + b"\n" for one in left))
        assert verify(folder).status == Status.TAMPERED, at


def aged(folder: Path, key: bytes, seconds: float) -> None:
    """Make the epoch's key older than it is."""
    head = heads.read(folder, key)
    assert head is not None
    then = canonical.timestamp((canonical.micros(head.key_ts) - round(seconds * 1e6)) * 1000)
    heads.write(Disk(), folder, msgspec.structs.replace(head, key_ts=then), key)


@pytest.mark.parametrize(("age_s", "restart", "new"), [(50, True, 0), (70, True, 1), (70, False, 0), (901, False, 1)])
def test_a_key_ends_with_its_time_and_with_the_next_start_of_the_log(
    folder: Path, kit: Any, age_s: float, restart: bool, new: int
) -> None:
    held = Store(folder, key=kit.key, disk=Disk(), patience=5)
    held.open()
    other = None if restart else Store(folder, key=kit.key, disk=Disk(), patience=5)
    if other is not None:
        other.open()
    aged(folder, kit.key, age_s)
    (other or held).cover()
    announced = [line for line in kit.lines(folder) if b'"key.rotated"' in line]
    assert len(announced) == new
    for each in (held, other):
        if each is not None:
            each.seal([])
            each.drop()
    assert verify(folder, kit.key).status == Status.WHOLE


def test_a_log_whose_key_is_old_gets_a_new_one(opened: Open, folder: Path, kit: Any) -> None:
    held = Store(folder, key=kit.key, disk=Disk(), patience=5, key_seconds=0)
    held.open()
    for _ in range(3):
        held.write([PluginFault(plugin="p")])
        held.cover()
    held.seal([])
    held.drop()
    assert sum(b'"key.rotated"' in line for line in kit.lines(folder)) >= 1
    assert verify(folder, kit.key).status == Status.WHOLE


def test_a_log_without_its_key_is_not_continued(opened: Open, folder: Path, kit: Any) -> None:
    opened().close()
    for path in (folder / "keys").iterdir():
        path.unlink()
    with pytest.raises(Exception, match="signing key is not there"):
        Log.open(folder, key=kit.key)
    assert verify(folder).status != Status.TAMPERED
