"""Going on with a call that waited for a person: found by name, claimed once, carried out once.

Invariants:
* A ticket is claimed only when the function that it names is registered here, exactly once, and takes the
  arguments that were kept; and when whoever asked may still do what they asked for.
* The path is walked again in full, as the action on the resource that the ticket names: what the policy asks
  now is asked. An approval covers the reasons that the reviewer saw, and no others.
* An approved answer is released without calling again.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Mapping
from types import MappingProxyType
from typing import Any

from aigov.calls import Guarded
from aigov.errors import Denied, ReviewError
from aigov.review.cases import Claim
from aigov.review.desk import Desk
from aigov.review.values import pack, unpack
from aigov.types import Decision, Principal, Verdict

__all__ = ["Functions", "claim", "content", "pack"]


class Functions:
    """The guarded functions of one governor, by `module:qualname`."""

    def __init__(self) -> None:
        self._known: dict[str, Guarded | None] = {}
        self._lock = threading.Lock()

    def register(self, guarded: Guarded) -> None:
        """Remember a function. Two different ones under one name (closures) are not to be told apart."""
        with self._lock:
            known = self._known.get(guarded.name, guarded)
            same = known is not None and known.is_of(guarded.fn)
            self._known[guarded.name] = guarded if same and guarded.resumable else None

    def find(self, name: str) -> Guarded:
        """The one function of this name. Raises ReviewError `review.not_resumable`."""
        with self._lock:
            guarded = self._known.get(name)
        if guarded is None:
            raise ReviewError("review.not_resumable", "the function is not registered here under that name")
        return guarded

    def shaped(self, name: str, answer: Any) -> Any:
        """An answer as the function would have given it: awaitable, or chunk by chunk."""
        guarded = self._known.get(name)
        return _SHAPES[guarded.shape](answer) if guarded is not None else answer


async def _later(answer: Any) -> Any:
    return answer


async def _async_chunks(answer: Any) -> AsyncIterator[Any]:
    for chunk in answer:
        yield chunk


_SHAPES: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {"plain": lambda answer: answer, "coroutine": _later, "generator": iter, "async_generator": _async_chunks}
)


Permits = Callable[[Principal, str, str], Decision]


def claim(
    desk: Desk, ticket: str, functions: Functions, acting: Principal | None, permits: Permits
) -> tuple[Claim, Guarded | None]:
    """Take an approved ticket; the function to call, or None where an answer waits.

    Raises ReviewError; Denied, without a record, where whoever asked may not do so any more.
    """
    status = desk.status(ticket)
    if acting is not None and acting.chain != status.requester.chain:
        raise ReviewError("review.not_requester", "somebody else is acting")
    found: Guarded | None = None
    if status.state == "approved":
        found = functions.find(status.function) if status.direction == "input" else None
        decision = permits(status.requester, status.action, status.resource)
        if decision.verdict is Verdict.DENY:
            raise Denied(decision)
    claimed = desk.claim(ticket, fits=found.fits if found is not None else _whatever)
    desk.finish(ticket)
    return claimed, found


def _whatever(answer: Any) -> bool:
    return True


def content(claimed: Claim) -> Any:
    """What the ticket kept: arguments by name, or an answer. Raises ReviewError."""
    return unpack(claimed.case.content)
