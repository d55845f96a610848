"""An access policy that changes while it is asked: whole snapshots, swapped; never a mixture.

Invariants:
* Every question is answered by one snapshot, read once; readers take no lock.
* A change that the loader would refuse changes nothing: the last good policy stays in force, and the
  refusal is raised to whoever asked for the change.
* Changes are made one after another, each on the outcome of the one before.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from aigov.access.adapters import rows_of, with_rows
from aigov.access.choice import Choice, choose
from aigov.access.compiled import Compiled
from aigov.access.compiling import graphs
from aigov.access.guard import Access, Answer
from aigov.access.hierarchy import role_problem
from aigov.access.load import Policy, with_rule
from aigov.access.roles import Graph
from aigov.access.rules import Rule
from aigov.access.terms import Unsupported
from aigov.errors import Location, PolicyError, Problem
from aigov.types import Principal


class Live:
    """The access policy in force, and how it is changed. Give `add` and `remove` a rule's kind and fields."""

    def __init__(self, access: Access) -> None:
        self._held = access
        self._lock = threading.Lock()

    @property
    def current(self) -> Access:
        """The snapshot in force; ask it as often as one answer needs."""
        return self._held

    def answer(self, principal: Principal, action: str, resource: str) -> Answer:
        """What the policy in force says."""
        return self._held.answer(principal, action, resource)

    def add(self, ptype: str, *fields: str) -> None:
        """One rule more, behind all others. Raises PolicyError, and then nothing has changed."""
        with self._lock:
            held = self._held
            rule = Rule(ptype, fields, held.policy.rules[-1].line + 1)
            policy = with_rule(held.policy, rule)
            if ptype in (known := _graphs(held)):
                graph = known[ptype].changed(fields, 1).tenant(fields[2] if len(fields) > 2 else "")
                _refuse(role_problem(graph.above, fields[0]), policy, rule.line)
            changed = _changed(held.choice, policy, lambda engine: engine.with_rule(rule))
            self._held = held.on(policy, changed, same_roles=ptype[0] == "p")

    def remove(self, ptype: str, *fields: str) -> None:
        """One rule less: the first that says so. Raises PolicyError where none does, or no grant would be left."""
        with self._lock:
            held = self._held
            rules = held.policy.rules
            rule = _found(held, ptype, fields)
            if rule is None:
                raise PolicyError(Problem(Location(held.policy.file), "no such rule is there", "write it as it stands"))
            at = bisect_left(rules, rule.line, key=_line)
            left = rules[:at] + rules[at + 1 :]
            if not any(each.ptype[0] == "p" for each in left):
                _refuse("no grant would be left", held.policy, rule.line)
            policy = msgspec.structs.replace(held.policy, rules=left)
            changed = _changed(held.choice, policy, lambda engine: engine.without_rule(rule))
            self._held = held.on(policy, changed, same_roles=ptype[0] == "p")

    def follow(self, adapter: Any) -> None:
        """Take all rules from a Casbin adapter now; a watcher's callback may be `lambda *_: live.follow(adapter)`.

        Raises PolicyError, and then nothing has changed.
        """
        with self._lock:
            held = self._held.policy
            policy = with_rows(held, rows_of(adapter, held.model))
            self._held = self._held.on(policy, choose(policy))


def _found(access: Access, ptype: str, fields: tuple[str, ...]) -> Rule | None:
    """The first rule that says so."""
    engine = access.choice.engine
    if isinstance(engine, Compiled) and ptype == engine.shape.ptype:
        entries = engine.entries.get(fields)
        return entries[0].rule if entries else None
    return next((each for each in access.policy.rules if each.fields == fields and each.ptype == ptype), None)


def _line(rule: Rule) -> int:
    return rule.line


def _graphs(access: Access) -> Mapping[str, Graph]:
    """The role graphs in force."""
    engine = access.choice.engine
    return engine.graphs if isinstance(engine, Compiled) else graphs(access.policy.model, access.policy.rules)


def _changed(choice: Choice, policy: Policy, quick: Callable[[Compiled], Compiled]) -> Choice:
    """The engine of a changed policy: from the one before where that is possible, else anew."""
    if isinstance(choice.engine, Compiled):
        try:
            return choice._replace(engine=quick(choice.engine))
        except Unsupported:
            pass
    return choose(policy)


def _refuse(what: str, policy: Policy, line: int) -> None:
    if what:
        raise PolicyError(Problem(Location(policy.file, line, 1 if line else 0), what, "nothing was changed"))
