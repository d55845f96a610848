"""What the record keeps of an access decision: the line that decided, the roles that led there, the nearest miss.

Invariants:
* It says why a ruling is what it is and decides nothing; where it cannot say, it is silent, and never raises.
* No value of the call and no id is in it: lines of the policy, names of roles and of the model's fields.
* It costs a bounded time: of a policy's rules it looks at the few about who asks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from aigov.access import asking, explain
from aigov.access.compiled import Compiled
from aigov.access.guard import BREAK_GLASS, DENIED, ON_BEHALF_DENIED, TENANT_MISSING, Access
from aigov.access.load import place
from aigov.access.rules import Rule
from aigov.access.settings import SUBJECT, TENANT
from aigov.types import Principal, Ruling

MAX_RULES = 256
NEAREST = frozenset({DENIED, ON_BEHALF_DENIED, TENANT_MISSING})


class Grounds(NamedTuple):
    """Why. `path`: the roles from who asks to whom the rule names; `near`: a line, and which fields kept it away.

    `break_glass`: the reason that was stated for emergency rights, which end at `until` (seconds since 1970).
    """

    rule: str = ""
    path: tuple[str, ...] = ()
    near: str = ""
    break_glass: str = ""
    until: int = 0


class Explainer:
    """Gives the grounds of one policy's rulings; what it looks up is gathered when it is first needed."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._about: dict[tuple[str, str], list[Rule]] = {}

    def __call__(self, principal: Principal, action: str, resource: str, rulings: Iterable[Ruling]) -> Grounds | None:
        """The grounds of the ruling that access made of this question; None where it made none."""
        try:
            mine = [ruling for ruling in rulings if ruling.reason.code.startswith("access.")]
            return self._grounds(principal, action, resource, mine) if mine else None
        except Exception:  # noqa: BLE001 - the ruling stands, whether or not it can be explained
            return None

    def _grounds(self, principal: Principal, action: str, resource: str, mine: Sequence[Ruling]) -> Grounds:
        reason = mine[0].reason
        stated, until = "", 0
        if reason.code == BREAK_GLASS:
            stated = mine[-1].reason.rule.partition(" ")[0]
            since: Any = principal.attributes["break_glass_at"]
            until = int(since) + self._access.settings.break_glass.minutes * 60
        rule = self._rule(reason.rule)
        if rule is None:
            near = self._near(principal, action, resource) if reason.code in NEAREST else ""
            return Grounds(near=near)
        subjects = self._asked(principal, action, resource)
        if stated:
            fields, role = self._access.policy.request, self._access.settings.break_glass.role
            subjects = (asking.instead(request, fields, role) for request in subjects)
        paths = (self._path(principal, rule, request) for request in subjects)
        return Grounds(reason.rule, next(filter(None, paths), ()), "", stated, until)

    def _asked(self, principal: Principal, action: str, resource: str) -> Iterator[asking.Request]:
        for each in asking.chain(principal):
            yield from self._access.requests(each, action, resource)

    def _path(self, principal: Principal, rule: Rule, request: asking.Request) -> tuple[str, ...]:
        """The roles on the way to a rule, ids left out."""
        engine = self._access.choice.engine
        if not isinstance(engine, Compiled):
            return ()
        path = explain.path(engine, rule, request)
        return tuple(name for at, name in enumerate(path) if at or self._access.is_role(name, principal))

    def _near(self, principal: Principal, action: str, resource: str) -> str:
        """The line that came nearest, and the names of the fields that differ."""
        access = self._access
        engine, policy = access.choice.engine, access.policy
        if not isinstance(engine, Compiled):
            return ""
        for request in self._asked(principal, action, resource):
            if engine.decide(request).allowed:
                continue
            miss = explain.nearest(engine, policy, request, self._rules_about(engine, request))
            if miss is not None:
                differs = ",".join(dict.fromkeys(each.field for each in miss.differs))
                return f"{policy.name}:{miss.where.line} {differs}".strip()
        return ""

    def _rules_about(self, engine: Compiled, request: asking.Request) -> list[Rule]:
        """Some rules, of the tenant at hand or of every one, that name who asks or a role that they have there."""
        policy = self._access.policy
        who, where = place(policy, SUBJECT), place(policy, TENANT)
        if who < 0:
            return [rule for rule in policy.rules if rule.ptype == "p"][:MAX_RULES]
        if not self._about:
            about: dict[tuple[str, str], list[Rule]] = {}
            for rule in policy.rules:
                if rule.ptype == "p":
                    key = rule.fields[who], rule.fields[where] if where >= 0 else ""
                    about.setdefault(key, []).append(rule)
            self._about = about
        given = dict(zip(policy.request, request, strict=True))
        subject, tenant = str(given[SUBJECT]), str(given.get(TENANT, ""))
        names = {subject}.union(*(graph.reach(subject, tenant) for graph in engine.graphs.values()))
        keys = [(name, held) for name in sorted(names) for held in ((tenant, "*") if where >= 0 else ("",))]
        return [rule for key in keys for rule in self._about.get(key, ())[:MAX_RULES]][:MAX_RULES]

    def _rule(self, where: str) -> Rule | None:
        """The rule of a ruling, by its line; None where none decided."""
        line = where.rpartition(":")[2]
        if not line.isdigit():
            return None
        rules = self._access.policy.rules  # in the order of their lines
        at = bisect_left(rules, int(line), key=lambda rule: rule.line)
        return rules[at] if at < len(rules) and rules[at].line == int(line) else None
