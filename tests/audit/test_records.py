"""Records: ids that sort, names that cannot harm, sizes that fit."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigov.audit import records, values
from aigov.audit.canonical import Envelope, Writer, encode
from aigov.audit.records import (
    KINDS,
    MAX_BYTES,
    MAX_ENTRIES,
    Actor,
    CallIntent,
    CallOutcome,
    Counted,
    ReasonRecord,
    Shadow,
    error_name,
    new_id,
    safe_name,
)

ENVELOPE = Envelope(
    v=records.SCHEMA, seq=2**53 - 1, prev="f" * 64, id="i" * 36, ts="2026-01-31T12:00:00.000001Z", mono_us=2**53 - 1,
    boot="b" * 36, writer=Writer(id="w" * 36, pid=2**22, wseq=2**53 - 1, ver="v" * 32),
)  # fmt: skip


def test_an_id_is_a_uuid_of_version_7() -> None:
    made = uuid.UUID(new_id())
    assert (made.version, made.variant) == (7, uuid.RFC_4122)


def test_ids_sort_by_the_millisecond_and_never_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10**15, 10**15 + 1000 * 10**6, 10**6))
    monkeypatch.setattr(values.time, "time_ns", lambda: next(clock))
    ids = [new_id() for _ in range(1000)]
    assert ids == sorted(set(ids))


@given(st.text(st.characters(codec=None)), st.integers(8, 300))
def test_a_safe_name_is_printable_encodable_and_short_and_stays_as_it_is(text: str, limit: int) -> None:
    name = safe_name(text, limit)
    assert name.isprintable()
    assert len(name.encode()) <= limit
    assert safe_name(name, limit) == name


@given(st.text(st.characters(categories=["L", "N", "P"]), max_size=50))
def test_a_harmless_name_is_kept(text: str) -> None:
    assert safe_name(text) == text


@pytest.mark.parametrize("hostile", ["\n", "\x1b", "\u202e", "\ud800", "\x00", "\u2028", "\U000e0041"])
def test_what_could_break_a_line_or_a_terminal_is_replaced(hostile: str) -> None:
    assert safe_name(f"a{hostile}[31m") == "a\ufffd[31m"


def test_an_error_is_its_type_and_never_its_message() -> None:
    assert error_name(ValueError("jane@example.com")) == "builtins:ValueError"
    assert error_name(KeyError) == "builtins:KeyError"


def test_an_error_type_with_a_hostile_name_is_cut_and_cleaned() -> None:
    hostile = type("jane@example.com\n" + "x" * 500, (Exception,), {"__module__": "m"})
    named = error_name(hostile())
    assert len(named) == 128
    assert named.startswith("m:jane_example.com_x")


def test_an_outcome_cleans_the_error_that_it_is_given() -> None:
    assert CallOutcome(call="c", outcome="provider.error", error="m:E rr@or").error == "m:E_rr_or"


@pytest.mark.parametrize("extra", [0, 1, 100])
def test_lists_are_cut_to_their_room_and_the_rest_is_counted(extra: int) -> None:
    room = MAX_ENTRIES["reasons"]
    record = CallOutcome(call="c", outcome="released", reasons=(ReasonRecord(code="a.b"),) * (room + extra))
    assert len(record.reasons) == room
    assert record.omitted == extra


def _largest(char: str) -> CallIntent:
    """An intent in which everything is as long as anything can be."""
    long = char * 1000
    reason = {"code": long, "rule": long, "layer": long}
    return CallIntent(
        call="c" * 36, parent="p" * 36, ticket="t" * 36, session="s" * 64, action=long, resource=long, policy="d" * 64,
        plugins="d" * 64, actor=Actor(ref="r" * 64, roles=(long,) * 50, tenant=long, on_behalf_of=("r" * 64,) * 50),
        reasons=(ReasonRecord(**reason),) * 50, shadow=(Shadow(verdict="transform", **reason),) * 50,
        findings=(Counted(type=long, kind=long, action=long, count=2**53 - 1, max_ppm=10**6),) * 50,
        timing_us={f"step_number_{number}": 10**9 for number in range(20)},
    )  # fmt: skip


@pytest.mark.parametrize("char", ["a", "é", "漢", "😀", "\n"])
def test_the_largest_record_fits(char: str) -> None:
    assert len(encode(_largest(char), ENVELOPE)) <= MAX_BYTES


def test_every_kind_is_named_once_and_its_fields_are_not_the_envelopes() -> None:
    names = [kind.kind() for kind in KINDS]
    assert len(set(names)) == len(names)
    envelope = {field.name for field in msgspec.structs.fields(Envelope)} | {"kind"}
    for kind in KINDS:
        assert not envelope & {field.name for field in msgspec.structs.fields(kind)}, kind.kind()


def test_no_field_is_a_float_and_every_key_is_ascii() -> None:
    def walk(schema: Any) -> None:
        if isinstance(schema, dict):
            assert schema.get("type") != "number"
            assert all(key.isascii() for key in schema)
            for value in schema.values():
                walk(value)
        elif isinstance(schema, list):
            for value in schema:
                walk(value)

    for kind in (*KINDS, Envelope):
        walk(msgspec.json.schema(kind))


def test_values_are_frozen() -> None:
    with pytest.raises(AttributeError):
        ReasonRecord(code="a").code = "b"  # type: ignore[misc]
