"""The disk and the file fail in every way that we know how to cause: `review.unavailable`, and nothing else."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aigov.errors import ReviewError
from aigov.review.desk import Desk

UNAVAILABLE = "review.unavailable"
ROOT = Path(__file__).parents[2]


def every_call(desk: Desk, kit: Any, ticket: str) -> set[str]:
    calls = [
        lambda: desk.open(kit.case()),
        lambda: desk.status(ticket),
        lambda: desk.list(),
        lambda: desk.show(ticket, kit.rita, kit.anyone),
        lambda: desk.approve(ticket, kit.rita, kit.anyone),
        lambda: desk.reject(ticket, kit.rita, kit.anyone),
        lambda: desk.claim(ticket),
        lambda: desk.finish(ticket),
        lambda: desk.sweep(),
    ]
    return {kit.code(call) for call in calls}


def test_a_folder_that_vanishes(desk: Desk, kit: Any) -> None:
    ticket = desk.open(kit.case())
    shutil.rmtree(kit.path.parent)
    assert every_call(desk, kit, ticket) == {UNAVAILABLE}
    assert not kit.path.parent.exists()


def test_a_file_that_vanishes_is_not_made_anew_in_silence(desk: Desk, kit: Any) -> None:
    ticket = desk.open(kit.case())
    kit.path.unlink()
    assert every_call(desk, kit, ticket) == {UNAVAILABLE}
    assert not kit.path.exists()


@pytest.mark.parametrize(
    "damage", [b"", b"not a database, and longer than a header" * 100, b"SQLite format 3\0" + b"\xff" * 9000]
)
def test_a_file_of_something_else(desk: Desk, kit: Any, damage: bytes) -> None:
    ticket = desk.open(kit.case())
    kit.path.write_bytes(damage)
    assert every_call(desk, kit, ticket) == {UNAVAILABLE}


def test_a_file_cut_off(desk: Desk, kit: Any) -> None:
    ticket = desk.open(kit.case(content="x" * 100_000))
    kit.path.write_bytes(kit.path.read_bytes()[:20_000])
    assert kit.code(desk.show, ticket, kit.rita, kit.anyone) == UNAVAILABLE


def test_damaged_pages_are_a_fault_or_tampering_and_never_a_pass(desk: Desk, kit: Any) -> None:
    ticket = desk.open(kit.case())
    desk.approve(ticket, kit.rita, kit.anyone)
    whole = kit.path.read_bytes()
    for at in range(100, len(whole), 331):
        kit.path.write_bytes(whole[:at] + b"\xa5" * 40 + whole[at + 40 :])
        outcome = claimed(desk, ticket)
        assert outcome in (UNAVAILABLE, "review.tampered", "review.unknown", kit.case())  # or it hit free space


def claimed(desk: Desk, ticket: str) -> object:
    """The case, or the code of the refusal."""
    try:
        return desk.claim(ticket).case
    except ReviewError as fault:
        return fault.code


def test_a_path_that_is_a_folder(kit: Any) -> None:
    kit.path.mkdir(parents=True)
    assert kit.code(kit.desk) == UNAVAILABLE


def test_a_folder_that_is_a_file(kit: Any) -> None:
    kit.path.parent.write_text("here")
    assert kit.code(kit.desk) == UNAVAILABLE


def test_a_path_that_is_none(kit: Any, tmp_path: Path) -> None:
    for path in (tmp_path / "a\0b", tmp_path / ("x" * 5000), Path("/dev/null/x")):
        kit.path = path
        assert kit.code(kit.desk) == UNAVAILABLE


@pytest.mark.parametrize("name", ["a?mode=memory.db", "100%.db", "a#b.db", "ä b.db", "';--.db"])
def test_a_path_with_signs_in_it_is_just_a_path(kit: Any, tmp_path: Path, name: str) -> None:
    kit.path = tmp_path / name
    ticket = kit.desk().open(kit.case())
    assert kit.desk().status(ticket).state == "pending"
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to(kit: Any, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert kit.code(kit.desk) == UNAVAILABLE
    tmp_path.chmod(0o700)


def test_a_store_that_another_process_holds(kit: Any) -> None:
    desk = kit.desk(busy_s=0.05)
    ticket = desk.open(kit.case())
    holder = sqlite3.connect(kit.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        assert kit.code(desk.open, kit.case()) == UNAVAILABLE
        assert kit.code(desk.approve, ticket, kit.rita, kit.anyone) == UNAVAILABLE
        assert desk.status(ticket).state == "pending"  # readers need not wait
    finally:
        holder.execute("ROLLBACK")
        holder.close()
    desk.approve(ticket, kit.rita, kit.anyone)


def test_a_store_of_a_later_version(desk: Desk, kit: Any) -> None:
    kit.raw("PRAGMA user_version = 2")
    assert kit.code(desk.list) == UNAVAILABLE
    assert kit.code(kit.desk) == UNAVAILABLE


FULL = """
import resource, signal, sys
from pathlib import Path
from aigov.errors import ReviewError
from aigov.review.desk import Case, Desk
from aigov.review.values import pack
from aigov.types import Principal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
desk = Desk(Path(sys.argv[1]), key=b"k" * 32, expires_s=100)
case = Case(direction="output", call="c", function="m:f", action="a", resource="r",
            requester=Principal(id="dana"), content=pack("x" * 200_000))
ticket = desk.open(case)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
codes, tickets = set(), [ticket]
for _ in range(5):
    try:
        tickets.append(desk.open(case))
    except ReviewError as error:
        codes.add((error.code, error.__context__))
print(codes, len(tickets) < 6, {line.ticket for line in desk.list("pending")} == set(tickets))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits on file sizes are POSIX")
def test_a_full_disk_opens_no_ticket_and_loses_none(kit: Any) -> None:
    run = subprocess.run(
        [sys.executable, "-c", FULL, str(kit.path)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert run.stdout.strip() == "{('review.unavailable', None)} True True", run.stderr
