"""`aigov audit search | show | gaps | stats | export`: finding records, and handing them on.

Invariants:
* Whatever is shown was read from the log; the index only says where to look, and `--scan` goes without it.
* Nothing here writes to the log. `--person` alone needs the policy's key, to tell which pseudonyms stand for somebody.
"""

from __future__ import annotations

import difflib
import os
import re
import secrets
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, BinaryIO, cast, get_args

import msgspec
import typer

from aigov.audit import records
from aigov.audit.export import FORMATS, Format, Prove, exported
from aigov.audit.gaps import SILENCE_S, gaps
from aigov.audit.index import misplaced
from aigov.audit.merkle import ProofError
from aigov.audit.note import NoteError
from aigov.audit.proof import prover
from aigov.audit.search import Answer, Query, Stats, each, search, stats
from aigov.audit.terms import moment
from aigov.cli import options, show, switching, telling
from aigov.cli.exits import Exit, Stop, cannot, usage

CLOSED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "verdict": get_args(records.VerdictName),
        "outcome": get_args(records.Outcome),
        "kind": tuple(str(kind.__struct_config__.tag) for kind in records.KINDS),
    }
)
SPAN = re.compile(r"([0-9]{1,6})([smhdw])")
MOST_SHOWN = 10_000
SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}

Many = list[str] | None
Maybe = str | None
Since = Annotated[Maybe, typer.Option("--since", metavar="WHEN", help="From then on: 2026-01-31T12:00:00Z, 24h, 7d.")]
Until = Annotated[Maybe, typer.Option("--until", metavar="WHEN", help="Before then, likewise.")]
Person = Annotated[Maybe, typer.Option("--person", metavar="ID", help="One person, by id; needs the policy's key.")]
Member = Annotated[str | None, typer.Option("--member-of", metavar="TENANT", help="That person in one tenant alone.")]
Keys = Annotated[Path | None, typer.Option("--keys", metavar="DIR", help="The keys, if not beside the record.")]
Ref = Annotated[Many, typer.Option("--actor", metavar="REF", help="A pseudonym, as records show it.")]
Role = Annotated[Many, typer.Option("--role", metavar="ROLE", help="A role.")]
Tenant = Annotated[Many, typer.Option("--tenant", metavar="TENANT", help="A tenant.")]
Action = Annotated[Many, typer.Option("--action", metavar="ACTION", help="An action; `tool:*` for all that begin so.")]
Resource = Annotated[Many, typer.Option("--resource", metavar="RESOURCE", help="A resource; `model:*` likewise.")]
Verdict = Annotated[Many, typer.Option("--verdict", metavar="VERDICT", help="allow, transform, review or deny.")]
Outcome = Annotated[Many, typer.Option("--outcome", metavar="OUTCOME", help="How a call ended, such as `withheld`.")]
Reason = Annotated[Many, typer.Option("--reason", metavar="CODE", help="A reason code; `input.*` likewise.")]
Entity = Annotated[Many, typer.Option("--entity", metavar="TYPE", help="A type of finding, such as US_SSN.")]
Policy = Annotated[Many, typer.Option("--policy", metavar="DIGEST", help="A policy version, or how its digest begins.")]
Plugin = Annotated[Many, typer.Option("--plugin", metavar="NAME", help="A plugin.")]
Kind = Annotated[Many, typer.Option("--kind", metavar="KIND", help="A kind of record; `call.*` likewise.")]
About = Annotated[Maybe, typer.Option("--call", metavar="ID", help="Everything about a call, a ticket or an id.")]
Ticket = Annotated[Maybe, typer.Option("--ticket", metavar="TICKET", help="The same, for a ticket.")]
IndexAt = Annotated[Path | None, typer.Option("--index", metavar="FILE", help="The index, `*.index`, if not beside.")]


