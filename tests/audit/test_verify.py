"""Verification: whatever is done to a log is noticed, and nothing that its writers do is called tampering."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aigov.audit import canonical, checkpoints, disk, keys, merkle, note
from aigov.audit import verify as verifying
from aigov.audit.log import Log
from aigov.audit.note import Checkpoint, VerifierKey
from aigov.audit.records import CallOutcome, PluginFault
from aigov.audit.settings import AuditSettings
from aigov.audit.store import Store
from aigov.audit.verify import Report, Status, verify
from aigov.crypto import public_ed25519

Open = Callable[..., Log]
SEGMENT = Path("seg/00000000.jsonl")


def test_a_sealed_log_is_whole_with_and_without_the_key(sealed: Path, kit: Any) -> None:
    for key in (kit.key, None):
        report = verify(sealed, key)
        assert (report.status, report.problems, report.sealed) == (Status.WHOLE, (), True)
        assert report.keyed == (key is not None)


def test_the_report_counts_what_is_there(sealed: Path, kit: Any) -> None:
    report = verify(sealed, kit.key)
    assert (report.records, report.covered, report.segments, report.writers) == (11, 11, 1, 1)
    assert report.bytes == (sealed / SEGMENT).stat().st_size
    assert report.last == canonical.link(kit.lines(sealed)[-1])
    assert report.first_ts < report.last_ts


@pytest.fixture
def short(tmp_path: Path, kit: Any) -> tuple[Path, VerifierKey]:
    """A sealed log of one call, a line of each shape, to be tampered with; and the public key that an auditor has."""
    folder = tmp_path / "short"
    with Log.open(folder, key=kit.key, settings=AuditSettings(patience_ms=60_000)) as log:
        kit.fill(log, 1)
    vkey = checkpoints.vkey(folder)
    assert vkey is not None
    assert verify(folder, vkey=vkey).status == Status.WHOLE
    return folder, vkey


def each_byte_changed(path: Path) -> Iterator[int]:
    """Flip one bit of each byte in turn, in place, and put it back."""
    with open(path, "r+b", buffering=0) as file:
        for position, byte in enumerate(path.read_bytes()):
            os.pwrite(file.fileno(), bytes([byte ^ 1 << position % 8]), position)
            yield position
            os.pwrite(file.fileno(), bytes([byte]), position)


def test_every_changed_byte_is_noticed(short: tuple[Path, VerifierKey]) -> None:
    folder, vkey = short
    for position in each_byte_changed(folder / SEGMENT):
        assert verify(folder, vkey=vkey).status == Status.TAMPERED, position


@pytest.mark.parametrize("name", ["checkpoint", "checkpoints.log", "log.vkey"])
def test_every_changed_byte_of_what_is_signed_is_noticed(copy: Path, name: str) -> None:
    for position in each_byte_changed(copy / name):
        assert verify(copy).status in (Status.TAMPERED, Status.INCOMPLETE), position


def test_every_changed_byte_of_the_writers_state_is_noticed_with_their_key(copy: Path, kit: Any) -> None:
    for position in each_byte_changed(copy / "head.json"):
        assert verify(copy, kit.key).status == Status.TAMPERED, position


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
def test_any_byte_changed_to_any_other_is_noticed(copy: Path, sealed: Path, kit: Any, data: st.DataObject) -> None:
    content = (sealed / SEGMENT).read_bytes()
    position = data.draw(st.integers(0, len(content) - 1))
    new = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[position]))
    (copy / SEGMENT).write_bytes(content[:position] + bytes([new]) + content[position + 1 :])
    assert verify(copy, kit.key).status == Status.TAMPERED


def test_every_cut_is_noticed(short: tuple[Path, VerifierKey]) -> None:
    folder, vkey = short
    size = (folder / SEGMENT).stat().st_size
    for length in range(size - 1, -1, -1):
        os.truncate(folder / SEGMENT, length)
        assert verify(folder, vkey=vkey).status == Status.TAMPERED, length


def edits(found: list[bytes]) -> Iterator[tuple[str, list[bytes]]]:
    """Every way to delete, repeat, swap, move or insert one line."""
    for at in range(len(found)):
        yield f"delete {at}", found[:at] + found[at + 1 :]
        yield f"repeat {at}", found[: at + 1] + found[at:]
        yield f"insert an empty line before {at}", [*found[:at], b"", *found[at:]]
        for to in range(len(found)):
            if to != at:
                rest = found[:at] + found[at + 1 :]
                yield f"move {at} to {to}", [*rest[:to], found[at], *rest[to:]]
            if to > at:
                swapped = list(found)
                swapped[at], swapped[to] = found[to], found[at]
                yield f"swap {at} and {to}", swapped
                yield f"delete from {at} to {to}", found[:at] + found[to + 1 :]


def test_every_line_deleted_repeated_swapped_moved_or_inserted_is_noticed(copy: Path, kit: Any) -> None:
    found = kit.lines(copy)
    for what, changed in edits(found):
        (copy / SEGMENT).write_bytes(b"".join(line + b"\n" for line in changed))
        assert verify(copy, kit.key).status == Status.TAMPERED, what


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory, kit: Any) -> Path:
    """Another log of the same key."""
    folder = tmp_path_factory.mktemp("other") / "audit"
    with Log.open(folder, key=kit.key) as log:
        kit.fill(log, 4)
    return folder


def test_lines_of_another_log_do_not_pass(copy: Path, other: Path, kit: Any) -> None:
    ours, theirs = kit.lines(copy), kit.lines(other)
    for at in range(len(ours)):
        for spliced in (
            ours[:at] + theirs[at:],
            theirs[:at] + ours[at:] if at else theirs,
            [*ours[:at], theirs[at], *ours[at + 1 :]],
            [*ours[:at], theirs[at], *ours[at:]],
        ):
            (copy / SEGMENT).write_bytes(b"".join(line + b"\n" for line in spliced))
            assert verify(copy, kit.key).status == Status.TAMPERED, at


def test_the_head_of_another_log_does_not_pass(copy: Path, other: Path, kit: Any) -> None:
    shutil.copy(other / "head.json", copy / "head.json")
    assert verify(copy, kit.key).status == Status.TAMPERED


def rewritten(found: list[bytes], at: int, change: Callable[[dict[str, Any]], None]) -> bytes:
    """The log with one record changed and every line after it chained again: what an insider would do."""
    fields = [msgspec.json.decode(line) for line in found]
    change(fields[at])
    lines: list[bytes] = []
    for record in fields:
        if lines:
            record["prev"] = canonical.link(lines[-1])
        lines.append(msgspec.json.encode(record, order="sorted"))
    return b"".join(line + b"\n" for line in lines)


def test_a_log_that_was_changed_and_chained_again_does_not_match_what_was_signed(copy: Path, kit: Any) -> None:
    found = kit.lines(copy)
    for at in range(2, len(found) - 1):
        (copy / SEGMENT).write_bytes(rewritten(found, at, lambda record: record.update(verdict="deny")))
        report = verify(copy)
        assert report.status == Status.TAMPERED
        assert "checkpoint" in report.problems[0].what


def signed_again(copy: Path, content: bytes) -> VerifierKey:
    """A log rewritten from end to end under a key of the forger's own, which is published in its place."""
    old = checkpoints.vkey(copy)
    assert old is not None
    private = bytes(32)
    key = VerifierKey(keys.origin_of(public_ed25519(private)), public_ed25519(private))
    lines = content.splitlines()
    genesis = msgspec.json.decode(lines[0])
    genesis |= {"origin": key.name, "key": str(key), "epoch_key": str(key), "prev": canonical.origin_link(key.name)}
    lines[0] = msgspec.json.encode(genesis, order="sorted")
    for at in range(1, len(lines)):
        record = msgspec.json.decode(lines[at])
        record["prev"] = canonical.link(lines[at - 1])
        record.update(checkpoints=0) if record["kind"] == "log.sealed" else None
        lines[at] = msgspec.json.encode(record, order="sorted")
    (copy / SEGMENT).write_bytes(b"".join(line + b"\n" for line in lines))
    root = merkle.root_of([merkle.leaf_hash(line) for line in lines])
    forged = note.sign(Checkpoint(key.name, len(lines), root).text(), [(key, private)])
    (copy / "checkpoint").write_bytes(forged)
    (copy / "checkpoints.log").write_bytes(forged + b"\n")
    (copy / "log.vkey").write_text(f"{key}\n")
    return old


