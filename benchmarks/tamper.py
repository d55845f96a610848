"""Tampering with logs, beside other loggers: `python -m benchmarks.tamper [--rounds 20] [--logs 300] [--json]`.

Every kind of manipulation is done so many times to copies of real logs, each time at another place, and the
verifiers are asked, who hold the public key, and where the log went back a checkpoint from before. `-` stands where
a logger has no such thing. Then logs that nobody touched are written by several processes at once, of which some
are killed: whatever a verifier calls tampering there is a false alarm. `--every-bit` flips each bit of a small log.
The others: plain structlog, a `prev_hash` chain of one's own, and agent-governance-toolkit where
`agent-governance-toolkit-core` is installed. Exits 1 where our verifiers missed something or raised a false alarm.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.tampering.honest import alarms
from benchmarks.tampering.kinds import KINDS, Copy, Kind, World
from benchmarks.tampering.loggers import Aigov, Held, Logger, loggers

CALLS = 130


class Score(msgspec.Struct, kw_only=True):
    """How one verifier did: per kind how many manipulations it noticed, and of how many; and its false alarms."""

    kinds: dict[str, tuple[int, int]] = {}
    missed: list[str] = []
    honest: int = 0
    false_alarms: list[str] = []

    @property
    def noticed(self) -> int:
        """How many kinds it noticed every single time."""
        return sum(found == tried for found, tried in self.kinds.values())


def world(logger: Logger, work: Path, seed: int) -> World:
    """A log and its relatives."""
    made = World(work / "log", work / "older", work / "fork", work / "other")
    logger.write(made.log, CALLS, seed)
    shutil.copytree(made.log, made.older)
    shutil.copytree(made.log, made.fork)
    logger.write(made.log, CALLS, seed + 1)
    logger.write(made.fork, CALLS + 10, seed + 2)
    logger.write(made.other, 2 * CALLS, seed + 3)
    for path in work.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return made


def content(folder: Path) -> dict[str, bytes]:
    """Everything in a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def tamper(logger: Logger, kind: Kind, made: World, chance: random.Random) -> dict[str, int]:
    """Do it once to a copy, and ask. Done again where it came out as it was."""
    copy, before = made.log.with_name("copy"), content(made.log)
    while True:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(made.log, copy)
        kind.act(Copy(logger, made, copy, chance))
        if content(copy) != before:
            break
    held = logger.held(made.log)
    return logger.verdicts(copy, Held(held.vkey if kind.pinned else "", held.known if kind.known else b""))


def try_kinds(logger: Logger, scores: dict[str, Score], work: Path, rounds: int, kinds: Sequence[Kind]) -> None:
    """Every kind, `rounds` times over logs that differ."""
    for number in range(max(1, rounds // 10)):
        place = work / f"world-{number}"
        made = world(logger, place, number * 10)
        for said in logger.verdicts(made.log, logger.held(made.log)).values():
            assert said == 0, "the log to be tampered with is not whole"
        for kind in kinds:
            if kind.only and not isinstance(logger, kind.only):
                continue
            for turn in range(min(10, rounds)):
                chance = random.Random(f"{kind.name} {number} {turn}")
                for name, status in tamper(logger, kind, made, chance).items():
                    score = scores.setdefault(name, Score())
                    found, tried = score.kinds.get(kind.name, (0, 0))
                    score.kinds[kind.name] = found + (status != 0), tried + 1
                    if not status:
                        score.missed.append(f"{kind.name} {number} {turn}")
        shutil.rmtree(place)


def try_honest(logger: Logger, scores: dict[str, Score], work: Path, logs: int, first: int) -> None:
    """Honest logs."""
    names = [name for name, score in scores.items() if name in logger.verdicts(work / "nothing", Held())]
    for name in names:
        scores[name].honest += logs
    for alarm in alarms(logger, work / "honest", logs, first):
        for name in names:
            if alarm.said[name]:
                scores[name].false_alarms.append(f"log {alarm.seed}, {alarm.when}: {alarm.said[name]}")


def every_bit(work: Path) -> tuple[int, int]:
    """Each bit of a log of a few calls, one after the other; returns how many, and how many went unnoticed."""
    logger = Aigov()
    logger.write(work / "log", 3, 1)
    held, missed, tried = logger.held(work / "log"), 0, 0
    for path in [*logger.files(work / "log"), work / "log" / "checkpoint", work / "log" / "checkpoints.log"]:
        path.chmod(0o600)
        data = path.read_bytes()
        for bit in range(8 * len(data)):
            changed = bytearray(data)
            changed[bit // 8] ^= 1 << bit % 8
            path.write_bytes(changed)
            missed += sum(status == 0 for status in logger.verdicts(work / "log", held).values())
            tried += 1
        path.write_bytes(data)
    return tried, missed


def table(scores: dict[str, Score]) -> str:
    """The scores side by side."""
    names = list(scores)
    width = max(len(kind.says) for kind in KINDS) + 2
    rows = [" " * width + "  ".join(f"{number + 1:>5}" for number in range(len(names)))]
    for kind in KINDS:
        cells = []
        for name in names:
            found, tried = scores[name].kinds.get(kind.name, (0, 0))
            cells.append(f"{100 * found // tried:>4}%" if tried else f"{'-':>5}")
        rows.append(f"{kind.says:{width}}" + "  ".join(cells))
    rows += ["", *(f"{number + 1}  {name}: {summary(scores[name])}" for number, name in enumerate(names))]
    return "\n".join(rows)


def summary(score: Score) -> str:
    """One verifier's score in a line."""
    tried = sum(tried for _, tried in score.kinds.values())
    found = sum(found for found, _ in score.kinds.values())
    return (
        f"{score.noticed} of {len(score.kinds)} kinds noticed every time, {found:,} of {tried:,} manipulations; "
        f"{len(score.false_alarms)} false alarms on {score.honest:,} honest logs"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="how often each kind is done")
    parser.add_argument("--logs", type=int, default=100, help="how many honest logs are written")
    parser.add_argument("--first", type=int, default=0, help="the number of the first honest log")
    parser.add_argument("--kind", action="append", help="only this kind; may be given several times")
    parser.add_argument("--every-bit", action="store_true", help="flip each bit of a small log, and nothing else")
    parser.add_argument("--ours", action="store_true", help="leave the other loggers out")
    parser.add_argument("--folder", help="a folder to work in")
    parser.add_argument("--json", action="store_true", help="print the scores as JSON")
    given = parser.parse_args()
    began, scores = time.perf_counter(), dict[str, Score]()
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        if given.every_bit:
            tried, missed = every_bit(Path(name))
            print(f"{tried:,} bits flipped, {missed} unnoticed, {time.perf_counter() - began:.0f} s")
            sys.exit(bool(missed))
        chosen = [kind for kind in KINDS if not given.kind or kind.name in given.kind]
        for logger in [one for one in loggers() if isinstance(one, Aigov) or not given.ours]:
            try_kinds(logger, scores, Path(name), given.rounds, chosen)
            try_honest(logger, scores, Path(name), given.logs, given.first)
    if given.json:
        print(json.dumps(msgspec.to_builtins(scores)))
    else:
        print(table(scores))
        print(f"{time.perf_counter() - began:.0f} s")
    bad = [score for name, score in scores.items() if name in ("aigov audit verify", "verify_standalone.py")]
    sys.exit(any(score.missed or score.false_alarms for score in bad))


if __name__ == "__main__":
    main()
