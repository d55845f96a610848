"""Which hooks an object answers, checked when it is registered: the one door to pluggy's manager.

Invariants:
* Only plain hooks pass: no wrapper, `tryfirst`, `trylast`, `optionalhook` or `specname`. With pluggy 1.7 a
  wrapper can catch a denial and answer "allowed".
* Nothing that looks like a hook is passed over: a name that is not a hook, an unmarked function, an
  argument that no hook has, or one that would never be filled is a `PolicyError` that names it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from types import ModuleType
from typing import Any

from pluggy import HookImpl, PluginManager, PluginValidationError

import aigov.hookspecs as hookspecs
from aigov.errors import Location, PolicyError, Problem

SPECIAL = ("wrapper", "hookwrapper", "tryfirst", "trylast", "optionalhook", "specname")

Asked = Callable[..., Any]


class Registry:
    """A pluggy manager that holds plugins by name and hands out their hooks as plain callables."""

    def __init__(self) -> None:
        self._pluggy = PluginManager(hookspecs.PROJECT)
        self._pluggy.add_hookspecs(hookspecs)
        self._hooks = hookspecs.REGISTER | hookspecs.CONTRIBUTE | hookspecs.OBSERVE

    def register(self, name: str, plugin: object, where: Location) -> Mapping[str, Asked]:
        """The hooks that `plugin` answers, each taking its specification's arguments in order.

        Raises PolicyError at `where` that names plugin, hook and argument.
        """
        problems = [Problem(where, what, fix) for what, fix in self._faults(name, plugin)]
        if not problems:
            problems = self._pluggy_problems(name, plugin, where)
        if problems:
            raise PolicyError(problems)
        return {hook: self._asked(hook, implementation) for hook, implementation in self._implementations(name)}

    def arguments(self, hook: str) -> tuple[str, ...]:
        """The argument names of a hook, in order."""
        spec = getattr(self._pluggy.hook, hook).spec
        return tuple(spec.argnames)

    def _faults(self, name: str, plugin: object) -> Iterable[tuple[str, str]]:
        for attribute in dir(plugin):
            options = self._pluggy.parse_hookimpl_opts(plugin, attribute)
            if options is None:
                if attribute.startswith("aigov_") and not self._harmless(plugin, attribute):
                    yield f"plugin `{name}` has `{attribute}`, which is no marked hook", self._advice(attribute)
                continue
            if attribute not in self._hooks:
                yield f"plugin `{name}` answers `{attribute}`, which is not a hook", self._advice(attribute)
            for option in SPECIAL:
                if options.get(option):
                    fix = "every contribution counts and order never matters; mark it with a bare `@hookimpl`"
                    yield f"plugin `{name}` marks `{attribute}` with `{option}`", fix

    @staticmethod
    def _harmless(plugin: object, attribute: str) -> bool:
        return isinstance(inspect.getattr_static(plugin, attribute, None), ModuleType)

    def _advice(self, attribute: str) -> str:
        if attribute in self._hooks:
            return "make it a plain method marked with `@hookimpl`"
        near = get_close_matches(attribute, sorted(self._hooks), n=1)
        return f"did you mean `{near[0]}`?" if near else "the hooks are in `aigov.hookspecs`"

    def _pluggy_problems(self, name: str, plugin: object, where: Location) -> list[Problem]:
        try:
            self._pluggy.register(plugin, name)
        except PluginValidationError:
            what = self._misnamed(name, plugin)
        except ValueError:
            what = [(f"plugin `{name}` is registered twice", "name it once")]
        else:
            what = [
                fault
                for hook, implementation in self._implementations(name)
                for fault in self._unanswerable(name, hook, implementation)
            ]
        return [Problem(where, *fault) for fault in what]

    def _misnamed(self, name: str, plugin: object) -> list[tuple[str, str]]:
        """What pluggy's own check refused: an argument that the hook does not have."""
        faults = []
        for hook in sorted(self._hooks & set(dir(plugin))):
            taken = self.arguments(hook)
            for argument in inspect.signature(getattr(plugin, hook)).parameters:
                if argument not in taken and argument != "self":
                    fix = f"it takes {', '.join(f'`{one}`' for one in taken) or 'no argument'}"
                    faults.append((f"`{hook}` of plugin `{name}` has no argument `{argument}`", fix))
        return faults or [
            (f"plugin `{name}` was refused by pluggy", "its hooks must have the arguments of their specs")
        ]

    def _unanswerable(self, name: str, hook: str, implementation: HookImpl) -> Iterable[tuple[str, str]]:
        if inspect.iscoroutinefunction(implementation.function) or inspect.isasyncgenfunction(implementation.function):
            yield f"`{hook}` of plugin `{name}` is asynchronous", "hooks are plain functions; nobody awaits them"
        if hook == "aigov_start" and set(implementation.argnames) != set(self.arguments(hook)):
            yield (
                f"`aigov_start` of plugin `{name}` does not take what it is given",
                "it takes `settings` and `context`",
            )
        for argument in implementation.kwargnames:
            fix = "pluggy never fills an argument that has a default; take the default away"
            yield f"argument `{argument}` of `{hook}` of plugin `{name}` has a default", fix

    def _implementations(self, name: str) -> list[tuple[str, HookImpl]]:
        return [
            (hook, implementation)
            for hook in sorted(self._hooks)
            for implementation in getattr(self._pluggy.hook, hook).get_hookimpls()
            if implementation.plugin_name == name
        ]

    def _asked(self, hook: str, implementation: HookImpl) -> Asked:
        """The function itself where it takes every argument; else one that drops what it does not take."""
        function, taken, given = implementation.function, implementation.argnames, self.arguments(hook)
        if tuple(taken) == given:
            return function
        chosen = tuple(given.index(argument) for argument in taken)
        return lambda *args: function(*[args[index] for index in chosen])
