"""Lockdown closes at the least sign of it, and opens only when its file is gone."""

from __future__ import annotations

import datetime
import json
import os
import threading
from pathlib import Path

import pytest

from aigov.errors import PolicyError
from aigov.policy import lockdown

NOON = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)


def test_a_folder_is_open_until_it_is_declared_and_after_it_is_lifted(tmp_path: Path) -> None:
    assert not lockdown.active(tmp_path)
    assert lockdown.state(tmp_path) is None
    lockdown.declare(tmp_path)
    assert lockdown.active(tmp_path)
    assert lockdown.lift(tmp_path)
    assert not lockdown.active(tmp_path)
    assert not lockdown.lift(tmp_path)


def test_the_state_holds_the_time_and_a_code_and_nothing_else(tmp_path: Path) -> None:
    told = lockdown.declare(tmp_path, "incident.leak", NOON)
    assert told == lockdown.state(tmp_path)
    assert json.loads((tmp_path / "lockdown").read_text()) == {
        "since": "2026-03-01T12:00:00+00:00",
        "reason": "incident.leak",
    }
    assert os.listdir(tmp_path) == ["lockdown"]


def test_what_was_declared_first_stays(tmp_path: Path) -> None:
    first = lockdown.declare(tmp_path, "incident.leak", NOON)
    assert lockdown.declare(tmp_path, "incident.other") == first
    assert lockdown.state(tmp_path) == first


def test_times_are_kept_in_utc(tmp_path: Path) -> None:
    east = datetime.timezone(datetime.timedelta(hours=2))
    assert lockdown.declare(tmp_path, at=NOON.astimezone(east)).since == "2026-03-01T12:00:00+00:00"


@pytest.mark.parametrize("reason", ["", "a name", "Dana Smith", "a" * 65, "a\n"])
def test_a_reason_is_a_code(tmp_path: Path, reason: str) -> None:
    with pytest.raises(ValueError, match="a reason is"):
        lockdown.declare(tmp_path, reason)
    assert not lockdown.active(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"since": 1}', b'{"who": "dana"}', b"\xff", b" " * 9000])
def test_a_broken_file_is_lockdown(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "lockdown").write_bytes(content)
    assert lockdown.active(tmp_path)
    assert lockdown.state(tmp_path) == lockdown.Lockdown(reason="lockdown.unreadable")


@pytest.mark.parametrize("reason", ["Dana Smith", "a" * 65])
def test_a_file_that_somebody_else_wrote_is_not_repeated(tmp_path: Path, reason: str) -> None:
    (tmp_path / "lockdown").write_text(json.dumps({"since": "", "reason": reason}))
    assert lockdown.state(tmp_path) == lockdown.Lockdown(reason="lockdown.unreadable")


def test_a_dangling_link_is_lockdown(tmp_path: Path) -> None:
    (tmp_path / "lockdown").symlink_to(tmp_path / "gone")
    assert lockdown.active(tmp_path)
    assert lockdown.state(tmp_path) == lockdown.Lockdown(reason="lockdown.unreadable")


def test_a_folder_in_its_place_is_lockdown_that_says_how_to_lift_it(tmp_path: Path) -> None:
    (tmp_path / "lockdown").mkdir()
    assert lockdown.active(tmp_path)
    assert lockdown.state(tmp_path) == lockdown.Lockdown(reason="lockdown.unreadable")
    with pytest.raises(PolicyError, match="cannot be lifted"):
        lockdown.lift(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_lockdown_and_holds_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "lockdown")
    assert lockdown.state(tmp_path) == lockdown.Lockdown(reason="lockdown.unreadable")


def test_a_place_that_cannot_be_looked_at_is_lockdown(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert lockdown.active(tmp_path / "file")
    assert lockdown.active("a\0b")
    assert lockdown.active("x" * 5000)


def test_it_cannot_be_declared_where_there_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="lockdown is not in force") as caught:
        lockdown.declare(tmp_path / "gone")
    assert caught.value.__context__ is None


def test_cut_off_while_it_is_written_it_is_in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PolicyError, match="in force, but not safely on disk"):
        lockdown.declare(tmp_path)
    assert lockdown.active(tmp_path)


def test_of_many_who_declare_at_once_one_is_told_by_all(tmp_path: Path) -> None:
    told: list[str] = []
    start = threading.Barrier(8)

    def one(number: int) -> None:
        start.wait()
        lockdown.declare(tmp_path, f"incident.n{number}")
        told.append(f"incident.n{number}")

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = lockdown.state(tmp_path)
    assert found is not None
    assert found.reason in told
