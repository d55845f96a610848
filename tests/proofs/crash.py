"""Processes killed at random: `python -m tests.proofs.crash [--kills 100000] [--seed 0] [--folder DIR]`.

Four writers and a process that only signs share a log; each round kills some of them with SIGKILL at random moments.
What a writer was told is durable it notes in a file of its own. Whenever a log has seen enough kills it is opened and
closed once more, and then: no acknowledged record is lost, none stands twice, and both verifiers call it whole.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from benchmarks.tampering import crowd
from benchmarks.tampering.crowd import Crowd
from benchmarks.tampering.loggers import Aigov, Held

WRITERS = 4
KILLS_A_LOG = 60


class Toll(msgspec.Struct, kw_only=True):
    """What was done and what went wrong: acknowledged records lost, records that stand twice, logs called tampered,
    and each log that was not as it should be."""

    kills: int = 0
    logs: int = 0
    acknowledged: int = 0
    lost: int = 0
    repeated: int = 0
    tampered: int = 0
    unwhole: list[str] = []

    @property
    def bad(self) -> bool:
        """Whether anything went wrong."""
        return bool(self.lost or self.repeated or self.tampered or self.unwhole)


def one_log(work: Path, seed: int, kills: int, toll: Toll) -> None:
    """Kill `kills` processes of one log, or a few more, and hold the log against what they were told."""
    made, logger = Crowd(work / "audit", work / "notes", random.Random(seed)), Aigov()
    while made.killed < kills:
        made.round([crowd.write] * WRITERS + [crowd.sign], made.chance.randrange(1, WRITERS + 2))
        said = logger.verdicts(made.folder, Held()) if made.folder.is_dir() else {}
        if 1 in said.values():
            toll.tampered += 1
            _keep(made.folder, f"log {seed}, called tampered after a kill: {said}", toll)
    made.recover()
    lost, repeated = made.lost_and_repeated()
    said = logger.verdicts(made.folder, logger.held(made.folder))
    if any(said.values()):
        _keep(made.folder, f"log {seed}, not whole at its end: {said}", toll)
    toll.kills, toll.logs = toll.kills + made.killed, toll.logs + 1
    toll.acknowledged += len(made.acknowledged)
    toll.lost, toll.repeated = toll.lost + lost, toll.repeated + repeated
    shutil.rmtree(work)


def _keep(folder: Path, what: str, toll: Toll) -> None:
    """Put a log aside for whoever has to find out why."""
    kept = Path(tempfile.mkdtemp(prefix="aigov-crash-")) / "audit"
    shutil.copytree(folder, kept)
    toll.unwhole.append(f"{what}; kept in {kept}")


def main() -> None:
    """Kill, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", help="a folder to work in")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    toll, seed, began = Toll(), given.seed, time.perf_counter()
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        while toll.kills < given.kills:
            one_log(Path(name) / "work", seed, min(KILLS_A_LOG, given.kills - toll.kills), toll)
            seed += 1
            if not given.json and sys.stdout.isatty():
                print(f"\r{toll.kills:,} kills", end="", flush=True)
    said = msgspec.json.encode(toll).decode() if given.json else f"{toll}, {time.perf_counter() - began:.0f} s"
    print(said)
    sys.exit(toll.bad)


if __name__ == "__main__":
    main()
