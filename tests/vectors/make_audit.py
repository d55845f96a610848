"""Make the vectors of logs anew: `python tests/vectors/make_audit.py [BEGINNING...]`. Those in `_fail` must be refused.

Each folder is a log as an auditor gets it. `pinned.vkey`, where it is there, is the key to verify with. Logs
that fail are one honest log with one thing done to it; where its name begins with `signed_`, whoever did it held
the log's own keys, so that nothing but the rules for records and checkpoints can refuse it.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from aigov.audit import canonical, checkpoints, keys, records
from aigov.audit import head as heads
from aigov.audit.disk import Disk
from aigov.audit.merkle import CompactRange, leaf_hash
from aigov.audit.note import Checkpoint, VerifierKey, sign
from aigov.audit.records import (
    CallDenied,
    CallIntent,
    CallOrphaned,
    CallOutcome,
    CallWithdrawn,
    PluginFault,
    Record,
    StreamOpened,
)
from aigov.audit.store import Store
from aigov.crypto import public_ed25519

HERE = Path(__file__).parent / "audit"
KEY = b"k" * 32
SEG = "seg/00000000.jsonl"
NEXT = "seg/00000001.jsonl"
LEFT_OUT = shutil.ignore_patterns("keys", "writers", "tile", "head.json", "*.lock", "reserve", "quarantine")


def calls(count: int) -> list[Record]:
    """Whole calls."""
    made: list[Record] = []
    for at in range(count):
        call = f"call-{at}"
        made += [CallIntent(call=call, action="chat", resource="r"), CallOutcome(call=call, outcome="released")]
    return made


def log(folder: Path, *parts: list[Record] | str, seal: bool = True) -> Path:
    """A log written part by part: records, or `rotate`, `segment`, `cover`, `reopen`, `abandon`."""
    disk = Failing()
    held = Store(folder, key=KEY, disk=disk, patience=5)
    held.open()
    remember(folder)
    for part in parts:
        if part == "rotate":
            held.rotate_key()
        elif part == "segment":
            held._tail.rotate()
        elif part == "cover":
            held._publish(force=True)
        elif part == "abandon":
            disk.fail = 1
        elif part == "reopen":
            held.seal([])
            held.drop()
            held = Store(folder, key=KEY, disk=disk, patience=5)
            held.open()
        elif not isinstance(part, str):
            held.write(part)
    if seal:
        held.seal([])
    held.drop()
    return folder


class Failing(Disk):
    """A disk whose next sync fails once where it is told to."""

    fail = 0

    def sync(self, handle: int) -> None:
        """Sync, or fail."""
        if self.fail:
            self.fail -= 1
            raise OSError(5, "a fault on order")
        super().sync(handle)


def honest(work: Path) -> Iterator[tuple[str, Path]]:
    """Logs that must pass."""
    for count in range(4):
        yield f"calls_{count}", log(work / f"calls{count}", calls(count))
        yield f"epochs_{count}", log(work / f"epochs{count}", *[calls(1), "rotate"] * (count + 1))
        yield f"segments_{count}", log(work / f"segments{count}", *[calls(1), "segment"] * (count + 1), calls(1))
        yield f"reopened_{count}", log(work / f"reopened{count}", *[calls(1), "reopen"] * (count + 1))
        yield f"checkpoints_{count}", log(work / f"checkpoints{count}", *[calls(1), "cover"] * (count + 1))
    yield "abandoned", log(work / "abandoned", calls(1), "abandon", calls(1), "cover")
    orphan = [CallIntent(call="c", action="a", resource="r"), CallOrphaned(call="c", left_by="w", why="crashed")]
    yield "orphaned", log(work / "orphaned", orphan)
    stream = [StreamOpened(call="s"), CallOutcome(call="s", outcome="released", released_chunks=3)]
    yield "streamed", log(work / "streamed", stream)
    yield (
        "withdrawn",
        log(work / "withdrawn", [CallIntent(call="c", action="a", resource="r"), withdrawn("call.intent")]),
    )
    late = [*calls(1), CallIntent(call="c", action="a", resource="r"), StreamOpened(call="c")]
    ended = [withdrawn("stream.opened"), CallOutcome(call="c", outcome="withheld"), withdrawn("call.outcome")]
    yield "withdrawn_later", log(work / "late", [*late, *ended])
    for name, change in TIMES.items():
        folder = log(work / name, calls(2), *(["reopen", calls(1)] if "again" in name else []))
        yield name, timed(folder, change)
    again = log(work / "again", calls(3))
    resigned(again, read_all(again))  # what is done to the logs that are named so is no reason to refuse them
    yield "signed_again", again
    text = PluginFault(plugin='é \u2028 \\ " \u007f 😀 \ud7ff', hook="/", error="a.b:C")
    yield "text", log(work / "text", [text])
    yield "numbers", log(work / "numbers", [records.Gap(count=2**53 - 1), records.SinkRecovered(refused=0)])
    for kind in (kind for kind in records.KINDS if kind not in (records.LogGenesis, records.LogSealed, CallIntent)):
        name = kind.kind().replace(".", "_")
        if kind in (records.KeyRotated, records.SegmentAbandoned, StreamOpened):
            continue
        yield f"kind_{name}", log(work / name, [example(kind)])


def withdrawn(of: str) -> CallWithdrawn:
    """A record of the call `c` that came too late."""
    return CallWithdrawn(call="c", record="id", of=of)  # type: ignore[arg-type]


MINUTES = 60_000_000
# What is done to a record, by its number: microseconds by the wall clock and by the monotonic one, and what it says.
Change = dict[int, tuple[int, int, dict[str, Any]]]
STEP = {"kind": "clock.step", "step_us": MINUTES, "back": True}
OTHER = {"kind": "writer.start", "torn_bytes": 0, "quarantine": "", "crashed": 0, "dead": []}
OTHER |= {"writer": {"id": "w", "pid": 1, "wseq": 0, "ver": ""}}
TIMES: dict[str, Change] = {
    "time_two_minutes": {3: (2 * MINUTES - 10**6, 2 * MINUTES - 10**6, {})},
    "time_asleep": {3: (600 * MINUTES, 0, {})},
    "time_step_back": {3: (-MINUTES, 0, STEP)},
    "time_again_after_an_hour": {7: (60 * MINUTES, 60 * MINUTES, {})},
}
FAILING_TIMES: dict[str, Change] = {
    "signed_time_back": {3: (-MINUTES, 0, {})},
    "signed_time_back_a_little": {3: (-(10**6), 0, {})},
    "signed_time_back_at_the_end": {6: (-MINUTES, 0, {})},
    "signed_silence": {3: (3 * MINUTES, 3 * MINUTES, {})},
    "signed_silence_before_the_seal": {8: (3 * MINUTES, 3 * MINUTES, {})},
    "signed_silence_then_another_start": {3: (0, 3 * MINUTES, OTHER)},
}


def timed(folder: Path, change: Change) -> Path:
    """A log whose records were made at other times, signed anew; whatever follows a changed one is moved with it."""
    made: list[bytes] = []
    counts: dict[str, int] = {}
    wall_us = mono_us = 0
    for number, line in enumerate(read_all(folder)):
        record = json.loads(line)
        wall, mono, says = change.get(number, (0, 0, {}))
        wall_us, mono_us = wall_us + wall, mono_us + mono
        for each in ([_saying(record, says)] if says else []) + [record]:
            writer = each["writer"]["id"]
            each["writer"]["wseq"] = counts[writer] = counts.get(writer, -1) + 1
            each["ts"] = canonical.timestamp((canonical.micros(record["ts"]) + wall_us) * 1000)
            each["mono_us"] = record["mono_us"] + mono_us
            each["seq"] = len(made)
            each |= {"prev": canonical.link(made[-1])} if made else {}
            each |= {"checkpoints": 0} if "checkpoints" in each else {}
            made.append(spelt(each))
            record = json.loads(line)
    resigned(folder, made)
    return folder


def _saying(record: dict[str, Any], says: dict[str, Any]) -> dict[str, Any]:
    """The envelope of a record, around something else that it says, or that another writer says."""
    kept = {name: record[name] for name in ("v", "seq", "prev", "id", "ts", "mono_us", "boot")}
    return {"writer": dict(record["writer"])} | kept | says


def example(kind: type[Record]) -> Record:
    """A record of a kind, with what it must have."""
    values = {"s": "x", "i": 1, "b": True}
    fields = {}
    for field in msgspec.inspect.type_info(kind).fields:  # type: ignore[attr-defined]
        if field.required:
            match field.type:
                case msgspec.inspect.IntType():
                    fields[field.name] = values["i"]
                case msgspec.inspect.BoolType():
                    fields[field.name] = values["b"]
                case msgspec.inspect.LiteralType():
                    fields[field.name] = field.type.values[0]
                case _:
                    fields[field.name] = values["s"]
    return kind(**fields)


# -- things done to a log without its keys --------------------------------------------------------


def read(folder: Path, name: str = SEG) -> list[bytes]:
    return (folder / name).read_bytes().splitlines()


def write(folder: Path, lines: list[bytes], name: str = SEG) -> None:
    (folder / name).write_bytes(b"".join(line + b"\n" for line in lines))


def changed(folder: Path, name: str, old: bytes, new: bytes) -> None:
    data = (folder / name).read_bytes()
    assert old in data, (name, old)
    (folder / name).write_bytes(data.replace(old, new, 1))


def unsigned() -> Iterator[tuple[str, Callable[[Path], None]]]:
    """What a thief of the folder can do."""
    for at in range(8):
        yield f"deleted_{at}", lambda f, at=at: write(f, read(f)[:at] + read(f)[at + 1 :])
        yield f"repeated_{at}", lambda f, at=at: write(f, read(f)[: at + 1] + read(f)[at:])
        yield f"swapped_{at}", lambda f, at=at: write(f, _swap(read(f), at, (at + 3) % 8))
        yield f"cut_{at}", lambda f, at=at: write(f, read(f)[:at])
        yield f"rechained_{at}", lambda f, at=at: write(f, chained(read(f), at))
    for name, old, new in [
        ("verdict", b'"verdict":"allow"', b'"verdict":"deny"'),
        ("outcome", b'"released"', b'"withheld"'),
        ("time", b'"ts":"2', b'"ts":"1'),
        ("action", b'"chat"', b'"chap"'),
        ("writer", b'"wseq":3', b'"wseq":4'),
        ("process", b'"pid":', b'"pid":1'),
        ("schema", b'aigov.audit/1"', b'aigov.audit/2"'),
        ("bit", b"chat", b"cha\xf4"),
        ("space", b'":', b'": '),
        ("empty_line", b"\n", b"\n\n"),
        ("carriage_return", b"\n", b"\r\n"),
    ]:
        yield f"changed_{name}", lambda f, old=old, new=new: changed(f, SEG, old, new)
    yield "torn", lambda f: (f / NEXT).write_bytes((f / NEXT).read_bytes()[:-1])
    yield "appended", lambda f: (f / NEXT).write_bytes((f / NEXT).read_bytes() + b"{}\n")
    yield "appended_torn", lambda f: (f / NEXT).write_bytes((f / NEXT).read_bytes() + b'{"v')
    yield "segment_first_gone", lambda f: (f / SEG).unlink()
    yield "segment_last_gone", lambda f: (f / NEXT).unlink()
    yield "segment_renamed", lambda f: (f / NEXT).rename(f / "seg/00000002.jsonl")
    yield "segment_more", lambda f: (f / "seg/00000002.jsonl").write_bytes(b"{}\n")
    yield "segments_swapped", _swap_segments
    yield "stranger", lambda f: (f / "more.jsonl").write_bytes(b"{}\n")
    yield "checkpoint_gone", lambda f: (f / "checkpoint").unlink()
    yield "checkpoint_empty", lambda f: (f / "checkpoint").write_bytes(b"")
    yield "checkpoints_gone", lambda f: (f / "checkpoints.log").unlink()
    yield "checkpoints_torn", lambda f: (f / "checkpoints.log").write_bytes((f / "checkpoints.log").read_bytes()[:-9])
    for at in range(4):
        yield f"checkpoint_left_out_{at}", lambda f, at=at: _notes(f, lambda notes: notes[:at] + notes[at + 1 :])
        yield f"checkpoint_repeated_{at}", lambda f, at=at: _notes(f, lambda notes: notes[: at + 1] + notes[at:])
    yield "checkpoints_reversed", lambda f: _notes(f, lambda notes: notes[::-1])
    yield "epoch_unsigned", lambda f: _notes(f, lambda notes: [*notes[:-1], _first_signature(notes[-1])])
    for name, old, new in [
        ("zero", b"\n2\n", b"\n02\n"),
        ("plus", b"\n2\n", b"\n+2\n"),
        ("size", b"\n2\n", b"\n3\n"),
        ("tab", b"\n2\n", b"\t2\n"),
        ("extension", b"\n\n", b"\nmore\n\n"),
        ("dash", "\u2014 ".encode(), b"- "),
        ("not_utf8", b"aigov", b"aig\xff"),
        ("origin", b"aigov.audit/", b"other.audit/"),
        ("padding", b"=\n", b"\n"),
        ("no_signature", "\u2014 ".encode(), b""),
    ]:
        yield f"note_{name}", lambda f, old=old, new=new: changed(f, "checkpoints.log", old, new)
    yield "key_of_another", lambda f: (f / "log.vkey").write_text(f"{other_key(f)}\n")
    yield "key_empty", lambda f: (f / "log.vkey").write_bytes(b"")
    yield "key_gone", lambda f: (f / "log.vkey").unlink()
    yield "key_twice", lambda f: (f / "log.vkey").write_bytes((f / "log.vkey").read_bytes() * 2)
    yield "key_id", lambda f: changed(f, "log.vkey", b"+", b"+0")
    yield "replaced_pinned", lambda f: resigned(f, read_all(f), forged=True)


def _swap(lines: list[bytes], one: int, two: int) -> list[bytes]:
    lines[one], lines[two] = lines[two], lines[one]
    return lines


def _swap_segments(folder: Path) -> None:
    first, second = read(folder), read(folder, NEXT)
    write(folder, second)
    write(folder, first, NEXT)


def _notes(folder: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    notes = change(list(checkpoints.Notes(folder / "checkpoints.log")))
    (folder / "checkpoints.log").write_bytes(b"".join(note + b"\n" for note in notes))
    (folder / "checkpoint").write_bytes(notes[-1])


def _first_signature(note: bytes) -> bytes:
    return b"".join(note.splitlines(keepends=True)[:5])


def _last_signature(note: bytes) -> bytes:
    lines = note.splitlines(keepends=True)
    return b"".join([*lines[:4], lines[-1]])


def chained(lines: list[bytes], at: int) -> list[bytes]:
    """A changed record, and every line after it bound anew."""
    made: list[bytes] = []
    for number, line in enumerate(lines):
        record = json.loads(line)
        if number == at:
            record["mono_us"] += 1
        if made:
            record["prev"] = canonical.link(made[-1])
        made.append(spelt(record))
    return made


def spelt(record: object) -> bytes:
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


# -- things done by whoever holds the keys -----------------------------------------------------------


def other_key(folder: Path) -> VerifierKey:
    own = checkpoints.vkey(folder)
    assert own is not None
    return VerifierKey(own.name, public_ed25519(bytes(32)))


def read_all(folder: Path) -> list[bytes]:
    return [line for path in sorted((folder / "seg").iterdir()) for line in path.read_bytes().splitlines()]


Signers = list[tuple[VerifierKey, bytes]]


def resigned(
    folder: Path,
    lines: list[bytes],
    *,
    forged: bool = False,
    claims: bool = False,
    also: Signers | None = None,
    about: str = "",
) -> None:
    """Write `lines` as one segment under one checkpoint, signed with the keys of the first epoch, or with another.

    Unless `claims`, the records say of earlier checkpoints that there are none. `about`: the log that it is about.
    """
    own = checkpoints.vkey(folder)
    assert own is not None
    signers = [(other_key(folder), bytes(32))] if forged else [*PRIVATE[str(own)], *(also or [])]
    key = signers[0][0]
    if forged:
        (folder / "pinned.vkey").write_text(f"{own}\n")
        (folder / "log.vkey").write_text(f"{key}\n")
        lines = bound([line.replace(str(own).encode(), str(key).encode()) for line in lines])
    if not claims:
        lines = bound([re.sub(rb'"checkpoints":\d+', b'"checkpoints":0', line) for line in lines])
    tree = CompactRange()
    for line in lines:
        tree.add(leaf_hash(line))
    for path in (folder / "seg").iterdir():
        path.unlink()
    write(folder, lines)
    note = sign(Checkpoint(about or key.name, tree.size, tree.root()).text(), signers)
    (folder / "checkpoints.log").write_bytes(note + b"\n")
    (folder / "checkpoint").write_bytes(note)


def bound(lines: list[bytes]) -> list[bytes]:
    """The lines, each bound to the one before, as far as it is bound to anything."""
    made: list[bytes] = []
    for line in lines:
        before = b'"prev":"%s"' % canonical.link(made[-1]).encode() if made else b""
        made.append(re.sub(rb'"prev":"[0-9a-f]{64}"', before, line, count=1) if made else line)
    return made


def numbered(lines: list[bytes]) -> list[bytes]:
    """The lines of one writer, numbered from 0."""
    records = [json.loads(line) for line in lines]
    return [spelt(record | {"seq": at, "writer": record["writer"] | {"wseq": at}}) for at, record in enumerate(records)]


PRIVATE: dict[str, Signers] = {}


def remember(folder: Path) -> None:
    """Keep the private keys of a log that has just begun, its own and the first epoch's, to sign it with."""
    head = heads.read(folder, KEY)
    assert head is not None
    both = [VerifierKey.parse(vkey) for vkey in (head.key, head.epoch_key)]
    PRIVATE[head.key] = [(key, keys.load(folder, key, KEY)) for key in both]


