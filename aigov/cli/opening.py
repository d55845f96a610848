"""Opening a governor for a command.

Invariants:
* A command that only looks at a text or a policy writes no record: its log is a folder that goes with it.
* A command that decides or changes something uses the log that the programs use.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aigov.governor import Governor


@contextmanager
def governor(policies: Path) -> Iterator[Governor]:
    """A governor over the folder `policies` for looking: what it notes is thrown away."""
    with tempfile.TemporaryDirectory(prefix="aigov-") as folder, Governor.from_policies(policies, audit=folder) as gov:
        yield gov


@contextmanager
def recording(policies: Path, audit: Path) -> Iterator[Governor]:
    """A governor over `policies` that writes to the log in `audit`."""
    with Governor.from_policies(policies, audit=audit) as gov:
        yield gov
