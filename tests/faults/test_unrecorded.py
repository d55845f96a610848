"""No call without its intent on the disk, no answer without its outcome: `tests/proofs/unrecorded.py` in short form."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import aigov
from aigov.audit.log import Receipt
from aigov.errors import AuditUnavailable
from aigov.stores import Stores
from tests.proofs import unrecorded
from tests.proofs.door import Door, Fault, File

ROOT = Path(aigov.__file__).parents[1]
CALLS = 20_000


@pytest.mark.timeout(900)
def test_no_call_of_20_000_faulted_ones_goes_unrecorded() -> None:
    memory = Path("/dev/shm")
    where = ["--folder", str(memory)] if os.access(memory, os.W_OK) else []
    command = [sys.executable, "-m", "tests.proofs.unrecorded", "--calls", str(CALLS), "--json", *where]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    missing = [found[name] for name in ("without_intent", "without_outcome", "without_opening", "strange")]
    assert missing == [0, 0, 0, []]
    assert found["faulted"] >= CALLS
    assert min(found["provider"], found["answers"], found["pieces"], found["refused"]) > CALLS / 10
    struck = {name.partition(":")[0] for name, count in found["by"].items() if count}
    assert struck == {"disk", "keys", "people", "index", *unrecorded.SHAPES}


# -- that it would notice ------------------------------------------------------------------------------


def hasty(self: Stores, record: Any, settings: Any) -> Receipt:
    """What a governor would do that does not wait for its records."""
    with suppress(AuditUnavailable):
        self._opened(settings).submit(record)
    return Receipt(id="x", kind=record.kind(), call=getattr(record, "call", ""), seq=0, digest="x")


async def ahasty(self: Stores, record: Any, settings: Any) -> Receipt:
    return hasty(self, record, settings)


def test_calls_that_do_not_wait_for_their_record_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stores, "append", hasty)
    monkeypatch.setattr(Stores, "aappend", ahasty)
    found = unrecorded.trials(tmp_path, 100, 0)
    assert min(found.without_intent, found.without_outcome, found.without_opening) > 0
    assert found.bad


def test_a_sync_that_does_nothing_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aigov.audit.disk.Disk.sync", lambda self, handle: None)
    found = unrecorded.trials(tmp_path, 30, 0)
    assert found.without_intent == found.provider > 0


@pytest.mark.parametrize("cut", [0, 7, 10, 20])
def test_what_was_cut_off_is_durable_no_more(cut: int) -> None:
    file = File()
    file.synced([(0, 10)], 1)
    file.synced([(10, 20)], 2)
    file.cut(cut)
    assert [end for end in (7, 10, 20) if file.since(end) is not None] == [end for end in (7, 10, 20) if end <= cut]


def test_what_a_failed_sync_was_to_cover_is_not_covered_by_the_next(tmp_path: Path) -> None:
    door = Door()
    handle = door.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    folder = door.open(tmp_path, os.O_RDONLY)
    door.fsync(folder)
    for part, fault in ((b"one", 0), (b"two", 1), (b"three", 0)):
        door.write(handle, part)
        door.fault = Fault(frozenset({"sync"}), 5, 1) if fault else None
        with suppress(OSError):
            door.fdatasync(handle)
    inode = os.fstat(handle).st_ino
    assert [door.since(inode, end) is not None for end in (3, 6, 11)] == [True, False, False]
    os.close(handle)
    os.close(folder)
