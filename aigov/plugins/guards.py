"""The guards of one loaded policy: started, asked within limits, their answers checked.

Invariants:
* A built-in guard is asked where the call runs; a third party in a thread of its own, within a limit.
  Both speak through the same hooks, and their answers pass the same checks.
* A contribution gives checked values or raises `GuardFault`: nothing else comes out, and no exception of
  a guard is chained to it. Built in: `guard.fault`; third party: `plugin.fault`, `plugin.timeout` the first
  time that it runs past its limit, `plugin.out` from then on until the policy is loaded again.
* An observer can hold up nothing: it is told later, in a thread of its own, and its faults are counted.
  They are reported the first time and at each doubling, so that reports of reports run dry.
* A set belongs to one snapshot; when the last call that holds it is over, its threads go.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from time import monotonic
from types import MappingProxyType
from typing import Any

import msgspec

from aigov.errors import GuardFault
from aigov.hookspecs import Renderer
from aigov.plugins.answers import Nonsense, Says, findings, frozen, private, replacement, rulings
from aigov.plugins.workers import FAULT, OUT, TIMEOUT, Watch, Workers
from aigov.types import Direction, Edit

GUARD_FAULT = "guard.fault"
FAULTS = frozenset({GUARD_FAULT, FAULT, TIMEOUT, OUT})
BACKLOG = 1_000
BUILT_IN_OBSERVER_S = 10.0
SETTLE_S = 1.0

Ask = Callable[..., Any]
Report = Callable[[str, str, int], None]


class Counts:
    """How often each guard, plugin and observer broke since the policy was loaded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}

    def add(self, name: str) -> None:
        """Count one fault of `name`."""
        with self._lock:
            self._counts[name] = self._counts.get(name, 0) + 1

    def read(self) -> Mapping[str, int]:
        """The counts by name, as they stand."""
        with self._lock:
            return MappingProxyType(dict(self._counts))


@dataclass(frozen=True, eq=False, repr=False)
class Contribution:
    """One guard's answer to one contribute hook: call it, or submit it and wait elsewhere.

    Arguments are the hook's, in order: `(part, direction)` for screen and detect, `(facts,)` for judge,
    `(principal, action, resource)` for permit. Gives a tuple of `Finding`s or `Ruling`s; raises GuardFault.
    """

    name: str
    hook: str
    trusted: bool
    _ask: Callable[..., tuple[Any, ...]]
    _submit: Callable[..., Future[tuple[Any, ...]]]

    def __call__(self, *args: Any) -> tuple[Any, ...]:
        """Ask and wait: at most two limits for a third party."""
        return self._ask(*args)

    def submit(self, *args: Any) -> Future[tuple[Any, ...]]:
        """Ask; the future gives what a call would give, as late as a call would.

        A third party answers in its own thread, so this returns at once: await it with
        `asyncio.wrap_future`. A built-in guard answers before this returns.
        """
        return self._submit(*args)

    def __repr__(self) -> str:
        return f"Contribution({self.hook} of {self.name})"


class Observer:
    """One observer and its thread. `tell` returns at once and raises nothing."""

    def __init__(
        self, name: str, ask: Ask, limit_s: float, watch: Watch, broke: Callable[[str, str, int], None]
    ) -> None:
        self.name = name
        self._ask = ask
        self._faults = itertools.count(1)
        self._broke = broke
        self.workers = Workers(name, limit_s, watch, size=1, fault=self._fault)

    def tell(self, record: Any) -> None:
        """Queue a record. Past the backlog it is dropped, which counts as a fault."""
        if self.workers.out:
            return
        if self.workers.pending >= BACKLOG:
            self._fault(FAULT)
            return
        self.workers.submit(lambda: self._observe(record), patient=True)

    def _observe(self, record: Any) -> None:
        if self._ask(record) is not None:  # a generator, say, that would never run
            raise Nonsense

    def _fault(self, code: str) -> None:
        self._broke(self.name, code, next(self._faults))


class Observers:
    """All observers, and the thread in which their faults are reported."""

    def __init__(self, watch: Watch, limit_s: float, counts: Counts, report: Report | None) -> None:
        self._watch, self._limit_s, self._counts, self._report = watch, limit_s, counts, report
        self._all: list[Observer] = []
        # One report may take as long as a record takes to become durable, so it has no limit.
        self._reporter = Workers("report", float("inf"), watch, size=1, fault=lambda code: counts.add("report"))

    def add(self, name: str, ask: Ask, trusted: bool) -> Workers:
        """Let `ask` observe; gives the workers, to be closed with the set."""
        # A slow terminal or disk is no reason to end the people's log.
        limit_s = max(self._limit_s, BUILT_IN_OBSERVER_S) if trusted else self._limit_s
        observer = Observer(name, ask, limit_s, self._watch, self._broke)
        self._all.append(observer)
        return observer.workers

    def tell(self, record: Mapping[str, Any]) -> None:
        """Queue a frozen copy of a record for every observer."""
        if self._all:
            copy = frozen(record)
            for observer in self._all:
                observer.tell(copy)

    def settle(self, until: float) -> bool:
        """Wait until all that was queued is dealt with, at most until `until`; whether it is."""
        queues = [*(observer.workers for observer in self._all), self._reporter]
        return all(_settled(workers, until) for workers in queues)

    def close(self) -> None:
        """Let the reporting thread end."""
        self._reporter.close()

    def _broke(self, name: str, code: str, count: int) -> None:
        self._counts.add(name)
        # At each doubling: a report makes a record, which the observer sees, which may break it again.
        if self._report is not None and count & (count - 1) == 0:
            report = self._report
            self._reporter.submit(lambda: report(name, code, count), patient=True)