def add(app: typer.Typer) -> None:
    """Put the commands of this file under `app`."""
    app.command("search")(find)
    app.command("show")(show_records)
    app.command("gaps")(show_gaps)
    app.command("stats")(show_stats)
    app.command("export")(export)


def find(
    folder: options.Audit = options.AUDIT,
    since: Since = None,
    until: Until = None,
    person: Person = None,
    member: Member = None,
    actor: Ref = None,
    role: Role = None,
    tenant: Tenant = None,
    action: Action = None,
    resource: Resource = None,
    verdict: Verdict = None,
    outcome: Outcome = None,
    reason: Reason = None,
    entity: Entity = None,
    policy: Policy = None,
    plugin: Plugin = None,
    kind: Kind = None,
    call: About = None,
    ticket: Ticket = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=100_000, help="At most so many, the newest.")] = 100,
    scan: Annotated[bool, typer.Option("--scan", help="Read the whole record instead of asking the index.")] = False,
    index: IndexAt = None,
    keys: Keys = None,
    as_json: options.AsJson = False,
) -> None:
    """Find records. Every option that is given has to hold; one that is repeated means any of its values.

    An outcome counts as its call's: `--tenant retail --outcome withheld` finds withheld answers of that
    tenant. Exits 0 where something was found, 1 where nothing was.
    """
    if call is not None and ticket is not None:
        raise usage("`--call` and `--ticket` say the same; give one of them")
    _check_index(folder, index)
    query = _query(
        since, until, _about(call, "--call") or _about(ticket, "--ticket"),
        person=_refs(folder, keys, person, member), actor=actor, role=role, tenant=tenant, action=action,
        resource=resource, verdict=verdict, outcome=outcome, reason=reason, entity=entity, policy=_begin(policy),
        plugin=plugin, kind=kind,
    )  # fmt: skip
    began = time.perf_counter()
    with telling.reading(folder), show.meter("indexing", None) as meter:
        found = search(folder, query, limit=limit, index=index, scan=scan, progress=meter.reach)
    telling.lines(found.records, as_json)
    if not as_json:
        taken = (time.perf_counter() - began) * 1000
        told = f"{show.counted(found.total, 'record')}, {len(found.records)} shown, {taken:.0f} ms"
        show.console(stderr=True).print(told + ("" if found.indexed else ", without an index"))
    _check_missed(found)
    raise typer.Exit(Exit.OK if found.total else Exit.NO)


def show_records(
    wanted: Annotated[str, typer.Argument(metavar="ID", help="The id of a record, a call or a ticket.")],
    folder: options.Audit = options.AUDIT,
    index: IndexAt = None,
    as_json: options.AsJson = False,
) -> None:
    """Every record of one call, ticket or id. Exits 1 where there is none."""
    _check_index(folder, index)
    query = Query(about=_about(wanted, "ID"))
    with telling.reading(folder), show.meter("indexing", None) as meter:
        found = search(folder, query, limit=MOST_SHOWN, index=index, progress=meter.reach)
    telling.whole(found.records, as_json)
    if found.total > MOST_SHOWN:
        show.console(stderr=True).print(f"{found.total} records, the last {MOST_SHOWN} shown")
    _check_missed(found)
    if not found.total and not as_json:
        show.console().print("no such record")
    raise typer.Exit(Exit.OK if found.total else Exit.NO)


def show_gaps(
    folder: options.Audit = options.AUDIT,
    silence: Annotated[int, typer.Option("--silence", min=1, help="Seconds without a record that count.")] = SILENCE_S,
    as_json: options.AsJson = False,
) -> None:
    """What is missing: calls without an end, crashes, silence, a clock set back. Exits 0 for nothing, 1 for gaps."""
    rows = []
    with telling.reading(folder), show.meter("reading", None) as meter:
        for gap in gaps(folder, silence_s=silence, progress=meter.reach):
            if as_json:
                show.json_line(msgspec.to_builtins(gap))
            rows.append((gap.seq, gap.ts[:19], gap.what, gap.detail))
    if not as_json:
        made = show.table(("seq", "when (UTC)", "what", "detail"), rows, right=("seq",)) if rows else "no gaps"
        show.console().print(made)
    raise typer.Exit(Exit.NO if rows else Exit.OK)


