"""Decisions from an index: Casbin's answers without walking every rule.

Invariants:
* A compiled policy never changes but for its memory of answers; adding or removing a rule gives another
  one. Readers take no lock, and a decision is taken on one of them whole.
* Rules are tried in Casbin's order (the file's, or by priority), and the effects of those that match are
  combined as Casbin combines them, so that the same rule decides.
* Answers are kept for small requests only, and a bounded number of them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from aigov.access.engine import Outcome
from aigov.access.index import Entry, Index, Order
from aigov.access.load import DENY_OVERRIDE
from aigov.access.roles import Graph
from aigov.access.rules import Rule
from aigov.access.terms import LIST, NUMBER, TEXT, Terms, Test, Unsupported

MAX_ANSWERS = 16_384
MAX_ANSWER_CHARS = 512
Entries = dict[tuple[str, ...], tuple[Entry, ...]]


class Mistyped(TypeError):
    """A request of another size, or whose attribute is no number, or no text, where the matcher needs one."""


class Shape(NamedTuple):
    """What stays when rules come and go: which sections decide, the matcher, and how effects combine.

    `priority`: the place of the rule's priority, -1 without. `eft`: of its effect, likewise.
    """

    ptype: str
    tree: ast.expr
    terms: Terms
    effect: str
    size: int
    priority: int
    eft: int
    ordered_by_role: bool

    def entry(self, rule: Rule, level: int, turn: int) -> Entry:
        """A rule as the index holds it. Raises Unsupported for a priority that is no number."""
        effect = rule.fields[self.eft] if self.eft >= 0 else "allow"
        priority = rule.fields[self.priority] if self.priority >= 0 else "0"
        if not (priority.isascii() and priority.isdigit()):
            raise Unsupported("a priority that is no whole number")
        return Entry((int(priority), level, turn), effect, rule.fields, rule)


class Compiled:
    """A policy ready to decide."""

    __slots__ = ("_answers", "_turn", "entries", "graphs", "indices", "shape")

    def __init__(
        self, shape: Shape, indices: Sequence[Index], entries: Entries, graphs: Mapping[str, Graph], turn: int
    ) -> None:
        self.shape = shape
        self.indices = tuple(indices)
        self.entries = entries
        self.graphs = graphs
        self._turn = turn
        self._answers: dict[tuple[Any, ...], Outcome] = {}

    def decide(self, request: tuple[Any, ...]) -> Outcome:
        """Casbin's answer to one request, its values in the order of the model's `r`. Raises Mistyped."""
        found = self._answers.get(request)
        if found is None:
            self._check(request)
            found = self._combined(self.matching(request))
            if sum(len(value) for value in request if isinstance(value, str)) <= MAX_ANSWER_CHARS:
                if len(self._answers) >= MAX_ANSWERS:
                    self._answers.clear()
                self._answers[request] = found
        return found

    def matching(self, request: tuple[Any, ...]) -> Iterator[Entry]:
        """The rules that the matcher is true for, in Casbin's order, each once."""
        found: list[tuple[Order, Entry, tuple[Test, ...]]] = []
        graphs = self.graphs
        for index in self.indices:
            tests = index.branch.tests
            found.extend((entry.order, entry, tests) for entry in index.candidates(request, graphs))
        if len(found) > 1:
            found.sort(key=_order)
        last: Order | None = None
        for order, entry, tests in found:
            if order != last and all(test(request, entry.fields, graphs) for test in tests):
                last = order
                yield entry

    def with_rule(self, rule: Rule) -> Compiled:
        """The policy with one rule more, behind all others. Raises Unsupported where all must be built anew."""
        graphs, indices, entries = self.graphs, list(self.indices), self.entries
        if rule.ptype in graphs:
            self._movable()
            graphs = {**graphs, rule.ptype: graphs[rule.ptype].changed(rule.fields, 1)}
        elif rule.ptype == self.shape.ptype:
            self.shape.terms.prepare(self.shape.tree, [rule.fields])
            self._movable()
            entry = self.shape.entry(rule, 0, self._turn)
            indices = [index.with_entry(entry) for index in indices]
            entries = {**entries, rule.fields: (*entries.get(rule.fields, ()), entry)}
        return Compiled(self.shape, indices, entries, graphs, self._turn + 1)

    def without_rule(self, rule: Rule) -> Compiled:
        """The policy with one rule less: the first of those that say the same. Raises KeyError, Unsupported."""
        graphs, indices, entries = self.graphs, list(self.indices), self.entries
        if rule.ptype in graphs:
            self._movable()
            graphs = {**graphs, rule.ptype: graphs[rule.ptype].changed(rule.fields, -1)}
        elif rule.ptype == self.shape.ptype:
            entry, *others = entries[rule.fields]
            indices = [index.without_entry(entry) for index in indices]
            entries = {**entries, rule.fields: tuple(others)}
            if not others:
                del entries[rule.fields]
            if not entries:
                raise Unsupported("no rule is left")
        return Compiled(self.shape, indices, entries, graphs, self._turn)

    def _movable(self) -> None:
        """Where the role graph orders the rules, one line can move them all."""
        if self.shape.ordered_by_role:
            raise Unsupported("an order by the role graph")

    def _check(self, request: tuple[Any, ...]) -> None:
        if len(request) != self.shape.size:
            raise Mistyped("the request has another size")
        for place, kind in self.shape.terms.needs.items():
            if not isinstance(request[place], _TYPES[kind]):
                raise Mistyped("an attribute has another type than the matcher needs")

    def _combined(self, matching: Iterator[Entry]) -> Outcome:
        """One answer from the rules that match, with the rule that Casbin would name."""
        allowed, last = False, None
        decisive = _DECISIVE.get(self.shape.effect, ("allow", "deny"))
        for entry in matching:
            last = entry.rule
            allowed = allowed or entry.effect == "allow"
            if entry.effect in decisive:
                return Outcome(entry.effect == "allow", last)
        return Outcome(allowed, last)


_TYPES: Mapping[str, Any] = MappingProxyType({NUMBER: int | float, TEXT: str, LIST: tuple})
# The effect that ends Casbin's walk; by priority, the first rule with either does.
_DECISIVE = {"some(where (p_eft == allow))": ("allow",), DENY_OVERRIDE: ("deny",)}


def _order(found: tuple[Order, Entry, tuple[Test, ...]]) -> Order:
    return found[0]