def _settled(workers: Workers, until: float) -> bool:
    if not workers.pending:
        return True
    try:
        workers.submit(lambda: None, patient=True).result(timeout=max(0.0, until - monotonic()))
    except (GuardFault, TimeoutError):
        return workers.out
    return True


@dataclass(frozen=True, eq=False, repr=False)
class Guards:
    """Everything that one policy asks, built in and third party: see `aigov.plugins.assemble`.

    `digest`: hex SHA-256 of the third parties loaded. `reasons` and `entities`: all that are declared.
    `renderers`: by guard name, for edits. `started`: what each factory built, by name.
    """

    names: tuple[str, ...]
    reasons: frozenset[str]
    entities: frozenset[str]
    recognizers: tuple[Any, ...]
    renderers: Mapping[str, Renderer]
    permit: tuple[Contribution, ...]
    screen: tuple[Contribution, ...]
    detect: tuple[Contribution, ...]
    judge: tuple[Contribution, ...]
    started: Mapping[str, object]
    digest: str
    _counts: Counts
    _observers: Observers
    _workers: Sequence[Workers]
    _watch: Watch
    _end: Any = field(init=False)

    def __post_init__(self) -> None:
        end = weakref.finalize(self, dismiss, self._workers, self._observers, self._watch)
        end.atexit = False  # daemon threads need no farewell
        object.__setattr__(self, "_end", end)

    @property
    def faults(self) -> Mapping[str, int]:
        """How often each guard or plugin broke since the policy was loaded."""
        return self._counts.read()

    @property
    def out(self) -> frozenset[str]:
        """The plugins that ran past their limit and stay out until the policy is loaded again."""
        return frozenset(workers.name for workers in self._workers if workers.out)

    def observe(self, record: Mapping[str, Any]) -> None:
        """Tell every observer of a durable record, later and elsewhere. Raises nothing."""
        self._observers.tell(record)

    def settle(self, timeout_s: float = SETTLE_S) -> bool:
        """Wait until the observers have seen what was queued; False where time ran out."""
        return self._observers.settle(monotonic() + timeout_s)

    def close(self, timeout_s: float = SETTLE_S) -> None:
        """Let the observers finish and the threads end. Close the log after this, and not before.

        A call that still holds the set is served as before, so that a reload refuses nobody.
        """
        if self._end.alive:
            self.settle(timeout_s)
            self._end()

    def __repr__(self) -> str:
        return f"Guards({', '.join(self.names)})"


def dismiss(workers: Sequence[Workers], observers: Observers, watch: Watch) -> None:
    """End the threads of a set, each as soon as it is done with what it runs."""
    for each in workers:
        each.close()
    observers.close()
    watch.close()


def built_in(says: Says, hook: str, ask: Ask, counts: Counts) -> Contribution:
    """A contribution that is asked where the call runs."""
    check = _checking(hook, says)

    def asked(*args: Any) -> tuple[Any, ...]:
        fault = GUARD_FAULT
        guard = says.name
        try:
            return check(ask(*args), args)
        except GuardFault as told:  # a third party that it asked in turn, a recogniser say
            guard, fault = told.guard, told.code  # counted there
        except Exception:  # noqa: BLE001 - any fault of a guard is a refusal
            counts.add(guard)
        raise GuardFault(guard, fault)

    def submitted(*args: Any) -> Future[tuple[Any, ...]]:
        future: Future[tuple[Any, ...]] = Future()
        try:
            future.set_result(asked(*args))
        except GuardFault as told:
            future.set_exception(told.with_traceback(None))
        return future

    return Contribution(says.name, hook, True, asked, submitted)


def third_party(says: Says, hook: str, ask: Ask, workers: Workers) -> Contribution:
    """A contribution that is asked in the plugin's own threads, about copies of its arguments."""
    check = _checking(hook, says)

    def task(args: tuple[Any, ...]) -> Callable[[], tuple[Any, ...]]:
        return lambda: check(ask(*[private(arg) for arg in args]), args)

    def asked(*args: Any) -> tuple[Any, ...]:
        return workers.run(task(args))

    def submitted(*args: Any) -> Future[tuple[Any, ...]]:
        return workers.submit(task(args))

    return Contribution(says.name, hook, False, asked, submitted)


def built_in_renderer(name: str, render: Renderer, counts: Counts) -> Renderer:
    """A renderer whose faults are refusals."""

    def rendered(edit: Edit, value: str, scope: Any, direction: Direction) -> str:
        try:
            made = render(edit, value, scope, direction)
        except Exception:  # noqa: BLE001 - an edit that cannot be rendered is a refusal, not an edit left out
            made = None
        if type(made) is str:
            return made
        counts.add(name)
        raise GuardFault(name, GUARD_FAULT)

    return rendered


def third_party_renderer(render: Renderer, workers: Workers) -> Renderer:
    """A renderer that runs within the plugin's limit. It is not handed the session: `scope` is None."""

    def rendered(edit: Edit, value: str, scope: Any, direction: Direction) -> str:
        return workers.run(lambda: replacement(render(msgspec.structs.replace(edit), value, None, direction)))

    return rendered


def _checking(hook: str, says: Says) -> Callable[[Any, tuple[Any, ...]], tuple[Any, ...]]:
    """The check of one hook's answers, chosen once."""
    if hook in ("aigov_screen", "aigov_detect"):
        return lambda answer, args: findings(says, answer, args[0])
    if hook == "aigov_judge":
        return lambda answer, args: rulings(says, answer, args[0].parts)
    return lambda answer, args: rulings(says, answer, None)
