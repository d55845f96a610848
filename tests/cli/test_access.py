"""`aigov access check`: the answer of the policy, and the line that gives it."""

from __future__ import annotations

import json
import shutil

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


def test_without_a_question_the_files_are_checked(aigov, here) -> None:
    ran = aigov("access", "check", "--strict", "--json")
    (told,) = lines(ran)
    assert ran.code == Exit.OK
    assert list(told) == ["ok", "engine", "why", "grants", "role_lines", "roles", "tenants", "warnings"]
    assert (told["ok"], told["engine"], told["warnings"]) == (True, "compiled", [])
    assert "the access files can be used" in aigov("access", "check").out


def test_a_warning_is_a_failure_where_it_is_asked_to_be(aigov, here) -> None:
    policy = here / "policies" / "access" / "policy.csv"
    policy.write_text(policy.read_text() + "p, suport-agent, retail, model:gpt-4o, chat\n")
    lax, strict = aigov("access", "check"), aigov("access", "check", "--strict", "--json")
    assert (lax.code, strict.code) == (Exit.OK, Exit.NO)
    assert "no role line names `suport-agent`; did you mean `support-agent`" in lax.out
    (told,) = lines(strict)
    assert (told["ok"], told["warnings"][0]["line"]) == (False, len(policy.read_text().splitlines()))


def test_files_that_cannot_be_used_are_told_with_their_place(aigov, here) -> None:
    policy = here / "policies" / "access" / "policy.csv"
    policy.write_text("p, a\n")
    ran = aigov("access", "check")
    assert ran.code == Exit.NO
    assert "policy.csv:1:1: a `p` line has 4 fields, this one 1" in ran.err
    (told,) = lines(aigov("access", "check", "--json"))
    assert (told["ok"], told["problems"][0]["line"]) == (False, 1)


def lines(ran) -> list[dict[str, object]]:
    return [json.loads(line) for line in ran.out.splitlines()]


def test_the_way_to_the_role_is_explained(aigov, here) -> None:
    who = ("--as", "rosa", "--role", "support-lead", "--tenant", "retail")
    ran = aigov("access", "explain", "chat", "model:gpt-4o-mini", *who, "--json")
    (told,) = lines(ran)
    assert ran.code == Exit.OK
    assert list(told) == ["allowed", "code", "engine", "asked"]
    (role,) = [one for one in told["asked"] if one["rule"]]
    assert role["path"] == ["rosa", "support-lead", "support-agent"]
    assert "policy.csv:" in role["where"]


def test_a_refusal_names_what_came_nearest(aigov, here) -> None:
    who = ("--as", "dana", "--role", "support-agent", "--tenant", "retail")
    ran = aigov("access", "explain", "chat", "model:gpt-5", *who)
    assert ran.code == Exit.NO
    assert "nearest" in ran.out
    assert "model:gpt-4o-mini" in ran.out


def test_who_may_and_what_may_are_two_sides_of_one_policy(aigov, here) -> None:
    who = lines(aigov("access", "who", "chat", "model:gpt-4o-mini", "--json"))
    assert {one["subject"] for one in who} == {"support-agent", "support-lead"}
    what = lines(aigov("access", "what", "support-lead", "--tenant", "retail", "--json"))
    assert ("chat", "model:gpt-4o-mini") in {(one["action"], one["resource"]) for one in what}
    assert all(list(one) == ["subject", "tenant", "resource", "action", "effect", "rule", "where"] for one in what)
    assert "support-lead" in aigov("access", "who", "chat", "model:gpt-4o-mini").out


def test_a_difference_between_two_policies_is_listed_and_exits_1(aigov, here) -> None:
    new = here / "new"
    shutil.copytree(here / "policies", new)
    assert aigov("access", "diff", "policies", "new").code == Exit.OK
    policy = new / "access" / "policy.csv"
    policy.write_text(policy.read_text() + "\np, contractor, retail, model:gpt-4o-mini, chat\n")
    ran = aigov("access", "diff", "policies", "new", "--json")
    assert ran.code == Exit.NO
    assert [(one["subject"], one["before"], one["after"]) for one in lines(ran)] == [("contractor", False, True)]


def test_attributes_are_asked_with(aigov, here) -> None:
    hospital = ("--policies", "policies/examples/hospital")
    asked = ("summarise", "record:oncology/3")
    nurse = ("--as", "nils", "--role", "nurse", "--tenant", "oncology", *hospital)
    assert aigov("access", "check", *asked, *nurse, "--attribute", "on_duty=yes").code == Exit.OK
    assert aigov("access", "explain", *asked, *nurse, "--attribute", "on_duty=no").code == Exit.NO
    assert aigov("access", "check", *asked, *nurse).code == Exit.NO
    (who,) = lines(aigov("access", "who", "draft", "letter:x", *hospital, "--attribute", "on_duty=yes",
                         "--tenant", "oncology", "--json"))  # fmt: skip
    assert who["subject"] == "physician"
    assert lines(aigov("access", "what", "nurse", *hospital, "--attribute", "on_duty=yes", "--json"))
    same = ("policies/examples/hospital",) * 2
    assert aigov("access", "diff", *same, "--attribute", "on_duty=yes").code == Exit.OK
    assert aigov("access", "who", "draft", "letter:x", *hospital, "--attribute", "on_duty").code == Exit.USAGE


def test_no_key_is_needed_to_ask(aigov, here) -> None:
    (here / "keys" / "root.key").unlink()
    who = ("--as", "dana", "--role", "support-agent", "--tenant", "retail")
    assert aigov(*CHAT, *who).code == Exit.OK
