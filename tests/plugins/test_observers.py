"""Observers are told later and elsewhere: nothing they do reaches a call, and every fault is counted."""

from __future__ import annotations

import threading
from typing import Any

import pytest

RECORD = {"kind": "call.intent", "findings": [{"type": "WORD", "count": 2}]}


def wait(free: threading.Event) -> None:
    free.wait(60)


class Reports:
    """What was reported of observers that broke."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str, int]] = []

    def __call__(self, name: str, code: str, count: int) -> None:
        self.all.append((name, code, count))


def observing(kit: Any, observe: Any, **options: Any) -> Any:
    return kit.guards({"acme": kit.plugin(aigov_observe=observe)}, **options)


def test_sees_every_record_in_order(kit: Any) -> None:
    seen = []
    guards = observing(kit, lambda self, record: seen.append(record["seq"]))
    for seq in range(100):
        guards.observe({"seq": seq})
    assert guards.settle(60)
    assert seen == list(range(100))


def test_built_in_and_third_party_are_both_told(kit: Any) -> None:
    seen = []
    guards = kit.guards(
        {"acme": kit.plugin(aigov_observe=lambda self, record: seen.append("acme"))},
        {"house": kit.plugin(aigov_observe=lambda self, record: seen.append("house"))},
    )
    guards.observe(RECORD)
    assert guards.settle(60)
    assert sorted(seen) == ["acme", "house"]


def test_gets_a_frozen_copy(kit: Any) -> None:
    seen: list[Any] = []
    guards = observing(kit, lambda self, record: seen.append(record))
    given = {"findings": [{"type": "WORD"}]}
    guards.observe(given)
    assert guards.settle(60)
    given["findings"][0]["type"] = "OTHER"
    assert seen[0]["findings"][0]["type"] == "WORD"
    with pytest.raises(TypeError):
        seen[0]["findings"][0]["type"] = "OTHER"


def raises(self: Any, record: Any) -> None:
    raise SystemExit("canary")


def never_runs(self: Any, record: Any) -> Any:
    yield


@pytest.mark.parametrize(
    "observe", [raises, never_runs, lambda self, record: record.update(a=1), lambda self, record: 5]
)
def test_a_fault_is_counted_and_reported(kit: Any, observe: Any) -> None:
    reports = Reports()
    guards = observing(kit, observe, report=reports)
    guards.observe(RECORD)
    assert guards.settle(60)
    assert (reports.all, guards.faults) == ([("acme", "plugin.fault", 1)], {"acme": 1})


def test_faults_are_all_counted_and_reported_at_each_doubling(kit: Any) -> None:
    reports = Reports()
    guards = observing(kit, raises, report=reports)
    for _ in range(20):
        guards.observe(RECORD)
    assert guards.settle(60)
    assert [count for _, _, count in reports.all] == [1, 2, 4, 8, 16]
    assert guards.faults == {"acme": 20}


def test_recording_a_fault_that_breaks_the_observer_again_ends(kit: Any) -> None:
    """The report becomes a record, the record is observed, and the observer breaks on it, and so on."""
    told = []

    def report(name: str, code: str, count: int) -> None:
        told.append(count)
        guards.observe({"kind": "plugin.fault"})

    guards = observing(kit, raises, report=report)
    guards.observe(RECORD)
    while guards.faults.get("acme", 0) < 3:
        assert guards.settle(60)
    assert guards.settle(60)
    assert (told, guards.faults) == ([1, 2], {"acme": 3})


def test_a_fault_in_reporting_is_counted_and_goes_no_further(kit: Any) -> None:
    def report(name: str, code: str, count: int) -> None:
        raise ValueError

    guards = observing(kit, raises, report=report)
    guards.observe(RECORD)
    assert guards.settle(60)
    assert guards.faults == {"acme": 1, "report": 1}


def test_one_that_blocks_is_reported_without_another_record_and_told_no_more(kit: Any) -> None:
    free, reported, seen = threading.Event(), threading.Event(), []
    reports = Reports()

    def observe(self: Any, record: Any) -> None:
        seen.append(record)
        free.wait(60)

    def report(name: str, code: str, count: int) -> None:
        reports(name, code, count)
        reported.set()

    guards = observing(kit, observe, report=report, limit_s=0.05)
    guards.observe(RECORD)
    assert reported.wait(60)
    guards.observe(RECORD)
    free.set()
    assert guards.settle(60)
    assert (reports.all, len(seen), guards.out) == ([("acme", "plugin.timeout", 1)], 1, {"acme"})


def test_one_that_breaks_does_not_keep_records_from_another(kit: Any) -> None:
    seen: list[Any] = []
    guards = kit.guards(
        {
            "acme": kit.plugin(aigov_observe=raises),
            "beta": kit.plugin(aigov_observe=lambda self, record: seen.append(record)),
        }
    )
    guards.observe(RECORD)
    assert guards.settle(60)
    assert len(seen) == 1


def test_a_backlog_is_bounded_and_what_is_dropped_is_counted(kit: Any) -> None:
    free = threading.Event()
    guards = observing(kit, lambda self, record: wait(free))
    for _ in range(1_010):
        guards.observe(RECORD)
    free.set()
    assert guards.settle(60)
    assert 9 <= guards.faults["acme"] <= 10


def test_closing_waits_for_what_was_queued(kit: Any) -> None:
    seen: list[Any] = []
    guards = observing(kit, lambda self, record: seen.append(record))
    for _ in range(50):
        guards.observe(RECORD)
    guards.close(timeout_s=60)
    assert len(seen) == 50


def test_settling_says_when_time_ran_out(kit: Any) -> None:
    free = threading.Event()
    guards = observing(kit, lambda self, record: wait(free))
    guards.observe(RECORD)
    assert guards.settle(0.01) is False
    free.set()
