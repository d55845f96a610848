"""Casbin files to a checked policy: what could open by accident is refused here, with its place.

Refused, a step before any engine: an effect that allows when nothing matched; a deny that the effect
does not look at; an effect of a rule that Casbin does not know; a matcher that never looks at who
asks, or that takes its pattern from the request; unknown names; a role cycle; a role path longer than
Casbin follows; a priority that is no number.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import msgspec

from aigov.access import matcher, patterns
from aigov.access import model as models
from aigov.access import resources as descriptions
from aigov.access import rules as lines
from aigov.access.hierarchy import cycle_problems
from aigov.access.model import Definition, Model
from aigov.access.rules import Rule
from aigov.access.settings import (
    ACTION,
    ATTRIBUTE,
    RESOURCE,
    RESOURCE_ATTRIBUTE,
    SOURCES,
    SUBJECT,
    TENANT,
    AccessSettings,
)
from aigov.access.sources import MAX_MODEL_BYTES, MAX_POLICY_BYTES, Text, read
from aigov.errors import Location, PolicyError, Problem

ALLOW_OVERRIDE = "some(where (p_eft == allow))"
DENY_OVERRIDE = "some(where (p_eft == allow)) && !some(where (p_eft == deny))"
PRIORITY = "priority(p_eft) || deny"
SUBJECT_PRIORITY = "subjectPriority(p_eft) || deny"
OPEN = "!some(where (p_eft == deny))"
EFFECTS = (ALLOW_OVERRIDE, DENY_OVERRIDE, PRIORITY, SUBJECT_PRIORITY)
Kinds = Mapping[str, str]
NO_KINDS: Kinds = MappingProxyType({})


class Policy(msgspec.Struct, frozen=True):
    """A model and its rules, checked.

    `request`: the source of each request field, in the model's order. `described`: the kind of each attribute
    that resources have.
    """

    model: Model
    rules: tuple[Rule, ...]
    file: str
    name: str
    request: tuple[str, ...]
    described: Kinds = NO_KINDS

    @property
    def effect(self) -> str:
        """How the effects of the rules that match become one answer: one of EFFECTS."""
        return matcher.names(self.model.definitions["e"].value)

    @property
    def field_of(self) -> dict[str, str]:
        """The matcher's name of each request field to its source: `r_sub` to `sub`."""
        return dict(zip((f"r_{name}" for name in self.model.definitions["r"].fields), self.request, strict=True))

    def effect_of(self, rule: Rule) -> str:
        """`allow` or `deny`: the rule's own field `eft`, or allow where it has none."""
        fields = self.model.definitions[rule.ptype].fields
        return rule.fields[fields.index("eft")] if "eft" in fields else "allow"

    def where(self, rule: Rule) -> Location:
        """The place of a rule."""
        return Location(self.file, rule.line, 1)


def load(folder: Path, settings: AccessSettings) -> Policy:
    """The policy that the settings name. Raises PolicyError with every problem found."""
    wrong = [
        Problem(Location(str(folder)), f"`access.resources`, `{each.key[:80]}` {each.attribute}: {each.what}", each.fix)
        for each in descriptions.problems(settings.resources)
    ]
    if wrong:
        raise PolicyError(wrong[: lines.MAX_PROBLEMS])
    model = models.parse(read(folder, settings.model, MAX_MODEL_BYTES))
    text = read(folder, settings.policy, MAX_POLICY_BYTES)
    return checked(model, text, settings.request, descriptions.kinds(settings.resources))


def checked(model: Model, text: Text, request: tuple[str, ...], described: Kinds = NO_KINDS) -> Policy:
    """A model and the rules in a text. Raises PolicyError with every problem of either."""
    problems = list(_model_problems(model, request, described))
    rules: tuple[Rule, ...] = ()
    try:
        rules = lines.parse(text, model)
    except PolicyError as error:
        problems.extend(error.problems)
    if rules and not problems:
        problems.extend(_rule_problems(model, rules, text, request))
    if problems:
        raise PolicyError(problems[: lines.MAX_PROBLEMS])
    return Policy(model, rules, text.file, text.name, request, described)


