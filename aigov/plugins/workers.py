"""Running other people's code within a limit, in daemon threads.

Invariants:
* Every future that `Workers.submit` gives is done within two limits (one to wait for a free thread, one
  to run), whatever the task does: one watching thread sees to it, so that a waiter that was cancelled
  leaves nothing unwatched.
* A task that ran past its limit puts its plugin out: each later task is refused at once.
* What a task raised goes no further than its thread; waiters get a `GuardFault` with a name and a code.
* A task sees a fresh context (no context variable of the caller) and holds up neither the caller nor the
  end of the process.
* A forked child starts its own threads; it inherits none that could answer.
"""

from __future__ import annotations

import contextlib
import contextvars
import heapq
import itertools
import math
import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from time import monotonic
from typing import Any, TypeVar

from aigov.errors import GuardFault

FAULT, TIMEOUT, OUT = "plugin.fault", "plugin.timeout", "plugin.out"
THREADS = 8

T = TypeVar("T")
Fault = Callable[[str], None]
Overdue = Callable[["Job"], None]


class Job:
    """One task on its way: when it was started, and the future that its waiter holds."""

    __slots__ = ("future", "patient", "started", "task")

    def __init__(self, task: Callable[[], Any], patient: bool) -> None:
        self.task: Callable[[], Any] | None = task
        self.patient = patient
        self.started: float | None = None
        self.future: Future[Any] = Future()
        self.future.set_running_or_notify_cancel()  # a waiter that gives up must not take the job off the watch

    def give(self, value: Any) -> bool:
        """Answer the waiter, unless it was answered before."""
        self.task = None
        try:
            self.future.set_result(value)
        except InvalidStateError:
            return False
        return True

    def fail(self, name: str, code: str) -> bool:
        """Refuse the waiter, unless it was answered before."""
        self.task = None
        try:
            self.future.set_exception(GuardFault(name, code))
        except InvalidStateError:
            return False
        return True


