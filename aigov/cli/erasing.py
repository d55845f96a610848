"""`aigov audit erase | hold | release | expire | content`: what is kept of a person, and forgetting it.

Invariants:
* What makes something possible is recorded before it is done (a hold that ends, content that is read); what forbids
  or destroys is done first, so that a record that cannot be written leaves nothing undone.
* Holds are set and released one at a time, table and record together: what the log says last is so.
* Nobody's id and nothing of what is looked for is printed.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import typer

from aigov.audit.erasure import Eraser, TooYoung, Trace, alone, places, too_short, traces
from aigov.audit.log import Log
from aigov.audit.payloads import MICRO, Gone, Origin, Payloads
from aigov.audit.records import AuditRead, LegalHoldReleased, LegalHoldSet, Payload
from aigov.audit.search import Query, search
from aigov.audit.settings import AuditSettings
from aigov.audit.subjects import Erasure, Held, Hold, Row, Subjects
from aigov.audit.verify import Report, Status, verify
from aigov.cli import options, show, switching, telling
from aigov.cli.exits import Exit, Stop, cannot, usage
from aigov.crypto import KeyRing
from aigov.errors import AuditUnavailable
from aigov.policy.source import read
from aigov.snapshot import load
from aigov.stores import LOG_LABEL

CODE = re.compile(r"[a-z0-9_.]{1,64}", re.ASCII)
MAX_TEXTS = 10_000

Subject = Annotated[str, typer.Option("--subject", metavar="ID", help="The person's id; `-` reads it from stdin.")]
Tenant = Annotated[str | None, typer.Option("--tenant", metavar="TENANT", help="In one tenant; else in all.")]
ByTenant = Annotated[str, typer.Option("--as-tenant", metavar="TENANT", help="The tenant of who acts.")]
Reason = Annotated[str, typer.Option("--reason", metavar="CODE", help="Why, as a code: a-z, 0-9, `_` and `.`.")]


class Opened(NamedTuple):
    """A log with its people, for one command."""

    folder: Path
    key: bytes
    people: Subjects
    payloads: Payloads
    settings: AuditSettings


def add(app: typer.Typer) -> None:
    """Put the commands of this file under `app`."""
    for name, command in (
        ("erase", erase), ("hold", hold), ("release", release), ("expire", expire), ("content", content),
    ):  # fmt: skip
        app.command(name)(command)


def erase(
    subject: Subject,
    basis: Annotated[str, typer.Option("--basis", metavar="CODE", help="On what ground, such as `art17`.")],
    who: options.As,
    tenant: Tenant = None,
    who_tenant: ByTenant = "",
    also: Annotated[list[Path] | None, typer.Option("--also", metavar="PATH", help="Search there as well.")] = None,
    look_for: Annotated[
        Path | None, typer.Option("--look-for", metavar="FILE", help="Texts that should be gone, a line each.")
    ] = None,
    policies: options.Policies = options.POLICIES,
    audit: options.Audit = options.AUDIT,
    as_json: options.AsJson = False,
) -> None:
    """Forget a person: destroy key and pseudonyms, delete kept content, record it, verify the log, search.

    Exits 0 erased, the log not tampered with and nothing found; 1 refused, or nobody is known by that id; 2
    something was found or the log is not right. Erasures that were interrupted are finished first, and it is searched
    also where nobody is known any more.
    """
    id, texts, more = _subject(subject), _texts(look_for), _there(also or [])
    with _opened(policies, audit) as opened:
        by = opened.people.refer(who, who_tenant)
        with _log(opened) as log:
            resumed, done = _erased(opened, log, id, tenant, _code(basis, "--basis"), by)
        values = _forgotten(policies, id, tenant)
        with show.meter("verifying", None) as meter:
            report = verify(opened.folder, opened.key, meter.reach)
        with show.meter("searching", None) as meter:
            left = traces(places(opened.folder, opened.people, more), [id, *texts], meter.reach)
    short = sum(too_short(text) for text in [id, *texts] if text)
    _told(done, {"vault": values, "resumed": resumed, "unsearched": short}, report, left, as_json)
    if left or report.status not in (Status.WHOLE, Status.INCOMPLETE):
        raise typer.Exit(Exit.INCOMPLETE)
    if not done and not values:
        finished = f"; finished what was interrupted: {show.counted(resumed, 'erasure')}" if resumed else ""
        raise Stop(Exit.NO, f"nobody is known by that id{finished}")


def hold(
    subject: Subject,
    reason: Reason,
    who: options.As,
    tenant: Tenant = None,
    who_tenant: ByTenant = "",
    policies: options.Policies = options.POLICIES,
    audit: options.Audit = options.AUDIT,
    as_json: options.AsJson = False,
) -> None:
    """Keep everything of a person from being erased or expiring. Exits 1 where nobody is known by that id.

    With `--tenant` somebody who is not known yet is held in advance.
    """
    id, code = _subject(subject), _code(reason, "--reason")
    with _opened(policies, audit) as opened, alone(opened.people.folder):
        by = opened.people.refer(who, who_tenant)
        rows = opened.people.hold(id, tenant, Hold(code, by, round(time.time() * MICRO)))
        if not rows:
            raise Stop(Exit.NO, "nobody is known by that id; name `--tenant` to hold in advance")
        try:
            with _log(opened) as log:
                for row in rows:
                    log.append(LegalHoldSet(pseudonym=row.refs[-1][0], reason=code, by=by))
        except AuditUnavailable:
            rows = []
    if not rows:
        raise Stop(Exit.INCOMPLETE, "the hold is in force, but the record could not be written")
    _holds("held", rows, as_json)


def release(
    subject: Subject,
    reason: Reason,
    who: options.As,
    tenant: Tenant = None,
    who_tenant: ByTenant = "",
    policies: options.Policies = options.POLICIES,
    audit: options.Audit = options.AUDIT,
    as_json: options.AsJson = False,
) -> None:
    """End a hold. It is recorded first. Exits 1 where there is none for that reason."""
    id, code = _subject(subject), _code(reason, "--reason")
    with _opened(policies, audit) as opened, alone(opened.people.folder):
        by = opened.people.refer(who, who_tenant)
        held = [row for row in opened.people.people(id, tenant) if any(one.reason == code for one in row.holds)]
        if not held:
            raise Stop(Exit.NO, "there is no such hold")
        with _log(opened) as log:
            for row in held:
                left = len(row.holds) - 1
                log.append(LegalHoldReleased(pseudonym=row.refs[-1][0], reason=code, by=by, holds=left))
        rows = opened.people.release(id, tenant, code)
    _holds("released", rows, as_json)


def expire(
    policies: options.Policies = options.POLICIES,
    audit: options.Audit = options.AUDIT,
    as_json: options.AsJson = False,
) -> None:
    """Delete kept content whose time is over (`audit.keep.retention`), and go on with what a crash interrupted."""
    with _opened(policies, audit) as opened, _log(opened) as log:
        eraser = Eraser(opened.folder, opened.people, opened.payloads, log.append, times=opened.settings.keep.times)
        resumed, record = eraser.resume(), eraser.expire()
    told = {
        "blobs": record.blobs if record else 0,
        "bytes": record.bytes if record else 0,
        "held": record.held if record else 0,
        "resumed": resumed,
    }
    show.json_line(told) if as_json else show.console().print(show.pairs(told.items()))


def content(
    wanted: Annotated[str, typer.Argument(metavar="ID", help="A call, or the id of kept content.")],
    subject: Subject,
    who: options.As,
    tenant: Tenant = None,
    who_tenant: ByTenant = "",
    policies: options.Policies = options.POLICIES,
    audit: options.Audit = options.AUDIT,
    as_json: options.AsJson = False,
) -> None:
    """Show what was kept of a call, to somebody who names whose call it was. That it is read is recorded first.

    Exits 1 where there is nothing, or nothing that this person's key opens.
    """
    id = _subject(subject)
    with _opened(policies, audit) as opened:
        with telling.reading(opened.folder):
            found = [record for record in search(opened.folder, Query(about=wanted)).records if record.get("payload")]
        rows, shown = opened.people.people(id, tenant), 0
        by = opened.people.refer(who, who_tenant)
        with _log(opened) as log:
            for record in found:
                payload = msgspec.convert(record["payload"], Payload)
                texts = _first(opened, payload, rows)
                if texts is not None:
                    log.append(AuditRead(by=by, content=payload.id, call=str(record.get("call", ""))))
                    _print_content(record, texts, as_json)
                    shown += 1
    if not shown:
        raise Stop(Exit.NO, "nothing is kept there of that person, or it was erased")


def _erased(opened: Opened, log: Log, id: str, tenant: str | None, basis: str, by: str) -> tuple[int, list[Erasure]]:
    """How many interrupted erasures were finished, and those that were done now; none where nobody is known. Raises
    Stop where it is forbidden."""
    eraser = Eraser(opened.folder, opened.people, opened.payloads, log.append, times=opened.settings.keep.times)
    try:
        return eraser.resume(), eraser.erase(id, tenant, basis=basis, by=by)
    except Held as held:
        why = f"held: {', '.join(held.reasons)}"
    except TooYoung as young:
        why = f"content of this person has to be kept until {young.until}"
    raise Stop(Exit.NO, why)


def _forgotten(policies: Path, id: str, tenant: str | None) -> int:
    """Destroy the keys of what named sessions keep of a person (`privacy.vault`); how many those were."""
    loaded = load(policies, KeyRing.load(policies.parent / "keys"))
    try:
        return loaded.forget(id, tenant)
    finally:
        loaded.snapshot.guards.close()


@contextmanager
def _opened(policies: Path, audit: Path) -> Iterator[Opened]:
    """A log that is there, with its people. What goes wrong with either is one line."""
    if not audit.is_dir():
        raise cannot(f"there is no record in `{audit}`")
    keys = policies.parent / "keys"
    settings = read(policies).section("audit", AuditSettings).value
    people = switching.people(keys, audit)
    payloads = Payloads(people.folder, Origin(audit))
    why = ""
    try:
        yield Opened(audit, KeyRing.load(keys).derive(LOG_LABEL), people, payloads, settings)
    except AuditUnavailable as fault:
        why = f"{fault}; what was begun goes on when this is run again"
    except BrokenPipeError:
        raise
    except OSError as error:
        why = f"{error.strerror or 'a fault of the disk'}; what was begun goes on when this is run again"
    if why:
        raise cannot(why)


@contextmanager
def _log(opened: Opened) -> Iterator[Log]:
    """The log, to write to."""
    with Log.open(opened.folder, key=opened.key, settings=opened.settings) as log:
        yield log


def _first(opened: Opened, payload: Payload, rows: Sequence[Row]) -> list[tuple[str, str]] | None:
    """What was kept, under the first of a person's keys that opens it."""
    for row in rows:
        try:
            return opened.payloads.read(payload, row.shelf, row.key)
        except Gone:
            continue
    return None


