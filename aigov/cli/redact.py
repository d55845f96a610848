"""`aigov redact`: a text with its personal data replaced, line by line, in constant memory.

Invariants:
* A line that cannot be redacted is never written: a mark with the reason code stands in its place.
* A JSON document on several lines is one text and stays JSON, where it is small enough to be looked at as one.
* `-o FILE` appears whole, or not at all.
"""

from __future__ import annotations

import functools
import io
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

from aigov.cli import lines, many, opening, options, show
from aigov.cli.exits import Exit, Stop, cannot, usage
from aigov.errors import Refused
from aigov.governor import Governor
from aigov.types import Finding

app = typer.Typer(rich_markup_mode=None, add_completion=False)
MAX_ROWS = 400
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
    named: options.Inputs = None,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Write here, not to stdout.")] = "",
    policies: options.Policies = options.POLICIES,
    jobs: options.Jobs = 1,
    as_json: options.AsJson = False,
) -> None:
    """Write a text with its personal data replaced.

    Several files or folders go to the folder `-o DIR`.

    Every line, or a JSON document of up to 1 MB, is a text of its own: the same value gets the same token within it.
    A summary goes to stderr (with --json as one object). Exits 2 where a line was refused; `[REFUSED code]` stands
    for it.
    """
    given = named or [lines.STDIN]
    if many.several(given):
        _redact_many(given, output, policies, jobs, as_json)
        return
    tally = Tally()
    with (
        opening.governor(policies) as gov,
        lines.opened(given[0]) as text,
        written(output) as out,
        show.meter("redacting", text.size, busy=not output and sys.stdout.isatty()) as meter,
    ):
        for line in lines.texts(text.stream):
            out.write((_redacted(gov, line, tally) + line.end).encode("utf-8"))
            meter.advance(line.size)
        out.flush()
    _summary(tally, as_json)
    if tally.refused:
        raise Stop(Exit.INCOMPLETE, f"{show.counted(tally.refused.total(), 'line')} refused and left out")


def _redact_many(given: list[str], output: str, policies: Path, jobs: int, as_json: bool) -> None:
    """Every file, redacted, under its name below the folder `output`; nothing there is overwritten."""
    found = many.sources(given)
    names = Counter(source.name for source in found)
    if not output or lines.STDIN in given or max(names.values(), default=1) > 1:
        raise usage("several files need `-o DIR`, a folder, and names that differ")
    for source in found:
        if (Path(output) / source.name).exists():
            raise cannot(f"`{Path(output) / source.name}` is there already")
    work = functools.partial(_redact_one, output=output)
    counted = many.each("redacting", found, many.Opening(str(policies), False), jobs, work)
    tally = Tally()
    for one in counted:
        tally.lines += one.lines
        tally.refused.update(one.left_out)
        tally.found.update({name: count for (_, name), count in one.found.items()})
    rows = list(many.rows(counted))
    if rows and not as_json:
        show.console(stderr=True).print(show.table(("file", "entity", "found"), rows[:MAX_ROWS], right=("found",)))
    _summary(tally, as_json)
    if tally.refused:
        raise Stop(Exit.INCOMPLETE, f"{show.counted(tally.refused.total(), 'line')} refused and left out")


def _redact_one(gov: Governor, source: many.Source, *, output: str) -> many.Counted:
    target = Path(output) / source.name
    target.parent.mkdir(parents=True, exist_ok=True)
    tally = Tally()
    with lines.opened(source.path) as text, written(str(target)) as out:
        for line in lines.texts(text.stream):
            out.write((_redacted(gov, line, tally) + line.end).encode("utf-8"))
    found = Counter({("pii", name): count for name, count in tally.found.items()})
    return many.Counted(source.name, tally.lines, found, tally.refused)


def _redacted(gov: Governor, line: lines.Line, tally: Tally) -> str:
    """The line's text redacted, or the mark that stands for it. A document that is refused is tried line by line."""
    why = line.why
    if not why:
        try:
            redacted = gov.redact(line.text)
            tally.lines += line.text.count("\n") + 1
            tally.found.update(_outermost(redacted.findings))
            return redacted.text
        except Refused as error:
            why = error.reason
    if "\n" in line.text:
        again = lines.read(io.BytesIO(line.text.encode()))
        return "".join(_redacted(gov, one, tally) + one.end for one in again)
    tally.lines += 1
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
