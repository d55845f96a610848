"""`aigov access check`: the answer of the policy, and the line that gives it."""

from __future__ import annotations

import json

import pytest

from aigov.cli.exits import Exit

CHAT = ("access", "check", "chat", "model:gpt-4o-mini")


def test_yes_names_the_line_of_the_policy(aigov, here) -> None:
    ran = aigov(*CHAT, "--as", "dana", "--role", "support-agent", "--tenant", "retail", "--json")
    told = json.loads(ran.out)
    assert ran.code == Exit.OK
    assert list(told) == ["verdict", "allowed", "reasons", "policy"]
    rule = told["reasons"][0]["rule"]
    lines = (here / "policies" / "access" / "policy.csv").read_text().splitlines()
    assert "chat" in lines[int(rule.rpartition(":")[2]) - 1]


@pytest.mark.parametrize(
    "who",
    [
        ("--as", "dana"),
        ("--as", "dana", "--role", "support-agent"),
        ("--as", "dana", "--role", "support-agent", "--tenant", "wholesale"),
        ("--as", "kim", "--role", "contractor", "--tenant", "retail"),
    ],
)
def test_no_exits_1(aigov, here, who: tuple[str, ...]) -> None:
    ran = aigov(*CHAT, *who)
    assert ran.code == Exit.NO
    assert ran.out.startswith("refused")


def test_somebody_has_to_be_named(aigov, here) -> None:
    assert aigov(*CHAT).code == Exit.USAGE
