"""What the guard of step 2 answers, and that it always answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigov.access.guard import REASONS, Access, AccessPlugin, plugin, read
from aigov.access.load import load
from aigov.access.settings import AccessSettings, BreakGlass
from aigov.errors import Location, PolicyError
from aigov.hookspecs import Context
from aigov.types import Principal, Section, Verdict

STARTER = Path(__file__).parents[2] / "policies"
POLICY = """\
g, dana, support-agent, retail
g, support-agent, employee, retail
p, support-agent, retail, model:small, chat, allow
p, employee, retail, kb:*, retrieve, allow
p, banned, retail, *, chat, deny
p, erin, retail, kb:secret, retrieve, deny
"""


def verdict(access: Access, principal: Principal, action: str, resource: str) -> tuple[str, str]:
    (ruling,) = access.aigov_permit(principal, action, resource)
    return ruling.verdict.name, ruling.reason.code


def test_a_role_in_the_tenant_allows_and_names_the_line(build) -> None:
    (ruling,) = build(POLICY).aigov_permit(Principal(id="dana", tenant="retail"), "chat", "model:small")
    assert (ruling.verdict, ruling.reason.code) == (Verdict.ALLOW, "access.allowed")
    assert ruling.reason.rule == "access/policy.csv:3"


def test_rights_come_down_the_hierarchy(build) -> None:
    dana = Principal(id="dana", tenant="retail")
    assert verdict(build(POLICY), dana, "retrieve", "kb:faq") == ("ALLOW", "access.allowed")


def test_a_role_is_worth_nothing_in_another_tenant(build) -> None:
    assert verdict(build(POLICY), Principal(id="dana", tenant="bank"), "chat", "model:small")[0] == "DENY"


def test_silence_is_a_refusal(build) -> None:
    dana = Principal(id="dana", tenant="retail")
    assert verdict(build(POLICY), dana, "delete", "model:small") == ("DENY", "access.denied")


def test_no_tenant_is_named_as_the_cause(build) -> None:
    assert verdict(build(POLICY), Principal(id="dana"), "chat", "model:small") == ("DENY", "access.tenant_missing")


def test_asserted_roles_count_only_where_they_are_trusted(build) -> None:
    kim = Principal(id="kim", roles=("support-agent",), tenant="retail")
    assert verdict(build(POLICY), kim, "chat", "model:small")[0] == "DENY"
    assert verdict(build(POLICY, trust_roles=True), kim, "chat", "model:small")[0] == "ALLOW"


def test_a_deny_for_one_role_wins_over_an_allow_for_another(build) -> None:
    access = build(POLICY, trust_roles=True)
    both = Principal(id="kim", roles=("support-agent", "banned"), tenant="retail")
    (ruling,) = access.aigov_permit(both, "chat", "model:small")
    assert (ruling.verdict, ruling.reason.rule) == (Verdict.DENY, "access/policy.csv:5")


def test_a_deny_for_the_id_wins_over_an_allow_for_a_role(build) -> None:
    erin = Principal(id="erin", roles=("employee",), tenant="retail")
    access = build(POLICY, trust_roles=True)
    assert verdict(access, erin, "retrieve", "kb:secret")[0] == "DENY"
    assert verdict(access, erin, "retrieve", "kb:faq")[0] == "ALLOW"


@pytest.mark.parametrize("trust_roles", [True, False])
def test_nobody_becomes_a_role_by_being_called_like_one(build, trust_roles: bool) -> None:
    called = Principal(id="support-agent", tenant="retail")
    found = verdict(build(POLICY, trust_roles=trust_roles), called, "chat", "model:small")
    assert found == ("DENY", "access.ambiguous_id")


def test_a_role_that_no_line_puts_below_another_is_protected_by_listing_it(build) -> None:
    called = Principal(id="banned", tenant="retail")
    assert verdict(build(POLICY, roles=["banned"]), called, "chat", "x") == ("DENY", "access.ambiguous_id")


def test_an_agent_has_no_more_than_whom_it_acts_for(build) -> None:
    access = build(POLICY)
    dana, kim = Principal(id="dana", tenant="retail"), Principal(id="kim", tenant="retail")
    for_dana = Principal(id="dana", tenant="retail", on_behalf_of=dana)
    for_kim = Principal(id="dana", tenant="retail", on_behalf_of=kim)
    assert verdict(access, for_dana, "chat", "model:small")[0] == "ALLOW"
    assert verdict(access, for_kim, "chat", "model:small") == ("DENY", "access.on_behalf_denied")


def test_an_agent_has_no_more_than_itself_may(build) -> None:
    dana = Principal(id="dana", tenant="retail")
    agent = Principal(id="agent", tenant="retail", on_behalf_of=dana)
    assert verdict(build(POLICY), agent, "chat", "model:small") == ("DENY", "access.denied")


def test_a_chain_without_end_is_refused(build) -> None:
    principal = Principal(id="dana", tenant="retail")
    for _ in range(10_000):
        principal = Principal(id="dana", tenant="retail", on_behalf_of=principal)
    assert verdict(build(POLICY), principal, "chat", "model:small") == ("DENY", "access.chain_too_long")


@pytest.mark.parametrize(
    "principal",
    [
        Principal(id="dana\np, dana, retail, *, *, allow", tenant="retail"),
        Principal(id="d" * 1_000_000, tenant="retail"),
        Principal(id="dana\x00", tenant="retail"),
        Principal(id="dana\ud800", tenant="retail"),
        Principal(id="dana\u202e", tenant="retail"),
        Principal(id="dana", tenant="re\ntail"),
        Principal(id="dana", roles=("a\nb",), tenant="retail"),
        Principal(id="dana", roles=("",), tenant="retail"),
        Principal(id="dana", roles=tuple(map(str, range(1000))), tenant="retail"),
    ],
)
def test_text_that_is_no_name_is_refused_before_any_rule(build, principal: Principal) -> None:
    access = build(POLICY, trust_roles=True)
    assert verdict(access, principal, "chat", "model:small") == ("DENY", "access.malformed")


@pytest.mark.parametrize("wrong", [None, "", 3, b"chat", "chat\n", "c" * 5000])
def test_an_action_or_resource_that_is_no_name_is_refused(build, wrong) -> None:
    access, dana = build(POLICY), Principal(id="dana", tenant="retail")
    assert verdict(access, dana, wrong, "model:small") == ("DENY", "access.malformed")
    assert verdict(access, dana, "chat", wrong) == ("DENY", "access.malformed")


def test_a_fault_of_the_engine_is_a_refusal_that_says_nothing_of_the_request(build, tenants) -> None:
    access = build(POLICY, tenants.replace("r.act == p.act", "r.act.nothing == p.act"))
    assert access.choice.name == "pycasbin"
    (ruling,) = access.aigov_permit(Principal(id="dana", tenant="retail"), "canary", "model:small")
    assert (ruling.verdict, ruling.reason.code, ruling.reason.rule) == (Verdict.DENY, "guard.fault", "access")
    assert "canary" not in repr(ruling)


def test_what_is_not_compiled_is_decided_by_casbin_itself(build, tenants) -> None:
    access = build(POLICY, tenants.replace("r.act == p.act", "r.act.lower() == p.act"))
    assert (access.choice.name, access.choice.why) == ("pycasbin", "not compiled: a call is no field or constant")
    assert verdict(access, Principal(id="dana", tenant="retail"), "CHAT", "model:small")[0] == "ALLOW"


def test_an_attribute_of_another_type_than_the_model_needs_is_refused(build, tenants) -> None:
    model = tenants.replace("obj, act\n", "obj, act, level\n", 1).replace(
        "r.act == p.act", "r.act == p.act && r.level > 2"
    )
    access = build(POLICY, model, request=("sub", "dom", "obj", "act", "attributes.level"))

    def asked(**attributes: object) -> tuple[str, str]:
        dana = Principal(id="dana", tenant="retail", attributes=attributes)  # type: ignore[arg-type]
        return verdict(access, dana, "chat", "model:small")

    assert access.choice.name == "compiled"
    assert asked(level=3) == ("ALLOW", "access.allowed")
    assert asked(level=2) == ("DENY", "access.denied")
    assert asked(level="3") == ("DENY", "access.malformed")
    assert asked() == ("DENY", "access.attribute_missing")


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_whatever_is_asked_there_is_one_ruling_with_a_declared_code(starter, name, tenant, action, resource) -> None:
    (ruling,) = starter.aigov_permit(Principal(id=name or "x", tenant=tenant), action, resource)
    assert ruling.verdict is Verdict.DENY
    assert ruling.reason.code in REASONS


@pytest.fixture(scope="module")
def starter() -> Access:
    return read(STARTER, AccessSettings(trust_roles=True, roles=("support-lead", "contractor")))


AGENT = Principal(id="dana", roles=("support-agent",), tenant="retail")
LEAD = Principal(id="noor", roles=("support-lead",), tenant="retail")
EMPLOYEE = Principal(id="alex", roles=("employee",), tenant="retail")
CONTRACTOR = Principal(id="cory", roles=("contractor",), tenant="retail")


@pytest.mark.parametrize(
    ("principal", "action", "resource", "allowed"),
    [
        (AGENT, "chat", "model:gpt-4o-mini", True),
        (AGENT, "chat", "model:gpt-4o", False),
        (AGENT, "call", "tool:refund", True),
        (AGENT, "tool:refund", "order:1", True),
        (AGENT, "retrieve", "kb:returns", True),
        (AGENT, "review", "model:gpt-4o-mini", False),
        (LEAD, "chat", "model:gpt-4o-mini", True),
        (LEAD, "review", "tool:refund", True),
        (EMPLOYEE, "retrieve", "kb:returns", True),
        (EMPLOYEE, "chat", "model:gpt-4o-mini", False),
        (CONTRACTOR, "retrieve", "kb:public", True),
        (CONTRACTOR, "retrieve", "kb:returns", False),
        (CONTRACTOR, "chat", "model:gpt-4o-mini", False),
        (CONTRACTOR, "call", "tool:refund", False),
    ],
)
def test_the_starter_grants_what_it_says(starter, principal, action, resource, allowed) -> None:
    assert (verdict(starter, principal, action, resource)[0] == "ALLOW") is allowed


def section(value: AccessSettings, layer: str = "organisation") -> Section:
    return Section(value, layer, lambda *path: Location("organisation.yaml", 6, 3))


def context(folder: Path) -> Context:
    return Context(folder=folder, key=lambda label: b"\0" * 32)


def test_the_plugin_answers_the_hooks_of_a_guard(write) -> None:
    started = plugin.aigov_start(section(AccessSettings()), context(write(POLICY)))
    (ruling,) = started.aigov_permit(Principal(id="dana", tenant="retail"), "chat", "model:small")
    assert (ruling.verdict, ruling.reason.layer) == (Verdict.ALLOW, "organisation")
    assert AccessPlugin().aigov_settings() is AccessSettings


def test_a_policy_that_cannot_be_used_does_not_start(write) -> None:
    with pytest.raises(PolicyError, match=r"policy.csv:1:1: a `p` line has 5 fields, this one 4"):
        plugin.aigov_start(section(AccessSettings()), context(write("p, dana, retail, x, chat\n")))


@pytest.mark.parametrize(
    ("emergency", "message"),
    [
        (BreakGlass(role="emergency"), "emergency rights without a reason to state"),
        (BreakGlass(role="emergency", reasons=("ok", "Anything else")), "a reason for the record is 1 to 64 of"),
    ],
)
def test_emergency_rights_without_a_reason_that_the_record_takes_do_not_start(write, emergency, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        plugin.aigov_start(section(AccessSettings(break_glass=emergency)), context(write(POLICY)))


def test_the_clock_is_there_for_conditions(write, tenants) -> None:
    model = tenants.replace("obj, act\n", "obj, act, hour, day, epoch\n", 1).replace(
        "r.act ==", "8 <= r.hour < 18 && r.day <= 5 && r.epoch > 0 && r.act =="
    )
    asked_with = AccessSettings(request=("sub", "dom", "obj", "act", "clock.hour", "clock.weekday", "clock.epoch"))
    policy = load(write(POLICY, model), asked_with)
    dana = Principal(id="dana", tenant="retail")
    monday, noon = 1_749_427_200.0, 12 * 3600
    found = {
        moment: verdict(Access(policy, asked_with, now=lambda at=moment: at), dana, "chat", "model:small")[0]
        for moment in (monday + noon, monday + 7 * 3600, monday + 5 * 86400 + noon)
    }
    assert list(found.values()) == ["ALLOW", "DENY", "DENY"]


def test_importing_the_guard_does_not_import_casbin() -> None:
    code = "import sys, aigov.access.guard; sys.exit('casbin' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=STARTER.parent).returncode == 0