def signed() -> Iterator[tuple[str, Callable[[Path], None]]]:
    """What nobody but the keys' holder can do, and what the rules refuse all the same."""
    for name, old, new in [
        ("float", b'"released_chars":0', b'"released_chars":0.0'),
        ("exponent", b'"released_chars":0', b'"released_chars":0e0'),
        ("negative", b'"released_chars":0', b'"released_chars":-1'),
        ("minus_zero", b'"released_chars":0', b'"released_chars":-0'),
        ("too_large", b'"released_chars":0', b'"released_chars":9007199254740992'),
        ("null", b'"released_chars":0', b'"released_chars":null'),
        ("text_for_number", b'"released_chars":0', b'"released_chars":"0"'),
        ("boolean_for_number", b'"edits":0', b'"edits":false'),
        ("twice", b'"edits":0', b'"edits":0,"edits":0'),
        ("order", b'"call":"call-0","confidence_ppm":null', b'"confidence_ppm":null,"call":"call-0"'),
        ("space", b'"edits":0', b'"edits": 0'),
        ("escape", b'"released"', b'"\\u0072eleased"'),
        ("slash", b'"aigov.audit/1"', b'"aigov.audit\\/1"'),
        ("unknown_kind", b'"kind":"call.outcome"', b'"kind":"call.unknown"'),
        ("unknown_field", b'"v":"', b'"unknown":1,"v":"'),
        ("missing_field", b'"edits":0,', b""),
        ("unknown_word", b'"outcome":"released"', b'"outcome":"lost"'),
        ("key_not_ascii", b'"timing_us":{}', '"timing_us":{"é":1}'.encode()),
        ("surrogate", b'"error":""', b'"error":"\\ud800"'),
        ("nested", b'"reasons":[]', b'"reasons":[[]]'),
        ("constant", b'"edits":0', b'"edits":NaN'),
        ("array", b"{", b"[{"),
        ("byte_order_mark", b"{", b"\xef\xbb\xbf{"),
        ("tail", b'"v":"aigov.audit/1"', b'"v":"aigov.audit/1" '),
    ]:
        yield f"signed_{name}", lambda f, old=old, new=new: resigned(f, _outcome(read_all(f), old, new))
    yield (
        "signed_too_long",
        lambda f: resigned(f, _outcome(read_all(f), b'"error":""', b'"error":"' + b"x" * 17000 + b'"')),
    )
    yield "signed_number_skipped", lambda f: resigned(f, [_later(line) for line in read_all(f)])
    yield "signed_chain_broken", lambda f: resigned(f, _unbound(read_all(f)), claims=True)
    yield "signed_without_genesis", lambda f: resigned(f, _headless(read_all(f)))
    yield "signed_open_call", lambda f: resigned(f, numbered(_without(read_all(f), b'"call.outcome"')))
    yield "signed_unsealed", lambda f: resigned(f, _without(read_all(f), b'"log.sealed"'))
    for name, change in FAILING_TIMES.items():
        yield name, lambda f, change=change: timed(f, change)
    yield "signed_missing_checkpoints", lambda f: resigned(f, read_all(f), claims=True)
    yield "signed_without_the_epoch", lambda f: _notes(f, lambda notes: [*map(_first_signature, notes)])
    yield "signed_without_the_log", lambda f: _notes(f, lambda notes: [*map(_last_signature, notes)])
    yield "signed_for_another_log", lambda f: resigned(f, read_all(f), about="another.example/log")
    yield "signed_epoch_of_another_name", lambda f: resigned(f, _announcing(read_all(f), "another.example/log"))
    yield "signed_first_epoch_of_ones_own", lambda f: _begun_anew(f, "epoch_key")
    yield "signed_first_epoch_that_is_none", lambda f: _begun_anew(f, "epoch_key", named="")
    yield "signed_key_of_ones_own", lambda f: _begun_anew(f, "key")
    yield (
        "signed_writers_record_gone",
        lambda f: resigned(f, [re.sub(rb'"wseq":[5-9]', _one_more, line) for line in read_all(f)]),
    )


