"""No call without a record, whatever fails: `python -m tests.proofs.unrecorded [--calls 1000000] [--seed 0]`.

A governor is called in every way there is while the disk fails at some system call, keys cannot be read or were
altered, the table of people is broken, or the index is. The provider notes the moment at which it is called, the caller
the one at which an answer or a piece of a stream comes. Afterwards the segments are read apart from the log, of each
file only what a sync had covered (`door.py`): each call has to have its intent there, each released answer its outcome
and each released piece its `stream.opened`, and all of them from before that moment. Opened and closed once more the
log has to be whole. A call counts where a fault struck while it was under way. Ends with 1 where anything is missing,
or any call ended but with its answer or a refusal.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import json
import random
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec

from aigov import Denied, Governor
from aigov.audit import index, subjects, worker
from aigov.audit.log import Log
from aigov.audit.subjects import TABLE
from aigov.audit.verify import verify
from aigov.crypto import KeyRing
from aigov.errors import AuditUnavailable
from aigov.governor import BrokenObservers
from aigov.snapshot import load
from aigov.stores import LOG_LABEL, Stores
from aigov.types import Principal
from tests.proofs.door import PATIENCE_S, SHORT, SLOW, TORN, Door, Fault, standing

POLICY = f"""aigov: 1
layer: organisation
name: acme
access: {{model: access/model.conf, policy: access/policy.csv, trust_roles: true, roles: [asker]}}
privacy: {{default: allow}}
audit: {{on_failure: deny, patience_ms: {round(PATIENCE_S * 1000)}, people: {{to: "off"}}}}
"""
MODEL = """[request_definition]
r = sub, dom, obj, act
[policy_definition]
p = sub, dom, obj, act
[role_definition]
g = _, _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = g(r.sub, p.sub, r.dom) && r.dom == p.dom && r.obj == p.obj && r.act == p.act
"""
ASK = {"action": "chat", "resource": "model:m"}
LIFE = 100  # faulted calls of one log
CROWD = 8
SHAPES = ("function", "coroutine", "stream", "async stream", "pool", "tasks")
DISK: tuple[tuple[str, ...], ...] = (
    ("write",), ("sync",), ("open",), ("rename",), ("fstat",), ("stat",), ("pwrite",), ("pread",), ("flock",),
    ("scandir",), ("sync_folder",), ("fallocate",), ("write", "truncate"), ("sync", "truncate"), ("sync", "pwrite"),
)  # fmt: skip
CODES = (errno.EIO, errno.ENOSPC, errno.EROFS, errno.EACCES)
NTH = (1, 1, 1, 2, 2, 3, 4, 6)
PARTLY = {SLOW: "slow", SHORT: "short write", TORN: "torn write"}
OFTEN = 0.97
CROWDED = SHAPES.index("pool")
OTHERS = ("keys", "people", "index")


Calls = Callable[[int], list[tuple[float, float]]]


class Tally(msgspec.Struct, kw_only=True):
    """What was done and what is missing. `faulted`: calls that a fault struck; `by`: those, by fault and shape."""

    calls: int = 0
    faulted: int = 0
    by: dict[str, int] = {}
    provider: int = 0
    answers: int = 0
    pieces: int = 0
    refused: int = 0
    without_intent: int = 0
    without_outcome: int = 0
    without_opening: int = 0
    strange: list[str] = []

    @property
    def bad(self) -> bool:
        """Whether anything is missing."""
        return bool(self.without_intent or self.without_outcome or self.without_opening or self.strange)


class Noted:
    """The provider, and what was noted: calls, answers and pieces, each with what was durable at that moment."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.gov: Governor | None = None
        self.calls: list[tuple[str, int]] = []
        self.answers: list[tuple[str, int]] = []
        self.pieces: list[tuple[str, int]] = []

    def function(self, question: str) -> str:
        return self._called()

    async def coroutine(self, question: str) -> str:
        return self._called()

    def stream(self, question: str) -> Iterator[str]:
        call = self._called()
        yield from (call, call)

    async def astream(self, question: str) -> AsyncIterator[str]:
        call = self._called()
        for piece in (call, call):
            yield piece

    def _called(self) -> str:
        """Note the call by the id that it has in the record; it is the answer too, so that the caller knows it."""
        assert self.gov is not None
        call = self.gov._call.get()
        self.calls.append((call, self.door.clock))
        return call

    def answered(self, call: str) -> None:
        self.answers.append((call, self.door.clock))

    def came(self, call: str) -> None:
        self.pieces.append((call, self.door.clock))


