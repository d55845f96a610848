"""Faults of the disk: every one is AuditUnavailable, nothing hangs, and the log is none the worse."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aigov.audit import canonical, disk, publish, reader, store, worker
from aigov.audit.disk import Disk
from aigov.audit.log import Log
from aigov.audit.records import PluginFault
from aigov.audit.settings import AuditSettings
from aigov.audit.store import Store
from aigov.audit.verify import Status, verify
from aigov.crypto import KeyRing
from aigov.errors import AuditUnavailable
from aigov.stores import Stores

Open = Callable[..., Log]
RECORD = PluginFault(plugin="p")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that failed is tried again without a pause."""
    monkeypatch.setattr(worker, "RETRY_SECONDS", 0)


def refused(log: Log) -> str:
    """Why the log does not take a record."""
    with pytest.raises(AuditUnavailable) as caught:
        log.append(RECORD)
    assert caught.value.__context__ is None
    return caught.value.why


def cannot_open(folder: Path, kit: Any, **more: Any) -> str:
    with pytest.raises(AuditUnavailable) as caught:
        Log.open(folder, key=kit.key, settings=AuditSettings(patience_ms=500), **more)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    assert str(folder) not in str(caught.value)
    return caught.value.why


def acknowledged_are_there(folder: Path, kit: Any, ids: list[str]) -> None:
    written = [canonical.decode(line).id for line in kit.lines(folder)]
    assert [identity for identity in written if identity in set(ids)] == ids


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS])
@pytest.mark.parametrize("short", [0, 1, 300, 700])
def test_a_failed_write_is_refused_and_leaves_no_trace(
    opened: Open, folder: Path, kit: Any, code: int, short: int
) -> None:
    device = kit.FaultyDisk()
    log = opened(device)
    first = log.append(RECORD)
    before = (folder / "seg/00000000.jsonl").read_bytes()
    device.short, device.fail["write"] = short, [code]
    assert refused(log) == errno.errorcode[code]
    after = (folder / "seg/00000000.jsonl").read_bytes()
    assert after.startswith(before)
    assert [canonical.decode(line).kind for line in after[len(before) :].splitlines()] == (
        ["sink.degraded"] if code in (errno.ENOSPC, errno.EDQUOT) else []
    )
    second = log.append(RECORD)
    log.close()
    acknowledged_are_there(folder, kit, [first.id, second.id])
    said = [canonical.decode(line) for line in kit.lines(folder)]
    assert [entry.refused for entry in said if entry.kind == "sink.recovered"] == [1]
    assert verify(folder, kit.key).status == Status.WHOLE


def test_a_torn_line_that_cannot_be_taken_back_is_moved_aside(opened: Open, folder: Path, kit: Any) -> None:
    device = kit.FaultyDisk()
    log = opened(device)
    device.short, device.fail = 100, {"write": [errno.ENOSPC], "truncate": [errno.EIO]}
    refused(log)
    kit.fill(log, 1)
    log.close()
    assert verify(folder, kit.key).status == Status.WHOLE
    (kept,) = (folder / "quarantine").iterdir()
    assert len(kept.read_bytes()) == 100


def test_whole_lines_that_cannot_be_taken_back_stay_and_are_counted(opened: Open, folder: Path, kit: Any) -> None:
    device = kit.FaultyDisk()
    log = opened(device)
    device.short, device.fail = 10**6, {"write": [errno.EIO], "truncate": [errno.EIO]}
    refused(log)
    kit.fill(log, 1)
    log.close()
    report = verify(folder, kit.key)
    assert (report.status, report.writers) == (Status.WHOLE, 1)


def test_a_call_that_was_refused_though_its_line_stands_is_closed_as_an_orphan(
    opened: Open, folder: Path, kit: Any
) -> None:
    device = kit.FaultyDisk()
    log = opened(device)
    kit.fill(log, 1)
    device.short, device.fail = 10**6, {"write": [errno.EIO], "truncate": [errno.EIO]}
    with pytest.raises(AuditUnavailable):
        log.append(kit.intent("refused"))
    kit.fill(log, 1)
    log.close()
    report = verify(folder, kit.key)
    assert (report.status, report.orphaned_calls) == (Status.WHOLE, 1), report.problems


