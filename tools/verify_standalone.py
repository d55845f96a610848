#!/usr/bin/env python3
"""Verify a log without the program that wrote it: Python 3.11, its standard library, and `cryptography`.

    python verify_standalone.py DIR [--vkey KEY] [--known CHECKPOINT]

Written from the specifications, to be read from top to bottom before it is trusted: RFC 6962 (Merkle trees),
RFC 8785 (canonical JSON), C2SP signed-note, tlog-checkpoint and tlog-tiles, and `docs/audit.md`. DIR is a log or
a copy of its `seg/`, `checkpoint`, `checkpoints.log` and `log.vkey` (`tile/` is checked where it is there).
KEY is the log's public key, from a source other than DIR; CHECKPOINT one that was accepted before.

Exits 0 whole and sealed; 1 tampered with; 2 incomplete or not sealed; 3 cannot be checked; 4 usage. Steps: 1. the key
2. the checkpoints  3. the segments and every line, clocks that go back, writers that were silent  4. the tree at each
checkpoint, both signatures, the tiles  5. the end  6. calls without an end. Every fault is printed; the worst decides.
"""

import argparse
import base64
import hashlib
import json
import os
import pathlib
import re
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

WHOLE, TAMPERED, INCOMPLETE, UNCHECKABLE, USAGE = 0, 1, 2, 3, 4
WORDS = ("whole", "tampered", "incomplete or unsealed", "cannot be checked")
MAX_LINE, MAX_INT, MAX_NOTE, SILENCE_US = 16 * 1024, 2**53 - 1, 64 * 1024, 120_000_000

# What a record may hold: names and types. s text, i integer from 0 to 2^53 - 1, b boolean; a|b one of these words; a
# Name stands for a row of this table; ? or null, * a list of it, % a map from ASCII names to it; + the fields of.
TABLE = """
Verdict :allow|deny|review|transform; Outcome :abandoned|cancelled|provider.error|released|review|withheld
Writer id:s pid:i wseq:i ver:s; Actor ref:s roles:s* tenant:s on_behalf_of:s*; Reason code:s rule:s layer:s
Shadow verdict:Verdict code:s rule:s layer:s; Counted type:s kind:s count:i max_ppm:i action:s; Size parts:i chars:i
Payload id:s commit:s digest:s bytes:i; Access rule:s path:s* near:s break_glass:s until_ts:s
Envelope v:aigov.audit/1 kind:s seq:i prev:s id:s ts:s mono_us:i boot:s writer:Writer
Judged verdict:Verdict reasons:Reason* shadow:Shadow* findings:Counted* size:Size omitted:i
Call +Judged call:s action:s resource:s actor:Actor? parent:s? session:s policy:s plugins:s edits:i ticket:s?
Call timing_us:i% access:Access?
log.genesis origin:s key:s epoch_key:s; log.sealed records:i checkpoints:i; writer.stop; heartbeat
writer.start torn_bytes:i quarantine:s crashed:i dead:s*; clock.step step_us:i back:b; sink.recovered refused:i
key.rotated epoch:i next:s checkpoints:i; segment.abandoned segment:i bytes:i error:s; sink.degraded error:s
gap count:i first_ts:s last_ts:s error:s; call.withdrawn call:s record:s of:call.intent|call.outcome|stream.opened
call.intent +Call payload:Payload?; call.denied +Call step:i; call.orphaned call:s left_by:s why:closed|crashed
call.outcome +Judged call:s outcome:Outcome error:s payload:Payload? released_chars:i released_chunks:i edits:i
call.outcome restored:i confidence_ppm:i? ticket:s? timing_us:i%
stream.opened call:s verdict:Verdict reasons:Reason* size:Size payload:Payload? chunks:i omitted:i
review.opened call:s ticket:s direction:input|output reasons:Reason* expires_ts:s omitted:i
review.decided ticket:s call:s by:s approved:b edited:b; policy.activated policy:s plugins:s layer:s name:s
policy.rejected policy:s problems:i first:s; policy.lockdown by:s reason:s; policy.lifted by:s
plugin.loaded plugin:s version:s digest:s hooks:s*; plugin.fault plugin:s hook:s error:s call:s?
subject.erased erasure:s pseudonym:s pseudonyms:i basis:s by:s blobs:i bytes:i; audit.read by:s content:s call:s
legal_hold.set pseudonym:s reason:s by:s; legal_hold.released pseudonym:s reason:s by:s holds:i
content.expired blobs:i bytes:i held:i
"""
TYPES: dict = {}
for _name, *_fields in (row.split() for row in TABLE.strip().replace("\n", ";").split(";")):
    _row = TYPES.setdefault(_name, dict(TYPES["Envelope"]) if _name.islower() else {})
    for _field in _fields:
        _row.update(TYPES[_field[1:]] if _field[0] == "+" else [_field.split(":", 1)])


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


