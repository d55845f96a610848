"""`rules:` a list of conditions over the facts of a call, and what each asks for.

Invariants:
* A rule tightens: it asks for `review` or `deny`. One that allows could only be read as one that loosens.
* Every rule can fire and can not fire: a condition that is constant, or that repeats another rule's, is refused.
* A rule that faults on a call is DENY `rule.fault` under its own id; in shadow, its fault is told and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec

from aigov.conditions import FAULT, MAX_CHARS, Condition, Language, Mistake, Miswritten
from aigov.errors import GuardFault, PolicyError, Problem
from aigov.policy.decide import refusal
from aigov.policy.facts import FACTS, mistakes, view
from aigov.policy.nodes import MAX_PROBLEMS
from aigov.types import Facts, Reason, Ruling, Section, Verdict

RESERVED = frozenset({"audit", "flow", "guard", "identity", "lockdown", "plugin"})
RESERVED_CODES = frozenset({FAULT} | {f"input.{name}" for name in (
    "malformed", "too_large", "too_deep", "cyclic", "unknown_type", "not_utf8", "key_clash",
)})  # fmt: skip
_ONLY_TIGHTER = "a rule can only tighten: leave it out, or write its opposite with `deny` or `review`"
_NO_EDITS = "a rule edits nothing: say what to do with an entity under `privacy`"


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule: when its condition holds, it asks for its verdict and gives its reason."""

    id: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$",
            description="names the rule in decisions and records; no two are alike",
            extra={"expected": "a name of up to 64 letters, digits, `-`, `_` and `.`"},
        ),
    ]
    when: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            max_length=MAX_CHARS,
            description="a CEL condition over the declared facts",
            extra={"expected": f"a CEL condition of up to {MAX_CHARS} characters"},
        ),
    ]
    verdict: Annotated[
        Literal["review", "deny"],
        msgspec.Meta(
            description="what the rule asks for: a person's approval, or refusal",
            extra={"instead": {"allow": _ONLY_TIGHTER, "transform": _NO_EDITS}},
        ),
    ]
    reason: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^[a-z0-9_.]{1,64}$",
            description="the code that a refused caller and the record get",
            extra={"expected": "a code of up to 64 small letters, digits, `_` and `.`, such as `refund.over_limit`"},
        ),
    ]
    mode: Annotated[
        Literal["enforce", "shadow"],
        msgspec.Meta(description="shadow records what would have happened and changes nothing"),
    ] = "enforce"


class CompiledRule(msgspec.Struct, frozen=True):
    """A rule ready to be asked."""

    condition: Condition
    ruling: Ruling
    fault: Ruling


class RuleSet:
    """The rules of one loaded policy. Immutable; asked from any thread."""

    __slots__ = ("_language", "_names", "rules")

    def __init__(self, rules: tuple[CompiledRule, ...], language: Language) -> None:
        self.rules = rules
        self._language = language
        self._names = frozenset(name for rule in rules for name in rule.condition.names)

    def judge(self, facts: Facts) -> tuple[Ruling, ...]:
        """The rulings of every rule that holds, and the refusal of every rule that faults, in policy order."""
        if not self.rules:
            return ()
        data = self._language.bind(view(facts, self._names))
        rulings = []
        for rule in self.rules:
            try:
                if rule.condition.holds(data):
                    rulings.append(rule.ruling)
            except GuardFault:
                rulings.append(rule.fault)
        return tuple(rulings)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Every code that a ruling may carry."""
        return tuple(sorted({FAULT, *(rule.ruling.reason.code for rule in self.rules)}))


def compiled(
    settings: Section, entities: frozenset[str] = frozenset(), resource_attributes: frozenset[str] = frozenset()
) -> RuleSet:
    """The rules of a section (a tuple of `Rule`), compiled. Raises PolicyError with every problem of every rule.

    `entities`: the declared entity types, to tell one that is misspelt in a condition. `resource_attributes`: those
    that a condition may ask for.
    """
    language = Language(FACTS)
    problems: list[Problem] = []
    found: list[CompiledRule] = []
    for index, rule in enumerate(settings.value):
        problems += _named_badly(settings, index, rule)
        try:
            condition = language.compile(rule.when, rule.id)
        except Miswritten as error:
            problems += _placed(settings, index, error.mistakes)
            continue
        problems += _placed(settings, index, tuple(mistakes(condition.term, language, entities, resource_attributes)))
        problems += _pointless(settings, index, condition, found)
        found.append(_ready(rule, condition, settings.layer))
    if problems:
        raise PolicyError(problems[:MAX_PROBLEMS])
    return RuleSet(tuple(found), language)


def _ready(rule: Rule, condition: Condition, layer: str) -> CompiledRule:
    shadow = rule.mode == "shadow"
    reason = Reason(code=rule.reason, rule=rule.id, layer=layer)
    ruling = Ruling(verdict=Verdict.named(rule.verdict), reason=reason, shadow=shadow)
    return CompiledRule(condition, ruling, refusal(FAULT, rule.id, layer=layer, shadow=shadow))


def _named_badly(settings: Section, index: int, rule: Rule) -> Iterator[Problem]:
    earlier = next((place for place in range(index) if settings.value[place].id == rule.id), None)
    if earlier is not None:
        line = settings.locate(earlier, "id").line
        yield settings.problem(index, "id", what=f"the id `{rule.id}` is here twice", fix=f"it stands in line {line}")
    if rule.reason.partition(".")[0] in RESERVED or rule.reason in RESERVED_CODES:
        what = f"`{rule.reason}` is one of aigov's own reasons"
        yield settings.problem(index, "reason", what=what, fix="choose another, such as `refund.over_limit`")


def _pointless(settings: Section, index: int, condition: Condition, earlier: list[CompiledRule]) -> Iterator[Problem]:
    """Conditions that say nothing: the same for every call, or said before."""
    constant = condition.constant()
    if constant is not None or not condition.names:
        answer = "the same" if constant is None else str(constant).lower()
        what = f"the condition is {answer} for every call"
        facts = ", ".join(f"`{name}`" for name in FACTS)
        yield settings.problem(index, "when", what=what, fix=f"let it depend on a fact: {facts}")
        return
    meaning = condition.term.meaning()
    for rule in earlier:
        if rule.condition.term.meaning() == meaning:
            what = f"the condition repeats that of rule `{rule.condition.name}`"
            yield settings.problem(index, "when", what=what, fix="remove one of the two rules")
            return


def _placed(settings: Section, index: int, found: tuple[Mistake, ...]) -> Iterator[Problem]:
    """Mistakes in a condition at their place in the file, where the text's quoting lets that be told."""
    for mistake in found:
        where = settings.locate(index, "when", inside=(mistake.line, mistake.column))
        yield Problem(where, f"`rules[{index}].when`: {mistake.what}", mistake.fix)
