"""The record beside plain structlog and a sync a record, in one run: `python -m benchmarks.audit [--quick]`.

Every line appends the same record. `structlog to a file` makes nothing durable and binds nothing together;
`a sync a record` writes canonical lines under a lock and syncs each by itself, which is what 32 threads
would get without group commit. Records a second, and for single appends medians and 99th percentiles in
microseconds. A ratio is against the plain sync in the same row's shape.
"""

from __future__ import annotations

import argparse
import fcntl
import io
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from aigov.audit.canonical import Envelope, Writer, encode, link, timestamp
from aigov.audit.disk import Disk
from aigov.audit.log import Log
from aigov.audit.merkle import leaf_hash
from aigov.audit.note import Checkpoint, VerifierKey, sign
from aigov.audit.proof import Prover, check
from aigov.audit.records import SCHEMA, Actor, CallIntent, Counted, ReasonRecord, Record, Size, new_id
from aigov.audit.settings import AuditSettings
from aigov.audit.tiles import Edge, Tiles
from aigov.audit.verify import verify
from aigov.crypto import public_ed25519

KEY = b"k" * 32
THREADS = 32
WAITERS = 8
FOUR = """
import sys, threading
from pathlib import Path
from aigov.audit.log import Log
from benchmarks.audit import KEY, PATIENT, Counting, record
disk, count, threads = Counting(), int(sys.argv[2]), int(sys.argv[3])
def work():
    for _ in range(count // threads):
        log.append(record())
with Log.open(Path(sys.argv[1]), key=KEY, disk=disk, settings=PATIENT) as log:
    print("ready", flush=True)
    sys.stdin.readline()
    before = disk.appended
    started = [threading.Thread(target=work) for _ in range(threads)]
    for thread in started: thread.start()
    for thread in started: thread.join()
    print(disk.appended - before, flush=True)
    sys.stdin.readline()
"""
PATIENT = AuditSettings(patience_ms=60_000)  # what is measured here is the disk's speed, not its worst moment


class Counting(Disk):
    """The disk as it is, counting the syncs of segments."""

    appended = 0

    def sync(self, handle: int) -> None:
        """Sync, and count it where the file is one that is only ever appended to by the log's writers."""
        super().sync(handle)
        if fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_APPEND:
            self.appended += 1


def record() -> CallIntent:
    """An intent like those of a governed chat call: about a kilobyte as a line."""
    return CallIntent(
        call=new_id(), action="chat", resource="model:gpt-4o-mini", session="s" * 36, policy="a" * 64, plugins="b" * 64,
        actor=Actor(ref="c" * 32, roles=("support-agent",), tenant="retail"), verdict="transform",
        reasons=(ReasonRecord(code="privacy.tokenise", rule="EMAIL_ADDRESS", layer="organisation"),),
        findings=(Counted(type="EMAIL_ADDRESS", kind="pii", count=1, max_ppm=1_000_000, action="tokenise"),),
        size=Size(parts=1, chars=320), edits=1, timing_us={"access": 12, "detect": 3400, "decide": 40, "transform": 9},
    )  # fmt: skip


