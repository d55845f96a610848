"""Rules that a Casbin adapter brings, in the place of those in the policy's file.

Invariants:
* What an adapter brings is checked as a file is; a rule of a kind that the model does not define is refused,
  where Casbin would skip it without a word.
* An adapter raises what it likes, with its data in it: only the exception's type is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aigov.access.engine import lines_of
from aigov.access.load import Policy, checked
from aigov.access.model import Model
from aigov.access.sources import MAX_POLICY_BYTES, Text
from aigov.errors import Location, PolicyError, Problem

NAME = "adapter"
Rows = tuple[tuple[str, ...], ...]


def rows_of(adapter: Any, model: Model) -> Rows:
    """The rules that an adapter loads, each with its kind first, in its order. Raises PolicyError."""
    problem = ""
    rows: Rows = ()
    try:
        rows = tuple(map(tuple, lines_of(model, adapter)))
    except Exception as error:  # noqa: BLE001 - an adapter raises what it likes, its data in it; only the type is told
        problem = f"the adapter failed with {type(error).__name__}"
    if not problem and sum(len(field) + 1 for row in rows for field in row) > MAX_POLICY_BYTES:
        problem = f"the adapter brought more than {MAX_POLICY_BYTES} characters"
    if problem:
        raise PolicyError(Problem(Location(NAME), problem, "nothing was changed"))
    return rows


def with_rows(policy: Policy, rows: Sequence[Sequence[str]]) -> Policy:
    """The same model with other rules, numbered from 1 as lines of `adapter`. Raises PolicyError."""
    text = Text(NAME, NAME, tuple(", ".join(map(_quoted, row)) for row in rows))
    unprintable = [
        Problem(text.at(number), "a field holds what no line of a file can hold", "take it out")
        for number, row in enumerate(rows, 1)
        if not all(field.isprintable() and field == field.strip() for field in row)
    ]
    if unprintable:
        raise PolicyError(unprintable[:50])
    return checked(policy.model, text, policy.request, policy.described)


def _quoted(field: str) -> str:
    return '"' + field.replace('"', '""') + '"'
