"""A Casbin policy file as rules that know their line.

Invariants:
* Every line is a rule, a comment (`#` first) or blank; one that Casbin would skip or misread is refused.
* Fields are trimmed. A comma inside brackets or inside a field that is quoted whole does not end it.
* A rule's fields are as many as its definition has, and none is empty.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterator, Sequence

import msgspec

from aigov.access.model import Definition, Model
from aigov.access.sources import Text
from aigov.errors import Location, PolicyError, Problem

MAX_PROBLEMS = 50
_PLAIN = re.compile(r"[^\"()\[\]#]*")
_MARKS = re.compile(r"[,()\[\]]")
_CLOSES = {")": "(", "]": "["}


class Rule(msgspec.Struct, frozen=True):
    """One line of a policy: `p, …` or `g, …`. `line` counts from 1."""

    ptype: str
    fields: tuple[str, ...]
    line: int

    def __str__(self) -> str:
        return ", ".join((self.ptype, *self.fields))


class Malformed(Exception):
    """A line that cannot be split into fields: what is wrong with it, at which column, and what to do."""

    def __init__(self, column: int, what: str, fix: str) -> None:
        super().__init__(what)
        self.column, self.what, self.fix = column, what, fix


def parse(text: Text, model: Model) -> tuple[Rule, ...]:
    """The rules in `text`, in file order. Raises PolicyError with every problem of form."""
    problems: list[Problem] = []
    found: list[Rule] = []
    known = {key: definition for key, definition in model.definitions.items() if definition.section in "pg"}
    for number, line in enumerate(text.lines, 1):
        try:
            fields = split(line)
        except Malformed as error:
            problems.append(text.problem(number, error.column, error.what, error.fix))
            continue
        if fields:
            problem = problem_of(fields, known, text.at(number, len(line) - len(line.lstrip()) + 1))
            if problem:
                problems.append(problem)
            else:
                found.append(Rule(sys.intern(fields[0]), tuple(map(sys.intern, fields[1:])), number))
    if not problems and not any(rule.ptype.startswith("p") for rule in found):
        what = "no `p` line stands here, so nothing is allowed"
        problems.append(Problem(Location(text.file), what, "grant something: `p, role, tenant, resource, action`"))
    if problems:
        raise PolicyError(problems[:MAX_PROBLEMS])
    return tuple(found)


def split(line: str) -> list[str]:
    """The fields of one line, none for a comment or a blank one. Raises Malformed."""
    line = line.replace("\t", " ")
    if not line.strip() or line.lstrip().startswith("#"):
        return []
    if _PLAIN.fullmatch(line):
        return [field.strip() for field in line.split(",")]
    return [_field(piece, column) for piece, column in _pieces(line)]


def _pieces(line: str) -> Iterator[tuple[str, int]]:
    """The text between the commas that end a field, with the column where it begins."""
    start = at = 0
    while at <= len(line):
        lead = len(line) - len(line[start:].lstrip()) if line[start:].strip() else start
        if at == start and line[lead : lead + 1] == '"':
            at = _after_quoted(line, lead)
        at = _next_comma(line, at)
        yield line[start:at], start + 1
        start = at = at + 1


def _after_quoted(line: str, start: int) -> int:
    """The index behind the quoted field that begins at `start`; a doubled quote stands for one."""
    at = start + 1
    while True:
        at = line.find('"', at)
        if at < 0:
            raise Malformed(start + 1, "a quote is not closed", 'close it, and double a `"` inside: `""`')
        if line[at + 1 : at + 2] != '"':
            break
        at += 2
    rest = line[at + 1 :].lstrip()
    if rest and rest[0] != ",":
        raise Malformed(at + 2, "text follows a closed quote", "quote the whole field, or none of it")
    return at + 1


def _next_comma(line: str, start: int) -> int:
    """The index of the comma that ends a field, or the line's length."""
    stack: list[tuple[str, int]] = []
    for match in _MARKS.finditer(line, start):
        mark = match.group()
        if mark in "([":
            stack.append((mark, match.start()))
        elif mark in _CLOSES:
            if not stack or stack.pop()[0] != _CLOSES[mark]:
                raise Malformed(match.start() + 1, f"`{mark}` closes nothing", "quote the field if it belongs there")
        elif not stack:
            return match.start()
    if stack:
        raise Malformed(stack[-1][1] + 1, f"`{stack[-1][0]}` is not closed", "close it, or quote the field")
    return len(line)


def _field(piece: str, column: int) -> str:
    text = piece.strip()
    if text.startswith('"'):
        return text[1:-1].replace('""', '"')
    mark = re.search(r"\s#", piece)
    if mark:
        raise Malformed(
            column + mark.start() + 1, "a comment behind a rule is part of its last field", "give it a line of its own"
        )
    return text


def problem_of(fields: Sequence[str], known: dict[str, Definition], where: Location) -> Problem | None:
    """What is wrong with a line's kind or its number of fields."""
    definition = known.get(fields[0])
    if definition is None:
        near = difflib.get_close_matches(fields[0], known, 1)
        fix = f"did you mean `{near[0]}`" if near else "the model defines " + ", ".join(f"`{key}`" for key in known)
        return Problem(where, f"unknown kind of line `{fields[0][:40]}`, which Casbin would skip", fix)
    wanted = len(definition.fields) if definition.section == "p" else definition.arity
    if len(fields) - 1 != wanted:
        what = f"a `{definition.key}` line has {wanted} fields, this one {len(fields) - 1}"
        return Problem(where, what, f"write `{definition.key}, {definition.value}`")
    if "" in fields:
        return Problem(where, f"field {fields.index('')} is empty", "write a name, or take the line out")
    return None
