"""pycasbin itself: the one door to `casbin`, imported late.

Invariants:
* It is given the definitions and rules that were read and checked here, never a path: what was checked
  is what decides.
* It logs nothing: a request's subject is personal, and Casbin logs refusals at WARNING.
* One decision at a time: a decision writes to its role graph (it keeps a node for every name it was
  ever asked about), so the graph is built anew now and then lest strangers' names fill the memory.
"""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from aigov.access.model import Model
from aigov.access.patterns import REGEX_FUNCTIONS, Match, compiled
from aigov.access.rules import Rule

REBUILD_AFTER = 500
MAX_KINDS = 10
DEFAULT_SECTIONS = ("r", "p", "e", "m")


class Outcome(NamedTuple):
    """An answer: allowed or not, and the rule that decided (None where no rule matched)."""

    allowed: bool
    rule: Rule | None


class Pycasbin:
    """Casbin's own enforcer over a checked model and its rules.

    `linear`: match regular expressions with ours, which give the same answers and cannot run away.
    """

    def __init__(
        self, model: Model, rules: Sequence[Rule], sections: Sequence[str] = DEFAULT_SECTIONS, linear: bool = False
    ) -> None:
        casbin = _casbin()
        self._rows = [(rule, list(rule.fields)) for rule in rules]
        self._rule_of = {id(row): rule for rule, row in self._rows}
        self._enforcer = casbin.Enforcer(_model(casbin, model), _adapter(casbin, self._rows))
        self._enforcer.logger = _silence()
        for name in sorted(REGEX_FUNCTIONS) if linear else ():
            self._enforcer.add_function(name, _matching(name))
        named = tuple(sections) != DEFAULT_SECTIONS
        context = (sections[0], sections[1], sections[2], sections[3])
        self._context: tuple[Any, ...] = (_context(casbin, context),) if named else ()
        self._lock = threading.Lock()
        self._asked = 0

    def decide(self, request: Sequence[Any]) -> Outcome:
        """Casbin's answer to one request, its values in the order of the model's `r`.

        Raises whatever pycasbin raises; the caller turns that into a refusal.
        """
        with self._lock:
            self._asked += 1
            if self._asked >= REBUILD_AFTER:
                self._enforcer.build_role_links()
                self._asked = 0
            allowed, row = self._enforcer.enforce_ex(*self._context, *request)
        return Outcome(bool(allowed), self._rule_of.get(id(row)))


def lines_of(model: Model, adapter: Any) -> list[list[str]]:
    """The rules that a Casbin adapter loads, each with its kind first. Raises what the adapter raises."""
    filled = _model(_casbin(), model)
    for letter in "pg":
        # Adapters skip rules of a kind that the model lacks; here they are seen, to be refused.
        for key in (letter, *(f"{letter}{number}" for number in range(2, MAX_KINDS))):
            if key not in model.definitions:
                filled.add_def(letter, key, "_, _")
    if inspect.iscoroutine(waiting := adapter.load_policy(filled)):
        waiting.close()
        raise TypeError("an asynchronous adapter")
    found = [(key, row) for letter in "pg" for key, held in filled.model[letter].items() for row in held.policy]
    return [[key, *map(str, row)] for key, row in found]


def _casbin() -> Any:
    import casbin

    return casbin


def _matching(name: str) -> Callable[[str, str], bool]:
    """One of Casbin's functions, with its patterns compiled once: they come from the policy, so they are few."""
    known: dict[str, Match] = {}

    def match(text: str, pattern: str) -> bool:
        found = known.get(pattern)
        if found is None:
            found = known[pattern] = compiled(name, pattern)
        return found(text)

    return match


def _context(casbin: Any, sections: tuple[str, str, str, str]) -> Any:
    return casbin.core_enforcer.EnforceContext(*sections)


def _model(casbin: Any, model: Model) -> Any:
    """Casbin's model object, filled in the order in which it reads a file."""
    filled = casbin.Model()
    for letter in "rpemg":
        for definition in model.section(letter):
            filled.add_def(letter, definition.key, definition.value)
    return filled


def _adapter(casbin: Any, rows: Sequence[tuple[Rule, list[str]]]) -> Any:
    """A Casbin adapter over rules that were already read."""

    class Rows(casbin.persist.Adapter):  # type: ignore[misc]
        def load_policy(self, model: Any) -> None:
            for rule, row in rows:
                model.model[rule.ptype[0]][rule.ptype].policy.append(row)

    return Rows()


def _silence() -> logging.Logger:
    logger = logging.Logger("aigov.access.silence", logging.CRITICAL)
    logger.disabled = True
    return logger
