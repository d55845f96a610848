"""What the policy says of resources: the most specific description holds, and both engines and CEL see it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigov.access.engine import Pycasbin
from aigov.access.explain import explain
from aigov.access.guard import Access
from aigov.access.load import load
from aigov.access.queries import changes, what_may, who_may
from aigov.access.resources import NOTHING, Resources, problems
from aigov.access.settings import AccessSettings
from aigov.errors import PolicyError
from aigov.testing import governor
from aigov.types import Principal, Verdict

MODEL = """\
[request_definition]
r = sub, obj, act, region, labels
[policy_definition]
p = sub, obj, act, region, label
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = g(r.sub, p.sub) && keyMatch(r.obj, p.obj) && r.act == p.act && r.region == p.region && p.label in r.labels
"""
POLICY = "p, agent, model:*, chat, eu, pii-ok\np, agent, model:*, chat, us, public\n"
DESCRIBED = {
    "model:*": {"region": "us", "labels": ("public",)},
    "model:gpt-4o*": {"region": "eu", "labels": ("public", "pii-ok")},
    "model:gpt-4o-old": {"region": "us", "labels": ("retired",)},
    "model:odd": {"region": "eu"},
}
REQUEST = ("sub", "obj", "act", "resource.region", "resource.labels")
AGENT = Principal(id="dana", roles=("agent",))


def opened(write: Any, described: Any = DESCRIBED, model: str = MODEL, request: tuple[str, ...] = REQUEST) -> Access:
    settings = AccessSettings(trust_roles=True, request=request, resources=described)
    return Access(load(write(POLICY, model), settings), settings)


@pytest.mark.parametrize(
    ("resource", "code"),
    [
        ("model:gpt-4o", "access.allowed"),
        ("model:gpt-4o-mini", "access.allowed"),
        ("model:gpt-4o-old", "access.denied"),
        ("model:other", "access.allowed"),
        ("model:odd", "access.attribute_missing"),
        ("kb:x", "access.attribute_missing"),
    ],
)
def test_a_rule_may_ask_where_a_resource_is_and_how_it_is_labelled(write, resource: str, code: str) -> None:
    access = opened(write)
    assert access.choice.name == "compiled"
    assert access.answer(AGENT, "chat", resource).code == code


def test_the_rule_that_decides_is_the_one_for_the_most_specific_description(write) -> None:
    access = opened(write)
    found = [access.answer(AGENT, "chat", name).rule for name in ("model:gpt-4o", "model:other")]
    assert [rule.line for rule in found if rule] == [1, 2]


ATTRIBUTES = st.fixed_dictionaries(
    {"region": st.sampled_from(["eu", "us", "x"]), "labels": st.lists(st.sampled_from(["public", "pii-ok", "x"]))}
)


@given(ATTRIBUTES, st.sampled_from(["agent", "dana"]), st.sampled_from(["p.label in r.labels", '"x" not in r.labels']))
def test_casbin_itself_gives_the_same_answers(
    tmp_path_factory, held: dict[str, Any], name: str, condition: str
) -> None:
    folder = tmp_path_factory.mktemp("policies")
    (folder / "access").mkdir()
    (folder / "access" / "model.conf").write_text(MODEL.replace("p.label in r.labels", condition))
    (folder / "access" / "policy.csv").write_text(POLICY)
    settings = AccessSettings(request=REQUEST, resources=DESCRIBED)  # type: ignore[arg-type]
    access = Access(load(folder, settings), settings)
    request = (name, "model:gpt-4o", "chat", held["region"], tuple(held["labels"]))
    assert access.choice.engine.decide(request) == Pycasbin(access.policy.model, access.policy.rules).decide(request)


def test_a_list_where_the_model_compares_in_order_is_never_an_allow(write) -> None:
    access = opened(write, model=MODEL.replace("p.label in r.labels", "r.labels < p.label"))
    assert access.choice.name == "pycasbin"
    assert access.answer(AGENT, "chat", "model:gpt-4o").code == "guard.fault"


NAMES = st.text("ab:", min_size=1, max_size=5)


@given(st.dictionaries(st.one_of(NAMES, NAMES.map(lambda name: name + "*")), st.just(None), min_size=1), NAMES)
def test_the_most_specific_description_holds(keys: dict[str, None], name: str) -> None:
    described = {key: {"key": key} for key in keys}
    matching = [key for key in keys if key == name or (key.endswith("*") and name.startswith(key[:-1]))]
    wanted = max(matching, key=lambda key: (key == name, len(key)), default="")
    assert Resources(described).of(name) == ({"key": wanted} if wanted else NOTHING)


@pytest.mark.parametrize(
    ("described", "what"),
    [
        ({"a*b": {"x": "y"}}, "no resource's name"),
        ({"": {"x": "y"}}, "no resource's name"),
        ({"a\n": {"x": "y"}}, "no resource's name"),
        ({"caf\u00e9": {"x": "y"}, "cafe\u0301": {"x": "z"}}, "reads as another resource does"),
        ({"a": {"x": "y"}, "b": {"x": 3}}, "is a number here and a text elsewhere"),
        ({"a": {"x": True}, "b": {"x": 3}}, "is a number here and true or false elsewhere"),
        ({"a": {"x": ("y",)}, "b": {"x": "y"}}, "is a text here and a list elsewhere"),
        ({"a": {"x y": "y"}}, "no attribute's name"),
        ({"a": {"x": "y\u202e"}}, "holds a character that does not print"),
    ],
)
def test_a_description_that_cannot_stand_is_refused(write, described: Any, what: str) -> None:
    assert any(what in wrong.what for wrong in problems(described))
    with pytest.raises(PolicyError, match=what):
        opened(write, described)


def test_a_misspelt_attribute_is_told_with_the_nearest(write) -> None:
    with pytest.raises(PolicyError, match=r"has `resource.regoin`, .*; did you mean `resource.region`"):
        opened(write, request=("sub", "obj", "act", "resource.regoin", "resource.labels"))


def test_questions_the_other_way_round_see_descriptions(write) -> None:
    access = opened(write)
    assert [grant.subject for grant in who_may(access, "chat", "model:gpt-4o")] == ["agent"]
    assert list(who_may(access, "chat", "kb:x")) == []
    assert {grant.rule for grant in what_may(access, "agent")} == {line for line in POLICY.splitlines() if line}
    assert list(changes(access, opened(write))) == []
    why = explain(access, AGENT, "chat", "model:gpt-4o-old")
    assert why.asked[1].miss is not None
    assert "`label` is `public`, asked `('retired',)`" in str(why.asked[1].miss)


STARTER = {
    "trust_roles: true": "trust_roles: true\n  resources: {'model:*': {region: us}, 'model:gpt-4o-mini': {region: eu, "
    "labels: [pii-ok]}, 'tool:*': {region: eu, owner: ops}}",
}
CEL = (
    '  - {id: abroad, when: \'direction == "input" && resource_attributes.region != "eu"\', verdict: deny, '
    "reason: acme.abroad}\n"
    '  - {id: labels, when: \'action == "chat" && !("pii-ok" in resource_attributes.labels)\', verdict: deny, '
    "reason: acme.label}\n"
    "  - {id: level, when: 'has(principal.attributes.level) && principal.attributes.level < 2', verdict: deny, "
    "reason: acme.level}\n"
    "  - {id: clock, when: 'now < timestamp(\"2020-01-01T00:00:00Z\")', verdict: deny, reason: acme.clock}\n\nreview:"
)
LEAD = Principal(id="noor", roles=("support-lead",), tenant="retail")


@pytest.mark.parametrize(
    ("who", "action", "resource", "codes"),
    [
        (LEAD, "chat", "model:gpt-4o-mini", set()),
        (LEAD, "chat", "model:gpt-4o", {"acme.abroad", "rule.fault"}),
        (LEAD, "review", "kb:x", {"rule.fault"}),
        (LEAD, "review", "tool:x", set()),
        (Principal(id="n", roles=("support-lead",), tenant="retail", attributes={"level": 1}), "review", "tool:x",
         {"acme.level"}),
    ],
)  # fmt: skip
def test_conditions_see_the_resource_the_principal_and_the_clock(who, action: str, resource: str, codes: Any) -> None:
    with governor(change={**STARTER, "\nreview:": CEL}) as trial:
        found = trial.gov.evaluate(action=action, resource=resource, principal=who, content="hello")
    assert {reason.code for reason in found.reasons if found.verdict is Verdict.DENY} == codes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"\nreview:": CEL}, "the resource has no key `region`; describe resources under `access.resources`"),
        ({**STARTER, "\nreview:": CEL.replace("region", "regoin")}, "no key `regoin`; did you mean `region`"),
        ({**STARTER, "region: us": "region: 3"}, r"organisation.yaml:\d+:\d+: `region` is a text here and a number"),
        ({**STARTER, "{region: us}": "{}"}, "is empty; leave the key out"),
    ],
)
def test_a_condition_or_description_that_is_misspelt_does_not_load(change: dict[str, str], message: str) -> None:
    with pytest.raises(PolicyError, match=message), governor(change=change):
        pass
