"""`aigov inspect`: what the guards find in a text, line by line, without the text itself."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Literal, NamedTuple

import msgspec
import typer

from aigov.cli import lines, opening, options, show
from aigov.cli.exits import Exit, Stop
from aigov.errors import Refused
from aigov.governor import Governor
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
    source: options.Input = lines.STDIN,
    policies: options.Policies = options.POLICIES,
    direction: Annotated[Literal["input", "output"], typer.Option(help="Which way the text goes.")] = "input",
    everything: Annotated[bool, typer.Option("--all", help="Also what `min_score` and the allow list drop.")] = False,
    field: Annotated[str, typer.Option(metavar="NAME", help="Lines are JSON objects; look at this member.")] = "",
    as_json: options.AsJson = False,
) -> None:
    """Say what the guards find in a text, line by line.

    Offsets count characters of the line (of the member, with --field), from 0, end exclusive.
    Exits 2 where a line could not be read.
    """
    unread = 0
    with (
        opening.keyless(policies) as gov,
        lines.opened(source) as text,
        show.meter("inspecting", text.size, busy=as_json and sys.stdout.isatty()) as meter,
    ):
        found = _inspected(gov, text, meter, direction, everything, field)
        unread = _as_json(found) if as_json else _as_table(found)
    if unread:
        raise Stop(Exit.INCOMPLETE, f"{show.counted(unread, 'line')} not looked at")


def _inspected(
    gov: Governor, text: lines.Source, meter: show.Meter, direction: Direction, everything: bool, field: str
) -> Iterator[Inspected]:
    for line in lines.read(text.stream):
        line = lines.member(line, field) if field else line
        yield Inspected(line.number, (), line.why) if line.why else _look(gov, line, direction, everything)
        meter.advance(line.size)


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
