"""A fault at every system call on the way to the disk: `python -m tests.proofs.injection [--all] [--folder DIR]`.

A process opens a log, records calls while segments and keys change and checkpoints are signed, and closes it. It is
first watched with `strace`, to count its calls; then it is run again for each of them, and there the call fails with
EIO, ENOSPC, EINTR, or the process is killed. Whatever it was told is durable has to be in the log afterwards, nothing
twice; what is left must not look tampered with; and opened and closed once more the log is whole. What the process
was told it writes into shared memory, so that no fault hits the witness.

Without `--all` each call meets with one of the four in turn, with it with every one. Needs `strace` and permission to
trace; `unavailable()` says what is missing.
"""

from __future__ import annotations

import argparse
import ctypes
import mmap
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from aigov.audit import publish, reader, store, worker
from aigov.audit.log import Log
from aigov.audit.records import CallIntent, CallOutcome, new_id
from aigov.audit.settings import AuditSettings
from aigov.audit.verify import Status, verify
from aigov.errors import AuditUnavailable

KEY = b"k" * 32
CALLS = (
    "openat", "write", "pwrite64", "fdatasync", "fsync", "rename", "ftruncate", "fallocate", "link", "unlink", "flock",
    "mkdir", "fchmod", "chmod",
)  # fmt: skip
FAULTS = ("signal=SIGKILL", "error=EIO", "error=ENOSPC", "error=EINTR")
ID_BYTES = 36
SECONDS = 60
_SEEN = re.compile(r"^(\d+)\s.*?\b([a-z0-9_]+)\(")
_ANY_TRACER = (0x59616D61, ctypes.c_ulong(-1))  # PR_SET_PTRACER, PR_SET_PTRACER_ANY


