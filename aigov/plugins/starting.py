"""A third party's loading, step by step, in a thread and within a limit.

Invariants:
* A step that raises, ends its thread or never ends is a `PolicyError` that names the plugin.
* The message is ours: what a plugin raised may quote what it was given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from aigov.errors import GuardFault, Location, PolicyError, Problem
from aigov.plugins.answers import Nonsense
from aigov.plugins.workers import FAULT, Watch, Workers

START_LIMIT_S = 30.0
MEND = "mend the plugin, or take it out of the lock"

T = TypeVar("T")


def within_limit(name: str, where: Location, doing: str, task: Callable[[], T]) -> T:
    """Do one step of loading the plugin `name`; `doing` says which, after "while". Raises PolicyError at `where`."""
    watch = Watch()
    workers = Workers(name, START_LIMIT_S, watch, size=1, fault=lambda code: None)
    values: list[T] = []
    try:
        error = workers.run(lambda: _attempt(name, where, doing, task, values))
    except GuardFault as fault:
        what = "ended its thread" if fault.code == FAULT else f"took longer than {START_LIMIT_S:g} s"
        error = PolicyError(Problem(where, f"plugin `{name}` {what} while {doing}", MEND))
    workers.close()
    watch.close()
    if error is not None:
        raise error
    return values[0]


def _attempt(name: str, where: Location, doing: str, task: Callable[[], T], values: list[T]) -> PolicyError | None:
    """Put the step's value into `values`, or say what went wrong."""
    try:
        values.append(task())
    except PolicyError as error:
        return PolicyError(error.problems)
    except Nonsense:
        what = f"plugin `{name}` answered nonsense while {doing}"
        return PolicyError(Problem(where, what, "its hooks are described in `aigov.hookspecs`"))
    except Exception as error:  # noqa: BLE001 - whatever a plugin raises while it loads is an error of the policy
        return PolicyError(Problem(where, f"plugin `{name}` raised `{type(error).__name__}` while {doing}", MEND))
    return None
