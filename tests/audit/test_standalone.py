"""Two verifiers written apart say the same of every log, honest or not; and one of them needs nothing of ours."""

from __future__ import annotations

import ast
import importlib.util
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

import aigov
from aigov.audit import checkpoints, note
from aigov.audit.canonical import line_types
from aigov.audit.disk import Busy, Disk
from aigov.audit.log import Log
from aigov.audit.note import VerifierKey
from aigov.audit.records import CallIntent, CallOrphaned, CallOutcome, PluginFault, new_id
from aigov.audit.store import Store
from aigov.audit.verify import verify

ROOT = Path(aigov.__file__).parents[1]
SCRIPT = ROOT / "tools" / "verify_standalone.py"
KEY = b"k" * 32
SEGMENT = "seg/00000000.jsonl"
ROUNDS = 300


@pytest.fixture(scope="module")
def standalone() -> ModuleType:
    spec = importlib.util.spec_from_file_location("verify_standalone", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def grown(folder: Path, chance: random.Random, *, close: bool) -> Path:
    """A log of a few epochs, segments and open calls, closed or as a kill leaves it."""
    held = Store(folder, key=KEY, disk=Disk(), patience=5)
    held.open()
    left: list[str] = []
    for _ in range(chance.randint(1, 4)):
        calls = [new_id() for _ in range(chance.randint(1, 3))]
        held.write([CallIntent(call=call, action="a", resource="r") for call in calls])
        some = chance.randint(0, 1)
        held.write([CallOutcome(call=call, outcome="released") for call in calls[some:]])
        left += calls[:some]
        step = chance.choice(["rotate", "segment", "cover", "many", ""])
        if step == "rotate":
            held.rotate_key()
        elif step == "segment":
            held._tail.rotate()
            held.write([PluginFault(plugin="p")])
        elif step == "many":
            held.write([PluginFault(plugin="p")] * 300)
        elif step == "cover":
            held._publish(force=True)
    if close:
        held.seal([CallOrphaned(call=call, left_by=held.id, why="closed") for call in left])
    held.drop()
    return folder


def corrupted(folder: Path, chance: random.Random) -> str:
    """Do something to a copy of a log; returns what."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and "writers" not in path.parts]
    watched = [path for path in found if path.parts[-2] in ("seg", folder.name) or "tile" in path.parts]
    watched = [path for path in watched if path.suffix not in (".lock", ".json")]
    path = chance.choice(watched)
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    what = chance.choice(["flip", "cut", "delete", "line", "swap", "repeat", "junk"]) if data else "junk"
    if what == "flip":
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    elif what == "cut":
        del data[chance.randrange(len(data) + 1) :]
    elif what == "delete":
        path.unlink()
        return f"{path.name}: {what}"
    elif what in ("line", "swap", "repeat"):
        lines = bytes(data).splitlines(keepends=True)
        one, two = chance.randrange(len(lines)), chance.randrange(len(lines))
        if what == "line":
            del lines[one]
        elif what == "swap":
            lines[one], lines[two] = lines[two], lines[one]
        else:
            lines.insert(one, lines[two])
        data = bytearray(b"".join(lines))
    else:
        data += chance.randbytes(chance.randint(1, 40))
    path.write_bytes(data)
    return f"{path.name}: {what}"


def judged(module: ModuleType, folder: Path, vkey: str = "") -> int:
    run = module.Verifier(str(folder), vkey)
    try:
        run.verify()
    except OSError as error:
        run.fault(module.UNCHECKABLE, ".", str(error))
    found = {status for status, _, _ in run.faults}
    return next((status for status in (1, 3, 2) if status in found), 0)


def test_the_two_verifiers_agree_on_honest_logs(standalone: ModuleType, tmp_path: Path) -> None:
    for seed in range(12):
        folder = grown(tmp_path / str(seed), random.Random(seed), close=bool(seed % 3))
        report = verify(folder)
        assert report.status in ((0,) if seed % 3 else (2,)), (seed, report.problems)
        assert judged(standalone, folder) == report.status, seed


def test_a_checkpoint_that_was_copied_long_before_the_others_is_an_older_one(
    standalone: ModuleType, tmp_path: Path
) -> None:
    folder = grown(tmp_path / "log", random.Random(1), close=False)
    held = Store(folder, key=KEY, disk=Disk(), patience=5)
    held.open()
    older = (folder / "checkpoint").read_bytes()
    for _ in range(20):
        held.write([PluginFault(plugin="p")])
        held._publish(force=True)
    held.drop()
    for latest, said in ((older, 2), (older + b"\n", 1), (b"", 1)):
        (folder / "checkpoint").write_bytes(latest)
        assert (int(verify(folder).status), judged(standalone, folder)) == (said, said)


def test_checkpoints_that_came_after_the_check_began_are_not_missed(
    standalone: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = grown(tmp_path / "log", random.Random(1), close=False)
    held = Store(folder, key=KEY, disk=Disk(), patience=5)
    held.open()

    def goes_on_before(real: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any) -> Any:
            held.write([PluginFault(plugin="p")])
            held._publish(force=True)
            held.rotate_key()
            return real(*arguments)

        return called

    def busy(*arguments: object) -> None:
        raise Busy

    verifying = importlib.import_module("aigov.audit.verify")
    monkeypatch.setattr(verifying, "locked", busy)
    monkeypatch.setattr(verifying, "extents", goes_on_before(verifying.extents))
    assert [fault.what for fault in verify(folder).problems if fault.status != 2] == []
    monkeypatch.setattr(standalone.Verifier, "segments", goes_on_before(standalone.Verifier.segments))
    assert judged(standalone, folder) == 2
    held.drop()


def test_the_two_verifiers_agree_on_corrupted_logs(standalone: ModuleType, tmp_path: Path) -> None:
    logs = [grown(tmp_path / f"log{seed}", random.Random(seed), close=bool(seed % 3)) for seed in range(6)]
    keys, copy = [checkpoints.vkey(log) for log in logs], tmp_path / "copy"
    for seed in range(ROUNDS):
        chance, pinned = random.Random(seed), keys[seed % len(logs)] if seed % 4 > 1 else None
        shutil.copytree(logs[seed % len(logs)], copy, ignore=shutil.ignore_patterns("keys", "quarantine"))
        what = [corrupted(copy, chance) for _ in range(chance.randint(1, 2))]
        report = verify(copy, vkey=pinned)
        assert judged(standalone, copy, str(pinned or "")) == report.status, (seed, what, report.problems)
        shutil.rmtree(copy)


def test_it_needs_nothing_of_ours_and_is_short_enough_to_read() -> None:
    source = SCRIPT.read_text(encoding="utf-8")
    names = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    assert {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) == {"cryptography"}
    assert len(source.splitlines()) <= 400


def test_its_table_of_records_is_theirs(standalone: ModuleType) -> None:
    ours = {kind: _fields(msgspec.inspect.type_info(struct)) for kind, struct in line_types().items()}
    theirs = {kind: _plain(standalone.TYPES, fields) for kind, fields in standalone.TYPES.items() if kind.islower()}
    assert theirs == ours, "write what is new into TABLE in tools/verify_standalone.py"


def _plain(types: dict[str, Any], fields: dict[str, str]) -> dict[str, Any]:
    """A row of the table with every name replaced by what it stands for."""

    def of(code: str) -> Any:
        if code[-1] in "?*%":
            return code[-1], of(code[:-1])
        if code in ("s", "i", "b"):
            return code
        row = types.get(code, {"": code})
        return row[""] if "" in row else _plain(types, row)

    return {name: of(code) for name, code in fields.items()}


def _fields(info: Any) -> dict[str, Any]:
    given = {field.encode_name: _of(field.type) for field in info.fields}
    return given | ({"kind": "s", "v": "aigov.audit/1"} if "v" in given else {})


def _of(info: Any) -> Any:
    match info:
        case msgspec.inspect.StrType():
            return "s"
        case msgspec.inspect.IntType(ge=0, le=most) if most == 2**53 - 1:
            return "i"
        case msgspec.inspect.BoolType():
            return "b"
        case msgspec.inspect.LiteralType():
            return "|".join(info.values)
        case msgspec.inspect.UnionType():
            (inner,) = (one for one in info.types if not isinstance(one, msgspec.inspect.NoneType))
            return "?", _of(inner)
        case msgspec.inspect.VarTupleType():
            return "*", _of(info.item_type)
        case msgspec.inspect.DictType():
            return "%", _of(info.value_type)
        case msgspec.inspect.StructType():
            return _fields(info)
    raise AssertionError(info)


@pytest.fixture
def ran(copy: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the script by itself, in an interpreter that sees no package of ours."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", str(SCRIPT), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=copy.parent, timeout=60)

    return run


def test_as_a_program_it_finds_a_planted_change(copy: Path, ran: Callable[..., Any]) -> None:
    vkey = checkpoints.vkey(copy)
    done = ran(copy, "--vkey", vkey)
    assert (done.returncode, done.stdout.split(":")[0]) == (0, "whole")
    path = copy / SEGMENT
    path.write_bytes(path.read_bytes().replace(b'"verdict":"allow"', b'"verdict":"deny"', 1))
    done = ran(copy, "--vkey", vkey)
    assert done.returncode == 1
    assert f"{SEGMENT}:" in done.stdout


def test_as_a_program_its_exit_codes_are_the_same(copy: Path, ran: Callable[..., Any], tmp_path: Path) -> None:
    vkey = (copy / "log.vkey").read_bytes()
    assert ran(tmp_path / "nothing").returncode == 3
    assert ran().returncode == 4
    assert ran(copy, "--nope").returncode == 4
    name, identity, key = str(checkpoints.vkey(copy)).split("+", 2)
    for mistyped in ("x", copy / "log.vkey", f"{name}+{identity}+{key}\nmore", f"{name}+{identity[::-1]}+{key}"):
        done = ran(copy, "--vkey", mistyped)
        assert (done.returncode, done.stdout.startswith("--vkey: ")) == (3, True)  # no fault of the log
    (copy / "log.vkey").write_bytes(b"x\n")
    assert ran(copy).returncode == 1
    (copy / "log.vkey").write_bytes(vkey)
    assert ran(copy, "--known", copy / "checkpoint").returncode == 0
    (tmp_path / "older").write_bytes((copy / "checkpoint").read_bytes().replace(b"\n11\n", b"\n10\n"))
    assert ran(copy, "--known", tmp_path / "older").returncode == 1
    (copy / "checkpoint").unlink()
    assert ran(copy).returncode == 2


@pytest.mark.parametrize(
    ("name", "code"),
    [("checkpoint", 2), ("checkpoints.log", 1), (SEGMENT, 1), ("seg", 3), ("tile", 0), ("head.json", 0)],
)
def test_as_a_program_it_says_what_auditors_are_told_of_a_copy_that_lacks_something(
    copy: Path, ran: Callable[..., Any], name: str, code: int
) -> None:
    vkey = (copy / "log.vkey").read_text().strip()
    (copy / "log.vkey").unlink()
    missing = copy / name
    shutil.rmtree(missing) if missing.is_dir() else missing.unlink()
    assert ran(copy, "--vkey", vkey).returncode == code


def test_as_a_program_it_finds_a_log_that_went_back(ran: Callable[..., Any], kit: Any, tmp_path: Path) -> None:
    for name in ("log", "older"):
        with Log.open(tmp_path / "log", key=kit.key) as log:
            kit.fill(log, 1)
        if name == "log":
            shutil.copytree(tmp_path / "log", tmp_path / "older")
    known = tmp_path / "log" / "checkpoint"
    assert [ran(tmp_path / name, "--known", known).returncode for name in ("log", "older")] == [0, 1]
    assert ran(tmp_path / "older").returncode == 0
    assert ran(tmp_path / "log", "--known", tmp_path / "older" / "checkpoint").returncode == 0


def test_a_checkpoint_that_is_too_long_is_none_to_both(copy: Path, standalone: ModuleType) -> None:
    """Else whoever can write to the folder makes verifiers read without end."""
    line = note.signature_line(VerifierKey("example.com/other", bytes(32)), bytes(64)).encode()
    notes = list(checkpoints.Notes(copy / "checkpoints.log"))
    for count, said in ((3, 0), (60, 0), (70, 1), (700, 1)):
        longer = [*notes[:-1], notes[-1] + line * count]
        (copy / "checkpoints.log").write_bytes(b"".join(one + b"\n" for one in longer))
        (copy / "checkpoint").write_bytes(longer[-1])
        assert (int(verify(copy).status), judged(standalone, copy)) == (said, said), count


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("other", 0),
        ("\ufffd", 0),
        ("\u043a", 0),
        ("a\u00a0b", 1),
        ("a\u2028b", 1),
        ("a\x85b", 1),
        ("a\x1cb", 1),
        ("a+b", 1),
    ],
)
def test_what_names_a_key_is_the_same_to_both(copy: Path, standalone: ModuleType, name: str, said: int) -> None:
    notes = list(checkpoints.Notes(copy / "checkpoints.log"))
    notes[-1] += note.signature_line(VerifierKey(name, bytes(32)), bytes(64)).encode()
    (copy / "checkpoints.log").write_bytes(b"".join(one + b"\n" for one in notes))
    (copy / "checkpoint").write_bytes(notes[-1])
    assert (int(verify(copy).status), judged(standalone, copy)) == (said, said)


@pytest.mark.parametrize("wrong", [b"\xff", b"\xed\xa0\x80"])
def test_a_note_that_is_no_utf8_is_none_to_both(copy: Path, standalone: ModuleType, wrong: bytes) -> None:
    notes = list(checkpoints.Notes(copy / "checkpoints.log"))
    notes[-1] = notes[-1].replace(b"\xe2\x80\x94 ", b"\xe2\x80\x94 " + wrong, 1)
    (copy / "checkpoints.log").write_bytes(b"".join(one + b"\n" for one in notes))
    (copy / "checkpoint").write_bytes(notes[-1])
    assert (int(verify(copy).status), judged(standalone, copy)) == (1, 1)


def test_a_segment_is_named_in_ascii_to_both(copy: Path, standalone: ModuleType) -> None:
    (copy / "seg/00000000.jsonl").rename(copy / "seg/\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0660.jsonl")
    assert (int(verify(copy).status), judged(standalone, copy)) == (1, 1)


def test_a_number_without_end_at_the_beginning_of_a_segment_is_tampering_to_both(
    copy: Path, standalone: ModuleType
) -> None:
    line = f'{{"bytes":{"9" * 5000},"error":"","kind":"segment.abandoned","segment":0,"v":""}}\n'
    (copy / "seg/00000001.jsonl").write_text(line)
    assert (int(verify(copy).status), judged(standalone, copy)) == (1, 1)


BUSY = """
import sys, time
from pathlib import Path
from aigov.audit import publish, store, worker
from aigov.audit.log import Log
from aigov.audit.records import CallIntent, CallOutcome, new_id
store.SEGMENT_BYTES, publish.RECORDS, publish.SECONDS, worker.SECONDS = 100_000, 100, 0.02, 0.02
until = time.monotonic() + 60
with Log.open(Path(sys.argv[1]), key=b"k" * 32) as log:
    print("ready", flush=True)
    while time.monotonic() < until:
        call = new_id()
        log.append_all([CallIntent(call=call, action="a", resource="r"), CallOutcome(call=call, outcome="released")])
        time.sleep(0.002)
"""


def test_a_copy_that_is_made_as_auditors_are_told_while_programs_write_is_never_tampered(
    kit: Any, standalone: ModuleType, folder: Path, tmp_path: Path
) -> None:
    writers, seen = [kit.run(BUSY, folder) for _ in range(2)], []
    try:
        assert [writer.stdout.readline() for writer in writers] == ["ready\n"] * 2
        for number in range(8):
            copy = tmp_path / str(number)
            copy.mkdir()
            for name in ("checkpoint", "checkpoints.log", "log.vkey"):
                shutil.copy(folder / name, copy / name)
            for name in ("tile", "seg")[number % 2 :]:
                shutil.copytree(folder / name, copy / name, ignore=shutil.ignore_patterns("*.p", ".*"))
            report = verify(copy)
            assert (report.status, judged(standalone, copy)) == (2, 2), report.problems
            seen.append(report.records)
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    assert seen[0] < seen[-1]