def test_a_log_signed_again_with_another_key_does_not_pass_with_the_key_from_outside(copy: Path, kit: Any) -> None:
    old = signed_again(copy, rewritten(kit.lines(copy), 3, lambda record: record.update(verdict="deny")))
    assert verify(copy).status == Status.WHOLE  # with the folder's own key nobody can tell
    assert not verify(copy).pinned
    assert verify(copy, vkey=old).status == Status.TAMPERED
    assert verify(copy, kit.key).status == Status.TAMPERED


def test_a_log_that_went_back_is_noticed_by_who_kept_a_checkpoint(opened: Open, folder: Path, tmp_path: Path) -> None:
    opened().close()
    shutil.copytree(folder, tmp_path / "older")
    opened().close()
    known = verify(folder).latest.encode()
    assert verify(tmp_path / "older").status == Status.WHOLE
    assert verify(tmp_path / "older", known=known).status == Status.TAMPERED
    assert verify(folder, known=known).status == Status.WHOLE
    assert verify(folder, known=verify(tmp_path / "older").latest.encode()).status == Status.WHOLE


def test_lines_added_after_the_sealed_end_do_not_pass(copy: Path, kit: Any) -> None:
    last = canonical.decode(kit.lines(copy)[-1])
    envelope = canonical.Envelope(
        v=last.v, seq=last.seq + 1, prev=canonical.link(kit.lines(copy)[-1]), id=last.id, ts=last.ts,
        mono_us=last.mono_us, boot=last.boot, writer=msgspec.structs.replace(last.writer, wseq=last.writer.wseq + 1),
    )  # fmt: skip
    with open(copy / SEGMENT, "ab") as file:
        file.write(canonical.encode(CallOutcome(call="c", outcome="released"), envelope) + b"\n")
    assert verify(copy).status == Status.INCOMPLETE  # nobody signed it
    assert verify(copy, kit.key).status == Status.TAMPERED


