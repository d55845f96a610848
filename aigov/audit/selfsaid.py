"""What the log says of itself: who writes, what it met with, and when nothing happened."""

from __future__ import annotations

from aigov.audit.values import Count, Record, cut, put, safe_error


class LogGenesis(Record, frozen=True, kw_only=True, tag="log.genesis"):
    """The first record of a log. `origin` is its name, made of the first epoch's key; `prev` is the hash of its line.

    `key`: the verifier key (`vkey`) that signs the log's checkpoints; `epoch_key`: the one that signs beside it until
    the first `key.rotated`.
    """

    origin: str
    key: str
    epoch_key: str


class LogSealed(Record, frozen=True, kw_only=True, tag="log.sealed"):
    """The last writer closed. `records`: how many came before this one; `checkpoints`: at least so many."""

    records: Count
    checkpoints: Count = 0


class WriterStart(Record, frozen=True, kw_only=True, tag="writer.start"):
    """A process began to write. `torn_bytes` were found after the last whole line and moved aside.

    `quarantine`: name of the file that holds them. `crashed`: writers found dead that had not closed; `dead`: their
    ids, at most 64. A running writer says the same again when it finds what another left behind, and when it opens
    the log anew after a fault: why nothing came of it for a while.
    """

    torn_bytes: Count = 0
    quarantine: str = ""
    crashed: Count = 0
    dead: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        cut(self, "dead")


class WriterStop(Record, frozen=True, kw_only=True, tag="writer.stop"):
    """A process no longer writes, and others still do. The last one says `log.sealed` instead."""


class Heartbeat(Record, frozen=True, kw_only=True, tag="heartbeat"):
    """Nothing happened for a while, and the log can show it: a minute without a record is one that was cut out."""


class ClockStep(Record, frozen=True, kw_only=True, tag="clock.step"):
    """The wall clock was set: it stands `step_us` before (`back`) or after where the monotonic clock leads to.

    Measured from the record before this one. After a start of the machine that clock begins anew; then only a step
    back can be seen.
    """

    step_us: Count
    back: bool


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
        put(self, "error", safe_error(self.error))


class SinkDegraded(Record, frozen=True, kw_only=True, tag="sink.degraded"):
    """The log cannot take records for now, and calls are refused. `error`: the system's short name."""

    error: str = ""

    def __post_init__(self) -> None:
        put(self, "error", safe_error(self.error))


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
        put(self, "error", safe_error(self.error))
