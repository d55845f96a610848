"""Who may do this, what may they do, what changes: each agrees with the decisions."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigov.access.queries import Unanswerable, actions, changes, resources, subjects, tenants, what_may, who_may

POLICY = """\
g, dana, support-agent, retail
g, kim, support-agent, bank
g, support-agent, employee, retail
p, support-agent, retail, model:small, chat, allow
p, employee, retail, kb:*, read, allow
p, dana, retail, kb:secret, read, deny
"""


def test_who_may_lists_every_name_in_each_tenant(build) -> None:
    found = {(grant.subject, grant.tenant) for grant in who_may(build(POLICY), "read", "kb:faq")}
    assert found == {("dana", "retail"), ("support-agent", "retail"), ("employee", "retail")}


def test_who_may_leaves_out_whom_a_rule_denies(build) -> None:
    assert "dana" not in {grant.subject for grant in who_may(build(POLICY), "read", "kb:secret")}


def test_what_may_lists_rules_of_the_roles_too_and_denials(build) -> None:
    found = {
        (grant.resource, grant.action, grant.effect, grant.where.line) for grant in what_may(build(POLICY), "dana")
    }
    assert found == {
        ("model:small", "chat", "allow", 4), ("kb:*", "read", "allow", 5), ("kb:secret", "read", "deny", 6),
    }  # fmt: skip
    assert not list(what_may(build(POLICY), "dana", "bank"))


def test_a_policy_does_not_differ_from_itself(build) -> None:
    assert not list(changes(build(POLICY), build(POLICY)))


def test_changes_name_the_decision_and_both_rules(build) -> None:
    old = build(POLICY)
    new = build(POLICY.replace("p, dana, retail, kb:secret, read, deny\n", "p, kim, retail, kb:secret, read, allow\n"))
    found = {(each.subject, each.resource, each.action, each.before, each.after) for each in changes(old, new)}
    assert found == {("dana", "kb:secret", "read", False, True), ("kim", "kb:secret", "read", False, True)}
    (dana,) = [each for each in changes(old, new) if each.subject == "dana"]
    assert (dana.rule_before[-4:], dana.rule_after) == ("deny", "p, employee, retail, kb:*, read, allow")


@given(st.sets(st.integers(0, 5)), st.sets(st.integers(0, 5)))
def test_changes_are_exactly_the_decisions_that_differ(build_from, left: set[int], right: set[int]) -> None:
    lines = POLICY.splitlines()
    base = "p, nobody, retail, x, y, allow\n"
    old, new = (build_from(base + "".join(lines[at] + "\n" for at in sorted(kept))) for kept in (left, right))
    axes = [sorted({*axis(old.policy), *axis(new.policy)}) for axis in (subjects, tenants, resources, actions)]
    differs = set()
    for question in product(*axes):
        if old.choice.engine.decide(question).allowed != new.choice.engine.decide(question).allowed:
            differs.add(question)
    assert {(each.subject, each.tenant, each.resource, each.action) for each in changes(old, new)} == differs


def test_a_policy_that_asks_for_attributes_is_asked_with_them(build, tenants) -> None:
    model = tenants.replace("obj, act\n", "obj, act, level\n", 1).replace("r.act ==", "r.level > 2 && r.act ==")
    access = build(POLICY, model, request=("sub", "dom", "obj", "act", "attributes.level"))
    with pytest.raises(Unanswerable, match=r"the model asks for `attributes\.level`"):
        list(who_may(access, "chat", "model:small"))
    with pytest.raises(Unanswerable):
        list(who_may(access, "chat", "model:small", attributes={"level": "high"}))
    assert {grant.subject for grant in who_may(access, "chat", "model:small", attributes={"level": 3})} == {
        "dana", "support-agent",
    }  # fmt: skip


def test_what_only_casbin_understands_cannot_be_listed(build, tenants) -> None:
    with pytest.raises(Unanswerable, match="only a compiled policy"):
        list(what_may(build(POLICY, tenants.replace("r.act ==", "r.act.lower() ==")), "dana"))


def test_more_questions_than_anybody_waits_for_are_refused(build) -> None:
    rules = "".join(f"p, n{at}, t{at}, o{at}, a{at}, allow\n" for at in range(50))
    with pytest.raises(Unanswerable, match="6250000 decisions would be compared"):
        list(changes(build(rules), build(rules)))