class PlainSync:
    """A line a record under a lock, each with a sync of its own."""

    def __init__(self, folder: Path) -> None:
        self._handle = os.open(folder / "plain.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._lock = threading.Lock()
        self._seq, self._prev = 0, "0" * 64

    def append(self, given: Record) -> None:
        with self._lock:
            line = encode(given, self._envelope())
            os.write(self._handle, line + b"\n")
            os.fdatasync(self._handle)
            self._seq, self._prev = self._seq + 1, link(line)

    def _envelope(self) -> Envelope:
        return Envelope(
            v=SCHEMA, seq=self._seq, prev=self._prev, id=new_id(), ts=timestamp(time.time_ns()),
            mono_us=time.monotonic_ns() // 1000, boot="", writer=Writer(id="", pid=1, wseq=self._seq, ver=""),
        )  # fmt: skip

    def close(self) -> None:
        os.close(self._handle)


class Plain:
    """structlog to a file as JSON lines: nothing is synced."""

    def __init__(self, folder: Path) -> None:
        self._file: io.TextIOWrapper = open(folder / "structlog.txt", "w", encoding="utf-8")  # noqa: SIM115 - closed by close()
        self._log = structlog.wrap_logger(
            structlog.WriteLogger(self._file),
            processors=[structlog.processors.TimeStamper(fmt="iso", utc=True), structlog.processors.JSONRenderer()],
            wrapper_class=structlog.make_filtering_bound_logger(0),
            context_class=dict,
        )

    def append(self, given: CallIntent) -> None:
        self._log.info(
            "call.intent", call=given.call, action=given.action, resource=given.resource, policy=given.policy,
            plugins=given.plugins, verdict=given.verdict, edits=given.edits, timing_us=given.timing_us,
        )  # fmt: skip

    def close(self) -> None:
        self._file.close()


def rate(append: Callable[[CallIntent], object], count: int, threads: int = 1) -> float:
    """Records a second when each of `threads` appends its share, one after the other."""

    def work() -> None:
        for _ in range(count // threads):
            append(record())

    started = [threading.Thread(target=work) for _ in range(threads)]
    begin = time.perf_counter()
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    return count // threads * threads / (time.perf_counter() - begin)


def batched(log: Log, count: int) -> tuple[float, float]:
    """Records a second when one thread hands over records that are made, and waits for all; by the clock and by CPU.

    Checkpoints over them are signed in the same time; the difference of the two figures is the disk's.
    """
    made = [record() for _ in range(count)]
    begin, cpu = time.perf_counter(), time.process_time()
    log.append_all(made)
    return count / (time.perf_counter() - begin), count / (time.process_time() - cpu)


def each(ways: dict[str, Callable[[CallIntent], object]], count: int) -> dict[str, tuple[float, float]]:
    """Median and 99th percentile of one append, in microseconds, the ways taken in turn."""
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(count):
        for way, append in ways.items():
            given = record()
            begin = time.perf_counter()
            append(given)
            times[way].append((time.perf_counter() - begin) * 1e6)
    return {way: (statistics.median(took), statistics.quantiles(took, n=100)[98]) for way, took in times.items()}


def four_processes(folder: Path, count: int, threads: int) -> tuple[float, float]:
    """Four processes together on one log, in each so many threads that wait for every record.

    Returns records a second, and records a sync.
    """
    command = [sys.executable, "-c", FOUR, str(folder), str(count // 4), str(threads)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    writers = [subprocess.Popen(command, **pipes) for _ in range(4)]  # type: ignore[call-overload]
    for writer in writers:
        writer.stdout.readline()
    begin = time.perf_counter()
    for writer in writers:
        writer.stdin.write("\n")
        writer.stdin.flush()
    syncs = sum(int(writer.stdout.readline()) for writer in writers)
    taken = time.perf_counter() - begin
    for writer in writers:
        writer.communicate("\n")
    made = count // 4 // threads * threads * 4
    return made / taken, made / syncs


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the records")
    parser.add_argument("--folder", help="a folder on the disk to be measured")
    given = parser.parse_args()
    scale = 1 if given.quick else 10
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        measure(Path(name), scale)


def measure(folder: Path, scale: int) -> None:
    """Every row of the table."""
    sync, plain = PlainSync(folder), Plain(folder)
    log = Log.open(folder / "audit", key=KEY, settings=PATIENT)
    print(f"{'one record, waited for':34} {'median µs':>10} {'p99 µs':>10}")
    singles = each({"log": log.append, "a sync a record": sync.append}, 200 * scale)
    for label, (median, p99) in singles.items():
        print(f"  {label:32} {median:10.0f} {p99:10.0f}")
    print(f"{'records a second':34} {'rate':>10} {'ratio':>10}")
    base = rate(sync.append, 200 * scale)
    rows = [("a sync a record, 1 thread", base), ("log, 1 thread", rate(log.append, 200 * scale))]
    clock, cpu = batched(log, 5000 * scale)
    rows += [("log, 1 thread, batched", clock), ("  the same, by CPU time", cpu)]
    wide = rate(sync.append, 320 * scale, THREADS)
    rows += [
        (f"a sync a record, {THREADS} threads", wide),
        (f"log, {THREADS} threads", rate(log.append, 1600 * scale, THREADS)),
    ]
    rows.append(("structlog to a file, 1 thread", rate(plain.append, 2000 * scale)))
    shared = [
        (threads, *four_processes(folder / f"shared{threads}", 1600 * scale, threads)) for threads in (1, WAITERS)
    ]
    rows += [(f"log, 4 processes of {many} waiting", each_s) for many, each_s, _ in shared]
    for label, value in rows:
        print(f"  {label:32} {value:10,.0f} {value / (wide if str(THREADS) in label else base):9.1f}×")
    for many, _, each_sync in shared:
        print(f"  4 processes of {many} waiting: {each_sync:.1f} records a sync")
    log.close()
    sync.close()
    plain.close()
    begin = time.process_time()
    report = verify(folder / "audit", KEY)
    taken = time.process_time() - begin
    print(f"verify: {report.records:,} records, {report.records / taken:,.0f} a second, status {int(report.status)}")
    proofs(folder / "tree")


def proofs(folder: Path, count: int = 1_000_000) -> None:
    """How long a proof takes in a tree of a million records: tiles and a checkpoint suffice for it."""
    edge, tiles = Edge(), Tiles(folder)
    tiles.keep(edge.extend([leaf_hash(b"%d" % at) for at in range(count)]), edge)
    key = VerifierKey("bench", public_ed25519(KEY))
    (folder / "checkpoint").write_bytes(sign(Checkpoint("bench", count, edge.root()).text(), [(key, KEY)]))
    times = []
    for at in range(0, count, count // 200):
        begin = time.perf_counter()
        text = Prover(folder).prove(at)
        times.append((time.perf_counter() - begin) * 1e3)
        check(text, b"%d" % at, key)
    print(f"a proof at {count:,} records: median {statistics.median(times):.2f} ms, most {max(times):.2f} ms")


if __name__ == "__main__":
    main()
