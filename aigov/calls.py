"""Wrapping the application's own functions, so that they are called through the path and no other way.

Invariants:
* A guarded function looks like the one that it wraps: name, docs, signature, and whether it is a
  coroutine, generator or async generator function.
* Who calls, in which session, is read when the function is called, also where its body runs later: a
  generator keeps the principal of that moment, and its consumer sees nothing of it.
* `self` and `cls` are no arguments of the call; everything else is.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import types
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Mapping
from typing import Any, Protocol

import msgspec

from aigov import drivers
from aigov.passage import Answered, Ending, Request, Sealed

MAX_CHUNKS = 100_000
MAX_NAME = 256
SCALARS = (str, int, float, bool, type(None))


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
        functools.update_wrapper(self, fn)
        self.fn = fn
        self.action = action
        self.resource = resource
        self.name = _name(fn)
        self._door = door
        self._signature = _signature(fn)
        self._receiver = _has_receiver(fn, self._signature)
        self.keywords = _keywords(self._signature)
        self.shape = _shape(fn)
        self._run = {
            "plain": self._plain,
            "coroutine": self._coroutine,
            "generator": self._generator,
            "async_generator": self._async_generator,
        }[self.shape]
        for attribute in ("__code__", "__defaults__", "__kwdefaults__"):  # what `inspect` tells functions by
            if hasattr(fn, attribute):
                setattr(self, attribute, getattr(fn, attribute))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.enter(self._door.scope(), args, kwargs)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<guarded {self.name}>"

    @property
    def streams(self) -> bool:
        """Whether the answer comes in chunks."""
        return self.shape in {"generator", "async_generator"}

    @property
    def resumable(self) -> bool:
        """Whether the function can be called again by its name alone: no method, whose object is gone."""
        return not self._receiver

    def enter(self, scope: Scope, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call under `scope`."""
        bound = self._signature.bind(*args, **kwargs)
        arguments, rebind = _arguments(bound, self._receiver)
        return self._run(scope, self._door.request(scope, arguments, self), rebind)

    def resume(self, scope: Scope, arguments: Mapping[str, Any]) -> Any:
        """Call with the arguments that a ticket kept."""
        return self._run(scope, self._door.request(scope, arguments, self), self._by_name)

    def _by_name(self, arguments: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        bound = inspect.BoundArguments(self._signature, {})
        _fill(bound, arguments)
        return bound.args, bound.kwargs

    def _plain(self, scope: Scope, request: Request, rebind: Rebind) -> Any:
        def provider(sealed: Sealed) -> Answered:
            try:
                with self._door.inside(scope, request.call):
                    args, kwargs = rebind(sealed.arguments)
                    return Answered(value=self.fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - the provider's own exception, passed on untouched
                return Answered(error=error)

        return drivers.settle(drivers.run(self._door.path(request), self._door.doors, provider))

    def _generator(self, scope: Scope, request: Request, rebind: Rebind) -> Generator[Any, None, None]:
        def provider(sealed: Sealed) -> Answered:
            chunks: list[Any] = []
            try:
                with self._door.inside(scope, request.call):
                    args, kwargs = rebind(sealed.arguments)
                    for chunk in self.fn(*args, **kwargs):
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
                    async for chunk in self.fn(*args, **kwargs):
                        chunks.append(chunk)
                        if len(chunks) > MAX_CHUNKS:
                            return Answered(endless=True)
            except BaseException as error:  # noqa: BLE001 - as above
                return Answered(error=error)
            return Answered(chunks=tuple(chunks))

        return drivers.stream_async(self._door.path(request), self._door.doors, provider)


Rebind = Callable[[Mapping[str, Any]], tuple[tuple[Any, ...], dict[str, Any]]]


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


def _arguments(bound: inspect.BoundArguments, receiver: bool) -> tuple[dict[str, Any], Rebind]:
    """The arguments by name, scalar defaults among them, and the way back to how they were passed.

    Defaults count, so that a rule on `args.amount` sees the amount that the function will see.
    """
    names = list(bound.signature.parameters)
    hidden = {names[0]: bound.arguments[names[0]]} if receiver and names[0] in bound.arguments else {}
    arguments = {name: value for name, value in bound.arguments.items() if name not in hidden}
    for name, parameter in bound.signature.parameters.items():
        if name not in bound.arguments and type(parameter.default) in SCALARS:
            arguments[name] = parameter.default

    def rebind(changed: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        again = inspect.BoundArguments(bound.signature, {})
        _fill(again, {**hidden, **changed})
        return again.args, again.kwargs

    return arguments, rebind


def _fill(bound: inspect.BoundArguments, arguments: Mapping[str, Any]) -> None:
    """Put arguments by name back into a call, in the order of its parameters."""
    for name in bound.signature.parameters:
        if name in arguments:
            bound.arguments[name] = arguments[name]


def _keywords(signature: inspect.Signature) -> str:
    """The name of the `**kwargs` parameter, or "" where there is none."""
    kinds = ((parameter.kind, name) for name, parameter in signature.parameters.items())
    return next((name for kind, name in kinds if kind is inspect.Parameter.VAR_KEYWORD), "")


def _signature(fn: Callable[..., Any]) -> inspect.Signature:
    """The function's signature; for a builtin that hides it, one that takes anything."""
    try:
        return inspect.signature(fn)
    except (TypeError, ValueError):
        return inspect.signature(lambda *args, **kwargs: None)


def _has_receiver(fn: Callable[..., Any], signature: inspect.Signature) -> bool:
    """Whether the first parameter is the `self` or `cls` of a function defined in a class."""
    outer = getattr(fn, "__qualname__", "").rpartition(".")[0]
    first = next(iter(signature.parameters), "")
    return bool(outer) and not outer.endswith("<locals>") and first in {"self", "cls"}


def _shape(fn: Callable[..., Any]) -> str:
    called = fn if inspect.isroutine(fn) or isinstance(fn, functools.partial) else getattr(fn, "__call__", fn)  # noqa: B004
    if inspect.iscoroutinefunction(called):
        return "coroutine"
    if inspect.isasyncgenfunction(called):
        return "async_generator"
    return "generator" if inspect.isgeneratorfunction(called) else "plain"


def _name(fn: Callable[..., Any]) -> str:
    """`module:qualname`, which is how `resume` finds the function again."""
    plain = fn.func if isinstance(fn, functools.partial) else fn
    return f"{getattr(plain, '__module__', '')}:{getattr(plain, '__qualname__', type(plain).__qualname__)}"