def with_rule(policy: Policy, rule: Rule) -> Policy:
    """The policy with one rule more. Raises PolicyError where the loader would refuse that rule.

    What a role line does to the role graph is for the caller to check, who has the graph: `role_problem`.
    """
    text = Text(policy.name, policy.file, ())
    known = {key: found for key, found in policy.model.definitions.items() if found.section in "pg"}
    problem = lines.problem_of((rule.ptype, *rule.fields), known, text.at(rule.line))
    problems = [problem] if problem else []
    if not all(isinstance(field, str) and field.isprintable() and field == field.strip() for field in rule.fields):
        problems.append(text.problem(rule.line, 1, "a field holds what no line of a file can hold", "take it out"))
    if not problems:
        problems = [*_line_problems(policy.model, [rule], text, policy.request)]
    if problems:
        raise PolicyError(problems)
    return msgspec.structs.replace(policy, rules=(*policy.rules, rule))


def role_names(policy: Policy, settings: AccessSettings) -> frozenset[str]:
    """Every name that is a role of who asks: second in a `g` line, listed in `access.roles`, for emergencies."""
    graphs = subject_graphs(policy)
    listed = {*settings.roles, *filter(None, [settings.break_glass.role])}
    return frozenset(listed) | {rule.fields[1] for rule in policy.rules if rule.ptype in graphs}


def place(policy: Policy, source: str) -> int:
    """The place of the `p` field that goes by the name of the request field for `source`, -1 without."""
    fields = policy.model.definitions["p"].fields
    names = [name.removeprefix("r_") for name, given in policy.field_of.items() if given == source]
    return fields.index(names[0]) if names and names[0] in fields else -1


def subject_graphs(policy: Policy) -> frozenset[str]:
    """The `g` definitions that the matcher applies to who asks."""
    subject = _subjects(policy.model.definitions["r"], policy.request)
    nodes = [node for found in policy.model.section("m") for node in ast.walk(matcher.tree(found.value))]
    calls = [node for node in nodes if isinstance(node, ast.Call) and node.args]
    asked = [call.func for call in calls if matcher.referenced(call.args[0]) & subject]
    graphs = {definition.key for definition in policy.model.section("g")}
    return frozenset(func.id for func in asked if isinstance(func, ast.Name) and func.id in graphs)


def _model_problems(model: Model, request: Sequence[str], described: Kinds) -> Iterator[Problem]:
    """What is wrong with the model by itself."""
    found = model.definitions
    yield from _request_problems(found["r"], request, described)
    yield from _effect_problems(found["e"], found["p"], "g" in found)
    for key in (key for key in found if key[0] == "m"):
        suffix = key[1:]
        fields = found.get("r" + suffix, found["r"]), found.get("p" + suffix, found["p"])
        yield from _matcher_problems(found[key], fields, model, request if not suffix else ())


def _request_problems(definition: Definition, request: Sequence[str], described: Kinds) -> Iterator[Problem]:
    known = {*SOURCES, *(RESOURCE_ATTRIBUTE + name for name in described)}
    unknown = [source for source in request if source not in known and not _attribute(source)]
    if unknown:
        near = difflib.get_close_matches(unknown[0], known, 1, 0.8)
        fix = f"did you mean `{near[0]}`" if near else f"use {', '.join(SOURCES)}, {ATTRIBUTE}NAME or"
        fix += "" if near else f" {RESOURCE_ATTRIBUTE}NAME, with a NAME that stands under `access.resources`"
        yield Problem(definition.where, f"`access.request` has `{unknown[0]}`, which is nothing to ask with", fix)
    if len(request) != len(definition.fields):
        what = f"`r` has {len(definition.fields)} fields, `access.request` has {len(request)}"
        yield Problem(definition.where, what, "name the source of each field, in order")
    for source in (SUBJECT, RESOURCE, ACTION, TENANT):
        if list(request).count(source) > 1:
            yield Problem(definition.where, f"`access.request` has `{source}` twice", "ask with each value once")
    if SUBJECT not in request:
        yield Problem(definition.where, "`access.request` never asks who", f"add `{SUBJECT}`")


def _attribute(source: str) -> bool:
    return source.startswith(ATTRIBUTE) and source.removeprefix(ATTRIBUTE).isidentifier()


