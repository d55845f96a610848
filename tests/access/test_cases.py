"""Policies as tests: cases, what came out otherwise, and the rules that none touches."""

from __future__ import annotations

import msgspec
import pytest

from aigov.access.cases import decode, run_cases

POLICY = """\
g, dana, agent, retail
p, agent, retail, model:small, chat, allow
p, agent, retail, kb:*, read, allow
p, agent, retail, kb:secret, read, deny
"""


def case(**changes: object) -> dict[str, object]:
    asked = {"name": "a", "principal": {"id": "dana", "tenant": "retail"}, "action": "chat", "resource": "model:small"}
    return {**asked, "verdict": "allow", **changes}


def wrong(build, **changes: object) -> str:
    (result,) = run_cases(build(POLICY), decode({"cases": [case(**changes)]})).results
    return result.wrong


def test_a_case_that_comes_out_as_it_says_is_right(build) -> None:
    assert wrong(build, reason="access.allowed", rule="p,agent,retail, model:small, chat, allow") == ""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"verdict": "deny"}, "allow (access.allowed), not deny"),
        ({"resource": "x"}, "deny (access.denied), not allow"),
        ({"reason": "access.denied"}, "because of access.allowed, not access.denied"),
        ({"rule": "p, x"}, "decided by p, agent, retail, model:small, chat, allow, not p, x"),
        ({"resource": "x", "verdict": "deny", "rule": "p, x"}, "decided by no rule, not p, x"),
    ],
)
def test_what_came_out_otherwise_is_said(build, changes: dict[str, object], message: str) -> None:
    assert wrong(build, **changes) == message


def test_a_case_may_act_for_somebody(build) -> None:
    who = {"id": "dana", "tenant": "retail", "on_behalf_of": {"id": "kim", "tenant": "retail"}}
    assert wrong(build, principal=who, verdict="deny", reason="access.on_behalf_denied") == ""


def test_rules_that_no_case_touches_are_named(build) -> None:
    report = run_cases(build(POLICY), decode({"cases": [case(), case(resource="x", verdict="deny")]}))
    assert (report.failed, report.rules, round(report.coverage, 2)) == (0, 3, 0.33)
    assert [where.line for _, where in report.untouched] == [3, 4]


def test_a_misspelt_key_in_a_case_is_an_error() -> None:
    with pytest.raises(msgspec.ValidationError, match=r"unknown field `verdct`.*cases"):
        decode({"cases": [case(verdct="allow")]})
