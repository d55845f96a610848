"""What a record may say: one frozen struct a kind, and no field that could hold content.

Invariants:
* Values are text, booleans, null, tuples, maps and integers from 0 to 2^53 - 1. There are no floats:
  scores are parts per million, times microseconds, so that every reader sees the same bytes.
* A struct holds what its writer knows. The log adds the envelope: `v`, `seq`, `prev`, `id`, `ts`,
  `mono_us`, `boot` and `writer` (`canonical.py`).
* Names that come from an application are cut to a length and stripped of what is not printable; lists are
  cut to a number of entries, and `omitted` says how many were left out. So a record fits in 16 KiB.
* People appear as `ref`, a keyed digest that the caller makes; nobody's id is here.
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
NAME_BYTES = 256
WORD_BYTES = 64
SHORT_BYTES = 32
ERROR_CHARS = 128
MAX_ENTRIES: Mapping[str, int] = MappingProxyType(
    {"reasons": 16, "shadow": 8, "findings": 24, "roles": 16, "on_behalf_of": 8, "hooks": 32, "path": 12}
)

Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_INT)]
VerdictName = Literal["allow", "transform", "review", "deny"]
Outcome = Literal["released", "withheld", "provider.error", "cancelled", "abandoned", "review"]

_NOT_IN_ERROR = re.compile(r"[^A-Za-z0-9_.:<>]")


def new_id() -> str:
    """A UUID version 7 as text (RFC 9562): sorts by the millisecond in which it was made."""
    moment, noise = f"{time.time_ns() // 1_000_000:012x}", os.urandom(10).hex()
    variant = "89ab"[int(noise[3], 16) & 3]
    return f"{moment[:8]}-{moment[8:12]}-7{noise[:3]}-{variant}{noise[4:7]}-{noise[7:19]}"


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
    return _safe_error(f"{kind.__module__}:{kind.__qualname__}")


class Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what records are made of."""


class Actor(Value, frozen=True, kw_only=True):
    """Who asked. `ref`: a keyed digest of the id; `on_behalf_of`: the refs of those an agent acts for."""

    ref: str
    roles: tuple[str, ...] = ()
    tenant: str = ""
    on_behalf_of: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _clean(self, "tenant")
        _cut(self, "on_behalf_of")
        _cut(self, "roles")
        _set(self, "roles", tuple(safe_name(role, WORD_BYTES) for role in self.roles))


class Counted(Value, frozen=True, kw_only=True):
    """How often one type of finding occurred. `max_ppm`: its highest score in parts per million."""

    type: str
    kind: str
    count: Count
    max_ppm: Count = 0
    action: str = ""

    def __post_init__(self) -> None:
        _clean(self, "type", WORD_BYTES)
        _clean(self, "kind", SHORT_BYTES)
        _clean(self, "action", SHORT_BYTES)


class ReasonRecord(Value, frozen=True, kw_only=True):
    """A reason as it stands in a record: code, rule and policy layer."""

    code: str
    rule: str = ""
    layer: str = ""

    def __post_init__(self) -> None:
        for field in ("code", "rule", "layer"):
            _clean(self, field, WORD_BYTES)


class Shadow(Value, frozen=True, kw_only=True):
    """What a rule in shadow mode would have asked for."""

    verdict: VerdictName
    code: str
    rule: str = ""
    layer: str = ""

    def __post_init__(self) -> None:
        for field in ("code", "rule", "layer"):
            _clean(self, field, WORD_BYTES)


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
            _clean(self, field, WORD_BYTES)
        _cut(self, "path")
        _set(self, "path", tuple(safe_name(role, WORD_BYTES) for role in self.path))


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


class LogGenesis(Record, frozen=True, kw_only=True, tag="log.genesis"):
    """The first record of a log. `origin` is its identity, chosen at random; `prev` is the hash of its line.

    `key`: the verifier key (`vkey`) that signs the log's checkpoints.
    """

    origin: str
    key: str


class LogSealed(Record, frozen=True, kw_only=True, tag="log.sealed"):
    """The last writer closed. `records`: how many came before this one; `checkpoints`: at least so many."""

    records: Count
    checkpoints: Count = 0