def _begun_anew(folder: Path, field: str, named: str | None = None) -> None:
    """The genesis names a key of a thief, which signs beside those that should."""
    thief, lines = other_key(folder), read_all(folder)
    lines[0] = spelt(json.loads(lines[0]) | {field: str(thief) if named is None else named})
    resigned(folder, lines, also=[(thief, bytes(32))])


def _announcing(lines: list[bytes], name: str) -> list[bytes]:
    """The lines, before the last one with the announcement of a key that has another name than the log."""
    last = json.loads(lines[-1])
    told = {
        "kind": "key.rotated",
        "epoch": 1,
        "next": str(VerifierKey(name, public_ed25519(bytes(32)))),
        "checkpoints": 0,
    }
    return numbered([*lines[:-1], spelt(_saying(last, told)), lines[-1]])


def _later(line: bytes) -> bytes:
    """A line with a number that is one more than it should be, from the fourth on."""
    return re.sub(rb'"seq":([4-9])', _one_more, line)


def _one_more(found: re.Match[bytes]) -> bytes:
    return re.sub(rb"\d+", lambda number: b"%d" % (int(number[0]) + 1), found[0])


def _unbound(lines: list[bytes]) -> list[bytes]:
    """The lines, of which one is bound to another than the one before, and the count of checkpoints is right."""
    lines = bound([re.sub(rb'"checkpoints":\d+', b'"checkpoints":0', line) for line in lines])
    lines[4] = re.sub(rb'"prev":"[0-9a-f]{64}"', b'"prev":"%s"' % canonical.link(lines[2]).encode(), lines[4])
    return [*lines[:4], *bound(lines[4:])]


