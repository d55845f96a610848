"""Showing records to people and to machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from aigov.audit.canonical import NotARecord
from aigov.cli import show
from aigov.cli.exits import cannot


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """What goes wrong while a log is read, as one line."""
    try:
        yield
        return
    except NotARecord as error:
        why = str(error)
    except BrokenPipeError:
        raise
    except OSError as error:
        why = f"cannot read the record in `{folder}`: {error.strerror or 'unknown fault'}"
    raise cannot(why)


def lines(records: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """Records, a line each: as they stand in the log, or as a table."""
    if as_json:
        for record in records:
            show.json_line(record)
        return
    if records:
        rows = [(one["seq"], str(one["ts"])[:19], one["kind"], gist(one)) for one in records]
        show.console().print(show.table(("seq", "when (UTC)", "kind", "what"), rows, right=("seq",)))


def whole(records: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """Records with everything in them, one under the other."""
    if as_json:
        lines(records, as_json)
        return
    out = show.console()
    for record in records:
        rows = [(key, _value(value)) for key, value in record.items() if value not in (None, "", [], {})]
        out.print(record["kind"], style="bold")
        out.print(show.pairs(rows))


def gist(record: Mapping[str, Any]) -> str:
    """What a record says, in a line."""
    said = [str(record[key]) for key in ("action", "resource", "verdict", "outcome") if record.get(key)]
    said += [str(reason["code"]) for reason in record.get("reasons") or ()]
    said += [f"{found['count']} {found['type']}" for found in record.get("findings") or ()]
    for key in ("plugin", "error", "ticket", "basis", "reason"):
        if record.get(key):
            said.append(f"{key} {record[key]}")
    return ", ".join(dict.fromkeys(said))


def _value(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
