"""What a security team should know about its access files before anybody relies on them.

Errors are raised by `load`; what is here is suspicious and still means what it says.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from aigov.access import matcher
from aigov.access.choice import choose
from aigov.access.load import Policy, load, place, role_names, subject_graphs
from aigov.access.rules import Rule
from aigov.access.settings import SUBJECT, TENANT, AccessSettings
from aigov.errors import Location, Problem

NEAR_NAME = 0.8
MAX_COMPARED = 200_000


class Report(msgspec.Struct, frozen=True):
    """What `aigov access check` shows. `engine` decides, for the reason `why`; `warnings` in file order."""

    engine: str
    why: str
    grants: int
    role_lines: int
    roles: int
    tenants: int
    warnings: tuple[Problem, ...]


def check(folder: Path, settings: AccessSettings) -> Report:
    """Read, check and build the policy as a governor would. Raises PolicyError where one would refuse it."""
    policy = load(folder, settings)
    choice = choose(policy)
    grants = [rule for rule in policy.rules if rule.ptype[0] == "p"]
    return Report(
        engine=choice.name,
        why=choice.why,
        grants=len(grants),
        role_lines=len(policy.rules) - len(grants),
        roles=len(role_names(policy, settings)),
        tenants=len(_column(policy, TENANT)),
        warnings=tuple(sorted(warnings(policy, settings), key=lambda problem: problem.where)),
    )


def warnings(policy: Policy, settings: AccessSettings) -> Iterator[Problem]:
    """Everything that reads as one thing and means another, or means nothing."""
    yield from _repeated(policy)
    yield from _never_asked(policy)
    yield from _tenants(policy)
    yield from _empty_roles(policy, settings)
    yield from _unreachable(policy, settings)
    yield from _unknown_roles(policy, settings)
    yield from _stars(policy)
    yield from _patterns(policy)
    yield from _open_branches(policy)
    if settings.trust_roles:
        yield from _claimable(policy, settings)


def _repeated(policy: Policy) -> Iterator[Problem]:
    first: dict[tuple[str, ...], Rule] = {}
    for rule in policy.rules:
        other = first.setdefault((rule.ptype, *rule.fields), rule)
        if other is not rule:
            yield Problem(policy.where(rule), f"the same rule stands in line {other.line}", "take one out")


def _never_asked(policy: Policy) -> Iterator[Problem]:
    for rule in policy.rules:
        if rule.ptype[0] == "p" and rule.ptype != "p":
            yield Problem(policy.where(rule), f"`{rule.ptype}` lines are never asked", "only `p` lines decide")


def _tenants(policy: Policy) -> Iterator[Problem]:
    """A tenant that stands in role lines or in grants only, where a near name stands in the other."""
    granted = _column(policy, TENANT)
    given = {rule.fields[2]: rule for rule in reversed(policy.rules) if rule.ptype == "g" and len(rule.fields) > 2}
    named = set(granted) | _constants(matcher.tree(policy.model.definitions["m"].value))
    for tenant in sorted(set(given) - named) if granted else ():
        near = difflib.get_close_matches(tenant, granted, 1)
        fix = f"did you mean `{near[0]}`" if near else "grant something there, or take the line out"
        yield Problem(policy.where(given[tenant]), f"no grant names the tenant `{tenant}`", fix)


def _empty_roles(policy: Policy, settings: AccessSettings) -> Iterator[Problem]:
    """A role that neither has a grant nor stands below one that has: often a misspelt name."""
    graphs = subject_graphs(policy)
    granted = set(_column(policy, SUBJECT))
    if not granted or not graphs:
        return
    above = {rule.fields[1]: rule for rule in reversed(policy.rules) if rule.ptype in graphs}
    below = {rule.fields[0] for rule in policy.rules if rule.ptype in graphs}
    for name in sorted(set(above) - below - granted):
        near = difflib.get_close_matches(name, granted, 1)
        fix = f"did you mean `{near[0]}`" if near else "grant it something, or take the line out"
        yield Problem(policy.where(above[name]), f"nothing is granted to the role `{name}`", fix)


def _unreachable(policy: Policy, settings: AccessSettings) -> Iterator[Problem]:
    """A grant in a tenant that no role line names: where roles are the file's alone, nobody has the role there."""
    given = {rule.fields[2] for rule in policy.rules if rule.ptype == "g" and len(rule.fields) > 2}
    roles = role_names(policy, settings)
    apart = given | _constants(matcher.tree(policy.model.definitions["m"].value)) | {""}
    near: dict[str, list[str]] = {}
    who, where = place(policy, SUBJECT), place(policy, TENANT)
    for rule in policy.rules if given and where >= 0 else ():
        if rule.ptype != "p" or rule.fields[where] in apart:
            continue
        tenant, name = rule.fields[where], rule.fields[who] if who >= 0 else ""
        if tenant not in near:
            near[tenant] = difflib.get_close_matches(tenant, given, 1, NEAR_NAME)
        if near[tenant] or (name in roles and not settings.trust_roles):
            fix = (
                f"did you mean `{near[tenant][0]}`" if near[tenant] else f"give somebody `{name}` there, or take it out"
            )
            yield Problem(policy.where(rule), f"no role line names the tenant `{tenant}`", fix)