def _effect_problems(effect: Definition, policy: Definition, roles: bool) -> Iterator[Problem]:
    value = matcher.names(effect.value)
    if value == OPEN:
        fix = f"write `e = {DENY_OVERRIDE.replace('p_', 'p.')}`"
        yield Problem(effect.where, "this effect allows whatever no rule forbids", fix)
    elif value not in EFFECTS:
        shown = " or ".join(f"`{known.replace('p_', 'p.')}`" for known in EFFECTS)
        yield Problem(effect.where, "no effect that Casbin takes", f"write {shown}")
    elif value == SUBJECT_PRIORITY and not roles:
        yield Problem(effect.where, "the effect orders by role, and the model has no `g`", "add a [role_definition]")
    elif value != ALLOW_OVERRIDE and "eft" not in policy.fields:
        yield Problem(policy.where, "the effect looks at `p.eft`, which `p` does not have", "add the field `eft`")


def _matcher_problems(
    definition: Definition, fields: tuple[Definition, Definition], model: Model, request: Sequence[str]
) -> Iterator[Problem]:
    """What is wrong with a matcher's text, before any rule is looked at."""
    try:
        tree = matcher.tree(definition.value)
    except matcher.Unreadable as error:
        yield Problem(definition.where, str(error), "write it as `g(r.sub, p.sub) && r.obj == p.obj`")
        return
    for name in _unknown(tree, fields, model):
        yield Problem(definition.where, f"unknown name `{name}`", "use fields of `r` and `p`, and Casbin's functions")
    yield from _pattern_problems(definition, tree)
    subject = _subjects(fields[0], request)
    if subject and "eval" not in matcher.referenced(tree) and not subject & matcher.referenced(tree):
        yield Problem(definition.where, "the matcher never looks at who asks", f"compare `{min(subject)}`")


def _unknown(tree: ast.expr, fields: Sequence[Definition], model: Model) -> list[str]:
    """The names in an expression that stand for nothing."""
    known = {f"{at.key}_{name}" for at in fields for name in at.fields}
    known |= matcher.FUNCTIONS | {"eval"} | {found.key for found in model.section("g")}
    return sorted(matcher.referenced(tree) - known)


def _subjects(definition: Definition, request: Sequence[str]) -> set[str]:
    """The matcher's names of the fields that hold who asks."""
    if len(request) != len(definition.fields):
        return set()
    pairs = zip(definition.fields, request, strict=True)
    return {f"{definition.key}_{name}" for name, source in pairs if source == SUBJECT}


def _pattern_problems(definition: Definition, tree: ast.expr) -> Iterator[Problem]:
    """A pattern that the request brings is a skeleton key: whoever asks for `*` would get everything."""
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
            name = call.func.id
            if name in matcher.PATTERN_FUNCTIONS and len(call.args) != 2:
                yield Problem(definition.where, f"`{name}` takes two arguments", f"write `{name}(r.obj, p.obj)`")
            elif name in matcher.PATTERN_FUNCTIONS and any(
                found.startswith("r") for found in matcher.referenced(call.args[1])
            ):
                yield Problem(
                    definition.where, f"`{name}` takes its pattern from the request", f"write `{name}(r.obj, p.obj)`"
                )


def _rule_problems(model: Model, rules: Sequence[Rule], text: Text, request: Sequence[str]) -> Iterator[Problem]:
    """What is wrong with rules that are well formed."""
    for definition in model.section("g"):
        yield from cycle_problems([rule for rule in rules if rule.ptype == definition.key], text)
    yield from _line_problems(model, rules, text, request)


def _line_problems(model: Model, rules: Sequence[Rule], text: Text, request: Sequence[str]) -> Iterator[Problem]:
    """What is wrong with a rule by itself."""
    yield from _eft_problems(model, rules, text)
    yield from _priority_problems(model, rules, text)
    yield from _evaluated_problems(model, rules, text, request)
    yield from _bad_patterns(model, rules, text)


def _eft_problems(model: Model, rules: Sequence[Rule], text: Text) -> Iterator[Problem]:
    ignored = matcher.names(model.definitions["e"].value) == ALLOW_OVERRIDE
    index = {found.key: found.fields.index("eft") for found in model.section("p") if "eft" in found.fields}
    for rule in rules:
        value = rule.fields[index[rule.ptype]] if rule.ptype in index else "allow"
        if value not in ("allow", "deny", "indeterminate"):
            yield text.problem(rule.line, 1, f"the effect `{value[:40]}` means nothing", "write `allow` or `deny`")
        elif value == "deny" and ignored:
            fix = f"set `e = {DENY_OVERRIDE.replace('p_', 'p.')}` in the model"
            yield text.problem(rule.line, 1, "the model's effect never looks at a deny", fix)


