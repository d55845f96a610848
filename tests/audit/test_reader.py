"""Reading a log: everything whole is found, and nothing that is not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aigov.audit import reader, store
from aigov.audit.canonical import NotARecord
from aigov.audit.log import Log
from aigov.audit.reader import Lines
from aigov.audit.records import MAX_BYTES, PluginFault, new_id

Open = Callable[..., Log]
QUIET = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@given(st.lists(st.binary(max_size=30).map(lambda b: b.replace(b"\n", b""))), st.binary(max_size=9), st.integers(1, 40))
@QUIET
def test_lines_are_what_split_says_whatever_the_blocks(
    tmp_path: Path, whole: list[bytes], torn: bytes, block: int
) -> None:
    torn = torn.replace(b"\n", b"")
    path = tmp_path / "file"
    path.write_bytes(b"".join(line + b"\n" for line in whole) + torn)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "BLOCK", block)
        lines = Lines(path)
        assert list(lines) == whole
    assert (lines.whole, lines.torn) == (path.stat().st_size - len(torn), len(torn))


@pytest.mark.parametrize("ended", [True, False])
def test_a_line_over_the_limit_is_not_collected(tmp_path: Path, ended: bool) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a\n" + b"x" * (3 * 2**20) + (b"\nb\n" if ended else b""))
    lines = Lines(path)
    assert list(lines) == ([b"a", b"", b"b"] if ended else [b"a"])
    assert lines.whole + lines.torn == path.stat().st_size


def test_records_are_all_there_in_order(sealed: Path) -> None:
    found = list(reader.records(sealed))
    assert [record["seq"] for record in found] == list(range(11))
    assert (found[0]["kind"], found[-1]["kind"]) == ("log.genesis", "log.sealed")


def test_a_torn_line_is_not_a_record_yet(copy: Path) -> None:
    with open(copy / "seg/00000000.jsonl", "ab") as file:
        file.write(b'{"half')
    assert len(list(reader.records(copy))) == 11
    assert reader.tail(copy, 1)[0]["kind"] == "log.sealed"


def test_find_gives_everything_about_a_call_a_ticket_or_a_record(opened: Open, folder: Path, kit: Any) -> None:
    log, call, ticket = opened(), new_id(), new_id()
    first = log.append(kit.intent(call, ticket=ticket))
    log.append(kit.outcome(call))
    child = log.append(kit.intent(new_id(), parent=call))
    kit.fill(log, 2)
    assert [record["seq"] for record in reader.find(folder, call)] == [first.seq, first.seq + 1, child.seq]
    assert [record["seq"] for record in reader.find(folder, ticket)] == [first.seq]
    assert [record["seq"] for record in reader.find(folder, child.id)] == [child.seq]


@pytest.mark.parametrize("wanted", ["", "support-agent", "nothing", "\ud800", "é"])
def test_what_is_no_id_finds_nothing(sealed: Path, wanted: str) -> None:
    assert reader.find(sealed, wanted) == []


@pytest.mark.parametrize("count", [0, 1, 3, 11, 500])
def test_tail_gives_the_last_records(sealed: Path, count: int) -> None:
    found = reader.tail(sealed, count)
    assert [record["seq"] for record in found] == list(range(11))[max(0, 11 - count) :]


def test_tail_of_a_long_log_reads_only_its_end(opened: Open, folder: Path, kit: Any) -> None:
    log = opened()
    long = PluginFault(plugin="p" * 256, hook="h" * 64, error="e" * 128)
    for future in [log.submit(long) for _ in range(200)]:
        future.result(10)
    assert [record["seq"] for record in reader.tail(folder, 4)] == [198, 199, 200, 201]
    assert (folder / "seg/00000000.jsonl").stat().st_size > 5 * (MAX_BYTES + 1)


@pytest.mark.parametrize("look", [lambda f: list(reader.records(f)), lambda f: reader.tail(f, 9)])
def test_a_line_that_is_no_record_is_named_and_not_quoted(copy: Path, look: Callable[[Path], Any]) -> None:
    path = copy / "seg/00000000.jsonl"
    path.write_bytes(path.read_bytes().replace(b"support-agent", b"support\nagent"))
    with pytest.raises(NotARecord, match="aigov audit verify") as caught:
        look(copy)
    assert "support" not in str(caught.value)


def test_no_folder_is_an_os_error(tmp_path: Path) -> None:
    for look in (lambda f: list(reader.records(f)), lambda f: reader.tail(f, 1), lambda f: reader.find(f, "x")):
        with pytest.raises(FileNotFoundError):
            look(tmp_path / "nothing")


def test_a_log_without_segments_is_empty(tmp_path: Path) -> None:
    assert list(reader.records(tmp_path)) == reader.tail(tmp_path, 3) == []


def test_follow_gives_each_new_record_once(opened: Open, folder: Path, kit: Any) -> None:
    log, done = opened(), threading.Event()
    found: list[int] = []

    def watch() -> None:
        found.extend(record["seq"] for record in reader.follow(folder, since=2, stop=done.is_set, pause=0.001))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(20):
        kit.fill(log, 1)
    done.set()
    watcher.join(10)
    assert found == list(range(2, 42))


@pytest.fixture
def long(opened: Open, folder: Path, kit: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A log of several segments."""
    monkeypatch.setattr(store, "SEGMENT_BYTES", 4_000)
    kit.fill(opened(), 20)
    assert len(reader.segments(folder)) > 3
    return folder


def test_follow_of_a_long_log_reads_only_its_end(long: Path) -> None:
    last = reader.tail(long, 3)
    for path in reader.segments(long)[:-2]:
        path.chmod(0o600)
        path.write_bytes(b"what is not read is not missed\n")
    found = reader.follow(long, since=last[1]["seq"], stop=lambda: True)
    assert [record["seq"] for record in found] == [record["seq"] for record in last[1:]]


@pytest.mark.parametrize("since", [0, 10_000, None])
def test_follow_of_a_copy_without_the_oldest_segments(long: Path, since: int | None) -> None:
    oldest, *_, newest = reader.segments(long)
    oldest.unlink()
    before = [record["seq"] for record in reader.records(long)]
    content, looks = newest.read_bytes(), iter([False, True])
    newest.unlink()
    here = [record["seq"] for record in reader.records(long)]

    def stop() -> bool:
        newest.write_bytes(content)
        return next(looks)

    if since == 10_000:
        since = here[-1]
    expected = [seq for seq in before if seq >= (here[-1] + 1 if since is None else since)]
    assert [record["seq"] for record in reader.follow(long, since=since, stop=stop, pause=0)] == expected


def test_follow_begins_where_the_log_ends(opened: Open, folder: Path, kit: Any) -> None:
    log = opened()
    kit.fill(log, 2)
    looks = iter([False, True])

    def stop() -> bool:
        log.append(PluginFault(plugin="new"))
        return next(looks)

    assert [record["plugin"] for record in reader.follow(folder, stop=stop, pause=0)] == ["new"]
