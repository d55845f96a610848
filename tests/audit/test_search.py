"""Finding records: through the index and without it, on a live log, and with an index that is worth nothing."""

from __future__ import annotations

import errno
import multiprocessing
import os
import re
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aigov.audit import bits, reader, store, terms
from aigov.audit import index as indexes
from aigov.audit.index import Index, beside
from aigov.audit.log import Log
from aigov.audit.records import (
    KINDS,
    Actor,
    CallDenied,
    CallIntent,
    CallOutcome,
    Counted,
    PluginFault,
    PolicyActivated,
    ReasonRecord,
    ReviewDecided,
    new_id,
)
from aigov.audit.search import Query, each, search, stats
from aigov.audit.terms import FIELDS, glimpsed, instant, words

Open = Callable[..., Log]
QUIET = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
PEOPLE = ("a" * 32, "b" * 32)
CHOICES = {
    "kind": ["call.intent", "call.*", "call.outcome", "plugin.fault", "no.such"],
    "person": [*PEOPLE, "c" * 32],
    "role": ["agent", "chief", "a*"],
    "tenant": ["retail", "bank", "ret*"],
    "action": ["chat", "tool:refund", "tool:*"],
    "resource": ["model:small", "order:*"],
    "verdict": ["transform", "deny", "allow"],
    "outcome": ["withheld", "released"],
    "reason": ["input.too_large", "privacy.*"],
    "entity": ["US_SSN", "EMAIL_ADDRESS"],
    "policy": ["f" * 64, "f*"],
    "plugin": ["acme"],
}


def tell(log: Log) -> None:
    """A log with every kind of thing that can be looked for."""
    log.append(PolicyActivated(policy="f" * 64, name="acme"))
    for number in range(12):
        call = new_id()
        fields: dict[str, Any] = {
            "call": call,
            "action": ("chat", "tool:refund")[number % 2],
            "resource": ("model:small", f"order:{number}")[number % 3 == 0],
            "actor": Actor(
                ref=PEOPLE[number % 2],
                roles=(("agent", "chief")[number % 3 > 1],),
                tenant=("retail", "bank")[number % 4 == 0],
            ),
            "policy": ("e" * 64, "f" * 64)[number > 5],
            "reasons": (ReasonRecord(code="privacy.tokenise"),),
            "findings": (Counted(type=("US_SSN", "EMAIL_ADDRESS")[number % 2], kind="pii", count=1),),
        }
        if number % 5 == 4:
            log.append(CallDenied(step=0, **fields | {"reasons": (ReasonRecord(code="input.too_large"),)}))
            continue
        log.append(CallIntent(verdict="transform", **fields))
        log.append(CallOutcome(call=call, outcome=("released", "withheld")[number % 3 == 1]))
    log.append(ReviewDecided(ticket="rv_" + "a" * 24, call=call, by=PEOPLE[0], approved=True))
    log.append(PluginFault(plugin="acme", call=call))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("told") / "audit"
    with Log.open(folder, key=b"k" * 32) as log:
        tell(log)
    return folder


def seqs(records: Any) -> list[int]:
    return [record["seq"] for record in records]


queries = st.builds(
    Query,
    where=st.lists(
        st.sampled_from(sorted(CHOICES)).flatmap(
            lambda field: st.tuples(
                st.just(field), st.lists(st.sampled_from(CHOICES[field]), min_size=1, max_size=2).map(tuple)
            )
        ),
        max_size=3,
    ).map(tuple),
    about=st.just(""),
)