def show_stats(
    folder: options.Audit = options.AUDIT,
    since: Since = None,
    until: Until = None,
    index: IndexAt = None,
    as_json: options.AsJson = False,
) -> None:
    """The record in numbers: kinds, verdicts, reasons, what was found, who asked how often."""
    _check_index(folder, index)
    query = None if since is None and until is None else _query(since, until, "")
    with telling.reading(folder), show.meter("indexing", None) as meter:
        told = stats(folder, query, index=index, progress=meter.reach)
    if as_json:
        show.json_line(msgspec.to_builtins(told))
    else:
        _print_stats(told)


def export(
    folder: options.Audit = options.AUDIT,
    form: Annotated[str, typer.Option("--format", metavar="FORMAT", help="`jsonl`, or `ocsf` (1.8.0).")] = "jsonl",
    out: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="A file; else stdout.")] = None,
    since: Since = None,
    until: Until = None,
    person: Person = None,
    member: Member = None,
    actor: Ref = None,
    tenant: Tenant = None,
    action: Action = None,
    resource: Resource = None,
    verdict: Verdict = None,
    reason: Reason = None,
    entity: Entity = None,
    policy: Policy = None,
    kind: Kind = None,
    call: About = None,
    index: IndexAt = None,
    keys: Keys = None,
) -> None:
    """Write records for another program, oldest first, a line each. Kept content never leaves this way.

    Each has the proof (C2SP tlog-proof) that it is in the log, null where no checkpoint covers it. A file (mode 0600)
    is there whole or not at all, a pipe or a device is written to as it is. Exits 0, also where nothing was found.
    """
    if form not in FORMATS:
        raise usage(f"there is no format `{form}`; formats are {', '.join(FORMATS)}")
    _check_index(folder, index)
    query = _query(
        since, until, _about(call, "--call"), person=_refs(folder, keys, person, member), actor=actor, tenant=tenant,
        action=action, resource=resource, verdict=verdict, reason=reason, entity=entity, policy=_begin(policy),
        kind=kind,
    )  # fmt: skip
    count, busy = 0, out is None
    with _writing(out), show.meter("exporting", None, busy=busy) as meter, _target(out, folder) as file:
        for line in _lines(folder, query, cast("Format", form), index):
            file.write(line + b"\n")
            count += 1
            meter.reach(count, None)
    show.console(stderr=True).print(show.counted(count, "record"))


def _lines(folder: Path, query: Query, form: Format, index: Path | None) -> Iterator[bytes]:
    """The lines of an export. What goes wrong with reading is said as that."""
    with telling.reading(folder):
        yield from exported(each(folder, query, index=index), form, _prover(folder))


@contextmanager
def _writing(out: Path | None) -> Iterator[None]:
    """What goes wrong while an export is written, as one line."""
    try:
        yield
        return
    except BrokenPipeError:
        raise
    except OSError as error:
        why = error.strerror or "unknown fault"
    raise cannot(f"cannot write {f'`{out}`' if out else 'to the standard output'}: {why}")


def _query(since: str | None, until: str | None, about: str, **fields: Iterable[str] | None) -> Query:
    """What the options ask for. Both `--person` and `--actor` are about the field `person`, and both have to hold."""
    given = {option: tuple(values) for option, values in fields.items() if values is not None}
    for option, values in given.items():
        _check_names(option, values)
    where = tuple(("person" if option == "actor" else option, values) for option, values in given.items())
    return Query(where=where, about=about, since=_when(since, "--since"), until=_when(until, "--until"))


