"""How a function takes its arguments: from a call to arguments by name, and back to a call.

Invariants:
* Whatever the function will see that could bear text is an argument by name: what was passed, what a
  `functools.partial` holds, and defaults that are text, numbers or built-in containers.
* `self` and `cls` are no arguments, and only an object or a class is one: text is looked at, whatever its
  parameter is called.
* The way back gives each parameter what stands under its name, and nothing else.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

Shape = Literal["plain", "coroutine", "generator", "async_generator"]
Arguments = tuple[tuple[Any, ...], dict[str, Any]]
Rebind = Callable[[Mapping[str, Any]], Arguments]
HELD = frozenset({str, int, float, bool, type(None), dict, list, tuple, set, frozenset})
VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Taken(NamedTuple):
    """The arguments of one call by name, and the way back to how the function wants them."""

    arguments: dict[str, Any]
    rebind: Rebind

    def __repr__(self) -> str:
        return f"Taken({len(self.arguments)})"


class Signature:
    """How `fn` takes its arguments. Partials are unfolded: `fn` is the function inside of them.

    `keywords`: the name of its `**kwargs`, or "". Raises TypeError for what cannot be called.
    """

    __slots__ = ("_args", "_defaults", "_kwargs", "_left", "_receiver", "_whole", "fn", "keywords", "shape")

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.fn, self._args, self._kwargs = _unfolded(fn)
        if not callable(self.fn):
            raise TypeError("only what can be called is guarded")
        self._whole = _signature(self.fn)
        self._receiver = _receiver(self.fn, self._whole)
        self.shape = shape_of(self.fn)
        parameters = self._whole.parameters.values()
        self.keywords = next((one.name for one in parameters if one.kind is inspect.Parameter.VAR_KEYWORD), "")
        self._defaults = {one.name: one.default for one in parameters if type(one.default) in HELD}
        # any other default is the program's own object; one that comes before others by position is passed on
        self._left = {
            one.name: one.default
            for one in parameters
            if one.kind is inspect.Parameter.POSITIONAL_ONLY
            and one.default is not inspect.Parameter.empty
            and one.name not in self._defaults
        }

    @property
    def is_method(self) -> bool:
        """Whether the first parameter is the `self` or `cls` of a function defined in a class."""
        return bool(self._receiver)

    def take(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Taken:
        """The arguments of one call. Raises TypeError where the function does not take them."""
        given = self._whole.bind(*self._args, *args, **{**self._kwargs, **kwargs}).arguments
        hidden = {name: value for name, value in self._left.items() if name not in given}
        if _is_object(given.get(self._receiver)):
            hidden[self._receiver] = given.pop(self._receiver)
        missing = {name: value for name, value in self._defaults.items() if name not in given}
        return Taken({**given, **missing}, lambda changed: self.spread({**hidden, **changed}))

    def spread(self, arguments: Mapping[str, Any]) -> Arguments:
        """Arguments by name as positional and keyword ones, in the order of the parameters."""
        bound = inspect.BoundArguments(self._whole, {})
        bound.arguments.update((name, arguments[name]) for name in self._whole.parameters if name in arguments)
        return bound.args, bound.kwargs

    def fits(self, arguments: Mapping[str, Any]) -> bool:
        """Whether arguments by name are still those of this function: none unknown, none that it needs missing."""
        needed = {
            name
            for name, one in self._whole.parameters.items()
            if one.default is inspect.Parameter.empty and one.kind not in VARIADIC
        }
        return needed <= arguments.keys() <= self._whole.parameters.keys()


def _unfolded(fn: Any) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    """The function inside of partials, and the arguments that they hold."""
    args: tuple[Any, ...] = ()
    keywords: dict[str, Any] = {}
    while isinstance(fn, functools.partial):
        args, keywords, fn = fn.args + args, {**fn.keywords, **keywords}, fn.func
    return fn, args, keywords


def _signature(fn: Callable[..., Any]) -> inspect.Signature:
    """The function's signature; for a builtin that hides it, one that takes anything."""
    try:
        return inspect.signature(fn)
    except (TypeError, ValueError):
        return inspect.signature(lambda *args, **kwargs: None)


def _receiver(fn: Callable[..., Any], signature: inspect.Signature) -> str:
    """The name of the first parameter where it is the `self` or `cls` of a function defined in a class, else ""."""
    outer = getattr(fn, "__qualname__", "").rpartition(".")[0]
    first = next(iter(signature.parameters), "")
    return first if outer and not outer.endswith("<locals>") and first in {"self", "cls"} else ""


def _is_object(value: Any) -> bool:
    """Whether this can be a receiver: a class, or an object of one that is not built in, as text is."""
    return isinstance(value, type) or type(value).__module__ != "builtins"


def shape_of(fn: Callable[..., Any]) -> Shape:
    """Whether what is called gives a value, a coroutine, a generator or an async generator."""
    for called in (fn, type(fn).__call__):  # of a callable object it is the method that tells
        if inspect.iscoroutinefunction(called):
            return "coroutine"
        if inspect.isasyncgenfunction(called):
            return "async_generator"
        if inspect.isgeneratorfunction(called):
            return "generator"
    return "plain"
