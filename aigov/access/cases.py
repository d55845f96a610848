"""Access policies as tests: who asks what, what has to come out, and which rules no case touches.

Invariants:
* A case is asked as a call would be, through the guard's own answer.
* A rule is covered when it decided a case; what no case touches is named with its line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec

from aigov.access.guard import Access
from aigov.access.rules import Rule
from aigov.errors import Location
from aigov.types import Attribute, Principal


class Who(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who asks in a case, and whom they act for."""

    id: str
    roles: tuple[str, ...] = ()
    tenant: str = ""
    attributes: dict[str, Attribute] = {}
    on_behalf_of: Who | None = None

    def principal(self) -> Principal:
        """The same as a call has it."""
        behind = self.on_behalf_of.principal() if self.on_behalf_of else None
        return Principal(
            id=self.id, roles=self.roles, tenant=self.tenant, attributes=self.attributes, on_behalf_of=behind
        )


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One case. `reason`: the code that has to come out; `rule`: the rule that has to decide, as it stands
    in the file (spaces aside). Both are checked only where they are given.
    """

    name: str
    principal: Who
    action: str
    resource: str
    verdict: Literal["allow", "deny"]
    reason: str = ""
    rule: str = ""


class Result(msgspec.Struct, frozen=True):
    """A case that was asked. `wrong` says what came out otherwise, "" where nothing did."""

    case: Case
    wrong: str
    rule: str


class Report(msgspec.Struct, frozen=True):
    """Every case's result, and the grants and denials that decided none of them."""

    results: tuple[Result, ...]
    untouched: tuple[tuple[str, Location], ...]
    rules: int

    @property
    def failed(self) -> int:
        """How many cases came out otherwise."""
        return sum(bool(result.wrong) for result in self.results)

    @property
    def coverage(self) -> float:
        """The share of rules that decided a case, 0 to 1."""
        return 1 - len(self.untouched) / self.rules if self.rules else 1.0


def decode(data: Any) -> tuple[Case, ...]:
    """Cases from what a file holds: `cases:` and a list. Raises msgspec.ValidationError with the path."""
    return msgspec.convert(data, CaseFile).cases


class CaseFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a case file holds."""

    cases: tuple[Case, ...]


def run_cases(access: Access, cases: Iterable[Case]) -> Report:
    """Ask every case. Nothing is called, recorded or changed."""
    results = []
    touched: set[Rule] = set()
    for case in cases:
        answer = access.answer(case.principal.principal(), case.action, case.resource)
        touched |= {answer.rule} if answer.rule else set()
        rule = str(answer.rule or "")
        results.append(Result(case, "; ".join(_differences(case, answer.allowed, answer.code, rule)), rule))
    grants = [rule for rule in access.policy.rules if rule.ptype == "p"]
    untouched = tuple((str(rule), access.policy.where(rule)) for rule in grants if rule not in touched)
    return Report(tuple(results), untouched, len(grants))


def _differences(case: Case, allowed: bool, code: str, rule: str) -> Iterator[str]:
    if allowed is not (case.verdict == "allow"):
        yield f"{'allow' if allowed else 'deny'} ({code}), not {case.verdict}"
    if case.reason and case.reason != code:
        yield f"because of {code}, not {case.reason}"
    if case.rule and _plain(case.rule) != _plain(rule):
        yield f"decided by {rule or 'no rule'}, not {case.rule}"


def _plain(rule: str) -> str:
    return rule.replace(" ", "")
