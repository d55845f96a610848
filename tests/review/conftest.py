"""A desk with a clock that a test moves, the people around it, and an intruder with the file but no key."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aigov.errors import ReviewError
from aigov.review.cases import Case
from aigov.review.desk import Desk
from aigov.review.values import pack
from aigov.types import Part, Principal, Reason

CANARY = "canary-4111-jane"


class Kit:
    """What the tests of this room share; `now` is the clock, in seconds since 1970."""

    key = b"k" * 32
    expires_s = 100
    canary = CANARY
    dana = Principal(id="dana", roles=("agent",), tenant="retail", attributes={"level": 2, "team": "east"})
    rita = Principal(id="rita", roles=("reviewer",), tenant="retail")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = 1_700_000_000.0

    def desk(self, **more: Any) -> Desk:
        given = {"key": self.key, "expires_s": self.expires_s, "clock": lambda: self.now}
        return Desk(self.path, **{**given, **more})

    def case(self, direction: str = "output", content: Any = CANARY, **more: Any) -> Case:
        given = {
            "direction": direction,
            "call": "call-1",
            "function": "shop.desk:refund",
            "action": "tool:refund",
            "resource": "tool:refund",
            "requester": self.dana,
            "reasons": (Reason(code="review.low_confidence", rule="min_confidence", layer="organisation"),),
            "policy_digest": "d" * 64,
            "session": "s-1",
            "content": pack(content),
            "shown": (Part(path="", text=CANARY, role="assistant"),),
        }
        return Case(**{**given, **more})

    @staticmethod
    def anyone(reviewer: Principal, action: str, resource: str) -> bool:
        return True

    def raw(self, query: str, *values: Any) -> list[Any]:
        """What somebody with write access to the file, and without the key, can do."""
        base = sqlite3.connect(self.path, isolation_level=None)
        try:
            return base.execute(query, values).fetchall()
        finally:
            base.close()

    @staticmethod
    def code(work: Callable[..., Any], *args: Any, **named: Any) -> str:
        """The code of the ReviewError that `work` raises, which has no context and holds no content."""
        with pytest.raises(ReviewError) as caught:
            work(*args, **named)
        assert caught.value.__context__ is None
        assert "canary" not in str(caught.value) + repr(caught.value)
        return caught.value.code


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(tmp_path / "review" / "tickets.db")


@pytest.fixture
def desk(kit: Kit) -> Desk:
    return kit.desk()
