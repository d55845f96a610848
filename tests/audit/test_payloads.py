"""Kept content: opens for its person, its record and its log, and tells nobody else anything."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aigov.audit.payloads import Gone, Origin, Payloads, made_us
from aigov.audit.records import Payload
from aigov.audit.subjects import Subject
from aigov.errors import AuditUnavailable
from benchmarks import guessing

DANA = Subject("a" * 32, b"d" * 32, "1" * 32, b"r" * 32)
LEO = Subject("b" * 32, b"l" * 32, "2" * 32, b"s" * 32)
TEXTS = [("/question", "a canary sings at noon"), ("/history/0", "né à Zürich 🎈")]


@pytest.fixture
def payloads(tmp_path: Path) -> Payloads:
    return Payloads(tmp_path / "people", lambda: "log-1")


texts = st.lists(st.tuples(st.text(), st.text()), max_size=5)


@given(texts)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
def test_what_is_kept_is_what_is_read(tmp_path: Path, kept: list[tuple[str, str]]) -> None:
    payloads = Payloads(tmp_path / "people", lambda: "log-1")
    payload = payloads.keep(DANA, kept)
    assert payloads.read(payload, DANA.shelf, DANA.key) == kept


def test_nothing_of_it_is_in_the_file_or_in_what_the_record_says(payloads: Payloads, tmp_path: Path) -> None:
    payload = payloads.keep(DANA, TEXTS)
    (path,) = payloads.blobs(DANA.shelf)
    assert b"canary" not in path.read_bytes()
    assert "canary" not in str(msgspec.to_builtins(payload))
    assert path.stat().st_mode & 0o077 == 0
    assert payload.bytes == path.stat().st_size


@pytest.mark.parametrize("change", ["key", "id", "origin", "commit", "bytes"])
def test_it_opens_for_its_person_record_and_log_alone(payloads: Payloads, tmp_path: Path, change: str) -> None:
    payload = payloads.keep(DANA, TEXTS)
    key, reader = DANA.key, payloads
    (path,) = payloads.blobs(DANA.shelf)
    if change == "key":
        key = LEO.key
    elif change == "id":
        other = payloads.keep(DANA, [("/", "x")])
        path.rename(path.with_name(other.id + ".default.sealed"))
        payload = other
    elif change == "origin":
        reader = Payloads(tmp_path / "people", lambda: "log-2")
    elif change == "commit":
        payload = msgspec.structs.replace(payload, commit="0" * 64)
    else:
        data = bytearray(path.read_bytes())
        data[20] ^= 1
        path.write_bytes(data)
    with pytest.raises(Gone) as caught:
        reader.read(payload, DANA.shelf, key)
    assert caught.value.__context__ is None


def test_a_cleared_shelf_is_gone_with_drafts_and_all(payloads: Payloads, tmp_path: Path) -> None:
    payload = payloads.keep(DANA, TEXTS)
    kept = payloads.keep(LEO, TEXTS)
    (tmp_path / "people/content" / DANA.shelf / ".x.sealed.7.tmp").write_bytes(b"a draft")
    assert payloads.clear(DANA.shelf) == (1, payload.bytes)
    assert payloads.clear(DANA.shelf) == (0, 0)
    assert list(payloads.shelves()) == [LEO.shelf]
    assert payloads.read(kept, LEO.shelf, LEO.key) == TEXTS
    with pytest.raises(Gone):
        payloads.read(payload, DANA.shelf, DANA.key)


@pytest.mark.parametrize("shelf", ["..", "", "../..", "1" * 31, "/etc"])
def test_no_path_leads_out_of_the_folder(payloads: Payloads, tmp_path: Path, shelf: str) -> None:
    payloads.keep(DANA, TEXTS)
    (tmp_path / "people/keep-me").write_text("x")
    assert payloads.clear(shelf) == (0, 0)
    assert payloads.blobs(shelf) == []
    bad = Payload(id="../../../etc/passwd", commit="", digest="", bytes=0)
    with pytest.raises(Gone):
        payloads.read(bad, DANA.shelf, DANA.key)
    assert (tmp_path / "people/keep-me").exists()


def test_only_what_is_older_expires(payloads: Payloads) -> None:
    payloads.keep(DANA, TEXTS)
    (path,) = payloads.blobs(DANA.shelf)
    kept = made_us(path)
    assert abs(kept / 1e6 - time.time()) < 60
    assert payloads.expire(DANA.shelf, lambda path: made_us(path) < kept) == (0, 0)
    assert payloads.expire(DANA.shelf, lambda path: made_us(path) <= kept)[0] == 1
    assert payloads.blobs(DANA.shelf) == []


def test_what_a_crash_left_half_kept_expires_as_well(payloads: Payloads) -> None:
    payloads.keep(DANA, TEXTS)
    (path,) = payloads.blobs(DANA.shelf)
    kept = made_us(path)
    draft = path.rename(path.with_name(f".{path.name}.4711.tmp"))
    size = draft.stat().st_size
    assert payloads.expire(DANA.shelf, lambda path: made_us(path) < kept) == (0, 0)
    assert payloads.expire(DANA.shelf, lambda path: made_us(path) <= kept) == (1, size)
    assert not draft.exists()


def test_a_full_disk_keeps_nothing_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "people").write_text("no folder")
    with pytest.raises(AuditUnavailable) as caught:
        Payloads(tmp_path / "people", lambda: "log-1").keep(DANA, TEXTS)
    assert caught.value.__context__ is None


def test_a_log_that_has_not_begun_keeps_nothing(tmp_path: Path) -> None:
    with pytest.raises(AuditUnavailable):
        Payloads(tmp_path / "people", Origin(tmp_path / "audit")).keep(DANA, TEXTS)


def test_of_a_million_guesses_none_is_told_right_once_the_key_is_gone() -> None:
    assert guessing.told_right(1_000_000) == (0, 1)
