"""Which engine decides: the compiled one where the model is understood, else Casbin itself, and why."""

from __future__ import annotations

from typing import NamedTuple

from aigov.access.compiled import Compiled
from aigov.access.compiling import compiled
from aigov.access.engine import Pycasbin
from aigov.access.load import Policy
from aigov.access.terms import Unsupported

COMPILED, PYCASBIN = "compiled", "pycasbin"


class Choice(NamedTuple):
    """An engine, its name, and the reason in words (of the model's grammar, never its text)."""

    engine: Compiled | Pycasbin
    name: str
    why: str


def choose(policy: Policy) -> Choice:
    """The compiled engine or, where something in the policy is not certain, Casbin itself."""
    try:
        return Choice(compiled(policy), COMPILED, "every part of the model is understood")
    except Unsupported as error:
        why = str(error)
    return Choice(Pycasbin(policy.model, policy.rules, linear=True), PYCASBIN, f"not compiled: {why}")
