"""Which policy is in force: loaded again where its folder changed, or the rules of an adapter that is followed did.

Invariants:
* A policy is swapped whole, so no call is ever judged by a mixture of two.
* One that cannot be read never loosens anything: it is recorded as `policy.rejected`, and the last good one stays.
"""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path
from typing import Any

from aigov.access.adapters import Rows
from aigov.audit import records
from aigov.crypto import KeyRing
from aigov.errors import PolicyError
from aigov.forks import watch_forks
from aigov.passage import Snapshot
from aigov.recording import Recorder
from aigov.snapshot import Loaded, Report, load, stamp

LOOK_EVERY_S = 1.0


class InForce:
    """The policy of a folder that is in force. Safe to share between threads."""

    def __init__(
        self, folder: Path, keys: KeyRing, loaded: Loaded, recorder: Recorder, report: Report | None = None
    ) -> None:
        self._folder = folder
        self._keys = keys
        self._recorder = recorder
        self._report = report
        self.loaded = loaded.knowing(recorder.people, recorder.unrecorded)
        self._swapping = threading.Lock()
        self._adapter: Any = None
        self._rules: Rows | None = None
        self._told = object()
        self._seen = loaded.stamp
        self._look_at = 0.0
        watch_forks(self)

    def begin_anew(self) -> None:
        """In a forked child nobody finishes what a thread of the parent was loading: it is loaded again."""
        if self._swapping.locked():
            self._swapping, self._seen, self._look_at = threading.Lock(), (), 0.0

    def current(self) -> Snapshot:
        """What decides now; at most once a second the folder is looked at for a change."""
        now = time.monotonic()
        if now >= self._look_at and self._swapping.acquire(blocking=False):
            try:
                self._look_at = now + LOOK_EVERY_S
                if stamp(self._folder) != self._seen:
                    with contextlib.suppress(PolicyError):
                        self._swap()
            finally:
                self._swapping.release()
        return self.loaded.snapshot

    def reload(self) -> None:
        """Read the folder, and the adapter that is followed, again. Raises PolicyError; the last good one stays."""
        with self._swapping:
            self._swap(self._adapter)

    def follow(self, adapter: Any, watcher: Any = None) -> None:
        """Take the rules of access from a Casbin adapter, again whenever the watcher says so. Raises PolicyError."""
        with self._swapping:
            self._swap(adapter)
            self._adapter = adapter
        if watcher is not None:
            watcher.set_update_callback(lambda *_, **__: self._follow_on(adapter))

    def announce(self) -> None:
        """Record which policy is in force, and with which plugins."""
        for record in self.loaded.announced():
            self._recorder.record(record)

    def close(self) -> None:
        """Stop what the policy started. What a watcher says from now on changes nothing."""
        self._adapter = None
        self.loaded.snapshot.guards.close()

    def _follow_on(self, adapter: Any) -> None:
        """What a watcher calls, in a thread of its own. Of those that wait for their turn, the last one loads."""
        self._told = told = object()
        with self._swapping:
            if self._told is told and self._adapter is adapter:
                with contextlib.suppress(PolicyError):
                    self._swap(adapter)

    def _swap(self, adapter: Any = None) -> None:
        """Load the folder as it is now, with the rules that the adapter has now, or had when it was last asked.

        What is no good is told of once, and kept out.
        """
        self._seen = stamp(self._folder)
        problem: PolicyError | None = None
        try:
            rules = self.loaded.rules_of(adapter) if adapter is not None else self._rules
            loaded = load(self._folder, self._keys, self._report, rules)
        except PolicyError as error:
            problem = error
        if problem is not None:
            first = str(problem.problems[0].where) if problem.problems else ""
            self._recorder.record(records.PolicyRejected(problems=len(problem.problems), first=first))
            raise problem
        old, self.loaded = self.loaded, loaded.knowing(self._recorder.people, self._recorder.unrecorded)
        self._seen, self._rules = loaded.stamp, rules
        self.announce()
        old.snapshot.guards.close()
