"""The log: durable on return, in order, exactly once, from threads, tasks and forks."""

from __future__ import annotations

import asyncio
import errno
import gc
import itertools
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aigov.audit import canonical, reader, store, worker
from aigov.audit import log as log_module
from aigov.audit.log import Log
from aigov.audit.records import CallOutcome, PluginFault, StreamOpened, new_id
from aigov.audit.settings import AuditSettings
from aigov.audit.verify import Status, verify
from aigov.errors import AuditUnavailable

Open = Callable[..., Log]


def test_a_record_is_in_the_file_and_synced_before_append_returns(opened: Open, folder: Path, kit: Any) -> None:
    disk = kit.FaultyDisk()
    log = opened(disk)
    disk.calls.clear()
    receipt = log.append(kit.intent())
    assert disk.calls[:2] == ["write", "sync"]
    assert canonical.link(kit.lines(folder)[receipt.seq]) == receipt.digest


def test_a_receipt_names_the_line(opened: Open, folder: Path, kit: Any) -> None:
    call = new_id()
    receipt = opened().append(kit.intent(call))
    entry = canonical.decode(kit.lines(folder)[receipt.seq])
    assert (receipt.id, receipt.seq, receipt.call, receipt.kind) == (entry.id, entry.seq, call, "call.intent")


def test_a_record_about_no_call_has_a_receipt_without_one(opened: Open) -> None:
    assert opened().append(PluginFault(plugin="p")).call == ""


def test_a_new_log_begins_with_its_genesis_and_its_writer(opened: Open, folder: Path, kit: Any) -> None:
    opened()
    first, second = map(canonical.decode, kit.lines(folder))
    assert (type(first).__name__, type(second).__name__) == ("LogGenesis", "WriterStart")
    assert first.prev == canonical.origin_link(first.origin)


def test_each_line_is_bound_to_the_one_before(opened: Open, folder: Path, kit: Any) -> None:
    kit.fill(opened(), 5)
    found = kit.lines(folder)
    for before, line in itertools.pairwise(found):
        assert canonical.decode(line).prev == canonical.link(before)