@given(queries, st.integers(1, 7), st.integers(1, 40))
@QUIET
def test_the_index_finds_what_reading_everything_finds(told: Path, query: Query, block: int, limit: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(indexes, "BLOCK", block * 8)
        patch.setattr(bits, "BLOCK", block * 8)
        place = told.with_name(f"{block}.index")
        with_index = search(told, query, limit=limit, index=place)
    without = search(told, query, limit=limit, scan=True)
    assert (with_index.total, with_index.records) == (without.total, without.records)
    assert (with_index.indexed, without.indexed) == (True, False)


def said(record: dict[str, Any], of_call: dict[str, Any]) -> dict[str, set[str]]:
    """What a record says of each thing that can be looked for, read as a person would; `of_call`: of its call."""
    whose = of_call if record["kind"] in ("call.outcome", "review.decided", "plugin.fault") else record
    actor = whose.get("actor") or {}
    return {
        "kind": {record["kind"]},
        "person": {actor.get("ref", ""), record.get("by", "")},
        "role": set(actor.get("roles", ())),
        "tenant": {actor.get("tenant", "")},
        "action": {whose.get("action", "")},
        "resource": {whose.get("resource", "")},
        "verdict": {record.get("verdict", "")},
        "outcome": {record.get("outcome", "")},
        "reason": {reason["code"] for reason in record.get("reasons", ())},
        "entity": {finding["type"] for finding in record.get("findings", ())},
        "policy": {whose.get("policy", "")},
        "plugin": {record.get("plugin", "")},
    }


@pytest.mark.parametrize(("field", "value"), [(field, value) for field in CHOICES for value in CHOICES[field]])
def test_what_is_found_is_what_the_records_say_and_all_of_it(told: Path, field: str, value: str) -> None:
    records = list(reader.records(told))
    calls = {one["call"]: one for one in records if one["kind"] in ("call.intent", "call.denied")}
    right = [
        one["seq"]
        for one in records
        if any(
            word.startswith(value[:-1]) if value.endswith("*") else word == value
            for word in said(one, calls.get(one.get("call"), {}))[field]
        )
    ]
    assert sorted(seqs(search(told, Query(where=((field, (value,)),)), limit=99).records)) == right
    nothing = ("no.such", "c" * 32)
    assert bool(right) != (value in nothing)


@given(st.integers(0, 30), st.integers(0, 30))
@QUIET
def test_times_bound_what_is_found(told: Path, low: int, high: int) -> None:
    times = [instant(record["ts"]) for record in reader.records(told)]
    since, until = times[min(low, len(times) - 1)], times[min(high, len(times) - 1)]
    found = search(told, Query(since=since, until=until), limit=99)
    assert seqs(found.records) == [seq for seq, at in enumerate(times) if since <= at < until]


def test_an_outcome_is_found_by_what_its_call_was(told: Path) -> None:
    found = search(told, Query(where=(("tenant", ("bank",)), ("outcome", ("withheld", "released")))))
    assert found.total == 2
    assert {record["kind"] for record in found.records} == {"call.outcome"}


def test_a_call_that_ends_long_after_it_began_is_found_without_an_index_too(
    opened: Open, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terms, "MAX_CALLS", 10)
    for module in (indexes, bits):  # so that what is forgotten is in the index by then, as it is with 100,000 calls
        monkeypatch.setattr(module, "BLOCK", 8)
    log, begun = opened(), [new_id() for _ in range(40)]
    for number, call in enumerate(begun):
        actor = Actor(ref=PEOPLE[number % 2], tenant=("retail", "bank")[number % 2])
        log.append(CallIntent(call=call, action="chat", resource="model:small", actor=actor))
    for call in (*begun, new_id()):
        log.append(CallOutcome(call=call, outcome="released"))
    log.close()
    query = Query(where=(("tenant", ("retail",)), ("outcome", ("released",))))
    assert search(folder, query).total == 20
    assert search(folder, query, scan=True).records == search(folder, query).records


def test_everything_about_a_person_holds_the_reviews_that_they_decided(told: Path) -> None:
    kinds = {record["kind"] for record in search(told, Query(where=(("person", (PEOPLE[0],)),))).records}
    assert kinds >= {"call.intent", "call.outcome", "call.denied", "review.decided"}


def test_everything_about_a_call(told: Path) -> None:
    call = search(told, Query(where=(("kind", ("plugin.fault",)),))).records[0]["call"]
    found = search(told, Query(about=call)).records
    assert [record["kind"] for record in found] == ["call.intent", "call.outcome", "review.decided", "plugin.fault"]
    assert seqs(search(told, Query(about="rv_" + "a" * 24)).records) == seqs(found[2:3])


@pytest.mark.parametrize("about", ["nothing", "é", "\ud800", "a" * 36, "0197a1b2-0000-7000-8000-000000000000"])
def test_what_nobody_named_finds_nothing(told: Path, about: str) -> None:
    assert search(told, Query(about=about)).total == 0


def test_a_field_that_there_is_not_is_said() -> None:
    with pytest.raises(ValueError, match="`colour`"):
        Query(where=(("colour", ("red",)),))
    assert "colour" not in FIELDS


def test_the_index_follows_a_live_log(opened: Open, folder: Path, kit: Any) -> None:
    log = opened()
    for number in range(5):
        call = log.append(kit.intent()).call
        assert search(folder, Query(where=(("kind", ("call.intent",)),))).total == number + 1
        assert len(search(folder, Query(about=call)).records) == 1
    with open(folder / "seg/00000000.jsonl", "ab") as file:
        file.write(b'{"half')  # somebody is writing
    assert search(folder, Query(where=(("kind", ("call.intent",)),))).total == 5


def test_the_index_is_brought_up_to_date_from_where_it_was(
    opened: Open, folder: Path, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexes, "BLOCK", 16)
    monkeypatch.setattr(bits, "BLOCK", 16)
    log = opened()
    kit.fill(log, 40)
    assert search(folder, Query()).total > 80
    read: list[bytes] = []
    known = indexes.glimpse
    monkeypatch.setattr(indexes, "glimpse", lambda line: read.append(line) or known(line))
    kit.fill(log, 1)
    search(folder, Query())
    assert len(read) <= 16 + 2


def test_readers_and_a_writer_at_once(opened: Open, folder: Path, kit: Any) -> None:
    log, faults, totals = opened(), [], []

    def look() -> None:
        try:
            for _ in range(15):
                totals.append(search(folder, Query(where=(("kind", ("call.outcome",)),))).total)
        except BaseException as error:  # noqa: BLE001 - shown below
            faults.append(error)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    kit.fill(log, 60)
    for thread in threads:
        thread.join(60)
    assert faults == []
    assert search(folder, Query(where=(("kind", ("call.outcome",)),))).total == 60
    assert all(total <= 60 for total in totals)


def _look(folder: str, results: Any) -> None:
    results.put(search(Path(folder), Query(where=(("kind", ("call.*",)),))).total)


def test_processes_make_one_index(told: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    beside(told).unlink(missing_ok=True)
    workers = [context.Process(target=_look, args=(str(told), results)) for _ in range(3)]
    for worker in workers:
        worker.start()
    totals = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(60)
    assert len(set(totals)) == 1
    assert totals[0] == search(told, Query(where=(("kind", ("call.*",)),)), scan=True).total


def wreck_bits(path: Path) -> None:
    with sqlite3.connect(path) as base:
        base.execute("UPDATE posting SET bits = zeroblob(40)")
    base.close()


def wreck_state(path: Path) -> None:
    with sqlite3.connect(path) as base:
        base.execute("UPDATE state SET records = records + 1")
    base.close()


def wreck_table(path: Path) -> None:
    with sqlite3.connect(path) as base:
        base.execute("DROP TABLE block")
    base.close()


def wreck_file(path: Path) -> None:
    path.write_bytes(b"no database" * 500)


def wreck_pages(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    path.write_bytes(data)


def wreck_version(path: Path) -> None:
    with sqlite3.connect(path) as base:
        base.execute("PRAGMA user_version = 99")
    base.close()


@pytest.mark.parametrize(
    "wreck", [wreck_bits, wreck_state, wreck_table, wreck_file, wreck_pages, wreck_version, lambda path: path.unlink()]
)
def test_a_damaged_index_is_made_anew(told: Path, tmp_path: Path, wreck: Callable[[Path], None]) -> None:
    place, query = tmp_path / "other.index", Query(where=(("person", (PEOPLE[0],)), ("kind", ("call.*",))))
    before = search(told, query, index=place)
    wreck(place)
    assert search(told, query, index=place) == before
    assert place.stat().st_mode & 0o777 == 0o600


def test_an_index_of_another_log_is_not_used(told: Path, sealed: Path, tmp_path: Path) -> None:
    place = tmp_path / "other.index"
    assert search(told, Query(), index=place).total != 11
    assert search(sealed, Query(), index=place).total == 11


@pytest.mark.parametrize("name", ["seg/00000000.jsonl", "seg/new.index", "../notes.txt", "../index"])
def test_an_index_never_takes_the_place_of_anything_else(copy: Path, name: str) -> None:
    place = copy / name
    (copy.parent / "notes.txt").write_text("not an index, and not to be deleted as a damaged one")
    before = {path: path.read_bytes() for path in copy.parent.rglob("*") if path.is_file()}
    for ask in (search, stats):
        with pytest.raises(ValueError, match="index"):
            ask(copy, Query(), index=place)
    assert {path: path.read_bytes() for path in copy.parent.rglob("*") if path.is_file()} == before


def test_a_log_put_back_to_an_older_state_gets_a_new_index(copy: Path) -> None:
    assert search(copy, Query()).total == 11
    path = copy / "seg/00000000.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:6]))
    assert search(copy, Query()).total == 6


def test_a_hit_that_is_no_record_any_more_is_not_shown(copy: Path) -> None:
    total = search(copy, Query(where=(("kind", ("call.intent",)),))).total
    path = copy / "seg/00000000.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"kind":"call.intent"', b'"kind":"call.intend"', 1))
    found = search(copy, Query(where=(("kind", ("call.intent",)),)))
    assert (found.total, found.missed) == (total - 1, 1)


@pytest.mark.parametrize("again", [False, True], ids=["indexed before", "indexed since"])
def test_an_id_whose_record_was_changed_is_not_called_unknown(copy: Path, again: bool) -> None:
    intent = search(copy, Query(where=(("kind", ("call.intent",)),)), limit=1).records[0]
    path = copy / "seg/00000000.jsonl"
    kept = path.read_bytes().splitlines(keepends=True)
    line = kept[intent["seq"]]
    kept[intent["seq"]] = line.replace(b'"kind":"call.intent"', b'"kind":"call.intend"')
    path.write_bytes(b"".join(kept))
    if again:
        beside(copy).unlink()
    found = search(copy, Query(about=intent["id"]))
    assert (found.records, found.missed) == ((), 1)
    found = search(copy, Query(about=intent["call"]))
    assert ([record["kind"] for record in found.records], found.missed) == (["call.outcome"], 1)


@pytest.mark.parametrize("value", ["\udcff", "re\udcff*", "\udcff*"])
def test_what_is_no_text_is_found_nowhere(told: Path, value: str) -> None:
    for scan in (False, True):
        found = search(told, Query(where=(("tenant", (value,)),)), scan=scan)
        assert (found.total, found.missed) == (0, 0)
        assert search(told, Query(about=value), scan=scan).total == 0


def test_an_index_that_lies_shows_nothing_that_is_not_so(told: Path, tmp_path: Path) -> None:
    place = tmp_path / "other.index"
    search(told, Query(), index=place)
    with sqlite3.connect(place) as base:
        base.execute("UPDATE term SET value = 'lies' WHERE field = 'tenant' AND value = 'retail'")
    base.close()
    found = search(told, Query(where=(("tenant", ("lies",)),)), index=place)
    assert found.records == ()
    assert found.missed > 0


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EDQUOT])
def test_beside_a_folder_that_takes_no_index_the_log_is_read(
    copy: Path, told: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    queries = [None, Query(where=(("kind", ("call.*",)),)), Query(where=(("tenant", ("retail",)),), since=1)]
    indexed = [(stats(log, query), list(each(log, query or Query()))) for log in (copy, told) for query in queries]

    def refuse(*arguments: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(indexes, "make_database", refuse)
    for log in (copy, told):
        beside(log).unlink()
    found = search(copy, Query(where=(("kind", ("call.*",)),)))
    assert (found.total, found.indexed) == (8, False)
    read = [(stats(log, query), list(each(log, query or Query()))) for log in (copy, told) for query in queries]
    assert read == indexed
    with pytest.raises(OSError, match=re.escape(os.strerror(code))):
        search(copy, Query(), index=copy.parent / "named.index")


def test_an_index_that_cannot_be_opened_where_it_lies_is_gone_without(copy: Path) -> None:
    query = Query(where=(("kind", ("call.*",)),))
    assert search(copy, query).indexed
    beside(copy).unlink()
    beside(copy).mkdir()
    found = search(copy, query)
    assert (found.total, found.indexed, stats(copy).records) == (8, False, 11)


def test_a_folder_that_is_not_there_leaves_no_index(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        search(tmp_path / "audit", Query())
    assert list(tmp_path.iterdir()) == []


def test_a_log_without_records_has_none(tmp_path: Path) -> None:
    (tmp_path / "audit").mkdir()
    assert search(tmp_path / "audit", Query()).total == 0
    assert stats(tmp_path / "audit").records == 0


def test_stats_count_what_is_there(told: Path) -> None:
    records = list(reader.records(told))
    found = stats(told)
    kinds = [record["kind"] for record in records]
    assert found.counts["kind"] == {kind: kinds.count(kind) for kind in set(kinds)}
    assert (found.records, found.people) == (len(records), 2)
    assert (found.first_ts, found.last_ts) == (records[0]["ts"], records[-1]["ts"])
    later = stats(told, Query(since=instant(records[5]["ts"])))
    assert later.records == len(records) - 5


def test_the_index_shows_nothing_of_itself(told: Path) -> None:
    with Index(told) as index:
        assert repr(index) == "Index()"


def filled(kind: Any) -> dict[str, Any]:
    """A record of a kind with something in every field."""
    return {field.name: _value(field.type) for field in msgspec.structs.fields(kind)} | {"kind": kind.kind()}


def _value(type_: Any) -> Any:
    info = type_ if isinstance(type_, msgspec.inspect.Type) else msgspec.inspect.type_info(type_)
    if isinstance(info, msgspec.inspect.UnionType):
        return _value(next(one for one in info.types if not isinstance(one, msgspec.inspect.NoneType)))
    if isinstance(info, msgspec.inspect.StructType):
        return {field.encode_name: _value(field.type) for field in info.fields}
    if isinstance(info, msgspec.inspect.VarTupleType):
        return [_value(info.item_type)]
    if isinstance(info, msgspec.inspect.DictType):
        return {"x": 1}
    return {
        msgspec.inspect.IntType: 1, msgspec.inspect.BoolType: True, msgspec.inspect.StrType: "x",
        msgspec.inspect.LiteralType: "x",
    }[type(info)]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind())
def test_every_kind_of_record_can_be_looked_for(kind: Any) -> None:
    seen = glimpsed(filled(kind))
    assert ("kind", kind.kind()) in words(seen)


@pytest.fixture
def many(folder: Path, kit: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A log in many segments."""
    monkeypatch.setattr(store, "SEGMENT_BYTES", 4_000)
    with Log.open(folder, key=b"k" * 32) as log:
        kit.fill(log, 20)
    assert len(reader.segments(folder)) > 3
    return folder


@pytest.mark.parametrize("block", [8, 16, 2_048])
def test_segments_are_one_log(many: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(indexes, "BLOCK", block)
    monkeypatch.setattr(bits, "BLOCK", block)
    query = Query(where=(("kind", ("call.intent",)),))
    assert search(many, query).records == search(many, query, scan=True).records
    with Log.open(many, key=b"k" * 32):
        pass
    assert search(many, Query(), limit=999).records == search(many, Query(), limit=999, scan=True).records
    call = search(many, query).records[3]["call"]
    assert [record["kind"] for record in search(many, Query(about=call)).records] == ["call.intent", "call.outcome"]


def test_what_a_failed_sync_left_behind_is_in_no_answer(
    folder: Path, kit: Any, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = kit.FaultyDisk()
    log = opened(disk)
    kit.fill(log, 3)
    search(folder, Query())
    (path, _), *_ = reader.extents(folder)
    ghost = path.read_bytes().splitlines(keepends=True)[-1]
    disk.fail["sync"] = [errno.EIO]
    kit.fill(log, 2)
    log.close()
    if len(reader.segments(folder)) == 1:
        pytest.skip("the sync that failed was not a batch's")
    with open(path, "ab") as file:
        file.write(ghost)
    found = search(folder, Query(), limit=999)
    assert seqs(found.records) == list(range(len(found.records)))
    assert found.records == search(folder, Query(), limit=999, scan=True).records
