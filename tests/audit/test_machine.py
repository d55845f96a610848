"""Any order of appending, batches, kills, openings, rotations, checkpoints, erasures and tampering, against a list."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from time import sleep
from typing import Any, NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from aigov.audit import canonical, checkpoints, publish, store
from aigov.audit import head as heads
from aigov.audit.disk import Disk
from aigov.audit.erasure import Eraser, traces
from aigov.audit.log import Log, Receipt
from aigov.audit.note import Checkpoint, split
from aigov.audit.payloads import Gone, Origin, Payloads
from aigov.audit.reader import Lines, extents
from aigov.audit.records import Actor, CallIntent, CallOutcome, Payload, PluginFault, Record, new_id
from aigov.audit.settings import AuditSettings
from aigov.audit.subjects import Subject, Subjects, beside
from aigov.audit.verify import Status, verify
from aigov.errors import AuditUnavailable

KEY = b"k" * 32
STEPS = 30
EXAMPLES = int(os.environ.get("AIGOV_MACHINE_STEPS", "1500")) // STEPS  # 100,000 steps in the long form
PATIENT = AuditSettings(patience_ms=10_000)
PEOPLE = ("dana-7731@example.com", "leo-4402@example.com")
SAMPLE = slice(20, 44)  # of sealed content: enough to know it again anywhere


class Killed(SystemExit):
    """A thread ends here, as when its process is killed. It is told to nobody."""


class Mortal(Disk):
    """A disk whose process is killed `left` calls from now; a write that it is killed in takes a share of its bytes."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.share = 0.0
        self.dead = False

    def _moment(self) -> None:
        if self.left is not None:
            self.dead = self.dead or self.left <= 0
            self.left -= 1
        if self.dead:
            raise Killed

    def write(self, handle: int, data: bytes) -> int:
        if self.left == 0 and not self.dead:
            super().write(handle, data[: int(len(data) * self.share)])
        self._moment()
        return super().write(handle, data)

    def sync(self, handle: int) -> None:
        self._moment()
        super().sync(handle)
        self._moment()

    def truncate(self, handle: int, size: int) -> None:
        self._moment()
        super().truncate(handle, size)

    def replace(self, source: Path, target: Path) -> None:
        self._moment()
        super().replace(source, target)

    def sync_folder(self, folder: Path) -> None:
        self._moment()
        super().sync_folder(folder)


class Writer(NamedTuple):
    """A log that is open, and what it may be killed with."""

    log: Log
    disk: Mortal


class Kept(NamedTuple):
    """Content of a person: the text, what the record says of it, their key, and some of the sealed bytes."""

    canary: str
    payload: Payload
    subject: Subject
    sealed: bytes


