"""One record, one line, one way to write it: RFC 8785 by restriction.

Invariants:
* The bytes on disk are the canonical form, so that a verifier hashes what it reads and never rewrites it.
* A line is read strictly: unknown kinds and fields, missing or repeated ones, floats, integers outside of
  0 to 2^53 - 1, invalid UTF-8 and any other spelling of the same value are refused, because
  `encode(decode(line)) == line` has to hold.
* `link` is the only place that says how a line is bound to the one before it.

Within these limits sorting by code point and shortest escapes are what RFC 8785 asks for; it differs only
on floats, on integers beyond 2^53 and on keys outside of ASCII, none of which can occur here.
"""

from __future__ import annotations

import datetime
import functools
import hashlib
from collections.abc import Mapping
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from aigov.audit.merkle import LEAF
from aigov.audit.records import KINDS, MAX_BYTES, SCHEMA, Count, Record, Value
from aigov.errors import AigovError

ORIGIN = "aigov.audit/1 origin "
_EPOCH = datetime.datetime(1970, 1, 1)  # UTC by construction; no zone is ever attached


class NotARecord(AigovError):
    """Bytes that are not one record in canonical form, or a record that has no such form."""

    code = "audit.not_a_record"

    def __init__(self, why: str = "") -> None:
        self.why = why
        super().__init__(self.code + (f": {why}" if why else ""))


class Writer(Value, frozen=True, kw_only=True):
    """Who wrote a line: a random id, the process, the writer's own count from 0, and its software."""

    id: str
    pid: Count
    wseq: Count
    ver: str


class Envelope(Value, frozen=True, kw_only=True):
    """What the log adds to a record.

    `seq` counts from 0 without gaps; `prev` is the link of the line before; `ts` is RFC 3339 UTC in
    microseconds; `mono_us` is the monotonic clock of the boot that `boot` names.
    """

    v: str
    seq: Count
    prev: str
    id: str
    ts: str
    mono_us: Count
    boot: str
    writer: Writer


def _fields(*kinds: type[msgspec.Struct]) -> list[tuple[str, Any]]:
    """The fields of structs, all required: each line has exactly one form."""
    return [(field.name, _as_read(field.type)) for kind in kinds for field in msgspec.structs.fields(kind)]


@functools.cache
def _as_read(type_: Any) -> Any:
    """A type with its structs replaced by twins that check and change nothing, as reading must not mend."""
    if isinstance(type_, type) and issubclass(type_, Value):
        fields = sorted(_fields(type_))  # an encoder that keeps this order writes the canonical one
        return msgspec.defstruct(type_.__name__, fields, bases=(Value,), frozen=True, kw_only=True)
    origin, inner = get_origin(type_), get_args(type_)
    if not inner or origin in (Annotated, Literal):
        return type_
    twins = tuple(map(_as_read, inner))
    return Union[twins] if origin in (Union, UnionType) else origin[twins]  # noqa: UP007 - made, not written


def _line_type(kind: type[Record]) -> type[msgspec.Struct]:
    """The struct of one kind's whole line, its fields in canonical order."""
    fields = sorted([*_fields(Envelope, kind), ("kind", Literal[kind.kind()])])
    return msgspec.defstruct(kind.__name__, fields, bases=(Value,), frozen=True, kw_only=True)


_ENCODER = msgspec.json.Encoder(order="sorted")
_LINE_TYPES: Mapping[str, type[msgspec.Struct]] = MappingProxyType({kind.kind(): _line_type(kind) for kind in KINDS})
_IN_ORDER = msgspec.json.Encoder()
_DECODERS: Mapping[bytes, msgspec.json.Decoder[Any]] = MappingProxyType(
    {kind.encode(): msgspec.json.Decoder(struct) for kind, struct in _LINE_TYPES.items()}
)
_KIND = b'"kind":"'


def line_types() -> Mapping[str, type[msgspec.Struct]]:
    """The struct of a whole line, for each kind."""
    return _LINE_TYPES


def encode(record: Record, envelope: Envelope) -> bytes:
    """The canonical line of a record, without its newline. Raises NotARecord where there is none."""
    line, why = b"", ""
    try:
        line = _ENCODER.encode(as_mapping(record, envelope))
    except (UnicodeEncodeError, TypeError, ValueError, RecursionError):
        why = "a value has no canonical form"
    if why:
        raise NotARecord(why)
    # A struct is not checked when it is made; what was written is therefore read back before it counts.
    _typed(line, _DECODERS.get(record.kind().encode()))
    return line


def decode(line: bytes) -> Any:
    """The record and envelope of a line, as one frozen struct. Raises NotARecord for anything else."""
    entry = _typed(line)
    if _IN_ORDER.encode(entry) != line:
        raise NotARecord("not in canonical form")
    return entry


def link(line: bytes) -> str:
    """What the next line's `prev` says of this one: its leaf hash in the tree (RFC 6962), in hex."""
    return hashlib.sha256(LEAF + line).hexdigest()


def origin_link(origin: str) -> str:
    """What the first line's `prev` says: the link of the origin line, which is the log's identity."""
    return link((ORIGIN + origin).encode())


def timestamp(time_ns: int) -> str:
    """Nanoseconds since 1970 as RFC 3339 UTC with microseconds: `2026-01-31T12:00:00.000001Z`."""
    moment = _EPOCH + datetime.timedelta(microseconds=time_ns // 1000)
    return moment.isoformat(timespec="microseconds") + "Z"


def micros(ts: str) -> int:
    """Microseconds since 1970 of a time as `timestamp` writes it; 0 for any other text."""
    try:
        return (datetime.datetime.fromisoformat(ts.removesuffix("Z")) - _EPOCH) // datetime.timedelta(microseconds=1)
    except (ValueError, TypeError):
        return 0


def as_mapping(record: Record, envelope: Envelope) -> dict[str, Any]:
    """Record and envelope as one flat mapping; nested values stay structs."""
    fields = msgspec.structs.asdict(record)
    fields["kind"] = record.kind()
    fields.update(msgspec.structs.asdict(envelope))
    return fields


def plain(line: bytes) -> dict[str, Any]:
    """A line as plain dicts, lists, text and integers, after reading it strictly."""
    decode(line)
    fields: dict[str, Any] = msgspec.json.decode(line)
    return fields


def _decoder(line: bytes) -> msgspec.json.Decoder[Any]:
    """What reads lines of this one's kind. Raises KeyError.

    In canonical order the record's own `kind` comes after those of its findings. Should that be wrong for a
    line it is refused: each decoder takes its own kind alone.
    """
    start = line.rfind(_KIND) + len(_KIND)
    return _DECODERS[line[start : line.find(b'"', start)]]


def _typed(line: bytes, decoder: msgspec.json.Decoder[Any] | None = None) -> Any:
    """The values of a line, each of the type and within the bounds that its field has. `decoder`: of its kind."""
    entry: Any = None
    why = ""
    if len(line) > MAX_BYTES:
        why = f"over {MAX_BYTES} bytes"
    else:
        try:
            entry = (decoder or _decoder(line)).decode(line)
        except (KeyError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            why = "not a record of a known kind"
    if not why and entry.v != SCHEMA:
        why = "not of this schema"
    if not why and not line.isascii() and not all(map(str.isascii, getattr(entry, "timing_us", ()))):
        why = "a key outside of ASCII"
    if why:
        raise NotARecord(why)
    return entry