class WriterStart(Record, frozen=True, kw_only=True, tag="writer.start"):
    """A process began to write. `torn_bytes` were found after the last whole line and moved aside.

    `quarantine`: name of the file that holds them. `crashed`: writers found dead that had not closed.
    A running writer says the same again when it finds what another left behind.
    """

    torn_bytes: Count = 0
    quarantine: str = ""
    crashed: Count = 0


class Heartbeat(Record, frozen=True, kw_only=True, tag="heartbeat"):
    """Nothing happened for a while, and the log can show it: a minute without a record is one that was cut out."""


class KeyRotated(Record, frozen=True, kw_only=True, tag="key.rotated"):
    """A new epoch: `next` signs beside the log's own key from the checkpoint after the one that covers this record.

    The epoch's key before it is destroyed then, so that nobody can sign anew what was signed with it.
    `epoch` counts from 1; `next`: a verifier key; `checkpoints`: at least so many were signed before.
    """

    epoch: Count
    next: str
    checkpoints: Count = 0


class SegmentAbandoned(Record, frozen=True, kw_only=True, tag="segment.abandoned"):
    """A sync failed: segment `segment` ends after `bytes` bytes, whatever else is found there.

    What waited for that sync was written again after this record. `error`: the system's short name.
    """

    segment: Count
    bytes: Count
    error: str = ""

    def __post_init__(self) -> None:
        _set(self, "error", _safe_error(self.error))


class SinkDegraded(Record, frozen=True, kw_only=True, tag="sink.degraded"):
    """The log cannot take records for now, and calls are refused. `error`: the system's short name."""

    error: str = ""

    def __post_init__(self) -> None:
        _set(self, "error", _safe_error(self.error))


class SinkRecovered(Record, frozen=True, kw_only=True, tag="sink.recovered"):
    """The log takes records again. `refused`: how many it could not take meanwhile."""

    refused: Count = 0


class Gap(Record, frozen=True, kw_only=True, tag="gap"):
    """Calls were made that could not be recorded, because the organisation's policy opens that fault.

    `count`: how many records are missing, between `first_ts` and `last_ts`; `error`: why, the last time.
    """

    count: Count
    first_ts: str = ""
    last_ts: str = ""
    error: str = ""

    def __post_init__(self) -> None:
        _set(self, "error", _safe_error(self.error))


class CallIntent(Record, frozen=True, kw_only=True, tag="call.intent"):
    """A call about to be made: durable before the provider sees it.

    `policy`, `plugins`: digests in hex. `session`: id or keyed digest, never the application's own text.
    `access`: why step 2 said what it said. `edits`: spans replaced on the way in. `timing_us`: microseconds by
    step. `omitted`: entries left out.
    """

    call: str
    action: str
    resource: str
    actor: Actor | None = None
    parent: str | None = None
    session: str = ""
    policy: str = ""
    plugins: str = ""
    verdict: VerdictName = "allow"
    reasons: tuple[ReasonRecord, ...] = ()
    shadow: tuple[Shadow, ...] = ()
    findings: tuple[Counted, ...] = ()
    access: Access | None = None
    size: Size = Size()
    payload: Payload | None = None
    edits: Count = 0
    ticket: str | None = None
    timing_us: dict[str, Count] = {}
    omitted: Count = 0

    def __post_init__(self) -> None:
        _clean_call(self)


class CallDenied(Record, frozen=True, kw_only=True, tag="call.denied"):
    """A call that was refused before it was made. `step`: the step of the path (0 to 8) that refused it."""

    call: str
    action: str
    resource: str
    step: Count
    actor: Actor | None = None
    parent: str | None = None
    session: str = ""
    policy: str = ""
    plugins: str = ""
    verdict: VerdictName = "deny"
    reasons: tuple[ReasonRecord, ...] = ()
    shadow: tuple[Shadow, ...] = ()
    findings: tuple[Counted, ...] = ()
    access: Access | None = None
    size: Size = Size()
    edits: Count = 0
    ticket: str | None = None
    timing_us: dict[str, Count] = {}
    omitted: Count = 0

    def __post_init__(self) -> None:
        _clean_call(self)