class Policy:
    """A policy that lets everybody ask, read once for all logs: reading one takes as long as a hundred calls."""

    def __init__(self, work: Path) -> None:
        self.folder = work / "policies"
        (self.folder / "access").mkdir(parents=True)
        (self.folder / "organisation.yaml").write_text(POLICY, encoding="utf-8")
        (self.folder / "access" / "model.conf").write_text(MODEL, encoding="utf-8")
        (self.folder / "access" / "policy.csv").write_text("p, asker, t, model:m, chat\n", encoding="utf-8")
        self.keys = KeyRing.generate()
        self.loaded = load(self.folder, self.keys, BrokenObservers())


class Life:
    """One log and its governor, from the first call until it is judged."""

    def __init__(self, folder: Path, policy: Policy, chance: random.Random, tally: Tally) -> None:
        self.policy = policy
        self.chance = chance
        self.tally = tally
        self.door = Door()
        self.noted = Noted(self.door)
        self.audit = folder / "audit"
        self.made = 0
        self.counting = threading.Lock()
        self.refusals = 0

    def run(self, calls: int) -> None:
        """Call until so many calls were struck; judge what is on the disk."""
        before = self.tally.faulted
        with (
            standing(self.door),
            ThreadPoolExecutor(CROWD) as self.pool,
            asyncio.Runner() as self.loop,
            self._governor(self.policy.keys) as gov,
        ):
            self._serve(gov)
            self.rounds()[0](1)  # opened without a fault
            while self.tally.faulted - before < calls:
                self.round()
        self.judge()

    def _governor(self, keys: KeyRing) -> Governor:
        loaded = self.policy.loaded
        return Governor(self.policy.folder, keys, loaded, Stores.of(keys, self.audit, loaded.review_path))

    def _serve(self, gov: Governor) -> None:
        self.gov = self.noted.gov = gov
        guard = gov.guard(**ASK)
        self.function, self.coroutine = guard(self.noted.function), guard(self.noted.coroutine)
        self.stream, self.astream = guard(self.noted.stream), guard(self.noted.astream)

    # -- calls, in every shape -----------------------------------------------------------------------

    def rounds(self) -> Sequence[Calls]:
        """For each shape: make so many calls, and say when each began and ended."""
        return (
            lambda count: [self.ask(self._function) for _ in range(count)],
            lambda count: [self.loop.run(self.aask(self._coroutine)) for _ in range(count)],
            lambda count: [self.ask(self._stream) for _ in range(count)],
            lambda count: [self.loop.run(self.aask(self._astream)) for _ in range(count)],
            self._in_a_pool,
            lambda count: self.loop.run(self._as_tasks(count)),
        )

    def ask(self, work: Callable[[], None]) -> tuple[float, float]:
        """One call, as a person who may be new; when it began and ended."""
        began = time.monotonic()
        with self._ended(), self.gov.acting_as(self._somebody()):
            work()
        return began, time.monotonic()

    async def aask(self, work: Callable[[], Any]) -> tuple[float, float]:
        """The same of a task."""
        began = time.monotonic()
        with self._ended(), self.gov.acting_as(self._somebody()):
            await work()
        return began, time.monotonic()

    def _function(self) -> None:
        self.noted.answered(self.function("hello"))

    async def _coroutine(self) -> None:
        self.noted.answered(await self.coroutine("hello"))

    def _stream(self) -> None:
        for piece in self.stream("hello"):
            self.noted.came(piece)

    async def _astream(self) -> None:
        async for piece in self.astream("hello"):
            self.noted.came(piece)

    def _in_a_pool(self, count: int) -> list[tuple[float, float]]:
        shapes = [(self._function, self._stream)[at % 2] for at in range(max(count, CROWD))]
        return list(self.pool.map(self.ask, shapes))

    async def _as_tasks(self, count: int) -> list[tuple[float, float]]:
        shapes = [(self._coroutine, self._astream)[at % 2] for at in range(max(count, CROWD))]
        return await asyncio.gather(*map(self.aask, shapes))

    def _somebody(self) -> Principal:
        return Principal(id=f"p{self.chance.randrange(20)}", roles=("asker",), tenant="t")

    @contextmanager
    def _ended(self) -> Iterator[None]:
        """How a call ended: with its answer, or refused because it could not be recorded."""
        with self.counting:
            self.made += 1
        try:
            yield
        except Denied as denied:
            if denied.reason == "audit.unavailable":
                with self.counting:
                    self.refusals += 1
            else:
                self.tally.strange.append(denied.reason)
        except Exception as error:  # noqa: BLE001 - anything else is what must not be
            self.tally.strange.append(type(error).__name__)

    # -- faults --------------------------------------------------------------------------------------

    def round(self) -> None:
        """A fault, calls in one shape under it, and how many of them it struck."""
        self.refusals = 0
        shape = self.chance.choice((*range(len(SHAPES)), *range(CROWDED, len(SHAPES))))
        calls = self.rounds()[shape]
        if self.chance.random() < OFTEN:
            name, hit = self._with_the_disk(calls, shape >= CROWDED)
        else:
            name, hit = getattr(self, f"_with_{self.chance.choice(OTHERS)}")(calls)
        self.tally.faulted += hit
        for key in (name, SHAPES[shape]):
            self.tally.by[key] = self.tally.by.get(key, 0) + hit
        self.tally.refused += self.refusals

    def _with_the_disk(self, calls: Calls, crowd: bool) -> tuple[str, int]:
        """A system call on the way to the disk fails, once or from then on. Of a crowd those count that it refused."""
        which = self.chance.choice(DISK)
        effect = self.chance.choice((*CODES, SHORT, TORN) if which == ("write",) else CODES)
        if self.chance.random() < (0.05 if crowd else 0.005):
            effect = SLOW
        lasting = effect not in (SLOW, SHORT) and (len(which) > 1 or self.chance.random() < 0.5)
        fault = self.door.fault = Fault(frozenset(which), effect, self.chance.choice(NTH), lasting=lasting)
        spans = calls(1)
        self.door.fault = None
        struck = any(began <= at <= ended for at in fault.struck for began, ended in spans)
        name = "disk: " + (PARTLY.get(effect) or " ".join(which))
        return name, int(struck) and max(1, self.refusals if crowd else 0)

    def _with_keys(self, calls: Calls) -> tuple[str, int]:
        """A log that is opened anew finds its keys or its head gone or altered, or comes with another root key."""
        how = self.chance.choice(["gone", "altered", "head altered", "another root key"])
        self._close_log()
        if how == "another root key":
            self._under_another_root(calls)
            return f"keys: {how}", self.refusals
        place = self.audit / "head.json" if how == "head altered" else self.audit / "keys"
        with _swapped(place) as away:
            if how == "altered":
                place.mkdir()
                for key in away.iterdir():
                    (place / key.name).write_bytes(self._altered(key))
            elif how == "head altered":
                place.write_bytes(self._altered(away))
            calls(CROWD)
        self._close_log()
        return f"keys: {how}", self.refusals

    def _altered(self, path: Path) -> bytes:
        data = bytearray(path.read_bytes())
        data[self.chance.randrange(len(data))] ^= 1
        return bytes(data)

    def _under_another_root(self, calls: Calls) -> None:
        """A second governor on the same log, whose root key is another."""
        ours = self.gov
        with self._governor(KeyRing.generate()) as other:
            self._serve(other)
            calls(CROWD)
        self._serve(ours)

    def _close_log(self) -> None:
        """As a restart does: the log is opened anew at the next record, with its keys."""
        log = self.gov._stores._log
        if log is not None:
            with suppress(AuditUnavailable):
                log.close()

    def _with_people(self, calls: Calls) -> tuple[str, int]:
        """The table of people is gone, garbage, altered, or locked, when somebody has to be looked up."""
        how = self.chance.choice(["gone", "garbage", "altered", "locked"])
        people = self.gov._recorder.people
        people._known.clear()
        if how == "locked":
            with closing(sqlite3.connect(people.folder / TABLE, isolation_level=None)) as base:
                base.execute("BEGIN IMMEDIATE")
                base.execute("DELETE FROM subject")
                base.execute("COMMIT")  # everybody is a stranger now
                base.execute("BEGIN IMMEDIATE")
                calls(CROWD)
            return f"people: {how}", self.refusals
        with _swapped(people.folder) as away:
            if how != "gone":
                shutil.copytree(away, people.folder)
            if how == "garbage":
                for path in people.folder.glob(f"{TABLE}-*"):
                    path.unlink()
                (people.folder / TABLE).write_bytes(self.chance.randbytes(9_000))
            elif how == "altered":
                with closing(sqlite3.connect(people.folder / TABLE)) as base, base:
                    base.execute("UPDATE subject SET sealed = zeroblob(length(sealed))")
            calls(CROWD)
        people._known.clear()
        return f"people: {how}", self.refusals

    def _with_index(self, calls: Calls) -> tuple[str, int]:
        """The index beside the log is garbage, a folder, or locked, and is asked while calls are made."""
        how = self.chance.choice(["garbage", "a folder", "locked"])
        path = index.beside(self.audit)
        for old in path.parent.glob(f"{path.name}*"):
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        asked: list[tuple[float, float]] = []
        with ExitStack() as stack:
            if how == "a folder":
                path.mkdir()
            elif how == "garbage":
                path.write_bytes(self.chance.randbytes(9_000))
            else:
                base = stack.enter_context(closing(sqlite3.connect(path, isolation_level=None)))
                base.execute("BEGIN EXCLUSIVE")
            asking = threading.Thread(target=self._search, args=(asked,))
            asking.start()
            spans = calls(CROWD)
            asking.join()
        return f"index: {how}", sum(began <= end and start <= ended for began, ended in spans for start, end in asked)

    def _search(self, asked: list[tuple[float, float]]) -> None:
        """Ask the index; note when, where it could not answer or was made anew."""
        began, path, before = time.monotonic(), index.beside(self.audit), b""
        failed = False
        try:
            before = path.read_bytes()[:100]
            with index.Index(self.audit) as opened:
                opened.refresh()
        except OSError:
            failed = True
        if failed or path.read_bytes()[:100] != before:
            asked.append((began, time.monotonic()))

    # -- judging -------------------------------------------------------------------------------------

    def judge(self) -> None:
        """Hold what was noted against what is on the disk; opened and closed once more, the log is whole."""
        found = self.durable()
        Log.open(self.audit, key=self.policy.keys.derive(LOG_LABEL)).close()
        self.tally.strange += [fault.what for fault in verify(self.audit).problems[:1]]
        tally, noted = self.tally, self.noted
        tally.calls += self.made
        tally.provider += len(noted.calls)
        tally.answers += len(noted.answers)
        tally.pieces += len(noted.pieces)
        tally.without_intent += _missing(noted.calls, found, "call.intent")
        tally.without_outcome += _missing(noted.answers, found, "call.outcome")
        tally.without_opening += _missing(noted.pieces, found, "stream.opened")

    def durable(self) -> dict[tuple[str, str], int]:
        """The records of calls that would be there after a power loss, by kind and call: since when."""
        found: dict[tuple[str, str], int] = {}
        for path in sorted((self.audit / "seg").glob("*.jsonl")):
            inode, end = path.stat().st_ino, 0
            for line in path.read_bytes().splitlines(keepends=True):
                end += len(line)
                since = self.door.since(inode, end)
                if since is not None and line.endswith(b"\n"):
                    record = json.loads(line)
                    if "call" in record and record.get("outcome", "released") == "released":
                        found.setdefault((record["kind"], record["call"]), since)
        return found