class Tree:
    """A growing RFC 6962 tree: for each height, the subtree of that height that waits for its right neighbour."""

    def __init__(self, leaves: list[bytes] = ()) -> None:
        self.waiting: list[bytes | None] = []
        for leaf in leaves:
            self.add(leaf)

    def add(self, node: bytes) -> None:
        height = 0
        while height < len(self.waiting) and (left := self.waiting[height]) is not None:
            node, self.waiting[height], height = sha256(b"\x01" + left + node), None, height + 1
        self.waiting[height : height + 1] = [node]

    def root(self) -> bytes:
        right = None
        for left in filter(None, self.waiting):
            right = left if right is None else sha256(b"\x01" + left + right)
        return right or sha256(b"")


def unbase64(text: str) -> bytes:
    data = base64.b64decode(text.encode(), validate=False)
    if not data or base64.b64encode(data).decode() != text:
        raise ValueError("not base64 in its one spelling")
    return data


class Key:
    """A verifier key: `name+id+base64(0x01 and the Ed25519 public key)`."""

    def __init__(self, vkey: str) -> None:
        self.name, identity, encoded = (vkey + "++").split("+", 2)
        body = unbase64(encoded.removesuffix("++"))
        self.id = sha256(self.name.encode() + b"\n" + body)[:4]
        if not self.name or re.search(r"\s", self.name) or len(body) != 33 or body[0] != 1 or identity != self.id.hex():
            raise ValueError("not an Ed25519 verifier key")
        self.public, self.print = Ed25519PublicKey.from_public_bytes(body[1:]), sha256(body[1:]).hex()[:32]


class Checkpoint:
    """A signed note about a log: its origin, its size, its root, and who signed it."""

    def __init__(self, note: bytes) -> None:
        whole = note.decode("utf-8")
        text, empty, tail = whole.rpartition("\n\n")
        controls = re.search(r"[\x00-\x09\x0b-\x1f]", whole)
        if len(note) > MAX_NOTE or not empty or not tail.endswith("\n") or tail.count("\n") > 64 or controls:
            raise ValueError("not a signed note")
        self.text = text + "\n"
        self.signatures: list[tuple[str, bytes, bytes]] = []
        for line in tail[:-1].split("\n"):
            name, space, encoded = line.removeprefix("\u2014 ").partition(" ")
            raw = unbase64(encoded)
            if not line.startswith("\u2014 ") or not space or re.search(r"^$|\s|\+", name) or len(raw) <= 4:
                raise ValueError("not a signature line")
            self.signatures.append((name, raw[:4], raw[4:]))
        lines = self.text.split("\n")
        if len(lines) != 4 or not lines[0] or not re.fullmatch(r"0|[1-9][0-9]{0,18}", lines[1]):
            raise ValueError("not a checkpoint")
        self.origin, self.size, self.root = lines[0], int(lines[1]), unbase64(lines[2])
        if len(self.root) != 32 or self.size > 2**63 - 1:
            raise ValueError("not a checkpoint")

    def is_signed_by(self, key: Key) -> bool:
        """Every signature that names the key must be right, and there must be one."""
        ours = [signature for name, identity, signature in self.signatures if (name, identity) == (key.name, key.id)]
        try:
            return bool([key.public.verify(signature, self.text.encode()) for signature in ours])
        except InvalidSignature:
            return False


def notes_of(data: bytes) -> tuple[list[bytes], bytes]:
    """The notes of `checkpoints.log`, each followed by an empty line, and what is left of one cut short."""
    data, zeros, _ = data.partition(b"\0")  # what a power loss took reads as zeros; nothing follows it
    *blocks, rest = data.split(b"\n\n")
    if len(blocks) % 2:
        rest = blocks.pop() + b"\n\n" + rest
    return [blocks[at] + b"\n\n" + blocks[at + 1] + b"\n" for at in range(0, len(blocks), 2)], rest + zeros


