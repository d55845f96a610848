"""A privacy guard over settings, as a policy would start it, and the way of a text through it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aigov.errors import Location
from aigov.hookspecs import Context
from aigov.privacy.guard import PrivacyGuard, plugin
from aigov.privacy.session import Session
from aigov.privacy.settings import Settings
from aigov.text.spans import resolve, splice
from aigov.types import Direction, Facts, Part, Principal, Section

Start = Callable[..., PrivacyGuard]
CUSTOM = {"entity": "ORDER_ID", "pattern": r"\bORD-\d{8}\b", "score": 0.9, "context": ["order"]}


def section(settings: dict[str, Any]) -> Section:
    """Settings as decoded; an entry's place is told by its path, in the place of a file."""
    value = msgspec.convert(settings, Settings)
    return Section(value, "organisation", lambda *path: Location(".".join(map(str, path)), 1, 1))


def start_guard(
    settings: dict[str, Any],
    entities: frozenset[str] = frozenset(),
    recognizers: tuple[Any, ...] = (),
    key: bytes = b"",
) -> PrivacyGuard:
    context = Context(
        folder=Path(),
        key=lambda label: hashlib.sha256(key + label.encode()).digest(),
        entities=entities,
        recognizers=recognizers,
    )
    return plugin.aigov_start(section(settings), context)


@pytest.fixture(scope="session")
def start() -> Start:
    """Start a guard: `start(settings, entities=frozenset(), recognizers=(), key=b"")`."""
    return start_guard


@pytest.fixture(scope="session")
def guard() -> PrivacyGuard:
    """A guard that tokenises everything, with one custom entity."""
    return start_guard({"custom": [CUSTOM]})


@pytest.fixture
def session(guard: PrivacyGuard) -> Session:
    """An empty session."""
    return guard.session()


def facts_of(guard: PrivacyGuard, text: str, direction: Direction = "input") -> Facts:
    part = Part(path="/0", text=text)
    found = tuple(one for one in guard.aigov_detect(part, direction) if guard.admit(one, text))
    who = Principal(id="dana")
    return Facts(direction=direction, action="chat", resource="model:m", principal=who, findings=found, parts={"/0": 0})


def transform(guard: PrivacyGuard, text: str, session: Session, direction: Direction = "input") -> str:
    """The text as it leaves: detected, judged, resolved, rendered."""
    rulings = guard.aigov_judge(facts_of(guard, text, direction))
    edits = [edit for ruling in rulings for edit in ruling.edits]
    if direction == "input":
        edits += session.literals([text])
    render = guard.aigov_renderer()
    return splice(
        text,
        [(one.start, one.end, render(one, text[one.start : one.end], session, direction)) for one in resolve(edits)],
    )


@pytest.fixture(scope="session")
def redact() -> Callable[..., str]:
    """`redact(guard, text, session, direction="input")`: the text as it leaves."""
    return transform


@pytest.fixture(scope="session")
def facts() -> Callable[..., Facts]:
    """`facts(guard, text, direction="input")`: what the guard is asked to judge."""
    return facts_of
