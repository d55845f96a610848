"""What a rule may look at: the declared facts, their keys, and a call's facts as plain data.

Invariants:
* Keys of `principal` and of a finding are checked when the policy is loaded: CEL takes any key of a map, and a
  misspelt one would be a rule that never fires, or that faults at the first call.
* A fact that cannot be shown to a rule is left out, so that what depends on it is a fault and what does not
  is unharmed: `action == "tool:refund" && args.amount > 100.0` passes any other action, whatever its `args`.
"""

from __future__ import annotations

import datetime
import difflib
import enum
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aigov.conditions import Language, Mistake, Term, Unfit, plain
from aigov.policy.cost import costly
from aigov.types import Facts, Finding, Principal

FACTS: Mapping[str, str] = {
    "action": "string",
    "resource": "string",
    "resource_attributes": "map<string, dyn>",
    "direction": "string",
    "principal": "map<string, dyn>",
    "args": "map<string, dyn>",
    "findings": "list<map<string, dyn>>",
    "confidence": "dyn",
    "now": "timestamp",
}
PRINCIPAL_KEYS = ("id", "roles", "tenant", "attributes", "on_behalf_of")
FINDING_KEYS = ("kind", "type", "start", "end", "score", "detector", "path")
DIRECTIONS = ("input", "output")
MAX_FINDINGS = 10_000  # as many as a condition may step through
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_CLOCK = (
    "getHours",
    "getMinutes",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getMonth",
    "getFullYear",
)


def view(facts: Facts, names: Iterable[str]) -> dict[str, Any]:
    """The facts called `names` as plain data for CEL; those that cannot be shown are left out."""
    shown = {}
    for name in names:
        try:
            shown[name] = _VIEWS[name](facts)
        except (Unfit, OverflowError):
            continue
    return shown


def _principal(principal: Principal) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": principal.id,
        "roles": list(principal.roles),
        "tenant": principal.tenant,
        "attributes": plain(principal.attributes),
    }
    # Left out where there is nobody, so that `has(principal.on_behalf_of)` asks for it.
    if principal.on_behalf_of is not None:
        shown["on_behalf_of"] = _principal(principal.on_behalf_of)
    return shown


def _findings(findings: tuple[Finding, ...]) -> list[dict[str, Any]]:
    if len(findings) > MAX_FINDINGS:
        raise Unfit("too many findings")
    return [{key: getattr(finding, key) for key in FINDING_KEYS} for finding in findings]


def _confidence(stated: object) -> float | None:
    if stated is None:
        return None
    if isinstance(stated, bool) or not isinstance(stated, (int, float)):
        raise Unfit("not a number")
    number: float | None = plain(float(stated))
    return number


_VIEWS: Mapping[str, Callable[[Facts], Any]] = {
    "action": lambda facts: facts.action,
    "resource": lambda facts: facts.resource,
    "resource_attributes": lambda facts: plain(facts.resource_attributes),
    "direction": lambda facts: facts.direction,
    "principal": lambda facts: _principal(facts.principal),
    "args": lambda facts: plain(facts.args),
    "findings": lambda facts: _findings(facts.findings),
    "confidence": lambda facts: _confidence(facts.confidence),
    "now": lambda facts: _EPOCH + datetime.timedelta(microseconds=facts.now_us),
}


class _Shape(enum.Enum):
    """What a term may be, as far as its keys are known."""

    ANY = "any value"
    PRINCIPAL = "the principal"
    RESOURCE = "the resource"
    FINDING = "a finding"
    FINDINGS = "the findings"


_KEYS = {_Shape.PRINCIPAL: PRINCIPAL_KEYS, _Shape.FINDING: FINDING_KEYS}
_ROOTS = {"principal": _Shape.PRINCIPAL, "resource_attributes": _Shape.RESOURCE, "findings": _Shape.FINDINGS}
_COMPARE = ("_==_", "_!=_")


def mistakes(
    term: Term,
    language: Language,
    entities: frozenset[str] = frozenset(),
    resource_attributes: frozenset[str] = frozenset(),
) -> list[Mistake]:
    """Everything in a checked condition that the library lets pass and that cannot have been meant.

    `entities`: the declared entity types, so that one that is nearly right can be told. `resource_attributes`:
    the attributes that the policy gives to resources; a condition may ask for no other.
    """
    reading = _Reading(entities, resource_attributes)
    reading.shape(term, {})
    broken = [Mistake(bad.line, bad.column, what) for bad, what in _broken_constants(term, language)]
    return sorted({*reading.mistakes, *broken, *costly(term)})


