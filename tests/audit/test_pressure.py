"""Pressure: last words on a full disk, lapses that the policy allows, folders that are no disk, segments that end."""

from __future__ import annotations

import asyncio
import errno
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aigov.audit import founding, places, reader, store, synced, worker
from aigov.audit.disk import Disk
from aigov.audit.lapse import Lapse
from aigov.audit.log import Log
from aigov.audit.merkle import CompactRange
from aigov.audit.records import PluginFault
from aigov.audit.settings import AuditSettings
from aigov.audit.store import Store
from aigov.audit.tiles import Edge
from aigov.audit.verify import Status, verify
from aigov.crypto import KeyRing
from aigov.errors import AuditUnavailable, PolicyError
from aigov.stores import Stores
from aigov.testing import governor

Open = Callable[..., Log]
RECORD = PluginFault(plugin="p")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "RETRY_SECONDS", 0)


def kinds(folder: Path) -> list[str]:
    return [str(record["kind"]) for record in reader.records(folder)]


def test_a_full_disk_still_has_room_to_say_so_once(opened: Open, folder: Path, kit: Any) -> None:
    device = kit.FaultyDisk()
    log = opened(device)
    assert (folder / "reserve").stat().st_size == founding.RESERVE_BYTES
    for _ in range(2):
        device.fail["write"] = [errno.ENOSPC]
        with pytest.raises(AuditUnavailable, match="ENOSPC"):
            log.append(RECORD)
        assert not (folder / "reserve").exists()
    assert kinds(folder).count("sink.degraded") == 1
    log.append(RECORD)
    assert (folder / "reserve").exists()
    log.close()
    recovered = [record for record in reader.records(folder) if record["kind"] == "sink.recovered"]
    assert [record["refused"] for record in recovered] == [2]
    assert verify(folder, kit.key).status == Status.WHOLE


class Gone:
    """Stores whose log comes and goes with a folder in its way."""

    def __init__(self, tmp_path: Path) -> None:
        self.audit = tmp_path / "audit"
        self.stores = Stores.of(KeyRing.generate(), self.audit, tmp_path / "review")
        self.open = AuditSettings(on_failure="fail_open")

    def block(self) -> None:
        self.audit.write_text("in the way")

    def clear(self) -> None:
        self.audit.unlink()


def test_only_where_the_policy_says_so_a_call_passes_unrecorded_and_is_counted(tmp_path: Path) -> None:
    gone = Gone(tmp_path)
    gone.block()
    with pytest.raises(AuditUnavailable):
        gone.stores.append(RECORD, AuditSettings())
    receipts = [gone.stores.append(RECORD, gone.open) for _ in range(2)]
    receipts.append(asyncio.run(gone.stores.aappend(RECORD, gone.open)))
    assert {(receipt.id, receipt.digest) for receipt in receipts} == {("", "")}
    gone.clear()
    asyncio.run(gone.stores.aappend(RECORD, gone.open))
    gone.stores.close()
    gap, after = [record for record in reader.records(gone.audit) if record["kind"] in ("gap", "plugin.fault")]
    assert (gap["kind"], gap["count"], after["kind"]) == ("gap", 3, "plugin.fault")
    assert gap["first_ts"] <= gap["last_ts"] <= after["ts"]
    assert verify(gone.audit).status == Status.WHOLE


def test_a_task_does_not_hold_up_the_event_loop_while_the_log_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, threads = Gone(tmp_path), []
    plain = Log.open

    def opening(*given: Any, **more: Any) -> Log:
        threads.append(threading.get_ident())
        return plain(*given, **more)

    monkeypatch.setattr(Log, "open", opening)
    assert asyncio.run(gone.stores.aappend(RECORD, AuditSettings(patience_ms=5000))).id
    gone.stores.close()
    assert threading.get_ident() not in threads
    assert len(threads) == 1


def test_a_closed_log_opens_for_nobody(tmp_path: Path) -> None:
    gone = Gone(tmp_path)
    gone.stores.close()
    with pytest.raises(AuditUnavailable):
        gone.stores.append(RECORD, gone.open)


