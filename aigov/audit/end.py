"""Where a log ends, and what says that it must not be continued."""

from __future__ import annotations

from typing import NamedTuple

from aigov.audit.canonical import link
from aigov.errors import AigovError


class Damaged(AigovError):
    """A log that must not be continued, because it is not what its writers left."""

    code = "audit.damaged"

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"{self.code}: {why}")


Line = bytes  # inside of `End` the name means a count


class Moment(NamedTuple):
    """When a line was made: microseconds since 1970 UTC, microseconds of the monotonic clock, and of which boot."""

    wall_us: int
    mono_us: int
    boot: str


class End(NamedTuple):
    """Where a log ends: how many records, in which segment, at which byte of it, the last line's leaf hash.

    `bytes`: over all segments. `at`: when the last line was made, None where that is not known.
    """

    records: int
    segment: int
    offset: int
    last: str
    bytes: int
    at: Moment | None = None

    def after(self, line: Line, at: Moment) -> End:
        """The end once `line`, made at that moment, is appended."""
        size = len(line) + 1
        return End(self.records + 1, self.segment, self.offset + size, link(line), self.bytes + size, at)

    def begun(self, segment: int) -> End:
        """The same end, at the beginning of another segment."""
        return self._replace(segment=segment, offset=0)
