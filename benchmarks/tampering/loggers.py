"""Loggers side by side: how each writes a log, what anybody can compute anew in it, and what its verifier says.

Every logger records the same calls: a verdict, an action, a time, and the person it was for. The log of this project
is verified twice, by `aigov audit verify` and by `tools/verify_standalone.py`; the others by what they bring along,
or, where they bring nothing, by as much as can be checked without holding more than the file.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NamedTuple

import structlog

from aigov import cli
from aigov.audit import known
from aigov.audit.canonical import link, origin_link, timestamp
from aigov.audit.disk import Disk
from aigov.audit.note import VerifierKey
from aigov.audit.records import Actor, CallIntent, CallOutcome, Record, Size, new_id
from aigov.audit.store import Store

KEY = b"k" * 32
ROOT = Path(__file__).parents[2]
Verdict = Literal["allow", "transform", "deny"]
Fact = tuple[str, str, Verdict]
VERDICTS: tuple[Verdict, ...] = ("allow", "transform", "deny")
Line = dict[str, Any]


class Held(NamedTuple):
    """What a verifier has from elsewhere: the public key, and a checkpoint that was accepted before; "" for none."""

    vkey: str = ""
    known: bytes = b""


class Logger:
    """A logger and its verifier. `verdict` and `time` say where a line has them; `text` is how it spells one."""

    name = ""
    verdict: tuple[str, ...] = ("verdict",)
    time: tuple[str, ...] = ("ts",)
    who: tuple[str, ...] = ("who",)

    def write(self, folder: Path, calls: int, seed: int) -> None:
        """Add so many calls to the log in `folder`, and close it."""
        raise NotImplementedError

    def files(self, folder: Path) -> list[Path]:
        """The files that hold records, in order."""
        return [folder / "audit.jsonl"]

    def text(self, line: Line) -> bytes:
        """A line as this logger spells it."""
        return json.dumps(line, sort_keys=True).encode()

    def bound(self, lines: Sequence[Line]) -> list[Line]:
        """The lines with everything made anew that needs no key."""
        return list(lines)

    def held(self, folder: Path) -> Held:
        """What somebody may hold of this log."""
        return Held()

    def verdicts(self, folder: Path, held: Held) -> dict[str, int]:
        """The exit status of each of its verifiers: 0 where nothing is wrong."""
        raise NotImplementedError


def facts(calls: int, seed: int) -> list[Fact]:
    """Who, what, verdict, of each call."""
    chance = random.Random(seed)
    return [
        (f"{chance.getrandbits(64):016x}", f"tool:{number % 7}", chance.choice(VERDICTS)) for number in range(calls)
    ]


class Structlog(Logger):
    """structlog to a file as JSON lines. Checked: every line is an object with its fields, and no time goes back."""

    name = "structlog"
    time = ("timestamp",)

    def write(self, folder: Path, calls: int, seed: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "audit.jsonl", "a", encoding="utf-8") as file:
            log = structlog.wrap_logger(
                structlog.WriteLogger(file),
                processors=[structlog.processors.TimeStamper("iso"), structlog.processors.JSONRenderer(sort_keys=True)],
                wrapper_class=structlog.make_filtering_bound_logger(0),
            )
            for who, action, verdict in facts(calls, seed):
                call = new_id()
                log.info("call.intent", call=call, who=who, action=action, verdict=verdict)
                log.info("call.outcome", call=call, outcome="released", verdict=verdict)

    def verdicts(self, folder: Path, held: Held) -> dict[str, int]:
        return {self.name: int(not _sound(folder / "audit.jsonl", self._follows))}

    @staticmethod
    def _follows(lines: list[Line]) -> bool:
        times = [str(line["timestamp"]) for line in lines]
        return times == sorted(times) and all({"event", "call", "verdict"} <= line.keys() for line in lines)


class PrevHash(Logger):
    """A chain of one's own, as many have it: each line holds the hash of the one before, and its own."""

    name = "prev_hash chain"

    def write(self, folder: Path, calls: int, seed: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "audit.jsonl"
        lines = [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
        before = len(lines)
        for who, action, verdict in facts(calls, seed):
            ts = timestamp(time.time_ns())
            lines.append({"ts": ts, "event": "call", "id": new_id(), "who": who, "action": action, "verdict": verdict})
        with path.open("ab") as file:
            file.writelines(self.text(line) + b"\n" for line in self.bound(lines)[before:])

    def bound(self, lines: Sequence[Line]) -> list[Line]:
        made: list[Line] = []
        for seq, line in enumerate(lines):
            bare = {name: value for name, value in line.items() if name != "hash"}
            bare |= {"seq": seq, "prev_hash": made[-1]["hash"] if made else "0" * 64}
            made.append(bare | {"hash": hashlib.sha256(self.text(bare)).hexdigest()})
        return made

    def verdicts(self, folder: Path, held: Held) -> dict[str, int]:
        return {self.name: int(not _sound(folder / "audit.jsonl", lambda lines: self.bound(lines) == lines))}


class Toolkit(Logger):
    """Microsoft's agent-governance-toolkit: `FileAuditSink`, which chains and signs (HMAC) each entry, and its
    `HashChainVerifier`, which is given the secret."""

    name = "agent-governance-toolkit"
    verdict = ("policy_decision",)
    time = ("timestamp",)
    who = ("agent_did",)

    def __init__(self) -> None:
        self._audit: Any = importlib.import_module("agentmesh.governance.audit")
        self._backends: Any = importlib.import_module("agentmesh.governance.audit_backends")

    def write(self, folder: Path, calls: int, seed: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        log = self._audit.AuditLog(sink=self._backends.FileAuditSink(folder / "audit.jsonl", KEY))
        for who, action, verdict in facts(calls, seed):
            log.log("call.intent", who, action, policy_decision=verdict, data={"call": new_id()})
            log.log("call.outcome", who, action, policy_decision=verdict, outcome="success")

    def text(self, line: Line) -> bytes:
        return json.dumps(line, sort_keys=True, default=str).encode()

    def bound(self, lines: Sequence[Line]) -> list[Line]:
        made: list[Line] = []
        for line in lines:
            entry = self._backends.SignedAuditEntry.model_validate(
                line | {"previous_hash": made[-1]["content_hash"] if made else ""}
            )
            made.append(entry.to_dict() | {"content_hash": entry._compute_content_hash()})
        return made

    def resigned(self, lines: Sequence[Line], secret: bytes) -> list[Line]:
        """The lines with everything made anew under a secret."""
        entries = [self._backends.SignedAuditEntry.model_validate(line) for line in self.bound(lines)]
        return [entry.to_dict() | {"signature": entry._compute_signature(secret)} for entry in entries]

    def verdicts(self, folder: Path, held: Held) -> dict[str, int]:
        good = False
        with contextlib.suppress(OSError, ValueError):  # it raises on what is no text: noticed, in a way
            good, _ = self._backends.HashChainVerifier().verify_file(folder / "audit.jsonl", KEY)
        return {self.name: int(not good)}


class Aigov(Logger):
    """The log of this project, of several segments and epochs."""

    name = "aigov"
    who = ("actor", "ref")

    def __init__(self) -> None:
        self._standalone = _module(ROOT / "tools" / "verify_standalone.py")

    def write(self, folder: Path, calls: int, seed: int) -> None:
        chance = random.Random(seed)
        store = Store(folder, key=KEY, disk=Disk(), patience=60)
        store.open()
        made = facts(calls, seed)
        for start in range(0, calls, 7):
            store.write(_records(made[start : start + 7]))
            store.cover() if chance.random() < 0.3 else store._publish(force=True)
            if start // 7 % 4 == 1:
                store.rotate_key()
            if start // 7 % 4 == 3:
                store._tail.rotate()
        store.seal([])
        store.drop()

    def files(self, folder: Path) -> list[Path]:
        return sorted((folder / "seg").glob("*.jsonl"))

    def text(self, line: Line) -> bytes:
        return json.dumps(line, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    def bound(self, lines: Sequence[Line]) -> list[Line]:
        """Numbers, links and each writer's own count."""
        made: list[Line] = []
        counts: dict[str, int] = {}
        last = origin_link(str(lines[0].get("origin", ""))) if lines else ""
        for seq, line in enumerate(lines):
            writer = line["writer"]
            count = counts.get(writer["id"], 0)
            counts[writer["id"]] = count + 1
            made.append(line | {"seq": seq, "prev": last, "writer": writer | {"wseq": count}})
            last = link(self.text(made[-1]))
        return made

    def held(self, folder: Path) -> Held:
        return Held((folder / "log.vkey").read_text().strip(), (folder / "checkpoint").read_bytes())

    def verdicts(self, folder: Path, held: Held) -> dict[str, int]:
        place, checkpoint = folder.with_name("known"), folder.with_name("known.checkpoint")
        for file in place.glob("*") if place.exists() else ():
            file.unlink()
        ours, theirs = ["audit", "verify", str(folder), "--known", str(place), "--json"], [str(folder)]
        if held.vkey:
            ours += ["--vkey", held.vkey]
            theirs += ["--vkey", held.vkey]
        if held.known:
            known.keep(place, VerifierKey.parse(held.vkey), held.known)
            checkpoint.write_bytes(held.known)
            theirs += ["--known", str(checkpoint)]
        return {
            "aigov audit verify": _quietly(lambda: cli.run(ours)),
            "verify_standalone.py": _quietly(lambda: int(self._standalone.main(theirs))),
        }


def _records(made: Sequence[Fact]) -> list[Record]:
    records: list[Record] = []
    for who, action, verdict in made:
        call = new_id()
        actor = Actor(ref=who, roles=("support-agent",), tenant="retail")
        if verdict != "deny":
            records.append(
                CallIntent(call=call, action=action, resource="r", actor=actor, verdict=verdict, size=Size())
            )
            records.append(CallOutcome(call=call, outcome="released"))
    return records


def _sound(path: Path, follows: Callable[[list[Line]], bool]) -> bool:
    """Whether a file is lines of JSON objects that fit together."""
    try:
        content = path.read_bytes()
        lines = [json.loads(line) for line in content.splitlines()]
        return content.endswith(b"\n") and all(isinstance(line, dict) for line in lines) and follows(lines)
    except (OSError, ValueError, KeyError):
        return False


def _quietly(run: Callable[[], int]) -> int:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return run()


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def loggers() -> list[Logger]:
    """This project's log, and the others that are here."""
    found: list[Logger] = [Aigov(), PrevHash(), Structlog()]
    with contextlib.suppress(ImportError):
        found.append(Toolkit())
    return found