def fits(value: object, code: str) -> bool:
    """Whether a value is of a type as the table writes it; of a struct exactly its fields."""
    last, inner = code[-1], code[:-1]
    if last == "?":
        return value is None or fits(value, inner)
    if last == "*":
        return isinstance(value, list) and all(fits(one, inner) for one in value)
    if last == "%":
        return isinstance(value, dict) and all(name.isascii() and fits(one, inner) for name, one in value.items())
    if code in ("s", "b"):
        return isinstance(value, str if code == "s" else bool)
    if code == "i":
        return type(value) is int and 0 <= value <= MAX_INT
    kind = TYPES.get(code, {"": code})
    if "" in kind:
        return isinstance(value, str) and value in kind[""].split("|")
    return isinstance(value, dict) and value.keys() == kind.keys() and all(fits(value[n], kind[n]) for n in kind)


def parse(line: bytes) -> dict:
    """The record of a line; raises ValueError unless it is one, in the one spelling that it may have."""
    if len(line) > MAX_LINE:
        raise ValueError("too long for a record")
    try:
        record = json.loads(line.decode("utf-8"))
        again = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        again = b""
    if not line or again != line or not isinstance(record, dict):
        raise ValueError("not JSON in canonical form")
    kind = record.get("kind")
    if not isinstance(kind, str) or not kind.islower() or kind not in TYPES or not fits(record, kind):
        raise ValueError("not a record as a known kind has it")
    return record


