"""Conditions in CEL, Google's Common Expression Language: the one door to `cel-expr-python`.

Invariants:
* A condition is checked when it is compiled: names, types, and that it answers true or false.
* It holds on `True` and does not on `False`. CEL reports an evaluation error as a truthy value of type
  ERROR, or raises: both are a `GuardFault`, and the library's words, which quote values, are dropped.
* What it is asked about is plain data of bounded depth and size, copied: a deep structure crashes the
  library (a segmentation fault at 10,000 levels), and an integer beyond 64 bits fails every condition.

CEL has no side effects and always ends; the library stops after 10,000 loop steps an evaluation, which is a fault.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import msgspec
from cel_expr_python import cel

from aigov.errors import AigovError, GuardFault

MAX_CHARS = 4_000
MAX_ENTRIES = 10_000
MAX_DEPTH = 100
FAULT = "rule.fault"

_COMPLAINT = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*?)(?=\n|\Z)")
_OVERLOAD = re.compile(r"found no matching overload for '(.+?)' applied to '(?:.*\.)?(\(.*\))'")
_UNEXPECTED = re.compile(r"(?:mismatched input|extraneous input|token recognition error at:) '(.+?)'(?: expecting|$)")
_UNDECLARED = re.compile(r"undeclared reference to '(.+?)'")

Kind = Literal["constant", "name", "select", "has", "call", "list", "map", "loop"]


class Mistake(NamedTuple):
    """One thing wrong with a condition, at a line and column (from 1) of its text."""

    line: int
    column: int
    what: str
    fix: str = ""


class Miswritten(AigovError):
    """A condition that cannot be used; `mistakes` holds at least one."""

    code = "condition.miswritten"

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        self.mistakes = mistakes
        super().__init__("; ".join(f"{mistake.line}:{mistake.column}: {mistake.what}" for mistake in mistakes))

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.mistakes,)


class Term(msgspec.Struct, frozen=True):
    """One node of a checked expression, macros expanded.

    `name` is that of a variable, field, function or loop variable; `value` a constant's. `parts` are the
    operands: of a call its target and arguments, of a map its keys and values in turn, of a loop its
    range, first value, condition, step and result; `bound` is then (element, index or "", accumulator).
    """

    kind: Kind
    line: int = 1
    column: int = 1
    name: str = ""
    value: Any = None
    parts: tuple[Term, ...] = ()
    bound: tuple[str, str, str] = ("", "", "")

    def walk(self) -> Iterator[Term]:
        """This term and everything in it."""
        yield self
        for part in self.parts:
            yield from part.walk()

    def free(self, bound: frozenset[str] = frozenset()) -> Iterator[str]:
        """The names that it looks at and does not bind itself."""
        if self.kind == "name" and self.name not in bound:
            yield self.name
        inner = bound.union(self.bound) if self.kind == "loop" else bound
        for index, part in enumerate(self.parts):
            # The range and the first value of a loop stand outside of its variables.
            yield from part.free(bound if self.kind == "loop" and index < 2 else inner)

    def meaning(self) -> object:
        """A value that is equal for expressions that differ in spacing, brackets and comments only."""
        parts = tuple(part.meaning() for part in self.parts)
        return self.kind, self.name, type(self.value).__name__, self.value, parts, self.bound


class Condition:
    """A compiled condition. Immutable, and safe to ask from several threads at once."""

    __slots__ = ("_expression", "name", "names", "term", "text")

    def __init__(self, name: str, text: str, expression: Any, term: Term, names: frozenset[str]) -> None:
        self.name = name
        self.text = text
        self.term = term
        self.names = names
        self._expression = expression

    def holds(self, data: Bound) -> bool:
        """Whether it is true of the data. Raises GuardFault `rule.fault` where that cannot be said."""
        try:
            answer = self._expression.eval(data.activation)
            value = answer.value() if answer.type() == cel.Type.BOOL else None
        except Exception:  # noqa: BLE001 - the library raises RuntimeError and worse, quoting values
            value = None
        if value is True or value is False:
            return value is True
        raise GuardFault(self.name, FAULT)

    def constant(self) -> bool | None:
        """The answer that it gives whatever it is asked about, or None where it depends on the data."""
        try:
            answer = self._expression.eval(data={})
            value = answer.value() if answer.type() == cel.Type.BOOL else None
        except Exception:  # noqa: BLE001 - an expression that faults on nothing depends on something
            return None
        return value if isinstance(value, bool) else None

    def __repr__(self) -> str:
        return f"Condition({self.name!r})"


class Bound:
    """Data bound for one language's conditions. Shows nothing of itself; use it in one thread."""

    __slots__ = ("activation",)

    def __init__(self, activation: Any) -> None:
        self.activation = activation

    def __repr__(self) -> str:
        return "Bound()"


