"""Why a decision is what it is: rule, line, role path, nearest miss."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aigov.access.explain import Differs, explain
from aigov.types import Principal

POLICY = """\
g, dana, support-agent, retail
g, support-agent, employee, retail
p, support-agent, retail, model:small, chat, allow
p, employee, retail, kb:*, read, allow
p, employee, retail, kb:secret, read, deny
"""
DANA = Principal(id="dana", tenant="retail")


def test_an_allowed_call_names_the_line_and_the_way_to_the_role(build) -> None:
    found = explain(build(POLICY), DANA, "read", "kb:faq")
    (asked,) = found.asked
    assert (found.allowed, found.code, found.engine) == (True, "access.allowed", "compiled")
    assert asked.path == ("dana", "support-agent", "employee")
    assert (asked.rule, asked.where.line) == ("p, employee, retail, kb:*, read, allow", 4)
    assert found.lines()[1].startswith("dana → support-agent → employee: ")


def test_an_asserted_role_begins_its_way_with_who_has_it(build) -> None:
    kim = Principal(id="kim", roles=("support-agent",), tenant="retail")
    found = explain(build(POLICY, trust_roles=True), kim, "read", "kb:faq")
    assert found.asked[1].path == ("kim", "support-agent", "employee")


def test_a_denial_names_the_rule_that_denies(build) -> None:
    found = explain(build(POLICY), DANA, "read", "kb:secret")
    assert (found.allowed, found.asked[0].where.line, found.asked[0].miss) == (False, 5, None)


def test_a_refusal_names_the_nearest_miss(build) -> None:
    found = explain(build(POLICY), DANA, "write", "kb:faq")
    miss = found.asked[0].miss
    assert miss.differs == (Differs("act", "read", "write"),)
    assert miss.where.line == 4
    assert "`act` is `read`, asked `write`" in found.lines()[-1]


def test_the_nearest_miss_is_about_who_asks_before_somebody_else(build) -> None:
    found = explain(build("p, kim, retail, x, chat, allow\np, dana, retail, y, chat, allow\n"), DANA, "chat", "x")
    assert found.asked[0].miss.differs == (Differs("obj", "y", "x"),)


def test_everybody_on_whose_behalf_is_asked_is_explained(build) -> None:
    agent = Principal(id="dana", tenant="retail", on_behalf_of=Principal(id="kim", tenant="retail"))
    found = explain(build(POLICY), agent, "chat", "model:small")
    assert [(asked.subject, asked.allowed) for asked in found.asked] == [("dana", True), ("kim", False)]
    assert found.code == "access.on_behalf_denied"


def test_what_cannot_be_asked_has_its_code_and_no_grounds(build) -> None:
    found = explain(build(POLICY), Principal(id="dana\n", tenant="retail"), "chat", "model:small")
    assert (found.allowed, found.code, found.asked) == (False, "access.malformed", ())


def test_a_policy_that_casbin_itself_decides_is_explained_by_its_rule(build, tenants) -> None:
    found = explain(build(POLICY, tenants.replace("r.act ==", "r.act.lower() ==")), DANA, "CHAT", "model:small")
    assert (found.engine, found.allowed, found.asked[0].where.line) == ("pycasbin", True, 3)


@given(st.sampled_from(["dana", "kim", "employee", "x"]), st.sampled_from(["read", "chat"]), st.text(max_size=8))
def test_an_explanation_agrees_with_the_decision(build_once, name: str, action: str, resource: str) -> None:
    principal = Principal(id=name, tenant="retail")
    found = explain(build_once, principal, action, resource)
    answer = build_once.answer(principal, action, resource)
    assert (found.allowed, found.code) == (answer.allowed, answer.code)
