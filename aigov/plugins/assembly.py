"""Building the guards of one policy from their factories.

Steps, numbered in `assemble`:
1. Names: every plugin has its own; a third party cannot take a built-in guard's.
2. Factories: their hooks are checked, and what they declare is gathered.
3. Third parties are started, each within `START_LIMIT_S` in a thread of its own.
4. Built-in guards are started, in the order given: they may use what third parties declared.
5. Contributions: every hook that was found is bound to the check of its answers.

Invariants:
* A third party is started before it is asked, and asked only for hooks that its pin grants.
* A fault at any step is a `PolicyError` that names the plugin; nothing half built stays behind.
"""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from itertools import islice
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from aigov.errors import Location, PolicyError, Problem
from aigov.hookspecs import CONTRIBUTE
from aigov.plugins.answers import ENTITY, MAX_RULINGS, REASON, Nonsense, Says, codes, recognised, replacement
from aigov.plugins.guards import (
    FAULTS,
    Contribution,
    Counts,
    Guards,
    Observers,
    Report,
    built_in,
    built_in_renderer,
    dismiss,
    third_party,
    third_party_renderer,
)
from aigov.plugins.hooks import Asked, Registry
from aigov.plugins.lock import LOCK_COMMAND, Pin
from aigov.plugins.starting import within_limit
from aigov.plugins.workers import Watch, Workers

LIMIT_S = 0.25
PLUGIN_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
ALWAYS = frozenset({"aigov_settings", "aigov_start"})
DECLARES = frozenset({"aigov_reasons", "aigov_entities"})
OPERATOR = ("operate", "validate", "operator_name", "operator_type")

Start = Callable[[str, object], object]


class Declared(NamedTuple):
    """What has been declared so far, for the `Context` of the guards that are still to be started."""

    reasons: frozenset[str] = frozenset()
    entities: frozenset[str] = frozenset()
    recognizers: tuple[Any, ...] = ()
    operators: tuple[Any, ...] = ()


class _Member:
    """One plugin on its way into the set."""

    def __init__(
        self, name: str, factory: object, trusted: bool, where: Location, granted: frozenset[str] | None
    ) -> None:
        self.name, self.factory, self.trusted, self.where, self.granted = name, factory, trusted, where, granted
        self.hooks: Mapping[str, Asked] = {}
        self.declares: Mapping[str, Asked] = {}
        self.declared = Declared()
        self.started: object = None
        self.recognises: frozenset[str] = frozenset()
        self.renderer: Any = None

    def error(self, what: str, fix: str) -> PolicyError:
        return PolicyError(Problem(self.where, f"plugin `{self.name}` {what}", fix))


def assemble(
    builtin: Mapping[str, object],
    thirdparty: Mapping[str, object],
    start: Start,
    limit_s: float = LIMIT_S,
    *,
    pins: Mapping[str, Pin] = MappingProxyType({}),
    declared: Callable[[Declared], None] | None = None,
    report: Report | None = None,
) -> Guards:
    """Start every guard and plugin of one policy and bind what they contribute.

    `builtin`, `thirdparty`: factories by name. `start(name, factory)` calls `aigov_start` with the section
    and context of that name and gives what it returns. `limit_s`: seconds that a third party has for one
    question. `pins`: what the lock says of each third party; one without a pin is granted every hook.
    `declared` is told, before each guard is started, what all others have declared by then. `report(name,
    code, count)` is called from a thread of its own when an observer broke. Raises PolicyError.
    """
    with ExitStack() as undo:
        build = _Build(start, limit_s, report, declared or (lambda so_far: None))
        undo.callback(build.dismiss)
        _distinct(builtin, thirdparty, pins)  # 1
        members = [_member(name, thirdparty[name], pins.get(name)) for name in sorted(thirdparty)]
        guards = [_Member(name, builtin[name], True, Location(f"aigov/{name}"), None) for name in builtin]
        for member in [*members, *guards]:  # 2
            build.limited(member, "its hooks were looked at", partial(build.prepare, member))
        for member in [*members, *guards]:  # 3, 4
            build.start(member)
        whole = build.bind([*guards, *members], _digest(thirdparty, pins))  # 5
        undo.pop_all()
    return whole