def test_a_lapse_that_could_not_be_said_is_said_later(tmp_path: Path) -> None:
    lapse = Lapse(tmp_path / "audit")
    assert lapse.take() is None
    lapse.missed(RECORD, "EIO", 60)
    gap = lapse.take()
    assert gap is not None
    lapse.missed(RECORD, "ENOSPC", 60)
    assert lapse.take() is None  # it is being said
    lapse.put_back(gap)
    again = lapse.take()
    assert again is not None
    assert (again.count, again.first_ts, again.error) == (2, gap.first_ts, "ENOSPC")
    lapse.missed(RECORD, "EROFS", 60)
    lapse.said()
    last = lapse.take()
    assert last is not None
    assert (last.count, last.error) == (1, "EROFS")
    lapse.said()
    assert lapse.take() is None


def test_no_more_calls_pass_unrecorded_in_a_minute_than_the_policy_says(tmp_path: Path) -> None:
    now = [0.0]
    lapse = Lapse(tmp_path / "audit", clock=lambda: now[0])
    assert [lapse.missed(RECORD, "EIO", 3) is not None for _ in range(5)] == [True] * 3 + [False] * 2
    now[0] = 59.9
    assert lapse.missed(RECORD, "EIO", 3) is None
    now[0] = 60.1
    assert lapse.missed(RECORD, "EIO", 3) is not None
    gap = lapse.take()
    assert gap is not None
    assert gap.count == 4


def test_what_is_over_the_rate_is_refused(tmp_path: Path) -> None:
    gone = Gone(tmp_path)
    gone.block()
    few = AuditSettings(on_failure="fail_open", open_per_minute=2)
    for _ in range(2):
        assert gone.stores.append(RECORD, few).id == ""
    with pytest.raises(AuditUnavailable):
        gone.stores.append(RECORD, few)
    gone.clear()
    assert gone.stores.append(RECORD, few).id
    gone.stores.close()


