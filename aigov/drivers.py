"""Answering what a path asks for: once for plain calls, once for asyncio. No rule lives here.

A path (`flow.govern`) yields effects. A driver carries each one out and sends back the answer; when the
path ends, `settle` returns the answer or raises, outside of any handler, so that no exception carries
another one's text.

Cancelling an asyncio call stops the provider at once; the records still under way are waited for, so
that the log tells of every call that was made.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from typing import Any

import msgspec

from aigov.audit.log import Receipt
from aigov.errors import GuardFault
from aigov.passage import (
    Answered,
    Ask,
    Call,
    Content,
    Ending,
    Failure,
    OpenTicket,
    Record,
    Refusal,
    Release,
    Sealed,
)
from aigov.plugins import Contribution
from aigov.review.desk import Case

Path = Generator[Any, Any, Any]


class Doors(msgspec.Struct, frozen=True, kw_only=True):
    """Where effects go: `record` and `arecord` to the log, `open_ticket` to the review desk.

    Each answers None where the record or the case was not kept.
    """

    record: Callable[[Any, Content | None], Receipt | None]
    arecord: Callable[[Any, Content | None], Coroutine[Any, Any, Receipt | None]]
    open_ticket: Callable[[Case], str | None]


def run(path: Path, doors: Doors, provider: Callable[[Sealed], Answered] | None = None) -> Any:
    """Take a path to its end and return what it came to."""
    return _advance(path, None, doors, provider)


def settle(ending: Ending) -> Any:
    """The released answer; or raises the refusal, or the provider's own exception."""
    if isinstance(ending, Refusal):
        raise ending.error
    if isinstance(ending, Failure):
        raise ending.error
    return ending.value


def stream(path: Path, doors: Doors, provider: Callable[[Sealed], Answered]) -> Generator[Any, None, None]:
    """The same for a stream: yields the released chunks, and tells the path how many were taken."""
    step = _advance(path, None, doors, provider)
    if isinstance(step, Release):
        taken = 0
        try:
            for chunk in step.chunks:
                taken += 1
                yield chunk
        finally:
            step = _advance(path, taken, doors, provider)
    settle(step)


async def run_async(path: Path, doors: Doors, provider: Callable[[Sealed], Awaitable[Answered]]) -> Any:
    """`run` for asyncio."""
    return await _Async(path, doors, provider).advance(None)


async def stream_async(
    path: Path, doors: Doors, provider: Callable[[Sealed], Awaitable[Answered]]
) -> AsyncGenerator[Any, None]:
    """`stream` for asyncio."""
    driver = _Async(path, doors, provider)
    step = await driver.advance(None)
    if isinstance(step, Release):
        taken = 0
        try:
            for chunk in step.chunks:
                taken += 1
                yield chunk
        finally:
            step = await driver.advance(taken)
    settle(step)


def _advance(path: Path, reply: Any, doors: Doors, provider: Callable[[Sealed], Answered] | None) -> Any:
    """Carry out effects until the path ends or wants chunks released."""
    while True:
        try:
            effect = path.send(reply)
        except StopIteration as ended:
            return ended.value
        if isinstance(effect, Release):
            return effect
        reply = _carry_out(effect, doors, provider)


def _carry_out(effect: Any, doors: Doors, provider: Callable[[Sealed], Answered] | None) -> Any:
    if isinstance(effect, Record):
        return doors.record(effect.record, effect.content)
    if isinstance(effect, Ask):
        return [_answer(one, question) for one, question in effect.questions]
    if isinstance(effect, OpenTicket):
        return doors.open_ticket(effect.case)
    assert isinstance(effect, Call)
    assert provider is not None
    return provider(effect.sealed)


def _answer(contribution: Contribution, question: tuple[Any, ...]) -> tuple[Any, ...] | GuardFault:
    try:
        return contribution(*question)
    except GuardFault as fault:
        return fault


class _Async:
    """One path on an event loop. A cancellation is remembered until the path has ended."""

    def __init__(self, path: Path, doors: Doors, provider: Callable[[Sealed], Awaitable[Answered]]) -> None:
        self._path = path
        self._doors = doors
        self._provider = provider
        self._cancelled: asyncio.CancelledError | None = None

    async def advance(self, reply: Any) -> Any:
        """Carry out effects until the path ends or wants chunks released."""
        while True:
            try:
                effect = self._path.send(reply)
            except StopIteration as ended:
                step = ended.value
                break
            if isinstance(effect, Release):
                step = effect
                break
            reply = await self._carry_out(effect)
        if self._cancelled is not None and not isinstance(step, Release):
            raise self._cancelled
        return step

    async def _carry_out(self, effect: Any) -> Any:
        if isinstance(effect, Record):
            return await self._finish(asyncio.ensure_future(self._doors.arecord(effect.record, effect.content)))
        if isinstance(effect, Ask):
            return [await self._ask(one, question) for one, question in effect.questions]
        if isinstance(effect, OpenTicket):
            kept = asyncio.get_running_loop().run_in_executor(None, self._doors.open_ticket, effect.case)
            return await self._finish(kept)
        assert isinstance(effect, Call)
        if self._cancelled is not None:
            return Answered(error=self._cancelled, cancelled=True)
        answered = await self._provider(effect.sealed)
        if isinstance(answered.error, asyncio.CancelledError):
            self._cancelled = answered.error
            return msgspec.structs.replace(answered, cancelled=True)
        return answered

    async def _ask(self, contribution: Contribution, question: tuple[Any, ...]) -> Any:
        """A plugin answers in a thread of its own, within its limit; a fault of it is its answer."""
        asking = asyncio.wrap_future(contribution.submit(*question))
        try:
            return await self._finish(asking)
        except GuardFault as fault:
            return fault

    async def _finish(self, future: asyncio.Future[Any]) -> Any:
        """Wait for `future` even when the call is cancelled meanwhile."""
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError as cancelled:
                self._cancelled = cancelled
        return future.result()
