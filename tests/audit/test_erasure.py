"""Forgetting a person: nothing opens or links afterwards, whatever crashed in between, and holds come first."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigov.audit import erasure, reader
from aigov.audit.erasure import Eraser, TooYoung, places, traces
from aigov.audit.log import Log
from aigov.audit.payloads import Gone, Origin, Payloads
from aigov.audit.records import ContentExpired, Record
from aigov.audit.subjects import Held, Hold, Subjects, beside
from aigov.audit.verify import Status, verify
from aigov.errors import AuditUnavailable

KEY = b"k" * 32


def two_days(name: str) -> tuple[int, int]:
    """Two days; one at least."""
    return 2 * 86_400, 86_400


CANARY = "canary-4711@example.com"
NAME = 'Zoë "the owl" Ñandú'


class Crash(BaseException):
    """The process ends here."""


class House:
    """A log with its people and content, and an eraser of it."""

    def __init__(self, folder: Path, log: Log) -> None:
        self.folder = folder
        self.log = log
        self.people = Subjects(beside(folder), key=KEY)
        self.payloads = Payloads(self.people.folder, Origin(folder))
        self.now = 0.0

    def call(self, id: str, text: str, tenant: str = "retail") -> Any:
        """A call whose content is kept; its payload, and who made it."""
        subject = self.people.subject(id, tenant)
        return self.payloads.keep(subject, [("/question", text)]), subject

    def eraser(self, append: Callable[[Record], Any] | None = None, **settings: Any) -> Eraser:
        settings = {"times": lambda name: (90 * 86_400, 0)} | settings
        return Eraser(self.folder, self.people, self.payloads, append or self.log.append, **settings)

    def erase(self, id: str, tenant: str | None = None, **settings: Any) -> Any:
        return self.eraser(**settings).erase(id, tenant, basis="art17", by="c" * 32)

    def told(self) -> list[Any]:
        return [record for record in reader.records(self.folder) if record["kind"] == "subject.erased"]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    folder = tmp_path / "audit"
    with Log.open(folder, key=KEY) as log:
        yield House(folder, log)


def test_content_key_and_pseudonym_go_and_the_log_tells_of_it_once(house: House) -> None:
    payload, dana = house.call("dana", CANARY)
    kept, leo = house.call("leo", "hello")
    (done,) = house.erase("dana")
    assert (done.pseudonym, done.pseudonyms, done.blobs, done.bytes) == (dana.ref, 1, 1, payload.bytes)
    (told,) = house.told()
    assert (told["pseudonym"], told["basis"], told["by"], told["blobs"]) == (dana.ref, "art17", "c" * 32, 1)
    assert house.people.refs("dana") == ()
    with pytest.raises(Gone):
        house.payloads.read(payload, dana.shelf, dana.key)
    assert house.payloads.read(kept, leo.shelf, leo.key) == [("/question", "hello")]
    assert house.erase("dana") == []
    assert len(house.told()) == 1


def test_the_log_is_whole_afterwards(house: House) -> None:
    house.call("dana", CANARY)
    house.erase("dana")
    house.log.close()
    assert verify(house.folder).status is Status.WHOLE


def test_whoever_was_erased_calls_again_as_somebody_new(house: House) -> None:
    _, before = house.call("dana", CANARY)
    house.erase("dana")
    payload, after = house.call("dana", "hello again")
    assert {before.ref, before.key, before.shelf}.isdisjoint({after.ref, after.key, after.shelf})
    assert house.payloads.read(payload, after.shelf, after.key) == [("/question", "hello again")]


def test_a_hold_beats_an_erasure(house: House) -> None:
    payload, dana = house.call("dana", CANARY)
    house.people.hold("dana", None, Hold("case-7", "", 1))
    with pytest.raises(Held):
        house.erase("dana")
    assert house.payloads.read(payload, dana.shelf, dana.key)
    assert house.told() == []
    house.people.release("dana", None, "case-7")
    assert len(house.erase("dana")) == 1


def test_content_that_has_to_be_kept_is_kept(house: House) -> None:
    payload, dana = house.call("dana", CANARY)
    with pytest.raises(TooYoung, match="until 20"):
        house.erase("dana", times=two_days)
    assert house.payloads.read(payload, dana.shelf, dana.key)
    assert house.people.refs("dana") == (dana.ref,)
    assert len(house.erase("dana", times=two_days, clock=lambda: time.time() + 86_401)) == 1


STEPS = ("announce", "clear", "append", "finish_erasure")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("after", [False, True])
def test_a_crash_at_any_step_is_made_good_by_the_next_erasure(
    house: House, monkeypatch: pytest.MonkeyPatch, step: str, after: bool
) -> None:
    payload, dana = house.call("dana", CANARY)
    owner: Any = {"announce": house.people, "clear": house.payloads, "append": house.log}.get(step, house.people)
    real = getattr(owner, step)

    def crash(*given: Any) -> Any:
        if after:
            real(*given)
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(owner, step, crash)
        with pytest.raises(Crash):
            house.erase("dana")
    # Whatever step it was: nobody can open or link anything any more.
    assert house.people.refs("dana") == ()
    again = House(house.folder, house.log)
    assert again.eraser().resume() == (0 if (step, after) == ("finish_erasure", True) else 1)
    assert again.eraser().resume() == 0
    assert [record["pseudonym"] for record in house.told()] == [dana.ref]
    assert list(again.payloads.shelves()) == []
    assert again.people.erasures() == []
    assert again.people.refer("dana", "retail") != dana.ref
    with pytest.raises(Gone):
        again.payloads.read(payload, dana.shelf, dana.key)


def test_a_crash_before_the_key_goes_leaves_everything_as_it_was(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    payload, dana = house.call("dana", CANARY)

    def crash(row: object) -> Any:
        raise Crash

    eraser = house.eraser()
    monkeypatch.setattr(eraser, "_measure", crash)
    with pytest.raises(Crash):
        eraser.erase("dana", None, basis="art17", by="")
    assert house.people.refs("dana") == (dana.ref,)
    assert house.payloads.read(payload, dana.shelf, dana.key)


def test_a_log_that_takes_no_record_leaves_the_erasure_to_be_finished(house: House) -> None:
    house.call("dana", CANARY)

    def refuse(record: Record) -> Any:
        raise AuditUnavailable("full")

    with pytest.raises(AuditUnavailable):
        house.eraser(refuse).erase("dana", None, basis="art17", by="")
    assert len(house.people.erasures()) == 1
    assert house.eraser().resume() == 1
    assert len(house.told()) == 1


def _erase(folder: str, results: Any) -> None:
    with Log.open(Path(folder), key=KEY) as log:
        results.put(len(House(Path(folder), log).erase("dana")))


def test_two_erasures_at_once_are_one(house: House) -> None:
    house.call("dana", CANARY)
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [context.Process(target=_erase, args=(str(house.folder), results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    found = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(60)
    assert sorted(found) == [0, 1]
    assert len(house.told()) == 1


def test_content_of_nobody_is_swept(house: House) -> None:
    _, dana = house.call("dana", CANARY)
    house.erase("dana")
    house.payloads.keep(dana, [("/", "a call that was under way")])
    house.call("leo", "hello")
    house.erase("nobody")
    assert len(list(house.payloads.shelves())) == 1


def test_content_expires_but_for_that_of_held_people(house: House) -> None:
    house.call("dana", CANARY)
    payload, leo = house.call("leo", "hello")
    house.people.hold("leo", None, Hold("case-7", "", 1))
    assert house.eraser(times=two_days).expire() is None
    later = house.eraser(clock=lambda: time.time() + 2 * 86_401, times=two_days)
    assert later.expire() == ContentExpired(blobs=1, bytes=payload.bytes - 5 + len(CANARY), held=1)
    assert house.payloads.read(payload, leo.shelf, leo.key)


def test_traces_are_found_in_every_form_and_named_by_number(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x" * 5 + CANARY + CANARY)
    (tmp_path / "utf16").write_bytes("né à Zürich".encode("utf-16-le"))
    (tmp_path / "json").write_text('{"a":"n\\u00e9 \\u00e0 Z\\u00fcrich"}')
    (tmp_path / "link").symlink_to(tmp_path / "plain")
    found = traces([tmp_path], [CANARY, "né à Zürich", "abc", "not there"])
    assert {(Path(one.file).name, one.text, one.count) for one in found} == {
        ("plain", 1, 2), ("utf16", 2, 1), ("json", 2, 1),
    }  # fmt: skip
    assert CANARY not in repr(found)


@pytest.mark.parametrize(
    "written",
    [
        json.dumps(NAME, ensure_ascii=False).encode(),
        json.dumps(NAME).encode(),
        NAME.encode("utf-16-be"),
        NAME.encode("utf-16"),
        NAME.encode(),
    ],
)
def test_a_name_is_found_however_it_is_written(tmp_path: Path, written: bytes) -> None:
    (tmp_path / "file").write_bytes(b"." + written + b".")
    assert [one.text for one in traces([tmp_path], [NAME])] == [1]


def test_a_place_that_is_a_link_is_searched_and_links_in_it_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_text(CANARY)
    (tmp_path / "real" / "again").symlink_to(tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert [one.count for one in traces([tmp_path / "link"], [CANARY])] == [1]


def test_what_cannot_be_read_is_not_called_clean(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "gone").symlink_to(tmp_path / "nowhere")
    unreadable = Path("/proc/self/mem")  # a file that opens, and whose first byte is no page of ours
    found = traces([tmp_path, unreadable, tmp_path / "vanished"], [CANARY])
    assert [(one.file, one.text, one.count) for one in found] == [(str(unreadable), 0, 0)]


@given(st.integers(1, 40), st.integers(0, 200), st.integers(1, 3))
def test_traces_miss_nothing_at_the_edge_of_a_block(block: int, before: int, times: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(erasure, "BLOCK", block)
        path = Path(folder, "file")
        path.write_bytes(b"." * before + b"needle-needle"[:6] * times + b"..")
        assert [one.count for one in traces([path], ["needle"])] == [times]


def test_what_is_searched_is_everything_beside_the_log(house: House, tmp_path: Path) -> None:
    house.call("dana", CANARY)
    (tmp_path / "audit.index").write_bytes(b"")
    found = places(house.folder, house.people, [tmp_path / "exports"])
    assert {house.folder, tmp_path / "audit.index", house.people.folder, tmp_path / "exports"} <= set(found)


def test_a_copy_of_the_log_alone_tells_nothing(house: House, tmp_path: Path) -> None:
    house.call("dana", CANARY)
    house.log.close()
    copy = Path(shutil.copytree(house.folder, tmp_path / "copy"))
    assert traces([copy], [CANARY, "dana", "retail"]) == []


def test_each_class_has_times_of_its_own(house: House) -> None:
    subject = house.people.subject("dana", "retail")
    times = {"default": (3_600, 0), "staff": (7_200, 5_400)}
    for name in times:
        house.payloads.keep(subject, [("/", name)], name)

    def at(seconds: int) -> Eraser:
        return house.eraser(clock=lambda: time.time() + seconds, times=times.__getitem__)

    with pytest.raises(TooYoung):
        at(3_700).erase("dana", None, basis="art17", by="")
    expired = at(3_700).expire()
    assert (expired.blobs if expired else 0) == 1
    assert [path.name.split(".")[1] for path in house.payloads.blobs(subject.shelf)] == ["staff"]
    assert at(5_500).erase("dana", None, basis="art17", by="")[0].blobs == 1
