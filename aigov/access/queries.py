"""Questions the other way round: who may do this, what may they do, what changes from one policy to another.

Invariants:
* Answers come from the engine's own decisions and conditions; there is no second reading of the policy.
* What is listed are names as the policy writes them: a pattern stands for itself, and somebody whom no
  line mentions is not there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from types import MappingProxyType

import msgspec

from aigov.access import asking, plan
from aigov.access.compiled import Compiled, Mistyped
from aigov.access.engine import Outcome
from aigov.access.guard import Access
from aigov.access.load import Policy, subject_graphs
from aigov.access.resources import Value
from aigov.access.settings import ACTION, ATTRIBUTE, CLOCK, RESOURCE, RESOURCE_ATTRIBUTE, SUBJECT, TENANT
from aigov.access.terms import Test
from aigov.errors import AigovError, Location
from aigov.types import Attribute

MAX_DECISIONS = 5_000_000
Attributes = Mapping[str, Attribute]
NOTHING: Attributes = MappingProxyType({})


class Unanswerable(AigovError):
    """A question that cannot be answered; the message says what it would need."""

    code = "access.unanswerable"


class Grant(msgspec.Struct, frozen=True):
    """One line of an answer: a subject in a tenant, what it may (or may not) do, and the rule that says so."""

    subject: str
    tenant: str
    resource: str
    action: str
    effect: str
    rule: str
    where: Location


class Change(msgspec.Struct, frozen=True):
    """One decision that two policies take differently. The rules are those that decide, "" where none does."""

    subject: str
    tenant: str
    resource: str
    action: str
    before: bool
    after: bool
    rule_before: str
    rule_after: str


def who_may(
    access: Access, action: str, resource: str, tenant: str = "", attributes: Attributes = NOTHING
) -> Iterator[Grant]:
    """Every name in the policy that may do an action on a resource; in one tenant, or in each that it names."""
    policy = access.policy
    for subject, where in product(subjects(policy), [tenant] if tenant else tenants(policy)):
        outcome = _decided(access, _request(access, subject, where, resource, action, attributes))
        if outcome.allowed and outcome.rule:
            yield Grant(subject, where, resource, action, "allow", str(outcome.rule), policy.where(outcome.rule))


def what_may(access: Access, subject: str, tenant: str = "", attributes: Attributes = NOTHING) -> Iterator[Grant]:
    """Every rule about a subject (id or role), with the roles that it has; denials too, for they win.

    Raises Unanswerable where Casbin itself decides.
    """
    policy, engine = access.policy, access.choice.engine
    if not isinstance(engine, Compiled):
        raise Unanswerable(f"only a compiled policy can be listed; this one is {access.choice.why}")
    places = {source: at for at, source in enumerate(policy.request)}
    for where in [tenant] if tenant else tenants(policy):
        request = _request(access, subject, where, "", "", attributes)
        apart = {at for source, at in places.items() if source in (RESOURCE, ACTION) or _of_resource(source)}
        for tests in _about_who(engine, apart):
            for rule in policy.rules:
                if rule.ptype == engine.shape.ptype and all(
                    test(request, rule.fields, engine.graphs) for test in tests
                ):
                    resource, action = (_held(policy, rule.fields, source) for source in (RESOURCE, ACTION))
                    effect = policy.effect_of(rule)
                    yield Grant(subject, where, resource, action, effect, str(rule), policy.where(rule))


def changes(old: Access, new: Access, attributes: Attributes = NOTHING) -> Iterator[Change]:
    """Every decision that differs, over all names, tenants, resources and actions that either policy names.

    Raises Unanswerable where that is more than five million questions.
    """
    both = (old.policy, new.policy)
    axes = [
        sorted({name for policy in both for name in names(policy)}) for names in (subjects, tenants, resources, actions)
    ]
    count = 1
    for axis in axes:
        count *= len(axis)
    if count > MAX_DECISIONS:
        raise Unanswerable(f"{count} decisions would be compared, {MAX_DECISIONS} at most")
    for subject, tenant, resource, action in product(*axes):
        question = (subject, tenant, resource, action, attributes)
        before = _decided(old, _request(old, *question))
        after = _decided(new, _request(new, *question))
        if before.allowed != after.allowed:
            rules = (str(each.rule) if each.rule else "" for each in (before, after))
            yield Change(subject, tenant, resource, action, before.allowed, after.allowed, *rules)


def subjects(policy: Policy) -> list[str]:
    """Every id and role that the policy names, sorted."""
    graphs = subject_graphs(policy)
    linked = (name for rule in policy.rules if rule.ptype in graphs for name in rule.fields[:2])
    return sorted({*linked, *_named(policy, SUBJECT)})


def tenants(policy: Policy) -> list[str]:
    """Every tenant that the policy names, sorted; one empty name where it has none."""
    graphs = subject_graphs(policy)
    linked = (rule.fields[2] for rule in policy.rules if rule.ptype in graphs and len(rule.fields) > 2)
    return sorted({*linked, *_named(policy, TENANT)}) or [""]


def resources(policy: Policy) -> list[str]:
    """Every resource or pattern of resources that the policy names, sorted."""
    return _named(policy, RESOURCE) or [""]


def actions(policy: Policy) -> list[str]:
    """Every action or pattern of actions that the policy names, sorted."""
    return _named(policy, ACTION) or [""]


def _named(policy: Policy, source: str) -> list[str]:
    """The values of the rule field that is called like the request field for a source."""
    return sorted({_held(policy, rule.fields, source) for rule in policy.rules if rule.ptype == "p"} - {""})


def _held(policy: Policy, fields: Iterable[str], source: str) -> str:
    """A rule's value for a source, "" where it has none."""
    names = dict(zip(policy.model.definitions["p"].fields, fields, strict=True))
    asked = dict(zip(policy.request, policy.model.definitions["r"].fields, strict=True))
    return names.get(asked.get(source, ""), "")