class Told:
    """Shared memory: whether to go, and the ids of the records that are durable."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 1 << 16)

    def go(self) -> None:
        """Let the process begin."""
        self._memory[0] = 1

    def wait(self) -> None:
        """Wait until it may."""
        while not self._memory[0]:
            time.sleep(0.001)

    def add(self, identity: str) -> None:
        """Note an id."""
        count = int.from_bytes(self._memory[1:5], "big")
        at = 8 + count * ID_BYTES
        self._memory[at : at + ID_BYTES] = identity.encode()
        self._memory[1:5] = (count + 1).to_bytes(4, "big")

    def ids(self) -> list[str]:
        """What was noted."""
        count = int.from_bytes(self._memory[1:5], "big")
        return [self._memory[8 + at * ID_BYTES : 8 + (at + 1) * ID_BYTES].decode() for at in range(count)]


class Found(msgspec.Struct, kw_only=True):
    """What came of it."""

    runs: int = 0
    calls: dict[str, int] = {}
    acknowledged: int = 0
    refused: int = 0
    wrong: list[str] = []


def subject(folder: Path, told: Told) -> None:
    """The process under trial. A refusal is an answer; whatever else goes wrong is a fault of ours."""
    publish.SECONDS = worker.SECONDS = 0  # type: ignore[attr-defined]
    worker.RETRY_SECONDS = 0
    store.SEGMENT_BYTES = 3_000
    AuditSettings.key_seconds = property(lambda settings: 0)  # type: ignore[assignment,method-assign]
    told.wait()
    with suppress(AuditUnavailable):
        log = Log.open(folder, key=KEY, settings=AuditSettings(patience_ms=5_000))
        for _ in range(4):
            call = new_id()
            with suppress(AuditUnavailable):
                told.add(log.append(CallIntent(call=call, action="a", resource="r")).id)
                told.add(log.append(CallOutcome(call=call, outcome="released")).id)
            time.sleep(0.005)
        log.close()


def run(folder: Path, told: Told, *options: str) -> int:
    """Run the subject under strace, and return its status; -1 where it hung."""
    child = os.fork()
    if not child:
        status = 1
        try:
            ctypes.CDLL(None).prctl(*_ANY_TRACER, 0, 0, 0)
            subject(folder, told)
            status = 0
        finally:
            os._exit(status)
    tracer = subprocess.Popen(["strace", "-f", "-p", str(child), *options], stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    said = tracer.stderr.readline()
    if "attached" not in said:
        os.kill(child, signal.SIGKILL)
    told.go()
    status = _ended(child)
    tracer.communicate()
    if "attached" not in said:
        raise PermissionError(said.strip())
    return status


def _ended(child: int) -> int:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -1


def counted(work: Path) -> dict[str, int]:
    """How often a thread of the subject makes each call, at most."""
    seen: Counter[tuple[str, str]] = Counter()
    out = work / "calls"
    status = run(work / "audit", Told(), "-e", f"trace={','.join(CALLS)}", "-o", str(out))
    assert status == 0, "the subject failed without a fault"
    for line in out.read_text().splitlines():
        found = _SEEN.match(line)
        if found and "resumed" not in line.split("(")[0]:
            seen[found[1], found[2]] += 1
    shutil.rmtree(work / "audit")
    most = {call: max((n for (_, name), n in seen.items() if name == call), default=0) for call in CALLS}
    return {call: number for call, number in most.items() if number}


def plan(calls: dict[str, int], every: bool) -> Iterator[tuple[str, str, int]]:
    """The faults: call, kind, which one."""
    turn = 0
    for call, number in calls.items():
        for at in range(1, number + 1):
            for fault in FAULTS if every else (FAULTS[turn % len(FAULTS)],):
                yield call, fault, at
            turn += 1


def judged(folder: Path, told: Told, status: int) -> Iterator[str]:
    """What is wrong with what is left."""
    if status not in (0, -signal.SIGKILL):
        yield "it hung" if status == -1 else f"it ended with {status}"
    if folder.is_dir() and verify(folder, KEY).status == Status.TAMPERED:
        yield f"it looks tampered with: {verify(folder, KEY).problems[0].what}"
    try:
        Log.open(folder, key=KEY, settings=AuditSettings(patience_ms=5_000)).close()
    except AuditUnavailable as fault:
        yield f"it does not open again: {fault.why}"
        return
    report = verify(folder, KEY)
    if report.status != Status.WHOLE:
        yield f"it is {report.status.name} at last: {report.problems[0].what}"
    ids = [str(record["id"]) for record in reader.records(folder)]
    if not set(told.ids()) <= set(ids) or len(set(ids)) != len(ids):
        yield "records are lost or stand twice"


def recovered(folder: Path, told: Told, status: int) -> list[str]:
    """`judged`, in a process of its own: this one forks and must have no threads."""
    out, into = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(into, "\n".join(judged(folder, told, status)).encode())
        except BaseException as fault:  # noqa: BLE001 - told to the parent, which counts it
            os.write(into, repr(fault).encode())
        finally:
            os._exit(0)
    os.close(into)
    with os.fdopen(out, "r") as file:
        said = file.read()
    os.waitpid(child, 0)
    return said.splitlines()


def inject(work: Path, every: bool, progress: bool = False) -> Found:
    """Every fault of the plan."""
    calls = counted(work)
    found = Found(calls=calls)
    for call, fault, at in plan(calls, every):
        told, folder = Told(), work / "audit"
        where = f"inject={call}:{fault}:when={at}"
        status = run(folder, told, "-e", f"trace={call}", "-e", where, "-o", "/dev/null")
        for what in recovered(folder, told, status):
            found.wrong.append(f"{call} {at}, {fault}: {what}")
        found.runs += 1
        found.acknowledged += len(told.ids())
        found.refused += len(told.ids()) < 8
        shutil.rmtree(folder, ignore_errors=True)
        if progress:
            print(f"\r{found.runs} {call} {at} {len(found.wrong)} wrong   ", end="", flush=True)
    return found


def unavailable() -> str:
    """Why this cannot run here; "" where it can."""
    if shutil.which("strace") is None:
        return "strace is not installed (`apt-get install strace`)"
    with tempfile.TemporaryDirectory() as name:
        try:
            run(Path(name) / "audit", Told(), "-e", "trace=fdatasync", "-o", "/dev/null")
        except PermissionError as error:
            return f"tracing is not allowed: {error}"
    return ""


def main() -> None:
    """Inject, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="every fault at every call")
    parser.add_argument("--folder", help="a folder to work in")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    why = unavailable()
    if why:
        print(why)
        sys.exit(77)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        found = inject(Path(name), given.all, sys.stdout.isatty())
    print(msgspec.json.encode(found).decode() if given.json else f"{found}, {time.perf_counter() - began:.0f} s")
    sys.exit(bool(found.wrong))


if __name__ == "__main__":
    main()