def test_a_version_that_cannot_be_read_is_left_out(folder: Path, kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> str:
        raise OSError(errno.EIO, "no such luck")

    monkeypatch.setattr("importlib.metadata.version", broken)
    Log.open(folder, key=kit.key, settings=AuditSettings(patience_ms=60_000)).close()
    assert canonical.decode(kit.lines(folder)[0]).writer.ver == ""


def test_what_waited_for_a_failed_sync_is_written_again_in_a_new_segment(opened: Open, folder: Path, kit: Any) -> None:
    device = kit.FaultyDisk()
    log = opened(device)
    first = log.append(RECORD)
    before = (folder / "seg/00000000.jsonl").read_bytes()
    device.fail["sync"] = [errno.EIO]
    second = log.append(RECORD)
    log.close()
    assert (folder / "seg/00000000.jsonl").read_bytes() == before
    left, *_ = map(canonical.decode, (folder / "seg/00000001.jsonl").read_bytes().splitlines())
    assert (type(left).__name__, left.segment, left.bytes, left.error) == ("SegmentAbandoned", 0, len(before), "EIO")
    assert [record["id"] for record in reader.records(folder) if record["kind"] == "plugin.fault"] == [
        first.id,
        second.id,
    ]
    assert verify(folder, kit.key).status == Status.WHOLE


def test_what_a_lying_disk_brings_back_after_an_abandoned_end_is_no_record(
    opened: Open, folder: Path, kit: Any
) -> None:
    device = kit.FaultyDisk()
    log = opened(device)
    log.append(RECORD)
    device.fail["sync"] = [errno.EIO]
    log.append(RECORD)
    log.close()
    old = folder / "seg/00000000.jsonl"
    old.chmod(0o600)
    with old.open("ab") as file:
        file.write(kit.lines(folder)[-1] + b"\n")
    assert verify(folder, kit.key).status == Status.INCOMPLETE
    opened().close()
    assert verify(folder, kit.key).status == Status.WHOLE


def test_after_a_second_failed_sync_nothing_is_written_until_the_log_is_opened_anew(
    opened: Open, folder: Path, kit: Any
) -> None:
    device = kit.FaultyDisk()
    log = opened(device)
    first = log.append(RECORD)
    before = (folder / "seg/00000000.jsonl").read_bytes()
    device.fail["sync"] = [errno.EIO, errno.EIO]
    assert "EIO on sync" in refused(log)
    device.calls.clear()
    assert log.failed
    for _ in range(3):
        assert "EIO on sync" in refused(log)
    assert device.calls == []
    assert (folder / "seg/00000000.jsonl").read_bytes() == before
    again = opened(device)
    second = again.append(RECORD)
    with pytest.raises(AuditUnavailable):
        log.close()
    again.close()
    assert [record["id"] for record in reader.records(folder) if record["kind"] == "plugin.fault"] == [
        first.id,
        second.id,
    ]
    assert verify(folder, kit.key).status == Status.WHOLE


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What the next syncs fail with, the last first; none where it is empty."""
    due: list[int] = []
    plain = Disk.sync

    def sync(self: Disk, handle: int) -> None:
        if due:
            raise OSError(due.pop(), "a fault on order")
        plain(self, handle)

    monkeypatch.setattr(Disk, "sync", sync)
    return due


def test_a_governor_that_goes_on_with_a_new_log_lets_go_of_the_failed_one(
    folder: Path, kit: Any, faults: list[int]
) -> None:
    def writing() -> int:
        return sum(thread.name == "aigov-audit" for thread in threading.enumerate())

    stores, settings, before = Stores.of(KeyRing.generate(), folder, folder), AuditSettings(), writing()
    calls = [stores.append(kit.intent(), settings).call for _ in range(2)]
    kept = []
    for _ in range(3):
        faults += [errno.EIO, errno.EIO]
        with pytest.raises(AuditUnavailable) as caught:
            stores.append(RECORD, settings)
        kept.append(caught.value)  # as whoever reports it may
        stores.append(kit.outcome(calls[0]) if len(kept) == 1 else RECORD, settings)
    assert writing() == before + 1
    stores.close()
    ends = [(found["kind"], found["call"]) for found in reader.records(folder) if found.get("call") in calls][2:]
    assert ends == [("call.outcome", calls[0]), ("call.orphaned", calls[1])]
    report = verify(folder)
    assert report.status == Status.WHOLE, report.problems


@pytest.fixture
def twice(faults: list[int]) -> Callable[[Stores], None]:
    """Lets two syncs fail, after which the log of these stores takes nothing, and has a new one opened."""

    def fail(stores: Stores) -> None:
        faults.extend([errno.EIO, errno.EIO])
        with pytest.raises(AuditUnavailable):
            stores.append(RECORD, AuditSettings())
        assert faults == []
        stores.append(RECORD, AuditSettings())

    return fail


@pytest.mark.parametrize("again", [False, True])
def test_a_call_that_began_before_the_log_failed_is_nobodys_orphan_while_it_may_still_end(
    opened: Open, folder: Path, kit: Any, twice: Callable[[Stores], None], again: bool
) -> None:
    stores, settings = Stores(folder, folder, log_key=kit.key, desk_key=kit.key), AuditSettings()
    ended, left = (str(stores.append(kit.intent(), settings).call) for _ in range(2))
    twice(stores)
    if again:
        twice(stores)
    opened().close()
    stores.append(kit.outcome(ended), settings)
    opened().close()
    stores.close()
    ends = [(found["kind"], found["call"]) for found in reader.records(folder) if found.get("call") in (ended, left)]
    assert ends[2:] == [("call.outcome", ended), ("call.orphaned", left)]
    report = verify(folder, kit.key)
    assert report.status == Status.WHOLE, report.problems
    assert list((folder / "writers").iterdir()) == []


def test_a_log_that_failed_is_named_dead_once_its_calls_are_ended(
    opened: Open, folder: Path, kit: Any, twice: Callable[[Stores], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "SECONDS", 0.01)
    stores, settings = Stores(folder, folder, log_key=kit.key, desk_key=kit.key), AuditSettings()
    call = str(stores.append(kit.intent(), settings).call)
    (failed,) = (folder / "writers").iterdir()
    twice(stores)
    opened().close()
    assert failed.exists()
    stores.append(kit.outcome(call), settings)
    deadline = time.monotonic() + 10
    while failed.exists() and time.monotonic() < deadline:
        opened().close()
    assert not failed.exists()
    stores.close()
    assert failed.stem in {name for found in reader.records(folder) for name in found.get("dead", ())}
    report = verify(folder, kit.key)
    assert (report.status, report.orphaned_calls) == (Status.WHOLE, 0), report.problems


def test_a_log_whose_place_cannot_be_kept_is_not_followed(
    opened: Open, folder: Path, kit: Any, twice: Callable[[Stores], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stores, settings = Stores(folder, folder, log_key=kit.key, desk_key=kit.key), AuditSettings()
    call = str(stores.append(kit.intent(), settings).call)
    full, plain = [errno.EMFILE] * 2, os.dup

    def dup(handle: int) -> int:
        if full:
            raise OSError(full.pop(), "too many open files")
        return plain(handle)

    monkeypatch.setattr(os, "dup", dup)
    with pytest.raises(AuditUnavailable):
        twice(stores)
    with pytest.raises(AuditUnavailable, match="EMFILE") as caught:
        stores.append(RECORD, settings)
    assert caught.value.__context__ is None
    stores.append(kit.outcome(call), settings)
    stores.close()
    report = verify(folder, kit.key)
    assert (report.status, report.orphaned_calls) == (Status.WHOLE, 0), report.problems


KILLED_AFTER_A_FAILURE = """
import errno, os, signal, sys
from pathlib import Path
from aigov.audit.disk import Disk
from aigov.audit.log import Log
from aigov.audit.records import CallIntent
from aigov.errors import AuditUnavailable
class Broken(Disk):
    def sync(self, handle):
        raise OSError(errno.EIO, "a fault on order")
disk = Disk()
log = Log.open(Path(sys.argv[1]), key=b"k" * 32, disk=disk)
log.append(CallIntent(call="first", action="a", resource="r"))
disk.__class__ = Broken
try:
    log.append(CallIntent(call="refused", action="a", resource="r"))
except AuditUnavailable:
    pass
again = Log.open(Path(sys.argv[1]), key=b"k" * 32, after=log)
try:
    log.close()
except AuditUnavailable:
    pass
again.append(CallIntent(call="second", action="a", resource="r"))
print(len(os.listdir(sys.argv[1] + "/writers")), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_who_dies_after_a_log_failed_leaves_the_calls_of_both_as_orphans(opened: Open, folder: Path, kit: Any) -> None:
    out, errors = kit.run(KILLED_AFTER_A_FAILURE, folder).communicate(timeout=60)
    assert (out, errors) == ("2\n", "")
    opened().close()
    orphans = [(found["call"], found["why"]) for found in reader.records(folder) if found["kind"] == "call.orphaned"]
    assert sorted(orphans) == [("first", "crashed"), ("second", "crashed")]
    report = verify(folder, kit.key)
    assert report.status == Status.WHOLE, report.problems
    assert list((folder / "writers").iterdir()) == []


def test_all_that_wait_for_a_sync_that_fails_twice_are_refused(opened: Open, kit: Any) -> None:
    device = kit.FaultyDisk()
    log = opened(device)
    device.hold.clear()
    waiting = [log.submit(RECORD)]
    while "sync" not in device.calls[-1:]:
        time.sleep(0.001)
    waiting += [log.submit(RECORD) for _ in range(20)]
    device.fail["sync"] = [errno.EIO, errno.EIO]
    device.hold.set()
    outcomes = [future.exception(10) for future in waiting]
    assert outcomes[0] is None
    assert all(isinstance(fault, AuditUnavailable) for fault in outcomes[1:])


def test_a_fault_of_the_head_refuses_nothing_that_is_durable(
    opened: Open, folder: Path, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "SECONDS", 0)
    device = kit.FaultyDisk()
    log = opened(device)
    device.fail["replace"] = [errno.ENOSPC]
    log.append(RECORD)
    while device.fail["replace"]:
        time.sleep(0.001)
    log.append(RECORD)
    log.close()
    assert verify(folder, kit.key).status == Status.WHOLE


def test_a_log_that_cannot_be_sealed_says_so_and_is_closed(opened: Open, folder: Path, kit: Any) -> None:
    device = kit.FaultyDisk()
    log = opened(device)
    device.fail["write"] = [errno.ENOSPC] * 100
    with pytest.raises(AuditUnavailable, match="ENOSPC"):
        log.close()
    assert log.failed
    assert verify(folder, kit.key).status == Status.INCOMPLETE


def test_closing_gives_up_on_a_disk_that_does_nothing(opened: Open, folder: Path, kit: Any) -> None:
    device = kit.FaultyDisk()
    log = opened(device)
    log._worker._slowly = 0.01
    device.hold.clear()
    with pytest.raises(AuditUnavailable, match="did not answer in time"):
        log.close()
    device.hold.set()


def test_closing_waits_for_as_long_as_the_log_grows(
    opened: Open, folder: Path, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = opened()
    for _ in range(3):
        log.append(kit.intent())
    held, thread, gate, put = log._worker._store, log._worker._thread, threading.Semaphore(0), Store._put

    def when_let(self: Store, records: Any) -> Any:
        if records:
            gate.acquire()
        return put(self, records)

    class Impatient:
        """A thread that has written one more batch whenever whoever waits for it has lost patience."""

        is_alive = thread.is_alive

        def join(self, seconds: float) -> None:
            before = held.records
            gate.release()
            while thread.is_alive() and held.records == before:
                time.sleep(0.001)

    monkeypatch.setattr(store, "OWN_RECORDS", 1)
    monkeypatch.setattr(Store, "_put", when_let)
    log._worker._thread = Impatient()
    log.close()
    report = verify(folder, kit.key)
    assert (report.status, report.orphaned_calls) == (Status.WHOLE, 3)


@pytest.mark.parametrize("room", [*range(0, 3000, 157), 5000, 9000])
def test_a_disk_that_fills_up_at_any_byte(folder: Path, kit: Any, room: int) -> None:
    device, ids = kit.FullDisk(room), []

    def until_full() -> None:
        with Log.open(folder, key=kit.key, disk=device) as log:
            while True:
                ids.append(log.append(RECORD).id)

    with pytest.raises(AuditUnavailable, match="ENOSPC"):
        until_full()
    with Log.open(folder, key=kit.key) as after:
        ids.append(after.append(RECORD).id)
    acknowledged_are_there(folder, kit, ids)
    assert verify(folder, kit.key).status == Status.WHOLE


FULL = """
import resource, signal, sys
from pathlib import Path
from aigov.audit.log import Log
from aigov.audit.records import PluginFault
from aigov.errors import AuditUnavailable
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
log = Log.open(Path(sys.argv[1]), key=b"k" * 32)
try:
    while True:
        print(log.append(PluginFault(plugin="p")).id)
except AuditUnavailable as fault:
    print(fault.why)
"""


def test_a_file_that_may_not_grow_is_a_refusal_and_loses_nothing(opened: Open, folder: Path, kit: Any) -> None:
    process = kit.run(FULL, folder, 5000)
    out, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    *ids, why = out.split()
    assert why == "EFBIG"
    assert ids
    opened().close()
    acknowledged_are_there(folder, kit, ids)
    assert verify(folder, kit.key).status == Status.WHOLE


# -- folders that are not there, or are something else ----------------------------------------------


def test_a_path_that_is_a_file(folder: Path, kit: Any) -> None:
    folder.write_bytes(b"precious")
    assert cannot_open(folder, kit) in {"ENOTDIR", "EEXIST"}
    assert folder.read_bytes() == b"precious"


@pytest.mark.parametrize("name", ["seg/00000000.jsonl", "append.lock", "head.json"])
@pytest.mark.parametrize("made", [Path.mkdir, os.mkfifo])
def test_something_else_in_the_place_of_a_file(folder: Path, kit: Any, name: str, made: Callable[[Path], None]) -> None:
    (folder / "seg").mkdir(parents=True)
    made(folder / name)
    cannot_open(folder, kit)


@pytest.mark.parametrize("name", ["seg/00000000.jsonl", "append.lock"])
def test_a_link_to_elsewhere_is_not_followed(folder: Path, kit: Any, name: str, tmp_path: Path) -> None:
    (folder / "seg").mkdir(parents=True)
    (tmp_path / "victim").write_bytes(b"")
    (folder / name).symlink_to(tmp_path / "victim")
    assert cannot_open(folder, kit) == "ELOOP"
    assert (tmp_path / "victim").read_bytes() == b""


def test_a_read_only_folder(folder: Path, kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(path: object, flags: int, mode: int = 0o777, **more: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(errno.EROFS, "read-only file system")
        return real(path, flags, mode, **more)

    Log.open(folder, key=kit.key).close()
    real = os.open
    monkeypatch.setattr(disk.os, "open", read_only)
    assert cannot_open(folder, kit) == "EROFS"
    assert verify(folder, kit.key).status == Status.WHOLE


def test_a_folder_that_cannot_be_made(tmp_path: Path, kit: Any) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert cannot_open(tmp_path / "file" / "audit", kit) in {"ENOTDIR", "EEXIST"}


@pytest.mark.parametrize("lost", ["", "seg", "seg/00000000.jsonl", "head.json", "append.lock", "writers"])
def test_what_vanishes_under_a_running_log_is_noticed_at_the_next_record(
    opened: Open, folder: Path, kit: Any, lost: str
) -> None:
    log = opened()
    log.append(RECORD)
    path = folder / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    if lost in ("head.json", "append.lock", "writers"):  # nothing that was recorded is lost
        with_fault = log.submit(RECORD).exception(10)
        assert with_fault is None or isinstance(with_fault, AuditUnavailable)
    else:
        for _ in range(3):
            refused(log)
        assert not (folder / "seg/00000000.jsonl").exists()


def test_a_new_log_in_the_place_of_the_old_one_is_not_written_to(opened: Open, folder: Path, kit: Any) -> None:
    log = opened()
    log.append(RECORD)
    folder.rename(folder.with_name("old"))
    with Log.open(folder, key=kit.key) as other:
        other.append(RECORD)
    before = kit.lines(folder)
    assert "stands in its place" in [refused(log), refused(log)][-1]
    assert kit.lines(folder) == before


def test_a_log_that_was_shortened_while_open_is_not_continued(opened: Open, folder: Path, kit: Any) -> None:
    log = opened()
    kit.fill(log, 2)
    path = folder / "seg/00000000.jsonl"
    os.truncate(path, path.stat().st_size - 10)
    assert "shortened" in refused(log)


def test_a_foreign_line_is_not_written_after(opened: Open, folder: Path, kit: Any) -> None:
    log = opened()
    log.append(RECORD)
    with open(folder / "seg/00000000.jsonl", "ab") as file:
        file.write(b"{}\n")
    assert "belongs there" in refused(log)
    assert "belongs there" in refused(log)


# -- what a crash left, found at the next start ------------------------------------------------------


def crashed(folder: Path, kit: Any, tail: bytes) -> bytes:
    """A log whose writer died with `tail` written after its last whole line; returns what was whole."""
    script = """
import os, sys; from pathlib import Path
from aigov.audit.log import Log; from aigov.audit.records import PluginFault
log = Log.open(Path(sys.argv[1]), key=b"k" * 32); log.append(PluginFault(plugin="p")); os._exit(1)
"""
    kit.run(script, folder).communicate(timeout=30)
    path = folder / "seg/00000000.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    return whole


@pytest.mark.parametrize("tail", [b"{", b'{"half":', b"x" * 20_000, b"\0" * 5000, b"\0" * 100 + b'"}\n{"v":1', b"\xff"])
def test_a_torn_tail_is_kept_in_quarantine_and_said(opened: Open, folder: Path, kit: Any, tail: bytes) -> None:
    whole = crashed(folder, kit, tail)
    assert verify(folder, kit.key).status in (Status.INCOMPLETE, Status.TAMPERED)
    opened().close()
    (kept,) = (folder / "quarantine").iterdir()
    assert kept.read_bytes() == tail
    after = kit.lines(folder)
    assert b"\n".join(after).startswith(whole[:-1])
    (start,) = [e for e in map(canonical.decode, after) if type(e).__name__ == "WriterStart" and e.torn_bytes]
    assert (start.torn_bytes, start.quarantine) == (len(tail), kept.name)
    assert verify(folder, kit.key).status == Status.WHOLE


def test_another_writers_torn_line_is_moved_aside_while_running(opened: Open, folder: Path, kit: Any) -> None:
    log = opened()
    log.append(RECORD)
    with open(folder / "seg/00000000.jsonl", "ab") as file:
        file.write(b'{"torn')
    log.append(RECORD)
    log.close()
    (kept,) = (folder / "quarantine").iterdir()
    assert kept.read_bytes() == b'{"torn'
    assert verify(folder, kit.key).status == Status.WHOLE


def test_a_torn_tail_that_cannot_be_kept_is_not_cut_off(folder: Path, kit: Any) -> None:
    crashed(folder, kit, b'{"torn')
    device = kit.FaultyDisk()
    device.fail["replace"] = [errno.ENOSPC]
    before = (folder / "seg/00000000.jsonl").read_bytes()
    assert cannot_open(folder, kit, disk=device) == "ENOSPC"
    assert (folder / "seg/00000000.jsonl").read_bytes() == before


def test_a_whole_line_that_is_no_record_is_not_continued(folder: Path, kit: Any) -> None:
    crashed(folder, kit, b'{"forged":1}\n')
    assert "belongs there" in cannot_open(folder, kit)


def test_a_log_that_is_shorter_than_its_head_is_not_continued(copy: Path, kit: Any) -> None:
    path = copy / "seg/00000000.jsonl"
    path.write_bytes(path.read_bytes()[:-500])
    assert "as it was signed" in cannot_open(copy, kit)


def test_records_without_a_head_are_not_continued(copy: Path, kit: Any) -> None:
    (copy / "head.json").unlink()
    assert "no head" in cannot_open(copy, kit)


def test_an_altered_head_is_not_believed(copy: Path, kit: Any) -> None:
    path = copy / "head.json"
    path.write_bytes(path.read_bytes().replace(b'"sealed":true', b'"sealed":false'))
    assert "head" in cannot_open(copy, kit)


def test_a_crash_before_the_first_line_leaves_a_log_that_opens(folder: Path, kit: Any) -> None:
    device = kit.FaultyDisk()
    device.fail["write"] = [errno.EIO]
    cannot_open(folder, kit, disk=device)
    Log.open(folder, key=kit.key).close()
    assert verify(folder, kit.key).status == Status.WHOLE
