"""`aigov inspect`: what the guards find in a text, line by line, without the text itself."""

from __future__ import annotations

import functools
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Literal, NamedTuple

import msgspec
import typer

from aigov.cli import lines, many, opening, options, show
from aigov.cli.exits import Exit, Stop, usage
from aigov.errors import Refused
from aigov.governor import Governor
from aigov.privacy.explain import Explained
from aigov.types import Direction, Finding

app = typer.Typer(rich_markup_mode=None, add_completion=False)
MAX_ROWS = 400


class Inspected(NamedTuple):
    """One line looked at: what was found, or the code of why it could not be looked at."""

    number: int
    findings: tuple[Finding, ...]
    error: str = ""


@app.command()
def inspect(
    named: options.Inputs = None,
    policies: options.Policies = options.POLICIES,
    direction: Annotated[Literal["input", "output"], typer.Option(help="Which way the text goes.")] = "input",
    everything: Annotated[bool, typer.Option("--all", help="Also what `min_score` and the allow list drop.")] = False,
    field: Annotated[str, typer.Option(metavar="NAME", help="Lines are JSON objects; look at this member.")] = "",
    explain: Annotated[bool, typer.Option("--explain", help="Say why: pattern, check, context word, score.")] = False,
    jobs: options.Jobs = 1,
    as_json: options.AsJson = False,
) -> None:
    """Say what the guards find in a text, line by line.

    Over several files or folders: how much of what in which.

    Offsets count characters of the line (of the member, with --field), from 0, end exclusive.
    Exits 2 where a line could not be read.
    """
    given = named or [lines.STDIN]
    if many.several(given):
        if explain or as_json:
            raise usage("`--explain` and `--json` are for one text at a time")
        work = functools.partial(_counted, direction=direction, everything=everything, field=field)
        _summed(many.each("inspecting", many.sources(given), many.Opening(str(policies), True), jobs, work))
        return
    unread = 0
    with (
        opening.keyless(policies) as gov,
        lines.opened(given[0]) as text,
        show.meter("inspecting", text.size, busy=as_json and sys.stdout.isatty()) as meter,
    ):
        if explain:
            unread = _explained(gov, text, field, as_json)
        else:
            found = _inspected(gov, text, meter, direction, everything, field)
            unread = _as_json(found) if as_json else _as_table(found)
    _leave(unread)


def _leave(unread: int) -> None:
    """Exit 2 where a line was not looked at."""
    if unread:
        raise Stop(Exit.INCOMPLETE, f"{show.counted(unread, 'line')} not looked at")


def _inspected(
    gov: Governor, text: lines.Source, meter: show.Meter, direction: Direction, everything: bool, field: str
) -> Iterator[Inspected]:
    for line in lines.read(text.stream):
        line = lines.member(line, field) if field else line
        yield Inspected(line.number, (), line.why) if line.why else _look(gov, line, direction, everything)
        meter.advance(line.size)


def _counted(gov: Governor, source: many.Source, *, direction: Direction, everything: bool, field: str) -> many.Counted:
    """One file's findings by kind and type."""
    counted = many.Counted(source.name, 0, Counter(), Counter())
    number = 0
    with lines.opened(source.path) as text:
        for line in lines.read(text.stream):
            number = line.number
            line = lines.member(line, field) if field else line
            one = Inspected(line.number, (), line.why) if line.why else _look(gov, line, direction, everything)
            counted.found.update((finding.kind, finding.type) for finding in one.findings)
            counted.left_out.update([one.error] if one.error else [])
    return counted._replace(lines=number)


def _summed(counted: list[many.Counted]) -> None:
    out = show.console()
    rows = list(many.rows(counted))
    if rows:
        out.print(show.table(("file", "type", "count"), rows[:MAX_ROWS], right=("count",)))
        out.print(show.table(("kind", "type", "count", "files"), many.totals(counted), right=("count", "files")))
    out.print(f"{show.counted(len(counted), 'file')}, {show.counted(sum(one.lines for one in counted), 'line')}")
    _leave(sum(one.left_out.total() for one in counted))


def _explained(gov: Governor, text: lines.Source, field: str, as_json: bool) -> int:
    """Why each personal finding of each line is one; how many lines could not be looked at."""
    unread = 0
    rows: list[tuple[object, ...]] = []
    for line in lines.read(text.stream):
        line = lines.member(line, field) if field else line
        try:
            told, error = ([] if line.why else gov.explain(line.text)), line.why
        except Refused as refused:
            told, error = [], refused.reason
        unread += bool(error)
        if as_json:
            why = [{**_plain(one.finding), **one.steps()} for one in told]
            show.json_line({"line": line.number, "findings": why, "error": error})
        rows += [_steps(line.number, one) for one in told[: MAX_ROWS - len(rows)]]
    if not as_json:
        columns = ("line", "where", "type", "found by, and why", "score")
        made = show.table(columns, rows, right=("line", "where", "score"), whole=("where", "type"))
        show.console().print(made if rows else "nothing found")
    return unread


def _steps(number: int, one: Explained) -> tuple[object, ...]:
    """A finding in cells narrow enough for a terminal of 80 columns; how it came about on lines of its own."""
    found = one.finding
    why = [found.detector]
    if one.pattern:
        why.append(f"{one.pattern}: {one.base:.2f} alone")
    if one.validated is not None:
        why.append("check passed" if one.validated else "check failed")
    if one.context:
        why.append(f"`{one.context}` stands near")
    return number, f"{found.start}-{found.end}", found.type, "\n".join(why), f"{found.score:.2f}"


def _look(gov: Governor, line: lines.Line, direction: Direction, everything: bool) -> Inspected:
    try:
        return Inspected(line.number, tuple(gov.inspect(line.text, direction=direction, all=everything)))
    except Refused as error:
        return Inspected(line.number, (), error.reason)


def _as_json(found: Iterator[Inspected]) -> int:
    unread = 0
    for one in found:
        unread += bool(one.error)
        listed = [_plain(finding) for finding in one.findings]
        show.json_line({"line": one.number, "findings": listed, "error": one.error})
    return unread


def _plain(finding: Finding) -> dict[str, object]:
    """A finding as it is printed; `path` says nothing about a line."""
    plain = msgspec.structs.asdict(finding)
    del plain["path"]
    return plain


def _as_table(found: Iterator[Inspected]) -> int:
    rows: list[tuple[object, ...]] = []
    counts: Counter[tuple[str, str]] = Counter()
    unread = 0
    for one in found:
        unread += bool(one.error)
        for finding in one.findings:
            counts[finding.kind, finding.type] += 1
            if len(rows) < MAX_ROWS:
                span = f"{finding.start}-{finding.end}"
                rows.append((one.number, span, finding.kind, finding.type, f"{finding.score:.2f}", finding.detector))
    _print(rows, counts)
    return unread


def _print(rows: list[tuple[object, ...]], counts: Counter[tuple[str, str]]) -> None:
    out = show.console()
    total = sum(counts.values())
    if not total:
        out.print("nothing found")
        return
    columns = ("line", "where", "kind", "type", "score", "found by")
    out.print(show.table(columns, rows, right=("line", "where", "score"), whole=("where", "type")))
    if total > len(rows):
        out.print(f"and {total - len(rows)} more; `--json` prints them all")
    totals = [(kind, kind_type, count) for (kind, kind_type), count in sorted(counts.items())]
    out.print(show.table(("kind", "type", "count"), totals, right=("count",)))
