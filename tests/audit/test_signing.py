"""Checkpoints are signed beside the writing: nobody waits for them, and what goes wrong there is not passed over."""

from __future__ import annotations

import errno
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aigov.audit import publish, reader, store, worker
from aigov.audit.disk import Disk
from aigov.audit.end import Damaged
from aigov.audit.log import Log
from aigov.audit.records import PluginFault
from aigov.audit.store import Store
from aigov.audit.verify import Status, verify
from aigov.errors import AuditUnavailable

Open = Callable[..., Log]
RECORD = PluginFault(plugin="p")


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "SECONDS", 0)
    monkeypatch.setattr(worker, "RETRY_SECONDS", 0)


def until(true: Callable[[], bool]) -> None:
    for _ in range(2000):
        if true():
            return
        time.sleep(0.005)
    raise AssertionError("it did not come about")


def test_records_go_on_while_a_checkpoint_hangs(
    opened: Open, folder: Path, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, hold, held = opened(), threading.Event(), threading.Event()
    real = publish.checkpoints.publish

    def slow(*arguments: Any) -> None:
        held.set()
        assert hold.wait(30)
        real(*arguments)

    monkeypatch.setattr(publish.checkpoints, "publish", slow)
    log.append(RECORD)
    assert held.wait(30)
    for _ in range(20):
        log.append(RECORD)
    hold.set()
    log.close()
    assert verify(folder, kit.key).status == Status.WHOLE


def test_a_checkpoint_that_met_a_changed_record_stops_the_writing(opened: Open, folder: Path, kit: Any) -> None:
    log = opened()
    until(lambda: verify(folder).covered == 2)
    path = folder / "seg" / "00000000.jsonl"
    with path.open("r+b") as file:  # in place: a record that is not signed yet, changed as soon as it is there

        def refused() -> bool:
            try:
                log.append(RECORD)
            except AuditUnavailable as fault:
                return "audit verify" in fault.why
            data = path.read_bytes()
            at = data.rfind(b'"plugin":"p"')
            file.seek(at + 10)
            file.write(b"q")
            file.flush()
            return False

        until(refused)
    with pytest.raises(AuditUnavailable):
        log.close()
    assert verify(folder, kit.key).status != Status.WHOLE


def test_a_fault_of_the_disk_while_signing_is_mended_at_the_next_record(opened: Open, folder: Path, kit: Any) -> None:
    device = kit.FaultyDisk()
    log = opened(device)
    taken: list[str] = []

    def append() -> bool:
        try:
            taken.append(log.append(RECORD).id)
        except AuditUnavailable:  # the log is being opened anew, which signs first
            return False
        return True

    for code in (errno.ENOSPC, errno.EIO):
        device.fail["replace"] = [code]
        until(lambda: append() and not device.fail["replace"])
        until(append)
    log.close()
    written = [record["id"] for record in reader.records(folder)]
    assert [one for one in written if one in set(taken)] == taken
    assert verify(folder, kit.key).status == Status.WHOLE


def test_closing_waits_for_the_checkpoint_in_hand(opened: Open, folder: Path, kit: Any) -> None:
    for _ in range(5):
        log = opened()
        for future in [log.submit(RECORD) for _ in range(1500)]:
            future.result(30)
        log.close()
        report = verify(folder, kit.key)
        assert (report.status, report.covered) == (Status.WHOLE, report.records)


# -- when there is one -----------------------------------------------------------------------------


@pytest.fixture
def held(folder: Path, kit: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store that has just signed, and a second that does not pass."""
    monkeypatch.setattr(publish, "SECONDS", 3600)
    made = Store(folder, key=kit.key, disk=Disk(), patience=20)
    made.open()
    yield made
    made.drop()


def test_a_checkpoint_is_due_after_a_thousand_records(held: Store) -> None:
    held.write([RECORD] * 999)
    assert not held.due
    held.write([RECORD])
    assert held.due
    held.cover()
    assert not held.due
    assert not held.uncovered


def test_a_checkpoint_is_due_after_a_second_in_which_something_was_recorded(
    held: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "SECONDS", 0)
    assert not held.due
    held.write([RECORD])
    assert held.due


def test_silence_is_recorded_and_signed_after_a_minute(
    held: Store, folder: Path, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "SECONDS", 0)
    assert not held.due
    monkeypatch.setattr(store, "BEAT_SECONDS", 0)
    assert held.due
    before = verify(folder, kit.key).checkpoints
    held.cover()
    assert [record["kind"] for record in reader.tail(folder, 1)] == ["heartbeat"]
    report = verify(folder, kit.key)
    assert (report.covered, report.checkpoints) == (report.records, before + 1)


def test_an_idle_log_that_met_a_fault_gives_signs_of_life_again_by_itself(opened: Open, folder: Path, kit: Any) -> None:
    disk = kit.FaultyDisk()
    log = opened(disk)
    disk.fail["replace"] = [errno.EIO]
    log.append(RECORD)

    def starts() -> int:
        return sum(record["kind"] == "writer.start" for record in reader.records(folder))

    until(lambda: starts() == 2)
    log.close()
    assert verify(folder, kit.key).status == Status.WHOLE


def test_records_that_are_not_those_that_were_signed_are_not_signed_by_who_has_to_count_them_again(
    folder: Path, kit: Any
) -> None:
    with Log.open(folder, key=kit.key) as log:
        kit.fill(log, 2)
    notes = (folder / "checkpoints.log").read_bytes()
    path = folder / "seg/00000000.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"model:small"', b'"model:smell"', 1))
    shutil.rmtree(folder / "tile")
    late = Store(folder, key=kit.key, disk=Disk(), patience=5)
    with pytest.raises(Damaged, match="not those that were signed"):
        late.open()
    late.drop()
    assert (folder / "checkpoints.log").read_bytes() == notes


class Killed(BaseException):
    """What a process feels of SIGKILL, in a test that needs it at one place."""


@pytest.mark.parametrize("ending", [Store.rotate_key, Store.seal], ids=["rotate", "seal"])
def test_a_record_counts_only_checkpoints_that_are_there_whoever_was_killed_before_publishing_one(
    ending: Callable[[Store], object], folder: Path, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (Store(folder, key=kit.key, disk=Disk(), patience=5) for _ in range(2))
    first.open()
    second.open()

    def killed(*arguments: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(publish.checkpoints, "publish", killed)
        first.write([RECORD])
        with pytest.raises(Killed):
            first.cover()  # the state is kept, its checkpoint is not there
        first.drop()
        with pytest.raises(Killed):
            ending(second)  # the record is there, and nobody has made up for it
        second.drop()
    assert verify(folder).status == Status.INCOMPLETE
    Log.open(folder, key=kit.key).close()
    assert verify(folder).status == Status.WHOLE


def test_no_process_remembers_the_key_of_an_epoch_that_another_one_ended(folder: Path, kit: Any) -> None:
    first, second = (Store(folder, key=kit.key, disk=Disk(), patience=5) for _ in range(2))
    first.open()
    first.write([RECORD])
    first.cover()
    second.open()
    second.rotate_key()
    second.write([RECORD])
    second.rotate_key()
    first.cover()
    head = first._publisher.head()
    assert set(first._publisher._private) <= {head.key, head.epoch_key}
    first.seal()
    second.seal()
    for store_ in (first, second):
        store_.drop()
    assert verify(folder).status == Status.WHOLE
