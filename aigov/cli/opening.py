"""Opening a governor for a command.

Invariants:
* A command that only looks at a text or a policy writes no record: its log is a folder that goes with it.
* A command that decides or changes something uses the log that the programs use.
* Where no answer depends on the key, none is needed: a policy can be tested where its key is not.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aigov.access.guard import Access
from aigov.access.guard import read as read_access
from aigov.access.settings import AccessSettings
from aigov.crypto import KeyRing
from aigov.governor import Governor
from aigov.policy.source import read


@contextmanager
def governor(policies: Path) -> Iterator[Governor]:
    """A governor over the folder `policies` for looking: what it notes is thrown away."""
    with (
        tempfile.TemporaryDirectory(prefix="aigov-") as folder,
        Governor.from_policies(policies, audit=Path(folder) / "audit") as gov,
    ):
        yield gov


@contextmanager
def keyless(policies: Path) -> Iterator[Governor]:
    """The same under a key that is made up and thrown away, for decisions and findings alone."""
    with tempfile.TemporaryDirectory(prefix="aigov-") as name:
        folder = Path(name)
        KeyRing.create(folder / "keys")
        with Governor.from_policies(policies, audit=folder / "audit", keys=folder / "keys") as gov:
            yield gov


@contextmanager
def recording(policies: Path, audit: Path) -> Iterator[Governor]:
    """A governor over `policies` that writes to the log in `audit`."""
    with Governor.from_policies(policies, audit=audit) as gov:
        yield gov


def access(policies: Path) -> Access:
    """The access room of the policy alone, for questions about it. Raises PolicyError."""
    return read_access(policies, settings(policies))


def settings(policies: Path) -> AccessSettings:
    """The policy key `access`. Raises PolicyError."""
    found: AccessSettings = read(policies).section("access", AccessSettings).value
    return found