def test_a_writers_missing_record_is_noticed_even_in_a_chain_that_holds(copy: Path, kit: Any) -> None:
    found = kit.lines(copy)
    content = rewritten(found, 4, lambda record: record["writer"].update(wseq=17))
    (copy / SEGMENT).write_bytes(content)
    assert any("its writer's record" in fault.what for fault in verify(copy).problems)


@pytest.mark.parametrize(
    "name", ["seg/00000001.jsonl", "seg/00000007.jsonl", "seg/evil.jsonl", "more.jsonl", "q/x.jsonl"]
)
def test_a_segment_that_no_writer_made_does_not_pass(copy: Path, kit: Any, name: str) -> None:
    (copy / name).parent.mkdir(exist_ok=True)
    (copy / name).write_bytes(b'{"x":1}\n')
    assert verify(copy, kit.key).status == Status.TAMPERED


def test_a_segment_that_is_gone_is_noticed(copy: Path, kit: Any) -> None:
    (copy / SEGMENT).unlink()
    assert verify(copy, kit.key).status == Status.TAMPERED


def test_a_renamed_segment_is_noticed(copy: Path, kit: Any) -> None:
    (copy / SEGMENT).rename(copy / "seg/00000001.jsonl")
    assert verify(copy, kit.key).status == Status.TAMPERED


def test_a_problem_names_file_line_and_record_and_nothing_of_the_content(copy: Path, kit: Any) -> None:
    found = kit.lines(copy)
    found[4] = found[4].replace(b"retail", b"secret")
    (copy / SEGMENT).write_bytes(b"".join(line + b"\n" for line in found))
    fault, signed = verify(copy, kit.key).problems[:2]
    assert "checkpoint" in signed.what or "writers signed" in signed.what
    assert (fault.file, fault.line, fault.seq) == ("seg/00000000.jsonl", 6, 5)
    assert "secret" not in str(fault)


def test_a_report_of_many_problems_is_short(copy: Path, kit: Any) -> None:
    (copy / SEGMENT).write_bytes(b"{}\n" * 1000)
    report = verify(copy, kit.key)
    assert len(report.problems) == 100
    assert report.more > 800


def test_a_line_of_any_length_needs_no_memory(copy: Path, kit: Any) -> None:
    with open(copy / SEGMENT, "ab") as file:
        file.truncate(file.tell() + 3 * 2**20)
    assert verify(copy, kit.key).status == Status.TAMPERED


# -- what is not tampering -----------------------------------------------------------------------


def test_an_intent_without_outcome_is_incomplete(opened: Open, folder: Path, kit: Any) -> None:
    log = opened()
    log.append(kit.intent())
    report = verify(folder, kit.key)
    assert (report.status, report.open_calls) == (Status.INCOMPLETE, 1)


