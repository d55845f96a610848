"""What the tests of the record share: a folder, a key, calls to record, and a disk that fails on order."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import aigov
from aigov.audit.disk import Disk
from aigov.audit.log import Log
from aigov.audit.records import Actor, CallIntent, CallOutcome, Counted, ReasonRecord, new_id
from aigov.audit.settings import AuditSettings
from aigov.errors import AuditUnavailable

KEY = b"k" * 32
ROOT = Path(aigov.__file__).parents[1]


class FaultyDisk(Disk):
    """A disk simulator: real files, and a fault at the calls that a test names.

    `fail["sync"] = [EIO]` makes the next sync fail, once for each entry; `short` lets a failing write
    take some bytes first, as a full disk does; `hold` keeps every sync waiting until it is set.
    """

    def __init__(self) -> None:
        self.fail: dict[str, list[int]] = {}
        self.short = 0
        self.calls: list[str] = []
        self.hold = threading.Event()
        self.hold.set()

    def _maybe(self, call: str) -> None:
        self.calls.append(call)
        if self.fail.get(call):
            code = self.fail[call].pop(0)
            raise OSError(code, os.strerror(code))

    def write(self, handle: int, data: bytes) -> int:
        if self.fail.get("write") and self.short:
            super().write(handle, data[: self.short])
        self._maybe("write")
        return super().write(handle, data)

    def sync(self, handle: int) -> None:
        self._maybe("sync")
        assert self.hold.wait(30)
        super().sync(handle)

    def truncate(self, handle: int, size: int) -> None:
        self._maybe("truncate")
        super().truncate(handle, size)

    def replace(self, source: Path, target: Path) -> None:
        self._maybe("replace")
        super().replace(source, target)


class FullDisk(FaultyDisk):
    """A disk with room for `room` more bytes: it takes what fits and then says ENOSPC, like a real one."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def write(self, handle: int, data: bytes) -> int:
        taken = data[: max(0, self.room)]
        if not taken and data:
            raise OSError(errno.ENOSPC, "full")
        self.room -= len(taken)
        return super().write(handle, taken)


def intent(call: str = "", **fields: object) -> CallIntent:
    """An intent as a flow would make it."""
    return CallIntent(
        call=call or new_id(),
        action="chat",
        resource="model:small",
        actor=Actor(ref="a" * 64, roles=("support-agent",), tenant="retail"),
        reasons=(ReasonRecord(code="privacy.tokenise", rule="EMAIL_ADDRESS", layer="organisation"),),
        findings=(Counted(type="EMAIL_ADDRESS", kind="pii", count=1, max_ppm=1_000_000, action="tokenise"),),
        timing_us={"access": 12, "detect": 3400},
        **fields,  # type: ignore[arg-type]
    )


def outcome(call: str) -> CallOutcome:
    return CallOutcome(call=call, outcome="released", released_chars=5, released_chunks=1)


def fill(log: Log, calls: int) -> None:
    """Whole calls: an intent and an outcome each."""
    for _ in range(calls):
        receipt = log.append(intent())
        log.append(outcome(receipt.call))


def lines(folder: Path) -> list[bytes]:
    """The lines of a log, without newlines."""
    return (folder / "seg" / "00000000.jsonl").read_bytes().splitlines()


def run(script: str, *arguments: object) -> subprocess.Popen[str]:
    """A process of its own that runs `script`, which finds its arguments in `sys.argv[1:]`."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


class Kit:
    """The helpers above, for tests that cannot import them."""

    key = KEY
    intent = staticmethod(intent)
    outcome = staticmethod(outcome)
    fill = staticmethod(fill)
    lines = staticmethod(lines)
    run = staticmethod(run)
    FaultyDisk = FaultyDisk
    FullDisk = FullDisk


@pytest.fixture(scope="session")
def kit() -> type[Kit]:
    return Kit


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "audit"


@pytest.fixture
def opened(folder: Path) -> Iterator[Callable[..., Log]]:
    """Opens logs on `folder`, and closes what a test left open."""
    logs: list[Log] = []

    def make(disk: Disk | None = None, patience_ms: int = 5000) -> Log:
        logs.append(Log.open(folder, key=KEY, disk=disk, settings=AuditSettings(patience_ms=patience_ms)))
        return logs[-1]

    yield make
    for log in logs:
        try:
            log.close()
        except AuditUnavailable:
            continue


@pytest.fixture(scope="session")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole, sealed log of a few calls. Not to be changed: take `copy`."""
    folder = tmp_path_factory.mktemp("sealed") / "audit"
    with Log.open(folder, key=KEY, settings=AuditSettings(patience_ms=60_000)) as log:
        fill(log, 4)
    return folder


@pytest.fixture
def copy(sealed: Path, tmp_path: Path) -> Path:
    """A copy of the sealed log, to be tampered with."""
    return Path(shutil.copytree(sealed, tmp_path / "copy"))
