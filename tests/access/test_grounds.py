"""What the record keeps of an access decision, and what it must not."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigov.access.grounds import MAX_RULES, Explainer, Grounds
from aigov.access.guard import Access
from aigov.audit.people import gist, level_of
from aigov.errors import Denied
from aigov.testing import ScriptedProvider, governor
from aigov.types import Principal

EXAMPLES = Path(__file__).parents[2] / "policies" / "examples"
POLICY = """\
g, dana, support-agent, retail
g, support-agent, employee, retail
p, support-agent, retail, model:small, chat, allow
p, employee, retail, kb:*, retrieve, allow
p, employee, retail, kb:secret, retrieve, deny
p, erin, retail, kb:secret, retrieve, allow
"""


def grounds(access: Access, principal: Principal, action: str, resource: str) -> Grounds | None:
    return Explainer(access)(principal, action, resource, access.aigov_permit(principal, action, resource))


@pytest.mark.parametrize(
    ("principal", "action", "resource", "wanted"),
    [
        (Principal(id="dana", tenant="retail"), "retrieve", "kb:faq",
         Grounds("access/policy.csv:4", ("support-agent", "employee"))),
        (Principal(id="dana", tenant="retail"), "retrieve", "kb:secret",
         Grounds("access/policy.csv:5", ("support-agent", "employee"))),
        (Principal(id="kim", tenant="retail", roles=("support-agent",)), "chat", "model:small",
         Grounds("access/policy.csv:3", ("support-agent",))),
        (Principal(id="erin", tenant="retail"), "retrieve", "kb:secret", Grounds("access/policy.csv:6")),
        (Principal(id="dana", tenant="retail"), "retrieve", "model:small", Grounds(near="access/policy.csv:3 act")),
        (Principal(id="dana", tenant="retail"), "write", "kb:faq", Grounds(near="access/policy.csv:4 act")),
        (Principal(id="zoe", tenant="retail"), "write", "kb:faq", Grounds()),
        (Principal(id="dana", tenant="bank"), "chat", "model:small", Grounds()),
        (Principal(id="dana", tenant="retail", on_behalf_of=Principal(id="erin", tenant="retail")), "retrieve",
         "kb:faq", Grounds(near="access/policy.csv:6 obj")),
        (Principal(id="d\n", tenant="retail"), "chat", "model:small", Grounds()),
    ],
)  # fmt: skip
def test_the_line_the_roles_and_the_nearest_miss_are_kept(build, principal, action, resource, wanted) -> None:
    assert grounds(build(POLICY, trust_roles=True), principal, action, resource) == wanted


@given(st.text(min_size=1, max_size=8), st.text(max_size=8), st.text(max_size=8), st.sampled_from(["retail", "x", ""]))
def test_nothing_of_who_asks_or_what_for_is_kept(
    build_once, name: str, action: str, resource: str, tenant: str
) -> None:
    principal = Principal(id="CANARY" + name, tenant=tenant, attributes={"a": "CANARY"})
    found = grounds(build_once, principal, action + "CANARY", resource + "CANARY")
    assert found is not None
    assert "CANARY" not in repr(found)


def test_what_no_ruling_of_access_explains_is_not_explained(build) -> None:
    assert Explainer(build(POLICY))(Principal(id="dana"), "chat", "model:small", ()) is None


def test_a_refusal_in_a_large_policy_looks_at_few_rules(build, monkeypatch: pytest.MonkeyPatch) -> None:
    access = build("".join(f"p, agent, retail, x{at}, chat, allow\n" for at in range(MAX_RULES + 50)) + POLICY)
    looked: list[int] = []
    nearest = "aigov.access.explain.nearest"
    monkeypatch.setattr(nearest, lambda engine, policy, request, rules: looked.append(len(rules)))
    assert grounds(access, Principal(id="zoe", tenant="retail"), "chat", "y") == Grounds()
    about = Principal(id="agent", tenant="retail")
    assert grounds(access, about, "chat", "y") == Grounds()
    assert looked == [0, MAX_RULES]


def test_an_allowed_and_a_refused_call_are_recorded_with_their_grounds() -> None:
    with governor() as trial:
        ask = trial.gov.guard(action="chat", resource="model:gpt-4o-mini")(ScriptedProvider("fine").ask)
        large = trial.gov.guard(action="chat", resource="model:gpt-4o")(ScriptedProvider("fine").ask)
        with trial.acting_as("rosa", roles=("support-lead",), tenant="retail"):
            ask("hello")
        with trial.acting_as("dana", roles=("support-agent",), tenant="retail"), pytest.raises(Denied):
            large("hello")
        (intent,), (denied,) = trial.records("call.intent"), trial.records("call.denied")
    policy = (EXAMPLES.parent / "access" / "policy.csv").read_text(encoding="utf-8").splitlines()
    assert intent["access"]["path"] == ["support-lead", "support-agent"]
    assert policy[int(intent["access"]["rule"].rpartition(":")[2]) - 1].endswith("model:gpt-4o-mini, chat")
    line, fields = denied["access"]["near"].split(" ")
    assert policy[int(line.rpartition(":")[2]) - 1].startswith("p, support-agent, retail")
    assert fields == "obj"


def pia(**attributes: Any) -> Principal:
    return Principal(id="pia", roles=("physician",), tenant="oncology", attributes={"on_duty": "yes", **attributes})


def test_breaking_the_glass_is_recorded_with_reason_and_end_and_told_to_people_as_an_error() -> None:
    now = int(time.time())
    with governor(EXAMPLES / "hospital") as trial:
        summarise = trial.gov.guard(action="summarise", resource="record:cardiology/17")(ScriptedProvider("fine").ask)
        with trial.gov.acting_as(pia(break_glass="life_at_risk", break_glass_at=now)):
            summarise("the file")
        (intent,) = trial.records("call.intent")
        ref = intent["actor"]["ref"]
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + 30 * 60))
    assert intent["access"] == {
        "rule": "access/policy.csv:18", "path": ["emergency"], "near": "", "break_glass": "life_at_risk",
        "until_ts": until,
    }  # fmt: skip
    assert ref
    assert "pia" not in str(intent)
    assert level_of(intent) == logging.ERROR
    assert gist(intent)["break_glass"] == f"life_at_risk until {until}"
    assert level_of({**intent, "access": None}) == logging.INFO


def test_the_nearest_line_is_looked_for_in_the_tenant_that_was_asked_about(build) -> None:
    others = "".join(f"p, support-agent, bank{at}, x{at}, chat, allow\n" for at in range(MAX_RULES + 50))
    access = build(others + POLICY)
    found = grounds(access, Principal(id="dana", tenant="retail"), "write", "kb:faq")
    assert found == Grounds(near=f"access/policy.csv:{MAX_RULES + 54} act")
