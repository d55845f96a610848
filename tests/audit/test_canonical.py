"""One record, one line: the encoder against RFC 8785, and a reader that takes nothing else."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from aigov.audit.canonical import Envelope, NotARecord, Writer, decode, encode, link, origin_link, plain, timestamp
from aigov.audit.records import KINDS, MAX_BYTES, SCHEMA, CallIntent, CallOutcome, PluginLoaded, Record

COUNTS = st.integers(0, 2**53 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


ENVELOPES = st.builds(
    Envelope, v=st.just(SCHEMA), seq=COUNTS, prev=TEXT, id=TEXT, ts=TEXT, mono_us=COUNTS, boot=TEXT,
    writer=st.builds(Writer, id=TEXT, pid=COUNTS, wseq=COUNTS, ver=TEXT),
)  # fmt: skip


@st.composite
def filled(draw: st.DrawFn) -> Record:
    """A record of any kind with any values that its fields admit."""
    kind = draw(st.sampled_from(KINDS))
    fields = {
        field.name: draw(_value(field.type))
        for field in msgspec.structs.fields(kind)
        if draw(st.booleans()) or field.required
    }
    return kind(**fields)


def _value(type_: Any) -> st.SearchStrategy[Any]:
    info = msgspec.inspect.type_info(type_)
    return _of(info)


def _of(info: Any) -> st.SearchStrategy[Any]:
    match info:
        case msgspec.inspect.StrType():
            return TEXT
        case msgspec.inspect.IntType():
            return COUNTS
        case msgspec.inspect.BoolType():
            return st.booleans()
        case msgspec.inspect.NoneType():
            return st.none()
        case msgspec.inspect.LiteralType():
            return st.sampled_from(info.values)
        case msgspec.inspect.UnionType():
            return st.one_of(*map(_of, info.types))
        case msgspec.inspect.VarTupleType():
            return st.lists(_of(info.item_type), max_size=4).map(tuple)
        case msgspec.inspect.DictType():
            return st.dictionaries(st.text("abcxyz_09", min_size=1, max_size=8), _of(info.value_type), max_size=5)
        case msgspec.inspect.StructType():
            return st.builds(info.cls, **{field.encode_name: _of(field.type) for field in info.fields})
    raise AssertionError(info)


@given(filled(), ENVELOPES)
def test_a_line_is_what_rfc_8785_makes_of_it(record: Record, envelope: Envelope) -> None:
    line = encode(record, envelope)
    assert line == rfc8785.dumps(json.loads(line))


@given(filled(), ENVELOPES)
def test_a_line_reads_back_as_the_record_that_it_was(record: Record, envelope: Envelope) -> None:
    entry = decode(encode(record, envelope))
    assert msgspec.to_builtins(entry) == msgspec.to_builtins(record) | msgspec.to_builtins(envelope)


@given(filled(), ENVELOPES)
def test_a_line_holds_no_newline(record: Record, envelope: Envelope) -> None:
    assert b"\n" not in encode(record, envelope)


@pytest.fixture
def line() -> bytes:
    envelope = Envelope(
        v=SCHEMA, seq=7, prev="p", id="i", ts="t", mono_us=1, boot="b", writer=Writer(id="w", pid=2, wseq=3, ver="0")
    )
    return encode(PluginLoaded(plugin="é", version="1"), envelope)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"seq":7', b'"seq":7.0'),
        (b'"seq":7', b'"seq":7e0'),
        (b'"seq":7', b'"seq":-7'),
        (b'"seq":7', b'"seq":9007199254740992'),
        (b'"seq":7', b'"seq":"7"'),
        (b'"seq":7', b'"seq":7,"seq":7'),
        (b'"seq":7', b'"seq":7,"zzz":1'),
        (b'"seq":7', b'"seq": 7'),
        (b'"seq":7', b'"seq":07'),
        (b'"seq":7,', b""),
        (b'"wseq":3', b'"wseq":true'),
        ("é".encode(), b"\\u00e9"),
        ("é".encode(), b"\xff"),
        ("é".encode(), b"\\ud800"),
        (b'"plugin.loaded"', b'"plugin.unknown"'),
        (b'"version":"1"', b'"version":null'),
        (b'"hooks":[]', b'"hooks":[[[[[[]]]]]]'),
        (b'"aigov.audit/1"', b'"aigov.audit/2"'),
        (b"}", b"} "),
        (b"{", b" {"),
    ],
)
def test_any_other_spelling_is_refused(line: bytes, old: bytes, new: bytes) -> None:
    assert old in line
    with pytest.raises(NotARecord):
        decode(line.replace(old, new, 1))


def test_fields_in_another_order_are_refused(line: bytes) -> None:
    fields = json.loads(line)
    swapped = json.dumps(dict(reversed(fields.items())), separators=(",", ":"), ensure_ascii=False).encode()
    assert json.loads(swapped) == fields
    with pytest.raises(NotARecord):
        decode(swapped)


@pytest.mark.parametrize("garbage", [b"", b"{}", b"[]", b"null", b"\xff\xfe", b"[" * 5000, b"{" * 5000, b'{"kind":1}'])
def test_garbage_is_refused(garbage: bytes) -> None:
    with pytest.raises(NotARecord):
        decode(garbage)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_record_or_refused(garbage: bytes) -> None:
    with pytest.raises(NotARecord):
        decode(garbage)


def test_a_line_over_the_limit_is_refused_unread(line: bytes) -> None:
    with pytest.raises(NotARecord, match="over 16384 bytes"):
        decode(line + b" " * MAX_BYTES)


ENVELOPE = Envelope(
    v=SCHEMA, seq=0, prev="", id="", ts="", mono_us=0, boot="", writer=Writer(id="", pid=0, wseq=0, ver="")
)


@pytest.mark.parametrize(
    "record",
    [
        CallOutcome(call="c", outcome="released", confidence_ppm=0.5),  # type: ignore[arg-type]
        CallOutcome(call="c", outcome="released", released_chars=2**53),
        CallOutcome(call="c", outcome="released", released_chars=-1),
        CallOutcome(call="c", outcome="nonsense"),  # type: ignore[arg-type]
        CallOutcome(call="\ud800", outcome="released"),
        CallOutcome(call="c", outcome="released", timing_us={"é": 1}),
        CallOutcome(call="c", outcome="released", timing_us={1: 1}),  # type: ignore[dict-item]
        CallOutcome(call="c", outcome="released", ticket=object()),  # type: ignore[arg-type]
        CallIntent(call="c" * MAX_BYTES, action="", resource=""),
    ],
)
def test_a_record_without_canonical_form_is_refused_and_not_quoted(record: Record) -> None:
    with pytest.raises(NotARecord) as caught:
        encode(record, ENVELOPE)
    assert caught.value.__context__ is None
    assert "\ud800" not in str(caught.value)


def test_a_link_is_the_leaf_hash_of_rfc_6962() -> None:
    assert link(b"") == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert origin_link("x") == link(b"aigov.audit/1 origin x")


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1_769_860_800_000_001_999, "2026-01-31T12:00:00.000001Z"),
        (4_102_444_799_999_999_000, "2099-12-31T23:59:59.999999Z"),
    ],
)
def test_a_timestamp_is_rfc_3339_in_microseconds(time_ns: int, text: str) -> None:
    assert timestamp(time_ns) == text


def test_plain_is_the_line_as_json(line: bytes) -> None:
    assert plain(line) == json.loads(line)


def test_reading_mends_nothing(line: bytes) -> None:
    """A name that today's rules would clean is read as it was written, or old logs would seem tampered with."""
    entry = decode(line.replace(b'"version":"1"', '"version":"‮"'.encode()))
    assert entry.version == "‮"
