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


class End(NamedTuple):
    """Where a log ends: how many records, in which segment, at which byte of it, the last line's leaf hash.

    `bytes`: over all segments.
    """

    records: int
    segment: int
    offset: int
    last: str
    bytes: int

    def after(self, line: Line) -> End:
        """The end once `line` is appended."""
        size = len(line) + 1
        return End(self.records + 1, self.segment, self.offset + size, link(line), self.bytes + size)

    def begun(self, segment: int) -> End:
        """The same end, at the beginning of another segment."""
        return self._replace(segment=segment, offset=0)