def _missing(noted: Sequence[tuple[str, int]], found: dict[tuple[str, str], int], kind: str) -> int:
    """How many of these had no such record on the disk at their moment."""
    return sum(found.get((kind, call), sys.maxsize) > moment for call, moment in noted)


@contextmanager
def _swapped(place: Path) -> Iterator[Path]:
    """Have something else, or nothing, in the place of a file or folder for a while. Gives where it is meanwhile."""
    away = place.with_name("away")
    place.rename(away)
    try:
        yield away
    finally:
        if place.is_dir():
            shutil.rmtree(place)
        away.replace(place)


def trials(work: Path, calls: int, seed: int, progress: bool = False) -> Tally:
    """Lives of logs, until so many calls were struck by a fault."""
    tally, policy = Tally(), Policy(work)
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(worker, "RETRY_SECONDS", 0))
        stack.enter_context(mock.patch.object(subjects, "BUSY_S", 0.01))
        stack.enter_context(mock.patch.object(index, "BUSY_S", 0.01))
        while tally.faulted < calls:
            folder = work / f"life-{seed}"
            folder.mkdir()
            Life(folder, policy, random.Random(seed), tally).run(min(LIFE, calls - tally.faulted))
            shutil.rmtree(folder)
            seed += 1
            if progress:
                print(f"\r{tally.faulted:,} faulted calls", end="", flush=True)
    return tally


def table(tally: Tally) -> str:
    """The tally, for people."""
    lines = [f"{name:<28}{count:>9,}" for name, count in sorted(tally.by.items())]
    lines += [
        f"{name:<28}{getattr(tally, name):>9,}" for name in tally.__struct_fields__ if name not in ("by", "strange")
    ]
    return "\n".join([*lines, f"{'strange':<28}{len(tally.strange):>9,} {dict(Counter(tally.strange))}"])


def main() -> None:
    """Call, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", help="a folder to work in; one in memory is fastest")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        tally = trials(Path(name), given.calls, given.seed, sys.stdout.isatty() and not given.json)
    if given.json:
        print(msgspec.json.encode(tally).decode())
    else:
        print(f"\n{table(tally)}\n{time.perf_counter() - began:.0f} s, {time.process_time():.0f} s of CPU")
    sys.exit(tally.bad)


if __name__ == "__main__":
    main()
