"""`aigov audit`: verify and read the record. Needs no policy, and works beside running programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from aigov.audit import reader
from aigov.audit.canonical import NotARecord
from aigov.audit.verify import verify as verify_log
from aigov.cli import options, show
from aigov.cli.exits import Exit, cannot

app = typer.Typer(rich_markup_mode=None, add_completion=False, help="Verify and read the record.")
Folder = Annotated[Path, typer.Argument(metavar="[DIR]", help="The folder of the record.")]
WORDS = {0: "whole", 1: "tampered", 2: "incomplete or unsealed", 3: "cannot be checked"}
STYLES = {0: "bold green", 1: "bold red", 2: "bold yellow", 3: "bold red"}
ENVELOPE = {"v", "seq", "prev", "id", "ts", "mono_us", "boot", "writer", "kind"}


@app.callback()
def audit() -> None:
    """Verify and read the record."""


@app.command()
def verify(folder: Folder = options.AUDIT, as_json: options.AsJson = False) -> None:
    """Say whether the record is whole.

    Exits 0 whole and sealed, 1 tampered, 2 incomplete or not sealed, 3 cannot check.
    """
    report = verify_log(folder)
    status = int(report.status)
    if as_json:
        show.json_line({"status": status, "word": WORDS[status], **msgspec.to_builtins(report)})
    else:
        _print_report(report, status)
    raise typer.Exit(status)


@app.command()
def tail(
    folder: options.Audit = options.AUDIT,
    count: Annotated[int, typer.Option("--lines", "-n", min=1, max=10_000, help="How many records.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written, until Ctrl-C.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """The last records, oldest first."""
    with _reading(folder):
        records = reader.tail(folder, count)
        _print_records(records, as_json)
        if follow:
            since = records[-1]["seq"] + 1 if records else 0
            for record in reader.follow(folder, since=since):
                _print_records([record], as_json)


@app.command("show")
def show_records(
    wanted: Annotated[str, typer.Argument(metavar="ID", help="The id of a record, a call or a ticket.")],
    folder: options.Audit = options.AUDIT,
    as_json: options.AsJson = False,
) -> None:
    """Every record of one call, ticket or id. Exits 1 where there is none."""
    with _reading(folder):
        found = reader.find(folder, wanted)
    if as_json:
        _print_records(found, as_json)
    else:
        out = show.console()
        for record in found:
            rows = [(key, _value(value)) for key, value in record.items() if value not in (None, "", [], {})]
            out.print(show.table((record["kind"], ""), rows))
        if not found:
            out.print("no such record")
    raise typer.Exit(Exit.OK if found else Exit.NO)


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
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


def _print_report(report: Any, status: int) -> None:
    out = show.console()
    out.print(WORDS[status], style=STYLES[status])
    plain = {key: value for key, value in msgspec.to_builtins(report).items() if key != "status"}
    out.print(show.table(("", ""), [(key, _value(value)) for key, value in plain.items()]))


def _print_records(records: list[Mapping[str, Any]], as_json: bool) -> None:
    if as_json:
        for record in records:
            show.json_line(record)
        return
    if records:
        rows = [(one["seq"], str(one["ts"])[:19], one["kind"], _gist(one)) for one in records]
        show.console().print(show.table(("seq", "when (UTC)", "kind", "what"), rows, right=("seq",)))


def _gist(record: Mapping[str, Any]) -> str:
    """What a record says, in a line."""
    said = [str(record[key]) for key in ("action", "resource", "verdict", "outcome") if record.get(key)]
    said += [str(reason["code"]) for reason in record.get("reasons") or ()]
    said += [f"{found['count']} {found['type']}" for found in record.get("findings") or ()]
    for key in ("plugin", "error", "ticket"):
        if record.get(key):
            said.append(f"{key} {record[key]}")
    return ", ".join(dict.fromkeys(said))


def _value(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