def test_the_folder_and_its_files_are_for_the_owner_alone(opened: Open, folder: Path) -> None:
    old = os.umask(0)
    try:
        opened()
    finally:
        os.umask(old)
    for path in (folder, *folder.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_only_segments_end_in_jsonl(opened: Open, folder: Path, kit: Any) -> None:
    log = opened()
    kit.fill(log, 2)
    log.close()
    assert [path.relative_to(folder).as_posix() for path in folder.rglob("*.jsonl")] == ["seg/00000000.jsonl"]


def test_closing_seals(opened: Open, folder: Path, kit: Any) -> None:
    log = opened()
    kit.fill(log, 3)
    assert verify(folder, kit.key).status == Status.INCOMPLETE
    log.close()
    report = verify(folder, kit.key)
    assert (report.status, report.sealed, report.records) == (Status.WHOLE, True, 9)


def test_closing_twice_is_closing_once(opened: Open, folder: Path, kit: Any) -> None:
    log = opened()
    log.close()
    before = kit.lines(folder)
    log.close()
    assert kit.lines(folder) == before


def test_a_closed_log_takes_nothing(opened: Open, kit: Any) -> None:
    log = opened()
    log.close()
    assert log.failed
    for take in (log.append, log.submit):
        with pytest.raises(AuditUnavailable):
            take(kit.intent())


def test_a_sealed_log_goes_on_and_is_sealed_again(opened: Open, folder: Path, kit: Any) -> None:
    for _ in range(3):
        log = opened()
        kit.fill(log, 1)
        log.close()
    report = verify(folder, kit.key)
    assert (report.status, report.writers) == (Status.WHOLE, 3)


def test_the_log_is_unsealed_while_another_writer_lives(opened: Open, folder: Path, kit: Any) -> None:
    first, second, third = opened(), opened(), opened()
    for log in (second, first):
        kit.fill(log, 1)
        log.close()
        assert verify(folder, kit.key).status == Status.INCOMPLETE
    third.close()
    assert verify(folder, kit.key).status == Status.WHOLE


def test_calls_left_open_are_recorded_at_closing(opened: Open, folder: Path, kit: Any) -> None:
    log, call = opened(), new_id()
    log.append(kit.intent(call))
    kit.fill(log, 1)
    log.close()
    orphan = canonical.decode(kit.lines(folder)[-2])
    assert (orphan.call, orphan.why) == (call, "closed")
    report = verify(folder, kit.key)
    assert (report.status, report.orphaned_calls) == (Status.WHOLE, 1)


def test_a_call_that_another_process_ended_is_no_orphan_of_the_one_that_began_it(
    opened: Open, folder: Path, kit: Any
) -> None:
    first, second = opened(), opened()
    calls = [first.append(kit.intent()).call for _ in range(3)]
    second.append(kit.outcome(calls[1]))
    first.close()
    second.close()
    found = [record for record in reader.records(folder) if record["kind"] == "call.orphaned"]
    assert [record["call"] for record in found] == [calls[0], calls[2]]
    assert verify(folder, kit.key).status == Status.WHOLE


def test_a_call_that_is_ended_while_its_log_looks_for_open_ones_is_no_orphan(
    opened: Open, folder: Path, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = opened(), opened()
    calls = [first.append(kit.intent()).call for _ in range(2)]
    look = store.orphans

    def looked(*arguments: Any) -> list[Any]:
        found = look(*arguments)
        second.append(kit.outcome(calls[0]))
        return found

    monkeypatch.setattr(store, "orphans", looked)
    first.close()
    monkeypatch.undo()
    second.close()
    found = [record for record in reader.records(folder) if record["kind"] == "call.orphaned"]
    assert [(record["call"], record["why"]) for record in found] == [(calls[1], "closed")]
    assert verify(folder, kit.key).status == Status.WHOLE


def test_the_context_manager_closes_and_lets_the_error_pass(folder: Path, kit: Any) -> None:
    with pytest.raises(KeyError), Log.open(folder, key=kit.key):
        raise KeyError
    assert verify(folder, kit.key).status == Status.WHOLE


def test_a_log_that_nobody_holds_closes_itself(folder: Path, kit: Any) -> None:
    log = Log.open(folder, key=kit.key)
    kit.fill(log, 1)
    del log
    gc.collect()
    assert verify(folder, kit.key).status == Status.WHOLE


def test_a_log_that_refused_last_and_that_nobody_holds_closes_itself_too(folder: Path, kit: Any) -> None:
    device = kit.FaultyDisk()
    log = Log.open(folder, key=kit.key, disk=device)
    kit.fill(log, 1)
    device.fail["write"] = [errno.ENOSPC]
    with pytest.raises(AuditUnavailable):
        log.append(PluginFault(plugin="p"))
    del log
    gc.collect()
    assert verify(folder, kit.key).status == Status.WHOLE


def test_a_log_may_be_forgotten_in_its_own_thread(folder: Path, kit: Any) -> None:
    log = Log.open(folder, key=kit.key)
    held, done = [log], threading.Event()
    future = log.submit(kit.intent())
    future.result(10)
    last = log.submit(kit.intent())
    last.add_done_callback(lambda _: (held.clear(), gc.collect(), done.set()))
    del log
    assert done.wait(10)
    for _ in range(500):
        if verify(folder, kit.key).status == Status.WHOLE:
            break
        time.sleep(0.01)
    assert verify(folder, kit.key).status == Status.WHOLE


def test_a_process_that_ends_without_closing_seals_all_the_same(folder: Path, kit: Any) -> None:
    script = """
import sys; from pathlib import Path; from aigov.audit.log import Log; from aigov.audit.records import PluginFault
log = Log.open(Path(sys.argv[1]), key=b"k" * 32); log.append(PluginFault(plugin="p"))
"""
    process = kit.run(script, folder)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert verify(folder, kit.key).status == Status.WHOLE


def test_32_threads_lose_nothing_and_repeat_nothing(opened: Open, folder: Path, kit: Any) -> None:
    log, receipts = opened(), []

    def work() -> None:
        receipts.extend(log.append(PluginFault(plugin="p")) for _ in range(25))

    threads = [threading.Thread(target=work) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    written = [canonical.decode(line).id for line in kit.lines(folder)]
    assert sorted(receipt.id for receipt in receipts) == sorted(written[2:-1])
    assert verify(folder, kit.key).status == Status.WHOLE


def test_each_threads_records_stand_in_its_order(opened: Open, kit: Any) -> None:
    log = opened()
    futures = [log.submit(PluginFault(plugin="p")) for _ in range(3000)]
    sequence = [future.result(30).seq for future in futures]
    assert sequence == list(range(sequence[0], sequence[0] + 3000))


def test_what_is_queued_during_a_sync_shares_the_next_one(opened: Open, kit: Any) -> None:
    disk = kit.FaultyDisk()
    log = opened(disk)
    disk.hold.clear()
    first = log.submit(kit.intent())
    while "sync" not in disk.calls[-1:]:
        time.sleep(0.001)
    rest = [log.submit(kit.intent()) for _ in range(50)]
    disk.calls.clear()
    disk.hold.set()
    first.result(10)
    for future in rest:
        future.result(10)
    assert disk.calls.count("sync") <= 1 + 1  # one for the fifty; at most one more for the head


def test_a_task_waits_without_stopping_the_others(opened: Open, folder: Path, kit: Any) -> None:
    log = opened()

    async def one() -> int:
        return (await log.aappend(PluginFault(plugin="p"))).seq

    async def wrapped() -> int:
        return (await asyncio.wrap_future(log.submit(PluginFault(plugin="p")))).seq

    async def main() -> list[int]:
        return await asyncio.gather(*(one() for _ in range(50)), *(wrapped() for _ in range(50)))

    assert sorted(asyncio.run(main())) == list(range(2, 102))


def test_a_cancelled_wait_does_not_undo_the_record(opened: Open, folder: Path, kit: Any) -> None:
    disk = kit.FaultyDisk()
    log = opened(disk)

    async def main() -> None:
        disk.hold.clear()
        waiting = [asyncio.ensure_future(log.aappend(PluginFault(plugin="p"))) for _ in range(3)]
        await asyncio.sleep(0.02)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        disk.hold.set()

    asyncio.run(main())
    log.close()
    assert sum(b"plugin.fault" in line for line in kit.lines(folder)) == 3


def test_a_record_that_was_taken_cannot_be_taken_back(opened: Open, kit: Any) -> None:
    disk = kit.FaultyDisk()
    log = opened(disk)
    disk.hold.clear()
    future = log.submit(kit.intent())
    assert not future.cancel()
    disk.hold.set()
    assert future.result(10).seq == 2


def test_a_slow_disk_is_not_waited_for_for_ever(opened: Open, folder: Path, kit: Any) -> None:
    disk = kit.FaultyDisk()
    log = opened(disk, patience_ms=100)
    disk.hold.clear()
    with pytest.raises(AuditUnavailable, match="did not answer in time"):
        log.append(kit.intent())
    with pytest.raises(AuditUnavailable, match="did not answer in time"):
        asyncio.run(log.aappend(kit.intent()))
    disk.hold.set()
    log.close()
    said = [record["of"] for record in reader.records(folder) if record["kind"] == "call.withdrawn"]
    assert said == ["call.intent"] * 2  # they became durable after all, and nobody went on
    assert verify(folder, kit.key).status == Status.WHOLE


def test_what_is_withdrawn_is_said_at_once_and_for_each_kind_of_a_call(opened: Open, folder: Path, kit: Any) -> None:
    disk = kit.FaultyDisk()
    log = opened(disk, patience_ms=100)
    begun = log.append(kit.intent())
    disk.hold.clear()
    for record in (StreamOpened(call=begun.call), kit.outcome(begun.call), PluginFault(plugin="p")):
        with pytest.raises(AuditUnavailable):
            log.append(record)
    disk.hold.set()
    log.append(PluginFault(plugin="q"))
    log.close()
    found = {record["id"]: record for record in reader.records(folder)}
    late = [record for record in found.values() if record["kind"] == "call.withdrawn"]
    assert [(record["of"], found[record["record"]]["kind"], record["call"]) for record in late] == [
        (kind, kind, begun.call) for kind in ("stream.opened", "call.outcome")
    ]
    assert verify(folder, kit.key).status == Status.WHOLE


def test_a_call_that_goes_on_unrecorded_by_the_policys_leave_withdraws_nothing(
    opened: Open, folder: Path, kit: Any
) -> None:
    disk = kit.FaultyDisk()
    log = opened(disk)
    log.obey(AuditSettings(patience_ms=100, on_failure="fail_open"))
    disk.hold.clear()
    with pytest.raises(AuditUnavailable):
        log.append(kit.intent())
    disk.hold.set()
    log.close()
    kinds = [record["kind"] for record in reader.records(folder)]
    assert "call.withdrawn" not in kinds
    assert "call.orphaned" in kinds


def test_records_that_nobody_knows_are_durable_are_refused_and_accounted_for(
    opened: Open, folder: Path, kit: Any
) -> None:
    slow = kit.FaultyDisk()
    first, second = opened(slow), opened(patience_ms=100)
    slow.hold.clear()
    slow.calls.clear()
    waiting = first.submit(PluginFault(plugin="p"))
    while "sync" not in slow.calls:
        time.sleep(0.001)
    refused = second.submit(kit.intent()).exception(10)
    assert isinstance(refused, AuditUnavailable)
    slow.hold.set()
    waiting.result(10)
    first.close()
    second.close()
    assert [record["of"] for record in reader.records(folder) if record["kind"] == "call.withdrawn"] == ["call.intent"]
    assert verify(folder, kit.key).status == Status.WHOLE


def test_another_policys_patience_counts_from_the_next_record_on(opened: Open, kit: Any) -> None:
    disk = kit.FaultyDisk()
    log = opened(disk, patience_ms=60_000)
    log.obey(AuditSettings(patience_ms=100))
    disk.hold.clear()
    with pytest.raises(AuditUnavailable, match="in time"):
        log.append(kit.intent())
    disk.hold.set()


def test_a_full_queue_refuses_after_a_while(opened: Open, kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "QUEUE_RECORDS", 10)
    monkeypatch.setattr(log_module, "QUEUE_SECONDS", 0.05)
    disk = kit.FaultyDisk()
    log = opened(disk)
    disk.hold.clear()
    log.submit(kit.intent())
    while "sync" not in disk.calls[-1:]:
        time.sleep(0.001)
    for _ in range(10):
        log.submit(kit.intent())
    with pytest.raises(AuditUnavailable, match="queue is full"):
        log.submit(kit.intent())
    with pytest.raises(AuditUnavailable, match="queue is full"):
        asyncio.run(log.aappend(kit.intent()))
    disk.hold.set()


def test_a_caller_waits_for_room_in_the_queue(opened: Open, kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "QUEUE_RECORDS", 5)
    monkeypatch.setattr(log_module, "QUEUE_SECONDS", 30)
    log = opened()
    for future in [log.submit(PluginFault(plugin="p")) for _ in range(200)]:
        assert future.result(10).seq


def test_a_record_that_cannot_be_written_fails_alone(opened: Open, folder: Path, kit: Any) -> None:
    log = opened()
    bad = CallOutcome(call="c", outcome="released", confidence_ppm=0.5)  # type: ignore[arg-type]
    before, wrong, after = log.submit(PluginFault(plugin="a")), log.submit(bad), log.submit(PluginFault(plugin="b"))
    with pytest.raises(AuditUnavailable) as caught:
        wrong.result(10)
    assert caught.value.__context__ is None
    assert after.result(10).seq == before.result(10).seq + 1
    log.close()
    assert verify(folder, kit.key).status == Status.WHOLE


def test_the_head_follows_within_a_second_of_idling(opened: Open, folder: Path, kit: Any) -> None:
    log = opened()
    kit.fill(log, 2)
    for _ in range(500):
        if verify(folder, kit.key).covered == 6:
            break
        time.sleep(0.01)
    assert verify(folder, kit.key).covered == 6


def test_another_key_does_not_open_the_log(opened: Open, folder: Path) -> None:
    opened().close()
    with pytest.raises(AuditUnavailable, match="key"):
        Log.open(folder, key=b"x" * 32)


def test_a_log_shows_no_key_and_no_path(opened: Open, folder: Path) -> None:
    assert repr(opened()) == "Log(closed=False)"


FORK = """
import os, sys, time
from pathlib import Path
from aigov.audit.log import Log
from aigov.audit.records import PluginFault
log = Log.open(Path(sys.argv[1]), key=b"k" * 32)
for _ in range(20):
    log.submit(PluginFault(plugin="queued by the parent"))
child = os.fork()
if not child:
    for _ in range(10):
        log.append(PluginFault(plugin="child"))
    log.close()
    os._exit(0)
for _ in range(10):
    log.append(PluginFault(plugin="parent"))
assert os.waitpid(child, 0)[1] == 0
log.close()
"""


def test_a_forked_child_writes_for_itself_and_repeats_nothing(folder: Path, kit: Any) -> None:
    process = kit.run(FORK, folder)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    written = [canonical.decode(line) for line in kit.lines(folder)]
    by = {}
    for entry in written:
        if hasattr(entry, "plugin"):
            by.setdefault(entry.plugin, []).append(entry.writer.pid)
    assert {name: (len(pids), len(set(pids))) for name, pids in by.items()} == {
        "queued by the parent": (20, 1),
        "child": (10, 1),
        "parent": (10, 1),
    }
    assert by["child"][0] != by["parent"][0]
    report = verify(folder, kit.key)
    assert (report.status, report.writers) == (Status.WHOLE, 2)


FORK_AND_DIE = """
import os, signal, sys, time
from pathlib import Path
from aigov.audit.log import Log
from aigov.audit.records import PluginFault
log = Log.open(Path(sys.argv[1]), key=b"k" * 32)
log.append(PluginFault(plugin="p"))
if not os.fork():
    time.sleep(30)
    os._exit(0)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_child_does_not_keep_its_dead_parents_locks(opened: Open, folder: Path, kit: Any) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", FORK_AND_DIE, str(folder)],
        cwd=Path(log_module.__file__).parents[2],
        start_new_session=True,
    )
    try:
        assert process.wait(30) < 0
        log = opened(patience_ms=1000)
        kit.fill(log, 1)
        log.close()
        assert verify(folder, kit.key).status == Status.WHOLE
    finally:
        os.killpg(process.pid, 9)


FORKED_WHILE_OPENING = """
import os, signal, sys, threading, time
from pathlib import Path
from aigov.audit.disk import Disk
from aigov.audit.log import Log
from aigov.audit.records import CallIntent
joined, forked = threading.Event(), threading.Event()
class Slow(Disk):
    def sync_folder(self, folder):
        super().sync_folder(folder)
        if folder.name == "writers":
            joined.set()
            forked.wait(30)
def use():
    log = Log.open(Path(sys.argv[1]), key=b"k" * 32, disk=Slow())
    log.append(CallIntent(call="begun", action="a", resource="r"))
    os.kill(os.getpid(), signal.SIGKILL)
threading.Thread(target=use).start()
joined.wait(30)
child = os.fork()
if child:
    print(child, flush=True)
    forked.set()
time.sleep(60)
"""


def test_a_child_that_is_forked_while_a_log_is_opened_holds_nothing_of_it(folder: Path, kit: Any) -> None:
    parent = kit.run(FORKED_WHILE_OPENING, folder)
    child = int(parent.stdout.readline())
    try:
        assert parent.wait(30) == -signal.SIGKILL
        Log.open(folder, key=kit.key).close()
        assert verify(folder).orphaned_calls == 1
    finally:
        os.kill(child, signal.SIGKILL)
        parent.communicate(timeout=30)
    assert verify(folder).status == Status.WHOLE


FORKED_WHILE_STORES_OPEN = """
import os, sys, threading
from pathlib import Path
from aigov.audit.disk import Disk
from aigov.audit.records import PluginFault
from aigov.audit.settings import AuditSettings
from aigov.stores import Stores
opening, forked = threading.Event(), threading.Event()
plain = Disk.sync_folder
def sync_folder(self, folder):
    plain(self, folder)
    opening.set()
    forked.wait(30)
Disk.sync_folder = sync_folder
stores = Stores(Path(sys.argv[1]), Path(sys.argv[1] + "-review"), log_key=b"k" * 32, desk_key=b"d" * 32)
settings = AuditSettings(patience_ms=60_000)
first = threading.Thread(target=stores.append, args=(PluginFault(plugin="parent"), settings))
first.start()
opening.wait(30)
counting = threading.Event()
def count():
    with stores._lapse._lock:  # what could not be recorded
        counting.set()
        forked.wait(30)
threading.Thread(target=count).start()
counting.wait(30)
child = os.fork()
forked.set()
if not child:
    stores.append(PluginFault(plugin="child"), settings)
    stores._lapse.missed(PluginFault(plugin="lost"), "EIO", 60)
    stores.append(PluginFault(plugin="child"), settings)
    stores.close()
    os._exit(0)
first.join()
print(os.waitpid(child, 0)[1], flush=True)
stores.close()
"""


def test_a_child_that_is_forked_while_its_parents_threads_hold_locks_records_its_calls(folder: Path, kit: Any) -> None:
    process = kit.run(FORKED_WHILE_STORES_OPEN, folder)
    try:
        out, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (out, process.returncode) == ("0\n", 0), errors
    assert verify(folder).status == Status.WHOLE
    assert sorted(one["plugin"] for one in reader.records(folder) if "plugin" in one) == ["child", "child", "parent"]
    assert [one["count"] for one in reader.records(folder) if one["kind"] == "gap"] == [1]
