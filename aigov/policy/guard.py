"""The rules as a guard like any other: what registers under the policy key `rules`."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from aigov.hookspecs import Context, hookimpl
from aigov.policy.rules import Rule, RuleSet, compiled
from aigov.types import Facts, Ruling, Section


class RulesPlugin:
    """What registers under the policy key `rules`."""

    @hookimpl
    def aigov_settings(self) -> type[msgspec.Struct]:
        """The type of the policy key `rules`: a list of rules, so no struct of its own."""
        return tuple[Rule, ...]  # type: ignore[return-value]

    @hookimpl
    def aigov_start(self, settings: Section, context: Context) -> Guard:
        """The rules compiled for one loaded policy. Raises PolicyError with every problem of every rule."""
        return Guard(compiled(settings, context.entities, context.resource_attributes))


class Guard:
    """Answers for the rules of one loaded policy."""

    def __init__(self, rules: RuleSet) -> None:
        self._rules = rules

    @hookimpl
    def aigov_judge(self, facts: Facts) -> Iterable[Ruling]:
        """The rulings of every rule that holds on the call, or on its answer."""
        return self._rules.judge(facts)

    @hookimpl
    def aigov_reasons(self) -> Iterable[str]:
        """`rule.fault`, and every rule's own reason."""
        return self._rules.reasons


plugin = RulesPlugin()