class CallOutcome(Record, frozen=True, kw_only=True, tag="call.outcome"):
    """How a call ended: durable before an answer is released (for a stream: what was released).

    `error`: the provider's exception type, `module:qualname`, or "". `restored`: tokens turned back.
    `confidence_ppm`: the lowest that the answer states of itself.
    """

    call: str
    outcome: Outcome
    error: str = ""
    verdict: VerdictName = "allow"
    reasons: tuple[ReasonRecord, ...] = ()
    shadow: tuple[Shadow, ...] = ()
    findings: tuple[Counted, ...] = ()
    size: Size = Size()
    payload: Payload | None = None
    released_chars: Count = 0
    released_chunks: Count = 0
    edits: Count = 0
    restored: Count = 0
    confidence_ppm: Count | None = None
    ticket: str | None = None
    timing_us: dict[str, Count] = {}
    omitted: Count = 0

    def __post_init__(self) -> None:
        _set(self, "error", _safe_error(self.error))
        _cut_lists(self)


class CallOrphaned(Record, frozen=True, kw_only=True, tag="call.orphaned"):
    """A call whose writer ended between intent and outcome. `left_by`: that writer's id."""

    call: str
    left_by: str
    why: Literal["crashed", "closed"]


class StreamOpened(Record, frozen=True, kw_only=True, tag="stream.opened"):
    """A stream was judged: durable before its first chunk is released. Its outcome closes it."""

    call: str
    verdict: VerdictName = "allow"
    reasons: tuple[ReasonRecord, ...] = ()
    size: Size = Size()
    payload: Payload | None = None
    chunks: Count = 0
    omitted: Count = 0

    def __post_init__(self) -> None:
        _cut_lists(self)


class ReviewOpened(Record, frozen=True, kw_only=True, tag="review.opened"):
    """A person was asked. `expires_ts`: RFC 3339 UTC, after which the answer is no."""

    call: str
    ticket: str
    direction: Literal["input", "output"]
    reasons: tuple[ReasonRecord, ...] = ()
    expires_ts: str = ""
    omitted: Count = 0

    def __post_init__(self) -> None:
        _cut_lists(self)


class ReviewDecided(Record, frozen=True, kw_only=True, tag="review.decided"):
    """A person answered. `by`: the reviewer's ref; `edited`: whether they changed the answer."""

    ticket: str
    call: str
    by: str
    approved: bool
    edited: bool = False


class PolicyActivated(Record, frozen=True, kw_only=True, tag="policy.activated"):
    """A policy came into force. `policy`, `plugins`: digests in hex."""

    policy: str
    plugins: str = ""
    layer: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        _clean(self, "layer", WORD_BYTES)
        _clean(self, "name")


class PolicyRejected(Record, frozen=True, kw_only=True, tag="policy.rejected"):
    """A policy was refused and the one before stays. `policy`: its digest, "" where it could not be read.

    `first`: where its first problem stands, `file:line:column`, without what stands there.
    """

    policy: str = ""
    problems: Count = 1
    first: str = ""

    def __post_init__(self) -> None:
        _clean(self, "first")


class PolicyLockdown(Record, frozen=True, kw_only=True, tag="policy.lockdown"):
    """From here on every call is refused. `by`: the ref of who ordered it, "" where it is not known."""

    by: str = ""
    reason: str = ""

    def __post_init__(self) -> None:
        _clean(self, "reason", WORD_BYTES)


class PolicyLifted(Record, frozen=True, kw_only=True, tag="policy.lifted"):
    """The lockdown ended. `by`: the ref of who ended it."""

    by: str = ""


class PluginLoaded(Record, frozen=True, kw_only=True, tag="plugin.loaded"):
    """A plugin was loaded. `digest`: of the installed distribution's RECORD, as pinned."""

    plugin: str
    version: str = ""
    digest: str = ""
    hooks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _clean(self, "plugin")
        _clean(self, "version", WORD_BYTES)
        _cut(self, "hooks")
        _set(self, "hooks", tuple(safe_name(hook, WORD_BYTES) for hook in self.hooks))


