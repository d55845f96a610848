"""The guard of step 2: one ruling on whether a principal may do an action on a resource.

Invariants:
* There is always a ruling, and only a rule that says so makes it ALLOW.
* A deny for any subject (the id, a trusted role) wins over an allow for another.
* Emergency rights are taken only where no rule decided, by whom a rule lets take them; a denial stands.
* Who acts on behalf of somebody gets what both may do, however long the chain.
* A fault of the engine is DENY `guard.fault`; nothing of the request is in it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from aigov.access import asking, resources
from aigov.access.adapters import with_rows
from aigov.access.asking import Unaskable
from aigov.access.choice import Choice, choose
from aigov.access.compiled import Mistyped
from aigov.access.engine import Outcome
from aigov.access.load import Policy, load, role_names
from aigov.access.resources import Described, Resources
from aigov.access.rules import Rule
from aigov.access.settings import TENANT, AccessSettings
from aigov.errors import PolicyError, Problem
from aigov.hookspecs import Context, hookimpl
from aigov.types import Principal, Reason, Ruling, Section, Verdict

ALLOWED = "access.allowed"
DENIED = "access.denied"
TENANT_MISSING = "access.tenant_missing"
ON_BEHALF_DENIED = "access.on_behalf_denied"
BREAK_GLASS = "access.break_glass"
FAULT = "guard.fault"
REASON = re.compile(r"[a-z0-9_]{1,64}")
REASONS = (
    ALLOWED, DENIED, TENANT_MISSING, ON_BEHALF_DENIED, BREAK_GLASS, asking.MALFORMED, asking.AMBIGUOUS,
    asking.ATTRIBUTE_MISSING, asking.CHAIN_TOO_LONG, asking.BREAK_GLASS_INVALID,
)  # fmt: skip


class Answer(NamedTuple):
    """What one principal may: the code, the rule that decided where there is one, the reason of an emergency."""

    allowed: bool
    code: str
    rule: Rule | None = None
    emergency: str = ""


class Access:
    """The started guard: one policy, its settings and the engine that decides."""

    def __init__(
        self,
        policy: Policy,
        settings: AccessSettings,
        layer: str = "",
        choice: Choice | None = None,
        now: Callable[[], float] = time.time,
        roles: frozenset[str] | None = None,
    ) -> None:
        self.policy = policy
        self.settings = settings
        self.layer = layer
        self._now = now
        self.choice = choice or choose(policy)
        self._engine = self.choice.engine
        self._roles = role_names(policy, settings) if roles is None else roles
        self._resources = Resources(settings.resources)

    def on(self, policy: Policy, choice: Choice, same_roles: bool = False) -> Access:
        """The same guard over another policy and its engine. `same_roles`: no role line is among what differs."""
        roles = self._roles if same_roles else None
        return Access(policy, self.settings, self.layer, choice, self._now, roles)

    @property
    def now(self) -> float:
        """The time that questions are asked at, in seconds since 1970."""
        return self._now()

    def describe(self, resource: str) -> Described:
        """What the policy says of a resource, by attribute; nothing of one that it does not describe."""
        return self._resources.of(resource)

    def is_role(self, name: str, principal: Principal) -> bool:
        """Whether a name is a role of the policy, or one that the principal asserts and the policy trusts."""
        return name in self._roles or (self.settings.trust_roles and name in principal.roles)

    def answer(self, principal: Principal, action: str, resource: str) -> Answer:
        """What the policy says for the principal and everybody it acts for. Never raises."""
        try:
            return self._answer(principal, action, resource)
        except Unaskable as error:
            return Answer(False, error.code)
        except Mistyped:
            return Answer(False, asking.MALFORMED)
        except Exception:  # noqa: BLE001 - a fault of the engine is a refusal, and its text could hold the request
            return Answer(False, FAULT)

    @hookimpl
    def aigov_permit(self, principal: Principal, action: str, resource: str) -> list[Ruling]:
        """One ruling, ALLOW or DENY, with the file and line of the rule that decided.

        Emergency rights come with a second one, in shadow, which stands in the record whatever else is decided.
        """
        found = self.answer(principal, action, resource)
        rule = f"{self.policy.name}:{found.rule.line}" if found.rule else ""
        reason = Reason(code=found.code, rule="access" if found.code == FAULT else rule, layer=self.layer)
        rulings = [Ruling(verdict=Verdict.ALLOW if found.allowed else Verdict.DENY, reason=reason)]
        if found.emergency:
            loud = Reason(code=BREAK_GLASS, rule=f"{found.emergency} {rule}", layer=self.layer)
            rulings.append(Ruling(verdict=Verdict.REVIEW, reason=loud, shadow=True))
        return rulings

    def requests(self, principal: Principal, action: str, resource: str) -> Iterator[asking.Request]:
        """What the engine is asked for one principal, a request a subject. Raises Unaskable."""
        return asking.requests(
            principal,
            action,
            resource,
            fields=self.policy.request,
            roles=self._roles,
            trust_roles=self.settings.trust_roles,
            now=self._now(),
            described=self._resources.of(resource) if isinstance(resource, str) else {},
        )

    def _answer(self, principal: Principal, action: str, resource: str) -> Answer:
        """The first refusal along the chain, or the principal's own permission."""
        answers = [self._one(each, action, resource) for each in asking.chain(principal)]
        if answers[0].allowed and not all(found.allowed for found in answers):
            refused = next(found for found in answers if not found.allowed)
            return Answer(False, ON_BEHALF_DENIED, refused.rule)
        return answers[0]

    def _one(self, principal: Principal, action: str, resource: str) -> Answer:
        """All subjects of one principal: a deny wins, then an allow, else nothing allows it."""
        emergency = asking.emergency(principal, self.settings.break_glass, self._now())
        asked = list(self.requests(principal, action, resource))
        found = self._any(asked)
        if emergency and found.rule is None and self._may_break_glass(principal, resource):
            broken = self._any([asking.instead(asked[0], self.policy.request, self.settings.break_glass.role)])
            found = Answer(True, BREAK_GLASS, broken.rule, emergency) if broken.allowed else broken
        if found.code == DENIED and found.rule is None and not principal.tenant and TENANT in self.policy.request:
            return Answer(False, TENANT_MISSING)
        return found

    def _any(self, asked: Sequence[asking.Request]) -> Answer:
        """One answer from several subjects' own."""
        outcomes = [self._engine.decide(request) for request in asked]
        for found in outcomes:
            if not found.allowed and self._forbids(found):
                return Answer(False, DENIED, found.rule)
        for found in outcomes:
            if found.allowed:
                return Answer(True, ALLOWED, found.rule)
        return Answer(False, DENIED)

    def _may_break_glass(self, principal: Principal, resource: str) -> bool:
        """Whether the policy lets the principal take emergency rights over a resource."""
        return self._any(list(self.requests(principal, self.settings.break_glass.action, resource))).allowed

    def _forbids(self, found: Outcome) -> bool:
        """Whether a rule says no, rather than none saying yes."""
        return found.rule is not None and self.policy.effect_of(found.rule) == "deny"