LAPSED = """
import os, signal, sys
from pathlib import Path
from aigov.audit.records import PluginFault
from aigov.audit.settings import AuditSettings
from aigov.crypto import KeyRing
from aigov.stores import Stores
audit = Path(sys.argv[1])
stores = Stores.of(KeyRing.generate(), audit, audit.parent / "review")
for _ in range(3):
    assert not stores.append(PluginFault(plugin="p"), AuditSettings(on_failure="fail_open")).id
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_count_outlives_the_processes_that_counted(tmp_path: Path, kit: Any) -> None:
    gone = Gone(tmp_path)
    gone.block()
    writers = [kit.run(LAPSED, gone.audit) for _ in range(2)]
    for writer in writers:
        _, errors = writer.communicate(timeout=60)
        assert writer.returncode == -9, errors
    gone.clear()
    gone.stores.append(RECORD, gone.open)
    gone.stores.close()
    assert [record["count"] for record in reader.records(gone.audit) if record["kind"] == "gap"] == [6]


@pytest.mark.parametrize("content", [b"{", b"\xff" * 512, b'{"kind":"gap"}', b"x" * 10_000])
def test_a_count_that_cannot_be_read_is_one_at_least(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "audit.unrecorded").write_bytes(content)
    gap = Lapse(tmp_path / "audit").take()
    assert gap is not None
    assert (gap.count, gap.error) == (1, "unreadable")


def test_where_the_count_cannot_be_kept_it_is_in_memory(tmp_path: Path) -> None:
    (tmp_path / "audit.unrecorded").mkdir()
    lapse = Lapse(tmp_path / "audit")
    for _ in range(2):
        assert lapse.missed(RECORD, "EIO", 60) is not None
    gap = lapse.take()
    assert gap is not None
    assert gap.count == 2


def test_one_writer_alone_says_what_several_missed(tmp_path: Path) -> None:
    first, second = Lapse(tmp_path / "audit"), Lapse(tmp_path / "audit")
    first.missed(RECORD, "EIO", 60)
    second.missed(RECORD, "EIO", 60)
    gap = first.take()
    assert gap is not None
    assert gap.count == 2
    assert second.take() is None
    first.said()
    assert second.take() is None


def test_only_the_organisations_layer_may_open_the_fault() -> None:
    change = {"layer: organisation": "layer: team", "on_failure: deny  ": "on_failure: fail_open  "}
    with pytest.raises(PolicyError, match="may not say so"), governor(change=change):
        pass
    with governor(change={"on_failure: deny  ": "on_failure: fail_open  "}):
        pass


@pytest.mark.parametrize(
    ("kind", "said"), [("tmpfs", "in memory (tmpfs)"), ("nfs4", "on the network (nfs4)"), ("ext4", ""), ("", "")]
)
def test_a_place_that_keeps_no_promises_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, said: str
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"none / ext4 rw 0 0\nx {tmp_path}/a\\040b {kind or 'ext4'} rw 0 0\nbroken\n")
    monkeypatch.setattr(places, "MOUNTS", mounts)
    assert places.unsafe(tmp_path / "a b" / "audit") == said
    assert places.unsafe(tmp_path / "a b") == said
    assert places.unsafe(tmp_path / "elsewhere") == ""
    mounts.unlink()
    assert places.unsafe(tmp_path / "a b") == ""


def test_a_policy_may_refuse_such_a_place(folder: Path, kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "file_system", lambda folder: "tmpfs")
    with pytest.raises(AuditUnavailable, match="in memory"):
        Log.open(folder, key=kit.key, settings=AuditSettings(require_disk=True))
    Log.open(folder, key=kit.key).close()


# -- segments -------------------------------------------------------------------------------------


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "seg").iterdir())


@pytest.mark.parametrize(("what", "value"), [("SEGMENT_BYTES", 2000), ("SEGMENT_SECONDS", 0)])
def test_a_segment_ends_by_size_or_age_and_is_read_only_then(
    opened: Open, folder: Path, kit: Any, monkeypatch: pytest.MonkeyPatch, what: str, value: int
) -> None:
    monkeypatch.setattr(store, what, value)
    log = opened()
    kit.fill(log, 8)
    log.close()
    found = names(folder)
    assert len(found) > 2
    modes = [stat.S_IMODE((folder / "seg" / name).stat().st_mode) for name in found]
    assert modes == [0o400] * (len(found) - 1) + [0o600]
    assert [record["seq"] for record in reader.records(folder)] == list(range(19))
    assert [record["seq"] for record in reader.tail(folder, 9)] == list(range(10, 19))
    assert verify(folder, kit.key).status == Status.WHOLE
    log = opened()
    kit.fill(log, 1)
    log.close()
    assert verify(folder, kit.key).status == Status.WHOLE


def test_another_writer_follows_into_the_next_segment(
    opened: Open, folder: Path, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "SEGMENT_BYTES", 1500)
    first, second = opened(), opened()
    for _ in range(6):
        kit.fill(first, 1)
        kit.fill(second, 1)
    first.close()
    second.close()
    assert len(names(folder)) > 3
    assert verify(folder, kit.key).status == Status.WHOLE


def test_a_segment_that_a_crash_left_empty_is_gone_on_with(opened: Open, folder: Path, kit: Any) -> None:
    log = opened()
    kit.fill(log, 1)
    log.close()
    (folder / "seg" / "00000001.jsonl").touch(mode=0o600)
    log = opened()
    kit.fill(log, 1)
    log.close()
    assert (folder / "seg" / "00000001.jsonl").stat().st_size
    assert verify(folder, kit.key).status == Status.WHOLE


def test_a_missing_segment_is_noticed_by_writers_too(
    opened: Open, folder: Path, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "SEGMENT_BYTES", 1500)
    log = opened()
    kit.fill(log, 6)
    log.close()
    last = folder / "seg" / names(folder)[-1]
    last.unlink()
    with pytest.raises(AuditUnavailable):
        Log.open(folder, key=kit.key)


# -- signs of life and self-checks -----------------------------------------------------------------


def held(folder: Path, key: bytes) -> Store:
    made = Store(folder, key=key, disk=Disk(), patience=5)
    made.open()
    return made


def test_a_minute_of_silence_is_on_the_record_once(folder: Path, kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = held(folder, kit.key), held(folder, kit.key)
    monkeypatch.setattr(store, "BEAT_SECONDS", 0.05)
    while not (first.due and second.due):
        time.sleep(0.01)
    first.cover()
    second.cover()
    assert kinds(folder).count("heartbeat") == 1
    for each in (first, second):
        each.seal([])
        each.drop()
    assert verify(folder, kit.key).status == Status.WHOLE


def test_what_the_disk_changed_is_not_signed_and_the_log_stops(folder: Path, kit: Any) -> None:
    log = held(folder, kit.key)
    signed = (folder / "checkpoints.log").read_bytes()
    log.write([RECORD, RECORD])
    path = folder / "seg" / "00000000.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"plugin":"p"', b'"plugin":"q"', 1))
    with pytest.raises(Exception, match="not the one that was written"):
        log._publish(force=True)
    assert (folder / "checkpoints.log").read_bytes() == signed
    log.drop()


def test_what_the_disk_lost_is_not_signed(folder: Path, kit: Any) -> None:
    log = held(folder, kit.key)
    signed = (folder / "checkpoints.log").read_bytes()
    log.write([RECORD, RECORD])
    path = folder / "seg" / "00000000.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(Exception, match="does not end where it was written to"):
        log._publish(force=True)
    assert (folder / "checkpoints.log").read_bytes() == signed
    log.drop()


@pytest.mark.parametrize("way", [CompactRange, Edge])
def test_where_two_ways_to_the_root_disagree_nothing_is_signed(
    folder: Path, kit: Any, monkeypatch: pytest.MonkeyPatch, way: Any
) -> None:
    log = held(folder, kit.key)
    kept = {name: (folder / name).read_bytes() for name in ("checkpoints.log", "checkpoint", "head.json")}
    size = log.records
    log.write([RECORD])
    plain = way.root
    monkeypatch.setattr(way, "root", lambda self: plain(self) if self.size == size else bytes(32))
    with pytest.raises(Exception, match="two ways to compute the root disagree"):
        log._publish(force=True)
    assert {name: (folder / name).read_bytes() for name in kept} == kept
    log.drop()


def test_a_signed_state_that_could_not_be_published_is_published_next(folder: Path, kit: Any) -> None:
    log = held(folder, kit.key)
    log.write([RECORD])
    before = {name: (folder / name).read_bytes() for name in ("checkpoint", "checkpoints.log")}
    log._publish(force=True)
    for name, content in before.items():
        (folder / name).write_bytes(content)  # as a crash between the state and its checkpoint leaves them
    log.seal([])
    log.drop()
    assert verify(folder, kit.key).status == Status.WHOLE
    assert verify(folder).checkpoints == 3


@pytest.mark.parametrize("module", [synced, store], ids=["before the sync", "before the lock is free"])
def test_an_outcome_that_stands_though_it_was_refused_for_a_fault_after_its_writing_is_withdrawn(
    opened: Open, folder: Path, kit: Any, monkeypatch: pytest.MonkeyPatch, module: Any
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "no room for a mark: a file system that copies on write")

    log = opened()
    call = log.append(kit.intent()).call
    with monkeypatch.context() as patch:
        patch.setattr(module, "put_mark", full)
        with pytest.raises(AuditUnavailable):
            log.append(kit.outcome(call))
    (refused,) = [record for record in reader.records(folder) if record["kind"] == "call.outcome"]
    log.close()
    told = [(record["record"], record["of"]) for record in reader.records(folder) if record["kind"] == "call.withdrawn"]
    assert told == [(refused["id"], "call.outcome")]
    assert verify(folder).status == Status.WHOLE
