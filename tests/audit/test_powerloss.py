"""Power losses on a simulated disk: `tests/proofs/powerloss.py` in its short form, and what it found once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import aigov
from aigov.audit import checkpoints, publish
from aigov.audit.disk import Disk
from aigov.audit.living import Living
from aigov.audit.log import Log
from aigov.audit.note import VerifierKey
from aigov.audit.records import PluginFault
from aigov.audit.store import Store
from aigov.audit.verify import Status, verify
from benchmarks.tampering.loggers import Aigov, Held

Open = Callable[..., Log]
ROOT = Path(aigov.__file__).parents[1]
STATES = 20_000
SEGMENT = Path("seg/00000000.jsonl")


def lost(*arguments: str) -> list[dict[str, Any]]:
    """What two processes that lose power say, half of the states each."""
    memory = Path("/dev/shm")
    where = ["--folder", str(memory)] if os.access(memory, os.W_OK) else []
    command = [sys.executable, "-m", "tests.proofs.powerloss", "--json", *where, *arguments]
    with ExitStack() as held:
        running = [
            held.enter_context(
                subprocess.Popen([*command, "--seed", seed], cwd=ROOT, text=True, stdout=subprocess.PIPE)
            )
            for seed in ("0", "1000000")
        ]
        told = [one.communicate(timeout=900)[0] for one in running]
    assert [one.returncode for one in running] == [0, 0], told
    return [json.loads(one) for one in told]


@pytest.mark.timeout(900)
def test_no_power_loss_takes_what_was_acknowledged() -> None:
    found = lost("--states", str(STATES // 2))
    assert [outcome["wrong"] for outcome in found] == [[], []]
    assert sum(outcome["states"] for outcome in found) >= STATES
    assert sum(outcome["distinct"] for outcome in found) > STATES / 2


@pytest.mark.timeout(900)
def test_what_a_lying_disk_loses_is_noticed_by_who_holds_a_checkpoint() -> None:
    found = lost("--states", "1500", "--lying", "--draws", "1")  # in one trial alone no sync that matters may lie
    assert [outcome["wrong"] for outcome in found] == [[], []]
    assert sum(outcome["losses"] for outcome in found) > 10
    assert sum(outcome["unnoticed"] for outcome in found) == 0


# -- what it found -------------------------------------------------------------------------------------


def killed(folder: Path, key: bytes, *, epochs: int = 0) -> None:
    """A log whose only writer was killed after a checkpoint."""
    held = Store(folder, key=key, disk=Disk(), patience=5)
    held.open()
    held.write([PluginFault(plugin="p")])
    for _ in range(epochs):
        held.rotate_key()
    held._publish(force=True)
    held.drop()


@pytest.mark.parametrize("zeros", [1, 700, 20_000, 3 * 2**20])
def test_zeros_after_the_last_checkpoint_are_no_tampering(opened: Open, folder: Path, kit: Any, zeros: int) -> None:
    killed(folder, kit.key)
    with open(folder / SEGMENT, "ab") as file:
        file.write(bytes(zeros) + b'"half of a line"}\n{"and":"more"}\n')
    assert verify(folder, kit.key).status == Status.INCOMPLETE
    assert set(Aigov().verdicts(folder, Held()).values()) == {2}
    opened().close()
    assert verify(folder, kit.key).status == Status.WHOLE


def test_zeros_in_what_is_signed_are_tampering(copy: Path) -> None:
    data = bytearray((copy / SEGMENT).read_bytes())
    for at in range(0, len(data), 61):
        changed = data[:at] + b"\0" + data[at + 1 :]
        (copy / SEGMENT).write_bytes(changed)
        assert verify(copy).status == Status.TAMPERED, at
        assert set(Aigov().verdicts(copy, Held()).values()) == {1}


@pytest.mark.parametrize("lost", [slice(0, 100), slice(60, 200), slice(100, None)])
def test_a_checkpoint_in_which_a_power_loss_left_zeros_is_cut_off(
    opened: Open, folder: Path, kit: Any, lost: slice
) -> None:
    killed(folder, kit.key)
    path = folder / checkpoints.ALL
    notes = path.read_bytes()
    half = bytearray(b"\xff" + notes[len(notes) // 2 :].replace(b"\0", b" "))
    half[lost] = bytes(len(half[lost]))
    path.write_bytes(notes + half.lstrip(b"\xff"))
    assert verify(folder, kit.key).status == Status.INCOMPLETE
    assert set(Aigov().verdicts(folder, Held()).values()) == {2}
    opened().close()
    assert verify(folder, kit.key).status == Status.WHOLE


def test_an_older_checkpoint_that_came_back_is_replaced_without_its_epochs_key(
    opened: Open, folder: Path, kit: Any
) -> None:
    killed(folder, kit.key, epochs=3)
    (folder / checkpoints.LATEST).write_bytes(next(iter(checkpoints.Notes(folder / checkpoints.ALL))))
    own = checkpoints.vkey(folder)
    assert own is not None
    for path in (folder / "keys").iterdir():
        if path.stem not in (own.id.hex(), _announced(folder).id.hex()):
            path.unlink()
    opened().close()
    assert verify(folder, kit.key).status == Status.WHOLE


def _announced(folder: Path) -> VerifierKey:
    line = next(line for line in (folder / SEGMENT).read_bytes().splitlines()[::-1] if b'"key.rotated"' in line)
    return VerifierKey.parse(str(json.loads(line)["next"]))


class Names(Disk):
    """A disk that remembers which folders' names were made durable."""

    def __init__(self) -> None:
        self.synced: list[Path] = []

    def sync_folder(self, folder: Path) -> None:
        self.synced.append(folder)
        super().sync_folder(folder)


