"""What a guard answered, checked and built anew: the only form in which it goes on.

Invariants:
* Values of exactly our own types with fields of exactly plain types come in; new values go out. A
  subclass with its own `__eq__`, a property or a field changed afterwards has no way in.
* Every finding lies inside the part's text and carries a declared type and a score from 0 to 1; every
  ruling carries a declared reason code.
* A third party speaks in its own name only: detector, rule and guard are the plugin's, and nothing that
  it says is free text. How much it may say is bounded.
* What a third party is given is its own frozen copy, so nothing it does to it reaches the call.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import islice
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from aigov.types import Edit, Facts, Finding, Part, Principal, Reason, Ruling, Verdict

MAX_FINDINGS = 10_000
MAX_RULINGS = 1_000
MAX_REPLACEMENT = 10_000
KIND = re.compile(r"[a-z][a-z0-9_]{0,31}")
ACTION = re.compile(r"[a-z][a-z0-9_]{0,31}")
REASON = re.compile(r"[a-z0-9_.]{1,64}")
ENTITY = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
PRESIDIO_RESULT = ("presidio_analyzer.recognizer_result", "RecognizerResult")


class Nonsense(Exception):
    """An answer that is no answer. It never leaves the room; it says nothing, since it could quote."""


class Says(NamedTuple):
    """What one guard may say: its name, the types and reason codes that it may use, whose edits render."""

    name: str
    trusted: bool
    entities: frozenset[str]
    reasons: frozenset[str]
    guards: frozenset[str]


def findings(says: Says, answer: Any, part: Part) -> tuple[Finding, ...]:
    """The findings in an answer of `aigov_screen` or `aigov_detect`. Raises Nonsense."""
    return tuple([_finding(says, given, part) for given in _items(answer, MAX_FINDINGS, says.trusted)])


def rulings(says: Says, answer: Any, parts: Mapping[str, int] | None) -> tuple[Ruling, ...]:
    """The rulings in an answer of `aigov_judge`, or of `aigov_permit` (no `parts`). Raises Nonsense."""
    indices = frozenset(parts.values()) if parts is not None else frozenset()
    return tuple([_ruling(says, given, indices) for given in _items(answer, MAX_RULINGS, says.trusted)])


def replacement(answer: Any) -> str:
    """The text that a renderer made. Raises Nonsense."""
    if type(answer) is not str or len(answer) > MAX_REPLACEMENT:
        raise Nonsense
    return answer


def codes(answer: Any, shape: re.Pattern[str]) -> frozenset[str]:
    """Declared reason codes or entity types. Raises Nonsense."""
    found = list(_items(answer, MAX_RULINGS, trusted=False))
    if not all(type(code) is str and shape.fullmatch(code) for code in found):
        raise Nonsense
    return frozenset(found)


def recognised(answer: Any, chars: int, entities: frozenset[str]) -> list[Any]:
    """What a plugin's Presidio recogniser found in a text of `chars` characters. Raises Nonsense."""
    results = list(_items(answer, MAX_FINDINGS, trusted=False))
    for result in results:
        kind = type(result)
        if (kind.__module__, kind.__qualname__) != PRESIDIO_RESULT:
            raise Nonsense
        _span(result.start, result.end)
        if result.end > chars or type(result.entity_type) is not str or result.entity_type not in entities:
            raise Nonsense
        result.score = _score(result.score)
    return results


def private(value: Any) -> Any:
    """A frozen copy of a hook's argument that shares nothing changeable with it."""
    if isinstance(value, Part):
        return Part(path=value.path, text=value.text, role=value.role, number=value.number)
    if isinstance(value, Principal):
        return msgspec.structs.replace(value, on_behalf_of=private(value.on_behalf_of))
    if isinstance(value, Facts):
        return _facts(value)
    return frozen(value)


