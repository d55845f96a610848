"""`aigov audit`: verify and read the record. Needs no policy, and works beside running programs."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from aigov.audit import checkpoints, known, reader
from aigov.audit.disk import reason
from aigov.audit.note import NoteError, VerifierKey
from aigov.audit.verify import Report, Status
from aigov.audit.verify import verify as verify_log
from aigov.cli import erasing, finding, options, proving, show, telling
from aigov.cli.exits import cannot
from aigov.crypto import KeyRing
from aigov.errors import PolicyError
from aigov.stores import LOG_LABEL

app = typer.Typer(rich_markup_mode=None, add_completion=False)
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the record.")]
WORDS = {0: "whole", 1: "tampered", 2: "incomplete or unsealed", 3: "cannot be checked"}
STYLES = {0: "bold green", 1: "bold red", 2: "bold yellow", 3: "bold red"}


@app.callback()
def audit() -> None:
    """Verify and read the record."""


@app.command()
def verify(
    folder: Folder = options.AUDIT,
    vkey: Annotated[str, typer.Option("--vkey", metavar="KEY", help="The public key: the line, or its file.")] = "",
    cosigner: Annotated[str, typer.Option(metavar="KEY", help="The key that cosigns, if any: line or file.")] = "",
    kept: Annotated[Path | None, typer.Option("--known", metavar="DIR", help="Where accepted states are kept.")] = None,
    keys: Annotated[Path | None, typer.Option("--keys", metavar="DIR", help="The keys, if not beside DIR.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Say whether the record is whole, and was signed by the key that you hold.

    Without --vkey the folder's own key is used. With the policy's keys at hand the writers' state is checked too.
    Exits 0 whole and sealed, 1 tampered, 2 incomplete or not sealed, 3 cannot check.
    """
    if not as_json and not folder.is_dir():
        raise cannot(f"cannot read the record in `{folder}`: no such folder")
    key, pinned = _key(folder, keys), proving.read_vkey(vkey) if vkey else None
    beside = proving.read_cosigner(cosigner) if cosigner else None
    place = kept if kept is not None else known.place()
    with show.meter("verifying", None) as meter:
        before = _known(place, folder, pinned)
        report = verify_log(folder, key, meter.reach, vkey=pinned, cosigner=beside, known=before)
    status = int(report.status)
    if report.status in (Status.WHOLE, Status.INCOMPLETE) and report.latest:
        known.keep(place, proving.read_vkey(report.vkey), report.latest.encode())
    if as_json:
        show.json_line({**msgspec.to_builtins(report), "word": WORDS[status]})
    else:
        _print_report(report)
    raise typer.Exit(status)


def _known(place: Path, folder: Path, pinned: VerifierKey | None) -> bytes | None:
    """The checkpoint that was accepted last of this log, as its key names it."""
    key = pinned
    with suppress(OSError, NoteError):  # what is wrong with the log's own file is for `verify` to say
        key = pinned or checkpoints.vkey(folder)
    try:
        return known.recall(place, key) if key is not None else None
    except OSError as error:
        raise cannot(f"cannot read what was accepted before, in `{place}`: {reason(error)}") from None


def _key(folder: Path, keys: Path | None) -> bytes | None:
    """The log's key: from the named folder, or from `keys` beside the record where that can be read."""
    if keys is not None:
        return KeyRing.load(keys).derive(LOG_LABEL)
    try:
        return KeyRing.load(options.keys_of(folder, None)).derive(LOG_LABEL)
    except PolicyError:
        return None


@app.command()
def tail(
    folder: options.Audit = options.AUDIT,
    count: Annotated[int, typer.Option("--lines", "-n", min=1, max=10_000, help="How many records.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written, until Ctrl-C.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """The last records, oldest first."""
    with telling.reading(folder):
        records = reader.tail(folder, count)
        telling.lines(records, as_json)
        if follow:
            sys.stdout.flush()
            since = records[-1]["seq"] + 1 if records else 0
            for record in reader.follow(folder, since=since):
                telling.lines([record], as_json)
                sys.stdout.flush()


def _print_report(report: Report) -> None:
    out = show.console()
    status = int(report.status)
    out.print(WORDS[status], style=STYLES[status])
    rows = [
        ("records", report.records),
        ("from", report.first_ts),
        ("to", report.last_ts),
        ("sealed", "yes" if report.sealed else "no"),
        ("signed up to record", f"{report.covered} (checkpoints: {report.checkpoints})"),
        ("calls still open", report.open_calls),
        ("calls without an end", report.orphaned_calls),
        ("held against the key", report.vkey or "none"),
        ("which came from", "outside, as it should" if report.pinned else "the folder itself: pin it with --vkey"),
        ("writers' state checked", "yes" if report.keyed else "no"),
    ]
    out.print(show.pairs(rows))
    if report.problems:
        faults = [(one.file, one.line or "", WORDS[int(one.status)], one.what) for one in report.problems]
        out.print(show.table(("file", "line", "", "what"), faults, right=("line",)))
    if report.more:
        out.print(f"and {report.more} more")


finding.add(app)
proving.add(app)
erasing.add(app)
