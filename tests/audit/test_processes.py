"""Several processes on one log, and what SIGKILL leaves of them."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aigov.audit import canonical, reader
from aigov.audit.log import Log
from aigov.audit.verify import Status, verify

Open = Callable[..., Log]

WRITER = """
import sys
from pathlib import Path
from aigov.audit.log import Log
from aigov.audit.records import CallIntent, CallOutcome, new_id
with Log.open(Path(sys.argv[1]), key=b"k" * 32) as log:
    for _ in range(int(sys.argv[2])):
        call = new_id()
        log.append(CallIntent(call=call, action="a", resource="r"))
        print(log.append(CallOutcome(call=call, outcome="released")).id, flush=True)
"""
ENDLESS = WRITER.replace("range(int(sys.argv[2]))", "iter(int, 1)")


def acknowledged(process: subprocess.Popen[str]) -> list[str]:
    out, errors = process.communicate(timeout=60)
    assert process.returncode in (0, -signal.SIGKILL), errors
    return [line for line in out.splitlines() if len(line) == 36]


def test_three_processes_share_one_log(folder: Path, kit: Any) -> None:
    writers = [kit.run(WRITER, folder, 40) for _ in range(3)]
    ids = [acknowledged(writer) for writer in writers]
    assert [len(each) for each in ids] == [40, 40, 40]
    report = verify(folder, kit.key)
    assert (report.status, report.writers) == (Status.WHOLE, 3)
    written = [canonical.decode(line) for line in kit.lines(folder)]
    assert {identity for each in ids for identity in each} <= {entry.id for entry in written}
    assert len({entry.id for entry in written}) == len(written)
    assert sum(hasattr(entry, "call") for entry in written) == 3 * 40 * 2


def test_killed_writers_lose_nothing_that_was_acknowledged(opened: Open, folder: Path, kit: Any) -> None:
    chance, kept = random.Random(7), []
    for _ in range(3):
        writers = [kit.run(ENDLESS, folder) for _ in range(3)]
        for writer in writers:
            writer.stdout.readline()
        time.sleep(chance.uniform(0, 0.1))
        for writer in writers:
            writer.kill()
        kept += [identity for writer in writers for identity in acknowledged(writer)]
        report = verify(folder, kit.key)
        assert report.status == Status.INCOMPLETE, report.problems
    opened().close()
    report = verify(folder, kit.key)
    assert report.status == Status.WHOLE, report.problems
    written = [canonical.decode(line).id for line in kit.lines(folder)]
    assert set(kept) <= set(written)
    assert len(set(written)) == len(written)


def test_a_survivor_goes_on_while_others_are_killed(opened: Open, folder: Path, kit: Any) -> None:
    log = opened()
    for _ in range(3):
        other = kit.run(ENDLESS, folder)
        other.stdout.readline()
        kit.fill(log, 3)
        other.kill()
        acknowledged(other)
        kit.fill(log, 3)
    log.close()
    report = verify(folder, kit.key)
    assert report.status == Status.WHOLE, report.problems


KILLED = """
import os, signal, sys
from pathlib import Path
from aigov.audit.log import Log
from aigov.audit.records import CallIntent, CallOutcome, StreamOpened
log = Log.open(Path(sys.argv[1]), key=b"k" * 32)
for call in ("ended", "begun"):
    log.append(CallIntent(call=call, action="a", resource="r"))
log.append(CallOutcome(call="ended", outcome="released"))
log.append(StreamOpened(call="streamed"))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_dead_writers_open_calls_are_recorded_at_the_next_start(opened: Open, folder: Path, kit: Any) -> None:
    kit.run(KILLED, folder).communicate(timeout=30)
    assert verify(folder, kit.key).open_calls == 2
    dead = canonical.decode(kit.lines(folder)[1]).writer.id
    opened().close()
    found = [canonical.decode(line) for line in kit.lines(folder)]
    orphans = [(entry.call, entry.left_by, entry.why) for entry in found if type(entry).__name__ == "CallOrphaned"]
    assert orphans == [("begun", dead, "crashed"), ("streamed", dead, "crashed")]
    assert [entry.crashed for entry in found if type(entry).__name__ == "WriterStart"] == [0, 1]
    assert verify(folder, kit.key).status == Status.WHOLE
    assert list((folder / "writers").iterdir()) == []


