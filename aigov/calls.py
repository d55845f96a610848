"""Wrapping the application's own functions, so that they are called through the path and no other way.

Invariants:
* A guarded function looks like the one that it wraps: name, docs, signature, and whether it is a
  coroutine, generator or async generator function.
* Who calls, in which session, is read when the function is called, also where its body runs later: a
  generator keeps the principal of that moment, and its consumer sees nothing of it.
* What a provider began and nobody will read on, a generator or a coroutine, is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import types
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Mapping
from typing import Any, Protocol

import msgspec

import aigov.drivers as drivers
from aigov.passage import Answered, Ending, Request, Sealed
from aigov.signatures import Rebind, Signature

MAX_CHUNKS = 100_000
MAX_NAME = 256


class Scope(msgspec.Struct, frozen=True):
    """Who calls, in which session, inside which call, and what a person has approved already."""

    principal: Any
    session: Any
    parent: str
    approved: frozenset[tuple[str, str]] = frozenset()
    ticket: str = ""

    def __repr__(self) -> str:
        return "Scope()"


class Door(Protocol):
    """What a guarded function needs of the governor that made it."""

    doors: drivers.Doors

    def scope(self) -> Scope: ...

    def request(self, scope: Scope, arguments: Mapping[str, Any], what: Guarded) -> Request: ...

    def path(self, request: Request) -> drivers.Path: ...

    def inside(self, scope: Scope, call: str) -> Any: ...


class Guarded:
    """A function behind the policy. Call it as the function itself."""

    def __init__(self, door: Door, fn: Callable[..., Any], action: str, resource: str) -> None:
        signature = Signature(fn)
        functools.update_wrapper(self, signature.fn)  # first: it copies whatever `fn` carries
        self.__wrapped__ = fn
        self._signature = signature
        self.fn = signature.fn
        self.action = action
        self.resource = resource
        self.name = _name(self.fn)
        self.keywords = signature.keywords
        self.shape = signature.shape
        self._door = door
        self._run = {
            "plain": self._plain,
            "coroutine": self._coroutine,
            "generator": self._generator,
            "async_generator": self._async_generator,
        }[self.shape]
        for attribute in ("__code__", "__defaults__", "__kwdefaults__"):  # what `inspect` tells functions by
            if hasattr(self.fn, attribute):
                setattr(self, attribute, getattr(self.fn, attribute))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.enter(self._door.scope(), args, kwargs)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<guarded {self.name}>"

    def __reduce__(self) -> str:
        """By name, as functions are pickled and copied; the governor behind it stays in its process."""
        return str(getattr(self, "__qualname__", ""))

    @property
    def streams(self) -> bool:
        """Whether the answer comes in chunks."""
        return self.shape in {"generator", "async_generator"}

    @property
    def resumable(self) -> bool:
        """Whether the function can be called again by its name alone: no method, whose object is gone."""
        return not self._signature.is_method

    def enter(self, scope: Scope, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call under `scope`."""
        arguments, rebind = self._signature.take(args, kwargs)
        return self._run(scope, self._door.request(scope, arguments, self), rebind)

    def is_of(self, fn: Callable[..., Any]) -> bool:
        """Whether it wraps this very function, or this method of this very object."""
        if isinstance(fn, types.MethodType) and isinstance(self.fn, types.MethodType):
            return fn.__self__ is self.fn.__self__ and fn.__func__ is self.fn.__func__
        return fn is self.fn

    def fits(self, arguments: Any) -> bool:
        """Whether `resume` can call with this: arguments by name, all of which it takes, and none that it lacks."""
        return isinstance(arguments, dict) and self._signature.fits(arguments)

    def resume(self, scope: Scope, arguments: Mapping[str, Any], action: str, resource: str) -> Any:
        """Call with the arguments that a ticket kept, as the action on the resource that it names."""
        guarded = Guarded(self._door, self.fn, action, resource)  # it may be guarded for others here
        return self._run(scope, self._door.request(scope, arguments, guarded), self._signature.spread)

    def _plain(self, scope: Scope, request: Request, rebind: Rebind) -> Any:
        def provider(sealed: Sealed) -> Answered:
            try:
                with self._door.inside(scope, request.call):
                    args, kwargs = rebind(sealed.arguments)
                    return Answered(value=_closed(self.fn(*args, **kwargs)))
            except BaseException as error:  # noqa: BLE001 - the provider's own exception, passed on untouched
                return Answered(error=error)

        return drivers.settle(drivers.run(self._door.path(request), self._door.doors, provider))

    def _generator(self, scope: Scope, request: Request, rebind: Rebind) -> Generator[Any, None, None]:
        def provider(sealed: Sealed) -> Answered:
            chunks: list[Any] = []
            try:
                with self._door.inside(scope, request.call):
                    args, kwargs = rebind(sealed.arguments)
                    with contextlib.closing(self.fn(*args, **kwargs)) as provided:
                        for chunk in provided:
                            chunks.append(chunk)
                            if len(chunks) > MAX_CHUNKS:
                                return Answered(endless=True)
            except BaseException as error:  # noqa: BLE001 - as above; what was held is dropped
                return Answered(error=error)
            return Answered(chunks=tuple(chunks))

        return drivers.stream(self._door.path(request), self._door.doors, provider)

    async def _coroutine(self, scope: Scope, request: Request, rebind: Rebind) -> Any:
        async def provider(sealed: Sealed) -> Answered:
            try:
                with self._door.inside(scope, request.call):
                    args, kwargs = rebind(sealed.arguments)
                    return Answered(value=await self.fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - as above
                return Answered(error=error)

        ending: Ending = await drivers.run_async(self._door.path(request), self._door.doors, provider)
        return drivers.settle(ending)

    def _async_generator(self, scope: Scope, request: Request, rebind: Rebind) -> AsyncGenerator[Any, None]:
        async def provider(sealed: Sealed) -> Answered:
            chunks: list[Any] = []
            try:
                with self._door.inside(scope, request.call):
                    args, kwargs = rebind(sealed.arguments)
                    async with contextlib.aclosing(self.fn(*args, **kwargs)) as provided:
                        async for chunk in provided:
                            chunks.append(chunk)
                            if len(chunks) > MAX_CHUNKS:
                                return Answered(endless=True)
            except BaseException as error:  # noqa: BLE001 - as above
                return Answered(error=error)
            return Answered(chunks=tuple(chunks))

        return drivers.stream_async(self._door.path(request), self._door.doors, provider)


def check_names(action: str, resource: str) -> None:
    """Raises TypeError or ValueError unless action and resource are text of 1 to 256 characters."""
    for name, value in (("action", action), ("resource", resource)):
        if not isinstance(value, str):
            raise TypeError(f"{name} is text")
        if not 0 < len(value) <= MAX_NAME:
            raise ValueError(f"{name} is text of 1 to {MAX_NAME} characters")


async def awaited(guarded: Guarded, scope: Scope, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a guarded function of any shape from a coroutine: a plain one runs in a thread."""
    if guarded.shape == "plain":
        return await asyncio.to_thread(guarded.enter, scope, args, kwargs)
    called: Awaitable[Any] | Any = guarded.enter(scope, args, kwargs)
    return await called if isinstance(called, Coroutine) else called


def _closed(value: Any) -> Any:
    """The value of a plain function. A generator or coroutine is no answer: it ends before it is refused."""
    if isinstance(value, (types.GeneratorType, types.CoroutineType)):
        value.close()
    return value


def _name(fn: Callable[..., Any]) -> str:
    """`module:qualname`, which is how `resume` finds the function again."""
    return f"{getattr(fn, '__module__', '')}:{getattr(fn, '__qualname__', type(fn).__qualname__)}"
