"""Clocks and signs of life: what writers say of them, and what verification makes of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aigov.audit import composing, orphans, reader, worker
from aigov.audit.composing import Receipt, stepped
from aigov.audit.disk import Disk
from aigov.audit.end import Moment
from aigov.audit.log import Log
from aigov.audit.pulse import BACK, SILENT, Pulse
from aigov.audit.records import ClockStep, PluginFault
from aigov.audit.store import Store
from aigov.audit.verify import Status, verify
from benchmarks.tampering.loggers import Aigov, Held

Open = Callable[..., Log]
RECORD = PluginFault(plugin="p")
HOUR_US = 3_600_000_000
MINUTE_US = 60_000_000


class Clocks:
    """The two clocks of a machine, to be set."""

    def __init__(self) -> None:
        self.wall_us, self.mono_us, self.boot = 1_800_000_000_000_000, 10**9, "b"

    def __call__(self, boot: str) -> Moment:
        self.wall_us, self.mono_us = self.wall_us + 1, self.mono_us + 1
        return Moment(self.wall_us, self.mono_us, boot)


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    made = Clocks()
    monkeypatch.setattr(composing, "moment", made)
    monkeypatch.setattr(composing, "_boot", lambda: made.boot)
    return made


@pytest.fixture
def held(folder: Path, kit: Any) -> Callable[[], Store]:
    def make() -> Store:
        made = Store(folder, key=kit.key, disk=Disk(), patience=5)
        made.open()
        return made

    return make


def end(*stores: Store) -> None:
    for each in stores:
        each.seal([])
        each.drop()


def steps(folder: Path) -> list[tuple[int, bool]]:
    return [(one["step_us"], one["back"]) for one in reader.records(folder) if one["kind"] == "clock.step"]


def kinds(folder: Path) -> list[str]:
    return [str(record["kind"]) for record in reader.records(folder)]


@pytest.mark.parametrize("wall_us", [-HOUR_US, -20, 2 * MINUTE_US, HOUR_US])
def test_a_clock_that_was_set_is_on_the_record_before_anything_else(
    clocks: Clocks, held: Callable[[], Store], folder: Path, wall_us: int
) -> None:
    log = held()
    log.write([RECORD])
    clocks.wall_us += wall_us
    log.write([RECORD, RECORD])
    assert kinds(folder)[-4:] == ["plugin.fault", "clock.step", "plugin.fault", "plugin.fault"]
    end(log)
    assert steps(folder) == [(abs(wall_us), wall_us < 0)]
    assert verify(folder).status == Status.WHOLE


def test_a_writer_that_was_not_there_sees_the_step_by_the_last_line(
    clocks: Clocks, held: Callable[[], Store], folder: Path
) -> None:
    first, second = held(), held()
    first.write([RECORD])
    clocks.wall_us -= HOUR_US
    second.write([RECORD])
    first.write([RECORD])
    third = held()
    end(first, second, third)
    assert steps(folder) == [(HOUR_US, True)]
    assert verify(folder).status == Status.WHOLE


def test_a_clock_that_went_back_while_the_machine_was_off_is_seen_at_the_next_start(
    clocks: Clocks, held: Callable[[], Store], folder: Path
) -> None:
    end(held())
    clocks.boot, clocks.mono_us = "c", 5
    clocks.wall_us -= HOUR_US
    end(held())
    (step,) = steps(folder)
    assert step == (pytest.approx(HOUR_US, abs=100), True)
    assert verify(folder).status == Status.WHOLE


def test_a_small_difference_and_a_long_pause_are_no_step(
    clocks: Clocks, held: Callable[[], Store], folder: Path
) -> None:
    log = held()
    for wall_us, mono_us in ((999_000, 0), (HOUR_US, HOUR_US), (MINUTE_US, MINUTE_US + 999_000)):
        clocks.wall_us, clocks.mono_us = clocks.wall_us + wall_us, clocks.mono_us + mono_us
        log.write([RECORD])
    assert steps(folder) == []


def test_a_segment_that_is_abandoned_while_the_clock_was_set_back_still_says_so_first(
    clocks: Clocks, folder: Path, kit: Any
) -> None:
    disk = kit.FaultyDisk()
    log = Store(folder, key=kit.key, disk=disk, patience=5)
    log.open()
    log.write([RECORD])
    disk.fail["sync"] = [5]
    clocks_before = clocks.wall_us
    log._tail.wrote, plain = _setting_back(clocks, log), log._tail.wrote
    log.write([RECORD])
    log._tail.wrote = plain
    assert clocks.wall_us < clocks_before
    end(log)
    assert kinds(folder)[-5:] == ["plugin.fault", "segment.abandoned", "clock.step", "plugin.fault", "log.sealed"]
    assert verify(folder).status == Status.WHOLE


def _setting_back(clocks: Clocks, log: Store) -> Any:
    """The first lines that are written are the last before the clock is set back."""
    plain = log._tail.wrote

    def wrote(batch: Any) -> None:
        plain(batch)
        clocks.wall_us -= HOUR_US if clocks.wall_us > 1_800_000_000_000_000 - HOUR_US // 2 else 0

    return wrote


def test_two_clocks_that_were_read_too_far_apart_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    mono = iter([0, 10**9, 2 * 10**9, 2 * 10**9 + 1000])
    clock = SimpleNamespace(monotonic_ns=lambda: next(mono), time_ns=lambda: 7_000)
    monkeypatch.setattr(composing, "time", clock)
    assert composing.moment("b") == Moment(7, 2_000_001, "b")


@pytest.mark.parametrize(
    ("before", "now", "step"),
    [
        (None, (5, 5, "a"), None),
        ((10**9, 0, "a"), (10**9 - 1, 5, "a"), (6, True)),
        ((0, 0, "a"), (5 * 10**6, 10**6, "a"), (4 * 10**6, False)),
        ((0, 10, "a"), (HOUR_US, 5, "b"), None),
        ((HOUR_US, 10, "a"), (0, 50, "b"), (HOUR_US, True)),
        ((HOUR_US, 10, ""), (0, 5, ""), (HOUR_US, True)),  # a system without a name for its boots
    ],
)
def test_what_counts_as_a_step(before: Any, now: Any, step: tuple[int, bool] | None) -> None:
    found = stepped(Moment(*before) if before else None, Moment(*now))
    assert found == (None if step is None else ClockStep(step_us=step[0], back=step[1]))


# -- what verification makes of it -----------------------------------------------------------------


def pulse(*records: tuple[str, str, int], boot: str = "b") -> list[list[str]]:
    """What is found at each of (kind, writer, minute by both clocks)."""
    watch, found = Pulse(), []
    for kind, writer, minute in records:
        name, _, dead = kind.partition(" ")
        entry = SimpleNamespace(
            ts=f"{minute:06d}", mono_us=minute * MINUTE_US, boot=boot, writer=SimpleNamespace(id=writer),
            dead=tuple(dead.split()),
        )  # fmt: skip
        found.append(list(watch.see(entry, name)))
    return found


START, RECORD_OF, STOP, SEALED = "writer.start", "plugin.fault", "writer.stop", "log.sealed"
Told = Sequence[tuple[str, str, int]]


@pytest.mark.parametrize(
    "honest",
    [
        [(START, "a", 0), (RECORD_OF, "a", 2), ("heartbeat", "a", 4)],
        [(START, "a", 0), (SEALED, "a", 1), (START, "b", 60), (RECORD_OF, "b", 61)],
        [(START, "a", 0), (START, "b", 0), (STOP, "a", 1), (RECORD_OF, "b", 3)],
        [(START, "a", 0), (START + " a", "b", 60), (RECORD_OF, "b", 61)],
        [(START, "a", 0), (START, "a", 60), (RECORD_OF, "a", 61)],
        [(START, "a", 0), (START, "b", 0), (START, "a", 60), (START, "b", 60), (RECORD_OF, "b", 60)],
        [(START, "a", 0), (START, "b", 0), (START + " b", "a", 60), (RECORD_OF, "a", 60)],
        [(RECORD_OF, "a", 0), (RECORD_OF, "a", 60)],
    ],
)
def test_silence_is_explained_by_who_was_at_work(honest: Told) -> None:
    assert pulse(*honest) == [[]] * len(honest)


@pytest.mark.parametrize(
    ("suspicious", "at"),
    [
        ([(START, "a", 0), (RECORD_OF, "a", 3)], 1),
        ([(START, "a", 0), (STOP, "a", 3)], 1),
        ([(START, "a", 0), (SEALED, "a", 3)], 1),
        ([(START, "a", 0), (START, "b", 3), (RECORD_OF, "a", 3)], 2),
        ([(START, "a", 0), (START, "b", 0), (STOP, "b", 1), (RECORD_OF, "a", 4)], 3),
        ([(START, "a", 0), (START, "b", 0), (START + " a", "c", 9), (RECORD_OF, "b", 9)], 3),
    ],
)
def test_silence_of_who_was_at_work_is_not_explained_by_others(suspicious: Told, at: int) -> None:
    assert pulse(*suspicious) == [[SILENT] if number == at else [] for number in range(len(suspicious))]


def test_a_clock_may_go_back_only_where_a_record_says_so() -> None:
    assert pulse((START, "a", 9), (RECORD_OF, "a", 8)) == [[], [BACK]]
    assert pulse((START, "a", 9), ("clock.step", "a", 8), (RECORD_OF, "a", 8)) == [[], [], []]


def test_nobody_outlives_the_boot_of_the_machine() -> None:
    watch = Pulse()
    writer = SimpleNamespace(id="a")
    for boot, kind, said in (("b", START, []), ("b", RECORD_OF, []), ("c", RECORD_OF, [SILENT])):
        entry = SimpleNamespace(ts="1", mono_us=1, boot=boot, writer=writer, dead=())
        assert list(watch.see(entry, kind)) == said


# -- who stops says so -----------------------------------------------------------------------------


def test_who_overslept_begins_by_saying_so(
    opened: Open, folder: Path, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = opened()
    kit.fill(log, 1)
    monkeypatch.setattr(worker, "OVERSLEPT_SECONDS", 0.05)
    time.sleep(0.1)
    log.append(RECORD)
    monkeypatch.setattr(worker, "OVERSLEPT_SECONDS", 90)
    assert kinds(folder).count(START) == 2
    assert kinds(folder)[-2:] == [START, "plugin.fault"]
    log.close()
    assert verify(folder).status == Status.WHOLE


def test_a_sign_of_life_is_due_a_minute_after_the_last_record_whoever_wrote_it(
    clocks: Clocks, held: Callable[[], Store], folder: Path
) -> None:
    first, second = held(), held()
    first.write([RECORD])
    end(second)
    clocks.mono_us += MINUTE_US * 2 // 3
    first.cover()  # now it sees what the other one wrote, forty seconds ago
    clocks.mono_us += MINUTE_US // 3 + 1
    assert first.due
    first.cover()
    assert kinds(folder)[-1] == "heartbeat"
    end(first)


@pytest.mark.parametrize("wall_us", [3 * MINUTE_US, 0, -HOUR_US], ids=["right", "set", "set back"])
@pytest.mark.parametrize("looks", [False, True])
def test_who_did_not_notice_that_it_slept_begins_by_saying_so_all_the_same(
    clocks: Clocks, held: Callable[[], Store], folder: Path, looks: bool, wall_us: int
) -> None:
    first, second = held(), held()
    first.write([RECORD])
    clocks.mono_us, clocks.wall_us = clocks.mono_us + 3 * MINUTE_US, clocks.wall_us + wall_us
    second.write([RECORD])
    if looks:
        first._append(list)
    first.write([RECORD])
    end(first, second)
    assert kinds(folder).count(START) == 4
    assert bool(steps(folder)) == (wall_us <= 0)
    assert set(Aigov().verdicts(folder, Held()).values()) == {0}


@pytest.mark.parametrize("wall_us", [3 * MINUTE_US, 0, -HOUR_US], ids=["right", "set", "set back"])
def test_a_sync_that_hangs_before_it_fails_is_no_silence(clocks: Clocks, folder: Path, kit: Any, wall_us: int) -> None:
    class Hanging(Disk):
        hangs = False

        def sync(self, handle: int) -> None:
            if self.hangs:
                self.hangs = False
                clocks.mono_us, clocks.wall_us = clocks.mono_us + 3 * MINUTE_US, clocks.wall_us + wall_us
                raise OSError(5, "a fault on order")
            super().sync(handle)

    disk = Hanging()
    log = Store(folder, key=kit.key, disk=disk, patience=5)
    log.open()
    log.write([RECORD])
    disk.hangs = True
    (receipt,) = log.write([RECORD])
    assert isinstance(receipt, Receipt)
    assert kinds(folder)[receipt.seq] == RECORD.kind()
    end(log)
    assert kinds(folder)[-5 - (wall_us <= 0) : -2 - (wall_us <= 0)] == ["plugin.fault", "segment.abandoned", START]
    assert set(Aigov().verdicts(folder, Held()).values()) == {0}


def test_nothing_is_said_before_the_genesis_however_long_it_took(clocks: Clocks, folder: Path, kit: Any) -> None:
    log = Store(folder, key=kit.key, disk=Disk(), patience=5)
    clocks.mono_us += 3 * MINUTE_US
    log.open()
    end(log)
    assert kinds(folder) == ["log.genesis", START, "log.sealed"]


def test_who_stops_while_others_write_says_so_and_the_last_one_seals(held: Callable[[], Store], folder: Path) -> None:
    first, second = held(), held()
    first.seal([])
    second.write([RECORD])
    second.seal([])
    assert kinds(folder)[-3:] == ["writer.stop", "plugin.fault", "log.sealed"]
    first.drop()
    second.drop()
    assert verify(folder).status == Status.WHOLE


KILLED = """
import os, signal, sys
from pathlib import Path
from aigov.audit.log import Log
from aigov.audit.records import CallIntent
log = Log.open(Path(sys.argv[1]), key=b"k" * 32)
log.append(CallIntent(call="begun", action="a", resource="r"))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_dead_are_named_once_by_whoever_finds_them(opened: Open, folder: Path, kit: Any) -> None:
    log = opened()
    kit.run(KILLED, folder).communicate(timeout=30)
    log.close()
    opened().close()
    found = [record for record in reader.records(folder) if record["kind"] == START and record["crashed"]]
    (dead,) = (record["writer"]["id"] for record in reader.records(folder) if record.get("call") == "begun"
               and record["kind"] == "call.intent")  # fmt: skip
    assert [record["dead"] for record in found] == [[dead]]
    assert verify(folder).status == Status.WHOLE


def test_more_dead_than_one_record_names_take_more(folder: Path, kit: Any, held: Callable[[], Store]) -> None:
    end(held())
    ids = [f"00000000-0000-7000-8000-{number:012d}" for number in range(70)]
    for identity in ids:
        (folder / "writers" / f"{identity}.lock").write_bytes(b"")
    end(held())
    found = [record for record in reader.records(folder) if record["kind"] == START and record["crashed"]]
    assert [record["crashed"] for record in found] == [orphans.DEAD_IN_ONE, 70 - orphans.DEAD_IN_ONE]
    assert sorted(name for record in found for name in record["dead"]) == ids
    assert list((folder / "writers").iterdir()) == []
    assert verify(folder).status == Status.WHOLE