def _request(
    access: Access, subject: str, tenant: str, resource: str, action: str, attributes: Attributes
) -> tuple[Value | None, ...]:
    """A request as the engine takes it, None for what the resource does not have.

    Raises Unanswerable for an attribute that nobody gave.
    """
    values: dict[str, Value] = {SUBJECT: subject, TENANT: tenant, RESOURCE: resource, ACTION: action}
    values |= {source: asking.clock(source, access.now) for source in CLOCK}
    values |= {ATTRIBUTE + name: value for name, value in attributes.items()}
    values |= {RESOURCE_ATTRIBUTE + name: value for name, value in access.describe(resource).items()}
    missing = [source for source in access.policy.request if source not in values and not _of_resource(source)]
    if missing:
        raise Unanswerable(f"the model asks for `{missing[0]}`; say which value to ask with")
    return tuple(values.get(source) for source in access.policy.request)


def _of_resource(source: str) -> bool:
    return source.startswith(RESOURCE_ATTRIBUTE)


def _decided(access: Access, request: tuple[Value | None, ...]) -> Outcome:
    """The engine's answer. Raises Unanswerable for an attribute of another type than the model needs."""
    if None in request:
        return Outcome(False, None)  # as a call is refused that asks for what the resource does not have
    try:
        return access.choice.engine.decide(request)
    except Mistyped as error:
        problem = str(error)
    raise Unanswerable(problem)


def _about_who(engine: Compiled, apart: set[int]) -> Iterator[list[Test]]:
    """The conditions of each branch that do not look at some places of the request."""
    terms = engine.shape.terms
    for branch in plan.parts(engine.shape.tree, ast.Or):
        found = []
        for node in plan.parts(branch, ast.And):
            names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
            if not {terms.scope.request[name] for name in names & terms.scope.request.keys()} & apart:
                found.append(plan.test_of(node, terms))
        yield found