class PluginFault(Record, frozen=True, kw_only=True, tag="plugin.fault"):
    """A guard or plugin broke. `error`: the exception's type, or the reason code of what went wrong."""

    plugin: str
    hook: str = ""
    error: str = ""
    call: str | None = None

    def __post_init__(self) -> None:
        _clean(self, "plugin")
        _clean(self, "hook", WORD_BYTES)
        _set(self, "error", _safe_error(self.error))


class SubjectErased(Record, frozen=True, kw_only=True, tag="subject.erased"):
    """A person was forgotten: key and pseudonyms destroyed, kept content deleted.

    `erasure`: which erasure, a UUID. `pseudonym`: the last of `pseudonyms` that stood for the person, "" where
    none had been given. `basis`: why, a code such as `art17`. `by`: the ref of who ordered it. `blobs` and
    `bytes`: the content that was deleted with it.
    """

    erasure: str
    pseudonym: str
    pseudonyms: Count
    basis: str
    by: str = ""
    blobs: Count = 0
    bytes: Count = 0

    def __post_init__(self) -> None:
        _clean(self, "basis", WORD_BYTES)


class LegalHoldSet(Record, frozen=True, kw_only=True, tag="legal_hold.set"):
    """From here on nothing of a person is erased or expires. `reason`: a code; `by`: the ref of who ordered it."""

    pseudonym: str
    reason: str
    by: str = ""

    def __post_init__(self) -> None:
        _clean(self, "reason", WORD_BYTES)


class LegalHoldReleased(Record, frozen=True, kw_only=True, tag="legal_hold.released"):
    """A hold ended. `holds`: how many are still in force for this person."""

    pseudonym: str
    reason: str
    by: str = ""
    holds: Count = 0

    def __post_init__(self) -> None:
        _clean(self, "reason", WORD_BYTES)


class AuditRead(Record, frozen=True, kw_only=True, tag="audit.read"):
    """Kept content was opened for a reader. `by`: the reader's ref; `content`: which, by its id."""

    by: str
    content: str
    call: str = ""


class ContentExpired(Record, frozen=True, kw_only=True, tag="content.expired"):
    """Kept content reached the end of its time and was deleted. `held`: left alone because of a hold."""

    blobs: Count
    bytes: Count = 0
    held: Count = 0


KINDS: tuple[type[Record], ...] = (
    LogGenesis,
    LogSealed,
    WriterStart,
    Heartbeat,
    KeyRotated,
    SegmentAbandoned,
    SinkDegraded,
    SinkRecovered,
    Gap,
    CallIntent,
    CallDenied,
    CallOutcome,
    CallOrphaned,
    StreamOpened,
    ReviewOpened,
    ReviewDecided,
    PolicyActivated,
    PolicyRejected,
    PolicyLockdown,
    PolicyLifted,
    PluginLoaded,
    PluginFault,
    SubjectErased,
    LegalHoldSet,
    LegalHoldReleased,
    AuditRead,
    ContentExpired,
)


def _set(value: Value, field: str, to: Any) -> None:
    msgspec.structs.force_setattr(value, field, to)


def _clean(value: Value, field: str, limit: int = NAME_BYTES) -> None:
    _set(value, field, safe_name(getattr(value, field), limit))


def _cut(value: Value, field: str) -> int:
    """Shorten a list to what a record has room for; returns how many entries were left out."""
    entries, room = getattr(value, field), MAX_ENTRIES[field]
    if len(entries) > room:
        _set(value, field, entries[:room])
    return max(0, len(entries) - room)


def _cut_lists(record: Any) -> None:
    """Shorten every list of a record. Decoding a record again changes nothing: nothing is left to cut."""
    lost = sum(_cut(record, field) for field in ("reasons", "shadow", "findings") if hasattr(record, field))
    if lost:
        _set(record, "omitted", record.omitted + lost)


def _clean_call(record: CallIntent | CallDenied) -> None:
    _clean(record, "action")
    _clean(record, "resource")
    _cut_lists(record)


def _safe_error(text: str) -> str:
    return _NOT_IN_ERROR.sub("_", text)[:ERROR_CHARS]
