"""Power losses on a simulated disk: `python -m tests.proofs.powerloss [--states 10000000] [--lying] [--seed 0]`.

Several writers share a log on a disk that keeps nothing before it is synced. What is on it after a power loss is any
mixture of old and new: each 512-byte sector that was written since the file's last sync, each file's length, each name
that was made, replaced or removed since its folder's last sync, independently of all others. While one writer syncs,
another may append. At every call to the disk such states are drawn, and each one is opened by a program that knows
nothing of before: whatever was acknowledged is there, nothing looks tampered with, and the log becomes whole.

With `--failing` a few syncs fail in every second trial: what they were to write is on the disk in part, and the
system holds the rest for written, so that no later sync writes it. A writer that gives up then is a dead one.

With `--lying` some syncs do nothing, as disks with a write cache do that say otherwise. Then records may be lost, and
the loss of one that a checkpoint covered has to be noticed by whoever holds that checkpoint.
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from aigov.audit import checkpoints, composing, publish, reader, store
from aigov.audit.disk import Busy, Disk
from aigov.audit.note import Checkpoint, split
from aigov.audit.records import CallIntent, CallOutcome, PluginFault, Record, new_id
from aigov.audit.store import Receipt, Store
from aigov.audit.synced import Broken
from aigov.audit.verify import Status, verify
from aigov.errors import AigovError

KEY = b"k" * 32
SECTOR = 512
STEPS = 14
FAILING = 0.02
State = dict[str, bytes | None]  # what is on the disk: files, and folders as None


class Outcome(msgspec.Struct, kw_only=True):
    """What was tried and what was wrong with it. `distinct`: states that differ, which are the ones that are opened."""

    states: int = 0
    distinct: int = 0
    losses: int = 0
    unnoticed: int = 0
    wrong: list[str] = []


class SimDisk(Disk):
    """A disk over real files, which stand for what the running programs see, and a memory of what is durable.

    `crash`: called at every moment at which the power may go. `meanwhile`: called in the middle of a sync.
    """

    def __init__(self, folder: Path, chance: random.Random, lies: float, fails: float) -> None:
        self.folder = folder
        self.chance = chance
        self.lies = lies
        self.fails = fails
        self.crash: Callable[[], None] = lambda: None
        self.meanwhile: Callable[[], None] = lambda: None
        self._held: dict[int, int] = {}
        self._content: dict[int, bytes] = {}
        self._dropped: dict[int, set[int]] = {}  # sectors that a failed sync left, and that are held for written
        self._names: dict[str, dict[str, int]] = {}

    # -- what programs do --------------------------------------------------------------------------

    def write(self, handle: int, data: bytes) -> int:
        self._moment()
        count = super().write(handle, data)
        end = os.lseek(handle, 0, os.SEEK_CUR)
        touched = range((end - count) // SECTOR, (end - 1) // SECTOR + 1)
        self._dropped.get(os.fstat(handle).st_ino, set()).difference_update(touched)
        return count

    def truncate(self, handle: int, size: int) -> None:
        self._moment()
        super().truncate(handle, size)

    def replace(self, source: Path, target: Path) -> None:
        self._moment()
        super().replace(source, target)

    def sync(self, handle: int) -> None:
        self._moment()
        inode = os.fstat(handle).st_ino
        before = _read(self._held[inode])
        self.meanwhile()
        if self.chance.random() < self.fails:
            self._fail(inode, before)
        if self.chance.random() >= self.lies:
            self._content[inode] = self._written(inode, before, self._dropped.get(inode, set()))
        self._moment()

    def _fail(self, inode: int, before: bytes) -> None:
        """Write some of the sectors that a sync was to write, and say that it failed."""
        old = self._content.get(inode, b"")
        due = [at for at in range(-(-len(before) // SECTOR)) if _sector(before, at) != _sector(old, at)]
        left = {at for at in due if self.chance.random() < 0.5}
        dropped = self._dropped.setdefault(inode, set())
        dropped |= left
        self._content[inode] = self._written(inode, before, dropped)
        self._moment()
        raise OSError(errno.EIO, "a fault on order")

    def _written(self, inode: int, content: bytes, without: set[int]) -> bytes:
        """What is on the disk once `content` is written there but for some sectors."""
        made, old = bytearray(content), self._content.get(inode, b"")
        for at in without:
            end = min((at + 1) * SECTOR, len(made))
            made[at * SECTOR : end] = _sector(old, at)[: end - at * SECTOR].ljust(max(0, end - at * SECTOR), b"\0")
        return bytes(made)

    def sync_folder(self, folder: Path) -> None:
        self._moment()
        if self.chance.random() >= self.lies:
            self._names[self._name(folder)] = self._listed(folder)
        self._moment()

    def close(self) -> None:
        """Let go of every file."""
        for handle in self._held.values():
            os.close(handle)
        self._held.clear()

    def _moment(self) -> None:
        self._observe()
        self.crash()

    # -- what is on the disk ------------------------------------------------------------------------

    def _name(self, folder: Path) -> str:
        return folder.relative_to(self.folder.parent).as_posix()

    def _listed(self, folder: Path) -> dict[str, int]:
        """The names in a folder, each with its inode; folders have 0."""
        found = {}
        for entry in os.scandir(folder):
            found[entry.name] = 0 if entry.is_dir() else entry.inode()
        return found

    def _observe(self) -> None:
        """Hold every file that is there, so that its content stays readable and its number is not used again."""
        for place, _, names in os.walk(self.folder):
            for name in names:
                path = os.path.join(place, name)
                with suppress(FileNotFoundError):
                    inode = os.stat(path).st_ino
                    if inode not in self._held:
                        self._held[inode] = os.open(path, os.O_RDONLY)

    def drawn(self) -> State:
        """One state that a power loss now may leave."""
        state: State = {}
        self._draw_folder(self.folder, state)
        return state

    def _draw_folder(self, folder: Path, state: State) -> None:
        name = self._name(folder)
        state[name] = None
        now = self._listed(folder) if folder.is_dir() else {}
        old = self._names.get(name, {})
        for entry in sorted(now.keys() | old.keys()):
            kept = now.get(entry) if now.get(entry) == old.get(entry) else self.chance.choice([now, old]).get(entry)
            if kept == 0:
                self._draw_folder(folder / entry, state)
            elif kept is not None and kept in self._held:
                state[f"{name}/{entry}"] = self._draw_file(kept)

    def _draw_file(self, inode: int) -> bytes:
        old, now = self._content.get(inode, b""), _read(self._held[inode])
        if old == now:
            return old
        size = self.chance.choice([len(old), len(now), self.chance.randint(*sorted((len(old), len(now))))])
        made, there = bytearray(old[:size].ljust(size, b"\0")), self.chance.choice([0.0, 0.5, 0.9, 1.0])
        for at in range(0, size, SECTOR):
            end = min(at + SECTOR, size)
            if now[at:end] != old[at:end] and self.chance.random() < there:
                made[at:end] = now[at:end].ljust(end - at, b"\0")
        return bytes(made)


def _sector(content: bytes, at: int) -> bytes:
    return content[at * SECTOR : (at + 1) * SECTOR]


def _read(handle: int) -> bytes:
    return os.pread(handle, os.fstat(handle).st_size, 0)


class Trial:
    """Some writers on one log, and what they were told. Every power loss is judged as it comes."""

    def __init__(self, work: Path, seed: int, draws: int, lies: float, fails: float, outcome: Outcome) -> None:
        self.work = work
        self.seed = seed
        self.chance = random.Random(seed)
        self.draws = draws
        self.outcome = outcome
        self.folder = work / "audit"
        self.disk = SimDisk(self.folder, random.Random(seed + 1), lies, fails if seed % 2 else 0.0)
        self.disk.crash, self.disk.meanwhile = self.lose_power, self.append_meanwhile
        self.acknowledged: list[str] = []
        self.begun: list[str] = []
        self.stores: list[Store] = []
        self.busy: Store | None = None
        self.waiting: list[tuple[Store, list[Receipt]]] = []
        self._seen: set[bytes] = set()

    def run(self) -> None:
        """Open, write, sign, end segments and epochs, die, close: in any order."""
        for _ in range(STEPS):
            step = self.chance.choice(
                [self.write] * 5 + [self.cover, self.cover, self.turn_key, self.join, self.leave, self.die]
            )
            self.attempt(step)
        while self.stores:
            self.attempt(self.leave)
        self.disk.close()

    def attempt(self, step: Callable[[], None]) -> None:
        """A step. Who meets with a fault of the disk is dead."""
        try:
            step()
        except (OSError, Broken):
            if not self.disk.fails:
                raise
            if self.busy in self.stores:
                self.bury(self.busy)

    # -- what writers do -----------------------------------------------------------------------------

    def one(self) -> Store:
        """A living writer."""
        if not self.stores:
            self.join()
        self.busy = self.chance.choice(self.stores)
        return self.busy

    def join(self) -> None:
        """One more writer."""
        if len(self.stores) < 3:
            joined = self.busy = Store(self.folder, key=KEY, disk=self.disk, patience=5)
            self.stores.append(joined)
            joined.open()

    def write(self) -> None:
        """A batch, of which the writer is told."""
        self.told(self.one().write(self.batch()))

    def batch(self) -> list[Record]:
        """Some records of some size: a call begins, and ends at once, later, in another writer, or never."""
        call = new_id()
        intent = CallIntent(call=call, action="a" * self.chance.choice([1, 1, 250]), resource="r")
        faults = [PluginFault(plugin="p")] * self.chance.choice([0, 0, 1, 4])
        self.begun.append(call)
        ended = [call] * self.chance.choice([0, 1, 1]) + [self.chance.choice(self.begun)] * self.chance.choice([0, 1])
        self.begun = [one for one in self.begun if one not in ended]
        return [intent, *faults, *(CallOutcome(call=one, outcome="released") for one in dict.fromkeys(ended))]

    def append_meanwhile(self) -> None:
        """While one syncs another appends; it is told nothing yet."""
        others = [one for one in self.stores if one not in [self.busy, *(one for one, _ in self.waiting)]]
        if others and self.chance.random() < 0.5:
            other = others[0]
            other._patience = 0  # who syncs may hold the lock, and in one thread nobody would ever give it back
            with suppress(Busy), other._appending() as found:
                results = other._put([*found, *self.batch()])
                self.waiting.append((other, [one for one in results if isinstance(one, Receipt)]))
            other._patience = 5

    def told(self, results: Sequence[object]) -> None:
        """What is durable from here on; and so is what others appended once they have waited for it."""
        self.acknowledged += [result.id for result in results if isinstance(result, Receipt)]
        waiting, self.waiting = self.waiting, []
        for other, receipts in waiting:
            self.busy = other
            other._reach(5)
            self.acknowledged += [receipt.id for receipt in receipts]

    def cover(self) -> None:
        """A checkpoint."""
        self.one().cover()
        self.told([])

    def turn_key(self) -> None:
        """A new epoch."""
        self.one().rotate_key()
        self.told([])

    def leave(self) -> None:
        """A writer closes."""
        gone = self.one()
        self.told([])
        while self.waiting:  # it may have appended once more meanwhile
            self.told([])
        self.busy = gone
        gone.seal([], 0)
        gone.drop()
        self.stores.remove(gone)
        self.told([])

    def die(self) -> None:
        """A writer is killed."""
        self.bury(self.one())

    def bury(self, gone: Store) -> None:
        """A writer is no more."""
        gone.drop()
        self.waiting = [(one, receipts) for one, receipts in self.waiting if one is not gone]
        self.stores.remove(gone)

    # -- what a power loss leaves ----------------------------------------------------------------------

    def lose_power(self) -> None:
        """Draw states, and open each one that was not seen before."""
        known = checkpoints.latest(self.folder)
        for _ in range(self.draws):
            state = self.disk.drawn()
            self.outcome.states += 1
            mark = hashlib.sha256(msgspec.msgpack.encode(sorted(state.items()))).digest()
            if mark in self._seen:
                continue
            self._seen.add(mark)
            self.outcome.distinct += 1
            place = self.work / "after"
            _lay_out(place, state)
            for what in self.judged(place / self.folder.name, known):
                self.outcome.wrong.append(f"seed {self.seed}, state {self.outcome.states}: {what}")
            shutil.rmtree(place)

    def judged(self, folder: Path, known: bytes | None) -> Iterator[str]:
        """What is wrong with one state."""
        if self.disk.lies:
            yield from self.noticed(folder, known)
            return
        before = verify(folder, KEY)
        if before.status == Status.TAMPERED:
            yield f"it looks tampered with: {before.problems[0].what}"
        why = reopened(folder)
        if why:
            yield f"it does not open again: {why}"
            return
        if self.outcome.distinct % 3 == 0:  # it takes as long as all the rest
            after = verify(folder, KEY)
            if after.status != Status.WHOLE:
                yield f"it is {after.status.name} at last: {after.problems[0].what}"
        ids = [str(record["id"]) for record in reader.records(folder)]
        if not set(self.acknowledged) <= set(ids) or len(set(ids)) != len(ids):
            yield "acknowledged records are lost, or stand twice"

    def noticed(self, folder: Path, known: bytes | None) -> Iterator[str]:
        """A lying disk: what a checkpoint covered is there, or whoever holds the checkpoint sees that it is not."""
        if known is None:
            return
        size = Checkpoint.parse(split(known)[0]).size
        signed = [str(record["id"]) for record in reader.records(self.folder)][:size]
        seen = verify(folder, vkey=checkpoints.vkey(self.folder), known=known).status
        there: list[str] = []
        with suppress(Exception):
            for record in reader.records(folder):  # what stands before the place where it breaks off counts
                there.append(str(record["id"]))
        if there[:size] != signed:
            self.outcome.losses += 1
            if seen in (Status.WHOLE, Status.INCOMPLETE):
                self.outcome.unnoticed += 1
                yield f"records that a checkpoint covered are lost, and it is {seen.name}"


def reopened(folder: Path) -> str:
    """Open a log as the next start of the machine does, and close it; why that failed, or ""."""
    real = composing._boot
    composing._boot = lambda: "another-boot"
    try:
        held = Store(folder, key=KEY, disk=Disk(), patience=1)
        held.open()
        held.seal([])
        held.drop()
    except (OSError, AigovError) as fault:
        return str(fault)
    finally:
        composing._boot = real
    return ""


def _lay_out(place: Path, state: State) -> None:
    for name, content in state.items():
        path = place / name
        if content is None:
            path.mkdir(parents=True)
        else:
            path.write_bytes(content)


def trials(
    work: Path, states: int, seed: int, lies: float, fails: float, draws: int = 6, progress: bool = False
) -> Outcome:
    """Trials until so many states were drawn."""
    outcome = Outcome()
    store.SEGMENT_BYTES, publish.SECONDS, publish.RECORDS = 2_500, 0, 20
    store.AGAIN_SECONDS = 0  # in one thread nobody writes while one waits
    while outcome.states < states:
        (work / "trial").mkdir()
        Trial(work / "trial", seed, draws, lies, fails, outcome).run()
        shutil.rmtree(work / "trial")
        seed += 1
        if progress:
            print(
                f"\r{outcome.states:,} states, {outcome.distinct:,} distinct, {len(outcome.wrong)} wrong",
                end="",
                flush=True,
            )
    return outcome


def main() -> None:
    """Lose power, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--states", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draws", type=int, default=6, help="states a moment: fewer make more trials of as many")
    parser.add_argument("--lying", action="store_true", help="a tenth of all syncs does nothing")
    parser.add_argument("--failing", action="store_true", help="in every second trial a few syncs fail")
    parser.add_argument("--folder", help="a folder to work in; one in memory is fastest")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        lies, fails = 0.1 * given.lying, FAILING * given.failing
        progress = sys.stdout.isatty()
        outcome = trials(Path(name), given.states, given.seed, lies, fails, given.draws, progress)
    print(msgspec.json.encode(outcome).decode() if given.json else f"{outcome}, {time.perf_counter() - began:.0f} s")
    sys.exit(bool(outcome.wrong))


if __name__ == "__main__":
    main()