class AccessPlugin:
    """The factory that the governor registers."""

    @hookimpl
    def aigov_settings(self) -> type[msgspec.Struct]:
        """`access`: see AccessSettings."""
        return AccessSettings

    @hookimpl
    def aigov_reasons(self) -> Iterable[str]:
        """Every code that a ruling of this guard may carry, `guard.fault` aside."""
        return REASONS

    @hookimpl
    def aigov_start(self, settings: Section, context: Context) -> Access:
        """Read and check the files, build the engine. Raises PolicyError with every problem."""
        problems = [*filter(None, [_emergency_problem(settings)]), *_resource_problems(settings)]
        if problems:
            raise PolicyError(problems)
        policy = load(context.folder, settings.value)
        if context.access_rules is not None:
            policy = with_rows(policy, context.access_rules)
        started = _started(policy, settings)
        if started is None:
            raise PolicyError(
                settings.problem("model", what="Casbin cannot take this model", fix="simplify its matcher")
            )
        return started


def _resource_problems(settings: Section) -> Iterator[Problem]:
    """What is wrong with the descriptions of resources, each at its place."""
    for wrong in resources.problems(settings.value.resources):
        path = ("resources", wrong.key, *filter(None, [wrong.attribute]))
        what = f"`{(wrong.attribute or wrong.key)[:80]}` {wrong.what}" if wrong.attribute else wrong.what
        yield settings.problem(*path, what=what, fix=wrong.fix)


def _emergency_problem(settings: Section) -> Problem | None:
    """What is wrong with the settings for emergencies, or None."""
    found = settings.value.break_glass
    if found.role and not found.reasons:
        fix = "list the codes that may be stated: `reasons: [life_at_risk]`"
        return settings.problem("break_glass", what="emergency rights without a reason to state", fix=fix)
    wrong = next((at for at, code in enumerate(found.reasons) if not REASON.fullmatch(code)), None)
    if wrong is None:
        return None
    what = "a reason for the record is 1 to 64 of a-z, 0-9 and _"
    return settings.problem("break_glass", "reasons", wrong, what=what, fix="write `life_at_risk`")


def _started(policy: Policy, settings: Section) -> Access | None:
    """The guard, or None where Casbin itself refuses what passed every check here."""
    try:
        return Access(policy, settings.value, settings.layer)
    except ImportError:
        raise
    except Exception:  # noqa: BLE001 - Casbin raises bare exceptions; the refusal is raised outside of the handler
        return None


def read(folder: Path, settings: AccessSettings) -> Access:
    """The guard over the files of a policy folder, for commands and tests. Raises PolicyError."""
    return Access(load(folder, settings), settings)


plugin = AccessPlugin()