class _Reading:
    """Follows the principal, the resource and the findings through an expression; checks every key asked of them."""

    def __init__(self, entities: frozenset[str], resource_attributes: frozenset[str]) -> None:
        self.entities = entities
        self.keys: Mapping[_Shape, tuple[str, ...]] = {**_KEYS, _Shape.RESOURCE: tuple(sorted(resource_attributes))}
        self.mistakes: set[Mistake] = set()

    def shape(self, term: Term, bound: Mapping[str, _Shape]) -> _Shape:
        if term.kind == "name":
            return bound.get(term.name, _ROOTS.get(term.name, _Shape.ANY))
        if term.kind == "loop":
            return self._loop(term, bound)
        shapes = [self.shape(part, bound) for part in term.parts]
        if term.kind in ("select", "has"):
            found = self._key(term, term.name, shapes[0])
            return found if term.kind == "select" else _Shape.ANY
        if term.kind == "call":
            self._compared(term, bound)
            return self._call(term, shapes)
        if term.kind == "list" and _Shape.FINDING in shapes:
            return _Shape.FINDINGS
        self._whole(term, shapes)
        return _Shape.ANY

    def _key(self, term: Term, key: object, shape: _Shape) -> _Shape:
        keys = self.keys.get(shape)
        if keys is not None and key not in keys:
            close = difflib.get_close_matches(str(key), keys, n=1)
            fix = f"did you mean `{close[0]}`?" if close else "its keys are " + ", ".join(f"`{name}`" for name in keys)
            fix = fix if keys else "describe resources under `access.resources`"
            self._report(term, f"{shape.value} has no key `{str(key)[:40]}`", fix)
        return _Shape.PRINCIPAL if shape is _Shape.PRINCIPAL and key == "on_behalf_of" else _Shape.ANY

    def _call(self, term: Term, shapes: list[_Shape]) -> _Shape:
        if term.name == "_[_]" and shapes[0] is _Shape.FINDINGS:
            return _Shape.FINDING
        if term.name in ("_[_]", "@in"):
            place = 0 if term.name == "_[_]" else 1
            key = term.parts[1 - place]
            if shapes[place] in self.keys and key.kind != "constant":
                self._report(term, f"a key of {shapes[place].value} that is worked out", "write the key's name")
            elif shapes[place] in self.keys:
                return self._key(key, key.value, shapes[place])
            return _Shape.ANY
        if term.name in ("_+_", "_?_:_"):
            return next((shape for shape in shapes if shape is not _Shape.ANY), _Shape.ANY)
        listed = term.name in ("size", *_COMPARE)
        self._whole(term, [shape for shape in shapes if not (listed and shape is _Shape.FINDINGS)])
        return _Shape.ANY

    def _whole(self, term: Term, shapes: list[_Shape]) -> None:
        """Where the principal or a finding goes as a whole, its keys can no longer be followed."""
        for shape in shapes:
            if shape is not _Shape.ANY:
                self._report(term, f"{shape.value} as a whole", "use the keys, as in `principal.id` or `f.type`")

    def _loop(self, term: Term, bound: Mapping[str, _Shape]) -> _Shape:
        over = self.shape(term.parts[0], bound)
        if over in self.keys:
            self._whole(term, [over])
        element = _Shape.FINDING if over is _Shape.FINDINGS else _Shape.ANY
        first, second, gathered = term.bound
        names = {first: _Shape.ANY, second: element} if second else {first: element}
        result = self.shape(term.parts[1], bound)
        for _ in range(2):  # the second time round, with what the first one gathered
            inner = {**bound, **names, gathered: result}
            self.shape(term.parts[2], inner)
            step = self.shape(term.parts[3], inner)
            result = step if result is _Shape.ANY else result
        return self.shape(term.parts[4], {**bound, gathered: result})

    def _compared(self, term: Term, bound: Mapping[str, _Shape]) -> None:
        """Constants that `direction` or a finding's `type` is compared with."""
        if term.name not in (*_COMPARE, "@in"):
            return
        for subject, other in (term.parts, term.parts[::-1]):
            constants = [part for part in other.walk() if part.kind == "constant"] if other.kind != "loop" else []
            if subject.kind == "name" and subject.name == "direction" and subject.name not in bound:
                for part in constants:
                    self._direction(part)
            if subject.kind == "select" and subject.name == "type" and self._is_finding(subject, bound):
                for part in constants:
                    self._entity(part)

    def _is_finding(self, subject: Term, bound: Mapping[str, _Shape]) -> bool:
        return self.shape(subject.parts[0], bound) is _Shape.FINDING

    def _direction(self, part: Term) -> None:
        if part.value not in DIRECTIONS:
            self._report(part, f"`direction` is never `{str(part.value)[:40]}`", "it is `input` or `output`")

    def _entity(self, part: Term) -> None:
        if part.value in self.entities or not isinstance(part.value, str):
            return
        close = difflib.get_close_matches(part.value, sorted(self.entities), n=1, cutoff=0.8)
        if close:
            self._report(part, f"`{part.value[:40]}` is no declared entity type", f"did you mean `{close[0]}`?")

    def _report(self, term: Term, what: str, fix: str) -> None:
        column = term.column + (term.kind == "select")  # the library points at the dot
        self.mistakes.add(Mistake(term.line, column, what, fix))


def _broken_constants(term: Term, language: Language) -> Iterable[tuple[Term, str]]:
    """Patterns, times and time zones that stand in the condition and could never be evaluated."""
    for call in term.walk():
        last = call.parts[-1] if call.parts else call
        if call.kind != "call" or last.kind != "constant" or not isinstance(last.value, str):
            continue
        probe = _probe(call.name, json.dumps(last.value, ensure_ascii=False))
        if probe and language.faults(probe[0]):
            yield last, f"not {probe[1]}"


def _probe(function: str, literal: str) -> tuple[str, str] | None:
    if function == "matches":
        return f'"".matches({literal})', "a regular expression of RE2"
    if function == "timestamp":
        return f"timestamp({literal})", "a time such as `2026-01-31T08:00:00Z`"
    if function == "duration":
        return f"duration({literal})", "a duration such as `90s`"
    if function in _CLOCK:
        return f'timestamp("2026-01-31T08:00:00Z").{function}({literal})', "a time zone such as `Europe/Berlin`"
    return None
