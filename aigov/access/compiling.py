"""A checked policy to a compiled one, or the reason why only Casbin itself may decide.

What is certain is compiled: comparisons, `in`, `&&`, `||`, `!`, role definitions with and without
tenants, keyMatch 1 to 5, globMatch, regexMatch, ipMatch in a conjunction, `eval` of a rule's field, every
effect that the loader takes, priorities. Whatever else a matcher may say is Unsupported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aigov.access import matcher, plan
from aigov.access.compiled import Compiled, Entries, Shape
from aigov.access.engine import DEFAULT_SECTIONS
from aigov.access.index import LEAF, Entry, Index
from aigov.access.load import EFFECTS, SUBJECT_PRIORITY, Kinds, Policy
from aigov.access.model import Definition, Model
from aigov.access.resources import LIST, TEXT
from aigov.access.roles import Graph
from aigov.access.rules import Rule
from aigov.access.settings import ATTRIBUTE, RESOURCE_ATTRIBUTE
from aigov.access.terms import Scope, Terms, Unsupported


def compiled(policy: Policy, sections: Sequence[str] = DEFAULT_SECTIONS, leaf: int = LEAF) -> Compiled:
    """The policy, compiled. Raises Unsupported with the reason where Casbin itself has to decide.

    `leaf`: up to how many rules are tried one after another before the index has a further level.
    """
    shape = _shape(policy, sections)
    rules = [rule for rule in policy.rules if rule.ptype == shape.ptype]
    if not rules:
        raise Unsupported(f"no `{shape.ptype}` rule")
    shape.terms.prepare(shape.tree, [rule.fields for rule in rules])
    branches = plan.branches(shape.tree, shape.terms)
    levels = _levels(policy, shape) if shape.ordered_by_role else [0] * len(rules)
    entries = sorted((shape.entry(rule, levels[at], at) for at, rule in enumerate(rules)), key=lambda each: each.order)
    by_fields: dict[tuple[str, ...], list[Entry]] = {}
    for entry in entries:
        by_fields.setdefault(entry.fields, []).append(entry)
    held: Entries = {fields: tuple(group) for fields, group in by_fields.items()}
    indices = [Index.of(branch, entries, leaf) for branch in branches]
    return Compiled(shape, indices, held, graphs(policy.model, policy.rules), len(rules))


def graphs(model: Model, rules: Sequence[Rule]) -> dict[str, Graph]:
    """Each role definition's graph."""
    lines: dict[str, list[tuple[str, ...]]] = {definition.key: [] for definition in model.section("g")}
    for rule in rules:
        if rule.ptype in lines:
            lines[rule.ptype].append(rule.fields)
    return {key: Graph.of(found, model.definitions[key].arity) for key, found in lines.items()}


def _shape(policy: Policy, sections: Sequence[str]) -> Shape:
    """The matcher read, with what its names stand for. Raises Unsupported."""
    found = policy.model.definitions
    request, rule, effect, match = (found[key] for key in sections)
    # pycasbin combines by `e` whichever section it is asked for.
    if effect.key != "e" or policy.effect not in EFFECTS:
        raise Unsupported("an effect that is not compiled")
    if any(definition.conditional for definition in policy.model.section("g")):
        raise Unsupported("a role definition with conditions")
    try:
        tree = matcher.tree(match.value)
    except matcher.Unreadable as error:
        tree, problem = None, str(error)
    if tree is None:
        raise Unsupported(problem)
    terms = Terms(_scope(policy, request, rule))
    ordered = policy.effect == SUBJECT_PRIORITY
    if ordered and (rule.key != "p" or "g" not in found):
        raise Unsupported("an order by roles without a `g`")
    return Shape(
        rule.key,
        tree,
        terms,
        policy.effect,
        len(request.fields),
        _place(rule, "priority"),
        _place(rule, "eft"),
        ordered,
    )


def _scope(policy: Policy, request: Definition, rule: Definition) -> Scope:
    sources = policy.request if len(policy.request) == len(request.fields) else ("",) * len(request.fields)
    return Scope(
        request={f"{request.key}_{name}": at for at, name in enumerate(request.fields)},
        policy={f"{rule.key}_{name}": at for at, name in enumerate(rule.fields)},
        texts=frozenset(at for at, source in enumerate(sources) if _holds_text(source, policy.described)),
        lists=frozenset(at for at, source in enumerate(sources) if _kind(source, policy.described) == LIST),
        graphs=frozenset(definition.key for definition in policy.model.section("g")),
    )


def _kind(source: str, described: Kinds) -> str:
    """The kind of a resource's attribute, "" for any other source."""
    return described.get(source.removeprefix(RESOURCE_ATTRIBUTE), "") if source.startswith(RESOURCE_ATTRIBUTE) else ""


def _holds_text(source: str, described: Kinds) -> bool:
    """Whether a source always gives text: what a principal or the clock brings may be a number."""
    if source.startswith(RESOURCE_ATTRIBUTE):
        return _kind(source, described) == TEXT
    return not source.startswith((ATTRIBUTE, "clock."))


def _place(definition: Definition, name: str) -> int:
    return definition.fields.index(name) if name in definition.fields else -1


def _levels(policy: Policy, shape: Shape) -> list[int]:
    """Casbin's subject priority: how far each rule's subject stands above those who have no one below."""
    fields = policy.model.definitions["p"].fields
    tenant = fields.index("dom") if "dom" in fields else -1
    below: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for rule in policy.rules:
        if rule.ptype == "g":
            domain = rule.fields[2] if len(rule.fields) > 2 else ""
            below.setdefault((domain, rule.fields[1]), set()).add((domain, rule.fields[0]))
    known: dict[tuple[str, str], int] = {}
    return [
        _level((rule.fields[tenant] if tenant >= 0 else "", rule.fields[0]), below, known)
        for rule in policy.rules
        if rule.ptype == "p"
    ]


def _level(
    name: tuple[str, str], below: Mapping[tuple[str, str], set[tuple[str, str]]], known: dict[tuple[str, str], int]
) -> int:
    """The longest way down from a name. Bounded: the loader refuses cycles and long paths."""
    if name not in known:
        known[name] = max((_level(each, below, known) + 1 for each in below.get(name, ())), default=0)
    return known[name]
