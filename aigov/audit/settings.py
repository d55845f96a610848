"""The policy's `audit:` section."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec


class People(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where people read what happened. `to`: `stderr`, `off` or a path ending in `.log`.

    A relative path is taken from the folder that holds the policy folder. `level`: `warning` shows
    refusals, reviews and faults; `info` shows every record.
    """

    to: str = "stderr"
    level: Literal["info", "warning"] = "warning"


class AuditSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`on_failure`: a call that cannot be recorded is refused; there is no other value.

    `patience_ms`: how long a call waits for the disk, in milliseconds, before it is refused.
    """

    on_failure: Literal["deny"] = "deny"
    patience_ms: Annotated[int, msgspec.Meta(ge=100, le=60_000)] = 5_000
    people: People = People()
