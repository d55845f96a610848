"""Gaps: each kind of hole shows, and a whole log has none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aigov.audit import gaps as module
from aigov.audit.gaps import gaps
from aigov.audit.log import Log
from aigov.audit.records import new_id

Open = Callable[..., Log]


def records(count: int = 4) -> list[dict[str, Any]]:
    """Records as the reader gives them, a second apart, of one writer."""
    return [
        {
            "seq": number, "ts": f"2026-01-31T12:00:{number:02d}.000000Z", "kind": "plugin.fault",
            "writer": {"id": "w", "wseq": number},
        }
        for number in range(count)
    ]  # fmt: skip


def found(monkeypatch: pytest.MonkeyPatch, given: list[dict[str, Any]], **settings: int) -> list[str]:
    monkeypatch.setattr(module.reader, "records", lambda folder, progress: iter(given))
    return [gap.what for gap in gaps(Path("nowhere"), **settings)]


def test_a_whole_log_has_no_gaps(sealed: Path) -> None:
    assert list(gaps(sealed)) == []


def test_calls_left_open_are_told_at_the_end(opened: Open, folder: Path, kit: Any) -> None:
    call = opened().append(kit.intent()).call
    (gap,) = gaps(folder)
    assert gap.what == "open"
    assert call in gap.detail


def test_a_crash_and_its_orphans_are_told(opened: Open, folder: Path, kit: Any) -> None:
    log = opened()
    log.append(kit.intent())
    log.close()
    assert [gap.what for gap in gaps(folder)] == ["orphan"]


def test_a_missing_number(monkeypatch: pytest.MonkeyPatch) -> None:
    given = records()
    del given[2]
    assert found(monkeypatch, given) == ["number", "writer"]


def test_another_writer_is_no_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    given = records()
    given[3]["writer"] = {"id": "other", "wseq": 0}
    assert found(monkeypatch, given) == []


def test_a_clock_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    given = records()
    given[2]["ts"] = "2026-01-31T11:59:00.000000Z"
    assert found(monkeypatch, given) == ["clock"]
    given[2] |= {"kind": "clock.step", "back": True, "step_us": 62_000_000}
    assert found(monkeypatch, given) == ["clock"]


def test_a_record_that_came_too_late_is_told_and_leaves_no_call_open(monkeypatch: pytest.MonkeyPatch) -> None:
    given = records()
    given[2] |= {"kind": "call.intent", "call": "c"}
    given[3] |= {"kind": "call.withdrawn", "call": "c", "of": "call.intent"}
    assert found(monkeypatch, given) == ["withdrawn"]
    given[3] |= {"of": "call.outcome"}
    assert found(monkeypatch, given) == ["withdrawn", "open"]


@pytest.mark.parametrize(
    ("beats", "sealed", "what"), [(True, False, ["silence"]), (False, False, []), (True, True, [])]
)
def test_silence_counts_where_there_are_heartbeats_and_no_seal(
    monkeypatch: pytest.MonkeyPatch, beats: bool, sealed: bool, what: list[str]
) -> None:
    given = records()
    given[0]["kind"] = "heartbeat" if beats else "plugin.fault"
    given[2]["kind"] = "log.sealed" if sealed else "plugin.fault"
    given[3]["ts"] = "2026-01-31T13:00:00.000000Z"
    assert found(monkeypatch, given) == what
    assert found(monkeypatch, given, silence_s=7_200) == []


def test_what_the_log_tells_of_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    given = records(5)
    given[0] |= {"kind": "writer.start", "crashed": 1, "torn_bytes": 9, "quarantine": "x.torn"}
    given[1] |= {"kind": "gap", "count": 3, "first_ts": "a", "last_ts": "b"}
    given[2] |= {"kind": "sink.degraded", "error": "ENOSPC"}
    given[3] |= {"kind": "segment.abandoned"}
    given[4] |= {"kind": "call.orphaned", "call": new_id(), "why": "crashed"}
    assert found(monkeypatch, given) == ["crash", "torn", "unrecorded", "sink", "sink", "orphan"]


def test_gaps_hold_no_more_than_numbers_and_ids(opened: Open, folder: Path, kit: Any) -> None:
    opened().append(kit.intent())
    assert "model:small" not in json.dumps([gap.detail for gap in gaps(folder)])
