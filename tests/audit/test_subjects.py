"""The table of people: random pseudonyms, the same in every process, gone for good when erased, closed to everybody."""

from __future__ import annotations

import multiprocessing
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aigov.audit.subjects import ROTATE_S, Held, Hold, Subjects, beside
from aigov.errors import AuditUnavailable

KEY = b"k" * 32
QUIET = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)


class Clock:
    """Time that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "audit.subjects"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def people(folder: Path, clock: Clock) -> Subjects:
    return Subjects(folder, key=KEY, clock=clock)


def hold(reason: str = "case-7") -> Hold:
    return Hold(reason, "b" * 32, 1)


def erase(people: Subjects, id: str, tenant: str | None = None) -> list[Any]:
    begun = people.begin_erasure(id, tenant, basis="art17", by="c" * 32)
    people.announce()
    return begun


@given(st.text(min_size=1), st.text())
@QUIET
def test_a_person_has_one_pseudonym_in_all_processes(tmp_path: Path, id: str, tenant: str) -> None:
    folder = tmp_path / "people"
    ref = Subjects(folder, key=KEY).refer(id, tenant)
    assert Subjects(folder, key=KEY).refer(id, tenant) == ref
    assert len(bytes.fromhex(ref)) == 16


def test_two_people_and_two_tenants_have_two(people: Subjects) -> None:
    assert len({people.refer("dana", "retail"), people.refer("dana", "bank"), people.refer("leo", "retail")}) == 3
    assert len(people.refs("dana")) == 2
    assert people.refs("dana", "bank") == (people.refer("dana", "bank"),)
    assert people.refs("nobody") == ()


def test_whom_it_knows_it_names_without_reading(people: Subjects, clock: Clock) -> None:
    assert not people.knows("dana", "retail")
    people.refer("dana", "retail")
    assert people.knows("dana", "retail")
    assert not people.knows("dana", "bank")
    clock.now += 61
    assert not people.knows("dana", "retail")
    people.refer("dana", "retail")
    erase(people, "dana")
    assert not people.knows("dana", "retail")
    people.folder.rename(people.folder.with_name("gone"))
    assert not people.knows("dana", "retail")


def test_pseudonyms_are_random_and_not_made_from_the_id(tmp_path: Path) -> None:
    assert Subjects(tmp_path / "a", key=KEY).refer("dana") != Subjects(tmp_path / "b", key=KEY).refer("dana")


def test_nothing_in_the_files_tells_who_it_is(people: Subjects, folder: Path) -> None:
    ref = people.refer("dana.canary@example.com", "tenant-canary")
    people.hold("dana.canary@example.com", None, hold("reason-canary"))
    for path in folder.iterdir():
        data = path.read_bytes()
        assert b"canary" not in data
        assert ref.encode() not in data
        assert bytes.fromhex(ref) not in data
        assert path.stat().st_mode & 0o077 == 0
    assert folder.stat().st_mode & 0o077 == 0


def test_a_pseudonym_is_changed_after_ninety_days_and_the_old_one_still_known(people: Subjects, clock: Clock) -> None:
    first = people.refer("dana")
    clock.now += ROTATE_S - 1
    assert people.refer("dana") == first
    clock.now += 2
    second = people.refer("dana")
    assert second != first
    assert people.refs("dana") == (first, second)
    clock.now -= 10
    assert people.refer("dana") == second


def test_the_key_and_relations_stay_through_rotation_and_go_with_an_erasure(people: Subjects, clock: Clock) -> None:
    subject, related = people.subject("dana"), people.relate("dana", "", "talk-1")
    clock.now += ROTATE_S + 1
    assert people.subject("dana").key == subject.key
    assert people.relate("dana", "", "talk-1") == related
    erase(people, "dana")
    assert people.subject("dana").key != subject.key
    assert people.relate("dana", "", "talk-1") != related


def test_whoever_is_erased_gets_a_new_pseudonym_in_every_process_that_remembers(folder: Path) -> None:
    one, other = Subjects(folder, key=KEY), Subjects(folder, key=KEY)
    old = one.refer("dana")
    assert other.refer("dana") == old
    (begun,) = erase(one, "dana")
    assert begun.pseudonym == old
    assert other.refer("dana") != old
    assert other.refer("dana") == one.refer("dana")
    assert old not in other.refs("dana")


def test_a_pseudonym_stands_for_its_person_until_they_are_erased_and_for_nobody_else(
    people: Subjects, clock: Clock, folder: Path
) -> None:
    dana, leo = people.subject("dana", "retail"), people.subject("leo", "retail")
    for table in (people, Subjects(folder, key=KEY, clock=clock)):
        assert table.behind(dana.ref, "dana", "retail") == dana
        assert table.behind(leo.ref, "dana", "retail") is None
        assert table.behind(dana.ref, "dana", "bank") is None
    clock.now += ROTATE_S + 1
    renewed = people.subject("dana", "retail")
    assert renewed.ref != dana.ref
    old = people.behind(dana.ref, "dana", "retail")
    assert old is not None
    assert (old.key, old.shelf) == (renewed.key, renewed.shelf)
    erase(people, "dana")
    assert people.behind(dana.ref, "dana", "retail") is None
    assert people.people("dana") == []
    people.subject("dana", "retail")
    assert people.behind(dana.ref, "dana", "retail") is None


def test_nothing_of_an_erased_row_is_left_in_the_files(people: Subjects, folder: Path) -> None:
    for number in range(50):
        people.refer(f"person-{number}")
    people.refer("dana", "retail")
    with sqlite3.connect(folder / "subjects.sqlite") as base:
        place = people._place("dana", "retail")
        ((sealed,),) = base.execute("SELECT sealed FROM subject WHERE who = ?", (place.who,)).fetchall()
    base.close()
    erase(people, "dana")
    for path in folder.iterdir():
        data = path.read_bytes()
        assert sealed not in data
        assert place.who.encode() not in data


def test_an_erasure_without_a_tenant_takes_all_of_them(people: Subjects) -> None:
    people.refer("dana", "retail"), people.refer("dana", "bank"), people.refer("leo", "bank")
    assert len(erase(people, "dana")) == 2
    assert people.refs("dana") == ()
    assert len(people.refs("leo")) == 1


def test_an_erasure_in_one_tenant_leaves_the_other(people: Subjects) -> None:
    kept = people.refer("dana", "retail")
    people.refer("dana", "bank")
    assert len(erase(people, "dana", "bank")) == 1
    assert people.refs("dana") == (kept,)


def test_a_hold_beats_an_erasure_and_changes_nothing(people: Subjects) -> None:
    ref, other = people.refer("dana", "retail"), people.refer("dana", "bank")
    people.hold("dana", "bank", hold())
    with pytest.raises(Held, match="case-7"):
        people.begin_erasure("dana", None, basis="art17", by="")
    assert set(people.refs("dana")) == {ref, other}
    assert people.erasures() == []
    assert len(people.release("dana", None, "case-7")) == 1
    assert len(erase(people, "dana")) == 2


def test_holds_are_counted_by_reason(people: Subjects) -> None:
    people.hold("dana", "", hold("one"))
    people.hold("dana", "", hold("two"))
    (row,) = people.hold("dana", "", hold("two"))
    assert [one.reason for one in row.holds] == ["one", "two"]
    assert people.release("dana", None, "three") == []
    people.release("dana", None, "one")
    with pytest.raises(Held):
        people.begin_erasure("dana", None, basis="x", by="")
    assert people.held() == {row.shelf}


def test_a_hold_in_advance_needs_a_tenant(people: Subjects) -> None:
    assert people.hold("dana", None, hold()) == []
    assert len(people.hold("dana", "retail", hold())) == 1
    assert len(people.refer("dana", "retail")) == 32


def test_what_was_begun_is_found_until_it_is_finished(people: Subjects, folder: Path) -> None:
    people.refer("dana")
    (begun,) = erase(people, "dana")
    assert Subjects(folder, key=KEY).erasures() == [begun]
    people.finish_erasure(begun.id)
    assert people.erasures() == []
    assert erase(people, "dana") == []


def wreck_row(folder: Path) -> None:
    with sqlite3.connect(folder / "subjects.sqlite") as base:
        base.execute("UPDATE subject SET sealed = zeroblob(90)")
    base.close()


def wreck_swap(folder: Path) -> None:
    with sqlite3.connect(folder / "subjects.sqlite") as base:
        (a, b) = base.execute("SELECT who, sealed FROM subject").fetchall()
        base.execute("UPDATE subject SET sealed = ? WHERE who = ?", (a[1], b[0]))
        base.execute("UPDATE subject SET sealed = ? WHERE who = ?", (b[1], a[0]))
    base.close()


def wreck_trigger(folder: Path) -> None:
    with sqlite3.connect(folder / "subjects.sqlite") as base:
        base.execute("CREATE TRIGGER undo AFTER DELETE ON subject BEGIN SELECT 1; END")
    base.close()


def wreck_file(folder: Path) -> None:
    (folder / "subjects.sqlite").write_bytes(b"no database" * 999)


@pytest.mark.parametrize("wreck", [wreck_row, wreck_swap, wreck_trigger, wreck_file])
def test_a_table_that_was_changed_gives_no_pseudonym(
    people: Subjects, folder: Path, clock: Clock, wreck: Callable[[Path], None]
) -> None:
    people.refer("dana"), people.refer("leo")
    people.close()
    wreck(folder)
    clock.now += 3_600
    with pytest.raises(AuditUnavailable) as caught:
        people.refer("dana")
    assert caught.value.__context__ is None
    assert "dana" not in str(caught.value)


@pytest.mark.parametrize("gone", ["subjects.sqlite", "erased", ""])
def test_a_table_that_vanished_gives_no_pseudonym_not_even_a_remembered_one(
    people: Subjects, folder: Path, gone: str
) -> None:
    people.refer("dana")
    (folder / gone).rename(folder.with_name("elsewhere"))
    with pytest.raises(AuditUnavailable):
        people.refer("dana")
    assert (folder / gone).exists() is False


def _refer_in_child(people: Subjects, results: Any) -> None:
    results.put((people.refer("dana"), people.refer("new")))


def test_a_forked_child_asks_for_itself(people: Subjects) -> None:
    ref = people.refer("dana")
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    child = context.Process(target=_refer_in_child, args=(people, results))
    child.start()
    seen, new = results.get(timeout=60)
    child.join(60)
    assert (seen, child.exitcode) == (ref, 0)
    assert people.refer("new") == new
    assert len(erase(people, "dana")) == 1


def test_a_table_that_was_closed_opens_again(people: Subjects, folder: Path) -> None:
    ref = people.refer("dana")
    people.close()
    assert sorted(path.name for path in folder.iterdir()) == ["erased", "subjects.sqlite"]
    assert people.refer("dana") == ref


def test_another_key_opens_nothing(people: Subjects, folder: Path) -> None:
    ref = people.refer("dana")
    assert Subjects(folder, key=b"x" * 32).refer("dana") != ref
    wrong = Subjects(folder, key=b"x" * 32)
    wrong._find_key = people._find_key
    with pytest.raises(AuditUnavailable):
        wrong.refer("dana")


def test_threads_agree_on_one_pseudonym(people: Subjects) -> None:
    refs: list[str] = []
    threads = [threading.Thread(target=lambda: refs.append(people.refer("dana"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(refs) == 8
    assert len(set(refs)) == 1


def _refer(folder: str, results: Any) -> None:
    results.put([Subjects(Path(folder), key=KEY).refer(f"person-{number}") for number in range(5)])


def _erase(folder: str, results: Any) -> None:
    results.put(len(Subjects(Path(folder), key=KEY).begin_erasure("dana", None, basis="art17", by="")))


@pytest.mark.parametrize(("work", "agreed"), [(_refer, True), (_erase, False)])
def test_processes_agree_on_one_pseudonym_and_one_erasure(folder: Path, work: Any, agreed: bool) -> None:
    Subjects(folder, key=KEY).refer("dana")
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [context.Process(target=work, args=(str(folder), results)) for _ in range(3)]
    for worker in workers:
        worker.start()
    found = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(60)
    if agreed:
        assert found[0] == found[1] == found[2]
    else:
        assert sorted(found) == [0, 0, 1]


def test_the_table_lies_beside_the_log_and_shows_nothing_of_itself(people: Subjects, tmp_path: Path) -> None:
    assert beside(tmp_path / "audit") == people.folder
    assert repr(people) == "Subjects()"
    assert people.subject("dana").key.hex() not in repr(people.subject("dana"))