class Watch:
    """One daemon thread that acts on what is overdue. It runs our own code only, so nothing stalls it."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._due: list[tuple[float, int, Job, Overdue]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def at(self, due: float, job: Job, overdue: Overdue) -> None:
        """Call `overdue(job)` at `due` (seconds of `time.monotonic`)."""
        if self._pid != os.getpid():
            self._begin()
        with self._changed:
            entry = (due, next(self._order), job, overdue)
            heapq.heappush(self._due, entry)
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="aigov-watch", daemon=True)
                self._thread.start()
            elif self._due[0] is entry:
                self._changed.notify()

    def close(self) -> None:
        """Let the thread end when nothing is due; what is asked for later starts it again."""
        with self._changed:
            self._closed = True
            self._due = [entry for entry in self._due if not entry[2].future.done()]
            heapq.heapify(self._due)
            self._changed.notify()

    def _look(self) -> None:
        while (found := self._next()) is not None:
            job, overdue = found
            overdue(job)
            del found, job, overdue  # a job holds text

    def _next(self) -> tuple[Job, Overdue] | None:
        with self._changed:
            while self._due or not self._closed:
                left = self._due[0][0] - monotonic() if self._due else None
                if left is not None and left <= 0:
                    return heapq.heappop(self._due)[2:]
                self._changed.wait(left)
            self._thread = None
        return None


class Workers:
    """The threads of one plugin: at most `size`, started when they are needed.

    `limit_s`: seconds that one task may run, and seconds that it may wait for a thread. `fault(code)` is
    told of each fault and each overrun; it is called from a worker or the watch and must not block.
    """

    def __init__(self, name: str, limit_s: float, watch: Watch, *, size: int = THREADS, fault: Fault) -> None:
        self.name = name
        self.limit_s = limit_s
        self._watch = watch
        self._size = size
        self._fault = fault
        self._out = self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.RLock()  # re-entrant: the collector may end a dropped set in any of its threads
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._threads = 0
        self._pending = 0

    @property
    def out(self) -> bool:
        """Whether the plugin is out until the next reload."""
        return self._out

    @property
    def pending(self) -> int:
        """How many tasks wait or run."""
        return self._pending

    def submit(self, task: Callable[[], T], *, patient: bool = False) -> Future[T]:
        """Start `task`; the future gives its value or raises GuardFault. `patient`: it may wait for long."""
        job = Job(task, patient)
        try:
            taken = self._take(job)
            if taken and not patient:
                self._watched(job, monotonic() + self.limit_s)
        except RuntimeError:  # no thread to be had: at the end of the process, or out of memory
            taken = True
            self._refuse(job, FAULT)
        if not taken:
            job.fail(self.name, OUT)
        return job.future

    def _take(self, job: Job) -> bool:
        self._own()
        with self._lock:
            if self._out:
                return False
            if self._pending >= self._threads and self._threads < self._size:
                name = f"aigov-{self.name}"
                threading.Thread(target=self._serve, args=(self._jobs,), name=name, daemon=True).start()
                self._threads += 1
            self._pending += 1
            self._jobs.put(job)
            if self._closed:
                self._dismiss()
        return True

    def _dismiss(self) -> None:
        """Let each thread end once the tasks before it in the queue are done."""
        for _ in range(self._threads):
            self._jobs.put(None)
        self._threads = 0

    def _own(self) -> None:
        """A forked child has none of the threads, and perhaps a lock that nobody will release."""
        if self._pid != os.getpid():
            self._begin()

    def _watched(self, job: Job, due: float) -> None:
        if self.limit_s != math.inf:
            self._watch.at(due, job, self._overdue)

    def run(self, task: Callable[[], T]) -> T:
        """Run `task` and wait. Raises GuardFault for anything it raises and for running past the limit."""
        future = self.submit(task)
        try:
            return future.result(timeout=3 * self.limit_s + 1)  # the watch answers sooner; this is the rope
        except TimeoutError:
            pass
        self._put_out()
        raise GuardFault(self.name, TIMEOUT)

    def close(self) -> None:
        """Let the threads end when they are done. A call that still holds the set is served all the same."""
        self._own()
        with self._lock:
            self._closed = True
            self._dismiss()

    def _serve(self, jobs: queue.SimpleQueue[Job | None]) -> None:
        while (job := jobs.get()) is not None:
            self._do(job)
            del job  # an idle thread keeps no text

    def _do(self, job: Job) -> None:
        with self._lock:
            task = None if job.future.done() else job.task
            job.started = monotonic()
        if task is None:
            self._done()
            return
        if job.patient:
            self._watched(job, job.started + self.limit_s)
        try:
            value = contextvars.Context().run(task)
        except BaseException:  # noqa: BLE001 - SystemExit too: whatever foreign code raises is a refusal
            failed = True
        else:
            failed = False
        self._done()
        if failed:
            self._refuse(job, FAULT)
        else:
            job.give(value)

    def _done(self) -> None:
        """One thread is free again; said before the waiter is answered, who may come straight back."""
        with self._lock:
            self._pending -= 1

    def _overdue(self, job: Job) -> None:
        """Refuse a task whose time is up: one that ran puts the plugin out, one that waited does not."""
        with self._lock:
            if job.future.done():
                return
            due = None if job.started is None else job.started + self.limit_s
        if due is not None and due > monotonic():
            self._watched(job, due)
            return
        if due is not None:
            self._put_out()
        self._refuse(job, TIMEOUT)

    def _refuse(self, job: Job, code: str) -> None:
        if job.fail(self.name, code):
            self._fault(code)

    def _put_out(self) -> None:
        self._own()
        waiting: list[Job | None] = []
        with self._lock:
            self._out = True
            with contextlib.suppress(queue.Empty):
                while True:
                    waiting.append(self._jobs.get_nowait())
            self._threads += waiting.count(None)  # threads that were already asked to end, and still must
            self._dismiss()
        for job in waiting:
            if job is not None:
                job.fail(self.name, OUT)
