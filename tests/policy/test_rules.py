"""Rules: what they see of a call, what they ask for, and what becomes of their faults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigov.errors import Denied, Location, PolicyError
from aigov.hookspecs import Context
from aigov.policy.decide import Decider
from aigov.policy.draft import Draft
from aigov.policy.facts import FACTS, FINDING_KEYS, MAX_FINDINGS, PRINCIPAL_KEYS, view
from aigov.policy.guard import Guard, plugin
from aigov.policy.rules import Rule, compiled
from aigov.types import Decision, Facts, Finding, Principal, Reason, Section, Verdict

Problems = Callable[[Callable[[], object]], list[str]]
DANA = Principal(id="dana", roles=("support-agent",), tenant="retail", attributes={"level": 3})
CALL = Facts(
    direction="input",
    action="tool:refund",
    resource="order:1",
    principal=DANA,
    args={"amount": 150, "note": "x"},
    findings=(Finding(kind="pii", type="US_SSN", start=0, end=9, score=0.9, detector="presidio", path="/note"),),
    now_us=1_772_366_400_000_000,  # 2026-03-01T12:00:00Z
)


def where(*path: Any, inside: Any = None) -> Any:
    return Location("f", 1, 1)


def guard(*rules: Rule, entities: frozenset[str] = frozenset()) -> Guard:
    context = Context(folder=Path(), key=lambda label: bytes(32), entities=entities)
    return plugin.aigov_start(Section(rules, "organisation", where), context)


def rule(when: str, verdict: Any = "deny", **more: Any) -> Rule:
    return Rule(**{"id": "r", "when": when, "verdict": verdict, "reason": "acme.reason", **more})


def decide(*rules: Rule, **changes: Any) -> Decision:
    judge = guard(*rules).aigov_judge
    return Decider((("rules", judge),), "d").decide(msgspec.structs.replace(CALL, **changes))


REASON = (Reason(code="acme.reason", rule="r", layer="organisation"),)
FAULT = (Reason(code="rule.fault", rule="r", layer="organisation"),)


@pytest.mark.parametrize(
    "when",
    [
        'action == "tool:refund"',
        'resource.startsWith("order:")',
        'direction == "input"',
        'principal.id == "dana" && principal.tenant == "retail"',
        '"support-agent" in principal.roles',
        "principal.attributes.level == 3",
        'principal["id"] == "dana"',
        '"id" in principal && action != ""',
        "!has(principal.on_behalf_of)",
        "args.amount > 100.0",
        'has(args.note) && args.note.matches("^x$")',
        'findings.exists(f, f.type == "US_SSN" && f.kind == "pii" && f.score > 0.5 && f.end - f.start == 9)',
        'findings[0].detector == "presidio" && findings[0].path == "/note"',
        'findings.filter(f, f.score > 0.5).map(f, f.type) == ["US_SSN"]',
        'size(findings) == 1 && findings.all(f, has(f.type) && "kind" in f)',
        '(findings + findings).exists_one(f, f.type == "x") == false',
        'findings.map(f, f.score > 0.5, f)[0].type == "US_SSN"',
        "findings != [] && confidence == null",
        'now == timestamp("2026-03-01T12:00:00Z") && now.getHours("Europe/Berlin") == 13',
        'now - duration("1h") < now',
    ],
)
def test_every_fact_can_be_asked_for(when: str) -> None:
    decision = decide(rule(when))
    assert (decision.verdict, decision.reasons) == (Verdict.DENY, REASON)


def test_a_condition_that_does_not_hold_asks_for_nothing() -> None:
    assert decide(rule("args.amount > 1000.0")).verdict is Verdict.ALLOW


def test_a_rule_can_ask_for_review() -> None:
    assert decide(rule("args.amount > 100", "review")).verdict is Verdict.REVIEW


def test_whom_an_agent_acts_for_can_be_asked_for() -> None:
    when = 'has(principal.on_behalf_of) && principal.on_behalf_of.id == "dana"'
    bot = Principal(id="bot", on_behalf_of=DANA)
    assert decide(rule(when), principal=bot).reasons == REASON
    assert decide(rule(when)).verdict is Verdict.ALLOW


def test_rules_are_asked_on_the_answer_too() -> None:
    when = 'direction == "output" && confidence != null && confidence < 0.5'
    assert decide(rule(when), direction="output", confidence=0.2).reasons == REASON
    assert decide(rule(when), direction="output", confidence=0.7).verdict is Verdict.ALLOW
    assert decide(rule(when)).verdict is Verdict.ALLOW


@pytest.mark.parametrize("confidence", ["0.9", True, [1]])
def test_a_confidence_that_is_no_number_is_a_fault(confidence: Any) -> None:
    assert decide(rule("confidence != null && confidence < 0.5"), confidence=confidence).reasons == FAULT


def test_a_shadow_rule_tells_and_changes_nothing() -> None:
    decision = decide(rule("args.amount > 100", mode="shadow"))
    assert (decision.verdict, decision.reasons) == (Verdict.ALLOW, ())
    assert [(ruling.verdict, ruling.reason) for ruling in decision.shadow] == [(Verdict.DENY, REASON[0])]


@pytest.mark.parametrize(
    "args", [{}, {"amount": "150"}, {"amount": None}, {"amount": float("nan")}, {"amount": object()}]
)
def test_a_rule_that_faults_is_a_refusal_under_its_name(args: dict[str, Any]) -> None:
    assert decide(rule("args.amount > 100.0"), args=args).reasons == FAULT


def test_a_fault_has_the_status_of_a_fault() -> None:
    assert Denied(decide(rule("args.amount > 100.0"), args={})).status == 503
    assert Denied(decide(rule("args.amount > 100.0"))).status == 403


def test_a_shadow_rule_that_faults_tells_and_changes_nothing() -> None:
    decision = decide(rule("args.amount > 100.0", mode="shadow"), args={})
    assert decision.verdict is Verdict.ALLOW
    assert [ruling.reason for ruling in decision.shadow] == list(FAULT)


def test_a_rule_that_faults_does_not_silence_the_next() -> None:
    decision = decide(rule("args.b > 1"), rule("args.amount > 100", id="r2"))
    assert decision.reasons == (FAULT[0], Reason(code="acme.reason", rule="r2", layer="organisation"))


@pytest.mark.parametrize("args", [{"list": [0] * 20_000}, {"x": object()}, {1: 2}])
def test_arguments_that_cannot_be_shown_harm_only_rules_that_look_at_them(args: Any) -> None:
    refund = rule('action == "tool:refund" && args.amount > 100.0')
    assert decide(refund, args=args).reasons == FAULT
    assert decide(refund, args=args, action="chat").verdict is Verdict.ALLOW


def test_more_findings_than_can_be_shown_are_a_fault() -> None:
    many = CALL.findings * (MAX_FINDINGS + 1)
    assert decide(rule("size(findings) > 3"), findings=many).reasons == FAULT
    assert decide(rule('action == "chat"'), findings=many).verdict is Verdict.ALLOW


def test_a_moment_beyond_the_calendar_is_a_fault() -> None:
    assert decide(rule("now.getFullYear() > 2000"), now_us=10**30).reasons == FAULT


def test_no_rules_ask_for_nothing() -> None:
    assert decide().verdict is Verdict.ALLOW


def test_the_reasons_are_those_of_the_rules_and_of_a_fault() -> None:
    found = guard(rule("args.a == 1"), rule("args.b == 1", id="r2", reason="acme.other"))
    assert tuple(found.aigov_reasons()) == ("acme.other", "acme.reason", "rule.fault")


@given(
    st.lists(st.sampled_from(["args.amount > 100", "args.amount > 200", "args.x == 1", "action == 'y'"]), unique=True)
)
def test_another_rule_never_loosens(texts: list[str]) -> None:
    rules = [rule(text, "review" if "y" in text else "deny", id=f"r{index}") for index, text in enumerate(texts)]
    assert decide(*rules).verdict >= decide(*rules[:-1]).verdict


def mistakes(when: str, entities: tuple[str, ...] = ()) -> list[str]:
    try:
        guard(rule(when), entities=frozenset(entities))
    except PolicyError as error:
        return [problem.what.removeprefix("`rules[0].when`: ") for problem in error.problems]
    return []


@pytest.mark.parametrize("key", PRINCIPAL_KEYS)
def test_every_key_of_the_principal_may_be_asked_for(key: str) -> None:
    assert not mistakes(f'has(principal.{key}) && action == "x"')


@pytest.mark.parametrize("key", FINDING_KEYS)
def test_every_key_of_a_finding_may_be_asked_for(key: str) -> None:
    assert not mistakes(f"findings.exists(f, has(f.{key}))")
    assert set(view(CALL, ["findings"])["findings"][0]) == set(FINDING_KEYS)


@pytest.mark.parametrize(
    "when",
    [
        "principal.rols == []",
        "has(principal.rols)",
        'principal["rols"] == []',
        '"rols" in principal && action == ""',
        "principal.on_behalf_of.rols == []",
        "(args.a == 1 ? principal : principal.on_behalf_of).rols == []",
    ],
)
def test_a_misspelt_key_of_the_principal_is_found(when: str) -> None:
    assert mistakes(when) == ["the principal has no key `rols`"]


@pytest.mark.parametrize(
    "when",
    [
        "findings.exists(f, f.typ == 'x')",
        "findings.all(f, has(f.typ))",
        "findings.exists_one(f, f['typ'] == 'x')",
        "findings.filter(f, f.typ == 'x') != []",
        "findings.map(f, f.typ) != []",
        "findings.filter(f, true)[0].typ == 'x'",
        "findings.filter(f, true).exists(g, g.typ == 'x')",
        "findings.map(f, f).exists(g, g.typ == 'x')",
        "findings.exists(f, findings.exists(g, f.type == g.typ))",
        "(findings + findings).exists(f, f.typ == 'x')",
        "(args.a ? findings : findings).exists(f, f.typ == 'x')",
        "[findings[0]].exists(f, f.typ == 'x')",
        "findings[0].typ == 'x'",
        "findings.exists(f, 'typ' in f)",
        "args.list.exists(f, f.typ == 'fine') && findings.exists(f, f.typ == 'x')",
    ],
)
def test_a_misspelt_key_of_a_finding_is_found(when: str) -> None:
    assert mistakes(when) == ["a finding has no key `typ`"]


@pytest.mark.parametrize(
    "when",
    [
        "principal == args.p",
        "dyn(principal).rols == []",
        "[principal].exists(p, p.rols == [])",
        "{'a': principal}.a.rols == []",
        "principal.exists(k, k == 'rols')",
        "findings.exists(f, f == args.f)",
        "dyn(findings)[0].typ == 'x'",
        "{'a': findings}.a[0].typ == 'x'",
        "[findings].exists(g, g[0].typ == 'x')",
        "findings.exists(f, f.exists(k, k == 'typ'))",
        "principal[action] == 'x'",
        "findings.exists(f, f[action] == 'x')",
        "action in principal",
    ],
)
def test_what_would_hide_a_misspelt_key_is_refused(when: str) -> None:
    assert mistakes(when)


@pytest.mark.parametrize(
    "when",
    [
        "args.list.exists(f, f.typ == 'x')",
        "args.principal.rols == []",
        "args.list.exists(principal, principal.rols == 'x')",
        "principal.attributes.anything == 1",
        "args.findings[0].typ == 'x'",
    ],
)
def test_keys_of_what_is_not_declared_are_free(when: str) -> None:
    assert not mistakes(when)


@pytest.mark.parametrize("when", ["direction == 'in'", "'in' != direction", "direction in ['input', 'out']"])
def test_a_direction_that_there_is_not_is_found(when: str) -> None:
    assert len(mistakes(when)) == 1
    assert "`direction` is never" in mistakes(when)[0]


def test_a_nearly_declared_entity_type_is_found() -> None:
    entities = ("US_SSN", "EMAIL_ADDRESS")
    assert mistakes("findings.exists(f, f.type == 'US_SNS')", entities) == ["`US_SNS` is no declared entity type"]
    assert mistakes("findings.exists(f, f.type in ['US_SSN', 'EMAIL_ADRESS'])", entities)
    assert not mistakes("findings.exists(f, f.type in ['US_SSN', 'ZERO_WIDTH'])", entities)
    assert not mistakes("findings.exists(f, f.detector == 'US_SNS')", entities)


@pytest.mark.parametrize(
    ("when", "what"),
    [
        ("action.matches('(')", "not a regular expression of RE2"),
        ("action.matches('a{9999}')", "not a regular expression of RE2"),
        ("now > timestamp('noon')", "not a time such as `2026-01-31T08:00:00Z`"),
        ("now - duration('1 hour') > now", "not a duration such as `90s`"),
        ("now.getHours('Europe/Berln') > 3", "not a time zone such as `Europe/Berlin`"),
    ],
)
def test_a_constant_that_cannot_be_evaluated_is_found(when: str, what: str) -> None:
    assert mistakes(when) == [what]


@pytest.mark.parametrize(
    ("when", "function"),
    [
        ("args.x.exists(i, args.t.contains(i))", "contains"),
        ("args.x.exists(i, args.t.matches(i))", "matches"),
        ("args.x.exists(i, size(args.t) > 3)", "size"),
        ("args.x.exists(i, args.t + i == 'z')", "+"),
        ("args.x.exists(i, args.x + args.x == [i])", "+"),
        ("args.x.map(i, args.t + i).exists(j, j == 'z')", "+"),
        ("findings.exists(f, args.t.contains(f.type))", "contains"),
        ("findings.exists(f, size(findings + findings) > 3)", "size"),
        ("args.x.exists(i, args.y.exists(j, i.contains(j)))", "contains"),
        ("args.x.exists(i, ['a'].exists(w, args.t.contains(w)))", "contains"),
        ("['a'].exists(w, args.x.exists(i, args.t.contains(w)))", "contains"),
        ("args.x.exists(i, (i == '' ? args.t : i).contains('z'))", "contains"),
        ("args.x.exists(i, string(args.t) == i)", "string"),
        ("args.x.filter(i, size(args.t) > 3) != []", "size"),
    ],
)
def test_work_that_grows_with_the_square_of_what_is_sent_is_refused(when: str, function: str) -> None:
    assert mistakes(when) == [f"`{function}` on the same data again for every element"]


@pytest.mark.parametrize(
    "when",
    [
        "args.t.contains('x') && args.t.matches(args.p) && size(args.t + args.t) > 3",
        "['a', 'b'].exists(w, args.t.contains(w))",
        "args.x.exists(i, i.contains('z') && size(i) > 3 && i.matches('^a'))",
        "args.x.exists(i, i.contains(principal.id) || (i + 'z') == action + resource)",
        "args.x.exists(i, i.tags.exists(t, t.contains('z')))",
        "args.x.exists(i, ['a', 'b'].exists(w, i.contains(w)))",
        "args.x.exists(i, i.price * 2.0 > args.limit && i in args.y && i.n + 1 > args.n)",
        "args.x.filter(i, i.ok).map(i, i.name).exists(n, n.startsWith(args.t))",
    ],
)
def test_work_on_the_element_itself_is_fine(when: str) -> None:
    assert not mistakes(when)


def test_a_rules_own_order_of_reasons_is_that_of_the_policy(draft: Callable[..., Draft]) -> None:
    text = "rules:\n" + "".join(
        f"  - {{id: r{index}, when: 'args.a{index} == 1', verdict: deny, reason: a.r{index}}}\n" for index in range(5)
    )
    rules = compiled(draft(text).section("rules", tuple[Rule, ...]))
    decision = Decider((("rules", rules.judge),), "").decide(
        msgspec.structs.replace(CALL, args={f"a{index}": 1 for index in range(5)})
    )
    assert [reason.code for reason in decision.reasons] == [f"a.r{index}" for index in range(5)]


def test_every_problem_of_every_rule_is_told(draft: Callable[..., Draft], problems_of: Problems) -> None:
    text = """\
rules:
  - {id: a, when: 'foo == 1 && bar == 2', verdict: deny, reason: a.b}
  - {id: a, when: "1 == 1", verdict: deny, reason: guard.fault}
"""
    section = draft(text).section("rules", tuple[Rule, ...])
    told = problems_of(lambda: compiled(section))
    assert [line.split(" ")[0] for line in told] == ["5:20", "5:32", "6:10", "6:19", "6:52"]


@pytest.mark.parametrize(
    "reason", ["audit.x", "guard.fault", "plugin.x", "identity.x", "lockdown.x", "rule.fault", "input.cyclic"]
)
def test_aigovs_own_reasons_are_not_for_rules(reason: str) -> None:
    with pytest.raises(PolicyError, match="aigov's own reasons"):
        guard(rule("args.a == 1", reason=reason))


@pytest.mark.parametrize("reason", ["refund.over_limit", "input.strange", "rule.mine", "privacy_2"])
def test_other_reasons_are(reason: str) -> None:
    assert guard(rule("args.a == 1", reason=reason))


def test_every_declared_fact_can_be_shown() -> None:
    assert set(view(CALL, FACTS)) == set(FACTS)
