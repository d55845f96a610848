"""What records are made of: bounded values, and no field that could hold content.

Invariants:
* Values are text, booleans, null, tuples, maps and integers from 0 to 2^53 - 1. There are no floats:
  scores are parts per million, times microseconds, so that every reader sees the same bytes.
* Names that come from an application are cut to a length and stripped of what is not printable; lists are
  cut to a number of entries, and `omitted` says how many were left out. So a record fits in 16 KiB.
* People appear as `ref`, a pseudonym that the caller gets; nobody's id is here.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

import msgspec

SCHEMA = "aigov.audit/1"
MAX_BYTES = 16 * 1024
MAX_INT = 2**53 - 1
ID_CHANCE_BYTES = 10
NAME_BYTES = 256
WORD_BYTES = 64
SHORT_BYTES = 32
ERROR_CHARS = 128
MAX_ENTRIES: Mapping[str, int] = MappingProxyType(
    {"reasons": 16, "shadow": 8, "findings": 24, "roles": 16, "on_behalf_of": 8, "hooks": 32, "path": 12, "dead": 64}
)

Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_INT)]
VerdictName = Literal["allow", "transform", "review", "deny"]

_VARIANT = MappingProxyType(dict(zip("0123456789abcdef", "89ab" * 4, strict=True)))
_NOT_IN_ERROR = re.compile(r"[^A-Za-z0-9_.:<>]")


def new_id() -> str:
    """A UUID version 7 as text (RFC 9562): sorts by the millisecond in which it was made."""
    return new_ids(1)[0]


def new_ids(count: int) -> list[str]:
    """So many of them, all of one millisecond."""
    moment, noise = f"{time.time_ns() // 1_000_000:012x}", os.urandom(ID_CHANCE_BYTES * count).hex()
    start = f"{moment[:8]}-{moment[8:]}-7"
    return [
        f"{start}{noise[at : at + 3]}-{_VARIANT[noise[at + 3]]}{noise[at + 4 : at + 7]}-{noise[at + 7 : at + 19]}"
        for at in range(0, len(noise), 2 * ID_CHANCE_BYTES)
    ]


def safe_name(text: str, limit: int = NAME_BYTES) -> str:
    """`text` as it may stand in a record: printable, no lone surrogates, at most `limit` bytes of UTF-8.

    What is not printable (controls, bidirectional marks, surrogates) becomes U+FFFD: a name must not be
    able to break a line, a terminal or an encoder.
    """
    name = text[: limit + 1]
    if not name.isprintable():
        name = "".join(char if char.isprintable() else "\ufffd" for char in name)
    written = name.encode()
    if len(written) <= limit:
        return name
    return written[: limit - len("…".encode())].decode(errors="ignore") + "…"


def error_name(error: BaseException | type[BaseException]) -> str:
    """An exception's type as `module:qualname`, never its message, at most 128 characters."""
    kind = error if isinstance(error, type) else type(error)
    return safe_error(f"{kind.__module__}:{kind.__qualname__}")


class Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """Base of what records are made of. None holds itself, so the garbage collector need not look at them."""


class Actor(Value, frozen=True, kw_only=True):
    """Who asked. `ref`: a random pseudonym (`subjects.py`); `on_behalf_of`: the refs of those an agent acts for."""

    ref: str
    roles: tuple[str, ...] = ()
    tenant: str = ""
    on_behalf_of: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        clean(self, "tenant")
        cut(self, "on_behalf_of")
        cut(self, "roles")
        put(self, "roles", tuple(safe_name(role, WORD_BYTES) for role in self.roles))


class Counted(Value, frozen=True, kw_only=True):
    """How often one type of finding occurred. `max_ppm`: its highest score in parts per million."""

    type: str
    kind: str
    count: Count
    max_ppm: Count = 0
    action: str = ""

    def __post_init__(self) -> None:
        clean(self, "type", WORD_BYTES)
        clean(self, "kind", SHORT_BYTES)
        clean(self, "action", SHORT_BYTES)


class ReasonRecord(Value, frozen=True, kw_only=True):
    """A reason as it stands in a record: code, rule and policy layer."""

    code: str
    rule: str = ""
    layer: str = ""

    def __post_init__(self) -> None:
        for field in ("code", "rule", "layer"):
            clean(self, field, WORD_BYTES)


class Shadow(Value, frozen=True, kw_only=True):
    """What a rule in shadow mode would have asked for."""

    verdict: VerdictName
    code: str
    rule: str = ""
    layer: str = ""

    def __post_init__(self) -> None:
        for field in ("code", "rule", "layer"):
            clean(self, field, WORD_BYTES)


class Access(Value, frozen=True, kw_only=True):
    """Why access was given or refused. `rule`: the line that decided; `path`: the roles that led to it.

    `near`: on a refusal, the line that came nearest and the fields that kept it away. `break_glass`: emergency
    rights were taken, for this reason; `until_ts`: RFC 3339 UTC, when the statement ends.
    """

    rule: str = ""
    path: tuple[str, ...] = ()
    near: str = ""
    break_glass: str = ""
    until_ts: str = ""

    def __post_init__(self) -> None:
        for field in ("rule", "near", "break_glass", "until_ts"):
            clean(self, field, WORD_BYTES)
        cut(self, "path")
        put(self, "path", tuple(safe_name(role, WORD_BYTES) for role in self.path))


class Size(Value, frozen=True, kw_only=True):
    """How much text: parts, and characters (code points) over all of them."""

    parts: Count = 0
    chars: Count = 0


class Payload(Value, frozen=True, kw_only=True):
    """Content that is kept outside of the log, under a key of the person whose call it is.

    `id`: its name, a UUID; `digest`: SHA-256 of the sealed bytes; `bytes`: how many those are; `commit`: a
    keyed digest of the content, which nobody can check, or guess from, once the key is destroyed.
    """

    id: str
    commit: str
    digest: str
    bytes: Count


class Record(Value, frozen=True, kw_only=True, tag_field="kind"):
    """Base of every kind. `KIND` is the text that stands under `kind` in a line."""

    @classmethod
    def kind(cls) -> str:
        """The kind's name, such as `call.intent`."""
        return str(cls.__struct_config__.tag)


def put(value: Value, field: str, to: Any) -> None:
    msgspec.structs.force_setattr(value, field, to)


def clean(value: Value, field: str, limit: int = NAME_BYTES) -> None:
    put(value, field, safe_name(getattr(value, field), limit))


def cut(value: Value, field: str) -> int:
    """Shorten a list to what a record has room for; returns how many entries were left out."""
    entries, room = getattr(value, field), MAX_ENTRIES[field]
    if len(entries) > room:
        put(value, field, entries[:room])
    return max(0, len(entries) - room)


def cut_lists(record: Any) -> None:
    """Shorten every list of a record. Decoding a record again changes nothing: nothing is left to cut."""
    lost = sum(cut(record, field) for field in ("reasons", "shadow", "findings") if hasattr(record, field))
    if lost:
        put(record, "omitted", record.omitted + lost)


def safe_error(text: str) -> str:
    return _NOT_IN_ERROR.sub("_", text)[:ERROR_CHARS]
