"""What a record may say: one frozen struct a kind. This module has the kinds about calls, people and policies.

A struct holds what its writer knows. The log adds the envelope: `v`, `seq`, `prev`, `id`, `ts`, `mono_us`, `boot` and
`writer` (`canonical.py`). What values may be is in `values.py`, what the log says of itself in `selfsaid.py`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from aigov.audit.selfsaid import (
    ClockStep,
    Gap,
    Heartbeat,
    KeyRotated,
    LogGenesis,
    LogSealed,
    SegmentAbandoned,
    SinkDegraded,
    SinkRecovered,
    WriterStart,
    WriterStop,
)
from aigov.audit.values import (
    MAX_BYTES,
    MAX_ENTRIES,
    MAX_INT,
    SCHEMA,
    WORD_BYTES,
    Access,
    Actor,
    Count,
    Counted,
    Payload,
    ReasonRecord,
    Record,
    Shadow,
    Size,
    Value,
    VerdictName,
    clean,
    cut,
    cut_lists,
    error_name,
    new_id,
    put,
    safe_error,
    safe_name,
)

__all__ = [
    "KINDS",
    "MAX_BYTES",
    "MAX_ENTRIES",
    "MAX_INT",
    "SCHEMA",
    "WORD_BYTES",
    "Access",
    "Actor",
    "AuditRead",
    "CallDenied",
    "CallIntent",
    "CallOrphaned",
    "CallOutcome",
    "CallWithdrawn",
    "ClockStep",
    "ContentExpired",
    "Count",
    "Counted",
    "Gap",
    "Heartbeat",
    "KeyRotated",
    "LegalHoldReleased",
    "LegalHoldSet",
    "LogGenesis",
    "LogSealed",
    "Outcome",
    "Payload",
    "PluginFault",
    "PluginLoaded",
    "PolicyActivated",
    "PolicyLifted",
    "PolicyLockdown",
    "PolicyRejected",
    "ReasonRecord",
    "Record",
    "ReviewDecided",
    "ReviewOpened",
    "SegmentAbandoned",
    "Shadow",
    "SinkDegraded",
    "SinkRecovered",
    "Size",
    "StreamOpened",
    "SubjectErased",
    "Value",
    "VerdictName",
    "WriterStart",
    "WriterStop",
    "error_name",
    "new_id",
    "safe_name",
]

Outcome = Literal["released", "withheld", "provider.error", "cancelled", "abandoned", "review"]


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
    timing_us: dict[str, Count] = msgspec.field(default_factory=dict)
    omitted: Count = 0

    def __post_init__(self) -> None:
        clean_call(self)


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
    timing_us: dict[str, Count] = msgspec.field(default_factory=dict)
    omitted: Count = 0

    def __post_init__(self) -> None:
        clean_call(self)


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
    timing_us: dict[str, Count] = msgspec.field(default_factory=dict)
    omitted: Count = 0

    def __post_init__(self) -> None:
        put(self, "error", safe_error(self.error))
        cut_lists(self)


class CallOrphaned(Record, frozen=True, kw_only=True, tag="call.orphaned"):
    """A call whose writer ended between intent and outcome. `left_by`: that writer's id."""

    call: str
    left_by: str
    why: Literal["crashed", "closed"]


class CallWithdrawn(Record, frozen=True, kw_only=True, tag="call.withdrawn"):
    """A record became durable after whoever waited for it had been refused. `record`: its id; `of`: its kind.

    No call came of such an intent; no answer was released after such an opening or outcome, whatever it says.
    """

    call: str
    record: str
    of: Literal["call.intent", "stream.opened", "call.outcome"]


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
        cut_lists(self)


class ReviewOpened(Record, frozen=True, kw_only=True, tag="review.opened"):
    """A person was asked. `expires_ts`: RFC 3339 UTC, after which the answer is no."""

    call: str
    ticket: str
    direction: Literal["input", "output"]
    reasons: tuple[ReasonRecord, ...] = ()
    expires_ts: str = ""
    omitted: Count = 0

    def __post_init__(self) -> None:
        cut_lists(self)


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
        clean(self, "layer", WORD_BYTES)
        clean(self, "name")


class PolicyRejected(Record, frozen=True, kw_only=True, tag="policy.rejected"):
    """A policy was refused and the one before stays. `policy`: its digest, "" where it could not be read.

    `first`: where its first problem stands, `file:line:column`, without what stands there.
    """

    policy: str = ""
    problems: Count = 1
    first: str = ""

    def __post_init__(self) -> None:
        clean(self, "first")


class PolicyLockdown(Record, frozen=True, kw_only=True, tag="policy.lockdown"):
    """From here on every call is refused. `by`: the ref of who ordered it, "" where it is not known."""

    by: str = ""
    reason: str = ""

    def __post_init__(self) -> None:
        clean(self, "reason", WORD_BYTES)


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
        clean(self, "plugin")
        clean(self, "version", WORD_BYTES)
        cut(self, "hooks")
        put(self, "hooks", tuple(safe_name(hook, WORD_BYTES) for hook in self.hooks))


class PluginFault(Record, frozen=True, kw_only=True, tag="plugin.fault"):
    """A guard or plugin broke. `error`: the exception's type, or the reason code of what went wrong."""

    plugin: str
    hook: str = ""
    error: str = ""
    call: str | None = None

    def __post_init__(self) -> None:
        clean(self, "plugin")
        clean(self, "hook", WORD_BYTES)
        put(self, "error", safe_error(self.error))


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
        clean(self, "basis", WORD_BYTES)


class LegalHoldSet(Record, frozen=True, kw_only=True, tag="legal_hold.set"):
    """From here on nothing of a person is erased or expires. `reason`: a code; `by`: the ref of who ordered it."""

    pseudonym: str
    reason: str
    by: str = ""

    def __post_init__(self) -> None:
        clean(self, "reason", WORD_BYTES)


class LegalHoldReleased(Record, frozen=True, kw_only=True, tag="legal_hold.released"):
    """A hold ended. `holds`: how many are still in force for this person."""

    pseudonym: str
    reason: str
    by: str = ""
    holds: Count = 0

    def __post_init__(self) -> None:
        clean(self, "reason", WORD_BYTES)


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


def clean_call(record: CallIntent | CallDenied) -> None:
    clean(record, "action")
    clean(record, "resource")
    cut_lists(record)


KINDS: tuple[type[Record], ...] = (
    LogGenesis,
    LogSealed,
    WriterStart,
    WriterStop,
    Heartbeat,
    ClockStep,
    KeyRotated,
    SegmentAbandoned,
    SinkDegraded,
    SinkRecovered,
    Gap,
    CallIntent,
    CallDenied,
    CallOutcome,
    CallOrphaned,
    CallWithdrawn,
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