class Language:
    """CEL over declared variables: `declared` maps each to its type, such as `list<map<string, dyn>>`."""

    __slots__ = ("_env", "declared")

    def __init__(self, declared: Mapping[str, str]) -> None:
        self.declared = dict(declared)
        self._env = cel.NewEnv(variables={name: cel.Type(kind) for name, kind in declared.items()})

    def compile(self, text: str, name: str = "") -> Condition:
        """The condition `text`, called `name` in faults. Raises Miswritten."""
        if len(text) > MAX_CHARS:
            raise Miswritten((Mistake(1, 1, f"over {MAX_CHARS} characters", "split it into several rules"),))
        expression, complaint = self._compiled(text)
        if complaint:
            raise Miswritten(_mistakes(complaint, tuple(self.declared)))
        if expression.return_type() != cel.Type.BOOL:
            given = _type_name(str(expression.return_type()))
            what = f"it gives {given}, not true or false"
            raise Miswritten((Mistake(1, 1, what, "compare it, as in `… == true`"),))
        term = _term_of(expression.serialize(), text)
        names = frozenset(term.free()).intersection(self.declared)
        return Condition(name, text, expression, term, names)

    def bind(self, data: Mapping[str, Any]) -> Bound:
        """Bind plain data (see `plain`); a variable that is left out is a fault for what depends on it."""
        return Bound(self._env.Activation(dict(data)))

    def faults(self, text: str) -> bool:
        """Whether an expression of constants alone cannot be evaluated, such as a broken pattern."""
        expression, complaint = self._compiled(text)
        if complaint:
            return True
        try:
            return bool(expression.eval(data={}).type() == cel.Type.ERROR)
        except Exception:  # noqa: BLE001 - raising is faulting
            return True

    def _compiled(self, text: str) -> tuple[Any, str]:
        try:
            return self._env.compile(text), ""
        except Exception as error:  # noqa: BLE001 - pybind turns every C++ error into one of several
            return None, str(error) or "it cannot be compiled"


class Unfit(ValueError):
    """Data that a condition may not be asked about: too deep, too large, or of a kind that JSON has not."""


def plain(value: Any) -> Any:
    """A copy of JSON-like data that CEL takes. Raises Unfit beyond 100 levels or 10,000 entries.

    An integer beyond 64 bits becomes the nearest float, so that limits hold on it. NaN becomes null: every
    order comparison with NaN is false, so that it would slip under any limit, while one with null faults.
    """
    return _Copy().of(value, 0)


class _Copy:
    def __init__(self) -> None:
        self.entries = 0

    def of(self, value: Any, depth: int) -> Any:
        self.entries += 1
        if self.entries > MAX_ENTRIES or depth > MAX_DEPTH:
            raise Unfit("too large or too deep")
        kind = type(value)
        if value is None or kind is bool:
            return value
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, int):
            return int(value) if -(2**63) <= value < 2**63 else _rounded(value)
        if isinstance(value, float):
            return None if math.isnan(value) else float(value)
        if isinstance(value, Mapping):
            return {_key(key): self.of(item, depth + 1) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.of(item, depth + 1) for item in value]
        raise Unfit("not JSON-like")


def _key(key: Any) -> str:
    if type(key) is not str:
        raise Unfit("a key that is not text")
    return key


