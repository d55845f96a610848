"""One sync for all writers of a log: what it covers, who is told, what a failure or a death in the middle leaves."""

from __future__ import annotations

import errno
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from aigov.audit import canonical, reader, synced
from aigov.audit import store as store_module
from aigov.audit.disk import Busy, Disk
from aigov.audit.log import Log
from aigov.audit.orphans import orphans
from aigov.audit.records import PluginFault
from aigov.audit.store import Store, SyncFailed, Unsure
from aigov.audit.synced import FAILED, SURE, UNDER_WAY, Broken, Mark, get_mark, put_mark
from aigov.audit.verify import Status, _Check, verify
from aigov.errors import AuditUnavailable
from benchmarks.tampering.loggers import Aigov, Held

Hold = Callable[..., Store]


@pytest.fixture
def hold(folder: Path, kit: Any) -> Iterator[Hold]:
    """Stores on one folder: to locks and syncs they are what processes are."""
    made: list[Store] = []

    def make(disk: Any = None, patience: float = 20.0) -> Store:
        made.append(Store(folder, key=kit.key, disk=disk or kit.FaultyDisk(), patience=patience))
        made[-1].open()
        return made[-1]

    yield make
    for store in made:
        store.drop()


@pytest.fixture(autouse=True)
def failing(kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk with `failing` set lets the sync that is held end in EIO, once."""
    plain = kit.FaultyDisk.sync

    def sync(self: Any, handle: int) -> None:
        plain(self, handle)
        if getattr(self, "failing", False):
            self.failing = False
            raise OSError(errno.EIO, "a fault on order")

    monkeypatch.setattr(kit.FaultyDisk, "sync", sync)


def record(name: str) -> PluginFault:
    return PluginFault(plugin=name)


def plugins(folder: Path) -> list[str]:
    return [record["plugin"] for record in reader.records(folder) if record["kind"] == "plugin.fault"]


def end(*stores: Store) -> None:
    for store in stores:
        store.seal([])
        store.drop()


def marked(folder: Path) -> Mark:
    handle = os.open(folder / synced.LOCK, os.O_RDWR)
    try:
        mark = get_mark(handle)
    finally:
        os.close(handle)
    assert mark is not None
    return mark


def mark(folder: Path, **change: Any) -> None:
    handle = os.open(folder / synced.LOCK, os.O_RDWR)
    try:
        found = get_mark(handle)
        assert found is not None
        put_mark(handle, found._replace(**change))
    finally:
        os.close(handle)


def until_syncing(disk: Any) -> None:
    while "sync" not in disk.calls[-1:]:
        threading.Event().wait(0.001)


def size(folder: Path) -> int:
    return (folder / "seg/00000000.jsonl").stat().st_size


def test_others_write_while_one_syncs_and_nobody_is_told_before_a_sync(hold: Hold, folder: Path, kit: Any) -> None:
    slow = kit.FaultyDisk()
    first, second = hold(slow), hold()
    slow.hold.clear()
    slow.calls.clear()
    with ThreadPoolExecutor() as pool:
        one = pool.submit(first.write, [record("one")])
        until_syncing(slow)
        before = size(folder)
        two = pool.submit(second.write, [record("two")])
        while size(folder) == before:
            threading.Event().wait(0.001)
        assert not one.done()
        assert not two.done()
        slow.hold.set()
        assert two.result()[0].seq == one.result()[0].seq + 1
    end(first, second)
    assert verify(folder, kit.key).status == Status.WHOLE


def test_a_sync_covers_all_that_was_written_before_it_began(hold: Hold, folder: Path, kit: Any) -> None:
    disks = [kit.FaultyDisk() for _ in range(4)]
    stores = [hold(disk) for disk in disks]
    disks[0].hold.clear()
    for disk in disks:
        disk.calls.clear()
    with ThreadPoolExecutor() as pool:
        waiting = [pool.submit(stores[0].write, [record("0")])]
        until_syncing(disks[0])
        for number in (1, 2, 3):
            before = size(folder)
            waiting.append(pool.submit(stores[number].write, [record(str(number))]))
            while size(folder) == before:
                threading.Event().wait(0.001)
        disks[0].hold.set()
        assert [len(one.result()) for one in waiting] == [1] * 4
    assert sum(disk.calls.count("sync") for disk in disks) == 2
    end(*stores)
    assert verify(folder, kit.key).status == Status.WHOLE


def test_a_sync_that_failed_is_known_to_everybody_whose_records_it_was_to_cover(
    hold: Hold, folder: Path, kit: Any
) -> None:
    bad, good = kit.FaultyDisk(), kit.FaultyDisk()
    first, second = hold(bad), hold(good)
    kept = first.write([record("kept")])
    bad.hold.clear()
    bad.calls.clear()
    with ThreadPoolExecutor() as pool:
        one = pool.submit(first.write, [record("one")])
        until_syncing(bad)
        before = size(folder)
        two = pool.submit(second.write, [record("two"), record("three")])
        while size(folder) == before:
            threading.Event().wait(0.001)
        bad.failing = True
        bad.hold.set()
        receipts = [*kept, *one.result(), *two.result()]
    assert sorted(plugins(folder)) == ["kept", "one", "three", "two"]
    end(first, second)
    written = [record["id"] for record in reader.records(folder)]
    assert [written.count(receipt.id) for receipt in receipts] == [1] * 4
    assert verify(folder, kit.key).status == Status.WHOLE


def test_what_another_writers_sync_made_durable_stays_when_a_later_one_fails(
    hold: Hold, folder: Path, kit: Any
) -> None:
    bad = kit.FaultyDisk()
    first, second = hold(), hold(bad)
    (kept,) = first.write([record("kept")])
    bad.failing = True
    (again,) = second.write([record("again")])
    assert [found["id"] for found in reader.find(folder, kept.id) + reader.find(folder, again.id)] == [
        kept.id,
        again.id,
    ]
    left = canonical.decode((folder / "seg/00000001.jsonl").read_bytes().splitlines()[0])
    assert (left.kind, left.segment, left.bytes, left.error) == ("segment.abandoned", 0, size(folder), "EIO")
    assert first.write([record("follows")])[0].seq == again.seq + 1
    end(first, second)
    assert verify(folder, kit.key).status == Status.WHOLE


def test_a_writer_that_comes_to_a_failed_sync_abandons_the_segment_in_the_others_place(
    hold: Hold, folder: Path, kit: Any
) -> None:
    bad = kit.FaultyDisk()
    first, second = hold(bad), hold()
    bad.fail["sync"] = [errno.EIO, errno.EIO]
    with pytest.raises(SyncFailed):
        first.write([record("lost")])
    first.drop()  # and never comes back
    assert marked(folder).state == FAILED
    second.write([record("two")])
    assert plugins(folder) == ["two"]
    assert marked(folder).state == SURE
    end(second)
    again = hold()
    end(again)
    assert verify(folder, kit.key).status == Status.WHOLE


def test_a_failed_sync_is_remembered_over_the_end_of_every_process(hold: Hold, folder: Path, kit: Any) -> None:
    bad = kit.FaultyDisk()
    first = hold(bad)
    first.write([record("one")])
    durable = size(folder)
    bad.fail["sync"] = [errno.EIO]
    bad.fail["truncate"] = [errno.EIO] * 9  # what is behind cannot be cut off either
    first._abandoned = True
    with pytest.raises(SyncFailed):
        first.write([record("two")])
    first.drop()
    assert size(folder) > durable
    end(hold())
    assert plugins(folder) == ["one"]
    assert reader.extents(folder)[0][1] == durable
    assert verify(folder, kit.key).status == Status.WHOLE


def test_what_a_dead_writers_sync_was_to_cover_is_written_again_before_it_is_synced(
    hold: Hold, folder: Path, kit: Any
) -> None:
    disk = kit.FaultyDisk()
    first, second = hold(), hold(disk)
    first.write([record("one")])
    before, content = marked(folder).offset, (folder / "seg/00000000.jsonl").read_bytes
    mark(folder, state=UNDER_WAY)  # as who is killed in the middle leaves it
    disk.calls.clear()
    second.write([record("two")])
    assert disk.calls[:3] == ["write", "write", "sync"]
    assert (marked(folder).state, marked(folder).offset) == (SURE, len(content()))
    assert marked(folder).offset > before
    end(first, second)
    assert verify(folder, kit.key).status == Status.WHOLE


@pytest.mark.parametrize("change", [{"boot": b"another".ljust(16)}, {"offset": 10**6}, {"segment": 7}])
def test_a_mark_that_cannot_be_right_is_not_believed(
    hold: Hold, folder: Path, kit: Any, change: dict[str, Any]
) -> None:
    hold().drop()
    mark(folder, **change)
    disk = kit.FaultyDisk()
    store = hold(disk)
    disk.calls.clear()
    store.write([record("one")])
    assert disk.calls == ["write", "sync"]
    assert marked(folder)[1:3] == (0, size(folder))
    end(store)
    assert verify(folder, kit.key).status == Status.WHOLE


@pytest.mark.parametrize("content", [b"", b"x" * 500, b"\xff" * 40, b"\0" * 40])
def test_a_file_that_holds_no_mark_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "lock"
    path.write_bytes(content)
    handle = os.open(path, os.O_RDWR)
    assert get_mark(handle) is None
    put_mark(handle, Mark(b"b" * 16, 3, 4, FAILED, 5))
    assert get_mark(handle) == Mark(b"b" * 16, 3, 4, FAILED, 5)
    os.close(handle)


def test_where_nothing_is_known_of_a_log_a_failed_sync_abandons_nothing(hold: Hold, folder: Path, kit: Any) -> None:
    store = hold()
    store.write([record("one")])
    store.drop()
    (folder / synced.LOCK).unlink()
    disk = kit.FaultyDisk()
    disk.failing = True
    with pytest.raises(SyncFailed):
        hold(disk)
    end(hold())
    assert plugins(folder) == ["one"]
    assert len(list((folder / "seg").iterdir())) == 1
    assert verify(folder, kit.key).status == Status.WHOLE


def test_who_waits_for_anothers_sync_too_long_is_told_that_nobody_knows(hold: Hold, folder: Path, kit: Any) -> None:
    slow = kit.FaultyDisk()
    first, second = hold(slow), hold(patience=0.05)
    slow.hold.clear()
    slow.calls.clear()
    with ThreadPoolExecutor() as pool:
        one = pool.submit(first.write, [record("one")])
        until_syncing(slow)
        with pytest.raises(Unsure) as caught:
            second.write([record("two")])
        slow.hold.set()
        one.result()
    assert isinstance(caught.value, Busy)
    assert [result.kind for result in caught.value.results] == ["plugin.fault"]
    second.write([record("three")])
    assert plugins(folder) == ["one", "two", "three"]
    end(first, second)
    assert verify(folder, kit.key).status == Status.WHOLE


@pytest.mark.parametrize("lost", [True, False])
def test_a_call_whose_end_nobody_knows_to_be_durable_stays_in_mind_though_it_began_segments_ago(
    opened: Callable[..., Log], folder: Path, kit: Any, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    bad = kit.FaultyDisk()
    first, second = opened(bad), opened(patience_ms=100)
    begun = second.append(kit.intent())
    with monkeypatch.context() as small:
        small.setattr("aigov.audit.store.SEGMENT_BYTES", 1)
        second.append(record("in the next segment"))
    bad.hold.clear()
    bad.calls.clear()
    waiting = first.submit(record("one"))
    until_syncing(bad)
    assert isinstance(second.submit(kit.outcome(begun.call)).exception(10), AuditUnavailable)
    bad.failing = lost
    bad.hold.set()
    waiting.result(10)
    second.append(record("two"))
    assert (list(second._worker._calls), second._worker._perhaps) == ([begun.call] if lost else [], {})
    second.close()
    first.close()
    ends = [found["kind"] for found in reader.records(folder) if found.get("call") == begun.call]
    assert ends == ["call.intent", *([] if lost else ["call.outcome"]), "call.withdrawn", *["call.orphaned"] * lost]
    report = verify(folder, kit.key)
    assert report.status == Status.WHOLE, report.problems


def test_lines_that_are_taken_back_while_a_log_is_read_are_no_tampering(
    hold: Hold, folder: Path, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = kit.FaultyDisk()
    store = hold(bad)
    store.write([record("one")])
    with monkeypatch.context() as small:
        small.setattr("aigov.audit.store.SEGMENT_BYTES", 1)
        store.write([record("in the next segment")])
    before = (folder / "seg/00000001.jsonl").stat().st_size
    bad.hold.clear()
    bad.calls.clear()
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(store.write, [record("two")])
        until_syncing(bad)

        def meanwhile(done: int, total: int) -> None:
            """The first segment is read; the sync fails, and what it was to cover is cut off and written elsewhere."""
            bad.failing = not bad.hold.is_set()
            bad.hold.set()
            waiting.result(20)

        report = verify(folder, progress=meanwhile)
    assert (folder / "seg/00000001.jsonl").stat().st_size == before
    assert report.status == Status.INCOMPLETE, report.problems
    end(store)
    assert verify(folder, kit.key).status == Status.WHOLE


@pytest.mark.parametrize("ours", [True, False])
def test_a_segment_that_is_begun_while_a_log_is_looked_at_is_no_strangers(
    hold: Hold, folder: Path, monkeypatch: pytest.MonkeyPatch, ours: bool
) -> None:
    store, module = hold(), Aigov()._standalone
    store.write([record("one")])
    where, name = (_Check, "_freeze") if ours else (os, "listdir")
    plain = getattr(where, name)

    def looked(*arguments: Any) -> Any:
        """The segments are listed, and right afterwards there is one more."""
        found = plain(*arguments)
        monkeypatch.setattr(where, name, plain)
        with monkeypatch.context() as small:
            small.setattr("aigov.audit.store.SEGMENT_BYTES", 1)
            store.write([record("in the next segment")])
        return found

    monkeypatch.setattr(where, name, looked)
    said = int(verify(folder).status) if ours else module.main([str(folder)])
    assert len(reader.extents(folder)) == 2
    assert said == Status.INCOMPLETE
    end(store)


@pytest.mark.parametrize("again", [True, False], ids=["its writer writes it again", "its writer cannot"])
def test_an_end_that_is_lost_with_its_sync_is_none_for_who_began_the_call_and_closes(
    hold: Hold, folder: Path, kit: Any, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    bad, looked = kit.FaultyDisk(), threading.Event()
    first, second = hold(), hold(bad)
    (begun,) = first.write([kit.intent()])

    def looks(*arguments: Any) -> list[Any]:
        found = orphans(*arguments)
        looked.set()
        return found

    def late(failed: Broken) -> None:
        time.sleep(0.05)  # who lost an end is not the first to go on
        once(failed)

    once = second._once
    monkeypatch.setattr(second, "_once", late)
    monkeypatch.setattr("aigov.audit.store.orphans", looks)
    bad.hold.clear()
    bad.calls.clear()
    with ThreadPoolExecutor() as pool:
        ended = pool.submit(second.write, [kit.outcome(begun.call)])
        until_syncing(bad)
        closed = pool.submit(first.seal, [], 0)
        assert looked.wait(20)
        bad.fail["sync"] = [] if again else [errno.EIO]
        bad.failing = True
        bad.hold.set()
        assert closed.result() is False
        assert (ended.exception() is None) == again
    first.drop()
    second.drop()  # dies
    end(hold())
    ends = [record["kind"] for record in reader.records(folder) if record.get("call") == begun.call]
    assert ends == ["call.intent", "call.outcome" if again else "call.orphaned"]
    report = verify(folder, kit.key)
    assert report.status == Status.WHOLE, report.problems


def test_a_writers_count_goes_back_with_all_its_lines_that_were_never_durable(
    hold: Hold, folder: Path, kit: Any
) -> None:
    slow = kit.FaultyDisk()
    first, second = hold(slow), hold(patience=0.05)
    slow.hold.clear()
    slow.calls.clear()
    with ThreadPoolExecutor() as pool:
        one = pool.submit(first.write, [record("one")])
        until_syncing(slow)
        for _ in range(2):
            with pytest.raises(Unsure):
                second.write([record("two"), record("two")])
        slow.failing = True
        slow.hold.set()
        one.result()
    second.write([record("three")])
    assert plugins(folder) == ["one", "three"]
    end(first, second)
    assert verify(folder, kit.key).status == Status.WHOLE


def test_a_new_log_whose_first_sync_fails_begins_again_in_the_same_place(hold: Hold, folder: Path, kit: Any) -> None:
    disk = kit.FaultyDisk()
    disk.bad_segments = 1
    plain = disk.sync

    def sync(handle: int) -> None:
        if os.readlink(f"/proc/self/fd/{handle}").endswith(".jsonl") and disk.bad_segments:
            disk.bad_segments -= 1
            raise OSError(errno.EIO, "a fault on order")
        plain(handle)

    disk.sync = sync
    end(hold(disk))
    assert [path.name for path in (folder / "seg").iterdir()] == ["00000000.jsonl"]
    assert verify(folder, kit.key).status == Status.WHOLE


def test_a_crash_between_an_abandoned_segment_and_the_first_line_of_the_next(
    hold: Hold, folder: Path, kit: Any
) -> None:
    bad = kit.FaultyDisk()
    first = hold(bad)
    first.write([record("one")])
    bad.fail["sync"] = [errno.EIO]
    first._abandoned = True
    with pytest.raises(SyncFailed):
        first.write([record("two")])
    first.drop()
    (folder / "seg/00000001.jsonl").write_bytes(b'{"bytes":')
    end(hold())
    assert plugins(folder) == ["one"]
    assert [record["kind"] for record in reader.records(folder)].count("segment.abandoned") == 1
    assert verify(folder, kit.key).status == Status.WHOLE


@pytest.mark.parametrize("after", [b"", b"\0" * 700, b'{"bytes":', b"\0" * 512 + b'"v":"aigov.audit/1"}\n{"v":1}\n{'])
def test_a_power_loss_that_leaves_a_torn_segment_before_one_without_a_line(
    hold: Hold, folder: Path, kit: Any, after: bytes
) -> None:
    """The second one's first sync failed as well, or never was: nobody was told of anything in it."""
    store = hold()
    store.write([record("one")])
    store.drop()
    with open(folder / "seg/00000000.jsonl", "ab") as file:
        file.write(b"\0" * 700)
    (folder / "seg/00000001.jsonl").write_bytes(after)
    mark(folder, boot=b"another".ljust(16))
    assert verify(folder, kit.key).status == Status.INCOMPLETE
    assert set(Aigov().verdicts(folder, Held()).values()) == {2}
    end(hold())
    assert plugins(folder) == ["one"]
    kept = {path.read_bytes() for path in (folder / "quarantine").iterdir()}
    assert kept == {b"\0" * 700, after} - {b""}
    assert verify(folder, kit.key).status == Status.WHOLE


def test_a_segment_that_says_less_is_durable_than_was_acknowledged_is_not_followed(
    hold: Hold, folder: Path, kit: Any
) -> None:
    store = hold()
    store.write([record("one")])
    forged = b'{"bytes":0,"error":"","kind":"segment.abandoned","segment":0,"v":"aigov.audit/1"}\n'
    (folder / "seg/00000001.jsonl").write_bytes(forged)
    with pytest.raises(Exception, match="are said not to be"):
        store.write([record("two")])


UNLUCKY = """
import os, random, sys
from pathlib import Path
from aigov.audit import worker
from aigov.audit.disk import Disk
from aigov.audit.log import Log
from aigov.audit.orphans import orphans
from aigov.audit.records import CallIntent, CallOutcome, new_id
from aigov.audit.settings import AuditSettings
from aigov.errors import AuditUnavailable
worker.RETRY_SECONDS, chance = 0.01, random.Random(int(sys.argv[2]))
class Unlucky(Disk):
    def sync(self, handle):
        if chance.random() < 0.03:
            raise OSError(5, "a fault on order")
        super().sync(handle)
log, told = None, 0
while told < 40:
    try:
        if log is None or log.failed:
            log = Log.open(Path(sys.argv[1]), key=b"k" * 32, disk=Unlucky(), settings=AuditSettings(patience_ms=5000))
        call = new_id()
        for record in (CallIntent(call=call, action="a", resource="r"), CallOutcome(call=call, outcome="released")):
            print(log.append(record).id, flush=True)
        told += 1
    except AuditUnavailable:
        continue
"""


@pytest.mark.parametrize("seed", range(3))
def test_syncs_that_fail_here_and_there_lose_nothing_of_four_writers(folder: Path, kit: Any, seed: int) -> None:
    chance = random.Random(seed)
    writers = [kit.run(UNLUCKY, folder, 10 * seed + number) for number in range(4)]
    for writer in chance.sample(writers, 2):
        for _ in range(chance.randrange(1, 60)):
            writer.stdout.readline()
        writer.kill()
    told = [line for writer in writers for line in writer.communicate(timeout=120)[0].split() if len(line) == 36]
    Log.open(folder, key=kit.key).close()
    written = Counter(record["id"] for record in reader.records(folder))
    assert [identity for identity in told if written[identity] != 1] == []
    assert len(written) == written.total()
    report = verify(folder, kit.key)
    assert report.status == Status.WHOLE, report.problems


class Lost(BaseException):
    """This process was killed."""


def test_a_segment_begins_by_saying_that_the_one_before_was_abandoned_whatever_else_there_is_to_say(
    hold: Hold, folder: Path, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(Disk):
        fault: BaseException | None = None

        def sync(self, handle: int) -> None:
            if self.fault is not None and os.fstat(handle).st_ino == (folder / "seg/00000000.jsonl").stat().st_ino:
                raise self.fault
            super().sync(handle)

    disks = Failing(), Failing()
    first, second, third = hold(disks[0]), hold(disks[1]), hold()
    disks[1].fault = Lost()
    with pytest.raises(Lost):
        second.write([record("lost")])
    second.drop()
    third._tail.catch_up()  # it knows of a line that will be taken back
    with open(folder / "seg/00000000.jsonl", "ab") as file:
        file.write(b'{"torn')
    with monkeypatch.context() as patch:
        patch.setattr(store_module, "SEGMENT_BYTES", 1)
        disks[0].fault = OSError(errno.EIO, "a fault on order")
        first.write([record("first")])
    third.write([record("third")])
    assert plugins(folder) == ["first", "third"]
    end(first, third)
    assert verify(folder).status == Status.WHOLE


def test_who_opens_anew_after_others_took_its_lines_back_counts_on_from_those_that_stayed(
    hold: Hold, folder: Path, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = kit.FaultyDisk()
    first, second = hold(), hold(disk)
    first.write([record("kept")])
    first._publish(force=True)

    def busy(*arguments: object) -> None:
        raise Busy(errno.EBUSY, "somebody syncs")

    with monkeypatch.context() as patch:
        patch.setattr(first._synced, "reach", busy)
        with pytest.raises(Unsure):
            first.write([record("lost")])
    disk.fail["sync"] = [errno.EIO]
    second.write([record("second")])
    first.open()  # after some other fault
    first.write([record("first")])
    assert plugins(folder) == ["kept", "second", "first"]
    end(first, second)
    assert verify(folder).status == Status.WHOLE, verify(folder).problems


@pytest.mark.parametrize("lines", [1, 2])
def test_lines_that_could_not_be_cut_off_again_are_counted(hold: Hold, folder: Path, kit: Any, lines: int) -> None:
    disk = kit.FaultyDisk()
    first, second = hold(disk), hold()
    first.write([record("length")])
    disk.short = lines * (len(kit.lines(folder)[-1]) + 5)
    disk.fail = {"write": [errno.EIO], "truncate": [errno.EIO]}
    with pytest.raises(OSError, match="Input/output"):
        first.write([record("length"), record("length"), record("length")])
    second.write([record("second")])
    second._publish(force=True)
    first.open()
    first.write([record("first")])
    assert plugins(folder) == ["length"] * (1 + lines) + ["second", "first"]
    end(first, second)
    assert verify(folder).status == Status.WHOLE, verify(folder).problems