def _unknown_roles(policy: Policy, settings: AccessSettings) -> Iterator[Problem]:
    """A name that is granted something and is nearly a role's; a role in the settings that no line names."""
    roles, graphs, granted = role_names(policy, settings), subject_graphs(policy), _column(policy, SUBJECT)
    known = roles | {name for rule in policy.rules if rule.ptype in graphs for name in rule.fields[:2]}
    others = [name for name in granted if name not in known]
    # Comparing every name with every role takes a second a million: a policy that large names people, not roles.
    for name in others if len(others) * len(roles) <= MAX_COMPARED else ():
        near = difflib.get_close_matches(name, roles, 1, NEAR_NAME)
        if near:
            yield Problem(granted[name], f"no role line names `{name}`", f"did you mean `{near[0]}`")
    linked = known - set(settings.roles) | {name for rule in policy.rules for name in rule.fields[:2]}
    for name in settings.roles if granted else ():
        if name not in linked:
            fix = "take it out of `access.roles`, or grant it something"
            yield Problem(Location(policy.file), f"no line names the role `{name}`", fix)


def _stars(policy: Policy) -> Iterator[Problem]:
    """`*` as a name is everybody only to a pattern function; to `==` and `g` it is a name like others."""
    fields = policy.model.definitions["p"].fields
    patterns = _pattern_fields(policy)
    for index, field in enumerate(fields):
        if field in patterns or field == "eft" or _looks_for_star(policy, field):
            continue
        for rule in policy.rules:
            if rule.ptype == "p" and rule.fields[index] == "*":
                what = f"`*` in `{field}` is an ordinary name here, not every one"
                yield Problem(policy.where(rule), what, "name each, or compare with keyMatch in the model")


def _patterns(policy: Policy) -> Iterator[Problem]:
    """Patterns that match more than they seem to."""
    patterns = _pattern_fields(policy)
    for index, field in enumerate(policy.model.definitions["p"].fields):
        for rule in policy.rules if field in patterns else ():
            value = rule.fields[index] if rule.ptype == "p" else ""
            if "keyMatch" in patterns[field] and value.find("*") not in (-1, len(value) - 1):
                what = f"keyMatch does not look behind the first `*` of `{value}`"
                yield Problem(policy.where(rule), what, "end the pattern there, or use globMatch")
            if "keyMatch2" in patterns[field] and ":" in value.replace("/:", "/"):
                what = f"to keyMatch2 the `:` of `{value}` begins a variable that stands for any text"
                yield Problem(policy.where(rule), what, "use keyMatch or keyMatch3 in the model")


def _open_branches(policy: Policy) -> Iterator[Problem]:
    """A branch of the matcher that does not look at who asks lets everybody in who fits the rest."""
    definition = policy.model.definitions["m"]
    tree = matcher.tree(definition.value)
    subjects = {name for name, source in policy.field_of.items() if source == SUBJECT} | {"eval"}
    branches = tree.values if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.Or) else [tree]
    for branch in branches:
        if not subjects & matcher.referenced(branch):
            yield Problem(
                definition.where, "a branch of the matcher never looks at who asks", "compare the subject in it"
            )


def _claimable(policy: Policy, settings: AccessSettings) -> Iterator[Problem]:
    """Names that may be roles and that Casbin cannot tell from ids: whoever is called so has their rights."""
    roles = role_names(policy, settings)
    graphs = subject_graphs(policy)
    for name, rule in {rule.fields[0]: rule for rule in reversed(policy.rules) if rule.ptype in graphs}.items():
        if name not in roles:
            what = f"`{name}` may be an id or a role: a person with this id has its rights"
            yield Problem(policy.where(rule), what, "if it is a role, list it under `access.roles`")


def _looks_for_star(policy: Policy, field: str) -> bool:
    """Whether the matcher has a comparison of its own with `"*"` for this field."""
    nodes = ast.walk(matcher.tree(policy.model.definitions["m"].value))
    compared = [node for node in nodes if isinstance(node, ast.Compare)]
    return any("*" in _constants(node) and f"p_{field}" in matcher.referenced(node) for node in compared)


def _constants(tree: ast.AST) -> set[str]:
    """The texts that stand in an expression."""
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def _pattern_fields(policy: Policy) -> dict[str, set[str]]:
    """The `p` fields that hold patterns, and the functions that read them."""
    found: dict[str, set[str]] = {}
    for call in ast.walk(matcher.tree(policy.model.definitions["m"].value)):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in matcher.PATTERN_FUNCTIONS:
            for name in matcher.referenced(call.args[1]):
                found.setdefault(name.removeprefix("p_"), set()).add(call.func.id)
    return found


def _column(policy: Policy, source: str) -> dict[str, Location]:
    """The values of the `p` field that goes by the name of the request field for `source`, with their place."""
    at = place(policy, source)
    rules = [rule for rule in policy.rules if rule.ptype == "p"] if at >= 0 else []
    return {rule.fields[at]: policy.where(rule) for rule in rules}
