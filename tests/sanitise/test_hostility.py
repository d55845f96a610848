"""What models read of hostility: one finding over the part from 0.1 on, and the policy's threshold decides."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigov.errors import Location
from aigov.hookspecs import Context
from aigov.sanitise.guard import SanitiseGuard, plugin
from aigov.sanitise.settings import Settings
from aigov.types import Facts, Finding, Part, Principal, Reader, Reading, Section, Verdict


def guard(hostility: float, threshold: float = 0.75) -> SanitiseGuard:
    """A guard over a model that is as sure as this of every text."""
    reader = Reader(
        name="Judge", entities=frozenset(), hostility=True, read=lambda text: Reading(spans=(), hostility=hostility)
    )
    context = Context(folder=Path(), key=lambda label: b"k" * 32, readers=(reader,))
    settings = Section(Settings(hostility_score=threshold), "organisation", lambda *path: Location("policy.yaml"))
    return plugin.aigov_start(settings=settings, context=context)


def found(one: SanitiseGuard, text: str = "late") -> list[Finding]:
    return list(one.aigov_detect(part=Part(path="/a", text=text), direction="input"))


@pytest.mark.parametrize(("hostility", "reported"), [(0.0, 0), (0.0999, 0), (0.1, 1), (0.5, 1), (1.0, 1)])
def test_it_is_reported_from_a_tenth_on(hostility: float, reported: int) -> None:
    assert [(one.kind, one.type, one.start, one.end, one.score) for one in found(guard(hostility))] == [
        ("injection", "HOSTILE_INSTRUCTION", 0, 4, hostility)
    ] * reported


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_threshold_of_the_policy_decides(hostility: float, threshold: float) -> None:
    judge = guard(hostility, threshold)
    facts = Facts(
        direction="input", action="chat", resource="model:m", principal=Principal(id="dana"),
        findings=tuple(found(judge)), parts={"/a": 0},
    )  # fmt: skip
    verdicts = [one.verdict for one in judge.aigov_judge(facts)]
    assert verdicts == [Verdict.REVIEW] * (hostility >= max(threshold, 0.1))