def test_the_name_of_a_writers_file_is_durable_before_its_first_record(tmp_path: Path) -> None:
    (tmp_path / "writers").mkdir()
    disk = Names()
    Living(tmp_path, "01a1fa5c-fb3d-7b86-90f0-b5e77d6dba59", disk).join()
    assert disk.synced == [tmp_path / "writers"]


def test_a_checkpoint_that_somebody_else_wrote_is_synced_before_anything_is_built_on_it(folder: Path, kit: Any) -> None:
    killed(folder, kit.key)
    device, note = kit.FaultyDisk(), checkpoints.latest(folder)
    assert note is not None
    checkpoints.append(device, folder, note)
    assert device.calls == ["write", "sync"]  # written over itself: whoever wrote it may have met with a failed sync


@pytest.mark.parametrize("left", [slice(0), slice(40), slice(None)], ids=["nothing", "half", "all"])
def test_the_name_of_the_file_of_checkpoints_is_durable_whoever_was_killed_making_it(copy: Path, left: slice) -> None:
    note = next(iter(checkpoints.Notes(copy / checkpoints.ALL)))
    (copy / checkpoints.ALL).write_bytes((note + b"\n")[left])
    disk = Names()
    checkpoints.append(disk, copy, note)
    assert (copy / checkpoints.ALL).read_bytes() == note + b"\n"
    assert disk.synced == [copy]


def test_a_half_written_note_is_not_taken_for_one(folder: Path, kit: Any) -> None:
    killed(folder, kit.key)
    notes = list(checkpoints.Notes(folder / checkpoints.ALL))
    texts = [note.decode().partition("\n\n")[0] + "\n" for note in notes]
    assert [checkpoints.written(folder, text) for text in texts] == notes
    path = folder / checkpoints.ALL
    whole = path.read_bytes()
    for length in range(len(whole) - 1, len(whole) - len(notes[-1]), -1):
        path.write_bytes(whole[:length])
        assert checkpoints.written(folder, texts[-1]) is None, length
    shutil.rmtree(folder)
    folder.mkdir()
    assert checkpoints.written(folder, texts[0]) is None


class Kept(Disk):
    """A disk that remembers which files were made durable."""

    def __init__(self) -> None:
        self.synced: set[int] = set()

    def sync(self, handle: int) -> None:
        super().sync(handle)
        self.synced.add(os.fstat(handle).st_ino)

    def lose_tiles(self, folder: Path) -> int:
        """What a power loss may take of the full tiles."""
        full = [path for path in (folder / "tile").rglob("*") if path.is_file() and path.parent.suffix != ".p"]
        lost = [path for path in full if path.stat().st_ino not in self.synced]
        for path in lost:
            path.unlink()
        return len(lost)


@pytest.mark.parametrize("killed", [False, True])
def test_tiles_that_another_process_left_to_the_disk_are_made_durable_or_made_anew(
    folder: Path, kit: Any, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    monkeypatch.setattr(publish, "SECONDS", 0)
    disk = Kept()
    first, second = (Store(folder, key=kit.key, disk=disk, patience=5) for _ in range(2))
    first.open()
    first.write([PluginFault(plugin="p")] * publish.RECORDS)
    first.cover()  # many records are waiting: their tiles are not synced yet
    if killed:
        first.drop()
    second.open()
    second.write([PluginFault(plugin="p")])
    second.cover()
    first.drop()
    second.drop()
    disk.lose_tiles(folder)
    Log.open(folder, key=kit.key).close()
    assert verify(folder).status == Status.WHOLE


def test_a_tile_that_vanishes_before_it_is_durable_is_made_anew(
    folder: Path, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "SECONDS", 0)
    disk = Kept()
    held = Store(folder, key=kit.key, disk=disk, patience=5)
    held.open()
    held.write([PluginFault(plugin="p")] * publish.RECORDS)
    held.cover()
    assert disk.lose_tiles(folder) == publish.RECORDS // 256
    held.seal()
    held.drop()
    assert disk.lose_tiles(folder) == 0
    assert verify(folder).status == Status.WHOLE