class _Build:
    """The state of one assembly."""

    def __init__(
        self, start: Start, limit_s: float, report: Report | None, declared: Callable[[Declared], None]
    ) -> None:
        self.watch = Watch()
        self.counts = Counts()
        self.observers = Observers(self.watch, limit_s, self.counts, report)
        self.workers: dict[str, Workers] = {}
        self.watched: list[Workers] = []
        self._start, self._limit_s, self._tell = start, limit_s, declared
        self._factories, self._registry = Registry(), Registry()
        self._so_far = Declared()

    def dismiss(self) -> None:
        """End whatever was begun."""
        dismiss([*self.workers.values(), *self.watched], self.observers, self.watch)

    def limited(self, member: _Member, doing: str, task: Callable[[], None]) -> None:
        """Do a step for one member: a third party's in a thread, within the limit for starting."""
        if member.trusted:
            task()
        else:
            within_limit(member.name, member.where, doing, task)

    def prepare(self, member: _Member) -> None:
        """Check a factory's hooks, and take what it declares before anything is started."""
        hooks = self._factories.register(member.name, member.factory, member.where)
        for hook in sorted(ALWAYS - hooks.keys()):
            raise member.error(f"does not answer `{hook}`", "every plugin answers `aigov_settings` and `aigov_start`")
        member.declares = {hook: hooks[hook] for hook in hooks.keys() & DECLARES}
        member.hooks = hooks
        self._declare(member, member.declares)

    def start(self, member: _Member) -> None:
        """Start one member, check the hooks of what it built and take what that declares."""
        self._tell(self._so_far)
        if not member.trusted:
            self.workers[member.name] = Workers(
                member.name, self._limit_s, self.watch, fault=lambda code: self.counts.add(member.name)
            )
        self.limited(member, "it was started", partial(self._begin, member))

    def bind(self, members: list[_Member], digest: str) -> Guards:
        """The finished set."""
        built_ins = [member.declared for member in members if member.trusted]
        common = _union(built_ins)
        everything = _union([member.declared for member in members])
        renderers = {member.name: member.renderer for member in members if member.renderer is not None}
        says = {
            member.name: _says(member, everything if member.trusted else _union([member.declared, common]), renderers)
            for member in members
        }
        for member in members:
            for entity in sorted(member.recognises - says[member.name].entities):
                raise member.error(f"recognises `{entity}`, which nobody declared", "name it in `aigov_entities`")
        contributions = {hook: self._contributions(hook, members, says) for hook in CONTRIBUTE}
        for member in members:
            if "aigov_observe" in member.hooks:
                self.watched.append(self.observers.add(member.name, member.hooks["aigov_observe"], member.trusted))
        return Guards(
            names=tuple(member.name for member in members),
            reasons=everything.reasons | FAULTS,
            entities=everything.entities,
            recognizers=everything.recognizers,
            renderers=MappingProxyType(renderers),
            permit=contributions["aigov_permit"],
            screen=contributions["aigov_screen"],
            detect=contributions["aigov_detect"],
            judge=contributions["aigov_judge"],
            started=MappingProxyType({member.name: member.started for member in members}),
            digest=digest,
            _counts=self.counts,
            _observers=self.observers,
            _workers=(*self.workers.values(), *self.watched),
            _watch=self.watch,
        )

    def _begin(self, member: _Member) -> None:
        member.started = self._start(member.name, member.factory)
        if member.started is None:
            raise member.error("built nothing", "let `aigov_start` return the object that answers its hooks")
        hooks = dict(self._registry.register(member.name, member.started, member.where))
        stray = member.hooks.keys() - ALWAYS - DECLARES - hooks.keys()
        for hook in sorted(stray):
            raise member.error(f"answers `{hook}` where it is never asked", "let what `aigov_start` returns answer it")
        member.hooks = {hook: ask for hook, ask in hooks.items() if hook not in ALWAYS}
        if not member.trusted:
            _granted(member)
        self._declare(member, member.hooks)
        if "aigov_renderer" in member.hooks:
            member.renderer = self._renderer(member)

    def _declare(self, member: _Member, hooks: Mapping[str, Asked]) -> None:
        more = Declared(
            _codes(member, hooks, "aigov_reasons", REASON),
            _codes(member, hooks, "aigov_entities", ENTITY),
            self._recognizers(member, hooks),
            self._operators(member, hooks),
        )
        member.declared = _union([member.declared, more])
        self._so_far = _union([self._so_far, more])

    def _recognizers(self, member: _Member, hooks: Mapping[str, Asked]) -> tuple[Any, ...]:
        if "aigov_recognizers" not in hooks:
            return ()
        found = tuple(islice(hooks["aigov_recognizers"]() or (), MAX_RULINGS))
        if not all(callable(getattr(one, "analyze", None)) and hasattr(one, "supported_entities") for one in found):
            raise member.error("registers a recogniser that is none", "they are presidio `EntityRecognizer`s")
        member.recognises |= {str(entity) for one in found for entity in one.supported_entities}
        if member.trusted:
            return found
        return tuple(_limited_recognizer(one, self.workers[member.name]) for one in found)

    def _operators(self, member: _Member, hooks: Mapping[str, Asked]) -> tuple[Any, ...]:
        if "aigov_operators" not in hooks:
            return ()
        found = tuple(islice(hooks["aigov_operators"]() or (), MAX_RULINGS))
        if not all(callable(getattr(one, name, None)) for one in found for name in OPERATOR):
            raise member.error("registers an operator that is none", "they are presidio anonymizer `Operator`s")
        return found if member.trusted else tuple(LimitedOperator(one, self.workers[member.name]) for one in found)

    def _renderer(self, member: _Member) -> Any:
        render = member.hooks["aigov_renderer"]()
        if not callable(render):
            raise member.error("has a renderer that cannot be called", "let `aigov_renderer` return a function")
        if member.trusted:
            return built_in_renderer(member.name, render, self.counts)
        return third_party_renderer(render, self.workers[member.name])

    def _contributions(self, hook: str, members: list[_Member], says: Mapping[str, Says]) -> tuple[Contribution, ...]:
        found = []
        for member in members:
            if hook in member.hooks and member.trusted:
                found.append(built_in(says[member.name], hook, member.hooks[hook], self.counts))
            elif hook in member.hooks:
                workers = self.workers[member.name]
                found.append(third_party(says[member.name], hook, member.hooks[hook], workers))
        return tuple(found)


