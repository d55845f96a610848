"""False alarms: logs that nobody touched, written by several processes at once of which some were killed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.tampering import crowd
from benchmarks.tampering.crowd import Crowd
from benchmarks.tampering.loggers import Aigov, Held, Logger

TAMPERED, WHOLE, INCOMPLETE, UNCHECKABLE = 1, 0, 2, 3


class Alarm(NamedTuple):
    """An honest log that a verifier refused: which one, when, and what it said."""

    seed: int
    when: str
    said: dict[str, int]


def ours(logger: Aigov, work: Path, seed: int) -> Iterator[Alarm]:
    """One honest log: after each kill it is incomplete at worst, and whole once somebody has closed it."""
    chance = random.Random(seed)
    made = Crowd(work / "audit", work / "notes", chance)
    for _ in range(chance.choice([1, 1, 2])):
        writers = chance.randrange(1, 4)
        made.round([crowd.write] * writers, chance.randrange(writers + 1))
        if made.folder.is_dir():
            said = logger.verdicts(made.folder, Held())
            if set(said.values()) - {WHOLE, INCOMPLETE, UNCHECKABLE}:
                yield Alarm(seed, "after a kill", said)
    made.recover()
    said = logger.verdicts(made.folder, logger.held(made.folder))
    if set(said.values()) != {WHOLE}:
        yield Alarm(seed, "closed", said)
    if made.lost_and_repeated() != (0, 0):
        yield Alarm(seed, "lost or repeated", said)
    shutil.rmtree(work)


def theirs(logger: Logger, work: Path, seed: int) -> Iterator[Alarm]:
    """The same for another logger. It is judged once its program has gone on after the kill, and closed."""
    chance = random.Random(seed)
    work.mkdir(parents=True)
    children = []
    for _ in range(chance.randrange(1, 4)):
        number = chance.getrandbits(32)
        child = os.fork()
        if not child:
            _until_done(logger, work / "audit", number)
        children.append(child)
    if chance.random() < 0.5:
        time.sleep(chance.random() * 0.02)
        os.kill(children[0], signal.SIGKILL)
    for child in children:
        os.waitpid(child, 0)
    child = os.fork()
    if not child:
        _until_done(logger, work / "audit", 1)
    os.waitpid(child, 0)
    said = logger.verdicts(work / "audit", Held())
    if any(said.values()):
        yield Alarm(seed, "closed", said)
    shutil.rmtree(work)


def _until_done(logger: Logger, folder: Path, seed: int) -> None:
    try:
        for part in range(5):
            logger.write(folder, 5, seed + part)
    finally:
        os._exit(0)


def alarms(logger: Logger, work: Path, logs: int, first: int = 0) -> Iterator[Alarm]:
    """What went wrong over `logs` honest logs, of which no two are alike."""
    for seed in range(first, first + logs):
        yield from ours(logger, work, seed) if isinstance(logger, Aigov) else theirs(logger, work, seed)