def _priority_problems(model: Model, rules: Sequence[Rule], text: Text) -> Iterator[Problem]:
    index = {found.key: found.fields.index("priority") for found in model.section("p") if "priority" in found.fields}
    for rule in rules:
        value = rule.fields[index[rule.ptype]] if rule.ptype in index else "0"
        if not (value.isascii() and value.isdigit() and len(value) < 10):
            yield text.problem(rule.line, 1, "the priority is no whole number", "smaller decides first")


def _evaluated_problems(model: Model, rules: Sequence[Rule], text: Text, request: Sequence[str]) -> Iterator[Problem]:
    """An `eval(p.rule)` whose text is no expression, takes a pattern from the request or forgets who asks."""
    definition = model.definitions["m"]
    asked = matcher.evaluated(definition.value)
    policy = model.definitions["p"]
    if not asked:
        return
    subject = _subjects(model.definitions["r"], request)
    seen: set[tuple[str, ...]] = set()
    for rule in rules:
        if rule.ptype != "p":
            continue
        values = dict(zip((f"p_{name}" for name in policy.fields), rule.fields, strict=True))
        texts = tuple(values.get(name.strip(), "") for name in asked)
        if texts in seen:
            continue
        seen.add(texts)
        yield from _evaluated_problem(model, texts, subject, text.at(rule.line))


def _evaluated_problem(model: Model, texts: tuple[str, ...], subject: set[str], where: Location) -> Iterator[Problem]:
    definition, fields = model.definitions["m"], (model.definitions["r"], model.definitions["p"])
    try:
        tree = matcher.tree(definition.value, texts)
    except matcher.Unreadable as error:
        yield Problem(where, f"the condition of this rule is {error}", "write it as `r.clearance >= 3`")
        return
    for name in _unknown(tree, fields, model):
        yield Problem(where, f"unknown name `{name[:40]}` in the condition of this rule", "use fields of `r` and `p`")
    for problem in (*_pattern_problems(definition, tree), *_bad_constants(tree, where)):
        yield problem._replace(where=where)
    if not subject & matcher.referenced(tree):
        yield Problem(where, "neither the matcher nor this rule looks at who asks", f"compare `{min(subject)}`")


def _bad_patterns(model: Model, rules: Sequence[Rule], text: Text) -> Iterator[Problem]:
    """A pattern that its function cannot take, or that could keep an engine busy for ever."""
    definition, policy = model.definitions["m"], model.definitions["p"]
    tree = matcher.tree(definition.value)
    yield from _bad_constants(tree, definition.where)
    for name, held in _pattern_calls(tree):
        if isinstance(held, ast.Name) and held.id.removeprefix("p_") in policy.fields:
            yield from _bad_rule_patterns(name, policy.fields.index(held.id.removeprefix("p_")), rules, text)


def _pattern_calls(tree: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """Each call of a pattern function, with the expression of its pattern."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and len(node.args) == 2]
    for call in calls:
        if isinstance(call.func, ast.Name) and call.func.id in matcher.PATTERN_FUNCTIONS - {"ipMatch"}:
            yield call.func.id, call.args[1]


def _bad_constants(tree: ast.expr, where: Location) -> Iterator[Problem]:
    for name, held in _pattern_calls(tree):
        why = (
            _pattern_problem(name, held.value) if isinstance(held, ast.Constant) and isinstance(held.value, str) else ""
        )
        if why:
            yield Problem(where, f"no pattern for `{name}`: {why}", "rewrite it")


def _bad_rule_patterns(name: str, place: int, rules: Sequence[Rule], text: Text) -> Iterator[Problem]:
    found = {rule.fields[place]: rule for rule in reversed(rules) if rule.ptype == "p"}
    for pattern, rule in found.items():
        why = _pattern_problem(name, pattern)
        if why:
            yield text.problem(rule.line, 1, f"field {place + 1} is no pattern for `{name}`: {why}", "rewrite it")


def _pattern_problem(name: str, pattern: str) -> str:
    """Why a pattern is refused, or ""."""
    try:
        patterns.compiled(name, pattern)
    except patterns.BadPattern as error:
        return str(error)
    return patterns.linear(pattern) if name == "regexMatch" else ""
