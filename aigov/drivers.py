"""Answering what a path asks for: once for plain calls, once for asyncio. No rule lives here.

A path (`flow.govern`) yields effects. A driver carries each one out and sends back the answer; when the
path ends, `settle` returns the answer or raises, outside of any handler, so that no exception carries
another one's text.

Cancelling an asyncio call stops the provider at once; the records still under way are waited for, so
that the log tells of every call that was made. A stream that was cancelled before its release releases nothing.

A stream that its consumer forgot is closed by the garbage collector, in whatever thread that runs, the one
that writes the log among them. Nobody waits for a record there: it is made in a thread of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
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
    Meet,
    OpenTicket,
    Read,
    Record,
    Refusal,
    Released,
    Sealed,
    Streaming,
)
from aigov.plugins import Contribution
from aigov.review.desk import Case
from aigov.types import Principal

Path = Generator[Any, Any, Any]


class Doors(msgspec.Struct, frozen=True, kw_only=True):
    """Where effects go: `record` and `arecord` to the log, `open_ticket` to the review desk, `meet` to the people.

    Each answers None where the record or the case was not kept, `meet` False where somebody cannot be named.
    """

    record: Callable[[Any, Content | None], Receipt | None]
    arecord: Callable[[Any, Content | None], Coroutine[Any, Any, Receipt | None]]
    open_ticket: Callable[[Case], str | None]
    meet: Callable[[tuple[Principal, ...]], bool]


def run(path: Path, doors: Doors, provider: Callable[[Sealed], Answered] | None = None) -> Any:
    """Take a path to its end and return what it came to."""
    reply = None
    while True:
        try:
            effect = path.send(reply)
        except StopIteration as ended:
            return ended.value
        reply = _carry_out(effect, doors, provider)


def settle(ending: Ending | None) -> Any:
    """The released answer, None for none; or raises the refusal, or the provider's own exception."""
    if isinstance(ending, (Refusal, Failure)):
        raise ending.error
    return ending.value if isinstance(ending, Released) else None


def stream(path: Path, doors: Doors, provider: Callable[[Sealed], Answered]) -> Generator[Any, None, None]:
    """The same for a stream: yields the released chunks, and tells the log how many were taken."""
    ending = run(path, doors, provider)
    if isinstance(ending, Streaming):
        taken, here = 0, threading.get_ident()
        try:
            for chunk in ending.chunks:
                taken += 1
                yield chunk
                here = threading.get_ident()
        finally:
            ending = _closed(ending.close(taken), doors, here)
    settle(ending)


def _closed(close: Path, doors: Doors, consumer: int) -> Any:
    """Take a stream's last walk; aside, and not waited for, in another thread than its consumer's."""
    if threading.get_ident() == consumer:
        return run(close, doors)
    with contextlib.suppress(RuntimeError):  # the interpreter is ending: what the log knows as open it says at its end
        threading.Thread(target=run, args=(close, doors), name="aigov-close", daemon=True).start()
    return None


async def run_async(path: Path, doors: Doors, provider: Callable[[Sealed], Awaitable[Answered]]) -> Any:
    """`run` for asyncio."""
    return await _Async(doors, provider).run(path)


async def stream_async(
    path: Path, doors: Doors, provider: Callable[[Sealed], Awaitable[Answered]]
) -> AsyncGenerator[Any, None]:
    """`stream` for asyncio."""
    driver = _Async(doors, provider)
    ending = await driver.run(path)
    if isinstance(ending, Streaming):
        taken = 0
        try:
            for chunk in ending.chunks:
                taken += 1
                yield chunk
        finally:
            ending = await driver.run(ending.close(taken))
    settle(ending)


def _carry_out(effect: Any, doors: Doors, provider: Callable[[Sealed], Answered] | None) -> Any:
    if isinstance(effect, Record):
        return doors.record(effect.record, effect.content)
    if isinstance(effect, Ask):
        return [_answer(one, question) for one, question in effect.questions]
    if isinstance(effect, Read):
        return _read(effect.work)
    if isinstance(effect, OpenTicket):
        return doors.open_ticket(effect.case)
    if isinstance(effect, Meet):
        return doors.meet(effect.people)
    assert isinstance(effect, Call)
    assert provider is not None
    return provider(effect.sealed)


def _answer(contribution: Contribution, question: tuple[Any, ...]) -> tuple[Any, ...] | GuardFault:
    try:
        return contribution(*question)
    except GuardFault as fault:
        return fault


def _read(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except GuardFault as fault:
        return fault


class _Async:
    """One call on an event loop. A cancellation is remembered until its path has ended."""

    def __init__(self, doors: Doors, provider: Callable[[Sealed], Awaitable[Answered]]) -> None:
        self._doors = doors
        self._provider = provider
        self._cancelled: asyncio.CancelledError | None = None

    async def run(self, path: Path) -> Any:
        """Take a path to its end and return what it came to. Raises the cancellation that came meanwhile."""
        ending = await self._walk(path)
        if self._cancelled is not None and isinstance(ending, Streaming):
            await self._walk(ending.close(0))
        if self._cancelled is not None:
            raise self._cancelled
        return ending

    async def _walk(self, path: Path) -> Any:
        reply = None
        while True:
            try:
                effect = path.send(reply)
            except StopIteration as ended:
                return ended.value
            reply = await self._carry_out(effect)

    async def _carry_out(self, effect: Any) -> Any:
        if isinstance(effect, Record):
            return await self._record(effect)
        if isinstance(effect, Ask):
            return [await self._ask(one, question) for one, question in effect.questions]
        if isinstance(effect, Read):
            return await self._aside(lambda: _read(effect.work))
        if isinstance(effect, OpenTicket):
            return await self._aside(lambda: self._doors.open_ticket(effect.case))
        if isinstance(effect, Meet):
            return await self._aside(lambda: self._doors.meet(effect.people))
        assert isinstance(effect, Call)
        if self._cancelled is not None:
            return Answered(error=self._cancelled, cancelled=True)
        answered = await self._provider(effect.sealed)
        if isinstance(answered.error, asyncio.CancelledError):
            self._cancelled = answered.error
            return msgspec.structs.replace(answered, cancelled=True)
        return answered

    async def _record(self, effect: Record) -> Receipt | None:
        """The receipt; None also where the end of the loop, which cancels every task, came between."""
        recording = asyncio.ensure_future(self._doors.arecord(effect.record, effect.content))
        await self._wait(recording)
        return None if recording.cancelled() else recording.result()

    async def _ask(self, contribution: Contribution, question: tuple[Any, ...]) -> Any:
        """A plugin answers in a thread of its own, within its limit; a fault of it is its answer."""
        asking = asyncio.wrap_future(contribution.submit(*question))
        await self._wait(asking)
        try:
            return asking.result()
        except GuardFault as fault:
            return fault

    async def _aside(self, work: Callable[[], Any]) -> Any:
        """What takes a while does so in a thread, and the event loop runs on; here, where no thread can be had."""
        try:
            doing = asyncio.get_running_loop().run_in_executor(None, work)
        except RuntimeError:  # the program is ending, or there are too many
            return work()
        await self._wait(doing)
        return doing.result()

    async def _wait(self, future: asyncio.Future[Any]) -> None:
        """Wait until `future` is done even when the call is cancelled meanwhile."""
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError as cancelled:
                self._cancelled = cancelled