class Life(RuleBasedStateMachine):
    """The log, and a list of what was acknowledged. `root`: a folder of its own."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root, self.folder = root, root / "audit"
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(publish, "SECONDS", 3_600.0)  # checkpoints are made where a rule says so
        tell = threading.excepthook
        self.patch.setattr(threading, "excepthook", lambda told: None if told.exc_type is Killed else tell(told))
        self.writers: list[Writer] = []
        self.acknowledged: list[Receipt] = []
        self.open_calls: dict[str, Writer] = {}
        self.orphans: set[str] = set()
        self.ended: set[str] = set()
        self.kept: dict[str, list[Kept]] = {}
        self.gone: list[Kept] = []
        self.erased: list[str] = []
        self.again = 30
        self.torn = b""
        self.aside: set[bytes] = set()
        self.start_again()

    def teardown(self) -> None:
        try:
            if sys.exception() is None:
                self.shut_down()
        finally:
            for writer in self.writers:  # only where something was wrong
                self.bury(writer)
            self.people.close()
            self.patch.undo()
            shutil.rmtree(self.root)

    # -- the rules -----------------------------------------------------------------------------------

    @initialize()
    def first(self) -> None:
        self.open()

    @precondition(lambda self: len(self.writers) < 2)
    @rule()
    def open(self) -> None:
        disk = Mortal()
        self.writers.append(Writer(Log.open(self.folder, key=KEY, settings=PATIENT, disk=disk), disk))
        self.is_aside()

    @precondition(lambda self: self.writers)
    @rule(which=st.integers(0, 1), who=st.sampled_from(PEOPLE))
    def begin(self, which: int, who: str) -> None:
        """A call of a person, whose content is kept."""
        writer, call = self.writer(which), new_id()
        kept = self.keep(who)
        actor = Actor(ref=kept.subject.ref, tenant="retail")
        intent = CallIntent(call=call, action="chat", resource="r", actor=actor, payload=kept.payload)
        self.take([writer.log.append(intent)])
        self.open_calls[call] = writer

    @precondition(lambda self: self.open_calls)
    @rule(which=st.integers(0, 9), by=st.integers(0, 1))
    def end(self, which: int, by: int) -> None:
        """A call ends, in the process that began it or in another."""
        call = list(self.open_calls)[which % len(self.open_calls)]
        del self.open_calls[call]
        self.take([self.writer(by).log.append(CallOutcome(call=call, outcome="released"))])
        self.ended.add(call)

    @precondition(lambda self: self.writers)
    @rule(sizes=st.lists(st.integers(1, 4), min_size=2, max_size=4))
    def batch_of_threads(self, sizes: list[int]) -> None:
        """Each thread appends whole calls; its own records stand in its order."""

        def work(at: int, size: int) -> list[Receipt]:
            return [self.writer(at).log.append(record) for record in pairs(size)]

        with ThreadPoolExecutor(len(sizes)) as threads:
            told = list(threads.map(work, range(len(sizes)), sizes))
        for receipts in told:
            assert [one.seq for one in receipts] == sorted(one.seq for one in receipts)
            self.ended.update(one.call for one in receipts)
        self.take([one for receipts in told for one in receipts])

    @precondition(lambda self: self.writers)
    @rule(which=st.integers(0, 1), size=st.integers(1, 9))
    def batch(self, which: int, size: int) -> None:
        """Many records at once."""
        receipts = self.writer(which).log.append_all(pairs(size))
        assert [one.seq for one in receipts] == list(range(receipts[0].seq, receipts[0].seq + 2 * size))
        self.ended.update(one.call for one in receipts)
        self.take(receipts)

    @precondition(lambda self: self.writers)
    @rule(which=st.integers(0, 1))
    def rotate(self, which: int) -> None:
        """A full segment: the next record stands in a new one."""
        before = len(extents(self.folder))
        with self.patch.context() as patch:
            patch.setattr(store, "SEGMENT_BYTES", 1)
            self.take([self.writer(which).log.append(PluginFault(plugin="p"))])
        assert len(extents(self.folder)) == before + 1

    @precondition(lambda self: self.writers)
    @rule(which=st.integers(0, 1), new_key=st.booleans())
    def checkpoint(self, which: int, new_key: bool) -> None:
        """A checkpoint that covers all that was acknowledged; its key may have served its time."""
        with self.patch.context() as patch:
            patch.setattr(publish, "SECONDS", 0.0)
            if new_key:
                patch.setattr(store, "YOUNG_KEY_SECONDS", 0.0)
            self.take([self.writer(which).log.append(PluginFault(plugin="p"))])
            for _ in range(3_000):
                if self.covered() > self.acknowledged[-1].seq:
                    break
                sleep(0.01)
        assert self.covered() > self.acknowledged[-1].seq

    @rule(
        doing=st.sampled_from(["write", "sign", "open", "close"]),
        which=st.integers(0, 1),
        calls=st.lists(st.sampled_from(PEOPLE), max_size=2),
        size=st.integers(0, 3),
        after=st.integers(0, 14),
        share=st.sampled_from([0.0, 0.01, 0.3, 0.7, 0.99, 1.0]),
        more=st.binary(max_size=20).filter(lambda more: b"\n" not in more),
    )
    def kill(self, doing: str, which: int, calls: list[str], size: int, after: int, share: float, more: bytes) -> None:
        """A process that has begun calls is killed while it opens, writes, signs or closes; its tail may be torn."""
        for who in calls if self.writers else ():
            self.begin(which, who)
        if doing == "open" or not self.writers:
            disk = Mortal()
            self.writers.append(Writer(Log(self.folder, key=KEY, settings=PATIENT, disk=disk), disk))
            which = len(self.writers) - 1
        writer = self.writer(which)
        writer.disk.left, writer.disk.share = after, share
        with self.patch.context() as patch:
            if doing == "sign":
                patch.setattr(publish, "SECONDS", 0.0)
            futures = self.handed_in(writer, size)
            if doing == "close":
                with suppress(AuditUnavailable):
                    writer.log.close()
            else:
                self.run_into(writer)
        self.take([future.result() for future in futures if future.done() and not future.exception()])
        self.is_dead(writer, b"" if doing == "close" else more)
        self.look()

    @precondition(lambda self: self.writers)
    @rule(which=st.integers(0, 1))
    def close(self, which: int) -> None:
        writer = self.writer(which)
        writer.log.close()
        self.leave(writer)
        self.is_aside()
        if not self.writers:
            self.is_whole()

    @precondition(lambda self: self.writers)
    @rule(
        which=st.integers(0, 1),
        who=st.sampled_from(PEOPLE),
        calls=st.integers(0, 2),
        cut=st.sampled_from(["", "", "before", "after"]),
    )
    def erase(self, which: int, who: str, calls: int, cut: str) -> None:
        """A person who has called is forgotten; the process may be killed before or after it says so."""
        for _ in range(calls):
            self.begin(which, who)
        writer, known = self.writer(which), self.kept.get(who, [])

        def append(record: Record) -> None:
            if cut != "before":
                self.take([writer.log.append(record)])
            if cut:
                raise Killed

        if cut:  # an earlier erasure that was cut off is told of first
            self.eraser(lambda record: self.take([writer.log.append(record)])).resume()
        with suppress(Killed):
            done = self.eraser(append).erase(who, None, basis="art17", by="")
            assert len(done) == bool(known)
        self.gone += self.kept.pop(who, [])
        self.erased += sorted({kept.subject.ref for kept in known})
        if cut:
            writer.disk.left = 0
            self.run_into(writer)
            self.is_dead(writer, b"")
        self.nothing_is_left()

    @rule(
        how=st.sampled_from(["flip", "drop", "swap"]),
        one=st.floats(0, 1, exclude_max=True),
        other=st.floats(0, 1, exclude_max=True),
        bit=st.integers(0, 7),
    )
    def tamper(self, how: str, one: float, other: float, bit: int) -> None:
        """Somebody changes a copy, before the last checkpoint: it is noticed, with the writers' key and without."""
        before, copy = contents(self.folder), self.root / "copy"
        shutil.copytree(self.folder, copy)
        lines = [(path, line) for path, end in extents(copy) for line in split_lines(path, end)]
        covered = self.covered()
        at = int(one * covered)
        if how == "flip":
            lines[at] = lines[at][0], flipped(lines[at][1], other, bit)
        elif how == "drop":
            lines[at] = lines[at][0], b""
        else:
            to = (at + 1 + int(other * (covered - 1))) % covered
            lines[at], lines[to] = (lines[at][0], lines[to][1]), (lines[to][0], lines[at][1])
        for path in {path for path, _ in lines}:
            path.chmod(0o600)
            path.write_bytes(b"".join(line for where, line in lines if where == path))
        assert verify(copy, KEY).status is Status.TAMPERED
        assert verify(copy).status is Status.TAMPERED
        shutil.rmtree(copy)
        assert contents(self.folder) == before

    @rule()
    def look(self) -> None:
        """Whatever happened, nothing looks tampered with; only what nobody has closed is not whole."""
        assert verify(self.folder, KEY).status in (Status.WHOLE, Status.INCOMPLETE)

    @precondition(lambda self: len(self.acknowledged) >= self.again)
    @rule()
    def shut_down(self) -> None:
        """Everybody closes; somebody comes first, who sees to the dead."""
        self.again = len(self.acknowledged) + 30
        if not self.writers:
            self.open()
        self.eraser(lambda record: self.take([self.writers[0].log.append(record)])).resume()
        while self.writers:
            self.close(0)
        self.nothing_is_left()
        told = Counter(entry.pseudonym for _, entry in self.lines() if entry.kind == "subject.erased")
        assert told == Counter(self.erased)

    # -- what holds at any time ----------------------------------------------------------------------

    @invariant()
    def what_was_acknowledged_is_there_in_order_and_once(self) -> None:
        found = list(self.lines())
        assert [entry.seq for _, entry in found] == list(range(len(found)))
        assert max(Counter(entry.id for _, entry in found).values(), default=1) == 1
        wanted = {receipt.id for receipt in self.acknowledged}
        there = [(entry.id, canonical.link(line)) for line, entry in found if entry.id in wanted]
        assert there == [(receipt.id, receipt.digest) for receipt in self.acknowledged]

    @invariant()
    def torn_bytes_are_kept_as_they_were(self) -> None:
        there = self.quarantine()
        assert self.aside <= there <= self.aside | {self.torn}

    @invariant()
    def kept_content_opens(self) -> None:
        for kept in (one for several in self.kept.values() for one in several):
            texts = self.payloads.read(kept.payload, kept.subject.shelf, kept.subject.key)
            assert texts == [("/question", kept.canary)]

    def is_whole(self) -> None:
        """Everybody has closed: the log is whole, and each call that began has one end."""
        report = verify(self.folder, KEY)
        assert (report.status, report.sealed, report.open_calls) == (Status.WHOLE, True, 0), report.problems
        calls: dict[str, Counter[str]] = {}
        for _, entry in self.lines():
            calls.setdefault(entry.kind, Counter())[getattr(entry, "call", "")] += 1
        orphaned = calls.get("call.orphaned", Counter())
        assert calls.get("call.intent", Counter()) == calls.get("call.outcome", Counter()) + orphaned
        assert self.orphans <= orphaned.keys()
        assert not self.ended & orphaned.keys()

    def nothing_is_left(self) -> None:
        """No file has anything of a person in it, and what was kept of those erased opens under no key."""
        texts = [kept.canary for kept in self.gone] + list(PEOPLE)
        assert traces([self.root], texts) == []
        files = contents(self.root)
        for kept in self.gone:
            if kept.subject.ref in {entry.pseudonym for _, entry in self.lines() if entry.kind == "subject.erased"}:
                assert not any(kept.sealed in content for content in files.values())
            with pytest.raises(Gone):
                self.payloads.read(kept.payload, kept.subject.shelf, kept.subject.key)

    # -- what the rules share ------------------------------------------------------------------------

    def start_again(self) -> None:
        """What a process remembers of people goes with it."""
        self.people = Subjects(beside(self.folder), key=KEY)
        self.payloads = Payloads(self.people.folder, Origin(self.folder))

    def eraser(self, append: Callable[[Record], None]) -> Eraser:
        return Eraser(self.folder, self.people, self.payloads, append, times=lambda name: (90 * 86_400, 0))

    def writer(self, which: int) -> Writer:
        return self.writers[which % len(self.writers)]

    def take(self, receipts: Sequence[Receipt]) -> None:
        """These were acknowledged, all of them after those that were acknowledged before."""
        told = sorted(receipts, key=lambda receipt: receipt.seq)
        if told:
            assert not self.acknowledged or told[0].seq > self.acknowledged[-1].seq
            self.acknowledged += told
            self.is_aside()

    def is_aside(self) -> None:
        """Somebody opened the log or appended to it, so what was torn before is in quarantine."""
        self.aside |= {self.torn} - {b""}
        self.torn = b""

    def keep(self, who: str) -> Kept:
        canary = f"canary-{new_id()}"
        subject = self.people.subject(who, "retail")
        assert subject.ref not in self.erased  # whoever was erased is somebody new
        payload = self.payloads.keep(subject, [("/question", canary)])
        (path,) = (path for path in self.payloads.blobs(subject.shelf) if path.name.startswith(payload.id))
        kept = Kept(canary, payload, subject, path.read_bytes()[SAMPLE])
        self.kept.setdefault(who, []).append(kept)
        return kept

    def handed_in(self, writer: Writer, size: int) -> list[Future[Receipt]]:
        """Records that nobody waits for."""
        futures: list[Future[Receipt]] = []
        for record in pairs(size):
            with suppress(AuditUnavailable):
                futures.append(writer.log.submit(record))
        return futures

    def run_into(self, writer: Writer) -> None:
        """Write until the process is dead."""
        worker: Any = writer.log._worker
        for _ in range(200):
            if not worker._queue:
                writer.log.submit(PluginFault(plugin="p"))
            worker._thread.join(0.05)
            if not worker._thread.is_alive():
                return
            writer.disk.left = min(writer.disk.left or 0, 0)
        raise AssertionError("the log does not write any more")

    def is_dead(self, writer: Writer, more: bytes) -> None:
        """Take note of what a killed process leaves; `more`: bytes that its tail has besides."""
        died = writer.disk.dead
        self.bury(writer)
        self.leave(writer)
        self.people.close()
        self.start_again()
        if died:
            path = extents(self.folder)[-1][0]
            head = heads.read(self.folder, KEY)
            if head is not None and not head.sealed:  # nobody writes before it says that the log goes on
                with open(path, "ab") as file:
                    file.write(more)
            self.is_torn(path.read_bytes().rpartition(b"\n")[2])

    def is_torn(self, torn: bytes) -> None:
        if self.torn in self.quarantine():
            self.is_aside()
        assert torn.startswith(self.torn)
        self.torn = torn

    def bury(self, writer: Writer) -> None:
        """Let go of the files of a process that is dead, as the system does."""
        log: Any = writer.log
        writer.disk.dead = True
        with suppress(AuditUnavailable):
            log.close()
        if log._worker._signing is not None:
            log._worker._signing.join(10)
        log._worker.drop()

    def leave(self, writer: Writer) -> None:
        """Its open calls are orphans from here on."""
        self.writers.remove(writer)
        left = {call for call, one in self.open_calls.items() if one is writer}
        self.orphans |= left
        self.open_calls = {call: one for call, one in self.open_calls.items() if call not in left}

    def covered(self) -> int:
        """How many records the latest checkpoint covers."""
        latest = checkpoints.latest(self.folder)
        return Checkpoint.parse(split(latest)[0]).size if latest else 0

    def lines(self) -> Iterator[tuple[bytes, Any]]:
        """Each line, and its record."""
        for path, end in extents(self.folder):
            for line in Lines(path, 0, end):
                yield line, canonical.decode(line)

    def quarantine(self) -> set[bytes]:
        return {path.read_bytes() for path in (self.folder / "quarantine").glob("*.torn")}


def pairs(count: int) -> list[Record]:
    """Whole calls."""
    calls = [new_id() for _ in range(count)]
    return [
        record
        for call in calls
        for record in (CallIntent(call=call, action="chat", resource="r"), CallOutcome(call=call, outcome="released"))
    ]


def split_lines(path: Path, end: int) -> list[bytes]:
    """Lines with their newlines, and what is torn."""
    return path.read_bytes()[:end].splitlines(keepends=True)


def flipped(line: bytes, where: float, bit: int) -> bytes:
    """A line with another bit somewhere."""
    at = int(where * len(line))
    return line[:at] + bytes([line[at] ^ 1 << bit]) + line[at + 1 :]


def contents(folder: Path) -> dict[Path, bytes]:
    """All files."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_log_is_what_the_list_says_whatever_happens(tmp_path_factory: pytest.TempPathFactory) -> None:
    class Here(Life):
        def __init__(self) -> None:
            super().__init__(tmp_path_factory.mktemp("life"))

    run_state_machine_as_test(Here, settings=settings(max_examples=EXAMPLES, stateful_step_count=STEPS))
