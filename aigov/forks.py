"""What a forked child has to begin anew: no thread of its parent is there to give back what it held.

Invariants:
* Who is watched is told in the child before anything else runs there, whatever the parent's threads were doing.
* Nobody is kept alive by being watched.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forks(Protocol):
    """Who has locks, threads or handles that a forked child must not share."""

    def begin_anew(self) -> None:
        """Called in a child that was just forked."""


_WATCHED: weakref.WeakSet[Forks] = weakref.WeakSet()


def watch_forks(one: Forks) -> None:
    """Have `one` begin anew in every child that is forked from now on."""
    _WATCHED.add(one)


def _in_child() -> None:
    for one in list(_WATCHED):
        one.begin_anew()


os.register_at_fork(after_in_child=_in_child)
