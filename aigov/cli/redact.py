"""`aigov redact`: a text with its personal data replaced, line by line, in constant memory.

Invariants:
* A line that cannot be redacted is never written: a mark with the reason code stands in its place.
* `-o FILE` appears whole, or not at all.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, BinaryIO

import msgspec
import typer

from aigov.cli import lines, opening, options, show
from aigov.cli.exits import Exit, Stop, cannot
from aigov.errors import Refused
from aigov.governor import Governor
from aigov.types import Finding

app = typer.Typer(rich_markup_mode=None, add_completion=False)
ADVICE: Mapping[str, str] = MappingProxyType(
    {
        "input.not_utf8": "convert it first: iconv -f ENCODING -t UTF-8",
        "input.too_large": f"cut it: {lines.MAX_BYTES:,} bytes a line, `sanitise.max_chars` characters",
    }
)


class Tally:
    """What was done to a text: lines, lines refused by reason, personal values found by type."""

    def __init__(self) -> None:
        self.lines = 0
        self.refused: Counter[str] = Counter()
        self.found: Counter[str] = Counter()


@app.command()
def redact(
    source: options.Input = lines.STDIN,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Write here, not to stdout.")] = "",
    policies: options.Policies = options.POLICIES,
    as_json: options.AsJson = False,
) -> None:
    """Write a text with its personal data replaced.

    Every line is a text of its own: the same value gets the same token within a line. A summary goes to
    stderr (with --json as one object). Exits 2 where a line was refused; `[REFUSED code]` stands for it.
    """
    tally = Tally()
    with (
        opening.governor(policies) as gov,
        lines.opened(source) as text,
        written(output) as out,
        show.meter("redacting", text.size, busy=not output and sys.stdout.isatty()) as meter,
    ):
        for line in lines.read(text.stream):
            out.write((_redacted(gov, line, tally) + line.end).encode("utf-8"))
            meter.advance(line.size)
        out.flush()
    _summary(tally, as_json)
    if tally.refused:
        raise Stop(Exit.INCOMPLETE, f"{show.counted(tally.refused.total(), 'line')} refused and left out")


def _redacted(gov: Governor, line: lines.Line, tally: Tally) -> str:
    """The line's text redacted, or the mark that stands for it."""
    tally.lines += 1
    why = line.why
    if not why:
        try:
            redacted = gov.redact(line.text)
            tally.found.update(_outermost(redacted.findings))
            return redacted.text
        except Refused as error:
            why = error.reason
    tally.refused[why] += 1
    return f"[REFUSED {why}]"


def _outermost(findings: Iterable[Finding]) -> Iterator[str]:
    """The types of the findings that lie in no other: a domain inside of an address is the address."""
    end = 0
    for finding in sorted(findings, key=lambda one: (one.start, -one.end, -one.score)):
        if finding.end > end:
            yield finding.type
        end = max(end, finding.end)


@contextmanager
def written(name: str) -> Iterator[BinaryIO]:
    """Where the answer goes: stdout, or the file `name`, put in its place when all of it is written."""
    if not name:
        yield sys.stdout.buffer
        return
    target = Path(name)
    whole = not target.exists() or target.is_file()  # a pipe or a device is written as it comes
    beside = target.with_name(f".{target.name}.{os.getpid()}") if whole else target
    stream = _create(beside, name)
    try:
        with stream:
            yield stream
        if whole:
            os.replace(beside, target)
    finally:
        if whole:
            beside.unlink(missing_ok=True)


def _create(path: Path, name: str) -> BinaryIO:
    try:
        return path.open("wb")
    except OSError as error:
        why = error.strerror or "unknown fault"
    raise cannot(f"cannot write `{name}`: {why}")


def _summary(tally: Tally, as_json: bool) -> None:
    """What was done, on stderr: stdout holds the text alone."""
    found, refused = dict(sorted(tally.found.items())), dict(sorted(tally.refused.items()))
    if as_json:
        line = {"lines": tally.lines, "found": found, "refused": refused}
        sys.stderr.write(msgspec.json.encode(line).decode() + "\n")
        return
    out = show.console(stderr=True)
    if found:
        out.print(show.table(("entity", "found"), found.items(), right=("found",)))
    if refused:
        rows = [(why, count, ADVICE.get(why, "")) for why, count in refused.items()]
        out.print(show.table(("refused because", "lines", "what to do"), rows, right=("lines",)))
    values = show.counted(sum(found.values()), "personal value")
    out.print(f"{show.counted(tally.lines, 'line')}, {values}, {sum(refused.values())} refused")