class Verifier:
    """One run over one folder."""

    def __init__(self, folder: str, vkey: str) -> None:
        self.folder, self.vkey, self.known, self.tree, self.rows, self.faults = folder, vkey, None, Tree(), {}, []
        self.fault = lambda *fault: self.faults.append(fault)
        self.count = self.judged = self.covered = self.last_size = 0
        self.previous = self.announced = self.last_kind = ""
        self.sound, self.epoch, self.writers, self.open, self.loose = True, None, {}, set(), []
        self.at_work, self.owing, self.clock = set(), set(), ("", 0, "")

    def verify(self) -> None:
        latest = self.read("checkpoint")  # published last, so read first
        notes, torn = notes_of(self.read("checkpoints.log") or b"")
        self.key = self.own_key()  # 1
        self.due = self.in_order(notes)  # 2
        segments, self.signed = self.segments(), len(notes_of(self.read("checkpoints.log") or b"")[0])
        for path, end, after in segments:  # 3 and 4
            self.lines(path, end, after)
        if self.key is not None:  # 5
            self.end(notes, torn, latest)
        sealed = self.key is not None and self.last_kind == "log.sealed" and self.covered == self.count
        for name in self.loose:  # durable once the log is sealed, made anew at its next start
            self.fault(TAMPERED if sealed else INCOMPLETE, name, "not the hashes of the records")
        if not sealed:
            self.fault(INCOMPLETE, "seg", "not sealed: a writer is at work, or ended without closing")
        if self.open:  # 6
            self.fault(INCOMPLETE, "seg", f"{len(self.open)} calls have an intent and no outcome")

    def read(self, name: str) -> bytes | None:
        path = pathlib.Path(self.folder, name)
        return path.read_bytes() if path.exists() else None

    def own_key(self) -> Key | None:
        given, content = self.vkey, self.read("log.vkey")
        if not given and content is None:
            return self.fault(UNCHECKABLE, "log.vkey", "there is no key to check it with")
        try:
            self.vkey, newline, more = (f"{given}\n" if given else content.decode("utf-8", "replace")).partition("\n")
            return Key(self.vkey if newline and not more else "")
        except ValueError as bad:
            return self.fault(UNCHECKABLE, "--vkey", str(bad)) if given else self.fault(TAMPERED, "log.vkey", str(bad))

    def in_order(self, notes: list[bytes]) -> list[Checkpoint]:
        due: list[Checkpoint] = []
        for note in notes if self.key is not None else []:
            try:
                due.append(Checkpoint(note))
                if len(due) > 1 and due[-1].size <= due[-2].size:
                    raise ValueError(f"a checkpoint over {due.pop().size} records stands out of order")
            except ValueError as bad:
                self.sound = False
                self.fault(TAMPERED, "checkpoints.log", str(bad))
        return due

    def segments(self) -> list[tuple[str, int, int]]:
        """The segment files in order, where the records of each end, and how many bytes follow."""
        base = os.path.join(self.folder, "seg")
        there = [(place, name) for place, _, files in os.walk(self.folder) for name in files if name.endswith(".jsonl")]
        names = sorted(name for name in os.listdir(base) if re.fullmatch(r"[0-9]{8}\.jsonl", name))  # last: writers add
        if names != [f"{number:08d}.jsonl" for number in range(len(names))]:
            self.fault(TAMPERED, "seg", "a segment is missing")
        for place in sorted({place for place, name in there if place != base or name not in names}):
            self.fault(TAMPERED, place, "no writer made a file there")
        found = []
        for at, name in enumerate(names):
            size = end = os.path.getsize(os.path.join(base, name))
            if at + 1 < len(names):  # a sync failed: the next segment says where this one ends
                with open(os.path.join(base, names[at + 1]), "rb") as file:
                    first = file.readline(MAX_LINE + 1).removesuffix(b"\n")
                left = re.search(rb'"bytes":(\d{1,16}),.*"kind":"segment.abandoned",.*"segment":(\d{1,16}),', first)
                end = min(size, int(left[1])) if left and int(left[2]) == int(name[:8]) else size
            found.append((os.path.join(base, name), end, size - end))
        return found

    def lines(self, path: str, end: int, after: int) -> None:
        where, left, number = os.path.relpath(path, self.folder), end, 0
        with open(path, "rb") as file:
            while left and (line := file.readline(left)):
                left, number = left - len(line), number + 1
                if line.endswith(b"\n") and b"\0" not in line:
                    self.line(f"{where}:{number}", line[:-1])
                else:  # what a power loss took reads as zeros; what is signed beyond it will be missed
                    left = after = self.fault(INCOMPLETE, where, "the last line is torn") or 0
        if after:
            self.fault(INCOMPLETE, where, "bytes after the end of an abandoned segment")

    def line(self, where: str, line: bytes) -> None:
        leaf = sha256(b"\x00" + line)
        try:
            self.record(where, parse(line))
        except ValueError as bad:
            self.fault(TAMPERED, where, f"record {self.count}: {bad}")
        self.count, self.previous = self.count + 1, leaf.hex()
        self.tree.add(leaf)
        self.tile(0, leaf) if self.key else None
        if self.known and self.known.size == self.count:
            if self.known.root != self.tree.root():
                self.fault(TAMPERED, "", "not the log that was accepted before")
            self.known = None
        while self.due and self.due[0].size <= self.count:
            self.judge(self.due.pop(0))

    def record(self, where: str, record: dict) -> None:
        """In sequence, bound to the one before, next of its writer; and what it means."""
        kind = self.last_kind = record["kind"]
        if not self.count:
            origin = record.get("origin", "")
            self.previous = sha256(b"\x00aigov.audit/1 origin " + origin.encode()).hex()
            first = self.epoch = Key(record.get("epoch_key", ""))  # the log is named after it
            named = first.name == origin == "aigov.audit/" + first.print
            if not named or (self.key and (origin, record["key"]) != (self.key.name, self.vkey)):
                self.fault(TAMPERED, where, "not the first record of the log of this key")
        if record["seq"] != self.count or record["prev"] != self.previous:
            self.fault(TAMPERED, where, f"record {self.count} does not follow: it or the one before was changed")
        writer = record["writer"]
        if writer["wseq"] != self.writers.get(writer["id"], 0):
            self.fault(TAMPERED, where, f"record {self.count} is not the next of its writer")
        self.writers[writer["id"]] = writer["wseq"] + 1
        signed = record.get("checkpoints", 0)  # some of them maybe since the checkpoints were read, if none is due
        if self.key and self.judged < signed and (self.due or self.signed < signed):
            self.fault(TAMPERED, "checkpoints.log", f"checkpoints are missing before record {self.count}")
        self.announced = record["next"] if kind == "key.rotated" else self.announced
        if kind in ("call.intent", "stream.opened"):
            self.open.add(record["call"])
        elif kind in ("call.outcome", "call.orphaned") or record.get("of") == "call.intent":
            self.open.discard(record["call"])
        self.pulse(where, record, kind, writer["id"])

    def pulse(self, where: str, record: dict, kind: str, writer: str) -> None:
        """The clock goes back only where a record says so; no writer at work is silent for more than two minutes."""
        starts, dead, (ts, mono_us, boot) = kind == "writer.start", set(record.get("dead", ())), self.clock
        if record["ts"] < ts and kind != "clock.step":
            self.fault(TAMPERED, where, f"record {self.count}: the clock goes back, and no record says so")
        self.at_work, self.owing = self.at_work - dead, self.owing - dead
        if record["boot"] != boot or record["mono_us"] - mono_us > SILENCE_US:
            self.owing |= self.at_work
        if writer in self.owing and not starts:
            self.fault(INCOMPLETE, where, f"record {self.count}: a writer was at work, and silent for over two minutes")
        self.owing.discard(writer)
        if kind in ("writer.start", "writer.stop"):
            (self.at_work.add if starts else self.at_work.discard)(writer)
        elif kind == "log.sealed":
            self.at_work = set()
        self.clock = record["ts"], record["mono_us"], record["boot"]

    def judge(self, checkpoint: Checkpoint) -> None:
        """4: the log's key, the key of the epoch, and the root of the tree at this very size."""
        self.judged, self.last_size = self.judged + 1, checkpoint.size
        signed = self.epoch and all(map(checkpoint.is_signed_by, [self.key, self.epoch]))
        if not signed or checkpoint.origin != self.key.name or checkpoint.root != self.tree.root():
            self.sound, what = False, "that of the records" if signed else "signed as it must be"
            self.fault(TAMPERED, "checkpoints.log", f"the one over {checkpoint.size} records is not {what}")
        self.covered = checkpoint.size if self.sound else self.covered
        if self.announced:  # the key of the next epoch signs from the next checkpoint on
            try:
                announced, self.announced = Key(self.announced), ""
                self.epoch = announced if announced.name == self.key.name else Key("")
            except ValueError:
                self.fault(TAMPERED, "seg", "the log announces a key that is none of its own")

    def tile(self, level: int, node: bytes) -> None:
        """Tiles of 256 hashes, each over 256 of the level below, must be those of the records."""
        row = self.rows.setdefault(level, [])
        row.append(node)
        if len(row) < 256:
            return
        at, hashes = (self.count >> 8 * (level + 1)) - 1, b"".join(self.rows.pop(level))
        *high, low = re.findall("...", str(at).zfill(-(-len(str(at)) // 3) * 3))
        name = "/".join(["tile", str(level), *("x" + group for group in high), low])
        found = self.read(name) if os.path.isdir(os.path.join(self.folder, "tile")) else hashes
        if found != hashes and (found is not None or self.due):
            self.loose.append(name)
        self.tile(level + 1, Tree(row).root())

    def end(self, notes: list[bytes], torn: bytes, latest: bytes | None) -> None:
        """5: nothing is covered that is not there, nothing is there that is not covered."""
        if self.known:
            self.fault(TAMPERED, "", "shorter than the log that was accepted before")
        if self.due:
            self.fault(TAMPERED, "checkpoints.log", f"one covers {self.due[0].size} records of {self.count}")
        if torn:
            self.fault(INCOMPLETE, "checkpoints.log", "the last checkpoint is torn")
        if not self.judged and latest is None:
            return self.fault(UNCHECKABLE, "checkpoint", "nothing here is signed")
        if latest != (notes[-1] if notes else b""):
            status = INCOMPLETE if latest is None or latest in notes else TAMPERED
            self.fault(status, "checkpoint", "not the last one of checkpoints.log")
        if self.count > self.last_size:
            self.fault(INCOMPLETE, "checkpoint", f"{self.count - self.last_size} records are in no checkpoint yet")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.error = lambda message: sys.exit(print(message, file=sys.stderr) or USAGE)  # type: ignore[method-assign]
    for name, default in (("folder", ""), ("--vkey", ""), ("--known", "")):
        parser.add_argument(name, default=default)
    run = Verifier((given := parser.parse_args(arguments)).folder, given.vkey)
    try:
        run.known = Checkpoint(pathlib.Path(given.known).read_bytes()) if given.known else None
        run.verify()
    except (OSError, ValueError) as error:
        run.fault(UNCHECKABLE, ".", f"cannot read: {error}")
    status = next((one for one in (TAMPERED, UNCHECKABLE, INCOMPLETE) if one in {f[0] for f in run.faults}), WHOLE)
    for _, where, what in run.faults:
        print(f"{where}: {what}")
    print(f"{WORDS[status]}: {run.count} records, {run.covered} of them signed; key {run.vkey or 'none'}", end="")
    print("" if given.vkey else " (the folder's own: name one with --vkey)")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