def _headless(lines: list[bytes]) -> list[bytes]:
    """The lines without the genesis, in order from 0."""
    lines = numbered(lines[1:])
    lines[0] = spelt(json.loads(lines[0]) | {"prev": canonical.origin_link("")})
    return lines


def _without(lines: list[bytes], what: bytes) -> list[bytes]:
    return [line for line in lines if what not in line]


def _outcome(lines: list[bytes], old: bytes, new: bytes) -> list[bytes]:
    """The log with its first outcome spelt otherwise."""
    at = next(number for number, line in enumerate(lines) if b'"kind":"call.outcome"' in line)
    assert old in lines[at], old
    return [*lines[:at], lines[at].replace(old, new, 1), *lines[at + 1 :]]


def main(beginnings: tuple[str, ...]) -> None:
    """Write every folder anew, or those alone whose names begin so."""

    def put(title: str, folder: Path) -> Path:
        shutil.rmtree(HERE / title, ignore_errors=True)
        return Path(shutil.copytree(folder, HERE / title, ignore=LEFT_OUT))

    if "" in beginnings:
        shutil.rmtree(HERE, ignore_errors=True)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for title, folder in honest(work):
            if title.startswith(beginnings):
                put(title, folder)
        base = log(
            work / "base", calls(2), "cover", "rotate", calls(1), "segment", calls(1), "rotate", [example(CallDenied)]
        )
        flat = log(work / "flat", calls(3))
        for title, change in [*unsigned(), *signed()]:
            if title.startswith(beginnings):
                target = put(
                    f"{title}_fail", flat if title.startswith("signed_") and "checkpoints" not in title else base
                )
                for path in (target / "seg").iterdir():
                    path.chmod(0o644)
                change(target)
    for path in HERE.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or ("",))
