"""The tamper bench: every kind of manipulation is noticed by both verifiers, and no honest log is called tampered with.

The bench runs as the command that it is, `python -m benchmarks.tamper`: it forks, which a test with threads cannot.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import aigov
from aigov.audit.disk import Disk
from aigov.audit.records import Actor, CallIntent, CallOutcome
from aigov.audit.store import Store
from benchmarks import tamper
from benchmarks.tampering.kinds import KINDS, Kind, World
from benchmarks.tampering.loggers import KEY, Aigov, Held, PrevHash, Structlog

ROOT = Path(aigov.__file__).parents[1]
VERIFIERS = ("aigov audit verify", "verify_standalone.py")


def bench(*arguments: str) -> dict[str, Any]:
    """What the bench says, in JSON. It works in memory where it can: no disk is on trial here."""
    memory = Path("/dev/shm")
    where = ["--folder", str(memory)] if os.access(memory, os.W_OK) else []
    command = [sys.executable, "-m", "benchmarks.tamper", "--ours", "--json", *where, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.stdout, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@pytest.mark.timeout(600)
def test_every_kind_is_noticed_every_time() -> None:
    for name, score in bench("--rounds", "4", "--logs", "0").items():
        assert name in VERIFIERS
        assert score["missed"] == [], name
        assert len(score["kinds"]) >= 70
        assert all(found == tried == 4 for found, tried in score["kinds"].values())


@pytest.mark.timeout(600)
def test_no_honest_log_raises_an_alarm() -> None:
    for name, score in bench("--rounds", "1", "--kind", "empty", "--logs", "300").items():
        assert score["false_alarms"] == [], name
        assert score["honest"] == 300


def test_the_bench_says_so_where_something_goes_unnoticed(tmp_path: Path) -> None:
    """Other loggers notice some kinds and not others: the copies are tampered with, and the verdicts are theirs."""
    expected = {
        "edit-verdict": {"prev_hash chain": 1, "structlog": 0},
        "edit-verdict-and-bind": {"prev_hash chain": 0, "structlog": 0},
        "delete-last": {"prev_hash chain": 0, "structlog": 0},
        "reverse": {"prev_hash chain": 1, "structlog": 1},
    }
    scores: dict[str, tamper.Score] = {}
    kinds = [kind for kind in KINDS if kind.name in expected]
    for logger in (PrevHash(), Structlog()):
        tamper.try_kinds(logger, scores, tmp_path / logger.name, 1, kinds)
    found = {kind.name: {name: scores[name].kinds[kind.name][0] for name in scores} for kind in kinds}
    assert found == expected
    assert set(scores["structlog"].missed) == {"edit-verdict 0 0", "edit-verdict-and-bind 0 0", "delete-last 0 0"}


@pytest.fixture(scope="module")
def unclosed(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A log as a kill leaves it right after a checkpoint, and another one."""
    work = tmp_path_factory.mktemp("unclosed")
    for name in ("log", "other"):
        store = Store(work / name, key=KEY, disk=Disk(), patience=5)
        store.open()
        for call in map(str, range(20)):
            intent = CallIntent(call=call, action="a", resource="r", actor=Actor(ref="c" * 32))
            store.write([intent, CallOutcome(call=call, outcome="released")])
            if call == "9":
                store._tail.rotate()
        store._publish(force=True)
        store.drop()
    for path in work.rglob("*.jsonl"):
        path.chmod(0o600)
    return World(work / "log", work / "log", work / "log", work / "other")


BEYOND = {"appended-torn", "append-and-bind"}  # after the last checkpoint: nobody can tell them from a crash
OF_ANY_LOG = [kind for kind in KINDS if not kind.only and not kind.known and kind.name not in BEYOND]


@pytest.mark.parametrize("kind", OF_ANY_LOG, ids=lambda kind: kind.name)
def test_in_a_log_that_nobody_closed_what_is_signed_cannot_be_changed_either(kind: Kind, unclosed: World) -> None:
    logger, chance = Aigov(), random.Random(kind.name)
    assert set(logger.verdicts(unclosed.log, Held()).values()) == {2}
    assert set(tamper.tamper(logger, kind, unclosed, chance).values()) == {1}
