"""A Casbin model file as a value that knows where each definition stands.

Invariants:
* A definition is read once; a second one of the same name, one that Casbin would skip without a word
  (a section it does not know, `p3` without `p2`) and one that is cut off are refused.
* Field names are identifiers, unique in their definition.
* What is read here is what both engines are given: comments are off, continued lines are joined.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import msgspec

from aigov.access.sources import Text
from aigov.errors import Location, PolicyError, Problem

SECTIONS = {
    "request_definition": "r",
    "policy_definition": "p",
    "role_definition": "g",
    "policy_effect": "e",
    "matchers": "m",
}
TITLES = {letter: title for title, letter in SECTIONS.items()}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ROLE = re.compile(r"_(\s*,\s*_)+")
_CONDITIONAL_ROLE = re.compile(r"_(\s*,\s*_)+\s*,\s*\(\s*_(\s*,\s*_)*\s*\)")


class Definition(msgspec.Struct, frozen=True):
    """One `key = value` of a model. `fields`: the names of an `r` or `p`; `arity`: the fields of a `g` line."""

    section: str
    key: str
    value: str
    where: Location
    fields: tuple[str, ...] = ()
    arity: int = 0
    conditional: bool = False


class Model(msgspec.Struct, frozen=True):
    """Every definition, by its key (`r`, `p2`, `m` …), in file order."""

    name: str
    file: str
    definitions: Mapping[str, Definition]

    def section(self, letter: str) -> list[Definition]:
        """The definitions of one section: `r`, `p`, `g`, `e` or `m`."""
        return [found for found in self.definitions.values() if found.section == letter]


def parse(text: Text) -> Model:
    """The model in `text`. Raises PolicyError with every problem of form."""
    problems: list[Problem] = []
    found: dict[str, Definition] = {}
    for section, key, value, where in _entries(text, problems):
        problem = _misplaced(section, key, found, where)
        if problem:
            problems.append(problem)
            continue
        found[key] = _definition(SECTIONS[section], key, value, where, problems)
    problems.extend(_gaps(text, found) if not problems else ())
    if problems:
        raise PolicyError(problems)
    return Model(text.name, text.file, MappingProxyType(found))


def _entries(text: Text, problems: list[Problem]) -> Iterator[tuple[str, str, str, Location]]:
    """Each `key = value` with its section and place; continued lines joined as Casbin joins them."""
    section = ""
    pending: list[str] = []
    start = 0
    for number, raw in enumerate([*text.lines, ""], 1):
        line = raw.strip()
        comment = not line or line[0] in "#;"
        title = not comment and line[0] == "[" and line[-1] == "]"
        if not comment and not title:
            start = start if pending else number
            goes_on = line.endswith("\\")
            pending.append(line[:-1].strip() + " " if goes_on else line)
            if goes_on:
                continue
        if pending:
            entry = _split("".join(pending), section, text, start, problems)
            pending = []
            if entry:
                yield entry
        if title:
            section = _section(line, text, number, problems)


def _section(line: str, text: Text, number: int, problems: list[Problem]) -> str:
    name = line[1:-1]
    if name in SECTIONS:
        return name
    near = difflib.get_close_matches(name, SECTIONS, 1)
    fix = f"did you mean `{near[0]}`" if near else "the sections are " + ", ".join(SECTIONS)
    problems.append(text.problem(number, 1, f"unknown section `{name}`, which Casbin would skip", fix))
    return "?"


def _split(
    line: str, section: str, text: Text, number: int, problems: list[Problem]
) -> tuple[str, str, str, Location] | None:
    """The key, value and place of one definition, or None and a problem."""
    key, equals, value = line.partition("=")
    key, value = key.strip(), value.strip()
    where = text.at(number, len(text.lines[number - 1]) - len(text.lines[number - 1].lstrip()) + 1)
    if section == "?":
        return None
    if not section:
        problems.append(Problem(where, "a definition outside of any section", "begin with `[request_definition]`"))
        return None
    if not equals or not key:
        problems.append(Problem(where, "not a definition", "write `key = value`"))
        return None
    value = _without_comment(SECTIONS[section], value)
    if not value:
        problems.append(Problem(where, f"`{key}` has no value", "write what it is, or take the line out"))
        return None
    return section, key, value, where


def _without_comment(letter: str, value: str) -> str:
    """A comment behind a value ends it. In a matcher only `#` begins one, as in Casbin."""
    marks = "#" if letter in "em" else "#;"
    for mark in marks:
        value = value.partition(mark)[0]
    return value.strip()


def _misplaced(section: str, key: str, found: Mapping[str, Definition], where: Location) -> Problem | None:
    letter = SECTIONS[section]
    if not re.fullmatch(rf"{letter}([2-9]|[1-9][0-9]+)?", key):
        return Problem(where, f"`{key}` has no place in [{section}]", f"name it `{letter}`, `{letter}2`, …")
    if key in found:
        return Problem(where, f"`{key}` is defined a second time", f"the first stands in line {found[key].where.line}")
    return None


def _definition(letter: str, key: str, value: str, where: Location, problems: list[Problem]) -> Definition:
    if letter in "rp":
        fields = tuple(field.strip() for field in value.split(","))
        wrong = [field for field in fields if not _NAME.fullmatch(field)]
        if wrong or len(set(fields)) < len(fields):
            problems.append(Problem(where, f"the fields of `{key}` are not distinct names", "write `sub, obj, act`"))
        return Definition(letter, key, ", ".join(fields), where, fields)
    if letter == "g":
        conditional = bool(_CONDITIONAL_ROLE.fullmatch(value))
        arity = value.partition("(")[0].count("_")
        if not (conditional or _ROLE.fullmatch(value)) or not 2 <= arity <= 3:
            fix = "write `_, _` or, with a tenant, `_, _, _`"
            problems.append(Problem(where, f"`{key}` is no role definition that Casbin takes", fix))
        return Definition(letter, key, value, where, (), value.count("_"), conditional)
    return Definition(letter, key, value, where)


def _gaps(text: Text, found: Mapping[str, Definition]) -> Iterator[Problem]:
    """Casbin reads `p`, `p2`, `p3` … and stops at the first that is missing."""
    for letter, title in TITLES.items():
        numbers = sorted(int(key[1:] or 1) for key in found if key[0] == letter)
        if not numbers and letter != "g":
            yield Problem(Location(text.file), f"[{title}] is missing", f"a model needs `{letter} = …`")
        for wanted, number in enumerate(numbers, 1):
            if number != wanted:
                key = f"{letter}{number}"
                yield Problem(found[key].where, f"`{key}` would be skipped", "number the definitions without a gap")
                break