def _distinct(builtin: Mapping[str, object], thirdparty: Mapping[str, object], pins: Mapping[str, Pin]) -> None:
    """Refuse a name that is taken or misshapen: a reason that names a guard must mean that guard."""
    problems = []
    for name in sorted(thirdparty):
        where = pins[name].where if name in pins else Location("plugins.lock")
        if name in builtin:
            problems.append(
                Problem(where, f"plugin `{name}` has the name of a built-in guard", "rename its entry point")
            )
        elif not PLUGIN_NAME.fullmatch(name):
            fix = "use lower-case letters, digits and single hyphens"
            problems.append(Problem(where, f"plugin `{name}` has no plain name", fix))
    if problems:
        raise PolicyError(problems)


def _member(name: str, factory: object, pin: Pin | None) -> _Member:
    if pin is None:
        return _Member(name, factory, False, Location("plugins.lock"), None)
    return _Member(name, factory, False, pin.where, frozenset(pin.hooks))


def _granted(member: _Member) -> None:
    if not member.hooks:
        raise member.error("answers no hook", "mark the methods of what `aigov_start` returns with `@hookimpl`")
    answered = member.hooks.keys() | member.declares.keys()
    if member.granted is not None:
        for hook in sorted(answered - member.granted):
            raise member.error(f"answers `{hook}`, which it was not granted", f"look at it, then run `{LOCK_COMMAND}`")


def _codes(member: _Member, hooks: Mapping[str, Asked], hook: str, shape: re.Pattern[str]) -> frozenset[str]:
    if hook not in hooks:
        return frozenset()
    try:
        return codes(hooks[hook](), shape)
    except Nonsense:
        pass
    raise member.error(
        f"answers `{hook}` with something else than names", f"each is text of the form `{shape.pattern}`"
    )


def _union(parts: list[Declared]) -> Declared:
    seen: dict[int, Any] = {id(one): one for part in parts for one in part.recognizers}
    made: dict[int, Any] = {id(one): one for part in parts for one in part.operators}
    return Declared(
        frozenset().union(*(part.reasons for part in parts)),
        frozenset().union(*(part.entities for part in parts)),
        tuple(seen.values()),
        tuple(made.values()),
    )


def _says(member: _Member, may: Declared, renderers: Mapping[str, Any]) -> Says:
    guards = frozenset(renderers) if member.trusted else frozenset(renderers) & {member.name}
    return Says(member.name, member.trusted, may.entities, may.reasons | (FAULTS if member.trusted else set()), guards)


class LimitedOperator:
    """A third party's anonymizer operator that runs in its plugin's thread, within its limit, its answer checked."""

    def __init__(self, operator: Any, workers: Workers) -> None:
        self._operator, self._workers = operator, workers
        self._name = str(operator.operator_name())

    def operator_name(self) -> str:
        """The name, as it was when the policy was loaded."""
        return self._name

    def validate(self, params: Any) -> None:
        """Raises whatever the operator raises, or GuardFault past its limit."""
        self._workers.run(lambda: self._operator.validate(params))

    def operate(self, text: str, params: Any) -> str:
        """What stands for `text`. Raises GuardFault."""
        return str(self._workers.run(lambda: replacement(self._operator.operate(text, dict(params)))))


def _limited_recognizer(recognizer: Any, workers: Workers) -> Any:
    """A copy of a third party's recogniser that runs in its thread, within its limit, its results checked."""
    limited = copy.copy(recognizer)  # the plugin may hand out the same one each time that a policy is loaded
    entities = frozenset(map(str, recognizer.supported_entities))
    for method in ("analyze", "enhance_using_context"):
        original = getattr(limited, method, None)
        if original is not None:
            setattr(limited, method, _limited_method(original, entities, workers))
    return limited


def _limited_method(original: Asked, entities: frozenset[str], workers: Workers) -> Asked:
    def limited(text: str, *args: Any, **kwargs: Any) -> list[Any]:
        return workers.run(lambda: recognised(original(text, *args, **kwargs), len(text), entities))

    return limited


def _digest(thirdparty: Mapping[str, object], pins: Mapping[str, Pin]) -> str:
    """Hex SHA-256 over what was loaded, by name; one without a pin is known by its type alone."""
    rows = []
    for name in sorted(thirdparty):
        pin, kind = pins.get(name), type(thirdparty[name])
        if pin is None:
            rows.append([name, kind.__module__, kind.__qualname__])
        else:
            rows.append([name, pin.distribution, pin.version, pin.digest, *sorted(pin.hooks)])
    return hashlib.sha256(msgspec.json.encode(rows)).hexdigest()