def _subject(text: str) -> str:
    id = sys.stdin.readline().rstrip("\n") if text == "-" else text
    if not id:
        raise usage("`--subject` takes the id of a person")
    return id


def _code(text: str, option: str) -> str:
    if not CODE.fullmatch(text):
        raise usage(f"`{option}` takes 1 to 64 of a-z, 0-9, `_` and `.`")
    return text


def _texts(path: Path | None) -> list[str]:
    if path is None:
        return []
    try:
        found = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        found = [""] * (MAX_TEXTS + 1)
    if len(found) > MAX_TEXTS:
        raise cannot(f"`{path}` cannot be read, or has over {MAX_TEXTS} lines")
    return found


def _there(paths: list[Path]) -> list[Path]:
    """Places to be searched: one that is misspelt would be searched in vain, and look clean."""
    for path in paths:
        if not path.exists():
            raise cannot(f"there is nothing to search at `{path}`")
    return paths


def _told(
    done: Sequence[Erasure], more: Mapping[str, int], report: Report, left: Sequence[Trace], as_json: bool
) -> None:
    log = "tampered" if report.status is Status.TAMPERED else report.status.name.lower()
    told: dict[str, Any] = {
        "erased": len(done),
        "pseudonyms": sum(one.pseudonyms for one in done),
        "blobs": sum(one.blobs for one in done),
        "bytes": sum(one.bytes for one in done),
        "log": log,
        **more,
    }
    if as_json:
        show.json_line({**told, "left": [msgspec.to_builtins(one) for one in left]})
        return
    out = show.console()
    out.print(show.pairs([*told.items(), ("left", len(left) or "nothing was found")]))
    if short := more["unsearched"]:
        out.print(f"{show.counted(short, 'text')} not looked for: too short, under four bytes")
    if left:
        what = {0: "could not be read", 1: "the id"}
        rows = [(one.file, what.get(one.text, f"line {one.text - 1}"), one.count or "") for one in left]
        out.print(show.table(("file", "what", "times"), rows, right=("times",)))


def _holds(what: str, rows: Sequence[Row], as_json: bool) -> None:
    told = [{"state": what, "pseudonym": row.refs[-1][0], "reasons": [one.reason for one in row.holds]} for row in rows]
    for one in told:
        if as_json:
            show.json_line(one)
        else:
            show.console().print(show.pairs([(key, value) for key, value in one.items() if value]))


def _print_content(record: Any, texts: Sequence[tuple[str, str]], as_json: bool) -> None:
    if as_json:
        show.json_line({"kind": record["kind"], "call": record.get("call"), "texts": texts})
        return
    out = show.console()
    out.print(f"{record['kind']} {record['id']}", style="bold")
    out.print(show.pairs((path, show.visible(text, lines=True)) for path, text in texts))
