"""Honest writers: several processes on one log, some of them killed in the middle of whatever they were doing.

Writers are forked from a process without threads, so that one costs milliseconds. What a writer was told is durable
it notes in a file of its own before it goes on; that file is what a log is held against afterwards.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from aigov.audit import publish, reader, store, worker
from aigov.audit.disk import Disk
from aigov.audit.log import Log
from aigov.audit.records import CallIntent, CallOutcome, PluginFault, new_id
from aigov.audit.settings import AuditSettings
from aigov.audit.store import Store

KEY = b"k" * 32
ID_BYTES = 37
PATIENT = AuditSettings(patience_ms=60_000)  # a busy machine is no fault of the log


def hasten(chance: random.Random) -> None:
    """Have segments end, checkpoints fall due and epochs pass within what a short-lived process sees."""
    store.SEGMENT_BYTES = chance.choice([2_000, 10_000, 100_000])
    seconds = chance.choice([0.05, 0.3, 900])
    AuditSettings.key_seconds = property(lambda settings: seconds)  # type: ignore[assignment,method-assign]
    publish.SECONDS = worker.SECONDS = chance.choice([0.001, 0.02, 1.0])  # type: ignore[attr-defined]
    publish.RECORDS = chance.choice([3, 30, 1_000])


def write(folder: Path, acks: int, chance: random.Random) -> None:
    """Calls, batches and streams of plugin faults, until killed or done; each id that is durable goes to `acks`."""

    def told(*ids: str) -> None:
        os.write(acks, "".join(f"{one}\n" for one in ids).encode())

    with Log.open(folder, key=KEY, settings=PATIENT) as log:
        for _ in range(chance.randrange(1, 25)):
            call = new_id()
            told(log.append(CallIntent(call=call, action="a", resource="r")).id)
            if chance.random() < 0.2:
                batch = [PluginFault(plugin="p")] * chance.randrange(1, 20)
                told(*(receipt.id for receipt in log.append_all(batch)))
            if chance.random() < 0.9:
                told(log.append(CallOutcome(call=call, outcome="released")).id)


def sign(folder: Path, acks: int, chance: random.Random) -> None:
    """A process that does nothing but sign, and end epochs."""
    held = Store(folder, key=KEY, disk=Disk(), patience=60, key_seconds=PATIENT.key_seconds)
    held.open()
    for _ in range(chance.randrange(1, 30)):
        time.sleep(chance.random() * 0.004)
        held.rotate_key() if chance.random() < 0.2 else held.cover()
    held.seal([])


Work = Callable[[Path, int, random.Random], None]


class Crowd:
    """The writers of one log, as many at once as a round asks for. `acknowledged`: the ids they were told of."""

    def __init__(self, folder: Path, notes: Path, chance: random.Random) -> None:
        self.folder = folder
        self.notes = notes
        self.chance = chance
        self.killed = 0
        self.acknowledged: list[str] = []
        notes.mkdir(parents=True, exist_ok=True)

    def round(self, works: Sequence[Work], kills: int) -> None:
        """Run `works` at once and kill so many of them at random moments; the others end by themselves.

        Raises AssertionError where one that was not killed failed.
        """
        children = [self._fork(work, self.notes / str(number)) for number, work in enumerate(works)]
        victims = self.chance.sample(children, min(kills, len(children)))
        for victim in victims:
            time.sleep(self.chance.choice([0, 0.001, 0.005, 0.02]) * self.chance.random())
            os.kill(victim, signal.SIGKILL)
        for child in children:
            _, status = os.waitpid(child, 0)
            if os.WIFSIGNALED(status):
                self.killed += 1
            else:
                assert status == 0, "a writer that nobody killed failed; what it said is above"
        for path in sorted(self.notes.iterdir()):
            content = path.read_text()
            self.acknowledged += content[: len(content) // ID_BYTES * ID_BYTES].split()
            path.unlink()

    def _fork(self, work: Work, notes: Path) -> int:
        seed = self.chance.getrandbits(64)
        child = os.fork()
        if child:
            return child
        status = 1
        try:
            chance = random.Random(seed)
            hasten(chance)
            work(self.folder, os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), chance)
            status = 0
        except BaseException:  # noqa: BLE001 - told here: a fork must not go on in its parent's code
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(status)

    def recover(self) -> None:
        """Open the log once more and close it, which sees to whatever was left."""
        self.round([lambda folder, acks, chance: Log.open(folder, key=KEY, settings=PATIENT).close()], 0)

    def lost_and_repeated(self) -> tuple[int, int]:
        """How many acknowledged records are not in the log, and how many records are in it twice."""
        ids = [str(record["id"]) for record in reader.records(self.folder)]
        return len(set(self.acknowledged) - set(ids)), len(ids) - len(set(ids))
