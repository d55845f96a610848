"""The log for people: copies of records that are already durable, rendered by structlog; and why there are none.

It is a convenience. The record is the record; this may be switched off, lag, or lose a line.

Invariants:
* It is told after the fact and can change nothing; whoever calls it isolates and counts its faults.
* structlog's global configuration is neither used nor touched: an application keeps its own.
* What it shows is in the record: codes, names, counts. A line is one line, whatever a name holds.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from aigov.audit.disk import FILE_MODE

Write = Callable[[str], None]

QUIET_OUTCOMES = frozenset({"released", "cancelled"})
LEVELS: Mapping[str, int] = MappingProxyType(
    {
        "call.denied": logging.WARNING,
        "call.orphaned": logging.WARNING,
        "call.withdrawn": logging.WARNING,
        "clock.step": logging.WARNING,
        "review.opened": logging.WARNING,
        "review.decided": logging.WARNING,
        "policy.rejected": logging.ERROR,
        "policy.lockdown": logging.WARNING,
        "policy.lifted": logging.WARNING,
        "plugin.fault": logging.ERROR,
        "audit.unavailable": logging.ERROR,  # no record: there cannot be one
    }
)
SHOWN = (
    "call", "action", "resource", "verdict", "outcome", "error", "ticket", "approved", "edited", "plugin", "hook",
    "version", "layer", "name", "problems", "first", "by", "released_chars",
)  # fmt: skip


def level_of(record: Mapping[str, Any]) -> int:
    """How loud a record is: refusals, reviews and faults are warnings or errors, the rest is information.

    Emergency rights that were taken are an error, whatever became of the call.
    """
    if _emergency(record):
        return logging.ERROR
    if record.get("kind") == "call.outcome" and record.get("outcome") not in QUIET_OUTCOMES:
        return logging.WARNING
    return LEVELS.get(str(record.get("kind")), logging.INFO)


def gist(record: Mapping[str, Any]) -> dict[str, Any]:
    """What people are shown of a record: flat, and without what is empty."""
    shown = {field: record[field] for field in SHOWN if record.get(field) not in (None, "", 0)}
    actor = record.get("actor")
    if isinstance(actor, Mapping):
        shown["actor"] = str(actor.get("ref", ""))[:12]
    if _emergency(record):
        shown["break_glass"] = f"{record['access']['break_glass']} until {record['access'].get('until_ts', '')}"
    if record.get("reasons"):
        shown["reasons"] = ", ".join(_reason(reason) for reason in record["reasons"])
    if record.get("findings"):
        shown["findings"] = ", ".join(f"{found['type']} {found['count']}" for found in record["findings"])
    return {**shown, "record": record["id"]} if record.get("id") else shown


def renderer(
    write: Write, *, level: int = logging.WARNING, colors: bool = False
) -> Callable[[Mapping[str, Any]], None]:
    """A callable that renders records of at least `level` as a line each and hands them to `write`."""
    import structlog  # late: a tenth of a second that `import aigov` need not pay

    logger = structlog.wrap_logger(
        _Sink(write),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=colors),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        context_class=dict,
        cache_logger_on_first_use=False,
    )

    def tell(record: Mapping[str, Any]) -> None:
        logger.log(level_of(record), str(record.get("kind", "")), **gist(record))

    return tell


def to_stderr(line: str) -> None:
    """Write a line to whatever standard error is at this moment, in one piece: others write there too."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def to_file(path: Path) -> Write:
    """A writer that appends to `path`, opened anew for each line so that it may be rotated. Raises OSError."""

    def write(line: str) -> None:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, FILE_MODE)
        with os.fdopen(handle, "ab", buffering=0) as file:
            file.write(line.encode("utf-8", "replace") + b"\n")

    return write


class _Sink:
    """What structlog calls a logger: a method a level, each given the finished line."""

    def __init__(self, write: Write) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = write


def _emergency(record: Mapping[str, Any]) -> bool:
    """Whether emergency rights were taken: whoever runs the place should hear of it at once."""
    access = record.get("access")
    return isinstance(access, Mapping) and bool(access.get("break_glass"))


def _reason(reason: Mapping[str, Any]) -> str:
    return f"{reason['code']} [{reason['rule']}]" if reason.get("rule") else str(reason["code"])
