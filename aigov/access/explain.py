"""Why a decision is what it is: the rule and its line, the way to the role, and what came nearest.

Invariants:
* An explanation asks the same engine with the same requests as the decision; it decides nothing itself.
* It names what stands in the policy and what was asked: for the people who run the policy, not for callers.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from aigov.access import asking, plan
from aigov.access.compiled import Compiled, Mistyped
from aigov.access.guard import Access
from aigov.access.load import Policy
from aigov.access.rules import Rule
from aigov.access.settings import SUBJECT
from aigov.access.terms import Operand, Terms, Test, Unsupported
from aigov.errors import Location
from aigov.types import Principal

NEAR = 2


class Differs(NamedTuple):
    """One condition that a rule failed: the rule's field and value, and what was asked instead."""

    field: str
    held: str
    asked: str


class Miss(msgspec.Struct, frozen=True):
    """The rule that came nearest to matching, and what kept it from it."""

    rule: str
    where: Location
    differs: tuple[Differs, ...]

    def __str__(self) -> str:
        parts = [f"`{each.field}` is `{each.held}`, asked `{each.asked}`" for each in self.differs]
        return f"{self.where}: {self.rule}: " + "; ".join(parts)


class Asked(msgspec.Struct, frozen=True):
    """One subject's answer. `path` leads from who asks to the role that the rule names."""

    subject: str
    allowed: bool
    rule: str = ""
    where: Location | None = None
    path: tuple[str, ...] = ()
    miss: Miss | None = None


class Explanation(msgspec.Struct, frozen=True):
    """A decision with its grounds. `asked`: one a subject, of the principal and of all it acts for."""

    allowed: bool
    code: str
    engine: str
    asked: tuple[Asked, ...]

    def lines(self) -> list[str]:
        """The explanation as people read it, a line a thought."""
        found = [f"{'allowed' if self.allowed else 'refused'} ({self.code}), decided by the {self.engine} engine"]
        for each in self.asked:
            if each.rule:
                found.append(f"{' → '.join(each.path) or each.subject}: {each.where}: {each.rule}")
            else:
                found.append(f"{each.subject}: no rule matches")
            if each.miss:
                found.append(f"{each.subject}: nearest is {each.miss}")
        return found


def explain(access: Access, principal: Principal, action: str, resource: str) -> Explanation:
    """Why the guard answers as it does. Raises nothing: what cannot be asked has no grounds but its code."""
    answer = access.answer(principal, action, resource)
    found: list[Asked] = []
    try:
        for each in asking.chain(principal):
            for request in access.requests(each, action, resource):
                found.append(_asked(access, each.id, request, not answer.allowed))
    except (asking.Unaskable, Mistyped):
        found = []
    return Explanation(answer.allowed, answer.code, access.choice.name, tuple(found))


def _asked(access: Access, name: str, request: tuple[Any, ...], refused: bool) -> Asked:
    """One request's answer, its rule and, where the whole was refused and no rule matched, the nearest miss."""
    engine, policy = access.choice.engine, access.policy
    subject = str(request[policy.request.index(SUBJECT)])
    try:
        outcome = engine.decide(request)
    except Mistyped:
        raise
    except Exception:  # noqa: BLE001 - the decision was a refusal for the same fault; there are no grounds to name
        return Asked(subject, False)
    rule = outcome.rule
    miss = None
    if isinstance(engine, Compiled) and refused and rule is None:
        miss = nearest(engine, policy, request, policy.rules)
    if rule is None:
        return Asked(subject, outcome.allowed, miss=miss)
    way = path(engine, rule, request) if isinstance(engine, Compiled) else ()
    if subject != name:
        # A role that the application asserts: the way begins with who has it.
        way = (name, *(way or (subject,)))
    return Asked(subject, outcome.allowed, str(rule), policy.where(rule), way, miss)


def path(engine: Compiled, rule: Rule, request: tuple[Any, ...]) -> tuple[str, ...]:
    """The roles from who asks to whom the rule names, through the first role condition about them."""
    terms = engine.shape.terms
    for node in ast.walk(engine.shape.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in engine.graphs:
            try:
                values = [terms.operand(each) for each in node.args]
            except Unsupported:
                continue
            if values[0].kind == "r" and values[1].kind == "p":
                one, role, *tenant = (_value(each, request, rule) for each in values)
                found = engine.graphs[node.func.id].tenant(tenant[0] if tenant else "").path(one, role)
                if found:
                    return found
    return ()


def _value(operand: Operand, request: Sequence[Any], rule: Rule) -> str:
    return str(operand.read()(request, rule.fields))


class _Condition(NamedTuple):
    """One condition of a branch and the fields that it ties together, by place."""

    test: Test
    rule: tuple[int, ...]
    request: tuple[int, ...]


def nearest(engine: Compiled, policy: Policy, request: tuple[Any, ...], rules: Sequence[Rule]) -> Miss | None:
    """The one of `rules` that fails fewest conditions, one about somebody else last; None where none is near."""
    shape = engine.shape
    subject = policy.request.index(SUBJECT)
    best: tuple[tuple[int, int, int], Rule, list[_Condition]] | None = None
    for branch in plan.parts(shape.tree, ast.Or):
        conditions = list(_conditions(branch, shape.terms))
        for rule in rules:
            if rule.ptype != shape.ptype or policy.effect_of(rule) != "allow":
                continue
            failed = [each for each in conditions if not each.test(request, rule.fields, engine.graphs)]
            rank = (len(failed), sum(subject in each.request for each in failed), rule.line)
            if len(failed) <= NEAR and (best is None or rank < best[0]):
                best = rank, rule, failed
    if best is None:
        return None
    _, rule, failed = best
    names = policy.model.definitions[shape.ptype].fields
    differs = [
        Differs(names[held], rule.fields[held], str(request[asked]))
        for each in failed
        for held, asked in zip(each.rule[:1], each.request[:1], strict=False)
    ]
    return Miss(str(rule), policy.where(rule), tuple(differs))


def _conditions(branch: ast.expr, terms: Terms) -> Iterator[_Condition]:
    """Each condition of a branch with its test."""
    for node in plan.parts(branch, ast.And):
        names = [each.id for each in ast.walk(node) if isinstance(each, ast.Name)]
        held = tuple(terms.scope.policy[name] for name in names if name in terms.scope.policy)
        asked = tuple(terms.scope.request[name] for name in names if name in terms.scope.request)
        yield _Condition(plan.test_of(node, terms), held, asked)
