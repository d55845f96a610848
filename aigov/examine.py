"""Asking the guards: every finding on every part, and the plugins' share of it under their limits.

Invariants:
* Guards see the normal form; what they find is reported in offsets of the text as it was given.
* A guard that breaks stops the call: nothing here treats a fault as "nothing found", and nothing of it is remembered.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import msgspec

from aigov.errors import GuardFault
from aigov.passage import Ask, Read, Snapshot
from aigov.plugins import Contribution
from aigov.privacy.recall import Recall
from aigov.text.memory import Memory
from aigov.text.nodes import plain_value
from aigov.text.normal import normalise
from aigov.text.readable import readable
from aigov.text.spans import Replacement
from aigov.types import Direction, Finding, Part

T = TypeVar("T")
Walk = Generator[Any, Any, T]


def examine(
    snapshot: Snapshot, parts: Sequence[Part], direction: Direction, recall: Recall | None = None
) -> Walk[tuple[Finding, ...]]:
    """Steps 3 and 4: every finding of every guard, in offsets of the text as it was given.

    `recall`: what the built-in guards found in these parts before, under this very policy, is not looked for again.
    Third parties are asked each time. Raises GuardFault where a guard broke.
    """
    if recall is None:
        return (yield from _looked(snapshot, parts, direction, (True, False)))
    keys = [recall.key(snapshot.digest, direction, part) for part in parts]
    known = [recall.get(key) for key in keys]
    new = [part for part, old in zip(parts, known, strict=True) if old is None]
    own = yield from _looked(snapshot, new, direction, (True,), recall.memory)
    by_path: dict[str, list[Finding]] = {part.path: [] for part in new}
    for finding in own:
        by_path[finding.path].append(finding)
    for part, key, old in zip(parts, keys, known, strict=True):
        if old is None:
            recall.put(key, tuple(by_path[part.path]))
    recalled = [finding for old in known if old is not None for finding in old]
    others = yield from _looked(snapshot, parts, direction, (False,))
    return (*recalled, *own, *others)


def _looked(
    snapshot: Snapshot,
    parts: Sequence[Part],
    direction: Direction,
    trusted: tuple[bool, ...],
    memory: Memory | None = None,
) -> Walk[tuple[Finding, ...]]:
    """What guards of these kinds find, built in (True) and third parties (False). `memory`: of what models read."""
    screens = [one for one in snapshot.guards.screen if one.trusted in trusted]
    detectors = [one for one in snapshot.guards.detect if one.trusted in trusted]
    found: list[Finding] = []
    for answers in (yield from ask(screens, [(part, direction) for part in parts])):
        for part, findings in zip(parts, answers, strict=True):
            found += (msgspec.structs.replace(finding, path=part.path) for finding in findings)
    if not detectors or not parts:
        return tuple(found)
    normal = [normalise(part.text) for part in parts]
    seen = [msgspec.structs.replace(part, text=form.text) for part, form in zip(parts, normal, strict=True)]
    own, others = [one for one in detectors if one.trusted], [one for one in detectors if not one.trusted]
    with (yield from _read(snapshot, seen, direction, memory)) if own else nullcontext():
        # Nothing is yielded while built-in guards are asked, so what was read is known to them alone.
        answered = yield from ask(own, [(part, direction) for part in seen])
    answered += yield from ask(others, [(part, direction) for part in seen])
    for answers in answered:
        for part, form, findings in zip(parts, normal, answers, strict=True):
            for finding in findings:
                start, end = form.original(finding.start, finding.end)
                found.append(msgspec.structs.replace(finding, start=start, end=end, path=part.path))
    return tuple(found)


def _read(
    snapshot: Snapshot, parts: Sequence[Part], direction: Direction, memory: Memory | None
) -> Walk[AbstractContextManager[None]]:
    """Have models read what guards will ask them about; a context in which they are told. Raises GuardFault."""
    reading = snapshot.reading
    if reading is None:
        return nullcontext()
    wanted = [(part, reading.wants(part, direction)) for part in parts]
    asked = [(text, names) for part, names in wanted if names for text in readable(part.text)]
    if not asked:
        return nullcontext()
    told = yield Read(lambda: reading.run(asked, memory))
    if isinstance(told, GuardFault):
        raise told
    return reading.shown(told)


def ask(
    contributions: Sequence[Contribution], questions: Sequence[tuple[Any, ...]]
) -> Walk[list[list[tuple[Any, ...]]]]:
    """Each contribution's answers to all questions. Built-in guards answer here, plugins under their limits.

    Raises GuardFault for the first contribution that broke, in the order of the contributions.
    """
    outside = [(one, question) for one in contributions if not one.trusted for question in questions]
    replies = iter((yield Ask(tuple(outside))) if outside else ())
    answers = []
    for one in contributions:
        answers.append([one(*question) if one.trusted else _reply(next(replies)) for question in questions])
    return answers


def stated_confidence(answers: Iterable[Any]) -> float | None:
    """The lowest `confidence` that the answers state of themselves, as a key or an attribute.

    What is stated but is no number, or cannot be read, counts as not a number, which no threshold lets through.
    Give it copies: an attribute may be the answer's own code.
    """
    stated = [_number(value) for answer in answers for value in _stated(answer) if value is not None]
    return next((value for value in stated if value != value), min(stated, default=None))


def outside(finding: Finding, spans: Iterable[tuple[int, int]]) -> list[Finding]:
    """What of a finding lies outside `spans`: our own tokens are not for detectors to judge."""
    pieces, at = [], finding.start
    for start, end in sorted(spans):
        if start < finding.end and end > at:
            pieces.append((at, start))
            at = max(at, end)
    pieces.append((at, finding.end))
    return [msgspec.structs.replace(finding, start=start, end=end) for start, end in pieces if start < end]


def untouched(spans: Iterable[Replacement], edits: Iterable[Replacement]) -> list[Replacement]:
    """Those of disjoint `spans` that no edit touches: half of a token is a token no more."""
    taken = sorted((start, end) for start, end, _ in edits)
    kept, at = [], 0
    for span in sorted(spans):
        while at < len(taken) and taken[at][1] <= span[0]:
            at += 1
        if at == len(taken) or taken[at][0] >= span[1]:
            kept.append(span)
    return kept


def _stated(answer: Any) -> tuple[Any, ...]:
    """What an answer says under the key `confidence`, and as its attribute."""
    kind = type(answer)
    if kind is dict:
        return (answer.get("confidence"),)
    try:
        key = dict.get(answer, "confidence") if isinstance(answer, dict) else None
        if isinstance(answer, Mapping) and not isinstance(answer, dict):
            key = answer.get("confidence")
        return key, getattr(answer, "confidence", None)
    except Exception:  # noqa: BLE001 - the answer's own code: what cannot be read cannot vouch for it
        return (math.nan,)


def _number(value: Any) -> float:
    shown = plain_value(value)
    return float(shown) if isinstance(shown, (int, float)) and not isinstance(shown, bool) else math.nan


def _reply(reply: Any) -> tuple[Any, ...]:
    """A plugin's answer. Raises the fault that the driver brought back in its place."""
    if isinstance(reply, GuardFault):
        raise reply
    return tuple(reply)
