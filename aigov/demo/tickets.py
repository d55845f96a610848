"""Forty support tickets, written for this project: every name, number and address in them is invented."""

from __future__ import annotations

from importlib import resources
from typing import Literal

import msgspec

By = Literal["contractor", "agent", "lead"]


class Ticket(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ticket. `by`: who handles it. `amount` and `order`: the refund that it asks for, where it does.

    `names`: the people and postal addresses in the text, which take a model to find.
    """

    id: str
    channel: str
    topic: str
    by: By
    text: str
    amount: float = 0.0
    order: str = ""
    names: tuple[str, ...] = ()


def tickets() -> tuple[Ticket, ...]:
    """All forty, in their order."""
    lines = resources.files(__package__).joinpath("tickets.jsonl").read_text(encoding="utf-8").splitlines()
    return tuple(msgspec.json.decode(line, type=Ticket) for line in lines)