def _rounded(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


# -- the checked tree: `Expression.serialize` gives a protobuf, cel.expr.CheckedExpr (cel-spec, checked.proto)


def _term_of(serialized: bytes, text: str) -> Term:
    checked = dict(_wire(dict(_wire(serialized))[2]))
    places = {}
    for number, entry in _wire(checked.get(5, b"")):
        if number == 4:
            pair = dict(_wire(entry))
            places[pair.get(1, 0)] = pair.get(2, 0)
    return _term(checked[4], text, places)


def _term(data: bytes, text: str, places: Mapping[int, int]) -> Term:
    fields = dict(_wire(data))
    before = text[: places.get(fields.get(2, 0), 0)]
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    kind, body = next(((_EXPRESSIONS[number], value) for number, value in fields.items() if number in _EXPRESSIONS))
    inner = list(_wire(body))
    first = dict(reversed(inner))

    def terms(*numbers: int) -> tuple[Term, ...]:
        return tuple(_term(value, text, places) for number in numbers for field, value in inner if field == number)

    if kind == "constant":
        return Term(kind, line, column, value=_constant(inner))
    if kind == "name":
        return Term(kind, line, column, name=_text(first.get(1)).lstrip("."))
    if kind == "select":
        return Term("has" if first.get(3) else "select", line, column, name=_text(first.get(2)), parts=terms(1))
    if kind == "call":
        return Term(kind, line, column, name=_text(first.get(2)), parts=terms(1, 3))
    if kind == "list":
        return Term(kind, line, column, parts=terms(1))
    if kind == "map":
        entries = [value for number, value in inner if number == 2]
        halves = [value for entry in entries for number, value in _wire(entry) if number in (3, 4)]
        return Term(kind, line, column, parts=tuple(_term(value, text, places) for value in halves))
    bound = (_text(first.get(1)), _text(first.get(8)), _text(first.get(3)))
    return Term("loop", line, column, parts=terms(2, 4, 5, 6, 7), bound=bound)


_EXPRESSIONS: Mapping[int, Kind] = {
    3: "constant",
    4: "name",
    5: "select",
    6: "call",
    7: "list",
    8: "map",
    9: "loop",
}


def _constant(fields: list[tuple[int, Any]]) -> Any:
    if not fields:
        return None
    number, value = fields[0]
    if number == 2:
        return bool(value)
    if number == 3:
        return value - 2**64 if value >= 2**63 else value
    if number == 5:
        return struct.unpack("<d", value)[0]
    return _text(value) if number == 6 else value if number in (4, 7) else None


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _wire(data: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a protobuf message: numbers for varints, bytes for everything else."""
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        if tag & 7 == 0:
            value, place = _varint(data, place)
            yield tag >> 3, value
            continue
        size = {1: 8, 5: 4}.get(tag & 7)
        if size is None:
            size, place = _varint(data, place)
        yield tag >> 3, data[place : place + size]
        place += size


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place


# -- the library's complaints in a user's words


def _mistakes(complaint: str, declared: tuple[str, ...]) -> tuple[Mistake, ...]:
    found = []
    for line, column, words in _COMPLAINT.findall(complaint)[:10]:
        undeclared = _UNDECLARED.search(words)
        # The library points at the last dot of a dotted name.
        back = len(undeclared[1].rpartition(".")[0]) if undeclared else 0
        found.append(Mistake(max(int(line), 1), max(int(column) - back, 1), *_plainly(words, declared)))
    if not found:
        deep = "recursion" in complaint
        found.append(
            Mistake(1, 1, "nested too deeply" if deep else "not a CEL expression", "split it into several rules")
        )
    return tuple(dict.fromkeys(found))


def _plainly(words: str, declared: tuple[str, ...]) -> tuple[str, str]:
    """A complaint without the library's own vocabulary, and what to do."""
    undeclared = _UNDECLARED.search(words)
    if undeclared:
        facts = ", ".join(f"`{name}`" for name in declared)
        return f"`{undeclared[1][:60]}` is not declared", f"a condition may look at {facts}"
    overload = _OVERLOAD.search(words)
    if overload:
        return f"`{_operator(overload[1])}` does not take {overload[2]}", "compare values of one type"
    if "recursion" in words:
        return "nested too deeply", "split it into several rules"
    if "'<EOF>'" in words:
        return "it ends too early", ""
    unexpected = _UNEXPECTED.search(words)
    short = words.removeprefix("Syntax error: ").partition(" expecting ")[0]
    return f"`{unexpected[1][:60]}` is not expected here" if unexpected else short[:120], ""


def _operator(name: str) -> str:
    return {"_?_:_": "?:", "_[_]": "[]", "@in": "in"}.get(name, name.strip("_") or name)


def _type_name(name: str) -> str:
    words = {"STRING": "text", "INT": "a number", "UINT": "a number", "DOUBLE": "a number", "DYN": "any value"}
    return words.get(name, f"a {name.partition('<')[0].lower()}")