KILLED_LATER = KILLED.replace(
    "log.append(StreamOpened",
    """from aigov.audit import store, publish
store.SEGMENT_BYTES, publish.SECONDS = 1, 0
import time
for _ in range(4):
    log.append(CallOutcome(call="nothing", outcome="released")); time.sleep(0.02)
log.append(StreamOpened""",
)


def test_calls_that_were_begun_segments_ago_are_found_as_well(opened: Open, folder: Path, kit: Any) -> None:
    _, errors = kit.run(KILLED_LATER, folder).communicate(timeout=30)
    assert not errors
    assert len(list((folder / "seg").iterdir())) > 3
    opened().close()
    found = [record for record in reader.records(folder) if record["kind"] == "call.orphaned"]
    assert [record["call"] for record in found] == ["begun", "streamed"]
    assert verify(folder, kit.key).status == Status.WHOLE


def test_a_living_writers_calls_are_nobody_elses_orphans(opened: Open, folder: Path, kit: Any) -> None:
    first = opened()
    receipt = first.append(kit.intent())
    opened().close()
    first.append(kit.outcome(receipt.call))
    first.close()
    assert verify(folder, kit.key).orphaned_calls == 0


STOPPED = """
import fcntl, os, sys, time
handle = os.open(sys.argv[1] + "/append.lock", os.O_RDWR)
fcntl.flock(handle, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


def test_a_process_that_sits_on_the_lock_stops_nobody_for_good(opened: Open, folder: Path, kit: Any) -> None:
    log = opened(patience_ms=200)
    other = kit.run(STOPPED, folder)
    assert other.stdout.readline() == "held\n"
    future = log.submit(kit.intent())
    assert "another process holds the log" in str(future.exception(10))
    other.kill()
    other.communicate()
    kit.fill(log, 1)
    log.close()
    assert verify(folder, kit.key).status == Status.WHOLE


UNPRIVILEGED = """
import ctypes, os, struct
if os.geteuid() == 0:  # root may write to files that are read-only, unless it gives that up
    libc, header, held = ctypes.CDLL(None), struct.pack("=Ii", 0x20080522, 0), ctypes.create_string_buffer(24)
    assert not libc.capget(header, held)
    first, *others = struct.unpack("=6I", held.raw)
    assert not libc.capset(header, struct.pack("=6I", first & ~0b110, *others))
"""
ROTATING = """
from aigov.audit import publish, store
store.SEGMENT_BYTES, publish.SECONDS = 1, 3600
"""

DYING = """
import os, signal
from aigov.audit.segments import Segments
hold = Segments.hold
def held(self, number, create=0):
    os.kill(os.getpid(), signal.SIGKILL) if number else hold(self, number, create)
Segments.hold = held
"""


def test_a_log_goes_on_after_a_crash_whose_segments_are_read_only_for_its_user(folder: Path, kit: Any) -> None:
    _, errors = kit.run(UNPRIVILEGED + ROTATING + KILLED, folder).communicate(timeout=30)
    assert not errors
    *complete, last = sorted((folder / "seg").iterdir())
    assert [path.stat().st_mode & 0o777 for path in complete] == [0o400] * 4
    assert last.stat().st_mode & 0o777 == 0o600
    assert len(acknowledged(kit.run(UNPRIVILEGED + WRITER, folder, 1))) == 1
    assert verify(folder).status == Status.WHOLE
    assert [path.stat().st_mode & 0o777 for path in complete] == [0o400] * 4


def test_whoever_is_killed_while_a_segment_is_completed_leaves_one_to_write_to(folder: Path, kit: Any) -> None:
    out, errors = kit.run(UNPRIVILEGED + ROTATING + DYING + WRITER, folder, 1).communicate(timeout=30)
    assert (out, errors) == ("", "")
    assert [path.stat().st_mode & 0o777 for path in (folder / "seg").iterdir()] == [0o600]
    assert len(acknowledged(kit.run(UNPRIVILEGED + WRITER, folder, 1))) == 1
    assert verify(folder).status == Status.WHOLE
