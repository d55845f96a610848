"""Work that takes a core each, a few at a time, whoever asks.

Invariants:
* At most `threads` pieces of work run at once, those of all callers together; each caller waits for a lane per
  piece, so that a long text holds up a short one by one piece alone.
* Pieces are taken one by one, so what is made when it is taken is made while another piece is worked on.
* With one thread there is none but the caller's, nor where no more can be had. After a fork the child makes lanes
  and helpers of its own.
* Past the deadline nothing more is begun, and the caller is told.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Late(Exception):
    """The deadline passed."""


class _Made(NamedTuple):
    """What belongs to one process: its lanes, and threads that help where a caller has several pieces of work."""

    pid: int
    free: threading.Semaphore
    helpers: ThreadPoolExecutor


class Lanes:
    """`threads` lanes."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._own = self._made()

    def each(self, work: Callable[[T], R], items: Iterable[T], deadline: float) -> list[R]:
        """What `work` gives for each item, in order. `deadline`: of `time.monotonic`. Raises Late, or its fault.

        An iterator is asked for one item at a time, in any of the threads. Raises what it raises, too.
        """
        own = self._here()
        run = _Run(work, items, deadline, own.free)
        lanes = min(self._threads, len(items)) if isinstance(items, Sequence) else self._threads
        others = _begun(own.helpers, run.share, lanes - 1)
        run.share()
        wait(others)
        return run.results()

    def _here(self) -> _Made:
        if self._own.pid != os.getpid():
            self._own = self._made()
        return self._own

    def _made(self) -> _Made:
        helpers = ThreadPoolExecutor(max(1, self._threads - 1), thread_name_prefix="aigov-encoder")  # begun when needed
        return _Made(os.getpid(), threading.Semaphore(self._threads), helpers)

    def __repr__(self) -> str:
        return f"Lanes({self._threads})"


def _begun(helpers: ThreadPoolExecutor, work: Callable[[], None], count: int) -> list[Future[None]]:
    """The work begun by so many helpers; by fewer where there are no more threads, as when a program is ending."""
    begun: list[Future[None]] = []
    with contextlib.suppress(RuntimeError):
        while len(begun) < count:
            begun.append(helpers.submit(work))
    return begun


class _Run(Generic[T, R]):
    """The items of one caller, taken one by one by whoever is free. A fault ends all of it."""

    def __init__(self, work: Callable[[T], R], items: Iterable[T], deadline: float, free: threading.Semaphore) -> None:
        self._work, self._deadline, self._free = work, deadline, free
        self._left = enumerate(items)
        self._results: dict[int, R] = {}
        self._fault: BaseException | None = None
        self._lock = threading.Lock()

    def share(self) -> None:
        """Work on items until there are none left. Raises nothing."""
        try:
            while self._fault is None and (taken := self._next()) is not None:
                self._do(*taken)
        except BaseException as fault:  # noqa: BLE001 - told to the caller, in whose thread it is raised again
            self._fault = fault

    def results(self) -> list[R]:
        """All results, in order. Raises the fault that there was."""
        fault, self._fault = self._fault, None
        if fault is not None:
            raise fault
        return [self._results[at] for at in range(len(self._results))]

    def _do(self, at: int, item: T) -> None:
        if not self._free.acquire(timeout=max(0.0, self._deadline - time.monotonic())):
            raise Late
        try:
            if time.monotonic() > self._deadline:
                raise Late
            self._results[at] = self._work(item)
        finally:
            self._free.release()

    def _next(self) -> tuple[int, T] | None:
        with self._lock:
            return next(self._left, None)