def frozen(value: Any) -> Any:
    """JSON-like data as read-only views of its own copy: mappings and tuples all the way down."""
    if isinstance(value, Mapping):
        return MappingProxyType({key: frozen(item) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return tuple([frozen(item) for item in value])
    return value


def _facts(facts: Facts) -> Facts:
    return msgspec.structs.replace(
        facts,
        principal=private(facts.principal),
        args=frozen(facts.args),
        findings=tuple([msgspec.structs.replace(finding) for finding in facts.findings]),
        parts=frozen(facts.parts),
        rulings=tuple([_copy(ruling) for ruling in facts.rulings]),
    )


def _copy(ruling: Ruling) -> Ruling:
    return msgspec.structs.replace(
        ruling,
        reason=msgspec.structs.replace(ruling.reason),
        edits=tuple([msgspec.structs.replace(edit) for edit in ruling.edits]),
    )


def _items(answer: Any, most: int, trusted: bool) -> Iterable[Any]:
    """The items of an answer; None is nothing to say. One that never ends is cut off and refused."""
    if answer is None:
        return ()
    if trusted:
        return tuple(answer)
    found = tuple(islice(answer, most + 1))
    if len(found) > most:
        raise Nonsense
    return found


def _finding(says: Says, given: Any, part: Part) -> Finding:
    if type(given) is not Finding:
        raise Nonsense
    kind, start, end = given.kind, given.start, given.end
    _span(start, end)
    if type(kind) is not str or not KIND.fullmatch(kind) or end > len(part.text):
        raise Nonsense
    return Finding(
        kind=kind,
        type=_declared(given.type, says.entities),
        start=start,
        end=end,
        score=_score(given.score),
        detector=_text(given.detector) if says.trusted and given.detector else says.name,
        path=_text(given.path) if says.trusted and given.path else part.path,
    )


def _ruling(says: Says, given: Any, indices: frozenset[int]) -> Ruling:
    if type(given) is not Ruling or type(given.verdict) is not Verdict or type(given.shadow) is not bool:
        raise Nonsense
    if type(given.reason) is not Reason or type(given.edits) is not tuple:
        raise Nonsense
    if given.edits and given.verdict is Verdict.ALLOW:  # an edit that the verdict says is not to be made
        raise Nonsense
    if not says.trusted and len(given.edits) > MAX_FINDINGS:
        raise Nonsense
    rule, layer = _text(given.reason.rule), _text(given.reason.layer)
    return Ruling(
        verdict=given.verdict,
        reason=Reason(
            code=_declared(given.reason.code, says.reasons),
            rule=rule if says.trusted and rule else says.name,
            layer=layer if says.trusted else "",
        ),
        edits=tuple([_edit(says, edit, indices) for edit in given.edits]),
        shadow=given.shadow,
    )


def _edit(says: Says, given: Any, indices: frozenset[int]) -> Edit:
    if type(given) is not Edit or type(given.part) is not int or given.part not in indices:
        raise Nonsense
    if not says.trusted and given.guard != says.name:
        raise Nonsense
    start, end, action = given.start, given.end, given.action
    _span(start, end)
    if type(action) is not str or not ACTION.fullmatch(action):
        raise Nonsense
    return Edit(
        part=given.part,
        start=start,
        end=end,
        type=_declared(given.type, says.entities),
        action=action,
        guard=_declared(given.guard, says.guards),
        score=_score(given.score),
    )


def _span(start: Any, end: Any) -> None:
    if type(start) is not int or type(end) is not int or not 0 <= start < end:
        raise Nonsense


def _score(score: Any) -> float:
    """0 to 1; the comparison is false for NaN."""
    if type(score) not in (int, float) or not 0 <= score <= 1:
        raise Nonsense
    return float(score)


def _declared(name: Any, names: frozenset[str]) -> str:
    if type(name) is not str or name not in names:
        raise Nonsense
    return name


def _text(text: Any) -> str:
    if type(text) is not str:
        raise Nonsense
    return text