def _check_names(field: str, values: tuple[str, ...]) -> None:
    """Where all names are known, a misspelt one would find nothing and look like good news."""
    names = CLOSED.get(field, ())
    for value in values:
        if not value or (field == "policy" and value == "*"):
            raise usage(f"`--{field}` is given nothing")
        if names and value not in names and not value.endswith("*"):
            near = difflib.get_close_matches(value, names, 1)
            hint = f"did you mean `{near[0]}`?" if near else "there are " + ", ".join(f"`{name}`" for name in names)
            raise usage(f"`--{field} {value}` is not known; {hint}")


def _about(name: str | None, option: str) -> str:
    """What an answer shall be about, "" for everything; nothing, as an unset variable of a shell, is not everything."""
    if name == "":
        raise usage(f"`{option}` is given nothing")
    return name or ""


def _check_index(folder: Path, index: Path | None) -> None:
    if index is not None and (why := misplaced(folder, index)):
        raise usage(f"`--index {index}`: {why}")


def _check_missed(found: Answer) -> None:
    if found.missed:
        raise cannot(f"{show.counted(found.missed, 'record')} could not be read; run `aigov audit verify`")


def _when(text: str | None, option: str) -> int | None:
    """A time as microseconds since 1970: a date, or how long ago."""
    if text is None:
        return None
    if span := SPAN.fullmatch(text):
        return time.time_ns() // 1000 - int(span[1]) * SECONDS[span[2]] * 1_000_000
    if (when := moment(text)) is not None:
        return when
    raise usage(f"`{option} {text}` is no time; write 2026-01-31, 2026-01-31T12:00:00Z, or 90m, 24h, 7d")


def _begin(digests: list[str] | None) -> list[str] | None:
    """Digests by how they begin."""
    return [text if text.endswith("*") else text + "*" for text in digests] if digests else None


def _refs(folder: Path, keys: Path | None, person: str | None, member: str | None) -> tuple[str, ...] | None:
    """The pseudonyms of a person, None where nobody is asked for. Raises Stop for one whom nobody knows: nothing can
    be found then."""
    if not person:
        if member is not None:
            raise usage("`--member-of` says in which tenant a person is meant; name the person with `--person`")
        if person is not None:
            raise usage("`--person` is given nothing")
        return None
    known = switching.people(options.keys_of(folder, keys), folder).refs(person, member)
    if not known:
        raise Stop(Exit.NO, "nobody is known by that id, or they were erased")
    return known


def _prover(folder: Path) -> Prove | None:
    """What gives proofs; None for a log that has no checkpoint yet."""
    try:
        return prover(folder)
    except (ProofError, NoteError):
        return None


@contextmanager
def _target(out: Path | None, folder: Path) -> Iterator[BinaryIO]:
    """Where an export goes: stdout, or a new file that takes its name when it is whole."""
    if out is None:
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    if out.resolve().is_relative_to(folder.resolve()):
        raise usage(f"`--output {out}` lies in the record; nothing else belongs there")
    if out.exists() and not out.is_file():  # a pipe or a device is written as it comes
        with os.fdopen(os.open(out, os.O_WRONLY), "wb") as file:
            yield file
        return
    draft = out.with_name(f".{out.name}.{secrets.token_hex(4)}.tmp")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, out)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()


def _print_stats(told: Stats) -> None:
    out = show.console()
    rows = [
        ("records", f"{told.records:,}"),
        ("from", told.first_ts),
        ("to", told.last_ts),
        ("pseudonyms", f"{told.people:,}"),
        ("on disk", f"{told.bytes / 2**20:,.1f} MiB in {show.counted(told.segments, 'segment')}"),
    ]
    out.print(show.pairs(rows))
    for field, values in told.counts.items():
        cells = [(value[:64], f"{count:,}") for value, count in values.items()]
        if told.others.get(field):
            cells.append((f"and {told.others[field]:,} more", ""))
        out.print(show.table((field, "records"), cells, right=("records",)))