def test_a_running_log_is_incomplete_and_never_tampered(opened: Open, folder: Path, kit: Any) -> None:
    log = opened()
    for _ in range(30):
        for _ in range(20):
            log.submit(PluginFault(plugin="p"))
        assert verify(folder, kit.key).status == Status.INCOMPLETE


@pytest.mark.parametrize("torn", [b"", b'{"half'])
def test_a_log_that_is_opened_again_just_now_was_not_added_to_after_its_end(
    copy: Path, kit: Any, monkeypatch: pytest.MonkeyPatch, torn: bytes
) -> None:
    """As seen by who could not hold it still: its lock was busy."""
    writer = Store(copy, key=kit.key, disk=disk.Disk(), patience=5)
    real = verifying.extents

    def goes_on(folder: Path) -> Any:
        writer.open()
        with open(copy / SEGMENT, "ab") as file:
            file.write(torn)
        return real(folder)

    def busy(*arguments: object) -> None:
        raise disk.Busy(16, "busy")

    monkeypatch.setattr(verifying, "extents", goes_on)
    monkeypatch.setattr(verifying, "locked", busy)
    report = verify(copy, kit.key)
    writer.drop()
    assert report.status == Status.INCOMPLETE, report.problems


def test_a_torn_line_after_the_head_is_incomplete(opened: Open, folder: Path, kit: Any) -> None:
    log = opened()
    log.append(PluginFault(plugin="p"))
    with open(folder / SEGMENT, "ab") as file:
        file.write(b'{"a')
    report = verify(folder, kit.key)
    assert report.status == Status.INCOMPLETE
    assert "torn" in report.problems[0].what


# -- what cannot be checked ----------------------------------------------------------------------


def test_what_is_no_log_cannot_be_checked(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "nothing", tmp_path / "file", tmp_path / "empty"):
        assert verify(path).status == Status.UNCHECKABLE, path


def test_a_log_without_checkpoints_cannot_be_checked(copy: Path) -> None:
    (copy / "checkpoint").unlink()
    assert verify(copy).status == Status.INCOMPLETE
    (copy / "checkpoints.log").unlink()
    assert verify(copy).status == Status.TAMPERED  # its seal counts them


def test_a_log_that_nobody_signed_yet_cannot_be_checked(opened: Open, folder: Path) -> None:
    opened()
    for name in ("checkpoint", "checkpoints.log"):
        (folder / name).unlink()
    assert verify(folder).status == Status.UNCHECKABLE


def test_a_log_without_a_key_cannot_be_checked(copy: Path) -> None:
    key = checkpoints.vkey(copy)
    (copy / "log.vkey").unlink()
    assert verify(copy).status == Status.UNCHECKABLE
    assert verify(copy, vkey=key).status == Status.WHOLE


def test_without_the_writers_state_a_log_is_not_whole_to_who_has_their_key(copy: Path, kit: Any) -> None:
    (copy / "head.json").unlink()
    assert verify(copy, kit.key).status == Status.INCOMPLETE
    assert verify(copy).status == Status.WHOLE


def test_a_segment_that_cannot_be_read_cannot_be_checked(copy: Path, kit: Any) -> None:
    (copy / SEGMENT).unlink()
    os.mkfifo(copy / SEGMENT)
    assert verify(copy, kit.key).status == Status.UNCHECKABLE


def test_a_copy_is_opened_for_reading_alone(copy: Path, kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(path: object, flags: int, mode: int = 0o777, **more: Any) -> int:
        assert not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        return real(path, flags, mode, **more)

    real = os.open
    monkeypatch.setattr(disk.os, "open", read_only)
    assert verify(copy, kit.key).status == Status.WHOLE


def test_a_copy_of_records_and_checkpoints_alone_is_enough(copy: Path) -> None:
    for name in ("append.lock", "publish.lock", "head.json"):
        (copy / name).unlink()
    for name in ("writers", "keys", "tile"):
        shutil.rmtree(copy / name, ignore_errors=True)
    assert verify(copy).status == Status.WHOLE


def test_progress_is_told_up_to_the_end(sealed: Path) -> None:
    told: list[tuple[int, int]] = []
    verify(sealed, progress=lambda done, total: told.append((done, total)))
    size = (sealed / SEGMENT).stat().st_size
    assert told[-1] == (size, size)


def test_a_report_is_plain_data(sealed: Path) -> None:
    report = verify(sealed)
    assert msgspec.convert(msgspec.to_builtins(report), Report) == report
